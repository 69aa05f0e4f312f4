"""JSON as it was written: numbers keep all their digits, half characters become escapes that every reader takes.

A float cannot say 0.1234567890123456789, and Python would write 1E2 as 100.0 and 1.10 as 1.1. Such a number is a float
all the same, which also knows its text; an object that holds one is `Exact`, so that only these few take the slow way
out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


class Exact(dict[str, Any]):
    """An object that holds a number, at any depth, whose text says more than its value."""


class Float(float):
    """A number with a text of its own."""

    text: str

    def __new__(cls, text: str) -> Float:
        """The number that the text says."""
        self = super().__new__(cls, text)
        self.text = text
        return self

    def __reduce__(self) -> tuple[type[Float], tuple[str]]:
        """How it is made again in another process."""
        return Float, (self.text,)


class Int(int):
    """The same for -0, of which an int forgets the sign."""

    text = "-0"


def like(model: Mapping[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """An object made from the fields of another, which holds numbers of the same kind."""
    return Exact(fields) if isinstance(model, Exact) else fields


def dumps(value: Any) -> str:
    """A value as JSON on one line, its numbers as they were written."""
    if isinstance(value, Float | Int):
        return value.text
    if isinstance(value, dict):
        return "{" + ", ".join(f"{ENCODER.encode(str(key))}: {dumps(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(dumps, value))}]"
    return ENCODER.encode(value)


def encoded(fields: Mapping[str, Any]) -> str:
    """An object as JSON on one line, the quick way where that loses nothing."""
    return dumps(fields) if isinstance(fields, Exact) else ENCODER.encode(fields)


def encodable(text: str) -> str:
    """JSON with half characters (legal as escapes) as escapes again, so that UTF-8 can be written."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "".join(f"\\u{ord(c):04x}" if 0xD800 <= ord(c) <= 0xDFFF else c for c in text)
    return text
