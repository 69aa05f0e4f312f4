"""What the rows' own labels say, looked at before anything is scored: what is wrong with them would cost a run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from promptshot.classify.carried import Judged, Severals, joining
from promptshot.classify.recipe import Recipe
from promptshot.errors import InputError, RowError, VerbalizerError, shortlist
from promptshot.prompts import sets
from promptshot.prompts.labels import NAME, NUMBERED, SIGNS
from promptshot.prompts.task import Task
from promptshot.prompts.verbalizer import RowWords, Verbalizer, whole_number
from promptshot.rows import columns
from promptshot.rows.row import Item, Row

SURVEYED = 100_000  # rows whose labels are looked at; what comes behind them is told when it comes
UNLABELLED = -1  # the number by which data sets mark a row whose label is kept secret
MOST = 1000  # different values that are told apart
LABEL = "label"  # the column of a row that has nothing else


@dataclass
class _Survey:
    """What the labels of some rows say."""

    first: Row | None = None
    known: int = 0
    values: dict[str, str] = field(default_factory=dict)  # but for case -> as the first row spells it
    places: Counter[tuple[int, int]] = field(default_factory=Counter)  # of own words: (place from 0, the largest)
    column: bool = False  # whether any row has the column
    several: Severals = field(default_factory=Severals)  # rows with several labels, where one is looked for
    flags: sets.Flags = field(default_factory=sets.Flags)  # where a row may have several, a 0 or 1 for each
    empty: int = 0  # rows that say that no label holds
    raw: dict[str, dict[tuple[str, Any], int]] = field(default_factory=dict)  # label -> (type, value) -> rows

    def take(self, said: Iterable[tuple[str | None, str, Any]], rows: int = 1) -> None:
        """Take in what so many rows say (see `Task.said`)."""
        for label, value, raw in said:
            self.known += rows * (label is not None)
            if label is not None:
                _count(raw, self.raw.setdefault(label, {}), rows)
            if len(self.values) < MOST:
                self.values.setdefault(value.strip().casefold(), value.strip())


@dataclass(frozen=True)
class Looked:
    """What the rows' labels can be doubted for, in a line, and how predictions are spelled so that they equal them."""

    doubt: str = ""
    spelling: Mapping[str, Any] = field(default_factory=dict)
    unlike: str = ""  # that predictions are not spelled as the rows' labels are


def check_gold(items: Iterable[Item], recipe: Recipe) -> Looked:
    """Stop before any scoring when the rows' labels cannot be what the recipe takes them for.

    Raises VerbalizerError where none is known, or numbers are counted otherwise; InputError where labels were
    asked for and there is none.
    """
    if recipe.labels_ignored:
        return Looked()
    found, name = _survey(items, recipe), recipe.task.label_field
    named = recipe.columns.get(name)
    if found.first is None:
        return Looked()
    if named and not found.column:
        found.first[name]  # raises: no such column
    refuse_flags(found.flags, recipe.labels)
    if (problem := found.several.first) and not found.known:
        raise InputError(problem.what, where=problem.where, hint=problem.hint)
    if not recipe.labels_optional:
        found.several.refuse()
    if not found.values and not found.empty and (named or recipe.labels_strict):
        what = f"no row has a label in column {named!r}" if named else "no row has a label"
        raise InputError(what, where=found.first.source, hint=columns.missing([found.first], name))
    joins = _joining(found, recipe)
    if found.values and not found.known:
        unknown = _unknown([*found.values.values()], recipe.verbalizer)
        if recipe.task.several and recipe.template.spec.label_separator is None:
            more = "say what separates labels: --label-separator"
            unknown = VerbalizerError(unknown.what, hint=f"{unknown.hint}; or {more}")
        elif joins:
            unknown = VerbalizerError(unknown.what, hint=f"{joins}; else {unknown.hint}")
        raise unknown
    check_places(found.places)
    doubt = check_numbers(found.values.values(), recipe.verbalizer, recipe.labels_strict)
    spelled = _spelling(found.raw, recipe)
    return Looked("; ".join(filter(None, [doubt, joins])), spelled, "" if spelled else _unlike(found.raw, recipe))


def check_flags(items: Iterable[Item], task: Task) -> None:
    """Refuse a 0 or 1 for each label where the numbers or names of several are looked for; raises InputError."""
    flags = sets.Flags()
    for row in items:
        if isinstance(row, Row):
            flags.see(row, task.spelled(row, row.column(task.label_field)))
    refuse_flags(flags, task.labels)


def refuse_flags(flags: sets.Flags, labels: Sequence[str]) -> None:
    """The same, for what has been seen of the rows."""
    if problem := flags.problem(len(labels)):
        raise InputError(problem.what, where=problem.where, hint=problem.hint)


def _joining(found: _Survey, recipe: Recipe) -> str:
    """That a label of the rows that is none of ours joins several that are."""
    known = {*recipe.verbalizer.spellings}
    unknown = {value: spelled for value, spelled in found.values.items() if value not in known}
    return joining(unknown, known, Judged(recipe.task.several, recipe.template.spec.label_separator))


def _survey(items: Iterable[Item], recipe: Recipe) -> _Survey:
    found, task = _Survey(), recipe.task
    again: dict[tuple[type, Any], int] = {}  # plain labels, which say the same in any row -> further rows with them
    for row in islice((item for item in items if isinstance(item, Row)), SURVEYED):
        found.first = found.first or row
        column = row.column(task.label_field)
        found.column |= column is not None
        value = None if column is None else row[column]
        plain = isinstance(value, str | int) and not task.several and not task.own_words
        if plain and (type(value), value) in again:
            again[type(value), value] += 1
            continue
        try:
            if task.several:
                found.flags.see(row, task.spelled(row, column))
            said = task.said(row, column)
            place = task.place(row) if task.own_words else None
        except RowError as problem:
            if isinstance(value, list) and not task.several:
                found.several.see(problem)
            continue
        if said and not task.several:
            found.several.see()
        found.places.update([place] if place else [])
        found.take(said)
        found.empty += task.several and not said and task.gold(row, column)[0] is not None
        if plain and len(again) < MOST:
            again[type(value), value] = 0
    for (_, value), rows in again.items():
        said = task.said(Row({LABEL: value}), LABEL)
        found.several.labelled += rows if said else 0
        found.take(said, rows)
    return found


def _count(raw: Any, seen: dict[tuple[str, Any], int], rows: int) -> None:
    raw = raw[0] if isinstance(raw, list) else raw.strip() if isinstance(raw, str) else raw
    key = (type(raw).__name__, raw)
    seen[key] = seen.get(key, 0) + rows


def _spelling(raw: Mapping[str, Mapping[tuple[str, Any], int]], recipe: Recipe) -> Mapping[str, Any]:
    """How each label is spelled where predictions are to equal the rows' own labels; empty where they go by name.

    Without a wish that is so where all that the rows say are numbers, one for each label.
    """
    if recipe.spelled_as == "template" or not raw or recipe.task.own_words:
        return {}
    usual = _usual(raw)
    if recipe.spelled_as == "rows":
        return {label: usual.get(label, label) for label in recipe.labels}
    if all(kind == "bool" for seen in raw.values() for kind, _ in seen):
        return usual if len(usual) == len(recipe.labels) and all(len(seen) == 1 for seen in raw.values()) else {}
    numbers: dict[str, set[int | None]] = {}
    for label in recipe.labels:  # all that are known count, whatever the rows have shown so far
        shown = {_number(value) for _, value in raw.get(label, ())}
        numbers[label] = shown | _numbers_said(label, recipe.verbalizer)
    if not all(len(of) == 1 and None not in of for of in numbers.values()):
        return {}
    as_text = all(isinstance(value, str) for value in usual.values())
    unseen = {label: next(iter(of)) for label, of in numbers.items() if label not in usual}
    spelled = {label: str(number) if as_text else number for label, number in unseen.items()}
    return {label: usual[label] if label in usual else spelled[label] for label in recipe.labels}


def _usual(raw: Mapping[str, Mapping[tuple[str, Any], int]]) -> dict[str, Any]:
    """Each label as most of its rows spell it."""
    return {label: max(seen, key=seen.__getitem__)[1] for label, seen in raw.items()}


def _unlike(raw: Mapping[str, Mapping[tuple[str, Any], int]], recipe: Recipe) -> str:
    """That predictions go by names that the rows do not use, so that no column equals another; empty where they do."""
    if recipe.spelled_as != "auto" or recipe.task.own_words:
        return ""
    other = [(label, value) for label, value in _usual(raw).items() if value != label]
    if not other:
        return ""
    label, value = other[0]
    said = f"predictions are named as the template does ({label!r} where the rows say {value!r})"
    return f"{said}; to have them as the rows spell theirs: --spelling rows"


def _number(value: Any) -> int | None:
    return None if isinstance(value, bool) else whole_number(str(value))


def _numbers_said(label: str, verbalizer: Verbalizer) -> set[int | None]:
    """The numbers by which a label is known."""
    return {number for value in (label, *verbalizer.gold.get(label, ())) if (number := _number(value)) is not None}


def _unknown(values: Sequence[str], verbalizer: Verbalizer) -> VerbalizerError:
    if isinstance(verbalizer, RowWords):
        what = (
            f"none of the rows' own labels ({shortlist(values, 8)}) is a word of its row, or its letter or place from 0"
        )
        return VerbalizerError(what, hint="name another --label-field, or predict only: --ignore-labels")
    spelled = [f"{n} ({'/'.join(g)})" if (g := verbalizer.gold.get(n)) else n for n in verbalizer.names]
    said = verbalizer.name == NAME  # by --labels, where no file has a place for spellings
    known = f"--labels says: {shortlist(spelled, 8)}" if said else f"{verbalizer.name} knows: {shortlist(spelled, 8)}"
    numbers = {number for value in values if (number := whole_number(value)) is not None}
    if numbers and not said:  # which of our labels each is, nobody can tell
        way = "say what each means: --labels '" + ",".join(f"{number}:NAME" for number in sorted(numbers)[:8]) + "'"
    else:
        way = _as_said(values) if said else "add them under 'gold:'"
    what = f"no label fits the rows' own labels ({shortlist(values, 8)}); {known}"
    return VerbalizerError(what, hint=f"{way}, name another --label-field, or predict only: --ignore-labels")


def _as_said(values: Sequence[str]) -> str:
    """What to write under --labels: the rows' own spellings, and what numbers mean."""
    plain = [re.sub(f"([{SIGNS}])", r"\\\1", value) for value in values[:3]]
    of = [f"{value}:NAME=WORD" if whole_number(value) is not None else f"{value}=WORD" for value in plain]
    return f"say them as the rows do: --labels '{','.join(of)}{',...' if len(values) > 3 else ''}'"


# ------------------------------------------------------------------ numbers


def check_places(places: Iterable[tuple[int, int]]) -> None:
    """Refuse places among the words of a row that are counted from 1; raises VerbalizerError.

    Each is (the place that a row's label says, the largest that there is, counted from 0).
    """
    places = list(places)
    beyond = [place for place, largest in places if place > largest]
    if beyond and all(place for place, _ in places):
        what = f"the rows' labels count the words of a row from 1 (up to {max(beyond)}), and would be read from 0"
        raise VerbalizerError(what, hint="take one from each, or write the letter or the word itself")


def check_numbers(values: Iterable[str], verbalizer: Verbalizer, strict: bool = False) -> str:
    """Refuse numbers that the label words do not count as the rows do; gives what can be doubted.

    With `strict`, numbers that are none of ours may be there: their rows are rejected. Where nothing says that the rows
    count from where the words do, that is no way out. Raises VerbalizerError.
    """
    said = {number for value in values if (number := whole_number(value)) is not None}
    known = _numbers_of(verbalizer)
    if known and UNLABELLED not in known and not strict and said in ({-1, 1}, {-1, 0, 1}):
        are = shortlist(map(str, sorted(said)))
        what = (
            f"the rows' labels are {are}, and {verbalizer.name} does not know -1, which else marks a row without label"
        )
        raise VerbalizerError(what, hint=_in_words(said, verbalizer) + "; or leave such rows out: --strict-labels")
    said -= {UNLABELLED} - known.keys()
    beyond = sorted(said - set(known))
    if not known or not said:
        return ""
    low, high, name = min(known), max(known), verbalizer.name
    if not beyond:
        running = low in (0, 1) and high - low == len(known) - 1
        doubt = running and len(known) > 2 and len(said) == len(known) - 1 and low not in said
        return f"no row's label is {low}: are they counted from {low + 1}? they are read from {low}" if doubt else ""
    if min(said) == low + 1 and max(said) == high + 1:
        what = f"the rows' labels run from {min(said)} to {max(said)}, {name} counts from {low} to {high}"
        raise VerbalizerError(f"{what}: each would be taken for the next", hint=_in_words(said, verbalizer))
    if strict and low in said:
        return ""
    are = "are" if len(beyond) > 1 else "is"
    counts = f"counts from {low} to {high}" if len(known) > 8 else f"knows {shortlist(map(str, sorted(known)))}"
    what = f"the rows' labels are numbers, and {shortlist(map(str, beyond), 8)} {are} none of ours: {name} {counts}"
    way_out = "; or leave such rows out: --strict-labels" if low in said else ""
    raise VerbalizerError(what, hint=_in_words(said, verbalizer) + way_out)


def _numbers_of(verbalizer: Verbalizer) -> Mapping[int, str]:
    """The numbers that stand for labels."""
    spelled = [(value, label) for label in verbalizer.names for value in (label, *verbalizer.gold.get(label, ()))]
    return {number: label for value, label in spelled if (number := whole_number(value)) is not None}


def _in_words(said: set[int], verbalizer: Verbalizer) -> str:
    """The flag that says what each number means, with the words where there are as many."""
    known = _numbers_of(verbalizer)
    ranked = [known[number] for number in sorted(known)]
    labels = [*dict.fromkeys([*ranked, *verbalizer.names])]  # in the order of their numbers
    named = {label: max(verbalizer.labels[label], key=verbalizer.labels[label].__getitem__) for label in labels}
    parts = [label if label == word else f"{label}={word}" for label, word in named.items()]
    numbers = sorted(said)
    if len(numbers) != len(parts) or len(parts) > 8 or not all(NUMBERED.fullmatch(f"0:{part}") for part in parts):
        parts = ["NAME"] * len(numbers)
    pairs = [f"{number}:{part}" for number, part in zip(numbers, parts, strict=True)]
    return "add what each means: --labels '" + ",".join(pairs[:8]) + (",..." if len(pairs) > 8 else "") + "'"
