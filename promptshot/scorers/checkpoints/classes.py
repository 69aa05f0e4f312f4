"""Which class of a model for inference is entailment: its configuration says it by name, in many spellings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptshot.errors import HeadError, shortlist
from promptshot.kinds import ScorerKind

_NOT = re.compile(r"\s*(not|non|no|un|不|非|未|无)", re.IGNORECASE)
_ENTAILS = re.compile("entail|蕴含|蕴涵", re.IGNORECASE)
_CONTRADICTS = re.compile("contradict|矛盾", re.IGNORECASE)
_NAMELESS = re.compile(r"LABEL_\d+")


@dataclass(frozen=True)
class Inference:
    """The numbers of two classes: entailment, and what speaks against it."""

    entailment: int
    against: int


def names(config: Any) -> dict[int, str]:
    """The classes of a model by their numbers; those of `label2id` where `id2label` has no names for them."""
    said = {int(number): str(name) for number, name in (config.id2label or {}).items()}
    if all(map(_NAMELESS.fullmatch, said.values())):
        other = {int(number): str(name) for name, number in (config.label2id or {}).items()}
        return other if other.keys() == said.keys() else said
    return said


def check(kind: ScorerKind, name: str, config: Any) -> None:
    """Refuse a model that has no classes of the kind; raises HeadError."""
    made = re.search(kind.made, " ".join(config.architectures or ()))
    if not made and all(map(_NAMELESS.fullmatch, names(config).values())):
        raise HeadError(f"no {kind.head}: its config.json speaks of none", where=name, hint=kind.hints[0])
    of_inference(config, name)


def of_inference(config: Any, name: str = "") -> Inference:
    """Entailment and contradiction among the classes of a model, whatever their order and spelling; where there is no
    contradiction, all that is not entailment. Raises HeadError where names do not tell."""
    found = names(config)
    entail = _numbers(found, lambda label: bool(_ENTAILS.search(label)) and not _NOT.match(label))
    against = _numbers(found, lambda label: bool(_CONTRADICTS.search(label)) and not _NOT.match(label))
    if not against:
        against = _numbers(found, lambda label: bool(_ENTAILS.search(label) and _NOT.match(label)))
    if not against and len(found) == 2 and len(entail) == 1:
        against = [number for number in found if number not in entail]
    if len(entail) != 1 or len(against) != 1:
        raise _unclear(found, entail, name)
    other = {str(label): int(number) for label, number in (config.label2id or {}).items()}
    if other.get(found[entail[0]], entail[0]) != entail[0]:
        what = f"id2label and label2id in its config.json say different numbers for {found[entail[0]]!r}"
        raise HeadError(what, where=name, hint="mend it: no telling which class is entailment")
    return Inference(entail[0], against[0])


def _numbers(found: Mapping[int, str], is_one: Any) -> list[int]:
    return [number for number, label in found.items() if is_one(label)]


def _unclear(found: Mapping[int, str], entail: Sequence[int], name: str) -> HeadError:
    """Why classes of these names are of no use."""
    listed = shortlist((found[number] for number in sorted(found)), 6)
    if all(map(_NAMELESS.fullmatch, found.values())):
        hint = "if it was trained on inference, give them their names in id2label of its config.json: entailment, ..."
        return HeadError(f"its classes have no names ({listed})", where=name, hint=hint)
    lacking = "are not one entailment and one contradiction" if entail else "none is entailment"
    what = f"its classes {listed} {lacking}" if entail else f"of its classes ({listed}) {lacking}"
    return HeadError(what, where=name, hint="use a model that was trained on natural language inference")
