"""Long work in pieces that fit into the memory: batches of queries of similar length."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

from promptshot.scorers.engine.plans import Query

_SHORT = re.compile("not enough memory|out of memory|can't allocate memory|STATUS_ALLOC_FAILED", re.IGNORECASE)
# (number of a query, what was read for it; or why not: None for lack of memory, else what went wrong)
Answers = list[tuple[int, list[float] | str | None]]


def token_budget(device: torch.device, config: Any) -> int:
    """Padded tokens in one batch, by a fixed rule of device and width: small batches suit a CPU's cache."""
    width = int(getattr(config, "hidden_size", 768) or 768)
    if device.type == "cpu":
        return 2048 if width <= 384 else 512
    return 32_768 if width <= 1024 else 8_192


class Work(Protocol):
    """Something long that can be done in pieces of any size."""

    total: int

    def cut(self, start: int, budget: int) -> int:
        """Where the piece ends that begins at `start` and takes about `budget` tokens; behind `start`."""

    def run(self, start: int, end: int) -> Answers:
        """Do one piece; without enough memory it raises, and can be done again with a nearer end."""

    def beyond(self, start: int) -> tuple[int, Answers]:
        """Leave out what begins at `start`, as it does not fit: where to go on, and what fails."""


class Batches:
    """Queries in padded batches of similar length, longest first: at most `most` rows each; see Work.

    With `even`, the rows of a batch are of one length, and nothing is padded. What a decoder goes on from is never
    padded: the rows of a batch have contexts of one length.
    """

    def __init__(
        self,
        queries: Sequence[Query],
        answer: Callable[[Sequence[Query]], list[list[float]]],
        most: int | None = None,
        even: bool = False,
    ) -> None:
        self.queries, self.answer, self.most, self.even = queries, answer, most, even
        self.order = sorted(range(len(queries)), key=lambda i: (-len(queries[i].context), -len(queries[i].ids), i))
        self.total = len(queries)

    def cut(self, start: int, budget: int) -> int:
        """At most `budget` padded tokens, but always one row."""
        length, context = self._lengths(start)
        rows = max(1, budget // max(1, length + context))
        end = min(start + (min(rows, self.most) if self.most else rows), self.total)
        while self._lengths(end - 1)[1] != context or (self.even and self._lengths(end - 1)[0] != length):
            end -= 1
        return end

    def _lengths(self, place: int) -> tuple[int, int]:
        """The tokens of a query, and of its context."""
        query = self.queries[self.order[place]]
        return len(query.ids), len(query.context)

    def run(self, start: int, end: int) -> Answers:
        """The answers of one batch."""
        batch = self.order[start:end]
        return list(zip(batch, self.answer([self.queries[i] for i in batch]), strict=True))

    def beyond(self, start: int) -> tuple[int, Answers]:
        """One row fails."""
        return start + 1, [(self.order[start], None)]


def within_memory(work: Callable[[], Answers]) -> Answers | None:
    """What the work gives, without gradients; None where the memory is not enough."""
    try:
        with torch.inference_mode():
            return work()
    except (RuntimeError, MemoryError) as problem:  # torch.cuda.OutOfMemoryError is a RuntimeError
        if not isinstance(problem, (torch.cuda.OutOfMemoryError, MemoryError)) and not _SHORT.search(str(problem)):
            raise
    # Only here, behind the handler, is nothing left that holds the tensors of the failed run.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None
