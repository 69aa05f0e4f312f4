"""What every tool is given: the same strings, in plain data that any Python can read.

A case is one row, rendered once. Our own scorers take its pieces, the others the strings they want of it.
Nothing here imports more than the standard library: the tools live in environments of their own.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

Pair = tuple[str, str]


@dataclass(frozen=True)
class Case:
    """One row: the pieces (kind, text) of its prompt, the words for the blank, and the row's own text."""

    pieces: tuple[Pair, ...]
    choices: tuple[str, ...]
    text: str = ""

    @property
    def segments(self) -> tuple[str, ...]:
        """The one or two texts, with {} where the blank is and braces of the text doubled."""
        parts = [""]
        for kind, text in self.pieces:
            if kind == "break":
                parts.append("")
            else:
                parts[-1] += "{}" if kind == "mask" else text.replace("{", "{{").replace("}", "}}")
        return tuple(parts)

    def filled(self, word: str) -> tuple[str, ...]:
        """The one or two texts with the word in the blank."""
        return tuple(part.format(word) for part in self.segments)


@dataclass(frozen=True)
class Work:
    """Rows of one kind, and what a tool must know beside them."""

    name: str
    about: str
    scorer: str  # mlm | nsp | causal
    cases: tuple[Case, ...]
    max_length: int | None = None  # tokens; every case fits, nothing is cut
    openprompt: str = ""  # the template in OpenPrompt's own language, for the row's text

    def write(self, path: Path) -> None:
        """As JSON, for `read`."""
        path.write_text(json.dumps(asdict(self), ensure_ascii=False), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Work:
        """From JSON."""
        said = json.loads(path.read_text(encoding="utf-8"))
        cases = tuple(
            Case(tuple((kind, text) for kind, text in case["pieces"]), tuple(case["choices"]), case["text"])
            for case in said.pop("cases")
        )
        return cls(cases=cases, **said)


def completions(case: Case) -> list[Pair]:
    """(context, continuation) of each choice, as a multiple-choice task of lm-evaluation-harness builds them:

    the context without the space at its end, and the choice behind a space (its target delimiter).
    """
    (whole,) = case.segments
    context, blank, rest = whole.partition("{}")
    if not blank or rest:
        raise ValueError("a completion ends with its blank")
    before = context.format()
    delimiter = " " if before.endswith(" ") else ""
    return [(before.removesuffix(" "), delimiter + choice) for choice in case.choices]


def sample(cases: tuple[Case, ...], most: int) -> tuple[Case, ...]:
    """At most so many cases, evenly from the whole, so that long and short ones keep their shares."""
    step = max(1, -(-len(cases) // max(1, most)))
    return cases[::step]
