"""The table of a suite, for people and as Markdown: tasks are columns where they fit, and rows where they do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table as Drawn
from rich.text import Text

from promptshot.compare import tasks
from promptshot.compare.suite import Published
from promptshot.compare.table import CUT, RANKED, Interval, Line, Table, Width
from promptshot.errors import many, printable
from promptshot.report.comparison import Watch
from promptshot.report.console import NARROW, people, plain_table, remark_line
from promptshot.runs.remarks import Remark

AVERAGE, INTERVAL, CHANCE = "average", "95% interval", "majority or chance"
SIGNS = (RANKED, CUT)
Shown = Literal["main", "all", "none"]  # of the published rows
OF_PUBLISHED = ("published", "sampled")  # remarks
NOTHING = "-"  # where a row has no number


class SuiteWatch(Watch, tasks.Watcher):
    """Progress of a suite: a bar on a terminal, a line for every finished candidate elsewhere."""

    table: Table | None = None  # what is known so far, once it has begun

    def began_suite(self, table: Table, turns: int) -> None:
        """What becomes known will stand in the table, whatever stops it; candidates will be `started` so often."""
        self.table = table
        self.begin(turns)

    def turned_to(self, task: str) -> None:
        """The candidates that come now are of this task."""
        self.of = f"{task}: "


@dataclass(frozen=True)
class Row:
    """A row of the table in words: its name, a cell for each task, and the average."""

    name: str
    cells: Sequence[str]
    style: str = ""
    intervals: Sequence[str] = ()  # of ours, as many
    best: frozenset[int] = frozenset()  # the cells with the highest accuracy of ours

    def padded(self) -> Row:
        """The same with room for a sign in cells that have none, so that numbers stand below one another."""
        return replace(self, cells=[cell if cell.endswith(SIGNS) else f"{cell} " for cell in self.cells])


def show_suite(table: Table, published: Shown = "main") -> None:
    """What is known: the table, where the published rows come from, how far patterns lie apart, what is left out, and
    what a reader must know. Of the published rows, those are shown that are asked for."""
    console, remarks = people(), table.remarks()
    _notes(console, [remark for remark in remarks if remark.code == "failed"])
    if not table.tasks:
        return
    shown = _shown(table, published)
    if not shown:  # then nothing is to be known of them
        remarks = [one for one in remarks if one.code not in OF_PUBLISHED and one.facts.get("tasks") != []]
    parts: list[RenderableType] = [_head(table), *_drawn(table, console, shown)]
    parts += [_sources(shown)] if shown else []
    parts += [part for line, widths in table.widths().items() for part in _spread(line, widths)]
    for part in parts:
        console.print()
        console.print(part)
    console.print()
    _notes(console, [remark for remark in remarks if remark.code != "failed"])


def _shown(table: Table, which: Shown) -> dict[int, Published]:
    """The published rows that are asked for, by their numbers; the main ones are all where none is marked."""
    rows = dict(enumerate(table.published, 1))
    if which == "main" and any(row.main for row in rows.values()):
        return {number: row for number, row in rows.items() if row.main}
    return rows if which != "none" else {}


def _notes(console: Console, remarks: Sequence[Remark]) -> None:
    for remark in remarks:
        console.print(remark_line(remark))


def _head(table: Table) -> Text:
    of = f"{len(table.tasks)} of {many(len(table.suite.tasks), 'task')}"
    which = many(len(table.tasks), "task") if table.whole else of
    scored = sum(one.tried for one in table.comparisons.values())
    wanted = sum(one.wanted for one in table.comparisons.values())
    count = many(scored, "candidate") if scored == wanted else f"{scored} of {many(wanted, 'candidate')}"
    rows = sum(table.comparisons[task].rows for task in table.tasks)
    stopped = "" if table.complete else ", then it was stopped"
    said = f" · {which} · {count} · {many(rows, 'row')}"
    return Text.assemble((printable(table.name or "suite"), "bold"), said, (stopped, "yellow"))


# ------------------------------------------------------------------ what stands where


def _columns(table: Table) -> list[str]:
    """The names of the columns; the average is one where the suite has it."""
    return [*table.tasks, *([AVERAGE] if table.suite.average == "mean" else [])]


def _ours(table: Table) -> list[Row]:
    """A row for each line, and one for whoever does not look at the texts."""
    lines, mean = table.filled, table.suite.average == "mean"
    shares = [[*(table.cell(line, task) for task in table.tasks), *([table.average(line)] if mean else [])]
              for line in lines]  # fmt: skip
    tops = [max((one.share for one in column if one), default=None) for column in zip(*shares, strict=True)]
    rows = []
    for line, of_line in zip(lines, shares, strict=True):
        marks = [*(table.mark(line, task) for task in table.tasks), ""]
        cells = [_percent(one.share) + mark if one else NOTHING for one, mark in zip(of_line, marks, strict=False)]
        best = frozenset(i for i, one in enumerate(of_line) if one and one.share == tops[i] and len(lines) > 1)
        rows.append(Row(line.name, cells, "bold", [_between(one) for one in of_line], best))
    baseline, average = table.baseline, table.baseline_average
    chance = [_percent(baseline[task]) for task in table.tasks]
    chance += [NOTHING if average is None else _percent(average)] if mean else []
    return [*rows, Row(CHANCE, chance, "dim")]


def _theirs(table: Table, shown: Mapping[int, Published]) -> list[Row]:
    """A row for each of those that were published."""
    rows = []
    for number, row in shown.items():
        marks = dict.fromkeys(row.transductive, RANKED)
        cells = [f"{row.scores[task]:.1f}{marks.get(task, '')}" if task in row.scores else NOTHING
                 for task in table.tasks]  # fmt: skip
        average = NOTHING if row.average is None or not table.whole else f"{row.average:g}"
        rows.append(Row(f"[{number}] {row.name}", [*cells, *([average] if table.suite.average == "mean" else [])]))
    return rows


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _between(found: Interval | None) -> str:
    return f"{_percent(found.low)}-{_percent(found.high)}" if found else ""


def _counts(table: Table) -> list[str]:
    """The rows of each task."""
    counts = [f"{table.comparisons[task].rows:,}" for task in table.tasks]
    return [*counts, *([""] if table.suite.average == "mean" else [])]


# ------------------------------------------------------------------ drawn


def _drawn(table: Table, console: Console, shown: Mapping[int, Published]) -> list[RenderableType]:
    rows = _ours(table), _theirs(table, shown)
    room = any(cell.endswith(SIGNS) for of_some in rows for row in of_some for cell in row.cells)
    ours, theirs = ([row.padded() if room else row for row in of_some] for of_some in rows)
    wide = _wide(table, ours, theirs)
    if _needs(wide) <= console.width:
        return [wide]
    return [*_tall(table, ours, theirs, console.width)]


def _needs(drawn: Drawn) -> int:
    """The columns of a terminal that a table takes where nothing in it is folded."""
    gap = 3 if people().width >= NARROW else 2
    cells = [[column.header, *column.cells] for column in drawn.columns]
    return sum(max(cell_len(str(cell)) for cell in column) for column in cells) + gap * (len(cells) - 1)


def _wide(table: Table, ours: Sequence[Row], theirs: Sequence[Row]) -> Drawn:
    """Tasks side by side, intervals under what they are of."""
    drawn = plain_table("accuracy in %", *map(printable, _columns(table)))
    for row in ours:
        drawn.add_row(Text(printable(row.name)), *_styled(row))
        if row.intervals:
            drawn.add_row(Text(f"  {INTERVAL}", style="dim"), *(Text(one, style="dim") for one in row.intervals))
    drawn.add_row(Text("rows", style="dim"), *(Text(one, style="dim") for one in _counts(table)))
    if theirs:
        drawn.add_row()
        drawn.add_row(Text("published", style="dim"))
    for row in theirs:
        drawn.add_row(Text(printable(row.name)), *row.cells)
    return drawn


def _styled(row: Row) -> list[Text]:
    return [Text(cell, style="bold green" if i in row.best else row.style) for i, cell in enumerate(row.cells)]


@dataclass(frozen=True)
class _Column:
    """A column of the tall form."""

    header: str
    cells: Sequence[Text]

    @property
    def width(self) -> int:
        return max(cell_len(self.header), *(cell.cell_len for cell in self.cells))


def _tall(table: Table, ours: Sequence[Row], theirs: Sequence[Row], width: int) -> Iterator[RenderableType]:
    """Tasks below one another, each line a column under a letter, and as many columns as fit side by side; what the
    letters stand for is told first."""
    names = dict(zip(_letters(len(ours)), ours, strict=True))
    legend = [f"{letter}  {row.name}" for letter, row in names.items() if row.intervals]
    yield Text("\n".join(map(printable, legend)))
    groups: list[list[_Column]] = []
    for letter, row in names.items():
        header = letter if row.intervals else "chance"
        intervals = [Text(one, style="dim") for one in row.intervals]
        groups.append([_Column(header, _styled(row)), *([_Column("95%", intervals)] if intervals else [])])
    groups.append([_Column("rows", [Text(one, style="dim") for one in _counts(table)])])
    groups += [[_Column(row.name.partition(" ")[0], [Text(cell) for cell in row.cells])] for row in theirs]
    for columns in _fitting(table, groups, width):
        drawn = plain_table("task", *(column.header for column in columns))
        for i, task in enumerate(_columns(table)):
            drawn.add_row(printable(task), *(column.cells[i] for column in columns))
        yield drawn


def _letters(count: int) -> list[str]:
    """Names for so many lines: A, B ... Z, then A2 and so on."""
    return [ascii_uppercase[i % 26] + (str(i // 26 + 1) if i >= 26 else "") for i in range(count)]


def _fitting(table: Table, groups: Sequence[Sequence[_Column]], width: int) -> Iterator[list[_Column]]:
    """The groups of columns that go side by side; at least one."""
    gap = 3 if width >= NARROW else 2
    room = width - max(8, *(cell_len(name) for name in _columns(table)))
    taken, left = list[_Column](), room
    for group in groups:
        needed = sum(column.width + gap for column in group)
        if taken and needed > left:
            yield taken
            taken, left = [], room
        taken, left = [*taken, *group], left - needed
    yield taken


def _sources(shown: Mapping[int, Published]) -> Text:
    """Where each of the published rows comes from, and how it came about."""
    lines = [Text.assemble((f"[{number}] {printable(row.name)}: ", "bold"), printable(_told(row)))
             for number, row in shown.items()]  # fmt: skip
    return Text("\n").join(lines)


def _told(row: Published) -> str:
    said = [row.source, row.protocol, row.checkpoint and f"checkpoint: {row.checkpoint}", row.command]
    return "; ".join(filter(None, said))


def _spread(line: Line, widths: dict[str, Width]) -> Iterator[RenderableType]:
    """How far the patterns of a line lie apart, task by task."""
    narrow = people().width < NARROW
    drawn = plain_table(f"patterns of {printable(line.name)}", "number", "least", *([] if narrow else ["mean"]), "most")
    for task, width in widths.items():
        mean = [] if narrow else [_percent(width.mean)]
        most = Text(_percent(width.most), style="bold")
        drawn.add_row(printable(task), str(width.count), _percent(width.least), *mean, most)
    yield drawn


# ------------------------------------------------------------------ as Markdown


def markdown(table: Table) -> str:
    """The table with its sources, spreads and remarks, as Markdown."""
    parts = [f"# {_plain(table.name or 'suite')}", _plain(table.suite.about), _matrix(table)]
    parts += [
        "\n".join(f"- [{i}] {_plain(row.name)}: {_plain(_told(row))}" for i, row in enumerate(table.published, 1))
    ]
    for line, widths in table.widths().items():
        head = [f"patterns of {line.name}", "number", "least", "mean", "most"]
        body = [[task, str(one.count), *map(_percent, (one.least, one.mean, one.most))] for task, one in widths.items()]
        parts.append(_piped(head, body))
    parts.append("\n".join(f"- {_plain(remark.line)}" for remark in table.remarks()))
    return "\n\n".join(filter(None, parts)) + "\n"


def _matrix(table: Table) -> str:
    rows = []
    for row in _ours(table):
        between = [f" ({one})" if one else "" for one in row.intervals] or [""] * len(row.cells)
        rows.append([row.name, *(cell + more for cell, more in zip(row.cells, between, strict=True))])
    rows.append(["rows", *_counts(table)])
    rows += [[row.name, *row.cells] for row in _theirs(table, _shown(table, "all"))]
    return _piped([f"accuracy in % ({INTERVAL})", *_columns(table)], rows)


def _piped(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(_plain, line))} |" for line in lines)


def _plain(text: str) -> str:
    """Text in which Markdown sees neither a column nor a tag."""
    escaped = printable(text).replace("\\", "\\\\")
    for sign in "|<*`[":
        escaped = escaped.replace(sign, f"\\{sign}")
    return escaped
