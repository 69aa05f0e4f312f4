"""Text to ids, and how long texts give way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import transformers
from helpers import LONG, Tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import byte_bpe, sentencepiece_bpe, wordpiece
from tokenizers import Tokenizer

from promptshot.errors import ModelError
from promptshot.scorers.checkpoints.encoder import Layout, TextEncoder, common_prefix, segments
from promptshot.scorers.checkpoints.fitting import Fitted, TooLong, fit
from promptshot.scoring import Cut, Kind, Piece

pytestmark = pytest.mark.torch

RARE = "龘𠮷😀"  # several bytes a character, so several tokens


def field(text: str, cut: Cut = "tail", order: int = 0) -> Piece:
    return Piece(Kind.FIELD, text, cut, order)


def fixed(text: str) -> Piece:
    return Piece(Kind.FIXED, text)


def sized(encoder: TextEncoder) -> Callable[[Sequence[Piece]], int]:
    """The tokens of all pieces as one text."""
    return lambda pieces: len(encoder.ids("".join(piece.text for piece in pieces)))


def shown(fitted: Fitted) -> list[str]:
    return [piece.text for piece in fitted.pieces]


@pytest.fixture(scope="module")
def words(bert: Tiny) -> TextEncoder:
    """WordPiece: a token for a word or a Chinese character."""
    return TextEncoder(bert.tokenizer)


@pytest.fixture(scope="module")
def pieces_of_bytes(gpt2: Tiny) -> TextEncoder:
    """Byte-level BPE."""
    return TextEncoder(gpt2.tokenizer)


# ------------------------------------------------------------------ ids


def test_what_looks_like_a_special_token_is_text(words: TextEncoder, pieces_of_bytes: TextEncoder) -> None:
    for encoder, text in ((words, "a [MASK] b[SEP]"), (pieces_of_bytes, "a<|endoftext|>b")):
        assert not set(encoder.ids(text)) & set(encoder.tokenizer.all_special_ids)
        assert len(encoder.spans(text)) == len(encoder.ids(text))


def test_layouts_are_those_of_the_tokenizer(bert: Tiny, roberta: Tiny, gpt2: Tiny, llama: Tiny) -> None:
    assert TextEncoder(bert.tokenizer).layout(pair=True) == Layout([2], [3], [3], (0, 1))
    assert TextEncoder(bert.tokenizer).layout(pair=False) == Layout([2], [], [3], (0, 0))
    assert TextEncoder(roberta.tokenizer).layout(pair=True) == Layout([0], [2, 2], [2], (0, 0))
    assert TextEncoder(gpt2.tokenizer).layout(pair=False) == Layout([], [], [], (0, 0))
    assert TextEncoder(llama.tokenizer).layout(pair=False) == Layout([1], [], [], (0, 0))


def test_token_types_cover_the_whole_sequence() -> None:
    assert Layout([1], [], [2], (0, 0)).token_types([3]) == [0] * 5
    assert Layout([1], [2], [2], (0, 1)).token_types([3, 2]) == [0] * 5 + [1] * 3


def test_a_text_that_goes_on_gets_no_space_mark(llama: Tiny) -> None:
    encoder = TextEncoder(llama.tokenizer)
    spelled = llama.tokenizer.convert_ids_to_tokens
    assert spelled(encoder.ids("the movie")) == ["▁the", "▁movie"]
    assert spelled(encoder.continuing(" movie")) == ["▁movie"]
    assert not spelled(encoder.continuing("movie"))[0].startswith("▁")


def test_unknown_words_are_those_with_an_unknown_token_or_none(
    words: TextEncoder, pieces_of_bytes: TextEncoder
) -> None:
    assert words.unknown(["体育", "great", "龘", "体龘", " ", ""]) == ["龘", "体龘", " "]
    assert pieces_of_bytes.unknown(["龘", "great"]) == []


def test_slow_tokenizers_serve_too() -> None:
    by_byte = TextEncoder(transformers.ByT5Tokenizer())
    assert by_byte.layout(pair=False) == Layout([], [], [1], (0, 0))
    assert len(by_byte.ids("a</s>b")) == 6
    assert by_byte.spans("房a") == [(0, 1), (1, 2)]
    by_character = TextEncoder(transformers.CanineTokenizer())
    assert by_character.ids("ab") == [97, 98]
    assert by_character.continuing("ab") == [97, 98]
    layout = by_character.layout(pair=True)
    assert (layout.before, layout.between, layout.after) == ([57344], [57345], [57345])


def test_a_tokenizer_that_hides_its_own_tokens_is_refused(bert: Tiny) -> None:
    encoder = TextEncoder(bert.tokenizer)

    class Scrambled:
        def __call__(self, *texts: str, **options: Any) -> dict[str, list[int]]:
            return {"input_ids": [0, 0]}

    encoder.tokenizer = Scrambled()
    with pytest.raises(ModelError, match="its own tokens apart"):
        encoder.layout(pair=False)


def test_common_prefix_is_what_all_sequences_share() -> None:
    assert common_prefix([[1, 2, 3], [1, 2, 4, 5]]) == 2
    assert common_prefix([[1, 2], [1, 2, 3]]) == 2
    assert common_prefix([[1], [2]]) == 0
    assert common_prefix([[], [1]]) == common_prefix([[]]) == 0
    long = list(range(100))
    for place in range(100):
        assert common_prefix([long, [*long[:place], -1, *long[place + 1 :]], long]) == place
        assert common_prefix([long[:place], long]) == place


def test_neighbouring_texts_are_read_as_one() -> None:
    pieces = [fixed("a"), field("b"), Piece(Kind.MASK), fixed("c"), Piece(Kind.BREAK), Piece(Kind.HOLE), fixed("d")]
    assert segments(pieces) == [["ab", Kind.MASK, "c"], [Kind.HOLE, "d"]]


# ------------------------------------------------------------------ fitting


def test_what_fits_is_left_alone(words: TextEncoder) -> None:
    assert fit([field(LONG)], sized(words), 16, words) == Fitted((field(LONG),))


@pytest.mark.parametrize(
    ("cut", "kept"),
    [("tail", "the movie was great"), ("head", "liked the town a lot"), ("middle", "the movie was great town a lot")],
)
def test_a_field_gives_way_where_the_template_says(words: TextEncoder, cut: Cut, kept: str) -> None:
    count = len(kept.split())
    fitted = fit([fixed("it is "), field(LONG, cut)], sized(words), 2 + count, words)
    assert " ".join(fitted.pieces[1].text.split()) == kept
    assert fitted.cut == 16 - count
    assert fitted.pieces[0] == fixed("it is ")


def test_the_longest_field_gives_way_first_and_then_both(words: TextEncoder) -> None:
    pieces = [field("a " * 10), fixed("|"), field("b " * 4)]
    assert [t.split() for t in shown(fit(pieces, sized(words), 9, words))] == [["a"] * 4, ["|"], ["b"] * 4]
    assert [len(t.split()) for t in shown(fit(pieces, sized(words), 6, words))] in ([2, 1, 3], [3, 1, 2])


def test_a_field_of_lower_order_gives_way_wholly_first(words: TextEncoder) -> None:
    pieces = [field("a " * 4, order=1), field("b " * 3, order=0)]
    fitted = fit(pieces, sized(words), 2, words)
    assert [t.split() for t in shown(fitted)] == [["a", "a"], []]
    assert fitted.cut == 5


def test_demonstrations_go_first_and_the_oldest_first(words: TextEncoder) -> None:
    demos = [Piece(Kind.DEMO, f"{n} good . ") for n in "abc"]
    fitted = fit([*demos, field("it was great")], sized(words), 6, words)
    assert shown(fitted) == ["c good . ", "it was great"]
    assert (fitted.dropped, fitted.cut) == (2, 0)
    fitted = fit([*demos, field("it was great")], sized(words), 2, words)
    assert (shown(fitted), fitted.dropped, fitted.cut) == (["it was"], 3, 1)


@pytest.mark.parametrize("marks", [-1, 0, 2])  # tokens that a demonstration has among others, more than alone
def test_as_few_demonstrations_go_as_must_without_a_try_for_each(words: TextEncoder, marks: int) -> None:
    demos = [Piece(Kind.DEMO, "a great day " * (1 + i % 3)) for i in range(40)]
    pieces = [*demos, field("it was great")]
    asked: list[Sequence[Piece]] = []

    def size(of: Sequence[Piece]) -> int:
        asked.append(of)
        return sized(words)(of) + marks * (len(of) - 1)

    for limit in range(3, size(pieces) + 2, 7):
        expected = next(n for n in range(41) if size(pieces[n:]) <= limit)
        asked.clear()
        fitted = fit(pieces, size, limit, words)
        assert (fitted.dropped, list(fitted.pieces)) == (expected, pieces[expected:])
        assert list(asked[-1]) == pieces[expected:]
        assert len(asked) < 12 or marks


def test_a_template_that_does_not_fit_is_too_long(words: TextEncoder) -> None:
    with pytest.raises(TooLong, match="the template alone takes 5 of 4 tokens"):
        fit([fixed("a b c d e "), field("f g")], sized(words), 4, words)


def test_a_template_that_leaves_no_room_for_text_is_too_long(words: TextEncoder) -> None:
    with pytest.raises(TooLong, match="nothing of the text fits into 5 tokens"):
        fit([fixed("a b c d e "), field("f g")], sized(words), 5, words)


def test_a_character_of_many_bytes_goes_as_a_whole(pieces_of_bytes: TextEncoder) -> None:
    cuts: tuple[Cut, ...] = ("tail", "head", "middle")
    for cut in cuts:
        fitted = fit([field("😀", cut), field("ab", order=1)], sized(pieces_of_bytes), 2, pieces_of_bytes)
        assert shown(fitted) == ["", "ab"]
        assert fitted.cut == 4


def test_the_middle_goes_without_doubling_a_character(pieces_of_bytes: TextEncoder) -> None:
    for limit in range(2, 14):
        text = fit([field("xyz😀zyx", "middle"), field("!", order=1)], sized(pieces_of_bytes), limit, pieces_of_bytes)
        assert shown(text)[0].count("😀") <= 1
        assert shown(text)[0].count("x") <= 2


def test_spaces_that_are_no_tokens_still_come_to_an_end(words: TextEncoder) -> None:
    with pytest.raises(TooLong):
        fit([fixed("a b c"), field("   ")], sized(words), 2, words)


def test_two_long_fields_are_fitted_in_few_steps(words: TextEncoder) -> None:
    calls = 0

    def size(pieces: Sequence[Piece]) -> int:
        nonlocal calls
        calls += 1
        return sized(words)(pieces)

    fitted = fit([field("a " * 3000), field("b " * 3000)], size, 100, words)
    assert [len(t.split()) for t in shown(fitted)] == [50, 50]
    assert fitted.cut == 5900
    assert calls <= 4


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.text(alphabet="ab 体育" + RARE, max_size=30), min_size=1, max_size=3),
    cut=st.sampled_from(["tail", "head", "middle"]),
    limit=st.integers(0, 40),
    orders=st.lists(st.integers(0, 1), min_size=3, max_size=3),
)
def test_fitting_always_ends_within_the_limit(
    words: TextEncoder, pieces_of_bytes: TextEncoder, texts: list[str], cut: Cut, limit: int, orders: list[int]
) -> None:
    pieces = [fixed("it was "), *(field(text, cut, order) for text, order in zip(texts, orders, strict=False))]
    for encoder in (words, pieces_of_bytes):
        try:
            fitted = fit(pieces, sized(encoder), limit, encoder)
        except TooLong:
            continue
        assert sized(encoder)(fitted.pieces) <= limit
        assert fitted.pieces[0] == pieces[0]
        for before, after in zip(pieces, fitted.pieces, strict=True):
            left = iter(before.text)
            assert all(character in left for character in after.text)  # a subsequence: nothing new, nothing twice
        assert (fitted.cut > 0) == (fitted.pieces != tuple(pieces))


# ------------------------------------------------------------------ texts with ends

WORDS = ["good", " day", " ", "\n", "体育", "，", "a", "'s", " it", "9", "é", "<s>", "e\u0301", "  ", "🙂"]


@pytest.mark.parametrize("made", [byte_bpe(["<s>"]), sentencepiece_bpe(), wordpiece()], ids=["byte", "piece", "word"])
@given(st.lists(st.sampled_from(WORDS), max_size=60), st.lists(st.sampled_from(WORDS), max_size=4))
def test_a_text_with_an_end_has_the_tokens_of_the_whole(made: Tokenizer, parts: list[str], end: list[str]) -> None:
    encoder = TextEncoder(transformers.PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>"))
    text, ends = "".join(parts), ["".join(end), "", " great"]
    assert encoder.extended(text, ends) == (encoder.ids(text), [encoder.ids(text + each) for each in ends])


def test_only_the_tail_of_a_long_text_is_cut_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = TextEncoder(transformers.PreTrainedTokenizerFast(tokenizer_object=byte_bpe(["<s>"])))
    text = "it was a very good day , said the old man . " * 20
    seen: list[str] = []
    whole = TextEncoder.ids
    monkeypatch.setattr(TextEncoder, "ids", lambda self, text: seen.append(text) or whole(self, text))
    encoder.extended(text, [" great", " awful"])
    assert max(map(len, seen)) < 60
