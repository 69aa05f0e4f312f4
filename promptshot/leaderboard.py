"""What people see of comparisons: the leaderboard, how a search went, and two files of predictions side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.progress import Progress
from rich.text import Text

from promptshot import compare
from promptshot.bench import Entry
from promptshot.compare import Comparison, Standing
from promptshot.diff import Difference
from promptshot.errors import many, printable, shortened, shortlist
from promptshot.grid import Candidate
from promptshot.metrics import Tally
from promptshot.report import NARROW, moving_bar, notes, one_draw, people, plain_table, uncounted
from promptshot.search import Search

WIDE = 100  # columns; from here on the table has all it can have
MIDDLE = 72  # from here on intervals
SHOWN = 100  # characters of a row that flipped
SURE = 0.05  # a p-value below it counts as a difference


class Watch(compare.Watcher):
    """Progress of a comparison: a bar on a terminal, a line for every finished candidate elsewhere."""

    comparison: Comparison | None = None  # what is known so far, once it has begun

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
        self.comparison, self.total = comparison, turns
        if self._bar:
            self._bar.start()

    def started(self, candidate: Candidate, rows: int) -> None:
        """So many rows are about to be scored for it."""
        self.number, self.done, self.since = self.number + 1, 0, time.monotonic()
        if self._bar:
            room = max(8, self.console.width - 60)
            name = printable(candidate.name)
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
            self.console.print(f"{self.number} of {self.total} {printable(entry.candidate.name)}: {said}")

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()


# ------------------------------------------------------------------ the leaderboard


def comparison(found: Comparison, standings: Sequence[Standing]) -> None:
    """What is known: how a search went, the leaderboard, the spread of every family, what a reader must know."""
    console = people()
    for failure in found.failures if standings else ():  # else the first of them is the error
        _note(console, f"left out: {failure.candidate.name}: {failure.problem}")
    search = found.search
    parts: list[RenderableType] = _searched(search, found) if search and search.rounds else []
    if standings:
        parts += [
            _head(found, standings),
            _table(standings, console.width, bool(found.chosen)),
            _verdict(found, standings),
        ]
        parts += [_spreads(found)] if found.spreads and not search else []
    for part in parts:
        console.print()
        console.print(part)
    if standings:
        console.print()
        for line in _remarks(found, standings):
            _note(console, line)


def _note(console: Console, line: str) -> None:
    console.print(Text.assemble(("note: ", "yellow"), printable(line)))


def _head(found: Comparison, standings: Sequence[Standing]) -> Text:
    tally = max((standing.entry.result.tally for standing in standings), key=lambda t: t.labelled)
    single = sum(not standing.entry.candidate.members for standing in standings)
    scored = many(single, "candidate") if found.complete else f"{single} of {many(found.wanted, 'candidate')}"
    ensembles = len(standings) - single
    more = f" and {many(ensembles, 'ensemble')}" if ensembles else ""
    rows = many(found.rows, "row")
    rows += f" ({tally.labelled:,} with a label)" if tally.labelled != found.rows else ""
    stopped = "" if found.complete else ", then it was stopped"
    return Text.assemble(
        (scored + more, "bold"), (stopped, "yellow"), f" · {rows} · majority class {tally.majority:.1%}"
    )


def _table(standings: Sequence[Standing], width: int, chosen: bool) -> RenderableType:
    """One line a candidate; what does not fit is left out, the names and the accuracy never."""
    wide, middle = width >= WIDE, width >= MIDDLE
    behind = "against the chosen" if chosen else "behind the best"
    interval, rest = (["95% interval"] if middle else []), (["F1"], ["s"]) if wide else ([], [])
    table = plain_table("candidate", "accuracy", *interval, *rest[0], behind, "p", *rest[1])
    for standing in standings:
        tally = standing.entry.result.tally
        low, high = tally.interval or (0.0, 0.0)
        table.add_row(
            Text(printable(standing.entry.candidate.name), style="italic" if standing.entry.candidate.members else ""),
            Text(f"{standing.entry.accuracy:.1%}", style=_style(standing, standings[0])),
            *([f"{low:.1%} to {high:.1%}"] if middle else []),
            *([f"{tally.macro_f1 or 0:.1%}"] if wide else []),
            _behind(standing, wide),
            "" if standing.p is None else _p(standing.p),
            *([f"{standing.entry.result.seconds:.1f}"] if wide else []),
        )
    return table


def _style(standing: Standing, best: Standing) -> str:
    if standing.p is None:
        return "bold green"
    return "red" if standing.p < SURE and _comparable(standing, best) else "bold"


def _comparable(one: Standing, other: Standing) -> bool:
    """Whether rows alone can tell which is better: demonstrations of one draw say little of another number of them."""
    return one.entry.candidate.shots == other.entry.candidate.shots


def _behind(standing: Standing, interval: bool) -> str:
    if standing.paired is None or standing.interval is None:
        return ""
    low, high = standing.interval
    points = f"{100 * standing.paired.difference:+.1f}"
    return f"{points} ({100 * low:+.1f} to {100 * high:+.1f})" if interval else points


def _p(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _verdict(found: Comparison, standings: Sequence[Standing]) -> Text:
    """Whether the first is better than the others, in words."""
    best, *others = standings
    name = printable(best.entry.candidate.name)
    how = ", chosen on other rows" if found.chosen else ", the best here" if others else ""
    draw = one_draw(best.entry.candidate.recipe)
    said = f"{how}: {best.entry.accuracy:.1%}" + (f", {draw}" if draw else "")
    lesser = [s for s in others if s.p is not None and s.p < SURE and s.paired and s.paired.difference < 0]
    beaten = [s for s in lesser if _comparable(s, best)]
    if others:
        told = f", clearly better than {len(beaten)} of {len(others)}"
        said += told if beaten else ", not clearly better than any other"
    if rest := len(lesser) - len(beaten):
        said += f"; {rest} with another k cannot be told from one draw"
    elif others and not draw and (of := next((d for s in others if (d := one_draw(s.entry.candidate.recipe))), "")):
        said += f"; demonstrations are {of}"
    return Text.assemble((name, "bold green"), said)


def _spreads(found: Comparison) -> RenderableType:
    narrow = people().width < NARROW
    table = plain_table("over candidates of", "spread", "best", "worst", *([] if narrow else ["mean"]))
    for spread in found.spreads:
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


def _remarks(found: Comparison, standings: Sequence[Standing]) -> list[str]:
    """What a reader of the numbers must know."""
    said = []
    if any(s.entry.candidate.recipe.model and not s.entry.candidate.recipe.options.model for s in standings):
        said.append("the built-in models are small; for real results: -m NAME")
    if draw := next((draw for s in standings if (draw := one_draw(s.entry.candidate.recipe))), ""):
        said.append(f"demonstrations: {draw}; another may change their order. Try --seed 1, --seed 2 ...")
    if leaning := [s.entry.candidate.name for s in standings if s.entry.result.tally.lean]:
        given = f"{len(leaning)} of {len(standings)} give nearly all rows one label"
        said.append(f"{given}, whatever the text says: {shortlist(leaning, 3)}")
    if len(standings) > 1:
        tested = "the one chosen" if found.chosen else "the best"
        said.append(f"p: exact McNemar test against {tested} on the rows both scored, Holm-corrected")
        if not found.chosen:
            what = f"the best of {len(standings)} was found on these very rows and will do worse on others"
            said.append(f"{what}; --search chooses on some rows and judges on the rest")
    fewer = [s for s in standings[1:] if s.paired is not None and s.paired.rows < found.rows]
    if fewer:
        least = min(s.paired.rows for s in fewer if s.paired is not None)
        said.append(f"{len(fewer)} of the tests use fewer than all rows, the least {least:,} of {found.rows:,}")
    seen: dict[str, list[str]] = {}
    for standing in standings:
        if not standing.entry.candidate.members:
            for line in notes(standing.entry.result, "--predictions DIR", of_candidate=True):
                seen.setdefault(line, []).append(standing.entry.candidate.name)
    return said + [f"{shortlist(names, 3)}: {line}" for line, names in seen.items()]


# ------------------------------------------------------------------ a search


def _searched(search: Search, found: Comparison) -> list[RenderableType]:
    """What every round saw and dropped, and which rows chose and judge."""
    narrow = people().width < NARROW
    table = plain_table("round", "rows", "candidates", "best", *([] if narrow else ["last kept", "first dropped"]))
    table.columns[0].min_width = None
    for number, one in enumerate(search.rounds, 1):
        shares = [f"{one.right[candidate.name] / one.rows:.1%}" for candidate in one.ranked]
        edge = [shares[one.kept - 1], *shares[one.kept : one.kept + 1]]
        table.add_row(str(number), f"{one.rows:,}", str(len(shares)), shares[0], *([] if narrow else edge))
    which = f"{many(len(search.choosing), 'row')} chose ({search.source})"
    judges = f"{len(search.judging):,} other rows judge"
    if search.same:
        judges += f" ({search.same:,} are left out, for they say what a choosing row says)"
    lines = [Text(which), Text(judges)]
    if found.chosen:
        lines.append(Text.assemble(("chosen: ", "bold"), (printable(found.chosen), "bold green")))
    return [table, Group(*lines)]


# ------------------------------------------------------------------ two files


def difference(found: Difference, most: int, console: Console) -> None:
    """Two files of predictions: accuracy, the paired test, what changed, and the rows that flipped."""
    for part in _difference(found, most, console):
        console.print(part)
        console.print()


def _difference(found: Difference, most: int, console: Console) -> list[RenderableType]:
    head = Text()
    for letter, path, tally in zip("AB", found.paths, found.tallies, strict=True):
        head.append(f"{letter}  ", style="bold")
        head.append(printable(path) + _accuracy(tally) + "\n")
    share = found.agreed / found.rows
    head.append(f"{many(found.rows, 'row')}, the same prediction for {found.agreed:,} ({share:.1%})")
    parts: list[RenderableType] = [head]
    paired = found.paired
    if paired.rows:
        table = plain_table("", "B right", "B wrong")
        table.add_row("A right", f"{paired.both:,}", f"{paired.first:,}")
        table.add_row("A wrong", f"{paired.second:,}", f"{paired.neither:,}")
        low, high = paired.interval(found.seed)
        sure = paired.p < SURE
        verdict = Text.assemble(
            f"B - A  {100 * paired.difference:+.1f} points   95% interval {100 * low:+.1f} to {100 * high:+.1f}\n",
            f"exact McNemar p = {_p(paired.p)}   " if paired.p >= 0.001 else "exact McNemar p < 0.001   ",
            ("a clear difference" if sure else "no clear difference", "green" if sure else "yellow"),
        )
        parts += [table, verdict, _labels(found)]
    else:
        parts.append(Text("no row has a label that both know: only what they agree on is told", style="yellow"))
    if found.flips and most:
        parts.append(_flips(found, most, console))
    if said := _uncounted(found):
        parts.append(Group(*(Text.assemble(("note: ", "yellow"), printable(line)) for line in said)))
    return parts


def _uncounted(found: Difference) -> list[str]:
    """Which rows were not counted, and why; what holds for both files once."""
    a, b = (uncounted(tally, found.problem) for tally in found.tallies)
    return a if a == b else [f"{letter}: {line}" for letter, lines in (("A", a), ("B", b)) for line in lines]


def _accuracy(tally: Tally) -> str:
    if tally.accuracy is None or tally.interval is None:
        return ""
    low, high = tally.interval
    return f"  {tally.accuracy:.1%} ({low:.1%} to {high:.1%})"


def _labels(found: Difference) -> RenderableType:
    table = plain_table("gold", "rows", "A right", "B right", "gained", "lost")
    for label, counts in found.per_label().items():
        table.add_row(printable(label), *(f"{count:,}" for count in counts.values()))
    return table


def _flips(found: Difference, most: int, console: Console) -> RenderableType:
    """The first rows of which the files say different things."""
    shown = found.flips[:most]
    labelled = any(flip.gold is not None for flip in shown)
    title = f"{many(len(found.flips), 'row')} flipped" + (f", the first {most:,}" if most < len(found.flips) else "")
    table = plain_table("row", *(["gold"] if labelled else []), "A", "B", "text", texts=5)
    table.columns[0].min_width, table.columns[-1].ratio = None, 1
    table.expand = console.is_terminal
    for flip in shown:
        gold = [printable(flip.gold or "")] if labelled else []
        sides = [
            Text(printable(said), style="green" if said == flip.gold else "red" if flip.gold else "")
            for said in (flip.a, flip.b)
        ]
        table.add_row(str(flip.number), *gold, *sides, printable(shortened(flip.text, SHOWN)))
    return Group(Text(title, style="bold"), table)
