"""Where everything meets: rows in, predictions out, in the same order, and nothing lost on the way."""

from __future__ import annotations

import json
import math
import pickle
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from helpers import template_of, write_rows

from promptshot.classify import prediction
from promptshot.classify.calibrate import Calibration
from promptshot.classify.classifier import WINDOW, Classifier
from promptshot.classify.decide import Best, Ranks
from promptshot.classify.gold import check_gold
from promptshot.classify.prediction import Prediction
from promptshot.classify.recipe import DemoPlan, Recipe
from promptshot.cli import run_command
from promptshot.errors import InputError, OptionError, PromptshotError, RowError, VerbalizerError
from promptshot.prompts.library import verbalizer_of
from promptshot.rows.read import read
from promptshot.rows.row import Item, Reject, Row
from promptshot.scoring import ModelOptions, Prompt, Scored

LABELS = {"labels": {"positive": "很", "negative": "不"}, "gold": {"positive": ["1"], "negative": ["0"]}}


def make(text: str | list[str] = "{mask}满意。{text}", scorer: str = "mlm", **keys: Any) -> Recipe:
    if "ordered" not in keys and "words_from" not in keys:
        keys.setdefault("verbalizer", LABELS)
    template = template_of(scorer=scorer, text=text, **keys)
    return Recipe.of(template, verbalizer_of(template), "fake")


@dataclass
class By:
    """A scorer that asks a function, and remembers how many prompts came at once."""

    of: Callable[[Prompt], Scored]
    sizes: list[int] = field(default_factory=list)

    def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
        self.sizes.append(len(prompts))
        return [self.of(prompt) for prompt in prompts]


def fixed(scores: Sequence[float], tokens: Sequence[int] = ()) -> By:
    """A scorer that says the same of every prompt."""
    return By(lambda prompt: Scored(tuple(scores), tuple(tokens) or (1,) * len(scores)))


def by_number() -> By:
    """A scorer of pairs whose margin is the number that stands in the row."""
    return By(lambda prompt: Scored((float(prompt.text("").split(" | ")[1]),), (1,)))


def texts(*values: str) -> list[Item]:
    return [Row({"text": value}, f"f:{i + 1}", i) for i, value in enumerate(values)]


def predictions(found: Iterator[Prediction | Reject]) -> list[Prediction]:
    kept = list(found)
    assert all(isinstance(item, Prediction) for item in kept), kept
    return [item for item in kept if isinstance(item, Prediction)]


# ------------------------------------------------------------------ every row comes out once, in order


def test_rows_come_out_in_the_order_they_went_in() -> None:
    items = texts(*(f"text {i}" for i in range(30)))
    found = predictions(Classifier.of(make()).outcomes(items, window=7))
    assert [p.row for p in found] == items


def test_read_is_predicted_plus_rejected_and_every_reject_says_why(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\nnonsense\n{"title": "b"}\n{"text": ""}\n[1]\n{"text": "c"}\n')
    read_back = [
        replace(item, fields={"words": 1}) if isinstance(item, Row) and "title" in item.fields else item
        for item in read([str(path)])
    ]
    found = list(Classifier.of(make()).outcomes(read_back))
    assert [item.key if isinstance(item, Reject) else item.row.key for item in found] == [0, 1, 2, 3, 4, 5]
    assert [isinstance(item, Reject) for item in found] == [False, True, True, True, True, False]
    said = [(item.source, item.reason, item.raw) for item in found if isinstance(item, Reject)]
    assert said == [
        (f"{path}:2", "not valid JSON: unexpected 'n' (column 1)", "nonsense"),
        (f"{path}:3", "no field 'text'; the row has: words; try --text-field NAME", '{"words": 1}'),
        (f"{path}:4", "field 'text' is empty; remove the row or fill it", '{"text": ""}'),
        (f"{path}:5", "not a JSON object", "[1]"),
    ]


def test_the_scorer_gets_whole_windows_of_rows() -> None:
    scorer = fixed([-1.0, -2.0])
    items = texts(*("x" for _ in range(2 * WINDOW + 5)))
    assert len(list(Classifier(make(), scorer).outcomes(items))) == 2 * WINDOW + 5
    assert scorer.sizes == [1024, 1024, 5]


def test_a_bad_row_keeps_its_place_in_the_window() -> None:
    scorer = fixed([-1.0, -2.0])
    list(Classifier(make(), scorer).outcomes(texts("a", "", "", "b", "c", "d", "e", "f", "g"), window=4))
    assert scorer.sizes == [2, 4, 1]


def test_a_window_of_bad_rows_only_comes_out_too() -> None:
    found = list(Classifier.of(make()).outcomes(texts("", " ")))
    assert [type(item) for item in found] == [Reject, Reject]


def test_no_rows_give_no_predictions() -> None:
    assert list(Classifier.of(make()).outcomes([])) == []


def test_no_more_than_one_window_is_read_before_the_first_prediction() -> None:
    taken: list[Item] = []

    def endless() -> Iterator[Item]:
        while True:
            taken.append(Row({"text": "x"}))
            yield taken[-1]

    next(Classifier.of(make()).outcomes(endless(), window=4))
    assert len(taken) == 4


def test_an_error_of_the_scorer_rejects_that_row_only() -> None:
    scorer = By(lambda p: Scored(error="too long") if "bad" in p.text() else Scored((-1.0, -2.0), (1, 1), cut=3))
    found = list(Classifier(make(), scorer).outcomes(texts("good", "bad", "good")))
    assert [type(item) for item in found] == [Prediction, Reject, Prediction]
    assert found[1] == Reject("f:2", "too long", '{"text": "bad"}', 1)
    assert isinstance(found[0], Prediction)
    assert found[0].cut == 3


def test_the_fake_scorer_says_the_same_in_any_order_and_company() -> None:
    items = texts(*(f"text {i}" for i in range(20)))
    one = {p.row.key: p for p in predictions(Classifier.of(make()).outcomes(items))}
    two = {p.row.key: p for p in predictions(Classifier.of(make()).outcomes(items[::-3]))}
    assert two
    assert all(one[key] == p for key, p in two.items())


# ------------------------------------------------------------------ from scores to labels


def test_the_best_label_wins_and_probabilities_are_its_softmax() -> None:
    (found,) = predictions(Classifier(make(), fixed([math.log(0.1), math.log(0.3)])).outcomes(texts("a")))
    assert found.label == "negative"
    assert found.probabilities == pytest.approx({"positive": 0.25, "negative": 0.75})
    assert found.probability == pytest.approx(0.75)
    assert found.label_scores == pytest.approx({"positive": math.log(0.1), "negative": math.log(0.3)})
    assert found.word_scores == pytest.approx({"很": math.log(0.1), "不": math.log(0.3)})


def test_ties_go_to_the_first_label() -> None:
    (found,) = predictions(Classifier(make(), fixed([-1.0, -1.0])).outcomes(texts("a")))
    assert found.label == "positive"


def test_several_words_of_a_label_are_pooled() -> None:
    verbalizer = {"labels": {"a": {"x": 1, "y": 3}, "b": "z"}, "pool": "mean"}
    (found,) = predictions(Classifier(make(verbalizer=verbalizer), fixed([-2.0, -4.0, -3.6])).outcomes(texts("a")))
    assert (found.label, found.label_scores) == ("a", {"a": -3.5, "b": -3.6})
    assert found.word_scores == {"x": -2.0, "y": -4.0, "z": -3.6}


@pytest.mark.parametrize(
    ("text", "scorer", "keys", "tokens", "averaged"),
    [
        ("{mask}{text}", "mlm", {}, (1, 1), False),
        ("{mask}{text}", "mlm", {}, (2, 2), False),
        ("{mask}{text}", "mlm", {}, (1, 3), True),
        ("{mask}{text}", "mlm", {"normalize": "sum"}, (1, 3), False),
        ("{mask}{text}", "mlm", {"normalize": "mean"}, (2, 2), True),
        ("{text}{mask}", "causal", {}, (1, 3), False),
        ("{text}{mask}", "causal", {"normalize": "mean"}, (1, 3), True),
        (["{mask}", "{text}"], "nsp", {}, (1, 3), False),
    ],
)
def test_word_scores_are_averaged_where_the_rule_says_so(
    text: str | list[str], scorer: str, keys: dict[str, Any], tokens: tuple[int, int], averaged: bool
) -> None:
    recipe = make(text, scorer, **keys)
    (found,) = predictions(Classifier(recipe, fixed([-2.0, -3.0], tokens)).outcomes(texts("a")))
    expected = [-2.0 / tokens[0], -3.0 / tokens[1]] if averaged else [-2.0, -3.0]
    assert list(found.word_scores.values()) == expected
    assert found.averaged is averaged


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [({"normalize": "mean"}, [-3.0, -4.0 / 3]), ({"normalize": "sum"}, [-5.0, -6.0]), ({}, [-5.0, -6.0])],
)
def test_a_mean_leaves_out_what_is_read_before_the_word_and_a_sum_does_not(
    keys: dict[str, Any], wanted: list[float]
) -> None:
    scorer = By(lambda prompt: Scored((-5.0, -6.0), (1, 3), lead=(-2.0, -2.0)))
    (found,) = predictions(Classifier(make("{text}\n{mask}", "causal", **keys), scorer).outcomes(texts("a")))
    assert list(found.word_scores.values()) == wanted
    assert found.split == 1


def test_a_cloze_in_which_one_word_has_a_mask_for_its_space_takes_means() -> None:
    scorer = By(lambda prompt: Scored((-5.0, -4.0), (1, 1), lead=(-2.0, 0.0)))
    (found,) = predictions(Classifier(make(), scorer).outcomes(texts("a")))
    assert list(found.word_scores.values()) == [-3.0, -4.0]
    assert (found.label, found.averaged, found.split) == ("positive", True, 0)


# ------------------------------------------------------------------ scorers of somebody else


class Foreign:
    """A scorer from another package; named on the command line as test_classify:Foreign."""

    def __init__(self, options: ModelOptions) -> None:
        self.rows = 0

    def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
        self.rows += len(prompts)
        if self.rows > WINDOW:
            raise ConnectionError("the service is down\nfor a while")
        return [Scored((-1.0, -2.0), (1, 1)) for _ in prompts]


def test_a_scorer_of_somebody_else_that_fails_is_one_line_and_what_was_done_before_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "a.jsonl", [{"text": f"text {i}"} for i in range(WINDOW + 5)])
    out = tmp_path / "o.jsonl"
    arguments = ["classify", path, "-t", "zh-sentiment-mlm", "--scorer", "test_classify:Foreign", "-o", str(out)]
    assert run_command([*arguments, "-q", "--no-calibration-scores"]) == 1
    said = "the scorer 'test_classify:Foreign' failed: ConnectionError: the service is down"
    assert capsys.readouterr().err == f"error: {said}\n"
    assert len(out.read_text(encoding="utf-8").splitlines()) == WINDOW


def of_one(given: Any) -> Callable[[Prompt], Any]:
    return lambda prompt: given


class Wrong:
    """Gives something else than one Scored for each prompt."""

    def __init__(self, given: Any) -> None:
        self.given = given

    def score(self, prompts: Sequence[Prompt]) -> Any:
        return self.given


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "the scorer 'fake' failed: TypeError: 'NoneType' object is not iterable"),
        ([], "the scorer 'fake' gave 0 results for 1 prompts"),
        ([Scored((1.0, 2.0), (1, 1))] * 2, "the scorer 'fake' gave 2 results for 1 prompts"),
        ([{"scores": [1, 2]}], "the scorer 'fake' gave a dict for a prompt"),
    ],
)
def test_a_scorer_that_breaks_its_word_is_named(given: Any, said: str) -> None:
    with pytest.raises(PromptshotError, match=re.escape(said)):
        list(Classifier(make(), Wrong(given)).outcomes(texts("a")))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Scored((1.0,), (1,)), "gave 1 scores for 2 choices"),
        (Scored((1.0, 2.0), (1, 1), lead=(1.0,)), "gave 1 leads for 2 choices"),
        (Scored((1.0, 2.0), (1, 1), lead=(1.0, math.inf)), "a score is not finite"),
        (Scored(("1", "2"), (1, 1)), "a score is no number"),  # type: ignore[arg-type]
    ],
)
def test_an_answer_that_cannot_be_used_is_the_error_of_its_row(given: Scored, said: str) -> None:
    (found,) = Classifier(make(), By(of_one(given))).outcomes(texts("a"))
    assert isinstance(found, Reject)
    assert said in found.reason


def test_a_word_that_a_scorer_counts_no_token_of_has_its_score_for_a_mean() -> None:
    (found,) = predictions(Classifier(make(normalize="mean"), fixed([-2.0, -3.0], [0, 1])).outcomes(texts("a")))
    assert list(found.word_scores.values()) == [-2.0, -3.0]


@pytest.mark.parametrize("problem", [AssertionError("ours"), KeyboardInterrupt(), RowError("no")])
def test_our_own_mistakes_and_a_wish_to_stop_are_not_put_down_to_the_scorer(problem: BaseException) -> None:
    def fails(prompt: Prompt) -> Scored:
        raise problem

    with pytest.raises(type(problem)) as caught:
        list(Classifier(make(), By(fails)).outcomes(texts("a")))
    assert caught.value is problem


# ------------------------------------------------------------------ gold and the record


def test_gold_is_our_label_and_what_the_row_said_is_kept() -> None:
    items = [Row({"text": "a", "label": value}) for value in (1, "negative", "meh", None)]
    found = predictions(Classifier.of(make()).outcomes(items))
    assert [(p.gold, p.gold_value) for p in found] == [
        ("positive", "1"),
        ("negative", "negative"),
        (None, "meh"),
        (None, None),
    ]


def test_labels_can_be_ignored() -> None:
    recipe = replace(make(), labels_ignored=True)
    (found,) = predictions(Classifier.of(recipe).outcomes([Row({"text": "a", "label": "1"})]))
    assert (found.gold, found.gold_value) == (None, None)


def test_the_label_column_can_be_given_by_the_template_or_the_run() -> None:
    row = Row({"text": "a", "label": "0", "polarity": "1"})
    (found,) = predictions(Classifier.of(make(label_field="polarity")).outcomes([row]))
    assert found.gold == "positive"
    (found,) = predictions(Classifier.of(make()).outcomes([replace(row, columns={"label": "polarity"})]))
    assert found.gold == "positive"


def test_the_record_is_the_row_and_what_was_found() -> None:
    row = Row({"id": 7, "text": "好", "prediction": "stale", "nested": {"a": 1}})
    (found,) = predictions(Classifier.of(make()).outcomes([row]))
    record = found.record()
    assert list(record) == [
        *("id", "text", "prediction", "nested"),
        *("probability", "probabilities", "scores", "word_scores"),
    ]
    assert record["id"] == 7
    assert record["prediction"] in ("positive", "negative")
    assert record["probability"] == record["probabilities"][record["prediction"]]
    assert record["scores"] == dict(found.label_scores)
    assert set(prediction.OUTPUT_FIELDS) <= record.keys()
    assert json.loads(json.dumps(record)) == record


# ------------------------------------------------------------------ words of the row

IDIOM: dict[str, Any] = {"fields": {"content": {"hole": "#idiom#"}}, "words_from": "candidates"}


def test_each_row_may_bring_its_own_words_for_the_hole_in_its_text() -> None:
    rows: list[Item] = [
        Row({"candidates": ["甲", "乙", "丙"], "content": "前#idiom#后", "answer": 1}, "f:1", 0),
        Row({"candidates": ["丁", "戊"], "content": "只有#idiom#", "answer": 0}, "f:2", 1),
        Row({"candidates": ["丁"], "content": "#idiom#"}, "f:3", 2),
        Row({"candidates": ["丁", "戊"], "content": "没有"}, "f:4", 3),
    ]
    seen: list[str] = []

    def remember(prompt: Prompt) -> Scored:
        seen.extend(prompt.text(choice) for choice in prompt.choices)
        return Scored(tuple(-abs(i - 1.0) for i in range(len(prompt.choices))), (1,) * len(prompt.choices))

    found = list(Classifier(make("{content}", **IDIOM), By(remember)).outcomes(rows))
    assert seen == ["前甲后", "前乙后", "前丙后", "只有丁", "只有戊"]
    first, second, third, fourth = found
    assert isinstance(first, Prediction)
    assert isinstance(second, Prediction)
    assert (first.label, first.gold, list(first.label_scores)) == ("乙", "乙", ["甲", "乙", "丙"])
    assert (second.label, second.gold) == ("戊", "丁")
    assert isinstance(third, Reject)
    assert "not a list of at least two different words" in third.reason
    assert isinstance(fourth, Reject)
    assert "has no '#idiom#'" in fourth.reason


# ------------------------------------------------------------------ ordered pairs


def pairs(numbers: Sequence[float]) -> list[Item]:
    return [Row({"a": "x", "b": str(n)}, f"f:{i + 1}", i) for i, n in enumerate(numbers)]


def ordered(**keys: Any) -> Recipe:
    return make(["{a}", "{b}"], "nsp", ordered=["no", "maybe", "yes"], **keys)


def cut_by(dev: str, recipe: Recipe | None = None, **columns: str) -> Recipe:
    recipe = recipe or ordered()
    return Recipe.of(recipe.template, recipe.verbalizer, "fake", dev=dev, columns=columns)


def mapped(recipe: Recipe, **columns: str) -> Recipe:
    return replace(recipe, task=replace(recipe.task, columns=columns))


def test_pairs_are_ranked_over_the_whole_run_and_not_in_windows() -> None:
    found = predictions(Classifier(ordered(), by_number()).outcomes(pairs([5, 4, 3, 2, 1, 0]), window=2))
    assert [p.label for p in found] == ["yes", "yes", "maybe", "maybe", "no", "no"]
    assert [p.label_scores for p in found] == [{"is_next": float(n)} for n in (5, 4, 3, 2, 1, 0)]
    assert (found[0].probabilities, found[0].probability, found[0].word_scores) == (None, None, {})


def test_a_prior_decides_how_many_rows_each_label_gets() -> None:
    recipe = ordered(prior=[0.5, 0.25, 0.25])
    found = predictions(Classifier(recipe, by_number()).outcomes(pairs([3, 2, 1, 0])))
    assert [p.label for p in found] == ["yes", "maybe", "no", "no"]


def test_bad_rows_take_no_place_in_the_ranking_and_keep_theirs_in_the_output() -> None:
    items = pairs([2, 1, 0])
    items.insert(1, Reject("f:9", "broken \ud800", "raw", 9))
    items.insert(3, Row({"a": "x", "b": ""}, "f:8", 8))
    found = list(Classifier(ordered(), by_number()).outcomes(items))
    assert [p.label if isinstance(p, Prediction) else p.source for p in found] == ["yes", "f:9", "maybe", "f:8", "no"]
    assert found[1] == items[1]


def test_what_waits_for_the_ranking_comes_back_as_it_was() -> None:
    row = Row(
        {"a": "odd \u2028", "b": "1", "n": {"x": [1, None, 2.5, "half \ud800"]}, "label": "YES"}, "f:1", 4, {"q": "a"}
    )
    (found,) = predictions(Classifier(ordered(), by_number()).outcomes([row]))
    assert found.row == row
    assert (found.gold, found.gold_value) == ("yes", "YES")
    assert found.record()["scores"] == {"is_next": 1.0}


def test_a_dev_file_fixes_thresholds_so_that_rows_do_not_decide_about_each_other(tmp_path: Path) -> None:
    dev = write_rows(tmp_path / "dev.jsonl", [{"a": "x", "b": str(n)} for n in (10, 20, 30, 40, 50, 60)])
    recipe = cut_by(dev)
    assert (ordered().transductive, recipe.transductive) == (True, False)
    classifier = Classifier(recipe, by_number())
    assert classifier.cuts == (25.0, 45.0)
    found = predictions(classifier.outcomes(pairs([99, 98, 25, 24])))
    assert [p.label for p in found] == ["yes", "yes", "maybe", "no"]
    alone = [predictions(classifier.outcomes(pairs([n])))[0].label for n in (99, 98, 25, 24)]
    assert alone == [p.label for p in found]


def test_columns_are_mapped_in_the_dev_file_too(tmp_path: Path) -> None:
    dev = write_rows(tmp_path / "dev.jsonl", [{"a": "x", "margin": n} for n in (1, 2, 3)])
    assert Classifier(cut_by(dev, b="margin"), by_number()).cuts == (1.5, 2.5)


def test_a_dev_file_with_too_few_good_rows_is_an_error(tmp_path: Path) -> None:
    dev = write_rows(tmp_path / "dev.jsonl", [{"a": "x", "b": "1"}, {"a": "x"}, {"a": "x", "b": "2"}])
    with pytest.raises(InputError, match=r"dev\.jsonl: too few good rows to fix thresholds"):
        Classifier(cut_by(dev), by_number())


def test_a_dev_file_without_ordered_labels_is_an_error(tmp_path: Path) -> None:
    dev = write_rows(tmp_path / "dev.jsonl", [{"text": "a"}])
    with pytest.raises(OptionError, match="--dev fixes thresholds for a template with 'ordered'"):
        cut_by(dev, make())


def test_the_prior_is_uniform_where_nothing_is_said() -> None:
    assert ordered().decision == Ranks(("no", "maybe", "yes"), (1 / 3, 1 / 3, 1 / 3))
    assert ordered(prior=[0.5, 0.3, 0.2]).decision == Ranks(("no", "maybe", "yes"), (0.5, 0.3, 0.2))
    assert make().decision == Best()


SAID = Calibration(prior={"yes": 0.125, "no": 0.625, "maybe": 0.25})


def test_shares_that_are_said_go_before_those_of_the_template() -> None:
    recipe = ordered(prior=[0.2, 0.2, 0.6])
    found = predictions(Classifier(recipe.calibrated(SAID), by_number()).outcomes(pairs([3, 8, 1, 6, 5, 4, 7, 2])))
    assert [p.label for p in found] == ["no", "yes", "no", "maybe", "no", "no", "maybe", "no"]
    assert recipe.calibrated(Calibration()).decision == recipe.decision, "those of the template, where nothing is said"


def test_shares_that_are_said_cut_the_rows_of_the_dev_file(tmp_path: Path) -> None:
    dev = write_rows(tmp_path / "dev.jsonl", [{"a": "x", "b": str(n)} for n in (80, 10, 30, 20, 70, 60, 50, 40)])
    assert Classifier(cut_by(dev).calibrated(SAID), by_number()).cuts == (55.0, 75.0)


def test_shares_that_are_said_stand_in_the_identity_of_pairs_and_in_the_record() -> None:
    recipe = ordered()
    told = recipe.calibrated(SAID)
    assert told.identity()["prior"] == SAID.prior
    assert "prior" not in recipe.identity()
    assert told.fingerprint() != recipe.fingerprint()
    assert told.as_dict()["calibration"] == {"method": "none", "prior": SAID.prior}
    assert Recipe.of(recipe.template, recipe.verbalizer, "fake", calibration=SAID).decision == told.decision


def test_shares_of_other_labels_cut_no_pairs() -> None:
    with pytest.raises(OptionError, match="the prior has other labels; the labels are: no, maybe, yes"):
        ordered().calibrated(Calibration(prior={"yes": 0.5, "no": 0.5}))


def test_thresholds_by_even_shares_say_how_these_were_cut(tmp_path: Path) -> None:
    dev = write_rows(tmp_path / "dev.jsonl", [{"a": "x", "b": str(n)} for n in range(3)])
    assert cut_by(dev).identity()["cut"] == "even"
    others = (ordered(), ordered(prior=[0.5, 0.3, 0.2]), cut_by(dev).calibrated(SAID), make())
    assert not any("cut" in recipe.identity() for recipe in others)


# ------------------------------------------------------------------ demonstrations

TRAIN = [{"text": f"shot {i}", "label": str(i % 2)} for i in range(10)]


def shots(folder: Path, k: int = 4, seed: int = 0) -> Recipe:
    plan = DemoPlan(write_rows(folder / "train.jsonl", TRAIN), k, seed)
    return replace(make("{text}。{mask}", "causal"), demos=plan)


def test_demonstrations_stand_before_every_row_and_hold_both_labels(tmp_path: Path) -> None:
    prompts = []
    scorer = By(lambda p: prompts.append(p.text()) or Scored((-1.0, -2.0), (1, 1), dropped=1))  # type: ignore[func-returns-value]
    found = predictions(Classifier(shots(tmp_path), scorer).outcomes(texts("one", "two")))
    assert [p.dropped for p in found] == [1, 1]
    for prompt, text in zip(prompts, ("one", "two"), strict=True):
        lines = prompt.split("\n")
        assert lines[-1] == f"{text}。____"
        assert sorted(line[-1] for line in lines[:-1]) == ["不", "不", "很", "很"]
    assert prompts[0].split("\n")[:-1] == prompts[1].split("\n")[:-1]


def test_a_row_is_never_its_own_demonstration(tmp_path: Path) -> None:
    classifier = Classifier.of(shots(tmp_path))
    for shot in TRAIN:
        demonstrations = classifier.prompts(Row(shot))[0].text().split("\n")[:-1]
        assert len(demonstrations) == 4
        assert not any(line.startswith(f"{shot['text']}。") for line in demonstrations)


def test_where_no_spare_is_left_the_row_has_one_demonstration_less(tmp_path: Path) -> None:
    (prompt,) = Classifier.of(shots(tmp_path, k=10)).prompts(Row(TRAIN[0]))
    assert len(prompt.pieces) == 9 + 3


def test_zero_demonstrations_are_none(tmp_path: Path) -> None:
    assert Classifier.of(shots(tmp_path, k=0)).prompts(Row({"text": "a"}))[0].text() == "a。____"


def test_demonstrations_are_for_scorers_that_read_a_text(tmp_path: Path) -> None:
    recipe = replace(make(["{mask}。", "{text}"], "nsp"), demos=shots(tmp_path).demos)
    with pytest.raises(OptionError, match="demonstrations are for scorer mlm or causal, not nsp"):
        Classifier.of(recipe)


def test_a_row_without_its_text_is_rejected_with_demonstrations_too(tmp_path: Path) -> None:
    (found,) = Classifier.of(shots(tmp_path)).outcomes([Row({"id": 1}, "f:1")])
    assert isinstance(found, Reject)
    assert "no field 'text'" in found.reason


# ------------------------------------------------------------------ checks before the run


@dataclass
class Loaded(By):
    """A scorer with a tokenizer that knows one character of the two, as the Checkpoint protocol has it."""

    progress: Callable[[int], None] | None = None
    known: str = "很"

    @property
    def details(self) -> dict[str, Any]:
        return {"device": "cpu"}

    def unknown(self, words: Sequence[str]) -> list[str]:
        return [word for word in words if word not in self.known]

    def alike(self, words: Sequence[str]) -> list[tuple[str, str]]:
        first: dict[str, str] = {}
        spelled = [(word, first.setdefault(word.lower(), word)) for word in words]
        return [(other, word) for word, other in spelled if other != word]


def test_label_words_that_the_tokenizer_does_not_know_are_refused() -> None:
    recipe = replace(make(), options=ModelOptions(model="some/bert"))
    with pytest.raises(VerbalizerError) as caught:
        Classifier(recipe, Loaded(fixed([-1.0, -2.0]).of))
    assert "the tokenizer of some/bert does not know: 不; choose other label words" in str(caught.value)


def test_label_words_that_the_tokenizer_spells_the_same_are_refused_across_labels_only() -> None:
    scorer = Loaded(fixed([-1.0, -2.0]).of, known="GoodgoodBad")
    shared = make(verbalizer={"labels": {"up": ["Good"], "down": ["good"]}})
    with pytest.raises(VerbalizerError, match="spells 'Good' and 'good' the same"):
        Classifier(shared, scorer)
    Classifier(make(verbalizer={"labels": {"up": ["Good", "good"], "down": ["Bad"]}}), scorer)


@pytest.mark.parametrize(
    ("scored", "reason"),
    [
        (Scored((float("nan"), -1.0), (1, 1)), "a score is not finite"),
        (Scored((-1.0,), (1,)), "the scorer gave 1 scores for 2 choices"),
    ],
)
def test_a_scorers_faulty_answer_rejects_the_row(scored: Scored, reason: str) -> None:
    (outcome,) = Classifier(make(), By(lambda prompt: scored)).outcomes(texts("a"))
    assert isinstance(outcome, Reject)
    assert outcome.reason == reason


@pytest.mark.parametrize("recipe", [ordered(), make("{content}", **IDIOM)])
def test_where_no_words_are_fixed_none_are_refused(recipe: Recipe) -> None:
    assert Classifier(recipe, Loaded(fixed([-1.0]).of)).details == {"device": "cpu"}


def test_a_scorer_with_a_model_is_told_whom_to_report_progress_to() -> None:
    scorer = Loaded(fixed([-1.0, -2.0]).of, known="很不")
    ticks: list[int] = []
    predictions(Classifier(make(), scorer).outcomes(texts("a"), ticks.append))
    assert scorer.progress == ticks.append


def test_a_scorer_without_a_model_has_no_details() -> None:
    assert Classifier.of(make()).details == {}


def labelled(*values: object) -> list[Item]:
    return [Row({"text": "a", "label": value}, f"f:{i}") for i, value in enumerate(values, 1)]


@pytest.mark.parametrize("values", [("1",), ("x", "1"), (None, None), ("", "x", "negative"), (["1"],)])
def test_rows_pass_where_one_label_is_known_or_none_is_given(values: tuple[object, ...]) -> None:
    check_gold(labelled(*values), make())


def test_rows_of_which_no_label_is_known_are_an_error_that_lists_both_sides() -> None:
    with pytest.raises(VerbalizerError) as caught:
        check_gold([Reject("f:9", "r", ""), *labelled("good", "bad", "good", None)], make())
    said = str(caught.value)
    assert "no label fits the rows' own labels (good, bad)" in said
    assert "knows: positive (1), negative (0)" in said
    assert "--ignore-labels" in said


def test_unknown_labels_are_no_error_where_labels_are_ignored() -> None:
    check_gold(labelled("good"), replace(make(), labels_ignored=True))


def test_an_object_under_a_name_that_labels_may_have_is_no_label() -> None:
    check_gold([Row({"text": "a", "target": {"span1_text": "毛豆"}})], make())  # an unlabelled row of CLUEWSC


def test_a_label_column_that_no_row_has_is_an_error() -> None:
    columns = {"label": "polarity"}
    rows: list[Item] = [Row({"text": "a", "label": "1"}, "f:1", 0, columns)]
    with pytest.raises(RowError, match="no column 'polarity' for field 'label'"):
        check_gold(rows, mapped(make(), **columns))


def test_rows_without_their_words_do_not_stop_the_check() -> None:
    rows: list[Item] = [
        Row({"content": "#idiom#", "answer": "x"}),
        Row({"content": "#idiom#", "candidates": ["a", "b"], "answer": 1}),
    ]
    check_gold(rows, make("{content}", **IDIOM))


# ------------------------------------------------------------------ the recipe as data


def recipes(folder: Path) -> list[Recipe]:
    dev = write_rows(folder / "dev.jsonl", [{"a": "x", "b": str(n)} for n in range(3)])
    return [
        make(),
        make("{content}", **IDIOM),
        ordered(prior=[0.5, 0.3, 0.2]),
        cut_by(dev),
        replace(mapped(shots(folder), text="body"), options=ModelOptions(model="x", max_length=9)),
    ]


def test_a_recipe_is_plain_data(tmp_path: Path) -> None:
    for recipe in recipes(tmp_path):
        said = recipe.as_dict()
        assert json.loads(json.dumps(said)) == said


def test_a_recipe_can_be_sent_to_another_process(tmp_path: Path) -> None:
    for recipe in recipes(tmp_path):
        sent = pickle.loads(pickle.dumps(recipe))
        assert sent.fingerprint() == recipe.fingerprint()
        assert sent.as_dict() == recipe.as_dict()


def test_how_labels_are_decided_is_on_record(tmp_path: Path) -> None:
    assert [r.as_dict()["decision"] for r in recipes(tmp_path)] == ["best", "best", "rank", "thresholds", "best"]


def test_the_model_on_record_is_the_built_in_one_where_none_is_given() -> None:
    assert replace(make(), scorer="mlm").as_dict()["model"] == "builtin:bert"
    assert replace(make(), scorer="mlm", options=ModelOptions(model="x/y")).as_dict()["model"] == "x/y"
    assert make().model == ""


def options(**keys: Any) -> Recipe:
    return replace(make(), options=ModelOptions(**keys))


@pytest.mark.parametrize(
    "changed",
    [
        make("{mask}满意！{text}"),
        make(verbalizer={**LABELS, "labels": {"positive": "好", "negative": "不"}}),
        make(verbalizer={**LABELS, "pool": "max"}),
        make(normalize="mean"),
        replace(make(), scorer="other:Scorer"),
        mapped(make(), text="body"),
        options(dtype="bfloat16"),
        options(max_length=64),
        options(revision="abc"),
        options(model="some/bert"),
    ],
)
def test_the_fingerprint_changes_with_what_decides_the_scores(changed: Recipe) -> None:
    assert changed.fingerprint() != make().fingerprint()


@pytest.mark.parametrize(
    "same",
    [
        make(),
        make(about="a remark", source="a page", example={"text": "a"}),
        options(batch_size=7),
        options(device="cuda:1"),
        options(device_map="auto"),
        options(offline=True),
    ],
)
def test_the_fingerprint_stays_where_the_scores_do(same: Recipe) -> None:
    assert same.fingerprint() == make().fingerprint()


def test_the_fingerprint_changes_with_demonstrations_their_number_seed_and_file(tmp_path: Path) -> None:
    found = [replace(shots(tmp_path), demos=None).fingerprint()]
    found += [shots(tmp_path, k, seed).fingerprint() for k, seed in [(4, 0), (4, 1), (3, 0)]]
    recipe = shots(tmp_path)
    write_rows(tmp_path / "train.jsonl", TRAIN[:-1])
    found.append(recipe.fingerprint())
    assert len(set(found)) == 5


@pytest.mark.torch
def test_a_run_reads_each_file_once_for_its_fingerprint_however_many_templates_share_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, opened = tmp_path / "model", Counter[str]()
    model.mkdir()
    for name in ("config.json", "model.safetensors", "vocab.txt"):
        (model / name).write_text(name, encoding="utf-8")

    def counting(path: str, mode: str) -> BinaryIO:
        opened[Path(path).name] += 1
        return Path(path).open("rb")

    monkeypatch.setattr("promptshot.classify.recipe.open", counting, raising=False)
    rows = write_rows(tmp_path / "rows.jsonl", [{"text": f"text {n}", "label": n % 2} for n in range(4)])
    run = ["classify", rows, "-o", str(tmp_path / "out.jsonl"), "--scorer", "fake", "-m", str(model), "-q"]
    for template in ("en-sentiment-mlm", "en-sentiment-nsp", "en-sentiment-causal"):
        run += ["-t", template]
    assert run_command(run) == 0
    assert opened == {"config.json": 1, "model.safetensors": 1, "vocab.txt": 1}
    opened.clear()
    shared = replace(cut_by(rows), demos=DemoPlan(rows, 2))
    said = shared.identity()
    assert said["demo_file"] == said["dev_file"]
    assert opened == {"rows.jsonl": 1}


def test_the_fingerprint_changes_with_the_dev_file(tmp_path: Path) -> None:
    recipe = cut_by(write_rows(tmp_path / "dev.jsonl", [{"a": 1}]))
    before = recipe.fingerprint()
    write_rows(tmp_path / "dev.jsonl", [{"a": 2}])
    assert len({before, recipe.fingerprint(), ordered().fingerprint()}) == 3


def test_the_fingerprint_changes_with_the_inputs_and_their_sizes_and_the_sample(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [{"text": "a"}])
    found = [make().fingerprint(), make().fingerprint([path]), make().fingerprint([path], {"sample": 3})]
    write_rows(tmp_path / "a.jsonl", [{"text": "ab"}])
    found.append(make().fingerprint([path]))
    assert len(set(found)) == 4
    assert make().fingerprint(["-"]) == make().fingerprint()


def test_the_fingerprint_of_a_local_model_is_of_its_weights_and_not_of_its_notes(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    recipe = options(model=str(tmp_path))
    before = recipe.fingerprint()
    (tmp_path / "notes.md").write_text("a remark")
    assert recipe.fingerprint() == before
    (tmp_path / "model.safetensors").write_bytes(b"Weights")
    assert recipe.fingerprint() != before


def test_demonstrations_that_cannot_be_read_are_an_input_error(tmp_path: Path) -> None:
    recipe = replace(shots(tmp_path), demos=DemoPlan(str(tmp_path / "gone.jsonl"), 2))
    for attempt in (recipe.fingerprint, lambda: Classifier.of(recipe)):
        with pytest.raises(InputError, match=r"gone\.jsonl: cannot be read"):
            attempt()
