"""A template of OpenPrompt (`{"placeholder": "text_a"} It was {"mask"}.`) and its verbalizer, as text or as Python."""

from __future__ import annotations

from promptshot.authoring.importing import words
from promptshot.authoring.importing.braces import Dialect, parts_of, pasted
from promptshot.authoring.importing.draft import CLOZE, Draft, Told
from promptshot.authoring.importing.given import Given, picked
from promptshot.errors import TemplateError

DIALECT = Dialect(
    fields=("placeholder", "meta"),
    plain="text",
    trained=("soft",),
    others={},
    more=("shortenable", "add_prefix_space", "post_processing", "duplicate", "same", "soft_id"),
    breaks=("special", "eos"),
    adjacent=False,
)


def draft_of(given: Given, told: Told, verbalizer: Given | None = None, pick: str | None = None) -> Draft:
    """The draft of a text, of one line of a file, or of the calls in a program; raises TemplateError."""
    return of_dialect(given, told, DIALECT, verbalizer, pick)


def of_dialect(given: Given, told: Told, dialect: Dialect, verbalizer: Given | None, pick: str | None) -> Draft:
    """The same in the words of a tool that writes such texts."""
    program = pasted(given.text, given.where)
    text, where, classes = given.text, given.where, None
    found: words.Found | None = None
    if program:
        if program.text is None:
            raise TemplateError("no template in this program", where=given.where, hint="paste the call with its text")
        text, where, classes = program.text, program.where, program.classes
        if program.words is not None:
            found = words.of_data(program.words, program.words_where, classes=classes)
        elif classes:
            told.note("the verbalizer is not written out, and the classes are the words themselves")
            found = words.of_data([[name] for name in classes], program.words_where, classes=classes)
    else:
        lines = [(number, line) for number, line in enumerate(given.text.split("\n"), 1) if line.strip()]
        if len(lines) > 1:
            keys = [str(number) for number in range(len(lines))]
            number, text = lines[int(picked(keys, keys, pick, given.where))]
            where = f"{given.where}:{number}"
        elif lines:
            text = lines[0][1]
    if verbalizer is not None:
        found = words.of_text(verbalizer.text, verbalizer.where, pick, classes)
    parts = parts_of(text, where, dialect, told)
    return Draft(CLOZE, parts, found.words if found else {}, found.gold if found else {})
