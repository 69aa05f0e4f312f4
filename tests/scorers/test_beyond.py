"""Texts beyond the length that a model was trained on, read with places made of two."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import reference
import torch
from helpers import LENGTH, Tiny, prompt_of, shuffled, write_rows
from reference import Segment, assert_agrees
from torch import nn

from promptshot import Classifier
from promptshot.cli import run_command
from promptshot.errors import OptionError, PromptshotError
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
