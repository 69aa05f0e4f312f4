"""Rows come in from every usual format with the right file:line, and go out byte for byte alike."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import os
import pickle
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import fields, line, put_in, rejects
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from promptshot.errors import InputError, RowError
from promptshot.rows.formats import count
from promptshot.rows.read import read, select
from promptshot.rows.row import Item, Reject, Row, raw_of
from promptshot.rows.streams import PLAIN, Reading
from promptshot.rows.writer import FORMULA, Writer

BOM = codecs.BOM_UTF8


# ------------------------------------------------------------------ formats

TWO = [{"text": "很好", "label": "1"}, {"text": "不好", "label": "0"}]
JSONL = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in TWO)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl", JSONL),
        ("a.json", JSONL),
        ("a.ndjson", JSONL),
        ("a.txt", JSONL),
        ("noname", JSONL),
        ("crlf.jsonl", JSONL.replace("\n", "\r\n")),
        ("unended.jsonl", JSONL.rstrip("\n")),
        ("array.json", json.dumps(TWO)),
        ("pretty.json", json.dumps(TWO, indent=2, ensure_ascii=False)),
        ("array.jsonl", json.dumps(TWO)),
        ("array", " \n" + json.dumps(TWO)),
        ("a.csv", "text,label\n很好,1\n不好,0\n"),
        ("crlf.csv", "text,label\r\n很好,1\r\n不好,0\r\n"),
        ("quoted.csv", '"text","label"\n"很好","1"\n"不好","0"'),
        ("a.tsv", "text\tlabel\n很好\t1\n不好\t0\n"),
        ("comma", "text,label\n很好,1\n不好,0\n"),
        ("tab.txt", "text\tlabel\n很好\t1\n不好\t0\n"),
    ],
)
@pytest.mark.parametrize("wrap", ["plain", "bom", "gz", "gz+bom"])
def test_the_same_rows_are_read_from_every_format(tmp_path: Path, name: str, data: str, wrap: str) -> None:
    raw = (BOM if "bom" in wrap else b"") + data.encode()
    if "gz" in wrap:
        raw, name = gzip.compress(raw), name + ".gz"
    assert fields(put_in(tmp_path, name, raw)) == TWO


def test_a_gzip_file_is_known_by_its_content_not_its_name(tmp_path: Path) -> None:
    assert fields(put_in(tmp_path, "a.jsonl", gzip.compress(JSONL.encode()))) == TWO


@pytest.mark.parametrize(
    "data", [JSONL, json.dumps(TWO), "text,label\n很好,1\n不好,0\n", "text\tlabel\n很好\t1\n不好\t0\n"]
)
@pytest.mark.parametrize("bom", [b"", BOM])
def test_a_dash_is_standard_input_in_every_format(monkeypatch: pytest.MonkeyPatch, data: str, bom: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(bom + data.encode())))
    items = list(read(["-"]))
    assert [dict(item.fields) for item in items if isinstance(item, Row)] == TWO
    assert items[0].source.startswith("<stdin>:")


def test_rows_of_several_files_are_numbered_through(tmp_path: Path) -> None:
    paths = [
        put_in(tmp_path, "a.jsonl", JSONL),
        put_in(tmp_path, "b.csv", "text,label\nx,1\n"),
        put_in(tmp_path, "c.json", "[{}]"),
    ]
    items = list(read(paths))
    assert [item.key for item in items] == [0, 1, 2, 3]
    assert [item.source for item in items] == [f"{paths[0]}:1", f"{paths[0]}:2", f"{paths[1]}:2", f"{paths[2]}:1"]


def test_empty_lines_are_skipped_and_still_counted(tmp_path: Path) -> None:
    path = put_in(tmp_path, "a.jsonl", '\n{"a": 1}\n   \n\r\n{"a": 2}\n\n')
    assert [line(item) for item in read([path])] == [2, 5]
    path = put_in(tmp_path, "a.csv", "\na,b\n\n1,2\n\r\n3,4\n\n")
    assert [(line(item), dict(item.fields)) for item in read([path]) if isinstance(item, Row)] == [
        (4, {"a": "1", "b": "2"}),
        (6, {"a": "3", "b": "4"}),
    ]


def test_each_object_of_a_pretty_array_stands_on_the_line_where_it_begins(tmp_path: Path) -> None:
    text = '[\n  {\n    "a": 1\n  },\n\n  {"a":\n 2}, {"a": 3},\n  7\n]\n'
    items = list(read([put_in(tmp_path, "a.json", text)]))
    assert [line(item) for item in items] == [2, 6, 7, 8]
    assert isinstance(items[3], Reject)
    assert (items[3].reason, items[3].raw) == ("not a JSON object", "7")


def test_quoted_line_breaks_in_a_table_belong_to_the_cell_and_are_counted(tmp_path: Path) -> None:
    path = put_in(tmp_path, "a.csv", '正文,标签\n"第一行\n第二行",好\n"他说""好""",差\n')
    items = list(read([path]))
    assert [line(item) for item in items] == [2, 4]
    assert [item["text"] for item in items if isinstance(item, Row)] == ["第一行\n第二行", '他说"好"']
    assert [item["label"] for item in items if isinstance(item, Row)] == ["好", "差"]


def test_quoted_line_breaks_in_a_tsv_are_counted_too(tmp_path: Path) -> None:
    path = put_in(tmp_path, "a.tsv", '正文\t标签\n"a\n\nb"\t1\nc\t2\n')
    assert [line(item) for item in read([path])] == [2, 5]


# ------------------------------------------------------------------ files that cannot be read


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.tsv", "a"])
@pytest.mark.parametrize("data", ["", "\n\n", "   ", "\ufeff"])
def test_an_empty_file_is_an_error(tmp_path: Path, name: str, data: str) -> None:
    if name.endswith("sv") and data == "   ":
        data = ""
    path = put_in(tmp_path, name, data)
    with pytest.raises(InputError, match="no rows in it") as caught:
        list(read([path]))
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(("name", "data"), [("a.csv", "text,label\n"), ("a.json", "[]"), ("a.json", " [ \n ] ")])
def test_a_file_with_a_frame_and_no_rows_is_an_error(tmp_path: Path, name: str, data: str) -> None:
    with pytest.raises(InputError, match="no rows in it"):
        list(read([put_in(tmp_path, name, data)]))


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.jsonl: cannot be read \(No such file or directory\)"):
        list(read([str(tmp_path / "gone.jsonl")]))


def test_a_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Is a directory"):
        list(read([str(tmp_path)]))


def test_a_file_that_may_not_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*names: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refused)
    with pytest.raises(InputError, match=r"a\.jsonl: cannot be read \(Permission denied\)"):
        list(read([str(tmp_path / "a.jsonl")]))


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "n" * 5000])
def test_a_name_that_no_file_can_have_is_an_error(name: str) -> None:
    with pytest.raises(InputError) as caught:
        list(read([name]))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1200


def test_nothing_is_an_empty_file() -> None:
    with pytest.raises(InputError, match="/dev/null: no rows in it"):
        list(read(["/dev/null"]))


@pytest.mark.parametrize("data", [JSONL, "text\tlabel\n很好\t1\n不好\t0\n", json.dumps(TWO)])
def test_a_pipe_is_read_however_slowly_it_is_written(tmp_path: Path, data: str) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def write() -> None:
        with open(path, "wb", buffering=0) as stream:
            for byte in data.encode():
                stream.write(bytes([byte]))
                time.sleep(0.0005)

    writer = threading.Thread(target=write)
    writer.start()
    assert fields(str(path)) == TWO
    writer.join()


def test_standard_input_may_be_gzip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(JSONL.encode()))))
    assert fields("-") == TWO


def test_standard_input_can_be_read_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(JSONL.encode())))
    with pytest.raises(InputError, match="<stdin>: standard input is closed; it can be read only once"):
        list(read(["-", "-"]))
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="standard input is closed"):
        list(read(["-"]))


def zipped(name: str, each: list[dict[str, str]]) -> bytes:
    """Rows with text and label 1, in the format that the name tells."""
    text = {
        "a.jsonl.gz": "".join(json.dumps(row) + "\n" for row in each),
        "a.json.gz": json.dumps(each),
        "a.csv.gz": "text,label\n" + "".join(f"{row['text']},1\n" for row in each),
    }[name]
    return gzip.compress(text.encode())


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.json.gz", "a.csv.gz"])
def test_the_rows_before_a_tear_are_kept(tmp_path: Path, name: str) -> None:
    each = [{"text": f"{i:x} {i * i * 7919:x}", "label": "1"} for i in range(20_000)]
    whole = zipped(name, each)
    kept: list[Item] = []
    with pytest.raises(InputError, match="cannot be read"):
        kept.extend(read([put_in(tmp_path, name, whole[: len(whole) // 2])]))
    found = [dict(item.fields) for item in kept if isinstance(item, Row)]
    assert len(found) > 5000
    assert found == each[: len(kept)]


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.json.gz", "a.csv.gz"])
@pytest.mark.parametrize("rows", [1, 20_000])
def test_a_torn_gzip_file_is_an_error_and_never_the_end(tmp_path: Path, name: str, rows: int) -> None:
    each = [{"text": f"{i:x} {i * i:x}", "label": "1"} for i in range(rows)]
    whole = zipped(name, each)
    path = put_in(tmp_path, name, whole[: len(whole) - 10])
    with pytest.raises(InputError, match="cannot be read") as caught:
        list(read([path]))
    assert path in str(caught.value)


def test_a_damaged_gzip_file_is_an_error(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(JSONL.encode() * 50))
    whole[20:40] = bytes(20)
    with pytest.raises(InputError, match="cannot be read"):
        list(read([put_in(tmp_path, "a.jsonl.gz", bytes(whole))]))


# ------------------------------------------------------------------ tears

FEW = [{"text": f"第{i}行 {i * 7919 % 1000:x}", "label": "1"} for i in range(40)]


def until_torn(path: str, how: Reading = PLAIN) -> tuple[list[Item], InputError]:
    """The items before a tear, and what is said of it."""
    kept: list[Item] = []
    with pytest.raises(InputError) as caught:
        kept.extend(read([path], how=how))
    return kept, caught.value


@pytest.mark.parametrize(
    "kind", ["jsonl", "json", "lines.json", "objects.json", "csv", "tsv", "semicolons.csv", "cr.csv", "labels.txt"]
)
def test_the_rows_before_a_tear_are_kept_however_few_they_are(tmp_path: Path, kind: str) -> None:
    texts = {
        "jsonl": "".join(json.dumps(row) + "\n" for row in FEW),
        "json": json.dumps(FEW),
        "lines.json": json.dumps(FEW, indent=1),
        "objects.json": "\n".join(json.dumps(row, indent=2) for row in FEW),
        "csv": "text,label\n" + "".join(f"{row['text']},1\n" for row in FEW),
        "tsv": "text\tlabel\n" + "".join(f"{row['text']}\t1\n" for row in FEW),
        "semicolons.csv": "text;label\n" + "".join(f"{row['text']};1\n" for row in FEW),
        "cr.csv": "text,label\r" + "".join(f"{row['text']},1\r" for row in FEW),
        "labels.txt": "".join(f"__label__1 {row['text']}\n" for row in FEW),
    }
    whole = gzip.compress(texts[kind].encode())
    for cut, least in ((len(whole) // 2, 8), (len(whole) - 1, 39)):
        path = put_in(tmp_path, f"a.{kind}.gz", whole[:cut])
        kept, problem = until_torn(path)
        rows = [dict(item.fields) for item in kept if isinstance(item, Row)]
        assert rows == FEW[: len(rows)]
        assert len(rows) >= least
        assert problem.what == "cannot be read (its gzip data ends too early)"
        assert problem.hint == "what stands before it was read; is the file whole?"
        assert line(kept[len(rows) - 1]) <= int(problem.where.removeprefix(f"{path}:"))


def test_a_part_of_a_line_or_cell_at_a_tear_is_no_row(tmp_path: Path) -> None:
    torn = gzip.compress(b"z")[:10]
    quoted = 'text,label\n"good, really",1\n"first line\nlooks like,1\nand goes on,1\n'
    for name, data, rows in (("a.csv", quoted, 1), ("b.csv", "text\n1\n12", 1), ("c.tsv", "a\tb\nx\t1\ny\t1", 1)):
        kept, _ = until_torn(put_in(tmp_path, name, gzip.compress(data.encode()) + torn))
        assert [type(item) for item in kept] == [Row] * rows


def test_a_stray_quote_long_before_a_tear_costs_its_own_line_only(tmp_path: Path) -> None:
    data = 'text,label\n"stray,1\n' + "fine,1\n" * 500
    kept, _ = until_torn(put_in(tmp_path, "a.csv", gzip.compress(data.encode()) + gzip.compress(b"z")[:10]))
    assert [type(item) for item in kept] == [Reject] + [Row] * 500


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_what_can_be_had_of_damaged_gzip_data_is_kept(tmp_path: Path, name: str) -> None:
    each = [{"text": f"{i:x} {pow(7919, i, 2**61):x}", "label": "1"} for i in range(3000)]
    whole = bytearray(zipped(f"{name}.gz", each))
    at = len(whole) // 3
    whole[at : at + 400] = b"\xff" * 400
    kept, problem = until_torn(put_in(tmp_path, name, bytes(whole)))
    same = [i for i, item in enumerate(kept) if isinstance(item, Row) and item.fields == each[i]]
    assert same[:900] == list(range(900))
    assert "its gzip data is damaged" in problem.what


@pytest.mark.parametrize("garbage", [b"garbage", b"\0\0\0x", b"\x1f", b"\x1f\x8bgarbage"])
def test_garbage_behind_a_gzip_member_is_told_behind_its_rows(tmp_path: Path, garbage: bytes) -> None:
    packed = gzip.compress(JSONL.encode())
    path = put_in(tmp_path, "a.jsonl.gz", packed + packed + garbage)
    kept, problem = until_torn(path)
    assert [dict(item.fields) for item in kept if isinstance(item, Row)] == TWO * 2
    assert problem.where == f"{path}:5"
    assert fields(put_in(tmp_path, "b.jsonl.gz", packed + b"\0" * 70_000 + packed + b"\0" * 512)) == TWO * 2


class Failing(io.RawIOBase):
    """A disk that cannot be read any more behind some bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self.data.readinto(memoryview(buffer)[:100])
        if not count:
            raise OSError(5, "Input/output error")
        return count


@pytest.mark.parametrize("encoding", [None, "utf-16", "auto"])
@pytest.mark.parametrize("kind", ["jsonl", "json", "csv"])
def test_the_rows_before_a_place_that_the_disk_cannot_read_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, encoding: str | None
) -> None:
    texts = {
        "jsonl": JSONL * 50 + '{"text": "half',
        "json": json.dumps(TWO * 50, indent=0)[:-2] + ', {"te',
        "csv": "text,label\n" + "很好,1\n不好,0\n" * 50 + "half",
    }
    raw, how = texts[kind].encode("utf-16" if encoding else "utf-8"), Reading(encoding)
    monkeypatch.setattr("promptshot.rows.streams.open", lambda *_: io.BufferedReader(Failing(raw)), raising=False)
    kept, problem = until_torn(f"a.{kind}", how)
    assert [dict(item.fields) for item in kept if isinstance(item, Row)] == TWO * 50
    assert problem.what == "cannot be read (Input/output error)"
    assert problem.where == f"a.{kind}:{texts[kind].count(chr(10)) + 1}"
    monkeypatch.setattr("promptshot.rows.streams.open", lambda *_: io.BufferedReader(Failing(b"")), raising=False)
    with pytest.raises(InputError, match=r"b: cannot be read \(Input/output error\); check the path"):
        list(read(["b"], how=how))


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize(
    ("encoding", "broken"),
    [("utf-16", b"\x00\xdc"), ("utf-16-be", b"\xdc\x00"), ("utf-32-le", b"\xff\xff\xff\x7f"), ("utf-16-le", b"{")],
)
def test_the_rows_before_what_is_no_utf16_are_kept(tmp_path: Path, encoding: str, broken: bytes, behind: bool) -> None:
    raw = (JSONL * 3).encode(encoding) + broken
    path = put_in(tmp_path, "a.jsonl", raw + JSONL.encode(encoding) * 3 if behind and len(broken) > 1 else raw)
    kept, problem = until_torn(path, Reading(encoding))
    assert [dict(item.fields) for item in kept if isinstance(item, Row)] == TWO * 3
    assert (problem.where, problem.what) == (f"{path}:7", f"not {encoding}")


def test_zeros_that_a_crash_left_behind_the_rows_are_one_reject(tmp_path: Path) -> None:
    items = list(read([put_in(tmp_path, "a.jsonl", JSONL.encode() + b"\0" * 5000)]))
    assert [type(item) for item in items] == [Row, Row, Reject]
    items = list(read([put_in(tmp_path, "a.csv", b"text,label\nx,1\n" + b"\0" * 5000)]))
    assert [type(item) for item in items] == [Row, Reject]


def test_whole_objects_around_a_broken_one_are_rows(tmp_path: Path) -> None:
    objects = [json.dumps({"text": f"t{i}", "spans": [{"a": i}]}, indent=2) for i in range(4)]
    torn = objects[1].replace('"a": 1', '"a" 1')
    items = list(read([put_in(tmp_path, "a.json", "\n".join([objects[0], torn, *objects[2:], objects[1][:20]]))]))
    assert [type(item) for item in items] == [Row, Reject, Row, Row, Reject]
    assert [line(item) for item in items] == [1, 9, 17, 25, 33]
    assert isinstance(items[1], Reject)
    assert items[1].raw == torn
    assert items[1].reason == "not valid JSON: unexpected '1' (line 5 of it, column 11)"


def test_parts_of_a_broken_object_are_no_rows(tmp_path: Path) -> None:
    text = '{"data": [\n{"text": "a"},\n{"text": "b"}\n], "n" 2}\n{"text": "c"}\n'
    items = list(read([put_in(tmp_path, "a.json", text)]))
    assert [dict(item.fields) for item in items if isinstance(item, Row)] == [{"text": "c"}]
    assert "".join(item.raw for item in items if isinstance(item, Reject)).count("text") == 2


def test_very_many_broken_objects_are_told_in_time(tmp_path: Path) -> None:
    began = time.monotonic()
    assert len(rejects(put_in(tmp_path, "a.json", '{"a": [\n' * 30_000))) == 30_000
    assert time.monotonic() - began < 20


# ------------------------------------------------------------------ numbers

NUMBERS = [
    "0.98765432109876543210",
    "3E7",
    "2.50",
    "-0",
    "-0.0",
    "1e-400",
    "12345678901234567890123",
    "5e0",
    "0.25",
]


def close(text: str) -> str:
    """Lines of JSON, whose strings have no spaces, as they are written."""
    return text.replace(": ", ":").replace(", ", ",")


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_goes_out_as_it_came_in(tmp_path: Path, number: str) -> None:
    texts = [f'{{"text": "x", "n": {number}}}', f'{{"text": "x", "deep": [{{"n": [{number}, 1.5]}}]}}']
    for text in texts:
        for name, data in (("a.jsonl", f"{text}\n"), ("a.json", f"[{text}]")):
            rows = fields(put_in(tmp_path, name, data))
            (row,) = read([str(tmp_path / name)])
            assert isinstance(row, Row)
            assert written(tmp_path / "o.jsonl", [dict_of(row)]).decode() == close(f"{text}\n")
            assert raw_of(row) == text
    assert rows[0]["deep"][0]["n"][0] == json.loads(number)
    (row,) = read([put_in(tmp_path, "a.jsonl", f"{texts[0]}\n")])
    assert isinstance(row, Row)
    assert written(tmp_path / "o.csv", [dict_of(row)]).decode() == f"text,n\nx,{number}\n"
    again = pickle.loads(pickle.dumps(row))
    assert raw_of(again) == texts[0]
    assert isinstance(row["n"], int | float)


def dict_of(row: Row) -> dict[str, Any]:
    """The fields of a row, as they are."""
    assert isinstance(row.fields, dict)
    return row.fields


def test_rows_within_one_object_keep_their_numbers_too(tmp_path: Path) -> None:
    for text in ('{"data": [{"n": 1.10}, {"n": 2}]}', '{"n": [1.10, 2], "m": [0, 0]}'):
        first = next(read([put_in(tmp_path, "a.json", text)]))
        assert isinstance(first, Row)
        assert '"n":1.10' in written(tmp_path / "o.jsonl", [dict_of(first)]).decode()


numerals = st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=st.lists(numerals, min_size=1, max_size=4))
def test_any_numbers_go_out_as_they_came_in(tmp_path: Path, numbers: list[str]) -> None:
    text = "{" + ", ".join(f'"{i}": {number}' for i, number in enumerate(numbers)) + "}\n"
    (row,) = read([put_in(tmp_path, "a.jsonl", text)])
    assert isinstance(row, Row)
    assert written(tmp_path / "o.jsonl", [dict_of(row)]).decode() == close(text)


# ------------------------------------------------------------------ rows that cannot be read


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('{"text": "a"', "not valid JSON: it ends too early (column 13)"),
        ('{"text": "a', "not valid JSON: it ends too early (column 12)"),
        ('{"text": "a\\\\\\"', "not valid JSON: it ends too early (column 16)"),
        ("nonsense", "not valid JSON: unexpected 'n' (column 1)"),
        ('{"a": NaN}', "not valid JSON: NaN is not JSON"),
        ('{"a": -Infinity}', "not valid JSON: -Infinity is not JSON"),
        ('{"a": 1e999}', "the number 1e999 is too large"),
        ('{"a": 1' + "0" * 5000 + ".0}", "the number 1000000000000000000000000000000000000000 is too large"),
        ('{"a": ' + "1" * 5000 + "}", "a number of more than 4,300 digits"),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' stands twice in an object"),
        ('{"a": {"b": 1, "b": 1}}', "the key 'b' stands twice in an object"),
        ('{"a": ' + "[" * 60 + "]" * 60 + "}", "nested too deeply (more than 50 levels)"),
        ('{"a": 1}{"a": 2}', "not valid JSON: unexpected '{' (column 9)"),
        ('{"a": 1},', "not valid JSON: unexpected ',' (column 9)"),
        ("{'a': 1}", 'not valid JSON: unexpected "\'"; JSON has double quotes (column 2)'),
        ("\0", r"not valid JSON: unexpected '\x00' (column 1)"),
        ('{"a": "\0"}', r"not valid JSON: unexpected '\x00' (column 8)"),
        ('\r{"a": 1}\r{"b": 2}', "not valid JSON: unexpected '{' (column 11)"),
        ("[1, 2]", "not a JSON object"),
        ('"text"', "not a JSON object"),
        ("null", "not a JSON object"),
        ("true", "not a JSON object"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        (b'{"a": "\xff"}', "not UTF-8 (byte 8)"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_bad_line_is_left_out_with_place_reason_and_text(
    tmp_path: Path, bad: str | bytes, reason: str, place: int
) -> None:
    lines = [b'{"text": "one"}', b'{"text": "two"}']
    lines.insert(place, bad.encode() if isinstance(bad, str) else bad)
    path = put_in(tmp_path, "a.jsonl", b"\n".join(lines) + b"\n")
    items = list(read([path]))
    found = items.pop(place)
    assert isinstance(found, Reject)
    assert (found.source, found.key) == (f"{path}:{place + 1}", place)
    assert found.reason.startswith(reason)
    assert found.raw == lines[place].decode("utf-8", "backslashreplace")
    assert [item["text"] for item in items if isinstance(item, Row)] == ["one", "two"]


def test_a_torn_or_damaged_table_is_told_in_our_words_whatever_the_csv_module_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Reworded:
        """A csv reader of another Python."""

        def __init__(self, *arguments: Any, **settings: Any) -> None:
            self.reader = read_table(*arguments, **settings)

        def __next__(self) -> list[str]:
            try:
                return next(self.reader)
            except csv.Error:
                raise csv.Error("no good") from None

    read_table = csv.reader
    monkeypatch.setattr("promptshot.rows.tables.csv.reader", Reworded)
    path = put_in(tmp_path, "a.csv", 'text,label\n"a"b,1\na\rb,1\n"a,1\nc,0\n"d,0')
    items = list(read([path]))
    assert [(line(item), item.reason if isinstance(item, Reject) else "") for item in items] == [
        (2, "not valid CSV: text behind a closing quote"),
        (3, "not valid CSV: a line end (CR alone) in a cell without quotes"),
        (4, "a quote opens here and never closes"),
        (5, ""),
        (6, "a quote opens here and never closes"),
    ]


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_torn_last_line_says_the_same_with_and_without_its_line_end(tmp_path: Path, end: str) -> None:
    for torn, column in (('{"正文": "还没', 11), ('{"正文": "还没\\\\', 13), ('{"正文": "还没"', 12), ('{"正文":', 7)):
        (found,) = rejects(put_in(tmp_path, "a.jsonl", f'{{"正文": "a"}}\n{torn}{end}'))
        assert found.reason == f"not valid JSON: it ends too early (column {column})"


def test_what_the_rejects_file_says(tmp_path: Path) -> None:
    path = put_in(tmp_path, "a.jsonl", '{"a": 1}\nnull\n')
    assert rejects(path)[0].record() == {"source": f"{path}:2", "reason": "not a JSON object", "raw": "null"}


@pytest.mark.parametrize(
    ("text", "at", "reason"),
    [
        ('[\n{"a": 1},\n{"a" 1}\n]', 3, "not valid JSON: unexpected '1'"),
        ('[\n{"a": 1},\n{"a":\n\n!}\n]', 5, "not valid JSON: unexpected '!'"),
        ('[{"a": 1}\n{"a": 2}]', 2, "not valid JSON: unexpected '{'"),
        ('[\n{"a": 1},\n', 3, "not valid JSON: it ends too early"),
        ('[\n{"a": 1}\n', 3, "not valid JSON: it ends too early"),
        ("[" * 100_000, 1, "nested too deeply"),
        ('[{"a":' + "[" * 100_000, 1, "nested too deeply"),
    ],
)
def test_a_broken_array_is_an_error_with_its_line(tmp_path: Path, text: str, at: int, reason: str) -> None:
    path = put_in(tmp_path, "a.json", text)
    with pytest.raises(InputError) as caught:
        list(read([path]))
    assert caught.value.where == f"{path}:{at}"
    assert reason in caught.value.what


def test_text_behind_an_array_is_an_error_and_not_lost(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="text after the end of the array"):
        list(read([put_in(tmp_path, "a.json", '[{"a": 1}]\n[{"a": 2}]\n')]))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"a": NaN}', "not valid JSON: NaN is not JSON"),
        (b'{"a": 1e400}', "the number 1e400 is too large"),
        (b'{"a": ' + b"1" * 5000 + b"}", "a number of more than 4,300 digits"),
        (b'{"a": 1, "a": [1e400, NaN]}', "the number 1e400 is too large"),
        (b'{"a": 1, "a": 2}', "the key 'a' stands twice in an object"),
        (b"[" * 60 + b"]" * 60, "nested too deeply (more than 50 levels)"),
        (b'{"a": "\xff"}', "not UTF-8 (byte 8)"),
        (b'"text"', "not a JSON object"),
        (b"NaN", "not valid JSON: NaN is not JSON"),
    ],
)
def test_an_item_of_an_array_that_is_no_row_is_left_out_alone(tmp_path: Path, bad: bytes, reason: str) -> None:
    path = put_in(tmp_path, "a.json", b'[\n{"a": 1},\n' + bad + b',\n{"a": "\xe5\xa5\xbd"}\n]')
    first, found, last = read([path])
    assert isinstance(first, Row)
    assert isinstance(last, Row)
    assert (first.fields, last.fields, last.source) == ({"a": 1}, {"a": "好"}, f"{path}:4")
    assert isinstance(found, Reject)
    assert (found.source, found.reason, found.key) == (f"{path}:3", reason, 1)
    assert found.raw == bad.decode("utf-8", "backslashreplace")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"a,b,c", "3 cells under a header of 2"),
        (b"a", "1 cells under a header of 2"),
        (b'"a,b",c,d', "3 cells under a header of 2"),
        (b"a\xff,b", "not UTF-8 (byte 2)"),
        (b"a\rb,c", "not valid CSV: a line end (CR alone) in a cell without quotes"),
    ],
)
def test_a_bad_record_of_a_table_is_left_out_as_it_stands(tmp_path: Path, bad: bytes, reason: str) -> None:
    path = put_in(tmp_path, "a.csv", b"text,label\nx,1\n" + bad + b"\ny,2\n")
    items = list(read([path]))
    assert [type(item) for item in items] == [Row, Reject, Row]
    found = items[1]
    assert isinstance(found, Reject)
    assert found.source == f"{path}:3"
    assert found.reason.startswith(reason)
    assert found.raw == bad.decode("utf-8", "backslashreplace")


def test_a_quote_that_never_closes_is_told_and_does_not_swallow_the_file_in_silence(tmp_path: Path) -> None:
    path = put_in(tmp_path, "a.csv", 'label,text\n1,good\n0,"bad\n1,good\n1,good\n')
    items = list(read([path]))
    assert [type(item) for item in items] == [Row, Reject, Row, Row]
    assert [line(item) for item in items] == [2, 3, 4, 5]
    found = items[1]
    assert isinstance(found, Reject)
    assert (found.reason, found.raw) == ("a quote opens here and never closes", '0,"bad')


def test_two_stray_quotes_do_not_make_one_cell_of_the_rows_between_them(tmp_path: Path) -> None:
    path = put_in(tmp_path, "a.csv", 'label,text\n0,"bad\n1,good\n0,"bad\n1,"two\nlines"\n0,"bad')
    items = list(read([path]))
    assert [(line(item), type(item)) for item in items] == [(2, Reject), (3, Row), (4, Reject), (5, Row), (7, Reject)]
    assert items[3].fields == {"label": "1", "text": "two\nlines"}  # type: ignore[union-attr]
    assert {item.reason for item in items if isinstance(item, Reject)} == {"a quote opens here and never closes"}


@pytest.mark.parametrize("bad", ['1,"good" he said', '1,"a"b"', '"1"1,b'])
def test_text_behind_a_closing_quote_is_told_and_not_joined(tmp_path: Path, bad: str) -> None:
    found, after = read([put_in(tmp_path, "a.csv", f"label,text\n{bad}\n1,good\n")])
    assert isinstance(found, Reject)
    assert (found.reason, found.raw) == ("not valid CSV: text behind a closing quote", bad)
    assert isinstance(after, Row)


def test_quotes_that_do_not_pair_over_several_lines_are_told(tmp_path: Path) -> None:
    found, after = read([put_in(tmp_path, "a.csv", 'text,label\n"a\nb",5"\nc,1\n')])
    assert isinstance(found, Reject)
    assert (found.reason, found.raw) == ("quotes that do not pair, over 2 lines", '"a\nb",5"')
    assert isinstance(after, Row)


def test_a_long_cell_is_read_and_so_are_the_rows_behind_it(tmp_path: Path) -> None:
    long = "many words\n" * 50_000
    path = put_in(tmp_path, "a.csv", f'text,label\n"{long}",1\n' + "b,2\n")
    assert fields(path) == [{"text": long, "label": "1"}, {"text": "b", "label": "2"}]


def test_a_cell_that_takes_the_memory_of_a_machine_costs_one_line_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = csv.field_size_limit(100)
    try:
        monkeypatch.setattr("promptshot.rows.tables.LONGEST", 100)
        path = put_in(tmp_path, "a.csv", 'text,label\n"' + "a,1\n" * 40)
        items = list(read([path]))
    finally:
        csv.field_size_limit(before)
    assert [type(item) for item in items] == [Reject] + [Row] * 39


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_a_line_without_end_is_an_error_and_the_rows_before_it_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for module in ("formats", "tables"):
        monkeypatch.setattr(f"promptshot.rows.{module}.LONGEST", 50)
    data = '{"a": 1}\n{"a": 2}\n' if name == "a.jsonl" else "a\n1\n2\n"
    items = read([put_in(tmp_path, name, data + "x" * 1000)])
    assert [type(next(items)), type(next(items))] == [Row, Row]
    with pytest.raises(InputError, match=r":[34]: a line of more than 50 bytes"):
        next(items)


def test_an_array_may_stand_on_one_long_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("promptshot.rows.formats.LONGEST", 10)
    assert fields(put_in(tmp_path, "a.json", json.dumps([*TWO, *TWO]))) == [*TWO, *TWO]


def test_a_text_of_many_megabytes_is_read(tmp_path: Path) -> None:
    long = "好" * 4_000_000
    path = put_in(tmp_path, "a.jsonl", json.dumps({"text": long}, ensure_ascii=False) + "\n{}\n")
    first, _ = read([path])
    assert isinstance(first, Row)
    assert first.text("text") == long


def test_line_ends_may_be_mixed(tmp_path: Path) -> None:
    path = put_in(tmp_path, "a.jsonl", '{"a": 1}\r\n{"a": 2}\n\r\n{"a": 3}\r')
    assert [line(item) for item in read([path])] == [1, 2, 4]
    assert fields(put_in(tmp_path, "a.csv", "a,b\r\n1,2\n3,4\r\n")) == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


@pytest.mark.parametrize(
    ("name", "data"),
    [("a.csv", "text,label\n很好,1\n不好,0\n"), ("a.tsv", "text\tlabel\n很好\t1\n不好\t0"), ("a.jsonl", JSONL)],
)
def test_lines_may_end_with_cr_alone_as_old_spreadsheets_write_them(tmp_path: Path, name: str, data: str) -> None:
    path = put_in(tmp_path, name, data.replace("\n", "\r"))
    assert fields(path) == TWO
    assert [line(item) for item in read([path])] == ([1, 2] if name == "a.jsonl" else [2, 3])


def test_files_that_were_joined_with_their_byte_order_marks_are_read(tmp_path: Path) -> None:
    assert fields(put_in(tmp_path, "a.jsonl", (BOM + JSONL.encode()) * 2)) == TWO * 2


def test_keys_may_be_empty_or_those_of_the_output(tmp_path: Path) -> None:
    row = {"": "a", "prediction": "b", "word_scores": {"c": 1}, "a.b": 1, "text": "x"}
    assert fields(put_in(tmp_path, "a.jsonl", json.dumps(row) + "\n")) == [row]
    assert fields(put_in(tmp_path, "a.csv", ",prediction\n0,b\n")) == [{"": "0", "prediction": "b"}]


def test_a_key_of_many_megabytes_is_shortened_in_the_complaint() -> None:
    with pytest.raises(RowError) as caught:
        Row({"k" * 5_000_000: 1}, "f:1").text("text")
    assert len(str(caught.value)) < 300


def test_a_header_or_an_object_of_very_many_names_is_checked_in_time(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(100_000)]
    with pytest.raises(InputError, match="column 'c99999' stands twice"):
        list(read([put_in(tmp_path, "a.csv", ",".join([*names, names[-1]]) + "\n1\n")]))
    doubled = ", ".join(f'"{name}": 1' for name in [*names, names[-1]])
    assert "'c99999'" in rejects(put_in(tmp_path, "a.jsonl", "{" + doubled + "}\n"))[0].reason


def test_a_doubled_column_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.csv:1: column 'text' stands twice in the header"):
        list(read([put_in(tmp_path, "a.csv", "text,label,text\n1,2,3\n")]))
    with pytest.raises(InputError, match=r"a\.csv:3: column '' stands twice in the header; give each"):
        list(read([put_in(tmp_path, "a.csv", "\n\n,label,\n1,2,3\n")]))


def test_a_header_with_a_quote_that_never_closes_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.csv:1: a quote opens here and never closes"):
        list(read([put_in(tmp_path, "a.csv", '"text,label\n1,2\n')]))


def test_a_header_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the header is not UTF-8 text"):
        list(read([put_in(tmp_path, "a.csv", "标签,正文\n1,2\n".encode("gbk"))]))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize(("name", "data"), [("a.csv", "text,label\n1,2\n"), ("a.jsonl", JSONL), ("a", JSONL)])
def test_a_file_in_another_unicode_encoding_is_told(tmp_path: Path, encoding: str, name: str, data: str) -> None:
    with pytest.raises(InputError, match=f"this is {encoding.upper()}; save it as UTF-8, or say --encoding {encoding}"):
        list(read([put_in(tmp_path, name, data.encode(encoding))]))


# ------------------------------------------------------------------ fields of a row


@pytest.mark.parametrize(
    ("name", "column"),
    [
        *[("text", c) for c in ("sentence", "content", "abst", "review", "文本", "标题")],
        *[("text_a", c) for c in ("sentence1", "premise", "text1")],
        *[("text_b", c) for c in ("sentence2", "hypothesis", "text2")],
        *[("label", c) for c in ("label_desc", "label_des", "gold", "answer", "类别")],
    ],
)
def test_a_field_is_found_under_its_usual_other_names(name: str, column: str) -> None:
    row = Row({"id": 1, column: "x"})
    assert row[name] == "x"
    assert row.column(name) == column


def test_its_own_name_goes_before_other_names() -> None:
    row = Row({"label_desc": "news", "sentence": "s", "text": "t", "label": "100"})
    assert (row["text"], row["label"]) == ("t", "100")


def test_a_column_that_was_given_goes_before_all_others() -> None:
    row = Row({"text": "t", "body2": "b", "a": {"b": "deep"}}, columns={"text": "body2", "x": "a.b"})
    assert (row["text"], row["x"]) == ("b", "deep")


def test_a_nested_object_is_a_plain_name() -> None:
    row = Row({"target": {"span1_text": "毛豆", "more": {"n": 3}}})
    assert row["target.span1_text"] == "毛豆"
    assert row["target.more.n"] == 3


def test_a_column_with_a_dot_in_its_name_goes_before_a_nested_one() -> None:
    assert Row({"a.b": "flat", "a": {"b": "deep"}})["a.b"] == "flat"


@pytest.mark.parametrize(
    ("row", "name", "said"),
    [
        (Row({"a": 1, "b": 2}, "f:3"), "text", "f:3: no field 'text'; the row has: a, b; try --text-field NAME"),
        (Row({"a": 1}, "f:3"), "label", "f:3: no field 'label'; the row has: a; try --label-field NAME"),
        (Row({}, "f:3"), "topic", "f:3: no field 'topic'; the row has: nothing; try --map topic=COLUMN"),
        (
            Row({"text": "t"}, "f:3", columns={"text": "body"}),
            "text",
            "f:3: no column 'body' for field 'text'; the row has: text; try --text-field NAME",
        ),
        (Row({"a": {"b": 1}}, "f:3"), "x", "f:3: no field 'x'; the row has: a, a.b; try --map x=COLUMN"),
    ],
)
def test_a_missing_field_is_told_with_what_there_is(row: Row, name: str, said: str) -> None:
    with pytest.raises(RowError) as caught:
        row[name]
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("value", "text"), [("a", "a"), (" a\n", " a\n"), (3, "3"), (2.5, "2.5"), (True, "true"), (0, "0")]
)
def test_numbers_and_truth_values_are_read_as_text(value: object, text: str) -> None:
    assert Row({"text": value}).text("text") == text


def test_a_list_is_joined_where_the_template_says_so() -> None:
    row = Row({"keywords": ["a", "b", 3]})
    assert row.text("keywords", "，") == "a，b，3"
    assert row.text("keywords", "") == "ab3"


@pytest.mark.parametrize(
    ("value", "join", "said"),
    [
        (["a"], None, "f:1: field 'k' is a list, not text; give the template fields: {k: {join: ', '}}"),
        ({"a": 1}, None, "f:1: field 'k' is an object, not text"),
        ({"a": 1}, ",", "f:1: field 'k' is an object, not text"),
        (None, None, "f:1: field 'k' is empty; remove the row or fill it"),
        (b"raw", None, "f:1: field 'k' is no text, not text"),
        ("", None, "f:1: field 'k' is empty; remove the row or fill it"),
        (" \n\u3000", None, "f:1: field 'k' is empty; remove the row or fill it"),
        ([], ",", "f:1: field 'k' is empty; remove the row or fill it"),
        ("a\0", None, "f:1: field 'k' has a NUL character; remove the row or mend its text"),
        ("好\ud83d", None, "f:1: field 'k' has half a character (\\ud83d); remove the row or mend its text"),
        (["a", "\udfff"], ",", "f:1: field 'k' has half a character (\\udfff); remove the row or mend its text"),
        (["a", None], ",", "f:1: an item of the list 'k' is null, not text; remove the row or mend its list"),
        (["a", ["b"]], ",", "f:1: an item of the list 'k' is a list, not text; remove the row or mend its list"),
    ],
)
def test_what_is_no_text_is_told(value: object, join: str | None, said: str) -> None:
    with pytest.raises(RowError) as caught:
        Row({"k": value}, "f:1").text("k", join)
    assert str(caught.value) == said


# ------------------------------------------------------------------ limit and sample


def numbered(n: int) -> Iterator[Item]:
    return (Row({"n": i}, f"f:{i + 1}", i) for i in range(n))


def keys(items: Iterator[Item]) -> list[int]:
    return [item.key for item in items]


def test_without_limit_and_sample_everything_comes_through() -> None:
    assert keys(select(numbered(5), None, None, 0)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("limit", "got"), [(0, 0), (3, 3), (5, 5), (9, 5)])
def test_the_limit_takes_the_first_rows(limit: int, got: int) -> None:
    assert keys(select(numbered(5), limit, None, 0)) == list(range(got))


def test_the_limit_does_not_read_one_row_too_many() -> None:
    def until_the_third() -> Iterator[Item]:
        yield from numbered(3)
        raise AssertionError("read on behind the limit")

    assert keys(select(until_the_third(), 3, None, 0)) == [0, 1, 2]


def test_a_sample_is_in_order_without_doubles_and_the_same_for_the_same_seed() -> None:
    first = keys(select(numbered(1000), None, 50, 7))
    assert len(set(first)) == 50
    assert first == sorted(first)
    assert first == keys(select(numbered(1000), None, 50, 7))
    assert first != keys(select(numbered(1000), None, 50, 8))


def test_a_sample_of_more_than_there_is_takes_all() -> None:
    assert keys(select(numbered(5), None, 50, 7)) == [0, 1, 2, 3, 4]


def test_a_sample_is_drawn_from_the_limited_rows() -> None:
    assert max(keys(select(numbered(1000), 20, 10, 3))) < 20


def test_every_row_is_equally_likely_to_be_sampled() -> None:
    hits = [0] * 10
    for seed in range(2000):
        for key in keys(select(numbered(10), None, 3, seed)):
            hits[key] += 1
    assert all(500 < n < 700 for n in hits), hits  # 600 expected, sd 20


def test_lines_are_counted_cheaply_where_lines_are_rows(tmp_path: Path) -> None:
    path = put_in(tmp_path, "a.jsonl", JSONL)
    assert count([path]) == 2
    assert count([path, put_in(tmp_path, "b.ndjson", JSONL.rstrip("\n"))]) == 4
    assert count([path, put_in(tmp_path, "b.csv", "a\n1\n")]) is None
    assert count(["-"]) is None
    assert count([str(tmp_path / "gone.jsonl")]) is None


# ------------------------------------------------------------------ writing

RECORDS: list[dict[str, Any]] = [
    {"text": '他说"好",\n真的', "n": 1, "p": 0.25, "none": None, "scores": {"很": -1.5}, "ok": True},
    {"text": "tab\there", "n": 2, "p": 1e-9, "none": None, "scores": {"不": -2.0}, "ok": False},
]


def written(path: Path, *batches: list[dict[str, Any]]) -> bytes:
    with Writer(str(path), replace=True) as writer:
        for batch in batches:
            writer.write(batch)
    return path.read_bytes()


@pytest.mark.parametrize("name", ["o.jsonl", "o.jsonl.gz", "o", "o.JSONL.GZ"])
def test_jsonl_comes_back_as_it_was(tmp_path: Path, name: str) -> None:
    written(tmp_path / name, RECORDS[:1], [], RECORDS[1:])
    assert fields(str(tmp_path / name)) == RECORDS


@pytest.mark.parametrize("name", ["o.jsonl", "o.csv", "o.tsv", "o.jsonl.gz", "o.csv.gz"])
def test_the_same_records_give_the_same_bytes_at_any_time_under_any_name(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 1e9)
    first = written(tmp_path / name, RECORDS)
    monkeypatch.setattr("time.time", lambda: 2e9)
    assert written(tmp_path / f"other_{name}", RECORDS) == first


@pytest.mark.parametrize("name", ["o.jsonl", "o.csv"])
def test_no_records_are_an_empty_file(tmp_path: Path, name: str) -> None:
    assert written(tmp_path / name, [], []) == b""


@pytest.mark.parametrize(("name", "delimiter"), [("o.csv", ","), ("o.tsv", "\t"), ("o.csv.gz", ","), ("O.TSV", "\t")])
def test_a_table_keeps_text_and_shows_nested_values_as_json(tmp_path: Path, name: str, delimiter: str) -> None:
    raw = written(tmp_path / name, RECORDS)
    text = (gzip.decompress(raw) if name.endswith("gz") else raw).decode()
    assert "\r" not in text
    table = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    assert table[0] == ["text", "n", "p", "none", "scores", "ok"]
    assert table[1] == ['他说"好",\n真的', "1", "0.25", "", '{"很": -1.5}', "true"]
    assert json.loads(table[2][4]) == {"不": -2.0}
    assert [row["text"] for row in fields(str(tmp_path / name))] == [r["text"] for r in RECORDS]


def test_a_table_has_all_columns_of_its_first_records_and_tells_what_it_left_out(tmp_path: Path) -> None:
    path = tmp_path / "o.csv"
    with Writer(str(path)) as writer:
        writer.write([{"a": 1}, {"b": 2}])
        assert writer.left_out == set()
        writer.write([{"a": 3, "c": 4}])
        assert writer.left_out == {"c"}
    assert path.read_text() == "a,b\n1,\n,2\n3,\n"


@pytest.mark.parametrize(
    "cell",
    [
        *("=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "=", "- good"),
        *("＝1+1", "＋A1", "－A1", "＠SUM(A1)", "\n=2*3", "\ngood", "\r\ngood", "   =A1", "\u3000=A1", "\u00a0@A1"),
        *(" \t\n +A1", "\ufeff=A1", "\u200b＝A1", " =1;2"),
    ],
)
def test_what_a_spreadsheet_would_run_gets_an_apostrophe(tmp_path: Path, cell: str) -> None:
    raw = written(tmp_path / "o.csv", [{cell: cell}]).decode()
    assert list(csv.reader(io.StringIO(raw, newline=""))) == [[f"'{cell}"], [f"'{cell}"]]
    assert fields(put_in(tmp_path, "o.jsonl", written(tmp_path / "p.jsonl", [{"a": cell}]))) == [{"a": cell}]


@pytest.mark.parametrize("cell", ["-5", "+3.25", "-.5", "-1e-9", "a=b", "好", "", " =1", "2-3"])
def test_numbers_and_other_text_stay_as_they_are(tmp_path: Path, cell: str) -> None:
    raw = written(tmp_path / "o.csv", [{"a": cell, "b": -1.5}]).decode()
    assert list(csv.reader(io.StringIO(raw)))[1] == [cell, "-1.5"]


def test_half_a_surrogate_pair_is_written_as_an_escape(tmp_path: Path) -> None:
    path = put_in(tmp_path, "a.jsonl", '{"a": "x\\ud800y", "b": "\\ud83d\\ude00"}\n')
    rows = fields(path)
    out = tmp_path / "o.jsonl"
    assert written(out, rows) == '{"a":"x\\ud800y","b":"😀"}\n'.encode()
    assert fields(str(out)) == rows
    assert written(tmp_path / "o.csv", rows) == "a,b\nx\\ud800y,😀\n".encode()


def test_what_was_written_can_be_read_while_the_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    with Writer(str(path)) as writer:
        writer.write([{"a": 1}])
        assert path.read_text() == '{"a":1}\n'


def test_a_dash_writes_to_the_given_stream_and_leaves_it_open() -> None:
    stream = io.StringIO()
    with Writer("-", stream) as writer:
        writer.write([{"a": "好"}])
    assert stream.getvalue() == '{"a":"好"}\n'


def test_a_dash_alone_writes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with Writer("-") as writer:
        writer.write([{"a": 1}])
    assert capsys.readouterr().out == '{"a":1}\n'


def test_a_missing_folder_is_an_error_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be written \(no such folder\)"):
        Writer(str(tmp_path / "gone" / "o.jsonl"))
    with pytest.raises(InputError, match="cannot be written"):
        Writer(str(tmp_path / "gone" / "o.jsonl.gz"))


# ------------------------------------------------------------------ for any rows

values = st.none() | st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SETTINGS
@given(rows=st.lists(st.dictionaries(st.text(), values, max_size=5), min_size=1), ascii_only=st.booleans())
def test_any_objects_written_as_lines_are_read_back_the_same(
    tmp_path: Path, rows: list[dict[str, Any]], ascii_only: bool
) -> None:
    text = "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows)
    items = list(read([put_in(tmp_path, "a.jsonl", text)]))
    assert [dict(item.fields) for item in items if isinstance(item, Row)] == rows
    assert [line(item) for item in items] == list(range(1, len(rows) + 1))


@SETTINGS
@given(rows=st.lists(st.dictionaries(st.text(), values, max_size=5), min_size=1), indent=st.none() | st.just(1))
def test_any_objects_written_as_an_array_are_read_back_the_same(
    tmp_path: Path, rows: list[dict[str, Any]], indent: int | None
) -> None:
    assert fields(put_in(tmp_path, "a.json", json.dumps(rows, indent=indent))) == rows


cells = st.text(st.characters(codec="utf-8", exclude_characters="\r\0")).filter(lambda text: not FORMULA.match(text))


@SETTINGS
@given(rows=st.lists(st.lists(cells, min_size=2, max_size=2), min_size=1), name=st.sampled_from(["a.csv", "a.tsv"]))
def test_any_table_that_is_written_is_read_back_the_same(tmp_path: Path, rows: list[list[str]], name: str) -> None:
    # In a TSV, tabs and line ends in cells of one row cannot be told from rows with stray quotes, which are commoner.
    assume(name == "a.csv" or not any("\t" in "".join(row) and "\n" in "".join(row) for row in rows))
    records = [{"甲": a, "b": b} for a, b in rows]
    written(tmp_path / name, records)
    assert fields(str(tmp_path / name)) == records


@SETTINGS
@given(lines=st.lists(st.binary().map(lambda raw: raw.replace(b"\n", b""))))
def test_every_line_that_is_not_blank_comes_out_as_a_row_or_a_reject(tmp_path: Path, lines: list[bytes]) -> None:
    lines.insert(0, b"{}")
    items = list(read([put_in(tmp_path, "a.jsonl", b"\n".join(lines))]))
    assert [line(item) for item in items] == [n for n, raw in enumerate(lines, 1) if raw.rstrip()]
