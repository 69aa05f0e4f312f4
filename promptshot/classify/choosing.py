"""What to use when the user does not say: labels, scorer, language, template; and why.

Nothing is guessed from the texts' meaning: labels come from the user or from the rows' own labels, the
scorer from the model's architecture, the language from the script, and the template from the shelf.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from promptshot.classify.carried import ONE, Carried, Judged, labels_of
from promptshot.classify.suited import (
    GENERAL,
    NUMBER,
    Guess,
    for_names,
    of_the_shelf,
    own_words,
    refuse_letters,
    refuse_other_rows,
    suited,
    texts_of,
    verbalizer_of_rows,
)
from promptshot.errors import InputError, OptionError, shortlist
from promptshot.kinds import FIRST, JUDGING, KINDS, SHOWN
from promptshot.prompts import library
from promptshot.prompts.inline import is_two, template_of
from promptshot.prompts.labels import NAME, Labels, read_labels
from promptshot.prompts.language import LETTER, SPOKEN, language_of, spoken_by
from promptshot.prompts.template import ChatSpec, Template
from promptshot.prompts.verbalizer import Verbalizer, whole_number
from promptshot.rows import columns
from promptshot.rows.row import Reject, Row
from promptshot.shelf import scorer_of


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
    chat: Mapping[str, Any] | None = None  # templates are put as a chat, with what was said of it; None: as they say
    several: bool = False  # whether a row may have several labels
    separator: str | None = None  # between them, in a text

    @property
    def kind(self) -> str | None:
        """The kind of scorer that was said, that the model is made for, that learns most from demonstrations, or
        judges each of several labels by itself."""
        if self.scorer in KINDS:
            return self.scorer
        if self.chat is None and self.model:
            return scorer_of(self.model)
        first = SHOWN if self.chat is not None else JUDGING if self.several else SHOWN if self.shots else None
        return scorer_of(self.model) or first

    def kind_for(self, text: str) -> str:
        """The kind of scorer for a template that was said: of one segment the usual one, where nothing else was said
        than that labels are judged by themselves."""
        kind = self.kind or FIRST
        free = self.several and self.scorer not in KINDS and not self.model and self.chat is None
        return FIRST if free and 1 not in KINDS[kind].segments and not is_two(text) else kind

    @property
    def judged(self) -> Judged:
        """How rows' own labels are read."""
        return Judged(self.several, self.separator)

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
class Look:
    """What can be seen of the rows before they are scored; each part is looked at only where it is needed."""

    first: Callable[[], Sequence[Row]] = list  # some rows
    every: Callable[[], Iterable[Row]] = list  # all of them, or as many as can be read twice
    bad: Callable[[], Reject | None] = lambda: None  # the first that cannot be read
    partly: Callable[[], bool] = lambda: False  # whether there may be more than `every` gives


def choose(wish: Wish, look: Look) -> list[Guess]:
    """A template with label words for each one that was named; where none was, one for the rows."""
    return [judged(one, wish) for one in _chosen(wish, look)]


def judged(found: Guess, wish: Wish) -> Guess:
    """With a template for several labels, where that is wished; raises OptionError where it cannot be."""
    return replace(found, template=found.template.judging(wish.several, wish.separator))


def _chosen(wish: Wish, look: Look) -> list[Guess]:
    words = wish.words()
    if not wish.templates:
        one = in_chat(guess(look, words, wish.kind, wish.folder, wish.named, wish.judged), wish.chat)
        free = wish.several and wish.kind == JUDGING and wish.scorer not in KINDS and not wish.model
        judging = [f"scorer {JUDGING}, which judges each label by itself"] if free else []
        return [replace(one, reasons=(*wish.reasons, *judging, *one.reasons))]
    found = []
    for said in wish.templates:
        template = template_of(said, wish.kind_for(said), wish.folder)
        own = template.spec.scorer
        if wish.scorer in KINDS and wish.scorer != own:
            hint = f"use scorer {own}, or a template for {wish.scorer}"
            raise OptionError(f"the template {template.name} is for scorer {own}, not {wish.scorer}", hint=hint)
        if words is None and "{" in said:
            carried = labels_of(look.every(), judged=wish.judged)
            labels = carried.labels
            reasons = (f"labels from the rows: {_seen(labels, look)}",) if look.partly() else ()
            verbalizer = verbalizer_of_rows(labels, look.first(), own, wish.folder)
            found.append(Guess(template, verbalizer, (*carried.reasons, *reasons)))
        else:
            words_of, why = words_for(template, wish)
            found.append(Guess(template, words_of, (*wish.reasons, *why)))
        if words is None and "{" not in said and not wish.labels_ignored:
            found[-1] = _given_way(found[-1], look, wish.judged)
        found[-1] = replace(found[-1], reasons=(*found[-1].reasons, *_foreign(found[-1], look, wish.folder)))
    found = [in_chat(one, wish.chat) for one in found]
    told = tuple(dict.fromkeys(reason for one in found for reason in one.reasons))
    return [replace(found[0], reasons=told), *(replace(one, reasons=()) for one in found[1:])]


def in_chat(named: Guess, chat: Mapping[str, Any] | None) -> Guess:
    """The same with its template as a chat, see `as_chat`."""
    return replace(named, template=as_chat(named.template, chat))


def as_chat(template: Template, chat: Mapping[str, Any] | None) -> Template:
    """The template put as a chat, as was said over what it says itself; as it is where nothing was.

    Raises OptionError or TemplateError where it is for another scorer, or cannot be a chat.
    """
    if chat is None:
        return template
    if not template.kind.left_to_right:
        what = f"--chat is for scorer {SHOWN}, and the template {template.name} is for {template.kind.name}"
        raise OptionError(what, hint=f"name one for {SHOWN}: promptshot templates list --scorer {SHOWN}")
    own = template.spec.chat.model_dump() if template.spec.chat else {}
    return template.chatting(ChatSpec(**{**own, **chat}))


def words_for(template: Template, wish: Wish) -> tuple[Verbalizer, tuple[str, ...]]:
    """The label words to use with a template that was named, and what is to be said of them: labels that it knows, of
    which no words were said, are asked with its own."""
    words = wish.words()
    if words is None or not template.spec.verbalizer:
        return words or library.verbalizer_of(template, wish.folder), ()
    own = library.verbalizer_of(template, wish.folder)
    known = [own.label_of(name) for name in words.names]
    if wish.named and wish.named.bare and None not in known and len(set(known)) == len(known):
        which = shortlist(words.names, 6)
        told = f"label words of {own.name}, which knows the labels ({which}); for others: a=word,b=word"
        return _in_words_of(own, words), (told,)
    return words, ()


def _given_way(named: Guess, look: Look, judged: Judged) -> Guess:
    """The rows' labels in place of a general template's own, where these are words and it knows none of them."""
    words, name = named.verbalizer, named.template.name
    if not re.fullmatch(rf"(zh|en)-{GENERAL}-({'|'.join(KINDS)})", name):
        return named
    try:
        carried = labels_of(look.every(), judged=judged)
    except OptionError:  # too many: they are looked at when it is known what they are compared with
        return named
    found = carried.labels
    plain = len(found) > 1 and not all(NUMBER.fullmatch(label) for label in found)
    if not plain or any(words.label_of(label) for label in found):
        return named
    reason = f"labels from the rows ({_seen(found, look)}), for {words.name} knows none of them"
    own = Verbalizer(NAME, {label: {label: 1.0} for label in found})
    return replace(named, verbalizer=own, reasons=(*named.reasons, *carried.reasons, reason))


def _foreign(named: Guess, look: Look, folder: Path | None) -> Iterator[str]:
    """That a template that was named is in another language than the rows, in one line, and which one is not."""
    own, texts = spoken_by(named.template), texts_of(look.first()[:200])
    if not own and (prefix := named.template.name.partition("-")[0]) in SPOKEN:
        own = prefix
    if not own or not any(map(LETTER.search, texts)) or (language := language_of(texts)) == own:
        return
    name = named.template.name if named.template.path else "in the command"
    other = f"{language}-{name.removeprefix(own + '-')}"
    there = name.startswith(f"{own}-") and library.path_of("templates", other, folder)
    hint = f"-t {other}" if there else f"promptshot templates list --language {language}"
    rows = f"are {SPOKEN[language]}" if language == "zh" else "are not"
    yield f"the template {name} is in {SPOKEN[own]}, the rows' texts {rows}; in {SPOKEN[language]} there is: {hint}"


def guess(
    look: Look,
    given: Verbalizer | None,
    scorer: str | None,
    folder: Path | None,
    named: Labels | None = None,
    judged: Judged = ONE,
) -> Guess:
    """A template for rows of which no template was named, by the labels that were said or that the rows carry.

    `named` says how `given` was said, where it comes from labels. Raises OptionError where neither tells what to choose
    from.
    """
    rows = _some(look, "-t NAME")
    carried = Carried([]) if given else labels_of(look.every(), judged=judged)
    found = carried.labels
    reasons = [*carried.reasons, *([] if scorer else [f"scorer {FIRST}, the usual first choice"])]
    scorer = scorer or FIRST
    language = language_of(texts_of(rows[:200]))
    spoken = SPOKEN[language]
    if given is None:
        for own in () if judged.several else own_words(rows[0], found, language, scorer, folder)[:1]:
            reason = f"template {own.template.name}: each row brings its own words, their texts are {spoken}"
            return replace(own, reasons=(*reasons, reason))
        refuse_letters(rows[0], found, f"{language}-choice-{scorer}")
        for suiting in of_the_shelf(rows[0], found, f"{language}-", f"-{scorer}", folder)[:1]:
            labels = _seen(found, look)
            why = f"the rows' labels ({labels}) fit {suiting.verbalizer.name}, their texts are {spoken}"
            return Guess(suiting.template, suiting.verbalizer, (*reasons, f"template {suiting.template.name}: {why}"))
        given = verbalizer_of_rows(found, rows, scorer, folder)
        reasons.append(f"labels from the rows: {_seen(found, look)}")
    elif named:
        for said, suiting in for_names(rows[0], named, f"{language}-", f"-{scorer}", folder)[:1]:
            which = "with its label words" if said.bare else "with your label words"
            names = shortlist(said.verbalizer.names, 6)
            why = f"the labels ({names}) fit {suiting.verbalizer.name}, the texts are {spoken}"
            words = _words_said(suiting.verbalizer, said)
            return Guess(suiting.template, words, (*reasons, f"template {suiting.template.name}, {which}: {why}"))
    template = library.template(f"{language}-{GENERAL}-{scorer}", folder)
    refuse_other_rows(template, rows[0], found, scorer, folder)
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
        of = shelf.label_of(name)
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


def _seen(labels: Sequence[str], look: Look) -> str:
    """Labels that were seen, and where not all rows could be."""
    return shortlist(labels, 6) + (f"; of the first {len(look.first()):,} rows only" if look.partly() else "")


def every(
    look: Look,
    field: str = "label",
    folder: Path | None = None,
    named: Labels | None = None,
    chat: Mapping[str, Any] | None = None,
) -> list[Guess]:
    """All templates of the shelf, for any scorer, that fit the rows' language and the labels they carry, or those that
    were named; the general ones where none fits. As a `chat`, those only that can be one.

    Raises OptionError where not even they do.
    """
    rows = _some(look, "-t NAME -t NAME")
    carried = labels_of(look.every(), field)
    if not carried.labels:
        raise InputError("no row has a label", where=rows[0].source, hint=columns.missing(rows, field))
    found = list(named.verbalizer.names) if named else carried.labels
    whose, told = ("" if named else "rows' "), list(named.reasons if named else carried.reasons)
    language = language_of(texts_of(rows[:200]))
    guesses = [one for kind in KINDS for one in own_words(rows[0], found, language, kind, folder) if not named]
    if named:
        suiting = [one for kind in KINDS for one in for_names(rows[0], named, f"{language}-", f"-{kind}", folder)]
        guesses = [replace(one, verbalizer=_words_said(one.verbalizer, said)) for said, one in suiting]
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
        general = {kind: f"{language}-{GENERAL}-{kind}" for kind in KINDS}
        kinds = [kind for kind, name in general.items() if library.path_of("templates", name, folder)]
        guesses = [Guess(library.template(general[kind], folder), words) for kind in kinds]
        for kind, one in zip(kinds, guesses, strict=True):
            refuse_other_rows(one.template, rows[0], found, kind, folder)
        told.append(
            f"no template of the shelf fits the {whose}labels ({shortlist(found, 6)}): the general ones are asked"
        )
    if chat is not None:
        guesses = [in_chat(one, chat) for one in guesses if one.template.kind.left_to_right]
        if not guesses:
            raise OptionError(f"none of them is for scorer {SHOWN}, as --chat needs", hint="name one: -t NAME")
        told.append(f"as a chat, those for scorer {SHOWN}")
    return [replace(guesses[0], reasons=tuple(told)), *guesses[1:]]


def _words_said(shelf: Verbalizer, named: Labels | None) -> Verbalizer:
    """The label words of a template, or those that were said, under the names that were said."""
    return shelf if named is None else _in_words_of(shelf, named.verbalizer) if named.bare else named.verbalizer
