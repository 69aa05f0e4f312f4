"""The counts agree with scikit-learn and scipy."""

from __future__ import annotations

import json
import math
import random
from statistics import mean, pstdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, bootstrap
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    hamming_loss,
    jaccard_score,
    matthews_corrcoef,
    precision_recall_fscore_support,
)

from promptshot.metrics import SETS, SetTally, Tally, label_text, tally_of, wilson
from promptshot.paired import Paired, _binomial, holm, sign_test

LABELS = ("体育", "b", "c", "never")


def tally(gold: list[str], predicted: list[str], labels: tuple[str, ...] = LABELS) -> Tally:
    found = Tally(labels)
    for g, p in zip(gold, predicted, strict=True):
        found.add(p, g)
    return found


def random_pairs(seed: int, rows: int, labels: tuple[str, ...] = LABELS[:3]) -> tuple[list[str], list[str]]:
    rng = random.Random(seed)
    gold = rng.choices(labels, range(1, len(labels) + 1), k=rows)
    return gold, [g if rng.random() < 0.5 else rng.choice(labels) for g in gold]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rows", [1, 7, 300])
def test_accuracy_and_f1_agree_with_scikit_learn(seed: int, rows: int) -> None:
    gold, predicted = random_pairs(seed, rows)
    found = tally(gold, predicted)
    assert found.accuracy == pytest.approx(accuracy_score(gold, predicted))
    assert found.macro_f1 == pytest.approx(f1_score(gold, predicted, average="macro", zero_division=0))
    names = list(found.per_label())
    numbers = precision_recall_fscore_support(gold, predicted, labels=names, zero_division=0)
    for name, precision, recall, f1, support in zip(names, *numbers, strict=True):
        ours = found.per_label()[name]
        assert (ours.precision, ours.recall, ours.f1) == pytest.approx((precision, recall, f1))
        assert ours.support == support


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
@settings(deadline=None, max_examples=200)
@given(data=st.data(), labels=st.integers(1, 5))
def test_balanced_accuracy_and_matthews_correlation_agree_with_scikit_learn(data: st.DataObject, labels: int) -> None:
    """Also where labels are never gold, never predicted, or the only ones."""
    names = [f"类{i}" for i in range(labels)]
    pairs = data.draw(st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names)), min_size=1, max_size=40))
    gold, predicted = map(list, zip(*pairs, strict=True))
    found = tally(gold, predicted, tuple(names))
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(gold, predicted))
    assert found.matthews == pytest.approx(matthews_corrcoef(gold, predicted), abs=1e-12)


@pytest.mark.parametrize(
    ("gold", "predicted", "balanced", "matthews"),
    [
        ("bbbb", "bbbb", 1.0, 0.0),  # one label alone tells nothing
        ("bbcc", "bbcc", 1.0, 1.0),
        ("bbcc", "ccbb", 0.0, -1.0),
        ("bbbc", "bbbb", 0.5, 0.0),  # always the same
        ("bbbb", "bbcc", 0.5, 0.0),
        ("bbcc", "bcbc", 0.5, 0.0),
        ("bbcz", "bbzc", 1 / 3, 2 / 10),  # (2*4 - (2*2 + 1*1 + 1*1)) / sqrt((16 - 6) (16 - 6))
    ],
)
def test_what_balanced_accuracy_and_matthews_correlation_come_to_by_hand(
    gold: str, predicted: str, balanced: float, matthews: float
) -> None:
    found = tally(list(gold), list(predicted))
    assert found.balanced_accuracy == pytest.approx(balanced)
    assert found.matthews == pytest.approx(matthews)


def test_matthews_correlation_stays_exact_for_very_many_rows() -> None:
    found = Tally(LABELS)
    found.confusion.update({("b", "b"): 3 * 10**12, ("c", "c"): 10**12, ("c", "b"): 10**12})
    few = Tally(LABELS)
    few.confusion.update({("b", "b"): 3, ("c", "c"): 1, ("c", "b"): 1})
    assert found.matthews == pytest.approx(few.matthews, rel=1e-12)


def test_the_confusion_agrees_with_scikit_learn() -> None:
    gold, predicted = random_pairs(3, 200)
    names = list(LABELS[:3])
    theirs = confusion_matrix(gold, predicted, labels=names)
    ours = tally(gold, predicted).summary()["confusion"]
    assert [[ours[g].get(p, 0) for p in names] for g in names] == theirs.tolist()


def test_labels_that_never_occur_do_not_count_and_the_others_keep_their_order() -> None:
    found = tally(["c", "b", "b"], ["b", "体育", "b"])
    assert list(found.per_label()) == ["体育", "b", "c"]


def test_a_label_outside_the_list_is_counted_behind_the_others() -> None:
    assert list(tally(["z", "b"], ["b", "b"]).per_label()) == ["b", "z"]


@settings(deadline=None, max_examples=50)
@given(total=st.integers(1, 2000), data=st.data())
def test_the_interval_agrees_with_scipy(total: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, total))
    theirs = binomtest(hits, total).proportion_ci(method="wilson")
    assert wilson(hits, total) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_the_interval_stays_within_zero_and_one() -> None:
    assert 0.0 <= wilson(0, 3)[0] < 1e-15
    assert 1.0 - 1e-15 < wilson(3, 3)[1] <= 1.0
    assert tally(["b", "c"], ["b", "b"]).interval == wilson(1, 2)


def test_rows_without_a_known_label_are_counted_and_not_scored() -> None:
    found = Tally(LABELS)
    found.add("b", "b")
    found.add("b", None)
    found.add("c", None, "neutral")
    found.add("c", None, "neutral")
    found.rejected += 4
    assert (found.predicted, found.labelled, found.correct, found.accuracy) == (4, 1, 1, 1.0)
    assert found.unknown_gold == {"neutral": 2}
    assert (found.unlabelled, found.summary()["unlabelled"], found.summary()["unknown"]) == (1, 1, 2)
    assert found.summary()["rows"] == 8
    assert found.summary()["predictions"] == {"b": 2, "c": 2}


def test_without_labels_there_is_no_accuracy_rather_than_zero() -> None:
    found = Tally(LABELS)
    found.add("b", None)
    said = found.summary()
    for name in ("accuracy", "accuracy_interval", "balanced_accuracy", "macro_f1", "matthews", "majority", "chance"):
        assert said[name] is None, name
    assert said["per_label"] == {}


def test_a_run_of_nothing_can_be_summed_up() -> None:
    said = Tally().summary()
    assert (said["rows"], said["accuracy"], said["confusion"]) == (0, None, {})


def test_majority_is_the_share_of_the_most_frequent_gold_label() -> None:
    assert tally(["b", "b", "c", "b"], ["c", "c", "c", "c"]).majority == 0.75


def test_chance_is_one_over_the_labels_or_over_the_choices_of_each_row() -> None:
    assert tally(["b", "c"], ["b", "b"]).chance == 0.25
    found = Tally()
    found.add("x", "x", choices=2)
    found.add("x", "y", choices=4)
    assert found.chance == pytest.approx(0.375)


def test_the_summary_is_plain_data() -> None:
    gold, predicted = random_pairs(1, 50)
    said = tally(gold, predicted).summary()
    assert json.loads(json.dumps(said)) == said
    assert said["accuracy_interval"][0] < said["accuracy"] < said["accuracy_interval"][1]


def test_only_the_most_frequent_unknown_labels_are_listed() -> None:
    found = Tally(LABELS)
    for i in range(30):
        for _ in range(i + 1):
            found.add("b", None, str(i))
    assert list(found.summary()["unknown_gold"]) == [str(i) for i in range(29, 9, -1)]


# ------------------------------------------------------------------ paired tests


@settings(deadline=None, max_examples=100)
@given(one=st.integers(0, 400), other=st.integers(0, 400))
def test_the_mcnemar_test_agrees_with_scipy(one: int, other: int) -> None:
    ours = Paired(10, one, other, 5).p
    assert ours == pytest.approx(binomtest(one, one + other).pvalue if one + other else 1.0, rel=1e-9)


@pytest.mark.parametrize(("one", "other"), [(5000, 5300), (60_000, 60_500), (0, 1000), (7, 900)])
def test_the_mcnemar_test_agrees_with_scipy_for_many_rows(one: int, other: int) -> None:
    assert sign_test(one, other) == pytest.approx(binomtest(one, one + other).pvalue, rel=1e-7, abs=1e-300)


def test_the_mcnemar_test_agrees_with_statsmodels() -> None:
    contingency_tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    theirs = contingency_tables.mcnemar([[40, 17], [6, 12]], exact=True)
    assert Paired(40, 17, 6, 12).p == pytest.approx(theirs.pvalue)


def test_holm_by_hand() -> None:
    # sorted 0.005 0.01 0.03 0.04, times 4 3 2 1, and never less than the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == pytest.approx([1.0, 1.0])
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_holm_agrees_with_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    ps = [random.Random(4).random() ** 3 for _ in range(20)]
    assert holm(ps) == pytest.approx(list(multitest.multipletests(ps, method="holm")[1]))


def test_pairs_are_counted_by_who_was_right() -> None:
    pairs = [(True, True), (True, False), (True, False), (False, True), (False, False)]
    found = Paired.of(pairs)
    assert (found.both, found.first, found.second, found.neither, found.rows) == (1, 2, 1, 1, 5)
    assert found.difference == pytest.approx(-0.2)
    assert found.summary()["only_first"] == 2
    assert json.loads(json.dumps(found.summary()))["difference_interval"] == list(found.interval())


def test_the_paired_bootstrap_agrees_with_scipy() -> None:
    found = Paired(120, 40, 20, 60)
    differences = [0.0] * 180 + [-1.0] * 40 + [1.0] * 20
    theirs = bootstrap((differences,), mean, method="percentile", n_resamples=5000, rng=1, vectorized=False)
    interval = theirs.confidence_interval
    assert found.interval(7) == pytest.approx((interval.low, interval.high), abs=0.01)


def test_the_bootstrap_is_the_same_for_the_same_seed_only() -> None:
    found = Paired(3000, 431, 390, 2000)
    assert found.interval(1) == found.interval(1)
    assert found.interval(1) != found.interval(2)


def test_where_nothing_differs_the_bootstrap_is_sure() -> None:
    assert Paired(5, 0, 0, 5).interval() == (0.0, 0.0)
    assert Paired(0, 0, 9, 0).interval() == (1.0, 1.0)
    assert Paired(0, 0, 0, 0).interval() == (0.0, 0.0)


@pytest.mark.parametrize(("trials", "chance"), [(1, 0.5), (30, 0.3), (1000, 0.001), (257, 0.75), (64, 1.0), (9, 0.0)])
def test_binomial_draws_have_the_right_mean_and_spread(trials: int, chance: float) -> None:
    rng = random.Random(3)
    drawn = [_binomial(rng, trials, chance) for _ in range(4000)]
    spread = math.sqrt(trials * chance * (1 - chance))
    assert all(0 <= n <= trials for n in drawn)
    assert mean(drawn) == pytest.approx(trials * chance, abs=4 * spread / math.sqrt(4000) + 1e-12)
    assert pstdev(drawn) == pytest.approx(spread, rel=0.1, abs=1e-12)


# ------------------------------------------------------------------ whether probabilities can be believed


def believed(rows: int, seed: int = 3) -> list[tuple[str, str, dict[str, float]]]:
    """(gold, predicted, probabilities) of rows, the predicted label being the likeliest."""
    rng = random.Random(seed)
    found = []
    for _ in range(rows):
        weights = [rng.random() ** 3 for _ in LABELS]
        chances = {label: weight / sum(weights) for label, weight in zip(LABELS, weights, strict=True)}
        found.append((rng.choices(LABELS, weights)[0], max(chances, key=chances.__getitem__), chances))
    return found


def test_the_calibration_error_and_the_brier_score_are_as_their_definitions_say() -> None:
    rows, found = believed(400), Tally(LABELS)
    for gold, predicted, chances in rows:
        found.add(predicted, gold, gold, None, chances[predicted], chances)
    total = 0.0
    for i in range(15):
        inside = [(gold == predicted, chances[predicted]) for gold, predicted, chances in rows
                  if i / 15 < chances[predicted] <= (i + 1) / 15]  # fmt: skip
        if inside:
            total += len(inside) / 400 * abs(mean(hit for hit, _ in inside) - mean(chance for _, chance in inside))
    assert found.reliability.ece == pytest.approx(total)
    brier = mean(sum((chance - (label == gold)) ** 2 for label, chance in chances.items()) for gold, _, chances in rows)
    assert found.reliability.brier == pytest.approx(brier)
    assert found.summary()["ece"] == found.reliability.ece
    assert found.summary()["brier"] == found.reliability.brier


def test_the_error_by_chance_alone_is_that_of_labels_drawn_with_these_very_probabilities() -> None:
    rows, errors = believed(900), []
    rng = random.Random(8)
    for _ in range(60):
        found = Tally(LABELS)
        for _, predicted, chances in rows:
            gold = rng.choices(list(chances), list(chances.values()))[0]
            found.add(predicted, gold, gold, None, chances[predicted], chances)
        errors.append(found.reliability.ece)
    assert found.reliability.by_chance == pytest.approx(mean(filter(None, errors)), rel=0.06)


@pytest.mark.parametrize(("probability", "place"), [(0.0, 0), (1 / 15, 0), (0.067, 1), (0.999, 14), (1.0, 14)])
def test_a_bin_has_its_upper_end(probability: float, place: int) -> None:
    found = Tally(("a", "b"))
    found.add("a", "a", "a", None, probability)
    assert found.reliability.rows.index(1) == place
    assert found.reliability.brier is None, "of one probability alone there is none"


def test_rows_without_gold_or_probability_say_nothing_of_reliability() -> None:
    found = Tally(LABELS)
    found.add("b", None, "odd", None, 0.9, {"b": 0.9, "c": 0.1})
    found.add("b", "b")
    assert found.reliability.summary() == {"ece": None, "ece_by_chance": None, "brier": None}


@given(cut=st.integers(0, 50), below=st.floats(0, 1))
@settings(deadline=None, max_examples=30)
def test_a_tally_that_is_stopped_counts_probabilities_and_abstaining_on_to_the_last_digit(
    cut: int, below: float
) -> None:
    def count(into: Tally, rows: list[tuple[str, str, dict[str, float]]]) -> Tally:
        for gold, predicted, chances in rows:
            into.add(predicted, gold, gold, None, chances[predicted], chances, chances[predicted] < below)
        return into

    rows = believed(50)
    whole, part = Tally(LABELS), Tally(LABELS)
    whole.abstained.possible = part.abstained.possible = True
    count(whole, rows)
    kept = json.loads(json.dumps(count(part, rows[:cut]).state()))
    again = count(Tally.restored(LABELS, kept), rows[cut:])
    assert again.state() == whole.state()
    assert again.summary() == whole.summary()
    held = [(gold == predicted) for gold, predicted, chances in rows if chances[predicted] < below]
    rest = [(gold == predicted) for gold, predicted, chances in rows if chances[predicted] >= below]
    assert whole.summary()["abstained"] == len(held)
    assert whole.coverage == pytest.approx(len(rest) / 50)
    assert whole.accuracy_of_rest == (pytest.approx(mean(rest)) if rest else None)


def test_what_is_kept_of_a_tally_does_not_change_while_it_goes_on() -> None:
    found = Tally(("a", "b"))
    found.add("a", "a", "a", None, 0.75)
    kept = found.state()
    found.add("a", "b", "b", None, 0.75)
    assert kept["reliability"]["rows"][11] == 1


def test_the_probabilities_of_several_draws_are_counted_together() -> None:
    one, other = Tally(("a", "b")), Tally(("a", "b"))
    one.add("a", "a", "a", None, 0.75, {"a": 0.75, "b": 0.25})
    other.add("b", "a", "a", None, 0.6, {"a": 0.4, "b": 0.6})
    both = Tally.pooled([one, other])
    assert both.reliability.rows == [int(i in (8, 11)) for i in range(15)]
    assert both.reliability.brier == pytest.approx((0.125 + 0.72) / 2)
    assert one.reliability.rows != both.reliability.rows


# ------------------------------------------------------------------ several labels a row

Rows = list[tuple[tuple[str, ...], tuple[str, ...]]]  # gold, predicted


def of_sets(rows: Rows, labels: tuple[str, ...] = LABELS) -> SetTally:
    found = SetTally(labels)
    for gold, predicted in rows:
        found.add(predicted, gold)
    return found


def indicators(rows: Rows, labels: tuple[str, ...]) -> tuple[list[list[int]], list[list[int]]]:
    """A 0 or 1 for each label of each row, gold and predicted."""
    gold, predicted = ([[int(label in row[side]) for label in labels] for row in rows] for side in (0, 1))
    return gold, predicted


@settings(deadline=None, max_examples=200)
@given(data=st.data(), labels=st.integers(2, 6))
def test_the_metrics_of_several_labels_are_those_of_scikit_learn(data: st.DataObject, labels: int) -> None:
    """Also where rows have no label, or all, and where labels are never gold or never predicted."""
    names = tuple(f"类{i}" for i in range(labels))
    some = st.sets(st.sampled_from(names)).map(lambda one: tuple(name for name in names if name in one))
    rows = data.draw(st.lists(st.tuples(some, some), min_size=1, max_size=30))
    found, (gold, predicted) = of_sets(rows, names), indicators(rows, names)
    assert found.accuracy == pytest.approx(accuracy_score(gold, predicted), abs=1e-12)
    assert found.micro_f1 == pytest.approx(f1_score(gold, predicted, average="micro", zero_division=0), abs=1e-12)
    assert found.macro_f1 == pytest.approx(f1_score(gold, predicted, average="macro", zero_division=0), abs=1e-12)
    jaccard = jaccard_score(gold, predicted, average="samples", zero_division=0)
    assert found.jaccard == pytest.approx(jaccard, abs=1e-12)
    assert found.hamming == pytest.approx(hamming_loss(gold, predicted), abs=1e-12)
    numbers = precision_recall_fscore_support(gold, predicted, zero_division=0)
    assert list(found.per_label()) == list(names)
    for ours, precision, recall, f1, support in zip(found.per_label().values(), *numbers, strict=True):
        assert (ours.precision, ours.recall, ours.f1) == pytest.approx((precision, recall, f1), abs=1e-12)
        assert ours.support == support
    best = max(sum(row[0] == one for row in rows) for one in {row[0] for row in rows})
    assert found.majority == pytest.approx(best / len(rows), abs=1e-12)
    assert found.chance == pytest.approx(0.5**labels)


def test_rows_with_unknown_labels_are_predicted_and_not_judged() -> None:
    found = of_sets([(("b",), ("b",))])
    found.add(("b", "c"), None, "x")
    found.add((), None)
    assert (found.predicted, found.labelled, found.unlabelled, found.accuracy) == (3, 1, 1, 1.0)
    assert found.unknown_gold == {"x": 1}
    assert found.predictions == {"b": 2, "c": 1}
    assert (found.empty, found.full) == (1, 0)
    assert found.summary()["unknown"] == 1


def test_without_labelled_rows_nothing_is_said_of_several_labels() -> None:
    found = SetTally(LABELS)
    found.add(("b",), None)
    rates = (found.accuracy, found.micro_f1, found.macro_f1, found.jaccard, found.hamming, found.majority)
    assert rates == (None,) * 6
    assert found.per_label() == {}


@pytest.mark.parametrize("cut", [0, 1, 17, 40])
def test_a_tally_of_sets_goes_on_where_it_had_got_to(cut: int) -> None:
    rng = random.Random(4)
    chances = [{label: rng.random() for label in LABELS} for _ in range(40)]
    golds = [tuple(label for label in LABELS if rng.random() < 0.4) for _ in range(40)]
    whole, first = SetTally(LABELS), SetTally(LABELS)

    def count(tally: SetTally, rows: range) -> None:
        for i in rows:
            given = tuple(label for label in LABELS if chances[i][label] >= 0.5)
            tally.add(
                given, None if i % 7 == 0 else golds[i], "z" if i % 7 == 0 else None, None, 0.5, chances[i], i > 9
            )

    count(whole, range(40))
    count(first, range(cut))
    again = SetTally.restored(LABELS, json.loads(json.dumps(first.state())))
    count(again, range(cut, 40))
    assert again.state() == whole.state()
    assert again.summary() == whole.summary()
    left = SetTally(LABELS)
    count(left, range(cut, 40))
    both = SetTally.pooled([first, left])
    for name in (*SetTally.rates, "majority", "predicted", "labelled", "correct"):
        assert getattr(both, name) == pytest.approx(getattr(whole, name)), name
    assert (both.per_label(), both.predictions) == (whole.per_label(), whole.predictions)


def test_probabilities_of_several_labels_are_believed_label_by_label() -> None:
    """The Brier score is the mean over all decisions of the squared error."""
    rng = random.Random(1)
    found, squares = SetTally(("a", "b", "c")), []
    for _ in range(400):
        chances = {label: rng.random() for label in found.labels}
        gold = tuple(label for label in found.labels if rng.random() < chances[label])
        found.add(tuple(label for label, p in chances.items() if p >= 0.5), gold, None, None, None, chances)
        squares.append(([int(label in gold) for label in found.labels], list(chances.values())))
    assert sum(found.reliability.rows) == 1200
    flat = [(one, p) for golds, of in squares for one, p in zip(golds, of, strict=True)]
    expected = brier_score_loss([one for one, _ in flat], [p for _, p in flat])
    assert found.reliability.brier == pytest.approx(expected, abs=1e-12)
    assert found.reliability.ece is not None
    assert found.reliability.by_chance is not None
    assert found.reliability.ece < 2 * found.reliability.by_chance  # they were drawn with these very probabilities


def test_memory_does_not_grow_with_sets_of_labels() -> None:
    names = tuple(f"l{i}" for i in range(12))
    found = SetTally(names)
    for number in range(4096):
        gold = tuple(name for i, name in enumerate(names) if number >> i & 1)
        found.add(() if gold else names, gold)
    assert (len(found.sets), len(found.pairs)) == (SETS, SETS)
    assert found.labelled == 4096
    assert found.support()["l11"] == 2048  # counted, whatever the sets


def test_labels_for_people() -> None:
    assert [label_text(label) for label in ("a", ("a", "b"), ())] == ["a", "a, b", "(none)"]
    assert type(tally_of(LABELS, True)) is SetTally
    assert type(tally_of(LABELS, False)) is Tally
