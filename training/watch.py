"""How well a model folder does on development data, through the shelf's own templates: a JSON line.

    python -m training.watch bert MODEL DATA

Accuracy swings with the balance between two label words while the ranking of rows grows better, so the area under
the ROC curve stands beside it (the mean over labels where there are more than two). Test files are never opened.
"""

from __future__ import annotations

import json
import math
import sys
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from pathlib import Path

from promptshot.classify.classifier import Classifier
from promptshot.classify.prediction import Prediction
from promptshot.classify.recipe import Recipe
from promptshot.prompts import library
from promptshot.rows.read import read
from promptshot.scorers import load
from promptshot.scoring import ModelOptions, Scorer

EPRSTMT = ("fewclue/eprstmt/dev_few_all.json", "fewclue/eprstmt/train_few_all.json")
TNEWS, BUSTM, SST2 = ("fewclue/tnews/dev_few_all.json",), ("fewclue/bustm/dev_few_all.json",), ("sst2.dev.jsonl",)
HEADLINES = (str(Path(__file__).with_name("headlines.csv")),)  # our own; AG News has no development part here


@dataclass(frozen=True)
class Look:
    """One template on every `each`-th row of some files below the data folder."""

    files: tuple[str, ...]
    template: str
    each: int = 1


LOOKS = {
    "bert": (
        Look(EPRSTMT, "zh-sentiment-mlm"),
        Look(EPRSTMT, "zh-sentiment-nsp"),
        Look(TNEWS, "zh-news-words-mlm", 4),
        Look(TNEWS, "zh-news-nsp", 4),
        Look(SST2, "en-film-words-mlm", 2),
        Look(SST2, "en-sentiment-nsp", 4),
        Look(HEADLINES, "en-news-words-mlm"),
        Look(HEADLINES, "en-news-nsp"),
        Look(BUSTM, "zh-same-nsp"),
    ),
    "gpt2": (
        Look(EPRSTMT, "zh-sentiment-causal"),
        Look(TNEWS, "zh-news-words-causal", 8),
        Look(SST2, "en-film-words-causal", 2),
        Look(HEADLINES, "en-news-words-causal"),
    ),
}


def auc(positive: list[float], negative: list[float]) -> float:
    """The chance that a positive row outscores a negative one; ties count half."""
    ranked = sorted(negative)
    wins = sum(bisect_left(ranked, score) + bisect_right(ranked, score) for score in positive) / 2
    return wins / (len(positive) * len(negative))


def mean_auc(found: list[Prediction]) -> float:
    """The area of each label against the others by its log-probability, averaged over the labels that occur."""
    areas = []
    for label in found[0].label_scores:
        sides: dict[bool, list[float]] = {True: [], False: []}
        for one in found:
            total = math.log(sum(math.exp(s - one.label_scores[label]) for s in one.label_scores.values()))
            sides[one.gold == label].append(-total)
        if sides[True] and sides[False]:
            areas.append(auc(sides[True], sides[False]))
    return sum(areas) / len(areas)


def measure(model: Path, name: str, data: Path) -> dict[str, float]:
    """Accuracy and area for each look, by the template's name."""
    result: dict[str, float] = {}
    scorers: dict[str, Scorer] = {}
    for look in LOOKS[name]:
        template = library.template(look.template)
        recipe = Recipe.of(
            template, library.verbalizer_of(template), template.spec.scorer, ModelOptions(model=str(model))
        )
        if recipe.scorer not in scorers:
            scorers[recipe.scorer] = load(recipe.scorer, recipe.options)
        scorer = scorers[recipe.scorer]
        rows = list(read([str(data / file) for file in look.files]))[:: look.each]
        found = [one for one in Classifier(recipe, scorer).outcomes(rows) if isinstance(one, Prediction) and one.gold]
        right = sum(one.label == one.gold for one in found) / len(found)
        result[look.template] = round(right, 4)
        if not template.spec.ordered:
            result[f"{look.template} AUC"] = round(mean_auc(found), 4)
    return result


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[2]), sys.argv[1], Path(sys.argv[3]))))
