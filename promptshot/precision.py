"""What each precision does to speed and scores: the same rows by a model of each, which take turns.

A margin is the best label's score less the next one's in float32; what another precision makes of the same two tells
how far it is off, and how near to zero a margin must be for the label to be in doubt.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median, quantiles
from typing import Any

from promptshot.classify.classifier import Classifier
from promptshot.classify.prediction import Outcome, Prediction
from promptshot.classify.recipe import Recipe
from promptshot.errors import InputError, ModelError, many
from promptshot.metrics import wilson
from promptshot.rows.row import Item, Reject

EXACT = "float32"
LOWER = {"cpu": ("mixed", "bfloat16")}  # what is compared with it; on other devices, all
ALL = ("mixed", "bfloat16", "float16")
ROUNDS, MOST = 3, 20  # turns of each precision, at least and at most
ENOUGH = 10.0  # seconds for all of them, where more than the least number is wanted
WARM = 16  # rows before anything is timed: what a first batch costs is no matter of precision
CHANGED = 0.005  # of the labels, at most, for a precision to be recommended
UNSTEADY = 0.25  # between the quartiles of a speed, at most, for it to be believed
BUSY = 0.5  # processes that want to run, for each processor
FEWEST = 50  # rows, from which on that nothing changes says something
GAIN = 1.1  # times the speed, at least, for another to be worth its drift


@dataclass(frozen=True)
class Measured:
    """What a precision came to on some rows, beside float32; a `problem` is why it cannot be had."""

    dtype: str
    rows: int = 0
    rows_per_second: float = 0.0  # of float32 the median over turns, of the others so many times that
    times: float = 1.0  # the speed of float32, the median over turns
    unsteady: float = 0.0  # what lies between the quartiles of that, as a share of it
    largest: float = 0.0  # by which a margin moves, natural logarithms
    mean: float = 0.0
    changed: int = 0  # labels that come out otherwise
    right: int | None = None  # of the rows that carry a label we know
    labelled: int = 0
    problem: str = ""

    @property
    def at_most(self) -> float:
        """The share of labels that change: the upper end of its 95% interval (Wilson)."""
        return wilson(self.changed, self.rows)[1]


@dataclass(frozen=True)
class Compared:
    """What all precisions came to on the same rows, float32 first; and the rows that are left out."""

    found: Sequence[Measured]
    rejects: Sequence[Reject] = ()
    unknown: int = 0  # rows whose own label is none of ours

    @property
    def advice(self) -> tuple[str, str]:
        """The precision to take for such rows, and why, in a sentence."""
        return advice(self.found)

    def record(self) -> dict[str, Any]:
        """As plain data."""
        rejects = [one.record() for one in self.rejects]
        found = [vars(one) for one in self.found]
        return {"precisions": found, "precision": self.advice[0], "rejected": rejects, "unknown_labels": self.unknown}


@dataclass(frozen=True)
class Turn:
    """The rows scored once by one precision."""

    seconds: float
    outcomes: Sequence[Outcome]

    @property
    def found(self) -> list[Prediction]:
        """Those of the rows that could be scored."""
        return [one for one in self.outcomes if isinstance(one, Prediction)]


def measure(
    recipe: Recipe, rows: Sequence[Item], step: Callable[[str], None] = lambda said: None, rounds: int = ROUNDS
) -> Compared:
    """Each precision on the rows; raises a PromptshotError where float32 cannot score any of them.

    The model is loaded once for each precision, and all are in memory at the same time. `step` is told what is done.
    """
    made, refused = {EXACT: _loaded(recipe, EXACT, step)}, dict[str, str]()
    device = str(made[EXACT].details.get("device", "cpu"))
    for dtype in LOWER.get(device.partition(":")[0], ALL):
        try:
            made[dtype] = _loaded(recipe, dtype, step)
        except ModelError as problem:
            refused[dtype] = problem.what
    for one in made.values():
        _turn(one, rows[:WARM])
    turns, began = list[dict[str, Turn]](), time.perf_counter()
    while len(turns) < rounds or (len(turns) < MOST and time.perf_counter() - began < ENOUGH):
        step(f"scoring {many(len(rows), 'row')} in each precision, turn {len(turns) + 1}")
        turns.append({dtype: _turn(one, rows) for dtype, one in made.items()})
    exact = turns[0][EXACT]
    rejects = [one for one in exact.outcomes if isinstance(one, Reject)]
    if not exact.found:
        what = f"none of {many(len(rows), 'row')} could be scored; the first: {rejects[0].reason}"
        raise InputError(what, where=rejects[0].source)
    found = [_measured(dtype, turns) for dtype in made]
    found += [Measured(dtype, problem=why) for dtype, why in refused.items()]
    return Compared(found, rejects, sum(one.gold is None and one.gold_value is not None for one in exact.found))


def others_at_work() -> bool:
    """Whether so much else runs on this machine that times mean little; to be asked before anything is timed."""
    load: float = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return load > BUSY * (os.cpu_count() or 1)


def advice(found: Sequence[Measured]) -> tuple[str, str]:
    """The precision to take for such rows, and why, in a sentence."""
    exact, *others = found
    lower = [one for one in others if not one.problem]
    if (worst := max((one.unsteady for one in lower), default=0.0)) > UNSTEADY:
        return exact.dtype, f"speeds differ by {worst:.0%} from turn to turn; ask again when nothing else runs here"
    quick = [one for one in lower if one.times >= GAIN]
    close = [one for one in quick if one.changed <= CHANGED * one.rows]
    if close and exact.rows < FEWEST:
        quickest = max(close, key=lambda one: one.times)
        few = f"{many(exact.rows, 'row says', 'rows say')} too little: give {FEWEST} or more"
        return exact.dtype, f"{quickest.dtype} is {quickest.times:.1f} times as fast, but {few}"
    if close:
        most = max(one.times for one in close)
        best = min((one for one in close if one.times * GAIN >= most), key=lambda one: one.largest)
        return best.dtype, f"{best.times:.1f} times as fast, and {_changes(best)}"
    if quick:
        best = min(quick, key=lambda one: one.changed)
        return exact.dtype, f"{best.dtype} is {best.times:.1f} times as fast, but {_changes(best)}"
    return exact.dtype, "nothing else is much faster here"


def _changes(one: Measured) -> str:
    said = f"{one.changed or 'none'} of {many(one.rows, 'label')} come{'s' if one.changed < 2 else ''} out otherwise"
    return f"{said} (of more rows, up to {one.at_most:.1%} may)"


def _loaded(recipe: Recipe, dtype: str, step: Callable[[str], None]) -> Classifier:
    step(f"loading in {dtype}")
    options = replace(recipe.options, dtype=dtype)
    others = tuple(replace(one, options=options) for one in recipe.others)
    return Classifier.of(replace(recipe, options=options, others=others))


def _turn(made: Classifier, rows: Sequence[Item]) -> Turn:
    began = time.perf_counter()
    outcomes = [one for window in made.windows(rows) for one in window]
    return Turn(time.perf_counter() - began, outcomes)


def _measured(dtype: str, turns: Sequence[dict[str, Turn]]) -> Measured:
    """What the rounds say of a precision."""
    exact = {one.row.key: one for one in turns[0][EXACT].found}
    pairs = [(exact[one.row.key], one) for one in turns[0][dtype].found if one.row.key in exact]
    found, moved = [one for _, one in pairs], [_moved(*pair) for pair in pairs]
    ratios = [turn[EXACT].seconds / turn[dtype].seconds for turn in turns]
    times = median(ratios)
    exact_rate = len(found) / median(turn[EXACT].seconds for turn in turns)
    labelled = [one for one in found if one.gold is not None]
    return Measured(
        dtype,
        len(found),
        exact_rate * times,
        times,
        _between_quartiles(ratios) / times,
        max(moved, default=0.0),
        sum(moved) / max(1, len(moved)),
        sum(one.label != other.label for one, other in pairs),
        sum(one.label == one.gold for one in labelled) if labelled else None,
        len(labelled),
    )


def _between_quartiles(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    first, _, third = quantiles(values, method="inclusive")
    return third - first


def _moved(one: Prediction, other: Prediction) -> float:
    """By how much the margin of the two best labels moves; of a pair, its one score."""
    best, *others = sorted(one.label_scores, key=one.label_scores.__getitem__, reverse=True)
    margins = [found[best] - (found[others[0]] if others else 0) for found in (one.label_scores, other.label_scores)]
    return abs(margins[0] - margins[1])
