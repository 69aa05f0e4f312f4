"""Which tool a text comes from, and its way to a file of ours."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from promptshot.authoring.importing import hf, lm_bff, lm_eval, openprompt, paddlenlp, pet, promptsource
from promptshot.authoring.importing.draft import Draft, Imported, Told, finished
from promptshot.authoring.importing.given import Given
from promptshot.errors import OptionError
from promptshot.prompts.labels import Labels

LM_EVAL = "lm-eval"
# What tells the texts of a tool, the surest first.
_SIGNS = {
    LM_EVAL: r"^(doc_to_(text|target|choice)|output_type)\s*:",
    "promptsource": r"\|\|\||^(jinja|templates)\s*:|answer_choices\s*:",
    "pet": r"\bself\.mask\b|\bdef get_parts\b",
    "lm-bff": r"\*(cls|mask|\+?sentl?-?_\d)\*",
    "openprompt": r"\{\s*[\"'](placeholder|meta|special)[\"']\s*[:,}]",
    "paddlenlp": r"\{\s*[\"'](text|hard|options|sep|prefix)[\"']\s*[:,}]",
    "hf": r"\{\}|candidate_labels|hypothesis_template",
}
TOOLS = (*_SIGNS,)


@dataclass(frozen=True)
class Wish:
    """What a user says beside the text: the tool, the words of their own, which of several, names, and the scorer."""

    tool: str | None = None
    words: Given | None = None
    pick: str | None = None
    labels: Labels | None = None
    scorer: str | None = None
    words_path: str | None = None


def told_by(text: str) -> str:
    """The tool whose text it is; raises OptionError where nothing tells."""
    for tool, sign in _SIGNS.items():
        if re.search(sign, text, re.MULTILINE):
            return tool
    raise OptionError("nothing tells which tool the text comes from", hint=f"say --from {', '.join(TOOLS)}")


def imported(given: Given, wish: Wish) -> tuple[Imported, Told]:
    """Our file for a text of another tool, and what it does not say; raises a PromptshotError."""
    tool, told = wish.tool or told_by(given.text), Told()
    draft = _draft(tool, given, wish, told).labelled(wish.labels)
    draft = replace(draft, scorer=wish.scorer) if wish.scorer else draft
    origin = f"{tool}: {given.where}" if given.path else tool
    return finished(draft, origin, given.where, told, wish.words_path), told


def _draft(tool: str, given: Given, wish: Wish, told: Told) -> Draft:
    """The draft by the tool's own module; raises OptionError for what means nothing to it."""
    if tool in ("hf", LM_EVAL) and wish.words is not None:
        raise OptionError(f"--words: a text of {tool} brings its words", hint="leave it out, or see --labels")
    if tool in ("hf", LM_EVAL, "lm-bff") and wish.pick is not None:
        raise OptionError(f"--pick: a text of {tool} is one template", hint="leave it out")
    if tool == LM_EVAL:
        return lm_eval.draft_of(given, told)
    if tool == "promptsource":
        return promptsource.draft_of(given, told, wish.words.text if wish.words else None, wish.pick)
    if tool == "hf":
        return hf.draft_of(given, told)
    if tool == "lm-bff":
        return lm_bff.draft_of(given, told, wish.words)
    module = {"openprompt": openprompt, "paddlenlp": paddlenlp, "pet": pet}[tool]
    return module.draft_of(given, told, wish.words, wish.pick)  # type: ignore[no-any-return]
