"""JSON as it was written: numbers keep all their digits, half characters become escapes that every reader takes.

A float cannot say 0.1234567890123456789, and Python would write 1E2 as 100.0 and 1.10 as 1.1. Such a number is a float
all the same, which also knows its text; an object that holds one is `Exact`, so that only these few take the slow way
out. So does what orjson cannot write: half characters, integers of more than 64 bits. Lines of files have no spaces
between their parts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
SPACED, UNSPACED = (", ", ": "), (",", ":")  # what parts items, and names from values


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


def dumps(value: Any, between: tuple[str, str] = SPACED) -> str:
    """A value as JSON on one line, its numbers as they were written."""
    if isinstance(value, Float | Int):
        return value.text
    item, name = between
    if isinstance(value, dict):
        parts = (f"{_key(key)}{name}{dumps(part, between)}" for key, part in value.items())
        return f"{{{item.join(parts)}}}"
    if isinstance(value, list | tuple):
        return f"[{item.join(dumps(part, between) for part in value)}]"
    if between is UNSPACED and isinstance(value, float) and math.isfinite(value):
        return orjson.dumps(value).decode()  # as in the lines beside it
    return ENCODER.encode(value)


def _key(key: Any) -> str:
    """The name of a value; other things than texts as they would be written themselves."""
    return ENCODER.encode(key if isinstance(key, str) else ENCODER.encode(key))


def lines_of(objects: Iterable[Mapping[str, Any]]) -> bytes:
    """Objects as the lines of a file; each is put away at once, for fresh from orjson it takes far more memory."""
    found = bytearray()
    for one in objects:
        found += line(one)
    return bytes(found)


def line(fields: Mapping[str, Any]) -> bytes:
    """An object as a line of a file, the quick way where that loses nothing; raises ValueError for NaN."""
    quick = b"" if isinstance(fields, Exact) else _quick(fields)
    return quick or f"{encodable(dumps(fields, UNSPACED))}\n".encode()


def _quick(fields: Mapping[str, Any]) -> bytes:
    """The same by orjson; nothing where it cannot write it, or would write NaN as null."""
    try:
        found = orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        return b""
    return found if b"null" not in found or _finite(fields) else b""


def _finite(value: Any) -> bool:
    """Whether all numbers in it are such."""
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def encodable(text: str) -> str:
    """JSON with half characters (legal as escapes) as escapes again, so that UTF-8 can be written."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "".join(f"\\u{ord(c):04x}" if 0xD800 <= ord(c) <= 0xDFFF else c for c in text)
    return text
