"""What the author of a scorer tests it with: it passes those that keep their word, and sees each way of breaking it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from promptshot.errors import RowError
from promptshot.kinds import KINDS
from promptshot.scoring import Kind, Prompt, Scored
from promptshot.testing import FakeScorer, check_scorer, hard, samples


@pytest.mark.parametrize("kind", KINDS)
def test_the_fake_keeps_its_word_for_prompts_of_every_kind(kind: str) -> None:
    check_scorer(FakeScorer(), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_are_what_templates_of_the_kind_can_say(kind: str) -> None:
    row, found = KINDS[kind], samples(kind)
    assert len(set(found)) == len(found) > 12
    scopes = {"choice", "choice+rest", "rest"} if row.left_to_right else {"choice"}
    assert {prompt.scored for prompt in found} == scopes
    pieces = {piece.kind for prompt in found for piece in prompt.pieces}
    assert (Kind.BREAK in pieces) == (2 in row.segments)
    assert (Kind.DEMO in pieces) == row.demonstrations
    assert (("",) in {prompt.choices for prompt in found}) == row.margin
    assert (Kind.HOLE in pieces) == row.holes
    assert any(prompt.several for prompt in found) == row.odds
    texts = [prompt.text() for prompt in found]
    assert any(text.isascii() for text in texts)
    assert any("房间" in text for text in texts)


class Broken(FakeScorer):
    """The fake, with something done to what it gives, or to what is asked of it."""

    def __init__(self, harm: Callable[[Sequence[Prompt], list[Scored]], Any]) -> None:
        super().__init__()
        self.harm = harm

    def score(self, prompts: Sequence[Prompt]) -> Any:
        return self.harm(prompts, super().score(prompts))


def raised(prompts: Sequence[Prompt], found: list[Scored]) -> list[Scored]:
    """An exception where one prompt has no room."""
    if any(len(prompt.text()) > 10_000 for prompt in prompts):
        raise RowError("too long")
    return found


def spread(prompts: Sequence[Prompt], found: list[Scored]) -> list[Scored]:
    """An error for every prompt of a batch where one has no room."""
    return [Scored(error="too long")] * len(prompts) if any(len(p.text()) > 10_000 for p in prompts) else found


def unknown(prompts: Sequence[Prompt], found: list[Scored]) -> list[Scored]:
    """An error for Chinese."""
    return [one if p.text().isascii() else Scored(error="no") for p, one in zip(prompts, found, strict=True)]


def beside(prompts: Sequence[Prompt], found: list[Scored]) -> list[Scored]:
    """Scores beside an error."""
    return [replace(one, error="no room") if len(p.text()) > 10_000 else one
            for p, one in zip(prompts, found, strict=True)]  # fmt: skip


def each(**changes: Any) -> Callable[[Sequence[Prompt], list[Scored]], list[Scored]]:
    """The same change to all."""
    return lambda prompts, found: [
        replace(one, **{name: change(one) for name, change in changes.items()}) for one in found
    ]


BREACHES: dict[str, tuple[Callable[[Sequence[Prompt], list[Scored]], Any], str]] = {
    "another order": (lambda prompts, found: sorted(found, key=lambda one: one.scores), "among others, and"),
    "one too few": (lambda prompts, found: found[:-1], "it gave 0 results for 1 prompts"),
    "one too many": (lambda prompts, found: [*found, Scored((-1.0, -1.0), (1, 1))], "it gave 1 results for 0 prompts"),
    "none": (lambda prompts, found: None, "score failed for 0 prompts.*TypeError"),
    "dicts": (lambda prompts, found: [{"scores": [-1]} for _ in found], "it gave a dict for a prompt"),
    "one score": (each(scores=lambda one: one.scores[:1]), "gave 1 scores for 2 choices"),
    "nan": (each(scores=lambda one: (math.nan, *one.scores[1:])), "a score is not finite"),
    "probabilities": (each(scores=lambda one: tuple(map(math.exp, one.scores))), "a logarithm of a probability"),
    "no tokens": (each(tokens=lambda one: ()), "gave 0 counts of tokens for 2 choices"),
    "lengths in tokens": (each(tokens=lambda one: tuple(n / 2 for n in one.tokens)), "dropped are counts"),
    "minus one": (each(cut=lambda one: -1), "dropped are counts"),
    "the batch counts": (
        lambda prompts, found: [replace(one, scores=tuple(s - len(found) / 1000 for s in one.scores)) for one in found],
        "among others, and .* alone",
    ),
    "the batch cuts": (lambda prompts, found: [replace(one, cut=len(found)) for one in found], "among others, and"),
    "raised": (raised, "score failed for 51 prompts.*: RowError: too long"),
    "spread": (spread, "with .*: too long"),
    "unknown": (unknown, "房间.*: no$"),
    "beside": (beside, "has an error and scores"),
    "an empty error": (lambda prompts, found: [Scored(error="")] * len(found), r"with \['good', 'bad'\]: "),
}  # fmt: skip


@pytest.mark.parametrize("breach", BREACHES)
def test_a_scorer_that_breaks_its_word_is_told_how(breach: str) -> None:
    harm, said = BREACHES[breach]
    with pytest.raises(AssertionError) as caught:
        check_scorer(Broken(harm), "mlm")
    assert re.search(said, str(caught.value)), caught.value
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_margins_may_be_above_0_and_the_last_digits_may_depend_on_the_batch() -> None:
    margins = each(scores=lambda one: tuple(score + 5 for score in one.scores))
    check_scorer(Broken(margins), "nsp")
    nearly = Broken(lambda prompts, found: [
        replace(one, scores=tuple(s - len(found) / 1e7 for s in one.scores)) for one in found
    ])  # fmt: skip
    check_scorer(nearly, "causal")
    with pytest.raises(AssertionError, match="among others"):
        check_scorer(nearly, "causal", tolerance=1e-7)


def test_what_a_scorer_is_made_for_may_be_said() -> None:
    english = [prompt for prompt in samples("mlm") if prompt.text("").isascii()]
    check_scorer(Broken(unknown), "mlm", english)
    assert len(english) > 3


def test_hard_prompts_have_no_room_and_words_that_nobody_has() -> None:
    for kind in KINDS:
        odd, strange, long = hard(kind)
        assert not "".join(odd.choices).isprintable()
        assert "[MASK]" in strange.text()
        assert sum(len(piece.text) for piece in long.pieces if piece.kind is Kind.FIXED) > 10_000
