"""The command line as a user meets it: outputs, exit codes, messages."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from helpers import fake, read_rows, write_rows

from promptshot import shelf
from promptshot.cli import cli, run_command
from promptshot.cli.classify import command as classify
from promptshot.metrics import Tally
from promptshot.report.progress import Watch

ROOT = Path(__file__).parents[2]
SENTIMENT = """\
scorer: mlm
text: "{mask}满意。{text}"
verbalizer:
  labels: {positive: [很], negative: [不]}
  gold: {positive: [pos], negative: [neg]}
example: {text: 房间干净。, label: positive}
about: a test
"""


@pytest.fixture
def template(tmp_path: Path) -> str:
    path = tmp_path / "sentiment.yaml"
    path.write_text(SENTIMENT, encoding="utf-8")
    return str(path)


@pytest.fixture
def rows(tmp_path: Path) -> str:
    lines = [{"text": f"第{i}条评论", "label": "pos" if i % 3 else "neg"} for i in range(12)]
    return write_rows(tmp_path / "rows.jsonl", lines)


# ------------------------------------------------------------------ the main job


def test_every_row_comes_out_with_its_fields_and_ours(template: str, rows: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert fake(rows, "-t", template, "-o", str(out)) == 0
    found = read_rows(out)
    assert [row["text"] for row in found] == [row["text"] for row in read_rows(rows)]
    first = found[0]
    assert list(first) == ["text", "label", "prediction", "probability", "probabilities", "scores", "word_scores"]
    assert first["prediction"] == max(first["scores"], key=first["scores"].get)
    assert first["probability"] == max(first["probabilities"].values())
    assert sum(first["probabilities"].values()) == pytest.approx(1)
    assert set(first["word_scores"]) == {"很", "不"}


def test_predictions_go_to_stdout_and_the_report_to_stderr(
    template: str, rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fake(rows, "-t", template) == 0
    out, err = capsys.readouterr()
    assert len([json.loads(line) for line in out.splitlines()]) == 12
    for expected in ("accuracy", "95% interval", "majority class 66.7%", "chance 50.0%", "macro-F1", "rows/s"):
        assert expected in err
    assert re.search(r"gold \\ predicted +positive +negative", err)


def test_quiet_says_nothing(template: str, rows: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert fake(rows, "-t", template, "-q") == 0
    assert capsys.readouterr().err == ""


def test_the_same_run_twice_gives_the_same_bytes(template: str, rows: str, tmp_path: Path) -> None:
    outs = [tmp_path / f"{i}.jsonl.gz" for i in (1, 2)]
    for out in outs:
        assert fake(rows, "-t", template, "-o", str(out)) == 0
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert len(gzip.decompress(outs[0].read_bytes()).splitlines()) == 12


def test_summary_and_run_record_say_what_was_run(template: str, rows: str, tmp_path: Path) -> None:
    out, summary = tmp_path / "out.csv", tmp_path / "summary.json"
    assert fake(rows, "-t", template, "-o", str(out), "--summary", str(summary)) == 0
    said = json.loads(summary.read_text(encoding="utf-8"))
    for key in ("accuracy", "macro_f1", "rows", "labelled", "rejected", "rows_per_second", "per_label", "confusion"):
        assert key in said
    assert said["rows"] == said["labelled"] == 12
    assert said["accuracy_interval"][0] < said["accuracy"] < said["accuracy_interval"][1]
    assert said["recipe"]["template"]["name"] == "sentiment"
    assert said["versions"]["torch"]
    record = json.loads(Path(f"{out}.run.json").read_text(encoding="utf-8"))
    assert record["fingerprint"] == said["fingerprint"]
    data = Path(rows).read_bytes()
    assert record["inputs"] == [{"path": rows, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}]
    assert record["label_order"] == ["positive", "negative"]
    assert out.read_text(encoding="utf-8").startswith("text,label,prediction,")


def test_unlabelled_rows_are_predicted_and_counted(
    template: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "r.jsonl", [{"sentence": "好"}, {"sentence": "坏"}])
    assert fake(path, "-t", template) == 0
    err = capsys.readouterr().err
    assert "accuracy" not in err
    assert "share" in err


def test_bad_rows_go_to_the_rejects_file_and_the_run_goes_on(
    template: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"text": "好"}\nnot json\n{"other": 1}\n{"text": ""}\n{"text": "坏"}\n', encoding="utf-8")
    out = tmp_path / "out.jsonl"
    assert fake(str(path), "-t", template, "-o", str(out)) == 3
    rejects = read_rows(f"{out}.rejects.jsonl")
    assert len(read_rows(out)) + len(rejects) == 5
    assert [reject["source"] for reject in rejects] == [f"{path}:{n}" for n in (2, 3, 4)]
    assert rejects[0]["raw"] == "not json"
    assert "the row has: other" in rejects[1]["reason"]
    assert "3 rows were rejected" in capsys.readouterr().err
    assert fake(str(path), "-t", template, "-o", str(out), "--overwrite", "-n", "1") == 0
    assert not Path(f"{out}.rejects.jsonl").exists()


def test_when_no_row_can_be_used_it_is_an_error(
    template: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "r.jsonl", [{"text": " "}] * 3)
    assert fake(path, "-t", template) == 1
    assert "none of 3 rows could be used; the first: field 'text' is empty" in capsys.readouterr().err
    path = write_rows(tmp_path / "other.jsonl", [{"a": 1}] * 3)
    assert fake(path, "-t", template) == 1
    assert "other.jsonl:1: no field 'text'; the row has: a; try --text-field NAME" in capsys.readouterr().err


def test_labels_of_no_known_kind_are_told_with_both_lists(
    template: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "r.jsonl", [{"text": "好", "label": "great"}])
    assert fake(path, "-t", template) == 1
    err = capsys.readouterr().err
    assert "great" in err
    assert "positive (pos)" in err
    assert fake(path, "-t", template, "--ignore-labels") == 0


def test_a_few_unknown_labels_are_listed_and_not_counted(
    template: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": "好", "label": "pos"}, {"text": "坏", "label": "meh"}]
    assert fake(write_rows(tmp_path / "r.jsonl", rows), "-t", template) == 0
    err = capsys.readouterr().err
    assert "1 row has a label that is none of ours, not counted: meh" in err
    assert "2 rows (1 with a label)" in err


@pytest.mark.torch
@pytest.mark.parametrize("template", ["zh-sentiment-mlm", "zh-sentiment-nsp"])
def test_rows_of_which_the_tokenizer_knows_nothing_are_predicted_and_told(
    template: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["房间干净", "🙂🙂🙂", "早餐🙂", "ქართული", "\u0301", "!!!"]
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    summary = tmp_path / "s.json"
    arguments = ["classify", str(path), "-t", template, "--summary", str(summary)]
    assert run_command([*arguments, "-o", str(tmp_path / "o.jsonl")]) == 0
    err = capsys.readouterr().err
    assert f"note: 3 rows hold nothing that the tokenizer knows; the first: {path}:2\n" in err
    assert json.loads(summary.read_text(encoding="utf-8"))["rows_unknown"] == 3
    assert len((tmp_path / "o.jsonl").read_text(encoding="utf-8").splitlines()) == len(texts)


def test_output_fields_in_the_input_are_overwritten_with_a_note(
    template: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "r.jsonl", [{"text": "好", "scores": "mine"}])
    assert fake(path, "-t", template) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["scores"] != "mine"
    assert "overwritten in the output: scores" in err


# ------------------------------------------------------------------ options


def test_columns_can_be_named(template: str, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "r.jsonl", [{"w": "好", "y": "neg", "text": "别的"}])
    summary = tmp_path / "s.json"
    assert fake(path, "-t", template, "--text-field", "w", "--label_field", "y", "--summary", str(summary), "-q") == 0
    assert json.loads(summary.read_text())["labelled"] == 1
    assert fake(path, "-t", template, "--map", "text=w", "-q") == 0


def test_a_named_column_that_is_not_there_is_an_error(
    template: str, rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fake(rows, "-t", template, "--label-field", "gold") == 1
    assert "no column 'gold'" in capsys.readouterr().err
    assert fake(rows, "-t", template, "--map", "txt=text") == 1
    assert "did you mean 'text'?" in capsys.readouterr().err
    assert fake(rows, "-t", template, "--map", "txt") == 2


def test_flags_may_be_spelled_with_underscores(template: str, rows: str, tmp_path: Path) -> None:
    assert fake(rows, "-t", template, "--ignore_labels", "--batch_size", "3", "-q") == 0


def test_variables_and_config_files_give_options(
    template: str, rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(f"template: {template}\nlimit: 5\nignore-labels: true\nmap: text=text\n", encoding="utf-8")
    assert fake(rows, "-c", str(config), "-q") == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
    monkeypatch.setenv("PROMPTSHOT_LIMIT", "2")
    monkeypatch.setenv("PROMPTSHOT_TEMPLATE", template)
    assert fake(rows, "-q") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert fake(rows, "-q", "-n", "3") == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [("limt: 5", "c.yaml:1: no option 'limt'; did you mean 'limit'?"), ("- a", "not a mapping of options")],
)
def test_a_wrong_config_file_is_told_with_its_line(
    text: str, expected: str, rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(text)
    assert fake(rows, "-c", str(config)) == 1
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sample: [3]", "1: option 'sample' takes a whole number of 1 or more, not a list; write sample: 10"),
        ("quiet: true\nmax_length: 7", "2: option 'max-length' takes a whole number of 8 or more, not '7'"),
        ("seed: {a: 1}", "1: option 'seed' takes a whole number, not a mapping; write seed: 0"),
        ("sample: 1.5", "1: option 'sample' takes a whole number of 1 or more, not '1.5'"),
        ("batch-size: 99999999999999999999", "1: option 'batch-size' takes a whole number of 1 or more, not '9999"),
        ("summary: [a, b]", "1: option 'summary' takes a text, not a list; write summary: FILE"),
        ("save_template: {a: b}", "1: option 'save-template' takes a text, not a mapping"),
        ("quiet: []", "1: option 'quiet' takes true or false, not a list; write quiet: true"),
        ("strict-labels: maybe", "1: option 'strict-labels' takes true or false, not 'maybe'"),
        ("no-resume: true", "1: no option 'no-resume'; write resume: false"),
        ("on-error: stop", "1: option 'on-error' takes one of reject, fail, not 'stop'; write on-error: reject"),
        ("map: [text=a, b]", "1: option 'map' takes a FIELD=COLUMN or a list of them, not 'b'; write map: text=review"),
        ("map:\n  - text=a\n  - {b: c}", "3: option 'map' takes a FIELD=COLUMN or a list of them, not a mapping"),
        ("template: [[a]]", "1: option 'template' takes a text or a list of them, not a list in a list"),
        ("limit:", "1: option 'limit' has no value; write limit: 10, or leave the line out"),
        ("revision: ~", "1: option 'revision' has no value; write revision: NAME, or leave the line out"),
        ("template: [a, null]", "1: option 'template' has no value"),
        ("batch-size: 2\nbatch_size: 3", "2: the option 'batch-size' stands here twice; keep one of them"),
        ("library: no-such", "1: no such folder for a library"),
        ("model: !!python/name:os.system x", "1: YAML tag"),
        ("model: &a x", None),
    ],
)
def test_a_value_of_the_wrong_type_in_a_config_file_is_one_line(
    text: str,
    expected: str | None,
    template: str,
    rows: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    config = tmp_path / "c.yaml"
    config.write_text(text)
    arguments = ["compare"] if text.startswith("model:\n") else ["classify"]
    code = run_command([*arguments, rows, "-t", template, "--scorer", "fake", "-q", "-c", str(config)])
    err = capsys.readouterr().err
    if expected is None:
        assert (code, err) == (0, "")
    else:
        assert code == 1
        assert f"c.yaml:{expected}" in err
        assert err.count("\n") == 1
    assert not list(Path().iterdir())


def test_a_config_file_may_have_several_of_what_an_option_takes_several_of(
    template: str, rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(
        f"files: ['{rows}', '{rows}']\nmap: [text=text, label=label]\ntemplate: '{template}'\nquiet: on\n"
    )
    assert run_command(["classify", "--scorer", "fake", "-c", str(config)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 24
    for labels in ("[pos, neg]", "{pos: [很, 挺], neg: 不}", "pos,neg", "{'pos': '很', neg: {不: 2}}"):
        config.write_text(f"labels: {labels}\ntemplate: '{{mask}}。{{text}}'\n", encoding="utf-8")
        assert fake(rows, "-q", "-n", "1", "-c", str(config)) == 0
        assert list(json.loads(capsys.readouterr().out)["scores"]) == ["pos", "neg"]


def test_the_command_line_goes_before_variables_and_these_before_a_file(
    template: str, rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("limit: 4\nquiet: true\n")

    def read(*arguments: str) -> int:
        assert fake(rows, "-t", template, "-q", *arguments) == 0
        return len(capsys.readouterr().out.splitlines())

    assert (read("-c", str(config)), read()) == (4, 12)
    monkeypatch.setenv("PROMPTSHOT_CONFIG", str(config))
    assert read() == 4
    monkeypatch.setenv("PROMPTSHOT_LIMIT", "3")
    assert read() == 3
    assert read("-n", "2") == 2


def test_every_option_has_the_variable_of_its_name() -> None:
    waiting: list[click.Command] = [cli]
    while waiting:
        found = waiting.pop()
        waiting += found.commands.values() if isinstance(found, click.Group) else []
        for parameter in found.params:
            if isinstance(parameter, click.Option) and parameter.envvar:
                flag = max(parameter.opts, key=len).lstrip("-")
                if (found.name, flag) == ("sample", "temperature"):  # that of embed is another thing
                    flag = "sample-temperature"
                assert parameter.envvar == f"PROMPTSHOT_{flag.replace('-', '_').upper()}"


def test_variables_give_columns_and_templates_with_blanks_in_them(
    template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "r.jsonl", [{"the text": "好", "my gold": "pos"}])
    monkeypatch.setenv("PROMPTSHOT_MAP", "text=the text\nlabel=my gold\n")
    monkeypatch.setenv("PROMPTSHOT_TEMPLATE", template)
    summary = tmp_path / "s.json"
    assert fake(path, "-q", "--summary", str(summary)) == 0
    assert json.loads(summary.read_text())["labelled"] == 1
    capsys.readouterr()
    monkeypatch.setenv("PROMPTSHOT_TEMPLATE", "It was {mask}.\\n{text} Really!\nAll in all: {mask}. {text}")
    monkeypatch.setenv("PROMPTSHOT_LABELS", "pos, neg")
    assert run_command(["classify", path, "--dry-run"]) == 0
    err = capsys.readouterr().err
    assert "  It was ____.\n  好 Really!" in err
    monkeypatch.setenv("PROMPTSHOT_MAP", "text")
    assert fake(path) == 2


def test_json_is_asked_for_by_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "p.jsonl", [{"text": "x", "label": "a", "prediction": "a"}])
    monkeypatch.setenv("PROMPTSHOT_JSON", "1")
    assert run_command(["report", path]) == 0
    assert json.loads(capsys.readouterr().out)["files"][0]["accuracy"] == 1


def test_a_suite_that_a_config_file_names_is_read_however_the_file_is_found(
    template: str, rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    suite, config = tmp_path / "s.yaml", tmp_path / "c.yaml"
    suite.write_text(f"data: ['{rows}']\ntemplates: ['{template}']\nlimit: 5\n")
    config.write_text(f"suite: '{suite}'\nscorer: fake\n")
    assert run_command(["compare", "-c", str(config)]) == 0
    assert "1 candidate · 5 rows" in capsys.readouterr().err
    monkeypatch.setenv("PROMPTSHOT_CONFIG", str(config))
    assert run_command(["compare"]) == 0
    assert "1 candidate · 5 rows" in capsys.readouterr().err
    monkeypatch.setenv("PROMPTSHOT_LIMIT", "4")
    assert run_command(["compare"]) == 0
    assert "1 candidate · 4 rows" in capsys.readouterr().err


def test_a_misspelt_library_is_one_line(
    template: str, rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "frames" / "templates").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for command in (["classify", rows, "-t", template], ["templates", "list"], ["verbalizers", "lint"]):
        assert run_command([*command, "--library", "frame"]) == 1
        assert capsys.readouterr().err == "error: frame: no such folder for a library; did you mean 'frames'?\n"
    assert run_command(["templates", "list", "--library", "frames"]) == 0


@pytest.mark.parametrize("flag", ["-n", "--sample", "-b", "--batch-budget", "--max-length", "-k"])
def test_a_number_beyond_all_counting_is_refused(
    flag: str, template: str, rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fake(rows, "-t", template, flag, "1" + "0" * 30) == 2
    assert "is too large a number" in capsys.readouterr().err
    assert fake(rows, "-t", template, "--seed", "-" + "9" * 30, "--sample", "2", "-q") == 0


def test_the_name_of_a_file_that_fails_is_told_however_long_it_is(
    template: str, rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fake(rows, "-t", template, "--save-template", "y" * 100_000) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: yyyy")
    assert "File name too long" in err
    assert err.count("\n") == 1


def test_sample_and_limit_choose_rows(template: str, rows: str, capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for seed in ("1", "1", "2"):
        assert fake(rows, "-t", template, "--sample", "4", "--seed", seed, "-q") == 0
        texts.append([json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()])
    assert len(texts[0]) == 4
    assert texts[0] == texts[1] != texts[2]


def test_demonstrations_need_a_template_that_takes_them_and_a_file(
    template: str, rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fake(rows, "-t", template, "-k", "2") == 1
    assert "add --demos FILE" in capsys.readouterr().err
    assert fake(rows, "-t", "zh-sentiment-nsp", "-k", "2", "--demos", rows) == 1
    assert "demonstrations are for scorer mlm or causal, not nsp" in capsys.readouterr().err
    assert fake(rows, "-t", template, "--dev", rows) == 1


def test_an_output_is_not_overwritten_unless_asked(
    template: str, rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("precious")
    assert fake(rows, "-t", template, "-o", str(out)) == 1
    assert "use --overwrite" in capsys.readouterr().err
    assert out.read_text() == "precious"
    assert fake(rows, "-t", template, "-o", rows, "--overwrite") == 1
    assert "this is the input" in capsys.readouterr().err
    assert fake(rows, "-t", template, "-o", str(tmp_path / "no" / "out.jsonl")) == 1
    assert fake(rows, "-t", template, "-q", "--summary", str(tmp_path / "no" / "s.json")) == 1


def test_dry_run_shows_prompts_and_loads_no_model(
    template: str, rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["classify", rows, "-t", template, "-m", "no/such-model", "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "____满意。第0条评论" in err
    assert "blank: 很, 不" in err
    bad = tmp_path / "bad.jsonl"
    bad.write_text("x\n")
    assert run_command(["classify", str(bad), "-t", template, "--dry-run"]) == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("nofile.jsonl",), "nofile.jsonl: cannot be read (No such file or directory)"),
        ((".",), "cannot be read (Is a directory)"),
    ],
)
def test_files_that_cannot_be_read_are_one_line(
    arguments: tuple[str, ...], expected: str, template: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fake(*arguments, "-t", template) == 1
    err = capsys.readouterr().err
    assert expected in err
    assert err.count("\n") == 1


def test_unknown_names_are_met_with_a_guess(rows: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert fake(rows, "-t", "zh-sentimentmlm") == 1
    assert "did you mean 'zh-sentiment-mlm'?" in capsys.readouterr().err
    assert run_command(["classify", rows, "-t", "zh-sentiment-mlm", "--scorer", "mml"]) == 1
    assert "did you mean 'mlm'?" in capsys.readouterr().err


def test_wrong_usage_is_exit_code_2(rows: str) -> None:
    assert run_command(["classify"]) == 2
    assert run_command(["classify", rows, "-t", "x", "--no-such-flag"]) == 2
    assert run_command(["nonsense"]) == 2


def test_interrupts_and_closed_pipes_have_their_codes(
    template: str, rows: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("promptshot.runs.run.run_all", interrupted)
    assert fake(rows, "-t", template) == 130

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "out.jsonl")

    monkeypatch.setattr("promptshot.runs.run.run_all", full)
    assert fake(rows, "-t", template) == 1
    assert "out.jsonl: No space left on device" in capsys.readouterr().err


def test_a_closed_pipe_is_no_error(template: str, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "r.jsonl", [{"text": "很长" * 200}] * 2000)
    command = [sys.executable, "-m", "promptshot", "classify", path, "-t", template, "--scorer", "fake"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()


def test_rows_come_from_standard_input(template: str) -> None:
    command = [sys.executable, "-m", "promptshot", "classify", "-", "-t", template, "--scorer", "fake", "-q"]
    done = subprocess.run(command, input='{"text": "好"}\n', capture_output=True, text=True, cwd=ROOT, check=True)
    assert json.loads(done.stdout)["text"] == "好"


# ------------------------------------------------------------------ the shelf and help


def test_the_shelf_can_be_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["templates", "list"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert ["zh-sentiment-mlm", "mlm"] in [line[:2] for line in lines]
    assert all(len(line) == 3 for line in lines)
    assert run_command(["templates", "show", "zh-sentiment-mlm"]) == 0
    out, err = capsys.readouterr()
    assert out == (shelf.folder("templates") / "zh-sentiment-mlm.yaml").read_text(encoding="utf-8")
    assert "____满意。" in err
    assert run_command(["verbalizers", "list"]) == 0
    assert "zh-satisfied\t2\tpositive, negative" in capsys.readouterr().out
    assert run_command(["verbalizers", "show", "zh-satisfied"]) == 0
    assert "很" in capsys.readouterr().out
    assert run_command(["templates", "show", "zh-same-nsp"]) == 0


def test_a_library_of_ones_own_comes_first(template: str, rows: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(Path(template).parent)
    assert run_command(["templates", "list", "--library", folder]) == 0
    assert "sentiment\tmlm\ta test" in capsys.readouterr().out
    assert fake(rows, "-t", "sentiment", "--library", folder, "-q") == 0


@pytest.mark.parametrize("command", [["--help"], ["classify", "--help"], ["templates", "list"]])
def test_help_and_lists_import_no_torch(command: list[str]) -> None:
    code = (
        "import sys; from promptshot.cli import run_command; run_command(sys.argv[1:]);"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_every_option_has_help_and_a_variable() -> None:
    for parameter in classify.params:
        if isinstance(parameter, click.Option) and parameter.name != "help":
            assert parameter.help, parameter.name
            assert str(parameter.envvar).startswith("PROMPTSHOT_"), parameter.name


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--version"]) == 0
    assert "promptshot, version" in capsys.readouterr().out
    named = {"calibrate", "classify", "compare", "completion", "diff", "doctor"}
    named |= {"explain", "models", "report", "sample", "suggest", "templates", "verbalizers"}
    assert set(cli.commands) == named


# ------------------------------------------------------------------ on a terminal


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return monkeypatch


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal(
    width: int, template: str, rows: str, terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.cells import cell_len
    from rich.text import Text

    terminal.setenv("COLUMNS", str(width))
    assert fake(rows, "-t", template) == 0
    assert run_command(["templates", "list"]) == 0
    assert run_command(["templates", "show", "zh-news-mlm"]) == 0
    assert run_command(["classify", rows, "-t", template, "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert "\x1b[" in err
    shown = [line for line in (err + out).splitlines() if not line.startswith("{")]
    assert max(cell_len(Text.from_ansi(line).plain.rstrip()) for line in shown) <= width


def test_no_color_is_honoured(
    template: str, rows: str, terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.setenv("NO_COLOR", "1")
    assert fake(rows, "-t", template) == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", capsys.readouterr().err)


def test_escape_sequences_in_labels_never_reach_the_terminal(
    template: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": "好", "label": "pos"}, {"text": "\x1b[31m坏", "label": "\x1b]0;owned\x07"}]
    path = write_rows(tmp_path / "r.jsonl", rows)
    assert fake(path, "-t", template) == 0
    assert run_command(["classify", path, "-t", template, "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert "\x1b" not in out
    assert "\x1b" not in err


def test_plain_lines_tell_progress_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Watch, "SECONDS", 0.0)
    tally = Tally(["a"], rejected=2)
    tally.add("a", "a")
    with Watch(total=10) as watch:
        watch.began -= 1.0
        watch.advance(4)
        watch.counted(5, tally)
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"4 of 10 rows, \d rows/s, 0:0\d left", first)
    assert re.fullmatch(r"5 of 10 rows, \d rows/s, 0:0\d left, accuracy 100.0%, 2 rejected", second)


def test_going_on_and_stopping_are_told(
    template: str, rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "o.jsonl")
    assert fake(rows, "-t", template, "-o", out) == 0
    assert fake(rows, "-t", template, "-o", out) == 0
    assert "; all were done before" in capsys.readouterr().err


@pytest.mark.torch
def test_verbose_tells_the_circumstances(template: str, rows: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["classify", rows, "-t", template, "-v", "-n", "2"]) == 0
    err = capsys.readouterr().err
    for part in ("scorer mlm, model builtin:bert", "device cpu, dtype float32", "label positive: 很", "transformers "):
        assert part in err


def test_many_labels_give_a_list_of_confusions(tmp_path: Path, rows: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ", ".join(f"l{i}: [w{i}]" for i in range(12))
    path = tmp_path / "many.yaml"
    path.write_text(f'scorer: mlm\ntext: "{{mask}} {{text}}"\nverbalizer: {{labels: {{{words}}}}}\n', encoding="utf-8")
    lines = [{"text": f"row {i}", "label": f"l{i % 12}"} for i in range(60)]
    assert fake(write_rows(tmp_path / "m.jsonl", lines), "-t", str(path)) == 0
    assert "taken for" in capsys.readouterr().err


def test_a_scorer_of_yours_is_named_on_the_command_line_only(
    template: str, rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("limit: 2\nscorer: os:system\n")
    assert run_command(["classify", rows, "-t", template, "-c", str(config)]) == 1
    assert "c.yaml:2: a scorer of yours is code" in capsys.readouterr().err
    assert run_command(["classify", rows, "-t", template, "--scorer", "os:system"]) == 1
    assert "'os:system' is no scorer; name a class with a method score" in capsys.readouterr().err


def test_no_folder_for_the_output_is_told_before_anything_is_loaded(
    template: str, rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["classify", rows, "-t", template, "-m", "no/such", "-o", str(tmp_path / "a" / "o.jsonl")]) == 1
    assert "o.jsonl: cannot be written (no such folder); make the folder first" in capsys.readouterr().err


def test_rows_before_a_tear_are_written(template: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = b"".join(json.dumps({"text": f"row {i} {os.urandom(30).hex()}"}).encode() + b"\n" for i in range(2000))
    torn, out = tmp_path / "r.jsonl.gz", tmp_path / "o.jsonl"
    torn.write_bytes(gzip.compress(lines)[:-20000])
    assert fake(str(torn), "-t", template, "-o", str(out)) == 1
    assert "cannot be read" in capsys.readouterr().err
    assert len(read_rows(out)) > 1024


def test_the_environment_of_the_tests_is_clean() -> None:
    assert not [name for name in os.environ if name.startswith("PROMPTSHOT_") and name != "PROMPTSHOT_UPDATE_GOLDEN"]
