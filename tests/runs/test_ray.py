"""Runs by the actors of a Ray cluster: the same bytes as here, whatever is lost on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers import read_rows, write_rows

from promptshot.cli import run_command
from promptshot.errors import PromptshotError

os.environ["RAY_AUTH_MODE"] = "disabled"
ray = pytest.importorskip("ray")
pytestmark = pytest.mark.torch

CLASSIFY = [sys.executable, "-m", "promptshot", "classify"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}


def rows(count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for number in range(count):
        text = (
            ""
            if number % 97 == 5
            else f"the room {number} was {'great' if number % 3 else 'cold'} , {'x ' * (number % 7)}"
        )
        found.append({"id": number, "text": text, "label": "positive" if number % 3 else "negative"})
    return found


def classify(*arguments: str, code: int = 3) -> str:
    """What a process of its own says, with one thread."""
    found = subprocess.run([*CLASSIFY, *arguments], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert found.returncode == code, found.stderr
    return found.stderr


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster of two processors."""
    made = ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": {"OMP_NUM_THREADS": "1"}}
    )
    yield made.address_info["gcs_address"]
    ray.shutdown()


def assert_same(folder: Path, address: str, arguments: Sequence[str], code: int = 3) -> None:
    """A run by actors leaves the bytes of a run here."""
    plain, far = (str(folder / f"{name}.jsonl") for name in ("plain", "far"))
    classify(*arguments, "-o", plain, code=code)
    classify(*arguments, "-o", far, "--ray", address, "--ray-cpus", "1", code=code)
    for end in ("", ".rejects.jsonl"):
        one, other = Path(f"{plain}{end}"), Path(f"{far}{end}")
        assert one.exists() == other.exists()
        if one.exists():
            assert one.read_bytes() == other.read_bytes()
    records = [json.loads(Path(f"{path}.run.json").read_text()) for path in (plain, far)]
    assert records[0]["fingerprint"] == records[1]["fingerprint"]
    assert [one["accuracy"] for one in records] == [records[0]["accuracy"]] * 2


@pytest.mark.parametrize(
    "options",
    [
        ["-t", "zh-sentiment-mlm"],
        ["-t", "en-sentiment-nsp"],
        ["-t", "en-sentiment-causal"],
        ["-t", "en-sentiment-mlm", "-t", "en-film-mlm"],
        ["-t", "en-sentiment-mlm", "--calibrate", "content-free"],
        ["-t", "en-sentiment-mlm", "--calibrate", "prior"],
    ],
    ids=" ".join,
)
def test_actors_leave_the_bytes_of_a_run_here(options: list[str], cluster: str, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.jsonl", rows(120))
    assert_same(tmp_path, cluster, [data, *options])


def test_many_windows_come_back_in_order_each_row_once(cluster: str, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.jsonl", rows(9000))
    assert_same(tmp_path, cluster, [data, "-t", "en-sentiment-mlm", "--scorer", "fake"])
    ids = [row["id"] for row in read_rows(tmp_path / "far.jsonl")]
    assert ids == [row["id"] for row in rows(9000) if row["text"]]


def test_a_killed_driver_goes_on_where_its_record_says(cluster: str, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.jsonl", rows(30_000))
    plain, far = (str(tmp_path / f"{name}.jsonl") for name in ("plain", "far"))
    ask = [data, "-t", "en-sentiment-mlm", "--scorer", "fake"]
    classify(*ask, "-o", plain)
    remote = [*ask, "-o", far, "--ray", cluster, "--ray-cpus", "1"]
    for _ in range(3):
        process = subprocess.Popen([*CLASSIFY, *remote], env=ENVIRONMENT, stderr=subprocess.DEVNULL)
        before = Path(far).stat().st_size if Path(far).exists() else 0
        until = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < until:
            if Path(far).exists() and Path(far).stat().st_size > before + 300_000:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    classify(*remote)
    assert Path(far).read_bytes() == Path(plain).read_bytes()


def test_actors_that_are_killed_cost_their_windows_only(cluster: str, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.jsonl", rows(30_000))
    plain, far = (str(tmp_path / f"{name}.jsonl") for name in ("plain", "far"))
    ask = [data, "-t", "en-sentiment-mlm", "--scorer", "fake"]
    classify(*ask, "-o", plain)
    process = subprocess.Popen([*CLASSIFY, *ask, "-o", far, "--ray", cluster, "--ray-cpus", "1"], env=ENVIRONMENT,
                               stderr=subprocess.DEVNULL)  # fmt: skip
    killed = 0
    while process.poll() is None:
        for pid in workers():
            if killed < 4 and Path(far).exists() and Path(far).stat().st_size > 400_000 * (killed + 1):
                os.kill(pid, signal.SIGKILL)
                killed += 1
                break
        time.sleep(0.02)
    assert killed > 1
    assert process.returncode == 3
    assert Path(far).read_bytes() == Path(plain).read_bytes()


def workers() -> list[int]:
    """The processes of actors, by their titles."""
    found = subprocess.run(["pgrep", "-f", "ray::Worker"], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def test_other_versions_on_a_worker_are_told_in_one_line(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from promptshot.runs import ray as runs_ray

    monkeypatch.setattr(runs_ray, "versions", lambda: {"promptshot": "9.9", "python": "3"})
    from promptshot.classify.recipe import Recipe
    from promptshot.prompts import library

    template = library.template("en-sentiment-mlm")
    recipe = Recipe.of(template, library.verbalizer_of(template), "fake")
    with (
        runs_ray.Cluster(cluster, 1).joined() as fleet,
        pytest.raises(PromptshotError, match=r"a worker has .*install the same"),
    ):
        fleet.classifier(recipe)


def compare(*arguments: str, code: int = 0) -> dict[str, Any]:
    """A leaderboard as JSON, from a process of its own with one thread."""
    command = [sys.executable, "-m", "promptshot", "compare", *arguments, "-o", "-", "--format", "jsonl"]
    found = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert found.returncode == code, found.stderr
    return {line["name"]: line for line in map(json.loads, found.stdout.splitlines())}


COMPARED = ["-t", "en-sentiment-mlm", "-t", "en-film-mlm", "-t", "en-sentiment-nsp", "-t", "en-sentiment-causal"]


@pytest.mark.parametrize("more", [[], ["--search"]], ids=["", "search"])
def test_candidates_of_several_models_come_to_the_same(cluster: str, tmp_path: Path, more: list[str]) -> None:
    data = write_rows(tmp_path / "rows.jsonl", [row for row in rows(90) if row["text"]])
    here = compare(data, *COMPARED, *more)
    there = compare(data, *COMPARED, *more, "--ray", cluster, "--ray-cpus", "1")
    assert [*there] == [*here]
    assert len(here) >= 2
    for name, line in here.items():
        assert {key: there[name][key] for key in ("accuracy", "macro_f1")} == {
            key: line[key] for key in ("accuracy", "macro_f1")
        }


def test_a_comparison_goes_on_by_actors_and_leaves_the_same_predictions(cluster: str, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.jsonl", rows(2500))
    ask = [data, *COMPARED[:4], "--scorer", "fake"]
    compare(*ask, "--predictions", str(tmp_path / "here"), code=3)
    there = [*ask, "--predictions", str(tmp_path / "there"), "--ray", cluster, "--ray-cpus", "1"]
    process = subprocess.Popen([sys.executable, "-m", "promptshot", "compare", *there], env=ENVIRONMENT)
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        if any(path.stat().st_size > 500_000 for path in (tmp_path / "there").glob("*.scores")):
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.01)
    assert process.wait() == -signal.SIGKILL
    compare(*there, code=3)
    for path in (tmp_path / "here").glob("*.jsonl"):
        assert (tmp_path / "there" / path.name).read_bytes() == path.read_bytes()


def test_a_candidate_that_no_worker_can_make_is_left_out(cluster: str, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.jsonl", [row for row in rows(30) if row["text"]])
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "config.json").write_text('{"model_type": "bert"}')
    found = compare(
        data, *COMPARED[:2], "-m", "builtin:bert", "-m", str(tmp_path / "none"), "--ray", cluster, "--ray-cpus", "1",
        code=3,
    )  # fmt: skip
    assert len(found) == 1


def test_no_cluster_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_rows(tmp_path / "rows.jsonl", rows(3))
    said = classify(data, "-t", "en-sentiment-mlm", "--scorer", "fake", "--ray", "127.0.0.1:1", code=1)
    assert said.startswith("error: --ray 127.0.0.1:1: no cluster (")
    assert len(said.splitlines()) == 1
    assert run_command(["classify", data, "-t", "en-sentiment-mlm", "--scorer", "fake", "--ray-cpus", "2"]) == 1
    assert "--ray-cpus is for --ray" in capsys.readouterr().err
