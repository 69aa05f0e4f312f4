"""Which columns are taken, however they are written, and how that is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_cli import fake, write_rows

from promptshot.cli import run_command
from promptshot.columns import Taken, missing, taken, told
from promptshot.rows import Row, nested, value_at


@pytest.mark.parametrize(
    ("fields", "name", "column"),
    [
        ({"Text": "x"}, "text", "Text"),
        ({" Label ": "x"}, "label", " Label "),
        ({"GOLD LABEL": "x"}, "label", "GOLD LABEL"),
        ({"gold-label": "x"}, "label", "gold-label"),
        ({"Sentence1": "x"}, "text_a", "Sentence1"),
        ({"Text": "x", "sentence": "y"}, "text", "sentence"),
        ({"text": "x", "TEXT": "y"}, "text", "text"),
        ({"评论": "x"}, "text", "评论"),
        ({"texts": "x"}, "text", None),
    ],
)
def test_a_column_is_found_however_it_is_written(fields: dict[str, str], name: str, column: str | None) -> None:
    assert Row(fields).column(name) == column


def test_a_named_column_is_found_however_it_is_written_too() -> None:
    row = Row({"Body Text": "b", "text": "t"}, columns={"text": "body text"})
    assert row["text"] == "b"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.0.b", 1),
        ("a.1.c.0", "x"),
        ("a.1.c", ["x", "y"]),
        ("d.e.f", 5),
        ("g", None),
        ("h.i", 7),
        ("h.i.j", 8),
    ],
)
def test_a_path_leads_through_objects_and_lists(path: str, value: Any) -> None:
    fields = {"a": [{"b": 1}, {"c": ["x", "y"]}], "d.e": {"f": 5}, "g": None, "h": {"i": 7, "i.j": 8}}
    assert value_at(fields, path) == value
    assert Row(fields, columns={"text": path})["text"] == value


@pytest.mark.parametrize("path", ["a.2", "a.x", "a.0.b.c", "z.0", "a.-1", "a.²"])
def test_a_path_that_leads_nowhere_finds_nothing(path: str) -> None:
    assert Row({"a": [{"b": 1}]}, columns={"text": path}).column("text") is None


def test_what_could_be_meant_as_well_is_told_with_the_flag() -> None:
    row = Row({"id": 1, "mood": "x", "category": "a", "sentiment": "b", "title": "t", "comment": "c"})
    found = taken([row], ("text", "label"))
    assert found == [Taken("text", "comment", ("title",)), Taken("label", "category", ("sentiment",))]
    (line,) = told(found, [row])
    assert line == (
        "columns: text is 'comment' (or 'title'? say --text-field), "
        "label is 'category' (or 'sentiment'? say --label-field)"
    )


def test_columns_that_go_by_their_own_names_or_were_named_are_not_told() -> None:
    own = Row({"text": "t", "label": "a", "title": "x", "sentiment": "b"})
    assert told(taken([own], ("text", "label")), [own]) == []
    named = Row({"title": "t", "comment": "c"}, columns={"text": "title"})
    assert told(taken([named], ("text",)), [named]) == []
    assert taken([named], ("text",)) == [Taken("text", "title", said=True)]


def test_a_row_that_lacks_a_column_does_not_hide_it() -> None:
    rows = [Row({"sentence": "a"}), Row({"sentence": "b", "gold": "x"})]
    assert taken(rows, ("text", "label")) == [Taken("text", "sentence"), Taken("label", "gold")]


def test_what_an_annotator_thought_of_a_row_is_no_label_and_is_told() -> None:
    rows = [Row({"text": "a", "answer": said, "label": "x"}) for said in ("accept", "reject", "reject")]
    assert [row.column("label") for row in rows] == ["label"] * 3
    assert "column 'answer' says what an annotator thought of a row (accept 1, reject 2)" in told([], rows)[0]
    assert Row({"text": "a", "answer": "accept"}).column("label") is None
    assert Row({"text": "a", "answer": "accept", "accept": ["B"]}).column("label") == "accept"
    assert Row({"text": "a", "answer": "accept"}, columns={"label": "answer"}).column("label") == "answer"
    assert Row({"text": "a", "answer": "yes"}).column("label") == "answer"
    assert told([], [Row({"text": "a", "answer": "accept", "label": "x"})]) == []


def test_where_no_column_is_known_the_likeliest_path_is_named() -> None:
    row = Row({"id": 1, "data": {"text": "x"}, "annotations": [{"result": [{"value": {"choices": ["a"]}}]}]})
    assert nested(row.fields, "text") == "data.text"
    assert missing([row], "label").startswith(
        "name the column: --label-field annotations.0.result.0.value.choices (the"
    )
    assert missing([Row({"a": 1})], "keyword") == "name the column: --map keyword=NAME (the row has: a)"


def test_guessed_columns_are_told_written_down_and_shown_with_v(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "r.jsonl", [{"Comment": "fine", "gold": "positive"}])
    out = tmp_path / "o.jsonl"
    assert fake(path, "-t", "en-sentiment-mlm", "-o", str(out), "-v") == 0
    err = capsys.readouterr().err
    assert "note: columns: text is 'Comment', label is 'gold'" in err
    assert "columns text=Comment, label=gold" in err
    said = json.loads((tmp_path / "o.jsonl.run.json").read_text(encoding="utf-8"))
    assert said["recipe"]["columns"] == {"text": "Comment", "label": "gold"}
    assert fake(path, "-t", "en-sentiment-mlm", "-o", str(out), "-q") == 0
    assert run_command(["diff", str(out), str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["a"]["labelled"] == 1


def test_a_column_that_looks_like_labels_is_named_and_others_are_let_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"id": i, "text": f"text {i}", "verdict": "for" if i % 2 else "against"} for i in range(6)]
    path = write_rows(tmp_path / "r.jsonl", rows)
    assert fake(path, "-t", "en-sentiment-mlm") == 0
    said = "name the column: --label-field verdict (the row has: id, text, verdict)"
    assert f"no column of labels is known by its name; {said}" in capsys.readouterr().err
    assert fake(path) == 1
    assert said in capsys.readouterr().err
    assert fake(path, "-t", "en-sentiment-mlm", "--ignore-labels") == 0
    assert "no column" not in capsys.readouterr().err
    assert (
        fake(
            write_rows(tmp_path / "u.jsonl", [{"id": row["id"], "text": row["text"]} for row in rows]),
            "-t",
            "en-sentiment-mlm",
        )
        == 0
    )
    assert "no column" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("label", "path"),
    [({"value": "pos"}, "label.value"), ([{"name": "pos", "score": 1}], "label.0.name"), ({"a": {"b": 1}}, "")],
)
def test_a_label_within_an_object_is_found_by_its_path(label: Any, path: str) -> None:
    assert nested({"text": "a", "label": label}, "label") == path


def test_labels_that_are_names_of_columns_are_no_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"stem": "Which one flies?", "A": "horse", "B": "sparrow", "answer": answer} for answer in "BABA"]
    path = write_rows(tmp_path / "r.jsonl", rows)
    assert fake(path, "--text-field", "stem") == 1
    assert "are the columns of their answers; name the question: -t en-choice-mlm --map" in capsys.readouterr().err
    assert fake(path, "-t", "en-choice-mlm", "--map", "question=stem") == 0


def test_compare_tells_its_columns_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_rows(tmp_path / "r.jsonl", [{"sentence": "fine", "label": "positive"}] * 3)
    arguments = ("-t", "en-sentiment-mlm", "-t", "en-sentiment-nsp", "--scorer", "fake")
    assert run_command(["compare", path, *arguments]) == 0
    assert capsys.readouterr().err.count("columns: text is 'sentence', label is 'label'") == 1
