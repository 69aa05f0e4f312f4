"""Two files of predictions side by side."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.text import Text

from promptshot.compare.diff import Difference
from promptshot.errors import many, printable, shortened
from promptshot.metrics import Label, Tally, label_text
from promptshot.report.console import p_value, plain_table, remark_line

STYLE = {"clear-difference": "green", "no-clear-difference": "yellow", "no-common-labels": "yellow"}
SHOWN = 100  # characters of a row that flipped


def show_difference(difference: Difference, most: int, console: Console) -> None:
    """Two files of predictions: accuracy, the paired test, what changed, and the rows that flipped."""
    for part in _parts(difference, most, console):
        console.print(part)
        console.print()


def _parts(difference: Difference, most: int, console: Console) -> list[RenderableType]:
    head = Text()
    for letter, path, tally in zip("AB", difference.paths, difference.tallies, strict=True):
        head.append(f"{letter}  ", style="bold")
        head.append(printable(path) + _accuracy(tally) + "\n")
    share = difference.agreed / difference.rows
    head.append(f"{many(difference.rows, 'row')}, the same prediction for {difference.agreed:,} ({share:.1%})")
    parts: list[RenderableType] = [head]
    paired, (verdict, *remarks) = difference.paired, difference.remarks()
    if paired.rows:
        table = plain_table("", "B right", "B wrong")
        table.add_row("A right", f"{paired.both:,}", f"{paired.first:,}")
        table.add_row("A wrong", f"{paired.second:,}", f"{paired.neither:,}")
        low, high = paired.interval(difference.seed)
        told = Text.assemble(
            f"B - A  {100 * paired.difference:+.1f} points   95% interval {100 * low:+.1f} to {100 * high:+.1f}\n",
            f"exact McNemar p = {p_value(paired.p)}   " if paired.p >= 0.001 else "exact McNemar p < 0.001   ",
            (verdict.line, STYLE[verdict.code]),
        )
        parts += [table, told, _labels(difference)]
    else:
        parts.append(Text(verdict.line, style=STYLE[verdict.code]))
    if difference.flips and most:
        parts.append(_flips(difference, most, console))
    if remarks:
        parts.append(Group(*map(remark_line, remarks)))
    return parts


def _accuracy(tally: Tally) -> str:
    if tally.accuracy is None or tally.interval is None:
        return ""
    low, high = tally.interval
    return f"  {tally.accuracy:.1%} ({low:.1%} to {high:.1%})"


def _labels(difference: Difference) -> RenderableType:
    table = plain_table("gold", "rows", "A right", "B right", "gained", "lost")
    for label, counts in difference.per_label().items():
        table.add_row(printable(label), *(f"{count:,}" for count in counts.values()))
    return table


def _style(label: Label, gold: Label | None) -> str:
    return "" if gold is None or gold == "" else "green" if label == gold else "red"


def _flips(difference: Difference, most: int, console: Console) -> RenderableType:
    """The first rows of which the files say different things."""
    shown = difference.flips[:most]
    labelled = any(flip.gold is not None for flip in shown)
    rest = f", the first {most:,}" if most < len(difference.flips) else ""
    title = f"{many(len(difference.flips), 'row')} flipped{rest}"
    table = plain_table("row", *(["gold"] if labelled else []), "A", "B", "text", texts=5)
    table.columns[0].min_width, table.columns[-1].ratio = None, 1
    table.expand = console.is_terminal
    for flip in shown:
        gold = [printable("" if flip.gold is None else label_text(flip.gold))] if labelled else []
        sides = [Text(printable(label_text(label)), style=_style(label, flip.gold)) for label in (flip.a, flip.b)]
        table.add_row(str(flip.number), *gold, *sides, printable(shortened(flip.text, SHOWN)))
    return Group(Text(title, style="bold"), table)
