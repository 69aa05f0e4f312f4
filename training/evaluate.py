"""The table of a model card: shipped templates on whole evaluation sets, zero-shot, nothing calibrated.

python -m training.evaluate DATA bert|gpt2 [MODEL]     DATA holds fewclue/, agnews.test.jsonl, sst2.test.jsonl
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from promptshot.classify.recipe import Recipe
from promptshot.prompts import library
from promptshot.runs.inputs import Inputs
from promptshot.runs.outputs import Outputs
from promptshot.runs.result import Result
from promptshot.runs.run import run
from promptshot.scoring import ModelOptions

TASKS = {  # the shelf's templates whose names begin so, and the file they are measured on
    "zh-sentiment": ("EPRSTMT", "fewclue/eprstmt/test_public.json"),
    "zh-news": ("TNEWS", "fewclue/tnews/test_public.json"),
    "zh-same": ("BUSTM", "fewclue/bustm/test_public.json"),
    "zh-entailment": ("OCNLI", "fewclue/ocnli/test_public.json"),
    "zh-idiom": ("CHID", "fewclue/chid/test_public.json"),
    "en-sentiment": ("SST-2", "sst2.test.jsonl"),
    "en-film": ("SST-2", "sst2.test.jsonl"),
    "en-news": ("AG News", "agnews.test.jsonl"),
}
SCORERS = {"bert": ("mlm", "nsp"), "gpt2": ("causal",)}


def measure(path: Path, template: str, model: str) -> Result:
    """One whole evaluation set through one template."""
    found = library.template(template)
    recipe = Recipe.of(found, library.verbalizer_of(found), found.spec.scorer, ModelOptions(model=model))
    with tempfile.TemporaryDirectory() as folder:
        return run(recipe, Inputs((str(path),)), Outputs(f"{folder}/out.jsonl"))


def main(data: Path, name: str, model: str) -> None:
    """Print the table as Markdown, a line as soon as it is known."""
    print("| data set | template | accuracy | 95% interval | macro-F1 | majority | chance | rows |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    for stem, (task, path) in TASKS.items():
        for template in library.names("templates"):
            if not template.startswith(f"{stem}-") or template.rpartition("-")[2] not in SCORERS[name]:
                continue
            tally = measure(data / path, template, model).tally
            low, high = tally.interval or (0.0, 0.0)
            shares = (tally.macro_f1, tally.majority, tally.chance)
            print(
                f"| {task} | `{template}` | {tally.accuracy or 0:.1%} | {low:.1%} to {high:.1%} "
                f"| {' | '.join(f'{share or 0:.1%}' for share in shares)} | {tally.labelled:,} |",
                flush=True,
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else f"builtin:{sys.argv[2]}")
