"""Several labels of one row: how rows spell them, and how they are written.

a list           ["a", "b"]; [] says that none holds
a text           a label as it is; else several with a separator between them, each as long as a label can be
a list as text   the list again, as tables have it: in JSON, or as Python and NumPy print theirs
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from promptshot.errors import RowError, shortlist
from promptshot.prompts.verbalizer import Verbalizer, gold_text, whole_number
from promptshot.rows.row import Row

USUAL = ",，、;；|"  # each of them separates labels, where nothing else is said
JOINT = ","  # written between labels
JOINING = f"{USUAL}/／+&"  # each of them may stand between labels, as people write them
LONGEST = 100_000  # characters of a text that is read as a list
Gold = tuple[tuple[str, ...] | None, str | None]  # our labels, and how the row spells them, or one that is none


def said_of(
    row: Row, column: str | None, words: Verbalizer, separator: str | None = None
) -> list[tuple[str, Any]] | None:
    """The labels of a row one by one, as texts (see `gold_text`) and as it has them; None where it says nothing of any.

    Raises RowError for a 0 or 1 for each label, which are no labels, where the row alone tells.
    """
    found = spelled(row, column, words, separator)
    texts = [text for text, _ in found or ()]
    if len(texts) == len(words.names) and _repeated(_flags_of(texts)):
        raise _flagged(row, texts)
    return found


def spelled(
    row: Row, column: str | None, words: Verbalizer, separator: str | None = None
) -> list[tuple[str, Any]] | None:
    """The same, whatever they are."""
    value = None if column is None else row[column]
    if isinstance(value, str):
        listed = _listed(value)
        value = _parts(value, words, separator) or None if listed is None else listed
    if isinstance(value, Mapping) or value is None:
        return None
    items = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
    found = [(text, item) for item in items if (text := _text(row, item))]
    return None if items and not found else found


def texts_of(row: Row, column: str | None, words: Verbalizer, separator: str | None = None) -> list[str] | None:
    """The same as texts alone."""
    said = said_of(row, column, words, separator)
    return None if said is None else [text for text, _ in said]


def _text(row: Row, item: Any) -> str:
    """One of several labels as text; empty where it is blank. What is no label at all is none of ours as JSON."""
    if isinstance(item, Mapping | list | tuple):
        return json.dumps(item, ensure_ascii=False, default=str)
    return (gold_text(Row({"label": item}, row.source), "label") or "").strip()


def gold_of(row: Row, column: str | None, words: Verbalizer, separator: str | None = None) -> Gold:
    """A row's own labels, in our order, and how it spells them; where one is none of ours, no label is known, and the
    first such one is what the row says. Raises RowError."""
    texts = texts_of(row, column, words, separator)
    if texts is None:
        return None, None
    known = {text: words.label_of(text) for text in texts}
    if unknown := [text for text, label in known.items() if label is None]:
        return None, unknown[0]
    return tuple(label for label in words.names if label in known.values()), f"{JOINT} ".join(texts)


def written(labels: Sequence[Any], separator: str | None = None) -> str:
    """Labels as one text, for tables: with the separator between them; as a JSON list where there are none, or one
    could not be told from several."""
    texts, signs = [str(label) for label in labels], [separator] if separator else [*USUAL]
    text = (separator or JOINT).join(texts)
    if (
        texts
        and not any(sign in one for one in texts for sign in signs)
        and not (text.startswith("[") or is_list(text))
    ):
        return text
    return json.dumps(list(labels), ensure_ascii=False)


_QUOTED = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\s*,?\s*""", re.DOTALL)
_BARE = re.compile(r"([-+]?\d{1,18}(?:\.\d*)?|True|False|None|nan)(?=[\s,\]])\s*,?\s*")
_ENDS = {"[": "]", "(": ")", "{": "}"}  # a list, a tuple, a set
_VALUES = {"True": True, "False": False, "None": None, "nan": None}


def _listed(text: str) -> list[Any] | None:
    """A list as JSON, or as Python or NumPy prints it; None for any other text."""
    text = text.strip()
    if not text or text[-1] != _ENDS.get(text[0]):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, list) else _printed(text)


def _printed(text: str) -> list[Any] | None:
    """The texts in quotation marks between two brackets, in square ones numbers and truth values as well; None where
    there is anything else. (As Python code `['a' 'b']`, which is how NumPy prints two texts, would be one.)"""
    if len(text) > LONGEST:
        return None
    found, place = list[Any](), len(text) - len(text[1:].lstrip())  # where the first stands
    while place < len(text) - 1:
        if item := _QUOTED.match(text, place):
            found.append(_unquoted(item[1]))
        elif text[0] == "[" and (item := _BARE.match(text, place)):
            number = int if "." not in item[1] else float
            found.append(_VALUES[item[1]] if item[1] in _VALUES else number(item[1]))
        else:
            return None
        place = item.end()
    return found if found or text[0] != "{" else None


def _unquoted(text: str) -> str:
    """A text in quotation marks, as it was before Python put backslashes into it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a backslash that means itself
            return str(ast.literal_eval(text)) if "\\" in text else text[1:-1]
    except (ValueError, SyntaxError):
        return text[1:-1]


def _inside(text: str) -> str:
    """What stands in square brackets, as in `[a, b]`; any other text as it is."""
    plain = text.strip()
    return plain[1:-1] if plain.startswith("[") and plain.endswith("]") else text


def _parts(text: str, words: Verbalizer, separator: str | None) -> list[str]:
    """The labels in a text; what lies between two separators is put together again where that makes a label."""
    if words.label_of(text) is not None:
        return [text]
    text = _inside(text)
    pattern = re.escape(separator) if separator else f"[{USUAL}]"
    pieces = re.split(f"({pattern})", text)  # texts, and what stands between them
    # The most separators that a label has: no more pieces are put together, for a text may have a million of them.
    most = max((len(re.findall(pattern, spelling)) for spelling in words.spellings), default=0)
    found, begin = list[str](), 0
    while begin < len(pieces):
        ends = range(min(len(pieces), begin + 2 * most + 1), begin, -2)
        longest = next((end for end in ends if words.label_of("".join(pieces[begin:end])) is not None), begin + 1)
        found.append("".join(pieces[begin:longest]))
        begin = longest + 1
    return [part for part in found if part.strip()]


def is_list(text: str) -> bool:
    """Whether a text is a list of labels, or of none."""
    return _listed(text) is not None


def joined_by(text: str, known: Container[str], separator: str | None = None) -> str | None:
    """The sign between the labels that a text joins, all of them known in lower case, if that is another than the
    separator; `[` where it is a list of several. None for any other text."""
    if separator is None and len(_listed(text) or ()) > 1:
        return "["
    text = _inside(text)
    for sign in JOINING:
        parts = [part.strip().casefold() for part in text.split(sign, 100)] if sign != separator else []
        if len({*parts}) > 1 and all(part in known for part in parts):
            return sign
    return None


# ------------------------------------------------------------------ a 0 or 1 for each label


@dataclass
class Flags:
    """What lists of zeros and ones in a column are: numbers of labels, or a 0 or 1 for each label.

    Rows tell together. A list with two of the same proves the latter; a number alone, or among others, the former.
    """

    rows: Counter[int] = field(default_factory=Counter)  # with so many zeros and ones
    proofs: dict[int, RowError] = field(default_factory=dict)  # the first of these that cannot be numbers of labels
    doubts: dict[int, RowError] = field(default_factory=dict)  # the first that can
    numbers: int = 0  # rows with other numbers

    def see(self, row: Row, texts: Sequence[str]) -> None:
        """Take in what a row says."""
        if not (flags := _flags_of(texts)):
            self.numbers += any(whole_number(text) is not None for text in texts)
            return
        self.rows[len(texts)] += 1
        proves = _repeated(flags)
        if len(texts) not in (known := self.proofs if proves else self.doubts):
            known[len(texts)] = _flagged(row, texts) if proves else _doubted(row, texts)

    def problem(self, labels: int | None = None) -> RowError | None:
        """Why they are no labels, or may be none; `labels` is how many there are, where that is known."""
        for length, rows in self.rows.items():
            alone = self.rows.total() + self.numbers == rows
            fits = labels in (None, length)
            if length in self.proofs and (rows > self.numbers if fits else alone and length > 2):
                return self.proofs[length]
            if length in self.doubts and fits and alone:
                return self.doubts[length]
        return None


def _flags_of(texts: Sequence[str]) -> list[str]:
    """A text of nothing but zeros and ones, or truth values, as these; nothing for any other."""
    folded = [text.casefold() if (number := whole_number(text)) is None else str(number) for text in texts]
    return folded if len(texts) > 1 and ({*folded} <= {"0", "1"} or {*folded} <= {"true", "false"}) else []


def _repeated(flags: Sequence[str]) -> bool:
    return len({*flags}) < len(flags)


NAMES = "give the names of those that hold"


def _flagged(row: Row, texts: Sequence[str]) -> RowError:
    return RowError(f"a 0 or 1 for each label ({shortlist(texts, 4)})", where=row.source, hint=NAMES)


def _doubted(row: Row, texts: Sequence[str]) -> RowError:
    what = f"a 0 or 1 for each label, or the numbers of two labels ({shortlist(texts, 4)})? nothing in the rows tells"
    return RowError(what, where=row.source, hint=NAMES)
