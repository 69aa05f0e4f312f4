"""Successive halving: who goes on, what it costs, and that the judging rows are never looked at."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from helpers import A_OR_B, able

from promptshot.classify.prediction import Outcome
from promptshot.classify.recipe import Recipe
from promptshot.compare.bench import Bench, Entry
from promptshot.compare.candidates import Candidate
from promptshot.compare.search import FEWEST, Search, halve, schedule
from promptshot.errors import InputError
from promptshot.rows.row import Item, Row
from promptshot.scorers import Loader
from promptshot.scoring import ModelOptions


def rows(count: int, start: int = 0) -> list[Item]:
    return [Row({"text": f"{'ab'[i % 2]} {i}", "label": "ab"[i % 2]}, f"r:{i}", i) for i in range(start, start + count)]


class Counting(Bench):
    """Remembers who was scored on which rows."""

    def __init__(self) -> None:
        super().__init__(Loader())
        self.seen: dict[str, list[int]] = {}

    def score(self, candidate: Candidate, items: Sequence[Item]) -> tuple[Entry, list[Outcome]]:
        self.seen.setdefault(candidate.name, []).extend(item.key for item in items)
        return super().score(candidate, items)


def test_the_schedule_doubles_the_rows_as_candidates_drop_out() -> None:
    assert schedule(10, 400) == [(10, 50), (5, 100), (3, 200), (2, 400)]
    assert schedule(1, 400) == [(1, 400)]
    assert schedule(2, 5) == [(2, 5)]
    assert schedule(100, 40) == [
        (100, FEWEST),
        (50, FEWEST),
        (25, FEWEST),
        (13, FEWEST),
        (7, FEWEST),
        (4, FEWEST),
        (2, 40),
    ]


def test_the_best_wins_and_the_last_round_has_seen_all_rows() -> None:
    done = list(halve(able(50, 90, 10, 70, 30, 20, 40, 60), rows(400), Bench(Loader())))
    assert done[-1].ranked[0].name == "90"
    assert done[-1].rows == 400
    assert [len(one.ranked) for one in done] == [8, 4, 2]
    assert done[-1].kept == 1
    assert done[-1].right["90"] == 360


def test_no_row_is_scored_twice_for_a_candidate_and_most_candidates_see_few() -> None:
    bench = Counting()
    list(halve(able(50, 90, 10, 70, 30, 20, 40, 60), rows(400), bench))
    assert all(len(keys) == len(set(keys)) for keys in bench.seen.values())
    assert sorted(map(len, bench.seen.values())) == [100, 100, 100, 100, 200, 200, 400, 400]


def test_the_order_of_the_rows_is_drawn_by_the_seed() -> None:
    seen = []
    for seed in (0, 0, 1):
        bench = Counting()
        list(halve(able(50, 60), rows(50), bench, seed))
        seen.append(bench.seen["50"])
    assert seen[0] == seen[1] != seen[2]
    assert seen[0] != sorted(seen[0])


def test_ties_go_to_the_first_named() -> None:
    assert [one.ranked[0].name for one in halve(able(100, 200), rows(40), Bench(Loader()))] == ["100"]


def test_a_candidate_that_fails_drops_out_and_is_told() -> None:
    broken = able(50)[0]
    broken = Candidate("broken", Recipe.of(broken.recipe.template, A_OR_B, "no-such-scorer", ModelOptions()))
    (only,) = halve([broken, *able(20)], rows(40), Bench(Loader()))
    assert [one.name for one in only.ranked] == ["20"]
    assert [failure.candidate.name for failure in only.failures] == ["broken"]


def test_half_of_the_rows_choose_and_the_others_judge() -> None:
    found = Search.of(rows(101), None, able(50)[0].recipe, seed=3)
    choosing, judging = ({item.key for item in side} for side in (found.choosing, found.judging))
    assert (len(choosing), len(judging)) == (50, 51)
    assert not choosing & judging
    assert found.record()["choosing"] == sorted(key + 1 for key in choosing)


def test_a_row_that_says_what_a_choosing_row_says_does_not_judge() -> None:
    found = Search.of(
        [*rows(20), Row({"text": "a 100", "id": 7, "label": "a"}, "", 20)], rows(2, 100), able(5)[0].recipe, 0
    )
    assert [item.key for item in found.judging] == list(range(20))
    assert found.same == 1


def test_without_rows_on_both_sides_there_is_no_search() -> None:
    with pytest.raises(InputError, match="a search needs rows to choose on and others to judge on"):
        Search.of(rows(1), None, able(5)[0].recipe, 0)
    with pytest.raises(InputError, match="a search needs rows"):
        Search.of(rows(5), rows(5), able(5)[0].recipe, 0)
