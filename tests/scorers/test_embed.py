"""Embeddings against a plain way: one text, the whole model, the mean of its last hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from helpers import LENGTH, LONG, ROWS, Tiny, shuffled
from reference import TOLERANCE, encode
from tiny import broken_tensors, next_positions, no_mask

from promptshot import scorers
from promptshot.errors import ModelError
from promptshot.scorers.engine.base import TorchScorer
from promptshot.scoring import Embedding, ModelOptions

pytestmark = pytest.mark.torch

KINDS = [("bert_mlm", "mlm"), ("bert_nsp", "nsp"), ("roberta", "mlm"), ("gpt2", "causal"), ("llama", "causal")]


def plain(tiny: Tiny, text: str) -> list[float]:
    """The mean of the last hidden states of one text, with what the tokenizer puts around it."""
    around = list(tiny.tokenizer("")["input_ids"])
    own = encode(tiny.tokenizer, text)
    begin = [i for i in around[:1] if i in (tiny.tokenizer.cls_token_id, tiny.tokenizer.bos_token_id)]
    ids = [*begin, *own[: LENGTH - len(around)], *around[len(begin) :]]
    with torch.inference_mode():
        states = tiny.model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[-1]
    found: list[float] = states[0].mean(0).tolist()
    return found


def made(tiny: Tiny, kind: str, **options: Any) -> TorchScorer:
    found = scorers.load(kind, ModelOptions(tiny.name, **options))
    assert isinstance(found, TorchScorer)
    return found


def close(found: Sequence[Sequence[float]], expected: Sequence[Sequence[float]]) -> bool:
    return torch.allclose(torch.tensor([list(one) for one in found]), torch.tensor(expected), atol=TOLERANCE)


@pytest.fixture(params=KINDS, ids=lambda pair: "-".join(pair))
def named(request: pytest.FixtureRequest) -> tuple[Tiny, str]:
    name, kind = request.param
    return request.getfixturevalue(name), kind


@pytest.mark.parametrize("options", [{}, {"batch_size": 2}, {"plain": True}, {"batch_budget": 1}])
def test_embeddings_equal_the_plain_way_in_any_batches_and_order(
    named: tuple[Tiny, str], options: dict[str, Any]
) -> None:
    tiny, kind = named
    scorer = made(tiny, kind, **options)
    assert isinstance(scorer, Embedding)
    order = shuffled(len(ROWS))
    found = scorer.embed([ROWS[i] for i in order])
    assert close(found, [plain(tiny, ROWS[i]) for i in order])


def test_the_plain_way_tells_texts_apart(named: tuple[Tiny, str]) -> None:
    tiny, _ = named
    expected = [plain(tiny, text) for text in ROWS]
    assert all(not close([one], [other]) for i, one in enumerate(expected) for other in expected[:i])


def other_segment(inputs: dict[str, Any]) -> None:
    """All stands in the second segment."""
    inputs["token_type_ids"] = torch.ones_like(inputs["token_type_ids"])


@pytest.mark.parametrize("harm", [no_mask, next_positions, other_segment])
def test_wrong_inputs_make_the_agreement_fail(bert_mlm: Tiny, monkeypatch: pytest.MonkeyPatch, harm: Any) -> None:
    scorer = made(bert_mlm, "mlm")
    broken_tensors(monkeypatch, harm)
    assert not close(scorer.embed(ROWS), [plain(bert_mlm, text) for text in ROWS])


def test_padding_that_counts_in_the_mean_makes_the_agreement_fail(gpt2: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = made(gpt2, "causal", batch_budget=4 * LENGTH)
    broken_tensors(monkeypatch, no_mask)
    assert not close(scorer.embed(ROWS), [plain(gpt2, text) for text in ROWS])


def test_long_texts_are_cut_to_what_the_model_takes(named: tuple[Tiny, str]) -> None:
    tiny, kind = named
    text = LONG * 9
    assert close(made(tiny, kind).embed([text, "a"]), [plain(tiny, text), plain(tiny, "a")])


def test_no_text_has_no_embedding_and_an_empty_one_has_some(named: tuple[Tiny, str]) -> None:
    tiny, kind = named
    scorer = made(tiny, kind)
    assert scorer.embed([]) == []
    (found,) = scorer.embed([""])
    assert len(found) == tiny.model.config.hidden_size


def test_a_model_that_fails_is_one_line(gpt2: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = made(gpt2, "causal")

    def failing(*_: object, **__: object) -> None:
        raise RuntimeError("no such kernel\nfor this")

    monkeypatch.setattr(scorer.model.base_model, "forward", failing)
    with pytest.raises(ModelError, match=r"no embedding of a text: the model failed: .*no such kernel"):
        scorer.embed(["a"])
