"""Choosing by successive halving: many candidates on few rows, the better half of them on more, and so on.

Whoever chose the best of many on some rows cannot judge it on the same rows: others do that, which no choice has seen.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from promptshot.classify.recipe import Recipe
from promptshot.compare.bench import Bench, Failure, Turn
from promptshot.compare.candidates import Candidate
from promptshot.errors import InputError, PromptshotError, RowError
from promptshot.rows.row import Item, Row

FINALISTS = 2  # who is judged: the one chosen, and the next best
FEWEST = 32  # rows that a candidate is seen on before it can be dropped, where there are as many


@dataclass(frozen=True)
class Round:
    """One round: the rows that every candidate has been seen on, how many it had right, and who goes on."""

    rows: int
    right: dict[str, int]
    ranked: tuple[Candidate, ...]  # the best first
    kept: int
    failures: tuple[Failure, ...] = ()

    def record(self) -> dict[str, Any]:
        """As plain data."""
        return {"rows": self.rows, "right": self.right, "kept": [one.name for one in self.ranked[: self.kept]]}


@dataclass
class Search:
    """Which rows choose and which judge, and how the choosing goes."""

    choosing: list[Item]
    judging: list[Item]
    source: str  # of the rows that choose, in words
    same: int = 0  # rows that do not judge because one that chooses says the same
    rounds: list[Round] = field(default_factory=list)

    @classmethod
    def of(cls, items: Sequence[Item], dev: Sequence[Item] | None, recipe: Recipe, seed: int) -> Search:
        """Choose on the `dev` rows, or on half of the others at random; what such a row says judges nothing.

        Two rows say the same where the fields of this recipe do. Raises InputError where no row is left.
        """
        source = "the rows of --dev" if dev is not None else f"half of the rows, drawn with seed {seed}"
        if dev is None:
            drawn = set(random.Random(seed).sample(range(len(items)), len(items) // 2))
            dev, items = [items[i] for i in sorted(drawn)], [one for i, one in enumerate(items) if i not in drawn]
        known = {_said(item, recipe) for item in dev} - {None}
        judging = [item for item in items if _said(item, recipe) not in known]
        if not dev or not judging:
            raise InputError("a search needs rows to choose on and others to judge on", hint="give more rows, or --dev")
        return cls(list(dev), judging, source, len(items) - len(judging))

    @property
    def finalists(self) -> tuple[Candidate, ...]:
        """The winner, and whoever came second."""
        return self.rounds[-1].ranked[:FINALISTS]

    def turns(self, candidates: int) -> int:
        """How often one of so many candidates is scored, with the judging."""
        return sum(count for count, _ in schedule(candidates, len(self.choosing))) + min(FINALISTS, candidates)

    def record(self) -> dict[str, Any]:
        """As plain data; rows are counted from 1, each side in its own files."""
        rows = {"choosing": self.choosing, "judging": self.judging}
        numbers = {name: [item.key + 1 for item in items] for name, items in rows.items()}
        return {"source": self.source, **numbers, "rounds": [one.record() for one in self.rounds]}


def schedule(candidates: int, rows: int) -> list[tuple[int, int]]:
    """How many candidates every round has, and how many rows they have been seen on at its end.

    10 candidates, 400 rows: (10, 50), (5, 100), (3, 200), (2, 400)
    """
    found = []
    while True:
        halvings = max(0, (candidates - 1).bit_length() - 1)
        end = min(rows, max(FEWEST, rows >> halvings))
        found.append((candidates, end))
        if end == rows:
            return found
        candidates = (candidates + 1) // 2


def halve(candidates: Sequence[Candidate], items: Sequence[Item], bench: Bench, seed: int = 0) -> Iterator[Round]:
    """Round by round until one candidate is left; the rows are taken at random, and the last round has seen all.

    A row is scored once for a candidate; where labels come from ranks, they are ranked among the new rows of a round.
    Ties go to the candidate that stood higher before. Raises a PromptshotError where not one can be used.
    """
    shuffled = random.Random(seed).sample(list(items), len(items))
    plan = schedule(len(candidates), len(items))
    left, right, seen = list(candidates), Counter[str](), 0
    for (_, end), after in zip(plan, [*(count for count, _ in plan[1:]), 1], strict=True):
        failures, rows = [], shuffled[seen:end]
        bench.expect([Turn(candidate, rows) for candidate in left])
        for candidate in left:
            try:
                entry, _ = bench.score(candidate, rows)
                right[candidate.name] += sum(entry.right.values())
            except PromptshotError as problem:
                failures.append(Failure(candidate, problem))
        failed = [failure.candidate for failure in failures]
        ranked = sorted((one for one in left if one not in failed), key=lambda one: -right[one.name])
        if not ranked:
            raise failures[0].problem
        left, seen = ranked[:after], end
        yield Round(end, {one.name: right[one.name] for one in ranked}, tuple(ranked), len(left), tuple(failures))


def _said(item: Item, recipe: Recipe) -> tuple[str, ...] | None:
    try:
        row = recipe.task.mapped(item)
        return recipe.task.values(row) if isinstance(row, Row) else None
    except RowError:
        return None
