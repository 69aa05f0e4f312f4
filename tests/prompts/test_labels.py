"""Labels as people say them: in a line, as JSON, in a file; and what is told of how they were read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers import fake, put, read_rows, write_rows

from promptshot import Classifier
from promptshot.cli import run_command
from promptshot.errors import InputError, OptionError, PromptshotError
from promptshot.prompts import labels
from promptshot.prompts.labels import read_labels
from promptshot.rows.row import Row

ROWS = [{"text": "The kettle boils.", "label": "home"}, {"text": "Shares fell.", "label": "money, and markets"}]


def words(said: str) -> dict[str, list[str]]:
    return {label: list(of) for label, of in read_labels(said).verbalizer.labels.items()}


def complaint(said: str) -> str:
    with pytest.raises(PromptshotError) as caught:
        read_labels(said)
    assert str(caught.value).isprintable()
    return str(caught.value)


# ------------------------------------------------------------------ one line


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (r"red\, white,blue", {"red, white": ["red, white"], "blue": ["blue"]}),
        (r"红\，白，蓝", {"红，白": ["红，白"], "蓝": ["蓝"]}),
        (r"x\=1=low|mid\|dle,y", {"x=1": ["low", "mid|dle"], "y": ["y"]}),
        (r"e=mc=square,f", {"e": ["mc=square"], "f": ["f"]}),
        (r"\@home,away", {"@home": ["@home"], "away": ["away"]}),
        (r"C:\dos,D:\\net", {"C:\\dos": ["C:\\dos"], "D:\\\\net": ["D:\\\\net"]}),
        ("up|down,left", {"up|down": ["up|down"], "left": ["left"]}),
        ("tea, ,coffee,", {"tea": ["tea"], "coffee": ["coffee"]}),
        ("[x],[y]", {"[x]": ["[x]"], "[y]": ["[y]"]}),
    ],
)
def test_a_backslash_makes_text_of_a_sign_and_is_one_everywhere_else(said: str, expected: dict[str, list[str]]) -> None:
    assert words(said) == expected
    assert read_labels(said).reasons == ()


@pytest.mark.parametrize(
    ("said", "expected", "told"),
    [
        ("茶、咖啡", ["茶", "咖啡"], "--labels: `、` taken as the separator of 2 labels, for there is no comma"),
        ("tea; coffee;milk", ["tea", "coffee", "milk"], "`;` taken as the separator of 3 labels"),
        ("热=烫；冷=凉|冰", ["热", "冷"], "`；` taken as the separator of 2 labels"),
        ("tea\ncoffee\n", ["tea", "coffee"], "a line break taken as the separator of 2 labels"),
        ("热＝烫，冷＝凉", ["热", "冷"], "--labels: `＝` taken as `=`"),
        ("热=烫｜灼,冷=凉", ["热", "冷"], "--labels: `｜` taken as `|`"),
    ],
)
def test_a_sign_taken_for_another_is_told(said: str, expected: list[str], told: str) -> None:
    found = read_labels(said)
    assert list(found.verbalizer.labels) == expected
    assert len(found.reasons) == 1
    assert told in found.reasons[0]


def test_full_width_signs_part_labels_and_words_alike() -> None:
    assert words("热＝烫｜灼；冷＝凉") == {"热": ["烫", "灼"], "冷": ["凉"]}


@pytest.mark.parametrize("said", ["tea；green,coffee", "tea、black，coffee", "a;b,c;d", "热＝烫,冷=凉", "a｜b,c|d"])
def test_other_signs_beside_commas_are_text(said: str) -> None:
    found = read_labels(said)
    assert len(found.verbalizer.labels) == 2
    assert found.reasons == ()


@pytest.mark.parametrize("said", ["tea、coffee；milk", "热=烫、灼", "热=烫、灼；冷=凉", "tea;coffee、milk"])
def test_signs_that_may_mean_labels_or_words_are_refused_with_what_to_write(said: str) -> None:
    assert "may separate labels or words; write a,b or a=word1|word2,b=word3" in complaint(said)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("tea,coffee,tea", "--labels: the label 'tea' stands twice; give each label once"),
        ("=hot,cold", "--labels: a label is empty; give each label a name"),
        ("tea", "--labels: 1 label; a choice needs at least two"),
        (",", "--labels: 0 labels; a choice needs at least two"),
        ("tea=,coffee", "--labels: labels: the label 'tea' has no word"),
        ("setup.cfg", "--labels: one label, and it is the name of a file; to read the file: @setup.cfg"),
    ],
)
def test_labels_that_are_no_choice_are_one_line(
    said: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "setup.cfg").write_text("a\nb\n")
    monkeypatch.chdir(tmp_path)
    assert complaint(said).startswith(told)


# ------------------------------------------------------------------ JSON


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('["red, white", "blue=1"]', {"red, white": ["red, white"], "blue=1": ["blue=1"]}),
        (' {"hot": ["a,b", "c|d"], "cold": "e"} ', {"hot": ["a,b", "c|d"], "cold": ["e"]}),
        ('{"hot": {"x": 0.5, "y": 2}, "cold": "e"}', {"hot": ["x", "y"], "cold": ["e"]}),
        (json.dumps(["😀", "é"]), {"😀": ["😀"], "é": ["é"]}),
        ("[1.50, 2]", {"1.50": ["1.50"], "2": ["2"]}),
        ("[tea, coffee]", {"tea": ["tea"], "coffee": ["coffee"]}),  # what a shell leaves of ["tea", "coffee"]
        ("{hot: [yes, on], cold: no}", {"hot": ["yes", "on"], "cold": ["no"]}),
    ],
)
def test_labels_may_be_json_and_then_commas_are_text(said: str, expected: dict[str, list[str]]) -> None:
    assert words(said) == expected


def test_weights_of_words_may_be_said_as_json() -> None:
    found = read_labels('{"hot": {"x": 0.5, "y": 2}, "cold": "e"}').verbalizer
    assert found.labels["hot"] == {"x": 0.5, "y": 2.0}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('["tea", "coffee"', "--labels: not valid JSON: "),
        ('["tea"，"coffee"]', "--labels: not valid JSON: "),
        ('{"tea": "a", "tea": "b"}', "--labels: the label 'tea' stands twice"),
        ('["tea", "tea", "coffee"]', "--labels: the label 'tea' stands twice"),
        ('["tea", null]', "--labels: a label is null, not text"),
        ('["tea", ["coffee"]]', '--labels: a label is ["coffee"], not text'),
        ('["tea", " "]', "--labels: a label is empty"),
        ('{"tea": null, "coffee": "a"}', "--labels: the label 'tea' has no word"),
        ('["tea"]', "--labels: 1 label; a choice needs at least two"),
        ('{"labels": {"a": "x", "b": "y"}}', "--labels: this is a whole verbalizer; name it with --verbalizer FILE"),
        ('["' + "[" * 100_000, "--labels: not valid JSON"),
        ("[" * 100_000 + "]" * 100_000, "--labels: "),
    ],
)
def test_json_that_is_no_choice_is_one_line(said: str, told: str) -> None:
    assert complaint(said).startswith(told)


def test_a_label_of_a_list_that_stands_twice_is_refused_from_python_too() -> None:
    with pytest.raises(OptionError, match="the label 'tea' stands twice"):
        read_labels(["tea", "coffee", "tea"])


# ------------------------------------------------------------------ files


def said_in(path: Path, data: str | bytes) -> str:
    return f"@{put(path, data)}"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("labels.txt", "tea, green\n\n  coffee=bean|cup \n"),
        ("labels.txt", b"\xef\xbb\xbftea, green\r\ncoffee=bean|cup"),
        ("labels", "tea, green\rcoffee=bean|cup\r"),
        ("labels.json", '{"tea, green": "tea, green", "coffee": ["bean", "cup"]}'),
        ("labels.yaml", "tea, green: 'tea, green'\ncoffee: [bean, cup]\n"),
    ],
)
def test_a_file_holds_a_label_a_line_or_json_or_yaml(name: str, data: str | bytes, tmp_path: Path) -> None:
    assert words(said_in(tmp_path / name, data)) == {"tea, green": ["tea, green"], "coffee": ["bean", "cup"]}


@pytest.mark.parametrize(("name", "data"), [("l.json", '["no", "1"]'), ("l.yml", "- no\n- 1\n"), ("l", "no\n1\n")])
def test_a_list_in_a_file_is_text_throughout(name: str, data: str, tmp_path: Path) -> None:
    assert words(said_in(tmp_path / name, data)) == {"no": ["no"], "1": ["1"]}


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("l.txt", "tea\ncoffee\n\ntea\n", "l.txt:4: the label 'tea' stands twice, first in "),
        ("l.txt", "tea\n=cup\n", "l.txt:2: a label is empty"),
        ("l.txt", "tea\n", "l.txt: 1 label; a choice needs at least two; write one label a line"),
        ("l.txt", "", "l.txt: 0 labels"),
        ("l.txt", "tea,coffee,milk\n", "l.txt: 1 label"),
        ("l.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\nx", "l.txt: not UTF-8 text (byte 1); save it as UTF-8"),
        ("l.txt", b"tea\n\0\0\0\n", "l.txt: "),
        ("l.txt", "茶\n咖啡\n".encode("utf-16"), "l.txt: not UTF-8 text"),
        ("l.json", "[1, 2", "l.json:1: not valid JSON: "),
        ("l.json", '{"tea": 1,\n"tea": 2}', "l.json: the label 'tea' stands twice"),
        ("l.json", '"tea"', "l.json: neither a list of labels nor labels with their words"),
        ("l.yaml", "tea: a\ntea: b\n", "l.yaml:2: the key 'tea' stands here twice"),
        ("l.yaml", "tea: {x: heavy}\ncoffee: b\n", "l.yaml:1: labels: "),
        ("l.yaml", "labels: {a: x, b: y}\n", "l.yaml: this is a whole verbalizer; name it with --verbalizer FILE"),
        ("l.yaml", "", "l.yaml: neither a list of labels nor labels with their words"),
    ],
)
def test_a_file_without_labels_is_one_line_with_its_place(
    name: str, data: str | bytes, told: str, tmp_path: Path
) -> None:
    assert complaint(said_in(tmp_path / name, data)).removeprefix(f"{tmp_path}/").startswith(told)


@pytest.mark.parametrize("name", ["gone.txt", "", "x\0", "n" * 5000, "."])
def test_a_file_that_cannot_be_read_is_one_line_that_says_how_to_write_the_sign(name: str) -> None:
    with pytest.raises(InputError) as caught:
        read_labels(f"@{name}")
    assert "cannot be read" in str(caught.value)
    assert r"a label that begins with @ is written \@" in str(caught.value)


def test_a_file_without_end_is_given_up() -> None:
    assert complaint("@/dev/zero") == f"/dev/zero: larger than {labels.LARGEST:,} bytes; is it the right file?"


# ------------------------------------------------------------------ on the way


def test_labels_from_a_file_are_scored_and_notes_go_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "r.jsonl", ROWS)
    named = said_in(tmp_path / "l.txt", "home\nmoney, and markets＝money\n")
    assert fake(path, "-t", "{text} {mask}", "--labels", named, "-o", str(tmp_path / "o.jsonl")) == 0
    assert set(read_rows(tmp_path / "o.jsonl")[0]["scores"]) == {"home", "money, and markets＝money"}
    assert fake(path, "-t", "{text} {mask}", "--labels", "home；garden", "--ignore-labels") == 0
    err = capsys.readouterr().err
    assert err.count("note: --labels: `；` taken as the separator of 2 labels") == 1
    assert fake(path, "--labels", "home；garden", "--ignore-labels") == 0
    assert "note: --labels: `；` taken" in capsys.readouterr().err
    assert fake(path, "--labels", "home；garden", "--ignore-labels", "-q") == 0
    assert "note" not in capsys.readouterr().err


def test_the_same_strings_work_from_python(tmp_path: Path) -> None:
    for said in ('["tea", "milk, cold"]', said_in(tmp_path / "l.txt", "tea\nmilk, cold\n"), r"tea,milk\, cold"):
        classifier = Classifier.load("{text} {mask}", labels=said, scorer="fake")
        assert classifier.task.labels == ("tea", "milk, cold")


def test_new_and_preview_take_and_tell_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "v.yaml"
    assert run_command(["verbalizers", "new", str(path), "--labels", "热；冷"]) == 0
    assert "`；` taken as the separator" in capsys.readouterr().err
    assert run_command(["templates", "preview", "{text} {mask}", "x", "--labels", "热；冷"]) == 0
    out, err = capsys.readouterr()
    assert "`；` taken as the separator" in err
    assert "热, 冷" in out


# ------------------------------------------------------------------ numbers with names


@pytest.mark.parametrize(
    "said",
    [
        "0:bad=差|坏,1:so so=一般,2:good=好",
        "0：bad=差|坏，1：so so=一般，2：good=好",
        '{"0:bad": ["差", "坏"], "1: so so": "一般", "2:good": ["好"]}',
        "{0:bad: [差, 坏], 1:so so: 一般, 2:good: [好]}",
    ],
)
def test_numbers_before_all_labels_are_how_the_rows_call_them(said: str) -> None:
    found = read_labels(said)
    assert words(said) == {"bad": ["差", "坏"], "so so": ["一般"], "good": ["好"]}
    golds = [found.verbalizer.gold_label(Row({"label": value}), "label")[0] for value in (0, "1", 2.0, "GOOD", 3)]
    assert golds == ["bad", "so so", "good", "good", None]
    assert found.reasons[-1].endswith("the numbers are the rows' own: 0 is bad, 1 is so so, 2 is good")
    assert not found.bare


def test_several_numbers_may_lead_to_one_label_and_negative_ones_count() -> None:
    found = read_labels("-2:low,-1:low,0:middle,+1:high").verbalizer
    assert found.names == ("low", "middle", "high")
    assert found.labels["low"] == {"low": 1.0}
    golds = [found.gold_label(Row({"label": value}), "label")[0] for value in (-2, -1, 0, 1)]
    assert golds == ["low", "low", "middle", "high"]
    found = read_labels({"1:x": ["a"], "2:x": {"b": 2.0}, "3:y": "c"}).verbalizer
    assert found.labels == {"x": {"a": 1.0, "b": 2.0}, "y": {"c": 1.0}}


@pytest.mark.parametrize("said", ["10:30,11:45", "0:low,high", r"0\:low,1\:high", "Re: one,Re: two"])
def test_a_colon_in_labels_that_are_not_all_numbered_is_text(said: str) -> None:
    found = read_labels(said)
    assert list(found.verbalizer.names) == said.replace("\\", "").split(",")
    assert found.reasons == ()
    assert found.bare


def test_a_number_that_stands_twice_is_refused() -> None:
    with pytest.raises(OptionError, match="the number 01 stands twice"):
        read_labels("1:a,01:b,2:c")


def test_labels_that_differ_in_case_only_are_one_and_told() -> None:
    found = read_labels("Sport,SPORT,news")
    assert words("Sport,SPORT,news") == {"Sport": ["Sport"], "news": ["news"]}
    assert found.reasons == ("--labels: 'Sport' and 'SPORT' are one label, 'Sport'",)
    assert words("a=x,A=y,b=z") == {"a": ["x", "y"], "b": ["z"]}
    with pytest.raises(OptionError, match="1 label; a choice needs at least two"):
        read_labels("yes,YES")


@pytest.mark.parametrize(
    "said",
    [["0:bad=差|糟", "1:good=好"], {"0": "bad=差|糟", "1": "good=好"}, {0: "bad=差|糟", 1: "good=好"}],
)
def test_a_list_or_mapping_may_have_numbers_names_and_words_too(said: Any) -> None:
    found = read_labels(said)
    assert words(said) == {"bad": ["差", "糟"], "good": ["好"]}
    assert found.verbalizer.gold_label(Row({"label": 1}), "label")[0] == "good"


def test_a_number_with_a_word_may_be_a_number_with_a_name() -> None:
    first, second = read_labels("0=negative,1=positive").readings()
    assert first.verbalizer.names == ("0", "1")
    assert (second.verbalizer.names, second.bare) == (("negative", "positive"), True)
    assert second.verbalizer.gold_label(Row({"label": 0}), "label")[0] == "negative"
    assert len(list(read_labels("0=a|b,1=c").readings())) == 1
    assert len(list(read_labels("a=x,b=y").readings())) == 1
