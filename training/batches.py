"""Samples become tensors: sorted by length, as many a batch as its budget of tokens holds, in random order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
import torch

from training.frames import Hint
from training.samples import Line, Pair, Rng
from training.words import Ids

Sample = TypeVar("Sample", Pair, Line)
OFTEN = 0.4  # how often a word of judgement is masked
OTHERS = 0.1  # the share of the rest of a framed text that is still asked about, so that the word weighs more


def grouped(samples: Sequence[Sample], budget: int, rng: Rng) -> Iterator[list[Sample]]:
    """Samples of like length together, at most `budget` padded tokens, in random order."""
    groups: list[list[Sample]] = [[]]
    for sample in sorted(samples, key=len):
        if (len(groups[-1]) + 1) * len(sample) > budget and groups[-1]:
            groups.append([])
        groups[-1].append(sample)
    for g in rng.permutation(len(groups)):
        yield groups[g]


@dataclass(frozen=True)
class Batch:
    """Tensors of one step, on one device."""

    ids: torch.Tensor  # (rows, width)
    attention: torch.Tensor  # (rows, width)
    chosen: torch.Tensor  # (rows, width), bool: the tokens that are asked for
    hinted: torch.Tensor  # (hints,): which of the chosen ones, counted row by row, may be several tokens
    tokens_there: torch.Tensor  # (hints, pool), which
    shares_there: torch.Tensor  # (hints, pool), and how likely each is

    @property
    def tokens(self) -> int:
        """Tokens that are no padding."""
        return int(self.attention.sum())

    def to(self, device: torch.device) -> Batch:
        """The same batch elsewhere."""
        return type(self)(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


@dataclass(frozen=True)
class BertBatch(Batch):
    """What a BERT is asked: the words under the chosen positions, and whether B follows A."""

    types: torch.Tensor  # (rows, width)
    targets: torch.Tensor  # (rows, width), ids before masking
    is_random: torch.Tensor  # (rows,): how likely it is that B does not follow; negative: not asked


@dataclass(frozen=True)
class Gpt2Batch(Batch):
    """What a GPT-2 is asked: the chosen tokens, of which the first is never one."""


@dataclass(frozen=True)
class BertMasks:
    """Which token ids the masking of a BERT treats apart."""

    pad: int
    cls: int
    sep: int
    mask: int
    specials: int  # how many special tokens the vocabulary begins with
    often: Ids  # for each id, whether it is masked more often


def bert_batch(group: list[Pair], masks: BertMasks, rng: Rng) -> BertBatch:
    """Pairs laid out, masked: 13% of the tokens and often their neighbour, of framed texts the word they ask about."""
    width = max(map(len, group))
    ids = np.full((len(group), width), masks.pad)
    types = np.zeros_like(ids)
    attention = np.zeros_like(ids)
    asked = np.zeros(ids.shape, bool)
    for row, sample in enumerate(group):
        line = [masks.cls, *sample.a, masks.sep, *((*sample.b, masks.sep) if sample.b else ())]
        ids[row, : len(line)] = line
        types[row, len(sample.a) + 2 : len(line)] = 1
        attention[row, : len(line)] = 1
        asked[row, [1 + p for p in sample.asked]] = True
    chosen = rng.random(ids.shape) < 0.13
    spans = rng.random(ids.shape) < 0.4  # words of two characters are often masked whole
    chosen[:, 1:] |= chosen[:, :-1] & spans[:, 1:]
    chosen |= masks.often[ids] & (rng.random(ids.shape) < OFTEN)
    chosen &= (attention == 1) & (ids != masks.cls) & (ids != masks.sep)
    framed = asked.any(axis=1, keepdims=True)
    chosen = np.where(framed, asked | (chosen & (rng.random(ids.shape) < OTHERS)), chosen)
    fate = rng.random(ids.shape)
    shown = np.where(chosen & ((fate < 0.8) | asked), masks.mask, ids)
    strange = rng.integers(masks.specials, len(masks.often), ids.shape)
    shown = np.where(chosen & (fate > 0.9) & ~asked, strange, shown)
    is_random = np.array([sample.is_random for sample in group], np.float32)
    hints = _hints(chosen, [sample.hints for sample in group], 1)
    return BertBatch(*map(torch.from_numpy, (shown, attention, chosen, *hints, types, ids, is_random)))


def gpt2_batch(group: list[Line], pad: int, rng: Rng) -> Gpt2Batch:
    """Lines laid out; of a framed text the word is asked for, and a share of the rest."""
    width = max(map(len, group))
    ids = np.full((len(group), width), pad)
    attention = np.zeros_like(ids)
    chosen = np.zeros(ids.shape, bool)
    for row, line in enumerate(group):
        ids[row, : len(line)] = line.ids
        attention[row, : len(line)] = 1
        start, stop = line.word
        chosen[row, : len(line)] = (rng.random(len(line)) < OTHERS) if stop else True
        chosen[row, start:stop] = True
    chosen[:, 0] = False
    hints = _hints(chosen, [line.hints for line in group], 0)
    return Gpt2Batch(*map(torch.from_numpy, (ids, attention, chosen, *hints)))


def _hints(chosen: Ids, of_rows: Sequence[tuple[Hint, ...]], first: int) -> tuple[Ids, Ids, Ids]:
    """The hints of the rows of a batch as `Batch` holds them; the texts of the rows begin at column `first`."""
    numbers = chosen.ravel().cumsum().reshape(chosen.shape) - 1
    hints = [hint for hints in of_rows for hint in hints]
    pool = max((len(hint.tokens) for hint in hints), default=0)
    tokens, shares = np.zeros((len(hints), pool), np.int64), np.zeros((len(hints), pool), np.float32)
    for i, hint in enumerate(hints):
        tokens[i, : len(hint.tokens)] = hint.tokens
        shares[i, : len(hint.tokens)] = hint.shares
    places = [numbers[row, first + hint.position] for row, hints in enumerate(of_rows) for hint in hints]
    return np.array(places, np.int64), tokens, shares
