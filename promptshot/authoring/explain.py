"""Why a row got its label: what its label words, their tokens, its clauses, its demonstrations and templates do.

A part's effect is the log-odds of the label with it, less that without it: above 0 it speaks for the label. What is
left out of a row is one more prompt; all prompts of a template are scored in one call, the row itself among them.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from promptshot.authoring.clauses import clauses, words
from promptshot.classify import decide, finish
from promptshot.classify.calibrate import Fitted, Method
from promptshot.classify.classifier import Classifier
from promptshot.classify.prediction import Outcome, Prediction
from promptshot.classify.questions import Questions
from promptshot.errors import OptionError, RowError, many
from promptshot.prompts.task import PAIR, Task
from promptshot.prompts.verbalizer import Pool, RowWords, Verbalizer, Words
from promptshot.rows.row import Reject, Row
from promptshot.runs.remarks import Remark
from promptshot.scoring import Kind, Prompt, Spelling, TokenScore

SMALLEST = sys.float_info.min  # a probability that is as good as none


@dataclass(frozen=True)
class Part:
    """What can be left out: its text, where it stands, its effect, and what comes without it.

    A pair has no probabilities: the effect is on its score. `problem` is why it cannot be left out.
    """

    text: str
    place: str = ""  # the field of a clause
    effect: float | None = None
    label: str = ""
    probability: float | None = None  # of the label that is explained
    problem: str = ""


@dataclass(frozen=True)
class WordPart:
    """A label word of a template: its score, the part of its label's score that it is, and its tokens, where these are
    what is scored; the effect of leaving it out, None for its label's only word."""

    template: str
    label: str
    word: str
    score: float
    part: float
    tokens: tuple[TokenScore, ...] = ()
    averaged: bool = False  # the score is the mean over the tokens that stand not before the word, and not the sum
    effect: float | None = None


@dataclass(frozen=True)
class TemplatePart:
    """A template of an ensemble: what it says alone, the part of the label's score that it is, and its effect."""

    name: str
    label: str
    probability: float
    part: float
    effect: float | None = None


@dataclass(frozen=True)
class Explanation:
    """The prediction of a row, and the parts that it comes from."""

    prediction: Prediction
    name: str
    model: str
    scorer: str
    clauses: tuple[Part, ...] = ()
    words: tuple[WordPart, ...] = ()
    demonstrations: tuple[Part, ...] = ()
    templates: tuple[TemplatePart, ...] = ()
    calibration: Method = "none"

    @property
    def label(self) -> str:
        """The label that is explained; empty for a pair whose label is decided by a whole run."""
        return _label(self.prediction)

    @property
    def value(self) -> float:
        """The log-odds of the label; of a pair, its score."""
        return _value(self.prediction, self.label)

    @property
    def measure(self) -> str:
        """What effects are on."""
        return "log-odds" if self.prediction.probabilities else "score"

    def remarks(self) -> Iterator[Remark]:
        """What a reader should know beside the numbers."""
        found = self.prediction
        if self.calibration != "none":
            line = f"probabilities are calibrated ({self.calibration}); the scores of words are as the model gave them"
            yield Remark("calibrated", line, {"method": self.calibration})
        if found.probabilities is None:
            what = (
                "its label is decided over a whole run" if not self.label else "its label comes from fixed thresholds"
            )
            yield Remark("transductive", f"a pair has one score, and no probabilities: {what}")
        if found.cut:
            yield Remark(
                "cut", f"{many(found.cut, 'token')} of the row were cut to fit the model", {"tokens": found.cut}
            )
        if found.dropped:
            lost = many(found.dropped, "demonstration does", "demonstrations do")
            yield Remark("dropped", f"{lost} not fit and is left out, the oldest first", {"dropped": found.dropped})
        if found.unknown:
            yield Remark("unknown-text", "the tokenizer knows nothing of the row's text")
        if len(self.clauses) == 1:
            yield Remark("one-clause", "the row has one clause only: nothing of it can be left out")

    def record(self) -> dict[str, Any]:
        """Everything as plain data."""
        found = self.prediction
        return {
            **found.record(),
            "source": found.row.source,
            "gold": found.gold,
            "template": self.name,
            "scorer": self.scorer,
            "model": self.model,
            "calibration": self.calibration,
            "measure": self.measure,
            "value": self.value,
            "clauses": [asdict(part) for part in self.clauses],
            "words": [asdict(word) for word in self.words],
            "demonstrations": [asdict(part) for part in self.demonstrations],
            "templates": [asdict(part) for part in self.templates],
            "remarks": [remark.line for remark in self.remarks()],
        }


def explain(classifier: Classifier, row: Row) -> Explanation:
    """Why a row gets its label; raises RowError for one that cannot be used, OptionError where a whole run decides."""
    recipe = classifier.recipe
    if recipe.transductive and not recipe.task.paired:
        what = "labels that are decided over a whole run cannot be explained for one row"
        raise OptionError(what, hint="leave the calibration out")
    if recipe.task.several:
        what = f"{recipe.name} judges each label by itself, and the label of a row is what is explained"
        raise OptionError(what, hint="leave out --multi-label, or take a template without 'labels: several'")
    members = (classifier, *classifier.others)
    asked = [_Variants(member.questions, row) for member in members]
    live = [_with(member, questions) for member, questions in zip(members, asked, strict=True)]
    live[0].others = tuple(live[1:])
    variants = asked[0].variants
    outcomes = list(live[0].outcomes([replace(row, key=i) for i in range(len(variants))]))
    whole = outcomes[0]
    if isinstance(whole, Reject):
        raise RowError(whole.reason, where=whole.source)
    whole = replace(whole, row=row, label="" if isinstance(classifier.decision, decide.Ranks) else whole.label)
    kept = zip(variants[1:], outcomes[1:], strict=True)
    parts = [(one.kind, _part(one, outcome, whole, asked)) for one, outcome in kept]
    scored = _of_members(classifier, whole)
    return Explanation(
        whole,
        recipe.name,
        recipe.model,
        recipe.scorer,
        tuple(part for kind, part in parts if kind is Kind.FIELD),
        tuple(_words(members, asked, scored, whole)),
        tuple(part for kind, part in parts if kind is Kind.DEMO),
        tuple(_templates(members, scored, whole)) if classifier.others else (),
        recipe.calibration.method,
    )


# ------------------------------------------------------------------ what is left out


@dataclass(frozen=True)
class _Variant:
    """A row without one part, as the prompts that it asks; `problem` is why there are none."""

    prompts: tuple[Prompt, ...]
    kind: Kind = Kind.FIXED  # of what is left out: nothing, a FIELD or a DEMO
    text: str = ""
    place: str = ""
    problem: str = ""


class _Variants(Questions):
    """The questions of one row and of its variants, which go by their numbers as rows go by their keys."""

    def __init__(self, questions: Questions, row: Row) -> None:
        """Raises RowError where the row itself cannot be asked for."""
        vars(self).update(vars(questions))
        whole = questions.of(row)
        self.variants = [_Variant(whole), *_without_clauses(self.task, row, whole), *_without_demonstrations(whole)]

    def of(self, row: Row) -> tuple[Prompt, ...]:
        """What is asked of the variant of that number; raises RowError where nothing can be."""
        variant = self.variants[row.key]
        if variant.problem:
            raise RowError(variant.problem, where=row.source)
        return variant.prompts

    def of_rows(self, rows: Sequence[Row]) -> list[Any]:
        """The same for several."""
        return [RowError(v.problem, where=r.source) if (v := self.variants[r.key]).problem else v.prompts for r in rows]


def _with(classifier: Classifier, questions: Questions) -> Classifier:
    """The same classifier, and scorer, with other questions."""
    found = copy.copy(classifier)
    found.questions, found.others = questions, ()
    return found


def _without_clauses(task: Task, row: Row, whole: Sequence[Prompt]) -> Iterator[_Variant]:
    """The row without each clause of the fields that its template reads, behind the same demonstrations."""
    read = [part.text for parts in task.template.segments for part in parts if part.kind is Kind.FIELD]
    fields = {name: value for name in dict.fromkeys(read) if isinstance(value := row[name], str | list)}
    parts = {name: clauses(value) if isinstance(value, str) else list(value) for name, value in fields.items()}
    if sum(map(len, parts.values())) == 1:  # a headline
        parts = {name: words(of[0]) if isinstance(of[0], str) else of for name, of in parts.items()}
    for name, of in parts.items():
        for number, part in enumerate(of):
            left = [*of[:number], *of[number + 1 :]]
            text = left if isinstance(fields[name], list) else "".join(left)
            shown = str(part).strip()
            try:
                prompt = task.prompt(_changed(row, name, text))
            except RowError as problem:
                yield _Variant((), Kind.FIELD, shown, name, problem.what)
                continue
            prompts = tuple(replace(one, pieces=(*_shots(one), *prompt.pieces)) for one in whole)
            yield _Variant(prompts, Kind.FIELD, shown, name)


def _changed(row: Row, name: str, value: Any) -> Row:
    """The row with another value of a field, whatever column it had it from."""
    columns = {field: column for field, column in row.columns.items() if field != name}
    return replace(row, fields={**row.fields, name: value}, columns=columns)


def _shots(prompt: Prompt) -> list[Any]:
    return [piece for piece in prompt.pieces if piece.kind is Kind.DEMO]


def _without_demonstrations(whole: Sequence[Prompt]) -> Iterator[_Variant]:
    """The row without each of its demonstrations."""
    for number, prompt in enumerate(whole):
        for place, piece in enumerate(prompt.pieces):
            if piece.kind is Kind.DEMO:
                less = replace(prompt, pieces=(*prompt.pieces[:place], *prompt.pieces[place + 1 :]))
                prompts = (*whole[:number], less, *whole[number + 1 :])
                yield _Variant(prompts, Kind.DEMO, f"{piece.text.strip()} {piece.answer}".strip())


def _part(variant: _Variant, outcome: Outcome, whole: Prediction, asked: Sequence[_Variants]) -> Part:
    """What leaving a part out does."""
    if isinstance(outcome, Reject):
        return Part(variant.text, variant.place, problem=outcome.reason)
    label = _label(whole)
    effect = _value(whole, label) - _value(outcome, label)
    chance = (outcome.probabilities or {}).get(label)
    return Part(variant.text, variant.place, effect, _label(outcome) if outcome.probabilities else "", chance)


def _value(prediction: Prediction, label: str) -> float:
    """The log-odds of a label; of a pair, its score."""
    chances = prediction.probabilities
    if chances is None:
        return prediction.label_scores[PAIR]
    return _log_odds(chances, label)


def _log_odds(chances: Mapping[str, float], label: str) -> float:
    others = math.fsum(chance for name, chance in chances.items() if name != label)
    return math.log(max(SMALLEST, chances.get(label, 0.0))) - math.log(max(SMALLEST, others))


# ------------------------------------------------------------------ words and templates


@dataclass(frozen=True)
class _Member:
    """What a template of an ensemble, or the only one, makes of the row: raw scores, and those whose words are
    calibrated, which are the same without calibration."""

    verbalizer: Verbalizer
    word_scores: Mapping[str, float]
    words_after: Mapping[str, float]
    label_scores: Mapping[str, float]  # raw
    labels_after: Mapping[str, float]


def _of_members(classifier: Classifier, whole: Prediction) -> list[_Member]:
    """The word scores of an ensemble are numbered: `1: good`."""
    members, fitted = (classifier, *classifier.others), classifier.fitted
    found = []
    for number, member in enumerate(members, 1):
        start = f"{number}: " if classifier.others else ""
        own = {word[len(start) :]: score for word, score in whole.word_scores.items() if word.startswith(start)}
        verbalizer = member.task.verbalizer
        if isinstance(verbalizer, RowWords):
            verbalizer = Verbalizer(verbalizer.name, {word: {word: 1.0} for word in own})
        minus = fitted.words[number - 1] if fitted and fitted.words else {}
        after = {word: score - minus.get(word, 0.0) for word, score in own.items()}
        found.append(_Member(verbalizer, own, after, _pooled(verbalizer, own), _pooled(verbalizer, after)))
    return found


def _pooled(verbalizer: Verbalizer, scores: Mapping[str, float]) -> dict[str, float]:
    return verbalizer.pooled(tuple(scores), tuple(scores.values())) if scores else {}


def _together(label_scores: Sequence[Mapping[str, float]], fitted: Fitted | None) -> Mapping[str, float]:
    """The probabilities of one template, or of an ensemble, calibrated by what has been fitted."""
    scores = label_scores[0] if len(label_scores) == 1 else finish.ensemble(label_scores).label_scores
    return decide.softmax(fitted.scores(scores) if fitted else scores)


def _words(
    members: Sequence[Classifier], asked: Sequence[_Variants], scored: Sequence[_Member], whole: Prediction
) -> Iterator[WordPart]:
    """Every label word of every template."""
    if whole.probabilities is None:
        return
    fitted, all_scores, label = members[0].fitted, [one.labels_after for one in scored], _label(whole)
    now = _log_odds(_together(all_scores, fitted), label)
    for number, (member, questions, one) in enumerate(zip(members, asked, scored, strict=True)):
        spelled = _spelled(member, questions.variants[0].prompts)
        for label, of in one.verbalizer.labels.items():
            parts = _parts(of, one.word_scores, one.verbalizer.pool)
            for word in of:
                tokens, score, effect = spelled.get(word, ()), one.word_scores[word], None
                if len(of) > 1:
                    less = {**one.labels_after, label: _without(word, of, one)}
                    without = [*all_scores[:number], less, *all_scores[number + 1 :]]
                    effect = now - _log_odds(_together(without, fitted), _label(whole))
                averaged = bool(tokens) and whole.averaged and _is_mean(tokens, score)
                name = member.recipe.template.name
                yield WordPart(name, label, word, score, parts[word], tokens, averaged, effect)


def _without(word: str, words: Words, scored: _Member) -> float:
    """The score of a label without one of its words."""
    rest = {other: weight for other, weight in words.items() if other != word}
    alone = Verbalizer("", {"": rest}, pool=scored.verbalizer.pool)
    return alone.pooled(tuple(rest), [scored.words_after[other] for other in rest])[""]


def _parts(words: Words, scores: Mapping[str, float], pool: Pool) -> dict[str, float]:
    """The part of a label's score that each word is: they sum to it.

    Under mean, its weighted share; under max, all of it for the best; under logsumexp the score in the shares of the
    words' (weighted) probabilities.
    """
    if pool == "mean":
        total = sum(words.values())
        return {word: weight * scores[word] / total for word, weight in words.items()}
    if pool == "max":
        best = max(words, key=scores.__getitem__)
        return {word: scores[word] if word == best else 0.0 for word in words}
    weighted = {word: math.log(weight) + scores[word] for word, weight in words.items()}
    top = max(weighted.values())
    whole = top + math.log(math.fsum(math.exp(score - top) for score in weighted.values()))
    return {word: whole * math.exp(score - whole) for word, score in weighted.items()}


def _spelled(member: Classifier, prompts: Sequence[Prompt]) -> dict[str, tuple[TokenScore, ...]]:
    """The tokens of each choice, where the scorer's scores are sums over tokens, and a row asks one prompt."""
    if len(prompts) != 1 or not isinstance(member.scorer, Spelling):
        return {}
    (found,) = member.scorer.spell(prompts)
    return dict(zip(prompts[0].choices, found, strict=True)) if found else {}


def _is_mean(tokens: Sequence[TokenScore], score: float) -> bool:
    """Whether a score is the mean over the tokens of the word itself."""
    own = [token.score for token in tokens if not token.lead]
    mean, whole = math.fsum(own) / max(1, len(own)), math.fsum(token.score for token in tokens)
    return abs(mean - score) <= abs(whole - score)


def _templates(members: Sequence[Classifier], scored: Sequence[_Member], whole: Prediction) -> Iterator[TemplatePart]:
    """Every template of an ensemble: its part is its log-probability, of which the ensemble's score is the mean."""
    fitted, all_scores, label = members[0].fitted, [one.labels_after for one in scored], _label(whole)
    now = _log_odds(_together(all_scores, fitted), label)
    for number, (member, one) in enumerate(zip(members, scored, strict=True)):
        logs = decide.log_softmax(one.label_scores)
        rest = [*all_scores[:number], *all_scores[number + 1 :]]
        effect = now - _log_odds(_together(rest, fitted), label)
        best = decide.best(one.label_scores)
        part = logs[label] / len(members)
        yield TemplatePart(member.recipe.template.name, best, math.exp(logs[label]), part, effect)


def _label(prediction: Prediction) -> str:
    """The one label of a row."""
    assert isinstance(prediction.label, str)
    return prediction.label
