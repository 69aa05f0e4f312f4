"""The next-sentence scorer against the reference, on a tiny BERT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import reference
from helpers import LENGTH, LONG, ROWS, Tiny, prompt_of, rendered, shuffled
from reference import assert_agrees
from tiny import broken_tensors, next_positions, no_mask, no_types

from promptshot.scorers.nsp import NspScorer
from promptshot.scoring import ModelOptions, Prompt

pytestmark = pytest.mark.torch

LABELS = ["体育", "娱乐新闻", "a very long business", "好"]
IDIOMS = ["好", "天气真好", "财经和娱乐"]


def scorer(tiny: Tiny, **options: Any) -> NspScorer:
    return NspScorer.from_checkpoint(ModelOptions(tiny.name, **options))


def pairs() -> list[tuple[Prompt, list[tuple[str, str]]]]:
    """Prompts with the pairs of texts they stand for: prefix, suffix, and pairs without a blank."""
    found = []
    for i, row in enumerate(ROWS):
        if i % 3 == 0:
            prompt = prompt_of([("这是一则", "新闻"), row], LABELS)
            found.append((prompt, [(f"这是一则{label}新闻", row) for label in LABELS]))
        elif i % 3 == 1:
            prompt = prompt_of([row, ("it is ", " news")], LABELS)
            found.append((prompt, [(row, f"it is {label} news") for label in LABELS]))
        else:
            found.append((prompt_of([row, ROWS[i - 1]], [""]), [(row, ROWS[i - 1])]))
    return found


def expected(tiny: Tiny, cases: Sequence[Sequence[tuple[str, str]]]) -> list[list[float]]:
    """What the reference says."""
    return [[reference.nsp(tiny.model, tiny.tokenizer, a, b) for a, b in case] for case in cases]


@pytest.fixture(scope="module")
def truth(bert_nsp: Tiny) -> list[list[float]]:
    """The reference's margins, computed once."""
    return expected(bert_nsp, [case for _, case in pairs()])


def holes() -> list[tuple[Prompt, str, str, bool]]:
    """Prompts whose text has a hole, in both orders: prompt, left, right, whether the word comes first."""
    found = []
    for i, row in enumerate(ROWS):
        left, right = row[: len(row) // 2], row[len(row) // 2 :]
        left = "" if i == 1 else left
        for prefix in (True, False):
            text = ["{mask}", "{text}"] if prefix else ["{text}", "{mask}"]
            keys = {"scorer": "nsp", "text": text, "fields": {"text": {"hole": "#idiom#"}}}
            found.append((rendered(keys, {"text": f"{left}#idiom#{right}"}, IDIOMS), left, right, prefix))
    return found


@pytest.fixture(scope="module")
def truth_of_holes(bert_nsp: Tiny) -> list[list[float]]:
    """The reference's margins for `holes`, with position ids from the formula."""
    model, tokenizer = bert_nsp.model, bert_nsp.tokenizer
    return [
        [reference.nsp_in_hole(model, tokenizer, left, right, idiom, prefix=prefix) for idiom in IDIOMS]
        for _, left, right, prefix in holes()
    ]


@pytest.mark.parametrize("batch_size", [None, 1, 3, 32])
def test_margins_equal_the_reference_for_every_batch_size(
    bert_nsp: Tiny, truth: list[list[float]], batch_size: int | None
) -> None:
    found = scorer(bert_nsp, batch_size=batch_size).score([prompt for prompt, _ in pairs()])
    assert_agrees(found, truth)
    assert all(scored.cut == 0 for scored in found)


def test_margins_do_not_depend_on_the_order_of_the_prompts(bert_nsp: Tiny, truth: list[list[float]]) -> None:
    order = shuffled(len(ROWS))
    assert_agrees(scorer(bert_nsp).score([pairs()[i][0] for i in order]), [truth[i] for i in order])


@pytest.mark.parametrize("batch_size", [None, 1, 3, 32])
def test_a_word_takes_the_positions_of_the_hole(
    bert_nsp: Tiny, truth_of_holes: list[list[float]], batch_size: int | None
) -> None:
    found = scorer(bert_nsp, batch_size=batch_size).score([prompt for prompt, *_ in holes()])
    assert_agrees(found, truth_of_holes)


def test_holes_and_plain_pairs_may_share_a_batch(
    bert_nsp: Tiny, truth: list[list[float]], truth_of_holes: list[list[float]]
) -> None:
    prompts = [*(prompt for prompt, _ in pairs()), *(prompt for prompt, *_ in holes())]
    assert_agrees(scorer(bert_nsp).score(prompts), truth + truth_of_holes)


def test_the_positions_of_a_hole_are_those_of_the_drawing(bert_nsp: Tiny) -> None:
    keys = {"scorer": "nsp", "text": ["{mask}", "{text}"], "fields": {"text": {"hole": "#"}}}
    (query,) = scorer(bert_nsp).plan(rendered(keys, {"text": "这是一#新闻"}, ["体育"])).queries
    #                           [CLS] 体 育 [SEP] 这 是 一 新 闻 [SEP]
    assert query.positions == [0, 5, 6, 1, 2, 3, 4, 7, 8, 9]
    assert query.types == [0] * 4 + [1] * 6


def test_text_around_the_blank_keeps_its_own_positions(bert_nsp: Tiny) -> None:
    keys = {"scorer": "nsp", "text": ["是{mask}的", "{text}"], "fields": {"text": {"hole": "#"}}}
    (query,) = scorer(bert_nsp).plan(rendered(keys, {"text": "这#新"}, ["体育"])).queries
    #                           [CLS] 是 体 育 的 [SEP] 这 新 [SEP]
    assert query.positions == [0, 1, 5, 6, 2, 3, 4, 7, 8]


@pytest.mark.parametrize("harm", [no_mask, no_types, next_positions])
def test_wrong_inputs_make_the_agreement_fail(
    bert_nsp: Tiny, truth: list[list[float]], monkeypatch: pytest.MonkeyPatch, harm: Any
) -> None:
    made = scorer(bert_nsp)
    broken_tensors(monkeypatch, harm)
    found = made.score([prompt for prompt, _ in pairs()])
    with pytest.raises(AssertionError, match="is not"):
        assert_agrees(found, truth)


def test_plain_positions_in_place_of_the_hole_make_the_agreement_fail(
    bert_nsp: Tiny, truth_of_holes: list[list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_tensors(monkeypatch, lambda inputs: inputs.pop("position_ids", None))
    found = scorer(bert_nsp).score([prompt for prompt, *_ in holes()])
    with pytest.raises(AssertionError, match="is not"):
        assert_agrees(found, truth_of_holes)


def test_the_order_of_the_segments_matters(bert_nsp: Tiny, truth: list[list[float]]) -> None:
    swapped = expected(bert_nsp, [[(b, a) for a, b in case] for _, case in pairs()])
    with pytest.raises(AssertionError, match="is not"):
        assert_agrees(scorer(bert_nsp).score([prompt for prompt, _ in pairs()]), swapped)


def test_special_tokens_in_a_text_stay_text(bert_nsp: Tiny) -> None:
    text = "a [SEP] b [CLS] c [MASK] d [PAD]"
    prompt = prompt_of([("这是", "[SEP]"), text], ["[SEP]", "好"])
    made = scorer(bert_nsp)
    for query in made.plan(prompt).queries:
        specials = [i for i in query.ids if i in bert_nsp.tokenizer.all_special_ids]
        assert specials == [bert_nsp.tokenizer.cls_token_id] + [bert_nsp.tokenizer.sep_token_id] * 2
    wanted = [[("这是[SEP][SEP]", text), ("这是好[SEP]", text)]]
    assert_agrees(made.score([prompt]), expected(bert_nsp, wanted))


def test_the_text_is_cut_so_that_the_longest_label_fits_too(bert_nsp: Tiny) -> None:
    made = scorer(bert_nsp, max_length=24)
    keys = {"scorer": "nsp", "text": ["这是一则{mask}新闻", "{text}"]}
    prompt = rendered(keys, {"text": LONG}, LABELS)
    plan = made.plan(prompt)
    (found,) = made.score([prompt])
    text = plan.fitted.pieces[-1].text
    assert max(len(query.ids) for query in plan.queries) == 24
    assert found.cut > 0
    assert LONG.startswith(text)
    assert_agrees([found], expected(bert_nsp, [[(f"这是一则{label}新闻", text) for label in LABELS]]))


def test_a_label_that_grows_beside_its_neighbour_still_fits(bert_nsp: Tiny) -> None:
    """Alone "movie" is one token and "is it" two; behind "z" they are "zmovie" (6 letters) and "zis it" (4)."""
    made = scorer(bert_nsp, max_length=16)
    prompt = rendered({"scorer": "nsp", "text": ["z{mask}", "{text}"]}, {"text": LONG}, ["movie", "is it"])
    assert max(len(q.ids) for q in made.plan(prompt).queries) == 16
    assert made.score([prompt])[0].error is None


def test_two_fields_give_way_evenly_or_in_their_order(bert_nsp: Tiny) -> None:
    made = scorer(bert_nsp, max_length=23)
    for order, lengths in ((0, (10, 10)), (1, (3, 17))):
        keys = {
            "scorer": "nsp",
            "text": ["{a}", "{b}"],
            "ordered": ["no", "yes"],
            "fields": {"b": {"cut_order": order}},
        }
        plan = made.plan(rendered(keys, {"a": LONG, "b": f"{LONG} again"}, [""]))
        sizes = tuple(len(bert_nsp.tokenizer.tokenize(plan.fitted.pieces[i].text)) for i in (0, 2))
        assert sizes == lengths
        assert plan.fitted.cut == 33 - 20


def test_text_around_a_hole_is_cut_on_both_sides_far_from_it(bert_nsp: Tiny) -> None:
    made = scorer(bert_nsp, max_length=20)
    keys = {"scorer": "nsp", "text": ["{mask}", "{text}"], "fields": {"text": {"hole": "#"}}}
    prompt = rendered(keys, {"text": f"{LONG} now # {LONG}"}, IDIOMS)
    plan = made.plan(prompt)
    left, right = plan.fitted.pieces[2].text, plan.fitted.pieces[4].text
    assert left.endswith("a lot now ")
    assert right.startswith(" the movie")
    model, tokenizer = bert_nsp.model, bert_nsp.tokenizer
    wanted = [reference.nsp_in_hole(model, tokenizer, left, right, idiom, prefix=True) for idiom in IDIOMS]
    assert_agrees(made.score([prompt]), [wanted])


def test_a_template_longer_than_the_model_fails_alone(bert_nsp: Tiny, truth: list[list[float]]) -> None:
    too_long = rendered({"scorer": "nsp", "text": ["很" * LENGTH + "{mask}", "{text}"]}, {"text": "a"}, LABELS)
    found = scorer(bert_nsp).score([too_long, *(prompt for prompt, _ in pairs())])
    assert "the template alone takes" in str(found[0].error)
    assert_agrees(found[1:], truth)


def test_each_choice_counts_its_tokens_and_an_empty_one_as_one(bert_nsp: Tiny) -> None:
    found = scorer(bert_nsp).score([pairs()[0][0], pairs()[2][0]])
    assert [scored.tokens for scored in found] == [(2, 4, 4, 1), (1,)]
