"""The shelf: every shipped template, verbalizer and example file is sound, and reads as its golden file says."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import pytest

from promptshot.classify.classifier import Classifier
from promptshot.classify.prediction import Prediction
from promptshot.classify.recipe import Recipe
from promptshot.cli import run_command
from promptshot.prompts import library
from promptshot.prompts.template import Template, example_row
from promptshot.prompts.verbalizer import Verbalizer
from promptshot.rows.read import read
from promptshot.rows.row import Reject, Row

GOLDEN = Path(__file__).parents[1] / "golden"
ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
FEWCLUE = ROOT.parent / "shared" / "data" / "fewclue"  # for measuring only, so absent where the project is installed
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
    "zh-comments.jsonl": ("zh-sentiment3-mlm", "zh-sentiment3-nsp", "zh-sentiment3-causal"),
    "en-posts.jsonl": ("en-sentiment3-mlm", "en-sentiment3-nsp", "en-sentiment3-causal"),
    "zh-replies.jsonl": ("zh-toxicity-mlm", "zh-toxicity-nsp", "zh-toxicity-causal"),
    "en-tickets.csv": ("en-urgency-mlm", "en-urgency-nsp", "en-urgency-causal"),
    "en-stances.jsonl": ("en-stance-mlm", "en-stance-nsp", "en-stance-causal"),
    "zh-products.jsonl": ("zh-product-mlm", "zh-product-nsp", "zh-product-causal"),
}
each_template = pytest.mark.parametrize("name", TEMPLATES)
each_verbalizer = pytest.mark.parametrize("name", VERBALIZERS)
each_example_file = pytest.mark.parametrize("file", FITTING)


def load(name: str) -> tuple[Template, Verbalizer]:
    template = library.template(name)
    return template, library.verbalizer_of(template)


def first_words(template: Template, verbalizer: Verbalizer) -> list[str]:
    """The first word of the first two labels; a pair without a blank has the empty word alone."""
    if template.spec.ordered:
        return [""]
    if template.spec.words_from:
        return list(verbalizer.choices(example_row(template))[:2])
    return [next(iter(words)) for words in verbalizer.labels.values()][:2]


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
    both = ("sentiment", "news", "same", "entailment", "emotion", "intent", "spam", "subjectivity", "question", "topic")
    more = ("opinion", "sentiment3", "toxicity", "urgency", "priority", "stance", "product")
    tasks = {
        "zh": [*both, *more, "app", "paper", "idiom", "keywords", "pronoun"],
        "en": [*both, *more, "sentiment5"],
    }
    expected = {f"{language}-{task}-{scorer}" for language in tasks for task in tasks[language] for scorer in SCORERS}
    assert expected <= set(TEMPLATES)


def test_the_shelf_holds_at_least_46_templates_and_22_verbalizers() -> None:
    assert len(TEMPLATES) >= 46
    assert len(VERBALIZERS) >= 22


@each_template
def test_every_template_is_named_language_task_scorer(name: str) -> None:
    template = library.template(name)
    assert re.fullmatch(rf"(zh|en)(-[a-z]+[35]?)+-{template.spec.scorer}", name)
    assert (template.spec.verbalizer or name[:3]).startswith(name[:3])


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
    assert path.is_file(), (
        "no golden file; run: PROMPTSHOT_UPDATE_GOLDEN=1 pytest tests/prompts/test_shelf.py, then read it"
    )
    assert page == path.read_text(encoding="utf-8")


@each_template
def test_every_example_holds_what_the_template_needs_and_a_label_of_its_verbalizer(name: str) -> None:
    template, verbalizer = load(name)
    assert set(template.spec.example) == {*template.needs, template.spec.label_field}
    row = example_row(template)
    label, _ = verbalizer.gold_label(row, template.spec.label_field)
    assert label in (verbalizer.choices(row) if template.spec.words_from else verbalizer.names)


@each_template
def test_every_template_classifies_its_example(name: str) -> None:
    template, verbalizer = load(name)
    (found,) = Classifier.of(Recipe.of(template, verbalizer, "fake")).outcomes([example_row(template)])
    assert isinstance(found, Prediction)
    assert found.gold is not None
    assert found.label in (verbalizer.choices(found.row) if template.spec.words_from else verbalizer.names)


@each_template
def test_demonstrations_of_several_lines_are_parted_by_an_empty_line(name: str) -> None:
    template, verbalizer = load(name)
    words = first_words(template, verbalizer)
    text = template.render(example_row(template), words).text(words[0])
    assert text == text.strip()
    assert template.spec.separator == ("\n\n" if "\n" in text else "\n")


@pytest.mark.parametrize("name", [name for name in TEMPLATES if re.match("(zh|en)-topic-", name)])
def test_a_topic_template_keeps_words_of_any_length_whole(name: str) -> None:
    template, _ = load(name)
    for word in ("customer service", "人工智能与机器人", "C++"):
        assert word in template.render(example_row(template), [word]).text(word)


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
    for label in verbalizer.names:
        for spelling in (label, *verbalizer.gold.get(label, ())):
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
        ("en-emotion-nsp", 0, "sadness"),
        ("en-spam-mlm", "ham", "ham"),
        ("en-question-nsp", "ENTY", "entity"),
        ("zh-question-mlm", "NUM", "number"),
        ("en-sentiment5-nsp", 4, "very positive"),
        ("en-sentiment5-mlm", "very negative", "very negative"),
        ("zh-emotion-mlm", "高兴", "joy"),
        ("zh-app-mlm", 23, "MOBA"),
        ("zh-app-nsp", "语言(非英语)", "语言(非英语)"),
        ("zh-paper-nsp", "临床医学", "基础医学/临床医学"),
        ("zh-keywords-nsp", "1", "related"),
        ("en-sentiment3-mlm", "NEU", "neutral"),
        ("en-sentiment3-causal", "pos", "positive"),
        ("zh-sentiment3-nsp", "消极", "negative"),
        ("zh-sentiment3-mlm", "中评", "neutral"),
        ("zh-sentiment3-causal", "积极", "positive"),
        ("en-toxicity-nsp", "non-toxic", "not toxic"),
        ("zh-toxicity-mlm", "辱骂", "toxic"),
        ("en-urgency-causal", "routine", "not urgent"),
        ("zh-urgency-mlm", "紧急", "urgent"),
        ("en-priority-mlm", "High", "high"),
        ("zh-priority-nsp", "中", "medium"),
        ("en-stance-mlm", "FAVOR", "favor"),
        ("zh-stance-causal", "反对", "against"),
        ("en-product-nsp", "Clothing & Accessories", "clothing"),
        ("zh-product-mlm", "书籍", "books"),
        ("zh-pronoun-nsp", "false", "false"),
        ("zh-pronoun-causal", True, "true"),
    ],
)
def test_labels_are_read_as_the_usual_data_sets_spell_them(template: str, gold: str | int | bool, label: str) -> None:
    _, verbalizer = load(template)
    assert verbalizer.gold_label(Row({"label": gold}), "label")[0] == label


@pytest.mark.parametrize(
    "name", ["en-sentiment3", "zh-sentiment3", "en-priority", "zh-priority", "en-stance", "zh-stance"]
)
def test_numbers_that_data_sets_count_in_different_ways_are_no_spelling(name: str) -> None:
    verbalizer = library.verbalizer(name)
    assert not [n for n in range(-1, 6) if verbalizer.gold_label(Row({"label": n}), "label")[0]]


@pytest.mark.parametrize("file", [file for file in FITTING if file != "zh-pairs.jsonl"])
@pytest.mark.parametrize("scorer", SCORERS)
def test_an_example_file_is_given_a_template_of_its_own_task(
    file: str, scorer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["classify", str(EXAMPLES / file), "--scorer", scorer, "--dry-run"]) == 0
    (told,) = re.findall("template ([a-z0-9-]+): the rows' labels", capsys.readouterr().err)
    tasks = {name.split("-")[1] for name in FITTING[file]}
    assert told.split("-")[1] in tasks
    assert told.endswith(f"-{scorer}")


@pytest.mark.parametrize(("name", "size"), [("zh-app", 119), ("zh-paper", 67)])
def test_the_large_label_sets_are_complete_as_names_and_as_tags_of_two_characters(name: str, size: int) -> None:
    full, short = library.verbalizer(name), library.verbalizer(f"{name}-short")
    assert full.names == short.names
    assert full.gold == short.gold
    assert full.choices(Row({})) == full.names
    assert len(full.names) == size
    tags = short.choices(Row({}))
    assert len(set(tags)) == size
    assert {len(tag) for tag in tags} == {2}


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name.startswith("zh") and name.endswith("mlm")])
def test_chinese_words_of_a_cloze_have_one_length_so_that_their_scores_compare(name: str) -> None:
    template, verbalizer = load(name)
    words = verbalizer.choices(example_row(template))
    assert len({len(word) for word in words}) == 1
    assert not any(re.search("[A-Za-z]", word) for word in words)


@pytest.mark.skipif(not FEWCLUE.is_dir(), reason="FewCLUE is not beside this checkout")
@pytest.mark.parametrize(
    ("data", "task", "column"),
    [
        ("eprstmt", "sentiment", "label"),
        ("tnews", "news", "label"),
        ("tnews", "news", "label_desc"),
        ("csldcp", "paper", "label"),
        ("iflytek", "app", "label"),
        ("iflytek", "app", "label_des"),
        ("bustm", "same", "label"),
        ("ocnli", "entailment", "label"),
        ("csl", "keywords", "label"),
        ("cluewsc", "pronoun", "label"),
        ("chid", "idiom", "answer"),
    ],
)
def test_every_label_of_fewclue_is_known(data: str, task: str, column: str) -> None:
    files = [str(FEWCLUE / data / name) for name in ("train_few_all.json", "test_public.json")]
    items = [item for item in read(files) if isinstance(item, Row)]
    for name in (name for name in TEMPLATES if re.match(rf"zh-{task}-", name) and name != "zh-news-article-nsp"):
        template, verbalizer = load(name)
        found = {verbalizer.gold_label(row, column)[0] for row in items}
        assert None not in found
        assert template.spec.words_from or found == set(verbalizer.names)


def test_every_example_file_is_listed_here() -> None:
    several = {"en-stays.jsonl", "zh-stays.jsonl"}  # labels a row, of which no template of the shelf is
    assert {path.name for path in EXAMPLES.iterdir() if path.suffix in (".jsonl", ".csv")} == set(FITTING) | several


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
