"""Files that can be read only once, for --demos and --dev: pipes, named or not, and standard input."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers import fake, write_rows

from promptshot.classify.classifier import Classifier
from promptshot.classify.recipe import DemoPlan
from promptshot.cli import run_command
from promptshot.errors import InputError
from promptshot.rows import once as module
from promptshot.rows.once import Once, is_stdin, once
from promptshot.rows.read import read
from promptshot.rows.row import Row

ROWS = [{"text": f"row {i}", "label": ("good", "bad")[i % 2]} for i in range(12)]
LINES = "".join(f"{json.dumps(row)}\n" for row in ROWS).encode()
SHOTS = ("-t", "zh-sentiment-causal", "-k", "4", "--ignore-labels")
SENTIMENT = LINES.replace(b"good", b"positive").replace(b"bad", b"negative")
PAIRS = b"".join(b'{"text_a": "a%d", "text_b": "b"}\n' % i for i in range(9))


@contextmanager
def pipe(data: bytes) -> Iterator[str]:
    """The name of an open pipe that says this once, as a shell's <(...) has it."""
    reading, writing = os.pipe()

    def write() -> None:
        with open(writing, "wb") as stream:
            stream.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield f"/dev/fd/{reading}"
    finally:
        os.close(reading)
        writer.join()


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def predictions(tmp_path: Path, *more: str) -> bytes:
    out = tmp_path / "o.jsonl"
    assert fake(write_rows(tmp_path / "r.jsonl", ROWS), *more, "-o", str(out), "--overwrite") == 0
    return out.read_bytes()


@pytest.mark.parametrize("packed", [False, True])
def test_demonstrations_come_from_a_pipe_as_from_a_file(packed: bool, tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_bytes(SENTIMENT)
    expected = predictions(tmp_path, *SHOTS, "--demos", str(tmp_path / "d.jsonl"))
    with pipe(gzip.compress(SENTIMENT) if packed else SENTIMENT) as name:
        assert predictions(tmp_path, *SHOTS, "--demos", name) == expected


def test_demonstrations_come_from_a_named_pipe_in_a_comparison_of_several_shots(tmp_path: Path) -> None:
    path, fifo = write_rows(tmp_path / "r.jsonl", ROWS), str(tmp_path / "fifo")
    os.mkfifo(fifo)
    (tmp_path / "t.yaml").write_text(
        "scorer: causal\ntext: '{text} {mask}'\nverbalizer: {labels: {good: fine, bad: poor}}\n"
    )
    writer = threading.Thread(target=lambda: Path(fifo).write_bytes(LINES))
    writer.start()
    command = ["compare", path, "-t", str(tmp_path / "t.yaml"), "--scorer", "fake", "--demos", fifo]
    assert run_command([*command, "-k", "2", "-k", "4", "-o", str(tmp_path / "b.json")]) == 0
    writer.join()
    assert {one["shots"] for one in json.loads((tmp_path / "b.json").read_text())["candidates"]} == {2, 4}


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_demonstrations_come_from_standard_input_where_the_rows_do_not(name: str, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "r.jsonl", ROWS)
    command = [sys.executable, "-m", "promptshot", "classify", rows, *SHOTS, "--scorer", "fake", "--demos", name]
    done = subprocess.run(command, input=SENTIMENT, capture_output=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    (tmp_path / "d.jsonl").write_bytes(SENTIMENT)
    assert done.stdout == predictions(tmp_path, *SHOTS, "--demos", str(tmp_path / "d.jsonl"))


@pytest.mark.parametrize("by", ["random", "nearest"])
def test_demonstrations_of_several_runs_and_templates_come_from_one_pipe(by: str, tmp_path: Path) -> None:
    shots = ("-t", "zh-sentiment-causal", "-t", "zh-sentiment-mlm", "-k", "0,2,4", "--demos-by", by, "--ignore-labels")
    (tmp_path / "d.jsonl").write_bytes(SENTIMENT)
    expected = predictions(tmp_path, *shots, "--demos", str(tmp_path / "d.jsonl"))
    with pipe(SENTIMENT) as name:
        assert predictions(tmp_path, *shots, "--demos", name) == expected


def test_a_pipe_that_a_program_names_for_demonstrations_is_read_once() -> None:
    with pipe(SENTIMENT) as name:
        made = Classifier.load("zh-sentiment-causal", scorer="fake", demos=Path(name), k=4)
    assert made.recipe.demos is not None
    assert isinstance(made.recipe.demos.path, Once)
    assert made.recipe.demos.path.said == SENTIMENT
    assert made.recipe.fingerprint() == made.recipe.fingerprint()
    assert made.prompts(Row({"text": "a"}))[0].text().count("row ") == 4


def test_the_rows_that_fix_thresholds_come_from_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_bytes(PAIRS)
    out = []
    for number in range(2):
        path = tmp_path / f"o{number}.jsonl"
        with pipe(PAIRS) as name:
            dev = name if number else str(tmp_path / "p.jsonl")
            assert fake(str(tmp_path / "p.jsonl"), "-t", "zh-same-nsp", "--dev", dev, "-o", str(path)) == 0
        out.append(path.read_bytes())
    assert out[0] == out[1]


def test_what_a_pipe_said_is_part_of_what_decides_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = [write_rows(tmp_path / "r.jsonl", ROWS), *SHOTS, "-o", str(tmp_path / "o.jsonl")]
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for said, code in ((SENTIMENT, 0), (SENTIMENT, 0), (SENTIMENT[:-40], 1)):
        writer = threading.Thread(target=lambda data=said: fifo.write_bytes(data))  # type: ignore[misc]
        writer.start()
        assert fake(*base, "--demos", str(fifo)) == code
        writer.join()
    err = capsys.readouterr().err
    assert "all were done before" in err
    assert "from a run that differs in demo_file" in err


# ------------------------------------------------------------------ one line where it cannot be


@pytest.mark.parametrize(
    ("files", "more", "said"),
    [
        (["-"], ["--demos", "-"], "FILE and --demos are both standard input"),
        (["r.jsonl", "-"], ["--demos", "-"], "FILE and --demos are both standard input"),
        (["-"], ["--dev", "-"], "FILE and --dev are both standard input"),
        (["r.jsonl"], ["--demos", "-", "--dev", "-"], "--demos and --dev are both standard input"),
    ],
)
@pytest.mark.parametrize("command", ["classify", "compare"])
def test_standard_input_cannot_be_meant_twice(
    command: str, files: list[str], more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    search = ["--search"] if command == "compare" else []
    assert run_command([command, *files, "-t", "zh-sentiment-causal", *more, *search]) == 1
    err = capsys.readouterr().err
    assert f"error: {said}, which can be read only once; write one of them to a file\n" == err


@pytest.mark.parametrize(
    ("one", "other"), [("-", "/dev/stdin"), ("/dev/stdin", "-"), ("/dev/stdin", "/proc/self/fd/0")]
)
def test_standard_input_is_known_by_its_other_names(one: str, other: str) -> None:
    command = [sys.executable, "-m", "promptshot", "classify", one, *SHOTS, "--scorer", "fake", "--demos", other]
    done = subprocess.run(command, input=SENTIMENT, capture_output=True, check=False, timeout=100)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"error: FILE and --demos are both standard input")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("/dev/null", "/dev/null: no rows in it"),
        ("gone.jsonl", "gone.jsonl: cannot be read (No such file or directory)"),
        (".", ".: cannot be read (Is a directory)"),
    ],
)
@pytest.mark.parametrize("flag", ["--demos", "--dev"])
def test_a_file_of_no_use_is_one_line(
    flag: str, name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_rows(tmp_path / "r.jsonl", [{"text_a": "a", "text_b": "b", **row} for row in ROWS])
    template = "en-same-nsp" if flag == "--dev" else "en-sentiment-causal"
    assert fake(path, "-t", template, "--ignore-labels", flag, name) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"error: {said}")
    assert err.count("\n") == 1


def test_a_broken_line_from_a_pipe_has_its_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pipe(SENTIMENT + b"{\n") as name:
        assert fake(write_rows(tmp_path / "r.jsonl", ROWS), *SHOTS, "--demos", name) == 1
        assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {name}:13: not valid JSON")


def test_a_pipe_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 1000)
    with pytest.raises(InputError, match="/dev/zero: more than 1,000 bytes from a pipe; write it to a file first"):
        once("/dev/zero")


# ------------------------------------------------------------------ the name


def test_a_file_on_a_disk_is_left_where_it_is(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "r.jsonl", ROWS)
    assert type(once(path)) is str
    assert not is_stdin(path)
    assert not is_stdin("x\0")
    assert type(once("x\0")) is str


def test_what_was_read_is_read_again_and_goes_along_to_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, LINES)
    name = once("-")
    plan = pickle.loads(pickle.dumps(DemoPlan(name, 4)))
    for path in (name, name, plan.path):
        found = list(read([path]))
        assert [item.fields for item in found if isinstance(item, Row)] == ROWS
        assert found[0].source == "<stdin>:1"
    assert isinstance(plan.path, Once)
    assert json.dumps(plan.identity()) == '{"path": "-", "k": 4, "seed": 0}'


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["classify", "@", "-t", "zh-sentiment-causal", "--demos", "@"], "FILE and --demos"),
        (["classify", "@", "@", "-t", "zh-sentiment-mlm"], "FILE and FILE"),
        (["classify", "@", "-t", "zh-sentiment-mlm", "--labels", "@@"], "FILE and --labels"),
        (["compare", "r.jsonl", "--search", "--demos", "@", "--dev", "@"], "--demos and --dev"),
        (["diff", "@", "@"], "A and B"),
        (["report", "@", "r.jsonl", "@"], "PREDICTIONS and PREDICTIONS"),
    ],
)
def test_one_pipe_cannot_be_meant_twice_and_nobody_waits_for_a_second_writer(
    command: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fifo, link = tmp_path / "fifo", tmp_path / "link"
    os.mkfifo(fifo)
    link.symlink_to(fifo)
    names = iter((str(fifo), str(link)))
    given = [word.replace("@", "", 1) + next(names) if word[:1] == "@" else word for word in command]
    assert run_command(given) == 1
    assert capsys.readouterr().err == (
        f"error: {said} are both {link}, which can be read only once; write one of them to a file\n"
    )


def test_two_pipes_are_compared_as_two_files_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.dumps({**row, "prediction": ("good", "bad")[i % 3 == 0]}) + "\n" for i, row in enumerate(ROWS)]
    one, other = "".join(lines).encode(), "".join(lines).replace('"prediction": "bad"', '"prediction": "good"').encode()
    (tmp_path / "a").write_bytes(one)
    (tmp_path / "b").write_bytes(other)
    assert run_command(["diff", str(tmp_path / "a"), str(tmp_path / "b"), "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)
    with pipe(one) as a, pipe(gzip.compress(other)) as b:
        assert run_command(["diff", a, b, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for side in "ab":
        found[side] |= {"path": expected[side]["path"]}
    assert found == expected
    assert found["flips"]


def test_rows_of_a_pipe_are_previewed_by_their_lines_in_any_order(capsys: pytest.CaptureFixture[str]) -> None:
    with pipe(LINES) as name:
        assert run_command(["templates", "preview", "zh-sentiment-mlm", f"{name}:12", f"{name}:3"]) == 0
    out = capsys.readouterr().out
    assert 0 < out.index("row 11") < out.index("row 2")


def test_rows_from_a_pipe_are_written_while_more_of_them_come(tmp_path: Path) -> None:
    fifo, out = tmp_path / "fifo", tmp_path / "o.jsonl"
    os.mkfifo(fifo)
    row = b'{"text": "a", "label": "positive"}\n'
    seen: list[int] = []

    def write() -> None:
        with fifo.open("wb", buffering=0) as stream:
            stream.write(row * 2000)
            end = time.monotonic() + 60
            while time.monotonic() < end and not (out.exists() and out.stat().st_size):
                time.sleep(0.02)
            seen.append(len(out.read_bytes().splitlines()))
            stream.write(row * 100)

    writer = threading.Thread(target=write)
    writer.start()
    assert fake(str(fifo), "-t", "zh-sentiment-mlm", "-o", str(out)) == 0
    writer.join()
    assert seen == [1024]
    assert len(out.read_bytes().splitlines()) == 2100


def test_another_pipe_is_another_input_whatever_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, fifo = tmp_path / "o.jsonl", tmp_path / "rows"
    os.mkfifo(fifo)
    for said, code in ((SENTIMENT, 0), (SENTIMENT + SENTIMENT, 1)):
        writer = threading.Thread(target=lambda data=said: fifo.write_bytes(data))  # type: ignore[misc]
        writer.start()
        assert fake(str(fifo), "-t", "zh-sentiment-mlm", "-o", str(out)) == code
        writer.join()
    assert "exists already" in capsys.readouterr().err
