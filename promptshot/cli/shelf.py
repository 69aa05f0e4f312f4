"""`promptshot templates` and `promptshot verbalizers`: what is on the shelf."""

from __future__ import annotations

import json
from pathlib import Path

import click

from promptshot import library, spec, standard
from promptshot.cli import completion
from promptshot.cli.flags import Command, library_flag


@click.group()
def templates() -> None:
    """The templates on the shelf, and the tools to write your own."""


@click.group()
def verbalizers() -> None:
    """The verbalizers on the shelf, and the tools to write your own."""


@templates.command("list", cls=Command)
@library_flag
def list_templates(folder: Path | None) -> None:
    """Names, scorers and what each template is for."""
    from promptshot import report

    found = [library.template(name, folder) for name in library.names("templates", folder)]
    lines = [(template.name, template.spec.scorer, template.spec.about) for template in found]
    report.listing(("template", "scorer", "about"), lines)


@verbalizers.command("list", cls=Command)
@library_flag
def list_verbalizers(folder: Path | None) -> None:
    """Names, number of labels, and the labels themselves."""
    from promptshot import report
    from promptshot.errors import shortlist

    found = [library.verbalizer(name, folder) for name in library.names("verbalizers", folder)]
    lines = [(v.name, str(len(v.names)), shortlist(v.names, 6), v.about) for v in found]
    report.listing(("verbalizer", "labels", "which", "about"), lines)


@templates.command("show", cls=Command)
@click.argument("name", shell_complete=completion.of_shelf("templates"))
@library_flag
def show_template(name: str, folder: Path | None) -> None:
    """The file of a template, and its own example as it is rendered."""
    from promptshot import report
    from promptshot.prompts import example_row

    template = library.template(name, folder)
    report.file(library.find("templates", name, folder))
    if template.spec.example:
        row = example_row(template)
        words = () if template.spec.ordered else library.verbalizer_of(template, folder).choices(row)
        report.prompts([(row.source, template.render(row, words))])


@verbalizers.command("show", cls=Command)
@click.argument("name", shell_complete=completion.of_shelf("verbalizers"))
@library_flag
def show_verbalizer(name: str, folder: Path | None) -> None:
    """The file of a verbalizer."""
    from promptshot import report

    library.verbalizer(name, folder)
    report.file(library.find("verbalizers", name, folder))


@templates.command("path", cls=Command)
@click.argument("name", required=False, shell_complete=completion.of_shelf("templates"))
@library_flag
def template_path(name: str | None, folder: Path | None) -> None:
    """Where the file of a template is; without NAME, the folder of them all."""
    standard.write_path(library.find("templates", name, folder) if name else library.home("templates", folder))


@verbalizers.command("path", cls=Command)
@click.argument("name", required=False, shell_complete=completion.of_shelf("verbalizers"))
@library_flag
def verbalizer_path(name: str | None, folder: Path | None) -> None:
    """Where the file of a verbalizer is; without NAME, the folder of them all."""
    standard.write_path(library.find("verbalizers", name, folder) if name else library.home("verbalizers", folder))


@templates.command("schema", cls=Command)
def template_schema() -> None:
    """The JSON Schema of templates, which editors use to complete and check keys.

    \b
    promptshot templates schema > template.schema.json
    and as the first line of a template, for editors with a YAML language server:
    # yaml-language-server: $schema=template.schema.json
    """
    from promptshot.prompts import TemplateSpec

    standard.write(json.dumps(spec.schema(TemplateSpec, "promptshot template"), indent=2) + "\n")


@verbalizers.command("schema", cls=Command)
def verbalizer_schema() -> None:
    """The JSON Schema of verbalizers, for editors (see: promptshot templates schema --help)."""
    from promptshot.verbalizer import VerbalizerSpec

    standard.write(json.dumps(spec.schema(VerbalizerSpec, "promptshot verbalizer"), indent=2) + "\n")
