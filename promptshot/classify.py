"""The one place where everything meets: rows in, predictions out, in the same order."""

from __future__ import annotations

import inspect
import json
import math
import os
import re
import tempfile
import time
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from pathlib import Path
from typing import IO, Any, overload

from promptshot import columns as where
from promptshot import decide, demos, gold, guess, objects, rows, scorers
from promptshot.errors import (
    InputError,
    OptionError,
    PromptshotError,
    RowError,
    VerbalizerError,
    did_you_mean,
    shortlist,
    surfaces,
    told,
)
from promptshot.json_text import Exact, dumps, like
from promptshot.kinds import WITH_DEMONSTRATIONS
from promptshot.once import kept
from promptshot.prompts import Template
from promptshot.recipe import DEMOS, DemoPlan, Recipe
from promptshot.rows import Item, Reject, Row, raw_of
from promptshot.scoring import Checkpoint, Kind, ModelOptions, Prompt, Scored, Scorer
from promptshot.verbalizer import RowWords, Verbalizer

SHARE = 0.05  # of the time, at most, is spent on waiting for the disk
WINDOW = 1024  # rows; sorting and batches never cross it, so a run can be cut at its edges


@dataclass(frozen=True)
class Prediction:
    """What was made of one row. Scores are natural logs (NSP: margins), before any softmax."""

    row: Row
    label: str
    label_scores: Mapping[str, float]
    word_scores: Mapping[str, float]
    probabilities: Mapping[str, float] | None
    gold: str | None = None
    gold_value: str | None = None
    cut: int = 0
    dropped: int = 0
    lacking: int = 0  # demonstrations that were the row itself, and no spare took their place
    averaged: bool = False  # word scores are means over tokens, for the words differ in length
    split: int = 0  # label words of several tokens
    unknown: bool = False  # the tokenizer knows nothing of the row's own text
    shown: Any = None  # the label as the rows spell theirs; None where it goes by its name

    @property
    def probability(self) -> float | None:
        """The probability of the predicted label, None where ranks decide."""
        return self.probabilities[self.label] if self.probabilities else None

    @property
    def said(self) -> dict[str, Any]:
        """The label as it goes out: by its name, or as the rows spell theirs with the name beside it."""
        return {"prediction": self.label} if self.shown is None else {"prediction": self.shown, NAMED: self.label}

    def record(self) -> dict[str, Any]:
        """The output row: the row's own fields, then what was found."""
        found = {
            **self.row.fields,
            **self.said,
            "probability": self.probability,
            "probabilities": self.probabilities,
            "scores": self.label_scores,
            "word_scores": self.word_scores,
        }
        return like(self.row.fields, found)


Gold = tuple[str | None, str | None]  # our label, and how the row spells it
Outcome = Prediction | Reject
NAMED = "prediction_label"  # where a label goes by its name if predictions are spelled as the rows spell theirs
OUTPUT_FIELDS = ("prediction", "probability", "probabilities", "scores", "word_scores")


def output_fields(recipe: Recipe) -> tuple[str, ...]:
    """What every prediction of a recipe goes out with, in order."""
    first, *rest = OUTPUT_FIELDS
    return (first, NAMED, *rest) if recipe.spelling else OUTPUT_FIELDS


class Classifier:
    """A recipe with its live parts."""

    def __init__(self, recipe: Recipe, scorer: Scorer, others: Sequence[Classifier] = ()) -> None:
        """Use `Classifier.load` or `Classifier.of`, or bring any scorer; unknown label words are refused here.

        With `others` it is an ensemble: the mean of all their log-probabilities decides.
        """
        recipe.check()
        self.recipe, self.scorer, self.others = recipe, scorer, tuple(others)
        self.asked = 0  # prompts that the scorer has been given
        self.template, self.verbalizer = recipe.template, recipe.verbalizer
        self._refuse_words()
        self.demos = self._drawn()
        self.cuts = self._thresholds() if recipe.dev else None

    @classmethod
    def load(
        cls,
        template: str | Template,
        *,
        labels: str | Sequence[str] | Mapping[str, Any] | None = None,
        verbalizer: str | Verbalizer | None = None,
        scorer: str | None = None,
        folder: Path | None = None,
        demos: Any = None,
        k: int | None = None,
        seed: int = 0,
        text_field: str | int | Sequence[str] | None = None,
        label_field: str | None = None,
        columns: Mapping[str, str] | None = None,
        ignore_labels: bool = False,
        **options: Any,
    ) -> Classifier:
        """A classifier for a template: its name on the shelf, its file, or a text with {mask} in it.

        `labels` ("a,b", ["a", "b"], {"a": ["word"]}, or with the rows' numbers "0:a,1:b") or `verbalizer` (a name, a
        file, an object) replace the template's own; `scorer` is told for inline text ("mlm", "nsp", "causal"), or names
        another one ("fake", "package.module:Class"); `folder` is a library of yours. `demos` are labelled rows, a file
        or whatever `predict` takes, of which `k` are put before each row, drawn with `seed`. `text_field` (a column, or
        several that are joined), `label_field` and `columns` (field -> column) say where a row keeps what the template
        reads; with `ignore_labels` whatever labels they carry is of no interest. `options` are those of ModelOptions
        (model, device, dtype, ...). Raises a PromptshotError where they do not fit.
        """
        if unknown := next((name for name in options if name not in _MODEL), None):
            known = [*inspect.signature(cls.load).parameters, *_MODEL]
            raise OptionError(f"load takes no {unknown!r}", hint=did_you_mean(unknown, {*known} - {"options"}))
        texts = (template,) if isinstance(template, str) else ()
        wish = guess.Wish(texts, labels, verbalizer, scorer, options.get("model", ""), folder, demos is not None)
        if isinstance(template, str):
            (found,) = guess.choose(wish, guess.Look())
        elif isinstance(template, Template):
            found = guess.Guess(template, guess.words_for(template, wish)[0])
        else:
            raise OptionError(f"a template is no {type(template).__name__}", hint="give a name, a file, or a text")
        name = scorer or found.template.spec.scorer
        if isinstance(text_field, int):  # as a frame may call its columns
            text_field = str(text_field)
        named = where.named(found.template, text_field, label_field, columns or {})
        plan = _plan(demos, k, seed, found.template, named)
        recipe = Recipe(found.template, found.verbalizer, name, ModelOptions(**options), plan, columns=named)
        return cls.of(replace(recipe, labels_optional=label_field is None, labels_ignored=ignore_labels))

    @classmethod
    def of(cls, recipe: Recipe, loader: scorers.Loader | None = None) -> Classifier:
        """Load what the recipe names (each scorer once); raises a PromptshotError where it does not fit."""
        loader = loader or scorers.Loader()
        first, *others = [(part, loader.scorer(part.scorer, part.options)) for part in (recipe, *recipe.others)]
        return cls(*first, [cls(*other) for other in others])

    @property
    def details(self) -> Mapping[str, Any]:
        """What the scorer says of its model and machine."""
        return self.scorer.details if isinstance(self.scorer, Checkpoint) else {}

    @overload
    def predict(self, rows: str | Mapping[str, Any] | Row) -> Prediction: ...

    @overload
    def predict(self, rows: Any) -> Iterator[Prediction]: ...

    def predict(self, rows: Any) -> Prediction | Iterator[Prediction]:
        """A Prediction for a text or a row; an iterator of them, in order, for several: texts, dicts, tuples of two
        texts for a pair, Rows, from any iterable, or a data frame of pandas, row by row.

        Raises RowError at the first that cannot be used (empty, NaN or None, say); use `outcomes` to go on past it.
        Raises OptionError for what holds no rows. An iterable is read no further ahead than 1,024 rows.
        """
        objects.check(rows)
        found = self._predicted(rows)
        return next(found) if objects.is_one(rows, self.template.needs, self.recipe.columns) else found

    def _predicted(self, rows: Any) -> Iterator[Prediction]:
        for outcome in self._outcomes(rows, None, "fail"):
            assert isinstance(outcome, Prediction)
            yield outcome

    def frame(self, frame: Any) -> Any:
        """A copy of a data frame of pandas with what is predicted of its rows, under the same index.

        `prediction` is spelled as the rows spell their labels where these are numbers (the name is in
        `prediction_label`), `probability` is its own, and `p_<label>` that of each label. A row that cannot be used has
        none of them, and its reason in `problem`. What an earlier call has put there is replaced. Raises OptionError
        for anything else than a data frame, and a PromptshotError where its labels cannot be those of the template.
        """
        if not objects.is_frame(frame):
            raise OptionError(f"a {type(frame).__name__} is no data frame", hint="use predict or outcomes")
        objects.check(frame)
        items = list(objects.rows_of(frame, self.template.needs, self.recipe.columns))
        spelling, labels = gold.check_gold(items, self.recipe).spelling, self._chances
        records = [_of_frame(outcome, labels, spelling) for outcome in self.outcomes(items)]
        names = ["prediction", *([NAMED] if spelling else []), "probability", *(f"p_{label}" for label in labels)]
        names += ["problem"] if any("problem" in record for record in records) else []
        made = frame.drop(columns=[name for name in (*names, NAMED, "problem") if name in frame.columns])
        for name in names:
            made[name] = [record.get(name) for record in records]
        if spelling and all(type(shown) is int for shown in spelling.values()):
            made["prediction"] = made["prediction"].astype("Int64")  # which can be missing
        return made

    @property
    def _chances(self) -> Sequence[str]:
        """The labels that have a probability of their own in every row."""
        return () if self.template.spec.ordered else self.verbalizer.names

    def outcomes(self, items: Any, progress: Progress | None = None, on_error: str = "reject") -> Iterator[Outcome]:
        """A Prediction or a Reject for every row, in order, a window of rows in memory at a time.

        The rows are whatever `predict` takes. With `on_error="fail"` the first Reject is raised as a RowError instead.
        Where ranks decide (`Recipe.transductive`), nothing comes out before the last row has been scored.
        """
        objects.check(items)
        return self._outcomes(items, progress, on_error)

    def _outcomes(self, items: Any, progress: Progress | None, on_error: str) -> Iterator[Outcome]:
        rows = objects.rows_of(items, self.template.needs, self.recipe.columns)
        scored = self.scored(rows, progress, on_error)
        if not self.recipe.transductive:
            yield from chain.from_iterable(scored)
            return
        with tempfile.TemporaryFile("w+b") as file:
            spool = Spool(file)
            for window in scored:
                spool.add(window)
            yield from self.ranked(spool)

    def scored(
        self, items: Iterable[Item], progress: Progress | None = None, on_error: str = "reject"
    ) -> Iterator[list[Outcome]]:
        """The outcomes window by window; where ranks decide, the labels are still empty (see `ranked`)."""
        for window in _windows(items):
            members = [
                member._window(window, progress if member is self else None, on_error)
                for member in (self, *self.others)
            ]
            yield [self._spelled(mean(of_row)) for of_row in zip(*members, strict=True)]

    def ranked(self, spool: Spool) -> Iterator[Outcome]:
        """The spooled outcomes again, with the labels that their ranks in the whole run give them."""
        ordered = self.template.spec.ordered or []
        buckets = iter(decide.rank(spool.margins, self.recipe.prior))
        for outcome in spool:
            if isinstance(outcome, Prediction):
                outcome = replace(outcome, label=ordered[next(buckets)])
            yield self._spelled(outcome)

    def _spelled(self, outcome: Outcome) -> Outcome:
        shown = self.recipe.spelling.get(outcome.label) if isinstance(outcome, Prediction) else None
        return outcome if shown is None else replace(outcome, shown=shown)

    def prompt(self, row: Row) -> Prompt:
        """The prompt of one row; raises RowError."""
        shots: Sequence[str] = ()
        if self.demos:
            shots = [shot for shot in self.demos.for_row(demos.values_of(row, self.template)) if shot]
        words = ("",) if self.template.spec.ordered else self.verbalizer.choices(row)
        return self.template.render(row, words, shots)

    # ---------------------------------------------------------------- one window

    def _window(self, items: Sequence[Item], progress: Progress | None, on_error: str) -> list[Outcome]:
        prompts: list[tuple[int, Row, Gold, Prompt]] = []
        outcomes: dict[int, Outcome] = {}
        for i, item in enumerate(items):
            try:
                if isinstance(item, Row):
                    prompts.append((i, item, self._gold(item), self.prompt(item)))
                else:
                    outcomes[i] = item
            except RowError as problem:
                outcomes[i] = _reject(item, problem)
        if isinstance(self.verbalizer, RowWords):
            flaws = [(i, row, self._flaw(prompt.choices)) for i, row, _, prompt in prompts]
            outcomes |= {i: Reject(row.source, flaw, _raw(row), row.key) for i, row, flaw in flaws if flaw}
            prompts = [entry for entry in prompts if entry[0] not in outcomes]
        if on_error == "fail" and outcomes:  # before a window's worth of scoring
            raise _raised(outcomes[min(outcomes)])
        if isinstance(self.scorer, Checkpoint):
            self.scorer.progress = progress
        self.asked += len(prompts)
        scored = self._scored([prompt for *_, prompt in prompts])
        for (i, row, said, prompt), result in zip(prompts, scored, strict=True):
            outcomes[i] = found = self._outcome(row, said, prompt, result)
            if on_error == "fail" and isinstance(found, Reject):
                raise _raised(found)
        return [outcomes[i] for i in range(len(items))]

    def _scored(self, prompts: Sequence[Prompt]) -> Sequence[Scored]:
        """What the scorer says of the prompts; raises a PromptshotError that names it where it fails."""
        said, hint = f"the scorer {self.recipe.scorer!r}", "it must give one Scored for each prompt"
        try:
            found = list(self.scorer.score(prompts))
        except BaseException as problem:
            if surfaces(problem) or isinstance(problem, BrokenPipeError):  # nobody reads what progress tells
                raise
            raise PromptshotError(f"{said} failed: {told(problem)}") from problem
        if len(found) != len(prompts):
            raise PromptshotError(f"{said} gave {len(found)} results for {len(prompts)} prompts", hint=hint)
        if other := next((one for one in found if not isinstance(one, Scored)), None):
            raise PromptshotError(f"{said} gave a {type(other).__name__} for a prompt", hint=hint)
        return found

    def _outcome(self, row: Row, said: Gold, prompt: Prompt, scored: Scored) -> Outcome:
        problem = scored.error or _fault(scored, len(prompt.choices))
        if problem:
            return Reject(row.source, problem, _raw(row), row.key)
        gold, value = said
        cut, dropped, lacking = scored.cut, scored.dropped, self._lacking(prompt)
        if self.template.spec.ordered:
            # A pair has one score, the margin of IsNext; thresholds (or, later, ranks) make it a label.
            margin = scored.scores[0]
            label = self.template.spec.ordered[decide.bucket(margin, self.cuts)] if self.cuts is not None else ""
            plain = Prediction(row, label, {"is_next": margin}, {}, None, gold, value, cut, dropped)
            return replace(plain, lacking=lacking, unknown=scored.unknown)
        words: Sequence[float] = scored.scores
        averaged = self._averages(scored)
        counts = prompt.scored == "choice" and not self.template.kind.margin
        split = sum(n > 1 for n in scored.tokens) if counts and max(scored.tokens, default=1) > 1 else 0
        if averaged:
            leads = scored.lead or [0.0] * len(words)
            parts = zip(words, leads, scored.tokens, strict=True)
            words = [(score - lead) / max(1, n) for score, lead, n in parts]
        labels = self.verbalizer.pooled(prompt.choices, words)
        of_word = dict(zip(prompt.choices, words, strict=True))
        chances, label = decide.softmax(labels), decide.best(labels)
        found = Prediction(row, label, labels, of_word, chances, gold, value, cut, dropped, lacking)
        return replace(found, averaged=averaged, split=split, unknown=scored.unknown)

    def _lacking(self, prompt: Prompt) -> int:
        """How many demonstrations the prompt has fewer than were drawn."""
        return len(self.demos.drawn) - sum(piece.kind is Kind.DEMO for piece in prompt.pieces) if self.demos else 0

    def _averages(self, scored: Scored) -> bool:
        """Mean over a word's own tokens instead of the sum: as the template says, or under a cloze whose words
        differ in what is read for them, where sums would favour the short ones."""
        if self.template.spec.normalize:
            return self.template.spec.normalize == "mean"
        uneven = len(set(scored.tokens)) > 1 or (any(scored.lead) and not all(scored.lead))
        return self.template.kind.means and uneven

    def _gold(self, row: Row) -> Gold:
        """(our label, the row's own spelling); raises RowError for several labels, and, where labels are taken
        strictly, for one that is none of ours."""
        if self.recipe.labels_ignored:
            return None, None
        try:
            label, value = self.verbalizer.gold_label(row, row.column(self.template.spec.label_field))
        except RowError:
            if self.recipe.labels_optional:
                return None, None
            raise
        if self.recipe.labels_strict and label is None and value is not None:
            known = shortlist(self.verbalizer.names or self.verbalizer.choices(row), 8)
            raise RowError(f"the label {value!r} is none of: {known}", where=row.source)
        return label, value

    def _thresholds(self) -> list[float]:
        assert self.recipe.dev is not None
        if not self.template.spec.ordered:
            raise OptionError("--dev fixes thresholds for a template with 'ordered'", hint="leave it out")
        self.cuts = [0.0] * (len(self.recipe.prior) - 1)
        items = rows.read([self.recipe.dev], self.recipe.columns, self.recipe.reading)
        found = [outcome for window in _windows(items) for outcome in self._window(window, None, "reject")]
        margins = [o.label_scores["is_next"] for o in found if isinstance(o, Prediction)]
        if len(margins) < len(self.recipe.prior):
            raise InputError("too few good rows to fix thresholds", where=self.recipe.dev)
        return decide.thresholds(margins, self.recipe.prior)

    # ---------------------------------------------------------------- checks and parts

    def _drawn(self) -> demos.Demonstrations | None:
        plan = self.recipe.demos
        if plan is None or plan.k == 0:
            return None
        if not self.template.kind.demonstrations:
            hint = f"use a template for scorer {WITH_DEMONSTRATIONS}, or leave out --demos and -k"
            what = f"demonstrations are for scorer {WITH_DEMONSTRATIONS}, not {self.template.kind.name}"
            raise OptionError(what, hint=hint)
        pool = rows.read([plan.path], self.recipe.columns, self.recipe.reading)
        return demos.draw(pool, self.template, self.verbalizer, plan.k, plan.seed)

    def _refuse_words(self) -> None:
        """Refuse label words that the tokenizer does not know, or cannot tell apart between two labels."""
        if self.template.spec.ordered or isinstance(self.verbalizer, RowWords):
            return
        label_of = {word: label for label, words in self.verbalizer.labels.items() for word in words}
        if flaw := self._flaw(list(label_of), label_of):
            hint = "choose other label words, or another model"
            raise VerbalizerError(flaw, where=f"verbalizer {self.verbalizer.name}", hint=hint)

    def _flaw(self, words: Sequence[str], label_of: Mapping[str, str] | None = None) -> str:
        """What keeps the tokenizer from telling words apart (but for those of one label), empty where nothing does."""
        if not isinstance(self.scorer, Checkpoint):
            return ""
        said = f"the tokenizer of {self.recipe.model}"
        if unknown := self.scorer.unknown(words):
            return f"{said} does not know: {shortlist(map(_visible, unknown))}"
        for one, other in self.scorer.alike(words):
            if label_of is None or label_of[one] != label_of[other]:
                return f"{said} spells {one!r} and {other!r} the same"
        return ""


def mean(outcomes: Sequence[Outcome]) -> Outcome:
    """One prediction from the mean of the members' log-probabilities; a Reject if any member has one."""
    found = [outcome for outcome in outcomes if isinstance(outcome, Prediction)]
    if len(found) < len(outcomes):
        return next(outcome for outcome in outcomes if isinstance(outcome, Reject))
    if len(found) == 1:
        return found[0]
    if unlike := next((one for one in found if set(one.label_scores) != set(found[0].label_scores)), None):
        row, sets = found[0].row, [shortlist(one.label_scores, 6) for one in (found[0], unlike)]
        reason = f"the templates of the ensemble take other words from the row: {sets[0]} against {sets[1]}"
        return Reject(row.source, reason, _raw(row), row.key)
    logs = [decide.log_softmax(member.label_scores) for member in found]
    labels = {label: sum(log[label] for log in logs) / len(logs) for label in logs[0]}
    words = {f"{i}: {word}": s for i, member in enumerate(found, 1) for word, s in member.word_scores.items()}
    return replace(
        found[0],
        label=decide.best(labels),
        label_scores=labels,
        word_scores=words,
        probabilities=decide.softmax(labels),
        cut=max(member.cut for member in found),
        dropped=sum(member.dropped for member in found),
        lacking=max(member.lacking for member in found),
        split=max(member.split for member in found),
        averaged=any(member.averaged for member in found),
        unknown=any(member.unknown for member in found),
    )


_MODEL = tuple(field.name for field in fields(ModelOptions))


def _plan(given: Any, k: int | None, seed: int, template: Template, columns: Mapping[str, str]) -> DemoPlan | None:
    """Which demonstrations; rows of a program are kept as a file of JSON lines would be."""
    if given is None:
        if k:
            raise OptionError("k needs rows to draw from", hint="give demos=FILE, or rows")
        return None
    if not isinstance(k, int | None) or isinstance(k, bool) or (k is not None and k < 0):
        raise OptionError(f"k is a whole number, not {k!r}", hint=f"write k={DEMOS}")
    if not isinstance(given, str | Path):
        objects.check(given)
        given = kept("demos", objects.as_lines(objects.rows_of(given, template.needs, columns)))
    return DemoPlan(str(given) if isinstance(given, Path) else given, DEMOS if k is None else k, seed)


def _of_frame(outcome: Outcome, labels: Sequence[str], spelling: Mapping[str, Any]) -> dict[str, Any]:
    """What a data frame gets for a row."""
    if isinstance(outcome, Reject):
        return {"prediction": None, "problem": outcome.reason}
    name = {NAMED: outcome.label} if spelling else {}
    chances = outcome.probabilities or {}
    each = {f"p_{label}": chances[label] for label in labels if label in chances}
    prediction = spelling.get(outcome.label, outcome.label)
    return {"prediction": prediction, **name, "probability": outcome.probability, **each}


Progress = Callable[[int], None]  # called with the number of rows just finished


class Spool:
    """Scored rows that wait in a file until the whole run can be decided: a line for each window, with a checksum.

    What a run left that was killed is taken up again: the whole windows up to the first that is torn or damaged.
    """

    def __init__(self, file: IO[bytes], of: str = "", durable: bool = False) -> None:
        """`file` is open for reading and writing; with `durable` it outlives a power cut.

        `of` says whose scores they are, and stands in each line. Raises InputError where a line is of another run, or
        the file is of none.
        """
        self._file, self._of, self._durable = file, of, durable
        self.margins: list[float] = []  # of the good rows, in order
        self.rows = 0
        self.note: Any = []  # what was told with the last window
        self._next = 0.0  # when the disk is waited for again
        end = 0
        file.seek(0)
        for line in file:
            try:
                whose, start, note, window = _unspooled(line)
                if whose == of and start != self.rows:
                    break  # a line is lost, or stands twice
            except (ValueError, TypeError, KeyError, AttributeError):
                if self.rows or _DAMAGED.fullmatch(line):
                    break
                whose = None
            if whose != of:
                raise InputError("no file of waiting scores of this run", hint="move it away, or use --overwrite")
            self._count(window)
            self.note, end = note, end + len(line)
        file.seek(end)
        file.truncate()

    def add(self, window: Sequence[Outcome], note: Any = None) -> None:
        """Append a window, with plain data about it."""
        data = json.dumps([self._of, self.rows, note, [_spooled(outcome) for outcome in window]]).encode()
        self._file.write(b"%08x %s\n" % (zlib.crc32(data), data))
        self._file.flush()
        self.note = note
        self._count(window)
        began = time.monotonic()
        if self._durable and began >= self._next:
            os.fsync(self._file.fileno())
            ended = time.monotonic()
            self._next = ended + (ended - began) / SHARE

    def __iter__(self) -> Iterator[Outcome]:
        self._file.seek(0)
        for line in self._file:
            yield from _unspooled(line)[-1]

    def _count(self, window: Sequence[Outcome]) -> None:
        self.rows += len(window)
        self.margins += [o.label_scores["is_next"] for o in window if isinstance(o, Prediction)]


def _windows(items: Iterable[Item]) -> Iterator[list[Item]]:
    """The items, a window at a time; what was read before an error is a window too."""
    window: list[Item] = []
    try:
        for item in items:
            window.append(item)
            if len(window) == WINDOW:
                yield window
                window = []
    except PromptshotError:
        if window:
            yield window
        raise
    if window:
        yield window


def _reject(item: Item, problem: RowError) -> Reject:
    reason = f"{problem.what}; {problem.hint}" if problem.hint else problem.what
    return Reject(item.source, reason, _raw(item), item.key)


def _raised(outcome: Outcome) -> RowError:
    assert isinstance(outcome, Reject)
    return RowError(outcome.reason, where=outcome.source)


def _fault(scored: Scored, choices: int) -> str:
    """What is wrong with a scorer's answer, if anything: third-party scorers come this way too."""
    if len(scored.scores) != choices or len(scored.tokens) != choices:
        return f"the scorer gave {len(scored.scores)} scores for {choices} choices"
    if len(scored.lead) not in (0, choices):
        return f"the scorer gave {len(scored.lead)} leads for {choices} choices"
    try:
        return "" if all(map(math.isfinite, (*scored.scores, *scored.lead))) else "a score is not finite"
    except TypeError:
        return "a score is no number"


def _visible(word: str) -> str:
    """A word as it is, or as escapes where there is nothing to see."""
    return word if any(unicodedata.category(sign)[0] not in "CMZ" for sign in word) else ascii(word)


def _raw(item: Item) -> str:
    return item.raw if isinstance(item, Reject) else raw_of(item)


def _spooled(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, Reject):
        return {"reject": vars(outcome)}
    plain = {key: value for key, value in vars(outcome).items() if key != "row"}
    exact = {"exact": dumps(outcome.row.fields)} if isinstance(outcome.row.fields, Exact) else {}
    return {"row": {**vars(outcome.row), "columns": dict(outcome.row.columns)}, "rest": plain, **exact}


# What a line may look like of which a kill or a lost machine has left something only.
_DAMAGED = re.compile(rb"[0-9a-f]{0,8}|[0-9a-f]{8} .*\n?|\0*\n?", re.DOTALL)


def _unspooled(line: bytes) -> tuple[Any, Any, Any, list[Outcome]]:
    """Whose a window is, the number of its first row, what was told with it, and the window itself.

    Raises ValueError and the like for a damaged line.
    """
    sum_of, data = line[:8], line[9:-1]
    if not line.endswith(b"\n") or int(sum_of, 16) != zlib.crc32(data):
        raise ValueError("damaged")
    whose, start, note, window = json.loads(data)
    return (
        whose,
        start,
        note,
        [Reject(**said["reject"]) if "reject" in said else Prediction(_row(said), **said["rest"]) for said in window],
    )


def _row(said: Mapping[str, Any]) -> Row:
    """A spooled row; its numbers as they were written."""
    row = Row(**said["row"])
    return replace(row, fields=rows.parsed(said["exact"])) if "exact" in said else row
