"""The command line: parse, call, report. The one place where errors become exit codes.

Exit codes: 0 done; 1 an error; 2 wrong usage; 3 done, but there is something to look at (rejected rows, a failed
check); 130 interrupted (143: by SIGTERM).
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any

import click

from promptshot import __version__, lean, standard
from promptshot.cli import (
    calibrate,
    classify,
    compare,
    completion,
    diff,
    doctor,
    explain,
    lint,
    models,
    new,
    preview,
    report,
    sample,
    shelf,
    suggest,
    transfer,
)
from promptshot.cli.flags import Commands
from promptshot.errors import InputError, PromptshotError, install, lacking, unwritable
from promptshot.runs.interrupt import Interrupts, Terminated

GARBAGE = 50_000  # objects, more than there are in a window of rows, between two searches for cycles among the young


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    standard.prepare()
    gc.set_threshold(GARBAGE)
    lean.start()
    try:
        with Interrupts() as interrupts:
            code = run_command(arguments, interrupts)
    except KeyboardInterrupt as stop:  # on the way to a command, or while what it said is written
        code = _interrupted(stop)
    if code in (130, 143):  # at once: Python's own ending may be another, and wait for threads that still work
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def run_command(arguments: Sequence[str] | None = None, interrupts: Interrupts | None = None) -> int:
    """Run the command line; gives the exit code. A failure that an interrupt has brought about is no other."""
    try:
        return int(cli.main(arguments, prog_name="promptshot", standalone_mode=False) or 0)
    except PromptshotError as problem:
        if interrupts and interrupts.came:  # a library took it for a fault of its own
            return _interrupted(interrupts.came)
        return _failed(str(problem))
    except click.ClickException as problem:
        problem.show(sys.stderr)
        return problem.exit_code
    except click.Abort as stop:
        return _interrupted(stop.__cause__)
    except OSError as problem:
        if problem.filename == standard.OUTPUT:
            standard.let_go()
        return _failed(str(InputError(problem.strerror or str(problem), where=str(problem.filename or ""))))
    except ModuleNotFoundError as problem:
        if not (package := lacking(problem)):
            raise
        click.echo(f"error: promptshot needs the package {package}; {install(package)}", err=True)  # rich, it may be
        return 1
    except UnicodeEncodeError as problem:
        what = f"{problem.object!r} cannot be said in the encoding of this locale, {problem.encoding}"
        return _failed(f"{what}; set LC_ALL=C.UTF-8, or PYTHONUTF8=1")


def _failed(message: str) -> int:
    from promptshot.report.console import error

    error(message)
    return 1


def _interrupted(stop: BaseException | None) -> int:
    click.echo("interrupted", err=True)
    return 143 if isinstance(stop, Terminated) else 130


VARIABLE = "PROMPTSHOT_"  # how the variables of options begin


class _Group(Commands):
    """A closed pipe is no error: whoever read our output has had enough. A signal is no traceback."""

    def make_context(self, *args: Any, **settings: Any) -> click.Context:
        with _read_or_not():
            return super().make_context(*args, **settings)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _read_or_not():
                code = super().invoke(ctx)
                sys.stdout.flush()
                return code
        except KeyboardInterrupt as stop:
            return _interrupted(stop)


@contextlib.contextmanager
def _read_or_not() -> Iterator[None]:
    """What is in here may end early, and well, where nobody reads standard output any more."""
    try:
        yield
    except BrokenPipeError as problem:
        if problem.filename not in (None, standard.OUTPUT):
            raise unwritable(problem.filename, problem, hint="") from None
        standard.let_go()
        raise click.exceptions.Exit(0) from None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="promptshot")
def cli() -> None:
    """How well does a pretrained model sort your texts? Zero- and few-shot, without training.

    \b
    promptshot classify reviews.jsonl -t zh-sentiment-mlm
    promptshot compare reviews.jsonl
    promptshot templates new mine.yaml
    """
    _refuse_misspelt(os.environ)


def _refuse_misspelt(names: Iterable[str]) -> None:
    """Raise click's UsageError for a variable that is nearly the name of an option, as a file of options would be."""
    waiting: list[click.Command] = [cli]
    known: set[str] = set()
    while waiting:
        command = waiting.pop()
        waiting += command.commands.values() if isinstance(command, click.Group) else ()
        known |= {str(one.envvar).removeprefix(VARIABLE) for one in command.params if one.envvar}
    for name in names:
        said = name.removeprefix(VARIABLE)
        if name.startswith(VARIABLE) and said not in known:
            for near in get_close_matches(said, known, n=1, cutoff=0.75):
                raise click.UsageError(f"no option has the variable {name}; did you mean {VARIABLE}{near}?")


for group, own in (
    (shelf.templates, (lint.templates, new.template, preview.templates)),
    (shelf.templates, (transfer.import_template, transfer.export_template)),
    (shelf.verbalizers, (lint.verbalizers, new.verbalizer, preview.verbalizers)),
    (cli, (calibrate.command, classify.command, compare.command, diff.command, doctor.command, report.command)),
    (
        cli,
        (
            suggest.command,
            explain.command,
            sample.command,
            shelf.templates,
            shelf.verbalizers,
            models.models,
            completion.command,
        ),
    ),
):
    for command in own:
        group.add_command(command)
