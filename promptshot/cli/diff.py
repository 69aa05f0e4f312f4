"""`promptshot diff`: two files of predictions side by side."""

from __future__ import annotations

import json
from pathlib import Path

import click

from promptshot import standard
from promptshot.cli.flags import Command, option
from promptshot.cli.settings import Count
from promptshot.errors import InputError


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
@option("--json", "as_json", is_flag=True, help="Everything as JSON on stdout, and no report.")
@option("--overwrite", is_flag=True, help="Replace an existing output.")
def command(
    one: str,
    other: str,
    label_field: str | None,
    prediction_field: str,
    limit: int,
    seed: int,
    output: str | None,
    as_json: bool,
    overwrite: bool,
) -> int:
    """Is B better than A, how sure is that, and which rows flipped?

    A and B are predictions of the same rows, as classify -o and compare --predictions write them, or another tool's
    (see: promptshot report). No model is needed.
    The report goes to stdout: accuracy, the exact McNemar test, a paired bootstrap interval, changes by label, and
    the rows of which A and B say different things. Without gold labels only the latter.
    """
    from promptshot import leaderboard, report
    from promptshot.diff import diff
    from promptshot.journal import Outputs, write_json
    from promptshot.writer import Writer

    Outputs(output).check([one, other])
    if output and output != "-" and Path(output).exists() and not overwrite:
        raise InputError("exists already", where=output, hint="use --overwrite, or write to another file")
    found = diff(one, other, label_field, seed, prediction_field)
    if output and output.lower().endswith(".json"):
        write_json(output, found.record())
    elif output:
        with Writer(output) as writer:
            writer.write([flip.record() for flip in found.flips])
    if as_json:
        standard.write(json.dumps(found.record(), ensure_ascii=False, indent=2) + "\n")
    elif output != "-":
        leaderboard.difference(found, limit, report.data())
    return 0
