"""Point the path options of commands at one another's files, change rows between stops, start runs together.

    python tests/chaos/meetings.py [--only pairs|edits|starts] [--starts 50] [--edits 40] [--seed 0]

Everything happens in throw-away folders; as root, the pairs are tried by an ordinary user. Whatever a command makes
of two paths that meet, it says so in one line, and nothing of another's, no input and nothing behind a link is ever
changed. Rows that were changed between a stop and its resume are noticed. Of runs that start within one second one
writes the output, whole, and the others say why they do not.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import functools
import io
import os
import random
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # run as a program, from anywhere

from promptshot.cli import run_command  # noqa: E402

NOBODY = 65534  # the user that owns nothing
ROWS = "".join(f'{{"text": "meal {n}", "label": "{("positive", "negative")[n % 2]}"}}\n' for n in range(20))
TEMPLATE = """scorer: causal
text: "{text} It was {mask}"
verbalizer: {labels: {positive: good, negative: bad}}
"""
# What is read, by the option that names it, and how that names it.
READ = {
    "FILE": ("rows.jsonl", ROWS, "{}"),
    "--demos": ("demos.jsonl", ROWS, "{}"),
    "--dev": ("dev.jsonl", ROWS, "{}"),
    "-t": ("./read.yaml", TEMPLATE, "{}"),
    "--labels": ("labels.txt", "positive\nnegative\n", "@{}"),
    "--prior": ("prior.jsonl", ROWS, "{}"),
    "PREDICTIONS": ("predictions.jsonl", "", "{}"),  # as a run has left them, see `stored`
    "-c": ("config.yaml", "quiet: true\n", "{}"),
    "A": ("a.jsonl", '{"text": "x", "label": "positive", "prediction": "positive"}\n', "{}"),
    "B": ("b.jsonl", '{"text": "x", "label": "positive", "prediction": "negative"}\n', "{}"),
}
BASE = ["--scorer", "fake", "-q"]
# The options of a command that name files: those that it reads and those that it writes.
COMMANDS = {
    "classify": (
        ("FILE", "--demos", "-t", "--labels", "--prior", "-c"),
        ("-o", "--summary", "--record", "--rejects", "--errors", "--save-template"),
    ),
    "calibrate": (("PREDICTIONS", "--dev", "--prior"), ("-o", "--summary")),
    "compare": (("FILE", "--demos", "-t", "-c"), ("-o", "--predictions")),
    "diff": (("A", "B"), ("-o",)),
    "report": (("A",), ("--summary", "--errors")),
}
PLACES = ("FILE", "A", "B", "PREDICTIONS")  # which have no option
KINDS = ("one file", "link", "hard link", "dangling link", "folder", "device", "another's")
THEIRS = "theirs of another\n"


def paths_of(command: str, one: str, other: str, kind: str) -> tuple[str, str]:
    """Two names, as a kind of meeting has them, within the folder."""
    reads = COMMANDS[command][0]
    read = next((name for name in (one, other) if name in reads), None)
    target = READ[read][0] if read else "out.jsonl"
    if kind == "one file":
        return target, target
    if kind == "link":
        os.symlink(target, "link.jsonl")
        return (target, "link.jsonl") if one == read or not read else ("link.jsonl", target)
    if kind == "hard link":
        Path(target).touch()
        os.link(target, "twin.jsonl")
        return (target, "twin.jsonl") if one == read or not read else ("twin.jsonl", target)
    if kind == "dangling link":
        os.symlink("nowhere.jsonl", "link.jsonl")
        return "link.jsonl", "link.jsonl"
    if kind == "folder":
        Path("folder").mkdir()
        Path("folder/theirs.jsonl").write_text(THEIRS)
        return "folder", "folder"
    if kind == "device":
        device()
        return (target if one == read else "device"), (target if other == read else "device")
    return (target if one == read else "theirs.jsonl"), (target if other == read else "theirs.jsonl")


def device() -> None:
    """What takes everything and is no file: a device where one can be made, else a pipe that somebody reads."""
    try:
        os.mknod("device", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.close(os.open("device", os.O_RDWR))
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink("device")
        os.mkfifo("device")
        PIPES.append(os.open("device", os.O_RDONLY | os.O_NONBLOCK))  # or nobody could begin to write


PIPES: list[int] = []


def arguments(command: str, given: dict[str, str]) -> list[str]:
    """The command line that names these files by these options, and all it needs beside."""
    reads, _ = COMMANDS[command]
    said = {name: READ[name][0] for name in reads if name in PLACES} | given
    places = [said.pop(name) for name in PLACES if name in said]
    base = [] if command in ("diff", "report") else BASE
    if command == "calibrate":
        base = ["-q", "--method", "few-label" if "--dev" in said else "prior"]
    if command == "classify" and "-t" not in said:
        said["-t"] = "en-sentiment-causal" if "--demos" in said else "en-sentiment-mlm"
    if command == "compare" and "-t" not in said:
        said["-t"] = "en-sentiment-causal" if "--demos" in said else "en-film-mlm"
    options = [part for name, path in said.items() for part in (name, READ.get(name, ("", "", "{}"))[2].format(path))]
    return [command, *places, *base, *options]


@functools.cache
def stored() -> dict[str, str]:
    """Predictions and the run record beside them."""
    start, name = Path.cwd(), READ["PREDICTIONS"][0]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            Path("rows.jsonl").write_text(ROWS)
            assert run_command(["classify", "rows.jsonl", "-t", "en-sentiment-mlm", *BASE, "-o", name]) == 0
            return {file: Path(file).read_text() for file in (name, f"{name}.run.json")}
        finally:
            os.chdir(start)


def snapshot() -> dict[str, str]:
    """What is in the folder: contents, and where links lead."""
    found = {}
    for path in sorted(Path().rglob("*")):
        if path.is_symlink():
            found[str(path)] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[str(path)] = path.read_bytes().decode("utf-8", "replace")
    return found


def meeting(command: str, one: str, other: str, kind: str, overwrite: bool) -> tuple[int, str]:
    """What comes of two options whose files meet; asserts that nothing is changed that may not be."""
    for name, text, _ in READ.values():
        Path(name).write_text(text)
    for name, text in stored().items() if command == "calibrate" else ():
        Path(name).write_text(text)
    for name in ("theirs.jsonl", "nothing.txt"):
        Path(name).write_text(THEIRS)
    first, second = paths_of(command, one, other, kind)
    before = snapshot()
    line = [*arguments(command, {one: first, other: second}), *(["--overwrite"] if overwrite else [])]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_command(line)
    said, after = err.getvalue(), snapshot()
    assert code in (0, 1, 2, 3), (line, code)
    assert "Traceback" not in said, (line, said)
    may = {"theirs.jsonl"} if overwrite and kind == "another's" else set()
    may |= {"out.jsonl", "twin.jsonl"} if not {one, other} & set(COMMANDS[command][0]) else set()
    for name, text in before.items():
        assert name in may or after.get(name) == text, (line, name, said)
    if not overwrite:
        assert after.get("theirs.jsonl") == THEIRS, line
    assert "nowhere.jsonl" not in after, line
    return code, (said.strip().splitlines() or [""])[-1].removeprefix("error: ")


def pairs(command: str) -> Iterator[tuple[str, str]]:
    """All pairs of path options of which one at least is written."""
    reads, writes = COMMANDS[command]
    names = [*reads, *writes]
    for place, one in enumerate(names):
        yield from ((one, other) for other in names[place + 1 :] if other in writes)


def all_pairs(most: int | None = None, seed: int = 0) -> collections.Counter[tuple[str, str]]:
    """How often a kind of meeting came to what; `most` of them at random."""
    cases = [
        (command, one, other, kind, overwrite)
        for command in COMMANDS
        for one, other in pairs(command)
        for kind in KINDS
        for overwrite in (False, True)
    ]
    cases = random.Random(seed).sample(cases, most) if most else cases
    table: collections.Counter[tuple[str, str]] = collections.Counter()
    start = Path.cwd()
    for command, one, other, kind, overwrite in cases:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                code, said = meeting(command, one, other, kind, overwrite)
            finally:
                os.chdir(start)
                while PIPES:
                    os.close(PIPES.pop())
        what = said.partition(": ")[2].partition(";")[0] if code == 1 else ""
        what = re.sub(r"is a link to .*", "is a link", re.sub(r"--\S+ and --\S+ are", "two outputs are", what))
        table[f"{kind}{' --overwrite' if overwrite else ''}", f"exit {code} {what.strip()}"] += 1
    return table


def tell_pairs() -> None:
    """Try them all, as an ordinary user where one can be had, and print the table."""
    all_pairs(most=30)  # whatever is imported has been: another user may not be able to read it
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        os.environ["HOME"] = tempfile.gettempdir()
    table = all_pairs()
    for (kind, what), count in sorted(table.items()):
        print(f"  {kind:26}{count:5}  {what}")
    print(f"{table.total()} meetings, nothing changed that may not be")


# ------------------------------------------------------------------ runs as processes

SLOW = """
import time
from promptshot.scorers.fake import FakeScorer
class Slow(FakeScorer):
    def score(self, prompts):
        time.sleep(len(prompts) / 5000)
        return super().score(prompts)
"""


def write_rows(folder: Path, rows: int) -> None:
    """The input, and the scorer that takes its time."""
    lines = [
        f'{{"id": {n:06}, "text": "meal {n:06}", "label": "positive"}}\n'.replace(": 0", ": 1") for n in range(rows)
    ]
    (folder / "in.jsonl").write_text("".join(lines))
    (folder / "slow.py").write_text(SLOW)


def process(folder: Path, *more: str) -> subprocess.Popen[str]:
    """A run over the rows in that folder."""
    line = ["classify", "in.jsonl", "-t", "en-sentiment-mlm", "--scorer", "slow:Slow", "-o", "out.jsonl", *more]
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "NO_COLOR": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "promptshot", *line],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(folder: Path, *more: str) -> tuple[int, str]:
    """What a run comes to that nobody stops."""
    run = process(folder, *more)
    said, _ = run.communicate(timeout=120)
    return run.returncode, said


def edit(folder: Path, rng: random.Random, rows: int) -> None:
    """Give a row another text of the same size; the file may look as old as it was."""
    path, number = folder / "in.jsonl", rng.randrange(rows)
    before = path.stat()
    lines = path.read_text().splitlines(keepends=True)
    lines[number] = lines[number].replace("meal", "deal")
    path.write_text("".join(lines))
    if rng.random() < 0.5:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def edits(folder: Path, times: int, rng: random.Random, rows: int = 5000) -> collections.Counter[str]:
    """Stop a run, change a row, go on: noticed, or the output is that of the changed rows."""
    told: collections.Counter[str] = collections.Counter()
    for _ in range(times):
        for path in folder.iterdir():
            path.unlink() if path.is_file() else shutil.rmtree(path)
        write_rows(folder, rows)
        run = process(folder)
        time.sleep(rng.uniform(0.5, 2.5))
        run.kill()
        run.communicate()
        edit(folder, rng, rows)
        code, said = finished(folder)
        if code == 1:
            assert "has been changed since its rows were scored" in said, said
            told["noticed"] += 1
            continue
        assert code == 0, said
        found = (folder / "out.jsonl").read_bytes()
        assert finished(folder, "--overwrite")[0] == 0
        assert (folder / "out.jsonl").read_bytes() == found, "old and new rows are mixed"
        told["not yet read: the changed row was scored"] += 1
    return told


def starts(folder: Path, count: int, rows: int = 2500, *more: str) -> collections.Counter[str]:
    """Start so many runs at once: their output must be whole, and every run says what came of it."""
    write_rows(folder, rows)
    assert finished(folder)[0] == 0
    expected = (folder / "out.jsonl").read_bytes()
    if not more:
        for path in folder.glob("out.*"):
            path.unlink()
    runs = [process(folder, *more) for _ in range(count)]
    told: collections.Counter[str] = collections.Counter()
    for run in runs:
        said, _ = run.communicate(timeout=600)
        assert "Traceback" not in said, said
        assert run.returncode in (0, 1), said
        line = said.strip().splitlines()[-1] if run.returncode else "finished"
        told[line.partition("out.jsonl: ")[2].partition(";")[0] or line] += 1
        assert run.returncode == 0 or line.startswith("error: out.jsonl"), said
    assert told["finished"] >= 1
    assert (folder / "out.jsonl").read_bytes() == expected
    assert finished(folder)[0] == 0
    return told


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all of them, or one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["pairs", "edits", "starts"])
    parser.add_argument("--starts", type=int, default=50)
    parser.add_argument("--edits", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    rng = random.Random(given.seed)
    if given.only in (None, "edits"):
        with tempfile.TemporaryDirectory() as folder:
            print("edits", dict(edits(Path(folder), given.edits, rng)))
    for more in ((), ("--overwrite",)) if given.only in (None, "starts") else ():
        with tempfile.TemporaryDirectory() as folder:
            print("starts", *more, dict(starts(Path(folder), given.starts, 2500, *more)))
    if given.only in (None, "pairs"):
        tell_pairs()  # last: there is no way back from an ordinary user


if __name__ == "__main__":
    main()
