"""A first template or verbalizer for an author to go on from: YAML with comments, which lints clean.

The text is that of the shelf's general template for the language and scorer, which takes label words of any kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from promptshot import files
from promptshot.classify.suited import Guess
from promptshot.errors import OptionError
from promptshot.kinds import KINDS
from promptshot.prompts import library, strict
from promptshot.prompts.template import MASK
from promptshot.prompts.verbalizer import Verbalizer


def template(scorer: str, language: str, words: Verbalizer, named: str = "") -> str:
    """A template file with the label words in it, or with the name or path of the verbalizer that has them."""
    kind = KINDS[scorer]
    general = library.template(f"{language}-topic-{scorer}").spec
    texts = [general.text] if isinstance(general.text, str) else general.text
    inside = [f"verbalizer: {quoted(named)}"] if named else _words(words)
    return "\n".join([
        "# Try it: promptshot templates preview FILE --watch, and: promptshot templates lint FILE",
        f"scorer: {scorer}  # {kind.about}",
        f"# {{{MASK}}} is the blank for the label word; {{text}} is a field of the row; {{{{ and }}}} are braces.",
        *_text(texts),
        *([f"separator: {quoted(general.separator)}  # between demonstrations"] if kind.left_to_right else []),
        "# Every label has one word or more; what is in the blank is scored.",
        *inside,
        "# A row of your own: it documents the template, and lint and preview try it.",
        f"example: {{text: {quoted(str(general.example['text']))}, label: {quoted(words.names[0])}}}",
        f"about: {'一句话说明这个模板' if language == 'zh' else 'one line about this template'}",
        "",
    ])  # fmt: skip


def verbalizer(words: Verbalizer) -> str:
    """A verbalizer file."""
    lines = [line.removeprefix("  ") for line in _words(words)[1:]]
    return "\n".join([*lines, "pool: mean  # how the scores of a label's words become one: mean, max, logsumexp", ""])


def _text(texts: Sequence[str]) -> list[str]:
    if len(texts) == 2:
        return [f"text: [{', '.join(map(quoted, texts))}]  # segment A, segment B"]
    if "\n" in texts[0]:
        return ["text: |-", *(f"  {line}" for line in texts[0].split("\n"))]
    return [f"text: {quoted(texts[0])}"]


def _words(words: Verbalizer) -> list[str]:
    """An inline verbalizer: labels with their words, and a place for spellings."""
    lines = ["verbalizer:", "  labels:"]
    for label, of in words.labels.items():
        lines.append(f"    {quoted(label)}: {_listed(of)}")
    return [
        *lines,
        "  # How data sets spell the labels, beside their own names:",
        f"  # gold: {{{quoted(words.names[0])}: [1, pos], ...}}",
    ]


def _listed(words: Mapping[str, float]) -> str:
    if set(words.values()) == {1.0}:
        return f"[{', '.join(map(quoted, words))}]"
    return f"{{{', '.join(f'{quoted(word)}: {_number(weight)}' for word, weight in words.items())}}}"


def _number(weight: float) -> str:
    """As short as it can be without being another."""
    return f"{weight:g}" if float(f"{weight:g}") == weight else repr(weight)


def quoted(text: str) -> str:
    """A scalar of YAML: in double quotes where the plain text would be taken for something else."""
    plain = text.replace("_", "").replace("-", "").isalnum() and not text[0].isdigit() and text[0] != "-"
    return text if plain and text.lower() not in _TAKEN else strict.quoted(text)


_TAKEN = ("yes", "no", "on", "off", "true", "false", "null", "y", "n")


def save(path: Path, guesses: Sequence[Guess], replace: bool = False) -> None:
    """Write template and verbalizer down as one file that `-t` reads; raises InputError where another exists."""
    if len(guesses) != 1:
        raise OptionError("--save-template writes one template, not an ensemble", hint="leave it out")
    template, verbalizer = guesses[0].template, guesses[0].verbalizer
    keys = template.spec.model_dump(exclude_defaults=True, exclude={"verbalizer", "example"})
    labels = {label: dict(words) for label, words in verbalizer.labels.items()}
    plain = {label: [*words] if set(words.values()) == {1.0} else words for label, words in labels.items()}
    inside: dict[str, Any] = {"labels": plain}
    if verbalizer.gold:
        inside["gold"] = {label: list(values) for label, values in verbalizer.gold.items()}
    if verbalizer.pool != "mean":
        inside["pool"] = verbalizer.pool
    own = {} if template.spec.words_from else {"verbalizer": inside}  # there each row brings its own
    files.put(str(path), strict.dump(keys | own), replace)
