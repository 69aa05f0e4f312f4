"""Lint: everything that is wrong with a template or verbalizer file, and what its author hardly meant.

What makes a file unusable is found where it is read (`spec`, `prompts`, `verbalizer`, `library`); the rules here find
the rest, one function each. All speak in `flaws`, whose codes and explanations stand in flaws.py.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from promptshot import flaws as codes
from promptshot import library, spec
from promptshot.errors import InputError, NotFoundError, PromptshotError, RowError, did_you_mean, printable, shortlist
from promptshot.flaws import Code, Flaw, Place, Severity
from promptshot.prompts import Template, TemplateSpec, example_row
from promptshot.rows import Row
from promptshot.scoring import Kind, Piece, Prompt
from promptshot.spec import KEY, Source
from promptshot.verbalizer import RowWords, Verbalizer, VerbalizerSpec, of_ordered

MOST = 100  # findings in one file; a file with more is no template


@dataclass(frozen=True)
class Finding:
    """One flaw of one file: its stable code, how bad it is, where it stands, what is wrong, one thing to try."""

    code: str
    severity: Severity
    path: str
    line: int | None
    message: str
    hint: str = ""

    @classmethod
    def of(cls, flaw: Flaw, source: Source) -> Finding:
        """A flaw with its file and line; the texts are safe to print."""
        said = PromptshotError(flaw.what, hint=flaw.hint)
        return cls(
            flaw.code.name,
            flaw.code.severity,
            printable(source.where),
            flaw.line_in(source.lines),
            said.what,
            said.hint,
        )

    @property
    def where(self) -> str:
        """file:line, or the file alone."""
        return f"{self.path}:{self.line}" if self.line else self.path


class Spelling(Protocol):
    """What lint asks of a model's tokenizer."""

    @property
    def kinds(self) -> Collection[str]:
        """The scorers that the model is made for."""

    def unknown(self, words: Sequence[str]) -> list[str]:
        """The words that the tokenizer cannot spell."""

    def alike(self, words: Sequence[str]) -> list[tuple[str, str]]:
        """Pairs of words that the tokenizer spells the same."""

    def spelled(self, scorer: str, prompt: Prompt) -> list[tuple[str, ...]]:
        """The tokens of each choice where the blank is."""

    def misfit(self, scorer: str, prompt: Prompt) -> str | None:
        """Why the prompt does not fit into the model, if so."""


@dataclass(frozen=True)
class Words:
    """A verbalizer that stands in a file, at `base`: () in a file of its own."""

    source: Source
    verbalizer: Verbalizer
    base: Place = ()

    def __iter__(self) -> Iterator[tuple[Place, str]]:
        """Every label word, with the place of its label."""
        for label, words in self.verbalizer.labels.items():
            yield from (((*self.base, "labels", label), word) for word in words)


@dataclass(frozen=True)
class Sheet:
    """A template in a file, with the verbalizer that it holds (at `base`) or names, and a tokenizer to ask."""

    source: Source
    template: Template
    verbalizer: Verbalizer | None = None
    base: Place | None = None
    spelling: Spelling | None = None

    @property
    def scorer(self) -> str:
        return self.template.spec.scorer

    @property
    def words(self) -> list[str]:
        """The label words that are the same for every row."""
        return [word for words in self.verbalizer.labels.values() for word in words] if self.verbalizer else []

    def literals(self) -> Iterator[tuple[Place, str]]:
        """The texts as they were written."""
        said = self.template.spec.text
        yield from [(("text",), said)] if isinstance(said, str) else [(("text", i), s) for i, s in enumerate(said)]

    @property
    def begins(self) -> bool:
        """Whether the blank is what a segment begins with."""
        return any(parts and parts[0].kind is Kind.MASK for parts in self.template.segments)

    def before_blank(self) -> str:
        """The template's own text right before the blank; empty where a field or nothing stands there."""
        for parts in self.template.segments:
            for before, part in pairwise(parts):
                if part.kind is Kind.MASK:
                    return before.text if before.kind is Kind.FIXED else ""
        return ""


class Linter:
    """Lints files one after another; a verbalizer that several templates name is looked at once."""

    def __init__(self, folder: Path | None = None, spelling: Spelling | None = None) -> None:
        """`folder` is a library in which names are sought first; `spelling` is the tokenizer of a model."""
        self.folder, self.spelling = folder, spelling
        self._known: dict[Path, Verbalizer | None] = {}

    def template(self, path: Path) -> list[Finding]:
        """The findings in a template file, and in the verbalizer file that it names if that is new."""
        source = _read(path)
        others: list[Finding] = []
        made, flaws = _made(source, TemplateSpec, VerbalizerSpec)
        if made is not None:
            template, found = Template.examined(made, path.stem, source.where, source.lines)
            template = replace(template, path=path)
            verbalizer, base, said = self._verbalizer_of(template, others)
            sheet = Sheet(source, template, verbalizer, base, self.spelling)
            flaws += [*found, *said, *_told(sheet, usable=not (found or said))]
        return [*_findings(flaws, source), *others]

    def verbalizer(self, path: Path) -> list[Finding]:
        """The findings in a verbalizer file."""
        source = _read(path)
        verbalizer, flaws = _words(source)
        if verbalizer is not None and self.spelling:
            flaws += _refused_words(verbalizer, self.spelling)
        return _findings(flaws, source)

    def _verbalizer_of(
        self, template: Template, others: list[Finding]
    ) -> tuple[Verbalizer | None, Place | None, list[Flaw]]:
        """The verbalizer a template holds or names, its place in the template's file, and what is wrong with it.

        The findings in a file of its own become some of the `others`.
        """
        keys, base = template.spec, ("verbalizer",)
        if keys.words_from:
            return RowWords.of_field(template.name, keys.words_from), None, []
        if isinstance(keys.verbalizer, dict):
            made, flaws = spec.examine(keys.verbalizer, VerbalizerSpec)
            found, more = Verbalizer.examined(made, template.name) if made else (None, [])
            flaws = [replace(flaw, place=(*base, *flaw.place)) for flaw in [*flaws, *more]]
            return found, base, [*flaws, *_order(template, found)]
        if keys.verbalizer is None:
            if keys.ordered:
                return of_ordered(keys.ordered, template.name), None, []
            what, hint = "the template names no verbalizer", "add a line 'verbalizer: NAME'"
            return None, None, [Flaw(codes.NO_VERBALIZER, what, hint)]
        try:
            path = library.find("verbalizers", keys.verbalizer, self.folder, template.path and template.path.parent)
            library.refuse_other(path, "verbalizers", "")
        except NotFoundError as problem:
            return None, None, [Flaw(codes.LOST_VERBALIZER, problem.what, problem.hint, base)]
        found = self._found(path, others)
        return found, None, list(_order(template, found))

    def _found(self, path: Path, others: list[Finding]) -> Verbalizer | None:
        """The verbalizer of a file, None where it is broken; its findings are told the first time."""
        key = path.resolve()
        if key not in self._known:
            source = _read(path)
            self._known[key], flaws = _words(source)
            others += _findings(flaws, source)
        return self._known[key]


def _read(path: Path) -> Source:
    """The file; where it cannot be read, that is its one flaw."""
    try:
        return spec.load_source(path)
    except InputError as problem:
        return Source(str(path), flaws=(Flaw(codes.UNREADABLE, problem.what, problem.hint),))


def _made(source: Source, kind: type[spec.S], other: type[spec.Spec]) -> tuple[spec.S | None, list[Flaw]]:
    """The file as a `kind` as far as it is sound; keys of the `other` kind alone say that it is one of these."""
    flaws = list(source.flaws)
    if source.data is None and flaws:
        return None, flaws
    if spec.is_rather(source.data, other, kind):
        noun = {TemplateSpec: "template", VerbalizerSpec: "verbalizer"}
        hint = f"promptshot {noun[other]}s lint {source.where}"
        return None, [Flaw(codes.WRONG_KIND, f"this is a {noun[other]}, not a {noun[kind]}", hint)]
    made, found = spec.examine(source.data, kind)
    return made, [*flaws, *found]


def _words(source: Source) -> tuple[Verbalizer | None, list[Flaw]]:
    """The verbalizer in a file, None where it is broken, and its flaws."""
    made, flaws = _made(source, VerbalizerSpec, TemplateSpec)
    if made is None:
        return None, flaws
    verbalizer, found = Verbalizer.examined(made, Path(source.where).stem)
    told = [flaw for rule in LABELS for flaw in rule(Words(source, verbalizer))]
    return None if flaws or found else verbalizer, [*flaws, *found, *told]


def _told(sheet: Sheet, usable: bool) -> Iterator[Flaw]:
    """What the rules say of a template; those that fill it in, only where it is usable."""
    for rule in [*TEMPLATE, *(FILLED if usable else ()), *(SPELLING if usable and sheet.spelling else ())]:
        yield from rule(sheet)
    if sheet.base is not None and sheet.verbalizer is not None:
        for label_rule in LABELS:
            yield from label_rule(Words(sheet.source, sheet.verbalizer, sheet.base))


def _findings(flaws: Sequence[Flaw], source: Source) -> list[Finding]:
    """The flaws of a file from top to bottom; those of the file as a whole first."""
    found = [Finding.of(flaw, source) for flaw in flaws[:MOST]]
    return sorted(found, key=lambda finding: finding.line or 0)


def _order(template: Template, found: Verbalizer | None) -> Iterator[Flaw]:
    """`ordered` lists the labels of the verbalizer, neither more nor fewer."""
    ordered = template.spec.ordered
    if ordered and found and set(ordered) != set(found.names):
        what = f"ordered lists {shortlist(ordered)}, the verbalizer has {shortlist(found.names)}"
        yield Flaw(codes.UNKNOWN_LABEL, what, "list the same labels", ("ordered",))


# ------------------------------------------------------------------ rules: the text

_FALSE_MASK = re.compile(r"\[[gs]?MASK\]|<mask>|<extra_id_\d+>|_{3,}")
# What special tokens of model families look like, and what to do instead of writing them.
_SPECIAL = {
    r"\[SEP\]|<sep>": "for two segments write text as a list, [A, B]; else remove it",
    r"<[|｜]im_(?:start|end|sep)[|｜]>|<[|｜](?:system|user|assistant|end|eot_id|eom_id|(?:start|end)_header_id)[|｜]>"
    r"|<[|｜](?:User|Assistant)[|｜]>|\[/?INST\]|<</?SYS>>|</?(?:start|end)_of_turn>": (
        "chat templates are not applied: write the turns in plain words, such as Question: and Answer:"
    ),
    r"\[CLS\]|\[BOS\]|<s>|<bos>|<cls>|<[|｜](?:begin[_▁]of[_▁](?:text|sentence)|startoftext)[|｜]>": (
        "remove it: the tokenizer puts its own before a text"
    ),
    r"\[(?:PAD|UNK|EOS|EOD)\]|</s>|<(?:eos|eod|eop|pad|unk)>|<[|｜][^|｜<>\s]{1,40}[|｜]>": (
        "remove it; between demonstrations an empty line will do"
    ),
}
_CHINESE = re.compile(r"[\u3400-\u9fff]")
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")
_GLUE = re.compile(r"[A-Za-z0-9.,:;!?)]\Z")  # what a space follows, before a word
_NO_SPACE = re.compile(r"[(\[{<\"'`“‘«（［【《〈「『#@/\\*_=|~+-]\Z")  # what none follows
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")


def false_mask(sheet: Sheet) -> Iterator[Flaw]:
    """The blanks of some models, written as text."""
    for place, text in sheet.literals():
        for token in dict.fromkeys(_FALSE_MASK.findall(text)):
            yield Flaw(codes.FALSE_MASK, f"{token!r} is plain text", "write {mask} for the blank", place)


def special_token(sheet: Sheet) -> Iterator[Flaw]:
    """Special tokens that are no blank, in the text and between demonstrations."""
    for place, text in [*sheet.literals(), (("separator",), sheet.template.spec.separator)]:
        yield from _special(place, text)


def wide_brace(sheet: Sheet) -> Iterator[Flaw]:
    """Braces of a Chinese keyboard around a name."""
    for place, text in sheet.literals():
        for said in re.findall(r"[{｛]\w+[}｝]", text):
            if "｛" in said or "｝" in said:
                yield Flaw(codes.WIDE_BRACE, f"{said!r} is plain text", f"write {{{said[1:-1]}}}", place)


def typed_text(sheet: Sheet) -> Iterator[Flaw]:
    """What went wrong when a text was typed or copied."""
    for place, text in [*sheet.literals(), (("separator",), sheet.template.spec.separator)]:
        yield from _backslash(place, text)
        yield from _hidden(place, text)


def edge_of_text(sheet: Sheet) -> Iterator[Flaw]:
    """White space at the beginning or end."""
    for place, text in sheet.literals():
        if text.strip() and text != text.strip():
            end = text != text.rstrip()
            what = f"the text {'ends' if end else 'begins'} with {_space(text[-1] if end else text[0])}"
            yield Flaw(codes.EDGE_OF_TEXT, what, "write |- for |" if text.endswith("\n") else "remove it", place)


def spaces_before_mask(sheet: Sheet) -> Iterator[Flaw]:
    """White space that a causal model would have to read as part of the word."""
    before = sheet.before_blank()
    space = before[len(before.rstrip(" \t\u3000")) :]
    if not sheet.template.kind.left_to_right or not space:
        return
    if space != " ":
        what = f"{len(space)} spaces" if set(space) == {" "} else _space(space[-1])
        yield Flaw(codes.SPACES_BEFORE_MASK, f"{what} before the blank", "leave one space, or none", ("text",))
    elif sheet.words and all(map(_CHINESE.match, sheet.words)):
        yield Flaw(codes.SPACES_BEFORE_MASK, "a space before Chinese words", "remove it", ("text",))


def glued_mask(sheet: Sheet) -> Iterator[Flaw]:
    """No space between what is read from left to right and an English word."""
    before, words = sheet.before_blank(), list(filter(_LATIN.match, sheet.words))
    if sheet.template.kind.left_to_right and words and _GLUE.search(before):
        what = f"no space between {before[-8:].strip()!r} and the word, as in {(before[-8:] + words[0]).strip()!r}"
        yield Flaw(codes.GLUED_MASK, what, "put a space before {mask}", ("text",))


def run_together(sheet: Sheet) -> Iterator[Flaw]:
    """Demonstrations of several lines, parted by one line break."""
    keys = sheet.template.spec
    if sheet.template.kind.demonstrations and "\n" in str(keys.text).strip() and keys.separator == "\n":
        hint = r'add a line: separator: "\n\n"'
        yield Flaw(codes.RUN_TOGETHER, "several lines, and one line break between demonstrations", hint, ("text",))


def ordered_labels(sheet: Sheet) -> Iterator[Flaw]:
    """Labels of a pair that other YAML readers take for something else."""
    yield from _yaml_words(sheet.source, ("ordered",))


def _special(place: Place, text: str) -> Iterator[Flaw]:
    """A special token that is text; each is told once, by the first family that knows it."""
    told: set[str] = set()
    for pattern, hint in _SPECIAL.items():
        for token in dict.fromkeys(re.findall(pattern, text)):
            if token not in told:
                yield Flaw(codes.SPECIAL_TOKEN, f"{token!r} is plain text", hint, place)
            told.add(token)


def _backslash(place: Place, text: str) -> Iterator[Flaw]:
    r"""A \n that YAML did not read as a line break."""
    if found := re.search(r"\\[nt]", text):
        yield Flaw(codes.BACKSLASH, f"'{found[0]}' is a backslash and a letter here", "use double quotes", place)


def _hidden(place: Place, text: str) -> Iterator[Flaw]:
    """Characters that nobody sees."""
    for sign in dict.fromkeys(c for c in text if c == "\u00a0" or unicodedata.category(c) in ("Cf", "Cc", "Co")):
        if sign not in "\n\t":
            what = f"a character that nobody sees, U+{ord(sign):04X} ({unicodedata.name(sign, 'no name').lower()})"
            yield Flaw(codes.HIDDEN_CHARACTER, what, "remove it, or type a plain space", place)


def _space(sign: str) -> str:
    return {"\n": "a line break", " ": "a space", "\t": "a tab", "\u3000": "a full-width space"}.get(
        sign, "white space"
    )


# ------------------------------------------------------------------ rules: labels and their words


def gold_gap(words: Words) -> Iterator[Flaw]:
    """Numbers for some labels only: data sets number all of their labels or none."""
    gold, names = words.verbalizer.gold, words.verbalizer.names
    numbered = {label for label, said in gold.items() if any(_NUMBER.fullmatch(value.strip()) for value in said)}
    lacking = [label for label in names if label not in numbered]
    if numbered and lacking and set(gold) <= set(names):  # else it is a misspelt name that lacks
        what = f"gold has no number for {shortlist(lacking)}"
        yield Flaw(codes.GOLD_GAP, what, "add it, or remove the others", (*words.base, "gold"))


def number_label(words: Words) -> Iterator[Flaw]:
    """Labels that are numbers."""
    for label in words.verbalizer.names:
        if _NUMBER.fullmatch(label.strip()):
            hint = f"name it, and write gold: {{NAME: [{label}]}}"
            yield Flaw(codes.NUMBER_LABEL, f"the label {label!r} is a number", hint, (*words.base, "labels", label))


def yaml_word(words: Words) -> Iterator[Flaw]:
    """Labels, words and spellings that other YAML readers take for something else."""
    for key in ("labels", "gold"):
        yield from _yaml_words(words.source, (*words.base, key))


def typed_word(words: Words) -> Iterator[Flaw]:
    """What went wrong when a word was typed or copied."""
    for place, word in words:
        yield from _backslash(place, word)
        yield from _hidden(place, word)
        yield from _special(place, word)
        if word.strip() and word != word.strip():
            yield Flaw(codes.EDGE_OF_WORD, f"white space around the word {word!r}", "remove it", place)


def repeated_word(words: Words) -> Iterator[Flaw]:
    """The same word twice under one label."""
    for label in words.verbalizer.names:
        place = (*words.base, "labels", label)
        said = _at(words.source.data, place)
        counts = Counter(said) if isinstance(said, list) else {}
        for word in (word for word, count in counts.items() if count > 1):
            yield Flaw(codes.REPEATED_WORD, f"the word {word!r} stands twice", "keep one of them", place)


def _yaml_words(source: Source, root: Place) -> Iterator[Flaw]:
    """Unquoted scalars at or under a place that are no text to others."""
    meant = {"bool": "a truth value", "null": "nothing", "timestamp": "a date"}
    for place, kind in source.typed.items():
        value = place[-2] if place[-1:] == (KEY,) else _at(source.data, place)
        if kind in meant and place[: len(root)] == root and value:
            what = f"other YAML readers take {value} for {meant[kind]}"
            yield Flaw(codes.YAML_WORD, what, f"write '{value}'", tuple(step for step in place if step != KEY))


def _at(data: Any, place: Place) -> Any:
    """The value at a place of plain data; None where there is none."""
    for step in place:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data


# ------------------------------------------------------------------ rules: the example


def example_fields(sheet: Sheet) -> Iterator[Flaw]:
    """The fields of the example are those that the text reads."""
    template = sheet.template
    if not template.spec.example:
        yield Flaw(codes.NO_EXAMPLE, "no example", "add a row of your own: example: {text: ..., label: ...}")
        return
    row = example_row(template)
    lacking = [name for name in template.needs if row.column(name) is None]
    extra = [name for name in template.spec.example if name not in (*template.reads, template.spec.label_field)]
    for name in lacking:
        hint = f"it has {shortlist(extra)}" if extra else "add it, or mend its name in the text"
        yield Flaw(codes.EXAMPLE_LACKS, f"the example has no field {name!r}", hint, ("example",))
    for name in extra if not lacking else ():
        hint = did_you_mean(name, template.reads)
        yield Flaw(codes.EXAMPLE_EXTRA, f"the text does not read {name!r}", hint, ("example", name))


def example_label(sheet: Sheet) -> Iterator[Flaw]:
    """The example's label is one of the verbalizer's."""
    verbalizer, field, row = sheet.verbalizer, sheet.template.spec.label_field, example_row(sheet.template)
    if verbalizer is None or not row.fields:
        return
    try:
        names = verbalizer.names or verbalizer.choices(row)
        label, said = verbalizer.gold_label(row, field)
    except RowError:
        names, label, said = verbalizer.names, None, None
    if said is None and row.column(field) is not None:
        return  # it has a label, but not the words of its own: an unusable example
    if said is None:
        yield Flaw(codes.EXAMPLE_LABEL, f"the example has no {field!r}", "say its label", ("example",))
    elif label not in names:
        what = f"the example's label {said!r} is none of the verbalizer's"
        yield Flaw(codes.EXAMPLE_LABEL, what, did_you_mean(said, names), ("example", field))


def example_unusable(sheet: Sheet) -> Iterator[Flaw]:
    """The template can be filled in with its own example."""
    row = example_row(sheet.template)
    if row.fields and all(row.column(name) is not None for name in sheet.template.needs):
        try:
            sheet.template.render(row, sheet.verbalizer.choices(row) if sheet.verbalizer else ())
        except RowError as problem:
            yield Flaw(codes.EXAMPLE_UNUSABLE, problem.what, problem.hint, ("example",))


# ------------------------------------------------------------------ rules: with a tokenizer


def other_scorer(sheet: Sheet) -> Iterator[Flaw]:
    """The model is made for another scorer."""
    if sheet.spelling and sheet.scorer not in sheet.spelling.kinds:
        what = f"the model is made for {shortlist(sorted(sheet.spelling.kinds))}, the template for {sheet.scorer}"
        yield Flaw(codes.OTHER_SCORER, what, "lint it with a model of its own", ("scorer",))


def too_long(sheet: Sheet) -> Iterator[Flaw]:
    """The template leaves no room for a row."""
    if sheet.spelling and sheet.scorer in sheet.spelling.kinds:
        words = [""] if sheet.template.spec.ordered else sheet.words or ["a"]  # rows bring no shorter one
        prompt = sheet.template.render(_shortest_row(sheet.template), words)
        if reason := sheet.spelling.misfit(sheet.scorer, prompt):
            yield Flaw(codes.TOO_LONG, reason, "shorten the text, or take another model", ("text",))


def spelled_words(sheet: Sheet) -> Iterator[Flaw]:
    """How the tokenizer spells the label words where the template has them."""
    template, verbalizer, spelling, words = sheet.template, sheet.verbalizer, sheet.spelling, sheet.words
    if not (spelling and verbalizer and words) or template.spec.ordered or sheet.scorer not in spelling.kinds:
        return
    place = ("verbalizer",)
    for flaw in _refused_words(verbalizer, spelling):
        yield replace(flaw, place=place if sheet.base is None else (*sheet.base, *flaw.place))
    if template.kind.margin or template.scored == "rest":
        return  # the words are not what is scored
    tokens_of = spelling.spelled(sheet.scorer, template.render(_shortest_row(template), words))
    if split := {word: tokens for word, tokens in zip(words, tokens_of, strict=True) if len(tokens) > 1}:
        what = f"{len(split)} of {len(words)} words have several tokens: {_spellings(split)}"
        yield Flaw(codes.SPLIT_WORD, what, "", place)
    lengths = sorted(set(map(len, tokens_of)))
    if len(lengths) > 1:
        what = f"words have from {lengths[0]} to {lengths[-1]} tokens"
        how = template.spec.normalize or ("mean" if template.kind.means else "sum")
        yield Flaw(codes.UNEQUAL_WORDS, what, f"a word's score is the {how} over them", place)
    before = sheet.before_blank()
    if not (sheet.begins or before[-1:].isspace()):
        hint = "" if _NO_SPACE.search(before) else "a space before {mask} where the language has one"
        yield from (replace(flaw, hint=hint) for flaw in _after_a_space(sheet.scorer, words, spelling, place))


def _refused_words(verbalizer: Verbalizer, spelling: Spelling) -> Iterator[Flaw]:
    """Words that classify will refuse."""
    label_of = {word: label for label, words in verbalizer.labels.items() for word in words}
    hint = "choose another word, or another model"
    for word in spelling.unknown(list(label_of)):
        what = f"the tokenizer does not know the word {word!r}"
        yield Flaw(codes.UNKNOWN_WORD, what, hint, ("labels", label_of[word]))
    for one, other in spelling.alike(list(label_of)):
        if label_of[one] != label_of[other]:
            what = f"the tokenizer spells {one!r} and {other!r} the same"
            yield Flaw(codes.ALIKE_WORDS, what, hint, ("labels", label_of[other]))


def _after_a_space(scorer: str, words: Sequence[str], spelling: Spelling, place: Place) -> Iterator[Flaw]:
    """Words whose tokens differ behind a space; in Chinese no space is expected."""
    latin = [word for word in words if _LATIN.match(word)]

    def behind(text: str) -> list[tuple[str, ...]]:
        prompt = Prompt((Piece(Kind.FIXED, text), Piece(Kind.MASK)), tuple(latin))
        return spelling.spelled(scorer, prompt) if latin else []

    pairs = zip(latin, behind("a"), behind("a "), strict=True)
    apart = {word: (*one, "→", *two) for word, one, two in pairs if one != two}
    if apart:
        what = f"{len(apart)} words have other tokens behind a space: {_spellings(apart)}"
        yield Flaw(codes.SPACE_MATTERS, what, place=place)


def _spellings(spelled: Mapping[str, Sequence[str]], most: int = 4) -> str:
    shown = [f"{word} = {' '.join(tokens)}" for word, tokens in list(spelled.items())[:most]]
    return ", ".join(shown) + (f" and {len(spelled) - most} more" if len(spelled) > most else "")


def _shortest_row(template: Template) -> Row:
    """A row whose fields are as short as they may be."""
    rules = template.spec.fields
    return Row({name: "a" + ((rules[name].hole or "") if name in rules else "") for name in template.needs})


# ------------------------------------------------------------------ the rules

TEMPLATE: list[Callable[[Sheet], Iterator[Flaw]]] = [
    false_mask,
    special_token,
    wide_brace,
    typed_text,
    edge_of_text,
    spaces_before_mask,
    glued_mask,
    run_together,
    ordered_labels,
]
FILLED: list[Callable[[Sheet], Iterator[Flaw]]] = [example_fields, example_label, example_unusable]
SPELLING: list[Callable[[Sheet], Iterator[Flaw]]] = [other_scorer, too_long, spelled_words]
LABELS: list[Callable[[Words], Iterator[Flaw]]] = [gold_gap, number_label, yaml_word, typed_word, repeated_word]


def explain(name: str) -> Code:
    """The code of that name; raises NotFoundError."""
    if name not in codes.CODES:
        raise NotFoundError(f"no code {name!r}", hint=did_you_mean(name, codes.CODES))
    return codes.CODES[name]
