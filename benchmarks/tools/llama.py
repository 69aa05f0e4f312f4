"""llama.cpp by its Python wheel: completions with the likeliest tokens, and the engine with all logits."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, ClassVar

import llama_cpp
import numpy as np
from llama_cpp import _internals

from benchmarks.cases import Case, Work, completions
from benchmarks.shapes import MODELS
from benchmarks.worker import Scores, Tool, serve

TOP = 20  # tokens with their probabilities: the most that OpenAI's endpoint of chats gives
TYPES = {"bfloat16": llama_cpp.LLAMA_FTYPE_MOSTLY_BF16}
SHARED = 0  # the sequence of what all rows begin with
Part = tuple[int, int, list[int]]  # sequence, position of its first token, tokens


def threads() -> int:
    """As many as every tool has."""
    return int(os.environ["OMP_NUM_THREADS"])


def common(rows: Sequence[Sequence[int]]) -> int:
    """How many tokens all rows begin with; the last token of a row is its own."""
    columns = zip(*(row[:-1] for row in rows), strict=False)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


def rewritten(model: Path, dtype: str) -> Path:
    """A copy of the file with the same numbers in that type, made where it is not there yet."""
    target = MODELS / f"{model.stem}-{dtype}.gguf"
    if not target.exists():
        MODELS.mkdir(exist_ok=True)
        params = llama_cpp.llama_model_quantize_default_params()
        params.ftype, params.allow_requantize = TYPES[dtype], True
        part = target.with_suffix(".part")
        if llama_cpp.llama_model_quantize(bytes(model), bytes(part), params):
            raise ValueError(f"{model.name} cannot be written in {dtype}")
        part.rename(target)
    return target


class Completion(Tool):
    """One token with `logprobs`; what a prompt shares with the one before it is kept by the wheel itself.

    The batch size is that of tokens. A word that is not among the likeliest tokens has no score: -inf.
    """

    packages: ClassVar[tuple[str, ...]] = ("llama_cpp_python",)
    batch_sizes = (64, 256, 512)
    longest = 2048  # tokens of a prompt

    def load(self, model: str, device: str, dtype: str) -> None:
        """A context is made once its batch size is known; the file says the precision."""
        self.model, self.opened = model, 0

    def run(self, cases: Sequence[Case], batch_size: int) -> Scores:
        """ln p of each word's token, where it was given."""
        self._open(batch_size)
        return [self._row(case) for case in cases]

    def _open(self, size: int) -> None:
        if self.opened != size:
            batches = {"n_batch": size, "n_ubatch": size, "n_threads": threads(), "n_threads_batch": threads()}
            self.llama: Any = llama_cpp.Llama(
                self.model, n_ctx=self.longest, logits_all=True, flash_attn=True, verbose=False, **batches
            )
            self.opened = size

    def _row(self, case: Case) -> list[float]:
        asked = completions(case)
        said = self.llama.create_completion(asked[0][0], max_tokens=1, temperature=0.0, logprobs=TOP)
        given = said["choices"][0]["logprobs"]["top_logprobs"]
        likeliest = given[0] if given else {}  # none where the likeliest token ends the text
        return [float(likeliest.get(word, -np.inf)) for _, word in asked]


class Logits(Tool):
    """The engine by its own interface: what all rows begin with is run once, several rows at a time behind it.

    The batch size is that of rows. Only the last token of a row has its logits made, those of the whole vocabulary.
    """

    packages: ClassVar[tuple[str, ...]] = ("llama_cpp_python",)
    batch_sizes = (1, 4, 16)

    def load(self, model: str, device: str, dtype: str) -> None:
        """The model, or the copy that the name asks for; a context is made once its batch size is known."""
        _, _, other = self.name.partition("-logits-")
        file = rewritten(Path(model), other) if other else Path(model)
        self.llama: Any = llama_cpp.Llama(str(file), n_ctx=64, verbose=False)
        self.opened = (0, 0)

    def take(self, work: Work) -> None:
        """How long a row may be."""
        super().take(work)
        self.longest = max(len(self._tokens(completions(case)[0][0])) for case in work.cases)

    def run(self, cases: Sequence[Case], batch_size: int) -> Scores:
        """ln p of each word's token, by a softmax over all."""
        asked = [completions(case) for case in cases]
        rows = [self._tokens(pairs[0][0]) for pairs in asked]
        words = [[self._one(word) for _, word in pairs] for pairs in asked]
        shared = common(rows)
        self._open(batch_size)
        if shared:
            self._decode([(SHARED, 0, rows[0][:shared])])
        said: list[Any] = []
        for start in range(0, len(rows), batch_size):
            said += self._behind(shared, rows[start : start + batch_size])
        return [logprobs[ids].tolist() for logprobs, ids in zip(said, words, strict=True)]

    def _tokens(self, text: str) -> list[int]:
        found: list[int] = self.llama.tokenize(text.encode(), add_bos=True)  # where the file wants one
        return found

    def _one(self, word: str) -> int:
        """The only token of a word."""
        (token,) = self.llama.tokenize(word.encode(), add_bos=False)
        return int(token)

    def _open(self, rows: int) -> None:
        """A context for so many rows at a time, and what they share, with nothing in it."""
        if self.opened != (rows, self.longest):
            params = llama_cpp.llama_context_default_params()
            params.n_seq_max = rows + 1
            params.n_ctx = params.n_batch = (rows + 1) * self.longest
            params.kv_unified = True
            params.n_threads = params.n_threads_batch = threads()
            self.context = _internals.LlamaContext(model=self.llama._model, params=params, verbose=False)
            self.batch = _internals.LlamaBatch(n_tokens=params.n_batch, embd=0, n_seq_max=1, verbose=False)
            self.opened = (rows, self.longest)
        self.memory = llama_cpp.llama_get_memory(self.context.ctx)
        llama_cpp.llama_memory_clear(self.memory, True)

    def _behind(self, shared: int, rows: Sequence[list[int]]) -> list[Any]:
        """The log-probabilities of all tokens behind each row."""
        for number in range(1, len(rows) + 1):
            llama_cpp.llama_memory_seq_cp(self.memory, SHARED, number, 0, shared)
        found = self._decode([(number, shared, row[shared:]) for number, row in enumerate(rows, 1)])
        for number in range(1, len(rows) + 1):
            llama_cpp.llama_memory_seq_rm(self.memory, number, -1, -1)
        return found

    def _decode(self, parts: Sequence[Part]) -> list[Any]:
        """Run parts of sequences; the log-probabilities behind the last token of each."""
        batch, lasts, place = self.batch.batch, [], 0
        for sequence, start, tokens in parts:
            for position, token in enumerate(tokens, start):
                batch.token[place], batch.pos[place] = token, position
                batch.seq_id[place][0], batch.n_seq_id[place] = sequence, 1
                batch.logits[place] = position == start + len(tokens) - 1
                place += 1
            lasts.append(place - 1)
        batch.n_tokens = place
        self.context.decode(self.batch)
        return [self._logprobs(last) for last in lasts]

    def _logprobs(self, place: int) -> Any:
        pointer = llama_cpp.llama_get_logits_ith(self.context.ctx, place)
        logits = np.ctypeslib.as_array(pointer, shape=(self.llama.n_vocab(),))
        above = logits - logits.max()
        return above - np.log(np.exp(above).sum())


if __name__ == "__main__":
    kind: type[Tool] = Completion if sys.argv[1] == "llama.cpp" else Logits
    serve(kind(sys.argv[1]))
