"""minicons: `conditional_score` of a left-to-right model, and `cloze` of a masked one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from minicons import scorer

from benchmarks.cases import Case, completions
from benchmarks.worker import Scores, Tool, serve


class Conditional(Tool):
    """minicons takes lists and runs each as one batch, so the batches are cut here, in input order."""

    packages: ClassVar[tuple[str, ...]] = ("minicons", "torch", "transformers")
    batch_sizes = (1, 4, 8, 16)

    def load(self, model: str, device: str, dtype: str) -> None:
        """The scorer for left-to-right models, or (`minicons-cloze`) the one for masked models."""
        kind = scorer.MaskedLMScorer if self.name == "minicons-cloze" else scorer.IncrementalLMScorer
        self.scorer: Any = kind(model, device, dtype=getattr(torch, dtype))

    def run(self, cases: Sequence[Case], batch_size: int) -> Scores:
        """Sum of log p of each choice's tokens."""
        one = self._cloze if self.name == "minicons-cloze" else self._continued
        asked = [pair for case in cases for pair in (completions(case) if one == self._continued else _clozes(case))]
        said: list[float] = []
        for start in range(0, len(asked), batch_size):
            said += one(asked[start : start + batch_size])
        scores = iter(said)
        return [[next(scores) for _ in case.choices] for case in cases]

    def _continued(self, batch: Sequence[tuple[str, str]]) -> list[float]:
        contexts, words = zip(*batch, strict=True)
        found = self.scorer.conditional_score(
            list(contexts),
            [word.removeprefix(" ") for word in words],  # it puts its own separator, a space
            reduction=lambda scores: float(scores.sum()),
        )
        return [float(score) for score in found]

    def _cloze(self, batch: Sequence[tuple[str, str]]) -> list[float]:
        return [float(score) for score in self.scorer.cloze(list(batch))]


def _clozes(case: Case) -> list[tuple[str, str]]:
    """(the whole text, its word to be masked)."""
    return [(case.filled(choice)[0], choice) for choice in case.choices]


if __name__ == "__main__":
    serve(Conditional(sys.argv[1]))
