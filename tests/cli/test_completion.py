"""What a shell is offered when the tab key is pressed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from promptshot import shelf
from promptshot.cli import cli, run_command
from promptshot.cli.completion import SHELLS, VARIABLE, Bash
from promptshot.prompts import library

ROWS = '{"body": "a text", "grade": 1, "body.x": 2}\n'


def offered(*words: str) -> list[str]:
    """The plain values offered for the last of the words."""
    shell = ShellComplete(cli, {}, "promptshot", VARIABLE)
    return [item.value for item in shell.get_completions(list(words[:-1]), words[-1]) if item.type == "plain"]


@pytest.fixture
def rows(tmp_path: Path) -> str:
    path = tmp_path / "rows.jsonl"
    path.write_text(ROWS, encoding="utf-8")
    return str(path)


def test_commands_are_offered() -> None:
    found = set(offered(""))
    assert {"classify", "compare", "diff", "report", "templates", "verbalizers", "doctor", "completion"} <= found
    assert {"suggest", "explain"} <= found
    assert offered("templates", "p") == ["path", "preview"]


def test_names_of_the_shelf_are_offered() -> None:
    assert offered("classify", "x.jsonl", "-t", "zh-news-") == [
        name for name in library.names("templates") if name.startswith("zh-news-")
    ]
    assert offered("classify", "x.jsonl", "--verbalizer", "en-true") == ["en-true-false"]
    assert offered("suggest", "x.jsonl", "-t", "zh-keywords-m") == ["zh-keywords-mlm"]
    assert offered("explain", "a text", "-t", "zh-keywords-m") == ["zh-keywords-mlm"]
    for command in ("show", "lint", "preview", "path"):
        assert offered("templates", command, "zh-keywords-m") == ["zh-keywords-mlm"]
    assert offered("verbalizers", "show", "zh-k") == ["zh-keywords", "zh-keywords-is", "zh-keywords-yes"]


def test_names_of_a_library_are_offered(tmp_path: Path) -> None:
    (tmp_path / "my-own.yaml").write_text("scorer: mlm\n", encoding="utf-8")
    assert offered("templates", "show", "--library", str(tmp_path), "my-") == ["my-own"]


def test_columns_of_the_first_row_are_offered(rows: str) -> None:
    assert offered("classify", rows, "--text-field", "") == ["body", "grade", "body.x"]
    assert offered("classify", rows, "--label-field", "g") == ["grade"]
    assert offered("suggest", rows, "--text-field", "bo") == ["body", "body.x"]
    assert offered("explain", rows, "--text-field", "bo") == ["body", "body.x"]
    assert offered("report", rows, "--prediction-field", "g") == ["grade"]
    assert offered("report", rows, "--label-field", "b") == ["body", "body.x"]
    assert offered("classify", rows, "-t", "zh-same-mlm", "--map", "") == ["text_a=", "text_b=", "label="]
    assert offered("classify", rows, "-t", "zh-same-mlm", "--map", "text_a=b") == ["text_a=body", "text_a=body.x"]


@pytest.mark.parametrize("said", ["nothing.jsonl", "."])
def test_a_file_that_cannot_be_read_offers_nothing(said: str) -> None:
    assert offered("classify", said, "--text-field", "") == []


def test_the_built_in_models_are_offered() -> None:
    assert offered("classify", "x", "-m", "") == shelf.builtin_models()


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    if shell == "bash" and subprocess.run(["bash", "--version"], capture_output=True, check=False).returncode:
        pytest.skip("no bash")
    assert run_command(["completion", shell]) == 0
    assert VARIABLE in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["x", "--map", "text_a", "=", "bo"], (["x", "--map"], "text_a=bo")),
        (["x", "--map", "text_a", "="], (["x", "--map"], "text_a=")),
        (["--labels", "a", "=", "b,c", "-t", "z"], (["--labels", "a=b,c", "-t"], "z")),
    ],
)
def test_bash_takes_a_pair_apart_and_it_is_put_together(
    words: list[str], expected: tuple[list[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMP_WORDS", "\n".join(["promptshot", *words]))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    assert Bash(cli, {}, "promptshot", VARIABLE).get_completion_args() == expected


def test_completion_loads_no_tensors(rows: str) -> None:
    words = f"promptshot classify {rows} --text-field b"
    code = f"""
import os, sys
os.environ |= {{"COMP_WORDS": {words!r}, "COMP_CWORD": "4", {VARIABLE!r}: "zsh_complete"}}
from promptshot.cli import run_command
try:
    run_command([])
except SystemExit:
    pass
print(*[name for name in ("torch", "transformers", "numpy") if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.stderr.strip() == ""
