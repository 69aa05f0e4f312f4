"""GGUF files: the scores of the checkpoint they were made from, and what is refused of them."""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("gguf")
pytest.importorskip("accelerate")
pytestmark = pytest.mark.torch

import tiny as tinies  # noqa: E402
from helpers import Tiny, put  # noqa: E402

from promptshot import gguf, shelf  # noqa: E402
from promptshot.classify.classifier import Classifier  # noqa: E402
from promptshot.classify.recipe import of_model  # noqa: E402
from promptshot.cli import run_command  # noqa: E402
from promptshot.errors import ModelError, NotFoundError  # noqa: E402
from promptshot.scorers import load, load_tokenizer  # noqa: E402
from promptshot.scoring import Kind, ModelOptions, Piece, Prompt  # noqa: E402

REAL = Path(os.environ.get("PROMPTSHOT_REAL", ""))
ROWS = ["a very long game 12 34", "the town , the food <|im_end|>", "体育新闻，很满意。"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return tinies.chat_llama(tmp_path_factory.mktemp("folder"))


@pytest.fixture(scope="module")
def file(made: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    (found,) = tinies.as_gguf(made, tmp_path_factory.mktemp("gguf") / "tiny.gguf")
    return found


def scores(model: str, **options: object) -> list[tuple[float, ...]]:
    prompts = [
        Prompt((Piece(Kind.FIELD, row), Piece(Kind.FIXED, " is"), Piece(Kind.MASK)), (" good", " awful", " 新"))
        for row in ROWS
    ]
    scorer = load("causal", ModelOptions(model, **options))  # type: ignore[arg-type]
    return [found.scores for found in scorer.score(prompts)]


def near(first: list[tuple[float, ...]], second: list[tuple[float, ...]], off: float = 1e-4) -> bool:
    pairs = [(a, b) for one, other in zip(first, second, strict=True) for a, b in zip(one, other, strict=True)]
    return len(pairs) == 9 and all(abs(a - b) <= off for a, b in pairs)


# ------------------------------------------------------------------ what is read


def test_a_file_gives_the_scores_of_the_checkpoint_it_was_made_from(made: Tiny, file: Path) -> None:
    assert near(scores(str(file)), scores(made.name))


def test_weights_in_half_precision_are_read_too(made: Tiny, tmp_path: Path) -> None:
    (half,) = tinies.as_gguf(made, tmp_path / "half.gguf", half=True)
    assert near(scores(str(half)), scores(made.name), 0.2)
    assert not near(scores(str(half)), scores(made.name), 0)


def test_a_split_file_is_put_together_whichever_part_is_named(made: Tiny, file: Path, tmp_path: Path) -> None:
    parts = tinies.as_gguf(made, tmp_path / "tiny.gguf", split=7)
    assert len(parts) == 3
    whole = scores(str(file))
    assert near(scores(str(parts[0])), whole, 0)
    assert near(scores(str(parts[2])), whole, 0)
    assert [Path(one.path) for one in of_model(str(parts[1]))] == parts


def test_a_folder_with_one_model_in_it_stands_for_the_file(made: Tiny, file: Path, tmp_path: Path) -> None:
    parts = tinies.as_gguf(made, tmp_path / "tiny.gguf", split=7)
    assert shelf.gguf_of(tmp_path) == parts
    assert near(scores(str(tmp_path)), scores(str(file)), 0)


def test_nothing_that_stands_beside_a_file_is_taken_for_its_own(made: Tiny, file: Path, tmp_path: Path) -> None:
    beside = put(tmp_path / "tiny.gguf", file.read_bytes())
    put(tmp_path / "tokenizer_config.json", json.dumps({"tokenizer_class": "BertTokenizer", "chat_template": "no"}))
    put(tmp_path / "config.json", json.dumps({"model_type": "bert"}))
    assert near(scores(str(beside)), scores(str(file)), 0)


def test_a_model_of_ollama_is_found_by_its_name(
    made: Tiny, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    put(tmp_path / "blobs" / ("sha256-" + "a" * 64), file.read_bytes())
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:" + "a" * 64}
    put(tmp_path / "manifests" / "anywhere" / "library" / "tiny" / "latest", json.dumps({"layers": [layer]}))
    assert shelf.scorer_of("ollama:tiny") == "causal"
    assert near(scores("ollama:tiny"), scores(str(file)), 0)


def test_the_tokenizer_and_the_template_for_chats_are_those_of_the_file(made: Tiny, file: Path) -> None:
    tokenizer = load_tokenizer(ModelOptions(str(file)))
    assert tokenizer.kinds == ["causal", "embed"]
    opened = tokenizer.encoder.tokenizer  # type: ignore[attr-defined]
    assert [opened.encode(row) for row in ROWS] == [made.tokenizer.encode(row) for row in ROWS]
    assert opened.chat_template == tinies.CHATML


def test_the_header_tells_the_scorer_without_torch(file: Path) -> None:
    header = gguf.read(file)
    assert (header.family, header.chats, header.quantized) == ("llama", True, False)
    assert shelf.scorer_of(str(file)) == "causal"


def test_the_fingerprint_is_of_what_the_file_says(made: Tiny, file: Path, tmp_path: Path) -> None:
    from promptshot.classify.recipe import folder_hash

    first = folder_hash(str(file))
    said = bytearray(file.read_bytes())
    assert first == folder_hash(str(put(tmp_path / "copy.gguf", bytes(said))))
    said[-1] ^= 1
    assert first != folder_hash(str(put(tmp_path / "other.gguf", bytes(said))))


def test_classify_guesses_a_template_and_tells_what_the_file_takes(
    made: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (half,) = tinies.as_gguf(made, tmp_path / "half.gguf", half=True)
    rows = put(tmp_path / "rows.jsonl", '{"text": "a good game", "label": "positive"}\n')
    assert run_command(["classify", str(rows), "--labels", "positive,negative", "-m", str(half), "-o", "-"]) == 0
    out, told = capsys.readouterr()
    assert json.loads(out)["prediction"] in ("positive", "negative")
    assert "en-sentiment-causal" in told
    assert "unpacked they take" in told


def test_doctor_takes_a_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_command(["doctor", "-m", str(file), "--scorer", "causal", "--json"])
    out, _ = capsys.readouterr()
    verdicts = {one["check"]: one["verdict"] for one in json.loads(out)["findings"]}
    assert verdicts["head"] == verdicts["fast = plain"] == verdicts["alone = in a batch"] == "ok"


# ------------------------------------------------------------------ what is refused


def refused(model: str) -> str:
    with pytest.raises(ModelError) as problem:
        load("causal", ModelOptions(model))
    assert "\n" not in str(problem.value)
    return str(problem.value)


def test_an_architecture_that_cannot_be_read_is_named(made: Tiny, tmp_path: Path) -> None:
    (odd,) = tinies.as_gguf(made, tmp_path / "odd.gguf", family="gargoyle")
    assert "a GGUF file of the architecture 'gargoyle', which transformers cannot read" in refused(str(odd))


def without(file: Path, key: bytes) -> bytes:
    """A file whose key is called otherwise."""
    said = file.read_bytes()
    assert key in said
    return said.replace(key, b"x" * len(key), 1)


def test_a_file_without_a_tokenizer_says_so_and_what_to_try(file: Path, tmp_path: Path) -> None:
    said = refused(str(put(tmp_path / "mute.gguf", without(file, b"tokenizer.ggml.tokens"))))
    assert said == f"{tmp_path}/mute.gguf: no tokenizer in the file; {gguf.ANEW}"


def test_what_a_library_says_of_a_gguf_file_ends_with_a_hint_for_such_files(file: Path, tmp_path: Path) -> None:
    said = refused(str(put(tmp_path / "odd.gguf", without(file, b"tokenizer.ggml.merges"))))
    assert said.endswith(f"; {gguf.ANEW}")


def test_a_file_that_is_not_there_is_called_a_file(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no model file '.*nowhere\.gguf'; check the path"):
        load("causal", ModelOptions(str(tmp_path / "nowhere.gguf")))


def test_a_missing_part_is_named(made: Tiny, tmp_path: Path) -> None:
    parts = tinies.as_gguf(made, tmp_path / "tiny.gguf", split=7)
    parts[1].unlink()
    assert f"this part is not beside it: {parts[1].name}" in refused(str(parts[0]))


def test_several_files_in_a_folder_are_named(file: Path, tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        put(tmp_path / name, file.read_bytes())
    assert f"2 GGUF files: a.gguf, b.gguf; name one: -m {tmp_path}/a.gguf" in refused(str(tmp_path))


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    assert "a file, and no GGUF file" in refused(str(put(tmp_path / "model.safetensors", b"0123456789")))


@pytest.mark.parametrize("package", ["gguf", "accelerate"])
def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    file: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # type: ignore[arg-type]
    assert f"needs the package {package}; pip install 'promptshot[gguf]'" in refused(str(file))


def at(place: int, form: str, value: int) -> Callable[[bytes], bytes]:
    def harm(said: bytes) -> bytes:
        return said[:place] + struct.pack(form, value) + said[place + struct.calcsize(form) :]

    return harm


HARMED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "no magic": (lambda said: b"GGUT" + said[4:], "does not begin with GGUF"),
    "empty": (lambda said: b"", "does not begin with GGUF"),
    "a version of tomorrow": (at(4, "<I", 9), "GGUF of version 9"),
    "the other byte order": (at(4, ">I", 3), "GGUF of version 50331648"),
    "2^60 tensors": (at(8, "<Q", 1 << 60), "tensors; 10,000 and 20,000 there may be"),
    "2^60 keys": (at(16, "<Q", 1 << 60), "keys and"),
    "a key of 2^60 bytes": (at(24, "<Q", 1 << 60), "a string of"),
    "a key of 1 MiB": (at(24, "<Q", 1 << 20), "ends within its header"),
    "half of it": (lambda said: said[: len(said) // 2], "too short for its tensor"),
    "half of the header": (lambda said: said[:3000], "ends within its header"),
    "the keys twice": (lambda said: _twice(said), "twice"),
}


def _twice(said: bytes) -> bytes:
    """The first key a second time behind itself."""
    (size,) = struct.unpack_from("<Q", said, 24)
    (text,) = struct.unpack_from("<Q", said, 24 + 8 + size + 4)
    end = 24 + 8 + size + 4 + 8 + text
    (keys,) = struct.unpack_from("<Q", said, 16)
    return said[:16] + struct.pack("<Q", keys + 1) + said[24:end] + said[24:]


@pytest.mark.parametrize("harm", HARMED)
def test_a_broken_file_is_a_line(file: Path, tmp_path: Path, harm: str) -> None:
    change, said = HARMED[harm]
    assert said in refused(str(put(tmp_path / "broken.gguf", change(file.read_bytes()))))


def test_a_header_that_asks_for_more_weights_than_there_are_is_refused(file: Path, tmp_path: Path) -> None:
    said = file.read_bytes()
    key = b"llama.feed_forward_length"
    place = said.index(key) + len(key) + 4
    broken = put(tmp_path / "broken.gguf", said[:place] + struct.pack("<I", 1 << 22) + said[place + 4 :])
    assert "its header asks for" in refused(str(broken))


# ------------------------------------------------------------------ tensors and their places


def with_tensors(path: Path, *tensors: tuple[str, tuple[int, ...], int, int], data: int = 1024) -> Path:
    """A GGUF file of tensors: name, axes, type, offset."""
    said = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 0))
    for name, axes, kind, offset in tensors:
        said += struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", len(axes))
        said += struct.pack(f"<{len(axes)}QIQ", *axes, kind, offset)
    return put(path, bytes(said) + bytes(-len(said) % 32 + data))


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ([("a", (64,), 0, 0), ("b", (64,), 0, 128)], "its tensors 'a' and 'b' lie over one another"),
        ([("b", (2, 3), 0, 64), ("a", (64,), 1, 0)], "its tensors 'a' and 'b' lie over one another"),
        ([("a", (257,), 0, 0)], "the file is too short for its tensor 'a'"),
        ([("a", (256, 8), 12, 0)], "the file is too short for its tensor 'a'"),  # 8 * 144 bytes
        ([("a", (1 << 40, 1 << 40, 1 << 40), 0, 0)], "the file is too short for its tensor 'a'"),
        ([("a", (100,), 12, 0)], "its tensor 'a' has rows of 100, in blocks of 256"),
        ([("a", (1,), 77, 0)], "its tensor 'a' has numbers of the unknown type 77"),
        ([("a" * 300, (1,), 0, 0)], "a tensor with a name of 300 characters"),
        ([("a", (1,), 0, 0), ("a", (1,), 0, 32)], "a tensor stands in it twice"),
    ],
)
def test_tensors_lie_in_the_file_each_in_a_place_of_its_own(
    tmp_path: Path, tensors: list[tuple[str, tuple[int, ...], int, int]], said: str
) -> None:
    with pytest.raises(gguf.NoGguf, match=said):
        gguf.read_all([with_tensors(tmp_path / "odd.gguf", *tensors)])


def test_tensors_may_follow_one_another_in_any_order_and_be_empty(tmp_path: Path) -> None:
    table = [("b", (256, 2), 12, 256), ("a", (64,), 0, 0), ("none", (0,), 0, 256), ("one", (), 0, 544)]
    header = gguf.read(with_tensors(tmp_path / "good.gguf", *table))
    assert [tensor.size for tensor in header.tensors] == [288, 256, 0, 4]


def test_the_tensors_of_all_parts_together_are_no_more_than_those_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [with_tensors(tmp_path / name, (name, (1,), 0, 0), (name + "2", (1,), 0, 32)) for name in "abc"]
    monkeypatch.setattr(gguf, "TENSORS", 5)
    with pytest.raises(gguf.NoGguf, match="6 tensors in its 3 parts; 5 there may be"):
        gguf.read_all(parts)


def test_sizes_and_architectures_are_those_of_the_libraries_that_read_the_file() -> None:
    import gguf as library

    from promptshot.scorers.checkpoints.gguf import families

    assert {int(kind): size for kind, size in library.GGML_QUANT_SIZES.items()} == gguf._PACKED
    own = {"general", "tokenizer", "gpt_oss", "minimax_m2", "qwen2_moe", "qwen3_moe"}  # no families, and other names
    assert families() - own == gguf.READABLE


# ------------------------------------------------------------------ real files


@pytest.mark.skipif(not REAL.name, reason="PROMPTSHOT_REAL names no folder of real checkpoints")
@pytest.mark.parametrize(
    ("name", "folder"), [("SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2"), ("gemma-3-270m-q4_k_m.gguf", "gemma3-270m")]
)
def test_real_files_give_the_scores_of_their_converted_folders(name: str, folder: str) -> None:
    if not ((REAL / "gguf" / name).is_file() and (REAL / folder).is_dir()):
        pytest.skip(f"no {name} there")
    rows = ["The rooms were clean, all 27 of them.", "We waited an hour for cold soup. <|im_end|>"]

    def found(model: Path) -> list[dict[str, float]]:
        classifier = Classifier.load("en-sentiment-causal", model=str(model))
        return [dict(one.word_scores) for one in classifier.predict(rows)]

    first, second = found(REAL / "gguf" / name), found(REAL / folder)
    assert first[0].keys() == second[0].keys()
    for one, other in zip(first, second, strict=True):
        assert [one[word] for word in one] == pytest.approx([other[word] for word in one], abs=1e-4)
