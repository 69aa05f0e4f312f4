"""The wheel, not only the checkout: what ships finds its shelf and its models."""

from __future__ import annotations

import configparser
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.message import Message
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.requirements import Requirement

from promptshot.cli import cli, run_command
from promptshot.prompts import library

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The contents of the wheel, unpacked where no checkout is near."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    (folder / "own.cfg").write_text(f"[build]\nbuild_base = {folder / 'build'}\n")  # none of what an earlier one left
    environment = {**os.environ, "DIST_EXTRA_CONFIG": str(folder / "own.cfg")}
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, env=environment)
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    zipfile.ZipFile(wheel).extractall(site)
    return site


def in_wheel(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONNOUSERSITE": "1"}
    command = [sys.executable, "-m", "promptshot", *arguments]
    return subprocess.run(command, cwd=site.parent, env=environment, capture_output=True, text=True, check=True)


def test_the_wheel_holds_the_whole_shelf_and_both_models(installed: Path) -> None:
    for kind in ("templates", "verbalizers", "suites"):
        shipped = {path.name for path in (ROOT / kind).glob("*.yaml")}
        assert {path.name for path in (installed / "promptshot" / kind).glob("*.yaml")} == shipped
    for name in ("bert", "gpt2"):
        folder = installed / "promptshot" / "models" / name
        assert {path.name for path in folder.iterdir()} == {path.name for path in (ROOT / "models" / name).iterdir()}
    assert (installed / "promptshot" / "py.typed").exists()


def modules(root: Path) -> set[str]:
    """The modules of the package below a folder, as paths."""
    return {path.relative_to(root).as_posix() for path in (root / "promptshot").rglob("*.py")}


def test_the_wheel_holds_the_modules_of_the_tree_and_no_others(installed: Path) -> None:
    assert len(modules(ROOT)) > 50
    assert modules(installed) == modules(ROOT)


def unlisted(root: Path) -> tuple[set[str], set[str]]:
    """The packages below a folder that its setup.cfg forgets, and those it lists that are not there."""
    said = configparser.ConfigParser()
    said.read(root / "setup.cfg", encoding="utf-8")
    folders = dict(line.split(" = ") for line in said["options"]["package_dir"].strip().split("\n"))
    listed = {name: root / folders.get(name, name.replace(".", "/")) for name in said["options"]["packages"].split()}
    found = {module.rpartition("/")[0].replace("/", ".") for module in modules(root)}
    return found - listed.keys(), {name for name, folder in listed.items() if not folder.is_dir()}


def test_setup_cfg_lists_every_package_there_is() -> None:
    assert unlisted(ROOT) == (set(), set())


def test_a_package_that_setup_cfg_forgets_is_named(tmp_path: Path) -> None:
    listed = "packages =\n    promptshot\n    promptshot.rooms\n    promptshot.words\n    promptshot.gone\n"
    where = "package_dir =\n    promptshot = promptshot\n    promptshot.words = words\n"
    (tmp_path / "setup.cfg").write_text(f"[options]\n{listed}{where}", encoding="utf-8")
    for folder in ("promptshot", "promptshot/rooms", "promptshot/rooms/attic", "words"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    assert unlisted(tmp_path) == ({"promptshot.rooms.attic"}, {"promptshot.gone"})


@pytest.mark.torch
def test_the_installed_command_finds_its_templates_and_models(installed: Path) -> None:
    listed = in_wheel(installed, "templates", "list").stdout
    assert len(listed.splitlines()) == len(library.names("templates"))
    rows = str(ROOT / "examples" / "en-reviews.jsonl")
    done = in_wheel(installed, "classify", rows, "-t", "en-sentiment-mlm", "-n", "3")
    assert len(done.stdout.splitlines()) == 3


def test_no_built_in_model_is_larger_than_25_mb() -> None:
    for name in ("bert", "gpt2"):
        assert sum(path.stat().st_size for path in (ROOT / "models" / name).iterdir()) < 25_000_000


# ------------------------------------------------------------------ documents


def commands(text: str) -> list[str]:
    """The promptshot commands in the fenced and indented blocks of a document."""
    return re.findall(rf"^(?:    |\$ )(promptshot (?:{'|'.join(cli.commands)})\b.*)$", text, re.MULTILINE)


PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]


def test_there_are_nine_pages_at_most_and_the_readme_leads_to_each() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert 1 < len(PAGES) <= 10
    assert all(f"({page})" in readme for page in PAGES[1:])


@pytest.mark.torch
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run(page: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = commands((ROOT / page).read_text(encoding="utf-8"))
    assert len(found) >= (0 if page in ("docs/python.md", "docs/suites.md") else 3)
    for folder in ("examples", "templates"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    for folder in ("pages", *(["jobs"] if page == "docs/jobs.md" else [])):
        for path in (ROOT / "tests" / folder).iterdir():
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "my-model").symlink_to(ROOT / "models" / "bert")
    monkeypatch.chdir(tmp_path)
    for command in found:
        arguments = shlex.split(command, comments=True)[1:]
        if "-m" in arguments and not arguments[arguments.index("-m") + 1].startswith(("builtin:", "./")):
            arguments += ["--dry-run"]  # a checkpoint that is not here
        assert run_command(arguments) == 0, command


def test_the_readme_says_how_much_is_on_the_shelf() -> None:
    readme, log = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CHANGELOG.md"))
    templates, verbalizers = len(library.names("templates")), len(library.names("verbalizers"))
    assert f"\n{templates} of them are on the shelf, with {verbalizers} verbalizers." in readme
    assert f"{templates} templates and {verbalizers} verbalizers" in log


@pytest.mark.torch
def test_the_python_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.torch
def test_the_picture_of_the_readme_can_be_drawn_again(tmp_path: Path) -> None:
    script = str(ROOT / "docs" / "record.py")
    subprocess.run([sys.executable, script, str(tmp_path / "run.svg")], cwd=ROOT, check=True, capture_output=True)
    picture = (tmp_path / "run.svg").read_text(encoding="utf-8")
    assert "accuracy" in picture
    assert "using&#160;the&#160;small&#160;built-in&#160;model" in picture
    columns = set(re.findall(r'x="([\d.]+)"[^>]*>[\u4e00-\u9fff]{4,}', picture))
    assert len(columns) == 2  # where the texts of examples begin, and those of confusions


def test_ci_installs_and_tests_with_the_commands_of_the_readme() -> None:
    readme, ci = (ROOT / "README.md").read_text(encoding="utf-8"), (ROOT / ".ci" / "run").read_text()
    for command in ("pip install -c constraints.txt -e '.[test,lint]'", "python -m pytest"):
        assert command in readme
        assert command.replace("pip install", "pip install --quiet") in ci or command in ci


def test_no_option_of_classify_is_missing_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for flag in ("--template", "--model", "--output", "--demos", "--dev", "--summary", "--rejects", "--dry-run"):
        assert flag in readme or f" -{flag[2]} " in readme, flag


# ------------------------------------------------------------------ pins


PINS = runpy.run_path(str(ROOT / ".ci" / "pins.py"))
PINNED: dict[str, str] = PINS["pinned"]((ROOT / "constraints.txt").read_text())


def required() -> Iterator[Requirement]:
    """What setup.cfg asks for to install, to test, to lint, for CPM and for GGUF files."""
    said = configparser.ConfigParser()
    said.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = said["options.extras_require"]
    for lines in (said["options"]["install_requires"], extras["test"], extras["lint"], extras["cpm"], extras["gguf"]):
        yield from (Requirement(line) for line in lines.split("\n") if line.strip())


@pytest.mark.parametrize("wanted", list(required()), ids=str)
def test_every_requirement_is_pinned_within_its_range(wanted: Requirement) -> None:
    assert wanted.specifier.contains(PINNED[PINS["canonical"](wanted.name)])


def test_what_a_pinned_package_draws_is_pinned_too() -> None:
    waiting, seen = [wanted.name for wanted in required()], set()
    while waiting:
        name = PINS["canonical"](waiting.pop())
        assert name in PINNED, f"{name} is not pinned: make pins"
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        if name in seen or found.version.partition("+")[0] != PINNED[name]:
            continue  # what another version draws is no matter of these pins
        seen.add(name)
        draws = map(Requirement, found.requires or ())
        waiting += [one.name for one in draws if one.marker is None or one.marker.evaluate({"extra": ""})]


def test_the_pins_name_no_registry_and_no_file() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"#.*|[a-z0-9-]+==[0-9][\w.]*( ; python_version >= \"3\.1\d\")?", line), line


def distributed(name: str, version: str, python: str | None = None) -> Any:
    metadata = Message()
    metadata["Name"] = name
    if python:
        metadata["Requires-Python"] = python
    return SimpleNamespace(metadata=metadata, version=version)


def test_pins_are_sorted_and_hold_for_the_pythons_a_package_is_made_for() -> None:
    found = [
        distributed("Types_X.Y", "1.0.20250101", ">=3.9"),
        distributed("torch", "2.13.0+cpu", ">=3.10"),
        distributed("numpy", "2.4", ">=3.11,!=3.13.1"),
        distributed("promptshot", "0.1.0"),
        distributed("pip", "23"),
        distributed("old", "3"),
    ]
    assert PINS["written"](found, "# Why.\ngone==1\n# How.\n") == (
        '# Why.\n# How.\nnumpy==2.4 ; python_version >= "3.11"\nold==3\ntorch==2.13.0\ntypes-x-y==1.0.20250101\n'
    )
    assert PINS["pinned"](PINS["written"](found, "# a==1\n"))["numpy"] == "2.4"


def reported(**versions: str) -> dict[str, Any]:
    return {"install": [{"metadata": {"name": name, "version": version}} for name, version in versions.items()]}


def test_what_is_newer_is_told_beside_its_pin() -> None:
    pins = {"torch": "2.13.0", "types-x": "1", "rich": "15"}
    assert PINS["newer"](reported(torch="2.13.0+cpu", Types_X="1", promptshot="9"), pins) == []
    assert PINS["newer"](reported(rich="16", fresh="2"), pins) == [
        "fresh 2 (pinned: not at all)",
        "rich 16 (pinned: 15)",
    ]


FAKE_PYTHON = """#!/usr/bin/env bash
# Makes an environment whose tools do nothing but say that they were called.
mkdir -p "$3/bin"
printf '#!/usr/bin/env bash\\necho called ${0##*/} "$@" >> "%s"\\nwhile [ $# -gt 1 ]; do
    [ "$1" = --report ] && cp "%s" "$2"; shift; done' "$LOG" "$REPORT" > "$3/bin/pip"
printf '#!/usr/bin/env bash\\necho called ${0##*/} "$@" >> "%s"\\nexit 0' "$LOG" > "$3/bin/ruff"
cp "$3/bin/ruff" "$3/bin/mypy"
printf '#!/usr/bin/env bash\\n[ "$1" = .ci/pins.py ] && exec "%s" "$@"\\necho called ${0##*/} "$@" >> "%s"
exit 1' "$REAL" "$LOG" > "$3/bin/python"
chmod +x "$3"/bin/*
"""


@pytest.mark.parametrize(
    ("version", "code", "said", "tools"),
    [
        ("15.0", 0, "nothing newer than the pins\n", ["pip"]),
        ("16.1", 1, "newer than the pins:\nrich 16.1 (pinned: 15.0)\nbroken by newer versions: pytest\n",
         ["pip", "pip", "ruff", "ruff", "mypy", "python"]),
    ],
)  # fmt: skip
def test_newer_versions_are_tried_where_there_are_any_and_what_broke_is_told(
    tmp_path: Path, version: str, code: int, said: str, tools: list[str]
) -> None:
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    (tmp_path / "constraints.txt").write_text("# Why.\nrich==15.0\ntorch==2.13.0\n")
    (tmp_path / "report.json").write_text(json.dumps(reported(rich=version, torch="2.13.0+cpu")))
    python = tmp_path / "fake-python"
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    places = {"LOG": str(tmp_path / "log"), "REPORT": str(tmp_path / "report.json"), "REAL": sys.executable}
    environment = {**os.environ, **places, "PYTHON": str(python)}
    done = subprocess.run([tmp_path / ".ci" / "newest"], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, said, "")
    assert [line.split()[1] for line in (tmp_path / "log").read_text().splitlines()] == tools
    assert (tmp_path / ".venv-newest" / "torch.txt").read_text() == "torch==2.13.0\n"


def test_what_is_done_in_seconds_goes_before_the_tests(tmp_path: Path) -> None:
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").write_text(FAKE_PYTHON)
    (tmp_path / "bin" / "python3").chmod(0o755)
    places = {"LOG": str(tmp_path / "log"), "REPORT": "", "REAL": sys.executable}
    environment = {**os.environ, **places, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([tmp_path / ".ci" / "run"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1  # as that Python has, whose tests fail
    called = [line.split()[1] for line in (tmp_path / "log").read_text().splitlines()]
    assert called == ["pip", "ruff", "ruff", "mypy", "python"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^check: lint test$", makefile, re.MULTILINE)


def test_newer_versions_cannot_fail_the_run_nor_make_it_endless() -> None:
    last = (ROOT / ".ci" / "run").read_text().rstrip().rpartition("\n")[2]
    assert re.fullmatch(r"timeout .+ \.ci/newest \|\| echo .+", last)
    assert ".venv-newest/" in (ROOT / ".gitignore").read_text().splitlines()
