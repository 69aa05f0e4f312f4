"""What a run comes to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from promptshot.classify.calibrate import BY_PRIOR, HOTTEST, Fitted
from promptshot.classify.decide import Ranks, Several
from promptshot.classify.fitting import Suiting
from promptshot.classify.prediction import Outcome
from promptshot.classify.recipe import Recipe
from promptshot.errors import OptionError, many, printable, shortlist
from promptshot.metrics import Tally, tally_of
from promptshot.runs.counted import Counted
from promptshot.runs.journal import Journal
from promptshot.runs.record import FORMAT, Counts, RecordedRecipe, RunRecord, TallyCounts, versions
from promptshot.runs.remarks import (
    Remark,
    against_majority,
    calibrating,
    leaning,
    other_heads,
    too_few,
    unbalanced,
    unknown_gold,
    unlisted,
    worse,
)
from promptshot.runs.wrong import Worst, WorstState
from promptshot.scoring import CAUTION

LENGTHY = 60.0  # seconds of a run from which on a faster way is told
HALF = ("mixed", "bfloat16")  # precisions that pay where the processor multiplies bfloat16 by itself
FEW = 8  # labelled rows of a label that calibration is fitted to, below which that is said
LISTED = 20  # labels whose words are told
# Counts of a result, beside its tally.
KEPT = tuple(name for name in Counts.model_fields if name not in ("tally", "before", "rejects", "worst"))


@dataclass(kw_only=True)
class Result(Counted):
    """What a run came to."""

    recipe: Recipe
    fingerprint: str
    details: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    rejects_path: str | None = None
    doubt: str = ""  # what can be doubted of the rows' own labels
    changed: tuple[str, ...] = ()  # files that were written to while they were read
    rows_before: int = 0  # rows that an earlier run had done
    overwritten: tuple[str, ...] = ()  # input fields that gave way to output fields
    left_out: tuple[str, ...] = ()  # columns that a table had no room for
    fitted: Fitted | None = None  # what calibration has fitted
    fitted_here: bool = False  # to the very rows that are judged
    whitened_here: bool = False  # by the texts of the very rows that are labelled
    cuts: tuple[float, ...] | None = None  # the thresholds of several labels, in their order
    suiting: Suiting | None = None  # what they are fitted to
    edited: str = ""  # the file of predictions that is not as its run wrote it
    calibrate: str = ""  # the command that takes a bias out of what was written; empty where nothing could

    @classmethod
    def restored(cls, recipe: Recipe, journal: Journal, counts: Counts | None) -> Result:
        """A result with the counts of an earlier run, if there was one."""
        labels = recipe.labels
        result = cls(
            recipe=recipe,
            tally=tally_of(labels, recipe.task.several),
            fingerprint=journal.fingerprint,
            rejects_path=journal.outputs.rejects_path,
        )
        result.details = journal.earlier.machine if journal.earlier else {}
        result.cuts = journal.earlier.thresholds if journal.earlier else None
        result.tally.abstained.possible = recipe.abstain_below is not None
        result.before = Tally(labels) if recipe.calibration else None
        result.calibrate = _command(recipe, journal)
        result.worst = Worst(journal.outputs.kept_wrong)
        if counts:
            result._restore(counts)
            worst = Worst.restored(counts.worst, result.worst.most)
            if worst is None:
                hint = f"promptshot report {journal.outputs.output} --errors"
                raise OptionError("--errors: the rows that are done were counted without it", hint=hint)
            result.worst = worst
        return result

    @classmethod
    def compared(cls, recipe: Recipe, record: RunRecord, doubt: str = "") -> Result:
        """That of a candidate of a comparison, as its record tells it."""
        tally = tally_of(recipe.labels, recipe.task.several)
        result = cls(recipe=recipe, tally=tally, fingerprint="", details=record.machine, doubt=doubt)
        result.cuts = record.thresholds
        if record.counts:
            result._restore(record.counts)
            result.worst = Worst.restored(record.counts.worst, result.worst.most) or result.worst
        return result

    def _restore(self, counts: Counts) -> None:
        self.tally = type(self.tally).restored(self.recipe.labels, dict(counts.tally))
        self.before = Tally.restored(self.recipe.labels, dict(counts.before)) if counts.before else self.before
        self.rejects = list(counts.rejects)
        for name in KEPT:
            setattr(self, name, getattr(counts, name))

    def count(self, outcomes: Iterable[Outcome]) -> None:
        """Add what came of some more rows."""
        self.include(Counted.of(outcomes, self.recipe, self.worst.most))

    def state(self) -> Counts:
        """The counts, from which `restored` goes on; at every end of a window, so they are not looked at again."""
        kept = {name: getattr(self, name) for name in KEPT}
        tally, worst = TallyCounts.model_construct(**self.tally.state()), WorstState(**self.worst.state())
        before: dict[str, Any] = {"before": TallyCounts.model_construct(**self.before.state())} if self.before else {}
        return Counts.model_construct(tally=tally, **before, rejects=list(self.rejects), worst=worst, **kept)

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
    def thresholds(self) -> dict[str, float]:
        """The threshold of each of several labels, as far as they are known."""
        return dict(zip(self.tally.labels, self.cuts or (), strict=False)) if self.tally.several else {}

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
            **({"rows_in_pieces": self.pieced, "pieces": self.pieces} if self.pieced else {}),
            **({"rows_beyond": self.beyond} if self.beyond else {}),
            "rows_odd": self.odd,
            "rows_unknown": self.unknown,
            "demonstrations_dropped": self.dropped,
            "rows_short_of_demonstrations": self.short,
            "rows_lacking_demonstrations": self.lacking,
            "words_split": self.split,
            "mean_over_tokens": self.averaged,
            "transductive": self.recipe.transductive,
            **({"thresholds": self.thresholds} if self.thresholds else {}),
            **({"before": metrics_of(self.before)} if self.before is not None else {}),
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
            *other_heads((self.recipe, *self.recipe.others)),
            *unknown_gold(self.tally),
            *unlisted(self.tally, self.worst),
            *_of_files(self, keep),
            *_of_speed(self),
        ]


def _of_speed(result: Result) -> Iterator[Remark]:
    """What would be faster, of a run that took its time; and a precision that can only be slower."""
    dtype = result.details.get("dtype")
    if dtype in HALF and result.details.get("device") == "cpu" and not result.details.get("bfloat16_units"):
        line = f"this processor has no units for bfloat16, where --dtype {dtype} is slower than float32"
        yield Remark("precision", line, {"dtype": dtype})
    if result.seconds > LENGTHY and result.details.get("bfloat16_units") and dtype == "float32":
        line = (
            "this processor multiplies bfloat16: --dtype mixed is faster, and moves scores a little (see: promptshot "
        )
        yield Remark("precision", f"{line}doctor --dtype mixed)", {"seconds": result.seconds})


def metrics_of(tally: Tally) -> dict[str, float | None]:
    """How predictions fare, in the numbers that calibration may change."""
    return {**{name: getattr(tally, name) for name in tally.rates}, **tally.reliability.summary()}


def _of_labels(result: Result) -> Iterator[Remark]:
    """Where the labels come from, and what can be doubted of them."""
    recipe = result.recipe
    yield from leaning(result.tally, bool(recipe.draw), result.calibrate, recipe.calibration.prior)
    if result.calibrate:
        yield from unbalanced(result.tally, result.calibrate, recipe.calibration.prior)
    yield from _of_calibration(result)
    yield from _of_thresholds(result)
    if isinstance(decision := recipe.decision, Ranks):
        prior = dict(zip(decision.ordered, decision.prior, strict=True))
        shares = ", ".join(f"{label} {share:.0%}" for label, share in prior.items())
        line = f"labels come from ranking the whole run by this prior: {shares} (transductive)"
        yield Remark("transductive", line, {"prior": prior})
    if recipe.whiten:
        others = ", the rows themselves: what is said of one depends on the others (transductive)"
        line = (
            f"vectors are whitened by the texts of {printable(recipe.whiten)}{others if result.whitened_here else ''}"
        )
        yield Remark("whitened", line, {"file": recipe.whiten, "transductive": result.whitened_here})
    if result.doubt:
        yield Remark("doubt", result.doubt)


def _command(recipe: Recipe, journal: Journal) -> str:
    """The command that matches a prior: on the file that is written, where that has the scores."""
    if recipe.calibration or recipe.task.paired or recipe.task.own_words or recipe.task.several:
        return ""
    outputs = journal.outputs
    if outputs.on_disk and outputs.scores and not outputs.fields:
        return calibrating(str(outputs.output), recipe.calibration.prior)
    return "--calibrate prior (or write the scores, -o FILE, and: promptshot calibrate FILE --method prior)"


def _of_calibration(result: Result) -> Iterator[Remark]:
    """How scores were calibrated, and whether that was of use."""
    calibration, labels = result.recipe.calibration, result.recipe.labels
    if calibration.transductive:
        shares = dict(zip(labels, calibration.shares(labels), strict=True))
        by_prior = calibration.method in BY_PRIOR
        told = shortlist([f"{printable(label)} {share:.0%}" for label, share in shares.items()], 8)
        by = f" and this prior: {told}" if by_prior else ""
        line = f"scores are calibrated ({calibration.method}) by those of the whole run{by} (transductive)"
        facts = {"method": calibration.method, **({"prior": shares} if by_prior else {})}
        yield Remark("transductive", line, facts)
        if calibration.method == "can" and result.fitted and result.fitted.sure_rows in (0, result.fitted.rows):
            which = "sure" if not result.fitted.sure_rows else "unsure"
            yield Remark("can-in-vain", f"can changed nothing: no row is {which} to begin with")
    elif calibration:
        by = f" by the labelled rows of {calibration.dev}" if calibration.dev else " by prompts that say nothing"
        line = f"scores are calibrated ({calibration.method}){by}"
        yield Remark("calibrated", line, {"method": calibration.method, "dev": calibration.dev})
        yield from _of_fit(result)
    if result.before is not None:
        yield from worse(result.before, result.tally)


def _of_thresholds(result: Result) -> Iterator[Remark]:
    """From where on labels hold, what that was fitted to, and whether it gives any label at all."""
    decision, cuts, fitted = result.recipe.decision, result.thresholds, result.suiting
    if not isinstance(decision, Several) or not cuts:
        return
    each = shortlist([f"{printable(label)} {cut:.4g}" for label, cut in cuts.items()], 8)
    said = f"{next(iter(cuts.values())):.4g}" if len(set(cuts.values())) == 1 else each
    by = f", fitted to the labelled rows of {decision.dev}" if decision.dev else ""
    what = "its probability" if decision.odds else "its score"
    facts = {"thresholds": cuts, "dev": decision.dev, "odds": decision.odds}
    yield Remark("thresholds", f"a label holds where {what} is at least {said}{by}", facts)
    if fitted and decision.dev:
        yield from _of_suiting(result, fitted, decision.dev)
    yield from too_few(
        result.tally, "" if decision.dev else "; lower --threshold, or fit it to labelled rows: --dev FILE"
    )


def _of_suiting(result: Result, fitted: Suiting, dev: str) -> Iterator[Remark]:
    """What can be doubted of thresholds that were fitted to labelled rows."""
    if result.fitted_here and result.tally.labelled:
        line = "the rows that thresholds were fitted to are judged as well: they look better than they are on others"
        yield Remark("fitted-here", line)
    if few := [label for label, rows in fitted.of_label.items() if min(rows, fitted.rows - rows) < FEW]:
        line = f"fewer than {FEW} rows of {dev} have, or do not have, {shortlist(map(printable, few), 8)}"
        facts = {"rows": fitted.rows, "labels": few}
        yield Remark("few-fitted", f"{line}: others would give other thresholds", facts)
    if fitted.left_out:
        have = many(fitted.left_out, "row has", "rows have")
        line = f"{have} no labels of ours in {dev}, and did not count"
        yield Remark("left-out-of-dev", line, {"rows": fitted.left_out})


def _of_fit(result: Result) -> Iterator[Remark]:
    """What can be doubted of the numbers that were fitted to labelled rows."""
    fitted, labels = result.fitted, max(1, len(result.recipe.labels))
    if fitted is None or not result.recipe.calibration.dev:
        return
    if result.fitted_here and result.tally.labelled:
        line = "the rows that it was fitted to are judged as well: accuracy looks better than it is on others"
        yield Remark("fitted-here", line)
    if fitted.rows < FEW * labels:
        line = f"it was fitted to {many(fitted.rows, 'labelled row')}: others would give other numbers"
        yield Remark("few-fitted", line, {"rows": fitted.rows})
    if fitted.left_out:
        have = many(fitted.left_out, "row has", "rows have")
        line = f"{have} no label of ours in {result.recipe.calibration.dev}, and did not count"
        yield Remark("left-out-of-dev", line, {"rows": fitted.left_out})
    if not 1 / HOTTEST < fitted.temperature < HOTTEST:
        line = f"the temperature went to its bound, {fitted.temperature:g}: those rows do not tell it"
        yield Remark("at-bound", line, {"temperature": fitted.temperature})


def limit_of(result: Result) -> Any:
    """How many tokens the model was given at most, as it tells."""
    return result.details.get("max_length")


def _of_reading(result: Result) -> Iterator[Remark]:
    """What the files and their rows were like."""
    if result.changed:
        what = "were rows added or changed? read it again with --overwrite"
        line = f"{shortlist(result.changed, 3)}: written to while it was read; {what}"
        yield Remark("changed", line, {"files": list(result.changed)})
    if result.cut:
        limit = limit_of(result)
        line = f"{many(result.cut, 'row was', 'rows were')} too long and cut to fit {limit} tokens"
        yield Remark("cut", line, {"rows": result.cut, "tokens": limit})
    if result.pieced:
        rows, pool = many(result.pieced, "row was", "rows were"), result.recipe.options.long_pool or "mean"
        how = f"{result.pieces:,} pieces of at most {limit_of(result)} tokens, whose scores were pooled ({pool})"
        facts = {"rows": result.pieced, "pieces": result.pieces, "pool": pool}
        yield Remark("in-pieces", f"{rows} too long and read in {how}", facts)
    if result.beyond:
        trained, way = result.details.get("trained_length"), result.recipe.options.long
        line = f"{many(result.beyond, 'row was', 'rows were')} longer than the {trained} tokens that the model was"
        line += f" trained on, and read so (--long {way})"
        yield Remark("beyond", line, {"rows": result.beyond, "tokens": trained, "long": way})
    if result.odd:
        line = f"{many(result.odd, 'row looks', 'rows look')} odd; the first, {result.first_odd}"
        yield Remark("odd", line, {"rows": result.odd, "first": result.first_odd})


def _of_demonstrations(result: Result) -> Iterator[Remark]:
    """Which demonstrations the rows had."""
    demos = result.recipe.demos
    if result.dropped:
        lost = many(result.short, "row", "rows") if result.short else "some rows"
        line = f"{lost} lost demonstrations, oldest first, to fit the context ({result.dropped:,} in all)"
        facts = {"rows": result.short, "demonstrations": result.dropped}
        if demos and result.most_dropped and not result.recipe.others:
            facts["fit"] = demos.k - result.most_dropped
            more = "" if demos.chunks > 1 else ": try --demo-chunks"
            line += f"; {facts['fit']} of {demos.k} fit before every row{more}"
        yield Remark("dropped", line, facts)
    if demos and (draw := result.recipe.draw):
        how = "--demo-seeds 5" if demos.by == "random" else "--seed 1, --seed 2 ..."
        line = f"{draw}: other demonstrations may move accuracy by many points; try {how}"
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
    if caution := result.details.get(CAUTION):
        yield Remark("caution", str(caution))


def _of_files(result: Result, keep: str) -> Iterator[Remark]:
    """What was written, and what was not."""
    if result.overwritten:
        line = f"input fields overwritten in the output: {', '.join(result.overwritten)}"
        yield Remark("overwritten", line, {"fields": list(result.overwritten)})
    if result.edited:
        line = f"{result.edited} is not as its run wrote it: what was changed in it counts here"
        yield Remark("edited", line, {"file": result.edited})
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
        line = ", ".join(
            f"{name.replace('_', ' ')} {value}" for name, value in machine.items() if value and name != CAUTION
        )
        yield Remark("machine", line, machine)
    words_of = recipe.verbalizer.as_dict().get("labels")
    for label, words in islice(words_of.items(), LISTED) if isinstance(words_of, Mapping) else ():
        line = f"label {label}: {shortlist(map(str, words), 8)}"
        yield Remark("label-words", line, {"label": label, "words": words})
    packages = versions()
    yield Remark("versions", ", ".join(f"{name} {version}" for name, version in packages.items()), packages)
