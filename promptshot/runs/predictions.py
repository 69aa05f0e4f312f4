"""Files of predictions, ours or another tool's: what each row was predicted to be, and what it is. No model.

How labels are spelled is taken from the run record beside a file. Without one, the labels of a row are the keys of its
`probabilities`, or in a table what its columns `p_<label>` are called by; of rows that have none, all that is predicted
or gold anywhere in the file.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from promptshot.classify.numbered import number_of
from promptshot.classify.prediction import ABSTAINED, NAMED, OUTPUT_FIELDS
from promptshot.errors import InputError, RowError, many, shortened, shortlist
from promptshot.metrics import Abstained, Label, Tally, tally_of
from promptshot.prompts import sets
from promptshot.prompts.task import PAIR
from promptshot.prompts.verbalizer import RowWords, Verbalizer, gold_text, whole_number
from promptshot.rows import read
from promptshot.rows.json_text import dumps, like
from promptshot.rows.once import once
from promptshot.rows.row import Reject, Row, raw_of
from promptshot.rows.streams import PLAIN, Reading
from promptshot.rows.writer import FORMULA
from promptshot.runs import record
from promptshot.runs.record import RecordedRecipe, RunRecord
from promptshot.runs.remarks import (
    Remark,
    against_majority,
    calibrating,
    leaning,
    too_few,
    unbalanced,
    unknown_gold,
    unlisted,
)
from promptshot.runs.series import Draw, pooled, summary_of
from promptshot.runs.series import most as largest
from promptshot.runs.shape import DRAW, PREFIXES, on_one_line
from promptshot.runs.wrong import Worst, Wrong

OURS = "prediction"  # the column where `classify` writes them
TEXTS = ("text", "text_a", "text_b")  # by which a person would know a row, where nothing tells the template's fields


@dataclass(frozen=True)
class Said:
    """What a row was predicted to be, and what it is; where that is `open`, all rows together tell."""

    prediction: Label
    gold: Label | None  # its label, or labels
    value: str | None  # the same as the row spells it
    choices: int | None = None  # how many labels it could have been
    open: bool = False


@dataclass(frozen=True)
class Found:
    """A row of a file: its own fields, what they say, and the labels that its probabilities name."""

    row: Row
    said: Said
    whole: Mapping[str, Any]  # all fields of the row, ours among them
    keys: tuple[str, ...] = ()
    probability: float | None = None
    chances: Mapping[str, float] | None = None  # the probabilities of all labels
    abstained: bool = False
    draw: tuple[int, int | None] = (0, None)  # of which of several runs it is


class Labels:
    """The labels of files without a run record, as far as their rows have been seen; told apart as verbalizers do."""

    def __init__(self) -> None:
        self._keys: dict[tuple[str, ...], None] = {}  # what probabilities name, each list once (two are enough)
        self._names: dict[str, str] = {}  # predictions and keys: how they are told apart -> how they are spelled
        self._values: dict[str, str] = {}  # gold labels likewise

    def see(self, found: Found) -> None:
        """Take in what a row says."""
        if found.keys and found.keys not in self._keys:
            self._names |= {_folded(key): key for key in found.keys}
            if len(self._keys) < 2:
                self._keys[found.keys] = None
        elif not found.keys and isinstance(found.said.prediction, str):
            self._names.setdefault(_folded(found.said.prediction), found.said.prediction)
        if found.said.value is not None:
            self._values.setdefault(_folded(found.said.value), found.said.value)

    @property
    def names(self) -> tuple[str, ...]:
        """All labels: in the order of the probabilities, else sorted; empty where each row has its own."""
        if self._keys:
            return next(iter(self._keys)) if len(self._keys) == 1 else ()
        known = self._names if self.problem else self._values | self._names
        return tuple(sorted(known.values()))

    @property
    def problem(self) -> str:
        """Why no gold label can be counted at all; empty where some can."""
        if not self._values or self._values.keys() & self._names.keys():
            return ""
        golds, names = (shortlist(map(repr, known.values()), 4) for known in (self._values, self._names))
        return f"no gold label is spelled like any prediction: the gold labels are {golds}, the predictions {names}"

    def settled(self, said: Said) -> Said:
        """The same with the label that all rows together give it."""
        if not said.open or not isinstance(said.prediction, str):
            return said
        known = self._names if self._keys or self.problem else self._values | self._names
        gold = None if said.value is None else known.get(_folded(said.value))
        return replace(said, prediction=self._names[_folded(said.prediction)], gold=gold)


HINT = "name the column of the gold label (--label-field), or put the run record (FILE.run.json) beside the file"


def _folded(name: str) -> str:
    """What tells labels apart: not upper and lower case, not blanks around them, and 1.0 is 1."""
    number = whole_number(name)
    return name.strip().casefold() if number is None else str(number)


# ------------------------------------------------------------------ one file


@dataclass(frozen=True)
class File:
    """A file of predictions, the columns of its fields, and how its run spelled labels, where that is known."""

    path: str
    columns: Mapping[str, str]
    words: Verbalizer | None = None
    gold_field: str = "label"
    prediction_field: str = OURS
    label_field: str | None = None  # the column of the gold label that was asked for
    how: Reading = PLAIN
    spelled: Mapping[str, str] = field(default_factory=dict)  # what is written for a label -> the label
    abstains: bool = False  # whether its rows say whether they are too unsure
    shots: tuple[int, ...] = ()  # the demonstrations of each of several runs that follow one another in it
    several: bool = False  # whether a row may have several labels,
    separator: str | None = None  # and what stands between them in a text

    @classmethod
    def of(cls, path: str, label_field: str | None = None, prediction_field: str = OURS, how: Reading = PLAIN) -> File:
        """With what the run record says, if one lies beside it; raises InputError if that is none."""
        beside = f"{path}.run.json"
        there = record.read(beside, hint="move it away") if path != "-" else None
        gold_field, recipe = (there.gold_field, there.recipe) if there else ("label", RecordedRecipe())
        columns = recipe.columns | ({gold_field: label_field} if label_field else {})
        words = recipe.verbalizer.restored(beside) if recipe.verbalizer.model_fields_set - {"name"} else None
        spelled = {_folded(text): label for label, shown in recipe.spelling.items() for text in _texts_of(shown)}
        abstains = recipe.abstain_below is not None
        shots = tuple(ended.shots for ended in there.runs) if there else ()
        told = (gold_field, prediction_field, label_field, how, spelled, abstains, shots)
        template = recipe.template
        judged = (template.labels == "several", template.label_separator) if template and words else (False, None)
        calibrates = _calibrates(path, there, words), recipe.calibration.prior
        return cls(path, columns, words, *told, *judged, *calibrates)

    calibrates: str = ""  # the command that takes a bias out of its scores; empty where nothing is known to
    prior: Mapping[str, float] | None = None  # the shares of labels that were told

    def read(self) -> Iterator[Found | Reject]:
        """Its rows, and those that hold no prediction.

        Raises InputError where no row has the column of predictions, or none the one asked for gold labels.
        """
        first: Row | None = None
        lacking = {self.prediction_field, *filter(None, [self.label_field])}  # columns that no row has had so far
        for item in read.read([self.path], how=self.how):
            if isinstance(item, Reject):
                yield item
                continue
            first = first or item
            lacking -= {name for name in lacking if _column(item, name) is not None}
            try:
                yield self._found(item)
            except RowError as problem:
                yield Reject(item.source, problem.what, raw_of(item), item.key)
        if first is not None and lacking:
            self._refuse(first, lacking)

    def strict(self) -> Iterator[Found]:
        """Its rows; raises InputError as well at the first that holds no prediction."""
        for item in self.read():
            if isinstance(item, Reject):
                for _ in self.read():  # to its end: does no row have the column?
                    pass
                hint = "give files as written by: promptshot classify -o"
                raise InputError(item.reason, where=item.source, hint=hint)
            yield item

    def _refuse(self, row: Row, lacking: set[str]) -> None:
        """Say which column is not there, and which are."""
        has = shortlist(row.fields) or "nothing"
        if self.prediction_field in lacking:
            what, hint = f"no column {self.prediction_field!r} with predictions", "name it: --prediction-field COLUMN"
        else:
            what, hint = f"no column {self.label_field!r} with gold labels", "name another: --label-field COLUMN"
        raise InputError(f"{what}; the rows have: {has}", where=self.path, hint=hint)

    def _found(self, item: Row) -> Found:
        """What a row says; raises RowError where that is no prediction."""
        prediction, keys = self._several(item) if self.several else self._one(item)
        flat = not isinstance(item.fields.get("probabilities"), dict)  # as tables have it, a column for each label
        hidden = {*OUTPUT_FIELDS, NAMED, self.prediction_field, *(self._flat(keys) if flat else ())}
        hidden |= {name for name in item.fields if flat and _is_word_score(name)}
        hidden |= {ABSTAINED} if self.abstains else set()
        hidden |= {*DRAW} if self.shots else set()
        kept = {name: value for name, value in item.fields.items() if name not in hidden - {self.label_field}}
        own = like(item.fields, kept)
        row = Row(own, item.source, item.key, self.columns)
        named = prediction if isinstance(prediction, str) else ""
        sure = _probability(item.fields, named), _chances(item.fields, keys)
        abstained = self.abstains and str(item.fields.get(ABSTAINED)).casefold() == "true"
        return Found(row, self._said(row, prediction, keys), item.fields, keys, *sure, abstained, self._draw(item))

    def _one(self, item: Row) -> tuple[str, tuple[str, ...]]:
        """The label that a row was predicted to have, and those that its probabilities name."""
        row = replace(item, columns={OURS: self.prediction_field})
        prediction = _label(row)
        if prediction is None:
            listed = row.column(OURS) is not None and isinstance(row[OURS], list) and len(row[OURS]) != 1
            what = f"no field {self.prediction_field!r} with a label in it"
            more = ", but a list, and no run record beside the file says that rows have several" if listed else ""
            raise RowError(f"{what}{more}", where=item.source)
        prediction = self.spelled.get(_folded(prediction), prediction)
        if self.words is None and (sign := _sign_of_several(item.fields, prediction)):
            what = f"{sign}, and no run record beside the file says that rows have several labels"
            raise InputError(what, where=item.source, hint="put the run record (FILE.run.json) beside the file")
        keys = _keys(item.fields.get("probabilities")) or _labels_of_columns(item.fields, prediction)
        return prediction, keys if prediction in keys else ()  # else they are those of something else

    def _several(self, item: Row) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The same where these may be several."""
        assert self.words is not None
        row = replace(item, columns={OURS: self.prediction_field})
        column = row.column(OURS)
        if column is not None and isinstance(row[OURS], str):
            row = replace(row, fields={**row.fields, column: plain(row[OURS])})
        told = sets.texts_of(row, column, self._predicted, self.separator)
        if told is None:
            raise RowError(f"no field {self.prediction_field!r} with labels in it", where=item.source)
        spelled = [self.spelled.get(_folded(text), self._predicted.label_of(text)) for text in told]
        if None in spelled:
            other = next(text for text, label in zip(told, spelled, strict=True) if label is None)
            raise RowError(f"{other!r} was predicted, and is none of the labels", where=item.source)
        return tuple(label for label in self.words.names if label in spelled), self.words.names

    @cached_property
    def _predicted(self) -> Verbalizer:
        """The labels as predictions spell them."""
        assert self.words is not None
        gold = {name: tuple(text for text, label in self.spelled.items() if label == name) for name in self.words.names}
        return Verbalizer(self.words.name, self.words.labels, gold)

    def _draw(self, row: Row) -> tuple[int, int | None]:
        """Of which of several runs a row is; raises RowError where it does not say."""
        if not self.shots:
            return 0, None
        shots, seed = (number(row.fields.get(name)) for name in DRAW)
        if shots is None:
            raise RowError(f"no field {DRAW[0]!r}, and the file holds several runs", where=row.source)
        return int(shots), None if seed is None else int(seed)

    def wrong(self, found: Found, said: Said) -> Wrong | None:
        """A row that went wrong, given what is known of its labels; None for all others."""
        if said.gold is None or said.gold == said.prediction:
            return None
        named = [name for name in self.columns if name != self.gold_field] if self.words else list(TEXTS)
        names = [name for name in named if found.row.column(name) is not None]
        row = found.row if names else replace(found.row, columns={})
        return Wrong.of(row, said.gold, said.prediction, found.probability, names or list(row.fields))

    def _flat(self, keys: tuple[str, ...]) -> Iterator[str]:
        """The columns of a table that are not the row's own."""
        for label in keys or (self.words.names if self.words else ()):
            yield from (f"{prefix}{label}" for prefix in PREFIXES)
        yield f"score_{PAIR}"

    def _said(self, row: Row, prediction: Label, keys: tuple[str, ...]) -> Said:
        column = row.column(self.gold_field)
        if column is None and self.label_field is None:  # the record has the column of the first row that has one
            column = replace(row, columns={}).column(self.gold_field)
        if column is not None and isinstance(row.fields.get(column), str):
            row = replace(row, fields={**row.fields, column: plain(row.fields[column])})
        if self.words is None:
            value = gold_text(row, column)
            if not keys:
                return Said(prediction, None, value, open=True)
            of = {_folded(key): key for key in keys} | {key: key for key in keys}
            gold = None if value is None else of.get(value, of.get(_folded(value)))
            return Said(prediction, gold, value, len(keys))
        if self.several:
            return Said(prediction, *sets.gold_of(row, column, self.words, self.separator))
        if not isinstance(self.words, RowWords):
            return Said(prediction, *self.words.gold_label(row, column))
        if keys and isinstance(self.words.field_name, str):  # in a table, its own words are the text of a list
            row = replace(row, fields={**row.fields, self.words.field_name: list(keys)})
        return Said(prediction, *self.words.gold_label(row, column), len(self.words.choices(row)))


def _texts_of(shown: Any) -> set[str]:
    """How a value may stand in a file: as JSON, in a table, and as labels are read."""
    return {str(shown), dumps(shown), gold_text(Row({"label": shown}), "label") or ""}


def _column(row: Row, name: str) -> str | None:
    """Where a column is, if anywhere; also one within an object."""
    return name if name in row.fields else replace(row, columns={name: name}).column(name)


def _label(row: Row) -> str | None:
    """What a row was predicted to be; a truth value or a whole number is a label as text; None for anything else."""
    value = None if row.column(OURS) is None else row[OURS]
    if isinstance(value, str):
        return plain(value) if value.strip() else None
    return None if _is_share(value) or isinstance(value, list) else gold_text(row, row.column(OURS))


def _is_share(value: Any) -> bool:
    """Whether it is a number that no label is: a probability or a score."""
    return isinstance(value, float) and not value.is_integer()


def nested_of(said: Any) -> dict[str, Any] | None:
    """An object, or in a table its text; None for anything else."""
    if isinstance(said, str) and said.startswith("{"):
        try:
            said = json.loads(said)
        except (ValueError, RecursionError):
            return None
    return said if isinstance(said, dict) else None


def _keys(said: Any) -> tuple[str, ...]:
    """The labels that probabilities name; none where they are no object."""
    return tuple(nested_of(said) or ())


def _probability(fields: Mapping[str, Any], prediction: str) -> float | None:
    """How sure a prediction was, as far as it is told."""
    nested = fields.get("probabilities")
    told = (fields.get("probability"), nested.get(prediction) if isinstance(nested, dict) else None)
    found = (number(value) for value in (*told, fields.get(f"p_{prediction}")))
    return next((value for value in found if value is not None and 0 <= value <= 1), None)


def _chances(fields: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, float] | None:
    """The probabilities of these labels, if all are told."""
    nested = nested_of(fields.get("probabilities"))
    told = nested if nested is not None else {key: fields.get(f"p_{on_one_line(key)}") for key in keys}
    found = {key: value for key in keys if (value := number(told.get(key))) is not None and 0 <= value <= 1}
    return found if found and len(found) == len(keys) else None


def _labels_of_columns(fields: Mapping[str, Any], prediction: str) -> tuple[str, ...]:
    """The labels that the columns of a table name, `p_<label>` or `score_<label>`: those that stand together with the
    one of the prediction, for a row may have a column `p_value` of its own."""
    names = list(fields)
    for prefix in ("p_", "score_"):
        if f"{prefix}{prediction}" in fields:
            first = last = names.index(f"{prefix}{prediction}")
            while first and _is_number_of(fields, names[first - 1], prefix):
                first -= 1
            while last + 1 < len(names) and _is_number_of(fields, names[last + 1], prefix):
                last += 1
            return tuple(name.removeprefix(prefix) for name in names[first : last + 1])
    return ()


ROUNDED = 0.005  # what two decimals may take from a probability, or add to it


def _sign_of_several(fields: Mapping[str, Any], prediction: str) -> str:
    """What betrays that a row of a file without a run record may have several labels; empty where nothing does."""
    names = [name for name in fields if any(_is_number_of(fields, name, prefix) for prefix in PREFIXES)]
    known = {_folded(name.partition("_")[2]) for name in names} | {*map(_folded, _keys(fields.get("probabilities")))}
    if known and (sets.is_list(prediction) or sets.joined_by(prediction, known)):
        return f"{shortened(repr(prediction))} was predicted, which is several labels or none"
    keys = _labels_of_columns(fields, prediction) if f"p_{prediction}" in fields else ()
    chances = [chance for key in keys if (chance := number(fields[f"p_{key}"])) is not None]
    if len(chances) < 2 or abs(sum(chances) - 1) <= ROUNDED * (len(chances) + 1):
        return ""
    return f"the probabilities of {shortlist(keys, 4)} sum to {sum(chances):.3g}, not to 1"


def _is_number_of(fields: Mapping[str, Any], name: str, prefix: str) -> bool:
    return name.startswith(prefix) and number(fields[name]) is not None


def number(value: Any) -> float | None:
    """A number, or its text in a table; None for anything else."""
    found = number_of(value)
    return found if math.isfinite(found) else None


def _is_word_score(name: str) -> bool:
    return name.startswith("word_score_")


def plain(value: Any) -> str:
    """A value as tables have it: text, without the apostrophe that keeps spreadsheets from running it."""
    if not isinstance(value, str):
        return "" if value is None else dumps(value)
    return value[1:] if value.startswith("'") and FORMULA.match(value[1:]) else value


# ------------------------------------------------------------------ how they fare


@dataclass
class Counted:
    """How the predictions of a file fare; `problem` says why not one gold label could be counted."""

    path: str
    tally: Tally = field(default_factory=Tally)
    problem: str = ""
    rejects: list[Reject] = field(default_factory=list)  # the first few rows that hold no prediction
    worst: Worst = field(default_factory=Worst)  # rows that went wrong
    draws: list[Draw] = field(default_factory=list)  # each of several runs; the tally is of those with the most shots
    file: File | None = None

    def record(self) -> dict[str, Any]:
        """Everything as plain data."""
        runs = [{"shots": draw.shots, "demo_seed": draw.seed, **draw.tally.summary()} for draw in self.draws]
        several = {**summary_of(self.draws), "runs": runs} if runs else {}
        return {"path": self.path, **self.tally.summary(), **several, "problem": self.problem or None}

    def remarks(self) -> list[Remark]:
        """What a reader of the numbers must know."""
        found = [*against_majority(self.tally), *uncounted(self.tally, self.problem), *unlisted(self.tally, self.worst)]
        if self.file and self.file.calibrates:
            told = self.file.calibrates, self.file.prior
            draw = largest(self.draws)[0] if self.draws else Draw(0, None, self.tally)  # more draws are no more rows
            found += [self._of_draw(remark, draw) for remark in leaning(draw.tally, draw.shots > 0, *told)]
            found += [self._of_draw(remark, draw) for remark in unbalanced(draw.tally, *told)]
        found += too_few(self.tally)
        if rejected := self.tally.rejected:
            said = f"{self.rejects[0].source}: {self.rejects[0].reason}"
            line = f"{many(rejected, 'row')} cannot be used; the first, {said}"
            found.append(Remark("rejected", line, {"rows": rejected, "path": None, "first": said}))
        return found

    def _of_draw(self, remark: Remark, draw: Draw) -> Remark:
        """A remark of one of several runs, with which it is."""
        return draw.named(remark) if self.draws else remark


def _calibrates(path: str, there: RunRecord | None, words: Verbalizer | None) -> str:
    """The command that takes a bias out of the scores of a file, where they are of a run of ours as it was."""
    if there is None or words is None or isinstance(words, RowWords) or there.recipe.calibration.method != "none":
        return ""
    template = there.recipe.template
    other = template is None or template.ordered or template.labels == "several"
    return "" if other else calibrating(path, there.recipe.calibration.prior)


def uncounted(tally: Tally, problem: str = "") -> Iterator[Remark]:
    """Which predictions were not counted, and why; `problem` says why none was."""
    if problem:
        rows = tally.unknown_gold.total()
        line = f"{problem}; {many(rows, 'row is', 'rows are')} not counted; {HINT}"
        yield Remark("nothing-counted", line, {"rows": rows})
    else:
        yield from unknown_gold(tally)
    if tally.unlabelled:
        where = "" if tally.unlabelled < tally.predicted else " (--label-field names its column, where there is one)"
        have = many(tally.unlabelled, "row has", "rows have")
        line = f"{have} no label of {'its' if tally.unlabelled == 1 else 'their'} own, not counted{where}"
        yield Remark("unlabelled", line, {"rows": tally.unlabelled})


def count(
    path: str, label_field: str | None = None, prediction_field: str = OURS, how: Reading = PLAIN, most: int = 0
) -> Counted:
    """How the predictions of a file (`-` is standard input) fare against its gold labels, with the `most` surest of
    the rows that went wrong, for which it is read twice.

    Raises InputError where it cannot be read, or not one row of it can be used.
    """
    path = once(path) if most else path
    file, labels = File.of(path, label_field, prediction_field, how), Labels()
    names = file.words.names if file.words else ()
    found = Counted(path, tally_of(names, file.several), worst=Worst(most), file=file)
    found.tally.abstained.possible = file.abstains
    waiting: dict[Said, _Alike] = {}
    for item in file.read():
        if isinstance(item, Reject):
            found.tally.rejected += 1
            found.rejects += [item] if len(found.rejects) < 3 else []
            continue
        if not file.words:
            labels.see(item)
        if file.shots:
            _add_run(found, file, item)
        elif item.said.open:
            waiting.setdefault(item.said, _Alike(item)).add(item)
        else:
            _add(found, file, item, item.said)
    if not file.words:
        found.tally.labels, found.problem = labels.names, labels.problem
    for said, alike in waiting.items():
        settled = labels.settled(said)
        for probability in alike.sure:
            _tell(found.tally, settled, None if math.isnan(probability) else probability)
        if wrong := file.wrong(alike.surest, settled):
            found.worst.add(wrong, found.tally.mistakes)
    if found.draws:
        rejected, found.tally = found.tally.rejected, pooled(found.draws)
        found.tally.rejected = rejected
    if not found.tally.predicted:
        reject, many = found.rejects[0], found.tally.rejected
        raise InputError(f"none of {many:,} rows could be used; the first: {reject.reason}", where=reject.source)
    if most and waiting:
        found.worst = _worst(file, labels, found.tally, most)
    return found


@dataclass
class _Alike:
    """Rows that say the same: how sure each is (NaN where that is not told), and the surest."""

    surest: Found
    sure: array[float] = field(default_factory=lambda: array("d"))

    def add(self, item: Found) -> None:
        self.sure.append(math.nan if item.probability is None else item.probability)
        if (item.probability or 0.0) > (self.surest.probability or 0.0):
            self.surest = item


def _add(counted: Counted, file: File, item: Found, said: Said) -> None:
    _tell(counted.tally, said, item.probability, item.chances, item.abstained)
    if wrong := file.wrong(item, said):
        counted.worst.add(wrong, counted.tally.mistakes)


def _add_run(counted: Counted, file: File, item: Found) -> None:
    """Count a row of one of several runs."""
    draw = next((one for one in counted.draws if (one.shots, one.seed) == item.draw), None)
    if draw is None:
        draw = Draw(*item.draw, Tally(counted.tally.labels, abstained=Abstained(possible=file.abstains)))
        counted.draws.append(draw)
    _tell(draw.tally, item.said, item.probability, item.chances, item.abstained)
    if draw.shots == max(file.shots) and (wrong := file.wrong(item, item.said)):
        of_draw = dict(zip(DRAW, item.draw, strict=True))
        counted.worst.add(replace(wrong, draw=of_draw), draw.tally.mistakes)


def _tell(tally: Tally, said: Said, *sure: Any) -> None:
    tally.add(said.prediction, said.gold, said.value, said.choices, *sure)


def _worst(file: File, labels: Labels, tally: Tally, most: int) -> Worst:
    """The rows that went wrong, once all labels are known."""
    found = Worst(most)
    for item in file.read():
        if isinstance(item, Found) and (wrong := file.wrong(item, labels.settled(item.said))):
            found.add(wrong, tally.mistakes)
    return found
