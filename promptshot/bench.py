"""Where candidates are scored: every scorer is loaded once, whatever comes of it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptshot import scorers
from promptshot.classify import Classifier
from promptshot.errors import PromptshotError
from promptshot.grid import Candidate
from promptshot.metrics import Tally
from promptshot.prediction import Outcome, Prediction
from promptshot.remarks import Remark
from promptshot.rows import Item
from promptshot.run import Result
from promptshot.scoring import ModelOptions, Scorer


@dataclass(frozen=True)
class Entry:
    """What a candidate came to; `right` says of every labelled row, by its number, whether it was right."""

    candidate: Candidate
    result: Result
    right: Mapping[int, bool]

    @classmethod
    def of(cls, candidate: Candidate, outcomes: Sequence[Outcome], seconds: float, details: Mapping[str, Any]) -> Entry:
        """Count the outcomes of a candidate."""
        result = Result(candidate.recipe, Tally(candidate.recipe.labels), "", dict(details), seconds)
        result.count(outcomes)
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

    def started(self, candidate: Candidate, rows: int) -> None:
        """So many rows are about to be scored for it."""

    def advance(self, rows: int) -> None:
        """About so many more rows have been scored."""

    def finished(self, entry: Entry) -> None:
        """This is what it came to."""


class Bench:
    """Where candidates are scored: every scorer is loaded once, and with `keep` stays for a later turn."""

    def __init__(self, watcher: Watcher | None = None, keep: bool = False) -> None:
        self.watcher, self.keep = watcher or Watcher(), keep
        self._scorers: dict[tuple[str, ModelOptions], Scorer | PromptshotError] = {}
        self._classifiers: dict[str, Classifier] = {}

    def score(self, candidate: Candidate, items: Sequence[Item]) -> tuple[Entry, list[Outcome]]:
        """What a candidate makes of the rows; raises a PromptshotError where it cannot be used at all."""
        self.watcher.started(candidate, len(items))
        classifier = self._classifier(candidate)
        began = time.perf_counter()
        mapped = map(candidate.recipe.task.mapped, items)
        outcomes = list(classifier.outcomes(mapped, self.watcher.advance))
        entry = Entry.of(candidate, outcomes, time.perf_counter() - began, classifier.details)
        self.watcher.finished(entry)
        return entry, outcomes

    def _classifier(self, candidate: Candidate) -> Classifier:
        if candidate.engine not in self._scorers:
            if not self.keep:  # let go before the next is loaded: there may be no room for two
                self._classifiers.clear()
                self._scorers.clear()
            try:
                self._scorers[candidate.engine] = scorers.load(*candidate.engine)
            except PromptshotError as problem:
                self._scorers[candidate.engine] = problem
        scorer = self._scorers[candidate.engine]
        if isinstance(scorer, PromptshotError):
            raise scorer
        if candidate.name not in self._classifiers:
            self._classifiers[candidate.name] = Classifier(candidate.recipe, scorer)
        return self._classifiers[candidate.name]
