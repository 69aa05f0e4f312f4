"""Templates as they are said on a command line: a name, a file, or a text with a blank."""

from __future__ import annotations

import json
import re
from pathlib import Path

from promptshot.errors import TemplateError
from promptshot.kinds import KINDS
from promptshot.prompts import library, strict
from promptshot.prompts.template import Template, TemplateSpec

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\']|\'\')*\'', re.DOTALL)
_LIST = re.compile(rf"\s*\[\s*(?:{_QUOTED.pattern})(?:\s*,\s*(?:{_QUOTED.pattern}))*\s*,?\s*\]\s*", re.DOTALL)


def template_of(said: str, scorer: str, folder: Path | None) -> Template:
    """The template of that name or path; text with a brace in it is a template itself.

    Two segments are a list, ["This is {mask} news", "{text}"]; for `nsp` also "This is {mask} news | {text}".
    """
    if "{" not in said:
        return library.template(said, folder)
    text: str | list[str] = _listed(said) or (said if 1 in KINDS[scorer].segments else said.split(" | "))
    made = strict.build({"scorer": scorer, "text": text}, TemplateSpec, TemplateError, "-t", {})
    return Template.of(made, "inline", "-t")


def is_two(said: str) -> bool:
    """Whether a text, as `template_of` reads it, has two segments."""
    return bool(_listed(said)) or " | " in said


def _listed(said: str) -> list[str]:
    """The texts of a list as JSON and YAML write it in one line, each in quotes; empty where that is no such list.

    A line break that was typed as such is one, in both kinds of quotes.
    """
    if not _LIST.fullmatch(said):
        return []
    found = [match[0] for match in _QUOTED.finditer(said)]
    try:
        return [json.loads(one, strict=False) if one[0] == '"' else one[1:-1].replace("''", "'") for one in found]
    except ValueError:  # a backslash with something else behind it
        return [one[1:-1] for one in found]
