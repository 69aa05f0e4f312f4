"""The one place where everything meets: rows in, predictions out, in the same order."""

from __future__ import annotations

import inspect
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar, overload

from promptshot import scorers
from promptshot.classify import calibrate, choosing, fitting, gold, suited
from promptshot.classify.calibrate import OF_DEV, Calibration, Fitted, Neutral
from promptshot.classify.decide import Decision, Ranks, Several, Thresholds
from promptshot.classify.demonstrations import Pools
from promptshot.classify.finish import finish
from promptshot.classify.prediction import ABSTAINED, NAMED, Outcome, Prediction, ended, ensemble, spelled
from promptshot.classify.prior import prior_of
from promptshot.classify.questions import Questions
from promptshot.classify.recipe import DEMOS, DemoOrder, DemoPlan, DemosBy, Recipe
from promptshot.classify.spool import Spool
from promptshot.errors import (
    ModelError,
    OptionError,
    PromptshotError,
    RowError,
    VerbalizerError,
    did_you_mean,
    shortlist,
    surfaces,
    told,
    with_article,
)
from promptshot.prompts import task
from promptshot.prompts.task import Gold
from promptshot.prompts.template import Template
from promptshot.prompts.verbalizer import Verbalizer
from promptshot.rows import objects, read
from promptshot.rows.once import kept, once
from promptshot.rows.row import Item, Reject, Row, raw_of
from promptshot.scoring import Chatting, Checkpoint, Long, LongPool, ModelOptions, Prompt, Scored, Scorer

NO_CHAT = "name a model that was made for chats (-m), or leave out --chat and the template's chat"
T = TypeVar("T")
WINDOW = 1024  # rows; sorting and batches never cross it, so a run can be cut at its edges


class Classifier:
    """A recipe with its live parts."""

    def __init__(
        self, recipe: Recipe, scorer: Scorer, others: Sequence[Classifier] = (), pools: Pools | None = None
    ) -> None:
        """Use `Classifier.load` or `Classifier.of`, or bring any scorer; unknown label words are refused here.

        With `others` it is an ensemble: the mean of all their log-probabilities decides. `pools` have what
        demonstrations are chosen from, as far as it has been read.
        """
        recipe.check()
        self.recipe, self.task, self.others = recipe, recipe.task, tuple(others)
        self.scorer = fitting.whitened(scorer, recipe, recipe.whiten) if recipe.whiten else scorer
        self.ask: Callable[[Sequence[Prompt]], Iterable[Scored]] = self.scorer.score  # or what remembers its answers
        self.asked = 0  # prompts that the scorer has been given
        self._refuse_chat()
        self._refuse_words()
        self.questions = Questions.of_recipe(recipe, scorer, pools)
        self.decision = recipe.decision
        self.fitted: Fitted | None = None  # what calibration has fitted; of a whole run, once that is scored
        self.suiting: fitting.Suiting | None = None  # which labelled rows thresholds have been fitted to
        self._fit(recipe.decision)

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
        demos_by: DemosBy = "random",
        demo_order: DemoOrder | None = None,
        demo_balance: bool = True,
        demo_whiten: bool = False,
        demo_chunks: int = 1,
        text_field: str | int | Sequence[str] | None = None,
        label_field: str | None = None,
        columns: Mapping[str, str] | None = None,
        ignore_labels: bool = False,
        calibrate: str = "none",
        prior: str | Mapping[str, float] | None = None,
        dev: Any = None,
        abstain_below: float | None = None,
        multi_label: bool = False,
        label_separator: str | None = None,
        threshold: str | float | Mapping[str, float] | None = None,
        model: str = "",
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        batch_size: int | None = None,
        batch_budget: int | None = None,
        max_length: int | None = None,
        offline: bool = False,
        trust_remote_code: bool = False,
        plain: bool = False,
        allow_pickle: bool = False,
        head: str = "",
        pooling: str | None = None,
        temperature: float | None = None,
        long: Long = "cut",
        long_pool: LongPool | None = None,
        long_stride: int | None = None,
        long_alpha: float | None = None,
        device_map: str | None = None,
        whiten: str | None = None,
        chat: bool | Mapping[str, Any] = False,
        **misspelt: NoReturn,
    ) -> Classifier:
        """A classifier for a template: its name on the shelf, its file, or a text with {mask} in it.

        `labels` ("a,b", ["a", "b"], {"a": ["word"]}, or with the rows' numbers "0:a,1:b") or `verbalizer` (a name, a
        file, an object) replace the template's own; `scorer` is told for inline text ("mlm", "nsp", "causal"), or names
        another one ("fake", "package.module:Class"); `folder` is a library of yours. `demos` are labelled rows, a file
        or whatever `predict` takes, of which `k` are put before each row, drawn with `seed`, or chosen for each row by
        its words ("nearest") or embeddings ("similar"); for the rest of these see DemoPlan. `text_field` (a column, or
        several that are joined), `label_field` and `columns` (field -> column) say where a row keeps what the template
        reads; with `ignore_labels` whatever labels they carry is of no interest. `calibrate` names a method (see
        `promptshot.classify.calibrate`), `prior` says the share of each label ({"a": 0.3, "b": 0.7}, or as on the
        command line), `dev` are labelled rows to calibrate by, or rows that fix thresholds, and predictions less
        probable than `abstain_below` are marked as `abstained`. With `multi_label` a row has all labels that hold, a
        tuple of them, `label_separator` stands between those of a text, and `threshold` (one number, or one for each
        label) says from which probability on a label holds, or else `dev` does. `model` and what follows are how to
        load and run a checkpoint, as in ModelOptions; `long` says what is done with texts that are longer than it takes
        ("cut"; "windows": read in overlapping pieces; "hierarchical" or "local": read whole, see docs/long.md);
        `whiten` is a file whose texts whiten vectors. `chat` (True, or {"system": ..., "answer": ...,
        "demonstrations": ...} as in a template) puts the template as a chat to a model made for such. Raises a
        PromptshotError where they do not fit.
        """
        for name in misspelt:
            known = {*inspect.signature(cls.load).parameters} - {"misspelt"}
            raise OptionError(f"load takes no {name!r}", hint=did_you_mean(name, known))
        budget = (batch_size, batch_budget, max_length)
        options = ModelOptions(
            model, revision, device, dtype, *budget, offline, trust_remote_code,
            plain=plain, allow_pickle=allow_pickle, head=head, pooling=pooling, temperature=temperature,
            long=long, long_pool=long_pool, long_stride=long_stride, long_alpha=long_alpha, device_map=device_map,
        )  # fmt: skip
        texts = (template,) if isinstance(template, str) else ()
        put = None if chat is False else {} if chat is True else chat
        wish = choosing.Wish(texts, labels, verbalizer, scorer, model, folder, demos is not None, chat=put)
        wish = replace(wish, several=multi_label, separator=label_separator)
        if isinstance(template, str):
            (found,) = choosing.choose(wish, choosing.Look())
        elif isinstance(template, Template):
            own = suited.Guess(template, choosing.words_for(template, wish)[0])
            found = choosing.judged(choosing.in_chat(own, put), wish)
        else:
            raise OptionError(f"a template is no {type(template).__name__}", hint="give a name, a file, or a text")
        name = scorer or found.template.spec.scorer
        if isinstance(text_field, int):  # as a frame may call its columns
            text_field = str(text_field)
        named = task.named(found.template, text_field, label_field, columns or {})
        chosen = (seed, demos_by, demo_order, demo_balance, demo_whiten, demo_chunks)
        plan = _plan(DemoPlan("", DEMOS if k is None else k, *chosen), demos, k, found.template, named)
        parts = found.template, found.verbalizer, name, options, plan
        beside = _kept("dev", dev, found.template, named)
        cuts, labelled = (None, beside) if calibrate in OF_DEV else (beside, None)
        recipe = Recipe.of(
            *parts,
            cuts,
            named,
            thresholds=threshold,
            labels_optional=label_field is None,
            labels_ignored=ignore_labels,
        )
        told = Calibration.of(calibrate, prior_of(prior, recipe.task), labelled)
        recipe = replace(recipe.calibrated(told), abstain_below=abstain_below, whiten=whiten)
        recipe.check()
        return cls.of(recipe)

    @classmethod
    def of(cls, recipe: Recipe, loader: scorers.Loader | None = None, pools: Pools | None = None) -> Classifier:
        """Load what the recipe names (each scorer once); raises a PromptshotError where it does not fit."""
        loader = loader or scorers.Loader()
        members = [replace(one, decision=idle(one.decision)) for one in recipe.others]
        first, *others = [(part, loader.scorer(part.scorer, part.options)) for part in (recipe, *members)]
        return cls(*first, [cls(*other, pools=pools) for other in others], pools)

    @property
    def cuts(self) -> tuple[float, ...] | None:
        """The scores at which pairs are cut into labels, or the thresholds of several labels; None where there are
        none."""
        return self.decision.cuts if isinstance(self.decision, Thresholds | Several) else None

    @cached_property
    def neutral(self) -> tuple[Neutral, ...]:
        """What the words score where a row says nothing, for each member of an ensemble: asked once, when it is first
        wanted, in a call of its own. None where words or demonstrations are not the same for all rows."""
        members = (self, *self.others)
        if any(one.task.paired or one.task.own_words or not one.recipe.same_shots for one in members):
            return ()
        if self.task.several:  # which no calibration can use
            return ()
        return tuple(member._neutral() for member in members)

    @property
    def details(self) -> Mapping[str, Any]:
        """What the scorer says of its model and machine."""
        return self.scorer.details if isinstance(self.scorer, Checkpoint) else {}

    @property
    def chat_unused(self) -> str:
        """That the checkpoint has a template for chats and is asked without it, in one line; else empty."""
        return chat_unused(self.recipe, self.details)

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
        return next(found) if objects.is_one(rows, self.task.template.needs, self.task.columns) else found

    def _predicted(self, rows: Any) -> Iterator[Prediction]:
        for outcome in self._outcomes(rows, None, "fail"):
            assert isinstance(outcome, Prediction)
            yield outcome

    def frame(self, frame: Any) -> Any:
        """A copy of a data frame of pandas with what is predicted of its rows, under the same index.

        `prediction` (of several labels a list) is spelled as the rows spell their labels where these are numbers (the
        name is in `prediction_label`), `probability` is its own, and `p_<label>` that of each label. A row that cannot
        be used has none of them, and its reason in `problem`. What an earlier call has put there is replaced. Raises
        OptionError for anything else than a data frame, and a PromptshotError where its labels cannot be those of the
        template.
        """
        if not objects.is_frame(frame):
            raise OptionError(f"{with_article(type(frame).__name__)} is no data frame", hint="use predict or outcomes")
        objects.check(frame)
        items = list(objects.rows_of(frame, self.task.template.needs, self.task.columns))
        spelling, labels = gold.check_gold(items, self.recipe).spelling, self._chances
        records = [_of_frame(outcome, labels, spelling) for outcome in self.outcomes(items)]
        held = [ABSTAINED] if self.recipe.abstain_below is not None else []
        names = ["prediction", *([NAMED] if spelling else []), *held, "probability", *(f"p_{name}" for name in labels)]
        names += ["problem"] if any("problem" in record for record in records) else []
        made = frame.drop(columns=[name for name in (*names, NAMED, "problem") if name in frame.columns])
        for name in names:
            made[name] = [record.get(name) for record in records]
        if spelling and not self.task.several and all(type(shown) is int for shown in spelling.values()):
            made["prediction"] = made["prediction"].astype("Int64")  # which can be missing
        return made

    @property
    def _chances(self) -> Sequence[str]:
        """The labels that have a probability of their own in every row."""
        return self.task.labels if self.decision.probable else ()

    def outcomes(
        self, items: Any, progress: Progress | None = None, on_error: str = "reject", window: int = WINDOW
    ) -> Iterator[Outcome]:
        """A Prediction or a Reject for every row, in order, a window of so many rows in memory at a time.

        The rows are whatever `predict` takes. With `on_error="fail"` the first Reject is raised as a RowError instead.
        Where the whole run decides (`Recipe.transductive`), nothing comes out before the last row has been scored.
        """
        objects.check(items)
        return self._outcomes(items, progress, on_error, window)

    def _outcomes(
        self, items: Any, progress: Progress | None, on_error: str, window: int = WINDOW
    ) -> Iterator[Outcome]:
        rows = objects.rows_of(items, self.task.template.needs, self.task.columns)
        windows = self.windows(rows, progress, on_error, window)
        if not self.recipe.transductive:
            yield from chain.from_iterable(windows)
            return
        with tempfile.TemporaryFile("w+b") as file:
            spool = Spool(file)
            for scored in windows:
                spool.add(scored)
            yield from self.decided(spool)

    def windows(
        self, items: Iterable[Item], progress: Progress | None = None, on_error: str = "reject", window: int = WINDOW
    ) -> Iterator[list[Outcome]]:
        """The outcomes window by window; where the whole run decides, as long as it has not (see `decided`)."""
        return self.finished(items, list, progress, on_error, window)

    def finished(
        self,
        items: Iterable[Item],
        then: Callable[[list[Outcome]], T],
        progress: Progress | None = None,
        on_error: str = "reject",
        window: int = WINDOW,
    ) -> Iterator[T]:
        """What is made of the outcomes of each window, wherever it is scored: `then` can be sent there."""
        for together in in_windows(items, window):
            members = [
                member._window(together, progress if member is self else None, on_error)
                for member in (self, *self.others)
            ]
            found = members[0]
            if self.others:
                found = [ensemble(of_row, self.decision) for of_row in zip(*members, strict=True)]
            yield then([self._ended(outcome) for outcome in found])

    def decided(self, spool: Spool) -> Iterator[Outcome]:
        """The spooled outcomes again, with what the whole run makes of them: labels by their ranks in it, or calibrated
        by all its scores."""
        ranks = iter(self.decision.labels(spool.scores)) if isinstance(self.decision, Ranks) else None
        if self.recipe.calibration.transductive:
            self.fitted = calibrate.of_run(self.recipe.calibration, spool.scores)
        for outcome in spool:
            if ranks and isinstance(outcome, Prediction):
                outcome = replace(outcome, label=next(ranks))
            yield self._ended(outcome)

    def _ended(self, outcome: Outcome) -> Outcome:
        """An outcome as it goes out, calibrated by what has been fitted."""
        return outcome if isinstance(outcome, Reject) else ended(outcome, self.recipe, self.fitted)

    def prompts(self, row: Row) -> tuple[Prompt, ...]:
        """What is asked of one row; raises RowError."""
        return self.questions.of(row)

    # ---------------------------------------------------------------- one window

    def _window(self, items: Sequence[Item], progress: Progress | None, on_error: str) -> list[Outcome]:
        asked: list[_Asked] = []
        outcomes: dict[int, Outcome] = {i: item for i, item in enumerate(items) if isinstance(item, Reject)}
        rows = [(i, item) for i, item in enumerate(items) if isinstance(item, Row)]
        for (i, row), said in zip(rows, self.questions.of_rows([row for _, row in rows]), strict=True):
            try:
                asked.append(self._asked(i, row, said))
            except RowError as problem:
                outcomes[i] = _reject(row, problem)
        if on_error == "fail" and outcomes:  # before a window's worth of scoring
            raise _raised(outcomes[min(outcomes)])
        prompts = [prompt for one in asked for prompt in one.prompts]
        if isinstance(self.scorer, Checkpoint):
            self.scorer.progress = _in_rows(progress, len(asked), len(prompts))
        self.asked += len(prompts)
        scored = iter(self._scored(prompts))
        for one in asked:
            outcomes[one.place] = found = self._outcome(one, list(islice(scored, len(one.prompts))))
            if on_error == "fail" and isinstance(found, Reject):
                raise _raised(found)
        return [outcomes[i] for i in range(len(items))]

    def _asked(self, place: int, row: Row, prompts: tuple[Prompt, ...] | RowError) -> _Asked:
        """What is asked of a row; raises RowError, also for words of its own that the tokenizer cannot tell apart."""
        gold = self._gold(row)
        if isinstance(prompts, RowError):
            raise prompts
        found = _Asked(place, row, gold, prompts)
        if self.task.own_words and (flaw := self._flaw(found.prompts[0].choices)):
            raise RowError(flaw, where=row.source)
        return found

    def _scored(self, prompts: Sequence[Prompt]) -> Sequence[Scored]:
        """What the scorer says of the prompts; raises a PromptshotError that names it where it fails."""
        said, hint = f"the scorer {self.recipe.scorer!r}", "it must give one Scored for each prompt"
        try:
            found = list(self.ask(prompts))
        except BaseException as problem:
            if surfaces(problem) or isinstance(problem, BrokenPipeError):  # nobody reads what progress tells
                raise
            raise PromptshotError(f"{said} failed: {told(problem)}") from problem
        if len(found) != len(prompts):
            raise PromptshotError(f"{said} gave {len(found)} results for {len(prompts)} prompts", hint=hint)
        if other := next((one for one in found if not isinstance(one, Scored)), None):
            raise PromptshotError(f"{said} gave {with_article(type(other).__name__)} for a prompt", hint=hint)
        return found

    def _outcome(self, asked: _Asked, scored: Sequence[Scored]) -> Outcome:
        answer, row = self.questions.answer(asked.prompts, scored), asked.row
        if isinstance(answer, str):
            return Reject(row.source, answer, raw_of(row), row.key)
        found = finish(self.task, answer.words, self.decision)
        return Prediction(
            row,
            found.label,
            found.label_scores,
            {} if self.task.paired else answer.words,
            found.probabilities,
            *asked.gold,
            cut=answer.cut,
            dropped=answer.dropped,
            lacking=answer.lacking,
            averaged=answer.averaged,
            split=answer.split,
            tokens=answer.tokens,
            unknown=answer.unknown,
            pieces=answer.pieces,
            beyond=answer.beyond,
        )

    def _gold(self, row: Row) -> Gold:
        """(our label, the row's own spelling); raises RowError for several labels, and, where labels are taken
        strictly, for one that is none of ours."""
        if self.recipe.labels_ignored:
            return None, None
        try:
            label, value = self.task.gold(row)
        except RowError:
            if self.recipe.labels_optional:
                return None, None
            raise
        if self.recipe.labels_strict and label is None and value is not None:
            known = shortlist(self.task.known(row), 8)
            raise RowError(f"the label {value!r} is none of: {known}", where=row.source)
        return label, value

    def _of_file(self, path: str) -> list[Prediction]:
        """The predictions for the good rows of a file, of which only the scores are of interest."""
        items = list(read.read([path], self.task.columns, self.recipe.reading))
        if self.task.several:
            gold.check_flags(items, self.task)
        return [one for window in self.windows(items) for one in window if isinstance(one, Prediction)]

    def _fit(self, decision: Decision) -> None:
        """Fit what files of rows, or prompts that say nothing, decide; raises a PromptshotError."""
        if isinstance(decision, Thresholds) and decision.cuts is None:
            self.decision = Ranks(decision.ordered, decision.prior)  # until the cuts are known
            self.decision = fitting.fixed(decision, self._of_file(decision.dev))
        if isinstance(decision, Several) and decision.cuts is None and decision.dev:
            self.decision, self.suiting = fitting.suited(decision, self._of_file(decision.dev), self.recipe)
        calibration = self.recipe.calibration
        if calibration.dev:
            self.fitted = fitting.fitted_to(self._of_file(calibration.dev), self.recipe, calibration.dev)
        elif calibration and not calibration.transductive:
            self.fitted = calibrate.of_prompts(calibration.method, self.neutral)

    def _neutral(self) -> Neutral:
        """What the words of this one score where a row says nothing, or why they do not: that ends no run."""
        try:
            asked = {text: self.questions.neutral(text) for text in calibrate.NEUTRAL}
            if isinstance(self.scorer, Checkpoint):
                self.scorer.progress = None
            scored = iter(self._scored([prompt for prompts in asked.values() for prompt in prompts]))
        except PromptshotError as problem:
            return dict.fromkeys(calibrate.NEUTRAL, problem.what)
        found: dict[str, Mapping[str, float] | str] = {}
        for text, prompts in asked.items():
            answer = self.questions.answer(prompts, list(islice(scored, len(prompts))))
            found[text] = answer if isinstance(answer, str) else answer.words
        return found

    # ---------------------------------------------------------------- checks and parts

    def _refuse_chat(self) -> None:
        """Refuse a chat with a model that has none."""
        if self.recipe.template.spec.chat is None:
            return
        if not isinstance(self.scorer, Chatting):
            raise OptionError(f"no chat: the scorer {self.recipe.scorer!r} reads none", hint="leave out --chat")
        if why := self.scorer.no_chat():
            raise ModelError(f"no chat: {why}", where=self.recipe.model, hint=NO_CHAT)

    def _refuse_words(self) -> None:
        """Refuse label words that the tokenizer does not know, or cannot tell apart between two labels."""
        if self.task.paired or self.task.own_words:
            return
        verbalizer = self.task.verbalizer
        label_of = {word: label for label, words in verbalizer.labels.items() for word in words}
        if flaw := self._flaw(list(label_of), label_of):
            hint = "choose other label words, or another model"
            raise VerbalizerError(flaw, where=f"verbalizer {verbalizer.name}", hint=hint)

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


def chat_unused(recipe: Recipe, details: Mapping[str, Any]) -> str:
    """That a checkpoint has a template for chats and is asked without it, in one line; else empty."""
    if not details.get("chat_template") or recipe.template.spec.chat is not None:
        return ""
    return f"{recipe.model} has a template for chats, and is asked without it; with it: --chat"


def idle(decision: Decision) -> Decision:
    """That of a member of an ensemble: the scores of all together decide on several labels."""
    return decision.idle if isinstance(decision, Several) else decision


class _Asked(NamedTuple):
    """A row of a window that is scored: its place there, its own label, and what is asked of it."""

    place: int
    row: Row
    gold: Gold
    prompts: tuple[Prompt, ...]


def _plan(plan: DemoPlan, given: Any, k: int | None, template: Template, columns: Mapping[str, str]) -> DemoPlan | None:
    """The plan with the demonstrations that were given; rows of a program and what a pipe says are kept like files."""
    if given is None:
        if k:
            raise OptionError("k needs rows to draw from", hint="give demos=FILE, or rows")
        return None
    if not isinstance(k, int | None) or isinstance(k, bool) or (k is not None and k < 0):
        raise OptionError(f"k is a whole number, not {k!r}", hint=f"write k={DEMOS}")
    plan = replace(plan, path=_kept("demos", given, template, columns) or "")
    plan.check()
    return plan


def _kept(name: str, given: Any, template: Template, columns: Mapping[str, str]) -> str | None:
    """The file of that name, or rows of a program as such a file would have them; None where none were given."""
    if given is None or isinstance(given, str | Path):
        return None if given is None else once(str(given) if isinstance(given, Path) else given)
    objects.check(given)
    return kept(name, objects.as_lines(objects.rows_of(given, template.needs, columns)))


def _of_frame(outcome: Outcome, labels: Sequence[str], spelling: Mapping[str, Any]) -> dict[str, Any]:
    """What a data frame gets for a row."""
    if isinstance(outcome, Reject):
        return {"prediction": None, "problem": outcome.reason}
    chances = outcome.probabilities or {}
    each = {f"p_{label}": chances[label] for label in labels if label in chances}
    shown = spelled(outcome.label, spelling)
    own = list(outcome.label) if isinstance(outcome.label, tuple) else outcome.label
    name = {NAMED: own} if spelling else {}
    prediction = own if shown is None else shown
    return {"prediction": prediction, **name, **outcome.held, "probability": outcome.probability, **each}


Progress = Callable[[int], None]  # called with the number of rows just finished


def _in_rows(progress: Progress | None, rows: int, prompts: int) -> Progress | None:
    """What is called with the number of prompts just finished, where rows ask several of them."""
    if progress is None or rows == prompts:
        return progress
    tell, done = progress, 0

    def finished(count: int) -> None:
        nonlocal done
        before, done = done * rows // prompts, done + count
        tell(done * rows // prompts - before)

    return finished


def in_windows(items: Iterable[T], size: int = WINDOW) -> Iterator[list[T]]:
    """The items, a window of so many at a time; what was read before an error is a window too."""
    window: list[T] = []
    try:
        for item in items:
            window.append(item)
            if len(window) == size:
                yield window
                window = []
    except PromptshotError:
        if window:
            yield window
        raise
    if window:
        yield window


def _reject(item: Row, problem: RowError) -> Reject:
    reason = f"{problem.what}; {problem.hint}" if problem.hint else problem.what
    return Reject(item.source, reason, raw_of(item), item.key)


def _raised(outcome: Outcome) -> RowError:
    assert isinstance(outcome, Reject)
    return RowError(outcome.reason, where=outcome.source)


def _visible(word: str) -> str:
    """A word as it is, or as escapes where there is nothing to see."""
    return word if any(unicodedata.category(sign)[0] not in "CMZ" for sign in word) else ascii(word)
