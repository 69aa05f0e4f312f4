"""Templates of the shelf that suit rows, by the labels that these carry, and what else to try."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from promptshot.errors import OptionError, PromptshotError, RowError, shortlist
from promptshot.kinds import FIRST
from promptshot.prompts import library
from promptshot.prompts.labels import NAME, Labels
from promptshot.prompts.language import language_of
from promptshot.prompts.template import Template
from promptshot.prompts.verbalizer import RowWords, Verbalizer
from promptshot.rows import columns
from promptshot.rows.row import ALIASES, Row, folded

SHARE = 0.8  # of a shelf verbalizer's labels that the rows must show before it is taken for theirs
# Where several templates of the shelf fit, these tasks go first, in this order; several words a label before one, which
# leans more to a side.
TASKS = (
    "sentiment-words",
    "sentiment",
    "sentiment3",
    "news-words",
    "news",
    "entailment",
    "same",
    "emotion",
    "intent",
    "spam",
    "toxicity",
    "urgency",
    "priority",
    "stance",
    "product",
    "subjectivity",
    "question",
)
GENERAL = "topic"  # the task whose templates take label words of any kind

NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")


@dataclass(frozen=True)
class Guess:
    """A template with the verbalizer to use, and one line for each thing that was not said."""

    template: Template
    verbalizer: Verbalizer
    reasons: tuple[str, ...] = ()


def texts_of(rows: Sequence[Row]) -> list[str]:
    """The rows' texts, under whatever names; whatever else they hold where they have no such field."""
    found = []
    for row in rows:
        names = [name for name in ("text", "text_a", "text_b") if row.column(name)]
        found += [str(row[name]) for name in names] or [str(value) for value in row.fields.values()]
    return found


def of_the_shelf(
    row: Row, labels: Sequence[str], start: str, end: str, folder: Path | None, share: float = SHARE
) -> list[Guess]:
    """The templates of that language and scorer whose verbalizers know all labels of the rows, the likeliest first.

    The rows must show that share of a verbalizer's labels.
    """
    suiting: list[tuple[int, int, str, Guess]] = []
    for name in library.names("templates", folder):
        if labels and name.startswith(start) and name.endswith(end):
            try:
                template = library.template(name, folder)
                verbalizer = library.verbalizer_of(template, folder)
                known = {verbalizer.label_of(label) for label in labels}
            except PromptshotError:
                continue
            enough = len(known) == len(labels) >= share * len(verbalizer.names)
            if None in known or not enough or any(row.column(need) is None for need in template.needs):
                continue
            task = name.removeprefix(start).removesuffix(end)
            suiting.append((len(verbalizer.names), _task_order(task), name, Guess(template, verbalizer)))
    words = [label for label in labels if not NUMBER.fullmatch(label)]
    return [guess for *_, guess in sorted(suiting, key=lambda f: f[:3])] if words else []


def _task_order(task: str) -> int:
    return TASKS.index(task) if task in TASKS else len(TASKS)


def for_names(row: Row, named: Labels, start: str, end: str, folder: Path | None) -> list[tuple[Labels, Guess]]:
    """The templates of the shelf for labels that were said, each with how they were read: as they are, or as numbers
    with the very names of a verbalizer, `0=negative,1=positive`."""
    found = []
    for said in named.readings():
        suiting = of_the_shelf(row, said.verbalizer.names, start, end, folder)
        own = {*said.verbalizer.names}
        found += [(said, one) for one in suiting if said is named or own <= {*one.verbalizer.names}]
    return found


# ------------------------------------------------------------------ what to try where nothing can be chosen


def verbalizer_of_rows(
    labels: Sequence[str], rows: Sequence[Row] = (), scorer: str = FIRST, folder: Path | None = None
) -> Verbalizer:
    """The labels that the rows carry as their own label words; raises OptionError for numbers or none, with what fits
    the rows at hand."""
    numbers = bool(labels) and all(NUMBER.fullmatch(label) for label in labels)
    if len(labels) == 2 and {label.casefold() for label in labels} == {"true", "false"}:
        said = ",".join(f"{label}=WORD" for label in labels)
        raise OptionError("the rows' labels are true and false", hint=f"say what they mean: --labels '{said}'")
    if len(labels) > 1 and not numbers:
        return Verbalizer(NAME, {label: {label: 1.0} for label in labels})
    if rows and (names := suited(rows[0], labels, language_of(texts_of(rows[:200])), scorer, folder)):
        said = f", and their labels are numbers ({shortlist(labels, 6)})" if numbers else ""
        raise OptionError(f"{shape_of(rows[0])}{said}", hint=f"for such rows there is: -t {names[0]}")
    if not labels:
        what = "no labels to choose from: none were said, and the rows carry none"
        more = f", or {columns.missing(rows, 'label')}" if rows else ""
        raise OptionError(what, hint=f"say --labels a,b,c{more}, or -t NAME (see: promptshot templates list)")
    if not numbers:
        raise OptionError(f"the rows carry only one label, {labels[0]!r}", hint="say --labels a,b,c")
    what = f"the rows' labels are numbers ({shortlist(labels, 6)})"
    if named := _names_of_numbers(rows):
        raise OptionError(what, hint=f"their names stand in another column: --label-field {named}")
    example = ",".join(f"{label}:NAME" for label in labels[:3]) + ("" if len(labels) <= 3 else ",...")
    raise OptionError(what, hint=f"say what they mean: --labels '{example}', or -t NAME")


def own_words(row: Row, labels: Sequence[str], language: str, scorer: str, folder: Path | None) -> list[Guess]:
    """The templates of the shelf for rows that bring their own label words."""
    named = [library.template(name, folder) for name in suited(row, labels, language, scorer, folder, own_words=True)]
    return [Guess(template, library.verbalizer_of(template, folder)) for template in named]


def suited(
    row: Row, labels: Sequence[str], language: str, scorer: str, folder: Path | None, own_words: bool = False
) -> list[str]:
    """The templates of the shelf for rows that hold more than one text: pairs, keywords, words of their own, or the
    last alone."""
    names = []
    for name in library.names("templates", folder):
        if not (name.startswith(f"{language}-") and name.endswith(f"-{scorer}")):
            continue
        try:
            template = library.template(name, folder)
            words = library.verbalizer_of(template, folder)
            own = isinstance(words, RowWords)
            if len(template.needs) < 2 or (own_words and not own) or not knows(words, labels, row, template):
                continue
            template.render(row, words.choices(row))
        except PromptshotError:
            continue
        names.append((not template.spec.words_from, _task_order(name.partition("-")[2].rpartition("-")[0]), name))
    return [name for *_, name in sorted(names)]


def knows(words: Verbalizer, labels: Sequence[str], row: Row, template: Template) -> bool:
    """Whether a verbalizer knows the labels that the rows carry."""
    if isinstance(words, RowWords):
        return row.column(template.spec.label_field) is not None or not labels
    known = {words.label_of(label) for label in labels}
    return None not in known and len(known) >= SHARE * len(words.names) if labels else True


def shape_of(row: Row) -> str:
    """What kind of rows these are, in words."""
    if row.column("text_a") and row.column("text_b"):
        return "the rows are pairs of texts"
    return "the rows hold more than a text"


def _names_of_numbers(rows: Sequence[Row]) -> str:
    """The column that names in words what the label column numbers; empty where there is none."""
    for name, value in rows[0].fields.items() if rows else ():
        known = folded(name)
        usual = known.startswith(("label_", "class_", "category_")) or known in map(folded, ALIASES["label"])
        if usual and isinstance(value, str) and value.strip() and not NUMBER.fullmatch(value.strip()):
            return name
    return ""


def refuse_letters(row: Row, labels: Sequence[str], name: str) -> None:
    """Labels that are names of columns call the answers there, and are none themselves; raises OptionError."""
    if len(labels) > 1 and all(label in row.fields for label in labels):
        what = f"the rows' labels ({shortlist(labels, 6)}) are the columns of their answers"
        raise OptionError(what, hint=f"name the question: -t {name} --map question=COLUMN")


def refuse_other_rows(template: Template, row: Row, labels: Sequence[str], scorer: str, folder: Path | None) -> None:
    """Rows that have no single text need a template of their own kind; raises OptionError or RowError."""
    try:
        row[template.needs[0]]
    except RowError as problem:
        language = template.name.partition("-")[0]
        names = suited(row, labels, language, scorer, folder) or suited(row, (), language, scorer, folder)
        if names:
            raise OptionError(shape_of(row), where=row.source, hint=f"for such rows there is: -t {names[0]}") from None
        if row.column("text_a") and row.column("text_b"):
            hint = "name a template for pairs, such as zh-same-nsp or en-entailment-mlm"
            raise OptionError("the rows are pairs of texts", where=row.source, hint=hint) from None
        raise problem
