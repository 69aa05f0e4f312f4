"""Rows at addresses of shared storage, by fsspec: here its storage in memory."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import failed, jsonl, read_rows, write_rows

from promptshot.cli import run_command
from promptshot.rows import remote

fsspec = pytest.importorskip("fsspec")
ROWS = [{"text": f"the room {i} was {'great' if i % 3 else 'cold'}", "label": "positive"} for i in range(2100)]
ASK = ["-t", "en-sentiment-mlm", "--scorer", "fake", "-q"]


@pytest.fixture
def put() -> Iterator[Any]:
    """Puts bytes at an address of storage that is empty afterwards."""
    storage = fsspec.filesystem("memory")

    def put(name: str, data: bytes) -> str:
        storage.pipe(f"/{name}", data)
        return f"memory://{name}"

    yield put
    storage.store.clear()


def classified(folder: Path, name: str, *arguments: str) -> bytes:
    out = folder / name
    assert run_command(["classify", *arguments, *ASK, "-o", str(out)]) == 0
    return out.read_bytes()


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_rows_of_an_address_are_those_of_a_file(put: Any, tmp_path: Path, name: str) -> None:
    data = jsonl(ROWS).encode()
    address = put(name, gzip.compress(data) if name.endswith("gz") else data)
    there = classified(tmp_path, "there.jsonl", address)
    assert there == classified(tmp_path, "here.jsonl", write_rows(tmp_path / "rows.jsonl", ROWS))
    assert there.count(b"\n") == len(ROWS)


def test_demonstrations_and_two_draws_come_from_addresses_too(put: Any, tmp_path: Path) -> None:
    demos = [{"text": f"a {i}", "label": ["positive", "negative"][i % 2]} for i in range(20)]
    rows, pool = put("rows.jsonl", jsonl(ROWS[:9]).encode()), put("pool.jsonl", jsonl(demos).encode())
    ask = ["classify", rows, "-t", "en-sentiment-causal", "--scorer", "fake", "-q", "-k", "2", "--demo-seeds", "2"]
    assert run_command([*ask, "--demos", pool, "-o", str(tmp_path / "out.jsonl")]) == 0
    assert len(read_rows(tmp_path / "out.jsonl")) == 18


def test_a_row_says_at_which_address_it_is(put: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address = put("rows.jsonl", b'{"text": "good"}\n{"text": \n')
    assert run_command(["classify", address, *ASK, "-o", str(tmp_path / "out.jsonl")]) == 3
    (reject,) = map(json.loads, (tmp_path / "out.jsonl.rejects.jsonl").read_text().splitlines())
    assert reject["source"] == f"{address}:2"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("memory://nothing.jsonl", "memory://nothing.jsonl: cannot be read ("),
        (
            "nowhere://rows.jsonl",
            "nowhere://rows.jsonl: cannot be read (ValueError: Protocol not known: nowhere); check",
        ),
        ("dropbox://rows.jsonl", "dropbox://rows.jsonl: no package here reads such addresses; "),
    ],
)
def test_what_cannot_be_read_is_said_in_a_line(address: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in failed(capsys, "classify", address, *ASK)


def test_a_storage_that_fails_in_the_middle_is_a_torn_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Failing:
        def __init__(self) -> None:
            self.left = [jsonl(ROWS).encode()[:90_000], b""]

        def read(self, _: int) -> bytes:
            if self.left[0]:
                return self.left.pop(0)
            raise KeyError("no such key any more")

        def close(self) -> None:
            pass

    monkeypatch.setattr(fsspec, "open", lambda *_: type("Found", (), {"open": lambda _: Failing()})())
    assert remote.opened("s3://b/rows.jsonl").read(9) == b'{"text": '
    out = tmp_path / "out.jsonl"
    assert run_command(["classify", "s3://b/rows.jsonl", *ASK, "-o", str(out)]) == 1
    assert "KeyError: 'no such key any more'" in capsys.readouterr().err
    assert len(read_rows(out)) > 1000
