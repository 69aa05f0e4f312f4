"""Rules of lint that ask a model's tokenizer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from promptshot.authoring.lint.sheet import Sheet, Spelling
from promptshot.authoring.lint.text import LATIN
from promptshot.errors import shortlist
from promptshot.kinds import with_heads
from promptshot.prompts import codes
from promptshot.prompts.codes import Flaw, Place
from promptshot.prompts.template import Template
from promptshot.prompts.verbalizer import Verbalizer
from promptshot.rows.row import Row
from promptshot.scoring import Kind, Piece, Prompt

_NO_SPACE = re.compile(r"[(\[{<\"'`“‘«（［【《〈「『#@/\\*_=|~+-]\Z")  # what none follows


def other_scorer(sheet: Sheet) -> Iterator[Flaw]:
    """The model is made for another scorer."""
    if sheet.spelling and sheet.scorer not in sheet.spelling.kinds:
        made = shortlist(sorted(with_heads(sheet.spelling.kinds)))
        what = f"the model is made for {made}, the template for {sheet.scorer}"
        yield Flaw(codes.OTHER_SCORER, what, "lint it with a model of its own", ("scorer",))


def too_long(sheet: Sheet) -> Iterator[Flaw]:
    """The template leaves no room for a row."""
    if sheet.spelling and sheet.scorer in sheet.spelling.kinds:
        words = [""] if sheet.template.spec.ordered else sheet.words or ["a"]  # rows bring no shorter one
        prompt = sheet.template.render(_shortest_row(sheet.template), words)
        if reason := sheet.spelling.misfit(sheet.scorer, prompt):
            yield Flaw(codes.TOO_LONG, reason, "shorten the text, or take another model", ("text",))


def spelled_words(sheet: Sheet) -> Iterator[Flaw]:
    """How the tokenizer spells the label words where the template has them."""
    template, verbalizer, spelling, words = sheet.template, sheet.verbalizer, sheet.spelling, sheet.words
    if not (spelling and verbalizer and words) or template.spec.ordered or sheet.scorer not in spelling.kinds:
        return
    place = ("verbalizer",)
    for flaw in refused_words(verbalizer, spelling):
        yield replace(flaw, place=place if sheet.base is None else (*sheet.base, *flaw.place))
    if template.kind.margin or template.scored == "rest":
        return  # the words are not what is scored
    tokens_of = spelling.spelled(sheet.scorer, template.render(_shortest_row(template), words))
    if split := {word: tokens for word, tokens in zip(words, tokens_of, strict=True) if len(tokens) > 1}:
        what = f"{len(split)} of {len(words)} words have several tokens: {_spellings(split)}"
        yield Flaw(codes.SPLIT_WORD, what, "", place)
    lengths = sorted(set(map(len, tokens_of)))
    if len(lengths) > 1:
        what = f"words have from {lengths[0]} to {lengths[-1]} tokens"
        how = template.spec.normalize or ("mean" if template.kind.means else "sum")
        yield Flaw(codes.UNEQUAL_WORDS, what, f"a word's score is the {how} over them", place)
    before = sheet.before_blank()
    if not (sheet.begins or before[-1:].isspace()):
        hint = "" if _NO_SPACE.search(before) else "a space before {mask} where the language has one"
        yield from (replace(flaw, hint=hint) for flaw in _after_a_space(sheet.scorer, words, spelling, place))


def refused_words(verbalizer: Verbalizer, spelling: Spelling) -> Iterator[Flaw]:
    """Words that classify will refuse."""
    label_of = {word: label for label, words in verbalizer.labels.items() for word in words}
    hint = "choose another word, or another model"
    for word in spelling.unknown(list(label_of)):
        what = f"the tokenizer does not know the word {word!r}"
        yield Flaw(codes.UNKNOWN_WORD, what, hint, ("labels", label_of[word]))
    for one, other in spelling.alike(list(label_of)):
        if label_of[one] != label_of[other]:
            what = f"the tokenizer spells {one!r} and {other!r} the same"
            yield Flaw(codes.ALIKE_WORDS, what, hint, ("labels", label_of[other]))


def _after_a_space(scorer: str, words: Sequence[str], spelling: Spelling, place: Place) -> Iterator[Flaw]:
    """Words whose tokens differ behind a space; in Chinese no space is expected."""
    latin = [word for word in words if LATIN.match(word)]

    def behind(text: str) -> list[tuple[str, ...]]:
        prompt = Prompt((Piece(Kind.FIXED, text), Piece(Kind.MASK)), tuple(latin))
        return spelling.spelled(scorer, prompt) if latin else []

    pairs = zip(latin, behind("a"), behind("a "), strict=True)
    apart = {word: (*one, "→", *two) for word, one, two in pairs if one != two}
    if apart:
        what = f"{len(apart)} words have other tokens behind a space: {_spellings(apart)}"
        yield Flaw(codes.SPACE_MATTERS, what, place=place)


def _spellings(spelled: Mapping[str, Sequence[str]], most: int = 4) -> str:
    shown = [f"{word} = {' '.join(tokens)}" for word, tokens in list(spelled.items())[:most]]
    return ", ".join(shown) + (f" and {len(spelled) - most} more" if len(spelled) > most else "")


def _shortest_row(template: Template) -> Row:
    """A row whose fields are as short as they may be."""
    rules = template.spec.fields
    return Row({name: "a" + ((rules[name].hole or "") if name in rules else "") for name in template.needs})


RULES: list[Callable[[Sheet], Iterator[Flaw]]] = [other_scorer, too_long, spelled_words]
