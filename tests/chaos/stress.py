"""Stop runs at random moments, again and again, and see that nothing is lost.

    python tests/chaos/stress.py [--stops 100] [--rows 5000] [--seed 0] [--only NAME]

Each scenario is run once undisturbed. Then it is started, stopped at a random moment and started again with
the same command until it comes to its end, over and over until it has been stopped `--stops` times. Output,
rejects and summary must then be the very bytes of the undisturbed run (timings aside).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
# Slow enough to be met in the middle of a run, and the same scores every time.
SLOW = """
import time
from promptshot.scorers.fake import FakeScorer
class Slow(FakeScorer):
    def score(self, prompts):
        time.sleep(len(prompts) / 5000)
        return super().score(prompts)
"""
TIMINGS = ("seconds", "rows_per_second")
CODES = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}


@dataclass(frozen=True)
class Scenario:
    """What is run, and how it is stopped."""

    name: str
    output: str
    options: tuple[str, ...]
    signal: signal.Signals = signal.SIGKILL


CLOZE = ("-t", "{mask}满意。{text}", "--labels", "positive=很,negative=不")
PAIRS = ("-t", "zh-entailment-nsp")
SHOTS = ("-t", "en-sentiment-causal", "-k", "4", "--demos", "demos.jsonl", "--seed", "3")
SCENARIOS = (
    Scenario("kill, JSONL", "out.jsonl", CLOZE),
    Scenario("kill, CSV", "out.csv", CLOZE),
    Scenario("kill, gzip", "out.jsonl.gz", CLOZE),
    Scenario("kill, whole-run decision", "out.jsonl", PAIRS),
    Scenario("kill, demonstrations", "out.tsv.gz", SHOTS),
    Scenario("SIGTERM", "out.jsonl", CLOZE, signal.SIGTERM),
    Scenario("SIGTERM, whole-run decision", "out.csv.gz", PAIRS, signal.SIGTERM),
    Scenario("Ctrl-C", "out.jsonl.gz", CLOZE, signal.SIGINT),
)


def generate(folder: Path, rows: int, seed: int) -> None:
    """The input, with a bad row here and there, a file of demonstrations, and the slow scorer."""
    rng = random.Random(seed)
    words = ["房间", "干净", "很吵", "the food", "was cold", "早餐", "=1+1", "🙂", "\\u001b[31m"]

    def line(number: int) -> str:
        if rng.random() < 0.02:
            return rng.choice(['{"text": ', '{"text": ""}', '{"other": 1}', '{"text": NaN}', "[]", '{"text": null}'])
        text = "".join(rng.choices(words, k=rng.randint(1, 30))).replace("\\u001b", "")
        return json.dumps(
            {"id": number, "text": text, "text_a": text, "text_b": rng.choice(words), "label": rng.choice(LABELS)},
            ensure_ascii=rng.random() < 0.5,
        )

    (folder / "in.jsonl").write_text("\n".join(line(number) for number in range(rows)) + "\n", encoding="utf-8")
    shots = [json.dumps({"text": f"example {n}", "label": LABELS[n % 2]}) for n in range(20)]
    (folder / "demos.jsonl").write_text("\n".join(shots) + "\n")
    (folder / "slow.py").write_text(SLOW)


LABELS = ("positive", "negative", "neither")


def command(scenario: Scenario) -> list[str]:
    """The command line of a scenario, to be run within its folder."""
    files = ["in.jsonl", "-o", scenario.output, "--summary", "summary.json"]
    labels = ["--ignore-labels"] if scenario.options is PAIRS else []
    scorer = [] if "--scorer" in scenario.options else ["--scorer", "slow:Slow"]
    return [sys.executable, "-m", "promptshot", "classify", *files, *scorer, *scenario.options, *labels]


def start(scenario: Scenario, folder: Path, **settings: Any) -> subprocess.Popen[str]:
    """The run as a process of its own."""
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "NO_COLOR": "1"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command(scenario), cwd=folder, env=environment, **streams, **settings)


def results(scenario: Scenario, folder: Path) -> dict[str, bytes]:
    """What must be the same: the bytes of output and rejects, and the summary without its timings."""
    summary = json.loads((folder / "summary.json").read_text())
    kept = {key: value for key, value in summary.items() if key not in TIMINGS}
    files = (scenario.output, f"{scenario.output}.rejects.jsonl")
    return {**{name: (folder / name).read_bytes() for name in files}, "summary": json.dumps(kept).encode()}


def clear(scenario: Scenario, folder: Path) -> None:
    """Remove what a run has made."""
    for path in [folder / "summary.json", *folder.glob(f"{scenario.output}*")]:
        path.unlink(missing_ok=True)


def undisturbed(scenario: Scenario, folder: Path) -> tuple[dict[str, bytes], float]:
    """The results of a run that nobody stops, and its seconds."""
    began = time.monotonic()
    process = start(scenario, folder)
    said, _ = process.communicate()
    assert process.returncode == 3, said  # some rows are rejected
    seconds = time.monotonic() - began
    found = results(scenario, folder)
    clear(scenario, folder)
    return found, seconds


def stop_again_and_again(scenario: Scenario, folder: Path, stops: int, rng: random.Random) -> int:
    """Runs that came to their end after `stops` stops in all; every one must have the right results."""
    expected, seconds = undisturbed(scenario, folder)
    done = finished = 0
    while done < stops:
        process = start(scenario, folder)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0.1, seconds))
        process.send_signal(scenario.signal)
        said, _ = process.communicate(timeout=30)
        if process.returncode == 3:
            assert results(scenario, folder) == expected, f"{scenario.name}: not the same after {done} stops"
            clear(scenario, folder)
            finished += 1
            continue
        early = -int(scenario.signal)  # before Python could take the signal
        assert process.returncode in (CODES[scenario.signal], early), f"{process.returncode}: {said}"
        assert "Traceback" not in said or process.returncode == early, said
        done += 1
    process = start(scenario, folder)
    said, _ = process.communicate()
    assert process.returncode == 3, said
    assert results(scenario, folder) == expected, f"{scenario.name}: not the same after {done} stops"
    clear(scenario, folder)
    return finished + 1


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Callable[[int], None]]:
    """A disk of that size at `folder` (needs root), and a function that gives it another size."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    subprocess.run(mount, check=True, capture_output=True)

    def resize(size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}k", str(folder)], check=True)

    try:
        yield resize
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill_the_disk(scenario: Scenario, folder: Path, rows: int, rng: random.Random) -> int:
    """How often the disk was full before the run came to its end, with the right results."""
    generate(folder, rows, 0)
    expected, _ = undisturbed(scenario, folder)
    needed = sum(map(len, expected.values())) // 1024
    with tempfile.TemporaryDirectory() as disk, small_disk(Path(disk), 64) as resize:
        for path in folder.iterdir():
            Path(disk, path.name).symlink_to(path)
        size = full = 0
        while size < 4 * needed:
            size += rng.randint(needed // 10, needed // 3)
            resize(64 + size)
            process = start(scenario, Path(disk))
            said, _ = process.communicate()
            if process.returncode == 3:
                assert results(scenario, Path(disk)) == expected, f"{scenario.name}: not the same after a full disk"
                return full
            assert process.returncode == 1, said
            assert "No space left on device" in said, said
            assert "Traceback" not in said, said
            full += 1
    raise AssertionError("the disk was never large enough")


def limit_files(kilobytes: int) -> Callable[[], None]:
    """For a process about to start: no file may grow beyond this. Works without root."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, resource.RLIM_INFINITY))


def memory(rows: int) -> str:
    """Score so many rows with the fake scorer and watch the memory of the process."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder), rows, 0)
        asked = command(Scenario("", "out.jsonl", ("--scorer", "fake", *CLOZE)))
        began, seen = time.monotonic(), []
        process = subprocess.Popen([*asked, "-q"], cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)})
        while process.poll() is None:
            with contextlib.suppress(OSError, StopIteration):
                lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                resident = next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS"))
                if Path(folder, "out.jsonl").exists() and Path(folder, "out.jsonl").stat().st_size:
                    seen.append(resident)
            time.sleep(0.1)
        assert process.returncode == 3, process.returncode
        summary = json.loads(Path(folder, "summary.json").read_text())
        assert summary["rows"] == rows, summary["rows"]
        assert max(seen) - seen[0] < 150, f"memory grew from {seen[0]} to {max(seen)} MB"
        rate = rows / (time.monotonic() - began)
        return f"{rows:,} rows, {rate:,.0f} rows/s with all; memory {seen[0]} MB at the start, at most {max(seen)} MB"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all scenarios and say how they went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stops", type=int, default=100, help="for each scenario")
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", type=int, metavar="ROWS", help="only watch the memory of a run of so many rows")
    parser.add_argument("--only", default="", help="scenarios whose name contains this")
    options = parser.parse_args(arguments)
    rng = random.Random(options.seed)
    if options.memory:
        print(memory(options.memory))
        return
    for scenario in [s for s in SCENARIOS if options.only in s.name]:
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            generate(Path(folder), options.rows, options.seed)
            runs = stop_again_and_again(scenario, Path(folder), options.stops, rng)
            seconds = time.monotonic() - began
            print(f"{scenario.name}: {options.stops} stops, {runs} runs, all the same, {seconds:.0f} s", flush=True)
    for scenario in [s for s in SCENARIOS[:4] if options.only in f"full disk {s.name}"]:
        with tempfile.TemporaryDirectory() as folder:
            full = fill_the_disk(scenario, Path(folder), options.rows, rng)
            print(f"full disk, {scenario.name.removeprefix('kill, ')}: {full} times full, the same", flush=True)


if __name__ == "__main__":
    main()
