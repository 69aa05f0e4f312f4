"""PET cloze scoring: the blank becomes mask tokens, a word's tokens are read there (kexue.fm 7764)."""

from __future__ import annotations

from collections.abc import Sequence

from promptshot.errors import ModelError
from promptshot.scorers.checkpoints.encoder import Encoder, Ids, Unfit, in_runs, segments
from promptshot.scorers.engine.base import HeadScorer
from promptshot.scorers.engine.plans import Plan, Planner, Query, Stretch
from promptshot.scoring import Kind, Piece, Prompt


class MlmPlanner(Planner):
    """Every word length has its own number of masks."""

    def __init__(self, encoder: Encoder, limit: int) -> None:
        super().__init__(encoder, limit)
        if encoder.tokenizer.mask_token_id is None:
            where = getattr(encoder.tokenizer, "name_or_path", "")
            raise ModelError("the tokenizer has no mask token", where=where, hint="use a BERT-like model")
        self.mask = int(encoder.tokenizer.mask_token_id)

    def plan(self, prompt: Prompt) -> Plan:
        """One query for each distinct word length; words of one length share it."""
        words = self._spelled(prompt)
        for choice, word in zip(prompt.choices, words, strict=True):
            if choice and not word:
                raise Unfit(f"the word {choice!r} is nothing to the tokenizer")
        leads = [self.encoder.lead(word) for word in words]
        longest = max(map(len, words))
        fitted = self.fit(prompt.pieces, lambda pieces: len(self._ids(pieces, longest)[0]))
        queries = []
        for n in sorted({len(word) for word in words}):
            ids, types, start = self._ids(fitted.pieces, n)
            choices = tuple(i for i, word in enumerate(words) if len(word) == n)
            asked = tuple(range(start, start + n))
            targets = tuple(tuple(words[i]) for i in choices)
            before = tuple(leads[i] for i in choices) if any(leads) else ()
            queries.append(Query(ids, choices, asked, targets, types, leads=before))
        tokens = tuple(len(word) - lead for word, lead in zip(words, leads, strict=True))
        return Plan(tuple(queries), tokens, fitted)

    def words(self, prompt: Prompt) -> list[Ids]:
        """The tokens of each choice, without a space that has a token of its own."""
        return [word[self.encoder.lead(word) :] for word in self._spelled(prompt)]

    def stretches(self, prompt: Prompt, plan: Plan) -> list[Stretch]:
        """Those of `_ids`, with what they are made of."""
        masks = next(len(query.asked) for query in plan.queries if 0 in query.choices)
        parts = in_runs(plan.fitted.pieces)
        layout = self.encoder.layout(pair=len(parts) > 1)
        found = [Stretch(layout.before)]
        for segment, grouped in enumerate(parts):
            found += [Stretch(layout.between)] if segment else []
            for place, pieces in enumerate(grouped):
                if pieces[0].kind is Kind.MASK:
                    found.append(Stretch([self.mask] * masks, segment, tuple(pieces)))
                    continue
                text = "".join(piece.text for piece in pieces)
                text = text.removesuffix(" ") if place + 1 < len(grouped) else text
                ids = self.encoder.continuing(text) if place else self.encoder.ids(text)
                found.append(Stretch(ids, segment, tuple(pieces), text, continuing=place > 0))
        return [*found, Stretch(layout.after, len(parts) - 1)]

    @property
    def special(self) -> Ids:
        """Those around a text, and the mask."""
        layout = self.encoder.layout(pair=False)
        return [*layout.before, self.mask, *layout.after]

    def _spelled(self, prompt: Prompt) -> list[Ids]:
        """The tokens read for each choice. A space before the blank belongs to the word ("It was great")."""
        runs = next(runs for runs in segments(prompt.pieces) if Kind.MASK in runs)
        blank = runs.index(Kind.MASK)
        encode = self.encoder.continuing if blank else self.encoder.ids
        space = " " if blank and str(runs[blank - 1]).endswith(" ") else ""
        return [encode(space + choice) for choice in prompt.choices]

    def _ids(self, pieces: Sequence[Piece], masks: int) -> tuple[Ids, Ids, int]:
        """(ids, token types, position of the first mask) of the whole sequence.

        [CLS] b e f o r e [MASK] x n  a f t e r [SEP]
        """
        parts = segments(pieces)
        layout = self.encoder.layout(pair=len(parts) > 1)
        ids, start = list(layout.before), -1
        sizes = []
        for number, runs in enumerate(parts):
            if number:
                ids += layout.between
            begin = len(ids)
            for place, run in enumerate(runs):
                if run is Kind.MASK:
                    start = len(ids)
                    ids += [self.mask] * masks
                elif isinstance(run, str):
                    followed = place + 1 < len(runs)
                    text = run.removesuffix(" ") if followed else run
                    ids += self.encoder.continuing(text) if place else self.encoder.ids(text)
            sizes.append(len(ids) - begin)
        ids += layout.after
        return ids, layout.token_types(sizes), start


class MlmScorer(HeadScorer):
    """log p of a word's n tokens at n masks, full-vocabulary softmax; one forward per distinct n."""

    name = "mlm"
