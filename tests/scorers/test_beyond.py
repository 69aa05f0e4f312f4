"""Texts beyond the length that a model was trained on, with places made of two, or with distances within a window."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import reference
import torch
import transformers
from helpers import LENGTH, Tiny, prompt_of, rendered, shuffled, template_of, write_rows
from reference import Segment, assert_agrees
from tiny import SIZES, SPECIAL, build, electra, inference, reread, sentencepiece_bpe, wordpiece
from tiny import encoder as body
from torch import nn
from transformers.models.roformer.modeling_roformer import RoFormerSinusoidalPositionalEmbedding

from promptshot import Classifier
from promptshot.classify.recipe import Recipe
from promptshot.cli import run_command
from promptshot.errors import OptionError, PromptshotError
from promptshot.prompts.library import verbalizer_of
from promptshot.scorers import load, load_tokenizer
from promptshot.scorers.causal import CausalScorer
from promptshot.scorers.checkpoints import beyond
from promptshot.scorers.checkpoints.beyond import Decomposed, decompose
from promptshot.scorers.embed import EmbedScorer
from promptshot.scorers.mlm import MlmScorer
from promptshot.scorers.nli import NliScorer
from promptshot.scorers.nsp import NspScorer
from promptshot.scorers.rtd import RtdScorer
from promptshot.scorers.seq2seq import Seq2seqScorer
from promptshot.scoring import ModelOptions, Prompt

pytestmark = pytest.mark.torch

WORDS = ["good", "体育新闻"]
BITS = ("the room was great , 很满意 ", "we liked the old town ", "房间干净，早餐也不错。", "a [SEP] b ")
LENGTHS = (1, 4, 9, 2, 14, 22, 7)  # of bits: three are beyond the 96 tokens of tiny models, one beyond twice that


def text_of(number: int, bits: int) -> str:
    return "".join(BITS[(number + i) % len(BITS)] for i in range(bits))


def cases() -> list[list[Segment]]:
    """Blanks before and behind texts within the trained length and beyond."""
    texts = [text_of(number, bits) for number, bits in enumerate(LENGTHS)]
    return [[("It was ", ". " + t)] if i % 2 else [(t + " It was ", ".")] for i, t in enumerate(texts)]


def prompts() -> list[Prompt]:
    return [prompt_of(case, WORDS) for case in cases()]


def scorer(tiny: Tiny, kind: Any = MlmScorer, **options: Any) -> Any:
    return kind.from_checkpoint(ModelOptions(tiny.name, **{"long": "hierarchical", **options}))


@pytest.fixture(params=["bert_mlm", "roberta"])
def tiny(request: pytest.FixtureRequest) -> Tiny:
    found: Tiny = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("alpha", [None, 0.25])
@pytest.mark.parametrize("batch_size", [None, 1, 3, 32])
def test_scores_equal_those_of_a_table_that_is_written_out(tiny: Tiny, batch_size: int | None, alpha: float) -> None:
    longer = reference.longer(tiny.model, LENGTH, 4 * LENGTH, alpha or 0.4)
    expected = [[reference.mlm(longer, tiny.tokenizer, case, word) for word in WORDS] for case in cases()]
    made = scorer(tiny, batch_size=batch_size, long_alpha=alpha)
    order = shuffled(len(expected))
    found = made.score([prompts()[i] for i in order])
    assert_agrees(found, [expected[i] for i in order])
    assert any(scored.beyond > LENGTH for scored in found)
    assert all(scored.cut == 0 for scored in found)


def test_pairs_are_read_so_too(bert_nsp: Tiny) -> None:
    longer = reference.longer(bert_nsp.model, LENGTH, 4 * LENGTH)
    texts = [text_of(number, bits) for number, bits in enumerate(LENGTHS)]
    expected = [[reference.nsp(longer, bert_nsp.tokenizer, t, f"It was {word}.") for word in WORDS] for t in texts]
    asked = [prompt_of([t, ("It was ", ".")], WORDS) for t in texts]
    assert_agrees(scorer(bert_nsp, NspScorer).score(asked), expected)


def test_rows_within_the_trained_length_score_as_without_it(tiny: Tiny) -> None:
    short = [prompt for prompt, bits in zip(prompts(), LENGTHS, strict=True) if bits < 5]
    found = scorer(tiny).score(short)
    assert found == scorer(tiny, long="cut").score(short)
    assert not any(scored.beyond for scored in found)


def test_places_of_a_table_stay_to_the_bit_and_others_follow_the_formula() -> None:
    torch.manual_seed(3)
    table = nn.Embedding(7, 4, padding_idx=1)  # two rows before the five places
    made = Decomposed(table, 2, 5, 0.4)
    assert torch.equal(made(torch.arange(7)), table(torch.arange(7)))
    p = table.weight[2:].double()
    u = [(row - 0.4 * p[0]) / 0.6 for row in p]
    found = made(torch.tensor([[2 + 13, 1, 2 + 24]]))[0]  # 13 = 2 * 5 + 3, the padding, 24 = 4 * 5 + 4
    assert torch.allclose(found[0].double(), 0.4 * u[2] + 0.6 * u[3], atol=1e-6)
    assert torch.equal(found[1], table.weight[1])
    assert torch.allclose(found[2].double(), 0.4 * u[4] + 0.6 * u[4], atol=1e-6)


def test_four_times_the_trained_length_is_read_and_more_where_it_is_asked_for(bert_mlm: Tiny) -> None:
    assert scorer(bert_mlm).limit == 4 * LENGTH
    assert scorer(bert_mlm, max_length=1000).limit == 1000
    assert scorer(bert_mlm, max_length=50).limit == 50
    assert scorer(bert_mlm).details["trained_length"] == LENGTH
    (found,) = scorer(bert_mlm, max_length=150).score([prompt_of([text_of(0, 40), ("It was ", ".")], WORDS)])
    assert found.error is None
    assert (found.beyond, found.cut > 100) == (150 - LENGTH, True)
    with pytest.raises(OptionError, match=r"--max-length 9217: --long hierarchical makes 9,216 places"):
        scorer(bert_mlm, max_length=LENGTH**2 + 1)


def test_the_quick_scorer_made_of_a_plain_one_agrees(bert_mlm: Tiny) -> None:
    plain = scorer(bert_mlm, plain=True)
    expected = [scored.scores for scored in plain.score(prompts())]
    assert_agrees(plain.quick().score(prompts()), expected)


@pytest.mark.parametrize("name", ["gpt2", "llama", "t5", "bart"])
def test_models_without_such_a_table_are_refused(name: str, request: pytest.FixtureRequest) -> None:
    tiny: Tiny = request.getfixturevalue(name)
    kind = "seq2seq" if name in ("t5", "bart") else "causal"
    with pytest.raises(OptionError, match=r"has no table of learned positions as BERT has.*windows"):
        Classifier.load("{text} It was {mask}", labels="good,bad", scorer=kind, model=tiny.name, long="hierarchical")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"long": "local", "long_alpha": 0.3}, "--long-alpha is for --long hierarchical"),
        ({"long": "local", "scorer": "fake"}, "the scorer 'fake' does not say what fits"),
        ({"long": "hierarchical", "long_alpha": 0.5}, "--long-alpha 0.5"),
        ({"long": "hierarchical", "long_alpha": 1.5}, "--long-alpha 1.5"),
        ({"long_alpha": 0.3}, "--long-alpha is for --long hierarchical"),
        ({"long": "hierarchical", "long_pool": "max"}, "--long-pool is for --long windows"),
        ({"long": "hierarchical", "scorer": "fake"}, "the scorer 'fake' does not say what fits"),
    ],
)
def test_what_does_not_belong_together_is_refused_in_one_line(
    options: dict[str, Any], line: str, bert_mlm: Tiny
) -> None:
    with pytest.raises(PromptshotError) as problem:
        Classifier.load("{text} It was {mask}", labels="good,bad", **{"model": bert_mlm.name, **options})
    assert line in str(problem.value)
    assert "\n" not in str(problem.value)


def test_a_run_says_how_many_rows_were_beyond_and_is_no_run_without_it(
    bert_mlm: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": text_of(i, bits), "label": "good"} for i, bits in enumerate(LENGTHS)]
    out = str(tmp_path / "out.jsonl")
    ask = ["classify", write_rows(tmp_path / "rows.jsonl", rows), "-t", "{text} It was {mask}", "-o", out]
    ask += ["--labels", "good,awful", "-m", bert_mlm.name, "--long", "hierarchical"]
    assert run_command(ask) == 0
    said = "rows were longer than the 96 tokens that the model was trained on, and read so (--long hierarchical)"
    assert said in " ".join(capsys.readouterr().err.split())
    record = json.loads(Path(f"{out}.run.json").read_text())
    assert record["rows_beyond"] == 2
    assert record["recipe"]["options"]["long"] == "hierarchical"
    assert run_command(ask) == 0  # it is done
    capsys.readouterr()
    assert run_command([*ask, "--long-alpha", "0.3"]) == 1
    assert "from a run that differs in long_alpha" in capsys.readouterr().err


MOST = 4 * LENGTH
FOUR = ["good", "体育新闻", "awful", "好"]
ENGLISH = "the movie was great and food awful but we liked town a lot of"
SOME = [*ENGLISH.split(" "), *"房间干净早餐好"]


def words(tokens: int, seed: int = 0) -> str:
    """Random words, each of a token or more."""
    return " ".join(random.Random(seed).choices(SOME, k=tokens))


def cloze(text: str) -> Prompt:
    return prompt_of([("it was ", "."), text], FOUR)


def of_clozes(tiny: Tiny, texts: Sequence[str], alpha: float = 0.4, trained: int = LENGTH) -> list[list[float]]:
    """What the reference says of them, by a model with more places than any of them has."""
    model = reference.longer(tiny.model, trained, 2 * MOST, alpha)
    segments: list[list[Segment]] = [[("it was ", "."), text] for text in texts]
    return [[reference.mlm(model, tiny.tokenizer, one, word) for word in FOUR] for one in segments]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_learned_positions_stay_as_they_are_to_the_last_bit_also_beside_others(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    table = nn.Embedding(40, 16, padding_idx=1, dtype=dtype)
    made = Decomposed(table, 2, 38, 0.4)
    rows = torch.arange(40)
    assert torch.equal(made(rows), table.weight)
    among = made(torch.cat([rows, torch.arange(40, 300)]))
    assert torch.equal(among[:40], table.weight)
    assert among.dtype == dtype
    assert made.weight.data_ptr() == table.weight.data_ptr()


def test_every_position_up_to_n_squared_has_a_vector_of_its_own() -> None:
    torch.manual_seed(0)
    found = Decomposed(nn.Embedding(7, 16), 0, 7, 0.4)(torch.arange(49))
    assert (torch.cdist(found, found) + torch.eye(49)).min().item() > 0.1


def test_another_alpha_and_another_place_of_the_first_row_give_other_scores(bert_mlm: Tiny, roberta: Tiny) -> None:
    """These tests have teeth."""
    for tiny, wrong in ((bert_mlm, {"alpha": 0.41}), (roberta, {"trained": LENGTH + 2})):
        found = scorer(tiny).score([cloze(words(70, 2))])  # beyond RoBERTa's length too, in its bytes
        found += scorer(tiny).score([cloze(words(120, 1))])
        with pytest.raises(AssertionError):
            assert_agrees(found, of_clozes(tiny, [words(70, 2), words(120, 1)], **wrong))


def test_what_is_longer_than_four_times_is_cut_there(bert_mlm: Tiny) -> None:
    made = scorer(bert_mlm)
    (found,) = made.score([cloze(words(2 * MOST))])
    kept = made.plan(cloze(words(2 * MOST))).queries[-1].ids
    assert found.beyond
    assert found.cut
    assert len(kept) == MOST == made.limit


@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_next_sentences_equal_the_reference_also_where_the_word_has_the_place_of_a_hole(
    bert_nsp: Tiny, batch_size: int | None
) -> None:
    model = reference.longer(bert_nsp.model, LENGTH, MOST)
    prompts, expected = [], []
    keys = {"scorer": "nsp", "text": ["{mask}", "{text}"], "fields": {"text": {"hole": "#idiom#"}}}
    for n in (5, 100, 180, 333):
        text, left, right = words(n, n), words(n // 2, n + 1), words(n // 3, n + 2)
        prompts.append(prompt_of([("这是", "新闻"), text], FOUR))
        expected.append([reference.nsp(model, bert_nsp.tokenizer, f"这是{word}新闻", text) for word in FOUR])
        prompts.append(rendered(keys, {"text": f"{left}#idiom#{right}"}, FOUR))
        holes = (reference.nsp_in_hole(model, bert_nsp.tokenizer, left, right, word, prefix=True) for word in FOUR)
        expected.append(list(holes))
    assert_agrees(scorer(bert_nsp, NspScorer, batch_size=batch_size).score(prompts), expected)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_entailment_equals_the_reference(tmp_path: Path, family: str) -> None:
    tiny = inference(tmp_path / "nli", family)
    model = reference.longer(tiny.model, LENGTH, MOST)
    texts = [words(n, n) for n in (5, 55, 72)] + ([words(222, 8)] if family == "bert" else [])
    prompts = [prompt_of([text, ("it is ", " news")], FOUR) for text in texts]
    pairs = [[(text, f"it is {word} news") for word in FOUR] for text in texts]
    expected = [[reference.nli(model, tiny.tokenizer, *pair, (2, 0))[0] for pair in of] for of in pairs]
    found = scorer(tiny, NliScorer).score(prompts)
    assert_agrees(found, expected)
    assert found[-1].beyond
    assert not found[0].beyond


def test_vectors_equal_the_reference_and_the_length_that_a_folder_asks_for_is_no_bound(tmp_path: Path) -> None:
    said = {"pooling": {"pooling_mode_mean_tokens": True}, "transformer": {"max_seq_length": 30}}
    tiny = body(tmp_path / "e", "bert", ["Transformer", "Pooling"], **said)
    model = reference.longer(tiny.model, LENGTH, MOST)
    texts = [words(n, n) for n in (9, 95, 130, 300)]
    prompts = [prompt_of([text, ("it was ", "")], FOUR) for text in texts]
    expected = [[reference.embed(model, tiny.tokenizer, text, f"it was {word}") for word in FOUR] for text in texts]
    assert scorer(tiny, EmbedScorer, long="cut").limit == 30
    made = scorer(tiny, EmbedScorer)
    found = made.score(prompts)
    assert_agrees(found, expected)
    lengths = [len(tiny.tokenizer(text)["input_ids"]) for text in texts]
    assert [one.beyond for one in found] == [max(0, length - LENGTH) for length in lengths]
    assert lengths[0] < LENGTH < lengths[1]
    assert made.limit == MOST == load_tokenizer(ModelOptions(tiny.name, long="hierarchical")).limit  # type: ignore[attr-defined]
    (vector,) = made.embed([texts[-1]])  # type: ignore[attr-defined]
    assert torch.allclose(
        torch.tensor(vector), reference.vector(model, tiny.tokenizer, texts[-1], "mean").float(), atol=1e-4
    )


def test_judgements_of_an_electra_equal_the_reference(tmp_path: Path) -> None:
    tiny = electra(tmp_path / "electra")
    texts = [words(n, n) for n in (7, 111, 280)]
    model = reference.longer(tiny.model, LENGTH, MOST)
    segments = [[("it was ", "."), text] for text in texts]
    expected = [[reference.rtd(model, tiny.tokenizer, one, word) for word in FOUR] for one in segments]
    assert_agrees(scorer(tiny, RtdScorer).score([cloze(text) for text in texts]), expected)


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
        ("Yoso", {}),  # whose table has two rows more, and its places begin behind them
    ],
)
def test_other_families_with_a_table_equal_the_reference(tmp_path: Path, family: str, sizes: dict[str, Any]) -> None:
    tiny = masked(tmp_path / family, family, **sizes)
    texts = [words(n, n) for n in (11, 101, 205)]
    model = reference.longer(tiny.model, LENGTH, MOST)
    model.config.type_vocab_size = getattr(model.config, "type_vocab_size", 1)
    segments = [[("it was ", "."), text] for text in texts]
    expected = [[reference.mlm(model, tiny.tokenizer, one, word) for word in FOUR] for one in segments]
    assert_agrees(scorer(tiny).score([cloze(text) for text in texts]), expected)


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
    scorer(tiny, long="cut")
    with pytest.raises(
        OptionError, match=r"--long hierarchical: an? .* model (has no table|knows places by more).*--long windows"
    ):
        scorer(tiny)


@pytest.mark.parametrize(
    ("kind", "name"), [("causal", "gpt2"), ("causal", "llama"), ("seq2seq", "t5"), ("seq2seq", "bart")]
)
def test_so_are_models_of_other_kinds(kind: str, name: str, request: pytest.FixtureRequest) -> None:
    tiny = request.getfixturevalue(name)
    for make in (lambda options: load(kind, options), load_tokenizer):
        with pytest.raises(OptionError, match=r"--long hierarchical: .*; use --long windows"):
            make(ModelOptions(tiny.name, long="hierarchical"))


def test_a_bert_that_was_made_to_go_on_is_refused_too(tmp_path: Path) -> None:
    made = wordpiece()
    config = transformers.BertConfig(
        vocab_size=made.get_vocab_size(), max_position_embeddings=LENGTH, is_decoder=True, **SIZES
    )
    tiny = build(tmp_path / "d", transformers.BertLMHeadModel, config, made, **SPECIAL)
    scorer(tiny, CausalScorer, long="cut")
    with pytest.raises(OptionError, match="a bert model that goes on with a text is not read so; use --long windows"):
        scorer(tiny, CausalScorer)
    assert "causal" not in load_tokenizer(ModelOptions(tiny.name, long="hierarchical")).kinds


def recipe(**options: Any) -> Recipe:
    template = template_of(scorer="mlm", text="{mask}{text}", verbalizer={"labels": {"a": ["x"], "b": ["y"]}})
    return Recipe.of(template, verbalizer_of(template), "mlm", ModelOptions(**options))


@pytest.mark.parametrize("alpha", [0.5, 0, 1, -0.1, float("nan"), True, "0.4"])
def test_an_alpha_that_cannot_be_is_refused(alpha: Any) -> None:
    with pytest.raises(OptionError, match=f"--long-alpha {alpha}: a share between 0 and 1 is wanted"):
        recipe(long="hierarchical", long_alpha=alpha).check()


def test_the_identity_tells_the_way_and_the_alpha_that_counts() -> None:
    usual = ModelOptions(long="hierarchical").identity()
    assert usual == ModelOptions(long="hierarchical", long_alpha=0.4).identity()
    assert usual != ModelOptions(long="hierarchical", long_alpha=0.3).identity()
    assert "long" not in ModelOptions().identity()
    assert "long_alpha" not in ModelOptions().identity()


def test_a_classifier_in_python_reads_a_long_text_whole(bert_mlm: Tiny) -> None:
    options: dict[str, Any] = {"model": bert_mlm.name, "scorer": "mlm", "labels": {"up": ["good"], "down": ["bad"]}}
    whole = Classifier.load("{mask} {text}", **options, long="hierarchical")
    text = words(200, 3)
    found = whole.predict({"text": text})
    model = reference.longer(bert_mlm.model, LENGTH, MOST)
    expected = reference.mlm(model, bert_mlm.tokenizer, [("", " " + text)], "good")
    assert found.beyond
    assert abs(found.word_scores["good"] - expected) < 1e-4


@pytest.mark.parametrize(("said", "alpha"), [(None, 0.4), (0.3, 0.3)])
def test_details_tell_the_alpha_that_counts(bert_mlm: Tiny, said: float | None, alpha: float) -> None:
    told = scorer(bert_mlm, long_alpha=said).details
    assert (told["max_length"], told["trained_length"], told["long_alpha"]) == (MOST, LENGTH, alpha)
    assert not {"trained_length", "long_alpha"} & {*scorer(bert_mlm, long="windows").details}


def test_a_model_that_is_lengthened_already_stays_as_it_is(bert_mlm: Tiny) -> None:
    model = reread(bert_mlm, transformers.BertForMaskedLM).model
    decompose(model, LENGTH, 200, 0.4)
    table = model.bert.embeddings.position_embeddings
    decompose(model, LENGTH, 200, 0.4)
    assert model.bert.embeddings.position_embeddings is table
    assert model.bert.embeddings.position_ids.tolist() == [list(range(200))]


def short_spoken(tiny: Tiny, folder: Path, tokens: int) -> Tiny:
    """The same checkpoint with a tokenizer that speaks of fewer tokens than the model has places."""
    shutil.copytree(tiny.folder, folder)
    said = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**said, "model_max_length": tokens}))
    return replace(tiny, folder=folder)


def test_all_places_of_a_table_count_as_learned_whatever_the_tokenizer_says(bert_mlm: Tiny, tmp_path: Path) -> None:
    tiny = short_spoken(bert_mlm, tmp_path / "m", 40)
    texts = [words(n, n) for n in (50, 200)]
    made = scorer(tiny)
    found = made.score([cloze(text) for text in texts])
    assert_agrees(found, of_clozes(bert_mlm, texts))
    assert (made.limit, made.trained, found[0].beyond) == (MOST, LENGTH, 0)


def test_a_text_that_is_only_longer_than_the_tokenizer_says_is_nothing_new(bert_mlm: Tiny, tmp_path: Path) -> None:
    made = scorer(short_spoken(bert_mlm, tmp_path / "m", 40), long="cut", max_length=90)
    (found,) = made.score([cloze(words(70))])
    assert (found.beyond, "trained_length" in made.details) == (0, False)


def test_preview_has_the_same_limit_and_the_same_complaints(bert_mlm: Tiny) -> None:
    for said, limit in ((None, MOST), (50, 50), (700, 700), (LENGTH**2, LENGTH**2)):
        options = ModelOptions(bert_mlm.name, long="hierarchical", max_length=said)
        assert load_tokenizer(options).limit == limit  # type: ignore[attr-defined]
    with pytest.raises(OptionError, match="--max-length 9300: --long hierarchical makes 9,216 places"):
        load_tokenizer(ModelOptions(bert_mlm.name, long="hierarchical", max_length=9300))


# ------------------------------------------------------------------ distances within a window


def family(folder: Path, name: str) -> Tiny:
    """A tiny model that counts distances."""
    made = wordpiece()
    size = {"vocab_size": made.get_vocab_size(), "max_position_embeddings": LENGTH, **SIZES}
    if name == "roformer":
        config = transformers.RoFormerConfig(**size, embedding_size=32)
        tiny = build(folder, transformers.RoFormerForMaskedLM, config, made, **SPECIAL)
        sines = tiny.model.roformer.encoder.embed_positions
        sines.weight.data = sines.create_weight()
        tiny.model.save_pretrained(folder)
        return tiny
    config = transformers.DebertaV2Config(**size, **DISTANCES)
    return build(folder, transformers.DebertaV2ForMaskedLM, config, made, **SPECIAL)


def sines(places: int, size: int) -> nn.Embedding:
    """RoFormer's table, number by number: sines of a place by ever longer waves, then their cosines."""
    waves = [1 / 10_000 ** (2 * i / size) for i in range(size // 2)]
    rows = [[turn(k * wave) for turn in (math.sin, math.cos) for wave in waves] for k in range(places)]
    table: nn.Embedding = RoFormerSinusoidalPositionalEmbedding(places, size)
    table.weight = nn.Parameter(torch.tensor(rows), requires_grad=False)
    return table


DISTANCES = {"relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0}
DISTANCES |= {"position_biased_input": False, "norm_rel_ebd": "layer_norm", "share_att_key": True}


@pytest.mark.parametrize("name", ["roformer", "deberta-v2"])
@pytest.mark.parametrize("batch_size", [None, 1, 3, 32])
def test_a_cloze_over_distances_equals_a_whole_mask(name: str, batch_size: int | None, tmp_path: Path) -> None:
    tiny = family(tmp_path / "model", name)
    made = scorer(tiny, long="local", batch_size=batch_size)
    lengthened = reread(tiny, type(tiny.model))
    if name == "roformer":
        lengthened.model.roformer.encoder.embed_positions = sines(4 * LENGTH, 8)
    near = reference.Near(lengthened.model, LENGTH)
    expected = [[reference.mlm(near, tiny.tokenizer, case, word) for word in WORDS] for case in cases()]
    assert_agrees(made.score(prompts()), expected)
    far = [[reference.mlm(lengthened.model, tiny.tokenizer, case, word) for word in WORDS] for case in cases()[4:6]]
    assert max(abs(a - b) for x, y in zip(far, expected[4:6], strict=True) for a, b in zip(x, y, strict=True)) > 1e-3


CONTEXTS = [text_of(number, bits) + "It was " for number, bits in enumerate(LENGTHS)]


def asked_behind() -> list[Prompt]:
    """Prompts of which two share more than they see, behind the same beginning."""
    return [prompt_of([(context, "")], WORDS) for context in [*CONTEXTS, CONTEXTS[5][:-7] + "This is "]]


def behind(model: Any, tokenizer: Any) -> list[list[float]]:
    contexts = [*CONTEXTS, CONTEXTS[5][:-7] + "This is "]
    return [[reference.causal(model, tokenizer, context, word) for word in WORDS] for context in contexts]


@pytest.mark.parametrize("options", [{}, {"batch_size": 1}, {"batch_size": 3}, {"batch_budget": 7}, {"plain": True}])
def test_a_causal_model_sees_as_far_as_it_was_trained(llama: Tiny, options: dict[str, Any]) -> None:
    made = scorer(llama, CausalScorer, long="local", **options)
    assert_agrees(made.score(asked_behind()), behind(reference.Near(llama.model, LENGTH), llama.tokenizer))
    assert made.limit == 4 * LENGTH


def test_that_is_what_a_model_with_such_a_window_does_by_itself(tmp_path: Path) -> None:
    made = sentencepiece_bpe()
    size = {"vocab_size": made.get_vocab_size(), "num_key_value_heads": 2, "max_position_embeddings": LENGTH, **SIZES}
    config = transformers.MistralConfig(**size, sliding_window=None)
    special = {"bos_token": "<s>", "unk_token": "<unk>", "model_max_length": LENGTH}
    tiny = build(tmp_path / "model", transformers.MistralForCausalLM, config, made, **special)
    config.sliding_window = LENGTH
    windowed = transformers.MistralForCausalLM.from_pretrained(tiny.name, config=config).eval()
    found = scorer(tiny, CausalScorer, long="local").score(asked_behind())
    assert_agrees(found, behind(windowed, tiny.tokenizer))
    tokens = [1 + max(len(reference.encode(tiny.tokenizer, context + word)) for word in WORDS) for context in CONTEXTS]
    assert [scored.beyond for scored in found[:-1]] == [max(0, count - LENGTH) for count in tokens]


@pytest.mark.parametrize("name", ["bert_mlm", "roberta", "gpt2"])
def test_models_that_count_places_are_refused(name: str, request: pytest.FixtureRequest) -> None:
    tiny: Tiny = request.getfixturevalue(name)
    kind = "causal" if name == "gpt2" else "mlm"
    with pytest.raises(OptionError, match=r"counts places from the beginning of a text, not distances.*windows"):
        Classifier.load("{text} It was {mask}", labels="good,bad", scorer=kind, model=tiny.name, long="local")


def test_a_model_that_obeys_no_mask_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = family(tmp_path / "model", "roformer")
    monkeypatch.setattr(beyond._Band, "near", lambda self, mask: torch.ones(1, dtype=torch.bool))
    with pytest.raises(OptionError, match="which takes no mask of its own"):
        scorer(tiny, long="local")


def test_rows_within_the_trained_length_are_read_as_ever(llama: Tiny, tmp_path: Path) -> None:
    short = [prompt for prompt, bits in zip(asked_behind(), LENGTHS, strict=False) if bits < 5]
    cut = scorer(llama, CausalScorer, long="cut").score(short)
    assert scorer(llama, CausalScorer, long="local").score(short) == cut
    tiny = family(tmp_path / "model", "deberta-v2")
    asked = [prompt for prompt, bits in zip(prompts(), LENGTHS, strict=True) if bits < 5]
    assert scorer(tiny, long="local").score(asked) == scorer(tiny, long="cut").score(asked)


@pytest.mark.parametrize("name", ["EuroBert", "NomicBert"])
def test_encoders_whose_rotation_depends_on_the_length_are_refused(name: str, tmp_path: Path) -> None:
    made = wordpiece()
    config_of = getattr(transformers, f"{name}Config", None)
    if config_of is None:
        pytest.skip(f"this transformers has no {name}")
    size = {"vocab_size": made.get_vocab_size(), "max_position_embeddings": LENGTH, "pad_token_id": 0, **SIZES}
    for kind, taken in (("default", True), ("dynamic", False)):
        config = config_of(**size, rope_parameters={"rope_theta": 10000.0, "rope_type": kind, "factor": 2.0})
        tiny = build(tmp_path / kind, getattr(transformers, f"{name}ForMaskedLM"), config, made, **SPECIAL)
        if taken:
            assert scorer(tiny, long="local").limit == 4 * LENGTH
        else:
            with pytest.raises(
                OptionError, match=rf"depends on the length, beyond {LENGTH} tokens; use --long windows"
            ):
                scorer(tiny, long="local")


def test_the_encoder_of_a_t5_is_read_so_too(t5: Tiny) -> None:
    asked = [prompt_of([(f"{text} It was ", ".")], WORDS) for text in (text_of(0, 2), text_of(1, 22), text_of(2, 9))]
    made = scorer(t5, Seq2seqScorer, long="local")
    wide = scorer(t5, Seq2seqScorer, long="cut", max_length=4 * LENGTH)
    encoder = wide.model.get_encoder()
    plain = encoder.forward

    def near(input_ids: torch.Tensor | None = None, attention_mask: Any = None, **others: Any) -> Any:
        size = attention_mask.shape[1]
        places = torch.arange(size)
        seen = ((places[:, None] - places).abs() < LENGTH) & attention_mask[:, None, :].bool()
        mask = (~seen[:, None]).float() * torch.finfo(torch.float32).min
        return plain(input_ids=input_ids, attention_mask=mask, **others)

    encoder.forward = near
    found, expected = made.score(asked), wide.score(asked)
    assert_agrees(found, [one.scores for one in expected])
    assert [one.beyond > 0 for one in found] == [False, True, True]
