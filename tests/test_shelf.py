"""The shelf: every shipped template, verbalizer and example file is sound, and reads as its golden file says."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import pytest

from promptshot import library
from promptshot.prompts import Template, example_row
from promptshot.rows import Reject, Row, read
from promptshot.verbalizer import Verbalizer

GOLDEN = Path(__file__).parent / "golden"
EXAMPLES = Path(__file__).parent.parent / "examples"
SCORERS = ("mlm", "nsp", "causal")
UPDATE = os.environ.get("PROMPTSHOT_UPDATE_GOLDEN") == "1"

TEMPLATES = library.names("templates")
VERBALIZERS = library.names("verbalizers")
FITTING = {
    "zh-reviews.jsonl": ("zh-sentiment-mlm", "zh-sentiment-nsp", "zh-sentiment-causal"),
    "en-reviews.jsonl": ("en-sentiment-mlm", "en-sentiment-nsp", "en-sentiment-causal"),
    "zh-headlines.jsonl": ("zh-news-mlm", "zh-news-nsp", "zh-news-causal", "zh-news-channel-causal"),
    "en-headlines.csv": ("en-news-mlm", "en-news-nsp", "en-news-causal"),
    "zh-pairs.jsonl": ("zh-same-mlm", "zh-same-nsp", "zh-same-causal"),
}
each_template = pytest.mark.parametrize("name", TEMPLATES)
each_verbalizer = pytest.mark.parametrize("name", VERBALIZERS)
each_example_file = pytest.mark.parametrize("file", FITTING)


def load(name: str) -> tuple[Template, Verbalizer]:
    template = library.template(name)
    return template, library.verbalizer_of(template)


def first_words(template: Template, verbalizer: Verbalizer) -> list[str]:
    """The first word of the first two labels; a pair without a blank has the empty word alone."""
    return [""] if template.spec.ordered else [next(iter(words)) for words in verbalizer.labels.values()][:2]


def shown(template: Template, verbalizer: Verbalizer) -> str:
    """The golden page: the example with each word in the blank (segments by ' | '), and what is scored."""
    words = first_words(template, verbalizer)
    prompt = template.render(example_row(template), words)
    lines = []
    for word in words:
        text = prompt.text(word)
        gap = "\n" if "\n" in text else " "
        lines.append(f"{word} ->{gap}{text}\n" if word else f"{text}\n")
    between = "\n" if any(line.count("\n") > 1 for line in lines) else ""
    return between.join(lines) + f"\nscored: {prompt.scored}\n"


def rows_of(file: str) -> list[Row]:
    items = list(read([str(EXAMPLES / file)]))
    rejects = [item for item in items if isinstance(item, Reject)]
    assert not rejects
    return [item for item in items if isinstance(item, Row)]


def test_every_task_is_on_the_shelf_for_every_scorer_in_both_languages() -> None:
    tasks = ("sentiment", "news", "same", "entailment")
    expected = {f"{language}-{task}-{scorer}" for language in ("zh", "en") for task in tasks for scorer in SCORERS}
    assert expected <= set(TEMPLATES)


@each_template
def test_every_template_is_named_language_task_scorer(name: str) -> None:
    template = library.template(name)
    assert re.fullmatch(rf"(zh|en)(-[a-z]+)+-{template.spec.scorer}", name)
    assert isinstance(template.spec.verbalizer, str)
    assert template.spec.verbalizer.startswith(name[:3])


@each_template
def test_every_template_says_what_it_is_about_in_one_line(name: str) -> None:
    about = library.template(name).spec.about
    assert about.strip()
    assert "\n" not in about


@each_template
def test_every_template_renders_its_example_as_its_golden_file_says(name: str) -> None:
    template, verbalizer = load(name)
    page = shown(template, verbalizer)
    path = GOLDEN / f"{name}.txt"
    if UPDATE:
        path.parent.mkdir(exist_ok=True)
        path.write_text(page, encoding="utf-8")
    assert path.is_file(), "no golden file; run: PROMPTSHOT_UPDATE_GOLDEN=1 pytest tests/test_shelf.py, then read it"
    assert page == path.read_text(encoding="utf-8")


@each_template
def test_every_example_holds_what_the_template_needs_and_a_label_of_its_verbalizer(name: str) -> None:
    template, verbalizer = load(name)
    assert set(template.spec.example) == {*template.needs, template.spec.label_field}
    label, _ = verbalizer.gold_label(example_row(template), template.spec.label_field)
    assert label in verbalizer.names


@each_template
def test_demonstrations_of_several_lines_are_parted_by_an_empty_line(name: str) -> None:
    template, verbalizer = load(name)
    words = first_words(template, verbalizer)
    text = template.render(example_row(template), words).text(words[0])
    assert text == text.strip()
    assert template.spec.separator == ("\n\n" if "\n" in text else "\n")


def test_no_golden_file_is_left_over() -> None:
    assert sorted(path.stem for path in GOLDEN.glob("*.txt")) == TEMPLATES


@each_verbalizer
def test_every_verbalizer_is_used_and_says_what_it_is_about_in_one_line(name: str) -> None:
    verbalizer = library.verbalizer(name)
    assert verbalizer.about.strip()
    assert "\n" not in verbalizer.about
    assert name in {library.template(t).spec.verbalizer for t in TEMPLATES}


@each_verbalizer
def test_every_gold_spelling_leads_to_its_label_in_any_case(name: str) -> None:
    verbalizer = library.verbalizer(name)
    assert list(verbalizer.gold) == list(verbalizer.names)
    for label, spellings in verbalizer.gold.items():
        for spelling in (label, *spellings):
            for written in (spelling, spelling.upper(), f" {spelling} "):
                assert verbalizer.gold_label(Row({"label": written}), "label") == (label, written)


@pytest.mark.parametrize(
    ("template", "gold", "label"),
    [
        ("zh-sentiment-mlm", "Positive", "positive"),
        ("en-sentiment-mlm", 0, "negative"),
        ("zh-news-mlm", 100, "story"),
        ("zh-news-mlm", "news_agriculture", "agriculture"),
        ("zh-news-nsp", 116, "game"),
        ("en-news-mlm", 3, "Sci/Tech"),
        ("zh-same-nsp", "1", "same"),
        ("zh-entailment-nsp", "contradiction", "contradiction"),
        ("en-entailment-mlm", 2, "contradiction"),
    ],
)
def test_labels_are_read_as_the_usual_data_sets_spell_them(template: str, gold: str | int, label: str) -> None:
    _, verbalizer = load(template)
    assert verbalizer.gold_label(Row({"label": gold}), "label")[0] == label


def test_every_example_file_is_listed_here() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.suffix in (".jsonl", ".csv")} == set(FITTING)


@each_example_file
def test_every_row_of_an_example_file_renders_and_has_a_known_label(file: str) -> None:
    rows = rows_of(file)
    for name in FITTING[file]:
        template, verbalizer = load(name)
        for row in rows:
            template.render(row, first_words(template, verbalizer))
            label, written = verbalizer.gold_label(row, "label")
            assert label is not None, f"{row.source}: {written!r}"


@each_example_file
def test_example_files_hold_every_label_about_equally_often_and_no_row_twice(file: str) -> None:
    rows = rows_of(file)
    _, verbalizer = load(FITTING[file][0])
    counts = Counter(verbalizer.gold_label(row, "label")[0] for row in rows)
    assert set(counts) == set(verbalizer.names)
    assert max(counts.values()) - min(counts.values()) <= 1
    bodies = [tuple(str(v) for k, v in row.fields.items() if k != "label") for row in rows]
    assert len(set(bodies)) == len(bodies)
