"""Scores become labels: the best of a row, or the rank in the whole run."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptshot.classify import decide


@st.composite
def priors(draw: st.DrawFn) -> list[float]:
    shares = draw(st.lists(st.integers(1, 20), min_size=2, max_size=6))
    return [share / sum(shares) for share in shares]


unlike = st.lists(st.integers(-1000, 1000), min_size=1, max_size=60, unique=True)


def test_the_best_label_has_the_highest_score_and_ties_go_to_the_first() -> None:
    assert decide.best({"a": -2.0, "b": -1.0, "c": -3.0}) == "b"
    assert decide.best({"a": -2.0, "b": -1.0, "c": -1.0}) == "b"
    assert decide.best({"a": 0.0, "b": 0.0}) == "a"


def test_softmax_agrees_with_numbers_worked_by_hand() -> None:
    found = decide.softmax({"a": math.log(1), "b": math.log(3)})
    assert found == pytest.approx({"a": 0.25, "b": 0.75})


def test_softmax_of_very_low_and_impossible_scores_still_sums_to_one() -> None:
    assert decide.softmax({"a": -5000.0, "b": -5000.0}) == {"a": 0.5, "b": 0.5}
    assert decide.softmax({"a": -math.inf, "b": 3.0}) == {"a": 0.0, "b": 1.0}
    assert sum(decide.softmax({"a": 700.0, "b": 699.0, "c": -700.0}).values()) == pytest.approx(1.0)


# ------------------------------------------------------------------ ranks


def test_ranks_agree_with_numbers_worked_by_hand() -> None:
    assert decide.rank([0.9, 0.1, 0.5, 0.3], (0.5, 0.5)) == [1, 0, 1, 0]
    assert decide.rank([5, 4, 3, 2, 1, 0], (1 / 3, 1 / 3, 1 / 3)) == [2, 2, 1, 1, 0, 0]
    assert decide.rank([4, 3, 2, 1], (0.75, 0.25)) == [1, 0, 0, 0]


@pytest.mark.parametrize("labels", [2, 3, 5, 7])
@pytest.mark.parametrize("each", [1, 2, 40, 886])
def test_a_uniform_prior_cuts_the_rows_into_equal_buckets_as_nsp_bert_does(labels: int, each: int) -> None:
    scores = list(range(labels * each))
    random.Random(labels).shuffle(scores)
    # METHODS 3.2: split = n // K, the lowest bucket is label 0.
    assert decide.rank(scores, [1 / labels] * labels) == [score // each for score in scores]


@given(scores=st.lists(st.floats(-10, 10), max_size=60), prior=priors())
def test_every_bucket_has_its_share_to_the_nearest_row(scores: list[float], prior: list[float]) -> None:
    sizes = Counter(decide.rank(scores, prior))
    assert sum(sizes.values()) == len(scores)
    assert all(0 <= bucket < len(prior) for bucket in sizes)
    even = max(prior) - min(prior) < 1e-9 and len(scores) >= len(prior)
    for bucket, share in enumerate(prior):
        if not even:
            assert abs(sizes[bucket] - share * len(scores)) <= 1 + 1e-9
        elif bucket < len(prior) - 1:
            assert sizes[bucket] == len(scores) // len(prior)


@given(scores=st.lists(st.integers(-5, 5), max_size=60), prior=priors())
def test_a_higher_score_never_gets_a_lower_bucket_and_equals_keep_their_order(
    scores: list[int], prior: list[float]
) -> None:
    buckets = decide.rank(scores, prior)
    in_order = sorted(range(len(scores)), key=lambda i: (scores[i], i))
    assert [buckets[i] for i in in_order] == sorted(buckets)


def test_even_buckets_leave_what_is_over_to_the_last_one() -> None:
    assert decide.bucket_ends(10, (0.5, 0.5)) == [5, 10]
    assert decide.bucket_ends(7, (0.5, 0.5)) == [3, 7]
    assert decide.bucket_ends(8, (1 / 3, 1 / 3, 1 / 3)) == [2, 4, 8]
    assert decide.bucket_ends(11, (0.1 + 0.2 - 0.05, 0.25, 0.25, 0.25)) == [2, 4, 6, 11]  # even, but for rounding


def test_other_shares_are_met_to_the_nearest_row_and_nobody_is_lost() -> None:
    assert decide.bucket_ends(8, (0.4, 0.3, 0.3)) == [3, 6, 8]
    assert decide.bucket_ends(2, (1 / 3, 1 / 3, 1 / 3)) == [1, 1, 2]  # fewer rows than buckets
    assert decide.bucket_ends(1, (0.25,) * 4)[-1] == 1
    assert decide.bucket_ends(1000, (0.1,) * 10) == list(range(100, 1001, 100))


def test_no_rows_have_no_ranks() -> None:
    assert decide.rank([], (0.5, 0.5)) == []


# ------------------------------------------------------------------ thresholds


def test_a_threshold_lies_half_way_between_neighbours() -> None:
    assert decide.thresholds([4.0, 1.0, 2.0, 3.0], (0.5, 0.5)) == [2.5]
    assert decide.thresholds([6.0, 1.0, 2.0, 3.0, 4.0, 5.0], (1 / 3, 1 / 3, 1 / 3)) == [2.5, 4.5]


def test_a_score_on_the_threshold_goes_up() -> None:
    assert [decide.bucket(score, [0.0, 1.0]) for score in (-1.0, 0.0, 0.5, 1.0, 2.0)] == [0, 1, 1, 2, 2]


@given(scores=unlike, prior=priors())
def test_thresholds_give_the_same_labels_as_ranks_on_the_same_rows(scores: list[int], prior: list[float]) -> None:
    cuts = decide.thresholds(scores, prior)
    assert len(cuts) == len(prior) - 1
    assert [decide.bucket(score, cuts) for score in scores] == decide.rank(scores, prior)


def test_rows_with_one_score_get_one_label_under_thresholds() -> None:
    cuts = decide.thresholds([1.0, 1.0, 1.0, 1.0], (0.5, 0.5))
    assert len({decide.bucket(1.0, cuts) for _ in range(4)}) == 1
    assert decide.rank([1.0, 1.0, 1.0, 1.0], (0.5, 0.5)) == [0, 0, 1, 1]
