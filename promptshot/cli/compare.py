"""`promptshot compare`: many templates, label words, models and shots on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptshot.cli import completion, suite
from promptshot.cli.flags import (
    Command,
    chat_flags,
    chat_of,
    cluster_of,
    config_flag,
    form_flags,
    form_of,
    labels_flag,
    library_flag,
    long_flags,
    machine_flags,
    model_options,
    names_of,
    option,
    outputs,
    quiet_flag,
    ray_flags,
    read_by,
    read_once,
    reading,
    row_flags,
    scorer_flag,
    tell_sizes,
    template_flag,
    typed,
)
from promptshot.cli.settings import Count, Text
from promptshot.errors import OptionError
from promptshot.files import Named

if TYPE_CHECKING:
    from promptshot.compare.candidates import Candidate
    from promptshot.compare.standings import Comparison
    from promptshot.rows.row import Item
    from promptshot.rows.writer import Form
    from promptshot.runs.inputs import Inputs


@click.command("compare", cls=Command)
@click.argument("files", nargs=-1, metavar="FILE...", shell_complete=completion.file)
@template_flag("As for classify; again for each.  [default: all of the shelf that fit labels and language]")
@option(
    "--verbalizer",
    "verbalizers",
    type=Text(),
    multiple=True,
    shell_complete=completion.of_shelf("verbalizers"),
    metavar="NAME|FILE",
    help="Label words in place of the templates' own; again for each.",
)
@labels_flag
@option(
    "-m",
    "--model",
    "models",
    type=Text(),
    multiple=True,
    shell_complete=completion.model,
    metavar="NAME|PATH",
    help="As for classify; again for each.  [default: the built-in models]",
)
@option(
    "-k",
    "--num-shots",
    "shots",
    type=Count(0),
    multiple=True,
    metavar="K",
    help="Demonstrations before each row, for causal and mlm templates; again for each.",
)
@option("--demos", metavar="FILE", help="Labelled rows to draw demonstrations from.")
@click.option(
    "--suite",
    type=Text(),
    is_eager=True,
    expose_value=False,
    callback=suite.suite,
    envvar="PROMPTSHOT_SUITE",
    shell_complete=completion.of_shelf("suites"),
    metavar="NAME|FILE",
    help="A suite of several tasks (fewclue), or YAML of your own that says which data, templates, models, shots ...",
)
@option("--data", metavar="DIR", help="The folder with a suite's files.  [default: that of the suite]")
@option("--task", "tasks", type=Text(), multiple=True, metavar="NAME", help="Of a suite, only this; again for each.")
@option(
    "--patterns",
    type=click.Choice(["own", "all"]),
    default="own",
    show_default=True,
    help="Of a suite: one template of each scorer, or all, which shows how far they lie apart.",
)
@option(
    "--published",
    type=click.Choice(["main", "all", "none"]),
    default="main",
    show_default=True,
    help="Of a suite: which of the published rows to show.",
)
@option("--dev-thresholds", is_flag=True, help="Of a suite: cut ranked pairs where the dev rows say, not by shares.")
@option("--search", is_flag=True, help="Choose by successive halving on some rows, judge on the rest.")
@option("--dev", metavar="FILE", help="The rows to choose on, with --search.  [default: half of the rows]")
@row_flags
@option("-o", "--output", metavar="FILE", help="The leaderboard; .json, .jsonl, .csv, .tsv; - is stdout.")
@form_flags
@option(
    "--predictions",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Every candidate's predictions; a stopped comparison goes on there.",
)
@ray_flags
@option("--overwrite", is_flag=True, help="Replace existing files, and all of an earlier comparison in DIR.")
@chat_flags
@scorer_flag
@library_flag
@long_flags
@machine_flags
@quiet_flag
@config_flag
def command(files: tuple[str, ...], quiet: bool, **given: Any) -> int:
    """Which template, label words and model sort the rows of FILE best, and how sure is that?

    All combinations are scored on the same labelled rows, every model loaded once. The leaderboard shows accuracy,
    the paired test of each against the best, how far the templates of one model lie apart, and what their ensemble
    comes to. With --search, the best is chosen on some rows and judged on others.

    With a suite of several tasks, the table has a line for each scorer and model beside what others have published:

    \b
    promptshot compare --suite fewclue --data DIR -m FOLDER --scorer mlm,nsp
    """
    if suite.is_several(files):
        return suite.run(quiet, given)
    if not files:
        context = click.get_current_context()
        raise click.MissingParameter(ctx=context, param=next(p for p in context.command.params if p.name == "files"))
    from promptshot.compare import compare
    from promptshot.compare.folder import Folder, remembers
    from promptshot.files import check
    from promptshot.report.comparison import Watch
    from promptshot.rows.read import read as rows_of
    from promptshot.runs.inputs import Inputs, refuse_foreign

    if given["predictions"] and given["output"] and remembers(given["predictions"], given["output"]):
        given["replaces"] = True
    form = _check_options(files, given)
    read_once(given, files)
    folder = Folder(given["predictions"], given["overwrite"]) if given["predictions"] else None
    if folder:
        click.get_current_context().call_on_close(folder.close)
        folder.refuse_within(given["output"])
    inputs = Inputs(files, given["limit"], given["sample"], given["seed"], reading(given, files, quiet))
    items = list(inputs.read({}))
    refuse_foreign(items)
    candidates = _candidates(given, inputs, items, quiet)
    written = [Named("--output", given["output"])] if given["output"] else []
    read = [one for candidate in candidates for one in candidate.recipe.reads]
    check([*written, *(folder.goes if folder else ())], [*read_by(given, files), *read])
    dev = rows_of([given["dev"]], how=inputs.how) if given["dev"] else None
    cluster = cluster_of(given)
    plan = compare.Plan(candidates, items, given["search"], dev, folder, given["seed"], files, cluster)
    watch = Watch(quiet=quiet)
    tell_sizes(given["models"] or (), given["dtype"], quiet)
    try:
        with watch:
            found = compare.compare(plan, watch)
    finally:  # whatever stops it, what is known so far is told
        if watch.comparison:
            form = replace(form, bom=form.delimiter is not None and (form.bom or inputs.marked))
            _tell(watch.comparison, given, form, quiet)
    return 3 if found.failures or any(entry.result.rejects for entry in found.entries) else 0


def _tell(comparison: Comparison, given: dict[str, Any], form: Form, quiet: bool) -> None:
    """Write and show what is known."""
    from promptshot.classify.classifier import chat_unused
    from promptshot.compare.folder import remember, write
    from promptshot.report.comparison import show_comparison
    from promptshot.report.console import note

    standings, folder = comparison.standings(), given["predictions"]
    if given["output"] and standings:
        write(given["output"], comparison.record(standings), form, given["overwrite"] or given.get("replaces", False))
        if folder:
            remember(folder, given["output"])
    if not quiet:
        lines = (chat_unused(entry.result.recipe, entry.result.details) for entry in comparison.entries)
        for line in dict.fromkeys(filter(None, lines)):
            note(line)
        show_comparison(comparison, standings)
        if standings and not comparison.complete:
            note("the same command goes on from here" if folder else suite.GOES_ON)


def _check_options(files: Sequence[str], given: dict[str, Any]) -> Form:
    """How the leaderboard is written; refuses what does not go together, before anything is read."""
    if given["dev"] and not given["search"]:
        raise OptionError("--dev names the rows to choose on", hint="add --search")
    if any(given["shots"]) and not given["demos"]:
        raise OptionError("-k needs rows to draw from", hint="add --demos FILE")
    if given["verbalizers"] and given["labels"]:
        raise OptionError("--labels and --verbalizer both give label words", hint="leave one out")
    if given["verbalizers"] and not given["templates"]:
        raise OptionError("--verbalizer gives label words to templates", hint="name templates: -t NAME")
    overwrite = given["overwrite"] or given.get("replaces", False)
    outputs({"--output": given["output"]}, read_by(given, files), overwrite)
    return form_of(given, one_text=True)


def _candidates(given: dict[str, Any], inputs: Inputs, items: Sequence[Item], quiet: bool) -> list[Candidate]:
    """The candidates that the options describe; what they leave open is looked up and told."""
    from promptshot.classify.choosing import Wish
    from promptshot.compare.candidates import Axes, wished
    from promptshot.report.console import note

    names, models = names_of(given), given["models"]
    axes = Axes(
        model_options(given), models or ("",), given["scorer"], given["shots"], given["demos"], given["seed"], names
    )
    templates = typed("templates", given["templates"], quiet)
    wish = Wish(templates, given["labels"], None, given["scorer"], axes.model, given["folder"], chat=chat_of(given))
    look = inputs.look_back(items, names.usual)
    return wished(look, wish, axes, (lambda line: None) if quiet else note, given["verbalizers"], inputs.how)
