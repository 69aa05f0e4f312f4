"""What Python programs give for rows, and what comes out: the table of docs/python.md."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from promptshot import Classifier, OptionError, Prediction, PromptshotError, Row, RowError, Template
from promptshot.prompts.template import TemplateSpec
from promptshot.rows.row import Reject
from promptshot.scoring import ModelOptions

pandas = pytest.importorskip("pandas")
ROOT = Path(__file__).parents[2]
FRAME = pandas.DataFrame({"text": ["又香又脆", "凉了", "还可以"], "label": [1, 0, 1]}, index=[7, 5, 9])


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.load("zh-sentiment-mlm", scorer="fake")


def lines() -> Iterator[str]:
    yield from ("又香又脆", "凉了")


# What goes in, and the texts of the predictions that come out: one, or several.
GIVEN: list[tuple[str, Any, str | list[str]]] = [
    ("str", "又香又脆", "又香又脆"),
    ("list of str", ["又香又脆", "凉了"], ["又香又脆", "凉了"]),
    ("generator", lines, ["又香又脆", "凉了"]),
    ("dict", {"text": "凉了", "id": 4}, "凉了"),
    ("dict by a usual name", {"评论": "凉了"}, "凉了"),
    ("list of dict", [{"text": "凉了"}, {"content": "还可以"}], ["凉了", "还可以"]),
    ("Row", Row({"text": "凉了"}), "凉了"),
    ("DataFrame", FRAME, ["又香又脆", "凉了", "还可以"]),
    ("DataFrame without rows", FRAME[:0], []),
    ("Series of texts", FRAME["text"], ["又香又脆", "凉了", "还可以"]),
    ("Series with names of columns", FRAME.iloc[1], "凉了"),
    ("array", FRAME["text"].to_numpy(), ["又香又脆", "凉了", "还可以"]),
    ("empty list", [], []),
]


@pytest.mark.parametrize(("what", "given", "texts"), GIVEN, ids=[what for what, *_ in GIVEN])
def test_one_text_gives_one_prediction_and_several_an_iterator(
    what: str, given: Any, texts: str | list[str], classifier: Classifier
) -> None:
    found = classifier.predict(given() if callable(given) else given)
    if isinstance(texts, str):
        assert isinstance(found, Prediction)
        assert found.row["text"] == texts
    else:
        assert not isinstance(found, Prediction)
        assert [one.row["text"] for one in found] == texts
    outcomes = list(classifier.outcomes(given() if callable(given) else given))
    several = [texts] if isinstance(texts, str) else texts
    assert [one.row["text"] for one in outcomes if isinstance(one, Prediction)] == several


BAD: list[tuple[str, Any, str]] = [
    ("empty text", "  ", "row 1: field 'text' is empty"),
    ("None", None, "row 1: the text is empty"),
    ("NaN", float("nan"), "row 1: the text is empty"),
    ("NA", pandas.NA, "row 1: the text is empty"),
    ("NaN in a list", ["好", float("nan")], "row 2: the text is empty"),
    ("NaN in a frame", pandas.DataFrame({"text": ["好", None]}), "row 2: field 'text' is empty"),
    ("bytes in a list", ["好", b"\xe5"], "row 2: bytes, not text: decode them"),
    ("number in a list", [3], "row 1: a value of type int is no row: give a text or a dict"),
    ("dict without text", {"id": 3}, "row 1: no field 'text'; the row has: id"),
    ("list in a list", [["a", "b"]], "row 1: a value of type list is no row"),
]


@pytest.mark.parametrize(("what", "given", "said"), BAD, ids=[what for what, *_ in BAD])
def test_what_cannot_be_used_is_one_line_or_a_reject(what: str, given: Any, said: str, classifier: Classifier) -> None:
    with pytest.raises(RowError, match=re.escape(said)):
        list(classifier.predict(given))
    place, reason = said.split(": ", 1)
    (reject,) = (one for one in classifier.outcomes(given) if isinstance(one, Reject))
    assert (reject.source, reject.reason.startswith(reason)) == (place, True)


@pytest.mark.parametrize("given", [b"text", 5, Path("x.csv"), True])
def test_what_holds_no_rows_is_refused(given: Any, classifier: Classifier) -> None:
    with pytest.raises(OptionError, match="holds no rows; give a text, a dict, a list of them, or a data frame"):
        list(classifier.predict(given))


def test_pairs_may_be_tuples(classifier: Classifier) -> None:
    pairs = Classifier.load("zh-same-mlm", scorer="fake")
    (found,) = pairs.predict([("几点开门", "什么时候营业")])
    assert (found.row["text_a"], found.row["text_b"]) == ("几点开门", "什么时候营业")
    with pytest.raises(RowError, match="a text, and the template needs text_a and text_b: give a dict"):
        list(pairs.predict(["几点开门"]))


def test_columns_that_stand_twice_in_a_frame_are_refused(classifier: Classifier) -> None:
    frame = pandas.DataFrame([["a", "b"]], columns=["text", "text"])
    with pytest.raises(OptionError, match="column 'text' stands twice"):
        list(classifier.predict(frame))


# ------------------------------------------------------------------ frames


def test_a_frame_comes_back_with_predictions_that_equal_its_own_labels(classifier: Classifier) -> None:
    found = classifier.frame(FRAME)
    assert list(found.index) == [7, 5, 9]
    assert list(found.columns) == [
        *("text", "label", "prediction", "prediction_label", "probability", "p_positive", "p_negative")
    ]
    assert list(FRAME.columns) == ["text", "label"]
    labels = {1: "positive", 0: "negative"}
    expected = [one.label for one in classifier.predict(FRAME)]
    assert [labels[one] for one in found["prediction"]] == list(found["prediction_label"]) == expected
    right = [labels[own] == said for own, said in zip(FRAME["label"], expected, strict=True)]
    assert (found["prediction"] == found["label"]).tolist() == right
    assert (found["p_positive"] + found["p_negative"] - 1).abs().max() < 1e-9


def test_rows_of_a_frame_that_cannot_be_used_say_why_and_integers_stay_integers(classifier: Classifier) -> None:
    frame = pandas.DataFrame({"text": ["好", None, "差"], "label": [1, 1, 0]})
    found = classifier.frame(frame)
    assert found["problem"].notna().tolist() == [False, True, False]
    assert found["prediction"].isna().tolist() == [False, True, False]
    assert str(found["prediction"].dtype) == "Int64"
    with pytest.raises(OptionError, match="a list is no data frame"):
        classifier.frame(["好"])


def test_labels_that_are_words_keep_their_names_in_a_frame(classifier: Classifier) -> None:
    frame = pandas.DataFrame({"text": ["好", "差"], "label": ["Positive", "Negative"]})
    found = classifier.frame(frame)
    assert set(found["prediction"]) <= {"positive", "negative"}
    assert "prediction_label" not in found


# ------------------------------------------------------------------ load


@pytest.mark.torch
def test_demonstrations_and_columns_are_given_to_load() -> None:
    rows = [{"kopf": "K", "rest": "nett", "urteil": "gut"}, {"kopf": "L", "rest": "öde", "urteil": "mies"}]
    said = {"labels": ["gut", "mies"], "scorer": "fake", "text_field": ["kopf", "rest"], "label_field": "urteil"}
    template = Template.of(TemplateSpec(scorer="causal", text="{text}\n{mask}", separator="\n"), "mine")
    loaded = Classifier.load(template, demos=rows, k=2, **said)
    (prompt,) = loaded.prompts(Row({"kopf": "M", "rest": "so"}, columns=loaded.recipe.columns))
    text = "".join(piece.text for piece in prompt.pieces)
    assert sorted(text.split("\n")[:-1]) == sorted(["K", "nett", "gut", "L", "öde", "mies", "M", "so"])
    framed = Classifier.load(template, demos=pandas.DataFrame(rows), k=2, **said)
    assert framed.prompts(Row({"kopf": "M", "rest": "so"}, columns=framed.recipe.columns)) == (prompt,)
    with pytest.raises(OptionError, match="k needs rows to draw from"):
        Classifier.load(template, k=2, **said)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("modle", "model"),
        ("text_filed", "text_field"),
        ("lables", "labels"),
        ("num_shots", ""),
        ("batchsize", "batch_size"),
        ("trust_remote", "trust_remote_code"),
    ],
)
def test_a_wrong_keyword_is_one_line(wrong: str, meant: str) -> None:
    hint = f"did you mean '{meant}'" if meant else "there is: "
    with pytest.raises(OptionError, match=f"load takes no '{wrong}'; {hint}"):
        Classifier.load("zh-sentiment-mlm", **{wrong: "x"})


def test_load_takes_what_model_options_have_under_the_same_names_and_with_the_same_defaults() -> None:
    taken = inspect.signature(Classifier.load).parameters
    options = {field.name: field for field in fields(ModelOptions)}
    assert {name: taken[name].default for name in options} == vars(ModelOptions())
    assert {name: taken[name].annotation for name in options} == {name: of.type for name, of in options.items()}
    said = {"model": "owner/bert", "revision": "v2", "device": "cuda:1", "dtype": "float16", "batch_size": 3,
            "batch_budget": 99, "max_length": 77, "offline": True, "pooling": "cls", "temperature": 0.1,
            "head": "sop", "device_map": "auto"}  # fmt: skip
    windows = {"long", "long_pool", "long_stride", "long_alpha"}  # which the fake scorer has not, see below
    flags = ["trust_remote_code", "plain", "allow_pickle"]
    assert {*said, *flags, *windows} == {*options}
    for flag in flags:
        loaded = Classifier.load("en-news-nsp", scorer="fake", **said, **{flag: True})  # type: ignore[arg-type]
        assert loaded.recipe.options == ModelOptions(**said, **{flag: True})  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="--long windows: the scorer 'fake' does not say what fits"):
        Classifier.load("en-news-nsp", scorer="fake", long="windows", long_pool="max", long_stride=9)
    with pytest.raises(OptionError, match="--long hierarchical: the scorer 'fake' does not say what fits"):
        Classifier.load("en-news-nsp", scorer="fake", long="hierarchical", long_alpha=0.3)


def test_a_row_with_several_labels_is_predicted_all_the_same_unless_its_column_was_named() -> None:
    row = {"text": "好", "label": ["positive", "negative"]}
    found = Classifier.load("zh-sentiment-mlm", scorer="fake").predict(row)
    assert found.gold is None
    with pytest.raises(RowError, match="several labels"):
        Classifier.load("zh-sentiment-mlm", scorer="fake", label_field="label").predict(row)


# ------------------------------------------------------------------ the page


@pytest.mark.torch
def test_the_python_of_the_page_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 5
    monkeypatch.chdir(ROOT)
    space: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), space)


def test_every_row_of_the_pages_table_is_a_case_here() -> None:
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| ([^|`]+) \|", text.partition("## What goes in")[2].partition("\n## ")[0], re.MULTILINE)
    names = {name for name, *_ in GIVEN} | {name for name, *_ in BAD}
    assert {name.strip() for name in shown} - {"what", "---"} == names | {"bytes, a number, a path"}


def test_errors_are_one_family() -> None:
    assert issubclass(OptionError, PromptshotError)


# ------------------------------------------------------------------ found by use


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([5, 1], "5 is none of ours"),
        ([2, 1], "run from 1 to 2"),
        ([1, -1], "does not know -1"),
        (["x", "y"], "no label fits"),
    ],
)
def test_a_frame_whose_labels_cannot_be_ours_is_refused_as_a_file_is(
    labels: list[Any], said: str, classifier: Classifier
) -> None:
    frame = pandas.DataFrame({"text": ["好", "差"], "label": labels})
    with pytest.raises(PromptshotError, match=said):
        classifier.frame(frame)
    found = Classifier.load("zh-sentiment-mlm", scorer="fake", ignore_labels=True).frame(frame)
    assert set(found["prediction"]) <= {"positive", "negative"}


def test_a_frame_is_done_anew_with_the_same_columns_whatever_its_rows(classifier: Classifier) -> None:
    first = classifier.frame(pandas.DataFrame({"text": ["好", None], "label": [1, 0]}))
    assert "problem" in first
    first["text"] = ["好", "差"]
    again = classifier.frame(first)
    assert "problem" not in again
    assert again["prediction"].notna().all()
    other = Classifier.load("zh-sentiment-mlm", scorer="fake", ignore_labels=True).frame(again)
    assert "prediction_label" not in other
    columns = ["text", "prediction", "probability", "p_positive", "p_negative"]
    assert list(classifier.frame(pandas.DataFrame({"text": []})).columns) == columns
    assert list(classifier.frame(pandas.DataFrame({"text": [None]})).columns) == [*columns, "problem"]


def test_odd_objects_are_one_line_or_a_reject(classifier: Classifier) -> None:
    when = pandas.DataFrame({"text": ["a", pandas.Timestamp("2020-01-01")]})
    assert [isinstance(one, Reject) for one in classifier.outcomes(when)] == [False, True]
    with pytest.raises(OptionError, match="holds no rows"):
        list(classifier.predict(FRAME["text"].to_numpy()[0:1].reshape(()).copy()))
    with pytest.raises(OptionError, match="a set has none"):
        Classifier.load("{text} {mask}", labels={"a", "b"}, scorer="fake")
    numbered = Classifier.load("{text} {mask}", labels={0: "bad", 1: "good"}, scorer="fake")
    assert numbered.predict({"text": "x", "label": 1}).gold == "good"
    by_number = Classifier.load("{text} {mask}", labels="a,b", scorer="fake", text_field=0)
    assert len(by_number.frame(pandas.DataFrame([["x"], ["y"]]))) == 2
