"""A template of promptsource: Jinja with ` ||| ` between what is asked and the answer, and `answer_choices`.

Its own texts are stripped on both sides; between them stands one space here, as where models that go on are asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from promptshot.authoring.importing.draft import BLANK, GOING_ON, Draft, Part, Told
from promptshot.authoring.importing.given import Given, picked
from promptshot.authoring.importing.jinja import Chosen, Field, Jinja, Joined, parts_of
from promptshot.errors import TemplateError, did_you_mean, shortened

BAR = "|||"
# The keys of a file, of a template in it, and those of one that matter here.
FILE_KEYS = ("dataset", "subset", "templates")
KEYS = ("answer_choices", "jinja", "id", "metadata", "name", "reference")
_CHOICES = "answer_choices"


@dataclass(frozen=True)
class _Prompt:
    """One template: its Jinja, its choices, and where each stands."""

    jinja: str
    choices: str | None
    where: str
    choices_where: str


def draft_of(given: Given, told: Told, choices: str | None = None, pick: str | None = None) -> Draft:
    """The draft of a text with ` ||| `, or of one template of a file; raises TemplateError where it is none."""
    prompt = _in_file(given, pick) if is_file(given.text) else _Prompt(given.text, choices, given.where, "--words")
    among = _among(prompt, told)
    said = Jinja(prompt.jinja, prompt.where, told, {} if among is None else {_CHOICES: among})
    asked, answered = _halves(said)
    parts = _stripped(parts_of(asked, said))
    before, chosen, after = _around(_flat(answered), said)
    answer = [*_stripped(parts_of(before, said), end=not chosen), *([BLANK] if chosen else [])]
    parts = [*parts, Part("text", " "), *answer, *_stripped(parts_of(after, said), start=False)]
    label_field, words, gold, own = _labels(chosen, among, said)
    return Draft(GOING_ON, parts, words, gold, own, label_field)


def is_file(text: str) -> bool:
    """Whether a text is a file of promptsource rather than a template."""
    return re.search(r"^(templates|dataset|jinja)\s*:", text, re.MULTILINE) is not None


def _in_file(given: Given, pick: str | None) -> _Prompt:
    """The template of a file that is meant: the only one, or the one of that name or number."""
    data, lines = given.yaml().sound(TemplateError)
    if not isinstance(data, dict):
        raise TemplateError("no file of promptsource: not a mapping", where=given.where, hint="it has templates:")
    place: tuple[str, ...] = ()
    entry = data
    if "jinja" not in data:
        _refuse_unknown(data, FILE_KEYS, given.where, (), lines)
        entries = data.get("templates")
        if not isinstance(entries, dict) or not all(isinstance(one, dict) for one in entries.values()) or not entries:
            raise TemplateError("templates: must hold templates", where=given.where, hint="is it a whole file?")
        names = {key: str(one.get("name") or key) for key, one in entries.items()}
        key = picked(list(names), list(names.values()), pick, given.where)
        entry, place = entries[key], ("templates", key)
    _refuse_unknown(entry, KEYS, given.where, place, lines)
    if not isinstance(entry.get("jinja"), str):
        raise TemplateError("the key 'jinja' is missing", where=given.where, hint="it holds the text")
    choices = entry.get(_CHOICES)
    choices = choices if isinstance(choices, str) and choices not in ("null", "") else None
    where = {name: f"{given.where}:{lines.get((*place, name), 1)}: {name}" for name in ("jinja", _CHOICES)}
    return _Prompt(entry["jinja"], choices, where["jinja"], where[_CHOICES])


def _refuse_unknown(data: Any, keys: tuple[str, ...], where: str, place: tuple[str, ...], lines: Any) -> None:
    for name in data:
        if name not in keys:
            hint = did_you_mean(name, keys)
            at = f"{where}:{lines.get((*place, name), 1)}"
            raise TemplateError(f"unknown key {shortened(repr(name))}", where=at, hint=hint)


def _among(prompt: _Prompt, told: Told) -> Any:
    """What answers there are: texts, a field that lists them, or a field for each; None where nothing says."""
    if prompt.choices is None:
        return None
    said = Jinja(prompt.choices, prompt.choices_where, told)
    values = said.values()
    if len(values) == 1 and isinstance(values[0], Field) and (values[0].join or "").strip() == BAR:
        return Field(values[0].path)
    groups: list[list[Any]] = [[]]
    for value in _flat(values):
        pieces = value.split(BAR) if isinstance(value, str) else [value]
        groups[-1].append(pieces[0])
        groups += [[piece] for piece in pieces[1:]]
    kept = [[one for one in group if not (isinstance(one, str) and not one.strip())] for group in groups]
    if all(len(group) == 1 for group in kept):
        found = [group[0].strip() if isinstance(group[0], str) else group[0] for group in kept]
        if all(isinstance(one, str) for one in found) or all(isinstance(one, Field) for one in found):
            return found
    told.lose("choices that are neither texts nor columns", prompt.choices_where, "list texts, with ' ||| ' between")
    return None


def _flat(values: list[Any]) -> list[Any]:
    return [one for value in values for one in (_flat(list(value.items)) if isinstance(value, Joined) else [value])]


def _halves(said: Jinja) -> tuple[list[Any], list[Any]]:
    """What stands before and behind the bars; raises TemplateError where they do not stand there once."""
    asked: list[Any] = []
    answered: list[Any] = []
    bars = 0
    for value in said.values():
        pieces = value.split(BAR) if isinstance(value, str) else [value]
        bars += len(pieces) - 1
        (answered if bars and len(pieces) == 1 else asked).append(pieces[0])
        answered += pieces[1:]
    if bars != 1:
        what = "no '|||' between what is asked and the answer" if not bars else f"{bars} times '|||'"
        raise TemplateError(what, where=said.where, hint="write it once, before the answer")
    return asked, answered


def _around(values: list[Any], said: Jinja) -> tuple[list[Any], Any, list[Any]]:
    """The answer's own text before the item that is chosen, this item, and the text behind it."""
    places = [place for place, value in enumerate(values) if isinstance(value, Chosen | Field)]
    if len(places) != 1:
        what = "the answer is no item of answer_choices"
        said.told.lose(what, said.where, "write ||| {{answer_choices[label]}}")
        return values, None, []
    return values[: places[0]], values[places[0]], values[places[0] + 1 :]


def _labels(chosen: Any, among: Any, said: Jinja) -> tuple[str, dict[str, list[str]], dict[str, list[str]], Any]:
    """The label's field, the words, how rows say them, and where rows have their own."""
    texts = isinstance(among, list) and all(isinstance(one, str) for one in among)
    words = {word: [word] for word in among} if texts else {}
    own = among.path if isinstance(among, Field) else [one.path for one in among] if among and not texts else None
    if isinstance(chosen, Field) and chosen == Field(chosen.path):  # the answer itself is a column
        return chosen.path, words, {}, own
    if isinstance(chosen, Chosen):
        inner = chosen.among
        if (isinstance(inner, list) and all(isinstance(one, str) for one in inner)) or isinstance(inner, dict):
            return _by_place(chosen, said)
        if isinstance(inner, Field | list) and isinstance(chosen.by, Field) and not chosen.by.shift:
            return chosen.by.path, {}, {}, own
    if chosen is not None:
        hint = "choose by a column with the number of the answer"
        said.told.lose("an answer that no column chooses", said.where, hint)
    return "label", words, {}, own


def _by_place(chosen: Chosen, said: Jinja) -> tuple[str, dict[str, list[str]], dict[str, list[str]], Any]:
    """Fixed words, of which a field says the number or the name, maybe by way of a mapping."""
    among = {str(key): value for key, value in chosen.among.items()} if isinstance(chosen.among, dict) else None
    words = [str(word).strip() for word in (chosen.among if among is None else among.values())]
    labels = {word: [word] for word in words}
    by, names = chosen.by, list(among or map(str, range(len(words))))
    if isinstance(by, Field) and by.join is None:
        shift = by.shift or 0
        said_as = names if not shift else [str(int(name) - shift) for name in names] if among is None else names
        return by.path, labels, {word: [name] for word, name in zip(words, said_as, strict=True)}, None
    if isinstance(by, Chosen) and isinstance(by.among, dict) and isinstance(by.by, Field):
        gold: dict[str, list[str]] = {}
        for key, place in by.among.items():
            if str(place) in names:
                gold.setdefault(words[names.index(str(place))], []).append(str(key))
        return by.by.path, labels, gold, None
    said.told.lose("an answer that no column chooses", said.where, "choose by a column with the number of the answer")
    return "label", labels, {}, None


def _stripped(parts: list[Part], start: bool = True, end: bool = True) -> list[Part]:
    """The parts without white space of their own at the ends."""
    found = list(parts)
    while start and found and found[0].kind == "text":
        found[0] = Part("text", found[0].text.lstrip())
        if found[0].text:
            break
        found.pop(0)
    while end and found and found[-1].kind == "text":
        found[-1] = Part("text", found[-1].text.rstrip())
        if found[-1].text:
            break
        found.pop()
    return found
