"""The quick way in and out gives what the slow one gives, or leaves the line to it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from promptshot.rows.formats import _Decoder, _object, _plain_object, json_lines
from promptshot.rows.json_text import Exact, Float, Int, line, lines_of
from promptshot.rows.read import read
from promptshot.rows.row import Reject, Row
from promptshot.rows.writer import Form, Writer, whole

# ------------------------------------------------------------------ out


def close(value: Any) -> str:
    """As Python's own writer has it, without spaces."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


texts = st.text(st.characters(exclude_categories=()), max_size=8)  # half characters, too
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(fields=st.dictionaries(texts, values, max_size=4))
def test_a_line_says_what_was_to_be_written(fields: dict[str, Any]) -> None:
    found = line(fields)
    assert found.count(b"\n") == 1
    assert json.loads(found) == fields
    assert found.endswith(b"}\n")


def test_every_character_is_written_as_python_writes_it() -> None:
    for begin in (*range(0, 0xD800, 4096), *range(0xE000, 0x110000, 4096)):
        text = "".join(map(chr, range(begin, min(begin + 4096, 0xD800 if begin < 0xD800 else 0x110000))))
        assert line({text: text}).decode() == close({text: text}) + "\n"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"a": "x\ud800y", "b": 1}, '{"a":"x\\ud800y","b":1}'),
        ({"\udfff": [1, "😀"]}, '{"\\udfff":[1,"😀"]}'),
        ({"a": 2**64, "b": -(2**63) - 1}, f'{{"a":{2**64},"b":{-(2**63) - 1}}}'),
        ({"a": 2**64 - 1, "b": -(2**63)}, f'{{"a":{2**64 - 1},"b":{-(2**63)}}}'),
        ({"a": None, "b": (1, 2), "c": "null", "d": 1e-07}, '{"a":null,"b":[1,2],"c":"null","d":1e-7}'),
        ({1: 2, None: 3, False: 4}, '{"1":2,"null":3,"false":4}'),
        ({"a": Float("1.50")}, '{"a":1.50}'),
        (Exact(a=Float("1.50"), b=1e-07, c=1e16, d=[0.1]), '{"a":1.50,"b":1e-7,"c":1e+16,"d":[0.1]}'),
        ({"a": "\ud800", "b": 1e-07}, '{"a":"\\ud800","b":1e-7}'),
        (Exact(a=Float("1.50"), b=[Int("-0"), {"c": Float("1E2")}]), '{"a":1.50,"b":[-0,{"c":1E2}]}'),
        (Exact(a=Float("1.50"), b="\ud800"), '{"a":1.50,"b":"\\ud800"}'),
    ],
)
def test_what_the_quick_way_cannot_say_is_written_all_the_same(fields: dict[Any, Any], said: str) -> None:
    assert line(fields).decode() == f"{said}\n"


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "make",
    [
        lambda n: {"a": n},
        lambda n: {"a": [{"b": n}]},
        lambda n: {"a": None, "b": (1, n)},
        lambda n: Exact(a=n, b=Float("1.0")),
    ],
)
def test_what_is_no_number_is_never_written(number: float, make: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        line(make(number))
    with Writer(str(tmp_path / "o.jsonl")) as writer, pytest.raises(ValueError, match="Out of range float"):
        writer.write([{"a": 1}, make(number)])
    assert (tmp_path / "o.jsonl").read_bytes() == b"", "nor what was given with it"


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        line({"a": {1, 2}})


def test_a_number_with_an_exponent_keeps_its_value_and_that_of_a_row_its_text(tmp_path: Path) -> None:
    numbers = [1e-07, 1e16, 1.5e-300, 1e22, 5e-324, 1.7976931348623157e308, 0.1 + 0.2]
    out = tmp_path / "o.jsonl"
    for _ in range(2):  # also of what has been read again
        with Writer(str(out), replace=True) as writer:
            writer.write([{"n": numbers}])
        (row,) = read([str(out)])
        assert isinstance(row, Row)
        assert row.fields["n"] == numbers
        numbers = row.fields["n"]
    for text in ('{"n":1e-07}', '{"n":1e+16}', '{"n":1e-7}', '{"n":[1E5,{"a":1e22}]}'):
        out.write_text(text)
        (row,) = read([str(out)])
        assert isinstance(row, Row)
        assert line(row.fields).decode() == f"{text}\n"
    assert whole([{"n": 1e-07, "m": [1e16]}], Form("csv")) == b"n,m\n1e-07,[1e+16]\n", "a table as ever"


def test_lines_are_those_of_each() -> None:
    rows = [{"a": 1}, {"b": None}, Exact(c=Float("1.0"))]
    assert lines_of(rows) == b'{"a":1}\n{"b":null}\n{"c":1.0}\n'
    assert lines_of([]) == b""


# ------------------------------------------------------------------ in

spaces = st.sampled_from(["", " ", "\t", "  ", "\r"])
strings = st.sampled_from(
    ['"a"', '"b"', '"a:b"', '"\\u0061"', '"\\ud800"', '"\\ud83d\\ude00"', '"é"', '"-0"', '"1.0"', '""', '"\\"a\\":"']
)
numbers = st.sampled_from(
    ["0", "-0", "12", "1.0", "1.50", "-0.0", "1e5", "1E400", "-7", f"{2**63}", f"{2**70}", "1" * 40]
)
odd = st.sampled_from(
    ["NaN", "Infinity", "01", "+1", "1.", "'a'", "nul", "\x00", "\x01", '"\x02"', "{}", "[]", "[1]", ""]
)
plain = st.sampled_from(["true", "false", "null"]) | strings | numbers


@st.composite
def objects(draw: Any, depth: int = 0) -> str:
    """The text of an object, or of what nearly is one."""
    pairs = []
    for _ in range(draw(st.integers(0, 3))):
        value = draw(plain | plain | plain | odd | (objects(depth + 1) if depth < 2 else plain))
        pairs.append("".join([draw(spaces), draw(strings), draw(spaces), ":", draw(spaces), value, draw(spaces)]))
    return "{" + ",".join(pairs) + "}"


def strict(text: bytes) -> Any:
    """What the slow way makes of a line."""
    return _object(text, _Decoder())


def typed(value: Any) -> Any:
    """A value with the types in it, in order."""
    return [(key, type(part).__name__, part) for key, part in value.items()]


@settings(max_examples=1500, deadline=None)
@given(
    text=objects(),
    before=st.sampled_from(["", " ", "\ufeff", "\x1e", "\x0c"]),
    behind=st.sampled_from(["", "\n", " x", "\x1e"]),
)
@example(text='{"a": 1, "a": 2}', before="", behind="\n")
@example(text='{"a" : 1, "a":2}', before="", behind="\n")
@example(text='{"a": 1, "\\u0061": 2, "b": "c:d"}', before="", behind="\n")
@example(text='{"a": {"b": 1, "b": 2}}', before="", behind="\n")
@example(text='{"a": [1.10]}', before="", behind="\n")
@example(text='{"a": -0}', before="", behind="\n")
@example(text='{"a": 18446744073709551616}', before="", behind="\n")
def test_the_quick_way_reads_nothing_otherwise(text: str, before: str, behind: str) -> None:
    data = f"{before}{text}{behind}".encode()
    if (quick := _plain_object(data)) is not None:
        slow = strict(data)
        assert isinstance(slow, dict)
        assert not isinstance(slow, Exact)
        assert typed(quick) == typed(slow)


@settings(max_examples=1500, deadline=None)
@given(text=objects(), at=st.integers(0, 60), bytes_=st.binary(max_size=3), gone=st.integers(0, 3))
def test_nor_does_it_read_what_the_slow_way_refuses(text: str, at: int, bytes_: bytes, gone: int) -> None:
    data = text.encode()
    data = data[:at] + bytes_ + data[at + gone :]
    if (quick := _plain_object(data)) is not None:
        assert typed(quick) == typed(strict(data))


def test_usual_rows_are_read_the_quick_way() -> None:
    data = '{"id": 3, "text": "A fine film. \\"Good\\"\\n很好", "label": null, "spoiler": true}\n'.encode()
    assert _plain_object(data) == strict(data)


def test_blank_lines_are_counted_and_no_rows() -> None:
    lines = [b"\n", b'{"a": 1}\n', b" \t\r\n", b"\x0b\x0c\n", b"{}\n", b'{"a": 1, "a": 2}\n', b"", b"null\n", b"[]"]
    found = list(json_lines(lines, "x"))
    assert [where for where, _ in found] == ["x:2", "x:5", "x:6", "x:8", "x:9"]
    assert [value for _, value in found[:2]] == [{"a": 1}, {}]
    reasons = [getattr(value, "reason", "") for _, value in found[2:]]
    assert reasons == ["the key 'a' stands twice in an object", "not a JSON object", "not a JSON object"]


def test_marks_before_a_line_are_passed_over_and_columns_counted_behind_them(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"a": 1}\n\x1e{"a": 2}\n\ufeff{"a": 3}\n\x1e{"a" 4}\n'.encode())
    *rows, bad = read([str(path)])
    assert [row.fields for row in rows if isinstance(row, Row)] == [{"a": 1}, {"a": 2}, {"a": 3}]
    assert isinstance(bad, Reject)
    assert bad.reason == "not valid JSON: unexpected '4' (column 6)"
