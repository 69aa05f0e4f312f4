"""Label words as other tools write them: JSON or a dict of Python, or lines, a label each."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptshot.authoring.importing.given import picked
from promptshot.authoring.importing.python import BROKEN, literal
from promptshot.errors import TemplateError, VerbalizerError, shortened, shortlist

HINT = 'write {"good": ["great"], "bad": ["awful"]}, or a line of words for each label'


@dataclass(frozen=True)
class Found:
    """Labels with their words, and how rows spell them."""

    words: Mapping[str, Sequence[str]]
    gold: Mapping[str, Sequence[str]]


def of_text(text: str, where: str, pick: str | None = None, classes: Sequence[str] | None = None) -> Found:
    """The words of a text in any of these ways; raises VerbalizerError where it is none."""
    plain = text.strip()
    if plain.startswith(("{", "[")):
        return of_data(_data(plain, where), where, pick, classes)
    lines = [line.strip() for line in plain.split("\n")]
    if lines and all("==" in line for line in lines if line):
        return of_data({a.strip(): b.strip() for a, _, b in (line.partition("==") for line in lines if line)}, where)
    groups: list[list[list[str]]] = [[]]
    for line in lines:
        if line:
            groups[-1].append([word.strip() for word in line.split(",")])
        elif groups[-1]:
            groups.append([])
    return of_data(groups[0] if len(groups) == 1 else groups, where, pick, classes)


def _data(text: str, where: str) -> Any:
    """JSON, or a literal of Python."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return literal(ast.parse(text, mode="eval").body)
    except BROKEN:
        raise VerbalizerError("neither JSON nor a dict of Python", where=where, hint=HINT) from None


def of_data(data: Any, where: str, pick: str | None = None, classes: Sequence[str] | None = None) -> Found:
    """The words of a dict {label: words}, of a list with words for each label, or of one of several of these."""
    if isinstance(data, list) and data and all(isinstance(one, dict) or _is_nested(one) for one in data):
        keys = [str(number) for number in range(len(data))]
        data = data[int(picked(keys, keys, pick, where))]
    if isinstance(data, dict):
        listed = {str(label): _listed(words, where) for label, words in data.items()}
        return _of_numbers(listed) if all(label.isdecimal() for label in listed) else _of_names(listed, classes, where)
    if not isinstance(data, list):
        raise VerbalizerError("no label words", where=where, hint=HINT)
    words = [_listed(one, where) for one in data]
    if classes is not None and len(classes) != len(words):
        what = f"words for {len(words)} labels, and there are {len(classes)}: {shortlist(classes)}"
        raise VerbalizerError(what, where=where, hint="give each label its words")
    names = list(classes) if classes is not None else [one[0] for one in words]
    if len(set(names)) < len(names):
        raise VerbalizerError("two labels have the same word", where=where, hint="name the labels: --labels a,b")
    numbers = {name: [str(number)] for number, name in enumerate(names)}
    return Found(dict(zip(names, words, strict=True)), {name: own for name, own in numbers.items() if own != [name]})


def _of_numbers(listed: Mapping[str, Sequence[str]]) -> Found:
    """Labels that are numbers are called by their first words; rows have the numbers."""
    names = {number: words[0] for number, words in listed.items()}
    if len(set(names.values())) < len(names) or any(name.isdecimal() for name in names.values()):
        return Found(listed, {})
    return Found({names[n]: words for n, words in listed.items()}, {names[n]: [n] for n in listed})


def _of_names(listed: Mapping[str, Sequence[str]], classes: Sequence[str] | None, where: str) -> Found:
    """Labels by their names; where the order of the classes is known, rows may have their numbers."""
    if classes is None:
        return Found(listed, {})
    if set(classes) != set(listed):
        what = f"the classes are {shortlist(classes)}, and there are words for {shortlist(listed)}"
        raise VerbalizerError(what, where=where, hint="name the same labels")
    return Found({name: listed[name] for name in classes}, {name: [str(n)] for n, name in enumerate(classes)})


def _is_nested(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, list) for one in value)


def _listed(words: Any, where: str) -> list[str]:
    """One word or several as texts, without the white space that a tokenizer's own spelling may bring."""
    found = words if isinstance(words, list) else [words]
    if not found or not all(isinstance(word, str | int) and str(word).strip() for word in found):
        raise VerbalizerError(f"{shortened(str(words), 60)!r} are no words", where=where, hint=HINT)
    return list(dict.fromkeys(str(word).strip() for word in found))


def of_pet(text: str, where: str, pick: str | None = None) -> Found:
    """PET's own file: lines of a label and its words, below the number of the pattern that they are for.

    Raises VerbalizerError.
    """
    patterns: dict[str, dict[str, Any]] = {}
    current = ""
    for number, line in enumerate(text.split("\n"), 1):
        label, *own = line.split()[:1000] or [""]
        if line.strip().isdecimal():
            current = line.strip()
        elif label and not own:
            raise VerbalizerError(
                f"{shortened(line.strip())!r} has no words", where=f"{where}:{number}", hint="label word word"
            )
        elif label:
            patterns.setdefault(current, {})[label] = own
    if not patterns:
        raise VerbalizerError("no label words", where=where, hint="a line: label word word")
    try:
        key = picked(list(patterns), list(patterns), pick, where)
    except TemplateError as problem:
        raise VerbalizerError(problem.what, where=problem.where, hint=problem.hint) from None
    return of_data(patterns[key], where)
