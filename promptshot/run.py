"""One run over files: predictions, rejects, summary and run record on disk, and what it all came to."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from typing import Any

from promptshot import columns, files, formats, record, rows
from promptshot.classify import WINDOW, Classifier
from promptshot.decide import Ranks
from promptshot.errors import InputError, OptionError, PromptshotError, RowError, many, shortlist
from promptshot.files import Named
from promptshot.gold import check_gold
from promptshot.guess import Look
from promptshot.interrupt import Interrupts
from promptshot.journal import Journal
from promptshot.metrics import Tally
from promptshot.outputs import Outputs
from promptshot.prediction import Outcome, Prediction
from promptshot.recipe import Recipe
from promptshot.record import FORMAT, Counts, RecordedRecipe, RunRecord, TallyCounts, versions
from promptshot.remarks import Remark, against_majority, leaning, unknown_gold, unlisted
from promptshot.rows import Item, Reject, Row, with_columns
from promptshot.shape import Shape
from promptshot.spool import Spool
from promptshot.streams import PLAIN, Part, Reading, Seen
from promptshot.writer import whole
from promptshot.wrong import Worst, WorstState, Wrong

EXAMPLES = 10  # predictions kept for people to look at
LISTED = 20  # labels whose words are told
# Counts of a result, beside its tally.
KEPT = tuple(name for name in Counts.model_fields if name not in ("tally", "rejects", "worst"))
FOREIGN = 0.25  # of the first rows, at most, may be in another encoding
AHEAD = 16  # windows that are looked through for a good row, before a file is taken for one without any
HOPELESS = AHEAD * WINDOW  # rejected rows, and not one accepted: something is wrong with all of them
IN_VAIN = 1000  # prompts that were scored, and not one accepted: these take time


class Inputs:
    """Which rows: the files (`-` is standard input), the first `limit`, of these a seeded sample."""

    def __init__(
        self,
        paths: Sequence[str],
        limit: int | None = None,
        sample: int | None = None,
        seed: int = 0,
        how: Reading = PLAIN,
        window: int = WINDOW,
    ) -> None:
        """So many rows are scored at a time: a `window`, at whose end a run can be cut."""
        self.window = window
        self.paths, self.limit, self.sample, self.seed, self.how = tuple(paths), limit, sample, seed, how
        self.seen = Seen()  # what is read of the files for the rows that are scored
        self._rest = rows.select(rows.read(self.paths, how=how, seen=self.seen), limit, sample, seed)
        self._first: list[Item] | None = None

    def peek(self) -> list[Item]:
        """The first window of rows, and the next ones where not one row is good; `read` still gives them.

        Where a file is torn they end, and `read` will tell.
        """
        if self._first is None:
            self._first, good = [], False
            try:
                for item in islice(self._rest, AHEAD * self.window):
                    self._first.append(item)
                    good = good or isinstance(item, Row)
                    if good and len(self._first) % self.window == 0:
                        break
            except InputError as problem:
                if not self._first:
                    raise
                self._rest = _failing(problem)
        return self._first

    def read(self, columns: Mapping[str, str], start: int = 0) -> Iterator[Item]:
        """The selected rows from number `start` on, in order and once, with these columns for fields."""
        first, self._first = self.peek(), []
        return (with_columns(item, columns) for item in islice(chain(first, self._rest), start, None))

    def peek_rows(self, columns: Mapping[str, str]) -> list[Row]:
        """The good ones of the first rows."""
        return [replace(item, columns=columns) for item in self.peek() if isinstance(item, Row)]

    def all_rows(self, columns: Mapping[str, str]) -> Iterator[Row]:
        """All good rows of the files, whatever the selection, read anew; of what can be read only once, the first
        ones. They end where a file is torn: the run itself will tell."""
        items, any_read = self._all() if self.rereadable else iter(self.peek()), False
        try:
            for item in items:
                any_read = True
                if isinstance(item, Row):
                    yield replace(item, columns=columns)
        except InputError:
            if not any_read:
                raise

    def numbered(self, keys: Set[int], columns: Mapping[str, str]) -> dict[int, Row]:
        """The rows with these numbers, read anew."""
        items = islice(self._all(), max(keys) + 1)
        return {
            item.key: replace(item, columns=columns) for item in items if isinstance(item, Row) and item.key in keys
        }

    @property
    def rereadable(self) -> bool:
        """Whether all files can be read again: no standard input, no pipe, whatever its name."""
        return all(files.is_file(path) for path in self.paths)

    def refuse_changed(self, parts: Sequence[Part], rows: int) -> None:
        """Raise InputError where what was read of the files for so many rows is not what they say now."""
        for path, part in zip(self.paths, parts, strict=False):
            if files.digest_of(path, part.bytes) != part.sha256:
                what = f"has been changed since its rows were scored ({rows:,} are done)"
                raise InputError(what, where=path, hint="use --overwrite to start afresh, or write to another file")

    @property
    def marked(self) -> bool:
        """Whether the first file begins with a byte order mark."""
        self.peek()
        return self.seen.marked

    @property
    def partly_seen(self) -> bool:
        """Whether there may be rows that `all_rows` does not give."""
        cut = self.limit is not None or self.sample is not None
        return not self.rereadable and (cut or len(self.peek()) >= self.window)

    def look(self, columns: Mapping[str, str]) -> Look:
        """What a guess may see of the rows."""

        def bad() -> Reject | None:
            return next((item for item in self.peek() if isinstance(item, Reject)), None)

        first, every = partial(self.peek_rows, columns), partial(self.all_rows, columns)
        return Look(first, every, bad, lambda: self.partly_seen)

    def look_back(self, items: Sequence[Item], columns: Mapping[str, str]) -> Look:
        """The same once they have been read."""
        found = look_at(items, columns, self.window)
        return replace(found, every=partial(self.all_rows, columns)) if self.rereadable else found

    def _all(self) -> Iterator[Item]:
        return rows.read(self.paths, how=self.how)

    @property
    def selection(self) -> dict[str, Any]:
        """What decides which rows are scored, and which together; a plain limit does not (a longer run may go on from a
        shorter)."""
        drawn = {"sample": self.sample, "seed": self.seed, "limit": self.limit} if self.sample else {}
        cut = {"window": self.window} if self.window != WINDOW else {}
        return {**drawn, **cut, **self.how.as_dict()}


def look_at(items: Sequence[Item], columns: Mapping[str, str], window: int = WINDOW) -> Look:
    """What a guess may see of rows that have been read."""
    good = [row for item in items if isinstance(row := with_columns(item, columns), Row)]
    return Look(lambda: good[:window], lambda: good, lambda: next((i for i in items if isinstance(i, Reject)), None))


@dataclass
class Result:
    """What a run came to."""

    recipe: Recipe
    tally: Tally
    fingerprint: str
    details: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    cut: int = 0  # rows whose text was shortened
    odd: int = 0  # rows that were read and look odd
    first_odd: str = ""  # where the first of them is, and why
    dropped: int = 0  # demonstrations left out, over all rows
    short: int = 0  # rows that lost some of them
    lacking: int = 0  # rows with fewer demonstrations than asked for
    split: int = 0  # label words of several tokens
    tokens: dict[str, int] = field(default_factory=dict)  # of each label word; 0 where they differ from row to row
    averaged: bool = False
    unknown: int = 0  # rows of whose text the tokenizer knows nothing
    first_unknown: str = ""  # where the first of them is
    worst: Worst = field(default_factory=Worst)  # rows that went wrong
    examples: list[Prediction] = field(default_factory=list)  # the first few
    rejects: list[Reject] = field(default_factory=list)  # the first few
    rejects_path: str | None = None
    doubt: str = ""  # what can be doubted of the rows' own labels
    changed: tuple[str, ...] = ()  # files that were written to while they were read
    rows_before: int = 0  # rows that an earlier run had done
    overwritten: tuple[str, ...] = ()  # input fields that gave way to output fields
    left_out: tuple[str, ...] = ()  # columns that a table had no room for

    @classmethod
    def restored(cls, recipe: Recipe, journal: Journal, counts: Counts | None) -> Result:
        """A result with the counts of an earlier run, if there was one."""
        labels = recipe.labels
        result = cls(recipe, Tally(labels), journal.fingerprint, rejects_path=journal.outputs.rejects_path)
        result.details = journal.earlier.machine if journal.earlier else {}
        result.worst = Worst(journal.outputs.kept_wrong)
        if counts:
            result._restore(counts)
            worst = Worst.restored(counts.worst, result.worst.most)
            if worst is None:
                hint = f"promptshot report {journal.outputs.output} --errors"
                raise OptionError("--errors: the rows that are done were counted without it", hint=hint)
            result.worst = worst
        return result

    def _restore(self, counts: Counts) -> None:
        self.tally = Tally.restored(self.recipe.labels, dict(counts.tally))
        self.rejects = list(counts.rejects)
        for name in KEPT:
            setattr(self, name, getattr(counts, name))
        self.tokens = dict(counts.tokens)

    def count(self, outcomes: Iterable[Outcome]) -> None:
        """Add what came of some more rows."""
        for outcome in outcomes:
            if isinstance(outcome, Reject):
                self.tally.rejected += 1
                if len(self.rejects) < 3:
                    self.rejects.append(outcome)
                continue
            if len(self.examples) < EXAMPLES:
                self.examples.append(outcome)
            choices = None if self.tally.labels else len(outcome.label_scores)
            self.tally.add(outcome.label, outcome.gold, outcome.gold_value, choices)
            if outcome.gold not in (None, outcome.label):
                self._went_wrong(outcome)
            self.cut += outcome.cut > 0
            if outcome.row.remark:
                self.odd += 1
                self.first_odd = self.first_odd or f"{outcome.row.source}: {outcome.row.remark}"
            self.dropped += outcome.dropped
            self.short += outcome.dropped > 0
            self.lacking += outcome.lacking > 0
            self.split = max(self.split, outcome.split)
            self.averaged |= outcome.averaged
            if outcome.tokens and not self.recipe.task.own_words:
                self._see_tokens(outcome)
            if outcome.unknown:
                self.first_unknown = self.first_unknown or outcome.row.source
                self.unknown += 1

    def _see_tokens(self, found: Prediction) -> None:
        if tuple(self.tokens.values()) == found.tokens:  # the usual case
            return
        for word, n in zip(found.word_scores, found.tokens, strict=True):
            self.tokens[word] = n if self.tokens.get(word, n) == n else 0

    def _went_wrong(self, found: Prediction) -> None:
        names = self.recipe.template.needs
        wrong = Wrong.of(found.row, str(found.gold), found.label, found.probability, names)
        self.worst.add(wrong, self.tally.confusion)

    def state(self) -> Counts:
        """The counts, from which `restored` goes on; at every end of a window, so they are not looked at again."""
        kept = {name: getattr(self, name) for name in KEPT} | {"tokens": dict(self.tokens)}
        tally, worst = TallyCounts.model_construct(**self.tally.state()), WorstState(**self.worst.state())
        return Counts.model_construct(tally=tally, rejects=list(self.rejects), worst=worst, **kept)

    def head(self, **more: Any) -> RunRecord:
        """What the run record says from the start: what is run, how labels come of it, and `more`."""
        return RunRecord(
            format=FORMAT,
            complete=False,
            machine=json.loads(json.dumps(dict(self.details))),
            versions=versions(),
            gold_field=self.recipe.task.label_field,
            label_order=tuple(self.tally.labels),
            recipe=RecordedRecipe.model_validate(self.recipe.as_dict()),
            **more,
        )

    @property
    def rows_per_second(self) -> float:
        return self.tally.predicted / self.seconds if self.seconds else 0.0

    def summary(self) -> dict[str, Any]:
        """Metrics and circumstances as plain data: the summary file."""
        return {
            **self.tally.summary(),
            "rows_per_second": self.rows_per_second,
            "seconds": self.seconds,
            "rows_cut": self.cut,
            "rows_odd": self.odd,
            "rows_unknown": self.unknown,
            "demonstrations_dropped": self.dropped,
            "rows_short_of_demonstrations": self.short,
            "rows_lacking_demonstrations": self.lacking,
            "words_split": self.split,
            "mean_over_tokens": self.averaged,
            "transductive": self.recipe.transductive,
            "recipe": self.recipe.as_dict(),
            "fingerprint": self.fingerprint,
            "machine": dict(self.details),
            "versions": versions(),
        }

    def remarks(self, keep: str = "--rejects FILE") -> list[Remark]:
        """What a reader of the numbers must know; `keep` is the flag that keeps rejected rows."""
        return [
            *against_majority(self.tally),
            *_of_labels(self),
            *_of_reading(self),
            *_of_demonstrations(self),
            *_of_words(self),
            *unknown_gold(self.tally),
            *unlisted(self.tally, self.worst),
            *_of_files(self, keep),
        ]


def _of_labels(result: Result) -> Iterator[Remark]:
    """Where the labels come from, and what can be doubted of them."""
    recipe = result.recipe
    yield from leaning(result.tally, bool(recipe.draw))
    if isinstance(decision := recipe.decision, Ranks):
        prior = dict(zip(decision.ordered, decision.prior, strict=True))
        shares = ", ".join(f"{label} {share:.0%}" for label, share in prior.items())
        line = f"labels come from ranking the whole run by this prior: {shares} (transductive)"
        yield Remark("transductive", line, {"prior": prior})
    if result.doubt:
        yield Remark("doubt", result.doubt)


def _of_reading(result: Result) -> Iterator[Remark]:
    """What the files and their rows were like."""
    if result.changed:
        what = "were rows added or changed? read it again with --overwrite"
        line = f"{shortlist(result.changed, 3)}: written to while it was read; {what}"
        yield Remark("changed", line, {"files": list(result.changed)})
    if result.cut:
        limit = result.details.get("max_length")
        line = f"{many(result.cut, 'row was', 'rows were')} too long and cut to fit {limit} tokens"
        yield Remark("cut", line, {"rows": result.cut, "tokens": limit})
    if result.odd:
        line = f"{many(result.odd, 'row looks', 'rows look')} odd; the first, {result.first_odd}"
        yield Remark("odd", line, {"rows": result.odd, "first": result.first_odd})


def _of_demonstrations(result: Result) -> Iterator[Remark]:
    """Which demonstrations the rows had."""
    demos = result.recipe.demos
    if result.dropped:
        lost = many(result.short, "row", "rows") if result.short else "some rows"
        line = f"{lost} lost demonstrations, oldest first, to fit the context ({result.dropped:,} in all)"
        yield Remark("dropped", line, {"rows": result.short, "demonstrations": result.dropped})
    if demos and (draw := result.recipe.draw):
        line = f"{draw}: other demonstrations may move accuracy by many points; try --seed 1, --seed 2 ..."
        yield Remark("one-draw", line, {"seed": demos.seed, "k": demos.k})
    if result.lacking and demos:
        what = f"{many(result.lacking, 'row')} had fewer than {demos.k} demonstrations"
        line = f"{what}: the row itself was among them, and --demos has no other to spare"
        yield Remark("lacking", line, {"rows": result.lacking, "k": demos.k})


def _of_words(result: Result) -> Iterator[Remark]:
    """What the tokenizer made of texts and label words."""
    if result.unknown:
        hold = many(result.unknown, "row holds", "rows hold")
        line = f"{hold} nothing that the tokenizer knows; the first: {result.first_unknown}"
        yield Remark("unknown-text", line, {"rows": result.unknown, "first": result.first_unknown})
    if result.split:
        how = "mean" if result.averaged else "sum"
        which = "1 label word has" if result.split == 1 else f"{result.split} label words have"
        line = f"{which} several tokens; {'its' if result.split == 1 else 'their'} score is the {how} over tokens"
        yield Remark("split-words", line, {"words": result.split, "normalize": how})


def _of_files(result: Result, keep: str) -> Iterator[Remark]:
    """What was written, and what was not."""
    if result.overwritten:
        line = f"input fields overwritten in the output: {', '.join(result.overwritten)}"
        yield Remark("overwritten", line, {"fields": list(result.overwritten)})
    if result.left_out:
        line = f"columns that only later rows have are not in the table: {shortlist(result.left_out)}"
        yield Remark("left-out-columns", line, {"columns": list(result.left_out)})
    if rejected := result.tally.rejected:
        first, path = result.rejects[0], result.rejects_path
        where = f"see {path}" if path else f"keep them with {keep}"
        said = f"{first.source}: {first.reason}" + (f"; {first.advice}" if first.advice else "")
        line = f"{many(rejected, 'row was', 'rows were')} rejected, {where}; the first, {said}"
        yield Remark("rejected", line, {"rows": rejected, "path": path, "first": said})


def circumstances(recipe: Recipe, machine: Mapping[str, Any]) -> Iterator[Remark]:
    """What is run, on which columns and which machine (see `Result.details`), with which label words and versions."""
    line = f"template {recipe.name}, scorer {recipe.scorer}, model {recipe.model or 'none'}"
    yield Remark("recipe", line, {"template": recipe.name, "scorer": recipe.scorer, "model": recipe.model})
    if mapped := {**recipe.columns, **recipe.guessed}:
        line = ", ".join(f"{field}={column}" for field, column in mapped.items())
        yield Remark("columns", f"columns {line}", mapped)
    if machine:
        line = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items() if value)
        yield Remark("machine", line, machine)
    words_of = recipe.verbalizer.as_dict().get("labels")
    for label, words in islice(words_of.items(), LISTED) if isinstance(words_of, Mapping) else ():
        line = f"label {label}: {shortlist(map(str, words), 8)}"
        yield Remark("label-words", line, {"label": label, "words": words})
    packages = versions()
    yield Remark("versions", ", ".join(f"{name} {version}" for name, version in packages.items()), packages)


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


def refuse_foreign(first: Sequence[Item]) -> None:
    """Stop before any scoring where many of the first rows are in another encoding: the others are no fair sample."""
    foreign = [item for item in first if isinstance(item, Reject) and item.reason.startswith("not UTF-8")]
    if len(foreign) > len(first) * FOREIGN and (advice := foreign[0].advice):
        what = f"{len(foreign):,} of the first {len(first):,} rows are not UTF-8"
        raise InputError(what, where=foreign[0].source, hint=advice)


def _unusable(result: Result, inputs: Inputs, read: int, given_up: bool) -> InputError:
    """Not one row could be used: says why the first could not, and how many were not even read."""
    reject = result.rejects[0]
    total = formats.count(inputs.paths, inputs.how)
    left = min(n for n in (total, inputs.limit, inputs.sample) if n is not None) - read if total is not None else 0
    unread = " (what stands behind them was not read)" if given_up and total is None else ""
    unread = f" ({left:,} more were not read)" if left > 0 else unread
    what = f"none of {many(read, 'row')} could be used{unread}; the first: {reject.reason}"
    return InputError(what, where=reject.source, hint=reject.advice)


def _failing(problem: InputError) -> Iterator[Item]:
    """No items, and the error behind them."""
    yield from ()
    raise problem


def _own(first: Sequence[Item]) -> list[str]:
    """The columns of the first rows."""
    return list(dict.fromkeys(name for item in first if isinstance(item, Row) for name in item.fields))


def _shape(recipe: Recipe, inputs: Inputs, outputs: Outputs) -> Shape:
    """What goes out; raises OptionError where a column is asked for that is not there."""
    table = outputs.form.delimiter is not None
    return Shape.of(recipe, table, outputs.fields, outputs.scores, _own(inputs.peek()))
