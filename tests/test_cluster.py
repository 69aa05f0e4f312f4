"""A run on many workers, by simulation: what hands out windows writes each once and in order, whatever is lost."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))  # benchmarks/ is not installed

from benchmarks import cluster
from benchmarks.cluster import Actor, Times, World, fleet_of, simulate
from promptshot.classify.classifier import WINDOW
from promptshot.errors import PromptshotError
from promptshot.runs import ray as runs
from promptshot.runs.ray import Handed, Lost, Window

TIMES = Times(window=20.0, deaths=0.0)
DYING = replace(TIMES, deaths=20.0)  # three minutes of life, on average
ROWS = 300_000


@pytest.mark.parametrize("workers", [1, 3, 16])
@pytest.mark.parametrize("refuses", [False, True])
def test_each_window_is_written_once_and_in_order_however_many_are_lost(workers: int, refuses: bool) -> None:
    found = simulate(replace(DYING, refuses=refuses), workers, ROWS, seed=1)  # raises where it is not so
    assert found.given > found.windows == 293
    assert found.rows == ROWS


def test_a_seed_says_all_that_happens() -> None:
    one, same, other = (simulate(DYING, 8, ROWS, seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_two_workers_need_half_the_time_of_one_where_nothing_is_lost() -> None:
    even = replace(TIMES, spread=0.0, uneven=0.0, load=0.0)
    one, two = (simulate(even, workers, ROWS) for workers in (1, 2))
    assert one.seconds == pytest.approx(293 * 20, rel=0.001)
    assert one.seconds / two.seconds == pytest.approx(2, rel=0.01)
    assert one.given == two.given == 293


def test_more_workers_than_the_driver_can_feed_add_nothing() -> None:
    fast = replace(TIMES, window=0.5, load=0.0, driver=WINDOW / 24_000)
    rates = [simulate(fast, workers, ROWS).rate for workers in (16, 64)]
    assert rates == pytest.approx([24_000] * 2, rel=0.03)


def test_a_slow_worker_holds_the_others_up_less_where_more_windows_are_held() -> None:
    slow = replace(TIMES, slow=6.0)
    few, many = (simulate(slow, 16, 2_000_000, held=held) for held in (4, 8))
    assert many.rate > 1.2 * few.rate


def test_no_more_windows_are_held_than_is_said() -> None:
    held = [simulate(replace(DYING, slow=30.0), 5, ROWS, held=held).held for held in (2, 4)]
    assert held == [10, 20]


def test_a_window_that_was_not_begun_is_not_blamed_for_a_death() -> None:
    world = World(TIMES, 0, 2)
    handing = runs.Handing(fleet_of(world, [Actor(world, 0), Actor(world, 1)]))
    handing.busy = {0: 2, 1: 1}
    begun, behind = Handed(7, Window([], None)), Handed(3, Window([], None))
    for window in (begun, behind):
        handing._lost(0, window, Lost("gone"))
    assert (begun.window.lost, behind.window.lost) == (1, 0)
    assert handing.again == [behind, begun]
    assert handing.busy == {1: 1}
    assert list(handing.waking.values()) == [0]


def test_rows_that_too_many_workers_die_of_end_the_run_with_their_place() -> None:
    with pytest.raises(PromptshotError, match=r"^rows:\d+: 4 workers died of the same 1,024 rows"):
        simulate(replace(TIMES, deaths=400.0), 4, ROWS)


def test_the_tables_stand_as_markdown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cluster, "WORKERS", (1, 4))
    monkeypatch.setattr(cluster, "HELD", (4, 8))
    arguments = ["cluster", "--rows", "100000", "--seconds-a-window", "10", "--deaths-an-hour", "1", "--seed", "3"]
    for more in ([], ["--held"]):
        monkeypatch.setattr(sys, "argv", [*arguments, *more])
        cluster.main()
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("A worker scores 102 rows/s, 10.00 s a window;")
    assert sum(line.startswith(("| 1 |", "| 4 |", "| one worker")) for line in printed) == 4
