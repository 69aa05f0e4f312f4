"""Stored predictions calibrated again have the very numbers of a run that was calibrated, and wrong input says so."""

from __future__ import annotations

import json
import math
import random
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers import failed, put, read_rows, small_windows, write_rows

from promptshot.classify.finish import finished
from promptshot.cli import run_command
from promptshot.runs import record
from promptshot.runs.calibrated import calibrate_again
from promptshot.runs.outputs import Outputs
from promptshot.scoring import ModelOptions, Prompt, Scored

METHODS = ["content-free", "pmi", "prior", "batch", "can", "temperature", "few-label"]
BY_DEV = ("temperature", "few-label")


class Leaning:
    """A scorer with words of several tokens that likes the first ones; named as test_calibrated:Leaning."""

    def __init__(self, options: ModelOptions | None = None) -> None:
        pass

    def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
        return [self._one(prompt) for prompt in prompts]

    def _one(self, prompt: Prompt) -> Scored:
        marks = [random.Random(f"{prompt.text('')} {word}").gauss(-3.0 - 0.4 * i, 1.7)
                 for i, word in enumerate(prompt.choices)]  # fmt: skip
        return Scored(tuple(marks), tuple(1 + len(word) % 3 for word in prompt.choices))


SCORER = ("--scorer", "test_calibrated:Leaning")


def texts(path: Path, rows: int = 60, first: int = 0, **more: Any) -> str:
    labels = ["positive", "negative", "negative"]
    return write_rows(path, [{"id": i, "text": f"第 {i} 句 is long", "label": labels[i % 3], **more}
                             for i in range(first, first + rows)])  # fmt: skip


def words_of(pool: str) -> str:
    """A verbalizer with several weighted words a label."""
    labels = "{positive: {很: 1.0, 非常: 0.5, 特: 2}, negative: {不: 1.0, 没有: 0.7}}"
    return f"labels: {labels}\npool: {pool}\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with rows to label, and labelled ones."""
    monkeypatch.chdir(tmp_path)
    texts(tmp_path / "rows.jsonl")
    texts(tmp_path / "dev.jsonl", 25, 1000)
    return tmp_path


def classify(*given: str, rows: str = "rows.jsonl", out: str = "raw.jsonl") -> list[dict[str, Any]]:
    assert run_command(["classify", rows, *given, *SCORER, "-o", out, "-q", "--summary", f"{out}.json"]) == 0
    return read_rows(out) if out.endswith(".jsonl") else []


def calibrate(*given: str, rows: str = "raw.jsonl", out: str = "again.jsonl") -> list[dict[str, Any]]:
    assert run_command(["calibrate", rows, *given, "-o", out, "-q", "--summary", f"{out}.json"]) == 0
    return read_rows(out) if out.endswith(".jsonl") else []


def summary(out: str) -> dict[str, Any]:
    """What a summary says of predictions and probabilities."""
    said = json.loads(Path(f"{out}.json").read_text(encoding="utf-8"))
    said["runs"] = [{name: of for name, of in run.items() if "second" not in name} for run in said.get("runs", [])]
    others = ("seconds", "rows_per_second", "fingerprint", "versions", "recipe", "machine", "rejected", "rows")
    return {name: value for name, value in said.items() if name not in others}


def same_twice(method: str, *template: str) -> None:
    """A calibrated run, and a plain one that is calibrated again, write the same bytes and sum up to the same."""
    dev = method in BY_DEV
    rows = classify(*template, "--calibrate", method, *(["--dev", "dev.jsonl"] if dev else []), out="once.jsonl")
    classify(*template)
    if dev:
        classify(*template, rows="dev.jsonl", out="scored.jsonl")
    again = calibrate("--method", method, *(["--dev", "scored.jsonl"] if dev else []))
    assert again == rows
    assert Path("again.jsonl").read_bytes() == Path("once.jsonl").read_bytes()
    assert summary("again.jsonl") == summary("once.jsonl")
    assert [row["scores"] for row in rows] == [row["scores"] for row in read_rows("raw.jsonl")], "saved scores stay raw"
    raw = [row["probabilities"] for row in read_rows("raw.jsonl")]
    assert [row["probabilities"] for row in rows] != raw or method == "can"  # which leaves all where none is sure
    one, other = (record.read(f"{name}.jsonl.run.json") for name in ("once", "again"))
    assert one is not None
    assert other is not None
    assert one.calibration == other.calibration
    assert one.calibration is not None
    assert one.calibration.method == method
    assert one.calibration_scores == other.calibration_scores
    assert other.made_of is not None
    assert other.made_of.file == "raw.jsonl"
    recipe = other.restored("")
    for row, found in zip(again, finished(recipe, again, other.fitted), strict=True):
        assert (row["prediction"], row["probabilities"]) == (found.label, found.probabilities)


# ------------------------------------------------------------------ the very same numbers


@pytest.mark.parametrize("pool", ["mean", "max", "logsumexp"])
@pytest.mark.parametrize("method", METHODS)
def test_a_file_that_is_calibrated_again_has_the_bytes_of_a_calibrated_run(method: str, pool: str, here: Path) -> None:
    put(here / "words.yaml", words_of(pool))
    same_twice(method, "-t", "zh-sentiment-mlm", "--verbalizer", "words.yaml")


@pytest.mark.parametrize("method", METHODS)
def test_so_has_one_of_an_ensemble(method: str, here: Path) -> None:
    same_twice(method, "-t", "zh-sentiment-words-mlm", "-t", "zh-sentiment-nsp", "-t", "zh-sentiment-causal")


@pytest.mark.torch
@pytest.mark.parametrize("template", ["zh-sentiment-words-mlm", "zh-sentiment-nsp", "zh-sentiment-causal"])
@pytest.mark.parametrize("method", METHODS)
def test_so_has_one_by_a_built_in_model(
    method: str, template: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.SCORER", ())
    texts(here / "rows.jsonl", 24)
    same_twice(method, "-t", template)


def test_so_have_several_runs_in_one_file_each_by_its_own_demonstrations(here: Path) -> None:
    template = ["-t", "en-sentiment-causal", "--demos", "dev.jsonl", "-k", "0,2", "--demo-seeds", "2"]
    for method in ("content-free", "prior"):
        rows = classify(*template, "--calibrate", method, out=f"{method}.jsonl")
        classify(*template, "--overwrite")
        again = calibrate("--method", method, out=f"again-{method}.jsonl")
        assert again == rows
        assert {(row["shots"], row["demo_seed"]) for row in rows} == {(0, None), (2, 0), (2, 1)}
        assert summary(f"again-{method}.jsonl") == summary(f"{method}.jsonl")
        there = record.read(f"again-{method}.jsonl.run.json")
        assert there is not None
        fits = [run.calibration for run in there.runs]
        assert len({str(fit) for fit in fits}) == 3, "each run has a fit of its own"
    said = json.loads(Path("again-prior.jsonl.json").read_text(encoding="utf-8"))
    before = [run["before"]["accuracy"] for run in said["runs"] if run["shots"] == 2]
    assert said["before"]["accuracy"] == pytest.approx(sum(before) / 2)


def test_labels_by_number_stay_numbers_and_words_of_the_row_take_a_temperature(here: Path) -> None:
    write_rows(here / "rows.jsonl", [{"text": f"t{i}", "label": i % 2} for i in range(20)])
    classify("-t", "zh-sentiment-mlm")
    rows = calibrate("--method", "batch", "--abstain-below", "0.6")
    assert {row["prediction"] for row in rows} <= {0, 1}
    assert {row["prediction_label"] for row in rows} <= {"positive", "negative"}
    assert {row["abstained"] for row in rows} == {True, False}
    write_rows(
        here / "rows.jsonl", [{"question": f"q{i}", "choices": ["a", f"b{i}", "c"], "label": i % 3} for i in range(9)]
    )
    classify("-t", "en-choice-causal", out="own.jsonl")
    again = calibrate("--method", "temperature", "--dev", "own.jsonl", rows="own.jsonl", out="own-again.jsonl")
    gaps = [(row["scores"]["a"] - row["scores"]["c"], row["probabilities"]) for row in again]
    (inverse,) = {round(math.log(chance["a"] / chance["c"]) / gap, 6) for gap, chance in gaps}
    assert inverse != 1
    assert read_rows("own.jsonl")[0].keys() == again[0].keys()


@pytest.mark.parametrize("ending", ["csv", "tsv.gz"])
def test_a_table_has_the_scores_of_labels_and_words_as_well(ending: str, here: Path) -> None:
    classify("-t", "zh-sentiment-words-mlm", "--calibrate", "can", out=f"once.{ending}")
    classify("-t", "zh-sentiment-words-mlm", out=f"raw.{ending}")
    calibrate("--method", "can", rows=f"raw.{ending}", out=f"again.{ending}")
    assert Path(f"again.{ending}").read_bytes() == Path(f"once.{ending}").read_bytes()
    fields = "id,label,prediction,probability,p_*,score_*,word_score_*"
    classify("-t", "zh-sentiment-words-mlm", "--fields", fields, out=f"words.{ending}")
    classify("-t", "zh-sentiment-words-mlm", "--calibrate", "pmi", out="pmi.jsonl")
    again = calibrate("--method", "pmi", rows=f"words.{ending}", out="pmi-again.jsonl")
    assert [row["probabilities"] for row in again] == [row["probabilities"] for row in read_rows("pmi.jsonl")]


def test_what_is_calibrated_can_be_calibrated_by_another_method_and_back(here: Path) -> None:
    raw = classify("-t", "zh-sentiment-mlm")
    calibrate("--method", "pmi", out="pmi.jsonl")
    prior = calibrate("--method", "prior", rows="pmi.jsonl", out="prior.jsonl")
    assert prior == calibrate("--method", "prior", out="direct.jsonl")
    assert raw == calibrate("--method", "none", rows="prior.jsonl", out="back.jsonl")


def test_a_prior_is_matched_as_it_was_told(here: Path) -> None:
    classify("-t", "zh-sentiment-mlm")
    rows = calibrate("--method", "prior", "--prior", "positive=0.9,negative=0.1")
    assert math.fsum(row["probabilities"]["positive"] for row in rows) == pytest.approx(54, abs=1e-7)
    rows = calibrate("--method", "prior", "--prior", "rows.jsonl", out="counted.jsonl")
    assert math.fsum(row["probabilities"]["positive"] for row in rows) == pytest.approx(20, abs=1e-7)
    there = record.read("counted.jsonl.run.json")
    assert there is not None
    assert there.recipe.calibration.prior == pytest.approx({"positive": 1 / 3, "negative": 2 / 3})


# ------------------------------------------------------------------ stopped and again


@pytest.mark.parametrize("method", ["prior", "content-free"])
def test_a_calibrated_run_that_was_stopped_goes_on_to_the_same_bytes(
    method: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch, 8)
    classify("-t", "zh-sentiment-mlm", "--calibrate", method, "--abstain-below", "0.7", out="whole.jsonl")
    asked = 0

    def interrupted(self: Leaning, prompts: Sequence[Prompt]) -> list[Scored]:
        nonlocal asked
        asked += len(prompts)
        if asked > 30:
            raise KeyboardInterrupt
        return [self._one(prompt) for prompt in prompts]

    given = [
        "classify",
        "rows.jsonl",
        "-t",
        "zh-sentiment-mlm",
        "--calibrate",
        method,
        "--abstain-below",
        "0.7",
        *SCORER,
    ]
    with monkeypatch.context() as patch:
        patch.setattr(Leaning, "score", interrupted)
        assert run_command([*given, "-o", "part.jsonl", "-q"]) == 130
    asked = -(10**6)
    assert run_command([*given, "-o", "part.jsonl", "-q", "--summary", "part.jsonl.json"]) == 0
    assert Path("part.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()
    assert summary("part.jsonl") == summary("whole.jsonl")
    one, other = (json.loads(Path(f"{name}.jsonl.run.json").read_text()) for name in ("part", "whole"))
    assert one["calibration"] == other["calibration"]
    assert one["counts"]["before"] == other["counts"]["before"]
    assert one["counts"]["tally"] == other["counts"]["tally"]


def test_the_same_command_again_writes_nothing_and_another_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classify("-t", "zh-sentiment-mlm")
    calibrate("--method", "prior")
    before = Path("again.jsonl").stat().st_mtime_ns
    assert run_command(["calibrate", "raw.jsonl", "--method", "prior", "-o", "again.jsonl"]) == 0
    assert "accuracy" in capsys.readouterr().err
    assert Path("again.jsonl").stat().st_mtime_ns == before
    assert "from a run that differs in" in failed(
        capsys, "calibrate", "raw.jsonl", "--method", "batch", "-o", "again.jsonl"
    )
    calibrate("--method", "batch", "--overwrite")


def test_a_hundred_thousand_rows_are_soon_done(here: Path) -> None:
    write_rows(here / "rows.jsonl", [{"text": str(i)} for i in range(5_000)])
    classify("-t", "zh-news-mlm")
    began = time.perf_counter()
    calibrate("--method", "prior")
    assert time.perf_counter() - began < 15, "and so 100,000 in some minutes, on any machine"


# ------------------------------------------------------------------ what is told


def test_the_report_shows_before_and_after_and_says_when_accuracy_fell(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classify("-t", "zh-sentiment-mlm")
    capsys.readouterr()
    prior = "positive=0.05,negative=0.95"
    assert run_command(["calibrate", "raw.jsonl", "--method", "prior", "--prior", prior, "-o", "worse.jsonl"]) == 0
    err = capsys.readouterr().err
    assert re.search(r"calibration: prior +before +after\naccuracy +([\d.]+)% +([\d.]+)%", err)
    (before, after) = re.findall(r"^accuracy +([\d.]+)% +([\d.]+)%$", err, re.MULTILINE)[0]
    assert "by those of the whole run and this prior: positive 5%, negative 95% (transductive)" in err
    better = run_command(["calibrate", "raw.jsonl", "--method", "few-label", "--dev", "raw.jsonl", "-o", "b.jsonl"])
    assert better == 0
    err_better = capsys.readouterr().err
    assert "scores are calibrated (few-label) by the labelled rows of raw.jsonl" in err_better
    fell = float(after) < float(before)
    assert ("calibration lowered accuracy from" in err) == fell
    said = json.loads(Path("worse.jsonl.run.json").read_text(encoding="utf-8"))
    assert said["transductive"] is True
    assert f"{said['before']['accuracy']:.1%}" == f"{before}%"
    assert f"{said['accuracy']:.1%}" == f"{after}%"


def test_without_labels_before_and_after_are_how_often_each_is_predicted(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(here / "rows.jsonl", [{"text": f"t{i}"} for i in range(40)])
    raw = classify("-t", "zh-sentiment-mlm")
    capsys.readouterr()
    assert run_command(["calibrate", "raw.jsonl", "--method", "batch", "-o", "b.jsonl"]) == 0
    err = capsys.readouterr().err
    counts = [sum(row["prediction"] == "positive" for row in rows) for rows in (raw, read_rows("b.jsonl"))]
    assert re.search(rf"calibration: batch +before +after\npositive +{counts[0]} +{counts[1]}\n", err)


def test_rows_that_abstain_keep_their_label_and_the_rest_is_counted(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = classify("-t", "zh-sentiment-mlm", "--abstain-below", "0.8")
    assert [row["abstained"] for row in rows] == [row["probability"] < 0.8 for row in rows]
    rest = [row for row in rows if not row["abstained"]]
    said = summary("raw.jsonl")
    assert said["abstained"] == 60 - len(rest) > 0
    assert said["coverage"] == len(rest) / 60
    right = sum(row["prediction"] == row["label"] for row in rest)
    assert said["accuracy_of_rest"] == right / len(rest)
    capsys.readouterr()
    assert run_command(["report", "raw.jsonl", "--summary", "r.json"]) == 0
    err = capsys.readouterr().err
    assert f"{60 - len(rest)} rows abstained · accuracy of the rest {right / len(rest):.1%}" in err
    (file,) = json.loads(Path("r.json").read_text(encoding="utf-8"))["files"]
    assert {name: file[name] for name in ("abstained", "coverage", "accuracy_of_rest", "ece", "brier")} == {
        name: said[name] for name in ("abstained", "coverage", "accuracy_of_rest", "ece", "brier")
    }
    again = calibrate("--method", "prior")
    assert [row["abstained"] for row in again] == [row["probability"] < 0.8 for row in again], "as before"


# ------------------------------------------------------------------ wrong input


def refused(capsys: pytest.CaptureFixture[str], *given: str) -> str:
    capsys.readouterr()
    return failed(capsys, "calibrate", *given, "-o", "no.jsonl")


def test_scores_without_what_a_method_needs_say_how_to_get_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    classify("-t", "zh-sentiment-mlm", "--no-calibration-scores", out="bare.jsonl")
    line = refused(capsys, "bare.jsonl", "--method", "pmi")
    assert line.startswith("error: bare.jsonl.run.json: holds no scores of prompts that say nothing; classify again")
    assert "--no-calibration-scores" in line
    classify("-t", "zh-sentiment-mlm", "--no-scores", out="labels.jsonl")
    line = refused(capsys, "labels.jsonl", "--method", "prior")
    assert line.startswith(
        "error: labels.jsonl:1: no score for each of the labels (positive, negative); classify again"
    )
    classify("-t", "zh-sentiment-mlm", out="raw.csv")
    line = refused(capsys, "raw.csv", "--method", "content-free")
    assert line.startswith("error: raw.csv:2: no score for each of the label words; ")
    assert "word_score_*" in line
    classify("-t", "zh-sentiment-mlm")
    assert "needs labelled rows" in refused(capsys, "raw.jsonl", "--method", "temperature")
    assert "uses no labelled rows" in refused(capsys, "raw.jsonl", "--method", "prior", "--dev", "raw.jsonl")
    assert not Path("no.jsonl").exists()


def test_a_record_that_is_not_there_torn_edited_or_of_no_end_is_told(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classify("-t", "zh-sentiment-mlm")
    whole = Path("raw.jsonl.run.json").read_text(encoding="utf-8")
    put(here / "raw.jsonl.run.json", whole.replace('"accuracy": 0', '"accuracy": 1', 1))
    line = refused(capsys, "raw.jsonl", "--method", "prior")
    assert line.startswith("error: raw.jsonl.run.json: a run record that has been changed since it was written")
    put(here / "raw.jsonl.run.json", whole[: len(whole) // 2])
    assert "raw.jsonl.run.json: not a run record of ours" in refused(capsys, "raw.jsonl", "--method", "prior")
    others = json.loads(whole) | {"calibration_scores": [{text: {"很": -1.0} for text in ("N/A", "[MASK]", "")}]}
    put(here / "raw.jsonl.run.json", record.written(others))
    line = refused(capsys, "raw.jsonl", "--method", "content-free")
    assert "raw.jsonl.run.json: its scores of prompts that say nothing are of other words" in line
    odd = json.loads(whole) | {"calibration_scores": [{"N/A": {"很": "-1"}}]}
    put(here / "raw.jsonl.run.json", record.written(odd))
    assert "raw.jsonl.run.json: not a run record of ours" in refused(capsys, "raw.jsonl", "--method", "pmi")
    stopped = json.loads(whole) | {"complete": False}
    put(here / "raw.jsonl.run.json", record.written(stopped))
    assert "raw.jsonl.run.json: the run has not come to its end" in refused(capsys, "raw.jsonl", "--method", "prior")
    Path("raw.jsonl.run.json").unlink()
    assert "raw.jsonl: no run record beside it (raw.jsonl.run.json)" in refused(
        capsys, "raw.jsonl", "--method", "prior"
    )
    assert "no run record beside it" in refused(capsys, "-", "--method", "prior")
    assert "nothing.jsonl" in refused(capsys, "nothing.jsonl", "--method", "prior")


def test_predictions_that_are_not_all_there_or_are_torn_are_told(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classify("-t", "zh-sentiment-mlm")
    lines = Path("raw.jsonl").read_text(encoding="utf-8").splitlines()
    put(here / "raw.jsonl", "\n".join(lines[:50]) + "\n")
    assert "raw.jsonl: holds 50 rows, and its run wrote 60" in refused(capsys, "raw.jsonl", "--method", "prior")
    put(here / "raw.jsonl", "\n".join([*lines[:-1], lines[-1][:70]]))
    assert "raw.jsonl:60" in refused(capsys, "raw.jsonl", "--method", "prior")
    broken = json.loads(lines[6]) | {"scores": {"positive": -1.0, "negative": "much"}}
    put(here / "raw.jsonl", "\n".join([*lines[:6], json.dumps(broken), *lines[7:]]))
    assert "raw.jsonl:7: no score for each of the labels" in refused(capsys, "raw.jsonl", "--method", "prior")
    put(here / "raw.jsonl", "\n".join([*lines[:6], json.dumps({**broken, "scores": {"positive": 1}}), *lines[7:]]))
    assert "raw.jsonl:7: no score for each of the labels" in refused(capsys, "raw.jsonl", "--method", "batch")


def test_labelled_predictions_of_other_labels_or_another_recipe_are_told(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classify("-t", "zh-sentiment-mlm")
    texts(here / "rows.jsonl", 10)
    classify("-t", "zh-sentiment-mlm", "--labels", "a=很,b=不", "--ignore-labels", out="other.jsonl")
    line = refused(capsys, "raw.jsonl", "--method", "few-label", "--dev", "other.jsonl")
    assert line.startswith("error: other.jsonl: its labels are a, b; those of raw.jsonl are positive, negative; ")
    classify("-t", "zh-sentiment-good-mlm", out="worded.jsonl")
    line = refused(capsys, "raw.jsonl", "--method", "few-label", "--dev", "worded.jsonl")
    assert "worded.jsonl: its scores were made otherwise than those of raw.jsonl: they differ in template" in line
    classify("-t", "zh-sentiment-mlm", "--ignore-labels", out="unlabelled.jsonl")
    texts(here / "rows.jsonl", 1)
    classify("-t", "zh-sentiment-mlm", out="one.jsonl")
    line = refused(capsys, "raw.jsonl", "--method", "temperature", "--dev", "one.jsonl")
    assert line.startswith("error: one.jsonl: 1 good row with a label of ours, too few to calibrate by; give 2 or more")


def test_rows_of_a_run_that_the_file_does_not_have_are_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    classify("-t", "en-sentiment-causal", "--demos", "dev.jsonl", "-k", "0,2", "--demo-seeds", "2")
    rows = read_rows("raw.jsonl")
    write_rows("raw.jsonl", [*rows[:70], {**rows[70], "demo_seed": 9}, *rows[71:]])
    line = refused(capsys, "raw.jsonl", "--method", "prior")
    assert line.startswith("error: raw.jsonl:71: shots 2 and demo_seed 9, and the file has no such run")
    write_rows("raw.jsonl", [*rows[:70], {**rows[70], "demo_seed": 1}, *rows[71:]])
    line = refused(capsys, "raw.jsonl", "--method", "prior")
    assert line.startswith("error: raw.jsonl: holds 59 rows of k=2, seed 0, and its run wrote 60")


def test_labelled_predictions_behind_other_demonstrations_are_told(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts(here / "pool.jsonl", 12, 2000)
    texts(here / "other.jsonl", 12, 3000)
    template = ["-t", "en-sentiment-causal"]
    classify(*template, "--demos", "pool.jsonl", "-k", "2")
    for given in (
        [],
        ["--demos", "other.jsonl", "-k", "2"],
        ["--demos", "pool.jsonl", "-k", "2", "--demos-by", "nearest"],
    ):
        classify(*template, *given, "--overwrite", rows="dev.jsonl", out="scored.jsonl")
        line = refused(capsys, "raw.jsonl", "--method", "few-label", "--dev", "scored.jsonl")
        assert "they differ in demonstrations" in line
    classify(*template, "--demos", "pool.jsonl", "-k", "4", "--overwrite", rows="dev.jsonl", out="scored.jsonl")
    line = refused(capsys, "raw.jsonl", "--method", "few-label", "--dev", "scored.jsonl")
    assert "scored.jsonl: has no run with 2 demonstrations drawn with seed 0, as raw.jsonl has" in line


def test_what_calibration_was_fitted_to_is_told_where_it_is_doubtful(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*given: str) -> str:
        capsys.readouterr()
        assert run_command([*given, "--overwrite", "-o", "z.jsonl"]) == 0
        return capsys.readouterr().err

    classify("-t", "zh-sentiment-mlm")
    here_too = "the rows that it was fitted to are judged as well"
    assert here_too in told("calibrate", "raw.jsonl", "--method", "few-label", "--dev", "raw.jsonl")
    assert here_too in told("classify", "rows.jsonl", "-t", "zh-sentiment-mlm", *SCORER, "--calibrate", "few-label",
                            "--dev", "rows.jsonl")  # fmt: skip
    classify("-t", "zh-sentiment-mlm", rows="dev.jsonl", out="scored.jsonl")
    said = told("calibrate", "raw.jsonl", "--method", "few-label", "--dev", "scored.jsonl")
    assert here_too not in said
    assert "labelled row" not in said.replace("by the labelled rows of", "")
    few = [{"text": "很好", "label": "positive"}, {"text": "不好", "label": "negative"}, {"text": "好", "label": "meh"}]
    write_rows(here / "few.jsonl", few)
    said = told("classify", "rows.jsonl", "-t", "zh-sentiment-mlm", *SCORER, "--calibrate", "temperature", "--dev",
                "few.jsonl")  # fmt: skip
    assert "it was fitted to 2 labelled rows: others would give other numbers" in said
    assert "1 row has no label of ours in few.jsonl, and did not count" in said


def test_a_file_that_was_changed_is_calibrated_and_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    classify("-t", "zh-sentiment-mlm")
    calibrate("--method", "batch")
    assert run_command(["calibrate", "raw.jsonl", "--method", "prior", "-o", "a.jsonl"]) == 0
    assert "is not as its run wrote it" not in capsys.readouterr().err
    rows = read_rows("raw.jsonl")
    write_rows("raw.jsonl", [{**rows[0], "label": "negative"}, *rows[1:]])
    assert run_command(["calibrate", "raw.jsonl", "--method", "prior", "-o", "b.jsonl"]) == 0
    assert "raw.jsonl is not as its run wrote it: what was changed in it counts here" in capsys.readouterr().err


def test_can_says_where_it_changed_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    classify("-t", "zh-sentiment-mlm")
    rows = read_rows("raw.jsonl")
    even = [{**row, "scores": {"positive": -1.0 - i / 1000, "negative": -1.0}} for i, row in enumerate(rows)]
    write_rows("raw.jsonl", even)
    assert run_command(["calibrate", "raw.jsonl", "--method", "can", "-o", "a.jsonl"]) == 0
    assert "can changed nothing: no row is sure to begin with" in capsys.readouterr().err


def test_words_that_rows_bring_keep_their_scores(here: Path) -> None:
    rows = [{"question": f"q{i}", "choices": ["a", f"b{i}", "c"], "label": i % 3} for i in range(9)]
    write_rows(here / "rows.jsonl", rows)
    raw = classify("-t", "en-choice-causal", out="own.jsonl")
    again = calibrate("--method", "temperature", "--dev", "own.jsonl", rows="own.jsonl", out="own-again.jsonl")
    assert [row["word_scores"] for row in again] == [row["word_scores"] for row in raw]
    assert again[0]["word_scores"].keys() == {"a", "b0", "c"}


def test_the_prior_that_was_told_explains_what_leans_and_is_in_the_hint(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(here / "plain.jsonl", [{"text": f"第 {i} 句"} for i in range(200)])
    base = ["classify", "plain.jsonl", "-t", "zh-sentiment-mlm", *SCORER, "--overwrite", "-o", "o.jsonl"]
    assert run_command([*base, "--prior", "positive=5,negative=95"]) == 0
    assert "promptshot calibrate o.jsonl --method prior --prior positive=0.05,negative=0.95" in capsys.readouterr().err
    share = sum(row["prediction"] == "positive" for row in read_rows("o.jsonl")) / 200
    assert run_command([*base, "--prior", f"positive={share:.3f},negative={1 - share:.3f}"]) == 0
    assert "--method prior" not in capsys.readouterr().err


def test_pairs_and_words_of_the_row_are_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(here / "rows.jsonl", [{"text_a": f"a{i}", "text_b": "b", "label": str(i % 2)} for i in range(6)])
    classify("-t", "zh-same-nsp", out="pairs.jsonl")
    line = refused(capsys, "pairs.jsonl", "--method", "prior")
    assert "zh-same-nsp ranks pairs" in line
    rows = [{"question": f"q{i}", "choices": ["a", f"b{i}"], "label": i % 2} for i in range(4)]
    write_rows(here / "rows.jsonl", rows)
    classify("-t", "en-choice-causal", out="own.jsonl")
    line = refused(capsys, "own.jsonl", "--method", "batch")
    assert "no calibration batch: each row of en-choice-causal has its own words; take temperature, or leave it" in line
    given = ["classify", "rows.jsonl", "-t", "en-choice-causal", "--calibrate", "prior", *SCORER, "-q"]
    assert "no calibration prior: each row" in failed(capsys, *given)


def test_demonstrations_of_each_row_have_no_prompt_that_stands_for_all(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["-t", "en-sentiment-causal", "--demos", "dev.jsonl", "-k", "2", "--demos-by", "nearest"]
    line = failed(capsys, "classify", "rows.jsonl", *given, "--calibrate", "pmi", *SCORER, "-q")
    assert "no calibration pmi: demonstrations are chosen for each row" in line
    classify(*given)
    assert "no calibration content-free: demonstrations are chosen" in refused(
        capsys, "raw.jsonl", "--method", "content-free"
    )
    assert len(calibrate("--method", "prior")) == 60


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--method", "prior", "--prior", "positive=1"], "--prior: no share for 'negative'"),
        (["--method", "batch", "--prior", "uniform"], "calibration batch uses no prior"),
        (["--method", "prior", "-o", "raw.jsonl"], "raw.jsonl"),
        (["--method", "prior", "--prior", "dev.jsonl", "-o", "dev.jsonl"], "dev.jsonl: this is what --prior reads"),
        (["--method", "prior", "-o", "again.xlsx"], "again.xlsx"),
        (["--method", "prior", "-o", "again.jsonl", "--summary", "again.jsonl"], "again.jsonl"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(
    given: list[str], said: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classify("-t", "zh-sentiment-mlm")
    before = Path("raw.jsonl").read_bytes()
    capsys.readouterr()
    assert said in failed(capsys, "calibrate", "raw.jsonl", *given)
    assert Path("raw.jsonl").read_bytes() == before


def test_it_is_a_function_of_python_as_well(here: Path) -> None:
    classify("-t", "zh-sentiment-mlm")
    series = calibrate_again("raw.jsonl", "prior", Outputs("py.jsonl"), {"positive": 2, "negative": 1})
    (result,) = series.results
    assert result.before is not None
    assert result.tally.predicted == result.before.predicted == 60
    assert len(read_rows("py.jsonl")) == 60
