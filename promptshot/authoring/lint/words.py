"""Rules of lint about labels and their words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator

from promptshot.authoring.lint.sheet import Words
from promptshot.authoring.lint.text import backslash, hidden_characters, special_tokens, value_at, yaml_words
from promptshot.errors import shortlist
from promptshot.prompts import codes
from promptshot.prompts.codes import Flaw

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")


def gold_gap(words: Words) -> Iterator[Flaw]:
    """Numbers for some labels only: data sets number all of their labels or none."""
    gold, names = words.verbalizer.gold, words.verbalizer.names
    numbered = {label for label, said in gold.items() if any(_NUMBER.fullmatch(value.strip()) for value in said)}
    lacking = [label for label in names if label not in numbered]
    if numbered and lacking and set(gold) <= set(names):  # else it is a misspelt name that lacks
        what = f"gold has no number for {shortlist(lacking)}"
        yield Flaw(codes.GOLD_GAP, what, "add it, or remove the others", (*words.base, "gold"))


def number_label(words: Words) -> Iterator[Flaw]:
    """Labels that are numbers."""
    for label in words.verbalizer.names:
        if _NUMBER.fullmatch(label.strip()):
            hint = f"name it, and write gold: {{NAME: [{label}]}}"
            yield Flaw(codes.NUMBER_LABEL, f"the label {label!r} is a number", hint, (*words.base, "labels", label))


def yaml_word(words: Words) -> Iterator[Flaw]:
    """Labels, words and spellings that other YAML readers take for something else."""
    for key in ("labels", "gold"):
        yield from yaml_words(words.source, (*words.base, key))


def typed_word(words: Words) -> Iterator[Flaw]:
    """What went wrong when a word was typed or copied."""
    for place, word in words:
        yield from backslash(place, word)
        yield from hidden_characters(place, word)
        yield from special_tokens(place, word)
        if word.strip() and word != word.strip():
            yield Flaw(codes.EDGE_OF_WORD, f"white space around the word {word!r}", "remove it", place)


def repeated_word(words: Words) -> Iterator[Flaw]:
    """The same word twice under one label."""
    for label in words.verbalizer.names:
        place = (*words.base, "labels", label)
        said = value_at(words.source.data, place)
        counts = Counter(said) if isinstance(said, list) else {}
        for word in (word for word, count in counts.items() if count > 1):
            yield Flaw(codes.REPEATED_WORD, f"the word {word!r} stands twice", "keep one of them", place)


RULES: list[Callable[[Words], Iterator[Flaw]]] = [gold_gap, number_label, yaml_word, typed_word, repeated_word]
