"""The scorer without a model, and how scorers are found by name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import pytest
from helpers import prompt_of

from promptshot.cli import run_command
from promptshot.errors import NotFoundError, OptionError
from promptshot.scorers import load
from promptshot.scorers.fake import FakeScorer
from promptshot.scoring import Checkpoint, ModelOptions


def test_fake_scores_depend_on_the_text_and_the_word_only() -> None:
    one, other = prompt_of([("很", "a")], ["好", "不好"]), prompt_of([("很", "b")], ["好", "不好"])
    first = FakeScorer().score([one, other])
    assert FakeScorer(ModelOptions("any")).score([other, one]) == first[::-1]
    assert len({score for scored in first for score in scored.scores}) == 4
    assert all(-10 < score < 0 for scored in first for score in scored.scores)
    assert first[0].tokens == (1, 2)


def test_fake_scores_exist_for_text_that_is_not_unicode() -> None:
    assert FakeScorer().score([prompt_of([("", "\ud800")], ["a"])])[0].error is None


def test_a_scorer_is_found_by_its_name_or_as_module_and_class() -> None:
    assert isinstance(load("fake", ModelOptions()), FakeScorer)
    assert isinstance(load("promptshot.scorers.fake:FakeScorer", ModelOptions()), FakeScorer)


def test_an_unknown_scorer_is_named_with_the_nearest_one() -> None:
    with pytest.raises(NotFoundError, match="did you mean 'causal'"):
        load("casual", ModelOptions())


@pytest.mark.parametrize("name", ["no.such.module:Thing", "promptshot.scorers.fake:Nothing", ":Thing"])
def test_a_third_party_scorer_that_is_not_there_is_an_option_error(name: str) -> None:
    with pytest.raises(OptionError, match="cannot be loaded"):
        load(name, ModelOptions())


@pytest.mark.parametrize(
    "name",
    [
        ".a:b",
        "..:b",
        "a:",
        ":",
        "a:b:c",
        "a b:c",
        "a/b:c",
        "a..b:c",
        "1a:b",
        "a:b.c",
        "a\nb:c",
        "a:" + "b" * 5000,
        "\0:b",
    ],
)
def test_a_scorer_that_is_no_name_of_a_class_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OptionError, match="cannot be loaded") as caught:
        load(name, ModelOptions())
    assert caught.value.hint == "write it as package.module:Class"
    assert len(str(caught.value)) < 300
    rows = str(Path(__file__).parents[2] / "examples" / "zh-reviews.jsonl")
    for command in (["classify", rows], ["compare", rows, "-t", "zh-sentiment-mlm", "-t", "zh-judgement-mlm"]):
        assert run_command([*command, "--scorer", name]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.splitlines()[-1].startswith("error: ")


class Leaving:
    """A scorer that ends the process when it is made."""

    def __init__(self, options: ModelOptions) -> None:
        raise SystemExit(0)

    def score(self, prompts: object) -> None: ...


class Left(FakeScorer):
    """A scorer that ends the process when it scores, as one whose own command line is at fault does."""

    def score(self, prompts: object) -> NoReturn:  # type: ignore[override]
        raise SystemExit("no key")


def test_a_third_party_scorer_that_would_end_the_process_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "leaver.py").write_text("import sys; sys.exit(0)", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "r.jsonl").write_text('{"text": "a"}\n', encoding="utf-8")
    for name in ("leaver:Thing", "test_scorers_fake:Leaving", "test_scorers_fake:Left"):
        base = ["classify", str(tmp_path / "r.jsonl"), "-t", "zh-sentiment-mlm"]
        assert run_command([*base, "--scorer", name]) == 1
        assert "SystemExit" in capsys.readouterr().err.splitlines()[-1]


class Unready:
    """A scorer whose own set-up fails."""

    def __init__(self, options: ModelOptions) -> None:
        raise KeyError("API_KEY")

    def score(self, prompts: object) -> None: ...


@pytest.mark.parametrize("code", ["1 +", "raise RuntimeError('no licence')", "import no_such_thing"])
def test_a_third_party_scorer_that_cannot_be_imported_or_made_is_an_option_error(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "somebodys.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "somebodys", raising=False)
    for name, said in (("somebodys:Thing", "somebodys:Thing"), ("test_scorers_fake:Unready", "KeyError: 'API_KEY'")):
        with pytest.raises(OptionError, match="cannot be loaded") as caught:
            load(name, ModelOptions())
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)


def test_the_fake_scorer_is_no_checkpoint_and_options_are_plain_data() -> None:
    assert not isinstance(FakeScorer(), Checkpoint)
    assert ModelOptions("m").as_dict()["model"] == "m"
