"""What each precision does to speed and scores, in one run: a table as Markdown.

python -m benchmarks.precision FILE.jsonl [--field text] [-t TEMPLATE] [-m MODEL ...] [--rows 200] [--rounds 3]

What `promptshot doctor FILE` measures, for several models one behind the other. A model may also be the name of a shape
of random weights (bert-base, gpt2-small, see shapes.py), which says what a precision is worth in speed.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks import shapes
from promptshot.classify.recipe import Recipe
from promptshot.precision import ROUNDS, Measured, measure
from promptshot.prompts import library
from promptshot.rows.read import read
from promptshot.rows.row import Row
from promptshot.scoring import ModelOptions

HEAD = "| model | precision | rows/s | times float32 | largest margin | mean margin | labels that change |"


def line(model: str, one: Measured) -> str:
    """A line of the table."""
    if one.problem:
        return f"| {model} | {one.dtype} | {one.problem} | | | | |"
    moved = f"{one.largest:.3f} | {one.mean:.4f} | {one.changed} of {one.rows}"
    return f"| {model} | {one.dtype} | {one.rows_per_second:.1f} | {one.times:.2f} | {moved} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--field", default="text")
    parser.add_argument("-t", "--template", default="zh-sentiment-mlm")
    parser.add_argument("-m", "--model", nargs="+", default=["builtin:bert"])
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given: Any = parser.parse_args()
    found = [item for item in read([given.file]) if isinstance(item, Row)][: given.rows]
    rows = [Row({"text": str(item.fields[given.field])}, item.source, key=item.key) for item in found]
    template = library.template(given.template)
    print(f"`{given.template}`, {len(rows)} rows\n\n{HEAD}\n|---|---|--:|--:|--:|--:|--:|")
    for model in given.model:
        name = shapes.folder(model) if model in shapes.SHAPES else model
        recipe = Recipe.of(template, library.verbalizer_of(template), options=ModelOptions(str(name)))
        measured = measure(recipe, rows, rounds=given.rounds)
        print("\n".join(line(model, one) for one in measured.found), flush=True)
        print(f"\n{model}: {' '.join(measured.advice)}", flush=True)


if __name__ == "__main__":
    main()
