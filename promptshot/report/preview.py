"""What previews show, on stdout. Colour says nothing that the words beside it do not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.text import Text

from promptshot.authoring.preview import Preview
from promptshot.errors import printable, shortlist
from promptshot.report.console import data, indented, people, plain_table
from promptshot.scoring import Kind, Piece, Token, Tokenized

KINDS = {Kind.FIXED: "template", Kind.FIELD: "field", Kind.MASK: "blank", Kind.HOLE: "hole", Kind.DEMO: "example"}
COLOURS = {Kind.FIXED: "cyan", Kind.FIELD: "", Kind.MASK: "bold reverse", Kind.HOLE: "reverse", None: "dim"}
LONGEST = 600  # characters of what was cut
WORDS = 30  # label words and labels that are listed


def show_preview(preview: Preview, ids: bool = False) -> None:
    """The exact text; the label words; with a tokenizer, what each token belongs to; with weights, the scores."""
    console = data()
    spec = preview.template.spec
    way = "" if spec.multi_token == "independent" else f" · tokens of a word: {spec.multi_token}"
    kind = f"{printable(preview.template.name)} · {spec.scorer}{way}"
    kind += " · several labels" if preview.template.several else ""
    number, count = preview.piece
    which = f", piece {number} of {count}" if count > 1 else ""
    console.print(Text.assemble((printable(preview.row.source) + which, "bold"), f"  {kind}", style="dim"))
    _text(console, preview)
    if preview.tokenized is not None:
        _tokens_of(console, preview, preview.tokenized, ids)
    if preview.labels and (preview.tokenized or preview.prediction):
        _words(console, preview, ids)
    elif preview.labels:
        pairs = zip(preview.prompt.choices, preview.labels, strict=True)
        words = [word if word == label else f"{word} ({label})" for word, label in pairs]
        indented(console, Text(printable(shortlist(words, WORDS)), style="dim"), "blank: ")
    if preview.prediction is not None:
        _scores(console, preview)
    console.print()


def show_label_words(name: str, preview: Preview, ids: bool = False) -> None:
    """The words of a verbalizer with their labels, and with a tokenizer the tokens of each."""
    console = data()
    told = f"{len(preview.labels)} words of {len(set(preview.labels))} labels"
    tokens = f", tokens by {preview.model}" if preview.tokenized else ""
    console.print(Text.assemble((printable(name), "bold"), (f"  {told}{printable(tokens)}", "dim")))
    _words(console, preview, ids)


def show_watching(path: Path) -> None:
    """The last line while a file is watched."""
    people().print(Text(f"watching {printable(str(path))}; Ctrl-C ends it", style="dim"))


def clear() -> None:
    """An empty screen, where there is one."""
    data().clear()


def _text(console: Console, preview: Preview) -> None:
    """The text of the prompt, its segments on lines of their own; a field apart from the template by colour."""
    segments: list[Text] = [Text()]
    written = preview.tokenized.written if preview.tokenized is not None else ()
    for piece in written or preview.prompt.pieces:
        if piece.kind is Kind.BREAK:
            segments.append(Text())
        else:
            visible = {Kind.MASK: "____", Kind.HOLE: "(hole)"}.get(piece.kind, piece.shown)
            visible = visible if segments[-1] else visible.removeprefix("\n" if piece.shown != piece.text else "")
            shown = "\n".join(printable(line) for line in visible.split("\n"))
            segments[-1].append(shown, COLOURS.get(piece.kind, ""))
    for name, text in zip("AB" if len(segments) > 1 else " ", segments, strict=False):
        indented(console, text, f"{name} " if name.strip() else "")


def _tokens_of(console: Console, preview: Preview, tokenized: Tokenized, ids: bool) -> None:
    """The tokens, one line for each stretch of one kind, and what was cut."""
    if tokenized.error is not None:
        console.print(Text.assemble(("does not fit: ", "bold red"), printable(tokenized.error)))
        return
    least = "at least " if tokenized.least else ""
    cut = f", {least}{tokenized.cut} of the row were cut" if tokenized.cut else ""
    console.print(Text(f"tokens: {tokenized.length} of {preview.limit}{cut}  ({preview.model})", style="dim"))
    pair = any(token.segment for token in tokenized.tokens)
    for (segment, kind), stretch in groupby(tokenized.tokens, lambda token: (token.segment, token.kind)):
        name = "special" if kind is None else KINDS.get(kind, "")
        prefix = f"{'AB'[segment]} {name:<10}" if pair else f"{name:<10}"
        indented(console, _tokens(list(stretch), ids, COLOURS.get(kind, "")), prefix)
    for before, after in zip(_fields(preview.prompt.pieces), _fields(tokenized.pieces), strict=False):
        if lost := _lost(before.text, after.text):
            shown = lost if len(lost) <= LONGEST else f"{lost[:LONGEST]}…"
            indented(console, Text(printable(shown), style="red strike"), f"{'cut':<{12 if pair else 10}}")


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


def _words(console: Console, preview: Preview, ids: bool) -> None:
    """Label words with their labels, their tokens and their scores, as far as these are known."""
    tokenized, prediction = preview.tokenized, preview.prediction
    spelled = tokenized.words if tokenized is not None and tokenized.error is None else ()
    scored = prediction.word_scores if prediction is not None else {}
    headers = ["  word", "label", *(["tokens"] if spelled else []), *(["score"] if scored else [])]
    shown = plain_table(*headers, texts=2 + bool(spelled))
    for i, (word, label) in enumerate(zip(preview.prompt.choices[:WORDS], preview.labels, strict=False)):
        tokens = [_tokens(spelled[i], ids, "")] if spelled else []
        score = [f"{scored[word]:.3f}"] if word in scored else []
        shown.add_row(f"  {printable(word)}", printable(label), *tokens, *score)
    console.print(shown)
    if len(preview.prompt.choices) > WORDS:
        indented(console, Text(f"and {len(preview.prompt.choices) - WORDS} more", style="dim"))


def _scores(console: Console, preview: Preview) -> None:
    """The label scores, best first, and the likeliest words."""
    prediction = preview.prediction
    assert prediction is not None
    chances = prediction.probabilities
    shown = plain_table("  label", "score", *(["probability"] if chances else []))
    for label, score in sorted(prediction.label_scores.items(), key=lambda pair: -pair[1])[:WORDS]:
        given = (prediction.label,) if isinstance(prediction.label, str) else prediction.label
        best = bool(chances) and label in given
        name = Text(f"{'→ ' if best else '  '}{printable(label)}", style="bold green" if best else "")
        shown.add_row(name, f"{score:.3f}", *([f"{chances[label]:.3f}"] if chances else []))
    console.print(shown)
    if preview.top:
        likeliest = "  ".join(f"{printable(word)} {math.exp(score):.3f}" for word, score in preview.top)
        indented(console, Text(likeliest), "likeliest: ")
