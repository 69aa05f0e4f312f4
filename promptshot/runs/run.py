"""One run over files, or several with other demonstrations: predictions, rejects, summary and run record on disk, and
what it all came to."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from promptshot import files, scorers
from promptshot.classify import demonstrations
from promptshot.classify.classifier import Classifier
from promptshot.classify.demonstrations import Pools
from promptshot.classify.gold import check_gold
from promptshot.classify.prediction import Outcome
from promptshot.classify.recipe import Recipe
from promptshot.classify.spool import Spool
from promptshot.errors import InputError, PromptshotError, RowError, many
from promptshot.files import Named
from promptshot.metrics import Tally
from promptshot.rows import columns
from promptshot.rows.row import Item, Row
from promptshot.rows.writer import whole
from promptshot.runs import record
from promptshot.runs.finished import Finished
from promptshot.runs.inputs import HOPELESS, Inputs, refuse_foreign
from promptshot.runs.interrupt import Interrupts
from promptshot.runs.journal import Journal
from promptshot.runs.outputs import Outputs
from promptshot.runs.record import Ended
from promptshot.runs.result import Result
from promptshot.runs.series import Series
from promptshot.runs.shape import Shape, draw_of

if TYPE_CHECKING:
    from promptshot.runs.ray import Cluster

T = TypeVar("T")
Makes = Callable[[Recipe, Pools], Classifier]  # what gives a recipe its live parts
IN_VAIN = 1000  # prompts that were scored, and not one accepted: these take time


class Watcher:
    """Whoever wants to know how a run goes on; here it is told and says nothing."""

    def looked(self, line: str) -> None:
        """What is to be known before anything is scored: of the rows' labels, of who scores."""

    def ready(self, classifier: Classifier, rows: int) -> None:
        """The model is loaded, and so many rows were done before."""

    def turned(self, recipe: Recipe) -> None:
        """The next of several runs begins."""

    def advance(self, rows: int) -> None:
        """About so many more rows have been scored."""

    def counted(self, rows: int, tally: Tally) -> None:
        """So many rows have been written in all, and this is what they come to."""

    def stopped(self, journal: Journal) -> None:
        """The run ends early."""


def run(
    recipe: Recipe, inputs: Inputs, outputs: Outputs, watcher: Watcher | None = None, on_error: str = "reject"
) -> Result:
    """Score the inputs and write everything; a run that was stopped goes on where it had got to.

    With `on_error="fail"` the first row that cannot be used ends the run. Raises a PromptshotError when the
    run cannot start or go on, or when no row at all could be used; what was written stays.
    """
    return run_all([recipe], inputs, outputs, watcher, on_error).results[-1]


def run_all(
    recipes: Sequence[Recipe],
    inputs: Inputs,
    outputs: Outputs,
    watcher: Watcher | None = None,
    on_error: str = "reject",
    cluster: Cluster | None = None,
) -> Series:
    """The same for recipes that differ in their demonstrations only (see `Recipe.drawn`): one run behind the other,
    into the same files. The inputs must be such that can be read again (see `once`). With a `cluster`, its actors score
    the windows of rows."""
    recipe, several = recipes[-1], len(recipes) > 1
    outputs.check([*(Named("FILE", path) for path in inputs.paths), *recipe.reads])
    refuse_foreign(inputs.peek())
    refuse_lacking(recipe, inputs)
    looked = check_gold(inputs.all_rows(recipe.columns), recipe)
    recipes = [replace(one, spelling=looked.spelling) for one in recipes]
    if looked.unlike and watcher:
        watcher.looked(looked.unlike)
    selection = {**inputs.selection, **({"limit": inputs.limit} if recipe.transductive or several else {})}
    outputs = replace(outputs, resume=outputs.resume and inputs.rereadable)  # another pipe may say something else
    shape = _shape(recipes[-1], inputs, outputs, several)
    identity = recipes[-1].identity(inputs.paths, selection) | outputs.identity(inputs.marked)
    identity |= {"runs": [list(draw_of(one).values()) for one in recipes]} if several else {}
    outputs = replace(outputs, bom=outputs.form.delimiter is not None and (outputs.bom or inputs.marked))
    journal = Journal(outputs, shape, identity, inputs.limit)
    inputs.refuse_changed(*journal.done)
    if earlier := journal.finished():
        series = Series.restored(recipes, journal, [one.counts for one in earlier.runs] or [earlier.counts])
    else:
        with Interrupts() as interrupts, cluster.joined() if cluster else contextlib.nullcontext() as fleet:
            makes = fleet.classifier if fleet else None
            if fleet and watcher:
                fleet.tell = watcher.looked
                fleet.tell(fleet.told)
            series = _Runs(recipes, inputs, journal, watcher or Watcher(), on_error, makes).to_their_end(interrupts)
    dev = recipe.dev
    here = dev is not None and any(files.same(dev, path) for path in inputs.paths)
    whitened = recipe.whiten is not None and any(files.same(recipe.whiten, path) for path in inputs.paths)
    for result in series.results:
        result.doubt, result.fitted_here, result.whitened_here = looked.doubt, here, whitened
    journal.list_wrong(_wrong_rows(series, inputs, journal))
    journal.summarize(series.summary())
    return series


def refuse_lacking(recipe: Recipe, inputs: Inputs) -> None:
    """Stop before a model is loaded where a field of a template has no column in any of the rows."""
    for one in (recipe, *recipe.others):
        spec = one.template.spec
        own = [spec.words_from] if isinstance(spec.words_from, str) else spec.words_from or []  # these have other ways
        needs = [name for name in one.template.needs if name not in own]
        columns.refuse_lacking(islice(inputs.all_rows(one.columns), HOPELESS), needs)


class _Runs:
    """Recipes of which some are left to score, one behind the other, by one model."""

    def __init__(
        self,
        recipes: Sequence[Recipe],
        inputs: Inputs,
        journal: Journal,
        watcher: Watcher,
        on_error: str,
        makes: Makes | None = None,
    ) -> None:
        """Raises a PromptshotError where the model cannot be loaded, or there are too few demonstrations."""
        loader = scorers.Loader()
        self.makes = makes or (lambda recipe, pools: Classifier.of(recipe, loader, pools))
        self.recipes, self.inputs, self.journal, self.watcher = recipes, inputs, journal, watcher
        self.on_error = on_error
        self.series = Series.restored(recipes, journal, [ended.counts for ended in journal.runs])
        self.pools = Pools()
        most = max(recipes, key=lambda recipe: recipe.shots)
        demonstrations.check(most, self.pools)  # now, and not after the others are scored
        self.current = self._next()
        watcher.ready(self.current.classifier, self.current.before + self.current.rows)

    def _next(self) -> _Run:
        """The first that is not done."""
        number = len(self.series.results)
        inputs = self.inputs.afresh() if number else self.inputs
        run = _Run(
            self.recipes[number], inputs, self.journal, self.watcher, self.on_error, self.makes, self.pools, number
        )
        self.series.results.append(run.result)
        self.journal.draw = draw_of(run.result.recipe) if len(self.recipes) > 1 else {}
        return run

    def to_their_end(self, interrupts: Interrupts) -> Series:
        """Score and write all that is left; whatever stops it, the journal says how far it got."""
        with self.journal:
            try:
                self.current.score(interrupts)
                while len(self.series.results) < len(self.recipes):
                    with interrupts.held():
                        self.journal.turn(self._ended())
                    self.current = self._next()
                    self.watcher.turned(self.current.classifier.recipe)
                    self.current.score(interrupts)
                self._finish()
            except (KeyboardInterrupt, PromptshotError, OSError) as problem:
                with interrupts.held(), suppress(PromptshotError, OSError):
                    self.journal.stop()
                self.watcher.stopped(self.journal)
                if isinstance(problem, RowError):
                    hint = "mend it, or leave such rows out with --on-error reject"
                    raise InputError(problem.what, where=problem.where, hint=hint) from None
                raise
        return self.series

    def _ended(self) -> Ended:
        """What the record keeps of the run that has just come to its end; raises InputError where it has not read
        what the first one did."""
        result, seen = self.current.result, self.current.inputs.seen
        if self.journal.runs:
            self.current.inputs.refuse_changed(self.journal.runs[0].inputs, self.journal.runs[0].rows_read)
        own = {"rows_read": self.current.rows, "inputs": tuple(seen.parts), "counts": result.state()}
        own |= self.current.calibrated()
        return Ended.model_validate({**result.summary(), **draw_of(result.recipe), **own})

    def _finish(self) -> None:
        result, seen = self.current.result, self.current.inputs.seen
        result.left_out, result.changed = self.journal.left_out, tuple(seen.changed)
        runs = (*self.journal.runs, self._ended()) if len(self.recipes) > 1 else ()
        counts = None if runs else result.state()
        self.journal.head = self.journal.head.model_copy(update=self.current.calibrated())
        wrong = _wrong_rows(self.series, self.inputs, self.journal)
        self.journal.finish(self.current.rows, counts, seen.parts, self.series.summary(), wrong, runs)


class _Run:
    """A recipe that has something left to score: a window at a time, each written as it comes."""

    def __init__(
        self,
        recipe: Recipe,
        inputs: Inputs,
        journal: Journal,
        watcher: Watcher,
        on_error: str,
        makes: Makes,
        pools: Pools,
        number: int = 0,
    ) -> None:
        """The `number` says which it is of several. Raises a PromptshotError where the model cannot be loaded."""
        self.inputs, self.journal, self.watcher, self.on_error = inputs, journal, watcher, on_error
        self.number, self.before = number, sum(ended.rows_read for ended in journal.runs)
        budget = recipe.options.batch_budget or journal.budget()
        live = replace(recipe, options=replace(recipe.options, batch_budget=budget))
        self.classifier = makes(live, pools)
        self.transductive = recipe.transductive
        self.rows = journal.mark.rows  # that are written
        self.result = Result.restored(recipe, journal, journal.mark.counts)
        self.result.details, self.result.rows_before = self.classifier.details, self.rows
        self.result.fitted = self.classifier.fitted
        self.result.cuts, self.result.suiting = self.classifier.cuts, self.classifier.suiting
        self.result.overwritten = journal.shape.overwritten(_own(inputs.peek()))
        drawn = {"sample": inputs.sample, "seed": inputs.seed, "window": inputs.window}
        wanted = journal.outputs.record_path and journal.outputs.calibration_scores
        self.neutral = self.classifier.neutral if wanted else ()
        journal.head = self.result.head(**drawn, thresholds=self.classifier.cuts, **self.calibrated())

    def calibrated(self) -> dict[str, Any]:
        """What the record says of calibration: what has been fitted, and what else can be, without a model."""
        return record.calibrated(self.classifier.fitted, self.neutral)

    def score(self, interrupts: Interrupts) -> None:
        """Score and write all rows that are left; raises InputError where not one could be used."""
        began = time.perf_counter() - self.result.seconds
        given_up = self._all(interrupts, began)
        if not self.result.tally.predicted:
            raise _unusable(self.result, self.inputs, self.rows, given_up)

    def _all(self, interrupts: Interrupts, began: float) -> bool:
        """Write window by window; whether it was given up, for no row could be used."""
        tally, given_up = self.result.tally, False
        for window in self._windows(interrupts):
            with interrupts.held():
                self._write(window)
                self.result.seconds = time.perf_counter() - began
                if window.rows == self.inputs.window and not self.transductive:
                    self.journal.advance(self.rows, self.result.state(), self.inputs.read_for())
            self.watcher.counted(self.before + self.rows, tally)
            given_up = _hopeless(tally.predicted, tally.rejected, self.classifier.asked)
            if given_up and not self.transductive:  # there all have been scored
                break
        return given_up

    def _write(self, window: Finished) -> None:
        self.journal.write(window)
        self.result.include(window.counted)
        self.rows += window.rows

    def _windows(self, interrupts: Interrupts) -> Iterator[Finished]:
        """What comes of the rows that are left, a window at a time."""
        finish = self.journal.finish_of(self.result.recipe)
        if not self.transductive:
            yield from self._scored(self.journal.mark.rows, finish)
            return
        with (
            self.journal.spool() as kept,
            contextlib.nullcontext(kept) if kept else tempfile.TemporaryFile("w+b") as file,
        ):
            path = self.journal.outputs.spool_path or tempfile.gettempdir()
            try:
                whose = f"{self.journal.fingerprint}{f' {self.number}' if self.number else ''}"
                spool = Spool(file, whose, durable=kept is not None)
            except InputError as problem:
                raise InputError(problem.what, where=path, hint=problem.hint) from None
            self._fill(spool, path, interrupts)
            decided = self.classifier.decided(spool)
            self.result.fitted = self.classifier.fitted
            while window := list(islice(decided, self.inputs.window)):
                yield finish(window)

    def _fill(self, spool: Spool, path: str, interrupts: Interrupts) -> None:
        """Let all scores wait in a spool for the whole run's decision; those that are there are not made again."""
        self.journal.spooled = spool.rows
        self.inputs.refuse_changed(record.parts(spool.note), spool.rows)
        for window in self._scored(spool.rows, list):
            with interrupts.held(), files.named(path):
                spool.add(window, [vars(part) for part in self.inputs.read_for()])
                self.journal.spooled = spool.rows
            if _hopeless(spool.good, spool.rows, self.classifier.asked):
                break

    def _scored(self, start: int, then: Callable[[Sequence[Outcome]], T]) -> Iterator[T]:
        """What is made of each window of the rows from that number on."""
        items = self.inputs.read(self.result.recipe.columns, start)
        return self.classifier.finished(items, then, self.watcher.advance, self.on_error, self.inputs.window)


def _wrong_rows(series: Series, inputs: Inputs, journal: Journal) -> bytes:
    """The file of --errors, if one is asked for; rows that an earlier run had scored are read again."""
    if journal.outputs.errors is None:
        return b""
    worst = series.worst
    if keys := worst.lacking:
        worst.fill(inputs.numbered(keys, series.results[-1].recipe.columns))
    return whole([wrong.record() for wrong in worst.surest], journal.outputs.errors_form)


def _hopeless(predicted: int, rejected: int, asked: int) -> bool:
    """Whether so many rows were rejected, before or after they were scored, that the rest will be like them."""
    return not predicted and (rejected >= HOPELESS or asked >= IN_VAIN)


def _unusable(result: Result, inputs: Inputs, read: int, given_up: bool) -> InputError:
    """Not one row could be used: says why the first could not, and how many were not even read."""
    reject = result.rejects[0]
    total = inputs.total
    left = total - read if total is not None else 0
    unread = " (what stands behind them was not read)" if given_up and total is None else ""
    unread = f" ({left:,} more were not read)" if left > 0 else unread
    what = f"none of {many(read, 'row')} could be used{unread}; the first: {reject.reason}"
    return InputError(what, where=reject.source, hint=reject.advice)


def _own(first: Sequence[Item]) -> list[str]:
    """The columns of the first rows."""
    return list(dict.fromkeys(name for item in first if isinstance(item, Row) for name in item.fields))


def _shape(recipe: Recipe, inputs: Inputs, outputs: Outputs, several: bool) -> Shape:
    """What goes out; raises OptionError where a column is asked for that is not there."""
    table = outputs.form.delimiter is not None
    return Shape.of(recipe, table, outputs.fields, outputs.scores, _own(inputs.peek()), several)
