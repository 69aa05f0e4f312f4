"""The doctor finds a sound checkpoint sound, and tells what is wrong with one that is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from promptshot import doctor
from promptshot.cli import run_command
from promptshot.doctor import Finding, examine
from promptshot.prompts import Prompt
from promptshot.scorers import ModelOptions, Scored
from promptshot.scorers.fake import FakeScorer

BERT = Path(__file__).parent.parent / "models" / "bert"


def found(kind: str, options: ModelOptions | None = None) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine(kind, options or ModelOptions())}


@pytest.mark.parametrize("kind", doctor.KINDS)
def test_the_built_in_models_are_sound(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = found(kind)
    assert list(seen) == ["head", "canaries", "alone = in a batch", "fast = plain"]
    assert {finding.verdict for finding in seen.values()} == {"ok"}


def test_random_weights_fail_the_canaries(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.AutoConfig.from_pretrained(BERT)
    transformers.BertForMaskedLM(config).save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(BERT).save_pretrained(tmp_path)
    assert run_command(["doctor", "-m", str(tmp_path), "--scorer", "mlm"]) == 3


class Mixed(FakeScorer):
    """A scorer whose scores depend on what else is in the batch."""

    def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
        return [
            replace(scored, scores=tuple(score + len(prompts) / 1000 for score in scored.scores))
            for scored in super().score(prompts)
        ]


class Failing(FakeScorer):
    def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
        return [Scored(error="a score is not finite")] * len(prompts)


def test_scores_that_depend_on_the_batch_are_found() -> None:
    seen = found("test_doctor:Mixed")
    assert seen["alone = in a batch"].verdict == "failed"
    assert "tolerance 0.0001" in seen["alone = in a batch"].said
    assert seen["canaries"].verdict == "failed"


def test_a_scorer_that_gives_no_scores_is_found() -> None:
    assert found("test_doctor:Failing")["scores"] == Finding("scores", "failed", "a score is not finite")


def test_lower_precision_is_compared_with_float32() -> None:
    seen = found("nsp", ModelOptions(dtype="bfloat16"))
    assert seen["bfloat16 = float32"].verdict == "ok"


def test_a_checkpoint_is_examined_for_every_head_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["doctor", "-m", str(BERT)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines if line[:1].strip()] == ["mlm", "nsp", "causal", "sound"]
    assert "causal  note    head                  a bert model does not read from left to right" in lines


def test_no_checkpoint_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["doctor", "-m", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_tuning_times_budgets_and_names_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "BUDGETS", (256, 1024))
    monkeypatch.setattr(doctor, "examine", lambda *_: iter(()))
    assert run_command(["doctor", "--scorer", "mlm", "--tune"]) == 0
    out = capsys.readouterr().err
    assert "256 tokens at once" in out
    assert "fastest here: --batch-budget " in out


def test_every_question_has_a_right_and_a_wrong_answer() -> None:
    for kind in doctor.KINDS:
        for language in doctor.CLOZES:
            asked: list[Any] = list(doctor._questions(kind, language))
            assert len(asked) == 20
            assert sum(answer for _, answer in asked) == 10
            assert all(len(set(prompt.choices)) == 2 for prompt, _ in asked)
