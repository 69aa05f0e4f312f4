"""Files that can be read only once, such as pipes: what they say is kept, so that they can be read again.

promptshot classify rows.jsonl -t NAME --demos <(head -400 train.jsonl)
promptshot diff <(zcat a.jsonl.gz) <(zcat b.jsonl.gz)
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from promptshot import files
from promptshot.errors import InputError, OptionError, unreadable
from promptshot.rows import remote

LARGEST = 256 << 20  # bytes that are kept; a larger file can be written to a disk
STDIN = "-"


class Once(str):
    """The name of a file that can be read only once, with what it said."""

    said: bytes = b""


def once(path: str) -> str:
    """The same name; where the file can be read only once, it is read here and what it says goes along.

    Raises InputError where it cannot be read, or has no end in sight.
    """
    if isinstance(path, Once) or not (path == STDIN or _passes(path) or files.is_remote(path)):
        return path
    name = "<stdin>" if path == STDIN else path
    try:
        with _opened(path) as stream:
            said = stream.read(LARGEST + 1)
    except OSError as problem:
        raise unreadable(name, problem) from None
    if len(said) > LARGEST:
        raise InputError(f"more than {LARGEST:,} bytes from a pipe", where=name, hint="write it to a file first")
    return kept(path, said)


def kept(name: str, said: bytes) -> Once:
    """A name under which that can be read, as often as one likes."""
    found = Once(name)
    found.said = said
    return found


def is_stdin(path: str) -> bool:
    """Whether a name means standard input, as `-` does and, where that is a pipe, `/dev/stdin`."""
    return path == STDIN or (_passes(path) and _which(path) == _which(STDIN))


def refuse_twice(given: Iterable[tuple[str, str]]) -> None:
    """Refuse files that are one pipe; each is given with what it is for. Raises OptionError."""
    seen: dict[object, str] = {}
    for role, path in given:
        if path == STDIN or _passes(path):
            which = _which(path)
            if which in seen:
                what = "standard input" if is_stdin(path) else path
                both = f"{seen[which]} and {role} are both {what}, which can be read only once"
                raise OptionError(both, hint="write one of them to a file")
            seen[which] = role


def _which(path: str) -> tuple[int, int] | None:
    """What tells a file from others, whatever its name; None where there is none."""
    try:
        found = os.fstat(0) if path == STDIN else os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _passes(path: str) -> bool:
    """Whether what a file says is gone once it has been read: a pipe, a socket, a terminal."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISBLK(mode))


def _opened(path: str) -> BinaryIO:
    if files.is_remote(path):
        return remote.opened(path)
    if path != STDIN:
        return Path(path).open("rb")
    if sys.stdin is None or sys.stdin.closed:
        raise InputError("standard input is closed", where="<stdin>", hint="it can be read only once")
    return sys.stdin.buffer
