"""Which columns of the rows serve as a template's fields, and what else could have been meant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from promptshot.errors import shortlist
from promptshot.rows.row import ALIASES, JUDGEMENTS, Row, folded, joined, nested, no_header

LOOKED_AT = 200  # rows
SHORT = 40  # characters of a label


@dataclass(frozen=True)
class Taken:
    """The column that serves as a field, and the others that could, where nobody said which."""

    field: str
    column: str
    others: tuple[str, ...] = ()
    said: bool = False  # whether it was named
    parts: tuple[str, ...] = ()  # the columns that it is made of, where they were said as several

    @property
    def resolved(self) -> str:
        """The column, or the several, as they are spelled there."""
        return joined(self.parts) if self.parts else self.column

    @property
    def flag(self) -> str:
        """How to name another."""
        return {"text": "--text-field", "label": "--label-field"}.get(self.field, f"--map {self.field}=")


def taken(rows: Sequence[Row], fields: Sequence[str]) -> list[Taken]:
    """The columns that serve as these fields in the first row that has each; those of no row are left out."""
    first = {name: row for name in fields if (row := _first_with(rows, name)) is not None}
    columns = {name: str(row.column(name)) for name, row in first.items()}
    used = set(columns.values())
    return [
        _said(first[name], name, column)
        if name in first[name].columns
        else Taken(name, column, _others(first[name], name, used))
        for name, column in columns.items()
    ]


def _said(row: Row, name: str, column: str) -> Taken:
    """The column that was named for a field, or the several that are joined."""
    parts = row.parts(name)
    return Taken(name, column, said=True, parts=() if parts == (column,) else parts)


def _first_with(rows: Sequence[Row], field: str) -> Row | None:
    return next((row for row in rows[:LOOKED_AT] if row.column(field) is not None), None)


def _others(row: Row, name: str, used: set[str]) -> tuple[str, ...]:
    """The columns that go by another usual name of a field, where none goes by its own."""
    if row.column(name) == name:
        return ()
    usual = {folded(alias) for alias in ALIASES.get(name, ())}
    alike = [column for column, value in row.fields.items() if folded(column) in usual and _is_plain(value)]
    return tuple(column for column in alike if column not in used and row.fields[column] not in JUDGEMENTS)


def _is_plain(value: Any) -> bool:
    return value is not None and not isinstance(value, dict) and value != ""


def refuse_lacking(rows: Iterable[Row], fields: Sequence[str]) -> None:
    """Raise InputError where a field has no column in any of the rows; where it was named as several, each must be."""
    first: Row | None = None
    lacking: dict[tuple[str, str], None] = {}
    for row in rows:
        if first is None:
            first = row
            lacking = {(name, column): None for name in fields for column in row.lacking(name)}
        else:
            here = {name: row.lacking(name) for name, _ in lacking}
            lacking = {(name, column): None for name, column in lacking if column in here[name]}
        if not lacking:
            return
    if first is not None:
        raise first.refuse(*next(iter(lacking)))


def told(taken_columns: Sequence[Taken], rows: Sequence[Row], labels: Sequence[str] = ()) -> list[str]:
    """What a user should know of the columns that were taken; nothing where all go by their own names.

    `labels` are the fields of which a row need have none; that no row has them is told too.
    """
    lines = []
    if any(one.parts or (one.column != one.field and not one.said) for one in taken_columns):
        parts = [f"{one.field} is {_called(one)}" + _or(one) for one in taken_columns]
        lines.append(f"columns: {', '.join(parts)}")
    for name in {*labels} - {one.field for one in taken_columns} if rows else ():
        if nested(rows[0].fields, name) or likely_label(rows):  # else they may well have no label
            lines.append(f"no column of labels is known by its name; {missing(rows, name)}")
    if judged := _judged(rows, {one.column for one in taken_columns}):
        lines.append(judged)
    return lines


def _called(column: Taken) -> str:
    several = ", a line each" if len(column.parts) > 1 else ""
    return " and ".join(map(repr, column.parts or (column.column,))) + several


def _or(column: Taken) -> str:
    return f" (or {shortlist(map(repr, column.others), 4)}? say {column.flag})" if column.others else ""


def _judged(rows: Sequence[Row], used: set[str]) -> str:
    """What an annotation tool's column of judgements says, which is no label."""
    for column in ("answer", "Answer"):
        said = Counter(str(row.fields[column]) for row in rows if row.fields.get(column) in JUDGEMENTS)
        if said and column not in used and set(said) != {"accept"}:
            counts = shortlist(f"{value} {count}" for value, count in said.items())
            return f"column {column!r} says what an annotator thought of a row ({counts}); all rows count alike"
    return ""


def missing(rows: Sequence[Row], field: str) -> str:
    """What to say where no column serves as a field: the columns there are, and the likeliest to be named."""
    row, flag = rows[0], Taken(field, "").flag
    path = nested(row.fields, field) or (likely_label(rows) if field == "label" and field not in row.columns else "")
    said = f"{flag}{path or 'NAME'}" if flag.endswith("=") else f"{flag} {path or 'NAME'}"
    return f"name the column: {said} (the row has: {shortlist(row.fields) or 'nothing'}){no_header(row)}"


def likely_label(rows: Sequence[Row]) -> str:
    """The one column that says again and again one of a few short things, as labels do; empty where there is none."""
    rows = rows[:LOOKED_AT]
    likely = []
    for column in rows[0].fields:
        values = [row.fields.get(column) for row in rows]
        if not all(isinstance(value, str | int) and len(str(value)) <= SHORT for value in values):
            continue
        if 1 < len(set(map(str, values))) <= len(values) / 2:
            likely.append(column)
    return likely[0] if len(likely) == 1 else ""
