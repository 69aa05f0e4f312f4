"""Encoder-decoder scoring: the encoder reads the text with a gap, the decoder writes the word.

What stands in the gap, and what a word is worth, is what a family was trained with; x is the text with its gap:

    T5, mT5, UMT5    x has <extra_id_0>    log p(w1 ... wn, <extra_id_1> | x, <extra_id_0>)    arXiv 1910.10683, 2.4
    BART             x has <mask>          log p(w1 ... wn | x, the text before the gap)       arXiv 1910.13461, 2.2
    Pegasus          x has <mask_1>        log p(w1 ... wn, </s> | x)                          arXiv 1912.08777, 2
    T5-PEGASUS       x ends at the gap     log p(w1 ... wn, [SEP] | x)                         kexue.fm 8209

each the sum over its tokens, by a softmax over the whole vocabulary (the first as a cloze: kexue.fm 7867). The closing
sentinel is scored with the word, so that words of different lengths are whole fillings of the gap, of which only one
can be true: "good" is not "good" and whatever may follow. BART has no sign for the end of a gap, and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from promptshot.errors import ModelError
from promptshot.scorers.checkpoints.encoder import Encoder, Ids, Unfit, in_runs, segments, sentinels
from promptshot.scorers.checkpoints.t5_pegasus import T5PegasusEncoder
from promptshot.scorers.engine.base import HeadScorer
from promptshot.scorers.engine.batches import Answers
from promptshot.scorers.engine.decoder import Decoder
from promptshot.scorers.engine.plans import Plan, Planner, Query, Stretch, refuse_nothing
from promptshot.scoring import CAUTION, Kind, Piece, Prompt

SUMMARIES = "the model was trained to sum texts up, not to fill gaps: a word is scored as the summary of its row"
SENTENCE = "<mask_1>"  # Pegasus's sign for a sentence that is left out


@dataclass(frozen=True)
class Way:
    """What a family reads in a gap and writes for it."""

    gap: Ids  # what the encoder reads there; where it is nothing, the text must end there
    opening: Ids  # what the decoder has before the word
    closing: Ids  # what is scored behind it
    follows: bool = False  # the decoder also has the text before the gap
    alone: bool = False  # the word is spelled as at the beginning of a text, and not as within this one
    start: Ids | None = None  # what begins all that is written, where config.json does not say it


def way_of(encoder: Encoder) -> Way:
    """The way of a checkpoint, by its tokenizer; raises ModelError where there is none."""
    tokenizer = encoder.tokenizer
    where = str(getattr(tokenizer, "name_or_path", ""))
    layout = encoder.layout(pair=False)
    if isinstance(encoder, T5PegasusEncoder):
        return Way([], [], layout.after, alone=True, start=layout.before)
    if signs := sentinels(tokenizer):
        return Way([signs[0]], [signs[0]], [signs[1]])
    if hasattr(tokenizer, "src_lang"):
        what = "it writes in a language that a code names, and templates name none"
        raise ModelError(what, where=where, hint="use a T5, mT5 or BART, or --scorer mlm where it has a template")
    if getattr(tokenizer, "mask_token", None) is None:
        what = "its tokenizer has no sign for a gap: neither <extra_id_0> nor a mask token"
        raise ModelError(what, where=where, hint="use a T5, mT5 or BART")
    sentence = tokenizer.convert_tokens_to_ids(SENTENCE)
    if sentence is not None and sentence != encoder.unk:
        return Way([int(sentence)], [], layout.after, alone=True)
    return Way([int(tokenizer.mask_token_id)], layout.before, [], follows=True)


class Seq2seqPlanner(Planner):
    """All words of a row ride in one query: they share what the encoder reads."""

    def __init__(self, encoder: Encoder, limit: int) -> None:
        super().__init__(encoder, limit)
        self.way = way_of(encoder)

    def plan(self, prompt: Prompt) -> Plan:
        """One query, with each word and what is scored behind it as its targets."""
        words = self._spelled(prompt)
        refuse_nothing(prompt, words)
        leads = [self.encoder.lead(word) for word in words]
        targets = tuple((*word, *self.way.closing) for word in words)
        longest = max(map(len, targets))
        ids, context = Ids(), Ids()

        def size(pieces: Sequence[Piece]) -> int:
            nonlocal ids, context
            ids, context = self._read(pieces), self._written(pieces)  # those that fit are the last it is asked for
            return max(len(ids), len(context) + longest)  # what begins the context is there, the last token is not

        fitted = self.fit(prompt.pieces, size)
        before = tuple(leads) if any(leads) else ()
        choices, asked = tuple(range(len(words))), tuple(range(longest))
        query = Query(ids, choices, asked, targets, leads=before, context=tuple(context))
        return Plan((query,), tuple(len(word) - lead for word, lead in zip(words, leads, strict=True)), fitted)

    def size(self, prompt: Prompt) -> Callable[[Sequence[Piece]], int]:
        """Tokens that are read, or written, whichever are more."""
        longest = max(map(len, self._spelled(prompt))) + len(self.way.closing)
        return lambda pieces: max(len(self._read(pieces)), len(self._written(pieces)) + longest)

    def words(self, prompt: Prompt) -> list[Ids]:
        """The tokens of each choice, without a space that has a token of its own."""
        return [word[self.encoder.lead(word) :] for word in self._spelled(prompt)]

    def stretches(self, prompt: Prompt, plan: Plan) -> list[Stretch]:
        """What the encoder reads."""
        layout = self.encoder.layout(pair=False)
        return [Stretch(layout.before), *self._text(plan.fitted.pieces), Stretch(layout.after)]

    @property
    def special(self) -> Ids:
        """Those around a text, in the gap and around a word."""
        layout = self.encoder.layout(pair=False)
        return [*layout.before, *self.way.gap, *layout.after, *self.way.opening, *self.way.closing]

    def _spelled(self, prompt: Prompt) -> list[Ids]:
        """The tokens of each choice. A space before the gap belongs to the word ("It was great")."""
        runs = segments(prompt.pieces)[0]
        gap = runs.index(Kind.MASK)
        if not self.way.gap and any(str(run).strip() for run in runs[gap + 1 :]):
            raise Unfit("this model writes what a text ends with: the template must end with {mask}")
        before = str(runs[gap - 1]) if gap else ""
        if not before or self.way.alone:
            return [self.encoder.ids(choice) for choice in prompt.choices]
        space = " " if before.endswith(" ") else ""
        return [self.encoder.continuing(space + choice) for choice in prompt.choices]

    def _text(self, pieces: Sequence[Piece]) -> Iterator[Stretch]:
        """The text and the gap."""
        runs = in_runs(pieces)[0]
        for place, run in enumerate(runs):
            if run[0].kind is Kind.MASK:
                yield Stretch(self.way.gap, 0, tuple(run))
                continue
            text = "".join(piece.text for piece in run)
            text = text.removesuffix(" ") if place + 1 < len(runs) else text
            ids = self.encoder.continuing(text) if place else self.encoder.ids(text)
            yield Stretch(ids, 0, tuple(run), text, continuing=place > 0)

    def _read(self, pieces: Sequence[Piece]) -> Ids:
        """What the encoder reads."""
        layout = self.encoder.layout(pair=False)
        return [*layout.before, *(token for part in self._text(pieces) for token in part.ids), *layout.after]

    def _written(self, pieces: Sequence[Piece]) -> Ids:
        """What the decoder has before the word, behind what begins all that it writes."""
        gap = [piece.kind for piece in pieces].index(Kind.MASK)
        before = self._text(pieces[: gap + 1]) if self.way.follows else ()
        text = [token for part in before for token in part.ids if part.pieces[0].kind is not Kind.MASK]
        return [*self.way.opening, *text]


class Seq2seqScorer(HeadScorer):
    """Sum of log p of the word's tokens, and of the sign that closes a gap where there is one; one pass of the encoder.

    The formula of each family stands at the top of this module.
    """

    name = "seq2seq"
    planner: Seq2seqPlanner
    head: Decoder

    def _prepare(self) -> None:
        self.head = Decoder(self.model, self.planner.way.start or [self._start()], self.options.plain)

    def _start(self) -> int:
        """The token that begins what the decoder writes."""
        places = (self.model.config, getattr(self.model, "generation_config", None))
        found = next((t for p in places if (t := getattr(p, "decoder_start_token_id", None)) is not None), None)
        if found is None:
            what = "its config.json has no decoder_start_token_id, which begins all that the decoder writes"
            raise ModelError(what, where=self.checkpoint, hint="add it: for T5 it is the pad_token_id")
        return int(found)

    @property
    def layers(self) -> int:
        """Those of the encoder and of the decoder."""
        config = self.model.config
        both = [("encoder_layers", "num_layers"), ("decoder_layers", "num_decoder_layers")]
        counts = [next((n for name in names if (n := getattr(config, name, None))), 0) for names in both]
        return 1 + sum(counts) if all(counts) else super().layers

    @property
    def details(self) -> dict[str, Any]:
        """Also which way the model is run."""
        doubt = self.head.doubt
        caution = {} if self.planner.way.gap else {CAUTION: SUMMARIES}
        return {**super().details, "engine": f"plain ({doubt})" if doubt else "shared encoder", **caution}

    def answers(self, queries: Sequence[Query], owners: Sequence[int]) -> Iterator[Answers]:
        """What the encoder reads is read once in a window, whatever words are asked for there."""
        if self.options.plain:
            yield from super().answers(queries, owners)
            return
        same: dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]] = {}
        for i, query in enumerate(queries):
            same.setdefault((tuple(query.ids), query.context), []).append(i)
        groups = list(same.values())
        merged = [_merged([queries[i] for i in group]) for group in groups]
        for batch in super().answers(merged, [owners[group[0]] for group in groups]):
            yield [
                (i, _own(queries[i], merged[number], values) if isinstance(values, list) else values)
                for number, values in batch
                for i in groups[number]
            ]

    def _first(self, query: Query) -> Query:
        """The place behind the context, and behind what is read before the word."""
        lead = query.leads[0] if query.leads else 0
        return replace(query, asked=(0,), targets=(), leads=(), context=(*query.context, *query.targets[0][:lead]))

    def _states(self, inputs: dict[str, Tensor]) -> Tensor:
        """The last layer of the encoder: (rows, width, hidden)."""
        return self.head.encode(inputs)


def _merged(queries: Sequence[Query]) -> Query:
    """One query with the targets of several that read the same."""
    targets = {target: lead for query in queries for target, lead in _with_leads(query)}
    leads = tuple(targets.values())
    asked, choices = range(max(map(len, targets), default=0)), range(len(targets))
    return replace(
        queries[0],
        choices=tuple(choices),
        asked=tuple(asked),
        targets=tuple(targets),
        leads=leads if any(leads) else (),
    )


def _own(query: Query, merged: Query, values: list[float]) -> list[float]:
    """The answer to a query from that to the one it was merged into."""
    places = {target: place for place, target in enumerate(merged.targets)}
    own = [places[target] for target in query.targets]
    size = len(merged.targets)
    return [values[i] for i in own] + ([values[size + i] for i in own] if query.leads else [])


def _with_leads(query: Query) -> Iterator[tuple[tuple[int, ...], int]]:
    return zip(query.targets, query.leads or [0] * len(query.targets), strict=True)
