"""What everything around the model costs: `classify` over many rows with the fake scorer, start to end."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measure import ROOT, environment

COMMAND = ("classify", "rows.jsonl", "-t", "en-sentiment-mlm", "--scorer", "fake", "-o", "out.jsonl")

SUBJECTS = ("the soup", "our waiter", "this kettle", "the second chapter", "her voice", "the hotel room", "the plot")
VERBS = ("was", "seemed", "turned out", "stayed", "felt", "became", "looked")
VERDICTS = ("lovely", "cold", "far too loud", "better than last year", "a little dull", "worth every cent", "broken")


def write_rows(path: Path, rows: int, seed: int = 0) -> None:
    """Rows with an id, a text of a few clauses and a label."""
    dice = random.Random(seed)
    with path.open("w", encoding="utf-8") as out:
        for number in range(rows):
            clauses = [
                f"{dice.choice(SUBJECTS)} {dice.choice(VERBS)} {dice.choice(VERDICTS)}"
                for _ in range(dice.randint(1, 4))
            ]
            label = dice.choice(("positive", "negative"))
            out.write(json.dumps({"id": number, "text": ", and ".join(clauses) + ".", "label": label}) + "\n")


def once(folder: Path, threads: int) -> tuple[float, float]:
    """Seconds and peak memory in MB of one command."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "promptshot", *COMMAND, "--overwrite"]
    process = subprocess.Popen(
        command, cwd=folder, env=environment(threads), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # it has been waited for
    seconds = time.perf_counter() - begin
    if process.returncode:
        raise RuntimeError(f"promptshot {' '.join(COMMAND)} ended with {process.returncode}")
    return seconds, usage.ru_maxrss / 1024


def measure(rows: int, threads: int, rounds: int) -> dict[str, Any]:
    """The command over `rows` rows, and over a tenth of them: the memory should be the same."""
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=ROOT / "benchmarks" / ".work") as name:
        folder = Path(name)
        for count in (1, rows // 10, rows):
            write_rows(folder / "rows.jsonl", count)
            found = [once(folder, threads) for _ in range(rounds)]
            seconds = median(seconds for seconds, _ in found)
            peak = max(peak for _, peak in found)
            runs.append(
                {"what": "start to end", "rows": count, "seconds": seconds, "rate": count / seconds, "peak_mb": peak}
            )
    first, last = runs[0], runs[-1]
    net = last["seconds"] - first["seconds"]
    runs.append({**last, "what": "without the start", "seconds": net, "rate": (rows - 1) / net})
    return {"command": f"promptshot {' '.join(COMMAND)}", "runs": runs, "rounds": rounds}
