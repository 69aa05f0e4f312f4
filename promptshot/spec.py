"""Strict YAML: a file becomes a validated pydantic model, or one line that says file:line and why.

Every scalar is read as the text it is written as, so `no`, `on`, `0` and `2024-01-01` stay what
their author typed; numbers and booleans appear only where a field of the model asks for them.
Tags, aliases and doubled keys are refused: a template is data from a stranger. So are files beyond any
sensible size, which are never read to their end.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from promptshot.errors import InputError, PromptshotError, did_you_mean, fault_of, shortened

LARGEST = 256 * 1024  # bytes; a template or verbalizer is a page, not a book
MOST = 20_000  # values; many more label words than any verbalizer has, and a second's work
DEEPEST = 20

Path_ = tuple[str | int, ...]


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


def read(path: Path, kind: type[S], error: type[PromptshotError]) -> S:
    """The file as a `kind`; every complaint is an `error` with file:line (an InputError if unreadable)."""
    data, lines = load_yaml(path, error)
    return build(data, kind, error, str(path), lines)


def load_yaml(path: Path, error: type[PromptshotError]) -> tuple[Any, dict[Path_, int]]:
    """The file as plain dicts, lists and strings, and the line of every key."""
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise error(f"not UTF-8 text ({problem.reason})", where=str(path), hint="save it as UTF-8") from None
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise InputError(f"cannot be read ({reason})", where=str(path), hint="check the path") from None
    if len(data) > LARGEST:
        raise error(f"larger than {LARGEST:,} bytes", where=str(path), hint="is it the right file?")
    return parse_yaml(text, str(path), error)


def parse_yaml(text: str, where: str, error: type[PromptshotError]) -> tuple[Any, dict[Path_, int]]:
    """YAML text as plain dicts, lists and strings, and the line of every key."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        line = f":{mark.line + 1}" if mark else ""
        message = str(problem.problem or problem.context or "invalid YAML")
        hint = "quote values that begin with { or [" if "{" in text else "check the indentation and quotes"
        raise error(f"invalid YAML: {message}", where=f"{where}{line}", hint=hint) from None
    except (yaml.YAMLError, RecursionError, ValueError) as problem:
        reason = "nested too deeply" if isinstance(problem, RecursionError) else str(problem)
        raise error(f"invalid YAML: {reason}", where=where, hint="is it a text file?") from None
    reader = _Reader(where, error)
    return (None if node is None else reader.value(node, ())), reader.lines


class _Loader(yaml.SafeLoader):
    """PyYAML's own, which gives up in time on a file of nothing but brackets or commas."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.nodes = self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.nodes, self.depth = self.nodes + 1, self.depth + 1
        if self.nodes > MOST:
            raise yaml.YAMLError(f"more than {MOST:,} values")
        if self.depth > DEEPEST + 1:
            raise yaml.YAMLError(f"nested too deeply (more than {DEEPEST} levels)")
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Reader:
    """Walks a YAML node tree once, keeping the line of every key."""

    def __init__(self, where: str, error: type[PromptshotError]) -> None:
        self.where, self.error = where, error
        self.lines: dict[Path_, int] = {}
        self.seen: set[int] = set()

    def refuse(self, node: yaml.Node, what: str, hint: str) -> PromptshotError:
        return self.error(what, where=f"{self.where}:{node.start_mark.line + 1}", hint=hint)

    def value(self, node: yaml.Node, path: Path_) -> Any:
        if id(node) in self.seen:
            raise self.refuse(node, "YAML aliases (*name) are not allowed", "write the value out")
        self.seen.add(id(node))
        self.lines[path] = node.start_mark.line + 1
        if not node.tag.startswith("tag:yaml.org,2002:") or "python" in node.tag:
            raise self.refuse(node, f"YAML tag {node.tag} is not allowed", "remove the tag")
        if isinstance(node, yaml.ScalarNode):
            return self.text(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*path, i)) for i, child in enumerate(node.value)]
        return self.mapping(node, path)

    def text(self, node: yaml.ScalarNode) -> str:
        if fault := fault_of(str(node.value)):
            raise self.refuse(node, f"{fault} in a value", "remove it")
        return str(node.value)

    def mapping(self, node: yaml.Node, path: Path_) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self.refuse(key, "a key must be plain text", "quote it if it begins with { or [")
            name = self.text(key)
            if name in found:
                raise self.refuse(key, f"the key {shortened(repr(name))} stands here twice", "keep one of them")
            found[name] = self.value(child, (*path, name))
            self.lines[(*path, name)] = key.start_mark.line + 1
        return found


def build(data: Any, kind: type[S], error: type[PromptshotError], where: str, lines: dict[Path_, int]) -> S:
    """Validate plain data; the first complaint of pydantic becomes one readable line."""
    if not isinstance(data, dict):
        keys = ", ".join(name for name, field in kind.model_fields.items() if field.is_required())
        raise error("empty, or not a mapping of keys to values", where=where, hint=f"it needs: {keys}")
    try:
        return kind.model_validate(data)
    except ValidationError as problem:
        first = problem.errors()[0]
    path = tuple(first["loc"])
    line = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), None)
    place = f"{where}:{line}" if line else where
    key = str(path[0]) if path else ""
    if first["type"] == "extra_forbidden":
        name = str(path[-1])
        raise error(f"unknown key {shortened(repr(name))}", where=place, hint=did_you_mean(name, _siblings(kind, path)))
    if first["type"] == "missing":
        raise error(f"the key {path[-1]!r} is missing", where=where, hint=f"add a line '{path[-1]}: ...'")
    what = re.sub(r"^(Value|Assertion) error, ", "", str(first["msg"]))
    what, _, hint = what.partition("; ")
    raise error(f"{key}: {what}" if key else what, where=place, hint=hint)


def _siblings(kind: type[BaseModel], path: Path_) -> list[str]:
    """The keys that may stand where `path` stands, as far as the model tells."""
    for step in path[:-1]:
        field = kind.model_fields.get(str(step))
        inner = field and _inner_model(field.annotation)
        if inner:
            kind = inner
    return list(kind.model_fields)


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _inner_model(inner)
        if found:
            return found
    return None
