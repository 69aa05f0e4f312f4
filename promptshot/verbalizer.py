"""Verbalizers: from labels to label words, and from word scores back to label scores."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from promptshot import flaws as codes
from promptshot import spec
from promptshot.errors import RowError, VerbalizerError, fault_of, shortlist
from promptshot.flaws import NO_LINES, Flaw, Lines
from promptshot.rows import Row

Pool = Literal["mean", "max", "logsumexp"]
Words = Mapping[str, float]  # label word -> weight
HEAVIEST = 1e9  # a weight; sums of larger ones could leave the range of numbers


class VerbalizerSpec(spec.Spec):
    """The keys of a verbalizer file."""

    labels: dict[str, str | list[str] | dict[str, float]] = Field(
        description="Every label with its words, or its words with their weights; the order decides ties."
    )
    gold: dict[str, str | list[str]] = Field(default_factory=dict, description="How data sets spell each label.")
    pool: Pool = Field(default="mean", description="How the scores of a label's words become one.")
    about: str = Field(default="", description="One line for lists.")
    source: str = Field(default="", description="Where the words come from.")


@dataclass(frozen=True)
class Verbalizer:
    """Labels, their weighted words, how words are pooled, and how data sets spell each label."""

    name: str
    labels: Mapping[str, Words]
    gold: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pool: Pool = "mean"
    about: str = ""

    @classmethod
    def load(cls, path: Path) -> Verbalizer:
        """The verbalizer in a YAML file; raises VerbalizerError with file:line."""
        data, lines = spec.load_yaml(path, VerbalizerError)
        made = spec.build(data, VerbalizerSpec, VerbalizerError, str(path), lines)
        return cls.of(made, path.stem, str(path), lines)

    @classmethod
    def parse(cls, data: Any, name: str) -> Verbalizer:
        """A verbalizer written inside a template."""
        return cls.of(spec.build(data, VerbalizerSpec, VerbalizerError, name, {}), name, name)

    @classmethod
    def of(cls, made: VerbalizerSpec, name: str, where: str = "", lines: Lines = NO_LINES) -> Verbalizer:
        """A verbalizer from its keys; refuses words and gold values that two labels share."""
        found, flaws = cls.examined(made, name)
        for flaw in flaws:
            raise flaw.error(VerbalizerError, where, lines)
        return found

    @classmethod
    def examined(cls, made: VerbalizerSpec, name: str) -> tuple[Verbalizer, list[Flaw]]:
        """The same with all its flaws."""
        labels = {label: _weighted(words) for label, words in made.labels.items()}
        gold = {label: ((values,) if isinstance(values, str) else tuple(values)) for label, values in made.gold.items()}
        return cls(name, labels, gold, made.pool, made.about), list(_flaws(labels, gold))

    @property
    def names(self) -> tuple[str, ...]:
        """The labels, in the order of the file; ties go to the first."""
        return tuple(self.labels)

    def choices(self, row: Row) -> tuple[str, ...]:
        """The words a scorer is asked about (the same for every row)."""
        return self._words

    @cached_property
    def _words(self) -> tuple[str, ...]:
        return tuple(word for words in self.labels.values() for word in words)

    def pooled(self, words: Sequence[str], scores: Sequence[float]) -> dict[str, float]:
        """Word scores (natural log) as label scores: mean, max or weighted log-sum-exp."""
        if self._single:
            return dict(zip(self.labels, scores, strict=True))
        of = dict(zip(words, scores, strict=True))
        return {label: _pool(self.pool, weights, of) for label, weights in self.labels.items()}

    @cached_property
    def _single(self) -> bool:
        """Whether each label's score is that of its one word."""
        return self.pool != "logsumexp" and all(len(words) == 1 for words in self.labels.values())

    def gold_label(self, row: Row, column: str | None) -> tuple[str | None, str | None]:
        """(our label, the row's own value as text); None where the row has no label or an unknown one."""
        shown = gold_text(row, column)
        if shown is None:
            return None, None
        label = self._by_spelling.get(shown.strip().casefold())
        number = whole_number(shown) if label is None else None
        return self._by_spelling.get(str(number)) if number is not None else label, shown

    @cached_property
    def _by_spelling(self) -> dict[str, str]:
        named = {value.casefold(): label for label, values in self.gold.items() for value in values}
        return named | {label.casefold(): label for label in self.labels}

    def as_dict(self) -> dict[str, Any]:
        """Everything that decides its results, as plain data."""
        labels = {label: dict(words) for label, words in self.labels.items()}
        gold = {label: list(values) for label, values in self.gold.items()}
        return {"name": self.name, "labels": labels, "gold": gold, "pool": self.pool}


@dataclass(frozen=True)
class RowWords(Verbalizer):
    """Each row brings its own label words (`words_from`); a word is its own label."""

    field_name: str = ""

    def choices(self, row: Row) -> tuple[str, ...]:
        words = row[self.field_name]
        plain = isinstance(words, list) and all(isinstance(word, str | int | float) for word in words)
        unlike = {str(word).strip() for word in words} - {""} if plain else set()
        if len(unlike) < 2 or len(unlike) < len(words):
            raise RowError(
                f"field {self.field_name!r} is not a list of at least two different words",
                where=row.source,
                hint="words_from takes the label words from it",
            )
        if fault := next(filter(None, map(fault_of, map(str, words))), ""):
            raise RowError(f"a word of field {self.field_name!r} has {fault}", where=row.source, hint="mend the row")
        return tuple(map(str, words))

    def pooled(self, words: Sequence[str], scores: Sequence[float]) -> dict[str, float]:
        return dict(zip(words, scores, strict=True))

    def gold_label(self, row: Row, column: str | None) -> tuple[str | None, str | None]:
        shown, words = gold_text(row, column), self.choices(row)
        if shown is None or shown in words:
            return shown, shown
        value = row[column] if column else None
        if isinstance(value, int) and not isinstance(value, bool):
            return words[value] if 0 <= value < len(words) else None, shown
        return {word.casefold(): word for word in words}.get(shown.strip().casefold()), shown

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, "words_from": self.field_name}


def of_ordered(labels: Sequence[str], name: str) -> Verbalizer:
    """Labels without words, for pairs whose one score is cut into ordered labels."""
    return Verbalizer(name, {label: {label: 1.0} for label in labels})


def gold_text(row: Row, column: str | None) -> str | None:
    """What a row says its label is, as text: 1 and 1.0 alike, a list of one as its item; None where it is empty.

    Raises RowError for several labels.
    """
    value = None if column is None else row[column]
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, list) and value and all(isinstance(one, str | int | float) for one in value):
        what = f"the row has several labels ({shortlist(map(str, value), 4)}), and one is looked for"
        raise RowError(what, where=row.source, hint="keep one, or predict only: --ignore-labels")
    if value is None or isinstance(value, dict | list):
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


_WHOLE = re.compile(r"([-+]?\d{1,18})(?:\.0+)?")


def whole_number(text: str) -> int | None:
    """The number that a text is, also as pandas writes it after a gap ("1.0"); None for anything else."""
    found = _WHOLE.fullmatch(text.strip())
    return int(found[1]) if found else None


def _weighted(words: str | list[str] | dict[str, float]) -> dict[str, float]:
    if isinstance(words, dict):
        return dict(words)
    return dict.fromkeys([words] if isinstance(words, str) else words, 1.0)


def _pool(pool: Pool, weights: Words, scores: Mapping[str, float]) -> float:
    if pool == "max":
        return max(scores[word] for word in weights)
    if pool == "mean":
        return sum(w * scores[word] for word, w in weights.items()) / sum(weights.values())
    top = max(scores[word] for word in weights)
    if not math.isfinite(top):
        return top
    return top + math.log(sum(w * math.exp(scores[word] - top) for word, w in weights.items()))


def _flaws(labels: Mapping[str, Words], gold: Mapping[str, Sequence[str]]) -> Iterator[Flaw]:
    """What keeps labels from being told apart."""
    if len(labels) < 2:
        what = f"labels: {len(labels)} label; a choice needs at least two"
        yield Flaw(codes.FEW_LABELS, what, "", ("labels",))
    for label, words in labels.items():
        place = ("labels", label)
        if not words or not all(word.strip() for word in words):
            what = f"labels: the label {label!r} has no word"
            yield Flaw(codes.NO_WORD, what, f"write {label}: [word]", place)
        if not all(1 / HEAVIEST <= weight <= HEAVIEST for weight in words.values()):
            what = f"labels: a weight of the label {label!r} is not between {1 / HEAVIEST:g} and {HEAVIEST:g}"
            yield Flaw(codes.BAD_WEIGHT, what, "", place)
    yield from _shared(labels, codes.SHARED_WORD, "label word", "labels")
    for label in gold:
        if label not in labels:
            hint = f"the labels are: {shortlist(labels)}"
            yield Flaw(codes.UNKNOWN_LABEL, f"gold: no label {label!r}", hint, ("gold", label))
    spellings = {label: [label, *gold.get(label, ())] for label in labels}
    folded = {label: sorted({value.casefold() for value in values}) for label, values in spellings.items()}
    yield from _shared(folded, codes.SHARED_GOLD, "gold value", "gold")


def _shared(of_label: Mapping[str, Iterable[str]], code: codes.Code, what: str, key: str) -> Iterator[Flaw]:
    """What belongs to two labels."""
    owner: dict[str, str] = {}
    for label, values in of_label.items():
        for value in values:
            other = owner.setdefault(value, label)
            if other != label and value.strip():
                said = f"the {what} {value!r} belongs to both {other!r} and {label!r}"
                yield Flaw(code, said, "give each label its own", (key, label))
