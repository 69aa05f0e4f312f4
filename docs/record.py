"""Records the run that the README shows, as a picture: python docs/record.py

The output is the command's own; only the progress bar, which moves, is left out.
"""

from __future__ import annotations

import contextlib
import html
import io
import os
import re
import sys
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

WIDTH = 92
COMMAND = ["classify", "examples/zh-reviews.jsonl"]


def recorded(command: list[str]) -> str:
    """What the command shows on a terminal, with its colours as escape sequences."""
    os.environ.update(FORCE_COLOR="1", COLUMNS=str(WIDTH), TERM="xterm-256color")
    from promptshot.cli import run_command
    from promptshot.report import progress as report

    class Still(report.Watch):
        def __init__(self, total: int | None = None, *_: bool) -> None:
            super().__init__(total, quiet=True)  # without a bar
            self.quiet = False

        def _tell(self) -> None:
            """Progress is left out."""

    watch: Any = report.Watch
    report.Watch = Still  # type: ignore[misc]
    shown, nothing = io.StringIO(), io.StringIO()
    nothing.isatty = lambda: True  # type: ignore[method-assign]
    with contextlib.redirect_stderr(shown), contextlib.redirect_stdout(nothing):
        run_command(command)
    report.Watch = watch
    return shown.getvalue()


def main(path: Path) -> None:
    """Write the picture."""
    shown = recorded(COMMAND)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, highlight=False)
    console.print(Text.assemble(("$ ", "bold green"), f"promptshot {' '.join(COMMAND)}"))
    console.print(Text.from_ansi(shown))
    path.write_text(as_wide_as_shown(console.export_svg(title="promptshot")), encoding="utf-8")


def as_wide_as_shown(svg: str) -> str:
    """The picture with each column where a terminal has it: rich counts characters, and Chinese ones take two columns,
    so that what stands behind them would be drawn over them. Words apart, and wide ones from narrow, get places of
    their own, so that no font moves them."""

    def placed(found: re.Match[str]) -> str:
        before, x, between, width, after, shown = found.groups()
        text = html.unescape(shown)
        column, parts = float(width) / len(text), []
        for run in re.finditer(r"[\u1100-\uffef]+|[^\u1100-\uffef]+?(?=\s\s|[\u1100-\uffef]|$)", text):
            at = float(x) + column * cell_len(text[: run.start()])
            length = column * cell_len(run[0])
            said = html.escape(run[0], quote=False).replace("\xa0", "&#160;")
            if run[0].strip():
                parts.append(f'{before}x="{at:g}"{between}textLength="{length:g}"{after}{said}</text>')
        return "".join(parts)

    return re.sub(r'(<text [^>]*?)x="([\d.]+)"([^>]*?)textLength="([\d.]+)"([^>]*>)([^<]+)</text>', placed, svg)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("run.svg"))
