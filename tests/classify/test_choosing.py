"""What is chosen when little is said, and how it is told."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers import fake, read_rows, write_rows

from promptshot import Classifier, RowError, Template
from promptshot.classify.carried import labels_of
from promptshot.classify.recipe import Recipe
from promptshot.cli import run_command
from promptshot.errors import OptionError, PromptshotError, TemplateError
from promptshot.prompts import inline, library
from promptshot.prompts.labels import verbalizer_of_labels
from promptshot.prompts.language import language_of
from promptshot.rows.row import Row
from promptshot.scorers.fake import FakeScorer
from promptshot.scoring import ModelOptions
from promptshot.shelf import scorer_of

ZH = [{"text": "房间干净", "label": "回头客"}, {"text": "又吵又脏", "label": "过路客"}]


# ------------------------------------------------------------------ the parts


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("体育,财经", {"体育": ["体育"], "财经": ["财经"]}),
        ("体育，财经", {"体育": ["体育"], "财经": ["财经"]}),
        ("a=x|y, b=z", {"a": ["x", "y"], "b": ["z"]}),
        (["a", "b"], {"a": ["a"], "b": ["b"]}),
        ({"a": ["x"], "b": {"y": 2.0}}, {"a": ["x"], "b": ["y"]}),
    ],
)
def test_labels_are_said_in_one_string_a_list_or_a_dict(said: Any, expected: dict[str, list[str]]) -> None:
    assert {label: list(words) for label, words in verbalizer_of_labels(said).labels.items()} == expected


@pytest.mark.parametrize("said", ["a", "a,a", "a=x,b=x", "a=,b=y", ""])
def test_labels_that_cannot_be_told_apart_are_an_error(said: str) -> None:
    with pytest.raises(PromptshotError):
        verbalizer_of_labels(said)


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        (["房间干净"], "zh"),
        (["a clean room"], "en"),
        (["iPhone 很好用，推荐"], "zh"),
        (["I love 北京"], "zh"),
        ([""], "en"),
    ],
)
def test_the_language_is_read_from_the_script(texts: list[str], language: str) -> None:
    assert language_of(texts) == language


def test_the_scorer_is_read_from_the_models_architecture(tmp_path: Path) -> None:
    assert scorer_of("builtin:bert") == "mlm"
    assert scorer_of("builtin:gpt2") == "causal"
    assert scorer_of("some/hub-name") is None
    for architecture, scorer in [("BertForNextSentencePrediction", "nsp"), ("LlamaForCausalLM", "causal"), ("X", None)]:
        (tmp_path / "config.json").write_text(json.dumps({"architectures": [architecture]}))
        assert scorer_of(str(tmp_path)) == scorer
    for said in ("[]", "[" * 100_000, '{"architectures": 5}', '{"architectures": [[]]}', " " * (5 << 20) + "{}"):
        (tmp_path / "config.json").write_text(said)
        assert scorer_of(str(tmp_path)) is None
    (tmp_path / "config.json").unlink()
    os.mkfifo(tmp_path / "config.json")
    assert scorer_of(str(tmp_path)) is None  # and nobody waits for it


def test_the_rows_labels_are_collected_up_to_a_limit() -> None:
    values = ("b", "a", 1, None, " ", ["x"], [], ["y", "z"])
    assert labels_of(Row({"label": value}) for value in values).labels == ["1", "a", "b", "x"]
    with pytest.raises(OptionError, match="more than 200 different labels in column 'label'"):
        labels_of(Row({"label": str(i)}) for i in range(300))


def test_a_label_found_in_the_rows_is_spelled_as_gold_is_read() -> None:
    rows = [Row({"label": value}) for value in (1.0, 1, True)]
    labels = labels_of(rows).labels
    assert labels == ["1", "true"]
    verbalizer = verbalizer_of_labels(labels)
    assert [verbalizer.gold_label(row, "label")[0] for row in rows] == ["1", "1", "true"]


def test_labels_that_differ_in_case_only_are_one_in_the_usual_spelling_and_told() -> None:
    values = ["Billing", "billing ", "billing", "Technik", "账单", "BILLING"]
    found = labels_of(Row({"label": value}) for value in values)
    assert found.labels == ["Technik", "billing", "账单"]
    (told,) = found.reasons
    assert told == "labels that differ in case only are one: Billing and billing and BILLING"
    assert labels_of(Row({"label": value}) for value in "aba").reasons == ()


# ------------------------------------------------------------------ without a template


def test_labels_that_the_shelf_knows_choose_its_template(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"sentence": "房间干净", "label": "Positive"}, {"sentence": "又吵又脏", "label": "Negative"}]
    assert fake(write_rows(tmp_path / "r.jsonl", rows)) == 0
    out, err = capsys.readouterr()
    assert "template zh-sentiment-words-mlm: the rows' labels (Negative, Positive) fit zh-judgement" in err
    assert json.loads(out.splitlines()[0])["prediction"] in ("positive", "negative")


def test_other_labels_are_their_own_words_in_the_general_template(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fake(write_rows(tmp_path / "r.jsonl", ZH)) == 0
    out, err = capsys.readouterr()
    assert "labels from the rows: 回头客, 过路客" in err
    assert "template zh-topic-mlm, the general one for Chinese texts" in err
    assert set(json.loads(out.splitlines()[0])["word_scores"]) == {"回头客", "过路客"}


def test_labels_on_the_command_line_need_no_labelled_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_rows(tmp_path / "r.jsonl", [{"text": "The match ended in a draw."}])
    assert fake(path, "--labels", "sport=sport|football,money=money") == 0
    out, err = capsys.readouterr()
    assert "en-topic-mlm" in err
    assert set(json.loads(out)["word_scores"]) == {"sport", "football", "money"}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{"text": "a", "label": 0}, {"text": "b", "label": 1}], "say what they mean: --labels '0:NAME,1:NAME'"),
        ([{"text": "a"}], "none were said, and the rows carry none; say --labels a,b,c"),
        ([{"text": "a", "label": "x"}], "only one label, 'x'"),
        ([{"text": str(i), "label": f"l{i}"} for i in range(201)], "more than 200 different labels"),
        ([{"text_a": "a", "text_b": "b", "label": c} for c in "xy"], "the rows are pairs of texts"),
        ([{"other": "a", "label": c} for c in "xy"], "no field 'text'; the row has: other, label"),
        ([[1]], "no good row to look at"),
    ],
)
def test_where_nothing_can_be_chosen_one_line_says_what_to_do(
    rows: list[Any], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fake(write_rows(tmp_path / "r.jsonl", rows)) == 1
    err = capsys.readouterr().err
    assert expected in err
    assert err.splitlines()[-1].startswith("error: ")


def test_a_fallback_says_that_it_is_one_and_how_to_do_better(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "r.jsonl", [{"text": "Where is my parcel?", "label": c} for c in ("parcel", "bill")])
    assert fake(path) == 0
    err = capsys.readouterr().err
    assert "template en-topic-mlm, the general one for English texts: no template of the shelf is made for these" in err
    assert "-t NAME (see: promptshot templates list)" in err
    assert fake(path, "--labels", "joy,anger", "--ignore-labels") == 0
    assert "for such labels there is also -t en-emotion-mlm" in capsys.readouterr().err
    partly = write_rows(tmp_path / "p.jsonl", [{"text": "x", "label": label} for label in ("books", "toys", "sports")])
    assert fake(partly) == 0
    assert "for such labels there is also -t en-product-mlm" in capsys.readouterr().err


def test_a_general_template_that_is_named_takes_the_rows_labels_as_one_that_is_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "r.jsonl", ZH)
    assert fake(path) == 0
    chosen = capsys.readouterr().out
    assert fake(path, "-t", "zh-topic-mlm") == 0
    out, err = capsys.readouterr()
    assert out == chosen
    assert "note: labels from the rows (回头客, 过路客), for zh-topic knows none of them\n" in err
    assert run_command(["compare", path, "--scorer", "fake", "-t", "zh-topic-nsp", "-t", "zh-topic-mlm"]) == 0
    assert capsys.readouterr().err.count("labels from the rows") == 1


@pytest.mark.parametrize(
    ("rows", "flags", "code"),
    [
        ([{"text": "x", "label": label} for label in ("sports", "chess")], [], 0),  # one of them it knows
        ([{"text": "x", "label": label} for label in ("0", "1")], [], 1),
        ([{"text": "x", "label": "chess"}], [], 1),
        ([{"text": "x", "label": f"l{i}"} for i in range(201)], [], 1),
        ([{"text": "x", "label": label} for label in ("chess", "go")], ["--ignore-labels"], 0),
        ([{"text": "x", "label": label} for label in ("chess", "go")], ["--labels", "chess,go,bridge"], 0),
        ([{"text": "x", "label": label} for label in ("sports", "food")], ["--verbalizer", "en-topic"], 0),
        ([{"text": "x"}], [], 0),
    ],
)
def test_a_general_template_keeps_its_own_labels_or_those_that_were_said(
    rows: list[Any], flags: list[str], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fake(write_rows(tmp_path / "r.jsonl", rows), "-t", "en-topic-causal", *flags) == code
    out, err = capsys.readouterr()
    assert "labels from the rows" not in err
    found = set(json.loads(out.splitlines()[0])["scores"]) if not code else set()
    known = {"chess", "go", "bridge"} if "--labels" in flags else set(library.verbalizer("en-topic").names)
    assert found == known or code


@pytest.mark.parametrize(
    ("text", "template", "expected"),
    [
        ("The soup was cold.", "zh-emotion-mlm", "are not; in English there is: -t en-emotion-mlm"),
        ("汤是凉的。", "en-emotion-mlm", "the rows' texts are Chinese; in Chinese there is: -t zh-emotion-mlm"),
        ("汤是凉的。", "en-sentiment5-mlm", "; in Chinese there is: promptshot templates list --language zh"),
        ("The soup was cold.", "{text}总之很{mask}。", "the template in the command is in Chinese"),
        ("The soup was hot.", "zh-sentiment-words-mlm", "there is: promptshot templates list --language en"),
        ("The soup was cold.", "{mask}。{text}", ""),
        ("汤是凉的。", "{text}总之很{mask}。", ""),
        ("123 456", "zh-emotion-mlm", ""),
    ],
)  # fmt: skip
def test_a_template_in_another_language_than_the_rows_is_told(
    text: str, template: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "r.jsonl", [{"text": text}])
    flags = ["--labels", "joy=好,anger=坏"] if "{" in template else []
    assert fake(path, "-t", template, *flags) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: the template ")]
    assert len(told) == bool(expected)
    assert not expected or expected in told[0]


def test_each_template_of_several_is_told_once_to_be_in_another_language(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(
        tmp_path / "r.jsonl", [{"text": "汤是凉的。", "label": "joy"}, {"text": "汤来了", "label": "anger"}]
    )
    flags = [part for name in ("zh-emotion-mlm", "en-emotion-nsp", "en-emotion-mlm") for part in ("-t", name)]
    for command in ("classify", "compare"):
        assert run_command([command, path, "--scorer", "fake", *flags, "--verbalizer", "zh-emotion"]) == 0
        err = capsys.readouterr().err
        assert [err.count(f"template {name} is in English") for name in flags[1::2]] == [0, 1, 1]


def test_the_choice_can_be_saved_and_used_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, saved = write_rows(tmp_path / "r.jsonl", ZH), tmp_path / "mine.yaml"
    assert fake(path, "--save-template", str(saved)) == 0
    first = capsys.readouterr().out
    assert "{mask}" in saved.read_text(encoding="utf-8")
    assert fake(path, "-t", str(saved)) == 0
    assert capsys.readouterr().out == first
    assert fake(path, "--save-template", str(saved)) == 0, "it says the same already"
    assert fake(path, "-t", "zh-sentiment-good-mlm", "--ignore-labels", "--save-template", str(saved)) == 1
    assert "exists already" in capsys.readouterr().err
    assert fake(path, "-t", "zh-sentiment-mlm", "--ignore-labels", "--save-template", str(tmp_path / "s.yaml")) == 0
    kept = library.verbalizer_of(Template.load(tmp_path / "s.yaml"))
    assert kept.labels == library.verbalizer("zh-satisfied").labels
    assert kept.gold == library.verbalizer("zh-satisfied").gold


# ------------------------------------------------------------------ templates said in other ways


def test_a_template_may_be_written_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_rows(tmp_path / "r.jsonl", ZH)
    assert fake(path, "-t", "{mask}满意。{text}", "--labels", "回头客=很,过路客=不") == 0
    assert set(json.loads(capsys.readouterr().out.splitlines()[0])["word_scores"]) == {"很", "不"}
    assert fake(path, "-t", "{text}，{mask}") == 0
    assert set(json.loads(capsys.readouterr().out.splitlines()[0])["word_scores"]) == {"回头客", "过路客"}
    assert run_command(["classify", path, "-t", "{mask} | {text}", "--scorer", "nsp", "--dry-run"]) == 0
    assert "____\n  房间干净" in capsys.readouterr().err
    assert fake(path, "-t", "{mask {text}") == 1
    assert "neither a field nor the blank" in capsys.readouterr().err


def test_another_verbalizer_may_be_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_rows(tmp_path / "r.jsonl", [{"text": "好"}])
    assert fake(path, "-t", "zh-sentiment-mlm", "--verbalizer", "zh-good-bad") == 0
    assert "好" in json.loads(capsys.readouterr().out)["word_scores"]
    assert fake(path, "-t", "zh-sentiment-mlm", "--verbalizer", "zh-good-bad", "--labels", "a,b") == 1
    assert "leave one out" in capsys.readouterr().err


def test_a_template_is_not_read_by_a_scorer_it_was_not_made_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "r.jsonl", [{"text": "好"}])
    assert run_command(["classify", path, "-t", "zh-sentiment-mlm", "--scorer", "causal"]) == 1
    assert "is for scorer mlm, not causal" in capsys.readouterr().err


# ------------------------------------------------------------------ ensembles


def test_an_ensemble_is_the_mean_of_log_probabilities(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import math

    path = write_rows(tmp_path / "r.jsonl", [{"text": "房间干净", "label": "positive"}])
    names = ["zh-sentiment-mlm", "zh-sentiment-nsp"]
    alone = []
    for name in names:
        assert fake(path, "-t", name) == 0
        alone.append(json.loads(capsys.readouterr().out)["probabilities"])
    assert fake(path, "-t", names[0], "-t", names[1]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    for label, score in found["scores"].items():
        assert score == pytest.approx(sum(math.log(p[label]) for p in alone) / 2)
    assert "zh-sentiment-mlm + zh-sentiment-nsp" in err
    assert sorted(found["word_scores"]) == sorted(["1: 很", "1: 不", "2: 好", "2: 差"])


def test_an_ensemble_needs_one_set_of_labels_and_probabilities(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "r.jsonl", [{"text": "好", "text_a": "a", "text_b": "b"}])
    assert fake(path, "-t", "zh-sentiment-mlm", "-t", "zh-news-mlm") == 1
    assert "different labels" in capsys.readouterr().err
    assert fake(path, "-t", "zh-same-mlm", "-t", "zh-same-nsp") == 1
    assert "ranks pairs" in capsys.readouterr().err
    assert fake(path, "-t", "zh-sentiment-mlm", "-t", "zh-sentiment-nsp", "--save-template", "x.yaml") == 1
    bad = write_rows(tmp_path / "bad.jsonl", [{"text": ""}, {"text": "好"}])
    assert fake(bad, "-t", "zh-sentiment-mlm", "-t", "zh-sentiment-nsp") == 3


def test_an_ensemble_loads_each_scorer_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    def load(name: str, options: ModelOptions, *_: object) -> FakeScorer:
        loaded.append(name)
        return FakeScorer(options)

    monkeypatch.setattr("promptshot.scorers.load", load)
    templates = [library.template(name) for name in ("zh-sentiment-mlm", "zh-sentiment-good-mlm", "zh-sentiment-nsp")]
    first, *others = (Recipe.of(t, library.verbalizer_of(t), t.spec.scorer) for t in templates)
    Classifier.of(replace(first, others=tuple(others)))
    assert loaded == ["mlm", "nsp"]


# ------------------------------------------------------------------ on a terminal


def test_on_a_terminal_ten_examples_stand_for_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": f"第{i}条", "label": "positive"} for i in range(30)]
    path = write_rows(tmp_path / "r.jsonl", rows)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert fake(path, "-t", "zh-sentiment-mlm") == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "第9条" in err
    assert "第10条" not in err
    assert fake(path, "-t", "zh-sentiment-mlm", "-o", "-") == 0
    assert len(capsys.readouterr().out.splitlines()) == 30


# ------------------------------------------------------------------ twelve files, the shortest command each


def shapes(folder: Path) -> dict[str, tuple[list[str], int]]:
    """Small files in different shapes: what to say of each, and how many rows come out."""
    import gzip

    put = folder.joinpath
    put("chinese.csv").write_text("文本,标签\n房间干净,positive\n又吵又脏,negative\n", encoding="utf-8-sig")
    put("plain.tsv").write_text("sentence\tlabel\nA fine film.\tpositive\nA dull film.\tnegative\n")
    put("zipped.jsonl.gz").write_bytes(gzip.compress(b'{"text": "A fine film.", "label": "positive"}\n' * 3))
    put("array.json").write_text(json.dumps([{"content": "房间干净", "label": "好"}, {"content": "脏", "label": "坏"}]))
    write_rows(put("nested.jsonl"), [{"data": {"body": "A fine film."}, "label": "positive"}])
    write_rows(put("unlabelled.jsonl"), [{"text": "房间干净"}, {"text": "脏"}])
    write_rows(put("numbers.jsonl"), [{"text": "A fine film.", "label": 1}, {"text": "A dull film.", "label": 0}])
    names = sorted(library.verbalizer("zh-app").names)
    write_rows(put("many.jsonl"), [{"sentence": f"这款应用很好用{i}", "label": name} for i, name in enumerate(names)])
    write_rows(put("pairs.jsonl"), [{"sentence1": "几点开门", "sentence2": "什么时候营业", "label": "1"}] * 2)
    write_rows(put("one.jsonl"), [{"text": "A fine film.", "label": "positive"}])
    write_rows(put("twice.jsonl"), [{"text": "房间干净", "label": "positive"}] * 4)
    write_rows(
        put("emoji.jsonl"), [{"text": "ｱｲｳ 👍🏽 ＯＫ！", "label": "positive"}, {"text": "😡", "label": "negative"}]
    )
    return {
        "chinese.csv": ([], 2),
        "plain.tsv": ([], 2),
        "zipped.jsonl.gz": (["-t", "en-sentiment-mlm"], 3),
        "array.json": ([], 2),
        "nested.jsonl": (["-t", "en-sentiment-mlm", "--text-field", "data.body"], 1),
        "unlabelled.jsonl": (["--labels", "好评,差评"], 2),
        "numbers.jsonl": (["--labels", "0=bad,1=good"], 2),
        "many.jsonl": ([], 119),
        "pairs.jsonl": (["-t", "zh-same-nsp"], 2),
        "one.jsonl": (["-t", "en-sentiment-mlm"], 1),
        "twice.jsonl": (["-t", "zh-sentiment-mlm"], 4),
        "emoji.jsonl": ([], 2),
    }


@pytest.mark.torch
def test_twelve_shapes_of_files_are_each_classified_by_a_short_command(tmp_path: Path) -> None:
    for name, (arguments, rows) in shapes(tmp_path).items():
        out = tmp_path / f"{name}.out.jsonl"
        assert run_command(["classify", str(tmp_path / name), *arguments, "-o", str(out)]) == 0, name
        assert len(read_rows(out)) == rows, name


# ------------------------------------------------------------------ from Python


def test_four_lines_of_python_classify_texts() -> None:
    classifier = Classifier.load("zh-sentiment-mlm", scorer="fake")
    found = list(classifier.predict(["房间干净", "又吵又脏"]))
    assert [p.row["text"] for p in found] == ["房间干净", "又吵又脏"]
    assert all(p.label in ("positive", "negative") and p.probability for p in found)


def test_rows_may_be_dicts_from_any_iterator_or_a_frames_records() -> None:
    classifier = Classifier.load("{mask}满意。{text}", labels="a=很,b=不", scorer="fake")
    rows = [{"sentence": "好", "label": "a"}, Row({"text": "坏"})]
    assert [p.gold for p in classifier.predict(iter(rows))] == ["a", None]
    other = Classifier.load("zh-sentiment-mlm", verbalizer="zh-good-bad", scorer="fake")
    assert "好" in next(other.predict(["x"])).word_scores
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": ["好", "坏"]})
    assert len(list(classifier.predict(frame.to_dict("records")))) == 2


def test_a_bad_row_in_python_is_an_error_that_names_it() -> None:
    classifier = Classifier.load("zh-sentiment-mlm", scorer="fake")
    with pytest.raises(RowError, match="row 2: field 'text' is empty"):
        list(classifier.predict(["好", " "]))
    pairs = Classifier.load("zh-same-mlm", scorer="fake")
    with pytest.raises(RowError, match="row 1: a text, and the template needs text_a and text_b"):
        list(pairs.predict(["好"]))


# ------------------------------------------------------------------ inline texts as typed in a shell


def test_a_typed_line_break_is_one_in_classify_compare_and_preview(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, typed = write_rows(tmp_path / "r.jsonl", ZH), r"评论：{text}\n结论：{mask}"
    assert fake(path, "-t", typed, "--save-template", str(tmp_path / "s.yaml")) == 0
    assert capsys.readouterr().err.count(r"note: in the text of a template: \n taken as a line break") == 1
    assert library.template(str(tmp_path / "s.yaml")).spec.text == "评论：{text}\n结论：{mask}"
    assert fake(path, "-t", typed, "-q") == 0
    assert "note" not in capsys.readouterr().err
    assert run_command(["compare", path, "-t", typed, "-t", typed + "！", "--scorer", "fake"]) == 0
    assert capsys.readouterr().err.count(r"\n taken as a line break") == 1
    assert run_command(["templates", "preview", typed, "房间干净", "--labels", "好,坏"]) == 0
    out, err = capsys.readouterr()
    assert "  评论：房间干净\n  结论：____\n" in out
    assert r"\n taken as a line break" in err


def test_a_backslash_in_a_file_of_options_or_a_suite_stays_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "r.jsonl", ZH)
    (tmp_path / "c.yaml").write_text("template: '{text}\\n{mask}'\nsave-template: " + str(tmp_path / "s.yaml"))
    assert fake(path, "-c", str(tmp_path / "c.yaml")) == 0
    assert library.template(str(tmp_path / "s.yaml")).spec.text == r"{text}\n{mask}"
    (tmp_path / "suite.yaml").write_text("data: [r.jsonl]\ntemplates: ['{text}\\n{mask}']\n")
    out = str(tmp_path / "board.json")
    assert run_command(["compare", "--suite", str(tmp_path / "suite.yaml"), "--scorer", "fake", "-o", out]) == 0
    assert json.loads(Path(out).read_text())["candidates"][0]["name"] == r"{text}\n{mask}"
    assert "taken as" not in capsys.readouterr().err


def test_a_saved_template_reads_as_the_same_whatever_is_in_its_labels_and_its_text(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "r.jsonl", [{"text": "fine"}, {"text": "poor"}])
    labels = "good\x85one=fi\x7fne|x\u2029y,bad\u2028one=po\x9bor|\ufeff"
    for number, text in enumerate(["{mask}\x85\x85{text}", "\u2028{text} \x7f{mask}\ufeff", "{text}\n\n{mask} \x80"]):
        saved = tmp_path / f"{number}.yaml"
        assert fake(path, "-t", text, "--labels", labels, "--save-template", str(saved), "-q") == 0
        template = Template.load(saved)
        assert template.spec.text == text
        assert library.verbalizer_of(template).labels == verbalizer_of_labels(labels).labels


def test_a_saved_template_of_plain_texts_is_as_it_always_was(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "r.jsonl", [{"text": "好"}])
    saved = tmp_path / "s.yaml"
    assert (
        fake(path, "-t", "{mask}满意。\n{text}", "--labels", "好=很|挺,坏=不", "--save-template", str(saved), "-q") == 0
    )
    words = "verbalizer:\n  labels:\n    好:\n    - 很\n    - 挺\n    坏:\n    - 不\n"
    expected = "scorer: mlm\ntext: '{mask}满意。\n\n  {text}'\n" + words
    assert saved.read_text(encoding="utf-8") == expected


@pytest.mark.parametrize(
    ("said", "texts"),
    [
        ('["It is {mask} news.", "{text}"]', ["It is {mask} news.", "{text}"]),
        ("['这是{mask}新闻', '{text}']", ["这是{mask}新闻", "{text}"]),
        ("[ \"a \\\"b\\\" {mask}\", 'it''s {text}', ]", ['a "b" {mask}', "it's {text}"]),
        ('["a\n{mask}", "{text}"]', ["a\n{mask}", "{text}"]),
        ("[{text}] was {mask}", "[{text}] was {mask}"),
        ('["quoted"] {text} {mask}', '["quoted"] {text} {mask}'),
    ],
)
def test_an_inline_list_is_segments_for_every_scorer_and_other_brackets_are_text(said: str, texts: object) -> None:
    assert inline.template_of(said, "mlm", None).spec.text == texts
    if isinstance(texts, list):
        assert inline.template_of(said, "nsp", None).spec.text == texts
        with pytest.raises(TemplateError, match="causal reads one text"):
            inline.template_of(said, "causal", None)


def test_an_inline_list_of_another_length_says_so() -> None:
    with pytest.raises(TemplateError, match=r"3 segments; a list means two"):
        inline.template_of('["{mask}", "a", "{text}"]', "nsp", None)
