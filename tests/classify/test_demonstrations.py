"""Demonstrations are balanced, drawn by a seed, and never the row itself."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from helpers import fake, template_of, write_rows

from promptshot.classify.demonstrations import Demonstration, Demonstrations, pool_of
from promptshot.cli import run_command
from promptshot.errors import InputError, OptionError, RowError
from promptshot.prompts.task import Task
from promptshot.prompts.verbalizer import Verbalizer
from promptshot.rows.row import Item, Reject, Row
from promptshot.runs import inputs
from promptshot.runs.record import written

KEYS = {"scorer": "causal", "text": "{text} -> {mask}", "separator": "|"}
TEMPLATE = template_of(**KEYS)
VERBALIZER = Verbalizer.parse(
    {"labels": {"sports": {"ball": 1, "game": 2}, "money": "cash", "art": "paint"}, "gold": {"sports": "0"}}, "v"
)
NAMES = ("sports", "money", "art")


TASK = Task(TEMPLATE, VERBALIZER)


def rows(*labels: object) -> list[Row]:
    return [Row({"text": f"text {i}", "label": label}, f"train:{i + 1}", i) for i, label in enumerate(labels)]


def draw(items: Iterable[Item], task: Task, k: int, seed: int) -> Demonstrations:
    return Demonstrations(pool_of(items, task, k), k, seed)


def drawn(labels: Sequence[object], k: int, seed: int = 0) -> Demonstrations:
    return draw(rows(*labels), TASK, k, seed)


def sizes(found: Demonstrations) -> Counter[str]:
    return Counter(demo.label for demo in found.drawn)


# ------------------------------------------------------------------ balance


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("k", [1, 2, 3, 4, 7, 12, 30])
def test_labels_come_as_evenly_as_k_allows(k: int, seed: int) -> None:
    found = sizes(drawn(NAMES * 10, k, seed))
    assert found.total() == k
    assert max(found.values()) - min(found[name] for name in NAMES) <= 1


def test_a_rare_label_gives_what_it_has_and_the_others_fill_up() -> None:
    assert sizes(drawn(["sports"] + ["money"] * 10 + ["art"] * 10, 7)) == {"sports": 1, "money": 3, "art": 3}


def test_a_k_smaller_than_the_labels_takes_different_labels_and_not_always_the_same() -> None:
    found = [frozenset(sizes(drawn(NAMES * 5, 2, seed))) for seed in range(30)]
    assert all(len(labels) == 2 for labels in found)
    assert len(set(found)) == 3


def test_all_rows_can_be_drawn_and_none_twice() -> None:
    found = drawn(NAMES * 2, 6)
    assert len({demo.text for demo in found.drawn}) == 6


# ------------------------------------------------------------------ seeds


def test_the_same_seed_draws_the_same_in_the_same_order() -> None:
    assert drawn(NAMES * 10, 6, 5).drawn == drawn(NAMES * 10, 6, 5).drawn


def test_another_seed_draws_others() -> None:
    assert len({drawn(NAMES * 10, 6, seed).drawn for seed in range(10)}) == 10


def test_the_labels_do_not_always_stand_in_the_same_order() -> None:
    orders = {tuple(demo.label for demo in drawn(NAMES * 10, 3, seed).drawn) for seed in range(40)}
    assert len(orders) == 6


def test_the_labels_do_not_take_turns_where_each_comes_more_than_once() -> None:
    orders = [[demo.label for demo in drawn(NAMES * 10, 6, seed).drawn] for seed in range(20)]
    assert any(order[:3] != order[3:] for order in orders)


# ------------------------------------------------------------------ never the row itself


def test_every_other_row_gets_the_same_demonstrations() -> None:
    found = drawn(NAMES * 10, 6)
    assert found.for_row(("unseen",)) == tuple(demo.text for demo in found.drawn)


def test_a_demonstration_that_is_the_row_gives_way_to_a_spare_of_its_label() -> None:
    found = drawn(NAMES * 10, 6)
    label_of = {f"text {i} -> ": name for i, name in enumerate(NAMES * 10)}
    for place, demo in enumerate(found.drawn):
        texts = found.for_row(demo.values)
        assert demo.text not in texts
        assert [t for i, t in enumerate(texts) if i != place] == [
            d.text for i, d in enumerate(found.drawn) if i != place
        ]
        assert label_of[texts[place][: texts[place].index("-> ") + 3]] == demo.label
        assert len(set(texts)) == 6


def test_where_its_label_has_no_spare_another_label_helps_out() -> None:
    found = drawn(["sports", "money", "money"], 2)
    row = next(demo for demo in found.drawn if demo.label == "sports")
    texts = found.for_row(row.values)
    assert row.text not in texts
    assert len(texts) == 2
    assert all("cash" in text for text in texts)


def test_where_there_is_no_spare_at_all_it_is_left_out() -> None:
    found = drawn(["sports", "money"], 2)
    assert sorted(found.for_row(("text 0",))) == ["", "text 1 -> cash|"]


def test_a_copy_of_the_row_under_another_label_is_the_row_too() -> None:
    pool = [Demonstration("x|", "a", ("x",)), Demonstration("x!|", "a", ("x",)), Demonstration("y|", "b", ("y",))]
    assert set(Demonstrations(pool, 3, 0).for_row(("x",))) == {"", "y|"}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("k", range(1, 9))
def test_every_row_that_is_not_drawn_is_a_spare(k: int, seed: int) -> None:
    labels = ["sports"] * 4 + ["money"] * 3 + ["art"]
    found = drawn(labels, k, seed)
    values = {demo.values for demo in found.drawn}
    spares = {demo.values for rest in found._spares.values() for demo in rest}
    assert not values & spares
    assert len(values | spares) == len(labels)


# What these seeds drew before the last turn's rest became spares.
DRAWN = {
    (4, 0): ["text 0", "text 5", "text 6", "text 7"],
    (5, 1): ["text 7", "text 6", "text 0", "text 4", "text 2"],
    (7, 3): ["text 6", "text 1", "text 2", "text 7", "text 4", "text 3", "text 5"],
}


@pytest.mark.parametrize(("k", "seed"), DRAWN)
def test_a_seed_draws_what_it_always_drew(k: int, seed: int) -> None:
    labels = ["sports"] * 4 + ["money"] * 3 + ["art"]
    assert [demo.values[0] for demo in drawn(labels, k, seed).drawn] == DRAWN[k, seed]


def test_two_twins_of_the_row_give_way_to_two_spares() -> None:
    twins = [Demonstration("x|", "a", ("x",)), Demonstration("x again|", "a", ("x",))]
    spares = [Demonstration("y|", "a", ("y",)), Demonstration("z|", "b", ("z",))]
    found = Demonstrations([*twins, *spares], 4, 0)
    found.drawn, found._spares = tuple(twins), {"a": (spares[0],), "b": (spares[1],)}
    assert found.for_row(("x",)) == ("y|", "z|")
    found._spares = {"a": (), "b": (spares[1], twins[0])}
    assert found.for_row(("x",)) == ("z|", "")
    assert found.for_row(("w",)) == ("x|", "x again|")


# ------------------------------------------------------------------ rows that have fewer

FEW = [{"text": f"text {i}", "label": label} for i, label in enumerate(("good", "bad", "good"))]
SAID = "{n} had fewer than {k} demonstrations: the row itself was among them, and --demos has no other to spare"


def counted(tmp_path: Path, k: int, *more: str) -> dict[str, Any]:
    path = write_rows(tmp_path / "r.jsonl", [*FEW, {"text": "another", "label": "bad"}])
    demos = write_rows(tmp_path / "d.jsonl", FEW)
    shots = ["--demos", demos, "-k", str(k), "--summary", str(tmp_path / "s.json")]
    assert (
        fake(
            path,
            "-t",
            "{text} {mask}",
            "--labels",
            "good,bad",
            "-m",
            "builtin:gpt2",
            *shots,
            *(more or ["--overwrite"]),
        )
        == 0
    )
    found: dict[str, Any] = json.loads((tmp_path / "s.json").read_text())
    return found


def test_rows_with_fewer_demonstrations_are_counted_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert counted(tmp_path, 3)["rows_lacking_demonstrations"] == 3
    assert f"note: {SAID.format(n='3 rows', k=3)}" in capsys.readouterr().err
    assert counted(tmp_path, 2)["rows_lacking_demonstrations"] == 0
    assert "had fewer" not in capsys.readouterr().err


def test_the_count_survives_a_resumed_run_and_a_record_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(inputs, "Inputs", partial(inputs.Inputs, window=2))
    out = tmp_path / "o.jsonl"
    counted(tmp_path, 3, "-o", str(out), "-n", "2")
    capsys.readouterr()
    assert counted(tmp_path, 3, "-o", str(out))["rows_lacking_demonstrations"] == 3
    assert "going on after 2 rows" in capsys.readouterr().err
    assert counted(tmp_path, 3, "-o", str(out))["rows_lacking_demonstrations"] == 3
    assert "all were done before" in capsys.readouterr().err
    record = Path(f"{out}.run.json")
    record.write_text(written(without(without(json.loads(record.read_text()), "lacking"), "checksum")))
    assert counted(tmp_path, 3, "-o", str(out))["rows_lacking_demonstrations"] == 0


def without(value: Any, key: str) -> Any:
    """Plain data without a key, wherever it stands."""
    return {k: without(v, key) for k, v in value.items() if k != key} if isinstance(value, dict) else value


def test_compare_tells_it_of_each_candidate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_rows(tmp_path / "d.jsonl", FEW)
    (tmp_path / "t.yaml").write_text(
        "scorer: causal\ntext: '{text} {mask}'\nverbalizer: {labels: {good: fine, bad: poor}}\n"
    )
    board = str(tmp_path / "b.json")
    shots = ["--demos", path, "-k", "2", "-k", "3", "-o", board]
    assert run_command(["compare", path, "-t", str(tmp_path / "t.yaml"), "--scorer", "fake", *shots]) == 0
    assert SAID.format(n="3 rows", k=3) in capsys.readouterr().err
    found = json.loads(Path(board).read_text())["candidates"]
    assert {one["shots"]: one["rows_lacking_demonstrations"] for one in found} == {2: 0, 3: 3}


# ------------------------------------------------------------------ the file


def test_a_demonstration_shows_the_weightiest_word_of_its_label() -> None:
    texts = {demo.text for demo in drawn(["0", "money", "Art"], 3).drawn}
    assert texts == {"text 0 -> game|", "text 1 -> cash|", "text 2 -> paint|"}


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (
            "food",
            "train:2: a demonstration has the label 'food', which is none of ours; the labels are: sports, money, art",
        ),
        (None, "train:2: a demonstration has no label; the labels are: sports, money, art"),
        ("", "train:2: a demonstration has no label; the labels are: sports, money, art"),
    ],
)
def test_a_row_without_a_known_label_is_an_error_with_its_place(label: object, said: str) -> None:
    with pytest.raises(InputError) as caught:
        drawn(["sports", label, "money"], 1)
    assert str(caught.value) == said


def test_a_row_without_a_label_column_is_an_error_with_its_place() -> None:
    with pytest.raises(InputError, match="train:1: a demonstration has no label"):
        draw([Row({"text": "a"}, "train:1")], TASK, 1, 0)


def test_a_line_that_cannot_be_read_is_an_error_with_its_place() -> None:
    with pytest.raises(InputError, match="train:3: not valid JSON; every demonstration must be a good row"):
        draw([Reject("train:3", "not valid JSON", "{")], TASK, 1, 0)


def test_a_row_without_text_is_an_error_with_its_place() -> None:
    with pytest.raises(RowError, match="train:1: field 'text' is empty"):
        draw([Row({"text": "", "label": "art"}, "train:1")], TASK, 1, 0)


def test_more_than_there_are_is_an_error() -> None:
    with pytest.raises(OptionError, match="5 demonstrations asked for, 3 in the file; lower -k"):
        drawn(NAMES, 5)


def test_two_rows_are_the_same_when_the_fields_of_the_template_are() -> None:
    assert TASK.values(Row({"text": "a", "id": 1})) == TASK.values(Row({"sentence": "a", "id": 2}))
