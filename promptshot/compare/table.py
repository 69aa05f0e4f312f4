"""The table of a suite: a line for each scorer and model, a column for each task, beside what others have published."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from promptshot import files
from promptshot.classify.decide import Ranks, Thresholds
from promptshot.compare.bench import Entry
from promptshot.compare.candidates import Candidate
from promptshot.compare.standings import Comparison
from promptshot.compare.suite import Published, TaskSuite
from promptshot.errors import PromptshotError, many, shortlist
from promptshot.rows.writer import Form, Writer
from promptshot.runs.record import as_json, versions
from promptshot.runs.remarks import Code, Remark, other_heads

RANKED, CUT = "*", "+"  # behind an accuracy: all rows decided together; thresholds from the dev rows
EACH: tuple[Code, ...] = ("doubt", "unknown-gold", "caution", "rejected", "dropped", "lacking", "changed", "odd")


class Interval(NamedTuple):
    """A share of rows, with its 95% interval; all from 0 to 1."""

    share: float
    low: float
    high: float


class Line(NamedTuple):
    """What the candidates of one line share."""

    kind: str  # of scorer, by its templates
    scorer: str  # another in its place, or the same
    model: str
    shots: int

    @classmethod
    def of(cls, candidate: Candidate) -> Line:
        """The line in which it stands."""
        recipe = candidate.recipe
        return cls(recipe.template.spec.scorer, recipe.scorer, recipe.model, candidate.shots)

    @property
    def name(self) -> str:
        """How people call it: nsp · builtin:bert."""
        who = self.model or ("no model" if self.scorer == self.kind else self.scorer)
        return f"{self.kind} · {who}" + (f", {self.shots} shots" if self.shots else "")


@dataclass(frozen=True)
class Problem:
    """What is left out before anything is scored, and why."""

    task: str
    what: str  # of the task, such as a template; empty for all of it
    problem: PromptshotError


@dataclass(frozen=True)
class Width:
    """How far the patterns of one line and task lie apart, by accuracy from 0 to 1."""

    count: int
    least: float
    mean: float
    most: float
    best: str  # the candidates' names
    worst: str

    def record(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


@dataclass
class Table:
    """What is known so far; a run that is stopped leaves it as it stands."""

    name: str  # of the suite
    suite: TaskSuite
    circumstances: Mapping[str, Any]  # what decides which rows are scored and how, as plain data
    comparisons: Mapping[str, Comparison]  # task -> what its candidates come to
    own: Mapping[str, frozenset[str]]  # task -> the candidates that make the table; the others are further patterns
    problems: Sequence[Problem] = ()
    complete: bool = field(default=False)

    @property
    def tasks(self) -> list[str]:
        """Those of which there is a number, in the order of the suite."""
        return [name for name in self.suite.tasks if name in self.comparisons and self.comparisons[name].entries]

    @property
    def whole(self) -> bool:
        """Whether that is every task of the suite."""
        return len(self.tasks) == len(self.suite.tasks)

    def _single(self, task: str) -> list[Entry]:
        """The entries of a task; ensembles stand nowhere in the table."""
        return [entry for entry in self.comparisons[task].entries if not entry.candidate.members]

    @property
    def lines(self) -> list[Line]:
        """In the order in which they were scored."""
        return list(dict.fromkeys(Line.of(entry.candidate) for task in self.tasks for entry in self._single(task)))

    @property
    def filled(self) -> list[Line]:
        """Those of which there is a number in the table: of the others, only further patterns were scored."""
        return [line for line in self.lines if any(self.entry(line, task) for task in self.tasks)]

    def entry(self, line: Line, task: str) -> Entry | None:
        """What makes the cell: the first of the task's own templates that has a number."""
        there = (e for e in self._single(task) if Line.of(e.candidate) == line and e.candidate.name in self.own[task])
        return next(there, None)

    def cell(self, line: Line, task: str) -> Interval | None:
        """The accuracy, with its Wilson interval."""
        entry = self.entry(line, task)
        interval = entry.result.tally.interval if entry else None
        return Interval(entry.accuracy, *interval) if entry and interval else None

    def mark(self, line: Line, task: str) -> str:
        """What is said of a cell in a sign."""
        entry = self.entry(line, task)
        decision = entry.candidate.recipe.decision if entry else None
        return RANKED if isinstance(decision, Ranks) else CUT if isinstance(decision, Thresholds) else ""

    def average(self, line: Line) -> Interval | None:
        """The mean of the accuracies, where the suite has one and every task is there; its interval is that of the
        tasks together (MOVER, Zou and Donner 2008: the distances to the limits add up as errors do)."""
        cells = [self.cell(line, task) for task in self.suite.tasks if task in self.tasks]
        there = [cell for cell in cells if cell]
        if self.suite.average != "mean" or len(there) < len(self.suite.tasks):
            return None
        mean = math.fsum(cell.share for cell in there) / len(there)
        below = math.hypot(*(cell.share - cell.low for cell in there)) / len(there)
        above = math.hypot(*(cell.high - cell.share for cell in there)) / len(there)
        return Interval(mean, mean - below, mean + above)

    @property
    def baseline(self) -> dict[str, float]:
        """Task -> the accuracy of always saying the most frequent label, or of guessing where that has more."""
        found = {}
        for task in self.tasks:
            tallies = [entry.result.tally for entry in self._single(task)]
            tally = max(tallies, key=lambda tally: tally.labelled)
            found[task] = max(tally.majority or 0.0, tally.chance or 0.0)
        return found

    @property
    def baseline_average(self) -> float | None:
        """The mean of them, where lines have an average."""
        shares = self.baseline.values()
        return math.fsum(shares) / len(shares) if self.whole and self.suite.average == "mean" else None

    @cached_property
    def published(self) -> list[Published]:
        """Those that have a number for any of the tasks."""
        return [row for row in self.suite.published if row.scores.keys() & {*self.tasks}]

    def widths(self) -> dict[Line, dict[str, Width]]:
        """Line -> task -> how far its patterns lie apart, where there are several."""
        found: dict[Line, dict[str, Width]] = {}
        for line in self.lines:
            for task in self.tasks:
                ranked = sorted((e for e in self._single(task) if Line.of(e.candidate) == line), key=_accuracy)
                if len(ranked) > 1:
                    mean = math.fsum(map(_accuracy, ranked)) / len(ranked)
                    ends = (ranked[-1].candidate.name, ranked[0].candidate.name)
                    width = Width(len(ranked), ranked[0].accuracy, mean, ranked[-1].accuracy, *ends)
                    found.setdefault(line, {})[task] = width
        return found

    @property
    def lacks(self) -> bool:
        """Whether there is something to look at: what is left out, or rows that cannot be used."""
        failed = any(comparison.failures for comparison in self.comparisons.values())
        rejects = (entry.result.rejects for one in self.comparisons.values() for entry in one.entries)
        return bool(self.problems) or failed or any(rejects)

    # -------------------------------------------------------------- what a reader must know

    def remarks(self) -> list[Remark]:
        """What is left out, and what a reader of the numbers must know."""
        told = [*self._of_left_out(), *self._of_published()] if self.tasks else [*self._of_left_out()]
        return [*told, *self._of_numbers(), *self._of_all(), *self._of_each()]

    def _of_left_out(self) -> Iterator[Remark]:
        """One for each task or template that is; for a model that cannot be used, one for all of its tasks."""
        for one in self.problems:
            who = f"{one.task}: {one.what}" if one.what else one.task
            facts: dict[str, Any] = {"task": one.task, "candidate": one.what, "reason": str(one.problem)}
            yield Remark("failed", f"left out: {who}: {one.problem}", facts)
        alike: dict[tuple[Line, str], list[tuple[str, str]]] = {}
        for task, comparison in self.comparisons.items():
            for failure in comparison.failures:
                place = (Line.of(failure.candidate), str(failure.problem))
                alike.setdefault(place, []).append((task, failure.candidate.name))
        for (line, reason), names in alike.items():
            tasks = list(dict.fromkeys(task for task, _ in names))
            who = f"{tasks[0]}: {names[0][1]}" if len(names) == 1 else f"{line.name} ({shortlist(tasks, 3)})"
            facts = {"task": tasks[0], "tasks": tasks, "candidate": names[0][1], "reason": reason}
            yield Remark("failed", f"left out: {who}: {reason}", facts)

    def _of_published(self) -> Iterator[Remark]:
        """How far the published rows can be compared with ours."""
        if not self.published:
            return
        models = list(dict.fromkeys(line.model or line.scorer for line in self.lines))
        line = "published rows are of the checkpoints, words and rows that stand below them, ours are of "
        line += f"{shortlist(models, 4)}: only what agrees in all three can be compared"
        yield Remark("published", line, {"published": [row.name for row in self.published], "models": models})
        sample, limit = self.circumstances.get("sample"), self.circumstances.get("limit")
        if sample or limit:
            how = f"{sample:,} rows of each at random" if sample else f"the first {limit:,} rows of each"
            line = f"tasks are judged on {how} at most, and published rows on all"
            yield Remark("sampled", line, {"sample": sample, "limit": limit})

    def _of_numbers(self) -> Iterator[Remark]:
        """What the signs in cells mean, and why there is no average."""
        cells = [(line, task) for line in self.lines for task in self.tasks]
        ranked = [(line, task) for line, task in cells if self.mark(line, task) == RANKED]
        cut = [(line, task) for line, task in cells if self.mark(line, task) == CUT]
        named = {row.name: row.transductive for row in self.published if row.transductive}
        if ranked or named:
            line = f"{RANKED} all rows of the task were ranked together and cut in fixed shares: a row's label depends "
            facts = {"tasks": list(dict.fromkeys(task for _, task in ranked)), "published": named}
            yield Remark("transductive", line + "on the others", facts)
        if cut:
            line = f"{CUT} cut by thresholds that the task's dev rows fix, each row for itself"
            yield Remark("thresholds", line, {"tasks": list(dict.fromkeys(task for _, task in cut))})
        if self.suite.average == "mean" and self.lines and not any(map(self.average, self.lines)):
            most = max(sum(self.cell(line, task) is not None for task in self.tasks) for line in self.lines)
            line = f"no average: it is of all {many(len(self.suite.tasks), 'task')}, and no line has more than {most}"
            yield Remark("no-average", line, {"tasks": len(self.suite.tasks), "most": most})

    def _of_all(self) -> Iterator[Remark]:
        """What holds for candidates of several tasks together."""
        entries = [(task, entry) for task in self.tasks for entry in self._single(task)]
        recipes = [entry.candidate.recipe for _, entry in entries]
        if any(recipe.model and not recipe.options.model for recipe in recipes):
            line = "the built-in models are small; for real results: -m NAME"
            yield Remark("built-in-model", line, {"models": sorted({r.model for r in recipes if not r.options.model})})
        yield from other_heads(recipes)
        if draw := next((recipe.draw for recipe in recipes if recipe.draw), ""):
            yield Remark("one-draw", f"demonstrations: {draw}; another may change much. Try --seed 1, --seed 2 ...")
        cut = Counter[str]()
        for task, entry in entries:
            cut[task] = max(cut[task], entry.result.cut)
        if cut := +cut:
            each = shortlist([f"{task} {rows:,}" for task, rows in cut.items()], 12)
            yield Remark("cut", f"rows were too long and cut to fit: {each}", {"rows": dict(cut)})

    def _of_each(self) -> Iterator[Remark]:
        """What is to be known of the rows of single tasks, each thing once."""
        seen = set()
        for task in self.tasks:
            for entry in self._single(task):
                for remark in entry.result.remarks("--predictions DIR"):
                    if remark.code in EACH and (task, remark.line) not in seen:
                        seen.add((task, remark.line))
                        yield Remark(remark.code, f"{task}: {remark.line}", {**remark.facts, "task": task})

    # -------------------------------------------------------------- as plain data

    def record(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "suite": self.name,
            "about": self.suite.about,
            "source": self.suite.source,
            "complete": self.complete,
            **self.circumstances,
            "table": [self._line_record(line) for line in self.lines],
            "baseline": {"tasks": self.baseline, "average": self.baseline_average},
            "published": [row.model_dump() for row in self.published],
            "spreads": [
                {**line._asdict(), "tasks": {task: width.record() for task, width in of_task.items()}}
                for line, of_task in self.widths().items()
            ],
            "tasks": {name: self._task_record(name) for name in self.comparisons},
            "remarks": [asdict(remark) for remark in self.remarks()],
            "failed": [
                {"task": one.task, "name": one.what, "reason": str(one.problem)} for one in self.problems
            ],
            "versions": versions(),
        }  # fmt: skip

    def _line_record(self, line: Line) -> dict[str, Any]:
        cells = {task: cell for task in self.tasks if (cell := self.cell(line, task))}
        average = self.average(line)
        return {
            **line._asdict(),
            "tasks": {
                task: {
                    "template": entry.candidate.recipe.name if (entry := self.entry(line, task)) else "",
                    "accuracy": cell.share,
                    "accuracy_interval": [cell.low, cell.high],
                    "transductive": self.mark(line, task) == RANKED,
                    "thresholds_from_dev": self.mark(line, task) == CUT,
                }
                for task, cell in cells.items()
            },
            "average": average.share if average else None,
            "average_interval": [average.low, average.high] if average else None,
        }

    def _task_record(self, name: str) -> dict[str, Any]:
        comparison = self.comparisons[name]
        return {"about": self.suite.tasks[name].about, **comparison.record(comparison.standings())}

    def rows(self) -> list[dict[str, Any]]:
        """A line for each task and candidate, as plain data."""
        found = []
        for task in self.tasks:
            comparison = self.comparisons[task]
            shared = {"data": comparison.data, "rows": comparison.rows, "versions": versions()}
            for standing in comparison.standings():
                own = standing.entry.candidate.name in self.own[task]
                found.append({"suite": self.name, "task": task, "own": own, **standing.record(), **shared})
        return found


def _accuracy(entry: Entry) -> float:
    return entry.accuracy


def write(path: str, table: Table, form: Form, replace: bool = False) -> None:
    """Write a table: all of it as .json, else one line for each task and candidate."""
    if path.lower().endswith(".json"):
        files.put(path, as_json(table.record()), replace)
        return
    with Writer(path, replace=replace, form=form) as writer:
        writer.write(table.rows())
