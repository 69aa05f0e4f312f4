"""Counting how predictions fare against gold labels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from typing_extensions import Self

Label = str | tuple[str, ...]  # what is said of a row: its one label, or all that hold, in the order of the labels
NOTHING = "(none)"  # for people, where no label holds
LEAN = 0.9  # of the rows under one label, at least: nearly all
APART = 0.2  # by which more than its share of the rows
FEWEST = 10  # rows, from which on that says something
BINS = 15  # of probabilities, all equally wide
UNKNOWN = 1000  # different values of unknown gold that are told apart; a column of free text has no end
SETS = 1000  # different sets of labels that are told apart: k labels have 2^k


def label_text(label: Label) -> str:
    """A label, or several, for people."""
    return label if isinstance(label, str) else ", ".join(label) or NOTHING


@dataclass(frozen=True)
class LabelScores:
    """Precision, recall, F1 (0 to 1) and support (rows) of one label."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Lean:
    """Nearly all rows were given one label: how many of how many, and how many of these are of it, if that is known."""

    label: str
    given: int
    rows: int
    gold: int | None


@dataclass
class Reliability:
    """Whether probabilities can be believed: labelled rows by how sure their predictions were, in equal bins."""

    rows: list[int] = field(default_factory=lambda: [0] * BINS)
    hits: list[int] = field(default_factory=lambda: [0] * BINS)  # of these, those predicted right
    sums: list[float] = field(default_factory=lambda: [0.0] * BINS)  # of the probabilities
    spreads: list[float] = field(default_factory=lambda: [0.0] * BINS)  # of p (1 - p)
    squares: float = 0.0  # sum over rows and labels of (p - 1 or 0) squared
    squared: int = 0  # rows in it: those that tell the probability of every label; where several hold, decisions

    def add(self, hit: bool, probability: float, gold: str, chances: Mapping[str, float] | None = None) -> None:
        """Count a labelled row; `probability` is that of the label predicted, `chances` those of all."""
        place = min(BINS - 1, max(0, math.ceil(probability * BINS) - 1))  # bin i is (i/15, (i + 1)/15]
        self.rows[place] += 1
        self.hits[place] += hit
        self.sums[place] += probability
        self.spreads[place] += probability * (1 - probability)
        if chances and gold in chances:
            self.squares += sum([(chance - (label == gold)) ** 2 for label, chance in chances.items()])
            self.squared += 1

    def add_each(self, held: Sequence[str], gold: Sequence[str], chances: Mapping[str, float]) -> None:
        """Count each label of a labelled row by itself, by the `chances` that it holds: the decision on it is sure by
        its own probability where it is taken to hold, and else by that it does not."""
        for label, chance in chances.items():
            self.add((label in held) == (label in gold), chance if label in held else 1 - chance, "")
            self.squares += (chance - (label in gold)) ** 2
            self.squared += 1

    @property
    def ece(self) -> float | None:
        """The expected calibration error (Naeini et al. 2015; bins as in Guo et al. 2017), 0 to 1, None without rows:

        the mean over rows of how far their bin's accuracy is from its mean probability.
        """
        gaps = (abs(hits - chance) for hits, chance in zip(self.hits, self.sums, strict=True))
        return math.fsum(gaps) / sum(self.rows) if sum(self.rows) else None

    @property
    def by_chance(self) -> float | None:
        """What it would be about if every probability were right: hits are then drawn with these probabilities, and in
        each bin lie sqrt(2/pi) standard deviations from their mean, on the average (exact for many rows a bin)."""
        gaps = (math.sqrt(2 / math.pi * spread) for spread in self.spreads)
        return math.fsum(gaps) / sum(self.rows) if sum(self.rows) else None

    @property
    def brier(self) -> float | None:
        """The Brier score (Brier 1950), 0 to 2: the squared error summed over labels, its mean over rows."""
        return self.squares / self.squared if self.squared else None

    def __add__(self, other: Reliability) -> Reliability:
        """The counts of both."""
        found = {name: _both(value, getattr(other, name)) for name, value in vars(self).items()}
        return Reliability(**found)

    def summary(self) -> dict[str, float | None]:
        """Everything above as plain data."""
        return {"ece": self.ece, "ece_by_chance": self.by_chance, "brier": self.brier}


@dataclass
class Abstained:
    """Rows whose prediction was too unsure to be counted on, where there may be any."""

    rows: int = 0
    labelled: int = 0
    correct: int = 0  # right all the same
    possible: bool = False

    def __add__(self, other: Abstained) -> Abstained:
        """The counts of both."""
        counts = (self.rows + other.rows, self.labelled + other.labelled, self.correct + other.correct)
        return Abstained(*counts, self.possible or other.possible)


@dataclass
class Tally:
    """Counts of (gold, predicted); rows without a known gold label are counted, not scored."""

    labels: Sequence[str] = ()
    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)
    predictions: Counter[str] = field(default_factory=Counter)  # rows that were given each label
    unknown_gold: Counter[str] = field(default_factory=Counter)  # the values no label is known for
    rejected: int = 0
    chance_sum: float = 0.0  # sum of 1/choices over labelled rows
    reliability: Reliability = field(default_factory=Reliability)
    abstained: Abstained = field(default_factory=Abstained)
    draws: int = 1  # how often each row is counted: more of these are no more rows, and make nothing surer
    several: ClassVar[bool] = False  # whether a row may have several labels
    named: ClassVar[str] = "accuracy"  # what `accuracy` is called
    baseline: ClassVar[str] = "the majority class"  # who reaches `majority`
    rates: ClassVar[tuple[str, ...]] = ("accuracy", "balanced_accuracy", "macro_f1", "matthews")

    @classmethod
    def restored(cls, labels: Sequence[str], state: Mapping[str, Any]) -> Self:
        """The tally whose `state()` this is; counting goes on as if it had never stopped."""
        sure, held = state.get("reliability"), state.get("abstained")
        return cls(
            labels,
            Counter({(gold, predicted): count for gold, predicted, count in state["confusion"]}),
            Counter(dict(state["predictions"])),
            Counter(dict(state["unknown_gold"])),
            state["rejected"],
            state["chance_sum"],
            Reliability(**{name: _own(value) for name, value in dict(sure).items()}) if sure else Reliability(),
            Abstained(**dict(held)) if held else Abstained(),
        )

    @classmethod
    def pooled(cls, tallies: Sequence[Tally]) -> Tally:
        """The counts of several draws of the same rows together; they have the same labels."""
        first, *rest = tallies
        return reduce(Tally._and, rest, replace(first))

    def _and(self, other: Tally) -> Tally:
        """The counts of both, which are never changed in place."""
        added = [one.name for one in fields(self) if one.name != "labels"]
        return replace(self, **{name: getattr(self, name) + getattr(other, name) for name in added})

    def state(self) -> dict[str, Any]:
        """All counts in the order in which they came up, as plain data that JSON keeps exactly."""
        return {
            "confusion": [(gold, predicted, count) for (gold, predicted), count in self.confusion.items()],
            "predictions": list(self.predictions.items()),
            "unknown_gold": list(self.unknown_gold.items()),
            "rejected": self.rejected,
            "chance_sum": self.chance_sum,
            "reliability": {name: _own(value) for name, value in vars(self.reliability).items()},
            **({"abstained": dict(vars(self.abstained))} if self.abstained.possible else {}),
        }

    def add(
        self,
        predicted: Label,
        gold: Label | None,
        gold_value: str | None = None,
        choices: int | None = None,
        probability: float | None = None,
        chances: Mapping[str, float] | None = None,
        abstained: bool = False,
    ) -> None:
        """Count one prediction; `gold_value` is what the row itself said, `choices` its label count, `probability` its
        own, as far as it has one, `chances` those of all labels, and `abstained` whether it is too unsure."""
        assert isinstance(predicted, str)
        assert isinstance(gold, str | None)
        self.predictions[predicted] += 1
        if gold is not None and probability is not None:
            self.reliability.add(gold == predicted, probability, gold, chances)
        if abstained:
            self.abstained.rows += 1
            self.abstained.labelled += gold is not None
            self.abstained.correct += gold == predicted
        if gold is not None:
            self.confusion[gold, predicted] += 1
            self.chance_sum += 1 / (choices or len(self.labels) or 1)
        elif gold_value is not None:
            self._see_unknown(gold_value)

    def include(self, behind: Tally) -> None:
        """Add the counts of the rows behind, which have the same labels."""
        self.confusion.update(behind.confusion)
        self.predictions.update(behind.predictions)
        for value, rows in behind.unknown_gold.items():
            self._see_unknown(value, rows)
        self.rejected += behind.rejected
        self.chance_sum += behind.chance_sum
        self.reliability += behind.reliability
        self.abstained += behind.abstained

    def _see_unknown(self, value: str, rows: int = 1) -> None:
        """Count rows whose own label is none of ours."""
        known = value in self.unknown_gold or len(self.unknown_gold) < UNKNOWN
        self.unknown_gold[value if known else "..."] += rows

    @property
    def mistakes(self) -> Mapping[tuple[Any, Any], int]:
        """Rows of each (gold, predicted); those that are right may be among them."""
        return self.confusion

    @property
    def predicted(self) -> int:
        return self.predictions.total()

    @property
    def labelled(self) -> int:
        return self.confusion.total()

    @property
    def unlabelled(self) -> int:
        """Rows without any gold label."""
        return self.predicted - self.labelled - self.unknown_gold.total()

    @property
    def correct(self) -> int:
        return sum(count for (gold, predicted), count in self.confusion.items() if gold == predicted)

    @property
    def accuracy(self) -> float | None:
        """Share of labelled rows predicted right, None without labels."""
        return self.correct / self.labelled if self.labelled else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% Wilson score interval of the accuracy."""
        return wilson(self.correct / self.draws, self.labelled / self.draws) if self.labelled else None

    @property
    def coverage(self) -> float | None:
        """Share of the rows whose prediction is sure enough; None where no row may abstain."""
        may = self.abstained.possible and self.predicted
        return (self.predicted - self.abstained.rows) / self.predicted if may else None

    @property
    def accuracy_of_rest(self) -> float | None:
        """The accuracy of those, None without labelled ones."""
        rest = self.labelled - self.abstained.labelled
        return (self.correct - self.abstained.correct) / rest if self.abstained.possible and rest else None

    @property
    def majority(self) -> float | None:
        """The accuracy of always predicting the most frequent gold label."""
        return max(self.support().values()) / self.labelled if self.labelled else None

    @property
    def chance(self) -> float | None:
        """The expected accuracy of guessing every label alike."""
        return self.chance_sum / self.labelled if self.labelled else None

    def support(self) -> Counter[str]:
        """Labelled rows of each gold label."""
        found: Counter[str] = Counter()
        for (gold, _), count in self.confusion.items():
            found[gold] += count
        return found

    def guesses(self) -> Counter[str]:
        """Labelled rows of each predicted label."""
        found: Counter[str] = Counter()
        for (_, predicted), count in self.confusion.items():
            found[predicted] += count
        return found

    @property
    def lean(self) -> Lean | None:
        """See `leaning`, where no prior was told."""
        return self.leaning()

    def leaning(self, prior: Mapping[str, float] | None = None) -> Lean | None:
        """The label that nearly all rows were given although they are, or by the prior may be, of others; None where
        none was."""
        labelled = self.labelled >= FEWEST
        counts, rows = (self.guesses(), self.labelled) if labelled else (self.predictions, self.predicted)
        if rows < FEWEST or (self.labels and len(self.labels) < 2):
            return None
        label, given = counts.most_common(1)[0]
        gold = self.support()[label] if labelled else None
        even = 1 / (len(self.labels) or len(counts))
        share = (prior or {}).get(label, even) if gold is None else gold / rows
        far = given >= LEAN * rows and given / rows - share >= APART
        return Lean(label, given, rows, gold) if far else None

    def per_label(self) -> dict[str, LabelScores]:
        """Scores of every label that was gold or predicted on a labelled row, in the labels' order."""
        support, guesses = self.support(), self.guesses()
        hits = Counter({gold: count for (gold, predicted), count in self.confusion.items() if gold == predicted})
        seen = [*self.labels, *support, *guesses]
        return {
            label: LabelScores(
                ratio(hits[label], guesses[label]),
                ratio(hits[label], support[label]),
                ratio(2 * hits[label], guesses[label] + support[label]),
                support[label],
            )
            for label in dict.fromkeys(seen)
            if support[label] or guesses[label]
        }

    @property
    def macro_f1(self) -> float | None:
        """The mean F1 of the labels in `per_label` (as scikit-learn's macro average)."""
        scores = self.per_label().values()
        return sum(s.f1 for s in scores) / len(scores) if scores else None

    @property
    def balanced_accuracy(self) -> float | None:
        """The mean recall of the gold labels that occur (Brodersen et al. 2010; as in scikit-learn), None without any.

        It is 1/k for whoever says the same of every row, however often each of the k labels occurs.
        """
        recalls = [scores.recall for scores in self.per_label().values() if scores.support]
        return sum(recalls) / len(recalls) if recalls else None

    @property
    def matthews(self) -> float | None:
        """Matthews' correlation of gold and predicted labels, -1 to 1, None without labels.

        For k labels it is R_k (Gorodkin 2004), from n labelled rows, c of them right, of which label i was
        gold for t_i and predicted for p_i:

            R_k = (c n - sum t_i p_i) / sqrt((n^2 - sum p_i^2) (n^2 - sum t_i^2))

        0 where one label alone was gold, or predicted (as in scikit-learn).
        """
        if not self.labelled:
            return None
        gold, predicted, n = self.support(), self.guesses(), self.labelled
        spread = (n * n - sum(p * p for p in predicted.values())) * (n * n - sum(t * t for t in gold.values()))
        covered = self.correct * n - sum(t * predicted[label] for label, t in gold.items())
        return covered / math.sqrt(spread) if spread else 0.0

    def summary(self) -> dict[str, Any]:
        """Everything above as plain data."""
        per_label = {
            name: {"precision": s.precision, "recall": s.recall, "f1": s.f1, "support": s.support}
            for name, s in self.per_label().items()
        }
        confusion: dict[str, dict[str, int]] = {}
        for (gold, predicted), count in sorted(self.confusion.items()):
            confusion.setdefault(gold, {})[predicted] = count
        rates = {name: getattr(self, name) for name in self.rates}
        return {
            "accuracy": rates.pop("accuracy"),
            "accuracy_interval": list(self.interval) if self.interval else None,
            **rates,
            "majority": self.majority,
            "chance": self.chance,
            **self.reliability.summary(),
            **self._held(),
            "rows": self.predicted + self.rejected,
            "predicted": self.predicted,
            "labelled": self.labelled,
            "unlabelled": self.unlabelled,
            "unknown": self.unknown_gold.total(),
            "rejected": self.rejected,
            "predictions": dict(sorted(self.predictions.items())),
            "unknown_gold": dict(self.unknown_gold.most_common(20)),
            "per_label": per_label,
            **({} if self.several else {"confusion": confusion}),
        }

    def _held(self) -> dict[str, Any]:
        """How many rows abstained, as plain data; nothing where none may."""
        if not self.abstained.possible:
            return {}
        counts = {"abstained": self.abstained.rows, "coverage": self.coverage}
        return {**counts, "accuracy_of_rest": self.accuracy_of_rest}


@dataclass
class SetTally(Tally):
    """The same where a row may have several labels or none: `accuracy` is the share of exact matches (as
    scikit-learn's accuracy_score has it), and all else counts the decisions on each label.

    Definitions are those of scikit-learn for indicator matrices with zero_division=0. Memory does not grow with the
    rows: of the sets of labels only the first SETS different ones are told apart.
    """

    rows: int = 0  # that were predicted
    judged: int = 0  # of these, those with a known gold label, or known to have none
    exact: int = 0  # of these, those predicted as they are
    overlap: float = 0.0  # the sum over them of |gold and predicted| / |gold or predicted|, 0 where both are empty
    gold_of: Counter[str] = field(default_factory=Counter)  # labelled rows that have each label,
    given_to: Counter[str] = field(default_factory=Counter)  # were given it,
    hits: Counter[str] = field(default_factory=Counter)  # and both
    empty: int = 0  # rows that were given no label
    full: int = 0  # rows that were given all
    sets: Counter[tuple[str, ...]] = field(default_factory=Counter)  # labelled rows with each set of labels
    pairs: Counter[tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=Counter)  # wrong: (gold, predicted)
    several: ClassVar[bool] = True
    named: ClassVar[str] = "exact match"
    baseline: ClassVar[str] = "always giving the commonest labels"
    rates: ClassVar[tuple[str, ...]] = ("accuracy", "micro_f1", "macro_f1", "jaccard", "hamming")

    @classmethod
    def restored(cls, labels: Sequence[str], state: Mapping[str, Any]) -> Self:
        """The tally whose `state()` this is; counting goes on as if it had never stopped."""
        found, own = super().restored(labels, state), dict(state["sets"])
        for name in _SUMS:
            setattr(found, name, own[name])
        for name in ("gold_of", "given_to", "hits"):
            setattr(found, name, Counter(dict(own[name])))
        found.sets = Counter({tuple(gold): count for gold, count in own["sets"]})
        found.pairs = Counter({(tuple(gold), tuple(given)): count for gold, given, count in own["pairs"]})
        return found

    def state(self) -> dict[str, Any]:
        """All counts in the order in which they came up, as plain data that JSON keeps exactly."""
        counts = {name: list(getattr(self, name).items()) for name in ("gold_of", "given_to", "hits", "sets")}
        pairs = [(gold, given, count) for (gold, given), count in self.pairs.items()]
        return {**super().state(), "sets": {name: getattr(self, name) for name in _SUMS} | counts | {"pairs": pairs}}

    def add(
        self,
        predicted: Label,
        gold: Label | None,
        gold_value: str | None = None,
        choices: int | None = None,
        probability: float | None = None,
        chances: Mapping[str, float] | None = None,
        abstained: bool = False,
    ) -> None:
        """Count one prediction, as `Tally.add` does; labels stand in their order."""
        assert isinstance(predicted, tuple)
        assert isinstance(gold, tuple | None)
        self.rows += 1
        self.predictions.update(predicted)
        self.empty += not predicted
        self.full += len(predicted) == len(self.labels)
        if abstained:
            self.abstained.rows += 1
            self.abstained.labelled += gold is not None
            self.abstained.correct += gold == predicted
        if gold is not None:
            self._judge(predicted, gold)
            if chances:
                self.reliability.add_each(predicted, gold, chances)
        elif gold_value is not None:
            self._see_unknown(gold_value)

    def include(self, behind: Tally) -> None:
        """See `Tally.include`."""
        assert isinstance(behind, SetTally)
        super().include(behind)
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(behind, name))
        self.gold_of.update(behind.gold_of)
        self.given_to.update(behind.given_to)
        self.hits.update(behind.hits)
        _fill(self.sets, behind.sets)
        _fill(self.pairs, behind.pairs)

    def _judge(self, predicted: tuple[str, ...], gold: tuple[str, ...]) -> None:
        """Count a labelled row."""
        both = [label for label in gold if label in predicted]  # in the labels' order, in which counts are kept
        either = len(gold) + len(predicted) - len(both)
        self.judged += 1
        self.exact += gold == predicted
        self.overlap += len(both) / either if either else 0.0
        self.gold_of.update(gold)
        self.given_to.update(predicted)
        self.hits.update(both)
        self.chance_sum += 0.5 ** len(self.labels)
        if gold in self.sets or len(self.sets) < SETS:
            self.sets[gold] += 1
        if gold != predicted and ((gold, predicted) in self.pairs or len(self.pairs) < SETS):
            self.pairs[gold, predicted] += 1

    @property
    def mistakes(self) -> Mapping[tuple[Any, Any], int]:
        """Rows of each (gold, predicted) that went wrong."""
        return self.pairs

    @property
    def predicted(self) -> int:
        return self.rows

    @property
    def labelled(self) -> int:
        return self.judged

    @property
    def correct(self) -> int:
        """Rows that were given all labels that they have, and no other."""
        return self.exact

    @property
    def majority(self) -> float | None:
        """The accuracy of always predicting the most frequent set of labels, of those that are told apart."""
        return max(self.sets.values()) / self.judged if self.judged else None

    def support(self) -> Counter[str]:
        """Labelled rows that have each label."""
        return self.gold_of

    def guesses(self) -> Counter[str]:
        """Labelled rows that were given each label."""
        return self.given_to

    def leaning(self, prior: Mapping[str, float] | None = None) -> Lean | None:
        """None: of labels that may hold together, none is given in place of another."""
        return None

    def per_label(self) -> dict[str, LabelScores]:
        """Scores of every label, in the labels' order; nothing without labelled rows."""
        return {
            label: LabelScores(
                ratio(self.hits[label], self.given_to[label]),
                ratio(self.hits[label], self.gold_of[label]),
                ratio(2 * self.hits[label], self.given_to[label] + self.gold_of[label]),
                self.gold_of[label],
            )
            for label in (self.labels if self.judged else ())
        }

    @property
    def micro_f1(self) -> float | None:
        """The F1 of all decisions together."""
        decided = self.given_to.total() + self.gold_of.total()
        return ratio(2 * self.hits.total(), decided) if self.judged else None

    @property
    def jaccard(self) -> float | None:
        """The mean over labelled rows of |gold and predicted| / |gold or predicted| (Jaccard 1901; "samples" in
        scikit-learn). A row that has no label and was given none counts 0, as there."""
        return self.overlap / self.judged if self.judged else None

    @property
    def hamming(self) -> float | None:
        """The share of wrong decisions, over labelled rows and labels; None without any."""
        wrong = self.given_to.total() + self.gold_of.total() - 2 * self.hits.total()
        return wrong / (self.judged * len(self.labels)) if self.judged and self.labels else None


_SUMS = ("rows", "judged", "exact", "overlap", "empty", "full")  # counts of a SetTally that are single numbers


def tally_of(labels: Sequence[str], several: bool) -> Tally:
    """An empty tally for rows that have one of the labels, or several."""
    return SetTally(labels) if several else Tally(labels)


def _own(value: Any) -> Any:
    """A list of its own, so that a state that is kept does not change with what goes on."""
    return list(value) if isinstance(value, list) else value


def _fill(counts: Counter[Any], more: Mapping[Any, int]) -> None:
    """Count some more of what is told apart, as far as there is room for different ones."""
    for key, count in more.items():
        if key in counts or len(counts) < SETS:
            counts[key] += count


def _both(one: Any, other: Any) -> Any:
    """Two counts, or two lists of them, added up."""
    return [a + b for a, b in zip(one, other, strict=True)] if isinstance(one, list) else one + other


def wilson(hits: float, total: float, z: float = 1.959963984540054) -> tuple[float, float]:
    """The Wilson score interval of a proportion (Wilson 1927), by default at 95%."""
    share, square = hits / total, z * z / total
    middle = (share + square / 2) / (1 + square)
    half = z * math.sqrt(share * (1 - share) / total + square / (4 * total)) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)


def ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
