"""What calibration did to a run, and how far its probabilities can be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import RenderableType
from rich.text import Text

from promptshot.errors import many, printable
from promptshot.metrics import Tally
from promptshot.report.console import NARROW, people, plain_table
from promptshot.runs.result import metrics_of

MARGIN = 19  # columns that a number takes before what stands beside it
MOST = 15  # labels in a table
NO_MEANS: Mapping[str, float] = {}


def believed(tally: Tally, means: Mapping[str, float] = NO_MEANS) -> Text:
    """The error of probabilities, and how rows fare that are sure enough; empty where there are none. `means` are the
    metrics of several draws."""
    lines, held = [], tally.abstained
    numbers = {**metrics_of(tally), **means}
    ece, chance, brier = (numbers[name] for name in ("ece", "ece_by_chance", "brier"))
    if ece is not None and chance is not None:
        score = "" if brier is None else f" · Brier score {brier:.3f}"
        beside = f"sampling noise alone gives about {chance:.1%}{score}"
        if people().width < max(NARROW, MARGIN + len(beside)):
            beside = f"noise {chance:.1%}"
        lines.append(Text.assemble(("ECE       ", "bold"), f"{ece:6.1%}   {beside}"))
    if held.possible and tally.coverage is not None:
        rest = tally.accuracy_of_rest
        beside = f"{many(held.rows, 'row')} abstained"
        beside += "" if rest is None else f" · {tally.named} of the rest {rest:.1%}"
        if people().width < max(NARROW, MARGIN + len(beside)):
            beside = f"{held.rows:,} abstained" if rest is None else f"the rest {rest:.1%}"
        lines.append(Text.assemble(("covered   ", "bold"), f"{tally.coverage:6.1%}   {beside}"))
    return Text("\n").join(lines)


def before_and_after(
    method: str, before: Tally | None, after: Tally, means: Sequence[Mapping[str, float]] = (NO_MEANS, NO_MEANS)
) -> list[RenderableType]:
    """What calibration changed: the metrics, or where no row has a label how often each is predicted; nothing where
    there was none. Of several draws together, `means` are the metrics before and after."""
    if before is None:
        return []
    table = plain_table(f"calibration: {method}", "before", "after")
    if after.labelled:
        both = [{**metrics_of(tally), **of} for tally, of in zip((before, after), means, strict=True)]
        table.add_row("accuracy", *(Text(f"{one['accuracy'] or 0:.1%}", style="bold") for one in both))
        table.add_row("macro-F1", *(f"{one['macro_f1'] or 0:.1%}" for one in both))
        table.add_row("ECE", *(f"{one['ece'] or 0:.1%}" for one in both))
        table.add_row("Brier score", *(f"{one['brier'] or 0:.3f}" for one in both))
    else:
        common = [label for label, _ in (before.predictions + after.predictions).most_common()]
        for label in list(dict.fromkeys([*after.labels, *common]))[:MOST]:
            table.add_row(printable(label), *(f"{tally.predictions[label]:,}" for tally in (before, after)))
    return [table]
