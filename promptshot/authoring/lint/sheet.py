"""What lint's rules look at, a template or the words of a verbalizer, and what comes of it: findings."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from promptshot.errors import PromptshotError, printable
from promptshot.prompts.codes import Flaw, Place, Severity
from promptshot.prompts.strict import Source
from promptshot.prompts.template import Template
from promptshot.prompts.verbalizer import Verbalizer
from promptshot.scoring import Kind, Prompt


@dataclass(frozen=True)
class Finding:
    """One flaw of one file: its stable code, how bad it is, where it stands, what is wrong, one thing to try."""

    code: str
    severity: Severity
    path: str
    line: int | None
    message: str
    hint: str = ""

    @classmethod
    def of(cls, flaw: Flaw, source: Source) -> Finding:
        """A flaw with its file and line; the texts are safe to print."""
        said = PromptshotError(flaw.what, hint=flaw.hint)
        return cls(
            flaw.code.name,
            flaw.code.severity,
            printable(source.where),
            flaw.line_in(source.lines),
            said.what,
            said.hint,
        )

    @property
    def where(self) -> str:
        """file:line, or the file alone."""
        return f"{self.path}:{self.line}" if self.line else self.path


class Spelling(Protocol):
    """What lint asks of a model's tokenizer."""

    @property
    def kinds(self) -> Collection[str]:
        """The scorers that the model is made for."""

    def unknown(self, words: Sequence[str]) -> list[str]:
        """The words that the tokenizer cannot spell."""

    def alike(self, words: Sequence[str]) -> list[tuple[str, str]]:
        """Pairs of words that the tokenizer spells the same."""

    def spelled(self, scorer: str, prompt: Prompt) -> list[tuple[str, ...]]:
        """The tokens of each choice where the blank is."""

    def misfit(self, scorer: str, prompt: Prompt) -> str | None:
        """Why the prompt does not fit into the model, if so."""


@dataclass(frozen=True)
class Words:
    """A verbalizer that stands in a file, at `base`: () in a file of its own."""

    source: Source
    verbalizer: Verbalizer
    base: Place = ()

    def __iter__(self) -> Iterator[tuple[Place, str]]:
        """Every label word, with the place of its label."""
        for label, words in self.verbalizer.labels.items():
            yield from (((*self.base, "labels", label), word) for word in words)


@dataclass(frozen=True)
class Sheet:
    """A template in a file, with the verbalizer that it holds (at `base`) or names, and a tokenizer to ask."""

    source: Source
    template: Template
    verbalizer: Verbalizer | None = None
    base: Place | None = None
    spelling: Spelling | None = None

    @property
    def scorer(self) -> str:
        return self.template.spec.scorer

    @property
    def words(self) -> list[str]:
        """The label words that are the same for every row."""
        return [word for words in self.verbalizer.labels.values() for word in words] if self.verbalizer else []

    def literals(self) -> Iterator[tuple[Place, str]]:
        """The texts as they were written."""
        said = self.template.spec.text
        yield from [(("text",), said)] if isinstance(said, str) else [(("text", i), s) for i, s in enumerate(said)]

    @property
    def begins(self) -> bool:
        """Whether the blank is what a segment begins with."""
        return any(parts and parts[0].kind is Kind.MASK for parts in self.template.segments)

    def before_blank(self) -> str:
        """The template's own text right before the blank; empty where a field or nothing stands there."""
        for parts in self.template.segments:
            for before, part in pairwise(parts):
                if part.kind is Kind.MASK:
                    return before.text if before.kind is Kind.FIXED else ""
        return ""
