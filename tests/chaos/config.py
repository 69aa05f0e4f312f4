"""Give every command files of options, suites, label words and templates whose values are of the wrong type.

    python tests/chaos/config.py [--files N] [--seed S]

Each file has one key or a few, with a value that somebody else's program might have written there: a list where one
value belongs, a mapping, nothing, a number, a truth value, a text without end, control characters. The same goes for
the variables of the environment. Everything runs in this process, with the fake scorer, in a folder of its own that is
looked at afterwards. A finding is a traceback, another exit code than 0, 1, 2 and 3, more than one line of complaint,
or a file that nobody asked for. Runs of the same seed are the same.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # run as a program, from anywhere

import click  # noqa: E402

from promptshot.cli import cli, run_command  # noqa: E402
from promptshot.cli.settings import flag  # noqa: E402
from promptshot.errors import InputError, PromptshotError  # noqa: E402
from promptshot.prompts import strict  # noqa: E402

ROWS = "".join(json.dumps({"text": f"row {i}", "label": "good" if i % 3 else "bad", "n": i}) + "\n" for i in range(9))
TEMPLATE = 'scorer: SCORER\ntext: "{text} It was {mask}."\nverbalizer: {labels: {good: fine, bad: poor}}\n'
INPUTS = {
    "rows.jsonl": ROWS,
    "more.jsonl": ROWS,
    "t.yaml": TEMPLATE.replace("SCORER", "mlm"),
    "c.yaml": TEMPLATE.replace("SCORER", "causal"),
    "v.yaml": "labels: {good: fine, bad: poor}\n",
}

# What may stand behind a key, as YAML.
VALUES = [
    *("[1]", "[1, 2]", "[]", "[[1]]", "[null]", "[a, b]", "[{a: b}]", "[a, [b]]", "[text=n, 3]", "[t.yaml, c.yaml]"),
    *("{}", "{a: 1}", "{a: [b, c]}", "{1: 2}", "{a: {b: {c: d}}}", "[rows.jsonl]", "[rows.jsonl, 3]"),
    *("", "~", "null", "true", "false", "yes", "no", "on", "Off"),
    *("0", "1", "3", "-1", "+7", "1.5", "1e400", ".nan", "-.inf", "0x1F", "0o17", "1_000", "12:30", "2024-01-01"),
    *("9" * 25, "9" * 5000, "\uff13", "\u00b2"),
    *("''", "'  '", '"\\x1b[31m"', '"\\x85"', '"\\x7f"', '"\\u2028"', '"\\ufeff"', '"a\\tb"', '"a\\nb"', '"\\r"'),
    *('"\\u202e"', '"\\0"', '"\\ud800"', "x", "x" * 300, "x" * 100_000, "\u597d", "\u597d" * 90, "\U0001f600"),
    *("-", "'@x'", "'@'", "a=b", "'='", "text=n", "'{text} {mask}'", "'{mask'", "'{'", "'[mask]'", "'a:b'", "n"),
    *(
        "!!int 3",
        "!!python/name:os.system x",
        "!x y",
        "&a b",
        "*a",
        "|\n  a\n  b",
        ">-\n  a",
        "? a",
        "[" * 30 + "]" * 30,
    ),
    *("mlm", "fake", "auto", "utf-16", "rot13", "builtin:x", "t.yaml", "v.yaml", "rows.jsonl"),
]

WRITTEN = (
    "output",
    "summary",
    "record",
    "rejects",
    "errors",
    "save-template",
    "predictions",
)  # the keys of files to write
BESIDE = ("", ".run.json", ".rejects.jsonl", ".spool")  # what may come of one of them
ENDLESS = ("watch", "help")
KEYS = {
    "suite": ["data", "templates", "verbalizers", "library", "models", "shots", "demos", "search", "dev", "label_field",
              "text_field", "encoding", "no_header", "limit", "seed", "about", "more"],
    "template": ["scorer", "text", "verbalizer", "example", "about", "source", "separator", "fields", "direction",
                 "normalize", "label_field", "words_from", "ordered", "prior", "more"],
    "verbalizer": ["labels", "gold", "pool", "about", "source", "more"],
    "labels": ["good", "bad", "labels", "1", "yes"],
}  # fmt: skip
BASES = {
    "suite": {"data": "[rows.jsonl]", "templates": "[t.yaml]"},
    "template": {"scorer": "mlm", "text": "'{text} {mask}'", "verbalizer": "{labels: {good: fine, bad: poor}}"},
    "verbalizer": {"labels": "{good: fine, bad: poor}"},
    "labels": {"good": "fine", "bad": "poor"},
}
FAKE = ("--scorer", "fake")
# The commands that read such a file, under the name it has here.
READERS: dict[str, list[tuple[str, ...]]] = {
    "classify": [
        ("classify", "rows.jsonl", *FAKE, "-c", "f.yaml"),
        ("classify", *FAKE, "-c", "f.yaml", "-t", "t.yaml"),
    ],
    "compare": [("compare", "rows.jsonl", *FAKE, "-c", "f.yaml"), ("compare", *FAKE, "-c", "f.yaml", "-t", "c.yaml")],
    "suite": [("compare", *FAKE, "--suite", "f.yaml")],
    "template": [
        ("classify", "rows.jsonl", *FAKE, "-t", "f.yaml"),
        ("compare", "rows.jsonl", *FAKE, "-t", "f.yaml"),
        *(("templates", name, "./f.yaml") for name in ("show", "lint", "preview")),
        ("templates", "preview", "./f.yaml", "a text"),
    ],
    "verbalizer": [
        ("classify", "rows.jsonl", *FAKE, "-t", "t.yaml", "--verbalizer", "f.yaml"),
        ("compare", "rows.jsonl", *FAKE, "-t", "t.yaml", "--verbalizer", "f.yaml"),
        *(("verbalizers", name, "./f.yaml") for name in ("show", "lint", "preview")),
        ("templates", "new", "new.yaml", *("--scorer", "mlm", "--verbalizer", "./f.yaml")),
    ],
    "labels": [
        ("classify", "rows.jsonl", *FAKE, "-t", "t.yaml", "--labels", "@f.yaml"),
        ("templates", "preview", "t.yaml", "a text", "--labels", "@f.yaml"),
        ("templates", "new", "new.yaml", "--scorer", "nsp", "--labels", "@f.yaml"),
        ("verbalizers", "new", "new.yaml", "--labels", "@f.yaml"),
    ],
}
# Commands whose options may come from the environment.
ENVIRONMENT: list[tuple[str, ...]] = [
    ("classify", "rows.jsonl", *FAKE, "-t", "t.yaml"),
    ("compare", "rows.jsonl", *FAKE, "-t", "t.yaml"),
    ("diff", "rows.jsonl", "more.jsonl"),
    ("report", "rows.jsonl"),
    ("templates", "list"),
    ("templates", "show", "./t.yaml"),
    ("templates", "lint", "./t.yaml", "--offline"),
    ("templates", "preview", "./t.yaml", "a text", "--offline"),
    ("templates", "new", "new.yaml"),
    ("verbalizers", "lint", "./v.yaml", "--offline"),
    ("verbalizers", "preview", "./v.yaml", "--offline"),
    ("verbalizers", "new", "new.yaml"),
    ("doctor", "-m", "./nothing", "--offline"),
]


@dataclass(frozen=True)
class Case:
    """One run: what is said, and the file or the variables that it reads."""

    arguments: tuple[str, ...]
    file: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    written: frozenset[str] = frozenset()  # files that may come of it

    def __str__(self) -> str:
        said = f"promptshot {' '.join(self.arguments)}"
        return "".join(
            [*(f"{name}={value[:200]!r} " for name, value in self.variables.items()), said, *self._content()]
        )

    def _content(self) -> Iterator[str]:
        if self.file:
            yield f"\nf.yaml: {self.file[:600]!r}"


@dataclass
class Search:
    """What was tried, and what came of it that should not."""

    tried: int = 0
    codes: dict[int, int] = field(default_factory=dict)
    findings: dict[str, str] = field(default_factory=dict)  # one case of each kind

    def report(self, seconds: float) -> str:
        """Everything in words."""
        codes = ", ".join(f"{count:,} ended with {code}" for code, count in sorted(self.codes.items()))
        lines = [f"config: {self.tried:,} files in {seconds:.0f} s, {codes}; {len(self.findings)} findings"]
        return "\n".join([*lines, *(f"{kind}\n{case}\n" for kind, case in self.findings.items())])


def case(rng: random.Random) -> Case:
    """One of all those there could be."""
    kind = rng.choice(
        ["classify", "classify", "compare", "compare", "suite", "template", "verbalizer", "labels", "env"]
    )
    if kind == "env":
        return _of_environment(rng)
    arguments = rng.choice(READERS[kind])
    keys = (
        [key for key in map(flag, _command((kind,)).params) if key != "config"] if kind in cli.commands else KEYS[kind]
    )
    said = dict(BASES.get(kind, {}))
    for key in rng.sample(keys, rng.choice((1, 1, 1, 2, 4))):
        said[key.replace("-", rng.choice("-_")) if kind in cli.commands else key] = rng.choice(VALUES)
    if kind in cli.commands and "files" not in said and "rows.jsonl" not in arguments and rng.random() < 0.8:
        said["files"] = "rows.jsonl"
    text = "".join(f"{key}: {value}\n" for key, value in said.items())
    if rng.random() < 0.05:
        text = rng.choice(VALUES) + "\n"  # no mapping at all
    return Case(arguments, text, written=_written(arguments, text))


def _of_environment(rng: random.Random) -> Case:
    arguments = rng.choice(ENVIRONMENT)
    options = [one for one in _command(arguments).params if isinstance(one, click.Option) and one.name not in ENDLESS]
    texts = [value.strip("'") for value in VALUES if "\\" not in value and len(value) < 90_000]
    chosen = [one for one in rng.sample(options, min(len(options), rng.choice((1, 1, 2)))) if one.envvar]
    variables = {str(one.envvar): rng.choice(texts) for one in chosen}
    names = {variables[str(one.envvar)] for one in chosen if flag(one) in WRITTEN}
    return Case(arguments, variables=variables, written=_with_others(arguments, names))


def _command(arguments: Sequence[str]) -> click.Command:
    found: click.Command = cli
    for name in arguments:
        if not isinstance(found, click.Group):
            break
        found = found.commands[name]
    return found


def _written(arguments: Sequence[str], text: str) -> frozenset[str]:
    """The names that the file gives, as plain text, to files to be written."""
    try:
        data, _ = strict.parse_source(text, "f.yaml").sound(InputError)
    except PromptshotError:
        data = None
    found = {key.replace("_", "-"): value for key, value in data.items()} if isinstance(data, dict) else {}
    return _with_others(arguments, {found[key] for key in WRITTEN if isinstance(found.get(key), str)})


def _with_others(arguments: Sequence[str], names: set[str]) -> frozenset[str]:
    every = {*names, *(name for name in arguments if name == "new.yaml")}
    return frozenset(name + ending for name in every for ending in BESIDE)


def attempt(one: Case, folder: Path, search: Search) -> None:
    """Run it in the folder, and keep what should not have come of it."""
    for name, content in {**INPUTS, **({"f.yaml": one.file} if one.file else {})}.items():
        (folder / name).write_text(content, encoding="utf-8")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    out, err, code = io.StringIO(), io.StringIO(), -1
    empty = io.TextIOWrapper(io.BytesIO(b""))
    with (
        mock.patch.dict(os.environ, one.variables),
        mock.patch.object(sys, "stdin", empty),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            code = run_command(one.arguments)
        except BaseException as problem:
            last = traceback.extract_tb(problem.__traceback__)[-1]
            told(search, one, f"{type(problem).__name__} in {Path(last.filename).name}:{last.lineno}: {problem}"[:300])
    search.tried += 1
    search.codes[code] = search.codes.get(code, 0) + 1
    complaints = [line for line in err.getvalue().splitlines() if line.lower().startswith("error: ")]
    if code not in (-1, 0, 1, 2, 3):
        told(search, one, f"exit code {code}")
    if code in (1, 2) and (len(complaints) != 1 or err.getvalue().splitlines()[-1] != complaints[0]):
        told(search, one, f"exit code {code} with {len(complaints)} complaints: {err.getvalue()[-300:]!r}")
    if "Traceback" in out.getvalue() + err.getvalue():
        told(search, one, "a traceback is printed")
    for path in sorted(folder.iterdir()):
        if path.name not in before:
            if path.name not in one.written:
                told(search, one, f"a file that nobody asked for: {path.name[:80]!r}")
            _remove(path)
        elif path.read_bytes() != before[path.name] and path.name not in one.written:
            told(search, one, f"a file was changed: {path.name}")


def told(search: Search, one: Case, what: str) -> None:
    """Keep the first case of each kind of finding."""
    search.findings.setdefault(what, str(one))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        for inside in path.iterdir():
            _remove(inside)
        path.rmdir()
    else:
        path.unlink()


def run(files: int, seed: int) -> Search:
    """So many cases, one after another, in a folder that is gone afterwards."""
    search, rng, home = Search(), random.Random(seed), Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for _ in range(files):
                attempt(case(rng), Path(folder), search)
        finally:
            os.chdir(home)
    return search


def main() -> int:
    """Try as many as were asked for; 1 where anything was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    said = parser.parse_args()
    began = time.monotonic()
    search = run(said.files, said.seed)
    print(search.report(time.monotonic() - began))
    return int(bool(search.findings))


if __name__ == "__main__":
    sys.exit(main())
