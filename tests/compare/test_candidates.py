"""Which candidates a comparison is of, and what is refused before any model is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from promptshot.classify import choosing
from promptshot.compare.candidates import Axes, Candidate, check, grid, may_have_head
from promptshot.compare.suite import Suite
from promptshot.errors import InputError, OptionError, PromptshotError
from promptshot.prompts.task import Names
from promptshot.rows.row import Item, Reject, Row
from promptshot.scoring import ModelOptions

ROWS: list[Item] = [
    Row({"text": "房间干净", "label": "positive"}, "r:1", 0),
    Row({"text": "又吵", "label": "negative"}),
]


def made(
    *templates: str,
    verbalizers: Sequence[str | None] = (None,),
    columns: Mapping[str, str] | None = None,
    **axes: object,
) -> list[Candidate]:
    found = []
    for words in verbalizers:
        wish = choosing.Wish(templates, None, words)
        found += choosing.choose(wish, choosing.Look(every=lambda: [row for row in ROWS if isinstance(row, Row)]))
    return grid(found, Axes(ModelOptions(), names=Names(fields=columns or {}), **axes))  # type: ignore[arg-type]


def names(*templates: str, **axes: object) -> list[str]:
    return [candidate.name for candidate in made(*templates, **axes)]  # type: ignore[arg-type]


def test_a_name_says_what_differs_and_no_more() -> None:
    assert names("zh-sentiment-mlm", "zh-sentiment-nsp") == ["zh-sentiment-mlm", "zh-sentiment-nsp"]
    verbalizers = ["zh-good-bad", "zh-satisfied"]
    assert names("zh-sentiment-mlm", verbalizers=verbalizers) == [
        "zh-sentiment-mlm zh-good-bad",
        "zh-sentiment-mlm zh-satisfied",
    ]


def test_only_templates_that_take_them_are_crossed_with_demonstrations() -> None:
    found = names("zh-sentiment-nsp", "zh-sentiment-causal", shots=(0, 4), demos="d.jsonl")
    assert found == ["zh-sentiment-nsp", "zh-sentiment-causal k=0", "zh-sentiment-causal k=4"]
    assert names("zh-sentiment-mlm", shots=(0, 4), demos="d.jsonl") == ["zh-sentiment-mlm k=0", "zh-sentiment-mlm k=4"]


def test_a_template_meets_only_models_with_a_head_for_it() -> None:
    found = made("zh-sentiment-mlm", "zh-sentiment-nsp", "zh-sentiment-causal", models=("builtin:bert", "builtin:gpt2"))
    assert [(c.name, c.recipe.model) for c in found] == [
        ("zh-sentiment-mlm", "builtin:bert"),
        ("zh-sentiment-nsp", "builtin:bert"),
        ("zh-sentiment-causal", "builtin:gpt2"),
    ]
    assert may_have_head("mlm", "some/hub-name")
    assert may_have_head("rtd", "some/hub-name")
    assert [may_have_head(kind, "builtin:bert") for kind in ("mlm", "nsp", "causal", "rtd")] == [
        True,
        True,
        False,
        False,
    ]
    with pytest.raises(OptionError, match="none of the models is for scorer rtd"):
        made("zh-sentiment-rtd")  # there is none built in
    with pytest.raises(OptionError, match="none of the models is for scorer mlm"):
        made("zh-sentiment-mlm", models=("builtin:gpt2",))


def test_what_is_named_twice_is_scored_once() -> None:
    assert names("zh-sentiment-mlm", "zh-sentiment-mlm") == ["zh-sentiment-mlm"]


def test_inline_texts_are_known_by_what_they_say_and_files_of_one_name_by_their_paths(tmp_path: Path) -> None:
    assert names("{mask}：{text}", "{text}{mask}") == ["{mask}：{text}", "{text}{mask}"]
    paths = []
    for folder, text in (("a", "{mask}{text}"), ("b", "{text}{mask}")):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "mine.yaml"
        path.write_text(f"scorer: mlm\ntext: '{text}'\nverbalizer: {{labels: {{positive: 好, negative: 坏}}}}\n")
        paths.append(str(path))
    assert names(*paths) == paths


def test_candidates_of_one_family_differ_in_template_and_words_only() -> None:
    one, two, other = made("zh-sentiment-mlm", "zh-sentiment-good-mlm", "zh-sentiment-nsp")
    assert one.family == two.family != other.family
    assert one.engine == two.engine != other.engine


# ------------------------------------------------------------------ what does not fit


def test_labels_that_do_not_fit_are_told_with_the_candidate() -> None:
    with pytest.raises(PromptshotError, match=r"zh-news-mlm: no label fits the rows' own labels \(positive, negative"):
        check(made("zh-sentiment-mlm", "zh-news-mlm"), ROWS)


def test_rows_without_labels_cannot_be_compared_on() -> None:
    rows: list[Item] = [Row({"text": "好"}, "r.jsonl:1"), Row({"text": "坏", "label": ""}, "r.jsonl:2")]
    with pytest.raises(InputError, match=r"r\.jsonl:1: a comparison needs labelled rows, and no row has a label"):
        check(made("zh-sentiment-mlm"), rows)


def test_rows_without_the_fields_of_a_template_are_told_once_one_bad_row_does_not_matter() -> None:
    bad: list[Item] = [Row({"text": " ", "label": "positive"}, "r:1"), Reject("r:2", "torn", "{")]
    check(made("zh-sentiment-mlm"), [*bad, *ROWS])
    with pytest.raises(PromptshotError, match=r"zh-sentiment-mlm: field 'text' is empty"):
        check(made("zh-sentiment-mlm"), bad)


def test_demonstrations_are_drawn_before_a_model_is_loaded(tmp_path: Path) -> None:
    demos = tmp_path / "d.jsonl"
    demos.write_text(json.dumps({"text": "好", "label": "positive"}) + "\n", encoding="utf-8")
    with pytest.raises(PromptshotError, match="zh-sentiment-causal: 4 demonstrations asked for, 1 in the file"):
        check(made("zh-sentiment-causal", shots=(4,), demos=str(demos)), ROWS)


# ------------------------------------------------------------------ suites


def suite(folder: Path, text: str) -> Suite:
    path = folder / "suite.yaml"
    path.write_text(text, encoding="utf-8")
    return Suite.load(path)


def test_paths_in_a_suite_are_seen_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("scorer: mlm\ntext: '{mask}{text}'\n")
    text = (
        "data: [rows.jsonl]\ntemplates: [t.yaml, zh-sentiment-mlm, '{mask}: {text}']\ndemos: d.jsonl\nshots: [0, 2]\n"
    )
    said = suite(tmp_path, text)
    assert said.data == [str(tmp_path / "rows.jsonl")]
    assert said.templates == [str(tmp_path / "t.yaml"), "zh-sentiment-mlm", "{mask}: {text}"]
    assert (said.demos, said.shots, said.search) == (str(tmp_path / "d.jsonl"), [0, 2], False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("data: [r]\nverbalisers: [a]\n", "suite.yaml:2: unknown key 'verbalisers'; did you mean 'verbalizers'?"),
        ("data: [r]\ntemplates:\n  - zh-sentiment-mlm\n  - zh-sentimentmlm\n", "suite.yaml:4: no template named"),
        ("data: [r]\nverbalizers: [zh-goodbad]\n", "suite.yaml:2: no verbalizer named 'zh-goodbad'; did you mean"),
        ("data: [r]\ntemplates: [../../etc/passwd]\n", "suite.yaml:2: no file '../../etc/passwd'"),
        ("data: []\n", "suite.yaml:1: data: "),
        ("templates: [zh-sentiment-mlm]\n", "suite.yaml: the key 'data' is missing"),
        ("data: [r]\nshots: [-1]\n", "suite.yaml:2: shots: "),
        ("data: [r]\nscorer: os:system\n", "suite.yaml:2: unknown key 'scorer'"),
    ],
)
def test_a_wrong_suite_is_one_line_with_its_place(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        suite(tmp_path, text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("data: [r]\nlimit: [5]\n", "suite.yaml:2: limit: must be a whole number"),
        ("data: [r]\nlimit: 99999999999999999999\n", "suite.yaml:2: limit: must be at most 9007199254740992"),
        ("data: [r]\nshots: [0, 99999999999999999999]\n", "suite.yaml:2: shots: must be at most"),
        ("data: [r]\nsearch: maybe\n", "suite.yaml:2: search: must be true or false"),
        ("data: [r]\ndemos: {a: b}\n", "suite.yaml:2: demos: must be text"),
        ("data: [r]\ndev: ~\n", "suite.yaml:2: the key 'dev' has no value; write dev: ..., or leave the line out"),
        ("data: [r]\nmodels:\n  - a\n  - null\n", "suite.yaml:4: the key 'models' has no value"),
        ("~\n", "suite.yaml: empty, or not a mapping of keys to values"),
        ("data: [r]\nlibrary: no-such\n", "suite.yaml:2: no such folder for a library"),
        ("data: [r]\ntemplates: [suite.yaml]\n", "suite.yaml:2: no template can be read from"),
        ("data: [r]\nverbalizers: [./suite.yaml]\n", "suite.yaml:2: no verbalizer can be read from"),
    ],
)
def test_a_value_of_the_wrong_type_in_a_suite_is_one_line_with_its_place(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        suite(tmp_path, text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_suite_may_be_about_nothing(tmp_path: Path) -> None:
    assert suite(tmp_path, "data: [r]\nabout:\n").about == ""
