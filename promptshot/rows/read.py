"""Files of rows: read in order, some of them chosen."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from promptshot.errors import InputError
from promptshot.rows import formats
from promptshot.rows.row import Item, Reject, Row
from promptshot.rows.streams import PLAIN, Reading, Seen
from promptshot.rows.tables import Bad, Odd, Value

NO_COLUMNS: Mapping[str, str] = {}

# ------------------------------------------------------------------ reading


def read(
    paths: Sequence[str], columns: Mapping[str, str] | None = None, how: Reading = PLAIN, seen: Seen | None = None
) -> Iterator[Item]:
    """Every row of the files, in order, numbered from 0; `-` is standard input. What is read is told to `seen`.

    Raises InputError for a file that is missing, empty or not readable as a whole.
    """
    key = 0
    for path in paths:
        empty = True
        for source, value in formats.records(path, how, seen):
            empty = False
            yield item_of(source, value, key, columns or {})
            key += 1
        if empty:
            raise InputError(
                "no rows in it", where=path, hint="one JSON object a line, a CSV with a header, or a text a line"
            )


def item_of(source: str, value: Value, key: int, columns: Mapping[str, str] = NO_COLUMNS) -> Item:
    """What a file says at a place, as a row with that number; or why it is none."""
    if isinstance(value, Bad):
        return Reject(source, value.reason, value.raw, key)
    if isinstance(value, Odd):
        return Row(value.fields, source, key, columns, value.remark)
    return Row(value, source, key, columns)


def parse(text: str, source: str) -> Item:
    """One row written as a JSON object, as on a line of a file."""
    for _, found in formats.json_lines([text.encode(errors="surrogatepass")], source):
        return Reject(source, found.reason, found.raw) if isinstance(found, Bad) else Row(found, source)
    return Reject(source, "empty", text)


def parsed(text: str) -> Mapping[str, Any]:
    """The fields of a row that was written as a JSON object."""
    row = parse(text, "")
    assert isinstance(row, Row)
    return row.fields


def select(items: Iterable[Item], limit: int | None, sample: int | None, seed: int) -> Iterator[Item]:
    """The first `limit` items; of these `sample` at random (seeded, in their order, memory for `sample`)."""
    taken = items if limit is None else _first(items, limit)
    if sample is None:
        yield from taken
        return
    kept: list[Item] = []
    rng = random.Random(seed)
    for number, item in enumerate(taken):
        if number < sample:
            kept.append(item)
        elif (slot := rng.randrange(number + 1)) < sample:
            kept[slot] = item
    yield from sorted(kept, key=lambda item: item.key)


def _first(items: Iterable[Item], limit: int) -> Iterator[Item]:
    """At most `limit` items, without reading one too many."""
    iterator = iter(items)
    for _ in range(limit):
        try:
            yield next(iterator)
        except StopIteration:
            return
