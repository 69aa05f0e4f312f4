"""What calibration did to a run, and how far its probabilities can be believed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from promptshot.errors import many, printable
from promptshot.metrics import Tally
from promptshot.report.console import NARROW, people, plain_table

MARGIN = 19  # columns that a number takes before what stands beside it
MOST = 15  # labels in a table


def believed(tally: Tally) -> Text:
    """The error of probabilities, and how rows fare that are sure enough; empty where there are none."""
    lines = []
    reliability, held = tally.reliability, tally.abstained
    if reliability.ece is not None and reliability.by_chance is not None:
        brier = "" if reliability.brier is None else f" · Brier score {reliability.brier:.3f}"
        beside = f"sampling noise alone gives about {reliability.by_chance:.1%}{brier}"
        if people().width < max(NARROW, MARGIN + len(beside)):
            beside = f"noise {reliability.by_chance:.1%}"
        lines.append(Text.assemble(("ECE       ", "bold"), f"{reliability.ece:6.1%}   {beside}"))
    if held.possible and tally.coverage is not None:
        rest = tally.accuracy_of_rest
        beside = f"{many(held.rows, 'row')} abstained"
        beside += "" if rest is None else f" · accuracy of the rest {rest:.1%}"
        if people().width < max(NARROW, MARGIN + len(beside)):
            beside = f"{held.rows:,} abstained" if rest is None else f"the rest {rest:.1%}"
        lines.append(Text.assemble(("covered   ", "bold"), f"{tally.coverage:6.1%}   {beside}"))
    return Text("\n").join(lines)


def before_and_after(
    method: str, before: Tally | None, after: Tally, macro_f1: Sequence[float] = ()
) -> list[RenderableType]:
    """What calibration changed: the metrics, or where no row has a label how often each is predicted; nothing where
    there was none. Of several draws together, `macro_f1` are the means before and after."""
    if before is None:
        return []
    table = plain_table(f"calibration: {method}", "before", "after")
    macro_f1 = macro_f1 or [tally.macro_f1 or 0 for tally in (before, after)]
    if after.labelled:
        table.add_row("accuracy", *(Text(f"{tally.accuracy or 0:.1%}", style="bold") for tally in (before, after)))
        table.add_row("macro-F1", *(f"{value:.1%}" for value in macro_f1))
        table.add_row("ECE", *(f"{tally.reliability.ece or 0:.1%}" for tally in (before, after)))
        table.add_row("Brier score", *(f"{tally.reliability.brier or 0:.3f}" for tally in (before, after)))
    else:
        common = [label for label, _ in (before.predictions + after.predictions).most_common()]
        for label in list(dict.fromkeys([*after.labels, *common]))[:MOST]:
            table.add_row(printable(label), *(f"{tally.predictions[label]:,}" for tally in (before, after)))
    return [table]
