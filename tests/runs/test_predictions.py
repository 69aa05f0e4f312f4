"""Stored predictions, ours and other tools': which labels there are, what is counted, and the report of a file."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers import read_rows, write_rows
from sklearn.metrics import accuracy_score, f1_score

from promptshot.cli import run_command
from promptshot.compare.diff import diff
from promptshot.errors import InputError
from promptshot.runs.predictions import HINT, count

EXAMPLES = Path(__file__).parents[2] / "examples"
IDIOMS = """scorer: mlm
text: "{text}{mask}"
words_from: candidates
"""


def labelled(
    gold: Sequence[Any], predictions: Sequence[Any], probabilities: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Rows with gold labels and predictions, and with probabilities of so many labels."""
    more = {"probabilities": dict.fromkeys(probabilities, 1 / len(probabilities))} if probabilities else {}
    return [
        {"text": f"第{i}行", "label": g, "prediction": p, **more}
        for i, (g, p) in enumerate(zip(gold, predictions, strict=True))
    ]


# ------------------------------------------------------------------ our own files


def idioms(path: Path) -> str:
    """Rows that bring their own words, with gold labels as words, as places in the list, unknown, and none."""
    rng, names = random.Random(5), ["画蛇添足", "守株待兔", "掩耳盗铃", "叶公好龙", "亡羊补牢"]
    lines = []
    for i in range(40):
        words = rng.sample(names, 3 + i % 2)
        gold = [words[0], i % 3, "对牛弹琴", None][i % 4]
        lines.append({"text": f"第{i}句", "candidates": words, "label": gold})
    return write_rows(path, lines)


@pytest.mark.parametrize("ending", ["jsonl", "csv", "tsv.gz", "jsonl.gz"])
@pytest.mark.parametrize("data", ["zh-reviews.jsonl", "en-headlines.csv", "zh-pairs.jsonl", "pairs in order", "idioms"])
def test_a_report_has_the_very_numbers_of_the_run(
    tmp_path: Path, data: str, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "idioms.yaml").write_text(IDIOMS, encoding="utf-8")
    templates = {
        "zh-reviews.jsonl": ("zh-sentiment-mlm", "zh-reviews.jsonl"),
        "en-headlines.csv": ("en-news-nsp", "en-headlines.csv"),
        "zh-pairs.jsonl": ("zh-same-mlm", "zh-pairs.jsonl"),
        "pairs in order": ("zh-same-nsp", "zh-pairs.jsonl"),
        "idioms": (str(tmp_path / "idioms.yaml"), ""),
    }
    template, file = templates[data]
    rows = str(EXAMPLES / file) if file else idioms(tmp_path / "rows.jsonl")
    out, summary = tmp_path / f"p.{ending}", tmp_path / "s.json"
    arguments = ["classify", rows, "-t", template, "--scorer", "fake", "-o", str(out), "--summary", str(summary)]
    assert run_command(arguments) == 0
    told = capsys.readouterr().err
    assert run_command(["report", str(out)]) == 0
    nothing, shown = capsys.readouterr()
    assert nothing == ""
    of_run = json.loads(summary.read_text(encoding="utf-8"))
    ours = count(str(out)).record()
    assert ours["accuracy"] is not None
    for key in set(ours) - {"path", "problem"}:
        assert ours[key] == of_run[key], key
    numbers = shown.partition("accuracy ")[2].partition("\n\nnote: ")[0].rstrip()
    assert len(numbers.splitlines()) > 6
    assert numbers in told


@pytest.mark.parametrize("ending", ["jsonl", "csv", "tsv.gz"])
def test_without_its_run_record_a_file_has_the_same_numbers_where_labels_are_spelled_alike(
    tmp_path: Path, ending: str
) -> None:
    out = tmp_path / f"p.{ending}"
    rows = str(EXAMPLES / "en-headlines.csv")
    assert run_command(["classify", rows, "-t", "en-news-mlm", "--scorer", "fake", "-q", "-o", str(out)]) == 0
    before = count(str(out))
    Path(f"{out}.run.json").unlink()
    after = count(str(out))
    assert after.record() == before.record()
    assert after.tally.labels == before.tally.labels


# ------------------------------------------------------------------ which labels there are


@pytest.mark.parametrize("probabilities", [None, ["正面", "负面", "中性"]])
def test_a_constant_prediction_is_as_good_as_its_label_is_frequent(
    tmp_path: Path, probabilities: list[str] | None
) -> None:
    gold = ["正面"] * 3 + ["负面"] * 5 + ["中性"] * 2
    path = write_rows(tmp_path / "p.jsonl", labelled(gold, ["正面"] * 10, probabilities))
    found = count(path)
    assert (found.tally.accuracy, found.tally.labelled, found.problem) == (0.3, 10, "")
    assert found.tally.balanced_accuracy == pytest.approx(1 / 3)
    assert found.tally.chance == pytest.approx(1 / 3)
    both = diff(path, path)
    assert [tally.accuracy for tally in both.tallies] == [0.3, 0.3]
    assert both.paired.rows == 10


def test_a_gold_label_that_no_probability_is_given_for_is_told_and_not_counted(tmp_path: Path) -> None:
    lines = labelled(["a", "b", "c", "c", None, " "], ["a", "a", "a", "b", "b", "b"], ["b", "a"])
    tally = count(write_rows(tmp_path / "p.jsonl", lines)).tally
    assert (tally.labels, tally.accuracy, tally.unknown_gold, tally.unlabelled) == (("b", "a"), 0.5, {"c": 2}, 2)
    without = [{key: value for key, value in line.items() if key != "probabilities"} for line in lines]
    tally = count(write_rows(tmp_path / "q.jsonl", without)).tally
    assert (tally.labels, tally.accuracy, tally.unknown_gold, tally.unlabelled) == (("a", "b", "c"), 0.25, {}, 2)


def test_labels_are_told_apart_without_regard_to_case_and_space(tmp_path: Path) -> None:
    gold, predictions = ["Sports", " sports", "WORLD", "Business"], ["sports", "sports", "world", "world"]
    for keys in (None, ["world", "sports", "business"]):
        tally = count(write_rows(tmp_path / "p.jsonl", labelled(gold, predictions, keys))).tally
        assert (tally.accuracy, tally.labelled) == (0.75, 4)
    written = ["sports", "Sports ", "World", "world"]  # as a model writes freely
    tally = count(write_rows(tmp_path / "p.jsonl", labelled(gold, written))).tally
    assert tally.accuracy == 0.75
    assert len(tally.predictions) == 2


def test_labels_that_only_case_tells_apart_are_kept_apart_where_probabilities_name_both(tmp_path: Path) -> None:
    tally = count(write_rows(tmp_path / "p.jsonl", labelled(["a", "A", "A"], ["a", "a", "A"], ["a", "A"]))).tally
    assert tally.confusion == {("a", "a"): 1, ("A", "a"): 1, ("A", "A"): 1}


def test_rows_may_have_probabilities_of_labels_of_their_own(tmp_path: Path) -> None:
    lines = [
        {"text": "t", "label": "b", "prediction": "b", "probabilities": {"a": 0.1, "b": 0.9}},
        {"text": "t", "label": "b", "prediction": "d", "probabilities": {"c": 0.1, "d": 0.8, "e": 0.1}},
        {"text": "t", "label": "c", "prediction": "d", "probabilities": {"c": 0.1, "d": 0.8, "e": 0.1, "f": 0}},
    ]
    tally = count(write_rows(tmp_path / "p.jsonl", lines)).tally
    assert (tally.labels, tally.accuracy, tally.unknown_gold) == ((), 0.5, {"b": 1})
    assert tally.chance == pytest.approx((1 / 2 + 1 / 4) / 2)


def test_probabilities_of_something_else_name_no_labels(tmp_path: Path) -> None:
    lines = [
        {"label": "a", "prediction": "a", "probabilities": {"x": 1.0}},
        {"label": "b", "prediction": "a", "probabilities": [0.5, 0.5]},
        {"label": "b", "prediction": "b", "probabilities": "{broken"},
    ]
    tally = count(write_rows(tmp_path / "p.jsonl", lines)).tally
    assert (tally.labels, tally.labelled, tally.correct) == (("a", "b"), 3, 2)


def test_where_no_gold_label_is_spelled_like_a_prediction_nothing_is_counted_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for keys in (None, ["negative", "positive", "neutral"]):
        lines = labelled([1, 0, 1, None], ["positive", "negative", "negative", "negative"], keys)
        path = write_rows(tmp_path / "p.jsonl", lines)
        other = write_rows(tmp_path / "q.jsonl", lines)
        assert run_command(["report", path]) == 0
        said = capsys.readouterr().err
        assert "no gold label is spelled like any prediction: the gold labels are '1', '0', the predictions" in said
        assert "'negative'" in said
        assert f"3 rows are not counted; {HINT}" in said
        assert "1 row has no label of its own, not counted" in said
        assert "accuracy" not in said
        assert run_command(["diff", path, other]) == 0
        said = capsys.readouterr().err
        assert said.count("no gold label is spelled like any prediction") == 1
        assert "3 rows are not counted" in said
        record = count(path).record()
        assert (record["accuracy"], record["unknown"], record["unlabelled"]) == (None, 3, 1)
        assert record["problem"].startswith("no gold label is spelled like")
        assert diff(path, other).record()["problem"] == record["problem"]


def test_what_one_file_of_two_does_not_count_is_told_by_its_letter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gold = ["a", "b", "c", None]
    one = write_rows(tmp_path / "a.jsonl", labelled(gold, ["a", "b", "a", "a"], ["a", "b"]))
    other = write_rows(tmp_path / "b.jsonl", labelled(gold, ["a", "a", "c", "b"], ["a", "b", "c"]))
    assert run_command(["diff", one, other]) == 0
    said = capsys.readouterr().err
    assert "note: A: 1 row has a label that is none of ours, not counted: c" in said
    assert "note: B: 1 row has no label of its own, not counted" in said
    found = diff(one, other)
    assert [tally.labelled for tally in found.tallies] == [2, 3]
    assert found.paired.rows == 2
    sides = [found.record()[letter] for letter in "ab"]
    assert [(side["unknown"], side["unlabelled"]) for side in sides] == [(1, 1), (0, 1)]
    assert sides[1]["balanced_accuracy"] == pytest.approx(2 / 3)


# ------------------------------------------------------------------ other tools' files


def theirs(rows: int = 60) -> tuple[list[str], list[str]]:
    rng = random.Random(2)
    gold = rng.choices(["体育", "财经", "-1", "=科技"], [5, 3, 1, 1], k=rows)
    return gold, [g if rng.random() < 0.6 else rng.choice(gold) for g in gold]


def written(name: str, lines: Sequence[dict[str, Any]]) -> bytes:
    """The rows in the format that the name tells."""
    if name.startswith("p.json") and not name.startswith("p.jsonl"):
        text = json.dumps(lines, ensure_ascii=False, indent=1)
    elif ".csv" in name or ".tsv" in name:
        stream = io.StringIO()
        table = csv.DictWriter(stream, list(lines[0]), delimiter="\t" if ".tsv" in name else ",")
        table.writeheader()
        table.writerows(lines)
        text = stream.getvalue()
    else:
        text = "".join(json.dumps(line) + "\n" for line in lines)
    return gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()


@pytest.mark.parametrize("name", ["p.jsonl", "p.json", "p.csv", "p.tsv", "p.csv.gz", "p.json.gz"])
def test_other_tools_files_are_read_in_every_format_and_agree_with_scikit_learn(tmp_path: Path, name: str) -> None:
    gold, predictions = theirs()
    lines = [{"sentence": "t", "y_true": g, "y_pred": p} for g, p in zip(gold, predictions, strict=True)]
    path = tmp_path / name
    path.write_bytes(written(name, lines))
    tally = count(str(path), "y_true", "y_pred").tally
    assert tally.accuracy == pytest.approx(accuracy_score(gold, predictions))
    assert tally.macro_f1 == pytest.approx(f1_score(gold, predictions, average="macro"))


def test_numbers_and_truth_values_are_labels_as_text(tmp_path: Path) -> None:
    lines = labelled([1, 0, 2, 1], [1, 0.0, "2", 0])
    tally = count(write_rows(tmp_path / "p.jsonl", lines)).tally
    assert (tally.labels, tally.accuracy) == (("0", "1", "2"), 0.75)
    tally = count(write_rows(tmp_path / "p.jsonl", labelled([True, "False", "true"], [True, False, False]))).tally
    assert (tally.labels, tally.correct) == (("false", "true"), 2)


def test_predictions_within_an_object_can_be_named(tmp_path: Path) -> None:
    lines = [{"label": "a", "output": {"label": "a", "score": 0.9}}, {"label": "b", "output": {"label": "a"}}]
    assert count(write_rows(tmp_path / "p.jsonl", lines), None, "output.label").tally.accuracy == 0.5


def test_a_gold_column_may_have_the_name_of_one_of_our_outputs(tmp_path: Path) -> None:
    lines = [{"prediction": "a", "model": "a"}, {"prediction": "b", "model": "a"}]
    assert count(write_rows(tmp_path / "p.jsonl", lines), "prediction", "model").tally.accuracy == 0.5


def test_diff_reads_them_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold, predictions = theirs()
    sides = []
    for name, found in (("a", predictions), ("b", gold)):
        lines = [{"sentence": f"{i}", "label": g, "pred": p} for i, (g, p) in enumerate(zip(gold, found, strict=True))]
        sides.append(write_rows(tmp_path / f"{name}.jsonl", lines))
    assert run_command(["diff", *sides, "--prediction-field", "pred", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["a"]["accuracy"], said["b"]["accuracy"]) == (pytest.approx(accuracy_score(gold, predictions)), 1.0)
    assert "pred" not in said["flips"][0]


# ------------------------------------------------------------------ what cannot be used


def test_a_column_that_is_not_there_is_one_line_with_those_that_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "p.jsonl", [{"text": "t", "label": "a", "pred": "a"}] * 3)
    assert run_command(["report", path]) == 1
    assert capsys.readouterr().err == (
        f"error: {path}: no column 'prediction' with predictions; the rows have: text, label, pred; "
        "name it: --prediction-field COLUMN\n"
    )
    with pytest.raises(InputError, match="no column 'gold' with gold labels; the rows have: text, label, pred; name a"):
        count(path, "gold", "pred")
    with pytest.raises(InputError, match="no column 'prediction' with predictions; the rows have: text, label, pred"):
        diff(path, path)


def test_rows_that_cannot_be_used_are_counted_told_and_make_the_exit_code_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ['{"label": "a", "prediction": "a"}', "{", '{"label": "a"}', '{"label": "b", "prediction": null}',
             '{"label": "b", "prediction": 0.25}', '{"label": "b", "prediction": {"a": 1}}', '["a"]']  # fmt: skip
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join(lines))
    assert run_command(["report", str(path)]) == 3
    said = capsys.readouterr().err
    assert "1 row, 6 cannot be used" in said
    assert f"6 rows cannot be used; the first, {path}:2: not valid JSON" in said
    assert run_command(["report", str(path), "--json"]) == 3
    (record,) = json.loads(capsys.readouterr().out)["files"]
    assert (record["rows"], record["predicted"], record["rejected"]) == (7, 1, 6)
    path.write_text("\n".join(lines[3:]))
    assert run_command(["report", str(path)]) == 1
    said = f"{path}: none of 4 rows could be used; the first: no field 'prediction' with a label in it"
    assert said.replace(f"{path}:", f"{path}:1:", 1) in capsys.readouterr().err


# ------------------------------------------------------------------ the command


def test_several_files_are_told_one_after_another_each_by_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [write_rows(tmp_path / f"{n}.jsonl", labelled(["a", "b"] * n, ["a"] * 2 * n)) for n in (1, 2)]
    summary = tmp_path / "s.json"
    assert run_command(["report", *paths, "--summary", str(summary)]) == 0
    nothing, out = capsys.readouterr()
    assert nothing == ""
    assert [line for line in out.splitlines() if line in paths] == paths
    assert out.count("accuracy   50.0%") == 2
    assert out.count("balanced   50.0%   Matthews' correlation 0.000") == 2
    written = json.loads(summary.read_text(encoding="utf-8"))
    assert [one["path"] for one in written["files"]] == paths
    assert run_command(["report", *paths, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == written
    assert run_command(["report", *paths, "--summary", str(summary)]) == 1
    assert "s.json: exists already; use --overwrite" in capsys.readouterr().err
    assert run_command(["report", *paths, "--summary", str(summary), "--overwrite"]) == 0
    assert run_command(["report", *paths, "--summary", paths[1], "--overwrite"]) == 1
    assert "this is the input" in capsys.readouterr().err


def test_standard_input_is_read_once_and_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "label,prediction\n好,好\n坏,好\n坏,坏\n好,坏\n中,中\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert run_command(["report", "-", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)["files"]
    assert (record["path"], record["accuracy"], record["labelled"]) == ("-", 0.6, 5)


def test_predictions_without_gold_labels_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_rows(
        tmp_path / "p.jsonl", [{"text": "t", "prediction": "good"}] * 3 + [{"text": "t", "prediction": "bad"}]
    )
    assert run_command(["report", path]) == 0
    said = capsys.readouterr().err
    assert "75.0%" in said
    assert "4 rows have no label of their own, not counted" in said
    assert "accuracy" not in said


@pytest.mark.parametrize("text", ["{", '{"recipe": {"verbalizer": 3}}'])
def test_a_broken_run_record_is_one_line(tmp_path: Path, text: str) -> None:
    path = write_rows(tmp_path / "p.jsonl", labelled(["a"], ["a"]))
    Path(f"{path}.run.json").write_text(text)
    with pytest.raises(InputError, match=r"p\.jsonl\.run.json: not a run record of ours; move it away"):
        count(path)


WIDE = ["95% interval 11.8% to 76.9%", "Matthews' correlation -0.167", "majority class 60.0%, chance 50.0%", "recall"]
SLIM = ["40.0%   11.8% to 76.9%", "41.7%   Matthews' -0.167", "40.0%   majority 60.0%"]


@pytest.mark.parametrize(("columns", "said"), [(120, WIDE), (80, WIDE), (60, WIDE), (40, SLIM)])
def test_no_line_of_the_report_breaks_at_any_width(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int, said: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "p.jsonl", labelled(list("aaabb"), list("abbab")))
    for name, value in (("FORCE_COLOR", "1"), ("TERM", "xterm"), ("COLUMNS", str(columns))):
        monkeypatch.setenv(name, value)
    assert run_command(["report", "p.jsonl"]) == 0
    out = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().err)
    assert all(one in out for one in said), out
    assert max(map(len, out.splitlines())) <= columns
    assert len(out.split("\n\n")[1].splitlines()) == 4


@pytest.mark.parametrize("columns", [120, 60, 40, 30])
def test_no_number_of_a_table_is_shortened_however_narrow_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    names = ["Feature request", "Question about billing", "又吵又脏的房间"]
    golds, guesses = [name for name in names for _ in range(1234)], [names[0]] * 1234 + [names[2]] * 2468
    write_rows(tmp_path / "p.jsonl", labelled(golds, guesses))
    for name, value in (("FORCE_COLOR", "1"), ("TERM", "xterm"), ("COLUMNS", str(columns))):
        monkeypatch.setenv(name, value)
    assert run_command(["report", str(tmp_path / "p.jsonl")]) == 0
    out = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().err)
    table = out[out.index("label") :]
    for number in ("1.000", "0.000", "0.667", "2,468"):
        assert number in table, out
    assert table.count("1,234") >= 5  # three in the column of rows, one predicted, one confusion at least


def test_the_same_number_is_the_same_label_however_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("text,prediction,label\na,1,1.0\nb,0,0\nc,01,0\nd,0,1.0\n", encoding="utf-8")
    found = count(str(path))
    assert (found.tally.accuracy, sorted(found.tally.labels)) == (0.5, ["0", "1"])


def test_an_empty_prediction_is_none_and_told(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("text,prediction,label\na,x,x\nb,,y\nc,y,y\n", encoding="utf-8")
    found = count(str(path))
    assert (found.tally.accuracy, found.tally.rejected) == (1.0, 1)
    assert "no field 'prediction' with a label in it" in found.rejects[0].reason


def test_another_encoding_may_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes("文本,prediction,label\n很好,好,好\n".encode("utf-16"))
    assert run_command(["report", str(path)]) == 1
    assert "say --encoding utf-16" in capsys.readouterr().err
    assert run_command(["report", str(path), "--encoding", "utf-16"]) == 0


@pytest.mark.parametrize(("gold", "told"), [("even", True), ("leaning", False)])
def test_a_stored_file_far_from_balanced_names_the_command_to_try(tmp_path: Path, gold: str, told: bool) -> None:
    rows = [{"text": f"row {n}", "label": ("positive", "negative")[n % 2]} for n in range(200)]
    out = tmp_path / "o.jsonl"
    assert run_command(["classify", write_rows(tmp_path / "r.jsonl", rows), "-t", "en-sentiment-mlm",
                        "--scorer", "fake", "-q", "-o", str(out)]) == 0  # fmt: skip
    found = read_rows(out)
    for n, row in enumerate(found):
        row["prediction"] = "positive" if n % 5 else "negative"
        row["label"] = row["prediction"] if gold == "leaning" else row["label"]
    write_rows(out, found)
    remarks = {remark.code: remark.line for remark in count(str(out)).remarks()}
    assert ("unbalanced" in remarks) is told
    if told:
        assert (
            f"positive was predicted for 80% of the rows, negative for 20%: see promptshot calibrate {out}"
            in (remarks["unbalanced"])
        )
    Path(f"{out}.run.json").unlink()  # of whose run nothing is known
    assert "unbalanced" not in {remark.code for remark in count(str(out)).remarks()}
