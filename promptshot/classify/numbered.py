"""Numbers for labels as a user says them: `a=0.3,b=0.7`, or as JSON; each label has one."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from promptshot.errors import OptionError, shortened


def number_of(value: Any) -> float:
    """A number, or its text; NaN for anything else. `1_0`, which Python takes for ten, may as well be 1.0."""
    if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def of_json(text: str, flag: str, what: str, how: str) -> Mapping[str, Any]:
    """A mapping as a file of options gives it; raises OptionError where it is none of what is meant, as `how` shows."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return _each_once(pairs, flag, what)

    try:
        found = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise OptionError(f"{flag} {shortened(text)}: no {what}s", hint=how)
    return found


def of_pairs(text: str, flag: str, what: str, how: str) -> Mapping[str, str]:
    """`a=0.3,b=0.7`; raises OptionError likewise."""
    found = list[tuple[str, str]]()
    for part in filter(None, map(str.strip, re.split("[,，]", text))):
        label, _, number = (one.strip() for one in part.replace("＝", "=").rpartition("="))
        if not label:
            raise OptionError(f"{flag}: {shortened(part)} is the {what} of no label", hint=how)
        found.append((label, number))
    return _each_once(found, flag, what)


def _each_once(pairs: list[tuple[str, Any]], flag: str, what: str) -> dict[str, Any]:
    """Raises OptionError for a label that has two numbers."""
    found = dict[str, Any]()
    for label, number in pairs:
        if label in found:
            raise OptionError(f"{flag}: the label {label!r} has two {what}s", hint="keep one")
        found[label] = number
    return found
