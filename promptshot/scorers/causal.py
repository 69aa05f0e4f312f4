"""In-context completion with causal models: log p of the word, of what follows it, or of both."""

from __future__ import annotations

from collections.abc import Sequence

from promptshot.prompts import Kind, Piece, Prompt
from promptshot.scorers import ModelOptions
from promptshot.scorers.base import Head, Plan, Query, TorchScorer
from promptshot.scorers.tokens import Ids, common_prefix


class CausalScorer(TorchScorer):
    """Sum of log p of the tokens that `scored` names, given all before them."""

    name = "causal"
    auto_class = "AutoModelForCausalLM"

    def __init__(self, options: ModelOptions) -> None:
        super().__init__(options)
        self.model.config.use_cache = False  # every sequence is run once
        self.head = Head(self.model)
        self.start = self.encoder.layout(pair=False).before

    def plan(self, prompt: Prompt) -> Plan:
        """One query for each choice, all with the same cut of the row's text."""
        fitted = self.fit(prompt.pieces, lambda pieces: max(map(len, self._sequences(pieces, prompt)[1])))
        contexts, sequences = self._sequences(fitted.pieces, prompt)
        queries, counts = [], []
        for i, (ids, begin) in enumerate(zip(sequences, self._begins(contexts, sequences, prompt), strict=True)):
            # Position p predicts token p + 1:   c  c  c | w  w
            #                             asked        ^  ^
            asked = tuple(range(begin - 1, len(ids) - 1))
            queries.append(Query(ids, (i,), asked, (tuple(ids[begin:]),)))
            counts.append(len(asked))
        return Plan(tuple(queries), tuple(counts), fitted)

    def answer(self, batch: Sequence[Query]) -> list[list[float]]:
        """Sums of log-probabilities."""
        return self.read(batch, self.head)

    def _sequences(self, pieces: Sequence[Piece], prompt: Prompt) -> tuple[list[Ids], list[Ids]]:
        """For each choice, the ids of its context and of the whole.

        The channel scores the row's own text: the template's words between blank and field are context too.
        """
        kinds = [piece.kind for piece in pieces]
        blank = kinds.index(Kind.MASK)
        text = kinds.index(Kind.FIELD, blank) if Kind.FIELD in kinds[blank:] else blank + 1
        before, lead, rest = (_text(part) for part in (pieces[:blank], pieces[blank + 1 : text], pieces[text:]))
        contexts, wholes = [], []
        for choice in prompt.choices:
            if prompt.scored == "rest":
                head, whole = self._joined(before + choice + lead, rest)
            else:
                head, whole = self._joined(before, choice if prompt.scored == "choice" else choice + lead + rest)
            contexts.append(head)
            wholes.append(whole)
        if not all(contexts):
            # Nothing stands before the word: its first token is predicted from the token that begins a text.
            first = self._first_token()
            return [first + ids for ids in contexts], [first + ids for ids in wholes]
        return contexts, wholes

    def _joined(self, context: str, scored: str) -> tuple[Ids, Ids]:
        """The ids of the context and of both: one string tokenized at once, or two where the model learnt so.

        White space at the end of a context belongs to what is scored, as in lm-evaluation-harness: "Topic: "
        and "Sports" are read as "Topic:" and " Sports", which is how such models spell words. A tokenizer
        that keeps the two apart has a token for the space, which stays where it is.
        """
        if self.encoder.apart:
            head = self.start + self.encoder.ids(context)
            return head, head + self.encoder.ids(scored)
        return self.start + self.encoder.ids(context.rstrip()), self.start + self.encoder.ids(context + scored)

    def _begins(self, contexts: Sequence[Ids], wholes: Sequence[Ids], prompt: Prompt) -> list[int]:
        """Where the scored tokens begin: behind the context, or earlier where a token reaches across.

        Choices of one context share the place, so that they are scored on the same condition.
        """
        shared = [common_prefix([context, whole]) for context, whole in zip(contexts, wholes, strict=True)]
        if prompt.scored != "rest":
            shared = [min(shared)] * len(shared)
        return [max(1, min(place, len(whole) - 1)) for place, whole in zip(shared, wholes, strict=True)]

    def _first_token(self) -> Ids:
        ids = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id)
        return next(([int(token)] for token in ids if token is not None), [])


def _text(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces)
