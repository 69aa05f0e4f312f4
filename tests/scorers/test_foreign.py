"""Weights that are not safetensors: pickles by flag and as weights only, those of other libraries never."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.torch

import torch  # noqa: E402
from helpers import Tiny, put  # noqa: E402

from promptshot.errors import ModelError  # noqa: E402
from promptshot.scorers import load, load_tokenizer  # noqa: E402
from promptshot.scoring import Kind, ModelOptions, Piece, Prompt  # noqa: E402

PROMPT = Prompt((Piece(Kind.FIELD, "a long night:"), Piece(Kind.MASK)), (" good", " bad"))


@pytest.fixture
def folder(gpt2: Tiny, tmp_path: Path) -> Path:
    """A checkpoint without its weights."""
    made = tmp_path / "model"
    shutil.copytree(gpt2.name, made, ignore=shutil.ignore_patterns("*.safetensors"))
    return made


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("tf_model.h5", "TensorFlow"),
        ("tf_model-00001-of-00002.h5", "TensorFlow"),
        ("bert_model.ckpt.index", "TensorFlow"),
        ("model.ckpt-1000.data-00000-of-00001", "TensorFlow"),
        ("flax_model.msgpack", "Flax"),
    ],
)
def test_weights_of_another_library_are_told_with_how_to_convert_them(folder: Path, name: str, library: str) -> None:
    put(folder / name, b"weights")
    with pytest.raises(ModelError) as problem:
        load("causal", ModelOptions(str(folder)))
    assert f"only weights of {library} ({name}), which are not read; convert them once" in str(problem.value)
    assert "\n" not in str(problem.value)


def test_they_do_not_matter_beside_weights_that_are_read(gpt2: Tiny, folder: Path) -> None:
    shutil.copy(Path(gpt2.name) / "model.safetensors", folder)
    put(folder / "tf_model.h5", b"weights")
    assert load("causal", ModelOptions(str(folder))).score([PROMPT])[0].error is None


def test_the_first_release_of_bert_is_told_so_though_it_has_no_config_of_ours(tmp_path: Path) -> None:
    for name in ("bert_config.json", "vocab.txt", "bert_model.ckpt.meta"):
        put(tmp_path / name, "{}")
    with pytest.raises(ModelError, match="only weights of TensorFlow"):
        load_tokenizer(ModelOptions(str(tmp_path)))


def in_parts(folder: Path, weights: dict[str, Any]) -> None:
    """pytorch_model.bin in two parts, with its index."""
    names = sorted(weights)
    parts = {"pytorch_model-00001-of-00002.bin": names[::2], "pytorch_model-00002-of-00002.bin": names[1::2]}
    for file, of_part in parts.items():
        torch.save({name: weights[name] for name in of_part}, folder / file)
    index = {"metadata": {}, "weight_map": {name: file for file, of_part in parts.items() for name in of_part}}
    put(folder / "pytorch_model.bin.index.json", json.dumps(index))


def test_pickles_in_parts_are_read_by_flag_only(gpt2: Tiny, folder: Path) -> None:
    in_parts(folder, {name: tensor.clone() for name, tensor in gpt2.model.state_dict().items()})
    with pytest.raises(ModelError, match=r"only pickled weights .*--allow-pickle"):
        load("causal", ModelOptions(str(folder)))
    (found,) = load("causal", ModelOptions(str(folder), allow_pickle=True)).score([PROMPT])
    (wanted,) = load("causal", ModelOptions(gpt2.name)).score([PROMPT])
    assert found.scores == pytest.approx(wanted.scores, abs=1e-5)


class Trap:
    """Makes a file where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.file), "w")


def test_no_part_of_them_runs_what_is_no_weight(gpt2: Tiny, folder: Path, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    weights: dict[str, Any] = {name: tensor.clone() for name, tensor in gpt2.model.state_dict().items()}
    in_parts(folder, weights | {sorted(weights)[-1]: Trap(sprung)})
    with pytest.raises(ModelError):
        load("causal", ModelOptions(str(folder), allow_pickle=True))
    assert not sprung.exists()
