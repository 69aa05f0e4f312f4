"""A run that was stopped goes on where it had got to, and its files are those of a run that nobody stopped."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from promptshot import metrics
from promptshot.classify.calibrate import NEUTRAL
from promptshot.classify.classifier import Classifier
from promptshot.classify.recipe import Recipe
from promptshot.classify.spool import Spool
from promptshot.cli import run_command
from promptshot.errors import InputError, shortened
from promptshot.files import put
from promptshot.metrics import Tally
from promptshot.prompts import library
from promptshot.rows.writer import Place, Writer
from promptshot.runs import inputs as taking
from promptshot.runs import run as running
from promptshot.runs.inputs import Inputs
from promptshot.runs.interrupt import Interrupts, Terminated
from promptshot.runs.journal import differences
from promptshot.runs.outputs import Outputs
from promptshot.runs.record import written
from promptshot.runs.result import Result
from promptshot.runs.run import Watcher, run
from promptshot.scorers.fake import FakeScorer
from promptshot.scoring import Kind, ModelOptions, Prompt, Scored

ROWS = 60
WINDOW = 8  # rows, so that a few have many ends of windows
FORMATS = ["o.jsonl", "o.csv", "o.tsv.gz", "o.jsonl.gz"]


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for the command line; every window is marked."""
    monkeypatch.setattr(taking, "Inputs", partial(taking.Inputs, window=WINDOW))
    monkeypatch.setattr("promptshot.runs.journal.SHARE", 1e9)
    monkeypatch.setattr(Counted, "scored", 0)


def says_nothing(prompt: Prompt) -> bool:
    """Whether it is one of those that a run may be calibrated by."""
    return all(piece.text in NEUTRAL for piece in prompt.pieces if piece.kind is Kind.FIELD)


class Counted(FakeScorer):
    """The fake scorer, counting the prompts of rows; named on the command line as test_journal:Counted."""

    scored = 0
    stop_at = 10**9  # prompts, after which Ctrl-C is pressed

    def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
        if Counted.scored >= Counted.stop_at:
            raise KeyboardInterrupt
        Counted.scored += len([prompt for prompt in prompts if not says_nothing(prompt)])
        return super().score(prompts)


class StopAfter(Watcher):
    """Presses Ctrl-C once so many rows have been written, or scored (`spooled`)."""

    def __init__(self, rows: int, spooled: bool = False) -> None:
        self.rows, self.spooled, self.kept = rows, spooled, 0
        self.seen: list[int] = []

    def counted(self, rows: int, tally: Tally) -> None:
        self.seen.append(rows)
        if rows >= self.rows and not self.spooled:
            raise KeyboardInterrupt

    def stopped(self, journal: Any) -> None:
        self.kept = journal.kept


def recipe_of(template: str = "zh-sentiment-mlm", **settings: Any) -> Recipe:
    found = library.template(template)
    return Recipe.of(found, library.verbalizer_of(found), "test_journal:Counted", **settings)


@pytest.fixture
def rows(tmp_path: Path) -> str:
    lines = [
        json.dumps({"text": f"第{n}条", "text_a": f"甲{n}", "text_b": "乙", "label": "positive"})
        if n % 7
        else "{broken"
        for n in range(ROWS)
    ]
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def signed(plain: Any) -> str:
    """The text of a record with this in it."""
    if not isinstance(plain, dict):
        return json.dumps(plain)
    return written({key: value for key, value in plain.items() if key != "checksum"})


def killed(out: Path) -> None:
    """Have a record say no more than that of a run that was killed."""
    path = Path(f"{out}.run.json")
    path.write_text(signed({**json.loads(path.read_text(encoding="utf-8")), "ends": None}), encoding="utf-8")


def score(rows: str, out: Path, watcher: Watcher | None = None, recipe: Recipe | None = None, **said: Any) -> Result:
    limit, on_error = said.pop("limit", None), said.pop("on_error", "reject")
    outputs = Outputs(str(out), summary=f"{out}.summary", **said)
    return run(recipe or recipe_of(), Inputs([rows], limit, window=WINDOW), outputs, watcher, on_error)


def files(out: Path) -> dict[str, Any]:
    """Output, rejects and summary without its timings."""
    summary = json.loads(Path(f"{out}.summary").read_text())
    kept = {key: value for key, value in summary.items() if key not in ("seconds", "rows_per_second")}
    return {"output": out.read_bytes(), "rejects": Path(f"{out}.rejects.jsonl").read_bytes(), "summary": kept}


def stop(rows: str, out: Path, after: int, **said: Any) -> StopAfter:
    watcher = StopAfter(after)
    with pytest.raises(KeyboardInterrupt):
        score(rows, out, watcher, **said)
    return watcher


# ------------------------------------------------------------------ going on


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("after", [8, 24, 56])
def test_a_stopped_run_goes_on_and_gives_the_bytes_of_one_that_was_not(
    name: str, after: int, rows: str, tmp_path: Path
) -> None:
    score(rows, tmp_path / f"whole_{name}")
    Counted.scored = 0
    out = tmp_path / name
    assert stop(rows, out, after).kept == after
    score(rows, out)
    assert files(out) == files(tmp_path / f"whole_{name}")
    assert Counted.scored == ROWS - 9, "no row is scored twice"


def test_a_torn_end_is_cut_back(rows: str, tmp_path: Path) -> None:
    score(rows, tmp_path / "whole.jsonl")
    out = tmp_path / "o.jsonl"
    stop(rows, out, 24)
    killed(out)
    for path in (out, Path(f"{out}.rejects.jsonl")):
        with path.open("ab") as file:
            file.write(b'{"text": "half a li')
    score(rows, out)
    assert files(out) == files(tmp_path / "whole.jsonl")


def test_a_run_stopped_at_every_window_still_ends_the_same(rows: str, tmp_path: Path) -> None:
    score(rows, tmp_path / "whole.csv")
    out = tmp_path / "o.csv"
    for after in range(8, ROWS, 8):
        stop(rows, out, after)
    score(rows, out)
    assert files(out) == files(tmp_path / "whole.csv")


def test_a_run_killed_before_its_first_window_begins_anew(rows: str, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    out.touch()
    assert score(rows, out).rows_before == 0


def said_of(result: Result) -> list[str]:
    return [remark.line for remark in result.remarks()]


@pytest.mark.parametrize("template", ["zh-sentiment-mlm", "zh-entailment-nsp"])
@pytest.mark.parametrize("after", [8, 24, 56])
def test_rows_that_hold_nothing_known_are_counted_over_a_stop(
    template: str, after: int, rows: str, tmp_path: Path
) -> None:
    recipe = replace(recipe_of(template), scorer="helpers:Unknowing", labels_ignored=True)
    out = tmp_path / "o.jsonl"
    watcher = StopAfter(after)
    with pytest.raises(KeyboardInterrupt):
        score(rows, out, watcher, recipe)
    result = score(rows, out, None, recipe)
    unknown = [n for n in range(ROWS) if "5" in str(n) and n % 7]
    assert result.unknown == json.loads(Path(f"{out}.summary").read_text())["rows_unknown"] == len(unknown)
    said = f"{len(unknown)} rows hold nothing that the tokenizer knows; the first: {rows}:{unknown[0] + 1}"
    assert said in said_of(result)
    assert result.tally.predicted == ROWS - 9  # they are predicted as well
    assert said_of(score(rows, out, None, recipe)) == said_of(result)  # read back


def test_a_record_from_before_a_count_was_kept_is_gone_on_with(rows: str, tmp_path: Path) -> None:
    recipe = replace(recipe_of(), scorer="helpers:Unknowing")
    out = tmp_path / "o.jsonl"
    with pytest.raises(KeyboardInterrupt):
        score(rows, out, StopAfter(16), recipe)
    path = Path(f"{out}.run.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    for name in ("unknown", "first_unknown"):
        del record["progress"]["counts"][name]
    path.write_text(signed(record), encoding="utf-8")
    result = score(rows, out, None, recipe)
    assert result.tally.predicted == ROWS - 9
    assert result.first_unknown == f"{rows}:26"


def test_a_finished_run_is_not_done_again(rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "o.jsonl"
    score(rows, out)
    before = files(out)
    Path(f"{out}.summary").unlink()
    Counted.scored = 0
    result = score(rows, out)
    assert (Counted.scored, result.rows_before) == (0, ROWS)
    assert files(out) == before


def test_a_longer_run_goes_on_from_a_shorter_one(rows: str, tmp_path: Path) -> None:
    score(rows, tmp_path / "whole.jsonl", limit=50)
    out = tmp_path / "o.jsonl"
    score(rows, out, limit=20)
    Counted.scored = 0
    result = score(rows, out, limit=50)
    assert result.rows_before == 16, "only whole windows are kept"
    assert files(out) == files(tmp_path / "whole.jsonl")


def test_a_shorter_run_does_not_cut_down_a_longer_one(rows: str, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    score(rows, out)
    with pytest.raises(InputError, match="has 60 rows already, and only 20 are asked for; raise -n"):
        score(rows, out, limit=20)


@pytest.mark.parametrize("after", [8, 40])
def test_scores_wait_for_the_whole_run_and_outlive_a_stop(after: int, rows: str, tmp_path: Path) -> None:
    recipe = recipe_of("zh-entailment-nsp", labels_ignored=True)
    score(rows, tmp_path / "whole.jsonl", recipe=recipe)

    out, watcher = tmp_path / "o.jsonl", StopAfter(0, spooled=True)
    Counted.scored, Counted.stop_at = 0, after
    with pytest.raises(KeyboardInterrupt):
        score(rows, out, watcher, recipe)
    Counted.stop_at = 10**9
    assert watcher.kept >= after
    with Path(f"{out}.spool").open("ab") as file:
        file.write(b'[{"reject": {"sou')
    Counted.scored = 0
    score(rows, out, recipe=recipe)
    assert files(out) == files(tmp_path / "whole.jsonl")
    assert Counted.scored < ROWS - 9
    assert not Path(f"{out}.spool").exists()


@pytest.mark.torch
def test_the_batch_budget_of_the_first_part_is_used_again(rows: str, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    recipe = recipe_of()
    recipe = replace(recipe, scorer="mlm", options=ModelOptions(batch_budget=300))
    stop(rows, out, 8, recipe=recipe)

    class Ready(Watcher):
        budget: Any = None

        def ready(self, classifier: Classifier, rows: int) -> None:
            Ready.budget = classifier.details["batch_budget"]

    score(rows, out, Ready(), replace(recipe, options=ModelOptions()))
    assert Ready.budget == 300


# ------------------------------------------------------------------ not going on


def test_another_template_is_refused_and_named(rows: str, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    stop(rows, out, 8)
    before = out.read_bytes()
    with pytest.raises(InputError, match=r"exists already, from a run that differs in .*template\.name.*--overwrite"):
        score(rows, out, recipe=recipe_of("en-film-mlm"))
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"labels_strict": True}, "labels"),
        ({"options": ModelOptions(max_length=64)}, "precision"),
        ({"columns": {"text": "text_a"}}, "columns.text"),
    ],
)
def test_what_differs_is_named(settings: dict[str, Any], named: str, rows: str, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    stop(rows, out, 8)
    with pytest.raises(InputError, match=f"differs in {named};"):
        score(rows, out, recipe=recipe_of(**settings))


def test_a_changed_input_is_refused(rows: str, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    stop(rows, out, 8)
    with open(rows, "a") as file:
        file.write('{"text": "more"}\n')
    with pytest.raises(InputError, match="differs in inputs"):
        score(rows, out)


def test_an_output_without_a_record_is_refused(rows: str, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    out.write_text("something of mine\n")
    with pytest.raises(InputError, match="exists already, and no run record tells how far it goes"):
        score(rows, out)
    for record in ("{", "[1]", '{"fingerprint": 3}', '{"fingerprint": "x", "progress": []}'):
        Path(f"{out}.run.json").write_text(record)
        with pytest.raises(InputError, match="exists already"):
            score(rows, out)
    assert out.read_text() == "something of mine\n"


def test_a_record_that_was_tampered_with_is_refused(rows: str, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    stop(rows, out, 8)
    record = Path(f"{out}.run.json")
    said = json.loads(record.read_text())
    record.write_text(signed({**said, "progress": {"rows": 8}}))
    with pytest.raises(InputError, match="not a run record of ours"):
        score(rows, out)
    said["progress"]["counts"]["tally"]["confusion"] = [["positive", "positive", 8]]
    record.write_text(json.dumps(said))
    with pytest.raises(InputError, match="is a run record that has been changed since it was written"):
        score(rows, out)


def test_an_output_shorter_than_its_record_is_refused(rows: str, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    stop(rows, out, 24)
    killed(out)
    out.write_bytes(out.read_bytes()[:100])
    with pytest.raises(InputError, match="is shorter than its run record says"):
        score(rows, out)


def test_no_resume_and_overwrite_do_as_they_say(rows: str, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    stop(rows, out, 24)
    with pytest.raises(InputError, match=r"exists already; use --overwrite"):
        score(rows, out, resume=False)
    Counted.scored = 0
    assert score(rows, out, overwrite=True).rows_before == 0
    assert Counted.scored == ROWS - 9


def test_what_goes_on_after_overwrite_is_told(rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "o.jsonl")
    command = ["classify", rows, "-t", "zh-sentiment-mlm", "--scorer", "test_journal:Counted", "-o", out]
    for more, how in (["--overwrite"], "the same command, but without --overwrite,"), ([], "the same command"):
        Counted.scored, Counted.stop_at = 0, 20
        assert run_command([*command, *more]) == 130
        assert f"rows are done and safe; {how} goes on from there" in capsys.readouterr().err
    Counted.stop_at = 10**9
    assert run_command(command) == 3


def test_standard_input_is_never_gone_on_with(rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "o.jsonl"
    for expected in (3, 1):
        with open(rows, "rb") as file:
            monkeypatch.setattr("sys.stdin", type("In", (), {"buffer": file, "closed": False}))
            code = run_command(["classify", "-", "-t", "zh-sentiment-mlm", "--scorer", "fake", "-o", str(out)])
        assert code == expected


def test_two_runs_cannot_write_one_file(rows: str, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    with Writer(str(out)) as writer:
        writer.write([{"a": 1}])
        with pytest.raises(InputError, match="another run is writing this file"):
            Writer(str(out), place=Place())
    assert out.read_text() == '{"a":1}\n'


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_run_that_finds_its_output_in_use_leaves_the_record_of_the_other_alone(
    overwrite: bool, rows: str, tmp_path: Path
) -> None:
    out = tmp_path / "o.jsonl"
    record = tmp_path / "o.jsonl.run.json"
    with Writer(str(out)):
        record.write_text('{"another": "run"}')
        with pytest.raises(InputError, match="another run is writing this file"):
            score(rows, out, overwrite=overwrite)
        assert record.read_text() == '{"another": "run"}'


# ------------------------------------------------------------------ what goes wrong


@pytest.mark.parametrize("name", FORMATS)
def test_a_full_disk_takes_nothing_back_and_the_run_goes_on_later(
    name: str, rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score(rows, tmp_path / f"whole_{name}")
    out = tmp_path / name
    limit = len((tmp_path / f"whole_{name}").read_bytes()) // 2
    real = Writer._append

    def full(writer: Writer, data: bytes) -> None:
        file = writer._file
        assert file is not None

        def no_space(data: bytes) -> int:
            os.write(file.fileno(), data[: len(data) // 2])  # half of it still fits
            raise OSError(28, "No space left on device")

        if writer.path == str(out) and writer.place.bytes + len(data) > limit:
            writer._file = _Written(file, no_space)
        real(writer, data)

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "_append", full)
        with pytest.raises(InputError, match=r"cannot be written \(No space left on device\)"):
            score(rows, out)
    assert 0 < out.stat().st_size <= limit
    score(rows, out)
    assert files(out) == files(tmp_path / f"whole_{name}")


def test_on_error_fail_stops_at_the_first_bad_row_and_can_go_on_without_it(rows: str, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    with pytest.raises(InputError, match=r"in\.jsonl:1: not valid JSON.*; mend it, or leave .* --on-error reject"):
        score(rows, out, on_error="fail")
    assert Counted.scored == 0, "the row is met before anything of its window is scored"
    assert score(rows, out).tally.rejected == 9


def test_windows_of_another_size_are_another_run_and_are_on_record(rows: str, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    for window in (4, 1024):
        run(recipe_of(), Inputs([rows], window=window), Outputs(str(out), overwrite=True))
        assert json.loads(Path(f"{out}.run.json").read_text(encoding="utf-8"))["window"] == window
        with pytest.raises(InputError, match="from a run that differs in"):
            run(recipe_of(), Inputs([rows], window=16), Outputs(str(out)))
    assert "window" not in Inputs([rows]).selection  # the usual one, with which all runs so far were made


def test_on_error_fail_keeps_the_windows_before(tmp_path: Path) -> None:
    path, out = tmp_path / "in.jsonl", tmp_path / "o.jsonl"
    path.write_text('{"text": "好"}\n' * 20 + '{"text": ""}\n')
    watcher = StopAfter(999)
    with pytest.raises(InputError, match=r"in\.jsonl:21: field 'text' is empty"):
        score(str(path), out, watcher, on_error="fail")
    assert watcher.kept == 16
    assert len(out.read_text().splitlines()) == 16


def test_strict_labels_reject_rows_whose_label_is_none_of_ours(tmp_path: Path) -> None:
    path, out = tmp_path / "in.jsonl", tmp_path / "o.jsonl"
    path.write_text('{"text": "好", "label": "positive"}\n{"text": "好", "label": "meh"}\n{"text": "坏"}\n')
    result = score(str(path), out, recipe=recipe_of(labels_strict=True))
    assert (result.tally.predicted, result.tally.rejected) == (2, 1)
    (reject,) = map(json.loads, Path(f"{out}.rejects.jsonl").read_text().splitlines())
    assert reject["reason"] == "the label 'meh' is none of: positive, negative"
    assert json.loads(reject["raw"])["label"] == "meh"


@pytest.mark.parametrize("template", ["zh-sentiment-mlm", "zh-entailment-nsp"])
def test_a_hopeless_file_is_given_up_and_the_rest_counted(
    template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "HOPELESS", 16)
    path, out = tmp_path / "in.jsonl", tmp_path / "o.jsonl"
    path.write_text('{"text": " ", "text_a": "好", "text_b": ""}\n' * 100)
    with pytest.raises(InputError, match=r"none of 16 rows could be used \(84 more were not read\); the first: field "):
        score(str(path), out, recipe=recipe_of(template, labels_ignored=True))
    assert len(Path(f"{out}.rejects.jsonl").read_text().splitlines()) == 16


def bad_then_good(path: Path, bad: int, good: int) -> str:
    """Rows without a text, broken lines among them, and then good ones."""
    lines = ["{broken" if n % 3 else json.dumps({"headline_": f"第{n}条"}) for n in range(bad)]
    lines += [json.dumps({"text": f"第{n}条", "text_a": "甲", "text_b": "乙"}) for n in range(good)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("template", ["zh-sentiment-mlm", "zh-entailment-nsp"])
@pytest.mark.parametrize("bad", [8, 100, 2500])
def test_good_rows_behind_many_bad_ones_are_scored(
    bad: int, template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "IN_VAIN", 16)
    path, out = bad_then_good(tmp_path / "in.jsonl", bad, 20), tmp_path / "o.jsonl"
    result = score(path, out, recipe=recipe_of(template, labels_ignored=True))
    assert (result.tally.predicted, result.tally.rejected) == (20, bad)
    assert len(Path(f"{out}.rejects.jsonl").read_text().splitlines()) == bad


@pytest.mark.parametrize("piped", [False, True])
def test_what_nobody_said_is_guessed_from_the_first_good_rows_however_many_bad_ones_stand_before_them(
    piped: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["{broken"] * 50 + [json.dumps({"句子": "很好", "标签": label}) for label in ("好", "差")] * 4
    path, out = tmp_path / "in.jsonl", tmp_path / "o.jsonl"
    data = ("\n".join(lines) + "\n").encode()
    if piped:
        os.mkfifo(path)
        threading.Thread(target=path.write_bytes, args=(data,)).start()
    else:
        path.write_bytes(data)
    assert run_command(["classify", str(path), "--scorer", "fake", "-o", str(out)]) == 3
    assert len(out.read_text().splitlines()) == 8
    assert "text is '句子', label is '标签'" in capsys.readouterr().err


def test_rows_are_looked_through_so_far_and_no_further(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text("{broken\n" * 8 * taking.AHEAD + '{"text": "a"}\n' * 20)
    inputs = Inputs([str(broken)], window=WINDOW)
    assert len(inputs.peek()) == 8 * taking.AHEAD
    assert len(list(inputs.read({}))) == 8 * taking.AHEAD + 20
    broken.write_text("{broken\n" * 17 + '{"text": "a"}\n' * 20)
    inputs = Inputs([str(broken)], window=WINDOW)
    assert (len(inputs.peek()), len(inputs.peek_rows({}))) == (24, 7)


def test_that_a_hopeless_table_was_not_read_to_its_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "HOPELESS", 16)
    path = tmp_path / "in.csv"
    path.write_text("text,label\n" + ",a\n" * 30)
    recipe = recipe_of(labels_ignored=True)
    with pytest.raises(InputError, match=r"none of 16 rows could be used \(what stands behind them was not read\);"):
        score(str(path), tmp_path / "o.jsonl", recipe=recipe)
    path.write_text("text,label\n" + ",a\n" * 9)
    with pytest.raises(InputError, match="none of 9 rows could be used; the first: field 'text' is empty"):
        score(str(path), tmp_path / "p.jsonl", recipe=recipe)


@pytest.mark.parametrize("template", ["zh-sentiment-mlm", "zh-entailment-nsp"])
def test_rows_that_are_scored_in_vain_end_a_run_early(
    template: str, rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "IN_VAIN", 20)
    recipe = replace(recipe_of(template, labels_ignored=True), scorer="helpers:Failing")
    with pytest.raises(InputError, match=r"none of 24 rows could be used \(36 more were not read\)"):
        score(rows, tmp_path / "o.jsonl", recipe=recipe)


# ------------------------------------------------------------------ tears


@pytest.mark.parametrize("count", [5, 8, 21])
@pytest.mark.parametrize("named", [True, False])
def test_the_rows_before_a_tear_are_predicted_and_the_run_is_made_good_later(
    named: bool, count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [json.dumps({"text": f"第{n}条", "label": ("好", "差")[n % 2]}) + "\n" for n in range(count + 3)]
    path, out = tmp_path / "in.jsonl.gz", tmp_path / "o.jsonl"
    torn = gzip.compress("".join(lines[:count]).encode()) + gzip.compress("".join(lines[count:]).encode())[:12]
    template = ["-t", "{mask}：{text}"] if named else []
    command = ["classify", str(path), *template, "--scorer", "fake", "-q", "-o", str(out)]
    path.write_bytes(torn)
    assert run_command(command) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: {path}:{count + 1}: cannot be read (its gzip data ends too early); "
        "what stands before it was read; is the file whole?"
    )
    before = out.read_text()
    assert len(before.splitlines()) == count
    path.write_bytes(gzip.compress("".join(lines).encode()))
    assert run_command([*command, "--overwrite"]) == 0
    assert out.read_text().startswith(before)
    assert len(out.read_text().splitlines()) == count + 3


def test_a_torn_file_gives_no_half_of_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.dumps({"text": f"第{n}条", "label": "positive", "prediction": "positive"}) + "\n" for n in range(9)]
    path, whole = tmp_path / "torn.jsonl", tmp_path / "whole.jsonl"
    path.write_bytes(gzip.compress("".join(lines).encode()) + b"garbage")
    whole.write_text("".join(lines))
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"text_a": "a", "text_b": "b"}\n' * 9)
    shots = ["-t", "zh-sentiment-causal", "-k", "2", "--scorer", "fake", "--ignore-labels", "--demos"]
    torn_dev = ["-t", "zh-same-nsp", "--scorer", "fake", "--ignore-labels", "--dev"]
    for command in (
        ["compare", str(path), "-t", "zh-sentiment-mlm", "--scorer", "fake", "-o", "-"],
        ["compare", str(whole), "-t", "zh-sentiment-mlm", "--scorer", "fake", "--search", "--dev", str(path)],
        ["diff", str(path), str(whole)],
        ["diff", str(whole), str(path)],
        ["report", str(path)],
        ["classify", str(whole), *shots, str(path)],
        ["classify", str(pairs), *torn_dev, str(path)],
    ):
        assert run_command(command) == 1, command
        out, err = capsys.readouterr()
        assert out == ""
        assert f"error: {path}:10: cannot be read (its gzip data is damaged" in err


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="no such device here")
def test_a_device_gets_no_record_and_no_overwrite_is_asked_for(rows: str) -> None:
    assert run_command(["classify", rows, "-t", "zh-sentiment-mlm", "--scorer", "fake", "-o", "/dev/null"]) == 3
    assert not list(Path("/dev").glob("null.*"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
def test_a_full_device_is_one_clear_line(rows: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["classify", rows, "-t", "zh-sentiment-mlm", "--scorer", "fake", "-o", "/dev/full"]) == 1
    assert "error: /dev/full: cannot be written (No space left on device)" in capsys.readouterr().err


def test_a_pipe_can_be_written_to(rows: str, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    run(recipe_of(), Inputs([rows], window=WINDOW), Outputs(str(pipe)))
    reader.join(10)
    assert len(found[0].splitlines()) == ROWS - 9
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "pipe"]


# ------------------------------------------------------------------ the parts


def test_interrupts_wait_for_a_write_and_stop_a_score() -> None:
    with Interrupts() as interrupts:
        reached = []
        with pytest.raises(Terminated):  # noqa: PT012, SIM117
            with interrupts.held():
                signal.raise_signal(signal.SIGTERM)
                reached.append("the end of the write")
        assert reached
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    before, entered = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with Interrupts() as interrupts, interrupts.held():
            entered.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert entered == [before]


def test_a_write_that_is_interrupted_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "o.jsonl"
    with Writer(str(path)) as writer:
        writer.write([{"a": 1}])

        def write(data: bytes) -> int:
            os.write(writer._file.fileno(), data[:3])  # type: ignore[union-attr]
            raise KeyboardInterrupt

        monkeypatch.setattr(writer, "_file", _Written(writer._file, write))
        with pytest.raises(KeyboardInterrupt):
            writer.write([{"a": 2}])
    assert path.read_text() == '{"a":1}\n'


class _Written:
    """A file with another `write`."""

    def __init__(self, file: Any, write: Any) -> None:
        self._file, self.write = file, write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def test_differences_are_named_by_their_keys() -> None:
    one = {"a": {"b": 1, "c": [1, 2]}, "d": 3}
    assert differences(one, one) == []
    assert differences(one, {"a": {"b": 2, "c": [1]}, "e": 3}) == ["a.b", "a.c", "d", "e"]


def test_a_json_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    put(str(path), '{"a": 1}')
    monkeypatch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(InputError, match="No space left"):
        put(str(path), '{"a": 2}', replace=True)
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_tally_goes_on_as_if_it_had_never_stopped() -> None:
    said = [("a", "a", None), ("b", "a", None), ("a", None, "x"), ("c", "b", None), ("a", None, "y"), ("a", "b", None)]
    whole, part = Tally(["a", "b"]), Tally(["a", "b"])
    for label, gold, value in said[:3]:
        part.add(label, gold, value)
    part = Tally.restored(["a", "b"], json.loads(json.dumps(part.state())))
    for label, gold, value in said[3:]:
        part.add(label, gold, value)
    for label, gold, value in said:
        whole.add(label, gold, value)
    assert json.dumps(part.summary()) == json.dumps(whole.summary())


def test_unknown_labels_without_end_take_memory_with_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "UNKNOWN", 3)
    tally = Tally(["a"])
    for number in range(10):
        tally.add("a", None, f"free text {number}")
    assert tally.unknown_gold.total() == 10
    assert len(tally.unknown_gold) == 4


# ------------------------------------------------------------------ rows that changed


def edited(rows: str, line: int) -> None:
    """Change a row to another of the same size, and leave the file as old as it was."""
    before = os.stat(rows)
    lines = Path(rows).read_text(encoding="utf-8").splitlines(keepends=True)
    lines[line - 1] = lines[line - 1].replace(r"\u7b2c", r"\u672b")  # 第, 末
    Path(rows).write_text("".join(lines), encoding="utf-8")
    os.utime(rows, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert os.stat(rows).st_size - before.st_size == 0


@pytest.mark.parametrize("name", ["in.jsonl", "in.jsonl.gz", "in.json"])
def test_rows_that_were_changed_between_a_stop_and_its_resume_are_noticed(name: str, rows: str, tmp_path: Path) -> None:
    text = Path(rows).read_text(encoding="utf-8").replace("{broken", '{"text": "又"}')
    path = tmp_path / "x" / name
    path.parent.mkdir()

    def write(text: str) -> None:
        if name.endswith(".json"):
            text = f"[{','.join(text.splitlines())}]"
        path.write_bytes(gzip.compress(text.encode(), 0, mtime=0) if name.endswith("gz") else text.encode())

    write(text)
    out = tmp_path / "o.jsonl"
    stop(str(path), out, 16)
    size, before = path.stat().st_size, out.read_bytes()
    write(text.replace(r"\u7b2c3\u6761", r"\u7b2c8\u6761"))
    assert path.stat().st_size == size
    with pytest.raises(InputError, match=r"in\.jso.*: has been changed since its rows were scored \(16 are done\)"):
        score(str(path), out)
    assert out.read_bytes() == before
    write(text)
    assert score(str(path), out).rows_before == 16


@pytest.mark.parametrize("line", [2, 59])
def test_a_finished_run_is_not_believed_of_other_rows(line: int, rows: str, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    score(rows, out)
    edited(rows, line)
    with pytest.raises(InputError, match=r"in\.jsonl: has been changed since its rows were scored \(60 are done\)"):
        score(rows, out)
    assert score(rows, out, overwrite=True).rows_before == 0


def test_rows_behind_those_that_are_done_may_still_be_mended(rows: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("promptshot.rows.streams.PIECE", 64)  # bytes that are read ahead
    out = tmp_path / "o.jsonl"
    stop(rows, out, 16)
    edited(rows, 40)
    result = score(rows, out)
    assert result.rows_before == 16
    assert "末39条" in out.read_text(encoding="utf-8")


def test_scores_that_wait_are_not_mixed_with_those_of_other_rows(rows: str, tmp_path: Path) -> None:
    recipe, out = recipe_of("zh-entailment-nsp", labels_ignored=True), tmp_path / "o.jsonl"
    Counted.scored, Counted.stop_at = 0, 20
    with pytest.raises(KeyboardInterrupt):
        score(rows, out, StopAfter(0, spooled=True), recipe)
    Counted.stop_at = 10**9
    edited(rows, 3)
    with pytest.raises(InputError, match=r"has been changed since its rows were scored \(24 are done\)"):
        score(rows, out, recipe=recipe)


def test_a_file_that_is_written_to_while_it_is_read_is_told(rows: str, tmp_path: Path) -> None:
    class Adds(Watcher):
        def counted(self, rows_done: int, tally: Tally) -> None:
            with open(rows, "a") as file:
                file.write('{"text": "later"}\n')

    result = score(rows, tmp_path / "o.jsonl", Adds(), limit=20)
    assert result.changed == (rows,)
    assert any(f"{shortened(rows)}: written to while it was read" in note for note in said_of(result))
    assert score(rows, tmp_path / "p.jsonl").changed == ()


@pytest.mark.parametrize("shell", ["cat {} |", "<{}"])
def test_what_comes_by_a_pipe_or_descriptor_is_never_gone_on_with(shell: str, rows: str, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    link = tmp_path / "link"
    link.symlink_to("/dev/stdin")
    for name in ("/dev/stdin", "/dev/fd/0", str(link)):
        for code, said in ((3, ""), (1, "exists already; use --overwrite")):
            command = f"classify {name} -t zh-sentiment-mlm --scorer fake -q -o {out}"
            whole = f"{shell.format(rows)} {sys.executable} -m promptshot {command}"
            done = subprocess.run(whole, shell=True, capture_output=True, text=True, check=False)
            assert (done.returncode, said in done.stderr) == (code, True), done.stderr
        for path in tmp_path.glob("o.*"):
            path.unlink()


# ------------------------------------------------------------------ which rows are drawn


def test_a_sample_of_other_rows_is_another_sample(rows: str, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"

    def drawn(limit: int | None) -> Result:
        outputs = Outputs(str(out), overwrite=False)
        return run(recipe_of(), Inputs([rows], limit, sample=20, window=WINDOW), outputs)

    drawn(30)
    for limit in (50, None):
        with pytest.raises(InputError, match=r"differs in selection\.limit"):
            drawn(limit)
    assert drawn(30).rows_before == 20


# ------------------------------------------------------------------ finished rows


@pytest.mark.parametrize("name", FORMATS)
def test_a_longer_run_that_is_stopped_at_once_keeps_the_last_rows_of_the_shorter(
    name: str, rows: str, tmp_path: Path
) -> None:
    out = tmp_path / name
    score(rows, out, limit=20)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    Counted.scored, Counted.stop_at = 0, 0
    with pytest.raises(KeyboardInterrupt):
        score(rows, out, limit=50)
    Counted.stop_at = 10**9
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert score(rows, out, limit=20).rows_before == 20, "it is finished still"
    score(rows, out, limit=50)
    score(rows, tmp_path / f"whole_{name}", limit=50)
    assert files(out) == files(tmp_path / f"whole_{name}")


@pytest.mark.parametrize("what", ["output", "rejects"])
@pytest.mark.parametrize("how", ["shorter", "other", "longer"])
def test_a_finished_run_is_believed_only_with_its_files(what: str, how: str, rows: str, tmp_path: Path) -> None:
    out = tmp_path / "o.csv"
    score(rows, out)
    path = out if what == "output" else Path(f"{out}.rejects.jsonl")
    data = path.read_bytes()
    path.write_bytes(
        {"shorter": data[:-9], "other": data.replace(b"broken", b"BROKEN", 1)[::-1], "longer": data * 2}[how]
    )
    with pytest.raises(InputError, match=f"{path.name}: has been changed since its run wrote it; use --overwrite"):
        score(rows, out)


def test_rejected_rows_that_are_gone_are_named_and_an_output_that_is_gone_is_made_anew(
    rows: str, tmp_path: Path
) -> None:
    out, rejects = tmp_path / "o.jsonl", tmp_path / "o.jsonl.rejects.jsonl"
    score(rows, out)
    whole = files(out)
    rejects.unlink()
    with pytest.raises(InputError, match=r"rejects\.jsonl: is gone, though it has been written; use --overwrite"):
        score(rows, out)
    out.unlink()
    assert score(rows, out).rows_before == 0
    assert files(out) == whole


@pytest.mark.parametrize("what", ["output", "rejects"])
@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_file_that_goes_while_it_is_written_is_an_error(what: str, how: str, rows: str, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    path = out if what == "output" else Path(f"{out}.rejects.jsonl")

    class Removes(Watcher):
        def counted(self, rows_done: int, tally: Tally) -> None:
            if rows_done == ROWS:  # the last window
                path.unlink()
                if how == "replaced":
                    path.write_text("mine\n")

    with pytest.raises(InputError, match=f"{path.name}: was removed or replaced while it was being written"):
        score(rows, out, Removes())
    assert not path.exists() or path.read_text() == "mine\n"


def test_rejected_rows_are_gone_on_with_under_their_name_only(rows: str, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    stop(rows, out, 16, rejects=str(tmp_path / "r.jsonl"))
    with pytest.raises(InputError, match=r"the rows rejected so far are in .*r\.jsonl; name that one: --rejects"):
        score(rows, out)
    score(rows, out, rejects=str(tmp_path / "r.jsonl"))
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 9
    assert not Path(f"{out}.rejects.jsonl").exists()


# ------------------------------------------------------------------ runs beside one another


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_run_that_begins_before_another_ends_does_not_take_its_output(
    overwrite: bool, rows: str, tmp_path: Path
) -> None:
    out = tmp_path / "o.jsonl"
    if overwrite:
        out.write_text("an older one\n")
    late: list[Any] = []

    class Other(Watcher):
        def ready(self, classifier: Classifier, rows_done: int) -> None:
            if not late:  # the slower of the two: it has looked, and comes to its lock when the other has finished
                late.append(True)
                score(rows, out, overwrite=overwrite)
                late.append(files(out))

    with pytest.raises(InputError, match=r"o\.jsonl: (exists already|another run has written this meanwhile)"):
        score(rows, out, Other(), overwrite=overwrite)
    assert files(out) == late[1]
    assert score(rows, out).rows_before == ROWS


def test_two_runs_do_not_share_a_file_of_rejected_rows(rows: str, tmp_path: Path) -> None:
    rejects = str(tmp_path / "r.jsonl")

    class Other(Watcher):
        def counted(self, rows_done: int, tally: Tally) -> None:
            if rows_done == 8:
                with pytest.raises(InputError, match=r"r\.jsonl: (exists already|another run is writing this file)"):
                    score(rows, tmp_path / "other.jsonl", rejects=rejects)

    score(rows, tmp_path / "o.jsonl", Other(), rejects=rejects)
    assert len(Path(rejects).read_text().splitlines()) == 9


def test_not_even_overwrite_takes_the_rejected_rows_of_a_run_that_goes_on(rows: str, tmp_path: Path) -> None:
    rejects = str(tmp_path / "r.jsonl")

    class Other(Watcher):
        def counted(self, rows_done: int, tally: Tally) -> None:
            if rows_done == 16:
                with pytest.raises(InputError, match=r"r\.jsonl: another run is writing this file"):
                    score(rows, tmp_path / "other.jsonl", rejects=rejects, overwrite=True)

    score(rows, tmp_path / "o.jsonl", Other(), rejects=rejects)
    assert len(Path(rejects).read_text().splitlines()) == 9
    score(rows, tmp_path / "o.jsonl", rejects=rejects, overwrite=True)
    assert len(Path(rejects).read_text().splitlines()) == 9


def test_the_record_of_a_finished_run_says_so_no_more_once_its_end_is_written_anew(rows: str, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    score(rows, out, limit=20)

    class Killed(Watcher):
        def counted(self, rows_done: int, tally: Tally) -> None:
            raise SystemExit  # nothing is tidied up, as when it is killed

    with pytest.raises(SystemExit):
        score(rows, out, Killed(), limit=50)
    assert json.loads(Path(f"{out}.run.json").read_text())["complete"] is False
    score(rows, out, limit=50)
    score(rows, tmp_path / "whole.jsonl", limit=50)
    assert files(out) == files(tmp_path / "whole.jsonl")


def test_a_disk_that_fails_is_named_by_the_file_it_fails_for(
    rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        with pytest.raises(InputError, match=r"o\.jsonl(\.run\.json)?: cannot be written \(Input/output error\)"):
            score(rows, tmp_path / "o.jsonl")
    monkeypatch.setattr(Spool, "add", fails)
    with pytest.raises(InputError, match=r"p\.jsonl\.spool: cannot be written \(Input/output error\)"):
        score(rows, tmp_path / "p.jsonl", recipe=recipe_of("zh-entailment-nsp", labels_ignored=True))


def test_the_place_for_rejected_rows_goes_where_there_are_none(tmp_path: Path) -> None:
    path, rejects = tmp_path / "in.jsonl", tmp_path / "r.jsonl"
    path.write_text('{"text": "好"}\n')
    score(str(path), tmp_path / "o.jsonl", rejects=str(rejects))
    assert not rejects.exists()


# ------------------------------------------------------------------ records and spools of strangers


def damaged(value: Any, rng: random.Random) -> Any:
    """A copy with one value, anywhere in it, of another kind."""
    if isinstance(value, dict | list) and value and rng.random() < 0.9:
        copy = dict(value) if isinstance(value, dict) else list(value)
        key = rng.choice([*copy]) if isinstance(copy, dict) else rng.randrange(len(copy))
        if rng.random() < 0.15:
            del copy[key]
        else:
            copy[key] = damaged(copy[key], rng)
        return copy
    return rng.choice([None, True, -1, 7, 1e300, "", "x", "\ud800", [], [1], {}, {"a": 1}, 10**30])


@pytest.mark.parametrize("after", [16, ROWS])
def test_a_record_with_anything_in_it_is_refused_or_does_no_harm(after: int, rows: str, tmp_path: Path) -> None:
    score(rows, tmp_path / "whole.jsonl")
    whole = files(tmp_path / "whole.jsonl")
    out = tmp_path / "o.jsonl"
    score(rows, out) if after == ROWS else stop(rows, out, after)
    start = {path: path.read_bytes() for path in tmp_path.glob("o.*")}
    record = Path(f"{out}.run.json")
    said, rng, refused = json.loads(record.read_text(encoding="utf-8")), random.Random(after), 0
    said_of_it: list[str] = []
    for _ in range(150):
        for path in tmp_path.glob("o.*"):
            path.unlink()
        for path, data in start.items():
            path.write_bytes(data)
        record.write_text(signed(damaged(said, rng)), encoding="utf-8", errors="backslashreplace")
        try:
            score(rows, out)
        except InputError as problem:
            refused += 1
            said_of_it.append(str(problem))
        else:
            found = files(out)
            assert (found["output"], found["rejects"]) == (whole["output"], whole["rejects"])
            continue
        assert out.read_bytes() == start[out]
    assert refused > 30
    assert not any("\n" in line for line in said_of_it)


@pytest.mark.parametrize("damage", ["zeros", "torn", "one byte", "garbage", "twice", "lost"])
def test_a_damaged_file_of_waiting_scores_is_used_as_far_as_it_is_whole(damage: str, rows: str, tmp_path: Path) -> None:
    recipe, out = recipe_of("zh-entailment-nsp", labels_ignored=True), tmp_path / "o.jsonl"
    score(rows, tmp_path / "whole.jsonl", recipe=recipe)
    Counted.scored, Counted.stop_at = 0, 30
    with pytest.raises(KeyboardInterrupt):
        score(rows, out, StopAfter(0, spooled=True), recipe)
    Counted.scored, Counted.stop_at = 0, 10**9
    spool = Path(f"{out}.spool")
    lines = spool.read_bytes().splitlines(keepends=True)
    assert len(lines) >= 3
    line = lines[1]
    assert b"is_next" in line
    at = line.index(b"is_next") + 11
    other = b"9" if line[at : at + 1] != b"9" else b"8"
    lines[1] = {
        "zeros": b"\0" * (len(line) - 1) + b"\n",
        "torn": line[:50],
        "one byte": line[:at] + other + line[at + 1 :],
        "garbage": b"00000000 [1, 2]\n",
        "twice": lines[0],
        "lost": b"",
    }[damage]
    spool.write_bytes(b"".join(lines))
    score(rows, out, recipe=recipe)
    assert files(out) == files(tmp_path / "whole.jsonl")
    assert Counted.scored == ROWS - 9 - 6, "the first window is kept, the rest is done again"


# ------------------------------------------------------------------ what stands behind the mark


@pytest.mark.parametrize("name", ["o.jsonl", "o.csv"])
@pytest.mark.parametrize("what", ["corrected", "another's", "longer", "rejects"])
def test_a_longer_run_goes_on_only_from_the_files_of_the_shorter(
    what: str, name: str, rows: str, tmp_path: Path
) -> None:
    out = tmp_path / name
    score(rows, out, limit=20)
    path = Path(f"{out}.rejects.jsonl") if what == "rejects" else out
    data = path.read_bytes()
    mine = {"corrected": data[:-40] + b"CORRECTED" + data[-31:], "longer": data + b"more\n"}.get(what, b"mine\n")
    path.write_bytes(mine)
    for limit in (20, 50):
        with pytest.raises(InputError, match=f"{path.name}: has been changed since its run wrote it; use --overwrite"):
            score(rows, out, limit=limit)
        assert path.read_bytes() == mine


@pytest.mark.parametrize("after", [0, 16])
@pytest.mark.parametrize("how", ["copied over", "moved over"])
@pytest.mark.parametrize("what", ["output", "rejects"])
def test_a_run_that_was_killed_takes_no_file_for_its_own(
    what: str, how: str, after: int, rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "o.jsonl"
    monkeypatch.setattr("promptshot.runs.journal.SHARE", 1e-9 if after == 0 else 1e9)  # of time, for marks

    class Killed(Watcher):
        def counted(self, rows_done: int, tally: Tally) -> None:
            if rows_done > after:
                raise SystemExit

    with pytest.raises(SystemExit):
        score(rows, out, Killed())
    path = out if what == "output" else Path(f"{out}.rejects.jsonl")
    mine = tmp_path / "mine"
    mine.write_bytes(Path(rows).read_bytes()[20:])
    mine.rename(path) if how == "moved over" else path.write_bytes(mine.read_bytes())
    before = path.read_bytes()
    with pytest.raises(InputError, match=f"{path.name}: (has been changed|is shorter)"):
        score(rows, out)
    assert path.read_bytes() == before


def test_a_file_that_is_emptied_while_it_is_written_is_an_error(rows: str, tmp_path: Path) -> None:
    for name in ("o.jsonl", "o.jsonl.rejects.jsonl"):

        class Rotates(Watcher):
            def counted(self, rows_done: int, tally: Tally, path: Path = tmp_path / name) -> None:
                if rows_done == 40:
                    os.truncate(path, 0)

        with pytest.raises(InputError, match=f"{name}: was changed while it was being written"):
            score(rows, tmp_path / "o.jsonl", Rotates(), overwrite=True)


def test_another_name_of_an_output_keeps_what_it_said_when_the_run_goes_on(rows: str, tmp_path: Path) -> None:
    out, backup = tmp_path / "o.jsonl", tmp_path / "backup.jsonl"
    score(rows, out, limit=20)
    os.link(out, backup)
    before = backup.read_bytes()
    score(rows, out, limit=50)
    assert backup.read_bytes() == before
    score(rows, tmp_path / "whole.jsonl", limit=50)
    assert files(out) == files(tmp_path / "whole.jsonl")


def test_a_record_knows_its_output(rows: str, tmp_path: Path) -> None:
    out, record = tmp_path / "o.jsonl", tmp_path / "o.jsonl.run.json"
    score(rows, out)
    before = record.read_bytes()
    with pytest.raises(InputError, match=r"o\.jsonl\.run\.json: exists already, and is of another run"):
        score(rows, tmp_path / "z.jsonl", record=str(record))
    assert record.read_bytes() == before
    score(rows, tmp_path / "z.jsonl", record=str(tmp_path / "r.json"))
    assert score(rows, tmp_path / "z.jsonl", record=str(tmp_path / "r.json")).rows_before == ROWS
    with pytest.raises(InputError, match=r"r\.json: exists already, and is of another run"):
        score(rows, tmp_path / "y.jsonl", record=str(tmp_path / "r.json"))


def test_a_record_that_somebody_puts_there_while_a_run_goes_on_is_kept(rows: str, tmp_path: Path) -> None:
    out, record = tmp_path / "o.jsonl", tmp_path / "o.jsonl.run.json"

    class Puts(Watcher):
        def counted(self, rows_done: int, tally: Tally) -> None:
            record.write_text("mine\n")

    with pytest.raises(InputError, match=r"o\.jsonl\.run\.json: was changed while the run went on"):
        score(rows, out, Puts())
    assert record.read_text() == "mine\n"


def test_scores_of_another_run_or_of_none_are_not_taken(rows: str, tmp_path: Path) -> None:
    def halt(out: Path, recipe: Recipe) -> Path:
        Counted.scored, Counted.stop_at = 0, 30
        with pytest.raises(KeyboardInterrupt):
            score(rows, out, StopAfter(0, spooled=True), recipe)
        Counted.stop_at = 10**9
        return Path(f"{out}.spool")

    one = recipe_of("zh-entailment-nsp", labels_ignored=True)
    first = halt(tmp_path / "a.jsonl", one)
    other = halt(tmp_path / "b.jsonl", replace(one, task=replace(one.task, columns={"text_b": "text"})))
    for data in (other.read_bytes(), b"mine\n"):
        first.unlink()
        first.write_bytes(data)
        with pytest.raises(InputError, match=r"a\.jsonl\.spool: no file of waiting scores of this run"):
            score(rows, tmp_path / "a.jsonl", recipe=one)
        assert first.read_bytes() == data


def test_a_longer_run_goes_on_where_only_later_rows_have_a_label(tmp_path: Path) -> None:
    path, out = tmp_path / "in.jsonl", tmp_path / "o.jsonl"
    path.write_text('{"text": "好"}\n' * 10 + '{"text": "好", "gold": "positive"}\n' * 10, encoding="utf-8")
    command = ["classify", str(path), "-t", "zh-sentiment-mlm", "--scorer", "fake", "-q", "-o", str(out)]
    assert run_command([*command, "-n", "5"]) == 0
    assert run_command(command) == 0
    assert len(out.read_text(encoding="utf-8").splitlines()) == 20


def test_rows_of_a_finished_run_that_were_changed_are_named_by_a_longer_one(rows: str, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    score(rows, out, limit=20)
    edited(rows, 19)
    with pytest.raises(InputError, match=r"in\.jsonl: has been changed since its rows were scored \(20 are done\)"):
        score(rows, out)
