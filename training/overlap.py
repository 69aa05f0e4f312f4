"""Proof that no evaluation row is trained on: what training reads, compared with every dev and test file.

python -m training.overlap CORPUS DATA          # what is found in each corpus file, and is left out
python -m training.overlap CORPUS DATA RUN      # and in the token ids that RUN trains on: exit 3 if any
"""

from __future__ import annotations

import sys
from pathlib import Path

from tokenizers import Tokenizer

from training.corpus import SOURCES
from training.heldout import EvaluationTexts, clean, evaluation_files
from training.samples import load


def still_there(ids: Path, without: EvaluationTexts) -> int:
    """How many clauses of the encoded sources in a folder overlap, read back from their token ids."""
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
