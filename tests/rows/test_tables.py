"""Tables and other files as people have them: quotes that are text, delimiters, headers, encodings, one JSON text."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from helpers import fields, line, put_in, rejects

from promptshot.cli import run_command
from promptshot.errors import InputError, OptionError
from promptshot.rows.read import read
from promptshot.rows.row import Reject, Row
from promptshot.rows.streams import Reading, encoding_advice, likely_encoding
from promptshot.rows.tables import looks_like_data

# ------------------------------------------------------------------ TSV: a quote is text


def test_quotes_of_a_tsv_that_open_in_one_row_and_close_in_another_are_text(tmp_path: Path) -> None:
    text = 'sentence\tlabel\n"Slowly they came\t0\nand went\t1\nat last"\t1\nthe end\t0\n'
    assert [(row["sentence"], row["label"]) for row in fields(put_in(tmp_path, "train.tsv", text))] == [
        ('"Slowly they came', "0"),
        ("and went", "1"),
        ('at last"', "1"),
        ("the end", "0"),
    ]


def test_the_same_where_the_text_is_the_last_column(tmp_path: Path) -> None:
    text = 'label\tsentence\n0\t"Slowly they came\n1\tand went\n1\tat last"\n'
    assert [row["sentence"] for row in fields(put_in(tmp_path, "a.tsv", text))] == [
        '"Slowly they came',
        "and went",
        'at last"',
    ]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ('"Stop!" he cried.', '"Stop!" he cried.'),
        ('5" of rain', '5" of rain'),
        ('He said "no"', 'He said "no"'),
        ('"', '"'),
        ('""', ""),
        ('"all of it"', "all of it"),
        ('"a ""word"" in it"', 'a "word" in it'),
        ('"a "word" in it"', '"a "word" in it"'),
        ("“他说”", "“他说”"),
    ],
)
def test_a_cell_of_a_tsv_loses_its_quotes_only_where_it_is_properly_quoted_as_a_whole(
    tmp_path: Path, cell: str, text: str
) -> None:
    assert [row["a"] for row in fields(put_in(tmp_path, "a.tsv", f"a\tb\n{cell}\t1\nx\t2\n"))] == [text, "x"]


def test_a_quoted_cell_of_a_tsv_may_hold_tabs_and_line_ends_where_the_lines_are_no_rows(tmp_path: Path) -> None:
    text = 'a\tb\tc\n"x\ty"\t1\t2\n"one\n\ntwo"\t1\t2\n1\t2\t"three\nfour"\nlast\t1\t2\n'
    items = list(read([put_in(tmp_path, "a.tsv", text)]))
    assert [line(item) for item in items] == [2, 3, 6, 8]
    assert [list(item.fields.values()) for item in items if isinstance(item, Row)] == [
        ["x\ty", "1", "2"],
        ["one\n\ntwo", "1", "2"],
        ["1", "2", "three\nfour"],
        ["last", "1", "2"],
    ]


def test_a_quote_in_the_middle_of_a_whole_line_opens_nothing(tmp_path: Path) -> None:
    text = 'id\ttext\tlabel\n1\t"Good film\tpos\nragged"\tneg\n3\tok\tpos\n'
    items = list(read([put_in(tmp_path, "a.tsv", text)]))
    assert [type(item) for item in items] == [Row, Reject, Row]
    assert items[0]["text"] == '"Good film'  # type: ignore[index]


@pytest.mark.parametrize("data", [b'x","z\n' * 20_000, b'"x,z\n' * 20_000, b'Screen 5","great\n' * 20_000])
def test_quotes_of_a_csv_that_lead_nowhere_are_given_up_in_time(tmp_path: Path, data: bytes) -> None:
    began = time.monotonic()
    items = list(read([put_in(tmp_path, "a.csv", b"text,label\n" + data)]))
    assert len(items) > 100
    assert time.monotonic() - began < 30


def test_a_long_cell_in_quotes_costs_no_more_than_its_length(tmp_path: Path) -> None:
    import tracemalloc

    path = put_in(tmp_path, "a.tsv", 'text\tlabel\n"' + "a" * 2_000_000 + '"\tpos\n')
    tracemalloc.start()
    try:
        (row,) = fields(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(row["text"]) == 2_000_000
    assert most < 40_000_000


def test_blank_lines_before_the_header_of_a_tsv_do_not_count_as_its_columns(tmp_path: Path) -> None:
    path = put_in(tmp_path, "a.tsv", '\n\na\tb\n"x\ty"\t1\n"one\ntwo"\t2\n')
    assert fields(path) == [{"a": "x\ty", "b": "1"}, {"a": "one\ntwo", "b": "2"}]


def test_a_row_of_a_tsv_with_too_few_cells_costs_itself_only(tmp_path: Path) -> None:
    text = 'a\tb\n"only one cell\nx\t1\ny"\ny\t2\n'
    items = list(read([put_in(tmp_path, "a.tsv", text)]))
    assert [type(item) for item in items] == [Reject, Row, Reject, Row]
    assert [item.reason for item in items if isinstance(item, Reject)] == ["1 cells under a header of 2"] * 2


def test_a_quote_of_a_tsv_that_never_closes_is_looked_for_in_time(tmp_path: Path) -> None:
    path = put_in(tmp_path, "a.tsv", "a\tb\n" + '"x\n' * 20_000)
    began = time.monotonic()
    assert len(rejects(path)) == 20_000
    assert time.monotonic() - began < 20


def test_a_cell_of_a_csv_that_swallows_what_look_like_rows_is_told(tmp_path: Path) -> None:
    text = 'text,label\n"An odd film,0\nfine,1\nand so on",1\nlast,0\n'
    first, last = read([put_in(tmp_path, "a.csv", text)])
    assert isinstance(first, Row)
    assert isinstance(last, Row)
    assert "one looks like a row of its own" in first.remark
    assert (last["text"], last.remark) == ("last", "")
    for swallowed in (
        '"An odd, odd film,0\nfine, really fine,1\nand so on",1',
        '"An odd film\n\nfine,1\nand so on",1',
    ):
        (row,) = read([put_in(tmp_path, "c.csv", f"text,label\n{swallowed}\n")])
        assert isinstance(row, Row)
        assert row.remark
    (plain,) = read([put_in(tmp_path, "b.csv", 'text,label\n"Dear all,\n\nthe film is good,\nBob",1\n')])
    assert isinstance(plain, Row)
    assert (plain["text"], plain.remark) == ("Dear all,\n\nthe film is good,\nBob", "")


def test_a_run_tells_of_rows_that_look_odd_and_remembers_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put_in(tmp_path, "a.csv", 'text,label\n"An odd film,negative\nand so on",positive\nlast,negative\n')
    out = str(tmp_path / "o.jsonl")
    for _ in range(2):  # the second run finds all done
        assert run_command(["classify", path, "-t", "en-sentiment-mlm", "--scorer", "fake", "-o", out]) == 0
        assert f"note: 1 row looks odd; the first, {path}:2: a cell in quotes holds several" in capsys.readouterr().err


# ------------------------------------------------------------------ tables as spreadsheets write them

ROWS = [{"text": "Gut, sehr gut", "label": "1"}, {"text": "Schlecht", "label": "0"}]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "text;label\nGut, sehr gut;1\nSchlecht;0\n"),
        ("a.csv", '"text";"label"\r\n"Gut, sehr gut";"1"\r\n"Schlecht";"0"\r\n'),
        ("a.csv", "text|label\nGut, sehr gut|1\nSchlecht|0\n"),
        ("a.csv", "text\tlabel\nGut, sehr gut\t1\nSchlecht\t0\n"),
        ("a.csv", "sep=;\ntext;label\nGut, sehr gut;1\nSchlecht;0\n"),
        ("a.csv", "SEP=|\r\ntext|label\r\nGut, sehr gut|1\r\nSchlecht|0\r\n"),
        ("a.csv", 'text,label,,,\n"Gut, sehr gut",1,,,\nSchlecht,0,,,\n'),
        ("a.csv", 'text,label,,,\n"Gut, sehr gut",1\nSchlecht,0\n'),
        ("a.csv", "text;label;\nGut, sehr gut;1;\nSchlecht;0;\n"),
        ("a", "text;label\rGut, sehr gut;1\rSchlecht;0\r"),
        ("a.csv", '\n\ntext;label\n"Gut, sehr gut";1\nSchlecht;0\n'),
    ],
)
def test_a_table_is_read_as_spreadsheets_write_it(tmp_path: Path, name: str, text: str) -> None:
    assert fields(put_in(tmp_path, name, text)) == ROWS


def test_a_sign_that_only_the_header_has_is_no_delimiter(tmp_path: Path) -> None:
    path = put_in(tmp_path, "a.csv", "Comment; be honest\nquite good\nso so\nnever again\n")
    assert fields(path) == [{"Comment; be honest": text} for text in ("quite good", "so so", "never again")]


def test_of_two_signs_in_a_header_the_one_that_parts_the_rows_too_is_taken(tmp_path: Path) -> None:
    path = put_in(tmp_path, "a.csv", "text;label, as told\ngood;1\nbad;0\n")
    assert fields(path) == [{"text": "good", "label, as told": "1"}, {"text": "bad", "label, as told": "0"}]
    path = put_in(tmp_path, "b.csv", "text;a,label\ngood;x,1\nbad,0\n")
    assert fields(path) == [{"text;a": "good;x", "label": "1"}, {"text;a": "bad", "label": "0"}]


def test_what_stands_under_no_name_is_kept_under_its_number(tmp_path: Path) -> None:
    assert fields(put_in(tmp_path, "b.csv", "column 3,text,\nkeep me,good,lost?\n")) == [
        {"column 3": "keep me", "text": "good", "column 3 (unnamed)": "lost?"}
    ]
    assert fields(put_in(tmp_path, "a.csv", "v1,v2,,\nham,Hi,,\nspam,Win,now,\n")) == [
        {"v1": "ham", "v2": "Hi"},
        {"v1": "spam", "v2": "Win", "column 3": "now"},
    ]


def test_a_table_without_header_has_columns_by_number(tmp_path: Path) -> None:
    path = put_in(tmp_path, "a.csv", "0,Not for me.\n1,A great day.\n")
    found = [dict(item.fields) for item in read([path], how=Reading(header=False)) if isinstance(item, Row)]
    assert found == [{"1": "0", "2": "Not for me."}, {"1": "1", "2": "A great day."}]
    path = put_in(tmp_path, "a.tsv", "0\tNot for me.\n")
    (row,) = read([path], how=Reading(header=False))
    assert isinstance(row, Row)
    assert (row["2"], row.source) == ("Not for me.", f"{path}:1")


def test_where_no_column_is_found_a_header_that_is_data_points_to_the_flag_and_the_flag_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put_in(tmp_path, "a.csv", "4,A great day.\n0,Not for me.\n")
    labels = ("--labels", "0=bad,4=good", "--scorer", "fake")
    assert run_command(["classify", path, *labels]) == 1
    assert "the first line looks like data: --no-header" in capsys.readouterr().err
    assert run_command(["classify", path, *labels, "--no-header", "--text-field", "2", "--label-field", "1"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert "columns" not in err
    assert json.loads(out.splitlines()[0])["1"] == "4"


def test_a_guessed_encoding_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put_in(tmp_path, "a.csv", "文本,标签\n房间很干净，早餐也不错。,好\n又吵又脏。,差\n".encode("gb18030"))
    assert run_command(["classify", path, "--scorer", "fake", "--encoding", "auto"]) == 0
    assert f"note: {path}: read as gb18030" in capsys.readouterr().err
    assert run_command(["compare", path, "--scorer", "fake", "--encoding", "gbk", "-t", "zh-topic-mlm"]) == 0
    assert run_command(["classify", path, "--scorer", "fake", "--encoding", "gbk9"]) == 1
    assert "no encoding 'gbk9'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "data"),
    [
        (["0", "I am late."], True),
        (["4", "label"], True),
        (["3,5", "x"], True),
        (["这家店很好。", "x"], True),
        (["x" * 80, "y"], True),
        (["text", "label"], False),
        (["1", "2", "3"], False),
        (["", "text"], False),
        (["v1", "Q1"], False),
    ],
)
def test_a_header_that_reads_like_a_row_is_known(names: list[str], data: bool) -> None:
    assert looks_like_data(names) == data


def test_a_doubled_column_that_looks_like_data_points_to_the_flag(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"column '0' stands twice in the header; .*if it is no header: --no-header"):
        list(read([put_in(tmp_path, "a.csv", "0,0,So tired.\n4,0,Good morning.\n")]))


# ------------------------------------------------------------------ one JSON text that holds the rows

TWO = [{"text": "很好", "label": "1"}, {"text": "不好", "label": "0"}]
COLUMNS = {name: {str(i): row[name] for i, row in enumerate(TWO)} for name in ("text", "label")}


@pytest.mark.parametrize(
    "value",
    [
        {"data": TWO},
        {"version": "1.1", "rows": TWO},
        COLUMNS,
        {name: list(column.values()) for name, column in COLUMNS.items()},
        {"columns": ["text", "label"], "index": [0, 1], "data": [["很好", "1"], ["不好", "0"]]},
        {"0": TWO[0], "1": TWO[1]},
        {"examples": TWO, "meta": {"version": 1}},
        {"schema": {"fields": [{"name": "text"}]}, "data": TWO},
    ],
)
@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a"])
def test_an_object_that_holds_all_rows_gives_them(tmp_path: Path, value: Any, indent: int | None, name: str) -> None:
    path = put_in(tmp_path, name, json.dumps(value, indent=indent, ensure_ascii=False) + "\n")
    assert fields(path) == TWO
    assert next(iter(read([path]))).source == f"{path}:1 row 1"


@pytest.mark.parametrize(
    "row",
    [
        {"text": "很好", "spans": [{"start": 0}]},
        {"id": 1, "meta": {"a": 1}, "annotations": [{"value": 2}]},
        {"a": 1, "b": [1, 2]},
        {"a": {"x": 1}, "b": {"y": 2}},
        {"a": []},
        {"q": "x" * 300, "options": [{"id": 1}, {"id": 2}]},
        {"title": "Stocks fell", "entities": [{"text": "Stocks", "label": "ORG"}, {"text": "x", "label": "y"}]},
        {"评论": "很好", "spans": [{"text": "很"}, {"text": "好"}]},
    ],
)
def test_a_lone_row_stays_a_row(tmp_path: Path, row: dict[str, Any]) -> None:
    for indent in (None, 2):
        assert fields(put_in(tmp_path, "a.jsonl", json.dumps(row, indent=indent) + "\n")) == [row]


def test_lines_that_each_hold_a_list_are_rows(tmp_path: Path) -> None:
    path = put_in(tmp_path, "a.jsonl", (json.dumps({"data": TWO}) + "\n") * 2)
    assert fields(path) == [{"data": TWO}] * 2


def test_objects_over_several_lines_one_behind_the_other_are_rows(tmp_path: Path) -> None:
    path = put_in(tmp_path, "a.json", "\n".join(json.dumps(row, indent=1, ensure_ascii=False) for row in TWO))
    assert fields(path) == TWO
    assert [line(item) for item in read([path])] == [1, 5]


def test_a_torn_first_line_of_json_lines_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    path = put_in(tmp_path, "a.jsonl", '{"text": "a", "label":\n{"text": "b"}\n')
    first, second = read([path])
    assert isinstance(first, Reject)
    assert isinstance(second, Row)
    assert second["text"] == "b"


def test_doubled_columns_and_rows_of_another_length_are_told_in_every_format(tmp_path: Path) -> None:
    split = {"columns": ["text", "label"], "data": [["good", "pos"], ["bad"], ["nice", "pos", "extra"]]}
    items = list(read([put_in(tmp_path, "a.json", json.dumps(split))]))
    assert [type(item) for item in items] == [Row, Reject, Reject]
    doubled = {"columns": ["text", "text"], "data": [["a", "b"]]}
    with pytest.raises(InputError, match=r"b\.json:1: column 'text' stands twice"):
        list(read([put_in(tmp_path, "b.json", json.dumps(doubled))]))
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]), str(tmp_path / "c"))
    with pytest.raises(InputError, match="column 'text' stands twice"):
        list(read([str(tmp_path / "c")]))
    late = pa.array([10**15], pa.timestamp("s"))
    pq.write_table(pa.table({"text": ["a"], "day": late}), str(tmp_path / "d"))
    with pytest.raises(InputError, match="cannot be read"):
        list(read([str(tmp_path / "d")]))


def test_a_tear_behind_the_first_row_keeps_it(tmp_path: Path) -> None:
    each = [json.dumps({"text": " ".join(f"{n * n * 7919:x}" for n in range(i, 40_000))}) + "\n" for i in range(2)]
    whole = gzip.compress(each[0].encode()) + gzip.compress(each[1].encode())
    kept = []
    with pytest.raises(InputError, match="cannot be read"):
        kept.extend(read([put_in(tmp_path, "a.jsonl.gz", whole[:-900])]))
    assert len(kept) == 1


def test_an_item_of_the_list_that_is_no_row_is_told_with_its_number(tmp_path: Path) -> None:
    path = put_in(tmp_path, "a.json", json.dumps({"text": ["a", "b"], "label": [1, 2]}))
    assert fields(path) == [{"text": "a", "label": 1}, {"text": "b", "label": 2}]
    path = put_in(tmp_path, "b.json", json.dumps({"data": [{"a": 1}, {"a": 2}], "n": 2}))
    assert [item.source for item in read([path])] == [f"{path}:1 row 1", f"{path}:1 row 2"]


# ------------------------------------------------------------------ other formats


def test_lines_of_fasttext_are_text_and_label(tmp_path: Path) -> None:
    text = "__label__news The pound fell.\n\n__label__a __label__b Both at once\n__label__体育 主队 赢了\n__label__x\n"
    tabbed = put_in(tmp_path, "t.txt", "__label__pos\tGood room\nno __label__neg\nnot__label__c\n")
    assert fields(tabbed) == [
        {"text": "Good room", "label": "pos"},
        {"text": "no", "label": "neg"},
        {"text": "not__label__c", "label": None},
    ]
    assert fields(put_in(tmp_path, "train.txt", text)) == [
        {"text": "The pound fell.", "label": "news"},
        {"text": "Both at once", "label": ["a", "b"]},
        {"text": "主队 赢了", "label": "体育"},
        {"text": "", "label": "x"},
    ]


@pytest.mark.parametrize("kind", ["parquet", "arrow file", "arrow stream"])
def test_parquet_and_arrow_are_read(tmp_path: Path, kind: str) -> None:
    pa = pytest.importorskip("pyarrow")
    import datetime

    import pyarrow.parquet as pq

    day = datetime.date(2026, 5, 1)
    table = pa.table({"text": ["很好", "不好"], "label": [1, None], "p": [0.5, float("nan")], "day": [day, None]})
    path = str(tmp_path / "rows.bin")
    if kind == "parquet":
        pq.write_table(table, path)
    else:
        made = pa.ipc.new_file if kind == "arrow file" else pa.ipc.new_stream
        with made(path, table.schema) as writer:
            writer.write_table(table)
    assert fields(path) == [
        {"text": "很好", "label": 1, "p": 0.5, "day": "2026-05-01"},
        {"text": "不好", "label": None, "p": None, "day": None},
    ]
    assert [item.source for item in read([path])] == [f"{path} row 1", f"{path} row 2"]
    put_in(tmp_path, "torn", Path(path).read_bytes()[:-9])
    with pytest.raises(InputError, match="torn: cannot be read"):
        list(read([str(tmp_path / "torn")]))


def test_the_rows_before_a_damaged_part_of_a_parquet_or_arrow_file_are_kept(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    table = pa.table({"text": [f"{i} {i * 7919 % 10007}" for i in range(90)]})
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, row_group_size=30)
    at = pq.ParquetFile(path).metadata.row_group(2).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[at : at + 30] = b"\xff" * 30
    path.write_bytes(data)
    stream = tmp_path / "a.arrows"
    with pa.ipc.new_stream(str(stream), table.schema) as writer:
        writer.write_table(table, max_chunksize=30)
    stream.write_bytes(stream.read_bytes()[:-200])
    for torn in (path, stream):
        kept = []
        with pytest.raises(InputError, match=rf"{torn.name} row 61: cannot be read \(.*\); is the file whole\?"):
            kept.extend(read([str(torn)]))
        assert [item["text"] for item in kept if isinstance(item, Row)] == table["text"].to_pylist()[:60]


def test_without_pyarrow_a_parquet_file_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        InputError, match=r"a\.parquet: .* need the package pyarrow; pip install 'promptshot\[parquet\]'"
    ):
        list(read([put_in(tmp_path, "a.parquet", b"PAR1....PAR1")]))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"PK\x03\x04rest", "this is a zip archive, as Excel workbooks are; in a spreadsheet: save as 'CSV UTF-8'"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "an old Excel or Word file"),
        (b"GGUF\x03\0\0\0", "a model (GGUF), not rows"),
        (lzma.compress(b"{}"), "packed with xz; unpack it first: xz -d"),
        (b"\x28\xb5\x2f\xfd\x04", "packed with zstd"),
        (b"BZh91AY", "packed with bzip2"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "a Git LFS pointer, not the file itself",
        ),
        (b"<!DOCTYPE html>\n<html>", "a web page or XML"),
        (b"%PDF-1.7", "a PDF"),
        (b"\x80\x04\x95", "a Python pickle"),
        (b"SQLite format 3\0", "an SQLite database"),
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a"])
def test_what_is_no_file_of_rows_is_called_by_its_name(tmp_path: Path, data: bytes, said: str, name: str) -> None:
    path = put_in(tmp_path, name, data)
    with pytest.raises(InputError) as caught:
        list(read([path]))
    assert str(caught.value).startswith(f"{path}: this is ")
    assert said in str(caught.value)


# ------------------------------------------------------------------ encodings

CHINESE = "文本,标签\n房间很干净，早餐也不错。,好\n又吵又脏，再也不来了！,差\n"
GERMAN = "Text;Wertung\nSehr schönes Gerät, größer als gedacht;gut\nÜberhaupt nicht müde zu empfehlen;schlecht\n"


def as_read(path: str, encoding: str) -> list[dict[str, Any]]:
    return [dict(item.fields) for item in read([path], how=Reading(encoding)) if isinstance(item, Row)]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (CHINESE, "gb18030"),
        (CHINESE, "gbk"),
        (CHINESE, "utf-16"),
        (CHINESE, "utf-16-le"),
        (CHINESE, "utf-16-be"),
        (CHINESE, "utf-8-sig"),
        (CHINESE, "utf-8"),
        (GERMAN, "cp1252"),
        (GERMAN, "latin-1"),
        (GERMAN, "utf-16"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_an_encoding_may_be_named_or_guessed(tmp_path: Path, text: str, encoding: str, packed: bool) -> None:
    raw = text.encode(encoding)
    expected = fields(put_in(tmp_path, "utf8.csv", text))
    path = put_in(tmp_path, "a.csv", gzip.compress(raw) if packed else raw)
    assert as_read(path, encoding) == expected
    assert as_read(path, "auto") == expected


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "auto"])
def test_standard_input_and_slow_pipes_are_decoded_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    raw = CHINESE.encode("gb18030" if encoding == "auto" else encoding)
    expected = fields(put_in(tmp_path, "utf8.csv", CHINESE))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
    assert as_read("-", encoding) == expected
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def write() -> None:
        with open(path, "wb", buffering=0) as stream:
            for byte in raw:
                stream.write(bytes([byte]))
                time.sleep(0.0002)

    writer = threading.Thread(target=write)
    writer.start()
    assert as_read(str(path), encoding) == expected
    writer.join()


def test_a_byte_that_the_encoding_does_not_know_costs_its_row_only(tmp_path: Path) -> None:
    raw = '{"text": "好"}\n'.encode("gbk") + b'{"text": "\xff\xff"}\n' + '{"text": "坏"}\n'.encode("gbk")
    items = list(read([put_in(tmp_path, "a.jsonl", raw)], how=Reading("gbk")))
    assert [type(item) for item in items] == [Row, Reject, Row]
    with pytest.raises(InputError, match=r"b\.jsonl: not utf-16; name another --encoding"):
        list(
            read([put_in(tmp_path, "b.jsonl", '{"a": 1}\n'.encode("utf-16-le")[:-1] + b"\xd8")], how=Reading("utf-16"))
        )


def test_a_file_of_which_many_rows_are_in_another_encoding_is_refused_before_scoring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["Grüße aus Köln", "plain", "schöner Tag", "also plain"]
    raw = ("text,label\n" + "".join(f"{text},positive\n" for text in texts)).encode("cp1252")
    path = put_in(tmp_path, "a.csv", raw)
    for command in ("classify", "compare"):
        assert run_command([command, path, "-t", "en-sentiment-mlm", "--scorer", "fake"]) == 1
        assert "2 of the first 4 rows are not UTF-8; it looks like cp1252: say --encoding" in capsys.readouterr().err
    header = put_in(tmp_path, "b.csv", "文本,标签\n房间很干净，早餐也不错。,好\n又吵又脏。,差\n".encode("gb18030"))
    with pytest.raises(InputError, match="the header is not UTF-8 text; it looks like gb18030: say --encoding gb18030"):
        list(read([header]))


def test_a_row_in_another_encoding_among_many_in_utf8_does_not_make_the_file_so(tmp_path: Path) -> None:
    raw = "房间很干净\n".encode() * 5 + "又吵\n".encode("gbk")
    assert encoding_advice(put_in(tmp_path, "a.txt", raw)) == ""


@pytest.mark.parametrize("name", ["utf-9", "base64", "rot13", "", "a\0b"])
def test_an_encoding_that_is_none_is_one_line(name: str) -> None:
    with pytest.raises(OptionError, match="no encoding"):
        Reading(name)


@pytest.mark.parametrize(
    ("text", "encoding", "expected"),
    [
        (CHINESE, "gb18030", "gb18030"),
        ('{"text": "不错"}\n', "gbk", "gb18030"),
        (GERMAN, "cp1252", "cp1252"),
        ("text,label\nUn café très agréable,1\n", "latin-1", "cp1252"),
        (CHINESE, "utf-16-be", "utf-16-be"),
        (CHINESE, "utf-8", "utf-8"),
    ],
)
def test_the_likeliest_encoding_is_advised(tmp_path: Path, text: str, encoding: str, expected: str) -> None:
    raw = text.encode(encoding)
    assert likely_encoding(raw) == expected
    advice = encoding_advice(put_in(tmp_path, "a.csv", raw))
    assert (f"--encoding {expected}" in advice) == (expected != "utf-8")


def test_cut_in_the_middle_of_a_character_utf8_is_still_utf8() -> None:
    assert likely_encoding("好好".encode()[:-1]) == "utf-8"
