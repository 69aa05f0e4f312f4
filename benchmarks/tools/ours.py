"""promptshot itself, by its public interface: `scorers.load(...)` and `.score(prompts)`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from benchmarks import encoder, shapes
from benchmarks.cases import Case, Work
from benchmarks.worker import Scores, Tool, serve
from promptshot import scorers
from promptshot.classify.classifier import WINDOW
from promptshot.kinds import KINDS, loaded
from promptshot.scorers.checkpoints.opening import Loaded, open_checkpoint, pick_device, whole_floats
from promptshot.scoring import Kind, ModelOptions, Piece, Prompt, Scored


class Ours(Tool):
    """Windows of rows, as `classify` hands them to a scorer; the batch size is the scorer's own choice."""

    packages: ClassVar[tuple[str, ...]] = ("torch", "transformers", "tokenizers")

    def load(self, model: str, device: str, dtype: str) -> None:
        """The scorer is known once the work is taken; a name may end with a precision of its own."""
        self.options = ModelOptions(model=model, device=device, dtype=self.name.partition("-")[2] or dtype)
        self.key: tuple[str, int | None] | None = None

    def take(self, work: Work) -> None:
        """Load the scorer of the work, unless it is the one at hand."""
        super().take(work)
        if self.key != (work.scorer, work.max_length):
            self.scorer: Any = None  # no two at once
            self.scorer = _loaded(work.scorer, replace(self.options, max_length=work.max_length))
            self.key = (work.scorer, work.max_length)

    def run(self, cases: Sequence[Case], batch_size: int) -> Scores:
        """The scorer's natural-log scores (nsp: margins)."""
        found: list[Scored] = []
        for start in range(0, len(cases), WINDOW):
            found += self.scorer.score([_prompt(case) for case in cases[start : start + WINDOW]])
        for one in found:
            if one.error or one.cut or one.dropped:
                raise ValueError(f"a case does not fit as it is: {one}")
        return [list(one.scores) for one in found]

    def extra(self, what: str, rows: int) -> dict[str, Any]:
        """`encoder`: share of the machine's peak; `time`: where the time goes."""
        cases = self.work.cases[:rows]
        if what == "time":
            with encoder.Sampler() as sampler:
                begin = time.perf_counter()
                self.run(cases, 0)
                seconds = time.perf_counter() - begin
            return {"seconds": seconds, "rows": len(cases), **sampler.shares()}
        return encoder.share_of_peak(self.options.model, cases, self.scorer, lambda: self.run(cases, 0))


def _loaded(name: str, options: ModelOptions) -> Any:
    """The scorer; of a checkpoint without weights, with random ones that are made on the device."""
    if not shapes.is_hollow(options.model):
        return scorers.load(name, options)
    opened, device = open_checkpoint(options.model, options), pick_device(options.device)
    whole_floats(device)
    model = shapes.random_model(options.model, str(device), options.dtype)
    return loaded(KINDS[name].scorer)(Loaded(options.model, opened.encoder, model, device), options)


def _prompt(case: Case) -> Prompt:
    return Prompt(tuple(Piece(Kind(kind), text) for kind, text in case.pieces), case.choices)


if __name__ == "__main__":
    serve(Ours(sys.argv[1]))
