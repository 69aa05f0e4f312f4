"""Two classifiers on the same rows: which is better, and how sure is that?"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from promptshot.metrics import _ratio

# ------------------------------------------------------------------ two sets of predictions of the same rows

RESAMPLES = 5_000
SURE = 0.05  # a p-value below it counts as a difference


@dataclass(frozen=True)
class Paired:
    """How often both, only the first, only the second, or neither of two was right about the same rows."""

    both: int
    first: int
    second: int
    neither: int

    @classmethod
    def of(cls, pairs: Iterable[tuple[bool, bool]]) -> Paired:
        """From (whether the first was right, whether the second was) of every row."""
        count = Counter(pairs)
        return cls(count[True, True], count[True, False], count[False, True], count[False, False])

    @property
    def rows(self) -> int:
        return self.both + self.first + self.second + self.neither

    @property
    def difference(self) -> float:
        """The accuracy of the second less that of the first."""
        return _ratio(self.second - self.first, self.rows)

    @property
    def p(self) -> float:
        """The two-sided p-value of the exact McNemar test (McNemar 1947): were they equally good, how likely
        would the rows that only one has right be split at least as unevenly as they are?"""
        return sign_test(self.first, self.second)

    def interval(self, seed: int = 0) -> tuple[float, float]:
        """The 95% percentile interval of the difference from a paired bootstrap over the rows.

        A resample of the rows is a draw of how many of each kind it holds, so the counts are drawn.
        """
        if not self.rows:
            return 0.0, 0.0
        rng, unlike = random.Random(seed), self.first + self.second
        found = []
        for _ in range(RESAMPLES):
            drawn = _binomial(rng, self.rows, unlike / self.rows)
            second = _binomial(rng, drawn, _ratio(self.second, unlike))
            found.append((2 * second - drawn) / self.rows)
        found.sort()
        tail = round(RESAMPLES * 0.025)
        return found[tail], found[-1 - tail]

    def summary(self, seed: int = 0) -> dict[str, Any]:
        """Everything above as plain data."""
        counts = {"both": self.both, "only_first": self.first, "only_second": self.second, "neither": self.neither}
        tests = {"difference": self.difference, "difference_interval": list(self.interval(seed)), "p": self.p}
        return {"rows": self.rows, **counts, **tests}


def sign_test(one: int, other: int) -> float:
    """How likely fair coins split `one + other` times at least as unevenly as this (two-sided, exact)."""
    total, fewer = one + other, min(one, other)
    if one == other:  # both tails hold the middle
        return 1.0
    whole = math.lgamma(total + 1) - total * math.log(2)
    tail = math.fsum(math.exp(whole - math.lgamma(i + 1) - math.lgamma(total - i + 1)) for i in range(fewer + 1))
    return min(1.0, 2 * tail)


def holm(ps: Sequence[float]) -> list[float]:
    """The p-values, in their order, corrected for there being several of them (Holm 1979)."""
    corrected, most = [0.0] * len(ps), 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        most = max(most, min(1.0, (len(ps) - rank) * ps[i]))
        corrected[i] = most
    return corrected


def _binomial(rng: random.Random, trials: int, chance: float) -> int:
    """How many of so many trials succeed: a uniform number below `chance` each, compared bit by bit, all at once.

    chance 0.101...  first bits  1 0 1 1 0    the zeros lie below it: they succeed
                     next bits   1   0 1      of the ones, those with a one lie above it: they fail
                     next bits       1        and so on with those that are still level
    """
    successes = 0
    while trials and chance:
        chance *= 2
        ones = rng.getrandbits(trials).bit_count()
        if chance >= 1:
            chance -= 1
            successes += trials - ones
            trials = ones
        else:
            trials -= ones
    return successes
