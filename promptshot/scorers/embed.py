"""Scoring by vectors: the cosine of a row's text and a sentence with the word (kexue.fm 8069, arXiv 1908.10084)."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from promptshot.errors import ModelError, OptionError
from promptshot.scorers.checkpoints import sentences
from promptshot.scorers.checkpoints.encoder import Encoder, Ids
from promptshot.scorers.checkpoints.fitting import Fitted, beginning, slide
from promptshot.scorers.checkpoints.opening import quiet
from promptshot.scorers.engine.base import TorchScorer, scored_of
from promptshot.scorers.engine.heads import LastLayer, probe, same
from promptshot.scorers.engine.plans import Plan, Planner, Query, Stretch
from promptshot.scorers.engine.pooling import FIRST_LAST, pooled
from promptshot.scoring import Kind, Piece, Prompt, Scored

POOLINGS = ("mean", "cls", FIRST_LAST)  # that a user may say; a folder may say others
TEMPERATURE = 0.05  # that of SimCSE's training (arXiv 2104.08821)
AT_ONCE = 2**22  # numbers of a matrix of vectors


class EmbedPlanner(Planner):
    """Every segment is a sequence of its own; where it has no blank, all choices share it."""

    def __init__(self, encoder: Encoder, limit: int) -> None:
        self.said = sentences.read(*encoder.source)
        super().__init__(encoder, min(limit, self.said.limit or limit))

    def plan(self, prompt: Prompt) -> Plan:
        """The sequences without a blank, then one for each choice of the other; each is cut on its own."""
        parts, queries, cut, least = list[tuple[Piece, ...]](), list[Query](), 0, False
        for segment in _segments(prompt.pieces):
            fitted = self.fit(segment, self.size(prompt))
            parts.append(fitted.pieces)
            cut, least = cut + fitted.cut, least or fitted.least
        every = tuple(range(len(prompt.choices)))
        for pieces in sorted(parts, key=_has_blank):
            if _has_blank(pieces):
                queries += [self._query(pieces, choice, (i,)) for i, choice in enumerate(prompt.choices)]
            else:
                queries.append(self._query(pieces, "", every))
        together = (*parts[0], *(piece for part in parts[1:] for piece in (Piece(Kind.BREAK), *part)))
        return Plan(
            tuple(queries), tuple(max(1, len(word)) for word in self.words(prompt)), Fitted(together, cut, 0, least)
        )

    def size(self, prompt: Prompt) -> Callable[[Sequence[Piece]], int]:
        """Tokens of a segment with the longest word."""
        return lambda pieces: max(len(self._ids(pieces, choice)) for choice in prompt.choices)

    def slid(self, prompt: Prompt, stride: int | None) -> list[tuple[Piece, ...]]:
        """Each part of one segment with each of the other."""
        slid = [slide(part, self.size(prompt), self.limit, self.encoder, stride) for part in _segments(prompt.pieces)]
        return [
            (*parts[0], *(piece for part in parts[1:] for piece in (Piece(Kind.BREAK), *part)))
            for parts in product(*slid)
        ]

    def words(self, prompt: Prompt) -> list[Ids]:
        """The tokens of each choice alone."""
        return [self.encoder.ids(choice) for choice in prompt.choices]

    def stretches(self, prompt: Prompt, plan: Plan) -> list[Stretch]:
        """The two sequences, with what they are made of."""
        layout = self.encoder.layout(pair=False)
        found = []
        for segment, pieces in enumerate(_segments(plan.fitted.pieces)):
            filled = self._filled(pieces, prompt.choices[0])
            text = "".join(piece.text for piece in filled)
            found += [Stretch(layout.before, segment), Stretch(self.encoder.ids(text), segment, tuple(filled), text)]
            found.append(Stretch(layout.after, segment))
        return found

    @property
    def special(self) -> Ids:
        """Those around a text."""
        layout = self.encoder.layout(pair=False)
        return [*layout.before, *layout.after]

    def of_text(self, text: str) -> Query:
        """A text as it is, cut to what the model takes."""
        layout = self.encoder.layout(pair=False)
        room = max(1, self.limit - len(layout.before) - len(layout.after))
        (piece,) = self._filled([Piece(Kind.FIXED, beginning(text, room, self.encoder))], "")[-1:]
        prefix = self.encoder.ids(self._read(self.said.prompt) + piece.text)[:room]
        return self._around(prefix, (0,))

    def _query(self, pieces: Sequence[Piece], choice: str, choices: tuple[int, ...]) -> Query:
        return self._around(self.encoder.ids("".join(p.text for p in self._filled(pieces, choice))), choices)

    def _around(self, ids: Ids, choices: tuple[int, ...]) -> Query:
        """The tokens of a text with the special ones around them."""
        layout = self.encoder.layout(pair=False)
        types = layout.token_types([len(ids)])
        whole = [*layout.before, *ids, *layout.after]
        return Query(whole or [self.encoder.tokenizer.pad_token_id or 0], choices, types=types or [0])

    def _ids(self, pieces: Sequence[Piece], choice: str) -> Ids:
        """All tokens of a sequence."""
        return self._query(pieces, choice, ()).ids

    def _filled(self, pieces: Sequence[Piece], choice: str) -> list[Piece]:
        """The pieces of a segment as the model reads them: with the word, the prompt of the model before them, without
        white space at both ends."""
        filled = [replace(p, text=choice) if p.kind is Kind.MASK else p for p in pieces]
        filled = [replace(p, text=self._read(p.text)) for p in filled if p.kind is not Kind.HOLE]
        for i, strip in ((0, str.lstrip), (-1, str.rstrip)):
            if filled:
                filled[i] = replace(filled[i], text=strip(filled[i].text))
        return [Piece(Kind.FIXED, self._read(self.said.prompt)), *filled] if self.said.prompt else filled

    def _read(self, text: str) -> str:
        return text.lower() if self.said.lower else text


class EmbedScorer(TorchScorer):
    """cos(e(A), e(B)) / temperature, each choice in the blank of its segment; one forward per distinct text.

    Each distinct text of a window is run once, and so is each sentence with a word. The softmax of the scores is how
    contrastive models are trained (arXiv 2104.08821, 2103.00020).
    """

    name = "embed"
    planner: EmbedPlanner

    def _prepare(self) -> None:
        pooling, self.temperature = self.options.pooling, self.options.temperature or TEMPERATURE
        if pooling not in (None, *POOLINGS):
            raise OptionError(f"no pooling {pooling!r}", hint="use " + ", ".join(POOLINGS))
        if not 0 < self.temperature < math.inf:
            raise OptionError(f"--temperature {self.temperature:g}: cosines are divided by it", hint="0.05, say")
        self.said = self.planner.said
        if self.said.flaw and not pooling:
            hint = "say --pooling mean, cls or first-last to do without its modules"
            raise ModelError(self.said.flaw, where=self.checkpoint, hint=hint)
        self.limit = self.planner.limit
        self.modes = (pooling,) if pooling else self.said.pooling
        self.change: Callable[[Any], Any] | None = None
        self.last: LastLayer | None = None
        last = LastLayer.of(self.model) if self.modes == ("cls",) and not self.options.plain else None
        inputs = probe(self.model)
        if last and same(lambda: self._vectors(inputs, None), lambda: self._vectors(inputs, last)):
            self.last = last

    def answer(self, batch: Sequence[Query]) -> list[list[float]]:
        """The vector of each text."""
        found: list[list[float]] = self._vectors(self.tensors(batch), self.last).tolist()
        return found

    def whole(self) -> Tensor:
        """The last states of a small batch."""
        found: Tensor = self.model(**probe(self.model))[0]
        return found

    @quiet()
    def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
        """One Scored per prompt, in order; a prompt that cannot be scored carries its error."""
        plans = [self._planned(prompt) for prompt in prompts]
        asked = [(i, query) for i, plan in enumerate(plans) if isinstance(plan, Plan) for query in plan.queries]
        lines, vectors, lost = self._embedded([query for _, query in asked], len(prompts))
        pairs = list[tuple[int, int, int, int]]()  # prompt, choice, and the lines of the two vectors
        for i, queries in groupby(zip(asked, lines, strict=True), key=lambda one: one[0][0]):
            of_prompt = [(query.choices, line) for (_, query), line in queries]
            if reasons := [lost[line] for _, line in of_prompt if line in lost]:
                plans[i] = reasons[0]
                continue
            for choice in range(len(prompts[i].choices)):
                one, other = (line for choices, line in of_prompt if choice in choices)
                pairs.append((i, choice, one, other))
        scores = [[math.nan] * len(prompt.choices) for prompt in prompts]
        for (i, choice, _, _), value in zip(pairs, self._cosines(vectors, pairs), strict=True):
            scores[i][choice] = value / self.temperature
        return [scored_of(plan, values) for plan, values in zip(plans, scores, strict=True)]

    @quiet()
    def embed(self, texts: Sequence[str]) -> list[Any]:
        """The vector of each text as the checkpoint makes it (see `sentences`), or as --pooling says: (width,) each.

        Texts are cut to what the model takes. Raises ModelError where it has none to give.
        """
        lines, vectors, lost = self._embedded([self.planner.of_text(text) for text in texts], 0)
        if lost:
            hint = "choose demonstrations another way"
            raise ModelError(f"no embedding of a text: {next(iter(lost.values()))}", where=self.checkpoint, hint=hint)
        return [vectors[line] for line in lines]

    def changed(self, change: Callable[[Any], Any]) -> EmbedScorer:
        """The same scorer, to which vectors are what `change` makes of them."""
        other = copy.copy(self)
        other.change = change
        return other

    @property
    def details(self) -> Mapping[str, Any]:
        """What a run record says; also how vectors are made and compared."""
        own = {"pooling": " + ".join(self.modes), "temperature": self.temperature}
        return {**super().details, **own, **({"prompt": self.said.prompt} if self.said.prompt else {})}

    def _embedded(self, queries: Sequence[Query], prompts: int) -> tuple[list[int], Any, dict[int, str]]:
        """For each query its line in a matrix of vectors (lines, width), and why some lines are none."""
        number, first, lines = dict[Any, int](), list[int](), list[int]()
        for i, query in enumerate(queries):
            key = i if self.options.plain else tuple(query.ids)
            if key not in number:
                number[key] = len(first)
                first.append(i)
            lines.append(number[key])
        found, lost = dict[int, Any](), dict[int, str]()
        done = told = 0
        for answers in self.pieces(self.batches([queries[i] for i in first], self.answer), self.budget):
            for line, values in answers:
                if isinstance(values, list):
                    found[line] = np.asarray(values, dtype=np.float32)
                else:
                    lost[line] = values or f"{len(queries[first[line]].ids)} tokens do not fit into the memory"
            done += len(answers)
            before, told = told, done * prompts // max(1, len(first))
            if self.progress and prompts:
                self.progress(told - before)
        width = len(next(iter(found.values()))) if found else 1
        nothing = np.full(width, np.nan, dtype=np.float32)
        vectors = [found.get(line, nothing) for line in range(len(first))]
        if self.progress and told < prompts:
            self.progress(prompts - told)
        return lines, np.stack(vectors) if vectors else np.zeros((0, width), dtype=np.float32), lost

    def _cosines(self, vectors: Any, pairs: Sequence[tuple[int, int, int, int]]) -> list[float]:
        """How near the two vectors of each pair are."""
        vectors = vectors.astype(np.float64)
        vectors = self.change(vectors) if self.change and len(vectors) else vectors
        sizes = np.linalg.norm(vectors, axis=-1, keepdims=True)
        vectors = vectors / np.where(sizes > 0, sizes, 1)
        one, other = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (2, 3))
        size = max(1, AT_ONCE // max(1, vectors.shape[-1]))
        found: list[float] = []
        for start in range(0, len(pairs), size):
            part = slice(start, start + size)
            found += (vectors[one[part]] * vectors[other[part]]).sum(-1).tolist()
        return found

    def _vectors(self, inputs: dict[str, Tensor], last: LastLayer | None) -> Tensor:
        """(rows, width), float32; for the first position alone, only that goes on behind the last attention."""
        both = FIRST_LAST in self.modes
        with last.only(lambda states: states[:, :1]) if last else contextlib.nullcontext():
            found = self.model(**inputs, **({"output_hidden_states": True} if both else {}))
        states: Tensor = found[0]
        own = inputs["attention_mask"][:, : states.shape[1]]
        vectors = pooled(states, own, self.modes, found.hidden_states[1] if both else None)
        alone = self.said.normalize and not self.options.pooling
        return torch.nn.functional.normalize(vectors, dim=-1) if alone else vectors


def _segments(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """The pieces of each segment."""
    found: list[list[Piece]] = [[]]
    for piece in pieces:
        if piece.kind is Kind.BREAK:
            found.append([])
        else:
            found[-1].append(piece)
    return found


def _has_blank(pieces: Sequence[Piece]) -> bool:
    return any(piece.kind is Kind.MASK for piece in pieces)
