"""A few of the folders that `make chaos` makes two hundred of: hostile, broken and sloppy models."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import strangers

from promptshot.errors import ModelError
from promptshot.scorers import load, load_tokenizer
from promptshot.scoring import ModelOptions

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="makes processes with limits of Linux")
FEW = {"no file": 3, "shards": 3, "size": 2, "length": 2}  # of the others, 1


@pytest.mark.torch
@pytest.mark.parametrize("kind", strangers.KINDS)
def test_a_hostile_folder_ends_in_a_line_or_does_no_harm(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = strangers.chaos(FEW.get(kind, 1), seed=3, only=kind)
    assert not [outcome for _, outcome in found if outcome.bad], capsys.readouterr().out
    assert kind in strangers.table(found)


def test_the_same_number_is_the_same_folder(tmp_path: Path) -> None:
    for number in range(2 * len(strangers.KINDS)):
        one, other = (strangers.broken(number, seed=5) for _ in range(2))
        assert (one.kind, one.said, one.model) == (other.kind, other.said, other.model)
    assert {strangers.broken(number, 5).kind for number in range(len(strangers.KINDS))} == set(strangers.KINDS)


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("raise KeyError('x')", "traceback"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL"),
        ("import time; time.sleep(60)", "hang"),
        ("bytearray(strangers.MEMORY * 2)", "traceback"),
        ("import socket; socket.create_connection(('localhost', 9))", "network"),
    ],
)
def test_what_should_not_happen_is_seen(code: str, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from promptshot import cli

    monkeypatch.setattr(strangers, "SECONDS", 2.0)
    monkeypatch.setattr(cli, "run_command", lambda arguments: exec(code, {"strangers": strangers}) or 0)
    outcome = strangers.run([], tmp_path / "model")
    assert outcome.bad
    assert outcome.word == word or (word == "network" and outcome.word == "traceback")
    assert strangers.run([], tmp_path / "model").seconds < 20


@pytest.mark.torch
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "vocab.txt", "additional_chat_templates/x.jinja"])
def test_a_pipe_among_the_files_is_named_and_never_opened(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    strangers.make(strangers.Broken("", "", "bert", lambda folder: None), folder)
    path = folder / name
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)
    for load_it in (lambda: load("mlm", ModelOptions(str(folder))), lambda: load_tokenizer(ModelOptions(str(folder)))):
        with pytest.raises(ModelError, match="a pipe, not a file") as caught:
            load_it()
        assert caught.value.where == str(path)
