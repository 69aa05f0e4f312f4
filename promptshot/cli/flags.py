"""Flags that several commands share, where their values come from, and the plain data they become."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from promptshot.cli import completion, settings
from promptshot.cli.sections import sections
from promptshot.cli.settings import Columns, Count, Labels, Library, Pair, Positive, Share, Text
from promptshot.errors import OptionError
from promptshot.files import Named
from promptshot.kinds import HEADS, KINDS

if TYPE_CHECKING:
    from promptshot.prompts.task import Names
    from promptshot.rows.streams import Reading
    from promptshot.rows.writer import Form
    from promptshot.runs.ray import Cluster
    from promptshot.scoring import ModelOptions

F = TypeVar("F", bound=Callable[..., Any])


LONGEST = 300  # characters of what a command is for
LOCAL = "local"  # see promptshot.runs.ray, which takes its time


def option(*names: str, **settings: Any) -> Callable[[F], F]:
    """A click option that the variable PROMPTSHOT_NAME also gives."""
    flag = max((name for name in names if name.startswith("-")), key=len)
    name = flag.lstrip("-").split("/")[0].replace("-", "_").upper()
    return click.option(*names, envvar=f"PROMPTSHOT_{name}", **settings)


def config(context: click.Context, parameter: click.Parameter, path: str | None) -> None:
    """Options from a YAML file become defaults; what the command line says goes first."""
    if path is None:
        return
    context.meta.setdefault(READ, []).append(Named("--config", path))
    found = settings.read(path, [known for known in context.command.params if known is not parameter])
    context.default_map = {**(context.default_map or {}), **found}
    for other in context.command.params:  # a suite that was looked for before this file named it
        looked_for = other.is_eager and context.get_parameter_source(other.name or "") is ParameterSource.DEFAULT
        if looked_for and other.name in found:
            other.process_value(context, found[other.name])


def address(context: click.Context, parameter: click.Parameter, said: str | None) -> str | None:
    """That of a cluster; a file that stands behind the flag is meant as something else."""
    if said is not None and (not said.strip() or Path(said).is_file()):
        what = f"{said!r} is no address of a cluster"
        raise click.BadParameter(f"{what}; put --ray behind the files, or write --ray=ADDRESS")
    if said is not None and said.casefold() in ("true", "false"):  # as a file of options, or a variable, says it
        return LOCAL if said.casefold() == "true" else None
    return said


def columns(context: click.Context, parameter: click.Parameter, pairs: Sequence[str]) -> dict[str, str]:
    """Field -> column."""
    return {field: column for field, _, column in (pair.partition("=") for pair in pairs)}


class Command(click.Command):
    """Options may be spelled with - or _, those that take one value may stand once, and many stand under headings."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; raises click's UsageError for an option that is given twice."""
        if not ctx.resilient_parsing:
            ctx.meta[GIVEN], _, order = self.make_parser(ctx).parse_args(args=list(args))
            doubled = next((one for number, one in enumerate(order) if one in order[:number] and _is_single(one)), None)
            if doubled is not None:
                ctx.fail(f"{max(doubled.opts, key=len)} is given twice; give it once")
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of `--help`, under headings where they are many."""
        for heading, options in sections([one for one in self.get_params(ctx) if isinstance(one, click.Option)]):
            with formatter.section(heading):
                formatter.write_dl([found for one in options if (found := one.get_help_record(ctx))])

    def make_context(self, *args: Any, **settings: Any) -> click.Context:
        settings.setdefault("token_normalize_func", lambda name: name.replace("_", "-"))
        return super().make_context(*args, **settings)


class Commands(click.Group):
    """A list of commands that is wrapped and not cut."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each command is for: the first sentence of its help."""
        found = [(name, self.commands[name].get_short_help_str(LONGEST)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(found)


def _is_single(parameter: click.Parameter) -> bool:
    """Whether it is an option of one value, of which a second would be taken for the first in silence."""
    return isinstance(parameter, click.Option) and not (parameter.multiple or parameter.is_flag or parameter.count)


def flags(*settings: Callable[[Any], Any]) -> Callable[[F], F]:
    """Several options or arguments as one decorator."""

    def decorate(function: F) -> F:
        for setting in reversed(settings):
            function = setting(function)
        return function

    return decorate


def model_flag(default: str) -> Callable[[F], F]:
    """Which checkpoint; `default` says what is used where none is named."""
    help_text = f"A hub name, a local folder, a GGUF file, or ollama:NAME.  [default: {default}]"
    return option("-m", "--model", metavar="NAME|PATH", help=help_text, shell_complete=completion.model)


# Where a checkpoint is found, and what it may do.
source_flags = flags(
    option("--max-length", type=Count(8), metavar="N", help="Tokens of a sequence.  [default: the model's]"),
    option("--revision", metavar="NAME", help="Branch, tag or commit on the hub."),
    option("--offline", is_flag=True, help="Use the local cache only."),
    option("--trust-remote-code", is_flag=True, help="Run code that a checkpoint brings."),
    option(
        "--head",
        type=click.Choice(list(HEADS)),
        help="Ask another head in the place of the scorer's own; "
        + "; ".join(f"{name}: {kind.stand_ins[name].head} ({kind.name})" for name, kind in HEADS.items())
        + ".",
    ),
)

# How texts are read that are longer than the model.
long_flags = flags(
    option(
        "--long",
        type=click.Choice(["cut", "windows", "hierarchical", "local"]),
        default="cut",
        show_default=True,
        help="Texts longer than the model: cut, read in overlapping pieces whose scores are pooled, or read whole, with"
        " places made of two (models like BERT) or each token seeing those near it (models that count distances).",
    ),
    option(
        "--long-pool",
        type=click.Choice(["mean", "max", "logsumexp"]),
        help="What the scores of the pieces of --long windows come to.  [default: mean]",
    ),
    option(
        "--long-stride",
        type=Count(1),
        metavar="TOKENS",
        help="From the beginning of one piece to that of the next.  [default: three quarters of a piece]",
    ),
    option(
        "--long-alpha",
        type=float,
        metavar="SHARE",
        help="Of the coarse place in one made of two by --long hierarchical.  [default: 0.4]",
    ),
)

# By whom rows are scored.
ray_flags = flags(
    option(
        "--ray",
        is_flag=False,
        flag_value=LOCAL,
        callback=address,
        metavar="[ADDRESS]",
        help="Score by actors of a Ray cluster, 1,024 rows at a time: HOST:6379, or auto for the one that runs here; "
        "without an address one is started.",
    ),
    option(
        "--ray-cpus",
        type=Count(1),
        metavar="N",
        help="Processors of an actor.  [default: 4, or what a machine has; where there are GPUs, one GPU and one "
        "processor]",
    ),
    option(
        "--ray-actors",
        type=Count(1),
        metavar="N",
        help="How many actors; those without a place wait for one.  [default: as many as there is room for]",
    ),
)

# How any model is run.
running_flags = flags(
    option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps."),
    option(
        "--device-map",
        metavar="auto|balanced|balanced_low_0|sequential|DEVICE",
        help="Spread a large model over all devices by accelerate, in the place of --device.",
    ),
    option(
        "--dtype",
        type=click.Choice(["auto", "float32", "mixed", "bfloat16", "float16"]),
        default="auto",
        show_default=True,
        help="Precision; auto is float32 on a CPU, the checkpoint's own elsewhere; mixed is bfloat16 in products only.",
    ),
    option("-b", "--batch-size", type=Count(1), metavar="N", help="At most N sequences at once."),
    option("--batch-budget", type=Count(1), metavar="TOKENS", help="Tokens at once.  [default: by a fixed rule]"),
    option(
        "--plain", is_flag=True, help="Score the plain way: one sequence a choice, no shortcuts; for those who doubt."
    ),
    source_flags,
)
pickle_flag = option("--allow-pickle", is_flag=True, help="Read .bin weights where there are no safetensors.")

# How checkpoints are loaded and run.
machine_flags = flags(
    running_flags,
    option(
        "--pooling",
        type=click.Choice(["mean", "cls", "first-last"]),
        help="How embed makes a vector of a text.  [default: as the model's folder says, else mean]",
    ),
    option("--temperature", type=Positive(), metavar="X", help="Divide the cosines of embed by X.  [default: 0.05]"),
    pickle_flag,
)

# Which checkpoint, and how it is loaded and run.
model_flags = flags(model_flag("the built-in model"), machine_flags)


seed_flag = option("--seed", type=int, default=0, show_default=True, help="For all that is drawn at random.")


def template_flag(help_text: str) -> Callable[[F], F]:
    """Which templates."""
    return option(
        "-t",
        "--template",
        "templates",
        type=Text(),
        multiple=True,
        metavar="NAME|FILE|TEXT",
        shell_complete=completion.of_shelf("templates"),
        help=help_text,
    )


def verbalizer_flag(help_text: str) -> Callable[[F], F]:
    """Which label words."""
    complete = completion.of_shelf("verbalizers")
    return option("--verbalizer", metavar="NAME|FILE", shell_complete=complete, help=help_text)


predictions_flag = option(
    "-o",
    "--output",
    metavar="FILE",
    help="Predictions; .jsonl, .csv, .tsv, also .gz; - is stdout.  [default: stdout, on a terminal ten examples]",
)

# Which columns of the rows, and how their files are read.
column_flags = flags(
    option(
        "--text-field",
        metavar="COLUMN",
        shell_complete=completion.column,
        type=Columns(),
        help="The column with the text; several (a,b) are joined, a line each.  "
        "[default: text, sentence, content, ...]",
    ),
    option(
        "--label-field",
        metavar="COLUMN",
        shell_complete=completion.column,
        help="The column with the gold label.  [default: label, ...]",
    ),
    option(
        "--map",
        "columns",
        multiple=True,
        type=Pair(),
        callback=columns,
        shell_complete=completion.mapping,
        metavar="FIELD=COLUMN",
        help="Where a template's field is.",
    ),
    option("--encoding", metavar="NAME", help="Of the files: gb18030, utf-16, cp1252, ... or auto.  [default: UTF-8]"),
    option("--no-header", is_flag=True, help="The first line of a table is a row; its columns are 1, 2, ..."),
    option("--lines", is_flag=True, help="Each line is a text, whatever it looks like."),
)

# Which rows, and which of their columns.
row_flags = flags(
    option("-n", "--limit", type=Count(1), metavar="N", help="Only the first N rows."),
    option("--sample", type=Count(1), metavar="N", help="N rows at random (see --seed)."),
    seed_flag,
    column_flags,
)


# How demonstrations are chosen, and where they stand.
demo_flags = flags(
    option(
        "--demos-by",
        type=click.Choice(["random", "nearest", "similar"]),
        default="random",
        show_default=True,
        help="The same for all rows, drawn at random; or those nearest to each row by their words (BM25), or similar "
        "by the model's embeddings.",
    ),
    option(
        "--demo-order",
        type=click.Choice(["drawn", "nearest-first", "nearest-last", "by-label"]),
        help="How they stand before a row.  [default: drawn, or nearest-last]",
    ),
    option("--demo-balance/--no-demo-balance", default=True, show_default=True, help="As many of each label, or any."),
    option("--demo-whiten", is_flag=True, help="Whiten the embeddings of --demos-by similar."),
    option(
        "--demo-chunks",
        type=Count(2),
        metavar="N",
        help="Deal the demonstrations among N shorter prompts a row; the surest of them decides (NBCE).",
    ),
)

# How a template is put to a model that was made for chats.
chat_flags = flags(
    option(
        "--chat",
        is_flag=True,
        help="Ask as in a chat, by the checkpoint's own chat template: for instruct models and causal templates.",
    ),
    option(
        "--chat-system",
        metavar="TEXT",
        help="The system text of a chat.  [default: the template's, or the checkpoint's]",
    ),
    option(
        "--chat-answer",
        metavar="TEXT",
        help="The end of the text before the blank that already belongs to the answer: Topic:, say.",
    ),
    option(
        "--chat-demos",
        type=click.Choice(["turns", "message"]),
        help="Demonstrations of a chat: as earlier turns, or in the one message.  [default: turns]",
    ),
)

labels_flag = option(
    "--labels",
    type=Labels(),
    metavar="A,B,...|@FILE",
    help="The labels to choose from: a,b or a=word1|word2,b=word3, with the rows' numbers 0:a,1:b (or JSON); @FILE has "
    "one a line.",
)
# Whether a row may have several labels, and when one holds.
several_flags = flags(
    option(
        "--multi-label",
        is_flag=True,
        help="A row may have several labels, or none: each is judged by itself (labels: several in a template).",
    ),
    option(
        "--label-separator",
        metavar="TEXT",
        help="What stands between the labels of a row, where they are a text.  [default: any of , ; | and their like]",
    ),
    option(
        "--threshold",
        type=Labels(),
        metavar="P|LABEL=P,...",
        help="The probability from which on a label holds; the score, under scorers without odds.  "
        "[default: 0.5, or what suits --dev best]",
    ),
)
spelling_flag = option(
    "--spelling",
    "spelled_as",
    type=click.Choice(["auto", "rows", "template"]),
    default="auto",
    show_default=True,
    help="Write predictions as the rows spell their labels or as the template does; auto: as the rows do where these "
    "are numbers.",
)

# How records are written.
form_flags = flags(
    option(
        "--format",
        type=click.Choice(["csv", "tsv", "jsonl"]),
        help="Of stdout, and of a file whose suffix does not tell.  [default: jsonl]",
    ),
    option("--bom", is_flag=True, help="Begin a table so that Excel shows Chinese.  [default: as the input begins]"),
)

errors_flag = option(
    "--errors",
    metavar="FILE|N",
    help="The rows that went wrong, the surest first: to a file, or N of them in the report.  "
    "[default: one of each of the worst confusions]",
)
calibrate_flags = flags(
    option(
        "--prior",
        type=Labels(),
        metavar="uniform|FILE|LABEL=P,...",
        help="The share of the rows that each label has, for prior and can, and to cut ranked pairs by: numbers, a "
        "YAML or JSON file of them, or rows whose labels are counted.  [default: uniform, or the template's]",
    ),
    option(
        "--abstain-below",
        type=Share(),
        metavar="P",
        help="Mark predictions whose probability is below P as abstained, and report the rest beside all.",
    ),
)
scorer_flag = option(
    "--scorer", metavar="NAME", help=f"Another scorer: {', '.join(KINDS)}, fake, package.module:Class."
)
quiet_flag = option("-q", "--quiet", is_flag=True, help="No progress and no report.")
config_flag = click.option(
    "-c",
    "--config",
    is_eager=True,
    expose_value=False,
    callback=config,
    envvar="PROMPTSHOT_CONFIG",
    metavar="FILE",
    help="YAML with any of these options.",
)


def library_flag(function: F) -> F:
    help_text = "Your own templates and verbalizers."
    return option("--library", "folder", type=Library(path_type=Path), metavar="DIR", help=help_text)(function)


def typed(name: str, said: Sequence[str], quiet: bool = False) -> tuple[str, ...]:
    """Templates as an option or argument of that name gives them: inline texts as typed in a shell, which is told.

    What a file of options or a suite says is taken as it stands: YAML has line breaks of its own.
    """
    from promptshot.prompts.template import typed
    from promptshot.report.console import note

    if click.get_current_context().get_parameter_source(name) is ParameterSource.DEFAULT_MAP:
        return tuple(said)
    found, told = [], dict[str, None]()
    for one in said:
        text, read = typed(one) if "{" in one else (one, "")
        found.append(text)
        told |= {read: None} if read else {}
    for read in () if quiet else told:
        note(f"in the text of a template: {read}")
    return tuple(found)


def is_said(name: str) -> bool:
    """Whether an option has been given: on the command line, in the environment or in a file."""
    return click.get_current_context().get_parameter_source(name) is not ParameterSource.DEFAULT


def read_once(given: dict[str, Any], files: Sequence[str]) -> None:
    """Have --demos and --dev read, where a pipe gives them only once; raises OptionError for one pipe meant twice."""
    from promptshot.rows.once import once, refuse_twice

    labels = given.get("labels") or ""
    asked = {"--demos": given["demos"], "--dev": given["dev"], "--labels": labels[1:] if labels[:1] == "@" else ""}
    asked |= {"--prior": given.get("prior") or "", "--whiten": given.get("whiten") or ""}
    refuse_twice([*(("FILE", file) for file in files), *((role, path) for role, path in asked.items() if path)])
    for name in ("demos", "dev", "whiten"):
        if given.get(name):
            given[name] = once(given[name])


def outputs(written: Mapping[str, str | None], read: Iterable[Named], overwrite: bool) -> None:
    """Refuse files that meet, cannot be written, or exist, before anything is read; raises a PromptshotError."""
    from promptshot import files

    named = [Named(by, path) for by, path in written.items() if path is not None]
    files.check(named, read)
    for one in () if overwrite else named:
        files.refuse_taken(one.path)


def output_of(given: Mapping[str, Any]) -> str | None:
    """Where predictions go; nowhere on a terminal, unless something is said of how they are written."""
    said = any(given.get(name) for name in ("format", "fields", "bom")) or not given.get("scores", True)
    return given["output"] if given["output"] is not None else "-" if said or not sys.stdout.isatty() else None


def form_of(given: Mapping[str, Any], one_text: bool = False) -> Form:
    """How --output is written, as its suffix, --format and --bom say; `one_text` is whether .json stands for all of it.

    Raises OptionError where they do not go together.
    """
    from promptshot.files import STREAM
    from promptshot.rows.writer import Form, refuse_suffix

    refuse_suffix(given["output"], given["format"], one_text)
    found = Form.of(given["output"] or STREAM, given["format"], given["bom"])
    if given["bom"] and not found.bom:
        raise OptionError("--bom is for tables", hint="write .csv or .tsv, or leave it out")
    return found


def errors_of(given: str | None) -> tuple[str | None, int | None]:
    """The file, or the number of rows, that --errors means."""
    from promptshot.runs.wrong import SHOWN

    is_number = given is not None and given.isascii() and given.isdecimal()
    return (None, min(int(str(given)[:9]), SHOWN)) if is_number else (given, None)


def with_records(given: Iterable[tuple[str, str]]) -> list[Named]:
    """Files of predictions as they are named, and the run records beside them, which are read as well."""
    return [Named(by, path) for by, name in given for path in (name, f"{name}.run.json")]


def read_by(given: Mapping[str, Any], read: Sequence[str]) -> list[Named]:
    """All files that the options of a command name to be read, and those of the models and libraries they name."""
    from promptshot import shelf
    from promptshot.classify.recipe import of_model
    from promptshot.prompts import library

    found = [Named("FILE", path) for path in read]
    found += [Named(f"--{name}", given[name]) for name in ("demos", "dev", "whiten") if given.get(name)]
    kinds: tuple[shelf.Shelf, ...] = ("templates", "verbalizers")
    for kind in kinds:
        said = given.get(kind) or given.get(kind[:-1]) or ()
        for one in (said,) if isinstance(said, str) else said:
            path = None if "{" in one else library.path_of(kind, one, given.get("folder"))
            found += [Named(f"--{kind[:-1]}", str(path))] if path else []
    if (prior := given.get("prior")) and prior != settings.UNIFORM and not {"=", "{"} & {*prior}:
        found.append(Named("--prior", prior))
    if str(given.get("labels") or "").startswith("@"):
        found.append(Named("--labels", given["labels"][1:]))
    for model in given.get("models") or filter(None, [given.get("model")]):
        found += of_model(model)
    if given.get("folder"):
        found += [Named("--library", str(path)) for path in library.files_of(Path(given["folder"]))]
    return [*found, *click.get_current_context().meta.get(READ, ())]


READ = "promptshot.read"  # what eager options have read
GIVEN = "promptshot.given"  # what the command line gives, for an eager option that needs another


def model_options(given: dict[str, Any]) -> ModelOptions:
    from promptshot.scoring import ModelOptions

    names = [field.name for field in dataclass_fields(ModelOptions)]
    return ModelOptions(**{name: given[name] for name in names if given.get(name) is not None})


def chat_of(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the options say of a chat; None where they want none."""
    names = {"chat_system": "system", "chat_answer": "answer", "chat_demos": "demonstrations"}
    said = {key: given[name] for name, key in names.items() if given[name] is not None}
    return said if said or given["chat"] else None


def cluster_of(given: Mapping[str, Any]) -> Cluster | None:
    """Where the actors are that score the rows, if there are to be any; raises OptionError."""
    if given["ray"] is None:
        for name in ("ray_cpus", "ray_actors"):  # a variable, or a file of options, may say them for other runs
            if given[name] and _is_typed(name):
                raise OptionError(f"{called(name)} is for --ray", hint="add that, or leave it out")
        return None
    from promptshot.runs.ray import Cluster

    return Cluster(given["ray"], given["ray_cpus"], given["ray_actors"])


def called(name: str) -> str:
    """How a user calls an option of this command: text_field -> --text-field."""
    return f"--{next(settings.flag(one) for one in click.get_current_context().command.params if one.name == name)}"


def _is_typed(name: str) -> bool:
    """Whether an option of this command stands on the command line."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


def tell_sizes(models: Iterable[str], dtype: str, quiet: bool = False) -> None:
    """Say what GGUF files take in memory, before it is taken."""
    from promptshot import shelf
    from promptshot.report.console import note

    for model in () if quiet else dict.fromkeys(models):
        if line := shelf.unpacked(model, dtype):
            note(line)


def reading(given: dict[str, Any], files: Sequence[str], quiet: bool) -> Reading:
    """How files of rows are read; which encodings were guessed is told."""
    from promptshot.report.console import note
    from promptshot.rows.streams import AUTO, Reading, encoding_of

    if given["lines"] and given["no_header"]:
        raise OptionError("--lines and --no-header: lines that are texts have no columns", hint="leave one out")
    how = Reading(given["encoding"] or None, not given["no_header"], given["lines"])
    for path in files if how.encoding == AUTO and not quiet else ():
        if (name := encoding_of(path)) not in ("", "utf-8", "utf-8-sig"):
            note(f"{path}: read as {name}")
    return how


def names_of(given: dict[str, Any]) -> Names:
    """The columns that --text-field, --label-field and --map name."""
    from promptshot.prompts.task import Names

    return Names(given["text_field"], given["label_field"], given["columns"])
