"""What a comparison writes: a folder of predictions, and its record."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from promptshot import files
from promptshot.classify.prediction import Outcome, Prediction
from promptshot.classify.recipe import digest, folder_hash
from promptshot.classify.spool import Spool
from promptshot.compare.bench import Entry
from promptshot.compare.candidates import Candidate
from promptshot.errors import InputError, PromptshotError, reason_of, shortlist
from promptshot.files import Named
from promptshot.rows.row import Item, Reject
from promptshot.rows.writer import Form, Writer
from promptshot.runs import record as records
from promptshot.runs.record import Later, Metrics, RunRecord, Written, as_json
from promptshot.runs.result import Result

SCORES = ".scores"  # behind the name of a file of predictions: what is scored of it so far
LEADERBOARD = ".leaderboard.json"  # which one the comparison of a folder wrote last, by the hash of its bytes
OVERWRITE = "use --overwrite to replace predictions in it, or name another folder"


def fingerprint(items: Iterable[Item]) -> str:
    """A hash of what the rows say."""
    digest = hashlib.sha256()
    for item in items:
        said: Any = item.raw if isinstance(item, Reject) else dict(item.fields)
        digest.update(json.dumps(said, ensure_ascii=True, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()[:16]


class Folder:
    """Where every candidate's predictions go: NUMBER-NAME.jsonl, with a run record and rejected rows beside it.

    What an earlier comparison of the same rows has left there is taken from there: candidates that have come to an end,
    and of one that has not the windows that are scored.
    """

    def __init__(self, path: Path, overwrite: bool = False) -> None:
        """Raises InputError where there is no making it, something else is in it, or another is writing into it."""
        self.path, self.rows = path, ""
        self._done: dict[str, tuple[Path, RunRecord]] = {}  # what has come to an end, by whose it is
        self._folder_hash = cache(folder_hash)
        if str(path) == files.STREAM:
            raise InputError("predictions of several candidates are files in a folder", hint="--predictions DIR")
        try:
            path.mkdir(exist_ok=True)
        except (OSError, ValueError) as problem:
            raise InputError(f"no folder can be made here ({reason_of(problem)})", where=str(path)) from None
        self._lock: int | None = files.lock_folder(str(path))
        try:
            there = _predictions_in(path)
            ours = {one for file, _ in there for one in _beside(file)}
            self._begun = set(path.glob(f"[0-9][0-9]*{SCORES}"))
            ours |= {one for scores in self._begun for one in _beside(_of_scores(scores))} | {path / LEADERBOARD}
            self._replaced = [one for one in sorted(ours) if one.exists()] if overwrite else []
            if not overwrite and (other := set(path.iterdir()) - ours):
                hint = f"{OVERWRITE} (it has {shortlist(sorted(one.name for one in other), 3)})"
                raise InputError("the folder is not empty", where=str(path), hint=hint)
            self._there = [] if overwrite else there
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
    def begun(self) -> bool:
        """Whether an earlier comparison has scored some rows of a candidate that it did not end."""
        return bool(self._begun)

    @property
    def goes(self) -> list[Named]:
        """The files of an earlier comparison that go."""
        return [Named("--predictions", str(path)) for path in self._replaced]

    def refuse_within(self, path: str | None) -> None:
        """Refuse an output that would stand among the predictions; raises InputError."""
        if path and files.is_file(path) and Path(path).resolve().parent == self.path.resolve():
            raise InputError("lies in the folder of --predictions", where=path, hint="write it to another")

    def begin(self, rows: str) -> None:
        """Take up what is there for rows with that hash; raises InputError where it is of others."""
        self.rows = rows
        for file, record in self._there:
            if record.written and record.written.rows != rows:
                what = "the folder is not empty: it has the predictions of other rows, or of an earlier promptshot"
                raise InputError(what, where=str(self.path), hint=OVERWRITE)
            if record.written:
                self._done[record.written.of] = (file, record)

    def key(self, candidate: Candidate) -> str:
        """What tells a candidate on these rows from others; raises a PromptshotError where its files cannot be read."""
        return digest({**candidate.recipe.identity(of_folder=self._folder_hash), "rows": self.rows})

    def found(self, candidate: Candidate, items: Sequence[Item]) -> Entry | None:
        """What it came to in an earlier comparison, if it came to an end."""
        file, record = self._done.get(self.key(candidate), (None, None))
        if file is None or record is None or record.written is None or len(record.written.right) != len(items):
            return None
        result = Result.compared(candidate.recipe, record, candidate.doubt)
        rejects = Path(f"{file}{REJECTS}")
        result.rejects_path = str(rejects) if rejects.exists() else None
        signs = zip(items, record.written.right, strict=True)
        return Entry(candidate, result, {item.key: sign == "1" for item, sign in signs if sign != "-"})

    @contextmanager
    def spool(self, candidate: Candidate) -> Iterator[Spool]:
        """What is scored of its rows so far, and where the rest is kept."""
        key, path = self.key(candidate), self._next(candidate)
        scores = Path(f"{path}{SCORES}")
        if scores in self._replaced:
            scores.unlink(missing_ok=True)
        with files.named(str(scores)), open(scores, "a+b") as file:
            try:
                found = Spool(file, key, durable=True)
            except InputError:  # of another recipe by the same name
                file.truncate(0)
                found = Spool(file, key, durable=True)
            yield found

    def outcomes(self, candidate: Candidate, rows: int) -> list[Outcome] | None:
        """What became of each row, as long as that is still kept for ensembles."""
        file, _ = self._done.get(self.key(candidate), (None, None))
        scores = Path(f"{file}{SCORES}")
        if file is None or not scores.exists() or candidate.recipe.transductive:
            return None
        with suppress(PromptshotError), open(scores, "r+b") as stream:
            spool = Spool(stream, self.key(candidate))
            return list(spool) if spool.rows == rows else None
        return None

    def write(self, entry: Entry, outcomes: Sequence[Outcome], items: Sequence[Item]) -> None:
        """Write the predictions of a candidate, as `classify` would; with the first, those of an earlier comparison
        go."""
        while self._replaced:
            self._replaced.pop().unlink(missing_ok=True)
        path = str(self._next(entry.candidate))
        again = Path(f"{path}{SCORES}") in self._begun
        with Writer(path, replace=again) as writer:
            writer.write([one.record() for one in outcomes if isinstance(one, Prediction)])
            right = "".join("-" if (sign := entry.right.get(one.key)) is None else "01"[sign] for one in items)
            of = {"rows": self.rows, "of": self.key(entry.candidate), "right": right}
            written = Written(file=Path(path).name, sha256=writer.place.sha256, **of)
        rejected = [one.record() for one in outcomes if isinstance(one, Reject)]
        if rejected:
            entry.result.rejects_path = f"{path}{REJECTS}"
            with Writer(entry.result.rejects_path, replace=again) as writer:
                writer.write(rejected)
        metrics = dict(Metrics.model_validate(entry.result.summary()))
        told = {"complete": True, **metrics, "counts": entry.result.state(), "written": written}
        told |= {"thresholds": entry.result.cuts} if entry.result.cuts else {}
        record = entry.result.head().model_copy(update=told)
        files.put(f"{path}{RECORD}", record.text(), replace=again)
        self._done[of["of"]] = (Path(path), record)

    def end(self) -> None:
        """All has come to its end: what was kept to go on by goes."""
        for scores in self.path.glob(f"[0-9][0-9]*{SCORES}"):
            scores.unlink(missing_ok=True)

    def _next(self, candidate: Candidate) -> Path:
        """Where the next predictions go, those of a candidate."""
        number = 1 + max((int(file.name.partition("-")[0]) for file, _ in self._done.values()), default=0)
        name = re.sub(r"[^\w.=+-]+", "-", candidate.name).encode()[:LONGEST].decode("utf-8", "ignore")
        return self.path / f"{number:02}-{name[:80].strip('-.')}.jsonl"


REJECTS, RECORD = ".rejects.jsonl", ".run.json"
LONGEST = 200  # bytes of a candidate's name in that of its file; more than 255 in all has no file system


def _beside(file: Path) -> list[Path]:
    """A file of predictions, and what lies beside it."""
    return [file, *(Path(f"{file}{end}") for end in (RECORD, REJECTS, SCORES))]


def _of_scores(scores: Path) -> Path:
    """The file of predictions that scores are of, which may be there in part."""
    return Path(str(scores).removesuffix(SCORES))


def _predictions_in(folder: Path) -> list[tuple[Path, RunRecord]]:
    """The predictions of an earlier comparison with their run records; raises InputError where they were changed."""
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
        found.append((path, there))
    return found


def remember(folder: Path, output: str) -> None:
    """Keep in mind that a leaderboard is of the comparison whose predictions are in a folder."""
    with suppress(InputError):
        files.put(str(folder / LEADERBOARD), as_json({"sha256": files.digest_of(output)}), replace=True)


def remembers(folder: Path, output: str) -> bool:
    """Whether the leaderboard there is the one that the comparison of the folder wrote last, and nobody has changed."""
    try:
        said = json.loads((folder / LEADERBOARD).read_bytes())
        return isinstance(said, dict) and said.get("sha256") == files.digest_of(output) is not None
    except (OSError, ValueError, RecursionError, PromptshotError):
        return False


def write(path: str, record: Mapping[str, Any], form: Form, replace: bool = False) -> None:
    """Write a comparison's record: all of it as .json, else one line a candidate."""
    if path.lower().endswith(".json"):
        files.put(path, as_json(record), replace)
        return
    shared = {"data": record["data"], "rows": record["rows"], "versions": record["versions"]}
    with Writer(path, replace=replace, form=form) as writer:
        writer.write([{**candidate, **shared} for candidate in record["candidates"]])
