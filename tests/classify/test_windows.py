"""Texts in pieces, `--long windows`, by every kind of scorer: each piece as if it were a row, and pooled by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from helpers import Tiny, read_rows, small_windows, write_rows

from promptshot import Classifier
from promptshot.classify.prediction import Prediction
from promptshot.cli import run_command
from promptshot.rows.row import Row
from promptshot.scoring import Kind, Prompt

pytestmark = pytest.mark.torch

BITS = ("the room was great , 很满意 ", "we liked the old town ", "房间干净，早餐也不错。", "a [SEP] <s> b ")
LONG = "".join(BITS[i % 4] for i in range(24))
SHORT = "the food was awful"
# kind of scorer -> (model, template); a template of two texts, of words of the row, of several labels, with examples
CASES: dict[str, tuple[str, Any]] = {
    "mlm": ("bert_mlm", "{text} it was {mask} ."),
    "mlm, roberta": ("roberta", "It was {mask}. {text}"),
    "nsp": ("bert_nsp", ["it was {mask} .", "{text}"]),
    "causal": ("llama", "{text} It was {mask}"),
    "causal, gpt2": ("gpt2", "{text} It was {mask}"),
    "seq2seq": ("t5", "{text} It was {mask}"),
    "embed": ("bert", "it was {mask}"),
}


def kind_of(case: str) -> str:
    return case.partition(",")[0]


def classifier(case: str, request: pytest.FixtureRequest, **options: Any) -> Classifier:
    fixture, text = CASES[case]
    tiny: Tiny = request.getfixturevalue(fixture)
    said = text if isinstance(text, str) else json.dumps(text)
    if kind_of(case) == "embed":
        said = json.dumps(["{text}", text])
    named = {"labels": "good,awful", "scorer": kind_of(case), "model": tiny.name}
    return Classifier.load(said, **{**named, "long": "windows", **options})


def outcome(made: Classifier, text: str) -> Prediction:
    (found,) = made.outcomes([Row({"text": text})])
    assert isinstance(found, Prediction), found
    return found


def by_hand(made: Classifier, prompts: Sequence[Prompt], pool: Any) -> dict[str, float]:
    """Word scores of each piece scored on its own, made a distribution where they are no odds, and pooled."""
    each: list[Mapping[str, float]] = []
    for prompt in prompts:
        (found,) = made.scorer.score([prompt])
        assert (found.error, found.cut) == (None, 0)
        words = list(found.scores)
        leads = found.lead or [0.0] * len(words)
        kind = made.recipe.template.kind
        if kind.means and (len(set(found.tokens)) > 1 or (any(found.lead) and not all(found.lead))):
            words = [(s - lead) / max(1, n) for s, lead, n in zip(words, leads, found.tokens, strict=True)]
        if not kind.absolute:
            top = math.log(sum(math.exp(score) for score in words))
            words = [score - top for score in words]
        each.append(dict(zip(prompt.choices, words, strict=True)))
    return {word: pool([one[word] for one in each]) for word in each[0]}


POOLS = {
    "mean": lambda scores: sum(scores) / len(scores),
    "max": max,
    "logsumexp": lambda scores: math.log(sum(map(math.exp, scores)) / len(scores)),
}


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("case", CASES)
def test_pieces_are_scored_like_rows_and_pooled(case: str, pool: Any, request: pytest.FixtureRequest) -> None:
    made = classifier(case, request, long_pool=pool)
    prompts = made.questions.of(Row({"text": LONG}))
    assert len(prompts) > 1
    fields = ["".join(p.text for p in prompt.pieces if p.kind is Kind.FIELD) for prompt in prompts]
    assert all(field.strip() in LONG for field in fields)
    assert LONG.startswith(fields[0].strip()[:5])
    assert LONG.rstrip().endswith(fields[-1].strip()[-5:])
    found = outcome(made, LONG)
    assert found.pieces == len(prompts)
    assert found.word_scores == pytest.approx(by_hand(made, prompts, POOLS[pool]), abs=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_rows_that_fit_are_scored_as_when_texts_are_cut(case: str, request: pytest.FixtureRequest) -> None:
    found, cut = (outcome(classifier(case, request, long=long), SHORT) for long in ("windows", "cut"))
    assert (found.word_scores, found.pieces) == (cut.word_scores, 1)


def test_other_rows_of_a_batch_change_nothing(request: pytest.FixtureRequest) -> None:
    rows = [Row({"text": text}) for text in (SHORT, LONG, "x", LONG[40:], SHORT * 40)]
    sizes = [[one.word_scores for one in classifier("mlm", request, batch_size=size).outcomes(rows)]  # type: ignore[union-attr]
             for size in (1, 3, 32)]  # fmt: skip
    for one, other in pairwise(sizes):
        for a, b in zip(one, other, strict=True):
            assert a == pytest.approx(b, abs=1e-4)


def test_demonstrations_stay_before_every_piece(request: pytest.FixtureRequest) -> None:
    shots = [{"text": "a very good day", "label": "good"}, {"text": "the food was awful", "label": "awful"}]
    made = classifier("causal", request, demos=shots, k=2)
    prompts = made.questions.of(Row({"text": LONG}))
    assert len(prompts) > 1
    assert all(sum(piece.kind is Kind.DEMO for piece in prompt.pieces) == 2 for prompt in prompts)
    found = outcome(made, LONG)
    assert (found.dropped, found.pieces) == (0, len(prompts))


def test_of_two_texts_the_one_that_gives_way_slides(bert_mlm: Tiny) -> None:
    made = Classifier.load(
        "{text_a} ? {mask} , {text_b}", labels="good,awful", model=bert_mlm.name, scorer="mlm", long="windows"
    )
    prompts = made.questions.of(Row({"text_a": SHORT, "text_b": LONG}))
    assert len(prompts) > 1
    for prompt in prompts:
        first, second = [piece.text for piece in prompt.pieces if piece.kind is Kind.FIELD]
        assert first == SHORT
        assert second in LONG


def test_an_ensemble_reads_each_of_its_templates_in_pieces(
    bert_mlm: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", [{"text": LONG, "label": "good"}, {"text": SHORT, "label": "awful"}])
    ask = ["classify", rows, "--labels", "good,awful", "-m", bert_mlm.name, "--long", "windows", "-o", "-"]
    alone = []
    for text in ("{text} it was {mask} .", "a {mask} day : {text}"):
        assert run_command([*ask, "-t", text]) == 0
        alone.append([json.loads(line) for line in capsys.readouterr().out.splitlines()])
    assert run_command([*ask, "-t", "{text} it was {mask} .", "-t", "a {mask} day : {text}"]) == 0
    both = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for one, two, mean in zip(*alone, both, strict=True):
        for label, score in mean["scores"].items():
            parts = [math.log(of["probabilities"][label]) for of in (one, two)]
            assert score == pytest.approx(sum(parts) / 2, abs=1e-6)


def test_a_stopped_run_goes_on_and_calibration_starts_from_pooled_scores(
    bert_mlm: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch, 4)
    texts = [LONG[i:] if i % 3 else SHORT for i in range(12)]
    rows = write_rows(tmp_path / "rows.jsonl", [{"text": t, "label": "good" if i % 2 else "awful"}
                                                for i, t in enumerate(texts)])  # fmt: skip
    whole, parts, calibrated = (str(tmp_path / f"{name}.jsonl") for name in ("whole", "parts", "calibrated"))
    ask = ["classify", rows, "-t", "{text} it was {mask} .", "--labels", "good,awful", "-m", bert_mlm.name]
    ask += ["--long", "windows", "--long-pool", "max"]
    assert run_command([*ask, "-o", whole]) == 0
    assert "8 rows were too long and read in" in " ".join(capsys.readouterr().err.split())
    assert run_command([*ask, "-o", parts, "-n", "8"]) == 0
    assert run_command([*ask, "-o", parts]) == 0
    assert Path(parts).read_bytes() == Path(whole).read_bytes()
    assert run_command([*ask, "--calibrate", "prior", "-o", calibrated]) == 0
    assert run_command(["calibrate", whole, "--method", "prior", "-o", f"{whole}.again.jsonl"]) == 0
    one, two = (read_rows(path) for path in (calibrated, f"{whole}.again.jsonl"))
    assert [row["probabilities"] for row in one] == [row["probabilities"] for row in two]
    assert [row["word_scores"] for row in one] == [row["word_scores"] for row in read_rows(whole)]
    capsys.readouterr()
    other = ["mean" if one == "max" else one for one in ask]
    assert run_command([*other, "-o", whole]) == 1
    assert "from a run that differs in long_pool" in capsys.readouterr().err


def test_a_text_that_just_fits_is_one_piece_and_one_token_more_makes_two(bert_mlm: Tiny) -> None:
    made = Classifier.load("{text} {mask} .", labels="good,awful", model=bert_mlm.name, scorer="mlm", long="windows")
    room = 96 - 4  # [CLS], the blank, the full stop, [SEP]
    for words, pieces in ((room, 1), (room + 1, 2)):
        found = outcome(made, " ".join(["good"] * words))
        assert (found.pieces, found.cut) == (pieces, 0)


def test_a_comparison_reads_long_texts_in_pieces_too(
    bert_mlm: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [(LONG, "good"), (SHORT, "awful"), (LONG[30:], "awful"), ("x", "good")]
    rows = write_rows(tmp_path / "rows.jsonl", [{"text": text, "label": label} for text, label in texts])
    ask = [rows, "-t", "{text} it was {mask} .", "--labels", "good,awful", "-m", bert_mlm.name, "--long", "windows"]
    out = tmp_path / "out.jsonl"
    assert run_command(["classify", *ask, "-o", str(out)]) == 0
    assert run_command(["compare", *ask, "-t", "a {mask} day : {text}", "--predictions", str(tmp_path / "p")]) == 0
    compared = next(path for path in sorted((tmp_path / "p").glob("*.jsonl")) if "rejects" not in path.name)
    found = [[row["word_scores"] for row in read_rows(path)] for path in (out, compared)]
    assert found[0] in (
        found[1],
        [row["word_scores"] for row in read_rows(sorted((tmp_path / "p").glob("*.jsonl"))[1])],
    )
