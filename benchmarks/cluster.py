"""What a run on a Ray cluster of 1 to 256 workers comes to, by simulation: tables as Markdown.

python -m benchmarks.cluster [--held] [--rows N] [--seconds-a-window S] [--deaths-an-hour D] [--seed N]

The class that hands out windows is promptshot's own (`promptshot.runs.ray.Handing`), with its own Fleet. Only what it
talks to is made up: a `ray` whose workers finish, die and come back at stated times, and a clock that jumps from one
such time to the next. So the tables show what our code does with times that are assumed; they measure no machine.

    driver   read, send -> wait ............... -> write      its seconds pass on the same clock
    worker A [load]  [window 1][window 3]x dies    [back, load]  [...]
    worker B [load]  [window 2]...[window 3 again]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest import mock

from promptshot.classify.classifier import WINDOW
from promptshot.runs import ray as runs

WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SPEEDS = (35, 400, 2000)  # rows a second of a worker
DRIVER = 300_000  # rows of JSON lines a second that a driver parts, sends the places of, gets and writes: docs/scale.md
HELD = (4, 8, 16, 32)  # windows between given and written for each worker, to be compared


@dataclass(frozen=True)
class Times:
    """What is assumed, in seconds; spreads are standard deviations of logarithms."""

    window: float
    spread: float = 0.2  # of one worker's windows
    uneven: float = 0.1  # between workers
    slow: float = 1.0  # how many times slower the first worker is
    load: float = 30.0
    way: float = 0.02  # to a worker, or back
    driver: float = WINDOW / DRIVER  # a window's; half before it is sent, half when it is written
    deaths: float = 0.1  # of each worker in an hour
    back: float = 60.0  # from a death until it loads its model
    notice: float = 2.0  # from a death until the driver is told
    refuses: bool = False  # whether a question to a worker that is not there fails at once, and does not wait for it


@dataclass(frozen=True)
class Found:
    """What a run came to."""

    workers: int
    windows: int
    rows: int
    seconds: float
    useful: float  # seconds of all workers with windows that were written
    given: int  # windows sent, those that were lost included
    held: int  # windows read and not yet written, at most
    driver: float  # seconds that the driver was busy

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds

    @property
    def used(self) -> float:
        """The share of the workers' time that went into what was written."""
        return self.useful / (self.workers * self.seconds)

    @property
    def twice(self) -> float:
        """How many windows were given again, for each one there is."""
        return self.given / self.windows - 1


class Gone(Exception):
    """Ray's error for a worker that is lost."""


@dataclass(eq=False)
class Reference:
    """What will be there at a time: a value, or the news that the worker is lost."""

    ready: float
    value: Any = None
    lost: bool = False
    seconds: float = 0.0  # that a worker needed


@dataclass
class World:
    """A `ray` on a clock of its own, as far as `Handing` and `Fleet.get` ask it."""

    times: Times
    seed: int
    workers: int
    now: float = 0.0
    given: int = 0
    useful: float = 0.0
    exceptions: Any = field(default_factory=lambda: SimpleNamespace(RayError=Gone, RayTaskError=(), GetTimeoutError=()))

    def cluster_resources(self) -> dict[str, float]:
        """One GPU for each worker."""
        return {"GPU": float(self.workers)}

    def wait(self, references: Sequence[Reference], timeout: float | None) -> tuple[list[Reference], list[Reference]]:
        """The first that is ready, as soon as one is."""
        found = next((one for one in references if one.ready <= self.now), None)
        found = found or min(references, key=lambda one: one.ready)
        until = math.inf if timeout is None else self.now + timeout
        self.now = max(self.now, min(found.ready, until))
        return ([found] if found.ready <= until else []), [one for one in references if one is not found]

    def get(self, reference: Reference, timeout: float | None = None) -> Any:
        """The value; raises Gone."""
        self.sleep(max(0.0, reference.ready - self.now))
        if reference.lost:
            raise Gone("the worker is gone")
        self.useful += reference.seconds
        return reference.value

    def cancel(self, reference: Reference, force: bool) -> None:
        """Nothing: a run that fails is over."""

    def sleep(self, seconds: float) -> None:
        """Let the clock go on."""
        self.now += seconds


class Actor:
    """A worker: it loads, scores one window after another, dies, and comes back."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.times = world, world.times
        self.dice = Random(f"{world.seed} {number}")
        self.pace = _drawn(self.dice, self.times.uneven) * (self.times.slow if number == 0 else 1)
        self.died, self.free = -math.inf, 0.0
        self.window, self.awake = Method(self._window), Method(self._awake)
        self._live(0.0)

    def _live(self, begin: float) -> None:
        self.up = begin + self.times.load * self.pace
        lasts = self.dice.expovariate(self.times.deaths / 3600) if self.times.deaths else math.inf
        self.dies = self.up + lasts

    def _at(self, when: float) -> None:
        """Go on to the life that is at that time, or comes next."""
        while self.dies <= when:
            self.died = self.dies
            self._live(self.dies + self.times.back)

    def _awake(self) -> Reference:
        at = self.world.now + self.times.way
        self._at(at)
        if self.times.refuses and at < self.up:
            return Reference(at, lost=True)
        return Reference(max(at, self.up) + self.times.way)

    def _window(self, rows: Sequence[Any]) -> Reference:
        self.world.given += 1
        at = self.world.now + self.times.way
        self._at(at)
        if at < self.died + self.times.notice:  # nobody is there, and nobody knows
            return Reference(self.died + self.times.notice, lost=True)
        needs = self.times.window * self.pace * _drawn(self.dice, self.times.spread)
        self.free = max(at, self.up, self.free) + needs
        if self.free > self.dies:
            self.free = self.dies
            return Reference(self.dies + self.times.notice, lost=True)
        return Reference(self.free + self.times.way, rows[0].window, seconds=needs)


@dataclass(frozen=True)
class Method:
    """A method of an actor, called in Ray's manner."""

    call: Callable[..., Reference]

    def options(self, **_: object) -> Method:
        """Itself: how often Ray would try again is in the times."""
        return self

    def remote(self, *given: Any) -> Reference:
        """What will come of it."""
        return self.call(*given)


def _drawn(dice: Random, spread: float) -> float:
    """A factor that is 1 in the mean."""
    return dice.lognormvariate(-(spread**2) / 2, spread)


def fleet_of(world: World, actors: list[Actor]) -> runs.Fleet:
    """promptshot's own, with these in the place of its actors."""
    fleet = runs.Fleet(world, None)
    fleet.actors = actors
    return fleet


def simulate(times: Times, workers: int, rows: int, seed: int = 0, held: int | None = None) -> Found:
    """A whole run; `held` replaces how many windows for each worker may be between given and written.

    Raises RuntimeError where a window is not written, written twice, or out of order.
    """
    world, windows = World(times, seed, workers), math.ceil(rows / WINDOW)
    numbers: list[int] = []  # of the windows that are written
    written = most = 0

    def read() -> Iterator[Any]:
        nonlocal most
        for number in range(windows):
            world.sleep(times.driver / 2)
            row = SimpleNamespace(window=number, source=f"rows:{number * WINDOW + 1}")
            most = max(most, number + 1 - len(numbers))
            rows_of: Any = [row] * min(WINDOW, rows - number * WINDOW)
            yield runs.Window(rows_of, to)

    to: Any = SimpleNamespace(sent=lambda actor, window: actor.window.remote(window.rows))
    fleet = fleet_of(world, [Actor(world, number) for number in range(workers)])
    with mock.patch.object(runs, "HELD", held or runs.HELD):
        for window, number in runs.Handing(fleet, world.sleep).in_order(read()):
            if isinstance(number, Exception):
                raise number
            world.sleep(times.driver / 2)
            written += len(window.rows)
            numbers.append(number)
    if numbers != list(range(windows)) or written != rows:
        raise RuntimeError(f"{written:,} of {rows:,} rows were written, or not in order")
    return Found(workers, windows, rows, world.now, world.useful, world.given, most, windows * times.driver)


def by_workers(times: Times, rows: int, seed: int) -> Iterator[str]:
    """A table for 1, 2, 4 ... workers of one speed."""
    speed = WINDOW / times.window
    enough = f"{DRIVER / speed:,.1f} of them keep the driver busy"
    yield f"A worker scores {speed:,.0f} rows/s, {times.window:.2f} s a window; {enough}."
    yield ""
    yield "| workers | rows/s | workers used | driver busy | given again | held | hours |"
    yield "|--:|--:|--:|--:|--:|--:|--:|"
    for workers in WORKERS:
        found = simulate(times, workers, rows, seed)
        yield (
            f"| {workers} | {found.rate:,.0f} | {found.used:.1%} | "
            f"{found.driver / found.seconds:.1%} | {found.twice:.2%} | {found.held:,} | {found.seconds / 3600:.2f} |"
        )


def by_held(times: Times, rows: int, seed: int) -> Iterator[str]:
    """What a longer way between given and written does, for 64 workers in several kinds of trouble."""
    troubles = {
        "as above": times,
        "windows differ more (spread 0.6)": replace(times, spread=0.6),
        "one worker takes 3 times as long": replace(times, slow=3.0),
        "one worker takes 6 times as long": replace(times, slow=6.0),
        "a death an hour each": replace(times, deaths=1.0),
        "a death an hour each, noticed after 30 s": replace(times, deaths=1.0, notice=30.0),
        "a death an hour each, questions refused": replace(times, deaths=1.0, refuses=True),
    }
    yield f"Rows/s of 64 workers at {WINDOW / times.window:,.0f} rows/s each, by the windows held for each worker"
    yield ""
    yield f"| trouble | {' | '.join(map(str, HELD))} |"
    yield f"|---|{'--:|' * len(HELD)}"
    for name, trouble in troubles.items():
        rates = [f"{simulate(trouble, 64, rows, seed, held).rate:,.0f}" for held in HELD]
        yield f"| {name} | {' | '.join(rates)} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--held", action="store_true", help="by the windows held for each worker, not by the workers")
    parser.add_argument("--rows", type=int, help="50,000,000; --held: 10,000,000")
    parser.add_argument("--seconds-a-window", type=float, action="append")
    parser.add_argument("--deaths-an-hour", type=float, default=Times.deaths)
    parser.add_argument("--seed", type=int, default=0)
    given: Any = parser.parse_args()
    all_times = [
        Times(seconds, deaths=given.deaths_an_hour)
        for seconds in given.seconds_a_window or [WINDOW / speed for speed in SPEEDS]
    ]
    table, rows = (by_held, given.rows or 10_000_000) if given.held else (by_workers, given.rows or 50_000_000)
    for times in all_times:
        print("\n".join(table(times, rows, given.seed)), end="\n\n")


if __name__ == "__main__":
    main()
