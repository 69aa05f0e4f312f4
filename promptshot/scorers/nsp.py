"""NSP-BERT scoring: how surely segment B follows segment A (arXiv 2109.03564, kexue.fm 8671)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

from promptshot.scorers.checkpoints.encoder import Ids, in_runs, segments
from promptshot.scorers.engine.base import TorchScorer
from promptshot.scorers.engine.heads import LastLayer, probe, same
from promptshot.scorers.engine.plans import Plan, Planner, Query, Stretch
from promptshot.scoring import Kind, Piece, Prompt


class NspPlanner(Planner):
    """Every choice has a pair of segments of its own."""

    def plan(self, prompt: Prompt) -> Plan:
        """One query for each choice, all with the same cut of the row's text."""
        fitted = self.fit(prompt.pieces, self.size(prompt))
        queries = tuple(self._query(fitted.pieces, choice, i) for i, choice in enumerate(prompt.choices))
        return Plan(queries, tuple(max(1, len(word)) for word in self.words(prompt)), fitted)

    def size(self, prompt: Prompt) -> Callable[[Sequence[Piece]], int]:
        """Tokens of the longest pair."""
        return lambda pieces: max(len(self._query(pieces, choice, 0).ids) for choice in prompt.choices)

    def words(self, prompt: Prompt) -> list[Ids]:
        """The tokens of each choice alone."""
        return [self.encoder.ids(choice) for choice in prompt.choices]

    def stretches(self, prompt: Prompt, plan: Plan) -> list[Stretch]:
        """Those of `_query`, with what they are made of; where there is a hole, the word stands on its own."""
        filled = [replace(p, text=prompt.choices[0]) if p.kind is Kind.MASK else p for p in plan.fitted.pieces]
        layout = self.encoder.layout(pair=True)
        apart = any(piece.kind is Kind.HOLE for piece in filled)
        found = [Stretch(layout.before)]
        for segment, grouped in enumerate(in_runs(filled)):
            found += [Stretch(layout.between)] if segment else []
            texts = grouped if apart else [[piece for pieces in grouped for piece in pieces]]
            begin = True
            for pieces in texts:
                text = "".join(piece.text for piece in pieces)
                goes_on = not begin and pieces[0].kind is not Kind.MASK
                ids = self.encoder.continuing(text) if goes_on else self.encoder.ids(text)
                begin = begin and not ids
                found.append(Stretch(ids, segment, tuple(pieces), text, goes_on))
        return [*found, Stretch(layout.after, 1)]

    @property
    def special(self) -> Ids:
        """Those around and between two segments."""
        layout = self.encoder.layout(pair=True)
        return [*layout.before, *layout.between, *layout.after]

    def _query(self, pieces: Sequence[Piece], choice: str, number: int) -> Query:
        """The pair of segments with the choice in the blank."""
        if any(piece.kind is Kind.HOLE for piece in pieces):
            return self._query_with_hole(pieces, choice, number)
        filled = [replace(p, kind=Kind.FIXED, text=choice) if p.kind is Kind.MASK else p for p in pieces]
        parts = [self.encoder.ids("".join(map(str, runs))) for runs in segments(filled)]
        layout = self.encoder.layout(pair=True)
        ids = [*layout.before, *parts[0], *layout.between, *parts[1], *layout.after]
        return Query(ids, (number,), types=layout.token_types([len(part) for part in parts]))

    def _query_with_hole(self, pieces: Sequence[Piece], choice: str, number: int) -> Query:
        """The choice takes the position ids of the hole in the other segment, as if it stood there.

        tokens     [CLS]  c  c  [SEP]  L  L  L  (hole)  R  R  [SEP]
        positions    0    5  6    1    2  3  4   (5 6)  7  8    9
        """
        layout = self.encoder.layout(pair=True)
        word = self.encoder.ids(choice)
        ids, positions, sizes = list(layout.before), list(range(len(layout.before))), []
        hole, place, word_at = 0, len(layout.before), 0

        def put(tokens: Ids) -> None:
            nonlocal place
            ids.extend(tokens)
            positions.extend(range(place, place + len(tokens)))
            place += len(tokens)

        for segment, runs in enumerate(segments(pieces)):
            if segment:
                put(layout.between)
            begin = len(ids)
            for run in runs:
                if run is Kind.MASK:
                    word_at = len(ids)
                    ids.extend(word)
                    positions.extend([0] * len(word))  # known once the hole is met
                elif run is Kind.HOLE:
                    hole, place = place, place + len(word)
                else:
                    put(self.encoder.ids(str(run)) if len(ids) == begin else self.encoder.continuing(str(run)))
            sizes.append(len(ids) - begin)
        put(layout.after)
        positions[word_at : word_at + len(word)] = range(hole, hole + len(word))
        return Query(ids, (number,), types=layout.token_types(sizes), positions=positions)


class PairScorer(TorchScorer):
    """A scorer of two segments, whose head reads the first position only: behind the last attention that goes on alone,
    where this gives the same."""

    def _prepare(self) -> None:
        last = None if self.options.plain else LastLayer.of(self.model)
        self.last = last if last is not None and self._proves(last) else None

    def _run(self, inputs: dict[str, Tensor]) -> Tensor:
        """The logits of a batch: (rows, classes)."""
        found: Tensor = self.model(**inputs).logits
        return found

    def _logits(self, inputs: dict[str, Tensor], last: LastLayer | None) -> Tensor:
        """The same, with the first position alone where there is such a `last` layer."""
        with last.only(lambda states: states[:, :1]) if last else contextlib.nullcontext():
            return self._run(inputs)

    def _probe(self) -> dict[str, Tensor]:
        """A small batch, to try both ways with."""
        return probe(self.model)

    def _proves(self, last: LastLayer) -> bool:
        inputs = self._probe()
        return same(lambda: self._logits(inputs, None), lambda: self._logits(inputs, last))


class NspScorer(PairScorer):
    """The logit margin z0 - z1 of IsNext, each choice in the blank; one forward per choice.

    The margin orders pairs as the probability does, but does not saturate.
    """

    name = "nsp"

    def answer(self, batch: Sequence[Query]) -> list[list[float]]:
        """The margin of each pair."""
        logits = self._logits(self.tensors(batch), self.last).double()  # (rows, 2); 0 is IsNext
        return [[margin] for margin in (logits[:, 0] - logits[:, 1]).tolist()]
