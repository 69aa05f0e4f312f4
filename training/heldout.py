"""The texts that may not be trained on, every dev and test file's, and documents without them.

A run of whole clauses that equals one of them, or one of its sentences or clauses, is left out of training.
Texts are compared in their bare form: letters and digits only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.corpus import Source, bare, clauses, documents

ROW = 8  # letters and digits; a shorter row ("很好") is a phrase of the language, not a text
PART = 12  # the same for a sentence or a clause of a row
_SENTENCE = re.compile(r"[^。！？.!?\n]+")


@dataclass(frozen=True)
class EvaluationTexts:
    """The bare texts that may not be trained on."""

    texts: frozenset[str]
    heads: frozenset[str]  # their first few characters: what begins otherwise need not be looked at further
    longest: int

    @classmethod
    def of(cls, texts: Iterable[str]) -> EvaluationTexts:
        """Each text as a whole, each of its sentences, each of its clauses, where long enough."""
        found: set[str] = set()
        for text in texts:
            found.add(whole) if len(whole := bare(text)) >= ROW else None
            for part in (*_SENTENCE.findall(text), *clauses(text)):
                found.add(short) if len(short := bare(part)) >= PART else None
        return cls(frozenset(found), frozenset(text[:ROW] for text in found), max(map(len, found), default=0))

    @classmethod
    def below(cls, folder: Path) -> EvaluationTexts:
        """Every text in every dev and test file below a folder."""
        return cls.of(text for path in evaluation_files(folder) for text in _texts(path))

    def within(self, parts: Sequence[str]) -> set[int]:
        """Which of a document's clauses make up, alone or with their neighbours, an evaluation text."""
        pieces = [bare(part) for part in parts]
        found: set[int] = set()
        for first in range(len(pieces)):
            run = ""
            for last in range(first, len(pieces)):
                run += pieces[last]
                if len(run) > self.longest or (len(run) >= ROW and run[:ROW] not in self.heads):
                    break
                if run in self.texts:
                    found.update(range(first, last + 1))
        return found


NOTHING = EvaluationTexts.of(())


def evaluation_files(folder: Path) -> list[Path]:
    """The dev and test files below a folder, by their names."""
    return [path for path in sorted(folder.rglob("*.json*")) if re.search(r"dev|test", path.name)]


def _texts(path: Path) -> Iterator[str]:
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.strip().startswith("{"):
            yield from (value for value in json.loads(line).values() if isinstance(value, str))


def clean(corpus: Path, source: Source, without: EvaluationTexts) -> Iterator[tuple[list[str], int]]:
    """The documents of a source as clauses, less those that overlap; and how many those were."""
    for document in documents(corpus, source):
        parts = clauses(document)
        dropped = without.within(parts)
        yield [part for i, part in enumerate(parts) if i not in dropped], len(dropped)
