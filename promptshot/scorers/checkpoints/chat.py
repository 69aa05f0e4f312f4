"""Chats as a checkpoint writes them down itself: its own template, rendered once, around the texts of a prompt.

The template is asked with marks in the place of texts, and what it writes around these is kept:

    template     <|im_start|>user↵(1)<|im_end|>↵<|im_start|>assistant↵
    skeleton     <|im_start|>user↵   |   <|im_end|>↵<|im_start|>assistant↵
    parts        <|im_start|>   user↵ text of the row   <|im_end|>   ↵   <|im_start|>   assistant↵ word

Special tokens are looked for in what the template wrote, never in a text of a prompt. What stands between two of them
is tokenized at once, as the tokenizer does it; that it comes to the same ids is tried before anything is scored.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Any

from transformers.utils import chat_template_utils

from promptshot.errors import shortened
from promptshot.scorers.checkpoints import suspect
from promptshot.scorers.checkpoints.encoder import Encoder, Ids, TextEncoder, Unfit
from promptshot.scoring import ASSISTANT, SYSTEM, USER, Kind, Piece

MARK = "\ue0c7"  # of private use, so that no template writes it
# How templates are told not to think aloud first; those that do not ask for it take no notice.
THINKING = ("enable_thinking", "thinking")
DAY = datetime(2024, 7, 26)  # of templates that tell what day it is: scores must not depend on when they are made
LARGEST = 1 << 20  # characters of a skeleton
LINE = "\n\n"  # between a system text and a message, where a template has no turn for the first

Message = dict[str, str]


@dataclass(frozen=True)
class Run:
    """Text that is tokenized at once. `first` is whether a sequence begins with it; some special tokens swallow white
    space beside them."""

    pieces: tuple[Piece, ...]
    first: bool = False
    after: bool = False  # a token that takes white space behind it
    before: bool = False  # a token that takes white space before it

    @property
    def text(self) -> str:
        said = "".join(piece.text for piece in self.pieces)
        said = said.lstrip() if self.after else said
        return said.rstrip() if self.before else said


@dataclass(frozen=True)
class Skeleton:
    """What a template writes before, between and behind texts; the numbers of these in the order in which they stand,
    for some templates put the system text before the last message; and whether it is part of the first message."""

    texts: tuple[str, ...]
    order: tuple[int, ...]
    joined: bool = False


class Chat:
    """The template of a checkpoint and its special tokens."""

    def __init__(self, encoder: Encoder) -> None:
        """Raises Unfit where the checkpoint has no template, or one that cannot be used."""
        tokenizer = encoder.tokenizer
        if not getattr(tokenizer, "chat_template", None):
            raise Unfit("the checkpoint has no template for chats")
        if not isinstance(encoder, TextEncoder) or not tokenizer.is_fast:
            raise Unfit("its tokenizer is a slow one, which cannot tell special tokens from text")
        self.encoder, self.tokenizer = encoder, tokenizer
        special = {token.content: (i, token) for i, token in tokenizer.added_tokens_decoder.items() if token.special}
        self.special = {text: i for text, (i, _) in special.items()}
        self.takes_after = {i for i, token in special.values() if token.rstrip}
        self.takes_before = {i for i, token in special.values() if token.lstrip}
        self._sign = re.compile("|".join(map(re.escape, sorted(self.special, key=len, reverse=True))) or r"\Z.")
        self._skeleton = lru_cache(maxsize=256)(self._made_skeleton)
        self.continuing = False  # whether text behind a special token is tokenized as going on
        self._prove()

    def parts(self, pieces: Sequence[Piece]) -> list[int | Run]:
        """The pieces of a prompt, up to its blank, as special tokens and runs of text; raises Unfit.

        The last is a run, on which the words go on.
        """
        shots = [piece for piece in pieces if piece.kind is Kind.DEMO]
        turns: dict[str, list[Piece]] = {}
        inline: list[Piece] = []  # demonstrations in the message
        for piece in pieces:
            if piece.kind is Kind.TURN:
                whose = turns.setdefault(piece.text, [])
            elif piece.kind is not Kind.DEMO:
                whose.append(piece)
            elif not piece.answer:
                inline.append(piece)
        turned = [piece for piece in shots if piece.answer]
        skeleton = self._skeleton(SYSTEM in turns, len(turned))
        asked = _stripped([*inline, *turns[USER]])
        contents = [[Piece(Kind.DEMO, text)] for piece in turned for text in (piece.text.strip(), piece.answer.strip())]
        contents.append(asked)
        if skeleton.joined:
            contents[0] = [*_stripped(turns[SYSTEM]), Piece(Kind.FIXED, LINE), *contents[0]]
        elif SYSTEM in turns:
            contents.insert(0, _stripped(turns[SYSTEM]))
        written: list[int | Piece] = []
        for text, content in zip(skeleton.texts, [*(contents[i] for i in skeleton.order), []], strict=True):
            written += [*self._signs(text), *content]
        return self._in_runs([*written, *turns[ASSISTANT]])

    def ids(self, part: int | Run) -> Ids:
        """The tokens of a part."""
        if isinstance(part, int):
            return [part]
        return self._tokens(part, part.text)

    def extended(self, last: Run, kept: str, ends: Sequence[str]) -> tuple[Ids, list[Ids]]:
        """The tokens of what is kept of the last run, and of it with each end."""
        if self.continuing and not last.first:
            return self._tokens(last, kept), [self._tokens(last, kept + end) for end in ends]
        return self.encoder.extended(kept, ends)

    def _tokens(self, run: Run, text: str) -> Ids:
        if not text:
            return []
        return self.encoder.continuing(text) if self.continuing and not run.first else self.encoder.ids(text)

    def _signs(self, text: str) -> Iterator[int | Piece]:
        """What a template wrote: special tokens, and the text between them."""
        place = 0
        for found in self._sign.finditer(text):
            yield from [Piece(Kind.FIXED, between)] if (between := text[place : found.start()]) else []
            yield self.special[found[0]]
            place = found.end()
        yield from [Piece(Kind.FIXED, rest)] if (rest := text[place:]) else []

    def _in_runs(self, written: Sequence[int | Piece]) -> list[int | Run]:
        """Neighbouring pieces together; at the end a run, be it empty."""
        found: list[int | Run] = []
        run: list[Piece] = []
        before: int | None = None  # the special token that a run follows

        def close(token: int | None) -> None:
            if run or token is None:
                first, after = not found, before in self.takes_after
                found.append(Run(tuple(run), first, after, token in self.takes_before))
                run.clear()

        for one in written:
            if isinstance(one, Piece):
                run.append(one)
                continue
            close(one)
            found.append(one)
            before = one
        close(None)
        return found

    # ---------------------------------------------------------------- the template

    def _made_skeleton(self, system: bool, shots: int) -> Skeleton:
        turns = [*([SYSTEM] if system else []), *(whose for _ in range(shots) for whose in (USER, ASSISTANT)), USER]
        try:
            return self._between(turns)
        except Unfit:
            if not system:
                raise
        return replace(self._between(turns[1:]), joined=True)

    def _between(self, turns: Sequence[str]) -> Skeleton:
        """What the template writes around the texts of these turns, up to where the answer begins.

        Two ways lead there: the prompt that it writes for an answer, and what it writes before one that is given. The
        longer of the two has what both have (a template without such a prompt; a channel that answers go to; thinking
        that is said to have been done); where neither begins with the other, the prompt holds.
        """
        messages = [{"role": whose, "content": _mark(i)} for i, whose in enumerate(turns)]
        asked, bare = self._rendered(messages, prompt=True), self._rendered(messages, prompt=False)
        answered = self._rendered([*messages, {"role": ASSISTANT, "content": _mark(len(turns))}], prompt=False)
        given, _, _ = answered.partition(_mark(len(turns)))
        texts, last = asked, _mark(len(turns) - 1)
        if _mark(len(turns)) in answered and (given.startswith(asked) or asked == bare):
            # Some write the system text before the last message only if that is the user's: then what stands before an
            # answer is all that is taken from the one that is given.
            lost = [whose for i, whose in enumerate(turns) if _mark(i) in asked and _mark(i) not in given]
            texts = asked.rpartition(last)[0] + last + given.rpartition(last)[2] if lost == [SYSTEM] else given
        order = sorted(range(len(turns)), key=lambda i: texts.find(_mark(i)))
        if any(_mark(i) not in texts for i in order) or not _in_order(order, turns):
            raise Unfit("its template for chats leaves out a message, or changes their order")
        found = []
        for i in order:
            before, _, texts = texts.partition(_mark(i))
            found.append(before)
        if MARK in (rest := "".join([*found, texts])):
            raise Unfit("its template for chats writes a message twice")
        if len(rest) > LARGEST:
            raise Unfit(f"its template for chats writes {len(rest):,} characters of its own")
        return Skeleton((*found, texts), tuple(order))

    def _rendered(self, messages: Sequence[Message], prompt: bool) -> str:
        """What the template writes; raises Unfit with what it, or the library, says where it cannot."""
        source = str(self.tokenizer.chat_template)
        quiet = {name: False for name in THINKING if name in source}
        try:
            with suspect.patience(), suspect.room(), _on_one_day():
                said = self.tokenizer.apply_chat_template(
                    list(messages), tokenize=False, add_generation_prompt=prompt, **quiet
                )
        except (Exception, suspect.OutOfPatience) as problem:
            why = str(problem).strip().splitlines()[:1] or [type(problem).__name__]
            raise Unfit(f"its template for chats fails: {shortened(why[0], 200)}") from None
        return str(said)

    def _prove(self) -> None:
        """Take the way to tokenize text behind a special token that comes to the ids of the whole; raises Unfit where
        neither does."""
        question, answer = "It rains on 12 days, 天气不好.", "Yes, it does."
        pieces = [
            Piece(Kind.DEMO, question, answer=answer),
            *(Piece(Kind.TURN, USER), Piece(Kind.FIXED, question), Piece(Kind.TURN, ASSISTANT)),
        ]
        try:
            parts = self.parts(pieces)
        except Unfit:  # roles that must be others, or only one message
            parts = self.parts(pieces[1:])
        text = "".join(self.tokenizer.convert_ids_to_tokens(p) if isinstance(p, int) else _whole(p) for p in parts)
        whole = self._as_one(text)
        for self.continuing in (False, True):
            if [token for part in parts for token in self.ids(part)] == whole:
                return
        raise Unfit("its tokenizer reads a chat otherwise as a whole than part by part")

    def _as_one(self, text: str) -> Ids:
        """The ids of a text in which special tokens are such."""
        backend = self.tokenizer.backend_tokenizer
        before, backend.encode_special_tokens = backend.encode_special_tokens, False
        try:
            found: Ids = backend.encode(text, add_special_tokens=False).ids
        finally:
            backend.encode_special_tokens = before
        return found


def _whole(run: Run) -> str:
    return "".join(piece.text for piece in run.pieces)


def _in_order(order: Sequence[int], turns: Sequence[str]) -> bool:
    """Whether turns stand as they came, but for the system's, and the last of them last."""
    told = [i for i in order if turns[i] != SYSTEM]
    return told == sorted(told) and order[-1] == len(turns) - 1


def _mark(number: int) -> str:
    return f"{MARK}{number}{MARK}"


def _stripped(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces of a message without white space around them: most templates leave it out themselves."""
    found = list(pieces)
    while found and not (text := found[0].text.lstrip()):
        del found[0]
    if found:
        found[0] = replace(found[0], text=text)
    while found and not (text := found[-1].text.rstrip()):
        del found[-1]
    if found:
        found[-1] = replace(found[-1], text=text)
    return found


class _Day(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> _Day:
        return cls(DAY.year, DAY.month, DAY.day, tzinfo=tz)


@contextlib.contextmanager
def _on_one_day() -> Iterator[None]:
    """What templates are told of the date is always the same."""
    there: Any = chat_template_utils
    before = there.datetime
    there.datetime = _Day
    try:
        yield
    finally:
        there.datetime = before
