"""Counting how predictions fare against gold labels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from typing import Any

LEAN = 0.9  # of the rows under one label, at least: nearly all
APART = 0.2  # by which more than its share of the rows
FEWEST = 10  # rows, from which on that says something
BINS = 15  # of probabilities, all equally wide
UNKNOWN = 1000  # different values of unknown gold that are told apart; a column of free text has no end


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
    squared: int = 0  # rows in it: those that tell the probability of every label

    def add(self, hit: bool, probability: float, gold: str, chances: Mapping[str, float] | None = None) -> None:
        """Count a labelled row; `probability` is that of the label predicted, `chances` those of all."""
        place = min(BINS - 1, max(0, math.ceil(probability * BINS) - 1))  # bin i is (i/15, (i + 1)/15]
        self.rows[place] += 1
        self.hits[place] += hit
        self.sums[place] += probability
        self.spreads[place] += probability * (1 - probability)
        if chances and gold in chances:
            self.squares += sum((chance - (label == gold)) ** 2 for label, chance in chances.items())
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
    predictions: Counter[str] = field(default_factory=Counter)
    unknown_gold: Counter[str] = field(default_factory=Counter)  # the values no label is known for
    rejected: int = 0
    chance_sum: float = 0.0  # sum of 1/choices over labelled rows
    reliability: Reliability = field(default_factory=Reliability)
    abstained: Abstained = field(default_factory=Abstained)
    draws: int = 1  # how often each row is counted: more of these are no more rows, and make nothing surer

    @classmethod
    def restored(cls, labels: Sequence[str], state: Mapping[str, Any]) -> Tally:
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
        return reduce(cls._and, rest, replace(first))

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
        predicted: str,
        gold: str | None,
        gold_value: str | None = None,
        choices: int | None = None,
        probability: float | None = None,
        chances: Mapping[str, float] | None = None,
        abstained: bool = False,
    ) -> None:
        """Count one prediction; `gold_value` is what the row itself said, `choices` its label count, `probability` its
        own, as far as it has one, `chances` those of all labels, and `abstained` whether it is too unsure."""
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
            known = gold_value in self.unknown_gold or len(self.unknown_gold) < UNKNOWN
            self.unknown_gold[gold_value if known else "..."] += 1

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
        return {
            "accuracy": self.accuracy,
            "accuracy_interval": list(self.interval) if self.interval else None,
            "balanced_accuracy": self.balanced_accuracy,
            "macro_f1": self.macro_f1,
            "matthews": self.matthews,
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
            "confusion": confusion,
        }

    def _held(self) -> dict[str, Any]:
        """How many rows abstained, as plain data; nothing where none may."""
        if not self.abstained.possible:
            return {}
        counts = {"abstained": self.abstained.rows, "coverage": self.coverage}
        return {**counts, "accuracy_of_rest": self.accuracy_of_rest}


def _own(value: Any) -> Any:
    """A list of its own, so that a state that is kept does not change with what goes on."""
    return list(value) if isinstance(value, list) else value


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
