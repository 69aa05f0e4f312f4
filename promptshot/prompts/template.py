"""Templates: a row and label words in, a Prompt out.

The mini-grammar is `{field}`, one `{mask}`, `{{` and `}}`. A template is parsed once and filled in one
pass: what a row says is never parsed again, so a literal "[MASK]" or "{text}" inside a row stays text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from promptshot.errors import OptionError, RowError, TemplateError
from promptshot.kinds import KINDS, ScorerKind, ScorerName
from promptshot.prompts import codes, strict
from promptshot.prompts.codes import NO_LINES, Flaw, Lines, Place
from promptshot.rows.row import Row
from promptshot.scoring import ASSISTANT, SYSTEM, USER, Cut, Kind, MultiToken, Piece, Prompt, Scope

MASK = "mask"
NO_SEPARATOR = "\n"  # between filled sentences of a cloze, where its template says that nothing is
_BRACE = re.compile(r"\{\{|\}\}|\{([^\W\d][\w.\- ]*)\}|[{}]")  # doubled, a name within, or stray


class FieldSpec(strict.Spec):
    """What happens to a field before it is filled in."""

    join: str | None = Field(default=None, description="What stands between the items of a list.")
    hole: str | None = Field(default=None, min_length=1, description="The marker in the field that becomes the blank.")
    cut: Cut = Field(default="tail", description="Which end of a text that is too long goes.")
    cut_order: int = Field(default=0, description="Fields of the lowest number give way first.")


_NO_RULE = FieldSpec()


class ChatSpec(strict.Spec):
    """How a template is put to a model that was made for chats: all before the blank is asked by the user."""

    system: str = Field(default="", description="The system text; the checkpoint's own stands where none is said.")
    answer: str = Field(
        default="", description="The end of the text before {mask} that already belongs to the answer: Topic:, say."
    )
    demonstrations: Literal["turns", "message"] = Field(
        default="turns", description="As earlier questions and answers, or all in the one message."
    )


class TemplateSpec(strict.Spec):
    """The keys of a template file."""

    scorer: ScorerName = Field(description="; ".join(f"{kind.name}: {kind.short}" for kind in KINDS.values()) + ".")
    text: str | list[str] = Field(description="{mask} is the blank, {name} a field; two segments as a list [A, B].")
    verbalizer: str | dict[str, Any] | None = Field(
        default=None, description="A name, a path, or labels with their words."
    )
    example: dict[str, Any] = Field(default_factory=dict, description="A row of your own, with its label.")
    about: str = Field(default="", description="One line for lists.")
    source: str = Field(default="", description="Where the pattern comes from.")
    separator: str = Field(default="\n", description="What stands between demonstrations.")
    fields: dict[str, FieldSpec] = Field(default_factory=dict, description="What happens to a field on its way in.")
    direction: Literal["direct", "channel"] = Field(
        default="direct", description="channel: score the text given the label."
    )
    normalize: Literal["sum", "mean"] | None = Field(default=None, description="How a word's tokens become one score.")
    multi_token: MultiToken = Field(
        default="independent",
        description="What the tokens of a word in a cloze know of one another: independent, left-to-right, or "
        "pseudo-log-likelihood.",
    )
    label_field: str = Field(default="label", description="The field with the gold label.")
    labels: Literal["one", "several"] = Field(
        default="one", description="several: a row may have several labels, or none; each is judged by itself."
    )
    label_separator: str | None = Field(
        default=None, min_length=1, description="What stands between several labels in a text."
    )
    words_from: str | list[str] | None = Field(
        default=None, description="The field with a row's own label words as a list, or a column for each of them."
    )
    ordered: list[str] | None = Field(
        default=None, description="Labels of a pair (nsp), from the lowest score to the highest."
    )
    prior: list[float] | None = Field(default=None, description="The expected share of each label of ordered.")
    chat: ChatSpec | None = Field(
        default=None, description="For models made for chats, by the checkpoint's own template; {} is as usual."
    )


@dataclass(frozen=True)
class _Part:
    """A parsed stretch of template text: literal text, a field, or the blank."""

    kind: Kind
    text: str = ""


@dataclass(frozen=True)
class Template:
    """A parsed template. Make one with `Template.load`, `Template.of` or `library.template`."""

    name: str
    spec: TemplateSpec
    where: str = ""
    segments: tuple[tuple[_Part, ...], ...] = field(default=(), repr=False)
    path: Path | None = None

    @classmethod
    def load(cls, path: Path) -> Template:
        """The template in a YAML file; raises TemplateError with file:line."""
        data, lines = strict.load_yaml(path, TemplateError)
        made = strict.build(data, TemplateSpec, TemplateError, str(path), lines)
        return replace(cls.of(made, path.stem, str(path), lines), path=path)

    @classmethod
    def of(cls, made: TemplateSpec, name: str, where: str = "", lines: Lines = NO_LINES) -> Template:
        """A template from its keys; `where` and the line of the key are put before a complaint."""
        template, flaws = cls.examined(made, name, where, lines)
        for flaw in flaws:
            raise flaw.error(TemplateError, where or name, lines)
        return template

    @classmethod
    def examined(
        cls, made: TemplateSpec, name: str, where: str = "", lines: Lines = NO_LINES
    ) -> tuple[Template, list[Flaw]]:
        """The same with all its flaws; with any, nothing should be rendered."""
        flaws = list(_clashes(made))
        texts = made.text if isinstance(made.text, list) else [made.text]
        places: list[Place] = [("text", i) for i in range(len(texts))] if isinstance(made.text, list) else [("text",)]
        segments = tuple(tuple(parse(text, flaws, at)) for text, at in zip(texts, places, strict=True))
        line = lines.get(("text",))
        template = cls(name, made, f"{where}:{line}" if line else where or name, segments)
        return template, flaws or list(template._blanks())

    @cached_property
    def kind(self) -> ScorerKind:
        """The kind of scorer that it is for."""
        return KINDS[self.spec.scorer]

    @cached_property
    def several(self) -> bool:
        """Whether a row may have several labels."""
        return self.spec.labels == "several"

    def judging(self, several: bool, separator: str | None = None) -> Template:
        """The same, for `several` labels where that is said; raises OptionError where it cannot be so, and for a
        `separator` of one label."""
        more: dict[str, Any] = {"labels": "several"} if several else {}
        more |= {"label_separator": separator} if separator else {}
        found = replace(self, spec=self.spec.model_copy(update=more)) if more else self
        if separator and not found.several:
            raise OptionError("--label-separator stands between several labels", hint="add --multi-label")
        for flaw in _clashes(found.spec) if several else ():
            raise OptionError(f"--multi-label: {self.name}: {flaw.what}", hint="take another template")
        return found

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """The fields that may stand in a row, in order of appearance; the label's is not among them."""
        names = [part.text for parts in self.segments for part in parts if part.kind is Kind.FIELD]
        return tuple(dict.fromkeys([*names, *self._words_from]))

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """Those that a row must have: of the columns with its own label words, the first two."""
        names = [part.text for parts in self.segments for part in parts if part.kind is Kind.FIELD]
        return tuple(dict.fromkeys([*names, *self._words_from[:2]]))

    @property
    def _words_from(self) -> list[str]:
        said = self.spec.words_from or []
        return [said] if isinstance(said, str) else said

    @cached_property
    def scored(self) -> Scope:
        """What a causal scorer sums over: the choice, what follows it, or both."""
        if self.spec.direction == "channel":
            return "rest"
        parts = self.segments[0]
        blank = self._blank(parts)
        follows = blank is not None and (parts[blank].kind is Kind.FIELD or blank < len(parts) - 1)
        return "choice+rest" if self.kind.left_to_right and follows else "choice"

    def chatting(self, chat: ChatSpec | None) -> Template:
        """The same put to a model that was made for chats; raises TemplateError where it cannot be."""
        return replace(Template.of(self.spec.model_copy(update={"chat": chat}), self.name, self.where), path=self.path)

    def render(self, row: Row, choices: Sequence[str], demos: Sequence[str | Piece] = ()) -> Prompt:
        """The prompt of one row; raises RowError when a field is missing or is no text.

        `demos` are finished demonstrations (see `demonstration`), oldest first; they stand before the text.
        """
        pieces = [Piece(Kind.DEMO, demo) if isinstance(demo, str) else demo for demo in demos]
        for part in self._steps:
            if isinstance(part, Piece):
                pieces.append(part)
            else:
                pieces.extend(self._filled(part, row))
        return Prompt(tuple(pieces), tuple(choices), self.scored, self.several, self.spec.multi_token)

    @cached_property
    def _steps(self) -> tuple[Piece | _Part, ...]:
        """What every prompt is made of, in order: the pieces that no row changes, and the fields to fill."""
        steps: list[Piece | _Part] = []
        for number, parts in enumerate(self.segments):
            steps += [Piece(Kind.BREAK)] if number else []
            steps += [part if part.kind is Kind.FIELD else Piece(part.kind, part.text) for part in parts]
        return tuple(self._in_turns(steps) if self.spec.chat else steps)

    def _in_turns(self, steps: Sequence[Piece | _Part]) -> list[Piece | _Part]:
        """The steps of a chat: what is asked, then the answer, of which the template may say the beginning.

        Article: {text}↵Topic: {mask}     user Article: {text}↵Topic:      assistant {mask}
        with the answer "Topic:"          user Article: {text}             assistant Topic: {mask}
        """
        chat = self.spec.chat
        assert chat is not None
        *asked, blank = steps
        begun = ""
        if chat.answer and isinstance(last := asked[-1], Piece):
            place = len(last.text.rstrip()) - len(chat.answer)
            asked[-1], begun = Piece(Kind.FIXED, last.text[:place].rstrip()), last.text[place:]
        system = [Piece(Kind.TURN, SYSTEM), Piece(Kind.FIXED, chat.system)] if chat.system else []
        answer = [Piece(Kind.TURN, ASSISTANT), *([Piece(Kind.FIXED, begun)] if begun else []), blank]
        return [*system, Piece(Kind.TURN, USER), *asked, *answer]

    def fill(self, row: Row, word: str) -> str:
        """One demonstration: the row's text with the word in the blank, its segments as one, and the separator."""
        plain = replace(self, spec=self.spec.model_copy(update={"chat": None})) if self.spec.chat else self
        pieces = plain.render(row, (word,)).pieces
        shown = [word if p.kind is Kind.MASK else " " if p.kind is Kind.BREAK else p.text for p in pieces]
        return "".join(shown) + (self.spec.separator or ("" if self.kind.left_to_right else NO_SEPARATOR))

    def demonstration(self, row: Row, word: str) -> Piece:
        """A row with the word in its blank, as it stands before others: its text, or what was asked and answered."""
        if self.spec.chat is None or self.spec.chat.demonstrations == "message":
            return Piece(Kind.DEMO, self.fill(row, word))
        turns: dict[str, str] = {}
        for piece in self.render(row, (word,)).pieces:
            if piece.kind is Kind.TURN:
                whose = piece.text
            else:
                turns[whose] = turns.get(whose, "") + (word if piece.kind is Kind.MASK else piece.text)
        return Piece(Kind.DEMO, turns[USER].strip(), answer=turns[ASSISTANT].strip())

    def _filled(self, part: _Part, row: Row) -> list[Piece]:
        """A field as the row says it: one piece, or the two around its hole."""
        rule = self.spec.fields.get(part.text, _NO_RULE)
        text = row.text(part.text, rule.join)
        as_piece = Piece(Kind.FIELD, text, rule.cut, rule.cut_order)
        if rule.hole is None:
            return [as_piece]
        left, marker, right = text.partition(rule.hole)
        if not marker:
            raise RowError(f"field {part.text!r} has no {rule.hole!r}", where=row.source, hint="the blank goes there")
        blank = Kind.HOLE if self._has_mask else Kind.MASK
        # What is far from the blank gives way first.
        return [replace(as_piece, text=left, cut="head"), Piece(blank), replace(as_piece, text=right)]

    @property
    def _has_mask(self) -> bool:
        return any(part.kind is Kind.MASK for parts in self.segments for part in parts)

    def _blank(self, parts: Sequence[_Part]) -> int | None:
        """Where the blank stands among the parts of a segment."""
        for i, part in enumerate(parts):
            if part.kind is Kind.MASK or (self._is_hole(part) and not self._has_mask):
                return i
        return None

    def _is_hole(self, part: _Part) -> bool:
        rule = self.spec.fields.get(part.text) if part.kind is Kind.FIELD else None
        return rule is not None and rule.hole is not None

    def _blanks(self) -> Iterator[Flaw]:
        """What is wrong with the blank and the fields."""
        masks = sum(part.kind is Kind.MASK for parts in self.segments for part in parts)
        fields = {part.text for parts in self.segments for part in parts if part.kind is Kind.FIELD}
        holes = sum(self._is_hole(part) for parts in self.segments for part in parts)
        blanks = [self._blank(parts) is not None for parts in self.segments]
        text = ("text",)
        for name in self.spec.fields:
            if name not in fields:
                what = f"fields: {name!r} does not occur in the text"
                yield Flaw(codes.UNUSED_FIELD, what, f"use {{{name}}}", ("fields", name))
        if masks > 1:
            yield Flaw(codes.TWO_MASKS, f"{masks} blanks", "keep one {mask}", text)
        if holes > 1:
            yield Flaw(codes.BAD_HOLE, f"{holes} holes", "keep one field with a hole, used once", text)
        if holes and masks and not self.kind.holes:
            what = f"a hole beside {{mask}} means nothing to scorer {self.spec.scorer}"
            yield Flaw(codes.BAD_HOLE, what, "remove {mask}: the hole is the blank", text)
        if self.spec.ordered and any(blanks):
            yield Flaw(codes.MASK_IN_PAIR, "a pair with 'ordered' has no blank", "remove {mask} or 'ordered'", text)
        if not self.spec.ordered and not any(blanks):
            yield Flaw(codes.NO_MASK, "no blank", "put {mask} where the label word goes", text)
        if not fields:
            yield Flaw(codes.NO_FIELD, "no field", "put {text} where the row's text goes", text)
        elif self.spec.chat is not None and any(blanks) and not masks + holes > 1:
            yield from self._chat_flaws(self.spec.chat)
        elif self.spec.direction == "channel" and any(blanks):
            after = self.segments[0][(self._blank(self.segments[0]) or 0) + 1 :]
            if not any(part.kind is Kind.FIELD for part in after):
                what = "direction: channel scores the text after the blank, and no field stands there"
                yield Flaw(codes.NOTHING_TO_SCORE, what, "put {mask} before {text}", text)

    def _chat_flaws(self, chat: ChatSpec) -> Iterator[Flaw]:
        """What keeps it from being put to a model as a chat."""
        clash, (*asked, blank) = codes.CLASHING_KEYS, self.segments[0]
        if self.scored != "choice" or blank.kind is not Kind.MASK:
            what = "chat: only the words at the blank are scored, and the template scores a text behind it"
            yield Flaw(clash, what, "let {mask} be its end, without direction: channel", ("chat",))
        elif not asked:
            yield Flaw(clash, "chat: nothing is asked before the blank", "put {mask} behind the text", ("chat",))
        elif chat.answer and not (asked[-1].kind is Kind.FIXED and asked[-1].text.rstrip().endswith(chat.answer)):
            what = f"chat: the text before the blank does not end with the answer's beginning, {chat.answer!r}"
            yield Flaw(clash, what, "write what stands right before {mask}", ("chat", "answer"))
        elif chat.answer != chat.answer.strip():
            yield Flaw(clash, "chat: white space around the answer's beginning", "leave it out", ("chat", "answer"))


def _kinds(trait: str) -> str:
    """The kinds of scorer that have a trait, for people."""
    return " or ".join(name for name, kind in KINDS.items() if getattr(kind, trait))


def _clashes(made: TemplateSpec) -> Iterator[Flaw]:
    """Keys that do not go together."""
    kind, two = KINDS[made.scorer], isinstance(made.text, list)
    if isinstance(made.text, list) and len(made.text) != 2:
        what = f"text: {len(made.text)} segments"
        yield Flaw(codes.SEGMENTS, what, "a list means two: [A, B]", ("text",))
    elif not two and 1 not in kind.segments:
        what = f"scorer {kind.name} compares two segments"
        yield Flaw(codes.SEGMENTS, what, "write text as a list of two: [A, B]", ("text",))
    elif two and 2 not in kind.segments:
        yield Flaw(codes.SEGMENTS, f"scorer {kind.name} reads one text", "write text as one string", ("text",))
    clash = codes.CLASHING_KEYS
    if made.direction == "channel" and not kind.left_to_right:
        yield Flaw(clash, f"direction: channel is for scorer {_kinds('left_to_right')}", "remove it", ("direction",))
    if made.chat is not None and not kind.left_to_right:
        yield Flaw(clash, f"chat is for scorer {_kinds('left_to_right')}", "remove it", ("chat",))
    if made.normalize and kind.margin:
        yield Flaw(clash, f"normalize has no meaning for scorer {kind.name}", "remove it", ("normalize",))
    if made.multi_token != "independent" and not kind.masks:
        yield Flaw(clash, f"multi_token is for scorer {_kinds('masks')}", "remove it", ("multi_token",))
    if made.ordered and not kind.margin:
        yield Flaw(clash, f"ordered is for pairs under scorer {_kinds('margin')}", "remove it", ("ordered",))
    if made.ordered is not None and len(set(made.ordered)) < max(2, len(made.ordered)):
        yield Flaw(codes.FEW_LABELS, "ordered needs at least two labels, each once", "", ("ordered",))
    sources = [made.verbalizer is not None, made.words_from is not None, made.ordered is not None]
    if sum(sources[1:]) > 1 or (made.words_from is not None and made.verbalizer):
        yield Flaw(clash, "words_from stands alone", "remove verbalizer and ordered", ("words_from",))
    if isinstance(made.words_from, list) and len(set(made.words_from)) < max(2, len(made.words_from)):
        yield Flaw(codes.FEW_LABELS, "words_from needs at least two columns, each once", "", ("words_from",))
    if made.labels == "several":
        alone = {"ordered": made.ordered, "words_from": made.words_from, "direction": made.direction == "channel"}
        for name in (name for name, said in alone.items() if said):
            what = f"labels: several asks for each label by itself, and {_WHY_ONE[name]}"
            yield Flaw(clash, what, f"remove {name} or 'labels'", ("labels",))
    elif made.label_separator is not None:
        yield Flaw(clash, "label_separator is for labels: several", "remove it", ("label_separator",))
    if made.prior is None:
        return
    if not (min(made.prior, default=0) > 0 and abs(sum(made.prior) - 1) <= 1e-6):
        what = "prior: not a distribution"
        yield Flaw(codes.BAD_PRIOR, what, "give one positive number a label, with sum 1", ("prior",))
    elif len(made.prior) != len(made.ordered or ()):
        yield Flaw(codes.BAD_PRIOR, "prior needs one number for each label of ordered", "", ("prior",))


# Why a row has one label.
_WHY_ONE = {
    "ordered": "the one score of a pair gives it one",
    "words_from": "words of a row's own have no thresholds",
    "direction": "in direction: channel a score grows with the text, so that no threshold suits two rows",
}


def parse(text: str, flaws: list[Flaw], place: Place = ()) -> list[_Part]:
    """Template text as parts; a stray brace stays text, and is one more of the flaws, with its column.

    One look at every character, for a text may hold a million braces.
    """
    parts: list[_Part] = []
    literal: list[str] = []
    i, last = 0, text.rfind("}")
    while found := _BRACE.search(text, i):
        start, sign, name = found.start(), found[0], found[1]
        literal.append(text[i:start])
        i = found.end()
        if name is not None:
            parts.extend([_Part(Kind.FIXED, fixed)] if (fixed := "".join(literal)) else [])
            parts.append(_Part(Kind.MASK) if name == MASK else _Part(Kind.FIELD, name))
            literal = []
        elif len(sign) == 2:
            literal.append(sign[0])
        else:
            end = start if sign == "}" else text.find("}", start) if start < last else -1
            if len(flaws) < strict.TOLD:
                flaws.append(_stray_brace(text, start, end, place))
            i = max(end, start) + 1
            literal.append(text[start:i])
    fixed = "".join([*literal, text[i:]])
    return parts + ([_Part(Kind.FIXED, fixed)] if fixed else [])


def is_name(text: str) -> bool:
    """Whether a field can be called so, between braces."""
    return text != MASK and _BRACE.fullmatch(f"{{{text}}}") is not None


def _stray_brace(text: str, start: int, end: int, place: Place) -> Flaw:
    shown = text[start : end + 1] if end >= start else text[start : start + 20]
    what = f"{shown!r} at column {start + 1} is neither a field nor the blank"
    hint = "write {name} for a field, {mask} for the blank, {{ and }} for braces"
    return Flaw(codes.STRAY_BRACE, what, hint, place)


_TYPED = {r"\n": ("\n", "a line break"), r"\t": ("\t", "a tab"), r"\\": ("\\", "a backslash")}
_ESCAPE = re.compile(r"\\[nt\\]")


def typed(text: str) -> tuple[str, str]:
    r"""Template text as typed in a shell, where `\n` is a line break and `\\` a backslash; and what was read so."""
    read = ", ".join(f"{sign} taken as {_TYPED[sign][1]}" for sign in dict.fromkeys(_ESCAPE.findall(text)))
    return _ESCAPE.sub(lambda sign: _TYPED[sign[0]][0], text), read


def example_row(template: Template) -> Row:
    """The template's own example as a row (its label left in)."""
    fields: Mapping[str, Any] = template.spec.example
    return Row(dict(fields), f"{template.name}: example")
