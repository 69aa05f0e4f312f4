"""Twenty thousand labels: they load, are scored in time, and no report prints them all."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from helpers import fake, read_rows, write_rows

from promptshot.cli import run_command
from promptshot.prompts import library
from promptshot.prompts.labels import read_labels

MANY = 20_000


@pytest.fixture(scope="module")
def verbalizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of products with two words each, and the spelling of each in the rows."""
    path = tmp_path_factory.mktemp("many") / "products.yaml"
    labels = "".join(f"  商品{i}: [品{i}, 货{i}]\n" for i in range(MANY))
    gold = "".join(f"  商品{i}: 'sku-{i}'\n" for i in range(MANY))
    path.write_text(f"labels:\n{labels}gold:\n{gold}", encoding="utf-8")
    return path


def rows(count: int, label: str) -> list[dict[str, str]]:
    return [{"text": f"text {i}", "label": label.format(i * 7)} for i in range(count)]


def test_a_verbalizer_of_very_many_labels_loads_and_is_scored_in_time(verbalizer: Path, tmp_path: Path) -> None:
    path, out = write_rows(tmp_path / "r.jsonl", rows(10, "SKU-{}")), tmp_path / "o.jsonl"
    began = time.process_time()
    assert fake(path, "-t", "{text} {mask}", "--verbalizer", str(verbalizer), "-o", str(out)) == 0
    assert time.process_time() - began < 20
    assert [len(row["scores"]) for row in read_rows(out)] == [MANY] * 10
    assert json.loads(Path(f"{out}.run.json").read_text(encoding="utf-8"))["labelled"] == 10


@pytest.mark.parametrize("name", ["l.txt", "l.json"])
def test_a_file_of_very_many_labels_is_read_in_time(name: str, tmp_path: Path) -> None:
    labels = [f"label, {i}" for i in range(MANY)]
    (tmp_path / name).write_text(json.dumps(labels) if name.endswith("json") else "\n".join(labels))
    began = time.process_time()
    found = read_labels(f"@{tmp_path / name}")
    assert time.process_time() - began < 5
    assert list(found.verbalizer.labels) == labels


def test_a_label_that_is_none_of_very_many_is_told_in_one_line(
    verbalizer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "r.jsonl", rows(2, "other {}"))
    assert fake(path, "-t", "{text} {mask}", "--verbalizer", str(verbalizer)) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "and 19992 more" in err


def test_very_many_labels_are_linted_in_time(verbalizer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.process_time()
    assert run_command(["verbalizers", "lint", str(verbalizer)]) == 0
    assert time.process_time() - began < 10
    assert len(library.verbalizer(str(verbalizer)).names) == MANY


@pytest.mark.parametrize("labelled", [True, False])
def test_a_report_shows_the_commonest_of_many_labels_and_says_how_many_more_there_are(
    labelled: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "l.txt").write_text("\n".join(f"label {i}" for i in range(300)))
    path = write_rows(tmp_path / "r.jsonl", [{**row, "text": f"{i}"} for i, row in enumerate(rows(3000, "label 5"))])
    more = [] if labelled else ["--ignore-labels"]
    assert (
        fake(path, "-t", "{text} {mask}", "--labels", f"@{tmp_path / 'l.txt'}", *more, "-o", str(tmp_path / "o")) == 0
    )
    err = capsys.readouterr().err
    assert "and 270 more labels (all of them: --summary FILE)" in err
    assert len(err.splitlines()) < 70


def test_a_report_shows_all_of_two_hundred_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "l.txt").write_text("\n".join(f"label {i}" for i in range(200)))
    path = write_rows(tmp_path / "r.jsonl", rows(3, "label 5"))
    command = [
        "-t",
        "{text} {mask}",
        "--labels",
        f"@{tmp_path / 'l.txt'}",
        "--ignore-labels",
        "-o",
        str(tmp_path / "o"),
    ]
    assert fake(path, *command) == 0
    err = capsys.readouterr().err
    assert all(f"label {i} " in err for i in range(200))
    assert "more labels" not in err
