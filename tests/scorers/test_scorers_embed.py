"""The scorer by vectors against the reference, on tiny encoders; and what folders of sentence encoders say."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
import tiny as tinies
import torch
from helpers import LENGTH, LONG, ROWS, Tiny, failed, prompt_of, put, read_rows, shuffled, write_rows
from reference import assert_agrees
from sklearn.decomposition import PCA
from tiny import broken_tensors, next_positions, no_mask

from promptshot.classify import fitting
from promptshot.classify.choosing import Wish
from promptshot.classify.classifier import Classifier
from promptshot.cli import run_command
from promptshot.errors import HeadError, InputError, ModelError, OptionError
from promptshot.rows.row import Row
from promptshot.scorers import load, load_tokenizer
from promptshot.scorers.checkpoints import sentences
from promptshot.scorers.embed import EmbedScorer
from promptshot.scoring import Comparing, Embedding, ModelOptions, Prompt
from promptshot.testing import check_scorer

pytestmark = pytest.mark.torch

LABELS = ["体育", "娱乐新闻", "a very long business", "good"]
FAMILIES = [name for name in tinies.INFERENCE if name != "bart"]
POOLINGS = ["mean", "cls", "first-last"]
MODES = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
LIBRARY = [[0.1302372, -0.0157728, -0.0367167, 0.0579864], [0.0141045, 0.0096871, 0.0650786, 0.0992564]]
REAL = Path(os.environ.get("PROMPTSHOT_REAL", "/nowhere")) / "minilm"
Pairs = list[tuple[str, str]]


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """An encoder of each family, without any head."""
    return tinies.encoder(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return tinies.encoder(tmp_path_factory.mktemp("body"))


def scorer(tiny: Tiny, **options: Any) -> EmbedScorer:
    return EmbedScorer.from_checkpoint(ModelOptions(tiny.name, **options))


def cases() -> list[tuple[Prompt, Pairs]]:
    """Prompts with the pairs of texts they stand for: the text first, the sentence first, and without a blank."""
    found: list[tuple[Prompt, Pairs]] = []
    for i, row in enumerate(ROWS):
        if i % 3 == 0:
            prompt = prompt_of([row, ("it is ", " news .")], LABELS)
            found.append((prompt, [(row, f"it is {label} news .") for label in LABELS]))
        elif i % 3 == 1:
            prompt = prompt_of([("这是一则", "新闻"), row], LABELS)
            found.append((prompt, [(f"这是一则{label}新闻", row) for label in LABELS]))
        else:
            found.append((prompt_of([row, ROWS[i - 1]], [""]), [(row, ROWS[i - 1])]))
    return found


def expected(tiny: Tiny, asked: Sequence[tuple[Prompt, Pairs]], *how: Any) -> list[list[float]]:
    return [[reference.embed(tiny.model, tiny.tokenizer, a, b, *how) for a, b in pairs] for _, pairs in asked]


def prompts() -> list[Prompt]:
    return [prompt for prompt, _ in cases()]


@pytest.mark.parametrize("batch_size", [None, 1, 3, 32])
def test_scores_equal_the_reference_for_every_family_and_batch_size(model: Tiny, batch_size: int | None) -> None:
    made = scorer(model, batch_size=batch_size)
    assert made.mates == "any"
    assert_agrees(made.score(prompts()), expected(model, cases()))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_pooling_equals_its_definition(model: Tiny, pooling: str) -> None:
    truth = expected(model, cases(), pooling)
    assert_agrees(scorer(model, pooling=pooling).score(prompts()), truth)
    assert_agrees(scorer(model, pooling=pooling, plain=True).score(prompts()), truth)


def test_poolings_differ(body: Tiny) -> None:
    for pooling in POOLINGS[1:]:
        with pytest.raises(AssertionError, match="is not"):
            assert_agrees(scorer(body, pooling=pooling).score(prompts()), expected(body, cases()))


def test_scores_depend_on_nothing_but_their_prompt(model: Tiny) -> None:
    order = [*shuffled(len(ROWS)), 0, 4, 4]
    truth = expected(model, cases())
    assert_agrees(scorer(model).score([prompts()[i] for i in order]), [truth[i] for i in order])


@pytest.mark.parametrize("name", ["gpt2", "llama", "roberta", "bert_mlm"])
def test_models_with_a_head_of_another_kind_are_encoders_too(name: str, request: pytest.FixtureRequest) -> None:
    tiny: Tiny = request.getfixturevalue(name)
    found = Tiny(tiny.folder, tiny.model.base_model, tiny.tokenizer)
    assert_agrees(scorer(found).score(prompts()), expected(found, cases()))


def test_only_the_first_position_goes_on_where_it_is_the_vector(body: Tiny) -> None:
    assert scorer(body, pooling="cls").last is not None
    assert scorer(body).last is None


@pytest.mark.parametrize("harm", [no_mask, next_positions])
def test_wrong_inputs_make_the_agreement_fail(body: Tiny, monkeypatch: pytest.MonkeyPatch, harm: Any) -> None:
    made = scorer(body)
    broken_tensors(monkeypatch, harm)
    with pytest.raises(AssertionError, match="is not"):
        assert_agrees(made.score(prompts()), expected(body, cases()))


def test_each_text_and_each_sentence_is_run_once(body: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    made, run = scorer(body), list[int]()
    answer = made.answer
    monkeypatch.setattr(made, "answer", lambda batch: run.append(len(batch)) or answer(batch))
    made.score([prompt_of([row, ("it is ", " news .")], LABELS) for row in [*ROWS, *ROWS]])
    assert sum(run) == len(ROWS) + len(LABELS)


def test_a_temperature_divides_cosines(body: Tiny) -> None:
    assert_agrees(scorer(body, temperature=0.5).score(prompts()), expected(body, cases(), "mean", 0.5))
    for scored in scorer(body, temperature=1.0).score(prompts()):
        assert max(map(abs, scored.scores)) <= 1 + 1e-9


def test_special_tokens_in_a_text_stay_text(model: Tiny) -> None:
    row = "a [SEP] b </s> c <s> d [CLS]"
    prompt = prompt_of([row, ("it is ", " </s>")], ["[SEP]", "good"])
    wanted = [(prompt, [(row, "it is [SEP] </s>"), (row, "it is good </s>")])]
    assert_agrees(scorer(model).score([prompt]), expected(model, wanted))


def test_a_long_text_is_cut_and_its_neighbour_is_not(body: Tiny) -> None:
    made = scorer(body, max_length=12)
    short, long = prompt_of(["good", ("it is ", "")], ["a"]), prompt_of([LONG, ("it is ", "")], ["a", "good"])
    one, other = made.score([short, long])
    kept = made.plan(long).fitted.pieces[0].text
    assert (one.cut, other.cut) == (0, len(body.tokenizer.tokenize(LONG)) - 10)
    assert LONG.startswith(kept)
    assert_agrees([other], expected(body, [(long, [(kept, "it is a"), (kept, "it is good")])]))


def test_a_sentence_that_is_too_long_fails_alone(body: Tiny) -> None:
    long = prompt_of(["a", ("good " * LENGTH, "")], ["a"])
    found = scorer(body).score([long, *prompts()])
    assert "the template alone takes" in str(found[0].error)
    assert_agrees(found[1:], expected(body, cases()))


def test_it_keeps_the_word_of_every_scorer(model: Tiny) -> None:
    check_scorer(scorer(model), "embed")


# ------------------------------------------------------------------ folders of sentence encoders


def cosine(one: Any, other: Any) -> float:
    return float(np.dot(one, other) / (np.linalg.norm(one) * np.linalg.norm(other)))


@pytest.mark.parametrize("mode", MODES)
def test_a_folder_says_how_its_states_are_pooled(mode: str, tmp_path: Path) -> None:
    said = {key: one == mode for key, one in sentences.MODES.items()}
    found = tinies.encoder(tmp_path, modules=["Transformer", "Pooling"], pooling=said)
    assert_agrees(scorer(found).score(prompts()), expected(found, cases(), mode))
    vectors = scorer(found).embed(ROWS)
    wanted = torch.stack([reference.vector(found.model, found.tokenizer, row, mode) for row in ROWS])
    assert torch.allclose(torch.tensor(np.stack(vectors)).double(), wanted, atol=1e-4)


def test_several_poolings_stand_one_behind_the_other(tmp_path: Path) -> None:
    found = tinies.encoder(tmp_path, modules=["Transformer", "Pooling"], pooling={"pooling_mode": ["cls", "max"]})
    (one,) = scorer(found).embed(["good day"])
    parts = [reference.vector(found.model, found.tokenizer, "good day", mode) for mode in ("cls", "max")]
    assert np.allclose(one, torch.cat(parts).numpy(), atol=1e-4)


def test_a_folder_may_normalize_and_its_vectors_have_length_one(tmp_path: Path) -> None:
    found = tinies.encoder(tmp_path, modules=["Transformer", "Pooling", "Normalize"])
    assert np.allclose(np.linalg.norm(np.stack(scorer(found).embed(ROWS)), axis=1), 1, atol=1e-6)
    assert_agrees(scorer(found).score(prompts()), expected(found, cases()))


def test_what_is_said_goes_before_what_the_folder_says(tmp_path: Path) -> None:
    found = tinies.encoder(tmp_path, modules=["Transformer", "Pooling"], pooling={"pooling_mode_max_tokens": True})
    assert_agrees(scorer(found, pooling="cls").score(prompts()), expected(found, cases(), "cls"))


def test_a_folder_may_have_a_length_small_letters_and_a_prompt(tmp_path: Path) -> None:
    own = {"prompts": {"query": "it is ", "document": "a "}, "default_prompt_name": "query"}
    said = {"max_seq_length": 20, "do_lower_case": True}
    found = tinies.encoder(tmp_path, "roberta", ["Transformer", "Pooling"], transformer=said, own=own)
    made = scorer(found)
    assert made.details["max_length"] == 20
    prompt = prompt_of(["GOOD Day", ("The ", "")], ["MOVIE"])
    wanted = [(prompt, [("it is good day", "it is the movie")])]
    assert_agrees(made.score([prompt]), expected(found, wanted))
    (vector,) = made.embed(["GOOD Day"])
    assert cosine(vector, reference.vector(found.model, found.tokenizer, "it is good day", "mean")) > 1 - 1e-6


@pytest.mark.parametrize(
    ("modules", "said", "why"),
    [
        (["Transformer", "Pooling", "Dense"], {}, "its module Dense is not known here; say --pooling mean, cls or"),
        (["Transformer", "Pooling"], {"pooling": {"pooling_mode": "median"}}, "its pooling median is not known here"),
        *(
            (["Transformer", "Pooling"], {"pooling": {"pooling_mode": odd}}, r"its pooling .* is not known here")
            for odd in ({"cls": True}, 3, 0, True, "", [], [["max"]], ["cls", None], {})
        ),
        (
            ["Transformer", "Pooling"],
            {"pooling": {"include_prompt": False}, "own": {"prompts": {"q": "Q: "}, "default_prompt_name": "q"}},
            "it pools without its prompt 'Q: ', which is not known here",
        ),
    ],
)
def test_what_is_not_known_of_a_folder_is_refused_by_name(
    modules: list[str], said: dict[str, Any], why: str, tmp_path: Path
) -> None:
    found = tinies.encoder(tmp_path, modules=modules, **said)
    with pytest.raises(ModelError, match=why):
        scorer(found)
    assert scorer(found, pooling="mean").score(prompts())[0].error is None


@pytest.mark.parametrize("said", ["{}", '[{"type": "a.Pooling", "path": "../x"}]', "[1]", "[", '[{"path": "/etc"}]'])
def test_modules_that_are_none_are_refused_in_one_line(said: str, tmp_path: Path) -> None:
    found = tinies.encoder(tmp_path, modules=["Transformer"])
    put(tmp_path / "modules.json", said)
    with pytest.raises(ModelError, match=r"modules\.json"):
        scorer(found)


@pytest.mark.skipif(not REAL.is_dir(), reason="PROMPTSHOT_REAL names no folder with minilm")
def test_a_real_sentence_encoder_has_the_vectors_that_the_library_gives() -> None:
    """The first numbers of two vectors, as sentence-transformers 6.2.0 gives them."""
    texts = ["The cat sat on the mat.", "Stocks fell sharply in early trading."]
    vectors = EmbedScorer.from_checkpoint(ModelOptions(str(REAL))).embed(texts)
    assert np.allclose([vector[:4] for vector in vectors], LIBRARY, atol=1e-5)


# ------------------------------------------------------------------ whitening


def texts_of(count: int) -> list[str]:
    words = LONG.split() + ROWS[6].split()
    return [" ".join(words[(i * 7 + j * (1 + i % 5)) % len(words)] for j in range(3 + i % 9)) for i in range(count)]


def whitened(tmp_path: Path, body: Tiny, texts: Sequence[str]) -> Classifier:
    path = write_rows(tmp_path / "texts.jsonl", [{"text": text} for text in texts])
    return Classifier.load("en-topic-embed", model=body.name, whiten=path, labels="sports,news")


def test_vectors_are_whitened_by_the_texts_of_a_file(body: Tiny, tmp_path: Path) -> None:
    texts = list(dict.fromkeys(texts_of(120)))
    assert len(texts) > 64
    (found,) = whitened(tmp_path, body, texts).predict([LONG])
    plain = [reference.vector(body.model, body.tokenizer, text, "mean").numpy() for text in texts]
    fitted = PCA(n_components=min(32, len(texts) // 4), whiten=True, svd_solver="full").fit(np.stack(plain))
    asked = [LONG, "A text about sports.", "A text about news."]
    text, *sentences = fitted.transform(
        [reference.vector(body.model, body.tokenizer, t, "mean").numpy() for t in asked]
    )
    wanted = [cosine(text, sentence) / 0.05 for sentence in sentences]
    assert [found.word_scores[word] for word in ("sports", "news")] == pytest.approx(wanted, abs=1e-3)


def test_too_few_texts_to_whiten_by_are_refused(body: Tiny, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="5 different texts, too few to whiten vectors by; give 64 or more"):
        whitened(tmp_path, body, ["a", "b", "c", "d", "e", "a"])


def test_a_scorer_without_vectors_cannot_be_whitened(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "texts.jsonl", [{"text": text} for text in texts_of(90)])
    with pytest.raises(OptionError, match="--whiten: the scorer 'mlm' has no vectors"):
        Classifier.load("en-topic-mlm", whiten=path)


def test_no_more_texts_are_taken_than_whitening_needs(
    body: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "WHITENED_BY", 70)
    texts = list(dict.fromkeys(texts_of(120)))
    few = whitened(tmp_path, body, texts[:70]).predict(LONG)
    assert whitened(tmp_path, body, texts).predict(LONG).word_scores == few.word_scores


def test_a_run_says_by_what_it_was_whitened(body: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", [{"text": text} for text in texts_of(120)])
    out = tmp_path / "out.jsonl"
    command = ["classify", rows, "-t", "en-topic-embed", "-m", body.name, "--whiten", rows, "-o", str(out)]
    assert run_command(command) == 0
    said = capsys.readouterr().err
    assert f"vectors are whitened by the texts of {rows}, the rows themselves" in said
    assert "(transductive)" in said
    record = json.loads((tmp_path / "out.jsonl.run.json").read_text())
    assert record["recipe"]["whiten"] == rows
    before = out.read_bytes()
    assert run_command(command) == 0
    assert out.read_bytes() == before
    assert run_command([*command[:6], "-o", str(out)]) == 1  # another run
    assert "--whiten" not in capsys.readouterr().out


# ------------------------------------------------------------------ commands and refusals


def test_a_folder_without_heads_is_compared_by_its_vectors_where_nothing_else_is_said(
    body: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Wish(model=body.name).kind == "embed"
    rows = write_rows(tmp_path / "rows.jsonl", [{"text": row} for row in ROWS if row.isascii()])
    out = tmp_path / "out.jsonl"
    assert run_command(["classify", rows, "--labels", "sports,politics", "-m", body.name, "-o", str(out)]) == 0
    assert "en-topic-embed" in capsys.readouterr().err
    record = json.loads((tmp_path / "out.jsonl.run.json").read_text())
    assert (record["machine"]["pooling"], record["machine"]["temperature"]) == ("mean", 0.05)
    assert len(read_rows(out)) == 6


def test_modules_say_so_whatever_the_architecture_is_called(gpt2: Tiny, tmp_path: Path) -> None:
    for path in gpt2.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert Wish(model=str(tmp_path)).kind == "causal"
    put(tmp_path / "modules.json", "[]")
    assert Wish(model=str(tmp_path)).kind == "embed"


def test_an_encoder_with_a_decoder_is_refused(tmp_path: Path) -> None:
    found = tinies.encoder(tmp_path, "bart")
    with pytest.raises(HeadError, match="a bart model is no encoder of texts by itself; use an encoder of sentences"):
        scorer(found)


def test_weights_of_the_body_must_be_there_and_those_of_a_pooler_need_not(bert_mlm: Tiny, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for path in bert_mlm.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "pooler" not in name}
    assert len(kept) < len(weights)
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert EmbedScorer.from_checkpoint(ModelOptions(str(tmp_path))).score(prompts())[0].error is None
    kept.pop("bert.encoder.layer.1.output.dense.weight")
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"weights of the body are not in the checkpoint: encoder\.layer\.1\."):
        EmbedScorer.from_checkpoint(ModelOptions(str(tmp_path)))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"pooling": "median"}, "no pooling 'median'; use mean, cls, first-last"),
        ({"temperature": -1.0}, "--temperature -1: cosines are divided by it"),
    ],
)
def test_what_cannot_be_is_refused(body: Tiny, options: dict[str, Any], why: str) -> None:
    with pytest.raises(OptionError, match=why):
        scorer(body, **options)


def test_poolings_are_for_vectors_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", [{"text": "good"}])
    told = failed(capsys, "classify", rows, "-t", "en-topic-mlm", "--pooling", "cls", "-q")
    assert told == "error: --pooling and --temperature are for vectors, and mlm has none; leave them out"


def test_it_is_of_use_where_vectors_of_texts_are_wanted(body: Tiny) -> None:
    made = load("embed", ModelOptions(body.name))
    assert isinstance(made, Embedding)
    assert isinstance(made, Comparing)
    assert made.embed([]) == []


def test_the_tokenizer_alone_tells_what_is_read(body: Tiny) -> None:
    found = load_tokenizer(ModelOptions(body.name))
    (told,) = found.tokenized("embed", [prompt_of(["good", ("it is ", " .")], ["a day"])])
    shown = [(token.text, token.segment) for token in told.tokens]
    assert [text for text, segment in shown if segment == 0] == ["[CLS]", "good", "[SEP]"]
    assert [text for text, segment in shown if segment == 1] == ["[CLS]", "it", "is", "a", "day", ".", "[SEP]"]


def test_a_row_that_no_tokenizer_knows_is_told(body: Tiny) -> None:
    (found,) = scorer(body).score([prompt_of([("it is ", ""), "\u1234\u1235"], ["good"])])
    assert found.unknown


def test_pairs_are_ordered_by_how_near_they_are(body: Tiny, tmp_path: Path) -> None:
    made = Classifier.load("en-same-embed", model=body.name)
    rows = [Row({"text_a": a, "text_b": b}) for a, b in pairwise(ROWS)]
    scores = made.scorer.score([made.task.prompt(row) for row in rows])
    wanted = [[reference.embed(body.model, body.tokenizer, a, b)] for a, b in pairwise(ROWS)]
    assert_agrees(scores, wanted)  # type: ignore[arg-type]
