"""Where files lie that ship with promptshot: templates, verbalizers and models; and what a local model is made for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Literal

from promptshot import kinds
from promptshot.errors import NotFoundError, did_you_mean

Shelf = Literal["templates", "verbalizers", "models"]

HERE = Path(__file__).parent
BUILTIN = "builtin:"
LARGEST = 4 << 20  # bytes of a config.json


def folder(kind: Shelf) -> Path:
    """The folder that ships with promptshot: inside the package when installed, beside it in a checkout."""
    inside = HERE / kind
    return inside if inside.is_dir() else HERE.parent / kind


def builtin_model(name: str) -> Path:
    """The folder of a built-in model, `builtin:bert` or `builtin:gpt2`."""
    short = name.removeprefix(BUILTIN)
    found = folder("models") / short
    if re.fullmatch(r"\w+", short) and is_there(found / "config.json"):
        return found
    raise NotFoundError(f"no built-in model {name!r}", hint=did_you_mean(name, builtin_models()))


def builtin_models() -> list[str]:
    """The names of the built-in models, sorted."""
    return sorted(BUILTIN + path.parent.name for path in folder("models").glob("*/config.json"))


def scorer_of(model: str) -> str | None:
    """The scorer for a local or built-in model, from its config.json; None where that does not tell."""
    found = builtin_model(model) if model.startswith(BUILTIN) else Path(model)
    try:
        path = found / "config.json"
        if not path.is_file() or path.stat().st_size > LARGEST:  # whoever loads it says what is wrong
            return None
        config = json.loads(path.read_text(encoding="utf-8"))
        by_file = [kind.name for kind in kinds.KINDS.values() if kind.made_file and is_there(found / kind.made_file)]
        return by_file[0] if by_file else kinds.made_for(config)
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return None


def is_there(path: Path) -> bool:
    """Whether there is such a file; a name no system can hold is no file."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
