"""Parquet and Arrow: files of columns, whose rows are as good as any; a row's place is its number."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator
from typing import Any

from promptshot.errors import InputError, install, lacking, shortened, told, unreadable
from promptshot.rows.tables import Value, first_doubled


def parquet(data: bytes, name: str) -> Iterator[tuple[str, Value]]:
    """The rows of a Parquet file."""
    yield from _columnar(data, name, lambda stream: _groups(_needed("pyarrow.parquet", name).ParquetFile(stream)))


def arrow(data: bytes, name: str) -> Iterator[tuple[str, Value]]:
    """The rows of an Arrow file or stream."""
    ipc = _needed("pyarrow.ipc", name)
    if data.startswith(b"ARROW1"):
        yield from _columnar(data, name, lambda stream: _batches(ipc.open_file(stream)))
    else:
        yield from _columnar(data, name, lambda stream: iter(ipc.open_stream(stream)))


def _groups(file: Any) -> Iterator[Any]:
    """Batches of one group of rows at a time: where one is damaged, those before it are whole."""
    for group in range(file.num_row_groups):
        yield from file.iter_batches(row_groups=[group])


def _batches(file: Any) -> Iterator[Any]:
    return (file.get_batch(i) for i in range(file.num_record_batches))


def _columnar(data: bytes, name: str, batches: Callable[[Any], Iterator[Any]]) -> Iterator[tuple[str, Value]]:
    """The rows of some batches of columns; a row's place is its number."""
    number = 0
    pa = _needed("pyarrow", name)
    try:
        for batch in batches(pa.BufferReader(data)):
            if (doubled := first_doubled(batch.schema.names)) is not None:
                hint = "give each column its own name"
                raise InputError(f"column {shortened(repr(doubled))} stands twice", where=name, hint=hint)
            for row in batch.to_pylist():
                number += 1
                yield f"{name} row {number}", {key: _plain(value) for key, value in row.items()}
    except (pa.ArrowException, OSError, ValueError, OverflowError) as problem:  # also what Python has no value for
        first = str(problem).splitlines()[0][:200]
        where = f"{name} row {number + 1}" if number else name
        raise unreadable(where, first, "is the file whole?") from None


def _plain(value: Any) -> Any:
    """A value as JSON has it: dates as text, what is no number as nothing, bytes as text where they are any."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _needed(module: str, name: str) -> Any:
    """A module of the extra; raises InputError, with the command that installs it where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as problem:
        package = lacking(problem)
        needed, hint = (package, install(package)) if package else (f"pyarrow ({told(problem)})", "install it anew")
        raise InputError(f"Parquet and Arrow need the package {needed}", where=name, hint=hint) from None
