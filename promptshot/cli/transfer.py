"""`promptshot templates import` and `export`: from and to the formats of other tools."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from promptshot import files
from promptshot.cli import completion
from promptshot.cli.flags import Command, flags, option, outputs, read_by
from promptshot.errors import TemplateError, many
from promptshot.files import STREAM, Named
from promptshot.kinds import KINDS

FROM = ("lm-eval", "openprompt", "pet", "paddlenlp", "promptsource", "hf", "lm-bff")

writing = flags(
    option("-o", "--output", metavar="FILE", default=STREAM, help="The file to write.  [default: stdout]"),
    option("--overwrite", is_flag=True, help="Replace existing files."),
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
