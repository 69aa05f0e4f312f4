"""Tables: CSV and TSV as data sets have them and as spreadsheets write them.

A CSV has cells in quotes, which may hold delimiters, line ends and doubled quotes. A TSV is mostly written without any
quoting, as GLUE's files are: there a quote is text, unless a whole cell is properly quoted.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from promptshot.errors import InputError, fault_of, shortened
from promptshot.rows.streams import LONGEST, decoding_error, encoding_advice, shown

DELIMITERS = (",", ";", "|", "\t")
LOOKED_AT = 20  # lines from which a delimiter is told, where the header leaves it open
WORDS = 4  # of a sentence, at least
HALF = 0.5  # of them, at least; the others may be parts of cells with line ends
TRIES = 20  # lines at which a quote may seem to close; a cell that has more is none
PATIENCE = 200_000  # lines of a CSV that are read again because of quotes that lead nowhere; from then on
FEW = 100  # lines are all that a cell may have
_SEP = re.compile(rb'"?sep=([^"\r\n])"?\r?\n?', re.IGNORECASE)


@dataclass(frozen=True)
class Bad:
    """A record that cannot be read: why, and what it says."""

    reason: str
    raw: str


@dataclass(frozen=True)
class Odd:
    """A record that was read, and what looks odd about it."""

    fields: dict[str, Any]
    remark: str


Value = dict[str, Any] | Odd | Bad  # what a record of any file is


@dataclass(frozen=True)
class _Record:
    """Some lines of a table as cells, or why they are none."""

    first: int  # the number of its first line
    lines: Sequence[bytes]
    cells: Sequence[str] = ()
    reason: str = ""

    @property
    def blank(self) -> bool:
        return not self.reason and not self.cells


def first_doubled(names: Iterable[str]) -> str | None:
    """The first name that stands there twice."""
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)  # type: ignore[func-returns-value]


def endless(name: str, number: int) -> InputError:
    """A line that is too long to be one."""
    return InputError(f"a line of more than {LONGEST:,} bytes", where=f"{name}:{number}", hint="is it a file of rows?")


# ------------------------------------------------------------------ the rows of a table


def table(
    lines: Iterator[bytes], name: str, delimiter: str | None, header: bool = True
) -> Iterator[tuple[str, dict[str, Any] | Odd | Bad]]:
    """(file:line, fields or what is bad) of every record; without a delimiter, the first lines tell it.

    Without `header`, columns are called by their numbers. Raises InputError for a header that names nothing.
    """
    source = _Lines(lines, name)
    delimiter = _said(source) or delimiter or _likeliest(source)
    columns: list[str] = []
    named = 0  # of the columns, as trailing ones may have no name
    for record in _by_tabs(source) if delimiter == "\t" else _by_quotes(source, delimiter):
        where = f"{name}:{record.first}"
        if record.blank or (len(columns) > 1 and len(record.cells) == 1 and not record.cells[0].strip()):
            continue
        if not columns:
            columns = _header(record, where) if header else _numbers(len(record.cells))
            named = max((i for i, column in enumerate(columns, 1) if column), default=1)
            if header:
                continue
        yield where, _fields(record, columns, named, delimiter)
    if source.torn:
        raise source.torn


def _numbers(columns: int) -> list[str]:
    """The names of columns that have none: their numbers; a lone one is the text."""
    return [str(i + 1) for i in range(columns)] if columns > 1 else ["text"]


def _fields(record: _Record, columns: Sequence[str], named: int, delimiter: str) -> dict[str, Any] | Odd | Bad:
    """A record under the names of its columns; what stands under no name is called by its number."""
    cells = record.cells
    if reason := record.reason or _broken(record):
        return Bad(reason, shown(record.lines))
    if not named <= len(cells) <= len(columns):
        return Bad(f"{len(cells)} cells under a header of {len(columns)}", shown(record.lines))
    found: dict[str, Any] = dict(zip(columns[:named], cells, strict=False))
    for i in range(named, len(cells)):
        if cells[i]:
            name = f"column {i + 1}"
            found[name if name not in found else f"{name} (unnamed)"] = cells[i]
    return Odd(found, SWALLOWED) if _swallowed(record, len(cells), delimiter) else found


SWALLOWED = "a cell in quotes holds several lines, and one looks like a row of its own; is a quote missing there?"


def _swallowed(record: _Record, cells: int, delimiter: str) -> bool:
    """Whether a line of a record ends, or begins, as a row by itself would: with a short cell without blanks, beside as
    many delimiters as a row has. The last line may end so in any case, and the first begin so."""
    if len(record.lines) < 2 or cells < 2:
        return False
    parted = [_text(line).rstrip("\r\n").split(delimiter) for line in record.lines]
    edges = [parts[-1] for parts in parted[:-1] if len(parts) >= cells]
    edges += [parts[0] for parts in parted[1:] if len(parts) >= cells]
    return any(map(_LABEL_LIKE.fullmatch, edges))


_LABEL_LIKE = re.compile(r"[^\s\"]{1,30}")


def _broken(record: _Record) -> str:
    """Why a record that could be cut into cells is none all the same."""
    if not all(map(bytes.isascii, record.lines)) and (problem := decoding_error(b"".join(record.lines))):
        return f"not UTF-8 (byte {problem.start + 1})"
    if len(record.lines) > 1 and sum(line.count(b'"') for line in record.lines) % 2:
        return f"quotes that do not pair, over {len(record.lines)} lines"
    return ""


def _header(record: _Record, where: str) -> list[str]:
    """The names of the columns; trailing ones may be empty, as spreadsheets write them."""
    data = "if it is no header: --no-header"
    if record.reason:
        raise InputError(record.reason, where=where, hint=f"the first line names the columns; {data}")
    names = list(record.cells)
    if decoding_error(b"".join(record.lines)) or any(map(fault_of, names)):
        advice = encoding_advice(where.rpartition(":")[0]) or "save the file as UTF-8"
        raise InputError("the header is not UTF-8 text", where=where, hint=advice)
    named = len(names)
    while named and not names[named - 1].strip():
        named -= 1
    doubled = first_doubled(names[:named] if "" not in names[:named] else names)
    if doubled is not None:
        what = f"column {shortened(repr(doubled))} stands twice in the header"
        hint = f"give each column its own name; {data}" if looks_like_data(names) else "give each column its own name"
        raise InputError(what, where=where, hint=hint)
    return names if "" in names[:named] else [*names[:named], *[""] * (len(names) - named)]


def looks_like_data(names: Sequence[str]) -> bool:
    """Whether the names of columns read like a row: a number, or a sentence."""
    numbered = [str(i + 1) for i in range(len(names))]
    if list(names) == numbered:  # they were given
        return False
    if len(names) == 1 and (len(names[0].split()) > 3 or len(re.findall("[\u3400-\u9fff]", names[0])) > 7):
        return True
    return any(re.fullmatch(r"[-+]?\d+([.,]\d+)?", n) or len(n) > 60 or _is_sentence(n) for n in names)


def _is_sentence(name: str) -> bool:
    """Whether it ends as a sentence does; `Descr.` is a word, and so is `How many?`."""
    ends = re.search(r"\w[.!?。！？]$", name) is not None
    return ends and (len(name.split()) > 2 or len(re.findall("[\u3400-\u9fff]", name)) > 2)


# ------------------------------------------------------------------ lines


class _Lines:
    """The lines of a table one by one, as text; some can be looked at ahead, and put back."""

    def __init__(self, lines: Iterator[bytes], name: str) -> None:
        self.number = 1  # of the next line
        self.torn: InputError | None = None  # what ended them too early
        self._lines, self._name = lines, name
        self._ahead: deque[bytes] = deque()

    def take(self) -> bytes | None:
        """The next line; None at the end. Raises InputError for one without end."""
        line = self.peek()
        if line is not None:
            if len(line) >= LONGEST:
                raise endless(self._name, self.number)
            self._ahead.popleft()
            self.number += 1
        return line

    def peek(self, ahead: int = 0) -> bytes | None:
        """The next line, or one behind it, which stays."""
        while len(self._ahead) <= ahead:
            try:
                line = next(self._lines, None)
            except InputError as problem:  # it waits until the lines before it have been taken
                self.torn, line = problem, None
            if line is None:
                return None
            self._ahead.append(line)
        return self._ahead[ahead]

    def put_back(self, lines: Sequence[bytes]) -> None:
        """Take these lines again."""
        self._ahead.extendleft(reversed(lines))
        self.number -= len(lines)


def _text(line: bytes) -> str:
    return line.decode("utf-8", "surrogateescape")


def _said(source: _Lines) -> str | None:
    """The delimiter that a first line `sep=;` names, as Excel reads it."""
    first = source.peek()
    found = _SEP.fullmatch(first) if first else None
    if found is None:
        return None
    source.take()
    return _text(found[1])


def is_table(lines: Sequence[bytes], names: Sequence[str]) -> bool:
    """Whether the first lines of a file are those of a CSV rather than texts: the first has a column of one of these
    names, or a sign parts it and most of the others alike."""
    said = [line for line in lines if line.strip()]
    if not said or _SEP.fullmatch(said[0]):
        return True
    headers = {sign: _cells(said[0], sign) for sign in DELIMITERS}
    if any(cell.strip().casefold() in names for cells in headers.values() for cell in cells):
        return True
    parted = [sign for sign, cells in headers.items() if len(cells) > 1 and not _is_prose(_text(said[0]), sign)]
    return len(said) > 1 and any(_alike(sign, said[0], said[1:]) >= HALF for sign in parted)


def _is_prose(line: str, sign: str) -> bool:
    """Whether a sign stands in a line as in a sentence: among several words, and never without a blank behind it."""
    return len(line.split()) >= WORDS and not re.search(rf"{re.escape(sign)}(?=\S)", line.strip())


def _alike(sign: str, first: bytes, behind: Sequence[bytes]) -> float:
    """The share of lines that a sign parts into as many cells as the first."""
    columns = len(_cells(first, sign))
    return sum(len(_cells(line, sign)) == columns for line in behind) / len(behind) if behind else 1.0


def _likeliest(source: _Lines) -> str:
    """The delimiter of a CSV: of the signs that the header has, the one that parts the lines behind it like it."""
    at = 0
    while (first := source.peek(at)) is not None and not first.strip():
        at += 1
    signs = [sign for sign in DELIMITERS if first and len(_cells(first, sign)) > 1]
    if signs in ([], [","]):
        return ","
    behind = [line for i in range(at + 1, at + LOOKED_AT) if (line := source.peek(i)) is not None and line.strip()]
    share = {sign: _alike(sign, first or b"", behind) for sign in signs}
    best = max(signs, key=share.__getitem__)
    return best if share[best] >= HALF else ","  # a sign that the header alone has: `Comment; be honest`


def _cells(line: bytes, sign: str) -> list[str]:
    try:
        return next(csv.reader([_text(line)], delimiter=sign), [])
    except csv.Error:
        return []


# ------------------------------------------------------------------ CSV


def _by_quotes(source: _Lines, delimiter: str) -> Iterator[_Record]:
    """Records by the rules of CSV. A quote that never closes costs its own line, and no other."""
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST))  # 128 KB otherwise: less than a long text
    taken: list[bytes] = []
    ended = False  # whether the reader wanted more lines than there are
    again = 0  # lines that were read more than once, because a quote led nowhere

    def feed() -> Iterator[str]:
        nonlocal ended
        while (again < PATIENCE or len(taken) < FEW) and (line := source.take()) is not None:
            taken.append(line)
            yield _text(line)
        ended = True

    reader = csv.reader(feed(), delimiter=delimiter, strict=True)
    while True:
        first = source.number
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            if ended and source.torn and len(taken) <= FEW:  # in the middle of a cell
                return
            yield _Record(first, taken[:1], reason=_problem(taken, ended))
            source.put_back(taken[1:])
            again += len(taken) - 1
            reader, ended = csv.reader(feed(), delimiter=delimiter, strict=True), False
        else:
            yield _Record(first, tuple(taken), cells)
        taken.clear()


def _problem(taken: Sequence[bytes], ended: bool) -> str:
    """What a csv reader stumbled over, by a look of our own: its complaints are of one type, and may be reworded."""
    if len(taken) > 1 or ended:
        return "a quote opens here and never closes"
    before, quote, _ = taken[0].partition(b'"')
    if quote and b"\r" not in before:
        return "not valid CSV: text behind a closing quote"
    return "not valid CSV: a line end (CR alone) in a cell without quotes"


# ------------------------------------------------------------------ TSV


def _by_tabs(source: _Lines) -> Iterator[_Record]:
    r"""Records of a TSV: mostly a line each, whatever quotes are in it.

    "Good \t 1          two cells, where the header has two: the quote is text
    "a \t b" \t 1       three cells, but two where the quotes are taken for such, as the header has: they are quotes
    "a                  one cell; with the next line two, as the header has, and neither is a row by itself:
    b" \t 1             the two are one record
    """
    columns = 0
    while (line := source.take()) is not None:
        first, lines = source.number - 1, [line]
        cells = _parted(line)
        if not columns and cells != [""]:  # the header; blank lines may stand before it
            columns = len(_in_quotes(line) or cells)
        if b'"' not in line:  # the usual case
            yield _Record(first, (line,), [] if cells == [""] else cells)
            continue
        cells, quoted = list(map(_unquoted, cells)), _in_quotes(line)
        if len(cells) != columns and quoted is not None and len(quoted) == columns:
            cells = quoted
        elif quoted is None and (more := _goes_on(source, line, columns)):
            lines += [taken for _ in range(more) if (taken := source.take()) is not None]
            cells = _in_quotes(b"".join(lines)) or []
        yield _Record(first, tuple(lines), cells)


def _parted(line: bytes) -> list[str]:
    return _text(line).rstrip("\r\n").split("\t")


def _closing(text: str, at: int) -> int:
    """Where the quote that opens at `at` closes; doubled quotes are text. -1 where it does not."""
    while (at := text.find('"', at + 1)) >= 0 and text[at + 1 : at + 2] == '"':
        at += 1
    return at


def _unquoted(cell: str) -> str:
    """A cell without the quotes around it, where it is properly quoted as a whole."""
    whole = len(cell) > 1 and cell[0] == '"' and _closing(cell, 0) == len(cell) - 1
    return cell[1:-1].replace('""', '"') if whole else cell


def _in_quotes(lines: bytes) -> list[str] | None:
    """The cells of some lines where quotes are taken for such; None where one is left open or text follows it."""
    text, cells, at = _text(lines).rstrip("\r\n"), [], 0
    while True:
        if text.startswith('"', at):
            end = _closing(text, at) + 1
            if not end or text[end : end + 1] not in ("", "\t"):
                return None
            cells.append(text[at + 1 : end - 1].replace('""', '"'))
        else:
            end = text.find("\t", at)
            end = len(text) if end < 0 else end
            cells.append(text[at:end])
        if end >= len(text):
            return cells
        at = end + 1


def _goes_on(source: _Lines, line: bytes, columns: int) -> int:
    """How many of the next lines belong to a cell in quotes that this one opens; 0 where its quote is text.

    A line that could be a row by itself never does: a whole one is followed by parts only, a part goes on until its
    quote is closed, unless a line without any quote has all the cells of a row.
    """
    cells = _parted(line)
    whole, lines, tries = len(cells) == columns, [line], 0
    if columns < 2 or not _opens(cells, whole):
        return 0
    while tries < TRIES and (next_line := source.peek(len(lines) - 1)) is not None:
        alone = len(_parted(next_line)) == columns
        if alone and (whole or b'"' not in next_line):
            return 0
        lines.append(next_line)
        if b'"' in next_line:
            tries += 1
            if (closed := _in_quotes(b"".join(lines))) is not None:
                return len(lines) - 1 if len(closed) == columns else 0
    return 0


def _opens(cells: Sequence[str], whole: bool) -> bool:
    """Whether a cell begins with a quote that its line does not close; of a line that could be a row, the last."""
    cell = cells[-1] if whole else next((cell for cell in reversed(cells) if cell.startswith('"')), "")
    return cell.startswith('"') and _closing(cell, 0) != len(cell) - 1
