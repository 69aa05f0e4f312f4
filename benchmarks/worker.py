"""The loop inside a tool's own process: one JSON line in, one JSON line out; the model stays loaded.

    {"do": "load", "model": DIR, "device": "cpu", "dtype": "float32", "tool": "lm-eval"}    -> versions
    {"do": "take", "work": FILE}                          what will be asked; also which batch sizes the tool has
    {"do": "choose", "rows": 40}                          -> seconds for each batch size; the best one is kept
    {"do": "warm", "rows": 8}
    {"do": "run"}                                         -> seconds, scores, peak memory

Timed is `Tool.run`: strings in, scores out, tokenization included. Not timed: imports, loading, reading the work.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import resource
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.cases import Case, Work, sample

Scores = list[list[float]]  # for each case, one number per choice


class Tool(ABC):
    """One way to score cases; a subclass per tool, each in its own module and process."""

    packages: ClassVar[tuple[str, ...]] = ("torch", "transformers")
    batch_sizes: tuple[int, ...] = ()  # to choose the best from; none: the tool decides itself

    def __init__(self, name: str) -> None:
        """`name` tells the ways apart that one module knows."""
        self.name = name

    @abstractmethod
    def load(self, model: str, device: str, dtype: str) -> None:
        """Load tokenizer and model."""

    def take(self, work: Work) -> None:
        """Whatever does not depend on the rows (a verbalizer, say); not timed."""
        self.work = work

    @abstractmethod
    def run(self, cases: Sequence[Case], batch_size: int) -> Scores:
        """Strings in, scores out: this is timed."""

    def extra(self, what: str, rows: int) -> dict[str, Any]:
        """Measurements that only one tool offers."""
        raise NotImplementedError(what)


def peak_reset() -> None:
    """Let the kernel count the peak of resident memory anew (Linux; elsewhere it stays the process's own)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_mb() -> float:
    """Peak of resident memory in MB since `peak_reset`, the model included."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def device_peak_mb() -> float | None:
    """Peak of an accelerator's memory in MB, None on a CPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return float(torch.cuda.max_memory_allocated()) / 2**20


def flop(run: Callable[[], object]) -> float | None:
    """The operations of the matrix products of a run, on an accelerator; None elsewhere, where some are not seen."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


SOME = 16  # rows, at most, on which batch sizes are tried where a budget of seconds is given


class Session:
    """A tool and what it has been told so far."""

    def __init__(self, tool: Tool) -> None:
        self.tool = tool
        self.cases: tuple[Case, ...] = ()
        self.batch_size = 0

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The reply to one line."""
        reply: dict[str, Any] = getattr(self, f"do_{asked.pop('do')}")(**asked)
        return reply

    def do_load(self, model: str, device: str, dtype: str) -> dict[str, Any]:
        """Load the model."""
        self.tool.load(model, device, dtype)
        found = {name: importlib.metadata.version(name) for name in self.tool.packages}
        return {"versions": {"python": sys.version.split()[0], **found}}

    def do_take(self, work: str) -> dict[str, Any]:
        """Read the cases."""
        taken = Work.read(Path(work))
        self.tool.take(taken)
        self.cases = taken.cases
        self.batch_size = 0
        return {"rows": len(self.cases)}

    def do_choose(self, rows: int) -> dict[str, Any]:
        """Try each batch size on a part of the rows, and keep the fastest; for no rows, the second size."""
        tried = {}
        part = sample(self.cases, rows) if rows else ()
        if self.tool.batch_sizes and not part:
            self.batch_size = self.tool.batch_sizes[1]
        elif self.tool.batch_sizes:
            self.tool.run(part[:2], self.tool.batch_sizes[-1])
            for size in self.tool.batch_sizes:
                begin = time.perf_counter()
                self.tool.run(part, size)
                tried[size] = time.perf_counter() - begin
            self.batch_size = min(tried, key=lambda size: tried[size])
        return {"batch_size": self.batch_size, "tried": tried, "rows": len(part)}

    def do_warm(self, rows: int) -> dict[str, Any]:
        """Run a few rows for nothing."""
        self.tool.run(sample(self.cases, rows), self.batch_size)
        return {}

    def do_run(self) -> dict[str, Any]:
        """All rows, timed."""
        peak_reset()
        if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        begin = time.perf_counter()
        scores = self.tool.run(self.cases, self.batch_size)
        seconds = time.perf_counter() - begin
        return {"seconds": seconds, "scores": scores, "peak_mb": peak_mb(), "device_peak_mb": device_peak_mb()}

    def do_budget(self, seconds: float) -> dict[str, Any]:
        """As many rows as so many seconds suffice for, by the fastest batch size; then the same once more, counted."""
        sizes = self.tool.batch_sizes or (0,)
        for _ in range(2):  # the first time costs more than those that follow
            begin = time.perf_counter()
            self.tool.run(self.cases[:1], sizes[0])
        part = sample(self.cases, min(SOME, max(1, int(seconds / 4 / (time.perf_counter() - begin)))))
        tried, refused = {}, ""
        for size in sizes:
            begin = time.perf_counter()
            try:
                self.tool.run(part, size)
            except Exception as problem:  # a batch that is too large for the device
                refused = f"{type(problem).__name__}: {problem}"[:200]
                continue
            tried[size] = time.perf_counter() - begin
            if sum(tried.values()) > seconds:
                break
        if not tried:
            raise RuntimeError(refused)
        self.batch_size = min(tried, key=lambda size: tried[size])
        rows = min(len(self.cases), max(1, int(len(part) * seconds / tried[self.batch_size])))
        self.cases, whole = self.cases[:rows], self.cases
        try:
            found = self.do_run()
            found |= {"rows": rows, "batch_size": self.batch_size, "tried": tried}
            return found | {"flop": flop(lambda: self.tool.run(self.cases, self.batch_size))}
        finally:
            self.cases = whole

    def do_extra(self, what: str, rows: int) -> dict[str, Any]:
        """A measurement of the tool's own."""
        return self.tool.extra(what, rows)


def serve(tool: Tool) -> None:
    """Answer lines until the input ends; what a tool prints goes to the log, not into the answers."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    session = Session(tool)
    for line in sys.stdin:
        try:
            reply = session.answer(json.loads(line))
        except Exception as problem:  # a tool may fail in any way: the report says how, and the others go on
            traceback.print_exc()
            reply = {"error": f"{type(problem).__name__}: {problem}"[:300]}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()
