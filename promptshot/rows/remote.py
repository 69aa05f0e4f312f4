"""Files on shared storage, by their addresses (`s3://bucket/rows.jsonl`), where the package fsspec knows the way."""

from __future__ import annotations

import io
from typing import Any

from promptshot.errors import InputError, install, lacking, told, unreadable


class _Raw(io.RawIOBase):
    """A file of fsspec whose errors, whatever they are, are those of a file."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            found = self.file.read(len(buffer))
        except OSError:
            raise
        except Exception as problem:  # each storage has its own
            raise OSError(told(problem)) from problem
        buffer[: len(found)] = found
        return len(found)

    def close(self) -> None:
        if not self.closed:
            self.file.close()
        super().close()


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
