"""Scored rows that wait in a file until the whole run can be decided."""

from __future__ import annotations

import json
import os
import re
import time
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import IO, Any

from promptshot.classify.prediction import Outcome, Prediction
from promptshot.errors import InputError
from promptshot.rows import read
from promptshot.rows.json_text import Exact, dumps
from promptshot.rows.row import Reject, Row

SHARE = 0.05  # of the time, at most, is spent on waiting for the disk


class Spool:
    """Scored rows that wait in a file until the whole run can be decided: a line for each window, with a checksum.

    What a run left that was killed is taken up again: the whole windows up to the first that is torn or damaged.
    """

    def __init__(self, file: IO[bytes], of: str = "", durable: bool = False) -> None:
        """`file` is open for reading and writing; with `durable` it outlives a power cut.

        `of` says whose scores they are, and stands in each line. Raises InputError where a line is of another run, or
        the file is of none.
        """
        self._file, self._of, self._durable = file, of, durable
        self._labels: list[tuple[str, ...]] = []  # of each good row, and beside them
        self._scores = array("d")  # their scores, row after row
        self.rows = 0
        self.note: Any = []  # what was told with the last window
        self._next = 0.0  # when the disk is waited for again
        end = 0
        file.seek(0)
        for line in file:
            try:
                whose, start, note, window = _unspooled(line)
                if whose == of and start != self.rows:
                    break  # a line is lost, or stands twice
            except (ValueError, TypeError, KeyError, AttributeError):
                if self.rows or _DAMAGED.fullmatch(line):
                    break
                whose = None
            if whose != of:
                raise InputError("no file of waiting scores of this run", hint="move it away, or use --overwrite")
            self._count(window)
            self.note, end = note, end + len(line)
        file.seek(end)
        file.truncate()

    def add(self, window: Sequence[Outcome], note: Any = None) -> None:
        """Append a window, with plain data about it."""
        data = json.dumps([self._of, self.rows, note, [_spooled(outcome) for outcome in window]]).encode()
        self._file.write(b"%08x %s\n" % (zlib.crc32(data), data))
        self._file.flush()
        self.note = note
        self._count(window)
        began = time.monotonic()
        if self._durable and began >= self._next:
            os.fsync(self._file.fileno())
            ended = time.monotonic()
            self._next = ended + (ended - began) / SHARE

    @property
    def good(self) -> int:
        """How many rows were scored."""
        return len(self._labels)

    @property
    def scores(self) -> Iterator[Mapping[str, float]]:
        """The label scores of each row that was scored, in order."""
        start = 0
        for labels in self._labels:
            yield dict(zip(labels, self._scores[start : start + len(labels)], strict=True))
            start += len(labels)

    def __iter__(self) -> Iterator[Outcome]:
        self._file.seek(0)
        for line in self._file:
            yield from _unspooled(line)[-1]

    def _count(self, window: Sequence[Outcome]) -> None:
        self.rows += len(window)
        for found in window:
            if isinstance(found, Prediction):
                labels = tuple(found.label_scores)
                if self._labels and self._labels[-1] == labels:  # kept once
                    labels = self._labels[-1]
                self._labels.append(labels)
                self._scores.extend(found.label_scores.values())


def _spooled(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, Reject):
        return {"reject": vars(outcome)}
    plain = {key: value for key, value in vars(outcome).items() if key != "row"}
    exact = {"exact": dumps(outcome.row.fields)} if isinstance(outcome.row.fields, Exact) else {}
    return {"row": {**vars(outcome.row), "columns": dict(outcome.row.columns)}, "rest": plain, **exact}


# What a line may look like of which a kill or a lost machine has left something only.
_DAMAGED = re.compile(rb"[0-9a-f]{0,8}|[0-9a-f]{8} .*\n?|\0*\n?", re.DOTALL)


def _unspooled(line: bytes) -> tuple[Any, Any, Any, list[Outcome]]:
    """Whose a window is, the number of its first row, what was told with it, and the window itself.

    Raises ValueError and the like for a damaged line.
    """
    sum_of, data = line[:8], line[9:-1]
    if not line.endswith(b"\n") or int(sum_of, 16) != zlib.crc32(data):
        raise ValueError("damaged")
    whose, start, note, window = json.loads(data)
    return whose, start, note, [_outcome(said) for said in window]


def _outcome(said: Mapping[str, Any]) -> Outcome:
    """A spooled row, with what came of it."""
    if "reject" in said:
        return Reject(**said["reject"])
    found = Prediction(_row(said), **said["rest"])
    return replace(found, tokens=tuple(found.tokens), label=_label(found.label), gold=_label(found.gold))


def _label(said: Any) -> Any:
    """A label, or several, which JSON has as a list."""
    return tuple(said) if isinstance(said, list) else said


def _row(said: Mapping[str, Any]) -> Row:
    """A spooled row; its numbers as they were written."""
    row = Row(**said["row"])
    return replace(row, fields=read.parsed(said["exact"])) if "exact" in said else row
