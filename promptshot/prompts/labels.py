r"""The labels that a user says: `a,b`, `a=word|word,b=word`, JSON or YAML, or `@FILE` with one a line or any of these.

Where all begin with a number, `0:negative=bad,1:positive=good`, the rows call them by it, and several numbers may lead
to one label. A backslash before a sign that separates makes it text: `a\,b` is one label. Whatever could have been
meant in another way is told: each such reading is one line of `Labels.reasons`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptshot.errors import InputError, OptionError, PromptshotError, shortened, unreadable
from promptshot.prompts import strict
from promptshot.prompts.codes import NO_LINES, Lines
from promptshot.prompts.verbalizer import Verbalizer, VerbalizerSpec, whole_number

FLAG = "--labels"
NAME = "labels"  # of the verbalizer
LARGEST = 2 << 20  # bytes of a file
COMMAS = ",，"
OTHERS = {"、": "`、`", "；": "`；`", ";": "`;`", "\n": "a line break"}  # they separate labels where no comma does
EQUALS, BARS = "=＝", "|｜"  # the plain sign, and the full-width one of Chinese keyboards
SIGNS = COMMAS + "、；;" + EQUALS + BARS + "@:："  # a backslash before one of these makes it text
HOW = "write a,b or a=word1|word2,b=word3"
NUMBERED = re.compile(r"([-+]?\d{1,9})\s*[:：]\s*(.*[^\W\d].*)", re.DOTALL)  # `0:negative`, but no `10:30`


@dataclass(frozen=True)
class Labels:
    """Labels with their words, and one line for each thing that was not plainly said."""

    verbalizer: Verbalizer
    reasons: tuple[str, ...] = ()
    bare: bool = False  # whether nothing was said of words, so that each label is its own

    def readings(self) -> Iterator[Labels]:
        """As it was said; and where each label is a number with one word, `0=bad`, with the words as names."""
        yield self
        words = [[*of] for of in self.verbalizer.labels.values()]
        if all(whole_number(name) is not None for name in self.verbalizer.names) and all(len(of) == 1 for of in words):
            names = [of[0] for of in words]
            gold = {name: (number,) for name, number in zip(names, self.verbalizer.names, strict=True)}
            own = Verbalizer(NAME, {name: {name: 1.0} for name in names}, gold)
            yield Labels(own, self.reasons, bare=True)


def read_labels(labels: str | Sequence[str] | Mapping[str, Any]) -> Labels:
    """What a user says as labels, with how it was read; raises OptionError or InputError where it cannot be."""
    if not isinstance(labels, str):
        return _of_data(labels, FLAG)
    text = labels.strip()
    if text.startswith("@"):
        return _of_file(text[1:])
    if text.startswith(("[", "{")) and (data := _in_brackets(text)) is not None:
        return _of_data(data, FLAG)
    reasons: list[str] = []
    parts = _parts(text, reasons)
    if len(parts) == 1 and os.path.isfile(text):
        raise OptionError("one label, and it is the name of a file", where=FLAG, hint=f"to read the file: @{text}")
    return _of_parts([(FLAG, part) for part in parts], FLAG, reasons)


def verbalizer_of_labels(labels: str | Sequence[str] | Mapping[str, Any]) -> Verbalizer:
    """The same without how it was read."""
    return read_labels(labels).verbalizer


# ------------------------------------------------------------------ text


def _parts(text: str, reasons: list[str]) -> list[str]:
    """The text in pieces, a label each; where no comma separates any, another sign does, and that is told."""
    parts = _filled(_split(text, COMMAS))
    signs = [sign for sign in OTHERS if len(_filled(_split(text, sign))) > 1]
    if len(parts) != 1 or not signs:
        return parts
    parts = _filled(_split(text, signs[0]))
    if len(signs) > 1 or len({_has(part, EQUALS) for part in parts}) > 1:
        which = " and ".join(OTHERS[sign] for sign in signs)
        what = f"no comma stands between labels, and {which} may separate labels or words"
        raise OptionError(what, where=FLAG, hint=HOW)
    reasons.append(f"{FLAG}: {OTHERS[signs[0]]} taken as the separator of {len(parts)} labels, for there is no comma")
    return parts


def _of_parts(parts: Sequence[tuple[str, str]], where: str, reasons: list[str]) -> Labels:
    """Pieces with their places, each a label or `label=word|word`."""
    equals = _sign(EQUALS, [part for _, part in parts], all, where, reasons)
    pairs = [(place, *_halves(part, equals)) for place, part in parts]
    bar = _sign(BARS, [words for _, _, words in pairs if words is not None], any, where, reasons)
    found: dict[str, list[str] | None] = {}
    first: dict[str, str] = {}
    for place, label, words in pairs:
        if not label:
            raise _empty(place)
        if label in found:
            before = f", first in {first[label]}" if first[label] != place else ""
            raise OptionError(f"the label {label!r} stands twice{before}", where=place, hint="give each label once")
        found[label] = None if words is None else [_plain(word) for word in _split(words, bar)]
        first[label] = place
    return _made(found, where, reasons)


def _sign(
    signs: str, parts: Sequence[str], enough: Callable[[Iterable[bool]], bool], where: str, reasons: list[str]
) -> str:
    """The sign in use: the full-width one where `enough` (all, any) of the pieces have it and none the plain one."""
    plain, wide = signs[0], signs[1]
    if not parts or not enough(_has(part, wide) for part in parts) or any(_has(part, plain) for part in parts):
        return plain
    reasons.append(f"{where}: `{wide}` taken as `{plain}`")
    return wide


def _halves(part: str, equals: str) -> tuple[str, str | None]:
    label, *words = re.split(rf"(?<!\\){equals}", part, maxsplit=1)
    return label.strip(), words[0] if words else None


def _split(text: str, signs: str) -> list[str]:
    return re.split(rf"(?<!\\)[{signs}]", text)


def _has(text: str, signs: str) -> bool:
    return len(_split(text, signs)) > 1


def _filled(parts: Iterable[str]) -> list[str]:
    return [part.strip() for part in parts if part.strip()]


def _plain(text: str) -> str:
    r"""The text without the backslashes that made signs text; any other backslash is one."""
    return re.sub(rf"\\([{SIGNS}])", r"\1", text).strip()


# ------------------------------------------------------------------ lists and mappings


def _of_data(labels: Any, where: str, reasons: Iterable[str] = (), lines: Lines = NO_LINES) -> Labels:
    """A list of labels, or a mapping from labels to their words."""
    if isinstance(labels, set | frozenset):
        raise OptionError("labels have an order, and a set has none", where=where, hint='give a list: ["a", "b"]')
    if isinstance(labels, Mapping) and labels and all(type(key) is int for key in labels):  # {0: "bad", 1: "good"}
        labels = [f"{number}:{name}" for number, name in labels.items()]
    if parts := _pairs(labels):
        return _of_parts([(where, part) for part in parts], where, list(reasons))
    mapped = isinstance(labels, Mapping)
    if mapped and isinstance(labels.get("labels"), Mapping):
        raise OptionError("this is a whole verbalizer", where=where, hint="name it with --verbalizer FILE")
    said = {label: labels[label] if mapped else None for label in _each_once(labels, where)}
    if unsaid := [label for label, words in said.items() if words is None and mapped]:
        raise OptionError(f"the label {unsaid[0]!r} has no word", where=where, hint="give each label a word, or none")
    return _made(said, where, reasons, lines)


def _pairs(labels: Any) -> list[str]:
    """A list or mapping all of whose items are `0:label=word`, as text; else nothing."""
    parts = [f"{key}:{value}" for key, value in labels.items()] if isinstance(labels, Mapping) else list(labels)
    whole = all(isinstance(part, str) and NUMBERED.fullmatch(part) and _has(part, EQUALS) for part in parts)
    return parts if parts and whole else []


def _made(said: Mapping[str, Any], where: str, reasons: Iterable[str] = (), lines: Lines = NO_LINES) -> Labels:
    """Labels with what was said of their words (None: nothing), as they were written, in one verbalizer."""
    told = list(reasons)
    numbers = [NUMBERED.fullmatch(label) for label in said]
    numbered = [(match[1], match[2]) for match in numbers if match]
    names = [name for _, name in numbered] if len(numbered) == len(said) else list(said)
    gold = _gold(numbered, where) if names and len(numbered) == len(said) else {}
    if gold:
        shown = ", ".join(f"{number} is {_plain(name)}" for number, name in numbered[:8])
        told.append(f"{where}: the numbers are the rows' own: {shown}{', ...' if len(numbered) > 8 else ''}")
    made, spelled = _together(zip(map(_plain, names), said.values(), strict=True), told, where)
    if len(made) < 2:
        what = f"{len(made)} label{'' if len(made) == 1 else 's'}; a choice needs at least two"
        raise OptionError(what, where=where, hint=HOW if where == FLAG else "write one label a line")
    words = {label: [label] if of is None else of for label, of in made.items()}
    keys: dict[str, Any] = {"labels": words}
    for label, values in gold.items():
        keys.setdefault("gold", {}).setdefault(spelled[label], []).extend(values)
    inside = {("labels", *place): line for place, line in lines.items()}
    found = strict.build(keys, VerbalizerSpec, OptionError, where, inside)
    bare = all(of is None for of in made.values())
    return Labels(Verbalizer.of(found, NAME, where, inside), tuple(told), bare)


def _gold(numbered: Iterable[tuple[str, str]], where: str) -> dict[str, list[str]]:
    """The numbers of each name; raises OptionError for one that stands twice."""
    found: dict[str, list[str]] = {}
    seen: set[int] = set()
    for number, name in numbered:
        if int(number) in seen:
            raise OptionError(f"the number {number} stands twice", where=where, hint="give each number once")
        seen.add(int(number))
        found.setdefault(_plain(name), []).append(str(int(number)))
    return found


def _together(said: Iterable[tuple[str, Any]], told: list[str], where: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Labels with their words, those that differ in case only as one; and how each is spelled there."""
    found: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    first: dict[str, str] = {}
    for label, words in said:
        if not label:
            raise _empty(where)
        name = first.setdefault(label.casefold(), label)
        if name != label and label not in spelled:
            told.append(f"{where}: {name!r} and {label!r} are one label, {name!r}")
        spelled[label] = name
        known = found.get(name)
        found[name] = words if known is None else known if words is None else {**_weighted(known), **_weighted(words)}
    return found, spelled


def _weighted(words: Any) -> dict[str, Any]:
    return (
        {**words} if isinstance(words, Mapping) else dict.fromkeys(words if isinstance(words, list) else [words], 1.0)
    )


def _each_once(labels: Iterable[Any], where: str) -> Iterator[str]:
    """The labels, none of them empty, no text, or there before."""
    seen: set[str] = set()
    for label in labels:
        if not isinstance(label, str):
            what = f"a label is {json.dumps(label, ensure_ascii=False, default=str)}, not text"
            raise OptionError(shortened(what), where=where, hint="write labels as texts, in quotes")
        if not label.strip():
            raise _empty(where)
        if label in seen:
            raise OptionError(f"the label {label!r} stands twice", where=where, hint="give each label once")
        seen.add(label)
        yield label


def _empty(where: str) -> OptionError:
    return OptionError("a label is empty", where=where, hint="give each label a name")


def _in_brackets(text: str) -> Any:
    """JSON, or YAML, which has no need of quotes (a shell may have taken them); None where it is plain text."""
    try:
        return _json(text, FLAG)
    except PromptshotError as problem:
        try:
            data, _ = strict.parse_source(text, FLAG).sound(OptionError)
        except PromptshotError:
            if re.match(r"[\[{]\s*[\"']", text):
                raise problem from None
            return None
        return data


def _json(text: str, where: str) -> Any:
    """JSON whose numbers stay as they are written; raises OptionError with file:line."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return dict(zip(_each_once((key for key, _ in pairs), where), (value for _, value in pairs), strict=True))

    try:
        return json.loads(text, object_pairs_hook=once, parse_int=str, parse_float=str)
    except json.JSONDecodeError as problem:
        place = f"{where}:{problem.lineno}" if where != FLAG else where
        raise OptionError(
            f"not valid JSON: {problem.msg} (column {problem.colno})", where=place, hint='write ["a", "b"]'
        ) from None
    except RecursionError:
        raise OptionError("nested too deeply", where=where, hint='write ["a", "b"]') from None


# ------------------------------------------------------------------ files


def _of_file(name: str) -> Labels:
    """The labels in a file: a label a line, or a list or mapping in JSON or YAML."""
    suffix = Path(name).suffix.lower()
    if suffix in (".yaml", ".yml", ".json"):
        of_yaml = suffix != ".json"
        data, lines = strict.load_yaml(Path(name), OptionError) if of_yaml else (_json(_text_of(name), name), NO_LINES)
        if not isinstance(data, list | dict):
            raise OptionError("neither a list of labels nor labels with their words", where=name, hint="see --help")
        return _of_data(data, name, (), lines)
    lines_of = [(f"{name}:{n}", line.strip()) for n, line in enumerate(re.split("\r\n|\r|\n", _text_of(name)), 1)]
    return _of_parts([(place, line) for place, line in lines_of if line], name, [])


def _text_of(name: str) -> str:
    try:
        with open(name, "rb") as stream:
            data = stream.read(LARGEST + 1)
    except (OSError, ValueError) as problem:
        hint = r"check the path; a label that begins with @ is written \@"
        raise unreadable(name or FLAG, problem, hint) from None
    if len(data) > LARGEST:
        raise InputError(f"larger than {LARGEST:,} bytes", where=name, hint="is it the right file?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise InputError(f"not UTF-8 text (byte {problem.start + 1})", where=name, hint="save it as UTF-8") from None
