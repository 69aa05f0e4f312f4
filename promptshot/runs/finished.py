"""A window of rows that is done: as it goes into the files, and what it comes to. Made wherever it was scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from promptshot.classify.prediction import Outcome, Prediction
from promptshot.classify.recipe import Recipe
from promptshot.rows.row import Reject
from promptshot.rows.writer import Form, beyond, packed
from promptshot.runs.counted import Counted
from promptshot.runs.shape import NO_DRAW, Shape


@dataclass(frozen=True)
class Finished:
    """So many rows; their `output` as bytes, or, as long as the columns of a table are not known, the predictions."""

    rows: int
    output: bytes | Sequence[Prediction]
    rejects: Sequence[Reject]
    counted: Counted
    left_out: Set[str] = frozenset()  # columns that a table has no room for


@dataclass
class Finish:
    """How the outcomes of a window become Finished; it can be sent to whoever scores them."""

    recipe: Recipe
    shape: Shape
    form: Form
    written: bool = True  # whether there is any output
    columns: Sequence[str] = ()  # of a table, once its first rows have told them
    draw: Mapping[str, Any] = field(default_factory=lambda: NO_DRAW)  # of which of several runs the rows are
    wrong: int = 0  # how many of the rows that go wrong are kept

    def __call__(self, outcomes: Sequence[Outcome]) -> Finished:
        predictions = [outcome for outcome in outcomes if isinstance(outcome, Prediction)]
        rejects = [outcome for outcome in outcomes if isinstance(outcome, Reject)]
        counted = Counted.of(outcomes, self.recipe, self.wrong)
        if self.form.delimiter is not None and not self.columns:
            return Finished(len(outcomes), predictions, rejects, counted)
        written = predictions if self.written else ()
        records = [self.shape.record(one, self.columns, self.draw) for one in written]
        left_out = beyond(records, self.columns) if self.columns else frozenset()
        return Finished(len(outcomes), packed(records, self.form, self.columns), rejects, counted, left_out)
