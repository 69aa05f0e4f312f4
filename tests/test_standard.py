"""Standard output and standard error as shells leave them: closed, full, of a narrow encoding; and early signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import write_rows

from promptshot.cli import run_command
from promptshot.errors import ModelError
from promptshot.runs.interrupt import Interrupts

ROOT = Path(__file__).parent.parent
TEXTS = ["味道很赞", "naïve – 又贵又慢", "🙂"]
NARROW = [
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1"},
    {"LC_ALL": "C", "PYTHONUTF8": "0"},
    {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Rows with their predictions, and label words."""
    rows = [{"text": text, "label": "赞" if i else "差"} for i, text in enumerate(TEXTS)]
    write_rows(tmp_path / "rows.jsonl", rows)
    words = "labels: {赞: 棒, 差: 糟}\n"
    (tmp_path / "v.yaml").write_text(words, encoding="utf-8")
    (tmp_path / "t.yaml").write_text('scorer: mlm\ntext: "真{mask}。{text}"\nverbalizer: v.yaml\n', encoding="utf-8")
    (tmp_path / "bad.yaml").write_text('scorer: mlm\ntext: "真{mask}"\n味道: 好\n', encoding="utf-8")
    for name, said in (("a", "赞"), ("b", "差")):
        predicted = [{**row, "prediction": said, "probabilities": {"赞": 0.5, "差": 0.5}} for row in rows]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in predicted)
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return tmp_path


CLASSIFY = ["classify", "rows.jsonl", "-t", "t.yaml", "--scorer", "fake"]


def ran(folder: Path, arguments: list[str], shell: str = "", **variables: str) -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own, with what a shell does to its streams."""
    said = " ".join(f"'{argument}'" for argument in (sys.executable, "-m", "promptshot", *arguments))
    known = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    environment = {**known, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        ["sh", "-c", f"{said} {shell}"], capture_output=True, cwd=folder, env=environment, timeout=60, check=False
    )


# ------------------------------------------------------------------ encodings

SAID = [
    (["diff", "a.jsonl", "b.jsonl"], 0),
    (["report", "a.jsonl"], 0),
    (["templates", "show", "./t.yaml"], 0),
    (["templates", "list"], 0),
    (["templates", "preview", "./t.yaml", '{"text": "\\u5f88\\u597d"}'], 0),
    (["templates", "lint", "./bad.yaml"], 3),
    (["templates", "lint", "./bad.yaml", "--format", "github"], 3),
    (["verbalizers", "show", "zh-satisfied"], 0),
    (["classify", "rows.jsonl", "-t", "bad.yaml"], 1),
    (["classify", "rows.jsonl", "-t", "没有"], 1),
    (["报告"], 2),
    ([*CLASSIFY, "--dry-run"], 0),
    (["compare", "rows.jsonl", "-t", "t.yaml", "--scorer", "fake"], 0),
    (["--help"], 0),
    (["classify", "--help"], 0),
]


@pytest.mark.parametrize("variables", NARROW, ids=lambda v: " ".join(f"{a}={b}" for a, b in v.items()))
def test_a_terminal_that_cannot_say_chinese_is_shown_escapes(variables: dict[str, str], folder: Path) -> None:
    for arguments, code in SAID if variables == NARROW[0] else SAID[:: 3 + NARROW.index(variables)]:
        done = ran(folder, arguments, **variables)
        assert done.returncode == code, (arguments, done.stderr)
        assert b"Traceback" not in done.stderr
        assert b"UnicodeEncodeError" not in done.stderr
        assert b"\xe8\xb5\x9e" not in done.stderr  # no bytes of UTF-8 where another encoding was asked for
        assert code or done.stdout + done.stderr


def test_what_cannot_be_said_is_an_escape_that_names_it(folder: Path) -> None:
    done = ran(folder, ["report", "a.jsonl"], PYTHONIOENCODING="ascii")
    assert b"\\u8d5e" in done.stderr
    done = ran(folder, ["classify", "rows.jsonl", "-t", "bad.yaml"], PYTHONIOENCODING="latin-1")
    assert b"bad.yaml:3: unknown key '\\u5473\\u9053'" in done.stderr


@pytest.mark.parametrize("variables", NARROW[1:3], ids=["latin-1", "C"])
def test_data_is_utf_8_whatever_the_locale_says(variables: dict[str, str], folder: Path) -> None:
    plain = ran(folder, [*CLASSIFY, "-q"], LC_ALL="C.UTF-8")
    assert [json.loads(line)["text"] for line in plain.stdout.decode("utf-8").splitlines()] == TEXTS
    for arguments in ([*CLASSIFY, "-q"], [*CLASSIFY, "-q", "-o", "-"]):
        assert ran(folder, arguments, **variables).stdout == plain.stdout
    whole = json.loads(ran(folder, ["diff", "a.jsonl", "b.jsonl", "--json"], **variables).stdout.decode("utf-8"))
    assert [flip["text"] for flip in whole["flips"]] == TEXTS
    counted = json.loads(ran(folder, ["report", "a.jsonl", "--json"], **variables).stdout.decode("utf-8"))
    assert counted["files"][0]["predictions"]["赞"] == 3
    shown = ran(folder, ["templates", "show", "./t.yaml"], **variables).stdout
    assert shown == (folder / "t.yaml").read_bytes()


def test_half_a_character_in_a_row_is_the_escape_it_was(folder: Path) -> None:
    for name in "ab":
        row = {"text": "x", "note": "\udc80\ud800", "label": "a", "prediction": name}
        (folder / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    done = ran(folder, ["diff", "a.jsonl", "b.jsonl", "--json"])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["flips"][0]["note"] == "\udc80\ud800"


# ------------------------------------------------------------------ closed and full streams

TO_STDOUT = [
    CLASSIFY,
    ["diff", "a.jsonl", "b.jsonl", "-o", "-"],
    ["diff", "a.jsonl", "b.jsonl", "--json"],
    ["report", "a.jsonl", "--json"],
    ["templates", "show", "./t.yaml"],
    ["templates", "path"],
    ["templates", "schema"],
    ["templates", "preview", "./t.yaml", "x"],
    ["completion", "zsh"],
    ["--help"],
    ["diff", "--help"],
]


@pytest.mark.parametrize(
    ("shell", "said"), [(">&-", b"it is closed"), (">/dev/full", b"No space left on device")], ids=["closed", "full"]
)
def test_a_standard_output_that_takes_nothing_is_one_line(shell: str, said: bytes, folder: Path) -> None:
    for arguments in TO_STDOUT if shell == ">&-" else TO_STDOUT[::3]:
        done = ran(folder, arguments, shell)
        assert done.returncode == 1, arguments
        assert done.stderr.splitlines()[-1] == b"error: standard output: " + said
        assert b"Traceback" not in done.stderr
        assert b"Exception ignored" not in done.stderr


@pytest.mark.parametrize("shell", ["2>&-", "2>/dev/full", ">&- 2>&-", "<&- >&- 2>&-", "2>&1 | true; true"])
def test_a_run_into_a_file_needs_nobody_who_reads_what_it_says(shell: str, folder: Path) -> None:
    done = ran(folder, [*CLASSIFY, "-o", "out.jsonl"], shell)
    assert done.returncode == 0
    for _ in range(100):  # a shell does not wait for the first in a pipe
        if (folder / "out.jsonl.run.json").exists() and "rows_read" in (folder / "out.jsonl.run.json").read_text():
            break
        time.sleep(0.05)
    lines = (folder / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["text"] for line in lines] == TEXTS


@pytest.mark.parametrize("shell", [">&-", ">/dev/full"])
def test_a_report_for_people_needs_no_standard_output(shell: str, folder: Path) -> None:
    for arguments in (["diff", "a.jsonl", "b.jsonl"], ["report", "a.jsonl"]):
        done = ran(folder, arguments, shell)
        assert done.returncode == 0, done.stderr
        assert b"a.jsonl" in done.stderr


def test_a_closed_stream_gives_its_number_to_no_file_of_ours(folder: Path) -> None:
    code = "import os, sys, promptshot.standard as s; s.prepare(); print(os.open('t.yaml', 0), file=sys.stderr)"
    command = f"'{sys.executable}' -c \"{code}\" <&- >&-"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, cwd=folder, env=environment, check=True
    )
    assert int(done.stderr) > 2


def test_a_closed_standard_input_is_one_line(folder: Path) -> None:
    done = ran(folder, ["classify", "-", "-t", "t.yaml", "--scorer", "fake"], "<&-")
    assert (done.returncode, done.stderr) == (
        1,
        b"error: <stdin>: standard input is closed; it can be read only once\n",
    )
    done = ran(folder, ["verbalizers", "new", "mine.yaml"], "<&-")
    assert (done.returncode, done.stderr) == (1, b"error: --labels is missing; on a terminal it would be asked\n")


def test_errors_have_their_codes_where_nobody_can_read_them(folder: Path) -> None:
    assert ran(folder, ["templates", "show", "nothing"], "2>&-").returncode == 1
    assert ran(folder, ["nonsense"], "2>/dev/full").returncode == 2


@pytest.mark.parametrize(
    "arguments", [["report", "a.jsonl", "--json"], ["templates", "schema"], ["--help"], ["diff", "--help"]]
)
def test_a_reader_who_has_had_enough_is_no_error(arguments: list[str], folder: Path) -> None:
    done = ran(folder, arguments, "2>err | true; cat err; test ! -s err")
    assert (done.returncode, done.stdout) == (0, b"")


# ------------------------------------------------------------------ signals before anything is begun


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(
    "module", ["promptshot.errors", "click.types", "yaml.nodes", "pydantic.config", "promptshot.cli"]
)
def test_a_signal_while_imports_run_is_a_word_and_a_code(module: str, number: int, code: int, folder: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "promptshot", *CLASSIFY]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder, env=environment
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.split(b"|")[-1].strip().decode() == module:
                process.send_signal(number)
                break
        rest = process.stderr.read()
        assert process.wait(60) == code
    said = [line for line in rest.splitlines() if not line.startswith(b"import time:")]
    assert said == [b"interrupted"]


def test_the_command_as_it_is_installed_hears_signals_as_early(folder: Path) -> None:
    setup = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    assert "promptshot = promptshot.__main__:main\n" in setup
    slow = "import sys, promptshot.__main__ as m; sys.modules['click'] = None; import signal, os\n"
    slow += "m._at_once(); os.kill(os.getpid(), signal.SIGTERM); import click"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", slow], capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (143, b"interrupted\n")


def test_a_signal_that_is_ignored_stays_ignored(folder: Path) -> None:
    code = (
        "import os, signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "import promptshot.__main__ as m; from promptshot.runs.interrupt import Interrupts; m._at_once()\n"
        "with Interrupts(): os.kill(os.getpid(), signal.SIGINT)\n"
        "print('still here')"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "still here\n"


def test_an_interrupt_that_a_library_made_another_error_of_is_one_all_the_same() -> None:
    from promptshot.runs.interrupt import Interrupts, Terminated

    def imported() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            raise ImportError("KeyboardInterrupt: <EMPTY MESSAGE>") from None

    with pytest.raises(Terminated), Interrupts():
        imported()
    with pytest.raises(ImportError), Interrupts():
        raise ImportError("of its own")


def test_an_interrupt_that_a_library_takes_for_a_fault_of_its_own_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def loading(*_: object) -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise ModelError("cannot be loaded") from None  # as where an import fails half-way

    monkeypatch.setattr("promptshot.scorers.load", loading)
    with Interrupts() as interrupts:
        assert run_command(["doctor"], interrupts) == 143
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"
