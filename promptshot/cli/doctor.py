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
    called,
    chat_flags,
    is_said,
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
    from promptshot.rows.row import Item

ROWS = 200  # of a file, unless it is said how many
# Options that say which rows, and what is asked of them.
OF_ROWS = (
    *("templates", "labels", "verbalizer", "limit", "sample", "text_field", "label_field", "columns", "encoding"),
    *("no_header", "lines", "chat", "chat_system", "chat_answer", "chat_demos", "folder"),
)


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

    With a FILE of rows it also scores these (the first 200, or -n) in float32, mixed and bfloat16 by turns, without
    demonstrations, and says how fast each is, by how much the margin of the best two labels moves at most, how many
    labels come out otherwise, and which --dtype to take.

    The last line says "sound", "look at this" (exit code 0 for both) or "not sound" (3).
    """
    from promptshot import doctor as doctoring
    from promptshot.errors import ModelError
    from promptshot.precision import others_at_work
    from promptshot.report.console import note
    from promptshot.report.doctor import Steps, show_budgets, show_finding, show_question, show_verdict
    from promptshot.scorers import Loader

    if not files and (said := [name for name in OF_ROWS if is_said(name)]):
        raise OptionError(f"{called(said[0])} is for the rows of a FILE", hint="name one, or leave it out")
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
                    with steps.paused():
                        show_finding("" if number else kind, finding)
                if tune:
                    timed = list(doctoring.tune(kind, own, loader))
                    with steps.paused():
                        show_budgets(kind, timed)
            except ModelError as problem:
                refused[kind] = problem
    for kind, finding in doctoring.refusals(refused, tried, verbose):
        found.append((kind, finding))
        show_finding(kind, finding)
    verdict, why = doctoring.verdict([finding for _, finding in found], refused)
    precisions = _precisions(*asked, busy) if asked and verdict != "not sound" else {}
    if asked and not precisions:
        note("the rows are not compared, for the checkpoint is not sound")
    show_verdict(verdict, why)
    if as_json:
        findings = [{"scorer": kind, **vars(finding)} for kind, finding in found]
        told = {"model": options.model, "verdict": verdict, "why": why, "findings": findings, **precisions}
        standard.write(json.dumps(told, ensure_ascii=False, indent=2) + "\n")
    return 3 if verdict == "not sound" else 0


def _asked(files: tuple[str, ...], given: dict[str, Any]) -> tuple[Recipe, list[Item]]:
    """The recipe that the options describe, and the rows of the files; raises a PromptshotError."""
    from promptshot.cli.recipes import recipe_of
    from promptshot.rows.once import once
    from promptshot.runs.inputs import Inputs, refuse_foreign
    from promptshot.runs.run import refuse_lacking

    if given["dtype"] != "auto":
        raise OptionError("--dtype names one precision, and with a FILE all are compared", hint="leave one out")
    limit = given["limit"] if given["limit"] or given["sample"] else ROWS
    paths = tuple(map(once, files))
    inputs = Inputs(paths, limit, given["sample"], given["seed"], reading(given, paths, quiet=False))
    refuse_foreign(inputs.peek())
    look = inputs.look(names_of(given).usual)
    recipe, _ = recipe_of(given, look, lambda one: inputs.peek_rows(one.columns), inputs.how, quiet=False)
    recipe.check()
    refuse_lacking(recipe, inputs)
    return recipe, list(inputs.read(recipe.columns))


def _precisions(recipe: Recipe, rows: list[Item], busy: bool) -> dict[str, Any]:
    """What the precisions come to on the rows, which is shown; raises a PromptshotError."""
    from promptshot import precision
    from promptshot.report.console import note
    from promptshot.report.doctor import Steps, show_precisions

    if busy:
        note("other work runs on this machine: how fast each precision is means little now")
    with Steps() as steps:
        found = precision.measure(recipe, rows, steps.of(recipe.scorer))
    show_precisions(recipe.name, found)
    return {"template": recipe.name, **found.record(), "busy": busy}
