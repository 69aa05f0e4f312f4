"""The labels that rows carry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from promptshot.errors import OptionError, RowError
from promptshot.prompts import sets
from promptshot.prompts.verbalizer import Verbalizer, gold_text, whole_number
from promptshot.rows import columns
from promptshot.rows.row import Row

MOST_LABELS = 200


@dataclass(frozen=True)
class Judged:
    """Whether a row may have several labels, and what is between them in a text."""

    several: bool = False
    separator: str | None = None


ONE = Judged()
ANY = Verbalizer("", {})  # no labels, as long as these are looked for


@dataclass(frozen=True)
class Carried:
    """The labels that rows carry, sorted, and how those were read that are spelled in several ways."""

    labels: list[str]
    reasons: tuple[str, ...] = ()


def labels_of(rows: Iterable[Row], field: str = "label", judged: Judged = ONE) -> Carried:
    """The distinct labels the rows carry, also where one has several if they are to be `judged` so; those that differ
    in case only are one, in the spelling that most rows have.

    Raises OptionError beyond 200 of them.
    """
    found: dict[str, Counter[str]] = {}
    lacking: Row | None = None  # the first of the rows, as long as none has the column that was named
    for place, row in enumerate(rows):
        column = row.column(field)
        if field in row.columns:
            lacking = (row if place == 0 else lacking) if column is None else None
        for value in _values(row, column, judged):
            number = whole_number(value)
            label = value.strip() if number is None else str(number)
            found.setdefault(label.casefold(), Counter())[label] += 1
        if len(found) > MOST_LABELS:
            what = f"more than {MOST_LABELS} different labels in column {column!r}"
            raise OptionError(what, hint=f"{columns.missing([row], field)}, or say --labels a,b,c")
    if lacking is not None:
        raise lacking.refuse(field, lacking.columns[field])
    usual = {label: max(spelled, key=spelled.__getitem__) for label, spelled in found.items()}
    several = [spelled for spelled in found.values() if len(spelled) > 1]
    told = tuple(f"labels that differ in case only are one: {' and '.join(of)}" for of in several)
    return Carried(sorted(usual.values()), told)


def _values(row: Row, column: str | None, judged: Judged) -> list[str]:
    """The labels of a row; none where it has several and one is looked for: it will be told when it is scored."""
    try:
        if judged.several:
            return sets.texts_of(row, column, ANY, judged.separator) or []
        value = gold_text(row, column)
    except RowError:
        return []
    return [] if value is None else [value]
