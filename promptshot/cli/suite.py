"""`promptshot compare --suite`: what a suite says; where it is of several tasks, they are carried out here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptshot import shelf
from promptshot.cli.flags import (
    GIVEN,
    READ,
    called,
    chat_of,
    cluster_of,
    form_of,
    is_said,
    model_options,
    outputs,
    read_by,
    tell_sizes,
)
from promptshot.errors import OptionError, did_you_mean
from promptshot.files import Named
from promptshot.kinds import KINDS

if TYPE_CHECKING:
    from promptshot.compare.suite import TaskSuite
    from promptshot.compare.table import Table
    from promptshot.compare.tasks import Wanted
    from promptshot.rows.writer import Form

MARKDOWN = ".md"
GOES_ON = "what is scored is kept, and gone on with, only where predictions are: --predictions DIR"
OURS = ("data", "tasks", "patterns", "dev_thresholds", "published")  # options for suites of several tasks alone
# Options of one set of rows; a suite says of each task what they would.
OF_ONE = (
    *("files", "templates", "verbalizers", "labels", "search", "dev", "demos"),
    *("text_field", "label_field", "columns", "encoding", "no_header", "lines"),
)
_SEVERAL = "promptshot.suite"


@dataclass(frozen=True)
class _Named:
    """A suite of several tasks, as it was named, and its file."""

    name: str
    path: Path
    suite: TaskSuite


def suite(context: click.Context, parameter: click.Parameter, said: str | None) -> None:
    """What a suite of one comparison says becomes defaults, and what the command line says goes first; one of several
    tasks is kept."""
    if said is None:
        return
    from promptshot.compare.suite import TaskSuite, find, load

    path = find(said, _library(context))
    context.meta.setdefault(READ, []).append(Named("--suite", str(path)))
    found = load(path)
    if isinstance(found, TaskSuite):
        context.meta[_SEVERAL] = _Named(path.stem, path, found)
        return
    keys = found.model_dump(exclude_defaults=True, exclude={"about"})
    names = {"data": "files", "library": "folder"}
    context.default_map = {**(context.default_map or {}), **{names.get(key, key): value for key, value in keys.items()}}


def _library(context: click.Context) -> Path | None:
    """What --library says, which is not looked at before this."""
    parameter = next(one for one in context.command.params if one.name == "folder")
    said, _ = parameter.consume_value(context, context.meta.get(GIVEN, {}))
    return Path(said) if isinstance(said, str | Path) and said else None  # click has an object for nothing


def is_several(files: Sequence[str]) -> bool:
    """Whether a suite of several tasks was named; refuses what does not go with it, or only with it."""
    context = click.get_current_context()
    if _SEVERAL in context.meta:
        if said := next((name for name in OF_ONE if (files if name == "files" else is_said(name))), None):
            what = "FILE..." if said == "files" else called(said)
            hint = "leave it out, or write it into a suite of your own"
            raise OptionError(f"{what} is of one set of rows, and the suite has several tasks", hint=hint)
        return True
    if said := next((name for name in OURS if is_said(name)), None):
        what = f"{called(said)} is for suites of several tasks"
        raise OptionError(what, hint="name one: --suite fewclue, or a file with 'tasks:'")
    return False


def run(quiet: bool, given: dict[str, Any]) -> int:
    """Carry the suite out, show its table and write it; gives the exit code."""
    from promptshot.compare import tasks
    from promptshot.compare.folder import remembers
    from promptshot.files import check
    from promptshot.report.console import note
    from promptshot.report.suite import SuiteWatch

    named: _Named = click.get_current_context().meta[_SEVERAL]
    if given["predictions"] and given["output"] and remembers(given["predictions"], given["output"]):
        given["overwrites"] = True
    form, wanted = _form(given), _wanted(named, given)
    plan = tasks.plan(named.suite, wanted, named.name, str if quiet else note)
    written = [Named("--output", given["output"])] if given["output"] else []
    check(written, [*read_by(given, ()), *plan.reads])
    if given["predictions"]:
        plan = plan.in_folders(given["predictions"], given["overwrite"])
        click.get_current_context().call_on_close(plan.close)
        folders = [job.folder for job in plan.jobs.values() if job.folder]
        for folder in folders:
            folder.refuse_within(given["output"])
        check([*written, *(one for folder in folders for one in folder.goes)], [*read_by(given, ()), *plan.reads])
    tell_sizes(given["models"] or (), given["dtype"], quiet)
    watch = SuiteWatch(quiet=quiet)
    try:
        with watch:
            table = tasks.run(plan, watch, cluster_of(given))
    finally:  # whatever stops it, what is known so far is told
        if watch.table:
            _tell(watch.table, given, form, quiet)
    return 3 if table.lacks else 0


def _form(given: dict[str, Any]) -> Form:
    """How the table is written; refuses files that cannot be, before anything is read."""
    outputs({"--output": given["output"]}, read_by(given, ()), _replaces(given))
    return form_of({**given, "output": None} if _is_markdown(given["output"]) else given, one_text=True)


def _replaces(given: dict[str, Any]) -> bool:
    """Whether --output may be replaced: that was said, or it is the table that is gone on with."""
    return bool(given["overwrite"] or given.get("overwrites", False))


def _is_markdown(path: str | None) -> bool:
    return bool(path) and str(path).lower().endswith(MARKDOWN)


def _wanted(named: _Named, given: dict[str, Any]) -> Wanted:
    """What the options ask of the suite."""
    from promptshot.compare.candidates import Axes
    from promptshot.compare.tasks import Wanted

    if not given["data"] and named.path.parent == shelf.folder("suites"):
        what = f"the suite {named.name} says where its files lie in a folder, and no folder is named"
        raise OptionError(what, hint="add --data DIR")
    scorers, other = _scorers(given["scorer"])
    axes = Axes(model_options(given), given["models"] or ("",), other, given["shots"], None, given["seed"])
    return Wanted(
        Path(given["data"] or named.path.parent), given["tasks"], scorers, given["patterns"] == "all",
        given["dev_thresholds"], given["limit"], given["sample"], given["folder"], chat_of(given), axes,
    )  # fmt: skip


def _scorers(said: str | None) -> tuple[tuple[str, ...], str | None]:
    """The kinds of scorer that are asked for, or another that stands in the place of all."""
    names = tuple(dict.fromkeys((said or "").split(",") if said else ()))
    unknown = [name for name in names if name not in KINDS]
    if len(names) > 1 and unknown:
        raise OptionError(f"no scorer {unknown[0]!r} to ask with others", hint=did_you_mean(unknown[0], KINDS))
    return ((), said) if unknown else (names, None)


def _tell(table: Table, given: dict[str, Any], form: Form, quiet: bool) -> None:
    """Write and show what is known."""
    from promptshot.classify.classifier import chat_unused
    from promptshot.compare.folder import remember
    from promptshot.compare.table import write
    from promptshot.files import put
    from promptshot.report.console import note
    from promptshot.report.suite import markdown, show_suite

    if given["output"] and table.tasks:
        if _is_markdown(given["output"]):
            put(given["output"], markdown(table), _replaces(given))
        else:
            write(given["output"], table, form, _replaces(given))
        if given["predictions"]:
            remember(given["predictions"], given["output"])
    if not quiet:
        entries = [entry for comparison in table.comparisons.values() for entry in comparison.entries]
        lines = (chat_unused(entry.result.recipe, entry.result.details) for entry in entries)
        for line in dict.fromkeys(filter(None, lines)):
            note(line)
        show_suite(table, given["published"])
        if given["published"] == "main" and any(row.main for row in table.published):
            more = sum(not row.main for row in table.published)
            note(f"{more} more published rows: --published all (files of -o have them)")
        if table.tasks and not table.complete:
            note("the same command goes on from here" if given["predictions"] else GOES_ON)
