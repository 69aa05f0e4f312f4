"""Turn a training run into the folder that ships: half precision, tokenizer, config.

The last few kept weights are averaged: the balance between two label words swings from checkpoint to
checkpoint, and the mean is steadier.  Usage: python -m training.export bert RUN OUT --last 3
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertForPreTraining, GPT2Config, GPT2LMHeadModel

CLASSES: dict[str, tuple[Any, Any]] = {
    "bert": (BertConfig, BertForPreTraining),
    "gpt2": (GPT2Config, GPT2LMHeadModel),
}


def averaged(paths: list[Path]) -> dict[str, torch.Tensor]:
    """The mean of several sets of weights."""
    states = [torch.load(path, weights_only=True) for path in paths]
    return {key: torch.stack([state[key].float() for state in states]).mean(0) for key in states[0]}


def export(name: str, run: Path, out: Path, last: int) -> None:
    """Write model.safetensors (float16), config.json and the tokenizer files of `name` to `out`."""
    config_class, model_class = CLASSES[name]
    model = model_class(config_class.from_json_file(run / name / "config.json"))
    kept = sorted((run / name / "weights").glob("*.pt"))[-last:]
    model.load_state_dict(averaged(kept))
    out.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(out)
    (out / "generation_config.json").unlink(missing_ok=True)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(run / name / file, out / file)
    _readable_by_version_4(out / "config.json")
    print(f"{out}: mean of {', '.join(path.stem for path in kept)}")


def _readable_by_version_4(path: Path) -> None:
    """transformers 5 writes `dtype`, 4 reads `torch_dtype`; the version line would change without need."""
    config = json.loads(path.read_text())
    config.pop("transformers_version", None)
    config["torch_dtype"] = config.pop("dtype", "float16")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=CLASSES)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--last", type=int, default=3)
    options = parser.parse_args()
    export(options.model, options.run, options.out, options.last)
