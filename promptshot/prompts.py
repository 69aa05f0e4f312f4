"""Templates: a row and label words in, a Prompt out.

The mini-grammar is `{field}`, one `{mask}`, `{{` and `}}`. A template is parsed once and filled in one
pass: what a row says is never parsed again, so a literal "[MASK]" or "{text}" inside a row stays text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from promptshot import spec
from promptshot.errors import PromptshotError, RowError, TemplateError
from promptshot.rows import Row

Cut = Literal["tail", "head", "middle"]
ScorerName = Literal["mlm", "nsp", "causal"]
Scored = Literal["choice", "choice+rest", "rest"]

MASK = "mask"
_NAME = re.compile(r"[^\W\d][\w.\- ]*")


class Kind(Enum):
    """What a piece of a prompt is: fitting shortens FIELD, drops whole DEMO, touches nothing else."""

    FIXED = "fixed"
    FIELD = "field"
    MASK = "mask"
    HOLE = "hole"  # the place in segment text whose position ids the choice takes (nsp)
    BREAK = "break"  # between segments A and B
    DEMO = "demo"


@dataclass(frozen=True)
class Piece:
    """A stretch of a prompt; `cut` and `cut_order` say how a FIELD gives way (lowest order first)."""

    kind: Kind
    text: str = ""
    cut: Cut = "tail"
    cut_order: int = 0


@dataclass(frozen=True)
class Prompt:
    """The message that crosses to a scorer: pieces, the choices for the blank, and what is scored."""

    pieces: tuple[Piece, ...]
    choices: tuple[str, ...]
    scored: Scored = "choice"

    def text(self, choice: str | None = None) -> str:
        """The prompt as a person would read it; the blank shows the choice, or ____; segments by ' | '."""
        blank = "____" if choice is None else choice
        return "".join([
            blank if piece.kind is Kind.MASK else " | " if piece.kind is Kind.BREAK else piece.text
            for piece in self.pieces
        ])  # fmt: skip

    def texts(self) -> list[str]:
        """The prompt with each of its choices in the blank; what they share is put together once."""
        shown = [" | " if piece.kind is Kind.BREAK else piece.text for piece in self.pieces]
        for i, piece in enumerate(self.pieces):
            if piece.kind is Kind.MASK:
                before, after = "".join(shown[:i]), "".join(shown[i + 1 :])
                return [f"{before}{choice}{after}" for choice in self.choices]
        return ["".join(shown)] * len(self.choices)


class FieldSpec(spec.Spec):
    """What happens to a field before it is filled in."""

    join: str | None = None
    hole: str | None = Field(default=None, min_length=1)
    cut: Cut = "tail"
    cut_order: int = 0


_NO_RULE = FieldSpec()


class TemplateSpec(spec.Spec):
    """The keys of a template file."""

    scorer: ScorerName
    text: str | list[str]
    verbalizer: str | dict[str, Any] | None = None
    example: dict[str, Any] = Field(default_factory=dict)
    about: str = ""
    source: str = ""
    separator: str = "\n"
    fields: dict[str, FieldSpec] = Field(default_factory=dict)
    direction: Literal["direct", "channel"] = "direct"
    normalize: Literal["sum", "mean"] | None = None
    label_field: str = "label"
    words_from: str | None = None
    ordered: list[str] | None = None
    prior: list[float] | None = None

    @field_validator("text")
    @classmethod
    def _one_or_two_segments(cls, text: str | list[str]) -> str | list[str]:
        if isinstance(text, list) and len(text) != 2:
            raise ValueError(f"{len(text)} segments; a list means two: [A, B]")
        return text

    @field_validator("prior")
    @classmethod
    def _a_distribution(cls, prior: list[float] | None) -> list[float] | None:
        if prior is not None and not (min(prior, default=0) > 0 and abs(sum(prior) - 1) <= 1e-6):
            raise ValueError("not a distribution; give one positive number a label, with sum 1")
        return prior

    @model_validator(mode="after")
    def _keys_that_go_together(self) -> TemplateSpec:
        two = isinstance(self.text, list)
        if self.scorer == "nsp" and not two:
            raise ValueError("scorer nsp compares two segments; write text as a list of two: [A, B]")
        if self.scorer == "causal" and two:
            raise ValueError("scorer causal reads one text; write text as one string")
        if self.direction == "channel" and self.scorer != "causal":
            raise ValueError("direction: channel is for scorer causal; remove it")
        if self.normalize and self.scorer == "nsp":
            raise ValueError("normalize has no meaning for scorer nsp; remove it")
        if self.ordered and self.scorer != "nsp":
            raise ValueError("ordered is for pairs under scorer nsp; remove it")
        if self.ordered is not None and len(set(self.ordered)) < max(2, len(self.ordered)):
            raise ValueError("ordered needs at least two labels, each once")
        if self.prior and len(self.prior) != len(self.ordered or ()):
            raise ValueError("prior needs one number for each label of ordered")
        sources = [self.verbalizer is not None, self.words_from is not None, self.ordered is not None]
        if sum(sources[1:]) > 1 or (self.words_from and self.verbalizer):
            raise ValueError("words_from stands alone; remove verbalizer and ordered")
        return self


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
        data, lines = spec.load_yaml(path, TemplateError)
        made = spec.build(data, TemplateSpec, TemplateError, str(path), lines)
        return replace(cls.of(made, path.stem, f"{path}:{lines.get(('text',), 1)}"), path=path)

    @classmethod
    def of(cls, made: TemplateSpec, name: str, where: str = "") -> Template:
        """A template from its keys; `where` is put before complaints about the text."""
        texts = made.text if isinstance(made.text, list) else [made.text]
        segments = tuple(tuple(parse(text, where or name)) for text in texts)
        template = cls(name, made, where or name, segments)
        template._check_blank()
        return template

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """The fields a row must have, in order of appearance."""
        names = [part.text for parts in self.segments for part in parts if part.kind is Kind.FIELD]
        return tuple(dict.fromkeys([*names, *([self.spec.words_from] if self.spec.words_from else [])]))

    @cached_property
    def scored(self) -> Scored:
        """What a causal scorer sums over: the choice, what follows it, or both."""
        if self.spec.direction == "channel":
            return "rest"
        parts = self.segments[0]
        blank = self._blank(parts)
        follows = blank is not None and (parts[blank].kind is Kind.FIELD or blank < len(parts) - 1)
        return "choice+rest" if self.spec.scorer == "causal" and follows else "choice"

    def render(self, row: Row, choices: Sequence[str], demos: Sequence[str] = ()) -> Prompt:
        """The prompt of one row; raises RowError when a field is missing or is no text.

        `demos` are finished demonstrations (see `fill`), oldest first; they stand before the text.
        """
        pieces = [Piece(Kind.DEMO, demo) for demo in demos]
        for part in self._steps:
            if isinstance(part, Piece):
                pieces.append(part)
            else:
                pieces.extend(self._filled(part, row))
        return Prompt(tuple(pieces), tuple(choices), self.scored)

    @cached_property
    def _steps(self) -> tuple[Piece | _Part, ...]:
        """What every prompt is made of, in order: the pieces that no row changes, and the fields to fill."""
        steps: list[Piece | _Part] = []
        for number, parts in enumerate(self.segments):
            steps += [Piece(Kind.BREAK)] if number else []
            steps += [part if part.kind is Kind.FIELD else Piece(part.kind, part.text) for part in parts]
        return tuple(steps)

    def fill(self, row: Row, word: str) -> str:
        """One demonstration: the row's text with the word in the blank, and the separator."""
        return self.render(row, (word,)).text(word) + self.spec.separator

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

    def _check_blank(self) -> None:
        masks = sum(part.kind is Kind.MASK for parts in self.segments for part in parts)
        fields = {part.text for parts in self.segments for part in parts if part.kind is Kind.FIELD}
        for name in self.spec.fields:
            if name not in fields:
                raise TemplateError(
                    f"fields: {name!r} does not occur in the text", where=self.where, hint=f"use {{{name}}}"
                )
        holes = sum(self._is_hole(part) for parts in self.segments for part in parts)
        blanks = [self._blank(parts) is not None for parts in self.segments]
        if masks > 1:
            raise TemplateError(f"{masks} blanks", where=self.where, hint="keep one {mask}")
        if holes > 1:
            raise TemplateError(f"{holes} holes", where=self.where, hint="keep one field with a hole, used once")
        if holes and masks and self.spec.scorer != "nsp":
            raise TemplateError(
                f"a hole beside {{mask}} means nothing to scorer {self.spec.scorer}",
                where=self.where,
                hint="remove {mask}: the hole is the blank",
            )
        if self.spec.ordered and any(blanks):
            raise TemplateError(
                "a pair with 'ordered' has no blank", where=self.where, hint="remove {mask} or 'ordered'"
            )
        if not self.spec.ordered and not any(blanks):
            raise TemplateError("no blank", where=self.where, hint="put {mask} where the label word goes")
        if not fields:
            raise TemplateError("no field", where=self.where, hint="put {text} where the row's text goes")
        if self.spec.direction == "channel":
            after = self.segments[0][(self._blank(self.segments[0]) or 0) + 1 :]
            if not any(part.kind is Kind.FIELD for part in after):
                raise TemplateError(
                    "direction: channel scores the text after the blank, and no field stands there",
                    where=self.where,
                    hint="put {mask} before {text}",
                )


def parse(text: str, where: str) -> list[_Part]:
    """Template text as parts; raises TemplateError with the column of a stray brace."""
    parts: list[_Part] = []
    literal, i = "", 0
    while i < len(text):
        char = text[i]
        if text[i : i + 2] in ("{{", "}}"):
            literal, i = literal + char, i + 2
        elif char == "{":
            end = text.find("}", i)
            name = text[i + 1 : end] if end > 0 else ""
            if not _NAME.fullmatch(name):
                raise _brace_error(text, i, end, where)
            parts.extend([_Part(Kind.FIXED, literal)] if literal else [])
            parts.append(_Part(Kind.MASK) if name == MASK else _Part(Kind.FIELD, name))
            literal, i = "", end + 1
        elif char == "}":
            raise _brace_error(text, i, i, where)
        else:
            literal, i = literal + char, i + 1
    return parts + ([_Part(Kind.FIXED, literal)] if literal else [])


def _brace_error(text: str, start: int, end: int, where: str) -> PromptshotError:
    shown = text[start : end + 1] if end >= start else text[start : start + 20]
    return TemplateError(
        f"{shown!r} at column {start + 1} is neither a field nor the blank",
        where=where,
        hint="write {name} for a field, {mask} for the blank, {{ and }} for braces",
    )


def example_row(template: Template) -> Row:
    """The template's own example as a row (its label left in)."""
    fields: Mapping[str, Any] = template.spec.example
    return Row(dict(fields), f"{template.name}: example")
