"""Which words tell labels apart, by the scores that a model gave them: numbers only, no model and no rows.

    likeliest  the words of highest mean score in a label's rows (LM-BFF, arXiv 2012.15723)
    contrast   that mean less the mean in the other labels' rows: a log likelihood ratio (PETAL, 2010.13641)
    prior      the mean of a word's score over the labels; a word's weight takes it out, so that no label wins by it

Scores are natural logarithms (rows x words), and `belongs` says how much of each row is of each label (rows x labels).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptshot.prompts.verbalizer import HEAVIEST, Pool

Matrix = NDArray[np.float64]
LIKELY = 20  # words of a label, by their mean, that are compared by their contrast
SIZES = (1, 2, 4, 8)  # words a label that are tried
WORTH = 0.2  # of the words of the largest group, that a group must have to be tried
BEHIND = 2  # standard errors, below which two ways of choosing are not told apart
FOLDS = 4  # parts of the rows that are held out in turn
LIGHTEST = 3e-4  # of the loss, by which leaving a word out must lower it


@dataclass(frozen=True)
class Choice:
    """Words for each label, by their numbers, the best first; and the prior of every word."""

    words: tuple[tuple[int, ...], ...]
    prior: Matrix  # (words,)

    @property
    def complete(self) -> bool:
        """Whether every label has a word."""
        return all(self.words)

    def weights(self) -> dict[int, float]:
        """The weight of each word under logsumexp: that of its prior taken out, alike for labels of many words and few.

        Three digits; the weights of all words are 1 in the (geometric) mean.
        """
        logs = {word: -float(self.prior[word]) - math.log(len(of)) for of in self.words for word in of}
        middle = sum(logs.values()) / len(logs)
        most = math.log(HEAVIEST)
        return {
            word: max(1 / HEAVIEST, min(HEAVIEST, float(f"{math.exp(max(-most, min(most, log - middle))):.3g}")))
            for word, log in logs.items()
        }

    def label_scores(self, scores: Matrix) -> Matrix:
        """(rows, labels) as a verbalizer with these weights pools them."""
        weights = self.weights()
        return pooled(scores, [{word: weights[word] for word in of} for of in self.words], "logsumexp")


def pooled(scores: Matrix, words: Sequence[dict[int, float]], pool: Pool) -> Matrix:
    """Label scores (rows, labels) of word scores (rows, words); `words` are each label's, with their weights."""
    found = []
    for of in words:
        own, weights = scores[:, list(of)], np.array(list(of.values()))  # (rows, own words), (own words,)
        if pool == "max":
            found.append(own.max(1))
        elif pool == "mean":
            found.append(own @ weights / weights.sum())
        else:
            found.append(np.logaddexp.reduce(own + np.log(weights), axis=1))
    return np.stack(found, 1)


def means(scores: Matrix, belongs: Matrix) -> Matrix:
    """The mean score of each word in the rows of each label: (labels, words)."""
    found: Matrix = (belongs.T @ scores) / belongs.sum(0)[:, None]
    return found


def contrasts(scores: Matrix, belongs: Matrix) -> Matrix:
    """That mean less the mean in all other rows: (labels, words)."""
    found: Matrix = means(scores, belongs) - means(scores, 1 - belongs)
    return found


def choose(scores: Matrix, belongs: Matrix, size: int) -> Choice:
    """At most `size` words for each label: of the likeliest of those that speak for it most, the best contrasts.

    A word belongs to one label. A label for which none speaks most takes the best of what no other has taken.
    """
    mean, contrast = means(scores, belongs), contrasts(scores, belongs)
    speaks = contrast.argmax(0)  # (words,)
    found: list[list[int]] = []
    for label, of in enumerate(contrast):
        own = np.flatnonzero((speaks == label) & (of > 0))
        likely = own[np.argsort(-mean[label][own], kind="stable")][:LIKELY]
        found.append(likely[np.argsort(-of[likely], kind="stable")][:size].tolist())
    taken = {word for of in found for word in of}
    for label, words in enumerate(found):
        free = [word for word in np.argsort(-contrast[label], kind="stable").tolist() if word not in taken]
        if not words and free:
            words.append(free[0])
            taken.add(free[0])
    return Choice(tuple(map(tuple, found)), mean.mean(0))


def loss(label_scores: Matrix, belongs: Matrix) -> float:
    """The mean over labels of the mean of -log p of each row's own label."""
    logs = label_scores - np.logaddexp.reduce(label_scores, axis=1, keepdims=True)
    of_labels = -(belongs * logs).sum(0) / np.maximum(belongs.sum(0), 1e-12)
    return float(of_labels[belongs.sum(0) > 0].mean())


def right(label_scores: Matrix, belongs: Matrix) -> float:
    """The mean over labels of the share of its rows that come to it."""
    hit = (label_scores.argmax(1) == belongs.argmax(1)).astype(np.float64)  # (rows,)
    mass = belongs.sum(0)
    return float(((belongs.T @ hit)[mass > 0] / mass[mass > 0]).mean())


def folds(belongs: Matrix) -> NDArray[np.int64]:
    """The part in which each row is held out: the rows of every label in turn; none where a label has too few."""
    labels = belongs.argmax(1)
    counts = np.bincount(labels, minlength=belongs.shape[1])
    parts = min(FOLDS, int(counts.min()))
    if parts < 2:
        return np.zeros(0, dtype=np.int64)
    found = np.zeros(len(labels), dtype=np.int64)
    for label in range(belongs.shape[1]):
        own = np.flatnonzero(labels == label)
        found[own] = np.arange(len(own)) % parts
    return found


def held_out(scores: Matrix, belongs: Matrix, size: int) -> float:
    """The share of rows that so many words a label have right (see `right`): each part of the rows is held out in turn,
    and the words are chosen on the others; where rows are too few for that, on the rows themselves."""
    parts = folds(belongs)
    if not len(parts):
        chosen = choose(scores, belongs, size)
        found = chosen.label_scores(scores) if chosen.complete else np.zeros(belongs.shape)
        return right(found, belongs)
    found = np.zeros(belongs.shape)
    for part in range(int(parts.max()) + 1):
        out = parts == part
        chosen = choose(scores[~out], belongs[~out], size)
        if chosen.complete:
            found[out] = chosen.label_scores(scores[out])
    return right(found, belongs)


@dataclass(frozen=True)
class Ranked:
    """What was chosen: the group of words, how many a label at most, and how many of the held-out rows were right."""

    choice: Choice
    group: int
    size: int
    held_out: float


def best(
    groups: Sequence[tuple[Matrix, Matrix]], sizes: Sequence[int] = SIZES, usual: int | None = None
) -> Ranked | None:
    """Of groups of words (scores, and what their rows belong to) and sizes those that held-out rows like, or nearly.

    On few rows the best is best by chance: of all that are less than BEHIND standard errors behind it, the `usual`
    group is taken, or the one whose words are likeliest at the blank, and of that the most words (after the rule of
    one standard error, Breiman et al. 1984). None where no group has a word for every label.
    """
    tried: list[tuple[float, Ranked]] = []
    largest = max((scores.shape[1] for scores, _ in groups), default=0)
    for number, (scores, belongs) in enumerate(groups):
        for size in sizes if number == usual or scores.shape[1] >= max(1, largest * WORTH) else ():
            chosen = choose(scores, belongs, size)
            if chosen.complete:
                prior = float(np.mean([chosen.prior[word] for of in chosen.words for word in of]))
                tried.append((prior, Ranked(chosen, number, size, held_out(scores, belongs, size))))
    if not tried:
        return None
    first = max(tried, key=lambda one: one[1].held_out)[1]
    rows = max(1.0, float(groups[first.group][1].sum()))
    least = first.held_out - BEHIND * math.sqrt(first.held_out * (1 - first.held_out) / rows)
    near = [one for one in tried if one[1].held_out >= least]
    group = max(near, key=lambda one: (one[1].group == usual, one[0]))[1].group
    return max((one for _, one in near if one.group == group), key=lambda one: one.size)


def pruned(scores: Matrix, belongs: Matrix, words: Sequence[dict[int, float]], pool: Pool) -> list[int]:
    """The words, by their numbers, without which the labels are told apart better: each time the one whose loss lowers
    the loss most, and no label's last. What is left is right about as many rows, or more."""
    left, gone = [dict(of) for of in words], list[int]()
    label_scores = pooled(scores, left, pool)
    now, share = loss(label_scores, belongs), right(label_scores, belongs)
    while True:
        tries: list[tuple[float, float, int, int, Any]] = []
        for label, of in enumerate(left):
            for word in of if len(of) > 1 else ():
                column = pooled(scores, [{other: w for other, w in of.items() if other != word}], pool)[:, 0]
                without = label_scores.copy()
                without[:, label] = column
                if (kept := right(without, belongs)) >= share:
                    tries.append((loss(without, belongs), kept, label, word, without))
        if not tries or (lowest := min(tries, key=lambda one: one[0]))[0] > now - LIGHTEST:
            return gone
        now, share, label, word, label_scores = lowest
        del left[label][word]
        gone.append(word)
