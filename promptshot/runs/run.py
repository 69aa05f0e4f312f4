"""One run over files: predictions, rejects, summary and run record on disk, and what it all came to."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice

from promptshot import files
from promptshot.classify.classifier import Classifier
from promptshot.classify.gold import check_gold
from promptshot.classify.prediction import Outcome
from promptshot.classify.recipe import Recipe
from promptshot.classify.spool import Spool
from promptshot.errors import InputError, PromptshotError, RowError, many
from promptshot.files import Named
from promptshot.metrics import Tally
from promptshot.rows import columns, formats
from promptshot.rows.row import Item, Row
from promptshot.rows.writer import whole
from promptshot.runs import record
from promptshot.runs.inputs import HOPELESS, Inputs, refuse_foreign
from promptshot.runs.interrupt import Interrupts
from promptshot.runs.journal import Journal
from promptshot.runs.outputs import Outputs
from promptshot.runs.result import Result
from promptshot.runs.shape import Shape

IN_VAIN = 1000  # prompts that were scored, and not one accepted: these take time


class Watcher:
    """Whoever wants to know how a run goes on; here it is told and says nothing."""

    def looked(self, line: str) -> None:
        """What is to be known of the rows' labels before anything is scored."""

    def ready(self, classifier: Classifier, rows: int) -> None:
        """The model is loaded, and so many rows were done before."""

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
    outputs.check([*(Named("FILE", path) for path in inputs.paths), *recipe.reads])
    refuse_foreign(inputs.peek())
    _refuse_lacking(recipe, inputs)
    looked = check_gold(inputs.all_rows(recipe.columns), recipe)
    recipe = replace(recipe, spelling=looked.spelling)
    if looked.unlike and watcher:
        watcher.looked(looked.unlike)
    selection = {**inputs.selection, **({"limit": inputs.limit} if recipe.transductive else {})}
    outputs = replace(outputs, resume=outputs.resume and inputs.rereadable)  # another pipe may say something else
    shape = _shape(recipe, inputs, outputs)
    identity = recipe.identity(inputs.paths, selection) | outputs.identity(inputs.marked)
    outputs = replace(outputs, bom=outputs.form.delimiter is not None and (outputs.bom or inputs.marked))
    journal = Journal(outputs, shape, identity, inputs.limit)
    inputs.refuse_changed(*journal.done)
    if earlier := journal.finished():
        result = Result.restored(recipe, journal, earlier.counts)
        result.rows_before = result.tally.predicted + result.tally.rejected
    else:
        with Interrupts() as interrupts:
            result = _scored(_Run(recipe, inputs, journal, watcher or Watcher(), interrupts, on_error))
    result.doubt = looked.doubt
    journal.list_wrong(_wrong_rows(result, inputs, journal))
    journal.summarize(result.summary())
    return result


def _refuse_lacking(recipe: Recipe, inputs: Inputs) -> None:
    """Stop before a model is loaded where a field of a template has no column in any of the rows."""
    for one in (recipe, *recipe.others):
        spec = one.template.spec
        own = [spec.words_from] if isinstance(spec.words_from, str) else spec.words_from or []  # these have other ways
        needs = [name for name in one.template.needs if name not in own]
        columns.refuse_lacking(islice(inputs.all_rows(one.columns), HOPELESS), needs)


@dataclass(frozen=True)
class _Run:
    """What the steps of a run share."""

    recipe: Recipe
    inputs: Inputs
    journal: Journal
    watcher: Watcher
    interrupts: Interrupts
    on_error: str


def _scored(the: _Run) -> Result:
    """Load the model, score what is left to score, write it."""
    budget = the.recipe.options.batch_budget or the.journal.budget()
    recipe = replace(the.recipe, options=replace(the.recipe.options, batch_budget=budget))
    classifier = Classifier.of(recipe)
    journal, rows = the.journal, the.journal.mark.rows
    result = Result.restored(the.recipe, journal, journal.mark.counts)
    result.details, result.rows_before = classifier.details, rows
    result.overwritten = journal.shape.overwritten(_own(the.inputs.peek()))
    drawn = {"sample": the.inputs.sample, "seed": the.inputs.seed, "window": the.inputs.window}
    journal.head = result.head(**drawn, thresholds=classifier.cuts)
    the.watcher.ready(classifier, rows)
    with journal:
        began, given_up = time.perf_counter() - result.seconds, False
        try:
            for window in _windows(the, classifier):
                with the.interrupts.held():
                    journal.write(window)
                    result.count(window)
                    rows += len(window)
                    result.seconds = time.perf_counter() - began
                    if len(window) == the.inputs.window and not the.recipe.transductive:
                        journal.advance(rows, result.state(), the.inputs.seen.parts)
                the.watcher.counted(rows, result.tally)
                given_up = _hopeless(result.tally.predicted, result.tally.rejected, classifier.asked)
                if given_up and not the.recipe.transductive:  # there all have been scored
                    break
            if not result.tally.predicted:
                raise _unusable(result, the.inputs, rows, given_up)
            result.left_out, result.changed = journal.left_out, tuple(the.inputs.seen.changed)
            wrong = _wrong_rows(result, the.inputs, journal)
            journal.finish(rows, result.state(), the.inputs.seen.parts, result.summary(), wrong)
        except (KeyboardInterrupt, PromptshotError, OSError) as problem:
            with the.interrupts.held(), suppress(PromptshotError, OSError):
                journal.stop()
            the.watcher.stopped(journal)
            if isinstance(problem, RowError):
                hint = "mend it, or leave such rows out with --on-error reject"
                raise InputError(problem.what, where=problem.where, hint=hint) from None
            raise
    return result


def _windows(the: _Run, classifier: Classifier) -> Iterator[list[Outcome]]:
    """What comes of the rows that are left, a window at a time."""

    def scored(start: int) -> Iterator[list[Outcome]]:
        items = the.inputs.read(the.recipe.columns, start)
        return classifier.scored(items, the.watcher.advance, the.on_error, the.inputs.window)

    if not the.recipe.transductive:
        yield from scored(the.journal.mark.rows)
        return
    with the.journal.spool() as kept, contextlib.nullcontext(kept) if kept else tempfile.TemporaryFile("w+b") as file:
        path, of = the.journal.outputs.spool_path or tempfile.gettempdir(), the.journal.fingerprint
        try:
            spool = Spool(file, of, durable=kept is not None)
        except InputError as problem:
            raise InputError(problem.what, where=path, hint=problem.hint) from None
        the.journal.spooled = spool.rows
        the.inputs.refuse_changed(record.parts(spool.note), spool.rows)
        for window in scored(spool.rows):
            with the.interrupts.held(), files.named(path):
                spool.add(window, [vars(part) for part in the.inputs.seen.parts])
                the.journal.spooled = spool.rows
            if _hopeless(spool.good, spool.rows, classifier.asked):
                break
        ranked = classifier.ranked(spool)
        while window := list(islice(ranked, the.inputs.window)):
            yield window


def _wrong_rows(result: Result, inputs: Inputs, journal: Journal) -> bytes:
    """The file of --errors, if one is asked for; rows that an earlier run had scored are read again."""
    if journal.outputs.errors is None:
        return b""
    if keys := result.worst.lacking:
        result.worst.fill(inputs.numbered(keys, result.recipe.columns))
    return whole([wrong.record() for wrong in result.worst.surest], journal.outputs.errors_form)


def _hopeless(predicted: int, rejected: int, asked: int) -> bool:
    """Whether so many rows were rejected, before or after they were scored, that the rest will be like them."""
    return not predicted and (rejected >= HOPELESS or asked >= IN_VAIN)


def _unusable(result: Result, inputs: Inputs, read: int, given_up: bool) -> InputError:
    """Not one row could be used: says why the first could not, and how many were not even read."""
    reject = result.rejects[0]
    total = formats.count(inputs.paths, inputs.how)
    left = min(n for n in (total, inputs.limit, inputs.sample) if n is not None) - read if total is not None else 0
    unread = " (what stands behind them was not read)" if given_up and total is None else ""
    unread = f" ({left:,} more were not read)" if left > 0 else unread
    what = f"none of {many(read, 'row')} could be used{unread}; the first: {reject.reason}"
    return InputError(what, where=reject.source, hint=reject.advice)


def _own(first: Sequence[Item]) -> list[str]:
    """The columns of the first rows."""
    return list(dict.fromkeys(name for item in first if isinstance(item, Row) for name in item.fields))


def _shape(recipe: Recipe, inputs: Inputs, outputs: Outputs) -> Shape:
    """What goes out; raises OptionError where a column is asked for that is not there."""
    table = outputs.form.delimiter is not None
    return Shape.of(recipe, table, outputs.fields, outputs.scores, _own(inputs.peek()))
