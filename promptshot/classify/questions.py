"""What a row asks of a scorer, and what the answers come to: a score for each word that may fill the blank.

A row asks one prompt; that it may ask several, which a window scores in one go, is why nobody else pairs rows with
prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from promptshot.classify import demonstrations
from promptshot.classify.demonstrations import Demonstrations
from promptshot.classify.recipe import Recipe
from promptshot.prompts.task import Task
from promptshot.rows.row import Row
from promptshot.scoring import Kind, Prompt, Scored, fault

EMPTY = "-"  # what stands for an empty row until its prompt is made: rows that say nothing are refused


class Answer(NamedTuple):
    """Word scores in the order of the choices (natural logarithms, or margins), and what is to be known of them."""

    words: Mapping[str, float]
    tokens: tuple[int, ...] = ()  # of each word, those of its own; none where they are not what is scored
    averaged: bool = False  # word scores are means over tokens, for the words differ in length
    cut: int = 0
    dropped: int = 0
    lacking: int = 0  # demonstrations that were the row itself, and no spare took their place
    unknown: bool = False  # the tokenizer knows nothing of the row's own text

    @property
    def split(self) -> int:
        """How many words have several tokens."""
        return sum(n > 1 for n in self.tokens)


class Questions:
    """The prompts of rows, and their answers."""

    def __init__(self, task: Task, drawn: Demonstrations | None = None) -> None:
        self.task, self.demonstrations = task, drawn

    @classmethod
    def of_recipe(cls, recipe: Recipe) -> Questions:
        """Those that a recipe asks, behind its demonstrations; no model is needed. Raises a PromptshotError."""
        return cls(recipe.task, demonstrations.of_recipe(recipe))

    def of(self, row: Row) -> tuple[Prompt, ...]:
        """What is asked of a row; raises RowError."""
        shots: Sequence[str] = ()
        if self.demonstrations:
            shots = [shot for shot in self.demonstrations.for_row(self.task.values(row)) if shot]
        return (self.task.prompt(row, shots),)

    def neutral(self, text: str) -> tuple[Prompt, ...]:
        """What would be asked of a row that says only `text`, which may be empty, wherever the template reads it."""
        rules, said = self.task.template.spec.fields, text or EMPTY
        holes = {name: rules[name].hole or "" for name in self.task.template.needs if name in rules}
        prompts = self.of(Row({name: said + holes.get(name, "") for name in self.task.template.needs}, "calibration"))
        return prompts if text else tuple(_emptied(prompt) for prompt in prompts)

    def answer(self, prompts: Sequence[Prompt], scored: Sequence[Scored]) -> Answer | str:
        """What the scores of a row's prompts come to, or why they come to nothing."""
        (prompt,), (found,) = prompts, scored
        if problem := found.error or fault(found, len(prompt.choices)):
            return problem
        told = (found.cut, found.dropped, self._lacking(prompt), found.unknown)
        if self.task.paired:
            return Answer({"": found.scores[0]}, (), False, *told)
        words: Sequence[float] = found.scores
        if averaged := self._averages(found):
            leads = found.lead or [0.0] * len(words)
            parts = zip(words, leads, found.tokens, strict=True)
            words = [(score - lead) / max(1, n) for score, lead, n in parts]
        of_word = dict(zip(prompt.choices, words, strict=True))
        counted = prompt.scored == "choice" and not self.task.template.kind.margin
        return Answer(of_word, found.tokens if counted else (), averaged, *told)

    def _lacking(self, prompt: Prompt) -> int:
        """How many demonstrations the prompt has fewer than were drawn."""
        drawn = self.demonstrations.drawn if self.demonstrations else ()
        return len(drawn) - sum(piece.kind is Kind.DEMO for piece in prompt.pieces) if drawn else 0

    def _averages(self, scored: Scored) -> bool:
        """Mean over a word's own tokens instead of the sum: as the template says, or under a cloze whose words
        differ in what is read for them, where sums would favour the short ones."""
        template = self.task.template
        if template.spec.normalize:
            return template.spec.normalize == "mean"
        uneven = len(set(scored.tokens)) > 1 or (any(scored.lead) and not all(scored.lead))
        return template.kind.means and uneven


def _emptied(prompt: Prompt) -> Prompt:
    """The prompt without what stands for an empty row."""
    pieces = [replace(piece, text="") if piece.kind is Kind.FIELD else piece for piece in prompt.pieces]
    return replace(prompt, pieces=tuple(pieces))
