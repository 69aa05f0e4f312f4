"""What every tool's template is read into, and the file that comes of it.

A draft is a flat row of parts (literal text, fields, the blank, a break between two segments), label words, and where
the label stands. What the tool says and we cannot is `Told`, each thing with its place; nothing is left out in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from promptshot.authoring.lint.linter import Linter
from promptshot.authoring.new import quoted
from promptshot.errors import OptionError, TemplateError, VerbalizerError, printable, shortened
from promptshot.kinds import KINDS
from promptshot.prompts import strict
from promptshot.prompts.labels import Labels
from promptshot.prompts.template import MASK, Template, TemplateSpec, is_name
from promptshot.prompts.verbalizer import Verbalizer, VerbalizerSpec

# The kinds of scorer that templates of other tools are for.
CLOZE = next(kind.name for kind in KINDS.values() if kind.masks)
GOING_ON = next(kind.name for kind in KINDS.values() if kind.left_to_right)
ENTAILING = next(kind.name for kind in KINDS.values() if kind.meaning and kind.odds)

Words = Mapping[str, Sequence[str]]  # label -> its words


@dataclass(frozen=True)
class Part:
    """A stretch of a template: literal text, a field by its name, the blank, or the break between two segments."""

    kind: Literal["text", "field", "mask", "break"]
    text: str = ""
    kept: bool = False  # a field that others give way for
    join: str | None = None  # what stands between its items, where it is a list


BLANK, BREAK = Part("mask"), Part("break")


@dataclass
class Told:
    """What was read and does not matter here (`notes`), and what cannot be said in our format (`lost`)."""

    notes: list[str] = field(default_factory=list)
    lost: list[TemplateError] = field(default_factory=list)

    def note(self, what: str) -> None:
        """Tell it once."""
        if what not in self.notes:
            self.notes.append(what)

    def lose(self, what: str, where: str, hint: str = "") -> None:
        """Name a thing that cannot be said, where it stands, and what to try; a place that loses much is cut short."""
        if len(self.lost) < strict.TOLD:
            self.lost.append(TemplateError(what, where=where, hint=hint))


@dataclass(frozen=True)
class Draft:
    """A template of another tool in our terms."""

    scorer: str
    parts: Sequence[Part]
    words: Words = field(default_factory=dict)
    gold: Mapping[str, Sequence[str]] = field(default_factory=dict)  # label -> how rows say it
    words_from: str | list[str] | None = None
    label_field: str = "label"
    separator: str | None = None
    several: bool = False

    def labelled(self, said: Labels | None) -> Draft:
        """The same with the labels of the user: their names in order, or with their words where there are none yet.

        Raises OptionError where there are not as many.
        """
        if said is None:
            return self
        if self.words_from is not None:
            raise OptionError("--labels: the rows bring words of their own", hint="leave --labels out")
        own = said.verbalizer
        if not self.words:
            return replace(self, words={label: [*words] for label, words in own.labels.items()}, gold=own.gold)
        if not said.bare or len(own.names) != len(self.words):
            what = f"--labels names the {len(self.words)} labels in their order: {', '.join(self.words)}"
            raise OptionError(shortened(what, 400), hint="give as many, with commas between them")
        named = dict(zip(self.words, own.names, strict=True))
        gold = {named[label]: [*self.gold.get(label, ()), label] for label in self.words}
        told = {label: [one for one in dict.fromkeys(values) if one != label] for label, values in gold.items()}
        words = {named[label]: words for label, words in self.words.items()}
        return replace(self, words=words, gold={label: values for label, values in told.items() if values})


@dataclass(frozen=True)
class Imported:
    """A file of ours, one for its label words where these have their own, and what lint says of it."""

    template: str
    verbalizer: str | None
    remarks: tuple[str, ...]


def finished(draft: Draft, origin: str, where: str, told: Told, words_path: str | None = None) -> Imported:
    """The draft as YAML that was read again and linted; raises TemplateError or VerbalizerError, at `where`, for what
    is no template: two blanks, no field, one label.

    `words_path` is how the template names a verbalizer file of its own, None where it holds the words.
    """
    parts = _tidy(_called(draft.parts, where, told))
    words = _words(draft)
    if words_path is not None and not words:
        raise OptionError("there are no label words for a file of their own", hint="leave --verbalizer-out out")
    head = f"# imported from {printable(shortened(origin, 200))}\n"
    inside = ["verbalizer:", *(f"  {line}" for line in words)] if words else []
    named = [f"verbalizer: {quoted(words_path)}"] if words_path is not None else inside
    keys, more = _keys(draft, parts), _more(draft, parts)
    _refuse("\n".join(_lines([*keys, *inside, *more])), where)
    template = head + "\n".join(_lines([*keys, *named, *more])) + "\n"
    found = strict.parse_source("\n".join(_lines([*keys, *inside, *more])), origin)
    remarks = [one for one in Linter().source(found, Path(where)) if one.severity == "warning"]
    own = head + "\n".join(words) + "\n" if words_path is not None else None
    return Imported(template, own, tuple(f"{one.code}: {one.message}" for one in remarks))


def _refuse(text: str, where: str) -> None:
    """Raise where what was made is no template; it is told at the place of what it was made from."""
    data, _ = strict.parse_source(text, where).sound(TemplateError)
    made = strict.build(data, TemplateSpec, TemplateError, where, {})
    Template.of(made, where, where)
    if isinstance(made.verbalizer, dict):
        spec = strict.build(made.verbalizer, VerbalizerSpec, VerbalizerError, where, {})
        Verbalizer.of(spec, where, where)


def _called(parts: Iterable[Part], where: str, told: Told) -> list[Part]:
    """The parts with fields that our grammar can name; of the two texts that classification tools know, one alone is
    `text`."""
    named = list(parts)
    fields = {part.text for part in named if part.kind == "field"}
    if "text_a" in fields and not fields & {"text_b", "text"}:
        told.note("text_a is called text here, for there is no text_b")
        named = [
            replace(part, text="text") if part == replace(part, kind="field", text="text_a") else part for part in named
        ]
    for part in named:
        if part.kind == "field" and not is_name(part.text):
            what = f"no field of ours can be called {shortened(repr(part.text))}"
            hint = "call it by letters, digits and _, and name its column with --map"
            raise TemplateError(what, where=where, hint=hint)
    return named


def _tidy(parts: Sequence[Part]) -> list[Part]:
    """Literal texts that stand together as one."""
    found: list[Part] = []
    for part in parts:
        if part.kind == "text" and found and found[-1].kind == "text":
            found[-1] = Part("text", found[-1].text + part.text)
        elif part.kind != "text" or part.text:
            found.append(part)
    return found


def _text_of(parts: Iterable[Part]) -> str:
    signs = {"mask": lambda part: f"{{{MASK}}}", "field": lambda part: f"{{{part.text}}}"}
    plain = [signs[p.kind](p) if p.kind in signs else p.text.replace("{", "{{").replace("}", "}}") for p in parts]
    return "".join(plain)


def _segments(parts: Sequence[Part]) -> list[str]:
    texts: list[list[Part]] = [[]]
    for part in parts:
        if part.kind == "break":
            texts.append([])
        else:
            texts[-1].append(part)
    return [_text_of(own) for own in texts]


Line = tuple[str, Any] | str  # a key with its value, or a line as it stands


def _keys(draft: Draft, parts: Sequence[Part]) -> list[Line]:
    texts = _segments(parts)
    text = f"[{', '.join(map(strict.quoted, texts))}]" if len(texts) > 1 else None
    return [("scorer", draft.scorer), f"text: {text}" if text else ("text", texts[0])]


def _more(draft: Draft, parts: Sequence[Part]) -> list[Line]:
    """The keys that are not as usual."""
    lines: list[Line] = []
    if draft.words_from is not None:
        lines.append(f"words_from: {_value(draft.words_from)}")
    if draft.label_field != "label":
        lines.append(f"label_field: {quoted(draft.label_field)}")
    separator = draft.separator
    if separator is None and KINDS[draft.scorer].left_to_right and "\n" in _text_of(parts).strip():
        separator = "\n\n"
    if separator not in (None, "\n"):
        lines.append(f"separator: {strict.quoted(str(separator))}")
    if rules := _rules(parts):
        lines += ["fields:", *(f"  {quoted(name)}: {{{rule}}}" for name, rule in rules.items())]
    return [*lines, "labels: several"] if draft.several else lines


def _rules(parts: Sequence[Part]) -> dict[str, str]:
    """What happens to fields: lists are joined, and those that are kept give way after all others."""
    fields = [part for part in parts if part.kind == "field"]
    ordered = len({part.kept for part in fields}) > 1
    rules: dict[str, list[str]] = {}
    for part in fields:
        own = [f"join: {strict.quoted(part.join)}"] if part.join is not None else []
        own += ["cut_order: 1"] if ordered and part.kept else []
        rules.setdefault(part.text, own)
    return {name: ", ".join(own) for name, own in rules.items() if own}


def _words(draft: Draft) -> list[str]:
    """The lines of the label words."""
    if not draft.words:
        return []
    lines = ["labels:", *(f"  {quoted(label)}: {_value([*words])}" for label, words in draft.words.items())]
    gold = {label: [value for value in values if value != label] for label, values in draft.gold.items()}
    lines += ["gold:"] if any(gold.values()) else []
    return [*lines, *(f"  {quoted(label)}: {_value(values)}" for label, values in gold.items() if values)]


def _value(said: str | Sequence[str]) -> str:
    return quoted(said) if isinstance(said, str) else f"[{', '.join(map(quoted, said))}]"


def _lines(lines: Iterable[Line]) -> list[str]:
    """Lines of YAML; a text of several is a block wherever it reads as the same again."""
    found: list[str] = []
    for line in lines:
        if isinstance(line, str):
            found.append(line)
            continue
        key, text = line
        block = "\n".join([f"{key}: |-", *(f"  {own}" if own else "" for own in text.split("\n"))])
        is_block = "\n" in text and strict.parse_source(block, "").data == {key: text}
        found.append(block if is_block else f"{key}: {text if key == 'scorer' else strict.quoted(text)}")
    return found
