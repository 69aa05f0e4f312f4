"""Mixed precision: near float32, nearer than bfloat16, for every kind of scorer, whatever the batch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from helpers import Tiny, prompt_of
from tiny import build, byte_bpe
from torch import nn

from promptshot.classify.recipe import Recipe
from promptshot.errors import ModelError, OptionError
from promptshot.metrics import Tally
from promptshot.prompts import library
from promptshot.runs.result import Result
from promptshot.scorers import load
from promptshot.scorers.engine import mixed
from promptshot.scorers.engine.mixed import MixedLinear, mix
from promptshot.scoring import ModelOptions, Prompt

pytestmark = pytest.mark.torch

TEXTS = ("the room was great and we liked it", "the food was awful", "房间干净，早餐也不错", "a long game " * 6)
WORDS = ["good", "awful"]
REAL = Path(os.environ.get("PROMPTSHOT_REAL", ""))
KINDS = {
    "mlm": "bert_mlm",
    "nsp": "bert_nsp",
    "causal": "llama",
    "causal, gpt2": "gpt2",
    "seq2seq": "t5",
    "embed": "bert",
}


def prompts(kind: str) -> list[Prompt]:
    if kind in ("nsp", "embed"):
        return [prompt_of([text, ("it was ", "")], WORDS) for text in TEXTS]
    return [prompt_of([(f"{text} it was ", "")], WORDS) for text in TEXTS]


def margins(case: str, request: pytest.FixtureRequest, **options: Any) -> list[float]:
    kind = case.partition(",")[0]
    tiny: Tiny = request.getfixturevalue(KINDS[case])
    found = load(kind, ModelOptions(tiny.name, **options)).score(prompts(kind))
    assert all(scored.error is None for scored in found)
    return [scored.scores[0] - scored.scores[1] for scored in found]


def apart(one: list[float], other: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("case", KINDS)
def test_mixed_scores_are_near_and_nearer_than_those_of_bfloat16(case: str, request: pytest.FixtureRequest) -> None:
    exact = margins(case, request)
    near, rough = (apart(exact, margins(case, request, dtype=dtype)) for dtype in ("mixed", "bfloat16"))
    assert 0 < near < 0.1 * max(1.0, *map(abs, exact))
    assert near < rough


@pytest.mark.parametrize("case", KINDS)
def test_a_batch_moves_them_by_less_than_that(case: str, request: pytest.FixtureRequest) -> None:
    one, three, plain = (margins(case, request, dtype="mixed", **how) for how in
                         ({"batch_size": 1}, {"batch_size": 3}, {"plain": True}))  # fmt: skip
    bound = 0.05 * max(1.0, *map(abs, one))
    assert apart(one, three) < bound
    assert apart(one, plain) < bound


def test_the_built_in_model_moves_half_as_much_as_in_bfloat16_or_less() -> None:
    asked = [
        prompt_of([("", f"满意。{text}")], ["很", "不"])
        for text in ("房间干净", "又吵又脏", "早餐不错，下次还来", "太差了" * 20)
    ]
    found = {dtype: load("mlm", ModelOptions("builtin:bert", dtype=dtype)).score(asked)
             for dtype in ("float32", "mixed", "bfloat16")}  # fmt: skip
    said = {dtype: [one.scores[0] - one.scores[1] for one in of] for dtype, of in found.items()}
    assert 2 * apart(said["float32"], said["mixed"]) < apart(said["float32"], said["bfloat16"])


@pytest.mark.parametrize("packed", [True, False])
def test_a_layer_rounds_what_goes_in_and_what_comes_out(packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not packed:
        monkeypatch.setattr(mixed, "has_kernels", lambda parameter: False)
    torch.manual_seed(0)
    layer, states = nn.Linear(96, 64), torch.randn(2, 5, 96)
    made = MixedLinear(layer.weight.detach(), layer.bias.detach())
    given, weight = states.bfloat16().double(), layer.weight.detach().bfloat16().double()
    expected = (given @ weight.T).to(torch.bfloat16).double() + layer.bias.detach().double()
    assert made(states).dtype == torch.float32
    assert torch.allclose(made(states).double(), expected, atol=2e-2)
    assert torch.allclose(made(states), layer(states), atol=0.05)


def test_heads_and_embeddings_stay_as_they_are(bert: Tiny, gpt2: Tiny) -> None:
    for name, tiny in (("mlm", bert), ("causal", gpt2)):
        model = load(name, ModelOptions(tiny.name, dtype="mixed", plain=True)).model  # type: ignore[attr-defined]
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
        assert not isinstance(model.get_output_embeddings(), MixedLinear)
        assert sum(isinstance(module, MixedLinear) for module in model.modules()) >= 8


def test_the_record_says_so_and_another_name_is_refused(bert: Tiny) -> None:
    scorer = load("mlm", ModelOptions(bert.name, dtype="mixed"))
    assert scorer.details["dtype"] == "mixed"  # type: ignore[attr-defined]
    assert ModelOptions("x", dtype="mixed").identity() != ModelOptions("x").identity()
    with pytest.raises(OptionError, match=r"no precision 'mixt'; use auto, mixed, float32"):
        load("mlm", ModelOptions(bert.name, dtype="mixt"))


def test_a_model_without_layers_of_a_known_kind_has_none_mixed() -> None:
    assert mix(nn.Sequential(nn.Linear(80, 80))) == 0


def test_without_kernels_for_it_the_products_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    weight, bias, states = torch.randn(24, 16), torch.randn(24), torch.randn(5, 16)
    packed = MixedLinear(weight, bias)(states)
    monkeypatch.setattr("promptshot.scorers.engine.mixed.has_kernels", lambda *asked: False)
    plain = MixedLinear(weight, bias)
    assert plain.packed is None
    torch.testing.assert_close(plain(states), packed, atol=0.05, rtol=0.01)  # a unit in the last place of bfloat16


@pytest.mark.parametrize("dtype", ["mixed", "bfloat16"])
def test_a_processor_without_units_for_it_is_told(dtype: str) -> None:
    recipe = Recipe.of(library.template("zh-sentiment-mlm"), library.verbalizer("zh-satisfied"))
    result = Result(recipe=recipe, tally=Tally(["positive", "negative"]), fingerprint="", seconds=1.0)
    result.details = {"dtype": dtype, "device": "cpu"}
    assert [remark.line for remark in result.remarks() if remark.code == "precision"] == [
        f"this processor has no units for bfloat16, where --dtype {dtype} is slower than float32"
    ]
    for more in ({"bfloat16_units": True}, {"device": "cuda:0"}):
        result.details = {"dtype": dtype, "device": "cpu", **more}
        assert "precision" not in [remark.code for remark in result.remarks()]


def test_a_long_run_is_told_what_would_be_faster_where_the_processor_can() -> None:
    recipe = Recipe.of(library.template("zh-sentiment-mlm"), library.verbalizer("zh-satisfied"))
    result = Result(recipe=recipe, tally=Tally(["positive", "negative"]), fingerprint="", seconds=61.0)
    for details, told in (
        ({"dtype": "float32", "bfloat16_units": True}, True),
        ({"dtype": "mixed", "bfloat16_units": True}, False),
        ({"dtype": "float32"}, False),
    ):
        result.details = details
        assert [remark.code for remark in result.remarks()].count("precision") == told
    result.details, result.seconds = {"dtype": "float32", "bfloat16_units": True}, 59.0
    assert "precision" not in [remark.code for remark in result.remarks()]


def test_a_family_that_reaches_for_the_weights_of_layers_is_refused(tmp_path: Path) -> None:
    made = byte_bpe(["<s>", "</s>", "<pad>"])
    config = transformers.BloomConfig(
        vocab_size=made.get_vocab_size(), hidden_size=32, n_layer=2, n_head=4, slow_but_exact=True, pretraining_tp=2
    )
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    tiny = build(tmp_path / "bloom", transformers.BloomForCausalLM, config, made, **special)
    assert load("causal", ModelOptions(tiny.name)).score(prompts("causal"))[0].error is None
    for plain in (True, False):
        with pytest.raises(ModelError, match=r"cannot be run in mixed precision \(.*leave out --dtype mixed"):
            load("causal", ModelOptions(tiny.name, dtype="mixed", plain=plain))


@pytest.mark.skipif(not REAL.name, reason="PROMPTSHOT_REAL names no folder of real checkpoints")
def test_a_pretrained_causal_model_is_taken_and_moves_little() -> None:
    folder = str(REAL / "smollm2")
    asked = [prompt_of([(f"{text} It was ", "")], ["great", "terrible"]) for text in ("A dull film .", "We loved it .")]
    exact, near = (
        [one.scores[0] - one.scores[1] for one in load("causal", ModelOptions(folder, dtype=dtype)).score(asked)]
        for dtype in ("float32", "mixed")
    )
    assert 0 < apart(exact, near) < 0.2
