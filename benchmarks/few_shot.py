"""What demonstrations and calibration give: accuracy by their number, mean and sd over draws, from the command line.

python -m benchmarks.few_shot --data DIR --model builtin:gpt2 --model FOLDER
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

ROOT = Path(__file__).parent.parent
METHODS = ("content-free", "pmi", "batch", "prior", "can", "temperature", "few-label")
NEED_LABELS = ("temperature", "few-label")
SHOTS, POOL, DEV = (0, 4, 8, 16), 400, 32  # rows to draw demonstrations from, labelled rows to fit on


@dataclass(frozen=True)
class Task:
    """A data set: where its rows are, and what is asked of them, each way."""

    name: str
    test: str
    train: str  # demonstrations and labelled rows are its last ones
    verbalizer: str
    direct: str
    channel: str


TASKS = (
    Task(
        "AG News",
        "agnews.test.jsonl",
        "agnews.test.jsonl",
        "en-news",
        "Article: {text}\nTopic: {mask}",
        "Topic: {mask}\nArticle: {text}",
    ),
    Task(
        "SST-2",
        "sst2.dev.jsonl",
        "sst2.train.jsonl",
        "en-positive-negative",
        "Review: {text}\nSentiment: {mask}",
        "Sentiment: {mask}\nReview: {text}",
    ),
)


@dataclass(frozen=True)
class Line:
    """One line of the table: what was done, and the accuracies and calibration errors by the number of
    demonstrations."""

    model: str
    task: str
    direction: str
    method: str
    rows: int
    accuracy: dict[int, list[float]]
    error: dict[int, list[float]]


def template(path: Path, task: Task, direction: str) -> Path:
    """A template file of the task."""
    keys = {
        "scorer": "causal",
        "text": task.direct if direction == "direct" else task.channel,
        "separator": "\n\n",
        "verbalizer": task.verbalizer,
        "example": {"text": "The village fair was on again this weekend"},
        **({"direction": "channel"} if direction == "channel" else {}),
    }
    path.write_text(json.dumps(keys), encoding="utf-8")  # which is YAML, too
    return path


def write(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def balanced(lines: Sequence[str], rows: int, dice: random.Random) -> list[str]:
    """About so many of the lines, as many of each label, mixed: a uniform prior is then the right one."""
    of_label: dict[str, list[str]] = {}
    for line in lines:
        of_label.setdefault(json.loads(line)["label"], []).append(line)
    each = min(rows // len(of_label), *map(len, of_label.values()))
    found = [line for label in sorted(of_label) for line in dice.sample(of_label[label], each)]
    return dice.sample(found, len(found))


def prepare(folder: Path, data: Path, task: Task, rows: int, seed: int = 0) -> dict[str, Path]:
    """Files of rows that judge, rows to draw demonstrations from, and labelled rows to fit on; none in two of them."""
    folder.mkdir(parents=True, exist_ok=True)
    tested = (data / task.test).read_text(encoding="utf-8").splitlines()
    trained = (data / task.train).read_text(encoding="utf-8").splitlines()
    pool, dev = trained[-POOL:], trained[-POOL - DEV : -POOL]
    rest = tested[: -POOL - DEV] if task.test == task.train else tested
    judged = balanced(rest, rows, random.Random(seed))
    named = {"test": judged, "pool": pool, "dev": dev}
    return {name: write(folder / f"{name}.jsonl", lines) for name, lines in named.items()}


def command(*arguments: object) -> None:
    """Run promptshot; raises RuntimeError where it fails."""
    asked = [sys.executable, "-m", "promptshot", *map(str, arguments)]
    done = subprocess.run(asked, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    if done.returncode not in (0, 3):
        raise RuntimeError(f"{' '.join(asked)}\n{done.stderr[-2000:]}")


def figures(path: Path, name: str) -> dict[int, list[float]]:
    """A metric of each run, by the number of demonstrations."""
    found: dict[int, list[float]] = {}
    for run in json.loads(path.read_text(encoding="utf-8"))["runs"]:
        if run.get(name) is not None:
            found.setdefault(run["shots"], []).append(run[name])
    return found


def measured(
    folder: Path, files: dict[str, Path], model: str, task: Task, direction: str, seeds: int
) -> Iterator[Line]:
    """Score once, then calibrate what was stored in every way."""
    folder.mkdir(parents=True, exist_ok=True)
    asked = template(folder / "template.yaml", task, direction)
    drawn = ("-k", ",".join(map(str, SHOTS)), "--demo-seeds", seeds, "--demos", files["pool"])
    for name in ("test", "dev"):
        out, summary = folder / f"{name}.jsonl", folder / f"{name}.json"
        command("classify", files[name], "-t", asked, "-m", model, *drawn, "-o", out, "--summary", summary)
    rows = len(files["test"].read_text(encoding="utf-8").splitlines())
    for method in ("none", *METHODS):
        summary = folder / ("test.json" if method == "none" else f"{method}.json")
        if method != "none":
            dev = ("--dev", folder / "dev.jsonl") if method in NEED_LABELS else ()
            made = ("-o", folder / f"{method}.jsonl", "--summary", summary, "--overwrite")
            command("calibrate", folder / "test.jsonl", "--method", method, *dev, *made)
        accuracy, error = figures(summary, "accuracy"), figures(summary, "ece")
        yield Line(Path(model).name, task.name, direction, method, rows, accuracy, error)


def shown(values: Sequence[float]) -> str:
    """Mean and sd over draws, in percent."""
    spread = f" ({100 * stdev(values):.1f})" if len(values) > 1 else ""
    return f"{100 * fmean(values):.1f}{spread}"


def table(lines: Sequence[Line]) -> str:
    """As markdown: a table for each model, data set and direction."""
    parts: list[str] = []
    for key in dict.fromkeys((line.model, line.task, line.direction, line.rows) for line in lines):
        model, task, direction, rows = key
        heads = [f"k = {k}" for k in SHOTS] + [f"ECE, k = {k}" for k in SHOTS]
        parts.append(f"\n### {task}, {direction}, {model} ({rows} rows)\n")
        parts.append(f"| calibration | {' | '.join(heads)} |\n|---|{'--:|' * len(heads)}")
        for line in lines:
            if (line.model, line.task, line.direction, line.rows) == key:
                cells = [shown(of[k]) if k in of else "" for of in (line.accuracy, line.error) for k in SHOTS]
                parts.append(f"| {line.method} | {' | '.join(cells)} |")
    return "\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="the folder with the rows")
    parser.add_argument("--model", action="append", help="a built-in model or a folder; again for more")
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=["direct", "channel"], choices=["direct", "channel"])
    parser.add_argument("--work", type=Path, default=ROOT / "benchmarks" / ".work" / "few-shot")
    parser.add_argument("--output", type=Path, help="where the tables go, beside stdout")
    asked: Any = parser.parse_args()
    lines: list[Line] = []
    for model in asked.model or ["builtin:gpt2"]:
        for direction in asked.only:
            for task in TASKS:
                name = f"{Path(model).name.replace(':', '-')}-{task.name.replace(' ', '')}-{direction}-{asked.rows}"
                files = prepare(asked.work / name / "rows", asked.data, task, asked.rows)
                for line in measured(asked.work / name, files, model, task, direction, asked.seeds):
                    lines.append(line)
                    print(f"{line.model} {line.task} {line.direction} {line.method}", line.accuracy, flush=True)
    print(table(lines))
    if asked.output:
        asked.output.write_text(table(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
