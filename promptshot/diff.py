"""Two files of predictions of the same rows: which is better, how sure is that, and which rows flipped. No model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from promptshot import rows
from promptshot.classify import OUTPUT_FIELDS
from promptshot.errors import InputError, OptionError, shortened
from promptshot.metrics import Paired, Tally
from promptshot.rows import Reject, Row
from promptshot.verbalizer import RowWords, Verbalizer
from promptshot.writer import FORMULA


@dataclass(frozen=True)
class Flip:
    """A row of which the two files say different things; `number` counts from 1."""

    number: int
    text: str
    gold: str | None
    a: str
    b: str
    row: Mapping[str, Any]

    def record(self) -> dict[str, Any]:
        """The row's own fields, then what was predicted."""
        found = {"row": self.number, "gold": self.gold, "prediction_a": self.a, "prediction_b": self.b}
        return {**self.row, **found}


@dataclass
class Difference:
    """Two files compared; `pairs` counts (first right, second right) of the rows with a known label."""

    paths: tuple[str, str]
    tallies: tuple[Tally, Tally] = field(default_factory=lambda: (Tally(), Tally()))
    pairs: Counter[tuple[bool, bool]] = field(default_factory=Counter)
    by_label: dict[str, Counter[tuple[bool, bool]]] = field(default_factory=dict)  # the same for every gold label
    flips: list[Flip] = field(default_factory=list)
    seed: int = 0

    @property
    def rows(self) -> int:
        return self.tallies[0].predicted

    @property
    def paired(self) -> Paired:
        """How often both were right, and so on."""
        return Paired.of(self.pairs.elements())

    @property
    def agreed(self) -> int:
        """Rows of which both say the same."""
        return self.rows - len(self.flips)

    def per_label(self) -> dict[str, dict[str, int]]:
        """Of every gold label: its rows, those that each file has right, those that B gained and lost."""
        found = {}
        for label, pairs in sorted(self.by_label.items()):
            both, lost, gained = pairs[True, True], pairs[True, False], pairs[False, True]
            right = {"right_a": both + lost, "right_b": both + gained}
            found[label] = {"rows": pairs.total(), **right, "gained": gained, "lost": lost}
        return found

    def record(self) -> dict[str, Any]:
        """Everything as plain data."""
        a, b = (_side_record(path, tally) for path, tally in zip(self.paths, self.tallies, strict=True))
        return {
            "a": a,
            "b": b,
            "rows": self.rows,
            "agreed": self.agreed,
            "paired": self.paired.summary(self.seed) if self.pairs else None,
            "per_label": self.per_label(),
            "flips": [flip.record() for flip in self.flips],
        }


def _side_record(path: str, tally: Tally) -> dict[str, Any]:
    said = tally.summary()
    kept = ("accuracy", "accuracy_interval", "macro_f1", "labelled", "predictions", "unknown_gold")
    return {"path": path, **{name: said[name] for name in kept}}


def diff(one: str, other: str, label_field: str | None = None, seed: int = 0) -> Difference:
    """Two files as `classify` writes them, row by row; raises InputError where they are not of the same rows.

    How labels are spelled is taken from the run records beside the files; without any, a row's label must be
    spelled as the predictions are.
    """
    if "-" in (one, other):
        raise OptionError("diff reads two files, not standard input", hint="write the predictions to files")
    sides = [_Side.of(path, label_field) for path in (one, other)]
    words = next((side.words for side in sides if side.words), None) or _labels_in(sides)
    sides = [replace(side, words=side.words or words) for side in sides]
    found = Difference((one, other), (Tally(sides[0].labels), Tally(sides[1].labels)), seed=seed)
    pairs = zip_longest(*(side.read() for side in sides))
    for number, (a, b) in enumerate(pairs, 1):
        if a is None or b is None:
            which, short = (other, one) if a is None else (one, other)
            hint = "did one of the runs reject rows, or stop early?"
            raise InputError(
                f"{short} ends after {number - 1:,} rows, {which} goes on", where=f"row {number}", hint=hint
            )
        _count(number, a, b, found)
    return found


@dataclass(frozen=True)
class _Found:
    """A row of one file: its own fields, what was predicted, and its gold label."""

    row: Row
    prediction: str
    gold: str | None
    value: str | None  # of the gold label, as the row spells it


def _count(number: int, a: _Found, b: _Found, found: Difference) -> None:
    _refuse_unlike(number, a.row, b.row, found.paths)
    for tally, side in zip(found.tallies, (a, b), strict=True):
        tally.add(side.prediction, side.gold, side.value)
    if a.gold is not None and b.gold is not None:
        right = a.prediction == a.gold, b.prediction == b.gold
        found.pairs[right] += 1
        found.by_label.setdefault(a.gold, Counter())[right] += 1
    if a.prediction != b.prediction:
        flip = Flip(number, _text(a.row), a.gold or a.value, a.prediction, b.prediction, a.row.fields)
        found.flips.append(flip)


def _refuse_unlike(number: int, a: Row, b: Row, paths: tuple[str, str]) -> None:
    """Raises InputError where two rows are not the same row; tables have text only, and no nulls."""
    if a.fields == b.fields:
        return
    for name in dict.fromkeys([*a.fields, *b.fields]):
        one, other = _plain(a.fields.get(name)), _plain(b.fields.get(name))
        if one != other:
            said = f"{name!r} is {shortened(one, 40)!r} in {paths[0]} and {shortened(other, 40)!r} in {paths[1]}"
            hint = "give predictions of the same rows in the same order"
            raise InputError(f"the files differ in row {number:,}: {said}", where=b.source, hint=hint)


def _plain(value: Any) -> str:
    if not isinstance(value, str):
        return "" if value is None else json.dumps(value, ensure_ascii=False)
    return value[1:] if value.startswith("'") and FORMULA.match(value[1:]) else value


def _text(row: Row) -> str:
    """What a person would know the row by."""
    columns = [column for name in ("text", "text_a", "text_b") if (column := row.column(name))]
    return " / ".join(_plain(row[column]) for column in columns or row.fields)


# ------------------------------------------------------------------ one file


class _Recipe(BaseModel):
    columns: dict[str, str] = {}
    verbalizer: dict[str, Any] = {}


class _Record(BaseModel):
    """What a run record says of labels."""

    gold_field: str = "label"
    recipe: _Recipe = _Recipe()


@dataclass(frozen=True)
class _Side:
    """A file of predictions, the columns of its fields, and how its run spelled labels, where that is known."""

    path: str
    columns: Mapping[str, str]
    words: Verbalizer | None = None
    gold_field: str = "label"

    @classmethod
    def of(cls, path: str, label_field: str | None) -> _Side:
        """With what the run record says, if one lies beside it."""
        beside = Path(f"{path}.run.json")
        try:
            said = _Record.model_validate_json(beside.read_bytes()) if beside.is_file() else _Record()
        except (OSError, ValidationError):
            raise InputError("not a run record of ours", where=str(beside), hint="move it away") from None
        words = said.recipe.verbalizer
        columns = said.recipe.columns | ({said.gold_field: label_field} if label_field else {})
        if isinstance(words.get("words_from"), str | list):
            return cls(path, columns, RowWords.of_field(path, words["words_from"]), said.gold_field)
        plain = {key: value for key, value in words.items() if key != "name"}
        return cls(path, columns, Verbalizer.parse(plain, str(beside)) if plain else None, said.gold_field)

    @property
    def labels(self) -> tuple[str, ...]:
        return self.words.names if self.words else ()

    def read(self) -> Iterator[_Found]:
        """Its rows; raises InputError for one that is no prediction."""
        for item in rows.read([self.path], self.columns):
            if isinstance(item, Reject):
                raise InputError(item.reason, where=item.source, hint="is it a file of predictions?")
            prediction = item.fields.get("prediction")
            if not isinstance(prediction, str):
                hint = "give files as written by: promptshot classify -o"
                raise InputError("no field 'prediction' with a label in it", where=item.source, hint=hint)
            own = {name: value for name, value in item.fields.items() if name not in OUTPUT_FIELDS}
            row = Row(own, item.source, item.key, item.columns)
            gold, value = self.words.gold_label(row, row.column(self.gold_field)) if self.words else (None, None)
            yield _Found(row, _plain(prediction), gold, value)


def _labels_in(sides: list[_Side]) -> Verbalizer:
    """The labels that the files predict, for want of a run record."""
    seen = dict.fromkeys(found.prediction for side in sides for found in side.read())
    return Verbalizer("predictions", {label: {label: 1.0} for label in seen})
