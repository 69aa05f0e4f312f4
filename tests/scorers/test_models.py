"""The built-in models, as they ship."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptshot.classify.classifier import Classifier
from promptshot.classify.prediction import Prediction
from promptshot.classify.recipe import Recipe
from promptshot.kinds import KINDS
from promptshot.metrics import Tally
from promptshot.prompts import library
from promptshot.prompts.template import example_row
from promptshot.runs.inputs import Inputs
from promptshot.runs.outputs import Outputs
from promptshot.runs.run import run
from promptshot.scorers import load
from promptshot.scoring import ModelOptions, Scorer

pytestmark = pytest.mark.torch

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
BUILT_IN = [name for name, kind in KINDS.items() if kind.builtin]


def tally(path: Path, name: str, limit: int | None = None) -> Tally:
    """The counts of a file under a template of the shelf and the built-in model."""
    template = library.template(name)
    recipe = Recipe.of(template, library.verbalizer_of(template), template.spec.scorer)
    return run(recipe, Inputs([str(path)], limit), Outputs(None)).tally


@pytest.mark.parametrize("name", ["zh-sentiment-mlm", "zh-sentiment-nsp", "zh-sentiment-causal", "en-sentiment-mlm"])
def test_every_scorer_runs_on_its_built_in_model(name: str) -> None:
    found = tally(ROOT / "examples" / f"{name[:2]}-reviews.jsonl", name)
    assert (found.predicted, found.labelled, found.rejected) == (24, 24, 0)


def test_the_built_in_bert_tells_good_chinese_reviews_from_bad_ones() -> None:
    found = tally(ROOT / "examples" / "zh-reviews.jsonl", "zh-sentiment-mlm")
    assert found.accuracy is not None
    assert found.accuracy > 0.6


@pytest.mark.parametrize("scorer", ["mlm", "causal"])
@pytest.mark.parametrize(
    ("file", "name", "least"), [("en-headlines.csv", "en-news", 0.7), ("zh-headlines.jsonl", "zh-news", 0.5)]
)
def test_the_built_in_models_sort_headlines(file: str, name: str, least: float, scorer: str) -> None:
    found = tally(ROOT / "examples" / file, f"{name}-words-{scorer}")
    assert found.accuracy is not None
    assert found.accuracy > least


@pytest.fixture(scope="module")
def live() -> dict[str, Scorer]:
    """Each scorer with its built-in model."""
    return {name: load(name, ModelOptions()) for name in BUILT_IN}


@pytest.mark.parametrize("name", [one for one in library.names("templates") if one.rpartition("-")[2] in BUILT_IN])
def test_every_template_of_the_shelf_scores_its_example(name: str, live: dict[str, Scorer]) -> None:
    template = library.template(name)
    recipe = Recipe.of(template, library.verbalizer_of(template), template.spec.scorer)
    (found,) = Classifier(recipe, live[template.spec.scorer]).outcomes([example_row(template)])
    assert isinstance(found, Prediction), found
    assert found.gold is not None
    assert found.cut == 0


@pytest.mark.skipif(not DATA.is_dir(), reason="the evaluation data is not here")
@pytest.mark.parametrize("name", ["zh-sentiment-mlm", "zh-sentiment-nsp"])
def test_the_built_in_bert_is_clearly_above_chance_on_eprstmt(name: str) -> None:
    found = tally(DATA / "fewclue" / "eprstmt" / "test_public.json", name)
    assert found.interval is not None
    assert found.interval[0] > 0.55


@pytest.mark.skipif(not DATA.is_dir(), reason="the evaluation data is not here")
def test_pairs_are_ranked_over_the_whole_run_with_equal_shares() -> None:
    found = tally(DATA / "fewclue" / "bustm" / "test_public.json", "zh-same-nsp", 200)
    assert sorted(found.predictions.values()) == [100, 100]
