"""A text in clauses: at the marks of Chinese and English that end or part sentences, nothing lost between them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

MOST = 64  # parts of a text; of more, neighbours go together
# A Chinese mark parts wherever it stands; an English one before white space or the end, for there are 3.5 and 1,000.
_MARK = re.compile(r"(?:[。！？；，、：…]+|[.!?;:,]+(?=[\s”’\"'）)】》」』\]]|$)|\n+)[”’\"'）)】》」』\]]*\s*")
_WORD = re.compile(r"\S+\s*")


def clauses(text: str) -> list[str]:
    """The clauses of a text, which together are the text; one without a letter or digit belongs to the one before."""
    ends = [found.end() for found in _MARK.finditer(text)]
    parts = [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]
    found: list[str] = []
    for part in parts:
        if found and not (any(map(str.isalnum, part)) and any(map(str.isalnum, found[-1]))):
            found[-1] += part
        else:
            found.append(part)
    return together(found)


def words(text: str) -> list[str]:
    """The words of a text that has spaces between them; they, too, are the text together."""
    begun = len(text) - len(text.lstrip())
    found = _WORD.findall(text)
    return together([text[:begun] + found[0], *found[1:]] if found else [text])


def together(parts: Sequence[str]) -> list[str]:
    """At most MOST of them, as even as can be, neighbours joined."""
    count = min(MOST, len(parts))
    edges = [len(parts) * i // count for i in range(count + 1)] if count else [0]
    return ["".join(parts[start:end]) for start, end in pairwise(edges)]
