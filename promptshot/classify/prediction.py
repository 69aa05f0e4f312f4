"""What is made of one row, and what of it goes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from promptshot.classify import finish
from promptshot.classify.calibrate import Fitted
from promptshot.classify.decide import Decision, sure
from promptshot.classify.recipe import Recipe
from promptshot.errors import shortlist
from promptshot.metrics import Label
from promptshot.rows.json_text import like
from promptshot.rows.row import Reject, Row, raw_of


@dataclass  # as a Row
class Prediction:
    """What was made of one row. Scores are natural logs (NSP: margins), before any softmax."""

    row: Row
    label: Label
    label_scores: Mapping[str, float]
    word_scores: Mapping[str, float]
    probabilities: Mapping[str, float] | None
    gold: Label | None = None
    gold_value: str | None = None
    cut: int = 0
    dropped: int = 0
    lacking: int = 0  # demonstrations that were the row itself, and no spare took their place
    averaged: bool = False  # word scores are means over tokens, for the words differ in length
    split: int = 0  # label words of several tokens
    tokens: tuple[int, ...] = ()  # of each word, those of its own; none where they are not what is scored
    unknown: bool = False  # the tokenizer knows nothing of the row's own text
    pieces: int = 1  # in which a long text was read
    beyond: int = 0  # tokens more than the model was trained on
    abstained: bool | None = None  # whether it is too unsure to be counted on; None where nobody asks
    shown: Any = None  # the label as the rows spell theirs; None where it goes by its name

    @property
    def probability(self) -> float | None:
        """The probability of the predicted label (of several see `sure`), None where labels have none."""
        return sure(self.label, self.probabilities) if self.probabilities else None

    @property
    def said(self) -> dict[str, Any]:
        """The label as it goes out: by its name, or as the rows spell theirs with the name beside it."""
        return {"prediction": self.label} if self.shown is None else {"prediction": self.shown, NAMED: self.label}

    @property
    def held(self) -> dict[str, bool]:
        """Whether it abstains, as it goes out; nothing where nobody asks."""
        return {} if self.abstained is None else {ABSTAINED: self.abstained}

    def record(self) -> dict[str, Any]:
        """The output row: the row's own fields, then what was found."""
        found = {
            **self.row.fields,
            **self.said,
            **self.held,
            "probability": self.probability,
            "probabilities": self.probabilities,
            "scores": self.label_scores,
            "word_scores": self.word_scores,
        }
        return like(self.row.fields, found)


Outcome = Prediction | Reject
NAMED = "prediction_label"  # where a label goes by its name if predictions are spelled as the rows spell theirs
ABSTAINED = "abstained"  # where a row says whether its prediction is too unsure
OUTPUT_FIELDS = ("prediction", "probability", "probabilities", "scores", "word_scores")


def output_fields(recipe: Recipe) -> tuple[str, ...]:
    """What every prediction of a recipe goes out with, in order."""
    first, *rest = OUTPUT_FIELDS
    named = [NAMED] if recipe.spelling else []
    return (first, *named, *([ABSTAINED] if recipe.abstain_below is not None else []), *rest)


def ended(prediction: Prediction, recipe: Recipe, fitted: Fitted | None) -> Prediction:
    """A prediction as it goes out: calibrated, held back where it is too unsure, spelled as the rows spell theirs."""
    if fitted is None and recipe.abstain_below is None and not recipe.spelling:
        return prediction
    more: dict[str, Any] = {}
    if fitted is not None:
        found = finish.calibrated(recipe, fitted, prediction.label_scores, prediction.word_scores)
        more |= {"label": found.label, "probabilities": found.probabilities}
    label, chances = more.get("label", prediction.label), more.get("probabilities", prediction.probabilities)
    if recipe.abstain_below is not None and chances:
        more["abstained"] = sure(label, chances) < recipe.abstain_below
    if (shown := spelled(label, recipe.spelling)) is not None:
        more["shown"] = shown
    return replace(prediction, **more) if more else prediction


def spelled(label: Label, spelling: Mapping[str, Any]) -> Any:
    """A label, or each of several, as the rows spell theirs; None where it goes by its name."""
    if isinstance(label, str) or not spelling:
        return spelling.get(label) if isinstance(label, str) else None
    return [spelling.get(name, name) for name in label]


def ensemble(outcomes: Sequence[Outcome], decision: Decision = finish.BEST) -> Outcome:
    """One prediction from the mean of the members' log-probabilities (see `finish.ensemble`); a Reject if any member
    has one."""
    members = [outcome for outcome in outcomes if isinstance(outcome, Prediction)]
    if len(members) < len(outcomes):
        return next(outcome for outcome in outcomes if isinstance(outcome, Reject))
    first = members[0]
    if len(members) == 1:
        return first
    if unlike := next((one for one in members if set(one.label_scores) != set(first.label_scores)), None):
        sets = [shortlist(one.label_scores, 6) for one in (first, unlike)]
        reason = f"the templates of the ensemble take other words from the row: {sets[0]} against {sets[1]}"
        return Reject(first.row.source, reason, raw_of(first.row), first.row.key)
    found = finish.ensemble([member.label_scores for member in members], decision)
    return replace(
        first,
        label=found.label,
        label_scores=found.label_scores,
        word_scores={
            f"{i}: {word}": s for i, member in enumerate(members, 1) for word, s in member.word_scores.items()
        },
        probabilities=found.probabilities,
        cut=max(member.cut for member in members),
        dropped=sum(member.dropped for member in members),
        lacking=max(member.lacking for member in members),
        split=max(member.split for member in members),
        tokens=tuple(n for member in members for n in member.tokens or (0,) * len(member.word_scores)),
        averaged=any(member.averaged for member in members),
        pieces=max(member.pieces for member in members),
        beyond=max(member.beyond for member in members),
        unknown=any(member.unknown for member in members),
    )
