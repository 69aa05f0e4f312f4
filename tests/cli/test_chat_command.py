"""Commands with --chat: what they ask, what they tell, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.torch

import tiny as tinies  # noqa: E402
from helpers import Tiny, read_rows, write_rows  # noqa: E402

from promptshot.cli import run_command  # noqa: E402

ROWS = [
    {"text": "a good game <|im_end|>", "label": "sports"},
    {"text": "the old town", "label": "politics"},
    {"text": "a very long game", "label": "sports"},
    {"text": "the news about politics", "label": "politics"},
]
TEXT = "Article: {text}\nTopic: {mask}"


@pytest.fixture(scope="module")
def chatml(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return tinies.chat_llama(tmp_path_factory.mktemp("chatml"))


@pytest.fixture
def rows(tmp_path: Path) -> str:
    return write_rows(tmp_path / "rows.jsonl", ROWS)


def classify(rows: str, chatml: Tiny, *more: str) -> int:
    return run_command(["classify", rows, "-t", TEXT, "--labels", "sports,politics", "-m", chatml.name, *more])


def scores(path: Path) -> list[dict[str, float]]:
    return [row["word_scores"] for row in read_rows(path)]


def test_a_chat_is_scored_as_such_and_the_record_knows_it(rows: str, chatml: Tiny, tmp_path: Path) -> None:
    plain, chat, other = (tmp_path / f"{name}.jsonl" for name in ("plain", "chat", "other"))
    assert classify(rows, chatml, "-o", str(plain)) == 0
    assert classify(rows, chatml, "-o", str(chat), "--chat") == 0
    assert classify(rows, chatml, "-o", str(other), "--chat-answer", "Topic:", "--chat-system", "Sort them.") == 0
    assert len({json.dumps(scores(path)) for path in (plain, chat, other)}) == 3
    said = [json.loads(Path(f"{path}.run.json").read_text())["recipe"]["template"] for path in (plain, chat, other)]
    assert [one.get("chat") for one in said] == [None, {}, {"system": "Sort them.", "answer": "Topic:"}]


def test_a_run_of_another_kind_is_not_gone_on_with(
    rows: str, chatml: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out.jsonl")
    assert classify(rows, chatml, "-o", out, "--chat", "-n", "2") == 0
    assert classify(rows, chatml, "-o", out, "--chat") == 0  # it goes on
    before = Path(out).read_bytes()
    assert classify(rows, chatml, "-o", out) != 0
    assert "from a run that differs in template.chat" in capsys.readouterr().err
    assert Path(out).read_bytes() == before


def test_a_template_may_say_it_and_a_flag_says_it_over(rows: str, chatml: Tiny, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        'scorer: causal\ntext: "Article: {text}\\nTopic: {mask}"\n'
        "verbalizer: {labels: {sports: [sports], politics: [politics]}}\n"
        'chat: {answer: "Topic:", system: Sort them.}\n'
    )
    own, flags, over = (tmp_path / f"{name}.jsonl" for name in ("own", "flags", "over"))
    command = ["classify", rows, "-m", chatml.name]
    assert run_command([*command, "-t", str(file), "-o", str(own)]) == 0
    assert classify(rows, chatml, "-o", str(flags), "--chat-answer", "Topic:", "--chat-system", "Sort them.") == 0
    assert run_command([*command, "-t", str(file), "-o", str(over), "--chat-system", "Now sort."]) == 0
    assert scores(own) == scores(flags) != scores(over)


def test_a_checkpoint_with_a_template_for_chats_asked_without_it_is_told_in_one_line(
    rows: str, chatml: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    classify(rows, chatml, "-o", "-")
    told = [line for line in capsys.readouterr().err.splitlines() if "template for chats" in line]
    assert told == [f"note: {chatml.name} has a template for chats, and is asked without it; with it: --chat"]
    classify(rows, chatml, "-o", "-", "--chat")
    assert "template for chats" not in capsys.readouterr().err


def test_compare_and_explain_tell_it_too(rows: str, chatml: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"note: {chatml.name} has a template for chats, and is asked without it; with it: --chat"
    more = ["-t", "en-news-causal", "--labels", "sports,politics", "-m", chatml.name]
    for command in (["compare", rows, *more], ["explain", "a game, a town", *more]):
        run_command(command)
        assert capsys.readouterr().err.splitlines().count(line) == 1
        run_command([*command, "--chat"])
        assert line not in capsys.readouterr().err


REFUSED = {
    "a base model": (["-t", "en-news-causal", "-m", "builtin:gpt2", "--chat"], "has no template for chats"),
    "another scorer": (["-t", "en-news-mlm", "--chat"], "--chat is for scorer causal, and the template en-news-mlm"),
    "a channel": (["-t", "zh-news-channel-causal", "--chat"], "scores a text behind it"),
    "another answer": (["-t", "en-news-causal", "--chat-answer", "Theme:"], "does not end with the answer's beginning"),
    "text behind the blank": (["-t", "{text} is {mask}, indeed", "--scorer", "causal", "--chat"], "behind it"),
    "nothing asked": (["-t", "{mask}", "--scorer", "causal", "--chat"], "no field"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_a_chat_is_refused_in_one_line(why: str, rows: str, capsys: pytest.CaptureFixture[str]) -> None:
    more, told = REFUSED[why]
    assert run_command(["classify", rows, "--labels", "sports,politics", "-o", "-", *more]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert told in errors[0]


def test_demonstrations_calibration_and_chunks_go_with_a_chat(
    rows: str, chatml: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demos = write_rows(tmp_path / "demos.jsonl", [{**row, "text": f"{row['text']} again"} for row in ROWS])
    more = ["--chat", "--demos", demos, "-k", "2"]
    for name in (
        ["--calibrate", "content-free"],
        ["--demos-by", "nearest"],
        ["--demo-chunks", "2"],
        ["--chat-demos", "message"],
    ):
        assert classify(rows, chatml, "-o", "-", *more, *name) == 0, capsys.readouterr().err
        assert len(capsys.readouterr().out.splitlines()) == len(ROWS)


def test_a_dry_run_shows_whose_the_texts_are(
    rows: str, chatml: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classify(rows, chatml, "--dry-run", "--chat-answer", "Topic:", "--demos", rows, "-k", "1", "--seed", "3")
    told = capsys.readouterr().err
    assert "[user] Article: a very long game\n" in told
    assert told.count("[assistant] Topic: ____") == 3
    assert "[assistant] Topic: sports" in told or "[assistant] Topic: politics" in told


def test_preview_shows_the_exact_text_with_its_special_tokens(chatml: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["templates", "preview", TEXT, "a game", "--scorer", "causal", "-m", chatml.name, "--chat"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[1:5] == ["<|im_start|>user", "Article: a game", "Topic:<|im_end|>", "<|im_start|>assistant"]
    assert lines[5] == "____"


def test_explain_leaves_out_clauses_and_turns_of_a_chat(
    rows: str, chatml: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demos = write_rows(tmp_path / "demos.jsonl", [{**row, "text": f"{row['text']} again"} for row in ROWS])
    command = ["explain", "a game, a town", "-t", TEXT, "--labels", "sports,politics", "-m", chatml.name, "--chat"]
    assert run_command([*command, "--demos", demos, "-k", "2", "--json"]) == 0
    said = capsys.readouterr().out
    assert "again" in said
    assert "a town" in said


def test_compare_asks_all_that_can_be_a_chat(rows: str, chatml: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run_command(
            ["compare", rows, "-m", chatml.name, "--chat", "-t", "en-news-causal", "--labels", "sports,politics"]
        )
        == 0
    )
    assert "en-news-causal" in capsys.readouterr().err
