"""Words of several tokens under a cloze: what their tokens know of one another, against the reference."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import reference
from helpers import ROWS, Tiny, prompt_of, shuffled
from reference import Segment, assert_agrees

from promptshot.scorers.mlm import MlmScorer
from promptshot.scoring import Kind, ModelOptions, MultiToken, Piece, Prompt

pytestmark = pytest.mark.torch

WORDS = ["good", "好", "体育新闻", "体育节目", "awful", "a good film"]  # of one to several tokens; two begin alike
WAYS: list[tuple[MultiToken, Callable[..., float]]] = [
    ("independent", reference.mlm),
    ("left-to-right", reference.mlm_left_to_right),
    ("pseudo-log-likelihood", reference.mlm_pseudo),
]
REAL = Path(os.environ.get("PROMPTSHOT_REAL", ""))


def cases() -> list[list[Segment]]:
    return [
        [("It was ", ". " + ROWS[0])],
        [("", "满意。" + ROWS[1])],
        [(ROWS[2] + " It was ", "")],
        [ROWS[3][:40], ("the ", " news")],
    ]


@pytest.fixture(params=["bert_mlm", "roberta"])
def tiny(request: pytest.FixtureRequest) -> Tiny:
    found: Tiny = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize(("way", "plainly"), WAYS, ids=[way for way, _ in WAYS])
@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_every_way_equals_its_reference(tiny: Tiny, way: MultiToken, plainly: Any, batch_size: int) -> None:
    order = shuffled(len(cases()))
    prompts = [replace(prompt_of(cases()[i], WORDS), multi_token=way) for i in order]
    made = MlmScorer.from_checkpoint(ModelOptions(tiny.name, batch_size=batch_size))
    wanted = [[plainly(tiny.model, tiny.tokenizer, cases()[i], word) for word in WORDS] for i in order]
    assert_agrees(made.score(prompts), wanted)
    assert_agrees(MlmScorer.from_checkpoint(ModelOptions(tiny.name, plain=True)).score(prompts), wanted)


def test_the_ways_differ_for_words_of_several_tokens_and_for_no_others(tiny: Tiny) -> None:
    made = MlmScorer.from_checkpoint(ModelOptions(tiny.name))
    prompt = prompt_of(cases()[1], WORDS)
    independent, left, pseudo = made.score([replace(prompt, multi_token=way) for way, _ in WAYS])
    for i, tokens in enumerate(independent.tokens):
        three = {independent.scores[i], left.scores[i], pseudo.scores[i]}
        assert max(three) - min(three) < 1e-5 if tokens == 1 else len(three) == 3


def test_a_word_that_is_spelled_out_sums_to_its_score(tiny: Tiny) -> None:
    made = MlmScorer.from_checkpoint(ModelOptions(tiny.name))
    for way, _ in WAYS:
        prompts = [replace(prompt_of(case, WORDS), multi_token=way) for case in cases()]
        for scored, spelled in zip(made.score(prompts), made.spell(prompts), strict=True):
            sums = [sum(token.score for token in word) for word in spelled]
            assert sums == pytest.approx(scored.scores, abs=1e-4)
            assert [len(word) for word in spelled] == [
                n + sum(t.lead for t in word) for n, word in zip(scored.tokens, spelled, strict=True)
            ]


def test_the_likeliest_words_are_those_behind_a_blank_that_shows_nothing(tiny: Tiny) -> None:
    made = MlmScorer.from_checkpoint(ModelOptions(tiny.name))
    prompts = [replace(prompt_of(cases()[1], ["体育新闻"]), multi_token=way) for way, _ in WAYS]
    first, *others = made.top(prompts, 5)
    assert others == [first, first]


def bare(before: str, after: str, word: str, way: MultiToken) -> Prompt:
    pieces = (Piece(Kind.FIXED, before), Piece(Kind.MASK), Piece(Kind.FIXED, after))
    return Prompt(pieces, (word,), multi_token=way)


@pytest.mark.skipif(not (REAL / "bert-base-cased").is_dir(), reason="PROMPTSHOT_REAL has no bert-base-cased")
def test_a_sentence_has_the_pseudo_log_likelihood_that_mlm_scoring_prints() -> None:
    made = MlmScorer.from_checkpoint(ModelOptions(str(REAL / "bert-base-cased")))
    (scored,) = made.score([bare("", "", "Hello world!", "pseudo-log-likelihood")])
    assert scored.scores[0] == pytest.approx(-12.411025, abs=1e-3)


@pytest.mark.skipif(not (REAL / "bert-base-uncased").is_dir(), reason="PROMPTSHOT_REAL has no bert-base-uncased")
def test_a_sentence_has_the_surprisals_that_minicons_prints() -> None:
    made = MlmScorer.from_checkpoint(ModelOptions(str(REAL / "bert-base-uncased")))
    sentence = "the traveler lost the souvenir ."
    (whole,) = made.score([bare("", "", sentence, "pseudo-log-likelihood")])
    assert -whole.scores[0] == pytest.approx(18.014726, abs=1e-3)
    words = sentence.split()
    behind = [(" ".join(words[:i]), " ".join(words[i + 1 :])) for i in range(len(words))]
    prompts = [
        bare(f"{before} ".lstrip(), f" {after}".rstrip(), word, "left-to-right")
        for (before, after), word in zip(behind, words, strict=True)
    ]
    scores = [scored.scores[0] for scored in made.score(prompts)]
    assert -sum(scores) == pytest.approx(32.779836, abs=1e-3)
    assert scores[4] == pytest.approx(-(7.7764 + 6.9897 + 0.0378), abs=1e-3)
    (likeliest,) = made.top([bare("this is a simple ", ".", "problem", "independent")], 4)
    shown = [(word, round(math.exp(score), 3)) for word, score in likeliest]
    assert shown == [("problem", 0.042), ("question", 0.031), ("equation", 0.030), ("rule", 0.027)]
