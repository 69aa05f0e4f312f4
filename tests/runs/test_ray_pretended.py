"""Runs by actors where there is no Ray: what is called in its manner happens at once, in this process."""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers import failed, write_rows

from promptshot.cli import run_command
from promptshot.rows import spans
from promptshot.runs import ray as runs


class Gone(Exception):
    """An actor is lost."""


class Failed(Gone):
    """A method of an actor has raised something."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Late(Gone):
    """Nothing came in time."""


class Method:
    """What an actor can be asked; all that goes to it or comes back is pickled."""

    def __init__(self, ray: Pretended, name: str, call: Callable[..., Any]) -> None:
        self.ray, self.name, self.call = ray, name, call

    def options(self, **_: object) -> Method:
        return self

    def remote(self, *given: Any) -> list[Any]:
        self.ray.asked.append(self.name)
        if self.name in self.ray.losing and self.ray.asked.count(self.name) in self.ray.losing[self.name]:
            return [Gone("its process died")]
        try:
            return [pickle.loads(pickle.dumps(self.call(*pickle.loads(pickle.dumps(given)))))]
        except Exception as problem:
            return [Failed(problem)]


class Pretended:
    """As much of the package as is used; `losing` says which calls of a method are lost with their actor."""

    exceptions = SimpleNamespace(RayTaskError=Failed, RayError=Gone, GetTimeoutError=Late)

    def __init__(self, losing: dict[str, Sequence[int]], cpus: int = 2) -> None:
        self.losing, self.cpus, self.asked = losing, cpus, list[str]()

    def is_initialized(self) -> bool:
        return True

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(gcs_address="HOST:6379")

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": float(self.cpus)}

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Resources": self.cluster_resources(), "Alive": True}]

    def remote(self, kind: Any) -> Any:
        made = SimpleNamespace(options=lambda **_: made, remote=lambda *given: Actor(self, kind(*given)))
        return made

    def get(self, reference: list[Any], timeout: float | None = None) -> Any:
        (found,) = reference
        if isinstance(found, Gone):
            raise found
        return found

    def wait(self, references: Sequence[Any], timeout: float | None) -> tuple[list[Any], list[Any]]:
        return [references[-1]], [*references[:-1]]  # the last comes first

    def cancel(self, reference: Any, force: bool) -> None:
        pass


class Actor:
    def __init__(self, ray: Pretended, worker: runs.Worker) -> None:
        for name in ("awake", "offers", "value", "call", "window"):
            setattr(self, name, Method(ray, name, getattr(worker, name)))


class Reference(list[Any]):
    """One that can be a key."""

    __hash__ = object.__hash__  # type: ignore[assignment]


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Pretended]:
    """Puts such a package in the place of Ray."""

    def pretend(losing: dict[str, Sequence[int]] | None = None, cpus: int = 2) -> Pretended:
        made = Pretended(losing or {}, cpus)
        monkeypatch.setattr(runs, "_imported", lambda: made)
        monkeypatch.setattr(runs, "PAUSE", 0.0)
        remote = Method.remote
        monkeypatch.setattr(Method, "remote", lambda self, *given: Reference(remote(self, *given)))
        return made

    return pretend


FAKE = ["-t", "en-sentiment-mlm", "--scorer", "fake"]


def rows(folder: Path, count: int) -> str:
    """Rows of which some have no text."""
    found = [
        {"id": i, "text": "" if i % 90 == 7 else f"film {i} of {i % 7}", "label": ["positive", "negative"][i % 2]}
        for i in range(count)
    ]
    return write_rows(folder / "rows.jsonl", found)


def written(folder: Path, name: str, *asked: str) -> list[bytes]:
    """The bytes that a run leaves."""
    out = folder / f"{name}.jsonl"
    assert run_command(["classify", *asked, "-q", "-o", str(out)]) == 3
    return [out.read_bytes(), Path(f"{out}.rejects.jsonl").read_bytes()]


@pytest.mark.parametrize("losing", [{}, {"window": (1, 2, 3, 9)}, {"window": (4,), "awake": (2, 4)}])
def test_windows_come_back_in_order_and_each_once(
    pretend: Callable[..., Pretended], tmp_path: Path, losing: dict[str, Sequence[int]]
) -> None:
    file = rows(tmp_path, 9000)
    ray = pretend(losing)
    assert written(tmp_path, "far", file, *FAKE, "--ray", "--ray-cpus", "1") == written(tmp_path, "here", file, *FAKE)
    assert ray.asked.count("window") == 9 + len(losing.get("window", ()))


def counted(path: Path) -> dict[str, Any]:
    """What a record says of the rows, without its timings."""
    said = json.loads(Path(f"{path}.run.json").read_text())
    timed = ("seconds", "rows_per_second")
    kept = {
        key: value for key, value in said.items() if key not in ("checksum", "nodes", "summaries", "machine", *timed)
    }
    kept["counts"] = {key: value for key, value in kept["counts"].items() if key not in timed}
    return {key: value for key, value in kept.items() if key != "progress"}


def test_workers_read_the_files_and_what_they_count_comes_to_the_same(
    pretend: Callable[..., Pretended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = rows(tmp_path, 1500), str(tmp_path / "more.jsonl")
    Path(second).write_text("\n" + '{"text": "fine", "label": "positive"}\n{"text": \n\n' * 700)
    pretend()
    went: list[Any] = []
    sent = runs.Remote.sent
    monkeypatch.setattr(runs.Remote, "sent", lambda *given: went.extend(given[2].rows) or sent(*given))
    ask = [first, second, *FAKE, "--calibrate", "content-free", "-n", "2500"]
    assert written(tmp_path, "far", *ask, "--ray") == written(tmp_path, "here", *ask)
    assert counted(tmp_path / "far.jsonl") == counted(tmp_path / "here.jsonl")
    assert [(type(one), one.rows) for one in went] == [(spans.Span, n) for n in (1024, 476, 548, 452)]
    assert all(one.said is None for one in went)


def test_lines_go_along_to_workers_that_do_not_have_the_file(
    pretend: Callable[..., Pretended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = rows(tmp_path, 6000)
    ray, items = pretend({"window": (5,)}), spans.Span.items

    def without(span: spans.Span) -> list[Any]:
        if span.said is None:
            raise spans.Unread
        return items(span)

    monkeypatch.setattr(spans.Span, "items", without)
    far = written(tmp_path, "far", file, *FAKE, "--ray", "--ray-cpus", "1")
    assert far == written(tmp_path, "here", file, *FAKE)
    assert 7 < ray.asked.count("window") < 7 + 6  # each worker is asked in vain at most as often as it holds windows


def test_a_file_that_was_changed_meanwhile_ends_the_run(
    pretend: Callable[..., Pretended],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = rows(tmp_path, 3000)
    pretend(cpus=1)
    made = spans.windows

    def changing(*given: Any) -> Any:
        for number, window in enumerate(made(*given)):
            if number == 2:
                Path(file).write_bytes(Path(file).read_bytes().replace(b"film 2100", b"FILM 2100"))
            yield window

    monkeypatch.setattr(spans, "windows", changing)
    said = failed(capsys, "classify", file, *FAKE, "-q", "-o", str(tmp_path / "o.jsonl"), "--ray")
    assert f"{file}:2049: was changed while it was read" in said


@pytest.mark.parametrize("kind", ["gz", "csv", "sample", "array"])
def test_rows_travel_where_lines_are_no_rows(
    pretend: Callable[..., Pretended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    file, more = rows(tmp_path, 1100), ["--sample", "1050"] if kind == "sample" else []
    data = Path(file).read_bytes()
    if kind == "gz":
        file = str(tmp_path / "rows.jsonl.gz")
        Path(file).write_bytes(gzip.compress(data))
    elif kind == "csv":
        file = str(tmp_path / "rows.csv")
        texts = (json.loads(line)["text"] for line in data.splitlines())
        Path(file).write_text("text,label\n" + "".join(f"{text},positive\n" for text in texts))
    elif kind == "array":
        file = str(tmp_path / "rows.json")
        Path(file).write_bytes(b"[" + b",".join(data.splitlines()) + b"]")
    pretend()
    monkeypatch.setattr(spans.Span, "items", None)
    assert written(tmp_path, "far", file, *FAKE, *more, "--ray") == written(tmp_path, "here", file, *FAKE, *more)


@pytest.mark.parametrize(
    "how",
    [
        ["-t", "en-film-mlm"],
        ["--calibrate", "content-free"],
        ["--calibrate", "prior"],
        ["--abstain-below", "0.8"],
    ],
    ids=lambda how: how[-1],
)
def test_whatever_decides_labels_comes_to_the_same(
    pretend: Callable[..., Pretended], tmp_path: Path, how: list[str]
) -> None:
    file = rows(tmp_path, 2300)
    pretend()
    far = written(tmp_path, "far", file, *FAKE, *how, "--ray", "--ray-cpus", "1")
    assert far == written(tmp_path, "here", file, *FAKE, *how)


def test_an_actor_that_is_lost_is_told(
    pretend: Callable[..., Pretended], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend({"window": (2,)}, cpus=1)
    assert run_command(["classify", rows(tmp_path, 3000), *FAKE, "-o", str(tmp_path / "o.jsonl"), "--ray"]) == 3
    assert capsys.readouterr().err.count("note: an actor was lost; the windows that it had are given to others") == 1


def test_rows_that_four_workers_died_of_stop_the_run_with_their_place(
    pretend: Callable[..., Pretended], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend({"window": range(1, 99)}, cpus=1)
    said = failed(capsys, "classify", rows(tmp_path, 10), *FAKE, "-q", "-o", str(tmp_path / "o.jsonl"), "--ray")
    assert f"{tmp_path}/rows.jsonl:1: 4 workers died of the same 10 rows" in said


def test_what_a_worker_cannot_do_is_one_line(
    pretend: Callable[..., Pretended],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend()
    file, out = rows(tmp_path, 10), str(tmp_path / "o.jsonl")
    ask = ["classify", file, "-q", "-o", out, "--ray"]
    assert "--ray has a model on each; leave one out" in failed(capsys, *ask, *FAKE, "--device-map", "auto")
    assert "no scorer 'fakir'" in failed(capsys, *ask, "-t", "en-sentiment-mlm", "--scorer", "fakir")
    assert "no node of the cluster has 9 processors" in failed(capsys, *ask, *FAKE, "--ray-cpus", "9")
    without = ["classify", file, *FAKE, "-q", "-o", out]
    assert "--ray-actors is for --ray" in failed(capsys, *without, "--ray-actors", "2")
    known = iter([{"promptshot": "1"}, {"promptshot": "2"}])
    monkeypatch.setattr(runs, "versions", lambda: next(known, {"promptshot": "2"}))
    assert "a worker has promptshot 2, and this is 1; install the same on all nodes" in failed(capsys, *ask, *FAKE)


def test_a_run_says_who_scores(
    pretend: Callable[..., Pretended], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(cpus=4)
    ask = ["classify", rows(tmp_path, 20), *FAKE, "-o", str(tmp_path / "o.jsonl"), "--ray", "--ray-cpus", "2"]
    assert run_command(ask) == 3
    said = capsys.readouterr().err
    assert "note: the rows are scored by 2 actors with 2 processors each, 1,024 rows at a time\n" in said
    assert run_command([*ask, "--overwrite", "--ray-actors", "1"]) == 3
    assert "by 1 actor with 2 processors, 1,024 rows at a time" in capsys.readouterr().err.replace("\n", " ")
    assert run_command([*ask, "--overwrite", "--ray-actors", "5"]) == 3  # nobody will join a cluster of our own
    assert "by 2 actors with" in capsys.readouterr().err
    assert run_command([*ask[:-3], "--ray", "auto", "--ray-cpus", "2", "--overwrite", "--ray-actors", "5"]) == 3
    said = capsys.readouterr().err.replace("\n", " ")
    assert "of the cluster at HOST:6379 (3 of them wait for a place)," in said


def test_a_variable_or_a_file_of_options_says_it_too(
    pretend: Callable[..., Pretended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pretend()
    ask = ["classify", rows(tmp_path, 20), *FAKE, "-q", "-o", str(tmp_path / "o.jsonl"), "--overwrite"]
    monkeypatch.setenv("PROMPTSHOT_RAY_ACTORS", "1")  # for runs with --ray; others do without
    assert run_command(ask) == 3
    assert not ray.asked
    (tmp_path / "c.yaml").write_text("ray: true\n")
    assert run_command([*ask, "-c", str(tmp_path / "c.yaml")]) == 3
    assert ray.asked.count("window") == 1


def test_a_file_is_no_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["classify", "--ray", rows(tmp_path, 3), *FAKE]) == 2
    assert "is no address of a cluster; put --ray behind the files" in capsys.readouterr().err


def compared(*asked: str) -> list[str]:
    """The lines of a leaderboard, without its timings."""
    path = Path(asked[-1])
    assert run_command(["compare", *asked[:-1], "-q", "--overwrite", "-o", str(path)]) in (0, 3)
    timed = ("seconds", "rows_per_second")
    kept = [{key: value for key, value in json.loads(line).items() if key not in timed}
            for line in path.read_text().splitlines()]  # fmt: skip
    return [json.dumps({key: one.get(key) for key in ("name", "accuracy", "macro_f1", "rejected")}) for one in kept]


THREE = ["-t", "en-sentiment-mlm", "-t", "en-film-mlm", "-t", "en-sentiment-causal", "--scorer", "fake"]


@pytest.mark.parametrize("more", [[], ["--search"], ["--predictions", "P"]], ids=" ".join)
def test_a_comparison_comes_to_the_same(pretend: Callable[..., Pretended], tmp_path: Path, more: list[str]) -> None:
    file, far = rows(tmp_path, 1500), []
    for name in ("here", "far"):
        pretend({"window": (2, 5)})
        own = [str(tmp_path / f"{name}-{one}") if one == "P" else one for one in more]
        how = ["--ray", "--ray-cpus", "1"] if name == "far" else []
        far.append(compared(file, *THREE, *own, *how, str(tmp_path / f"{name}.jsonl")))
    assert far[0] == far[1]
    assert len(far[0]) >= 2
    for path in (tmp_path / "here-P").glob("*.jsonl"):
        assert (tmp_path / "far-P" / path.name).read_bytes() == path.read_bytes()


def test_a_comparison_goes_on_behind_the_candidates_that_it_has(
    pretend: Callable[..., Pretended], tmp_path: Path
) -> None:
    file, folder = rows(tmp_path, 1500), str(tmp_path / "kept")
    ask = [file, *THREE, "--predictions", folder, "--ray", "--ray-cpus", "1"]
    first = pretend()
    compared(*ask, str(tmp_path / "a.jsonl"))
    assert first.asked.count("window") == 6
    for path in sorted(Path(folder).glob("04-*")):
        path.unlink()
    again = pretend()
    assert run_command(["compare", *ask, "-q", "-o", str(tmp_path / "b.jsonl")]) == 3
    assert again.asked.count("window") == 2


@pytest.mark.torch
def test_candidates_that_cannot_be_made_are_left_out_and_the_others_come(
    pretend: Callable[..., Pretended], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend()
    model = tmp_path / "none"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "bert"}')
    file = rows(tmp_path, 8)
    ask = ["compare", file, "-t", "en-sentiment-mlm", "-m", str(model), "-m", "builtin:bert", "--ray", "-o", "-"]
    assert run_command([*ask, "--format", "jsonl"]) == 3
    said = capsys.readouterr()
    assert [json.loads(line)["model"] for line in said.out.splitlines()] == ["builtin:bert"]
    assert "left out" in said.err


def test_a_comparison_says_who_scores(
    pretend: Callable[..., Pretended], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend()
    assert run_command(["compare", rows(tmp_path, 60), *THREE, "--ray"]) in (0, 3)
    assert "note: the rows are scored by 1 actor with 2 processors, 1,024 rows at a time" in capsys.readouterr().err
