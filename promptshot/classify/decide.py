"""From scores to labels: row by row, by fixed thresholds, or by ranking the whole run."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, ClassVar

from promptshot.errors import OptionError
from promptshot.metrics import Label

EVEN = 1e-9  # what shares may differ by and be the same


def best(scores: Mapping[str, float]) -> str:
    """The label with the highest score; ties go to the first."""
    return max(scores, key=scores.__getitem__)


def log_softmax(scores: Mapping[str, float]) -> dict[str, float]:
    """Label scores (natural log, or margins) as logarithms of probabilities."""
    top = max(scores.values())
    total = top + math.log(sum(math.exp(score - top) for score in scores.values()))
    return {label: score - total for label, score in scores.items()}


def softmax(scores: Mapping[str, float]) -> dict[str, float]:
    """Label scores (natural log, or margins) as probabilities that sum to 1."""
    top, found = max(scores.values()), {}
    for label, score in scores.items():
        found[label] = math.exp(score - top)
    total = sum(found.values())
    for label in found:
        found[label] /= total
    return found


def even(prior: Sequence[float]) -> bool:
    """Whether all shares are the same."""
    return max(prior) - min(prior) < EVEN


def bucket_ends(rows: int, prior: Sequence[float]) -> list[int]:
    """Where the buckets of `rows` ranked rows end, in shares of `prior`: 10 rows, (.5, .5) -> [5, 10].

    Even buckets have as many rows each, and the last one also what is over: 7 in three are 2, 2 and 3 (arXiv
    2109.03564). Else, and where there are fewer rows than buckets, every end is rounded, so that each bucket is within
    one row of its share.
    """
    size = rows // len(prior)
    if size and even(prior):
        return [*(size * number for number in range(1, len(prior))), rows]
    ends = [round(rows * min(1.0, share)) for share in accumulate(prior)]
    return [*ends[:-1], rows]


def rank(scores: Sequence[float], prior: Sequence[float]) -> list[int]:
    """The bucket of each score when all are ranked and cut in shares of `prior` (samples-contrast).

    The lowest scores come into bucket 0; equal scores keep their order. It looks at the whole run, so one
    row's label depends on the other rows (arXiv 2109.03564, with the class prior made a parameter).
    """
    ends = bucket_ends(len(scores), prior)
    order = sorted(range(len(scores)), key=lambda i: scores[i])
    buckets = [0] * len(scores)
    for place, row in enumerate(order):
        buckets[row] = bisect_right(ends, place)
    return buckets


def thresholds(scores: Sequence[float], prior: Sequence[float]) -> list[float]:
    """The cuts between the buckets of `rank`, half way between neighbours: fixed limits for later rows."""
    ordered = sorted(scores)
    ends = bucket_ends(len(ordered), prior)[:-1]
    ordered.append(math.nextafter(ordered[-1], math.inf))  # above all, for a last bucket that is empty
    return [ordered[end] if end in (0, len(scores)) else (ordered[end - 1] + ordered[end]) / 2 for end in ends]


def bucket(score: float, cuts: Sequence[float]) -> int:
    """The bucket of one score under fixed thresholds."""
    return bisect_right(cuts, score)


def logistic(score: float) -> float:
    """Natural-log odds as a probability."""
    return 1 / (1 + math.exp(-score)) if score >= 0 else math.exp(score) / (1 + math.exp(score))


def sure(label: Label, chances: Mapping[str, float]) -> float:
    """How probable what was decided is: of one label its probability; of several that may hold, the least over all
    decisions: a label's own probability where it was given, and else that it does not hold."""
    if isinstance(label, str):
        return chances[label]
    return min(chance if name in label else 1 - chance for name, chance in chances.items())


# ------------------------------------------------------------------ ways to decide


class _Decision:
    """What all ways have: a name, and whether the whole run decides, so that scores wait for its end."""

    name: ClassVar[str]
    transductive: ClassVar[bool] = False

    @property
    def probable(self) -> bool:
        """Whether labels have probabilities."""
        return False

    def probabilities(self, scores: Mapping[str, float]) -> dict[str, float] | None:
        """The probability of each label, by the scores of all; None where they tell none."""
        return None

    def identity(self) -> dict[str, Any]:
        """What is decided by, as plain data; the template has the prior, or the recipe where it was said."""
        return {"decision": self.name, "dev": None}


@dataclass(frozen=True)
class Best(_Decision):
    """The label with the highest score."""

    name: ClassVar[str] = "best"

    @property
    def probable(self) -> bool:
        """Yes."""
        return True

    def probabilities(self, scores: Mapping[str, float]) -> dict[str, float]:
        """They sum to 1, for one of them is right."""
        return softmax(scores)

    def label(self, scores: Mapping[str, float]) -> str:
        """The label of one row."""
        return best(scores)


@dataclass(frozen=True)
class Ranks(_Decision):
    """Pairs are ranked over the whole run, and the ranks cut into labels in the shares of `prior`."""

    ordered: tuple[str, ...]  # the labels, from the lowest score to the highest
    prior: tuple[float, ...]
    name: ClassVar[str] = "rank"
    transductive: ClassVar[bool] = True

    def labels(self, scores: Iterable[Mapping[str, float]]) -> list[str]:
        """The label of each row of the run, by the one score of each."""
        margins = [next(iter(of_row.values())) for of_row in scores]
        return [self.ordered[bucket] for bucket in rank(margins, self.prior)]

    def label(self, scores: Mapping[str, float]) -> str:
        """None as yet: one row alone has no rank."""
        return ""


@dataclass(frozen=True)
class Thresholds(_Decision):
    """Pairs are cut into labels at fixed scores, those where the ranks of the rows of a file were cut."""

    ordered: tuple[str, ...]
    prior: tuple[float, ...]
    dev: str  # the file
    cuts: tuple[float, ...] | None = None  # None: its rows have not been scored
    name: ClassVar[str] = "thresholds"

    def identity(self) -> dict[str, Any]:
        """What is decided by, as plain data; the template has the prior, or the recipe where it was said.

        Even shares were once rounded like others: a run that began with such cuts must not go on with these.
        """
        return {**super().identity(), "dev": self.dev, **({"cut": "even"} if even(self.prior) else {})}

    def label(self, scores: Mapping[str, float]) -> str:
        """The label of one row."""
        assert self.cuts is not None
        return self.ordered[bucket(next(iter(scores.values())), self.cuts)]

    def fixed(self, scores: Sequence[float]) -> Thresholds:
        """With the cuts that the scores of the file's rows give."""
        return replace(self, cuts=tuple(thresholds(scores, self.prior)))


HALF = 0.5  # the probability from which on a label holds, where nothing else is said


@dataclass(frozen=True)
class Several(_Decision):
    """All labels that hold, or none: each whose value reaches its threshold.

    With `odds` a score is the log-odds that the label holds, and the value its probability; else the value is the score
    itself, which tells no probability.
    """

    of: tuple[str, ...]  # the labels
    odds: bool
    cuts: tuple[float, ...] | None = None  # the threshold of each; None: none is said, or those of `dev` are not fitted
    dev: str | None = None  # the file of labelled rows that they are fitted to
    name: ClassVar[str] = "several"

    def identity(self) -> dict[str, Any]:
        """What is decided by, as plain data: what was said, or the file."""
        return {**super().identity(), "dev": self.dev, "thresholds": None if self.dev else self.cuts}

    @property
    def probable(self) -> bool:
        """With odds only."""
        return self.odds

    def probabilities(self, scores: Mapping[str, float]) -> dict[str, float] | None:
        """The probability that each label holds, whatever the others do; None without odds."""
        return {label: logistic(score) for label, score in scores.items()} if self.odds else None

    def values(self, scores: Mapping[str, float]) -> Mapping[str, float]:
        """What is compared with the thresholds."""
        return self.probabilities(scores) or scores

    def label(self, scores: Mapping[str, float]) -> tuple[str, ...]:
        """The labels of one row, in their order; none as long as there are no thresholds."""
        values = self.values(scores)
        pairs = zip(self.of, self.cuts or (), strict=False)
        return tuple(label for label, cut in pairs if values[label] >= cut)

    @property
    def idle(self) -> Several:
        """The same that gives no label, where nothing is to be decided."""
        return replace(self, cuts=(math.inf,) * len(self.of), dev=None)

    def fixed(self, rows: Sequence[Mapping[str, float]], gold: Sequence[Sequence[str]]) -> Several:
        """With the thresholds that suit labelled rows best, by their label scores."""
        values = [self.values(scores) for scores in rows]
        usual = HALF if self.odds else None
        found = [best_cut([of[label] for of in values], [label in own for own in gold], usual) for label in self.of]
        return replace(self, cuts=tuple(found))


def best_cut(values: Sequence[float], holds: Sequence[bool], usual: float | None = None) -> float:
    """The threshold that gives a label the best F1 on rows with these values, of which it `holds` for some: half way
    between neighbours.

    The `usual` one is kept where no other is better; of others that are as good, the highest wins. Where the label
    holds nowhere, and nothing is usual, it is just above all values.
    """
    ranked = sorted(zip(values, holds, strict=True), reverse=True)
    support, hits, best_f1 = sum(holds), 0, 0.0
    found = math.nextafter(ranked[0][0], math.inf)
    for given, (value, hit) in enumerate(ranked, 1):
        hits += hit
        below = ranked[given][0] if given < len(ranked) else None
        if below != value and (f1 := 2 * hits / (given + support)) > best_f1:
            best_f1, found = f1, value if below is None else _between(below, value)
    if usual is None:
        return found
    taken = [hit for value, hit in ranked if value >= usual]
    return usual if not support or 2 * sum(taken) / (len(taken) + support) >= best_f1 else found


def _between(low: float, high: float) -> float:
    """Half way between two numbers, and above the lower one."""
    middle = low + (high - low) / 2
    return middle if low < middle else high


Decision = Best | Ranks | Thresholds | Several


def decision_of(ordered: Sequence[str] | None, prior: Sequence[float] | None, dev: str | None = None) -> Decision:
    """How labels are decided: pairs by rank, or by thresholds where a file fixes these; else the best label.

    Where nothing is said of their shares, all labels have the same. Raises OptionError for thresholds of no pairs.
    """
    if not ordered:
        if dev:
            hint = "leave it out, or say --calibrate temperature or few-label, or --multi-label"
            raise OptionError("--dev fixes thresholds for a template with 'ordered'", hint=hint)
        return Best()
    shares = tuple(prior or [1 / len(ordered) for _ in ordered])
    return Thresholds(tuple(ordered), shares, dev) if dev else Ranks(tuple(ordered), shares)
