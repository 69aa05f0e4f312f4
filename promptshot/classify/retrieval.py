"""What of a pool is nearest to a text: by the words they share (BM25), or by the model's embeddings.

Everything is found for many texts at once: a matrix of how near each is to each of the pool, and its best columns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from bm25s import BM25

from promptshot.errors import OptionError, PromptshotError

AT_ONCE = 2**21  # numbers of a matrix (texts, pool)
# Words of letters and digits, but characters of Chinese each on its own: no list of words, and the same everywhere.
_HAN = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003347f"
_WORD = re.compile(rf"[{_HAN}]|[^\W{_HAN}]+")
# Whitened dimensions that are kept, by the width of the model (arXiv 2103.15316, kexue.fm 8069).
KEPT = ((1024, 384), (768, 256), (0, 128))
FLAT = 1e-6  # variance of a direction, as a part of the largest, below which it tells nothing

Vectors = Sequence[Sequence[float]]
Embed = Callable[[Sequence[str]], Vectors]
Near = Callable[[Sequence[str]], Any]  # texts -> (texts, pool): the higher, the nearer


class Index:
    """Finds the k places of a pool that are nearest to a text, in turn of each label or whatever their labels are."""

    def __init__(self, near: Near, labels: Sequence[str], k: int, balanced: bool = True) -> None:
        """`labels` are those of the pool."""
        self.near, self.size, self.k = near, len(labels), k
        groups = dict[str, list[int]]()
        for place, label in enumerate(labels):
            groups.setdefault(label if balanced else "", []).append(place)
        self._groups = [np.array(places) for places in groups.values()]  # columns: of each label, or all of them

    def places(self, texts: Sequence[str], left_out: Sequence[Sequence[int]]) -> list[list[int]]:
        """For each text its places, the nearest first, without those that are left out for it; so there may be fewer
        than k. Of places that are equally near the first ones are taken."""
        size = max(1, AT_ONCE // self.size)
        starts = range(0, len(texts), size)
        return [found for i in starts for found in self._places(texts[i : i + size], left_out[i : i + size])]

    def _places(self, texts: Sequence[str], left_out: Sequence[Sequence[int]]) -> list[list[int]]:
        scores = np.asarray(self.near(texts), dtype=np.float32)  # (texts, pool)
        scores = np.where(np.isfinite(scores), scores, np.float32(0))
        for number, places in enumerate(left_out):
            scores[number, places] = -np.inf
        # Of each group its best columns, (texts, at most k), and in which turn each of them comes:
        best = [group[top(scores[:, group], self.k)] for group in self._groups]
        found = np.concatenate(best, axis=1)  # (texts, candidates)
        turns = np.concatenate([np.arange(some.shape[1]) for some in best])  # (candidates,)
        values = np.take_along_axis(scores, found, axis=1)
        late = np.where(values > -np.inf, turns, self.size)  # what is left out comes last of all
        chosen = np.lexsort((found, -values, late))[:, : self.k]  # by turn, then by how near
        found, values = (np.take_along_axis(of, chosen, axis=1) for of in (found, values))
        order = np.lexsort((found, -values))
        lines = zip(found, values, order, strict=True)
        return [[int(line[i]) for i in places if value[i] > -np.inf] for line, value, places in lines]


def top(scores: Any, k: int) -> Any:
    """The columns of the k highest scores of each row, (rows, at most k), the highest first and of equals the first.

    Scores (rows, columns) are float32. A score and its column are one whole number, so that no two are equal.
    """
    count = scores.shape[1]
    bits = np.ascontiguousarray(scores + np.float32(0)).view(np.int32).astype(np.int64)  # + 0: no -0.0
    keys = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits)  # in the order of the numbers that the bits stand for
    keys = (keys << 32) + (count - 1 - np.arange(count))
    k = min(k, count)
    found = np.argpartition(keys, count - k, axis=1)[:, count - k :]
    order = np.argsort(-np.take_along_axis(keys, found, axis=1), axis=1)
    return np.take_along_axis(found, order, axis=1)


# ------------------------------------------------------------------ by words


def words(text: str) -> list[str]:
    """The words of a text, lower-cased, and each of its Chinese characters."""
    return _WORD.findall(text.lower())


def by_words(texts: Sequence[str]) -> Near:
    """BM25 of a pool of texts (Lucene's, k1 = 1.5, b = 0.75; Robertson and Zaragoza 2009)."""
    vocabulary = dict[str, int]()
    lines = [[vocabulary.setdefault(word, len(vocabulary)) for word in words(text) or [""]] for text in texts]
    index = BM25(method="lucene", k1=1.5, b=0.75, dtype="float64", backend="numpy")
    index.index((lines, vocabulary), show_progress=False)

    def near(asked: Sequence[str]) -> Any:
        known = [[vocabulary[word] for word in words(text) if word in vocabulary] for text in asked]
        return np.stack([index.get_scores_from_ids(line) for line in known]) if known else np.zeros((0, len(texts)))

    return near


# ------------------------------------------------------------------ by embeddings


def by_embedding(texts: Sequence[str], embed: Embed, whiten: bool = False) -> Near:
    """The cosine of embeddings, which are whitened by those of the pool where that is asked for."""
    vectors = matrix(embed, texts)  # (pool, width)
    change = whitening(vectors, "--demo-whiten: the demonstrations to choose from") if whiten else np.asarray
    pool = _normed(change(vectors))

    def near(asked: Sequence[str]) -> Any:
        return _normed(change(matrix(embed, asked))) @ pool.T if asked else np.zeros((0, len(texts)))

    return near


def whitening(vectors: Any, whose: str, most: int | None = None) -> Callable[[Any], Any]:
    """What makes the covariance of vectors (pool, width) the identity in their widest directions, at most so many;
    raises OptionError, with `whose` they are, where they do not differ.

    x~ = (x - mean) U L^(-1/2), where U L U' is the covariance (kexue.fm 8069).
    """
    mean = vectors.mean(0)  # (width,)
    width = vectors.shape[1]
    if len(vectors) < 2 or not np.ptp(vectors, axis=0).any():
        raise OptionError(f"{whose} do not differ", hint="leave it out")
    directions, variances, _ = np.linalg.svd(np.atleast_2d(np.cov(vectors.T)))
    told = min(next(kept for least, kept in KEPT if width >= least), int((variances > FLAT * variances[0]).sum()))
    told = told if most is None else max(1, min(told, most))
    weights = directions[:, :told] / np.sqrt(variances[:told])  # (width, told)
    return lambda rows: (rows - mean) @ weights


def matrix(embed: Embed, texts: Sequence[str]) -> Any:
    """The vectors of texts, (texts, width); raises a PromptshotError where a scorer gives something else."""
    try:
        found = np.array([np.asarray(vector, dtype=np.float64) for vector in embed(texts)])
    except (TypeError, ValueError) as problem:
        raise PromptshotError(f"the scorer gave embeddings that are none: {problem}") from problem
    if found.ndim != 2 or len(found) != len(texts):
        what = f"the scorer gave embeddings of shape {found.shape} for {len(texts)} texts"
        raise PromptshotError(what, hint="it must give one vector for each text, all of one size")
    return found


def _normed(vectors: Any) -> Any:
    """Each of length 1; a vector of nothing stays so."""
    sizes = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(sizes > 0, sizes, 1)
