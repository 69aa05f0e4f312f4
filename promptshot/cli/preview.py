"""`promptshot templates preview`: what a template makes of rows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptshot.cli import completion
from promptshot.cli.flags import (
    Command,
    chat_flags,
    chat_of,
    library_flag,
    long_flags,
    model_flag,
    model_options,
    option,
    source_flags,
    tell_sizes,
    typed,
)
from promptshot.errors import OptionError, PromptshotError
from promptshot.kinds import FIRST, KINDS, for_words

if TYPE_CHECKING:
    from promptshot.authoring.preview import Previewer
    from promptshot.prompts.template import Template
    from promptshot.prompts.verbalizer import Verbalizer

POLL = 0.3  # seconds between two looks at a file


@click.command("preview", cls=Command)
@click.argument("name", metavar="FILE|NAME|TEXT", shell_complete=completion.of_shelf("templates"))
@click.argument("rows", nargs=-1, metavar="[ROW]...")
@model_flag("the built-in model for the scorer")
@source_flags
@option("--tokens", is_flag=True, help="Also the tokens, of the built-in model where -m names none.")
@option("--ids", is_flag=True, help="The tokens with their ids.")
@option("--scores", is_flag=True, help="Load the weights: label scores, and the likeliest words at the blank.")
@option("--labels", metavar="A,B,...|@FILE", help="Label words other than the template's own: a,b or a=word1|word2.")
@option(
    "--verbalizer",
    metavar="NAME|FILE",
    shell_complete=completion.of_shelf("verbalizers"),
    help="The same from the shelf or a file.",
)
@chat_flags
@long_flags
@option("--scorer", type=click.Choice(list(KINDS)), default=FIRST, help=f"For a TEXT.  [default: {FIRST}]")
@option("--watch", is_flag=True, help="Draw it again whenever the file is saved; Ctrl-C ends it.")
@library_flag
def templates(name: str, rows: tuple[str, ...], watch: bool, ids: bool, **given: Any) -> None:
    """Show what a template makes of rows: the exact text; with a tokenizer the tokens; with weights the scores.

    ROW is a JSON object, a plain text where the template reads one field, or FILE:LINE; without any, the template's
    own example is shown.

    \b
    promptshot templates preview zh-sentiment-mlm "房间干净" --tokens
    promptshot templates preview mine.yaml rows.jsonl:7 -m google-bert/bert-base-chinese --ids --watch
    """
    from promptshot.authoring.preview import Previewer
    from promptshot.prompts import library
    from promptshot.rows.once import once

    asked = given["tokens"] or ids or bool(given["model"])
    previewer = Previewer(model_options(given), asked, given["scores"])
    tell_sizes([given["model"] or ""] if given["scores"] else (), "auto")
    given["kept"] = cache(once)  # a pipe is read once, also under --watch
    if not watch:
        _preview(previewer, name, rows, ids, given)
        return
    if "{" in name:
        raise OptionError("--watch needs a file", hint="write the text into one: promptshot templates new FILE")
    path = library.find("templates", name, given["folder"])
    for _ in _saved(path, given["folder"]):
        _redraw(previewer, path, rows, ids, given)


@click.command("preview", cls=Command)
@click.argument("name", metavar="FILE|NAME", shell_complete=completion.of_shelf("verbalizers"))
@model_flag("none, and no tokens")
@source_flags
@option("--ids", is_flag=True, help="The tokens with their ids.")
@library_flag
def verbalizers(name: str, ids: bool, **given: Any) -> None:
    """Show the label words of a verbalizer; with -m the tokens of each, by the model's tokenizer alone.

    \b
    promptshot verbalizers preview zh-news -m builtin:bert --ids
    """
    from promptshot import shelf
    from promptshot.authoring.preview import Previewer
    from promptshot.prompts import inline, library
    from promptshot.report.preview import show_label_words
    from promptshot.rows.row import Row

    words = library.verbalizer(name, given["folder"])
    kind = for_words(shelf.scorer_of(given["model"]) if given["model"] else None)
    text = "{text} {mask}" if kind.left_to_right else "{mask} {text}"  # where a word follows a space, or begins a text
    previewer = Previewer(model_options(given), tokens=bool(given["model"]))
    found = previewer.of(inline.template_of(text, kind.name, None), words, Row({"text": "..."}))
    show_label_words(name, found, ids)


def _preview(previewer: Previewer, name: str, rows: Sequence[str], ids: bool, given: dict[str, Any]) -> None:
    from promptshot.authoring.preview import rows_of
    from promptshot.classify.choosing import as_chat
    from promptshot.prompts import inline
    from promptshot.report.preview import show_preview

    (said,) = typed("name", [name])
    template = inline.template_of(said, given["scorer"], given["folder"])
    template = as_chat(template, chat_of(given))
    verbalizer = _label_words(template, given)
    for row in rows_of(rows, template, given["kept"]):
        for one in previewer.pieces(template, verbalizer, row):
            show_preview(one, ids)


def _label_words(template: Template, given: dict[str, Any]) -> Verbalizer | None:
    """Those that were said, or the template's own; None where it has none."""
    from promptshot.classify import choosing
    from promptshot.prompts import library
    from promptshot.report.console import note

    wish = choosing.Wish(labels=given["labels"], verbalizer=given["verbalizer"], folder=given["folder"])
    said, keys = wish.words(), template.spec
    for reason in wish.reasons:
        note(reason)
    if said or not (keys.verbalizer or keys.words_from or keys.ordered):
        return said
    return library.verbalizer_of(template, given["folder"])


def _redraw(previewer: Previewer, path: Path, rows: Sequence[str], ids: bool, given: dict[str, Any]) -> None:
    """The preview and what lint finds; while the file is broken, the findings stand in the preview's place."""
    from promptshot.authoring.lint.linter import Linter
    from promptshot.report.console import error
    from promptshot.report.lint import show_findings
    from promptshot.report.preview import clear, show_watching

    clear()
    previewer.loader.try_again()  # a model may have been put right too
    found = [finding for finding in Linter(given["folder"]).template(path) if finding.severity != "note"]
    try:
        _preview(previewer, str(path), rows, ids, given)
    except PromptshotError as problem:
        if not any(finding.severity == "error" for finding in found):
            error(str(problem))
    show_findings(found, "text")
    show_watching(path)


def _saved(path: Path, folder: Path | None) -> Iterator[None]:
    """Now, and whenever the template or its verbalizer has been saved."""
    while True:
        watched = [path, *_named_verbalizer(path, folder)]
        before = list(map(_stamp, watched))
        yield
        while list(map(_stamp, watched)) == before:
            time.sleep(POLL)


def _named_verbalizer(path: Path, folder: Path | None) -> list[Path]:
    """The file of the verbalizer that a template names, if both can be found."""
    from promptshot.prompts import library

    try:
        named = library.template(str(path)).spec.verbalizer
        return [library.find("verbalizers", named, folder, path.parent)] if isinstance(named, str) else []
    except PromptshotError:
        return []


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes whenever a file is saved; editors may put another file in its place."""
    try:
        stat = path.stat()
    except OSError:
        return ()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
