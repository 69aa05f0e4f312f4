"""Calibration: what a prompt, its words or a model say whatever the text, taken out of the scores.

word scores --(- words)--> pooled --(/ temperature, + bias)--> probabilities, label

Each method fits these few numbers to something: to prompts that say nothing, to the scores of the whole run, or to
labelled rows. Fitted, all of them finish a row alone. What is saved of rows is raw, so any method can follow any other.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal, get_args

from promptshot.classify.decide import log_softmax
from promptshot.errors import OptionError, shortlist

Method = Literal["none", "content-free", "pmi", "prior", "batch", "can", "temperature", "few-label"]
METHODS: tuple[Method, ...] = get_args(Method)
OF_PROMPTS: tuple[Method, ...] = ("content-free", "pmi")
OF_RUN: tuple[Method, ...] = ("prior", "batch", "can")
OF_DEV: tuple[Method, ...] = ("temperature", "few-label")
OF_ANY_WORDS: tuple[Method, ...] = ("temperature",)  # also where each row has its own words
BY_PRIOR: tuple[Method, ...] = ("prior", "can")
NEUTRAL = ("N/A", "[MASK]", "")  # texts that say nothing (Zhao et al. 2021); the last is the domain's prompt as well
TOP, UNSURE = 3, 0.9  # CAN: labels whose entropy counts, and the share of its maximum from which on a row is unsure
HOTTEST = 100.0  # of a temperature; its inverse is the coldest
STEPS, SOFTEST, HARDEST = 1000, 1e-14, 1e6  # of Newton's method, and its damping
WEIGHT = 1.0  # of the squared biases of few-label, as in scikit-learn's C = 1

Scores = Mapping[str, float]
Neutral = Mapping[str, Scores | str]  # text that says nothing -> the scores of the words, or why there are none


@dataclass(frozen=True)
class Calibration:
    """How scores are calibrated, as plain data."""

    method: Method = "none"
    prior: Mapping[str, float] | None = None  # label -> its share of the rows; None: all alike
    dev: str | None = None  # the file of labelled rows

    @classmethod
    def of(cls, method: str, prior: Mapping[str, float] | None = None, dev: str | None = None) -> Calibration:
        """The same, refused where it does not go together; raises OptionError."""
        known = next((one for one in METHODS if one == method), None)
        if known is None:
            raise OptionError(f"no calibration {method!r}", hint=f"there is: {shortlist(METHODS)}")
        if known in OF_DEV and not dev:
            raise OptionError(f"calibration {known} needs labelled rows", hint="name a file of them: --dev FILE")
        if dev and known not in OF_DEV:
            raise OptionError(f"calibration {known} uses no labelled rows", hint="leave out --dev")
        if prior and known not in ("none", *BY_PRIOR):
            hint = f"leave it out, or take {' or '.join(BY_PRIOR)}"
            raise OptionError(f"calibration {known} uses no prior", hint=hint)
        return cls(known, prior, dev)

    def __bool__(self) -> bool:
        return self.method != "none"

    @property
    def transductive(self) -> bool:
        """Whether the whole run decides, so that scores wait for its end."""
        return self.method in OF_RUN

    def identity(self) -> dict[str, Any]:
        """What of it decides labels, as plain data; nothing where there is none."""
        if not self:
            return {}
        return {"calibration": {"method": self.method, "dev": self.dev, **self._prior}}

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain data, for the run record; nothing where nothing was said."""
        if not self and self.prior is None:
            return {}
        return {"calibration": {"method": self.method, **({"dev": self.dev} if self.dev else {}), **self._prior}}

    @property
    def _prior(self) -> dict[str, Any]:
        return {"prior": dict(self.prior)} if self.prior else {}

    def shares(self, labels: Sequence[str]) -> list[float]:
        """The share of each label."""
        return [self.prior[label] for label in labels] if self.prior else [1 / len(labels) for _ in labels]


@dataclass(frozen=True)
class Fitted:
    """The numbers that a method has fitted, for one run; `rows` is how many it has seen (0: prompts only)."""

    method: Method
    rows: int = 0
    left_out: int = 0  # rows of the file of labelled ones that have no label of ours
    words: tuple[Scores, ...] = ()  # of each member of an ensemble, subtracted from the scores of its words
    bias: Scores = field(default_factory=dict)  # added to label scores
    temperature: float = 1.0  # label scores are divided by it
    sure: Scores = field(default_factory=dict)  # CAN: the sums of the probabilities of the sure rows,
    sure_rows: int = 0  # their number,
    prior: Scores = field(default_factory=dict)  # and the shares that they should have

    def scores(self, label_scores: Scores) -> dict[str, float]:
        """The label scores (natural logarithms or margins) of one row after calibration, of which probabilities are the
        softmax; its words are calibrated before."""
        if self.sure_rows:
            return self._alternated(label_scores)
        by = self.temperature
        return {label: score / by + self.bias.get(label, 0.0) for label, score in label_scores.items()}

    def _alternated(self, label_scores: Scores) -> dict[str, float]:
        """An unsure row under the sure ones, its column made the prior's and then its row a distribution (Jia
        et al. 2021; one iteration, alpha 1); a sure one as it is."""
        logs = log_softmax(label_scores)
        if entropy(logs) < UNSURE:
            return dict(label_scores)
        found = {}
        for label, log in logs.items():
            column = (self.sure[label] + math.exp(log)) / (self.sure_rows + 1)
            # Where nothing else stands in the column, the row is all of it, however little that is.
            ratio = log - math.log(column) if column else math.log(self.sure_rows + 1)
            found[label] = math.log(self.prior[label]) + ratio
        return found


def entropy(logs: Scores) -> float:
    """The entropy of the likeliest TOP labels, as a share of its maximum, by the logarithms of their probabilities."""
    top = log_softmax(dict(enumerate(sorted(logs.values())[-TOP:])))  # type: ignore[arg-type]
    return -math.fsum(math.exp(log) * log for log in top.values()) / math.log(len(top))


# ------------------------------------------------------------------ from prompts that say nothing


def of_prompts(method: Method, neutral: Sequence[Neutral]) -> Fitted:
    """Content-free (Zhao et al. 2021) or domain-conditional (PMI, Holtzman et al. 2021) from the scores of the prompts
    of each member; raises OptionError where they have none."""
    if not neutral:
        raise OptionError(f"calibration {method} needs the scores of prompts that say nothing, and there are none")
    texts = NEUTRAL if method == "content-free" else NEUTRAL[-1:]
    words = []
    for one in neutral:
        said = [_said(one, text, method) for text in texts]
        words.append(_mean(said) if method == "content-free" else said[0])
    return Fitted(method, words=tuple(words))


def _said(neutral: Neutral, text: str, method: Method) -> Scores:
    """The scores of the words where a row's text is `text`; raises OptionError with the reason where there are none."""
    found = neutral.get(text, "it was not asked")
    if isinstance(found, str):
        shown = repr(text) if text else "the empty text"
        raise OptionError(f"calibration {method} cannot be: the prompt with {shown} has no scores ({found})")
    return found


def _mean(said: Sequence[Scores]) -> dict[str, float]:
    """The logarithms of the words' mean probabilities; of each prompt, the words together have probability 1."""
    logs = [log_softmax(scores) for scores in said]
    found = {}
    for word in logs[0]:
        top = max(log[word] for log in logs)
        found[word] = top + math.log(math.fsum(math.exp(log[word] - top) for log in logs) / len(logs))
    return found


# ------------------------------------------------------------------ from the whole run


def of_run(calibration: Calibration, rows: Iterable[Scores]) -> Fitted:
    """Prior matching, batch calibration or CAN from the label scores of all rows, which have the same labels."""
    kept = iter(rows)
    first = next(kept, None)
    if first is None:
        return Fitted(calibration.method)
    labels, prior = tuple(first), calibration.shares(tuple(first))
    if calibration.method == "can":
        return _can(dict(zip(labels, prior, strict=True)), chain([first], kept))
    chances = _chances(labels, first, kept)
    batch = calibration.method == "batch"
    bias = [-_log_mean(column) for column in chances.T] if batch else _matching(chances, prior)
    return Fitted(calibration.method, len(chances), bias=_centred(labels, bias))


def _chances(labels: Sequence[str], first: Scores, rest: Iterable[Scores]) -> Any:
    """The logarithms of the probabilities of all rows, an array of rows x labels."""
    import numpy as np

    flat = array("d", [first[label] for label in labels])
    for row in rest:
        flat.extend([row[label] for label in labels])
    return _log_softmax(np.frombuffer(flat).reshape(-1, len(labels)))


def _log_softmax(scores: Any) -> Any:
    """Scores of rows x labels as logarithms of probabilities."""
    import numpy as np

    scores = scores - scores.max(axis=1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))


def _log_mean(logs: Any) -> float:
    """The logarithm of the mean of numbers that are given by their logarithms."""
    import numpy as np

    top = logs.max()
    return float(top + np.log(np.exp(logs - top).mean()))


def _centred(labels: Sequence[str], bias: Sequence[float]) -> dict[str, float]:
    """Biases around 0: a number added to all of them changes no probability."""
    middle = math.fsum(bias) / len(bias)
    return {label: float(one - middle) for label, one in zip(labels, bias, strict=True)}


def _matching(logs: Any, prior: Sequence[float]) -> list[float]:
    """The biases with which the mean over rows of softmax(scores + bias) is the prior.

    They are where the mean of log sum exp(scores + bias), less the mean bias under the prior, is least: it is convex,
    and its gradient is the mean probability less the prior.
    """
    import numpy as np

    shares = np.array(prior)

    def slopes(bias: Any) -> tuple[float, Any, Any]:
        moved = logs + bias
        top = moved.max(axis=1, keepdims=True)
        chances = np.exp(moved - top)
        total = chances.sum(axis=1, keepdims=True)
        chances /= total
        value = float((top + np.log(total)).mean() - shares @ bias)
        curve = np.diag(chances.mean(axis=0)) - chances.T @ chances / len(chances)
        return value, chances.mean(axis=0) - shares, curve

    return _least(slopes, len(prior))


def _can(prior: Scores, rows: Iterable[Scores]) -> Fitted:
    """Classification with alternating normalization: what the sure rows add up to."""
    count, sure = 0, dict[str, list[float]]((label, []) for label in prior)
    for row in rows:
        logs = log_softmax(row)
        count += 1
        if entropy(logs) < UNSURE:
            for label, log in logs.items():
                sure[label].append(math.exp(log))
    sums = {label: math.fsum(chances) for label, chances in sure.items()}
    return Fitted("can", count, sure=sums, sure_rows=len(next(iter(sure.values()))), prior=prior)


# ------------------------------------------------------------------ from labelled rows


def of_dev(method: Method, rows: Sequence[Scores], gold: Sequence[str]) -> Fitted:
    """A temperature (Guo et al. 2017), or a bias for each label, from the label scores of rows with known labels."""
    if method == "temperature":
        return Fitted(method, len(rows), temperature=_temperature(rows, gold))
    import numpy as np

    labels = tuple(rows[0])
    scores = np.array([[row[label] for label in labels] for row in rows], dtype=np.float64)
    right = np.array([[label == one for label in labels] for one in gold], dtype=np.float64)

    def slopes(bias: Any) -> tuple[float, Any, Any]:
        logs = _log_softmax(scores + bias)
        chances = np.exp(logs)
        value = float(-(logs * right).sum() + WEIGHT / 2 * (bias @ bias))
        curve = np.diag(chances.sum(axis=0) + WEIGHT) - chances.T @ chances
        return value, (chances - right).sum(axis=0) + WEIGHT * bias, curve

    bias = _least(slopes, len(labels))
    return Fitted(method, len(rows), bias=dict(zip(labels, bias, strict=True)))


def _temperature(rows: Sequence[Scores], gold: Sequence[str]) -> float:
    """The temperature, within [1/HOTTEST, HOTTEST], under which the gold labels are likeliest.

    In its inverse the mean of -log p is convex: halving finds where its slope, the mean of the scores that are expected
    less that of the gold ones, changes its sign, to the last digit.
    """

    def slope(inverse: float) -> float:
        found = []
        for scores, label in zip(rows, gold, strict=True):
            logs = log_softmax({name: score * inverse for name, score in scores.items()})
            found += [math.exp(log) * (scores[name] - scores[label]) for name, log in logs.items()]
        return math.fsum(found)

    low, high = 1 / HOTTEST, HOTTEST
    if slope(low) >= 0:
        return HOTTEST
    if slope(high) <= 0:
        return 1 / HOTTEST
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 1 / low


def _least(slopes: Callable[[Any], tuple[float, Any, Any]], size: int) -> list[float]:
    """Where a convex function is least, from 0: `slopes` gives its value, gradient and second derivatives.

    Newton's steps, damped (Levenberg 1944) as long as they do not lead down, which also crosses the plains of scores
    that lie far apart. The value shows only half the digits: in the end it is the gradient that must become smaller.
    """
    import numpy as np

    place, damping = np.zeros(size), 1.0
    value, slope, curve = slopes(place)
    for _ in range(STEPS):
        step = np.linalg.solve(curve + damping * np.eye(size), slope)
        there = slopes(place - step)
        down = there[0] < value or (there[0] <= value + abs(value) * 1e-14 and _size(there[1]) < _size(slope))
        if down:
            place, (value, slope, curve) = place - step, there
        elif damping > HARDEST:
            break
        damping = max(damping / 10, SOFTEST) if down else damping * 10
    return [float(one) for one in place]


def _size(slope: Any) -> float:
    return float(abs(slope).max())
