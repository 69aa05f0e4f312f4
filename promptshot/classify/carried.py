"""The labels that rows carry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from promptshot.errors import OptionError, RowError
from promptshot.prompts.verbalizer import gold_text, whole_number
from promptshot.rows import columns
from promptshot.rows.row import Row

MOST_LABELS = 200


@dataclass(frozen=True)
class Carried:
    """The labels that rows carry, sorted, and how those were read that are spelled in several ways."""

    labels: list[str]
    reasons: tuple[str, ...] = ()


def labels_of(rows: Iterable[Row], field: str = "label") -> Carried:
    """The distinct labels the rows carry; those that differ in case only are one, in the spelling that most rows have.

    Raises OptionError beyond 200 of them.
    """
    found: dict[str, Counter[str]] = {}
    lacking: Row | None = None  # the first of the rows, as long as none has the column that was named
    for place, row in enumerate(rows):
        column = row.column(field)
        if field in row.columns:
            lacking = (row if place == 0 else lacking) if column is None else None
        try:
            value = gold_text(row, column)
        except RowError:  # several labels: the row will be told when it is scored
            continue
        if value is not None:
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
