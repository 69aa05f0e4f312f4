"""What a run keeps is enough to decide again, to the last digit and without a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers import read_rows, write_rows

from promptshot.classify.finish import finished
from promptshot.classify.recipe import DemoPlan, Recipe
from promptshot.prompts import library
from promptshot.prompts.verbalizer import Verbalizer
from promptshot.runs.inputs import Inputs
from promptshot.runs.outputs import Outputs
from promptshot.runs.run import run
from promptshot.scoring import Prompt, Scored

TEXTS = ["房间很干净", "the food was cold", "说好的早餐没有了", "a lovely stay", "还行吧", "never again", "隔音太差"]


class Uneven:
    """A torch-free scorer whose words have from one to three tokens, and scores of many digits."""

    def __init__(self, options: object = None) -> None:
        pass

    def score(self, prompts: list[Prompt]) -> list[Scored]:
        return [self._one(prompt) for prompt in prompts]

    def _one(self, prompt: Prompt) -> Scored:
        text = prompt.text("")
        marks = [sum(map(ord, text + choice)) % 997 for choice in prompt.choices]
        return Scored(tuple(-(mark + 1) / 7.0 for mark in marks), tuple(1 + len(c) % 3 for c in prompt.choices))


def shelf(name: str, **more: Any) -> Recipe:
    template = library.template(name)
    return Recipe.of(template, library.verbalizer_of(template), f"{__name__}:Uneven", **more)


def rows_for(recipe: Recipe) -> list[dict[str, Any]]:
    if recipe.task.own_words:
        return [{"question": t, "choices": [t[:2], t[2:4] + "x", "ok"], "label": i % 2} for i, t in enumerate(TEXTS)]
    fields = [name for name in recipe.template.needs if name != recipe.task.label_field]
    return [{**{name: text + name for name in fields}, "n": i} for i, text in enumerate(TEXTS)]


def kept(recipe: Recipe, folder: Path) -> tuple[list[Mapping[str, Any]], dict[str, Any]]:
    """The rows and the record that a run leaves."""
    folder.mkdir(exist_ok=True)
    out = folder / "out.jsonl"
    run(recipe, Inputs([write_rows(folder / "in.jsonl", rows_for(recipe))]), Outputs(str(out)))
    rows = read_rows(out)
    return rows, json.loads((folder / "out.jsonl.run.json").read_text(encoding="utf-8"))


def check(recipe: Recipe, folder: Path) -> None:
    rows, _ = kept(recipe, folder)
    assert len(rows) == len(TEXTS)
    for row, found in zip(rows, finished(recipe, rows), strict=True):
        assert (row["prediction"], row["scores"]) == (found.label, found.label_scores)
        assert row["probabilities"] == found.probabilities


@pytest.mark.parametrize(
    "name",
    [
        "zh-sentiment-mlm",
        "zh-sentiment-words-mlm",  # several words a label
        "zh-news-nsp",
        "en-news-causal",
        "zh-choice-mlm",  # words of the row
        "zh-entailment-nsp",  # ranked pairs
    ],
)
def test_labels_and_probabilities_come_again_from_what_a_run_wrote(name: str, tmp_path: Path) -> None:
    check(shelf(name), tmp_path)


def test_an_ensemble_comes_again_from_what_it_wrote(tmp_path: Path) -> None:
    other = shelf("zh-sentiment-words-mlm")
    check(replace(shelf("zh-sentiment-mlm"), others=(other,)), tmp_path)


def test_thresholds_decide_again_by_the_cuts_of_the_record(tmp_path: Path) -> None:
    recipe = shelf("zh-entailment-nsp")
    dev = write_rows(tmp_path / "dev.jsonl", rows_for(recipe))
    fixed = Recipe.of(recipe.template, recipe.verbalizer, recipe.scorer, dev=dev)
    rows, record = kept(fixed, tmp_path)
    cut = replace(fixed, decision=replace(fixed.decision, cuts=tuple(record["thresholds"])))  # type: ignore[type-var]
    assert [row["prediction"] for row in rows] == [found.label for found in finished(cut, rows)]


def test_the_record_has_the_tokens_of_each_label_word(tmp_path: Path) -> None:
    words_of = Verbalizer.parse({"labels": {"good": ["fine", "very good"], "bad": ["poor", "cold"]}}, "v")
    recipe = Recipe.of(library.template("en-sentiment-mlm"), words_of, f"{__name__}:Uneven")
    check(recipe, tmp_path)
    _, record = kept(recipe, tmp_path / "again")
    words = [word for of in recipe.verbalizer.labels.values() for word in of]
    assert record["counts"]["tokens"] == {word: 1 + len(word) % 3 for word in words}
    assert record["mean_over_tokens"]


def test_words_that_have_other_tokens_in_another_row_have_none_on_record(tmp_path: Path) -> None:
    class Longer(Uneven):
        def _one(self, prompt: Prompt) -> Scored:
            found = super()._one(prompt)
            more = int("cold" in prompt.text())
            return replace(found, tokens=(found.tokens[0] + more, *found.tokens[1:]))

    globals()["Longer"] = Longer
    recipe = replace(shelf("en-sentiment-mlm"), scorer=f"{__name__}:Longer")
    _, record = kept(recipe, tmp_path)
    first, *others = record["counts"]["tokens"].values()
    assert first == 0
    assert all(others)


def test_rows_without_word_scores_cannot_be_decided_again(tmp_path: Path) -> None:
    recipe = shelf("zh-sentiment-mlm")
    rows, _ = kept(recipe, tmp_path)
    with pytest.raises(KeyError, match="word_scores"):
        finished(recipe, [{key: value for key, value in row.items() if key != "word_scores"} for row in rows])


def test_shots_are_kept_the_same_way(tmp_path: Path) -> None:
    demos = write_rows(tmp_path / "demos.jsonl", [{"text": f"t{i}", "label": str(i % 2)} for i in range(8)])
    template = library.template("en-sentiment-causal")
    words = library.verbalizer_of(template)
    check(Recipe.of(template, words, f"{__name__}:Uneven", demos=DemoPlan(demos, 4)), tmp_path)
