"""What is worth saying beside the numbers, as data: a terminal, a page or a program tells it as it likes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from promptshot.errors import many, printable, shortlist
from promptshot.metrics import Tally
from promptshot.runs.wrong import MOST, Worst

Code = Literal[
    # how sure the numbers are
    "above-majority",
    "near-majority",
    "below-majority",
    "leaning",
    "one-draw",
    "built-in-model",
    # where labels come from, and which of the rows' own count
    "transductive",
    "doubt",
    "unknown-gold",
    "unlabelled",
    "nothing-counted",
    # what was done to rows on their way
    "changed",
    "cut",
    "odd",
    "dropped",
    "lacking",
    "unknown-text",
    "split-words",
    "rejected",
    # what is not, or not as it was, in the files
    "unlisted",
    "overwritten",
    "left-out-columns",
    # of a comparison
    "failed",
    "clearly-better",
    "not-clearly-better",
    "alone",
    "spread",
    "tested",
    "chosen-here",
    "fewer-rows",
    # of suggested label words
    "soft-labels",
    "one-clause",
    "few-rows",
    "unjudged",
    "not-better",
    # of two files
    "clear-difference",
    "no-clear-difference",
    "no-common-labels",
    # what was run, on what
    "recipe",
    "columns",
    "machine",
    "label-words",
    "versions",
]

MAJORITY: tuple[Code, ...] = ("above-majority", "near-majority", "below-majority")


@dataclass(frozen=True)
class Remark:
    """One thing that a reader of the numbers must know: what it is, the line that says it, and the numbers in it."""

    code: Code
    line: str
    facts: Mapping[str, Any] = field(default_factory=dict)  # plain data


def against_majority(tally: Tally) -> Iterator[Remark]:
    """Whether accuracy is clearly above that of the majority class, and of guessing, where there are labelled rows."""
    interval, majority, chance = tally.interval, tally.majority, tally.chance
    if interval is None or majority is None or chance is None:
        return
    low, high = interval
    facts = {"accuracy": tally.accuracy, "low": low, "high": high, "majority": majority, "chance": chance}
    if low > max(majority, chance):
        yield Remark("above-majority", "clearly above the majority class", facts)
    elif high < max(majority, chance):
        yield Remark("below-majority", "below the majority class", facts)
    else:
        yield Remark("near-majority", "not clearly above the majority class", facts)


def leaning(tally: Tally, shots: bool = False) -> Iterator[Remark]:
    """That nearly all rows were given one label, which says more of the prompt than of the rows; `shots` says whether
    demonstrations went before them."""
    if lean := tally.lean:
        known = "they may not all be so" if lean.gold is None else f"{lean.gold:,} {'is' if lean.gold == 1 else 'are'}"
        given = f"{lean.given:,} of {many(lean.rows, 'row was', 'rows were')} given {lean.label!r}, and {known}"
        what = "the prompt leans to one label whatever the text says"
        more = "other demonstrations (--seed)" if shots else "demonstrations (--demos)"
        line = f"{given}: {what}; try other templates and label words (promptshot compare) or {more}"
        yield Remark("leaning", line, asdict(lean))


def unknown_gold(tally: Tally) -> Iterator[Remark]:
    """That rows have labels which are none of ours, and which these are."""
    if rows := tally.unknown_gold.total():
        values = [value for value, _ in tally.unknown_gold.most_common()]
        have = many(rows, "row has", "rows have")
        line = f"{have} a label that is none of ours, not counted: {shortlist(map(printable, values), 8)}"
        yield Remark("unknown-gold", line, {"rows": rows, "values": values})


def unlisted(tally: Tally, worst: Worst) -> Iterator[Remark]:
    """That not all rows that went wrong are in the file that was asked for."""
    wrong = tally.labelled - tally.correct
    if MOST <= worst.most < wrong:
        line = f"--errors has the {worst.most:,} surest of {wrong:,} rows that went wrong"
        yield Remark("unlisted", line, {"listed": worst.most, "wrong": wrong})
