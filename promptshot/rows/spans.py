"""Rows by the places of their lines: a file of JSON lines is parted here, and read wherever somebody has the file.

a file of lines    {...} {...} {...} {...}      What crosses to another machine is a Span: a path, where its lines
                   |-- Span --| |-- Span --|    begin and end, and what they come to as SHA-256.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import NamedTuple

from promptshot import files
from promptshot.errors import InputError
from promptshot.rows import formats, remote
from promptshot.rows.once import Once
from promptshot.rows.read import item_of
from promptshot.rows.row import Item, with_columns
from promptshot.rows.streams import UNREADABLE, Part, Reading, Seen


@dataclass(frozen=True)
class Span:
    """Lines of a file of JSON lines, with so many rows among them."""

    path: str  # the whole of it, or an address
    name: str  # as messages call it
    start: int  # bytes before it
    end: int
    line: int  # number of its first line
    key: int  # number of its first row
    rows: int
    sha256: str
    said: bytes | None = None  # the lines themselves, for whoever does not have the file

    @property
    def source(self) -> str:
        """Where it begins."""
        return f"{self.name}:{self.line}"

    def items(self) -> list[Item]:
        """Its rows; raises Unread where the file is not here, or is another."""
        said = self._bytes() if self.said is None else self.said
        lines = io.BytesIO(said.removeprefix(codecs.BOM_UTF8) if self.line == 1 else said)
        found = formats.json_lines(lines, self.name, self.line - 1)
        return [item_of(source, value, self.key + at) for at, (source, value) in enumerate(found)]

    def loaded(self) -> Span:
        """The same with its lines; raises InputError where they are not there any more."""
        try:
            return replace(self, said=self._bytes())
        except Unread:
            hint = "let nobody write to it during a run; the same command goes on from here once it is as it was"
            raise InputError("was changed while it was read", where=self.source, hint=hint) from None

    def _bytes(self) -> bytes:
        try:
            with closing(remote.opened(self.path) if files.is_remote(self.path) else open(self.path, "rb")) as file:
                file.seek(self.start)
                said = file.read(self.end - self.start)
        except (*UNREADABLE, InputError, ValueError):
            raise Unread(self.path) from None
        if hashlib.sha256(said).hexdigest() != self.sha256:
            raise Unread(self.path)
        return said


class Unread(Exception):
    """A file is not here, or says something else here."""


class Placed:
    """Rows that are read one by one, or handed over as the places of their lines where they have such; once."""

    def __init__(self, items: Callable[[], Iterator[Item]], spans: Callable[[], Iterator[list[Span]] | None]) -> None:
        self._items, self.spans = items, spans

    def __iter__(self) -> Iterator[Item]:
        return self._items()


Rows = Item | Span  # as they go to whoever scores them


def items_of(parts: Iterable[Rows], columns: Mapping[str, str]) -> list[Item]:
    """The rows of a window, those of spans read here, with these columns for fields; raises Unread."""
    found: list[Item] = []
    for part in parts:
        found += [with_columns(item, columns) for item in part.items()] if isinstance(part, Span) else [part]
    return found


def rows_in(parts: Iterable[Rows]) -> int:
    """How many rows a window has."""
    return sum(part.rows if isinstance(part, Span) else 1 for part in parts)


def parted(paths: Sequence[str], how: Reading) -> bool:
    """Whether all files are such as can be parted at their lines, on a disk or on shared storage."""
    here = all(not isinstance(path, Once) and (files.is_file(path) or files.is_remote(path)) for path in paths)
    seekable = here and all(remote.has_places(path) for path in paths if files.is_remote(path))
    return seekable and all(formats.has_lines(path, how) for path in paths)


class Window(NamedTuple):
    """Spans that are scored together, and how much of each file has been read up to their end."""

    spans: list[Span]
    read: tuple[Part, ...]


def windows(paths: Sequence[str], seen: Seen, size: int, limit: int | None = None) -> Iterator[Window]:
    """The spans of every `size` rows that follow one another, up to a limit; one window may go over several files.

    Raises InputError where a file is torn, behind what stands before that.
    """
    window: list[Span] = []
    read: tuple[Part, ...] = ()
    left, key = size, 0
    try:
        for path in paths:
            file = _Parting(path, seen)
            while limit != key and (span := file.next(left if limit is None else min(left, limit - key), key)):
                window.append(span)
                left, key = left - span.rows, key + span.rows
                if not left:
                    yield Window(window, (*read, *file.read))
                    window, left = [], size
            read = (*read, *file.read)
            if limit == key:
                break
    except InputError:
        if window:
            yield Window(window, read)
        raise
    if window:
        yield Window(window, read)


class _Parting:
    """A file whose lines are taken span by span."""

    def __init__(self, path: str, seen: Seen) -> None:
        self._path, self._lines = path, formats.lines(path, seen)
        self._at, self._line = 0, 1  # where the next span begins
        self._before = hashlib.sha256()  # of all that stands before it
        self._problem: InputError | None = None

    @property
    def read(self) -> tuple[Part, ...]:
        """What has been taken of it; nothing of what lies elsewhere, which cannot be compared."""
        return () if files.is_remote(self._path) else (Part(self._path, self._at, self._before.hexdigest()),)

    def next(self, most: int, key: int) -> Span | None:
        """The next one, with at most so many rows, the first of them numbered so; None where no row is left.

        Raises InputError where the file is torn; what stands before that is a span.
        """
        if self._problem:
            raise self._problem
        lines, rows = list[bytes](), 0
        try:
            while rows < most and (line := next(self._lines, None)) is not None:
                lines.append(line)
                first = self._line == len(lines) == 1
                rows += not formats.is_blank(line.removeprefix(codecs.BOM_UTF8) if first else line)
        except InputError as problem:
            if not rows:
                raise
            self._problem = problem
        if not rows:
            return None
        path = self._path if files.is_remote(self._path) else os.path.join(os.getcwd(), self._path)
        said = b"".join(lines)
        self._before.update(said)
        place = (self._at, self._at + len(said), self._line)
        self._at, self._line = self._at + len(said), self._line + len(lines)
        return Span(path, self._path, *place, key, rows, hashlib.sha256(said).hexdigest())
