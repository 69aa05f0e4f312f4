"""A run by actors of a Ray cluster: whole windows go to them, and come back in order.

    rows -> windows    1   2   3   4   5   6 ...          Every actor makes a classifier of the recipe. What is
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
from functools import cached_property
from typing import IO, Any, NamedTuple, TypeVar

from promptshot.classify.calibrate import Calibration, Fitted
from promptshot.classify.classifier import WINDOW, Classifier, Progress, idle, in_windows
from promptshot.classify.decide import Decision, Ranks, Thresholds
from promptshot.classify.demonstrations import Pools
from promptshot.classify.prediction import Outcome
from promptshot.classify.recipe import Recipe
from promptshot.errors import OptionError, PromptshotError, install, many, reason_of
from promptshot.rows.row import Item
from promptshot.rows.spans import Placed, Rows, Span, Unread, items_of, rows_in
from promptshot.runs.record import versions
from promptshot.scorers import Loader
from promptshot.scoring import Checkpoint

T = TypeVar("T")
Then = Callable[[list[Outcome]], Any]
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
    actors: int | None = None  # how many; as many as there is room for

    @contextlib.contextmanager
    def joined(self) -> Iterator[Fleet]:
        """The actors' makers, for as long as the run lasts; raises OptionError where there is no such cluster."""
        ray = _imported()
        known = ray.is_initialized()
        if not known:
            _join(ray, self.address)
        try:
            where = "" if self.address == LOCAL else ray.get_runtime_context().gcs_address
            yield Fleet(ray, self.cpus, self.actors, where)
        finally:
            if not known:
                ray.shutdown()


class Lost(PromptshotError):
    """A worker is gone, and what it was asked with it."""


class Fleet:
    """The actors of a cluster, and classifiers whose windows they score."""

    def __init__(self, ray: Any, cpus: int | None, actors: int | None = None, address: str = "") -> None:
        """The address is that of a cluster which others may join. Raises OptionError where it has no room for an actor,
        and no number of them was said or nobody will join."""
        self.ray, self.address = ray, address
        self.tell: Callable[[str], object] = str  # takes what a user should know while a run goes on
        there = ray.cluster_resources()
        gpus = int(there.get("GPU", 0))
        self.cpus = cpus or (1 if gpus else min(CPUS, max(_sizes(ray), default=1)))
        self.room = gpus or sum(size // self.cpus for size in _sizes(ray))
        self.count = actors if actors and (address or actors < self.room) else self.room
        self.gpus = 1 if gpus else 0
        if not self.room and not (actors and address):
            what = f"no node of the cluster has {many(self.cpus, 'processor')} for an actor"
            more = "; or, where nodes are still to come, how many actors: --ray-actors N" if address else ""
            raise OptionError(what, hint=f"say fewer: --ray-cpus N{more}")

    @property
    def told(self) -> str:
        """Who scores, in a line."""
        has = "a GPU" if self.gpus else many(self.cpus, "processor")
        actors = f"{many(self.count, 'actor')} with {has}{' each' if self.count > 1 else ''}"
        where = f" of the cluster at {self.address}" if self.address else ""
        if wait := max(0, self.count - self.room):
            where += f" ({wait} of them {'waits' if wait == 1 else 'wait'} for a place)"
        return f"the rows are scored by {actors}{where}, 1,024 rows at a time"

    @cached_property
    def actors(self) -> list[Any]:
        """All of them, those that wait for a node included; each is made anew where it is lost."""
        # torch reads how many threads it has from the variable, before anything of this package is imported.
        made = self.ray.remote(Worker).options(
            num_cpus=self.cpus, num_gpus=self.gpus, max_restarts=-1, max_task_retries=TRIES,
            runtime_env={"env_vars": {"OMP_NUM_THREADS": str(self.cpus), "TOKENIZERS_PARALLELISM": "false"}},
        )  # fmt: skip
        return [made.remote(versions()) for _ in range(self.count)]

    def classifier(self, recipe: Recipe, pools: Pools | None = None) -> Remote:
        """The recipe with its live parts on the cluster; raises a PromptshotError where they cannot be made."""
        if recipe.whiten:
            raise OptionError(
                "--whiten changes the scorer in this process, and --ray has it in others", hint="leave out one"
            )
        if recipe.options.device_map:
            what = "--device-map spreads a model over the devices of a machine, and --ray has a model on each"
            raise OptionError(what, hint="leave one out")
        return Remote(self, recipe, pools)

    def in_order(self, windows: Iterator[Window]) -> Iterator[tuple[Window, Any]]:
        """Each window with what came of it, or the PromptshotError that did; as many are in flight as the actors need
        to be busy. What goes wrong with the input is raised behind what was read before it."""
        return Handing(self).in_order(windows)

    def get(self, reference: Any, what: str, patience: float | None = None) -> Any:
        """What an actor gives; raises a PromptshotError for what it raises, and where it is lost for good."""
        try:
            return self.ray.get(reference, timeout=patience)
        except self.ray.exceptions.GetTimeoutError:
            raise _no_place() from None
        except self.ray.exceptions.RayTaskError as problem:
            cause = problem.cause
            if isinstance(cause, PromptshotError):
                raise cause from None
            raise PromptshotError(f"{what} failed on a worker ({cause})") from problem
        except self.ray.exceptions.RayError as problem:
            said = str(problem).strip().splitlines()[0].rstrip(".:")
            raise Lost(f"{what}: the worker was lost ({said})") from None


class Done(NamedTuple):
    """What came of a window, how many prompts were scored for it, and the seconds that it took."""

    found: Any
    asked: int
    seconds: float


class Worker:
    """An actor: scores whole windows by whichever recipe, with what is fitted elsewhere."""

    def __init__(self, wanted: Mapping[str, str]) -> None:
        self.wanted = wanted
        self.recipe: Recipe | None = None
        self.classifier: Classifier | None = None  # of that recipe
        self.loader = Loader()

    def awake(self) -> None:
        """Nothing, as soon as there is a process; raises OptionError where it is none of ours."""
        if other := {name: has for name, has in versions().items() if self.wanted.get(name) != has}:
            name, has = next(iter(other.items()))
            what = f"a worker has {name} {has}, and this is {self.wanted.get(name)}"
            raise OptionError(what, hint="install the same on all nodes")

    def offers(self, recipe: Recipe, number: int) -> tuple[list[str], Mapping[str, Any]]:
        """The names of all that a scorer has, and its details."""
        scorer = self._scorer(recipe, number)
        names = [name for name in dir(scorer) if not name.startswith("_") and name != "changed"]
        return names, scorer.details if isinstance(scorer, Checkpoint) else {}

    def value(self, recipe: Recipe, number: int, name: str) -> tuple[bool, Any]:
        """Whether that is a method of a scorer, and what it is otherwise."""
        found = getattr(self._scorer(recipe, number), name)
        return (True, None) if callable(found) else (False, found)

    def call(self, recipe: Recipe, number: int, name: str, given: Sequence[Any]) -> Any:
        """What a method of a scorer gives."""
        return getattr(self._scorer(recipe, number), name)(*given)

    def window(
        self,
        recipe: Recipe,
        window: Sequence[Rows],
        on_error: str,
        then: Then,
        decision: Decision,
        fitted: Fitted | None,
    ) -> Done | None:
        """What is made of a window, with what is decided and fitted elsewhere; None where its file is not here."""
        made = self._made(recipe)
        try:
            items = items_of(window, recipe.columns)
        except Unread:
            return None
        made.decision, made.fitted, before, began = decision, fitted, made.asked, time.perf_counter()
        (found,) = made.finished(items, then, None, on_error, len(items))
        return Done(found, made.asked - before, time.perf_counter() - began)

    def _scorer(self, recipe: Recipe, number: int) -> Any:
        """That of the recipe, or of another template of an ensemble."""
        made = self._made(recipe)
        return (made, *made.others)[number].scorer

    def _made(self, recipe: Recipe) -> Classifier:
        """The classifier of a recipe; its models stay loaded for the next recipe, if that wants the same."""
        if recipe != self.recipe:
            if self.recipe is None or _engines(self.recipe) != _engines(recipe):
                self.recipe, self.classifier, self.loader = None, None, Loader()
            bare = replace(recipe, calibration=Calibration(), decision=_unfitted(recipe.decision))
            made = Classifier.of(bare, self.loader)
            made.recipe = recipe
            self.recipe, self.classifier = recipe, made
        assert self.classifier is not None
        return self.classifier


class Far:
    """A scorer in an actor, with whatever it offers there."""

    progress = None

    def __init__(self, fleet: Fleet, recipe: Recipe, number: int) -> None:
        self._fleet, self._of = fleet, (recipe, number)
        self._actor = fleet.actors[0]
        fleet.get(self._actor.awake.remote(), "waking it", PATIENCE)
        names, self.details = fleet.get(self._actor.offers.remote(*self._of), "the model")
        self._offers = frozenset(names)

    def score(self, prompts: Sequence[Any]) -> Any:
        """See `scoring.Scorer`."""
        return self._called("score", prompts)

    def _called(self, name: str, *given: Any) -> Any:
        return self._fleet.get(self._actor.call.remote(*self._of, name, given), f"the scorer's {name}")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._offers:
            raise AttributeError(name)
        method, found = self._fleet.get(self._actor.value.remote(*self._of, name), name)
        return (lambda *given: self._called(name, *given)) if method else found


class Remote(Classifier):
    """A classifier whose windows are scored by the actors of a cluster, many at a time, and come back in order."""

    def __init__(self, fleet: Fleet, recipe: Recipe, pools: Pools | None = None) -> None:
        """Fits what is to be fitted, with the first actor's model."""
        self.fleet, self.seconds = fleet, 0.0  # of the actors with its windows
        members = [replace(one, decision=idle(one.decision)) for one in recipe.others]
        others = [Classifier(one, Far(fleet, recipe, i), pools=pools) for i, one in enumerate(members, 1)]
        super().__init__(recipe, Far(fleet, recipe, 0), others, pools)

    def finished(
        self,
        items: Iterable[Item],
        then: Callable[[list[Outcome]], T],
        progress: Progress | None = None,
        on_error: str = "reject",
        window: int = WINDOW,
    ) -> Iterator[T]:
        """See `Classifier.finished`: as many windows are in flight as the actors need to be busy. Rows whose places in
        a file are known are read by the actors."""
        places = items.spans() if isinstance(items, Placed) else None
        coming = in_windows(items, window) if places is None else places
        for handed, found in self.fleet.in_order(Window(rows, self, on_error, then) for rows in coming):
            yield self.took(handed, found, progress)

    def took(self, window: Window, found: Any, progress: Progress | None = None) -> Any:
        """What was made of a window, of what came back for it; raises what was raised there."""
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, Done)
        self.asked += found.asked
        self.seconds += found.seconds
        if progress:
            progress(rows_in(window.rows))
        return found.found

    def sent(self, actor: Any, window: Window) -> Any:
        """The window on its way to an actor."""
        far = actor.window.options(max_task_retries=0)
        return far.remote(self.recipe, window.rows, window.on_error, window.then, self.decision, self.fitted)


@dataclass
class Window:
    """Rows for a classifier; or the problem for which there is none, which comes out in its place."""

    rows: Sequence[Rows]
    to: Remote | None
    on_error: str = "reject"
    then: Then = list  # what is made of its outcomes, by whoever scores them
    of: Any = None  # what it belongs to, for whoever takes it
    last: bool = False  # of those that belong to it
    problem: PromptshotError | None = None
    lost: int = 0  # so many workers were lost while they scored it

    def load(self) -> None:
        """Have its lines go along, for a worker that cannot read their file; raises InputError."""
        self.rows = [part.loaded() if isinstance(part, Span) and part.said is None else part for part in self.rows]


@dataclass
class Handed:
    """A window on its way."""

    number: int
    window: Window


class Handing:
    """Gives windows to the actors that are awake, once more where one is lost, and puts what comes back in order.

    An actor without a place (its node is gone, or never had room) gets nothing before it says that it is awake: the
    others go on without it.
    """

    def __init__(self, fleet: Fleet, sleep: Callable[[float], None] = time.sleep) -> None:
        self.ray, self.fleet, self.actors, self.sleep = fleet.ray, fleet, fleet.actors, sleep
        self.busy: dict[int, int] = {}  # windows that each actor has which is awake
        self.waking: dict[Any, int] = {}  # questions whether one is
        self.flying: dict[Any, tuple[int, Handed]] = {}
        self.again: list[Handed] = []
        self.back: dict[int, tuple[Window, Any]] = {}  # what came, by the numbers of the windows
        self.blind: set[int] = set()  # the actors that do not have the files
        self.problem: Exception | None = None  # with the input; raised behind what was read before it

    def in_order(self, windows: Iterator[Window]) -> Iterator[tuple[Window, Any]]:
        """See `Fleet.in_order`. No more than HELD windows for each actor are in memory."""
        fresh, given, written, more = self._fresh(windows), 0, 0, True
        most = HELD * len(self.actors)
        self.waking = {self._ask(number): number for number in range(len(self.actors))}
        try:
            while more or self.flying or self.again or self.back:
                while (actor := self._free()) is not None:
                    if self.again:
                        self._give(actor, self.again.pop(0))
                    elif more and given - written < most and (handed := next(fresh, None)):
                        self._give(actor, handed)
                        given += 1
                    else:
                        more = more and given - written >= most
                        break
                if written not in self.back and (self.flying or self.again or not self.busy):
                    self._arrive()
                while written in self.back:
                    yield self.back.pop(written)
                    written += 1
        finally:
            for reference in self.flying:
                self.ray.cancel(reference, force=False)
        if self.problem:
            raise self.problem

    def _fresh(self, windows: Iterator[Window]) -> Iterator[Handed]:
        try:
            for number, window in enumerate(windows):
                yield Handed(number, window)
        except Exception as problem:
            self.problem = problem

    def _ask(self, number: int) -> Any:
        return self.actors[number].awake.options(max_task_retries=-1).remote()

    def _free(self) -> int | None:
        """The actor that has the least to do, if any has room."""
        number = min(self.busy, key=lambda each: self.busy[each], default=None)
        return number if number is not None and self.busy[number] < AHEAD else None

    def _give(self, number: int, handed: Handed) -> None:
        window = handed.window
        if window.to is None:
            self.back[handed.number] = window, window.problem
            return
        try:
            if number in self.blind:
                window.load()
        except PromptshotError as problem:
            self.back[handed.number] = window, problem
            return
        self.busy[number] += 1
        self.flying[window.to.sent(self.actors[number], window)] = number, handed

    def _arrive(self) -> None:
        """Take what came back, as soon as there is any; actors that woke up get windows."""
        ready, _ = self.ray.wait([*self.flying, *self.waking], timeout=None if self.flying else PATIENCE)
        if not ready:
            raise _no_place()
        (reference,) = ready
        if reference in self.waking:
            self._awake(reference)
            return
        number, handed = self.flying.pop(reference)
        window = handed.window
        try:
            found: Any = self.fleet.get(reference, f"a window of {many(rows_in(window.rows), 'row')}")
        except Lost as problem:
            self._lost(number, handed, problem)
            return
        except PromptshotError as problem:
            found = problem
        if number in self.busy:
            self.busy[number] -= 1
        if found is None:
            self.blind.add(number)
            self._once_more(handed)
            return
        self.back[handed.number] = window, found

    def _awake(self, reference: Any) -> None:
        number = self.waking.pop(reference)
        try:
            self.fleet.get(reference, "waking it")
            self.busy[number] = 0
        except Lost:
            self.sleep(PAUSE)
            self.waking[self._ask(number)] = number

    def _once_more(self, handed: Handed) -> None:
        """Have it given again, before those behind it."""
        self.again = sorted([*self.again, handed], key=lambda each: each.number)

    def _lost(self, number: int, handed: Handed, problem: Lost) -> None:
        """Another gets the window, unless it took too many with it.

        Only the first of an actor's windows may have done so: those behind it had not been begun.
        """
        first, window = self.busy.pop(number, None) is not None, handed.window
        window.lost += first
        if first:
            self.fleet.tell("an actor was lost; the windows that it had are given to others")
        if window.lost <= TRIES:
            self._once_more(handed)
        else:
            where = window.rows[0].source
            rows = many(rows_in(window.rows), "row")
            what = f"{many(window.lost, 'worker')} died of the same {rows} ({problem.what})"
            told = PromptshotError(what, where=where, hint="more memory, or a smaller --batch-budget, may help")
            self.back[handed.number] = window, told
        if first:
            self.waking[self._ask(number)] = number


def _no_place() -> PromptshotError:
    what = f"no worker has found a place in {PATIENCE // 60} minutes"
    return PromptshotError(what, hint="look at ray status; the same command goes on from here")


def _engines(recipe: Recipe) -> list[Any]:
    """What is loaded for a recipe."""
    return [(one.scorer, one.options) for one in (recipe, *recipe.others)]


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
        except UnicodeError:
            what = "--ray: the command line has a name that is not UTF-8, and Ray takes none"
            raise OptionError(what, hint="rename the file") from None
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
