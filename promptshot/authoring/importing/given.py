"""What a user gives to import: a file, standard input, or the text itself; read as bytes of sensible size."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from promptshot.errors import InputError, NotFoundError, TemplateError, shortened, shortlist, unreadable
from promptshot.files import STREAM
from promptshot.prompts import codes, strict
from promptshot.prompts.codes import Flaw
from promptshot.prompts.strict import LARGEST, Source

STDIN = "<stdin>"
_LIKE_A_FILE = re.compile(r"[^\s{}*\"']{1,400}\.(ya?ml|txt|json|py|csv)|\.{0,2}/[^\s{}*\"']{1,400}")


@dataclass(frozen=True)
class Given:
    """A text with the name it goes by; `path` where it is a file."""

    text: str
    where: str
    path: Path | None = None

    def yaml(self) -> Source:
        """The text as YAML in which tags are kept and nothing is done by them."""
        return strict.parse_source(self.text, self.where, foreign=True)


def given(said: str, name: str = "TEXT") -> Given:
    """The file of that name, standard input for `-`, else the text itself, called `name`; raises InputError."""
    if said == STREAM:
        if sys.stdin is None:
            raise unreadable(STDIN, "it is closed", "name a file")
        stream = getattr(sys.stdin, "buffer", None)
        return Given(
            sys.stdin.read(LARGEST + 1) if stream is None else _decoded(stream.read(LARGEST + 1), STDIN), STDIN
        )
    if is_file(said):
        return _of_file(Path(said))
    if _LIKE_A_FILE.fullmatch(said):
        raise NotFoundError(f"no file {shortened(said)!r}", hint="check the path, or give the text itself in quotes")
    return Given(said, name)


def is_file(said: str) -> bool:
    """Whether something is there by that name, be it a folder or a pipe."""
    try:
        return len(said) < 4096 and os.path.exists(said)
    except ValueError:
        return False


def _of_file(path: Path) -> Given:
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except (OSError, ValueError) as problem:
        raise unreadable(str(path), problem) from None
    return Given(_decoded(data, str(path)), str(path), path)


def _decoded(data: bytes, where: str) -> str:
    if len(data) > LARGEST:
        raise InputError(f"larger than {LARGEST:,} bytes", where=where, hint="is it the right file?")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as problem:
        raise InputError(f"not UTF-8 text ({problem.reason})", where=where, hint="save it as UTF-8") from None


def beside(name: str, path: Path | None, where: str, keys: Sequence[str]) -> tuple[Source, Path]:
    """A YAML file that another one names, relative to it; raises TemplateError, which tells nothing of what it says.

    Whoever wrote the name may be a stranger: what has other keys than these is nothing, and none of them is told.
    """
    hint = "only a file beside it, by a relative path, is read"
    if path is None or os.path.isabs(name) or not name.strip():
        raise TemplateError(f"include: {shortened(name)!r} cannot be followed from here", where=where, hint=hint)
    other = path.parent / name
    try:
        if not other.is_file():
            raise TemplateError(f"include: no file {shortened(name)!r}", where=where, hint="check the path")
        found = _of_file(other)
        source = found.yaml()
    except (InputError, ValueError):
        source = Source(str(other), flaws=(Flaw(codes.NOT_TEXT, ""),))
    if source.flaws or not isinstance(source.data, dict) or not source.data.keys() <= {*keys}:
        what = f"include: no task can be read from {shortened(name)!r}"
        raise TemplateError(what, where=where, hint="is it the right file?")
    return source, other


def picked(keys: Sequence[str], names: Sequence[str], pick: str | None, where: str) -> str:
    """Which of several templates in one text is meant: the only one, or the one of that name or number (from 0).

    Raises TemplateError where that is not said, or there is no such one.
    """
    if pick is None and len(keys) == 1:
        return keys[0]
    if pick in names:
        return keys[names.index(str(pick))]
    if pick in keys:
        return str(pick)
    if pick is not None and pick.isdecimal() and len(pick) < 7 and int(pick) < len(keys):
        return keys[int(pick)]
    numbered = [f"{number}: {name}" if name != str(number) else name for number, name in enumerate(names)]
    what = f"{len(keys)} templates" if pick is None else f"no template {shortened(repr(pick))}"
    raise TemplateError(what, where=where, hint=f"--pick one of {shortlist(numbered, 20)}")
