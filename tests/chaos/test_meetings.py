"""A short run of what `make chaos` does at length: files that meet, rows that change, runs that start together."""

from __future__ import annotations

import random
from pathlib import Path

from meetings import all_pairs, edits, starts


def test_whatever_paths_meet_nothing_of_anothers_is_changed() -> None:
    assert all_pairs(most=80, seed=3).total() == 80


def test_rows_changed_between_a_stop_and_its_resume_are_noticed(tmp_path: Path) -> None:
    assert edits(tmp_path, 2, random.Random(5)).total() == 2


def test_of_runs_that_start_together_one_writes_the_output_and_no_other_harms_it(tmp_path: Path) -> None:
    assert starts(tmp_path, 4, 1200).total() == 4
