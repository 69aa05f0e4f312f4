"""Texts that a model writes: by Gibbs sampling with a cloze (kexue.fm 8119), token by token with a model that goes on.

    cloze     ? ? ? ?     w ? ? ?     w ? x ?     w v x ?     w v x y     ? v x y     u v x y  ...
              every mask once, in any order, then a place at random: masked, drawn beside all others, written back

Each text has random numbers of its own, so that it is the same whatever else is drawn and in which batches. A token is
the largest of scores with Gumbel noise, which moves by no more than the scores do: rounding changes next to nothing.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from promptshot.errors import ModelError, OptionError, many
from promptshot.scorers.checkpoints.encoder import Encoder, Ids
from promptshot.scorers.engine.base import HeadScorer
from promptshot.scorers.engine.plans import Query
from promptshot.scoring import Draft, Drawing, Drawn, Gap, Kind

SWEEPS = 10  # of all places, before the first text of a chain
_UNUSED = re.compile(r"\W*(unused|extra_id|reserved|madeupword)[\w ]*\W*", re.IGNORECASE)
_LINE = re.compile("[\nĊ▃]|<0x0A>")  # a line break, as the pieces of byte-level, CPM's and sentencepiece models say it
_WITHIN = re.compile("##[^\u2e80-\uffff]")  # a piece of WordPiece that goes on with a word
_CJK = "[\u2e80-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef]"
_NO_SPACE = re.compile(rf"(?<={_CJK}) | (?={_CJK})| (?=[,.!?;:%)\]}}])|(?<=[(\[{{]) ")  # between joined tokens


# ------------------------------------------------------------------ which tokens


@dataclass(frozen=True)
class Banned:
    """Tokens that are not drawn; booleans (vocabulary,)."""

    always: Tensor  # special and unused ones, and what stands for no text
    first: Tensor  # at the first place of a gap: also what goes on with a word
    ends: Tensor  # what ends a text: the end of all, line breaks

    @classmethod
    def of(cls, scorer: HeadScorer, size: int) -> Banned:
        """Those of a scorer whose vocabulary has that size."""
        encoder = scorer.encoder
        named = [encoder.piece(token) for token in range(size)]
        special = encoder.special
        always = [not name or i in special or bool(_UNUSED.fullmatch(name)) for i, name in enumerate(named)]
        if not scorer.kind.left_to_right:  # a cloze cannot see to it that the rest of a character follows
            always = [no or "\ufffd" in encoder.shown(i) for i, no in enumerate(always)]
        within = [bool(_WITHIN.match(name)) for name in named]
        ends = [bool(_LINE.search(name)) for name in named]
        if (end := scorer.tokenizer.eos_token_id) is not None and end < size:
            ends[end] = True
        return cls(torch.tensor(always), torch.tensor(always) | torch.tensor(within), torch.tensor(ends))


def drawn(logs: Tensor, banned: Tensor, how: Drawing, noise: torch.Generator) -> int:
    """A token by its log-probabilities (vocabulary,), float64: its share is the softmax after temperature, top-k
    and top-p."""
    scores = (logs / how.temperature).masked_fill(banned, -torch.inf)
    if how.top_k is not None and how.top_k < len(scores):
        scores = scores.masked_fill(scores < scores.topk(how.top_k).values[-1], -torch.inf)
    if how.top_p is not None and how.top_p < 1:
        ordered = scores.sort(descending=True)
        before = ordered.values.softmax(0).cumsum(0).roll(1)  # of those that are likelier
        before[0] = 0.0
        scores[ordered.indices[before >= max(how.top_p, 1e-9)]] = -torch.inf
    chance = torch.rand(len(scores), generator=noise, dtype=torch.float64).clamp_min(1e-300)
    return int((scores - (-chance.log()).log()).argmax())


def _logs(scorer: HeadScorer, queries: Sequence[Query]) -> list[Tensor]:
    """The log-probabilities at the place that each query asks for: (vocabulary,) each, float64, on the CPU."""
    found: dict[int, Tensor] = {}

    def rows(numbers: Sequence[int], logs: Tensor) -> dict[int, Tensor]:
        return dict(zip(numbers, logs.cpu().double(), strict=True))

    for answers in scorer.at_places(queries, rows, found.update):
        for number, values in answers:
            if not isinstance(values, list) or not bool(torch.isfinite(found[number]).any()):
                why = values if isinstance(values, str) else "a text does not fit into the memory, or has no numbers"
                raise ModelError(f"cannot be sampled: {why}", where=scorer.checkpoint, hint="draw fewer tokens")
    return [found[i] for i in range(len(queries))]


def _check(scorer: HeadScorer, ids: int) -> None:
    if ids > scorer.limit:
        what = f"{many(ids, 'token')} of a text; the model takes {scorer.limit}"
        raise OptionError(what, hint="draw fewer, or shorten what stands around them")


def _banned(scorer: HeadScorer) -> Callable[[Tensor], Banned]:
    """What is banned, found with the first logits, which tell the size of the vocabulary."""
    known: dict[int, Banned] = {}

    def of(logs: Tensor) -> Banned:
        size = len(logs)
        if size not in known:
            known[size] = Banned.of(scorer, size)
        return known[size]

    return of


# ------------------------------------------------------------------ a cloze


@dataclass
class _Chain:
    """A sequence whose free places are drawn again and again; `gaps` are the places of each gap."""

    ids: Ids
    types: Ids
    gaps: list[range]
    draw: random.Random
    noise: torch.Generator
    texts: int
    waiting: list[int]  # masks that nothing has been drawn for yet
    spaced: list[bool]  # whether a gap stands behind a space, or at the beginning
    done: int = 0  # steps
    place: int = 0
    free: list[int] = field(default_factory=list)
    found: list[Ids] = field(default_factory=list)  # the sequence of each text

    def due(self, how: Drawing) -> int:
        """After how many steps the next text is there."""
        size = len(self.free)
        first = max(SWEEPS * size if how.burn_in is None else how.burn_in, len(self.waiting) + self.done)
        return first if not self.found else self.done_at + max(1, size if how.steps is None else how.steps)

    done_at: int = 0

    def keep(self, how: Drawing) -> None:
        """Take the text, where it is due."""
        while len(self.found) < self.texts and not self.waiting and self.done >= self.due(how):
            self.found.append(list(self.ids))
            self.done_at = self.done


def gibbs(
    scorer: HeadScorer, drafts: Sequence[Draft], how: Drawing, watch: Callable[[str], object]
) -> list[list[Drawn]]:
    """The texts of each draft, from chains of steps that run beside each other."""
    mask = int(scorer.tokenizer.mask_token_id)
    chains = [_chain(scorer, draft, mask) for draft in drafts]
    banned = _banned(scorer)
    for chain in chains:
        chain.keep(how)
    count = 0
    while going := [chain for chain in chains if len(chain.found) < chain.texts]:
        watch(f"drawing: step {(count := count + 1):,}, {many(len(going), 'chain')}")
        for chain in going:
            chain.place = chain.waiting.pop() if chain.waiting else chain.draw.choice(chain.free)
        queries = [_masked(chain.ids, chain.types, chain.place, mask) for chain in going]
        for chain, logs in zip(going, _logs(scorer, queries), strict=True):
            first = any(gap and gap[0] == chain.place for gap in chain.gaps)
            no = banned(logs).first if first else banned(logs).always
            chain.ids[chain.place] = drawn(logs, no, how, chain.noise)
            chain.done += 1
            chain.keep(how)
    watch("scoring what was drawn")
    return [[_of_chain(scorer, chain, ids, mask) for ids in chain.found] for chain in chains]


def _masked(ids: Ids, types: Ids, place: int, mask: int) -> Query:
    return Query([*ids[:place], mask, *ids[place + 1 :]], (0,), (place,), types=types)


def _chain(scorer: HeadScorer, draft: Draft, mask: int) -> _Chain:
    """The first state of a chain: what a gap begins with, or masks.

    A space before a gap belongs to its first word, as it does before a blank.
    """
    encoder, draw = scorer.encoder, random.Random(draft.seed)
    cut = draft.parts.index(Kind.BREAK) if Kind.BREAK in draft.parts else len(draft.parts)
    segments = [draft.parts[:cut], *([draft.parts[cut + 1 :]] if cut < len(draft.parts) else [])]
    layout = encoder.layout(pair=len(segments) > 1)
    ids, gaps, spaced, sizes = list(layout.before), list[range](), list[bool](), list[int]()
    for number, parts in enumerate(segments):
        ids += layout.between if number else []
        begin = len(ids)
        for place, part in enumerate(parts):
            encode = encoder.continuing if place else encoder.ids
            before = parts[place - 1] if place else ""
            if isinstance(part, Gap):
                spaced.append(not place or str(before).endswith(" "))
                own = encode((" " if place and spaced[-1] else "") + part.start) if part.start else []
                gaps.append(range(len(ids), len(ids) + (len(own) or draw.randint(part.least, part.most))))
                ids += own or [mask] * len(gaps[-1])
            elif isinstance(part, str):
                ids += encode(part.removesuffix(" ") if place + 1 < len(parts) else part)
        sizes.append(len(ids) - begin)
    ids += layout.after
    _check(scorer, len(ids))
    noise = torch.Generator().manual_seed(draw.getrandbits(62))
    free = [place for gap in gaps for place in gap]
    waiting = [place for place in free if ids[place] == mask]
    draw.shuffle(waiting)
    texts = draft.texts
    return _Chain(ids, layout.token_types(sizes), gaps, draw, noise, texts, waiting, spaced, free=free)


def _of_chain(scorer: HeadScorer, chain: _Chain, ids: Ids, mask: int) -> Drawn:
    """A text of a chain, with the sum of what each of its tokens has beside all others."""
    queries = [_masked(ids, chain.types, place, mask) for place in chain.free]
    logs = _logs(scorer, queries)
    score = sum(float(of[ids[place]]) for of, place in zip(logs, chain.free, strict=True))
    filled = [
        _read(scorer.encoder, [ids[place] for place in gap], spaced)
        for gap, spaced in zip(chain.gaps, chain.spaced, strict=True)
    ]
    return Drawn(tuple(filled), len(chain.free), score)


def _read(encoder: Encoder, ids: Ids, spaced: bool) -> str:
    """The text of tokens between others: words with spaces between them, where these are no tokens' own."""
    text = str(encoder.tokenizer.decode(ids))
    text = _NO_SPACE.sub("", text) if encoder.joins else text
    return text.strip() if spaced else text


# ------------------------------------------------------------------ a text that goes on


@dataclass
class _Going:
    """A text on its way: what stands there, and what is still to come."""

    ids: Ids
    rest: list[str | Gap]
    noise: torch.Generator
    draw: random.Random
    spaced: bool = False  # whether the gap stands behind a space, which belongs to its first word
    gap: Gap | None = None
    begin: int = 0  # of the gap
    score: float = 0.0
    tokens: int = 0
    filled: list[str] = field(default_factory=list)


def ancestral(
    scorer: HeadScorer, drafts: Sequence[Draft], how: Drawing, watch: Callable[[str], object]
) -> list[list[Drawn]]:
    """The texts of each draft: each gap is drawn from left to right, given what stands before it and nothing else."""
    texts = [_Going(*_begun(scorer, draft, number)) for draft in drafts for number in range(draft.texts)]
    banned = _banned(scorer)
    for text in texts:
        _go_on(scorer, text)
    count = 0
    while going := [text for text in texts if text.gap is not None]:
        watch(f"drawing: token {(count := count + 1):,}, {many(len(going), 'text')}")
        queries = [Query(list(text.ids), (0,), (len(text.ids) - 1,)) for text in going]
        for text, logs in zip(going, _logs(scorer, queries), strict=True):
            _extend(scorer, text, logs, banned(logs), how)
    made = iter([Drawn(tuple(text.filled), text.tokens, text.score) for text in texts])
    return [[next(made) for _ in range(draft.texts)] for draft in drafts]


def _begun(
    scorer: HeadScorer, draft: Draft, number: int
) -> tuple[Ids, list[str | Gap], torch.Generator, random.Random]:
    if Kind.BREAK in draft.parts:
        raise OptionError(f"scorer {scorer.name} reads one text, and this has two segments", hint="use a cloze")
    draw = random.Random(f"{draft.seed} {number}" if number else draft.seed)
    noise = torch.Generator().manual_seed(draw.getrandbits(62))
    parts = [part for part in draft.parts if not isinstance(part, Kind)]
    return list(getattr(scorer.planner, "start", ())), parts, noise, draw


def _go_on(scorer: HeadScorer, text: _Going) -> None:
    """Write what is fixed, up to the next gap."""
    text.gap = None
    first = not text.filled
    while text.rest and text.gap is None:
        part = text.rest.pop(0)
        if isinstance(part, Gap):
            text.gap = part
            text.ids = text.ids or list(scorer.planner.special)  # what begins a text, as where nothing is scored before
            text.begin = len(text.ids)
        else:
            text.spaced = part.endswith(" ") and bool(text.rest) and not scorer.encoder.apart
            part = part.removesuffix(" ") if text.spaced else part
            text.ids += scorer.encoder.ids(part) if first else scorer.encoder.continuing(part)
        first = False
    _check(scorer, len(text.ids) + (text.gap.most if text.gap else 0))
    if text.gap and not text.ids:
        raise OptionError("the tokenizer has no token that begins a text", hint="give a text to go on from")


def _extend(scorer: HeadScorer, text: _Going, logs: Tensor, banned: Banned, how: Drawing) -> None:
    """Draw one token, and end the gap where that does, or where it is long enough."""
    gap = text.gap
    assert gap is not None
    size = len(text.ids) - text.begin
    end = scorer.tokenizer.eos_token_id
    no = banned.always
    if size < gap.least:
        no = no | banned.ends
    elif end is not None and end < len(no):
        no = no.clone()
        no[end] = False
    token = drawn(logs, no, how, text.noise)
    over = token == end or (bool(banned.ends[token]) and not how.newlines)
    if not over:
        text.ids.append(token)
        text.score += float(logs[token])
        text.tokens += 1
    if over or size + 1 >= gap.most:
        whole, before = (str(scorer.tokenizer.decode(ids)) for ids in (text.ids, text.ids[: text.begin]))
        own = whole[len(before) :] if whole.startswith(before) else str(scorer.tokenizer.decode(text.ids[text.begin :]))
        own = own.rstrip("\ufffd")  # a character that was not finished
        text.filled.append(own.removeprefix(" ") if text.spaced or not before.strip() else own)
        _go_on(scorer, text)
