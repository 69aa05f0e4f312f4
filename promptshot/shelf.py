"""Where files lie: templates, verbalizers, suites and models that ship with promptshot, models of Ollama, models in a
folder or a file; and what a local model is made for."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from promptshot import gguf, kinds, weights
from promptshot.errors import ModelError, NotFoundError, did_you_mean, reason_of, shortlist
from promptshot.weights import Broken

Shelf = Literal["templates", "verbalizers", "suites", "models"]

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


# ------------------------------------------------------------------ models on this machine


def place_of(model: str) -> Path | None:
    """Where a model lies that is named as built-in, as one of Ollama's or by its path: a folder or a file.

    None for what is none of these, such as a hub name. Raises NotFoundError where the name promises one.
    """
    if model.startswith(BUILTIN):
        return builtin_model(model)
    if model.startswith(OLLAMA):
        return ollama_model(model)
    try:
        return path if model and (path := Path(model)).exists() else None
    except (OSError, ValueError):
        return None


def gguf_of(place: Path | None) -> list[Path]:
    """The GGUF files of a model: of one that is named, or of the only one in a folder without a config.json; none for
    any other. Raises ModelError where a part is missing, or several files could be meant."""
    if place is None:
        return []
    if place.is_dir():
        if is_there(place / "config.json") or not (found := gguf.in_folder(place)):
            return []
        if len(found) > 1:
            names = shortlist((path.name for path in found), 6)
            raise ModelError(f"{len(found)} GGUF files: {names}", where=str(place), hint=f"name one: -m {found[0]}")
        (place,) = found
    if not gguf.is_gguf(place):
        return []
    try:
        return gguf.parts(place)
    except gguf.NoGguf as problem:
        raise ModelError(str(problem), where=str(place), hint="put all parts into one folder") from None


def headers_of(model: str) -> Sequence[gguf.Header]:
    """The headers of a model's GGUF files; none for any other. Raises ModelError or NotFoundError."""
    files = gguf_of(place_of(model))
    try:
        return gguf.read_all(files)
    except (gguf.NoGguf, OSError) as problem:
        hint = "check the path" if isinstance(problem, OSError) else gguf.ANEW
        raise ModelError(f"cannot be loaded: {reason_of(problem)}", where=str(files[0]), hint=hint) from None


def unpacked(model: str, dtype: str = "auto") -> str:
    """What a GGUF file takes once its weights are numbers again, in one line; empty for any other model, and where that
    is no more than the file has."""
    headers = headers_of(model)
    count, there = gguf.weights_of(headers), sum(header.size for header in headers)
    taken = count * (2 if dtype in ("float16", "bfloat16") else 4)
    if taken <= there + (there >> 3):
        return ""
    said = f"{count / 1e6:,.0f} million weights of {_size(there)}; unpacked they take {_size(taken)} of memory"
    return f"{model}: {said}" + ("" if taken < count * 4 else " (half with --dtype bfloat16)")


def _size(count: int) -> str:
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:,.0f} MiB"


def scorer_of(model: str) -> str | None:
    """The scorer for a model on this machine, from its config.json or GGUF file, but by its weights where it has the
    head of another, or it does not tell; None where nothing does."""
    place = place_of(model)
    try:
        if headers := headers_of(model):
            return kinds.made_for(headers[0].config)
        path = (place or Path(model)) / "config.json"
        if not path.is_file() or path.stat().st_size > LARGEST:  # whoever loads it says what is wrong
            return None
        config = json.loads(path.read_text(encoding="utf-8"))
        for kind in kinds.KINDS.values():
            if kind.made_file and is_there(path.parent / kind.made_file):
                return kind.name
        made, there = kinds.made_for(config), kinds.held(_names(path.parent), config)
        return made if not there or made in there else there[0]
    except (OSError, ValueError, AttributeError, TypeError, RecursionError, ModelError):
        return None


def scorers_of(model: str) -> list[str]:
    """The scorers that can use a model on this machine, also one in the hub's cache, by what its files hold; none where
    these do not tell."""
    try:
        if headers := headers_of(model):
            return [] if gguf.lacks(headers) else [*kinds.usable(gguf.names_of(headers), headers[0].config)]
        place = place_of(model) or weights.snapshot(model)
        return [*kinds.usable(_names(place), weights.config_of(place))] if place and place.is_dir() else []
    except (OSError, ValueError, TypeError, ModelError):
        return []


def _names(folder: Path) -> list[str]:
    """The names of the tensors in the files of a folder; none where they cannot be read."""
    try:
        return [*weights.held(folder).tensors]
    except (OSError, Broken):
        return []


# ------------------------------------------------------------------ models of Ollama

# Ollama keeps a small JSON file for each model and tag, which names the files ("blobs") that the model is made of:
#
#     models/manifests/HOST/NAMESPACE/NAME/TAG     models/blobs/sha256-...
#
# Its full name is HOST/NAMESPACE/NAME:TAG. Ollama leaves out the host where it is that of its own registry, and then
# also the namespace "library": NAME:TAG, or hf.co/OWNER/NAME:TAG of another host.
_LAYER = "application/vnd.ollama.image."
_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
OLLAMA = "ollama:"
OLLAMA_VARIABLE = "OLLAMA_MODELS"
OLLAMA_FOLDERS = ("~/.ollama/models", "/usr/share/ollama/.ollama/models")  # of a user, and of the service on Linux
LIBRARY = "library"  # the namespace of models without an owner
MANIFESTS = 10_000  # looked at, at most


@dataclass(frozen=True)
class Pulled:
    """A model that Ollama has pulled: its name with its tag, the GGUF file, and its bytes.

    `adapted` is whether an adapter belongs to it, which the file is without.
    """

    name: str
    path: Path
    size: int
    adapted: bool = False


def pulled() -> list[Pulled]:
    """The models that Ollama has on this machine, by name; those whose file is not there are left out."""
    found = []
    manifests = _manifests()
    for name, full in _shown(manifests).items():
        with contextlib.suppress(Broken):
            found.append(_pulled(name, *manifests[full]))
    return sorted(found, key=lambda one: one.name)


def ollama_model(name: str) -> Path:
    """The file of `ollama:NAME` or `ollama:NAME:TAG`; raises NotFoundError with the names that are there, ModelError
    for one that is broken or not whole without an adapter."""
    short = name.removeprefix(OLLAMA)
    manifests = _manifests()
    said = {**_meant(manifests), **{full: full for full in manifests}}
    wanted = short if _untagged(short) != short else f"{short}:latest"
    tags = {full for one, full in said.items() if _untagged(one) == short}
    full = said.get(wanted) or (tags.pop() if len(tags) == 1 else "")  # the only tag need not be said
    if not full:
        there = [f"{OLLAMA}{one.name}" for one in pulled()]
        folders = " or ".join(map(str, _ollama_folders())) or f"${OLLAMA_VARIABLE} or {OLLAMA_FOLDERS[0]}"
        hint = did_you_mean(f"{OLLAMA}{wanted}", there) if there else f"pull it with Ollama; sought in {folders}"
        raise NotFoundError(f"no model {name!r} of Ollama", hint=hint)
    try:
        one = _pulled(full, *manifests[full])
    except Broken as problem:
        raise ModelError(str(problem), where=name, hint="pull it anew with Ollama") from None
    if one.adapted:
        what = "it has an adapter of its own, which would be left out"
        raise ModelError(what, where=name, hint="merge the adapter, or take the model without it")
    return one.path


def _ollama_folders() -> list[Path]:
    said = os.environ.get(OLLAMA_VARIABLE)
    return [path for one in ([said] if said else OLLAMA_FOLDERS) if (path := Path(one).expanduser()).is_dir()]


def _manifests() -> dict[str, tuple[Path, Path]]:
    """The full names of models, sorted -> the manifest, and the folder of models it is in; the first folder's, where
    several have one of that name."""
    found: dict[str, tuple[Path, Path]] = {}
    for models in _ollama_folders():
        with contextlib.suppress(OSError):
            for path in islice((models / "manifests").glob("*/*/*/*"), MANIFESTS):
                if is_there(path):
                    found.setdefault(":".join(("/".join(path.parts[-4:-1]), path.name)), (path, models))
    return dict(sorted(found.items()))


def _meant(names: Iterable[str]) -> dict[str, str]:
    """Shorter names -> the full name that each stands for: the only one, or the only one of a registry."""
    found: dict[str, list[str]] = {}
    for full in names:
        _, space, name = full.split("/", 2)
        for short in (name, f"{space}/{name}") if space == LIBRARY else (f"{space}/{name}",):
            found.setdefault(short, []).append(full)
    usual = {short: [one for one in several if _is_usual(one)] for short, several in found.items()}
    chosen = {short: several if len(several) == 1 else usual[short] for short, several in found.items()}
    return {short: several[0] for short, several in chosen.items() if len(several) == 1}


def _shown(names: Iterable[str]) -> dict[str, str]:
    """The name by which a model is listed, as Ollama calls it -> its full name."""
    full = list(names)
    shortest: dict[str, str] = {}
    for short, one in _meant(full).items():
        if _is_usual(one) or one.split("/")[1] == LIBRARY:
            shortest[one] = min(shortest.get(one, short), short, key=len)
    return {shortest.get(one, one): one for one in full}


def _is_usual(full: str) -> bool:
    return full.startswith("registry.")


def _untagged(name: str) -> str:
    """The name without its tag; a host may have a colon too."""
    begin, slash, last = name.rpartition("/")
    return begin + slash + last.partition(":")[0]


def _pulled(name: str, manifest: Path, models: Path) -> Pulled:
    """What a manifest names; raises Broken where it names no file that is there."""
    try:
        said = weights.object_of(manifest)["layers"]
        layers = [one for one in said if isinstance(one, dict)]
        digests = [_digest(one) for one in layers if one.get("mediaType") == f"{_LAYER}model"]
        blob = models / "blobs" / f"sha256-{digests[0]}"
    except (OSError, Broken, LookupError, TypeError):
        raise Broken("its manifest is broken") from None
    try:
        weights.refuse_odd(blob)
        size = blob.stat().st_size
    except Broken:
        raise Broken("its blob is no file") from None
    except OSError:
        raise Broken("its blob is not there") from None
    return Pulled(name, blob, size, any(one.get("mediaType") == f"{_LAYER}adapter" for one in layers))


def _digest(layer: dict[str, Any]) -> str:
    """The digest of a layer; raises LookupError for what is none, so that it names no other file."""
    found = _DIGEST.fullmatch(str(layer.get("digest")))
    if not found:
        raise LookupError("no digest")
    return found[1]


def is_there(path: Path) -> bool:
    """Whether there is such a file; a name no system can hold is no file."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
