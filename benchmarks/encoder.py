"""How near an encoder comes to what the machine can do, and where the time of a run goes."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.cases import Case

PRODUCT = 2048  # rows and columns of a large matrix product
INTERVAL = 0.002  # seconds between two looks at the stack
SWITCH = 0.0001  # seconds after which Python code lets another thread have a look


# ------------------------------------------------------------------ floating-point operations


def flops(config: Mapping[str, Any], lengths: Sequence[int], read: int | None = None) -> float:
    """Operations of a BERT encoder over sequences of these lengths, without any padding.

    A matrix product (a, b) x (b, c) counts 2abc. In each layer, for n tokens, width h and inner width i:
    query, key and value 6nh², scores and their use 4n²h, the output 2nh², the two linear maps behind it 4nhi.
    With `read`, only so many positions of a sequence go through what follows the last attention.
    Norms, activations, softmax, embeddings and the head are not counted.
    """
    hidden, inner = int(config["hidden_size"]), int(config["intermediate_size"])
    layers = int(config["num_hidden_layers"])
    behind = 2 * hidden**2 + 4 * hidden * inner  # of a position behind the attention
    whole = sum(6 * n * hidden**2 + 4 * n * n * hidden + n * behind for n in lengths)
    spared = 0 if read is None else sum((n - read) * behind for n in lengths)
    return float(layers * whole - spared)


class Alternating:
    """A function timed call by call, a large float32 matrix product behind each call, in the same seconds.

    On a shared machine the peak of one second is not that of the next: only rates taken side by side compare.
    """

    def __init__(self, work: Callable[[Any], Any]) -> None:
        import torch

        self.work, self.multiply = work, torch.mm
        self.a, self.b = torch.rand(PRODUCT, PRODUCT), torch.rand(PRODUCT, PRODUCT)
        self.calls, self.inside, self.beside = 0, 0.0, 0.0  # calls; seconds in the work, in the products

    def __call__(self, given: Any) -> Any:
        begin = time.perf_counter()
        found = self.work(given)
        middle = time.perf_counter()
        self.multiply(self.a, self.b)
        self.calls += 1
        self.inside += middle - begin
        self.beside += time.perf_counter() - middle
        return found

    @property
    def peak(self) -> float:
        """Operations a second of the products alone."""
        return self.calls * 2 * PRODUCT**3 / self.beside


def share_of_peak(model: str, cases: Sequence[Case], scorer: Any, run: Callable[[], object]) -> dict[str, Any]:
    """The rate of a cloze run in the operations that its real tokens take, beside large matrix products.

    `run` scores the cases with the scorer; `inside` is the time in its batches: tensors, model, reading.
    """
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    lengths = [len(tokenizer(case.filled(tokenizer.mask_token)[0])["input_ids"]) for case in cases]
    needed = flops(json.loads((Path(model) / "config.json").read_text()), lengths, read=1)
    run()
    scorer.answer = alternating = Alternating(scorer.answer)
    try:
        begin = time.perf_counter()
        run()
        seconds = time.perf_counter() - begin - alternating.beside
    finally:
        del scorer.answer
    return {
        "rows": len(cases),
        "tokens": sum(lengths),
        "gflop": needed / 1e9,
        "peak_gflops": alternating.peak / 1e9,
        "gflops": needed / seconds / 1e9,
        "share": needed / seconds / alternating.peak,
        "gflops_inside": needed / alternating.inside / 1e9,
        "share_inside": needed / alternating.inside / alternating.peak,
    }


# ------------------------------------------------------------------ where the time goes


def part(stack: Sequence[tuple[str, str]]) -> str:
    """To which part of the work a stack belongs: (file, function), outermost first."""
    own = [function for file, function in stack if "/promptshot/" in file]
    for file, function in stack:
        if "/transformers/models/" in file or "/torch/nn/" in file:
            return "model"
        if "/promptshot/" in file and function.strip("_") in ("plan", "planned", "plans", "fit"):
            return "tokenize and plan"
        if "/promptshot/" in file and function.strip("_") in ("tensors", "padded"):
            return "tensors"
        if "/promptshot/scorers/checkpoints/encoder" in file or "/tokenizers/" in file:
            return "tokenize and plan"
    return "read and the rest" if own else "outside"


class Sampler:
    """A look at this thread's stack every few milliseconds: light, and fair to code in C and Rust.

        with Sampler() as sampler: ...
        sampler.shares()   {"parts": {"model": 0.9, ...}, "functions": {"engine/base.py read": 0.3, ...}}

    Each look stands for the time since the one before. Python code gives the interpreter away sooner than usual
    while this runs: otherwise the looks would mostly fall into operations that let it go by themselves.
    """

    def __init__(self, interval: float = INTERVAL) -> None:
        self.interval = interval
        self.parts: defaultdict[str, float] = defaultdict(float)
        self.functions: defaultdict[str, float] = defaultdict(float)
        self._watched = threading.get_ident()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Sampler:
        self._usual = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        sys.setswitchinterval(self._usual)

    def shares(self) -> dict[str, dict[str, float]]:
        """Shares of the time, greatest first, by part and by the innermost function of the project."""
        total = sum(self.parts.values()) or 1.0

        def ranked(seconds: Mapping[str, float]) -> dict[str, float]:
            return {name: seconds[name] / total for name in sorted(seconds, key=lambda name: -seconds[name])[:12]}

        return {"parts": ranked(self.parts), "functions": ranked(self.functions)}

    def _watch(self) -> None:
        last = time.perf_counter()
        while not self._over.wait(self.interval):
            stack = _stack(sys._current_frames().get(self._watched))
            now = time.perf_counter()
            passed, last = now - last, now
            self.parts[part(stack)] += passed
            own = [(file, function) for file, function in stack if "/promptshot/" in file]
            if own:
                file, function = own[-1]
                self.functions[f"{file.rpartition('/promptshot/')[2]} {function}"] += passed


def _stack(frame: FrameType | None) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    while frame is not None:
        found.append((frame.f_code.co_filename, frame.f_code.co_name))
        frame = frame.f_back
    return found[::-1]
