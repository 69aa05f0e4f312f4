"""What reports say beside the numbers: leaning to one label, one draw of demonstrations, numbers with their nouns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers import fake, read_rows, tally, write_rows

from promptshot.cli import run_command
from promptshot.errors import many


@pytest.mark.parametrize(
    ("given", "lean"),
    [
        ({("a", "a"): 22, ("b", "a"): 20, ("c", "a"): 18}, ("a", 60, 60, 22)),
        ({("a", "a"): 10, ("b", "a"): 8, ("b", "b"): 1}, ("a", 18, 19, 10)),
        ({("a", "a"): 17, ("b", "a"): 2}, None),  # nearly all are
        ({("a", "a"): 10, ("b", "a"): 3, ("b", "b"): 3}, None),  # not nearly all
        ({("a", "a"): 3, ("b", "a"): 4}, None),  # too few to say
        ({(None, "c"): 30}, ("c", 30, 30, None)),
        ({(None, "c"): 20, (None, "a"): 9}, None),
        ({(None, "c"): 30, ("a", "c"): 2}, ("c", 32, 32, None)),
    ],
)
def test_nearly_all_rows_under_one_label_lean_unless_they_are_so(given: Any, lean: Any) -> None:
    found = tally(given, "a", "b", "c").lean
    assert (found and (found.label, found.given, found.rows, found.gold)) == lean


@pytest.fixture
def one_sided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Rows of two labels, and a scorer that likes the first word whatever the text."""
    from promptshot.scorers.fake import FakeScorer
    from promptshot.scoring import Scored

    def score(_: FakeScorer, prompts: list[Any]) -> list[Scored]:
        return [Scored([0.0, *[-1.0] * (len(p.choices) - 1)], [1] * len(p.choices)) for p in prompts]

    monkeypatch.setattr(FakeScorer, "score", score)
    rows = [{"text": f"t{i}", "label": "ab"[i % 2]} for i in range(24)]
    return write_rows(tmp_path / "r.jsonl", rows)


def test_a_report_says_that_the_prompt_leans_and_what_to_try(
    one_sided: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = tmp_path / "s.json"
    assert fake(one_sided, "-t", "{text} {mask}", "--labels", "a,b", "--summary", str(summary)) == 0
    err = capsys.readouterr().err
    assert (
        "note: 24 of 24 rows were given 'a', and 12 are: the prompt leans to one label whatever the text says; try"
        in err
    )
    assert fake(one_sided, "-t", "{text} {mask}", "--labels", "a,b", "--ignore-labels") == 0
    assert "24 of 24 rows were given 'a', and they may not all be so" in capsys.readouterr().err
    assert run_command(["compare", one_sided, "-t", "{text} {mask}", "-t", "{mask} {text}", "--scorer", "fake"]) == 0
    assert "3 of 3 give nearly all rows one label, whatever the text says: " in capsys.readouterr().err


def test_a_report_with_demonstrations_says_k_where_from_and_that_it_is_one_draw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write_rows(tmp_path / "r.jsonl", [{"text": f"t{i}", "label": "ab"[i % 2]} for i in range(8)])
    demos = write_rows(tmp_path / "d.jsonl", [{"text": f"d{i}", "label": "ab"[i % 2]} for i in range(6)])
    summary = tmp_path / "s.json"
    said = ["-t", "en-topic-causal", "--labels", "a,b", "--demos", demos, "-k", "4", "--seed", "3"]
    assert fake(rows, *said, "--summary", str(summary)) == 0
    err = capsys.readouterr().err
    assert f"k=4, 4 demonstrations from {demos}" in err
    (line,) = (line for line in err.splitlines() if line.startswith("accuracy"))
    assert line.endswith("one draw (seed 3)")
    assert json.loads(summary.read_text())["recipe"]["demonstrations"] == {"path": demos, "k": 4, "seed": 3}
    assert fake(rows, *said[:4]) == 0
    assert "one draw" not in capsys.readouterr().err
    assert run_command(["compare", rows, *said, "-k", "0", "--scorer", "fake"]) == 0
    err = capsys.readouterr().err
    assert "one draw (seed 3)" in next(line for line in err.splitlines() if "the best here" in line)


def test_without_a_template_demonstrations_choose_a_causal_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write_rows(tmp_path / "r.jsonl", [{"text": f"t{i}", "label": "ab"[i % 2]} for i in range(4)])
    assert fake(rows, "--demos", rows, "-k", "2", "--dry-run") == 0
    assert "template en-topic-causal" in capsys.readouterr().err


def test_numbers_go_with_their_nouns() -> None:
    assert [many(n, "row") for n in (0, 1, 2, 2000)] == ["0 rows", "1 row", "2 rows", "2,000 rows"]
    assert many(1, "row was", "rows were") == "1 row was"


# ------------------------------------------------------------------ predictions as the rows spell their labels


@pytest.mark.parametrize(
    ("name", "labels", "said", "spelled"),
    [
        ("r.jsonl", [1, 0, 1], [], {1: "positive", 0: "negative"}),
        ("r.jsonl", [1, 1, 1], [], {1: "positive", 0: "negative"}),  # the number of the other is known
        ("r.jsonl", ["1", "0"], [], {"1": "positive", "0": "negative"}),
        ("r.jsonl", [1.0, 0.0], [], {1.0: "positive", 0.0: "negative"}),
        ("r.jsonl", ["Positive", "negative"], [], None),
        ("r.jsonl", ["Positive", "negative"], ["--spelling", "rows"], {"Positive": "positive", "negative": "negative"}),
        ("r.jsonl", [1, 0], ["--spelling", "template"], None),
        ("r.jsonl", [1, 0], ["--ignore-labels"], None),
        ("r.jsonl", [2, 3, 2], ["--labels", "2:positive,3:negative"], {2: "positive", 3: "negative"}),
        ("r.jsonl", [1, 2, 3], ["--labels", "1:negative,2:negative,3:positive"], None),  # two numbers of one label
    ],
)
def test_predictions_equal_the_rows_own_labels(
    name: str, labels: list[Any], said: list[str], spelled: dict[Any, str] | None, tmp_path: Path
) -> None:
    rows = write_rows(tmp_path / name, [{"text": f"文{i}", "label": label} for i, label in enumerate(labels * 20)])
    out = tmp_path / "o.jsonl"
    assert fake(rows, "-t", "zh-sentiment-mlm", "-q", "-o", str(out), *said) == 0
    found = read_rows(out)
    if spelled is None:
        assert {row["prediction"] for row in found} == {"positive", "negative"}
        assert not any("prediction_label" in row for row in found)
        return
    assert {(row["prediction"], row["prediction_label"]) for row in found} <= set(spelled.items())
    assert all(type(row["prediction"]) is type(labels[0]) for row in found)
    assert len({row["prediction"] for row in found}) == 2
    assert all(row["probabilities"][row["prediction_label"]] == row["probability"] for row in found)


def test_a_file_of_spelled_predictions_is_reported_alike_with_and_without_its_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write_rows(tmp_path / "r.jsonl", [{"text": f"文{i}", "label": i % 2} for i in range(40)])
    out, summary = tmp_path / "o.jsonl", tmp_path / "s.json"
    assert fake(rows, "-t", "zh-sentiment-mlm", "-q", "-o", str(out), "--summary", str(summary)) == 0
    accuracy = json.loads(summary.read_text())["accuracy"]
    for _ in range(2):
        assert run_command(["report", str(out), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["files"][0]["accuracy"] == accuracy
        (tmp_path / "o.jsonl.run.json").unlink(missing_ok=True)


def test_going_on_with_another_spelling_is_another_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = write_rows(tmp_path / "r.jsonl", [{"text": f"文{i}", "label": i % 2} for i in range(4)])
    said = [rows, "-t", "zh-sentiment-mlm", "-q", "-o", str(tmp_path / "o.jsonl")]
    assert fake(*said) == 0
    assert fake(*said, "--spelling", "template") == 1
    assert "spelling" in capsys.readouterr().err


# ------------------------------------------------------------------ labels


def test_labels_that_a_shelf_template_knows_are_asked_with_its_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write_rows(tmp_path / "r.jsonl", [{"text": f"很好吃{i}", "stars": 1 + i % 2} for i in range(4)])
    said = [rows, "--label-field", "stars", "--labels"]
    assert fake(*said, "1:negative,2:positive", "--dry-run") == 0
    err = capsys.readouterr().err
    assert "with its label words: the labels (negative, positive) fit zh-" in err
    assert fake(*said, "1:negative=糟,2:positive=赞", "--dry-run") == 0
    err = capsys.readouterr().err
    assert "with your label words" in err
    assert "糟" in err
    assert fake(*said, "1:negative=糟,2:positive=赞") == 0
    assert "4 rows in" in capsys.readouterr().err


def test_compare_takes_labels_and_falls_back_to_the_general_templates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write_rows(tmp_path / "r.jsonl", [{"text": f"t{i}", "label": i % 2} for i in range(6)])
    assert run_command(["compare", rows, "--labels", "0:parcels,1:money", "--scorer", "fake"]) == 0
    err = capsys.readouterr().err
    assert "no template of the shelf fits the labels (parcels, money): the general ones are asked" in err
    assert all(f"en-topic-{kind}" in err for kind in ("mlm", "nsp", "causal"))
    assert run_command(["compare", rows, "--labels", "0:negative,1:positive", "--scorer", "fake"]) == 0
    assert "templates of the shelf fit the labels: negative, positive" in capsys.readouterr().err
    assert run_command(["compare", rows, "--labels", "a,b", "--scorer", "fake"]) == 1
    err = capsys.readouterr().err
    assert "gold" not in err
    assert "say them as the rows do: --labels '0:NAME=WORD,1:NAME=WORD'" in err
    assert run_command(["compare", rows, "--labels", "a,b", "--verbalizer", "zh-same", "-t", "zh-same-mlm"]) == 1
    assert "--labels and --verbalizer both give label words" in capsys.readouterr().err


# ------------------------------------------------------------------ options from elsewhere


def test_paths_in_a_file_of_options_are_seen_from_it_and_columns_may_be_a_mapping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "job").mkdir()
    write_rows(tmp_path / "job" / "r.jsonl", [{"kopf": "k", "rest": "r", "urteil": "gut"}] * 3)
    (tmp_path / "job" / "t.yaml").write_text("scorer: mlm\ntext: '{x} {mask}'\n")
    (tmp_path / "job" / "labels.txt").write_text("gut\nmies\n")
    config = "files: r.jsonl\ntemplate: ./t.yaml\nlabels: '@labels.txt'\noutput: out.jsonl\n"
    (tmp_path / "job" / "c.yaml").write_text(config + "map: {x: [kopf, rest], label: urteil}\nscorer: fake\n")
    monkeypatch.chdir(tmp_path)
    assert run_command(["classify", "-c", "job/c.yaml", "-q"]) == 0
    assert len((tmp_path / "job" / "out.jsonl").read_text().splitlines()) == 3
    (tmp_path / "job" / "s.yaml").write_text(
        "data: r.jsonl\ntemplates: ./t.yaml\nlabels: '@labels.txt'\nlabel_field: urteil\n"
    )
    assert run_command(["compare", "--suite", "job/s.yaml", "--scorer", "fake", "-q", "--map", "x=kopf"]) == 0


def test_a_misspelt_variable_is_refused_as_a_misspelt_option_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write_rows(tmp_path / "r.jsonl", [{"text": "t", "label": "a"}])
    monkeypatch.setenv("PROMPTSHOT_SOMETHING_ELSE", "1")
    assert fake(rows, "-t", "{text} {mask}", "--labels", "a,b", "-q") == 0
    monkeypatch.setenv("PROMPTSHOT_LIMT", "5")
    assert fake(rows, "-t", "{text} {mask}", "--labels", "a,b", "-q") == 2
    assert "no option has the variable PROMPTSHOT_LIMT; did you mean PROMPTSHOT_LIMIT?" in capsys.readouterr().err


# ------------------------------------------------------------------ leaderboards


def test_a_k_is_not_called_clearly_better_than_another_from_one_draw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from promptshot.scorers.fake import FakeScorer
    from promptshot.scoring import Kind, Scored

    def score(_: FakeScorer, prompts: list[Any]) -> list[Scored]:
        """With demonstrations right, without them always the first."""
        found = []
        for prompt in prompts:
            shots = any(piece.kind is Kind.DEMO for piece in prompt.pieces)
            text = next(piece.text for piece in prompt.pieces if piece.kind is Kind.FIELD)
            right = prompt.choices.index("b") if shots and text.startswith("b") else 0
            found.append(Scored([0.0 if i == right else -1.0 for i in range(2)], [1, 1]))
        return found

    monkeypatch.setattr(FakeScorer, "score", score)
    rows = write_rows(tmp_path / "r.jsonl", [{"text": f"{'ab'[i % 2]}{i}", "label": "ab"[i % 2]} for i in range(60)])
    said = ["compare", rows, "-t", "{text} {mask}", "--labels", "a,b", "--demos", rows, "--scorer", "fake"]
    template = tmp_path / "t.yaml"
    template.write_text('scorer: causal\ntext: "{text} {mask}"\nseparator: "\\n"\n')
    said[3] = str(template)
    assert run_command([*said, "-k", "0", "-k", "4", "-o", str(tmp_path / "board.json")]) == 0
    err = capsys.readouterr().err
    (verdict,) = (line for line in err.splitlines() if "the best here" in line)
    assert "100.0%, one draw (seed 0), not clearly better than any other; 1 with another k cannot be told" in verdict
    board = json.loads((tmp_path / "board.json").read_text())["candidates"]
    assert [one["draw_seed"] for one in board] == [0, None]
    assert board[1]["against_best"]["p"] < 0.001  # it is the rows that tell this, not the draw


@pytest.mark.torch
def test_ensembles_of_several_models_have_names_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write_rows(tmp_path / "r.jsonl", [{"text": f"t{i}", "label": "ab"[i % 2]} for i in range(6)])
    models = ["-m", "builtin:bert", "-m", str(Path(__file__).parents[2] / "models" / "bert")]
    templates = ["-t", "{text} {mask}", "-t", "{mask} {text}", "--labels", "a,b"]
    assert run_command(["compare", rows, *templates, *models, "-o", str(tmp_path / "b.json"), "-q"]) == 0
    names = [one["name"] for one in json.loads((tmp_path / "b.json").read_text())["candidates"]]
    assert len(names) == len(set(names)) == 6
    assert sum(name.startswith("ensemble of 2 mlm ") for name in names) == 2


@pytest.mark.parametrize("width", [60, 80, 120])
def test_what_is_behind_the_best_is_told_at_any_width(
    width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    rows = write_rows(tmp_path / "r.jsonl", [{"text": f"t{i}", "label": "ab"[i % 2]} for i in range(6)])
    assert run_command(["compare", rows, "--labels", "a,b", "--scorer", "fake"]) == 0
    assert "behind the best" in capsys.readouterr().err


# ------------------------------------------------------------------ found by use


@pytest.mark.parametrize(
    ("labels", "by_rows"),
    [([1.0, 0.0], False), ([True, False], False), ([1, 0], False), (["1", "0"], False), (["Ja", "nein"], True)],
)
@pytest.mark.parametrize("name", ["o.jsonl", "o.csv"])
def test_a_report_reads_back_every_spelling(
    labels: list[Any], by_rows: bool, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write_rows(tmp_path / "r.jsonl", [{"text": f"t{i}", "label": labels[i % 2]} for i in range(40)])
    words = tmp_path / "w.yaml"
    words.write_text("labels: {yes: good, no: bad}\ngold: {yes: ['1', 'true', ja], no: ['0', 'false', nein]}\n")
    said = ["-t", "{text} {mask}", "--verbalizer", str(words), "-q", "--summary", str(tmp_path / "s.json")]
    flags = ["--spelling", "rows"] if by_rows else []
    assert fake(rows, *said, "-o", str(tmp_path / name), *flags) == 0
    accuracy = json.loads((tmp_path / "s.json").read_text())["accuracy"]
    for _ in range(2):
        assert run_command(["report", str(tmp_path / name), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["files"][0]["accuracy"] == accuracy
        (tmp_path / f"{name}.run.json").unlink(missing_ok=True)
    if name == "o.jsonl":
        found = read_rows(tmp_path / name)
        assert sum(row["prediction"] == row["label"] for row in found) / 40 == accuracy


def test_labels_that_a_named_template_knows_are_asked_with_its_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write_rows(tmp_path / "r.jsonl", [{"text": f"好吃{i}", "label": i % 3} for i in range(6)])
    said = [rows, "-t", "zh-sentiment3-mlm", "--labels"]
    assert fake(*said, "0:negative,1:neutral,2:positive", "--dry-run") == 0
    err = capsys.readouterr().err
    assert "label words of zh-sentiment3, which knows the labels (negative, neutral, positive)" in err
    assert "blank: 很差, 一般, 很好" in err
    assert fake(*said, "0:negative=坏,1:neutral=行,2:positive=棒", "--dry-run") == 0
    assert "blank: 坏, 行, 棒" in capsys.readouterr().err
    assert fake(*said, "0:x,1:y,2:z", "--dry-run") == 0
    assert "blank: x, y, z" in capsys.readouterr().err


def test_names_that_the_rows_do_not_use_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = write_rows(tmp_path / "r.jsonl", [{"text": f"好{i}", "label": ["正面", "负面"][i % 2]} for i in range(4)])
    assert fake(rows, "-t", "zh-sentiment-mlm") == 0
    assert "('positive' where the rows say '正面'); to have them as the rows spell theirs" in capsys.readouterr().err
    assert fake(rows, "-t", "zh-sentiment-mlm", "--spelling", "rows") == 0
    assert "where the rows say" not in capsys.readouterr().err
    stars = write_rows(tmp_path / "s.jsonl", [{"text": f"好{i}", "label": 1 + i % 5} for i in range(10)])
    assert fake(stars, "--labels", "1:negative,2:negative,3:neutral,4:positive,5:positive") == 0
    assert "('negative' where the rows say 1)" in capsys.readouterr().err


def test_numbers_of_one_label_count_whatever_the_first_rows_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import io

    lines = "".join(json.dumps({"text": f"t{i}", "label": i % 2 if i < 1500 else 2}) + "\n" for i in range(1600))
    for template in ("{text} {mask}", "en-sentiment-mlm"):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
        assert fake("-", "-t", template, "--labels", "0:negative,1:positive,2:positive", "-q") == 0
        found = [json.loads(line)["prediction"] for line in capsys.readouterr().out.splitlines()]
        assert set(found) == {"negative", "positive"}


def test_minus_one_that_is_a_label_is_no_doubt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = write_rows(tmp_path / "r.jsonl", [{"text": f"t{i}", "label": i % 3 - 1} for i in range(9)])
    assert fake(rows, "-t", "{text} {mask}", "--labels", "-1:bad,0:fine,1:good") == 0
    assert "are they counted from" not in capsys.readouterr().err


def test_true_and_false_are_no_label_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = write_rows(tmp_path / "r.jsonl", [{"text": f"t{i}", "label": i % 2 == 0} for i in range(4)])
    assert fake(rows) == 1
    assert "true and false; say what they mean: --labels 'false=WORD,true=WORD'" in capsys.readouterr().err


def test_a_misspelt_label_field_is_named_where_the_labels_would_come_from_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write_rows(tmp_path / "r.jsonl", [{"text": "t", "Dept./Team": "x"}, {"text": "u", "Dept./Team": "y"}])
    for command in (["classify", rows], ["compare", rows]):
        assert run_command([*command, "--label-field", "Dept", "--scorer", "fake"]) == 1
        assert "no column 'Dept' for field 'label'; the row has: text, Dept./Team" in capsys.readouterr().err


def test_several_of_what_is_given_again_for_each_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["compare", "x.jsonl", "-k", "0,2"]) == 2
    assert "give it again for each: -k 0 -k 2" in " ".join(capsys.readouterr().err.split())


def test_numbers_with_the_names_that_the_shelf_knows_are_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write_rows(tmp_path / "r.jsonl", [{"text": f"好吃{i}", "label": i % 3} for i in range(6)])
    config = tmp_path / "c.yaml"
    config.write_text("labels: {0: negative, 1: neutral, 2: positive}\n")
    assert fake(rows, "-c", str(config), "--dry-run") == 0
    assert "blank: 很差, 一般, 很好" in capsys.readouterr().err
    assert run_command(["compare", rows, "-c", str(config), "--scorer", "fake"]) == 0
    assert "zh-sentiment3-nsp" in capsys.readouterr().err
    assert fake(rows, "--labels", "0=坏,1=行,2=棒", "--dry-run") == 0
    assert "blank: 坏, 行, 棒" in capsys.readouterr().err


def test_joined_columns_stand_in_the_record_as_they_are_spelled(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "r.jsonl", [{" Kopf ": "a", "Rest": "b", "Urteil": "x"}, {"Rest": "c", "Urteil": "y"}])
    out = tmp_path / "o.jsonl"
    assert fake(rows, "--text-field", "kopf,rest", "--label-field", "urteil", "-q", "-o", str(out)) == 0
    record = json.loads((tmp_path / "o.jsonl.run.json").read_text())
    assert record["recipe"]["columns"] == {"text": " Kopf ,Rest", "label": "Urteil"}


def test_demonstrations_without_the_named_column_say_which_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write_rows(tmp_path / "r.jsonl", [{"text": "t", "klasse": "a"}, {"text": "u", "klasse": "b"}])
    demos = write_rows(tmp_path / "d.jsonl", [{"text": "t", "class_": "a"}, {"text": "u", "class_": "b"}])
    assert fake(rows, "--label-field", "klasse", "--demos", demos, "-k", "1") == 1
    assert "a demonstration: no column 'klasse' for field 'label'; the row has: text, class_" in capsys.readouterr().err
