"""What a doctor finds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType

from rich.cells import cell_len
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from promptshot.doctor import Finding, Overall
from promptshot.errors import many, printable
from promptshot.precision import EXACT, Compared, Measured
from promptshot.report.console import NARROW, note, people

NARROWEST = 48  # columns; below, a table has only what decides
WIDE = 100  # columns; below, what a doctor says stands under its head


def show_question(model: str, kinds: Sequence[str]) -> None:
    """The first line of a doctor's report, before anything is loaded."""
    people().print(
        Text(f"{printable(model) or 'the built-in models'}: is it sound for {', '.join(kinds)}?", style="dim"),
        soft_wrap=True,
    )


class Steps:
    """What a doctor does next, on a terminal, while it does it; nothing elsewhere."""

    def __init__(self) -> None:
        self._status = people().status("") if people().is_terminal else None

    def __enter__(self) -> Steps:
        if self._status:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status:
            self._status.stop()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Gone from the terminal while something else is written there."""
        if self._status:
            self._status.stop()
        yield
        if self._status:
            self._status.start()

    def of(self, kind: str) -> Callable[[str], None]:
        """Takes what is done next for a kind of scorer."""
        return lambda said: self._status.update(f"{kind}: {said}") if self._status else None


def show_finding(kind: str, finding: Finding) -> None:
    """One finding of a doctor: a line, or a few under the head of the first on a terminal."""
    console = people()
    style = {"ok": "green", "look": "bold yellow", "failed": "bold red", "note": "dim"}[finding.verdict]
    head = Text.assemble((f"{kind:<8}", "bold"), (f"{finding.verdict:<8}", style), f"{finding.check:<22}")
    said = Text(printable(finding.said))
    if not console.is_terminal:
        console.print(head + said)
    elif console.width < WIDE:
        console.print(head)
        console.print(Padding(said, (0, 0, 0, 16)))
    else:
        table = Table.grid(Column(width=cell_len(head.plain)), Column(ratio=1), expand=True)
        table.add_row(head, said)
        console.print(table)


def show_precisions(name: str, compared: Compared) -> None:
    """What each precision comes to on some rows, and which to take."""
    console, found, (best, why) = people(), compared.found, compared.advice
    if compared.rejects:
        first = compared.rejects[0]
        left = many(len(compared.rejects), "row is", "rows are")
        note(f"{left} left out; the first: {first.source}: {first.reason}")
    if compared.unknown:
        note(f"{many(compared.unknown, 'row has', 'rows have')} a label that is none of ours")
    console.print(Text(f"{many(found[0].rows, 'row')} by {printable(name)}, beside float32:", style="dim"))
    spared = {"rows/s", "on average"} if console.width < NARROW else set()
    spared |= {"margins to", "right"} if console.width < NARROWEST else set()
    spared |= set() if any(one.labelled for one in found) else {"right"}
    table = Table(Column("precision", style="bold", no_wrap=True, min_width=9), box=None)
    heads = [head for head in _PRECISIONS if head not in spared]
    for head in heads:
        table.add_column(head, justify="right")
    for one in found:
        cells = [_PRECISIONS[head](one) if not one.problem else "-" for head in heads]
        table.add_row(one.dtype, *cells)
    console.print(table)
    for one in found:
        if one.problem:
            console.print(Text(f"{one.dtype}: {printable(one.problem)}", style="dim"))
    console.print(Text.assemble("for such rows ", (f"--dtype {best}", "bold"), f": {why}"))


def _beside(one: Measured, said: str) -> str:
    """What is said of a precision beside float32, which is nothing of that itself."""
    return "" if one.dtype == EXACT else said


_PRECISIONS: Mapping[str, Callable[[Measured], str]] = {
    "rows/s": lambda one: f"{one.rows_per_second:,.{0 if one.rows_per_second >= 100 else 1}f}",
    "times": lambda one: f"{one.times:.2f}",
    "margins to": lambda one: _beside(one, f"{one.largest:.4f}"),
    "on average": lambda one: _beside(one, f"{one.mean:.4f}"),
    "labels change": lambda one: _beside(one, str(one.changed)),
    "right": lambda one: f"{one.right / one.labelled:.1%}" if one.right is not None else "-",
}


def show_verdict(overall: Overall, why: str) -> None:
    """The last line of a doctor's report."""
    style = {"sound": "bold green", "look at this": "bold yellow", "not sound": "bold red"}[overall]
    people().print(Text.assemble((overall, style), f": {why}" if why else ""))


def show_budgets(kind: str, rates: Sequence[tuple[int, float]]) -> None:
    """How fast batches of several sizes are, and which to set."""
    best = max(rate for _, rate in rates)
    for budget, rate in rates:
        people().print(f"{'':<8}{budget:>6,} tokens at once: {rate:>7,.1f} prompts/s, {rate / best:.0%} of the best")
    chosen = next(budget for budget, rate in rates if rate == best)
    people().print(Text.assemble(f"{'':<8}fastest here: ", (f"--batch-budget {chosen}", "bold"), f" for {kind}"))
