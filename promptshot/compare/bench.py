"""Where candidates are scored: every scorer is loaded once, whatever comes of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Any, NamedTuple

from promptshot.classify.classifier import WINDOW, Classifier, in_windows
from promptshot.classify.decide import Several
from promptshot.classify.prediction import Outcome, Prediction
from promptshot.classify.spool import Spool
from promptshot.compare.candidates import Candidate
from promptshot.compare.memory import memories
from promptshot.errors import PromptshotError
from promptshot.metrics import tally_of
from promptshot.rows.row import Item
from promptshot.runs.remarks import Remark
from promptshot.runs.result import Result
from promptshot.scorers import Loader


@dataclass(frozen=True)
class Entry:
    """What a candidate came to; `right` says of every labelled row, by its number, whether it was right."""

    candidate: Candidate
    result: Result
    right: Mapping[int, bool]

    @classmethod
    def of(cls, candidate: Candidate, outcomes: Sequence[Outcome], seconds: float, details: Mapping[str, Any]) -> Entry:
        """Count the outcomes of a candidate."""
        recipe = candidate.recipe
        cuts = recipe.decision.cuts if isinstance(recipe.decision, Several) else None
        tally = tally_of(recipe.labels, recipe.task.several)
        result = Result(recipe=recipe, tally=tally, fingerprint="", details=dict(details), seconds=seconds, cuts=cuts)
        result.doubt = candidate.doubt
        for window in in_windows(outcomes, WINDOW):  # as a run does
            result.count(window)
        judged = [one for one in outcomes if isinstance(one, Prediction) and one.gold is not None]
        return cls(candidate, result, {one.row.key: one.label == one.gold for one in judged})

    @property
    def accuracy(self) -> float:
        return self.result.tally.accuracy or 0.0


@dataclass(frozen=True)
class Failure:
    """A candidate that gave nothing, and why."""

    candidate: Candidate
    problem: PromptshotError

    def remark(self) -> Remark:
        """That it is left out."""
        facts = {"candidate": self.candidate.name, "reason": str(self.problem)}
        return Remark("failed", f"left out: {self.candidate.name}: {self.problem}", facts)


class Watcher:
    """Whoever wants to know how the scoring goes on; here it is told and says nothing."""

    def told(self, line: str) -> None:
        """What is to be known of who scores."""

    def started(self, candidate: Candidate, rows: int) -> None:
        """So many rows are about to be scored for it."""

    def advance(self, rows: int) -> None:
        """About so many more rows have been scored."""

    def finished(self, entry: Entry) -> None:
        """This is what it came to."""

    def restored(self, entry: Entry) -> None:
        """This is what it came to in an earlier comparison, which is taken from there."""


class Turn(NamedTuple):
    """A candidate, and the rows that it is to be scored on."""

    candidate: Candidate
    items: Sequence[Item]

    def mapped(self, done: int = 0) -> Iterator[Item]:
        """The rows behind those that are done, with the candidate's fields."""
        return map(self.candidate.recipe.task.mapped, self.items[done:])


class Bench:
    """Where candidates are scored, by scorers of a loader."""

    def __init__(
        self, loader: Loader | None = None, watcher: Watcher | None = None, candidates: Sequence[Candidate] = ()
    ) -> None:
        """Those of the `candidates` whose prompts have the same text are run once for all their words."""
        self.loader, self.watcher = loader or Loader(), watcher or Watcher()
        self._classifiers: dict[str, Classifier] = {}  # where the loader keeps its scorers, for a later turn
        self._memories = memories(candidates)

    def expect(self, turns: Sequence[Turn]) -> None:
        """These will be scored next, in this order, unless one is left out."""

    def score(
        self, candidate: Candidate, items: Sequence[Item], spool: Spool | None = None
    ) -> tuple[Entry, list[Outcome]]:
        """What a candidate makes of the rows; raises a PromptshotError where it cannot be used at all.

        A `spool` has what an earlier comparison has scored of them, and is given the rest, window by window.
        """
        self.watcher.started(candidate, len(items))
        ranked = candidate.recipe.transductive
        with ExitStack() as stack:
            if spool is None and ranked:
                spool = Spool(stack.enter_context(TemporaryFile("w+b")))
            began, outcomes = time.perf_counter(), list[Outcome]()
            before, done = (_seconds(spool), spool.rows) if spool else (0.0, 0)
            self.watcher.advance(done)
            classifier, windows = self.begin(Turn(candidate, items), done)
            for window in windows:
                if spool:
                    spool.add(window, before + self.spent(classifier, began))
                else:
                    outcomes += window
            if spool:
                outcomes = list(classifier.decided(spool) if ranked else spool)
        entry = Entry.of(candidate, outcomes, before + self.spent(classifier, began), classifier.details)
        self.watcher.finished(entry)
        return entry, outcomes

    def begin(self, turn: Turn, done: int) -> tuple[Classifier, Iterator[list[Outcome]]]:
        """The candidate with its live parts, and what comes of the rows that are not done; raises a PromptshotError."""
        made = self._classifier(turn.candidate)
        return made, made.windows(turn.mapped(done), self.watcher.advance, window=WINDOW)

    def spent(self, made: Classifier, began: float) -> float:
        """The seconds that a candidate has taken since."""
        return time.perf_counter() - began

    def _classifier(self, candidate: Candidate) -> Classifier:
        found = self._classifiers.get(candidate.name) or Classifier.of(candidate.recipe, self.loader)
        if memory := self._memories.get(candidate.name):
            found.ask = memory.asking(found.scorer)
        if self.loader.keeps:
            self._classifiers[candidate.name] = found
        return found


def _seconds(spool: Spool) -> float:
    """How long the rows of a spool took."""
    return spool.note if isinstance(spool.note, float) else 0.0
