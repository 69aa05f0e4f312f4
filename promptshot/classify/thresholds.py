"""The thresholds from which on labels hold, as a user says them: `0.3`, `a=0.3,b=0.7`, or the same as a mapping."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from promptshot.classify.decide import HALF
from promptshot.classify.numbered import number_of, of_json, of_pairs
from promptshot.errors import OptionError, did_you_mean, shortened, shortlist
from promptshot.prompts.task import Task

FLAG, WHAT = "--threshold", "threshold"
HOW = "write one number for all labels, or label=number,label=number"


def thresholds_of(said: str | float | Mapping[str, Any] | None, task: Task, odds: bool) -> tuple[float, ...] | None:
    """The threshold of each label, in their order; None where nothing was said and nothing is usual.

    With `odds` they are probabilities, and labels that are not named have the usual one. Raises OptionError.
    """
    usual = HALF if odds else None
    if said is None:
        return tuple(HALF for _ in task.labels) if odds else None
    if not isinstance(said, str):
        return (
            _each(said, task, usual) if isinstance(said, Mapping) else tuple(_number(said, odds) for _ in task.labels)
        )
    text = said.strip()
    if text.startswith("{"):
        return _each(of_json(text, FLAG, WHAT, HOW), task, usual)
    if "=" in text.replace("＝", "="):
        return _each(of_pairs(text, FLAG, WHAT, HOW), task, usual)
    return tuple(_number(text, odds) for _ in task.labels)


def _each(said: Mapping[str, Any], task: Task, usual: float | None) -> tuple[float, ...]:
    """A number for each label that is named, and the usual one for the others."""
    found: dict[str, float] = {}
    for name, value in said.items():
        label = name if name in task.labels else task.verbalizer.label_of(str(name))
        if label is None:
            what = f"{FLAG}: {str(name)!r} is none of the labels"
            raise OptionError(what, hint=did_you_mean(str(name), task.labels))
        if label in found:
            raise OptionError(f"{FLAG}: the label {label!r} has two thresholds", hint="keep one")
        found[label] = _number(value, usual is not None)
    lacking = [label for label in task.labels if label not in found]
    if lacking and usual is None:
        what = f"{FLAG}: no threshold for {shortlist(map(repr, lacking), 4)}"
        raise OptionError(what, hint="give each label one: for scores that are no odds, none is usual")
    return tuple(found.get(label, usual or 0.0) for label in task.labels)


def _number(said: Any, odds: bool) -> float:
    """A threshold: with odds a probability, else any number."""
    found = number_of(said)
    if not math.isfinite(found):
        raise OptionError(f"{FLAG}: {shortened(repr(said))} is no number", hint=HOW)
    if odds and not 0 <= found <= 1:
        raise OptionError(f"{FLAG}: {found:g} is no probability", hint="a label holds from a probability on: 0.3, say")
    return found
