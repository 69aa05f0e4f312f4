"""Each calibration against its formula written down slowly, and against scipy; what cannot be calibrated says so."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers import put_in, template_of, write_rows
from scipy.optimize import minimize, minimize_scalar

from promptshot.classify.calibrate import METHODS, NEUTRAL, OF_RUN, Calibration, Fitted, of_dev, of_prompts, of_run
from promptshot.classify.classifier import Classifier
from promptshot.classify.decide import softmax
from promptshot.classify.prior import prior_of
from promptshot.classify.recipe import DemoPlan, Recipe
from promptshot.errors import InputError, OptionError, PromptshotError
from promptshot.prompts import library
from promptshot.prompts.task import Task
from promptshot.prompts.verbalizer import Verbalizer
from promptshot.rows.row import Row
from promptshot.scorers.fake import FakeScorer
from promptshot.scoring import Kind, Prompt, Scored

LABELS = ("好", "bad", "soso")
PRIOR = {"好": 0.5, "bad": 0.3, "soso": 0.2}


def scores_of(rows: int, spread: float = 2.0, labels: Sequence[str] = LABELS, seed: int = 4) -> list[dict[str, float]]:
    """Label scores that lean to the last label."""
    rng = random.Random(seed)
    return [{label: rng.gauss(i, spread) - 7 for i, label in enumerate(labels)} for _ in range(rows)]


def means(rows: Sequence[Mapping[str, float]], fitted: Fitted) -> list[float]:
    """The mean probability of each label after calibration."""
    chances = [softmax(fitted.scores(row)) for row in rows]
    return [math.fsum(of_row[label] for of_row in chances) / len(rows) for label in rows[0]]


# ------------------------------------------------------------------ the whole run


@pytest.mark.parametrize("spread", [0.01, 1.0, 30.0, 900.0])
@pytest.mark.parametrize("rows", [1, 7, 50])
def test_after_prior_matching_the_mean_probabilities_are_the_prior(rows: int, spread: float) -> None:
    found = scores_of(rows, spread)
    fitted = of_run(Calibration("prior", PRIOR), found)
    assert means(found, fitted) == pytest.approx(list(PRIOR.values()), abs=1e-9)
    assert math.fsum(fitted.bias.values()) == pytest.approx(0, abs=1e-9)
    assert fitted.rows == rows


@pytest.mark.parametrize("labels", [2, 4, 40])
def test_prior_matching_also_makes_many_labels_alike_where_no_prior_is_told(labels: int) -> None:
    names = [f"类{i}" for i in range(labels)]
    found = scores_of(200, 3, names)
    assert means(found, of_run(Calibration("prior"), found)) == pytest.approx([1 / labels] * labels, abs=1e-9)


def test_prior_matching_agrees_with_scipy_on_the_function_that_it_makes_least() -> None:
    found = scores_of(60)

    def value(bias: Any) -> float:
        total = 0.0
        for row in found:
            moved = [score + b for score, b in zip(row.values(), [0.0, *bias], strict=True)]
            total += math.log(math.fsum(map(math.exp, moved)))
        return total / len(found) - sum(b * PRIOR[label] for b, label in zip(bias, LABELS[1:], strict=True))

    least = minimize(value, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-14, "maxiter": 4000})
    bias = of_run(Calibration("prior", PRIOR), found).bias
    assert [bias[label] - bias["好"] for label in LABELS[1:]] == pytest.approx(list(least.x), abs=1e-6)


def test_labels_that_all_rows_have_for_sure_are_matched_as_well() -> None:
    found = [{"a": 0.0, "b": -4000.0 - i} for i in range(5)] + [{"a": 0.0, "b": -3000.0}]
    fitted = of_run(Calibration("prior", {"a": 0.25, "b": 0.75}), found)
    assert means(found, fitted) == pytest.approx([0.25, 0.75], abs=1e-9)


def test_batch_calibration_divides_by_the_mean_probabilities() -> None:
    found = scores_of(25)
    fitted = of_run(Calibration("batch"), found)
    chances = [softmax(row) for row in found]
    mean = {label: sum(of_row[label] for of_row in chances) / len(chances) for label in LABELS}
    for row, chance in zip(found, chances, strict=True):
        divided = {label: chance[label] / mean[label] for label in LABELS}
        wanted = {label: share / sum(divided.values()) for label, share in divided.items()}
        assert softmax(fitted.scores(row)) == pytest.approx(wanted, rel=1e-12)


def can(rows: Sequence[Mapping[str, float]], prior: Mapping[str, float]) -> list[dict[str, float]]:
    """As the post has it: each unsure row by itself under all the sure ones (k = 3, tau = 0.9, alpha = 1, once)."""
    chances = [list(softmax(row).values()) for row in rows]

    def unsure(row: list[float]) -> bool:
        top = sorted(row)[-3:]
        top = [share / sum(top) for share in top]
        return -sum(share * math.log(share) for share in top if share) / math.log(len(top)) >= 0.9

    sure, done = [row for row in chances if not unsure(row)], []
    for row in chances:
        if unsure(row) and sure:
            table = [*sure, row]
            column = [sum(one[i] for one in table) / len(table) for i in range(len(row))]
            table = [[p / c * share for p, c, share in zip(one, column, prior.values(), strict=True)] for one in table]
            row = [share / sum(table[-1]) for share in table[-1]]
        done.append(dict(zip(prior, row, strict=True)))
    return done


@pytest.mark.parametrize("labels", [2, 3, 6])
@pytest.mark.parametrize("spread", [0.3, 2.0])
def test_can_is_alternating_normalization_of_each_unsure_row(labels: int, spread: float) -> None:
    names = [f"l{i}" for i in range(labels)]
    prior = {name: (i + 1) / sum(range(labels + 1)) for i, name in enumerate(names)}
    found = [{name: score + 7 for name, score in row.items()} for row in scores_of(40, spread, names)]
    fitted = of_run(Calibration("can", prior), found)
    wanted = can(found, prior)
    changed = 0
    for row, one in zip(found, wanted, strict=True):
        assert softmax(fitted.scores(row)) == pytest.approx(one, rel=1e-9, abs=1e-12)
        changed += softmax(row) != pytest.approx(one, rel=1e-6)
    assert changed, "some row must be unsure, or this shows nothing"
    assert 0 < fitted.sure_rows < 40


def test_can_leaves_rows_as_they_are_where_none_is_sure() -> None:
    found = scores_of(6, 0.01, ("a", "b"))
    flat = [{label: score / 100 for label, score in row.items()} for row in found]
    fitted = of_run(Calibration("can", {"a": 0.9, "b": 0.1}), flat)
    assert fitted.sure_rows == 0
    assert [fitted.scores(row) for row in flat] == flat


def test_can_takes_a_label_that_no_sure_row_and_not_the_row_itself_has_any_of() -> None:
    rows = [{"a": 0.0, "b": -2.0, "c": -3000.0, "d": -3000.0}, {"a": 0.0, "b": 0.0, "c": 0.0, "d": -3000.0}]
    found = softmax(of_run(Calibration("can"), rows).scores(rows[1]))
    assert sum(found.values()) == pytest.approx(1)
    assert found["c"] > found["b"] > found["a"], "the sure row has most of a, and nothing of c"


@pytest.mark.parametrize("method", OF_RUN)
def test_a_run_of_no_rows_has_nothing_to_fit(method: Any) -> None:
    assert of_run(Calibration(method), []) == Fitted(method)


# ------------------------------------------------------------------ labelled rows


def labelled(rows: int, noise: float = 1.0) -> tuple[list[dict[str, float]], list[str]]:
    rng = random.Random(9)
    gold = rng.choices(LABELS, [3, 2, 1], k=rows)
    scores = [
        {label: 3.0 * (rng.random() < 0.8) * (label == one) + rng.gauss(0, noise) for label in LABELS} for one in gold
    ]
    return scores, gold


def test_the_temperature_is_the_one_under_which_the_labels_are_likeliest() -> None:
    scores, gold = labelled(80)

    def loss(temperature: float) -> float:
        chances = [softmax({label: score / temperature for label, score in row.items()}) for row in scores]
        return -math.fsum(math.log(chance[one]) for chance, one in zip(chances, gold, strict=True))

    fitted = of_dev("temperature", scores, gold)
    least = minimize_scalar(loss, bounds=(0.01, 100), method="bounded", options={"xatol": 1e-9})
    assert fitted.temperature == pytest.approx(least.x, abs=1e-5)
    assert loss(fitted.temperature) <= least.fun + 1e-9
    assert fitted.rows == 80


def test_a_temperature_has_bounds_where_labels_are_all_right_or_no_better_than_wrong() -> None:
    rows = [{"a": 2.0, "b": 0.0}, {"a": 0.0, "b": 3.0}]
    assert of_dev("temperature", rows, ["a", "b"]).temperature == pytest.approx(0.01)
    assert of_dev("temperature", rows, ["b", "a"]).temperature == pytest.approx(100)


@pytest.mark.parametrize("rows", [2, 5, 60])
def test_the_biases_of_a_few_labels_are_those_of_scipy(rows: int) -> None:
    scores, gold = labelled(rows)

    def loss(bias: Any) -> float:
        found = 0.5 * sum(b * b for b in bias)
        for row, one in zip(scores, gold, strict=True):
            moved = dict(zip(LABELS, (score + b for score, b in zip(row.values(), bias, strict=True)), strict=True))
            found -= math.log(softmax(moved)[one])
        return found

    least = minimize(loss, [0.0] * 3, method="BFGS", options={"gtol": 1e-9})
    fitted = of_dev("few-label", scores, gold)
    assert list(fitted.bias.values()) == pytest.approx(list(least.x), abs=1e-5)


# ------------------------------------------------------------------ prompts that say nothing


def test_content_free_takes_away_the_logarithm_of_the_mean_probabilities_of_the_words() -> None:
    said = {"N/A": {"x": -1.0, "y": -2.5}, "[MASK]": {"x": -4.0, "y": -3.0}, "": {"x": -900.0, "y": -2.0}}
    (words,) = of_prompts("content-free", [said]).words
    chances = [softmax(scores) for scores in said.values()]
    for word in ("x", "y"):
        assert math.exp(words[word]) == pytest.approx(sum(chance[word] for chance in chances) / 3, rel=1e-12)


def test_pmi_takes_away_what_the_words_score_in_an_empty_prompt() -> None:
    said = {"N/A": "odd", "[MASK]": "odd", "": {"x": -9.0, "y": -2.0}}
    assert of_prompts("pmi", [said, {"": {"z": 1.0}}]).words == ({"x": -9.0, "y": -2.0}, {"z": 1.0})
    with pytest.raises(OptionError, match="content-free cannot be: the prompt with 'N/A' has no scores \\(odd\\)"):
        of_prompts("content-free", [said])
    with pytest.raises(OptionError, match="pmi cannot be: the prompt with the empty text has no scores \\(too long\\)"):
        of_prompts("pmi", [{"": "too long"}])
    with pytest.raises(OptionError, match="pmi needs the scores of prompts that say nothing, and there are none"):
        of_prompts("pmi", [])


class Telling(FakeScorer):
    """The fake scorer, which remembers what it was asked, call by call."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[Prompt]] = []

    def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
        self.asked.append(list(prompts))
        return super().score(prompts)


WORDS = Verbalizer("v", {"good": {"很": 1.0, "挺": 0.5}, "bad": {"不": 1.0}}, pool="logsumexp")


def recipe_of(method: str = "none", **keys: Any) -> Recipe:
    template = template_of(**{"scorer": "mlm", "text": "{mask}满意。{text}", **keys})
    return replace(Recipe.of(template, WORDS, "fake"), calibration=Calibration(method))  # type: ignore[arg-type]


def test_what_is_asked_says_nothing_in_each_field_and_is_plain_text() -> None:
    scorer = Telling()
    keys = {"scorer": "nsp", "text": ["{mask}：{title}", "{body} {title}"]}
    classifier = Classifier(recipe_of(**keys), scorer)
    assert scorer.asked == []
    (neutral,) = classifier.neutral
    assert classifier.neutral[0] is neutral, "asked once"
    ((first, second, third),) = scorer.asked
    assert [prompt.text() for prompt in (first, second, third)] == [
        "____：N/A | N/A N/A", "____：[MASK] | [MASK] [MASK]", "____： |  ",
    ]  # fmt: skip
    assert {piece.kind for piece in second.pieces if piece.text == "[MASK]"} == {Kind.FIELD}
    assert list(neutral) == list(NEUTRAL)
    wanted = FakeScorer().score([first])[0].scores
    assert neutral["N/A"] == dict(zip(("很", "挺", "不"), wanted, strict=True))


def test_a_field_with_a_hole_is_as_empty_on_both_sides_of_it() -> None:
    scorer = Telling()
    keys = {"scorer": "nsp", "text": ["说{mask}。", "{content}"], "fields": {"content": {"hole": "#"}}}
    assert Classifier(recipe_of(**keys), scorer).neutral
    assert [prompt.text("很") for prompt in scorer.asked[0]] == ["说很。 | N/A", "说很。 | [MASK]", "说很。 | "]


def test_calibration_prompts_stand_behind_the_same_demonstrations(tmp_path: Path) -> None:
    shots = write_rows(tmp_path / "d.jsonl", [{"text": f"d{i}", "label": ["good", "bad"][i % 2]} for i in range(4)])
    scorer = Telling()
    template = template_of(scorer="causal", text="{text} => {mask}")
    made = Classifier(Recipe.of(template, WORDS, "fake", demos=DemoPlan(shots, 2, 3)), scorer)
    assert made.neutral
    (row,) = made.prompts(Row({"text": "a row"}))
    drawn = [piece for piece in row.pieces if piece.kind is Kind.DEMO]
    assert len(drawn) == 2
    assert all([piece for piece in one.pieces if piece.kind is Kind.DEMO] == drawn for one in scorer.asked[0])


def test_content_free_scores_less_the_words_of_the_prompts_are_pooled_after() -> None:
    scorer = FakeScorer()
    raw = Classifier(recipe_of(), scorer)
    calibrated = Classifier(recipe_of("content-free"), scorer)
    (before,), (after,) = (list(one.predict([{"text": "又香又脆"}])) for one in (raw, calibrated))
    assert after.word_scores == before.word_scores
    assert after.label_scores == before.label_scores
    chances = [softmax(scores) for scores in raw.neutral[0].values()]  # type: ignore[arg-type]
    mean = {word: sum(chance[word] for chance in chances) / 3 for word in before.word_scores}
    moved = {word: score - math.log(mean[word]) for word, score in before.word_scores.items()}
    pooled = {"good": math.log(math.exp(moved["很"]) + 0.5 * math.exp(moved["挺"])), "bad": moved["不"]}
    assert after.probabilities == pytest.approx(softmax(pooled), rel=1e-12)
    assert after.label == max(pooled, key=pooled.__getitem__)


def test_prompts_that_fail_end_no_run_but_the_calibration_by_them() -> None:
    class Choosy(FakeScorer):
        def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
            return [Scored(error="no text") if prompt.text("") == "满意。" else one
                    for prompt, one in zip(prompts, super().score(prompts), strict=True)]  # fmt: skip

    class Broken(FakeScorer):
        def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
            if any("N/A" in prompt.text() for prompt in prompts):
                raise ValueError("N/A is no number")
            return super().score(prompts)

    (said,) = Classifier(recipe_of(), Choosy()).neutral
    assert said[""] == "no text"
    assert isinstance(said["N/A"], dict)
    classifier = Classifier(recipe_of(), Broken())
    assert set(classifier.neutral[0].values()) == {"the scorer 'fake' failed: ValueError: N/A is no number"}
    assert next(iter(classifier.predict(["still here"]))).label in ("good", "bad")
    with pytest.raises(OptionError, match=r"pmi cannot be: .* \(no text\)"):
        Classifier(recipe_of("pmi"), Choosy())


# ------------------------------------------------------------------ what cannot be


@pytest.mark.parametrize("method", [method for method in METHODS if method != "none"])
@pytest.mark.parametrize("name", ["zh-same-nsp", "en-choice-causal"])
def test_pairs_are_not_calibrated_and_words_of_the_row_by_a_temperature_only(name: str, method: Any) -> None:
    template = library.template(name)
    recipe = replace(Recipe.of(template, library.verbalizer_of(template), "fake"), calibration=Calibration(method))
    if name == "en-choice-causal" and method == "temperature":
        recipe.check()
        return
    with pytest.raises(OptionError, match=f"no calibration {method}: .*(ranks or thresholds|has its own words)"):
        recipe.check()


def test_pairs_have_nothing_to_abstain_by() -> None:
    template = library.template("zh-same-nsp")
    recipe = replace(Recipe.of(template, library.verbalizer_of(template), "fake"), abstain_below=0.5)
    with pytest.raises(OptionError, match="nothing to abstain by"):
        recipe.check()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"method": "temp"}, "no calibration 'temp'"),
        ({"method": "temperature"}, "calibration temperature needs labelled rows; name a file of them: --dev FILE"),
        ({"method": "batch", "dev": "d.jsonl"}, "calibration batch uses no labelled rows"),
        ({"method": "batch", "prior": PRIOR}, "calibration batch uses no prior; leave it out, or take prior or can"),
    ],
)
def test_a_calibration_whose_parts_do_not_go_together_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError) as problem:
        Calibration.of(**given)
    assert said in str(problem.value)


def test_nothing_of_a_calibration_stands_in_the_identity_where_there_is_none() -> None:
    plain = recipe_of()
    assert replace(plain, calibration=Calibration(prior={"good": 0.9, "bad": 0.1})).fingerprint() == plain.fingerprint()
    prints = {recipe_of(method).fingerprint() for method in METHODS}
    prints |= {replace(plain, calibration=Calibration("prior", {"good": 0.9, "bad": 0.1})).fingerprint()}
    prints |= {replace(plain, abstain_below=0.3).fingerprint()}
    assert len(prints) == len(METHODS) + 2


# ------------------------------------------------------------------ priors

TASK = Task(template_of(scorer="mlm", text="{mask}{text}"), WORDS)


@pytest.mark.parametrize(
    ("said", "good"),
    [
        ("uniform", 0.5),
        ("good=0.25,bad=0.75", 0.25),
        ("GOOD = 3，bad＝1", 0.75),
        ({"bad": 0.9, "good": 0.1}, 0.1),
        ('{"bad": 60, "good": 20}', 0.25),
        ("good=0.333,bad=0.666", 0.333 / 0.999),
    ],
)
def test_a_prior_is_said_in_several_ways(said: Any, good: float) -> None:
    assert prior_of(said, TASK) == pytest.approx({"good": good, "bad": 1 - good})
    assert prior_of(None, TASK) is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.yaml", "bad: 0.2\ngood: 0.8\n"),
        ("p.json", '{"good": 12, "bad": 3}'),
        ("p.jsonl", '{"text": "x", "label": "Good"}\n' * 8 + '{"text": "y", "label": "bad"}\n' * 2 + '{"text": "z"}\n'),
        ("p.json", '[{"label": "bad"}, {"label": "good"}, {"label": "good"}, {"label": "good"}, {"label": "good"}]'),
        ("p=0.csv", "text,label\n" + "a,good\n" * 4 + "b,bad\n" + "c,other\n"),
    ],
)
def test_a_prior_may_stand_in_a_file_as_numbers_or_as_rows_whose_labels_are_counted(
    name: str, text: str, tmp_path: Path
) -> None:
    assert prior_of(put_in(tmp_path, name, text), TASK) == pytest.approx({"good": 0.8, "bad": 0.2})


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("good=0.5", "--prior: no share for 'bad'; give all labels one"),
        ("good=0.5,bad=0.6", "--prior: the shares sum to 1.1; write shares that sum to 1 or 100, or counts of rows"),
        ("good=-1,bad=2", "--prior: the share of 'good' is '-1', no number above 0"),
        ("good=nan,bad=1", "--prior: the share of 'good' is 'nan', no number above 0"),
        ("good=much,bad=1", "--prior: the share of 'good' is 'much', no number above 0"),
        ("good=1,good=2,bad=1", "--prior: the label 'good' has two shares"),
        ('{"good": 1, "bad": 1, "good": 2}', "--prior: the label 'good' has two shares"),
        ("good=1_0,bad=1", "--prior: the share of 'good' is '1_0', no number above 0"),
        ("goood=1,bad=1", "--prior: a share for 'goood', which is none of our labels; did you mean 'good'?"),
        ("{good", "--prior {good: no shares"),
        ("nothing-here.jsonl", "--prior nothing-here.jsonl: no shares, and no such file; write label=share"),
        ("unifrom", "--prior unifrom: no shares, and no such file"),
        ("", "--prior '': no shares, and no such file"),
        ("good:0.7,bad:0.3", "--prior good:0.7,bad:0.3: no shares, and no such file"),
        ("good=0.5,bad=1.5", "--prior: the shares sum to 2; write shares that sum to 1 or 100, or counts of rows"),
        ("good=1e308,bad=1e308", "--prior: the shares sum to inf; write shares that sum to 1 or 100"),
    ],
)
def test_a_prior_that_is_none_is_one_clear_line(said: str, told: str) -> None:
    with pytest.raises(PromptshotError) as problem:
        prior_of(said, TASK)
    assert str(problem.value).startswith(told)
    assert "\n" not in str(problem.value)


def test_rows_that_lack_a_label_are_no_prior_of_it(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "r.jsonl", [{"text": "x", "label": "good"}] * 3)
    with pytest.raises(PromptshotError, match="no share for 'bad'; give all labels one; where no row has them, write"):
        prior_of(rows, TASK)
    other = write_rows(tmp_path / "o.jsonl", [{"text": "x", "label": "neither"}] * 3)
    with pytest.raises(PromptshotError, match="no row has a label of ours to count"):
        prior_of(other, TASK)


def test_words_of_the_row_have_no_prior_to_be_told_and_pairs_have_one_of_their_labels() -> None:
    own, pairs = (library.template(name) for name in ("en-choice-causal", "zh-same-nsp"))
    with pytest.raises(OptionError, match="--prior: en-choice-causal has other words in each row"):
        prior_of("uniform", Task(own, library.verbalizer_of(own)))
    task = Task(pairs, library.verbalizer_of(pairs))
    assert prior_of("same=1,different=3", task) == {"different": 0.75, "same": 0.25}
    with pytest.raises(InputError, match="--prior: no share for 'different'"):
        prior_of("same=1", task)


# ------------------------------------------------------------------ from Python


def rows(count: int) -> list[dict[str, str]]:
    return [{"text": f"row {i}", "label": ("good", "bad")[i % 3 == 0]} for i in range(count)]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_be_asked_for_from_python(method: str) -> None:
    dev = rows(9) if method in ("temperature", "few-label") else None
    classifier = Classifier.load(
        "{mask}满意。{text}",
        labels={"good": ["很"], "bad": ["不"]},
        scorer="fake",
        calibrate=method,
        dev=dev,
        abstain_below=0.9,
    )
    found = list(classifier.predict(rows(30)))
    assert len(found) == 30
    assert {one.abstained for one in found} == ({True} if method == "temperature" else {True, False})
    for one in found:
        assert one.probabilities is not None
        assert one.label == max(one.probabilities, key=one.probabilities.__getitem__)
        assert one.abstained == (one.probabilities[one.label] < 0.9)
        assert one.label_scores == {"good": one.word_scores["很"], "bad": one.word_scores["不"]}, "they stay raw"
    if method == "prior":
        assert math.fsum(one.probabilities["good"] for one in found if one.probabilities) == pytest.approx(15, abs=1e-8)


def test_too_few_labelled_rows_are_refused_with_how_many_there_are() -> None:
    keys: dict[str, Any] = {"labels": ["good", "bad"], "scorer": "fake", "calibrate": "few-label"}
    with pytest.raises(PromptshotError, match="dev: 1 good row with a label of ours, too few to calibrate by; give 2"):
        Classifier.load("{mask}满意。{text}", dev=[*rows(1), {"text": "x"}, {"text": "y", "label": "other"}], **keys)
    with pytest.raises(OptionError, match="a prediction abstains below a probability, and 7 is none"):
        Classifier.load("{mask}{text}", labels="a,b", scorer="fake", abstain_below=7)


def test_a_data_frame_gets_a_column_of_what_abstains() -> None:
    pandas = pytest.importorskip("pandas")
    classifier = Classifier.load(
        "{mask}{text}", labels=["good", "bad"], scorer="fake", calibrate="batch", abstain_below=0.8
    )
    done = classifier.frame(pandas.DataFrame(rows(20)))
    assert list(done.columns) == ["text", "label", "prediction", "abstained", "probability", "p_good", "p_bad"]
    assert (done["abstained"] == (done["probability"] < 0.8)).all()
    assert 0 < done["abstained"].sum() < 20
    assert done["p_good"].mean() != 0.5
