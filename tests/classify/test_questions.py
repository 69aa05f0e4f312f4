"""What several prompts of a row come to: naive Bayes over chunks of demonstrations, against a slow plain way."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from helpers import template_of

from promptshot.classify.demonstrations import Demonstration, Demonstrations
from promptshot.classify.questions import Answer, Questions
from promptshot.prompts.library import verbalizer_of
from promptshot.prompts.task import Task
from promptshot.rows.row import Row
from promptshot.scoring import Prompt, Scored

LABELS = {"labels": {"good": ["fine", "nice"], "bad": "poor"}}
TEMPLATE = template_of(scorer="causal", text="{text}: {mask}", verbalizer=LABELS)
TASK = Task(TEMPLATE, verbalizer_of(TEMPLATE))
POOL = [Demonstration(f"{i}|", "good" if i % 2 else "bad", (str(i),)) for i in range(8)]


def asked(k: int = 6, chunks: int = 3, text: str = "text") -> tuple[Questions, tuple[Prompt, ...]]:
    questions = Questions(TASK, Demonstrations(POOL[:k], k, 0), chunks)
    return questions, questions.of(Row({"text": text}))


def slow(chunks: Sequence[Sequence[float]], without: Sequence[float], beta: float = 0.25) -> list[float]:
    """NBCE as kexue.fm 9617 has it, number by number."""

    def logs(scores: Sequence[float]) -> list[float]:
        weights = [math.exp(score) for score in scores]
        return [math.log(weight / sum(weights)) for weight in weights]

    def entropy(found: Sequence[float]) -> float:
        return sum(-math.exp(log) * log for log in found)

    surest = logs(chunks[0])
    for chunk in chunks[1:]:
        if entropy(logs(chunk)) < entropy(surest):
            surest = logs(chunk)
    return [(beta + 1) * one - beta * other for one, other in zip(surest, logs(without), strict=True)]


def scored(scores: Sequence[float], **more: int) -> Scored:
    return Scored(tuple(scores), (1,) * len(scores), **more)


def test_each_chunk_is_a_prompt_and_one_more_has_no_demonstrations() -> None:
    _, prompts = asked(6, 3)
    assert [prompt.text().count("|") for prompt in prompts] == [2, 2, 2, 0]
    assert all(prompt.text().endswith("text: ____") for prompt in prompts)
    assert {part for prompt in prompts for part in prompt.text().split("|")[:-1]} == set("012345")


@pytest.mark.parametrize("seed", range(20))
def test_chunks_come_to_what_a_slow_reference_says(seed: int) -> None:
    dice = random.Random(seed)
    questions, prompts = asked()
    numbers = [[dice.uniform(-9, 0) for _ in "abc"] for _ in prompts]
    found = questions.answer(prompts, [scored(line) for line in numbers])
    assert isinstance(found, Answer)
    assert tuple(found.words) == ("fine", "nice", "poor")
    assert list(found.words.values()) == pytest.approx(slow(numbers[:-1], numbers[-1]), abs=1e-12)


def test_what_is_certain_in_a_chunk_decides_whichever_it_is() -> None:
    questions, prompts = asked()
    unsure, sure = [-1.0, -1.1, -0.9], [-9.0, -9.0, -0.1]
    for place in range(3):
        lines = [sure if i == place else unsure for i in range(4)]
        found = questions.answer(prompts, [scored(line) for line in lines])
        assert isinstance(found, Answer)
        assert max(found.words, key=found.words.__getitem__) == "poor"


def test_scores_too_low_for_a_float_are_no_trouble() -> None:
    questions, prompts = asked()
    found = questions.answer(prompts, [scored([-2000.0, -3000.0, -2500.0])] * 4)
    assert isinstance(found, Answer)
    assert list(found.words.values()) == pytest.approx([0.0, -1000.0, -500.0])


def test_what_is_to_be_known_of_each_prompt_is_told_of_the_row() -> None:
    questions, prompts = asked()
    found = questions.answer(
        prompts, [scored([-1, -2, -3], cut=2, dropped=1), *[scored([-1, -2, -3], dropped=2)] * 2, scored([-1, -2, -3])]
    )
    assert isinstance(found, Answer)
    assert (found.cut, found.dropped, found.lacking) == (2, 5, 0)
    assert found.tokens == (1, 1, 1)


def test_an_error_of_one_prompt_is_one_of_the_row() -> None:
    questions, prompts = asked()
    lines = [scored([-1, -2, -3])] * 3
    assert questions.answer(prompts, [*lines, Scored(error="too long")]) == "too long"
    assert questions.answer(prompts, [Scored((1.0,), (1,)), *lines]) == "the scorer gave 1 scores for 3 choices"


def test_a_row_that_is_among_the_demonstrations_has_fewer_and_says_so() -> None:
    questions, prompts = asked(6, 3, text="2")
    assert sum(prompt.text().count("|") for prompt in prompts) == 5
    found = questions.answer(prompts, [scored([-1, -2, -3])] * len(prompts))
    assert isinstance(found, Answer)
    assert found.lacking == 1


def test_a_row_with_the_only_demonstration_is_asked_without_any() -> None:
    questions, prompts = asked(1, 2, text="0")
    assert [prompt.text() for prompt in prompts] == ["0: ____"]
    found = questions.answer(prompts, [scored([-1, -2, -3])])
    assert isinstance(found, Answer)
    assert (list(found.words.values()), found.lacking) == ([-1, -2, -3], 1)
