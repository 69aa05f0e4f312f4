"""The command line: parse, call, report. The one place where errors become exit codes.

Exit codes: 0 done; 1 an error; 2 wrong usage; 3 done, but there is something to look at (rejected rows, a failed
check); 130 interrupted (143: by SIGTERM).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from promptshot import __version__
from promptshot.cli import classify, compare, completion, diff, doctor, lint, new, preview, report, shelf
from promptshot.errors import PromptshotError
from promptshot.interrupt import Terminated


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
    promptshot compare reviews.jsonl
    promptshot templates new mine.yaml
    """


for group, own in (
    (shelf.templates, (lint.templates, new.template, preview.templates)),
    (shelf.verbalizers, (lint.verbalizers, new.verbalizer, preview.verbalizers)),
    (cli, (classify.command, compare.command, diff.command, doctor.command, report.command)),
    (cli, (shelf.templates, shelf.verbalizers, completion.command)),
):
    for command in own:
        group.add_command(command)
