"""A pattern-verbalizer pair of PET: the lists of a `get_parts`, alone or in its class; read as a tree and never run.

PET gives each part to its tokenizer by itself, with a space before it: so parts stand one space apart here, but for
Chinese ones, which need none.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from promptshot.authoring.importing import words
from promptshot.authoring.importing.draft import BLANK, BREAK, CLOZE, Draft, Part, Told
from promptshot.authoring.importing.given import Given, picked
from promptshot.authoring.importing.python import Code, literal, tree
from promptshot.errors import TemplateError, shortened

_CHINESE = re.compile(r"[\u3000-\u303f\u3400-\u9fff\uff00-\uffef]")
MOST = 200  # parts of a pattern, and statements of a function; PET's have ten


@dataclass(frozen=True)
class _Pair:
    """The two lists of a pattern, and where they stand."""

    lists: Sequence[ast.expr]
    line: int


def draft_of(given: Given, told: Told, verbalizer: Given | None = None, pick: str | None = None) -> Draft:
    """The draft of a pattern; raises TemplateError where there is none, or several and none is picked."""
    text = given.text.strip()
    module = tree(text, given.where)
    classes = [node for node in module.body if isinstance(node, ast.ClassDef) and _method(node, "get_parts")]
    named, _, number = (pick or "").rpartition(":")
    if not classes:
        said = next((node.value for node in reversed(module.body) if isinstance(node, ast.Expr | ast.Return)), None)
        if said is None:
            hint = "paste the class, or the lists of get_parts: [text_a, 'It was', self.mask], []"
            raise TemplateError("no pattern of PET", where=given.where, hint=hint)
        assigned = [node for node in module.body if isinstance(node, ast.Assign)]
        reader = _Reader(given.where, told, _names(assigned), "0")
        parts, own = reader.parts(_Pair(_two(said), said.lineno)), None
    else:
        names = [node.name for node in classes]
        owner = classes[names.index(picked(names, names, named or None, given.where))]
        method = _method(owner, "get_parts")
        assert method is not None
        patterns = list(dict.fromkeys(_numbers(method))) or ["0"]
        pattern = picked(patterns, patterns, number or None, given.where)
        reader = _Reader(given.where, told, {}, pattern)
        parts = reader.parts(reader.returned(method))
        own = None if verbalizer else reader.verbalizer(owner)
    if verbalizer is not None:
        file = verbalizer.text.strip()
        listed = file.startswith(("{", "["))
        own = (words.of_text if listed else words.of_pet)(file, verbalizer.where, number or None)
    return Draft(CLOZE, parts, own.words if own else {}, own.gold if own else {})


def _method(owner: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    return next((node for node in owner.body if isinstance(node, ast.FunctionDef) and node.name == name), None)


def _names(assigned: Iterable[ast.Assign]) -> dict[str, ast.expr]:
    return {target.id: node.value for node in assigned for target in node.targets if isinstance(target, ast.Name)}


def _two(node: ast.expr) -> list[ast.expr]:
    """`A, B` of a pattern, or A alone."""
    return list(node.elts) if isinstance(node, ast.Tuple) else [node]


def _is_pattern(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "pattern_id"


def _tested(node: ast.expr) -> list[str] | None:
    """The patterns for which a condition holds: `self.pattern_id == 2`, `in {1, 2}`; None for any other."""
    if not isinstance(node, ast.Compare) or not _is_pattern(node.left) or len(node.ops) != 1:
        return None
    found = literal(node.comparators[0])
    if isinstance(node.ops[0], ast.Eq) and isinstance(found, int):
        return [str(found)]
    if isinstance(node.ops[0], ast.In) and isinstance(found, list):
        return [str(one) for one in found if isinstance(one, int)]
    return None


def _numbers(method: ast.FunctionDef) -> Iterator[str]:
    """The numbers of patterns that a function tells apart."""
    for node in ast.walk(method):
        if isinstance(node, ast.If):
            yield from _tested(node.test) or ()


@dataclass(frozen=True)
class _Reader:
    """Follows one pattern through its functions: names by what they were given, conditions by the pattern's number."""

    where: str
    told: Told
    names: dict[str, ast.expr]
    pattern: str

    def returned(self, method: ast.FunctionDef) -> _Pair:
        """What a function gives back for this pattern; raises TemplateError where that cannot be told."""
        found = self._in(method.body)
        if found is None:
            what = f"{method.name} gives nothing back for pattern {shortened(self.pattern)}"
            raise TemplateError(what, where=f"{self.where}:{method.lineno}", hint="paste its lists alone")
        return _Pair(_two(found), found.lineno)

    def _in(self, body: Sequence[ast.stmt]) -> ast.expr | None:
        for node in body:
            if isinstance(node, ast.Return) and node.value is not None:
                return node.value
            if isinstance(node, ast.Assign):
                self.names.update(_names([node]))
            elif isinstance(node, ast.If):
                tested = _tested(node.test)
                if tested is None:
                    self.told.lose(
                        "a condition of another kind than pattern_id",
                        f"{self.where}:{node.lineno}",
                        "paste the lists alone",
                    )
                branch = node.body if tested is None or self.pattern in tested else node.orelse
                if (found := self._in(branch)) is not None:
                    return found
        return None

    def parts(self, pair: _Pair) -> list[Part]:
        """The parts of both lists, one space apart."""
        found = [self._listed(one) for one in pair.lists[:2]]
        if len(pair.lists) > 2:
            raise TemplateError("more than two lists", where=f"{self.where}:{pair.line}", hint="get_parts gives two")
        return [*found[0], *([BREAK, *found[1]] if len(found) > 1 and found[1] else [])]

    def _listed(self, node: ast.expr) -> list[Part]:
        node = self.names.get(node.id, node) if isinstance(node, ast.Name) else node
        if not isinstance(node, ast.List) or len(node.elts) > MOST:
            what = "no list of parts"
            raise TemplateError(what, where=f"{self.where}:{node.lineno}", hint="write [text_a, 'It was', self.mask]")
        return _apart([part for one in node.elts if (part := self._part(one, 0)) is not None])

    def _part(self, node: ast.expr, depth: int) -> Part | None:
        """A text, a field, the blank; what is called on one is lost, but for `shortenable`."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return Part("text", node.value)
        if isinstance(node, ast.Attribute):
            return BLANK if node.attr in ("mask", "mask_token") else Part("field", node.attr, kept=True)
        if isinstance(node, ast.Name):
            known = self.names.get(node.id)
            if known is not None and depth < MOST:
                return self._part(known, depth + 1)
            return BLANK if node.id in ("mask", "MASK") else Part("field", node.id, kept=True)
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            return Part("field", str(node.slice.value), kept=True)
        where = f"{self.where}:{node.lineno}"
        if isinstance(node, ast.Call) and len(node.args) == 1 and depth < MOST:
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            inner = self._part(node.args[0], depth + 1)
            if name == "shortenable" and inner is not None:
                return replace(inner, kept=False)
            if name != "str":
                what = f"{shortened(name or 'a call')}() changes a text, and templates take it as it is"
                self.told.lose(what, where, "change the column itself, or leave it out")
            return inner
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult) and self._part(node.left, depth + 1) == BLANK:
            self.told.lose("several blanks in a row", where, "a word has as many as it has tokens: keep one")
            return BLANK
        self.told.lose(
            f"{type(node).__name__.lower()} is code, and no code is run", where, "write it as a text or a field"
        )
        return None

    def verbalizer(self, owner: ast.ClassDef) -> words.Found | None:
        """The words that `verbalize` gives for this pattern, else the one dict of the class; None where none tells."""
        tables = dict(self._tables(owner))
        method = _method(owner, "verbalize")
        name = _table(_Reader(self.where, Told(), {}, self.pattern)._in(method.body)) if method else ""
        table = tables.get(name) or (next(iter(tables.values())) if len(tables) == 1 else None)
        if table is None:
            self.told.lose(
                "no dict of words that can be read", f"{self.where}:{owner.lineno}", "give them: --words FILE"
            )
            return None
        return words.of_data(table, f"{self.where}:{owner.lineno}")

    def _tables(self, owner: ast.ClassDef) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for name, node in _names(one for one in owner.body if isinstance(one, ast.Assign)).items():
            found = literal(node)
            if isinstance(found, dict) and found and not any(isinstance(one, Code) for one in found.values()):
                yield name, found


def _table(node: ast.expr | None) -> str:
    """The name of the dict in `AgnewsPVP.VERBALIZER[label]`."""
    inner = node.value if isinstance(node, ast.Subscript) else None
    return inner.attr if isinstance(inner, ast.Attribute) else inner.id if isinstance(inner, ast.Name) else ""


def _apart(parts: Sequence[Part]) -> list[Part]:
    """The parts with a space between neighbours, unless one brings its own or the literal texts are Chinese."""
    chinese = any(_CHINESE.search(part.text) for part in parts if part.kind == "text")
    found: list[Part] = []
    for part in parts:
        before = found[-1].text[-1:] if found and found[-1].kind == "text" else ""
        after = part.text[:1] if part.kind == "text" else ""
        if found and not chinese and not before.isspace() and not after.isspace():
            found.append(Part("text", " "))
        found.append(part)
    return found
