"""From word scores to a label: pooled, calibrated, made probabilities, decided. Pure: no scorer, no file.

A run comes this way, and so does whoever starts from what a run has kept: both agree to the last digit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from promptshot.classify import decide
from promptshot.classify.calibrate import Fitted
from promptshot.classify.recipe import Recipe
from promptshot.metrics import Label
from promptshot.prompts.task import PAIR, Task


class Finished(NamedTuple):
    """Label scores, raw, and what comes of them: probabilities (None where there are none) and the label, or labels;
    empty as long as the whole run decides it."""

    label_scores: Mapping[str, float]
    probabilities: Mapping[str, float] | None
    label: Label


def finish(task: Task, word_scores: Mapping[str, float], decision: decide.Decision) -> Finished:
    """What the scores of a row's words come to (see `Answer.words`)."""
    scores = task.label_scores(word_scores)
    return Finished(scores, decision.probabilities(scores), decision.label(scores))


BEST = decide.Best()


def ensemble(members: Sequence[Mapping[str, float]], decision: decide.Decision = BEST) -> Finished:
    """The mean of several members' log-probabilities, by the label scores of each; all have the same labels. Where
    each label is judged by itself, the mean of its scores."""
    several = isinstance(decision, decide.Several)
    logs = [scores if several else decide.log_softmax(scores) for scores in members]
    scores = {label: sum(log[label] for log in logs) / len(logs) for label in logs[0]}
    return Finished(scores, decision.probabilities(scores), decision.label(scores))


def calibrated(
    recipe: Recipe, fitted: Fitted, label_scores: Mapping[str, float], word_scores: Mapping[str, float]
) -> Finished:
    """What the raw scores of a row, as a run writes them, come to after calibration; they stay as they are."""
    scores = label_scores
    if fitted.words:
        members = [
            finish(member.task, {word: own[word] - minus[word] for word in own}, member.decision)
            for member, own, minus in zip(
                (recipe, *recipe.others), _words_of(recipe, word_scores), fitted.words, strict=True
            )
        ]
        found = ensemble([one.label_scores for one in members]) if recipe.others else members[0]
        scores = found.label_scores
    scores = fitted.scores(scores)
    return Finished(label_scores, decide.softmax(scores), decide.best(scores))


def finished(recipe: Recipe, rows: Sequence[Mapping[str, Any]], fitted: Fitted | None = None) -> list[Finished]:
    """The same from what a run wrote of its rows (`word_scores`; of pairs `scores`), without a model; calibrated by
    what it has fitted.

    Raises KeyError where a row has none of these.
    """
    found = _finished(recipe, rows)
    if fitted is None:
        return found
    kept = zip(found, rows, strict=True)
    return [calibrated(recipe, fitted, one.label_scores, row["word_scores"]) for one, row in kept]


def _finished(recipe: Recipe, rows: Sequence[Mapping[str, Any]]) -> list[Finished]:
    """What comes of the rows before any calibration."""
    if recipe.others:
        members = (recipe, *recipe.others)
        return [
            ensemble(
                [
                    member.task.label_scores(own)
                    for member, own in zip(members, _words_of(recipe, row["word_scores"]), strict=True)
                ],
                recipe.decision,
            )
            for row in rows
        ]  # fmt: skip
    kept = [{"": row["scores"][PAIR]} if recipe.task.paired else row["word_scores"] for row in rows]
    found = [finish(recipe.task, words, recipe.decision) for words in kept]
    if not isinstance(recipe.decision, decide.Ranks):
        return found
    labels = recipe.decision.labels(one.label_scores for one in found)
    return [one._replace(label=label) for one, label in zip(found, labels, strict=True)]


def _words_of(recipe: Recipe, words: Mapping[str, float]) -> list[Mapping[str, float]]:
    """The scores of each member's words, which are numbered in an ensemble: `1: good`."""
    if not recipe.others:
        return [words]
    return [
        {word.removeprefix(f"{i}: "): score for word, score in words.items() if word.startswith(f"{i}: ")}
        for i in range(1, len(recipe.others) + 2)
    ]
