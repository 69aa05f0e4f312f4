"""Packed layers give what the layers gave whose place they took, and only stand where they are proved to."""

from __future__ import annotations

import pytest
import torch
import transformers
from torch import nn

from promptshot.scorers.engine import packed
from promptshot.scorers.engine.packed import PackedLinear, pack

pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(not packed.has_kernels(torch.ones(2, 2)), reason="torch is built without these kernels"),
]
BERT = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}


def bert(**settings: object) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = transformers.BertModel(transformers.BertConfig(vocab_size=100, **BERT, **settings)).eval()
    return model


def gpt2() -> nn.Module:
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=100, n_embd=64, n_layer=2, n_head=4)
    model: nn.Module = transformers.GPT2LMHeadModel(config).eval()
    return model


@pytest.mark.parametrize("model", [bert(), bert(hidden_act="relu"), bert(hidden_act="gelu_new"), gpt2()])
@torch.inference_mode()
def test_a_packed_model_gives_the_same_states(model: nn.Module) -> None:
    ids = torch.arange(24).view(3, 8)
    before = model(ids)[0]
    assert pack(model) >= 8
    assert torch.allclose(model(ids)[0], before, atol=1e-5)


def test_activations_are_part_of_the_layer() -> None:
    model = bert()
    pack(model)
    assert isinstance(model.encoder.layer[0].intermediate.dense, PackedLinear)  # type: ignore[union-attr,index]
    assert isinstance(model.encoder.layer[0].intermediate.intermediate_act_fn, nn.Identity)  # type: ignore[union-attr,index]


def test_weights_shared_with_the_embeddings_and_small_layers_stay() -> None:
    model = gpt2()
    model.small = nn.Linear(4, 4)
    pack(model)
    assert type(model.lm_head) is nn.Linear
    assert type(model.small) is nn.Linear


def test_a_layer_that_would_give_other_numbers_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(packed.FUSED, "GELUActivation", ("relu", ""))
    model = bert()
    pack(model)
    assert type(model.encoder.layer[0].intermediate.dense) is nn.Linear  # type: ignore[union-attr,index]
    assert isinstance(model.encoder.layer[0].output.dense, PackedLinear)  # type: ignore[union-attr,index]


def test_half_precision_of_the_other_kind_is_left_alone() -> None:
    assert pack(bert().half()) == 0
