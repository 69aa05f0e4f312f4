"""The rows of a run: which files, which of their rows, and what can be seen of them beforehand."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from typing import Any

from promptshot import files
from promptshot.classify.choosing import Look
from promptshot.classify.classifier import WINDOW
from promptshot.classify.demonstrations import is_demonstration
from promptshot.classify.recipe import DemoPlan
from promptshot.errors import InputError, OptionError, many
from promptshot.prompts.task import Task
from promptshot.rows import formats, objects, read, spans
from promptshot.rows.once import Once, kept
from promptshot.rows.row import Item, Reject, Row, with_columns
from promptshot.rows.spans import Placed, Span
from promptshot.rows.streams import PLAIN, Part, Reading, Seen

FOREIGN = 0.25  # of the first rows, at most, may be in another encoding
AHEAD = 16  # windows that are looked through for a good row, before a file is taken for one without any
HOPELESS = AHEAD * WINDOW  # rejected rows, and not one accepted: something is wrong with all of them


class Inputs:
    """Which rows: the files (`-` is standard input), the first `limit`, of these a seeded sample."""

    def __init__(
        self,
        paths: Sequence[str],
        limit: int | None = None,
        sample: int | None = None,
        seed: int = 0,
        how: Reading = PLAIN,
        window: int = WINDOW,
    ) -> None:
        """So many rows are scored at a time: a `window`, at whose end a run can be cut."""
        self.window = window
        self.paths, self.limit, self.sample, self.seed, self.how = tuple(paths), limit, sample, seed, how
        self._aside: Set[int] = frozenset()  # the numbers of rows that are not scored
        self._drawn: dict[str, int] = {}  # how these were drawn
        self._begin()

    def _begin(self) -> None:
        """Nothing has been read."""
        self.seen = Seen()  # what is read of the files for the rows that are scored
        items = read.read(self.paths, how=self.how, seen=self.seen)
        others = (item for item in items if item.key not in self._aside) if self._aside else items
        self._rest = read.select(others, self.limit, self.sample, self.seed)
        self._first: list[Item] | None = None
        self._ends: deque[tuple[Part, ...]] = deque()  # how much has been read at the end of each window on its way

    def set_aside(self, tasks: Sequence[Task], plan: DemoPlan) -> str:
        """Draw labelled rows that are demonstrations for all tasks, and score all others only; a name under which they
        can be read, as JSON lines.

        They are drawn from all rows, whichever are selected. Raises OptionError where there are too few, or where the
        files are such as can be read only once (see `once`).
        """
        if gone := next((path for path in self.paths if not isinstance(path, Once) and not files.is_file(path)), None):
            raise OptionError("no rows of a pipe can be set aside", where=gone, hint="write them to a file first")
        found = list(read.select(self._usable(tasks), None, plan.set_aside, plan.seed))
        if len(found) < max(plan.set_aside, plan.k):
            few = f"only {many(len(found), 'row has', 'rows have')} a label that the template knows"
            few = few if len(found) < plan.set_aside else f"{plan.k} demonstrations asked for"
            raise OptionError(
                f"--demos-from-input {plan.set_aside}: {few}", hint="take another number, or --demos FILE"
            )
        self._aside, self._drawn = {row.key for row in found}, {"rows": plan.set_aside, "seed": plan.seed}
        self._begin()
        if not self.peek():
            what = f"--demos-from-input {plan.set_aside}: no row is left to score"
            raise OptionError(what, hint="take a smaller number, or --demos FILE")
        return kept("demos", objects.as_lines(found))

    def _usable(self, tasks: Sequence[Task]) -> Iterator[Row]:
        """The rows of which each task can make a demonstration; they end where a file is torn."""
        with suppress(InputError):
            for item in self._all():
                if isinstance(item, Row) and all(is_demonstration(replace(item, columns=t.columns), t) for t in tasks):
                    yield item

    def afresh(self) -> Inputs:
        """The same rows, to be read once more."""
        found = type(self)(self.paths, self.limit, self.sample, self.seed, self.how, self.window)
        found._aside, found._drawn = self._aside, self._drawn
        found._begin()
        return found

    def peek(self) -> list[Item]:
        """The first window of rows, and the next ones where not one row is good; `read` still gives them.

        Where a file is torn they end, and `read` will tell.
        """
        if self._first is None:
            self._first, good = [], False
            try:
                for item in islice(self._rest, AHEAD * self.window):
                    self._first.append(item)
                    good = good or isinstance(item, Row)
                    if good and len(self._first) % self.window == 0:
                        break
            except InputError as problem:
                if not self._first:
                    raise
                self._rest = _failing(problem)
        return self._first

    def read(self, columns: Mapping[str, str], start: int = 0) -> Placed:
        """The selected rows from number `start` on, in order and once, with these columns for fields; or the places of
        their lines."""
        return Placed(partial(self._items, columns, start), partial(self._spans, start))

    def _items(self, columns: Mapping[str, str], start: int) -> Iterator[Item]:
        first, self._first = self.peek(), []
        items = islice(chain(first, self._rest), start, None)
        return (with_columns(item, columns) for item in items) if columns else items

    def _spans(self, start: int) -> Iterator[list[Span]] | None:
        """The same as spans, a window at a time; None where the rows are no whole lines of files that follow one
        another."""
        drawn = self.sample is not None or self._aside or start % self.window
        if drawn or not spans.parted(self.paths, self.how):
            return None
        self.seen, self._first, self._rest, self._ends = Seen(), [], iter(()), deque()
        windows = spans.windows(self.paths, self.seen, self.window, self.limit)
        return self._told(islice(windows, start // self.window, None), self._ends)

    @staticmethod
    def _told(windows: Iterator[spans.Window], ends: deque[tuple[Part, ...]]) -> Iterator[list[Span]]:
        for window in windows:
            ends.append(window.read)
            yield window.spans

    def read_for(self) -> Sequence[Part]:
        """What has been read of the files for the next window that comes to its end; call it once for each.

        Spans go out far ahead of what comes back.
        """
        return self._ends.popleft() if self._ends else self.seen.parts

    def peek_rows(self, columns: Mapping[str, str]) -> list[Row]:
        """The good ones of the first rows."""
        return [row for item in self.peek() if isinstance(row := with_columns(item, columns), Row)]

    def all_rows(self, columns: Mapping[str, str]) -> Iterator[Row]:
        """All good rows of the files, whatever the selection, read anew; of what can be read only once, the first
        ones. They end where a file is torn: the run itself will tell."""
        items, any_read = self._all() if self.rereadable else iter(self.peek()), False
        try:
            for item in items:
                any_read = True
                if isinstance(row := with_columns(item, columns), Row):
                    yield row
        except InputError:
            if not any_read:
                raise

    def numbered(self, keys: Set[int], columns: Mapping[str, str]) -> dict[int, Row]:
        """The rows with these numbers, read anew."""
        items = islice(self._all(), max(keys) + 1)
        return {
            item.key: replace(item, columns=columns) for item in items if isinstance(item, Row) and item.key in keys
        }

    @property
    def rereadable(self) -> bool:
        """Whether all files can be read again: no standard input, no pipe, whatever its name."""
        return all(files.is_file(path) for path in self.paths)

    def refuse_changed(self, parts: Sequence[Part], rows: int) -> None:
        """Raise InputError where what was read of the files for so many rows is not what they say now."""
        for path, part in zip(self.paths, parts, strict=False):
            if files.digest_of(path, part.bytes) != part.sha256:
                what = f"has been changed since its rows were scored ({rows:,} are done)"
                raise InputError(what, where=path, hint="use --overwrite to start afresh, or write to another file")

    @property
    def total(self) -> int | None:
        """How many rows are scored, as far as that is known beforehand."""
        count = formats.count(self.paths, self.how)
        most = (None if count is None else count - len(self._aside), self.limit, self.sample)
        return None if count is None else min(n for n in most if n is not None)

    @property
    def marked(self) -> bool:
        """Whether the first file begins with a byte order mark."""
        self.peek()
        return self.seen.marked

    @property
    def partly_seen(self) -> bool:
        """Whether there may be rows that `all_rows` does not give."""
        cut = self.limit is not None or self.sample is not None
        return not self.rereadable and (cut or len(self.peek()) >= self.window)

    def look(self, columns: Mapping[str, str]) -> Look:
        """What a guess may see of the rows."""

        def bad() -> Reject | None:
            return next((item for item in self.peek() if isinstance(item, Reject)), None)

        first, every = partial(self.peek_rows, columns), partial(self.all_rows, columns)
        return Look(first, every, bad, lambda: self.partly_seen)

    def look_back(self, items: Sequence[Item], columns: Mapping[str, str]) -> Look:
        """The same once they have been read."""
        found = look_at(items, columns, self.window)
        return replace(found, every=partial(self.all_rows, columns)) if self.rereadable else found

    def _all(self) -> Iterator[Item]:
        return read.read(self.paths, how=self.how)

    @property
    def selection(self) -> dict[str, Any]:
        """What decides which rows are scored, and which together; a plain limit does not (a longer run may go on from a
        shorter)."""
        drawn = {"sample": self.sample, "seed": self.seed, "limit": self.limit} if self.sample else {}
        cut = {"window": self.window} if self.window != WINDOW else {}
        aside = {"set_aside": self._drawn} if self._drawn else {}
        return {**drawn, **cut, **aside, **self.how.as_dict()}


def look_at(items: Sequence[Item], columns: Mapping[str, str], window: int = WINDOW) -> Look:
    """What a guess may see of rows that have been read."""
    good = [row for item in items if isinstance(row := with_columns(item, columns), Row)]
    return Look(lambda: good[:window], lambda: good, lambda: next((i for i in items if isinstance(i, Reject)), None))


def refuse_foreign(first: Sequence[Item]) -> None:
    """Stop before any scoring where many of the first rows are in another encoding: the others are no fair sample."""
    foreign = [item for item in first if isinstance(item, Reject) and item.reason.startswith("not UTF-8")]
    if len(foreign) > len(first) * FOREIGN and (advice := foreign[0].advice):
        what = f"{len(foreign):,} of the first {len(first):,} rows are not UTF-8"
        raise InputError(what, where=foreign[0].source, hint=advice)


def _failing(problem: InputError) -> Iterator[Item]:
    """No items, and the error behind them."""
    yield from ()
    raise problem
