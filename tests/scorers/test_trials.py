"""What is tried with a model when it is loaded: which rows may share a batch, and that nothing is read ahead."""

from __future__ import annotations

import json
import shutil
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import reference
import torch
import transformers
from helpers import LENGTH, ROWS, Tiny, prompt_of
from reference import assert_agrees
from tiny import SIZES, SPECIAL, bert_config, broken_tensors, build, byte_bpe, next_positions, no_mask, wordpiece

from promptshot.errors import ModelError
from promptshot.scorers import load
from promptshot.scorers.engine import packed
from promptshot.scorers.engine.base import TorchScorer
from promptshot.scorers.engine.batches import Batches
from promptshot.scorers.engine.packed import PackedLinear
from promptshot.scorers.engine.plans import Query
from promptshot.scoring import ModelOptions, Prompt

pytestmark = pytest.mark.torch

WORDS = ["good", "好", "体育新闻", "awful"]  # of different token counts
MOBILE = {"embedding_size": 32, "intra_bottleneck_size": 32, "true_hidden_size": 32, "num_feedforward_networks": 1}
# Families in which a token sees the padding of its row ...
MIXING: dict[str, dict[str, Any]] = {
    "MobileBert": {**SIZES, **MOBILE, "hidden_size": 64, "intermediate_size": 96},
    "ConvBert": {**SIZES, "embedding_size": 32, "conv_kernel_size": 5},
    "Nystromformer": {**SIZES},
    "Yoso": {**SIZES},
    "Funnel": {"block_sizes": [1, 1], "num_decoder_layers": 1, "d_model": 32, "n_head": 4, "d_head": 8, "d_inner": 48},
}
# ... and some in which it does not.
APART: dict[str, dict[str, Any]] = {"Bert": SIZES, "MPNet": SIZES, "SqueezeBert": {**SIZES, "embedding_size": 32}}


def scorer(kind: str, tiny: Tiny, **options: Any) -> TorchScorer:
    made = load(kind, ModelOptions(tiny.name, **options))
    assert isinstance(made, TorchScorer)
    return made


def encoder(folder: Path, family: str, sizes: dict[str, Any], head: str = "MaskedLM") -> Tiny:
    """A tiny model of a family with BERT's tokenizer."""
    made = wordpiece()
    config = getattr(transformers, f"{family}Config")(
        **{"vocab_size": made.get_vocab_size(), "max_position_embeddings": LENGTH, "pad_token_id": 0, **sizes}
    )
    return build(folder, getattr(transformers, f"{family}For{head}"), config, made, **SPECIAL)


def clozes() -> tuple[list[Prompt], list[list[Any]]]:
    """Prompts of very different lengths, and their segments for the reference."""
    cases: list[list[Any]] = [[("", row)] for row in ROWS] + [[(f"{row} It was ", ".")] for row in ROWS]
    return [prompt_of(case, WORDS) for case in cases], cases


@pytest.mark.parametrize("family", [*MIXING, *APART])
def test_a_cloze_scores_as_the_reference_whatever_stands_beside_it(family: str, tmp_path: Path) -> None:
    tiny = encoder(tmp_path, family, {**MIXING, **APART}[family])
    if not getattr(tiny.model.config, "type_vocab_size", 0):
        tiny.model.config.type_vocab_size = 0
    prompts, cases = clozes()
    expected = [[reference.mlm(tiny.model, tiny.tokenizer, case, word) for word in WORDS] for case in cases]
    for options in ({}, {"batch_size": 3}, {"batch_budget": 4000}, {"plain": True}):
        made = scorer("mlm", tiny, **options)
        assert_agrees(made.score(prompts), expected)
        told = family in MIXING and not options.get("plain")
        assert made.details.get("batches") == ("rows of one length (padding changes scores)" if told else None)


def test_a_pair_scores_as_the_reference_whatever_stands_beside_it(tmp_path: Path) -> None:
    tiny = encoder(tmp_path, "MobileBert", MIXING["MobileBert"], "NextSentencePrediction")
    prompts = [prompt_of([row, ("", "")], WORDS) for row in ROWS]
    expected = [[reference.nsp(tiny.model, tiny.tokenizer, row, word) for word in WORDS] for row in ROWS]
    made = scorer("nsp", tiny)
    assert_agrees(made.score(prompts), expected)
    assert made.details["batches"] == "rows of one length (padding changes scores)"


@pytest.mark.parametrize("kind", ["mlm", "nsp"])
def test_a_mask_that_is_lost_is_noticed_when_the_model_is_loaded(
    bert: Tiny, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    assert scorer(kind, bert).mates == "any"
    assert "batches" not in scorer(kind, bert).details
    broken_tensors(monkeypatch, next_positions)  # wrong, but the same alone and beside others
    assert scorer(kind, bert).mates == "any"
    broken_tensors(monkeypatch, no_mask)
    assert scorer(kind, bert).mates == "even"


def test_a_model_in_which_rows_of_a_batch_change_each_other_runs_them_one_by_one(
    bert_mlm: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = transformers.BertForMaskedLM.forward

    @wraps(forward)
    def crowded(self: Any, *args: Any, **inputs: Any) -> Any:
        found = forward(self, *args, **inputs)
        found.logits = found.logits * (1 + 0.1 * (len(found.logits) - 1))
        return found

    monkeypatch.setattr(transformers.BertForMaskedLM, "forward", crowded)
    made = scorer("mlm", bert_mlm)
    made.head.sparse = False  # type: ignore[attr-defined]
    assert made._mates() == "none"
    made.mates = "none"
    prompts, _ = clozes()
    assert [one.scores for one in made.score(prompts)] == [made.score([prompt])[0].scores for prompt in prompts]
    assert made.details["batches"] == "one row each (others change its scores)"


def test_even_batches_hold_rows_of_one_length_within_budget_and_size() -> None:
    lengths = [3, 9, 9, 4, 3, 9, 3, 4]
    queries = [Query([0] * n, (0,)) for n in lengths]
    for budget, most, sizes in ((1000, None, [3, 2, 3]), (1000, 2, [2, 1, 2, 2, 1]), (9, None, [1, 1, 1, 2, 3])):
        work, start, found = Batches(queries, lambda batch: [[0.0]] * len(batch), most, even=True), 0, []
        while start < work.total:
            end = work.cut(start, budget)
            found.append([len(queries[i].ids) for i in work.order[start:end]])
            start = end
        assert [len(batch) for batch in found] == sizes
        assert all(len(set(batch)) == 1 for batch in found)


# ------------------------------------------------------------------ causal models

BIG = {"hidden_size": 32, "num_hidden_layers": 2}
LEFT_TO_RIGHT: dict[str, dict[str, Any]] = {
    "Bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "Mamba": {**BIG, "state_size": 8},
    "Mamba2": {**BIG, "num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 2, "chunk_size": 8},
    "Rwkv": {**BIG, "attention_hidden_size": 32, "intermediate_size": 48},
    "Bamba": {
        **SIZES, "num_key_value_heads": 2, "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8,
        "mamba_n_groups": 2, "mamba_chunk_size": 8, "attn_layer_indices": [1],
    },
    "RecurrentGemma": {
        **SIZES, "num_key_value_heads": 1, "lru_width": 32, "block_types": ["recurrent", "attention"],
        "attention_window_size": 16,
    },
    "Mixtral": {**SIZES, "num_key_value_heads": 2, "num_local_experts": 4},
    "ProphetNet": {
        "hidden_size": 32, "num_decoder_layers": 2, "num_decoder_attention_heads": 4, "decoder_ffn_dim": 48,
        "num_encoder_layers": 1, "num_encoder_attention_heads": 4, "encoder_ffn_dim": 48, "is_decoder": True,
        "add_cross_attention": False, "is_encoder_decoder": False,
    },
}  # fmt: skip
BOTH_WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "BertGeneration": ("BertGenerationDecoder", {**SIZES, "is_decoder": False}),
    "CpmAnt": (
        "CpmAntForCausalLM",
        {"hidden_size": 32, "num_attention_heads": 4, "dim_head": 8, "dim_ff": 48, "num_hidden_layers": 2,
         "prompt_length": 4},
    ),
    "XLNet": ("XLNetLMHeadModel", {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48}),
}  # fmt: skip


def decoder(folder: Path, kind: type[Any], config: type[Any], keys: dict[str, Any]) -> Tiny:
    """A tiny model of a family with GPT-2's tokenizer."""
    made = byte_bpe(["<|endoftext|>"])
    names = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    made_config = config(vocab_size=made.get_vocab_size(), **names, **keys)
    return build(folder, kind, made_config, made, bos_token="<|endoftext|>", eos_token="<|endoftext|>")


@pytest.mark.parametrize("family", LEFT_TO_RIGHT)
def test_a_completion_scores_as_the_reference_whatever_stands_beside_it(family: str, tmp_path: Path) -> None:
    keys = LEFT_TO_RIGHT[family]
    kind, config = getattr(transformers, f"{family}ForCausalLM"), getattr(transformers, f"{family}Config")
    tiny = decoder(tmp_path, kind, config, keys)
    tiny.model.config.use_cache = False  # the reference goes on from nothing
    prompts = [prompt_of([(f"{row} It was ", "")], WORDS) for row in ROWS]
    context = [f"{row} It was " for row in ROWS]
    expected = [[reference.causal(tiny.model, tiny.tokenizer, text, word) for word in WORDS] for text in context]
    for options in ({}, {"batch_budget": 4000}, {"plain": True}):
        made = scorer("causal", tiny, **options)
        assert_agrees(made.score(prompts), expected)
        told = family == "ProphetNet" and not options.get("plain")
        assert made.details.get("batches") == ("rows of one length (padding changes scores)" if told else None)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("family", BOTH_WAYS)
def test_a_model_that_reads_later_tokens_too_is_no_causal_model(family: str, plain: bool, tmp_path: Path) -> None:
    name, keys = BOTH_WAYS[family]
    tiny = decoder(tmp_path, getattr(transformers, name), getattr(transformers, f"{family}Config"), keys)
    with pytest.raises(ModelError, match="reads in both directions: what follows a word would change its") as caught:
        scorer("causal", tiny, plain=plain)
    assert caught.value.where == tiny.name
    assert ("is_decoder: false" in caught.value.hint) == (family == "BertGeneration")


@pytest.mark.parametrize("plain", [False, True])
def test_a_bert_that_was_made_a_decoder_is_one(plain: bool, tmp_path: Path) -> None:
    tiny = decoder(
        tmp_path, transformers.BertGenerationDecoder, transformers.BertGenerationConfig, {**SIZES, "is_decoder": True}
    )
    expected = [reference.causal(tiny.model, tiny.tokenizer, "a good day it was ", word) for word in WORDS]
    found = scorer("causal", tiny, plain=plain).score([prompt_of([("a good day it was ", "")], WORDS)])
    assert_agrees(found, [expected])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("kind", ["mlm", "nsp", "causal"])
def test_rounding_in_half_precision_is_no_false_alarm(bert: Tiny, gpt2: Tiny, kind: str, dtype: str) -> None:
    made = scorer(kind, gpt2 if kind == "causal" else bert, dtype=dtype, plain=True)
    assert TorchScorer._mates(made) == "any"


def test_a_model_that_gives_other_scores_each_time_is_refused(gpt2: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = transformers.GPT2LMHeadModel.forward

    @wraps(forward)
    def noisy(self: Any, *args: Any, **inputs: Any) -> Any:
        found = forward(self, *args, **inputs)
        found.logits = found.logits + torch.randn_like(found.logits)
        return found

    monkeypatch.setattr(transformers.GPT2LMHeadModel, "forward", noisy)
    with pytest.raises(ModelError, match="this gpt2 model gives other scores each time it is run"):
        scorer("causal", gpt2)


# ------------------------------------------------------------------ models that cannot be run


@pytest.mark.parametrize("plain", [False, True])
def test_a_model_without_a_language_to_run_in_is_one_line_when_it_is_loaded(tmp_path: Path, plain: bool) -> None:
    made = wordpiece()
    config = transformers.XmodConfig(
        vocab_size=made.get_vocab_size(), max_position_embeddings=LENGTH + 2, languages=["xx_XX"], **SIZES
    )
    tiny = build(tmp_path, transformers.XmodForMaskedLM, config, made, **SPECIAL)
    with pytest.raises(ModelError, match=r"the model cannot be run: ValueError: .*language") as caught:
        scorer("mlm", tiny, plain=plain)
    assert caught.value.where == tiny.name
    assert "\n" not in str(caught.value)
    config.default_language = "xx_XX"
    config.save_pretrained(tmp_path)
    assert scorer("mlm", tiny, plain=plain).score([prompt_of([("", "a day")], ["good"])])[0].error is None


@pytest.mark.parametrize("error", [RuntimeError("shapes"), AssertionError("divisible"), KeyError("x")])
@pytest.mark.parametrize("kind", ["mlm", "nsp", "causal"])
def test_whatever_a_model_raises_when_it_is_tried_is_one_line(
    bert: Tiny, gpt2: Tiny, monkeypatch: pytest.MonkeyPatch, kind: str, error: Exception
) -> None:
    def broken(*args: Any, **inputs: Any) -> Any:
        raise error

    for body in (transformers.BertModel, transformers.GPT2Model):
        monkeypatch.setattr(body, "forward", broken)
    with pytest.raises(ModelError, match=f"the model cannot be run: {type(error).__name__}: "):
        scorer(kind, gpt2 if kind == "causal" else bert)


def test_a_family_that_reaches_for_the_weights_of_a_layer_keeps_its_layers(tmp_path: Path) -> None:
    sizes = {**MIXING["MobileBert"], "hidden_size": 128, "embedding_size": 64, "intermediate_size": 128}
    tiny = encoder(tmp_path, "MobileBert", sizes)  # its head joins the weights of two layers
    made = scorer("mlm", tiny)
    assert not any(isinstance(module, PackedLinear) for module in made.model.modules())
    prompts, cases = clozes()
    expected = [[reference.mlm(tiny.model, tiny.tokenizer, case, word) for word in WORDS] for case in cases]
    assert_agrees(made.score(prompts), expected)


def test_layers_are_put_back_where_the_whole_model_gives_other_numbers() -> None:
    if not packed.has_kernels(torch.ones(2, 2)):
        pytest.skip("torch is built without these kernels")
    made = transformers.BertModel(bert_config(wordpiece(), hidden_size=64, intermediate_size=96)).eval()
    before = {name: type(module) for name, module in made.named_modules()}
    numbers = iter(range(2))
    assert packed.pack(made, lambda: torch.tensor([float(next(numbers))])) == 0
    assert {name: type(module) for name, module in made.named_modules()} == before
    assert packed.pack(made, lambda: torch.zeros(1)) > 0


# ------------------------------------------------------------------ models that are not what they say


def test_a_model_that_draws_how_it_cuts_a_text_is_refused(tmp_path: Path) -> None:
    sizes = {
        "attn_layers": ["local", "lsh"],
        "hidden_size": 32,
        "num_attention_heads": 2,
        "attention_head_size": 16,
        "feed_forward_size": 48,
        "axial_pos_embds": False,
        "max_position_embeddings": 512,
        "is_decoder": False,
        "num_buckets": 4,
        "num_hashes": 1,
        "lsh_attn_chunk_length": 16,
        "local_attn_chunk_length": 16,
    }
    tiny = encoder(tmp_path / "reformer", "Reformer", sizes)
    with pytest.raises(ModelError, match="gives other scores each time it is run"):
        scorer("mlm", tiny)


@pytest.mark.parametrize("layers", [1, 0, -3])
def test_a_config_of_fewer_layers_than_the_weights_is_refused(layers: int, bert: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "fewer"
    shutil.copytree(bert.folder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": layers}))
    said = r"says -?\d+ layers" if layers < 1 else r"says 1 of 'encoder\.layer', and its weights have \d"
    with pytest.raises(ModelError, match=f"its config.json {said}"):
        load("mlm", ModelOptions(str(folder)))


@pytest.mark.parametrize("name", ["predictions.jsonl", "adapter_model.pt", "vocab_counts.tsv", "config_backup.tar"])
def test_a_large_file_that_no_library_reads_is_in_nobodys_way(name: str, bert: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    shutil.copytree(bert.folder, folder)
    with open(folder / name, "wb") as file:
        file.truncate(70 << 20)
    assert load("mlm", ModelOptions(str(folder)))
    with open(folder / "vocab.json", "wb") as file:
        file.truncate(70 << 20)
    with pytest.raises(ModelError, match="a file of 70 MiB"):
        load("mlm", ModelOptions(str(folder)))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no such system")
def test_a_link_to_a_file_of_the_system_is_refused(bert: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "linked"
    shutil.copytree(bert.folder, folder)
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    (folder / "special_tokens_map.json").symlink_to("/proc/self/status")
    with pytest.raises(ModelError, match=r"special_tokens_map\.json: a file of the system"):
        load("mlm", ModelOptions(str(folder)))
