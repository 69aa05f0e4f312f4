"""Multiple choice from end to end: every room that a row's own label words pass through."""

from __future__ import annotations

import csv
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import Tiny, fake, prompt_of, read_rows, write_rows
from json_schema import fits

from promptshot.authoring.lint.linter import Linter
from promptshot.cli import run_command
from promptshot.compare.diff import diff
from promptshot.prompts import library
from promptshot.prompts.strict import schema
from promptshot.prompts.template import TemplateSpec
from promptshot.rows.row import Row
from promptshot.scorers import load
from promptshot.scoring import ModelOptions

COLUMNS = """\
scorer: causal
text: "{question} {mask}"
words_from: [A, B, C, D]
label_field: answer
example: {question: "What floats?", A: cork, B: iron, C: lead, answer: A}
"""
TABLE = """\
question,A,B,C,D,answer
What floats?,cork,iron,,,A
What sinks?,cork,iron,wood,leaf,B
What burns?,iron,wood,sand,,1
What rolls?,ball,,cube,,A
What flies?,stone,,,,A
"""
ARC = [
    {"question": "What floats?", "choices": {"text": ["iron", "cork"], "label": ["A", "B"]}, "answerKey": "B"},
    {"question": "Sinks?", "choices": {"text": ["leaf", "wood", "iron"], "label": ["1", "2", "3"]}, "answerKey": "3"},
]


@pytest.fixture
def template(tmp_path: Path) -> str:
    (tmp_path / "t.yaml").write_text(COLUMNS, encoding="utf-8")
    return str(tmp_path / "t.yaml")


@pytest.fixture
def table(tmp_path: Path) -> str:
    (tmp_path / "r.csv").write_text(TABLE, encoding="utf-8")
    return str(tmp_path / "r.csv")


def summary(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_options_in_columns_are_scored_counted_and_recorded(
    template: str, table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o.csv"
    assert fake(table, "-t", template, "-o", str(out)) == 3
    with out.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [list(json.loads(row["scores"])) for row in rows] == [
        ["cork", "iron"],
        ["cork", "iron", "wood", "leaf"],
        ["iron", "wood", "sand"],
    ]
    record = summary(Path(f"{out}.run.json"))
    assert record["recipe"]["verbalizer"]["words_from"] == ["A", "B", "C", "D"]
    assert record["labelled"] == 3
    assert record["chance"] == pytest.approx((1 / 2 + 1 / 4 + 1 / 3) / 3)
    assert set(record["confusion"]) == {"cork", "iron", "wood"}
    rejects = read_rows(Path(f"{out}.rejects.jsonl"))
    assert [row["source"].rpartition(":")[2] for row in rejects] == ["5", "6"]
    assert "the columns A, B, C, D do not hold at least two different words" in rejects[0]["reason"]
    capsys.readouterr()
    assert fake(table, "-t", template, "-o", str(out)) == 3  # the record is read again
    assert "all were done before" in capsys.readouterr().err


@pytest.mark.parametrize("field", ["choices", "choices.text", "candidates"])
def test_arcs_layout_is_scored_by_the_letters_and_numbers_that_it_gives(field: str, tmp_path: Path) -> None:
    text = COLUMNS.replace("[A, B, C, D]", field).replace("A: cork, B: iron, C: lead", f"{field}: [cork, iron]")
    (tmp_path / "t.yaml").write_text(text, encoding="utf-8")
    path, out = write_rows(tmp_path / "r.jsonl", ARC), tmp_path / "o.jsonl"
    assert fake(path, "-t", str(tmp_path / "t.yaml"), "-o", str(out)) == 0
    assert set(summary(Path(f"{out}.run.json"))["confusion"]) == {"cork", "iron"}


@pytest.mark.parametrize("name", ["en-choice-mlm", "en-choice-causal", "zh-choice-mlm", "zh-choice-causal"])
def test_the_shelf_reads_lists_letters_and_arcs_layout(name: str, tmp_path: Path) -> None:
    rows = [*ARC, {"question": "What rolls?", "endings": ["a ball", "a cube"], "label": 0}]
    out = tmp_path / "o.jsonl"
    assert fake(write_rows(tmp_path / "r.jsonl", rows), "-t", name, "-o", str(out)) == 0
    assert set(summary(Path(f"{out}.run.json"))["confusion"]) == {"cork", "iron", "a ball"}


def test_labels_that_call_no_word_stop_the_run_in_words_that_fit(
    template: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"question": "What floats?", "A": "cork", "B": "iron", "answer": "E"}]
    assert fake(write_rows(tmp_path / "r.jsonl", rows), "-t", template) == 1
    assert "none of the rows' own labels (E) is a word of its row, or its letter or place" in capsys.readouterr().err
    path = write_rows(tmp_path / "r.jsonl", [*rows, {**rows[0], "answer": "A"}])
    assert fake(path, "-t", template, "--strict-labels", "-o", str(tmp_path / "o.jsonl")) == 3
    (reject,) = read_rows(tmp_path / "o.jsonl.rejects.jsonl")
    assert reject["reason"] == "the label 'E' is none of: cork, iron"


def test_a_saved_template_is_read_again(template: str, table: str, tmp_path: Path) -> None:
    for number, name in enumerate((template, "en-choice-mlm")):
        path = write_rows(tmp_path / "r.jsonl", ARC) if number else table
        fake(path, "-t", name, "--save-template", str(tmp_path / f"{number}.yaml"))
        saved = library.template(str(tmp_path / f"{number}.yaml"))
        assert saved.spec.words_from == library.template(name).spec.words_from
        assert library.verbalizer_of(saved).as_dict()["words_from"] == saved.spec.words_from


def test_columns_are_mapped_and_drawn_from_and_compared(
    template: str, table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"q": "What floats?", "a": "cork", "b": "iron", "d": "", "answer": "b"}]
    path = write_rows(tmp_path / "r.jsonl", rows)
    maps = [part for pair in ("question=q", "A=a", "B=b", "D=d") for part in ("--map", pair)]
    assert fake(path, "-t", template, *maps, "--dry-run") == 0
    assert "blank: cork, iron" in capsys.readouterr().err
    assert fake(path, "-t", template, "--map", "E=e") == 1
    assert "the template has no such field; there is: A, B, C, D, answer, question" in capsys.readouterr().err
    demos = str(tmp_path / "d.csv")
    Path(demos).write_text("".join(TABLE.splitlines(keepends=True)[:4]), encoding="utf-8")
    assert fake(table, "-t", template, "--demos", demos, "-k", "2", "-n", "1", "--dry-run") == 0
    assert "What floats? cork" not in capsys.readouterr().err  # a row never meets itself
    # A template that names a list takes columns called A, B, C ... where there is none.
    assert run_command(["compare", demos, "-t", template, "-t", "en-choice-causal", "--scorer", "fake"]) == 0


def test_files_of_predictions_are_compared_by_the_record_of_their_run(
    template: str, table: str, tmp_path: Path
) -> None:
    outs = [str(tmp_path / name) for name in ("a.csv", "b.jsonl")]
    for out in outs:
        fake(table, "-t", template, "-o", out)
    found = diff(*outs)
    assert found.rows == 3
    assert set(found.by_label) == {"cork", "iron", "wood"}


def test_lint_preview_and_the_schema_know_columns(
    template: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Linter().template(Path(template)) == []
    broken = tmp_path / "b.yaml"
    broken.write_text(COLUMNS.replace("B: iron", "E: iron"), encoding="utf-8")
    assert [finding.message for finding in Linter().template(broken)] == ["the example has no field 'B'"]
    broken.write_text(COLUMNS.replace("C: lead", "E: lead"), encoding="utf-8")
    assert [finding.message for finding in Linter().template(broken)] == ["the text does not read 'E'"]
    broken.write_text(COLUMNS.replace("[A, B, C, D]", "[A, A]"), encoding="utf-8")
    assert "few-labels" in [finding.code for finding in Linter().template(broken)]
    assert run_command(["templates", "preview", template, '{"question": "What burns?", "A": "wood", "B": "tin"}']) == 0
    assert "blank: wood, tin" in capsys.readouterr().out
    own = schema(TemplateSpec, "template")
    assert fits(yaml.safe_load(COLUMNS), own, own)
    assert not fits({**yaml.safe_load(COLUMNS), "words_from": {"A": "B"}}, own, own)


def golds(folder: Path, rows: list[dict[str, Any]], template: str = "en-choice-mlm") -> list[str]:
    """What the labels of rows were read as, by way of a run that had them all."""
    out = folder / "golds.jsonl"
    assert fake(write_rows(folder / "g.jsonl", rows), "-t", template, "-o", str(out), "--overwrite") == 0
    words = library.verbalizer_of(library.template(template))
    return [str(words.gold_label(row := Row(one), row.column("answer"))[0]) for one in read_rows(out)]


def test_a_number_is_a_place_also_where_the_options_are_numbers(tmp_path: Path) -> None:
    rows = [
        {"question": "2 + 2?", "choices": ["0", "4", "2"], "answer": 1},
        {"question": "6 * 4?", "choices": ["8", "2", "24", "1"], "answer": 2},
        {"question": "Numbers both?", "choices": [1, 2, 3], "answer": 2},
        {"question": "As a word?", "choices": ["1", "0"], "answer": "0"},
        {"question": "Beyond?", "choices": ["7", "9"], "answer": 9},
    ]
    assert golds(tmp_path, rows) == ["4", "24", "2", "0", "9"]


def test_a_column_is_called_by_its_name_also_where_an_option_is_spelled_like_it(tmp_path: Path) -> None:
    rows = [
        {"question": "Universal donor?", "A": "AB", "B": "O", "C": "A", "D": "B", "answer": "B"},
        {"question": "Universal recipient?", "A": "O", "B": "AB", "C": "A", "D": "B", "answer": "b"},
        {"question": "Capital of France?", "A": "Rome", "B": "Paris", "C": "Bonn", "D": "Bern", "answer": "Paris"},
    ]
    assert golds(tmp_path, rows) == ["O", "AB", "Paris"]


def test_a_place_as_pandas_writes_it_is_a_place(tmp_path: Path) -> None:
    rows = [{"question": "q?", "A": "red", "B": "blue", "answer": answer} for answer in ("1.0", "0.0")]
    assert golds(tmp_path, rows) == ["blue", "red"]


@pytest.mark.parametrize("name", ["题目", "问题", "question"])
def test_a_table_of_questions_in_chinese_needs_nothing_said(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.csv"
    path.write_text(
        f"{name},A,B,C,答案\n会飞的是哪一个？,马,麻雀,鲤鱼,B\n会游的是哪一个？,马,麻雀,鲤鱼,C\n", encoding="utf-8"
    )
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)  # ten examples stand for the rows
    assert fake(str(path)) == 0
    err = capsys.readouterr().err
    assert "template zh-choice-mlm: each row brings its own words" in err
    assert "会飞的是哪一个？" in err
    assert run_command(["compare", str(path), "--scorer", "fake"]) == 0
    assert "zh-choice-causal" in capsys.readouterr().err


# ------------------------------------------------------------------ words that a tokenizer cannot tell apart

GOOD = {"question": "What is good?", "choices": ["news", "food"], "answer": "food"}
BAD: dict[str, list[dict[str, Any]]] = {
    "does not know: ☃": [{**GOOD, "choices": ["news", "☃"], "answer": "news"}],
    "does not know: 龘, 鱻": [{**GOOD, "choices": ["龘", "鱻", "food"]}],
    "does not know: '\\u200d'": [{**GOOD, "choices": ["food", "\u200d"]}],
    "does not know: '\\u0301\\u0308'": [{**GOOD, "choices": ["\u0301\u0308", "food"]}],
    "spells 'News' and 'news' the same": [{**GOOD, "choices": ["food", "News", "news"]}],
    "spells 'cafe' and 'café' the same": [{**GOOD, "choices": ["cafe", "café"], "answer": "cafe"}],
}


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["mlm", "nsp"])
@pytest.mark.parametrize("said", BAD)
def test_words_of_a_row_that_cannot_be_told_apart_reject_that_row_alone(
    said: str, kind: str, bert: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "{question} {mask}" if kind == "mlm" else ["{question}", "{mask}"]
    keys = {"scorer": kind, "text": text, "words_from": "choices", "label_field": "answer"}
    (tmp_path / "t.yaml").write_text(yaml.safe_dump(keys), encoding="utf-8")
    rows, out = [GOOD, *BAD[said], {**GOOD, "question": "a"}, *BAD[said]], tmp_path / "o.jsonl"
    command = ["classify", write_rows(tmp_path / "r.jsonl", rows), "-t", str(tmp_path / "t.yaml"), "-m", bert.name]
    assert run_command([*command, "-o", str(out)]) == 3
    rejects = read_rows(f"{out}.rejects.jsonl")
    assert [row["source"].rpartition(":")[2] for row in rejects] == ["2", "4"]
    assert all(row["reason"].endswith(said) for row in rejects), rejects
    assert [row["question"] for row in read_rows(out)] == ["What is good?", "a"]
    alone = write_rows(tmp_path / "alone.jsonl", [GOOD, {**GOOD, "question": "a"}])
    assert run_command(["classify", alone, *command[2:], "-o", str(tmp_path / "alone.out.jsonl")]) == 0
    for one, other in zip(read_rows(out), read_rows(tmp_path / "alone.out.jsonl"), strict=True):
        assert one["word_scores"] == pytest.approx(other["word_scores"], abs=1e-4)
    capsys.readouterr()
    assert run_command([*command, "--on-error", "fail"]) == 1
    out_said, err = capsys.readouterr()
    assert out_said == ""
    assert f"r.jsonl:2: the tokenizer of {bert.name} {said}" in err


@pytest.mark.torch
@pytest.mark.parametrize("model", ["gpt2", "llama"])
def test_a_tokenizer_of_bytes_takes_signs_and_one_of_letters_names_them(
    request: pytest.FixtureRequest, model: str, tmp_path: Path
) -> None:
    tiny: Tiny = request.getfixturevalue(model)
    rows = [GOOD, {**GOOD, "choices": ["☃", "☂"], "answer": 0}, {**GOOD, "choices": ["News", "news"], "answer": 0}]
    out = tmp_path / "o.jsonl"
    command = ["classify", write_rows(tmp_path / "r.jsonl", rows), "-t", "en-choice-causal", "-m", tiny.name]
    assert run_command([*command, "-o", str(out)]) == (0 if model == "gpt2" else 3)
    if model == "llama":
        (reject,) = read_rows(f"{out}.rejects.jsonl")
        assert reject["reason"] == f"the tokenizer of {tiny.name} does not know: ☃, ☂"


@pytest.mark.torch
def test_the_first_bad_row_is_the_one_that_fails_a_run_whatever_is_wrong_with_it(
    bert: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [GOOD, {**GOOD, "choices": ["☃", "food"]}, {**GOOD, "choices": "none"}]
    command = ["classify", "-t", "en-choice-mlm", "-m", bert.name, "--on-error", "fail"]
    assert run_command([*command, write_rows(tmp_path / "r.jsonl", rows)]) == 1
    assert "r.jsonl:2: " in capsys.readouterr().err
    assert run_command([*command, write_rows(tmp_path / "r.jsonl", [rows[0], rows[2], rows[1]])]) == 1
    assert "r.jsonl:2: " in capsys.readouterr().err


@pytest.mark.torch
def test_a_word_that_is_nothing_to_the_tokenizer_is_the_error_of_its_prompt_alone(bert: Tiny) -> None:
    prompts = [prompt_of([("a day, ", "")], words) for words in (["good", "\u200d"], ["good", "food"], ["\u200d"])]
    found = load("mlm", ModelOptions(bert.name)).score(prompts)
    said = "the word '\\u200d' is nothing to the tokenizer"
    assert [one.error for one in found] == [said, None, said]
    for words in (["", "good"], [""]):  # no word at all is no word that is lost
        (found,) = load("mlm", ModelOptions(bert.name)).score([prompt_of([("a day, ", "")], words)])
        assert (found.error, found.scores[0]) == (None, 0.0)


# ------------------------------------------------------------------ several templates


def test_an_ensemble_chooses_among_the_words_of_each_row(tmp_path: Path) -> None:
    """Where the templates take the same words; where they do not, the row is rejected alone."""
    keys = {"scorer": "causal", "text": "{question} {mask}", "words_from": "others", "label_field": "answer"}
    (tmp_path / "t.yaml").write_text(yaml.safe_dump(keys), encoding="utf-8")
    rows = [
        {"question": "What floats?", "choices": ["cork", "iron"], "others": ["iron", "cork"], "answer": "cork"},
        {"question": "What rolls?", "choices": ["ball", "cube"], "others": ["ball", "sand", "tin"], "answer": "ball"},
        {"question": "What burns?", "choices": ["tin", "wood"], "others": ["tin", "wood"], "answer": "wood"},
    ]
    path, out = write_rows(tmp_path / "r.jsonl", rows), tmp_path / "o.jsonl"
    templates = ["-t", "en-choice-mlm", "-t", str(tmp_path / "t.yaml")]
    assert fake(path, *templates, "-o", str(out)) == 3
    (reject,) = read_rows(f"{out}.rejects.jsonl")
    assert (reject["source"].rpartition(":")[2], reject["reason"]) == (
        "2",
        "the templates of the ensemble take other words from the row: ball, cube against ball, sand, tin",
    )
    assert [set(row["scores"]) for row in read_rows(out)] == [{"cork", "iron"}, {"tin", "wood"}]
    members = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for template, member in zip(templates[1::2], members, strict=True):
        fake(path, "-t", template, "-o", str(member))
    for number, row in zip((0, 2), read_rows(out), strict=True):
        parts = [read_rows(member)[number]["probabilities"] for member in members]
        logs = {word: sum(math.log(part[word]) for part in parts) / 2 for word in parts[0]}
        assert row["scores"] == pytest.approx(logs)
