"""Texts longer than the model: cut by what can fit, read in pieces, or read whole."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
from helpers import Tiny, template_of
from hypothesis import given
from hypothesis import strategies as st
from tiny import byte_bpe, sentencepiece_bpe, unigram, wordpiece
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from promptshot.classify.questions import Answer, Questions
from promptshot.prompts.library import verbalizer_of
from promptshot.prompts.task import Task
from promptshot.rows.row import Row
from promptshot.scorers.checkpoints import fitting
from promptshot.scorers.checkpoints.encoder import TextEncoder
from promptshot.scorers.checkpoints.fitting import Fitted, TooLong, beginning, fit
from promptshot.scorers.engine.plans import Plan
from promptshot.scorers.mlm import MlmPlanner
from promptshot.scoring import Cut, Kind, Piece, Prompt, Scored

pytestmark = pytest.mark.torch

CUTS: tuple[Cut, ...] = ("tail", "head", "middle")
TOKENIZERS = {
    "byte": lambda: byte_bpe(["<s>"]),
    "piece": sentencepiece_bpe,
    "word": wordpiece,
    "unigram": unigram,
}
BITS = (
    "good",
    "service",
    "12",
    "7",
    "，",
    "。",
    "体育新闻",
    "房间",
    "naïve",
    "e\u0301",
    "🙂",
    "  ",
    "\n",
    " ",
    " ",
    " ",
    "-",
    "it's",
)


def encoder_of(made: Tokenizer) -> TextEncoder:
    return TextEncoder(PreTrainedTokenizerFast(tokenizer_object=made, unk_token=getattr(made.model, "unk_token", None)))


def ragged(seed: int, characters: int) -> str:
    """A text of words, digits, signs and spaces without any order, in both languages."""
    draw = random.Random(seed)
    return "".join(draw.choices(BITS, k=characters))[:characters]


def fitted_both_ways(pieces: Sequence[Piece], limit: int, encoder: TextEncoder, patch: Any) -> tuple[Fitted, Fitted]:
    """What fits, with only the sides of long texts tokenized, and with all of them."""

    def size(of: Sequence[Piece]) -> int:
        return len(encoder.ids("".join(piece.text for piece in of)))

    found = fit(pieces, size, limit, encoder)
    with patch.context() as whole:
        whole.setattr(fitting, "MANY", 1 << 40)
        return found, fit(pieces, size, limit, encoder)


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("cut", CUTS)
def test_a_very_long_text_is_cut_as_if_all_of_it_had_been_tokenized(
    name: str, cut: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = encoder_of(TOKENIZERS[name]())
    monkeypatch.setattr(fitting, "MORE", 101)
    monkeypatch.setattr(fitting, "MARGIN", 24)
    lesser = 0
    for seed in range(12):
        text = ragged(seed, 6000 + 137 * seed)
        pieces = [Piece(Kind.FIXED, "It was "), Piece(Kind.FIELD, text, cut), Piece(Kind.FIXED, ". 满意")]
        found, whole = fitted_both_ways(pieces, 20 + seed, encoder, monkeypatch)
        assert found.pieces == whole.pieces
        assert 0 < found.cut <= whole.cut
        lesser += found.cut < whole.cut
        assert (found.least, whole.least) == (True, False)
    assert lesser == 12  # and so it was not tokenized whole


@pytest.mark.parametrize("name", TOKENIZERS)
def test_demonstrations_and_other_fields_give_way_beside_it_as_they_did(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = encoder_of(TOKENIZERS[name]())
    monkeypatch.setattr(fitting, "MORE", 101)
    monkeypatch.setattr(fitting, "MARGIN", 24)
    for seed in range(6):
        long, short = ragged(seed, 9000), ragged(seed + 50, 60)
        pieces = [
            Piece(Kind.DEMO, ragged(seed + 9, 7000)),
            Piece(Kind.DEMO, "a fine day. good "),
            Piece(Kind.FIELD, short, "head", cut_order=seed % 2),
            Piece(Kind.FIXED, " | "),
            Piece(Kind.FIELD, long, CUTS[seed % 3]),
        ]
        found, whole = fitted_both_ways(pieces, 90, encoder, monkeypatch)
        assert (found.pieces, found.dropped) == (whole.pieces, whole.dropped)


@pytest.mark.parametrize(
    "text", ["a" * 20_000, " " * 20_000 + "good day", "体" * 20_000, "7" * 20_000, "\n\n" * 10_000]
)
@pytest.mark.parametrize("cut", CUTS)
def test_what_has_no_words_to_cut_at_is_cut_the_same(text: str, cut: Cut, monkeypatch: pytest.MonkeyPatch) -> None:
    for make in TOKENIZERS.values():
        encoder = encoder_of(make())
        try:
            found, whole = fitted_both_ways(
                [Piece(Kind.FIELD, text, cut), Piece(Kind.FIXED, "!")], 16, encoder, monkeypatch
            )
        except TooLong:
            continue
        assert found.pieces == whole.pieces


def test_a_text_that_is_not_very_long_is_tokenized_whole(bert: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = TextEncoder(bert.tokenizer)
    text = "房间 good " * 300  # 2,700 characters, and 900 tokens
    found, whole = fitted_both_ways([Piece(Kind.FIELD, text)], 32, encoder, monkeypatch)
    assert found == whole
    assert not found.least


@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_beginning_of_a_text_has_the_first_tokens_of_the_whole(name: str) -> None:
    encoder = encoder_of(TOKENIZERS[name]())
    text = ragged(3, 60_000)
    part = beginning(text, 40, encoder)
    assert len(part) < len(text)
    assert encoder.ids(part)[:40] == encoder.ids(text)[:40]


def test_a_row_of_megabytes_is_cut_at_once(bert: Tiny) -> None:
    encoder = TextEncoder(bert.tokenizer)
    pieces = [Piece(Kind.FIXED, "it was "), Piece(Kind.FIELD, "the movie was great, 房间很好。" * 150_000)]
    began = time.perf_counter()
    fitted = fit(pieces, lambda of: len(encoder.ids("".join(piece.text for piece in of))), 64, encoder)
    assert time.perf_counter() - began < 1  # seconds; all of it takes ten times as long
    assert len(encoder.ids("".join(piece.text for piece in fitted.pieces))) == 64


# ------------------------------------------------------------------ in pieces


def prompts_of(planner: Any, text: str, stride: int | None = None, demos: Sequence[str] = ()) -> list[Prompt]:
    pieces = [*(Piece(Kind.DEMO, demo) for demo in demos), Piece(Kind.FIXED, "It was "), Piece(Kind.MASK)]
    prompt = Prompt((*pieces, Piece(Kind.FIXED, ". "), Piece(Kind.FIELD, text)), ("good", "bad"))
    return list(planner.windows(prompt, stride))


def texts_of(prompts: Sequence[Prompt]) -> list[str]:
    return [next(piece.text for piece in prompt.pieces if piece.kind is Kind.FIELD) for prompt in prompts]


@pytest.mark.parametrize("stride", [None, 1, 5, 1000])
def test_pieces_cover_every_token_of_a_text_and_each_fits(bert_mlm: Tiny, stride: int | None) -> None:
    planner = MlmPlanner(TextEncoder(bert_mlm.tokenizer), 24)
    words = ["a", "great", "movie", "the", "town", "房", "good"] * 13
    prompts = prompts_of(planner, " ".join(words), stride)
    assert len(prompts) > 1
    assert [prompt.goes_on for prompt in prompts] == [False] + [True] * (len(prompts) - 1)
    place = 0
    for prompt, text in zip(prompts, texts_of(prompts), strict=True):
        plan = planner.planned(prompt)
        assert not isinstance(plan, str)
        assert (plan.fitted.cut, plan.fitted.dropped) == (0, 0)
        assert len(plan.queries[0].ids) <= 24
        own = text.split()
        starts = [at for at in range(place + 1) if words[at : at + len(own)] == own]
        assert starts  # no gap to what was read before
        place = max(place, starts[-1] + len(own))
    assert place == len(words)


def test_a_row_that_fits_asks_one_prompt_as_it_is(bert_mlm: Tiny) -> None:
    planner = MlmPlanner(TextEncoder(bert_mlm.tokenizer), 24)
    (prompt,) = prompts_of(planner, "a great movie")
    assert texts_of([prompt]) == ["a great movie"]
    assert not prompt.goes_on


def test_demonstrations_stay_before_each_piece_while_they_leave_room(bert_mlm: Tiny) -> None:
    planner = MlmPlanner(TextEncoder(bert_mlm.tokenizer), 24)
    for demos, dropped in ((["good town. "], 0), (["a great movie good town. "] * 3, 1)):
        prompts = prompts_of(planner, "great movie " * 30, None, demos)
        plans = [planner.planned(prompt) for prompt in prompts]
        assert len(prompts) > 1
        assert {plan.fitted.dropped >= dropped for plan in plans if isinstance(plan, Plan)} == {True}
        assert all(plan.fitted.cut == 0 for plan in plans if isinstance(plan, Plan))
        assert all(any(piece.kind is Kind.DEMO for piece in prompt.pieces) for prompt in prompts)


def questions_of(kind: str, pool: Any) -> Questions:
    text: Any = ["{text}", "It is {mask}"] if kind == "nsp" else "It is {mask}. {text}"
    template = template_of(scorer=kind, text=text, verbalizer={"labels": {"good": ["fine", "nice"], "bad": "poor"}})
    task = Task(template, verbalizer_of(template))
    cover = [False, True, True]
    return Questions(task, None, 1, lambda prompt: [replace(prompt, goes_on=on) for on in cover], pool)


SCORES = [[-3.0, -4.0, -5.0], [-30.0, -29.0, -33.0], [-7.0, -9.0, -6.5]]


@pytest.mark.parametrize("kind", ["mlm", "nsp"])
@pytest.mark.parametrize("pool", ["mean", "max", "logsumexp"])
def test_what_pieces_score_is_pooled_as_worked_by_hand(kind: str, pool: Any) -> None:
    questions = questions_of(kind, pool)
    prompts = questions.of(Row({"text": "a text"}))
    answer = questions.answer(prompts, [Scored(tuple(of), (1, 1, 1)) for of in SCORES])
    assert isinstance(answer, Answer)
    of = SCORES
    if kind == "mlm":  # each piece is a distribution over the words first
        of = [[one - math.log(sum(map(math.exp, row))) for one in row] for row in SCORES]
    by_hand = {
        "mean": [sum(column) / 3 for column in zip(*of, strict=True)],
        "max": [max(column) for column in zip(*of, strict=True)],
        "logsumexp": [math.log(sum(map(math.exp, column)) / 3) for column in zip(*of, strict=True)],
    }[pool]
    assert list(answer.words.values()) == pytest.approx(by_hand, abs=1e-9)
    assert answer.pieces == 3


@given(tokens=st.integers(1, 60), room=st.integers(1, 20), stride=st.integers(1, 20), most=st.integers(1, 20))
def test_parts_come_to_an_end_and_leave_no_token_out(tokens: int, room: int, stride: int, most: int) -> None:
    """Also where a part may hold fewer tokens than there is room for: beside a template, some become two."""
    text = "".join(chr(0x4E00 + i) for i in range(tokens))
    spans = [(i, i + 1) for i in range(tokens)]
    parts = list(islice(fitting._parts(text, spans, room, min(stride, room), lambda part: len(part) <= most), 200))
    assert len(parts) < 200
    assert {c for part in parts for c in part} == set(text)
    assert all(len(part) <= max(1, min(room, most)) for part in parts)
    assert [text.index(part) for part in parts] == sorted({text.index(part) for part in parts})
