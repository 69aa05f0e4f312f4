"""The three standard streams as a shell leaves them to us: closed, full, or of an encoding that cannot say all.

What people read is written in the encoding of the terminal, with escapes for what that cannot say; what programs
read (`write`) is UTF-8 always, as in files. A standard error that fails stops nothing.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator

OUTPUT = "standard output"
# What a closed stream becomes: nothing to read, what fails when it is written, what swallows everything.
_OPENED = ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY))


def prepare() -> None:
    """Make the streams fit to be written to, whatever the shell and the locale say.

    A closed one gives its number to the next file that is opened, which libraries would then write into: it is taken.
    """
    for number, how in _OPENED:
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, how), True)  # it gets the lowest number that is free
    if _is_plain(sys.stdout):
        sys.stdout = _Output(*_settings(sys.stdout, 1))  # type: ignore[arg-type]
    if _is_plain(sys.stderr):
        sys.stderr = _Error(*_settings(sys.stderr, 2))  # type: ignore[arg-type]


def write(text: str) -> None:
    """Data to standard output, at once: UTF-8, with half characters as JSON's escapes; raises OSError with a name."""
    _put(text, text.encode("utf-8", "backslashreplace"))


def write_path(path: str | os.PathLike[str]) -> None:
    """The name of a file as the system has it, on a line of standard output."""
    _put(f"{os.fspath(path)}\n", os.fsencode(path) + b"\n")


def _put(text: str, data: bytes) -> None:
    binary = getattr(sys.stdout, "buffer", None)
    with _named():
        if binary is None:  # a program has put something of its own there, which takes text
            sys.stdout.write(text)
        else:
            sys.stdout.flush()
            binary.write(data)
        sys.stdout.flush()


class Data:
    """Standard output as a stream for data."""

    def write(self, text: str) -> None:
        """Write it at once."""
        write(text)

    def flush(self) -> None:
        """Nothing is left to be written."""


def let_go() -> None:
    """From here on standard output leads nowhere: Python would complain of what it could not write as it ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_plain(stream: object) -> bool:
    """Whether a stream is as Python made it, and nothing that a program has put there."""
    return stream is None or type(stream) is io.TextIOWrapper


def _settings(stream: io.TextIOWrapper | None, number: int) -> tuple[object, ...]:
    """What a stream like this one is made of."""
    if stream is None:
        return io.BufferedWriter(io.FileIO(number, "w", closefd=False)), "utf-8", "backslashreplace"
    settings = stream.line_buffering, stream.write_through
    encoding = stream.encoding
    return stream.detach(), encoding, "backslashreplace", None, *settings


class _Output(io.TextIOWrapper):
    """Standard output: what keeps it from being written has its name."""

    def write(self, text: str) -> int:
        with _named():
            return super().write(text)

    def flush(self) -> None:
        with _named():
            super().flush()


class _Error(io.TextIOWrapper):
    """Standard error: where nobody can read it, nothing is said, and the work goes on."""

    def write(self, text: str) -> int:
        with self._unheard():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with self._unheard():
            super().flush()

    @contextlib.contextmanager
    def _unheard(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


@contextlib.contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        problem.filename = OUTPUT
        if problem.errno == errno.EBADF:
            problem.strerror = "it is closed"
        raise
