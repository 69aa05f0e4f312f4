"""Workers, nodes and drivers that are lost in the middle of a run on a cluster: each row once, and the same bytes."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers import write_rows

from promptshot.cli import run_command
from promptshot.scorers.fake import FakeScorer
from promptshot.scoring import Prompt, Scored

pytest.importorskip("ray")

HERE = Path(__file__).parent
STORE = 80 * 2**20  # bytes of a node's object store
ROWS = 5000


class Slow(FakeScorer):
    """Takes its time: a window of a thousand rows half a second."""

    def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
        """See `FakeScorer`."""
        time.sleep(len(prompts) / 2048)
        return super().score(prompts)


class Known(Slow):
    """Leaves the number of its process in a folder."""

    def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
        """See `FakeScorer`."""
        (Path(os.environ["LIVES"]) / str(os.getpid())).touch()
        return super().score(prompts)


class Mortal(FakeScorer):
    """Ends its process at a text with the word fatal, for as long as a folder has lives left in it."""

    def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
        """See `FakeScorer`."""
        for prompt in prompts:
            if "fatal" in prompt.texts()[0]:
                self._die()
        return super().score(prompts)

    def _die(self) -> None:
        for life in sorted(Path(os.environ["LIVES"]).iterdir()):
            try:
                life.unlink()
            except FileNotFoundError:  # another worker took it
                continue
            os._exit(1)


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers and commands find the scorers of this file."""
    paths = [str(HERE), str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.syspath_prepend(str(HERE))


@pytest.fixture
def nodes() -> Iterator[Any]:
    """A cluster with one node of one processor."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "object_store_memory": STORE, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    yield cluster
    cluster.shutdown()


def films(folder: Path, rows: int = ROWS, fatal: Sequence[int] = ()) -> str:
    """Rows, of which some kill and every 700th has no text."""
    texts = [f"film {i} of {i % 7}" + (" is fatal" if i in fatal else "") for i in range(rows)]
    path: str = write_rows(
        folder / "films.jsonl", [{"id": i} if i % 700 == 9 else {"text": t} for i, t in enumerate(texts)]
    )
    return path


def command(path: str, out: Path, scorer: str, *more: str) -> list[str]:
    """That labels the rows."""
    return ["classify", path, "-t", "en-sentiment-mlm", "--scorer", scorer, "-q", "-o", str(out), *more]


def plainly(path: str, out: Path, *more: str) -> bytes:
    """What a run here writes."""
    assert run_command(command(path, out, "fake", *more)) in (0, 3)
    return written(out)


def written(out: Path) -> bytes:
    """The predictions and the rejects."""
    rejects = Path(f"{out}.rejects.jsonl")
    return out.read_bytes() + (rejects.read_bytes() if rejects.exists() else b"")


def until(ready: Any, seconds: float = 60) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.02)


def lives(folder: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> Path:
    """So many times a worker dies."""
    left = folder / "lives"
    left.mkdir()
    for i in range(number):
        (left / str(i)).touch()
    monkeypatch.setenv("LIVES", str(left))
    return left


def test_a_node_that_is_killed_twice_costs_no_row_and_changes_no_byte(tmp_path: Path, nodes: Any) -> None:
    path, out = films(tmp_path, 12000), tmp_path / "out.jsonl"
    node = nodes.add_node(num_cpus=1, object_store_memory=STORE)
    rays = command(path, out, "test_ray_lost:Slow", "--ray", nodes.address, "--ray-cpus", "1")
    driver = subprocess.Popen([sys.executable, "-m", "promptshot", *rays])
    for rows in (1, 5000):
        until(lambda rows=rows: out.exists() and out.read_bytes().count(b"\n") >= rows)
        nodes.remove_node(node, allow_graceful=False)
        node = nodes.add_node(num_cpus=1, object_store_memory=STORE)
    assert out.read_bytes().count(b"\n") < 11000
    assert driver.wait(120) == 3
    assert written(out) == plainly(path, tmp_path / "plain.jsonl")


@pytest.fixture
def workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where each worker of a cluster that is made behind this leaves its number."""
    return lives(tmp_path, monkeypatch, 0)


def test_a_node_that_joins_later_gets_the_actor_that_waited(tmp_path: Path, workers: Path, nodes: Any) -> None:
    path, out = films(tmp_path, 12000), tmp_path / "out.jsonl"
    rays = command(path, out, "test_ray_lost:Known", "--ray", nodes.address, "--ray-cpus", "1", "--ray-actors", "2")
    driver = subprocess.Popen([sys.executable, "-m", "promptshot", *rays])
    until(lambda: out.exists() and out.read_bytes().count(b"\n") >= 1)
    assert len(list(workers.iterdir())) == 1
    nodes.add_node(num_cpus=1, object_store_memory=STORE)
    assert driver.wait(120) == 3
    assert len(list(workers.iterdir())) == 2
    assert written(out) == plainly(path, tmp_path / "plain.jsonl")


def test_workers_that_die_again_and_again_cost_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = films(tmp_path, fatal=[40, 1500, 4990]), tmp_path / "out.jsonl"
    left = lives(tmp_path, monkeypatch, 3)
    assert run_command(command(path, out, "test_ray_lost:Mortal", "--ray", "--ray-cpus", "1")) == 3
    assert not list(left.iterdir())
    assert written(out) == plainly(path, tmp_path / "plain.jsonl")


def test_rows_that_kill_every_worker_stop_the_run_with_a_line_and_it_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = films(tmp_path, fatal=[2500]), tmp_path / "out.jsonl"
    left = lives(tmp_path, monkeypatch, 100)
    rays = command(path, out, "test_ray_lost:Mortal", "--ray", "--ray-cpus", "1")
    assert run_command(rays) == 1
    told = capsys.readouterr().err
    assert "films.jsonl:2049: 4 workers died of the same 1,024 rows" in told
    assert out.read_bytes().count(b"\n") == 2048 - 3  # three had no text
    for life in left.iterdir():
        life.unlink()
    assert run_command(rays) == 3
    assert written(out) == plainly(path, tmp_path / "plain.jsonl")


def test_draws_of_demonstrations_follow_each_other_on_the_same_cluster(tmp_path: Path) -> None:
    path, out = films(tmp_path, 1500), tmp_path / "out.jsonl"
    pool = [{"text": f"a {i}", "label": ["positive", "negative"][i % 2]} for i in range(30)]
    more = ["-k", "2", "--demos", write_rows(tmp_path / "pool.jsonl", pool), "--demo-seeds", "3"]
    assert run_command(command(path, out, "fake", *more, "--ray", "--ray-cpus", "1")) == 3
    assert written(out) == plainly(path, tmp_path / "plain.jsonl", *more)


def test_what_was_read_before_a_file_breaks_is_written_as_it_is_without_a_cluster(tmp_path: Path) -> None:
    packed = gzip.compress(Path(films(tmp_path)).read_bytes())
    (tmp_path / "torn.jsonl.gz").write_bytes(packed[: len(packed) * 3 // 4])
    rows: list[bytes] = []
    for name, more in (("plain", []), ("ray", ["--ray", "--ray-cpus", "1"])):
        out = tmp_path / f"{name}.jsonl"
        run_command(command(str(tmp_path / "torn.jsonl.gz"), out, "fake", *more))
        rows.append(out.read_bytes() if out.exists() else b"")
    assert rows[0] == rows[1]
    assert rows[0].count(b"\n") > 1024


@pytest.mark.parametrize("rows", [1, 3000])
def test_a_run_whose_driver_was_killed_goes_on_to_the_same_bytes(tmp_path: Path, rows: int) -> None:
    path, out = films(tmp_path), tmp_path / "out.jsonl"
    rays = command(path, out, "test_ray_lost:Slow", "--ray", "--ray-cpus", "1")
    driver = subprocess.Popen([sys.executable, "-m", "promptshot", *rays], start_new_session=True)
    until(lambda: out.exists() and out.read_bytes().count(b"\n") >= rows)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    assert out.read_bytes().count(b"\n") < ROWS - 8
    assert run_command(rays) == 3
    assert written(out) == plainly(path, tmp_path / "plain.jsonl")
