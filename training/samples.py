"""Token ids on disk, and the endless, seeded stream of training batches made from them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from training.corpus import MIX, Source, clauses, documents, evaluation_texts

Ids = np.ndarray  # uint16 token ids
OFTEN = 0.4  # how often a word of judgement is masked
POOL = 4_000  # documents whose samples are sorted by length together


@dataclass(frozen=True)
class Encoded:
    """One source as token ids: `ids[ends[i-1]:ends[i]]` is clause i, documents are ranges of clauses."""

    source: Source
    ids: Ids
    clause_ends: np.ndarray
    document_ends: np.ndarray

    def document(self, index: int) -> list[Ids]:
        """The clauses of one document."""
        first = int(self.document_ends[index - 1]) if index else 0
        last = int(self.document_ends[index])
        starts = [int(self.clause_ends[i - 1]) if i else 0 for i in range(first, last)]
        return [self.ids[s : self.clause_ends[i]] for s, i in zip(starts, range(first, last), strict=True)]


def encode(corpus: Path, tokenizer: Tokenizer, out: Path, excluded: frozenset[str]) -> None:
    """Tokenize every source of the mix once and keep it under `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for source in MIX:
        space = "" if source.language == "zh" else " "
        flat: list[int] = []
        clause_ends: list[int] = []
        document_ends: list[int] = []
        for document in documents(corpus / f"{source.name}.txt.gz", excluded):
            parts = clauses(space.join(document))
            for encoding in tokenizer.encode_batch(parts, add_special_tokens=False):
                flat.extend(encoding.ids)
                clause_ends.append(len(flat))
            document_ends.append(len(clause_ends))
        np.savez(
            out / f"{source.name}.npz",
            ids=np.array(flat, np.uint16),
            clauses=np.array(clause_ends),
            documents=np.array(document_ends),
        )
        print(f"{source.name}: {len(document_ends)} documents, {len(flat)} tokens")


def load(folder: Path, names: str = "") -> list[Encoded]:
    """The encoded sources, in the order of the mix; `names` ("a:2,b:1") chooses some, with their repeats."""
    wanted = dict(part.split(":") for part in names.split(",")) if names else {s.name: s.repeats for s in MIX}
    sources = []
    for source in (replace(s, repeats=int(wanted[s.name])) for s in MIX if s.name in wanted):
        with np.load(folder / f"{source.name}.npz") as data:
            sources.append(Encoded(source, data["ids"], data["clauses"], data["documents"]))
    return sources


def pools(sources: list[Encoded], seed: int, start: int) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Numbered pools of (source, document), pass after pass, from pool `start` on."""
    everything = [
        (s, d)
        for s, encoded in enumerate(sources)
        for _ in range(encoded.source.repeats)
        for d in range(len(encoded.document_ends))
    ]
    per_pass = -(-len(everything) // POOL)
    number = start
    while True:
        order = np.random.default_rng((seed, number // per_pass)).permutation(len(everything))
        for i in range(number % per_pass, per_pass):
            yield number, [everything[j] for j in order[i * POOL : (i + 1) * POOL]]
            number += 1


def chunks(parts: list[Ids], longest: int, rng: np.random.Generator) -> Iterator[list[Ids]]:
    """Neighbouring clauses, up to a length drawn anew for each chunk (short and long ones alike)."""
    chunk: list[Ids] = []
    limit, size = int(rng.integers(24, longest)), 0
    for part in parts:
        if chunk and size + len(part) > limit:
            yield chunk
            limit, size, chunk = int(rng.integers(24, longest)), 0, []
        chunk.append(part[:longest])
        size += len(chunk[-1])
    if chunk:
        yield chunk


@dataclass(frozen=True)
class Pair:
    """A BERT sample: segment A, segment B (may be empty), and whether B follows A (-100: not asked)."""

    a: list[int]
    b: list[int]
    is_random: int

    def __len__(self) -> int:
        return len(self.a) + len(self.b) + 3


def pair(chunk: list[Ids], other: list[Ids], longest: int, rng: np.random.Generator) -> Pair:
    """Cut a chunk in two, often after its first clause (as a prompt would be); half get a strange B."""
    short = rng.random()
    cut = 1 if short < 0.4 else len(chunk) - 1 if short < 0.55 else int(rng.integers(1, len(chunk)))
    a = np.concatenate(chunk[:cut]).tolist()[: longest - 8]
    is_random = int(rng.random() < 0.5)
    b = np.concatenate(other if is_random else chunk[cut:]).tolist()
    return Pair(a, b[: longest - len(a)], is_random)


def bert_samples(
    sources: list[Encoded], pool: list[tuple[int, int]], longest: int, rng: np.random.Generator
) -> list[Pair]:
    """The pairs and single texts of one pool."""
    samples = []
    for s, d in pool:
        encoded = sources[s]
        for chunk in chunks(encoded.document(d), longest, rng):
            if len(chunk) == 1 or not encoded.source.ordered or rng.random() < 0.3:
                text = np.concatenate(chunk).tolist()[:longest]
                if len(text) > 3:
                    samples.append(Pair(text, [], -100))
                continue
            stranger = encoded.document(int(rng.integers(len(encoded.document_ends))))
            first = int(rng.integers(len(stranger)))
            other = stranger[first : first + int(rng.integers(1, len(chunk) + 1))]
            samples.append(pair(chunk, other, longest, rng))
    return samples


@dataclass(frozen=True)
class BertBatch:
    """Tensors of one step, all (rows, width); `chosen` marks the positions MLM asks about."""

    ids: torch.Tensor
    types: torch.Tensor
    attention: torch.Tensor
    chosen: torch.Tensor
    targets: torch.Tensor
    follows: torch.Tensor  # (rows,)

    @property
    def tokens(self) -> int:
        return int(self.attention.sum())


def bert_batches(
    samples: list[Pair], budget: int, specials: dict[str, int], often: np.ndarray, rng: np.random.Generator
) -> Iterator[BertBatch]:
    """Length-sorted batches of at most `budget` padded tokens, in random order.

    `often` has a truth value for each id of the vocabulary: whether it is masked more often.
    """
    samples = sorted(samples, key=len)
    groups: list[list[Pair]] = [[]]
    for sample in samples:
        if (len(groups[-1]) + 1) * len(sample) > budget and groups[-1]:
            groups.append([])
        groups[-1].append(sample)
    for g in rng.permutation(len(groups)):
        yield _collate(groups[g], specials, often, rng)


def _collate(group: list[Pair], specials: dict[str, int], often: np.ndarray, rng: np.random.Generator) -> BertBatch:
    cls, sep = specials["cls"], specials["sep"]
    width = max(map(len, group))
    ids = np.full((len(group), width), specials["pad"])
    types = np.zeros_like(ids)
    attention = np.zeros_like(ids)
    for row, sample in enumerate(group):
        line = [cls, *sample.a, sep] + ([*sample.b, sep] if sample.b else [])
        ids[row, : len(line)] = line
        types[row, len(sample.a) + 2 : len(line)] = 1
        attention[row, : len(line)] = 1
    chosen = rng.random(ids.shape) < 0.13
    spans = rng.random(ids.shape) < 0.4  # words of two characters are often masked whole
    chosen[:, 1:] |= chosen[:, :-1] & spans[:, 1:]
    chosen |= often[ids] & (rng.random(ids.shape) < OFTEN)
    chosen &= (attention == 1) & (ids != cls) & (ids != sep)
    fate = rng.random(ids.shape)
    shown = np.where(chosen & (fate < 0.8), specials["mask"], ids)
    shown = np.where(chosen & (fate > 0.9), rng.integers(len(specials), len(often), ids.shape), shown)
    follows = torch.tensor([sample.is_random for sample in group])
    as_tensor = torch.from_numpy
    return BertBatch(
        as_tensor(shown), as_tensor(types), as_tensor(attention), as_tensor(chosen), as_tensor(ids), follows
    )


def gpt2_batches(
    sources: list[Encoded],
    pool: list[tuple[int, int]],
    width: int,
    budget: int,
    end: int,
    rng: np.random.Generator,
) -> Iterator[torch.Tensor]:
    """Documents packed end to end into (rows, width) blocks; the tail of a pool is dropped."""
    flat: list[int] = [end]
    for s, d in pool:
        flat.extend(np.concatenate(sources[s].document(d)).tolist())
        flat.append(end)
    blocks = torch.tensor(flat[: len(flat) // width * width]).view(-1, width)
    blocks = blocks[torch.from_numpy(rng.permutation(len(blocks)))]
    yield from torch.split(blocks, max(1, budget // width))


def main(corpus: Path, run: Path, evaluation: Path | None) -> None:
    """Encode the corpus for both models: python -m training.samples CORPUS RUN [EVALUATION_DATA]."""
    excluded = evaluation_texts(evaluation) if evaluation else frozenset()
    for name in ("bert", "gpt2"):
        tokenizer = Tokenizer.from_file(str(run / name / "tokenizer.json"))
        encode(corpus, tokenizer, run / name / "ids", excluded)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
