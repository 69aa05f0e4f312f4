"""`promptshot templates` and `promptshot verbalizers`: what is on the shelf."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptshot import shelf, standard
from promptshot.cli import completion
from promptshot.cli.flags import Command, Commands, F, flags, library_flag
from promptshot.kinds import KINDS

if TYPE_CHECKING:
    from promptshot.prompts.catalogue import Entry


@click.group(cls=Commands)
def templates() -> None:
    """The templates on the shelf, and the tools to write your own."""


@click.group(cls=Commands)
def verbalizers() -> None:
    """The verbalizers on the shelf, and the tools to write your own."""


def _filters(*more: Callable[[Any], Any]) -> Callable[[F], F]:
    """What a list may be of, and how it is printed."""
    return flags(
        *more,
        click.option("--language", default="", metavar="zh|en", help="Only those in this language."),
        click.option("--labels", default="", metavar="A,B,...", help="Only those that know all of these labels."),
        click.option("--json", "to_json", is_flag=True, help="Everything about them as JSON."),
        library_flag,
    )


@templates.command("list", cls=Command)
@_filters(
    click.option(
        "--scorer", default="", metavar="NAME", help=f"Only those for {', '.join([*KINDS][:-1])} or {[*KINDS][-1]}."
    ),
    click.option("--task", default="", metavar="NAME", help="Only those of a task: sentiment, news, same, ..."),
)
def list_templates(folder: Path | None, to_json: bool, **wanted: str) -> None:
    """Names, scorers and what each template is for.

    \b
    promptshot templates list --scorer nsp --language zh
    promptshot templates list --task sentiment --labels positive,neutral,negative
    """
    from promptshot.prompts import catalogue

    chosen = _chosen(catalogue.templates(folder), "templates", wanted)
    _print(chosen, to_json, ("template", "scorer", "about"), [(e.name, e.scorer, e.about) for e in chosen])


@verbalizers.command("list", cls=Command)
@_filters()
def list_verbalizers(folder: Path | None, to_json: bool, **wanted: str) -> None:
    """Names, number of labels, and the labels themselves."""
    from promptshot.errors import shortlist
    from promptshot.prompts import catalogue

    chosen = _chosen(catalogue.verbalizers(folder), "verbalizers", wanted)
    lines = [(e.name, str(len(e.labels)), shortlist(e.labels, 6), e.about) for e in chosen]
    _print(chosen, to_json, ("verbalizer", "labels", "which", "about"), lines)


def _chosen(entries: Sequence[Entry], kind: shelf.Shelf, wanted: Mapping[str, str]) -> list[Entry]:
    """Those that the options ask for; where there are none, that is told."""
    from promptshot.prompts.catalogue import Wanted, chosen
    from promptshot.report.console import note

    labels = tuple(label.strip() for label in re.split("[,，]", wanted["labels"]) if label.strip())
    asked = Wanted(**{**wanted, "labels": labels})  # type: ignore[arg-type]
    listed = chosen(entries, asked, kind)
    if not listed:
        note(f"no {kind[:-1]} is for {asked}" if str(asked) else f"no {kind} here")
    return listed


def _print(entries: Sequence[Entry], to_json: bool, headers: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    from promptshot.report.lists import show_list

    if to_json:
        standard.write(json.dumps([entry.record() for entry in entries], ensure_ascii=False, indent=2) + "\n")
    elif lines:
        show_list(headers, lines)


@templates.command("show", cls=Command)
@click.argument("name", shell_complete=completion.of_shelf("templates"))
@library_flag
def show_template(name: str, folder: Path | None) -> None:
    """The file of a template, and its own example as it is rendered."""
    from promptshot.prompts import library
    from promptshot.prompts.template import example_row
    from promptshot.report.lists import show_file, show_prompts

    template = library.template(name, folder)
    show_file(library.find("templates", name, folder))
    if template.spec.example:
        row = example_row(template)
        words = () if template.spec.ordered else library.verbalizer_of(template, folder).choices(row)
        show_prompts([(row.source, template.render(row, words))])


@verbalizers.command("show", cls=Command)
@click.argument("name", shell_complete=completion.of_shelf("verbalizers"))
@library_flag
def show_verbalizer(name: str, folder: Path | None) -> None:
    """The file of a verbalizer."""
    from promptshot.prompts import library
    from promptshot.report.lists import show_file

    library.verbalizer(name, folder)
    show_file(library.find("verbalizers", name, folder))


@templates.command("path", cls=Command)
@click.argument("name", required=False, shell_complete=completion.of_shelf("templates"))
@library_flag
def template_path(name: str | None, folder: Path | None) -> None:
    """Where the file of a template is; without NAME, the folder of them all."""
    from promptshot.prompts import library

    standard.write_path(library.find("templates", name, folder) if name else library.home("templates", folder))


@verbalizers.command("path", cls=Command)
@click.argument("name", required=False, shell_complete=completion.of_shelf("verbalizers"))
@library_flag
def verbalizer_path(name: str | None, folder: Path | None) -> None:
    """Where the file of a verbalizer is; without NAME, the folder of them all."""
    from promptshot.prompts import library

    standard.write_path(library.find("verbalizers", name, folder) if name else library.home("verbalizers", folder))


@templates.command("schema", cls=Command)
def template_schema() -> None:
    """The JSON Schema of templates, which editors use to complete and check keys.

    \b
    promptshot templates schema > template.schema.json
    and as the first line of a template, for editors with a YAML language server:
    # yaml-language-server: $schema=template.schema.json
    """
    from promptshot.prompts import strict
    from promptshot.prompts.template import TemplateSpec

    standard.write(json.dumps(strict.schema(TemplateSpec, "promptshot template"), indent=2) + "\n")


@verbalizers.command("schema", cls=Command)
def verbalizer_schema() -> None:
    """The JSON Schema of verbalizers, for editors (see: promptshot templates schema --help)."""
    from promptshot.prompts import strict
    from promptshot.prompts.verbalizer import VerbalizerSpec

    standard.write(json.dumps(strict.schema(VerbalizerSpec, "promptshot verbalizer"), indent=2) + "\n")
