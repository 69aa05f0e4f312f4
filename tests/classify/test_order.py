"""A row's score is its own: shuffling, splitting or joining the input moves no score, and no label."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from promptshot.classify.classifier import Classifier
from promptshot.classify.prediction import Prediction

pytestmark = pytest.mark.torch

EXAMPLES = Path(__file__).parents[2] / "examples"
TOLERANCE = 1e-5  # as a part of the score; float32 has some seven digits, and batches of other shapes add up otherwise
TEMPLATES = ["zh-sentiment-mlm", "zh-sentiment-nsp", "zh-sentiment-causal"]
Found = dict[str, Prediction]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Texts of many lengths, each once."""
    lines = [json.loads(line) for path in sorted(EXAMPLES.glob("zh-*.jsonl")) for line in path.open(encoding="utf-8")]
    found = [line["text"] for line in lines if isinstance(line.get("text"), str)]
    longer = ["".join(found[i : i + n]) for i, n in enumerate((2, 3, 5, 8))]
    return list(dict.fromkeys([*found[::3], *longer]))


@pytest.mark.parametrize("template", TEMPLATES)
def test_no_score_depends_on_the_other_rows(template: str, texts: list[str]) -> None:
    classifier, rng = Classifier.load(template), random.Random(0)
    expected = scored(classifier, [texts])
    shuffled = rng.sample(texts, len(texts))
    cut = rng.randrange(1, len(texts) - 1)
    for parts in ([shuffled], [texts[:cut], texts[cut:]], [[text] for text in texts], [texts + shuffled + texts]):
        assert_same(scored(classifier, parts), expected)


def scored(classifier: Classifier, parts: Sequence[Sequence[str]]) -> Found:
    """Every text's prediction, each part scored in a call of its own."""
    found: Found = {}
    for part in parts:
        found.update(zip(part, classifier.predict(part), strict=True))
    return found


def assert_same(found: Found, expected: Found) -> None:
    assert found.keys() == expected.keys()
    for text, wanted in expected.items():
        assert found[text].label == wanted.label, text
        for word, score in wanted.word_scores.items():
            assert abs(found[text].word_scores[word] - score) <= TOLERANCE * max(1.0, abs(score)), f"{text}: {word}"
