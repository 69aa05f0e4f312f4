"""Records of a file, whatever its format: JSONL, a JSON array, CSV, TSV, each also gzipped.

A record that cannot be read does not stop the reading: it comes out as `Bad`, with its text.
"""

from __future__ import annotations

import codecs
import csv
import functools
import gzip
import io
import json
import math
import re
import sys
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import jsonlines

from promptshot.errors import InputError, fault_of, shortened

GZIP = b"\x1f\x8b"  # how a gzip file begins
PIECE = 64 << 10  # bytes read at once where lines do not matter
LONGEST = 64 << 20  # bytes of a line or cell; beyond, it is no file of rows, and memory would run out
DEEPEST = 50  # levels of objects and lists in a row; whatever walks them later cannot run out of stack
DIGITS = 4300  # of a number; Python itself writes no longer ones


@dataclass(frozen=True)
class Bad:
    """A record that cannot be read: why, and what it says."""

    reason: str
    raw: str


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


_UNREADABLE = (OSError, EOFError, zlib.error)


def records(path: str) -> Iterator[tuple[str, dict[str, Any] | Bad]]:
    """(file:line, fields or what is bad) of every record of one file; `-` is standard input.

    Raises InputError for a file that cannot be read as a whole.
    """
    name = "<stdin>" if path == "-" else path
    try:
        with _open(path) as stream:
            head = _head(stream)
            kind = _format(path, b"".join(head))
            if kind == "array":
                yield from _array_of(chain(head, _pieces(stream, PIECE)), name)
                return
            head[-1:] = [line + _rest(stream, line) for line in head[-1:]]
            _refuse_foreign(b"".join(head[-1:]), kind, name)
            lines = chain(head, _pieces(stream, LONGEST))
            if kind == "jsonl":
                yield from json_lines(lines, name)
            else:
                yield from _table(lines, name, "\t" if kind == "tsv" else ",")
    except _UNREADABLE as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise InputError(f"cannot be read ({reason})", where=name, hint="check the path") from None


def _open(path: str) -> io.BufferedReader:
    if path == "-" and (sys.stdin is None or sys.stdin.closed):
        raise InputError("standard input is closed", where="<stdin>", hint="it can be read only once")
    try:
        raw: Any = sys.stdin.buffer if path == "-" else open(path, "rb")
    except ValueError:  # a NUL, or characters that no file system can hold
        raise InputError("no file can have this name", where=path, hint="check the path") from None
    reader: io.BufferedReader = raw if hasattr(raw, "peek") else io.BufferedReader(raw)
    if reader.peek(2)[:2] != GZIP:
        return reader
    zipped: Any = gzip.GzipFile(fileobj=reader)
    zipped.myfileobj = reader  # so that closing the one closes the other
    return io.BufferedReader(zipped)


def _pieces(stream: io.BufferedReader, most: int) -> Iterator[bytes]:
    """The lines of a stream, in pieces where they are longer than `most` bytes."""
    return iter(functools.partial(stream.readline, most), b"")


def _head(stream: io.BufferedReader) -> list[bytes]:
    """The first lines, up to one that is not blank, or to its first piece; without a byte order mark.

    They are read, not peeked at: a pipe may be slow.
    """
    head: list[bytes] = []
    for line in _pieces(stream, PIECE):
        head.append(line if head else line.removeprefix(codecs.BOM_UTF8))
        if head[-1].strip():
            break
    return head


def _rest(stream: io.BufferedReader, line: bytes) -> bytes:
    return b"" if line.endswith(b"\n") else stream.readline(LONGEST)


def _refuse_foreign(first: bytes, kind: str, name: str) -> None:
    """Say plainly what another encoding or line end is, in place of a complaint about each row."""
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError("this is UTF-16", where=name, hint="save it as UTF-8")
    inside = first.strip()
    if kind != "array" and b"\n" not in first and (b"}\r" if kind == "jsonl" else b"\r") in inside:
        raise InputError("its lines end with CR alone", where=name, hint="make line ends of them: tr '\\r' '\\n'")


def _endless(name: str, number: int) -> InputError:
    where = f"{name}:{number}"
    return InputError(f"a line of more than {LONGEST:,} bytes", where=where, hint="is it a file of rows?")


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
    return "tsv" if b"\t" in head else "csv"


class _Refused(ValueError):
    """JSON as it should be, but nothing that a row can say; `str()` is the reason."""


def _no_constant(name: str) -> float:
    raise _Refused(f"not valid JSON: {name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _Refused(f"the number {text[:40]} is too large")
    return value


def _whole(text: str) -> int:
    if len(text) > DIGITS:
        raise _Refused(f"a number of more than {DIGITS:,} digits")
    return int(text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        doubled = shortened(repr(_first_doubled(key for key, _ in pairs)))
        raise _Refused(f"the key {doubled} stands twice in an object")
    return found


def _first_doubled(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)  # type: ignore[func-returns-value]


_DECODER = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite, parse_int=_whole, object_pairs_hook=_once)
_LENIENT = json.JSONDecoder(parse_float=str, parse_int=str)  # finds the end of what the other refuses


def _loads(text: str | bytes) -> Any:
    assert isinstance(text, str)  # jsonlines has decoded it
    value = _DECODER.decode(text)
    _refuse_depth(value, text)
    return value


def _refuse_depth(value: Any, text: str) -> None:
    if text.count("{") + text.count("[") <= DEEPEST:  # the usual case, told without a walk
        return
    level = [value]
    for _ in range(DEEPEST + 1):
        if not level:
            return
        nested = (v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list))
        level = list(chain.from_iterable(nested))
    raise _Refused(f"nested too deeply (more than {DEEPEST} levels)")


def json_lines(lines: Iterable[bytes], name: str) -> Iterator[tuple[str, dict[str, Any] | Bad]]:
    """(file:line, fields or what is bad) of every line that is not blank."""
    number, last = 0, b""

    def counted() -> Iterator[bytes]:
        nonlocal number, last
        try:
            for last in lines:
                number += 1
                if len(last) >= LONGEST:
                    raise _endless(name, number)
                yield last
        except EOFError as problem:  # a torn gzip file; jsonlines would take it for the end
            raise OSError(str(problem)) from None

    reader = jsonlines.Reader(counted(), loads=_loads)
    while True:
        try:
            value = reader.read(type=dict, skip_empty=True)
            yield f"{name}:{number}", value
        except EOFError:
            return
        except jsonlines.InvalidLineError as problem:
            yield f"{name}:{number}", Bad(_json_reason(problem.__cause__), _shown([last]))
        except RecursionError:
            yield f"{name}:{number}", Bad("nested too deeply", _shown([last]))


def _json_reason(cause: BaseException | None) -> str:
    if isinstance(cause, UnicodeDecodeError):
        return f"not UTF-8 (byte {cause.start + 1})"
    if isinstance(cause, json.JSONDecodeError):
        what, at = _stumble(cause.doc, cause.pos)
        return f"not valid JSON: {what} (column {at + 1})"
    return str(cause) if cause else "not a JSON object"


_OPEN_TEXT = re.compile(r'"(?:[^"\\]|\\.)*\\?\Z', re.DOTALL)


def _stumble(text: str, at: int) -> tuple[str, int]:
    """What keeps a text from being JSON, in our words (Pythons differ in theirs), and at which character."""
    if not text[at:].strip() or _OPEN_TEXT.match(text, at):
        return "it ends too early", len(text.rstrip())
    quotes = "; JSON has double quotes" if text[at] == "'" else ""
    return f"unexpected {text[at]!r}{quotes}", at


def _shown(lines: Sequence[bytes]) -> str:
    """Lines as they stand in the file; bytes that are no UTF-8 as escapes."""
    return b"".join(lines).decode("utf-8", "backslashreplace").rstrip("\r\n")


def _array_of(lines: Iterable[bytes], name: str) -> Iterator[tuple[str, dict[str, Any] | Bad]]:
    """The rows of a JSON array, read as a whole; those before a tear in the file are kept."""
    taken: list[bytes] = []
    torn: Exception | None = None
    try:
        taken.extend(lines)
    except _UNREADABLE as problem:
        torn = problem
    try:
        yield from _array(b"".join(taken), name)
    except InputError:
        if torn is None:
            raise
    if torn is not None:
        raise torn


def _array(data: bytes, name: str) -> Iterator[tuple[str, dict[str, Any] | Bad]]:
    """The objects of a JSON array; the place of each is the line on which it begins."""
    text = data.decode("utf-8", "surrogateescape")
    line, counted = 1, 0
    at = _skip_space(text, text.find("[") + 1)
    while text[at : at + 1] != "]":
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, end = _item(text, at)
            after = _skip_space(text, end)
            if text[after : after + 1] not in (",", "]"):
                raise json.JSONDecodeError("Expecting ',' or ']'", text, after)
        except (ValueError, RecursionError) as problem:
            raise _array_error(problem, text, at, f"{name}:{line}") from None
        yield f"{name}:{line}", value
        at = after if text[after] == "]" else _skip_space(text, after + 1)
    if rest := text[at + 1 :].strip():
        raise InputError(f"text after the end of the array: {rest[:40]!r}", where=name, hint="mend the array")


def _item(text: str, at: int) -> tuple[dict[str, Any] | Bad, int]:
    """The item that begins at `at`, or why it is no row, and where it ends; raises where the syntax is broken."""
    try:
        value, end = _DECODER.raw_decode(text, at)
        _refuse_depth(value, text[at:end])
        reason = "" if isinstance(value, dict) else "not a JSON object"
    except _Refused as problem:
        value, end = _LENIENT.raw_decode(text, at)
        reason = str(problem)
    raw = text[at:end].encode("utf-8", "surrogateescape")
    if broken := _decoding_error(raw):
        reason = _json_reason(broken)
    return (Bad(reason, _shown([raw])) if reason else value), end


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


class _Lines:
    """Feeds lines to a csv reader; those of a record that fails can be put back, all but its first."""

    def __init__(self, lines: Iterator[bytes], name: str) -> None:
        self.taken: list[bytes] = []  # the lines of the record being read
        self.broken = False  # whether one of them is no UTF-8
        self.ended = False  # whether it wanted more lines than there are
        self.first = 1  # the number of the first of them
        self._lines, self._name = lines, name
        self._waiting: deque[bytes] = deque()

    def next_record(self, lines: int | None = None) -> None:
        """Go on behind the lines that were taken, or behind the first few of them."""
        lines = len(self.taken) if lines is None else lines
        self._waiting.extendleft(reversed(self.taken[lines:]))
        self.first += lines
        self.taken, self.broken, self.ended = [], False, False

    def __iter__(self) -> Iterator[str]:
        while (line := self._waiting.popleft() if self._waiting else next(self._lines, None)) is not None:
            if len(line) >= LONGEST:
                raise _endless(self._name, self.first + len(self.taken))
            self.taken.append(line)
            try:
                yield line.decode()
            except UnicodeDecodeError:
                self.broken = True
                yield line.decode("utf-8", "surrogateescape")
        self.ended = True


def _table(lines: Iterator[bytes], name: str, delimiter: str) -> Iterator[tuple[str, dict[str, Any] | Bad]]:
    kind = "TSV" if delimiter == "\t" else "CSV"
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST))  # 128 KB otherwise: less than a long text
    source = _Lines(lines, name)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    header: list[str] = []
    while True:
        where = f"{name}:{source.first}"
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error:
            reason = _table_problem(source, kind)
            if not header:
                raise InputError(reason, where=where, hint="the first line names the columns") from None
            yield where, Bad(reason, _shown(source.taken[:1]))
            source.next_record(1)  # a quote that never closes must not take other rows with it
            reader = csv.reader(source, delimiter=delimiter, strict=True)
            continue
        if header and values:
            reason = _table_reason(source, len(values), len(header))
            fields = dict(zip(header, values, strict=False))
            yield where, Bad(reason, _shown(source.taken)) if reason else fields
        elif values:
            header = _header(values, where)
        source.next_record()


def _table_problem(source: _Lines, kind: str) -> str:
    """What a csv reader stumbled over, by a look of our own: its complaints are of one type, and may be reworded."""
    if len(source.taken) > 1 or source.ended:
        return "a quote opens here and never closes"
    before, quote, _ = source.taken[0].partition(b'"')
    if quote and b"\r" not in before:
        return f"not valid {kind}: text behind a closing quote"
    return f"not valid {kind}: a line end (CR alone) in a cell without quotes"


def _table_reason(source: _Lines, cells: int, columns: int) -> str:
    """Why a record of a table is no row; empty if it is one."""
    if source.broken:
        return _json_reason(_decoding_error(b"".join(source.taken)))
    if len(source.taken) > 1 and sum(line.count(b'"') for line in source.taken) % 2:
        return f"quotes that do not pair, over {len(source.taken)} lines"
    return "" if cells == columns else f"{cells} cells under a header of {columns}"


def _decoding_error(raw: bytes) -> UnicodeDecodeError | None:
    try:
        raw.decode()
    except UnicodeDecodeError as problem:
        return problem
    return None


def _header(values: list[str], where: str) -> list[str]:
    doubled = _first_doubled(values)
    if doubled is not None:
        what = f"column {shortened(repr(doubled))} stands twice in the header"
        raise InputError(what, where=where, hint="give each column its own name")
    if any(fault_of(value) for value in values):
        raise InputError("the header is not UTF-8 text", where=where, hint="save the file as UTF-8")
    return values
