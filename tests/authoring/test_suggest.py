"""Label words from rows: which rows find, which judge, and that what is said of the words is so."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import Hearing, Tiny, failed, jsonl, put_in, template_of, write_rows

from promptshot.authoring import suggest, wordlists
from promptshot.authoring.lint.linter import Linter
from promptshot.authoring.suggest import FEW, Rows, contributions
from promptshot.classify.classifier import Classifier
from promptshot.classify.prediction import Prediction
from promptshot.classify.recipe import Recipe
from promptshot.cli import run_command
from promptshot.errors import InputError, OptionError, PromptshotError
from promptshot.prompts import library
from promptshot.prompts.verbalizer import Verbalizer
from promptshot.rows.row import Row
from promptshot.scoring import Kind, ModelOptions

TOPICS = {"sport": ["ball", "goal", "match", "team", "cup"], "money": ["bank", "stock", "price", "trade", "fund"]}
OTHERS = ["today", "they", "said", "that", "people", "know", "more", "of", "it", "after", "some", "days"]
PRESENT = Verbalizer("present", {"sport": {"day": 1.0}, "money": {"night": 1.0}}, {"sport": ("1",), "money": ("2",)})


def rows_of(per_label: int, seed: int = 0, labels: bool = True) -> list[Row]:
    """Rows of both topics: some of a topic's words, and others that tell nothing."""
    rng = random.Random(seed)
    made = []
    for number in range(per_label):
        for label, words in TOPICS.items():
            text = " ".join([*rng.sample(words, 3), *rng.sample(OTHERS, 5), f"n{seed}x{number}{label[0]}"])
            made.append(Row({"text": text, **({"label": label} if labels else {})}, f"rows:{len(made) + 1}", len(made)))
    return made


def recipe_of(words: Verbalizer = PRESENT, **keys: Any) -> Recipe:
    template = template_of(**{"scorer": "nsp", "text": ["This is {mask}.", "{text}"], **keys})
    return Recipe.of(template, words, "helpers:Hearing", ModelOptions())


@pytest.fixture(autouse=True)
def nothing_asked_yet() -> Iterator[None]:
    Hearing.asked.clear()
    yield
    Hearing.asked.clear()


# ------------------------------------------------------------------ which rows


def test_half_of_each_labels_rows_find_and_the_others_judge() -> None:
    rows = Rows.of(rows_of(9), (), recipe_of().task, seed=3)
    finding, judging = ({row.source for row, _ in of} for of in (rows.finding, rows.judging))
    assert not finding & judging
    assert len(finding | judging) == 18
    assert rows.per_label == {"sport": 5, "money": 5}
    again, other = (Rows.of(rows_of(9), (), recipe_of().task, seed) for seed in (3, 4))
    assert again == rows
    assert {row.source for row, _ in other.finding} != finding


def test_what_another_row_says_neither_finds_nor_judges() -> None:
    given = rows_of(5)
    twins = [replace(row, source=f"twin of {row.source}") for row in given]
    rows = Rows.of([*given, *twins], twins, recipe_of().task, seed=0)
    assert rows.same == 20
    assert len(rows.finding) + len(rows.judging) == 10


def test_of_very_many_rows_some_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suggest, "MOST", 10)
    rows = Rows.of(rows_of(30), rows_of(9, seed=5), recipe_of().task, seed=0)
    assert rows.per_label == {"sport": 5, "money": 5}
    assert (len(rows.judging), len(rows.unlabelled), rows.spare) == (10, 0, 58)
    assert {label for _, label in rows.judging} == {"sport", "money"}
    some = Rows.of(rows_of(2), rows_of(9, seed=5), recipe_of().task, seed=0)
    assert (len(some.finding), len(some.unlabelled), some.spare) == (2, 8, 10)


def test_a_row_of_another_label_or_without_text_is_left_out_and_told() -> None:
    bad = [
        Row({"text": "x", "label": "art"}, "a:1"),
        Row({"label": "sport"}, "a:2"),
        Row({"text": "", "label": 1}, "a:3"),
    ]
    rows = Rows.of([*rows_of(3), *bad], (), recipe_of().task, seed=0)
    assert [one.source for one in rows.left_out] == ["a:1", "a:2", "a:3"]
    assert "'art' is none of ours" in rows.left_out[0].reason


def test_a_label_with_one_row_is_too_few() -> None:
    with pytest.raises(InputError, match=r"too few labelled rows of: money \(1\); a label needs 2") as caught:
        Rows.of([*rows_of(1), rows_of(2)[2]], (), recipe_of().task, seed=0)
    assert "\n" not in str(caught.value)


def test_nothing_that_finds_words_ever_sees_a_row_that_judges() -> None:
    """A word that only judging rows have cannot be a candidate, and nothing is scored in them before all is found."""
    given = rows_of(8)
    judging = {row["text"] for row, _ in Rows.of(given, (), recipe_of().task, seed=0).judging}
    given = [
        replace(row, fields={**row.fields, "text": row["text"] + " zebra"}) if row["text"] in judging else row
        for row in given
    ]
    found = suggest.suggest(recipe_of(), given, seed=0)
    assert {row["text"] for row, _ in found.rows.judging} == {f"{text} zebra" for text in judging}
    texts = [next(p.text for p in prompt.pieces if p.kind is Kind.FIELD) for prompt in Hearing.asked]
    many = [i for i, prompt in enumerate(Hearing.asked) if len(prompt.choices) > 20]  # candidates
    assert many
    assert not any("zebra" in texts[i] for i in range(max(many) + 1))
    assert not any("zebra" in prompt.choices for prompt in Hearing.asked)


# ------------------------------------------------------------------ the words


def test_the_words_that_tell_the_labels_apart_are_found_and_are_better() -> None:
    found = suggest.suggest(recipe_of(), rows_of(20), per_label=4, seed=1)
    for label, words in found.verbalizer.labels.items():
        assert {*words} < {*TOPICS[label]}
    assert found.judged is not None
    assert found.judged.found.accuracy == 1.0
    assert found.judged.present is not None
    assert found.judged.present.labelled == found.judged.found.labelled == 20
    assert "clearly-better" in {remark.code for remark in found.remarks()}


def test_what_is_said_of_the_judging_rows_is_what_a_run_finds() -> None:
    recipe, given = recipe_of(), rows_of(12)
    found = suggest.suggest(recipe, given, seed=2)
    judging = [row for row, _ in found.rows.judging]
    for words, tally in ((found.verbalizer, found.judged.found), (PRESENT, found.judged.present)):  # type: ignore[union-attr]
        task = replace(recipe.task, verbalizer=words)
        outcomes = list(Classifier(replace(recipe, task=task), Hearing()).outcomes(judging))
        right = sum(one.label == one.gold for one in outcomes if isinstance(one, Prediction))
        assert tally is not None
        assert tally.correct == right


def test_the_gain_of_a_word_is_the_accuracy_with_it_less_that_without() -> None:
    rng = random.Random(0)
    words = Verbalizer(
        "v", {"a": {"x": 1.0, "y": 2.0}, "b": {"z": 1.0, "u": 0.5, "v": 1.0}, "c": {"w": 1.0}}, pool="logsumexp"
    )
    predictions = []
    for _ in range(60):
        scores = {word: rng.gauss(-5, 2) for word in "xyzuvw"}
        pooled = words.pooled(tuple(scores), tuple(scores.values()))
        best = max(pooled, key=pooled.__getitem__)
        predictions.append(Prediction(Row({}), best, pooled, scores, {}, gold=rng.choice("abc")))
    found = contributions(words, predictions)
    assert set(found) == set("xyzuv")  # w is its label's only word
    for word, gain in found.items():
        labels = {label: {w: x for w, x in of.items() if w != word} for label, of in words.labels.items()}
        less = Verbalizer("v", labels, pool="logsumexp")
        right = 0
        for one in predictions:
            left = {w: s for w, s in one.word_scores.items() if w != word}
            pooled = less.pooled(tuple(left), tuple(left.values()))
            right += max(pooled, key=pooled.__getitem__) == one.gold
        now = sum(one.label == one.gold for one in predictions)
        assert gain == pytest.approx((now - right) / 60)


def test_the_prior_of_a_word_is_its_mean_score_in_the_rows_that_find_labels_alike() -> None:
    found = suggest.suggest(recipe_of(), rows_of(7), seed=0)
    word = found.words[0]
    scores: dict[str, list[float]] = {"sport": [], "money": []}
    for row, label in found.rows.finding:
        prompt = recipe_of().template.render(row, [word.text])
        scores[label].append(Hearing().score([prompt])[0].scores[0])
    assert word.prior == pytest.approx(sum(sum(of) / len(of) for of in scores.values()) / 2)


def test_words_that_are_no_better_are_said_to_be_so() -> None:
    best = Verbalizer("best", {label: dict.fromkeys(words, 1.0) for label, words in TOPICS.items()}, pool="max")
    found = suggest.suggest(recipe_of(best), rows_of(10), candidates=["today", "days"], seed=0)
    (verdict,) = [remark for remark in found.remarks() if remark.code == "not-better"]
    assert verdict.line == "the suggested words are not better than best in the judging rows: keep best"


def test_few_rows_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    codes = {remark.code for remark in suggest.suggest(recipe_of(), rows_of(3), seed=0).remarks()}
    assert "few-rows" in codes
    assert "few-rows" not in {r.code for r in suggest.suggest(recipe_of(), rows_of(2 * FEW), seed=0).remarks()}


def test_as_many_words_are_given_as_were_asked_for() -> None:
    found = suggest.suggest(recipe_of(), rows_of(10), per_label=3, seed=0)
    assert [len(of) for of in found.verbalizer.labels.values()] == [3, 3]


def test_candidates_that_are_given_are_the_only_ones() -> None:
    found = suggest.suggest(recipe_of(), rows_of(10), candidates=["bank", "goal", "today", "days"], seed=0)
    assert found.candidates == 4
    assert found.verbalizer.labels["sport"].keys() >= {"goal"}
    assert found.verbalizer.labels["money"].keys() >= {"bank"}
    assert all(set(prompt.choices) <= {"bank", "goal", "today", "days", "day", "night"} for prompt in Hearing.asked)


def test_rows_without_a_label_find_words_by_what_the_present_ones_make_of_them() -> None:
    words = Verbalizer("few", {"sport": {"ball": 1.0}, "money": {"bank": 1.0}}, {"sport": ("1",)})
    found = suggest.suggest(recipe_of(words), rows_of(60, labels=False), per_label=5, seed=0)
    for label, of in found.verbalizer.labels.items():
        assert len({*of} & {*TOPICS[label]}) >= 3  # from one word of it to others
    assert found.judged is None
    said = {remark.code: remark.line for remark in found.remarks()}
    assert said["soft-labels"].startswith("120 rows without a label found words by what few makes of them")
    assert "nothing judges these words" in said["unjudged"]


def test_more_rows_help_those_with_labels_and_theirs_are_of_no_interest() -> None:
    more = [
        replace(row, fields={**row.fields, "label": "money"}, source=f"more:{row.key}") for row in rows_of(20, seed=9)
    ]
    found = suggest.suggest(recipe_of(), rows_of(4), more, seed=0)
    assert len(found.rows.unlabelled) == 40
    assert len(found.rows.finding) == 4


# ------------------------------------------------------------------ pruning


def test_weak_words_are_pruned_with_before_and_after() -> None:
    sport, money = ["goal", "cup", "team", "bank", "price"], ["stock", "trade", "fund"]
    labels = {"sport": dict.fromkeys(sport, 1.0), "money": dict.fromkeys(money, 1.0)}
    words = Verbalizer("mine", labels, {"sport": ("1", "SPORT!")}, "mean", "of mine")
    found = suggest.prune(recipe_of(words), rows_of(20), seed=0)
    assert {word.text for word in found.gone} >= {"bank", "price"}
    assert not {"bank", "price"} & {*found.verbalizer.labels["sport"]}
    assert (found.verbalizer.gold, found.verbalizer.pool) == (words.gold, "mean")
    assert found.verbalizer.about.startswith("what is left of mine, pruned for t by ")  # and not what was said of all
    assert found.judged is not None
    assert found.judged.present is not None
    assert (found.judged.found.accuracy or 0) > (found.judged.present.accuracy or 0)
    assert all(word.contribution is not None for word in found.gone)


SEVERAL = Verbalizer("v", {"sport": {"a": 1.0, "b": 1.0}, "money": {"c": 1.0}})


@pytest.mark.parametrize(
    ("words", "rows", "said"),
    [
        (PRESENT, rows_of(5), "every label of present has one word only"),
        (
            Verbalizer("v", {"sport": {"a": 1.0, "b": 1.0}, "money": {"c": 1.0}}),
            rows_of(5, labels=False),
            "no row has a label",
        ),
    ],
)
def test_what_cannot_be_pruned_is_said_in_a_line(words: Verbalizer, rows: Sequence[Row], said: str) -> None:
    with pytest.raises(PromptshotError, match=said) as caught:
        suggest.prune(recipe_of(words), rows)
    assert "\n" not in str(caught.value)
    assert caught.value.hint


# ------------------------------------------------------------------ what is written


def test_the_verbalizer_reads_and_lints_clean_and_keeps_the_spellings(tmp_path: Path) -> None:
    gold = {"sport": ("1", "运动", "yes"), "money": ("2", "no", "1.5")}
    found = suggest.suggest(recipe_of(replace(PRESENT, gold=gold)), rows_of(10), seed=0)
    path = Path(put_in(tmp_path, "words.yaml", found.yaml()))
    read = library.verbalizer(str(path))
    assert read.gold == gold
    assert {label: dict(of) for label, of in read.labels.items()} == found.verbalizer.labels
    assert read.pool == "logsumexp"
    assert Linter(None).verbalizer(path) == []


def test_words_that_yaml_takes_for_something_else_stay_words(tmp_path: Path) -> None:
    labels = {"yes": {"on": 1.0, "null": 1.0, "1e3": 1.0}, "no": {"off": 1.0, "~": 1.0, "a: b": 1.0, "-": 1.0}}
    made = suggest.suggest(recipe_of(), rows_of(5), seed=0)
    text = replace(made, verbalizer=Verbalizer("v", labels)).yaml()
    assert library.verbalizer(put_in(tmp_path, "v.yaml", text)).labels == labels


# ------------------------------------------------------------------ words of lists and rows


def test_words_of_rows_are_those_that_two_rows_have() -> None:
    texts = ["The bank said the stock fell", "A bank of Stock photos", "nothing here"]
    assert wordlists.of_rows(texts, "en") == ["bank", "stock"]


def test_two_characters_that_always_stand_in_something_longer_are_no_word() -> None:
    texts = ["叙利亚的局势", "去叙利亚旅游", "旅游城市很多", "说说旅游，谈谈局势"]
    found = wordlists.of_rows(texts, "zh")
    assert "旅游" in found
    assert "局势" in found
    assert "叙利" not in found
    assert "利亚" not in found


def test_built_in_words_are_of_the_language_and_hold_those_of_the_shelf() -> None:
    zh, en = wordlists.built_in("zh"), wordlists.built_in("en")
    assert {"体育", "满意", "很"} <= {*zh}
    assert {"sports", "great"} <= {*en}
    assert len(zh) == len(set(zh))
    assert not {*zh} & {"sports"}


@pytest.mark.parametrize(("word", "language", "is_one"), [
    ("好", "zh", True), ("good", "zh", False), ("good", "en", True), ("a", "en", False), ("##ing", "en", False),
    ("好a", "zh", False), ("十2", "zh", False), ("été", "en", True), ("。", "zh", False), ("", "en", False),
])  # fmt: skip
def test_words_are_letters_of_their_language(word: str, language: str, is_one: bool) -> None:
    assert wordlists.in_language(word, language) is is_one


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"good\n\xff\xfe\n", "words.txt:2: not UTF-8"),
        (b"good\n" + b"x" * 50 + b"\n", "words.txt:2: no word"),
        (b"good\nba\0d\n", "words.txt:2: no word"),
        (b"\n \n", "words.txt: no word in it"),
        (b"good\n", "words.txt: good in it; one word a line, two or more"),
    ],
)
def test_a_bad_file_of_candidates_is_one_line(
    data: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", [dict(row.fields) for row in rows_of(4)])
    words = put_in(tmp_path, "words.txt", data)
    line = failed(capsys, "suggest", rows, "-q", *NSP, "--candidates", words)
    assert said in line


# ------------------------------------------------------------------ the command

NSP = ("-t", '["This is {mask}.", "{text}"]', "--scorer", "helpers:Hearing", "--labels", "sport=day,money=night")
MLM = ("-t", "{text} {mask}", "--scorer", "helpers:Hearing", "--labels", "sport=day,money=night")


@pytest.fixture
def rows(tmp_path: Path) -> str:
    return write_rows(tmp_path / "rows.jsonl", [dict(row.fields) for row in rows_of(12)])


def test_the_verbalizer_goes_to_stdout_and_the_report_to_stderr(rows: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["suggest", rows, *MLM]) == 0
    out, err = capsys.readouterr()
    said = yaml.safe_load(out)
    assert set(said) == {"labels", "pool", "about"}
    assert set(said["labels"]) == {"sport", "money"}
    assert "words found on 12 rows (6 sport, 6 money), judged on 12 others (seed 0)" in err
    assert "suggested" in err
    assert "95% interval" in err
    assert "in the judging rows" in err
    assert not any(line.endswith(" ") for line in out.splitlines())


def test_what_is_suggested_can_be_used(rows: str, tmp_path: Path) -> None:
    words, out = str(tmp_path / "words.yaml"), tmp_path / "out.json"
    lines = 'scorer: nsp\ntext: ["This is {mask}.", "{text}"]\nverbalizer: {labels: {sport: day, money: night}}\n'
    asked = ("-t", put_in(tmp_path, "t.yaml", lines), "--scorer", "helpers:Hearing", "-q")
    assert run_command(["suggest", rows, *asked, "-o", words, "--summary", str(out), "--per-label", "5"]) == 0
    said = json.loads(out.read_text(encoding="utf-8"))
    assert said["rows"] == {
        "finding": 12,
        "unlabelled": 0,
        "judging": 12,
        "left_out": 0,
        "same": 0,
        "spare": 0,
        "seed": 0,
    }
    run = ["classify", rows, *asked, "--verbalizer", words, "-o", str(tmp_path / "p.jsonl")]
    assert run_command([*run, "--summary", str(tmp_path / "s.json")]) == 0
    accuracy = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))["accuracy"]
    assert accuracy == 1.0 == said["judged"]["found"]["accuracy"]


def test_a_file_that_exists_is_left_alone(rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = put_in(tmp_path, "words.yaml", "labels: {a: x, b: y}\n")
    assert "exists" in failed(capsys, "suggest", rows, *MLM, "-o", words)
    assert run_command(["suggest", rows, *MLM, "-q", "-o", words, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--prune", "--per-label", "3"), "--prune drops words of those there are; --per-label"),
        (("--per-label", "65"), "at most 64 words a label"),
        (("-o", "words.txt"), "a verbalizer is a .yaml file"),
        (("-t", "zh-news-mlm"), "label words are for one template"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(
    more: tuple[str, ...], said: str, rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in failed(capsys, "suggest", rows, *MLM, *more)


@pytest.mark.parametrize(
    ("data", "more", "said"),
    [
        (jsonl([{"text": "a", "label": "sport"}]), MLM, "too few labelled rows of: sport (1), money (0)"),
        (jsonl([{"text": "a", "label": "art"}]), MLM, "no label fits the rows' own labels"),
        (jsonl([{"text": ""}]), MLM, "no row can be used; the first: field 'text' is empty"),
        (jsonl([{"text_a": "a", "text_b": "b"}]), ("-t", "zh-same-nsp"), "has labels without words"),
        (jsonl([{"text": "a", "choices": ["x", "y"]}]), ("-t", "en-choice-mlm"), "takes the words from each row"),
    ],
)
def test_rows_and_templates_that_cannot_have_words_are_one_line(
    data: str, more: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in failed(capsys, "suggest", put_in(tmp_path, "bad.jsonl", data), "-q", *more)


def test_rows_that_are_left_out_are_told_and_the_exit_code_is_3(rows: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Path(rows).open("a", encoding="utf-8") as file:
        file.write('{"text": \n')
    assert run_command(["suggest", rows, *MLM]) == 3
    assert "1 row could not be used" in capsys.readouterr().err


def test_from_python_an_ensemble_is_refused() -> None:
    with pytest.raises(OptionError, match="one template, not an ensemble"):
        suggest.suggest(replace(recipe_of(), others=(recipe_of(),)), rows_of(3))


# ------------------------------------------------------------------ with models


@pytest.mark.torch
def test_a_cloze_compares_words_of_one_length_and_a_model_finds_its_own(bert_mlm: Tiny) -> None:
    from promptshot.scorers import Loader

    made = Recipe.of(template_of(scorer="mlm", text="{mask} . {text}"), PRESENT, options=ModelOptions(bert_mlm.name))
    loader = Loader()
    found = suggest.suggest(made, rows_of(4), loader=loader, per_label=4)
    assert len({word.tokens for word in found.words}) == 1
    scorer: Any = loader.scorer("mlm", made.options)
    assert not scorer.unknown([word.text for word in found.words])
    assert all(word.text.isalpha() and "##" not in word.text for word in found.words)


@pytest.mark.torch
def test_present_words_that_the_model_cannot_spell_are_told_and_others_found(bert_mlm: Tiny) -> None:
    words = Verbalizer("odd", {"sport": {"\ue000": 1.0}, "money": {"\ue001": 1.0}})
    made = Recipe.of(template_of(scorer="mlm", text="{mask} . {text}"), words, options=ModelOptions(bert_mlm.name))
    found = suggest.suggest(made, rows_of(4))
    assert "does not know" in found.unfit
    assert found.judged is not None
    assert found.judged.present is None
    assert "failed" in {remark.code for remark in found.remarks()}
    with pytest.raises(PromptshotError, match="rows without a label count by the present words"):
        suggest.suggest(made, rows_of(4, labels=False))


@pytest.mark.torch
def test_next_sentences_and_completions_have_words_too(bert: Tiny, gpt2: Tiny) -> None:
    nsp = Recipe.of(
        template_of(scorer="nsp", text=["It is {mask}.", "{text}"]), PRESENT, options=ModelOptions(bert.name)
    )
    causal = Recipe.of(
        template_of(scorer="causal", text="{text} Topic: {mask}"), PRESENT, options=ModelOptions(gpt2.name)
    )
    for recipe in (nsp, causal):
        found = suggest.suggest(recipe, rows_of(3), candidates=[*TOPICS["sport"], *TOPICS["money"], "good", "day"])
        assert all(found.verbalizer.labels.values())
        assert found.judged is not None
