"""What is worth saying beside the numbers, as data: a terminal, a page or a program tells it as it likes."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from promptshot.classify.recipe import Recipe
from promptshot.errors import many, printable, shortlist
from promptshot.kinds import KINDS, head_for
from promptshot.metrics import SetTally, Tally
from promptshot.paired import sign_test
from promptshot.runs.wrong import MOST, Worst

Code = Literal[
    # how sure the numbers are
    "above-majority",
    "near-majority",
    "below-majority",
    "leaning",
    "unbalanced",
    "calibrated",
    "fitted-here",
    "can-in-vain",
    "few-fitted",
    "left-out-of-dev",
    "at-bound",
    "edited",
    "thresholds",
    "no-label",
    "worse-calibrated",
    "one-draw",
    "built-in-model",
    "other-head",
    # where labels come from, and which of the rows' own count
    "transductive",
    "whitened",
    "doubt",
    "unknown-gold",
    "unlabelled",
    "nothing-counted",
    # what was done to rows on their way
    "changed",
    "cut",
    "in-pieces",
    "beyond",
    "odd",
    "dropped",
    "lacking",
    "unknown-text",
    "split-words",
    "caution",
    "rejected",
    # what is not, or not as it was, in the files
    "unlisted",
    "overwritten",
    "left-out-columns",
    "precision",
    # of a comparison
    "failed",
    "clearly-better",
    "not-clearly-better",
    "alone",
    "spread",
    "tested",
    "chosen-here",
    "fewer-rows",
    # of a suite of several tasks
    "published",
    "sampled",
    "no-average",
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

FAR, FAR_FROM_EVEN = 0.2, 0.3  # share of the rows that would need another label; more where no label tells
UNEVEN = 0.15  # of the labels' own shares, from which on a prior must be named
RARE = 0.001  # a chance below it is none
MOSTLY = 0.5  # of the rows, at least
LEAST = 30  # rows, from which on shares say something
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
        yield Remark("above-majority", f"clearly above {tally.baseline}", facts)
    elif high < max(majority, chance):
        yield Remark("below-majority", f"below {tally.baseline}", facts)
    else:
        yield Remark("near-majority", f"not clearly above {tally.baseline}", facts)


def leaning(
    tally: Tally, shots: bool = False, calibrate: str = "", prior: Mapping[str, float] | None = None
) -> Iterator[Remark]:
    """That nearly all rows were given one label, which says more of the prompt than of the rows unless the `prior`
    says so too; `shots` says whether demonstrations went before them, and `calibrate` is the command that takes such a
    bias out."""
    if lean := tally.leaning(prior):
        known = "they may not all be so" if lean.gold is None else f"{lean.gold:,} {'is' if lean.gold == 1 else 'are'}"
        given = f"{lean.given:,} of {many(lean.rows, 'row was', 'rows were')} given {lean.label!r}, and {known}"
        what = "the prompt leans to one label whatever the text says"
        more = "other demonstrations (--seed)" if shots else "demonstrations (--demos)"
        line = f"{given}: {what}; try other templates and label words (promptshot compare) or {more}"
        yield Remark("leaning", f"{line}, or {calibrate}" if calibrate else line, asdict(lean))


def unbalanced(tally: Tally, calibrate: str, prior: Mapping[str, float] | None = None) -> Iterator[Remark]:
    """That labels were predicted far more and less often than they are: by the rows' own labels, by the `prior` that
    was told, or else than all alike; `calibrate` is the command that takes such a bias out. A label that nearly all
    rows were given is told by `leaning`."""
    gold = tally.labelled >= LEAST
    counts, rows = (tally.guesses(), tally.labelled) if gold else (tally.predictions, tally.predicted)
    if tally.several or tally.leaning(prior) or rows < LEAST or len(tally.labels) < 2:
        return
    even = {label: 1 / len(tally.labels) for label in tally.labels}
    support = tally.support()
    shares = {label: support[label] / rows for label in tally.labels} if gold else prior or even
    given = {label: counts[label] / rows for label in tally.labels}
    over, under = (pick(tally.labels, key=lambda label: given[label] - shares[label]) for pick in (max, min))
    apart = _apart(given, shares)
    if gold:  # rows that got the label and are of another, against rows of it that got another
        hits = tally.confusion[over, over]
        chance = sign_test(counts[over] - hits, support[over] - hits)
    else:
        chance = math.erfc((given[over] - shares[over]) / math.sqrt(2 * shares[over] * (1 - shares[over]) / rows))
    if apart < (FAR if gold or prior else FAR_FROM_EVEN) or chance * len(tally.labels) >= RARE:
        return
    most, least = printable(over), printable(under)
    said = f"{most} was predicted for {given[over]:.0%} of the rows, {least} for {given[under]:.0%}"
    see = f"see {calibrate}" if gold or prior else f"if the labels are about equally frequent, see {calibrate}"
    if not prior and _apart(shares, even) > UNEVEN:
        see += "; name the shares of the labels there (--prior)"
    facts = {"over": over, "under": under, "predicted": given, "expected": dict(shares), "p": chance}
    yield Remark("unbalanced", f"{said}: {see}", facts)


def too_few(tally: Tally, advice: str = "") -> Iterator[Remark]:
    """That most rows were given none of several labels, or all of them, though not so many have none, or all."""
    if not isinstance(tally, SetTally) or tally.predicted < LEAST:
        return
    whole = tuple(tally.labels)
    for given, labels, which, own in ((tally.empty, (), "no label", "none"), (tally.full, whole, "every label", "all")):
        share = tally.sets[labels] / tally.judged if tally.judged else 0.0
        if given / tally.predicted >= MOSTLY and given / tally.predicted - share >= FAR:
            have = f", and {share:.0%} of those with gold labels have {own}" if tally.judged else ""
            line = f"{given:,} of {many(tally.predicted, 'row was', 'rows were')} given {which}{have}"
            more = advice.replace("lower", "raise") if labels else advice
            yield Remark("no-label", f"{line}{more}", {"rows": given, "of": tally.predicted, "labels": list(labels)})


def calibrating(path: str, prior: Mapping[str, float] | None = None) -> str:
    """The command to try on a file of predictions, with the prior that was told."""
    return f"promptshot calibrate {shlex.quote(path)} --method prior{by_prior(prior)}"


def by_prior(prior: Mapping[str, float] | None) -> str:
    """The option that tells a prior, where there is one."""
    shares = ",".join(f"{label}={share:.6g}" for label, share in (prior or {}).items())
    return f" --prior {shlex.quote(shares)}" if prior else ""


def _apart(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """The total variation of two distributions over the same labels."""
    return sum(abs(share - other[label]) for label, share in one.items()) / 2


def other_heads(recipes: Iterable[Recipe]) -> Iterator[Remark]:
    """That another head was asked than the scorer's own, and what it tells."""
    asked = dict.fromkeys((recipe.scorer, recipe.options.head) for recipe in recipes)
    for scorer, name in asked:
        if head_for(scorer, name):
            one = KINDS[scorer].stand_ins[name]
            line = f"the {one.head} was asked in the place of the {KINDS[scorer].head}: it tells {one.means}"
            yield Remark("other-head", line, {"scorer": scorer, "head": name})


def worse(before: Tally, after: Tally) -> Iterator[Remark]:
    """That calibration has lowered accuracy."""
    old, new = before.accuracy, after.accuracy
    if old is not None and new is not None and new < old:
        rows = before.correct - after.correct
        said = f"calibration lowered accuracy from {old:.1%} to {new:.1%} ({many(rows, 'row')} fewer right)"
        yield Remark("worse-calibrated", f"{said}: leave it out, or try another method", {"before": old, "after": new})


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
