"""Token ids on disk, and the samples made from them: plain stretches of text, and texts in the frame of a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from tokenizers import Tokenizer

from training.corpus import SOURCES, Source
from training.files import whole
from training.frames import Frames, Hint
from training.heldout import EvaluationTexts, clean
from training.words import Ids, Odds, Words

Rng = np.random.Generator
NOT_ASKED = -100.0


@dataclass(frozen=True)
class Encoded:
    """One source as token ids: `ids[ends[i-1]:ends[i]]` is clause i, documents are ranges of clauses.

    `marks` has a line for each word of the source's word list: clause, word, its first token there and the one behind.
    """

    source: Source
    ids: Ids
    clause_ends: Ids
    document_ends: Ids
    marks: Ids  # (n, 4)

    def clause(self, index: int) -> Ids:
        """The token ids of one clause."""
        return self.ids[int(self.clause_ends[index - 1]) if index else 0 : int(self.clause_ends[index])]

    def bounds(self, document: int) -> range:
        """The clauses of one document, by number."""
        return range(int(self.document_ends[document - 1]) if document else 0, int(self.document_ends[document]))

    def document(self, index: int) -> list[Ids]:
        """The clauses of one document."""
        return [self.clause(i) for i in self.bounds(index)]

    def around(self, clause: int, longest: int, rng: np.random.Generator) -> range:
        """A clause and its neighbours on both sides, as many as a length drawn anew allows."""
        bounds = self.bounds(int(np.searchsorted(self.document_ends, clause, side="right")))
        first = last = clause
        size, limit = len(self.clause(clause)), int(rng.integers(min(12, longest - 1), longest))
        while size < limit and (first > bounds.start or last + 1 < bounds.stop):
            if last + 1 < bounds.stop and (first == bounds.start or rng.random() < 0.5):
                last += 1
                size += len(self.clause(last))
            else:
                first -= 1
                size += len(self.clause(first))
        return range(first, last + 1)


def encode(corpus: Path, source: Source, tokenizer: Tokenizer, words: Words, without: EvaluationTexts) -> Encoded:
    """Tokenize one source, less what overlaps, and mark its words."""
    flat: list[int] = []
    clause_ends: list[int] = []
    document_ends: list[int] = []
    marks: list[tuple[int, int, int, int]] = []
    for parts, _ in clean(corpus, source, without):
        if parts and source.language == "en":
            parts[0] = f" {parts[0]}"  # byte-level pieces of a first word like those of any other
        for part, encoding in zip(parts, tokenizer.encode_batch(parts, add_special_tokens=False), strict=True):
            words_here = list(words.find(part))
            offsets = encoding.offsets if words_here else []
            for found in words_here:
                inside = [i for i, (a, b) in enumerate(offsets) if a < found.stop and b > found.start]
                if inside:
                    marks.append((len(clause_ends), found.word, inside[0], inside[-1] + 1))
            flat.extend(encoding.ids)
            clause_ends.append(len(flat))
        document_ends.append(len(clause_ends))
    table = np.array(marks, np.int32).reshape(-1, 4)
    return Encoded(source, np.array(flat, np.uint16), np.array(clause_ends), np.array(document_ends), table)


def save(encoded: Encoded, path: Path) -> None:
    """Write one encoded source."""
    arrays = {name: getattr(encoded, name) for name in ("ids", "clause_ends", "document_ends", "marks")}
    with whole(path) as out:
        np.savez(out, **arrays)


def load(path: Path) -> Encoded:
    """One encoded source."""
    with np.load(path) as data:
        return Encoded(SOURCES[path.stem], data["ids"], data["clause_ends"], data["document_ends"], data["marks"])


# ---------------------------------------------------------------- plain text


def chunks(parts: list[Ids], longest: int, rng: Rng) -> Iterator[list[Ids]]:
    """Neighbouring clauses, up to a length drawn anew for each chunk (short and long ones alike)."""
    chunk: list[Ids] = []
    limit, size = int(rng.integers(24, longest)), 0
    for part in parts:
        if chunk and size + len(part) > limit:
            yield chunk
            limit, size, chunk = int(rng.integers(24, longest)), 0, []
        chunk.append(part[:longest])
        size += len(chunk[-1])
    if chunk:
        yield chunk


@dataclass(frozen=True)
class Pair:
    """A BERT sample: segment A, segment B (may be empty), whether B follows A, and where MLM must ask."""

    a: list[int]
    b: list[int]
    is_random: float  # how likely it is that B does not follow A; negative: not asked
    asked: tuple[int, ...] = ()  # positions in A that are masked in any case; then little else is
    hints: tuple[Hint, ...] = ()  # what may stand at some of these

    def __len__(self) -> int:
        return len(self.a) + len(self.b) + 3


def pairs(encoded: Encoded, document: int, longest: int, rng: Rng) -> Iterator[Pair]:
    """A document as pairs of neighbouring stretches, half of them with a strange second part, and single texts."""
    for chunk in chunks(encoded.document(document), longest, rng):
        if len(chunk) == 1 or not encoded.source.ordered or rng.random() < 0.3:
            text = np.concatenate(chunk).tolist()[:longest]
            if len(text) > 3:
                yield Pair(text, [], NOT_ASKED)
            continue
        short = rng.random()  # often the first clause alone, as a prompt would be
        cut = 1 if short < 0.4 else len(chunk) - 1 if short < 0.55 else int(rng.integers(1, len(chunk)))
        rest, is_random = chunk[cut:], int(rng.random() < 0.5)
        if is_random:
            stranger = encoded.document(int(rng.integers(len(encoded.document_ends))))
            first = int(rng.integers(len(stranger))) if stranger else 0
            rest = stranger[first : first + len(rest)]
        a = np.concatenate(chunk[:cut]).tolist()[: longest - 8]
        if rest:
            yield Pair(a, np.concatenate(rest).tolist()[: longest - len(a)], is_random)


@dataclass(frozen=True)
class Line:
    """A GPT-2 sample: token ids, and from where to where they are the word of a frame (0, 0: nowhere)."""

    ids: list[int]
    word: tuple[int, int] = (0, 0)
    hints: tuple[Hint, ...] = ()  # what may stand where the word begins

    def __len__(self) -> int:
        return len(self.ids)


def lines(encoded: Encoded, document: int, longest: int, end: int, rng: Rng) -> Iterator[Line]:
    """A document as stretches of text; the last one closes with the end token."""
    stretches = [np.concatenate(chunk).tolist()[:longest] for chunk in chunks(encoded.document(document), longest, rng)]
    for number, ids in enumerate(stretches, start=1):
        if len(ids) > 3:
            yield Line([*ids, end] if number == len(stretches) else ids)


# ---------------------------------------------------------------- texts in the frame of a prompt


@dataclass(frozen=True)
class Asked:
    """A text, a word that suits it, and a word drawn by the same odds whatever the text."""

    kind: str
    word: int
    stranger: int
    text: list[int]
    odds: Odds | None = None  # of the words the word was drawn from, where they are known


def of_kind(kind: str, sources: Sequence[tuple[Encoded, int]]) -> list[tuple[Encoded, int]]:
    """Those of one kind, among sources and how often each is to be counted."""
    return [(encoded, times) for encoded, times in sources if encoded.source.kind == kind]


class Asker(Protocol):
    """What draws texts with words that suit them."""

    def draw(self, longest: int, rng: Rng) -> Asked | None:
        """One text of at most `longest` tokens with its word; None if the one that was drawn will not do."""


class Questions:
    """Draws texts and the words taken out of them, the words of a list about equally often."""

    BY_HAND = 0.5  # how often a word comes from the part of the list that was written by hand
    WHOLE = 0.15  # how often the word stays in the text

    def __init__(self, sources: Sequence[tuple[Encoded, int]], words: Words) -> None:
        """From sources and how often each is to be counted; those of another kind than the words are passed over."""
        fitting = of_kind(words.kind, sources)
        self._sources = [encoded for encoded, _ in fitting]
        self._kind = words.kind
        tables = [
            np.c_[np.full(len(s.marks), i), s.marks] for i, (s, times) in enumerate(fitting) for _ in range(times)
        ]
        marks = np.concatenate(tables) if tables else np.zeros((0, 5), np.int64)
        self._marks = marks[np.argsort(marks[:, 2], kind="stable")]
        counts = np.bincount(self._marks[:, 2], minlength=len(words.words))
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        flat = np.minimum(counts, 4_000) ** 0.5
        by_hand = np.where(words.written(), np.minimum(counts, 200), 0.0) ** 0.5  # all alike but the rare ones
        both = self.BY_HAND * by_hand / max(by_hand.sum(), 1e-9) + (1 - self.BY_HAND) * flat / max(flat.sum(), 1e-9)
        self._odds = np.cumsum(both / max(both.sum(), 1e-9))

    def __bool__(self) -> bool:
        return len(self._marks) > 0

    def word(self, rng: Rng) -> int:
        """A word of the list, by the odds that every sample uses."""
        return min(int(np.searchsorted(self._odds, rng.random(), side="right")), len(self._odds) - 1)

    def draw(self, longest: int, rng: Rng) -> Asked | None:
        """One text and its word; None if too little is left of the text."""
        word = self.word(rng)
        mark = self._marks[int(rng.integers(self._starts[word], self._starts[word + 1]))]
        encoded, clause = self._sources[int(mark[0])], int(mark[1])
        whole = rng.random() < self.WHOLE
        parts = list(encoded.around(clause, longest, rng))
        kept = parts if whole else [i for i in parts if i != clause]
        if sum(len(encoded.clause(i)) for i in kept) < 6:  # a headline: take out the word and keep the rest
            kept = parts
        text: list[int] = []
        for i in kept:
            ids = encoded.clause(i).tolist()
            text += ids[: int(mark[3])] + ids[int(mark[4]) :] if i == clause and not whole else ids
        return Asked(self._kind, word, self.word(rng), text[:longest]) if len(text) >= 4 else None


def framed_pair(asker: Asker, frames: Frames, longest: int, rng: Rng) -> Pair | None:
    """A text in a frame for BERT: its word masked beside it, or before it in A, half of the time a strange one."""
    asked = asker.draw(longest - 30, rng)
    if asked is None:
        return None
    if rng.random() < 0.5:
        frame = frames.cloze(asked.kind, asked.word, rng)
        ids, first = frame.around(asked.text)
        positions = range(first + frame.start, first + frame.stop)
        share = 1.0 if asked.odds or rng.random() < 0.5 else 0.5  # some templates ask for parts of words: {mask}满意
        masked = [p for p in positions if rng.random() < share] or [int(rng.choice(positions))]
        hints = frames.hints(frame, first, asked.odds) if asked.odds else ()
        return Pair(ids, [], NOT_ASKED, tuple(masked), hints)
    shown = asked.stranger if rng.random() < 0.5 else asked.word
    frame = frames.pair(asked.kind, shown, rng)
    is_random = asked.odds.strange(shown) if asked.odds else float(shown != asked.word)
    return Pair(frame.before + frame.after, asked.text, is_random)


def framed_line(asker: Asker, frames: Frames, longest: int, end: int, rng: Rng) -> Line | None:
    """A text in a frame for GPT-2, most often the word last."""
    asked = asker.draw(longest - 30, rng)
    if asked is None:
        return None
    frame = frames.line(asked.kind, asked.word, rng)
    ids, first = frame.around(asked.text)
    hints = (frames.first_hint(frame, first, asked.odds),) if frame.last and asked.odds else ()
    return Line([*ids, end], (first + frame.start, first + frame.stop), hints)
