"""What a run by the actors of a Ray cluster costs, on this machine: a table as Markdown. Needs promptshot[ray].

python -m benchmarks.scale rate [--rows 100000 1000000]      around the model, with the fake scorer: rows/s, memory
python -m benchmarks.scale driver [--rows 50000 200000]      the same by the forms of input and output
python -m benchmarks.scale efficiency [--rows 4000 12000]    two one-core actors beside two threads of one process

Every run is a process of its own; its memory is that of the driver alone, for actors are other processes. Rows per
second are taken between two sizes of file, so that starts do not count; the runs of a pair take turns.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.around import write_rows
from benchmarks.measure import environment

FAKE = ("-t", "en-sentiment-mlm", "--scorer", "fake")
MODEL = ("-t", "en-sentiment-mlm")
SIZES = {"rate": [100_000, 1_000_000], "driver": [50_000, 200_000], "efficiency": [4_000, 12_000]}
CORES = len(os.sched_getaffinity(0))


# The command, which leaves the CPU seconds of its own process: those of a cluster that it starts and ends are none.
OWN = """
import atexit, pathlib, resource
from promptshot.__main__ import main
used = lambda: resource.getrusage(resource.RUSAGE_SELF)
atexit.register(lambda: pathlib.Path("cpu").write_text(str(used().ru_utime + used().ru_stime)))
main()
"""


class Ran(NamedTuple):
    """One run: seconds, the largest memory of its process in MB, and the seconds that this had of a processor."""

    seconds: float
    peak: float
    own: float


class Way(NamedTuple):
    """How many threads, with which options, from which form of file to which."""

    threads: int
    options: Sequence[str]
    read: str = "jsonl"
    written: str = "jsonl"


def write_input(folder: Path, rows: int) -> None:
    """The same rows as JSON lines and as a table."""
    write_rows(folder / f"{rows}.jsonl", rows)
    with (folder / f"{rows}.csv").open("w", encoding="utf-8") as out:
        table = csv.writer(out)
        table.writerow(("id", "text", "label"))
        with (folder / f"{rows}.jsonl").open(encoding="utf-8") as lines:
            table.writerows(json.loads(line).values() for line in lines)


def run(folder: Path, rows: int, way: Way) -> Ran:
    """Classify so many rows."""
    out = f"out.{way.written}"
    (folder / out).unlink(missing_ok=True)
    command = [sys.executable, "-c", OWN, "classify", f"{rows}.{way.read}", "-o", out, "--overwrite", "-q"]
    paths = [environment(way.threads)["PYTHONPATH"], os.environ.get("PYTHONPATH", "")]
    settings = {
        **environment(way.threads),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "RAY_AUTH_MODE": "disabled",
    }
    began = time.perf_counter()
    process = subprocess.Popen([*command, *way.options], cwd=folder, env=settings)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # it has been waited for
    if process.returncode:
        raise RuntimeError(f"{' '.join(way.options)} ended with {process.returncode}")
    return Ran(time.perf_counter() - began, usage.ru_maxrss / 1024, float((folder / "cpu").read_text()))


def compared(sizes: Sequence[int], ways: Mapping[str, Way], rounds: int) -> None:
    """Each way over each size of file, by turns: a table."""
    found: dict[tuple[str, int], list[Ran]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in sizes:
            write_input(folder, size)
        for _ in range(rounds):
            for size in sizes:
                for way, how in ways.items():
                    found.setdefault((way, size), []).append(run(folder, size, how))
    first, *_, last = sizes
    of_sizes = " | ".join(f"{size:,} rows, s | MB" for size in sizes)
    print(f"| run | {of_sizes} | rows/s between | of the first | its own CPU, us a row |")
    print(f"|---|{'--:|--:|' * len(sizes)}--:|--:|--:|")
    rates: dict[str, list[float]] = {}
    for way in ways:
        pairs = list(zip(found[way, first], found[way, last], strict=True))
        rates[way] = [(last - first) / (large.seconds - small.seconds) for small, large in pairs]
        cells = [
            f"{median(one.seconds for one in found[way, size]):.1f} | {max(one.peak for one in found[way, size]):.0f}"
            for size in sizes
        ]
        of = median(own / other for own, other in zip(rates[way], rates[next(iter(ways))], strict=True))
        own = median((large.own - small.own) / (last - first) * 1e6 for small, large in pairs)
        print(f"| {way} | {' | '.join(cells)} | {median(rates[way]):,.0f} | {of:.2f} | {own:.1f} |", flush=True)


def main() -> None:
    """Print the table that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["rate", "driver", "efficiency"])
    parser.add_argument("--rows", type=int, nargs="+")
    parser.add_argument("--rounds", type=int, default=1)
    given: Any = parser.parse_args()
    far = ("--ray", "--ray-cpus", "1")
    if given.what == "rate":
        ways = {"one process": Way(1, FAKE), f"{CORES} one-core actors": Way(1, (*FAKE, *far))}
    elif given.what == "driver":
        forms = (("jsonl", "jsonl"), ("csv", "jsonl"), ("jsonl", "csv"))
        ways = {f"{read} to {written}": Way(1, (*FAKE, *far), read, written) for read, written in forms}
    else:
        ways = {
            f"{CORES} threads of one process": Way(CORES, MODEL),
            f"{CORES} one-core actors": Way(1, (*MODEL, *far)),
        }
    sizes = given.rows or SIZES[given.what]
    if len(set(sizes)) < 2:
        parser.error("--rows takes two numbers or more: the rate is taken between them")
    compared(sizes, ways, given.rounds)


if __name__ == "__main__":
    main()
