"""Learned positions of BERT-like models, and how they go on beyond those that were trained (kexue.fm 7947)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from promptshot.errors import ModelError, OptionError, with_article
from promptshot.scoring import ModelOptions

FARTHER = 4  # times the trained length that is read, where nobody says how much
OTHERWISE = "use --long windows, or leave it out"


@dataclass(frozen=True)
class Positions:
    """The one table of a model with a vector for each position, and where it is."""

    parent: nn.Module
    table: nn.Embedding
    offset: int  # the row of the first position

    @property
    def trained(self) -> int:
        """How many positions it has."""
        return self.table.num_embeddings - self.offset

    def check(self, options: ModelOptions) -> int:
        """How many tokens are read at most: as many as the user says, or four times as many as were trained; raises
        OptionError for more than there can be."""
        most = self.trained**2
        if options.max_length is not None and options.max_length > most:
            what = f"--max-length {options.max_length}: --long hierarchical makes at most {most:,} positions of"
            raise OptionError(f"{what} {self.trained}", hint=f"{most} or fewer")
        return options.max_length or min(FARTHER * self.trained, most)

    def extend(self, limit: int, alpha: float) -> None:
        """Let the model take so many tokens."""
        if isinstance(self.table, Hierarchical):  # of a model that is used again
            return
        self.parent.position_embeddings = Hierarchical(self.table, self.offset, alpha)
        for name, buffer in list(self.parent.named_buffers(recurse=False)):
            if name == "position_ids":  # (1, positions), ascending
                first, size = int(buffer.flatten()[0]), max(buffer.shape[-1], limit + self.offset)
                more = torch.arange(first, first + size, device=buffer.device, dtype=buffer.dtype)[None]
                self.parent.register_buffer(name, more, persistent=False)
            elif name == "token_type_ids":  # (1, positions), zeros
                self.parent.register_buffer(name, buffer.new_zeros(1, limit + self.offset), persistent=False)


class Hierarchical(nn.Embedding):
    """A table p of n trained positions that answers for n * n: position k has two digits in base n, and is made of the
    vectors of both.

    u[i] = (p[i] - a p[0]) / (1 - a),  q[k] = a u[k // n] + (1 - a) u[k % n]

    For k < n this is p[k], which is looked up, so that it is the same to the last bit. All else is made when it is
    asked for: there is no table of n * n.
    """

    def __init__(self, table: nn.Embedding, offset: int, alpha: float) -> None:
        """The weights are those of `table`, (offset + n, size), whose first rows stand for no position."""
        rows, size = table.weight.shape
        super().__init__(rows, size, padding_idx=table.padding_idx, _weight=table.weight.detach())
        self.offset, self.alpha = offset, alpha

    def forward(self, input: Tensor) -> Tensor:
        """(..., size) of rows, which need not be in the table."""
        rows, n = self.num_embeddings, self.num_embeddings - self.offset
        known = super().forward(input.clamp(max=rows - 1))
        if int(input.max()) < rows:
            return known
        places = input.clamp(min=rows) - self.offset
        made = self.alpha * self._u(places // n) + (1 - self.alpha) * self._u(places % n)
        return torch.where((input < rows)[..., None], known, made.to(known.dtype))

    def _u(self, digits: Tensor) -> Tensor:
        """(..., size), float32 at least."""
        precise = torch.promote_types(self.weight.dtype, torch.float32)
        first = self.weight[self.offset].to(precise)  # (size,)
        return (self.weight[self.offset + digits].to(precise) - self.alpha * first) / (1 - self.alpha)


def of(model: Any) -> Positions:
    """The learned positions of a model; raises ModelError where it has none of this kind, or several."""
    found = [
        (module, table)
        for module in model.modules()
        if isinstance(table := getattr(module, "position_embeddings", None), nn.Embedding)
    ]
    if len(found) != 1:
        raise refused(model)
    parent, table = found[0]
    # RoBERTa counts from padding_idx + 1, and others leave as many rows out without a word.
    said = int(getattr(model.config, "max_position_embeddings", 0) or 0)
    offset = table.num_embeddings - said if table.padding_idx is None else table.padding_idx + 1
    if not 0 <= offset < table.num_embeddings - 1:
        raise refused(model)
    return Positions(parent, table, offset)


def refused(model: Any) -> ModelError:
    """What is said of a model whose positions cannot go on so."""
    what = f"--long hierarchical: {with_article(model.config.model_type)} model has no learned positions that can go on"
    return ModelError(what, where=str(getattr(model, "name_or_path", "")), hint=OTHERWISE)
