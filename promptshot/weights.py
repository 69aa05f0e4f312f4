"""What the files of a checkpoint hold, without torch: the names, shapes and precision of its tensors, by the headers of
its safetensors files alone; and where checkpoints lie in the cache of the hub.

A file may come from a stranger: no more of it is read than a header can have, and nothing that is no file.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

SAFETENSORS, PICKLES = ".safetensors", "pytorch_model*.bin"
HEADER, OBJECT = 32 << 20, 4 << 20  # bytes: the headers of all files of a checkpoint; a config.json
TENSORS, SHARDS, AXES = 1_000_000, 1_000, 16  # the most there can be
SYSTEM = ("/proc/", "/sys/")  # whose files may have no end, and are files by name only
_DTYPE = re.compile(r"BOOL|[A-Z]{1,4}(\d{1,3})(_\w{1,10})?")  # BF16, I64, F8_E4M3: a letter, and the bits of a number
_BYTE = 8  # bits; what a truth value takes too
COMMIT = re.compile(r"[0-9a-f]{40}")


class Broken(ValueError):
    """Files that are not what they should be; `str()` is the reason."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file: the kind of its numbers, as safetensors call it, and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def weights(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Held:
    """The tensors of a checkpoint by their names. Where its weights are `pickled`, nothing is known of them."""

    tensors: Mapping[str, Tensor]
    pickled: bool = False

    @cached_property
    def weights(self) -> int:
        """How many numbers they have."""
        return sum(tensor.weights for tensor in self.tensors.values())

    @cached_property
    def dtype(self) -> str:
        """The precision that most of them have; empty without any."""
        counts: Counter[str] = Counter()
        for tensor in self.tensors.values():
            counts[tensor.dtype] += tensor.weights
        return max(counts, key=counts.__getitem__, default="")


def held(folder: Path) -> Held:
    """What the files in a folder of a checkpoint hold; raises Broken, or OSError where they cannot be read."""
    if is_file(whole := folder / f"model{SAFETENSORS}"):
        return Held(tensors_of(whole))
    if is_file(index := folder / f"model{SAFETENSORS}.index.json"):
        return Held(_of_shards(index))
    others = [path for path in sorted(folder.glob(f"*{SAFETENSORS}")) if is_file(path)]
    if any(map(is_file, folder.glob(PICKLES))):
        return Held({}, pickled=True)
    raise Broken(f"no model{SAFETENSORS}, but {others[0].name}" if others else "no weights")


def tensors_of(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file; raises Broken for a file that is none, or that is cut short.

    eight bytes: the size of the header, the lowest first | the header, a JSON object | numbers
    """
    length, size = _length(path), path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(8)
        said = _json(stream.read(length), path)
    said.pop("__metadata__", None)
    if len(said) > TENSORS:
        raise Broken(f"{path.name} has more than {TENSORS:,} tensors")
    found = {name: _tensor(one, path) for name, one in said.items()}
    if max((end for _, end in found.values()), default=0) > size - 8 - length:
        raise Broken(f"{path.name} is cut short")
    return {name: tensor for name, (tensor, _) in found.items()}


def _length(path: Path) -> int:
    """The bytes of a file's header."""
    refuse_odd(path)
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
    if size < 8 or length > size - 8:
        raise Broken(f"{path.name} is no safetensors file, or cut short")
    if length > HEADER:
        raise Broken(f"{path.name} has a header of {length:,} bytes; {HEADER:,} are the most that is read")
    return length


def config_of(folder: Path) -> dict[str, Any]:
    """The config.json of a folder; raises Broken where it is none."""
    return object_of(folder / "config.json")


def object_of(path: Path) -> dict[str, Any]:
    """The JSON object in a small file; raises Broken, or OSError where it cannot be read."""
    return _json(_small(path), path)


def list_of(path: Path) -> list[Any]:
    """The JSON list in a small file, likewise."""
    said = _parsed(_small(path))
    if not isinstance(said, list):
        raise Broken(f"{path.name} holds no JSON list")
    return said


def is_file(path: Path) -> bool:
    """Whether there is a file on a disk by that name; no pipe, no device."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def refuse_odd(path: Path) -> None:
    """Raise Broken for what is no file of a checkpoint: a pipe would never end, nor would many a file of the system."""
    if not stat.S_ISREG(path.stat().st_mode) or os.path.realpath(path).startswith(SYSTEM):
        raise Broken(f"{path.name} is not a file of its own")


def _of_shards(index: Path) -> dict[str, Tensor]:
    """All tensors of the files that an index names."""
    shards = object_of(index).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise Broken(f"{index.name} maps no weights to files")
    names = sorted(set(shards.values()))
    if len(names) > SHARDS or any(Path(name).name != name or "\0" in name for name in names):
        raise Broken(f"{index.name} names files that cannot be its own")
    paths = [index.parent / name for name in names]
    if lost := next((path for path in paths if not is_file(path)), None):
        raise Broken(f"{lost.name} is not there")
    if sum(map(_length, paths)) > HEADER:
        raise Broken(f"the headers of its files have more than {HEADER:,} bytes")
    return {name: tensor for path in paths for name, tensor in tensors_of(path).items()}


def _small(path: Path) -> bytes:
    """What is in a file that is no larger than such files are."""
    refuse_odd(path)
    most = HEADER if path.name.endswith(".index.json") else OBJECT
    if path.stat().st_size > most:
        raise Broken(f"{path.name} has more than {most >> 20} MiB")
    return path.read_bytes()


def _parsed(text: bytes) -> Any:
    """What JSON says; None for what is none."""
    try:
        return json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError, MemoryError):  # no UTF-8, no JSON, a number of very many digits, nested deeply
        return None


def _json(text: bytes, path: Path) -> dict[str, Any]:
    said = _parsed(text)
    if not isinstance(said, dict):
        raise Broken(f"{path.name} holds no JSON object")
    return said


def _tensor(said: Any, path: Path) -> tuple[Tensor, int]:
    """A tensor, and where its numbers end: they take as much of the file as its shape says."""
    get = said.get if isinstance(said, dict) else {}.get
    dtype, shape, place = get("dtype"), _sizes(get("shape")), _sizes(get("data_offsets"))
    named = _DTYPE.fullmatch(dtype) if isinstance(dtype, str) else None
    if named and shape is not None and place is not None and len(place) == 2:
        tensor = Tensor(named[0], shape)
        if tensor.weights * int(named[1] or _BYTE) == (place[1] - place[0]) * _BYTE:
            return tensor, place[1]
    raise Broken(f"{path.name} describes a tensor that cannot be")


def _sizes(said: Any) -> tuple[int, ...] | None:
    """A list of a few sizes; None for whatever else."""
    good = isinstance(said, list) and len(said) <= AXES and all(type(size) is int and size >= 0 for size in said)
    return tuple(said) if good else None


# ------------------------------------------------------------------ the cache of the hub

# models--OWNER--NAME/refs/main holds a commit; snapshots/COMMIT/ has the files, which are links into blobs/.
_REPOSITORY = re.compile(r"models--(.+)")
REPOSITORIES = 10_000  # looked at, at most


@dataclass(frozen=True)
class Cached:
    """A checkpoint in the cache: its name on the hub, the revision to ask for ("" is the usual one), its folder."""

    name: str
    revision: str
    folder: Path


def cache() -> Path:
    """The folder of the hub's cache, as huggingface_hub finds it."""
    said = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if said:
        return Path(said).expanduser()
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return Path(home).expanduser() / "hub"


def cached(folder: Path | None = None) -> Iterator[Cached]:
    """The checkpoints in the cache, by name: the usual revision of each, or where it is not there the newest."""
    try:
        places = sorted((folder or cache()).iterdir())[:REPOSITORIES]
    except OSError:
        return
    for place in places:
        if (named := _REPOSITORY.fullmatch(place.name)) and (found := _snapshot(place)):
            yield Cached(named[1].replace("--", "/"), *found)


def snapshot(name: str, revision: str = "main") -> Path | None:
    """The folder in the cache of a model of the hub; None where it is not there."""
    place = cache() / f"models--{name.replace('/', '--')}"
    commit = revision if COMMIT.fullmatch(revision) else _commit(place / "refs" / revision)
    found = place / "snapshots" / commit
    try:
        return found if commit and found.is_dir() else None
    except (OSError, ValueError):
        return None


def _snapshot(place: Path) -> tuple[str, Path] | None:
    usual = place / "snapshots" / (_commit(place / "refs" / "main") or "\n")
    try:
        if usual.is_dir():
            return "", usual
        others = [one for one in (place / "snapshots").iterdir() if COMMIT.fullmatch(one.name) and one.is_dir()]
        newest = max(others, key=lambda one: one.stat().st_mtime, default=None)
    except OSError:
        return None
    return (newest.name, newest) if newest else None


def _commit(path: Path) -> str:
    """What a file of refs/ holds; empty where it holds no commit."""
    try:
        said = path.read_bytes()[:60].decode("ascii").strip() if is_file(path) else ""
    except (OSError, ValueError):
        return ""
    return said if COMMIT.fullmatch(said) else ""
