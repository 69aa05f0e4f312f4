"""The models that are here: a list of them, and one in full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.cells import cell_len
from rich.text import Text

from promptshot.errors import many, printable, shortened, shortlist
from promptshot.inventory import CACHE, Model
from promptshot.report.console import data, indented
from promptshot.report.lists import show_list

HEADERS = ("model", "from", "size", "type", "templates", "scorers")
MARGIN = 12  # columns before what is said
BESIDE = 56  # columns that all but the names take in a table


def show_models(found: Sequence[Model], templates: Mapping[str, int]) -> None:
    """A line for each model, on standard output; a broken one says what is wrong in the place of its scorers.

    On a terminal that is too narrow for a table, what is said of a model stands under its name.
    """
    lines, console = [_line(one, templates) for one in found], data()
    if not console.is_terminal or max(cell_len(line[0]) for line in lines) + BESIDE <= console.width:
        show_list(HEADERS, lines)
        return
    for name, _, weight, family, fit, scorers in lines:
        console.print(Text(printable(name), style="bold"), soft_wrap=True)
        more = f" ({many(int(fit), 'template')})" if fit.isdecimal() else ""
        indented(console, Text(printable(f"{weight}, {family}: {scorers}{more}")))


def _line(one: Model, templates: Mapping[str, int]) -> tuple[str, ...]:
    fit = sum(templates.get(scorer, 0) for scorer in one.scorers)
    named = ", ".join(one.scorers) or (f"none: {one.lacks}" if one.lacks else "none")
    scorers = f"broken: {one.broken}" if one.broken else f"{named} (as config.json says)" if one.held.pickled else named
    return one.name, one.source, size(one.size), shortened(one.family, 40) or "-", str(fit or "-"), scorers


def show_model(one: Model, templates: Mapping[str, int]) -> None:
    """All that is known of a model, on standard output, a line for each thing."""
    console = data()
    for name, said in _facts(one, templates):
        line = Text.assemble((f"{name:<{MARGIN}}", "bold"), printable(said))
        if console.is_terminal:
            first, *more = line.wrap(console, console.width - MARGIN) or [line]
            console.print(first, soft_wrap=True)
            for rest in more:
                console.print(Text(" " * MARGIN) + rest, soft_wrap=True)
        else:
            console.print(line, soft_wrap=True)
    for note in one.doubts():
        indented(console, Text(printable(note)), "note: ")


def _facts(one: Model, templates: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    yield "model", one.name
    yield "from", one.source + (f", revision {one.revision} (--revision)" if one.revision else "")
    yield "path", str(one.place)
    yield "size", size(one.size) + (f", {one.weights:,} weights, {one.dtype}" if one.weights else "")
    if one.broken:
        yield "broken", one.broken
        return
    yield (
        "type",
        (shortened(one.family) or "unknown") + (f": {shortlist(one.architectures, 3)}" if one.architectures else ""),
    )
    yield "heads", shortlist(one.heads) or "none"
    fit = [f"{scorer} ({many(templates.get(scorer, 0), 'template')})" for scorer in one.scorers]
    yield "scorers", ", ".join(fit) or "none"
    limits = [f"{one.limit:,} tokens"] if one.limit else []
    limits += [f"a vocabulary of {one.vocabulary:,}"] if one.vocabulary else []
    if limits:
        yield "takes", ", ".join(limits)
    if one.languages:
        yield "languages", shortlist(one.languages, 12)
    if one.scorers:
        offline = " --offline" if one.source == CACHE else ""
        yield "to try", f"promptshot doctor -m {one.name}{offline}"


def size(count: int) -> str:
    """A number of bytes as people say it: 428 MB."""
    for unit, one in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= one:
            return f"{count / one:.1f} {unit}" if count < 10 * one else f"{count / one:,.0f} {unit}"
    return f"{count} B"
