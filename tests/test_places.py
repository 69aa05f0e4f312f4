"""Where models lie on a machine: built-in ones, those of Ollama, folders and files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from promptshot import shelf
from promptshot.errors import ModelError, NotFoundError

HOST = "registry.example"
MODEL = "application/vnd.ollama.image.model"


@pytest.fixture
def ollama(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of models, as Ollama lays them out."""
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    (tmp_path / "blobs").mkdir()
    return tmp_path


def pull(
    folder: Path, name: str, text: bytes | None = b"GGUF", *others: dict[str, Any], digest: str = "", host: str = HOST
) -> str:
    """Lay out a model under HOST/NAMESPACE/NAME/TAG, as Ollama does when it pulls one; its digest."""
    digest = digest or f"{len(list(folder.glob('manifests/*/*/*/*'))):064x}"
    if text is not None:
        (folder / "blobs" / f"sha256-{digest}").write_bytes(text)
    path = folder / "manifests" / host / name
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
    with pytest.raises(
        NotFoundError, match="no model 'ollama:zebra' of Ollama; there is: ollama:medlar:8b, ollama:plum:2b"
    ):
        shelf.ollama_model("ollama:zebra")
    with pytest.raises(NotFoundError, match="did you mean 'ollama:plum:2b'"):
        shelf.ollama_model("ollama:plum:3b")


def test_where_ollama_has_no_model_it_is_said_where_they_were_sought(ollama: Path) -> None:
    with pytest.raises(NotFoundError, match=f"pull it with Ollama; sought in {ollama}"):
        shelf.ollama_model("ollama:plum")


def test_a_model_with_an_adapter_of_its_own_is_refused_for_it_would_be_left_out(ollama: Path) -> None:
    pull(ollama, "library/plum/2b", b"GGUF", {"mediaType": "application/vnd.ollama.image.adapter", "digest": "x"})
    assert shelf.pulled()[0].adapted
    with pytest.raises(ModelError, match="an adapter of its own"):
        shelf.ollama_model("ollama:plum")


def test_models_of_other_hosts_are_called_as_ollama_calls_them(ollama: Path) -> None:
    own = pull(ollama, "library/fig/latest")
    other = pull(ollama, "baker/Fig-GGUF/Q4_1", host="weights.example")
    alone = pull(ollama, "library/medlar/8b", host="localhost:5000")
    assert [one.name for one in shelf.pulled()] == ["fig:latest", "medlar:8b", "weights.example/baker/Fig-GGUF:Q4_1"]
    names = {
        "fig": own,
        "registry.example/library/fig": own,
        "library/fig:latest": own,
        "weights.example/baker/Fig-GGUF:Q4_1": other,
        "weights.example/baker/Fig-GGUF": other,
        "baker/Fig-GGUF:Q4_1": other,
        "medlar": alone,
        "localhost:5000/library/medlar": alone,
        "localhost:5000/library/medlar:8b": alone,
    }
    assert {name: shelf.ollama_model(f"ollama:{name}").name for name in names} == {
        name: f"sha256-{digest}" for name, digest in names.items()
    }


def test_of_two_hosts_the_registry_has_the_short_name_and_two_others_have_none(ollama: Path) -> None:
    pull(ollama, "library/fig/latest", host="a.example")
    own = pull(ollama, "library/fig/latest")
    for host in ("b.example", "a.example"):
        pull(ollama, "library/quince/latest", host=host)
    assert [one.name for one in shelf.pulled()] == [
        "a.example/library/fig:latest", "a.example/library/quince:latest", "b.example/library/quince:latest",
        "fig:latest",
    ]  # fmt: skip
    assert shelf.ollama_model("ollama:fig").name == f"sha256-{own}"
    with pytest.raises(NotFoundError, match="no model 'ollama:quince' of Ollama"):
        shelf.ollama_model("ollama:quince")


def refused(name: str) -> str:
    with pytest.raises(ModelError) as problem:
        shelf.ollama_model(name)
    return str(problem.value)


def test_a_manifest_that_is_broken_is_said_to_be(ollama: Path) -> None:
    pull(ollama, "library/medlar/8b")
    pull(ollama, "library/medlars/8b")
    for text in ("", "[]", '{"layers": 3}', '{"layers": []}', json.dumps({"layers": [{"mediaType": MODEL}]})):
        (ollama / "manifests" / HOST / "library" / "medlar" / "8b").write_text(text)
        assert refused("ollama:medlar") == "ollama:medlar: its manifest is broken; pull it anew with Ollama"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "nothing"])
def test_a_blob_that_is_no_file_is_neither_opened_nor_listed(ollama: Path, kind: str) -> None:
    blob = ollama / "blobs" / f"sha256-{pull(ollama, 'library/plum/2b', None)}"
    if kind == "folder":
        blob.mkdir()
    elif kind == "pipe":
        os.mkfifo(blob)
    elif kind == "device":
        blob.symlink_to("/dev/zero")
    what = "its blob is not there" if kind == "nothing" else "its blob is no file"
    assert refused("ollama:plum:2b") == f"ollama:plum:2b: {what}; pull it anew with Ollama"
    assert not shelf.pulled()


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
