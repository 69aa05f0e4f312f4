"""A comparison: its progress, the leaderboard, how a search went, and what a reader of them must know."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.progress import Progress
from rich.text import Text

from promptshot.compare import compare
from promptshot.compare.bench import Entry
from promptshot.compare.candidates import Candidate
from promptshot.compare.search import Search
from promptshot.compare.standings import Comparison, Standing
from promptshot.errors import many, printable
from promptshot.report.console import NARROW, moving_bar, note, p_value, people, plain_table, remark_line
from promptshot.runs.remarks import Code, Remark

WIDE = 100  # columns; from here on the table has all it can have
MIDDLE = 72  # from here on intervals
VERDICT: tuple[Code, ...] = ("clearly-better", "not-clearly-better", "alone")


class Watch(compare.Watcher):
    """Progress of a comparison: a bar on a terminal, a line for every finished candidate elsewhere."""

    comparison: Comparison | None = None  # what is known so far, once it has begun
    of = ""  # what stands before the names of candidates

    def __init__(self, total: int = 0, quiet: bool = False) -> None:
        """`total` candidates are to be scored, not counting ensembles; the comparison will tell."""
        self.console, self.quiet, self.total = people(), quiet, total
        self.number = self.done = 0
        self._bar: Progress | None = None
        if not quiet and self.console.is_terminal:
            self._bar = moving_bar(self.console, 20)
            self._task = self._bar.add_task("starting", total=None, said="")

    def began(self, comparison: Comparison, turns: int) -> None:
        """What becomes known will stand in `comparison`, whatever stops it."""
        self.comparison = comparison
        self.begin(turns)

    def begin(self, turns: int) -> None:
        """Candidates will be `started` so often."""
        self.total = turns
        if self._bar:
            self._bar.start()

    def told(self, line: str) -> None:
        """What is to be known of who scores."""
        if not self.quiet:
            note(line, self.console)

    def started(self, candidate: Candidate, rows: int) -> None:
        """So many rows are about to be scored for it."""
        self.number, self.done, self.since = self.number + 1, 0, time.monotonic()
        if self._bar:
            room = max(8, self.console.width - 60)
            name = printable(self.of + candidate.name)
            name = name if len(name) <= room else name[: room - 1] + "…"
            where = f"{self.number} of {self.total} {name}"
            self._bar.update(self._task, description=where, total=rows, completed=0, said="")

    def advance(self, rows: int) -> None:
        """About so many more rows have been scored."""
        self.done += rows
        if self._bar:
            speed = self.done / max(time.monotonic() - self.since, 1e-9)
            self._bar.update(self._task, completed=self.done, said=f"{self.done:,} rows, {speed:,.0f} rows/s")

    def finished(self, entry: Entry) -> None:
        """This is what it came to."""
        if not self.quiet and not self._bar:
            said = f"{entry.accuracy:.1%} of {entry.result.tally.labelled:,} rows, {entry.result.seconds:.1f} s"
            name = printable(self.of + entry.candidate.name)
            self.console.print(f"{self.number} of {self.total} {name}: {said}")

    def restored(self, entry: Entry) -> None:
        """This is what it came to in an earlier comparison."""
        self.number += 1
        if not self.quiet and not self._bar:
            said = f"{entry.accuracy:.1%} of {entry.result.tally.labelled:,} rows, scored before"
            self.console.print(f"{self.number} of {self.total} {printable(self.of + entry.candidate.name)}: {said}")

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()


def show_comparison(comparison: Comparison, standings: Sequence[Standing]) -> None:
    """What is known: how a search went, the leaderboard, the spread of every family, what a reader must know."""
    console = people()
    search, remarks = comparison.search, comparison.remarks(standings)
    _notes(console, remarks, lambda code: code == "failed")
    parts: list[RenderableType] = _searched(search, comparison) if search and search.rounds else []
    if standings:
        parts += [_head(comparison, standings), _table(standings, console.width, bool(comparison.chosen))]
        parts += [_verdict(remark) for remark in remarks if remark.code in VERDICT]
        parts += [_spreads(comparison)] if comparison.spreads and not search else []
    for part in parts:
        console.print()
        console.print(part)
    if standings:
        console.print()
        _notes(console, remarks, lambda code: code not in (*VERDICT, "failed", "spread"))


def _notes(console: Console, remarks: Sequence[Remark], wanted: Callable[[Code], bool]) -> None:
    for remark in remarks:
        if wanted(remark.code):
            console.print(remark_line(remark))


def _head(comparison: Comparison, standings: Sequence[Standing]) -> Text:
    tally = max((standing.entry.result.tally for standing in standings), key=lambda t: t.labelled)
    single = sum(not standing.entry.candidate.members for standing in standings)
    scored = many(single, "candidate") if comparison.complete else f"{single} of {many(comparison.wanted, 'candidate')}"
    ensembles = len(standings) - single
    more = f" and {many(ensembles, 'ensemble')}" if ensembles else ""
    rows = many(comparison.rows, "row")
    rows += f" ({tally.labelled:,} with a label)" if tally.labelled != comparison.rows else ""
    stopped = "" if comparison.complete else ", then it was stopped"
    return Text.assemble(
        (scored + more, "bold"),
        (stopped, "yellow"),
        f" · {rows} · {tally.baseline.removeprefix('the ')} {tally.majority:.1%}",
    )


def _table(standings: Sequence[Standing], width: int, chosen: bool) -> RenderableType:
    """One line a candidate; what does not fit is left out, the names and the accuracy never."""
    wide, middle = width >= WIDE, width >= MIDDLE
    behind = "against the chosen" if chosen else "behind the best"
    interval, rest = (["95% interval"] if middle else []), (["F1"], ["s"]) if wide else ([], [])
    named = standings[0].entry.result.tally.named
    table = plain_table("candidate", named, *interval, *rest[0], behind, "p", *rest[1])
    for standing in standings:
        tally = standing.entry.result.tally
        low, high = tally.interval or (0.0, 0.0)
        table.add_row(
            Text(printable(standing.entry.candidate.name), style="italic" if standing.entry.candidate.members else ""),
            Text(f"{standing.entry.accuracy:.1%}", style=_style(standing, standings[0])),
            *([f"{low:.1%} to {high:.1%}"] if middle else []),
            *([f"{tally.macro_f1 or 0:.1%}"] if wide else []),
            _behind(standing, wide),
            "" if standing.p is None else p_value(standing.p),
            *([f"{standing.entry.result.seconds:.1f}"] if wide else []),
        )
    return table


def _style(standing: Standing, best: Standing) -> str:
    if standing.p is None:
        return "bold green"
    return "red" if standing.sure and standing.comparable(best) else "bold"


def _behind(standing: Standing, interval: bool) -> str:
    if standing.paired is None or standing.interval is None:
        return ""
    low, high = standing.interval
    points = f"{100 * standing.paired.difference:+.1f}"
    return f"{points} ({100 * low:+.1f} to {100 * high:+.1f})" if interval else points


def _verdict(remark: Remark) -> Text:
    """Whether the first is better than the others, in words, its name in colour."""
    line, name = Text(printable(remark.line)), printable(remark.facts["candidate"])
    line.stylize("bold green", 0, len(name))
    return line


def _spreads(comparison: Comparison) -> RenderableType:
    narrow = people().width < NARROW
    table = plain_table("over candidates of", "spread", "best", "worst", *([] if narrow else ["mean"]))
    for spread in comparison.spreads:
        candidate = spread.best.candidate
        shots = f", {candidate.shots} shots" if candidate.shots else ""
        kind, model = candidate.recipe.template.spec.scorer, candidate.recipe.model or "no model"
        table.add_row(
            printable(f"{spread.count} {kind} · {model}{shots}"),
            Text(f"{100 * spread.width:.1f} points", style="bold"),
            f"{spread.best.accuracy:.1%}",
            f"{spread.worst.accuracy:.1%}",
            *([] if narrow else [f"{spread.mean:.1%}"]),
        )
    return table


def _searched(search: Search, comparison: Comparison) -> list[RenderableType]:
    """What every round saw and dropped, and which rows chose and judge."""
    narrow = people().width < NARROW
    table = plain_table("round", "rows", "candidates", "best", *([] if narrow else ["last kept", "first dropped"]))
    table.columns[0].min_width = None
    for number, turn in enumerate(search.rounds, 1):
        shares = [f"{turn.right[candidate.name] / turn.rows:.1%}" for candidate in turn.ranked]
        edge = [shares[turn.kept - 1], *shares[turn.kept : turn.kept + 1]]
        table.add_row(str(number), f"{turn.rows:,}", str(len(shares)), shares[0], *([] if narrow else edge))
    which = f"{many(len(search.choosing), 'row')} chose ({search.source})"
    judges = f"{len(search.judging):,} other rows judge"
    if search.same:
        judges += f" ({search.same:,} are left out, for they say what a choosing row says)"
    lines = [Text(which), Text(judges)]
    if comparison.chosen:
        lines.append(Text.assemble(("chosen: ", "bold"), (printable(comparison.chosen), "bold green")))
    return [table, Group(*lines)]
