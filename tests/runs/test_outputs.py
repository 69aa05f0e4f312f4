"""What is written of predictions: columns of tables, chosen fields, formats, byte order marks, suffixes."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import click
import pytest
from helpers import failed, fake, read_rows, small_windows, write_rows

from promptshot.cli import cli, run_command
from promptshot.compare.diff import diff
from promptshot.runs import shape
from promptshot.runs.predictions import count
from promptshot.runs.record import written

LABELS = {"hotel, rooms": "room", 'so-called "food"': "meal", "=SUM": "price", "售后 服务": "售后", "P": "staff"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own, and four rows a window, each marked."""
    monkeypatch.chdir(tmp_path)
    small_windows(monkeypatch, 4)


def sorted_texts(number: int = 22, **more: Any) -> str:
    """Rows about five things, with more columns."""
    names = list(LABELS)
    return write_rows(
        "in.jsonl", [{"id": n, "text": f"来信 {n}", "label": names[n % 5], **more} for n in range(number)]
    )


def template(labels: dict[str, str] | None = None) -> str:
    said = {"scorer": "mlm", "text": "{text} 说的是{mask}。", "verbalizer": {"labels": labels or LABELS}}
    Path("t.yaml").write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")
    return "./t.yaml"


def run(*arguments: str, rows: str = "in.jsonl", named: str = "./t.yaml") -> int:
    return run_command(["classify", rows, "-t", named, "--scorer", "fake", "-q", *arguments])


def table(name: str) -> list[dict[str, str]]:
    data = Path(name).read_bytes()
    text = (gzip.decompress(data) if name.endswith(".gz") else data).decode("utf-8-sig")
    delimiter = "\t" if ".tsv" in name else ","
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


# ------------------------------------------------------------------ a column for each label


@pytest.mark.parametrize("name", ["o.csv", "o.tsv", "o.csv.gz"])
def test_a_table_has_a_column_for_each_label_with_the_numbers_of_the_lines(name: str) -> None:
    sorted_texts()
    template()
    assert run("-o", name) == run("-o", "o.jsonl") == 0
    found, objects = table(name), read_rows("o.jsonl")
    own = ["id", "text", "label", "prediction", "probability"]
    assert list(found[0]) == [*own, *(f"p_{label}" for label in LABELS), *(f"score_{label}" for label in LABELS)]
    for row, one in zip(found, objects, strict=True):
        assert (row["prediction"].removeprefix("'"), float(row["probability"])) == (
            one["prediction"],
            one["probability"],
        )
        assert {label: float(row[f"p_{label}"]) for label in LABELS} == one["probabilities"]
        assert {label: float(row[f"score_{label}"]) for label in LABELS} == one["scores"]


@pytest.mark.parametrize("name", ["o.csv", "o.tsv.gz"])
@pytest.mark.parametrize("known", [True, False], ids=["with its record", "alone"])
def test_a_table_is_read_again_with_all_its_labels(name: str, known: bool) -> None:
    sorted_texts(p_value="0.05", score_of_mine=3, page="x")
    template()
    assert run("-o", name) == run("-o", "o.jsonl") == 0
    if not known:
        for path in (name, "o.jsonl"):
            Path(f"{path}.run.json").unlink()
    found, wanted = count(name), count("o.jsonl")
    assert found.tally.labels == wanted.tally.labels == tuple(LABELS)
    assert {**found.record(), "path": ""} == {**wanted.record(), "path": ""}
    assert diff("o.jsonl", name).agreed == 22
    assert diff(name, "o.jsonl").flips == []


def test_columns_of_the_rows_that_are_called_like_ours_give_way_and_that_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [
        {"prediction": "old", "text": f"{n}", "p_P": "mine", "probabilities": "{}", "p_x": "kept"} for n in range(3)
    ]
    write_rows("in.jsonl", rows)
    template()
    arguments = ["classify", "in.jsonl", "-t", "./t.yaml", "--scorer", "fake"]
    assert run_command([*arguments, "-o", "o.csv"]) == 0
    assert "input fields overwritten in the output: prediction, probabilities, p_P\n" in capsys.readouterr().err
    found = table("o.csv")
    assert list(found[0])[:4] == ["text", "p_x", "prediction", "probability"]
    assert all(0 < float(row["p_P"]) < 1 and row["p_x"] == "kept" and row["prediction"] != "old" for row in found)
    assert run_command([*arguments, "-o", "o.jsonl"]) == 0
    assert "input fields overwritten in the output: prediction, probabilities\n" in capsys.readouterr().err
    assert read_rows("o.jsonl")[0]["p_P"] == "mine"


def test_two_hundred_labels_are_two_hundred_columns_in_their_order() -> None:
    labels = {f"类别 {n}": f"w{n}" for n in range(200)}
    write_rows("in.jsonl", [{"text": f"x{n}", "label": f"类别 {n}"} for n in range(9)])
    template(labels)
    assert run("-o", "o.csv") == 0
    (first, *_) = table("o.csv")
    assert [name for name in first if name.startswith("p_")] == [f"p_{label}" for label in labels]
    Path("o.csv.run.json").unlink()
    assert count("o.csv").tally.labels == tuple(labels)


def test_an_ensemble_has_the_columns_of_its_labels_and_on_demand_those_of_each_members_words() -> None:
    write_rows("in.jsonl", [{"text": f"第{n}条", "label": "positive"} for n in range(6)])
    both = ["-t", "zh-sentiment-very-mlm", "-o"]
    assert run(*both, "o.csv", named="zh-sentiment-mlm") == 0
    assert list(table("o.csv")[0])[-4:] == ["p_positive", "p_negative", "score_positive", "score_negative"]
    assert run(*both, "w.csv", "--fields", "word_score_*", named="zh-sentiment-mlm") == 0
    assert run(*both, "o.jsonl", named="zh-sentiment-mlm") == 0
    words = read_rows("o.jsonl")[0]["word_scores"]
    assert {name.removeprefix("word_score_"): float(value) for name, value in table("w.csv")[0].items()} == words


@pytest.mark.parametrize("extra", [[], ["--dev", "dev.jsonl"]], ids=["ranked", "by thresholds"])
def test_pairs_that_are_ordered_have_one_score_and_no_probabilities(extra: list[str]) -> None:
    pairs = [{"text_a": f"甲{n}", "text_b": f"乙{n % 3}", "label": ["same", "different"][n % 2]} for n in range(11)]
    write_rows("in.jsonl", pairs)
    write_rows("dev.jsonl", pairs)
    assert run("-o", "o.csv", *extra, named="zh-same-nsp") == run("-o", "o.jsonl", *extra, named="zh-same-nsp") == 0
    found = table("o.csv")
    assert list(found[0]) == ["text_a", "text_b", "label", "prediction", "probability", "score_is_next"]
    assert [float(row["score_is_next"]) for row in found] == [one["scores"]["is_next"] for one in read_rows("o.jsonl")]
    assert {row["probability"] for row in found} == {""}
    for path in ("o.csv", "o.jsonl"):
        Path(f"{path}.run.json").unlink()
    assert diff("o.csv", "o.jsonl").flips == []


def test_rows_with_words_of_their_own_keep_them_in_one_cell() -> None:
    write_rows("in.jsonl", [{"text": "{mask}", "candidates": [f"a{n}", f"b{n}"], "label": f"a{n}"} for n in range(5)])
    Path("t.yaml").write_text('scorer: mlm\ntext: "{mask}{text}"\nwords_from: candidates\n')
    assert run("-o", "o.csv") == 0
    found = table("o.csv")
    assert list(found[0])[-3:] == ["probability", "probabilities", "scores"]
    assert [set(json.loads(row["probabilities"])) for row in found] == [{f"a{n}", f"b{n}"} for n in range(5)]


# ------------------------------------------------------------------ chosen fields


def test_fields_choose_and_order_columns_and_keys() -> None:
    sorted_texts(9)
    template()
    chosen = ["--fields", 'prediction, ID,"score_hotel, rooms",p_*']
    assert run("-o", "o.csv", *chosen) == run("-o", "o.jsonl", *chosen) == 0
    wanted = ["prediction", "id", "score_hotel, rooms", *(f"p_{label}" for label in LABELS)]
    assert list(table("o.csv")[0]) == wanted
    assert [list(one) for one in read_rows("o.jsonl")] == [wanted] * 9
    assert run("-o", "plain.jsonl") == 0
    for one, whole in zip(read_rows("o.jsonl"), read_rows("plain.jsonl"), strict=True):
        assert (one["prediction"], one["id"]) == (whole["prediction"], whole["id"])
        assert {label: one[f"p_{label}"] for label in LABELS} == whole["probabilities"]


def test_a_table_may_have_the_objects_of_the_lines_and_the_lines_lack_what_a_row_lacks() -> None:
    write_rows("in.jsonl", [{"text": "a", "n": 1}, {"text": "b", "m_2": 2}, {"text": "c", "n": None, "m_1": 1}])
    template()
    assert run("-o", "o.csv", "--fields", "n,m_*,scores") == run("-o", "o.jsonl", "--fields", "n,m_*") == 0
    assert list(table("o.csv")[0]) == ["n", "m_2", "m_1", "scores"]
    assert set(json.loads(table("o.csv")[0]["scores"])) == set(LABELS)
    assert read_rows("o.jsonl") == [{"n": 1}, {"m_2": 2}, {"n": None, "m_1": 1}]


@pytest.mark.parametrize("name", ["o.csv", "o.jsonl"])
def test_without_scores_only_the_prediction_and_its_probability_are_written(name: str) -> None:
    sorted_texts(6, scores="an old one")
    template()
    assert run("-o", name, "--no-scores") == 0
    found = table(name) if name == "o.csv" else read_rows(name)
    assert list(found[0]) == ["id", "text", "label", "prediction", "probability"]


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        (["--fields", "id,lable"], "lable"),
        (["--fields", "q_*"], "q_*"),
        (["--fields", "p_gone"], "p_gone"),
        (["--fields", "scores", "--no-scores"], "scores"),
        (["--fields", "p_*", "--no-scores"], "p_*"),
    ],
)
def test_a_field_that_is_not_there_is_told_with_those_that_are_before_a_model_is_loaded(
    said: list[str], asked: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sorted_texts(3)
    template()
    monkeypatch.setattr("promptshot.scorers.load", None)  # nobody calls it
    err = failed(capsys, "classify", "in.jsonl", "-t", "./t.yaml", *said, "-o", "o.csv")
    assert err.startswith(
        f"error: --fields {asked}: no such column; there is: id, text, label, prediction".replace("\\", "")
    )
    assert not Path("o.csv").exists()


def test_fields_may_stand_in_a_file_of_options(capsys: pytest.CaptureFixture[str]) -> None:
    sorted_texts(3)
    template()
    Path("c.yaml").write_text('fields: [id, "score_hotel, rooms"]\nscores: false\n')
    assert "no option 'scores'" in failed(capsys, "classify", "in.jsonl", "-c", "c.yaml")
    Path("c.yaml").write_text('fields: [id, "score_hotel, rooms"]\n')
    assert run("-c", "c.yaml", "-o", "o.jsonl") == 0
    assert list(read_rows("o.jsonl")[0]) == ["id", "score_hotel, rooms"]
    for bad in ("fields: {a: b}\n", "fields:\n", "fields: [a, [b]]\n"):
        Path("c.yaml").write_text(bad)
        assert "c.yaml:1" in failed(capsys, "classify", "in.jsonl", "-c", "c.yaml")
    for bad in ("", "a,,b", ","):
        assert run_command(["classify", "in.jsonl", "--fields", bad]) == 2


# ------------------------------------------------------------------ going on


CHOSEN = [[], ["--fields", "text,p_*,id"], ["--no-scores"], ["--fields", "t*,scores"], ["--bom"]]


@pytest.mark.parametrize("extra", CHOSEN, ids=" ".join)
@pytest.mark.parametrize("name", ["o.csv", "o.tsv.gz", "o.jsonl"])
def test_a_stopped_run_goes_on_with_the_same_columns_and_refuses_others(
    name: str, extra: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    if "--bom" in extra and name == "o.jsonl":
        pytest.skip("no mark before lines")
    sorted_texts()
    template()
    assert run("-o", f"whole_{name}", *extra) == 0
    assert run("-o", name, "-n", "10", *extra) == 0
    for other in CHOSEN:
        if other != extra and not ("--bom" in other and name == "o.jsonl"):
            err = failed(capsys, "classify", "in.jsonl", "-t", "./t.yaml", "--scorer", "fake", "-o", name, *other)
            assert f"{name}: exists already, from a run that differs in --" in err
            assert any(flag in err for flag in [*extra[:1], *other[:1]]), err
    assert run("-o", name, *extra) == 0
    assert Path(name).read_bytes() == Path(f"whole_{name}").read_bytes()


def test_a_table_that_was_begun_with_objects_in_its_cells_goes_on_so(monkeypatch: pytest.MonkeyPatch) -> None:
    sorted_texts()
    template()
    of = shape.Shape.of
    with monkeypatch.context() as patch:  # as it was before tables had columns for labels
        patch.setattr(shape.Shape, "of", lambda recipe, table, *more: of(recipe, False, *more))
        assert run("-o", "whole.csv") == 0
        assert run("-o", "o.csv", "-n", "10") == 0
    assert run("-o", "o.csv") == 0
    assert list(table("o.csv")[0])[-3:] == ["probabilities", "scores", "word_scores"]
    assert [row["scores"] for row in table("o.csv")] == [row["scores"] for row in table("whole.csv")]
    assert count("o.csv").tally.labels == tuple(LABELS)


def test_a_run_that_was_killed_in_its_first_rows_begins_anew_whatever_its_fields() -> None:
    sorted_texts()
    template()
    for extra in ([], ["--fields", "id,p_*"], ["--fields", "prediction,text"], ["--no-scores"]):
        for name in ("o.csv", "o.jsonl"):
            assert run("-o", "whole" + name, "--overwrite", *extra) == 0
            assert run("-o", name, "--overwrite", *extra) == 0
            path = Path(f"{name}.run.json")
            said = {key: value for key, value in json.loads(path.read_text()).items() if key != "checksum"}
            nothing = {"bytes": 0, "sha256": said["progress"]["rejects"]["sha256"], "columns": [], "left_out": []}
            progress = {"rows": 0, "output": nothing, "rejects": nothing, "counts": {}, "inputs": []}
            gone = {
                "ends": None,
                "complete": False,
                "rows_read": None,
                "counts": None,
                "inputs": [],
                "progress": progress,
            }
            path.write_text(written({**said, **gone, "progress": progress}))
            assert run("-o", name, *extra) == 0
            assert Path(name).read_bytes() == Path("whole" + name).read_bytes()


# ------------------------------------------------------------------ formats and byte order marks


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_a_format_is_that_of_standard_output(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    sorted_texts(5)
    template()
    assert run("-o", f"o.{kind}") == 0
    capsys.readouterr()
    for more in ([], ["-o", "-"]):
        assert run("--format", kind, *more) == 0
        assert capsys.readouterr().out == Path(f"o.{kind}").read_text(encoding="utf-8")
    assert run("--format", kind, "-o", "o.2024", "--overwrite") == 0
    assert Path("o.2024").read_bytes() == Path(f"o.{kind}").read_bytes()
    assert run("--format", kind, "-o", "plain", "--overwrite") == 0
    assert Path("plain").read_bytes() == Path(f"o.{kind}").read_bytes()


def test_a_file_without_a_suffix_goes_on_in_its_own_format_only(capsys: pytest.CaptureFixture[str]) -> None:
    sorted_texts()
    template()
    assert run("--format", "csv", "-o", "o", "-n", "8") == 0
    err = failed(capsys, "classify", "in.jsonl", "-t", "./t.yaml", "--scorer", "fake", "-o", "o")
    assert "from a run that differs in --format" in err
    assert run("--format", "csv", "-o", "o") == run("-o", "whole.csv") == 0
    assert Path("o").read_bytes() == Path("whole.csv").read_bytes()


MARKED = [
    codecs.BOM_UTF8 + "text,类别\n很好,P\n不好,=SUM\n".encode(),
    "text,类别\n很好,P\n不好,=SUM\n".encode("utf-16"),
]


@pytest.mark.parametrize("data", [*MARKED, gzip.compress(MARKED[0])], ids=["utf-8", "utf-16", "gz"])
@pytest.mark.parametrize("name", ["o.csv", "o.tsv", "o.csv.gz"])
def test_a_table_begins_with_a_mark_where_the_input_does(data: bytes, name: str) -> None:
    path = "in.csv.gz" if data.startswith(b"\x1f\x8b") else "in.csv"
    Path(path).write_bytes(data)
    template()
    how = ["--encoding", "utf-16"] if data.startswith(b"\xff") else []
    assert run("-o", name, "--rejects", "r.csv", *how, rows=path) == 0
    assert run("-o", "o.jsonl", *how, rows=path) == 0
    written = Path(name).read_bytes()
    written = gzip.decompress(written) if name.endswith("gz") else written
    assert written.startswith(codecs.BOM_UTF8 + b"text")
    assert written.count(codecs.BOM_UTF8) == 1
    assert not Path("o.jsonl").read_bytes().startswith(codecs.BOM_UTF8)
    assert count(name).tally.labels == count("o.jsonl").tally.labels
    found = diff(name, "o.jsonl")
    assert (found.agreed, found.paired.rows) == (2, 2)
    assert run("-o", name, "--bom", "--rejects", "r.csv", *how, rows=path) == 0, "it is the same run"


def test_a_mark_comes_with_the_flag_and_from_a_pipe_and_stands_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sorted_texts(9)
    template()
    assert run("-o", "plain.csv") == run("-o", "o.csv", "--bom", "-n", "4") == run("-o", "o.csv", "--bom") == 0
    assert Path("o.csv").read_bytes() == codecs.BOM_UTF8 + Path("plain.csv").read_bytes()
    assert run("--bom", "--format", "tsv") == 0
    assert capsys.readouterr().out.startswith("\ufeffid\ttext")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(MARKED[0])))
    assert run("-o", "p.csv", rows="-") == 0
    assert Path("p.csv").read_bytes().startswith(codecs.BOM_UTF8 + b"text")
    for said in (["--bom"], ["--bom", "-o", "o.jsonl"], ["--bom", "--format", "jsonl"], ["--bom", "-o", "o.ndjson.gz"]):
        err = failed(capsys, "classify", "in.jsonl", "-t", "./t.yaml", "--scorer", "fake", *said)
        assert "--bom is for tables; write .csv or .tsv" in err
    assert run("-o", "other.csv", "--bom") == 0
    assert run_command(["diff", "o.csv", "other.csv", "-o", "d.csv"]) == 0


def test_flipped_rows_and_leaderboards_have_marks_and_formats_too(capsys: pytest.CaptureFixture[str]) -> None:
    for name, said in (("a.csv", "好"), ("b.csv", "差")):
        Path(name).write_text(f"text,label,prediction\n一,好,{said}\n", encoding="utf-8-sig")
    assert run_command(["diff", "a.csv", "b.csv", "-o", "flips.csv"]) == 0
    assert Path("flips.csv").read_bytes().startswith(codecs.BOM_UTF8 + b"text,label,row,gold")
    capsys.readouterr()
    assert run_command(["diff", "a.csv", "b.csv", "-o", "-", "--format", "tsv"]) == 0
    out, err = capsys.readouterr()
    assert out == "\ufefftext\tlabel\trow\tgold\tprediction_a\tprediction_b\n一\t好\t1\t好\t好\t差\n"
    assert "1 row flipped" in err
    Path("r.csv").write_text("text,label\n真好,positive\n真差,negative\n", encoding="utf-8-sig")
    compare = ["compare", "r.csv", "-t", "zh-sentiment-mlm", "--scorer", "fake", "-q", "-o"]
    assert run_command([*compare, "board.csv"]) == 0
    assert Path("board.csv").read_bytes().startswith(codecs.BOM_UTF8)
    capsys.readouterr()
    assert run_command([*compare, "-", "--format", "csv"]) == 0
    assert table("board.csv")[0].keys() == next(csv.DictReader(io.StringIO(capsys.readouterr().out[1:]))).keys()


# ------------------------------------------------------------------ suffixes


UNKNOWN = [
    ("o.json", "write .jsonl"),
    ("o.json.gz", "write .jsonl"),
    ("O.XLSX", "write .csv; with --bom Excel shows Chinese"),
    ("o.parquet", "write .jsonl or .csv"),
    ("o.feather", "write .jsonl or .csv"),
    ("o.txt", "no format has the suffix '.txt'; write .jsonl, .csv or .tsv, also with .gz"),
    ("o.csv.zip", "no format has the suffix '.zip'"),
    ("o.jsonl.zst", "no format has the suffix '.zst'"),
]


@pytest.mark.parametrize(("name", "advice"), UNKNOWN)
def test_a_suffix_that_is_not_written_is_refused_before_anything_is_read(
    name: str, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows("in.jsonl", [{"text": "x", "label": "positive", "prediction": "negative"}])
    write_rows("bad.jsonl", [])
    fake = ["-t", "zh-sentiment-mlm", "--scorer", "fake"]
    for command in (
        ["classify", "bad.jsonl", *fake, "-o", name],
        ["classify", "bad.jsonl", *fake, "--rejects", name],
        ["classify", "bad.jsonl", *fake, "--errors", name],
        ["report", "bad.jsonl", "--errors", name],
        *(
            []
            if name == "o.json"
            else [["compare", "bad.jsonl", *fake, "-o", name], ["diff", "bad.jsonl", "in.jsonl", "-o", name]]
        ),
    ):
        err = failed(capsys, *command)
        assert err.startswith(f"error: {name}: ")
        assert advice in err, command
        assert not Path(name).exists()


@pytest.mark.parametrize("option", ["--summary", "--record"])
def test_one_text_of_json_goes_into_no_file_of_rows(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    sorted_texts(3)
    template()
    for name in ("s.csv", "s.jsonl", "s.json.gz", "s.xlsx"):
        err = failed(capsys, "classify", "in.jsonl", "-t", "./t.yaml", "--scorer", "fake", option, name)
        assert err == f"error: {name}: {option} is one text of JSON; write .json"
    for name in ("s.json", "s.summary", "s"):
        assert run(option, name) == 0
        assert json.loads(Path(name).read_text())


@pytest.mark.parametrize(
    ("name", "kind"), [("o.csv", "tsv"), ("o.jsonl.gz", "csv"), ("o.tsv", "jsonl"), ("o.ndjson", "csv")]
)
def test_a_format_that_contradicts_a_suffix_is_an_error(
    name: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows("in.jsonl", [{"text": "x", "label": "positive", "prediction": "negative"}])
    fake = ["-t", "zh-sentiment-mlm", "--scorer", "fake"]
    for command in (["classify", "in.jsonl", *fake], ["compare", "in.jsonl", *fake], ["diff", "in.jsonl", "in.jsonl"]):
        assert f"{name}: --format {kind} contradicts the suffix" in failed(
            capsys, *command, "-o", name, "--format", kind
        )


# ------------------------------------------------------------------ an option of one value


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    found: list[tuple[tuple[str, ...], click.Command]] = []
    for name, command in group.commands.items():
        found += commands(command, (*path, name)) if isinstance(command, click.Group) else [((*path, name), command)]
    return found


SINGLE = [
    (path, max(parameter.opts, key=len))
    for path, command in commands(cli)
    for parameter in command.params
    if isinstance(parameter, click.Option) and not parameter.is_flag and not parameter.multiple
]


def test_there_are_many_options_of_one_value() -> None:
    assert len(SINGLE) > 60
    assert len({path for path, _ in SINGLE}) > 10


@pytest.mark.parametrize(("path", "option"), SINGLE, ids=lambda said: said if isinstance(said, str) else " ".join(said))
def test_an_option_of_one_value_stands_once(
    path: tuple[str, ...], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command([*path, f"{option}=1", option.replace("-", "_").replace("__", "--"), "2"]) == 2
    assert capsys.readouterr().err.endswith(f"Error: {option} is given twice; give it once\n")


def test_short_and_long_names_are_one_option_and_flags_and_lists_may_stand_twice(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sorted_texts(3)
    template()
    assert run("-o", "a.jsonl", "--output", "b.jsonl") == 2
    assert run("-n3", "--limit=2") == 2
    assert run("-c", "x.yaml", "-c", "y.yaml") == 2
    assert "is given twice" in capsys.readouterr().err
    Path("c.yaml").write_text("limit: 2\nseed: 4\n")
    monkeypatch.setenv("PROMPTSHOT_SEED", "5")
    more = ["-c", "c.yaml", "--seed", "3", "--overwrite", "--overwrite", "--resume", "--no-resume", "-q"]
    assert run("-o", "o.jsonl", "-n", "1", *more, "--map", "text=text", "--map", "label=label") == 0
    assert len(read_rows("o.jsonl")) == 1


def test_a_label_over_several_lines_has_a_heading_on_one(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "r.jsonl", [{"text": "t", "label": "x\ny"}, {"text": "u", "label": "z"}])
    out = tmp_path / "o.tsv"
    assert fake(rows, "-t", "{text} {mask}", "--labels", '["x\\ny","z"]', "-q", "-o", str(out)) == 0
    assert "p_x y" in out.read_text().splitlines()[0].split("\t")
    assert run_command(["report", str(out), "--json"]) == 0


def test_a_report_of_wrong_rows_keeps_the_columns_that_lines_have_of_their_own(tmp_path: Path) -> None:
    rows = [{"text": f"t{i}", "label": "ab"[i % 2], "p_a": 5, "word_score_q": 1} for i in range(20)]
    out, wrong = tmp_path / "o.jsonl", tmp_path / "w.jsonl"
    assert fake(write_rows(tmp_path / "r.jsonl", rows), "-t", "{text} {mask}", "-q", "-o", str(out)) == 0
    assert run_command(["report", str(out), "--errors", str(wrong)]) == 0
    found = read_rows(wrong)
    assert found
    assert all((row["p_a"], row["word_score_q"]) == (5, 1) for row in found)
