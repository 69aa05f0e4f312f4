"""The command line: parse, call, report. The one place where errors become exit codes.

Exit codes: 0 done; 1 an error; 2 wrong usage; 3 done, but there is something to look at (rejected rows, a failed
check); 130 interrupted (143: by SIGTERM).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from promptshot import __version__, library
from promptshot.errors import InputError, OptionError, PromptshotError, did_you_mean
from promptshot.interrupt import Terminated

if TYPE_CHECKING:
    from promptshot.journal import Outputs
    from promptshot.prompts import Template
    from promptshot.recipe import DemoPlan, Recipe
    from promptshot.run import Inputs
    from promptshot.scorers import ModelOptions

F = TypeVar("F", bound=Callable[..., Any])
PREVIEWED = 3  # prompts shown by --dry-run


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(run_command(arguments))


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    try:
        code = cli.main(arguments, prog_name="promptshot", standalone_mode=False)
        return int(code or 0)
    except PromptshotError as problem:
        return _failed(str(problem))
    except click.ClickException as problem:
        problem.show()
        return problem.exit_code
    except click.Abort:
        return _interrupted(130)
    except OSError as problem:
        return _failed(f"{problem.filename or 'standard output'}: {problem.strerror or problem}")


def _failed(message: str) -> int:
    from promptshot import report

    report.error(message)
    return 1


def _interrupted(code: int) -> int:
    click.echo("interrupted", err=True)
    return code


# ------------------------------------------------------------------ options


def option(*names: str, **settings: Any) -> Callable[[F], F]:
    """A click option that the variable PROMPTSHOT_NAME also gives."""
    name = max(names, key=len).lstrip("-").split("/")[0].replace("-", "_").upper()
    return click.option(*names, envvar=f"PROMPTSHOT_{name}", **settings)


def _config(context: click.Context, parameter: click.Parameter, path: str | None) -> None:
    """Options from a YAML file become defaults; what the command line says goes first."""
    if path is None:
        return
    from promptshot import spec

    values, lines = spec.load_yaml(Path(path), InputError)
    if not isinstance(values, dict):
        raise InputError("not a mapping of options to values", where=path, hint="write one option a line: limit: 100")
    known = {_flag(p): p for p in context.command.params if p.name != "config"}
    found: dict[str, Any] = {}
    for key, value in values.items():
        option = known.get(key.replace("_", "-").lstrip("-"))
        if option is None or option.name is None:
            raise InputError(f"no option {key!r}", where=f"{path}:{lines[(key,)]}", hint=did_you_mean(key, known))
        if option.name == "scorer" and ":" in str(value):
            hint = "name it on the command line"
            raise InputError(
                "a scorer of yours is code, and a file may not name it", where=f"{path}:{lines[(key,)]}", hint=hint
            )
        several = option.multiple or option.nargs == -1
        found[option.name] = [value] if several and isinstance(value, str) else value
    context.default_map = {**(context.default_map or {}), **found}


def _flag(parameter: click.Parameter) -> str:
    """How a user calls it: --max-length -> max-length, FILE... -> files."""
    return max(parameter.opts, key=len).lstrip("-")


def _columns(context: click.Context, parameter: click.Parameter, pairs: Sequence[str]) -> dict[str, str]:
    columns = {}
    for pair in pairs:
        name, equals, column = pair.partition("=")
        if not (name and equals and column):
            raise click.BadParameter(f"{pair!r}; write it as field=column", context, parameter)
        columns[name] = column
    return columns


class _Command(click.Command):
    """Flags may be spelled with - or _."""

    def make_context(self, *args: Any, **settings: Any) -> click.Context:
        settings.setdefault("token_normalize_func", lambda name: name.replace("_", "-"))
        return super().make_context(*args, **settings)


class _Group(click.Group):
    """A closed pipe is no error: whoever read our output has had enough. A signal is no traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            code = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # Keep Python from complaining when it closes stdout.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except KeyboardInterrupt as stop:
            return _interrupted(143 if isinstance(stop, Terminated) else 130)
        return code


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="promptshot")
def cli() -> None:
    """How well does a pretrained model sort your texts? Zero- and few-shot, without training.

    \b
    promptshot classify reviews.jsonl -t zh-sentiment-mlm
    promptshot templates list
    """


MODEL_FLAGS: tuple[Callable[[Any], Any], ...] = (
    option("-m", "--model", metavar="NAME|FOLDER", help="A hub name or local folder.  [default: the built-in model]"),
    option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps."),
    option(
        "--dtype",
        type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
        default="auto",
        show_default=True,
        help="Precision; auto is float32 on a CPU, the checkpoint's own elsewhere.",
    ),
    option("-b", "--batch-size", type=click.IntRange(1), metavar="N", help="At most N sequences at once."),
    option(
        "--batch-budget", type=click.IntRange(1), metavar="TOKENS", help="Tokens at once.  [default: by a fixed rule]"
    ),
    option("--max-length", type=click.IntRange(8), metavar="N", help="Tokens of a sequence.  [default: the model's]"),
    option(
        "--plain", is_flag=True, help="Score the plain way: one sequence a choice, no shortcuts; for those who doubt."
    ),
    option("--revision", metavar="NAME", help="Branch, tag or commit on the hub."),
    option("--offline", is_flag=True, help="Use the local cache only."),
    option("--trust-remote-code", is_flag=True, help="Run code that a checkpoint brings."),
    option("--allow-pickle", is_flag=True, help="Read .bin weights where there are no safetensors."),
)


def _model_flags(function: F) -> F:
    """Which checkpoint, and how it is loaded and run."""
    for flag in reversed(MODEL_FLAGS):
        function = flag(function)
    return function


# ------------------------------------------------------------------ classify


@cli.command(cls=_Command)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@option(
    "-t",
    "--template",
    "templates",
    multiple=True,
    metavar="NAME|FILE|TEXT",
    help="A name on the shelf, a YAML file, or a text with {mask} and {text}; several make an ensemble.  "
    "[default: chosen by labels and language]",
)
@option("--labels", metavar="A,B,...", help="The labels to choose from: a,b or a=word1|word2,b=word3.")
@option("--verbalizer", metavar="NAME|FILE", help="Label words other than the template's own.")
@option("--save-template", type=click.Path(path_type=Path), metavar="FILE", help="Write down the template in use.")
@option(
    "-o",
    "--output",
    metavar="FILE",
    help="Predictions; .jsonl, .csv, .tsv, also .gz; - is stdout.  [default: stdout, on a terminal ten examples]",
)
@option("--overwrite", is_flag=True, help="Replace an existing output.")
@option("--resume/--no-resume", default=True, show_default=True, help="Go on with an output of the very same run.")
@option("-n", "--limit", type=click.IntRange(1), metavar="N", help="Only the first N rows.")
@option("--sample", type=click.IntRange(1), metavar="N", help="N rows at random (see --seed).")
@option("--seed", type=int, default=0, show_default=True, help="For --sample and the demonstrations.")
@option("--text-field", metavar="COLUMN", help="The column with the text.  [default: text, sentence, content, ...]")
@option("--label-field", metavar="COLUMN", help="The column with the gold label.  [default: label, ...]")
@option(
    "--map", "columns", multiple=True, callback=_columns, metavar="FIELD=COLUMN", help="Where a template's field is."
)
@option("--ignore-labels", is_flag=True, help="Predict only, whatever labels the rows carry.")
@option("--strict-labels", is_flag=True, help="Reject rows whose own label is none of ours.")
@option(
    "--on-error",
    type=click.Choice(["reject", "fail"]),
    default="reject",
    show_default=True,
    help="Leave bad rows out and go on, or stop at the first.",
)
@option("-k", "--num-shots", type=click.IntRange(0), metavar="K", help="Demonstrations before each row (causal).")
@option("--demos", metavar="FILE", help="Labelled rows to draw demonstrations from.")
@option("--dev", metavar="FILE", help="Rows that fix the thresholds of an NSP pair template.")
@option("--summary", metavar="FILE", help="Metrics as JSON.")
@option("--record", metavar="FILE", help="The run record.  [default: OUTPUT.run.json]")
@option("--rejects", metavar="FILE", help="Rows that failed.  [default: OUTPUT.rejects.jsonl]")
@option("--scorer", metavar="NAME", help="Another scorer: mlm, nsp, causal, fake, package.module:Class.")
@option(
    "--library", "folder", type=click.Path(path_type=Path), metavar="DIR", help="Your own templates and verbalizers."
)
@_model_flags
@option("--dry-run", is_flag=True, help="Show the first prompts and stop; no model is loaded.")
@option("-q", "--quiet", is_flag=True, help="No progress and no report.")
@option("-v", "--verbose", is_flag=True, help="Also the checkpoint, the machine and the label words.")
@click.option(
    "-c",
    "--config",
    is_eager=True,
    expose_value=False,
    callback=_config,
    envvar="PROMPTSHOT_CONFIG",
    metavar="FILE",
    help="YAML with any of these options.",
)
def classify(files: tuple[str, ...], dry_run: bool, quiet: bool, **given: Any) -> int:
    """Label the rows of FILE (JSONL, JSON, CSV, TSV, .gz, or - for stdin).

    Predictions go to stdout or --output as rows with the fields they came with; the report goes to
    stderr. Rows with a label are counted for accuracy, rows without one are only predicted. Every
    option can also be given as PROMPTSHOT_NAME in the environment.
    """
    from promptshot.journal import Outputs
    from promptshot.run import Inputs

    inputs = Inputs(files, given["limit"], given["sample"], given["seed"])
    recipe = _recipe(given, inputs, quiet)
    if dry_run:
        return _dry_run(recipe, inputs)
    output = given["output"] or (None if sys.stdout.isatty() else "-")
    names = ("summary", "record", "rejects", "overwrite", "resume")
    outputs = Outputs(output, **{name: given[name] for name in names})
    return _classify(recipe, inputs, outputs, given["on_error"], quiet, given["verbose"])


def _recipe(given: dict[str, Any], inputs: Inputs, quiet: bool) -> Recipe:
    """The recipe that the options describe; what they leave open is looked up and told."""
    from promptshot import guess, report
    from promptshot.recipe import Recipe

    fields = {"text": given["text_field"], "label": given["label_field"], **given["columns"]}
    columns = {field: column for field, column in fields.items() if column}
    said = {name: given[name] for name in ("labels", "verbalizer", "scorer", "folder")}
    wish = guess.Wish(given["templates"], model=given["model"] or "", **said)
    found = guess.choose(wish, lambda: inputs.peek_rows(columns), lambda: inputs.all_rows(columns))
    for reason in () if quiet else found[0].reasons:
        report.note(reason)
    if given["save_template"]:
        guess.save(given["save_template"], found)
    options, demos = _model_options(given), _demo_plan(given)
    recipes = [
        Recipe(
            template=one.template,
            verbalizer=one.verbalizer,
            scorer=given["scorer"] or one.template.spec.scorer,
            options=options,
            demos=demos,
            dev=given["dev"],
            columns=_columns_of(given, one.template),
            labels_ignored=given["ignore_labels"],
            labels_strict=given["strict_labels"],
        )
        for one in found
    ]
    return replace(recipes[0], others=tuple(recipes[1:]))


def _model_options(given: dict[str, Any]) -> ModelOptions:
    from promptshot.scorers import ModelOptions

    names = [field.name for field in dataclass_fields(ModelOptions)]
    return ModelOptions(**{name: given[name] for name in names if given.get(name) is not None})


def _demo_plan(given: dict[str, Any]) -> DemoPlan | None:
    from promptshot.recipe import DEMOS, DemoPlan

    if given["num_shots"] and not given["demos"]:
        raise OptionError("-k needs rows to draw from", hint="add --demos FILE")
    if not given["demos"]:
        return None
    return DemoPlan(given["demos"], DEMOS if given["num_shots"] is None else given["num_shots"], given["seed"])


def _columns_of(given: dict[str, Any], template: Template) -> dict[str, str]:
    """Field -> column, from --map, --text-field and --label-field."""
    columns: dict[str, str] = dict(given["columns"])
    label = template.spec.label_field
    for name in columns:
        if name not in (*template.needs, label):
            hint = did_you_mean(name, [*template.needs, label])
            raise OptionError(f"--map {name}=...: the template has no such field", hint=hint)
    if given["text_field"]:
        if len(template.needs) != 1:
            needs = ", ".join(template.needs)
            raise OptionError(
                f"--text-field is for one text, the template needs {needs}", hint="use --map FIELD=COLUMN"
            )
        columns[template.needs[0]] = given["text_field"]
    if given["label_field"]:
        columns[label] = given["label_field"]
    return columns


def _classify(recipe: Recipe, inputs: Inputs, outputs: Outputs, on_error: str, quiet: bool, verbose: bool) -> int:
    from promptshot import report, rows
    from promptshot.run import run

    total = rows.count(inputs.paths)
    if total is not None:
        total = min(n for n in (total, inputs.limit, inputs.sample) if n is not None)
    with report.Watch(total, quiet, verbose) as watch:
        result = run(recipe, inputs, outputs, watch, on_error)
    if not quiet:
        report.summary(result, examples=outputs.output is None)
    return 3 if result.tally.rejected else 0


def _dry_run(recipe: Recipe, inputs: Inputs) -> int:
    """The first prompts as they would be scored; bad rows are told as such."""
    from promptshot import report
    from promptshot.classify import Classifier
    from promptshot.rows import Reject
    from promptshot.scorers.fake import FakeScorer

    # The fake scorer knows no checkpoint, so nothing is loaded.
    classifier = Classifier(replace(recipe, dev=None), FakeScorer())
    shown = []
    for item in islice(inputs.read(recipe.columns), PREVIEWED):
        if isinstance(item, Reject):
            raise InputError(item.reason, where=item.source)
        shown.append((item.source, classifier.prompt(item)))
    report.prompts(shown)
    return 0


# ------------------------------------------------------------------ doctor


@cli.command(cls=_Command)
@_model_flags
@option(
    "--scorer", type=click.Choice(["mlm", "nsp", "causal"]), help="Only this one.  [default: all it has a head for]"
)
@option("--tune", is_flag=True, help="Time several batch budgets and say which to set.")
def doctor(scorer: str | None, tune: bool, **given: Any) -> int:
    """Is a checkpoint sound on this machine?

    Looks for its heads, asks it questions with known answers (random weights get half of them right), and scores
    the same prompts alone and in a batch, the fast and the plain way, in lower precision and in float32.
    """
    from promptshot import doctor as doctoring
    from promptshot import report
    from promptshot.errors import ModelError

    options = _model_options(given)
    refused: dict[str, ModelError] = {}
    failed = False
    kinds = [scorer] if scorer else list(doctoring.KINDS)
    for kind in kinds:
        try:
            for number, finding in enumerate(doctoring.examine(kind, options)):
                report.finding("" if number else kind, finding)
                failed |= finding.verdict == "failed"
            if tune:
                report.budgets(kind, list(doctoring.tune(kind, options)))
        except ModelError as problem:
            refused[kind] = problem
    if len(refused) == len(kinds):
        raise next(iter(refused.values()))
    for kind, refusal in refused.items():
        report.finding(kind, doctoring.Finding("head", "note", refusal.what))
    report.verdict(not failed)
    return 3 if failed else 0


# ------------------------------------------------------------------ the shelf


def _library_option(function: F) -> F:
    help_text = "Your own templates and verbalizers."
    return option("--library", "folder", type=click.Path(path_type=Path), metavar="DIR", help=help_text)(function)


@cli.group()
def templates() -> None:
    """The templates on the shelf."""


@templates.command("list", cls=_Command)
@_library_option
def list_templates(folder: Path | None) -> None:
    """Names, scorers and what each template is for."""
    from promptshot import report

    found = [library.template(name, folder) for name in library.names("templates", folder)]
    lines = [(template.name, template.spec.scorer, template.spec.about) for template in found]
    report.listing(("template", "scorer", "about"), lines)


@templates.command("show", cls=_Command)
@click.argument("name")
@_library_option
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


@cli.group()
def verbalizers() -> None:
    """The verbalizers on the shelf."""


@verbalizers.command("list", cls=_Command)
@_library_option
def list_verbalizers(folder: Path | None) -> None:
    """Names, number of labels, and the labels themselves."""
    from promptshot import report
    from promptshot.errors import shortlist

    found = [library.verbalizer(name, folder) for name in library.names("verbalizers", folder)]
    lines = [(v.name, str(len(v.names)), shortlist(v.names, 6), v.about) for v in found]
    report.listing(("verbalizer", "labels", "which", "about"), lines)


@verbalizers.command("show", cls=_Command)
@click.argument("name")
@_library_option
def show_verbalizer(name: str, folder: Path | None) -> None:
    """The file of a verbalizer."""
    from promptshot import report

    library.verbalizer(name, folder)
    report.file(library.find("verbalizers", name, folder))
