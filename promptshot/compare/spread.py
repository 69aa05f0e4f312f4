"""Candidates scored by the actors of a cluster: the windows of several are in flight at the same time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from promptshot.classify.classifier import WINDOW, Classifier, in_windows
from promptshot.classify.prediction import Outcome
from promptshot.compare.bench import Bench, Turn, Watcher
from promptshot.compare.candidates import Candidate
from promptshot.errors import PromptshotError
from promptshot.runs.ray import Fleet, Remote, Window


class Spread(Bench):
    """Where candidates are scored by a fleet; they come to their ends in the order in which they are expected.

    Each is scored as it would be alone, words of equal text too.
    """

    def __init__(self, fleet: Fleet, watcher: Watcher | None = None) -> None:
        super().__init__(watcher=watcher)
        self.fleet = fleet
        self._expected: list[Turn] = []
        self._coming: Iterator[tuple[Window, object]] = iter(())

    def expect(self, turns: Sequence[Turn]) -> None:
        """See `Bench.expect`: their windows go out as soon as there is an actor for them."""
        self._expected = list(turns)
        self._coming = self.fleet.in_order(self._windows(self._expected))

    def begin(self, turn: Turn, done: int) -> tuple[Classifier, Iterator[list[Outcome]]]:
        """See `Bench.begin`."""
        if done or turn not in self._expected or (first := self._first(turn.candidate)) is None:
            made = self.fleet.classifier(turn.candidate.recipe)
            return made, made.windows(turn.mapped(done), self.watcher.advance, window=WINDOW)
        window, found = first
        if window.to is None:
            assert window.problem is not None
            raise window.problem
        return window.to, self._of(window.to, window, found)

    def spent(self, made: Classifier, began: float) -> float:
        """See `Bench.spent`: those of all actors with its windows, which are in flight beside others."""
        return made.seconds if isinstance(made, Remote) else super().spent(made, began)

    def _first(self, candidate: Candidate) -> tuple[Window, object] | None:
        """The first window of a candidate with what came of it; None where none comes any more."""
        return next((one for one in self._coming if one[0].of is candidate), None)

    def _of(self, made: Remote, window: Window, found: object) -> Iterator[list[Outcome]]:
        """What comes of the windows of a candidate, from this one on."""
        while True:
            yield made.took(window, found, self.watcher.advance)
            if window.last:
                return
            window, found = next(self._coming)

    def _windows(self, turns: Sequence[Turn]) -> Iterator[Window]:
        """The windows of all, one candidate behind the other; of one that cannot be made, why."""
        for turn in turns:
            try:
                made = self.fleet.classifier(turn.candidate.recipe)
            except PromptshotError as problem:
                yield Window([], None, of=turn.candidate, problem=problem, last=True)
                continue
            number = -(-len(turn.items) // WINDOW)
            for rows in in_windows(turn.mapped(), WINDOW):
                number -= 1
                yield Window(rows, made, of=turn.candidate, last=number == 0)
