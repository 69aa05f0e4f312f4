"""Jinja as lm-evaluation-harness and promptsource write it: parsed to a tree by jinja2, of which we read what is plain.

Nothing is rendered and nothing is called: a field, a constant, texts put together and an item chosen from a list can be
said in our format; whatever else stands there is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from promptshot.authoring.importing.draft import Part, Told
from promptshot.errors import TemplateError, shortened

LARGEST = 100_000  # characters; no prompt is written as long


@dataclass(frozen=True)
class Field:
    """A field of the row, `a.b` for what is nested; `shift` is added to it, which must then be a number."""

    path: str
    join: str | None = None
    shift: int | None = None


@dataclass(frozen=True)
class Chosen:
    """The item of a list, or of a mapping, that a field says."""

    among: Any
    by: Any


@dataclass(frozen=True)
class Place:
    """Where a field's value stands in a list."""

    among: Any
    of: Any


@dataclass(frozen=True)
class Joined:
    """Values put together as one text."""

    items: tuple[Any, ...]


class Unsayable(Exception):
    """An expression that is none of these; `instead` is what is left of it where it may be left out."""

    def __init__(self, what: str, hint: str = "", line: int = 1, instead: Any = "") -> None:
        super().__init__(what)
        self.what, self.hint, self.line, self.instead = what, hint, line, instead


NO_NAMES: Mapping[str, Any] = MappingProxyType({})
OWN_COLUMN = "make a column of it first, and use that"


@dataclass(frozen=True)
class Jinja:
    """A text, where it stands, and what its names mean but for fields (`answer_choices`)."""

    text: str
    where: str
    told: Told
    names: Mapping[str, Any] = field(default_factory=dict)

    def values(self) -> list[Any]:
        """Its literal texts and the values between them, in order; raises TemplateError where it is no Jinja."""
        return list(self._of_body(_tree(self.text, self.where).body))

    def alone(self) -> Any:
        """The one value that it is, where it is one; a text where it is literal, and Joined where it is more."""
        found = [value for value in self.values() if value != ""]
        return found[0] if len(found) == 1 else Joined(tuple(found))

    def _of_body(self, nodes: Sequence[Any]) -> Iterator[Any]:
        for node in nodes:
            if type(node).__name__ != "Output":
                yield from self._of_statement(node)
                continue
            for inner in node.nodes:
                try:
                    yield value_of(inner, self.names)
                except Unsayable as problem:
                    self.lose(problem)
                    yield problem.instead

    def _of_statement(self, node: Any) -> Iterator[Any]:
        """A condition, loop or the like is lost; of a condition, its first branch is what may stay."""
        kind = type(node).__name__
        what = _STATEMENTS.get(kind, f"a {{% {kind.lower()} %}}")
        stays = kind == "If"
        hint = "write one template for each case" if stays else "write out what it gives"
        self.lose(Unsayable(f"{what} has no place in a template", hint, node.lineno))
        if stays:
            yield from self._of_body(node.body)

    def lose(self, problem: Unsayable) -> None:
        """Tell what cannot be said, with the line of the text where it has several."""
        line = f", line {problem.line}" if "\n" in self.text.strip() else ""
        self.told.lose(problem.what, self.where + line, problem.hint)


_STATEMENTS = {"If": "a condition ({% if %})", "For": "a loop ({% for %})", "Assign": "a variable ({% set %})"}


def _tree(text: str, where: str) -> Any:
    """The tree of a text; raises TemplateError."""
    from jinja2 import Environment, TemplateSyntaxError

    if len(text) > LARGEST:
        raise TemplateError(f"longer than {LARGEST:,} characters", where=where, hint="is it a template?")
    try:
        return Environment(keep_trailing_newline=True, autoescape=False).parse(text)  # nothing is rendered
    except TemplateSyntaxError as problem:
        said = shortened(str(problem.message).splitlines()[0] if problem.message else "no Jinja", 200)
        place = f"{where}, line {problem.lineno}" if "\n" in text.strip() else where
        raise TemplateError(f"no Jinja: {said}", where=place, hint="mend it there first") from None
    except RecursionError:
        raise TemplateError("Jinja nested too deeply", where=where, hint="is it a template?") from None


def value_of(node: Any, names: Mapping[str, Any] = NO_NAMES) -> Any:
    """What a node of the tree is: a constant, a list, a dict, or one of the classes above; raises Unsayable."""
    try:
        reader = _READERS.get(type(node).__name__)
        if reader is None:
            raise Unsayable(f"Jinja's {type(node).__name__.lower()} has no counterpart", OWN_COLUMN, node.lineno)
        return reader(node, names)
    except RecursionError:
        raise Unsayable("an expression nested too deeply", OWN_COLUMN, node.lineno) from None


def _name(node: Any, names: Mapping[str, Any]) -> Any:
    return names[node.name] if node.name in names else Field(node.name)


def _inside(node: Any, names: Mapping[str, Any], key: Any) -> Any:
    """What stands in a value under a key."""
    whole = value_of(node.node, names)
    if isinstance(key, Field | Place | Chosen):
        return Chosen(whole, key)
    is_number = isinstance(key, int) and not isinstance(key, bool)
    if isinstance(whole, list) and is_number and -len(whole) <= key < len(whole):
        return whole[key]
    if isinstance(whole, Field) and whole == Field(whole.path) and (isinstance(key, str) or (is_number and key >= 0)):
        return Field(f"{whole.path}.{key}")
    raise Unsayable("an item that is none of a field", OWN_COLUMN, node.lineno)


def _bare(node: Any) -> Any:
    """A key without what makes it text, in small letters and without white space around: labels are compared so."""
    while type(node).__name__ == "Filter" and node.name in ("string", "trim", "lower") and not node.args:
        node = node.node
    return node


def _filter(node: Any, names: Mapping[str, Any]) -> Any:
    """`join` of a list, `int` of a number; a constant is stripped here and now."""
    whole = value_of(node.node, names) if node.node is not None else ""
    said = [value_of(one, names) for one in node.args]
    if node.name == "join" and not node.kwargs and len(said) <= 1 and all(isinstance(one, str) for one in said):
        between = said[0] if said else ""
        if isinstance(whole, Field) and whole == Field(whole.path):
            return replace(whole, join=between)
        if isinstance(whole, list):
            return Joined(tuple(x for item in whole for x in (between, item))[1:])
    if node.name == "int" and not said and not node.kwargs and isinstance(whole, Field | Chosen):
        return replace(whole, shift=whole.shift or 0) if isinstance(whole, Field) else whole
    if node.name == "trim" and not said and isinstance(whole, str):
        return whole.strip()
    hint = "change the column itself"
    raise Unsayable(
        f"the filter {shortened(node.name)} changes a text, and templates take it as it is", hint, node.lineno, whole
    )


def _call(node: Any, names: Mapping[str, Any]) -> Any:
    """`LIST.index(FIELD)`; any other call is lost, but for what it is called on."""
    called = node.node
    if type(called).__name__ != "Getattr":
        raise Unsayable("nothing is called in a template", OWN_COLUMN, node.lineno)
    whole = value_of(called.node, names)
    if called.attr == "index" and len(node.args) == 1 and not node.kwargs:
        among = list(whole) if isinstance(whole, str) else whole
        return Place(among, value_of(node.args[0], names))
    what = f".{shortened(called.attr)}() is a call, and nothing is called in a template"
    raise Unsayable(what, OWN_COLUMN, node.lineno, whole)


def _sum(node: Any, names: Mapping[str, Any], sign: int) -> Any:
    """A number more or less, or two texts together."""
    left, right = value_of(node.left, names), value_of(node.right, names)
    if isinstance(left, Field) and isinstance(right, int) and not isinstance(right, bool):
        return replace(left, shift=(left.shift or 0) + sign * right)
    if sign > 0 and not isinstance(left, int | list) and not isinstance(right, int | list):
        return Joined((left, right))
    raise Unsayable("nothing is reckoned in a template", OWN_COLUMN, node.lineno)


def _dict(node: Any, names: Mapping[str, Any]) -> Any:
    pairs = [(value_of(pair.key, names), value_of(pair.value, names)) for pair in node.items]
    if not all(isinstance(key, str | int) for key, _ in pairs):
        raise Unsayable("a mapping with keys that are no constants", OWN_COLUMN, node.lineno)
    return dict(pairs)


def _negative(node: Any, names: Mapping[str, Any]) -> Any:
    inner = value_of(node.node, names)
    if isinstance(inner, int):
        return -inner
    raise Unsayable("nothing is reckoned in a template", OWN_COLUMN, node.lineno)


_READERS: dict[str, Callable[[Any, Mapping[str, Any]], Any]] = {
    "TemplateData": lambda node, names: node.data,
    "Const": lambda node, names: node.value,
    "Name": _name,
    "Getattr": lambda node, names: _inside(node, names, node.attr),
    "Getitem": lambda node, names: _inside(node, names, value_of(_bare(node.arg), names)),
    "Filter": _filter,
    "Call": _call,
    "List": lambda node, names: [value_of(one, names) for one in node.items],
    "Tuple": lambda node, names: [value_of(one, names) for one in node.items],
    "Dict": _dict,
    "Concat": lambda node, names: Joined(tuple(value_of(one, names) for one in node.nodes)),
    "Add": lambda node, names: _sum(node, names, 1),
    "Sub": lambda node, names: _sum(node, names, -1),
    "Neg": _negative,
}


def parts_of(values: Sequence[Any], said: Jinja) -> list[Part]:
    """Values as the parts of a text, Chosen ones left to `blank_of`; what is no text is lost."""
    parts: list[Part] = []
    for value in values:
        if isinstance(value, Joined):
            parts += parts_of(value.items, said)
        elif isinstance(value, Field) and value.shift is None:
            parts.append(Part("field", value.path, join=value.join))
        elif isinstance(value, str | int | float):
            parts.append(Part("text", str(value)))
        else:
            said.lose(Unsayable(f"{_named(value)} cannot stand in a text", OWN_COLUMN))
    return parts


def _named(value: Any) -> str:
    names = {list: "a list", dict: "a mapping", Chosen: "an item that a field chooses", Place: "a place in a list"}
    return names.get(type(value), "this")
