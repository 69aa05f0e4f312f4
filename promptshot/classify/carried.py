"""The labels that rows carry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from promptshot.errors import InputError, OptionError, RowError, many, shortened
from promptshot.prompts import sets
from promptshot.prompts.verbalizer import Verbalizer, gold_text, whole_number
from promptshot.rows import columns
from promptshot.rows.row import Row

MOST_LABELS = 200
STRAY = 0.05  # of the labelled rows: where more have several labels, that is no mishap


@dataclass(frozen=True)
class Judged:
    """Whether a row may have several labels, and what is between them in a text."""

    several: bool = False
    separator: str | None = None
    ignored: bool = False  # rows that have several all the same are no hindrance


ONE = Judged()
ANY = Verbalizer("", {})  # no labels, as long as these are looked for


@dataclass(frozen=True)
class Carried:
    """The labels that rows carry, sorted, and how those were read that are spelled in several ways."""

    labels: list[str]
    reasons: tuple[str, ...] = ()


@dataclass
class Severals:
    """Rows with several labels among those with any, where one is looked for."""

    labelled: int = 0
    rows: int = 0
    first: RowError | None = None

    def see(self, problem: RowError | None = None) -> None:
        """Take in a labelled row, with what is wrong with it where it has several."""
        self.labelled += 1
        self.rows += problem is not None
        self.first = self.first or problem

    def refuse(self, least: float = STRAY) -> None:
        """Raises InputError where they are two or more, and more than that share."""
        if self.first is not None and self.rows > max(1, least * self.labelled):
            which = f"so {'have' if self.rows > 1 else 'has'} {self.rows:,} of {many(self.labelled, 'labelled row')}"
            hint = f"{which}; use {TAKEN}, keep one, or predict only: --ignore-labels"
            raise InputError(self.first.what, where=self.first.where, hint=hint)


TAKEN = "--multi-label, or templates with 'labels: several'"


def labels_of(rows: Iterable[Row], field: str = "label", judged: Judged = ONE) -> Carried:
    """The distinct labels the rows carry, also where one has several if they are to be `judged` so; those that differ
    in case only are one, in the spelling that most rows have.

    Raises OptionError beyond 200 of them, InputError where rows have several and one is looked for, or they have no
    labels but a 0 or 1 for each.
    """
    found: dict[str, Counter[str]] = {}
    lacking: Row | None = None  # the first of the rows, as long as none has the column that was named
    severals, flags = Severals(), sets.Flags()
    for place, row in enumerate(rows):
        column = row.column(field)
        if field in row.columns:
            lacking = (row if place == 0 else lacking) if column is None else None
        try:
            values = _values(row, column, judged)
        except RowError as problem:
            if column is not None and isinstance(row[column], list):
                severals.see(problem)
            continue
        if values:
            severals.see()
            flags.see(row, values)
        for value in values:
            number = whole_number(value)
            label = value.strip() if number is None else str(number)
            found.setdefault(label.casefold(), Counter())[label] += 1
        if len(found) > MOST_LABELS:
            what = f"more than {MOST_LABELS} different labels in column {column!r}"
            raise OptionError(what, hint=f"{columns.missing([row], field)}, or say --labels a,b,c")
    if lacking is not None:
        raise lacking.refuse(field, lacking.columns[field])
    if not judged.ignored:
        severals.refuse(0 if len(found) < 2 else STRAY)
    if fault := flags.problem():
        raise InputError(fault.what, where=fault.where, hint=fault.hint)
    usual = {label: max(spelled, key=spelled.__getitem__) for label, spelled in found.items()}
    several = [spelled for spelled in found.values() if len(spelled) > 1]
    told = tuple(f"labels that differ in case only are one: {' and '.join(of)}" for of in several)
    joins = joining(usual, usual.keys(), judged)
    return Carried(sorted(usual.values()), (*told, *([joins] if joins else [])))


def joining(values: Mapping[str, str], known: Container[str], judged: Judged) -> str:
    """That a label which rows carry is others with a sign between them, and how to part them; empty where none is.

    Values and what is known are in lower case, the former with how they are spelled.
    """
    for value, spelled in values.items():
        if (sign := sets.joined_by(value, known, judged.separator)) is None:
            continue
        what = f"the rows have a label that joins others, {shortened(spelled)!r}"
        unusual = judged.several or sign not in f"[{sets.USUAL}"
        flags = [TAKEN] * (not judged.several) + [f"--label-separator '{sign}'"] * unusual
        one = f", and labels are parted by {judged.separator!r} only" if judged.separator else ""
        return f"{what}{one}; where these are several labels of a row: {' and '.join(flags)}"
    return ""


def _values(row: Row, column: str | None, judged: Judged) -> list[str]:
    """The labels of a row; raises RowError where it has several and one is looked for."""
    if judged.several:
        return sets.texts_of(row, column, ANY, judged.separator) or []
    value = gold_text(row, column)
    return [] if value is None else [value]
