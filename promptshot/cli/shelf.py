"""`promptshot templates` and `promptshot verbalizers`: what is on the shelf."""

from __future__ import annotations

from pathlib import Path

import click

from promptshot import library
from promptshot.cli.flags import Command, library_flag


@click.group()
def templates() -> None:
    """The templates on the shelf."""


@templates.command("list", cls=Command)
@library_flag
def list_templates(folder: Path | None) -> None:
    """Names, scorers and what each template is for."""
    from promptshot import report

    found = [library.template(name, folder) for name in library.names("templates", folder)]
    lines = [(template.name, template.spec.scorer, template.spec.about) for template in found]
    report.listing(("template", "scorer", "about"), lines)


@templates.command("show", cls=Command)
@click.argument("name")
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


@click.group()
def verbalizers() -> None:
    """The verbalizers on the shelf."""


@verbalizers.command("list", cls=Command)
@library_flag
def list_verbalizers(folder: Path | None) -> None:
    """Names, number of labels, and the labels themselves."""
    from promptshot import report
    from promptshot.errors import shortlist

    found = [library.verbalizer(name, folder) for name in library.names("verbalizers", folder)]
    lines = [(v.name, str(len(v.names)), shortlist(v.names, 6), v.about) for v in found]
    report.listing(("verbalizer", "labels", "which", "about"), lines)


@verbalizers.command("show", cls=Command)
@click.argument("name")
@library_flag
def show_verbalizer(name: str, folder: Path | None) -> None:
    """The file of a verbalizer."""
    from promptshot import report

    library.verbalizer(name, folder)
    report.file(library.find("verbalizers", name, folder))
