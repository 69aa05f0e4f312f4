"""An explanation as a picture, on stdout. Colour says nothing that the signs beside it do not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from promptshot.authoring.explain import Explanation, Part, WordPart
from promptshot.errors import many, printable
from promptshot.report.console import NARROW, data, indented, plain_table, remark_line
from promptshot.scoring import TokenScore

LISTED = 12  # labels, words of a label and parts that are shown; all of them are in the JSON
TOKENS = 8  # of a word
LEAST = 0.2  # an effect that a bar is as long as can be for, at least: less is next to nothing
WIDE = 100  # columns of a terminal; below, bars are short, and tokens stand beside no bars
WIDEST = 18  # columns of half a bar
EIGHTHS = " ▏▎▍▌▋▊▉█"


def show_explanation(found: Explanation) -> None:
    """The row, the probabilities of its labels, and each part with a bar: to the right it speaks for the label, to the
    left against it."""
    console = data()
    one = found.prediction
    head = f"  {found.name} · {found.scorer} · {found.model or 'no model'}"
    console.print(Text.assemble((printable(one.row.source), "bold"), (printable(head), "dim")))
    if len(found.clauses) == 1:
        indented(console, Text(printable(found.clauses[0].text)))
    console.print()
    _verdict(console, found)
    largest = max(LEAST, *(abs(part.effect or 0) for part in _all(found)))
    for title, table in _sections(console, found, largest):
        console.print()
        console.print(Text(title, style="bold"))
        console.print(table)
    console.print()
    if any(part.effect is not None for part in _all(found)):
        console.print(Text(_how(found), style="dim"))
    for remark in found.remarks():
        console.print(remark_line(remark))


def _how(found: Explanation) -> str:
    label = printable(found.label) if found.label else "the pair"
    return f"effect: the {found.measure} of {label} less that without the part; above 0 it speaks for it"


def _all(found: Explanation) -> Iterator[Part | WordPart]:
    yield from found.clauses
    yield from found.demonstrations
    yield from found.words


def _verdict(console: Console, found: Explanation) -> None:
    """The labels with their probabilities, the best first; of a pair its score."""
    chances, gold = found.prediction.probabilities, found.prediction.gold
    if chances is None:
        label = f"{printable(found.label)}, " if found.label else ""
        console.print(Text.assemble((f"{label}score {found.value:.3f}", "bold")))
        return
    room = WIDEST if console.width >= NARROW else WIDEST // 2
    table = _with_bars("label", "p", texts=1)
    ranked = sorted(chances.items(), key=lambda pair: -pair[1])
    for label, chance in ranked[:LISTED]:
        name = Text(printable(label), style="bold" if label == found.label else "")
        name.append(" (gold)", "dim") if label == gold else name
        bar = Text(_bar(console, chance, room), style="cyan" if label == found.label else "dim")
        table.add_row(name, f"{chance:.3f}", bar)
    console.print(table)
    if len(ranked) > LISTED:
        indented(console, Text(f"and {many(len(ranked) - LISTED, 'label')} more", style="dim"))


def _sections(console: Console, found: Explanation, largest: float) -> Iterator[tuple[str, RenderableType]]:
    """What is shown under which title."""
    if len(found.clauses) > 1:
        yield "left out of the row", _parts(console, found.clauses, largest)
    if found.demonstrations:
        yield "demonstrations left out", _parts(console, found.demonstrations, largest)
    if found.templates:
        table = _with_bars("template", "says", "p", "effect", texts=2)
        most = max(abs(one.effect or 0) for one in found.templates)
        for one in found.templates:
            cells = (printable(one.name), printable(one.label), f"{one.probability:.3f}")
            table.add_row(*cells, *_effect(console, one.effect, most))
        yield "templates", table
    if found.words:
        yield "label words", _words(console, found, largest)


def _parts(console: Console, parts: Sequence[Part], largest: float) -> RenderableType:
    """The parts in their order; of very many, those with the largest effects."""
    shown = list(parts)
    if len(shown) > 2 * LISTED:
        kept = {id(one) for one in sorted(shown, key=lambda one: -abs(one.effect or 0))[: 2 * LISTED]}
        shown = [one for one in shown if id(one) in kept]
    chances = any(one.probability is not None for one in shown)
    table = _with_bars("text", *(["p without"] if chances else []), "effect", texts=1)
    for one in shown:
        text = printable(" ".join(one.text.split()))
        if one.problem:
            table.add_row(Text(text, style="dim"), *([""] if chances else []), "-", "")
            continue
        chance = [f"{one.probability:.3f}" if one.probability is not None else ""] if chances else []
        table.add_row(text, *chance, *_effect(console, one.effect, largest))
    rest = len(parts) - len(shown)
    return Group(table, Text(f"and {many(rest, 'part')} of less effect (all: --json)", style="dim")) if rest else table


def _words(console: Console, found: Explanation, largest: float) -> Table:
    """The words of the label and of the one behind it: score, the part of the label's score, tokens, effect."""
    chances = found.prediction.probabilities or {}
    labels = sorted(chances, key=lambda label: -chances[label])[:2]
    shown = [one for label in labels for one in [w for w in found.words if w.label == label][:LISTED]]
    several = len({one.template for one in shown}) > 1
    effects = any(one.effect is not None for one in shown)
    room = WIDE if effects else NARROW
    spelled = any(len(one.tokens) > 1 for one in shown) and console.width >= room
    texts = ["word", "label", *(["template"] if several else []), *(["tokens"] if spelled else [])]
    made = _with_bars if effects else plain_table
    table = made(*texts, "score", *(["effect"] if effects else []), texts=len(texts))
    for one in shown:
        cells = [printable(one.word), printable(one.label), *([printable(one.template)] if several else [])]
        cells += [_tokens(one.tokens)] if spelled else []
        table.add_row(*cells, f"{one.score:.3f}", *(_effect(console, one.effect, largest) if effects else ()))
    return table


def _with_bars(*headers: str, texts: int) -> Table:
    """A table whose last column, without a name, has bars."""
    table = plain_table(*headers, "", texts=texts)
    table.columns[-1].justify = "left"
    return table


def _tokens(tokens: Sequence[TokenScore]) -> str:
    """The tokens of a word with their log-probabilities."""
    shown = [f"{printable(one.text.replace(chr(10), '↵')) or '·'} {one.score:.2f}" for one in tokens[:TOKENS]]
    return "  ".join(shown) + (f"  and {len(tokens) - TOKENS} more" if len(tokens) > TOKENS else "")


def _effect(console: Console, effect: float | None, largest: float) -> tuple[str, Text]:
    """The number, and a bar from the middle: to the left where it is below 0."""
    half = WIDEST if console.width >= WIDE else WIDEST // 2 if console.width >= NARROW else WIDEST // 3
    if effect is None:
        return "", Text(" " * (2 * half + 1))
    share = min(1.0, abs(effect) / largest) if largest else 0.0
    middle = "|" if console.options.ascii_only else "│"
    if effect < 0:
        size = round(share * half)
        bar = ("#" if console.options.ascii_only else "█") * size
        return f"{effect:+.2f}", Text.assemble((f"{bar:>{half}}", "red"), (middle, "dim"), " " * half)
    return f"{effect:+.2f}", Text.assemble(
        " " * half, (middle, "dim"), (f"{_bar(console, share, half):<{half}}", "green")
    )


def _bar(console: Console, share: float, room: int) -> str:
    """A bar of that share of the room, to an eighth of a column where the terminal can say it."""
    if console.options.ascii_only:
        return "#" * round(share * room)
    eighths = round(share * room * 8)
    return "█" * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")
