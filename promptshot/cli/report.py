"""`promptshot report`: the report of stored predictions."""

from __future__ import annotations

import click

from promptshot import standard
from promptshot.cli import completion
from promptshot.cli.flags import Command, errors_flag, errors_of, option, outputs, with_records
from promptshot.errors import OptionError


@click.command("report", cls=Command)
@click.argument("files", nargs=-1, required=True, metavar="PREDICTIONS...", shell_complete=completion.file)
@option(
    "--label-field",
    metavar="COLUMN",
    shell_complete=completion.column,
    help="The column with the gold label.  [default: as the run record says; label, ...]",
)
@option(
    "--prediction-field",
    metavar="COLUMN",
    default="prediction",
    show_default=True,
    shell_complete=completion.column,
    help="The column with the predictions.",
)
@option("--encoding", metavar="NAME", help="Of the files: gb18030, utf-16, cp1252, ... or auto.  [default: UTF-8]")
@option("--summary", metavar="FILE", help="Everything as JSON.")
@errors_flag
@option("--json", "to_stdout", is_flag=True, help="Everything as JSON on stdout, and no report.")
@option("--overwrite", is_flag=True, help="Replace what is written, where it exists.")
def command(
    files: tuple[str, ...],
    label_field: str | None,
    prediction_field: str,
    encoding: str | None,
    summary: str | None,
    errors: str | None,
    to_stdout: bool,
    overwrite: bool,
) -> int:
    """How well do stored predictions fare against the rows' own labels?

    PREDICTIONS are files as classify -o writes them, or another tool's: JSONL, JSON, CSV, TSV, .gz, or - for stdin. No
    model is needed. The report goes to stderr, one file after another. How labels are spelled is taken from the run
    record beside a file; without one, from the keys of its probabilities, or else from what is gold and predicted.
    """
    from promptshot.files import put
    from promptshot.report.console import people
    from promptshot.report.series import show_counted
    from promptshot.rows.once import once, refuse_twice
    from promptshot.rows.streams import Reading, marked
    from promptshot.rows.writer import Form, refuse_no_json, refuse_suffix, whole
    from promptshot.runs import predictions, wrong
    from promptshot.runs.record import as_json

    refuse_twice(("PREDICTIONS", path) for path in files)
    listed, surest = errors_of(errors)
    told = {"--json": "-"} if to_stdout else {}
    written = {**told, "--summary": summary, "--errors": listed}
    outputs(written, with_records([("FILE", path) for path in files]), overwrite)
    refuse_no_json("--summary", summary)
    refuse_suffix(listed)
    if listed and len(files) > 1:
        raise OptionError("--errors FILE is for one file of predictions", hint="give one, or say how many: --errors 20")
    most, found, how = wrong.MOST if listed else surest or 0, [], Reading(encoding or None)
    for path in map(once, files) if most else files:
        found.append(predictions.count(path, label_field, prediction_field, how, most))
        if not to_stdout:
            show_counted(found[-1], people(), surest)
        if listed:
            rows = [one.record() for one in found[-1].worst.surest]
            put(listed, whole(rows, Form.of(listed, bom=marked(path))), overwrite)
    record = {"files": [one.record() for one in found]}
    if summary:
        put(summary, as_json(record), overwrite)
    if to_stdout:
        standard.write(as_json(record))
    return 3 if any(one.rejects for one in found) else 0
