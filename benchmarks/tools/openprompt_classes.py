"""OpenPrompt: ManualTemplate, ManualVerbalizer, PromptDataLoader and PromptForClassification."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from openprompt import PromptDataLoader, PromptForClassification
from openprompt.data_utils import InputExample
from openprompt.plms import load_plm
from openprompt.prompts import ManualTemplate, ManualVerbalizer

from benchmarks.cases import Case, Work
from benchmarks.worker import Scores, Tool, serve


class OpenPrompt(Tool):
    """Its loader tokenizes every row up front and pads it to the maximum length; that is timed too."""

    packages: ClassVar[tuple[str, ...]] = ("openprompt", "torch", "transformers")
    batch_sizes = (1, 4, 8, 32)

    def load(self, model: str, device: str, dtype: str) -> None:
        """The model by its own `load_plm`."""
        plm, self.tokenizer, _, self.wrapper = load_plm("bert", model)
        self.device = device
        self.plm: Any = plm.to(device, getattr(torch, dtype))

    def take(self, work: Work) -> None:
        """Template, verbalizer and model; the words are the same for all rows."""
        super().take(work)
        words = work.cases[0].choices
        self.template = ManualTemplate(tokenizer=self.tokenizer, text=work.openprompt)
        verbalizer = ManualVerbalizer(
            tokenizer=self.tokenizer, classes=list(words), label_words=[[word] for word in words], prefix=""
        )
        made = PromptForClassification(plm=self.plm, template=self.template, verbalizer=verbalizer)
        self.model: Any = made.to(self.device).eval()

    @torch.no_grad()
    def run(self, cases: Sequence[Case], batch_size: int) -> Scores:
        """ln p of each word among the words."""
        loader = PromptDataLoader(
            dataset=[InputExample(guid=i, text_a=case.text) for i, case in enumerate(cases)],
            template=self.template,
            tokenizer=self.tokenizer,
            tokenizer_wrapper_class=self.wrapper,
            max_seq_length=self.work.max_length,
            batch_size=batch_size,
        )
        return [row for batch in loader for row in self.model(batch.to(self.device)).float().log_softmax(-1).tolist()]


if __name__ == "__main__":
    serve(OpenPrompt(sys.argv[1]))
