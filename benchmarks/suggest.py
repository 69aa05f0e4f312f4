"""How well suggested label words do beside those of the shelf, on whole test sets: a table as Markdown.

python -m benchmarks.suggest DATA [--train 0 1 2] [--seed S] [-m MODEL]

DATA has `fewclue/` in its own layout. Words are found on half of the labelled rows of train_N, as `promptshot suggest`
does; the judging rows are the other half, and test_public is seen by neither.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from promptshot.authoring import suggest
from promptshot.authoring.suggest import Suggestion
from promptshot.classify.classifier import Classifier
from promptshot.classify.prediction import Prediction
from promptshot.classify.recipe import Recipe
from promptshot.metrics import Tally
from promptshot.paired import Paired
from promptshot.prompts import library
from promptshot.prompts.task import Task
from promptshot.prompts.verbalizer import Verbalizer
from promptshot.rows.read import read
from promptshot.rows.row import Item, Row
from promptshot.scorers import Loader
from promptshot.scoring import ModelOptions

WORKS = {
    "eprstmt": ("zh-sentiment-mlm", "zh-sentiment-words-mlm"),
    "tnews": ("zh-news-mlm", "zh-news-words-mlm"),
}
HEAD = ("data", "template", "words", "a label", "judging rows", "test_public", "95% interval", "p")


class Line(NamedTuple):
    """Some label words of a template: how many a label, and how often they are right; `p` is beside the shelf's."""

    data: str
    template: str
    words: str
    per_label: float
    judged: Tally
    tested: Tally
    p: float | None = None

    def cells(self) -> list[str]:
        """As they stand in the table."""
        low, high = self.tested.interval or (0.0, 0.0)
        judged = f"{self.judged.accuracy or 0:.1%} of {self.judged.labelled}"
        p = "" if self.p is None else "<0.001" if self.p < 0.001 else f"{self.p:.3f}"
        counts = (f"{self.per_label:.1f}", judged, f"{self.tested.accuracy or 0:.1%}", f"{low:.1%} to {high:.1%}", p)
        return [self.data, f"`{self.template}`", self.words, *counts]


def tested(recipe: Recipe, words: Verbalizer, rows: Sequence[Item], loader: Loader) -> list[Prediction]:
    """What label words make of rows."""
    made = Recipe.of(recipe.template, words, recipe.scorer, recipe.options)
    return [one for one in Classifier.of(made, loader).outcomes(rows) if isinstance(one, Prediction)]


def tally_of(predictions: Sequence[Prediction]) -> Tally:
    """How often they are right."""
    tally = Tally(list(predictions[0].label_scores))
    for one in predictions:
        tally.add(one.label, one.gold, one.gold_value)
    return tally


def lines(folder: Path, data: str, name: str, draws: Sequence[int], seed: int, model: str) -> Iterator[Line]:
    """The words of the shelf, then those that each train_N suggests."""
    template, loader = library.template(name), Loader()
    recipe = Recipe.of(template, library.verbalizer_of(template), options=ModelOptions(model))
    rows = _known(read([str(folder / data / "test_public.json")]), recipe.task)
    shelf = tested(recipe, recipe.verbalizer, rows, loader)
    for number in draws:
        found = suggest.suggest(recipe, read([str(folder / data / f"train_{number}.json")]), seed=seed, loader=loader)
        assert found.judged is not None
        assert found.judged.present is not None
        if number == draws[0]:
            of = recipe.verbalizer
            yield Line(data, name, f"shelf: {of.name}", _per_label(of), found.judged.present, tally_of(shelf))
        yield _suggested(
            found, data, f"suggested, train_{number}", shelf, tested(recipe, found.verbalizer, rows, loader)
        )


def _suggested(
    found: Suggestion, data: str, words: str, shelf: Sequence[Prediction], ours: Sequence[Prediction]
) -> Line:
    assert found.judged is not None
    pair = Paired.of((a.label == a.gold, b.label == b.gold) for a, b in zip(shelf, ours, strict=True))
    per_label = _per_label(found.verbalizer)
    return Line(data, found.template, words, per_label, found.judged.found, tally_of(ours), pair.p)


def _known(items: Iterator[Item], task: Task) -> list[Item]:
    return [item for item in items if isinstance(item, Row) and task.gold(item)[0]]


def _per_label(words: Verbalizer) -> float:
    return sum(map(len, words.labels.values())) / len(words.labels)


def main(given: Sequence[str] | None = None) -> int:
    """Print the table; where the data are not there, say so."""
    parser = argparse.ArgumentParser(prog="benchmarks.suggest", description="suggested label words on whole test sets")
    parser.add_argument("data", type=Path, help="a folder with fewclue/")
    parser.add_argument("--train", type=int, nargs="+", default=[0], help="which train_N; the draws of FewCLUE")
    parser.add_argument("--seed", type=int, default=0, help="which of their rows find words")
    parser.add_argument("-m", "--model", default="builtin:bert")
    options = parser.parse_args(given)
    folder = options.data / "fewclue"
    works = {data: names for data, names in WORKS.items() if (folder / data / "test_public.json").is_file()}
    if not works:
        print(f"skipped: no {' or '.join(WORKS)} under {folder}", file=sys.stderr)
        return 0
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * 3}{'--:|' * (len(HEAD) - 3)}")
    for data, names in works.items():
        for name in names:
            for line in lines(folder, data, name, options.train, options.seed, options.model):
                print(f"| {' | '.join(line.cells())} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
