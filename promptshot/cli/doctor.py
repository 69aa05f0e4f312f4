"""`promptshot doctor`: is a checkpoint sound on this machine?"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import click

from promptshot import standard
from promptshot.cli.flags import Command, model_flags, model_options, option, tell_sizes
from promptshot.kinds import KINDS, head_for


@click.command("doctor", cls=Command)
@model_flags
@option("--scorer", type=click.Choice(list(KINDS)), help="Only this one.  [default: all it has a head for]")
@option("--tune", is_flag=True, help="Time several batch budgets and say which to set.")
@option("--json", "as_json", is_flag=True, help="The findings as JSON too, on standard output.")
@option("-v", "--verbose", is_flag=True, help="Also the names of the tensors that a head lacks.")
def command(scorer: str | None, tune: bool, as_json: bool, verbose: bool, **given: Any) -> int:
    """Is a checkpoint sound on this machine?

    Looks for its heads, asks it questions with known answers (random weights get half of them right), and scores
    the same prompts alone and in a batch, the fast and the plain way, in lower precision and in float32.

    The last line says "sound", "look at this" (exit code 0 for both) or "not sound" (3).
    """
    from promptshot import doctor as doctoring
    from promptshot.errors import ModelError
    from promptshot.report.doctor import Steps, show_budgets, show_finding, show_question, show_verdict
    from promptshot.scorers import Loader

    options = model_options(given)
    kinds = [scorer] if scorer else [name for name, kind in KINDS.items() if options.model or kind.builtin]
    loader = Loader(keeps=False)
    show_question(options.model, kinds)
    tell_sizes([options.model], options.dtype)
    found: list[tuple[str, doctoring.Finding]] = []
    refused: dict[str, ModelError] = {}
    with Steps() as steps:
        for kind in kinds:
            try:
                own = replace(options, head=head_for(kind, options.head))
                for number, finding in enumerate(doctoring.examine(kind, own, loader, steps.of(kind))):
                    found.append((kind, finding))
                    show_finding("" if number else kind, finding)
                if tune:
                    show_budgets(kind, list(doctoring.tune(kind, own, loader)))
            except ModelError as problem:
                refused[kind] = problem
    for kind, finding in doctoring.refusals(refused, kinds, verbose):
        found.append((kind, finding))
        show_finding(kind, finding)
    verdict, why = doctoring.verdict([finding for _, finding in found], refused)
    show_verdict(verdict, why)
    if as_json:
        findings = [{"scorer": kind, **vars(finding)} for kind, finding in found]
        told = {"model": options.model, "verdict": verdict, "why": why, "findings": findings}
        standard.write(json.dumps(told, ensure_ascii=False, indent=2) + "\n")
    return 3 if verdict == "not sound" else 0
