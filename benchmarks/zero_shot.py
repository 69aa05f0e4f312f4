"""`nli` beside the zero-shot-classification pipeline of transformers, `seq2seq` beside a plain loop over rows and
labels, and `embed` beside sentence-transformers.

    python -m benchmarks.zero_shot nli --data DIR
    python -m benchmarks.zero_shot seq2seq --data DIR
    python -m benchmarks.zero_shot embed --data DIR --model FOLDER [--python PYTHON]

Both tools have one model and one process each, take turns, and are given the same strings; the least time of some
rounds counts, in seconds on a machine that does nothing else.
sentence-transformers runs in an environment of its own (`envs.py`), or in the one that is named.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
LABELS = ("politics", "business", "technology", "science", "sports", "health", "education", "music", "travel", "food")
BEFORE, BEHIND = "This text is about ", "."
WORKER = """
import json, sys, time
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[1], device="cpu")
for line in sys.stdin:
    asked = json.loads(line)
    began = time.perf_counter()
    found = model.encode(asked["texts"], batch_size=asked["batch"], show_progress_bar=False)
    print(json.dumps([time.perf_counter() - began, found.tolist()]), flush=True)
"""
Way = Callable[[], Any]


def texts(data: Path, rows: int) -> list[str]:
    """The first so many reviews of SST-2's development set."""
    lines = (data / "sst2.dev.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines[:rows]]


def in_turn(ways: dict[str, Way], rounds: int) -> tuple[dict[str, float], dict[str, Any]]:
    """The least seconds of each way, and what it gave; the first one changes from round to round."""
    names, best, given = list(ways), dict.fromkeys(ways, float("inf")), dict[str, Any]()
    for number in range(rounds):
        start = number % len(names)
        for name in (*names[start:], *names[:start]):
            began = time.perf_counter()
            found = ways[name]()
            seconds = time.perf_counter() - began
            if isinstance(found, tuple):  # a worker that has timed itself
                seconds, found = found
            best[name], given[name] = min(best[name], seconds), found
    return best, given


def told(best: dict[str, float], ours: str, difference: dict[str, float]) -> None:
    """A table of the ways."""
    print("| tool | seconds | ours beside it | largest difference |\n|---|--:|--:|--:|")
    for name, seconds in best.items():
        ratio = "" if name == ours else f"{seconds / best[ours]:.1f} x"
        apart = "" if name == ours else f"{difference[name]:.0e}"
        print(f"| {name} | {seconds:.2f} | {ratio} | {apart} |")


def nli(asked: Sequence[str], folder: Path, rounds: int, sizes: Sequence[int]) -> None:
    """Seconds for all rows and labels, and how far probabilities are apart."""
    import torch
    import transformers

    from promptshot.scorers import load
    from promptshot.scoring import Kind, ModelOptions, Piece, Prompt

    scorer = load("nli", ModelOptions(str(folder), device="cpu"))
    pipe = transformers.pipeline("zero-shot-classification", model=str(folder), device="cpu")
    around = (Piece(Kind.BREAK), Piece(Kind.FIXED, BEFORE), Piece(Kind.MASK), Piece(Kind.FIXED, BEHIND))
    prompts = [Prompt((Piece(Kind.FIELD, text), *around), LABELS) for text in asked]

    def piped(size: int) -> list[list[float]]:
        template = f"{BEFORE}{{}}{BEHIND}"
        found = pipe(list(asked), candidate_labels=list(LABELS), hypothesis_template=template, batch_size=size)
        return [[dict(zip(one["labels"], one["scores"], strict=True))[label] for label in LABELS] for one in found]

    def scored() -> list[list[float]]:
        found = torch.tensor([one.scores for one in scorer.score(prompts)], dtype=torch.float64)
        probabilities: list[list[float]] = found.softmax(-1).tolist()
        return probabilities

    ways: dict[str, Way] = {"promptshot": scored}
    ways |= {f"pipeline, batch_size={size}": partial(piped, size) for size in sizes}
    best, given = in_turn(ways, rounds)
    ours = torch.tensor(given["promptshot"])
    apart = {name: float((torch.tensor(found) - ours).abs().max()) for name, found in given.items()}
    print(f"{len(asked)} rows, {len(LABELS)} labels, {torch.get_num_threads()} threads, least of {rounds} rounds\n")
    told(best, "promptshot", apart)


def seq2seq(asked: Sequence[str], folder: Path, rounds: int) -> None:
    """Seconds for all rows and labels, and how far scores are apart."""
    import torch
    import transformers

    from promptshot.scorers import load
    from promptshot.scorers.seq2seq import Seq2seqScorer
    from promptshot.scoring import Kind, ModelOptions, Piece, Prompt

    scorer = load("seq2seq", ModelOptions(str(folder), device="cpu"))
    assert isinstance(scorer, Seq2seqScorer)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    around = (Piece(Kind.FIXED, f" {BEFORE}"), Piece(Kind.MASK), Piece(Kind.FIXED, BEHIND))
    prompts = [Prompt((Piece(Kind.FIELD, text), *around), LABELS) for text in asked]
    start = model.config.decoder_start_token_id

    @torch.inference_mode()
    def one_by_one() -> torch.Tensor:
        scores = []
        for query in (query for prompt in prompts for query in scorer.plan(prompt).queries):
            for word in query.targets:
                written = [start, *query.context, *word]
                inputs = {"input_ids": torch.tensor([query.ids]), "decoder_input_ids": torch.tensor([written[:-1]])}
                log_p = model(**inputs).logits[0, -len(word) :].log_softmax(-1)  # (tokens of the word, vocabulary)
                scores.append(log_p.gather(-1, torch.tensor(word)[:, None]).sum())
        return torch.stack(scores).view(len(prompts), -1)

    ways: dict[str, Way] = {
        "promptshot": lambda: torch.tensor([one.scores for one in scorer.score(prompts)]),
        "a plain loop": one_by_one,
    }
    best, given = in_turn(ways, rounds)
    apart = {name: float((found - given["promptshot"]).abs().max()) for name, found in given.items()}
    print(f"{len(asked)} rows, {len(LABELS)} labels, {torch.get_num_threads()} threads, least of {rounds} rounds\n")
    told(best, "promptshot", apart)


def embed(asked: Sequence[str], folder: Path, rounds: int, sizes: Sequence[int], python: str) -> None:
    """Seconds for the vectors of all rows, and how far these are apart."""
    import numpy as np

    from promptshot.scorers import load
    from promptshot.scoring import Embedding, ModelOptions

    scorer = load("embed", ModelOptions(str(folder), device="cpu"))
    assert isinstance(scorer, Embedding)
    worker = subprocess.Popen(
        [python, "-c", WORKER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdin is not None
    assert worker.stdout is not None

    def encoded(size: int) -> tuple[float, Any]:
        print(json.dumps({"texts": list(asked), "batch": size}), file=worker.stdin, flush=True)
        seconds, found = json.loads(worker.stdout.readline())  # type: ignore[union-attr]
        return seconds, np.array(found)

    ways: dict[str, Way] = {"promptshot": lambda: np.stack([np.asarray(one) for one in scorer.embed(asked)])}
    ways |= {f"sentence-transformers, batch_size={size}": partial(encoded, size) for size in sizes}
    best, given = in_turn(ways, rounds)
    worker.stdin.close()
    worker.wait()
    apart = {name: float(np.abs(found - given["promptshot"]).max()) for name, found in given.items()}
    print(f"{len(asked)} rows, least of {rounds} rounds\n")
    told(best, "promptshot", apart)


def main() -> None:
    """Print a table."""
    from benchmarks import envs, shapes

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["nli", "seq2seq", "embed"])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--model", type=Path, help="a folder; for nli and seq2seq, random weights otherwise")
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, nargs="*", help="sizes that the other tool tries")
    parser.add_argument("--python", help="a Python with sentence-transformers")
    said = parser.parse_args()
    asked = texts(said.data, said.rows)
    if said.what == "nli":
        nli(asked, said.model or shapes.folder("bert-base-nli"), said.rounds, said.batch or (1, 8, 16))
        return
    if said.what == "seq2seq":
        seq2seq(asked, said.model or shapes.folder("bart-small"), said.rounds)
        return
    if said.model is None:
        parser.error("embed needs --model FOLDER")
    if not said.python and not envs.ready("sentences"):
        envs.make("sentences")
    embed(asked, said.model, said.rounds, said.batch or (1, 32), said.python or str(envs.python("sentences")))


if __name__ == "__main__":
    main()
