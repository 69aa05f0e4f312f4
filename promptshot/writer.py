"""Records out: JSONL, CSV and TSV, gzip or not, to files or standard output."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from promptshot.errors import InputError


class Writer:
    """Writes records to a file or stream: JSONL, or CSV/TSV by the suffix; `.gz` is compressed.

    Use it as a context manager. A table's columns are those of the first records given to `write`.
    """

    def __init__(self, path: str, stream: IO[str] | None = None) -> None:
        """`path` decides the format; `-` writes to `stream` (default: standard output)."""
        self.path = path
        suffix = Path(path.lower().removesuffix(".gz")).suffix
        self._delimiter = {".csv": ",", ".tsv": "\t"}.get(suffix)
        self._owned = path != "-"
        try:
            self._stream = self._open() if self._owned else (stream or sys.stdout)
        except OSError as problem:
            raise InputError(f"cannot be written ({problem.strerror})", where=path) from None
        self._columns: list[str] = []
        self.left_out: set[str] = set()  # columns of later records that the table has no room for

    def _open(self) -> IO[str]:
        if self.path.lower().endswith(".gz"):
            # No name and no time inside: the same rows give the same bytes.
            binary = gzip.GzipFile("", "wb", fileobj=open(self.path, "wb"), mtime=0)
            return io.TextIOWrapper(binary, encoding="utf-8", newline="")
        return open(self.path, "w", encoding="utf-8", newline="")

    def write(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Append records and flush, so that the file can be read while the run goes on."""
        if self._delimiter is None:
            lines = (json.dumps(r, ensure_ascii=False, allow_nan=False) + "\n" for r in records)
            self._stream.writelines(map(_encodable, lines))
        elif records:
            self._write_table(records, self._delimiter)
        self._stream.flush()

    def _write_table(self, records: Sequence[Mapping[str, Any]], delimiter: str) -> None:
        table = csv.writer(self._stream, delimiter=delimiter, lineterminator="\n")
        if not self._columns:
            self._columns = list(dict.fromkeys(name for record in records for name in record))
            table.writerow(map(_encodable, self._columns))
        for record in records:
            self.left_out.update(record.keys() - set(self._columns))
            table.writerow([_encodable(_cell(record.get(name))) for name in self._columns])

    def close(self) -> None:
        """Close the file; standard output stays open."""
        if self._owned:
            binary = getattr(getattr(self._stream, "buffer", None), "fileobj", None)
            self._stream.close()
            if binary is not None:
                binary.close()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _encodable(text: str) -> str:
    """Lone surrogates (legal in JSON escapes) as escapes again, so that UTF-8 can be written."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "".join(f"\\u{ord(c):04x}" if 0xD800 <= ord(c) <= 0xDFFF else c for c in text)
    return text
