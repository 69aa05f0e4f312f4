"""Precisions beside float32, on a user's rows."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import Tiny, failed, write_rows

from promptshot.classify.recipe import Recipe
from promptshot.cli import run_command
from promptshot.errors import InputError
from promptshot.precision import Measured, advice, measure
from promptshot.prompts import library
from promptshot.rows.row import Row
from promptshot.scoring import ModelOptions

pytestmark = pytest.mark.torch
TEXTS = ("房间很干净，早餐也好。", "太贵了，不会再来。", "还可以。", "", "服务员态度很差，等了一个小时。")


def recipe(model: str) -> Recipe:
    template = library.template("zh-sentiment-mlm")
    return Recipe.of(template, library.verbalizer_of(template), options=ModelOptions(model))


def rows(*texts: str) -> list[Row]:
    label = {"label": "positive"}
    return [Row({"text": text, **label}, f"rows:{i}", key=i) for i, text in enumerate(texts)]


def test_each_precision_is_measured_on_the_same_good_rows() -> None:
    compared = measure(recipe("builtin:bert"), rows(*TEXTS), rounds=1)
    exact, mixed, half = found = compared.found
    assert [reject.source for reject in compared.rejects] == ["rows:3"]
    assert [one.dtype for one in found] == ["float32", "mixed", "bfloat16"]
    assert [one.rows for one in found] == [4, 4, 4]  # an empty text is no row
    assert [one.labelled for one in found] == [4, 4, 4]
    assert (exact.times, exact.largest, exact.changed) == (1.0, 0.0, 0)
    assert 0 < mixed.mean <= mixed.largest < 0.1
    assert mixed.mean < half.mean
    assert all(one.rows_per_second == pytest.approx(one.times * exact.rows_per_second) for one in found)


def test_rows_of_which_none_can_be_scored_are_refused(bert: Tiny) -> None:
    with pytest.raises(InputError, match=r"rows:0: none of 2 rows could be scored; the first: field 'text' is empty"):
        measure(recipe(bert.name), rows("", ""), rounds=1)


def test_a_pair_with_one_score_is_compared_by_it() -> None:
    template = library.template("zh-same-nsp")
    pair = Recipe.of(template, library.verbalizer_of(template))
    pairs = [
        Row({"text_a": a, "text_b": b}, f"rows:{i}", key=i)
        for i, (a, b) in enumerate((("天气很好", "今天天气不错"), ("我想退款", "外面在下雨"), ("他走了", "他离开了")))
    ]
    exact, mixed, _ = measure(pair, pairs, rounds=1).found
    assert exact.rows == mixed.rows == 3
    assert 0 < mixed.largest < 0.1


def of(dtype: str, times: float, changed: int = 0, largest: float = 0.01) -> Measured:
    return Measured(dtype, 1000, 100 * times, times, 0.0, largest, largest / 4, changed)


EXACT = of("float32", 1.0, largest=0.0)


@pytest.mark.parametrize(
    ("others", "best", "why"),
    [
        ((of("mixed", 2.0), of("bfloat16", 3.0)), "bfloat16", "3.0 times as fast, and none of 1,000 labels comes"),
        ((of("mixed", 2.0), of("bfloat16", 2.1, 0, 0.1)), "mixed", "2.0 times as fast"),  # as fast, and nearer
        ((of("mixed", 2.0, 5), of("bfloat16", 3.0, 6)), "mixed", "and 5 of 1,000 labels come out otherwise"),
        ((of("mixed", 2.0, 6), of("bfloat16", 3.0, 20)), "float32", "mixed is 2.0 times as fast, but 6 of 1,000"),
        ((of("mixed", 1.05), of("bfloat16", 0.4)), "float32", "nothing else is much faster"),
        ((of("bfloat16", 1.5), Measured("mixed", problem="no")), "bfloat16", "1.5 times"),
        ((of("mixed", 2.0), replace(of("bfloat16", 3.0), unsteady=0.3)), "float32", "speeds differ by 30% from turn"),
        ((replace(of("mixed", 2.0), rows=49),), "float32", "mixed is 2.0 times as fast, but 49 rows say too little"),
    ],
)
def test_the_fastest_that_changes_next_to_no_label_is_advised(
    others: tuple[Measured, ...], best: str, why: str
) -> None:
    found = advice([replace(EXACT, rows=others[0].rows), *others])
    assert found[0] == best
    assert why in found[1]


def test_that_nothing_changed_in_few_rows_says_little() -> None:
    assert Measured("mixed", 24).at_most == pytest.approx(0.138, abs=1e-3)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return write_rows(tmp_path / "rows.jsonl", [{"text": text, "label": "positive"} for text in TEXTS])


def test_the_doctor_compares_them_on_the_rows_of_a_file(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["doctor", path, "-t", "zh-sentiment-mlm", "--json"]) == 0
    done = capsys.readouterr()
    told = json.loads(done.out)
    assert {one["scorer"] for one in told["findings"]} == {"mlm"}
    assert [one["dtype"] for one in told["precisions"]] == ["float32", "mixed", "bfloat16"]
    assert told["precision"] in ("float32", "mixed", "bfloat16")
    assert told["template"] == "zh-sentiment-mlm"
    assert "4 rows by zh-sentiment-mlm, beside float32" in done.err
    assert f"for such rows --dtype {told['precision']}: " in done.err
    assert f"note: 1 row is left out; the first: {path}:4: field 'text' is empty" in done.err
    assert [reject["source"] for reject in told["rejected"]] == [f"{path}:4"]
    assert told["unknown_labels"] == 0


def test_labels_that_are_none_of_ours_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [{"text": text or "空", "label": "zzz"} for text in TEXTS])
    assert run_command(["doctor", path, "-t", "zh-sentiment-mlm"]) == 0
    said = capsys.readouterr().err
    assert "note: 5 rows have a label that is none of ours" in said
    assert "right" not in said


def test_what_is_for_the_rows_of_a_file_wants_one(capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in (("template", "zh-sentiment-mlm"), ("limit", "5"), ("labels", "a,b"), ("map", "text=a")):
        assert f"--{name} is for the rows of a FILE; name one" in failed(capsys, "doctor", f"--{name}", value)


def test_a_field_that_no_row_has_is_told_before_a_model_is_loaded(
    path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("promptshot.scorers.load", None)
    text = ["-t", "{text}{nothing}{mask}", "--labels", "positive=好,negative=坏"]
    assert "nothing" in failed(capsys, "doctor", path, *text)


@pytest.mark.parametrize("busy", [True, False])
def test_a_busy_machine_is_told(
    path: str, busy: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (100.0 if busy else 0.0, 0.0, 0.0))
    assert run_command(["doctor", path, "-t", "zh-sentiment-mlm", "--json"]) == 0
    done = capsys.readouterr()
    assert json.loads(done.out)["busy"] is busy
    assert ("note: other work runs on this machine" in done.err) is busy


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--dtype", "mixed"], "--dtype names one precision, and with a FILE all are compared; leave one out"),
        (["-t", "no-such"], "no template named 'no-such'"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_line(
    path: str, more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in failed(capsys, "doctor", path, "-t", "zh-sentiment-mlm", *more)
