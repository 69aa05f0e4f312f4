"""Many candidates on the same labelled rows: ranked, and tested against the best.

Every scorer is loaded once, and the rows are read once. Candidates that differ in their template or label words only
are a family: their spread says what the choice of words is worth, their ensemble costs no further scoring.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from promptshot import bench, files
from promptshot import record as records
from promptshot.bench import Bench, Entry, Failure
from promptshot.errors import InputError, PromptshotError, reason_of, shortlist
from promptshot.files import Named
from promptshot.grid import Candidate, check
from promptshot.interrupt import Interrupts
from promptshot.metrics import SURE, Paired, holm
from promptshot.prediction import Outcome, Prediction, ensemble
from promptshot.record import Later, Metrics, Written, as_json, versions
from promptshot.remarks import MAJORITY, Code, Remark
from promptshot.rows import Item, Reject
from promptshot.run import Result
from promptshot.scorers import Loader
from promptshot.search import Search, halve
from promptshot.writer import Form, Writer

# What a comparison says of all candidates together, or shows of each in its line.
TOGETHER: tuple[Code, ...] = (*MAJORITY, "leaning", "one-draw")


@dataclass(frozen=True)
class Standing:
    """A line of the leaderboard; all but the first are tested against the first, on the rows both scored."""

    entry: Entry
    paired: Paired | None = None
    interval: tuple[float, float] | None = None
    p: float | None = None  # exact McNemar, Holm-corrected

    @property
    def sure(self) -> bool:
        """Whether the difference from the first is more than the rows' chance."""
        return self.p is not None and self.p < SURE

    def comparable(self, other: Standing) -> bool:
        """Whether rows alone can tell which is better: demonstrations of one draw say little of another number of
        them."""
        return self.entry.candidate.shots == other.entry.candidate.shots

    def record(self) -> dict[str, Any]:
        """The line as plain data."""
        candidate, result = self.entry.candidate, self.entry.result
        tested = self.paired and {
            "rows": self.paired.rows,
            "both": self.paired.both,
            "only_best": self.paired.first,
            "only_this": self.paired.second,
            "neither": self.paired.neither,
            "difference": self.paired.difference,
            "difference_interval": list(self.interval or ()),
            "p": self.paired.p,
            "p_holm": self.p,
        }
        return {
            "name": candidate.name,
            "template": candidate.recipe.name,
            "verbalizer": candidate.recipe.verbalizer.name,
            "scorer": candidate.recipe.scorer,
            "model": candidate.recipe.model,
            "shots": candidate.shots,
            "draw_seed": candidate.recipe.demos.seed if candidate.shots and candidate.recipe.demos else None,
            "ensemble": candidate.members,
            **{key: value for key, value in _summary(result).items() if key not in ("rows", "versions")},
            "against_best": tested,
        }


@dataclass(frozen=True)
class Spread:
    """How far the members of a family lie apart."""

    best: Entry
    worst: Entry
    count: int
    mean: float

    @property
    def width(self) -> float:
        """The accuracy of the best less that of the worst."""
        return self.best.accuracy - self.worst.accuracy

    def remark(self) -> Remark:
        """What the choice of template and label words is worth."""
        ends = (f"{entry.candidate.name} {entry.accuracy:.1%}" for entry in (self.best, self.worst))
        line = f"{self.count} candidates lie {100 * self.width:.1f} points apart: {' to '.join(ends)}"
        return Remark("spread", line, self.record())

    def record(self) -> dict[str, Any]:
        """As plain data."""
        candidate = self.best.candidate
        return {
            "scorer": candidate.recipe.scorer,
            "model": candidate.recipe.model,
            "shots": candidate.shots,
            "candidates": self.count,
            "best": self.best.candidate.name,
            "worst": self.worst.candidate.name,
            "best_accuracy": self.best.accuracy,
            "worst_accuracy": self.worst.accuracy,
            "mean_accuracy": self.mean,
            "spread": self.width,
        }


@dataclass
class Comparison:
    """What is known so far; a run that is stopped leaves it as it stands."""

    rows: int
    data: str  # a hash of the rows
    seed: int = 0
    wanted: int = 0  # candidates in all
    search: Search | None = None  # how the chosen one was found
    inputs: tuple[str, ...] = ()  # the files of the rows
    entries: list[Entry] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    chosen: str | None = None  # the candidate that other rows chose; it stands first, whatever comes of it here
    complete: bool = False

    def standings(self) -> list[Standing]:
        """The leaderboard, best first, with the paired tests; these take a moment where there are many rows."""
        if not self.entries:
            return []
        ranked = sorted(self.entries, key=lambda e: (e.candidate.name != self.chosen, -e.accuracy, -_f1(e)))
        best, *others = ranked
        pairs = [Paired.of((best.right[key], entry.right[key]) for key in best.right.keys() & entry.right.keys())
                 for entry in others]  # fmt: skip
        corrected = holm([pair.p for pair in pairs])
        tested = zip(others, pairs, corrected, strict=True)
        return [Standing(best), *(Standing(entry, pair, pair.interval(self.seed), p) for entry, pair, p in tested)]

    @property
    def spreads(self) -> list[Spread]:
        """The families of at least two candidates; ensembles do not count."""
        single = [entry for entry in self.entries if not entry.candidate.members]
        found = []
        for family in dict.fromkeys(entry.candidate.family for entry in single):
            ranked = sorted((e for e in single if e.candidate.family == family), key=lambda e: -e.accuracy)
            if len(ranked) > 1:
                mean = sum(entry.accuracy for entry in ranked) / len(ranked)
                found.append(Spread(ranked[0], ranked[-1], len(ranked), mean))
        return found

    def remarks(self, standings: Sequence[Standing]) -> list[Remark]:
        """What a reader of the `standings()` must know; none where there are none."""
        if not standings:
            return []
        failed = [failure.remark() for failure in self.failures]
        spreads = [spread.remark() for spread in self.spreads]
        tested = _of_tests(self, standings)
        return [*failed, _verdict(self, standings), *spreads, *_of_all(standings), *tested, *_of_each(standings)]

    def record(self, standings: Sequence[Standing]) -> dict[str, Any]:
        """Everything as plain data, with the `standings()`."""
        return {
            "complete": self.complete,
            "rows": self.rows,
            "data": self.data,
            "seed": self.seed,
            "chosen": self.chosen,
            "candidates": [standing.record() for standing in standings],
            "failed": [{"name": one.candidate.name, "reason": str(one.problem)} for one in self.failures],
            "spreads": [spread.record() for spread in self.spreads],
            "versions": versions(),
            "inputs": list(self.inputs),
            "search": self.search.record() if self.search else None,
        }


def _verdict(comparison: Comparison, standings: Sequence[Standing]) -> Remark:
    """Whether the first is better than the others."""
    best, *others = standings
    name, draw = best.entry.candidate.name, best.entry.candidate.recipe.draw
    how = ", chosen on other rows" if comparison.chosen else ", the best here" if others else ""
    line = f"{name}{how}: {best.entry.accuracy:.1%}" + (f", {draw}" if draw else "")
    lesser = [s for s in others if s.sure and s.paired and s.paired.difference < 0]
    beaten = [s for s in lesser if s.comparable(best)]
    if others:
        told = f", clearly better than {len(beaten)} of {len(others)}"
        line += told if beaten else ", not clearly better than any other"
    if rest := len(lesser) - len(beaten):
        line += f"; {rest} with another k cannot be told from one draw"
    elif others and not draw and (of := _draw(others)):
        line += f"; demonstrations are {of}"
    code: Code = "clearly-better" if beaten else "not-clearly-better" if others else "alone"
    counts = {"beaten": len(beaten), "others": len(others), "untold": rest}
    return Remark(code, line, {"candidate": name, "accuracy": best.entry.accuracy, **counts})


def _draw(standings: Sequence[Standing]) -> str:
    """Of which draw demonstrations are; empty where nobody has any."""
    return next((draw for standing in standings if (draw := standing.entry.candidate.recipe.draw)), "")


def _of_all(standings: Sequence[Standing]) -> Iterator[Remark]:
    """What holds for candidates together."""
    candidates = [standing.entry.candidate for standing in standings]
    if builtin := [one.name for one in candidates if one.recipe.model and not one.recipe.options.model]:
        line = "the built-in models are small; for real results: -m NAME"
        yield Remark("built-in-model", line, {"candidates": builtin})
    if draw := _draw(standings):
        line = f"demonstrations: {draw}; another may change their order. Try --seed 1, --seed 2 ..."
        yield Remark("one-draw", line, {"candidates": [one.name for one in candidates if one.recipe.draw]})
    if leaning := [standing.entry.candidate.name for standing in standings if standing.entry.result.tally.lean]:
        given = f"{len(leaning)} of {len(standings)} give nearly all rows one label"
        line = f"{given}, whatever the text says: {shortlist(leaning, 3)}"
        yield Remark("leaning", line, {"candidates": leaning, "of": len(standings)})


def _of_tests(comparison: Comparison, standings: Sequence[Standing]) -> Iterator[Remark]:
    """What was tested, on which rows, and what that does not tell."""
    if len(standings) > 1:
        tested = "the one chosen" if comparison.chosen else "the best"
        line = f"p: exact McNemar test against {tested} on the rows both scored, Holm-corrected"
        yield Remark("tested", line, {"against": standings[0].entry.candidate.name, "tests": len(standings) - 1})
        if not comparison.chosen:
            what = f"the best of {len(standings)} was found on these very rows and will do worse on others"
            line = f"{what}; --search chooses on some rows and judges on the rest"
            yield Remark("chosen-here", line, {"candidates": len(standings)})
    rows = [standing.paired.rows for standing in standings[1:] if standing.paired]
    if fewer := [count for count in rows if count < comparison.rows]:
        least = f"the least {min(fewer):,} of {comparison.rows:,}"
        line = f"{len(fewer)} of the tests use fewer than all rows, {least}"
        yield Remark("fewer-rows", line, {"tests": len(fewer), "least": min(fewer), "rows": comparison.rows})


def _of_each(standings: Sequence[Standing]) -> list[Remark]:
    """What is to be known of single candidates, each thing once, with the names of all of whom it holds."""
    seen: dict[str, tuple[Remark, list[str]]] = {}
    for entry in (standing.entry for standing in standings if not standing.entry.candidate.members):
        for remark in entry.result.remarks("--predictions DIR"):
            if remark.code not in TOGETHER:
                seen.setdefault(remark.line, (remark, []))[1].append(entry.candidate.name)
    return [
        replace(remark, line=f"{shortlist(names, 3)}: {line}", facts={**remark.facts, "candidates": names})
        for line, (remark, names) in seen.items()
    ]


# ------------------------------------------------------------------ from the plan to the comparison


@dataclass(frozen=True)
class Plan:
    """What is compared on which rows, and where it goes; plain data, but for the folder."""

    candidates: Sequence[Candidate]
    rows: Sequence[Item]  # labelled; with a search, those that judge, or are halved
    search: bool = False  # choose on some rows, and judge the best on the others
    dev: Iterable[Item] | None = None  # the rows to choose on; None: half of the others
    folder: Folder | None = None  # where predictions go
    seed: int = 0
    inputs: Sequence[str] = ()  # the files of the rows; only told


class Watcher(bench.Watcher):
    """Whoever wants to know how a comparison goes on; here it is told and says nothing."""

    def began(self, comparison: Comparison, turns: int) -> None:
        """What becomes known will stand in `comparison`, whatever stops it; candidates will be `started` so often."""


def compare(plan: Plan, watcher: Watcher | None = None) -> Comparison:
    """What all candidates of the plan come to, with the ensembles; those that cannot be used are its failures.

    Raises a PromptshotError where candidates do not fit the rows, before any model is loaded, and the first failure
    where not one candidate could be used. Both signals (see `Interrupts`) end it at once, but never within a file.
    """
    watcher = watcher or Watcher()
    candidates = check(plan.candidates, plan.rows)
    search = _search(plan, candidates) if plan.search else None
    judging = search.judging if search else plan.rows
    data, inputs = fingerprint(judging), tuple(plan.inputs)
    comparison = Comparison(len(judging), data, plan.seed, len(candidates), search, inputs)
    with Interrupts() as interrupts:
        watcher.began(comparison, search.turns(len(candidates)) if search else len(candidates))
        run = _Run(plan.folder, comparison, Bench(Loader(keeps=search is not None), watcher), interrupts)
        run.score(run.choose(candidates, search) if search else candidates, judging)
    return comparison


def _search(plan: Plan, candidates: Sequence[Candidate]) -> Search:
    """Which rows choose, and which judge."""
    dev = None if plan.dev is None else list(plan.dev)
    if dev is not None:
        check(candidates, dev)
    return Search.of(plan.rows, dev, candidates[0].recipe, plan.seed)


@dataclass(frozen=True)
class _Run:
    """What the steps of a comparison share."""

    folder: Folder | None
    comparison: Comparison
    bench: Bench
    interrupts: Interrupts

    def choose(self, candidates: Sequence[Candidate], search: Search) -> Sequence[Candidate]:
        """Those that a search leaves to be judged."""
        for one in halve(candidates, search.choosing, self.bench, self.comparison.seed):
            search.rounds.append(one)
            self.comparison.failures += one.failures
        chosen = search.finalists
        self.comparison.chosen, self.comparison.wanted = chosen[0].name, len(chosen)
        return chosen

    def score(self, candidates: Sequence[Candidate], rows: Sequence[Item]) -> None:
        """Keep what every candidate comes to, family by family, with their ensembles; outcomes are then let go."""
        for members in _families(candidates):
            scored: list[tuple[Entry, list[Outcome]]] = []
            for candidate in members:
                try:
                    entry, outcomes = self.bench.score(candidate, rows)
                    if not entry.right:
                        raise _unusable(entry)
                except PromptshotError as problem:
                    self.comparison.failures.append(Failure(candidate, problem))
                    continue
                scored.append((entry, outcomes))
                self.keep(entry, outcomes)
            kind = members[0].recipe.scorer
            several = len({one.recipe.model for one in candidates if one.recipe.scorer == kind}) > 1
            if together := _ensemble(scored, members[0].recipe.model if several else ""):
                self.keep(*together)
        if not self.comparison.entries:
            raise self.comparison.failures[0].problem
        self.comparison.complete = True

    def keep(self, entry: Entry, outcomes: Sequence[Outcome]) -> None:
        """Add an entry, once its predictions are written."""
        if self.folder:
            with self.interrupts.held():
                self.folder.write(entry, outcomes)
        self.comparison.entries.append(entry)


def _families(candidates: Sequence[Candidate]) -> Iterator[list[Candidate]]:
    """The candidates, those of an engine one after another and of these those of a family."""
    engines = list(dict.fromkeys(candidate.engine for candidate in candidates))
    families = list(dict.fromkeys(candidate.family for candidate in candidates))
    ordered = sorted(candidates, key=lambda c: (engines.index(c.engine), families.index(c.family)))
    for _, members in groupby(ordered, key=lambda candidate: candidate.family):
        yield list(members)


def _ensemble(scored: Sequence[tuple[Entry, list[Outcome]]], model: str = "") -> tuple[Entry, list[Outcome]] | None:
    """The mean of log-probabilities of those that give any; its seconds are all of theirs. Where there are ensembles of
    several models, its name tells the `model`.
    """
    parts = [(entry, found) for entry, found in scored if not entry.candidate.recipe.task.paired]
    if len(parts) < 2:
        return None
    first, *others = [entry.candidate.recipe for entry, _ in parts]
    name = f"ensemble of {len(parts)} {first.template.spec.scorer}" + (f" {model}" if model else "")
    told = parts[0][0].candidate
    outcomes = [ensemble(of_row) for of_row in zip(*(found for _, found in parts), strict=True)]
    candidate = Candidate(name + (f" k={told.shots}" if told.shots else ""), replace(first, others=tuple(others)))
    seconds = sum(entry.result.seconds for entry, _ in parts)
    return Entry.of(candidate, outcomes, seconds, parts[0][0].result.details), outcomes


def _unusable(entry: Entry) -> InputError:
    rejects = entry.result.rejects
    if not rejects:
        return InputError("none of the rows it scored has a label it knows")
    return InputError(f"none of the rows could be used; the first: {rejects[0].reason}", where=rejects[0].source)


def _f1(entry: Entry) -> float:
    return entry.result.tally.macro_f1 or 0.0


def fingerprint(items: Iterable[Item]) -> str:
    """A hash of what the rows say."""
    digest = hashlib.sha256()
    for item in items:
        said: Any = item.raw if isinstance(item, Reject) else dict(item.fields)
        digest.update(json.dumps(said, ensure_ascii=True, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()[:16]


# ------------------------------------------------------------------ files


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


def _summary(result: Result) -> dict[str, Any]:
    """Metrics and circumstances; a fingerprint is of a run of one recipe on files, and this was none."""
    return {key: value for key, value in result.summary().items() if key != "fingerprint"}
