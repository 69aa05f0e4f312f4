"""Give every command every file that it reads as a pipe, and see that it reads it as it reads a file.

    python tests/chaos/pipes.py [--only TEXT] [--timeout S]

Each case is run with a plain file first. Then the same file comes through a named FIFO, as bash's <(...) has it, from
standard input by its name and by its device, and from standard input that is a file. Exit code and output must be those
of the plain file; of files that hold no rows (YAML), a complaint of one line will do. Prints a table; the exit code is
1 where anything hangs, ends in a traceback or says something else.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN = f"{sys.executable} -m promptshot"

# How a file comes in: the name that the command is given, and what bash makes of the whole line.
WAYS = {
    "fifo": ("pipe", "mkfifo pipe; (exec > /dev/null 2>&1; cat FILE > pipe) & LINE"),
    "<(cat)": ("<(cat FILE)", "LINE"),
    "slow <(cat)": ("<(head -c 9 FILE; sleep 0.2; tail -c +10 FILE)", "LINE"),
    "| -": ("-", "cat FILE | LINE"),
    "| /dev/stdin": ("/dev/stdin", "cat FILE | LINE"),
    "< -": ("-", "LINE < FILE"),
    "< /dev/stdin": ("/dev/stdin", "LINE < FILE"),
}
BY_DASH = ("| -", "< -")


@dataclass(frozen=True)
class Case:
    """A command, with @ for the file in question; `dash` says whether - means standard input there."""

    command: str
    file: str
    dash: bool = True
    yaml: bool = False  # no file of rows: it may be refused, in a line


FAKE = "--scorer fake -t zh-sentiment-mlm"
SHOTS = "--scorer fake -t zh-sentiment-causal -k 2"
PAIRS = "--scorer fake -t zh-same-nsp --ignore-labels"
CASES = (
    Case(f"classify @ {FAKE}", "rows.jsonl"),
    Case(f"classify @ {FAKE}", "rows.csv"),
    Case(f"classify @ {FAKE}", "rows.json"),
    Case(f"classify @ {FAKE}", "rows.jsonl.gz"),
    Case(f"classify @ {FAKE} --encoding auto", "rows.gb.csv"),
    Case(f"classify @ {FAKE} --sample 3 -n 9", "rows.jsonl"),
    Case(f"classify @ {FAKE} --dry-run", "rows.jsonl"),
    Case(f"classify rows.csv @ {FAKE}", "rows.jsonl"),
    Case("classify @ --scorer fake", "rows.jsonl"),
    Case(f"classify @ {PAIRS}", "pairs.jsonl"),
    Case(f"classify rows.jsonl {SHOTS} --demos @", "demos.jsonl"),
    Case(f"classify pairs.jsonl {PAIRS} --dev @", "pairs.jsonl"),
    Case("classify rows.jsonl --scorer fake -t '{mask} {text}' --labels @@", "labels.txt", dash=False),
    Case(f"classify rows.jsonl {FAKE} --config @", "config.yaml", dash=False, yaml=True),
    Case("classify rows.jsonl --scorer fake -t @", "template.yaml", dash=False, yaml=True),
    Case(f"classify rows.jsonl {FAKE} --verbalizer @", "words.yaml", dash=False, yaml=True),
    Case(f"compare @ {FAKE} -o -", "rows.jsonl"),
    Case("compare @ --scorer fake -t zh-sentiment-mlm -t zh-sentiment-nsp --search -o -", "rows.jsonl"),
    Case(f"compare rows.jsonl {SHOTS} --demos @ -o -", "demos.jsonl"),
    Case(f"compare rows.jsonl {FAKE} --search --dev @ -o -", "demos.jsonl"),
    Case(f"compare {FAKE} --suite @ rows.jsonl -o -", "suite.yaml", dash=False, yaml=True),
    Case("diff @ other.jsonl --json", "predicted.jsonl"),
    Case("diff predicted.jsonl @ --json", "other.jsonl"),
    Case("diff <(cat predicted.jsonl) @ --json", "other.jsonl"),
    Case("report @ --json", "predicted.jsonl"),
    Case("report other.jsonl @ --json", "predicted.jsonl"),
    Case("templates preview zh-sentiment-mlm @:3", "rows.jsonl", dash=False),
    Case("templates preview @", "template.yaml", dash=False, yaml=True),
    Case("templates lint @", "template.yaml", dash=False, yaml=True),
    Case("templates new mine.yaml --scorer mlm --labels @@", "labels.txt", dash=False),
    Case("verbalizers preview @", "words.yaml", dash=False, yaml=True),
    Case("verbalizers lint @", "words.yaml", dash=False, yaml=True),
)


def generate(folder: Path) -> None:
    """The files of all cases."""
    rows = [{"text": f"第{i}条 row", "label": ("positive", "negative")[i % 2], "n": f"{i}"} for i in range(20)]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    table = "text,label\n" + "".join(f"{row['text']}，很好很干净,{row['label']}\n" for row in rows)
    pairs = "".join(json.dumps({"text_a": f"a{i}", "text_b": "b"}) + "\n" for i in range(9))
    predicted = [json.dumps({**row, "prediction": "positive"}) + "\n" for row in rows]
    other = [json.dumps({**row, "prediction": row["label"]}) + "\n" for row in rows]
    words = "labels: {positive: 很, negative: 不}\n"
    texts = {
        "rows.jsonl": lines,
        "rows.json": json.dumps(rows, indent=1),
        "rows.csv": table,
        "pairs.jsonl": pairs,
        "demos.jsonl": lines.replace("row", "example"),
        "labels.txt": "positive\nnegative\n",
        "config.yaml": "limit: 5\n",
        "words.yaml": words,
        "template.yaml": f"scorer: mlm\ntext: '{{mask}}满意。{{text}}'\nverbalizer: {{{words.strip()}}}\n"
        "example: {text: 很好, label: positive}\nabout: a test\n",
        "suite.yaml": f"data: [{folder / 'rows.jsonl'}]\n",
        "predicted.jsonl": "".join(predicted),
        "other.jsonl": "".join(other),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "rows.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (folder / "rows.gb.csv").write_bytes(table.encode("gb18030"))


@dataclass(frozen=True)
class Done:
    """What came of a command."""

    code: int | None  # None: it was still running
    out: str
    err: str


def run(case: Case, way: str | None, folder: Path, timeout: float) -> Done:
    """The command of a case with its file, as it is or in one of the ways."""
    name, line = WAYS[way] if way else (case.file, "LINE")
    # @@ is the @ that labels have before a file, and the file.
    command = re.sub("@+", lambda found: "@" * (len(found[0]) - 1) + name, case.command)
    script = line.replace("LINE", f"{RUN} {command}").replace("FILE", case.file)
    for made in ("pipe", "mine.yaml"):
        (folder / made).unlink(missing_ok=True)
    process = subprocess.Popen(
        ["bash", "-c", script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=timeout)
        return Done(process.returncode, out, err)
    except subprocess.TimeoutExpired:
        return Done(None, "", "")
    finally:
        # All that bash started: a writer of a FIFO that nobody reads waits for ever.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def told(out: str) -> str:
    """An output without the names of files, which differ, and without timings and machine."""
    out = re.sub(
        r"/dev/fd/\d+|/dev/stdin|<stdin>|\bpipe\b|[\w/.-]*\b(rows|predicted|other|words|template)\.\w+|\b(stdin|template)\b",
        "NAME",
        out,
    )
    out = re.sub(r'"(path|seconds|rows_per_second)": [^,}]*', r'"\1": 0', out)
    return re.sub(r'"inputs": \[[^]]*\]', '"inputs": []', out)


def verdict(case: Case, plain: Done, found: Done) -> tuple[bool, str]:
    """Whether all is well, and what became of it in a few words."""
    if found.code is None:
        return False, "HANGS"
    if "Traceback" in found.err:
        return False, "TRACEBACK"
    if (found.code, told(found.out)) == (plain.code, told(plain.out)):
        return True, "as a file"
    errors = [line for line in found.err.splitlines() if line.startswith("error: ")]
    if found.code in (1, 3) and (case.yaml or not case.dash) and (len(errors) == 1 or case.yaml):
        return True, "refused in a line"
    return False, f"DIFFERS ({found.code}): {(found.err or found.out).strip()[:100]}"


def cases(only: str) -> Iterator[tuple[Case, Sequence[str]]]:
    """The cases, and the ways for each."""
    for case in CASES:
        if only in f"{case.command} {case.file}":
            yield case, [way for way in WAYS if case.dash or way not in BY_DASH]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all cases in all ways and print what became of each; 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="cases whose command or file contains this")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds for a command")
    options = parser.parse_args(arguments)
    wrong = tried = 0
    for case, ways in cases(options.only):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            generate(folder)
            plain = run(case, None, folder, options.timeout)
            print(f"{case.command}   (@ = {case.file}; as a file: exit {plain.code})", flush=True)
            wrong += plain.code not in (0, 3)
            for way in ways:
                good, said = verdict(case, plain, run(case, way, folder, options.timeout))
                tried, wrong = tried + 1, wrong + (not good)
                print(f"    {way:<12} {said}", flush=True)
    print(f"{tried} tried, {wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
