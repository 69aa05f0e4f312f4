"""What some rows come to: counts that can be added to those of the rows before them, wherever they were counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from promptshot.classify import decide
from promptshot.classify.prediction import Outcome, Prediction
from promptshot.classify.recipe import Recipe
from promptshot.metrics import Tally, tally_of
from promptshot.rows.row import Reject
from promptshot.runs.wrong import Worst, Wrong

EXAMPLES = 10  # predictions kept for people to look at
FIRST = 3  # rejected rows kept for the same
_SUMS = ("cut", "pieced", "pieces", "beyond", "odd", "dropped", "short", "lacking", "unknown")
_LARGEST = ("most_dropped", "split", "averaged")
_FIRST = ("first_odd", "first_unknown")


@dataclass(kw_only=True)
class Counted:
    """Counts of rows that follow one another.

    Sums of fractions are made a window at a time, and these are added: a run by one process and one by many come to
    the same digits.
    """

    tally: Tally
    before: Tally | None = None  # the same rows before calibration
    worst: Worst = field(default_factory=Worst)  # rows that went wrong
    cut: int = 0  # rows whose text was shortened
    pieced: int = 0  # rows that were read in pieces
    pieces: int = 0  # of all these
    beyond: int = 0  # rows that were longer than what the model was trained on, and read so
    odd: int = 0  # rows that were read and look odd
    first_odd: str = ""  # where the first of them is, and why
    dropped: int = 0  # demonstrations left out, over all rows
    short: int = 0  # rows that lost some of them
    most_dropped: int = 0  # of one row
    lacking: int = 0  # rows with fewer demonstrations than asked for
    split: int = 0  # label words of several tokens
    tokens: dict[str, int] = field(default_factory=dict)  # of each label word; 0 where they differ from row to row
    averaged: bool = False
    unknown: int = 0  # rows of whose text the tokenizer knows nothing
    first_unknown: str = ""  # where the first of them is
    examples: list[Prediction] = field(default_factory=list)  # the first few
    rejects: list[Reject] = field(default_factory=list)  # the first few

    @classmethod
    def of(cls, outcomes: Iterable[Outcome], recipe: Recipe, wrong: int = 0) -> Counted:
        """What came of the rows of a window; so many of those that went wrong are kept."""
        before = Tally(recipe.labels) if recipe.calibration else None
        found = Counted(tally=tally_of(recipe.labels, recipe.task.several), before=before, worst=Worst(wrong))
        for outcome in outcomes:
            if isinstance(outcome, Reject):
                found.tally.rejected += 1
                found.rejects += [outcome] if len(found.rejects) < FIRST else []
            else:
                found._see(outcome, recipe)
        return found

    def include(self, behind: Counted) -> None:
        """Add the counts of the rows behind."""
        self.tally.include(behind.tally)
        if self.before is not None and behind.before is not None:
            self.before.include(behind.before)
        self.worst.include(behind.worst, self.tally.mistakes)
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(behind, name))
        for name in _LARGEST:
            setattr(self, name, max(getattr(self, name), getattr(behind, name)))
        for name in _FIRST:
            setattr(self, name, getattr(self, name) or getattr(behind, name))
        self._see_tokens(behind.tokens)
        self.examples += behind.examples[: EXAMPLES - len(self.examples)]
        self.rejects += behind.rejects[: FIRST - len(self.rejects)]

    def _see(self, outcome: Prediction, recipe: Recipe) -> None:
        if len(self.examples) < EXAMPLES:
            self.examples.append(outcome)
        choices = None if self.tally.labels else len(outcome.label_scores)
        said = (outcome.gold, outcome.gold_value, choices)
        probability, chances = outcome.probability, outcome.probabilities
        self.tally.add(outcome.label, *said, probability, chances, bool(outcome.abstained))
        if self.before is not None:
            raw, first = decide.softmax(outcome.label_scores), decide.best(outcome.label_scores)
            self.before.add(first, *said, raw[first], raw)
        gold, label, key = outcome.gold, outcome.label, outcome.row.key
        if gold is not None and gold != label and self.worst.wants(key, gold, label, probability):
            wrong = Wrong.of(outcome.row, gold, label, probability, recipe.template.needs)
            self.worst.add(wrong)
        self.split = max(self.split, outcome.split)
        self.averaged |= outcome.averaged
        if outcome.tokens and not recipe.task.own_words and tuple(self.tokens.values()) != outcome.tokens:
            self._see_tokens(dict(zip(outcome.word_scores, outcome.tokens, strict=True)))
        if outcome.cut or outcome.dropped or outcome.lacking or outcome.pieces > 1 or outcome.beyond:
            self._see_length(outcome)
        if outcome.row.remark:
            self.odd += 1
            self.first_odd = self.first_odd or f"{outcome.row.source}: {outcome.row.remark}"
        if outcome.unknown:
            self.unknown += 1
            self.first_unknown = self.first_unknown or outcome.row.source

    def _see_length(self, outcome: Prediction) -> None:
        """A row with which something was done to make it fit."""
        self.cut += outcome.cut > 0
        if outcome.pieces > 1:
            self.pieced += 1
            self.pieces += outcome.pieces
        self.beyond += outcome.beyond > 0
        self.dropped += outcome.dropped
        self.short += outcome.dropped > 0
        self.most_dropped = max(self.most_dropped, outcome.dropped)
        self.lacking += outcome.lacking > 0

    def _see_tokens(self, tokens: dict[str, int]) -> None:
        if tokens and tokens != self.tokens:
            self.tokens = {word: n if self.tokens.get(word, n) == n else 0 for word, n in tokens.items()}
