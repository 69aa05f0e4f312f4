"""Suites of several tasks: what a file may say, what is scored, what stands in the table, and what is left out."""

from __future__ import annotations

import csv
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from helpers import failed, put, put_in, write_rows

from promptshot.cli import run_command
from promptshot.compare.suite import TaskSuite, find, load
from promptshot.errors import InputError

SUITE = """
tasks:
  hotels:
    files: [deep/hotels.jsonl, [part1.jsonl, part2.jsonl], {files: h.csv, map: {text: body}, gold: {positive: [gut]}}]
    templates: [zh-sentiment-mlm, zh-sentiment-nsp]
    more: zh-sentiment-good-mlm
  shops:
    files: shops.jsonl
    map: {text: said}
    templates: [zh-sentiment-mlm, zh-sentiment-nsp]
published:
  - {name: Others, source: a paper, scores: {hotels: 71.5, shops: 60}, average: 65.75}
"""


def rows(count: int, field: str = "text") -> list[dict[str, Any]]:
    return [{field: f"第{i}家", "label": "positive" if i % 3 else "negative"} for i in range(count)]


@pytest.fixture
def suite(tmp_path: Path) -> str:
    write_rows(tmp_path / "part1.jsonl", rows(20))
    write_rows(tmp_path / "part2.jsonl", rows(10))
    write_rows(tmp_path / "shops.jsonl", rows(24, "said"))
    return put_in(tmp_path, "suite.yaml", SUITE)


def compare(suite: str, *arguments: str) -> int:
    return run_command(["compare", "--suite", suite, "--scorer", "fake", *arguments])


def written(suite: str, *arguments: str, code: int = 0) -> dict[str, Any]:
    out = str(Path(suite).with_name("out.json"))
    assert compare(suite, "-o", out, "--overwrite", *arguments) == code
    found: dict[str, Any] = json.loads(Path(out).read_text(encoding="utf-8"))
    return found


def test_the_first_layout_that_is_there_is_read(suite: str, tmp_path: Path) -> None:
    assert written(suite)["tasks"]["hotels"]["rows"] == 30
    put(tmp_path / "part2.jsonl", "").unlink()
    put(tmp_path / "h.csv", "body,label\n很好,gut\n很差,negative\n")
    found = written(suite)["tasks"]["hotels"]
    assert (found["rows"], found["inputs"]) == (2, [str(tmp_path / "h.csv")])
    assert found["candidates"][0]["per_label"]["positive"]["support"] == 1


def test_the_average_is_the_mean_of_the_tasks_and_less_sure_than_none_of_them(suite: str) -> None:
    for line in written(suite)["table"]:
        cells = [(one["accuracy"], *one["accuracy_interval"]) for one in line["tasks"].values()]
        mean = sum(share for share, _, _ in cells) / 2
        below = math.sqrt(sum((share - low) ** 2 for share, low, _ in cells)) / 2
        above = math.sqrt(sum((high - share) ** 2 for share, _, high in cells)) / 2
        assert line["average"] == pytest.approx(mean)
        assert line["average_interval"] == pytest.approx([mean - below, mean + above])
        assert below + above < max(high - low for _, low, high in cells)


def test_a_task_that_is_not_there_is_a_line_and_the_rest_goes_on(
    suite: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(suite).with_name("shops.jsonl").unlink()
    found = written(suite, "--task", "hotels", "--task", "shops", "--task", "hotel", code=3)
    assert [one["task"] for one in found["failed"]] == ["hotel", "shops"]
    assert list(found["tasks"]) == ["hotels"]
    assert all(line["average"] is None for line in found["table"])
    err = capsys.readouterr().err
    assert "left out: hotel: the suite has no such task; did you mean 'hotels'?" in err
    assert "there is no shops.jsonl" in err


def test_nothing_there_is_one_line_with_the_folder_and_the_first_file(
    suite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    said = failed(capsys, "compare", "--suite", suite, "--data", str(tmp_path / "empty"), "--scorer", "fake")
    assert str(tmp_path / "empty") in said
    assert "the first would be deep/hotels.jsonl" in said
    assert "add --data DIR" in failed(capsys, "compare", "--suite", "fewclue", "--scorer", "fake")
    assert "did you mean 'fewclue'?" in failed(capsys, "compare", "--suite", "fewclu", "--scorer", "fake")


def test_all_patterns_show_how_far_they_lie_apart(suite: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert written(suite)["spreads"] == []
    (spread,) = written(suite, "--patterns", "all")["spreads"]
    assert spread["tasks"]["hotels"]["count"] == 2
    assert spread["tasks"]["hotels"]["least"] <= spread["tasks"]["hotels"]["most"]
    assert "patterns of mlm · fake" in capsys.readouterr().err


def test_a_suite_goes_on_from_its_predictions_and_ends_with_the_same(suite: str, tmp_path: Path) -> None:
    def plain(record: Any) -> Any:
        timed = ("seconds", "rows_per_second")
        if isinstance(record, dict):
            return {key: plain(value) for key, value in record.items() if key not in timed}
        return [plain(one) for one in record] if isinstance(record, list) else record

    out, kept = tmp_path / "o.json", tmp_path / "kept"
    assert compare(suite, "--predictions", str(kept), "-o", str(out)) == 0
    whole = plain(json.loads(out.read_text(encoding="utf-8")))
    for path in (kept / "shops").glob("02-*"):
        path.unlink()
    assert compare(suite, "--predictions", str(kept), "-o", str(out)) == 0
    assert plain(json.loads(out.read_text(encoding="utf-8"))) == whole


def test_markdown_and_lines_hold_the_table(suite: str, tmp_path: Path) -> None:
    page, lines = tmp_path / "t.md", tmp_path / "t.jsonl"
    assert compare(suite, "-o", str(page)) == compare(suite, "-o", str(lines)) == 0
    text = page.read_text(encoding="utf-8")
    assert "| accuracy in % (95% interval) | hotels | shops | average |" in text
    assert "| \\[1] Others | 71.5 | 60.0 | 65.75 |" in text
    found = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    assert sorted((one["task"], one["scorer"]) for one in found) == [
        (t, "fake") for t in ("hotels", "shops") for _ in "ab"
    ]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--label-field", "x"), "--label-field is of one set of rows"),
        (("-t", "zh-sentiment-mlm"), "--template is of one set of rows"),
        (("rows.jsonl",), "FILE... is of one set of rows"),
    ],
)
def test_options_of_one_set_of_rows_are_refused(
    suite: str, flags: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in failed(capsys, "compare", "--suite", suite, *flags)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("more:", "mor:", "s.yaml:6: unknown key 'mor'; did you mean 'more'?"),
        ("shops: 60", "shop: 60", "s.yaml:12: no task 'shop'; did you mean 'shops'?"),
        ("shops: 60", "shops: 600", "s.yaml:12: published: must be at most 100"),
        ("  shops:", "  ../shops:", "s.yaml:7: '../shops' cannot be the name of a task"),
        ("zh-sentiment-good-mlm", "zh-sentiment-goo-mlm", "s.yaml:6: no template named"),
        ("gold: {", "golt: {", "unknown key 'golt'; did you mean 'gold'?"),
    ],
)
def test_a_wrong_suite_is_one_line_with_its_place(old: str, new: str, said: str, tmp_path: Path) -> None:
    path = put(tmp_path / "s.yaml", SUITE.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        load(path)
    assert said in str(caught.value)


def test_the_suites_on_the_shelf_can_be_loaded() -> None:
    for path in (Path(__file__).parents[2] / "suites").glob("*.yaml"):
        assert isinstance(load(path), TaskSuite)


PAGE = Path(__file__).parents[2] / "docs" / "suites.md"
BEGIN, END = "<!-- published -->", "<!-- end of published -->"


def published_of(name: str) -> str:
    """The published rows of a suite as the page lists them: checkpoint, command and the figures to expect."""
    found = load(find(name))
    assert isinstance(found, TaskSuite)
    lines = [f"\n### `{name}`\n", "| row | protocol | checkpoint | command | expected |", "|---|---|---|---|---|"]
    for row in found.published:
        scores = ", ".join(f"{task} {said:g}{'*' * (task in row.transductive)}" for task, said in row.scores.items())
        expected = f"**{row.average:g}**: {scores}" if row.average is not None else scores
        command = f"`{row.command}`" if row.command else ""
        checkpoint = row.checkpoint or "-"
        lines.append(f"| {row.name} ({row.source}) | {row.protocol or '-'} | {checkpoint} | {command} | {expected} |")
    return "\n".join(lines) + "\n"


def test_the_page_lists_every_published_row_with_checkpoint_command_and_figures() -> None:
    page, wanted = PAGE.read_text(encoding="utf-8"), "".join(map(published_of, ("fewclue", "english")))
    head, _, rest = page.partition(BEGIN)
    shown, _, tail = rest.partition(END)
    if os.environ.get("PROMPTSHOT_UPDATE_GOLDEN") == "1":
        PAGE.write_text(f"{head}{BEGIN}\n{wanted}{END}{tail}", encoding="utf-8")
    else:
        assert shown == f"\n{wanted}"


def test_a_field_of_map_that_no_template_reads_is_a_line_with_its_place(suite: str) -> None:
    wrong = SUITE.replace("map: {text: said}", "map: {text: said, tittle: head}")
    Path(suite).write_text(wrong, encoding="utf-8")
    with pytest.raises(
        InputError, match=r"suite.yaml:\d+: map: no template of the task reads 'tittle'; there is: text"
    ):
        load(Path(suite))


def shown(capsys: pytest.CaptureFixture[str], suite: str, *arguments: str) -> str:
    """What a comparison without any fault shows."""
    assert compare(suite, *arguments) == 0
    return capsys.readouterr().err


def test_the_main_published_rows_are_shown_and_files_have_all(
    suite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = "  - {name: Nobody, source: a blog, scores: {shops: 12.5}, transductive: [shops], main: true}\n"
    Path(suite).write_text(SUITE + more, encoding="utf-8")
    said = shown(capsys, suite)
    assert ("[1] Others" in said, "[2] Nobody" in said, "12.5*" in said) == (False, True, True)
    assert "1 more published rows: --published all" in said
    said = shown(capsys, suite, "--published", "all")
    assert "[1] Others" in said
    assert "more published rows" not in said
    out = str(tmp_path / "out.md")
    said = shown(capsys, suite, "--published", "none", "-o", out)
    assert not [line for line in ("Nobody", "published rows", "* all rows") if line in said]
    assert "Others" in Path(out).read_text(encoding="utf-8")


def test_only_the_tasks_that_were_ranked_are_marked_in_a_published_row_and_a_line_says_what_that_is(
    suite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = "  - {name: Half, source: a blog, scores: {shops: 13.7, hotels: 41.9}, transductive: [shops]}\n"
    Path(suite).write_text(SUITE + more, encoding="utf-8")
    said = shown(capsys, suite)
    assert ("13.7*" in said, "41.9*" in said, "41.9" in said) == (True, False, True)
    assert "* all rows of the task were ranked together and cut in fixed shares" in said
    Path(suite).write_text(SUITE + more.replace(", transductive: [shops]", ""), encoding="utf-8")
    said = shown(capsys, suite)
    assert ("13.7*" in said, "13.7" in said, "ranked together" in said) == (False, True, False)


def test_a_label_that_is_said_as_a_number_leaves_no_other_number_to_a_label(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SUITE.replace("files: shops.jsonl", "files: shops.jsonl\n    gold: {positive: ['1'], negative: ['2']}")
    write_rows(tmp_path / "part1.jsonl", rows(3))
    write_rows(tmp_path / "part2.jsonl", rows(3))
    spelled = [{"said": row["text"], "label": 1 if row["label"] == "positive" else 2} for row in rows(9)]
    write_rows(tmp_path / "shops.jsonl", spelled)
    found = written(put_in(tmp_path, "suite.yaml", text))
    assert [one["labelled"] for one in found["tasks"]["shops"]["candidates"]] == [9, 9]
    assert "are they counted from" not in capsys.readouterr().err


def test_a_folder_with_something_else_in_it_is_refused(
    suite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_in(tmp_path, "mine/notes.txt", "do not touch")
    assert compare(suite, "--predictions", str(tmp_path / "mine")) == 1
    said = capsys.readouterr().err
    assert "mine: the folder has something besides tasks of the suite; name another folder (it has notes.txt)" in said
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


# ------------------------------------------------------------------ the layouts that people have

PAIRS = (
    "index",
    "promptID",
    "pairID",
    "genre",
    "b1",
    "b2",
    "p1",
    "p2",
    "sentence1",
    "sentence2",
    "label1",
    "gold_label",
)
LAYOUTS = {
    "SST-2/dev.tsv": ["sentence\tlabel", *(f"film {i}, a good one\t{i % 2}" for i in range(8))],
    "ag_news_csv/test.csv": [f'"{i % 4 + 1}","Title {i}","Some ""news"" of day {i}"' for i in range(8)],
    "IMDB Dataset.csv": ["review,sentiment", *(f'"Film, {i}<br />",{("nega", "posi")[i % 2]}tive' for i in range(8))],
    "BoolQ/val.jsonl": [
        json.dumps({"question": f"is {i} even", "passage": "No.", "label": i % 2 == 0}) for i in range(8)
    ],
    "RTE/dev.tsv": ["index\tsentence1\tsentence2\tlabel"]
    + [f"{i}\tA cat sat {i}.\tA cat.\t{('entailment', 'not_entailment')[i % 2]}" for i in range(8)],
    "MNLI/dev_matched.tsv": ["\t".join(PAIRS)]
    + [
        "\t".join(["x"] * 8 + [f"A {i}.", "B.", "x", ("entailment", "neutral", "contradiction")[i % 3]])
        for i in range(9)
    ],
    "dbpedia_csv/test.csv": [f'{i + 1},"Name {i}","What it is, {i}"' for i in range(14)],
    "yahoo_answers_csv/test.csv": [f'"{i + 1}","Why {i}?","","Because {i}"' for i in range(10)],
    "trec.jsonl": [json.dumps({"text": f"Who is {i}?", "label": "HUM"}) for i in range(4)],
}
TASKS = {"sst2": 8, "agnews": 8, "imdb": 8, "boolq": 8, "rte": 8, "mnli": 9, "dbpedia": 14, "yahoo": 10}


def test_the_english_tasks_are_read_in_the_layouts_of_their_own_sites(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, lines in LAYOUTS.items():
        put_in(tmp_path, name, "".join(f"{line}\n" for line in lines))
    out = str(tmp_path / "out.json")
    ask = ["compare", "--suite", "english", "--data", str(tmp_path), "--scorer", "fake", "-o", out]
    assert run_command(ask) == 3  # others are not there
    assert "left out: amazon:" in capsys.readouterr().err
    found = json.loads(Path(out).read_text(encoding="utf-8"))["tasks"]
    for task, count in TASKS.items():
        assert found[task]["rows"] == count, task
        assert {one["labelled"] for one in found[task]["candidates"]} == {count}, task
        assert len(found[task]["candidates"]) == 3, task


def test_thresholds_of_the_dev_rows_decide_pairs_where_that_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = [{"sentence1": f"第{i}家", "sentence2": f"家{i}", "label": str(i % 2)} for i in range(12)]
    (tmp_path / "bustm").mkdir()
    write_rows(tmp_path / "bustm" / "test_public.json", pairs)
    ask = ["compare", "--suite", "fewclue", "--data", str(tmp_path), "--task", "bustm", "--scorer", "fake"]
    assert run_command([*ask, "--dev-thresholds"]) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "left out: bustm: thresholds: " in said
    assert "bustm/dev_0.json, and thresholds need one" in said
    write_rows(tmp_path / "bustm" / "dev_0.json", pairs[:6])
    assert run_command([*ask, "--dev-thresholds"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "+ cut by thresholds that the task's dev rows fix, each row for itself" in said
    assert run_command(ask) == 0
    assert "* all rows of the task were ranked together" in " ".join(capsys.readouterr().err.split())


def test_broken_rows_and_unknown_tasks_are_a_line_each_and_the_rest_goes_on(
    suite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "shops.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"said": "half\n')
    assert compare(suite, "--task", "shops", "--task", "hotel") == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "left out: hotel: the suite has no such task; did you mean 'hotels'?" in said
    assert "shops: 1 row was rejected" in said
    assert "shops.jsonl:25" in said


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_tables_have_a_line_for_each_candidate_of_each_task(suite: str, suffix: str, tmp_path: Path) -> None:
    out = str(tmp_path / f"out.{suffix}")
    assert compare(suite, "-o", out) == 0
    with open(out, encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file, delimiter="," if suffix == "csv" else "\t"))
    head, *body = lines
    assert {len(line) for line in body} == {len(head)}
    cells = [[line[head.index(key)] for key in ("task", "template", "rows", "own")] for line in body]
    assert cells[:2] == [["hotels", f"zh-sentiment-{kind}", "30", "true"] for kind in ("mlm", "nsp")]
    assert [cell[:3] for cell in cells[2:]] == [["shops", f"zh-sentiment-{kind}", "24"] for kind in ("mlm", "nsp")]
