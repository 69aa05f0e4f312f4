"""`promptshot templates import` and `export`: from and to the formats of other tools."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from promptshot import files
from promptshot.cli import completion
from promptshot.cli.flags import Command, columns, flags, library_flag, option, outputs, read_by, verbalizer_flag
from promptshot.cli.settings import Columns, Pair
from promptshot.errors import TemplateError, many
from promptshot.files import STREAM, Named
from promptshot.kinds import KINDS

FROM = ("lm-eval", "openprompt", "pet", "paddlenlp", "promptsource", "hf", "lm-bff")

writing = flags(
    option("-o", "--output", metavar="FILE", default=STREAM, help="The file to write.  [default: stdout]"),
    option("--overwrite", is_flag=True, help="Replace existing files."),
)

mapping_flags = flags(
    option("--text-field", metavar="COLUMN", type=Columns(), help="The column with the text."),
    option("--label-field", metavar="COLUMN", help="The column with the gold label."),
    option(
        "--map",
        "columns",
        multiple=True,
        type=Pair(),
        callback=columns,
        metavar="FIELD=COLUMN",
        help="Where a field is.",
    ),
)


@click.command("import", cls=Command)
@click.argument("said", metavar="FILE|TEXT", shell_complete=completion.file)
@click.option("--from", "tool", type=click.Choice(FROM), help="Which tool it is from.  [default: by the text]")
@click.option(
    "--words",
    metavar="FILE|TEXT",
    shell_complete=completion.file,
    help="The tool's own label words: its verbalizer, mapping or choices.",
)
@option(
    "--labels", metavar="A,B,...|@FILE", help="What the labels are called, in their order; or a=word1|word2,b=word3."
)
@click.option("--pick", metavar="NAME|N", help="Which of several templates; of PET's classes CLASS:N.")
@option("--scorer", type=click.Choice(list(KINDS)), help="What kind of model it is for.  [default: as the tool's]")
@click.option("--partial", is_flag=True, help="Leave out what cannot be said exactly, and exit with 3.")
@click.option("--verbalizer-out", metavar="FILE", help="Write the label words into a file of their own.")
@writing
def import_template(**given: Any) -> int:
    """Turn a template of another tool into ours; nothing that stands in it is run.

    FILE|TEXT is a task of lm-evaluation-harness, a text or call of OpenPrompt or PaddleNLP, a pattern of PET, a
    template of LM-BFF, Jinja of promptsource, or the hypothesis of a zero-shot pipeline; - is standard input.

    \b
    promptshot templates import sst2.yaml -o mine.yaml
    promptshot templates import '{"placeholder": "text_a"} It was {"mask"}.' --words words.json
    promptshot templates import "This review is {}." --labels positive,negative

    What our format cannot say exactly is named, a line each, and nothing is written; with --partial it is left out.
    """
    from promptshot.authoring.importing import given as giving
    from promptshot.authoring.importing.tools import Wish, imported
    from promptshot.prompts.labels import read_labels
    from promptshot.report.console import note
    from promptshot.report.transfer import show_lost

    own = given["verbalizer_out"]
    read = [Named("FILE|TEXT", given["said"]), *([Named("--words", given["words"])] if given["words"] else [])]
    read = [one for one in read if giving.is_file(one.path)]
    outputs(
        {"--output": given["output"], "--verbalizer-out": own},
        [*read, *read_by({"labels": given["labels"]}, ())],
        given["overwrite"],
    )
    labels = read_labels(given["labels"]) if given["labels"] else None
    words = giving.given(given["words"], "--words") if given["words"] else None
    found, told = imported(
        giving.given(given["said"]),
        Wish(
            given["tool"], words, given["pick"], labels, given["scorer"], _beside(own, given["output"]) if own else None
        ),
    )
    for line in (*(labels.reasons if labels else ()), *told.notes, *found.remarks):
        note(line)
    show_lost(told.lost)
    if told.lost and not given["partial"]:
        what = f"{many(len(told.lost), 'thing')} cannot be said exactly"
        raise TemplateError(what, hint="change the source, or leave them out: --partial")
    if own:
        files.put(own, str(found.verbalizer), given["overwrite"])
    files.put(given["output"], found.template, given["overwrite"])
    if given["output"] != STREAM:
        note(f"written: {given['output']}; see it: promptshot templates preview {given['output']}")
    return 3 if told.lost else 0


def _beside(verbalizer: str, template: str) -> str:
    """A verbalizer as the template's file names it: relative to its folder."""
    if template == STREAM:
        return str(Path(verbalizer).resolve())
    found = os.path.relpath(verbalizer, Path(template).parent)
    return found if "/" in found or found.endswith((".yaml", ".yml")) else f"./{found}"


@click.command("export", cls=Command)
@click.argument("name", metavar="NAME|FILE", shell_complete=completion.of_shelf("templates"))
@click.option("--to", "tool", type=click.Choice(["lm-eval"]), required=True, help="Which tool it is for.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The rows: .jsonl, .json, .csv or .tsv.",
)
@verbalizer_flag("Other label words than the template's.")
@mapping_flags
@writing
@library_flag
def export_template(name: str, tool: str, data: Path | None, folder: Path | None, **given: Any) -> None:
    """Write a causal template as a task of lm-evaluation-harness; both give the same scores.

    \b
    promptshot templates export en-sentiment-causal --to lm-eval --data examples/en-reviews.jsonl -o task.yaml
    lm_eval --model hf --model_args pretrained=MODEL --include_path . --tasks en_sentiment_causal

    What the harness cannot say is refused with a line.
    """
    from promptshot.authoring import exporting
    from promptshot.prompts import library
    from promptshot.prompts.task import Names, Task

    read = [Named("--data", str(data))] if data else []
    outputs(
        {"--output": given["output"]},
        [*read, *read_by({**given, "templates": (name,), "folder": folder}, ())],
        given["overwrite"],
    )
    template = library.template(name, folder)
    own = given["verbalizer"]
    words = library.verbalizer(own, folder) if own else library.verbalizer_of(template, folder)
    columns = Names(given["text_field"], given["label_field"], given["columns"]).of(template)
    files.put(given["output"], exporting.task_of(Task(template, words, columns), data), given["overwrite"])
