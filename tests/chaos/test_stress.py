"""A short run of what `make chaos` does at length: runs that are stopped at random end as if nobody had."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from stress import (
    SCENARIOS,
    Scenario,
    clear,
    fill_the_disk,
    generate,
    limit_files,
    memory,
    results,
    start,
    stop_again_and_again,
    undisturbed,
)


@pytest.mark.parametrize("scenario", [SCENARIOS[0], SCENARIOS[3], SCENARIOS[6]], ids=lambda scenario: scenario.name)
def test_a_run_that_is_stopped_at_random_ends_as_if_nobody_had(scenario: Scenario, tmp_path: Path) -> None:
    generate(tmp_path, 2500, 1)
    assert stop_again_and_again(scenario, tmp_path, 2, random.Random(1)) >= 1


def test_a_file_that_may_not_grow_ends_the_run_and_it_goes_on_later(tmp_path: Path) -> None:
    scenario = SCENARIOS[0]
    generate(tmp_path, 2500, 2)
    expected, _ = undisturbed(scenario, tmp_path)
    process = start(scenario, tmp_path, preexec_fn=limit_files(600))
    said, _ = process.communicate()
    assert process.returncode == 1, said
    assert "cannot be written (File too large)" in said
    assert "the same command goes on from there" in said
    process = start(scenario, tmp_path)
    process.communicate()
    assert results(scenario, tmp_path) == expected
    clear(scenario, tmp_path)


@pytest.mark.skipif(os.geteuid() != 0 or not os.environ.get("PROMPTSHOT_CHAOS"), reason="mounts a disk: make chaos")
def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    assert fill_the_disk(SCENARIOS[0], tmp_path, 2500, random.Random(0)) > 0


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="tells no memory here")
def test_memory_does_not_grow_with_the_rows() -> None:
    assert "rows/s" in memory(20_000)
