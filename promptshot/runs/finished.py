"""A window of rows that is done: as it goes into the files, and what it comes to. Made wherever it was scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from promptshot.classify.prediction import Outcome, Prediction
from promptshot.classify.recipe import Recipe
from promptshot.rows.row import Reject
from promptshot.rows.writer import Form, packed
from promptshot.runs.counted import Counted
from promptshot.runs.shape import NO_DRAW, Shape


@dataclass(frozen=True)
class Finished:
    """So many rows; their `output` as bytes, or, where only the whole file tells its columns, the predictions."""

    rows: int
    output: bytes | Sequence[Prediction]
    rejects: Sequence[Reject]
    counted: Counted


@dataclass(frozen=True)
class Finish:
    """How the outcomes of a window become Finished; it can be sent to whoever scores them."""

    recipe: Recipe
    shape: Shape
    form: Form
    written: bool = True  # whether there is any output
    draw: Mapping[str, Any] = field(default_factory=lambda: NO_DRAW)  # of which of several runs the rows are
    wrong: int = 0  # how many of the rows that go wrong are kept

    def __call__(self, outcomes: Sequence[Outcome]) -> Finished:
        predictions = [outcome for outcome in outcomes if isinstance(outcome, Prediction)]
        rejects = [outcome for outcome in outcomes if isinstance(outcome, Reject)]
        counted = Counted.of(outcomes, self.recipe, self.wrong)
        return Finished(len(outcomes), self._output(predictions), rejects, counted)

    def _output(self, predictions: Sequence[Prediction]) -> bytes | Sequence[Prediction]:
        if not self.written:
            return b""
        if self.form.delimiter is not None:
            return predictions
        return packed([self.shape.record(one, (), self.draw) for one in predictions], self.form)
