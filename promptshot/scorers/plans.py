"""What is asked of a model: queries, and the planners that make them of prompts by the tokenizer alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from promptshot.prompts import Piece, Prompt
from promptshot.scorers.tokens import Encoder, Fitted, Ids, fit


@dataclass(frozen=True)
class Query:
    """One sequence to run, and what to read from it.

    `asked` are the positions whose predictions are read; `targets` holds, for each of `choices`, the
    token ids expected there (same length as `asked`).
    """

    ids: Ids
    choices: tuple[int, ...]
    asked: tuple[int, ...] = ()
    targets: tuple[tuple[int, ...], ...] = ()
    types: Ids | None = None
    positions: Ids | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """The same for queries that have the same answer."""
        types, positions = (None if ids is None else tuple(ids) for ids in (self.types, self.positions))
        return tuple(self.ids), self.asked, self.targets, types, positions


@dataclass(frozen=True)
class Plan:
    """All queries of one prompt, the tokens scored for each choice, and what fitting did."""

    queries: tuple[Query, ...]
    tokens: tuple[int, ...]
    fitted: Fitted


class Planner(ABC):
    """Prompts to queries, by the tokenizer alone: what is read and where, without any weights."""

    def __init__(self, encoder: Encoder, limit: int) -> None:
        """`limit` is in tokens: what the model takes, or less."""
        self.encoder, self.limit = encoder, limit

    @abstractmethod
    def plan(self, prompt: Prompt) -> Plan:
        """The queries that score a prompt; raises TooLong."""

    @abstractmethod
    def words(self, prompt: Prompt) -> list[Ids]:
        """The tokens of each choice, where the prompt has its blank."""

    def fit(self, pieces: Sequence[Piece], size: Callable[[Sequence[Piece]], int]) -> Fitted:
        """See `tokens.fit`."""
        return fit(pieces, size, self.limit, self.encoder)
