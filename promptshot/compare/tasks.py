"""A suite of several tasks, carried out: each task is a comparison of its templates, and every model is loaded once.

Work goes on model by model and within each task by task, so that no two models need be held at once; all that can be
known before a model is loaded is looked at first, and what cannot be used is told while the rest goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptshot import files
from promptshot.classify import choosing
from promptshot.classify.suited import Guess
from promptshot.compare import bench
from promptshot.compare.bench import Failure
from promptshot.compare.candidates import Axes, Candidate, check, grid, may_have_head, seen
from promptshot.compare.compare import Run, scoring
from promptshot.compare.folder import LEADERBOARD, Folder, fingerprint
from promptshot.compare.standings import Comparison
from promptshot.compare.suite import Layout, SuiteTask, TaskSuite
from promptshot.compare.table import Problem, Table
from promptshot.errors import (
    InputError,
    NotFoundError,
    OptionError,
    PromptshotError,
    did_you_mean,
    many,
    reason_of,
    shortlist,
)
from promptshot.files import Named
from promptshot.kinds import KINDS, WITH_DEMONSTRATIONS, with_heads
from promptshot.prompts.verbalizer import Verbalizer, whole_number
from promptshot.rows.row import Item
from promptshot.runs.inputs import Inputs, refuse_foreign
from promptshot.runs.interrupt import Interrupts
from promptshot.scorers import Loader
from promptshot.shelf import is_there

if TYPE_CHECKING:
    from promptshot.runs.ray import Cluster


@dataclass(frozen=True)
class Wanted:
    """What is asked of a suite."""

    data: Path  # the folder of the files
    tasks: Sequence[str] = ()  # by name; none: all
    scorers: Sequence[str] = ()  # kinds of which templates are asked; none: those that the models are made for
    more: bool = False  # the further patterns of each task, too
    cuts: bool = False  # thresholds of pairs from each task's dev rows, where else all rows are ranked together
    limit: int | None = None
    sample: int | None = None
    folder: Path | None = None  # a library of the user's
    chat: Mapping[str, Any] | None = None  # templates that a text goes on from are put as a chat
    axes: Axes = field(default_factory=Axes)  # models, options, shots and the seed

    @property
    def record(self) -> dict[str, Any]:
        """What decides which rows are scored and how, as plain data."""
        patterns, decided = "all" if self.more else "own", "dev" if self.cuts else "ranks"
        rows = {"limit": self.limit, "sample": self.sample, "seed": self.axes.seed}
        return {**rows, "patterns": patterns, "pairs_by": decided}


@dataclass(frozen=True)
class Job:
    """A task that can be scored: its candidates, on which rows, and what they come to."""

    candidates: Sequence[Candidate]
    rows: Sequence[Item]
    comparison: Comparison
    folder: Folder | None = None


@dataclass(frozen=True)
class Plan:
    """What a suite comes down to on this machine, before any model is loaded."""

    table: Table  # as yet without a number
    jobs: Mapping[str, Job]

    @property
    def reads(self) -> list[Named]:
        """The files that it comes from."""
        rows = [Named("--data", path) for job in self.jobs.values() for path in job.comparison.inputs]
        return rows + [one for job in self.jobs.values() for c in job.candidates for one in c.recipe.reads]

    def in_folders(self, path: Path, overwrite: bool = False) -> Plan:
        """The same with a folder for the predictions of each task in this one, which go on from what is there; raises
        InputError where there cannot be one, or what is there is of other rows."""
        if str(path) == files.STREAM:
            raise InputError("predictions of several tasks are files in folders", hint="--predictions DIR")
        try:
            path.mkdir(exist_ok=True)
        except (OSError, ValueError) as problem:
            raise InputError(f"no folder can be made here ({reason_of(problem)})", where=str(path)) from None
        there = {one.name for one in path.iterdir()}
        if not overwrite and (other := sorted(there - {*self.table.suite.tasks, LEADERBOARD})):
            hint = f"name another folder (it has {shortlist(other, 3)})"
            raise InputError("the folder has something besides tasks of the suite", where=str(path), hint=hint)
        jobs = dict(self.jobs)
        try:
            for name, job in self.jobs.items():
                folder = Folder(path / name, overwrite)
                jobs[name] = replace(job, folder=folder)
                folder.begin(job.comparison.data)
        except BaseException:
            replace(self, jobs=jobs).close()
            raise
        return replace(self, jobs=jobs)

    def close(self) -> None:
        """Let others write into the folders."""
        for job in self.jobs.values():
            if job.folder:
                job.folder.close()


class Watcher(bench.Watcher):
    """Whoever wants to know how a suite goes on; here it is told and says nothing."""

    def began_suite(self, table: Table, turns: int) -> None:
        """What becomes known will stand in the table, whatever stops it; candidates will be `started` so often."""

    def turned_to(self, task: str) -> None:
        """The candidates that come now are of this task."""


def run(plan: Plan, watcher: Watcher | None = None, cluster: Cluster | None = None) -> Table:
    """What all tasks come to, model by model; candidates that cannot be used are their comparisons' failures. With a
    `cluster`, its actors score.

    Raises the first failure where not one candidate could be used. Both signals (see `Interrupts`) end it at once, but
    never within a file.
    """
    watcher = watcher or Watcher()
    candidates = [candidate for job in plan.jobs.values() for candidate in job.candidates]
    with Interrupts() as interrupts:
        watcher.began_suite(plan.table, len(candidates))
        with scoring(cluster, Loader(keeps=False), watcher) as bench_for:
            for engine in dict.fromkeys(candidate.engine for candidate in candidates):
                for name, job in plan.jobs.items():
                    watcher.turned_to(name)
                    members = [candidate for candidate in job.candidates if candidate.engine == engine]
                    step = Run(job.folder, job.comparison, bench_for(members), interrupts)
                    step.score(members, job.rows, job.candidates)
                    job.comparison.complete = job.comparison.tried == job.comparison.wanted
        if not any(job.comparison.entries for job in plan.jobs.values()):
            raise next(failure.problem for job in plan.jobs.values() for failure in job.comparison.failures)
        plan.table.complete = True
        for job in plan.jobs.values():
            if job.folder:
                job.folder.end()
    return plan.table


# ------------------------------------------------------------------ before


def plan(suite: TaskSuite, wanted: Wanted, name: str = "", tell: Callable[[str], object] = str) -> Plan:
    """What is to be scored; what cannot be is a problem of the table, and each line on how rows are read is told.

    Raises an InputError where no task has its files, and the first problem where nothing can be scored.
    """
    if not wanted.data.is_dir():
        raise InputError("no such folder", where=str(wanted.data), hint="name the one with the data: --data DIR")
    unknown = [name for name in wanted.tasks if name not in suite.tasks]
    problems = [
        Problem(name, "", NotFoundError("the suite has no such task", hint=did_you_mean(name, suite.tasks)))
        for name in unknown
    ]
    chosen = [name for name in suite.tasks if name in wanted.tasks or not wanted.tasks]
    preparing = _Preparing(suite, wanted, problems, tell)
    jobs, absent = dict[str, Job](), list[InputError]()
    for task in chosen:
        try:
            if job := preparing.job(task, suite.tasks[task]):
                jobs[task] = job
        except _Absent as problem:
            absent.append(problem)
            problems.append(Problem(task, "", problem))
        except PromptshotError as problem:
            problems.append(Problem(task, "", problem))
    if chosen and len(absent) == len(chosen):
        first = suite.tasks[chosen[0]].files[0].files[0]
        what = f"no file of the suite's {many(len(chosen), 'task')} is here; the first would be {first}"
        raise InputError(what, where=str(wanted.data), hint="name the folder that has them: --data DIR")
    if not any(job.candidates for job in jobs.values()):
        raise _nothing(suite, wanted, problems, jobs)
    shots = {candidate.shots for job in jobs.values() for candidate in job.candidates}
    if any(wanted.axes.shots) and not any(shots) and not problems:
        what = f"demonstrations are for scorer {WITH_DEMONSTRATIONS}, and no template is"
        raise OptionError(what, hint="leave out -k")
    comparisons = {name: job.comparison for name, job in jobs.items()}
    return Plan(Table(name, suite, wanted.record, comparisons, preparing.own, problems), jobs)


def _nothing(suite: TaskSuite, wanted: Wanted, problems: Sequence[Problem], jobs: Mapping[str, Job]) -> PromptshotError:
    """Why there is nothing to score."""
    failed = [failure.problem for job in jobs.values() for failure in job.comparison.failures]
    if causes := [problem.problem for problem in problems] + failed:
        return causes[0]
    for_whom = f"the models ({', '.join(wanted.axes.models)})" if wanted.axes.models else "the built-in models"
    scorers = f" for scorer {' or '.join(wanted.scorers)}" if wanted.scorers else ""
    return OptionError(f"{for_whom} suit none of the templates{scorers}", hint="name another with -m, or --scorer")


class _Absent(InputError):
    """The files of a task are not there."""


@dataclass
class _Preparing:
    """What the steps on the way to a plan share."""

    suite: TaskSuite
    wanted: Wanted
    problems: list[Problem]
    tell: Callable[[str], object]
    own: dict[str, frozenset[str]] = field(default_factory=dict)  # task -> the candidates that make the table

    def job(self, name: str, task: SuiteTask) -> Job | None:
        """A task with all candidates that suit its rows; None where no model is for any of its templates. Raises a
        PromptshotError where its rows cannot be used at all."""
        layout = self._layout(task)
        paths = [self._place(path) for path in layout.files]
        inputs = Inputs(paths, self.wanted.limit, self.wanted.sample, self.wanted.axes.seed, layout.reading)
        rows = list(inputs.read({}))
        refuse_foreign(rows)
        look = inputs.look_back(rows, layout.names.usual)
        own = list(self._guesses(name, task.templates, layout, look))
        more = list(self._guesses(name, task.more, layout, look)) if self.wanted.more else []
        found, lines = seen(self._candidates(name, task, layout, [*own, *more]), look.first(), layout.reading)
        if not found:
            return None
        for line in lines:
            self.tell(f"{name}: {line}")
        comparison = Comparison(len(rows), fingerprint(rows), self.wanted.axes.seed, len(found), inputs=tuple(paths))
        templates = [guess.template for guess in own]
        self.own[name] = frozenset(one.name for one in found if one.recipe.template in templates)
        return Job(list(_checked(found, rows, comparison)), rows, comparison)

    def _layout(self, task: SuiteTask) -> Layout:
        """The first layout of which all files are there."""
        for layout in task.layouts:
            if all(is_there(Path(self._place(path))) for path in layout.files):
                return layout
        names = [layout.files[0] for layout in task.files]
        raise _Absent(f"there is no {' or '.join(names)}", where=str(self.wanted.data))

    def _place(self, path: str) -> str:
        return str(self.wanted.data / path)

    def _guesses(self, name: str, said: Sequence[str], layout: Layout, look: choosing.Look) -> Iterator[Guess]:
        """Each template that is asked for, with its label words as the rows spell their labels."""
        folder = Path(self.suite.library) if self.suite.library else self.wanted.folder
        for one in said:
            try:
                (guess,) = choosing.choose(choosing.Wish((one,), folder=folder), look)
                if self._is_wanted(guess):
                    for line in guess.reasons:
                        self.tell(f"{name}: {line}")
                    left_to_right = guess.template.kind.left_to_right
                    guess = choosing.in_chat(guess, self.wanted.chat if left_to_right else None)
                    layout.names.of(guess.template)
                    yield replace(guess, verbalizer=_respelled(guess.verbalizer, layout.spellings))
            except PromptshotError as problem:
                self.problems.append(Problem(name, one, problem))

    def _is_wanted(self, guess: Guess) -> bool:
        """Whether any of the models is asked for a template of this kind."""
        kind = guess.template.spec.scorer
        return any(kind in self._asked(model) for model in self.wanted.axes.models)

    def _asked(self, model: str) -> Sequence[str]:
        """The kinds of scorer that a model is asked for: those that were said, or else those that it is made for, of
        which one that every encoder suits is none where it has a head of its own."""
        if self.wanted.axes.scorer:  # one that is no kind stands in the place of any
            return [*KINDS]
        there = [kind for kind in self.wanted.scorers or KINDS if may_have_head(kind, model)]
        return there if self.wanted.scorers else with_heads(there)

    def _candidates(self, name: str, task: SuiteTask, layout: Layout, guesses: Sequence[Guess]) -> list[Candidate]:
        """The templates with every model that is asked for their kind."""
        axes = replace(self.wanted.axes, names=layout.names)
        if any(axes.shots):
            axes = replace(axes, demos=self._beside(name, task.demos, "demos", "demonstrations"))
        if self.wanted.cuts and any(guess.template.spec.ordered for guess in guesses):
            axes = replace(axes, dev=self._beside(name, task.dev, "dev", "thresholds"))
            guesses = [guess for guess in guesses if axes.dev or not guess.template.spec.ordered]
        if any(axes.shots) and not axes.demos:
            guesses = [guess for guess in guesses if not guess.template.kind.demonstrations or 0 in axes.shots]
        if not axes.demos or not any(guess.template.kind.demonstrations for guess in guesses):
            axes = replace(axes, shots=(), demos=None)
        found = grid(guesses, axes) if guesses else []
        return [one for one in found if one.recipe.template.spec.scorer in self._asked(one.recipe.options.model)]

    def _beside(self, name: str, paths: Sequence[str], key: str, what: str) -> str | None:
        """The first of these files that is there; that there is none is a problem of the task."""
        if found := next((place for path in paths if is_there(Path(place := self._place(path)))), None):
            return found
        said = f"there is no {' or '.join(paths)}" if paths else f"the suite names no file under '{key}'"
        problem = InputError(f"{said}, and {what} need one", where=str(self.wanted.data))
        self.problems.append(Problem(name, what, problem))
        return None


def _checked(candidates: Sequence[Candidate], rows: Sequence[Item], comparison: Comparison) -> Iterator[Candidate]:
    """Those that suit the rows; the others are failures of the comparison."""
    for candidate in candidates:
        try:
            yield from check([candidate], rows)
        except PromptshotError as problem:
            comparison.failures.append(Failure(candidate, problem))


def _respelled(words: Verbalizer, spellings: Mapping[str, tuple[str, ...]]) -> Verbalizer:
    """The same labels and words where the rows spell some of the labels otherwise; raises OptionError for a label
    that is none of them."""
    for label in spellings:
        if label not in words.names:
            where = "no label is known before its row" if not words.names else did_you_mean(label, words.names)
            raise OptionError(f"gold: {words.name} has no label {label!r}", hint=where)
    taken = {value.casefold() for values in spellings.values() for value in values}
    numbered = any(whole_number(value) is not None for value in taken)  # then no other number means a label of ours

    def is_left(value: str) -> bool:
        return value.casefold() not in taken and not (numbered and whole_number(value) is not None)

    left = {label: tuple(filter(is_left, values)) for label, values in words.gold.items()}
    return replace(words, gold={**left, **{label: (*left.get(label, ()), *said) for label, said in spellings.items()}})
