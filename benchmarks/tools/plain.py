"""transformers as most people use it: the fill-mask pipeline, and plain loops over sentence pairs."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import torch
import transformers

from benchmarks.cases import Case
from benchmarks.worker import Scores, Tool, serve

NSP_BATCH = 40  # rows; NSP-BERT's own


class FillMask(Tool):
    """The fill-mask pipeline with `targets`."""

    batch_sizes = (1, 8, 32)

    def load(self, model: str, device: str, dtype: str) -> None:
        """The pipeline."""
        loaded = transformers.AutoModelForMaskedLM.from_pretrained(model, dtype=getattr(torch, dtype)).eval()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(model)
        self.pipe: Any = transformers.pipeline("fill-mask", model=loaded, tokenizer=self.tokenizer, device=device)

    def run(self, cases: Sequence[Case], batch_size: int) -> Scores:
        """ln p of each word at the mask."""
        words = list(cases[0].choices)
        ids = self.tokenizer.convert_tokens_to_ids(words)
        texts = [case.filled(self.tokenizer.mask_token)[0] for case in cases]
        said = self.pipe(texts, targets=words, top_k=len(words), batch_size=batch_size)
        if len(texts) == 1:
            said = [said]
        found = [{answer["token"]: math.log(answer["score"]) for answer in answers} for answers in said]
        return [[scores[token] for token in ids] for scores in found]


class NextSentence(Tool):
    """BertForNextSentencePrediction over (row, label) pairs in input order, padded to the longest of a batch.

    `nsp-by-label` passes over the rows once for each label, 40 at a time, as NSP-BERT does;
    `nsp-by-row` takes a row with all its labels as one batch.
    """

    def load(self, model: str, device: str, dtype: str) -> None:
        """Tokenizer and model."""
        self.device = device
        self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(model)
        kind = transformers.BertForNextSentencePrediction
        self.model: Any = kind.from_pretrained(model, dtype=getattr(torch, dtype)).to(device).eval()

    def run(self, cases: Sequence[Case], batch_size: int) -> Scores:
        """The margin z0 - z1 of each pair."""
        if self.name == "nsp-by-row":
            return [self._margins([case.filled(choice) for choice in case.choices]) for case in cases]
        by_label: Scores = []
        for i in range(len(cases[0].choices)):
            pairs = [case.filled(case.choices[i]) for case in cases]
            starts = range(0, len(pairs), NSP_BATCH)
            by_label.append([m for start in starts for m in self._margins(pairs[start : start + NSP_BATCH])])
        return [list(row) for row in zip(*by_label, strict=True)]

    @torch.inference_mode()
    def _margins(self, pairs: Sequence[tuple[str, ...]]) -> list[float]:
        first, second = zip(*pairs, strict=True)
        inputs = self.tokenizer(
            list(first), list(second), return_tensors="pt", padding=True, return_token_type_ids=True
        )
        logits = self.model(**inputs.to(self.device)).logits.double()  # (pairs, 2)
        margins: list[float] = (logits[:, 0] - logits[:, 1]).tolist()
        return margins


if __name__ == "__main__":
    kinds: dict[str, type[Tool]] = {"fill-mask": FillMask, "nsp-by-label": NextSentence, "nsp-by-row": NextSentence}
    serve(kinds[sys.argv[1]](sys.argv[1]))
