"""The files of a run and how far they go: a run that was stopped goes on where its last whole window ended.

window     1      2      3           killed here
output  |------|------|------|---        <- cut back to the mark, then the run goes on
rejects |-|----|------|--|-
record            mark: rows read, bytes written, their hashes, counts
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from promptshot import files
from promptshot.classify.recipe import Recipe, digest
from promptshot.classify.spool import SHARE
from promptshot.errors import InputError, shortlist
from promptshot.rows import read
from promptshot.rows.row import Row
from promptshot.rows.streams import Part
from promptshot.rows.writer import NOTHING, Form, Place, Writer
from promptshot.runs import record
from promptshot.runs.finished import Finish, Finished
from promptshot.runs.outputs import Outputs
from promptshot.runs.record import AFRESH, FORMAT, Counts, Ended, Later, Mark, Metrics, RunRecord
from promptshot.runs.shape import Shape

MOST = 16  # summaries of a run that are remembered
EARLIER = "a run record of an earlier promptshot, which this one cannot go on with"


class Journal:
    """Opens, writes and marks the files of a run; `mark` is where it begins.

    Use it as a context manager. Raises InputError where a file exists and is not of this very run.
    """

    def __init__(self, outputs: Outputs, shape: Shape, identity: Mapping[str, Any], limit: int | None) -> None:
        """`identity` is all that decides what is written (`Recipe.identity`), `shape` what of it goes out, and `limit`
        the rows asked for."""
        self.outputs, self.shape, self.limit = outputs, shape, limit
        self.identity = json.loads(json.dumps(identity))
        self.fingerprint = digest(identity)
        self.head: RunRecord  # what else the record says; told before anything is written
        self.runs: tuple[Ended, ...] = ()  # of several in one file, those that have come to their end
        self.draw: Mapping[str, int | None] = {}  # what the rows of this one say of it
        self.files: dict[str, str] = {}  # what is this run's own: rejects and spool, and where ("": beside the output)
        self.summaries: tuple[str, ...] = ()
        self.nodes: dict[str, list[int]] = {}  # device and inode of what is written
        if outputs.on_disk:
            files.refuse_in_use(str(outputs.output))
        self._found = self._said()
        self.earlier = self._earlier()
        self.mark = self._begin()
        self.spooled = 0  # rows that wait for the whole run's decision
        self._next = 0.0  # when the next mark may be saved
        self._begun = False  # whether anything has been written
        self._placed = True  # whether the file of rejected rows is there because of this run only
        self._replaces = outputs.overwrite or bool(self._found)  # whether a record may be replaced
        self._own_rejects = outputs.overwrite or self.files.get("rejects") == outputs.rejects_place
        self._output: Writer | None = None
        self._finish: Finish | None = None
        self._rejects: Writer | None = None
        self._open = contextlib.ExitStack()

    # ---------------------------------------------------------------- what there is

    def _earlier(self) -> RunRecord | None:
        """The record of an earlier run that this one goes on from; raises InputError for what is in the way."""
        outputs = self.outputs
        if outputs.overwrite:
            with contextlib.suppress(InputError):  # what lies beside the output goes with it
                there = record.read_whole(outputs.record_path or os.devnull)
                self.files = dict(there.files) if there else {}
            return None
        there = self._beside() if self._found and outputs.on_disk else None
        own = there is not None and outputs.resume and there.format == FORMAT
        own = own and there is not None and there.fingerprint == self.fingerprint
        own = own and there is not None and there.output == outputs.output_place
        if not own:
            self._refuse_others(there)
        if there is not None:  # if not of this run, then of one whose output is gone
            self.files, self.summaries = dict(there.files), there.summaries
        ours = "rejects" in self.files and outputs.rejects_place == self.files["rejects"]
        if outputs.rejects_path and there is not None and ours:
            gone = files.is_free(str(outputs.output))  # then it is written anew
            if not gone or not files.is_free(outputs.rejects_path):
                self._refuse_changed(there, "rejects", outputs.rejects_path)
        elif outputs.rejects_path:
            files.refuse_taken(outputs.rejects_path)
        for path in filter(None, (outputs.summary, outputs.errors)):
            if not self._wrote(path):
                files.refuse_taken(path)
        return there if own else None

    def _said(self) -> str:
        """What the record says; one that cannot be read is in nobody's way where it may be replaced."""
        try:
            return record.said(self.outputs.record_path or os.devnull)
        except InputError:
            if not self.outputs.overwrite:
                raise
        return ""

    def _beside(self) -> RunRecord:
        path, output = str(self.outputs.record_path), str(self.outputs.output)
        try:
            there = record.read_whole(path)
            assert there is not None
            lost = not files.is_free(output) or "spool" in there.files or self.outputs.record
            if there.format != FORMAT and lost:
                raise InputError(EARLIER, where=path, hint=AFRESH)
        except InputError as problem:
            if files.is_free(output):
                raise
            hint = problem.hint if isinstance(problem, Later) else files.OVERWRITE
            raise files.taken(output, f", and {problem.where} is {problem.what}", hint) from None
        return there

    def _refuse_others(self, there: RunRecord | None) -> None:
        """Refuse an output or a record that is not of this run; raises InputError."""
        outputs = self.outputs
        if outputs.on_disk and not files.is_free(str(outputs.output)):
            more = ""
            if outputs.resume and there is None:
                more = ", and no run record tells how far it goes"
            elif outputs.resume and there is not None:
                differing = differences(there.identity, self.identity)
                other = "its version" if there.output == outputs.output_place else "its output"
                more = f", from a run that differs in {shortlist(differing, 4) or other}"
            raise files.taken(str(outputs.output), more)
        if self._found and (outputs.record or there is None):
            raise files.taken(str(outputs.record_path), ", and is of another run")

    def _wrote(self, path: str) -> bool:
        """Whether what stands in a summary, or a file of rows that went wrong, is of this run."""
        return bool(self.summaries) and files.digest_of(path) in self.summaries

    def _begin(self) -> Mark:
        earlier = self.earlier
        if earlier is None or files.is_free(str(self.outputs.output)):
            return Mark()
        done = earlier.progress.rows if earlier.rows_read is None else earlier.rows_read
        if self.limit is not None and self.limit < done:
            what = f"has {done:,} rows already, and only {self.limit:,} are asked for"
            raise InputError(what, where=str(self.outputs.output), hint="raise -n, or use --overwrite to start afresh")
        before = self.files.get("rejects")
        if before not in (None, self.outputs.rejects_place):
            folder = os.path.dirname(str(self.outputs.record_path))
            before = os.path.join(folder, before) if before else f"{self.outputs.output}.rejects.jsonl"
            what = f"the rows rejected so far are in {before}"
            raise InputError(what, where=str(self.outputs.rejects_path), hint=f"name that one: --rejects {before}")
        self._refuse_changed(earlier, "output", str(self.outputs.output))
        self.runs = earlier.runs
        return earlier.progress

    def finished(self) -> RunRecord | None:
        """The record of the earlier run, where that had come to its end and no more is asked for."""
        earlier = self.earlier
        if earlier is None or not earlier.complete or earlier.limit != self.limit:
            return None
        if earlier.counts is None and not earlier.runs:
            return None
        if files.is_free(str(self.outputs.output)):
            return None
        return earlier

    def _is_as_left(self, there: RunRecord, name: str, path: str) -> bool:
        """Whether a file is as its run left it, also behind the mark, where another run will write.

        One that was killed has not said what stands there. Then it must be the very file, and begin like one of ours.
        """
        if there.ends is not None:
            end = there.ends.get(name)
            return files.digest_of(path) == end.sha256 if end else files.is_free(path)
        mark: Place = getattr(there.progress, name)
        same = there.nodes.get(name) == files.node_of(path)
        wanted = self.shape.certain if name == "output" else {"source", "reason", "raw"}
        return files.is_free(path) or mark.bytes > 0 or (same and _is_ours(path, wanted))

    def _refuse_changed(self, there: RunRecord, name: str, path: str) -> None:
        if not self._is_as_left(there, name, path):
            gone = files.node_of(path) is None
            what = "is gone, though it has been written" if gone else "has been changed since its run wrote it"
            raise InputError(what, where=path, hint=AFRESH)

    @property
    def done(self) -> tuple[Sequence[Part], int]:
        """What the earlier run had read for the rows that it wrote, and how many these are; nothing is begun anew."""
        earlier = self.earlier
        if earlier is None or files.is_free(str(self.outputs.output)):
            return (), 0
        if earlier.runs:
            return earlier.runs[0].inputs, earlier.runs[0].rows_read
        whole = earlier.complete and earlier.rows_read is not None
        return (earlier.inputs, earlier.rows_read or 0) if whole else (self.mark.inputs, self.mark.rows)

    def budget(self) -> int | None:
        """The batch budget of the earlier run: the same batches give the same last digits."""
        found = self.earlier.machine.get("batch_budget") if self.earlier else None
        return found if type(found) is int and found > 0 else None

    # ---------------------------------------------------------------- writing

    def __enter__(self) -> Journal:
        path = self.outputs.output
        goes_on = self.earlier is not None and Path(str(path)).exists()
        place, replace = self.mark.output if goes_on else None, self.outputs.overwrite
        if path:
            writer = Writer(path, place=place, replace=replace, look=self._look_again, form=self.outputs.form)
            self._output = self._open.enter_context(writer)
        try:
            if not goes_on:
                self._start()
            self._open_rejects()
        except BaseException:
            self._open.close()
            raise
        return self

    def _look_again(self) -> None:
        """Behind the lock: another run may have come to its end meanwhile; raises InputError."""
        if self._said() != self._found:
            hint = "run the same command again"
            raise InputError("another run has written this meanwhile", where=str(self.outputs.output), hint=hint)

    def _start(self) -> None:
        """Begin the record; what an earlier run left beside its output goes."""
        self._begun = True
        outputs, waits = self.outputs, "spool" in self.files
        if outputs.rejects_path and not outputs.rejects and self._own_rejects:  # one of its own name has its own lock
            Path(outputs.rejects_path).unlink(missing_ok=True)
        if outputs.spool_path and waits and self.earlier is None:
            Path(outputs.spool_path).unlink(missing_ok=True)
        self.files = {"spool": ""} if waits and self.earlier is not None else {}
        self.save(self.mark)

    def _open_rejects(self) -> None:
        """Take up the rejected rows; or keep the place for them, where they have a name of their own."""
        path, known = self.outputs.rejects_path, "rejects" in self.files
        form = Form.of(path or "", bom=self.outputs.bom)
        if path and known and (self.mark.rejects.bytes or Path(path).exists()):
            self._rejects = self._open.enter_context(Writer(path, place=self.mark.rejects, form=form))
        elif path and self.outputs.rejects:
            self._placed = files.node_of(path) is None or not files.is_free(path)
            self._rejects = self._open.enter_context(Writer(path, replace=self._own_rejects, form=form))

    def finish_of(self, recipe: Recipe) -> Finish:
        """How what comes of a window becomes what `write` takes."""
        outputs, columns = self.outputs, self._output.columns if self._output else ()
        written = outputs.output is not None
        self._finish = Finish(recipe, self.shape, outputs.form, written, columns, self.draw, outputs.kept_wrong)
        return self._finish

    def write(self, window: Finished) -> None:
        """Write a window: all of it, or nothing."""
        if not self._begun:  # what an earlier run says of its end will not be so
            self._begun = True
            self.save(self.mark)
        rejected = [{**reject.record(), **self.draw} for reject in window.rejects]
        if self._output:
            self._write(self._output, window)
        if rejected and self.outputs.rejects_path:
            self._rejects = self._rejects or self._open.enter_context(Writer(self.outputs.rejects_path))
            if files.is_file(self.outputs.rejects_path) and "rejects" not in self.files:
                self.files["rejects"] = self.outputs.rejects_place
                self.save(self.mark)  # before anything stands in it: from now on it is ours
        if self._rejects:
            self._rejects.write(rejected)

    def _write(self, output: Writer, window: Finished) -> None:
        """Write predictions; the first of them tell the columns of a table, for what is finished from then on."""
        columns = output.columns
        if isinstance(window.output, bytes):
            output.append(window.output, window.left_out)
            return
        if not columns:
            columns = self.shape.columns(dict.fromkeys(name for one in window.output for name in one.row.fields))
        output.write([self.shape.record(one, columns, self.draw) for one in window.output], columns)
        if self._finish:
            self._finish.columns = output.columns

    def advance(self, rows: int, counts: Counts, inputs: Sequence[Part] = ()) -> None:
        """A window has been written whole; tell the record, now and then."""
        output, rejects = (writer.place if writer else Place() for writer in (self._output, self._rejects))
        self.mark = Mark(rows, output, rejects, counts, tuple(inputs))
        if time.monotonic() >= self._next:
            self.save(self.mark)

    def turn(self, ended: Ended) -> None:
        """One of several runs has come to its end, and the next begins behind it."""
        output, rejects = (writer.place if writer else Place() for writer in (self._output, self._rejects))
        self.runs, self.mark = (*self.runs, ended), Mark(0, output, rejects)
        self._drop_spool()
        self.save(self.mark)

    def _drop_spool(self) -> None:
        """What has waited for the decision of a whole run is of no more use."""
        self.spooled = 0
        if self.files.pop("spool", None) is not None and self.outputs.spool_path:
            Path(self.outputs.spool_path).unlink(missing_ok=True)

    def save(self, mark: Mark, **more: Any) -> None:
        """Write the record, beside the old one first, once the disk has all that it speaks of."""
        path = self.outputs.record_path
        if path is None:
            return
        began = time.monotonic()
        for writer in (self._output, self._rejects):
            if writer:
                writer.sync()
        for name, writer in (("output", self._output), ("rejects", self._rejects)):
            if writer and writer.node:
                self.nodes[name] = writer.node
        own = {"fingerprint": self.fingerprint, "identity": self.identity, "limit": self.limit, "progress": mark}
        place = {"output": self.outputs.output_place, "nodes": self.nodes, "files": self.files}
        several = {"runs": self.runs} if self.runs else {}
        said = {**own, **place, "summaries": self.summaries, **several, **more}
        self._put_record(self.head.model_copy(update=said).text())
        ended = time.monotonic()
        self._next = ended + (ended - began) / SHARE

    def _put_record(self, text: str) -> None:
        path = str(self.outputs.record_path)
        if self._said() not in ("", self._found):
            raise InputError("was changed while the run went on", where=path, hint="move it away and start again")
        data = text.encode("utf-8", "backslashreplace")
        files.put(path, data, self._replaces)
        self._replaces, self._found = True, record.as_said(data)

    def _ends(self) -> dict[str, Place]:
        """How far the files go now."""
        found = (("output", self._output), ("rejects", self._rejects))
        return {name: writer.place for name, writer in found if writer and writer.node and writer.place.bytes}

    def stop(self) -> None:
        """The run ends early: the record says how far it got, if it got anywhere."""
        if self._begun:
            self.save(self.mark, ends=self._ends())

    def finish(
        self,
        rows: int,
        counts: Counts | None,
        inputs: Sequence[Part],
        summary: Mapping[str, Any],
        wrong_rows: bytes = b"",
        runs: tuple[Ended, ...] = (),
    ) -> None:
        """The run has come to its end; the record knows the summary, and the file of rows that went wrong, before
        these are written. Of several runs, each has counts of its own."""
        for writer in filter(None, (self._output, self._rejects)):
            writer.settle()
        self._drop_spool()
        if self.outputs.on_disk or self.outputs.record:
            self._know(self.outputs.errors, wrong_rows)
            self._know(self.outputs.summary, _as_bytes(summary))
            told = {**dict(Metrics.model_validate(summary)), "inputs": tuple(inputs), "ends": self._ends()}
            told |= {"runs": runs} if runs else {}
            self.save(self.mark, complete=True, rows_read=rows, counts=counts, **told)

    def summarize(self, summary: Mapping[str, Any]) -> None:
        """Write the summary, where that is asked for."""
        self._put(self.outputs.summary, _as_bytes(summary))

    def list_wrong(self, data: bytes) -> None:
        """Write the file of rows that went wrong, where that is asked for."""
        self._put(self.outputs.errors, data)

    def _put(self, path: str | None, data: bytes) -> None:
        if path is None:
            return
        replace = self.outputs.overwrite or self._wrote(path)
        if self._know(path, data) and self.earlier is not None:  # of a finished run, by other versions or anew
            self._put_record(self.earlier.model_copy(update={"summaries": self.summaries}).text(self._found))
        files.put(path, data, replace)

    def _know(self, path: str | None, data: bytes) -> bool:
        """Remember what a file says as this run's own; whether it is new."""
        if path is None:
            return False
        found = hashlib.sha256(data).hexdigest()
        new = found not in self.summaries
        self.summaries = (*self.summaries[-MOST:], found) if new else self.summaries
        return new

    @contextlib.contextmanager
    def spool(self) -> Iterator[IO[bytes] | None]:
        """The file where scores wait for the whole run's decision; None where the output is no file."""
        path = self.outputs.spool_path
        if path is None:
            yield None
            return
        if "spool" in self.files and Path(path).exists():
            file, _ = files.resume(path, 0, NOTHING)
        else:
            file = files.begin(path, self.outputs.overwrite)
            self.files["spool"] = ""
            self.save(self.mark)
        with io.BufferedRandom(file) as buffered:
            yield buffered

    @property
    def left_out(self) -> tuple[str, ...]:
        """Columns that a table had no room for."""
        return tuple(sorted(self._output.left_out)) if self._output else ()

    @property
    def kept(self) -> int:
        """The rows after which the same command would go on."""
        ended = sum(one.rows_read for one in self.runs)
        return ended + max(self.mark.rows, self.spooled) if self.outputs.on_disk and self.outputs.resume else 0

    def __exit__(self, *_: object) -> None:
        path = self.outputs.rejects_path
        if path and self._rejects and self._placed and files.is_file(path) and files.is_free(path):  # no rows came
            Path(path).unlink(missing_ok=True)
        self._open.close()


def _as_bytes(summary: Mapping[str, Any]) -> bytes:
    return record.as_json(summary).encode("utf-8", "backslashreplace")


def _is_ours(path: str, wanted: set[str]) -> bool:
    """Whether a file begins as one that a run writes; one that is torn in its first row may be."""
    try:
        first = next(iter(read.read([path])), None)
    except InputError:
        return True
    return wanted <= first.fields.keys() if isinstance(first, Row) else not Path(path).read_bytes().count(b"\n")


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """The keys under which two identities differ: ["template.text", "inputs"]."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = dict.fromkeys([*one, *other])
        return [d for key in keys for d in differences(one.get(key), other.get(key), f"{place}{key}.")]
    return [] if one == other else [place.rstrip(".")]
