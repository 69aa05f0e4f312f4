"""What stands in Python that users paste, read as a tree and never run: literals, and what a call is given."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptshot.errors import TemplateError

LARGEST = 200_000  # characters
# What the parser of Python says of a text that is none, or that is nested too deeply for it.
BROKEN = (SyntaxError, ValueError, MemoryError, RecursionError)


@dataclass(frozen=True)
class Code:
    """An expression that is no literal; nothing of it is run."""

    source: str
    line: int


def tree(text: str, where: str) -> ast.Module:
    """The tree of a program; raises TemplateError."""
    if len(text) > LARGEST:
        raise TemplateError(f"longer than {LARGEST:,} characters", where=where, hint="is it the right file?")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes, which are not ours
            return ast.parse(text)
    except BROKEN as problem:
        line = getattr(problem, "lineno", None)
        place = f"{where}:{line}" if line else where
        raise TemplateError("cannot be read as Python", where=place, hint="paste whole lines of it") from None


def is_program(text: str) -> bool:
    """Whether a text is Python with a call or a definition in it."""
    try:
        return any(isinstance(node, ast.Call | ast.ClassDef) for node in ast.walk(tree(text, "")))
    except (TemplateError, RecursionError):
        return False


def literal(node: ast.expr, known: Mapping[str, Any] | None = None) -> Any:
    """A literal as its value, names that stand for one too; of a dict or list, what is none as Code."""
    names = known or {}
    try:
        return _literal(node, names)
    except RecursionError:
        return Code("", node.lineno)


def _literal(node: ast.expr, names: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return [_literal(one, names) for one in node.elts]
    if isinstance(node, ast.Dict) and all(isinstance(key, ast.Constant) for key in node.keys):
        pairs = zip(node.keys, node.values, strict=True)
        return {key.value: _literal(value, names) for key, value in pairs if isinstance(key, ast.Constant)}
    if isinstance(node, ast.Name) and node.id in names:
        return names[node.id]
    return Code(type(node).__name__.lower(), node.lineno)


@dataclass(frozen=True)
class Call:
    """A call in a program: the name behind its last dot or the first of two (AutoTemplate.create_from), and what it
    is given."""

    name: str
    given: Sequence[Any]
    named: Mapping[str, Any]
    line: int

    def value(self, name: str, place: int | None = None) -> Any:
        """An argument by its name, or by its place; None where it is not given."""
        if name in self.named:
            return self.named[name]
        return self.given[place] if place is not None and place < len(self.given) else None


def calls(text: str, where: str) -> list[Call]:
    """The calls of a program, with the literals that they are given or that a name was given above them."""
    module = tree(text, where)
    known: dict[str, Any] = {}
    for statement in module.body:
        if isinstance(statement, ast.Assign) and not isinstance(value := literal(statement.value, known), Code):
            known |= {target.id: value for target in statement.targets if isinstance(target, ast.Name)}
    return list(_calls(module, known))


def _calls(module: ast.Module, known: Mapping[str, Any]) -> Iterator[Call]:
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and (name := _called(node.func)):
            named = {one.arg: literal(one.value, known) for one in node.keywords if one.arg}
            yield Call(name, [literal(one, known) for one in node.args], named, node.lineno)


def _called(node: ast.expr) -> str:
    """`ManualTemplate`, also of `openprompt.prompts.ManualTemplate`; `AutoTemplate` of `AutoTemplate.create_from`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        return owner if owner[:1].isupper() else node.attr
    return ""
