"""Rows in: JSONL, a JSON array, CSV and TSV, gzip or not, from files or standard input.

A row that cannot be read does not stop the reading: it comes out as a Reject, with its place and text.
"""

from __future__ import annotations

import codecs
import csv
import functools
import gzip
import io
import json
import math
import random
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonlines

from promptshot.errors import InputError, RowError, shortlist

# The names under which data sets keep what templates call text, text_a, text_b and label.
ALIASES: dict[str, tuple[str, ...]] = {
    "text": (
        *("text", "sentence", "content", "review", "body", "abst", "title", "headline", "question"),
        *("query", "comment", "utterance", "文本", "内容", "句子", "正文", "评论", "标题"),
    ),
    "text_a": (*("text_a", "sentence1", "premise", "text1", "question1", "sentence_a", "query1", "句子1", "文本1"),),
    "text_b": (*("text_b", "sentence2", "hypothesis", "text2", "question2", "sentence_b", "query2", "句子2", "文本2"),),
    "label": (
        *("label", "gold", "gold_label", "class", "category", "target", "answer", "label_desc", "label_des"),
        *("sentiment", "标签", "类别", "分类"),
    ),
}

GZIP = b"\x1f\x8b"  # how a gzip file begins


@dataclass(frozen=True)
class Row:
    """One row: its own fields, where it stands (file:line), its number in the run, and given columns."""

    fields: Mapping[str, Any]
    source: str = ""
    key: int = 0
    columns: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __getitem__(self, name: str) -> Any:
        """The value of a field, by the column given for it, its own name, or a usual other name."""
        column = self.column(name)
        if column is None:
            flag = "--text-field" if name == "text" else "--label-field" if name == "label" else ""
            flag = flag + " NAME" if flag else f"--map {name}=COLUMN"
            given = self.columns.get(name)
            missing = f"no column {given!r} for field {name!r}" if given else f"no field {name!r}"
            has = shortlist(_flat(self.fields)) or "nothing"
            raise RowError(f"{missing}; the row has: {has}", where=self.source, hint=f"try {flag}")
        return _flat(self.fields)[column] if column not in self.fields else self.fields[column]

    def column(self, name: str) -> str | None:
        """The column that serves as field `name` in this row, if any."""
        if name in self.columns:
            names: tuple[str, ...] = (self.columns[name],)
        else:
            names = (name, *ALIASES.get(name, ()))
        found = next((n for n in names if n in self.fields), None)
        return found or next((n for n in names if "." in n and n in _flat(self.fields)), None)

    def text(self, name: str, join: str | None = None) -> str:
        """The field as text; a list needs `join`. Raises RowError if it is empty or no text."""
        value = self[name]
        if isinstance(value, list) and join is not None:
            value = join.join(str(v) for v in value)
        if isinstance(value, bool | int | float):
            value = json.dumps(value)
        if not isinstance(value, str):
            kind = {dict: "an object", list: "a list", type(None): "null"}.get(type(value), "no text")
            hint = f"give the template fields: {{{name}: {{join: ', '}}}}" if isinstance(value, list) else ""
            raise RowError(f"field {name!r} is {kind}, not text", where=self.source, hint=hint)
        if not value.strip():
            raise RowError(f"field {name!r} is empty", where=self.source, hint="remove the row or fill it")
        return value


@dataclass(frozen=True)
class Reject:
    """A row that was left out: where it stands, why, and what it said."""

    source: str
    reason: str
    raw: str
    key: int = 0

    def record(self) -> dict[str, str]:
        """What the rejects file says of it."""
        return {"source": self.source, "reason": self.reason, "raw": self.raw}


Item = Row | Reject


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested objects as plain names: {"a": {"b": 1}} has "a.b" as well."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        found[prefix + name] = value
        if isinstance(value, dict):
            found.update(_flat(value, f"{prefix}{name}."))
    return found


# ------------------------------------------------------------------ reading


def read(paths: Sequence[str], columns: Mapping[str, str] | None = None) -> Iterator[Item]:
    """Every row of the files, in order, numbered from 0; `-` is standard input.

    Raises InputError for a file that is missing, empty or not readable as a whole.
    """
    key = 0
    for path in paths:
        empty = True
        for source, value in _records(path):
            empty = False
            if isinstance(value, Reject):
                yield Reject(source, value.reason, value.raw, key)
            else:
                yield Row(value, source, key, columns or {})
            key += 1
        if empty:
            raise InputError("no rows in it", where=path, hint="one JSON object a line, or CSV with a header")


def select(items: Iterable[Item], limit: int | None, sample: int | None, seed: int) -> Iterator[Item]:
    """The first `limit` items; of these `sample` at random (seeded, in their order, memory for `sample`)."""
    taken = items if limit is None else _first(items, limit)
    if sample is None:
        yield from taken
        return
    kept: list[Item] = []
    rng = random.Random(seed)
    for number, item in enumerate(taken):
        if number < sample:
            kept.append(item)
        elif (slot := rng.randrange(number + 1)) < sample:
            kept[slot] = item
    yield from sorted(kept, key=lambda item: item.key)


def count(paths: Sequence[str]) -> int | None:
    """How many rows there are, where plain lines tell it cheaply (JSONL in any plain file); else None."""
    total = 0
    for path in paths:
        if not Path(path).is_file():
            return None
        with open(path, "rb") as stream:
            head = stream.peek(4096).removeprefix(codecs.BOM_UTF8)
            if head[:2] == GZIP or _format(path, head) != "jsonl":
                return None
            last = b"\n"
            while block := stream.read(1 << 20):
                total, last = total + block.count(b"\n"), block[-1:]
            total += last != b"\n"
    return total


def _first(items: Iterable[Item], limit: int) -> Iterator[Item]:
    """At most `limit` items, without reading one too many."""
    iterator = iter(items)
    for _ in range(limit):
        try:
            yield next(iterator)
        except StopIteration:
            return


def _records(path: str) -> Iterator[tuple[str, dict[str, Any] | Reject]]:
    """(file:line, fields or Reject) of one file, whatever its format."""
    name = "<stdin>" if path == "-" else path
    try:
        with _open(path) as stream:
            head = stream.peek(4096)[:4096].removeprefix(codecs.BOM_UTF8)
            kind = _format(path, head)
            if kind == "array":
                yield from _array(stream.read(), name)
            elif kind == "jsonl":
                yield from _json_lines(stream, name)
            else:
                yield from _table(stream, name, "\t" if kind == "tsv" else ",")
    except (OSError, EOFError, gzip.zlib.error) as problem:  # type: ignore[attr-defined]
        reason = getattr(problem, "strerror", None) or str(problem)
        raise InputError(f"cannot be read ({reason})", where=name, hint="check the path") from None


def _open(path: str) -> io.BufferedReader:
    raw: Any = sys.stdin.buffer if path == "-" else open(path, "rb")
    if path != "-" and raw.peek(2)[:2] == GZIP:
        zipped = gzip.GzipFile(fileobj=raw)
        zipped.myfileobj = raw  # so that closing the one closes the other
        raw = io.BufferedReader(zipped)
    reader: io.BufferedReader = raw if hasattr(raw, "peek") else io.BufferedReader(raw)
    return reader


def _format(path: str, head: bytes) -> str:
    """jsonl, array, csv or tsv: by the first character, then the suffix, then the first line."""
    start = head.lstrip()[:1]
    suffixes = [s.lower() for s in Path(path).suffixes if s.lower() != ".gz"]
    suffix = suffixes[-1] if suffixes else ""
    if suffix in (".csv", ".tsv"):
        return suffix[1:]
    if start == b"[" and (suffix not in (".jsonl", ".ndjson") or head.lstrip()[1:].lstrip()[:1] == b"{"):
        return "array"
    if start == b"{" or suffix in (".jsonl", ".json", ".ndjson") or not start:
        return "jsonl"
    return "tsv" if b"\t" in head.split(b"\n", 1)[0] else "csv"


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text} is too large")
    return value


_loads = functools.partial(json.loads, parse_constant=_no_constant, parse_float=_finite)


def _json_lines(stream: Iterable[bytes], name: str) -> Iterator[tuple[str, dict[str, Any] | Reject]]:
    number, last = 0, b""

    def counted(lines: Iterable[bytes]) -> Iterator[bytes]:
        nonlocal number, last
        try:
            for last in lines:
                number += 1
                yield last
        except EOFError as problem:  # a torn gzip file; jsonlines would take it for the end
            raise OSError(str(problem)) from None

    reader = jsonlines.Reader(counted(_without_bom(stream)), loads=_loads)
    while True:
        try:
            value = reader.read(type=dict, skip_empty=True)
            yield f"{name}:{number}", value
        except EOFError:
            return
        except jsonlines.InvalidLineError as problem:
            yield f"{name}:{number}", Reject("", _json_reason(problem), _shown([last]))
        except RecursionError:
            yield f"{name}:{number}", Reject("", "nested too deeply", _shown([last]))


def _json_reason(problem: jsonlines.InvalidLineError) -> str:
    cause = problem.__cause__
    if isinstance(cause, UnicodeDecodeError):
        return f"not UTF-8 (byte {cause.start + 1})"
    if isinstance(cause, json.JSONDecodeError):
        return f"not valid JSON: {cause.msg} (column {cause.colno})"
    return f"not valid JSON: {cause}" if cause else "not a JSON object"


def _shown(lines: Sequence[bytes]) -> str:
    """Lines as they stand in the file; bytes that are no UTF-8 as escapes."""
    return b"".join(lines).decode("utf-8", "backslashreplace").rstrip("\r\n")


def _without_bom(stream: Iterable[bytes]) -> Iterator[bytes]:
    for number, line in enumerate(stream):
        yield line.removeprefix(codecs.BOM_UTF8) if number == 0 else line


def _array(data: bytes, name: str) -> Iterator[tuple[str, dict[str, Any] | Reject]]:
    """The objects of a JSON array; the place of each is the line on which it begins."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise InputError(f"not UTF-8 (byte {problem.start + 1})", where=name, hint="save it as UTF-8") from None
    decoder = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)
    line, counted = 1, 0
    at = _skip_space(text, text.index("[") + 1)
    while text[at : at + 1] != "]":
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, end = decoder.raw_decode(text, at)
            after = _skip_space(text, end)
            if text[after : after + 1] not in (",", "]"):
                raise json.JSONDecodeError("Expecting ',' or ']'", text, after)
        except (ValueError, RecursionError) as problem:
            raise _array_error(problem, text, at, f"{name}:{line}") from None
        if isinstance(value, dict):
            yield f"{name}:{line}", value
        else:
            yield f"{name}:{line}", Reject("", "not a JSON object", text[at:end])
        at = after if text[after] == "]" else _skip_space(text, after + 1)
    if rest := text[at + 1 :].strip():
        raise InputError(f"text after the end of the array: {rest[:40]!r}", where=name, hint="mend the array")


def _array_error(problem: ValueError | RecursionError, text: str, at: int, where: str) -> InputError:
    """Says on which line the item that begins at `at` (its place is `where`) is broken."""
    name, _, line = where.rpartition(":")
    position = getattr(problem, "pos", at)
    what = "nested too deeply" if isinstance(problem, RecursionError) else getattr(problem, "msg", str(problem))
    place = f"{name}:{int(line) + text.count(chr(10), at, position)}"
    return InputError(f"not valid JSON: {what}", where=place, hint="mend the array")


_SPACE = re.compile(r"[ \t\r\n]*")


def _skip_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _table(stream: Iterable[bytes], name: str, delimiter: str) -> Iterator[tuple[str, dict[str, Any] | Reject]]:
    taken: list[bytes] = []  # the lines of the record being read

    def lines() -> Iterator[str]:
        for line in _without_bom(stream):
            taken.append(line)
            yield line.decode("utf-8", "surrogateescape")

    reader = csv.reader(lines(), delimiter=delimiter)
    header: list[str] = []
    while True:
        first = reader.line_num + 1
        taken.clear()
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as problem:
            if not header:
                raise InputError(f"not {_kind(delimiter)}: {problem}", where=name, hint="save it as UTF-8") from None
            yield f"{name}:{first}", Reject("", f"not valid {_kind(delimiter)}: {problem}", _shown(taken))
            continue
        if not header:
            header = _header(values, name)
            continue
        if not values:
            continue
        reason = _table_reason(b"".join(taken), len(taken), len(values), len(header))
        fields = dict(zip(header, values, strict=False))
        yield f"{name}:{first}", Reject("", reason, _shown(taken)) if reason else fields


def _table_reason(raw: bytes, lines: int, cells: int, columns: int) -> str:
    """Why a record of a table is no row; empty if it is one."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as problem:
        return f"not UTF-8 (byte {problem.start + 1})"
    if lines > 1 and raw.count(b'"') % 2:
        return f"a quote opens here and never closes (it takes {lines} lines)"
    return "" if cells == columns else f"{cells} cells under a header of {columns}"


def _kind(delimiter: str) -> str:
    return "TSV" if delimiter == "\t" else "CSV"


def _header(values: list[str], name: str) -> list[str]:
    doubled = sorted({v for v in values if values.count(v) > 1})
    if doubled:
        raise InputError(f"column {doubled[0]!r} stands twice in the header", where=f"{name}:1")
    if any("\udc80" <= c <= "\udcff" for v in values for c in v):
        raise InputError("the header is not UTF-8", where=f"{name}:1", hint="save the file as UTF-8")
    return values
