"""What is asked of a model: queries, and the planners that make them of prompts by the tokenizer alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from promptshot.errors import surfaces, told
from promptshot.kinds import ScorerKind, loaded
from promptshot.scorers.checkpoints.encoder import Encoder, Ids, Unfit
from promptshot.scorers.checkpoints.fitting import Fitted, fit, slide
from promptshot.scoring import BEYOND, Kind, ModelOptions, Piece, Prompt


@dataclass(frozen=True)
class Query:
    """One sequence to run, and what to read from it.

    `asked` are the positions whose predictions are read; `targets` holds, for each of `choices`, the
    token ids expected there (same length as `asked`). The first `leads` of them (for each choice; () is none at all)
    stand before the word. The answer is a score for each choice, then, where there are any, the part of the leads.
    With `odds`, the score is the natural-log odds of the choice by itself, for kinds that have both.

    Where an encoder reads `ids`, the targets are what a decoder writes behind `context`, each of a length of its own;
    `asked` then counts the places of the longest.
    """

    ids: Ids
    choices: tuple[int, ...]
    asked: tuple[int, ...] = ()
    targets: tuple[tuple[int, ...], ...] = ()
    types: Ids | None = None
    positions: Ids | None = None
    leads: tuple[int, ...] = ()
    odds: bool = False
    context: tuple[int, ...] = ()

    @property
    def key(self) -> tuple[Any, ...]:
        """The same for queries that have the same answer."""
        types, positions = (None if ids is None else tuple(ids) for ids in (self.types, self.positions))
        return tuple(self.ids), self.asked, self.targets, types, positions, self.leads, self.context, self.odds


@dataclass(frozen=True)
class Stretch:
    """Tokens of a sequence that were made at once: of `pieces` of text, of the blank, or, without any, special ones.

    `text` is that of the pieces, maybe without a space at its end; `continuing`, whether it went on behind another.
    """

    ids: Ids
    segment: int = 0
    pieces: tuple[Piece, ...] = ()
    text: str = ""
    continuing: bool = False


@dataclass(frozen=True)
class Plan:
    """All queries of one prompt, how many tokens each choice has of its own, and what fitting did."""

    queries: tuple[Query, ...]
    tokens: tuple[int, ...]
    fitted: Fitted
    unknown: bool = False  # whether the tokenizer knows nothing of the row itself
    beyond: int = 0  # tokens more than the model was trained on


class Planner(ABC):
    """Prompts to queries, by the tokenizer alone: what is read and where, without any weights."""

    def __init__(self, encoder: Encoder, limit: int) -> None:
        """`limit` is in tokens: what the model takes, or less."""
        self.encoder, self.limit = encoder, limit

    @abstractmethod
    def plan(self, prompt: Prompt) -> Plan:
        """The queries that score a prompt; raises Unfit."""

    @abstractmethod
    def size(self, prompt: Prompt) -> Callable[[Sequence[Piece]], int]:
        """What tells how many tokens the longest sequence of a prompt has with other pieces; raises Unfit."""

    def windows(self, prompt: Prompt, stride: int | None) -> list[Prompt]:
        """The prompts that cover one, see `scoring.Windowing`; one that cannot be scored stays as it is."""
        try:
            found = self.slid(prompt, stride)
        except BaseException as problem:
            if surfaces(problem):
                raise
            return [prompt]
        return [replace(prompt, pieces=pieces, goes_on=i > 0) for i, pieces in enumerate(found)]

    def slid(self, prompt: Prompt, stride: int | None) -> list[tuple[Piece, ...]]:
        """The pieces of each of them, see `fitting.slide`."""
        return slide(prompt.pieces, self.size(prompt), self.limit, self.encoder, stride)

    @abstractmethod
    def words(self, prompt: Prompt) -> list[Ids]:
        """The own tokens of each choice, where the prompt has its blank."""

    @abstractmethod
    def stretches(self, prompt: Prompt, plan: Plan) -> list[Stretch]:
        """The sequence of the first choice of a prompt, as it was put together."""

    @property
    @abstractmethod
    def special(self) -> Ids:
        """The special tokens that its sequences have."""

    def no_chat(self) -> str:
        """Why there are no prompts with turns, see `scoring.Chatting`."""
        return "such a model goes on with no text, and so with no chat"

    def written(self, pieces: Sequence[Piece]) -> list[Piece]:
        """The exact text of a chat, special tokens too; raises Unfit."""
        raise Unfit(self.no_chat())

    def planned(self, prompt: Prompt) -> Plan | str:
        """The plan of a prompt, or why there is none."""
        try:
            plan = self.plan(prompt)
            return replace(plan, unknown=self._unknown(plan))
        except Unfit as problem:
            return str(problem)
        except BaseException as problem:
            if surfaces(problem):
                raise
            return f"the tokenizer failed: {told(problem)}"

    def _unknown(self, plan: Plan) -> bool:
        """Whether the tokenizer knows nothing of the row itself; looked at closely only where that may be."""
        fields = [piece.text for piece in plan.fitted.pieces if piece.kind is Kind.FIELD]
        doubtful = self.encoder.loses or any(self.encoder.unk in query.ids for query in plan.queries[:1])
        if not doubtful and any(any(map(str.isalnum, text)) for text in fields):
            return False
        return bool(fields) and not any(map(self.encoder.knows, fields))

    def fit(self, pieces: Sequence[Piece], size: Callable[[Sequence[Piece]], int]) -> Fitted:
        """See `fitting.fit`."""
        return fit(pieces, size, self.limit, self.encoder)


def planner_of(kind: ScorerKind, encoder: Encoder, limit: int, options: ModelOptions) -> Planner:
    """The planner of a kind of scorer, for sequences of at most `limit` tokens."""
    made: Planner = loaded(kind.planner)(encoder, limit)
    if options.long in BEYOND:  # what a folder says besides is how long its training was
        made.limit = limit
    return made


def refuse_nothing(prompt: Prompt, words: Sequence[Ids]) -> None:
    """Raise Unfit for a choice of which the tokenizer leaves nothing."""
    for choice, word in zip(prompt.choices, words, strict=True):
        if choice and not word:
            raise Unfit(f"the word {choice!r} is nothing to the tokenizer")
