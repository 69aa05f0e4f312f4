"""What the rows' own labels say, looked at before anything is scored: what is wrong with them would cost a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from promptshot import columns
from promptshot.errors import InputError, RowError, VerbalizerError, shortlist
from promptshot.recipe import Recipe
from promptshot.rows import Item, Row
from promptshot.verbalizer import RowWords, Verbalizer, whole_number

SURVEYED = 100_000  # rows whose labels are looked at; what comes behind them is told when it comes
UNLABELLED = -1  # the number by which data sets mark a row whose label is kept secret
MOST = 1000  # different values that are told apart


@dataclass
class _Survey:
    """What the labels of some rows say."""

    known: int = 0
    values: dict[str, None] = field(default_factory=dict)  # as the rows spell them
    numbers: dict[str, None] = field(default_factory=dict)  # those that may be numbers of labels
    column: bool = False  # whether any row has the column
    several: RowError | None = None  # the first row with several labels
    reach: int = -1  # where rows bring their own words: the largest index there is


def check_gold(items: Iterable[Item], recipe: Recipe) -> None:
    """Stop before any scoring when the rows' labels cannot be what the recipe takes them for.

    Raises VerbalizerError where none is known, or numbers are counted otherwise; InputError where labels were
    asked for and there is none.
    """
    if recipe.labels_ignored:
        return
    rows = [row for row, _ in zip((item for item in items if isinstance(item, Row)), range(SURVEYED), strict=False)]
    found, name = _survey(rows, recipe), recipe.template.spec.label_field
    named = recipe.columns.get(name)
    if rows and named and not found.column:
        rows[0][name]  # raises: no such column
    if found.several and not found.known:
        raise InputError(found.several.what, where=found.several.where, hint=found.several.hint)
    if rows and not found.values and (named or recipe.labels_strict):
        what = f"no row has a label in column {named!r}" if named else "no row has a label"
        raise InputError(what, where=rows[0].source, hint=columns.missing(rows[0], name))
    if found.values and not found.known:
        raise _unknown(found.values, recipe.verbalizer)
    if not recipe.labels_strict:
        check_numbers(found.numbers, recipe.verbalizer, found.reach)


def _survey(rows: Sequence[Row], recipe: Recipe) -> _Survey:
    found, name, verbalizer = _Survey(), recipe.template.spec.label_field, recipe.verbalizer
    for row in rows:
        column = row.column(name)
        found.column |= column is not None
        try:
            label, value = verbalizer.gold_label(row, column)
            if isinstance(verbalizer, RowWords):
                found.reach = max(found.reach, len(verbalizer.choices(row)) - 1)
        except RowError as problem:
            if column is not None and isinstance(row[column], list):
                found.several = found.several or problem
            continue
        found.known += label is not None
        if value is not None and len(found.values) < MOST:
            found.values[value] = None
            if not (isinstance(verbalizer, RowWords) and value in verbalizer.choices(row)):
                found.numbers[value] = None
    return found


def _unknown(values: Iterable[str], verbalizer: Verbalizer) -> VerbalizerError:
    spelled = [f"{n} ({'/'.join(g)})" if (g := verbalizer.gold.get(n)) else n for n in verbalizer.names]
    return VerbalizerError(
        f"no label fits the rows' own labels ({shortlist(values, 8)}); {verbalizer.name} knows: "
        f"{shortlist(spelled, 8)}",
        hint="add them under 'gold:', name another --label-field, or predict only: --ignore-labels",
    )


# ------------------------------------------------------------------ numbers


def check_numbers(values: Iterable[str], verbalizer: Verbalizer, reach: int = -1) -> None:
    """Refuse numbers that the label words do not count as the rows do; raises VerbalizerError.

    `values` are all that the rows say, `reach` the largest index that rows with their own words have.
    """
    said = {number for value in values if (number := whole_number(value)) is not None} - {UNLABELLED}
    known = set(range(reach + 1)) if isinstance(verbalizer, RowWords) else _numbers_of(verbalizer)
    beyond = sorted(said - set(known))
    if not said or not known or not beyond:
        return
    low, high = min(known), max(known)
    names = verbalizer.name
    if min(said) == low + 1 and max(said) == high + 1:
        what = f"the rows' labels run from {min(said)} to {max(said)}, {names} counts from {low} to {high}"
        raise VerbalizerError(f"{what}: every label would be taken for the next", hint=_in_words(said, verbalizer))
    told = shortlist(map(str, beyond), 8)
    have = (
        f"{names} counts from {low} to {high}"
        if len(known) > 8
        else f"{names} knows {shortlist(map(str, sorted(known)))}"
    )
    what = f"the rows' labels are numbers, and {told} {'are' if len(beyond) > 1 else 'is'} none of ours; {have}"
    hint = f"{_in_words(said, verbalizer)}; or leave such rows out: --strict-labels"
    raise VerbalizerError(what, hint=hint)


def _numbers_of(verbalizer: Verbalizer) -> Mapping[int, str]:
    """The numbers that stand for labels."""
    spelled = [(value, label) for label in verbalizer.names for value in (label, *verbalizer.gold.get(label, ()))]
    return {number: label for value, label in spelled if (number := whole_number(value)) is not None}


def _in_words(said: set[int], verbalizer: Verbalizer) -> str:
    """The flag that says what each number means, with the words where there are as many."""
    if isinstance(verbalizer, RowWords):
        return "count the words of a row from 0, or write the right one out"
    words = [max(of, key=lambda word: of[word]) for of in verbalizer.labels.values()]
    numbers = sorted(said)
    if len(numbers) != len(words) or len(words) > 8 or verbalizer.as_dict().get("labels") is None:
        words = ["WORD"] * len(numbers)
    pairs = [f"{number}={word}" for number, word in zip(numbers, words, strict=True)]
    return "say what each means: --labels '" + ",".join(pairs[:8]) + (",..." if len(pairs) > 8 else "") + "'"
