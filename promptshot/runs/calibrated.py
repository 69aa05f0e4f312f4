"""Stored predictions calibrated again: other labels and probabilities from the same scores, without a model.

OUT.jsonl, OUT.jsonl.run.json --(fit, finish)--> NEW.jsonl, NEW.jsonl.run.json

Rows and record hold all that `classify --calibrate` starts from, so the numbers are the very same.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from promptshot import files
from promptshot.classify import calibrate
from promptshot.classify.calibrate import Calibration, Fitted
from promptshot.classify.classifier import WINDOW, in_windows
from promptshot.classify.fitting import fitted_to
from promptshot.classify.prediction import Prediction, ended
from promptshot.classify.prior import prior_of
from promptshot.classify.recipe import Recipe
from promptshot.errors import InputError, OptionError, PromptshotError, many, shortlist
from promptshot.files import Named
from promptshot.rows.streams import marked
from promptshot.runs import record
from promptshot.runs.journal import Journal, differences
from promptshot.runs.outputs import Outputs
from promptshot.runs.predictions import File, Found, nested_of, number
from promptshot.runs.record import Calibrated, Counts, Ended, MadeOf, RunRecord
from promptshot.runs.result import KEPT, Result
from promptshot.runs.series import Series
from promptshot.runs.shape import Shape, draw_of, on_one_line

LIKE = "score the labelled rows with the same classify command"
AGAIN = "classify again with -o, without --no-scores"
LARGEST = 1e9  # of a score; sums of larger ones could leave the range of numbers
SAME = ("template", "verbalizer", "scorer", "model", "ensemble")  # what makes scores comparable


@dataclass(frozen=True)
class Run:
    """One run of a file: what it was made by, what it may be calibrated by, and its rows with their raw scores."""

    recipe: Recipe
    known: Calibrated
    counts: Counts | None
    predictions: list[Prediction]

    @property
    def draw(self) -> tuple[int, int | None]:
        """Which demonstrations it had."""
        return self.recipe.shots, self.recipe.demo_seed


@dataclass(frozen=True)
class Stored:
    """A file of predictions as `classify -o` writes it, with its run record: one run or several."""

    path: str
    record: RunRecord
    runs: list[Run]

    @property
    def edited(self) -> bool:
        """Whether the file is not as its run wrote it."""
        end = (self.record.ends or {}).get("output")
        wrote = end.sha256 if end else self.record.written.sha256 if self.record.written else None
        return wrote is not None and files.digest_of(self.path) != wrote

    @classmethod
    def of(cls, path: str) -> Stored:
        """Read it; raises InputError where scores or record are not as a run has left them."""
        beside = f"{path}.run.json"
        there = record.read_sound(beside) if files.is_file(path) else None
        if there is None:
            hint = "give a file as classify -o writes it"
            raise InputError(f"no run record beside it ({beside})", where=path, hint=hint)
        if not there.complete:
            hint = "give the same classify command again: it goes on"
            raise InputError("the run has not come to its end", where=beside, hint=hint)
        recipe = there.restored(beside)
        if recipe.task.paired:
            raise OptionError(f"{path}: {recipe.name} ranks pairs, whose labels no calibration changes")
        if recipe.task.several:
            what = (
                f"{path}: {recipe.name} judges each label by itself, and calibration shares one probability among them"
            )
            raise OptionError(
                what, hint="classify again with --threshold, or with labelled rows to fit it to: --dev FILE"
            )
        of_draw: dict[tuple[int, int | None], list[Prediction]] = {}
        for found in File.of(path).strict():
            of_draw.setdefault(found.draw, []).append(_prediction(found, recipe))
        parts: Sequence[Ended | RunRecord] = there.runs or [there]
        runs = [_run(recipe, part, of_draw) for part in parts]
        _refuse_other_rows(path, runs, parts, of_draw)
        return cls(path, there, runs)

    @property
    def chosen(self) -> dict[str, Any]:
        """How the demonstrations of its rows were chosen, and of what; nothing where there are none. How many they are,
        and which draw, each run says."""
        plan = self.runs[-1].recipe.demos
        if plan is None or not plan.k:
            return {}
        return {**plan.identity(), "path": self.record.identity.get("demo_file"), "k": 0, "seed": 0}

    def run_of(self, draw: tuple[int, int | None], path: str) -> Run:
        """The one run there is, or that with these demonstrations; raises InputError, which names the file `path` whose
        run has them."""
        found = next((run for run in self.runs if run.draw == draw), None)
        if found is None:
            drawn = "" if draw[1] is None else f" drawn with seed {draw[1]}"
            what = f"has no run with {many(draw[0], 'demonstration')}{drawn}, as {path} has"
            raise InputError(what, where=self.path, hint=LIKE)
        return found


def calibrate_again(
    path: str,
    method: str,
    outputs: Outputs,
    prior: str | Mapping[str, float] | None = None,
    dev: str | None = None,
    abstain_below: float | None = None,
) -> Series:
    """Write the predictions of a file as `classify --calibrate` would have, and what they come to.

    `prior` is read as `prior_of` says, `dev` is another file of predictions, with labels, by the same recipe; where
    nothing is said of abstaining, it is as before. Raises a PromptshotError where scores or record do not have what the
    method needs.
    """
    read = [Named(by, name) for by, one in (("PREDICTIONS", path), ("--dev", dev)) if one for name in _read(one)]
    outputs.check([*read, *([Named("--prior", prior)] if isinstance(prior, str) and os.path.isfile(prior) else [])])
    stored = Stored.of(path)
    first = stored.runs[0].recipe
    told = Calibration.of(method, prior_of(prior, first.task, first.reading), dev)
    runs = [_recalibrated(run, told, abstain_below) for run in stored.runs]
    for run in runs:
        run.recipe.check()
    beside = _dev(stored, dev) if dev else None
    for run in runs if told.method in calibrate.OF_PROMPTS else ():
        _refuse_lacking(run, path)
    fits = [_fitted(run, beside.run_of(run.draw, path) if beside else None) for run in runs]
    outputs = replace(outputs, bom=outputs.form.delimiter is not None and (outputs.bom or marked(path)))
    own = [name for run in runs for prediction in run.predictions[:WINDOW] for name in prediction.row.fields]
    table = outputs.form.delimiter is not None
    columns = list(dict.fromkeys(own))
    shape = Shape.of(runs[0].recipe, table, outputs.fields, outputs.scores, columns, len(runs) > 1)
    journal = Journal(outputs, shape, _identity(stored, runs[0].recipe, dev, outputs), None)
    if earlier := journal.finished():
        counts = [one.counts for one in earlier.runs or (earlier,)]
        series = Series.restored([run.recipe for run in runs], journal, counts)
    else:
        series = _write(stored, runs, fits, journal)
    journal.summarize(series.summary())
    return series


# ------------------------------------------------------------------ reading


def _read(path: str) -> tuple[str, str]:
    """The files that predictions are read from."""
    return path, f"{path}.run.json"


def _run(recipe: Recipe, part: Ended | RunRecord, of_draw: Mapping[Any, list[Prediction]]) -> Run:
    """One of the runs of a file."""
    if isinstance(part, RunRecord):
        return Run(recipe, part, part.counts, of_draw.get((0, None), []))
    (own,) = recipe.drawn([part.shots], [part.demo_seed or 0])
    return Run(own, part, part.counts, of_draw.get((part.shots, part.demo_seed), []))


def _refuse_other_rows(
    path: str, runs: Sequence[Run], parts: Sequence[Ended | RunRecord], of_draw: Mapping[Any, Sequence[Prediction]]
) -> None:
    """Each run has the rows that it wrote, and no row is of another; raises InputError."""
    hint = "give the file as classify -o wrote it, with its own record"
    known = [run.draw if len(runs) > 1 else (0, None) for run in runs]
    for draw in of_draw:
        if draw not in known:
            what = f"shots {draw[0]} and demo_seed {draw[1]}, and the file has no such run"
            raise InputError(what, where=of_draw[draw][0].row.source, hint=hint)
    for run, part in zip(runs, parts, strict=True):
        if (rows := len(run.predictions)) != part.predicted:
            of = f" of k={run.draw[0]}, seed {run.draw[1]}" if len(runs) > 1 else ""
            raise InputError(f"holds {rows:,} rows{of}, and its run wrote {part.predicted:,}", where=path, hint=hint)


def _prediction(found: Found, recipe: Recipe) -> Prediction:
    """A row with its raw scores, not yet calibrated; raises InputError where it has none for each label."""
    whole, row = found.whole, found.row
    labels = found.keys if recipe.task.own_words else recipe.labels
    scores = _numbers(whole, "scores", "score_", labels)
    if scores is None:
        told = f"no score for each of the labels ({shortlist(labels, 6)})" if labels else "no scores"
        raise InputError(told, where=row.source, hint=AGAIN)
    known = labels if recipe.task.own_words else _words(recipe)  # where rows bring their words, these are the labels
    words = _numbers(whole, "word_scores", "word_score_", known) or {}
    gold = (None, None) if recipe.labels_ignored else (found.said.gold, found.said.value)
    return Prediction(row, "", scores, words, None, *gold)


def _words(recipe: Recipe) -> list[str]:
    """The label words, as rows name them."""
    members = (recipe, *recipe.others)
    return [
        f"{i}: {word}" if recipe.others else word
        for i, one in enumerate(members, 1)
        for of in one.verbalizer.labels.values()
        for word in of
    ]


def _numbers(whole: Mapping[str, Any], name: str, prefix: str, keys: Sequence[str]) -> dict[str, float] | None:
    """The numbers of an object, or of the columns of a table, in this order; None where one is lacking."""
    nested = nested_of(whole.get(name))
    told = nested if nested is not None else {key: whole.get(f"{prefix}{on_one_line(key)}") for key in keys}
    numbers = {key: number(told.get(key)) for key in keys}
    found = {key: value for key, value in numbers.items() if value is not None and abs(value) < LARGEST}
    return found if found and len(found) == len(keys) else None


# ------------------------------------------------------------------ fitting


def _recalibrated(run: Run, told: Calibration, abstain_below: float | None) -> Run:
    """The run with another calibration in its recipe."""
    below = run.recipe.abstain_below if abstain_below is None else abstain_below
    return replace(run, recipe=replace(run.recipe, calibration=told, abstain_below=below))


def _refuse_lacking(run: Run, path: str) -> None:
    """Word scores must be there, of rows and of prompts that say nothing; raises InputError with how to get them."""
    if not run.known.calibration_scores:
        what = "holds no scores of prompts that say nothing"
        hint = "classify again with -o, without --no-calibration-scores"
        raise InputError(what, where=f"{path}.run.json", hint=hint)
    if any(set(of) != words for words, of in _asked(run)):
        raise InputError(
            "its scores of prompts that say nothing are of other words", where=f"{path}.run.json", hint=AGAIN
        )
    for prediction in run.predictions:
        if not prediction.word_scores:
            hint = "write .jsonl, or a table with --fields '...,score_*,word_score_*'"
            raise InputError("no score for each of the label words", where=prediction.row.source, hint=hint)


def _asked(run: Run) -> Iterator[tuple[set[str], Mapping[str, float]]]:
    """The words of each member beside the scores of words of each of its prompts that say nothing."""
    known = run.known.calibration_scores
    for place, one in enumerate((run.recipe, *run.recipe.others)):
        words = {word for of in one.verbalizer.labels.values() for word in of}
        said = known[place] if place < len(known) else {"": dict[str, float]()}
        yield from ((words, scores) for scores in said.values() if not isinstance(scores, str))


def _dev(stored: Stored, path: str) -> Stored:
    """The labelled predictions to calibrate by; raises InputError where their scores are not comparable."""
    found = Stored.of(path)
    labels, others = stored.runs[0].recipe.labels, found.runs[0].recipe.labels
    if set(labels) != set(others):
        what = f"its labels are {shortlist(others, 6)}; those of {stored.path} are {shortlist(labels, 6)}"
        raise InputError(what, where=path, hint=LIKE)
    ours, theirs = (one.record.recipe.model_dump(include={*SAME}) for one in (stored, found))
    for known, one in ((ours, stored), (theirs, found)):
        known |= {"options": one.record.recipe.options.identity(), "demonstrations": one.chosen}
    if unlike := differences(ours, theirs):
        what = f"its scores were made otherwise than those of {stored.path}: they differ in {shortlist(unlike, 4)}"
        raise InputError(what, where=path, hint=LIKE)
    return found


def _fitted(run: Run, dev: Run | None) -> Fitted | None:
    """What the method fits to what is known of a run."""
    told = run.recipe.calibration
    if dev is not None:
        return fitted_to(dev.predictions, run.recipe, told.dev or "")
    if told.transductive:
        return calibrate.of_run(told, (prediction.label_scores for prediction in run.predictions))
    return calibrate.of_prompts(told.method, run.known.calibration_scores) if told else None


# ------------------------------------------------------------------ writing


def _identity(stored: Stored, recipe: Recipe, dev: str | None, outputs: Outputs) -> dict[str, Any]:
    """All that decides what is written."""
    below = {} if recipe.abstain_below is None else {"abstain_below": recipe.abstain_below}
    read = {name: [files.digest_of(one) for one in _read(path)] for name, path in
            (("predictions", stored.path), ("dev", dev)) if path}  # fmt: skip
    return {**recipe.calibration.identity(), **below, **read, **outputs.identity(marked(stored.path))}


def _write(stored: Stored, runs: Sequence[Run], fits: Sequence[Fitted | None], journal: Journal) -> Series:
    """Write all runs that are not written, one behind the other."""
    series = Series.restored([run.recipe for run in runs], journal, [done.counts for done in journal.runs])
    left = list(zip(runs, fits, strict=True))[len(series.results) :]
    result = _result(stored, *left[0], journal)
    with journal:
        try:
            for number, (run, fitted) in enumerate(left):
                if number:
                    journal.turn(_ended(*left[number - 1], result))
                    result = _result(stored, run, fitted, journal)
                series.results.append(result)
                _rows(run, fitted, result, journal)
            _finish(stored, left[-1], series, journal)
        except (KeyboardInterrupt, PromptshotError, OSError):
            with suppress(PromptshotError, OSError):
                journal.stop()
            raise
    return series


def _finish(stored: Stored, last: tuple[Run, Fitted | None], series: Series, journal: Journal) -> None:
    """The last row has been written."""
    result = series.results[-1]
    runs = (*journal.runs, _ended(*last, result)) if stored.record.runs else ()
    counts = None if runs else result.state()
    journal.finish(len(last[0].predictions), counts, stored.record.inputs, series.summary(), runs=runs)


def _result(stored: Stored, run: Run, fitted: Fitted | None, journal: Journal) -> Result:
    """The result of a run before its first row, with what is known of its rows; the journal's head says what it is."""
    there = stored.record
    result = Result.restored(run.recipe, journal, None)
    result.details, result.fitted = there.machine, fitted
    result.fitted_here = run.recipe.calibration.dev is not None and files.same(run.recipe.calibration.dev, stored.path)
    result.edited = stored.path if stored.edited else ""
    for name in KEPT if run.counts else ():
        setattr(result, name, getattr(run.counts, name))
    result.seconds = 0.0
    name, digest = os.path.basename(stored.path), files.digest_of(stored.path) or ""
    made_of = MadeOf(file=name, sha256=digest, fingerprint=there.fingerprint)
    drawn = {"sample": there.sample, "seed": there.seed, "window": there.window}
    journal.head = result.head(**drawn, **_known(run, fitted), made_of=made_of)
    journal.draw = draw_of(run.recipe) if there.runs else {}
    return result


def _known(run: Run, fitted: Fitted | None) -> dict[str, Any]:
    """What the record says of calibration."""
    return record.calibrated(fitted, run.known.calibration_scores)


def _ended(run: Run, fitted: Fitted | None, result: Result) -> Ended:
    """What the record keeps of one of several runs."""
    own = {"rows_read": len(run.predictions), "counts": result.state(), **_known(run, fitted)}
    return Ended.model_validate({**result.summary(), **draw_of(run.recipe), **own})


def _rows(run: Run, fitted: Fitted | None, result: Result, journal: Journal) -> None:
    """Write the rows of a run, and count them."""
    began, finish = time.perf_counter(), journal.finish_of(run.recipe)
    for window in in_windows(run.predictions, WINDOW):
        done = finish([_finished(prediction, run.recipe, fitted) for prediction in window])
        journal.write(done)
        result.include(done.counted)
        result.seconds = time.perf_counter() - began


def _finished(prediction: Prediction, recipe: Recipe, fitted: Fitted | None) -> Prediction:
    """A row as it goes out."""
    return ended(prediction, recipe, fitted or RAW)


RAW = Fitted("none")  # scores as they are
