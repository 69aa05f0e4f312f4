"""Lint: everything that is wrong with a template or verbalizer file, and what its author hardly meant.

What makes a file unusable is found where it is read (`strict`, `template`, `verbalizer`, `library`); the rules find the
rest, one function each: of the text, the words, the example, and with a tokenizer (the modules beside this one). All
speak in `flaws`, whose codes and explanations stand in prompts/codes.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from promptshot.authoring.lint.example import RULES as EXAMPLE
from promptshot.authoring.lint.sheet import Finding, Sheet, Spelling, Words
from promptshot.authoring.lint.text import RULES as TEXT
from promptshot.authoring.lint.tokens import RULES as TOKENS
from promptshot.authoring.lint.tokens import refused_words
from promptshot.authoring.lint.words import RULES as WORDS
from promptshot.errors import InputError, NotFoundError, did_you_mean, shortlist
from promptshot.prompts import codes, library, strict
from promptshot.prompts.codes import Code, Flaw, Place
from promptshot.prompts.strict import Source
from promptshot.prompts.template import Template, TemplateSpec
from promptshot.prompts.verbalizer import RowWords, Verbalizer, VerbalizerSpec, of_ordered

MOST = 100  # findings in one file; a file with more is no template


class Linter:
    """Lints files one after another; a verbalizer that several templates name is looked at once."""

    def __init__(self, folder: Path | None = None, spelling: Spelling | None = None) -> None:
        """`folder` is a library in which names are sought first; `spelling` is the tokenizer of a model."""
        self.folder, self.spelling = folder, spelling
        self._known: dict[Path, Verbalizer | None] = {}

    def template(self, path: Path) -> list[Finding]:
        """The findings in a template file, and in the verbalizer file that it names if that is new."""
        return self.source(_read(path), path)

    def source(self, source: Source, path: Path) -> list[Finding]:
        """The findings in a template that was read from that file, or is to be written there."""
        others: list[Finding] = []
        made, flaws = _made(source, TemplateSpec, VerbalizerSpec)
        if made is not None:
            template, wrong = Template.examined(made, path.stem, source.where, source.lines)
            template = replace(template, path=path)
            verbalizer, base, unusable = self._verbalizer_of(template, others)
            sheet = Sheet(source, template, verbalizer, base, self.spelling)
            flaws += [*wrong, *unusable, *_flaws(sheet, usable=not (wrong or unusable))]
        return [*_findings(flaws, source), *others]

    def verbalizer(self, path: Path) -> list[Finding]:
        """The findings in a verbalizer file."""
        source = _read(path)
        verbalizer, flaws = _words(source)
        if verbalizer is not None and self.spelling:
            flaws += refused_words(verbalizer, self.spelling)
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
            made, flaws = strict.examine(keys.verbalizer, VerbalizerSpec)
            verbalizer, more = Verbalizer.examined(made, template.name) if made else (None, [])
            flaws = [replace(flaw, place=(*base, *flaw.place)) for flaw in [*flaws, *more]]
            return verbalizer, base, [*flaws, *_order(template, verbalizer)]
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
        verbalizer = self._in_file(path, others)
        return verbalizer, None, list(_order(template, verbalizer))

    def _in_file(self, path: Path, others: list[Finding]) -> Verbalizer | None:
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
        return strict.load_source(path)
    except InputError as problem:
        return Source(str(path), flaws=(Flaw(codes.UNREADABLE, problem.what, problem.hint),))


def _made(source: Source, kind: type[strict.S], other: type[strict.Spec]) -> tuple[strict.S | None, list[Flaw]]:
    """The file as a `kind` as far as it is sound; keys of the `other` kind alone say that it is one of these."""
    flaws = list(source.flaws)
    if source.data is None and flaws:
        return None, flaws
    if strict.is_rather(source.data, other, kind):
        noun = {TemplateSpec: "template", VerbalizerSpec: "verbalizer"}
        hint = f"promptshot {noun[other]}s lint {source.where}"
        return None, [Flaw(codes.WRONG_KIND, f"this is a {noun[other]}, not a {noun[kind]}", hint)]
    made, wrong = strict.examine(source.data, kind)
    return made, [*flaws, *wrong]


def _words(source: Source) -> tuple[Verbalizer | None, list[Flaw]]:
    """The verbalizer in a file, None where it is broken, and its flaws."""
    made, flaws = _made(source, VerbalizerSpec, TemplateSpec)
    if made is None:
        return None, flaws
    verbalizer, wrong = Verbalizer.examined(made, Path(source.where).stem)
    odd = [flaw for rule in WORDS for flaw in rule(Words(source, verbalizer))]
    return None if flaws or wrong else verbalizer, [*flaws, *wrong, *odd]


def _flaws(sheet: Sheet, usable: bool) -> Iterator[Flaw]:
    """What the rules say of a template; those that fill it in, only where it is usable."""
    for rule in [*TEXT, *(EXAMPLE if usable else ()), *(TOKENS if usable and sheet.spelling else ())]:
        yield from rule(sheet)
    if sheet.base is not None and sheet.verbalizer is not None:
        for label_rule in WORDS:
            yield from label_rule(Words(sheet.source, sheet.verbalizer, sheet.base))


def _findings(flaws: Sequence[Flaw], source: Source) -> list[Finding]:
    """The flaws of a file from top to bottom; those of the file as a whole first."""
    findings = [Finding.of(flaw, source) for flaw in flaws[:MOST]]
    return sorted(findings, key=lambda finding: finding.line or 0)


def _order(template: Template, verbalizer: Verbalizer | None) -> Iterator[Flaw]:
    """`ordered` lists the labels of the verbalizer, neither more nor fewer."""
    ordered = template.spec.ordered
    if ordered and verbalizer and set(ordered) != set(verbalizer.names):
        what = f"ordered lists {shortlist(ordered)}, the verbalizer has {shortlist(verbalizer.names)}"
        yield Flaw(codes.UNKNOWN_LABEL, what, "list the same labels", ("ordered",))


def explain(name: str) -> Code:
    """The code of that name; raises NotFoundError."""
    if name not in codes.CODES:
        raise NotFoundError(f"no code {name!r}", hint=did_you_mean(name, codes.CODES))
    return codes.CODES[name]
