"""The texts of OpenPrompt and PaddleNLP: plain words with dicts of Python between them, `{"placeholder": "text_a"}`.

What stands in braces is read by Python's parser and never evaluated. As in both tools, spaces at the end of a stretch
are one space before the next.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from promptshot.authoring.importing.draft import BREAK, Part, Told
from promptshot.authoring.importing.python import BROKEN, Code, calls, is_program, literal
from promptshot.errors import TemplateError, did_you_mean, shortened

LARGEST = 100_000  # characters


@dataclass(frozen=True)
class Stretch:
    """Plain words, or what stands in braces; `space` is what parts it from what is before, `place` where it begins."""

    words: str = ""
    keys: Mapping[str, Any] = field(default_factory=dict)
    space: str = ""
    place: str = ""


def stretches(text: str, where: str) -> Iterator[Stretch]:
    """The stretches of a text; raises TemplateError where braces are not closed or hold no dict."""
    if len(text) > LARGEST:
        raise TemplateError(f"longer than {LARGEST:,} characters", where=where, hint="is it a template?")
    start = 0
    while start < len(text):
        begin = start + len(text[start:]) - len(text[start:].lstrip(" "))
        space = " " if begin > start or (text[max(0, start - 1)] == " " and start) else ""
        if begin == len(text):
            return
        place = f"{where}, column {begin + 1}"
        if text[begin] == "{":
            start = _closed(text, begin, place)
            yield Stretch(keys=_keys(text[begin:start], place), space=space, place=place)
        else:
            start = text.find("{", begin) if "{" in text[begin:] else len(text)
            yield Stretch(text[begin:start].rstrip(" "), space=space, place=place)


def _closed(text: str, begin: int, place: str) -> int:
    """Where the braces that begin there end."""
    depth = 0
    for at in range(begin, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if not depth:
            return at + 1
    raise TemplateError("a brace is not closed", where=place, hint="write } behind it")


def _keys(text: str, place: str) -> Mapping[str, Any]:
    """What a dict, or a set of keys without values, says."""
    try:
        tree = ast.parse(text, mode="eval").body
        said = literal(tree)
    except BROKEN:
        said = None
    if isinstance(said, list):
        said = dict.fromkeys(said) if all(isinstance(key, str) for key in said) else None
    if not isinstance(said, dict) or not said or not all(isinstance(key, str) for key in said):
        hint = 'write {"mask"} for the blank, {"placeholder": "text_a"} for a text'
        raise TemplateError(f"{shortened(text, 60)!r} is no dict of such a template", where=place, hint=hint)
    return said


@dataclass(frozen=True)
class Dialect:
    """The words of one tool: keys that begin a stretch, and those that say more of it."""

    fields: tuple[str, ...]
    plain: str  # literal text
    trained: tuple[str, ...]  # vectors that were learnt
    others: Mapping[str, str]  # what cannot be said -> why
    more: tuple[str, ...]
    breaks: tuple[str, ...]  # separators of segments
    adjacent: bool  # whether blanks side by side are one word of several tokens

    @property
    def known(self) -> tuple[str, ...]:
        """All keys that there are."""
        return (*self.fields, self.plain, *self.trained, *self.others, *self.more, *self.breaks, "mask")


def parts_of(text: str, where: str, dialect: Dialect, told: Told) -> list[Part]:
    """The parts of a text; raises TemplateError for a key that the tool does not have."""
    parts: list[Part] = []
    for one in stretches(text, where):
        if not one.keys:
            parts.append(Part("text", one.space + one.words))
            continue
        for key in one.keys:
            if key not in dialect.known:
                raise TemplateError(
                    f"unknown key {shortened(repr(key))}", where=one.place, hint=did_you_mean(key, dialect.known)
                )
        made = _parts(one, dialect, told)
        if (
            dialect.adjacent
            and parts
            and parts[-1].kind == "mask"
            and not one.space
            and [p.kind for p in made] == ["mask"]
        ):
            told.note("blanks side by side are one here: a word has as many as it has tokens")
            continue
        parts += [Part("text", one.space), *made] if made and one.space else made
    return parts


def _parts(one: Stretch, dialect: Dialect, told: Told) -> list[Part]:
    """What stands in one pair of braces."""
    keys = one.keys
    for key in ("post_processing", "post_process"):
        if key in keys:
            what = f"{key} is code, and no code is run"
            told.lose(what, one.place, "change the column itself, or leave it out")
    if "mask" in keys:
        return [Part("mask")]
    for key in dialect.breaks:
        if key in keys:
            return _break(keys[key], one, told)
    for key in dialect.fields:
        if key in keys and isinstance(keys[key], str):
            kept = keys.get("shortenable", key != "meta") in (False, "False") or keys.get("truncate") in (
                False,
                "False",
            )
            return [Part("field", keys[key], kept=kept)]
    if isinstance(keys.get(dialect.plain), str):
        return [Part("text", keys[dialect.plain])]
    for key in dialect.trained:
        if key in keys:
            hint = "write words in their place: templates have no vectors of their own"
            told.lose(f"{key!r} stands for vectors that are trained", one.place, hint)
            return [Part("text", keys[key])] if isinstance(keys[key], str) else []
    for key, why in dialect.others.items():
        if key in keys:
            told.lose(f"{key!r}: {why}", one.place, "write out what it stands for")
            return []
    raise TemplateError("braces that say neither a text nor the blank", where=one.place, hint="name a field in them")


def _break(said: Any, one: Stretch, told: Told) -> list[Part]:
    """A separator: two segments are nearest to it, and yet another thing; at the end it is the tokenizer's own."""
    name = said if isinstance(said, str) else "sep"
    is_break = "sep" in name
    hint = "say text: [A, B], which tokenizers join in their own way" if is_break else "leave it out"
    told.lose(f"the special token {shortened(name)} within a text", one.place, hint)
    return [BREAK] if is_break else []


@dataclass(frozen=True)
class Pasted:
    """What Python that was pasted says of a template: its text, its words and its classes, each None where not."""

    text: str | None = None
    words: Any = None
    classes: list[str] | None = None
    where: str = ""
    words_where: str = ""


def pasted(text: str, where: str) -> Pasted | None:
    """What calls of `...Template(text=...)` and `...Verbalizer(label_words=...)` are given; None for no program.

    Raises TemplateError for a program without a template in it.
    """
    if text.lstrip().startswith("{") or not is_program(text):
        return None
    found = Pasted()
    for call in calls(text, where):
        at = f"{where}:{call.line}"
        if call.name.endswith("Template") and found.text is None:
            said = next((one for one in (call.value("text"), call.value("prompt"), *call.given) if _is_text(one)), None)
            found = Pasted(said, found.words, found.classes, at, found.words_where)
        elif call.name.endswith("Verbalizer"):
            words, classes = call.value("label_words"), call.value("classes") or call.value("labels")
            names = list(map(str, classes)) if isinstance(classes, list) else None
            found = Pasted(found.text, None if isinstance(words, Code) else words, names, found.where, at)
    if found.text is None and found.words is None:
        raise TemplateError("no template in this program", where=where, hint="paste the call with its text")
    return found


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and "{" in value
