"""Runs tools against each other: one process each, models loaded, never two at work at the same time."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import IO, Any

from benchmarks import envs, tables
from benchmarks.cases import Work

ROOT = Path(__file__).parent.parent
WORK = Path(__file__).parent / ".work"
OURS = "promptshot"
REST = 0.3  # seconds between runs, so that the threads of the last one are asleep

# tool -> module, and the environment it lives in; without one, the interpreter of the checkout.
TOOLS: dict[str, tuple[str, str | None]] = {
    OURS: ("benchmarks.tools.ours", None),
    f"{OURS}-bfloat16": ("benchmarks.tools.ours", None),
    f"{OURS}-mixed": ("benchmarks.tools.ours", None),
    "lm-eval": ("benchmarks.tools.harness", "harness"),
    "minicons": ("benchmarks.tools.conditional", "minicons"),
    "minicons-cloze": ("benchmarks.tools.conditional", "minicons"),
    "openprompt": ("benchmarks.tools.openprompt_classes", "openprompt"),
    "fill-mask": ("benchmarks.tools.plain", None),
    "nsp-by-label": ("benchmarks.tools.plain", None),
    "nsp-by-row": ("benchmarks.tools.plain", None),
    "llama.cpp": ("benchmarks.tools.llama", "llama"),
    "llama.cpp-logits": ("benchmarks.tools.llama", "llama"),
    "llama.cpp-logits-bfloat16": ("benchmarks.tools.llama", "llama"),
    "padded loop": ("benchmarks.tools.padded", None),
    "vllm": ("benchmarks.tools.served", "vllm"),
}
IMPORTED = {"harness": "lm_eval"}  # what an environment is for, where it is called otherwise


def environments(names: Iterable[str]) -> list[str]:
    """Those that these tools live in."""
    return sorted({env for name in names if (env := TOOLS[name][1])})


@dataclass(frozen=True)
class Settings:
    """What is the same for all tools."""

    threads: int
    device: str = "cpu"
    dtype: str = "float32"
    rounds: int = 3
    trial: int = 32  # requests (rows times choices), at least, on which batch sizes are tried; 0: none is


class ToolError(Exception):
    """A tool could not do what it was asked."""


class Worker:
    """A tool's process, and the lines that go to and fro."""

    def __init__(self, name: str, settings: Settings) -> None:
        module, env = TOOLS[name]
        python = interpreter(env) if env else sys.executable
        (WORK / "logs").mkdir(parents=True, exist_ok=True)
        self._log: IO[str] = open(WORK / "logs" / f"{name}.log", "w", encoding="utf-8")
        self._process = subprocess.Popen(
            [python, "-m", module, name],
            cwd=ROOT,
            env=environment(settings.threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
        )
        self.name = name

    def ask(self, **line: Any) -> dict[str, Any]:
        """One line there, one line back; raises ToolError."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(line) + "\n")
            self._process.stdin.flush()
            said = self._process.stdout.readline()
        except BrokenPipeError:
            said = ""
        if not said:
            raise ToolError(f"{self.name} stopped, see {Path(self._log.name).relative_to(ROOT)}")
        reply: dict[str, Any] = json.loads(said)
        if "error" in reply:
            raise ToolError(reply["error"])
        return reply

    def close(self) -> None:
        """End the process."""
        self._process.communicate()
        self._log.close()


def environment(threads: int) -> dict[str, str]:
    """The environment of every tool: so many threads, and no way to the network."""
    count = str(threads)
    numbers = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), count)
    offline = dict.fromkeys(("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"), "1")
    return {**os.environ, **numbers, **offline, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}


def interpreter(env: str) -> str:
    """The one that has a tool: that of its environment, or our own; raises ToolError."""
    if envs.ready(env):
        return str(envs.python(env))
    if importlib.util.find_spec(IMPORTED.get(env, env)) is None:
        raise ToolError(f"the environment {env!r} is not installed")
    return sys.executable


@dataclass
class Pool:
    """The processes at hand, each with the model it has loaded."""

    settings: Settings
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    _live: dict[str, tuple[str, Worker]] = field(default_factory=dict)

    def ready(self, name: str, model: Path) -> Worker:
        """The tool with that model loaded; raises ToolError."""
        loaded, worker = self._live.get(name, ("", None))
        if worker is None:
            worker = Worker(name, self.settings)
        if loaded != str(model):
            self._live[name] = ("", worker)
            said = worker.ask(do="load", model=str(model), device=self.settings.device, dtype=self.settings.dtype)
            self.versions[name] = said["versions"]
            self._live[name] = (str(model), worker)
        return worker

    def drop(self, name: str) -> None:
        """End a tool's process, if there is one."""
        if name in self._live:
            self._live.pop(name)[1].close()

    def close(self) -> None:
        """End all."""
        for name in list(self._live):
            self.drop(name)


def compare(pool: Pool, work: Work, model: Path, peers: Sequence[str]) -> dict[str, Any]:
    """Ours and the peers on the same work, in turns; a tool that fails is named with its reason."""
    path = WORK / f"{work.name}.json"
    path.parent.mkdir(exist_ok=True)
    work.write(path)
    trial = trial_rows(pool.settings.trial, len(work.cases), len(work.cases[0].choices))
    tools: dict[str, dict[str, Any]] = {}
    workers: dict[str, Worker] = {}
    for name in (OURS, *peers):
        try:
            workers[name] = pool.ready(name, model)
            workers[name].ask(do="take", work=str(path))
            tools[name] = workers[name].ask(do="choose", rows=trial)
            workers[name].ask(do="warm", rows=min(8, max(1, trial)))
        except ToolError as problem:
            tools[name] = {"error": str(problem)}
            workers.pop(name, None)
            pool.drop(name)
    runs = _in_turns(pool, workers, tools)
    for name, found in runs.items():
        if OURS in runs:
            tools[name] |= _summary(name, found, runs[OURS], len(work.cases))
        else:
            tools[name]["error"] = f"{OURS} has nothing to compare with"
    return {
        "work": work.name,
        "about": work.about,
        "scorer": work.scorer,
        "rows": len(work.cases),
        "choices": len(work.cases[0].choices),
        "model": model.name,
        "dtype": pool.settings.dtype,
        "tools": tools,
    }


def trial_rows(requests: int, rows: int, choices: int) -> int:
    """On how many rows batch sizes are tried: an eighth of them, but at least so many requests; none for 0."""
    return min(rows, max(-(-requests // choices), rows // 8)) if requests else 0


def _in_turns(
    pool: Pool, workers: dict[str, Worker], tools: dict[str, dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Every tool once in each round; who begins changes from round to round."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
    for number in range(pool.settings.rounds):
        names = list(workers)
        if not names:
            break
        for name in names[number % len(names) :] + names[: number % len(names)]:
            time.sleep(REST)
            try:
                runs[name].append(workers[name].ask(do="run"))
            except ToolError as problem:
                tools[name] = {"error": str(problem)}
                workers.pop(name)
                runs.pop(name)
                pool.drop(name)
    return runs


def _summary(
    name: str, found: Sequence[Mapping[str, Any]], ours: Sequence[Mapping[str, Any]], rows: int
) -> dict[str, Any]:
    seconds = [run["seconds"] for run in found]
    summary: dict[str, Any] = {
        "seconds": seconds,
        "rows_per_second": rows / median(seconds),
        "spread": tables.spread(seconds),
        "peak_mb": max(run["peak_mb"] for run in found),
        "device_peak_mb": max((run["device_peak_mb"] or 0 for run in found), default=0) or None,
    }
    if name != OURS:
        ratios = tables.ratios([run["seconds"] for run in ours], seconds)
        mine, theirs = ours[0]["scores"], found[0]["scores"]
        summary |= {
            "ratios": ratios,
            "ratio": median(ratios),
            "difference": tables.difference(mine, theirs, name in tables.SHARES, name in tables.LIKELIEST),
            "same": tables.agreement(mine, theirs),
            "missing": tables.missing(theirs),
        }
    return summary
