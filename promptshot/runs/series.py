"""Several runs over the same rows, one behind the other: other numbers and other draws of demonstrations."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from promptshot.classify.recipe import Recipe
from promptshot.errors import many
from promptshot.metrics import Tally
from promptshot.runs.journal import Journal
from promptshot.runs.record import Counts
from promptshot.runs.remarks import MAJORITY, Code, Remark, worse
from promptshot.runs.result import Result, metrics_of
from promptshot.runs.shape import draw_of
from promptshot.runs.wrong import Worst


@dataclass(frozen=True)
class Draw:
    """How one run fared, and which demonstrations it had: how many, drawn with which seed (None: there were none)."""

    shots: int
    seed: int | None
    tally: Tally
    before: Tally | None = None  # before calibration

    def named(self, remark: Remark) -> Remark:
        """A remark with the run of which it is so."""
        seed = "" if self.seed is None else f", seed {self.seed}"
        return replace(remark, line=f"k={self.shots}{seed}: {remark.line}")


@dataclass(frozen=True)
class Spread:
    """How the draws of one number of demonstrations fared: the accuracy of each, 0 to 1."""

    shots: int
    values: tuple[float, ...]
    before: float | None = None  # the mean before calibration

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """The standard deviation over draws (n - 1), None for a single one."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def record(self) -> dict[str, Any]:
        """Everything as plain data."""
        numbers = {"mean": self.mean, "sd": self.deviation, "min": min(self.values), "max": max(self.values)}
        numbers |= {} if self.before is None else {"before": self.before}
        return {"shots": self.shots, "draws": len(self.values), **numbers}


def spreads(draws: Sequence[Draw]) -> list[Spread]:
    """The accuracies by the number of demonstrations, in the order of the draws; none where no row has a label."""
    found = []
    for shots in dict.fromkeys(draw.shots for draw in draws):
        values, before = [], []
        for draw in draws:
            if draw.shots == shots and draw.tally.accuracy is not None:
                values.append(draw.tally.accuracy)
                before += [draw.before.accuracy] if draw.before and draw.before.accuracy is not None else []
        found += [Spread(shots, tuple(values), statistics.fmean(before) if before else None)] if values else []
    return found


def most(draws: Sequence[Draw]) -> list[Draw]:
    """Those with the largest number of demonstrations."""
    largest = max(draw.shots for draw in draws)
    return [draw for draw in draws if draw.shots == largest]


def pooled(draws: Sequence[Draw]) -> Tally:
    """The predictions of the draws with the most demonstrations together."""
    return Tally.pooled([draw.tally for draw in most(draws)])


def summary_of(draws: Sequence[Draw]) -> dict[str, Any]:
    """How the draws with the most demonstrations fare, with metrics that are means over them, and the accuracy by the
    number of demonstrations."""
    shots = {"shots": [spread.record() for spread in spreads(draws)]}
    return {**pooled(draws).summary(), **averaged([draw.tally for draw in most(draws)]), **shots}


def averaged(tallies: Sequence[Tally]) -> dict[str, float]:
    """The metrics of several draws of the same rows as means over the draws; none where no row has a label."""
    each = [metrics_of(tally) for tally in tallies]
    values = {name: [value for one in each if (value := one[name]) is not None] for name in each[0]}
    return {name: statistics.fmean(some) for name, some in values.items() if some}


@dataclass
class Series:
    """The results of runs that follow one another; of one run alone, too."""

    results: list[Result] = field(default_factory=list)

    @classmethod
    def restored(cls, recipes: Sequence[Recipe], journal: Journal, counts: Sequence[Counts | None]) -> Series:
        """Those of the first recipes, which have come to their end with these counts."""
        results = [Result.restored(recipe, journal, of_run) for recipe, of_run in zip(recipes, counts, strict=False)]
        for result in results:
            result.rows_before = result.tally.predicted + result.tally.rejected
        return cls(results)

    @property
    def draws(self) -> list[Draw]:
        """How each run fared."""
        return [_draw(result) for result in self.results]

    @property
    def shots(self) -> int:
        """The largest number of demonstrations."""
        return max(result.recipe.shots for result in self.results)

    @property
    def headline(self) -> list[Result]:
        """Those with the largest number of demonstrations."""
        return [result for result in self.results if result.recipe.shots == self.shots]

    @property
    def rejected(self) -> int:
        """Rows that were rejected in any of the runs."""
        return max(result.tally.rejected for result in self.results)

    @property
    def all_rejected(self) -> int:
        """Rows that were rejected, counted in each of the runs."""
        return sum(result.tally.rejected for result in self.results)

    @property
    def seconds(self) -> float:
        return sum(result.seconds for result in self.results)

    def summary(self) -> dict[str, Any]:
        """Metrics and circumstances as plain data; of several runs, those of the largest number of demonstrations (the
        mean over its draws), and each of them under `runs`."""
        last = self.results[-1]
        if len(self.results) == 1:
            return last.summary()
        runs = [_own(result) for result in self.results]
        rows = sum(result.tally.predicted for result in self.results)
        speed = {"rows_per_second": rows / self.seconds if self.seconds else 0.0, "seconds": self.seconds}
        before = [result.before for result in self.headline if result.before is not None]
        raw = {"before": averaged(before)} if before else {}
        return {**last.summary(), **summary_of(self.draws), **raw, **speed, "runs": runs}

    def _of_run(self, remark: Remark, result: Result, first: Sequence[tuple[Result, Sequence[Remark]]]) -> Remark:
        """A remark with the run of which it is so, and how many other draws have one of its kind."""
        others = sum(one is not result and remark.code in [other.code for other in told] for one, told in first)
        more = f" (and {many(others, 'other draw')} like it)" if others and result.recipe.shots == self.shots else ""
        named = _draw(result).named(remark)
        return replace(named, line=f"{named.line}{more}")

    @property
    def worst(self) -> Worst:
        """The rows that went wrong, of those with the largest number of demonstrations."""
        if len(self.results) == 1:
            return self.results[-1].worst
        return Worst.of_draws((draw_of(result.recipe), result.worst) for result in self.headline)

    @property
    def before(self) -> Tally | None:
        """Those with the largest number of demonstrations together, before calibration."""
        found = [result.before for result in self.headline if result.before is not None]
        return Tally.pooled(found) if found else None

    def remarks(self, keep: str = "--rejects FILE") -> Iterator[Remark]:
        """What a reader of the numbers must know, each thing once: what runs with the most demonstrations say goes
        first, and with what only some of them say stands which they are."""
        if len(self.results) == 1:
            yield from self.results[-1].remarks(keep)
            return
        told: set[Code] = {*MAJORITY, "worse-calibrated"}  # of all draws together
        told |= {"one-draw"} if len(self.headline) > 1 else set()
        of_run = [(result, result.remarks(keep)) for result in self.results]
        first = [(result, remarks) for result, remarks in of_run if result.recipe.shots == self.shots]
        shared = Counter(remark.line for _, remarks in first for remark in remarks)
        for result, remark in [(result, remark) for result, remarks in first + of_run for remark in remarks]:
            if remark.code not in told:
                told.add(remark.code)
                yield remark if shared[remark.line] == len(first) else self._of_run(remark, result, first)
        if self.before is not None:
            yield from worse(self.before, pooled(self.draws))


def _draw(result: Result) -> Draw:
    """How a run fared."""
    return Draw(result.recipe.shots, result.recipe.demo_seed, result.tally, result.before)


def _own(result: Result) -> dict[str, Any]:
    """What a run says that is not the same for all."""
    shared = ("fingerprint", "machine", "versions", "recipe")
    own = {key: value for key, value in result.summary().items() if key not in shared}
    return {**draw_of(result.recipe), **own}
