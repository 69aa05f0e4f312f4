"""Replaced-token scoring: each word stands in the blank, and a discriminator says of its tokens whether they are those
of the text or were put there by a generator (ELECTRA, arXiv 2003.10555; kexue.fm 7846)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from promptshot.scorers.checkpoints.encoder import Ids
from promptshot.scorers.engine.base import WordScorer
from promptshot.scorers.engine.heads import Head, asked
from promptshot.scorers.engine.plans import Plan, Query, Stretch
from promptshot.scorers.mlm import MlmPlanner
from promptshot.scoring import Kind, Prompt


class RtdPlanner(MlmPlanner):
    """As a cloze is tokenized, with the word itself where a cloze has its masks."""

    def plan(self, prompt: Prompt) -> Plan:
        """One query for each choice, all with the same cut of the row's text."""
        cloze = super().plan(prompt)
        words = self._spelled(prompt)
        queries = []
        for i, word in enumerate(words):
            masked, types, start = self._ids(cloze.fitted.pieces, len(word))
            ids = [*masked[:start], *word, *masked[start + len(word) :]]
            lead = self.encoder.lead(word)
            asked = tuple(range(start, start + len(word)))
            queries.append(Query(ids, (i,), asked, (tuple(word),), types, leads=(lead,) if lead else ()))
        return Plan(tuple(queries), cloze.tokens, cloze.fitted)

    def stretches(self, prompt: Prompt, plan: Plan) -> list[Stretch]:
        """Those of a cloze, with the first word in its blank."""
        word = self._spelled(prompt)[0]
        return [
            replace(one, ids=word) if one.pieces and one.pieces[0].kind is Kind.MASK else one
            for one in super().stretches(prompt, plan)
        ]

    @property
    def special(self) -> Ids:
        """Those around a text."""
        layout = self.encoder.layout(pair=False)
        return [*layout.before, *layout.after]


class WordHead(Head):
    """A head that is applied to the tokens of a word only, each of them behind the first token of its row, for
    DeBERTa-v3's looks at both."""

    def states(self, inputs: dict[str, Any], rows: Tensor, places: Tensor) -> Tensor:
        """(2 x positions, hidden), the first tokens of the rows before all others; or (positions,) where the head
        stays on."""
        if not self.sparse:
            return super().states(inputs, rows, places)
        return super().states(inputs, rows.repeat(2), torch.cat([torch.zeros_like(places), places]))

    def logits(self, states: Tensor) -> Tensor:
        """(positions,) from what `states` gives."""
        if not self.sparse:
            return states
        pairs = torch.stack(states.chunk(2), 1)  # (positions, 2, hidden)
        return self.headed(pairs)[:, 1]

    def read(self, inputs: dict[str, Tensor], batch: Sequence[Query]) -> list[Tensor]:
        """Natural-log odds that the asked tokens of each query are its own: (choices, asked), float64, on the CPU.

        The model's logit is that of "replaced"; all choices of a query are spelled the same.
        """
        rows, places = asked(batch, self.model.device)
        odds = -self.logits(self.states(inputs, rows, places)).cpu().double()  # (asked in all,)
        parts = torch.split(odds, [len(query.asked) for query in batch])
        return [part.expand(len(query.choices), -1) for part, query in zip(parts, batch, strict=True)]


class RtdScorer(WordScorer):
    """Sum over a word's tokens of the natural-log odds that each was not replaced; one forward per choice."""

    name = "rtd"

    def _prepare(self) -> None:
        self.head = WordHead(self.model, self.options.plain)
