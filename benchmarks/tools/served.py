"""vLLM: the log-probabilities of prompts, each with one of the choices at its end.

Its weights are random ones of its own (`load_format="dummy"`), so that its speed may be compared and its scores not.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from vllm import LLM, SamplingParams

from benchmarks.cases import Case, completions
from benchmarks.worker import Scores, Tool, serve


class Served(Tool):
    """It makes its own batches; prompts are run whole, for log-probabilities are not kept with a prefix."""

    packages: ClassVar[tuple[str, ...]] = ("vllm", "torch", "transformers")

    def load(self, model: str, device: str, dtype: str) -> None:
        """The engine, without graphs, which are for single tokens."""
        self.engine: Any = None
        gc.collect()
        torch.cuda.empty_cache()
        self.engine = LLM(
            model=model, dtype=dtype, load_format="dummy", enforce_eager=True, gpu_memory_utilization=0.4, seed=0
        )
        self.tokenizer: Any = self.engine.get_tokenizer()

    def run(self, cases: Sequence[Case], batch_size: int) -> Scores:
        """Sum of log p of each choice's tokens."""
        pairs = [pair for case in cases for pair in completions(case)]
        contexts = [len(self.tokenizer(context, add_special_tokens=False)["input_ids"]) for context, _ in pairs]
        prompts = [
            {"prompt_token_ids": self.tokenizer(context + choice, add_special_tokens=False)["input_ids"]}
            for context, choice in pairs
        ]
        how = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)
        said = []
        for one, begin in zip(self.engine.generate(prompts, how, use_tqdm=False), contexts, strict=True):
            read = zip(one.prompt_token_ids[begin:], one.prompt_logprobs[begin:], strict=True)
            said.append(sum(float(of[token].logprob) for token, of in read))
        scores = iter(said)
        return [[next(scores) for _ in case.choices] for case in cases]


if __name__ == "__main__":
    serve(Served(sys.argv[1]))
