"""Texts longer than those a model was trained on: `--long hierarchical` and what it needs of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from promptshot.errors import OptionError, with_article
from promptshot.kinds import ScorerKind

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


def decompose(model: nn.Module, trained: int, limit: int, alpha: float) -> None:
    """Let a model with a table of `trained` learned positions take `limit` tokens; raises OptionError for another."""
    holder, table = table_of(model)
    if isinstance(table, Decomposed):  # a model that another scorer had
        return
    first = table.num_embeddings - trained
    holder.position_embeddings = Decomposed(table, first, trained, alpha)
    for buffer in ("position_ids", "token_type_ids"):  # (1, places): ascending, and zeros
        old = getattr(holder, buffer, None)
        if isinstance(old, Tensor) and old.shape[-1] < limit + first:
            filled = torch.arange(limit + first) + int(old[0, 0]) if buffer == "position_ids" else torch.zeros(1)
            holder.register_buffer(buffer, filled.to(old).expand(1, limit + first), persistent=False)


def table_of(model: nn.Module) -> tuple[Any, nn.Embedding]:
    """The one table of positions of a model, as BERT and its like call it, and the module that has it; raises
    OptionError where there is none."""
    found = [(one, getattr(one, "position_embeddings", None)) for one in model.modules()]
    tables = [(holder, table) for holder, table in found if isinstance(table, nn.Embedding)]
    if len(tables) != 1:
        raise refused(model, "has no table of learned positions as BERT has")
    return tables[0]


def check_kinds(kinds: Sequence[ScorerKind], model: Any) -> list[ScorerKind]:
    """Those of the kinds of scorer that read a text so; raises OptionError where none does."""
    found = [kind for kind in kinds if kind.encodes]
    if not found:
        raise refused(model, "that goes on with a text is not read so")
    return found


def refused(model: Any, why: str) -> OptionError:
    """What is said of a model that cannot be read so."""
    what = f"--long hierarchical: {with_article(str(getattr(model.config, 'model_type', 'such')))} model {why}"
    return OptionError(what, where=str(getattr(model, "name_or_path", "")), hint="use --long windows")
