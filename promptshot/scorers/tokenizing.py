"""A checkpoint's tokenizer without its weights: what its scorers would read, for preview and lint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from promptshot.errors import ModelError
from promptshot.prompts import Kind, Piece, Prompt
from promptshot.scorers import Fit, ModelOptions, Token
from promptshot.scorers.base import TorchScorer
from promptshot.scorers.causal import CausalScorer
from promptshot.scorers.loading import Opened, check_architecture, limit_of, loading, open_checkpoint, quiet, skeleton
from promptshot.scorers.mlm import MlmScorer
from promptshot.scorers.nsp import NspScorer
from promptshot.scorers.plans import Plan, Planner
from promptshot.scorers.tokens import Encoder, Ids

SCORERS: tuple[type[TorchScorer], ...] = (MlmScorer, NspScorer, CausalScorer)


class CheckpointTokenizer:
    """Plans prompts as the scorers of a checkpoint do; see `scorers.Tokenizing`."""

    def __init__(self, options: ModelOptions) -> None:
        """Load configuration and tokenizer; raises ModelError or NotFoundError."""
        opened = open_checkpoint(options.model, options)
        fitting = [scorer for scorer in SCORERS if _fits(scorer, opened)]
        if not fitting:
            family = getattr(opened.config, "model_type", "such")
            raise ModelError(f"a {family} model has no scorer", where=opened.name, hint="use a BERT- or GPT-like model")
        self.encoder: Encoder = opened.encoder
        made = skeleton(fitting[0].auto_class, opened, options)
        with loading(opened.name, options):
            self.limit = limit_of(made, opened.encoder, options)
            self.planners = {scorer.name: scorer.planner_class(opened.encoder, self.limit) for scorer in fitting}
        self.kinds = list(self.planners)

    @quiet()
    def fit(self, scorer: str, prompts: Sequence[Prompt]) -> list[Fit]:
        """What the scorer of that name would make of each prompt."""
        return [self._fit(self.planners[scorer], prompt) for prompt in prompts]

    def unknown(self, words: Sequence[str]) -> list[str]:
        """The words that the tokenizer cannot spell."""
        return self.encoder.unknown(words)

    def alike(self, words: Sequence[str]) -> list[tuple[str, str]]:
        """Pairs of words that the tokenizer spells the same."""
        return self.encoder.alike(words)

    def spelled(self, scorer: str, prompt: Prompt) -> list[tuple[str, ...]]:
        """The own tokens of each choice where the blank is."""
        return [tuple(map(self.encoder.shown, ids)) for ids in self.planners[scorer].words(prompt)]

    @quiet()
    def misfit(self, scorer: str, prompt: Prompt) -> str | None:
        """Why the prompt does not fit into the model, if so."""
        plan = self.planners[scorer].planned(prompt)
        return plan if isinstance(plan, str) else None

    def _fit(self, planner: Planner, prompt: Prompt) -> Fit:
        plan = planner.planned(prompt)
        if isinstance(plan, str):
            return Fit(error=plan)
        words = tuple(tuple(self._token(i, Kind.MASK) for i in ids) for ids in planner.words(prompt))
        length = max(len(query.ids) for query in plan.queries)
        fitted = plan.fitted
        return Fit(self._tokens(prompt, plan), words, fitted.pieces, length, fitted.cut, fitted.dropped)

    def _token(self, token: int, kind: Kind | None, segment: int = 0) -> Token:
        return Token(self.encoder.shown(token), token, kind, segment)

    def _tokens(self, prompt: Prompt, plan: Plan) -> tuple[Token, ...]:
        """The sequence of the first choice, every token with what it belongs to.

        The texts that the planner tokenized are looked for in the sequence; what lies between them is special.
        """
        ids = next(query.ids for query in plan.queries if 0 in query.choices)
        mask = getattr(self.encoder.tokenizer, "mask_token_id", None)
        marks: dict[int, tuple[Kind, int]] = {}  # place -> what stands there, and in which segment
        end = 0
        for segment, pieces in enumerate(_segments(plan.fitted.pieces, prompt.choices[0])):
            for run in (pieces, *_runs(pieces)):
                at, kinds = self._found(run, ids, end)
                marks |= {at + i: (kind, segment) for i, kind in enumerate(kinds)}
                end = at + len(kinds)
                if kinds and run is pieces:
                    break
            if any(piece.kind is Kind.MASK for piece in pieces):
                marks |= {place: (Kind.MASK, segment) for place, token in enumerate(ids) if token == mask}
        found, segment = [], 0
        for place, token in enumerate(ids):
            kind, segment = marks.get(place, (None, segment))
            found.append(self._token(token, kind, segment))
        return tuple(found)

    def _found(self, run: Sequence[Piece], ids: Ids, start: int) -> tuple[int, list[Kind]]:
        """Where the tokens of a run of text stand in the sequence, from `start` on, and of what kind each is."""
        text = "".join(piece.text for piece in run)
        kind_of = [piece.kind for piece in run for _ in piece.text]
        for said in dict.fromkeys((text, text.removesuffix(" "))):
            spans = self.encoder.spans(said)
            for tokens in (self.encoder.ids(said), self.encoder.continuing(said)):
                if tokens and len(tokens) == len(spans):
                    for at in range(start, len(ids) - len(tokens) + 1):
                        if ids[at : at + len(tokens)] == tokens:
                            # A token that begins with a space belongs to what is behind the space.
                            return at, [kind_of[max(begin, end - 1)] for begin, end in spans]
        return start, []


def _segments(pieces: Sequence[Piece], choice: str) -> Iterator[list[Piece]]:
    """The pieces of each segment, with the choice in the blank."""
    found: list[Piece] = []
    for piece in pieces:
        if piece.kind is Kind.BREAK:
            yield found
            found = []
        else:
            found.append(replace(piece, text=choice) if piece.kind is Kind.MASK else piece)
    yield found


def _runs(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """What stands before, between and behind the blank and the hole of a segment; the word of a pair on its own."""
    found: list[Piece] = []
    for piece in pieces:
        if piece.kind in (Kind.MASK, Kind.HOLE):
            yield from ([*found],) if found else ()
            yield [piece]
            found = []
        else:
            found.append(piece)
    yield from (found,) if found else ()


def _fits(scorer: type[TorchScorer], opened: Opened) -> bool:
    try:
        check_architecture(scorer.name, opened.name, opened.config)
    except ModelError:
        return False
    return True
