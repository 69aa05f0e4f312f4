"""`promptshot templates new` and `promptshot verbalizers new`: a first file to go on from."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from promptshot import files
from promptshot.cli import completion
from promptshot.cli.flags import Command, flags, library_flag, option, outputs, read_by
from promptshot.errors import OptionError
from promptshot.kinds import KINDS

if TYPE_CHECKING:
    from promptshot.prompts.verbalizer import Verbalizer

new_flags = flags(
    click.argument("file", type=click.Path(path_type=Path)),
    option("--labels", metavar="A,B,...|@FILE", help="The labels: a,b or a=word1|word2,b=word3."),
    option("--overwrite", is_flag=True, help="Replace an existing file."),
)


@click.command("new", cls=Command)
@new_flags
@option("--scorer", type=click.Choice(list(KINDS)), help="What kind of model it is for.")
@option("--language", type=click.Choice(["zh", "en"]), help="Chinese or English.  [default: by the labels]")
@option(
    "--verbalizer",
    metavar="NAME|FILE",
    shell_complete=completion.of_shelf("verbalizers"),
    help="The label words of the shelf or a file, in place of --labels.",
)
@library_flag
def template(
    file: Path,
    labels: str | None,
    overwrite: bool,
    scorer: str | None,
    language: str | None,
    verbalizer: str | None,
    folder: Path | None,
) -> None:
    """Write a first template to FILE, with comments; on a terminal, what is not said is asked.

    promptshot templates new mood.yaml --scorer mlm --labels "happy=good|great,sad=bad"
    """
    from promptshot.authoring import new
    from promptshot.prompts import library
    from promptshot.prompts.language import language_of
    from promptshot.report.console import note

    outputs({"FILE": str(file)}, read_by({"labels": labels, "verbalizer": verbalizer, "folder": folder}, ()), overwrite)
    if labels and verbalizer:
        raise OptionError("--labels and --verbalizer both give label words", hint="leave one out")
    scorer = scorer or _asked(f"scorer ({', '.join(KINDS)})", "--scorer", list(KINDS))
    if verbalizer:
        words = library.verbalizer(verbalizer, folder)
        named = str(Path(verbalizer).resolve()) if library.is_path(verbalizer) else verbalizer
    else:
        words, named = _words(labels), ""
    language = language or language_of([word for of in words.labels.values() for word in of])
    files.put(str(file), new.template(scorer, language, words, named), overwrite)
    if str(file) != files.STREAM:
        note(f"written: {file}; see it: promptshot templates preview {file} --watch")


@click.command("new", cls=Command)
@new_flags
def verbalizer(file: Path, labels: str | None, overwrite: bool) -> None:
    """Write a first verbalizer to FILE, with comments; on a terminal, labels that are not said are asked.

    promptshot verbalizers new moods.yaml --labels "happy=good|great,sad=bad"
    """
    from promptshot.authoring import new
    from promptshot.report.console import note

    outputs({"FILE": str(file)}, read_by({"labels": labels}, ()), overwrite)
    words = _words(labels)
    files.put(str(file), new.verbalizer(words), overwrite)
    if str(file) != files.STREAM:
        note(f"written: {file}; check it: promptshot verbalizers lint {file}")


def _words(labels: str | None) -> Verbalizer:
    """The labels that were said or are asked for; how they were read is told."""
    from promptshot.prompts.labels import read_labels
    from promptshot.report.console import note

    found = read_labels(labels or _asked("labels, such as good,bad", "--labels"))
    for reason in found.reasons:
        note(reason)
    return found.verbalizer


def _asked(what: str, flag: str, choices: Sequence[str] = ()) -> str:
    """The answer of a person; raises OptionError where there is none to ask."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise OptionError(f"{flag} is missing", hint="on a terminal it would be asked")
    kind = click.Choice(choices) if choices else None
    answer: str = click.prompt(what, type=kind, default=choices[0] if choices else None, show_choices=False, err=True)
    return answer
