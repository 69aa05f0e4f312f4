"""What the rows' own labels say is looked at before anything is scored: none is lost, none is shifted."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import fake, read_rows, write_rows

from promptshot.classify.gold import MOST, _survey, check_numbers, check_places
from promptshot.classify.recipe import Recipe
from promptshot.errors import RowError, VerbalizerError
from promptshot.prompts import library
from promptshot.prompts.verbalizer import RowWords, Verbalizer, gold_text, whole_number
from promptshot.rows.row import Row

FOUR = Verbalizer.parse(
    {"labels": {"a": "x", "b": "y", "c": "z", "d": "w"}, "gold": {"a": "0", "b": "1", "c": "2", "d": "3"}}, "four"
)
TWO = Verbalizer.parse({"labels": {"bad": "x", "good": "y"}, "gold": {"bad": "0", "good": "1"}}, "two")


def counted(folder: Path, *values: Any, name: str = "rows.jsonl") -> str:
    """Rows with these labels."""
    return write_rows(folder / name, [{"text": f"text {i}", "label": value} for i, value in enumerate(values)])


# ------------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    ("values", "words", "said"),
    [
        (["1", "2", "3", "4"], FOUR, "run from 1 to 4, four counts from 0 to 3: each would be taken for the next"),
        (["4", "1"], FOUR, "run from 1 to 4"),
        (["1.0", "2.0"], TWO, "run from 1 to 2, two counts from 0 to 1"),
        (["1", "2", "3", "4", "5"], TWO, "2, 3, 4, 5 are none of ours: two knows 0, 1"),
        (["0", "1", "2"], TWO, "2 is none of ours"),
        (["0", "7"], FOUR, "7 is none of ours"),
        (["3", "5"], Verbalizer.parse({"labels": {"1": "x", "3": "y"}}, "own"), "5 is none of ours: own knows 1, 3"),
    ],
)
def test_numbers_that_are_counted_otherwise_are_refused(values: list[str], words: Verbalizer, said: str) -> None:
    with pytest.raises(VerbalizerError) as caught:
        check_numbers(values, words)
    assert said in str(caught.value)
    assert "--labels '" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["0", "1", "2", "3"], FOUR),
        (["1", "3"], FOUR),
        (["1", "2", "3"], FOUR),
        (["1.0", "0.0"], TWO),
        (["-1", "0"], TWO),
        (["-1", "0", "1", "2"], Verbalizer.parse({"labels": {"0": "x", "1": "y", "2": "z"}}, "three")),
        (["-1", "1"], Verbalizer.parse({"labels": {"a": "x", "b": "y"}, "gold": {"a": "-1", "b": "1"}}, "signs")),
        (["good", "maybe"], TWO),
        (["5"], Verbalizer.parse({"labels": {"a": "x", "b": "y"}}, "words")),
        ([], TWO),
    ],
)
def test_numbers_that_may_be_ours_pass(values: list[str], words: Verbalizer) -> None:
    check_numbers(values, words)


@pytest.mark.parametrize("values", [["-1", "1"], ["1", "0", "-1"]])
def test_minus_one_beside_the_numbers_of_two_labels_is_hardly_no_label(values: list[str]) -> None:
    with pytest.raises(VerbalizerError, match=r"does not know -1.*-1:.*or leave such rows out: --strict-labels"):
        check_numbers(values, TWO)
    assert check_numbers(values, TWO, strict=True) == ""


def test_the_advice_for_numbers_has_the_words_of_the_template_where_there_are_as_many() -> None:
    with pytest.raises(VerbalizerError, match=r"--labels '1:a=x,2:b=y,3:c=z,4:d=w'"):
        check_numbers(["1", "2", "3", "4"], FOUR)
    with pytest.raises(VerbalizerError, match=r"--labels '0:NAME,1:NAME,3:NAME'; or leave .*--strict-labels"):
        check_numbers(["0", "1", "3"], TWO)


def test_the_advice_pairs_numbers_with_words_in_the_order_of_the_numbers_not_of_the_labels() -> None:
    words = Verbalizer.parse({"labels": {"good": "yes", "bad": "no"}, "gold": {"good": "1", "bad": "0"}}, "turned")
    with pytest.raises(VerbalizerError, match="--labels '1:bad=no,2:good=yes'"):
        check_numbers(["1", "2"], words)


def test_rejecting_other_numbers_is_no_way_out_where_nothing_says_that_rows_count_from_0() -> None:
    for values in (["1", "2", "3", "4"], ["2", "4"]):
        with pytest.raises(VerbalizerError) as caught:
            check_numbers(values, FOUR, strict=True)
        assert "--strict-labels" not in str(caught.value)
    assert check_numbers(["0", "1", "7"], FOUR, strict=True) == ""


def test_numbers_of_which_the_last_class_may_be_absent_are_read_and_doubted_aloud(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_numbers(["1", "2", "3"], FOUR) == "no row's label is 0: are they counted from 1? they are read from 0"
    assert check_numbers(["0", "1", "2"], FOUR) == check_numbers(["1"], FOUR) == check_numbers(["1"], TWO) == ""
    path = counted(tmp_path, 1, 2, 3)
    assert fake(path, "-t", "en-news-mlm") == 0
    assert "note: no row's label is 0: are they counted from 1?" in capsys.readouterr().err


def test_stars_under_two_labels_stop_the_run_and_both_ways_out_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = counted(tmp_path, 5, 1, 3, 1)
    assert fake(path, "-t", "en-sentiment-mlm") == 1
    assert "3, 5 are none of ours: en-great-terrible knows 0, 1" in capsys.readouterr().err
    assert fake(path, "-t", "en-sentiment-mlm", "--labels", "1=terrible,3=okay,5=great") == 0
    assert fake(path, "-t", "en-sentiment-mlm", "--strict-labels") == 1  # a single star would be counted as good
    assert fake(counted(tmp_path, 0, 1, 2), "-t", "en-sentiment-mlm", "--strict-labels") == 3
    assert fake(path, "-t", "en-sentiment-mlm", "--ignore-labels") == 0


def test_the_rows_behind_the_first_window_and_behind_the_limit_are_looked_at_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = counted(tmp_path, *([1] * 1500), 2)
    for arguments in ((), ("-n", "20"), ("--sample", "10")):
        assert fake(path, "-t", "en-sentiment-mlm", *arguments) == 1
        assert "run from 1 to 2" in capsys.readouterr().err


def test_numbers_as_pandas_writes_them_behind_a_gap_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\nfine,1.0\ndull,0.0\nso so,\n", encoding="utf-8")
    assert fake(str(path), "-t", "en-sentiment-mlm", "--summary", str(tmp_path / "s.json")) == 0
    said = json.loads((tmp_path / "s.json").read_text())
    assert {name: one["support"] for name, one in said["per_label"].items()} == {"negative": 1, "positive": 1}
    assert said["unknown_gold"] == {}


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("1.0", 1), ("-1", -1), (" 12.000 ", 12), ("1.5", None), ("x", None), ("", None), ("9" * 30, None)],
)
def test_a_whole_number_is_known_however_it_is_written(text: str, number: int | None) -> None:
    assert whole_number(text) == number


def test_places_among_a_rows_own_words_are_not_counted_from_1() -> None:
    with pytest.raises(VerbalizerError, match=r"count the words of a row from 1 \(up to 4\)"):
        check_places([(1, 3), (4, 3), (2, 3)])
    check_places([(0, 3), (4, 3)])
    check_places([(1, 3), (3, 3)])
    check_places([])


def test_a_run_whose_places_are_counted_from_1_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"question": "q?", "choices": ["red", "blue"], "answer": place} for place in (1, 2, 1)]
    assert fake(write_rows(tmp_path / "r.jsonl", rows), "-t", "en-choice-mlm") == 1
    assert "count the words of a row from 1" in capsys.readouterr().err


# ------------------------------------------------------------------ lists, and none at all


def test_a_list_of_one_label_is_its_item() -> None:
    assert gold_text(Row({"label": ["x"]}), "label") == "x"
    assert gold_text(Row({"label": [3.0]}), "label") == "3"
    assert gold_text(Row({"label": []}), "label") is None
    assert gold_text(Row({"label": [{"a": 1}, {"b": 2}]}), "label") is None
    with pytest.raises(RowError, match=r"f:1: the row has several labels \(a, b\), and one is looked for"):
        gold_text(Row({"label": ["a", "b"]}, "f:1"), "label")


def test_rows_with_several_labels_are_rejected_and_the_others_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = counted(tmp_path, ["negative"], ["positive", "negative"], "positive")
    assert fake(path, "-t", "en-sentiment-mlm", "--rejects", str(tmp_path / "rejects.jsonl")) == 3
    assert "2 rows, 1 rejected" in capsys.readouterr().err
    (rejected,) = read_rows(tmp_path / "rejects.jsonl")
    assert rejected["reason"].startswith("the row has several labels (positive, negative)")
    only = counted(tmp_path, ["a", "b"], ["c", "d"], name="several.jsonl")
    assert fake(only, "-t", "en-sentiment-mlm") == 1
    assert "several labels (a, b), and one is looked for; keep one, or predict only" in capsys.readouterr().err
    assert fake(only, "-t", "en-sentiment-mlm", "--ignore-labels") == 0


@pytest.mark.parametrize("arguments", [("--label-field", "label"), ("--strict-labels",)])
def test_labels_that_were_asked_for_and_are_not_there_fail_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    path = counted(tmp_path, None, "", None)
    assert fake(path, "-t", "en-sentiment-mlm") == 0
    capsys.readouterr()
    assert fake(path, "-t", "en-sentiment-mlm", *arguments) == 1
    err = capsys.readouterr().err
    assert "no row has a label" in err
    assert "--label-field NAME (the row has: text, label)" in err


# ------------------------------------------------------------------ candidate labels


def test_the_labels_to_choose_from_are_those_of_the_whole_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = counted(tmp_path, *["tea", "cocoa"] * 40, "milk")
    found = []
    for arguments in ((), ("-n", "5"), ("--sample", "4", "--seed", "3")):
        assert fake(path, *arguments) == 0
        found.append(set(json.loads(capsys.readouterr().out.splitlines()[0])["probabilities"]))
    assert found == [{"tea", "cocoa", "milk"}] * 3


def test_of_a_stream_the_labels_of_the_first_rows_are_taken_and_that_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": "x", "label": "tea" if i % 2 else "cocoa"} for i in range(1024)] + [{"text": "y", "label": "milk"}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert fake("-") == 0
    err = capsys.readouterr().err
    assert "labels from the rows: cocoa, tea; of the first 1,024 rows only" in err
    assert "1 row has a label that is none of ours, not counted: milk" in err


@pytest.mark.parametrize("arguments", [(), ("-t", "{text} is {mask}")])
def test_of_a_stream_that_is_cut_short_the_labels_are_told_as_those_of_a_part(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    text = "".join(json.dumps({"text": "x", "label": label}) + "\n" for label in ("tea", "cocoa", "milk"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert fake("-", "-n", "2", *arguments) == 0
    assert "labels from the rows: cocoa, tea; of the first 2 rows only" in capsys.readouterr().err


def test_a_short_stream_is_seen_whole(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = "".join(json.dumps({"text": "x", "label": label}) + "\n" for label in ("tea", "milk"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert fake("-") == 0
    assert "labels from the rows: milk, tea\n" in capsys.readouterr().err


def test_words_of_the_row_are_found_by_place_in_text_too() -> None:
    words = RowWords("t", {}, field_name="choices")
    row = Row({"choices": ["red", "blue"], "answer": "1"})
    assert words.gold_label(row, "answer") == ("blue", "1")
    assert words.numbered(row, "answer") == (1, 1)


# ------------------------------------------------------------------ labels that rows repeat


def surveyed(*values: Any) -> Any:
    """What is seen of rows with these labels."""
    template = library.template("en-sentiment-mlm")
    recipe = Recipe.of(template, library.verbalizer_of(template), "fake")
    return _survey([Row({"text": "t", "label": value}) for value in values], recipe)


def test_labels_that_rows_repeat_count_as_often_as_they_stand_there() -> None:
    found = surveyed(
        "positive", "POSITIVE ", 1, True, 1, None, "positive", ["a", "b"], "", 1.0, "none of ours", 1, ["1"]
    )
    assert found.raw == {
        "positive": {("str", "positive"): 2, ("str", "POSITIVE"): 1, ("int", 1): 3, ("float", 1.0): 1, ("str", "1"): 1}
    }
    assert list(found.values) == ["positive", "1", "true", "none of ours"]
    assert (found.known, found.several.labelled, found.several.rows) == (8, 11, 1)


def test_no_label_is_lost_where_there_are_very_many() -> None:
    many = [f"label {number}" for number in range(MOST + 50)]
    found = surveyed(*many, *many, *["negative"] * 7, "negative")
    assert (len(found.values), found.several.labelled) == (MOST, 2 * len(many) + 8)
    assert found.raw == {"negative": {("str", "negative"): 8}}
