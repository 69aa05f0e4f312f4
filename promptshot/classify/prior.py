"""What share of the rows each label has, as far as a user knows it; for pairs, rather than as their template has it.

uniform        all alike
label=p,...    shares that sum to 1 or 100, or counts
FILE           .yaml or .json with a number for each label; else rows, whose own labels are counted
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from promptshot.classify.numbered import number_of, of_json, of_pairs
from promptshot.errors import InputError, OptionError, RowError, did_you_mean, shortened, shortlist
from promptshot.prompts import strict
from promptshot.prompts.task import Task
from promptshot.rows import read
from promptshot.rows.once import STDIN, Once
from promptshot.rows.row import Row
from promptshot.rows.streams import PLAIN, Reading

UNIFORM = "uniform"
FLAG, WHAT = "--prior", "share"
NEARLY = 0.01  # by which shares may miss their sum, for people round
HOW = """write label=share,label=share (or {"label": share, ...} as JSON), name a file, or say uniform"""


def prior_of(said: str | Mapping[str, Any] | None, task: Task, how: Reading = PLAIN) -> dict[str, float] | None:
    """The share of each label, None where nothing was said; raises OptionError or InputError where it cannot be one."""
    if said is None:
        return None
    if task.own_words or task.several:
        why = "has other words in each row"
        why = "judges each label by itself, and none has a share of the rows" if task.several else why
        raise OptionError(f"--prior: {task.template.name} {why}", hint="leave it out")
    if isinstance(said, Mapping):
        return _shares(said, task, FLAG)
    text = said.strip()
    if text.lower() == UNIFORM:
        return {label: 1 / len(task.labels) for label in task.labels}
    if text.startswith("{"):
        return _shares(of_json(text, FLAG, WHAT, HOW), task, FLAG)
    if re.search("[=＝]", text) and not Path(text).is_file():
        return _shares(of_pairs(text, FLAG, WHAT, HOW), task, FLAG)
    if not text or not (isinstance(said, Once) or text == STDIN or Path(text).exists()):
        raise OptionError(f"{FLAG} {shortened(text or repr(text))}: no shares, and no such file", hint=HOW)
    if Path(text).suffix.lower() in (".yaml", ".yml", ".json") and (found := _mapping(text)):
        return _shares(found, task, text)
    return _shares(_counted(text, task, how), task, text)


def _mapping(path: str) -> Any:
    """What a file says as YAML, of which JSON is a part; None for what is no mapping of labels to numbers."""
    data = strict.load_source(Path(path)).data
    return data if isinstance(data, dict) and not any(isinstance(one, list | dict) for one in data.values()) else None


def _counted(path: str, task: Task, how: Reading) -> Mapping[str, int]:
    """How many rows of a file have each label."""
    found: Counter[str] = Counter()
    for item in read.read([path], task.columns, how):
        try:
            label = task.gold(item)[0] if isinstance(item, Row) else None
        except RowError:
            continue
        if isinstance(label, str):
            found[label] += 1
    if not found:
        raise InputError("no row has a label of ours to count", where=path, hint=f"{HOW}; {_known(task.labels)}")
    return found


def _shares(said: Mapping[str, Any], task: Task, where: str) -> dict[str, float]:
    """Numbers above 0, one for each label, as shares that sum to 1."""
    found: dict[str, float] = {}
    for name, value in said.items():
        label = name if name in task.labels else task.verbalizer.label_of(str(name))
        if label is None:
            hint = did_you_mean(str(name), task.labels)
            raise InputError(f"a share for {str(name)!r}, which is none of our labels", where=where, hint=hint)
        if label in found:
            raise InputError(f"two shares for the label {label!r}", where=where, hint="keep one")
        found[label] = _number(value, label, where)
    if lacking := [label for label in task.labels if label not in found]:
        rows = "; where no row has them, write shares yourself: a=0.9,b=0.1" if isinstance(said, Counter) else ""
        raise InputError(
            f"no share for {shortlist(map(repr, lacking), 4)}", where=where, hint=f"give all labels one{rows}"
        )
    total = sum(found.values())
    counted = all(share.is_integer() for share in found.values())
    if not (math.isfinite(total) and (counted or abs(total - 1) <= NEARLY or abs(total - 100) <= 100 * NEARLY)):
        raise InputError(
            f"the shares sum to {total:g}", where=where, hint="write shares that sum to 1 or 100, or counts of rows"
        )
    return {label: found[label] / total for label in task.labels}


def _number(value: Any, label: str, where: str) -> float:
    """A share or a count."""
    found = number_of(value)
    if not (math.isfinite(found) and found > 0):
        shown = shortened(repr(value))
        raise InputError(f"the share of {label!r} is {shown}, no number above 0", where=where, hint=HOW)
    return found


def _known(labels: Sequence[str]) -> str:
    return f"the labels are: {shortlist(labels)}"
