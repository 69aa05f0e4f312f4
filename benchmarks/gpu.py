"""promptshot beside other tools on a GPU, in less than eight minutes: `make gpu`, or

python -m benchmarks.gpu [--device cuda] [--dtype bfloat16] [--minutes 7.5] [--quick] [--only llama-7b ...]

With --check the tests of every scorer and `promptshot doctor` run there before, and the exit code is 1 where they fail.
Weights are random and made on the device. Each tool takes as many rows as a few seconds suffice for; what the time does
not suffice for is named. Another tool stands in the table where it can be imported, or in its environment (envs.py).
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import shapes, tables, workloads
from benchmarks.bench import processor
from benchmarks.cases import Work
from benchmarks.measure import OURS, ROOT, WORK, Pool, Settings, ToolError

RESULTS = ROOT / "benchmarks" / "results"
ENCODERS, DECODERS = ("bert-base-en", "bert-large-en"), ("gpt2-small", "llama-1b", "llama-7b")
QUICK = ("bert-tiny", "gpt2-tiny")
SHOTS, LABELS = (0, 8, 16), (4, 77)
CAUSAL_PEERS, MLM_PEERS = ("padded loop", "lm-eval", "vllm"), ("padded loop",)
OTHERS_WEIGHTS = frozenset({"vllm"})  # tools whose scores are of weights of their own
ROWS = 4096
LONGEST = 200  # seconds for the tests, and for each question to doctor
LEAST = 0.3  # seconds that a tool is given at least


@dataclass(frozen=True)
class Cell:
    """What one tool is asked: a shape, and rows of so many shots and labels."""

    shape: str
    scorer: str
    shots: int
    labels: int
    tool: str


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.gpu", description="promptshot beside other tools on a GPU")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, cpu")
    parser.add_argument("--dtype", choices=sorted(tables.TOLERANCE), help="bfloat16; on a CPU float32")
    parser.add_argument("--minutes", type=float, default=7.5, help="for everything; what is left out then is named")
    parser.add_argument("--check", action="store_true", help="the tests and doctor first")
    parser.add_argument("--seconds", type=float, default=4.0, help="for one tool at one work, at most")
    parser.add_argument("--quick", action="store_true", help="tiny shapes and few rows: does it run, do scores agree?")
    parser.add_argument("--only", nargs="+", metavar="SHAPE", choices=[*ENCODERS, *DECODERS, *QUICK])
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for gpu.md and gpu.json")
    return parser.parse_args(given)


def cells(options: argparse.Namespace) -> list[Cell]:
    """All that is asked, a shape after another, so that each tool makes a model once."""
    names = options.only or (QUICK if options.quick else (*DECODERS, *ENCODERS))
    found = []
    for shape in names:
        masked = shapes.SHAPES[shape].tokenizer == "bert"
        works = [("mlm", 0)] if masked else [("causal", shots) for shots in ((0, 2) if options.quick else SHOTS)]
        for tool in (OURS, *(MLM_PEERS if masked else CAUSAL_PEERS)):
            found += [Cell(shape, *work, labels, tool) for work in works for labels in LABELS]
    return found


def work_of(cell: Cell, rows: int) -> Work:
    """The rows of a cell."""
    made = (
        workloads.cloze_of_messages(cell.labels, rows)
        if cell.scorer == "mlm"
        else workloads.messages(cell.shots, cell.labels, rows)
    )
    return replace(made, name=f"gpu-{cell.scorer}-{cell.shots}-{cell.labels}")


def peak(device: str, dtype: str) -> float:
    """Operations a second of a large product of matrices: the best of several rounds."""
    import torch

    size, rounds = (8192, 12) if device.startswith("cuda") else (1024, 4)
    one = torch.randn(size, size, device=device, dtype=getattr(torch, dtype))

    def seconds() -> float:
        begin = time.perf_counter()
        _ = one @ one
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        return time.perf_counter() - begin

    seconds()
    return float(2 * size**3 / min(seconds() for _ in range(rounds)))


def run(options: argparse.Namespace, pool: Pool, end: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What each cell gave, and the cells that gave nothing, with why; `end` is when all must be done."""
    found: list[dict[str, Any]] = []
    lost: list[dict[str, Any]] = []
    asked, gone = cells(options), dict[tuple[str, str], str]()  # of (tool, shape)
    for number, cell in enumerate(asked):
        left = end - time.monotonic()
        seconds = min(options.seconds, left / (3 * (len(asked) - number)))
        why = gone.get((cell.tool, "")) or gone.get((cell.tool, cell.shape), "")
        if not why and seconds < LEAST and not options.quick:
            why = "the time is over"
        if not why:
            print(f"{cell.shape}, {cell.shots} shots, {cell.labels} labels: {cell.tool}", file=sys.stderr)
            try:
                found.append(asdict(cell) | ask(pool, cell, max(LEAST, seconds), 8 if options.quick else ROWS))
            except ToolError as problem:
                why = str(problem)
                known = cell.tool in pool.versions
                pool.drop(cell.tool)
                gone[cell.tool, cell.shape if known else ""] = why
        if why:
            lost.append(asdict(cell) | {"why": why})
        if cell.tool != OURS and asked[number + 1 : number + 2] and asked[number + 1].tool != cell.tool:
            pool.drop(cell.tool)  # its memory is wanted
    return found, lost


def ask(pool: Pool, cell: Cell, seconds: float, rows: int) -> dict[str, Any]:
    """One tool on one work; raises ToolError."""
    path = WORK / f"{cell.scorer}-{cell.shots}-{cell.labels}.json"
    work_of(cell, rows).write(path)
    worker = pool.ready(cell.tool, shapes.hollow(cell.shape))
    worker.ask(do="take", work=str(path))
    said = worker.ask(do="budget", seconds=seconds)
    return said | {"rows_per_second": said["rows"] / said["seconds"]}


def checks(device: str) -> list[dict[str, Any]]:
    """What the tests of every scorer say on the device, and doctor of the built-in models in three precisions."""
    print("the tests of every scorer", file=sys.stderr)
    tests = ["pytest", "-p", "no:cacheprovider", "--numprocesses=0", "-m", "gpu", "tests/gpu"]
    code, said, seconds = _command(tests, {"PROMPTSHOT_TEST_DEVICE": device})
    lines = [line for line in said.splitlines() if line.strip()] or ["no word"]
    found: list[dict[str, Any]] = [
        {"check": "tests/gpu", "well": code == 0, "said": lines[-1].strip("= "), "seconds": seconds}
    ]
    for model in ("builtin:bert", "builtin:gpt2"):
        for dtype in ("float32", "bfloat16", "mixed"):
            print(f"doctor, {model}, {dtype}", file=sys.stderr)
            doctor = ["promptshot", "doctor", "-m", model, "--device", device, "--dtype", dtype, "--json"]
            code, said, seconds = _command(doctor)
            told: dict[str, Any] = {"verdict": "failed", "findings": []}
            told = json.loads(said) if code in (0, 3) else told
            worst = [
                f"{one['check']}: {one['said']}" for one in told["findings"] if one["verdict"] in ("look", "failed")
            ]
            line = "; ".join([told["verdict"], *worst])
            found.append({"check": f"doctor, {model}, {dtype}", "well": code == 0, "said": line, "seconds": seconds})
    return found


def _command(module: Sequence[str], more: Mapping[str, str] | None = None) -> tuple[int, str, float]:
    """The exit code of a module that is run, what it writes, and its seconds; 124 where it takes too long."""
    begin = time.monotonic()
    try:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **(more or {})}
        done = subprocess.run(
            [sys.executable, "-m", *module],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=LONGEST,
        )
        return done.returncode, done.stdout, time.monotonic() - begin
    except subprocess.TimeoutExpired:
        return 124, f"more than {LONGEST} seconds", time.monotonic() - begin


def judged(found: Sequence[dict[str, Any]], peak_flops: float) -> list[dict[str, Any]]:
    """With the share of the peak, and what each has beside ours: speed, and how far scores are apart."""
    ours = {_work(one): one for one in found if one["tool"] == OURS}
    told = []
    for one in found:
        mine, more = ours.get(_work(one)), dict[str, Any]()
        if one.get("flop"):
            more["share"] = one["flop"] / one["seconds"] / peak_flops
        if mine is not None and mine is not one:
            more["times"] = mine["rows_per_second"] / one["rows_per_second"]
            rows = min(one["rows"], mine["rows"])
            pair = mine["scores"][:rows], one["scores"][:rows]
            if one["tool"] not in OTHERS_WEIGHTS:
                more |= {"difference": tables.difference(*pair), "same": tables.agreement(*pair)}
        told.append({key: value for key, value in one.items() if key != "scores"} | more)
    return told


def _work(one: Mapping[str, Any]) -> tuple[Any, ...]:
    return one["shape"], one["scorer"], one["shots"], one["labels"]


def table(told: Sequence[Mapping[str, Any]]) -> str:
    """Markdown."""
    rows, last = [], ("", "")
    for one in sorted(told, key=lambda one: [list(map(_work, told)).index(_work(one)), one["tool"] != OURS]):
        title = one["shape"], f"{one['shots']} shots, {one['labels']} labels"
        memory = one.get("device_peak_mb") or one["peak_mb"]
        rows.append(
            [
                *(("", "") if title == last else title),
                one["tool"],
                f"{one['rows']:,}",
                f"{one['rows_per_second']:,.3g}",
                f"{one['times']:.2f}" if "times" in one else "",
                str(one["batch_size"] or "own"),
                f"{one['share']:.0%}" if "share" in one else "",
                f"{memory:,.0f}",
                f"{one['difference']:.1e}" if "difference" in one else "",
                f"{one['same']:.0%}" if "same" in one else "",
            ]
        )
        last = title
    head = ("model", "work", "tool", "rows", "rows/s", "times as fast is promptshot", "batch", "share of the peak",
            "memory, MB", "difference", "same label")  # fmt: skip
    return tables.markdown(head, rows)


LEGEND = """
- **share of the peak**: operations of the matrix products that a tool ran, by the seconds from strings to scores,
  beside what one large product reaches here. Who runs less for the same rows may be faster at a smaller share.
- **memory**: the most that a tool's tensors took on the device at once, weights included (on a CPU: resident memory).
- **difference**: the largest difference of a score from promptshot's, natural logarithms; **same label**: the share of
  rows with the same best word.
- Rows are as many as the seconds sufficed for; what rows share weighs more in more rows. The batch is the fastest of
  those that were tried.
- **padded loop**: OpenPrompt's way as a plain loop: each text padded to the longest, logits of all tokens.
"""


def document(facts: Mapping[str, Any], told: Sequence[Mapping[str, Any]], lost: Sequence[Mapping[str, Any]]) -> str:
    """The whole page."""
    said = [f"# On {facts['device_name']}", ""]
    said += ["> A quick run on tiny shapes: does it run, do scores agree? Its speeds mean nothing.", ""] * facts[
        "quick"
    ]
    if facts["checks"]:
        rows = [[one["check"], one["said"].replace("|", "/"), f"{one['seconds']:.0f}"] for one in facts["checks"]]
        said += [tables.markdown(("check", "what it says", "seconds"), rows)]
    said += [f"{facts['dtype']}; one large product: {facts['peak'] / 1e12:.3g} TFLOP/s.", "", table(told), LEGEND]
    whys: dict[tuple[str, str, str], list[str]] = {}
    for one in lost:
        whys.setdefault((one["tool"], one["shape"], one["why"]), []).append(f"{one['shots']}/{one['labels']}")
    said += ["Left out (shots/labels):", ""] * bool(whys)
    said += [f"- {tool}, {shape}, {', '.join(works)}: {why}" for (tool, shape, why), works in whys.items()]
    machine = f"{facts['date']}; {facts['cpu']}, {facts['cores']} cores; {facts['seconds']:.0f} seconds in all"
    versions = [f"- {name}: {_named(of)}" for name, of in sorted(facts["versions"].items())]
    return "\n".join([*said, "", "## Machine", "", f"- {machine}", *versions, ""])


def _named(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def main(given: Sequence[str] | None = None) -> int:
    """The table, or a line where there is no such device."""
    import torch

    options = arguments(given)
    cuda = options.device.startswith("cuda")
    if cuda and not torch.cuda.is_available():
        print("no CUDA device here; try --device cpu --quick, which shows that the benchmark runs", file=sys.stderr)
        return 1
    dtype = options.dtype or ("bfloat16" if cuda else "float32")
    checked = checks(options.device) if options.check else []
    begin = time.monotonic()
    WORK.mkdir(exist_ok=True)
    top = peak(options.device, dtype)
    pool = Pool(Settings(len(os.sched_getaffinity(0)), options.device, dtype))
    try:
        found, lost = run(options, pool, begin + 60 * options.minutes)
    finally:
        pool.close()
    told = judged(found, top)
    facts = {
        "date": datetime.date.today().isoformat(),
        "device": options.device,
        "device_name": torch.cuda.get_device_name(options.device) if cuda else processor(),
        "cpu": processor(),
        "cores": os.cpu_count(),
        "dtype": dtype,
        "peak": top,
        "quick": options.quick,
        "seconds": time.monotonic() - begin,
        "versions": pool.versions,
        "checks": checked,
    }
    page = document(facts, told, lost)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "gpu.md").write_text(page, encoding="utf-8")
    whole = {"facts": facts, "results": told, "left_out": lost}
    (options.out / "gpu.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    print(page)
    return 0 if all(one["well"] for one in checked) else 1


if __name__ == "__main__":
    sys.exit(main())
