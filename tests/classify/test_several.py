"""Several labels for one row: how rows spell them, when they hold, how they are written, counted, told and kept."""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers import failed, fake, put_in, read_rows, write_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from sklearn.metrics import f1_score

from promptshot.authoring.explain import explain
from promptshot.authoring.suggest import suggest
from promptshot.classify.classifier import Classifier
from promptshot.classify.decide import Several, best_cut, logistic, sure
from promptshot.classify.finish import ensemble, finished
from promptshot.classify.prediction import Prediction
from promptshot.classify.recipe import DemoPlan, Recipe
from promptshot.classify.thresholds import thresholds_of
from promptshot.cli import run_command
from promptshot.compare.diff import diff
from promptshot.errors import InputError, OptionError
from promptshot.metrics import SetTally, Tally
from promptshot.prompts.task import Task
from promptshot.prompts.template import Template, TemplateSpec
from promptshot.prompts.verbalizer import Verbalizer
from promptshot.report.progress import Watch
from promptshot.rows.row import Row
from promptshot.runs import record
from promptshot.runs.inputs import Inputs
from promptshot.runs.outputs import Outputs
from promptshot.runs.predictions import count
from promptshot.runs.run import Watcher, run
from promptshot.scoring import Prompt, Scored

LABELS = ("kitchen", "staff", "price")
WORDS = Verbalizer("guests", {"kitchen": {"soup": 1.0}, "staff": {"waiter": 1.0}, "price": {"bill": 1.0}})


class Known:
    """Scores a word by whether it stands in the text: what is said of it comes first, then how long the text is."""

    def __init__(self, options: object = None) -> None:
        pass

    def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
        """Above 0 for words that the text holds, and never twice the same."""
        return [
            Scored(tuple(_score(prompt.pieces[-1].text, word) for word in prompt.choices), (1,) * len(prompt.choices))
            for prompt in prompts
        ]


def _score(text: str, word: str) -> float:
    return (1.5 if word in text else -2.0) + len(text) / 100 - len(word) / 1000


SCORER = f"{__name__}:Known"
ROWS: list[dict[str, Any]] = [
    {"text": "the soup was cold", "label": ["kitchen"]},
    {"text": "the waiter brought the bill", "label": ["staff", "price"]},
    {"text": "the soup, the waiter, the bill", "label": ["price", "kitchen", "staff"]},
    {"text": "we came by train", "label": []},
    {"text": "a long bill and a thin soup", "label": ["kitchen"]},
    {"text": "nobody was there", "label": ["staff"]},
]


def template_of(**more: Any) -> Template:
    keys = {"scorer": "mlm", "text": "They wrote of {mask}: {text}", "labels": "several", **more}
    return Template.of(TemplateSpec(**keys), "guests")


def recipe_of(odds: bool = True, thresholds: Any = None, dev: str | None = None, **more: Any) -> Recipe:
    """Decided as by a kind of scorer whose scores are odds, or are none."""
    task = Task(template_of(), WORDS)
    decision = Several(LABELS, odds, None if dev else thresholds_of(thresholds, task, odds), dev)
    return replace(Recipe.of(task.template, WORDS, SCORER), decision=decision, **more)


def gold(value: Any, words: Verbalizer = WORDS, **keys: Any) -> tuple[Any, Any]:
    return Task(template_of(**keys), words).gold(Row({"text": "x", "label": value}, "f:1"))


# ------------------------------------------------------------------ what rows say


@pytest.mark.parametrize(
    ("said", "known"),
    [
        (["staff", "kitchen"], ("kitchen", "staff")),  # in the labels' order
        ([], ()),
        ("[]", ()),
        ('["price", "Kitchen"]', ("kitchen", "price")),
        ("staff", ("staff",)),
        ("staff,price", ("staff", "price")),
        (" Staff ，PRICE ", ("staff", "price")),
        ("price、kitchen", ("kitchen", "price")),
        ("staff; staff|price", ("staff", "price")),
        ("staff,,price,", ("staff", "price")),
        (["staff", "staff"], ("staff",)),
        (["staff", "", None], ("staff",)),
        (("price", "staff"), ("staff", "price")),
        ({"price"}, ("price",)),
    ],
)
def test_labels_are_a_list_or_a_text_in_which_signs_stand_between_them(said: Any, known: tuple[str, ...]) -> None:
    assert gold(said)[0] == known


@pytest.mark.parametrize("said", [None, "", "  ", {"a": 1}, [""], [None], ", ;"])
def test_a_row_without_labels_says_nothing_and_is_not_taken_for_one_of_which_none_holds(said: Any) -> None:
    assert gold(said) == (None, None)


@pytest.mark.parametrize(
    ("said", "other"),
    [
        (["staff", "noise"], "noise"),
        ("price,noise,dogs", "noise"),
        (["noise"], "noise"),
        ([{"id": 1}, "staff"], '{"id": 1}'),
        ([["staff", "price"]], '["staff", "price"]'),
        ([True], "true"),
    ],
)
def test_a_row_with_a_label_that_is_none_of_ours_has_no_known_labels_at_all(said: Any, other: str) -> None:
    assert gold(said) == (None, other)


def test_a_separator_that_is_said_is_the_only_one() -> None:
    assert gold("staff / price", label_separator="/")[0] == ("staff", "price")
    assert gold("staff,price", label_separator="/") == (None, "staff,price")
    assert gold("staff.price", label_separator=".")[0] == ("staff", "price")  # no pattern


def test_a_label_that_holds_the_separator_is_found_whole() -> None:
    words = Verbalizer("w", {"food, drink": {"food": 1.0}, "food": {"meal": 1.0}, "staff": {"staff": 1.0}})
    assert gold("food, drink", words)[0] == ("food, drink",)
    assert gold("staff,food, drink", words)[0] == ("food, drink", "staff")
    assert gold("food,staff", words)[0] == ("food", "staff")


def test_a_text_with_a_hundred_thousand_separators_is_read_at_once() -> None:
    words = Verbalizer("w", {"a,b": {"a": 1.0}, "c": {"c": 1.0}})
    began = time.perf_counter()
    assert gold("a,b," * 100_000, words)[0] == ("a,b",)
    assert gold("x," * 100_000, words) == (None, "x")
    assert time.perf_counter() - began < 20


def test_numbers_stand_for_labels_one_by_one() -> None:
    words = replace(WORDS, gold={"kitchen": ("0",), "staff": ("1",), "price": ("2",)})
    assert gold([2, 0], words)[0] == ("kitchen", "price")
    assert gold("1;2.0", words)[0] == ("staff", "price")
    assert gold(1, words)[0] == ("staff",)
    assert gold([7], words) == (None, "7")


def test_a_column_of_zeros_and_ones_for_each_label_is_no_list_of_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbered from 0, they would be taken for the first two labels in silence."""
    rows = [{"text": "soup", "label": [0, 1, 0]}, {"text": "bill", "label": [1, 1, 0]}]
    path = write_rows(tmp_path / "in.jsonl", rows)
    said = ["--multi-label", "-t", "en-topic-mlm", "--labels", "0:a,1:b,2:c", "--threshold", "0"]
    assert fake(path, *said, "-q", "-o", str(tmp_path / "out.jsonl")) == 1
    assert "in.jsonl:1: a 0 or 1 for each label (0, 1, 0); give the names" in capsys.readouterr().err


ONE_OF_TWO = "in.jsonl:1: a 0 or 1 for each label, or the numbers of two labels"


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        ([[1, 0], [0, 1], [1, 1]], "in.jsonl:3: a 0 or 1 for each label (1, 1); give the names of those that hold"),
        ([[0, 0], [1, 0]], "in.jsonl:1: a 0 or 1 for each label (0, 0)"),
        ([[True, False], [False, False]], "in.jsonl:2: a 0 or 1 for each label (false, false)"),
        (["0,1", "[1, 1]"], "in.jsonl:2: a 0 or 1 for each label (1, 1)"),
        ([[1.0, 0.0], ["0", "0"], None], "in.jsonl:2: a 0 or 1 for each label (0, 0)"),
        ([[0, 1, 1], [1, 0, 0]], "in.jsonl:1: a 0 or 1 for each label (0, 1, 1)"),  # of three labels, not of these two
        ([[0, 1], [1, 0]], ONE_OF_TWO),
        ([[1, 0], ["home"]], ONE_OF_TWO),
        ([["home"], [0, 1], [0, 0], ["away"]], "in.jsonl:3: a 0 or 1 for each label (0, 0)"),
    ],
)
@pytest.mark.parametrize("said", [["--labels", "0:home,1:away"], []])
def test_zeros_and_ones_for_each_of_two_labels_are_refused_where_rows_together_tell_and_where_nothing_does(
    labels: list[Any], line: str, said: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "in.jsonl", [{"text": "a match", "label": label} for label in labels])
    told = failed(capsys, "classify", path, "-q", "--multi-label", *said, "--scorer", "fake", "--threshold", "0")
    assert line in told
    assert "give the names of those that hold" in told


def test_lists_of_the_numbers_of_two_labels_are_labels_where_a_row_has_one_alone(tmp_path: Path) -> None:
    rows = [{"text": "a match", "label": label} for label in ([0, 1], [1], [0])]
    said = ["--multi-label", "-t", "en-topic-mlm", "--labels", "0:home,1:away", "--threshold", "0", "-q"]
    out = tmp_path / "out.jsonl"
    assert fake(write_rows(tmp_path / "in.jsonl", rows), *said, "-o", str(out)) == 0
    assert count(str(out)).tally.labelled == 3
    wide = [{"text": "a match", "label": label} for label in ([0, 1], [1, 0])]  # the first two of three labels
    said[4] = "0:home,1:away,2:draw"
    assert fake(write_rows(tmp_path / "in.jsonl", wide), *said, "-o", str(tmp_path / "wide.jsonl")) == 0


def test_rows_that_thresholds_are_fitted_to_are_refused_likewise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dev = write_rows(tmp_path / "dev.jsonl", [{"text": "soup", "label": label} for label in ([1, 0], [0, 1], [0, 1])])
    said = ["--multi-label", "-t", "en-topic-mlm", "--labels", "0:home,1:away", "--scorer", "fake", "-q", "--dev", dev]
    line = failed(capsys, "classify", write_rows(tmp_path / "in.jsonl", [{"text": "soup"}]), *said)
    assert "dev.jsonl:1: a 0 or 1 for each label, or the numbers of two labels" in line


@pytest.mark.parametrize(
    ("cell", "known"),
    [
        ("['price', 'staff']", ("staff", "price")),  # pandas.DataFrame.to_csv
        ("[\"kitchen\", 'price']", ("kitchen", "price")),
        ("['staff' 'price']", ("staff", "price")),  # numpy
        ("['staff'\n 'kitchen']", ("kitchen", "staff")),
        ("('staff',)", ("staff",)),
        ("{'price', 'kitchen'}", ("kitchen", "price")),
        ("[ 'st\\x61ff' ]", ("staff",)),
        ("[]", ()),
        ("[ ]", ()),
        ("()", ()),
        ("['staff', None]", ("staff",)),
        ("[staff, price]", ("staff", "price")),  # by hand
        ("[Kitchen]", ("kitchen",)),
    ],
)
def test_cells_with_a_list_as_python_prints_it_are_lists(cell: str, known: tuple[str, ...]) -> None:
    assert gold(cell)[0] == known


def test_a_list_that_python_prints_may_hold_signs_that_part_labels() -> None:
    words = Verbalizer("w", {"food, drink": {"food": 1.0}, "chef's": {"chef": 1.0}, "4": {"four": 1.0}})
    assert gold("['food, drink', \"chef's\"]", words)[0] == ("food, drink", "chef's")
    assert gold("['chef\\'s', 4]", words)[0] == ("chef's", "4")
    assert gold("[4 4.]", words)[0] == ("4",)
    assert gold("[4]", replace(words, gold={"food, drink": ("[4]",)}))[0] == ("4",)
    assert gold("[x]", replace(words, gold={"food, drink": ("[x]",)}))[0] == ("food, drink",)


def test_numbers_in_a_cell_as_numpy_prints_them_are_written_as_whole_numbers(tmp_path: Path) -> None:
    path, out = put_in(tmp_path, "in.csv", "text,label\nsoup,[5]\nbill,[5 7]\n"), tmp_path / "out.jsonl"
    said = ["--multi-label", "-t", "en-topic-mlm", "--labels", "5:kitchen,6:staff,7:price", "--threshold", "-9", "-q"]
    assert fake(path, *said, "-o", str(out)) == 0
    assert json.dumps(read_rows(out)[0]["prediction"]) == "[5, 6, 7]"


@pytest.mark.parametrize("cell", ["[__import__('os')]", "['a'.upper()]", "[1+1]", "{'a': 1}", "{}", "(4)", "[['a']]"])
def test_what_is_no_list_of_labels_stays_a_text_and_is_never_run(cell: str) -> None:
    known, said = gold(cell)
    assert known is None
    assert said


def test_a_cell_with_a_hundred_thousand_items_is_read_at_once() -> None:
    began = time.perf_counter()
    assert gold("[" + "'staff', " * 10_000 + "]")[0] == ("staff",)
    assert gold("[" + "'staff' " * 100_000 + "]")[0] is None  # longer than any list of labels
    assert gold("[" + "\\'" * 40_000 + "]")[0] is None
    assert time.perf_counter() - began < 10


# ------------------------------------------------------------------ several labels where one is looked for


def test_rows_with_several_labels_are_refused_before_scoring_where_they_are_no_strays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels: list[Any] = [["staff"], ["price", "staff"], "price", ["kitchen", "staff"], "kitchen", None, ["price"]]
    path = write_rows(tmp_path / "in.jsonl", [{"text": "soup", "label": label} for label in labels])
    for said in (["--labels", "kitchen,staff,price"], [], ["-t", "en-topic-mlm"], ["-t", "{mask}: {text}"]):
        line = failed(capsys, "classify", path, *said, "--scorer", "fake", "-q")
        assert "in.jsonl:2: the row has several labels (price, staff), and one is looked for" in line
        assert "so have 2 of 6 labelled rows; use --multi-label, or templates with 'labels: several'" in line
        assert fake(path, *said, "--ignore-labels", "-q", "-o", str(tmp_path / "out.jsonl"), "--overwrite") == 0


def test_stray_rows_with_several_labels_are_rejected_as_ever(tmp_path: Path) -> None:
    rows = [{"text": "soup", "label": "staff"}] * 39 + [{"text": "x", "label": ["staff", "price"]}] * 2
    path, out = write_rows(tmp_path / "in.jsonl", rows), str(tmp_path / "out.jsonl")
    assert fake(path, "-t", "en-topic-mlm", "--labels", "staff,price", "-q", "-o", out) == 3
    assert len(read_rows(f"{out}.rejects.jsonl")) == 2
    path = write_rows(tmp_path / "in.jsonl", rows[2:])
    assert fake(path, "-t", "en-topic-mlm", "--labels", "staff,price", "-q", "-o", str(tmp_path / "2.jsonl")) == 1


def test_one_label_beside_rows_with_several_is_no_lack_of_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": "soup", "label": label} for label in (["staff"], ["staff", "price"], ["price", "staff"])]
    assert "; use --multi-label" in failed(
        capsys, "classify", write_rows(tmp_path / "in.jsonl", rows), "--scorer", "fake"
    )


@pytest.mark.parametrize(
    "joined", ["餐饮|价格", "价格、餐饮", "餐饮；价格", "['餐饮', '服务']", '["服务","价格"]', "餐饮/价格"]
)
def test_labels_that_join_others_are_told_where_one_is_looked_for(
    joined: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": "汤是冷的", "label": label} for label in ("餐饮", "价格", "服务", joined)]
    path = write_rows(tmp_path / "in.jsonl", rows)
    for said in ([], ["--labels", "餐饮,价格,服务"]):
        assert fake(path, *said, "-o", str(tmp_path / "out.jsonl"), "--overwrite") == 0
        err = " ".join(capsys.readouterr().err.split())
        assert f"the rows have a label that joins others, '{joined}'" in err.replace('"[', "'[").replace(']"', "]'")
        assert "of a row: --multi-label" in err
        assert ("--label-separator '/'" in err) is ("/" in joined)


@pytest.mark.parametrize("label", [["staff", "price"], "price、staff"])
def test_compare_says_why_rows_with_several_labels_do_not_count_and_what_counts_them(
    label: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = 'scorer: mlm\ntext: "{mask}: {text}"\nverbalizer: {labels: {price: [bill], staff: [waiter]}}\n'
    own = put_in(tmp_path, "own.yaml", text)
    rows = [{"text": f"soup {i}", "label": "staff" if i % 2 else "price"} for i in range(40)]
    path = write_rows(tmp_path / "in.jsonl", [*rows, {"text": "both", "label": label}])
    assert run_command(["compare", path, "-t", own, "--scorer", "fake"]) in (0, 3)
    err = " ".join(capsys.readouterr().err.split())
    assert ("several labels (staff, price)" if isinstance(label, list) else "joins others, 'price、staff'") in err
    assert "labels: several" in err


def test_labels_that_hold_a_comma_are_no_joined_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"text": "soup", "label": label} for label in ("food, drink", "food", "rock & roll")]
    assert fake(write_rows(tmp_path / "in.jsonl", rows), "-o", str(tmp_path / "out.jsonl")) == 0
    assert "joins" not in capsys.readouterr().err


def test_labels_joined_by_another_sign_than_the_separator_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": "soup", "label": label} for label in ("staff;price", "price/staff", "kitchen")]
    path, said = write_rows(tmp_path / "in.jsonl", rows), ["--multi-label", "--threshold", "0"]
    for more in ([], ["--labels", "kitchen,staff,price", "-t", "en-topic-mlm"]):
        assert fake(path, *said, *more, "-o", str(tmp_path / "out.jsonl"), "--overwrite") == 0
        err = " ".join(capsys.readouterr().err.split())
        assert "the rows have a label that joins others, 'price/staff'; where these are several labels" in err
        assert "labels of a row: --label-separator '/'" in err
    rows = [{"text": "soup", "label": label} for label in ("staff/price", "kitchen; price", "kitchen")]
    path = write_rows(tmp_path / "in.jsonl", rows)
    assert fake(path, *said, "--label-separator", "/", "-o", str(tmp_path / "out.jsonl"), "--overwrite") == 0
    err = " ".join(capsys.readouterr().err.split())
    assert "a label that joins others, 'kitchen; price', and labels are parted by '/' only" in err


def test_a_general_template_keeps_its_labels_only_where_it_knows_all_of_several(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": "soup", "label": label} for label in (["sports", "staff"], ["price"])]
    path, out = write_rows(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    said = ["-t", "en-topic-mlm", "--multi-label", "--threshold", "0", "-o", str(out), "--overwrite"]
    assert fake(path, *said) == 0
    assert "labels from the rows (price, sports, staff), for en-topic knows not all of them" in capsys.readouterr().err
    rows = [{"text": "soup", "label": label} for label in (["sports", "health"], ["travel"])]
    assert fake(write_rows(tmp_path / "in.jsonl", rows), *said) == 0
    assert "labels from the rows" not in capsys.readouterr().err


# ------------------------------------------------------------------ when a label holds


def test_with_odds_a_label_holds_from_half_a_probability_on_and_they_do_not_share_it() -> None:
    predictions = list(Classifier(recipe_of(), Known()).predict([row["text"] for row in ROWS]))
    for prediction in predictions:
        assert prediction.probabilities == {name: logistic(s) for name, s in prediction.label_scores.items()}
        assert prediction.label == tuple(name for name, s in prediction.label_scores.items() if s >= 0)
        assert all(0 < chance < 1 for chance in prediction.probabilities.values())
    assert predictions[2].label == LABELS
    assert predictions[3].label == ()
    assert sum((predictions[2].probabilities or {}).values()) > 1.5


def test_the_probability_of_a_row_is_that_of_its_weakest_decision() -> None:
    chances = {"a": 0.9, "b": 0.4, "c": 0.05}
    assert sure(("a",), chances) == pytest.approx(0.6)
    assert sure(("a", "b"), chances) == pytest.approx(0.4)
    assert sure((), {"a": 0.2}) == pytest.approx(0.8)
    assert sure("a", chances) == 0.9


@pytest.mark.parametrize("score", [0.0, 1.0, -1.0, 30.0, -800.0, 800.0])
def test_odds_become_probabilities_without_overflow(score: float) -> None:
    assert logistic(score) + logistic(-score) == pytest.approx(1)
    assert logistic(score) == pytest.approx(1 / (1 + math.exp(-score)) if score > -700 else 0.0)


def test_other_scores_are_compared_as_they_are_and_tell_no_probability() -> None:
    classifier = Classifier(recipe_of(odds=False, thresholds={"kitchen": -9, "staff": 1.6, "price": 1.7}), Known())
    first, second = classifier.predict(["the waiter", "the waiter brought the bill"])
    assert (first.label, first.probabilities, first.probability) == (("kitchen",), None, None)
    assert second.label == ("kitchen", "staff", "price")


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (None, (0.5, 0.5, 0.5)),
        (0.25, (0.25, 0.25, 0.25)),
        ("0.75", (0.75, 0.75, 0.75)),
        ("price=0.1,Kitchen=0.9", (0.9, 0.5, 0.1)),
        ("price＝0.1，staff=1", (0.5, 1.0, 0.1)),
        ({"staff": 0.2}, (0.5, 0.2, 0.5)),
        ('{"staff": 0.2, "price": 0}', (0.5, 0.2, 0.0)),
    ],
)
def test_thresholds_are_said_for_all_labels_or_for_some(said: Any, found: tuple[float, ...]) -> None:
    assert thresholds_of(said, Task(template_of(), WORDS), True) == found


@pytest.mark.parametrize(
    ("said", "odds", "line"),
    [
        ("1.5", True, "1.5 is no probability"),
        ("much", True, "'much' is no number"),
        ("1_0", False, "'1_0' is no number"),
        ("staff=0_1", True, "'0_1' is no number"),
        ('{"staff": 0.3, "price": 0.1, "staff": 0.4}', True, "the label 'staff' has two thresholds"),
        ("nan", False, "'nan' is no number"),
        (True, True, "True is no number"),
        ("0.3,staff=1", True, "0.3 is the threshold of no label"),
        ("staf=0.3", True, "'staf' is none of the labels"),
        ("staff=0.3,Staff=0.4", True, "the label 'staff' has two thresholds"),
        ("staff=0.3,staff=0.4", True, "the label 'staff' has two thresholds"),
        ("staff=-3", False, "no threshold for 'kitchen', 'price'"),
        ("{staff", True, "no thresholds"),
    ],
)
def test_thresholds_that_cannot_be_are_refused(said: Any, odds: bool, line: str) -> None:
    with pytest.raises(OptionError, match=line):
        thresholds_of(said, Task(template_of(), WORDS), odds)


@pytest.mark.parametrize(("flag", "number"), [("--abstain-below", "0_1"), ("--temperature", "1_0")])
def test_numbers_with_an_underscore_are_refused_on_the_command_line(
    flag: str, number: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "in.jsonl", ROWS)
    assert run_command(["classify", path, "-t", "en-topic-mlm", flag, number]) != 0
    assert f"'{number}' is not a valid float" in capsys.readouterr().err
    options = put_in(tmp_path, "options.yaml", f'{flag[2:]}: "{number}"\n')
    assert f"not '{number}'" in failed(capsys, "classify", path, "-t", "en-topic-mlm", "-c", options)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=12), st.sampled_from([None, 3.5, 4]))
def test_a_fitted_threshold_has_the_best_f1_that_there_is(pairs: list[tuple[int, bool]], usual: float | None) -> None:
    values, holds = [float(value) for value, _ in pairs], [hit for _, hit in pairs]

    def f1(cut: float) -> float:
        return float(f1_score(holds, [value >= cut for value in values], zero_division=0))

    found = best_cut(values, holds, usual)
    best = max(f1(cut) for cut in [*values, max(values) + 1, usual or 0.0])
    assert f1(found) == pytest.approx(best, abs=1e-12)
    if usual is not None and f1(usual) == pytest.approx(best, abs=1e-12):
        assert found == usual
    if not any(holds) and usual is None:
        assert found > max(values)


def test_a_fitted_threshold_lies_half_way_between_neighbours_and_the_highest_of_equals_is_taken() -> None:
    assert best_cut([1, 2, 4, 8], [False, False, True, True]) == 3
    assert best_cut([1, 2, 4, 8], [True, False, False, True]) == 6  # 1 of 1 and no more beats 2 of 4: F1 2/3 each
    assert best_cut([1.0, 2.0], [True, True]) == 1.0
    assert best_cut([1.0, math.nextafter(1.0, 2)], [False, True]) == math.nextafter(1.0, 2)


# ------------------------------------------------------------------ over files


def classified(tmp_path: Path, name: str, *more: str, rows: Sequence[dict[str, Any]] = ROWS) -> Path:
    """The output of a run with the scorer of this file."""
    path, out = write_rows(tmp_path / "in.jsonl", rows), tmp_path / name
    said = ["-t", "en-topic-mlm", "--labels", "kitchen=soup,staff=waiter,price=bill", "--scorer", SCORER]
    assert run_command(["classify", path, "--multi-label", *said, "-o", str(out), "-q", "--overwrite", *more]) == 0
    return out


def test_predictions_are_lists_in_the_labels_order_and_go_by_what_was_said(tmp_path: Path) -> None:
    rows = read_rows(classified(tmp_path, "out.jsonl", "--threshold", "0"))
    assert [row["prediction"] for row in rows[:4]] == [["kitchen"], ["staff", "price"], [*LABELS], []]
    assert all(row["probability"] is None and row["probabilities"] is None for row in rows)
    assert [row["label"] for row in rows] == [row["label"] for row in ROWS]


def test_a_table_has_labels_in_one_cell_and_says_them_as_rows_do(tmp_path: Path) -> None:
    out = classified(tmp_path, "out.csv", "--threshold", "0")
    head, *lines = out.read_text(encoding="utf-8").splitlines()
    assert head == "text,label,prediction,probability,score_kitchen,score_staff,score_price"
    assert '"staff,price"' in lines[1]
    assert ",[]," in lines[3]  # gold and prediction: none holds
    other = classified(tmp_path, "out.tsv", "--threshold", "0", "--label-separator", ";")
    assert "\tstaff;price\t" in other.read_text(encoding="utf-8")
    for path in (out, other):
        assert count(str(path)).tally.accuracy == pytest.approx(4 / 6)


def test_labels_with_the_separator_in_them_are_written_as_a_list(tmp_path: Path) -> None:
    task = Task(template_of(), WORDS)
    assert task.written(("a", "b")) == "a,b"
    assert task.written(("a,b", "c")) == '["a,b", "c"]'
    assert task.written(("a；b",)) == '["a；b"]'
    assert task.written(()) == "[]"
    assert task.written(("(a)", "{b}")) == "(a),{b}"
    assert task.written(("('a')",)) == """["('a')"]"""
    assert Task(template_of(label_separator="/"), WORDS).written(("a,b", "c")) == "a,b/c"
    assert task.written("one label") == "one label"


def test_predictions_are_spelled_as_the_rows_spell_their_labels_where_these_are_numbers(tmp_path: Path) -> None:
    numbers = {"kitchen": 5, "staff": 6, "price": 7}
    rows = [{**row, "label": [numbers[label] for label in row["label"]]} for row in ROWS]
    path, out = write_rows(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    labels = "5:kitchen=soup,6:staff=waiter,7:price=bill"
    said = ["--multi-label", "-t", "en-topic-mlm", "--labels", labels, "--threshold", "0", "--scorer", SCORER]
    assert run_command(["classify", path, *said, "-o", str(out), "-q"]) == 0
    written = read_rows(out)
    assert [row["prediction"] for row in written[:4]] == [[5], [6, 7], [5, 6, 7], []]
    assert written[1]["prediction_label"] == ["staff", "price"]
    assert count(str(out)).tally.accuracy == pytest.approx(4 / 6)


def test_a_row_with_one_unknown_label_is_predicted_and_told_and_not_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [*ROWS, {"text": "a dog in the soup", "label": ["kitchen", "dogs"]}]
    out = classified(tmp_path, "out.jsonl", "--threshold", "0", rows=rows)
    there = json.loads(Path(f"{out}.run.json").read_text(encoding="utf-8"))
    assert (there["predicted"], there["labelled"], there["unknown_gold"]) == (7, 6, {"dogs": 1})
    capsys.readouterr()
    assert run_command(["report", str(out)]) == 0
    assert "1 row has a label that is none of ours, not counted: dogs" in capsys.readouterr().err
    path = write_rows(tmp_path / "strict.jsonl", rows)
    said = ["--multi-label", "-t", "en-topic-mlm", "--labels", "kitchen,staff,price", "--threshold", "0"]
    assert fake(path, *said, "--strict-labels", "-o", str(tmp_path / "strict.out.jsonl"), "-q") == 3
    (rejected,) = read_rows(tmp_path / "strict.out.jsonl.rejects.jsonl")
    assert rejected["reason"] == "the label 'dogs' is none of: kitchen, staff, price"


def test_labels_of_another_task_are_refused_with_the_separator_to_try(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "in.jsonl", [{"text": "soup", "label": "kitchen/staff"}])
    said = ["--multi-label", "-t", "en-topic-mlm", "--labels", "kitchen,staff", "--threshold", "0"]
    line = failed(capsys, "classify", path, *said, "--scorer", "fake")
    assert "(kitchen/staff)" in line
    assert "--label-separator" in line
    assert fake(path, *said, "--label-separator", "/", "-q", "-o", str(tmp_path / "out.jsonl")) == 0


def test_the_labels_to_choose_from_are_found_in_lists_and_texts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "in.jsonl", [{"text": "soup", "label": ["b", "A"]}, {"text": "x", "label": "c;a;a"}])
    assert fake(path, "--multi-label", "--threshold", "-5", "-o", str(tmp_path / "out.jsonl")) == 0
    err = capsys.readouterr().err
    assert "labels from the rows: a, b, c" in err
    assert "which judges each label by itself" in err


def test_the_report_of_a_run_and_of_its_file_are_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.jsonl"
    recipe = recipe_of()
    result = run(recipe, Inputs([write_rows(tmp_path / "in.jsonl", ROWS)]), Outputs(str(out)))
    counted = count(str(out)).tally
    assert isinstance(counted, SetTally)
    assert counted.state() == result.tally.state()
    assert counted.summary() == result.tally.summary()
    assert run_command(["report", str(out)]) == 0
    err = capsys.readouterr().err
    for line in ("exact      66.7%", "micro-F1   87.5%", "Jaccard 58.3%", "wrong decisions 11.1%"):
        assert line in err


def test_what_a_run_keeps_gives_the_same_labels_again_without_a_model(tmp_path: Path) -> None:
    out, dev = tmp_path / "out.jsonl", write_rows(tmp_path / "dev.jsonl", ROWS)
    run(recipe_of(dev=dev), Inputs([write_rows(tmp_path / "in.jsonl", ROWS)]), Outputs(str(out)))
    there = record.read_sound(f"{out}.run.json")
    assert there is not None
    assert there.thresholds is not None
    restored = there.restored("out")
    assert isinstance(restored.decision, Several)
    assert restored.decision.cuts == there.thresholds
    again = replace(restored, decision=replace(restored.decision, odds=True))  # a scorer of a test is of no kind
    rows = read_rows(out)
    for row, found in zip(rows, finished(again, rows), strict=True):
        assert (tuple(row["prediction"]), row["probabilities"]) == (found.label, found.probabilities)


class Stopped(Watcher):
    """Ends a run after some rows."""

    def counted(self, rows: int, tally: Tally) -> None:
        """Stop, as Ctrl-C would."""
        if rows >= 4:
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes_and_numbers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promptshot.runs.journal.SHARE", 1e9)
    path, dev = write_rows(tmp_path / "in.jsonl", ROWS), write_rows(tmp_path / "dev.jsonl", ROWS)
    recipe = recipe_of(dev=dev, abstain_below=0.6)
    inputs = [Inputs([path], window=2) for _ in range(3)]
    whole = run(recipe, inputs[0], Outputs(str(tmp_path / f"whole.{name}")))
    with pytest.raises(KeyboardInterrupt):
        run(recipe, inputs[1], Outputs(str(tmp_path / name)), Stopped())
    result = run(recipe, inputs[2], Outputs(str(tmp_path / name)))
    assert result.rows_before == 4
    assert (tmp_path / name).read_bytes() == (tmp_path / f"whole.{name}").read_bytes()
    assert result.tally.state() == whole.tally.state()
    assert [wrong.plain for wrong in result.worst.surest] == [wrong.plain for wrong in whole.worst.surest]


def test_other_thresholds_are_another_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = [
        "--multi-label",
        "-t",
        "en-topic-mlm",
        "--labels",
        "a,b",
        "--scorer",
        "fake",
        "-o",
        str(tmp_path / "o.jsonl"),
    ]
    path = write_rows(tmp_path / "in.jsonl", [{"text": "soup"}])
    assert run_command(["classify", path, *said, "--threshold", "-5", "-q"]) == 0
    assert "thresholds" in failed(capsys, "classify", path, *said, "--threshold", "-4")


def test_rows_that_went_wrong_differ_in_any_label(tmp_path: Path) -> None:
    errors = tmp_path / "wrong.jsonl"
    classified(tmp_path, "out.jsonl", "--threshold", "0", "--errors", str(errors))
    found = read_rows(errors)
    assert [(row["gold"], row["prediction"]) for row in found] == [(["kitchen"], ["kitchen", "price"]), (["staff"], [])]


def test_two_files_are_told_apart_by_any_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = classified(tmp_path, "one.jsonl", "--threshold", "0")
    other = classified(tmp_path, "other.csv", "--threshold", "kitchen=0,staff=-9,price=9")
    found = diff(str(one), str(other))
    assert (found.rows, found.agreed, found.paired.first, found.paired.second) == (6, 0, 4, 1)
    assert found.flips[0].record()["prediction_b"] == ("kitchen", "staff")
    assert found.per_label()["staff"] == {"rows": 3, "right_a": 2, "right_b": 3, "gained": 1, "lost": 0}
    assert run_command(["diff", str(one), str(other)]) == 0
    assert "kitchen, staff" in capsys.readouterr().err


def test_a_file_with_one_label_a_row_is_not_compared_with_one_of_several(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    several = classified(tmp_path, "one.jsonl", "--threshold", "0")
    plain = put_in(
        tmp_path, "plain.jsonl", "".join(f'{{"text": "{row["text"]}", "prediction": "staff"}}\n' for row in ROWS)
    )
    assert "one label a row, and the other file has several" in failed(capsys, "diff", str(several), plain)


def test_predictions_that_are_lists_need_their_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_rows(tmp_path / "p.jsonl", [{"text": "soup", "prediction": ["a", "b"]}])
    assert "but a list, and no run record beside the file says" in failed(capsys, "report", path)


def several_with_odds(tmp_path: Path) -> Path:
    """A table of several labels, each with a probability of its own, that has lost its run record."""
    out = tmp_path / "odds.csv"
    run(recipe_of(), Inputs([write_rows(tmp_path / "in.jsonl", ROWS)]), Outputs(str(out)))
    Path(f"{out}.run.json").unlink()
    return out


@pytest.mark.parametrize("command", ["report", "diff"])
def test_a_table_of_several_labels_needs_its_record_as_well(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odds = several_with_odds(tmp_path)
    scores = classified(tmp_path, "scores.csv", "--threshold", "0")
    Path(f"{scores}.run.json").unlink()
    for table, sign in ((odds, "sum to"), (scores, "'staff,price' was predicted, which is several")):
        line = failed(capsys, command, *[str(table)] * (2 if command == "diff" else 1))
        assert sign in line
        assert "and no run record beside the file says that rows have several labels; put the run record" in line


@pytest.mark.parametrize(
    ("prediction", "sign"),
    [
        ("kitchen,price", "'kitchen,price' was predicted"),
        ("Price/kitchen", "'Price/kitchen' was predicted"),
        ("[]", "'[]' was predicted"),
        ("['price']", "was predicted"),
        ("price", "the probabilities of kitchen, price, staff sum to 1.4, not to 1"),
    ],
)
def test_what_betrays_several_labels_in_the_table_of_another_tool(prediction: str, sign: str, tmp_path: Path) -> None:
    table = put_in(tmp_path, "t.csv", f'text,prediction,p_kitchen,p_price,p_staff\na,"{prediction}",0.5,0.6,0.3\n')
    with pytest.raises(InputError, match="no run record beside") as refused:
        count(table)
    assert sign in refused.value.what


@pytest.mark.parametrize(
    "lines",
    [
        "text,label,prediction,p_a,p_b,p_c\nx,a,a,0.33,0.33,0.33\n",  # rounded
        "text,label,prediction,p_a\nx,a,a,0.8\ny,b,b,0.3\n",  # of one label only
        'text,label,prediction\nx,"a,b","a,b"\ny,a,a\nz,b,b\n',  # no labels are named: this may be one
        "text,label,prediction,score_a,score_b\nx,a,a,-1.5,-9\n",
        "text,p_value,label,prediction\nx,7,a,a\n",
    ],
)
def test_tables_of_one_label_a_row_are_counted_as_ever(lines: str, tmp_path: Path) -> None:
    assert count(put_in(tmp_path, "t.csv", lines)).tally.accuracy == 1


# ------------------------------------------------------------------ fitted to labelled rows


def test_thresholds_are_fitted_to_labelled_rows_and_stand_in_the_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The texts tell the labels but for a shift: all scores are 9 lower than they should be for 0 to tell them."""
    dev = write_rows(tmp_path / "dev.jsonl", [*ROWS[:4], {"text": "none", "label": ["dogs"]}, {"text": "unlabelled"}])
    out = classified(tmp_path, "out.jsonl", "--dev", dev)
    there = record.read_sound(f"{out}.run.json")
    assert there is not None
    assert there.thresholds is not None
    assert all(-2 < cut < 1.8 for cut in there.thresholds)
    assert [row["prediction"] for row in read_rows(out)[:4]] == [["kitchen"], ["staff", "price"], [*LABELS], []]
    capsys.readouterr()
    path = str(tmp_path / "in.jsonl")
    said = ["--multi-label", "-t", "en-topic-mlm", "--labels", "kitchen=soup,staff=waiter,price=bill"]
    assert (
        run_command(["classify", path, *said, "--scorer", SCORER, "--dev", dev, "-o", str(tmp_path / "2.jsonl")]) == 0
    )
    err = capsys.readouterr().err
    assert f"fitted to the labelled rows of {dev}" in err
    assert "fewer than 8 rows" in err
    assert "2 rows have no labels of ours" in err


def test_rows_that_thresholds_were_fitted_to_are_no_judges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_rows(tmp_path / "in.jsonl", ROWS)
    said = ["--multi-label", "-t", "en-topic-mlm", "--labels", "kitchen,staff,price", "--dev", path]
    assert fake(path, *said, "-o", str(tmp_path / "out.jsonl")) == 0
    assert "the rows that thresholds were fitted to are judged as well" in capsys.readouterr().err


def test_too_few_labelled_rows_fit_no_threshold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, dev = write_rows(tmp_path / "in.jsonl", ROWS), write_rows(tmp_path / "dev.jsonl", [*ROWS[:1], {"text": "x"}])
    said = ["--multi-label", "-t", "en-topic-mlm", "--labels", "kitchen,staff,price", "--scorer", "fake"]
    line = failed(capsys, "classify", path, *said, "--dev", dev)
    assert "1 good row with labels of ours, too few to fit thresholds to" in line


def test_with_odds_a_label_that_no_labelled_row_has_keeps_the_usual_threshold(tmp_path: Path) -> None:
    dev = write_rows(tmp_path / "dev.jsonl", [{"text": f"soup {i}", "label": ["kitchen"]} for i in range(4)])
    classifier = Classifier(recipe_of(dev=dev), Known())
    assert classifier.cuts == (0.5, 0.5, 0.5)
    assert classifier.suiting is not None
    assert classifier.suiting.of_label == {"kitchen": 4, "staff": 0, "price": 0}


# ------------------------------------------------------------------ several templates, comparisons, Python


def test_an_ensemble_takes_the_mean_of_the_odds(tmp_path: Path) -> None:
    members = [{"a": 2.0, "b": -1.0}, {"a": -1.0, "b": -2.0}]
    found = ensemble(members, Several(("a", "b"), True, (0.5, 0.5)))
    assert found.label_scores == {"a": 0.5, "b": -1.5}
    assert found.label == ("a",)
    assert found.probabilities == {"a": logistic(0.5), "b": logistic(-1.5)}
    dev, path = write_rows(tmp_path / "dev.jsonl", ROWS), write_rows(tmp_path / "in.jsonl", ROWS)
    both = replace(recipe_of(dev=dev), others=(recipe_of(dev=dev),))
    result = run(both, Inputs([path]), Outputs(str(tmp_path / "two.jsonl")))
    alone = run(recipe_of(dev=dev), Inputs([path]), Outputs(str(tmp_path / "one.jsonl")))
    assert result.thresholds == pytest.approx(alone.thresholds)
    assert result.tally.accuracy == alone.tally.accuracy
    one, two = (read_rows(tmp_path / f"{name}.jsonl") for name in ("one", "two"))
    assert [row["prediction"] for row in one] == [row["prediction"] for row in two]
    there = record.read_sound(str(tmp_path / "two.jsonl.run.json"))
    assert there is not None
    again = there.restored("two")
    assert isinstance(again.decision, Several)
    again = replace(again, decision=replace(again.decision, odds=True))
    assert [found.label for found in finished(again, two)] == [tuple(row["prediction"]) for row in two]


def test_an_ensemble_judges_all_labels_in_one_way() -> None:
    mixed = replace(recipe_of(), others=(recipe_of(odds=False, thresholds=0),))
    with pytest.raises(OptionError, match="no ensemble: some judge each label by itself"):
        mixed.check()
    single = Recipe.of(Template.of(TemplateSpec(scorer="mlm", text="{mask}: {text}"), "t"), WORDS, SCORER)
    with pytest.raises(OptionError, match="no ensemble: some judge each label by itself"):
        replace(recipe_of(), others=(single,)).check()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--multi-label"], "the scores of scorer fake are no odds"),
        (["--threshold", "0.5"], "--threshold is for templates with 'labels: several'; add --multi-label"),
        (["--label-separator", ";"], "--label-separator stands between several labels; add --multi-label"),
        (["--multi-label", "--threshold", "0", "--dev", "in.jsonl"], "--threshold and --dev both give thresholds"),
        (["--multi-label", "--threshold", "0", "--calibrate", "prior"], "it shares one probability among the labels"),
        (["--multi-label", "--threshold", "0", "--prior", "uniform"], "judges each label by itself"),
        (["--multi-label", "--threshold", "0", "--demos", "in.jsonl"], "a demonstration shows one label"),
        (["--multi-label", "--threshold", "0", "--demos-from-input", "2"], "a demonstration shows one label"),
        (["--multi-label", "--threshold", "0", "--abstain-below", "0.5"], "nothing to abstain by"),
    ],
)
def test_what_has_no_meaning_for_several_labels_is_refused_in_one_line(
    arguments: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_rows("in.jsonl", ROWS)
    said = ["-t", "en-topic-mlm", "--labels", "kitchen,staff,price", "--scorer", "fake"]
    assert line in failed(capsys, "classify", path, *said, *arguments)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("zh-entailment-nsp", "the one score of a pair gives it one"),
        ("en-choice-mlm", "words of a row's own have no thresholds"),
        ("zh-app-channel-causal", "no threshold suits two rows"),
    ],
)
def test_templates_that_give_one_label_are_refused(name: str, why: str) -> None:
    with pytest.raises(OptionError, match=why):
        Classifier.load(name, multi_label=True, scorer="fake")


def test_stored_predictions_of_several_labels_are_not_calibrated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = classified(tmp_path, "out.jsonl", "--threshold", "0")
    line = failed(capsys, "calibrate", str(out), "--method", "prior", "-o", str(tmp_path / "new.jsonl"))
    assert "calibration shares one probability among them" in line


def test_abstaining_goes_by_the_weakest_decision(tmp_path: Path) -> None:
    recipe = recipe_of(abstain_below=0.855)
    result = run(recipe, Inputs([write_rows(tmp_path / "in.jsonl", ROWS)]), Outputs(str(tmp_path / "out.jsonl")))
    rows = read_rows(tmp_path / "out.jsonl")
    assert [row["abstained"] for row in rows] == [row["probability"] < 0.855 for row in rows]
    assert 0 < result.tally.abstained.rows < len(ROWS)


def test_the_same_from_python_and_for_data_frames() -> None:
    pandas = pytest.importorskip("pandas")
    labels = {"kitchen": ["soup"], "staff": ["waiter"], "price": ["bill"]}
    more = {"labels": labels, "scorer": SCORER, "multi_label": True}
    classifier = Classifier.load("en-topic-mlm", threshold=0, **more)
    prediction = classifier.predict("the waiter brought the bill")
    assert isinstance(prediction, Prediction)
    assert prediction.label == ("staff", "price")
    frame = classifier.frame(pandas.DataFrame(ROWS))
    assert list(frame["prediction"])[:4] == [["kitchen"], ["staff", "price"], [*LABELS], []]
    fitted = Classifier.load("en-topic-mlm", dev=ROWS[:4], **more)
    assert fitted.cuts is not None
    assert all(-2 < cut < 1.8 for cut in fitted.cuts)
    with_odds = Classifier(recipe_of(), Known()).frame(pandas.DataFrame(ROWS))
    assert {f"p_{label}" for label in LABELS} <= {*with_odds.columns}


def test_a_plan_of_demonstrations_is_refused_in_python_as_well(tmp_path: Path) -> None:
    plan = DemoPlan(write_rows(tmp_path / "demos.jsonl", ROWS), 2)
    with pytest.raises(OptionError, match="a demonstration shows one label"):
        recipe_of(demos=plan).check()


def test_templates_of_several_labels_and_of_one_are_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = 'scorer: mlm\ntext: "{mask}: {text}"\nverbalizer: {labels: {kitchen: [soup], staff: [waiter]}}\n'
    one = put_in(tmp_path, "one.yaml", text)
    several = put_in(tmp_path, "several.yaml", f"{text}labels: several\n")
    path = write_rows(tmp_path / "in.jsonl", [{"text": "soup", "label": "kitchen"}])
    line = failed(capsys, "compare", path, "-t", one, "-t", several, "--scorer", "fake", "-q")
    assert "several gives a row several labels, and one gives it one" in line
    line = failed(capsys, "compare", path, "-t", several, "--scorer", "fake", "-q")
    assert "the scores of scorer fake are no odds" in line


def test_rows_that_get_no_label_though_most_have_one_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "in.jsonl", ROWS * 6)
    said = ["--multi-label", "-t", "en-topic-mlm", "--labels", "kitchen,staff,price", "-o", str(tmp_path / "out.jsonl")]
    assert fake(path, *said, "--threshold", "9") == 0
    err = capsys.readouterr().err
    assert "36 of 36 rows were given no label, and 17% of those with gold labels have none; lower --threshold" in err
    assert fake(path, *said, "--threshold", "-99", "--overwrite") == 0
    err = capsys.readouterr().err
    assert "36 of 36 rows were given every label, and 17% of those with gold labels have all; raise --threshold" in err


@pytest.mark.parametrize("rows", [9, 1_600, 12_345])
def test_progress_behind_a_bar_fits_60_columns(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(width=60, force_terminal=True, file=io.StringIO(), color_system=None)
    monkeypatch.setattr("promptshot.report.progress.people", lambda: console)
    tally = SetTally(["a", "b"], rejected=2)
    for predicted in [("a",)] * 5 + [("b",)]:
        tally.add(predicted, ("a",), "a")
    with Watch(total=3 * rows) as watch:
        watch.began -= 4.0
        watch.counted(rows, tally)
        said = watch._said(watch.began + 4)
    assert said.startswith(f"{rows:,} of {3 * rows:,} rows, ")
    assert said.endswith("exact 83.3%, 2 rejected")
    assert len(f"⠋ scoring ━━ {said}") <= 60


def test_a_template_may_say_so_itself_and_is_saved_with_it(tmp_path: Path) -> None:
    text = (
        'scorer: mlm\ntext: "They wrote of {mask}: {text}"\nverbalizer: {labels: {kitchen: [soup], staff: [waiter]}}\n'
    )
    own = put_in(tmp_path, "own.yaml", f'{text}labels: several\nlabel_separator: "/"\n')
    path = write_rows(tmp_path / "in.jsonl", [{"text": "soup, waiter", "label": "staff/kitchen"}])
    said = ["--scorer", SCORER, "--threshold", "0", "-q", "-o", str(tmp_path / "out.csv")]
    saved = tmp_path / "saved.yaml"
    assert run_command(["classify", path, "-t", own, *said, "--save-template", str(saved)]) == 0
    assert (
        (tmp_path / "out.csv")
        .read_text(encoding="utf-8")
        .splitlines()[1]
        .startswith('"soup, waiter",staff/kitchen,kitchen/staff,')
    )
    again = Template.load(saved)
    assert (again.spec.labels, again.spec.label_separator) == ("several", "/")
    there = record.read_sound(f"{tmp_path / 'out.csv'}.run.json")
    assert there is not None
    assert there.calibration_scores == ()  # no calibration could use them
    assert there.accuracy == 1


def test_options_in_a_file_say_it_too(tmp_path: Path) -> None:
    labels = "labels: {kitchen: soup, staff: waiter, price: bill}\n"
    text = f"multi-label: true\nthreshold: {{kitchen: 0, staff: 0, price: 9}}\n{labels}"
    options = put_in(tmp_path, "options.yaml", text)
    path, out = write_rows(tmp_path / "in.jsonl", ROWS), tmp_path / "out.jsonl"
    said = ["-t", "en-topic-mlm", "--scorer", SCORER, "-q", "-o", str(out)]
    assert run_command(["classify", path, "-c", options, *said]) == 0
    assert [row["prediction"] for row in read_rows(out)[:3]] == [["kitchen"], ["staff"], ["kitchen", "staff"]]


def test_fasttext_lines_with_several_labels_are_read(tmp_path: Path) -> None:
    lines = "__label__kitchen __label__price soup and a bill\n__label__staff the waiter\n"
    path, out = put_in(tmp_path, "in.txt", lines), tmp_path / "out.jsonl"
    said = ["--multi-label", "-t", "en-topic-mlm", "--labels", "kitchen=soup,staff=waiter,price=bill", "-o", str(out)]
    assert run_command(["classify", path, *said, "--scorer", SCORER, "--threshold", "0", "-q"]) == 0
    assert count(str(out)).tally.accuracy == 1


def test_a_record_with_fewer_thresholds_than_labels_is_refused(tmp_path: Path) -> None:
    out = classified(tmp_path, "out.jsonl", "--threshold", "0")
    there = record.read_sound(f"{out}.run.json")
    assert there is not None
    with pytest.raises(InputError, match="1 thresholds for 3 labels"):
        there.model_copy(update={"thresholds": (0.0,)}).restored("out.run.json")


def test_cells_that_a_spreadsheet_would_run_are_read_back_as_labels(tmp_path: Path) -> None:
    path, out = write_rows(tmp_path / "in.jsonl", [{"text": "soup", "label": ["+1"]}]), tmp_path / "out.csv"
    said = ["--multi-label", "-t", "en-topic-mlm", "--labels", '{"+1": ["soup"], "-1": ["bill"]}', "--threshold", "-9"]
    assert (
        run_command(["classify", path, *said, "--scorer", SCORER, "-q", "-o", str(out), "--spelling", "template"]) == 0
    )
    assert "'+1,-1" in out.read_text(encoding="utf-8")
    assert run_command(["report", str(out), "--json", "--summary", str(tmp_path / "s.json")]) == 0
    (found,) = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))["files"]
    assert found["predictions"] == {"+1": 1, "-1": 1}


def test_words_are_neither_suggested_nor_explained_for_several_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = 'scorer: mlm\ntext: "{mask}: {text}"\nverbalizer: {labels: {a: [soup], b: [waiter]}}\nlabels: several\n'
    own, path = put_in(tmp_path, "own.yaml", text), write_rows(tmp_path / "in.jsonl", ROWS)
    for command in ("suggest", "explain"):
        line = failed(capsys, command, path, "-t", own, "--scorer", "fake", "-q")
        assert "own is for several labels a row, and this command for one" in line
    with pytest.raises(OptionError, match="is for several labels a row, and words are told by rows of one label"):
        suggest(recipe_of(), [Row({"text": "soup", "label": ["kitchen"]})])
    with pytest.raises(OptionError, match="judges each label by itself, and the label of a row is what is explained"):
        explain(Classifier(recipe_of(), Known()), Row({"text": "soup"}))


# ------------------------------------------------------------------ by a model


@pytest.mark.torch
def test_nsp_judges_each_label_by_its_own_odds(tmp_path: Path) -> None:
    labels = {"kitchen": ["soup"], "staff": ["waiter"], "price": ["bill"]}
    one = Classifier.load("en-topic-nsp", labels=labels, model="builtin:bert")
    several = Classifier.load("en-topic-nsp", labels=labels, model="builtin:bert", multi_label=True)
    texts = [row["text"] for row in ROWS]
    for single, found in zip(one.predict(texts), several.predict(texts), strict=True):
        assert found.label_scores == single.label_scores
        assert found.probabilities == {name: logistic(score) for name, score in single.label_scores.items()}
        assert found.label == tuple(name for name in LABELS if found.label_scores[name] >= 0)
    path, out = write_rows(tmp_path / "in.jsonl", ROWS), str(tmp_path / "out.jsonl")
    said = ["--multi-label", "--labels", "kitchen=soup,staff=waiter,price=bill", "-q"]
    assert run_command(["classify", path, *said, "-o", out]) == 0  # a scorer with odds is chosen
    there = record.read_sound(f"{out}.run.json")
    assert there is not None
    assert there.recipe.scorer == "nsp"
    rows = read_rows(out)
    restored = there.restored("out")
    assert [found.label for found in finished(restored, rows)] == [tuple(row["prediction"]) for row in rows]
    assert run_command(["report", out, "--errors", "2"]) == 0


@pytest.mark.torch
def test_rtd_judges_each_label_by_the_odds_that_its_word_was_not_replaced(tmp_path: Path) -> None:
    import tiny

    model = str(tiny.electra(tmp_path / "electra").folder)
    labels = {"kitchen": ["good", "awful"], "staff": ["news"], "price": ["old man"]}
    classifier = Classifier.load("en-topic-rtd", labels=labels, model=model, multi_label=True)
    for found in classifier.predict(["the food was good", "it is a good day to read"]):
        words = found.word_scores
        assert found.label_scores["kitchen"] == pytest.approx((words["good"] + words["awful"]) / 2)  # odds are pooled
        assert found.probabilities == {name: logistic(score) for name, score in found.label_scores.items()}
        assert found.label == tuple(name for name in LABELS if found.label_scores[name] >= 0)
