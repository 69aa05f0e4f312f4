"""Cloze scores as OpenPrompt gives them; run by the Python of an environment of its own.

OpenPrompt 1.0.1 needs an old transformers:  pip install transformers==4.27.1 safetensors "numpy<2" yacs dill
tensorboardX nltk scikit-learn "datasets<2.15" "pyarrow<18" "rouge==1.0.0" scipy sentencepiece torch
and then  pip install --no-deps openprompt==1.0.1

Standard input: {"model": a folder, "jobs": [{"text": a template of OpenPrompt, "words": [...], "prefix": "",
"rows": [...]}]}. Standard output, last line: for each job, for each row, ln p of each word among the words.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from openprompt import PromptDataLoader, PromptForClassification
from openprompt.data_utils import InputExample
from openprompt.plms import load_plm
from openprompt.prompts import ManualTemplate, ManualVerbalizer


def scores(parts: Any, job: dict[str, Any]) -> list[list[float]]:
    """ln of the softmax over the words at the mask, row by row."""
    plm, tokenizer, wrapper = parts
    words = job["words"]
    template = ManualTemplate(tokenizer=tokenizer, text=job["text"])
    verbalizer = ManualVerbalizer(
        tokenizer, classes=words, label_words=[[word] for word in words], prefix=job["prefix"]
    )
    loader = PromptDataLoader(
        dataset=[InputExample(guid=i, text_a=row) for i, row in enumerate(job["rows"])],
        template=template,
        tokenizer=tokenizer,
        tokenizer_wrapper_class=wrapper,
        max_seq_length=job["max_length"],
        batch_size=4,
    )
    model = PromptForClassification(plm=plm, template=template, verbalizer=verbalizer).eval()
    with torch.no_grad():
        return [row for batch in loader for row in model(batch).log_softmax(-1).tolist()]


def main() -> None:
    """Read the jobs, print the scores."""
    asked = json.load(sys.stdin)
    plm, tokenizer, _, wrapper = load_plm("bert", asked["model"])
    print(json.dumps([scores((plm.float(), tokenizer, wrapper), job) for job in asked["jobs"]]))


if __name__ == "__main__":
    main()
