"""The wheel, not only the checkout: what ships finds its shelf and its models."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from promptshot import library
from promptshot.cli import cli, run_command

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The contents of the wheel, unpacked where no checkout is near."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    zipfile.ZipFile(wheel).extractall(site)
    return site


def in_wheel(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONNOUSERSITE": "1"}
    command = [sys.executable, "-m", "promptshot", *arguments]
    return subprocess.run(command, cwd=site.parent, env=environment, capture_output=True, text=True, check=True)


def test_the_wheel_holds_the_whole_shelf_and_both_models(installed: Path) -> None:
    for kind in ("templates", "verbalizers"):
        shipped = {path.name for path in (ROOT / kind).glob("*.yaml")}
        assert {path.name for path in (installed / "promptshot" / kind).glob("*.yaml")} == shipped
    for name in ("bert", "gpt2"):
        folder = installed / "promptshot" / "models" / name
        assert {path.name for path in folder.iterdir()} == {path.name for path in (ROOT / "models" / name).iterdir()}
    assert (installed / "promptshot" / "py.typed").exists()


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


def test_there_are_five_pages_at_most_and_the_readme_leads_to_each() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert 1 < len(PAGES) <= 6
    assert all(f"({page})" in readme for page in PAGES[1:])


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run(page: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = commands((ROOT / page).read_text(encoding="utf-8"))
    assert len(found) >= 3
    for folder in ("examples", "templates"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.chdir(tmp_path)
    for command in found:
        arguments = shlex.split(command, comments=True)[1:]
        if "-m" in arguments and not arguments[arguments.index("-m") + 1].startswith("builtin:"):
            arguments += ["--dry-run"]  # a checkpoint that is not here
        assert run_command(arguments) == 0, command


def test_the_python_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_the_picture_of_the_readme_can_be_drawn_again(tmp_path: Path) -> None:
    script = str(ROOT / "docs" / "record.py")
    subprocess.run([sys.executable, script, str(tmp_path / "run.svg")], cwd=ROOT, check=True, capture_output=True)
    assert "accuracy" in (tmp_path / "run.svg").read_text(encoding="utf-8")


def test_ci_installs_and_tests_with_the_commands_of_the_readme() -> None:
    readme, ci = (ROOT / "README.md").read_text(encoding="utf-8"), (ROOT / ".ci" / "run").read_text()
    for command in ("pip install -c constraints.txt -e '.[test,lint]'", "python -m pytest"):
        assert command in readme
        assert command.replace("pip install", "pip install --quiet") in ci or command in ci


def test_no_option_of_classify_is_missing_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for flag in ("--template", "--model", "--output", "--demos", "--dev", "--summary", "--rejects", "--dry-run"):
        assert flag in readme or f" -{flag[2]} " in readme, flag
