"""From scores to labels: row by row, by fixed thresholds, or by ranking the whole run."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate


def best(scores: Mapping[str, float]) -> str:
    """The label with the highest score; ties go to the first."""
    return max(scores, key=scores.__getitem__)


def log_softmax(scores: Mapping[str, float]) -> dict[str, float]:
    """Label scores (natural log, or margins) as logarithms of probabilities."""
    top = max(scores.values())
    total = top + math.log(sum(math.exp(score - top) for score in scores.values()))
    return {label: score - total for label, score in scores.items()}


def softmax(scores: Mapping[str, float]) -> dict[str, float]:
    """Label scores (natural log, or margins) as probabilities that sum to 1."""
    top = max(scores.values())
    weights = [math.exp(score - top) for score in scores.values()]
    total = sum(weights)
    return dict(zip(scores, [weight / total for weight in weights], strict=True))


def bucket_ends(rows: int, prior: Sequence[float]) -> list[int]:
    """Where the buckets of `rows` ranked rows end, in shares of `prior`: 10 rows, (.5, .5) -> [5, 10].

    Every end is rounded, so that each bucket is within one row of its share.
    """
    ends = [round(rows * min(1.0, share)) for share in accumulate(prior)]
    return [*ends[:-1], rows]


def rank(scores: Sequence[float], prior: Sequence[float]) -> list[int]:
    """The bucket of each score when all are ranked and cut in shares of `prior` (samples-contrast).

    The lowest scores come into bucket 0; equal scores keep their order. It looks at the whole run, so one
    row's label depends on the other rows (arXiv 2109.03564, with the class prior made a parameter).
    """
    ends = bucket_ends(len(scores), prior)
    order = sorted(range(len(scores)), key=lambda i: scores[i])
    buckets = [0] * len(scores)
    for place, row in enumerate(order):
        buckets[row] = bisect_right(ends, place)
    return buckets


def thresholds(scores: Sequence[float], prior: Sequence[float]) -> list[float]:
    """The cuts between the buckets of `rank`, half way between neighbours: fixed limits for later rows."""
    ordered = sorted(scores)
    ends = bucket_ends(len(ordered), prior)[:-1]
    ordered.append(math.nextafter(ordered[-1], math.inf))  # above all, for a last bucket that is empty
    return [ordered[end] if end in (0, len(scores)) else (ordered[end - 1] + ordered[end]) / 2 for end in ends]


def bucket(score: float, cuts: Sequence[float]) -> int:
    """The bucket of one score under fixed thresholds."""
    return bisect_right(cuts, score)
