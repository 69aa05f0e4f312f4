"""A template of LM-BFF, `*cls**sent_0*_It_was*mask*.*sep+*`, and its mapping of labels to words."""

from __future__ import annotations

import re

from promptshot.authoring.importing import words
from promptshot.authoring.importing.draft import BLANK, BREAK, CLOZE, Draft, Part, Told
from promptshot.authoring.importing.given import Given
from promptshot.errors import TemplateError, shortened

LARGEST = 100_000  # characters
# *sent_0*, without its last character (-), with a small first letter (l), behind a space (+).
_SENTENCE = re.compile(r"(\+?)sent(l?)(-?)_([0-9]{1,3})")
_FIELDS = {"0": "text_a", "1": "text_b"}


def draft_of(given: Given, told: Told, verbalizer: Given | None = None) -> Draft:
    """The draft of a template; raises TemplateError for a variable that LM-BFF does not have."""
    text = given.text.strip("\n")
    if len(text) > LARGEST or text.count("*") % 2:
        what = "longer than any template" if len(text) > LARGEST else "a * that is not closed"
        raise TemplateError(what, where=given.where, hint="variables stand between two: *mask*")
    parts: list[Part] = []
    column = 1
    for number, piece in enumerate(text.split("*")):
        where = f"{given.where}, column {column}"
        parts += (
            _variable(piece, where, told) if number % 2 else [Part("text", piece.replace("_", " "))] if piece else []
        )
        column += len(piece) + 1
    while parts and parts[-1] == BREAK:  # the separator at the end is the tokenizer's own
        parts.pop()
    found = words.of_text(verbalizer.text, verbalizer.where) if verbalizer else None
    return Draft(CLOZE, _spaced(parts), found.words if found else {}, found.gold if found else {})


def _variable(name: str, where: str, told: Told) -> list[Part]:
    """What stands between two stars."""
    if name in ("cls", "sep"):
        if name == "sep":
            told.lose("*sep* within a segment", where, "leave it out at the end, or write *sep+* for two segments")
        return []
    if name in ("mask", "sep+"):
        return [BLANK if name == "mask" else BREAK]
    if not (found := _SENTENCE.fullmatch(name)):
        if name.startswith("label_"):
            told.lose(f"*{shortened(name)}* is the word of a demonstration", where, "demonstrations: -k and --demos")
            return []
        hint = "there is: cls, mask, sep, sep+, sent_0, +sent_0, sent-_0, sentl_0"
        raise TemplateError(f"unknown variable *{shortened(name)}*", where=where, hint=hint)
    space, small, short, number = found.groups()
    if small:
        told.lose(f"*{name}* begins with a small letter", where, f"write *sent_{number}*, or change the column itself")
    if short:
        told.lose(f"*{name}* lacks its last character", where, f"write *sent_{number}*, or change the column itself")
    field = Part("field", _FIELDS.get(number, f"sent_{number}"))
    return [Part("text", " "), field] if space else [field]


def _spaced(parts: list[Part]) -> list[Part]:
    """A space before the blank, where the word has one that LM-BFF puts into it: behind other text."""
    found: list[Part] = []
    for number, part in enumerate(parts):
        before = parts[number - 1] if number else BREAK
        ends = before.text[-1:].isspace() if before.kind == "text" else before.kind == "break"
        if part == BLANK and not ends:
            found.append(Part("text", " "))
        found.append(part)
    return found
