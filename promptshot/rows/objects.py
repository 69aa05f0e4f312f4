"""Rows from what a Python program has: a text, a mapping, several of them, a data frame. It needs no pandas."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from promptshot.errors import OptionError, shortened
from promptshot.rows.row import Item, Reject, Row
from promptshot.rows.tables import first_doubled

PIECE = 1024  # rows of a data frame that are made dicts at once
MISSING = ("NAType", "NaTType")  # the types of pandas' own marks for what is not there
WHAT = "give a text, a dict, a list of them, or a data frame"


def is_one(given: Any, needs: Sequence[str], columns: Mapping[str, str]) -> bool:
    """Whether it is a single row: a text, a mapping, a Row, the row of a data frame, or what is missing."""
    if isinstance(given, str | Mapping | Row | Reject):
        return True
    return _is_missing(given) or _is_row_of_frame(given, needs, columns)


def rows_of(given: Any, needs: Sequence[str], columns: Mapping[str, str]) -> Iterator[Item]:
    """The rows that it holds, those of which can be made nothing as Rejects (see `check` for what holds none).

    `needs` are the fields of the template, `columns` the columns that were named for them.
    """
    if is_one(given, needs, columns):
        given = [given]
    for key, one in enumerate(_each(given)):
        if isinstance(one, Row | Reject):
            yield one
            continue
        fields, source = _fields(one, needs, columns), f"row {key + 1}"
        if isinstance(fields, str):
            yield Reject(source, fields, repr(one)[:200], key)
        else:
            yield Row(fields, source, key, columns)


def check(given: Any) -> None:
    """Refuse at once what holds no rows, whatever becomes of them; raises OptionError."""
    if is_frame(given):
        _refuse_doubled(given)
    elif _is_missing(given) or isinstance(given, Row | Reject):
        return
    elif isinstance(given, bytes | bytearray) or not hasattr(given, "__iter__") or getattr(given, "ndim", 1) == 0:
        raise OptionError(f"{_called(given)} holds no rows", hint=WHAT)


def _each(given: Any) -> Iterator[Any]:
    """The items of something that holds several."""
    if is_frame(given):
        for start in range(0, len(given), PIECE):
            yield from given.iloc[start : start + PIECE].to_dict("records")
    elif hasattr(given, "iter_rows") and hasattr(given, "columns"):  # polars
        yield from given.iter_rows(named=True)
    elif hasattr(given, "to_pylist"):  # pyarrow
        yield from given.to_pylist()
    else:
        yield from given


def is_frame(given: Any) -> bool:
    """Whether it is a data frame of pandas."""
    return hasattr(given, "iloc") and hasattr(given, "columns") and hasattr(given, "to_dict")


def _refuse_doubled(frame: Any) -> None:
    if (doubled := first_doubled(map(str, frame.columns))) is not None:
        raise OptionError(f"column {shortened(repr(doubled))} stands twice", hint="give each column its own name")


def _is_row_of_frame(given: Any, needs: Sequence[str], columns: Mapping[str, str]) -> bool:
    """A series of pandas whose index names columns, as `frame.iloc[0]` has it, and not the texts of many rows."""
    if not (hasattr(given, "iloc") and hasattr(given, "index") and not hasattr(given, "columns")):
        return False
    names = list(islice(given.index, PIECE))
    if not names or not all(isinstance(name, str) for name in names):
        return False
    row = Row(dict.fromkeys(names, ""), columns=columns)
    return any(row.column(name) is not None for name in needs)


def _fields(one: Any, needs: Sequence[str], columns: Mapping[str, str]) -> dict[str, Any] | str:
    """The fields of a row, or why there are none."""
    if isinstance(one, Mapping):
        return {str(name): plain(value) for name, value in one.items()}
    if _is_row_of_frame(one, needs, columns):
        return {str(name): plain(value) for name, value in one.to_dict().items()}
    value = plain(one)
    if value is None:
        return "the text is empty"
    if isinstance(value, str) and len(needs) == 1:
        return {columns.get(needs[0], needs[0]): value}
    if isinstance(one, list | tuple) and len(one) == len(needs) > 1:
        return {columns.get(name, name): plain(part) for name, part in zip(needs, one, strict=True)}
    if isinstance(value, str):
        return f"a text, and the template needs {' and '.join(needs)}: give a dict"
    if isinstance(value, bytes | bytearray):
        return "bytes, not text: decode them"
    return f"{_called(value)} is no row: give a text or a dict"


def _called(value: Any) -> str:
    return f"a value of type {type(value).__name__}"


def _is_missing(value: Any) -> bool:
    return value is None or type(value).__name__ in MISSING or (isinstance(value, float) and value != value)


def plain(value: Any) -> Any:
    """A value as JSON has it: numpy's numbers and arrays as Python's, what is missing (NaN, NA, NaT) as None."""
    if isinstance(value, str):
        return str(value)
    if _is_missing(value):
        return None
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return plain(value.tolist())
    return value


def as_lines(rows: Iterable[Item]) -> bytes:
    """Rows as JSON lines; raises OptionError for one that is none."""
    found = []
    for row in rows:
        if isinstance(row, Reject):
            raise OptionError(f"{row.source}: {row.reason}", hint=WHAT)
        found.append(json.dumps(dict(row.fields), default=str))
    return "".join(f"{line}\n" for line in found).encode()
