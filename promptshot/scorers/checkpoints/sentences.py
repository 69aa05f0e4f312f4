"""What the folder of a sentence encoder says of how it makes a vector of a text: its modules, one file each.

The files are those of the sentence-transformers library (version 6.2 and before); it is not needed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from promptshot.errors import ModelError, shortened, shortlist
from promptshot.scorers.checkpoints import suspect

MODULES = "modules.json"
OWN = "config_sentence_transformers.json"
# Their names in a pooling's configuration, in the order in which the library puts several behind one another.
MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_PLAIN = re.compile(r"[\w.-]+")
Where = Mapping[str, Any]


@dataclass(frozen=True)
class Sentences:
    """How a text becomes a vector."""

    pooling: tuple[str, ...] = ("mean",)
    normalize: bool = False  # whether vectors have the length 1
    lower: bool = False  # whether texts are read in small letters
    prompt: str = ""  # what is put before every text
    limit: int | None = None  # tokens
    flaw: str = ""  # what of it is not known here, so that vectors would be others than its own


def read(place: str, where: Where) -> Sentences:
    """What a checkpoint says; the mean of the last layer where it says nothing. A module that is unknown here is a
    flaw; raises ModelError for files that cannot be what they are called."""
    modules = _said(place, MODULES, where) if place else None
    if modules is None:
        return Sentences()
    if not isinstance(modules, list) or not all(isinstance(one, dict) for one in modules):
        raise ModelError("no list of modules", where=f"{place}/{MODULES}", hint="fetch the checkpoint anew")
    found = Sentences()
    for one in modules:
        kind, path = str(one.get("type", "")).rpartition(".")[2], str(one.get("path", ""))
        if path and (not _PLAIN.fullmatch(path) or path.strip(".") == ""):
            raise ModelError(f"names what is not in its folder: {shortened(path)!r}", where=f"{place}/{MODULES}")
        if kind == "Transformer" and not path:
            found = _of_transformer(found, _said(place, "sentence_bert_config.json", where))
        elif kind == "Pooling":
            found = _of_pooling(found, _said(place, f"{path}/config.json", where))
        elif kind == "Normalize":
            found = replace(found, normalize=True)
        elif kind != "Dropout":  # which is for training
            found = replace(found, flaw=f"its module {shortened(kind, 40)} is not known here")
    return _of_prompts(found, _said(place, OWN, where))


def _of_transformer(found: Sentences, said: Any) -> Sentences:
    said = said if isinstance(said, dict) else {}
    limit = said.get("max_seq_length")
    limit = limit if isinstance(limit, int) and limit > 0 else None
    return replace(found, lower=said.get("do_lower_case") is True, limit=limit)


def _of_pooling(found: Sentences, said: Any) -> Sentences:
    said = said if isinstance(said, dict) else {}
    modes = said.get("pooling_mode")
    if modes is None:
        modes = [mode for key, mode in MODES.items() if said.get(key)] or ["mean"]
    modes = modes if isinstance(modes, list) and modes else [modes]
    if unknown := [str(mode) for mode in modes if mode not in MODES.values()]:
        return replace(found, flaw=f"its pooling {shortlist(unknown, 3)} is not known here")
    if said.get("include_prompt") is False:  # only told where there is a prompt, see `_of_prompts`
        modes = [*modes, _WITHOUT]
    return replace(found, pooling=tuple(modes))


_WITHOUT = "without the prompt"


def _of_prompts(found: Sentences, said: Any) -> Sentences:
    """With the prompt that the library puts before all texts unless it is told another: the one of the default name."""
    said = said if isinstance(said, dict) else {}
    prompts, name = said.get("prompts"), said.get("default_prompt_name")
    prompt = str(prompts.get(name) or "") if isinstance(prompts, dict) and isinstance(name, str) else ""
    if prompt and found.pooling[-1:] == (_WITHOUT,):
        found = replace(
            found, flaw=f"it pools without its prompt {shortened(repr(prompt), 40)}, which is not known here"
        )
    return replace(found, prompt=prompt, pooling=tuple(mode for mode in found.pooling if mode != _WITHOUT))


def _said(place: str, name: str, where: Where) -> Any:
    """What a JSON file of a checkpoint says; None where there is none."""
    if Path(place).is_dir():
        path = Path(place) / name
        return suspect.json_of(path) if path.exists() else None
    from transformers.utils.hub import cached_file

    told = {key: value for key, value in where.items() if key != "trust_remote_code"}
    missing = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
    found = cached_file(place, name, **told, **missing)
    return suspect.json_of(Path(found)) if found else None
