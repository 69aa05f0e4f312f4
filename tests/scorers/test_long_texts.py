"""Texts longer than the model: cut by what can fit, read in pieces, or read whole."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any

import pytest
from helpers import Tiny
from tiny import byte_bpe, sentencepiece_bpe, unigram, wordpiece
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from promptshot.scorers.checkpoints import fitting
from promptshot.scorers.checkpoints.encoder import TextEncoder
from promptshot.scorers.checkpoints.fitting import Fitted, TooLong, beginning, fit
from promptshot.scoring import Cut, Kind, Piece

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
