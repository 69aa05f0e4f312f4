"""Rows: what files hold, by the names that templates use, numbered and selected.

A row that cannot be read does not stop the reading: it comes out as a Reject, with its place and text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from promptshot.errors import InputError, RowError, fault_of, shortlist
from promptshot.rows import formats
from promptshot.rows.json_text import Exact, dumps, encodable
from promptshot.rows.streams import encoding_advice
from promptshot.rows.tables import looks_like_data

# A row's own label words, by whichever of these names a template calls them.
WORDS = ("candidates", "choices", "options", "endings", "候选", "选项")

# The names under which data sets keep what templates call text, text_a, text_b, label, answer and by one of WORDS, the
# likeliest first.
ALIASES: dict[str, tuple[str, ...]] = {
    "text": formats.TEXTS,
    "text_a": (*("text_a", "sentence1", "premise", "text1", "question1", "sentence_a", "query1", "句子1", "文本1"),),
    "text_b": (*("text_b", "sentence2", "hypothesis", "text2", "question2", "sentence_b", "query2", "句子2", "文本2"),),
    "label": (
        *("label", "gold", "gold_label", "class", "category", "stance", "target", "answer", "label_desc", "label_des"),
        *("sentiment", "labels", "class_index", "is_duplicate", "标签", "类别", "分类", "情感"),
        *("answerKey", "answer_key", "答案", "accept"),
    ),
    "question": ("question", "query", "题目", "问题", "题干"),
    "answer": (*("answer", "answerKey", "answer_key", "label", "gold", "答案"),),
    **dict.fromkeys(WORDS, WORDS),
}
# What an annotator said of a row (prodigy), which is no label.
JUDGEMENTS = ("accept", "reject", "ignore")
MISSING: Any = object()
JOINT = "\n"  # between columns that are one text
NEAR = 0.7  # how alike a misspelt column must be, as difflib measures it
DEEPEST = 6  # levels in which a value with a usual name is looked for


@dataclass  # frozen, it would take three times as long to make
class Row:
    """One row: its own fields, where it stands (file:line), its number in the run, and given columns."""

    fields: Mapping[str, Any]
    source: str = ""
    key: int = 0
    columns: Mapping[str, str] = field(default_factory=dict, repr=False)
    remark: str = field(default="", repr=False)  # what looks odd about it

    def __getitem__(self, name: str) -> Any:
        """The value of a field, by the column given for it, its own name, or a usual other name."""
        column = self.column(name)
        if column is None:
            raise self._lacks(name, self.columns.get(name))
        return self._value(column)

    def _lacks(self, name: str, given: str | None) -> RowError:
        """What to say where no column serves as a field: those that there are, and which is likely meant."""
        flat = list(_flat(self.fields))
        missing = f"no column {given!r} for field {name!r}" if given else f"no field {name!r}"
        near = get_close_matches(folded(given or name), {folded(column): column for column in flat}, n=1, cutoff=NEAR)
        if near:
            hint = f"did you mean {next(column for column in flat if folded(column) == near[0])!r}?"
        else:
            path = nested(self.fields, name)
            flag = "--text-field" if name == "text" else "--label-field" if name == "label" else ""
            hint = f"try {flag} {path or 'NAME'}" if flag else f"try --map {name}={path or 'COLUMN'}"
        what = f"{missing}; the row has: {shortlist(flat) or 'nothing'}"
        return RowError(what, where=self.source, hint=f"{hint}{no_header(self)}")

    def _value(self, column: str) -> Any:
        if column in self.fields:
            return self.fields[column]
        found = value_at(self.fields, column)
        return self._joined(column) if found is MISSING else found

    def _joined(self, said: str) -> str:
        """Several columns as one text, a line each; those that are empty, or not in this row, are left out."""
        texts = []
        for column in filter(None, map(self._single, parts_of(said))):
            value = self._value(column)
            if isinstance(value, list | dict):
                raise RowError(f"column {column!r} is {_kind_of(value)}, not text", where=self.source)
            text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
            texts += [text] if text.strip() else []
        return JOINT.join(texts)

    def _single(self, said: str) -> str | None:
        """The one column that is called so, if any."""
        found = next(iter(_named(said, said, tuple(self.fields))), None)
        return found or (said if "." in said and value_at(self.fields, said) is not MISSING else None)

    def parts(self, name: str) -> tuple[str, ...]:
        """The columns that serve as a field: one, several that were said as one, or none."""
        column = self.column(name)
        if column is None or column in self.fields or self._single(column):
            return () if column is None else (column,)
        return tuple(filter(None, map(self._single, parts_of(column))))

    def lacking(self, name: str) -> list[str]:
        """The columns that were named for a field, or the field itself, which this row does not have."""
        given = self.columns.get(name)
        if given is None or self._single(given) is not None:
            return [] if self.column(name) is not None else [given or name]
        return [part for part in parts_of(given) if self._single(part) is None]

    def refuse(self, name: str, column: str) -> InputError:
        """That none of the rows has a column; this is one of them."""
        problem = self._lacks(name, column if name in self.columns else None)
        return InputError(problem.what, where=problem.where, hint=problem.hint)

    def column(self, name: str) -> str | None:
        """The column that serves as field `name` in this row, if any; upper and lower case count as one."""
        given = self.columns.get(name)
        if given is None and name in self.fields:  # the usual case
            return name
        for found in _named(name, given, tuple(self.fields)):
            if name != "label" or given is not None or not self._is_judgement(found):
                return found
        wanted = given or name
        if "." in wanted and value_at(self.fields, wanted) is not MISSING:
            return wanted
        parts = parts_of(given) if given and "," in given else ()
        return given if len(parts) > 1 and any(map(self._single, parts)) else None

    def _is_judgement(self, column: str) -> bool:
        return column.casefold() == "answer" and self.fields[column] in JUDGEMENTS

    def text(self, name: str, join: str | None = None) -> str:
        """The field as text; a list needs `join`. Raises RowError if it is empty or no text."""
        value = self[name]
        if value is None:
            value = ""
        if not isinstance(value, str):
            value = self._as_text(name, value, join)
        if not value.strip():
            raise RowError(f"field {name!r} is empty", where=self.source, hint="remove the row or fill it")
        if fault := fault_of(value):
            raise RowError(f"field {name!r} has {fault}", where=self.source, hint="remove the row or mend its text")
        return value

    def _as_text(self, name: str, value: Any, join: str | None) -> str:
        """A number, a truth value, or a list of them and of texts as text; raises RowError for anything else."""
        if isinstance(value, bool | int | float):
            return json.dumps(value)
        if not isinstance(value, list) or join is None:
            hint = f"give the template fields: {{{name}: {{join: ', '}}}}" if isinstance(value, list) else ""
            raise RowError(f"field {name!r} is {_kind_of(value)}, not text", where=self.source, hint=hint)
        for item in value:
            if not isinstance(item, str | int | float):
                what = f"an item of the list {name!r} is {_kind_of(item)}, not text"
                raise RowError(what, where=self.source, hint="remove the row or mend its list")
        return join.join(item if isinstance(item, str) else json.dumps(item) for item in value)


@dataclass(frozen=True)
class Reject:
    """A row that was left out: where it stands, why, and what it said."""

    source: str
    reason: str
    raw: str
    key: int = 0

    def record(self) -> dict[str, str]:
        """What the rejects file says of it."""
        return {"source": encodable(self.source), "reason": self.reason, "raw": self.raw}

    @property
    def advice(self) -> str:
        """What to try where all rows of its file are like it: the file may be in another encoding."""
        if "cells under a header" in self.reason and not re.search(r"\.(csv|tsv)(\.gz)?:\d+$", self.source):
            return "mend the file, or say --lines where each line is a text"
        foreign = "not UTF-8" in self.reason or "\0" in self.raw or "\\x" in self.raw
        return encoding_advice(self.source.rpartition(":")[0]) if foreign else ""


Item = Row | Reject


def _kind_of(value: Any) -> str:
    return {dict: "an object", list: "a list", type(None): "null"}.get(type(value), "no text")


def no_header(row: Row) -> str:
    """What to say where the columns of a row are called like the cells of one."""
    is_json = re.search(r"\.(json|jsonl|ndjson)(\.gz)?:", row.source)
    if is_json:
        return ""
    if looks_like_data([*row.fields]):
        return "; the first line looks like data: --no-header, or --lines where each line is a text"
    is_open = re.search(r"(<stdin>|\.txt(\.gz)?|/[^./]+):\d+$", row.source)  # of which nothing says that it is a table
    return "; or is each line a text? --lines" if is_open else ""


def folded(name: str) -> str:
    """The name of a column as people mean it: `" Gold-Label"` is gold_label."""
    return re.sub(r"[\s_-]+", "_", name.strip()).casefold()


def parts_of(said: str) -> tuple[str, ...]:
    r"""The columns that were said as one, `subject,body`; `\,` is a comma in a name."""
    parts = (part.replace("\\,", ",").strip() for part in re.split(r"(?<!\\),", said))
    return tuple(part for part in parts if part)


def joined(columns: Sequence[str]) -> str:
    """Columns that are said as one, as `parts_of` takes them apart."""
    return ",".join(column.replace(",", "\\,") for column in columns)


@lru_cache(maxsize=1024)
def _named(name: str, given: str | None, columns: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that may serve as a field, the likeliest first: spelled as it is, then however they are spelled."""
    names = (given,) if given is not None else (name, *ALIASES.get(name, ()))
    alike: dict[str, str] = {}
    for key in (str.strip, folded):  # but for blanks around it, before whatever its case
        for column in columns:
            alike.setdefault(key(column), column)
    loosely = (found for n in names if (found := alike.get(n.strip()) or alike.get(folded(n))))
    return tuple(dict.fromkeys([*(n for n in names if n in columns), *loosely]))


def value_at(fields: Mapping[str, Any], path: str) -> Any:
    """The value at a path through objects and lists, as in `annotations.0.value`; MISSING where there is none.

    A number counts the items of a list from 0; a name may have dots of its own.
    """
    waiting: list[tuple[Any, str]] = [(fields, path)]
    while waiting:
        value, rest = waiting.pop()
        if isinstance(value, Mapping):
            if rest in value:
                return value[rest]
            dots = [dot for dot, sign in enumerate(rest) if sign == "." and rest[:dot] in value]
            waiting += [(value[rest[:dot]], rest[dot + 1 :]) for dot in dots]
        elif isinstance(value, list):
            number, dot, behind = rest.partition(".")
            if number.isdecimal() and len(number) < 10 and int(number) < len(value):
                if not dot:
                    return value[int(number)]
                waiting.append((value[int(number)], behind))
    return MISSING


def nested(fields: Mapping[str, Any], field: str) -> str:
    """The path to a value within objects and lists that goes by a usual name of a field; empty where there is none."""
    usual = {folded(alias) for alias in (field, *ALIASES.get(field, ()))} | ({"choices"} if field == "label" else set())
    waiting: list[tuple[str, Any, int]] = [(str(name), value, 0) for name, value in fields.items()]
    while waiting:
        path, value, depth = waiting.pop(0)
        *above, last = path.split(".")
        known = folded(last) in usual or (folded(last) in NAMES and any(folded(name) in usual for name in above))
        if depth and known and (isinstance(value, str | int) or _is_plain_list(value)):
            return path
        if depth < DEEPEST:
            inside: Any = value.items() if isinstance(value, Mapping) else ()
            inside = enumerate(value[:1]) if isinstance(value, list) else inside
            waiting += [(f"{path}.{name}", part, depth + 1) for name, part in inside]
    return ""


NAMES = ("name", "value", "label", "text")  # by which an object within a label calls it


def _is_plain_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(part, str | int) for part in value)


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested objects as plain names: {"a": {"b": 1}} has "a.b" as well."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        found[f"{prefix}{name}"] = value
        if isinstance(value, dict):
            found.update(_flat(value, f"{prefix}{name}."))
    return found


def raw_of(row: Row) -> str:
    """What a row says, as JSON that can be read again; half characters are escapes in it."""
    exact = isinstance(row.fields, Exact)
    return encodable(dumps(row.fields) if exact else json.dumps(row.fields, ensure_ascii=False, default=str))


def with_columns(item: Item, columns: Mapping[str, str]) -> Item:
    """The same row, with these columns for fields."""
    if not columns or isinstance(item, Reject):
        return item
    return Row(item.fields, item.source, item.key, columns, item.remark)
