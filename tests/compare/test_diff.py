"""Two files of predictions: the paired test, what changed by label, and the rows that flipped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from helpers import read_rows, write_rows
from pydantic_core import from_json
from scipy.stats import binomtest

from promptshot.cli import run_command
from promptshot.compare.diff import diff
from promptshot.errors import InputError, OptionError

GOLD = ["a", "a", "a", "b", "b", "b"]
ONE = ["a", "a", "b", "b", "a", "a"]
OTHER = ["a", "b", "a", "b", "b", "b"]


def predicted(path: Path, predictions: Iterable[str], gold: Iterable[str | None] = GOLD) -> str:
    """A file of predictions as classify writes it."""
    lines = []
    for i, (label, prediction) in enumerate(zip(gold, predictions, strict=True)):
        own = {"id": i, "text": f"第{i}行"} | ({"label": label} if label else {})
        lines.append({**own, "prediction": prediction, "probability": 0.5, "scores": {"a": i, "b": 0}})
    return write_rows(path, lines)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    return predicted(tmp_path / "a.jsonl", ONE), predicted(tmp_path / "b.jsonl", OTHER)


def record(path: str, verbalizer: Mapping[str, Any], **more: Any) -> None:
    """A run record beside a file."""
    said = {"gold_field": "label", "recipe": {"verbalizer": {"name": "v", **verbalizer}, "columns": {}}, **more}
    Path(f"{path}.run.json").write_text(json.dumps(said), encoding="utf-8")


# ------------------------------------------------------------------ with gold labels


def test_right_and_wrong_are_counted_row_by_row(files: tuple[str, str]) -> None:
    found = diff(*files)
    assert [tally.accuracy for tally in found.tallies] == [3 / 6, 5 / 6]
    paired = found.paired
    assert (paired.both, paired.first, paired.second, paired.neither) == (2, 1, 3, 0)
    assert paired.p == pytest.approx(binomtest(1, 4).pvalue)
    assert found.per_label() == {
        "a": {"rows": 3, "right_a": 2, "right_b": 2, "gained": 1, "lost": 1},
        "b": {"rows": 3, "right_a": 1, "right_b": 3, "gained": 2, "lost": 0},
    }


def test_the_rows_that_flipped_are_told_in_order(files: tuple[str, str]) -> None:
    found = diff(*files)
    assert [(flip.number, flip.gold, flip.a, flip.b) for flip in found.flips] == [
        (2, "a", "a", "b"), (3, "a", "b", "a"), (5, "b", "a", "b"), (6, "b", "a", "b"),
    ]  # fmt: skip
    assert found.flips[0].text == "第1行"
    assert (found.agreed, found.rows) == (2, 6)


def test_the_report_says_it_all(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["diff", *files, "-n", "3"]) == 0
    nothing, out = capsys.readouterr()
    assert nothing == ""
    for expected in ("A  ", "50.0% (18.8% to 81.2%)", "B - A  +33.3 points", "exact McNemar p = 0.625",
                     "no clear difference", "4 rows flipped, the first 3", "第1行"):  # fmt: skip
        assert expected in out, expected
    assert "第5行" not in out


def test_spellings_of_labels_come_from_the_run_records(tmp_path: Path) -> None:
    spelled = ["Good" if label == "a" else "Bad" for label in GOLD]
    one = predicted(tmp_path / "a.jsonl", ONE, spelled)
    other = predicted(tmp_path / "b.jsonl", OTHER, spelled)
    assert diff(one, other).paired.rows == 0
    record(one, {"labels": {"a": ["x"], "b": ["y"]}, "gold": {"a": ["Good"], "b": ["Bad"]}})
    found = diff(one, other)  # the one record serves both
    assert found.tallies[0].accuracy == pytest.approx(3 / 6)
    assert found.paired.rows == 6


def test_two_runs_may_call_their_labels_differently(tmp_path: Path) -> None:
    one = predicted(tmp_path / "a.jsonl", ONE, ["1" if label == "a" else "0" for label in GOLD])
    other = predicted(tmp_path / "b.jsonl", [{"a": "gut", "b": "schlecht"}[label] for label in ONE],
                      ["1" if label == "a" else "0" for label in GOLD])  # fmt: skip
    record(one, {"labels": {"a": ["x"], "b": ["y"]}, "gold": {"a": ["1"], "b": ["0"]}})
    record(other, {"labels": {"gut": ["x"], "schlecht": ["y"]}, "gold": {"gut": ["1"], "schlecht": ["0"]}})
    assert diff(one, other).paired.difference == 0


def test_the_gold_column_can_be_named(tmp_path: Path) -> None:
    files = []
    for name, predictions in (("a", ONE), ("b", OTHER)):
        lines = [
            {"text": "t", "label": "b", "mine": g, "prediction": p} for g, p in zip(GOLD, predictions, strict=True)
        ]
        files.append(write_rows(tmp_path / f"{name}.jsonl", lines))
    assert diff(files[0], files[1], "mine").tallies[1].accuracy == pytest.approx(5 / 6)
    assert diff(files[0], files[1]).tallies[1].accuracy == pytest.approx(4 / 6)


def test_tables_and_lines_of_the_same_rows_are_the_same(files: tuple[str, str], tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "r.jsonl", [{"text": "=1+1", "n": None, "x": [1], "y": 1.5, "label": "positive"}] * 3)
    paths = [str(tmp_path / name) for name in ("p.jsonl", "p.csv", "p.tsv.gz")]
    for path in paths:
        assert run_command(["classify", rows, "-t", "zh-sentiment-mlm", "--scorer", "fake", "-q", "-o", path]) == 0
    for path in paths[1:]:
        found = diff(paths[0], path)
        assert (found.agreed, found.paired.rows) == (3, 3)


# ------------------------------------------------------------------ without


def test_without_gold_labels_only_agreement_and_flips_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = [None] * 6
    files = [predicted(tmp_path / "a.jsonl", ONE, nobody), predicted(tmp_path / "b.jsonl", OTHER, nobody)]
    assert run_command(["diff", *files]) == 0
    out = capsys.readouterr().err
    assert "the same prediction for 2 (33.3%)" in out
    assert "4 rows flipped" in out
    assert "McNemar" not in out
    assert " gold " not in out
    assert diff(files[0], files[1]).record()["paired"] is None


# ------------------------------------------------------------------ files that do not match


def test_the_row_that_differs_is_named(files: tuple[str, str], tmp_path: Path) -> None:
    lines = read_rows(files[1])
    lines[3]["text"] = "another"
    other = write_rows(tmp_path / "c.jsonl", lines)
    said = r"c.jsonl:4: the files differ in row 4: 'text' is '第3行' in .*a.jsonl and 'another' in .*c.jsonl"
    with pytest.raises(InputError, match=said):
        diff(files[0], other)
    shorter = write_rows(tmp_path / "d.jsonl", lines[:3])
    with pytest.raises(InputError, match=r"row 4: .*d.jsonl ends after 3 rows, .*a.jsonl goes on; did one"):
        diff(files[0], shorter)
    with pytest.raises(InputError, match=r"row 4: .*d.jsonl ends after 3 rows, .*a.jsonl goes on"):
        diff(shorter, files[0])


@pytest.mark.parametrize("said", ["", ', "prediction": 0.3', ', "prediction": ["a"]', ', "prediction": null'])
def test_a_row_without_a_prediction_is_named(said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "t", "prediction": "a"}\n{"text": "t"' + said + "}\n")
    with pytest.raises(
        InputError, match=r"a\.jsonl:2: no field 'prediction' with a label in it; give files as written"
    ):
        diff(str(path), str(path))


@pytest.mark.parametrize("text", ["{", "[]", '{"recipe": {"verbalizer": 3}}', '{"recipe": {"columns": {"a": {}}}}'])
def test_a_broken_run_record_is_one_line(text: str, files: tuple[str, str]) -> None:
    Path(f"{files[0]}.run.json").write_text(text)
    with pytest.raises(InputError, match=r"a\.jsonl\.run.json: not a run record of ours"):
        diff(*files)


def test_one_standard_input_for_both_and_missing_files_are_refused(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OptionError, match="A and B are both standard input, which can be read only once; write one of"):
        diff("-", "-")
    assert run_command(["diff", files[0], "nothing.jsonl"]) == 1
    assert "nothing.jsonl: cannot be read" in capsys.readouterr().err


# ------------------------------------------------------------------ what rows and records may hold


def test_rows_with_half_a_character_make_files_that_every_reader_takes(tmp_path: Path) -> None:
    lines = [
        '{"text": "\\ud83d", "label": "positive"}',
        '{"text": "fine", "label": "positive"}',
        '{"text": "labelled by half a character", "label": "\\udc00"}',
        '{"text": "one elsewhere", "other": "x\\ud800", "label": "negative"}',
        '{"text": "\\ud83d\\ude00", "label": "negative"}',
        '{"text": "\\ud8',
    ]
    path, out = tmp_path / b"r\xff.jsonl".decode(errors="surrogateescape"), tmp_path / "o.jsonl"
    path.write_text("\n".join(lines) + "\n")
    base = ["classify", str(path), "--scorer", "fake", "-q", "-o"]
    assert run_command([*base, str(out), "-t", "zh-sentiment-mlm"]) == 3
    assert run_command([*base, str(tmp_path / "p.csv"), "-t", "zh-sentiment-mlm"]) == 3
    rejects = [from_json(line) for line in Path(f"{out}.rejects.jsonl").read_bytes().splitlines()]  # strict, in Rust
    assert [reject["raw"] for reject in rejects] == [lines[0], lines[5]]
    for name in (f"{out}.rejects.jsonl", f"{out}.run.json", str(out)):
        Path(name).read_text(encoding="utf-8", errors="strict")
    found = diff(str(out), str(tmp_path / "p.csv"))
    assert (found.rows, found.agreed, found.paired.rows) == (4, 4, 3)
    assert run_command(["report", str(out)]) == 0


def test_numbers_keep_their_digits_through_predictions_tables_ranks_and_flips(tmp_path: Path) -> None:
    numbers = ["0.12345678901234567890", "7E3", "5.500", "-0"]
    lines = [f'{{"text_a": "a{n}", "text_b": "b", "n": {n}, "deep": {{"n": [{n}]}}}}' for n in numbers]
    rows = tmp_path / "r.jsonl"
    rows.write_text("\n".join(lines) + "\n")
    base = ["classify", str(rows), "--scorer", "fake", "-q", "--ignore-labels", "-o"]
    for number, template in enumerate(("zh-entailment-nsp", "zh-same-nsp", "{mask}{text_a}")):
        labels = ["--labels", "x,y"] if "{" in template else []
        for name in ("jsonl", "csv"):
            path = tmp_path / f"{number}.{name}"
            assert run_command([*base, str(path), "-t", template, *labels]) == 0
            for line, n in zip(path.read_text().splitlines()[-4:], numbers, strict=True):
                assert (f'"n":{n},"deep":{{"n":[{n}]}}' if name == "jsonl" else f",b,{n},") in line
        found = diff(str(tmp_path / f"{number}.jsonl"), str(tmp_path / f"{number}.csv"))
        assert found.agreed == 4
    flips = tmp_path / "flips.jsonl"
    for name in "ab":
        said = [line[:-1] + f', "prediction": "{name}"}}' for line in lines]
        (tmp_path / name).write_text("\n".join(said) + "\n")
    assert run_command(["diff", str(tmp_path / "a"), str(tmp_path / "b"), "-o", str(flips)]) == 0
    for line, own in zip(flips.read_text().splitlines(), lines, strict=True):
        assert line.startswith(own[:-1].replace(": ", ":").replace(", ", ","))


# ------------------------------------------------------------------ for machines


def test_json_holds_everything(files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["diff", *files, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    out = tmp_path / "d.json"
    assert run_command(["diff", *files, "-o", str(out)]) == 0
    assert json.loads(out.read_text(encoding="utf-8")) == said == diff(*files).record()
    assert said["paired"]["only_second"] == 3
    assert said["a"]["accuracy"] == 0.5
    assert len(said["flips"]) == 4


def test_flipped_rows_are_written_with_their_own_fields(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "flips.jsonl"
    assert run_command(["diff", *files, "-o", str(out)]) == 0
    lines = read_rows(out)
    assert lines[0] == {"id": 1, "text": "第1行", "label": "a", "row": 2, "gold": "a",
                        "prediction_a": "a", "prediction_b": "b"}  # fmt: skip
    assert run_command(["diff", *files, "-o", str(out)]) == 1
    assert "flips.jsonl: exists already" in capsys.readouterr().err
    assert run_command(["diff", *files, "-o", files[0], "--overwrite"]) == 1
    assert "this is the input" in capsys.readouterr().err
