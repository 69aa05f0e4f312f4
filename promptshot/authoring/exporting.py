"""A causal template as a task of lm-evaluation-harness that scores the same: context, and a choice behind it.

The harness moves white space between both to the choice, as the causal scorer does, so nothing is lost at the seam.
With a channel template, the text given the label, the choices are contexts and the text is what is scored behind them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from promptshot.errors import OptionError, TemplateError, shortened
from promptshot.prompts import strict
from promptshot.prompts.task import Task
from promptshot.prompts.template import FieldSpec
from promptshot.prompts.verbalizer import Options, RowWords, Verbalizer, whole_number
from promptshot.rows import read
from promptshot.rows.row import Row
from promptshot.scoring import Kind

LOOKED = 10_000  # rows that say how they spell the label
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_KEYWORDS = {  # of Jinja
    *("and", "or", "not", "in", "is", "if", "else", "elif", "for", "set", "block", "loop", "self"),
    *("true", "false", "none", "True", "False", "None"),
}
_FORMATS = {".jsonl": "json", ".json": "json", ".ndjson": "json", ".csv": "csv", ".tsv": "csv"}
_WHY_NOT = "the harness cannot say it"


def task_of(task: Task, data: Path | None = None) -> str:
    """The YAML of a task; raises TemplateError for what the harness cannot say, OptionError for rows that do not fit.

    With `data`, columns are named as its rows name them, and words of the rows' own have their gold label.
    """
    template = task.template
    _refuse(task)
    rows = _rows(data) if data else []
    names = _Columns(task, rows)
    before, behind = _halves(task, names)
    keys: dict[str, Any] = {"task": re.sub(r"\W+", "_", template.name).strip("_") or "promptshot"}
    keys |= _source(data)
    keys["output_type"] = "multiple_choice"
    keys |= _channel(task, names, before, behind) if template.scored == "rest" else _direct(task, names, before, behind)
    keys["fewshot_delimiter"] = template.spec.separator
    lines = strict.dump(keys)
    head = f"# exported from the template {strict.quoted(template.name)}\n"
    if data is None:
        head += "# Where the rows are, say under dataset_kwargs; their columns are called as the fields below.\n"
    tail = (
        "metric_list:\n  - metric: acc\n    aggregation: mean\n    higher_is_better: true\nmetadata:\n  version: 1.0\n"
    )
    return head + lines + tail


def _refuse(task: Task) -> None:
    """Raise TemplateError for what has no counterpart."""
    template, words = task.template, task.verbalizer
    keys = template.spec
    fixed = not isinstance(words, RowWords)
    reasons = {
        f"scorer {keys.scorer} is no language model that goes on": not template.kind.left_to_right,
        "chat: there it is said on the command line, --apply_chat_template": keys.chat is not None,
        "normalize: mean is by tokens, there by characters or bytes": keys.normalize == "mean",
        "labels: several": template.several,
        "a label with several words, whose scores are pooled": fixed and any(len(w) > 1 for w in words.labels.values()),
        "a field with a hole": any(rule.hole is not None for rule in keys.fields.values()),
    }
    for what, holds in reasons.items():
        if holds:
            raise TemplateError(what, where=template.where, hint=_WHY_NOT)


def _rows(data: Path) -> list[Row]:
    """The first rows of a file, as the harness reads them; raises OptionError for a format that it does not."""
    if data.suffix not in _FORMATS:
        raise OptionError(f"--data {data.name}: the harness reads JSONL, JSON, CSV and TSV", hint="convert it first")
    found = [item for item in islice(read.read([str(data)]), LOOKED) if isinstance(item, Row)]
    if not found:
        raise OptionError(f"--data {data.name}: no row can be read", hint="check the file")
    return found


def _source(data: Path | None) -> dict[str, Any]:
    """Where the rows are."""
    path = str(data.resolve()) if data else "rows.jsonl"
    kind = _FORMATS[data.suffix] if data else "json"
    more = {"sep": "\t"} if data and data.suffix == ".tsv" else {}
    kwargs = {"data_files": {"test": path}, **more}
    return {"dataset_path": kind, "dataset_kwargs": kwargs, "test_split": "test"}


class _Columns:
    """Fields as the rows call them, in Jinja."""

    def __init__(self, task: Task, rows: Sequence[Row]) -> None:
        self.task, self.rows = task, rows

    def column(self, field: str) -> str:
        """The column of a field; raises OptionError where the first row has none."""
        given = self.task.columns.get(field)
        if not self.rows:
            return given or field
        row = self.task.mapped(self.rows[0])
        assert isinstance(row, Row)
        column = row.column(field)
        if column is None:
            raise OptionError(f"no column for the field {field!r}", where=row.source, hint=f"try --map {field}=COLUMN")
        return column

    def name(self, field: str) -> str:
        """The name of it within braces of Jinja; raises TemplateError for one that Jinja cannot say."""
        column = self.column(field)
        if not _NAME.fullmatch(column) or _KEYWORDS & {column.split(".")[0]}:
            what = f"a column called {shortened(repr(column))} has no name in Jinja"
            raise TemplateError(what, where=self.task.template.where, hint="rename the column")
        return column

    def value(self, field: str) -> str:
        """Its text as an expression: lists are joined."""
        rule = self.task.template.spec.fields.get(field, FieldSpec())
        return f"{self.name(field)} | join({_literal(rule.join)})" if rule.join is not None else self.name(field)


def _literal(text: str) -> str:
    """A text as a constant of Jinja and of Python."""
    return repr(text)


def _plain(text: str) -> str:
    """A literal text outside of Jinja's braces."""
    return re.sub(r"\{[{%#]|[%#}]\}", lambda found: "{{ " + _literal(found[0]) + " }}", text)


def _halves(task: Task, names: _Columns) -> tuple[list[tuple[bool, str]], list[tuple[bool, str]]]:
    """What stands before and behind the blank: literal texts, and fields (True) as expressions."""
    halves: list[list[tuple[bool, str]]] = [[], []]
    place = 0
    for part in task.template.segments[0]:
        if part.kind is Kind.MASK:
            place = 1
        else:
            is_field = part.kind is Kind.FIELD
            halves[place].append((is_field, names.value(part.text) if is_field else part.text))
    return halves[0], halves[1]


def _jinja(parts: Sequence[tuple[bool, str]]) -> str:
    return "".join(f"{{{{ {text} }}}}" if is_field else _plain(text) for is_field, text in parts)


def _split(parts: Sequence[tuple[bool, str]]) -> tuple[list[tuple[bool, str]], str]:
    """The parts without the white space at their end, and that."""
    if not parts or parts[-1][0]:
        return list(parts), ""
    text = parts[-1][1]
    kept = text.rstrip(" ")
    return [*parts[:-1], *([(False, kept)] if kept else [])], text[len(kept) :]


def _direct(
    task: Task, names: _Columns, before: Sequence[tuple[bool, str]], behind: Sequence[tuple[bool, str]]
) -> dict[str, Any]:
    """The choice, and what follows it, behind the context."""
    where, words = task.template.where, task.verbalizer
    if any(is_field for is_field, _ in behind):
        raise TemplateError("a field behind the blank, which is scored with the word", where=where, hint=_WHY_NOT)
    context, gap = _split(before)
    rest = "".join(text for _, text in behind)
    keys: dict[str, Any] = {"doc_to_text": _jinja(context), "target_delimiter": gap}
    if not isinstance(words, RowWords):
        choices = [next(iter(own)) + rest for own in words.labels.values()]
        return {**keys, "doc_to_choice": choices, "doc_to_target": _gold(words, names.name(task.label_field))}
    if rest:
        raise TemplateError("a text behind words of the rows' own", where=where, hint=_WHY_NOT)
    return {**keys, **_of_rows(task, words, names)}


def _gold(words: Verbalizer, column: str) -> str:
    """Jinja that gives the number of a row's label, however it is spelled."""
    places: dict[str, int] = {}
    for place, label in enumerate(words.labels):
        for said in (label, *words.gold.get(label, ())):
            number = whole_number(said)
            alike = [said, *([str(number), f"{number}.0"] if number is not None else [])]
            places |= {one.strip().lower(): place for one in alike}
    pairs = ", ".join(f"{_literal(said)}: {place}" for said, place in places.items())
    return f"{{{{ {{{pairs}}}[{column} | string | trim | lower] }}}}"


def _of_rows(task: Task, words: RowWords, names: _Columns) -> dict[str, Any]:
    """Words that each row brings, and its label, as the rows that there are say it."""
    fields = words.field_name
    if not names.rows:
        hint = "say where they are: --data FILE"
        raise TemplateError(
            "the rows bring their own words and say which is right", where=task.template.where, hint=hint
        )
    if isinstance(fields, str):
        first = task.mapped(names.rows[0])
        assert isinstance(first, Row)
        nested = ".text" if first.column(fields) and isinstance(first[fields], dict) else ""
        listed = names.name(fields) + nested
    else:
        nested, listed = "", f"[{', '.join(map(names.name, fields))}]"
    return {"doc_to_choice": f"{{{{ {listed} }}}}", "doc_to_target": _answer(task, words, names, listed)}


def _answer(task: Task, words: RowWords, names: _Columns, listed: str) -> str:
    """Jinja that gives the number of the right word, in the one way in which all rows say it."""
    column = names.name(task.label_field)
    beside = f"{listed.removesuffix('.text')}.label" if listed.endswith(".text") else ""
    ways = {
        f"{{{{ {column} }}}}": lambda said, own: int(said) if whole_number(said) is not None else -1,
        f"{{{{ {listed}.index({column}) }}}}": lambda said, own: _index(own.words, said),
        f"{{{{ {beside}.index({column}) }}}}": lambda said, own: _index(own.names, said) if beside else -1,
        f'{{{{ "ABCDEFGHIJKLMNOPQRSTUVWXYZ".index({column}) }}}}': lambda said, own: (
            ord(said) - 65 if len(said) == 1 else -1
        ),
    }
    for jinja, way in ways.items():
        if all(_agrees(task, words, row, way) for row in names.rows):
            return jinja
    hint = "say it in each row by its number from 0, by its letter, or as the word itself"
    raise OptionError("the rows say in several ways which word is right", where=names.rows[0].source, hint=hint)


def _agrees(task: Task, words: RowWords, row: Row, way: Any) -> bool:
    """Whether a way to read the label leads to the row's own gold label."""
    mapped = task.mapped(row)
    assert isinstance(mapped, Row)
    label, said = task.gold(mapped)
    if label is None or said is None:
        return said is None
    own: Options = words.options(mapped)
    place = way(said, own)
    return bool(0 <= place < len(own.words) and own.words[place] == label)


def _index(words: Sequence[str], said: str) -> int:
    return words.index(said) if said in words else -1


def _channel(
    task: Task, names: _Columns, before: Sequence[tuple[bool, str]], behind: Sequence[tuple[bool, str]]
) -> dict[str, Any]:
    """Contexts with each word, and the text behind them, which is scored."""
    where, words = task.template.where, task.verbalizer
    place = next(i for i, (is_field, _) in enumerate(behind) if is_field)
    if isinstance(words, RowWords) or any(is_field for is_field, _ in before):
        raise TemplateError("direction: channel with more of the row before the blank", where=where, hint=_WHY_NOT)
    lead = "".join(text for _, text in before)
    between, gap = _split([(False, "".join(text for _, text in behind[:place]))])
    tail = "".join(text for _, text in between)
    contexts = [lead + next(iter(own)) + tail for own in words.labels.values()]
    gold: Mapping[str, Any] = {"doc_to_text": _gold(words, names.name(task.label_field)), "doc_to_choice": contexts}
    return {**gold, "target_delimiter": gap, "doc_to_target": _jinja(behind[place:])}
