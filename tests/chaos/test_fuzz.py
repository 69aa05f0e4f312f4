"""A short run of the fuzzer, the same every time; `python tests/chaos/fuzz.py` is the long one."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import fuzz
import pytest

from promptshot.errors import InputError

FEW = {"rows": 1500, "writer": 600, "classify": 600, "lint": 300}  # of the others, 150
TARGETS = [pytest.param(name, marks=pytest.mark.torch) if name == "words" else name for name in fuzz.TARGETS]


@pytest.mark.parametrize("target", TARGETS)
def test_broken_input_gets_a_plain_complaint(target: str) -> None:
    search = fuzz.run(target, FEW.get(target, 150), seconds=60, seed=7)
    assert not search.findings, search.report(1)
    assert search.tried > len(fuzz.seeds(target))


def test_the_fuzzer_feeds_the_readers_and_no_file() -> None:
    found, problem = fuzz.read(b'{"a": "b"}\n{', "a.jsonl")
    assert ([item.source for item in found], problem) == (["a.jsonl:1", "a.jsonl:2"], None)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that cannot stand a NUL behind an a, sleeps over an s, and complains of everything else."""

    def target(data: bytes) -> None:
        if b"a" in data and b"\0" in data[data.index(b"a") :]:
            raise KeyError("planted")
        if b"SLOW" in data:
            end = time.thread_time() + 2 * fuzz.SECONDS
            while time.thread_time() < end:
                pass
        raise InputError("as it should be")

    monkeypatch.setattr(fuzz, "TARGETS", {"rows": target})
    monkeypatch.setattr(fuzz, "SECONDS", 0.02)


def test_what_is_planted_is_found_made_small_and_shown(planted: None) -> None:
    search = fuzz.run("rows", 2000, seconds=60, seed=0)
    assert list(search.findings) == [f"KeyError in test_fuzz.py:{_line_of('raise KeyError')}"]
    assert list(search.findings.values()) == [b"a\0"]
    assert "KeyError in test_fuzz.py" in search.report(1.0)
    assert "b'a\\x00'" in search.report(1.0)


def test_an_input_that_takes_too_long_is_a_finding(planted: None) -> None:
    search = fuzz.Search("rows")
    search.attempt(b"xSLOWy")
    assert search.findings == {"more than 0 s": b"SLOW"}


def test_the_same_seed_tries_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[list[bytes]] = []
    for _ in range(2):
        tried.append([])
        monkeypatch.setattr(fuzz, "TARGETS", {"rows": tried[-1].append})
        fuzz.run("rows", 300, seconds=60, seed=3)
    assert tried[0] == tried[1]
    assert len(tried[0]) == 300


def test_the_program_prints_its_numbers_and_ends_with_0() -> None:
    command = [sys.executable, fuzz.__file__, "--plain", "--inputs", "100", "--target", "spec"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("spec: 100 inputs in ")
    assert "0 findings" in done.stdout


def _line_of(text: str) -> int:
    return next(n for n, line in enumerate(Path(__file__).read_text().splitlines(), 1) if text in line)
