"""PET cloze scoring: the blank becomes mask tokens, a word's tokens are read there (kexue.fm 7764).

What the tokens w1 .. wn of a word know of one another is the prompt's `multi_token`; ? is a mask, each token is read
where it is marked, and all else of the prompt is there:

    independent             ? ? ?                               one forward for all words of n tokens, as in PET
                            ^ ^ ^
    left-to-right           ? ? ?      w1 ? ?     w1 w2 ?       the chain rule (Kauf and Ivanova 2023, within a word)
                            ^             ^             ^
    pseudo-log-likelihood   ? w2 w3    w1 ? w3    w1 w2 ?       each beside all others (Salazar et al. 2020)
                            ^             ^             ^
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from promptshot.errors import ModelError
from promptshot.scorers.checkpoints.encoder import Encoder, Ids, in_runs, segments
from promptshot.scorers.checkpoints.opening import quiet
from promptshot.scorers.engine.base import HeadScorer
from promptshot.scorers.engine.plans import Plan, Planner, Query, Stretch, refuse_nothing
from promptshot.scorers.engine.sampling import gibbs
from promptshot.scoring import Draft, Drawing, Drawn, Kind, MultiToken, Piece, Prompt


class MlmPlanner(Planner):
    """Every word length has its own number of masks; words that know of their tokens are asked for one by one."""

    def __init__(self, encoder: Encoder, limit: int) -> None:
        super().__init__(encoder, limit)
        if encoder.tokenizer.mask_token_id is None:
            where = getattr(encoder.tokenizer, "name_or_path", "")
            raise ModelError("the tokenizer has no mask token", where=where, hint="use a BERT-like model")
        self.mask = int(encoder.tokenizer.mask_token_id)

    def plan(self, prompt: Prompt) -> Plan:
        """The queries for each word length; words share those that show the same."""
        words = self._spelled(prompt)
        refuse_nothing(prompt, words)
        leads = [self.encoder.lead(word) for word in words]
        fitted = self.fit(prompt.pieces, self.size(prompt))
        queries = []
        for n in sorted({len(word) for word in words}):
            masked, types, start = self._ids(fitted.pieces, n)
            for (shown, places), choices in _sights(words, n, prompt.multi_token).items():
                ids = [*masked[:start], *(self.mask if one is None else one for one in shown), *masked[start + n :]]
                asked = tuple(start + place for place in places)
                targets = tuple(tuple(words[i][place] for place in places) for i in choices)
                before = tuple(sum(place < leads[i] for place in places) for i in choices) if any(leads) else ()
                queries.append(Query(ids, tuple(choices), asked, targets, types, leads=before))
        tokens = tuple(len(word) - lead for word, lead in zip(words, leads, strict=True))
        return Plan(tuple(queries), tokens, fitted)

    def size(self, prompt: Prompt) -> Callable[[Sequence[Piece]], int]:
        """Tokens with the masks of the longest word."""
        longest = max(map(len, self._spelled(prompt)))
        return lambda pieces: len(self._ids(pieces, longest)[0])

    def words(self, prompt: Prompt) -> list[Ids]:
        """The tokens of each choice, without a space that has a token of its own."""
        return [word[self.encoder.lead(word) :] for word in self._spelled(prompt)]

    def stretches(self, prompt: Prompt, plan: Plan) -> list[Stretch]:
        """Those of `_ids`, with what they are made of."""
        masks = len({place for query in plan.queries if 0 in query.choices for place in query.asked})
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
    """Sum of log p of a word's n tokens at n masks, full-vocabulary softmax; one forward per distinct n, or n for each
    word where its tokens know of one another."""

    name = "mlm"

    @quiet()
    def sample(self, drafts: Sequence[Draft], how: Drawing, watch: Callable[[str], object] = str) -> list[list[Drawn]]:
        """Texts by Gibbs sampling, see `sampling.gibbs`."""
        return gibbs(self, drafts, how, watch)


Sight = tuple[tuple[int | None, ...], tuple[int, ...]]  # tokens at the blank, None for a mask, and the places read


def _sights(words: Sequence[Ids], n: int, how: MultiToken) -> dict[Sight, list[int]]:
    """What is shown at the blank, and where it is read, for the words of n tokens; with the numbers of the words."""
    found: dict[Sight, list[int]] = {}
    for i, word in enumerate(words):
        if len(word) != n:
            continue
        if how == "independent" or n < 2:
            sights: list[Sight] = [((None,) * n, tuple(range(n)))]
        elif how == "left-to-right":
            sights = [((*word[:j], *[None] * (n - j)), (j,)) for j in range(n)]
        else:
            sights = [((*word[:j], None, *word[j + 1 :]), (j,)) for j in range(n)]
        for sight in sights:
            found.setdefault(sight, []).append(i)
    return found
