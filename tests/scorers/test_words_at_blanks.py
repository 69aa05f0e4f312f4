"""What scorers with a language-model head say of words at a blank: which they propose, and what a score is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import reference
import torch
from helpers import ROWS, Tiny, prompt_of, rendered

from promptshot.scorers import load
from promptshot.scoring import Kind, ModelOptions, Prompt, Proposing, Spelling

pytestmark = pytest.mark.torch

CLOZE = [
    prompt_of([("it was ", " ,"), text], ["great"]) for text in ("a good day to read", "the food was awful", "文章")
]
WEIGHTS = [[1.0, 0.0, 0.0], [0.2, 0.3, 0.5], [1.0, -0.5, -0.5]]


def cloze_logs(tiny: Tiny, prompt: Prompt) -> torch.Tensor:
    """log p of the whole vocabulary at one mask, by one plain forward."""
    tokenizer, at = tiny.tokenizer, [piece.kind for piece in prompt.pieces].index(Kind.MASK)
    before = "".join(piece.text for piece in prompt.pieces[:at]).removesuffix(" ")
    after = "".join(piece.text for piece in prompt.pieces[at:])
    left, right = (reference.encode(tokenizer, text) for text in (before, after))
    ids = [tokenizer.cls_token_id, *left, tokenizer.mask_token_id, *right, tokenizer.sep_token_id]
    return reference.logits_of(tiny.model, ids, token_type_ids=[0] * len(ids))[len(left) + 1].log_softmax(-1)


def one_segment(text: str) -> Prompt:
    """A cloze of one segment."""
    return rendered({"scorer": "mlm", "text": "it was {mask} , {text}"}, {"text": text}, ["good"])


def test_words_are_proposed_in_the_order_of_their_weighted_probabilities(bert_mlm: Tiny) -> None:
    prompts = [one_segment(text) for text in ("a good day to read", "the food was awful", "的文章 , 天气真好")]
    logs = torch.stack([cloze_logs(bert_mlm, prompt) for prompt in prompts])  # (prompts, vocabulary)
    whole = {
        token: i
        for token, i in bert_mlm.tokenizer.get_vocab().items()
        if token.isalpha() and not token.startswith("##") and not token.startswith("[")
    }
    scorer = load("mlm", ModelOptions(bert_mlm.name))
    assert isinstance(scorer, Proposing)
    for weights, found in zip(WEIGHTS, scorer.propose(prompts, WEIGHTS, 30), strict=True):
        sums = torch.tensor(weights, dtype=torch.float64) @ logs
        expected = sorted(whole, key=lambda word, sums=sums: -float(sums[whole[word]]))[:30]
        assert found == expected


def test_a_piece_of_a_word_is_never_proposed(gpt2: Tiny, llama: Tiny) -> None:
    for tiny in (gpt2, llama):
        scorer: Any = load("causal", ModelOptions(tiny.name))
        prompts = [prompt_of([(f"{text} Topic: ", "")], ["sports"]) for text in ROWS[:3]]
        (found,) = scorer.propose(prompts, [[1.0, 1.0, 1.0]], 500)
        assert found
        assert len(found) == len(set(found))
        spelled = scorer.planner.words(prompt_of([(f"{ROWS[0]} Topic: ", "")], found))
        assert all(len(tokens) == 1 for tokens in spelled)
        assert all(word.isalpha() for word in found)
        # All are read at one place: with the space before them, or all behind a token for it.
        begins = {tiny.tokenizer.convert_ids_to_tokens(tokens)[0][0] in "Ġ▁" for tokens in spelled}
        assert len(begins) == 1


def test_the_likeliest_tokens_of_many_prompts_are_those_of_each_alone(bert_mlm: Tiny, gpt2: Tiny) -> None:
    for name, tiny in (("mlm", bert_mlm), ("causal", gpt2)):
        scorer: Any = load(name, ModelOptions(tiny.name))
        prompts = [prompt_of([(f"{text} it was ", "")], ["good"]) for text in ROWS]
        together = scorer.top(prompts, 4)
        for prompt, found in zip(prompts, together, strict=True):
            (alone,) = scorer.top([prompt], 4)
            assert [word for word, _ in found] == [word for word, _ in alone]
            assert [score for _, score in found] == pytest.approx([score for _, score in alone], abs=1e-4)


def test_a_prompt_that_does_not_fit_counts_for_nothing(bert_mlm: Tiny) -> None:
    scorer: Any = load("mlm", ModelOptions(bert_mlm.name))
    long = prompt_of([("so " * 400, " ,"), "a"], ["great"])
    assert scorer.top([long, CLOZE[0]], 2)[0] == []
    (with_it,) = scorer.propose([CLOZE[0], long], [[1.0, 9.0]], 5)
    (without,) = scorer.propose([CLOZE[0]], [[1.0]], 5)
    assert with_it == without
    assert scorer.spell([long, CLOZE[0]])[0] == []


MANY: Sequence[Prompt] = (
    prompt_of([("it was ", " ,"), ROWS[1]], ["good", "not so bad", "体育"]),
    prompt_of([ROWS[4], ("这是", "的文章")], ["体", "体育", "zzz"]),
)
GOING_ON: Sequence[Prompt] = (
    *(prompt_of([(f"{text}\nTopic:\n", "")], ["sports", "world news", "体育"]) for text in ROWS[:4]),
    rendered({"scorer": "causal", "text": "{text} It was {mask} ."}, {"text": ROWS[1]}, ["good", "so bad"]),
    rendered(
        {"scorer": "causal", "text": "A {mask} text: {text}", "direction": "channel"},
        {"text": ROWS[1]},
        ["good", "bad"],
    ),
)


def test_the_tokens_of_a_word_sum_to_its_score(bert_mlm: Tiny, roberta: Tiny, gpt2: Tiny, llama: Tiny) -> None:
    clozes, going_on = (("mlm", MANY), ("causal", GOING_ON))
    for (name, prompts), tiny in ((clozes, bert_mlm), (clozes, roberta), (going_on, gpt2), (going_on, llama)):
        scorer: Any = load(name, ModelOptions(tiny.name))
        assert isinstance(scorer, Spelling)
        for prompt, scored, spelled in zip(prompts, scorer.score(prompts), scorer.spell(prompts), strict=True):
            assert len(spelled) == len(prompt.choices)
            assert [sum(token.score for token in of) for of in spelled] == pytest.approx(scored.scores, abs=1e-4)
            leads = [sum(token.score for token in of if token.lead) for of in spelled]
            assert leads == pytest.approx(scored.lead or [0.0] * len(leads), abs=1e-4)
            assert [sum(not token.lead for token in of) for of in spelled] == list(scored.tokens)


def test_tokens_are_shown_as_the_tokenizer_spells_them(bert_mlm: Tiny) -> None:
    scorer: Any = load("mlm", ModelOptions(bert_mlm.name))
    ((good, bad),) = scorer.spell([prompt_of([("it was ", " ,"), "a"], ["体育", "good"])])
    assert [token.text for token in good] == ["体", "育"]
    assert [token.text for token in bad] == ["good"]


def test_a_judge_of_next_sentences_has_neither_words_of_its_own_nor_tokens(bert: Tiny) -> None:
    scorer = load("nsp", ModelOptions(bert.name))
    assert not isinstance(scorer, Proposing)
    assert not isinstance(scorer, Spelling)
