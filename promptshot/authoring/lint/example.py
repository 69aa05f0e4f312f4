"""Rules of lint about the example of a template."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from promptshot.authoring.lint.sheet import Sheet
from promptshot.errors import RowError, did_you_mean, shortlist
from promptshot.prompts import codes
from promptshot.prompts.codes import Flaw
from promptshot.prompts.task import Task
from promptshot.prompts.template import example_row


def example_fields(sheet: Sheet) -> Iterator[Flaw]:
    """The fields of the example are those that the text reads."""
    template = sheet.template
    if not template.spec.example:
        yield Flaw(codes.NO_EXAMPLE, "no example", "add a row of your own: example: {text: ..., label: ...}")
        return
    row = example_row(template)
    lacking = [name for name in template.needs if row.column(name) is None]
    extra = [name for name in template.spec.example if name not in (*template.reads, template.spec.label_field)]
    for name in lacking:
        hint = f"it has {shortlist(extra)}" if extra else "add it, or mend its name in the text"
        yield Flaw(codes.EXAMPLE_LACKS, f"the example has no field {name!r}", hint, ("example",))
    for name in extra if not lacking else ():
        hint = did_you_mean(name, template.reads)
        yield Flaw(codes.EXAMPLE_EXTRA, f"the text does not read {name!r}", hint, ("example", name))


def example_label(sheet: Sheet) -> Iterator[Flaw]:
    """The example's label is one of the verbalizer's."""
    verbalizer, field, row = sheet.verbalizer, sheet.template.spec.label_field, example_row(sheet.template)
    if verbalizer is None or not row.fields:
        return
    if sheet.template.several:
        yield from _several_labels(sheet, Task(sheet.template, verbalizer))
        return
    try:
        names = verbalizer.names or verbalizer.choices(row)
        label, said = verbalizer.gold_label(row, field)
    except RowError:
        names, label, said = verbalizer.names, None, None
    if said is None and row.column(field) is not None:
        return  # it has a label, but not the words of its own: an unusable example
    if said is None:
        yield Flaw(codes.EXAMPLE_LABEL, f"the example has no {field!r}", "say its label", ("example",))
    elif label not in names:
        what = f"the example's label {said!r} is none of the verbalizer's"
        yield Flaw(codes.EXAMPLE_LABEL, what, did_you_mean(said, names), ("example", field))


def _several_labels(sheet: Sheet, task: Task) -> Iterator[Flaw]:
    """Each of several labels is one of the verbalizer's."""
    field, row = sheet.template.spec.label_field, example_row(sheet.template)
    try:
        said = task.said(row, row.column(field))
        lacking = task.gold(row) == (None, None)
    except RowError as problem:
        yield Flaw(codes.EXAMPLE_LABEL, problem.what, problem.hint, ("example", field))
        return
    if lacking:
        yield Flaw(codes.EXAMPLE_LABEL, f"the example has no {field!r}", "say its labels as a list", ("example",))
    for text in (text for label, text, _ in said if label is None):
        what = f"the example's label {text!r} is none of the verbalizer's"
        yield Flaw(codes.EXAMPLE_LABEL, what, did_you_mean(text, task.labels), ("example", field))


def example_unusable(sheet: Sheet) -> Iterator[Flaw]:
    """The template can be filled in with its own example."""
    row = example_row(sheet.template)
    if row.fields and all(row.column(name) is not None for name in sheet.template.needs):
        try:
            sheet.template.render(row, sheet.verbalizer.choices(row) if sheet.verbalizer else ())
        except RowError as problem:
            yield Flaw(codes.EXAMPLE_UNUSABLE, problem.what, problem.hint, ("example",))


RULES: list[Callable[[Sheet], Iterator[Flaw]]] = [example_fields, example_label, example_unusable]
