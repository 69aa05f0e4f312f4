"""Files as people have them: each is read straight away, or refused by a line that works when it is followed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from test_cli import fake, read_rows

HERE = Path(__file__).parent / "files"
FEWCLUE = Path(__file__).parents[2] / "shared" / "data" / "fewclue"
ADVICE = re.compile(r"(--label-field|--text-field|--encoding|--labels|-t) ('[^']+'|\S+)")
PLAIN = ("--scorer", "fake", "-q")


def advised(line: str, known: Iterable[str]) -> list[str]:
    """The first flag that an error line names, with its value; NAME and WORD are filled in by whoever knows them."""
    flag, value = next((found[1], found[2]) for found in ADVICE.finditer(line) if found[1] not in known)
    return [flag, value.strip("'(),;")]


def walk(path: Path, capsys: pytest.CaptureFixture[str], folder: Path, filled: dict[str, str], most: int) -> list[str]:
    """The options that lead to a run, each as the error line before it says; `filled` is what only a person knows."""
    said: list[str] = []
    for _ in range(most + 1):
        code = fake(str(path), *said, "-o", str(folder / "out.jsonl"), "--overwrite")
        err = capsys.readouterr().err
        if code in (0, 3):
            return said
        flag, value = advised(err.splitlines()[-1], said)
        said += [flag, filled.get(flag, value)]
    raise AssertionError(f"{path.name}: no run after {said}: {err}")


# What is said of each file, and the options that its error lines lead to.
FILES = {
    "glue.tsv": ({"--labels": "0=bad,1=good"}, ["--labels", "0=bad,1=good"], 5),
    "ag_news_kaggle.csv": (
        {"--labels": "1=world,2=sports,3=business,4=science"},
        ["--labels", "1=world,2=sports,3=business,4=science"],
        5,
    ),
    "spam_kaggle.csv": (
        {"--labels": "ham,spam", "--text-field": "v2"},
        ["--labels", "ham,spam", "--text-field", "v2"],
        3,
    ),
    "doccano.jsonl": ({}, [], 3),
    "label_studio.json": (
        {"--labels": "delivery,billing"},
        ["--labels", "delivery,billing", "--text-field", "data.text"],
        3,
    ),
    "prodigy.jsonl": ({}, [], 4),
    "alpaca.json": (
        {"--labels": "good,bad", "--text-field": "input"},
        ["--labels", "good,bad", "--text-field", "input"],
        3,
    ),
    "boolq.jsonl": ({}, [], 3),
    "ceval.csv": ({}, [], 3),
    "excel_german.csv": ({"--labels": "gut,schlecht"}, ["--encoding", "cp1252", "--labels", "gut,schlecht"], 3),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_as_people_have_it_is_read_or_leads_to_a_run_in_two_steps(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled, expected, rows = FILES[name]
    assert walk(HERE / name, capsys, tmp_path, filled, most=2) == expected
    assert len(read_rows(tmp_path / "out.jsonl")) == rows


def test_each_of_these_files_is_tried() -> None:
    assert {path.name for path in HERE.iterdir()} == set(FILES)


@pytest.mark.parametrize(
    ("name", "arguments", "texts", "labels"),
    [
        (
            "glue.tsv",
            ("-t", "en-sentiment-mlm"),
            ('"a slow first hour', 'that pays in the end"', '"Bravo!" she called out .'),
            {"negative": 2, "positive": 3},
        ),
        ("doccano.jsonl", (), ("Light and quick to put up.",), {"positive": 2, "negative": 1}),
        (
            "label_studio.json",
            ("--text-field", "data.text", "--label-field", "annotations.0.result.0.value.choices"),
            (),
            {"delivery": 2, "billing": 1},
        ),
        ("prodigy.jsonl", (), ("asdf asdf",), {"PRAISE": 2, "COMPLAINT": 1}),
        ("boolq.jsonl", (), (), {"true": 2, "false": 1}),
        ("ceval.csv", (), (), {"麻雀": 1, "四个": 1, "零度": 1}),
        (
            "excel_german.csv",
            ("--encoding", "auto", "--label-field", "Bewertung"),
            ("Schöne Schuhe; passen gut",),
            {"gut": 2, "schlecht": 1},
        ),
        ("spam_kaggle.csv", ("--text-field", "v2", "--label-field", "v1"), (), {"ham": 2, "spam": 1}),
    ],
)
def test_their_texts_and_labels_are_the_right_ones(
    name: str, arguments: tuple[str, ...], texts: tuple[str, ...], labels: dict[str, int], tmp_path: Path
) -> None:
    summary = tmp_path / "summary.json"
    out = tmp_path / "out.jsonl"
    assert fake(str(HERE / name), *arguments, "-o", str(out), "--summary", str(summary)) in (0, 3)
    said = json.loads(summary.read_text(encoding="utf-8"))
    assert {label: scores["support"] for label, scores in said["per_label"].items() if scores["support"]} == labels
    assert set(texts) <= {value for row in read_rows(out) for value in row.values() if isinstance(value, str)}


def test_a_row_in_another_encoding_is_told_with_the_flag_to_use(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(HERE / "spam_kaggle.csv")
    assert fake(path, "--text-field", "v2", "--label-field", "v1") == 3
    assert "not UTF-8" in (err := capsys.readouterr().err)
    assert "--encoding cp1252" in err
    assert fake(path, "--text-field", "v2", "--label-field", "v1", "--encoding", "cp1252") == 0
    assert "£500" in capsys.readouterr().out


def test_numbers_that_a_template_of_the_shelf_counts_otherwise_lead_to_words_for_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = HERE / "ag_news_kaggle.csv"
    assert fake(str(path), "-t", "en-news-mlm") == 1
    err = capsys.readouterr().err
    assert "the rows' labels run from 1 to 4, en-news counts from 0 to 3" in err
    flag, value = advised(err, ())
    assert fake(str(path), "-t", "en-news-mlm", flag, value, "-o", str(tmp_path / "o.jsonl")) == 0
    assert {row["prediction"] for row in read_rows(tmp_path / "o.jsonl")} <= {"1", "2", "3", "4"}


@pytest.mark.skipif(not FEWCLUE.is_dir(), reason="the FewCLUE data are not here")
@pytest.mark.parametrize("task", ["bustm", "chid", "cluewsc", "csl", "csldcp", "eprstmt", "iflytek", "ocnli", "tnews"])
@pytest.mark.parametrize("limit", [(), ("-n", "60")])
def test_each_file_of_fewclue_leads_to_a_run_by_the_printed_advice_alone(
    task: str, limit: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = FEWCLUE / task / ("dev_0.json" if limit else "test_public.json")
    said: list[str] = []
    for _ in range(3):
        code = fake(str(path), *limit, *said)
        err = capsys.readouterr().err
        if code == 0:
            break
        said += advised(err.splitlines()[-1], said)
    assert code == 0, (said, err)
    assert "accuracy" in err
