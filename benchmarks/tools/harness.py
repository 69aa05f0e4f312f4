"""lm-evaluation-harness: `HFLM.loglikelihood` on the requests of a multiple-choice task."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, ClassVar

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from benchmarks import shapes
from benchmarks.cases import Case, Work, completions
from benchmarks.worker import Scores, Tool, serve


class Harness(Tool):
    """Its own order, collator and batches; one request for each choice."""

    packages: ClassVar[tuple[str, ...]] = ("lm_eval", "torch", "transformers")
    batch_sizes: tuple[int, ...] = (1, 4, 8, 16)

    def take(self, work: Work) -> None:
        """A GPU takes larger batches."""
        super().take(work)
        self.batch_sizes = (8, 32, 128) if self.lm.device.type == "cuda" else Harness.batch_sizes

    def load(self, model: str, device: str, dtype: str) -> None:
        """The HF backend."""
        made: Any = shapes.random_model(model, device, dtype) if shapes.is_hollow(model) else model
        self.lm = HFLM(pretrained=made, tokenizer=model, device=device, dtype=dtype, batch_size=1)

    def run(self, cases: Sequence[Case], batch_size: int) -> Scores:
        """Sum of log p of each choice's tokens."""
        self.lm.batch_size_per_gpu = batch_size
        requests = [
            Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=i, metadata=("task", row, 1))
            for row, case in enumerate(cases)
            for i, pair in enumerate(completions(case))
        ]
        said = iter(self.lm.loglikelihood(requests, disable_tqdm=True))
        return [[float(next(said)[0]) for _ in case.choices] for case in cases]


if __name__ == "__main__":
    serve(Harness(sys.argv[1]))
