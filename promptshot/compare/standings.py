"""The leaderboard: who stands where, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from promptshot.compare.bench import Entry, Failure
from promptshot.compare.search import Search
from promptshot.errors import shortlist
from promptshot.paired import SURE, Paired, holm
from promptshot.runs.record import versions
from promptshot.runs.remarks import MAJORITY, Code, Remark, other_heads
from promptshot.runs.result import Result

# What a comparison says of all candidates together, or shows of each in its line.
TOGETHER: tuple[Code, ...] = (*MAJORITY, "leaning", "one-draw")


@dataclass(frozen=True)
class Standing:
    """A line of the leaderboard; all but the first are tested against the first, on the rows both scored."""

    entry: Entry
    paired: Paired | None = None
    interval: tuple[float, float] | None = None
    p: float | None = None  # exact McNemar, Holm-corrected

    @property
    def sure(self) -> bool:
        """Whether the difference from the first is more than the rows' chance."""
        return self.p is not None and self.p < SURE

    def comparable(self, other: Standing) -> bool:
        """Whether rows alone can tell which is better: demonstrations of one draw say little of another number of
        them."""
        return self.entry.candidate.shots == other.entry.candidate.shots

    def record(self) -> dict[str, Any]:
        """The line as plain data."""
        candidate, result = self.entry.candidate, self.entry.result
        tested = self.paired and {
            "rows": self.paired.rows,
            "both": self.paired.both,
            "only_best": self.paired.first,
            "only_this": self.paired.second,
            "neither": self.paired.neither,
            "difference": self.paired.difference,
            "difference_interval": list(self.interval or ()),
            "p": self.paired.p,
            "p_holm": self.p,
        }
        return {
            "name": candidate.name,
            "template": candidate.recipe.name,
            "verbalizer": candidate.recipe.verbalizer.name,
            "scorer": candidate.recipe.scorer,
            "model": candidate.recipe.model,
            "shots": candidate.shots,
            "draw_seed": candidate.recipe.demos.seed if candidate.shots and candidate.recipe.demos else None,
            "ensemble": candidate.members,
            **{key: value for key, value in summary_of(result).items() if key not in ("rows", "versions")},
            "against_best": tested,
        }


@dataclass(frozen=True)
class Spread:
    """How far the members of a family lie apart."""

    best: Entry
    worst: Entry
    count: int
    mean: float

    @property
    def width(self) -> float:
        """The accuracy of the best less that of the worst."""
        return self.best.accuracy - self.worst.accuracy

    def remark(self) -> Remark:
        """What the choice of template and label words is worth."""
        ends = (f"{entry.candidate.name} {entry.accuracy:.1%}" for entry in (self.best, self.worst))
        line = f"{self.count} candidates lie {100 * self.width:.1f} points apart: {' to '.join(ends)}"
        return Remark("spread", line, self.record())

    def record(self) -> dict[str, Any]:
        """As plain data."""
        candidate = self.best.candidate
        return {
            "scorer": candidate.recipe.scorer,
            "model": candidate.recipe.model,
            "shots": candidate.shots,
            "candidates": self.count,
            "best": self.best.candidate.name,
            "worst": self.worst.candidate.name,
            "best_accuracy": self.best.accuracy,
            "worst_accuracy": self.worst.accuracy,
            "mean_accuracy": self.mean,
            "spread": self.width,
        }


@dataclass
class Comparison:
    """What is known so far; a run that is stopped leaves it as it stands."""

    rows: int
    data: str  # a hash of the rows
    seed: int = 0
    wanted: int = 0  # candidates in all
    search: Search | None = None  # how the chosen one was found
    inputs: tuple[str, ...] = ()  # the files of the rows
    entries: list[Entry] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    chosen: str | None = None  # the candidate that other rows chose; it stands first, whatever comes of it here
    complete: bool = False

    @property
    def tried(self) -> int:
        """The candidates that have been scored, or cannot be."""
        return len(self.failures) + sum(not entry.candidate.members for entry in self.entries)

    def standings(self) -> list[Standing]:
        """The leaderboard, best first, with the paired tests; these take a moment where there are many rows."""
        if not self.entries:
            return []
        ranked = sorted(self.entries, key=lambda e: (e.candidate.name != self.chosen, -e.accuracy, -f1_of(e)))
        best, *others = ranked
        pairs = [Paired.of((best.right[key], entry.right[key]) for key in best.right.keys() & entry.right.keys())
                 for entry in others]  # fmt: skip
        corrected = holm([pair.p for pair in pairs])
        tested = zip(others, pairs, corrected, strict=True)
        return [Standing(best), *(Standing(entry, pair, pair.interval(self.seed), p) for entry, pair, p in tested)]

    @property
    def spreads(self) -> list[Spread]:
        """The families of at least two candidates; ensembles do not count."""
        single = [entry for entry in self.entries if not entry.candidate.members]
        found = []
        for family in dict.fromkeys(entry.candidate.family for entry in single):
            ranked = sorted((e for e in single if e.candidate.family == family), key=lambda e: -e.accuracy)
            if len(ranked) > 1:
                mean = sum(entry.accuracy for entry in ranked) / len(ranked)
                found.append(Spread(ranked[0], ranked[-1], len(ranked), mean))
        return found

    def remarks(self, standings: Sequence[Standing]) -> list[Remark]:
        """What a reader of the `standings()` must know; none where there are none."""
        if not standings:
            return []
        failed = [failure.remark() for failure in self.failures]
        spreads = [spread.remark() for spread in self.spreads]
        tested = _of_tests(self, standings)
        return [*failed, _verdict(self, standings), *spreads, *_of_all(standings), *tested, *_of_each(standings)]

    def record(self, standings: Sequence[Standing]) -> dict[str, Any]:
        """Everything as plain data, with the `standings()`."""
        return {
            "complete": self.complete,
            "rows": self.rows,
            "data": self.data,
            "seed": self.seed,
            "chosen": self.chosen,
            "candidates": [standing.record() for standing in standings],
            "failed": [{"name": one.candidate.name, "reason": str(one.problem)} for one in self.failures],
            "spreads": [spread.record() for spread in self.spreads],
            "versions": versions(),
            "inputs": list(self.inputs),
            "search": self.search.record() if self.search else None,
        }


def _verdict(comparison: Comparison, standings: Sequence[Standing]) -> Remark:
    """Whether the first is better than the others."""
    best, *others = standings
    name, draw = best.entry.candidate.name, best.entry.candidate.recipe.draw
    how = ", chosen on other rows" if comparison.chosen else ", the best here" if others else ""
    line = f"{name}{how}: {best.entry.accuracy:.1%}" + (f", {draw}" if draw else "")
    lesser = [s for s in others if s.sure and s.paired and s.paired.difference < 0]
    beaten = [s for s in lesser if s.comparable(best)]
    if others:
        told = f", clearly better than {len(beaten)} of {len(others)}"
        line += told if beaten else ", not clearly better than any other"
    if rest := len(lesser) - len(beaten):
        line += f"; {rest} with another k cannot be told from one draw"
    elif others and not draw and (of := _draw(others)):
        line += f"; demonstrations are {of}"
    code: Code = "clearly-better" if beaten else "not-clearly-better" if others else "alone"
    counts = {"beaten": len(beaten), "others": len(others), "untold": rest}
    return Remark(code, line, {"candidate": name, "accuracy": best.entry.accuracy, **counts})


def _draw(standings: Sequence[Standing]) -> str:
    """Of which draw demonstrations are; empty where nobody has any."""
    return next((draw for standing in standings if (draw := standing.entry.candidate.recipe.draw)), "")


def _of_all(standings: Sequence[Standing]) -> Iterator[Remark]:
    """What holds for candidates together."""
    candidates = [standing.entry.candidate for standing in standings]
    if builtin := [one.name for one in candidates if one.recipe.model and not one.recipe.options.model]:
        line = "the built-in models are small; for real results: -m NAME"
        yield Remark("built-in-model", line, {"candidates": builtin})
    yield from other_heads(one.recipe for one in candidates)
    if draw := _draw(standings):
        line = f"demonstrations: {draw}; another may change their order. Try --seed 1, --seed 2 ..."
        yield Remark("one-draw", line, {"candidates": [one.name for one in candidates if one.recipe.draw]})
    if leaning := [standing.entry.candidate.name for standing in standings if standing.entry.result.tally.lean]:
        given = f"{len(leaning)} of {len(standings)} give nearly all rows one label"
        line = f"{given}, whatever the text says: {shortlist(leaning, 3)}"
        yield Remark("leaning", line, {"candidates": leaning, "of": len(standings)})


def _of_tests(comparison: Comparison, standings: Sequence[Standing]) -> Iterator[Remark]:
    """What was tested, on which rows, and what that does not tell."""
    if len(standings) > 1:
        tested = "the one chosen" if comparison.chosen else "the best"
        line = f"p: exact McNemar test against {tested} on the rows both scored, Holm-corrected"
        yield Remark("tested", line, {"against": standings[0].entry.candidate.name, "tests": len(standings) - 1})
        if not comparison.chosen:
            what = f"the best of {len(standings)} was found on these very rows and will do worse on others"
            line = f"{what}; --search chooses on some rows and judges on the rest"
            yield Remark("chosen-here", line, {"candidates": len(standings)})
    rows = [standing.paired.rows for standing in standings[1:] if standing.paired]
    if fewer := [count for count in rows if count < comparison.rows]:
        least = f"the least {min(fewer):,} of {comparison.rows:,}"
        line = f"{len(fewer)} of the tests use fewer than all rows, {least}"
        yield Remark("fewer-rows", line, {"tests": len(fewer), "least": min(fewer), "rows": comparison.rows})


def _of_each(standings: Sequence[Standing]) -> list[Remark]:
    """What is to be known of single candidates, each thing once, with the names of all of whom it holds."""
    seen: dict[str, tuple[Remark, list[str]]] = {}
    for entry in (standing.entry for standing in standings if not standing.entry.candidate.members):
        for remark in entry.result.remarks("--predictions DIR"):
            if remark.code not in TOGETHER:
                seen.setdefault(remark.line, (remark, []))[1].append(entry.candidate.name)
    return [
        replace(remark, line=f"{shortlist(names, 3)}: {line}", facts={**remark.facts, "candidates": names})
        for line, (remark, names) in seen.items()
    ]


def f1_of(entry: Entry) -> float:
    return entry.result.tally.macro_f1 or 0.0


def summary_of(result: Result) -> dict[str, Any]:
    """Metrics and circumstances; a fingerprint is of a run of one recipe on files, and this was none."""
    return {key: value for key, value in result.summary().items() if key != "fingerprint"}
