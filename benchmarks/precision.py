"""What each precision does to speed and scores, in one run: a table as Markdown.

python -m benchmarks.precision FILE.jsonl [--field text] [-t TEMPLATE] [-m MODEL] [--rows 200] [--rounds 3]

Precisions take turns, and each is a model of its own; ratios of speed are taken within a round. A margin is the best
label's score less the next one's in float32, and what another precision makes of the same two.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from promptshot.classify.classifier import Classifier
from promptshot.classify.prediction import Prediction
from promptshot.classify.recipe import Recipe
from promptshot.prompts import library
from promptshot.rows.read import read
from promptshot.rows.row import Row
from promptshot.scoring import ModelOptions

PRECISIONS = ("float32", "bfloat16", "mixed")


def classifier(template: str, model: str, dtype: str) -> Classifier:
    """One of a precision, with what a first batch costs behind it."""
    found = library.template(template)
    return Classifier.of(Recipe.of(found, library.verbalizer_of(found), options=ModelOptions(model, dtype=dtype)))


def scored(made: Classifier, rows: Sequence[Row]) -> tuple[float, list[Mapping[str, float]]]:
    """Seconds, and the label scores of each row."""
    begin = time.perf_counter()
    found = [one.label_scores for one in made.outcomes(list(rows)) if isinstance(one, Prediction)]
    return time.perf_counter() - begin, found


def moved(exact: Sequence[Mapping[str, float]], found: Sequence[Mapping[str, float]]) -> tuple[float, float, int]:
    """The largest and the mean difference of a margin, and how many labels flip."""
    apart, flips = [], 0
    for one, other in zip(exact, found, strict=True):
        first, second = sorted(one, key=one.__getitem__, reverse=True)[:2]
        apart.append(abs((one[first] - one[second]) - (other[first] - other[second])))
        flips += max(other, key=other.__getitem__) != first
    return max(apart), sum(apart) / len(apart), flips


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--field", default="text")
    parser.add_argument("-t", "--template", default="zh-sentiment-mlm")
    parser.add_argument("-m", "--model", default="builtin:bert")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    given: Any = parser.parse_args()
    found = [item for item in read([given.file]) if isinstance(item, Row)][: given.rows]
    rows = [Row({"text": str(item.fields[given.field])}, item.source, key=item.key) for item in found]
    made = {dtype: classifier(given.template, given.model, dtype) for dtype in PRECISIONS}
    for one in made.values():
        scored(one, rows[:8])
    rounds = [{dtype: scored(one, rows) for dtype, one in made.items()} for _ in range(given.rounds)]
    print(f"{given.model}, `{given.template}`, {len(rows)} rows, {given.rounds} rounds\n")
    print("| precision | rows/s | times float32 | largest margin | mean margin | labels that flip |")
    print("|---|--:|--:|--:|--:|--:|")
    exact = rounds[0]["float32"][1]
    for dtype in PRECISIONS:
        speed = median(len(rows) / turn[dtype][0] for turn in rounds)
        ratio = median(turn["float32"][0] / turn[dtype][0] for turn in rounds)
        most, mean, flips = moved(exact, rounds[0][dtype][1])
        print(f"| {dtype} | {speed:.1f} | {ratio:.2f} | {most:.3f} | {mean:.3f} | {flips} |")


if __name__ == "__main__":
    main()
