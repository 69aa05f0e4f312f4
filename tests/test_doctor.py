"""The doctor finds a sound checkpoint sound, and tells what is wrong with one that is not."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from helpers import Tiny
from rich.cells import cell_len
from rich.console import Console
from tiny import next_positions, no_mask

from promptshot import doctor, scorers
from promptshot.cli import run_command
from promptshot.doctor import Finding, Rounding, compared, examine
from promptshot.kinds import KINDS
from promptshot.report import doctor as report
from promptshot.scorers import Loader, load
from promptshot.scorers.engine.base import TorchScorer
from promptshot.scorers.engine.plans import Query
from promptshot.scorers.engine.prefix import Trie, Walk
from promptshot.scorers.fake import FakeScorer
from promptshot.scoring import ModelOptions, Prompt, Scored

pytestmark = pytest.mark.torch

BERT = Path(__file__).parent.parent / "models" / "bert"


def found(kind: str, options: ModelOptions | None = None) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine(kind, options or ModelOptions(), Loader(keeps=False))}


HEADS = [kind.name for kind in KINDS.values() if not kind.headless]


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS.values() if kind.builtin])
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
            replace(scored, scores=tuple(score + i * len(prompts) / 1000 for i, score in enumerate(scored.scores)))
            for scored in super().score(prompts)
        ]


def test_scores_that_depend_on_the_batch_are_found() -> None:
    seen = found("test_doctor:Mixed")
    assert seen["alone = in a batch"].verdict == "failed"
    assert "rounding explains" in seen["alone = in a batch"].said
    assert seen["canaries"].verdict == "failed"


def test_a_scorer_that_gives_no_scores_is_found() -> None:
    assert found("helpers:Failing")["scores"] == Finding("scores", "failed", "a score is not finite")


def test_lower_precision_is_compared_with_float32() -> None:
    seen = found("nsp", ModelOptions(dtype="bfloat16"))
    assert seen["bfloat16 = float32"].verdict == "ok"


def test_a_checkpoint_is_examined_for_every_head_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["doctor", "-m", str(BERT)]) == 0
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert [line.split()[0] for line in lines if line[:1].strip()] == [f"{BERT}:", *HEADS, "sound"]
    assert said.out == ""
    assert "causal  note    head                  a bert model does not read from left to right" in lines


def test_no_checkpoint_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["doctor", "-m", str(tmp_path)]) == 1
    first, error = capsys.readouterr().err.splitlines()
    assert first == f"{tmp_path}: is it sound for {', '.join(HEADS)}?"
    assert error.startswith(f"error: {tmp_path}: ")


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
    for kind in list(KINDS):
        for language in doctor.CLOZES:
            asked: list[Any] = list(doctor._questions(kind, language))
            assert len(asked) == 20
            assert sum(answer for _, answer in asked) == 10
            assert all(len(set(prompt.choices)) == 2 for prompt, _ in asked)


# ------------------------------------------------------------------ what rounding explains


def lost_mask(patch: pytest.MonkeyPatch) -> None:
    """Padding is attended to, and so are other branches of a trie."""
    in_batches(patch, no_mask)
    patch.setattr(Trie, "sees", lambda self, rows, columns: columns <= rows[:, None])


def shifted_position(patch: pytest.MonkeyPatch) -> None:
    """In batches every token stands one place further on, and so do those behind the first branch of a trie."""
    in_batches(patch, next_positions)
    sound = Walk._inputs

    def harmed(self: Walk, new: torch.Tensor, columns: torch.Tensor) -> dict[str, torch.Tensor]:
        inputs = sound(self, new, columns)
        places = inputs["position_ids"].clone()  # (1, new)
        jumps = places[:, 1:] != places[:, :-1] + 1
        places[:, 1:] += jumps.long().cumsum(-1).clamp(max=1)
        return inputs | {"position_ids": places}

    patch.setattr(Walk, "_inputs", harmed)


def in_batches(patch: pytest.MonkeyPatch, harm: Any) -> None:
    """Only where rows share a batch; a row that is run alone stays right."""
    sound = TorchScorer.tensors

    def harmed(self: TorchScorer, batch: Sequence[Query]) -> dict[str, Any]:
        inputs = sound(self, batch)
        if len(batch) > 1:
            harm(inputs)
        return inputs

    patch.setattr(TorchScorer, "tensors", harmed)


def with_fault(patch: pytest.MonkeyPatch, harm: Callable[[pytest.MonkeyPatch], None]) -> None:
    """The fault is that of the shortcuts only: it begins where they are found."""
    right = TorchScorer.quick

    def quick(self: TorchScorer) -> TorchScorer:
        made = right(self)
        harm(patch)
        return made

    patch.setattr(TorchScorer, "quick", quick)


FAULTS = {"a lost mask": lost_mask, "a shifted position": shifted_position}
REAL = Path(os.environ.get("PROMPTSHOT_REAL", ""))
COMPARED = ("alone = in a batch", "fast = plain")


def verdicts(kind: str, model: str, **options: Any) -> dict[str, str]:
    return {check: finding.verdict for check, finding in found(kind, ModelOptions(model, **options)).items()}


@pytest.fixture(params=["mlm", "nsp", "causal", "causal llama", "mlm roberta"])
def tiny(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The kind of a scorer, and a random model for it."""
    fixture = {"mlm": "bert", "nsp": "bert", "causal": "gpt2"}
    kind, _, family = str(request.param).partition(" ")
    return kind, request.getfixturevalue(family or fixture[kind]).name


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_rounding_explains_what_honest_ways_differ_by(tiny: tuple[str, str], dtype: str) -> None:
    seen = verdicts(*tiny, dtype=dtype)
    assert [seen[check] for check in COMPARED] == ["ok", "ok"]
    assert seen.get("bfloat16 = float32", "ok") in ("ok", "look")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("fault", FAULTS)
def test_it_does_not_explain_a_fault(
    tiny: tuple[str, str], dtype: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_fault(monkeypatch, FAULTS[fault])
    assert verdicts(*tiny, dtype=dtype)["fast = plain"] == "failed"


@pytest.mark.skipif(not REAL.name, reason="PROMPTSHOT_REAL names no folder of real checkpoints")
@pytest.mark.parametrize(("kind", "model"), [("causal", "smollm2"), ("causal", "gemma3-270m")])
@pytest.mark.parametrize("fault", ["none", *FAULTS])
def test_a_real_model_is_sound_and_with_a_fault_it_is_not(
    kind: str, model: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (REAL / model).is_dir():
        pytest.skip(f"no {model} there")
    with_fault(monkeypatch, FAULTS.get(fault, lambda patch: None))
    seen = verdicts(kind, str(REAL / model))
    if fault == "none":
        assert set(seen.values()) == {"ok"}
    else:
        assert seen["fast = plain"] == "failed"


@pytest.mark.parametrize(
    ("kind", "model"), [("mlm", "builtin:bert"), ("nsp", "builtin:bert"), ("causal", "builtin:gpt2")]
)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_trained_model_is_none_of_rounding(
    kind: str, model: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_fault(monkeypatch, FAULTS[fault])
    assert verdicts(kind, model)["fast = plain"] == "failed"


def scores(*margins: float) -> list[Scored]:
    return [Scored((margin - 20, -20.0)) for margin in margins]


def test_a_deeper_model_and_larger_scores_may_differ_by_more() -> None:
    shallow, deep = Rounding(2**-23, 3, 20), Rounding(2**-23, 30, 20)
    one, other = scores(5, -4, 3), scores(5.0003, -4, 3)
    assert compared("x", one, other, shallow).verdict == "look"
    assert compared("x", one, other, deep).verdict == "ok"
    assert compared("x", one, other, replace(shallow, size=200)).verdict == "ok"


def test_what_scores_have_in_common_decides_nothing() -> None:
    one = scores(5, -4)
    other = [Scored(tuple(score + 3 for score in scored.scores)) for scored in one]
    assert compared("x", one, other, Rounding(2**-23, 3, 20)).verdict == "ok"


def test_a_best_word_that_turns_is_a_fault_but_for_a_tie() -> None:
    rounding = Rounding(2**-23, 30, 20)  # 5.7e-4
    turned = compared("x", scores(5, 0.001), scores(5, -0.001), rounding)
    assert (turned.verdict, turned.said[:18]) == ("failed", "1 of 2 best words ")
    tied = compared("x", scores(5, 0.0002), scores(5, -0.0002), rounding)
    assert (tied.verdict, tied.said[:18]) == ("ok", "1 of 2 best words ")


def test_half_precision_does_not_explain_a_good_part_of_the_margins() -> None:
    rounding = Rounding(2**-7, 30, 20)  # far more than the margins themselves
    for part, verdict in ((0.01, "ok"), (0.03, "look"), (0.1, "failed")):
        assert compared("x", scores(5, -4), scores(5 + 5 * part, -4 - 4 * part), rounding).verdict == verdict


def test_a_model_of_few_tokens_is_examined_all_the_same() -> None:
    assert verdicts("causal", "builtin:gpt2", max_length=40)["canaries"] == "ok"


# ------------------------------------------------------------------ what a doctor says


def test_a_body_without_heads_is_examined_as_what_it_is(
    bert: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bert.model.bert.save_pretrained(tmp_path)
    bert.tokenizer.save_pretrained(tmp_path)
    run_command(["doctor", "-m", str(tmp_path)])
    lines = capsys.readouterr().err.splitlines()
    assert lines[1] == "embed   ok      head                  all its weights are in the checkpoint"
    assert "alone = in a batch" in lines[3]
    for line in (
        "mlm     note    head                  no masked-LM head: its weights are not in the checkpoint",
        "nsp     note    head                  no next-sentence head: its weights are not in the checkpoint",
        "causal  note    head                  a bert model does not read from left to right",
        "rtd     note    head                  a bert model has no replaced-token head",
    ):
        assert line in lines


def test_a_model_with_a_head_is_not_examined_as_one_without(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["doctor", "-m", "builtin:gpt2"]) == 0
    assert "embed" not in capsys.readouterr().err


def test_tensors_are_named_where_they_are_asked_for(
    bert: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bert.model.bert.save_pretrained(tmp_path)
    bert.tokenizer.save_pretrained(tmp_path)
    assert run_command(["doctor", "-m", str(tmp_path), "--scorer", "nsp", "-v"]) == 3
    lines = capsys.readouterr().err.splitlines()
    assert "cls.seq_relationship.bias, cls.seq_relationship.weight" in lines[2]
    assert lines[3] == "not sound: no scorer that was asked for finds its head"


def test_one_head_of_three_is_sound() -> None:
    refused = {"nsp": doctor.HeadError("no next-sentence head", lost=("a",)), "causal": doctor.HeadError("none")}
    findings = [finding for _, finding in doctor.refusals(refused, list(KINDS), tensors=False)]
    assert {finding.verdict for finding in findings} == {"note"}
    assert doctor.verdict([Finding("head", "ok", ""), *findings], refused) == ("sound", "")


def test_another_fault_than_a_head_that_is_not_there_is_worth_a_look_or_an_error() -> None:
    refused = {"nsp": doctor.HeadError("none"), "causal": doctor.ModelError("it cannot be run")}
    ((_, head), (kind, model)) = doctor.refusals(refused, list(KINDS), tensors=True)
    assert (head.verdict, kind, model) == ("note", "causal", Finding("model", "look", "it cannot be run"))
    assert doctor.verdict([Finding("head", "ok", ""), model], refused)[0] == "look at this"
    with pytest.raises(doctor.ModelError, match="it cannot be run"):
        list(doctor.refusals(refused, ["nsp", "causal"], tensors=True))


def test_the_verdict_looks_at_the_worst() -> None:
    of = {verdict: Finding("x", verdict, "") for verdict in ("ok", "note", "look", "failed")}
    assert doctor.verdict([of["ok"], of["note"]], {})[0] == "sound"
    assert doctor.verdict([of["ok"], of["look"]], {})[0] == "look at this"
    assert doctor.verdict([of["look"], of["failed"]], {})[0] == "not sound"


def test_a_look_is_no_failure_and_json_says_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "examine", lambda *_: iter([Finding("a", "ok", "很好"), Finding("b", "look", "odd")]))
    assert run_command(["doctor", "--scorer", "mlm", "--json"]) == 0
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert told["verdict"] == "look at this"
    assert told["findings"][0] == {"scorer": "mlm", "check": "a", "verdict": "ok", "said": "很好"}
    assert said.err.splitlines()[-1].startswith("look at this: ")


def test_the_first_line_comes_before_tensors_are_loaded() -> None:
    code = """
import sys
from promptshot.report import doctor as report
from promptshot.cli import run_command
def examining(model, kinds):
    print([name for name in ("torch", "transformers", "tokenizers", "numpy") if name in sys.modules])
    raise KeyboardInterrupt
report.show_question = examining
try:
    run_command(["doctor", "-m", "builtin:bert"])
except KeyboardInterrupt:
    pass
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "[]\n"


def test_weights_are_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[ModelOptions] = []
    right = scorers.load
    monkeypatch.setattr(scorers, "load", lambda kind, options, *at: loaded.append(options) or right(kind, options, *at))
    assert list(found("nsp").values())[-1].check == "fast = plain"
    assert len(loaded) == 1


@pytest.mark.parametrize(("options", "loads"), [([], 1), (["--plain"], 1), (["--dtype", "bfloat16"], 3)])
def test_what_is_tuned_is_what_was_examined_unless_something_else_had_to_be_loaded(
    options: list[str], loads: int, bert: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded: list[ModelOptions] = []
    right = scorers.load
    monkeypatch.setattr(scorers, "load", lambda kind, options, *at: loaded.append(options) or right(kind, options, *at))
    monkeypatch.setattr(doctor, "BUDGETS", (64, 512))
    run_command(["doctor", "-m", bert.name, "--scorer", "mlm", "--tune", *options])
    assert len(loaded) == loads
    assert re.search(r"\b512\b", capsys.readouterr().err)


def test_timing_budgets_leaves_a_scorer_with_its_own(bert: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "BUDGETS", (64, 512))
    options, loader = ModelOptions(bert.name, batch_budget=77), Loader()
    assert [tokens for tokens, _ in doctor.tune("nsp", options, loader, rounds=1)] == [64, 512]
    assert loader.scorer("nsp", options).details["batch_budget"] == 77  # type: ignore[attr-defined]


def test_a_plain_scorer_that_becomes_quick_scores_as_one_that_was_loaded_so(bert: Tiny) -> None:
    prompts = doctor.probes("nsp")
    plain = load("nsp", ModelOptions(bert.name, plain=True))
    assert isinstance(plain, TorchScorer)
    assert plain.quick().score(prompts) == load("nsp", ModelOptions(bert.name)).score(prompts)
    assert plain.layers == 3


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_finding_is_whole_on_a_terminal_of_any_width(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(width=width, force_terminal=True, record=True, file=io.StringIO())
    monkeypatch.setattr(report, "people", lambda: console)
    said = "12 of 13 best words are the same: 这些行可能会有别的标签 " + "and so on " * 12
    report.show_finding("causal", Finding("bfloat16 = float32", "look", said))
    report.show_verdict("not sound", "no scorer that was asked for finds its head, " * 3)
    lines = console.export_text().splitlines()
    assert all(cell_len(line.rstrip()) <= width for line in lines)
    assert " ".join(" ".join(lines).split()).startswith("causal look bfloat16 = float32 12 of 13 best words")
    assert "".join(said.split()) in "".join("".join(lines).split())


def test_what_is_done_next_is_no_noise_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with report.Steps() as steps:
        steps.of("mlm")("loading")
    assert capsys.readouterr() == ("", "")


def test_what_is_done_next_is_gone_while_a_finding_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(
        report, "people", lambda: Console(width=80, force_terminal=True, color_system=None, file=stream)
    )
    with report.Steps() as steps:
        steps.of("mlm")("loading")
        with steps.paused():
            stream.seek(0)
            stream.truncate()
            report.show_finding("mlm", Finding("head", "ok", "all there"))
            said = stream.getvalue()
    assert "loading" not in said
    assert said.startswith("mlm     ok      head")
    assert stream.getvalue() != said  # it moves again behind it
