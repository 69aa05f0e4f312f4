"""Records out: JSONL, CSV and TSV, gzip or not, to files or standard output."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import PurePath
from types import TracebackType
from typing import Any, TextIO

from promptshot import files, standard
from promptshot.errors import InputError, OptionError, unwritable
from promptshot.rows.json_text import Exact, dumps, encodable, lines_of

# What a spreadsheet would take for a formula, unless it is a plain number: blanks before the sign may be left out, and
# full-width signs count as the narrow ones.
FORMULA = re.compile(r"(?:[\s\ufeff\u200b]*[=+\-@＝＋－＠]|[\t\r\n])(?!\d*\.?\d+(?:[eE][+-]?\d+)?\Z)")
NOTHING = hashlib.sha256().hexdigest()
BOM = "\ufeff"  # tells Excel that a table is UTF-8

# What the suffix of a file says of its records, and what is not written, with what to write instead.
RECORDS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv"}
_SHEET = ("workbooks are not written", "write .csv; with --bom Excel shows Chinese")
_COLUMNAR = ("files of columns are not written", "write .jsonl or .csv, and have pandas convert it")
_OTHERS = {
    ".json": ("rows are written as JSON lines, and these are no .json", "write .jsonl"),
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods"), _SHEET),
    **dict.fromkeys((".parquet", ".arrow", ".feather"), _COLUMNAR),
}


def suffix_of(path: str) -> str:
    """The suffix of a file in lower case, without `.gz`: what tells its format; empty for standard output."""
    return PurePath(path.lower().removesuffix(".gz")).suffix


def refuse_suffix(path: str | None, said: str | None = None, one_text: bool = False) -> None:
    """Refuse to write records into a file whose suffix tells of something else; raises OptionError.

    A name without a suffix, a pipe or a device may take them; where their format was said, an unknown suffix, too. With
    `one_text`, a .json stands for one text of JSON.
    """
    suffix = suffix_of(path or "")
    if not path or not suffix or suffix in RECORDS or not files.is_file(path):
        return
    if (one_text and path.lower().endswith(".json")) or (said and suffix not in _OTHERS):
        return
    unknown = f"no format has the suffix {suffix!r}", "write .jsonl, .csv or .tsv, also with .gz"
    what, hint = _OTHERS.get(suffix, unknown)
    raise OptionError(what, where=path, hint=hint)


def refuse_no_json(by: str, path: str | None) -> None:
    """Refuse to write one text of JSON into a file whose suffix tells of another format; raises OptionError."""
    other = {*RECORDS, *_OTHERS, ".gz"} - {".json"}
    if path and PurePath(path.lower()).suffix in other and files.is_file(path):
        raise OptionError(f"{by} is one text of JSON", where=path, hint="write .json")


@dataclass(frozen=True)
class Form:
    """How records are written: as jsonl, csv or tsv, with or without gzip, and a byte order mark before a table."""

    kind: str = "jsonl"
    zipped: bool = False
    bom: bool = False

    @classmethod
    def of(cls, path: str, said: str | None = None, bom: bool = False) -> Form:
        """By the suffix of a file, or where that tells nothing as was said; a mark is for tables only.

        Raises OptionError where the two contradict each other.
        """
        by_suffix = RECORDS.get(suffix_of(path))
        if said and by_suffix and said != by_suffix:
            hint = "leave --format out, or name another file"
            raise OptionError(f"--format {said} contradicts the suffix", where=path, hint=hint)
        kind = by_suffix or said or "jsonl"
        return cls(kind, path.lower().endswith(".gz"), bom and kind != "jsonl")

    @property
    def delimiter(self) -> str | None:
        """What parts the cells of a table; None where it is none."""
        return {"csv": ",", "tsv": "\t"}.get(self.kind)


@dataclass(frozen=True)
class Place:
    """How far a file has been written: bytes, their SHA-256, the columns of a table, and those it has no room for."""

    bytes: int = 0
    sha256: str = NOTHING
    columns: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class Writer:
    """Appends records to a file or stream: JSONL, CSV or TSV, by the suffix or as its form says; `.gz` is compressed.

    Use it as a context manager. What one call of `write` is given is written whole or not at all, so the file can be
    read while it grows; what stands behind its place is given up with the first call. A table's columns
    are those of the first records; a cell that a spreadsheet would run as a formula gets an apostrophe before it.
    """

    def __init__(
        self,
        path: str,
        stream: TextIO | standard.Data | None = None,
        place: Place | None = None,
        replace: bool = False,
        look: Callable[[], None] | None = None,
        form: Form | None = None,
    ) -> None:
        """`path` decides the form, unless it is given; `-` writes to `stream` (default: standard output, as UTF-8).

        A file is locked against other writers. It is a new one (with `replace`, in the place of an old one), or, with
        `place`, one that is taken up there. `look` is called behind the lock, before anything is lost, and may raise.
        Raises InputError if the file cannot be written, exists, is in use, or is not what `place` says.
        """
        self.path = path
        self.form = form or Form.of(path)
        begun = place or Place()
        self._on_disk = files.is_file(path)  # and so this run's own; else it is written to as it comes
        self._columns = list(begun.columns)
        self.left_out = set(begun.left_out)  # columns of later records that the table has no room for
        self._stream = (stream or standard.Data()) if path == "-" else None
        self._file: io.FileIO | None = None
        self._hash = hashlib.sha256()
        if path != "-" and place is not None:
            self._file, self._hash = files.resume(path, place.bytes, place.sha256, look)
        elif path != "-":
            self._file = files.begin(path, replace, look)
        self._bytes = begun.bytes
        self._settled = place is None

    @property
    def node(self) -> list[int] | None:
        """What tells a file on a disk from others; None for a stream, pipe or device."""
        return files.node(self._file) if self._file is not None and self._on_disk else None

    @property
    def place(self) -> Place:
        """How far the file has been written."""
        return Place(self._bytes, self._hash.hexdigest(), tuple(self._columns), tuple(sorted(self.left_out)))

    @property
    def columns(self) -> Sequence[str]:
        """The columns of a table, as far as they are known."""
        return self._columns

    def write(self, records: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> None:
        """Append records, at once and whole; raises InputError if the disk does not take them.

        `columns` are those of a table that has none yet; else they are those of the records.
        """
        if self.form.delimiter is None or self._columns or not records:
            self.append(packed(records, self.form, self._columns), beyond(records, self._columns))
            return
        self._columns = list(columns or _columns_of(records))
        self.append(packed(records, self.form, self._columns, header=True), beyond(records, self._columns))

    def append(self, data: bytes, left_out: Set[str] = frozenset()) -> None:
        """Append records that are `packed`, of a table with these columns `left_out`; raises as `write` does."""
        self.left_out.update(left_out)
        self.settle()
        self._refuse_changed()
        if self._stream is not None:
            self._stream.write(data.decode())
            self._stream.flush()
        elif data:
            self._append(data)

    def _append(self, data: bytes) -> None:
        assert self._file is not None
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except BaseException as problem:
            self._cut()
            if isinstance(problem, OSError):
                raise unwritable(self.path, problem) from None
            raise
        self._bytes += len(data)
        self._hash.update(data)

    def settle(self) -> None:
        """Give up what an earlier run left behind its place."""
        if not self._settled:
            with files.named(self.path):
                self._cut()
            self._settled = True

    def _cut(self) -> None:
        """Take back whatever stands behind what has been written whole."""
        if self._file is not None and self._on_disk:
            self._file.truncate(self._bytes)
            self._file.seek(self._bytes)

    def sync(self) -> None:
        """Wait until the disk has everything, so that it outlives a power cut; raises InputError where the file is
        not there any more."""
        if self._file is not None and self._on_disk:
            self._refuse_changed()
            if not files.still_there(self.path, self._file):
                what = "was removed or replaced while it was being written"
                raise InputError(what, where=self.path, hint="move away what is there, and start the run again")
            with files.named(self.path):
                os.fsync(self._file.fileno())

    def _refuse_changed(self) -> None:
        """Raise InputError where somebody else has made the file longer or shorter."""
        file = self._file
        if self._settled and file is not None and self._on_disk and os.fstat(file.fileno()).st_size != self._bytes:
            raise InputError("was changed while it was being written", where=self.path, hint="start the run again")

    def close(self) -> None:
        """Close the file; standard output stays open."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def packed(
    records: Sequence[Mapping[str, Any]], form: Form, columns: Sequence[str] = (), header: bool = False
) -> bytes:
    """Records as they stand in a file of that form; a table has these columns, and may begin with its header.

    What is packed at a time is a gzip member of its own: the file is whole behind it, and can be cut there.
    """
    data = lines_of(records) if form.delimiter is None else _table(records, form, columns, header)
    return _zipped(data) if form.zipped and data else data


def beyond(records: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> set[str]:
    """The columns that some of the records have, and a table with these columns has no room for; none of JSON lines."""
    return set().union(*(record.keys() for record in records)) - set(columns) if columns else set()


def _table(records: Sequence[Mapping[str, Any]], form: Form, columns: Sequence[str], header: bool) -> bytes:
    lines = _Lines()
    # Told to end lines so, the csv module puts quotes around a lone \r, which would else end a line for readers.
    table = csv.writer(lines, delimiter=form.delimiter or ",", lineterminator="\r\n")
    if header:
        lines += [BOM] if form.bom else []
        table.writerow(map(_harmless, columns))
    for record in records:
        text = dumps if isinstance(record, Exact) else _json
        table.writerow([_cell(record.get(name), text) for name in columns])
    return encodable("".join(lines)).encode()


def _columns_of(records: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    """All that any of them has."""
    return list(dict.fromkeys(name for record in records for name in record))


def whole(records: Sequence[Mapping[str, Any]], form: Form) -> bytes:
    """All bytes of a file with these records."""
    data = packed(records, form, _columns_of(records), header=bool(records))
    return data or (_zipped(data) if form.zipped else data)  # a file without any record is one all the same


def _zipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


class _Lines(list[str]):
    """Takes the lines of a table as a file would; they end in a line feed only."""

    def write(self, line: str) -> None:
        self.append(line.removesuffix("\r\n") + "\n")


def _cell(value: Any, text: Callable[[Any], str]) -> str:
    if value is None:
        return ""
    return _harmless(value) if isinstance(value, str) else text(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _harmless(text: str) -> str:
    """The text with an apostrophe before it where a spreadsheet would run it."""
    return f"'{text}" if FORMULA.match(text) else text
