"""A task: a template, its label words, and the columns that serve them (the pattern-verbalizer pair of PET).

Whoever asks what a row's label is, or what may fill its blank, asks here. Three shapes stand behind it: the same words
for every row, words that each row brings, and pairs without a blank, whose one score is cut into ordered labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from promptshot.errors import OptionError, did_you_mean
from promptshot.metrics import Label
from promptshot.prompts import sets
from promptshot.prompts.template import Template
from promptshot.prompts.verbalizer import RowWords, Verbalizer
from promptshot.rows.row import Item, Row, joined, with_columns
from promptshot.scoring import Piece, Prompt

Gold = tuple[Label | None, str | None]  # our label, or labels, and how the row spells it
PAIR = "is_next"  # what the one score of a pair is called


@dataclass(frozen=True)
class Task:
    """What is asked of a row, and which labels there are to choose from."""

    template: Template
    verbalizer: Verbalizer
    columns: Mapping[str, str] = field(default_factory=dict)  # field -> column, where it was named

    def identity(self) -> dict[str, Any]:
        """All of it that decides scores and labels, as plain data."""
        keys = self.template.spec.model_dump(exclude_defaults=True, exclude={"about", "source", "example"})
        named = {"name": self.template.name, **keys}
        return {"template": named, "verbalizer": self.verbalizer.as_dict(), "columns": dict(self.columns)}

    @cached_property
    def paired(self) -> bool:
        """Whether rows are pairs with one score each, and no blank."""
        return bool(self.template.spec.ordered)

    @cached_property
    def several(self) -> bool:
        """Whether a row may have several labels."""
        return self.template.several

    @cached_property
    def own_words(self) -> bool:
        """Whether each row brings the words to choose from, which are its labels."""
        return isinstance(self.verbalizer, RowWords)

    @cached_property
    def labels(self) -> Sequence[str]:
        """The labels to choose from, ties going to the first; none where every row brings its own."""
        return self.template.spec.ordered or self.verbalizer.names

    @cached_property
    def label_field(self) -> str:
        """The field with a row's own label."""
        return self.template.spec.label_field

    def mapped(self, item: Item) -> Item:
        """The same row, with the task's columns for fields."""
        return with_columns(item, self.columns)

    def choices(self, row: Row) -> Sequence[str]:
        """What may fill the blank, in the order of the scores; nothing, once, for a pair. Raises RowError."""
        return ("",) if self.paired else self.verbalizer.choices(row)

    def known(self, row: Row) -> Sequence[str]:
        """The labels that a row may have, by their names. Raises RowError."""
        return self.verbalizer.names or self.verbalizer.choices(row)

    def gold(self, row: Row, column: str | None = None) -> Gold:
        """A row's own label, None where it has no known one, and how it spells it; where rows may have several, all of
        them (see `sets.gold_of`). Raises RowError for several where one is looked for.

        `column` is where it stands, if that is known.
        """
        column = column or row.column(self.label_field)
        if self.several:
            return sets.gold_of(row, column, self.verbalizer, self.template.spec.label_separator)
        return self.verbalizer.gold_label(row, column)

    def said(self, row: Row, column: str | None) -> list[tuple[str | None, str, Any]]:
        """The labels that a row says, one by one: ours (None: it is none), its text, and as the row has it. Raises
        RowError."""
        if self.several:
            said = sets.said_of(row, column, self.verbalizer, self.template.spec.label_separator) or []
            return [(self.verbalizer.label_of(text), text, item) for text, item in said]
        label, value = self.verbalizer.gold_label(row, column)
        return [] if value is None or column is None else [(label, value, row[column])]

    def spelled(self, row: Row, column: str | None) -> list[str]:
        """The texts of the labels that a row has, of several, whatever they are. Raises RowError."""
        found = sets.spelled(row, column, self.verbalizer, self.template.spec.label_separator)
        return [text for text, _ in found or ()]

    def written(self, label: Any) -> Any:
        """A label, or several as one text, for a cell of a table."""
        if isinstance(label, tuple | list):
            return sets.written(label, self.template.spec.label_separator)
        return label

    def place(self, row: Row) -> tuple[int, int] | None:
        """The place among its own words that a row's label says as a bare number, and the largest there is, both
        counted from 0; None where it says none. Raises RowError."""
        words = self.verbalizer
        return words.numbered(row, row.column(self.label_field)) if isinstance(words, RowWords) else None

    def prompt(self, row: Row, demonstrations: Sequence[str | Piece] = ()) -> Prompt:
        """The prompt of a row behind finished demonstrations, the oldest first; raises RowError."""
        return self.template.render(row, self.choices(row), demonstrations)

    def demonstration(self, row: Row, label: str) -> str:
        """The row's text with the likeliest word of a label in its blank, and the separator. Raises RowError."""
        return self.template.fill(row, self._likeliest(label))

    def shot(self, row: Row, label: str) -> Piece:
        """The same as it stands in a prompt, in a chat maybe as two turns. Raises RowError."""
        return self.template.demonstration(row, self._likeliest(label))

    def _likeliest(self, label: str) -> str:
        words = self.verbalizer.labels.get(label, {label: 1.0})
        return max(words, key=words.__getitem__)

    def values(self, row: Row) -> tuple[str, ...]:
        """The row's values of the fields that the template uses: what makes two rows the same. Raises RowError."""
        read, needed = self.template.reads, self.template.needs
        return tuple(str(row[name]) if name in needed or row.column(name) else "" for name in read)

    def label_scores(self, word_scores: Mapping[str, float]) -> dict[str, float]:
        """The scores of words (natural logarithms; margins) as those of labels, as the verbalizer pools them.

        A pair has one score, under the name of PAIR.
        """
        if self.paired:
            return {PAIR: word_scores[""]}
        return self.verbalizer.pooled(tuple(word_scores), tuple(word_scores.values()))


@dataclass(frozen=True)
class Names:
    """The columns that were named, whatever the template."""

    text: str | Sequence[str] | None = None  # of the text of a template that reads one; several are joined
    label: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    loose: bool = False  # they are for several templates: what one of them does not read is passed over

    def of(self, template: Template) -> dict[str, str]:
        """Field -> column for a template; raises OptionError for a field that it does not have, unless `loose`."""
        if not self.loose:
            return named(template, self.text, self.label, self.fields)
        known = (*template.reads, template.spec.label_field)
        fields = {name: column for name, column in self.fields.items() if name in known}
        return named(template, self.text if len(template.needs) == 1 else None, self.label, fields)

    @property
    def usual(self) -> dict[str, str]:
        """Field -> column under the usual names of fields, as long as there is no template."""
        text = self.text if isinstance(self.text, str | None) else joined(self.text)
        fields = {"text": text, "label": self.label, **self.fields}
        return {name: column for name, column in fields.items() if column}


def named(
    template: Template, text_field: str | Sequence[str] | None, label_field: str | None, fields: Mapping[str, str]
) -> dict[str, str]:
    """Field -> column for a template, as they were said; raises OptionError for a field that it does not have."""
    found: dict[str, str] = dict(fields)
    label = template.spec.label_field
    for name in found:
        if name not in (*template.reads, label):
            hint = did_you_mean(name, [*template.reads, label])
            raise OptionError(f"--map {name}=...: the template has no such field", hint=hint)
    if text_field is not None and text_field != "":
        if len(template.needs) != 1:
            needs = ", ".join(template.needs)
            raise OptionError(
                f"--text-field is for one text, the template needs {needs}", hint="use --map FIELD=COLUMN"
            )
        found[template.needs[0]] = text_field if isinstance(text_field, str) else joined(text_field)
    if label_field:
        found[label] = label_field
    return found
