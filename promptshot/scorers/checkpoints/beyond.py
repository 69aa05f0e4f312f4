"""Texts longer than those a model was trained on: `--long hierarchical` and what it needs of a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from promptshot.errors import OptionError, with_article

ALPHA = 0.4  # the share of the coarse place, see Decomposed
TIMES = 4  # how many times as long as trained a text may be, unless more is asked for


class Decomposed(nn.Embedding):
    """Learned positions for n² places out of n, as Su's hierarchical decomposition has it (kexue.fm 7947).

    With p the table, u[i] = (p[i] - alpha p[0]) / (1 - alpha), and place k = i n + j is
    q[k] = alpha u[i] + (1 - alpha) u[j]; for k < n that is p[k], which is given to the bit.
    """

    def __init__(self, table: nn.Embedding, first: int, trained: int, alpha: float) -> None:
        """Place 0 is the row `first` of the table (RoBERTa keeps two for itself), `trained` is n."""
        size, width = table.weight.shape
        super().__init__(size, width, padding_idx=table.padding_idx, _weight=table.weight, _freeze=True)
        self.first, self.trained, self.alpha = first, trained, alpha

    def forward(self, ids: Tensor) -> Tensor:
        """(...) -> (..., hidden)."""
        place = ids - self.first
        far = place >= self.trained
        if not bool(far.any()):
            return super().forward(ids)
        coarse, fine = place.clamp_min(0) // self.trained, place.clamp_min(0) % self.trained
        made = self.alpha * self._unfolded(coarse) + (1 - self.alpha) * self._unfolded(fine)
        near = super().forward(ids.masked_fill(far, self.first))
        return torch.where(far[..., None], made.to(near.dtype), near)

    def _unfolded(self, place: Tensor) -> Tensor:
        """u of each place: (..., hidden), float32."""
        start = self.weight[self.first].float()
        return (super().forward(place + self.first).float() - self.alpha * start) / (1 - self.alpha)


def decompose(model: nn.Module, name: str, trained: int, limit: int, alpha: float) -> None:
    """Let a model with a table of learned positions take `limit` tokens; raises OptionError for another."""
    places = list(_tables(model))
    if not places or _is_relative(model):
        kind = with_article(str(getattr(model.config, "model_type", "such")))
        what = f"--long hierarchical: {kind} model has no table of learned positions as BERT has"
        raise OptionError(what, where=name, hint="use --long windows")
    for holder, table in places:
        first = 0 if table.padding_idx is None else table.padding_idx + 1
        holder.position_embeddings = Decomposed(table, first, trained, alpha)
        places_of = torch.arange(limit + first)
        for buffer, filled in (("position_ids", places_of), ("token_type_ids", torch.zeros_like(places_of))):
            old = getattr(holder, buffer, None)
            if isinstance(old, Tensor) and old.shape[-1] < limit + first:
                holder.register_buffer(buffer, filled.to(old)[None], persistent=False)


def _tables(model: nn.Module) -> Iterator[tuple[Any, nn.Embedding]]:
    """(module, its table of positions), as BERT and its like call them."""
    for module in model.modules():
        table = getattr(module, "position_embeddings", None)
        if isinstance(table, nn.Embedding):
            yield module, table


def _is_relative(model: nn.Module) -> bool:
    """Whether distances count too, which a longer table does not make longer."""
    config: Any = model.config
    said = getattr(config, "position_embedding_type", None)
    others = ("relative_attention", "relative_attention_num_buckets")
    return said not in (None, "absolute") or any(getattr(config, name, False) for name in others)
