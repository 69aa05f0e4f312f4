"""Rows by the places of their lines: whoever reads the spans has the rows that reading the files gives."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptshot.errors import InputError
from promptshot.rows import read, spans
from promptshot.rows.json_text import Exact
from promptshot.rows.row import Item, Reject, Row
from promptshot.rows.streams import PLAIN, Reading, Seen
from promptshot.runs.inputs import Inputs

LINES = (
    b'{"text": "a film", "label": 1}',
    '{"text": "一部电影", "n": 1.10}'.encode(),
    b"",
    b"   ",
    b"not json",
    b'{"text": "\xff"}',
    b'["a", "list"]',
    b'{"a": 1, "a": 2}',
    b'{"n": NaN}',
    b'\xef\xbb\xbf{"text": "a mark within"}',
    b'{"text": "' + b"long " * 20_000 + b'"}',
)
GOOD = (LINES[0] + b"\n") * 2  # without two rows a file has no lines of its own


def fuzzed(folder: Path, seed: int) -> list[str]:
    """Files with all that may stand on a line."""
    dice = random.Random(seed)
    paths = []
    for number in range(dice.randint(1, 3)):
        lines = [dice.choice(LINES) for _ in range(dice.randint(0, 40))]
        data = GOOD + b"".join(line + dice.choice((b"\n", b"\r\n")) for line in lines)
        data = dice.choice((b"", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n", b"\n \n")) + data + dice.choice((b"", LINES[0]))
        path = folder / f"{number}.jsonl"
        path.write_bytes(data)
        paths.append(str(path))
    return paths


def rows_of(windows: Iterator[spans.Window]) -> list[list[Item]]:
    return [spans.items_of(window.spans, {}) for window in windows]


@pytest.mark.parametrize("seed", range(60))
def test_spans_give_the_rows_that_reading_gives(tmp_path: Path, seed: int) -> None:
    paths, size = fuzzed(tmp_path, seed), random.Random(seed).choice((1, 2, 3, 7, 100))
    limit = random.Random(seed + 1).choice((None, 0, 1, 5, 30))
    assert spans.parted(paths, PLAIN)
    wanted, seen, read_for = list(read.select(read.read(paths), limit, None, 0)), Seen(), Seen()
    found = list(spans.windows(paths, seen, size, limit))
    assert [spans.rows_in(window.spans) for window in found] == [
        len(wanted[at : at + size]) for at in range(0, len(wanted), size)
    ]
    assert [item for window in found for item in spans.items_of(window.spans, {})] == wanted
    assert [item for window in found for span in window.spans for item in span.loaded().items()] == wanted
    if limit is None:
        list(read.read(paths, seen=read_for))
        assert seen.parts == read_for.parts
    for window in found:
        assert [part.path for part in window.read] == paths[: len(window.read)]
        for part in window.read:
            assert part.sha256 == hashlib.sha256(Path(part.path).read_bytes()[: part.bytes]).hexdigest()
        assert window.read[-1].bytes >= window.spans[-1].end


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        LINES[0],
        LINES[0] + b"\n\n",  # a lone object may hold all rows
        b"\r".join([LINES[0]] * 5000),
        b"[" + LINES[0] + b",\n" + LINES[0] + b"]",
        b'{"text":\n"a"}\n' * 3,
        b"text,label\na,b\nc,d\n",
        b"a plain text\nand another\n",
        GOOD.decode().encode("utf-16"),
    ],
)
def test_files_whose_lines_are_no_rows_are_not_parted(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "rows.jsonl" if data.startswith((b"{", b"\r", b"\n")) or not data else tmp_path / "rows.txt"
    path.write_bytes(data)
    assert not spans.parted([str(path)], PLAIN)


def test_neither_are_those_that_are_read_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(GOOD)
    assert spans.parted([str(path)], PLAIN)
    assert not spans.parted([str(path)], Reading(lines=True))
    assert not spans.parted([str(path)], Reading(encoding="gb18030"))
    assert not spans.parted([str(path), str(tmp_path / "none.jsonl")], PLAIN)


def test_a_file_that_says_something_else_is_unread(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(GOOD)
    (((span,), _),) = spans.windows([str(path)], Seen(), 10)
    path.write_bytes(GOOD.replace(b"film", b"fi1m"))
    with pytest.raises(spans.Unread):
        span.items()
    with pytest.raises(InputError, match=r"rows\.jsonl:1: was changed while it was read"):
        span.loaded()
    path.unlink()
    with pytest.raises(spans.Unread):
        span.items()


def test_what_stands_before_a_line_without_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(GOOD * 3 + b'{"text": "' + b"x" * 3000 + b'"}\n' + GOOD)
    monkeypatch.setattr("promptshot.rows.formats.LONGEST", 2000)
    found = spans.windows([str(path)], Seen(), 4)
    assert [spans.rows_in(next(found).spans) for _ in range(2)] == [4, 2]
    with pytest.raises(InputError, match=r"rows\.jsonl:7"):
        next(found)


def test_spans_lie_at_addresses_too(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    path = tmp_path / "rows.jsonl"
    path.write_bytes(GOOD * 4)
    address = f"file://{path}"
    assert spans.parted([address], PLAIN)
    found = list(spans.windows([address], Seen(), 3))
    assert [span.path for window in found for span in window.spans] == [address] * 3
    assert [item for window in rows_of(iter(found)) for item in window] == list(read.read([address]))


def test_a_place_is_that_of_the_window_that_comes_back_and_not_of_what_is_on_its_way(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(GOOD * 10)
    inputs = Inputs([str(path)], window=4)
    found = inputs.read({}).spans()
    assert found is not None
    sent = [next(found) for _ in range(3)]
    assert [inputs.read_for()[0].bytes for _ in sent] == [window[-1].end for window in sent]


def test_a_refused_line_leaves_nothing_behind_for_the_next(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"id": 1.10, bad\n{"text": "a", "w": 0.5}\n')
    assert not any(isinstance(row.fields, Exact) for row in read.read([str(path)]) if isinstance(row, Row))


def test_fifty_levels_can_be_read_and_read_again_with_what_is_added_on_a_level_of_its_own() -> None:
    nested = "[" * 49 + "1" + "]" * 49
    assert isinstance(read.parse(f'{{"n": {nested}}}', "x:1"), Row)
    assert isinstance(read.parse(f'{{"n": {nested}, "scores": {{"a": 1}}, "more": [[]]}}', "x:1"), Row)
    deeper = read.parse(f'{{"n": [{nested}], "scores": {{"a": 1}}}}', "x:1")
    assert isinstance(deeper, Reject)
    assert deeper.reason == "nested too deeply (more than 50 levels)"


def test_a_first_line_behind_many_blanks_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b" " * 70_000 + LINES[0] + b"\n" + LINES[0] + b"\nbad\n")
    wanted = [f"{path}:{number}" for number in (1, 2, 3)]
    assert [item.source for item in read.read([str(path)])] == wanted
    assert [
        item.source for (window, _) in spans.windows([str(path)], Seen(), 9) for item in spans.items_of(window, {})
    ] == wanted


def test_a_path_goes_through_links_as_the_system_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "other" / "deep")
    (tmp_path / "other" / "rows.jsonl").write_bytes(GOOD)
    monkeypatch.chdir(tmp_path)
    ((window, _),) = spans.windows(["link/../rows.jsonl"], Seen(), 10)
    monkeypatch.chdir("/")
    assert [item.source for item in spans.items_of(window, {})] == ["link/../rows.jsonl:1", "link/../rows.jsonl:2"]
