"""A short run of the files of wrong types, the same every time; `python tests/chaos/config.py` is the long one."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import config
import pytest

from promptshot.cli import cli
from promptshot.cli.settings import flag


def test_a_value_of_the_wrong_type_is_one_line_and_leaves_nothing_behind() -> None:
    search = config.run(400, seed=11)
    assert not search.findings, search.report(1)
    assert search.tried == 400
    assert set(search.codes) <= {0, 1, 2, 3}
    assert search.codes[1] > 100


def test_every_option_of_every_command_with_a_file_is_tried() -> None:
    rng = random.Random(0)
    said = Counter(key for _ in range(6000) for key in _keys(config.case(rng)))
    for name in ("classify", "compare"):
        for parameter in cli.commands[name].params:
            assert parameter.name == "config" or said[flag(parameter)], flag(parameter)


def _keys(one: config.Case) -> list[str]:
    return [line.partition(":")[0].replace("_", "-") for line in one.file.splitlines()]


def test_what_is_planted_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def planted(arguments: Sequence[str]) -> int:
        said = Path("f.yaml").read_text(encoding="utf-8") if Path("f.yaml").exists() else ""
        if "limit" in said:
            raise TypeError("int() of a list")
        if "seed" in said:
            Path("stray").write_text("x")
        if "quiet" in said:
            print("error: one\nerror: two", file=sys.stderr)
            return 1
        return 4 if "plain" in said else 0

    monkeypatch.setattr(config, "run_command", planted)
    found = "\n".join(config.run(300, seed=0).findings)
    assert "TypeError in test_config.py" in found
    assert "a file that nobody asked for: 'stray'" in found
    assert "exit code 1 with 2 complaints" in found
    assert "exit code 4" in found


def test_the_program_prints_its_numbers_and_ends_with_0() -> None:
    command = [sys.executable, config.__file__, "--files", "20", "--seed", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("config: 20 files in ")
    assert "0 findings" in done.stdout
