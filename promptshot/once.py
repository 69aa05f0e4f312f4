"""Files that can be read only once, such as pipes: what they say is kept, so that they can be read again.

promptshot classify rows.jsonl -t NAME --demos <(head -400 train.jsonl)
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO

from promptshot.errors import InputError

LARGEST = 256 << 20  # bytes that are kept; a larger file can be written to a disk
STDIN = "-"


class Once(str):
    """The name of a file that can be read only once, with what it said."""

    said: bytes = b""


def once(path: str) -> str:
    """The same name; where the file can be read only once, it is read here and what it says goes along.

    Raises InputError where it cannot be read, or has no end in sight.
    """
    if path != STDIN and not _passes(path):
        return path
    try:
        with _opened(path) as stream:
            said = stream.read(LARGEST + 1)
    except OSError as problem:
        raise InputError(f"cannot be read ({problem.strerror})", where=path, hint="check the path") from None
    if len(said) > LARGEST:
        raise InputError(f"more than {LARGEST:,} bytes from a pipe", where=path, hint="write it to a file first")
    found = Once(path)
    found.said = said
    return found


def is_stdin(path: str) -> bool:
    """Whether a name means standard input, as `-` does and, where that is a pipe, `/dev/stdin`."""
    if path == STDIN:
        return True
    try:
        return _passes(path) and os.path.samestat(os.stat(path), os.fstat(0))
    except OSError:
        return False


def _passes(path: str) -> bool:
    """Whether what a file says is gone once it has been read: a pipe, a socket, a terminal."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISBLK(mode))


def _opened(path: str) -> BinaryIO:
    if path != STDIN:
        return Path(path).open("rb")
    if sys.stdin is None or sys.stdin.closed:
        raise InputError("standard input is closed", where="<stdin>", hint="it can be read only once")
    return sys.stdin.buffer
