"""The frames that put a text and a word together as a prompt does: 'It was {word}.' after a review.

A frame is a template as a user writes it; several ways to say the same, some of them on the shelf.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from training.words import Ids, Odds, Words

CLOZE = {
    "zh-review": ("{word}。{text}", "{text}{word}。", "感觉如何？{word}。{text}", "总的来说，{word}。{text}"),
    "en-review": (
        "{word}. {text}",
        "{text} It was {word}.",
        "A {word} film. {text}",
        "{text} In short, {word}.",
        "{text} Overall, it was {word}.",
    ),
    "zh-topic": (
        "下面报导一则{word}新闻。{text}",
        "这是关于{word}的文章：{text}",
        "{word}：{text}",
        "{text}（{word}）",
        "主题：{word}。{text}",
    ),
    "en-topic": (
        "This is {word} news: {text}",
        "{word}: {text}",
        "{text} This is about {word}.",
        "{word} news. {text}",
        "Topic: {word}. {text}",
    ),
}
PAIR = {
    "zh-review": ("这次买的东西{word}", "{word}", "总的来说，{word}", "感觉{word}"),
    "en-review": ("A {word} piece of work", "It was {word}.", "{word}", "A {word} film", "I think it is {word}"),
    "zh-topic": ("这是一则{word}新闻", "{word}", "这段话的主题是{word}", "下面报导一则{word}新闻"),
    "en-topic": ("This is {word} news", "{word}", "A text about {word}", "The topic is {word}"),
}
LINE = {
    "zh-review": ("{text}\n总的来说，我{word}", "{text}\n总的来说，{word}", "{text}\n感觉{word}", "{word}。{text}"),
    "en-review": (
        "{text} It was {word}",
        "Review: {text}\nSentiment: {word}",
        "{text}\nVerdict: {word}",
        "Opinion: {text}\nIn short, it is {word}",
        "{word}. {text}",
    ),
    "zh-topic": (
        "{text}\n这段内容的主题是{word}",
        "{text}\n主题：{word}",
        "这是关于{word}的文章：{text}",
        "{word}：{text}",
    ),
    "en-topic": (
        "Article: {text}\nTopic: {word}",
        "Text: {text}\nTopic: {word}",
        "{word} news: {text}",
        "{word}: {text}",
    ),
}


@dataclass(frozen=True)
class Frame:
    """A frame with its word as token ids, before and after the text; the word is `(before + after)[start:stop]`."""

    before: list[int]
    after: list[int]
    start: int
    stop: int
    last: bool  # the word stands behind the text
    kind: str
    pattern: str

    def around(self, text: list[int]) -> tuple[list[int], int]:
        """The whole prompt, and how far the text pushes the word back."""
        return self.before + text + self.after, len(text) if self.last else 0


@dataclass(frozen=True)
class Hint:
    """The tokens that may stand at a position, and how likely each is."""

    position: int
    tokens: Ids
    shares: Ids


class Frames:
    """Frames of one tokenizer, encoded when first drawn."""

    def __init__(self, tokenizer: Tokenizer, lists: dict[str, Words]) -> None:
        self._tokenizer = tokenizer
        self._lists = lists
        self._known: dict[tuple[str, str, str], Frame] = {}
        self._spelled: dict[tuple[str, str], Ids] = {}

    def cloze(self, kind: str, word: int, rng: np.random.Generator) -> Frame:
        """A text with a blank."""
        return self._draw(CLOZE[kind], kind, word, rng)

    def pair(self, kind: str, word: int, rng: np.random.Generator) -> Frame:
        """A sentence to stand as segment A; the text is segment B."""
        return self._draw(PAIR[kind], kind, word, rng)

    def line(self, kind: str, word: int, rng: np.random.Generator) -> Frame:
        """A text that runs from left to right."""
        return self._draw(LINE[kind], kind, word, rng)

    def hints(self, frame: Frame, first: int, odds: Odds) -> tuple[Hint, ...]:
        """What may stand at each token of a word `first` behind its frame's: the words of the pool with as many."""
        spelled = self._spellings(frame)[odds.words]
        fitting = (spelled >= 0).sum(axis=1) == frame.stop - frame.start
        shares = odds.shares[fitting] / odds.shares[fitting].sum()
        return tuple(Hint(first + i, spelled[fitting, i - frame.start], shares) for i in range(frame.start, frame.stop))

    def first_hint(self, frame: Frame, first: int, odds: Odds) -> Hint:
        """What may stand where that word begins, however many tokens it has."""
        return Hint(first + frame.start, self._spellings(frame)[odds.words, 0], odds.shares)

    def _spellings(self, frame: Frame) -> Ids:
        """The tokens of every word of the list in the place of the frame's (words x tokens), -1 behind the last."""
        key = frame.kind, frame.pattern
        if key not in self._spelled:
            found = [self._frame(*key, word) for word in self._lists[frame.kind].words]
            words = [(one.before + one.after)[one.start : one.stop] for one in found]
            table = np.full((len(words), max(map(len, words))), -1)
            for row, ids in zip(table, words, strict=True):
                row[: len(ids)] = ids
            self._spelled[key] = table
        return self._spelled[key]

    def _draw(self, choices: tuple[str, ...], kind: str, number: int, rng: np.random.Generator) -> Frame:
        pattern, word = choices[int(rng.integers(len(choices)))], self._lists[kind].words[number]
        return self._frame(kind, pattern, word)

    def _frame(self, kind: str, pattern: str, word: str) -> Frame:
        key = kind, pattern, word
        if key not in self._known:
            self._known[key] = self._encode(*key)
        return self._known[key]

    def _encode(self, kind: str, pattern: str, word: str) -> Frame:
        head, _, tail = pattern.partition("{text}")
        head = head.rstrip(" ")  # an English text brings its own space
        before, after = (self._tokenizer.encode(part.replace("{word}", word), add_special_tokens=False)
                         for part in (head, tail))  # fmt: skip
        last = "{word}" in tail
        inside, part = (after, tail) if last else (before, head)
        at = part.index("{word}")
        tokens = [i for i, (a, b) in enumerate(inside.offsets) if a < at + len(word) and b > at]
        shift = len(before.ids) if last else 0
        return Frame(before.ids, after.ids, shift + tokens[0], shift + tokens[-1] + 1, last, kind, pattern)
