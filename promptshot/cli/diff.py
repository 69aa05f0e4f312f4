"""`promptshot diff`: two files of predictions side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from promptshot import files, standard
from promptshot.cli.flags import Command, form_flags, form_of, option, outputs, with_records
from promptshot.cli.settings import Count


@click.command("diff", cls=Command)
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@option("--label-field", metavar="COLUMN", help="The column with the gold label.  [default: as the run record says]")
@option(
    "--prediction-field", metavar="COLUMN", default="prediction", show_default=True, help="The column with predictions."
)
@option("-n", "--limit", type=Count(0), default=20, show_default=True, metavar="N", help="Flipped rows shown.")
@option("--seed", type=int, default=0, show_default=True, help="For the bootstrap.")
@option("-o", "--output", metavar="FILE", help="Everything as .json, or the flipped rows as .jsonl, .csv, .tsv.")
@form_flags
@option("--json", "to_stdout", is_flag=True, help="Everything as JSON on stdout, and no report.")
@option("--overwrite", is_flag=True, help="Replace an existing output.")
def command(
    one: str,
    other: str,
    label_field: str | None,
    prediction_field: str,
    limit: int,
    seed: int,
    output: str | None,
    to_stdout: bool,
    overwrite: bool,
    **form: Any,
) -> int:
    """Is B better than A, how sure is that, and which rows flipped?

    A and B are predictions of the same rows, as classify -o and compare --predictions write them, or another tool's
    (see: promptshot report). No model is needed.
    The report goes to stderr: accuracy, the exact McNemar test, a paired bootstrap interval, changes by label, and
    the rows of which A and B say different things. Without gold labels only the latter.
    """
    from promptshot.compare.diff import diff
    from promptshot.report.console import people
    from promptshot.report.diff import show_difference
    from promptshot.rows.writer import Writer
    from promptshot.runs.record import as_json

    told = {"--json": files.STREAM} if to_stdout else {}
    outputs({**told, "--output": output}, with_records([("A", one), ("B", other)]), overwrite)
    how = form_of({**form, "output": output}, one_text=True)
    found = diff(one, other, label_field, seed, prediction_field)
    if output and output.lower().endswith(".json"):
        files.put(output, as_json(found.record()), overwrite)
    elif output:
        how = replace(how, bom=how.delimiter is not None and (how.bom or found.marked))
        with Writer(output, replace=overwrite, form=how) as writer:
            writer.write([flip.record() for flip in found.flips])
    if to_stdout:
        standard.write(as_json(found.record()))
    else:
        show_difference(found, limit, people())
    return 0
