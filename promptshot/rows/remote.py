"""Files on shared storage, by their addresses (`s3://bucket/rows.jsonl`), where the package fsspec knows the way."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from promptshot.errors import InputError, install, lacking, told, unreadable


class _Raw(io.RawIOBase):
    """A file of fsspec whose errors, whatever they are, are those of a file."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True  # as far as the storage knows how

    def readinto(self, buffer: Any) -> int:
        found: bytes = self._of(self.file.read, len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def seek(self, offset: int, whence: int = 0) -> int:
        found: int = self._of(self.file.seek, offset, whence)
        return found

    def _of(self, method: Callable[..., Any], *given: int) -> Any:
        try:
            return method(*given)
        except OSError:
            raise
        except Exception as problem:  # each storage has its own
            raise OSError(told(problem)) from problem

    def close(self) -> None:
        if not self.closed:
            self.file.close()
        super().close()


def has_places(address: str) -> bool:
    """Whether a file can be read from anywhere in it."""
    try:
        with opened(address) as file:
            return file.seek(1) == 1 and len(file.read(1)) == 1
    except (OSError, InputError):  # whoever reads it will tell
        return False


def opened(address: str) -> io.BufferedReader:
    """The bytes at an address; raises InputError where there is no way to them, OSError where the way fails."""
    try:
        import fsspec

        return io.BufferedReader(_Raw(fsspec.open(address, "rb").open()), 1 << 20)
    except OSError:
        raise
    except ImportError as problem:
        package = lacking(problem)
        hint = install(package) if package else f"it says: {told(problem)}"
        raise InputError("no package here reads such addresses", where=address, hint=hint) from None
    except Exception as problem:  # each storage has its own
        raise unreadable(address, told(problem), "check the address") from None
