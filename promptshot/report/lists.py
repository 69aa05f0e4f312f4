"""The shelf: lists of what there is, files, and prompts as they are rendered."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from promptshot import standard
from promptshot.errors import printable, shortlist
from promptshot.report.console import NARROW, data, people, plain_table
from promptshot.scoring import Kind, Prompt

USUAL = 80  # columns of a terminal


def show_prompts(shown: Sequence[tuple[str, Prompt]]) -> None:
    """Rendered prompts, fields apart from the template by colour, with the choices for the blank."""
    console = people()
    style = {Kind.FIXED: "cyan", Kind.FIELD: "", Kind.MASK: "bold reverse", Kind.DEMO: "dim", Kind.HOLE: "reverse"}
    for source, prompt in shown:
        console.print(Text(printable(source), style="dim"))
        text = Text()
        for piece in prompt.pieces:
            visible = {Kind.MASK: "____", Kind.HOLE: "(hole)", Kind.BREAK: "\n"}.get(piece.kind, piece.shown)
            visible = visible if text else visible.removeprefix("\n")
            lines = "\n".join(printable(line) for line in visible.split("\n"))
            text.append(lines, style=style.get(piece.kind, ""))
        _indented(console, text)
        words = [printable(choice) for choice in prompt.choices if choice]
        if words:
            _indented(console, Text(f"blank: {shortlist(words, 20)}", style="dim"))
        console.print()


def _indented(console: Console, text: Text) -> None:
    for line in text.wrap(console, console.width - 2) if console.is_terminal else text.split():
        console.print(Text("  ") + line, soft_wrap=True)


def show_list(headers: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """A list on stdout: a table on a terminal, tab-separated lines elsewhere.

    The first column holds what one types and is never cut; the others fold, and where there is little room some
    between the first and the last are left out.
    """
    console = data()
    if not console.is_terminal:
        for line in lines:
            sys.stdout.write("\t".join(map(printable, line)) + "\n")
        return
    most = 1 if console.width < NARROW else 2 if console.width < USUAL else len(headers) - 1  # beside the first
    shown = (0, *range(1, len(headers))[-most:])
    table = plain_table(*(headers[i] for i in shown), texts=len(shown))
    for column in table.columns:
        column.no_wrap, column.overflow, column.min_width = column is table.columns[0], "fold", None
    for line in lines:
        table.add_row(*(printable(line[i]) for i in shown))
    console.print(table)


def show_file(path: Path) -> None:
    """A YAML file on stdout, coloured on a terminal, byte for byte elsewhere."""
    text = path.read_text(encoding="utf-8-sig")
    console = data()
    if console.is_terminal:
        shown = "\n".join(map(printable, text.rstrip().split("\n")))
        console.print(Syntax(shown, "yaml", background_color="default", word_wrap=True))
    else:
        standard.write(text)
