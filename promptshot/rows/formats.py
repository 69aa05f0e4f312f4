"""Records of a file, whatever its format: JSON lines or one JSON text, tables, fastText lines, Parquet; also gzipped.

A record that cannot be read does not stop the reading: it comes out as `Bad`, with its text.
"""

from __future__ import annotations

import codecs
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import orjson

from promptshot.errors import InputError, shortened, unreadable
from promptshot.rows.columnar import arrow, parquet
from promptshot.rows.json_text import Exact, Float, Int, like
from promptshot.rows.streams import (
    GZIP,
    LONGEST,
    PIECE,
    PLAIN,
    UNREADABLE,
    Reading,
    Seen,
    Stream,
    decoding_error,
    lines_by_cr,
    opened,
    pieces,
    refuse_wide,
    shown,
)
from promptshot.rows.tables import LOOKED_AT, Bad, Value, endless, first_doubled, is_table, table

DEEPEST = 50  # levels of objects and lists in a row; whatever walks them later cannot run out of stack
DIGITS = 4300  # of a number; Python itself writes no longer ones

Records = Iterator[tuple[str, Value]]


def count(paths: Sequence[str], how: Reading = PLAIN) -> int | None:
    """How many rows there are, where plain lines tell it cheaply (JSONL in any plain file); else None."""
    total = 0
    for path in paths:
        if how.encoding or not Path(path).is_file():
            return None
        try:
            lines = _count_lines(path)
        except OSError:  # whoever reads it will tell
            return None
        if lines is None:
            return None
        total += lines
    return total if total != 1 else None  # a lone line may hold all rows


def _count_lines(path: str) -> int | None:
    """How many lines a file has, if it is JSONL."""
    with open(path, "rb") as stream:
        head = stream.peek(4096).removeprefix(codecs.BOM_UTF8)
        if head[:2] == GZIP or _format(path, head) != "jsonl":
            return None
        total, last = 0, b"\n"
        while block := stream.read(1 << 20):
            total, last = total + block.count(b"\n"), block[-1:]
        return total + (last != b"\n")


def records(path: str, how: Reading = PLAIN, seen: Seen | None = None) -> Records:
    """(file:line, fields or what is bad) of every record of one file; `-` is standard input.

    Raises InputError for a file that cannot be read as a whole; where it is torn, behind the records before the tear.
    """
    name = "<stdin>" if path == "-" else path
    try:
        with opened(path, how.encoding, seen) as stream:
            head = _head(stream)
            kind = "lines" if how.lines else _format(path, b"".join(head))
            if kind in WHOLE:
                yield from _whole(stream, head, name, WHOLE[kind])
                return
            lines = _untorn(_lines(head, stream, kind, name), stream, name)
            if kind == "jsonl":
                yield from _unless_one(json_lines(lines, name))
            elif kind == "fasttext":
                yield from _each_line(lines, name, _of_fasttext)
            elif kind == "lines":
                yield from _each_line(lines, name, _of_text)
            elif kind == "open":
                first, lines = _ahead(lines, LOOKED_AT)
                cells = not how.header or is_table(first, TEXTS)
                yield from table(lines, name, None, how.header) if cells else _each_line(lines, name, _of_text)
            else:
                yield from table(lines, name, "\t" if kind == "tsv" else None, how.header)
    except UNREADABLE as problem:
        raise _unreadable(problem, name) from None


def has_lines(path: str, how: Reading = PLAIN) -> bool:
    """Whether a file can be parted at its lines: JSON lines as they stand, neither packed nor in another encoding; a
    lone one may hold all rows."""
    if how.encoding or how.lines:
        return False
    try:
        with opened(path) as stream:
            head = _head(stream)
            first = head[-1] if head else b""
            if stream.zipped or _format(path, b"".join(head)) != "jsonl" or _has_cr(first, "jsonl"):
                return False
            refuse_wide(first, path)
            whole = first.endswith(b"\n") or stream.readline(LONGEST).endswith(b"\n")
            return whole and any(not is_blank(line) for line in pieces(stream, PIECE))
    except (*UNREADABLE, InputError):  # whoever reads it will tell
        return False


def lines(path: str, seen: Seen | None = None) -> Iterator[bytes]:
    """The lines of a file that `has_lines`, as they stand in it; raises as `records` does."""
    try:
        with opened(path, None, seen) as stream:
            for number, line in enumerate(_untorn(pieces(stream, LONGEST), stream, path), 1):
                if len(line) >= LONGEST:
                    raise endless(path, number)
                yield line
    except UNREADABLE as problem:
        raise _unreadable(problem, path) from None


def _unreadable(problem: Exception, name: str, line: int | None = None) -> InputError:
    """Why a file cannot be read, or not from that line on."""
    where = name if line is None else f"{name}:{line}"
    if isinstance(problem, InputError):
        return InputError(problem.what, where=where, hint=problem.hint)
    hint = "check the path" if line is None else "what stands before it was read; is the file whole?"
    return unreadable(where, problem, hint)


def _untorn(lines: Iterable[bytes], stream: Stream, name: str) -> Iterator[bytes]:
    """The lines of a file, and behind them the error, where it is torn; a part of a line is none."""
    number = 0
    for line in lines:
        if not line.endswith(b"\n") and stream.torn:
            break
        yield line
        number += 1
    if stream.torn:
        raise _unreadable(stream.torn, name, number + 1 if number else None)


def _head(stream: Stream) -> list[bytes]:
    """The first lines, up to one that is not blank, or to its first piece; without a byte order mark.

    They are read, not peeked at: a pipe may be slow.
    """
    head: list[bytes] = []
    for line in pieces(stream, PIECE):
        head.append(line if head else line.removeprefix(codecs.BOM_UTF8))
        if head[-1].strip():
            break
    return head


def _lines(head: list[bytes], stream: Stream, kind: str, name: str) -> Iterator[bytes]:
    """All lines of a file; they may end with CR alone, as old Macs and some spreadsheets write them."""
    first = head[-1] if head else b""
    refuse_wide(first, name)
    if _has_cr(first, kind):
        return lines_by_cr(chain(head, pieces(stream, PIECE)))
    if first and not first.endswith(b"\n"):
        head.append(stream.readline(LONGEST))
    return chain(io.BytesIO(b"".join(head)), pieces(stream, LONGEST))


def _has_cr(first: bytes, kind: str) -> bool:
    """Whether the lines of a file that begins so end with CR alone."""
    return b"\n" not in first and (b"}\r" if kind == "jsonl" else b"\r") in first.strip()


_OPEN = (b"{", b"[", b",", b":")  # how a line of JSON ends that goes on in the next


def _format(path: str, head: bytes) -> str:
    """jsonl, array, text (of JSON), csv, tsv, fasttext, parquet or arrow: by how it begins and by the suffix; open
    where its lines are texts, or those of a CSV."""
    said, suffix = head.strip(), _suffix(path)
    start = said[:1]
    if said[:4] == b"PAR1":
        return "parquet"
    if said[:6] == b"ARROW1" or head[:4] == b"\xff\xff\xff\xff":
        return "arrow"
    if suffix in (".csv", ".tsv"):
        return suffix[1:]
    if start == b"[" and (suffix not in (".jsonl", ".ndjson") or said[1:].lstrip()[:1] == b"{"):
        return "array"
    if start == b"{" and head.endswith(b"\n") and said.endswith(_OPEN):
        return "text"
    if start == b"{" or suffix in (".jsonl", ".json", ".ndjson") or not start:
        return "jsonl"
    if said.startswith(b"__label__"):
        return "fasttext"
    return "tsv" if b"\t" in head else "open"


def _suffix(path: str) -> str:
    return next((s for s in reversed(Path(path.lower()).suffixes) if s != ".gz"), "")


class _Refused(ValueError):
    """JSON as it should be, but nothing that a row can say; `str()` is the reason."""


def _no_constant(name: str) -> float:
    raise _Refused(f"not valid JSON: {name} is not JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        doubled = shortened(repr(first_doubled(key for key, _ in pairs)))
        raise _Refused(f"the key {doubled} stands twice in an object")
    return found


class _Decoder(json.JSONDecoder):
    """Reads JSON strictly, one file's objects; one that holds a number which no float can say as written is Exact."""

    def __init__(self) -> None:
        super().__init__(
            parse_constant=_no_constant,
            parse_float=self._float,
            parse_int=self._integer,
            object_pairs_hook=_once,
        )
        self._exact = False  # whether such a number has been met

    def value(self, text: str) -> Any:
        """What a whole text says."""
        self._exact = False
        value = self.decode(text)
        _refuse_depth(value, text)
        return self._as_exact(value) if self._exact else value

    def value_at(self, text: str, at: int) -> tuple[Any, int]:
        """What the text says from there on, and where that ends."""
        self._exact = False
        value, end = self.raw_decode(text, at)
        _refuse_depth(value, text[at:end])
        return self._as_exact(value) if self._exact else value, end

    def _as_exact(self, value: Any) -> Any:
        return Exact(value) if isinstance(value, dict) else value

    def _float(self, text: str) -> float:
        value = float(text)
        if repr(value) == text and "e" not in text:  # 1e-07, which would be written as 1e-7
            return value
        if math.isinf(value):
            raise _Refused(f"the number {text[:40]} is too large")
        self._exact = True
        return Float(text)

    def _integer(self, text: str) -> int:
        if len(text) > DIGITS:
            raise _Refused(f"a number of more than {DIGITS:,} digits")
        value = int(text)
        if not value and text == Int.text:
            self._exact = True
            return Int(text)
        return value


_LENIENT = json.JSONDecoder(parse_float=str, parse_int=str)  # finds the end of what the other refuses


def _refuse_depth(value: Any, text: str) -> None:
    if text.count("{") + text.count("[") <= DEEPEST:  # the usual case, told without a walk
        return
    level = [value]  # objects and lists
    for _ in range(DEEPEST):
        parts = chain.from_iterable(one.values() if isinstance(one, dict) else one for one in level)
        level = [one for one in parts if isinstance(one, dict | list)]
        if not level:
            return
    raise _Refused(f"nested too deeply (more than {DEEPEST} levels)")


def is_blank(line: bytes) -> bool:
    """Whether a line of a file of JSON lines is none of its rows."""
    return not line.rstrip()


def json_lines(lines: Iterable[bytes], name: str, before: int = 0) -> Iterator[tuple[str, dict[str, Any] | Bad]]:
    """(file:line, fields or what is bad) of every line that is not blank; so many lines stand `before` the first."""
    decoder = _Decoder()
    for number, line in enumerate(lines, before + 1):
        if len(line) >= LONGEST:
            raise endless(name, number)
        if not is_blank(line):
            yield f"{name}:{number}", _plain_object(line) or _object(line, decoder)


_PLAIN = {str, int, bool, type(None)}


def _plain_object(line: bytes) -> dict[str, Any] | None:
    """What a line says, the quick way; None where that is not certain to be what the strict way makes of it.

    orjson takes the last of doubled keys, and keeps no number's text. With as many values as there are colons in the
    line no key is doubled, and integers have no other text but -0; a line that it refuses has the strict way.
    """
    try:
        value = orjson.loads(line)
    except ValueError:
        return None
    if type(value) is not dict or line.count(b":") != len(value) or b"-0" in line:
        return None
    return value if _PLAIN.issuperset(map(type, value.values())) else None


def _object(line: bytes, decoder: _Decoder) -> dict[str, Any] | Bad:
    """What a line says, or why it is no row; a mark of the byte order, or of a new record, may stand before it."""
    try:
        text = line.decode()
        value = decoder.value(text[1:] if text.startswith(("\ufeff", "\x1e")) else text)
        reason = "" if isinstance(value, dict) else "not a JSON object"
    except RecursionError:
        reason = "nested too deeply"
    except ValueError as problem:
        reason = _json_reason(problem)
    return Bad(reason, shown([line])) if reason else value


def _json_reason(cause: ValueError) -> str:
    if isinstance(cause, UnicodeDecodeError):
        return f"not UTF-8 (byte {cause.start + 1})"
    if isinstance(cause, json.JSONDecodeError):
        what, at = _stumble(cause.doc, cause.pos)
        line, column = cause.doc.count("\n", 0, at) + 1, at - cause.doc.rfind("\n", 0, at)
        return f"not valid JSON: {what} ({f'line {line} of it, ' if line > 1 else ''}column {column})"
    return str(cause)


_OPEN_TEXT = re.compile(r'"(?:[^"\\]|\\.)*\\?\Z', re.DOTALL)


def _stumble(text: str, at: int) -> tuple[str, int]:
    """What keeps a text from being JSON, in our words (Pythons differ in theirs), and at which character."""
    if not text[at:].strip() or _OPEN_TEXT.match(text, at):
        return "it ends too early", len(text.rstrip())
    quotes = "; JSON has double quotes" if text[at] == "'" else ""
    return f"unexpected {text[at]!r}{quotes}", at


Whole = Callable[[bytes, str], Records]  # the records of a file that is read as a whole


def _whole(stream: Stream, head: Sequence[bytes], name: str, read: Whole) -> Records:
    """The rows of a file that is read as a whole; those before a tear in it are kept."""
    data = b"".join(chain(head, pieces(stream, PIECE)))
    begun = False
    try:
        for found in read(data, name):
            begun = True
            yield found
    except InputError:
        if stream.torn is None:
            raise
    if stream.torn is not None:
        raise _unreadable(stream.torn, name, data.count(b"\n") + 1 if begun else None)


def _array(data: bytes, name: str) -> Records:
    """The objects of a JSON array; the place of each is the line on which it begins."""
    text, decoder = data.decode("utf-8", "surrogateescape"), _Decoder()
    line, counted = 1, 0
    at = _skip_space(text, text.find("[") + 1)
    while text[at : at + 1] != "]":
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, end = _item(decoder, text, at)
            after = _skip_space(text, end)
            if text[after : after + 1] not in (",", "]"):
                raise json.JSONDecodeError("Expecting ',' or ']'", text, after)
        except (ValueError, RecursionError) as problem:
            raise _array_error(problem, text, at, f"{name}:{line}") from None
        yield f"{name}:{line}", value
        at = after if text[after] == "]" else _skip_space(text, after + 1)
    if rest := text[at + 1 :].strip():
        raise InputError(f"text after the end of the array: {rest[:40]!r}", where=name, hint="mend the array")


def _item(decoder: _Decoder, text: str, at: int) -> tuple[dict[str, Any] | Bad, int]:
    """The item that begins at `at`, or why it is no row, and where it ends; raises where the syntax is broken."""
    try:
        value, end = decoder.value_at(text, at)
        reason = "" if isinstance(value, dict) else "not a JSON object"
    except _Refused as problem:
        value, end = _LENIENT.raw_decode(text, at)
        reason = str(problem)
    raw = text[at:end].encode("utf-8", "surrogateescape")
    if broken := decoding_error(raw):
        reason = _json_reason(broken)
    return (Bad(reason, shown([raw])) if reason else value), end


def _array_error(problem: ValueError | RecursionError, text: str, at: int, where: str) -> InputError:
    """Says on which line the item that begins at `at` (its place is `where`) is broken."""
    name, _, line = where.rpartition(":")
    position = getattr(problem, "pos", at)
    what = "nested too deeply" if isinstance(problem, RecursionError) else _stumble(text, position)[0]
    place = f"{name}:{int(line) + text.count(chr(10), at, position)}"
    return InputError(f"not valid JSON: {what}", where=place, hint="mend the array")


_SPACE = re.compile(r"[ \t\r\n]*")


def _skip_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


# ------------------------------------------------------------------ one JSON text that holds the rows


def _text(data: bytes, name: str) -> Records:
    """The rows of JSON objects over several lines, one behind the other, or of one that holds them all."""
    yield from _unless_one(_objects(data.decode("utf-8", "surrogateescape"), name))


def _objects(text: str, name: str) -> Records:
    """Objects one behind the other; one that is broken, or part of something broken, ends where a line begins another.

    {"a":                bad: it never closes
    {"a": 1}             a row
    {"a": [              bad, up to the next line that begins with a brace; that object is followed by a comma, and so
    {"b": 1},            is bad by itself: it was to be a part of another
    """
    decoder, at, line, counted, broken = _Decoder(), 0, 1, 0, 0
    while (at := _skip_space(text, at)) < len(text):
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, end = _item(decoder, text, at)
            behind = _skip_space(text, end)
            whole = text[behind : behind + 1] not in (",", ":", "]", "}")
        except (ValueError, RecursionError):
            whole = False
        if whole:
            yield f"{name}:{line}", value
        else:
            broken += 1
            end = text.find("\n{", at) + 1 if broken < TRIES else 0
            yield from _broken(text[at : end or None], name, line, one=broken < TRIES)
        at = end or len(text)


TRIES = 1000  # broken objects; each may have been read to the end of the file to find that out


def _broken(text: str, name: str, line: int, one: bool) -> Records:
    """What became of a part of a text: one record, or one for each of its lines."""
    data = text.encode("utf-8", "surrogateescape")
    for where, value in json_lines([data] if one else io.BytesIO(data), name):
        yield f"{name}:{line + int(where.rpartition(':')[2]) - 1}", value


def _unless_one(records: Records) -> Records:
    """The records; where there is but one, and it holds all rows, these."""
    first = next(records, None)
    if first is None:
        return
    try:
        second = next(records, None)
    except Exception:  # a tear behind the first
        yield first
        raise
    if second is None:
        yield from _inside(*first)
    else:
        yield from (first, second)
        yield from records


def _inside(where: str, value: Value) -> Records:
    """The rows within an object: its one list of them, or its columns, as pandas and datasets write them."""
    inner = _rows_in(value, where) if isinstance(value, dict) else None
    if inner is None:
        yield where, value
        return
    assert isinstance(value, dict)
    for number, row in enumerate(inner, 1):
        bad = Bad("not as many cells as columns", json.dumps(row, ensure_ascii=False))
        yield f"{where} row {number}", like(value, row) if isinstance(row, dict) else bad


def _rows_in(value: Mapping[str, Any], where: str) -> Sequence[Any] | None:
    """The rows that an object holds, None where it is itself a row; raises InputError for doubled columns.

    {"columns": [...], "index": [...], "data": [[...], ...]}          pandas, orient="split"
    {"text": {"0": ..., "1": ...}, "label": {"0": ..., ...}}          pandas, columns by default
    {"0": {"text": ..., "label": ...}, "1": {...}}                    pandas, orient="index"
    {"text": [..., ...], "label": [..., ...]}                         columns as lists
    {"data": [{...}, ...], "version": 1}          its one list of objects, beside plain values
    {"data": [{"text": ...}, {"text": ...}], "meta": {...}}           the same, certain by their texts
    """
    parts = list(value.values())
    names, data = value.get("columns"), value.get("data")
    if isinstance(names, list) and isinstance(data, list) and all(isinstance(row, list) for row in data):
        return _split([*map(str, names)], data, where)
    if len(parts) > 1 and all(isinstance(part, dict) for part in parts) and len({tuple(part) for part in parts}) == 1:
        if all(map(str.isdecimal, value)) and not all(map(str.isdecimal, parts[0])):
            return parts
        return [{name: part[key] for name, part in value.items()} for key in parts[0]]
    if len(parts) > 1 and all(isinstance(part, list) for part in parts) and len(set(map(len, parts))) == 1:
        return [dict(zip(value, row, strict=True)) for row in zip(*parts, strict=True)]
    lists = [part for part in parts if isinstance(part, list)]
    if len(lists) != 1 or _is_row(value) or not lists[0] or not all(isinstance(row, dict) for row in lists[0]):
        return None
    plain = not any(isinstance(part, dict) for part in parts)
    return lists[0] if plain or (len(lists[0]) > 1 and all(map(_has_text, lists[0]))) else None


def _split(names: Sequence[str], data: Sequence[Sequence[Any]], where: str) -> list[Any]:
    """Rows of cells under the names of columns; a row of another length stays a list."""
    if (doubled := first_doubled(names)) is not None:
        what = f"column {shortened(repr(doubled))} stands twice"
        raise InputError(what, where=where, hint="give each column its own name")
    return [dict(zip(names, row, strict=True)) if len(row) == len(names) else row for row in data]


def _is_row(value: Mapping[str, Any]) -> bool:
    """Whether an object has a text of its own beside its list, as a row with spans or options has."""
    return _has_text(value) or any(isinstance(part, str) and len(part) > MOST_OF_A_NAME for part in value.values())


def _has_text(value: Mapping[str, Any]) -> bool:
    return any(isinstance(part, str) and name.strip().casefold() in TEXTS for name, part in value.items())


MOST_OF_A_NAME = 200  # characters; what is longer is a text
# The names under which rows keep their texts, the likeliest first.
TEXTS = (
    *("text", "sentence", "content", "review", "body", "abst", "passage", "question", "query", "comment"),
    *("utterance", "tweet", "message", "title", "headline", "description"),
    *("文本", "内容", "句子", "正文", "评论", "标题"),
)


# ------------------------------------------------------------------ other formats


def _ahead(lines: Iterator[bytes], count: int) -> tuple[list[bytes], Iterator[bytes]]:
    """The first lines, and all of them; where they are torn among these, whoever reads them is told."""
    first: list[bytes] = []
    try:
        first.extend(islice(lines, count))
    except InputError as problem:
        return first, chain(first, _torn(problem))
    return first, chain(first, lines)


def _torn(problem: InputError) -> Iterator[bytes]:
    yield from ()
    raise problem


def _each_line(lines: Iterable[bytes], name: str, row_of: Callable[[str], dict[str, Any]]) -> Records:
    """A row of each line that is not blank, as `row_of` makes it of its text."""
    for number, line in enumerate(lines, 1):
        if len(line) >= LONGEST:
            raise endless(name, number)
        if not line.strip():
            continue
        problem = decoding_error(line)
        bad = problem and Bad(f"not UTF-8 (byte {problem.start + 1})", shown([line]))
        yield f"{name}:{number}", bad or row_of(line.decode())


def _of_text(line: str) -> dict[str, Any]:
    """A line that is a text."""
    return {"text": line.rstrip("\r\n")}


def _of_fasttext(line: str) -> dict[str, Any]:
    """A line of fastText: `__label__good The room was clean.`; several labels make a list."""
    labels = [word.removeprefix("__label__") for word in line.split() if word.startswith("__label__")]
    return {"text": _LABELS.sub("", line).strip(), "label": labels[0] if len(labels) == 1 else labels or None}


_LABELS = re.compile(r"(?<!\S)__label__\S*\s*")  # with what parts them from the text


WHOLE: Mapping[str, Whole] = {"array": _array, "text": _text, "parquet": parquet, "arrow": arrow}
