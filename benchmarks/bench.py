"""Measures promptshot against other tools on this machine: `make bench`, `make bench-quick`, or

python -m benchmarks.bench [--quick] [--only NAME ...] [--data DIR] [--device cuda --dtype bfloat16 --shape llama-3b]
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import around, envs, measure, shapes, tables, workloads
from benchmarks.measure import OURS, ROOT, WORK, Pool, Settings

SUITES = {
    "causal": "Causal completion: the log-probability of label words behind a prompt",
    "llama": "Beside llama.cpp: label words behind a prompt, by the numbers of one file",
    "mlm": "Cloze: label words at a mask",
    "nsp": "Next-sentence pairs: one label in the first segment, the row in the second",
    "encoder": "BERT-base beside the machine's peak, and where the time goes",
    "around": "Everything around the model: reading, rendering, deciding, writing",
}


# Rows of each work where nothing stands beside it: whole windows have little padding.
ENCODER_ROWS = {"eprstmt": 610, "eprstmt-builtin": 610, "tnews-15": 24, "agnews-0": 32, "agnews-8": 20}


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.bench", description="promptshot beside other tools")
    names = [*SUITES, *(plan.name for plan in workloads.plans())]
    parser.add_argument("--quick", action="store_true", help="few rows, one round: does everything run and agree?")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names, help=", ".join(names))
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="fewclue/, *.jsonl")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N")
    parser.add_argument("--dtype", default="float32", choices=sorted(tables.TOLERANCE))
    parser.add_argument("--shape", choices=sorted(shapes.SHAPES), help="another model for the causal suite")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of every tool")
    parser.add_argument("--rounds", type=int, help="runs of each tool (3, quick: 1)")
    parser.add_argument("--rows", type=float, default=1.0, help="times as many rows, for faster machines")
    parser.add_argument("--out", type=Path, help="folder for results (benchmarks/results; quick: benchmarks/.work)")
    parser.add_argument("--note", default="", help="a line at the top of the results")
    parser.add_argument("--setup", action="store_true", help="only make environments and models")
    return parser.parse_args(given)


def facts(options: argparse.Namespace, versions: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Machine, versions, date."""
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": processor(),
        "cores": os.cpu_count(),
        "threads": options.threads,
        "device": options.device,
        "dtype": options.dtype,
        "load": options.load,
        "quick": options.quick,
        "note": options.note,
        "versions": dict(versions),
    }


def processor() -> str:
    """The name of the CPU, as the system gives it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def wanted(options: argparse.Namespace, suite: str) -> list[workloads.Plan]:
    """The workloads of a suite that were asked for, on the model that was asked for."""
    found = []
    for plan in workloads.plans():
        named = plan.name in (options.only or ())
        asked = not options.only or suite in options.only
        chosen = named or (asked and (plan.rows[1] or not options.quick))
        if plan.suite == suite and chosen and shapes.at_hand(plan.model):
            model = plan.quick_model or plan.model if options.quick else plan.model
            if options.shape and plan.model == "gpt2-small":
                model = options.shape
            found.append(replace(plan, model=model))
    return found


def compare(options: argparse.Namespace, pool: Pool, suite: str) -> list[dict[str, Any]]:
    """One suite against its peers."""
    results = []
    for plan in wanted(options, suite):
        rows = max(1, round(plan.rows[1] if options.quick else plan.rows[0] * options.rows))
        work = replace(plan.build(options.data, rows), name=plan.name, about=plan.about)
        print(f"{plan.name}: {len(work.cases)} rows, {plan.model}", file=sys.stderr)
        result = measure.compare(pool, work, shapes.folder(plan.model), plan.peers)
        print(tables.comparison([result]), file=sys.stderr)
        results.append(result)
    return results


def encoder(options: argparse.Namespace, pool: Pool) -> dict[str, Any]:
    """Share of the peak in BERT-base, and where the time of each scorer goes."""
    found: dict[str, Any] = {"time": []}
    names = ("eprstmt", "eprstmt-builtin") if options.quick else tuple(ENCODER_ROWS)
    for plan in (plan for plan in workloads.plans() if plan.name in names):
        rows = max(8, plan.rows[1]) if options.quick else ENCODER_ROWS[plan.name]
        work = replace(plan.build(options.data, rows), name=plan.name, about=plan.about)
        work.write(WORK / f"{plan.name}.json")
        worker = pool.ready(OURS, shapes.folder(plan.model))
        worker.ask(do="take", work=str(WORK / f"{plan.name}.json"))
        worker.ask(do="warm", rows=8)
        if plan.name == "eprstmt":
            found["peak"] = worker.ask(do="extra", what="encoder", rows=rows)
        found["time"].append({"work": f"{plan.about}, {plan.model}", **worker.ask(do="extra", what="time", rows=rows)})
    return found


def write(options: argparse.Namespace, suite: str, body: str, data: Any, versions: Mapping[str, Any]) -> None:
    """A suite's results as Markdown and JSON."""
    said = facts(options, versions)
    note = f"> {options.note}\n\n" if options.note else ""
    quick = "> A quick run: few rows, one round. The ratios mean little.\n\n" if options.quick else ""
    text = f"# {SUITES[suite]}\n\n{note}{quick}{body}\n## Machine\n\n{tables.machine(said)}"
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"{suite}.md").write_text(text, encoding="utf-8")
    whole = json.dumps({"facts": said, "results": data}, ensure_ascii=False, indent=1)
    (options.out / f"{suite}.json").write_text(whole + "\n", encoding="utf-8")
    print(f"\n{text}")


def one(options: argparse.Namespace, pool: Pool, suite: str) -> None:
    """Run one suite and write it down."""
    settings = pool.settings
    if suite == "around":
        found = around.measure(5_000 if options.quick else 100_000, settings.threads, settings.rounds)
        write(options, suite, tables.around(found), found, {})
    elif suite == "encoder":
        found = encoder(options, pool)
        write(options, suite, tables.encoder(found), found, {OURS: pool.versions[OURS]})
    elif results := compare(options, pool, suite):
        legend = tables.LEGEND.format(rounds=settings.rounds, tolerance=tables.TOLERANCE[settings.dtype])
        used = {name for result in results for name in result["tools"]} & set(pool.versions)
        versions = {name: pool.versions[name] for name in used}
        write(options, suite, f"{tables.comparison(results)}\n{legend}{tables.MORE.get(suite, '')}", results, versions)


def main() -> None:
    """Everything that was asked for, suite by suite."""
    options = arguments()
    options.load = os.getloadavg()[0]
    options.out = options.out or (WORK / "quick" if options.quick else ROOT / "benchmarks" / "results")
    rounds = options.rounds or (1 if options.quick else 3)
    settings = Settings(options.threads, options.device, options.dtype, rounds, 0 if options.quick else 32)
    for name in sorted({plan.model for plan in workloads.plans() if not shapes.at_hand(plan.model)}):
        print(f"left out: {name} is not in the folder gguf/ of PROMPTSHOT_REAL", file=sys.stderr)
    plans = [plan for suite in SUITES for plan in wanted(options, suite)]
    envs.make_all(measure.environments(peer for plan in plans for peer in plan.peers))
    WORK.mkdir(exist_ok=True)
    for name in sorted({plan.model for plan in plans}):
        shapes.folder(name)
    if options.setup:
        return
    if not options.data.is_dir():
        sys.exit(
            f"no data at {options.data}: name a folder with fewclue/, agnews.test.jsonl and sst2.test.jsonl: --data"
        )
    pool = Pool(settings)
    try:
        for suite in SUITES:
            if not options.only or suite in options.only or wanted(options, suite):
                one(options, pool, suite)
    finally:
        pool.close()


if __name__ == "__main__":
    main()
