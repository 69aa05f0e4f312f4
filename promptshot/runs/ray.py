"""A run by actors of a Ray cluster: whole windows go to them, and come back in order.

    rows -> windows    1   2   3   4   5   6 ...          Every actor has a classifier of the same recipe. What is
                       |   |   |   |                      fitted is fitted once, by the first of them, and sent along.
    actors             A   B   A   B    (in flight)       A window is scored as it would be here: the same batches,
                       |   |                              and so the same bytes. One that is lost with its actor, or
    written            1   2 ...                          with a whole node, is given to another.

Nothing here is imported before a run wants it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any

from promptshot.classify.calibrate import Calibration, Fitted
from promptshot.classify.classifier import WINDOW, Classifier, Progress, idle, in_windows
from promptshot.classify.decide import Decision, Ranks, Thresholds
from promptshot.classify.demonstrations import Pools
from promptshot.classify.prediction import Outcome
from promptshot.classify.recipe import Recipe
from promptshot.errors import OptionError, PromptshotError, install, many, reason_of
from promptshot.rows.row import Item
from promptshot.runs.record import versions

LOCAL = "local"  # the address of a cluster that is started for the run, and ends with it
CPUS = 4  # processors of an actor, where no GPUs are and nothing is said
AHEAD = 2  # windows in flight for each actor: one is scored while the next is on its way
HELD = 4 * AHEAD  # windows for each actor that may be given and not yet written, however slow the first of them is
TRIES = 3  # how often a window is given to another actor after the first
PATIENCE = 600  # seconds to wait for a place for any actor, where none has one
PAUSE = 0.2  # seconds before an actor that is being made anew is asked again


@dataclass(frozen=True)
class Cluster:
    """Where the actors of a run are, and how large: an address of a Ray cluster, or LOCAL."""

    address: str = LOCAL
    cpus: int | None = None  # processors of each actor

    @contextlib.contextmanager
    def joined(self) -> Iterator[Fleet]:
        """The actors' makers, for as long as the run lasts; raises OptionError where there is no such cluster."""
        ray = _imported()
        known = ray.is_initialized()
        if not known:
            _join(ray, self.address)
        try:
            yield Fleet(ray, self.cpus)
        finally:
            if not known:
                ray.shutdown()


class Lost(PromptshotError):
    """A worker is gone, and what it was asked with it."""


class Fleet:
    """Makes classifiers whose windows are scored by the actors of a cluster."""

    def __init__(self, ray: Any, cpus: int | None) -> None:
        """Raises OptionError where the cluster has no room for an actor."""
        self.ray = ray
        there = ray.cluster_resources()
        gpus = int(there.get("GPU", 0))
        self.cpus = cpus or (1 if gpus else min(CPUS, max(_sizes(ray), default=1)))
        self.count = gpus or sum(size // self.cpus for size in _sizes(ray))
        self.gpus = 1 if gpus else 0
        self.working: list[Any] = []
        if self.count < 1:
            what = f"no node of the cluster has {many(self.cpus, 'processor')} for an actor"
            raise OptionError(what, hint="say fewer: --ray-cpus N")

    def classifier(self, recipe: Recipe, pools: Pools | None = None) -> Remote:
        """The recipe with its live parts on the cluster; raises a PromptshotError where they cannot be made."""
        if recipe.whiten:
            raise OptionError(
                "--whiten changes the scorer in this process, and --ray has it in others", hint="leave out one"
            )
        return Remote(self, recipe, pools)

    def actors(self, recipe: Recipe) -> list[Any]:
        """So many actors, each with the recipe's models; they are made anew where they are lost."""
        for actor in self.working:  # of the run before this one: they have the places that these need
            self.ray.kill(actor)
        # torch reads how many threads it has from the variable, before anything of this package is imported.
        made = self.ray.remote(Worker).options(
            num_cpus=self.cpus, num_gpus=self.gpus, max_restarts=-1, max_task_retries=TRIES,
            runtime_env={"env_vars": {"OMP_NUM_THREADS": str(self.cpus), "TOKENIZERS_PARALLELISM": "false"}},
        )  # fmt: skip
        self.working = [made.remote(recipe, versions()) for _ in range(self.count)]
        return self.working

    def get(self, reference: Any, what: str) -> Any:
        """What an actor gives; raises a PromptshotError for what it raises, and where it is lost for good."""
        try:
            return self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as problem:
            cause = problem.cause
            if isinstance(cause, PromptshotError):
                raise cause from None
            raise PromptshotError(f"{what} failed on a worker ({cause})") from problem
        except self.ray.exceptions.RayError as problem:
            said = str(problem).strip().splitlines()[0].rstrip(".:")
            raise Lost(f"{what}: the worker was lost ({said})") from None


class Worker:
    """An actor: a classifier of a recipe, which scores whole windows with what is fitted elsewhere."""

    def __init__(self, recipe: Recipe, wanted: Mapping[str, str]) -> None:
        self.problem: PromptshotError | None = None
        if other := {name: has for name, has in versions().items() if wanted.get(name) != has}:
            name, has = next(iter(other.items()))
            what = f"a worker has {name} {has}, and this is {wanted.get(name)}"
            self.problem = OptionError(what, hint="install the same on all nodes")
            return
        bare = replace(recipe, calibration=Calibration(), decision=_unfitted(recipe.decision))
        try:
            self.classifier = Classifier.of(bare)
        except PromptshotError as problem:
            self.problem = problem
            return
        self.classifier.recipe = recipe

    @property
    def scorers(self) -> list[Any]:
        """Those of the recipe and of the other templates of an ensemble."""
        if self.problem:
            raise self.problem
        return [one.scorer for one in (self.classifier, *self.classifier.others)]

    def offers(self, number: int) -> list[str]:
        """What a scorer has, by name."""
        scorer = self.scorers[number]
        return [name for name in dir(scorer) if not name.startswith("_") and name != "changed"]

    def awake(self) -> None:
        """Nothing, as soon as there is a model; raises a PromptshotError where there is none."""
        if self.problem:
            raise self.problem

    def value(self, number: int, name: str) -> tuple[bool, Any]:
        """Whether that is a method, and what it is otherwise."""
        found = getattr(self.scorers[number], name)
        return (True, None) if callable(found) else (False, found)

    def call(self, number: int, name: str, given: Sequence[Any]) -> Any:
        """What a method of a scorer gives."""
        return getattr(self.scorers[number], name)(*given)

    def window(
        self, items: list[Item], on_error: str, decision: Decision, fitted: Fitted | None
    ) -> tuple[list[Outcome], int]:
        """The outcomes of a window, and how many prompts were scored."""
        made, before = self.classifier, self.classifier.asked
        made.decision, made.fitted = decision, fitted
        found = [outcome for window in made.windows(items, None, on_error, len(items)) for outcome in window]
        return found, made.asked - before


class Far:
    """A scorer in an actor, with whatever it offers there."""

    progress = None

    def __init__(self, fleet: Fleet, actor: Any, number: int) -> None:
        self._fleet, self._actor, self._number = fleet, actor, number
        self._offers = frozenset(fleet.get(actor.offers.remote(number), "the model"))

    def score(self, prompts: Sequence[Any]) -> Any:
        """See `scoring.Scorer`."""
        return self._called("score", prompts)

    def _called(self, name: str, *given: Any) -> Any:
        return self._fleet.get(self._actor.call.remote(self._number, name, given), f"the scorer's {name}")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._offers:
            raise AttributeError(name)
        method, found = self._fleet.get(self._actor.value.remote(self._number, name), name)
        return (lambda *given: self._called(name, *given)) if method else found


class Remote(Classifier):
    """A classifier whose windows are scored by the actors of a cluster, many at a time, and come back in order."""

    def __init__(self, fleet: Fleet, recipe: Recipe, pools: Pools | None = None) -> None:
        """Fits what is to be fitted, with the first actor's model."""
        self.fleet, self.actors = fleet, fleet.actors(recipe)
        first = self.actors[0]
        members = [replace(one, decision=idle(one.decision)) for one in recipe.others]
        others = [Classifier(one, Far(fleet, first, i), pools=pools) for i, one in enumerate(members, 1)]
        super().__init__(recipe, Far(fleet, first, 0), others, pools)

    def windows(
        self, items: Iterable[Item], progress: Progress | None = None, on_error: str = "reject", window: int = WINDOW
    ) -> Iterator[list[Outcome]]:
        """See `Classifier.windows`: as many in flight as the actors need to be busy."""
        handing = Handing(self.fleet, self.actors, lambda actor, rows: self._sent(actor, rows, on_error))
        for rows, (outcomes, asked) in handing.in_order(in_windows(items, window)):
            self.asked += asked
            if progress:
                progress(rows)
            yield outcomes

    def _sent(self, actor: Any, rows: list[Item], on_error: str) -> Any:
        return actor.window.options(max_task_retries=0).remote(rows, on_error, self.decision, self.fitted)


@dataclass
class Handed:
    """A window on its way."""

    number: int
    rows: list[Item]
    lost: int = 0  # so many workers were lost while they scored it


class Handing:
    """Gives windows to the actors that are awake, once more where one is lost, and puts what comes back in order.

    An actor without a place (its node is gone, or never had room) gets nothing before it says that it is awake: the
    others go on without it.
    """

    def __init__(
        self,
        fleet: Fleet,
        actors: Sequence[Any],
        send: Callable[[Any, list[Item]], Any],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.ray, self.fleet, self.actors, self.send, self.sleep = fleet.ray, fleet, actors, send, sleep
        self.busy: dict[int, int] = {}  # windows that each actor has which is awake
        self.waking: dict[Any, int] = {}  # questions whether one is
        self.flying: dict[Any, tuple[int, Handed]] = {}
        self.again: list[Handed] = []
        self.problem: Exception | None = None  # with the input; raised behind what was read before it

    def in_order(self, windows: Iterator[list[Item]]) -> Iterator[tuple[int, Any]]:
        """How many rows a window has, and what came back for it; raises a PromptshotError.

        No more than HELD windows for each actor are in memory, however slow the first of them is.
        """
        fresh, given, written, more = self._fresh(windows), 0, 0, True
        back: dict[int, tuple[int, Any]] = {}
        most = HELD * len(self.actors)
        self.waking = {self._ask(number): number for number in range(len(self.actors))}
        try:
            while more or self.flying or self.again:
                while (actor := self._free()) is not None:
                    if self.again:
                        self._give(actor, self.again.pop(0))
                    elif more and given - written < most and (window := next(fresh, None)):
                        self._give(actor, window)
                        given += 1
                    else:
                        more = more and given - written >= most
                        break
                back |= self._arrived() if self.flying or self.again or not self.busy else {}
                while written in back:
                    yield back.pop(written)
                    written += 1
        finally:
            for reference in self.flying:
                self.ray.cancel(reference, force=False)
        if self.problem:
            raise self.problem

    def _fresh(self, windows: Iterator[list[Item]]) -> Iterator[Handed]:
        try:
            for number, rows in enumerate(windows):
                yield Handed(number, rows)
        except Exception as problem:
            self.problem = problem

    def _ask(self, number: int) -> Any:
        return self.actors[number].awake.options(max_task_retries=-1).remote()

    def _free(self) -> int | None:
        """The actor that has the least to do, if any has room."""
        number = min(self.busy, key=lambda each: self.busy[each], default=None)
        return number if number is not None and self.busy[number] < AHEAD else None

    def _give(self, number: int, window: Handed) -> None:
        self.busy[number] += 1
        self.flying[self.send(self.actors[number], window.rows)] = number, window

    def _arrived(self) -> dict[int, tuple[int, Any]]:
        """What came back, by the numbers of the windows, as soon as there is any; actors that woke up get windows."""
        patience = None if self.flying else PATIENCE
        ready, _ = self.ray.wait([*self.flying, *self.waking], timeout=patience)
        if not ready:
            what = f"no worker has found a place in {PATIENCE // 60} minutes"
            raise PromptshotError(what, hint="look at ray status; the same command goes on from here")
        (reference,) = ready
        if reference in self.waking:
            self._awake(reference)
            return {}
        number, window = self.flying.pop(reference)
        try:
            result = self.fleet.get(reference, f"a window of {many(len(window.rows), 'row')}")
        except Lost as problem:
            self._lost(number, window, problem)
            return {}
        if number in self.busy:
            self.busy[number] -= 1
        return {window.number: (len(window.rows), result)}

    def _awake(self, reference: Any) -> None:
        number = self.waking.pop(reference)
        try:
            self.fleet.get(reference, "the model")
            self.busy[number] = 0
        except Lost:
            self.sleep(PAUSE)
            self.waking[self._ask(number)] = number

    def _lost(self, number: int, window: Handed, problem: Lost) -> None:
        """Another gets the window; raises a PromptshotError where it took too many with it.

        Only the first of an actor's windows may have done so: those behind it had not been begun.
        """
        first = self.busy.pop(number, None) is not None
        window.lost += first
        if window.lost > TRIES:
            where = window.rows[0].source
            what = f"{many(window.lost, 'worker')} died of the same {many(len(window.rows), 'row')} ({problem.what})"
            raise PromptshotError(what, where=where, hint="more memory, or a smaller --batch-budget, may help")
        self.again = sorted([*self.again, window], key=lambda each: each.number)
        if first:
            self.waking[self._ask(number)] = number


def _unfitted(decision: Decision) -> Decision:
    """One for which no rows are scored beforehand; what is decided by comes with each window."""
    return Ranks(decision.ordered, decision.prior) if isinstance(decision, Thresholds) else idle(decision)


def _imported() -> Any:
    """The package, quiet; raises OptionError where it is not here."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "error")
    try:
        import ray
    except ImportError:
        raise OptionError("--ray needs the package ray", hint=install("ray")) from None
    return ray


def _join(ray: Any, address: str) -> None:
    """Start a cluster, or join one; raises OptionError."""
    more = {"include_dashboard": False} if address == LOCAL else {}
    _knock(address)
    with tempfile.TemporaryFile() as chatter:
        try:
            with _silent(chatter):
                ray.init(address, **more, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError, OSError) as problem:
            chatter.seek(0)
            said = str(problem).strip().splitlines()[0][:200]
            hint = "is it running? ray status --address ADDRESS" if address != LOCAL else "ray start --head shows more"
            if b"InvalidAuthToken" in chatter.read():
                said, hint = "it wants a token", "see Ray's pages on RAY_AUTH_MODE and RAY_AUTH_TOKEN"
            raise OptionError(f"--ray {address}: no cluster ({said})", hint=hint) from None


def _knock(address: str) -> None:
    """Refuse an address where nobody answers at once: Ray would try for two minutes. Raises OptionError."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdecimal()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as problem:
        hint = "is it running? ray status --address ADDRESS"
        raise OptionError(f"--ray {address}: no cluster ({reason_of(problem)})", hint=hint) from None


@contextlib.contextmanager
def _silent(file: IO[bytes]) -> Iterator[None]:
    """What is written to standard error, by a library in C++ too, goes to a file."""
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _sizes(ray: Any) -> list[int]:
    """How many processors each node has that is alive and has any."""
    sizes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    return [size for size in sizes if size]
