"""Which heads a checkpoint holds, by the names of its tensors, is what loading it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from helpers import LENGTH
from tiny import SIZES, SPECIAL, albert, bert_config, build, deberta_v3, electra, inference, save_tokenizer, wordpiece

from promptshot import inventory, shelf
from promptshot.errors import HeadError
from promptshot.kinds import KINDS, stand_ins_of, usable
from promptshot.scorers.checkpoints.opening import load_checkpoint
from promptshot.scoring import ModelOptions
from promptshot.weights import config_of
from promptshot.weights import held as held_in

pytestmark = pytest.mark.torch

GPT: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": LENGTH}
CLASSIFIER = "ForSequenceClassification"
T5 = {"d_model": 32, "num_layers": 2, "num_heads": 4, "d_kv": 8, "d_ff": 48}
GROUPED = {**SIZES, "num_key_value_heads": 2}
# Family -> how its configuration differs from BERT's, and which of its classes are tried.
FAMILIES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "Bert": (SIZES, ("ForPreTraining", "ForMaskedLM", "ForNextSentencePrediction", CLASSIFIER, "Model")),
    "Roberta": (SIZES, ("ForMaskedLM", CLASSIFIER, "Model")),
    "XLMRoberta": (SIZES, ("ForMaskedLM", "Model")),
    "Albert": ({**SIZES, "embedding_size": 16}, ("ForPreTraining", "ForMaskedLM", "Model")),
    "Electra": ({**SIZES, "embedding_size": 16}, ("ForPreTraining", "ForMaskedLM", CLASSIFIER, "Model")),
    "DistilBert": ({"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}, ("ForMaskedLM", CLASSIFIER, "Model")),
    "DebertaV2": (SIZES, ("ForMaskedLM", CLASSIFIER, "Model")),
    "Deberta": (SIZES, ("ForMaskedLM", "Model")),
    "ModernBert": ({**SIZES, "pad_token_id": 0}, ("ForMaskedLM", CLASSIFIER, "Model")),
    "RoFormer": ({**SIZES, "embedding_size": 32}, ("ForMaskedLM", CLASSIFIER, "Model")),
    "Ernie": (SIZES, ("ForMaskedLM", "ForNextSentencePrediction", "ForPreTraining", "Model")),
    "MPNet": (SIZES, ("ForMaskedLM", "Model")),
    "ConvBert": ({**SIZES, "embedding_size": 32}, ("ForMaskedLM", "Model")),
    "T5": (T5, ("ForConditionalGeneration", "Model")),
    "MT5": (T5, ("ForConditionalGeneration", "Model")),
    "Bart": (
        {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
         "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48},
        ("ForConditionalGeneration", CLASSIFIER, "Model"),
    ),
    "XLM": ({"emb_dim": 32, "n_layers": 2, "n_heads": 4}, ("WithLMHeadModel", "Model")),
    "GPT2": ({**GPT, "pad_token_id": 0}, ("LMHeadModel", CLASSIFIER, "Model")),
    "GPTNeoX": (SIZES, ("ForCausalLM", "Model")),
    "OPT": ({**SIZES, "ffn_dim": 48, "word_embed_proj_dim": 32}, ("ForCausalLM", "Model")),
    "Bloom": ({"hidden_size": 32, "n_layer": 2, "n_head": 4}, ("ForCausalLM", "Model")),
    "OpenAIGPT": (GPT, ("LMHeadModel", "Model")),
    "Mamba": ({"hidden_size": 32, "num_hidden_layers": 2}, ("ForCausalLM", "Model")),
    "EuroBert": ({**GROUPED, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}, ("ForMaskedLM", "Model")),
    "Llama": (GROUPED, ("ForCausalLM", "Model")),
    "Qwen3": ({**GROUPED, "head_dim": 8, "tie_word_embeddings": True, "pad_token_id": 0},
              ("ForCausalLM", CLASSIFIER, "Model")),
    "Gemma3Text": ({**GROUPED, "head_dim": 8}, ("ForCausalLM", "Model")),
    "Mistral": (GROUPED, ("ForCausalLM", CLASSIFIER, "Model")),
}  # fmt: skip
CLASSES = [f"{family}{kind}" for family, (_, kinds) in FAMILIES.items() for kind in kinds]
CLASS = {"Gemma3TextForCausalLM": "Gemma3ForCausalLM", "Gemma3TextModel": "Gemma3TextModel"}


def saved(folder: Path, name: str) -> Path:
    """A tiny checkpoint of a class, with BERT's tokenizer."""
    family = max((family for family in FAMILIES if name.startswith(family)), key=len)
    made = wordpiece()
    config = getattr(transformers, f"{family}Config")(
        **{"vocab_size": made.get_vocab_size(), "max_position_embeddings": LENGTH, **FAMILIES[family][0]}
    )
    torch.manual_seed(0)
    getattr(transformers, CLASS.get(name, name))(config).save_pretrained(folder)
    save_tokenizer(made, folder, model_max_length=LENGTH - 8, **SPECIAL)
    return folder


def loads(kind: str, folder: Path, **options: Any) -> bool:
    """Whether a scorer finds its head there."""
    try:
        load_checkpoint(KINDS[kind], ModelOptions(str(folder), **options))
    except HeadError:
        return False
    return True


def seen(folder: Path) -> list[str]:
    return [*usable(held_in(folder).tensors, config_of(folder))]


@pytest.mark.parametrize("name", CLASSES)
def test_names_say_what_loading_says(name: str, tmp_path: Path) -> None:
    folder = saved(tmp_path, name)
    of_words = [kind.name for kind in KINDS.values() if kind.weights]
    assert [kind for kind in seen(folder) if kind in of_words] == [kind for kind in of_words if loads(kind, folder)]


def test_of_every_kind_some_class_has_the_head_and_some_has_not(tmp_path: Path) -> None:
    """Or the test above would say little."""
    found = {name: set(seen(saved(tmp_path / name, name))) for name in ("BertForPreTraining", "BertModel", "GPT2Model")}
    assert found == {
        "BertForPreTraining": {"mlm", "nsp", "embed"}, "BertModel": {"embed"}, "GPT2Model": {"causal", "embed"}
    }  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), [
    ("BertForSequenceClassification", "mlm"), ("BartForSequenceClassification", "seq2seq"),
    ("BartForSequenceClassification", "mlm"), ("GPT2ForSequenceClassification", "causal"),
    ("Qwen3ForSequenceClassification", "causal"),
])  # fmt: skip
def test_a_model_that_was_trained_on_for_classes_of_its_own_is_for_no_scorer(
    name: str, kind: str, tmp_path: Path
) -> None:
    folder = saved(tmp_path, name)
    assert shelf.scorer_of(str(folder)) is None  # not even one that needs no head: it was made for something else
    with pytest.raises(HeadError) as caught:
        load_checkpoint(KINDS[kind], ModelOptions(str(folder)))
    assert "classes of its own (LABEL_0, LABEL_1" in caught.value.hint
    assert caught.value.hint.partition(" (promptshot doctor")[0].endswith("use the checkpoint that it was made from")


def test_a_bart_for_inference_is_for_nli_though_its_other_heads_are_tied(tmp_path: Path) -> None:
    tiny = inference(tmp_path, "bart")
    assert shelf.scorer_of(tiny.name) == "nli"
    with pytest.raises(HeadError, match="no decoder with a language-model head to be trusted") as caught:
        load_checkpoint(KINDS["seq2seq"], ModelOptions(tiny.name))
    assert caught.value.hint == "use a template for scorer nli"
    load_checkpoint(KINDS["nli"], ModelOptions(tiny.name))


@pytest.mark.parametrize("legacy", [True, False])
def test_the_two_heads_of_deberta_v2_are_told_apart_as_its_config_says(tmp_path: Path, legacy: bool) -> None:
    for there in (True, False):
        made = wordpiece()
        config = transformers.DebertaV2Config(
            vocab_size=made.get_vocab_size(), max_position_embeddings=LENGTH, legacy=there, **SIZES
        )
        folder = build(tmp_path / str(there), transformers.DebertaV2ForMaskedLM, config, made, **SPECIAL).folder
        said = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**said, "legacy": legacy}))
        assert ("mlm" in seen(folder)) == loads("mlm", folder) == (there == legacy)


def test_the_heads_that_find_replaced_tokens_are_seen(tmp_path: Path) -> None:
    for name, made in (("e", electra), ("d", deberta_v3)):
        folder = made(tmp_path / name).folder
        assert seen(folder) == ["rtd", "embed"]
        assert loads("rtd", folder)
        assert not loads("mlm", folder)


def test_a_bert_made_to_go_on_is_seen_as_such(tmp_path: Path) -> None:
    made = wordpiece()
    folder = build(tmp_path, transformers.BertLMHeadModel, bert_config(made, is_decoder=True), made, **SPECIAL).folder
    assert "causal" in seen(folder)
    assert loads("causal", folder)


def test_a_head_that_stands_in_is_seen(tmp_path: Path) -> None:
    folder = albert(tmp_path / "both").folder
    assert stand_ins_of(held_in(folder).tensors, config_of(folder)) == ["sop"]
    assert loads("nsp", folder, head="sop")
    alone = albert(tmp_path / "mlm", transformers.AlbertForMaskedLM).folder
    assert stand_ins_of(held_in(alone).tensors, config_of(alone)) == []
    assert not loads("nsp", alone, head="sop")


def test_shards_are_read_as_one(tmp_path: Path) -> None:
    made = wordpiece()
    whole = build(tmp_path / "whole", transformers.BertForPreTraining, bert_config(made), made, **SPECIAL)
    whole.model.save_pretrained(tmp_path / "parts", max_shard_size="30KB")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 2
    parts, one = held_in(tmp_path / "parts"), held_in(whole.folder)
    assert parts.tensors == one.tensors
    assert (parts.weights, parts.dtype) == (one.weights, "F32")
    assert one.weights == sum(parameter.numel() for parameter in whole.model.parameters())


@pytest.mark.parametrize("said", ["BertForMaskedLM", "BertForNextSentencePrediction"])
def test_a_config_that_names_a_head_which_is_not_there_is_told(tmp_path: Path, said: str) -> None:
    folder = saved(tmp_path, "BertModel")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": [said]}))
    one = inventory.model(str(folder))
    assert one.scorers == ["embed"]
    (doubt,) = one.doubts()
    assert doubt.startswith(f"its config.json says {said}, and its weights have no ")
