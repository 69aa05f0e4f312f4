"""`promptshot doctor`: is a checkpoint sound on this machine, and in which precision?"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from promptshot import standard
from promptshot.cli import completion
from promptshot.cli.flags import (
    Command,
    chat_flags,
    labels_flag,
    library_flag,
    model_flags,
    model_options,
    names_of,
    option,
    reading,
    row_flags,
    tell_sizes,
    template_flag,
    verbalizer_flag,
)
from promptshot.errors import OptionError
from promptshot.kinds import KINDS, head_for

if TYPE_CHECKING:
    from promptshot.classify.recipe import Recipe
    from promptshot.rows.row import Row

ROWS = 200  # of a file, unless it is said how many


@click.command("doctor", cls=Command)
@click.argument("files", nargs=-1, metavar="[FILE]...", shell_complete=completion.file)
@template_flag("As for classify, with a FILE.  [default: chosen by labels and language]")
@labels_flag
@verbalizer_flag("Label words other than the template's own.")
@row_flags
@chat_flags
@library_flag
@model_flags
@option("--scorer", type=click.Choice(list(KINDS)), help="Only this one.  [default: all it has a head for]")
@option("--tune", is_flag=True, help="Time several batch budgets and say which to set.")
@option("--json", "as_json", is_flag=True, help="The findings as JSON too, on standard output.")
@option("-v", "--verbose", is_flag=True, help="Also the names of the tensors that a head lacks.")
def command(files: tuple[str, ...], tune: bool, as_json: bool, verbose: bool, **given: Any) -> int:
    """Is a checkpoint sound on this machine?

    Looks for its heads, asks it questions with known answers (random weights get half of them right), and scores
    the same prompts alone and in a batch, the fast and the plain way, in lower precision and in float32.

    With a FILE of rows it also scores these (the first 200) in float32, mixed and bfloat16 by turns, and says by how
    much margins move, how many labels come out otherwise, how fast each is, and which to take.

    The last line says "sound", "look at this" (exit code 0 for both) or "not sound" (3).
    """
    from promptshot import doctor as doctoring
    from promptshot.errors import ModelError
    from promptshot.precision import others_at_work
    from promptshot.report.doctor import Steps, show_budgets, show_finding, show_question, show_verdict
    from promptshot.scorers import Loader

    asked, busy = _asked(files, given) if files else None, others_at_work()
    scorer = asked[0].scorer if asked else given["scorer"]
    options = model_options(given)
    heads = [kind.name for kind in KINDS.values() if not kind.headless and (options.model or kind.builtin)]
    kinds = [scorer] if scorer else heads
    loader = Loader(keeps=False)
    show_question(options.model, kinds)
    tell_sizes([options.model], options.dtype)
    found: list[tuple[str, doctoring.Finding]] = []
    refused: dict[str, ModelError] = {}
    tried: list[str] = []
    with Steps() as steps:
        for kind in doctoring.asked(kinds, refused, alone=scorer is not None):
            tried.append(kind)
            try:
                own = replace(options, head=head_for(kind, options.head))
                for number, finding in enumerate(doctoring.examine(kind, own, loader, steps.of(kind))):
                    found.append((kind, finding))
                    show_finding("" if number else kind, finding)
                if tune:
                    show_budgets(kind, list(doctoring.tune(kind, own, loader)))
            except ModelError as problem:
                refused[kind] = problem
    for kind, finding in doctoring.refusals(refused, tried, verbose):
        found.append((kind, finding))
        show_finding(kind, finding)
    verdict, why = doctoring.verdict([finding for _, finding in found], refused)
    precisions = _precisions(*asked, busy) if asked and verdict != "not sound" else {}
    show_verdict(verdict, why)
    if as_json:
        findings = [{"scorer": kind, **vars(finding)} for kind, finding in found]
        told = {"model": options.model, "verdict": verdict, "why": why, "findings": findings, **precisions}
        standard.write(json.dumps(told, ensure_ascii=False, indent=2) + "\n")
    return 3 if verdict == "not sound" else 0


def _asked(files: tuple[str, ...], given: dict[str, Any]) -> tuple[Recipe, list[Row]]:
    """The recipe that the options describe, and the rows of the files; raises a PromptshotError."""
    from promptshot.cli.recipes import recipe_of
    from promptshot.errors import InputError
    from promptshot.rows.once import once
    from promptshot.rows.row import Row
    from promptshot.runs.inputs import Inputs, refuse_foreign

    if given["dtype"] != "auto":
        raise OptionError("--dtype names one precision, and with a FILE all are compared", hint="leave one out")
    limit = given["limit"] if given["limit"] or given["sample"] else ROWS
    paths = tuple(map(once, files))
    inputs = Inputs(paths, limit, given["sample"], given["seed"], reading(given, paths, quiet=False))
    refuse_foreign(inputs.peek())
    look = inputs.look(names_of(given).usual)
    recipe, _ = recipe_of(given, look, lambda one: inputs.peek_rows(one.columns), inputs.how, quiet=False)
    recipe.check()
    rows = [item for item in inputs.read(recipe.columns) if isinstance(item, Row)]
    if not rows:
        raise InputError("no row can be used", where=files[0])
    return recipe, rows


def _precisions(recipe: Recipe, rows: list[Row], busy: bool) -> dict[str, Any]:
    """What the precisions come to on the rows, which is shown; raises a PromptshotError."""
    from promptshot import precision
    from promptshot.report.console import note
    from promptshot.report.doctor import Steps, show_precisions

    if busy:
        note("other work runs on this machine: how fast each precision is means little now")
    with Steps() as steps:
        found = precision.measure(recipe, rows, steps.of(recipe.scorer))
    best, why = precision.advice(found)
    show_precisions(recipe.name, found, best, why)
    return {"template": recipe.name, "precisions": [vars(one) for one in found], "precision": best, "busy": busy}
