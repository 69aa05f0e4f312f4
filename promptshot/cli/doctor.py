"""`promptshot doctor`: is a checkpoint sound on this machine?"""

from __future__ import annotations

from typing import Any

import click

from promptshot.cli.flags import Command, model_flags, model_options, option


@click.command("doctor", cls=Command)
@model_flags
@option(
    "--scorer", type=click.Choice(["mlm", "nsp", "causal"]), help="Only this one.  [default: all it has a head for]"
)
@option("--tune", is_flag=True, help="Time several batch budgets and say which to set.")
def command(scorer: str | None, tune: bool, **given: Any) -> int:
    """Is a checkpoint sound on this machine?

    Looks for its heads, asks it questions with known answers (random weights get half of them right), and scores
    the same prompts alone and in a batch, the fast and the plain way, in lower precision and in float32.
    """
    from promptshot import doctor as doctoring
    from promptshot import report
    from promptshot.errors import ModelError

    options = model_options(given)
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
