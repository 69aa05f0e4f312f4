"""What to use when the user does not say: labels, scorer, language, template; and why.

Nothing is guessed from the texts' meaning: labels come from the user or from the rows' own labels, the
scorer from the model's architecture, the language from the script, and the template from the shelf.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from promptshot import columns, files, library, spec
from promptshot.errors import InputError, OptionError, PromptshotError, RowError, TemplateError, shortlist
from promptshot.kinds import FIRST, KINDS, WITH_DEMONSTRATIONS
from promptshot.labels import NAME, Labels, read_labels
from promptshot.prompts import Template, TemplateSpec
from promptshot.rows import ALIASES, Reject, Row, folded
from promptshot.scoring import Kind
from promptshot.shelf import scorer_of
from promptshot.verbalizer import RowWords, Verbalizer, gold_text, whole_number

MOST_LABELS = 200
SHARE = 0.8  # of a shelf verbalizer's labels that the rows must show before it is taken for theirs
# Where several templates of the shelf fit, these tasks go first, in this order; several words a label before one, which
# leans more to a side.
TASKS = (
    "sentiment-words",
    "sentiment",
    "sentiment3",
    "news-words",
    "news",
    "entailment",
    "same",
    "emotion",
    "intent",
    "spam",
    "toxicity",
    "urgency",
    "priority",
    "stance",
    "product",
    "subjectivity",
    "question",
)
GENERAL = "topic"  # the task whose templates take label words of any kind
SPOKEN = {"zh": "Chinese", "en": "English"}

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")
_CHINESE = re.compile(r"[\u3400-\u9fff]")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\']|\'\')*\'', re.DOTALL)
_LIST = re.compile(rf"\s*\[\s*(?:{_QUOTED.pattern})(?:\s*,\s*(?:{_QUOTED.pattern}))*\s*,?\s*\]\s*", re.DOTALL)
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True)
class Wish:
    """What a user said of templates and label words; empty where nothing was said."""

    templates: tuple[str, ...] = ()
    labels: str | Sequence[str] | Mapping[str, Any] | None = None
    verbalizer: str | Verbalizer | None = None
    scorer: str | None = None
    model: str = ""
    folder: Path | None = None
    shots: bool = False  # whether demonstrations go before each row
    labels_ignored: bool = False  # whatever labels the rows carry

    @property
    def kind(self) -> str | None:
        """The kind of scorer that was said, that the model is made for, or that demonstrations are for."""
        if self.scorer in KINDS:
            return self.scorer
        return scorer_of(self.model) or (WITH_DEMONSTRATIONS if self.shots and not self.model else None)

    def words(self) -> Verbalizer | None:
        """The label words that were said, in place of a template's own."""
        if self.labels is not None and self.verbalizer is not None:
            raise OptionError("labels and verbalizer both give label words", hint="leave one out")
        if self.labels is not None:
            return self._said.verbalizer
        if isinstance(self.verbalizer, str):
            return library.verbalizer(self.verbalizer, self.folder)
        return self.verbalizer

    @property
    def reasons(self) -> tuple[str, ...]:
        """How labels were read that were not plainly said, one line each."""
        return () if self.labels is None else self._said.reasons

    @property
    def named(self) -> Labels | None:
        """The labels that were said, where no verbalizer was."""
        return None if self.labels is None else self._said

    @cached_property
    def _said(self) -> Labels:
        assert self.labels is not None
        return read_labels(self.labels)


@dataclass(frozen=True)
class Guess:
    """A template with the verbalizer to use, and one line for each thing that was not said."""

    template: Template
    verbalizer: Verbalizer
    reasons: tuple[str, ...] = ()


def language_of(texts: Iterable[str]) -> str:
    """'zh' where at least a fifth of the letters are Chinese characters, else 'en'."""
    text = "".join(texts)
    letters = len(_LETTER.findall(text))
    return "zh" if letters and len(_CHINESE.findall(text)) >= letters / 5 else "en"


def spoken_by(template: Template, words: Verbalizer | None = None) -> str:
    """The language of a template's own text, or of its words where it has no text; empty where neither has a letter."""
    own = "".join(part.text for parts in template.segments for part in parts if part.kind is Kind.FIXED)
    if not _LETTER.search(own) and words is not None and not isinstance(words, RowWords):
        own = "".join(words.choices(Row({})))
    return language_of([own]) if _LETTER.search(own) else ""


def template_of(said: str, scorer: str, folder: Path | None) -> Template:
    """The template of that name or path; text with a brace in it is a template itself.

    Two segments are a list, ["This is {mask} news", "{text}"]; for `nsp` also "This is {mask} news | {text}".
    """
    if "{" not in said:
        return library.template(said, folder)
    text: str | list[str] = _listed(said) or (said if 1 in KINDS[scorer].segments else said.split(" | "))
    made = spec.build({"scorer": scorer, "text": text}, TemplateSpec, TemplateError, "-t", {})
    return Template.of(made, "inline", "-t")


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


@dataclass(frozen=True)
class Carried:
    """The labels that rows carry, sorted, and how those were read that are spelled in several ways."""

    labels: list[str]
    reasons: tuple[str, ...] = ()


def labels_of(rows: Iterable[Row], field: str = "label") -> Carried:
    """The distinct labels the rows carry; those that differ in case only are one, in the spelling that most rows have.

    Raises OptionError beyond 200 of them.
    """
    found: dict[str, Counter[str]] = {}
    lacking: Row | None = None  # the first of the rows, as long as none has the column that was named
    for place, row in enumerate(rows):
        column = row.column(field)
        if field in row.columns:
            lacking = (row if place == 0 else lacking) if column is None else None
        try:
            value = gold_text(row, column)
        except RowError:  # several labels: the row will be told when it is scored
            continue
        if value is not None:
            number = whole_number(value)
            label = value.strip() if number is None else str(number)
            found.setdefault(label.casefold(), Counter())[label] += 1
        if len(found) > MOST_LABELS:
            what = f"more than {MOST_LABELS} different labels in column {column!r}"
            raise OptionError(what, hint=f"{columns.missing([row], field)}, or say --labels a,b,c")
    if lacking is not None:
        raise lacking.refuse(field, lacking.columns[field])
    usual = {label: max(spelled, key=spelled.__getitem__) for label, spelled in found.items()}
    several = [spelled for spelled in found.values() if len(spelled) > 1]
    told = tuple(f"labels that differ in case only are one: {' and '.join(of)}" for of in several)
    return Carried(sorted(usual.values()), told)


@dataclass(frozen=True)
class Look:
    """What can be seen of the rows before they are scored; each part is looked at only where it is needed."""

    first: Callable[[], Sequence[Row]] = list  # some rows
    every: Callable[[], Iterable[Row]] = list  # all of them, or as many as can be read twice
    bad: Callable[[], Reject | None] = lambda: None  # the first that cannot be read
    partly: Callable[[], bool] = lambda: False  # whether there may be more than `every` gives


def choose(wish: Wish, look: Look) -> list[Guess]:
    """A template with label words for each one that was named; where none was, one for the rows."""
    words = wish.words()
    if not wish.templates:
        one = guess(look, words, wish.kind, wish.folder, wish.named)
        return [replace(one, reasons=(*wish.reasons, *one.reasons))]
    found = []
    for said in wish.templates:
        template = template_of(said, wish.kind or FIRST, wish.folder)
        own = template.spec.scorer
        if wish.scorer in KINDS and wish.scorer != own:
            hint = f"use scorer {own}, or a template for {wish.scorer}"
            raise OptionError(f"the template {template.name} is for scorer {own}, not {wish.scorer}", hint=hint)
        if words is None and "{" in said:
            carried = labels_of(look.every())
            labels = carried.labels
            reasons = (f"labels from the rows: {_seen(labels, look)}",) if look.partly() else ()
            verbalizer = verbalizer_of_rows(labels, look.first(), own, wish.folder)
            found.append(Guess(template, verbalizer, (*carried.reasons, *reasons)))
        else:
            words_of, why = words_for(template, wish)
            found.append(Guess(template, words_of, (*wish.reasons, *why)))
        if words is None and "{" not in said and not wish.labels_ignored:
            found[-1] = _given_way(found[-1], look)
        found[-1] = replace(found[-1], reasons=(*found[-1].reasons, *_foreign(found[-1], look, wish.folder)))
    told = tuple(dict.fromkeys(reason for one in found for reason in one.reasons))
    return [replace(found[0], reasons=told), *(replace(one, reasons=()) for one in found[1:])]


def words_for(template: Template, wish: Wish) -> tuple[Verbalizer, tuple[str, ...]]:
    """The label words to use with a template that was named, and what is to be said of them: labels that it knows, of
    which no words were said, are asked with its own."""
    words = wish.words()
    if words is None or not template.spec.verbalizer:
        return words or library.verbalizer_of(template, wish.folder), ()
    own = library.verbalizer_of(template, wish.folder)
    known = [own.gold_label(Row({"label": name}), "label")[0] for name in words.names]
    if wish.named and wish.named.bare and None not in known and len(set(known)) == len(known):
        which = shortlist(words.names, 6)
        told = f"label words of {own.name}, which knows the labels ({which}); for others: a=word,b=word"
        return _in_words_of(own, words), (told,)
    return words, ()


def _given_way(named: Guess, look: Look) -> Guess:
    """The rows' labels in place of a general template's own, where these are words and it knows none of them."""
    words, name = named.verbalizer, named.template.name
    if not re.fullmatch(rf"(zh|en)-{GENERAL}-({'|'.join(KINDS)})", name):
        return named
    try:
        carried = labels_of(look.every())
    except OptionError:  # too many: they are looked at when it is known what they are compared with
        return named
    found = carried.labels
    plain = len(found) > 1 and not all(_NUMBER.fullmatch(label) for label in found)
    if not plain or any(words.gold_label(Row({"label": label}), "label")[0] for label in found):
        return named
    reason = f"labels from the rows ({_seen(found, look)}), for {words.name} knows none of them"
    own = Verbalizer(NAME, {label: {label: 1.0} for label in found})
    return replace(named, verbalizer=own, reasons=(*named.reasons, *carried.reasons, reason))


def _foreign(named: Guess, look: Look, folder: Path | None) -> Iterator[str]:
    """That a template that was named is in another language than the rows, in one line, and which one is not."""
    own, texts = spoken_by(named.template), _texts(look.first()[:200])
    if not own and (prefix := named.template.name.partition("-")[0]) in SPOKEN:
        own = prefix
    if not own or not any(map(_LETTER.search, texts)) or (language := language_of(texts)) == own:
        return
    name = named.template.name if named.template.path else "in the command"
    other = f"{language}-{name.removeprefix(own + '-')}"
    there = name.startswith(f"{own}-") and library.path_of("templates", other, folder)
    hint = f"-t {other}" if there else f"promptshot templates list --language {language}"
    rows = f"are {SPOKEN[language]}" if language == "zh" else "are not"
    yield f"the template {name} is in {SPOKEN[own]}, the rows' texts {rows}; in {SPOKEN[language]} there is: {hint}"


def guess(
    look: Look, given: Verbalizer | None, scorer: str | None, folder: Path | None, named: Labels | None = None
) -> Guess:
    """A template for rows of which no template was named, by the labels that were said or that the rows carry.

    `named` says how `given` was said, where it comes from labels. Raises OptionError where neither tells what to choose
    from.
    """
    rows = _some(look, "-t NAME")
    carried = Carried([]) if given else labels_of(look.every())
    found = carried.labels
    reasons = [*carried.reasons, *([] if scorer else [f"scorer {FIRST}, the usual first choice"])]
    scorer = scorer or FIRST
    language = language_of(_texts(rows[:200]))
    spoken = SPOKEN[language]
    if given is None:
        for own in _own_words(rows[0], found, language, scorer, folder)[:1]:
            reason = f"template {own.template.name}: each row brings its own words, their texts are {spoken}"
            return replace(own, reasons=(*reasons, reason))
        _refuse_letters(rows[0], found, f"{language}-choice-{scorer}")
        for fitting in of_the_shelf(rows[0], found, f"{language}-", f"-{scorer}", folder)[:1]:
            labels = _seen(found, look)
            why = f"the rows' labels ({labels}) fit {fitting.verbalizer.name}, their texts are {spoken}"
            return Guess(fitting.template, fitting.verbalizer, (*reasons, f"template {fitting.template.name}: {why}"))
        given = verbalizer_of_rows(found, rows, scorer, folder)
        reasons.append(f"labels from the rows: {_seen(found, look)}")
    elif named:
        for said, fitting in _for_names(rows[0], named, f"{language}-", f"-{scorer}", folder)[:1]:
            which = "with its label words" if said.bare else "with your label words"
            names = shortlist(said.verbalizer.names, 6)
            why = f"the labels ({names}) fit {fitting.verbalizer.name}, the texts are {spoken}"
            words = _words_said(fitting.verbalizer, said)
            return Guess(fitting.template, words, (*reasons, f"template {fitting.template.name}, {which}: {why}"))
    template = library.template(f"{language}-{GENERAL}-{scorer}", folder)
    _refuse_other_rows(template, rows[0], found, scorer, folder)
    fallback = _fallback(rows[0], found or given.names, f"{language}-", f"-{scorer}", folder)
    reasons.append(f"template {template.name}, the general one for {spoken} texts: {fallback}")
    return Guess(template, given, tuple(reasons))


def _in_words_of(shelf: Verbalizer, named: Verbalizer) -> Verbalizer:
    """Labels as a user names them, with the words of a verbalizer that knows them all.

    The rows may spell them as it says; where the user has numbered them, its own numbers are none.
    """
    labels: dict[str, Any] = {}
    gold: dict[str, tuple[str, ...]] = {}
    for name in named.names:
        of, _ = shelf.gold_label(Row({"label": name}), "label")
        assert of is not None
        labels[name] = shelf.labels[of]
        spelled = [of, *shelf.gold.get(of, ())]
        kept = [value for value in spelled if not named.gold or whole_number(value) is None]
        others = {other.casefold() for other in named.names} - {name.casefold()}
        gold[name] = (*named.gold.get(name, ()), *(value for value in kept if value.casefold() not in others))
    return Verbalizer(shelf.name, labels, gold, shelf.pool)


def _fallback(row: Row, labels: Sequence[str], start: str, end: str, folder: Path | None) -> str:
    """Why the general template is asked, and how to have a better one."""
    near = of_the_shelf(row, labels, start, end, folder, share=0)
    if names := [one.template.name for one in near if one.template.name != f"{start}{GENERAL}{end}"]:
        return f"it asks what a text is about; for such labels there is also -t {names[0]}"
    return "no template of the shelf is made for these labels; for others: -t NAME (see: promptshot templates list)"


def _some(look: Look, flags: str) -> Sequence[Row]:
    """Some rows to look at; raises InputError, with what is wrong with the first, where there is no good one."""
    rows = look.first()
    if not rows:
        bad = look.bad()
        said = f"no good row to look at: {bad.reason}" if bad else "no good row to look at"
        hint = (bad.advice or "mend the file" if bad else "") or f"name a template: {flags}"
        raise InputError(said, where=bad.source if bad else "", hint=hint)
    return rows


def _seen(found: Sequence[str], look: Look) -> str:
    """Labels that were seen, and where not all rows could be."""
    return shortlist(found, 6) + (f"; of the first {len(look.first()):,} rows only" if look.partly() else "")


def save(path: Path, found: Sequence[Guess], replace: bool = False) -> None:
    """Write template and verbalizer down as one file that `-t` reads; raises InputError where another exists."""
    if len(found) != 1:
        raise OptionError("--save-template writes one template, not an ensemble", hint="leave it out")
    template, verbalizer = found[0].template, found[0].verbalizer
    keys = template.spec.model_dump(exclude_defaults=True, exclude={"verbalizer", "example"})
    labels = {label: dict(words) for label, words in verbalizer.labels.items()}
    plain = {label: [*words] if set(words.values()) == {1.0} else words for label, words in labels.items()}
    inside: dict[str, Any] = {"labels": plain}
    if verbalizer.gold:
        inside["gold"] = {label: list(values) for label, values in verbalizer.gold.items()}
    if verbalizer.pool != "mean":
        inside["pool"] = verbalizer.pool
    own = {} if template.spec.words_from else {"verbalizer": inside}  # there each row brings its own
    files.put(str(path), spec.dump(keys | own), replace)


def _texts(rows: Sequence[Row]) -> list[str]:
    """The rows' texts, under whatever names; whatever else they hold where they have no such field."""
    found = []
    for row in rows:
        names = [name for name in ("text", "text_a", "text_b") if row.column(name)]
        found += [str(row[name]) for name in names] or [str(value) for value in row.fields.values()]
    return found


def of_the_shelf(
    row: Row, found: Sequence[str], start: str, end: str, folder: Path | None, share: float = SHARE
) -> list[Guess]:
    """The templates of that language and scorer whose verbalizers know all labels of the rows, the likeliest first.

    The rows must show that share of a verbalizer's labels.
    """
    fitting: list[tuple[int, int, str, Guess]] = []
    for name in library.names("templates", folder):
        if found and name.startswith(start) and name.endswith(end):
            try:
                template = library.template(name, folder)
                verbalizer = library.verbalizer_of(template, folder)
                known = {verbalizer.gold_label(Row({"label": label}), "label")[0] for label in found}
            except PromptshotError:
                continue
            enough = len(known) == len(found) >= share * len(verbalizer.names)
            if None in known or not enough or any(row.column(need) is None for need in template.needs):
                continue
            task = name.removeprefix(start).removesuffix(end)
            fitting.append((len(verbalizer.names), _task_order(task), name, Guess(template, verbalizer)))
    words = [label for label in found if not _NUMBER.fullmatch(label)]
    return [guess for *_, guess in sorted(fitting, key=lambda f: f[:3])] if words else []


def _task_order(task: str) -> int:
    return TASKS.index(task) if task in TASKS else len(TASKS)


def every(look: Look, field: str = "label", folder: Path | None = None, named: Labels | None = None) -> list[Guess]:
    """All templates of the shelf, for any scorer, that fit the rows' language and the labels they carry, or those that
    were named; the general ones where none fits.

    Raises OptionError where not even they do.
    """
    rows = _some(look, "-t NAME -t NAME")
    carried = labels_of(look.every(), field)
    if not carried.labels:
        raise InputError("no row has a label", where=rows[0].source, hint=columns.missing(rows, field))
    found = list(named.verbalizer.names) if named else carried.labels
    whose, told = ("" if named else "rows' "), list(named.reasons if named else carried.reasons)
    language = language_of(_texts(rows[:200]))
    guesses = [one for kind in KINDS for one in _own_words(rows[0], found, language, kind, folder) if not named]
    if named:
        fitting = [one for kind in KINDS for one in _for_names(rows[0], named, f"{language}-", f"-{kind}", folder)]
        guesses = [replace(one, verbalizer=_words_said(one.verbalizer, said)) for said, one in fitting]
    elif not guesses:
        guesses = [one for kind in KINDS for one in of_the_shelf(rows[0], found, f"{language}-", f"-{kind}", folder)]
    if guesses:
        told.append(f"{len(guesses)} templates of the shelf fit the {whose}labels: {shortlist(found, 6)}")
    else:
        names = [name for kind in KINDS for name in suited(rows[0], found, language, kind, folder)]
        if names:
            near = "".join(f" -t {name}" for name in names[:3])
            what = f"no template of the shelf fits the {whose}labels ({shortlist(found, 6)})"
            raise OptionError(what, hint=f"for such rows there is:{near} (see: promptshot templates list)")
        words = named.verbalizer if named else verbalizer_of_rows(found, rows, folder=folder)
        guesses = [Guess(library.template(f"{language}-{GENERAL}-{kind}", folder), words) for kind in KINDS]
        for kind, one in zip(KINDS, guesses, strict=True):
            _refuse_other_rows(one.template, rows[0], found, kind, folder)
        told.append(
            f"no template of the shelf fits the {whose}labels ({shortlist(found, 6)}): the general ones are asked"
        )
    return [replace(guesses[0], reasons=tuple(told)), *guesses[1:]]


def _for_names(row: Row, named: Labels, start: str, end: str, folder: Path | None) -> list[tuple[Labels, Guess]]:
    """The templates of the shelf for labels that were said, each with how they were read: as they are, or as numbers
    with the very names of a verbalizer, `0=negative,1=positive`."""
    found = []
    for said in named.readings():
        fitting = of_the_shelf(row, said.verbalizer.names, start, end, folder)
        own = {*said.verbalizer.names}
        found += [(said, one) for one in fitting if said is named or own <= {*one.verbalizer.names}]
    return found


def _words_said(shelf: Verbalizer, named: Labels | None) -> Verbalizer:
    """The label words of a template, or those that were said, under the names that were said."""
    return shelf if named is None else _in_words_of(shelf, named.verbalizer) if named.bare else named.verbalizer


# ------------------------------------------------------------------ what to try where nothing can be chosen


def verbalizer_of_rows(
    found: Sequence[str], rows: Sequence[Row] = (), scorer: str = FIRST, folder: Path | None = None
) -> Verbalizer:
    """The labels that the rows carry as their own label words; raises OptionError for numbers or none, with what fits
    the rows at hand."""
    numbers = bool(found) and all(_NUMBER.fullmatch(label) for label in found)
    if len(found) == 2 and {label.casefold() for label in found} == {"true", "false"}:
        said = ",".join(f"{label}=WORD" for label in found)
        raise OptionError("the rows' labels are true and false", hint=f"say what they mean: --labels '{said}'")
    if len(found) > 1 and not numbers:
        return Verbalizer(NAME, {label: {label: 1.0} for label in found})
    if rows and (names := suited(rows[0], found, language_of(_texts(rows[:200])), scorer, folder)):
        said = f", and their labels are numbers ({shortlist(found, 6)})" if numbers else ""
        raise OptionError(f"{_shape(rows[0])}{said}", hint=f"for such rows there is: -t {names[0]}")
    if not found:
        what = "no labels to choose from: none were said, and the rows carry none"
        more = f", or {columns.missing(rows, 'label')}" if rows else ""
        raise OptionError(what, hint=f"say --labels a,b,c{more}, or -t NAME (see: promptshot templates list)")
    if not numbers:
        raise OptionError(f"the rows carry only one label, {found[0]!r}", hint="say --labels a,b,c")
    what = f"the rows' labels are numbers ({shortlist(found, 6)})"
    if named := _names_of_numbers(rows):
        raise OptionError(what, hint=f"their names stand in another column: --label-field {named}")
    example = ",".join(f"{label}:NAME" for label in found[:3]) + ("" if len(found) <= 3 else ",...")
    raise OptionError(what, hint=f"say what they mean: --labels '{example}', or -t NAME")


def _own_words(row: Row, found: Sequence[str], language: str, scorer: str, folder: Path | None) -> list[Guess]:
    """The templates of the shelf for rows that bring their own label words."""
    named = [library.template(name, folder) for name in suited(row, found, language, scorer, folder, own_words=True)]
    return [Guess(template, library.verbalizer_of(template, folder)) for template in named]


def suited(
    row: Row, found: Sequence[str], language: str, scorer: str, folder: Path | None, own_words: bool = False
) -> list[str]:
    """The templates of the shelf for rows that hold more than one text: pairs, keywords, words of their own, or the
    last alone."""
    names = []
    for name in library.names("templates", folder):
        if not (name.startswith(f"{language}-") and name.endswith(f"-{scorer}")):
            continue
        try:
            template = library.template(name, folder)
            words = library.verbalizer_of(template, folder)
            own = isinstance(words, RowWords)
            if len(template.needs) < 2 or (own_words and not own) or not _knows(words, found, row, template):
                continue
            template.render(row, words.choices(row))
        except PromptshotError:
            continue
        names.append((not template.spec.words_from, _task_order(name.partition("-")[2].rpartition("-")[0]), name))
    return [name for *_, name in sorted(names)]


def _knows(words: Verbalizer, found: Sequence[str], row: Row, template: Template) -> bool:
    """Whether a verbalizer knows the labels that the rows carry."""
    if isinstance(words, RowWords):
        return row.column(template.spec.label_field) is not None or not found
    known = {words.gold_label(Row({"label": label}), "label")[0] for label in found}
    return None not in known and len(known) >= SHARE * len(words.names) if found else True


def _shape(row: Row) -> str:
    """What kind of rows these are, in words."""
    if row.column("text_a") and row.column("text_b"):
        return "the rows are pairs of texts"
    return "the rows hold more than a text"


def _names_of_numbers(rows: Sequence[Row]) -> str:
    """The column that names in words what the label column numbers; empty where there is none."""
    for name, value in rows[0].fields.items() if rows else ():
        known = folded(name)
        usual = known.startswith(("label_", "class_", "category_")) or known in map(folded, ALIASES["label"])
        if usual and isinstance(value, str) and value.strip() and not _NUMBER.fullmatch(value.strip()):
            return name
    return ""


def _refuse_letters(row: Row, found: Sequence[str], name: str) -> None:
    """Labels that are names of columns call the answers there, and are none themselves; raises OptionError."""
    if len(found) > 1 and all(label in row.fields for label in found):
        what = f"the rows' labels ({shortlist(found, 6)}) are the columns of their answers"
        raise OptionError(what, hint=f"name the question: -t {name} --map question=COLUMN")


def _refuse_other_rows(template: Template, row: Row, found: Sequence[str], scorer: str, folder: Path | None) -> None:
    """Rows that have no single text need a template of their own kind; raises OptionError or RowError."""
    try:
        row[template.needs[0]]
    except RowError as problem:
        language = template.name.partition("-")[0]
        names = suited(row, found, language, scorer, folder) or suited(row, (), language, scorer, folder)
        if names:
            raise OptionError(_shape(row), where=row.source, hint=f"for such rows there is: -t {names[0]}") from None
        if row.column("text_a") and row.column("text_b"):
            hint = "name a template for pairs, such as zh-same-nsp or en-entailment-mlm"
            raise OptionError("the rows are pairs of texts", where=row.source, hint=hint) from None
        raise problem
