"""Proof that no evaluation row is trained on: what training reads, compared with every dev and test file.

A run of whole clauses that equals an evaluation text, or one of its sentences or clauses, is left out of training.
Texts are compared in their bare form: letters and digits only.

    python -m training.overlap CORPUS DATA          # what is found in each corpus file, and is left out
    python -m training.overlap CORPUS DATA RUN      # and in the token ids that RUN trains on: exit 3 if any
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.corpus import SOURCES, Source, bare, clauses, documents

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


def still_there(ids: Path, without: EvaluationTexts) -> int:
    """How many clauses of the encoded sources in a folder overlap, read back from their token ids."""
    from tokenizers import Tokenizer

    from training.samples import load

    tokenizer = Tokenizer.from_file(str(ids.parent / "tokenizer.json"))
    found = 0
    for path in sorted(ids.glob("*.npz")):
        encoded = load(path)
        for document in range(len(encoded.document_ends)):
            parts = tokenizer.decode_batch([part.tolist() for part in encoded.document(document)])
            found += len(without.within(parts))
    return found


def main(corpus: Path, data: Path, run: Path | None) -> int:
    """Print the counts; 3 if a run's token ids overlap, else 0."""
    files = evaluation_files(data)
    without = EvaluationTexts.below(data)
    print(f"{len(files)} dev and test files, {len(without.texts):,} texts, sentences and clauses")
    for source in (source for source in SOURCES.values() if (corpus / f"{source.name}.txt.gz").exists()):
        counts = [(len(parts) + dropped, dropped) for parts, dropped in clean(corpus, source, without)]
        total, left_out, touched = sum(n for n, _ in counts), sum(n for _, n in counts), sum(n > 0 for _, n in counts)
        print(f"{source.name}: {total:,} clauses, {left_out:,} overlap in {touched:,} documents: left out", flush=True)
    overlapping = 0
    for ids in sorted(run.glob("*/ids")) if run else ():
        found = still_there(ids, without)
        print(f"{ids}: {found:,} clauses overlap in what is trained on", flush=True)
        overlapping += found
    return 3 if overlapping else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None))
