"""Comparisons as a user meets them: the leaderboard, what is written, what a stop leaves behind."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers import A_OR_B, able, read_rows, write_rows
from scipy.stats import binomtest

from promptshot import scorers
from promptshot.classify.prediction import Prediction
from promptshot.cli import run_command
from promptshot.compare import candidates as candidates_module
from promptshot.compare import compare, standings
from promptshot.compare import folder as folder_module
from promptshot.compare.bench import Entry
from promptshot.errors import InputError, OptionError
from promptshot.kinds import KINDS
from promptshot.prompts.task import Names
from promptshot.report.comparison import Watch
from promptshot.rows.read import read
from promptshot.rows.row import Item, Row
from promptshot.scorers.fake import FakeScorer
from promptshot.scoring import ModelOptions, Scored, Scorer

NAMES = ("zh-sentiment-mlm", "zh-sentiment-good-mlm", "zh-sentiment-nsp", "zh-sentiment-causal")
TEMPLATES = [part for name in NAMES for part in ("-t", name)]


@pytest.fixture
def rows(tmp_path: Path) -> str:
    lines = [{"text": f"第{i}条评论", "label": "Positive" if i % 3 else "Negative"} for i in range(60)]
    return write_rows(tmp_path / "rows.jsonl", lines)


def fake(*arguments: str) -> int:
    """Compare with the fake scorer."""
    return run_command(["compare", *arguments, "--scorer", "fake"])


def board(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """The leaderboard as JSON."""
    path = tmp_path / "board.json"
    assert fake(*arguments, "-o", str(path), "--overwrite") == 0
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


# ------------------------------------------------------------------ the leaderboard


def test_rows_that_hold_nothing_known_are_a_note_to_every_candidate(
    rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "board.json"
    code = run_command(["compare", rows, *TEMPLATES[:4], "--scorer", "helpers:Unknowing", "-o", str(out)])
    assert code == 0
    said = f"15 rows hold nothing that the tokenizer knows; the first: {rows}:6\n"
    (line,) = [line for line in capsys.readouterr().err.splitlines(keepends=True) if "nothing that" in line]
    assert line.endswith(f": {said}")
    assert all(name in line for name in NAMES[:2])
    found = json.loads(out.read_text(encoding="utf-8"))["candidates"]
    assert [one["rows_unknown"] for one in found] == [15, 15, 15]  # the ensemble too


def test_every_candidate_comes_to_what_classify_says_of_it(rows: str, tmp_path: Path) -> None:
    found = {line["name"]: line for line in board(tmp_path, rows, *TEMPLATES)["candidates"]}
    summary = tmp_path / "s.json"
    for name in NAMES:
        alone = ["classify", rows, "-t", name, "--scorer", "fake", "-q", "-o", str(tmp_path / f"{name}.jsonl")]
        assert run_command([*alone, "--summary", str(summary), "--overwrite"]) == 0
        said = json.loads(summary.read_text(encoding="utf-8"))
        rates = ("accuracy", "accuracy_interval", "balanced_accuracy", "macro_f1", "matthews")
        for key in (*rates, "confusion", "per_label"):
            assert found[name][key] == said[key], (name, key)


def test_an_ensemble_is_what_classify_makes_of_several_templates(rows: str, tmp_path: Path) -> None:
    (ours,) = [one for one in board(tmp_path, rows, *TEMPLATES)["candidates"] if one["ensemble"]]
    assert ours["ensemble"] == ["zh-sentiment-mlm", "zh-sentiment-good-mlm"]
    summary = str(tmp_path / "s.json")
    several = ["classify", rows, *TEMPLATES[:4], "--scorer", "fake", "-q", "-o", str(tmp_path / "o.jsonl")]
    assert run_command([*several, "--summary", summary]) == 0
    assert ours["confusion"] == json.loads(Path(summary).read_text(encoding="utf-8"))["confusion"]


def test_the_best_stands_first_and_the_others_are_tested_against_it(rows: str, tmp_path: Path) -> None:
    found = board(tmp_path, rows, *TEMPLATES)
    best, *others = found["candidates"]
    assert best["against_best"] is None
    assert [one["accuracy"] for one in others] == sorted((one["accuracy"] for one in others), reverse=True)
    assert best["accuracy"] >= others[0]["accuracy"]
    for one in others:
        test = one["against_best"]
        discordant = test["only_best"] + test["only_this"]
        assert test["p"] == pytest.approx(binomtest(test["only_best"], discordant).pvalue)
        assert test["p"] <= test["p_holm"] <= 1
        assert test["difference"] == pytest.approx(one["accuracy"] - best["accuracy"])
        assert test["difference_interval"][0] <= test["difference"] <= test["difference_interval"][1]
        assert test["rows"] == 60


def test_the_spread_is_over_templates_of_one_scorer_and_model(rows: str, tmp_path: Path) -> None:
    found = board(tmp_path, rows, *TEMPLATES)
    accuracy = {one["name"]: one["accuracy"] for one in found["candidates"]}
    (spread,) = found["spreads"]
    assert spread["candidates"] == 2
    assert spread["spread"] == pytest.approx(abs(accuracy[NAMES[0]] - accuracy[NAMES[1]]))
    assert spread["worst_accuracy"] == min(accuracy[NAMES[0]], accuracy[NAMES[1]])


def test_the_record_says_what_was_compared_on_what(rows: str, tmp_path: Path) -> None:
    found = board(tmp_path, rows, *TEMPLATES)
    assert (found["rows"], found["complete"], found["inputs"], found["seed"]) == (60, True, [rows], 0)
    assert found["versions"]["promptshot"]
    assert found["candidates"][0]["recipe"]["template"]["name"] in found["candidates"][0]["template"]
    same, other = board(tmp_path, rows, "-t", NAMES[0]), board(tmp_path, rows, "-t", NAMES[0], "-n", "59")
    assert found["data"] == same["data"] != other["data"]


def test_lines_and_tables_hold_a_candidate_each(rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fake(rows, *TEMPLATES, "-q", "-o", "-") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 5
    assert all(line["data"] and line["versions"] for line in lines)
    assert fake(rows, *TEMPLATES, "-q", "-o", str(tmp_path / "b.csv")) == 0
    with open(tmp_path / "b.csv", encoding="utf-8", newline="") as stream:
        assert [row["name"] for row in csv.DictReader(stream)] == [line["name"] for line in lines]


def test_people_see_the_leaderboard_on_stderr(rows: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert fake(rows, *TEMPLATES) == 0
    out, err = capsys.readouterr()
    assert out == ""
    for expected in ("4 candidates and 1 ensemble · 60 rows · majority class 66.7%", "1 of 4 zh-sentiment-mlm: ",
                     "95% interval", "over candidates of", "Holm-corrected", "--search chooses"):  # fmt: skip
        assert expected in err, expected
    assert re.search(r"^ensemble of 2 mlm +\d+\.\d%", err, re.MULTILINE)


def test_without_templates_the_whole_shelf_that_fits_is_compared(rows: str, tmp_path: Path) -> None:
    found = [one for one in board(tmp_path, rows)["candidates"] if not one["ensemble"]]
    assert set(NAMES) <= {one["name"] for one in found}
    assert {one["recipe"]["template"]["scorer"] for one in found} == {*KINDS}
    assert all(set(one["recipe"]["verbalizer"]["labels"]) == {"positive", "negative"} for one in found)


def test_shots_are_candidates_of_their_own(rows: str, tmp_path: Path) -> None:
    found = board(tmp_path, rows, "-t", NAMES[3], "-k", "0", "-k", "2", "--demos", rows)
    assert {one["name"]: one["shots"] for one in found["candidates"]} == {f"{NAMES[3]} k={k}": k for k in (0, 2)}


def test_pairs_that_are_ranked_have_a_line_and_no_part_in_an_ensemble(tmp_path: Path) -> None:
    lines = [{"sentence1": f"甲{i}", "sentence2": f"乙{i}", "label": "01"[i % 2]} for i in range(30)]
    found = board(tmp_path, write_rows(tmp_path / "p.jsonl", lines), "-t", "zh-same-nsp", "-t", "zh-same-mlm")
    ranked = next(one for one in found["candidates"] if one["name"] == "zh-same-nsp")
    assert ranked["transductive"]
    assert sorted(ranked["predictions"].values()) == [15, 15]
    assert not any(one["ensemble"] for one in found["candidates"])


# ------------------------------------------------------------------ shared work


def loads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """From here on every loading of a scorer is noted; the fake one is loaded."""
    noted: list[tuple[str, str]] = []

    def load(name: str, options: ModelOptions, *_: object) -> Scorer:
        noted.append((name, options.model))
        return FakeScorer(options)

    monkeypatch.setattr(scorers, "load", load)
    return noted


def test_every_model_is_loaded_once_for_each_kind_of_scorer(rows: str, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = loads(monkeypatch)
    mixed = ["-t", NAMES[0], "-t", NAMES[2], "-t", NAMES[1]]
    assert run_command(["compare", rows, *mixed, "-m", "hub/one", "-m", "hub/two", "-q"]) == 0
    assert sorted(noted) == [("mlm", "hub/one"), ("mlm", "hub/two"), ("nsp", "hub/one"), ("nsp", "hub/two")]


def test_a_search_loads_every_model_once_too(rows: str, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = loads(monkeypatch)
    assert run_command(["compare", rows, *TEMPLATES, "--search", "-q"]) == 0
    assert sorted(noted) == [("causal", ""), ("mlm", ""), ("nsp", "")]


# ------------------------------------------------------------------ what goes wrong


class Picky(FakeScorer):
    """Cannot score a row with a 7 in it where the template begins with the text."""

    def score(self, prompts: Sequence[Any]) -> list[Scored]:
        scored = super().score(prompts)
        first = [prompt.text("")[:1] == "第" and "7" in prompt.text("") for prompt in prompts]
        return [Scored(error="no 7") if bad else one for bad, one in zip(first, scored, strict=True)]


def test_the_tests_use_the_rows_that_both_scored_and_say_how_many(
    rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "b.json"
    templates = ["-t", "zh-sentiment-mlm", "-t", "zh-sentiment-suffix-mlm"]
    code = run_command(["compare", rows, *templates, "--scorer", "test_compare:Picky", "-o", str(out)])
    assert code == 3
    found = json.loads(out.read_text(encoding="utf-8"))["candidates"]
    rejected = {one["name"]: one["rejected"] for one in found}
    assert rejected["zh-sentiment-mlm"] == 0
    assert rejected["zh-sentiment-suffix-mlm"] == rejected["ensemble of 2 mlm"] == 6
    assert {one["against_best"]["rows"] for one in found[1:]} == {54}
    assert "2 of the tests use fewer than all rows, the least 54 of 60" in capsys.readouterr().err


def test_rejected_rows_are_told_with_the_flag_that_keeps_them_or_the_file_that_has_them(
    rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compare", rows, "-t", "zh-sentiment-mlm", "-t", "zh-sentiment-suffix-mlm"]
    arguments += ["--scorer", "test_compare:Picky"]
    assert run_command(arguments) == 3
    assert "keep them with --predictions DIR" in capsys.readouterr().err
    assert run_command([*arguments, "--predictions", str(tmp_path / "kept")]) == 3
    (rejects,) = (path for path in (tmp_path / "kept").glob("*suffix-mlm*.rejects.jsonl"))
    assert f"see {rejects}" in capsys.readouterr().err


def test_a_model_that_cannot_be_loaded_costs_its_candidates_and_no_others(
    rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "b.json"
    arguments = ["-t", "zh-sentiment-mlm", "-m", str(tmp_path / "nothing"), "-o", str(out)]
    assert run_command(["compare", rows, *arguments]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not out.exists()


def test_one_failed_candidate_is_told_and_makes_the_exit_code_3(
    rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from promptshot.errors import ModelError

    def load(name: str, options: ModelOptions, *_: object) -> Scorer:
        if name == "nsp":
            raise ModelError("no NSP head", where="hub/one")
        return FakeScorer(options)

    monkeypatch.setattr(scorers, "load", load)
    out = tmp_path / "b.json"
    assert run_command(["compare", rows, *TEMPLATES, "-o", str(out)]) == 3
    assert "left out: zh-sentiment-nsp: hub/one: no NSP head" in capsys.readouterr().err
    said = json.loads(out.read_text(encoding="utf-8"))
    assert said["failed"] == [{"name": "zh-sentiment-nsp", "reason": "hub/one: no NSP head"}]
    assert len(said["candidates"]) == 4


class Stopped(FakeScorer):
    """Somebody presses Ctrl-C while the causal template is scored."""

    def score(self, prompts: Sequence[Any]) -> list[Scored]:
        if "总的来说" in prompts[0].text(""):
            raise KeyboardInterrupt
        return super().score(prompts)


def test_a_stop_in_the_middle_tells_and_writes_what_is_known(
    rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, folder = tmp_path / "b.json", tmp_path / "predictions"
    more = ["--scorer", "test_compare:Stopped", "-o", str(out), "--predictions", str(folder)]
    assert run_command(["compare", rows, *TEMPLATES, *more]) == 130
    err = capsys.readouterr().err
    assert "3 of 4 candidates and 1 ensemble, then it was stopped" in err
    assert err.splitlines()[-1] == "interrupted"
    said = json.loads(out.read_text(encoding="utf-8"))
    assert not said["complete"]
    assert len(said["candidates"]) == 4
    assert len(list(folder.glob("*.jsonl"))) == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-t", "zh-news-mlm"), "zh-news-mlm: no label fits the rows' own labels (Negative, Positive)"),
        (("-t", NAMES[0], "-k", "2"), "-k needs rows to draw from; add --demos FILE"),
        (
            ("-t", "zh-sentiment-nsp", "-k", "2", "--demos", "ROWS"),
            "demonstrations are for scorer mlm or causal, and no template is",
        ),
        (("-t", NAMES[0], "--dev", "ROWS"), "--dev names the rows to choose on; add --search"),
        (("--verbalizer", "zh-good-bad",), "--verbalizer gives label words to templates; name templates"),
        (("-t", NAMES[0], "-o", "ROWS"), "this is the input; write to another file"),
        (("-t", "zh-sentimentmlm"), "did you mean 'zh-sentiment-mlm'?"),
        (("--label-field", "none"), "no column 'none' for field 'label'; the row has: text, label"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_one_line_before_anything_is_loaded(
    arguments: tuple[str, ...],
    said: str,
    rows: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    noted = loads(monkeypatch)
    assert run_command(["compare", rows, *(rows if one == "ROWS" else one for one in arguments)]) == 1
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert noted == []


def test_existing_files_are_left_alone(rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, folder = tmp_path / "b.json", tmp_path / "f"
    out.write_text("mine")
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    assert fake(rows, *TEMPLATES, "-o", str(out)) == 1
    assert "b.json: exists already; use --overwrite" in capsys.readouterr().err
    assert fake(rows, *TEMPLATES, "--predictions", str(folder)) == 1
    assert "f: the folder is not empty; use --overwrite" in capsys.readouterr().err
    assert fake(rows, *TEMPLATES, "--predictions", str(folder), "-o", str(out), "--overwrite", "-q") == 0
    assert out.read_text() != "mine"
    assert (folder / "mine.txt").read_text() == "mine"


# ------------------------------------------------------------------ predictions, suites, search


def test_predictions_are_the_files_that_classify_writes(rows: str, tmp_path: Path) -> None:
    folder, alone = tmp_path / "predictions", tmp_path / "alone.jsonl"
    assert fake(rows, *TEMPLATES, "--predictions", str(folder), "-q") == 0
    assert run_command(["classify", rows, "-t", NAMES[0], "--scorer", "fake", "-o", str(alone), "-q"]) == 0
    assert (folder / "01-zh-sentiment-mlm.jsonl").read_bytes() == alone.read_bytes()
    record = json.loads((folder / "03-ensemble-of-2-mlm.jsonl.run.json").read_text(encoding="utf-8"))
    assert record["label_order"] == ["positive", "negative"]
    assert record["recipe"]["ensemble"]


def test_names_of_inline_templates_make_harmless_file_names(rows: str, tmp_path: Path) -> None:
    folder = tmp_path / "predictions"
    templates = ["-t", "{mask}/../../好，{text}", "--verbalizer", "zh-good-bad"]
    assert fake(rows, *templates, "--predictions", str(folder), "-q") == 0
    assert sorted(path.name for path in folder.glob("*.jsonl")) == ["01-mask-..-..-好-text.jsonl"]


def test_a_suite_is_the_same_as_its_options(rows: str, tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        "data: [rows.jsonl]\ntemplates: [zh-sentiment-mlm, zh-sentiment-causal]\nshots: [0, 2]\ndemos: rows.jsonl\n"
        "limit: 40\nseed: 5\n"
    )
    said = board(tmp_path, "--suite", str(suite))
    more = ["-k", "0", "-k", "2", "--demos", rows, "-n", "40", "--seed", "5"]
    same = board(tmp_path, rows, "-t", NAMES[0], "-t", NAMES[3], *more)
    for record in (said, same):
        for one in record["candidates"]:
            one["seconds"] = one["rows_per_second"] = 0
    assert said == same
    assert board(tmp_path, "--suite", str(suite), "-n", "10")["rows"] == 10


def test_a_search_says_which_rows_chose_and_which_judged(
    rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = board(tmp_path, rows, *TEMPLATES, "--search", "--seed", "2")
    search = found["search"]
    assert not set(search["choosing"]) & set(search["judging"])
    assert len(search["choosing"]) == found["rows"] == len(search["judging"]) == 30
    assert found["candidates"][0]["name"] == found["chosen"] == search["rounds"][-1]["kept"][0]
    assert len([one for one in found["candidates"] if not one["ensemble"]]) == 2
    err = capsys.readouterr().err
    assert "30 rows chose (half of the rows, drawn with seed 2)" in err
    assert "30 other rows judge" in err
    assert f"chosen: {found['chosen']}" in err


class Spy(FakeScorer):
    """Notes every row that is scored."""

    seen: list[str] = []  # noqa: RUF012

    def score(self, prompts: Sequence[Any]) -> list[Scored]:
        self.seen.extend(prompt.text("") for prompt in prompts)
        return super().score(prompts)


def test_what_is_chosen_does_not_depend_on_the_rows_that_judge(rows: str, tmp_path: Path) -> None:
    dev = write_rows(
        tmp_path / "d.jsonl", [{"text": f"样{i}", "label": ("Positive", "Negative")[i % 2]} for i in range(40)]
    )
    flipped = [{**row, "label": "Negative" if row["label"] == "Positive" else "Positive"} for row in read_rows(rows)]
    other = write_rows(tmp_path / "flipped.jsonl", flipped)
    one, two = (board(tmp_path, data, "--search", "--dev", dev) for data in (rows, other))
    assert one["chosen"] == two["chosen"]
    assert one["search"]["rounds"] == two["search"]["rounds"]
    assert one["candidates"][0]["accuracy"] == pytest.approx(1 - two["candidates"][0]["accuracy"])
    assert one["rows"] == 60
    Spy.seen.clear()
    assert (
        run_command(["compare", rows, *TEMPLATES, "--search", "--dev", dev, "--scorer", "test_compare:Spy", "-q"]) == 0
    )
    assert sum("条评论" in text for text in Spy.seen) == 2 * 60  # the finalists only


class StoppedLate(FakeScorer):
    """Somebody presses Ctrl-C when the judging begins."""

    def score(self, prompts: Sequence[Any]) -> list[Scored]:
        if "条评论" in prompts[0].text(""):
            raise KeyboardInterrupt
        return super().score(prompts)


def test_a_search_that_is_stopped_before_the_judging_tells_who_was_chosen(
    rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dev = write_rows(
        tmp_path / "d.jsonl", [{"text": f"样{i}", "label": ("Positive", "Negative")[i % 2]} for i in range(40)]
    )
    more = ["--search", "--dev", dev, "--scorer", "test_compare:StoppedLate"]
    assert run_command(["compare", rows, *TEMPLATES, *more]) == 130
    err = capsys.readouterr().err
    assert re.search(r"^2 +40 +2 ", err, re.MULTILINE)
    assert "chosen: zh-sentiment-" in err
    assert "majority class" not in err


def test_rows_of_the_dev_file_do_not_judge(rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dev = write_rows(tmp_path / "d.jsonl", read_rows(rows)[:15])
    assert board(tmp_path, rows, *TEMPLATES, "--search", "--dev", dev)["rows"] == 45
    assert "45 other rows judge (15 are left out, for they say what a choosing row says)" in capsys.readouterr().err


# ------------------------------------------------------------------ real models, and the terminal


@pytest.mark.torch
def test_the_built_in_models_are_compared(tmp_path: Path) -> None:
    out = tmp_path / "b.json"
    rows = str(Path(__file__).parents[2] / "examples" / "zh-reviews.jsonl")
    assert run_command(["compare", rows, *TEMPLATES, "-n", "6", "-o", str(out), "-q"]) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    assert {one["model"] for one in found["candidates"]} == {"builtin:bert", "builtin:gpt2"}
    assert all(one["machine"]["device"] for one in found["candidates"])


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal(
    width: int, rows: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.cells import cell_len
    from rich.text import Text

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    assert fake(rows, *TEMPLATES, "-t", "{mask}好。这是一个很长的模板名字，看看表格怎么办：{text}") == 0
    assert fake(rows, *TEMPLATES, "--search") == 0
    err = capsys.readouterr().err
    assert "\x1b[" in err
    assert max(cell_len(Text.from_ansi(line).plain.rstrip()) for line in err.splitlines()) <= width


def test_escape_sequences_in_names_and_labels_never_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [{"text": "a\x1b[31m", "label": f"\x1b]0;{i % 2}\x07"} for i in range(6)]
    path = write_rows(tmp_path / "r.jsonl", lines)
    folder = tmp_path / "p"
    assert fake(path, "-t", "\u202e\x1b[1m{mask}{text}", "-t", "{text}{mask}", "--predictions", str(folder)) == 0
    assert run_command(["diff", *sorted(map(str, folder.glob("*.jsonl")))[:2]]) == 0
    out, err = capsys.readouterr()
    for sign in ("\x1b", "\x07", "\u202e"):
        assert sign not in out + err


def test_the_bar_tells_which_candidate_of_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    told: list[str] = []
    with Watch(7) as watch:
        assert watch._bar is not None
        update = watch._bar.update
        monkeypatch.setattr(
            watch._bar, "update", lambda *a, **k: (told.append(k.get("description", "")), update(*a, **k))
        )
        watch.started(replace(able(1)[0], name="zh-sentiment-mlm"), 10)
        watch.advance(4)
    assert told[0] == "1 of 7 zh-sentiment-mlm"
    assert watch._bar.tasks[0].completed == 4


def entry(name: str, predictions: str) -> Entry:
    """A candidate that predicts these letters on rows whose gold is "aabb"."""
    candidate = replace(able(1)[0], name=name)
    found = [
        Prediction(Row({}, "", i), said, {"a": 0.0, "b": 0.0}, {}, None, gold)
        for i, (said, gold) in enumerate(zip(predictions, "aabb", strict=True))
        if said in A_OR_B.names
    ]
    return Entry.of(candidate, found, 0.0, {})


def test_lines_are_ranked_by_accuracy_then_f1_then_as_named_but_the_chosen_one_is_first() -> None:
    found = standings.Comparison(4, "")
    found.entries = [entry("1", "aaaa"), entry("2", "abab"), entry("3", "baba"), entry("4", "bbaa"), entry("5", "aabb")]
    assert [line.entry.candidate.name for line in found.standings()] == ["5", "2", "3", "1", "4"]
    found.chosen = "4"
    assert [line.entry.candidate.name for line in found.standings()] == ["4", "5", "2", "3", "1"]


def test_nothing_known_is_an_empty_leaderboard() -> None:
    assert standings.Comparison(0, "").standings() == []


def test_bad_rows_at_the_start_however_many_are_left_out_and_the_others_compared(tmp_path: Path) -> None:
    bad = [{"text": "", "label": "positive"}] * 1100
    good = [{"text": f"第{i}条", "label": ("positive", "negative")[i % 2]} for i in range(10)]
    path, out = write_rows(tmp_path / "rows.jsonl", [*bad, *good]), tmp_path / "b.jsonl"
    assert run_command(["compare", path, *TEMPLATES, "--scorer", "fake", "-q", "-o", str(out)]) == 3
    assert {(one["labelled"], one["rejected"]) for one in read_rows(out)} == {(10, 1100)}
    assert run_command(["compare", write_rows(tmp_path / "one.jsonl", bad[:1]), *TEMPLATES, "--scorer", "fake"]) == 1


# ------------------------------------------------------------------ from Python


def labelled(count: int) -> list[Item]:
    return [
        Row({"comment": f"{i}号房间{'很好' if i % 2 else '不行'}", "stars": "负正"[i % 2]}, f"memory:{i + 1}", i)
        for i in range(count)
    ]


AXES = candidates_module.Axes(scorer="fake", names=Names("comment", "stars"))
WORDS = {"正": ["好"], "负": ["差"]}


def test_a_comparison_takes_few_lines_of_python_and_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    rows = labelled(30)
    candidates, lines = candidates_module.candidates(
        rows, ["{mask}。{text}", "{text}真{mask}"], labels=WORDS, axes=AXES
    )
    found = compare.compare(compare.Plan(candidates, rows, inputs=["memory"]))
    assert [one.entry.candidate.name for one in found.standings() if not one.entry.candidate.members] == sorted(
        ["{mask}。{text}", "{text}真{mask}"], key=lambda name: -_accuracy(found, name)
    )
    assert found.complete
    assert (found.rows, found.record([])["inputs"], found.record([])["search"]) == (30, ["memory"], None)
    assert lines == []  # both columns were named
    assert capfd.readouterr() == ("", "")


def _accuracy(found: standings.Comparison, name: str) -> float:
    return next(entry.accuracy for entry in found.entries if entry.candidate.name == name)


def test_what_python_compares_is_what_the_command_line_compares(rows: str, tmp_path: Path) -> None:
    items = list(read([rows]))
    candidates, lines = candidates_module.candidates(items, NAMES[:3], axes=candidates_module.Axes(scorer="fake"))
    found = compare.compare(compare.Plan(candidates, items, search=True, seed=4, inputs=[rows]))
    ours = json.loads(json.dumps(found.record(found.standings())))
    said = board(tmp_path, rows, *TEMPLATES[:6], "--search", "--seed", "4")
    for record in (ours, said):
        for one in record["candidates"]:
            one["seconds"] = one["rows_per_second"] = 0
    assert ours == said
    assert lines == []


def test_candidates_of_the_shelf_are_told_and_so_are_the_columns_that_were_guessed(rows: str) -> None:
    items = [Row({"评论": row["text"], "label": row["label"]}, "m", i) for i, row in enumerate(read_rows(rows))]
    candidates, lines = candidates_module.candidates(items, axes=candidates_module.Axes(scorer="fake"))
    assert {NAMES[0], NAMES[2]} <= {one.name for one in candidates}
    assert lines[0].endswith("templates of the shelf fit the rows' labels: Negative, Positive")
    assert lines[1].startswith("columns: text is '评论'")
    assert {one.recipe.guessed["text"] for one in candidates} == {"评论"}


class Kept(compare.Watcher):
    """Keeps what it is told."""

    def began(self, comparison: standings.Comparison, turns: int) -> None:
        self.comparison, self.turns = comparison, turns


def test_a_watcher_has_what_is_known_when_a_comparison_is_stopped(rows: str, tmp_path: Path) -> None:
    items, watcher = list(read([rows])), Kept()
    candidates, _ = candidates_module.candidates(
        items, NAMES, axes=candidates_module.Axes(scorer="test_compare:Stopped")
    )
    with folder_module.Folder(tmp_path / "kept") as folder, pytest.raises(KeyboardInterrupt):
        compare.compare(compare.Plan(candidates, items, folder=folder), watcher)
    assert watcher.turns == 4
    assert [entry.candidate.name for entry in watcher.comparison.entries] == [*NAMES[:2], "ensemble of 2 mlm", NAMES[2]]
    assert not watcher.comparison.complete
    assert len(list((tmp_path / "kept").glob("*.jsonl"))) == 4
    with folder_module.Folder(tmp_path / "kept", overwrite=True):  # the lock is gone
        pass


def test_rows_that_a_search_chooses_on_are_checked_too(rows: str) -> None:
    items = list(read([rows]))
    candidates, _ = candidates_module.candidates(items, NAMES[:2], axes=candidates_module.Axes(scorer="fake"))
    dev = [Row({"text": "好"}, "dev:1")]
    with pytest.raises(InputError, match="dev:1: a comparison needs labelled rows"):
        compare.compare(compare.Plan(candidates, items, search=True, dev=iter(dev)))


def test_axes_that_do_not_go_together_are_refused_before_anything_is_scored(rows: str) -> None:
    items = list(read([rows]))
    with pytest.raises(OptionError, match="demonstrations are for scorer mlm or causal, and no template is"):
        candidates_module.candidates(items, ["zh-sentiment-nsp"], axes=candidates_module.Axes(shots=[3], demos=rows))
    with pytest.raises(OptionError, match="no such field"):
        candidates_module.candidates(
            items, NAMES[:1], axes=candidates_module.Axes(names=Names(fields={"title": "text"}))
        )
    causal, _ = candidates_module.candidates(
        items, NAMES[3:], axes=candidates_module.Axes(shots=[2, 0, 2], demos=rows, scorer="fake")
    )
    assert [one.shots for one in causal] == [2, 0]
