"""Which words suit a text, found by latent semantic analysis of the corpus: texts that share terms lie near each other.

Nobody labels anything: a term is a point because of the terms it occurs beside (Deerwester and others, 1990), a text
is the mean of its terms, and a word suits the texts that lie nearer to it than most texts do. Counting learns this
from a corpus as small as ours much faster than a network does; `Lessons` let the network learn it from the counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD

from training.corpus import Source
from training.files import whole
from training.heldout import EvaluationTexts, clean
from training.samples import Asked, Encoded, Rng, of_kind
from training.words import Ids, Odds, Words

RARE = 5  # pieces a term must occur in
NEGATION = re.compile(r"not|no|never|hardly|neither|nor|without|nothing|.*n't")
NEGATED = 4  # words behind a negation, within its clause, that are terms of their own


@dataclass(frozen=True)
class Space:
    """How the terms of one kind of text are counted."""

    piece: int  # about so many terms count as occurring together
    dimensions: int
    background: tuple[str, ...] = ()  # sources of another kind that are counted too, but not asked about
    kin: int = 1  # of so many nearest words of the list a word's direction is the mean


SPACES = {  # not for Chinese reviews: there the words taken out of a text teach more
    "en-review": Space(100, 100, ("en_wiki",), kin=20),  # great alone says less than great and its like
    "zh-topic": Space(60, 200),
    "en-topic": Space(40, 200),
}


def terms(clause: str, language: str) -> list[str]:
    """What is counted: pairs of neighbouring characters in Chinese, words in English, negated ones apart."""
    if language == "zh":
        runs = re.findall(r"[\u4e00-\u9fffA-Za-z0-9]+", clause)
        return [term for run in runs for term in ([run[i : i + 2] for i in range(len(run) - 1)] or [run])]
    found, left = [], 0
    for word in re.findall(r"[a-z]+(?:'[a-z]+)?", clause.lower()):
        found.append(f"not {word}" if left > 0 else word)
        left = NEGATED if NEGATION.fullmatch(word) else left - 1
    return found


@dataclass
class _Counted:
    """One source as term numbers: where its clauses end, and which piece each clause belongs to."""

    terms: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    pieces: list[int] = field(default_factory=list)

    def by_clause(self, number: int) -> sparse.csr_matrix:
        """How often each of so many terms occurs in each clause."""
        shape = (len(self.ends), number)
        return sparse.csr_matrix((np.ones(len(self.terms), np.float32), self.terms, [0, *self.ends]), shape)


def _count(
    corpus: Path, source: Source, without: EvaluationTexts, numbers: dict[str, int], piece: int, first: int
) -> _Counted:
    """Count one source, its pieces numbered from `first`; new terms get numbers."""
    counted, current = _Counted(), first
    for parts, _ in clean(corpus, source, without):
        size = 0
        for part in parts:
            found = [numbers.setdefault(term, len(numbers)) for term in terms(part, source.language)]
            counted.terms += found
            counted.ends.append(len(counted.terms))
            counted.pieces.append(current)
            size += len(found)
            if size >= piece:
                current, size = current + 1, 0
        current += 1
    return counted


def learn(
    words: Words,
    about: Sequence[Source],
    background: Sequence[Source],
    corpus: Path,
    without: EvaluationTexts,
    folder: Path,
) -> None:
    """Write the vectors of one kind of text to a folder: one for each word, and one for each clause of its sources."""
    space, numbers, first = SPACES[words.kind], dict[str, int](), 0
    everything: list[_Counted] = []
    for source in (*about, *background):
        everything.append(_count(corpus, source, without, numbers, space.piece, first))
        first = everything[-1].pieces[-1] + 1 if everything[-1].pieces else first
    if not numbers:
        _save(folder / f"{words.kind}.npy", np.zeros((len(words.words), 1), np.float32))
        return
    table = sparse.vstack([_by_piece(counted, len(numbers), first) for counted in everything]).tocsr()
    vectors = _vectors(table, space.dimensions)
    known = [numbers.get(word, -1) for word in words.words]
    directions = np.array([vectors[n] if n >= 0 else np.zeros(vectors.shape[1]) for n in known])
    for source, counted in zip(about, everything, strict=False):  # those of the background come last
        _save(folder / f"{source.name}.npy", (counted.by_clause(len(numbers)) @ vectors).astype(np.float16))
    _save(folder / f"{words.kind}.npy", with_kin(unit(directions), space.kin).astype(np.float32))


def _save(path: Path, array: Ids) -> None:
    with whole(path) as out:
        np.save(out, array)


def unit(vectors: Ids) -> Ids:
    """The vectors at length one; zeros stay."""
    norms: Ids = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(norms, 1e-9)


def with_kin(directions: Ids, kin: int) -> Ids:
    """Each direction as the weighted mean of those of its `kin` nearest words, itself among them."""
    near = directions @ directions.T
    far = np.argsort(-near, axis=1, kind="stable")[:, kin:]
    np.put_along_axis(near, far, 0.0, axis=1)
    return unit(near @ directions)


def _by_piece(counted: _Counted, terms: int, pieces: int) -> sparse.csr_matrix:
    """Which terms occur in which pieces (pieces x terms); the pieces of other sources are empty and left out."""
    lengths = np.diff([0, *counted.ends])
    rows = np.repeat(np.array(counted.pieces, np.int64), lengths)
    matrix = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, counted.terms)), (pieces, terms))
    matrix.data[:] = 1.0
    return matrix[np.unique(rows)]


def _vectors(table: sparse.csr_matrix, dimensions: int) -> Ids:
    """A vector for each term, as long as the term is telling (terms x dimensions); zeros for rare ones."""
    counts = np.asarray(table.sum(axis=0)).ravel()
    common = np.flatnonzero(counts >= RARE)
    telling = np.log(table.shape[0] / np.maximum(counts[common], 1))
    weighted = table[:, common] @ sparse.diags(telling.astype(np.float32))
    lengths = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    by_term = (sparse.diags(1 / np.maximum(lengths, 1e-9)) @ weighted).T.tocsr()
    svd = TruncatedSVD(min(dimensions, min(by_term.shape) - 1), random_state=0)
    found = svd.fit_transform(by_term) / np.sqrt(np.maximum(svd.singular_values_, 1e-9))
    vectors = np.zeros((table.shape[1], found.shape[1]), np.float32)
    vectors[common] = unit(found) * telling[:, None]
    return vectors


class Lessons:
    """Draws any text of its kind, and a word by how well it suits the text; over all texts no word is likelier."""

    BY_HAND = 0.75  # how often only words that were written by hand are drawn from
    SHARP = (1.25, 2.0)  # the weight of a standard deviation in the log-odds: among the words by hand, among all

    def __init__(self, sources: Sequence[tuple[Encoded, int]], words: Words, folder: Path) -> None:
        """From sources, how often each is to be counted, and the folder that `learn` wrote to."""
        self._kind = words.kind
        fitting = of_kind(words.kind, sources)
        self._sources = [encoded for encoded, _ in fitting]
        self._vectors = [np.load(folder / f"{encoded.source.name}.npy") for encoded in self._sources]
        weights = np.array([times * len(encoded.clause_ends) ** 0.5 for encoded, times in fitting])
        self._shares = weights / weights.sum()
        directions = np.load(folder / f"{words.kind}.npy")
        known = np.flatnonzero(np.abs(directions).sum(axis=1) > 0)
        written = np.array(words.written(), bool)[known]
        self._pools = [_Pool(known[chosen], directions[known[chosen]]) for chosen in (written, written | True)]
        rng = np.random.default_rng(0)
        for number in range(len(self._sources)):
            texts = np.array([self._text(number, 100, rng)[1] for _ in range(2_000)])
            for pool in self._pools:
                pool.learn_usual(texts)

    def __bool__(self) -> bool:
        return bool(self._sources) and len(self._pools[0].words) > 1

    def draw(self, longest: int, rng: Rng) -> Asked | None:
        """One text and its word; None if nothing is known of the text."""
        number = int(rng.choice(len(self._sources), p=self._shares))
        text, vector = self._text(number, longest, rng)
        if len(text) < 4 or not vector.any():
            return None
        which = int(rng.random() >= self.BY_HAND)
        pool = self._pools[which]
        odds = pool.odds(number, vector, self.SHARP[which])
        word, stranger = int(rng.choice(odds.words, p=odds.shares)), int(rng.choice(odds.words))
        return Asked(self._kind, word, stranger, text[:longest], odds)

    def _text(self, number: int, longest: int, rng: Rng) -> tuple[list[int], Ids]:
        """A stretch of a source, and its direction (zeros if it has no known term)."""
        encoded = self._sources[number]
        span = encoded.around(int(rng.integers(len(encoded.clause_ends))), longest, rng)
        vector = self._vectors[number][span.start : span.stop].astype(np.float32).sum(axis=0)
        text = [int(i) for clause in span for i in encoded.clause(clause)]
        return text, unit(vector)


class _Pool:
    """Words to draw from, and how near the texts of each source usually lie to them."""

    def __init__(self, words: Ids, directions: Ids) -> None:
        self.words = words
        self._directions = directions  # (words, dimensions)
        self._usual: list[tuple[Ids, Ids]] = []  # for each source, mean and standard deviation (words,)

    def learn_usual(self, texts: Ids) -> None:
        """Note what is usual in the next source."""
        nearness = texts @ self._directions.T
        self._usual.append((nearness.mean(axis=0), nearness.std(axis=0) + 1e-6))

    def odds(self, source: int, vector: Ids, sharp: float) -> Odds:
        """How likely each word is beside a text, by how unusually near the text lies to it."""
        mean, spread = self._usual[source]
        unusual = sharp * (self._directions @ vector - mean) / spread
        shares = np.exp(unusual - unusual.max())
        return Odds(self.words, shares / shares.sum())
