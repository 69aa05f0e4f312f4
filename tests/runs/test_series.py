"""Several runs over the same rows, one behind the other in one file: other numbers and draws of demonstrations."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers import failed, fake, read_rows, write_rows

from promptshot.classify import demonstrations
from promptshot.classify.recipe import DemoPlan, Recipe
from promptshot.cli import run_command
from promptshot.errors import InputError, OptionError
from promptshot.metrics import Tally
from promptshot.prompts import library
from promptshot.rows.once import kept
from promptshot.runs.inputs import Inputs
from promptshot.runs.outputs import Outputs
from promptshot.runs.predictions import count
from promptshot.runs.run import Watcher, run, run_all
from promptshot.runs.series import Draw, Series, averaged, pooled, spreads

ROWS, WINDOW = 20, 8
DRAWS = [(0, None), (2, 3), (2, 4), (4, 3), (4, 4)]


class StopAfter(Watcher):
    """Presses Ctrl-C once so many rows have been written in all."""

    def __init__(self, rows: int) -> None:
        self.rows, self.kept = rows, 0

    def counted(self, rows: int, tally: Tally) -> None:
        if rows >= self.rows:
            raise KeyboardInterrupt

    def stopped(self, journal: Any) -> None:
        self.kept = journal.kept


@pytest.fixture
def pool(tmp_path: Path) -> str:
    lines = [{"text": f"例子{n}", "label": ("positive", "negative")[n % 2]} for n in range(12)]
    return write_rows(tmp_path / "pool.jsonl", lines)


@pytest.fixture
def rows(tmp_path: Path) -> str:
    lines = [{"text": f"第{n}条", "label": ("positive", "negative")[n % 3 == 0], "id": n} for n in range(ROWS)]
    path = Path(write_rows(tmp_path / "in.jsonl", lines))
    broken = path.read_text(encoding="utf-8").splitlines()
    broken[5] = "{broken"
    path.write_text("\n".join(broken) + "\n", encoding="utf-8")
    return str(path)


def recipes_of(pool: str, shots: Sequence[int] = (0, 2, 4), seeds: Sequence[int] = (3, 4)) -> list[Recipe]:
    template = library.template("zh-sentiment-causal")
    found = Recipe.of(template, library.verbalizer_of(template), "fake", demos=DemoPlan(pool, 4))
    return found.drawn(shots, seeds)


def score(rows: str, pool: str, out: Path, watcher: Watcher | None = None, **said: Any) -> Series:
    recipes = said.pop("recipes", None) or recipes_of(pool)
    outputs = Outputs(str(out), summary=f"{out}.summary", **said)
    return run_all(recipes, Inputs([rows], window=WINDOW), outputs, watcher)


def left(out: Path) -> dict[str, Any]:
    """All that a run leaves, without its timings."""
    summary = json.loads(Path(f"{out}.summary").read_text(encoding="utf-8"))
    for one in (summary, *summary["runs"]):
        del one["seconds"], one["rows_per_second"]
    return {"out": out.read_bytes(), "rejects": Path(f"{out}.rejects.jsonl").read_bytes(), "summary": summary}


# ------------------------------------------------------------------ what they are


def test_no_demonstrations_are_drawn_once_and_every_other_number_with_each_seed(pool: str) -> None:
    assert [(one.shots, one.demo_seed) for one in recipes_of(pool)] == DRAWS


def test_each_row_says_of_which_run_it_is(rows: str, pool: str, tmp_path: Path) -> None:
    score(rows, pool, tmp_path / "out.jsonl")
    found = read_rows(tmp_path / "out.jsonl")
    runs = [(one["shots"], one["demo_seed"]) for one in found]
    assert runs == [draw for draw in DRAWS for _ in range(ROWS - 1)]
    assert [one["id"] for one in found[: ROWS - 1]] == [n for n in range(ROWS) if n != 5]


@pytest.mark.parametrize("number", range(len(DRAWS)))
def test_each_run_says_what_it_says_alone(rows: str, pool: str, tmp_path: Path, number: int) -> None:
    series = score(rows, pool, tmp_path / "out.jsonl")
    alone = run(recipes_of(pool)[number], Inputs([rows], window=WINDOW), Outputs(str(tmp_path / "alone.jsonl")))
    mine = read_rows(tmp_path / "out.jsonl")[number * (ROWS - 1) : (number + 1) * (ROWS - 1)]
    stripped = [{key: value for key, value in one.items() if key not in ("shots", "demo_seed")} for one in mine]
    assert stripped == read_rows(tmp_path / "alone.jsonl")
    assert series.results[number].tally == alone.tally


def test_the_summary_has_the_mean_over_the_draws_of_the_most_demonstrations(
    rows: str, pool: str, tmp_path: Path
) -> None:
    series = score(rows, pool, tmp_path / "out.jsonl")
    summary = json.loads(Path(f"{tmp_path / 'out.jsonl'}.summary").read_text(encoding="utf-8"))
    alone = [result.summary() for result in series.results]
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "matthews"):
        assert summary[name] == pytest.approx(statistics.fmean(one[name] for one in alone[3:]))
        assert [one[name] for one in summary["runs"]] == [one[name] for one in alone]
    assert [(one["shots"], one["demo_seed"]) for one in summary["runs"]] == DRAWS
    assert [one["draws"] for one in summary["shots"]] == [1, 2, 2]
    assert summary["shots"][1]["sd"] == pytest.approx(statistics.stdev(one["accuracy"] for one in alone[1:3]))


def test_more_draws_of_the_same_rows_make_the_interval_no_narrower() -> None:
    tally = Tally(("a", "b"))
    for n in range(40):
        tally.add("a" if n % 4 else "b", "a")
    together = pooled([Draw(8, seed, tally) for seed in range(5)])
    assert together.labelled == 200
    assert together.interval == pytest.approx(tally.interval)
    assert averaged([tally] * 5)["macro_f1"] == pytest.approx(tally.macro_f1)
    assert tally.labelled == 40  # and is not counted on


def test_spreads_are_of_the_draws_of_each_number() -> None:
    def fared(right: int) -> Tally:
        tally = Tally(("a", "b"))
        for n in range(10):
            tally.add("a" if n < right else "b", "a")
        return tally

    found = spreads([Draw(0, None, fared(7)), Draw(4, 0, fared(5)), Draw(4, 1, fared(9))])
    assert [one.record() for one in found] == [
        {"shots": 0, "draws": 1, "mean": 0.7, "sd": None, "min": 0.7, "max": 0.7},
        {"shots": 4, "draws": 2, "mean": 0.7, "sd": pytest.approx(0.282842712), "min": 0.5, "max": 0.9},
    ]


# ------------------------------------------------------------------ going on


@pytest.mark.parametrize("after", [8, 20, 28, 40, 61, 80, 96])
def test_a_series_that_is_stopped_goes_on_to_the_same_bytes(rows: str, pool: str, tmp_path: Path, after: int) -> None:
    score(rows, pool, tmp_path / "whole.jsonl")
    watcher = StopAfter(after)
    with pytest.raises(KeyboardInterrupt):
        score(rows, pool, tmp_path / "out.jsonl", watcher)
    assert watcher.kept >= after - WINDOW
    series = score(rows, pool, tmp_path / "out.jsonl")
    one, other = left(tmp_path / "out.jsonl"), left(tmp_path / "whole.jsonl")
    assert one == other
    assert [(result.recipe.shots, result.recipe.demo_seed) for result in series.results] == DRAWS


def test_a_series_can_be_stopped_again_and_again(rows: str, pool: str, tmp_path: Path) -> None:
    score(rows, pool, tmp_path / "whole.jsonl")
    for after in range(8, 100, 12):
        with pytest.raises(KeyboardInterrupt):
            score(rows, pool, tmp_path / "out.jsonl", StopAfter(after))
    score(rows, pool, tmp_path / "out.jsonl")
    assert left(tmp_path / "out.jsonl") == left(tmp_path / "whole.jsonl")


def test_a_finished_series_is_told_again_without_scoring(rows: str, pool: str, tmp_path: Path) -> None:
    first, before = score(rows, pool, tmp_path / "out.jsonl"), left(tmp_path / "out.jsonl")
    again = score(rows, pool, tmp_path / "out.jsonl", StopAfter(0))
    assert [result.tally for result in again.results] == [result.tally for result in first.results]
    assert left(tmp_path / "out.jsonl") == before


def test_other_numbers_of_demonstrations_are_another_series(rows: str, pool: str, tmp_path: Path) -> None:
    score(rows, pool, tmp_path / "out.jsonl")
    with pytest.raises(InputError, match=r"differs in .*runs"):
        score(rows, pool, tmp_path / "out.jsonl", recipes=recipes_of(pool, (0, 4)))


def test_rows_that_changed_between_two_runs_end_the_series(rows: str, pool: str, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        score(rows, pool, tmp_path / "out.jsonl", StopAfter(ROWS + 1))
    path = Path(rows)
    path.write_text(path.read_text(encoding="utf-8").replace("第3条", "又3条"), encoding="utf-8")
    with pytest.raises(InputError, match="has been changed since its rows were scored"):
        score(rows, pool, tmp_path / "out.jsonl")


def test_rows_that_change_while_later_runs_read_them_end_the_series(rows: str, pool: str, tmp_path: Path) -> None:
    class Meddler(Watcher):
        def turned(self, recipe: Recipe) -> None:
            path = Path(rows)
            path.write_text(path.read_text(encoding="utf-8").replace("第7条", "又7条"), encoding="utf-8")

    with pytest.raises(InputError, match="has been changed since its rows were scored"):
        score(rows, pool, tmp_path / "out.jsonl", Meddler())


def test_too_few_demonstrations_are_told_before_anything_is_scored(rows: str, pool: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="13 demonstrations asked for, 12 in the file"):
        score(rows, pool, tmp_path / "out.jsonl", recipes=recipes_of(pool, (0, 13)))
    assert not (tmp_path / "out.jsonl").exists()


def test_rows_of_a_pipe_are_kept_for_the_later_runs(rows: str, pool: str, tmp_path: Path) -> None:
    score(rows, pool, tmp_path / "whole.jsonl")
    piped = kept("-", Path(rows).read_bytes())
    score(piped, pool, tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


# ------------------------------------------------------------------ stored files, and the command line


def test_a_stored_series_is_counted_run_by_run(rows: str, pool: str, tmp_path: Path) -> None:
    series = score(rows, pool, tmp_path / "out.jsonl")
    found = count(str(tmp_path / "out.jsonl"))
    assert [(one.shots, one.seed) for one in found.draws] == DRAWS
    for draw, result in zip(found.draws, series.results, strict=True):
        assert draw.tally.confusion == result.tally.confusion
    record = found.record()
    assert record["accuracy"] == series.summary()["accuracy"]
    assert record["shots"] == series.summary()["shots"]


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_the_report_of_a_stored_series_is_that_of_the_run(
    rows: str, pool: str, tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / f"out.{ending}")
    flags = ["-t", "zh-sentiment-causal", "--demos", pool, "-k", "0,2", "--demo-seeds", "2"]

    def table() -> list[str]:
        return [line for line in capsys.readouterr().err.splitlines() if line.startswith(("k  ", "0  ", "2  "))]

    assert fake(rows, *flags, "-o", out) == 3
    first = table()
    assert run_command(["report", out]) == 0
    assert len(first) == 3
    assert table() == first


def test_wrong_rows_are_those_of_all_draws_of_the_most_demonstrations(
    rows: str, pool: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, errors = str(tmp_path / "out.jsonl"), tmp_path / "errors.jsonl"
    series = score(rows, pool, tmp_path / "out.jsonl", errors=str(errors))
    found = read_rows(errors)
    assert len(found) == sum(result.tally.labelled - result.tally.correct for result in series.headline)
    assert {(one["shots"], one["demo_seed"]) for one in found} == {(4, 3), (4, 4)}
    assert [one["probability"] for one in found] == sorted((one["probability"] for one in found), reverse=True)
    assert run_command(["report", out, "--errors", str(tmp_path / "again.jsonl")]) == 0
    assert read_rows(tmp_path / "again.jsonl") == found
    confusion = pooled(series.draws).confusion
    assert {(one.gold, one.prediction) for one in series.worst.of_confusions(confusion, 9)} == {
        pair for pair in confusion if pair[0] != pair[1]
    }


def test_the_calibration_error_of_several_draws_is_the_mean_over_them(rows: str, pool: str, tmp_path: Path) -> None:
    summary = score(rows, pool, tmp_path / "out.jsonl").summary()
    for name in ("ece", "ece_by_chance", "brier"):
        assert summary[name] == pytest.approx(statistics.fmean(one[name] for one in summary["runs"][3:]))


def test_a_remark_of_one_draw_says_of_which_and_how_many_are_like_it(rows: str, pool: str, tmp_path: Path) -> None:
    series = score(rows, pool, tmp_path / "out.jsonl")
    for number, result in enumerate(series.headline):
        result.tally = Tally(("positive", "negative"))
        for n in range(40):
            result.tally.add("negative" if n > number else "positive", ("positive", "negative")[n % 2])
    (line,) = [remark.line for remark in series.remarks() if remark.code == "leaning"]
    assert line.startswith("k=4, seed 3: 39 of 40 rows were given 'negative', and 20 are: ")
    assert line.endswith(" (and 1 other draw like it)")


def test_two_series_are_not_compared_as_if_they_were_one_run(
    rows: str, pool: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score(rows, pool, tmp_path / "out.jsonl")
    out = str(tmp_path / "out.jsonl")
    assert "holds several runs (k = 0, 2, 4) of the same rows" in failed(capsys, "diff", out, out)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["-k", "0,4"], "-k needs rows to draw from"),
        (["--demo-seeds", "3"], "--demo-seeds needs rows to draw from"),
        (["--demos", "POOL", "-k", "4,x"], "write whole numbers with commas between them: 0,4,8"),
        (["--demos", "POOL", "-k", "4,4"], "write each number once: 0,4,8"),
        (["--demos", "POOL", "-k", "0,-2"], "is not in the range x>=0"),
        (["--demos", "POOL", "-k", ""], "write whole numbers with commas between them: 0,4,8"),
    ],
)
def test_wrong_numbers_of_demonstrations_get_one_line(
    rows: str, pool: str, flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [pool if flag == "POOL" else flag for flag in flags]
    assert fake(rows, "-t", "zh-sentiment-causal", *flags) in (1, 2)
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_demonstrations_are_read_once_for_all_runs(
    rows: str, pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    read = demonstrations.read
    monkeypatch.setattr(demonstrations, "read", lambda paths, *more: opened.append(paths) or read(paths, *more))
    for by in ("random", "nearest"):
        opened.clear()
        recipes = [
            replace(one, demos=replace(one.demos, by=by)) for one in recipes_of(pool, (0, 2, 4), (3,)) if one.demos
        ]
        score(rows, pool, tmp_path / f"{by}.jsonl", recipes=recipes)
        assert opened == [[pool]]


def test_the_plot_is_of_plain_signs_where_the_terminal_has_no_others(
    rows: str, pool: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    score(rows, pool, tmp_path / "out.jsonl")
    assert run_command(["report", str(tmp_path / "out.jsonl")]) == 0
    assert "●" in capsys.readouterr().err
    monkeypatch.setattr("rich.console.ConsoleOptions.ascii_only", True)
    assert run_command(["report", str(tmp_path / "out.jsonl")]) == 0
    said = capsys.readouterr().err
    assert "*" in said
    assert not {"●", "•", "─"} & set(said)
