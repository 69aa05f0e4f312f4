"""Strict YAML: a file becomes a validated pydantic model, or one line that says file:line and why.

Every scalar is read as the text it is written as, so `no`, `on`, `0` and `2024-01-01` stay what
their author typed; numbers and booleans appear only where a field of the model asks for them.
Tags, aliases and doubled keys are refused: a template is data from a stranger. So are files beyond any
sensible size, which are never read to their end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from yaml.composer import Composer

from promptshot.errors import PromptshotError, did_you_mean, fault_of, shortened, unreadable
from promptshot.prompts import codes
from promptshot.prompts.codes import Flaw, Lines, Place

LARGEST = 2 << 20  # bytes; twenty thousand labels with a few words each are less
MOST = 200_000  # values; a second's work, some seconds without libyaml
DEEPEST = 20
TOO_DEEP = f"nested too deeply (more than {DEEPEST} levels)"
TOLD = 200  # complaints about the shape of one file; one with more is something else

TAG = "tag:yaml.org,2002:"
KEY = -1  # ends the place of a key itself, beside that of its value


class Spec(BaseModel):
    """Base of all file formats: unknown keys are errors, strings are text, instances do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _text_throughout(cls, data: Any) -> Any:
        """Keys and values may also come from a command line or a program, where no YAML reader looked at them."""
        waiting = [data]
        while waiting:
            value = waiting.pop()
            if isinstance(value, str) and (fault := fault_of(value)):
                raise ValueError(f"{fault} in {shortened(value)!r}")
            if isinstance(value, dict):
                waiting += [*value, *value.values()]
            elif isinstance(value, list | tuple):
                waiting += value
        return data


S = TypeVar("S", bound=Spec)


@dataclass(frozen=True)
class Source:
    """YAML as plain dicts, lists and strings (None where it is broken), and what is wrong with it.

    `lines` has the line of every key; `typed` the places of unquoted scalars that other readers take for no text,
    with what they take them for ("bool", "null", "timestamp", "int", ...); `tags` those of values with a tag of
    another program's, such as !function, where such files may be read.
    """

    where: str
    data: Any = None
    lines: Lines = field(default_factory=dict)
    flaws: tuple[Flaw, ...] = ()
    typed: Mapping[Place, str] = field(default_factory=dict)
    tags: Mapping[Place, str] = field(default_factory=dict)

    def sound(self, error: type[PromptshotError]) -> tuple[Any, Lines]:
        """Data and lines, if there is no flaw; else the first is raised."""
        for flaw in self.flaws:
            raise flaw.error(error, self.where, self.lines)
        return self.data, self.lines


def load_yaml(path: Path, error: type[PromptshotError]) -> tuple[Any, Lines]:
    """The file as plain dicts, lists and strings, and the line of every key."""
    return load_source(path).sound(error)


def load_source(path: Path) -> Source:
    """The file with its flaws; raises InputError where it cannot be read."""
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except (OSError, ValueError) as problem:
        raise unreadable(str(path), problem) from None
    if len(data) > LARGEST:
        flaw = Flaw(codes.NOT_TEXT, f"larger than {LARGEST:,} bytes", "is it the right file?")
        return Source(str(path), flaws=(flaw,))
    try:
        return parse_source(data.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as problem:
        flaw = Flaw(codes.NOT_TEXT, f"not UTF-8 text ({problem.reason})", "save it as UTF-8")
        return Source(str(path), flaws=(flaw,))


def parse_source(text: str, where: str, foreign: bool = False) -> Source:
    """YAML text with its flaws; in that of a `foreign` tool a tag is kept with the value, and nothing is done by it."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except _TooMuch as problem:
        return _no_yaml(where, str(problem), "is it a text file?")
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        line = mark.line + 1 if mark else None
        if mark and _is_deep(text, mark.index):
            return _no_yaml(where, TOO_DEEP, "is it a text file?", line)
        hint = "quote values that begin with { or [" if "{" in text else "check the indentation and quotes"
        return _no_yaml(where, str(problem.problem or problem.context or type(problem).__name__), hint, line)
    except RecursionError:
        return _no_yaml(where, TOO_DEEP, "is it a text file?")
    except (yaml.YAMLError, ValueError) as problem:
        return _no_yaml(where, str(problem), "is it a text file?")
    reader = _Reader(foreign)
    data = None if node is None else reader.value(node, ())
    return Source(where, data, reader.lines, tuple(reader.flaws), reader.typed, reader.tags)


def _no_yaml(where: str, reason: str, hint: str, line: int | None = None) -> Source:
    return Source(where, flaws=(Flaw(codes.NOT_YAML, f"invalid YAML: {reason}", hint, line=line),))


class _TooMuch(Exception):
    """More than any file of ours has; `str()` says of what."""


class _Counted(Composer):
    """Gives up in time on a file of nothing but brackets or commas."""

    nodes = depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.nodes, self.depth = self.nodes + 1, self.depth + 1
        if self.nodes > MOST:
            raise _TooMuch(f"more than {MOST:,} values")
        if self.depth > DEEPEST + 1:
            raise _TooMuch(TOO_DEEP)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Plain(_Counted, yaml.SafeLoader):
    """PyYAML's own reader, which looks ahead no further than a key may reach."""


_Events: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where PyYAML was built with it: much faster


class _Loader(_Counted, _Events):  # type: ignore[misc]
    """The fast reader; libyaml's parser has a composer of its own, which does not count."""

    def __init__(self, text: str) -> None:
        _Events.__init__(self, text)
        Composer.__init__(self)


def _is_deep(text: str, end: int) -> bool:
    """Whether text that libyaml refuses is too deep before its `end`: it looks ahead of our counter, and has a
    limit and words of its own."""
    before = text[:end]
    if before.count("[") + before.count("{") <= DEEPEST:  # the usual case, told without reading again
        return False
    try:
        yaml.compose(before, Loader=_Plain)
    except _TooMuch as problem:
        return str(problem) == TOO_DEEP
    except (yaml.YAMLError, RecursionError, ValueError):
        return False
    return False


class _Reader:
    """Walks a YAML node tree once, keeping the line of every key and every flaw."""

    def __init__(self, foreign: bool = False) -> None:
        self.foreign = foreign
        self.lines: dict[Place, int] = {}
        self.typed: dict[Place, str] = {}
        self.tags: dict[Place, str] = {}
        self.flaws: list[Flaw] = []
        self.seen: set[int] = set()

    def refuse(self, code: codes.Code, node: yaml.Node, what: str, hint: str) -> None:
        self.flaws.append(Flaw(code, what, hint, line=node.start_mark.line + 1))

    def value(self, node: yaml.Node, place: Place) -> Any:
        if id(node) in self.seen:
            self.refuse(codes.NOT_PLAIN, node, "YAML aliases (*name) are not allowed", "write the value out")
            return ""
        self.seen.add(id(node))
        self.lines[place] = node.start_mark.line + 1
        if self.foreign and node.tag.startswith("!"):
            self.tags[place] = node.tag
        elif not node.tag.startswith(TAG) or "python" in node.tag:
            self.refuse(codes.NOT_PLAIN, node, f"YAML tag {node.tag} is not allowed", "remove the tag")
        if isinstance(node, yaml.ScalarNode):
            if not node.style and node.tag != f"{TAG}str":
                self.typed[place] = node.tag.removeprefix(TAG)
            return self.text(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*place, i)) for i, child in enumerate(node.value)]
        return self.mapping(node, place)

    def text(self, node: yaml.ScalarNode) -> str:
        if fault := fault_of(str(node.value)):
            self.refuse(codes.NOT_UNICODE, node, f"{fault} in a value", "remove it")
            return str(node.value).encode(errors="ignore").decode().replace("\0", "")
        return str(node.value)

    def mapping(self, node: yaml.Node, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.refuse(codes.NOT_PLAIN, key, "a key must be plain text", "quote it if it begins with { or [")
                continue
            name = self.text(key)
            if name in found:
                what = f"the key {shortened(repr(name))} stands here twice"
                self.refuse(codes.DOUBLED_KEY, key, what, "keep one of them")
                continue
            here = (*place, name)
            found[name] = self.value(child, here)
            self.lines[here] = key.start_mark.line + 1
            if not key.style and key.tag != f"{TAG}str":
                within = (*here, KEY)
                self.typed[within] = key.tag.removeprefix(TAG)
        return found


# What YAML takes for a line break, or refuses to read, unless it is written as an escape.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def quoted(text: str) -> str:
    """The text in double quotes, as YAML reads it back whatever is in it."""
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))


class _Dumper(yaml.SafeDumper):
    """Writes what its readers would take for a line break in double quotes, with escapes."""


def _represented(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(f"{TAG}str", text, style='"' if _ESCAPED.search(text) else None)


_Dumper.add_representer(str, _represented)


def dump(data: Any) -> str:
    """Plain data as YAML that reads as the same again."""
    return str(yaml.dump(data, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=100))


def build(data: Any, kind: type[S], error: type[PromptshotError], where: str, lines: Lines) -> S:
    """Validate plain data; the first complaint of pydantic becomes one readable line."""
    made, flaws = examine(data, kind)
    if made is None or flaws:
        raise flaws[0].error(error, where, lines)
    return made


def examine(data: Any, kind: type[S]) -> tuple[S | None, list[Flaw]]:
    """The data as a `kind`, and all that is wrong with it; what can be left out is left out to make it so."""
    if not isinstance(data, dict):
        keys = ", ".join(name for name, info in kind.model_fields.items() if info.is_required())
        return None, [Flaw(codes.NOT_A_MAPPING, "empty, or not a mapping of keys to values", f"it needs: {keys}")]
    try:
        return kind.model_validate(data), []
    except ValidationError as problem:
        found = problem.errors(include_url=False, include_input=False)[: TOLD + 1]
    first: dict[Place, Any] = {}  # a value that fits no member of a union is one flaw, however often told
    for error in found:
        loc = tuple(error["loc"])
        first.setdefault(loc if error["type"] == "missing" else _within(data, loc), error)
    flaws = [_flaw(kind, place, error) for place, error in first.items()]
    hints = {(flaw.place[:-1], flaw.hint) for flaw in flaws}
    # A misspelt key that is needed is one flaw, not two.
    flaws = [f for f in flaws if not (f.place and (f.place[:-1], f"did you mean {f.place[-1]!r}?") in hints)]
    if len(found) > TOLD or any(len(flaw.place) > 1 and flaw.code is not codes.UNKNOWN_KEY for flaw in flaws):
        return None, flaws  # without such a value, the rest might say something else
    try:
        return kind.model_validate(_without(data, first)), flaws
    except ValidationError:
        return None, flaws


def is_rather(data: Any, other: type[Spec], kind: type[Spec]) -> bool:
    """Whether the keys that only the `other` kind of file must have say that it is one of these, not a `kind`."""
    keys = set(data) if isinstance(data, dict) else set()
    return bool(keys & _required(other)) and not keys & _required(kind)


def is_some(data: Any, kind: type[Spec]) -> bool:
    """Whether it has a key that this kind of file must have: what has none is something else, and nobody's business."""
    return isinstance(data, dict) and bool(data.keys() & _required(kind))


def _required(kind: type[Spec]) -> set[str]:
    return {name for name, info in kind.model_fields.items() if info.is_required()}


def _within(data: Any, loc: Place) -> Place:
    """The part of a place that the data has: pydantic also names the members of a union on its way."""
    for n, step in enumerate(loc):
        inside = step in data if isinstance(data, dict) else isinstance(data, list) and step in range(len(data))
        if not inside:
            return loc[:n]
        data = data[step]
    return loc


def _without(data: dict[Any, Any], places: Iterable[Place]) -> dict[Any, Any]:
    """The data without the values at these places; those within lists stay."""
    left = {**data}
    for head in {place[0] for place in places if place}:
        inner = [place[1:] for place in places if place[:1] == (head,)]
        if () in inner:
            left.pop(head, None)
        elif isinstance(left[head], dict):
            left[head] = _without(left[head], inner)
    return left


def _flaw(kind: type[BaseModel], place: Place, error: Mapping[str, Any]) -> Flaw:
    """A complaint of pydantic as a flaw."""
    loc = error["loc"]
    if error["type"] == "extra_forbidden":
        name = str(loc[-1])
        hint = did_you_mean(name, _siblings(kind, loc))
        return Flaw(codes.UNKNOWN_KEY, f"unknown key {shortened(repr(name))}", hint, place)
    if error["type"] == "missing":
        return Flaw(codes.MISSING_KEY, f"the key {loc[-1]!r} is missing", f"add a line '{loc[-1]}: ...'", place)
    what, _, hint = _complaint(kind, error).partition("; ")
    return Flaw(codes.WRONG_VALUE, f"{place[0]}: {what}" if place else what, hint, place)


# Our words for what pydantic finds, by its names of it; {} are the numbers of its `ctx`.
_WORDS = {
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "is too large a number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "too_short": "must hold at least {min_length}",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
}


def _complaint(kind: type[BaseModel], error: Mapping[str, Any]) -> str:
    """What is wrong with a value: as our own check says it, else in our words for the kind of fault."""
    about = error.get("ctx", {})
    if error["type"] in ("value_error", "assertion_error"):
        return str(about["error"])
    if error["type"] == "literal_error":
        return f"must be one of: {', '.join(_literals(_model_at(kind, error['loc']).model_fields, error['loc']))}"
    known = _WORDS.get(error["type"])
    return known.format_map(about) if known else str(error["msg"])


def _literals(fields: Mapping[str, Any], loc: Place) -> list[str]:
    """What a field may say, where only some words are allowed."""
    named = [fields[str(step)].annotation for step in loc if str(step) in fields]
    found: list[str] = []
    waiting = named[-1:]
    while waiting:
        annotation = waiting.pop()
        if get_origin(annotation) is Literal:
            found += map(str, get_args(annotation))
        else:
            waiting += get_args(annotation)
    return found


def _siblings(kind: type[BaseModel], path: Place) -> list[str]:
    """The keys that may stand where `path` stands, as far as the model tells."""
    return list(_model_at(kind, path).model_fields)


def _model_at(kind: type[BaseModel], path: Place) -> type[BaseModel]:
    """The innermost model in which `path` lies."""
    for step in path[:-1]:
        info = kind.model_fields.get(str(step))
        inner = info and _inner_model(info.annotation)
        if inner:
            kind = inner
    return kind


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _inner_model(inner)
        if found:
            return found
    return None


# ------------------------------------------------------------------ for editors

_SCALARS = ("string", "number", "boolean")  # what editors take for a number or a truth value is text here


def schema(kind: type[Spec], title: str) -> dict[str, Any]:
    """The JSON Schema (Draft 2020-12) of a file, as editors read YAML: any scalar may stand where text is meant."""
    made = kind.model_json_schema()
    waiting: list[Any] = [made]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if value.get("type") == "string" and "enum" not in value and "const" not in value:
                value["type"] = list(_SCALARS)
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": title}
