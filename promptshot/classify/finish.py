"""From word scores to a label: pooled, made probabilities, decided. Pure: no scorer, no file.

A run comes this way, and so does whoever starts from what a run has kept: both agree to the last digit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from promptshot.classify import decide
from promptshot.classify.recipe import Recipe
from promptshot.prompts.task import PAIR, Task


class Finished(NamedTuple):
    """Label scores and probabilities (None for a pair), and the label; empty as long as the whole run decides it."""

    label_scores: Mapping[str, float]
    probabilities: Mapping[str, float] | None
    label: str


def finish(task: Task, word_scores: Mapping[str, float], decision: decide.Decision) -> Finished:
    """What the scores of a row's words come to (see `Answer.words`)."""
    scores = task.label_scores(word_scores)
    return Finished(scores, None if task.paired else decide.softmax(scores), decision.label(scores))


def ensemble(members: Sequence[Mapping[str, float]]) -> Finished:
    """The mean of several members' log-probabilities, by the label scores of each; all have the same labels."""
    logs = [decide.log_softmax(scores) for scores in members]
    scores = {label: sum(log[label] for log in logs) / len(logs) for label in logs[0]}
    return Finished(scores, decide.softmax(scores), decide.best(scores))


def finished(recipe: Recipe, rows: Sequence[Mapping[str, Any]]) -> list[Finished]:
    """The same from what a run wrote of its rows (`word_scores`; of pairs `scores`), without a model.

    Raises KeyError where a row has none of these.
    """
    if recipe.others:
        return [ensemble([member.label_scores for member in _members(recipe, row["word_scores"])]) for row in rows]
    kept = [{"": row["scores"][PAIR]} if recipe.task.paired else row["word_scores"] for row in rows]
    found = [finish(recipe.task, words, recipe.decision) for words in kept]
    if not isinstance(recipe.decision, decide.Ranks):
        return found
    labels = recipe.decision.labels(one.label_scores for one in found)
    return [one._replace(label=label) for one, label in zip(found, labels, strict=True)]


def _members(recipe: Recipe, words: Mapping[str, float]) -> list[Finished]:
    """What the members of an ensemble come to, whose words are numbered: `1: good`."""
    found = []
    for i, member in enumerate((recipe, *recipe.others), 1):
        own = {word.removeprefix(f"{i}: "): s for word, s in words.items() if word.startswith(f"{i}: ")}
        found.append(finish(member.task, own, member.decision))
    return found
