"""Five jobs of a first hour, each a script with the commands that somebody new would type: what they print."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from helpers import read_rows

from promptshot.cli import run_command

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of all jobs, and a model of one's own."""
    for path in HERE.iterdir():
        if path.suffix in (".csv", ".jsonl", ".tsv", ".txt"):
            shutil.copy(path, tmp_path)
    (tmp_path / "my-model").symlink_to(ROOT / "models" / "bert")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands(job: str) -> list[str]:
    """The commands of a script, in order."""
    lines = (HERE / f"{job}.sh").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def printed(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, code: int = 0
) -> tuple[str, str]:
    """What a command prints on standard output and for people, where it ends with that exit code."""
    before, _, command = command.rpartition(" | ")
    if before:
        said = " ".join(shlex.split(before)[1:]) + "\n"
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(said.encode())))
    assert run_command(shlex.split(command)[1:]) == code
    return capsys.readouterr()


@pytest.mark.torch
def test_tickets_in_two_columns_with_labels_in_several_spellings(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, many, last = commands("tickets")
    out, err = printed(first, capsys, monkeypatch)
    assert "columns: text is 'Subject' and 'Message', a line each, label is 'Category'" in err
    assert "labels that differ in case only are one: Billing & payments and billing & payments\n" in err
    assert "labels from the rows: Billing & payments, Delivery, Technical problem" in err
    assert "the general one for English texts: no template of the shelf is made for these labels" in err
    assert "18 rows in" in err
    assert "the worst confusions, and the surest row of each" in err
    assert len(out.splitlines()) == 18
    out, err = printed(many, capsys, monkeypatch)
    assert "the general ones are asked" in err
    assert all(f"en-topic-{kind}" in err for kind in ("mlm", "nsp", "causal"))
    assert out == ""
    printed(last, capsys, monkeypatch)
    rows = list(csv.DictReader(io.StringIO((desk / "sorted.csv").read_text(encoding="utf-8"))))
    labels = ["Billing & payments", "Delivery", "Technical problem"]
    chances = [{label: float(row[f"p_{label}"]) for label in labels} for row in rows]
    assert [row["prediction"] for row in rows] == [max(one, key=one.__getitem__) for one in chances]
    assert all(abs(sum(one.values()) - 1) < 1e-6 for one in chances)
    _, err = printed(first.replace("message", "mesage"), capsys, monkeypatch, code=1)
    assert err.endswith("the row has: Ticket ID, Subject, Message, Category; did you mean 'Message'?\n")


@pytest.mark.torch
def test_comments_labelled_with_numbers(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    named, report = commands("comments")
    _, err = printed("promptshot classify comments.jsonl", capsys, monkeypatch, code=1)
    assert "the rows' labels are numbers (0, 1, 2); say what they mean: --labels '0:NAME,1:NAME,2:NAME'" in err
    _, err = printed("promptshot classify comments.jsonl -t zh-sentiment-mlm", capsys, monkeypatch, code=1)
    assert "2 is none of ours: zh-satisfied knows 0, 1" in err
    _, err = printed(named, capsys, monkeypatch)
    assert "template zh-sentiment3-mlm, with its label words: the labels (negative, neutral, positive) fit" in err
    assert "columns: text is 'content'" in err
    rows = read_rows(desk / "judged.jsonl")
    names = ["negative", "neutral", "positive"]
    assert all(names[row["prediction"]] == row["prediction_label"] for row in rows)
    accuracy = sum(row["prediction"] == row["label"] for row in rows) / len(rows)
    assert accuracy > 0.5
    assert f"accuracy   {accuracy:.1%}" in err
    _, err = printed(report, capsys, monkeypatch)
    assert f"accuracy   {accuracy:.1%}" in err


@pytest.mark.torch
def test_a_spreadsheet_there_and_back(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (command,) = commands("sheet")
    _, err = printed(command, capsys, monkeypatch)
    assert "columns: text is '标题' and '正文', a line each, label is '类别'" in err
    data = (desk / "sheet.done.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")  # as the sheet began, so that it opens in Chinese
    lines = data.decode("utf-8-sig").splitlines()
    assert lines[0] == "编号,类别,prediction,probability"
    assert [line.split(",")[0] for line in lines[1:]] == [str(n) for n in range(1, 13)]
    assert sum(row["prediction"] == row["类别"] for row in csv.DictReader(lines)) >= 6


@pytest.mark.torch
def test_sixteen_demonstrations_are_one_draw(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, several, both = commands("shots")
    for command, seed in ((first, 0), (f"{first} --seed 1", 1)):
        _, err = printed(command, capsys, monkeypatch)
        assert "template en-sentiment-causal" in err
        assert "k=16, 16 demonstrations from train.jsonl" in err
        assert re.search(rf"^accuracy .* one draw \(seed {seed}\)$", err, re.MULTILINE)
    _, err = printed(several, capsys, monkeypatch)
    assert re.findall(r"^ *(\d+) +\d+\.\d% .*%  +(\d)  ", err, re.MULTILINE) == [("0", "1"), ("4", "5"), ("16", "5")]
    assert "one draw" not in err
    assert "k=16, mean of 5 draws" in err
    _, err = printed(both, capsys, monkeypatch)
    assert re.search(r"en-sentiment-causal k=\d+, the best here: .*one draw \(seed 0\)", err)
    assert "clearly better than" not in err.replace("not clearly better than", "")
    _, err = printed(f"{first} --seed 1 --seed 2", capsys, monkeypatch, code=2)
    assert "--seed" in err


@pytest.mark.torch
def test_a_model_of_ones_own_on_a_text_a_line(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    doctor, lines, one = commands("model")
    _, err = printed(doctor, capsys, monkeypatch)
    assert err.splitlines()[0].startswith("./my-model")
    assert err.splitlines()[-1].startswith("sound")
    _, err = printed(lines, capsys, monkeypatch)
    assert "3 rows (0 with a label)" in err
    rows = list(csv.DictReader((desk / "remarks.tsv").read_text(encoding="utf-8").splitlines(), delimiter="\t"))
    assert list(rows[0]) == ["text", "prediction", "probability"]
    assert rows[1]["text"] == "It came late, and the glass was broken."
    assert {row["prediction"] for row in rows} <= {"good", "bad"}
    out, err = printed(one, capsys, monkeypatch)
    assert json.loads(out)["text"] == "The lid does not close."
    assert "1 row (0 with a label)" in err


def test_the_page_has_the_commands_of_the_scripts() -> None:
    page = (ROOT / "docs" / "jobs.md").read_text(encoding="utf-8")
    for script in sorted(HERE.glob("*.sh")):
        for command in commands(script.stem):
            assert f"    {command}\n" in page, command
