"""What the headers of safetensors files say, and what the hub's cache holds: strangers' files end as a line."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from promptshot import weights
from promptshot.weights import Broken, Tensor

COMMIT, OTHER = "a" * 40, "b" * 40


def header(said: object, data: int = 0) -> bytes:
    text = json.dumps(said).encode()
    return len(text).to_bytes(8, "little") + text + bytes(data)


BYTES = {"F32": 4, "BF16": 2, "I64": 8}


def tensor(*shape: int, dtype: str = "F32", end: int | None = None) -> dict[str, Any]:
    """What a header says of a tensor at the beginning of the data; it takes as much as its shape says, or so much."""
    size = math.prod(shape) * BYTES.get(dtype, 1) if end is None else end
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [0, size]}


def put(folder: Path, said: object = None, data: int = 0, name: str = "model.safetensors") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(header({"a.weight": tensor(2, 3, end=24)} if said is None else said, data or 24))
    return folder


def test_names_shapes_and_precision_are_those_of_the_header(tmp_path: Path) -> None:
    said = {"__metadata__": {"format": "pt"}, "a": tensor(2, 3, dtype="BF16"), "b": tensor(dtype="I64"), "c": tensor(4)}
    held = weights.held(put(tmp_path, said))
    assert held.tensors == {"a": Tensor("BF16", (2, 3)), "b": Tensor("I64", ()), "c": Tensor("F32", (4,))}
    assert (held.weights, held.dtype, held.pickled) == (11, "BF16", False)


def test_only_pickles_are_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model-00001-of-00002.bin").write_bytes(b"x")
    held = weights.held(tmp_path)
    assert (held.pickled, dict(held.tensors), held.dtype) == (True, {}, "")
    assert not weights.held(put(tmp_path)).pickled


DEEP = b"[" * 100_000
BAD: dict[str, tuple[bytes, str]] = {
    "of nothing": (b"", "is no safetensors file"),
    "of seven bytes": (b"\1" * 7, "is no safetensors file"),
    "with a header of 10^18 bytes": ((10**18).to_bytes(8, "little") + b"{}", "is no safetensors file, or cut short"),
    "that says text": ((5).to_bytes(8, "little") + b"hello", "holds no JSON object"),
    "that says a list": (header([1]), "holds no JSON object"),
    "nested deeply": (len(DEEP).to_bytes(8, "little") + DEEP, "holds no JSON object"),
    "of other letters": ((2).to_bytes(8, "little") + b"\xff\xfe", "holds no JSON object"),
    "with a tensor that is a number": (header({"a": 1}), "describes a tensor that cannot be"),
    "with a shape below nothing": (header({"a": tensor(-1)}), "describes a tensor that cannot be"),
    "with a shape of words": (header({"a": {**tensor(), "shape": ["x"]}}), "describes a tensor that cannot be"),
    "with very many axes": (header({"a": tensor(*[1] * 99)}), "describes a tensor that cannot be"),
    "with an odd precision": (header({"a": tensor(dtype="\x1b[31m")}), "describes a tensor that cannot be"),
    "with a precision of no bits": (header({"a": tensor(dtype="F0")}, 8), "describes a tensor that cannot be"),
    "whose numbers are not there": (header({"a": tensor(2, end=8)}, 7), "is cut short"),
    "whose shape is larger than its place": (header({"a": tensor(3, end=8)}, 8), "describes a tensor that cannot be"),
    "whose shape is smaller than its place": (header({"a": tensor(1, end=8)}, 8), "describes a tensor that cannot be"),
    "with a shape of 3,000 digits": (header({"a": tensor(10**3000, end=8)}, 8), "describes a tensor that cannot be"),
    "with shapes of 10^24": (header({"a": tensor(10**12, 10**12, end=4)}, 8), "describes a tensor that cannot be"),
    "that ends at 3,000 digits": (header({"a": tensor(10**3000)}, 8), "is cut short"),
    "that ends before it begins": (
        header({"a": {**tensor(2), "data_offsets": [8, 0]}}, 8),
        "describes a tensor that cannot be",
    ),
    "that lies nowhere": (header({"a": {"dtype": "F32", "shape": [2]}}, 8), "describes a tensor that cannot be"),
    "that lies at half a byte": (
        header({"a": {**tensor(2), "data_offsets": [0.0, 8.0]}}, 8),
        "describes a tensor that cannot be",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_is_none_says_so(tmp_path: Path, kind: str) -> None:
    data, said = BAD[kind]
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(Broken, match=said):
        weights.held(tmp_path)


def test_a_header_that_is_larger_than_any_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "model.safetensors").open("wb") as stream:
        stream.write((1 << 40).to_bytes(8, "little"))
        stream.truncate((1 << 40) + 100)  # a file with a hole, which takes no room
    with pytest.raises(Broken, match="has a header of 1,099,511,627,776 bytes"):
        weights.held(tmp_path)


@pytest.mark.parametrize(
    ("dtype", "count", "size"),
    [
        ("F8_E4M3", 6, 6),
        ("BOOL", 6, 6),
        ("F64", 3, 24),
        ("F4", 6, 3),
        ("F6_E2M3", 4, 3),
        ("C64", 2, 16),
        ("U16", 5, 10),
    ],
)
def test_numbers_of_any_precision_are_counted_by_the_bits_in_its_name(
    tmp_path: Path, dtype: str, count: int, size: int
) -> None:
    assert weights.held(put(tmp_path, {"a": tensor(count, dtype=dtype, end=size)})).weights == count


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
@pytest.mark.parametrize("name", ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(Broken, match="no weights"):
        weights.held(tmp_path)


@pytest.mark.skipif(not Path("/proc/self/maps").is_file(), reason="this system has no /proc")
def test_a_file_of_the_system_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").symlink_to("/proc/self/maps")
    with pytest.raises(Broken, match="is not a file of its own"):
        weights.held(tmp_path)


def indexed(folder: Path, shards: object) -> Path:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    return folder


def test_the_shards_of_an_index_are_read_together(tmp_path: Path) -> None:
    put(tmp_path, {"a": tensor(2)}, name="one.safetensors")
    put(tmp_path, {"b": tensor(3)}, name="two.safetensors")
    held = weights.held(indexed(tmp_path, {"a": "one.safetensors", "b": "two.safetensors", "lie": "two.safetensors"}))
    assert held.tensors == {"a": Tensor("F32", (2,)), "b": Tensor("F32", (3,))}  # what is there, not what is promised


@pytest.mark.parametrize(
    ("shards", "said"),
    [
        ({"a": "../other.safetensors"}, "names files that cannot be its own"),
        ({"a": "/etc/hostname"}, "names files that cannot be its own"),
        ({"a": "x\0"}, "names files that cannot be its own"),
        ({"a": 3}, "maps no weights to files"),
        ([], "maps no weights to files"),
        ({"a": "lost.safetensors"}, "lost.safetensors is not there"),
        ({str(i): f"{i}.safetensors" for i in range(2000)}, "names files that cannot be its own"),
    ],
)
def test_an_index_that_leads_elsewhere_says_so(tmp_path: Path, shards: object, said: str) -> None:
    put(tmp_path / "inside", name="own.safetensors")
    with pytest.raises(Broken, match=said):
        weights.held(indexed(tmp_path / "inside", shards))


def test_weights_under_another_name_are_named(tmp_path: Path) -> None:
    put(tmp_path, name="adapter_model.safetensors")
    with pytest.raises(Broken, match=r"no model\.safetensors, but adapter_model\.safetensors"):
        weights.held(tmp_path)


# ------------------------------------------------------------------ the cache of the hub


def repository(cache: Path, name: str, commit: str = COMMIT, ref: str = "main") -> Path:
    place = cache / f"models--{name.replace('/', '--')}"
    if ref:
        (place / "refs").mkdir(parents=True, exist_ok=True)
        (place / "refs" / ref).write_text(commit)
    snapshot = place / "snapshots" / commit
    snapshot.mkdir(parents=True, exist_ok=True)
    (snapshot / "config.json").write_text("{}")
    return snapshot


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({"HF_HUB_CACHE": "c"}, "c"),
        ({"HF_HOME": "h"}, "h/hub"),
        ({"HF_HUB_CACHE": "c", "HF_HOME": "h"}, "c"),
        ({"HUGGINGFACE_HUB_CACHE": "o"}, "o"),
        ({"XDG_CACHE_HOME": "x"}, "x/huggingface/hub"),
        ({"HOME": "u"}, "u/.cache/huggingface/hub"),
    ],
)
def test_the_cache_is_where_the_hub_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], place: str
) -> None:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, said in variables.items():
        monkeypatch.setenv(name, str(tmp_path / said))
    assert weights.cache() == tmp_path / place


def test_models_of_the_cache_are_found_by_their_usual_revision(tmp_path: Path) -> None:
    usual = repository(tmp_path, "owner/some--model")
    repository(tmp_path, "owner/some--model", OTHER, "pr/1".replace("/", "-"))
    other = repository(tmp_path, "short", OTHER, "")
    (tmp_path / "datasets--owner--rows").mkdir()
    (tmp_path / "models--empty").mkdir()
    (tmp_path / "version.txt").write_text("1")
    found = [(one.name, one.revision, one.folder) for one in weights.cached(tmp_path)]
    assert found == [("owner/some/model", "", usual), ("short", OTHER, other)]


def test_no_cache_is_no_models(tmp_path: Path) -> None:
    assert list(weights.cached(tmp_path / "nowhere")) == []


def test_a_snapshot_is_found_by_branch_and_by_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    usual = repository(tmp_path, "owner/model")
    assert weights.snapshot("owner/model") == usual
    assert weights.snapshot("owner/model", COMMIT) == usual
    for name, revision in (("owner/model", "v1"), ("owner/model", OTHER), ("owner/none", "main"), ("x\0", "main")):
        assert weights.snapshot(name, revision) is None


@pytest.mark.parametrize("said", [b"../../..", b"", b"\xff" * 40, b"a" * 41])
def test_a_ref_that_names_no_commit_leads_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    repository(tmp_path, "owner/model")
    (tmp_path / "models--owner--model" / "refs" / "main").write_bytes(said)
    assert weights.snapshot("owner/model") is None
    assert [one.revision for one in weights.cached(tmp_path)] == [COMMIT]
