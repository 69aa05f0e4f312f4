"""Several labels of one row: how rows spell them, and how they are written.

a list           ["a", "b"]; [] says that none holds
a text           a label as it is; else several with a separator between them, each as long as a label can be
JSON in a text   the list again, as tables have it
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from promptshot.errors import RowError, shortlist
from promptshot.prompts.verbalizer import Verbalizer, gold_text
from promptshot.rows.row import Row

USUAL = ",，、;；|"  # each of them separates labels, where nothing else is said
JOINT = ","  # written between labels
Gold = tuple[tuple[str, ...] | None, str | None]  # our labels, and how the row spells them, or one that is none


def said_of(
    row: Row, column: str | None, words: Verbalizer, separator: str | None = None
) -> list[tuple[str, Any]] | None:
    """The labels of a row one by one, as texts (see `gold_text`) and as it has them; None where it says nothing of any.

    Raises RowError for a 0 or 1 for each label, which are no labels.
    """
    value = None if column is None else row[column]
    if isinstance(value, str):
        listed = _listed(value)
        value = _parts(value, words, separator) or None if listed is None else listed
    if isinstance(value, Mapping) or value is None:
        return None
    items = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
    found = [(text, item) for item in items if (text := _text(row, item))]
    if items and not found:
        return None
    numbers = [text for text, _ in found]
    if len(numbers) == len(words.names) > 1 and {*numbers} <= {"0", "1"} and len({*numbers}) < len(numbers):
        what = f"a 0 or 1 for each label ({shortlist(numbers, 4)})"
        raise RowError(what, where=row.source, hint="give the names of those that hold")
    return found


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
    if texts and not any(sign in text for text in texts for sign in signs) and not texts[0].startswith("["):
        return (separator or JOINT).join(texts)
    return json.dumps(list(labels), ensure_ascii=False)


def _listed(text: str) -> list[Any] | None:
    """A list in JSON; None for any other text."""
    if not (text.lstrip().startswith("[") and text.rstrip().endswith("]")):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def _parts(text: str, words: Verbalizer, separator: str | None) -> list[str]:
    """The labels in a text; what lies between two separators is put together again where that makes a label."""
    if words.label_of(text) is not None:
        return [text]
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
