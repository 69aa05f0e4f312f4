"""A checkpoint's tokenizer without its weights: what its scorers would read, for preview and lint."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from promptshot.errors import ModelError, with_article
from promptshot.kinds import KINDS, ScorerKind, head_for
from promptshot.scorers.checkpoints.beyond import check_kinds
from promptshot.scorers.checkpoints.checks import check_architecture, headed
from promptshot.scorers.checkpoints.encoder import Encoder, common_prefix
from promptshot.scorers.checkpoints.opening import Opened, limit_of, loading, quiet, skeleton
from promptshot.scorers.engine.plans import Planner, Stretch, planner_of
from promptshot.scoring import Kind, ModelOptions, Prompt, Token, Tokenized


class CheckpointTokenizer:
    """Plans prompts as the scorers of a checkpoint do; see `scoring.Tokenizing`."""

    def __init__(self, opened: Opened, options: ModelOptions) -> None:
        """Raises ModelError where no kind of scorer can use the checkpoint."""
        kinds = [headed(kind, head_for(kind.name, options.head)) for kind in KINDS.values()]
        suiting = [kind for kind in kinds if _has_head(kind, opened)]
        if not suiting:
            family = getattr(opened.config, "model_type", "such")
            what = f"{with_article(family)} model has no scorer"
            raise ModelError(what, where=opened.name, hint="use a BERT- or GPT-like model")
        self.encoder: Encoder = opened.encoder
        made = skeleton(suiting[0].auto_class, opened, options)
        with loading(opened.name, options):
            self.limit = limit_of(made, opened.encoder, options)
            suiting = check_kinds(suiting, made) if options.long == "hierarchical" else suiting
            self.planners = self._planned_by(suiting, options)
        self.kinds = list(self.planners)

    def _planned_by(self, suiting: Sequence[ScorerKind], options: ModelOptions) -> dict[str, Planner]:
        """The planners of the kinds that can use the tokenizer; raises ModelError where none can."""
        made, refused = dict[str, Planner](), list[ModelError]()
        for kind in suiting:
            try:
                made[kind.name] = planner_of(kind, self.encoder, self.limit, options)
            except ModelError as problem:
                refused.append(problem)
        if not made:
            raise refused[0]
        return made

    @quiet()
    def tokenized(self, scorer: str, prompts: Sequence[Prompt]) -> list[Tokenized]:
        """What the scorer of that name would make of each prompt."""
        return [self._tokenized(self.planners[scorer], prompt) for prompt in prompts]

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
    def windows(self, scorer: str, prompt: Prompt, stride: int | None = None) -> list[Prompt]:
        """The prompts that cover one that is too long."""
        return self.planners[scorer].windows(prompt, stride)

    @quiet()
    def misfit(self, scorer: str, prompt: Prompt) -> str | None:
        """Why the prompt does not fit into the model, if so."""
        plan = self.planners[scorer].planned(prompt)
        return plan if isinstance(plan, str) else None

    @quiet()
    def no_chat(self) -> str:
        """Why the checkpoint has no chats; empty where it has."""
        said = [planner.no_chat() for planner in self.planners.values()]
        return "" if "" in said else said[-1]

    def _tokenized(self, planner: Planner, prompt: Prompt) -> Tokenized:
        plan = planner.planned(prompt)
        if isinstance(plan, str):
            return Tokenized(error=plan)
        words = tuple(tuple(self._token(i, Kind.MASK) for i in ids) for ids in planner.words(prompt))
        length = max(len(query.ids) for query in plan.queries)
        fitted = plan.fitted
        tokens = tuple(token for stretch in planner.stretches(prompt, plan) for token in self._tokens(stretch))
        written = tuple(planner.written(fitted.pieces)) if prompt.chat else ()
        counts = fitted.cut, fitted.dropped
        return Tokenized(tokens, words, fitted.pieces, written, length, *counts, least=fitted.least)

    def _token(self, token: int, kind: Kind | None, segment: int = 0) -> Token:
        return Token(self.encoder.shown(token), token, kind, segment)

    def _tokens(self, stretch: Stretch) -> list[Token]:
        """The tokens of a stretch, every one with what it belongs to."""
        pairs = zip(stretch.ids, self._kinds(stretch), strict=True)
        return [self._token(token, kind, stretch.segment) for token, kind in pairs]

    def _kinds(self, stretch: Stretch) -> Sequence[Kind | None]:
        """Of what kind the piece is in which each token ends: one that begins with a space belongs to what follows."""
        ids, pieces = stretch.ids, stretch.pieces
        if len({piece.kind for piece in pieces}) < 2:
            return [pieces[0].kind if pieces else None] * len(ids)
        ends = list(accumulate(len(piece.text) for piece in pieces))
        text = stretch.text
        spans = self.encoder.spans_continuing(text) if stretch.continuing else self.encoder.spans(text)
        if len(spans) == len(ids):
            places = [max(begin, end - 1) for begin, end in spans]
            return [pieces[min(bisect_right(ends, place), len(pieces) - 1)].kind for place in places]
        # A slow tokenizer does not tell where its tokens stand: the text up to the end of a piece has its first ones.
        encode = self.encoder.continuing if stretch.continuing else self.encoder.ids
        counts = [common_prefix([encode(text[:end]), ids]) for end in ends[:-1]]
        return [pieces[bisect_right(counts, place)].kind for place in range(len(ids))]


def _has_head(kind: ScorerKind, opened: Opened) -> bool:
    try:
        check_architecture(kind, opened.name, opened.config)
    except ModelError:
        return False
    return True
