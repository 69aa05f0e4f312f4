"""What may be done with texts longer than the model, side by side: accuracy of each way on the same rows, as Markdown.

python -m benchmarks.long DATA [--rows 100] [--works NAME ...] [--state FILE]

DATA has `fewclue/` in its own layout and `sst2.test.jsonl`. Only rows that do not fit count; as reviews are short,
those of one label are joined until they do not. What is done is kept in the state file, from which a
stopped run goes on.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from promptshot.classify.classifier import Classifier
from promptshot.classify.prediction import Prediction
from promptshot.classify.recipe import Recipe
from promptshot.metrics import wilson
from promptshot.prompts import library
from promptshot.prompts.template import FieldSpec, Template
from promptshot.rows.row import Row
from promptshot.scorers import Loader
from promptshot.scoring import ModelOptions

JOINED = 500  # characters of joined Chinese reviews; of English ones four times as many, which is about as many tokens
# The ways: which end is cut, and the options.
WAYS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "cut, the beginning stays": ("tail", {}),
    "cut, the end stays": ("head", {}),
    "cut, both ends stay": ("middle", {}),
    "windows, mean": ("tail", {"long": "windows"}),
    "windows, max": ("tail", {"long": "windows", "long_pool": "max"}),
    "windows, logsumexp": ("tail", {"long": "windows", "long_pool": "logsumexp"}),
    "hierarchical": ("tail", {"long": "hierarchical"}),
}
Rows = list[dict[str, str]]


def of_file(path: Path, text: str, label: str) -> Rows:
    """Rows with a text and a label, in an order drawn once."""
    with path.open(encoding="utf-8") as lines:
        rows = [{"text": row[text], "label": row[label]} for row in map(json.loads, lines)]
    random.Random(0).shuffle(rows)
    return rows


def joined(rows: Rows, characters: int, between: str) -> Rows:
    """Texts of one label behind one another, each used once, until they are so long."""
    found: Rows = []
    for label in sorted({row["label"] for row in rows}):
        text = ""
        for row in rows:
            if row["label"] == label:
                text = f"{text}{between}{row['text']}" if text else row["text"]
                if len(text) >= characters:
                    found.append({"text": text, "label": label})
                    text = ""
    random.Random(1).shuffle(found)
    return found


# Name -> what it is, its rows, and the templates that are asked.
WORKS: Mapping[str, tuple[str, Callable[[Path], Rows], Sequence[str]]] = {
    "reviews-zh": (
        "reviews of EPRSTMT, joined",
        lambda data: joined(of_file(data / "fewclue/eprstmt/test_public.json", "sentence", "label"), JOINED, ""),
        ("zh-sentiment-mlm", "zh-sentiment-nsp"),
    ),
    "reviews-en": (
        "reviews of SST-2, joined",
        lambda data: joined(of_file(data / "sst2.test.jsonl", "text", "label"), 4 * JOINED, " "),
        ("en-sentiment-mlm", "en-sentiment-embed"),
    ),
    "iflytek": (
        "IFLYTEK, apps of 119 kinds",
        lambda data: of_file(data / "fewclue/iflytek/test_public.json", "sentence", "label_des"),
        ("zh-app-mlm",),
    ),
    "csldcp": (
        "CSLDCP, abstracts of 67 disciplines",
        lambda data: of_file(data / "fewclue/csldcp/test_public.json", "content", "label"),
        ("zh-paper-mlm",),
    ),
}


def asked(name: str, end: str, options: Mapping[str, Any], model: str) -> Recipe:
    """A template of the shelf whose texts give way at one end."""
    template: Template = library.template(name)
    rules = {field: template.spec.fields.get(field) or FieldSpec() for field in template.needs}
    ends = {field: rule.model_copy(update={"cut": end}) for field, rule in rules.items()}
    template = Template.of(template.spec.model_copy(update={"fields": ends}), template.name)
    verbalizer = library.verbalizer_of(library.template(name))
    return Recipe.of(template, verbalizer, options=ModelOptions(model, **options))


def answers(recipe: Recipe, rows: Sequence[dict[str, str]], loader: Loader) -> Iterator[Prediction]:
    """What is made of the rows, those that cannot be read left out."""
    items = [Row(fields, f"row {number}", key=number) for number, fields in enumerate(rows)]
    for one in Classifier.of(recipe, loader).outcomes(items):
        if isinstance(one, Prediction):
            yield one


def too_long(name: str, rows: Rows, most: int, model: str, loader: Loader) -> Rows:
    """The first of the rows that do not fit: by the tokenizer alone."""
    asking = Classifier.of(asked(name, "tail", {"long": "windows"}, model), loader).questions
    return list(islice((row for row in rows if len(asking.of(Row(row))) > 1), most))


def measured(name: str, way: str, rows: Rows, model: str, loader: Loader) -> dict[str, Any]:
    """How often one way is right, and its seconds."""
    end, options = WAYS[way]
    begin = time.perf_counter()
    found = list(answers(asked(name, end, options, model), rows, loader))
    seconds = time.perf_counter() - begin
    return {"right": sum(one.gold == one.label for one in found), "rows": len(found), "seconds": seconds}


def table(title: str, name: str, cells: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """The ways of one template."""
    rows = next(iter(cells.values()))["rows"]
    yield f"\n## {title}: `{name}`, {rows} rows\n"
    yield "| way | accuracy | 95% interval | times as long as cutting |"
    yield "|---|--:|--:|--:|"
    base = cells[next(iter(WAYS))]["seconds"]
    for way, cell in cells.items():
        low, high = wilson(cell["right"], cell["rows"])
        share = cell["right"] / cell["rows"]
        yield f"| {way} | {share:.1%} | {low:.1%} to {high:.1%} | {cell['seconds'] / base:.1f} |"


def main() -> None:
    """Measure what is asked for and not yet known, and print all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--works", nargs="*", default=list(WORKS), choices=list(WORKS))
    parser.add_argument("--templates", nargs="*", help="only these")
    parser.add_argument("--model", default="builtin:bert")
    parser.add_argument("--state", type=Path, help="what is done stands here")
    given = parser.parse_args()
    state: dict[str, Any] = json.loads(given.state.read_text()) if given.state and given.state.exists() else {}
    for work in given.works:
        title, read, names = WORKS[work]
        for name in given.templates or names:
            loader = Loader(keeps=False)
            rows = too_long(name, read(given.data), given.rows, given.model, loader)
            for way in WAYS:
                key = f"{work} {name} {given.rows} {way}"
                if key not in state:
                    state[key] = measured(name, way, rows, given.model, loader)
                    print(key, state[key], file=sys.stderr)
                if given.state:
                    given.state.write_text(json.dumps(state, indent=1))
            cells = {way: state[f"{work} {name} {given.rows} {way}"] for way in WAYS}
            print("\n".join(table(title, name, cells)), flush=True)


if __name__ == "__main__":
    main()
