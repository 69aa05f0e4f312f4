"""A few of what `make chaos` tries: files that come as pipes are read as files are."""

from __future__ import annotations

import pipes
import shutil
from pathlib import Path

import pytest

SAMPLE = [
    ("classify @ --scorer fake -t zh-sentiment-mlm", "| -"),
    ("classify rows.jsonl --scorer fake -t '{mask} {text}' --labels @@", "slow <(cat)"),
    ("diff <(cat predicted.jsonl) @ --json", "<(cat)"),
    ("diff @ other.jsonl --json", "< -"),
    ("report @ --json", "fifo"),
    ("templates preview zh-sentiment-mlm @:3", "| /dev/stdin"),
    ("classify rows.jsonl --scorer fake -t @", "fifo"),
]


@pytest.mark.skipif(not shutil.which("bash") or not Path("/dev/fd").exists(), reason="no bash with <(...) here")
@pytest.mark.parametrize(("command", "way"), SAMPLE)
def test_a_file_that_comes_as_a_pipe_is_read_as_a_file_is(command: str, way: str, tmp_path: Path) -> None:
    pipes.generate(tmp_path)
    case = next(case for case in pipes.CASES if case.command == command)
    plain = pipes.run(case, None, tmp_path, 100)
    assert plain.code == 0, plain.err
    good, said = pipes.verdict(case, plain, pipes.run(case, way, tmp_path, 100))
    assert good, said
    assert said == ("refused in a line" if case.yaml else "as a file")


def test_what_hangs_or_says_something_else_is_seen(tmp_path: Path) -> None:
    pipes.generate(tmp_path)
    case = pipes.Case("report other.jsonl --json", "predicted.jsonl")
    plain = pipes.run(case, None, tmp_path, 100)
    other = pipes.run(pipes.Case("report predicted.jsonl --json", "predicted.jsonl"), None, tmp_path, 100)
    assert pipes.verdict(case, plain, plain) == (True, "as a file")
    assert pipes.verdict(case, plain, other)[1].startswith("DIFFERS (0)")
    waits = pipes.run(pipes.Case("report pipe", "-"), None, tmp_path, 100)
    assert waits.code == 1  # there is no such file
    late = pipes.run(pipes.Case("report <(sleep 30)", "-"), None, tmp_path, 5)
    assert pipes.verdict(case, plain, late) == (False, "HANGS")
