"""Which columns are taken, however they are written, and how that is told."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from helpers import fake, read_rows, write_rows

from promptshot.cli import run_command
from promptshot.errors import RowError
from promptshot.rows.columns import Taken, missing, taken, told
from promptshot.rows.row import Row, joined, nested, parts_of, value_at
from promptshot.rows.tables import looks_like_data


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


# ------------------------------------------------------------------ several columns as one text

TICKETS = [
    {"ID": 1, " Subject ": "Late parcel", "Body": "Two weeks!", "Topic": "delivery"},
    {"ID": 2, " Subject ": "", "Body": "Wrong sum.", "Topic": "money"},
    {"ID": 3, " Subject ": "Refund", "Body": None, "Topic": "money"},
]


def test_several_columns_are_one_text_a_line_each_without_those_that_are_empty() -> None:
    rows = [Row(fields, columns={"text": "subject, BODY"}) for fields in TICKETS]
    assert [row["text"] for row in rows] == ["Late parcel\nTwo weeks!", "Wrong sum.", "Refund"]
    assert rows[0].parts("text") == (" Subject ", "Body")
    (line,) = told(taken(rows, ("text",)), rows)
    assert line == "columns: text is ' Subject ' and 'Body', a line each"


def test_a_comma_may_belong_to_the_name_of_a_column() -> None:
    fields = {"a,b": "whole", "a": "x", "b": "y", "c,d": "z", "n": 3}
    assert Row(fields, columns={"text": "a,b"})["text"] == "whole"
    assert Row(fields, columns={"text": r"c\,d,n"})["text"] == "z\n3"
    assert parts_of(joined(["c,d", "n"])) == ("c,d", "n")


def test_a_column_that_is_no_text_is_no_part_of_one() -> None:
    row = Row({"a": ["x"], "b": "y"}, "f:1", columns={"text": "a,b"})
    with pytest.raises(RowError, match="f:1: column 'a' is a list, not text"):
        row["text"]


@pytest.mark.parametrize("said", ["--text-field=subject,body", "config"])
def test_joined_columns_reach_the_prompt(said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = write_rows(tmp_path / "t.jsonl", TICKETS)
    config = tmp_path / "c.yaml"
    config.write_text("text-field: [subject, body]\n")
    flag = said if said != "config" else f"--config={config}"
    assert fake(rows, flag, "--label-field", "topic", "-t", "{text} [{mask}]", "--dry-run") == 0
    assert "  Late parcel\n  Two weeks! [" in capsys.readouterr().err
    assert run_command(["compare", rows, flag, "--label-field", "topic", "--scorer", "fake", "-q"]) == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ["--text-field", "subject,boddy"],
            "no column 'boddy' for field 'text'; the row has: ID,  Subject , Body, Topic",
        ),
        (["--text-field", "Zusatz"], "no column 'Zusatz' for field 'text'"),
        (["-t", "{bdy} {mask}"], "no field 'bdy'; the row has: ID,  Subject , Body, Topic; did you mean 'Body'?"),
        (["-t", "{nothing} {mask}"], "try --map nothing=COLUMN"),
        (["--text-field", "body", "--label-field", "topik"], "no column 'topik' for field 'label'"),
    ],
)
def test_a_field_without_a_column_is_told_before_a_model_is_loaded(
    flags: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = write_rows(tmp_path / "t.jsonl", TICKETS)
    monkeypatch.setattr("promptshot.scorers.load", lambda *_: pytest.fail("a model is loaded"))
    assert run_command(["classify", rows, "--labels", "delivery,money", *flags]) == 1
    err = capsys.readouterr().err
    assert said in err
    assert len([line for line in err.splitlines() if not line.startswith("note")]) == 1


def test_a_column_of_later_rows_is_no_misspelt_one(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "t.jsonl", [{"x": 1}] * 30 + [{"text": "late"}])
    assert fake(rows, "-t", "zh-sentiment-mlm", "-q", "-o", str(tmp_path / "o.jsonl")) == 3
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 1


# ------------------------------------------------------------------ one text a line


@pytest.mark.parametrize(
    ("name", "text", "flags", "texts"),
    [
        ("a.txt", "Gut war es, wirklich\n\nnie wieder\n", [], ["Gut war es, wirklich", "nie wieder"]),
        ("a", "只有一行，没有表头\n", [], ["只有一行，没有表头"]),
        ("a.txt", "It was late, and wet.\nGood, though\n", [], ["It was late, and wet.", "Good, though"]),
        ("a.txt", "One\r\nTwo, or three\r\n", [], ["One", "Two, or three"]),
        ("a.csv", "text,label\nx,y\n", ["--lines"], ["text,label", "x,y"]),
        ("a.jsonl", '{"text": "x"}\n', ["--lines"], ['{"text": "x"}']),
        ("a.txt", "text\nx\n", [], ["x"]),
        ("a.txt", "id;review\n1;x\n2;y\n", [], ["x", "y"]),
        ("a.txt", "Kommentar;Note\nx;1\ny;2\n", ["--text-field", "Kommentar"], ["x", "y"]),
        ("a.txt", "id\ttext\n1\tx\n", [], ["x"]),
        ("a.txt", '"quoted, twice",1\nplain,2\n', ["--no-header", "--text-field", "1"], ["quoted, twice", "plain"]),
    ],
)
def test_a_text_a_line_is_told_from_a_table(
    name: str, text: str, flags: list[str], texts: list[str], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(text.encode())
    out = tmp_path / "out.jsonl"
    assert fake(str(tmp_path / name), "--labels", "a,b", "--ignore-labels", "-q", "-o", str(out), *flags) == 0
    found = read_rows(out)
    columns = dict([flags]) if flags[:1] == ["--text-field"] else {"text": "1"} if "--no-header" in flags else {}
    name = columns.get("--text-field") or columns.get("text") or "text"
    assert [row.get(name) or row.get("review") for row in found] == texts


def test_lines_that_are_no_text_are_rejected_and_options_that_clash_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_bytes(b"good\n\xff\xfe bad\nok\nfine\nso so\n")
    assert fake(str(tmp_path / "a.txt"), "--labels", "a,b", "-o", str(tmp_path / "o.jsonl")) == 3
    assert "a.txt:2: not UTF-8 (byte 1)" in capsys.readouterr().err
    assert fake(str(tmp_path / "a.txt"), "--labels", "a,b", "--lines", "--no-header") == 1
    assert "--lines and --no-header" in capsys.readouterr().err


def test_a_text_from_a_pipe_is_one_row(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"I loved it, really\n")))
    assert fake("-", "--labels", "good,bad", "-q") == 0
    assert json.loads(capsys.readouterr().out)["text"] == "I loved it, really"


def test_of_columns_that_differ_in_blanks_and_case_the_nearest_is_taken() -> None:
    fields = {"Text": "A", "text": "b", "TEXT ": "c"}
    assert Row(fields, columns={"text": "TEXT"})["text"] == "c"
    assert Row(fields, columns={"text": "TEXT,Text"})["text"] == "c\nA"
    assert Row({" Text": "x", "TEXT": "y"}, columns={"text": "Text"})["text"] == "x"


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ("Ref #,Short descr.,What else?", False),
        ("Nr.,Überschrift", False),
        ("it was very nice.,1", True),
        ("4,a", True),
    ],
)
def test_a_heading_may_end_with_a_sign(header: str, data: bool) -> None:
    assert looks_like_data(header.split(",")) is data


def test_a_text_file_that_was_taken_for_a_table_points_to_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("Good, cheap\nBad, dear\n")
    assert fake(str(tmp_path / "a.txt"), "--labels", "good,bad") == 1
    assert "or is each line a text? --lines" in capsys.readouterr().err
    (tmp_path / "b.txt").write_text("text\nso tired, bad\nnice, good\n")
    assert fake(str(tmp_path / "b.txt"), "--labels", "good,bad") == 1
    assert "say --lines where each line is a text" in capsys.readouterr().err
