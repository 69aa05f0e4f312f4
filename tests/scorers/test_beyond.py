"""Texts beyond the length that a model was trained on, with places made of two, or with distances within a window."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import reference
import torch
import transformers
from helpers import LENGTH, Tiny, prompt_of, shuffled, write_rows
from reference import Segment, assert_agrees
from tiny import SIZES, SPECIAL, build, reread, sentencepiece_bpe, wordpiece
from torch import nn

from promptshot import Classifier
from promptshot.cli import run_command
from promptshot.errors import OptionError, PromptshotError
from promptshot.scorers.causal import CausalScorer
from promptshot.scorers.checkpoints import beyond
from promptshot.scorers.checkpoints.beyond import Decomposed
from promptshot.scorers.mlm import MlmScorer
from promptshot.scorers.nsp import NspScorer
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


DISTANCES = {"relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0}
DISTANCES |= {"position_biased_input": False, "norm_rel_ebd": "layer_norm", "share_att_key": True}


@pytest.mark.parametrize("name", ["roformer", "deberta-v2"])
@pytest.mark.parametrize("batch_size", [None, 1, 3, 32])
def test_a_cloze_over_distances_equals_a_whole_mask(name: str, batch_size: int | None, tmp_path: Path) -> None:
    tiny = family(tmp_path / "model", name)
    made = scorer(tiny, long="local", batch_size=batch_size)
    lengthened = reread(tiny, type(tiny.model))
    beyond._lengthen(lengthened.model.base_model, 4 * LENGTH)
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
