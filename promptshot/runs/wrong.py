"""Rows that went wrong: the surest of each confusion, and the surest of all; memory does not grow with the rows."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter

from promptshot.errors import shortened
from promptshot.metrics import Label
from promptshot.rows.json_text import dumps, encodable, like
from promptshot.rows.row import Row

MOST, SHOWN = 10_000, 1000  # rows of a file, and on a terminal, at most: the surest of them
PAIRS = 40  # confusions of which a row is kept, of more those that are commonest so far
TEXT = 120  # characters of a row that are kept to be shown
_Plain = tuple[int, Label, Label, float | None, str]
UNSURE = -1.0  # where there is no probability, as where ranks decide: behind all that have one, in their order


@dataclass(frozen=True)
class Wrong:
    """A row that was predicted to be another than it is, and how sure that was; `key` is its number."""

    key: int
    gold: Label
    prediction: Label
    probability: float | None
    text: str
    row: Row | None = field(default=None, compare=False)
    draw: Mapping[str, int | None] = field(default_factory=dict, compare=False)  # of which of several runs it is

    @classmethod
    def of(cls, row: Row, gold: Label, prediction: Label, probability: float | None, names: Sequence[str]) -> Wrong:
        """With the text of the fields by which a person would know the row."""
        return cls(row.key, gold, prediction, probability, encodable(shortened(text_of(row, names), TEXT)), row)

    @property
    def rank(self) -> tuple[float, ...]:
        """The surest has the highest; of two that are as sure, the first."""
        return *_rank(self.key, self.probability), *(-(number or 0) for number in self.draw.values())

    @property
    def plain(self) -> _Plain:
        """All but the row itself."""
        return self.key, self.gold, self.prediction, self.probability, self.text

    def record(self) -> dict[str, Any]:
        """The row's own fields, then what it is, what it was predicted to be, and how sure that was."""
        own = self.row.fields if self.row else {}
        found = {**self.draw, "gold": self.gold, "prediction": self.prediction, "probability": self.probability}
        return like(own, {**{name: value for name, value in own.items() if name not in found}, **found})


def _rank(key: int, probability: float | None) -> tuple[float, float]:
    """That of a row, whatever its draw."""
    return UNSURE if probability is None else probability, -key


def text_of(row: Row, names: Sequence[str]) -> str:
    """What a person would know a row by: these fields, as far as it has them."""
    values = (row[name] for name in names if row.column(name) is not None)
    return " / ".join(value if isinstance(value, str) else dumps(value) for value in values)


class Worst:
    """The surest wrong row of each confusion, and the `most` surest of all."""

    def __init__(self, most: int = 0) -> None:
        self.most = most
        self._pairs: dict[tuple[Label, Label], Wrong] = {}
        self._heap: list[tuple[tuple[float, ...], Wrong]] = []  # the least sure of those that are kept is the first

    @classmethod
    def of_draws(cls, parts: Iterable[tuple[Mapping[str, int | None], Worst]]) -> Worst:
        """Those of several draws of the same rows together, each with what its rows say of its draw."""
        found = cls()
        for draw, worst in parts:
            found.most = max(found.most, worst.most)
            for wrong in worst._pairs.values():
                found._compare(replace(wrong, draw=draw))
            for wrong in worst.surest:
                found._keep(replace(wrong, draw=draw))
        return found

    def wants(self, key: int, gold: Label, prediction: Label, probability: float | None) -> bool:
        """Whether such a row would be kept; of most, nobody needs the text."""
        rank, first = _rank(key, probability), self._pairs.get((gold, prediction))
        if first is None or rank > first.rank:
            return True
        return self.most > 0 and (len(self._heap) < self.most or rank > self._heap[0][0])

    def add(self, wrong: Wrong, confusion: Mapping[tuple[Any, Any], int] | None = None) -> None:
        """Take in a row; `confusion` counts (gold, predicted) so far. Without it, as in a window, whose counts say
        little of what is common in the run, a row of every confusion is kept."""
        self._compare(wrong)
        self._keep(wrong)
        if confusion is not None:
            self._prune(confusion)

    def include(self, behind: Worst, confusion: Mapping[tuple[Any, Any], int]) -> None:
        """Take in those of the rows behind; `confusion` counts (gold, predicted) so far, these as well.

        Where there are too many confusions, the commonest stay.
        """
        for wrong in behind._pairs.values():
            self._compare(wrong)
        for _, wrong in behind._heap:
            self._keep(wrong)
        self._prune(confusion)

    def _prune(self, confusion: Mapping[tuple[Any, Any], int]) -> None:
        if len(self._pairs) > 2 * PAIRS:
            common = sorted(self._pairs, key=lambda pair: -confusion.get(pair, 0))
            self._pairs = {pair: self._pairs[pair] for pair in common[:PAIRS]}

    def _compare(self, wrong: Wrong) -> None:
        """With the surest row so far of its confusion."""
        pair = wrong.gold, wrong.prediction
        if pair not in self._pairs or wrong.rank > self._pairs[pair].rank:
            self._pairs[pair] = replace(wrong, row=None)

    def _keep(self, wrong: Wrong) -> None:
        """Among the surest of all, if it is one."""
        if self.most and len(self._heap) < self.most:
            heapq.heappush(self._heap, (wrong.rank, wrong))
        elif self.most and wrong.rank > self._heap[0][0]:
            heapq.heapreplace(self._heap, (wrong.rank, wrong))

    @property
    def surest(self) -> list[Wrong]:
        """Those that are kept of all, the surest first."""
        return [wrong for _, wrong in sorted(self._heap, key=lambda entry: entry[0], reverse=True)]

    def of_confusions(self, confusion: Mapping[tuple[Any, Any], int], most: int) -> list[Wrong]:
        """The surest row of each of the commonest confusions."""
        pairs = sorted(self._pairs, key=lambda pair: (-confusion.get(pair, 0), *pair))
        return [self._pairs[pair] for pair in pairs[:most]]

    def fill(self, rows: Mapping[int, Row]) -> None:
        """Give the rows by their numbers to what was restored without them."""
        self._heap = [(rank, replace(wrong, row=wrong.row or rows.get(wrong.key))) for rank, wrong in self._heap]

    @property
    def lacking(self) -> set[int]:
        """The numbers of the rows that are not at hand."""
        return {wrong.key for _, wrong in self._heap if wrong.row is None}

    def state(self) -> dict[str, Any]:
        """All but the rows themselves as plain data, from which `restored` goes on."""
        texts = self.most <= SHOWN  # a file has the rows themselves, which are read again
        surest = [(*wrong.plain[:4], wrong.text if texts else "") for _, wrong in self._heap]
        return {"most": self.most, "pairs": [wrong.plain for wrong in self._pairs.values()], "surest": surest}

    @classmethod
    def restored(cls, state: Any, most: int) -> Worst | None:
        """As it was, for so many rows; None where fewer were kept. Raises ValueError for what is no state."""
        said = _STATE.validate_python(state)
        if said.most < most:
            return None
        found = cls(most)
        found._pairs = {(wrong.gold, wrong.prediction): wrong for wrong in _wrongs(said.pairs)}
        found._heap = heapq.nlargest(most, ((wrong.rank, wrong) for wrong in _wrongs(said.surest)), lambda one: one[0])
        heapq.heapify(found._heap)
        return found


@dataclass(frozen=True)
class WorstState:
    """What `Worst.state` says."""

    most: int = 0
    pairs: Sequence[_Plain] = ()
    surest: Sequence[_Plain] = ()


_STATE = TypeAdapter(WorstState)


def _wrongs(plain: Iterable[_Plain]) -> list[Wrong]:
    return [Wrong(*one) for one in plain]
