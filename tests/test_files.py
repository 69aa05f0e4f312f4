"""Nothing that exists is lost unasked, and no two files of a command meet."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import failed

from promptshot import files
from promptshot import shelf as where
from promptshot.cli import run_command
from promptshot.compare.folder import Folder
from promptshot.errors import InputError, PromptshotError
from promptshot.files import Named

CLASSIFY = ["-t", "en-sentiment-mlm", "--scorer", "fake", "-q"]
ROWS = "".join(json.dumps({"text": f"meal {n}", "label": "positive"}) + "\n" for n in range(40))
MINE = "notes of mine\n"
UNIX = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs links and pipes")


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everything happens in a folder of its own, where nothing else ever appears unasked."""
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text(ROWS)
    Path("mine.txt").write_text(MINE)
    Path("rejected.jsonl").write_text(ROWS + "{broken\n")
    yield
    assert Path("mine.txt").read_text() == MINE
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".promptshot")]


# ------------------------------------------------------------------ files that meet

OUTPUTS = ("--output", "--summary", "--record", "--rejects", "--save-template")


def other_name(how: str, path: str = "out") -> str:
    """Another name for the file `path`, which need not be there yet."""
    if how == "dots":
        Path("sub").mkdir()
        return f"sub/../{path}"
    if how == "folder":
        os.symlink(".", "same")
        return f"same/{path}"
    if how == "hard link":
        Path(path).touch()
        os.link(path, "twin")
        return "twin"
    return path


@pytest.mark.parametrize("how", ["name", "dots", "folder", "hard link"])
@pytest.mark.parametrize(("one", "other"), [(a, b) for i, a in enumerate(OUTPUTS) for b in OUTPUTS[i + 1 :]])
@UNIX
def test_two_outputs_are_never_one_file(one: str, other: str, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = failed(capsys, "classify", "rows.jsonl", *CLASSIFY, one, other_name(how), other, "out", "--overwrite")
    assert f"{one} and {other} are the same file; give each its own" in said
    assert not Path("out").exists() or Path("out").read_text() == ""


@pytest.mark.parametrize("ending", ["run.json", "rejects.jsonl", "spool"])
@pytest.mark.parametrize("option", ["--summary", "--save-template"])
def test_no_output_is_what_lies_beside_another(option: str, ending: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = failed(capsys, "classify", "rows.jsonl", *CLASSIFY, "-o", "o.jsonl", option, f"o.jsonl.{ending}")
    assert "are the same file" in said


@pytest.mark.parametrize("how", ["name", "dots", "hard link"])
@pytest.mark.parametrize("option", OUTPUTS)
@UNIX
def test_an_input_is_never_written_over(option: str, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = failed(capsys, "classify", "rows.jsonl", *CLASSIFY, option, other_name(how, "rows.jsonl"), "--overwrite")
    assert said.endswith("this is the input; write to another file")
    assert Path("rows.jsonl").read_text() == ROWS


@pytest.mark.parametrize("read", ["--demos", "--dev", "-t", "--verbalizer", "--labels", "--config", "-m", "--library"])
@pytest.mark.parametrize("option", ["--output", "--summary"])
def test_whatever_is_read_is_never_written_over(read: str, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("lib/templates").mkdir(parents=True)
    Path("model").mkdir()
    path = {"--library": "lib/templates/read.yaml", "-m": "model/config.json", "-t": "./read.yaml"}.get(
        read, "read.yaml"
    )
    Path(path).write_text("quiet: true\n")
    given = {"--library": "lib", "-m": "model", "--labels": f"@{path}"}.get(read, path)
    template = [] if read == "-t" else ["-t", "en-sentiment-mlm"]
    said = failed(capsys, "classify", "rows.jsonl", "-q", *template, read, given, option, path, "--overwrite")
    whole = {"-t": "what --template reads", "-m": "a file of the model"}.get(read, f"what {read} reads")
    assert f"this is {whole}" in said
    assert Path(path).read_text() == "quiet: true\n"


@UNIX
def test_standard_input_and_output_may_be_such_a_file() -> None:
    command = [sys.executable, "-m", "promptshot", "classify", "-", *CLASSIFY]
    for out, stdout in (["-o", "rows.jsonl"], None), ([], "rows.jsonl"), (["-o", "/dev/stdout"], "rows.jsonl"):
        with open("rows.jsonl") as read, open(stdout or "said", "a") as write:
            done = subprocess.run(
                [*command, *out, "--overwrite"],
                stdin=read,
                stdout=write,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert (done.returncode, "this is the input" in done.stderr) == (1, True), done.stderr
        assert Path("rows.jsonl").read_text() == ROWS


@pytest.mark.parametrize(
    ("command", "shell"),
    [
        (["report", "p.jsonl", "q.jsonl", "--json"], ">> q.jsonl"),
        (["report", "p.jsonl", "q.jsonl"], "2>> p.jsonl"),
        (["report", "p.jsonl", "--errors", "-"], ">> p.jsonl"),
        (["diff", "p.jsonl", "q.jsonl", "--json"], ">> q.jsonl"),
        (["diff", "p.jsonl", "q.jsonl", "-o", "-"], ">> q.jsonl"),
        (["diff", "p.jsonl", "q.jsonl"], "2>> p.jsonl"),
        (["diff", "p.jsonl", "q.jsonl", "-o", "d.json", "--json"], "> d.json"),
        (["classify", "rows.jsonl", *CLASSIFY, "-o", "o.jsonl"], "2> o.jsonl"),
        (["classify", "rows.jsonl", *CLASSIFY, "-o", "o.jsonl", "--summary", "s.json"], "2> s.json"),
        (["classify", "rows.jsonl", *CLASSIFY, "-o", "o.jsonl"], "2>> rows.jsonl"),
    ],
)
@UNIX
def test_what_a_shell_redirects_meets_no_file_of_the_command(command: list[str], shell: str) -> None:
    for out in ("p.jsonl", "q.jsonl"):
        assert run_command(["classify", "rows.jsonl", *CLASSIFY, "-o", out]) == 0
    said = Path("q.jsonl").read_text()
    line = shlex.join([sys.executable, "-m", "promptshot", *command])
    done = subprocess.run(f"{line} {shell}", shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    told = done.stderr or Path(shell.split()[-1]).read_text()
    assert "this is the input" in told or "are the same file" in told
    assert Path("q.jsonl").read_text() == said
    assert not Path("o.jsonl.run.json").exists()


@UNIX
def test_one_log_for_both_streams_is_no_meeting() -> None:
    line = shlex.join([sys.executable, "-m", "promptshot", "classify", "rows.jsonl", *CLASSIFY])
    assert subprocess.run(f"{line} > log 2>&1", shell=True, check=False).returncode == 0
    assert len(Path("log").read_text().splitlines()) == 40


@pytest.mark.parametrize("option", OUTPUTS[:-1])
def test_an_empty_name_is_told(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = failed(capsys, "classify", "rows.jsonl", *CLASSIFY, option, "")
    assert f"{option} has no name; is a variable of the shell empty?" in said


@pytest.mark.parametrize("ending", ["run.json", "rejects.jsonl", "spool"])
@UNIX
def test_what_lies_beside_an_output_is_a_file(ending: str, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(f"o.jsonl.{ending}")
    for more in ([], ["--overwrite"]):
        assert "is no file, and " in failed(capsys, "classify", "rows.jsonl", *CLASSIFY, "-o", "o.jsonl", *more)
    assert Path(f"o.jsonl.{ending}").is_fifo()
    assert "is the name of a folder" in failed(capsys, "classify", "rows.jsonl", *CLASSIFY, "-o", "gone/")


@pytest.mark.parametrize("option", ["-o", "--summary", "--save-template"])
def test_the_models_and_words_that_come_along_are_never_written_over(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("templates", "verbalizers", "models"):
        shutil.copytree(where.folder(kind), tmp_path / kind, ignore=shutil.ignore_patterns("*.safetensors"))
    monkeypatch.setattr(where, "folder", lambda kind: tmp_path / kind)
    for name in ("models/bert/config.json", "templates/en-sentiment-mlm.yaml", "verbalizers/en-great-terrible.yaml"):
        before = Path(name).read_bytes()
        line = ["classify", "rows.jsonl", *CLASSIFY, "-m", "builtin:bert", option, name, "--overwrite"]
        said = failed(capsys, *line, *(["--format", "jsonl"] if option == "-o" else []))
        assert "this is what --template reads" in said or "this is a file of the model" in said
        assert Path(name).read_bytes() == before


@pytest.mark.parametrize("kind", ["templates", "verbalizers"])
def test_a_first_file_is_not_written_over_what_it_is_made_from(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("l.txt").write_text("good\nbad\n")
    more = ["--scorer", "mlm"] if kind == "templates" else []
    assert "this is what --labels reads" in failed(
        capsys, kind, "new", "l.txt", "--labels", "@l.txt", *more, "--overwrite"
    )
    assert Path("l.txt").read_text() == "good\nbad\n"


def test_a_library_behind_a_linked_folder_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    Path("real").mkdir()
    Path("lib").mkdir()
    os.symlink("../real", "lib/templates")
    text = 'scorer: mlm\ntext: "{mask} {text}"\nverbalizer: {labels: {positive: good, negative: bad}}\n'
    Path("real/mine.yaml").write_text(text)
    line = ["classify", "rows.jsonl", "-t", "mine", "--library", "lib", "--scorer", "fake", "-q"]
    assert "this is what --" in failed(capsys, *line, "--save-template", "real/mine.yaml", "--overwrite")
    assert Path("real/mine.yaml").read_text() == text


def test_standard_output_is_one_file_too(capsys: pytest.CaptureFixture[str]) -> None:
    said = failed(capsys, "classify", "rows.jsonl", *CLASSIFY, "-o", "-", "--summary", "-")
    assert "--output and --summary are standard output" in said
    assert run_command(["classify", "rows.jsonl", *CLASSIFY, "-o", "o.jsonl", "--summary", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 40
    assert run_command(["classify", "rejected.jsonl", *CLASSIFY, "-o", "p.jsonl", "--rejects", "-"]) == 3
    assert json.loads(capsys.readouterr().out)["raw"] == "{broken"
    assert not Path("-").exists()
    assert "--record is no file" in failed(capsys, "classify", "rows.jsonl", *CLASSIFY, "--record", "-")


@UNIX
def test_what_a_shell_has_opened_is_written_to_as_it_is() -> None:
    command = [sys.executable, "-m", "promptshot", "classify", "rows.jsonl", *CLASSIFY, "-o", "/dev/stdout"]
    with open("said", "a") as write:
        write.write(MINE)
        write.flush()
        subprocess.run(command, stdout=write, check=True)
    assert Path("said").read_text().startswith(MINE + '{"text":"meal 0"')
    assert len(Path("said").read_text().splitlines()) == 41
    assert not list(Path().glob("said.*"))


# ------------------------------------------------------------------ what exists


@pytest.mark.parametrize("option", OUTPUTS)
def test_what_exists_is_kept_unless_it_may_be_replaced(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("other").write_text(MINE)
    for name in ("rows.jsonl", "rejected.jsonl"):
        assert "other: exists already" in failed(capsys, "classify", name, *CLASSIFY, option, "other")
        assert Path("other").read_text() == MINE
    assert run_command(["classify", "rows.jsonl", *CLASSIFY, option, "other", "--overwrite"]) == 0
    assert not Path("other").exists() if option == "--rejects" else Path("other").read_text() != MINE


@pytest.mark.parametrize("ending", ["run.json", "rejects.jsonl"])
def test_what_lies_beside_an_output_is_kept_too(ending: str, capsys: pytest.CaptureFixture[str]) -> None:
    beside = Path(f"o.jsonl.{ending}")
    beside.write_text(MINE)
    assert str(beside) in failed(capsys, "classify", "rejected.jsonl", *CLASSIFY, "-o", "o.jsonl")
    assert beside.read_text() == MINE
    assert not Path("o.jsonl").exists()


def test_a_file_of_waiting_scores_is_only_ever_ours(capsys: pytest.CaptureFixture[str]) -> None:
    Path("pairs.jsonl").write_text('{"text_a": "a", "text_b": "b"}\n' * 9)
    Path("o.jsonl.spool").write_text(MINE)
    command = ["classify", "pairs.jsonl", "-t", "zh-entailment-nsp", "--scorer", "fake", "-q", "-o", "o.jsonl"]
    assert "o.jsonl.spool: exists already" in failed(capsys, *command)
    assert run_command(["classify", "rows.jsonl", *CLASSIFY, "-o", "o.jsonl", "--overwrite"]) == 0
    assert Path("o.jsonl.spool").read_text() == MINE, "that run has no use for it"
    assert run_command([*command, "--overwrite"]) == 0
    assert not Path("o.jsonl.spool").exists()


@pytest.mark.parametrize("option", OUTPUTS)
@pytest.mark.parametrize("more", [[], ["--overwrite"]])
@UNIX
def test_a_link_is_never_followed_nor_replaced(
    option: str, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    os.symlink("mine.txt", "link")
    os.symlink("nowhere", "dangling")
    for name in ("link", "dangling"):
        said = failed(capsys, "classify", "rows.jsonl", *CLASSIFY, option, name, *more)
        assert f"{name}: is a link to " in said
        assert Path(name).is_symlink()
    assert not Path("nowhere").exists()


@pytest.mark.parametrize("option", OUTPUTS)
@UNIX
def test_a_hard_link_to_what_is_replaced_keeps_what_it_says(option: str) -> None:
    os.link("mine.txt", "out")
    assert run_command(["classify", "rows.jsonl", *CLASSIFY, option, "out", "--overwrite"]) == 0


@pytest.mark.parametrize("option", OUTPUTS)
@UNIX
def test_a_folder_or_a_socket_is_no_output(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("folder").mkdir()
    assert "folder" in failed(capsys, "classify", "rows.jsonl", *CLASSIFY, option, "folder", "--overwrite")
    said = failed(capsys, "classify", "rows.jsonl", *CLASSIFY, option, "gone/out", "--overwrite")
    assert "no such folder" in said
    said = failed(capsys, "classify", "rows.jsonl", *CLASSIFY, option, "mine.txt/out", "--overwrite")
    assert "no such folder" in said


@UNIX
def test_a_replaced_file_keeps_its_rights() -> None:
    Path("o.jsonl").write_text(MINE)
    os.chmod("o.jsonl", 0o640)
    assert run_command(["classify", "rows.jsonl", *CLASSIFY, "-o", "o.jsonl", "--overwrite"]) == 0
    assert stat.S_IMODE(os.stat("o.jsonl").st_mode) == 0o640


def test_an_empty_file_is_written_to_unasked() -> None:
    for name in ("o.jsonl", "s.json", "r.jsonl", "t.yaml"):
        Path(name).touch()
    more = ["-o", "o.jsonl", "--summary", "s.json", "--rejects", "r.jsonl", "--save-template", "t.yaml"]
    assert run_command(["classify", "rejected.jsonl", *CLASSIFY, *more]) == 3
    assert all(Path(name).stat().st_size for name in ("o.jsonl", "s.json", "r.jsonl", "t.yaml"))


def test_the_same_command_again_finds_its_own_files_and_changes_none() -> None:
    more = ["-o", "o.jsonl", "--summary", "s.json", "--rejects", "r.jsonl", "--save-template", "t.yaml"]
    command = ["classify", "rejected.jsonl", *CLASSIFY, *more]
    assert run_command(command) == 3
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    assert run_command(command) == 3
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before


def test_a_longer_run_replaces_the_summary_of_its_own_shorter_one(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["classify", "rows.jsonl", *CLASSIFY, "-o", "o.jsonl", "--summary", "s.json"]
    assert run_command([*command, "-n", "10"]) == 0
    assert run_command([*command, "-n", "20"]) == 0
    assert json.loads(Path("s.json").read_text())["rows"] == 20
    Path("s.json").write_text(MINE)
    assert "s.json: exists already" in failed(capsys, *command, "-n", "30")
    assert "s.json: exists already" in failed(capsys, *command, "-n", "20")
    assert Path("s.json").read_text() == MINE


@pytest.mark.parametrize(
    "command",
    [
        ["compare", "rows.jsonl", *CLASSIFY, "-o"],
        ["diff", "a.jsonl", "b.jsonl", "-o"],
        ["report", "a.jsonl", "--summary"],
        ["templates", "new", "--scorer", "mlm", "--labels", "a=good,b=bad"],
        ["verbalizers", "new", "--labels", "a=good,b=bad"],
    ],
)
@pytest.mark.parametrize("name", ["x.json", "x.csv"])
@UNIX
def test_the_rule_is_that_of_every_command(command: list[str], name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for out in ("a.jsonl", "b.jsonl"):
        assert run_command(["classify", "rows.jsonl", *CLASSIFY, "-o", out]) == 0
    capsys.readouterr()
    for path in (name, "mine.txt"):
        Path(path).write_text(MINE)
    assert f"{name}: exists already" in failed(capsys, *command, name)
    if command[0] == "report" and name == "x.csv":
        assert "x.csv: --summary is one text of JSON; write .json" in failed(capsys, *command, name, "--overwrite")
        assert Path(name).read_text() == MINE
        return
    os.symlink("mine.txt", "link.json")
    assert "link.json: is a link to" in failed(capsys, *command, "link.json", "--overwrite")
    assert "gone" in failed(capsys, *command, "gone/x.json")
    read = {"compare": "rows.jsonl", "diff": "b.jsonl.run.json", "report": "a.jsonl.run.json"}.get(command[0])
    if read:
        assert "this is the input" in failed(capsys, *command, read, "--overwrite")
    os.unlink(name)
    os.link("mine.txt", name)
    assert run_command([*command, name, "--overwrite"]) == 0
    assert Path(name).read_text() != MINE
    assert run_command([*command, "-"]) == 0


def test_a_comparison_leaves_no_predictions_of_an_earlier_one_and_touches_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    compare = ["compare", "rejected.jsonl", "--scorer", "fake", "-q", "--predictions", "said"]
    shelf = ["en-sentiment-mlm", "en-film-mlm", "en-opinion-mlm"]
    assert run_command([*compare, *(part for name in shelf[:2] for part in ("-t", name))]) == 3
    assert len(list(Path("said").iterdir())) == 9, "two and their ensemble, each with record and rejects"
    for name in ("01-notes.txt", "12-mine.jsonl"):
        Path("said", name).write_text(MINE)
    assert run_command([*compare, "-t", shelf[0], "--overwrite"]) == 3
    assert sorted(path.name for path in Path("said").iterdir()) == [
        "01-en-sentiment-mlm.jsonl",
        "01-en-sentiment-mlm.jsonl.rejects.jsonl",
        "01-en-sentiment-mlm.jsonl.run.json",
        "01-notes.txt",
        "12-mine.jsonl",
    ]
    before = Path("said/01-en-sentiment-mlm.jsonl").read_bytes()
    again = ["compare", "said/01-en-sentiment-mlm.jsonl", *CLASSIFY, "--predictions", "said", "--overwrite"]
    assert "this is the input" in failed(capsys, *again)
    assert Path("said/01-en-sentiment-mlm.jsonl").read_bytes() == before


def test_no_leaderboard_stands_among_the_predictions_and_two_comparisons_do_not_mix(
    capsys: pytest.CaptureFixture[str],
) -> None:
    compare = ["compare", "rows.jsonl", *CLASSIFY, "--predictions", "said"]
    Path("said").mkdir()
    for name in ("said/board.json", "./said/../said/01-en-sentiment-mlm.jsonl"):
        assert "lies in the folder of --predictions" in failed(capsys, *compare, "-o", name, "--overwrite")
    assert not list(Path("said").iterdir())
    folder = Folder(Path("said"))
    assert "another run is writing into this folder" in failed(capsys, *compare)
    folder.close()
    assert run_command(compare) == 0


def test_a_long_text_for_a_template_makes_a_name_that_a_disk_can_hold() -> None:
    text = "{mask}满意。" + "这家店的早餐和房间都很好，" * 12 + "{text}"
    Path("zh.jsonl").write_text('{"text": "好", "label": "很"}\n{"text": "坏", "label": "不"}\n', encoding="utf-8")
    Path("v.yaml").write_text("labels: {很: 很, 不: 不}\n", encoding="utf-8")
    command = ["compare", "zh.jsonl", "-t", text, "--verbalizer", "./v.yaml", "--scorer", "fake", "-q"]
    assert run_command([*command, "--predictions", "said"]) == 0
    assert len(list(Path("said").iterdir())) == 2


def test_a_run_finds_its_files_under_another_name_of_theirs(tmp_path: Path) -> None:
    command = ["classify", "rejected.jsonl", *CLASSIFY]
    for one, other in (
        (["-o", "a.jsonl"], ["-o", f"{tmp_path}/a.jsonl"]),
        (
            ["-o", "b.jsonl", "--rejects", "r.jsonl"],
            ["-o", "./b.jsonl", "--rejects", f"{tmp_path}/r.jsonl"],
        ),
    ):
        assert run_command([*command, *one, "-n", "10"]) == 0
        assert run_command([*command, *other]) == 3
        before = {path.name: path.read_bytes() for path in Path().iterdir()}
        assert run_command([*command, *one]) == 3
        assert {path.name: path.read_bytes() for path in Path().iterdir()} == before


def test_words_that_a_template_names_are_read_too(capsys: pytest.CaptureFixture[str]) -> None:
    Path("t.yaml").write_text('scorer: mlm\ntext: "{mask} {text}"\nverbalizer: ./words.yaml\n')
    words = "labels: {positive: good, negative: bad}\n"
    Path("words.yaml").write_text(words)
    for command in ("classify", "compare"):
        line = [command, "rows.jsonl", "-t", "./t.yaml", "--scorer", "fake", "-q", "-o", "words.yaml", "--overwrite"]
        line += ["--format", "jsonl"]
        assert "words.yaml: this is what --template reads" in failed(capsys, *line)
        assert Path("words.yaml").read_text() == words


# ------------------------------------------------------------------ the parts


def test_a_file_is_put_whole_and_only_where_it_may() -> None:
    files.put("a.json", "one")
    files.put("a.json", "one")
    with pytest.raises(InputError, match=r"a\.json: exists already; use --overwrite"):
        files.put("a.json", "two")
    files.put("a.json", "two", replace=True)
    assert Path("a.json").read_text() == "two"


def test_a_name_as_long_as_a_disk_takes_is_replaced_whole() -> None:
    name = "n" * 255
    files.put(name, "one")
    files.put(name, "two", replace=True)
    assert Path(name).read_text() == "two"
    with pytest.raises(InputError, match="cannot be written"):
        files.put("n" * 256, "one")


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("/dev/stdout", 1),
        ("/dev/fd/7", 7),
        ("/proc/self/fd/12", 12),
        ("a.jsonl", None),
        ("-", None),
        ("/dev/null", None),
    ],
)
def test_the_names_of_open_files_are_known(path: str, number: int | None) -> None:
    assert files.descriptor(path) == number


@UNIX
def test_a_link_to_the_name_of_an_open_file_is_one() -> None:
    os.symlink("/dev/stdin", "one")
    os.symlink("one", "two")
    assert (files.descriptor("two"), files.is_file("two")) == (0, False)
    os.symlink("loop", "loop")
    assert files.descriptor("loop") is None


def test_files_of_the_system_are_never_written(capsys: pytest.CaptureFixture[str]) -> None:
    if Path("/proc/self/status").exists():
        with pytest.raises(PromptshotError, match="is a file of the system"):
            files.check([Named("--output", "/proc/self/status")], [])


def test_a_folder_that_was_moved_goes_on(tmp_path: Path) -> None:
    for more in ([], ["--rejects", "r.jsonl"], ["--record", "r.json"], ["--record", "../r.json", "--rejects", "../r"]):
        for name in ("one", "other"):
            shutil.rmtree(name, ignore_errors=True)
        Path("one/in").mkdir(parents=True)
        shutil.copy("rejected.jsonl", "one/in/rows.jsonl")
        command = [sys.executable, "-m", "promptshot", "classify", "rows.jsonl", *CLASSIFY, "-o", "o.jsonl", *more]
        assert subprocess.run([*command, "-n", "20"], cwd="one/in", check=False).returncode == 0
        shutil.move("one", "other")
        assert subprocess.run(command, cwd="other/in", check=False).returncode == 3
        again = [*command[:4], f"{tmp_path}/other/in/rows.jsonl", *command[5:]]
        assert subprocess.run(again, cwd="other/in", check=False).returncode == 3


def test_predictions_that_were_changed_or_copied_are_no_comparisons_any_more(
    capsys: pytest.CaptureFixture[str],
) -> None:
    compare = ["compare", "rows.jsonl", *CLASSIFY, "--predictions", "said"]
    assert run_command(compare) == 0
    for ending in ("", ".run.json"):
        shutil.copy(f"said/01-en-sentiment-mlm.jsonl{ending}", f"said/07-copy.jsonl{ending}")
    assert run_command([*compare, "--overwrite"]) == 0
    assert Path("said/07-copy.jsonl").exists()
    with open("said/01-en-sentiment-mlm.jsonl", "a") as file:
        file.write(MINE)
    said = failed(capsys, *compare, "--overwrite")
    assert "01-en-sentiment-mlm.jsonl: has been changed since it was written; move it away first" in said
    assert Path("said/01-en-sentiment-mlm.jsonl").read_text().endswith(MINE)
