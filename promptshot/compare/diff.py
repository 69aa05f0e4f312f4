"""Two files of predictions of the same rows: which is better, how sure is that, and which rows flipped. No model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

from promptshot.errors import InputError, shortened, shortlist
from promptshot.metrics import Label, Tally, tally_of
from promptshot.paired import SURE, Paired
from promptshot.rows.json_text import encodable, like
from promptshot.rows.once import once, refuse_twice
from promptshot.rows.row import Row
from promptshot.rows.streams import marked
from promptshot.runs.predictions import OURS, File, Labels, Said, plain, uncounted
from promptshot.runs.remarks import Remark


@dataclass(frozen=True)
class Flip:
    """A row of which the two files say different things; `number` counts from 1."""

    number: int
    text: str
    gold: Label | None
    a: Label
    b: Label
    row: Mapping[str, Any]

    def record(self) -> dict[str, Any]:
        """The row's own fields, then what was predicted."""
        found = {"row": self.number, "gold": self.gold, "prediction_a": self.a, "prediction_b": self.b}
        return like(self.row, {**self.row, **found})


@dataclass
class Difference:
    """Two files compared; `pairs` counts (first right, second right) of the rows with a known label."""

    paths: tuple[str, str]
    tallies: tuple[Tally, Tally] = field(default_factory=lambda: (Tally(), Tally()))
    pairs: Counter[tuple[bool, bool]] = field(default_factory=Counter)
    by_label: dict[str, Counter[tuple[bool, bool]]] = field(default_factory=dict)  # the same for every gold label
    flips: list[Flip] = field(default_factory=list)
    seed: int = 0
    problem: str = ""  # why not one gold label could be counted
    marked: bool = False  # whether the first file begins with a byte order mark

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
            "problem": self.problem or None,
            "flips": [flip.record() for flip in self.flips],
        }

    def remarks(self) -> list[Remark]:
        """Whether one is clearly better, and which rows were not counted; what holds for both files once."""
        a, b = (list(uncounted(tally, self.problem)) for tally in self.tallies)
        apart = [_in_file(letter, remark) for letter, remarks in (("A", a), ("B", b)) for remark in remarks]
        return [self._verdict(), *(a if a == b else apart)]

    def _verdict(self) -> Remark:
        paired = self.paired
        if not paired.rows:
            line = "no row has a label that both know: only what they agree on is told"
            return Remark("no-common-labels", line, {"rows": self.rows, "agreed": self.agreed})
        facts = {"difference": paired.difference, "p": paired.p, "rows": paired.rows}
        if paired.p < SURE:
            return Remark("clear-difference", "a clear difference", facts)
        return Remark("no-clear-difference", "no clear difference", facts)


def _in_file(letter: str, remark: Remark) -> Remark:
    return replace(remark, line=f"{letter}: {remark.line}", facts={**remark.facts, "file": letter})


def _side_record(path: str, tally: Tally) -> dict[str, Any]:
    said = tally.summary()
    rates = ("accuracy", "accuracy_interval", *tally.rates[1:])
    counts = ("labelled", "unlabelled", "unknown", "predictions", "unknown_gold")
    return {"path": path, **{name: said[name] for name in rates + counts}}


def diff(
    one: str, other: str, label_field: str | None = None, seed: int = 0, prediction_field: str = OURS
) -> Difference:
    """Two files of predictions, row by row; raises InputError where they are not of the same rows.

    How labels are spelled is taken from the run records beside the files; without any, from both files together
    (see `predictions`).
    """
    refuse_twice((("A", one), ("B", other)))
    one, other = once(one), once(other)  # they are read twice
    files = [File.of(path, label_field, prediction_field) for path in (one, other)]
    words = next((file.words for file in files if file.words), None)
    files = [replace(file, words=file.words or words) for file in files]
    if len({file.several for file in files}) > 1:
        lacking = next(file.path for file in files if not file.several)
        what = "one label a row, and the other file has several (or it has no run record that says so)"
        raise InputError(what, where=lacking, hint="give two files of the same task, each with its run record")
    for file in files:
        if file.shots:
            what = f"holds several runs (k = {shortlist(map(str, dict.fromkeys(file.shots)), 8)}) of the same rows"
            raise InputError(
                what, where=file.path, hint="compare files of one run each: classify with one -k and --seed"
            )
    labels = Labels()
    for file in () if words else files:
        for item in file.strict():
            labels.see(item)
    first, second = (tally_of(file.words.names if file.words else labels.names, file.several) for file in files)
    found = Difference((one, other), (first, second), seed=seed, problem=labels.problem, marked=marked(one))
    pairs = zip_longest(*(file.strict() for file in files))
    for number, (a, b) in enumerate(pairs, 1):
        if a is None or b is None:
            which, short = (other, one) if a is None else (one, other)
            hint = "did one of the runs reject rows, or stop early?"
            raise InputError(
                f"{short} ends after {number - 1:,} rows, {which} goes on", where=f"row {number}", hint=hint
            )
        _refuse_unlike(number, a.row, b.row, found.paths)
        _count(number, a.row, (labels.settled(a.said), labels.settled(b.said)), found)
    return found


def _count(number: int, row: Row, sides: tuple[Said, Said], difference: Difference) -> None:
    a, b = sides
    for tally, said in zip(difference.tallies, sides, strict=True):
        tally.add(said.prediction, said.gold, said.value, said.choices)
    if a.gold is not None and b.gold is not None:
        right = a.prediction == a.gold, b.prediction == b.gold
        difference.pairs[right] += 1
        if isinstance(a.gold, str):
            difference.by_label.setdefault(a.gold, Counter())[right] += 1
        for label in a.gold if isinstance(a.gold, tuple) else ():  # each by itself
            difference.by_label.setdefault(label, Counter())[label in a.prediction, label in b.prediction] += 1
    if a.prediction != b.prediction:
        difference.flips.append(Flip(number, _text(row), a.gold or a.value, a.prediction, b.prediction, row.fields))


def _refuse_unlike(number: int, a: Row, b: Row, paths: tuple[str, str]) -> None:
    """Raises InputError where two rows are not the same row; tables have text only, no nulls and no half characters."""
    if a.fields == b.fields:
        return
    for name in dict.fromkeys([*a.fields, *b.fields]):
        one, other = (encodable(plain(row.fields.get(name))) for row in (a, b))
        if one != other:
            said = f"{name!r} is {shortened(one, 40)!r} in {paths[0]} and {shortened(other, 40)!r} in {paths[1]}"
            hint = "give predictions of the same rows in the same order"
            raise InputError(f"the files differ in row {number:,}: {said}", where=b.source, hint=hint)


def _text(row: Row) -> str:
    """What a person would know the row by."""
    names = [name for name in ("text", "text_a", "text_b") if row.column(name)]
    return " / ".join([plain(row[name]) for name in names] or [plain(value) for value in row.fields.values()])
