"""What was lost between the format of another tool and ours."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text

from promptshot.errors import PromptshotError
from promptshot.report.console import people


def show_lost(lost: Iterable[PromptshotError]) -> None:
    """A line for each thing that cannot be said: where it stands, what it is, what to try."""
    for one in lost:
        people().print(Text.assemble(("lost: ", "bold red"), str(one)))
