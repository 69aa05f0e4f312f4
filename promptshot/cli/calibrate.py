"""`promptshot calibrate`: other labels and probabilities for stored predictions, from the same scores."""

from __future__ import annotations

from typing import Any

import click

from promptshot.classify.calibrate import METHODS
from promptshot.cli import completion
from promptshot.cli.flags import Command, calibrate_flags, form_flags, option, output_of, predictions_flag, quiet_flag


@click.command("calibrate", cls=Command)
@click.argument("predictions", metavar="PREDICTIONS", shell_complete=completion.file)
@option("--method", type=click.Choice(METHODS), required=True, help="How; none is the scores as they are.")
@calibrate_flags
@option("--dev", metavar="FILE", help="Labelled predictions by the same classify command, for temperature, few-label.")
@predictions_flag
@form_flags
@option("--summary", metavar="FILE", help="Metrics as JSON; - is stdout.")
@option("--overwrite", is_flag=True, help="Replace the files that are written, where they exist.")
@quiet_flag
def command(
    predictions: str,
    method: str,
    prior: str | None,
    abstain_below: float | None,
    dev: str | None,
    output: str | None,
    quiet: bool,
    **given: Any,
) -> int:
    """Take the bias of a prompt out of stored predictions, without a model.

    PREDICTIONS is a file as classify -o writes it, with its run record beside it. The new file has a record of its own,
    and the numbers are those of classify --calibrate. The report goes to stderr; rows with a label tell what it did to
    accuracy and to the calibration error (ECE).

    \b
    content-free  less the words' mean probability where the text says N/A, [MASK] or nothing
    pmi           less the words' scores where the text is empty
    prior         a bias for each label, so that the mean probabilities are --prior *
    batch         divided by the mean probabilities *
    can           unsure rows made to fit --prior beside the sure ones *
    temperature   one number that all scores are divided by, from --dev
    few-label     a bias for each label, from a few rows of --dev
    * looks at the whole run: a row's label depends on the other rows
    """
    from promptshot.report.series import show_series
    from promptshot.runs.calibrated import calibrate_again
    from promptshot.runs.outputs import Outputs

    output = output_of({"output": output, **given})
    outputs = Outputs(output, **given)
    series = calibrate_again(predictions, method, outputs, prior, dev, abstain_below)
    if not quiet:
        show_series(series, examples=output is None, surest=None)
    return 0
