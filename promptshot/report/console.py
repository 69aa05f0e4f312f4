"""The console for people and the one for data, and what is drawn on both: lines, tables, bars."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Column, Table
from rich.text import Text

from promptshot.errors import printable
from promptshot.runs.remarks import Remark

UNWRAPPED = 10_000  # columns, where there is no terminal to fit into
NARROW = 60  # columns; below, tables leave out what can be spared
LEAST, ENOUGH = 4, 12  # columns of a text in a table, at least, and as long as headings can give way


class _Console(Console):
    """A console that leaves to the command line what a closed pipe means."""

    def on_broken_pipe(self) -> None:
        raise  # the error that rich has just caught


def _console(stderr: bool) -> Console:
    console = _Console(stderr=stderr, highlight=False, markup=False)
    return console if console.is_terminal else _Console(stderr=stderr, highlight=False, markup=False, width=UNWRAPPED)


def people() -> Console:
    """The console for people: stderr; nothing is wrapped where it is no terminal."""
    return _console(stderr=True)


def data() -> Console:
    """The console for data: stdout."""
    return _console(stderr=False)


def error(message: str) -> None:
    """One line that says what went wrong."""
    people().print(Text.assemble(("error: ", "bold red"), printable(message)))


def note(message: str, console: Console | None = None) -> None:
    """One line that a user should know."""
    (console or people()).print(Text.assemble(("note: ", "bold yellow"), printable(message)))


def remark_line(remark: Remark) -> Text:
    """A remark as a line under what it is about."""
    return Text.assemble(("note: ", "yellow"), printable(remark.line))


def p_value(p: float) -> str:
    """A p-value as it stands in a table."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def moving_bar(console: Console, width: int) -> Progress:
    """A bar of so many columns, which goes when it is done; a task's field `said` stands behind it."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=None if console.width < NARROW else width),
        TextColumn("{task.fields[said]}"),
        console=console,
        transient=True,
    )


@contextlib.contextmanager
def doing(quiet: bool) -> Iterator[Callable[[str], object]]:
    """Whatever is told within this is what is being done: on a terminal a line that moves, which goes at the end."""
    console = people()
    if quiet or not console.is_terminal:
        yield str
        return
    with console.status("") as status:
        yield lambda line: status.update(Text(printable(line), style="dim"))


class _Numbers(Table):
    """A table that never shortens a number, however narrow the terminal: long texts give way first, then headings,
    then all texts."""

    def __init__(self, texts: int, gap: int) -> None:
        super().__init__(box=None, pad_edge=False, header_style="dim", padding=(0, gap, 0, 0))
        self.texts, self.gap = texts, gap

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        numbers, room = self.columns[self.texts :], options.max_width - self.gap * (len(self.columns) - 1)
        wide = [_width(column, heading=True) for column in self.columns]
        if (numbers or self.columns[-1].header == "text") and sum(wide) > room:
            texts = sum(min(width, ENOUGH) for width in wide[: self.texts])
            excess = texts + sum(wide[self.texts :]) - room
            for column in sorted(numbers, key=lambda column: _width(column) - _width(column, heading=True)):
                slack = _width(column, heading=True) - _width(column)
                column.width = _width(column, heading=True) - min(slack, max(0, excess))
                excess -= min(slack, max(0, excess))
            self._share(room - sum(column.width or 0 for column in numbers))
        yield from super().__rich_console__(console, options)

    def _share(self, left: int) -> None:
        """Give each text what it needs, and where that is too much an equal part of what the shorter ones leave."""
        texts = sorted(self.columns[: self.texts], key=lambda column: _width(column, heading=True))
        for number, column in enumerate(texts):
            column.min_width, column.max_width = None, max(LEAST, left // (len(texts) - number))
            left -= min(column.max_width, _width(column, heading=True))


def _width(column: Column, heading: bool = False) -> int:
    """Of its widest cell, in columns of the terminal."""
    cells = [*column.cells, *([column.header] if heading else [])]
    return max((cell.cell_len if isinstance(cell, Text) else cell_len(str(cell)) for cell in cells), default=0)


def plain_table(*headers: str, texts: int = 1) -> Table:
    """A table without box lines: the first `texts` columns left, numbers right. To fit, what a row says (the column
    "text") is shortened; labels and names are not, they go on in the next line."""
    gap = 3 if people().width >= NARROW else 2
    table = _Numbers(texts, gap)
    for i, header in enumerate(headers):
        text = i < texts
        whole = text and header not in ("text", "p")
        table.add_column(
            header,
            justify="left" if text else "right",
            no_wrap=not whole,
            overflow="fold" if whole else "ellipsis",
            min_width=8 if text else None,
        )
    return table


def indented(console: Console, text: Text, prefix: str = "") -> None:
    """The text behind a margin, wrapped on a terminal; the prefix stands before its first line."""
    indent = 2 + len(prefix)
    lines = text.wrap(console, max(20, console.width - indent)) if console.is_terminal else text.split()
    for number, line in enumerate(lines):
        line.rstrip()
        head = f"  {prefix}" if number == 0 else " " * indent
        console.print(Text.assemble((head, "dim"), line), soft_wrap=True)
