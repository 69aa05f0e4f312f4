"""Verbalizers: from labels to label words, and from word scores back to label scores."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice, takewhile
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Literal

from pydantic import Field

from promptshot.errors import RowError, VerbalizerError, fault_of, shortlist
from promptshot.prompts import codes, strict
from promptshot.prompts.codes import NO_LINES, Flaw, Lines
from promptshot.rows.row import WORDS, Row

Pool = Literal["mean", "max", "logsumexp"]
Words = Mapping[str, float]  # label word -> weight
HEAVIEST = 1e9  # a weight; sums of larger ones could leave the range of numbers


class VerbalizerSpec(strict.Spec):
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
        data, lines = strict.load_yaml(path, VerbalizerError)
        made = strict.build(data, VerbalizerSpec, VerbalizerError, str(path), lines)
        return cls.of(made, path.stem, str(path), lines)

    @classmethod
    def parse(cls, data: Any, name: str) -> Verbalizer:
        """A verbalizer written inside a template."""
        return cls.of(strict.build(data, VerbalizerSpec, VerbalizerError, name, {}), name, name)

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
        return cls(name, labels, gold, made.pool, made.about), list(islice(_flaws(labels, gold), strict.TOLD))

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
        return self.label_of(shown), shown

    def label_of(self, spelling: str) -> str | None:
        """The label that a spelling means, whatever its case (1.0 is 1); None for one that is none of ours."""
        label = self._by_spelling.get(spelling.strip().casefold())
        number = whole_number(spelling) if label is None else None
        return self._by_spelling.get(str(number)) if number is not None else label

    @property
    def spellings(self) -> Iterable[str]:
        """How labels may be spelled, but for their case."""
        return self._by_spelling

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
class Options:
    """The words of one row, and the names by which the row's label may call them, such as A, B, C.

    `listed` names belong to the words, as columns or in a list beside them: a label is one of them before it is a word.
    """

    words: tuple[str, ...]
    names: tuple[str, ...] = ()
    listed: bool = False

    def word(self, said: str, is_number: bool = False) -> str | None:
        """The word that a label means: itself or its name, then by its letter (A is the first), then by its place.

        A number beside words that are texts is a place first, for these may look like numbers, too.
        """
        place = self._place_of(said) if is_number else self._called(said)
        if place is None:
            place = self._called(said)
        if place is None:
            place = self._letter(said)
        if place is None:
            place = self.number(said)
        return None if place is None or place >= len(self.words) else self.words[place]

    def number(self, said: str, is_number: bool = False) -> int | None:
        """The place from 0 that a label is as a bare number; None where it is read in any other way."""
        place = None if any(map(_DIGITS.fullmatch, self.names)) else whole_number(said)
        if place is None or place < 0:
            return None
        is_word = self._called(said) is not None
        return None if is_word and not (is_number and place < len(self.words)) else place

    def _place_of(self, said: str) -> int | None:
        """The place that a number says, where there is such a one."""
        place = self.number(said, is_number=True)
        return place if place is not None and place < len(self.words) else None

    def _called(self, said: str) -> int | None:
        ways = [self.names, self.words] if self.listed else [self.words, self.names]
        return next((place for way in ways if (place := _place(said, way)) is not None), None)

    def _letter(self, said: str) -> int | None:
        """Names that are letters are all the letters there are."""
        plain = said.strip().upper()
        if any(map(_LETTER.fullmatch, self.names)) or not _LETTER.fullmatch(plain):
            return None
        return ord(plain) - ord("A")


_DIGITS, _LETTER = re.compile("[0-9]{1,9}"), re.compile("[A-Za-z]")


def _place(said: str, spellings: Sequence[str]) -> int | None:
    """Where among the spellings a label stands: as it is, or but for case and white space around it."""
    if said in spellings:
        return spellings.index(said)
    folded = [spelling.strip().casefold() for spelling in spellings]
    plain = said.strip().casefold()
    return folded.index(plain) if plain in folded else None


@dataclass(frozen=True)
class RowWords(Verbalizer):
    """Each row brings its own label words (`words_from`); a word is its own label.

    They are a list in one field, which may stand beside a list of their names ({"text": [...], "label": [...]}), or
    each is a column of its own, of which the last may be empty.
    """

    field_name: str | tuple[str, ...] = ""

    @classmethod
    def of_field(cls, name: str, words_from: str | Sequence[str]) -> RowWords:
        """What a template of that name says under `words_from`."""
        return cls(name, {}, field_name=words_from if isinstance(words_from, str) else tuple(words_from))

    def choices(self, row: Row) -> tuple[str, ...]:
        return self.options(row).words

    def label_of(self, spelling: str) -> str | None:
        """None: what a label means, only its row can tell."""
        return None

    def pooled(self, words: Sequence[str], scores: Sequence[float]) -> dict[str, float]:
        return dict(zip(words, scores, strict=True))

    def gold_label(self, row: Row, column: str | None) -> tuple[str | None, str | None]:
        shown, options = gold_text(row, column), self.options(row)
        return (None, None) if shown is None else (options.word(shown, self._counts(row, column)), shown)

    def numbered(self, row: Row, column: str | None) -> tuple[int, int] | None:
        """The place from 0 that a row's label says as a bare number, and the largest there is; None where it says
        none. Raises RowError.

        Where no row of a run says 0 and one says more than the largest, its places are counted from 1.
        """
        shown, options = gold_text(row, column), self.options(row)
        place = None if shown is None else options.number(shown, self._counts(row, column))
        return None if place is None else (place, len(options.words) - 1)

    def _counts(self, row: Row, column: str | None) -> bool:
        """Whether a label is a number in its file, and the words beside it are none."""
        value = None if column is None else row[column]
        words = row[self.field_name] if isinstance(self.field_name, str) and row.column(self.field_name) else None
        of_numbers = isinstance(words, list) and all(isinstance(word, int | float) for word in words)
        return isinstance(value, int | float) and not isinstance(value, bool) and not of_numbers

    def as_dict(self) -> dict[str, Any]:
        field = self.field_name
        return {"name": self.name, "words_from": field if isinstance(field, str) else list(field)}

    def options(self, row: Row) -> Options:
        """The words that a row brings, and their names; raises RowError where they are no choice."""
        field = self.field_name
        found = _in_list(row, field) if isinstance(field, str) else _in_columns(row, field)
        if fault := next(filter(None, map(fault_of, found.words)), ""):
            raise RowError(f"a word of {_fields(field)} has {fault}", where=row.source, hint="mend the row")
        return found


def _in_list(row: Row, name: str) -> Options:
    """The words in a field that is a list, or an object with the lists `text` and `label`."""
    if row.column(name) is None and name in WORDS and len(lettered := _lettered(row)) > 1:
        return _in_columns(row, lettered)
    words: Any = row[name]
    names: Any = None
    if isinstance(words, dict) and "text" in words:
        words, names = words["text"], words.get("label")
    elif (column := row.column(name) or "").endswith(".text"):
        beside = column.removesuffix("text") + "label"
        names = row[beside] if row.column(beside) else None
    if not _all_plain(words) or len(_unlike(words)) < max(2, len(words)):
        raise RowError(
            f"field {name!r} is not a list of at least two different words",
            where=row.source,
            hint="words_from takes the label words from it",
        )
    listed = _all_plain(names) and len(_unlike(names)) == len(words) == len(names)
    return Options(tuple(map(str, words)), tuple(map(str, names)) if listed else (), listed)


def _lettered(row: Row) -> list[str]:
    """The columns A, B, C ... of a row, as far as they go."""
    return list(takewhile(row.fields.__contains__, ascii_uppercase))


def _in_columns(row: Row, names: Sequence[str]) -> Options:
    """The words in columns of their own; the last may be empty or not there at all."""
    said = [row[name] if number < 2 or row.column(name) else None for number, name in enumerate(names)]
    words = ["" if word is None else word for word in said]
    while words and _all_plain(words[-1:]) and not str(words[-1]).strip():
        words.pop()
    if not _all_plain(words) or len(_unlike(words)) < max(2, len(words)):
        what = f"{_fields(names)} do not hold at least two different words, the empty ones last"
        raise RowError(what, where=row.source, hint="words_from takes the label words from them")
    return Options(tuple(map(str, words)), tuple(names[: len(words)]), listed=True)


def _all_plain(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str | int | float) for value in values)


def _unlike(values: Sequence[Any]) -> set[str]:
    return {str(value).strip() for value in values} - {""}


def _fields(names: str | Sequence[str]) -> str:
    return f"field {names!r}" if isinstance(names, str) else f"the columns {shortlist(names)}"


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
        hint = "keep one, or predict only: --ignore-labels; or --multi-label (in a template, labels: several)"
        raise RowError(what, where=row.source, hint=hint)
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
