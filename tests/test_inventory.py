"""What is on this machine: every model a line, a broken one as well, and nothing is loaded."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import failed

from promptshot import inventory, kinds
from promptshot.cli import completion, run_command
from promptshot.inventory import Model, fitting, model, models

COMMIT = "c" * 40
BERT = {
    "model_type": "bert", "architectures": ["BertForMaskedLM"], "vocab_size": 30, "max_position_embeddings": 64,
}  # fmt: skip
BODY = ["bert.embeddings.word_embeddings.weight", "bert.encoder.layer.0.output.dense.weight"]
MLM = ["cls.predictions.bias", "cls.predictions.transform.dense.weight"]
NSP = ["cls.seq_relationship.weight", "bert.pooler.dense.weight"]


def checkpoint(folder: Path, names: list[str], config: object = BERT, data: int = 24) -> Path:
    """A folder with a config.json and a file that has tensors of these names, of six numbers each."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    said = {name: {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]} for name in names}
    text = json.dumps(said).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(data))
    return folder


def gguf(path: Path, family: str = "llama", tensors: tuple[str, ...] = ("token_embd.weight",), words: int = 2) -> Path:
    """A GGUF file with tensors of four numbers each, and a vocabulary of so many words."""

    def string(text: str) -> bytes:
        return struct.pack("<Q", len(text.encode())) + text.encode()

    said = [string("general.architecture") + struct.pack("<I", 8) + string(family)]
    said += [string("tokenizer.ggml.model") + struct.pack("<I", 8) + string("gpt2")]
    said += [string("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, words) + string("a") * words]
    table = [string(name) + struct.pack("<IQIQ", 1, 4, 0, 32 * n) for n, name in enumerate(tensors)]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(table), len(said)) + b"".join([*said, *table])
    path.write_bytes(head + bytes(-len(head) % 32 + 32 * len(table)))
    return path


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No cache and no Ollama but what a test makes: its cache of the hub."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    return tmp_path / "cache"


def in_cache(cache: Path, name: str, names: list[str], **config: Any) -> Path:
    """A checkpoint as the hub caches it: links to blobs."""
    place = cache / f"models--{name.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(COMMIT)
    whole, snapshot = checkpoint(place / "blobs", names, {**BERT, **config}), place / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for path in whole.iterdir():
        (snapshot / path.name).symlink_to(path)
    return snapshot


def line_of(found: list[Model], name: str) -> Model:
    (one,) = [one for one in found if one.name.endswith(name)]
    return one


def test_models_of_all_sources_are_found_with_what_they_are(alone: Path, tmp_path: Path) -> None:
    in_cache(alone, "owner/model", BODY + MLM)
    checkpoint(tmp_path / "mine" / "both", BODY + MLM + NSP)
    checkpoint(tmp_path / "mine" / "none", BODY)
    gguf(tmp_path / "mine" / "one.gguf")
    (tmp_path / "mine" / "notes").mkdir()
    blob, digest = tmp_path / "ollama" / "blobs", "d" * 64
    manifest = tmp_path / "ollama" / "manifests" / "registry" / "library" / "some"
    blob.mkdir(parents=True)
    manifest.mkdir(parents=True)
    gguf(blob / f"sha256-{digest}")
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}"}
    (manifest / "latest").write_text(json.dumps({"layers": [layer]}))
    found = models([str(tmp_path / "mine")])
    assert [(one.name.replace(f"{tmp_path}/", ""), one.source, one.family, one.scorers) for one in found] == [
        ("builtin:bert", "built-in", "bert", ["mlm", "nsp", "embed"]),
        ("builtin:gpt2", "built-in", "gpt2", ["causal", "embed"]),
        ("owner/model", "hub cache", "bert", ["mlm", "embed"]),
        ("ollama:some:latest", "Ollama", "llama", ["causal", "embed"]),
        ("mine/one.gguf", "file", "llama", ["causal", "embed"]),
        ("mine/both", "folder", "bert", ["mlm", "nsp", "embed"]),
        ("mine/none", "folder", "bert", ["embed"]),
    ]
    assert not any(one.broken for one in found)
    cached = line_of(found, "owner/model")
    assert cached.size == sum(path.stat().st_size for path in (alone / "models--owner--model" / "blobs").iterdir())
    assert (cached.weights, cached.dtype, cached.limit, cached.vocabulary) == (24, "F16", 64, 30)
    assert line_of(found, "one.gguf").weights == 4


T5 = ("token_embd.weight", "output.weight", "dec.blk.0.cross_attn_k.weight")


@pytest.mark.parametrize(
    ("said", "scorers", "why"),
    [
        ({"family": "qwen3"}, ["causal", "embed"], ""),
        ({"family": "t5", "tensors": T5}, ["seq2seq"], ""),
        ({"family": "griffin"}, [], "transformers cannot read griffin"),
        ({"family": ""}, [], "transformers cannot read a file without an architecture"),
        ({"family": "bert"}, [], "transformers cannot read bert"),
        ({"tensors": ()}, [], "no weights in the file"),
        ({"words": 0}, [], "no tokenizer in the file"),
    ],
)
def test_a_gguf_file_is_promised_to_no_scorer_that_would_refuse_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], said: dict[str, Any], scorers: list[str], why: str
) -> None:
    one = model(str(gguf(tmp_path / "m.gguf", **said)))
    assert (one.scorers, one.lacks, one.broken) == (scorers, why, "")
    assert run_command(["models", "list", one.name]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("\t" + (", ".join(scorers) or f"none: {why}"))
    assert list(one.doubts()) == ([f"no scorer is for it: {why}"] if why else [])


@pytest.mark.parametrize("family", ["m" * 1_000_000, "llama\x1b[31m", "羊驼"])
def test_an_architecture_that_is_no_short_name_is_a_broken_file_of_its_size(tmp_path: Path, family: str) -> None:
    path = gguf(tmp_path / "m.gguf", family)
    one = model(str(path))
    assert (one.broken, one.scorers, one.size) == ("an architecture that is no short name", [], path.stat().st_size)


def test_a_part_whose_others_are_missing_is_listed_with_its_size(tmp_path: Path) -> None:
    path = gguf(tmp_path / "m-00001-of-00002.gguf")
    one = model(str(path))
    assert "this part is not beside it" in one.broken
    assert one.size == path.stat().st_size


def test_a_type_of_any_length_is_shown_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = checkpoint(tmp_path / "m", BODY, {"model_type": "b" * 100_000})
    for command in ("list", "show"):
        assert run_command(["models", command, str(folder)]) == 0
        assert max(map(len, capsys.readouterr().out.splitlines())) < 400


def encoder(folder: Path, *parts: str) -> Path:
    """An encoder whose file lists parts of these names."""
    checkpoint(folder, BODY, {**BERT, "architectures": ["BertModel"]})
    (folder / "modules.json").write_text(json.dumps([{"type": f"sentence_transformers.models.{one}"} for one in parts]))
    return folder


def test_an_encoder_with_a_part_that_its_scorer_does_not_know_is_not_promised_to_it(tmp_path: Path) -> None:
    usual = model(str(encoder(tmp_path / "usual", "Transformer", "Pooling", "Normalize")))
    assert (usual.scorers, usual.strange) == (["embed"], {})
    odd = model(str(encoder(tmp_path / "odd", "Transformer", "Pooling", "WordWeights")))
    assert odd.scorers == []
    assert "not for scorer embed: modules.json has a WordWeights, which is not known here" in list(odd.doubts())


@pytest.mark.torch
def test_the_parts_that_a_list_promises_are_those_that_are_read(tmp_path: Path) -> None:
    from promptshot.scorers.checkpoints import sentences

    for part in (*kinds.KINDS["embed"].made_parts, "Dense", "CNN"):
        flaw = sentences.read(str(encoder(tmp_path / part, part)), {}).flaw
        assert bool(flaw) == (part not in kinds.KINDS["embed"].made_parts)


@pytest.mark.parametrize("said", ["{}", "[", "3", "[" * 100_000])
def test_a_file_of_parts_that_is_no_list_keeps_its_scorer_away_and_no_other(tmp_path: Path, said: str) -> None:
    folder = checkpoint(tmp_path / "m", BODY + MLM)
    (folder / "modules.json").write_text(said)
    one = model(str(folder))
    assert (one.scorers, one.broken) == (["mlm"], "")
    assert "not for scorer embed: modules.json holds no JSON list" in list(one.doubts())


def test_a_folder_may_be_a_model_itself_and_is_listed_once(tmp_path: Path) -> None:
    folder = str(checkpoint(tmp_path / "m", BODY + MLM))
    assert [one.name for one in models([folder, str(tmp_path), folder])][2:] == [folder]


BROKEN = {
    "no-config": lambda folder: (folder / "config.json").unlink(),
    "config-of-words": lambda folder: (folder / "config.json").write_text("hello"),
    "config-of-a-list": lambda folder: (folder / "config.json").write_text("[]"),
    "config-nested": lambda folder: (folder / "config.json").write_text("[" * 100_000),
    "config-too-large": lambda folder: (folder / "config.json").write_text(" " * (5 << 20)),
    "cut-short": lambda folder: (folder / "model.safetensors").write_bytes(
        (folder / "model.safetensors").read_bytes()[:-20]
    ),
    "no-weights": lambda folder: (folder / "model.safetensors").unlink(),
    "tensorflow": lambda folder: (folder / "model.safetensors").rename(folder / "tf_model.h5"),
}
SAID = {
    "no-config": "no config.json",
    "config-of-words": "config.json holds no JSON object",
    "config-of-a-list": "config.json holds no JSON object",
    "config-nested": "config.json holds no JSON object",
    "config-too-large": "config.json has more than 4 MiB",
    "cut-short": "model.safetensors is cut short",
    "no-weights": "no weights",
    "tensorflow": "weights for TensorFlow only",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_folder_is_one_line_of_the_list(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    checkpoint(tmp_path / "good", BODY + MLM)
    BROKEN[kind](checkpoint(tmp_path / "odd", BODY + MLM))
    assert run_command(["models", "list", str(tmp_path)]) == 0
    said = capsys.readouterr()
    lines = {Path(line.split("\t")[0]).name: line.split("\t") for line in said.out.splitlines()}
    assert lines["odd"][-1] == f"broken: {SAID[kind]}"
    assert lines["good"][-1] == "mlm, embed"
    assert said.err == ""
    assert run_command(["models", "show", str(tmp_path / "odd")]) == 0
    assert SAID[kind] in capsys.readouterr().out


ODD_CONFIGS: list[dict[str, Any]] = [
    {"model_type": 3, "architectures": "BertForMaskedLM"},
    {"model_type": "bert", "architectures": [None, 7, {"a": 1}], "id2label": []},
    {"model_type": "\x1b[31mbert\n", "architectures": ["a\tb"], "text_config": 3, "vocab_size": "many"},
    {"max_position_embeddings": -1, "vocab_size": 10**30, "text_config": [1]},
    {"max_position_embeddings": [1], "n_positions": None, "auto_map": {"AutoModel": "x.Y"}},
    {"architectures": {"a": 1}, "id2label": "x"},
]


@pytest.mark.parametrize("config", ODD_CONFIGS)
def test_whatever_a_config_says_is_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: dict[str, Any]
) -> None:
    checkpoint(tmp_path / "odd", BODY + MLM, config)
    (tmp_path / "odd" / "tokenizer_config.json").write_text('{"model_max_length": "x"}')
    (tmp_path / "odd" / "README.md").write_bytes(b"---\nlanguage: [\xff\n---\n")
    for command in (
        ["list", str(tmp_path)],
        ["show", str(tmp_path / "odd")],
        ["show", str(tmp_path / "odd"), "--json"],
    ):
        assert run_command(["models", *command]) == 0
        said = capsys.readouterr()
        assert said.err == ""
        assert "\x1b" not in said.out
    assert len(inventory.models([str(tmp_path)])) == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_pipes_and_links_to_nowhere_are_not_waited_for(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "m", BODY + MLM)
    for name in ("README.md", "tokenizer_config.json", "x.gguf", "model.safetensors.index.json"):
        os.mkfifo(folder / name)
    (folder / "lost").symlink_to(tmp_path / "nowhere")
    (folder / "itself").symlink_to(folder)
    one = model(str(folder))
    assert (one.scorers, one.languages, one.limit, one.broken) == (["mlm", "embed"], [], 64, "")
    piped = tmp_path / "p"
    piped.mkdir()
    os.mkfifo(piped / "config.json")
    (piped / "model.safetensors").write_bytes(b"")
    assert line_of(models([str(tmp_path)]), "/p").broken == "no config.json"


def test_pickled_weights_are_known_by_what_config_says_and_that_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = checkpoint(tmp_path / "m", BODY)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    one = model(str(folder))
    assert one.scorers == ["mlm"]
    assert not one.record({})["verified"]
    assert run_command(["models", "list", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("\tmlm (as config.json says)")
    assert any("--allow-pickle" in doubt for doubt in one.doubts())


@pytest.mark.parametrize(
    ("card", "languages"),
    [
        ("---\nlanguage: zh\nlicense: mit\n---\ntext", ["zh"]),
        ("---\nlicense: mit\nlanguage:\n- en\n- zh\n---\nlanguage: fr", ["en", "zh"]),
        ('---\nlanguage: ["en", pt-BR]\n---\n', ["en", "pt-BR"]),
        ("language: zh\n", []),
        ("---\nlicense: mit\n---\nlanguage: fr", []),
    ],
)
def test_languages_are_those_of_the_card(tmp_path: Path, card: str, languages: list[str]) -> None:
    folder = checkpoint(tmp_path / "m", BODY)
    (folder / "README.md").write_text(card)
    assert model(str(folder)).languages == languages


@pytest.mark.parametrize(
    ("config", "length"),
    [
        ({"max_position_embeddings": 514}, 510),
        ({"n_positions": 1024}, 510),
        ({"max_position_embeddings": 40}, 40),
        ({"text_config": {"max_position_embeddings": 99}}, 99),
        ({}, 510),
    ],
)
def test_the_limit_is_the_smaller_of_what_model_and_tokenizer_say(
    tmp_path: Path, config: dict[str, Any], length: int
) -> None:
    folder = checkpoint(tmp_path / "m", BODY, {"model_type": "bert", **config})
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 510}')
    assert model(str(folder)).limit == length


def test_templates_that_fit_are_those_of_its_scorers(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    in_cache(alone, "owner/model", BODY + MLM + NSP, architectures=None)
    templates = fitting()
    assert run_command(["models", "list", "--json"]) == 0
    listed = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert listed["owner/model"]["scorers"] == {kind: templates[kind] for kind in ("mlm", "nsp", "embed")}
    assert all(templates[kind] > 10 for kind in kinds.KINDS)
    assert run_command(["models", "list"]) == 0
    line = capsys.readouterr().out.splitlines()[2].split("\t")
    assert line[0] == "owner/model"
    assert line[4:] == [str(templates["mlm"] + templates["nsp"] + templates["embed"]), "mlm, nsp, embed"]


def test_a_model_is_shown_with_what_its_config_says_in_vain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = checkpoint(tmp_path / "m", BODY + NSP)
    assert run_command(["models", "show", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "heads       next-sentence head\n" in out
    assert (
        "note: its config.json says BertForMaskedLM, and its weights have no masked-LM head: it would be random" in out
    )


def test_an_albert_is_shown_with_the_head_that_stands_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["predictions.dense.weight", "sop_classifier.classifier.weight", "albert.pooler.weight"]
    folder = checkpoint(tmp_path / "m", names, {"model_type": "albert", "architectures": ["AlbertForPreTraining"]})
    assert run_command(["models", "show", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "heads       masked-LM head, sentence-order head\n" in out
    assert "--head sop makes scorer nsp ask its sentence-order head" in out


def test_a_revision_that_is_not_the_usual_one_is_told(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    in_cache(alone, "owner/model", BODY + MLM)
    (alone / "models--owner--model" / "refs" / "main").unlink()
    assert run_command(["models", "show", "owner/model"]) == 0
    assert f"revision {COMMIT} (--revision)" in capsys.readouterr().out


def test_names_that_are_not_here_are_one_line(alone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    in_cache(alone, "owner/model", BODY + MLM)
    said = failed(capsys, "models", "show", "owner/modle")
    assert said == "error: no model 'owner/modle' on this machine; did you mean 'owner/model'?"
    assert "no built-in model" in failed(capsys, "models", "show", "builtin:brt")
    assert "no model 'ollama:x' of Ollama" in failed(capsys, "models", "show", "ollama:x")
    assert failed(capsys, "models", "list", str(tmp_path / "nowhere")).startswith("error: no folder")
    (tmp_path / "text.txt").write_text("hello")
    assert "no folder" in failed(capsys, "models", "list", str(tmp_path / "text.txt"))


def test_models_of_the_cache_are_completed(alone: Path) -> None:
    in_cache(alone, "owner/model", BODY)
    found = completion.model(None, None, "own")  # type: ignore[arg-type]
    assert [item.value for item in found] == ["owner/model"]
    assert [item.type for item in completion.model(None, None, "./")] == ["dir"]  # type: ignore[arg-type]


def test_a_list_loads_no_torch_and_is_there_at_once(tmp_path: Path) -> None:
    code = f"""
import sys
from promptshot.cli import run_command
run_command(["models", "list", {str(tmp_path)!r}])
run_command(["models", "show", "builtin:bert"])
print(*[name for name in ("torch", "transformers", "huggingface_hub", "numpy") if name in sys.modules], file=sys.stderr)
"""
    checkpoint(tmp_path / "m", BODY + MLM)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stderr.strip() == ""
    assert "builtin:gpt2" in done.stdout
