"""`promptshot classify`: label the rows of files."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptshot.classify.calibrate import METHODS
from promptshot.cli import completion
from promptshot.cli.flags import (
    Command,
    calibrate_flags,
    chat_flags,
    cluster_of,
    config_flag,
    demo_flags,
    errors_flag,
    errors_of,
    form_flags,
    labels_flag,
    library_flag,
    long_flags,
    model_flags,
    names_of,
    option,
    output_of,
    predictions_flag,
    quiet_flag,
    ray_flags,
    read_by,
    read_once,
    reading,
    row_flags,
    scorer_flag,
    several_flags,
    spelling_flag,
    tell_sizes,
    template_flag,
    verbalizer_flag,
)
from promptshot.cli.recipes import calibrated, demo_plan, recipe_of
from promptshot.cli.settings import Count, Counts, Fields, fields
from promptshot.errors import InputError, many
from promptshot.files import Named

if TYPE_CHECKING:
    from promptshot.classify.recipe import Recipe
    from promptshot.classify.suited import Guess
    from promptshot.runs.inputs import Inputs
    from promptshot.runs.outputs import Outputs

PREVIEWED = 3  # prompts shown by --dry-run


@click.command("classify", cls=Command)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", shell_complete=completion.file)
@template_flag(
    "A name on the shelf, a YAML file, or a text with {mask} and {text}; several make an ensemble.  "
    "[default: chosen by labels and language]"
)
@labels_flag
@verbalizer_flag("Label words other than the template's own.")
@option("--save-template", type=click.Path(path_type=Path), metavar="FILE", help="Write down the template in use.")
@predictions_flag
@form_flags
@option(
    "--fields",
    type=Fields(),
    metavar="A,B,...",
    help="What is written of each row, in this order; p_* is all that begins so.  [default: all]",
)
@option("--no-scores", "scores", is_flag=True, default=True, flag_value=False, help="Only labels and the probability.")
@option("--overwrite", is_flag=True, help="Replace the files that are written, where they exist.")
@option("--resume/--no-resume", default=True, show_default=True, help="Go on with an output of the very same run.")
@row_flags
@several_flags
@spelling_flag
@option("--ignore-labels", is_flag=True, help="Predict only, whatever labels the rows carry.")
@option("--strict-labels", is_flag=True, help="Reject rows whose own label is none of ours.")
@option(
    "--on-error",
    type=click.Choice(["reject", "fail"]),
    default="reject",
    show_default=True,
    help="Leave bad rows out and go on, or stop at the first.",
)
@option(
    "-k",
    "--num-shots",
    type=Counts(),
    metavar="K,...",
    help="Demonstrations before each row (causal, mlm); several numbers (0,4,8) are one run each.  "
    "[default: 4 of --demos]",
)
@option(
    "--demo-seeds",
    type=Count(1),
    metavar="N",
    help="Draw them N times, with --seed and the next ones: one run each, and the mean over them.",
)
@option("--demos", metavar="FILE", help="Labelled rows to draw demonstrations from.")
@option(
    "--demos-from-input", "set_aside", type=Count(1), metavar="N", help="Draw them from N labelled rows of the input."
)
@demo_flags
@option(
    "--dev",
    metavar="FILE",
    help="Labelled rows to calibrate by or to fit the thresholds of several labels to, or rows that fix those of an "
    "NSP pair template.",
)
@option(
    "--calibrate",
    type=click.Choice(METHODS),
    default="none",
    show_default=True,
    help="Take the bias of prompt and words out of the scores (see: promptshot calibrate --help).",
)
@calibrate_flags
@option(
    "--no-calibration-scores",
    "calibration_scores",
    is_flag=True,
    default=True,
    flag_value=False,
    help="Do not ask prompts without a text for the run record.",
)
@option(
    "--whiten",
    metavar="FILE",
    help="Whiten the vectors of embed by those of the texts in FILE; no labels are read, and it may be the input.",
)
@ray_flags
@option("--summary", metavar="FILE", help="Metrics as JSON; - is stdout.")
@errors_flag
@option("--record", metavar="FILE", help="The run record.  [default: OUTPUT.run.json]")
@option("--rejects", metavar="FILE", help="Rows that failed; - is stdout.  [default: OUTPUT.rejects.jsonl]")
@chat_flags
@scorer_flag
@library_flag
@long_flags
@model_flags
@option("--dry-run", is_flag=True, help="Show the first prompts and stop; no model is loaded.")
@quiet_flag
@option("-v", "--verbose", is_flag=True, help="Also the checkpoint, the machine and the label words.")
@config_flag
def command(files: tuple[str, ...], dry_run: bool, quiet: bool, **given: Any) -> int:
    """Label the rows of FILE (JSONL, JSON, CSV, TSV, .gz, or - for stdin).

    Predictions go to stdout or --output as rows with the fields they came with; the report goes to
    stderr. Rows with a label are counted for accuracy, rows without one are only predicted. Every
    option can also be given as PROMPTSHOT_NAME in the environment.
    """
    from promptshot.authoring import new
    from promptshot.runs.inputs import Inputs
    from promptshot.runs.outputs import Outputs

    read_once(given, files)
    files = _reread(given, files)
    names = ("summary", "record", "rejects", "overwrite", "resume", "format", "bom", "scores", "calibration_scores")
    chosen = fields(given["fields"]) if given["fields"] is not None else ()
    errors, surest = errors_of(given["errors"])
    said = {name: given[name] for name in names}
    outputs = Outputs(output_of(given), fields=chosen, errors=errors, surest=surest or 0, **said)
    saved = [Named("--save-template", str(given["save_template"]))] if given["save_template"] else []
    outputs.check(read_by(given, files), saved)
    inputs = Inputs(files, given["limit"], given["sample"], given["seed"], reading(given, files, quiet))
    recipe, found = _recipe(given, inputs, quiet)
    if given["save_template"]:
        outputs.check([*read_by(given, files), *recipe.reads], saved)
        new.save(given["save_template"], found, given["overwrite"])
    if dry_run:
        return _dry_run(recipe, inputs)
    return _run(recipe, inputs, outputs, given, quiet)


def _reread(given: dict[str, Any], files: tuple[str, ...]) -> tuple[str, ...]:
    """The files; pipes among them are kept where they are read again: by several runs, or to find
    demonstrations in them."""
    from promptshot.rows.once import once

    several = len(given["num_shots"] or ()) > 1 or (given["demo_seeds"] or 1) > 1
    return tuple(map(once, files)) if several or given["set_aside"] else files


def _recipe(given: dict[str, Any], inputs: Inputs, quiet: bool) -> tuple[Recipe, list[Guess]]:
    """The recipe that the options describe, and what it is made from; what they leave open is looked up and told."""
    taken = {"labels_ignored": given["ignore_labels"], "labels_strict": given["strict_labels"]}
    recipe, found = recipe_of(
        given,
        inputs.look(names_of(given).usual),
        lambda recipe: inputs.peek_rows(recipe.columns),
        inputs.how,
        quiet,
        demo_plan(given),
        spelled_as=given["spelled_as"],
        **taken,
    )
    recipe = replace(_set_aside(recipe, inputs, quiet), abstain_below=given["abstain_below"])
    others = tuple(replace(other, whiten=given["whiten"]) for other in recipe.others)
    recipe = replace(recipe, whiten=given["whiten"], others=others)
    return calibrated(recipe, given), found


def _set_aside(recipe: Recipe, inputs: Inputs, quiet: bool) -> Recipe:
    """The recipe with rows of the input for demonstrations, where that was asked for; which is told."""
    from promptshot.report.console import note

    plan = recipe.demos
    if plan is None or not plan.set_aside:
        return recipe
    plan = replace(plan, path=inputs.set_aside([one.task for one in (recipe, *recipe.others)], plan))
    if not quiet:
        rows = many(plan.set_aside, "labelled row is", "labelled rows are")
        note(f"{rows} set aside for demonstrations, and not scored (seed {plan.seed})")
    return replace(recipe, demos=plan, others=tuple(replace(other, demos=plan) for other in recipe.others))


def _run(recipe: Recipe, inputs: Inputs, outputs: Outputs, given: dict[str, Any], quiet: bool) -> int:
    from promptshot.report.progress import Watch
    from promptshot.report.series import show_series
    from promptshot.runs.run import run_all

    recipes = recipe.drawn(given["num_shots"] or [recipe.shots], _seeds(given))
    total = inputs.total
    tell_sizes([recipe.model], recipe.options.dtype, quiet)
    cluster = cluster_of(given)
    first = "waiting for the actors of the cluster" if cluster else "loading the model"
    with Watch(total and total * len(recipes), quiet, given["verbose"], first) as watch:
        series = run_all(recipes, inputs, outputs, watch, given["on_error"], cluster)
    if not quiet:
        surest = None if given["errors"] is None or outputs.errors else outputs.surest
        show_series(series, examples=outputs.output is None, surest=surest)
    return 3 if series.rejected else 0


def _seeds(given: dict[str, Any]) -> range:
    """With which demonstrations are drawn."""
    return range(given["seed"], given["seed"] + (given["demo_seeds"] or 1))


def _dry_run(recipe: Recipe, inputs: Inputs) -> int:
    """The first prompts as they would be scored; bad rows are told as such."""
    from promptshot.classify.questions import Questions
    from promptshot.report.lists import show_prompts
    from promptshot.rows.row import Reject

    recipe.check()
    questions = Questions.of_recipe(recipe)
    shown = []
    for item in islice(inputs.read(recipe.columns), PREVIEWED):
        if isinstance(item, Reject):
            raise InputError(item.reason, where=item.source)
        shown += [(item.source, prompt) for prompt in questions.of(item)]
    show_prompts(shown)
    return 0
