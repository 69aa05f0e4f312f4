"""The run record, OUT.run.json: what was run, on what, how far it got and how it fared; here is its one reader and its
one writer.

It is a file of a stranger like any other: whatever it says has the type that it should have, or is refused. What a
later promptshot adds to it is let be, and one of a later format is refused by name.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    StrictBool,
    StrictInt,
    StrictStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from promptshot import files
from promptshot.classify.calibrate import Calibration, Fitted, Method, Neutral
from promptshot.classify.decide import Several, Thresholds
from promptshot.classify.recipe import DemoPlan, Recipe
from promptshot.errors import InputError, TemplateError, VerbalizerError, shortened, unreadable
from promptshot.metrics import BINS, LabelScores
from promptshot.prompts import strict
from promptshot.prompts.template import Template, TemplateSpec
from promptshot.prompts.verbalizer import Pool, RowWords, Verbalizer, VerbalizerSpec
from promptshot.rows.row import Reject
from promptshot.rows.streams import Part
from promptshot.rows.writer import Place
from promptshot.runs.wrong import WorstState
from promptshot.scoring import ModelOptions

FORMAT = 2  # 1: before lines were written without spaces
LARGEST = 64 << 20  # bytes; of each of a hundred thousand input files it may tell how far it was read
AFRESH = "use --overwrite to start afresh"
ELSEWHERE = "give another file, or classify again"
# What records did not say that had no format yet: those of 0.1.0, and those that people wrote by hand.
_EARLIER: Mapping[str, Any] = {
    "format": 0,
    "complete": False,
    "machine": {},
    "versions": {},
    "gold_field": "label",
    "label_order": [],
    "recipe": {},
}

Text = StrictStr
Count = Annotated[StrictInt, Field(ge=0)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]


class Later(InputError):
    """A record of a later format."""


def _whole(kind: type[Any]) -> BeforeValidator:
    """Of what says how far a file goes nothing may lack: it would be taken for the beginning."""
    names = {one.name for one in fields(kind)}

    def look(said: Any) -> Any:
        if isinstance(said, dict) and not names <= said.keys():
            raise ValueError("not whole")
        return said

    return BeforeValidator(look)


class _Said(BaseModel):
    """Base of all parts: unknown names are let be, instances do not change."""

    model_config = ConfigDict(extra="ignore", frozen=True)


# ------------------------------------------------------------------ how far a run has got


Bins = Annotated[list[Number], Field(min_length=BINS, max_length=BINS)]
CountedBins = Annotated[list[Count], Field(min_length=BINS, max_length=BINS)]


class ReliabilityCounts(_Said):
    """The counts of a `Reliability`, bin by bin."""

    rows: CountedBins
    hits: CountedBins
    sums: Bins
    spreads: Bins
    squares: Number
    squared: Count


class AbstainedCounts(_Said):
    """The counts of `Abstained`."""

    rows: Count
    labelled: Count
    correct: Count
    possible: StrictBool


LabelSet = tuple[Text, ...]


class SetCounts(_Said):
    """The counts of a `SetTally` beside those of any other."""

    rows: Count
    judged: Count
    exact: Count
    overlap: Annotated[Number, Field(ge=0)]
    empty: Count
    full: Count
    gold_of: list[tuple[Text, Count]]
    given_to: list[tuple[Text, Count]]
    hits: list[tuple[Text, Count]]
    sets: list[tuple[LabelSet, Count]]
    pairs: list[tuple[LabelSet, LabelSet, Count]]


class TallyCounts(_Said):
    """The counts of a `Tally`, in the order in which they came up."""

    confusion: list[tuple[Text, Text, Count]]
    predictions: list[tuple[Text, Count]]
    unknown_gold: list[tuple[Text, Count]]
    rejected: Count
    chance_sum: Annotated[Number, Field(ge=0)]
    reliability: ReliabilityCounts | None = None
    abstained: AbstainedCounts | None = None
    sets: SetCounts | None = None  # where rows may have several labels


class Counts(_Said):
    """The counts of a `Result`, from which it goes on; an earlier record has fewer."""

    tally: TallyCounts
    rejects: list[Reject]
    before: TallyCounts | None = None  # of the same rows before calibration
    worst: WorstState = WorstState()
    seconds: Number = 0.0
    cut: Count = 0
    pieced: Count = 0
    pieces: Count = 0
    beyond: Count = 0
    odd: Count = 0
    first_odd: Text = ""
    dropped: Count = 0
    short: Count = 0
    most_dropped: Count = 0
    lacking: Count = 0
    split: Count = 0
    tokens: dict[Text, Count] = {}  # of each label word, those of its own; 0 where they are not the same in all rows
    averaged: StrictBool = False
    unknown: Count = 0
    first_unknown: Text = ""


End = Annotated[Place, _whole(Place)]


@dataclass(frozen=True)
class Mark:
    """The end of a whole window: the rows read so far, what was read for them, the files up to there, the counts."""

    rows: Count = 0
    output: End = field(default_factory=Place)
    rejects: End = field(default_factory=Place)
    counts: Annotated[Counts | None, BeforeValidator(lambda said: None if said == {} else said)] = None
    inputs: tuple[Part, ...] = ()


# ------------------------------------------------------------------ the recipe


class _Name(_Said):
    name: Text = ""


class RecordedTemplate(TemplateSpec, _Name):
    """The keys of a template that are not the usual ones, and its name."""

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _text_throughout(cls, data: Any) -> Any:
        """Its texts were looked at when it was read, and its name may be that of any file."""
        return data

    def restored(self, where: str) -> Template:
        """The template; raises TemplateError that names the record where it is none."""
        keys = self.model_dump(exclude_unset=True, exclude={"name"})
        return Template.of(strict.build(keys, TemplateSpec, TemplateError, where, {}), self.name, where)


class RecordedVerbalizer(_Said):
    """Labels with their weighted words, how data sets spell them, how the words of one are pooled; or the fields where
    each row has its own words."""

    name: Text = ""
    labels: dict[Text, Text | list[Text] | dict[Text, float]] = {}
    gold: dict[Text, Text | list[Text]] = {}
    pool: Pool = "mean"
    words_from: Text | list[Text] | None = None

    def restored(self, where: str) -> Verbalizer:
        """The verbalizer; raises VerbalizerError that names the record where it is none."""
        if self.words_from is not None:
            return RowWords.of_field(self.name, self.words_from)
        keys = self.model_dump(exclude_unset=True, exclude={"name", "words_from"})
        return Verbalizer.of(strict.build(keys, VerbalizerSpec, VerbalizerError, where, {}), self.name, where)


class RecordedCalibration(_Said):
    """A `Calibration`."""

    method: Method = "none"
    prior: dict[Text, Annotated[Number, Field(gt=0)]] | None = None
    dev: Text | None = None


class RecordedFit(_Said):
    """What a calibration has fitted, and to how many rows; see `Fitted`."""

    method: Method
    rows: Count = 0
    left_out: Count = 0
    words: tuple[dict[Text, Number], ...] = ()
    bias: dict[Text, Number] = {}
    temperature: Annotated[Number, Field(gt=0)] = 1.0
    sure: dict[Text, Number] = {}
    sure_rows: Count = 0
    prior: dict[Text, Annotated[Number, Field(gt=0)]] = {}

    def restored(self) -> Fitted:
        """The same for `finish`."""
        return Fitted(**dict(self))


class Calibrated(_Said):
    """What a run is calibrated by, and what it may be calibrated by later: the word scores of each member's prompts
    that say nothing, or why there are none."""

    calibration: RecordedFit | None = None
    calibration_scores: tuple[dict[Text, dict[Text, Number] | Text], ...] = ()

    @property
    def fitted(self) -> Fitted | None:
        """What has been fitted."""
        return self.calibration.restored() if self.calibration else None


def calibrated(fitted: Fitted | None, scores: Sequence[Neutral]) -> dict[str, Any]:
    """The fields of `Calibrated`, those that are known."""
    said: dict[str, Any] = {"calibration": RecordedFit(**vars(fitted))} if fitted else {}
    return said | ({"calibration_scores": scores} if scores else {})


class RecordedRecipe(_Said):
    """A `Recipe` as plain data, with the columns that were guessed; the members of an `ensemble` beside the first."""

    template: RecordedTemplate | None = None  # None: of before there was a format
    verbalizer: RecordedVerbalizer = RecordedVerbalizer()
    scorer: Text = ""
    model: Text = ""
    options: ModelOptions = ModelOptions()
    demonstrations: DemoPlan | None = None
    dev: Text | None = None
    columns: dict[Text, Text] = {}
    labels: Literal["ignored", "strict", "counted"] = "counted"
    spelling: dict[Text, Any] = {}  # label -> what is written for it
    ensemble: tuple[RecordedRecipe, ...] = ()
    decision: Literal["rank", "thresholds", "best", "several"] = "best"
    calibration: RecordedCalibration = RecordedCalibration()
    whiten: Text | None = None
    abstain_below: Number | None = None

    def restored(self, where: str) -> Recipe:
        """The recipe, with all its columns as if they had been named; raises a PromptshotError where it is none."""
        if self.template is None:
            raise InputError("the run record does not tell the template", where=where, hint="run it again")
        own = self.calibration
        return Recipe.of(
            self.template.restored(where),
            self.verbalizer.restored(where),
            self.scorer,
            self.options,
            self.demonstrations,
            self.dev if own.dev is None else None,
            self.columns,
            Calibration(own.method, own.prior, own.dev),
            whiten=self.whiten,
            abstain_below=self.abstain_below,
            labels_ignored=self.labels == "ignored",
            labels_strict=self.labels == "strict",
            spelling=self.spelling,
            others=tuple(other.restored(where) for other in self.ensemble),
        )


# ------------------------------------------------------------------ the record


class _Run(_Said):
    """What was run: on which rows, by what, and whether to the end."""

    format: Annotated[StrictInt, Field(ge=0, le=FORMAT)]  # 0: of before there was one
    complete: StrictBool
    limit: StrictInt | None = None  # rows asked for
    sample: StrictInt | None = None  # of these, drawn with the seed
    seed: StrictInt = 0
    window: Count = 0  # rows that were scored together
    rows_read: Count | None = None
    inputs: tuple[Part, ...] = ()  # what was read for them
    machine: dict[str, Any]  # as the scorer tells it: device, dtype, batch_budget, ...
    versions: dict[Text, Text]


class _Labels(_Said):
    """What word scores become labels and probabilities by, without a model: the rows hold them as sums over a word's
    tokens or, where the recipe's `normalize` or the record's `mean_over_tokens` says so, as means.

    A pair has one score instead (`ordered` in the template): its label is told by the `thresholds`, or, without any,
    by its rank among all rows and the `prior`. Several labels hold where their probabilities (their scores, where these
    are no odds) reach the `thresholds`, which are in the order of the labels.
    """

    gold_field: Text
    label_order: tuple[Text, ...]  # empty where each row has its own
    recipe: RecordedRecipe
    thresholds: tuple[Number, ...] | None = None


class Metrics(_Said):
    """How the predictions fared and what was odd, as the summary tells it; unknown as long as the run goes on."""

    accuracy: Number | None = None
    accuracy_interval: tuple[Number, Number] | None = None
    balanced_accuracy: Number | None = None
    micro_f1: Number | None = None
    macro_f1: Number | None = None
    jaccard: Number | None = None
    hamming: Number | None = None
    matthews: Number | None = None
    majority: Number | None = None
    chance: Number | None = None
    ece: Number | None = None
    ece_by_chance: Number | None = None
    brier: Number | None = None
    abstained: Count | None = None
    coverage: Number | None = None
    accuracy_of_rest: Number | None = None
    rows: Count = 0
    predicted: Count = 0
    labelled: Count = 0
    unlabelled: Count = 0
    unknown: Count = 0
    rejected: Count = 0
    predictions: dict[Text, Count] = {}
    unknown_gold: dict[Text, Count] = {}
    per_label: dict[Text, LabelScores] = {}
    confusion: dict[Text, dict[Text, Count]] = {}  # gold -> predicted -> rows
    rows_per_second: Number = 0.0
    seconds: Number = 0.0
    rows_cut: Count = 0
    rows_in_pieces: Count = 0
    pieces: Count = 0
    rows_beyond: Count = 0
    rows_odd: Count = 0
    rows_unknown: Count = 0
    demonstrations_dropped: Count = 0
    rows_short_of_demonstrations: Count = 0
    rows_lacking_demonstrations: Count = 0
    words_split: Count = 0
    mean_over_tokens: StrictBool = False
    transductive: StrictBool = False
    before: dict[Text, Number | None] | None = None  # accuracy and the like before calibration


class Ended(Metrics, Calibrated):
    """One of several runs in a file, that has come to its end: which demonstrations it had, and how it fared."""

    shots: Count = 0
    demo_seed: StrictInt | None = None  # None: there were no demonstrations
    rows_read: Count
    inputs: tuple[Part, ...] = ()
    counts: Counts


class _Files(_Said):
    """What a run over files goes on by; a comparison has nothing of it. `files` says what else is the run's own,
    rejects and spool, and where ("": beside the output); that is compared with names, and never a name itself."""

    fingerprint: Text = ""  # of the identity; empty where there is none
    identity: dict[str, Any] = {}  # all that decides what is written
    output: Text = ""  # where that is, if the record does not lie beside it
    nodes: dict[Text, list[StrictInt]] = {}  # device and inode of the files that are written
    files: dict[Text, Text] = {}
    summaries: tuple[Text, ...] = ()  # the SHA-256 of each summary that the run wrote
    ends: dict[Text, End] | None = None  # how far its files go; None as long as it goes on
    progress: Annotated[Mark, _whole(Mark)] = Mark()


class Written(_Said):
    """The file of predictions that a comparison wrote, by its name without the folder.

    It goes on by the rest: a hash of its rows and one `of` the candidate on them, and which rows were `right`, a sign
    for each: 1, 0, or - where no label is known.
    """

    file: Text
    sha256: Text
    rows: Text = ""
    of: Text = ""
    right: Text = ""


class MadeOf(_Said):
    """The file of predictions that was calibrated again, and the run that it is of."""

    file: Text
    sha256: Text
    fingerprint: Text = ""


class RunRecord(_Files, Metrics, Calibrated, _Labels, _Run):
    """A run record, with these parts:

    - what was run: `complete`, the rows (`limit` to `inputs`), `machine`, `versions`;
    - what is needed to make other labels and probabilities of the scores in the rows: `gold_field`, `label_order`,
      `recipe`, `thresholds`, `calibration`, `calibration_scores`, `mean_over_tokens`, and the `tokens` of the label
      words among the `counts`;
    - how it fared: the `Metrics`, and the `counts` that they come from;
    - where several runs with other demonstrations follow one another, each of the `runs` that has come to its end, with
      its own counts;
    - what it goes on by, or of a comparison what it `written` has: `fingerprint` to `progress`.

    What is not known as long as a run goes on has its default, and does not stand in the file.
    """

    counts: Counts | None = None
    written: Written | None = None
    runs: tuple[Ended, ...] = ()
    made_of: MadeOf | None = None

    @model_validator(mode="after")
    def _can_go_on(self) -> RunRecord:
        lacks = {"identity", "progress", "limit"} - self.model_fields_set
        if (self.fingerprint and lacks) or (self.progress.rows and self.progress.counts is None):
            raise ValueError("not whole")
        return self

    def restored(self, where: str) -> Recipe:
        """The recipe that it tells, which needs no model for what `finish.finished` does; `where` is the record's name.

        Raises a PromptshotError for one of before there was a format, or that somebody has changed.
        """
        found = self.recipe.restored(where)
        decision, told = found.decision, self.thresholds
        if isinstance(decision, Several) and len(told or ()) != len(decision.of):
            what = f"{len(told or ())} thresholds for {len(decision.of)} labels"
            raise InputError(f"the run record tells {what}", where=where, hint="run it again")
        if isinstance(found.decision, Thresholds | Several):
            found = replace(found, decision=replace(found.decision, cuts=self.thresholds))
        return found

    def text(self, before: str = "") -> str:
        """The text of its file; where it is written anew, what the text `before` has beyond what is known stays."""
        own = self.model_dump(exclude_unset=True, warnings=False)
        return written({**({} if not before else json.loads(before)), **own})


def read(path: str, hint: str = AFRESH) -> RunRecord | None:
    """The record of that name, also one of before there was a format; None where there is none.

    Raises InputError with the hint for what is none of ours, Later for a later format.
    """
    plain = _plain(path, hint)
    return None if plain is None else _made(plain, path, hint)


def read_sound(path: str) -> RunRecord | None:
    """The same, of a run or a comparison, every byte as it was written; raises InputError for one that was changed."""
    plain = _plain(path, ELSEWHERE)
    if plain is None:
        return None
    found = _made(plain, path, ELSEWHERE)
    if plain.pop("checksum", None) != checksum(plain):
        raise InputError("a run record that has been changed since it was written", where=path, hint=ELSEWHERE)
    return found


def read_whole(path: str) -> RunRecord | None:
    """The same of a run over files, every byte as it was written; raises InputError for any other."""
    plain = _plain(path, AFRESH)
    if plain is None:
        return None
    found = _made(plain, path, AFRESH)
    if not found.fingerprint:
        raise _not_ours(path, AFRESH)
    if plain.pop("checksum", None) != checksum(plain):
        raise InputError("a run record that has been changed since it was written", where=path, hint=AFRESH)
    return found


def _plain(path: str, hint: str) -> dict[str, Any] | None:
    """What a record says, as plain data; None where there is none. Raises InputError."""
    text = said(path)
    if not text:
        return None
    try:
        # Not by pydantic's reader of JSON: it refuses the half characters that rows and names of files may have.
        plain = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        raise _not_ours(path, hint) from None
    if not isinstance(plain, dict):
        raise _not_ours(path, hint)
    return plain


def _made(plain: Mapping[str, Any], path: str, hint: str) -> RunRecord:
    number = plain.get("format")
    if type(number) is int and number > FORMAT:
        what = f"a run record of format {shortened(str(number), 20)}"
        raise Later(what, where=path, hint=f"this promptshot reads {FORMAT}: update it")
    try:
        return RunRecord.model_validate(plain if "format" in plain else {**_EARLIER, **plain})
    except (ValidationError, RecursionError):
        raise _not_ours(path, hint) from None


def _not_ours(path: str, hint: str) -> InputError:
    return InputError("not a run record of ours", where=path, hint=hint)


def checksum(plain: Mapping[str, Any]) -> str:
    """What tells that somebody has changed a record; it is no signature."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def written(plain: Mapping[str, Any]) -> str:
    """The text of a record in plain data as JSON has it, with its checksum."""
    plain = {key: value for key, value in plain.items() if key != "checksum"}
    return as_json({**plain, "checksum": checksum(plain)})


def said(path: str) -> str:
    """What stands in a record; nothing where there is no such file. Raises InputError where it cannot be read."""
    if not files.is_file(path):
        return ""
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as problem:
        raise unreadable(path, problem, "check the file") from None
    return as_said(data)


def as_said(data: bytes) -> str:
    """What `said` makes of a file with these bytes."""
    return data[:LARGEST].decode("utf-8", "replace")


def as_json(value: Mapping[str, Any]) -> str:
    """Plain data as the text of a JSON file."""
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def versions() -> dict[str, str]:
    """The versions of what the numbers depend on, and how they are spelled."""
    found = {"python": platform.python_version()}
    for package in ("promptshot", "torch", "transformers", "tokenizers", "orjson"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "unknown"
    return found


_PARTS = TypeAdapter(list[Part])


def parts(plain: Any) -> list[Part]:
    """What was read of files, from plain data; none where it says something else."""
    try:
        return _PARTS.validate_python(plain)
    except ValidationError:
        return []
