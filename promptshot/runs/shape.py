"""What goes out of each prediction, and under which names: objects as they are, tables with a column for each label.

JSONL    id, label, prediction, probability, probabilities: {...}, scores: {...}, word_scores: {...}
a table  id, label, prediction, probability, p_good, p_bad, score_good, score_bad
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from promptshot.classify.prediction import Prediction, output_fields
from promptshot.classify.recipe import Recipe
from promptshot.errors import OptionError, shortlist
from promptshot.prompts.task import PAIR
from promptshot.rows.json_text import like
from promptshot.rows.row import folded

DRAW = ("shots", "demo_seed")  # of which of several runs a row is
NO_DRAW: Mapping[str, Any] = {}
# What a column of a table says of a label or word, by how its name begins.
PREFIXES = {"p_": "probabilities", "score_": "scores", "word_score_": "word_scores"}


def draw_of(recipe: Recipe) -> dict[str, int | None]:
    """What rows say of their demonstrations, where several runs stand in one file."""
    return dict(zip(DRAW, (recipe.shots, recipe.demo_seed), strict=True))


class Shape:
    """Which fields go out, in which order; all are known before the first row but for the rows' own."""

    def __init__(
        self,
        recipe: Recipe,
        table: bool = False,
        fields: Sequence[str] = (),
        scores: bool = True,
        several: bool = False,
    ) -> None:
        """`fields` are names, or beginnings with a `*`, of what is wanted (default: all, or in a table all but the
        words' scores); without `scores`, only the prediction and its probability are ours. With `several` runs in one
        file each row says of which it is."""
        self.table, self.fields, self.several = table, tuple(fields), several
        self._written = recipe.task.written
        self._flat = {f"{prefix}{on_one_line(key)}": (of, key) for prefix, of, key in _keys(recipe)} if scores else {}
        self._always = (*(DRAW if several else ()), *output_fields(recipe))
        usual = [name for name in self._always if scores or name not in PREFIXES.values()]
        self._known = [*usual, *self._flat]  # all that can be asked for
        if table:
            flat = [name for name in self._flat if not name.startswith("word_")]
            whole = [name for name in usual if name in ("probabilities", "scores")]
            usual = [*(name for name in usual if name not in PREFIXES.values()), *(flat or whole)]
        self._usual = usual
        self._ours = {*self._always, *usual}  # columns of the rows by these names give way
        self._columns: dict[tuple[str, ...], Sequence[str]] = {}

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        table: bool,
        fields: Sequence[str],
        scores: bool,
        own: Sequence[str],
        several: bool = False,
    ) -> Shape:
        """The same for rows with these columns, which may be spelled otherwise in `fields`.

        Raises OptionError for a name that none of them has.
        """
        found = cls(recipe, table, fields, scores, several)
        own = [name for name in own if name not in found._always]
        alike = {folded(name): name for name in reversed(own)}
        found.fields = tuple(
            name if found._matching(name, own) else alike.get(folded(name), name) for name in found.fields
        )
        found._ours |= {name for field in found.fields for name in found._matching(field, ()) if name in found._flat}
        for name in found.fields:
            if not found._matching(name, own):
                there = shortlist(dict.fromkeys([*own, *found._known]), 24)
                raise OptionError(f"--fields {name}: no such column", hint=f"there is: {there}")
        return found

    @cached_property
    def plain(self) -> bool:
        """Whether predictions go out as they are."""
        return not (self.table or self.fields or self.several) and len(self._usual) == len(self._always)

    @property
    def certain(self) -> set[str]:
        """What of ours each row has, whatever its labels."""
        return {name for name in self.columns(()) if name in self._always}

    def columns(self, own: Iterable[str]) -> Sequence[str]:
        """What goes out of rows that have these columns, in order."""
        own = tuple(own)
        if own not in self._columns:
            if len(self._columns) > 1000:  # rows that all have other columns
                self._columns.clear()
            theirs = [name for name in own if name not in self._ours]
            names = [name for field in self.fields for name in self._matching(field, theirs) or _exact(field)]
            self._columns[own] = list(dict.fromkeys(names if self.fields else [*theirs, *self._usual]))
        return self._columns[own]

    def record(
        self, prediction: Prediction, columns: Sequence[str] = (), draw: Mapping[str, Any] = NO_DRAW
    ) -> dict[str, Any]:
        """A prediction as it goes out; `columns` are those of the table that it goes into, `draw` says of which of
        several runs it is."""
        if self.plain:
            return prediction.record()
        own, said = prediction.row.fields, {**draw, **self._said(prediction)}
        wanted = self.columns(own)
        if columns:  # beside these, only what the table has no room for is of interest
            wanted = [*columns, *(name for name in wanted if name in own and name not in self._ours)]
        values = {**own, **said}
        return like(own, {name: values[name] for name in wanted if name in values})

    def overwritten(self, own: Iterable[str]) -> tuple[str, ...]:
        """Which of these columns of rows give way to what goes out under their names."""
        own, out = {*own}, {*self.columns(())}
        return tuple(name for name in self._names if name in own and (name in out or not self.fields))

    @property
    def _names(self) -> list[str]:
        return [*self._always, *(name for name in self._flat if name in self._ours)]

    def _matching(self, field: str, own: Sequence[str]) -> list[str]:
        """What is meant by a name or the beginning of some: of what goes out anyway, else of all there is."""
        if field in own or field in self._known:
            return [field]
        if not field.endswith("*"):
            return []
        theirs, usual, flat = (
            [name for name in names if name.startswith(field[:-1])] for names in (own, self._usual, self._flat)
        )
        return [*theirs, *(usual or flat)]

    def _said(self, prediction: Prediction) -> dict[str, Any]:
        """What was found, under all names that it may have."""
        nested: dict[str, Mapping[str, float] | None] = {
            "probabilities": prediction.probabilities,
            "scores": prediction.label_scores,
            "word_scores": prediction.word_scores,
        }
        flat = {name: (nested[of] or {}).get(key) for name, (of, key) in self._flat.items() if name in self._ours}
        said = prediction.said
        if self.table and isinstance(prediction.label, tuple):
            said = {name: self._written(label) for name, label in said.items()}
        return {**said, **prediction.held, "probability": prediction.probability, **nested, **flat}


def on_one_line(key: str) -> str:
    """A label or word as part of a heading: a TSV has no cells over several lines."""
    return re.sub(r"\s*[\t\r\n]+\s*", " ", key)


def _exact(field: str) -> list[str]:
    """A name that these rows do not have, and others may; not the beginning of some."""
    return [] if field.endswith("*") else [field]


def _keys(recipe: Recipe) -> Iterable[tuple[str, str, str]]:
    """(prefix, of what, label or word) in the order of the columns; nothing where each row has its own."""
    if recipe.task.own_words:
        return []
    ordered, labels = recipe.task.paired, recipe.verbalizer.names
    members = (recipe, *recipe.others)
    words = [(i, word) for i, one in enumerate(members, 1) for of in one.verbalizer.labels.values() for word in of]
    keys = {
        "p_": labels if recipe.decision.probable else (),
        "score_": (PAIR,) if ordered else labels,
        "word_score_": () if ordered else [f"{i}: {word}" if recipe.others else word for i, word in words],
    }
    return [(prefix, PREFIXES[prefix], key) for prefix, names in keys.items() for key in names]
