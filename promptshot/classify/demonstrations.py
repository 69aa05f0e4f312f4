"""Demonstrations for in-context completion and clozes: balanced, seeded or near the row, and never the row itself."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from promptshot.classify.recipe import DemoPlan, Recipe
from promptshot.errors import InputError, OptionError, RowError, shortlist
from promptshot.kinds import WITH_DEMONSTRATIONS
from promptshot.prompts.task import Task
from promptshot.rows.read import read
from promptshot.rows.row import Item, Reject, Row
from promptshot.rows.streams import PLAIN
from promptshot.scoring import Embedding, Kind, Piece

Near = Callable[[Sequence[str]], Any]  # texts -> (texts, pool): the higher, the nearer
Embed = Callable[[Sequence[str]], Sequence[Sequence[float]]]  # texts -> their vectors
Values = tuple[str, ...]  # of the fields that a template uses: what makes two rows the same


@dataclass(frozen=True)
class Demonstration:
    """A finished demonstration and the field values it was made from."""

    text: str
    label: str
    values: Values
    answer: str = ""  # of two turns of a chat the second; `text` is then the first

    @property
    def piece(self) -> Piece:
        """As it stands in a prompt."""
        return Piece(Kind.DEMO, self.text, answer=self.answer)


class Source(Protocol):
    """Where the demonstrations of rows come from."""

    k: int  # of each row, unless it is too near to too many

    def for_rows(self, rows: Sequence[Values]) -> list[tuple[Demonstration, ...]]:
        """For each of the rows with these field values its demonstrations, oldest first."""


class Demonstrations:
    """The same k demonstrations for every row; one that repeats the row gives way to a spare."""

    def __init__(self, pool: Sequence[Demonstration], k: int, seed: int, balanced: bool = True) -> None:
        """Draw k of the pool, as evenly over the labels as it allows unless they need not be `balanced`; the same seed
        draws the same."""
        rng = random.Random(seed)
        by_label: dict[str, list[Demonstration]] = {}
        for demo in pool:
            by_label.setdefault(demo.label, []).append(demo)
        for label in sorted(by_label):
            rng.shuffle(by_label[label])
        drawn = _in_turns(by_label, k, rng) if balanced else _at_random(by_label, k, rng)
        rng.shuffle(drawn)
        self.drawn = tuple(drawn)
        self.k = len(drawn)
        self._spares = {label: tuple(reversed(rest)) for label, rest in by_label.items()}

    def for_rows(self, rows: Sequence[Values]) -> list[tuple[Demonstration, ...]]:
        """See `Source`; where no spare is left, a row has fewer."""
        return [tuple(demo for demo in self._chosen(row) if demo) for row in rows]

    def for_row(self, values: Sequence[str]) -> tuple[str, ...]:
        """The demonstrations' texts for a row with these field values, oldest first; "" where no spare is left."""
        return tuple(demo.text if demo else "" for demo in self._chosen(tuple(values)))

    def _chosen(self, row: Values) -> tuple[Demonstration | None, ...]:
        if all(demo.values != row for demo in self.drawn):  # the usual case
            return self.drawn
        spares = [s for label in sorted(self._spares) for s in self._spares[label] if s.values != row]
        return tuple(demo if demo.values != row else _taken(spares, demo.label) for demo in self.drawn)


def _in_turns(by_label: dict[str, list[Demonstration]], k: int, rng: random.Random) -> list[Demonstration]:
    """Taken out of the labels in turn, k in all."""
    turns = rng.sample(sorted(by_label), len(by_label))
    drawn: list[Demonstration] = []
    while len(drawn) < k and any(by_label.values()):
        turn = [by_label[label].pop() for label in turns if by_label[label]]
        room = k - len(drawn)
        drawn += turn[:room]
        for demo in turn[room:]:  # they go back, to be the last spares of their labels
            by_label[demo.label].insert(0, demo)
    return drawn


def _at_random(by_label: dict[str, list[Demonstration]], k: int, rng: random.Random) -> list[Demonstration]:
    """Taken out of the labels whichever they are, k in all."""
    labels = [label for label in sorted(by_label) for _ in by_label[label]]
    return [by_label[label].pop() for label in rng.sample(labels, min(k, len(labels)))]


def _taken(spares: list[Demonstration], label: str) -> Demonstration | None:
    """A spare, of that label if there is one, which is then none any more."""
    spare = next((s for s in spares if s.label == label), spares[0] if spares else None)
    if spare is not None:
        spares.remove(spare)
    return spare


class Nearest:
    """For each row those demonstrations of a pool that are nearest to it, never the row itself."""

    def __init__(self, pool: Sequence[Demonstration], plan: DemoPlan, near: Near) -> None:
        """`near` says how near each of the pool is to texts, see `nearness`."""
        from promptshot.classify import retrieval  # which loads what counts with large numbers

        self.pool, self.k, self.first = pool, plan.k, plan.placed == "nearest-first"
        self._index = retrieval.Index(near, [demo.label for demo in pool], plan.k, plan.balanced)
        self._same = dict[Values, list[int]]()
        for place, demo in enumerate(pool):
            self._same.setdefault(demo.values, []).append(place)

    def for_rows(self, rows: Sequence[Values]) -> list[tuple[Demonstration, ...]]:
        """See `Source`; a row has fewer where nearly all of the pool is the row itself."""
        found = self._index.places([_text_of(row) for row in rows], [self._same.get(row, ()) for row in rows])
        return [tuple(self.pool[place] for place in (places if self.first else places[::-1])) for places in found]


def nearness(pool: Sequence[Demonstration], plan: DemoPlan, embed: Embed | None = None) -> Near:
    """How near those of a pool are to texts: by the words they share or, where that is planned, by their embeddings."""
    from promptshot.classify import retrieval

    texts = [_text_of(demo.values) for demo in pool]
    if plan.by == "similar" and embed is not None:
        return retrieval.by_embedding(texts, embed, plan.whiten)
    return retrieval.by_words(texts)


def _text_of(values: Values) -> str:
    """The fields of a row as one text."""
    return "\n".join(filter(None, values))


class ByLabel:
    """The demonstrations of another source, label by label in the order of the labels."""

    def __init__(self, source: Source, labels: Sequence[str]) -> None:
        """Labels that are not among these come last."""
        self.source, self.k = source, source.k
        self._place = {label: place for place, label in enumerate(labels)}

    def for_rows(self, rows: Sequence[Values]) -> list[tuple[Demonstration, ...]]:
        """See `Source`; those of one label keep their order."""
        return [tuple(sorted(shots, key=self._place_of)) for shots in self.source.for_rows(rows)]

    def _place_of(self, demo: Demonstration) -> tuple[int, str]:
        place = self._place.get(demo.label)
        return (len(self._place), demo.label) if place is None else (place, "")


def dealt(shots: Sequence[Demonstration], chunks: int) -> list[tuple[Demonstration, ...]]:
    """The demonstrations of a row among so many chunks, each with as many of each label as there are, in their order;
    there are fewer chunks where not all would have one."""
    in_turn = sorted(range(len(shots)), key=lambda place: shots[place].label)
    parts = [sorted(in_turn[first::chunks]) for first in range(min(chunks, len(shots)))]
    return [tuple(shots[place] for place in part) for part in parts]


# ------------------------------------------------------------------ where they come from


class Pools:
    """What demonstrations are chosen from: each file is read, and its texts looked through, once for all recipes of a
    task."""

    def __init__(self) -> None:
        self._read: dict[Any, tuple[Task, list[Demonstration]]] = {}
        self._near: dict[Any, Near] = {}

    def of(self, recipe: Recipe) -> list[Demonstration]:
        """The pool of a recipe's demonstrations; raises a PromptshotError."""
        plan, task = recipe.demos, recipe.task
        assert plan is not None
        key = id(task), plan.path
        if key not in self._read:
            items = read([plan.path], recipe.columns, PLAIN if plan.set_aside else recipe.reading)
            self._read[key] = task, pool_of(items, task, 0)
        _, pool = self._read[key]
        _refuse_fewer(pool, plan.k, "" if plan.set_aside else plan.path)
        return pool

    def near(self, pool: Sequence[Demonstration], plan: DemoPlan, embed: Embed | None) -> Near:
        """See `nearness`; the pool is one of these."""
        key = id(pool), plan.by, plan.whiten
        if key not in self._near:
            self._near[key] = nearness(pool, plan, embed)
        return self._near[key]


def of_recipe(recipe: Recipe, scorer: object = None, pools: Pools | None = None) -> Source | None:
    """The demonstrations that a recipe asks for, `similar` ones by the embeddings of a scorer; with `pools`, from what
    has been read.

    Raises a PromptshotError for templates that take none, a scorer without embeddings, and a file that does not do.
    """
    pools = pools or Pools()
    pool, plan = check(recipe, pools), recipe.demos
    if plan is None or not pool:
        return None
    if plan.by == "similar" and scorer is None:
        hint = "leave out --dry-run, or say --demos-by nearest"
        raise OptionError("which demonstrations are similar only the model tells, and it is not loaded", hint=hint)
    if plan.by == "similar" and not isinstance(scorer, Embedding):
        what = f"the scorer {recipe.scorer!r} has no embeddings to tell what is similar"
        raise OptionError(what, hint="say --demos-by nearest, which goes by words")
    return chosen(pool, plan, recipe.labels, scorer.embed if isinstance(scorer, Embedding) else None, pools)


def check(recipe: Recipe, pools: Pools | None = None) -> list[Demonstration]:
    """All that a recipe chooses its demonstrations from, finished; none where it asks for none.

    Raises a PromptshotError where the template takes none, or the file cannot be read or has too few.
    """
    plan, kind = recipe.demos, recipe.template.kind
    if plan is None or plan.k == 0:
        return []
    if not kind.demonstrations:
        hint = f"use a template for scorer {WITH_DEMONSTRATIONS}, or leave out --demos and -k"
        raise OptionError(f"demonstrations are for scorer {WITH_DEMONSTRATIONS}, not {kind.name}", hint=hint)
    plan.check()
    return (pools or Pools()).of(recipe)


def chosen(
    pool: Sequence[Demonstration],
    plan: DemoPlan,
    labels: Sequence[str] = (),
    embed: Embed | None = None,
    pools: Pools | None = None,
) -> Source:
    """Demonstrations of a pool as a plan has it; `embed` gives the vectors of texts."""
    found: Source
    if plan.by == "random":
        found = Demonstrations(pool, plan.k, plan.seed, plan.balanced)
    else:
        found = Nearest(pool, plan, (pools or Pools()).near(pool, plan, embed))
    return ByLabel(found, labels) if plan.placed == "by-label" else found


def pool_of(items: Iterable[Item], task: Task, k: int, where: str = "") -> list[Demonstration]:
    """The labelled rows of a file as demonstrations; raises a PromptshotError where a row has no known label, or for
    fewer than k."""
    pool = []
    for item in items:
        if isinstance(item, Reject):
            hint = item.advice or "every demonstration must be a good row"
            raise InputError(item.reason, where=item.source, hint=hint)
        label, value = task.gold(item)
        if not isinstance(label, str):
            raise _without_label(item, value, task)
        shot = task.shot(item, label)
        pool.append(Demonstration(shot.text, label, task.values(item), shot.answer))
    _refuse_fewer(pool, k, where)
    return pool


def _refuse_fewer(pool: Sequence[Demonstration], k: int, where: str) -> None:
    if len(pool) < k:
        raise OptionError(f"{k} demonstrations asked for, {len(pool)} in the file", where=where, hint="lower -k")


def is_demonstration(row: Row, task: Task) -> bool:
    """Whether a row can be one: it has a label that is known, and what the template needs."""
    try:
        label, _ = task.gold(row)
        return isinstance(label, str) and bool(task.demonstration(row, label))
    except RowError:
        return False


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
