"""A template is parsed once and filled in one pass: what a row says is never read as a template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers import template_of
from hypothesis import given
from hypothesis import strategies as st

from promptshot.errors import RowError, TemplateError
from promptshot.kinds import KINDS
from promptshot.prompts.codes import Flaw
from promptshot.prompts.template import Template, example_row, parse, typed
from promptshot.rows.row import Row
from promptshot.scoring import Kind, Piece, Prompt

PAIRED = " or ".join(kind.name for kind in KINDS.values() if kind.margin)


def make(text: str | list[str], scorer: str = "mlm", **keys: Any) -> Template:
    return template_of(scorer=scorer, text=text, **keys)


def complaint(text: str | list[str], scorer: str = "mlm", **keys: Any) -> str:
    with pytest.raises(TemplateError) as caught:
        make(text, scorer, **keys)
    return str(caught.value)


def kinds(prompt: Prompt) -> list[tuple[str, str]]:
    return [(piece.kind.value, piece.text) for piece in prompt.pieces]


# ------------------------------------------------------------------ the grammar


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("plain", [("fixed", "plain")]),
        ("{mask}很好。{text}", [("mask", ""), ("fixed", "很好。"), ("field", "text")]),
        ("{文本}", [("field", "文本")]),
        ("{target.span1_text}", [("field", "target.span1_text")]),
        ("{Review Body}{text-2}{a_b}", [("field", "Review Body"), ("field", "text-2"), ("field", "a_b")]),
        ("{{mask}}", [("fixed", "{mask}")]),
        ("{{{mask}}}", [("fixed", "{"), ("mask", ""), ("fixed", "}")]),
        ("}}{{", [("fixed", "}{")]),
        ('{{"text": "{text}"}}', [("fixed", '{"text": "'), ("field", "text"), ("fixed", '"}')]),
        ("{MASK}", [("field", "MASK")]),
    ],
)
def test_text_is_fields_the_blank_and_doubled_braces(text: str, parts: list[tuple[str, str]]) -> None:
    assert [(part.kind.value, part.text) for part in parse(text, [])] == parts


@pytest.mark.parametrize(
    ("text", "shown", "column"),
    [
        ("a } b", "'}'", 3),
        ("a {", "'{'", 3),
        ("{}", "'{}'", 1),
        ("x{ text }", "'{ text }'", 2),
        ("{1}", "'{1}'", 1),
        ("{text!r}", "'{text!r}'", 1),
        ("{text:>10}", "'{text:>10}'", 1),
        ("{text[0]}", "'{text[0]}'", 1),
        ("{text.__class__()}", "'{text.__class__()}'", 1),
        ("{text} {not closed and long text", "'{not closed and long'", 8),
        ("{a{b}}", "'{a{b}'", 1),
        ("{mask}}", "'}'", 7),
    ],
)
def test_a_stray_brace_is_told_with_its_column(text: str, shown: str, column: int) -> None:
    flaws: list[Flaw] = []
    parse(text, flaws, ("text",))
    assert flaws[0].what == f"{shown} at column {column} is neither a field nor the blank"
    assert flaws[0].hint == "write {name} for a field, {mask} for the blank, {{ and }} for braces"
    with pytest.raises(TemplateError) as caught:
        make("{mask}{text}" + text)
    assert str(caught.value).startswith("t: ")


def test_a_dunder_name_is_only_the_name_of_a_column() -> None:
    prompt = make("{mask}{text.__class__}").render(Row({"text.__class__": "harmless"}), ("a",))
    assert prompt.text("a") == "aharmless"


@given(st.text())
def test_any_text_with_doubled_braces_is_that_text(text: str) -> None:
    parts = parse(text.replace("{", "{{").replace("}", "}}"), [])
    assert "".join(part.text for part in parts) == text


# ------------------------------------------------------------------ filling in


@pytest.mark.parametrize(
    "data", ["{mask}", "{text}", "{{", "}", "[MASK]", "[SEP]", "<eod>", "{0}", "%s", "\\1", "$text"]
)
def test_what_a_row_says_stays_text(data: str) -> None:
    prompt = make("{mask}: {text}, {title}").render(Row({"text": data, "title": data}), ("a", "b"))
    assert kinds(prompt) == [("mask", ""), ("fixed", ": "), ("field", data), ("fixed", ", "), ("field", data)]
    assert prompt.text() == f"____: {data}, {data}"
    assert prompt.choices == ("a", "b")


def test_the_prompt_shows_the_blank_the_choice_and_both_segments() -> None:
    prompt = make(["这是一则{mask}新闻", "{text}"], "nsp").render(Row({"text": "球赛"}), ("体育", "财经"))
    assert prompt.text() == "这是一则____新闻 | 球赛"
    assert prompt.text("体育") == "这是一则体育新闻 | 球赛"
    assert prompt.text("") == "这是一则新闻 | 球赛"
    assert [piece.kind for piece in prompt.pieces].count(Kind.BREAK) == 1


def test_a_field_keeps_its_spaces_and_line_breaks() -> None:
    assert make("{mask}{text}").render(Row({"text": " a\nb "}), ("x",)).text() == "____ a\nb "


def test_a_list_field_is_joined() -> None:
    template = make("{mask}，{keywords}", fields={"keywords": {"join": "、"}})
    assert template.render(Row({"keywords": ["a", "b"]}), ("x",)).text() == "____，a、b"


def test_how_a_field_gives_way_travels_with_its_piece() -> None:
    template = make("{mask}{text}{title}", fields={"text": {"cut": "middle", "cut_order": 2}})
    pieces = template.render(Row({"text": "a", "title": "b"}), ("x",)).pieces
    assert pieces[1:] == (Piece(Kind.FIELD, "a", "middle", 2), Piece(Kind.FIELD, "b", "tail", 0))


def test_a_missing_field_is_an_error_of_that_row() -> None:
    with pytest.raises(RowError, match="f:9: no field 'title'; the row has: text"):
        make("{mask}{title}").render(Row({"text": "a"}, "f:9"), ("x",))


def test_an_empty_field_is_an_error_of_that_row() -> None:
    with pytest.raises(RowError, match="f:9: field 'text' is empty"):
        make("{mask}{text}").render(Row({"text": ""}, "f:9"), ("x",))


def test_needs_are_the_fields_in_order_of_appearance() -> None:
    assert make("{b}{mask}{a}{b}").needs == ("b", "a")
    assert make(["{mask}", "{x.y}"], "nsp", words_from="candidates").needs == ("x.y", "candidates")
    several = make("{q} {c} {mask}", words_from=["a", "b", "c", "d"])
    assert several.needs == ("q", "c", "a", "b")
    assert several.reads == ("q", "c", "a", "b", "d")


# ------------------------------------------------------------------ the blank


@pytest.mark.parametrize("text", ["{text}", "{MASK}{text}", "{{mask}}{text}", "[MASK]{text}"])
def test_a_template_without_a_blank_is_refused(text: str) -> None:
    assert complaint(text) == "t: no blank; put {mask} where the label word goes"


def test_two_blanks_are_refused() -> None:
    assert complaint("{mask}{mask}{text}") == "t: 2 blanks; keep one {mask}"
    assert complaint(["{mask}{text}", "{mask}"], "nsp") == "t: 2 blanks; keep one {mask}"


def test_a_template_without_a_field_is_refused() -> None:
    assert complaint("{mask} only") == "t: no field; put {text} where the row's text goes"


def test_a_rule_for_a_field_that_does_not_occur_is_refused() -> None:
    assert (
        complaint("{mask}{text}", fields={"txt": {"join": ","}})
        == "t: fields: 'txt' does not occur in the text; use {txt}"
    )


# ------------------------------------------------------------------ holes

IDIOM = {"text": {"hole": "#idiom#"}}


def test_a_hole_puts_the_blank_into_the_field() -> None:
    template = make("{text}", fields=IDIOM)
    prompt = template.render(Row({"text": "历史#idiom#投资"}), ("a", "b"))
    assert kinds(prompt) == [("field", "历史"), ("mask", ""), ("field", "投资")]
    assert prompt.text("a") == "历史a投资"


def test_what_is_far_from_the_hole_gives_way_first() -> None:
    left, _, right = make("{text}", fields=IDIOM).render(Row({"text": "L#idiom#R"}), ("a",)).pieces
    assert (left.cut, right.cut) == ("head", "tail")


def test_only_the_first_marker_is_the_hole() -> None:
    prompt = make("{text}", fields=IDIOM).render(Row({"text": "a#idiom#b#idiom#c"}), ("x",))
    assert prompt.text("X") == "aXb#idiom#c"


@pytest.mark.parametrize(("text", "shown"), [("#idiom#b", "____b"), ("a#idiom#", "a____"), ("#idiom#", "____")])
def test_a_hole_may_stand_at_either_end(text: str, shown: str) -> None:
    assert make("{text}", fields=IDIOM).render(Row({"text": text}), ("x",)).text() == shown


def test_a_row_without_the_marker_is_an_error_of_that_row() -> None:
    with pytest.raises(RowError, match="f:2: field 'text' has no '#idiom#'; the blank goes there"):
        make("{text}", fields=IDIOM).render(Row({"text": "nothing"}, "f:2"), ("x",))


def test_beside_a_blank_the_hole_is_a_place_under_nsp() -> None:
    template = make(["{mask}", "{text}"], "nsp", fields=IDIOM)
    prompt = template.render(Row({"text": "a#idiom#b"}), ("x",))
    assert [kind for kind, _ in kinds(prompt)] == ["mask", "break", "field", "hole", "field"]
    assert prompt.text("X") == "X | ab"


@pytest.mark.parametrize("scorer", ["mlm", "causal"])
def test_beside_a_blank_the_hole_means_nothing_to_other_scorers(scorer: str) -> None:
    assert "a hole beside {mask} means nothing" in complaint("{mask}{text}", scorer, fields=IDIOM)


def test_two_holes_are_refused() -> None:
    assert "2 holes" in complaint("{text}{b}", fields={**IDIOM, "b": {"hole": "_"}})
    assert "2 holes" in complaint("{text}{text}", fields=IDIOM)


def test_a_hole_without_a_marker_is_refused() -> None:
    assert complaint("{text}", fields={"text": {"hole": ""}}).startswith("t: fields: must not be empty")


# ------------------------------------------------------------------ keys that go together


@pytest.mark.parametrize(
    ("text", "scorer", "keys", "said"),
    [
        ("{mask}{text}", "nsp", {}, "scorer nsp compares two segments; write text as a list of two: [A, B]"),
        (["{mask}", "{text}"], "causal", {}, "scorer causal reads one text; write text as one string"),
        (["{mask}{text}"], "mlm", {}, "text: 1 segments; a list means two: [A, B]"),
        (["{mask}", "{text}", "c"], "nsp", {}, "text: 3 segments; a list means two: [A, B]"),
        ("{mask}{text}", "mlm", {"direction": "channel"}, "direction: channel is for scorer causal; remove it"),
        (["{mask}", "{text}"], "nsp", {"normalize": "mean"}, "normalize has no meaning for scorer nsp; remove it"),
        ("{mask}{text}", "mlm", {"ordered": ["a", "b"]}, f"ordered is for pairs under scorer {PAIRED}; remove it"),
        (["{a}", "{b}"], "nsp", {"ordered": ["a"]}, "ordered needs at least two labels, each once"),
        (["{a}", "{b}"], "nsp", {"ordered": []}, "ordered needs at least two labels, each once"),
        (["{a}", "{b}"], "nsp", {"ordered": ["a", "b", "a"]}, "ordered needs at least two labels, each once"),
        (
            ["{mask}{a}", "{b}"],
            "nsp",
            {"ordered": ["a", "b"]},
            "a pair with 'ordered' has no blank; remove {mask} or 'ordered'",
        ),
        (
            ["{a}", "{b}"],
            "nsp",
            {"ordered": ["a", "b"], "prior": [1.0]},
            "prior needs one number for each label of ordered",
        ),
        *[
            ("{mask}{text}", "mlm", {"words_from": names}, "words_from needs at least two columns, each once")
            for names in ([], ["a"], ["a", "a"], ["a", "b", "a"])
        ],
        ("{mask}{text}", "mlm", {"prior": [0.5, 0.5]}, "prior needs one number for each label of ordered"),
        (
            "{mask}{text}",
            "mlm",
            {"words_from": "c", "verbalizer": "v"},
            "words_from stands alone; remove verbalizer and ordered",
        ),
        (
            ["{a}", "{b}"],
            "nsp",
            {"words_from": "c", "ordered": ["a", "b"]},
            "words_from stands alone; remove verbalizer and ordered",
        ),
    ],
)
def test_keys_that_do_not_go_together_are_refused(
    text: str | list[str], scorer: str, keys: dict[str, Any], said: str
) -> None:
    assert complaint(text, scorer, **keys) == f"t: {said}"


@pytest.mark.parametrize(
    "prior", [[0.5, 0.6], [1.5, -0.5], [1.0, 0.0], [float("nan"), float("nan")], [float("inf"), 1.0], []]
)
def test_a_prior_that_is_no_distribution_is_refused(prior: list[float]) -> None:
    said = complaint(["{a}", "{b}"], "nsp", ordered=["x", "y"], prior=prior)
    assert said == "t: prior: not a distribution; give one positive number a label, with sum 1"


def test_a_prior_in_thirds_is_a_distribution() -> None:
    template = make(["{a}", "{b}"], "nsp", ordered=["x", "y", "z"], prior=[1 / 3, 1 / 3, 1 / 3])
    assert template.spec.prior == [1 / 3, 1 / 3, 1 / 3]


def test_an_ordered_pair_has_fields_and_no_blank() -> None:
    template = make(["{text_a}", "{text_b}"], "nsp", ordered=["contradiction", "neutral", "entailment"])
    prompt = template.render(Row({"premise": "p", "hypothesis": "h"}), ("",))
    assert prompt.text("") == "p | h"


def test_a_cloze_may_be_a_pair() -> None:
    template = make(["{text_a}？{mask}", "，{text_b}"])
    assert template.render(Row({"text_a": "a", "text_b": "b"}), ("是",)).text("是") == "a？是 | ，b"


# ------------------------------------------------------------------ what is scored


@pytest.mark.parametrize(
    ("text", "scorer", "keys", "scored"),
    [
        ("{mask}满意。{text}", "mlm", {}, "choice"),
        (["{mask}新闻", "{text}"], "nsp", {}, "choice"),
        ("{text}\nTopic: {mask}", "causal", {}, "choice"),
        ("{text}\nTopic: {mask}.", "causal", {}, "choice+rest"),
        ("Topic: {mask}\n{text}", "causal", {}, "choice+rest"),
        ("Topic: {mask}\n{text}", "causal", {"direction": "channel"}, "rest"),
        ("{text}", "causal", {"fields": IDIOM}, "choice+rest"),
    ],
)
def test_what_a_causal_scorer_sums_over(text: str | list[str], scorer: str, keys: dict[str, Any], scored: str) -> None:
    row = Row({"text": "a#idiom#b"})
    assert make(text, scorer, **keys).render(row, ("x",)).scored == scored


@pytest.mark.parametrize("text", ["{text} Topic: {mask}", "{text} Topic: {mask}."])
def test_a_channel_without_a_field_behind_the_blank_is_refused(text: str) -> None:
    assert "direction: channel scores the text after the blank" in complaint(text, "causal", direction="channel")


# ------------------------------------------------------------------ demonstrations


def test_a_demonstration_is_the_filled_text_and_the_separator() -> None:
    template = make("Text: {text}\nTopic: {mask}", "causal", separator="\n\n")
    assert template.fill(Row({"text": "goal {mask}"}), "sports") == "Text: goal {mask}\nTopic: sports\n\n"


def test_demonstrations_stand_before_the_text_oldest_first() -> None:
    template = make("{text}->{mask}", "causal")
    prompt = template.render(Row({"text": "c"}), ("x",), ["a->1\n", "b->2\n"])
    assert kinds(prompt)[:2] == [("demo", "a->1\n"), ("demo", "b->2\n")]
    assert prompt.text() == "a->1\nb->2\nc->____"


# ------------------------------------------------------------------ files


def test_a_template_in_a_file_has_its_name_and_place(tmp_path: Path) -> None:
    path = tmp_path / "zh-news.yaml"
    path.write_text("scorer: mlm\n\ntext: '{mask}新闻。{text}'\nexample: {text: 球赛, label: 体育}\n", encoding="utf-8")
    template = Template.load(path)
    assert (template.name, template.where, template.path) == ("zh-news", f"{path}:3", path)
    row = example_row(template)
    assert (row["text"], row["label"], row.source) == ("球赛", "体育", "zh-news: example")


def test_a_complaint_about_the_text_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("scorer: mlm\n\ntext: '{mask}新闻。}'\n", encoding="utf-8")
    with pytest.raises(TemplateError, match=r"t\.yaml:3: '}' at column 10 is neither"):
        Template.load(path)


# ------------------------------------------------------------------ as typed in a shell


@pytest.mark.parametrize(
    ("said", "text", "told"),
    [
        ("{text} {mask}", "{text} {mask}", ""),
        (r"Q: {text}\nA:\t{mask}", "Q: {text}\nA:\t{mask}", r"\n taken as a line break, \t taken as a tab"),
        (r"C:\\new {mask}", r"C:\new {mask}", r"\\ taken as a backslash"),
        (r"{text}\\\n{mask}", "{text}\\\n{mask}", r"\\ taken as a backslash, \n taken as a line break"),
        (r"\d\r{mask}", r"\d\r{mask}", ""),
        ("{text}\n{mask}\\", "{text}\n{mask}\\", ""),
    ],
)
def test_a_backslash_typed_in_a_shell_is_read_and_told(said: str, text: str, told: str) -> None:
    assert typed(said) == (text, told)
