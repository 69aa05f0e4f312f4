"""Records out: JSONL, CSV and TSV, gzip or not, to files or standard output."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from promptshot import standard
from promptshot.errors import InputError

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

# What a spreadsheet would take for a formula, unless it is a plain number.
FORMULA = re.compile(r"[=+\-@\t\r](?!\d*\.?\d+(?:[eE][+-]?\d+)?\Z)")
JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True)
class Place:
    """How far a file has been written: bytes, the columns of a table, and those it has no room for."""

    bytes: int = 0
    columns: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class Writer:
    """Appends records to a file or stream: JSONL, or CSV/TSV by the suffix; `.gz` is compressed.

    Use it as a context manager: what stands behind its place is given up when it is entered. What one call
    of `write` is given is written whole or not at all, so the file can be read while it grows. A table's columns
    are those of the first records; a cell that a spreadsheet would run as a formula gets an apostrophe before it.
    """

    def __init__(self, path: str, stream: TextIO | standard.Data | None = None, place: Place | None = None) -> None:
        """`path` decides the format; `-` writes to `stream` (default: standard output, as UTF-8).

        A file is locked against other writers, and taken up at `place` (default: its beginning). Raises
        InputError if it cannot be written, is in use, or is shorter than `place` says.
        """
        self.path = path
        name = path.lower()
        self._zipped = name.endswith(".gz")
        self._delimiter = {".csv": ",", ".tsv": "\t"}.get(Path(name.removesuffix(".gz")).suffix)
        place = place or Place()
        self._columns = list(place.columns)
        self.left_out = set(place.left_out)  # columns of later records that the table has no room for
        self._stream = (stream or standard.Data()) if path == "-" else None
        self._file = None if path == "-" else _opened(path, place.bytes)
        self._bytes = place.bytes

    @property
    def place(self) -> Place:
        """How far the file has been written."""
        return Place(self._bytes, tuple(self._columns), tuple(sorted(self.left_out)))

    def write(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Append records, at once and whole; raises InputError if the disk does not take them."""
        text = self._lines(records) if self._delimiter is None else self._table(records, self._delimiter)
        if self._stream is not None:
            self._stream.write(text)
            self._stream.flush()
        elif text:
            data = text.encode()
            # Every call makes a gzip member of its own: the file is whole after each, and can be cut there.
            self._append(gzip.compress(data, mtime=0) if self._zipped else data)

    def _append(self, data: bytes) -> None:
        assert self._file is not None
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except BaseException as problem:
            self._cut()
            if isinstance(problem, OSError):
                raise InputError(f"cannot be written ({problem.strerror})", where=self.path) from None
            raise
        self._bytes += len(data)

    def _cut(self) -> None:
        """Take back whatever stands behind what has been written whole."""
        if self._file is not None and _regular(self._file):
            self._file.truncate(self._bytes)
            self._file.seek(self._bytes)

    def sync(self) -> None:
        """Wait until the disk has everything, so that it outlives a power cut."""
        if self._file is not None and _regular(self._file):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; standard output stays open."""
        if self._file is not None:
            self._file.close()

    def _lines(self, records: Sequence[Mapping[str, Any]]) -> str:
        return _encodable("".join(JSON.encode(record) + "\n" for record in records))

    def _table(self, records: Sequence[Mapping[str, Any]], delimiter: str) -> str:
        lines = _Lines()
        # Told to end lines so, the csv module puts quotes around a lone \r, which would else end a line for readers.
        table = csv.writer(lines, delimiter=delimiter, lineterminator="\r\n")
        if records and not self._columns:
            self._columns = list(dict.fromkeys(name for record in records for name in record))
            table.writerow(map(_harmless, self._columns))
        for record in records:
            self.left_out.update(record.keys() - set(self._columns))
            table.writerow([_cell(record.get(name)) for name in self._columns])
        return _encodable("".join(lines))

    def __enter__(self) -> Writer:
        self._cut()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Lines(list[str]):
    """Takes the lines of a table as a file would; they end in a line feed only."""

    def write(self, line: str) -> None:
        self.append(line.removesuffix("\r\n") + "\n")


def _opened(path: str, at: int) -> io.FileIO:
    """The file, locked, of `at` bytes or more."""
    try:
        file = io.FileIO(os.open(path, os.O_WRONLY | os.O_CREAT, 0o666), "w")
    except OSError as problem:
        raise InputError(f"cannot be written ({problem.strerror})", where=path) from None
    try:
        if _regular(file):
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if file.seek(0, os.SEEK_END) < at:
                hint = "start afresh with --overwrite"
                raise InputError("is shorter than its run record says", where=path, hint=hint)
    except BlockingIOError:
        file.close()
        hint = "wait for it, or write to another file"
        raise InputError("another run is writing this file", where=path, hint=hint) from None
    except BaseException:
        file.close()
        raise
    return file


def _regular(file: io.FileIO) -> bool:
    """Whether it is a file on a disk: no pipe and no device."""
    return stat.S_ISREG(os.fstat(file.fileno()).st_mode)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return _harmless(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _harmless(text: str) -> str:
    """The text with an apostrophe before it where a spreadsheet would run it."""
    return f"'{text}" if FORMULA.match(text) else text


def _encodable(text: str) -> str:
    """Lone surrogates (legal in JSON escapes) as escapes again, so that UTF-8 can be written."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "".join(f"\\u{ord(c):04x}" if 0xD800 <= ord(c) <= 0xDFFF else c for c in text)
    return text
