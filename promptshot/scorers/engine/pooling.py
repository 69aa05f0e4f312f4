"""From the states of tokens to one vector of a text."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

FIRST_LAST = "first-last"  # kexue.fm 8069, P4: the mean of the first layer's mean and the last one's


def pooled(states: Tensor, own: Tensor, modes: Sequence[str], first: Tensor | None = None) -> Tensor:
    """(rows, modes x hidden), float32: what each mode makes of the states, one behind the other.

    `states` are those of the last layer and `first` those behind the first one, (rows, width, hidden); `own` is 1 where
    a token is the row's and 0 for padding, which stands on the right: (rows, width).
    """
    states, weight = states.float(), own[..., None].float()  # (rows, width, hidden), (rows, width, 1)
    return torch.cat([_by_mode(mode, states, weight, own, first) for mode in modes], dim=-1)


def _by_mode(mode: str, states: Tensor, weight: Tensor, own: Tensor, first: Tensor | None) -> Tensor:
    if mode == "cls":
        return states[:, 0]
    if mode == "lasttoken":
        return states[torch.arange(len(states), device=states.device), own.sum(-1) - 1]
    if mode == "max":
        return states.masked_fill(weight == 0, -torch.inf).max(1).values
    if mode == "weightedmean":  # the later, the more
        weight = weight * torch.arange(1, states.shape[1] + 1, device=states.device)[:, None]
    if mode == FIRST_LAST and first is not None:
        states = (states + first.float()) / 2
    size = weight.sum(1)
    return (states * weight).sum(1) / (size.sqrt() if mode == "mean_sqrt_len_tokens" else size)
