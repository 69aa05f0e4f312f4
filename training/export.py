"""The folder that ships: half precision, config, tokenizer. `training.pretrain` writes it to RUN/NAME/model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from transformers.utils import logging

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def write(model: Any, tokenizer: Path, out: Path) -> None:
    """Write the weights of a model as float16, its config, and the tokenizer files of another folder to `out`."""
    out.mkdir(parents=True, exist_ok=True)
    logging.disable_progress_bar()
    model.half().save_pretrained(out)
    (out / "generation_config.json").unlink(missing_ok=True)
    for file in TOKENIZER_FILES:
        shutil.copy(tokenizer / file, out / file)
    _readable_by_version_4(out / "config.json")


def _readable_by_version_4(path: Path) -> None:
    """transformers 5 writes `dtype`, 4 reads `torch_dtype`; the version line would change without need."""
    config = json.loads(path.read_text())
    config.pop("transformers_version", None)
    config["torch_dtype"] = config.pop("dtype", "float16")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
