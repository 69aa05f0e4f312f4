"""Rules of lint about the text of a template, and what goes wrong wherever something is typed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

from promptshot.authoring.lint.sheet import Sheet
from promptshot.prompts import codes
from promptshot.prompts.codes import Flaw, Place
from promptshot.prompts.strict import KEY, Source

_FALSE_MASK = re.compile(r"\[[gs]?MASK\]|<mask>|<extra_id_\d+>|_{3,}")
# What special tokens of model families look like, and what to do instead of writing them.
_SPECIAL = {
    r"\[SEP\]|<sep>": "for two segments write text as a list, [A, B]; else remove it",
    r"<[|｜]im_(?:start|end|sep)[|｜]>|<[|｜](?:system|user|assistant|end|eot_id|eom_id|(?:start|end)_header_id)[|｜]>"
    r"|<[|｜](?:User|Assistant)[|｜]>|\[/?INST\]|<</?SYS>>|</?(?:start|end)_of_turn>": (
        "chat templates are not applied: write the turns in plain words, such as Question: and Answer:"
    ),
    r"\[CLS\]|\[BOS\]|<s>|<bos>|<cls>|<[|｜](?:begin[_▁]of[_▁](?:text|sentence)|startoftext)[|｜]>": (
        "remove it: the tokenizer puts its own before a text"
    ),
    r"\[(?:PAD|UNK|EOS|EOD)\]|</s>|<(?:eos|eod|eop|pad|unk)>|<[|｜][^|｜<>\s]{1,40}[|｜]>": (
        "remove it; between demonstrations an empty line will do"
    ),
}
_CHINESE = re.compile(r"[\u3400-\u9fff]")
_GLUE = re.compile(r"[A-Za-z0-9.,:;!?)]\Z")  # what a space follows, before a word
LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")


def false_mask(sheet: Sheet) -> Iterator[Flaw]:
    """The blanks of some models, written as text."""
    for place, text in sheet.literals():
        for token in dict.fromkeys(_FALSE_MASK.findall(text)):
            yield Flaw(codes.FALSE_MASK, f"{token!r} is plain text", "write {mask} for the blank", place)


def special_token(sheet: Sheet) -> Iterator[Flaw]:
    """Special tokens that are no blank, in the text and between demonstrations."""
    for place, text in [*sheet.literals(), (("separator",), sheet.template.spec.separator)]:
        yield from special_tokens(place, text)


def wide_brace(sheet: Sheet) -> Iterator[Flaw]:
    """Braces of a Chinese keyboard around a name."""
    for place, text in sheet.literals():
        for said in re.findall(r"[{｛]\w+[}｝]", text):
            if "｛" in said or "｝" in said:
                yield Flaw(codes.WIDE_BRACE, f"{said!r} is plain text", f"write {{{said[1:-1]}}}", place)


def typed_text(sheet: Sheet) -> Iterator[Flaw]:
    """What went wrong when a text was typed or copied."""
    for place, text in [*sheet.literals(), (("separator",), sheet.template.spec.separator)]:
        yield from backslash(place, text)
        yield from hidden_characters(place, text)


def edge_of_text(sheet: Sheet) -> Iterator[Flaw]:
    """White space at the beginning or end."""
    for place, text in sheet.literals():
        if text.strip() and text != text.strip():
            end = text != text.rstrip()
            what = f"the text {'ends' if end else 'begins'} with {_space(text[-1] if end else text[0])}"
            yield Flaw(codes.EDGE_OF_TEXT, what, "write |- for |" if text.endswith("\n") else "remove it", place)


def spaces_before_mask(sheet: Sheet) -> Iterator[Flaw]:
    """White space that a causal model would have to read as part of the word."""
    before = sheet.before_blank()
    space = before[len(before.rstrip(" \t\u3000")) :]
    if not sheet.template.kind.left_to_right or not space:
        return
    if space != " ":
        what = f"{len(space)} spaces" if set(space) == {" "} else _space(space[-1])
        yield Flaw(codes.SPACES_BEFORE_MASK, f"{what} before the blank", "leave one space, or none", ("text",))
    elif sheet.words and all(map(_CHINESE.match, sheet.words)):
        yield Flaw(codes.SPACES_BEFORE_MASK, "a space before Chinese words", "remove it", ("text",))


def glued_mask(sheet: Sheet) -> Iterator[Flaw]:
    """No space between what is read from left to right and an English word."""
    before, words = sheet.before_blank(), list(filter(LATIN.match, sheet.words))
    if sheet.template.kind.left_to_right and words and _GLUE.search(before):
        what = f"no space between {before[-8:].strip()!r} and the word, as in {(before[-8:] + words[0]).strip()!r}"
        yield Flaw(codes.GLUED_MASK, what, "put a space before {mask}", ("text",))


def run_together(sheet: Sheet) -> Iterator[Flaw]:
    """Demonstrations of several lines, parted by one line break."""
    keys = sheet.template.spec
    if sheet.template.kind.left_to_right and "\n" in str(keys.text).strip() and keys.separator == "\n":
        hint = r'add a line: separator: "\n\n"'
        yield Flaw(codes.RUN_TOGETHER, "several lines, and one line break between demonstrations", hint, ("text",))


def ordered_labels(sheet: Sheet) -> Iterator[Flaw]:
    """Labels of a pair that other YAML readers take for something else."""
    yield from yaml_words(sheet.source, ("ordered",))


def special_tokens(place: Place, text: str) -> Iterator[Flaw]:
    """A special token that is text; each is told once, by the first family that knows it."""
    told: set[str] = set()
    for pattern, hint in _SPECIAL.items():
        for token in dict.fromkeys(re.findall(pattern, text)):
            if token not in told:
                yield Flaw(codes.SPECIAL_TOKEN, f"{token!r} is plain text", hint, place)
            told.add(token)


def backslash(place: Place, text: str) -> Iterator[Flaw]:
    r"""A \n that YAML did not read as a line break."""
    if found := re.search(r"\\[nt]", text):
        yield Flaw(codes.BACKSLASH, f"'{found[0]}' is a backslash and a letter here", "use double quotes", place)


def hidden_characters(place: Place, text: str) -> Iterator[Flaw]:
    """Characters that nobody sees."""
    for sign in dict.fromkeys(c for c in text if c == "\u00a0" or unicodedata.category(c) in ("Cf", "Cc", "Co")):
        if sign not in "\n\t":
            what = f"a character that nobody sees, U+{ord(sign):04X} ({unicodedata.name(sign, 'no name').lower()})"
            yield Flaw(codes.HIDDEN_CHARACTER, what, "remove it, or type a plain space", place)


def no_odds(sheet: Sheet) -> Iterator[Flaw]:
    """Several labels under a scorer that does not say how likely each is by itself."""
    if sheet.template.several and not sheet.template.kind.odds:
        what = f"labels: several under scorer {sheet.scorer}, whose scores are no odds"
        yield Flaw(codes.NO_ODDS, what, "classify needs --threshold or --dev FILE", ("labels",))


def _space(sign: str) -> str:
    return {"\n": "a line break", " ": "a space", "\t": "a tab", "\u3000": "a full-width space"}.get(
        sign, "white space"
    )


def yaml_words(source: Source, root: Place) -> Iterator[Flaw]:
    """Unquoted scalars at or under a place that are no text to others."""
    meant = {"bool": "a truth value", "null": "nothing", "timestamp": "a date"}
    for place, kind in source.typed.items():
        value = place[-2] if place[-1:] == (KEY,) else value_at(source.data, place)
        if kind in meant and place[: len(root)] == root and value:
            what = f"other YAML readers take {value} for {meant[kind]}"
            yield Flaw(codes.YAML_WORD, what, f"write '{value}'", tuple(step for step in place if step != KEY))


def value_at(data: Any, place: Place) -> Any:
    """The value at a place of plain data; None where there is none."""
    for step in place:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data


RULES: list[Callable[[Sheet], Iterator[Flaw]]] = [
    false_mask,
    special_token,
    wide_brace,
    typed_text,
    edge_of_text,
    spaces_before_mask,
    glued_mask,
    run_together,
    ordered_labels,
    no_odds,
]
