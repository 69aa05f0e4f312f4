"""Records the run that the README shows, as a picture: python docs/record.py

The output is the command's own; only the progress bar, which moves, is left out.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

WIDTH = 92
COMMAND = ["classify", "examples/zh-reviews.jsonl"]


def recorded(command: list[str]) -> str:
    """What the command shows on a terminal, with its colours as escape sequences."""
    os.environ.update(FORCE_COLOR="1", COLUMNS=str(WIDTH), TERM="xterm-256color")
    from promptshot import report
    from promptshot.cli import run_command

    class Still(report.Watch):
        def __init__(self, total: int | None = None, *_: bool) -> None:
            super().__init__(total, quiet=True)

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
    console.save_svg(str(path), title="promptshot")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("run.svg"))
