"""What is nearest agrees with slow ways to say the same: BM25, cosines, whitening, and which places are chosen."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from promptshot.classify import retrieval
from promptshot.classify.retrieval import Index, by_embedding, by_words, top, whitening, words
from promptshot.errors import OptionError, PromptshotError

POOL = [
    "The cat sat on the mat",
    "A dog chased the cat",
    "Stocks fell sharply in Tokyo",
    "the mat was red, the dog was not",
    "",
    "...",
    "股市今天大跌",
    "今天天气很好，出门散步",
    "東京 stocks 今天 fell",
]


# ------------------------------------------------------------------ words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Don't STOP, 3 times_over", ["don", "t", "stop", "3", "times_over"]),
        ("Café Ärger", ["café", "ärger"]),
        ("买iPhone15吗？", ["买", "iphone15", "吗"]),
        ("𠀀㐀豈", ["𠀀", "㐀", "豈"]),
        ("ひらがな 한국어", ["ひらがな", "한국어"]),
        ("!?… ", []),
    ],
)
def test_words_are_lower_cased_and_chinese_is_taken_by_characters(text: str, found: list[str]) -> None:
    assert words(text) == found


# ------------------------------------------------------------------ BM25


def slow_bm25(pool: Sequence[str], asked: str, k1: float = 1.5, b: float = 0.75) -> list[float]:
    """BM25 as Lucene has it, a word of a text at a time."""
    texts = [words(text) or [""] for text in pool]
    mean = sum(map(len, texts)) / len(texts)
    scores = [0.0] * len(pool)
    for word in words(asked):
        holding = sum(word in text for text in texts)
        if not holding:
            continue
        idf = math.log(1 + (len(texts) - holding + 0.5) / (holding + 0.5))
        for i, text in enumerate(texts):
            often = Counter(text)[word]
            scores[i] += idf * often / (often + k1 * (1 - b + b * len(text) / mean))
    return scores


def random_texts(seed: int, count: int) -> list[str]:
    dice = random.Random(seed)
    return [" ".join(dice.choices("abcdefghij今天气好", k=dice.randint(0, 9))) for _ in range(count)]


@pytest.mark.parametrize("seed", range(4))
def test_bm25_puts_a_pool_into_the_order_of_a_slow_reference(seed: int) -> None:
    pool, asked = random_texts(seed, 60), random_texts(100 + seed, 12)
    index = Index(by_words(pool), [""] * len(pool), k=len(pool))
    places = index.places(asked, [()] * len(asked))
    for text, found in zip(asked, places, strict=True):
        expected = slow_bm25(pool, text)
        assert sorted(found) == list(range(len(pool)))
        near = [expected[place] for place in found]
        assert all(one >= other - 1e-6 for one, other in pairwise(near))


def test_bm25_gives_the_numbers_of_a_slow_reference_up_to_one_factor() -> None:
    near = by_words(POOL)
    for asked in ("the red cat and the cat", "今天 stocks", "nothing known", ""):
        found, expected = near([asked])[0], np.array(slow_bm25(POOL, asked))
        assert np.allclose(found, expected, atol=1e-9)


def test_texts_without_any_word_are_near_to_nothing() -> None:
    index = Index(by_words(["", "...", "a b"]), ["x", "y", "x"], k=3)
    assert index.places(["", "a"], [(), ()]) == [[0, 1, 2], [2, 0, 1]]


# ------------------------------------------------------------------ which places


@pytest.mark.parametrize("k", [1, 2, 5, 40, 99])
@pytest.mark.parametrize("seed", range(3))
def test_the_top_columns_are_those_of_sorting_and_of_equals_the_first(seed: int, k: int) -> None:
    dice = np.random.default_rng(seed)
    scores = dice.integers(-3, 4, (7, 40)).astype(np.float32) / 3
    scores[dice.random(scores.shape) < 0.1] = -np.inf
    scores[0, :5] = [0.0, -0.0, 0.0, -1e-30, 1e-30]
    for line, found in zip(scores, top(scores, k), strict=True):
        assert list(found) == sorted(range(40), key=lambda i: (-line[i], i))[:k]


def slow_places(
    scores: Sequence[float], labels: Sequence[str], k: int, balanced: bool, left_out: Sequence[int]
) -> list[int]:
    """The nearest of each label in turn, those first whose next one is the nearest; then all by how near they are."""
    order = sorted((i for i in range(len(labels)) if i not in left_out), key=lambda i: (-scores[i], i))
    if balanced:
        queues = [[i for i in order if labels[i] == label] for label in dict.fromkeys(labels)]
        found: list[int] = []
        while len(found) < k and any(queues):
            turn = [queue.pop(0) for queue in queues if queue]
            found += sorted(turn, key=lambda i: (-scores[i], i))
        order = found
    return sorted(order[:k], key=lambda i: (-scores[i], i))


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("k", [1, 3, 4, 8, 30])
def test_places_agree_with_a_slow_way_whatever_is_left_out(
    k: int, balanced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieval, "AT_ONCE", 100)  # several parts
    dice = np.random.default_rng(k)
    labels = ["a"] * 11 + ["b"] * 5 + ["c"] + ["a"] * 3
    scores = dice.integers(0, 5, (17, len(labels))).astype(np.float32)
    left_out = [list(dice.choice(len(labels), int(n), replace=False)) for n in dice.integers(0, len(labels) + 1, 17)]
    index = Index(lambda texts: scores[list(map(int, texts))], labels, k, balanced)
    found = index.places([str(i) for i in range(17)], left_out)
    assert found == [
        slow_places(line.tolist(), labels, k, balanced, out) for line, out in zip(scores, left_out, strict=True)
    ]


def test_no_text_has_no_places() -> None:
    assert Index(by_words(POOL), POOL, 2).places([], []) == []
    assert Index(by_embedding(["a"], lambda texts: [[1.0]] * len(texts)), ["a"], 1).places([], []) == []


# ------------------------------------------------------------------ embeddings


def vectors(seed: int, rows: int, width: int) -> np.ndarray:
    dice = np.random.default_rng(seed)
    return dice.normal(size=(rows, width)) @ dice.normal(size=(width, width)) + 3.0


def test_similar_is_the_cosine_of_embeddings() -> None:
    made = vectors(0, 12, 5)
    made[3] = 0
    near = by_embedding([str(i) for i in range(8)], lambda texts: made[[int(t) for t in texts]].tolist())
    found = near(["8", "9", "3"])
    for line, row in zip(found, (8, 9, 3), strict=True):
        for place in range(8):
            sizes = math.hypot(*made[row]) * math.hypot(*made[place])
            assert line[place] == pytest.approx(made[row] @ made[place] / sizes if sizes else 0.0, abs=1e-9)


def test_whitening_is_that_of_principal_components() -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    made, others = vectors(1, 300, 20), vectors(2, 10, 20)
    reference = decomposition.PCA(whiten=True, svd_solver="full").fit(made)
    found, expected = whitening(made, "t")(others), reference.transform(others)
    assert found.shape == expected.shape
    signs = np.sign((found * expected).sum(0))
    assert np.allclose(found, expected * signs, atol=1e-6)


def test_whitened_vectors_have_no_covariance_left() -> None:
    made = vectors(3, 200, 16)
    found = whitening(made, "t")(made)
    assert np.allclose(np.cov(found.T), np.eye(16), atol=1e-8)
    assert np.allclose(found.mean(0), 0, atol=1e-9)


@pytest.mark.parametrize(
    ("width", "rows", "kept"), [(128, 400, 128), (200, 400, 128), (768, 400, 256), (1024, 420, 384), (64, 10, 9)]
)
def test_whitening_keeps_the_widest_directions_as_many_as_suit_the_width_and_the_rows(
    width: int, rows: int, kept: int
) -> None:
    made = np.random.default_rng(4).normal(size=(rows, width))
    found = whitening(made, "t")(made)
    assert found.shape == (rows, kept)
    assert np.isfinite(found).all()
    assert np.allclose(np.cov(found.T), np.eye(kept), atol=1e-6)


@pytest.mark.parametrize("made", [[[1.0, 2.0]], [[1.0, 2.0]] * 5])
def test_what_does_not_differ_cannot_be_whitened(made: list[list[float]]) -> None:
    with pytest.raises(OptionError, match="--demo-whiten: the demonstrations to choose from do not differ"):
        by_embedding(["t"] * len(made), lambda texts: made, whiten=True)


@pytest.mark.parametrize("made", [[[1.0], [1.0, 2.0]], [[1.0]], [1.0, 2.0], [["a"], ["b"]], None])
def test_embeddings_that_are_none_are_one_line(made: object) -> None:
    with pytest.raises(PromptshotError, match="the scorer gave embeddings"):
        by_embedding(["a", "b"], lambda texts: made)  # type: ignore[arg-type, return-value]
