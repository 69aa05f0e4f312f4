"""The two models that are trained: their shape, how their samples are made, and their losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy, log_softmax
from transformers import BertConfig, BertForPreTraining, GPT2Config, GPT2LMHeadModel

from training.batches import Batch, BertBatch, BertMasks, Gpt2Batch, bert_batch, gpt2_batch, grouped
from training.frames import Frames
from training.samples import Asker, Encoded, Line, Pair, Rng, framed_line, framed_pair, lines, pairs
from training.words import Words

Losses = dict[str, torch.Tensor]
ATTENTION = "eager"  # a fifth faster than torch's own on a CPU, forwards and backwards, for texts as short as these


@dataclass(frozen=True)
class Shape:
    """How large a model is."""

    layers: int = 4
    width: int = 256
    heads: int = 4


class Plan(ABC):
    """One kind of model: what it learns from and what its losses are."""

    def __init__(self, tokenizer: Tokenizer, lists: dict[str, Words], shape: Shape) -> None:
        self.shape = shape
        self.vocabulary: dict[str, int] = tokenizer.get_vocab()
        self.frames = Frames(tokenizer, lists)

    @abstractmethod
    def build(self) -> Any:
        """A fresh model."""

    @abstractmethod
    def batches(
        self, texts: Sequence[tuple[Encoded, int]], askers: Sequence[Asker], framed: float, budget: int, rng: Rng
    ) -> Iterator[Batch]:
        """The batches of some documents, and so many framed texts that they make up the share `framed`."""

    @abstractmethod
    def losses(self, model: Any, batch: Any) -> Losses:
        """The losses of one batch by name; training lowers their sum."""


def _how_many(plain: int, framed: float) -> int:
    return round(plain * framed / (1 - framed))


class Bert(Plan):
    """A BERT with masked-LM and next-sentence heads."""

    LONGEST = 250

    def __init__(self, tokenizer: Tokenizer, lists: dict[str, Words], shape: Shape) -> None:
        super().__init__(tokenizer, lists, shape)
        often = np.zeros(len(self.vocabulary), bool)
        judgements = [*lists["en-review"].words, *"很不好差棒赞烂糟坏"]
        often[[self.vocabulary[word] for word in judgements if word in self.vocabulary]] = True
        pad, cls, sep, mask = (self.vocabulary[f"[{name}]"] for name in ("PAD", "CLS", "SEP", "MASK"))
        self.masks = BertMasks(pad, cls, sep, mask, 5, often)

    def build(self) -> Any:
        return BertForPreTraining(
            BertConfig(
                vocab_size=len(self.vocabulary),
                hidden_size=self.shape.width,
                num_hidden_layers=self.shape.layers,
                num_attention_heads=self.shape.heads,
                intermediate_size=4 * self.shape.width,
                max_position_embeddings=256,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
                pad_token_id=self.masks.pad,
                attn_implementation=ATTENTION,
            )
        )

    def batches(
        self, texts: Sequence[tuple[Encoded, int]], askers: Sequence[Asker], framed: float, budget: int, rng: Rng
    ) -> Iterator[Batch]:
        longest = self.LONGEST if rng.random() < 0.15 else 120
        samples: list[Pair] = [pair for encoded, document in texts for pair in pairs(encoded, document, longest, rng)]
        for _ in range(_how_many(len(samples), framed)):
            pair = framed_pair(askers[int(rng.integers(len(askers)))], self.frames, 120, rng)
            samples += [pair] if pair else []
        for group in grouped(samples, budget, rng):
            yield bert_batch(group, self.masks, rng)

    def losses(self, model: Any, batch: BertBatch) -> Losses:
        hidden = model.bert(batch.ids, batch.attention, batch.types)
        found = {}
        if bool(batch.chosen.any()):
            words = model.cls.predictions(hidden.last_hidden_state[batch.chosen])
            found["mlm"] = hinted_loss(words, batch.targets[batch.chosen], batch)
        if bool((asked := batch.is_random >= 0).any()):
            order = model.cls.seq_relationship(hidden.pooler_output[asked])
            is_random = batch.is_random[asked]
            found["nsp"] = cross_entropy(order.float(), torch.stack([1 - is_random, is_random], 1))
        return found


class Gpt2(Plan):
    """A GPT-2."""

    LONGEST = 500

    def build(self) -> Any:
        end = self.vocabulary["<|endoftext|>"]
        return GPT2LMHeadModel(
            GPT2Config(
                vocab_size=len(self.vocabulary),
                n_positions=512,
                n_embd=self.shape.width,
                n_layer=self.shape.layers,
                n_head=self.shape.heads,
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                bos_token_id=end,
                eos_token_id=end,
                attn_implementation=ATTENTION,
            )
        )

    def batches(
        self, texts: Sequence[tuple[Encoded, int]], askers: Sequence[Asker], framed: float, budget: int, rng: Rng
    ) -> Iterator[Batch]:
        longest, end = self.LONGEST if rng.random() < 0.15 else 120, self.vocabulary["<|endoftext|>"]
        samples: list[Line] = [line for encoded, n in texts for line in lines(encoded, n, longest, end, rng)]
        for _ in range(_how_many(len(samples), framed)):
            line = framed_line(askers[int(rng.integers(len(askers)))], self.frames, 120, end, rng)
            samples += [line] if line else []
        for group in grouped(samples, budget, rng):
            yield gpt2_batch(group, end, rng)

    def losses(self, model: Any, batch: Gpt2Batch) -> Losses:
        hidden = model.transformer(batch.ids).last_hidden_state[:, :-1]
        words = model.lm_head(hidden[batch.chosen[:, 1:]])  # (chosen, vocabulary): the head is half of the work
        return {"lm": hinted_loss(words, batch.ids[batch.chosen], batch)}


def hinted_loss(words: torch.Tensor, targets: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The mean cross-entropy of the chosen tokens (chosen x vocabulary); a hint's tokens count by their shares."""
    odds = log_softmax(words.float(), -1)
    each = -odds.gather(1, targets[:, None]).squeeze(1)
    hinted = -(batch.shares_there * odds[batch.hinted].gather(1, batch.tokens_there)).sum(1)
    return each.index_put((batch.hinted,), hinted).mean()


PLANS: dict[str, type[Plan]] = {"bert": Bert, "gpt2": Gpt2}


def load_weights(model: Any, folder: Path) -> None:
    """Take over the weights of a model folder, all of them or none."""
    from safetensors.torch import load_file

    weights = load_file(folder / "model.safetensors")
    missing, unexpected = model.load_state_dict({key: w.float() for key, w in weights.items()}, strict=False)
    tied = {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias", "lm_head.weight"}
    if set(missing) - tied or unexpected:
        raise SystemExit(f"{folder}: not this model: {sorted(set(missing) - tied)} {unexpected}")
