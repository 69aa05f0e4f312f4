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

PEAK_SIZES = (1024, 2048, 3072)
INTERVAL = 0.002  # seconds between two looks at the stack
SWITCH = 0.0001  # seconds after which Python code lets another thread have a look


# ------------------------------------------------------------------ floating-point operations


def flops(config: Mapping[str, Any], lengths: Sequence[int]) -> float:
    """Operations of a BERT encoder over sequences of these lengths, without any padding.

    A matrix product (a, b) x (b, c) counts 2abc. In each layer, for n tokens, width h and inner width i:
    query, key, value and output 8nh², scores and their use 4n²h, the two linear maps between 4nhi.
    Norms, activations, softmax, embeddings and the head are not counted.
    """
    hidden, inner = int(config["hidden_size"]), int(config["intermediate_size"])
    layers = int(config["num_hidden_layers"])
    each = (8 * n * hidden**2 + 4 * n * n * hidden + 4 * n * hidden * inner for n in lengths)
    return float(layers * sum(each))


def peak_gflops(seconds: float = 1.0) -> float:
    """The best rate of large float32 matrix products in this process, over about so many seconds."""
    import torch

    best = 0.0
    for size in PEAK_SIZES:
        a, b = torch.rand(size, size), torch.rand(size, size)
        end = time.perf_counter() + seconds / len(PEAK_SIZES)
        while (begin := time.perf_counter()) < end:
            torch.mm(a, b)
            best = max(best, 2 * size**3 / (time.perf_counter() - begin) / 1e9)
    return best


def share_of_peak(model: str, cases: Sequence[Case], run: Callable[[], object]) -> dict[str, Any]:
    """The rate of a cloze run in operations that real tokens need, beside the peak just before and after.

    `encoder_share` takes only the time in which the model itself was running (by `Sampler`).
    """
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    lengths = [len(tokenizer(case.filled(tokenizer.mask_token)[0])["input_ids"]) for case in cases]
    needed = flops(json.loads((Path(model) / "config.json").read_text()), lengths)
    run()
    before = peak_gflops()
    with Sampler() as sampler:
        begin = time.perf_counter()
        run()
        seconds = time.perf_counter() - begin
    peak = max(before, peak_gflops())
    rate = needed / seconds / 1e9
    inside = sampler.shares()["parts"].get("model", 0.0)
    return {
        "rows": len(cases),
        "tokens": sum(lengths),
        "seconds": seconds,
        "gflop": needed / 1e9,
        "peak_gflops": peak,
        "gflops": rate,
        "share": rate / peak,
        "model_time": inside,
        "encoder_share": rate / peak / inside if inside else None,
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
        if "/promptshot/scorers/tokens" in file or "/tokenizers/" in file:
            return "tokenize and plan"
    return "read and the rest" if own else "outside"


class Sampler:
    """A look at this thread's stack every few milliseconds: light, and fair to code in C and Rust.

        with Sampler() as sampler: ...
        sampler.shares()   {"parts": {"model": 0.9, ...}, "functions": {"scorers/base.py read": 0.3, ...}}

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
