"""A task of lm-evaluation-harness (`output_type: multiple_choice`) as a template: context, delimiter, and the choices.

The harness scores the choice behind `doc_to_text` and `target_delimiter`, which is what a causal template does with its
blank at the end. Its Jinja is read (see `jinja`), its `!function` never run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptshot.authoring.importing.draft import BLANK, GOING_ON, Draft, Part, Told
from promptshot.authoring.importing.given import Given, beside
from promptshot.authoring.importing.jinja import Chosen, Field, Jinja, Unsayable, parts_of
from promptshot.authoring.importing.jinja import Place as PlaceIn
from promptshot.errors import TemplateError, did_you_mean, shortened, shortlist
from promptshot.prompts.strict import Source

# The keys of a task that say what is asked, and those that say other things.
ASKED = (
    *("task", "include", "output_type", "description", "doc_to_text", "doc_to_target", "doc_to_choice"),
    *("target_delimiter", "fewshot_delimiter", "num_fewshot", "gen_prefix", "process_docs", "process_results"),
)
OTHERS = (
    *("task_alias", "tag", "group", "group_alias", "custom_dataset", "dataset_path", "dataset_name", "dataset_kwargs"),
    *("training_split", "validation_split", "test_split", "fewshot_split", "fewshot_config", "metric_list"),
    *("generation_kwargs", "repeats", "filter_list", "should_decontaminate", "doc_to_decontamination_query"),
    *("metadata", "weight_by_size", "unsafe_code", "use_prompt", "doc_to_image", "doc_to_audio"),
)
MOST_FILES = 10  # that include one another
_COLUMN = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True)
class _Key:
    """A value of the task, with the place where it stands."""

    value: Any
    where: str
    tag: str = ""


class _Task:
    """The keys of a task, those of the files it includes below its own."""

    def __init__(self, source: Source, told: Told, path: Path | None) -> None:
        self.where, self.told = source.where, told
        self.keys: dict[str, _Key] = {}
        self._read(source, path, 1)

    def _read(self, source: Source, path: Path | None, count: int) -> None:
        data, lines = source.sound(TemplateError)
        if not isinstance(data, dict):
            what = "no task of lm-evaluation-harness: not a mapping of keys to values"
            raise TemplateError(what, where=source.where, hint="it has doc_to_text, doc_to_choice and doc_to_target")
        for name, value in data.items():
            where = f"{source.where}:{lines[(name,)]}"
            if name not in (*ASKED, *OTHERS):
                hint = did_you_mean(name, (*ASKED, *OTHERS)) if len(name) < 100 else ""
                raise TemplateError(f"unknown key {shortened(repr(name))}", where=where, hint=hint)
            if source.typed.get((name,)) == "null":
                continue
            self.keys.setdefault(name, _Key(value, where, source.tags.get((name,), "")))
        if "include" in data and (included := self.keys.pop("include", None)):
            if count >= MOST_FILES:
                raise TemplateError(
                    f"include: more than {MOST_FILES} files", where=included.where, hint="do they go round?"
                )
            other, place = beside(str(included.value), path, included.where, (*ASKED, *OTHERS))
            self._read(other, place, count + 1)

    def text(self, name: str, usual: str = "") -> str:
        """A value that is text; a function, or anything else, is lost."""
        found = self.keys.get(name)
        if found is None:
            return usual
        if found.tag:
            self.function(name)
            return usual
        if not isinstance(found.value, str):
            raise TemplateError(f"{name}: must be text", where=found.where, hint="write it in quotes")
        return found.value

    def where_of(self, name: str) -> str:
        """file:line and the key."""
        return f"{self.keys[name].where}: {name}" if name in self.keys else self.where

    def function(self, name: str) -> None:
        """Tell that a value is code."""
        found = self.keys[name]
        what = f"{found.tag} {shortened(str(found.value))} is code, and no code is run"
        self.told.lose(what, self.where_of(name), "write what it gives as text and columns")

    def jinja(self, name: str, text: str) -> Jinja:
        """A text of Jinja under that key."""
        return Jinja(text, self.where_of(name), self.told)


def draft_of(given: Given, told: Told) -> Draft:
    """The draft of a task; raises TemplateError where it is none, or no multiple choice."""
    task = _Task(given.yaml(), told, given.path)
    kind = task.text("output_type", "generate_until")
    if kind != "multiple_choice":
        what = f"output_type: {shortened(kind)} does not choose among labels"
        raise TemplateError(what, where=task.where_of("output_type"), hint="multiple_choice can be said")
    for name in ("doc_to_text", "doc_to_choice", "doc_to_target"):
        if name not in task.keys:
            raise TemplateError(f"the key {name!r} is missing", where=task.where, hint="is it in a file to include?")
    _tell_others(task)
    parts = _context(task)
    words, own = _choices(task)
    gap = _gap(words, task)
    label_field, gold = _target(task, words, own)
    parts = [*parts, Part("text", task.text("target_delimiter", " ") + gap), BLANK]
    labels = {word.strip(): [word.strip()] for word in words}
    separator = task.text("fewshot_delimiter", "\n\n")
    return Draft(GOING_ON, parts, labels, gold, own, label_field, separator)


def _tell_others(task: _Task) -> None:
    """What says where the rows are and how they are counted means nothing to a template; code does."""
    for name in ("process_docs", "process_results"):
        if name in task.keys:
            task.function(name)
    if others := [name for name in task.keys if name in OTHERS]:
        task.told.note(f"not part of a template, and left out: {shortlist(others, 20)}")
    if "gen_prefix" in task.keys:
        task.told.lose(
            "gen_prefix begins the answer", task.where_of("gen_prefix"), "write it at the end of doc_to_text"
        )
    if task.text("description") and task.text("num_fewshot", "0") not in ("0", ""):
        what = "the description stands once before all demonstrations, and a template is the same for each"
        task.told.lose(what, task.where_of("description"), "leave num_fewshot out, or the description")


def _context(task: _Task) -> list[Part]:
    """Description and text."""
    parts: list[Part] = []
    for name in ("description", "doc_to_text"):
        text = task.text(name)
        is_column = name == "doc_to_text" and _COLUMN.fullmatch(text)
        said = task.jinja(name, text)
        parts += [Part("field", text)] if is_column else parts_of(said.values(), said)
    return parts


def _choices(task: _Task) -> tuple[list[str], str | list[str] | None]:
    """The words that are the same for all rows; or where the row has its own."""
    found = task.keys["doc_to_choice"]
    value = found.value
    if found.tag:
        task.function("doc_to_choice")
        return [], None
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, str):
        value = Field(value) if _COLUMN.fullmatch(value) else _listed(task.jinja("doc_to_choice", value).alone())
    elif any("{{" in str(one) or "{%" in str(one) for one in value):  # a list is taken as it stands
        what = "Jinja in a list, which the harness does not fill in"
        task.told.lose(what, task.where_of("doc_to_choice"), "write the whole list as one text: '{{[a, b]}}'")
        return [], None
    if isinstance(value, Field) and value == Field(value.path):
        return [], value.path
    if isinstance(value, list) and value and all(isinstance(one, str | int) for one in value):
        return [str(one) for one in value], None
    if isinstance(value, list) and value and all(isinstance(one, Field) and one == Field(one.path) for one in value):
        return [], [one.path for one in value]
    what = "choices that are neither texts nor columns"
    task.told.lose(what, task.where_of("doc_to_choice"), "list texts, or name the columns that hold them")
    return [], None


def _listed(value: Any) -> Any:
    """A literal text that is a list as Python prints it; anything else as it is."""
    if not isinstance(value, str):
        return list(value.values()) if isinstance(value, dict) else value
    try:
        return ast.literal_eval(value.strip())
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return value


def _gap(words: Sequence[str], task: _Task) -> str:
    """The white space that all words begin with, which is the template's here; what only some have is lost."""
    gaps = {word[: len(word) - len(word.lstrip())] for word in words}
    if len(gaps) > 1 or any(word != word.rstrip() for word in words):
        hint = "begin all choices alike"
        task.told.lose("white space around some of the choices", task.where_of("doc_to_choice"), hint)
        return ""
    return gaps.pop() if gaps else ""


Gold = dict[str, list[str]]


def _target(task: _Task, words: Sequence[str], own: str | list[str] | None) -> tuple[str, Gold]:
    """The field with the gold label, and how it says each of the fixed words."""
    found = task.keys["doc_to_target"]
    labels = [word.strip() for word in words]
    if found.tag:
        task.function("doc_to_target")
        return "label", {}
    text = task.text("doc_to_target")
    value = Field(text) if _COLUMN.fullmatch(text) else task.jinja("doc_to_target", text).alone()
    if (isinstance(value, str) and value.strip().isdigit()) or isinstance(value, int):
        place = int(value)
        if isinstance(own, list) and place < len(own):  # the right answer has a column of its own
            return own[place], {}
        value = Unsayable("")
    if isinstance(value, Field) and value.join is None and (labels or not value.shift):
        shift = value.shift or 0
        return value.path, {label: [str(place - shift)] for place, label in enumerate(labels)}
    if isinstance(value, PlaceIn) and isinstance(value.of, Field) and value.of == Field(value.of.path):
        if labels and isinstance(value.among, list) and len(value.among) == len(labels):
            return value.of.path, {label: [str(one)] for label, one in zip(labels, value.among, strict=True)}
        if not labels and _goes_with(value.among, own):
            return value.of.path, {}
    gold = _by_mapping(value.among, labels) if isinstance(value, Chosen) and isinstance(value.among, dict) else {}
    if gold and isinstance(value, Chosen) and isinstance(value.by, Field):
        return value.by.path, gold
    hint = "name a column that holds the number of the choice, or its text"
    task.told.lose("a target that is no column", task.where_of("doc_to_target"), hint)
    return "label", {}


def _by_mapping(among: Mapping[Any, Any], labels: Sequence[str]) -> Gold:
    """How rows say the labels, where a mapping leads from there to their number or text; empty where to none."""
    gold: Gold = {}
    for said, meant in among.items():
        is_place = isinstance(meant, int) and 0 <= meant < len(labels)
        label = labels[meant] if is_place else str(meant)
        if label not in labels:
            return {}
        gold.setdefault(label, []).append(str(said))
    return gold


def _goes_with(among: Any, own: str | list[str] | None) -> bool:
    """Whether a list is the words themselves, their names beside them as in ARC, or their letters."""
    letters = isinstance(among, list) and among == [chr(ord("A") + n) for n in range(len(among))]
    if letters or not isinstance(among, Field) or not isinstance(own, str):
        return letters
    return among.path == own or (own.endswith(".text") and among.path == own.removesuffix("text") + "label")
