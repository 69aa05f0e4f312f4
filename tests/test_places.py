"""Where models lie on a machine: built-in ones, those of Ollama, folders and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptshot import shelf
from promptshot.errors import ModelError, NotFoundError

MODEL = "application/vnd.ollama.image.model"


@pytest.fixture
def ollama(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of models, as Ollama lays them out."""
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    (tmp_path / "blobs").mkdir()
    return tmp_path


def pull(folder: Path, name: str, text: bytes | None = b"GGUF", *others: dict[str, Any], digest: str = "") -> str:
    """Lay out a model under HOST/NAMESPACE/NAME/TAG, as Ollama does when it pulls one; its digest."""
    digest = digest or f"{len(list(folder.glob('manifests/*/*/*/*'))):064x}"
    if text is not None:
        (folder / "blobs" / f"sha256-{digest}").write_bytes(text)
    path = folder / "manifests" / "registry.example" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    layers = [*others, {"mediaType": MODEL, "digest": f"sha256:{digest}", "size": 4}]
    path.write_text(json.dumps({"schemaVersion": 2, "config": {}, "layers": layers}))
    return digest


def test_models_that_ollama_has_pulled_are_listed_with_their_files_and_sizes(ollama: Path) -> None:
    plum = pull(ollama, "library/plum/2b", b"GGUF and more")
    pull(ollama, "garden/quince/latest", b"GGUF!")
    found = shelf.pulled()
    assert [(one.name, one.size) for one in found] == [("garden/quince:latest", 5), ("plum:2b", 13)]
    assert found[1].path == ollama / "blobs" / f"sha256-{plum}"


@pytest.mark.parametrize("name", ["ollama:plum:2b", "ollama:plum"])
def test_a_tag_need_not_be_said_where_there_is_only_one(ollama: Path, name: str) -> None:
    plum = pull(ollama, "library/plum/2b")
    assert shelf.ollama_model(name) == ollama / "blobs" / f"sha256-{plum}"


def test_without_a_tag_the_latest_is_meant(ollama: Path) -> None:
    pull(ollama, "library/plum/2b")
    latest = pull(ollama, "library/plum/latest")
    assert shelf.ollama_model("ollama:plum").name == f"sha256-{latest}"


def test_a_model_that_was_not_pulled_is_refused_with_those_that_were(ollama: Path) -> None:
    pull(ollama, "library/plum/2b")
    pull(ollama, "library/medlar/8b")
    with pytest.raises(NotFoundError, match="no model 'ollama:zebra' of Ollama; there is: medlar:8b, plum:2b"):
        shelf.ollama_model("ollama:zebra")
    with pytest.raises(NotFoundError, match="did you mean 'plum:2b'"):
        shelf.ollama_model("ollama:plum:3b")


def test_where_ollama_has_no_model_it_is_said_where_they_were_sought(ollama: Path) -> None:
    with pytest.raises(NotFoundError, match=f"pull it with Ollama; sought in {ollama}"):
        shelf.ollama_model("ollama:plum")


def test_a_model_with_an_adapter_of_its_own_is_refused_for_it_would_be_left_out(ollama: Path) -> None:
    pull(ollama, "library/plum/2b", b"GGUF", {"mediaType": "application/vnd.ollama.image.adapter", "digest": "x"})
    assert shelf.pulled()[0].adapted
    with pytest.raises(ModelError, match="an adapter of its own"):
        shelf.ollama_model("ollama:plum")


@pytest.mark.parametrize("digest", ["../../secret", "", "sha256:" + "g" * 64, 7])
def test_a_manifest_names_no_file_but_a_blob(ollama: Path, digest: Any) -> None:
    pull(ollama, "library/plum/2b")
    path = ollama / "manifests" / "registry.example" / "library" / "plum" / "2b"
    path.write_text(json.dumps({"layers": [{"mediaType": MODEL, "digest": digest}]}))
    assert not shelf.pulled()


@pytest.mark.parametrize("text", ["", "[]", "null", '{"layers": 3}', '{"layers": [3]}', "[" * 100_000])
def test_a_manifest_that_is_none_is_passed_over(ollama: Path, text: str) -> None:
    pull(ollama, "library/plum/2b")
    pull(ollama, "library/medlar/8b")
    (ollama / "manifests" / "registry.example" / "library" / "plum" / "2b").write_text(text)
    assert [one.name for one in shelf.pulled()] == ["medlar:8b"]


def test_a_model_whose_file_has_gone_is_not_listed(ollama: Path) -> None:
    pull(ollama, "library/plum/2b", None)
    assert not shelf.pulled()
