"""What is on the shelf: an entry for each template and verbalizer, and the choice among them that lists make.

Language and task are what a name says, `zh-sentiment-words-mlm`; where it says no language, its text does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import Any

from promptshot import shelf
from promptshot.errors import OptionError, PromptshotError, did_you_mean
from promptshot.kinds import KINDS
from promptshot.prompts import library
from promptshot.prompts.language import language_of, spoken_by
from promptshot.prompts.verbalizer import RowWords, Verbalizer
from promptshot.rows.row import Row

LANGUAGES = ("en", "zh")

_NAME = re.compile(rf"(?:(zh|en)-)?(.+?)(?:-(?:{'|'.join(KINDS)}))?")


@dataclass(frozen=True)
class Entry:
    """What lists tell of a template, or of a verbalizer (`scorer` is empty); `words` is None where none can be read."""

    name: str
    scorer: str
    language: str
    task: str
    words: Verbalizer | None
    about: str
    path: Path

    @property
    def labels(self) -> tuple[str, ...]:
        """Its labels; none where each row brings its own words."""
        return self.words.names if self.words else ()

    @property
    def spellings(self) -> Iterator[str]:
        """The labels, and how data sets spell them."""
        return chain(self.labels, *(self.words.gold.values() if self.words else ()))

    def knows(self, label: str) -> bool:
        """Whether that is one of its labels, or a spelling of one."""
        if self.words is None or isinstance(self.words, RowWords):
            return False
        return self.words.gold_label(Row({"label": label}), "label")[0] is not None

    def record(self) -> dict[str, Any]:
        """Itself as plain data; a verbalizer has no scorer."""
        scorer = {"scorer": self.scorer} if self.scorer else {}
        named = {"language": self.language, "task": self.task, "labels": list(self.labels)}
        return {"name": self.name, **scorer, **named, "about": self.about, "path": str(self.path)}


@dataclass(frozen=True)
class Wanted:
    """What entries are looked for; empty where nothing was said."""

    scorer: str = ""
    language: str = ""
    task: str = ""
    labels: tuple[str, ...] = ()

    def __str__(self) -> str:
        said = {"scorer": self.scorer, "language": self.language, "task": self.task, "labels": ",".join(self.labels)}
        return " ".join(f"--{flag} {value}" for flag, value in said.items() if value)


def templates(folder: Path | None = None) -> list[Entry]:
    """The templates of the shelf and of a library, by name."""
    found = []
    for name in library.names("templates", folder):
        path = library.find("templates", name, folder)
        template = library.template(name, folder)
        try:
            words = library.verbalizer_of(template, folder)
        except PromptshotError:  # it names none, or one that is not there: whoever uses it is told
            words = None
        language, task = _named(name)
        language = language or spoken_by(template, words) or "en"
        found.append(Entry(name, template.spec.scorer, language, task, words, template.spec.about, path))
    return found


def verbalizers(folder: Path | None = None) -> list[Entry]:
    """The verbalizers of the shelf and of a library, by name."""
    found = []
    for name in library.names("verbalizers", folder):
        words = library.verbalizer(name, folder)
        language, task = _named(name)
        language = language or language_of(words.choices(Row({})))
        found.append(Entry(name, "", language, task, words, words.about, library.find("verbalizers", name, folder)))
    return found


def _named(name: str) -> tuple[str, str]:
    """The language, or none, and the task that a name says."""
    found = _NAME.fullmatch(name)
    return (found[1] or "", found[2]) if found else ("", name)  # a name may have a line break in it


def chosen(entries: Sequence[Entry], wanted: Wanted, kind: shelf.Shelf = "templates") -> list[Entry]:
    """The entries that are wanted; raises OptionError, with what was meant, for a value that none of them has."""
    one, tasks = kind[:-1], {entry.task for entry in entries}
    families = tasks | {re.split(r"-|\d", task)[0] for task in tasks}
    _refuse(f"no {one} is for --scorer", wanted.scorer, KINDS)
    _refuse(f"no {one} is for --language", wanted.language, LANGUAGES)
    _refuse(f"no {one} is for --task", wanted.task, families)
    for label in wanted.labels:
        if not any(entry.knows(label) for entry in entries):
            raise OptionError(f"no {one} knows the label {label!r}", hint=_nearest(label, entries))
    return [entry for entry in entries if _is_wanted(entry, wanted)]


def _is_wanted(entry: Entry, wanted: Wanted) -> bool:
    """A task stands for its varieties, too: sentiment for sentiment-words and sentiment5."""
    for said, own in ((wanted.scorer, entry.scorer), (wanted.language, entry.language)):
        if said and said.casefold() != own:
            return False
    of_task = re.fullmatch(rf"{re.escape(wanted.task)}([-\d].*)?", entry.task, re.IGNORECASE) if wanted.task else True
    return bool(of_task) and all(map(entry.knows, wanted.labels))


def _refuse(what: str, said: str, known: Iterable[str]) -> None:
    if said and said.casefold() not in {name.casefold() for name in known}:
        raise OptionError(f"{what} {said!r}", hint=did_you_mean(said.casefold(), known))


def _nearest(label: str, entries: Iterable[Entry]) -> str:
    """The label or spelling that was hardly meant otherwise, or where they are listed."""
    known = {spelling.casefold() for entry in entries for spelling in entry.spellings}
    near = get_close_matches(label.casefold(), sorted(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else "to see what labels there are: promptshot verbalizers list"
