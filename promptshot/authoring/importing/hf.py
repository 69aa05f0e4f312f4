"""The hypothesis of a zero-shot pipeline, "This example is {}.": a premise, and an hypothesis with the label in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from promptshot.authoring.importing.draft import BLANK, BREAK, ENTAILING, Draft, Part, Told
from promptshot.authoring.importing.given import Given
from promptshot.authoring.importing.python import Code, calls, is_program
from promptshot.errors import TemplateError, did_you_mean, shortened, shortlist

USUAL = "This example is {}."  # of the pipeline
KEYS = ("hypothesis_template", "candidate_labels", "multi_label", "sequences")


def draft_of(given: Given, told: Told) -> Draft:
    """The draft of a hypothesis, of a call of the pipeline, or of its arguments as YAML; raises TemplateError."""
    said, where = _arguments(given, told)
    hypothesis = said.get("hypothesis_template", USUAL)
    if not isinstance(hypothesis, str):
        raise TemplateError("hypothesis_template: must be text", where=where, hint="write it out")
    halves = hypothesis.strip("\n").split("{}")
    if len(halves) != 2 or "{" in "".join(halves) or "}" in "".join(halves):
        what = f"{shortened(hypothesis, 60)!r} does not have {{}} once, where the label goes"
        raise TemplateError(what, where=where, hint=f"write it as in {USUAL}")
    parts = [Part("field", "text"), BREAK, Part("text", halves[0]), BLANK, Part("text", halves[1])]
    labels = _labels(said.get("candidate_labels"), where)
    return Draft(ENTAILING, parts, {label: [label] for label in labels}, several=_is_true(said.get("multi_label")))


def _arguments(given: Given, told: Told) -> tuple[Mapping[str, Any], str]:
    """What the pipeline is given, by name."""
    if is_program(given.text):
        for call in calls(given.text, given.where):
            labels = call.value("candidate_labels", 1)
            if labels is not None:
                where = f"{given.where}:{call.line}"
                if any(isinstance(one, Code) for one in (labels, *call.named.values())):
                    told.lose("an argument that is code", where, "write it out as text")
                plain = {key: value for key, value in call.named.items() if not isinstance(value, Code)}
                return {**plain, "candidate_labels": None if isinstance(labels, Code) else labels}, where
        raise TemplateError("no call of a zero-shot pipeline", where=given.where, hint="paste it with candidate_labels")
    if "candidate_labels" in given.text or "hypothesis_template" in given.text:
        data, lines = given.yaml().sound(TemplateError)
        if not isinstance(data, dict):
            raise TemplateError("no mapping of keys to values", where=given.where, hint=f"it has {shortlist(KEYS)}")
        for name in data:
            if name not in KEYS:
                where = f"{given.where}:{lines[(name,)]}"
                raise TemplateError(f"unknown key {shortened(repr(name))}", where=where, hint=did_you_mean(name, KEYS))
        return data, given.where
    return {"hypothesis_template": given.text}, given.where


def _labels(said: Any, where: str) -> Sequence[str]:
    """Candidate labels: a list, or a text with commas, as the pipeline takes them."""
    if said is None:
        return []
    found = [one.strip() for one in said.split(",")] if isinstance(said, str) else said
    if not isinstance(found, list) or not all(isinstance(one, str) and one.strip() for one in found):
        raise TemplateError("candidate_labels: must be texts", where=where, hint="write [sports, politics]")
    return list(dict.fromkeys(one.strip() for one in found))


def _is_true(said: Any) -> bool:
    return said is True or said in ("true", "True")
