"""`promptshot templates lint` and `promptshot verbalizers lint`: what is wrong with files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptshot import shelf
from promptshot.cli import completion
from promptshot.cli.flags import Command, flags, library_flag, model_flag, model_options, option, source_flags
from promptshot.errors import NotFoundError

if TYPE_CHECKING:
    from promptshot.scoring import Tokenizing

lint_flags = flags(
    model_flag("none, and no tokenizer"),
    source_flags,
    option(
        "--format",
        "form",
        type=click.Choice(["text", "json", "github"]),
        default="text",
        show_default=True,
        help="Lines, a JSON array, or annotations of GitHub Actions.",
    ),
    option("--ignore", multiple=True, metavar="CODE", help="Leave out findings of this code."),
    click.option("--explain", metavar="CODE", help="Say what a code means and why it matters."),
    option("-q", "--quiet", is_flag=True, help="No notes and no last line."),
    library_flag,
)


@click.command("lint", cls=Command)
@click.argument("names", nargs=-1, metavar="[FILE|NAME]...", shell_complete=completion.of_shelf("templates"))
@lint_flags
def templates(**given: Any) -> int:
    """Find what is wrong with templates, and what their authors hardly meant.

    FILE may be a folder; without any, all templates of --library or of the shelf are linted, with the verbalizers
    that they name. With -m, a model's tokenizer is asked about the label words too; no weights are loaded. Exits
    with 3 where there is an error or a warning (notes do not count), with 1 where a file cannot be read.
    """
    return _lint("templates", given)


@click.command("lint", cls=Command)
@click.argument("names", nargs=-1, metavar="[FILE|NAME]...", shell_complete=completion.of_shelf("verbalizers"))
@lint_flags
def verbalizers(**given: Any) -> int:
    """Find what is wrong with verbalizers (see: promptshot templates lint --help)."""
    return _lint("verbalizers", given)


def _lint(kind: shelf.Shelf, given: dict[str, Any]) -> int:
    """Lint what was named, show the findings, and give the exit code."""
    from promptshot.authoring.lint.linter import Linter, explain
    from promptshot.report.lint import show_code, show_findings, show_verdict

    if given["explain"]:
        show_code(explain(given["explain"]))
        return 0
    ignored = {explain(code).name for code in given["ignore"]}
    linter = Linter(given["folder"], _tokenizer(given))
    files, apart, found = 0, 0, []
    for path, walked in _files(kind, given["names"], given["folder"]):
        said = linter.template(path) if kind == "templates" else linter.verbalizer(path)
        met = {finding.code for finding in said} if walked else set()
        apart += "other-scorer" in met
        if "wrong-kind" not in met:
            files += 1
            found += [f for f in said if f.code not in ignored and not (walked and f.code == "other-scorer")]
    if given["quiet"]:
        found = [finding for finding in found if finding.severity != "note"]
    show_findings(found, given["form"])
    if given["form"] == "text" and not given["quiet"]:
        show_verdict(files, found, apart)
    if any(finding.code == "unreadable" for finding in found):
        return 1
    return 3 if any(finding.severity != "note" for finding in found) else 0


def _tokenizer(given: dict[str, Any]) -> Tokenizing | None:
    """The tokenizer of the model that was named, if one was."""
    from promptshot import scorers

    return scorers.Loader().tokenizer(model_options(given)) if given["model"] else None


def _files(kind: shelf.Shelf, names: Sequence[str], folder: Path | None) -> Iterator[tuple[Path, bool]]:
    """The files to lint, and whether each was only met in a folder, where templates and verbalizers may both be.

    Where nothing is named, the folder is that of the library or the shelf.
    """
    from promptshot.prompts import library

    if not names:
        yield from _inside(library.home(kind, folder))
    for said in names:
        path = Path(said)
        if library.is_path(said):
            yield from _inside(path) if path.is_dir() else [(path, False)]
            continue
        try:
            yield library.find(kind, said, folder), False
        except NotFoundError as problem:
            hint = f"the folder of that name is {said}/" if path.is_dir() else problem.hint
            raise NotFoundError(problem.what, where=problem.where, hint=hint) from None


def _inside(folder: Path) -> Iterator[tuple[Path, bool]]:
    from promptshot.prompts import library

    yield from ((found, True) for found in sorted(folder.glob("*.y*ml")) if found.suffix in library.SUFFIXES)
