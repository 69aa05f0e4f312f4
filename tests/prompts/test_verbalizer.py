"""Label words become label scores by plain arithmetic, and gold labels are known by every usual spelling."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptshot.errors import RowError, VerbalizerError
from promptshot.prompts.verbalizer import RowWords, Verbalizer, of_ordered
from promptshot.rows.row import Row


def make(labels: dict[str, Any], **keys: Any) -> Verbalizer:
    return Verbalizer.parse({"labels": labels, **keys}, "v")


def complaint(labels: dict[str, Any], **keys: Any) -> str:
    with pytest.raises(VerbalizerError) as caught:
        make(labels, **keys)
    return str(caught.value)


# ------------------------------------------------------------------ words


def test_words_are_one_several_or_weighted() -> None:
    found = make({"a": "x", "b": ["y", "z"], "c": {"u": 1, "v": 0.5}})
    assert found.labels == {"a": {"x": 1.0}, "b": {"y": 1.0, "z": 1.0}, "c": {"u": 1.0, "v": 0.5}}
    assert found.names == ("a", "b", "c")
    assert found.choices(Row({})) == ("x", "y", "z", "u", "v")


WEIGHT = "v: labels: a weight of the label 'b' is not between 1e-09 and 1e+09"


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"a": "x"}, "v: labels: 1 label; a choice needs at least two"),
        ({}, "v: labels: 0 label; a choice needs at least two"),
        ({"a": "x", "b": []}, "v: labels: the label 'b' has no word; write b: [word]"),
        ({"a": "x", "b": ""}, "v: labels: the label 'b' has no word; write b: [word]"),
        ({"a": "x", "b": ["y", " "]}, "v: labels: the label 'b' has no word; write b: [word]"),
        ({"a": "x", "b": {"y": 0}}, WEIGHT),
        ({"a": "x", "b": {"y": -1}}, WEIGHT),
        ({"a": "x", "b": {"y": "nan"}}, WEIGHT),
        ({"a": "x", "b": {"y": "inf"}}, WEIGHT),
        ({"a": "x", "b": {"y": 1e300}}, WEIGHT),
        ({"a": "x", "b": {"y": 5e-324}}, WEIGHT),
        ({"a": "x", "b": ["x", "y"]}, "v: the label word 'x' belongs to both 'a' and 'b'; give each label its own"),
    ],
)
def test_labels_that_cannot_be_told_apart_are_refused(labels: dict[str, Any], said: str) -> None:
    assert complaint(labels) == said


def test_a_word_twice_in_one_label_counts_once() -> None:
    assert make({"a": ["x", "x"], "b": "y"}).choices(Row({})) == ("x", "y")


def test_words_that_differ_in_case_are_different_words() -> None:
    assert make({"a": "Good", "b": "good"}).choices(Row({})) == ("Good", "good")


# ------------------------------------------------------------------ pools, by hand

WEIGHTED = {"a": {"x": 1.0, "y": 3.0}, "b": {"z": 0.5}}
SCORES = [-2.0, -4.0, -3.0]


@pytest.mark.parametrize(
    ("pool", "a", "b"),
    [
        ("mean", (1 * -2 + 3 * -4) / 4, -3.0),  # -3.5
        ("max", -2.0, -3.0),
        ("logsumexp", math.log(math.exp(-2) + 3 * math.exp(-4)), math.log(0.5 * math.exp(-3))),
    ],
)
def test_the_pools_agree_with_numbers_worked_by_hand(pool: str, a: float, b: float) -> None:
    found = make(WEIGHTED, pool=pool).pooled(("x", "y", "z"), SCORES)
    assert found == pytest.approx({"a": a, "b": b}, abs=1e-12)
    assert list(found) == ["a", "b"]


def test_the_mean_is_the_pool_where_nothing_is_said() -> None:
    assert make({"a": ["x", "y"], "b": "z"}).pooled(("x", "y", "z"), [-1.0, -2.0, -9.0]) == {"a": -1.5, "b": -9.0}


def test_a_log_sum_of_very_small_probabilities_does_not_vanish() -> None:
    found = make({"a": ["x", "y"], "b": "z"}, pool="logsumexp").pooled(("x", "y", "z"), [-2000.0, -2000.0, -3000.0])
    assert found == pytest.approx({"a": -2000 + math.log(2), "b": -3000.0})


def test_a_log_sum_of_impossible_words_is_impossible() -> None:
    found = make({"a": ["x", "y"], "b": "z"}, pool="logsumexp").pooled(("x", "y", "z"), [-math.inf, -math.inf, 0.0])
    assert found == {"a": -math.inf, "b": 0.0}


@given(st.lists(st.floats(-50, 0), min_size=2, max_size=2), st.lists(st.floats(0.01, 100), min_size=2, max_size=2))
def test_every_pool_lies_where_mathematics_puts_it(scores: list[float], weights: list[float]) -> None:
    labels = {"a": dict(zip("xy", weights, strict=True)), "b": {"z": 1.0}}
    of = {pool: make(labels, pool=pool).pooled("xyz", [*scores, 0.0])["a"] for pool in ("mean", "max", "logsumexp")}
    assert min(scores) - 1e-9 <= of["mean"] <= of["max"] + 1e-9
    plain = math.log(sum(w * math.exp(s) for w, s in zip(weights, scores, strict=True)))
    assert of["logsumexp"] == pytest.approx(plain, abs=1e-9)


def test_words_and_scores_of_different_number_are_a_bug_and_not_cut_off() -> None:
    with pytest.raises(ValueError, match="shorter"):
        make({"a": "x", "b": "y"}).pooled(("x", "y"), [1.0])


# ------------------------------------------------------------------ gold

GOLD = make(
    {"positive": "很", "negative": "不", "Straße": "x"},
    gold={"positive": ["Pos", "1", "true"], "negative": ["Neg", "0", "false"], "Straße": "-1"},
)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("positive", "positive"),
        ("POSITIVE", "positive"),
        (" Negative\n", "negative"),
        ("pos", "positive"),
        ("1", "positive"),
        (1, "positive"),
        (1.0, "positive"),
        (0, "negative"),
        (True, "positive"),
        (False, "negative"),
        (-1, "Straße"),
        ("STRASSE", "Straße"),
        ("neutral", None),
        (2, None),
        (0.5, None),
        ("很", None),
    ],
)
def test_a_gold_label_is_known_by_name_and_spelling_whatever_its_case(value: object, label: str | None) -> None:
    found, said = GOLD.gold_label(Row({"label": value}), "label")
    assert found == label
    assert said is not None


@pytest.mark.parametrize("value", [None, "", "  ", [], [[]], {"span1_text": "毛豆"}])
def test_a_row_whose_label_is_empty_or_no_plain_value_has_no_label(value: object) -> None:
    assert GOLD.gold_label(Row({"label": value}), "label") == (None, None)


def test_a_row_without_the_column_has_no_label() -> None:
    assert GOLD.gold_label(Row({"text": "a"}), None) == (None, None)


@pytest.mark.parametrize(("value", "said"), [("Meh ", "Meh "), (7, "7"), (True, "true"), (3.0, "3"), (2.5, "2.5")])
def test_an_unknown_label_is_given_back_as_the_row_says_it(value: object, said: str) -> None:
    assert make({"a": "x", "b": "y"}).gold_label(Row({"label": value}), "label") == (None, said)


def test_a_labels_own_name_goes_before_a_spelling() -> None:
    with pytest.raises(VerbalizerError, match="the gold value 'b' belongs to both 'a' and 'b'"):
        make({"a": "x", "b": "y"}, gold={"a": ["b"]})


@pytest.mark.parametrize(
    ("gold", "said"),
    [
        ({"a": ["1"], "b": ["1"]}, "v: the gold value '1' belongs to both 'a' and 'b'; give each label its own"),
        ({"a": "Yes", "b": "yes"}, "v: the gold value 'yes' belongs to both 'a' and 'b'; give each label its own"),
        ({"c": "1"}, "v: gold: no label 'c'; the labels are: a, b"),
    ],
)
def test_gold_values_that_cannot_be_told_apart_are_refused(gold: dict[str, Any], said: str) -> None:
    assert complaint({"a": "x", "b": "y"}, gold=gold) == said


# ------------------------------------------------------------------ words of the row

WORDS = RowWords("t", {}, field_name="candidates")
IDIOMS = {"candidates": ["严阵以待", "改朝换代", "不共戴天"]}


def test_each_row_brings_its_own_words_and_a_word_is_its_label() -> None:
    row = Row(IDIOMS)
    assert WORDS.choices(row) == tuple(IDIOMS["candidates"])
    assert WORDS.pooled(WORDS.choices(row), [-1.0, -2.0, -3.0]) == {
        "严阵以待": -1.0,
        "改朝换代": -2.0,
        "不共戴天": -3.0,
    }


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        (0, ("严阵以待", "0")),
        (2, ("不共戴天", "2")),
        (3, (None, "3")),
        (-1, (None, "-1")),
        ("改朝换代", ("改朝换代", "改朝换代")),
        (" 改朝换代", ("改朝换代", " 改朝换代")),
        ("else", (None, "else")),
        (None, (None, None)),
        ("", (None, None)),
        (True, (None, "true")),
    ],
)
def test_the_answer_is_a_word_or_its_place_from_zero(answer: object, gold: tuple[str | None, str | None]) -> None:
    assert WORDS.gold_label(Row({**IDIOMS, "answer": answer}), "answer") == gold


def test_a_row_without_an_answer_has_no_label() -> None:
    assert WORDS.gold_label(Row(IDIOMS), None) == (None, None)


def test_the_very_word_goes_before_one_of_other_case() -> None:
    row = Row({"candidates": ["US", "us"], "answer": "US", "other": "uS"})
    assert WORDS.gold_label(row, "answer") == ("US", "US")
    assert WORDS.gold_label(row, "other")[0] in ("US", "us")


def test_numbers_may_be_words_and_then_the_word_goes_before_the_place() -> None:
    row = Row({"candidates": [2, 1, 0], "answer": 2})
    assert WORDS.choices(row) == ("2", "1", "0")
    assert WORDS.gold_label(row, "answer") == ("2", "2")


@pytest.mark.parametrize(
    "words",
    [
        *("abc", [], ["a"], ["a", "a"], [1, "1"], ["a", ""], ["a", " "], ["a", " a"], None, {"a": 1}),
        *(["a", None], ["a", ["b"]], [{"a": 1}, {"b": 1}]),
    ],
)
def test_words_that_are_no_choice_are_an_error_of_that_row(words: object) -> None:
    with pytest.raises(RowError, match="f:4: field 'candidates' is not a list of at least two different words"):
        WORDS.choices(Row({"candidates": words}, "f:4"))


@pytest.mark.parametrize(("word", "fault"), [("b\0", "a NUL character"), ("\ud800", "half a character")])
def test_a_word_that_is_no_text_is_an_error_of_that_row(word: str, fault: str) -> None:
    with pytest.raises(RowError, match=f"f:4: a word of field 'candidates' has {fault}"):
        WORDS.choices(Row({"candidates": ["a", word]}, "f:4"))


def test_a_row_without_words_is_an_error_of_that_row() -> None:
    with pytest.raises(RowError, match="f:4: no field 'candidates'"):
        WORDS.choices(Row({"text": "a"}, "f:4"))


# ------------------------------------------------------------------ letters, names and columns

TOOLS = ["saw", "hammer", "pliers"]


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        *[("A", "saw"), ("c", "pliers"), (" B ", "hammer"), ("D", None), ("AB", None), ("Ä", None)],
        *[
            ("0", "saw"),
            ("2", "pliers"),
            (1.0, "hammer"),
            ("3", None),
            ("-1", None),
            ("1.0", "hammer"),
            ("1.5", None),
            ("9" * 5000, None),
        ],
        *[("HAMMER", "hammer"), (False, None)],
    ],
)
def test_a_letter_is_a_place_from_a_and_digits_in_a_table_one_from_zero(answer: object, word: str | None) -> None:
    assert WORDS.gold_label(Row({"candidates": TOOLS, "answer": answer}), "answer")[0] == word


@pytest.mark.parametrize(
    ("words", "answer", "word"),
    [
        (["b", "A", "x"], "A", "A"),  # the very word
        (["b", "a", "x"], "A", "a"),  # the word but for its case
        (["b", "y", "x"], "C", "x"),  # the letter
        (["3", "0", "1"], "0", "0"),
        (["3", "5", "4"], "0", "3"),
    ],
)
def test_a_word_goes_before_its_letter_or_place(words: list[str], answer: str, word: str) -> None:
    assert WORDS.gold_label(Row({"candidates": words, "answer": answer}), "answer")[0] == word


@pytest.mark.parametrize(
    ("names", "answer", "word"),
    [
        (["A", "B", "C"], "B", "hammer"),
        (["1", "2", "3"], "3", "pliers"),
        ([1, 2, 3], 1, "saw"),
        (["1", "2", "3"], "0", None),  # its numbers are all the numbers there are
        (["1", "2", "3"], "B", "hammer"),
        (["P", "Q", "R"], "A", None),
        (["P", "Q", "R"], "q", "hammer"),
        (["P", "Q", "R"], 2, "pliers"),
        (["P", "Q", "R"], "saw", "saw"),
        (["hammer", "pliers", "saw"], "saw", "pliers"),  # the names that the row gives go first
        (["A", "B"], "B", "hammer"),  # no names: there are fewer than words
        (["A", "A", "B"], "B", "hammer"),
        (None, "C", "pliers"),
    ],
)
@pytest.mark.parametrize("field", ["choices.text", "choices", "options"])
def test_a_list_beside_the_words_names_them(names: object, answer: object, word: str | None, field: str) -> None:
    verbalizer = RowWords.of_field("t", field)
    row = Row({"choices": {"text": TOOLS, "label": names}, "answerKey": answer})
    assert verbalizer.choices(row) == tuple(TOOLS)
    assert verbalizer.gold_label(row, row.column("answer"))[0] == word


def test_words_are_found_under_their_usual_names_and_their_own_goes_first() -> None:
    for name in ("candidates", "choices", "options", "endings", "候选", "选项"):
        assert WORDS.choices(Row({name: TOOLS})) == tuple(TOOLS)
        assert RowWords.of_field("t", "endings").choices(Row({name: TOOLS})) == tuple(TOOLS)
    assert WORDS.choices(Row({"choices": ["x", "y"], "candidates": TOOLS})) == tuple(TOOLS)
    with pytest.raises(RowError, match="no field 'verbs'"):
        RowWords.of_field("t", "verbs").choices(Row({"choices": TOOLS}))


COLUMNS = RowWords.of_field("t", ["A", "B", "C", "D"])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"A": "saw", "B": "hammer", "C": "pliers", "D": "axe"}, ("saw", "hammer", "pliers", "axe")),
        ({"A": "saw", "B": "hammer", "C": "", "D": " "}, ("saw", "hammer")),
        ({"A": "saw", "B": "hammer", "C": None}, ("saw", "hammer")),
        ({"A": 1, "B": 2.5, "C": "3"}, ("1", "2.5", "3")),
    ],
)
def test_words_may_stand_in_columns_of_which_the_last_may_be_empty(
    fields: dict[str, object], words: tuple[str, ...]
) -> None:
    assert COLUMNS.choices(Row(fields)) == words


@pytest.mark.parametrize(
    "fields",
    [
        *({"A": "saw", "B": ""}, {"A": "", "B": "saw"}, {"A": "saw", "B": "saw"}, {"A": "x", "B": "", "C": "y"}),
        *({"A": "x", "B": ["y"]}, {"A": "x", "B": "y", "C": {"z": 1}}, {"A": "", "B": ""}),
    ],
)
def test_columns_that_are_no_choice_are_an_error_of_that_row(fields: dict[str, object]) -> None:
    with pytest.raises(RowError, match="f:4: the columns A, B, C, D do not hold at least two different words"):
        COLUMNS.choices(Row(fields, "f:4"))


def test_a_row_without_the_second_column_is_told_so() -> None:
    with pytest.raises(RowError, match="f:4: no field 'B'; the row has: A, C; try --map B=COLUMN"):
        COLUMNS.choices(Row({"A": "x", "C": "y"}, "f:4"))


@pytest.mark.parametrize(
    ("columns", "answer", "word"),
    [
        (["A", "B"], "B", "hammer"),
        (["opt1", "opt2"], "opt2", "hammer"),
        (["opt1", "opt2"], "OPT1", "saw"),
        (["opt1", "opt2"], "B", "hammer"),
        (["opt1", "opt2"], 1, "hammer"),
        (["1", "2"], "1", "saw"),  # the columns are named so: no place
        (["saw", "axe"], "saw", "saw"),
    ],
)
def test_a_label_may_be_the_name_of_a_column(columns: list[str], answer: object, word: str) -> None:
    row = Row({columns[0]: "saw", columns[1]: "hammer", "answer": answer})
    assert RowWords.of_field("t", columns).gold_label(row, "answer")[0] == word


def test_columns_may_be_values_of_an_object_or_be_mapped() -> None:
    verbalizer = RowWords.of_field("t", ["options.A", "options.B", "options.C"])
    row = Row({"options": {"A": "saw", "B": "axe"}, "answer": "B"})
    assert verbalizer.gold_label(row, "answer") == ("axe", "B")
    assert COLUMNS.choices(Row({"a": "saw", "b": "axe"}, columns={"A": "a", "B": "b"})) == ("saw", "axe")


@pytest.mark.parametrize(
    ("words", "answer", "expected"),
    [
        (TOOLS, 0, (0, 2)),
        (TOOLS, "3", (3, 2)),
        (TOOLS, 2.0, (2, 2)),
        *[(TOOLS, other, None) for other in ("B", "axe", "", None, True, -1, 1.5)],
        (["3", "1"], "1", None),  # the word
        (["3", "1"], "2", (2, 1)),
    ],
)
def test_a_bare_number_is_told_with_the_largest_there_is(
    words: list[str], answer: object, expected: tuple[int, int] | None
) -> None:
    assert WORDS.numbered(Row({"candidates": words, "answer": answer}), "answer") == expected
    assert WORDS.numbered(Row({"candidates": words}), None) is None


# ------------------------------------------------------------------ as data


def test_ordered_labels_are_known_by_name() -> None:
    found = of_ordered(["contradiction", "entailment"], "t")
    assert found.names == ("contradiction", "entailment")
    assert found.gold_label(Row({"label": "Entailment"}), "label")[0] == "entailment"


def test_everything_that_decides_the_result_is_in_its_data() -> None:
    found = make({"a": "x", "b": {"y": 0.5}}, gold={"a": "1"}, pool="max", about="not this")
    assert found.as_dict() == {
        "name": "v",
        "labels": {"a": {"x": 1.0}, "b": {"y": 0.5}},
        "gold": {"a": ["1"]},
        "pool": "max",
    }
    assert WORDS.as_dict() == {"name": "t", "words_from": "candidates"}
    assert COLUMNS.as_dict() == {"name": "t", "words_from": ["A", "B", "C", "D"]}


def test_a_verbalizer_can_be_sent_to_another_process() -> None:
    assert GOLD.gold_label(Row({"label": 1}), "label")[0] == "positive"
    assert pickle.loads(pickle.dumps(GOLD)) == GOLD


def test_a_verbalizer_in_a_file_has_its_name_and_complains_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "zh.yaml"
    path.write_text("labels:\n  好: [很]\n  坏: [不]\nabout: 满意\n", encoding="utf-8")
    found = Verbalizer.load(path)
    assert (found.name, found.names, found.about) == ("zh", ("好", "坏"), "满意")
    path.write_text("labels: {好: [很], 坏: [很]}\n", encoding="utf-8")
    with pytest.raises(VerbalizerError, match=r"zh\.yaml:1: the label word '很' belongs to both '好' and '坏'"):
        Verbalizer.load(path)
