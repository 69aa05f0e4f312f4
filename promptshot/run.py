"""One run over files: predictions, rejects, summary and run record on disk, and what it all came to."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from promptshot import rows
from promptshot.classify import OUTPUT_FIELDS, WINDOW, Classifier, Prediction, check_gold
from promptshot.errors import InputError
from promptshot.metrics import Tally
from promptshot.recipe import Recipe
from promptshot.rows import Item, Reject, Row
from promptshot.writer import Writer

EXAMPLES = 10  # predictions kept for people to look at
HOPELESS = 1000  # rejected rows, and not one accepted: something is wrong with all of them


class Inputs:
    """Which rows: the files (`-` is standard input), the first `limit`, of these a seeded sample."""

    def __init__(
        self, paths: Sequence[str], limit: int | None = None, sample: int | None = None, seed: int = 0
    ) -> None:
        self.paths, self.limit, self.sample, self.seed = tuple(paths), limit, sample, seed
        self._rest = self._selected()
        self._first: list[Item] | None = None

    def peek(self) -> list[Item]:
        """The first window of rows; `read` still gives them."""
        if self._first is None:
            self._first = list(islice(self._rest, WINDOW))
        return self._first

    def read(self, columns: Mapping[str, str]) -> Iterator[Item]:
        """The selected rows, in order and once, with these columns for fields."""
        first, self._first = self.peek(), []
        return (_with_columns(item, columns) for item in chain(first, self._rest))

    def peek_rows(self, columns: Mapping[str, str]) -> list[Row]:
        """The good rows of the first window."""
        return [replace(item, columns=columns) for item in self.peek() if isinstance(item, Row)]

    def all_rows(self, columns: Mapping[str, str]) -> Iterator[Row]:
        """All good rows, read anew; of standard input, which can be read only once, the first window."""
        items = iter(self.peek()) if "-" in self.paths else self._selected()
        return (replace(item, columns=columns) for item in items if isinstance(item, Row))

    def _selected(self) -> Iterator[Item]:
        return rows.select(rows.read(self.paths), self.limit, self.sample, self.seed)

    @property
    def selection(self) -> dict[str, Any]:
        """What decides which rows are scored, but for the limit (a longer run may go on from a shorter)."""
        return {"sample": self.sample, "seed": self.seed} if self.sample else {}


@dataclass(frozen=True)
class Outputs:
    """Where results go; rejects and record lie beside the output where nothing else is said."""

    output: str | None = "-"  # None: nowhere
    summary: str | None = None
    record: str | None = None
    rejects: str | None = None
    overwrite: bool = False

    @property
    def record_path(self) -> str | None:
        return self.record or self._beside("run.json")

    @property
    def rejects_path(self) -> str | None:
        return self.rejects or self._beside("rejects.jsonl")

    def _beside(self, ending: str) -> str | None:
        return None if self.output in (None, "-") else f"{self.output}.{ending}"

    def check(self, inputs: Inputs) -> None:
        """Refuse to overwrite an output without being told to, and an input in any case."""
        for path in (self.output, self.summary, self.record, self.rejects):
            if path and path != "-" and any(_same(path, given) for given in inputs.paths):
                raise InputError("this is the input", where=path, hint="write to another file")
        if self.output not in (None, "-") and Path(str(self.output)).exists() and not self.overwrite:
            raise InputError("exists already", where=str(self.output), hint="use --overwrite to replace it")


@dataclass
class Result:
    """What a run came to."""

    recipe: Recipe
    tally: Tally
    details: Mapping[str, Any]
    fingerprint: str
    seconds: float = 0.0
    cut: int = 0  # rows whose text was shortened
    dropped: int = 0  # demonstrations left out, over all rows
    split: int = 0  # label words of several tokens
    averaged: bool = False
    examples: list[Prediction] = field(default_factory=list)  # the first few
    rejects: list[Reject] = field(default_factory=list)  # the first few
    rejects_path: str | None = None
    overwritten: tuple[str, ...] = ()  # input fields that gave way to output fields
    left_out: tuple[str, ...] = ()  # columns that a table had no room for

    @property
    def rows_per_second(self) -> float:
        return self.tally.predicted / self.seconds if self.seconds else 0.0

    def summary(self) -> dict[str, Any]:
        """Metrics and circumstances as plain data: the summary file."""
        return {
            **self.tally.summary(),
            "rows_per_second": self.rows_per_second,
            "seconds": self.seconds,
            "rows_cut": self.cut,
            "demonstrations_dropped": self.dropped,
            "words_split": self.split,
            "mean_over_tokens": self.averaged,
            "transductive": self.recipe.transductive,
            "recipe": self.recipe.as_dict(),
            "fingerprint": self.fingerprint,
            "machine": dict(self.details),
            "versions": versions(),
        }


def run(
    recipe: Recipe,
    inputs: Inputs,
    outputs: Outputs,
    ready: Callable[[Classifier], None] = lambda classifier: None,
    progress: Callable[[int], None] = lambda rows: None,
) -> Result:
    """Score the inputs and write everything; `ready` is called once the model is loaded.

    Raises a PromptshotError when the run cannot start, or when no row at all could be used.
    """
    outputs.check(inputs)
    first = [_with_columns(item, recipe.columns) for item in inputs.peek()]
    check_gold(first, recipe)
    fingerprint = recipe.fingerprint(inputs.paths, inputs.selection)
    classifier = Classifier.of(recipe)
    ready(classifier)
    tally = Tally(recipe.template.spec.ordered or recipe.verbalizer.names)
    result = Result(recipe, tally, classifier.details, fingerprint)
    result.overwritten = tuple(n for n in OUTPUT_FIELDS if any(isinstance(i, Row) and n in i.fields for i in first))
    began = time.perf_counter()
    outcomes = classifier.outcomes(inputs.read(recipe.columns), progress)
    writer = Writer(outputs.output) if outputs.output else None
    with writer or nullcontext(), _Rejects(outputs.rejects_path) as rejects:
        while window := list(islice(outcomes, WINDOW)):
            if writer:
                writer.write([outcome.record() for outcome in window if isinstance(outcome, Prediction)])
            rejects.write([outcome for outcome in window if isinstance(outcome, Reject)])
            _count(window, result)
            if tally.rejected >= HOPELESS and not tally.predicted:
                break
        result.left_out = tuple(sorted(writer.left_out)) if writer else ()
        result.rejects_path = rejects.path if tally.rejected else None
    result.seconds = time.perf_counter() - began
    if not tally.predicted:
        reject = result.rejects[0]
        raise InputError(
            f"none of {tally.rejected} rows could be used; the first: {reject.reason}", where=reject.source
        )
    _write_json(outputs.summary, result.summary())
    _write_json(outputs.record_path, _record(result, inputs))
    return result


def versions() -> dict[str, str]:
    """The versions of what the numbers depend on."""
    found = {"python": platform.python_version()}
    for package in ("promptshot", "torch", "transformers", "tokenizers"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "unknown"
    return found


class _Rejects:
    """The rejects file, made when there is a first reject; one of an earlier run is removed."""

    def __init__(self, path: str | None) -> None:
        self.path = path
        self._writer: Writer | None = None
        if path:
            Path(path).unlink(missing_ok=True)

    def write(self, rejects: Sequence[Reject]) -> None:
        if self.path and rejects:
            self._writer = self._writer or Writer(self.path)
            self._writer.write([reject.record() for reject in rejects])

    def __enter__(self) -> _Rejects:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer:
            self._writer.close()


def _count(outcomes: Iterable[Prediction | Reject], result: Result) -> None:
    for outcome in outcomes:
        if isinstance(outcome, Reject):
            result.tally.rejected += 1
            if len(result.rejects) < 3:
                result.rejects.append(outcome)
            continue
        if len(result.examples) < EXAMPLES:
            result.examples.append(outcome)
        choices = None if result.tally.labels else len(outcome.label_scores)
        result.tally.add(outcome.label, outcome.gold, outcome.gold_value, choices)
        result.cut += outcome.cut > 0
        result.dropped += outcome.dropped
        result.split = max(result.split, outcome.split)
        result.averaged |= outcome.averaged


def _record(result: Result, inputs: Inputs) -> dict[str, Any]:
    """The run record: what was run, on what, how; and what it came to."""
    sizes = [{"path": p, "bytes": None if p == "-" else Path(p).stat().st_size} for p in inputs.paths]
    return {
        "inputs": sizes,
        "limit": inputs.limit,
        "sample": inputs.sample,
        "seed": inputs.seed,
        "gold_field": result.recipe.template.spec.label_field,
        "label_order": list(result.tally.labels),
        "window": WINDOW,
        **result.summary(),
    }


def _write_json(path: str | None, value: Mapping[str, Any]) -> None:
    if path is None:
        return
    try:
        Path(path).write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    except OSError as problem:
        raise InputError(f"cannot be written ({problem.strerror})", where=path) from None


def _with_columns(item: Item, columns: Mapping[str, str]) -> Item:
    return replace(item, columns=columns) if columns and isinstance(item, Row) else item


def _same(one: str, other: str) -> bool:
    return other != "-" and Path(one).resolve() == Path(other).resolve()
