"""Texts beyond a model's trained length, read whole with positions made of the learned ones (--long hierarchical)."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import reference
import torch
import transformers
from helpers import LENGTH, Tiny, failed, prompt_of, read_rows, rendered, template_of, write_rows
from reference import assert_agrees, lengthened
from tiny import SIZES, SPECIAL, build, electra, inference, reread, wordpiece
from tiny import encoder as body

from promptshot.classify.classifier import Classifier
from promptshot.classify.recipe import Recipe
from promptshot.cli import run_command
from promptshot.errors import ModelError, OptionError
from promptshot.prompts.library import verbalizer_of
from promptshot.scorers import load, load_tokenizer
from promptshot.scorers.checkpoints import positions
from promptshot.scorers.checkpoints.positions import Hierarchical
from promptshot.scorers.engine.base import TorchScorer
from promptshot.scoring import Long, ModelOptions, Prompt

pytestmark = pytest.mark.torch

MOST = 4 * LENGTH
WORDS = ["good", "体育新闻", "awful", "好"]
ENGLISH = "the movie was great and food awful but we liked town a lot of"
SOME = [*ENGLISH.split(" "), *"房间干净早餐好"]


def text_of(tokens: int, seed: int = 0) -> str:
    """Random words, each of one token or, to RoBERTa, some."""
    return " ".join(random.Random(seed).choices(SOME, k=tokens))


TEXTS = [text_of(n, n) for n in (3, 60, 85, 97, 110, 150, 191, 200, 240, 310, 340)]


def scorer(kind: str, tiny: Tiny, long: Long = "hierarchical", **options: Any) -> TorchScorer:
    made = load(kind, ModelOptions(tiny.name, long=long, **options))
    assert isinstance(made, TorchScorer)
    return made


def cloze(text: str) -> Prompt:
    return prompt_of([("it was ", "."), text], WORDS)


def of_clozes(tiny: Tiny, texts: Sequence[str], alpha: float = 0.4, offset: int = 0) -> list[list[float]]:
    """What the reference says of the clozes of some texts, by a model with more positions than any of them has."""
    model = lengthened(tiny.model, 2 * MOST, alpha, offset)
    segments = [[("it was ", "."), text] for text in texts]
    return [[reference.mlm(model, tiny.tokenizer, one, word) for word in WORDS] for one in segments]


@pytest.fixture(scope="module")
def truth(bert_mlm: Tiny) -> list[list[float]]:
    return of_clozes(bert_mlm, TEXTS)


# ------------------------------------------------------------------ the table


def test_positions_have_the_vectors_that_are_worked_out_by_hand() -> None:
    """p = (1, 3): u = (1, 13/3); the positions 2 and 3 have the digits 1 0 and 1 1."""
    table = torch.nn.Embedding.from_pretrained(torch.tensor([[7.0], [1.0], [3.0]]))
    found = Hierarchical(table, 1, 0.4)(torch.tensor([[0, 1, 2, 3, 4]]))
    assert found.flatten().tolist() == pytest.approx([7, 1, 3, 0.4 * 13 / 3 + 0.6, 13 / 3])
    other = Hierarchical(table, 1, 0.25)(torch.tensor([[3]]))  # u = (1, 11/3)
    assert other.item() == pytest.approx(0.25 * 11 / 3 + 0.75)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_learned_positions_stay_as_they_are_to_the_last_bit_also_beside_others(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    table = torch.nn.Embedding(40, 16, padding_idx=1, dtype=dtype)
    made = Hierarchical(table, 2, 0.4)
    rows = torch.arange(40)
    assert torch.equal(made(rows), table.weight)
    among = made(torch.cat([rows, torch.arange(40, 300)]))
    assert torch.equal(among[:40], table.weight)
    assert among.dtype == dtype
    assert made.weight.data_ptr() == table.weight.data_ptr()


def test_every_position_up_to_n_squared_has_a_vector_of_its_own() -> None:
    torch.manual_seed(0)
    found = Hierarchical(torch.nn.Embedding(7, 16), 0, 0.4)(torch.arange(49))
    assert (torch.cdist(found, found) + torch.eye(49)).min().item() > 0.1


# ------------------------------------------------------------------ scores


@pytest.mark.parametrize("batch_size", [None, 1, 3, 32])
def test_clozes_equal_the_reference_with_its_table_written_out(
    bert_mlm: Tiny, truth: list[list[float]], batch_size: int | None
) -> None:
    found = scorer("mlm", bert_mlm, batch_size=batch_size).score([cloze(text) for text in TEXTS])
    assert_agrees(found, truth)
    assert [one.beyond for one in found] == [len(text.split()) > LENGTH - 12 for text in TEXTS]
    assert not any(one.cut for one in found)


@pytest.mark.parametrize("options", [{"plain": True}, {"long_alpha": 0.2}, {"long_alpha": 0.7}, {"batch_budget": 40}])
def test_they_do_the_plain_way_and_with_another_alpha(bert_mlm: Tiny, options: dict[str, Any]) -> None:
    texts = [TEXTS[i] for i in (1, 4, 7)]
    found = scorer("mlm", bert_mlm, **options).score([cloze(text) for text in texts])
    assert_agrees(found, of_clozes(bert_mlm, texts, options.get("long_alpha", 0.4)))


def test_another_alpha_and_another_place_of_the_first_row_give_other_scores(bert_mlm: Tiny, roberta: Tiny) -> None:
    """These tests have teeth."""
    for tiny, wrong in ((bert_mlm, {"alpha": 0.41}), (roberta, {"offset": 0})):
        found = scorer("mlm", tiny).score([cloze(text_of(70, 2))])  # beyond RoBERTa's length too, in its bytes
        found += scorer("mlm", tiny).score([cloze(text_of(120, 1))])
        with pytest.raises(AssertionError):
            assert_agrees(found, of_clozes(tiny, [text_of(70, 2), text_of(120, 1)], **wrong))


@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_clozes_of_roberta_count_positions_from_its_third_row(roberta: Tiny, batch_size: int | None) -> None:
    texts = [text_of(n, n) for n in (4, 12, 30, 47, 61, 75, 90)]
    found = scorer("mlm", roberta, batch_size=batch_size).score([cloze(text) for text in texts])
    assert_agrees(found, of_clozes(roberta, texts, offset=2))
    assert {one.beyond for one in found} == {True, False}


def test_what_is_longer_than_four_times_is_cut_there(bert_mlm: Tiny) -> None:
    made = scorer("mlm", bert_mlm)
    (found,) = made.score([cloze(text_of(2 * MOST))])
    kept = made.plan(cloze(text_of(2 * MOST))).queries[-1].ids
    assert found.beyond
    assert found.cut
    assert len(kept) == MOST == made.limit


@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_next_sentences_equal_the_reference_also_where_the_word_has_the_place_of_a_hole(
    bert_nsp: Tiny, batch_size: int | None
) -> None:
    model = lengthened(bert_nsp.model, MOST)
    prompts, expected = [], []
    keys = {"scorer": "nsp", "text": ["{mask}", "{text}"], "fields": {"text": {"hole": "#idiom#"}}}
    for n in (5, 100, 180, 333):
        text, left, right = text_of(n, n), text_of(n // 2, n + 1), text_of(n // 3, n + 2)
        prompts.append(prompt_of([("这是", "新闻"), text], WORDS))
        expected.append([reference.nsp(model, bert_nsp.tokenizer, f"这是{word}新闻", text) for word in WORDS])
        prompts.append(rendered(keys, {"text": f"{left}#idiom#{right}"}, WORDS))
        holes = (reference.nsp_in_hole(model, bert_nsp.tokenizer, left, right, word, prefix=True) for word in WORDS)
        expected.append(list(holes))
    assert_agrees(scorer("nsp", bert_nsp, batch_size=batch_size).score(prompts), expected)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_entailment_equals_the_reference(tmp_path: Path, family: str) -> None:
    tiny = inference(tmp_path / "nli", family)
    model = lengthened(tiny.model, MOST, offset=2 if family == "roberta" else 0)
    texts = [text_of(n, n) for n in (5, 55, 72)] + ([text_of(222, 8)] if family == "bert" else [])
    prompts = [prompt_of([text, ("it is ", " news")], WORDS) for text in texts]
    pairs = [[(text, f"it is {word} news") for word in WORDS] for text in texts]
    expected = [[reference.nli(model, tiny.tokenizer, *pair, (2, 0))[0] for pair in of] for of in pairs]
    found = scorer("nli", tiny).score(prompts)
    assert_agrees(found, expected)
    assert found[-1].beyond
    assert not found[0].beyond


def test_vectors_equal_the_reference_and_the_length_that_a_folder_asks_for_is_no_bound(tmp_path: Path) -> None:
    said = {"pooling": {"pooling_mode_mean_tokens": True}, "transformer": {"max_seq_length": 30}}
    tiny = body(tmp_path / "e", "bert", ["Transformer", "Pooling"], **said)
    model = lengthened(tiny.model, MOST)
    texts = [text_of(n, n) for n in (9, 95, 130, 300)]
    prompts = [prompt_of([text, ("it was ", "")], WORDS) for text in texts]
    expected = [[reference.embed(model, tiny.tokenizer, text, f"it was {word}") for word in WORDS] for text in texts]
    assert scorer("embed", tiny, long="cut").limit == 30
    made = scorer("embed", tiny)
    assert_agrees(made.score(prompts), expected)
    assert made.limit == MOST == load_tokenizer(ModelOptions(tiny.name, long="hierarchical")).limit  # type: ignore[attr-defined]
    (vector,) = made.embed([texts[-1]])  # type: ignore[attr-defined]
    assert torch.allclose(
        torch.tensor(vector), reference.vector(model, tiny.tokenizer, texts[-1], "mean").float(), atol=1e-4
    )


def test_judgements_of_an_electra_equal_the_reference(tmp_path: Path) -> None:
    tiny = electra(tmp_path / "electra")
    texts = [text_of(n, n) for n in (7, 111, 280)]
    model = lengthened(tiny.model, MOST)
    segments = [[("it was ", "."), text] for text in texts]
    expected = [[reference.rtd(model, tiny.tokenizer, one, word) for word in WORDS] for one in segments]
    assert_agrees(scorer("rtd", tiny).score([cloze(text) for text in texts]), expected)


@pytest.mark.parametrize("name", ["bert_mlm", "roberta"])
def test_rows_that_fit_score_as_they_do_when_long_ones_are_cut_to_the_last_bit(
    name: str, request: pytest.FixtureRequest
) -> None:
    tiny = request.getfixturevalue(name)
    prompts = [cloze(text_of(n, n)) for n in (2, 9, 14, 20)]
    assert scorer("mlm", tiny).score(prompts) == scorer("mlm", tiny, long="cut").score(prompts)


def test_a_plain_scorer_that_becomes_a_quick_one_still_reads_as_much(bert_mlm: Tiny, truth: list[list[float]]) -> None:
    made = scorer("mlm", bert_mlm, plain=True).quick()
    assert (made.limit, made.trained) == (MOST, LENGTH)
    assert_agrees(made.score([cloze(text) for text in TEXTS]), truth)


# ------------------------------------------------------------------ how much


def test_the_limit_is_four_times_the_trained_length_or_what_the_user_says_up_to_its_square(bert_mlm: Tiny) -> None:
    for said, limit in ((None, MOST), (50, 50), (LENGTH, LENGTH), (700, 700), (LENGTH**2, LENGTH**2)):
        options = ModelOptions(bert_mlm.name, long="hierarchical", max_length=said)
        made = load("mlm", options)
        assert made.limit == limit == load_tokenizer(options).limit  # type: ignore[attr-defined]
    for make in (lambda options: load("mlm", options), load_tokenizer):
        with pytest.raises(OptionError, match=r"--max-length 9217: --long hierarchical makes at most 9,216 positions"):
            make(ModelOptions(bert_mlm.name, long="hierarchical", max_length=LENGTH**2 + 1))
    with pytest.raises(OptionError, match="--max-length 97: the model takes at most 96 tokens"):
        load("mlm", ModelOptions(bert_mlm.name, max_length=97))


def test_what_a_user_allows_beyond_four_times_is_read(bert_mlm: Tiny) -> None:
    text = text_of(5 * LENGTH)
    found = scorer("mlm", bert_mlm, max_length=6 * LENGTH).score([cloze(text)])
    assert_agrees(found, of_clozes(bert_mlm, [text]))


def test_details_tell_how_far_and_by_what(bert_mlm: Tiny) -> None:
    told = scorer("mlm", bert_mlm, long_alpha=0.3).details
    assert (told["max_length"], told["trained_length"], told["long_alpha"]) == (MOST, LENGTH, 0.3)
    assert "trained_length" not in scorer("mlm", bert_mlm, long="cut").details


# ------------------------------------------------------------------ which models


def masked(folder: Path, family: str, **sizes: Any) -> Tiny:
    """A tiny masked LM of a family with BERT's tokenizer."""
    made = wordpiece()
    config = getattr(transformers, f"{family}Config")(
        **{"vocab_size": made.get_vocab_size(), "max_position_embeddings": LENGTH, "pad_token_id": 0, **SIZES, **sizes}
    )
    return build(folder, getattr(transformers, f"{family}ForMaskedLM"), config, made, **SPECIAL)


@pytest.mark.parametrize(
    ("family", "sizes"),
    [
        ("Albert", {"embedding_size": 16}),
        ("DistilBert", {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}),
        ("Ernie", {}),
        ("SqueezeBert", {"embedding_size": 32}),
        ("MegatronBert", {}),
    ],
)
def test_other_families_with_a_table_equal_the_reference(tmp_path: Path, family: str, sizes: dict[str, Any]) -> None:
    tiny = masked(tmp_path / family, family, **sizes)
    texts = [text_of(n, n) for n in (11, 101, 205)]
    model = lengthened(tiny.model, MOST)
    model.config.type_vocab_size = getattr(model.config, "type_vocab_size", 1)
    segments = [[("it was ", "."), text] for text in texts]
    expected = [[reference.mlm(model, tiny.tokenizer, one, word) for word in WORDS] for one in segments]
    assert_agrees(scorer("mlm", tiny).score([cloze(text) for text in texts]), expected)


@pytest.mark.parametrize(
    ("family", "sizes"),
    [
        ("MPNet", {}),  # distances besides
        ("ConvBert", {"embedding_size": 32, "conv_kernel_size": 5}),  # convolutions besides
        ("DebertaV2", {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "type_vocab_size": 0}),  # both
        ("DebertaV2", {"relative_attention": True, "position_biased_input": False, "pos_att_type": ["c2p"]}),
        ("RoFormer", {"embedding_size": 32}),  # rotations
    ],
)
def test_families_to_which_something_else_tells_the_order_are_refused_with_what_to_do(
    tmp_path: Path, family: str, sizes: dict[str, Any]
) -> None:
    tiny = masked(tmp_path / family, family, **sizes)
    scorer("mlm", tiny, long="cut")
    with pytest.raises(
        ModelError, match=r"--long hierarchical: an? .* model has no learned positions .*--long windows"
    ):
        scorer("mlm", tiny)


@pytest.mark.parametrize(
    ("kind", "name"), [("causal", "gpt2"), ("causal", "llama"), ("seq2seq", "t5"), ("seq2seq", "bart")]
)
def test_so_are_models_of_other_kinds(kind: str, name: str, request: pytest.FixtureRequest) -> None:
    tiny = request.getfixturevalue(name)
    for make in (lambda options: load(kind, options), load_tokenizer):
        with pytest.raises(ModelError, match=r"--long hierarchical: .*; use --long windows"):
            make(ModelOptions(tiny.name, long="hierarchical"))


def test_a_bert_that_was_made_to_go_on_is_refused_too(tmp_path: Path) -> None:
    made = wordpiece()
    config = transformers.BertConfig(
        vocab_size=made.get_vocab_size(), max_position_embeddings=LENGTH, is_decoder=True, **SIZES
    )
    tiny = build(tmp_path / "d", transformers.BertLMHeadModel, config, made, **SPECIAL)
    scorer("causal", tiny, long="cut")
    with pytest.raises(ModelError, match="--long hierarchical"):
        scorer("causal", tiny)


# ------------------------------------------------------------------ options, runs and records


def recipe(**options: Any) -> Recipe:
    template = template_of(scorer="mlm", text="{mask}{text}", verbalizer={"labels": {"a": ["x"], "b": ["y"]}})
    return Recipe.of(template, verbalizer_of(template), "mlm", ModelOptions(**options))


@pytest.mark.parametrize("alpha", [0.5, 0, 1, -0.1, float("nan"), True, "0.4"])
def test_an_alpha_that_cannot_be_is_refused(alpha: Any) -> None:
    with pytest.raises(OptionError, match=f"--long-alpha {alpha}: it lies between 0 and 1"):
        recipe(long="hierarchical", long_alpha=alpha).check()


@pytest.mark.parametrize("long", ["cut", "windows"])
def test_an_alpha_is_for_this_way_alone_and_so_are_the_options_of_windows_for_theirs(long: Long) -> None:
    with pytest.raises(OptionError, match="--long-alpha is for --long hierarchical"):
        recipe(long=long, long_alpha=0.3).check()
    with pytest.raises(OptionError, match="--long-stride is for --long windows"):
        recipe(long="hierarchical", long_stride=3).check()


def test_the_identity_tells_the_way_and_the_alpha_that_counts() -> None:
    usual = ModelOptions(long="hierarchical").identity()
    assert usual == ModelOptions(long="hierarchical", long_alpha=0.4).identity()
    assert usual != ModelOptions(long="hierarchical", long_alpha=0.3).identity()
    assert "long" not in ModelOptions().identity()
    assert "long_alpha" not in ModelOptions().identity()


def run(model: Tiny, source: str, *more: str) -> int:
    given = ["classify", "-t", "{mask} {text}", "--labels", "up=good,down=bad", "-m", model.name, source]
    return run_command([*given, "--long", "hierarchical", *more])


def test_a_run_tells_how_many_rows_were_read_beyond_and_keeps_it(
    bert_mlm: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_rows(tmp_path / "rows.jsonl", [{"text": text, "label": "up"} for text in TEXTS])
    out = str(tmp_path / "out.jsonl")
    assert run(bert_mlm, source, "-o", out, "--summary", str(tmp_path / "s.json")) == 0
    beyond = sum(len(text.split()) > LENGTH - 3 for text in TEXTS)
    assert f"{beyond} rows were read beyond the 96 tokens that the model was trained with" in capsys.readouterr().err
    record = json.loads(Path(f"{out}.run.json").read_text(encoding="utf-8"))
    assert record["machine"]["trained_length"] == LENGTH
    assert record["machine"]["long_alpha"] == 0.4
    assert json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))["rows_beyond"] == beyond
    model = lengthened(bert_mlm.model, MOST)
    for row in read_rows(out):
        score = reference.mlm(model, bert_mlm.tokenizer, [("", " " + row["text"])], "good")
        assert abs(row["word_scores"]["good"] - score) < 1e-4


def test_a_run_goes_on_with_the_same_alpha_only(
    bert_mlm: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_rows(tmp_path / "rows.jsonl", [{"text": text} for text in TEXTS[:5]])
    out = str(tmp_path / "out.jsonl")
    assert run(bert_mlm, source, "-o", out, "-n", "2") == 0
    capsys.readouterr()
    before = Path(out).read_bytes()
    assert run(bert_mlm, source, "-o", out, "--long-alpha", "0.3") != 0
    assert "long" in capsys.readouterr().err
    assert Path(out).read_bytes() == before
    assert run(bert_mlm, source, "-o", out, "--long-alpha", "0.4") == 0


def test_the_command_line_refuses_in_one_line_what_cannot_be(gpt2: Tiny, tmp_path: Path, capsys: Any) -> None:
    source = write_rows(tmp_path / "rows.jsonl", [{"text": "good"}])
    given = ["classify", "-t", "{text} {mask}", "--scorer", "causal", "--labels", "a,b", "-m", gpt2.name, source]
    line = failed(capsys, *given, "--long", "hierarchical")
    assert "a gpt2 model has no learned positions that can go on; use --long windows" in line


def test_a_classifier_in_python_reads_a_long_text_whole(bert_mlm: Tiny) -> None:
    options: dict[str, Any] = {"model": bert_mlm.name, "scorer": "mlm", "labels": {"up": ["good"], "down": ["bad"]}}
    whole = Classifier.load("{mask} {text}", **options, long="hierarchical")
    text = text_of(200, 3)
    found = whole.predict({"text": text})
    model = lengthened(bert_mlm.model, MOST)
    expected = reference.mlm(model, bert_mlm.tokenizer, [("", " " + text)], "good")
    assert found.beyond
    assert abs(found.word_scores["good"] - expected) < 1e-4


def test_a_model_that_is_lengthened_already_stays_as_it_is(bert_mlm: Tiny) -> None:
    model = reread(bert_mlm, transformers.BertForMaskedLM).model
    positions.of(model).extend(200, 0.4)
    table = model.bert.embeddings.position_embeddings
    again = positions.of(model)
    again.extend(200, 0.4)
    assert model.bert.embeddings.position_embeddings is table
    assert again.trained == LENGTH
    assert model.bert.embeddings.position_ids.tolist() == [list(range(200))]
