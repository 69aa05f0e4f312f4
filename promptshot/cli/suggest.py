"""`promptshot suggest`: label words from rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptshot import standard
from promptshot.cli import completion
from promptshot.cli.flags import (
    Command,
    chat_flags,
    config_flag,
    labels_flag,
    library_flag,
    model_flags,
    option,
    outputs,
    quiet_flag,
    read_by,
    reading,
    row_flags,
    scorer_flag,
    tell_sizes,
    template_flag,
    verbalizer_flag,
)
from promptshot.cli.settings import Count
from promptshot.errors import OptionError

if TYPE_CHECKING:
    from promptshot.authoring.suggest import Suggestion
    from promptshot.classify.recipe import Recipe
    from promptshot.runs.inputs import Inputs

MOST = 64  # words a label that can be asked for


@click.command("suggest", cls=Command)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", shell_complete=completion.file)
@template_flag("As for classify, one.  [default: chosen by labels and language]")
@labels_flag
@verbalizer_flag("The present label words, in place of the template's own.")
@option("--per-label", type=Count(1), metavar="N", help="So many words a label.  [default: 1, 2, 4 or 8, as rows say]")
@option("--unlabelled", metavar="FILE", help="More rows that find words, whatever labels they carry.")
@option("--candidates", metavar="FILE", help="The words to choose from, one a line, in place of the model's and ours.")
@option("--prune", is_flag=True, help="Drop the weak ones of the present words instead.")
@option("-o", "--output", metavar="FILE", help="The verbalizer (.yaml); - is stdout.  [default: stdout]")
@option("--summary", metavar="FILE", help="Everything as JSON; - is stdout.")
@option("--overwrite", is_flag=True, help="Replace what is written, where it exists.")
@row_flags
@chat_flags
@scorer_flag
@library_flag
@model_flags
@quiet_flag
@config_flag
def command(files: tuple[str, ...], quiet: bool, **given: Any) -> int:
    """Find label words for a template from the rows of FILE, and judge them.

    Of each label's rows half find words, at random (--seed), and half judge them: no row does both. Words that the
    model finds likely at the blank, words of the shelf and words of the rows are scored in the rows that find; those
    are taken that are likelier in one label's rows than in the others'. Rows without a label find too, by what the
    present words make of them. The verbalizer goes to stdout or --output; the report, which has the accuracy of the
    present words beside that of the suggested ones, to stderr.

    \b
    promptshot suggest train.jsonl -t zh-sentiment-mlm -o words.yaml
    promptshot classify test.jsonl -t zh-sentiment-mlm --verbalizer words.yaml
    promptshot suggest train.jsonl -t zh-news-words-mlm --prune
    """
    from promptshot.files import STREAM, put
    from promptshot.report.suggest import show_suggestion
    from promptshot.rows.once import once, refuse_twice
    from promptshot.runs.inputs import Inputs
    from promptshot.runs.record import as_json

    _check_options(given)
    named = {f"--{name}": given[name] for name in ("unlabelled", "candidates") if given[name]}
    refuse_twice([*(("FILE", file) for file in files), *named.items()])
    output = given["output"] if given["output"] is not None else STREAM
    written = {"--output": output, "--summary": given["summary"]}
    beside = read_by(given, [*files, *named.values()])
    outputs(written, beside, given["overwrite"])
    for name in ("unlabelled", "candidates"):
        given[name] = once(given[name]) if given[name] else None
    inputs = Inputs(files, given["limit"], given["sample"], given["seed"], reading(given, files, quiet))
    found = _suggestion(inputs, given, quiet)
    if not quiet:
        show_suggestion(found)
    if output == STREAM:
        standard.write(found.yaml())
    else:
        put(output, found.yaml(), given["overwrite"])
    if given["summary"]:
        put(given["summary"], as_json(found.record()), given["overwrite"])
    return 3 if found.rows.left_out else 0


def _check_options(given: dict[str, Any]) -> None:
    """Refuse what does not go together, before anything is read."""
    clash = [f"--{name.replace('_', '-')}" for name in ("per_label", "unlabelled", "candidates") if given[name]]
    if given["prune"] and clash:
        raise OptionError(
            f"--prune drops words of those there are; {clash[0]} is for finding others", hint="leave one out"
        )
    if len(given["templates"]) > 1:
        raise OptionError("label words are for one template", hint="name one: -t NAME")
    if (given["per_label"] or 0) > MOST:
        raise OptionError(f"--per-label: at most {MOST} words a label", hint="lower it")
    if given["output"] not in (None, "-") and Path(given["output"]).suffix not in (".yaml", ".yml"):
        raise OptionError(f"--output {given['output']}: a verbalizer is a .yaml file", hint="name it so")


def _suggestion(inputs: Inputs, given: dict[str, Any], quiet: bool) -> Suggestion:
    from promptshot.authoring import suggest, wordlists
    from promptshot.report.console import doing
    from promptshot.rows import read
    from promptshot.runs.inputs import refuse_foreign

    recipe = _recipe(inputs, given, quiet)
    items = list(inputs.read(recipe.columns))
    refuse_foreign(items)
    words = wordlists.read(given["candidates"]) if given["candidates"] else ()
    more = read.read([given["unlabelled"]], recipe.columns, inputs.how) if given["unlabelled"] else ()
    tell_sizes([recipe.model], recipe.options.dtype, quiet)
    with doing(quiet) as watch:
        if given["prune"]:
            return suggest.prune(recipe, items, seed=given["seed"], watch=watch)
        how = {"candidates": words, "per_label": given["per_label"], "seed": given["seed"]}
        return suggest.suggest(recipe, items, more, **how, watch=watch)


def _recipe(inputs: Inputs, given: dict[str, Any], quiet: bool) -> Recipe:
    from promptshot.cli.flags import names_of
    from promptshot.cli.recipes import recipe_of

    look = inputs.look(names_of(given).usual)
    recipe, _ = recipe_of(given, look, lambda one: inputs.peek_rows(one.columns), inputs.how, quiet)
    return recipe
