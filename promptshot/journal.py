"""The files of a run and how far they go: a run that was stopped goes on where its last whole window ended.

window     1      2      3           killed here
output  |------|------|------|---        <- cut back to the mark, then the run goes on
rejects |-|----|------|--|-
record            mark: rows read, bytes written, counts
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from promptshot.classify import Outcome, Prediction
from promptshot.errors import InputError, shortlist
from promptshot.recipe import digest
from promptshot.rows import Reject
from promptshot.writer import Place, Writer

SHARE = 0.05  # of the time, at most, goes into marks: each waits for the disk


@dataclass(frozen=True)
class Outputs:
    """Where results go; rejects and record lie beside the output where nothing else is said."""

    output: str | None = "-"  # None: nowhere
    summary: str | None = None
    record: str | None = None
    rejects: str | None = None
    overwrite: bool = False
    resume: bool = True

    @property
    def record_path(self) -> str | None:
        return self.record or self._beside("run.json")

    @property
    def rejects_path(self) -> str | None:
        return self.rejects or self._beside("rejects.jsonl")

    @property
    def spool_path(self) -> str | None:
        """Where scores wait for the whole run's decision."""
        return self._beside("spool")

    @property
    def on_disk(self) -> bool:
        """Whether the output is a file that can be gone on with: no stream, pipe or device."""
        if self.output in (None, "-"):
            return False
        path = Path(str(self.output))
        return path.is_file() or not path.exists()

    def _beside(self, ending: str) -> str | None:
        return f"{self.output}.{ending}" if self.on_disk else None

    def check(self, inputs: Sequence[str]) -> None:
        """Refuse to write over an input, or where there is no folder: before any model is loaded."""
        for path in (self.output, self.summary, self.record, self.rejects):
            if not path or path == "-":
                continue
            if any(_same(path, given) for given in inputs):
                raise InputError("this is the input", where=path, hint="write to another file")
            if not Path(path).parent.is_dir():
                raise InputError("cannot be written (no such folder)", where=path, hint="make the folder first")


@dataclass(frozen=True)
class Mark:
    """The end of a whole window: the rows read so far, the files up to there, and the counts."""

    rows: int = 0
    output: Place = field(default_factory=Place)
    rejects: Place = field(default_factory=Place)
    counts: Mapping[str, Any] = field(default_factory=dict)


class Journal:
    """Opens, writes and marks the files of a run; `mark` is where it begins.

    Use it as a context manager. Raises InputError where the output exists and is not of this very run.
    """

    def __init__(self, outputs: Outputs, identity: Mapping[str, Any], limit: int | None) -> None:
        """`identity` is all that decides what is written (`Recipe.identity`), `limit` the rows asked for."""
        self.outputs, self.limit = outputs, limit
        self.identity = json.loads(json.dumps(identity))
        self.fingerprint = digest(identity)
        self.head: dict[str, Any] = {}  # what else the record says
        self.earlier = self._earlier()
        self.mark = self._begin()
        self.spooled = 0  # rows that wait for the whole run's decision
        self._next = 0.0  # when the next mark may be saved
        self._output: Writer | None = None
        self._rejects: Writer | None = None
        self._open = contextlib.ExitStack()

    # ---------------------------------------------------------------- what there is

    def _earlier(self) -> dict[str, Any] | None:
        """The record of an earlier run that this one may go on from."""
        if not self.outputs.on_disk or self.outputs.overwrite:
            return None
        found = _read(self.outputs.record_path)
        if found and self.outputs.resume and found.get("fingerprint") == self.fingerprint:
            return found
        if _empty(str(self.outputs.output)):
            return None
        what = "exists already"
        if self.outputs.resume and found is None:
            what += ", and no run record tells how far it goes"
        elif self.outputs.resume and found is not None:
            differing = differences(found.get("identity", {}), self.identity)
            what += f", from a run that differs in {shortlist(differing, 4) or 'its version'}"
        hint = "use --overwrite to replace it, or write to another file"
        raise InputError(what, where=str(self.outputs.output), hint=hint)

    def _begin(self) -> Mark:
        if self.earlier is None or _empty(str(self.outputs.output)):
            return Mark()
        try:
            said = self.earlier["progress"]
            places = {name: Place(**_tuples(said[name])) for name in ("output", "rejects")}
            mark = Mark(said["rows"], counts=said["counts"], **places)
        except (KeyError, TypeError):
            hint = "use --overwrite to start afresh"
            raise InputError("not a run record of ours", where=self.outputs.record_path or "", hint=hint) from None
        done = self.earlier.get("rows_read", mark.rows)
        if self.limit is not None and self.limit < done:
            what = f"has {done:,} rows already, and only {self.limit:,} are asked for"
            raise InputError(what, where=str(self.outputs.output), hint="raise -n, or use --overwrite to start afresh")
        return mark

    @property
    def complete(self) -> Mapping[str, Any] | None:
        """The final counts, where the earlier run had come to its end and no more is asked for."""
        done = self.earlier is not None and self.earlier.get("complete") and self.earlier.get("limit") == self.limit
        return self.earlier["counts"] if done and self.earlier and not _empty(str(self.outputs.output)) else None

    def budget(self) -> int | None:
        """The batch budget of the earlier run: the same batches give the same last digits."""
        return ((self.earlier or {}).get("machine") or {}).get("batch_budget")

    # ---------------------------------------------------------------- writing

    def __enter__(self) -> Journal:
        path, rejects = self.outputs.output, self.outputs.rejects_path
        if path:
            self._output = Writer(path, place=self.mark.output)
        if self.outputs.on_disk and self.mark.rows == 0:
            # Behind the lock, and before anything is emptied: a run killed here begins anew.
            self.save(self.mark)
        if self._output:
            self._open.enter_context(self._output)
        if rejects and self.mark.rejects.bytes:
            self._rejects = self._open.enter_context(Writer(rejects, place=self.mark.rejects))
        elif rejects and Path(rejects).is_file():
            Path(rejects).unlink()
        return self

    def write(self, window: Sequence[Outcome]) -> None:
        """Write what came of a window: all of it, or nothing."""
        rejected = [outcome.record() for outcome in window if isinstance(outcome, Reject)]
        if self._output:
            self._output.write([outcome.record() for outcome in window if isinstance(outcome, Prediction)])
        if rejected and self.outputs.rejects_path:
            self._rejects = self._rejects or self._open.enter_context(Writer(self.outputs.rejects_path))
            self._rejects.write(rejected)

    def advance(self, rows: int, counts: Mapping[str, Any]) -> None:
        """A window has been written whole; tell the record, now and then."""
        output, rejects = (writer.place if writer else Place() for writer in (self._output, self._rejects))
        self.mark = Mark(rows, output, rejects, counts)
        if time.monotonic() >= self._next:
            self.save(self.mark)

    def save(self, mark: Mark, **more: Any) -> None:
        """Write the record, beside the old one first, once the disk has all that it speaks of."""
        path = self.outputs.record_path
        if path is None:
            return
        began = time.monotonic()
        for writer in (self._output, self._rejects):
            if writer:
                writer.sync()
        said = {"fingerprint": self.fingerprint, "complete": False, "limit": self.limit, **self.head, **more}
        write_json(path, {**said, "identity": self.identity, "progress": asdict(mark)})
        ended = time.monotonic()
        self._next = ended + (ended - began) / SHARE

    def finish(self, rows: int, counts: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
        """The run has come to its end."""
        if self.outputs.on_disk or self.outputs.record:
            self.save(self.mark, complete=True, rows_read=rows, counts=counts, **summary)
        if self.outputs.spool_path:
            Path(self.outputs.spool_path).unlink(missing_ok=True)

    def spool(self) -> IO[bytes] | None:
        """The file where scores wait for the whole run's decision; None where the output is no file."""
        path = self.outputs.spool_path
        if path is None:
            return None
        try:
            if self.earlier is None:
                Path(path).unlink(missing_ok=True)
            Path(path).touch()
            return open(path, "r+b")
        except OSError as problem:
            raise InputError(f"cannot be written ({problem.strerror})", where=path) from None

    @property
    def left_out(self) -> tuple[str, ...]:
        """Columns that a table had no room for."""
        return tuple(sorted(self._output.left_out)) if self._output else ()

    @property
    def kept(self) -> int:
        """The rows after which the same command would go on."""
        return max(self.mark.rows, self.spooled) if self.outputs.on_disk and self.outputs.resume else 0

    def __exit__(self, *_: object) -> None:
        self._open.close()


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """The keys under which two identities differ: ["template.text", "inputs"]."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = dict.fromkeys([*one, *other])
        return [d for key in keys for d in differences(one.get(key), other.get(key), f"{place}{key}.")]
    return [] if one == other else [place.rstrip(".")]


def write_json(path: str, value: Mapping[str, Any]) -> None:
    """Write a JSON file in one piece: whoever reads it finds the old or the new one."""
    text = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
    place = Path(path)
    aside = place.with_name(f"{place.name}.new") if place.is_file() or not place.exists() else place
    try:
        with open(aside, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            if aside != place:
                os.fsync(file.fileno())
        if aside != place:
            aside.replace(place)
    except OSError as problem:
        if aside != place:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)
        raise InputError(f"cannot be written ({problem.strerror})", where=path) from None


def _read(path: str | None) -> dict[str, Any] | None:
    try:
        found = json.loads(Path(path or "").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _tuples(said: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in said.items()}


def _empty(path: str) -> bool:
    return not Path(path).exists() or Path(path).stat().st_size == 0


def _same(one: str, other: str) -> bool:
    return other != "-" and Path(one).resolve() == Path(other).resolve()
