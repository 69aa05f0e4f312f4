"""The report of several runs over the same rows, and of stored predictions: accuracy by the number of demonstrations,
and over their draws."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.text import Text

from promptshot.errors import many, printable
from promptshot.report.calibration import before_and_after
from promptshot.report.console import NARROW, people, plain_table
from promptshot.report.run import examples_of, fares, notes, show_result, told
from promptshot.runs.predictions import Counted
from promptshot.runs.series import Draw, Series, Spread, averaged, most, pooled, spreads
from promptshot.runs.wrong import Worst

STRIP = (12, 40)  # columns of the plot, at least and at most
BESIDE = 48  # columns that the numbers beside it take


def show_series(series: Series, examples: bool = False, surest: int | None = None) -> None:
    """The report of runs that followed one another; of one alone, that of its result (see `show_result`)."""
    last = series.results[-1]
    if len(series.results) == 1:
        show_result(last, examples, surest)
        return
    first = f"the first rows of the last run, k={last.recipe.shots}"
    parts: list[RenderableType] = [Group(Text(first, style="dim"), examples_of(last))] if examples else []
    parts += [_head(series), *_calibrated(series)]
    parts += [*of_draws(series.draws, series.worst, surest), *notes(list(series.remarks()))]
    for part in parts:
        people().print()
        people().print(part)


def _head(series: Series) -> Text:
    last = series.results[-1]
    demos = last.recipe.demos
    path = f" · {demos.kind}s from {demos.source}" if demos else ""
    scored = sum(result.tally.predicted for result in series.results)
    speed = f", {scored / series.seconds:,.0f} rows/s" if series.seconds else ""
    rows = many(last.tally.predicted + last.tally.rejected, "row")
    line = f"{rows}, {many(len(series.results), 'run')} in {series.seconds:.1f} s{speed}"
    if before := sum(result.rows_before for result in series.results):
        line += f"; {'all' if before == scored + series.all_rejected else f'{before:,}'} were done before"
    return Text.assemble((printable(f"{told(last)}{path}"), "bold"), "\n", (line, "dim"))


def _calibrated(series: Series) -> list[RenderableType]:
    """What calibration did to the draws with the most demonstrations, where there was one."""
    last, raw = series.results[-1].recipe, [result.before for result in series.headline if result.before is not None]
    means = [averaged(raw), averaged([result.tally for result in series.headline])] if raw else ()
    return before_and_after(f"{last.calibration.method}, k={last.shots}", series.before, pooled(series.draws), means)


def of_draws(draws: Sequence[Draw], worst: Worst, surest: int | None = None) -> list[RenderableType]:
    """Accuracy by the number of demonstrations, and how those with the most fare; `worst` are rows that went wrong."""
    tallies = [draw.tally for draw in most(draws)]
    shots = most(draws)[0].shots
    which = f"k={shots}, mean of {many(len(tallies), 'draw')}" if len(tallies) > 1 else f"k={shots}"
    table, parts = _table(spreads(draws)), fares(pooled(draws), worst, surest, which, averaged(tallies))
    if len(tallies) > 1 and table:
        parts.insert(1, Text(f"the rows of all {len(tallies)} draws together", style="dim"))
    return [*table, *parts]


def _table(found: Sequence[Spread]) -> list[RenderableType]:
    """A line for each number of demonstrations; nothing where no row has a label."""
    if not found:
        return []
    raw = ["before"] if any(spread.before is not None for spread in found) else []
    beside = BESIDE + (10 if raw else 0)
    narrow = people().width < max(NARROW, beside + STRIP[0])
    width = max(STRIP[0], min(STRIP[1], people().width - beside))
    values = [value for spread in found for value in spread.values]
    low, high = math.floor(100 * min(values)) / 100, math.ceil(100 * max(values)) / 100
    scale = f"{low:.0%}{f'{high:.0%}':>{width - len(f'{low:.0%}')}}"
    table = plain_table("k", *raw, "accuracy", "sd", *([] if narrow else ["min", "max"]), "draws", scale, texts=0)
    table.columns[-1].justify = "left"
    for spread in found:
        deviation = spread.deviation
        table.add_row(
            str(spread.shots),
            *(["" if spread.before is None else f"{spread.before:.1%}"] if raw else []),
            Text(f"{spread.mean:.1%}", style="bold"),
            "" if deviation is None else f"{100 * deviation:.1f}",
            *([] if narrow else [f"{min(spread.values):.1%}", f"{max(spread.values):.1%}"]),
            str(len(spread.values)),
            _strip(spread, low, high, width),
        )
    return [table]


def _strip(spread: Spread, low: float, high: float, width: int) -> Text:
    """The draws on a line from `low` to `high`, and their mean: •──•─●────•"""

    def place(value: float) -> int:
        return round((value - low) / (high - low) * (width - 1)) if high > low else 0

    draw, mean, between = "o*-" if people().options.ascii_only else "•●─"
    marks = {place(value): draw for value in spread.values}
    first, last = min(marks), max(marks)
    line = [marks.get(i, between if first <= i <= last else " ") for i in range(width)]
    line[place(spread.mean)] = mean
    found = Text("".join(line).rstrip(), style="dim")
    found.stylize("not dim bold", place(spread.mean), place(spread.mean) + 1)
    return found


def show_counted(counted: Counted, console: Console, surest: int | None = None) -> None:
    """The report of a file of predictions, with so many of the rows that went wrong (see `summary`)."""
    tally = counted.draws[-1].tally if counted.draws else counted.tally
    rows = many(tally.predicted, "row") + (
        f" ({tally.labelled:,} counted)" if tally.labelled != tally.predicted else ""
    )
    rows += f", {many(len(counted.draws), 'run')}" if counted.draws else ""
    rows += f", {counted.tally.rejected:,} cannot be used" if counted.tally.rejected else ""
    parts: list[RenderableType] = [Text.assemble((printable(counted.path), "bold"), "\n", (rows, "dim"))]
    parts += (
        of_draws(counted.draws, counted.worst, surest) if counted.draws else fares(counted.tally, counted.worst, surest)
    )
    parts += notes(counted.remarks())
    for part in parts:
        console.print(part)
        console.print()
