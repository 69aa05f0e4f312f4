"""What authors see: findings and previews, on stdout. Colour says nothing that the words beside it do not."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.text import Text

from promptshot import standard
from promptshot.errors import printable, shortlist
from promptshot.flaws import Code
from promptshot.lint import Finding
from promptshot.preview import Preview
from promptshot.report import data, people, plain_table
from promptshot.scoring import Fit, Kind, Piece, Token

STYLE = {"error": "bold red", "warning": "bold yellow", "note": "cyan"}
KINDS = {Kind.FIXED: "template", Kind.FIELD: "field", Kind.MASK: "blank", Kind.HOLE: "hole", Kind.DEMO: "example"}
COLOURS = {Kind.FIXED: "cyan", Kind.FIELD: "", Kind.MASK: "bold reverse", Kind.HOLE: "reverse", None: "dim"}
LONGEST = 600  # characters of what was cut
WORDS = 30  # label words and labels that are listed
GITHUB = {"error": "error", "warning": "warning", "note": "notice"}


# ------------------------------------------------------------------ findings


def findings(found: Sequence[Finding], form: str) -> None:
    """The findings as text for people, as a JSON array, or as annotations of GitHub."""
    if form == "json":
        standard.write(json.dumps(list(map(asdict, found)), ensure_ascii=False, indent=2) + "\n")
        return
    console = data()
    for finding in found:
        if form == "github":
            standard.write(_annotation(finding) + "\n")
        elif console.is_terminal:
            _finding(console, finding)
        else:
            advice = f"; {finding.hint}" if finding.hint else ""
            sys.stdout.write(f"{finding.where}: {finding.severity} {finding.code}: {finding.message}{advice}\n")


def _finding(console: Console, finding: Finding) -> None:
    """Where and which, then what and what to try, indented."""
    severity = (finding.severity, STYLE[finding.severity])
    console.print(Text.assemble((finding.where, "bold"), "  ", severity, " ", (finding.code, "bold")), soft_wrap=True)
    _indented(console, Text(finding.message), "  ")
    if finding.hint:
        _indented(console, Text(finding.hint, style="dim"), "  ")


def _annotation(finding: Finding) -> str:
    """https://docs.github.com/actions/reference/workflow-commands-for-github-actions"""
    line = f",line={finding.line}" if finding.line else ""
    advice = f"; {finding.hint}" if finding.hint else ""
    head = f"::{GITHUB[finding.severity]} file={_property(finding.path)}{line},title={_property(finding.code)}::"
    return head + _escaped(finding.message + advice)


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def verdict(files: int, found: Sequence[Finding], apart: int = 0) -> None:
    """The last line, on stderr: how many files and findings; `apart` files were left out of the tokenizer's checks."""
    counts = {severity: sum(finding.severity == severity for finding in found) for severity in STYLE}
    said = [f"{n} {severity}{'s' if n > 1 else ''}" for severity, n in counts.items() if n]
    style = "bold red" if counts["error"] else "bold yellow" if counts["warning"] else "bold green"
    line = Text(f"{files} file{'s' if files != 1 else ''}: {', '.join(said) or 'nothing found'}", style=style)
    if apart:
        line.append(f"; {apart} for another scorer, checked without the tokenizer", "not bold default")
    if said:
        line.append("  (what a code means: --explain CODE)", "not bold dim default")
    people().print(line)


def explanation(code: Code) -> None:
    """One code, how bad it is, and why."""
    console = data()
    console.print(Text.assemble((code.name, "bold"), "  ", (code.severity, STYLE[code.severity])))
    _indented(console, Text(code.why))


# ------------------------------------------------------------------ previews


def preview(found: Preview, ids: bool = False) -> None:
    """The exact text; the label words; with a tokenizer, what each token belongs to; with weights, the scores."""
    console = data()
    kind = f"{printable(found.template.name)} · {found.template.spec.scorer}"
    console.print(Text.assemble((printable(found.row.source), "bold"), f"  {kind}", style="dim"))
    _text(console, found)
    if found.fit is not None:
        _fit(console, found, found.fit, ids)
    if found.labels and (found.fit or found.prediction):
        _words(console, found, ids)
    elif found.labels:
        pairs = zip(found.prompt.choices, found.labels, strict=True)
        words = [word if word == label else f"{word} ({label})" for word, label in pairs]
        _indented(console, Text(printable(shortlist(words, WORDS)), style="dim"), "blank: ")
    if found.prediction is not None:
        _scores(console, found)
    console.print()


def label_words(name: str, found: Preview, ids: bool = False) -> None:
    """The words of a verbalizer with their labels, and with a tokenizer the tokens of each."""
    console = data()
    told = f"{len(found.labels)} words of {len(set(found.labels))} labels"
    tokens = f", tokens by {found.model}" if found.fit else ""
    console.print(Text.assemble((printable(name), "bold"), (f"  {told}{printable(tokens)}", "dim")))
    _words(console, found, ids)


def watching(path: Path) -> None:
    """The last line while a file is watched."""
    people().print(Text(f"watching {printable(str(path))}; Ctrl-C ends it", style="dim"))


def clear() -> None:
    """An empty screen, where there is one."""
    data().clear()


def _text(console: Console, found: Preview) -> None:
    """The text of the prompt, its segments on lines of their own; a field apart from the template by colour."""
    segments: list[Text] = [Text()]
    for piece in found.prompt.pieces:
        if piece.kind is Kind.BREAK:
            segments.append(Text())
        else:
            visible = {Kind.MASK: "____", Kind.HOLE: "(hole)"}.get(piece.kind, piece.text)
            shown = "\n".join(printable(line) for line in visible.split("\n"))
            segments[-1].append(shown, COLOURS.get(piece.kind, ""))
    for name, text in zip("AB" if len(segments) > 1 else " ", segments, strict=False):
        _indented(console, text, f"{name} " if name.strip() else "")


def _fit(console: Console, found: Preview, fit: Fit, ids: bool) -> None:
    """The tokens, one line for each stretch of one kind, and what was cut."""
    if fit.error is not None:
        console.print(Text.assemble(("does not fit: ", "bold red"), printable(fit.error)))
        return
    cut = f", {fit.cut} of the row were cut" if fit.cut else ""
    console.print(Text(f"tokens: {fit.length} of {found.limit}{cut}  ({found.model})", style="dim"))
    pair = any(token.segment for token in fit.tokens)
    for (segment, kind), stretch in groupby(fit.tokens, lambda token: (token.segment, token.kind)):
        name = "special" if kind is None else KINDS.get(kind, "")
        prefix = f"{'AB'[segment]} {name:<10}" if pair else f"{name:<10}"
        _indented(console, _tokens(list(stretch), ids, COLOURS.get(kind, "")), prefix)
    for before, after in zip(_fields(found.prompt.pieces), _fields(fit.pieces), strict=False):
        if lost := _lost(before.text, after.text):
            shown = lost if len(lost) <= LONGEST else f"{lost[:LONGEST]}…"
            _indented(console, Text(printable(shown), style="red strike"), f"{'cut':<{12 if pair else 10}}")


def _tokens(tokens: Iterable[Token], ids: bool, style: str) -> Text:
    text = Text()
    for token in tokens:
        text.append(" " if text else "").append(printable(token.text.replace("\n", "↵")) or "·", style)
        if ids:
            text.append(f":{token.id}", "dim")
    return text


def _fields(pieces: Sequence[Piece]) -> list[Piece]:
    return [piece for piece in pieces if piece.kind is Kind.FIELD]


def _lost(before: str, after: str) -> str:
    """What was cut out of a text: its beginning, its end, or one stretch within."""
    begin = next(
        (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
    )
    return before[begin : len(before) - (len(after) - begin)]


def _words(console: Console, found: Preview, ids: bool) -> None:
    """Label words with their labels, their tokens and their scores, as far as these are known."""
    fit, prediction = found.fit, found.prediction
    spelled = fit.words if fit is not None and fit.error is None else ()
    scored = prediction.word_scores if prediction is not None else {}
    headers = ["  word", "label", *(["tokens"] if spelled else []), *(["score"] if scored else [])]
    shown = plain_table(*headers, texts=2 + bool(spelled))
    for i, (word, label) in enumerate(zip(found.prompt.choices[:WORDS], found.labels, strict=False)):
        tokens = [_tokens(spelled[i], ids, "")] if spelled else []
        score = [f"{scored[word]:.3f}"] if word in scored else []
        shown.add_row(f"  {printable(word)}", printable(label), *tokens, *score)
    console.print(shown)
    if len(found.prompt.choices) > WORDS:
        _indented(console, Text(f"and {len(found.prompt.choices) - WORDS} more", style="dim"))


def _scores(console: Console, found: Preview) -> None:
    """The label scores, best first, and the likeliest words."""
    prediction = found.prediction
    assert prediction is not None
    chances = prediction.probabilities
    shown = plain_table("  label", "score", *(["probability"] if chances else []))
    for label, score in sorted(prediction.label_scores.items(), key=lambda pair: -pair[1])[:WORDS]:
        best = bool(chances) and label == prediction.label
        name = Text(f"{'→ ' if best else '  '}{printable(label)}", style="bold green" if best else "")
        shown.add_row(name, f"{score:.3f}", *([f"{chances[label]:.3f}"] if chances else []))
    console.print(shown)
    if found.top:
        likeliest = "  ".join(f"{printable(word)} {math.exp(score):.3f}" for word, score in found.top)
        _indented(console, Text(likeliest), "likeliest: ")


def _indented(console: Console, text: Text, prefix: str = "") -> None:
    """The text behind a margin, wrapped on a terminal; the prefix stands before its first line."""
    indent = 2 + len(prefix)
    lines = text.wrap(console, max(20, console.width - indent)) if console.is_terminal else text.split()
    for number, line in enumerate(lines):
        line.rstrip()
        head = f"  {prefix}" if number == 0 else " " * indent
        console.print(Text.assemble((head, "dim"), line), soft_wrap=True)
