"""A task: a template, its label words, and the columns that serve them (the pattern-verbalizer pair of PET).

Whoever asks what a row's label is, or what may fill its blank, asks here. Three shapes stand behind it: the same words
for every row, words that each row brings, and pairs without a blank, whose one score is cut into ordered labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from promptshot.prompts import Template
from promptshot.rows import Item, Row, with_columns
from promptshot.scoring import Prompt
from promptshot.verbalizer import RowWords, Verbalizer

Gold = tuple[str | None, str | None]  # our label, and how the row spells it
PAIR = "is_next"  # what the one score of a pair is called


@dataclass(frozen=True)
class Task:
    """What is asked of a row, and which labels there are to choose from."""

    template: Template
    verbalizer: Verbalizer
    columns: Mapping[str, str] = field(default_factory=dict)  # field -> column, where it was named

    @property
    def paired(self) -> bool:
        """Whether rows are pairs with one score each, and no blank."""
        return bool(self.template.spec.ordered)

    @property
    def own_words(self) -> bool:
        """Whether each row brings the words to choose from, which are its labels."""
        return isinstance(self.verbalizer, RowWords)

    @property
    def labels(self) -> Sequence[str]:
        """The labels to choose from, ties going to the first; none where every row brings its own."""
        return self.template.spec.ordered or self.verbalizer.names

    @property
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

    def gold(self, row: Row) -> Gold:
        """A row's own label, None where it has no known one, and how it spells it. Raises RowError for several."""
        return self.verbalizer.gold_label(row, row.column(self.label_field))

    def place(self, row: Row) -> tuple[int, int] | None:
        """The place among its own words that a row's label says as a bare number, and the largest there is, both
        counted from 0; None where it says none. Raises RowError."""
        words = self.verbalizer
        return words.numbered(row, row.column(self.label_field)) if isinstance(words, RowWords) else None

    def prompt(self, row: Row, demonstrations: Sequence[str] = ()) -> Prompt:
        """The prompt of a row behind finished demonstrations, the oldest first; raises RowError."""
        return self.template.render(row, self.choices(row), demonstrations)

    def demonstration(self, row: Row, label: str) -> str:
        """The row's text with the likeliest word of a label in its blank, and the separator. Raises RowError."""
        words = self.verbalizer.labels.get(label, {label: 1.0})
        return self.template.fill(row, max(words, key=words.__getitem__))

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
        return self.verbalizer.pooled([*word_scores], [*word_scores.values()])
