"""A recipe: everything that decides a run's results, as plain data."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import IO, Any, Literal, get_args

from promptshot import shelf
from promptshot.classify.calibrate import OF_ANY_WORDS, OF_PROMPTS, Calibration
from promptshot.classify.decide import Best, Decision, Several, Thresholds, decision_of
from promptshot.classify.thresholds import thresholds_of
from promptshot.errors import OptionError, PromptshotError, many, shortlist, unreadable
from promptshot.files import Named, is_remote
from promptshot.kinds import KINDS, WITH_ODDS, builtin_for
from promptshot.prompts import library
from promptshot.prompts.task import Task
from promptshot.prompts.template import Template
from promptshot.prompts.verbalizer import Verbalizer
from promptshot.rows.columns import taken, told
from promptshot.rows.once import Once
from promptshot.rows.row import Row
from promptshot.rows.streams import PLAIN, Reading
from promptshot.scoring import ALPHA, Long, LongPool, ModelOptions

BLOCK, LARGE, SAMPLED = 1 << 20, 8 << 30, 1000  # bytes at once, of a file that is not read as a whole, blocks of it
# Whether predictions are spelled as the rows spell their labels or as the template does; auto: as the rows, in numbers.
SpelledAs = Literal["auto", "rows", "template"]
# The options of a way to read long texts -> that way.
OF_LONG: Mapping[str, Long] = {"long_pool": "windows", "long_stride": "windows", "long_alpha": "hierarchical"}
DEMOS = 4  # demonstrations, where only the file to draw from is named
# How demonstrations are chosen: the same ones for all rows, those nearest by their words, or by the model's embeddings.
DemosBy = Literal["random", "nearest", "similar"]
# In which order they stand: as they were drawn, by how near they are to the row, or label by label.
DemoOrder = Literal["drawn", "nearest-first", "nearest-last", "by-label"]


@dataclass(frozen=True)
class DemoPlan:
    """Which demonstrations to put before each row; what need not be said of them has its usual value."""

    path: str
    k: int
    seed: int = 0
    by: DemosBy = "random"
    order: DemoOrder | None = None  # None: as drawn, or the nearest last
    balanced: bool = True  # as many of each label as k and the file allow
    whiten: bool = False  # the embeddings
    chunks: int = 1  # prompts of a row among which they are dealt, see `questions`
    set_aside: int = 0  # labelled rows of the input that they are chosen from; then `path` is no file

    @property
    def which(self) -> str:
        """In few words, which ones: 8 nearest demonstrations from train.jsonl."""
        return f"{self.k:,} {self.kind}{'' if self.k == 1 else 's'} from {self.source}"

    @property
    def kind(self) -> str:
        """How one of them is called."""
        return "demonstration" if self.by == "random" else f"{self.by} demonstration"

    @property
    def source(self) -> str:
        """What they are chosen from, for people."""
        return f"{many(self.set_aside, 'row')} of the input" if self.set_aside else self.path

    @property
    def placed(self) -> DemoOrder:
        """The order in which they stand."""
        return self.order or ("drawn" if self.by == "random" else "nearest-last")

    def identity(self) -> dict[str, Any]:
        """What decides which are drawn, but for what the file says; nothing of what is as usual."""
        drawn = {"path": self.path, "k": self.k, "seed": self.seed}
        return drawn | {name: said for name, said in asdict(self).items() if said != _USUAL.get(name, said)}

    def check(self) -> None:
        """Raises OptionError where a part of it is not known, or its parts do not go together."""
        for said, known in ((self.by, get_args(DemosBy)), (self.placed, get_args(DemoOrder))):
            if said not in known:
                raise OptionError(f"demonstrations: {said!r} is none of {', '.join(known)}")
        if type(self.chunks) is not int or self.chunks < 1:
            raise OptionError(f"demonstrations: {self.chunks!r} is no number of chunks", hint="write a whole number")
        if self.whiten and self.by != "similar":
            raise OptionError("--demo-whiten is for the embeddings of --demos-by similar", hint="leave it out")
        if self.order == "drawn" and self.by != "random":
            hint = "say nearest-last, nearest-first or by-label"
            raise OptionError(f"--demo-order drawn: by {self.by}, nothing is drawn", hint=hint)
        if self.placed.startswith("nearest") and self.by == "random":
            hint = "add --demos-by nearest or similar"
            raise OptionError(f"--demo-order {self.order}: at random, none is nearer than another", hint=hint)
        if self.chunks > max(1, self.k):
            what = f"{self.k} demonstrations are too few for {self.chunks} chunks"
            raise OptionError(what, hint="raise -k, or lower --demo-chunks")


_USUAL = {one.name: one.default for one in fields(DemoPlan) if one.default is not MISSING and one.name != "seed"}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run's results, as plain data; `Classifier.of` makes it live."""

    task: Task
    scorer: str
    options: ModelOptions = field(default_factory=ModelOptions)
    demos: DemoPlan | None = None
    calibration: Calibration = field(default_factory=Calibration)
    decision: Decision = field(default_factory=Best)
    whiten: str | None = None  # the file by whose texts vectors are whitened
    abstain_below: float | None = None  # the probability below which a prediction abstains
    guessed: Mapping[str, str] = field(default_factory=dict)  # columns that go by a usual name; only told
    reading: Reading = PLAIN  # how files of rows are read
    labels_ignored: bool = False
    labels_strict: bool = False  # a row whose own label is none of ours is rejected
    labels_optional: bool = False  # a row with several labels is predicted all the same
    spelled_as: SpelledAs = "auto"
    spelling: Mapping[str, Any] = field(default_factory=dict)  # label -> what is written for it; empty: its name
    others: tuple[Recipe, ...] = ()  # more templates: an ensemble, by the mean of log-probabilities

    @classmethod
    def of(
        cls,
        template: Template,
        verbalizer: Verbalizer,
        scorer: str | None = None,
        options: ModelOptions | None = None,
        demos: DemoPlan | None = None,
        dev: str | None = None,
        columns: Mapping[str, str] | None = None,
        calibration: Calibration | None = None,
        thresholds: str | float | Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Recipe:
        """A recipe from its parts: the template's own scorer, and labels decided as it says, where nothing is said.

        `dev` is a file whose scores fix the thresholds of an ordered pair template, or whose labels those of several
        labels (a calibration names its own); `thresholds` say the latter, see `thresholds_of`; `columns` say where a
        row keeps a field. The prior of a calibration goes before that of an ordered pair template. Raises OptionError
        where they do not go together.
        """
        task = Task(template, verbalizer, columns or {})
        own = Calibration() if calibration is None else calibration  # one of a prior alone is false
        scorer = scorer or template.spec.scorer
        decision: Decision
        if task.several:
            decision = _several(task, scorer in KINDS and KINDS[scorer].odds, thresholds, dev)
        elif thresholds is not None:
            hint = "add --multi-label, or leave it out"
            raise OptionError("--threshold is for templates with 'labels: several'", hint=hint)
        else:
            decision = decision_of(template.spec.ordered, _shares(template, own), dev)
        return cls(task, scorer, options or ModelOptions(), demos, own, decision, **more)

    @property
    def template(self) -> Template:
        return self.task.template

    @property
    def verbalizer(self) -> Verbalizer:
        return self.task.verbalizer

    @property
    def columns(self) -> Mapping[str, str]:
        return self.task.columns

    @property
    def labels(self) -> Sequence[str]:
        return self.task.labels

    @property
    def name(self) -> str:
        """The names of its templates."""
        return " + ".join(recipe.template.name for recipe in (self, *self.others))

    @property
    def model(self) -> str:
        """The checkpoint's name; the built-in one for the scorer where none is given."""
        return self.options.model or builtin_for(self.scorer)

    @property
    def shots(self) -> int:
        """How many demonstrations go before each row."""
        return self.demos.k if self.demos else 0

    @property
    def demo_seed(self) -> int | None:
        """What they are drawn with; None where there are none."""
        return self.demos.seed if self.demos and self.demos.k else None

    @property
    def same_shots(self) -> bool:
        """Whether the same demonstrations go before all rows, if any do."""
        return not (self.demos and self.demos.k and self.demos.by != "random")

    @property
    def draw(self) -> str:
        """What numbers with demonstrations are of: one draw; empty where there are none, or nothing is drawn."""
        plan = self.demos
        drawn = plan is not None and plan.k and (plan.by == "random" or plan.set_aside)
        return f"one draw (seed {plan.seed})" if plan and drawn else ""

    @property
    def transductive(self) -> bool:
        """Whether labels are decided over the whole run."""
        return self.decision.transductive or self.calibration.transductive

    @property
    def dev(self) -> str | None:
        """The file whose scores fix thresholds or calibrate."""
        return self.decision.dev if isinstance(self.decision, Thresholds | Several) else self.calibration.dev

    @property
    def reads(self) -> list[Named]:
        """The files that it comes from, as far as they are known."""
        found = []
        for template in (one.template for one in (self, *self.others)):
            words, beside = template.spec.verbalizer, template.path.parent if template.path else None
            named = library.path_of("verbalizers", words, None, beside) if isinstance(words, str) else None
            found += [Named("--template", str(path)) for path in (template.path, named) if path]
        found += [Named("--demos", self.demos.path)] if self.demos and not self.demos.set_aside else []
        found += [Named("--dev", self.dev)] if self.dev else []
        found += [Named("--whiten", self.whiten)] if self.whiten else []
        return found + of_model(self.model)

    def calibrated(self, calibration: Calibration) -> Recipe:
        """The recipe with this calibration, by whose prior pairs are cut into labels, too; raises OptionError."""
        decision = self.decision
        if self.task.paired:
            dev = decision.dev if isinstance(decision, Thresholds) else None
            decision = decision_of(self.template.spec.ordered, _shares(self.template, calibration), dev)
        return replace(self, calibration=calibration, decision=decision)

    def drawn(self, shots: Sequence[int], seeds: Sequence[int]) -> list[Recipe]:
        """The recipe for each number of demonstrations, in order, and each seed they are drawn with; none of them
        are drawn once."""
        if self.demos is None:
            return [self]
        wanted = [(k, seed) for k in shots for seed in (seeds if k else seeds[:1])]
        chunks = self.demos.chunks
        plans = [replace(self.demos, k=k, seed=seed, chunks=min(chunks, max(1, k))) for k, seed in wanted]
        return [
            replace(self, demos=plan, others=tuple(replace(other, demos=plan) for other in self.others))
            for plan in plans
        ]

    def seen(self, rows: Sequence[Row], compared: bool = False) -> tuple[Recipe, list[str]]:
        """The recipe with the columns that serve its fields in some rows, and what a user should know of them; that no
        row has a label is told by others where they are `compared`.
        """
        labels = () if self.labels_ignored else (self.template.spec.label_field,)
        found = taken(rows, (*self.template.needs, *labels))
        lines = told(found, rows, () if compared else labels)
        return replace(self, guessed={one.field: one.resolved for one in found}), lines

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for the run record."""
        return {
            "template": {"name": self.template.name, **self.template.spec.model_dump(exclude_defaults=True)},
            "verbalizer": self.verbalizer.as_dict(),
            "scorer": self.scorer,
            "model": self.model,
            "options": self.options.as_dict(),
            "demonstrations": self.demos.identity() if self.demos else None,
            "dev": self.dev,
            "columns": {**self.columns, **self.guessed},
            "labels": self._labels_taken,
            **({"spelling": dict(self.spelling)} if self.spelling else {}),
            "ensemble": [other.as_dict() for other in self.others],
            "decision": self.decision.name,
            **self.calibration.as_dict(),
            **({"whiten": self.whiten} if self.whiten else {}),
            **({} if self.abstain_below is None else {"abstain_below": self.abstain_below}),
        }

    def identity(
        self,
        inputs: Sequence[str] = (),
        selection: Mapping[str, Any] | None = None,
        of_folder: Callable[[str], str | None] | None = None,
    ) -> dict[str, Any]:
        """All that decides what is written, as plain data: not the limit, the batch size or the device.

        `of_folder` is `folder_hash`, or what remembers its answers for many recipes.
        """
        of_folder, of_file = of_folder or cache(folder_hash), cache(_file_hash)  # none is read twice for this
        return {
            **self._identity(),
            **self.options.identity(),
            "weights": [of_folder(recipe.model) for recipe in (self, *self.others)],
            "demo_file": of_file(self.demos.path) if self.demos else None,
            "dev_file": of_file(self.dev) if self.dev else None,
            **({"whiten": of_file(self.whiten)} if self.whiten else {}),
            # Without the folder, for what they say is compared as well, and folders are moved.
            "inputs": [[os.path.basename(path), _size(path)] for path in inputs if path != "-"],
            "selection": dict(selection or {}),
        }

    def _identity(self) -> dict[str, Any]:
        """What its parts say of themselves; columns that were guessed are found anew in each row."""
        return {
            **self.task.identity(),
            **self.decision.identity(),
            **self._prior_said,
            **self.calibration.identity(),
            **({} if self.abstain_below is None else {"abstain_below": self.abstain_below}),
            "scorer": self.scorer,
            "model": self.model,
            "demonstrations": self.demos.identity() if self.demos else None,
            "labels": self._labels_taken,
            **({"spelling": dict(self.spelling)} if self.spelling else {}),
            "ensemble": [other._identity() for other in self.others],
        }

    @property
    def _prior_said(self) -> dict[str, Any]:
        """The shares that pairs are cut by, where they are not the template's; else a prior decides no label."""
        said = self.calibration.prior if self.task.paired else None
        return {"prior": dict(said)} if said else {}

    @property
    def _labels_taken(self) -> str:
        """How the rows' own labels are taken."""
        return "ignored" if self.labels_ignored else "strict" if self.labels_strict else "counted"

    def fingerprint(self, inputs: Sequence[str] = (), selection: Mapping[str, Any] | None = None) -> str:
        """A hash of the identity."""
        return digest(self.identity(inputs, selection))

    def check(self) -> None:
        """Refuse an ensemble whose members do not speak of the same labels, and a calibration that cannot be; raises
        OptionError."""
        self._check_long()
        self._check_calibration()
        self._check_several()
        for recipe in (self, *self.others) if self.others else ():
            if recipe.task.paired:
                what = f"{recipe.template.name} ranks pairs and gives no probabilities"
                raise OptionError(f"no ensemble: {what}", hint="leave it out")
            if set(recipe.verbalizer.names) != set(self.verbalizer.names):
                labels = f"{', '.join(recipe.verbalizer.names)} against {', '.join(self.verbalizer.names)}"
                raise OptionError(f"no ensemble: different labels, {labels}", hint="use templates of one task")

    def _check_long(self) -> None:
        """Refuse ways to read long texts that cannot be gone; raises OptionError."""
        said = self.options
        ways: dict[str, tuple[Any, ...]] = {"long": get_args(Long), "long_pool": (None, *get_args(LongPool))}
        for name, known in ways.items():
            if getattr(said, name) not in known:
                hint = f"use {', '.join(filter(None, known))}"
                raise OptionError(f"--{name.replace('_', '-')} {getattr(said, name)}: there is no such way", hint=hint)
        for name, way in OF_LONG.items():
            if getattr(said, name) is not None and said.long != way:
                what = f"--{name.replace('_', '-')} is for --long {way}"
                raise OptionError(what, hint="add that, or leave it out")
        share = said.long_alpha
        if share is not None and not (isinstance(share, float) and 0 < share < 1 and share != 0.5):
            what = f"--long-alpha {share}: a share between 0 and 1 is wanted, and not 0.5, which tells no places apart"
            raise OptionError(what, hint=f"{ALPHA}, say")
        if said.long_stride is not None and (type(said.long_stride) is not int or said.long_stride < 1):
            raise OptionError(f"--long-stride {said.long_stride}: a stride is a token or more", hint="128, say")
        for one in (self, *self.others) if self.options.long == "windows" else ():
            if holes := [name for name, rule in one.template.spec.fields.items() if rule.hole]:
                what = (
                    f"--long windows: the field {holes[0]!r} of {one.template.name} has a hole, which is in one piece"
                )
                raise OptionError(what, hint="leave it out")

    def _check_several(self) -> None:
        """Refuse what has no meaning where a row may have several labels; raises OptionError."""
        members, decision = (self, *self.others), self.decision
        if len({one.decision.odds if isinstance(one.decision, Several) else None for one in members}) > 1:
            hint = "use templates of one kind of scorer, all with 'labels: several' or none"
            raise OptionError("no ensemble: some judge each label by itself, and others otherwise", hint=hint)
        if not isinstance(decision, Several):
            return
        if decision.cuts is None and decision.dev is None:
            what = f"the scores of scorer {self.scorer} are no odds, so no threshold for several labels is usual"
            raise OptionError(what, hint=f"say --threshold or --dev FILE, or use a template for scorer {WITH_ODDS}")
        if self.calibration or self.calibration.prior:
            said = f"--calibrate {self.calibration.method}" if self.calibration else "--prior"
            what = f"{said}: it shares one probability among the labels, and of several each has its own"
            raise OptionError(what, hint="leave it out; --dev FILE fits a threshold for each label")
        if self.abstain_below is not None and not decision.odds:
            what = f"nothing to abstain by: the scores of scorer {self.scorer} tell no probability of a label"
            raise OptionError(what, hint="leave out --abstain-below")
        if self.shots:
            what = "a demonstration shows one label, and rows have several"
            raise OptionError(what, hint="leave out --demos and -k")

    def _check_calibration(self) -> None:
        """Refuse what cannot be calibrated, or has no probability to be sure by; raises OptionError."""
        method, members, below = self.calibration.method, (self, *self.others), self.abstain_below
        if below is not None and not 0 <= below <= 1:
            raise OptionError(f"a prediction abstains below a probability, and {below} is none", hint="0.5, say")
        if any(one.task.paired for one in members):
            what = f"{self.name} tells labels by ranks or thresholds, and gives no probabilities"
            if self.calibration:
                raise OptionError(f"no calibration {method}: {what}", hint="leave it out")
            if self.abstain_below is not None:
                raise OptionError(f"nothing to abstain by: {what}", hint="leave out --abstain-below")
        if self.calibration and method not in OF_ANY_WORDS and any(one.task.own_words for one in members):
            what = f"no calibration {method}: each row of {self.name} has its own words"
            raise OptionError(what, hint=f"take {' or '.join(OF_ANY_WORDS)}, or leave it out")
        if method in OF_PROMPTS and not self.same_shots:
            what = f"no calibration {method}: demonstrations are chosen for each row, and no prompt stands for all"
            raise OptionError(what, hint="take another method, or --demos-by random")
        if self.calibration.prior and self.labels:
            _refuse_others(self.calibration.prior, self.labels)


def _shares(template: Template, calibration: Calibration) -> Sequence[float] | None:
    """The share of each ordered label: as it was said, else as the template has it; raises OptionError."""
    ordered, said = template.spec.ordered, calibration.prior
    if not (ordered and said):
        return template.spec.prior
    _refuse_others(said, ordered)
    return [said[label] for label in ordered]


def _refuse_others(prior: Mapping[str, float], labels: Sequence[str]) -> None:
    """Refuse a prior that is not of these labels; raises OptionError."""
    if set(prior) != set(labels):
        raise OptionError("the prior has other labels", hint=f"the labels are: {shortlist(labels)}")


def _several(task: Task, odds: bool, thresholds: str | float | Mapping[str, Any] | None, dev: str | None) -> Several:
    """How several labels are decided on; raises OptionError."""
    if thresholds is not None and dev:
        raise OptionError("--threshold and --dev both give thresholds", hint="leave one out")
    return Several(tuple(task.labels), odds, None if dev else thresholds_of(thresholds, task, odds), dev)


def of_model(model: str) -> list[Named]:
    """The files of a built-in model, of one of Ollama's, or of one in a local folder or file."""
    try:
        place = shelf.place_of(model)
        files = [] if place is None else shelf.gguf_of(place) or (list(place.iterdir()) if place.is_dir() else [place])
        return [Named("a file of the model", str(path)) for path in files]
    except (OSError, ValueError, PromptshotError):
        return []


def digest(identity: Mapping[str, Any]) -> str:
    """A hash of what `Recipe.identity` gives."""
    text = json.dumps(identity, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def folder_hash(model: str) -> str | None:
    """A hash of config and weights of a model on this machine; None for a hub name."""
    place = shelf.place_of(model)
    if not (files := shelf.gguf_of(place)):
        if place is None or not place.is_dir():
            return None
        suffixes = (".json", ".safetensors", ".bin", ".model", ".txt")
        files = [path for path in sorted(place.iterdir()) if path.suffix in suffixes and path.is_file()]
    return hashlib.sha256("".join(_file_hash(str(p)) for p in files).encode()).hexdigest()


def _size(path: str) -> int:
    if is_remote(path):  # whoever reads it begins anew
        return 0
    try:
        return Path(path).stat().st_size
    except OSError as problem:
        raise unreadable(path, problem) from None


def _file_hash(path: str) -> str:
    if isinstance(path, Once):
        return hashlib.sha256(path.said).hexdigest()
    try:
        with open(path, "rb") as stream:
            return _hash(stream)
    except OSError as problem:
        raise unreadable(path, problem) from None


def _hash(stream: IO[bytes]) -> str:
    """The hash of a file; of a very large one, of its size and of a thousand blocks all over it."""
    digest = hashlib.sha256()
    size = os.fstat(stream.fileno()).st_size
    if size > LARGE:
        digest.update(str(size).encode())
        for number in range(SAMPLED):
            stream.seek((size - BLOCK) * number // (SAMPLED - 1))
            digest.update(stream.read(BLOCK))
        return digest.hexdigest()
    while block := stream.read(BLOCK):
        digest.update(block)
    return digest.hexdigest()
