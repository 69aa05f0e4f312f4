"""Kill the workers, the nodes and the driver of a run on a cluster of two nodes, and see that nothing is lost.

    python tests/chaos/cluster.py [--workers 50] [--drivers 20] [--nodes 2] [--rows 20000] [--seed 0]

Two raylets on this machine, one processor each. Each scenario is run once on one machine, with one thread; then by
workers of which one is killed at a random moment, again and again, by a driver that is killed and started again with
the same command, and with the built-in model while a node is killed and another comes. Output and rejects must be the
very bytes of the run that nobody disturbed. Needs the package ray; without it, it says so and ends well.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stress import CLOZE, ROOT, generate

STORE = 100 * 2**20  # bytes of a node's object store
FAKE = (*CLOZE, "--scorer", "slow:Slow")
MODEL = ("-t", "zh-sentiment-mlm")


@dataclass
class Nodes:
    """A cluster whose first node stays."""

    made: Any
    other: Any = field(default=None)

    @property
    def address(self) -> str:
        """Where it is."""
        return str(self.made.address)

    def add(self) -> None:
        """One more node."""
        self.other = self.made.add_node(num_cpus=1, object_store_memory=STORE)

    def kill(self) -> None:
        """The other node goes, as if its machine were lost, and another comes."""
        self.made.remove_node(self.other, allow_graceful=False)
        self.add()


@contextlib.contextmanager
def cluster() -> Iterator[Nodes]:
    """Two nodes of one processor each, whose workers find the slow scorer."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "object_store_memory": STORE, "include_dashboard": False}
    found = Nodes(Cluster(initialize_head=True, head_node_args=head))
    try:
        found.add()
        yield found
    finally:
        found.made.shutdown()


def command(output: str, options: Sequence[str], *more: str) -> list[str]:
    """The run of a scenario."""
    return [sys.executable, "-m", "promptshot", "classify", "in.jsonl", "-o", output, "-q", *options, *more]


def start(folder: Path, asked: Sequence[str]) -> subprocess.Popen[str]:
    """It, as the head of a group of processes of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(asked, cwd=folder, env=environment, start_new_session=True, **streams)  # type: ignore[call-overload,no-any-return]


def results(folder: Path, output: str) -> bytes:
    """What must be the same."""
    return b"\0".join((folder / f"{output}{end}").read_bytes() for end in ("", ".rejects.jsonl"))


def undisturbed(folder: Path, options: Sequence[str]) -> bytes:
    """The results of a run on this machine alone."""
    process = start(folder, command("plain.jsonl", options))
    said, _ = process.communicate()
    assert process.returncode == 3, said
    found = results(folder, "plain.jsonl")
    for path in folder.glob("plain.jsonl*"):
        path.unlink()
    return found


def unlike(expected: bytes, found: bytes) -> str:
    """Where two results differ first."""
    lines = zip(expected.splitlines(), found.splitlines(), strict=False)
    number, (one, other) = next(((i, pair) for i, pair in enumerate(lines, 1) if pair[0] != pair[1]), (0, (b"", b"")))
    counts = [len(each.splitlines()) for each in (expected, found)]
    return f"line {number} of {counts}: {one.decode()} | {other.decode()}"


def rows_written(folder: Path) -> int:
    """How far a run is."""
    path = folder / "out.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def disturbed(
    folder: Path, nodes: Nodes, options: Sequence[str], times: int, strike: Callable[[subprocess.Popen[str]], bool],
    pause: Callable[[], float],
) -> tuple[int, int]:  # fmt: skip
    """Strike so many times; (runs that came to their end, starts in all). Each run must have the right results."""
    expected = undisturbed(folder, options)
    struck = finished = starts = 0
    while struck < times or not finished:
        process = start(folder, command("out.jsonl", options, "--ray", nodes.address, "--ray-cpus", "1"))
        starts += 1
        due = time.monotonic() + pause()
        while process.poll() is None:
            if struck < times and time.monotonic() >= due and rows_written(folder):
                struck += strike(process)
                due = time.monotonic() + pause()
            time.sleep(0.02)
        said, _ = process.communicate()
        assert process.returncode in (3, -signal.SIGKILL) or "died of the same" in said, (process.returncode, said)
        if process.returncode == 3:
            assert (found := results(folder, "out.jsonl")) == expected, f"after {struck}: {unlike(expected, found)}"
            finished += 1
            for path in folder.glob("out.jsonl*"):
                path.unlink()
    return finished, starts


def kill_worker(rng: random.Random) -> Callable[[subprocess.Popen[str]], bool]:
    """Kills one of the actors, if there is one."""

    def strike(_: subprocess.Popen[str]) -> bool:
        found = subprocess.run(["pgrep", "-f", "^ray::Worker"], capture_output=True, text=True, check=False)
        alive = found.stdout.split()
        with contextlib.suppress(ProcessLookupError):
            if alive:
                os.kill(int(rng.choice(alive)), signal.SIGKILL)
                return True
        return False

    return strike


def kill_driver(process: subprocess.Popen[str]) -> bool:
    """Kills the run with all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return True


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all scenarios and say how they went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=50, help="killed")
    parser.add_argument("--drivers", type=int, default=20, help="killed")
    parser.add_argument("--nodes", type=int, default=2, help="killed, with the built-in model")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        import ray  # noqa: F401
    except ImportError:
        print("left out: it needs the package ray (promptshot[ray])")
        return
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["PYTHONPATH"] = os.pathsep.join([name, str(ROOT), os.environ.get("PYTHONPATH", "")])
        os.environ["RAY_AUTH_MODE"] = "disabled"
        generate(folder, options.rows, options.seed)
        with cluster() as nodes:
            scenarios = (
                ("workers", FAKE, options.workers, kill_worker(rng), lambda: rng.uniform(0.2, 1.5)),
                ("drivers", FAKE, options.drivers, kill_driver, lambda: rng.uniform(0.0, 2.0)),
                ("nodes", MODEL, options.nodes, lambda _: nodes.kill() or True, lambda: rng.uniform(3.0, 6.0)),
            )
            for what, asked, times, strike, pause in scenarios:
                if times:
                    began = time.monotonic()
                    finished, starts = disturbed(folder, nodes, asked, times, strike, pause)
                    seconds = time.monotonic() - began
                    said = f"{what}: {times} killed, {starts} starts, {finished} runs of {options.rows:,} rows"
                    print(f"{said}, all the same bytes, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
