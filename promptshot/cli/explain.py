"""`promptshot explain`: why a row gets its label."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from promptshot import standard
from promptshot.classify.calibrate import METHODS, OF_RUN
from promptshot.cli import completion
from promptshot.cli.flags import (
    Command,
    chat_flags,
    column_flags,
    config_flag,
    demo_flags,
    is_said,
    labels_flag,
    library_flag,
    model_flags,
    names_of,
    option,
    quiet_flag,
    reading,
    scorer_flag,
    seed_flag,
    tell_sizes,
    template_flag,
    verbalizer_flag,
)
from promptshot.cli.recipes import calibrated, demo_plan, recipe_of
from promptshot.cli.settings import Count
from promptshot.errors import InputError, OptionError, RowError, shortened
from promptshot.kinds import FIRST

if TYPE_CHECKING:
    from promptshot.classify.recipe import Recipe
    from promptshot.rows.row import Row
    from promptshot.runs.inputs import Inputs


@click.command("explain", cls=Command)
@click.argument("said", metavar="FILE|TEXT", shell_complete=completion.file)
@option("--row", "number", type=Count(1), default=1, show_default=True, metavar="N", help="Which row of a FILE.")
@template_flag("As for classify; several are an ensemble.  [default: chosen by labels and language]")
@labels_flag
@verbalizer_flag("Label words other than the template's own.")
@option("-k", "--num-shots", type=Count(0), metavar="K", help="Demonstrations before the row (causal, mlm).")
@option("--demos", metavar="FILE", help="Labelled rows to draw demonstrations from.")
@demo_flags
@option(
    "--calibrate",
    type=click.Choice([name for name in METHODS if name not in OF_RUN]),
    default="none",
    show_default=True,
    help="As for classify, by prompts that say nothing or by the rows of --dev.",
)
@option(
    "--dev",
    metavar="FILE",
    help="Labelled rows to calibrate by, or rows that fix the thresholds of an NSP pair template.",
)
@option("--json", "to_stdout", is_flag=True, help="Everything as JSON, and no picture.")
@seed_flag
@column_flags
@chat_flags
@scorer_flag
@library_flag
@model_flags
@quiet_flag
@config_flag
def command(said: str, number: int, to_stdout: bool, quiet: bool, **given: Any) -> int:
    """Why does a row get its label?

    The row is a TEXT, a JSON object, or row --row of FILE (- is stdin). Each of its clauses is left out in turn, and
    each demonstration, all scored together with the row itself: what changes is drawn as a bar. Label words are shown
    with their scores and their tokens' log-probabilities, the templates of an ensemble with what each says alone.

    \b
    promptshot explain "房间干净，早餐也不错，就是有点吵。" -t zh-sentiment-mlm
    promptshot explain reviews.jsonl --row 7
    promptshot explain reviews.jsonl -t zh-sentiment-causal --demos train.jsonl -k 4 --json
    """
    from promptshot.authoring.explain import explain
    from promptshot.classify.classifier import Classifier
    from promptshot.report.console import doing, note
    from promptshot.report.explain import show_explanation
    from promptshot.runs.record import as_json

    recipe, row = _asked(said, number, given, quiet or to_stdout)
    recipe = calibrated(recipe, given)
    tell_sizes([recipe.model], recipe.options.dtype, quiet or to_stdout)
    with doing(quiet or to_stdout) as watch:
        watch("loading the model")
        classifier = Classifier.of(recipe)
        watch("scoring")
        found = explain(classifier, row)
    if classifier.chat_unused and not (quiet or to_stdout):
        note(classifier.chat_unused)
    if to_stdout:
        standard.write(as_json(found.record()))
    else:
        show_explanation(found)
    return 0


def _asked(said: str, number: int, given: dict[str, Any], quiet: bool) -> tuple[Recipe, Row]:
    """The recipe that the options describe, and the row that is meant; raises a PromptshotError."""
    from promptshot.authoring.preview import is_file, rows_of
    from promptshot.prompts.template import Template, TemplateSpec
    from promptshot.rows.once import once, refuse_twice
    from promptshot.rows.streams import PLAIN
    from promptshot.runs.inputs import Inputs, look_at

    for name in ("demos", "dev"):
        given[name] = once(given[name]) if given[name] else None
    plan, names = demo_plan(given), names_of(given)
    if said == "-" or is_file(said):
        refuse_twice([("FILE", said), *((f"--{name}", given[name]) for name in ("demos", "dev") if given[name])])
        path = once(said)
        inputs = Inputs([path], how=reading(given, [path], quiet))
        look = inputs.look(names.usual)
        recipe, _ = recipe_of(given, look, lambda one: inputs.peek_rows(one.columns), inputs.how, quiet, plan)
        return recipe, _numbered(inputs, number, recipe)
    if is_said("number"):
        raise OptionError(f"--row is for a file, and {shortened(said)!r} is none", hint="leave it out")
    (row,) = rows_of([said], Template.of(TemplateSpec(scorer=FIRST, text="{text}{mask}"), "text"))  # whatever reads it
    look = look_at([row], names.usual)
    recipe, _ = recipe_of(given, look, lambda one: [replace(row, columns=one.columns)], PLAIN, quiet, plan)
    if said.lstrip().startswith("{"):
        return recipe, replace(row, columns=recipe.columns)
    (row,) = rows_of([said], recipe.template)
    return recipe, row


def _numbered(inputs: Inputs, number: int, recipe: Recipe) -> Row:
    """The row of that number; raises InputError where there is none, RowError where it is broken."""
    from promptshot.rows.row import Reject

    count = 0
    for item in inputs.read(recipe.columns):
        count += 1
        if count == number:
            if isinstance(item, Reject):
                raise RowError(item.reason, where=item.source)
            return item
    raise InputError(f"no row {number}: there are {count:,}", where=inputs.paths[0], hint=f"--row 1 to {count}")
