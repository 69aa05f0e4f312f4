"""What a comparison writes: a folder of predictions, and its record."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from promptshot import files
from promptshot.classify.prediction import Outcome, Prediction
from promptshot.compare.bench import Entry
from promptshot.errors import InputError, reason_of
from promptshot.files import Named
from promptshot.rows.row import Item, Reject
from promptshot.rows.writer import Form, Writer
from promptshot.runs import record as records
from promptshot.runs.record import Later, Metrics, Written, as_json


def fingerprint(items: Iterable[Item]) -> str:
    """A hash of what the rows say."""
    digest = hashlib.sha256()
    for item in items:
        said: Any = item.raw if isinstance(item, Reject) else dict(item.fields)
        digest.update(json.dumps(said, ensure_ascii=True, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()[:16]


class Folder:
    """Where every candidate's predictions go: NUMBER-NAME.jsonl, with a run record and rejected rows beside it."""

    def __init__(self, path: Path, overwrite: bool = False) -> None:
        """Raises InputError where there is no making it, something is in it already, or another is writing into it."""
        self.path, self.written = path, 0
        if str(path) == files.STREAM:
            raise InputError("predictions of several candidates are files in a folder", hint="--predictions DIR")
        try:
            path.mkdir(exist_ok=True)
        except (OSError, ValueError) as problem:
            raise InputError(f"no folder can be made here ({reason_of(problem)})", where=str(path)) from None
        self._lock: int | None = files.lock_folder(str(path))
        try:
            self._replaced = _predictions_in(path) if overwrite else []
            if not overwrite and any(path.iterdir()):
                hint = "use --overwrite to replace predictions in it, or name another folder"
                raise InputError("the folder is not empty", where=str(path), hint=hint)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others write into it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def goes(self) -> list[Named]:
        """The files of an earlier comparison that go."""
        return [Named("--predictions", str(path)) for path in self._replaced]

    def refuse_within(self, path: str | None) -> None:
        """Refuse an output that would stand among the predictions; raises InputError."""
        if path and files.is_file(path) and Path(path).resolve().parent == self.path.resolve():
            raise InputError("lies in the folder of --predictions", where=path, hint="write it to another")

    def write(self, entry: Entry, outcomes: Sequence[Outcome]) -> None:
        """Write the predictions of a candidate, as `classify` would; with the first, those of an earlier comparison
        go."""
        while self._replaced:
            self._replaced.pop().unlink(missing_ok=True)
        self.written += 1
        name = re.sub(r"[^\w.=+-]+", "-", entry.candidate.name).encode()[:LONGEST].decode("utf-8", "ignore")
        path = str(self.path / f"{self.written:02}-{name[:80].strip('-.')}.jsonl")
        with Writer(path) as writer:
            writer.write([one.record() for one in outcomes if isinstance(one, Prediction)])
            written = Written(file=Path(path).name, sha256=writer.place.sha256)
        rejected = [one.record() for one in outcomes if isinstance(one, Reject)]
        if rejected:
            entry.result.rejects_path = f"{path}.rejects.jsonl"
            with Writer(entry.result.rejects_path) as writer:
                writer.write(rejected)
        metrics = dict(Metrics.model_validate(entry.result.summary()))
        told = {"complete": True, **metrics, "counts": entry.result.state(), "written": written}
        told |= {"thresholds": entry.result.cuts} if entry.result.cuts else {}
        files.put(f"{path}.run.json", entry.result.head().model_copy(update=told).text())


LONGEST = 200  # bytes of a candidate's name in that of its file; more than 255 in all has no file system


def _predictions_in(folder: Path) -> list[Path]:
    """The files of an earlier comparison, which its run records know; raises InputError where one was changed."""
    found = []
    for beside in sorted(folder.glob("[0-9][0-9]*-*.jsonl.run.json")):
        path = Path(str(beside).removesuffix(".run.json"))
        try:
            there = records.read(str(beside))
        except Later:
            raise
        except InputError:
            continue
        if there is None or there.written is None or there.written.file != path.name:
            continue
        if path.exists() and files.digest_of(str(path)) != there.written.sha256:
            raise InputError("has been changed since it was written", where=str(path), hint="move it away first")
        found += [path, beside, Path(f"{path}.rejects.jsonl")]
    return [path for path in found if path.exists()]


def write(path: str, record: Mapping[str, Any], form: Form, replace: bool = False) -> None:
    """Write a comparison's record: all of it as .json, else one line a candidate."""
    if path.lower().endswith(".json"):
        files.put(path, as_json(record), replace)
        return
    shared = {"data": record["data"], "rows": record["rows"], "versions": record["versions"]}
    with Writer(path, replace=replace, form=form) as writer:
        writer.write([{**candidate, **shared} for candidate in record["candidates"]])
