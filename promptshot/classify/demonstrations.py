"""Demonstrations for in-context completion: balanced, seeded, and never the row itself."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from promptshot.classify.recipe import Recipe
from promptshot.errors import InputError, OptionError, shortlist
from promptshot.kinds import WITH_DEMONSTRATIONS
from promptshot.prompts.task import Task
from promptshot.rows.read import read
from promptshot.rows.row import Item, Reject, Row


@dataclass(frozen=True)
class Demonstration:
    """A finished demonstration and the field values it was made from."""

    text: str
    label: str
    values: tuple[str, ...]


class Demonstrations:
    """The same k demonstrations for every row; one that repeats the row gives way to a spare."""

    def __init__(self, pool: Sequence[Demonstration], k: int, seed: int) -> None:
        """Draw k of the pool, as evenly over the labels as it allows; the same seed draws the same."""
        rng = random.Random(seed)
        by_label: dict[str, list[Demonstration]] = {}
        for demo in pool:
            by_label.setdefault(demo.label, []).append(demo)
        for label in sorted(by_label):
            rng.shuffle(by_label[label])
        turns = rng.sample(sorted(by_label), len(by_label))
        drawn: list[Demonstration] = []
        while len(drawn) < k and any(by_label.values()):
            turn = [by_label[label].pop() for label in turns if by_label[label]]
            room = k - len(drawn)
            drawn += turn[:room]
            for demo in turn[room:]:  # they go back, to be the last spares of their labels
                by_label[demo.label].insert(0, demo)
        rng.shuffle(drawn)
        self.drawn = tuple(drawn)
        self._spares = {label: tuple(reversed(rest)) for label, rest in by_label.items()}

    def for_row(self, values: Sequence[str]) -> tuple[str, ...]:
        """The demonstrations' texts for a row with these field values, oldest first; "" where no spare is left."""
        row = tuple(values)
        if all(demo.values != row for demo in self.drawn):  # the usual case
            return tuple(demo.text for demo in self.drawn)
        spares = [s for label in sorted(self._spares) for s in self._spares[label] if s.values != row]
        return tuple(demo.text if demo.values != row else _taken(spares, demo.label) for demo in self.drawn)


def _taken(spares: list[Demonstration], label: str) -> str:
    """The text of a spare, of that label if there is one, which is then none any more."""
    spare = next((s for s in spares if s.label == label), spares[0] if spares else None)
    if spare is None:
        return ""
    spares.remove(spare)
    return spare.text


def of_recipe(recipe: Recipe) -> Demonstrations | None:
    """The demonstrations that a recipe asks for; raises OptionError for templates that take none."""
    plan, kind = recipe.demos, recipe.template.kind
    if plan is None or plan.k == 0:
        return None
    if not kind.demonstrations:
        hint = f"use a template for scorer {WITH_DEMONSTRATIONS}, or leave out --demos and -k"
        raise OptionError(f"demonstrations are for scorer {WITH_DEMONSTRATIONS}, not {kind.name}", hint=hint)
    return draw(read([plan.path], recipe.columns, recipe.reading), recipe.task, plan.k, plan.seed)


def draw(items: Iterable[Item], task: Task, k: int, seed: int) -> Demonstrations:
    """Read labelled rows and draw k demonstrations; raises when a row has no known label."""
    pool = []
    for item in items:
        if isinstance(item, Reject):
            hint = item.advice or "every demonstration must be a good row"
            raise InputError(item.reason, where=item.source, hint=hint)
        label, value = task.gold(item)
        if label is None:
            raise _without_label(item, value, task)
        pool.append(Demonstration(task.demonstration(item, label), label, task.values(item)))
    if len(pool) < k:
        raise OptionError(f"{k} demonstrations asked for, {len(pool)} in the file", hint="lower -k")
    return Demonstrations(pool, k, seed)


def _without_label(row: Row, value: str | None, task: Task) -> InputError:
    """That a demonstration has no label of ours."""
    column = row.columns.get(task.label_field)
    if column and row.column(task.label_field) is None:
        problem = row.refuse(task.label_field, column)
        return InputError(f"a demonstration: {problem.what}", where=problem.where, hint=problem.hint)
    none = "has no label" + (f" in column {column!r}" if column else "")
    said = none if value is None else f"has the label {value!r}, which is none of ours"
    hint = f"the labels are: {shortlist(task.verbalizer.names)}"
    return InputError(f"a demonstration {said}", where=row.source, hint=hint)
