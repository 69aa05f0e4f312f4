"""OpenPrompt's way with the torch and transformers of today, as a plain loop: each text padded to the longest there may
be, one forward for each batch, and the softmax over the whole vocabulary at every token."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
import transformers

from benchmarks import shapes
from benchmarks.cases import Case, completions
from benchmarks.worker import Scores, Tool, serve

Asked = tuple[list[int], int]  # the tokens of a context and a choice, and where those of the choice begin


class Padded(Tool):
    """Rows in their order; with a causal model, each choice is a text of its own."""

    batch_sizes = (8, 32, 128)

    def load(self, model: str, device: str, dtype: str) -> None:
        """Tokenizer and model."""
        self.device = device
        self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(model)
        self.model: Any = None  # no two at once
        self.model = shapes.random_model(model, device, dtype)

    def run(self, cases: Sequence[Case], batch_size: int) -> Scores:
        """Log p of each choice, summed over its tokens."""
        with torch.inference_mode():
            return self._clozes(cases, batch_size) if self.work.scorer == "mlm" else self._texts(cases, batch_size)

    def _clozes(self, cases: Sequence[Case], batch_size: int) -> Scores:
        words = torch.tensor(self.tokenizer.convert_tokens_to_ids(list(cases[0].choices)), device=self.device)
        found: Scores = []
        for start in range(0, len(cases), batch_size):
            texts = [case.filled(self.tokenizer.mask_token)[0] for case in cases[start : start + batch_size]]
            inputs = self.tokenizer(texts, padding="max_length", max_length=self.work.max_length, return_tensors="pt")
            inputs = inputs.to(self.device)
            logs = self.model(**inputs).logits.float().log_softmax(-1)  # (rows, width, vocabulary)
            at_mask = logs[inputs["input_ids"] == self.tokenizer.mask_token_id]  # (rows, vocabulary)
            found += at_mask[:, words].tolist()
        return found

    def _texts(self, cases: Sequence[Case], batch_size: int) -> Scores:
        asked = [self._asked(*pair) for case in cases for pair in completions(case)]
        width = max(len(ids) for ids, _ in asked)
        said: list[float] = []
        for start in range(0, len(asked), batch_size):
            said += self._batch(asked[start : start + batch_size], width)
        scores = iter(said)
        return [[next(scores) for _ in case.choices] for case in cases]

    def _asked(self, context: str, choice: str) -> Asked:
        before, whole = (
            self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (context, context + choice)
        )
        same = next((i for i, (a, b) in enumerate(zip(before, whole, strict=False)) if a != b), len(before))
        return whole, same

    def _batch(self, batch: Sequence[Asked], width: int) -> list[float]:
        rows = [ids + [0] * (width - len(ids)) for ids, _ in batch]
        inputs = torch.tensor(rows, device=self.device)
        mask = torch.tensor([[int(i < len(ids)) for i in range(width)] for ids, _ in batch], device=self.device)
        logs = self.model(input_ids=inputs, attention_mask=mask).logits.float().log_softmax(-1)  # (rows, width, ...)
        of_next = logs[:, :-1].gather(-1, inputs[:, 1:, None])[..., 0]  # (rows, width - 1)
        sums = [of_next[row, begin - 1 : len(ids) - 1].sum() for row, (ids, begin) in enumerate(batch)]
        found: list[float] = torch.stack(sums).tolist()
        return found


if __name__ == "__main__":
    serve(Padded(sys.argv[1]))
