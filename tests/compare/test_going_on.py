"""A comparison that was stopped goes on, and templates of equal text are run once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from helpers import write_rows

from promptshot.cli import run_command
from promptshot.compare import bench, compare, folder, memory
from promptshot.compare import candidates as candidates_module
from promptshot.compare.candidates import Candidate
from promptshot.rows.read import read
from promptshot.scorers.fake import FakeScorer
from promptshot.scoring import Kind, Piece, Prompt, Scored

NAMES = ("zh-sentiment-mlm", "zh-sentiment-good-mlm", "zh-sentiment-nsp", "zh-sentiment-causal")
TEMPLATES = [part for name in NAMES for part in ("-t", name)]
PAIRS = ["-t", "zh-entailment-mlm", "-t", "zh-entailment-nsp", "-t", "zh-entailment-causal"]


class Tiring(FakeScorer):
    """Stops for good once it was called so often; what it was asked is counted."""

    left: ClassVar[int] = 10**9
    prompts: ClassVar[list[Prompt]] = []

    def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
        if Tiring.left == 0:
            raise KeyboardInterrupt
        Tiring.left -= 1
        Tiring.prompts += prompts
        return super().score(prompts)


@pytest.fixture(autouse=True)
def rested() -> Iterator[None]:
    Tiring.left, Tiring.prompts = 10**9, []
    yield
    Tiring.left = 10**9


@pytest.fixture
def rows(tmp_path: Path) -> str:
    lines: list[Any] = [{"text": f"第{i}条评论", "label": "Positive" if i % 3 else "Negative"} for i in range(40)]
    lines[7] = {"text": "", "label": "Negative"}  # rejected by each
    return write_rows(tmp_path / "rows.jsonl", lines)


def run(*arguments: str) -> int:
    return run_command(["compare", *arguments, "--scorer", "test_going_on:Tiring"])


def said(place: Path) -> dict[str, Any]:
    """What a folder, or a leaderboard, says, but for how long things took."""
    paths = sorted(place.iterdir()) if place.is_dir() else [place]
    return {path.name: _timeless(path) for path in paths if not path.name.startswith(".")}


def _timeless(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    return _without(json.loads(text)) if path.suffix == ".json" else text


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        times = ("seconds", "rows_per_second", "checksum")
        return {key: _without(item) for key, item in value.items() if key not in times}
    return [_without(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("calls", [1, 2, 5])
def test_a_comparison_that_is_stopped_again_and_again_ends_as_one_that_never_was(
    calls: int, rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "WINDOW", 16)
    whole = ["-q", "--predictions", str(tmp_path / "whole"), "-o", str(tmp_path / "whole.json")]
    assert run(rows, *TEMPLATES, *whole) == 3
    asked = len(Tiring.prompts)
    command = [rows, *TEMPLATES, "-q", "--predictions", str(tmp_path / "again"), "-o", str(tmp_path / "again.json")]
    Tiring.prompts.clear()
    codes = []
    while not codes or codes[-1] == 130:
        Tiring.left = calls
        codes.append(run(*command))
    assert codes == [130] * (4 * 3 // calls - (4 * 3 % calls == 0)) + [3]  # windows of four candidates
    assert len(Tiring.prompts) == asked
    assert said(tmp_path / "again") == said(tmp_path / "whole")
    assert said(tmp_path / "again.json").popitem()[1] == said(tmp_path / "whole.json").popitem()[1]


def test_ranked_pairs_go_on_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "WINDOW", 8)
    labels = ("entailment", "neutral", "contradiction")
    lines = [{"sentence1": f"他在家{i}。", "sentence2": f"他不在{i}。", "label": labels[i % 3]} for i in range(30)]
    rows = write_rows(tmp_path / "rows.jsonl", lines)
    assert run(rows, *PAIRS, "-q", "--predictions", str(tmp_path / "whole")) == 0
    Tiring.left = 6  # in the second candidate, which ranks all rows
    assert run(rows, *PAIRS, "-q", "--predictions", str(tmp_path / "again")) == 130
    Tiring.left = 10**9
    assert run(rows, *PAIRS, "-q", "--predictions", str(tmp_path / "again")) == 0
    assert said(tmp_path / "again") == said(tmp_path / "whole")


@pytest.mark.parametrize("name", ["put", "Writer"])
def test_what_a_stop_left_half_written_is_written_anew(
    name: str, rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [rows, *TEMPLATES, "-q", "--predictions"]
    assert run(*command, str(tmp_path / "whole")) == 3

    def stopped(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(folder.files if name == "put" else folder.Writer, "put" if name == "put" else "close", stopped)
        assert run(*command, str(tmp_path / "again")) == 130
    left = {path.name for path in (tmp_path / "again").iterdir()}
    assert {"01-zh-sentiment-mlm.jsonl", "01-zh-sentiment-mlm.jsonl.scores"} <= left
    assert "01-zh-sentiment-mlm.jsonl.run.json" not in left
    asked = len(Tiring.prompts)
    assert run(*command, str(tmp_path / "again")) == 3
    assert len(Tiring.prompts) - asked == 3 * 39  # of the first one all scores were there
    assert said(tmp_path / "again") == said(tmp_path / "whole")


def test_the_same_command_again_scores_nothing_and_another_template_joins(
    rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [rows, *TEMPLATES[:4], "--predictions", str(tmp_path / "f")]
    assert run(*command) == 3
    first = said(tmp_path / "f")
    Tiring.prompts.clear()
    assert run(*command) == 3
    assert Tiring.prompts == []
    assert "1 of 2 zh-sentiment-mlm:" in capsys.readouterr().err
    assert said(tmp_path / "f") == first
    assert run(*command, "-t", "zh-sentiment-causal") == 3
    assert len(Tiring.prompts) == 39
    assert {name: said(tmp_path / "f")[name] for name in first} == first
    assert "04-zh-sentiment-causal.jsonl" in said(tmp_path / "f")
    assert "scored before" in capsys.readouterr().err
    Tiring.prompts.clear()
    assert run(*command, "-t", "zh-sentiment-ideal-mlm") == 3
    assert len(Tiring.prompts) == 3 * 39  # the new one, and those whose scores the new ensemble needs
    assert "06-ensemble-of-3-mlm.jsonl" in said(tmp_path / "f")


def test_other_rows_or_other_things_in_the_folder_are_refused_in_one_line(
    rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["-q", *TEMPLATES[:4], "--predictions", str(tmp_path / "f")]
    assert run(rows, *command) == 3
    other = write_rows(tmp_path / "other.jsonl", [{"text": f"别的{i}", "label": "Positive"} for i in range(9)])
    assert run(other, *command) == 1
    assert capsys.readouterr().err.count("\n") == 1
    before = said(tmp_path / "f")
    assert run(rows, *command, "-n", "20") == 1
    assert "has the predictions of other rows" in capsys.readouterr().err
    assert said(tmp_path / "f") == before
    (tmp_path / "f" / "notes.txt").write_text("mine")
    assert run(rows, *command) == 1
    assert "the folder is not empty" in (line := capsys.readouterr().err)
    assert "notes.txt" in line
    assert run(other, *command, "--overwrite") == 0
    assert (tmp_path / "f" / "notes.txt").read_text() == "mine"


def test_predictions_that_somebody_has_changed_are_not_gone_on_with(
    rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [rows, "-q", *TEMPLATES[:4], "--predictions", str(tmp_path / "f")]
    assert run(*command) == 3
    file = tmp_path / "f" / "01-zh-sentiment-mlm.jsonl"
    file.write_text(file.read_text(encoding="utf-8").replace("positive", "negative"), encoding="utf-8")
    assert run(*command) == 1
    assert "has been changed since it was written" in capsys.readouterr().err


def test_a_leaderboard_that_was_changed_is_left_alone(
    rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "b.json"
    command = [rows, "-q", *TEMPLATES[:4], "--predictions", str(tmp_path / "f"), "-o", str(out)]
    assert run(*command) == 3
    assert run(*command) == 3  # it is the comparison's own
    out.write_text("mine")
    assert run(*command) == 1
    assert "exists already" in capsys.readouterr().err
    assert out.read_text() == "mine"


# ------------------------------------------------------------------ equal texts


def candidates(rows: str, *words: str) -> list[Candidate]:
    axes = candidates_module.Axes(scorer="test_going_on:Tiring")
    found, _ = candidates_module.candidates(list(read([rows])), NAMES[:1], verbalizers=words, axes=axes)
    return found


def test_templates_of_equal_text_are_scored_once_for_all_their_words(rows: str) -> None:
    words = ("zh-satisfied", "zh-good-bad")
    found = compare.compare(compare.Plan(candidates(rows, *words), list(read([rows]))))
    assert len(Tiring.prompts) == 39
    assert {len(prompt.choices) for prompt in Tiring.prompts} == {4}
    for entry in found.entries[:2]:
        alone = compare.compare(compare.Plan([entry.candidate], list(read([rows]))))
        assert alone.entries[0].right == entry.right
        assert alone.entries[0].result.state() == replace(entry.result, seconds=alone.entries[0].result.seconds).state()


def test_rows_that_are_cut_or_fail_are_asked_again_for_each(rows: str) -> None:
    class Cutting(FakeScorer):
        def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
            asked.extend(len(prompt.choices) for prompt in prompts)
            found = super().score(prompts)
            return [
                replace(one, cut=3)
                if "cut" in prompt.text()
                else Scored(error="bad")
                if "bad" in prompt.text()
                else one
                for prompt, one in zip(prompts, found, strict=True)
            ]

    asked: list[int] = []
    texts = ("fine", "cut", "bad", "fine")
    prompts = [Prompt((Piece(Kind.FIELD, text), Piece(Kind.MASK)), ("a", "b")) for text in texts]
    ask = memory.Memory(["a", "b", "c", "b"]).asking(scorer := Cutting())
    assert ask(prompts) == scorer.score(prompts)
    assert asked[:3] == [3, 3, 3]  # each text once, for all words
    asked.clear()
    others = [replace(prompt, choices=("c",)) for prompt in prompts]
    expected = scorer.score(others)
    asked.clear()
    assert ask(others) == expected
    assert asked == [1, 1]  # those that cannot be told


def test_demonstrations_pairs_and_words_of_the_row_share_nothing(rows: str) -> None:
    axes = candidates_module.Axes(scorer="fake", shots=(2,), demos=rows)
    items = list(read([rows]))
    words = ("zh-satisfied", "zh-good-bad")
    shown, _ = candidates_module.candidates(items, NAMES[:1], verbalizers=words, axes=axes)
    assert memory.memories(shown) == {}
    assert len(memory.memories(candidates(rows, *words))) == 2
