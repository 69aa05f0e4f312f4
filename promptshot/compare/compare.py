"""Many candidates on the same labelled rows: ranked, and tested against the best.

Every scorer is loaded once, and the rows are read once. Candidates that differ in their template or label words only
are a family: their spread says what the choice of words is worth, their ensemble costs no further scoring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from promptshot.classify.prediction import Outcome, ensemble
from promptshot.compare import bench
from promptshot.compare.bench import Bench, Entry, Failure, Turn
from promptshot.compare.candidates import Candidate, check
from promptshot.compare.folder import Folder, fingerprint
from promptshot.compare.search import Search, halve
from promptshot.compare.standings import Comparison
from promptshot.errors import InputError, PromptshotError
from promptshot.rows.row import Item
from promptshot.runs.interrupt import Interrupts
from promptshot.scorers import Loader

if TYPE_CHECKING:
    from promptshot.runs.ray import Cluster


@dataclass(frozen=True)
class Plan:
    """What is compared on which rows, and where it goes; plain data, but for the folder."""

    candidates: Sequence[Candidate]
    rows: Sequence[Item]  # labelled; with a search, those that judge, or are halved
    search: bool = False  # choose on some rows, and judge the best on the others
    dev: Iterable[Item] | None = None  # the rows to choose on; None: half of the others
    folder: Folder | None = None  # where predictions go
    seed: int = 0
    inputs: Sequence[str] = ()  # the files of the rows; only told
    cluster: Cluster | None = None  # whose actors score, in place of this process


class Watcher(bench.Watcher):
    """Whoever wants to know how a comparison goes on; here it is told and says nothing."""

    def began(self, comparison: Comparison, turns: int) -> None:
        """What becomes known will stand in `comparison`, whatever stops it; candidates will be `started` so often."""


def compare(plan: Plan, watcher: Watcher | None = None) -> Comparison:
    """What all candidates of the plan come to, with the ensembles; those that cannot be used are its failures.

    Raises a PromptshotError where candidates do not fit the rows, before any model is loaded, and the first failure
    where not one candidate could be used. Both signals (see `Interrupts`) end it at once, but never within a file.
    """
    watcher = watcher or Watcher()
    candidates = check(plan.candidates, plan.rows)
    search = _search(plan, candidates) if plan.search else None
    judging = search.judging if search else plan.rows
    data, inputs = fingerprint(judging), tuple(plan.inputs)
    if plan.folder:
        plan.folder.begin(data)
    comparison = Comparison(len(judging), data, plan.seed, len(candidates), search, inputs)
    with Interrupts() as interrupts:
        watcher.began(comparison, search.turns(len(candidates)) if search else len(candidates))
        with scoring(plan.cluster, Loader(keeps=search is not None), watcher) as bench_for:
            run = Run(plan.folder, comparison, bench_for(candidates), interrupts)
            run.score(run.choose(candidates, search) if search else candidates, judging)
        if not comparison.entries:
            raise comparison.failures[0].problem
        comparison.complete = True
        if plan.folder:
            plan.folder.end()
    return comparison


@contextmanager
def scoring(
    cluster: Cluster | None, loader: Loader, watcher: bench.Watcher
) -> Iterator[Callable[[Sequence[Candidate]], Bench]]:
    """What gives candidates a bench, as long as it is wanted: by the loader's scorers, or on a cluster."""
    if cluster is None:
        yield lambda candidates: Bench(loader, watcher, candidates)
        return
    from promptshot.compare.spread import Spread

    with cluster.joined() as fleet:
        fleet.tell = watcher.told
        fleet.tell(fleet.told)
        yield lambda candidates: Spread(fleet, watcher)


def _search(plan: Plan, candidates: Sequence[Candidate]) -> Search:
    """Which rows choose, and which judge."""
    dev = None if plan.dev is None else list(plan.dev)
    if dev is not None:
        check(candidates, dev)
    return Search.of(plan.rows, dev, candidates[0].recipe, plan.seed)


@dataclass(frozen=True)
class Run:
    """What the steps of a comparison share."""

    folder: Folder | None
    comparison: Comparison
    bench: Bench
    interrupts: Interrupts

    def choose(self, candidates: Sequence[Candidate], search: Search) -> Sequence[Candidate]:
        """Those that a search leaves to be judged."""
        for one in halve(candidates, search.choosing, self.bench, self.comparison.seed):
            search.rounds.append(one)
            self.comparison.failures += one.failures
        chosen = search.finalists
        self.comparison.chosen, self.comparison.wanted = chosen[0].name, len(chosen)
        return chosen

    def score(self, candidates: Sequence[Candidate], rows: Sequence[Item], among: Sequence[Candidate] = ()) -> None:
        """Keep what every candidate comes to, family by family, with their ensembles; outcomes are then let go. They
        may be some `among` those that are compared."""
        families = list(_families(candidates))
        self._expect([candidate for members in families for candidate in members], rows)
        for members in families:
            scored: list[_Scored] = []
            for candidate in members:
                try:
                    scored.append(self._scored(candidate, rows))
                except PromptshotError as problem:
                    self.comparison.failures.append(Failure(candidate, problem))
            kind = members[0].recipe.scorer
            several = len({one.recipe.model for one in among or candidates if one.recipe.scorer == kind}) > 1
            self._join(scored, members[0].recipe.model if several else "", rows)

    def _expect(self, candidates: Sequence[Candidate], rows: Sequence[Item]) -> None:
        """Let the bench know what comes; not of the one that an earlier comparison has begun, for it has rows."""
        left = [one for one in candidates if not (self.folder and self.folder.found(one, rows))]
        begun = self.folder is not None and self.folder.begun
        self.bench.expect([Turn(candidate, rows) for candidate in left[begun:]])

    def _scored(self, candidate: Candidate, rows: Sequence[Item]) -> _Scored:
        """What a candidate comes to, or came to earlier; raises a PromptshotError where it cannot be used."""
        if self.folder and (entry := self.folder.found(candidate, rows)):
            self.bench.watcher.restored(entry)
            self.comparison.entries.append(entry)
            return _Scored(entry, self.folder.outcomes(candidate, len(rows)))
        with self.folder.spool(candidate) if self.folder else nullcontext() as spool:
            entry, outcomes = self.bench.score(candidate, rows, spool)
            if not entry.right:
                raise _unusable(entry)
            self._keep(entry, outcomes, rows)
        return _Scored(entry, outcomes)

    def _join(self, scored: Sequence[_Scored], model: str, rows: Sequence[Item]) -> None:
        """Keep the ensemble of those that give log-probabilities, if it is one; where there are ensembles of several
        models, its name tells the `model`."""
        parts = [one for one in scored if not one.entry.candidate.recipe.task.paired]
        if len(parts) < 2:
            return
        candidate = _ensemble([one.entry.candidate for one in parts], model)
        if self.folder and (entry := self.folder.found(candidate, rows)):
            self.comparison.entries.append(entry)
            return
        found = [
            self.bench.score(one.entry.candidate, rows)[1] if one.outcomes is None else one.outcomes for one in parts
        ]
        decision = candidate.recipe.decision
        outcomes = [ensemble(of_row, decision) for of_row in zip(*found, strict=True)]
        first, seconds = parts[0].entry.result, sum(one.entry.result.seconds for one in parts)
        self._keep(Entry.of(candidate, outcomes, seconds, first.details), outcomes, rows)

    def _keep(self, entry: Entry, outcomes: Sequence[Outcome], rows: Sequence[Item]) -> None:
        """Add an entry, once its predictions are written."""
        with self.interrupts.held():  # what is written is told
            if self.folder:
                self.folder.write(entry, outcomes, rows)
            self.comparison.entries.append(entry)


class _Scored(NamedTuple):
    """What a candidate came to, and what became of each row; None where that is not kept any more."""

    entry: Entry
    outcomes: Sequence[Outcome] | None


def _families(candidates: Sequence[Candidate]) -> Iterator[list[Candidate]]:
    """The candidates, those of an engine one after another and of these those of a family."""
    engines = list(dict.fromkeys(candidate.engine for candidate in candidates))
    families = list(dict.fromkeys(candidate.family for candidate in candidates))
    ordered = sorted(candidates, key=lambda c: (engines.index(c.engine), families.index(c.family)))
    for _, members in groupby(ordered, key=lambda candidate: candidate.family):
        yield list(members)


def _ensemble(members: Sequence[Candidate], model: str = "") -> Candidate:
    """The mean of log-probabilities of all members."""
    first, *others = [member.recipe for member in members]
    name = f"ensemble of {len(members)} {first.template.spec.scorer}" + (f" {model}" if model else "")
    shots = members[0].shots
    return Candidate(name + (f" k={shots}" if shots else ""), replace(first, others=tuple(others)))


def _unusable(entry: Entry) -> InputError:
    rejects = entry.result.rejects
    if not rejects:
        return InputError("none of the rows it scored has a label it knows")
    return InputError(f"none of the rows could be used; the first: {rejects[0].reason}", where=rejects[0].source)
