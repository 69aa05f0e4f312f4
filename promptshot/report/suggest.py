"""The report of suggested label words, on stderr: the words themselves go where data goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from promptshot.errors import many, printable, shortlist
from promptshot.metrics import Tally
from promptshot.report.console import NARROW, people, plain_table, remark_line

if TYPE_CHECKING:
    from promptshot.authoring.suggest import Suggestion, Word

VERDICT = {"clearly-better": "green", "not-clearly-better": "yellow", "not-better": "red", "unjudged": "yellow"}


def show_suggestion(found: Suggestion) -> None:
    """Which rows found and judged, the words with what is known of each, and whether they are better than before."""
    console = people()
    head = f"{found.template} · {found.model}"
    console.print(Text.assemble("\n", (printable(head), "bold"), "\n", (printable(_rows(found)), "dim"), "\n"))
    console.print(_words(found.words, found.judged is not None))
    if found.gone:
        console.print(Text(f"\npruned: {many(len(found.gone), 'word')}", style="bold"))
        console.print(_words(found.gone, found.judged is not None))
    console.print()
    if found.judged:
        before, after = (found.present.name, "pruned" if found.pruning else "suggested")
        named = {after: found.judged.found, before if before != after else "present": found.judged.present}
        console.print(_accuracies({name: tally for name, tally in named.items() if tally}))
    for remark in found.remarks():
        if style := VERDICT.get(remark.code):
            console.print(Text(printable(remark.line), style=style))
        else:
            console.print(remark_line(remark))


def _rows(found: Suggestion) -> str:
    rows = found.rows
    counts = shortlist([f"{n} {label}" for label, n in rows.per_label.items()], 6)
    said = f"words found on {many(len(rows.finding), 'row')} ({counts})" if rows.finding else "words found"
    if rows.unlabelled:
        said += f"{' and' if rows.finding else ' on'} {many(len(rows.unlabelled), 'row')} without a label"
    if found.pruning:
        said = f"weak words found on {many(len(rows.finding), 'row')}"
    if rows.judging:
        said += f", judged on {many(len(rows.judging), 'other')} (seed {rows.seed})"
    said += f"; {found.candidates:,} candidates" if found.candidates else ""
    said += f"; {many(rows.same, 'row says', 'rows say')} what another does" if rows.same else ""
    return said + (f"; {many(rows.spare, 'more row is', 'more rows are')} not needed" if rows.spare else "")


def _words(words: Sequence[Word], judged: bool) -> Table:
    narrow = people().width < NARROW
    heavy = any(word.weight != 1 for word in words) and not narrow
    table = plain_table(
        "label", "word", "tokens", "prior", *(["weight"] if heavy else []), *(["gain"] if judged else []), texts=2
    )
    label = ""
    for word in words:
        gain = "" if word.contribution is None else f"{100 * word.contribution:+.1f}"
        style = "green" if (word.contribution or 0) > 0 else "red" if (word.contribution or 0) < 0 else ""
        table.add_row(
            printable(word.label) if word.label != label else "",
            printable(word.text),
            f"{word.tokens}",
            f"{word.prior:.2f}",
            *([f"{word.weight:.3g}"] if heavy else []),
            *([Text(gain, style=style)] if judged else []),
        )
        label = word.label
    return table


def _accuracies(tallies: dict[str, Tally]) -> Table:
    table = plain_table("words", "accuracy", "95% interval", "judging rows")
    for name, tally in tallies.items():
        low, high = tally.interval or (0.0, 0.0)
        table.add_row(printable(name), f"{tally.accuracy or 0:.1%}", f"{low:.1%} to {high:.1%}", f"{tally.labelled:,}")
    return table
