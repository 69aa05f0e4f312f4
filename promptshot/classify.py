"""The one place where everything meets: rows in, predictions out, in the same order."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from promptshot import decide, demos, library, rows, scorers
from promptshot.errors import InputError, OptionError, RowError, VerbalizerError, shortlist
from promptshot.prompts import Prompt, Template
from promptshot.rows import Item, Reject, Row
from promptshot.scorers import Checkpoint, ModelOptions, Scored, Scorer
from promptshot.verbalizer import RowWords, Verbalizer

WINDOW = 1024  # rows; sorting and batches never cross it, so a run can be cut at its edges


@dataclass(frozen=True)
class DemoPlan:
    """Which demonstrations to put before each row."""

    path: str
    k: int
    seed: int = 0


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run's results, as plain data; `build` makes it live."""

    template: Template
    verbalizer: Verbalizer
    scorer: str
    options: ModelOptions = field(default_factory=ModelOptions)
    demos: DemoPlan | None = None
    dev: str | None = None  # a file whose scores fix the thresholds of an ordered pair template
    columns: Mapping[str, str] = field(default_factory=dict)
    labels_ignored: bool = False

    @property
    def model(self) -> str:
        """The checkpoint's name; the built-in one for the scorer where none is given."""
        return self.options.model or scorers.BUILTIN_MODEL.get(self.scorer, "")

    @property
    def prior(self) -> tuple[float, ...]:
        """The share of each label of an ordered pair template; uniform where the template says nothing."""
        ordered = self.template.spec.ordered or []
        return tuple(self.template.spec.prior or [1 / len(ordered) for _ in ordered])

    @property
    def transductive(self) -> bool:
        """Whether labels are decided over the whole run, by rank."""
        return bool(self.template.spec.ordered) and self.dev is None

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for the run record."""
        return {
            "template": {"name": self.template.name, **self.template.spec.model_dump(exclude_defaults=True)},
            "verbalizer": self.verbalizer.as_dict(),
            "scorer": self.scorer,
            "model": self.model,
            "options": self.options.as_dict(),
            "demonstrations": vars(self.demos) if self.demos else None,
            "dev": self.dev,
            "columns": dict(self.columns),
            "decision": "rank" if self.transductive else "thresholds" if self.dev else "best",
        }

    def fingerprint(self, inputs: Sequence[str] = (), selection: Mapping[str, Any] | None = None) -> str:
        """A hash of all that decides the scores: not of the limit, the batch size or the device."""
        said = self.as_dict()
        options = said.pop("options")
        said["options"] = {key: options[key] for key in ("revision", "dtype", "max_length")}
        for unimportant in ("about", "source", "example"):
            said["template"].pop(unimportant, None)
        said["weights"] = _folder_hash(self.model)
        said["demo_file"] = _file_hash(self.demos.path) if self.demos else None
        said["dev_file"] = _file_hash(self.dev) if self.dev else None
        said["inputs"] = [[path, _size(path)] for path in inputs if path != "-"]
        said["selection"] = dict(selection or {})
        text = json.dumps(said, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def build(self) -> Classifier:
        """Load the scorer and draw the demonstrations; raises a PromptshotError when they do not fit."""
        return Classifier(self, scorers.load(self.scorer, self.options))


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
    averaged: bool = False  # word scores are means over tokens, for the words differ in length
    split: int = 0  # label words of several tokens

    @property
    def probability(self) -> float | None:
        """The probability of the predicted label, None where ranks decide."""
        return self.probabilities[self.label] if self.probabilities else None

    def record(self) -> dict[str, Any]:
        """The output row: the row's own fields, then what was found."""
        return {
            **self.row.fields,
            "prediction": self.label,
            "probability": self.probability,
            "probabilities": None if self.probabilities is None else dict(self.probabilities),
            "scores": dict(self.label_scores),
            "word_scores": dict(self.word_scores),
        }


OUTPUT_FIELDS = ("prediction", "probability", "probabilities", "scores", "word_scores")


class Classifier:
    """A recipe with its live parts."""

    def __init__(self, recipe: Recipe, scorer: Scorer) -> None:
        """Use `Recipe.build`, or bring any scorer; unknown label words are refused here."""
        self.recipe, self.scorer = recipe, scorer
        self.template, self.verbalizer = recipe.template, recipe.verbalizer
        self._refuse_words()
        self.demos = self._drawn()
        self.cuts = self._thresholds() if recipe.dev else None

    @property
    def details(self) -> Mapping[str, Any]:
        """What the scorer says of its model and machine."""
        return self.scorer.details if isinstance(self.scorer, Checkpoint) else {}

    def predict(self, items: Iterable[Item], progress: Progress | None = None) -> Iterator[Prediction | Reject]:
        """A Prediction or a Reject for every row, in order, a window of rows in memory at a time.

        Where ranks decide (`Recipe.transductive`), nothing comes out before the last row has been scored;
        what has been found so far waits in a temporary file.
        """
        outcomes = (outcome for window in _windows(items) for outcome in self._window(window, progress))
        if self.recipe.transductive:
            yield from self._ranked(outcomes)
        else:
            yield from outcomes

    def prompt(self, row: Row) -> Prompt:
        """The prompt of one row; raises RowError."""
        shots: Sequence[str] = ()
        if self.demos:
            shots = [shot for shot in self.demos.for_row(demos.values_of(row, self.template)) if shot]
        words = ("",) if self.template.spec.ordered else self.verbalizer.choices(row)
        return self.template.render(row, words, shots)

    # ---------------------------------------------------------------- one window

    def _window(self, items: Sequence[Item], progress: Progress | None) -> Iterator[Prediction | Reject]:
        prompts: dict[int, Prompt] = {}
        outcomes: dict[int, Prediction | Reject] = {}
        for i, item in enumerate(items):
            try:
                if isinstance(item, Row):
                    prompts[i] = self.prompt(item)
                else:
                    outcomes[i] = item
            except RowError as problem:
                outcomes[i] = _reject(item, problem)
        if isinstance(self.scorer, Checkpoint):
            self.scorer.progress = progress
        scored = self.scorer.score(list(prompts.values()))
        for (i, prompt), result in zip(prompts.items(), scored, strict=True):
            row = items[i]
            assert isinstance(row, Row)
            outcomes[i] = self._outcome(row, prompt, result)
        yield from (outcomes[i] for i in range(len(items)))

    def _outcome(self, row: Row, prompt: Prompt, scored: Scored) -> Prediction | Reject:
        problem = scored.error or _fault(scored, len(prompt.choices))
        if problem:
            return Reject(row.source, problem, _raw(row), row.key)
        gold, value = self._gold(row)
        if self.template.spec.ordered:
            found = self._of_pair(row, scored)
        else:
            averaged = self._averages(scored)
            words = [s / n if averaged else s for s, n in zip(scored.scores, scored.tokens, strict=True)]
            labels = self.verbalizer.pooled(prompt.choices, words)
            of_word = dict(zip(prompt.choices, words, strict=True))
            chances = decide.softmax(labels)
            found = Prediction(row, decide.best(labels), labels, of_word, chances, averaged=averaged)
        counts = prompt.scored == "choice" and self.recipe.scorer != "nsp"
        split = sum(n > 1 for n in scored.tokens) if counts else 0
        return replace(found, gold=gold, gold_value=value, cut=scored.cut, dropped=scored.dropped, split=split)

    def _of_pair(self, row: Row, scored: Scored) -> Prediction:
        """A pair has one score, the margin of IsNext; thresholds (or, later, ranks) make it a label."""
        ordered, margin = self.template.spec.ordered or [], scored.scores[0]
        label = ordered[decide.bucket(margin, self.cuts)] if self.cuts is not None else ""
        return Prediction(row, label, {"is_next": margin}, {}, None)

    def _averages(self, scored: Scored) -> bool:
        """Mean over a word's tokens instead of the sum: as the template says, or under a cloze whose words
        differ in length, where sums would favour the short ones."""
        if self.template.spec.normalize:
            return self.template.spec.normalize == "mean"
        return self.template.spec.scorer == "mlm" and len(set(scored.tokens)) > 1

    def _gold(self, row: Row) -> tuple[str | None, str | None]:
        if self.recipe.labels_ignored:
            return None, None
        wanted = self.template.spec.label_field
        return self.verbalizer.gold_label(row, row.column(wanted))

    # ---------------------------------------------------------------- the whole run

    def _ranked(self, outcomes: Iterable[Prediction | Reject]) -> Iterator[Prediction | Reject]:
        ordered = self.template.spec.ordered or []
        margins: list[float] = []
        with tempfile.TemporaryFile("w+", encoding="utf-8") as spool:
            for outcome in outcomes:
                if isinstance(outcome, Prediction):
                    margins.append(outcome.label_scores["is_next"])
                spool.write(json.dumps(_spooled(outcome)) + "\n")
            buckets = iter(decide.rank(margins, self.recipe.prior))
            for outcome in _unspooled(spool):
                if isinstance(outcome, Prediction):
                    outcome = replace(outcome, label=ordered[next(buckets)])
                yield outcome

    def _thresholds(self) -> list[float]:
        assert self.recipe.dev is not None
        if not self.template.spec.ordered:
            raise OptionError("--dev fixes thresholds for a template with 'ordered'", hint="leave it out")
        self.cuts = [0.0] * (len(self.recipe.prior) - 1)
        found = [o for w in _windows(rows.read([self.recipe.dev], self.recipe.columns)) for o in self._window(w, None)]
        margins = [o.label_scores["is_next"] for o in found if isinstance(o, Prediction)]
        if len(margins) < len(self.recipe.prior):
            raise InputError("too few good rows to fix thresholds", where=self.recipe.dev)
        return decide.thresholds(margins, self.recipe.prior)

    # ---------------------------------------------------------------- checks and parts

    def _drawn(self) -> demos.Demonstrations | None:
        plan = self.recipe.demos
        if plan is None or plan.k == 0:
            return None
        if self.template.spec.scorer != "causal":
            hint = "use a template for scorer causal, or leave out --demos and -k"
            raise OptionError(f"demonstrations are for scorer causal, not {self.template.spec.scorer}", hint=hint)
        pool = rows.read([plan.path], self.recipe.columns)
        return demos.draw(pool, self.template, self.verbalizer, plan.k, plan.seed)

    def _refuse_words(self) -> None:
        """Refuse label words that the tokenizer does not know, or cannot tell apart between two labels."""
        if self.template.spec.ordered or isinstance(self.verbalizer, RowWords):
            return
        if not isinstance(self.scorer, Checkpoint):
            return
        label_of = {word: label for label, words in self.verbalizer.labels.items() for word in words}
        said = f"the tokenizer of {self.recipe.model}"
        where, hint = f"verbalizer {self.verbalizer.name}", "choose other label words, or another model"
        if unknown := self.scorer.unknown(list(label_of)):
            raise VerbalizerError(f"{said} does not know: {shortlist(unknown)}", where=where, hint=hint)
        for one, other in self.scorer.alike(list(label_of)):
            if label_of[one] != label_of[other]:
                raise VerbalizerError(f"{said} spells {one!r} and {other!r} the same", where=where, hint=hint)


Progress = Callable[[int], None]  # called with the number of rows just finished


def check_gold(items: Sequence[Item], recipe: Recipe) -> None:
    """Stop before any scoring when rows carry labels and none of them is a label we know."""
    if recipe.labels_ignored:
        return
    seen: dict[str, None] = {}
    named = recipe.columns.get(recipe.template.spec.label_field)
    found = [item for item in items if isinstance(item, Row)]
    if named and found and not any(row.column(recipe.template.spec.label_field) for row in found):
        found[0][recipe.template.spec.label_field]  # raises: no such column
    for item in items:
        if isinstance(item, Row):
            try:
                column = item.column(recipe.template.spec.label_field)
                label, value = recipe.verbalizer.gold_label(item, column)
            except RowError:
                continue
            if label is not None:
                return
            if value is not None:
                seen[value] = None
    if seen:
        names = recipe.verbalizer.names
        spelled = [f"{n} ({'/'.join(g)})" if (g := recipe.verbalizer.gold.get(n)) else n for n in names]
        raise VerbalizerError(
            f"no label fits the rows' own labels ({shortlist(seen, 8)}); {recipe.verbalizer.name} knows: "
            f"{shortlist(spelled, 8)}",
            hint="add them under 'gold:', name another --label-field, or predict only: --ignore-labels",
        )


def _windows(items: Iterable[Item]) -> Iterator[list[Item]]:
    window: list[Item] = []
    for item in items:
        window.append(item)
        if len(window) == WINDOW:
            yield window
            window = []
    if window:
        yield window


def _reject(item: Item, problem: RowError) -> Reject:
    reason = f"{problem.what}; {problem.hint}" if problem.hint else problem.what
    return Reject(item.source, reason, _raw(item), item.key)


def _fault(scored: Scored, choices: int) -> str:
    """What is wrong with a scorer's answer, if anything: third-party scorers come this way too."""
    if len(scored.scores) != choices or len(scored.tokens) != choices:
        return f"the scorer gave {len(scored.scores)} scores for {choices} choices"
    return "" if all(map(math.isfinite, scored.scores)) else "a score is not finite"


def _raw(item: Item) -> str:
    return item.raw if isinstance(item, Reject) else json.dumps(item.fields, ensure_ascii=False)


def _spooled(outcome: Prediction | Reject) -> dict[str, Any]:
    if isinstance(outcome, Reject):
        return {"reject": vars(outcome)}
    plain = {key: value for key, value in vars(outcome).items() if key != "row"}
    return {"row": {**vars(outcome.row), "columns": dict(outcome.row.columns)}, "rest": plain}


def _unspooled(spool: IO[str]) -> Iterator[Prediction | Reject]:
    spool.seek(0)
    for line in spool:
        said = json.loads(line)
        if "reject" in said:
            yield Reject(**said["reject"])
        else:
            yield Prediction(Row(**said["row"]), **said["rest"])


def _folder_hash(model: str) -> str | None:
    """A hash of config and weights of a local or built-in model; None for a hub name."""
    folder = library.builtin_model(model) if model.startswith(library.BUILTIN) else Path(model or "\0")
    if "\0" in str(folder) or not folder.is_dir():
        return None
    files = [p for p in sorted(folder.iterdir()) if p.suffix in (".json", ".safetensors", ".bin", ".model", ".txt")]
    return hashlib.sha256("".join(_file_hash(str(p)) for p in files).encode()).hexdigest()


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError as problem:
        raise InputError(f"cannot be read ({problem.strerror})", where=path, hint="check the path") from None


def _file_hash(path: str) -> str:
    try:
        with open(path, "rb") as stream:
            return _digest(stream)
    except OSError as problem:
        raise InputError(f"cannot be read ({problem.strerror})", where=path, hint="check the path") from None


def _digest(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
