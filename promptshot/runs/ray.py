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
import sys
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any

from promptshot.classify.calibrate import Calibration, Fitted
from promptshot.classify.classifier import WINDOW, Classifier, Progress, idle, in_windows
from promptshot.classify.decide import Decision, Ranks, Thresholds
from promptshot.classify.demonstrations import Pools
from promptshot.classify.prediction import Outcome
from promptshot.classify.recipe import Recipe
from promptshot.errors import OptionError, PromptshotError, install, many
from promptshot.rows.row import Item
from promptshot.runs.record import versions

LOCAL = "local"  # the address of a cluster that is started for the run, and ends with it
CPUS = 4  # processors of an actor, where no GPUs are and nothing is said
AHEAD = 2  # windows in flight for each actor: one is scored while the next is on its way
TRIES = 3  # how often a window is given to another actor after the first


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


class Fleet:
    """Makes classifiers whose windows are scored by the actors of a cluster."""

    def __init__(self, ray: Any, cpus: int | None) -> None:
        """Raises OptionError where the cluster has no room for an actor."""
        self.ray = ray
        there = ray.cluster_resources()
        gpus, most = int(there.get("GPU", 0)), int(there.get("CPU", 0))
        self.cpus = cpus or (1 if gpus else min(CPUS, _largest(ray)))
        self.count = gpus or most // self.cpus
        self.gpus = 1 if gpus else 0
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
        made = self.ray.remote(Worker).options(
            num_cpus=self.cpus, num_gpus=self.gpus, max_restarts=-1, max_task_retries=TRIES,
            runtime_env={"env_vars": {"OMP_NUM_THREADS": str(self.cpus), "TOKENIZERS_PARALLELISM": "false"}},
        )  # fmt: skip
        return [made.remote(recipe, self.cpus, versions()) for _ in range(self.count)]

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
            said = str(problem).strip().splitlines()[0]
            raise PromptshotError(f"{what}: the worker was lost {TRIES + 1} times ({said})") from None


class Worker:
    """An actor: a classifier of a recipe, which scores whole windows with what is fitted elsewhere."""

    def __init__(self, recipe: Recipe, threads: int, wanted: Mapping[str, str]) -> None:
        self.problem: PromptshotError | None = None
        if other := {name: has for name, has in versions().items() if wanted.get(name) != has}:
            name, has = next(iter(other.items()))
            what = f"a worker has {name} {has}, and this is {wanted.get(name)}"
            self.problem = OptionError(what, hint="install the same on all nodes")
            return
        with contextlib.suppress(ImportError):
            import torch

            torch.set_num_threads(threads)
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
        waiting: deque[tuple[Any, int]] = deque()
        turn = 0
        try:
            for together in in_windows(items, window):
                actor = self.actors[turn % len(self.actors)]
                turn += 1
                sent = actor.window.remote(together, on_error, self.decision, self.fitted)
                waiting.append((sent, len(together)))
                if len(waiting) >= AHEAD * len(self.actors):
                    yield self._next(waiting, progress)
            while waiting:
                yield self._next(waiting, progress)
        finally:
            for reference, _ in waiting:
                self.fleet.ray.cancel(reference, force=False)

    def _next(self, waiting: deque[tuple[Any, int]], progress: Progress | None) -> list[Outcome]:
        reference, rows = waiting.popleft()
        found, asked = self.fleet.get(reference, f"a window of {many(rows, 'row')}")
        self.asked += asked
        if progress:
            progress(rows)
        outcomes: list[Outcome] = found
        return outcomes


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
    where = {} if address == LOCAL else {"address": address}
    more = {"include_dashboard": False} if address == LOCAL else {}
    with tempfile.TemporaryFile() as chatter:
        try:
            with _silent(chatter):
                ray.init(**where, **more, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError, OSError) as problem:
            chatter.seek(0)
            said = str(problem).strip().splitlines()[0][:200]
            hint = "is it running? ray status --address ADDRESS" if address != LOCAL else "ray start --head shows more"
            if b"InvalidAuthToken" in chatter.read():
                said, hint = "it wants a token", "see Ray's pages on RAY_AUTH_MODE and RAY_AUTH_TOKEN"
            raise OptionError(f"--ray {address}: no cluster ({said})", hint=hint) from None


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


def _largest(ray: Any) -> int:
    """The most processors that a node has."""
    return max((int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]), default=1) or 1
