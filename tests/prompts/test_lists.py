"""What `templates list` and `verbalizers list` show, and how they are asked for less."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.text import Text

from promptshot import shelf
from promptshot.cli import run_command
from promptshot.prompts import library
from promptshot.prompts.catalogue import Wanted, chosen, templates, verbalizers
from promptshot.prompts.language import spoken_by

OWN = "scorer: mlm\ntext: '{text} {mask}'\n"


def listed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The names that a list has."""
    assert run_command(arguments) == 0
    return [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]


def named(*, of: str = "templates", **wanted: object) -> list[str]:
    entries = templates() if of == "templates" else verbalizers()
    return [entry.name for entry in chosen(entries, Wanted(**wanted))]  # type: ignore[arg-type]


# ------------------------------------------------------------------ what is asked for


def test_a_list_can_be_of_one_scorer_language_and_task(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["templates", "list", "--scorer", "NSP", "--language", "en", "--task", "emotion"]
    assert listed(asked, capsys) == ["en-emotion-nsp"]
    assert named(scorer="causal") == [name for name in library.names("templates") if name.endswith("-causal")]
    assert named(language="zh") == [name for name in library.names("templates") if name.startswith("zh-")]
    assert named(of="verbalizers", language="en") == [n for n in library.names("verbalizers") if n.startswith("en-")]


def test_a_task_stands_for_its_varieties(capsys: pytest.CaptureFixture[str]) -> None:
    found = listed(["templates", "list", "--task", "sentiment", "--language", "en"], capsys)
    assert {"en-sentiment-mlm", "en-sentiment5-mlm"} <= set(found)
    assert all(name.startswith("en-sentiment") for name in found)
    assert {"zh-news-mlm", "zh-news-words-mlm", "zh-news-channel-causal"} <= set(named(task="news"))
    assert not [name for name in named(task="app") if "-app" not in name]


def test_labels_are_those_that_a_verbalizer_knows_under_any_spelling(capsys: pytest.CaptureFixture[str]) -> None:
    found = listed(["templates", "list", "--labels", "Ham, junk"], capsys)
    assert found == ["en-spam-causal", "en-spam-mlm", "en-spam-nsp"]
    assert listed(["verbalizers", "list", "--labels", "好评，差评", "--language", "zh"], capsys) == [
        name for name in library.names("verbalizers") if name.startswith("zh-")
        and {"positive", "negative"} <= set(library.verbalizer(name).names)
    ]  # fmt: skip
    assert not [entry for entry in templates() if "choice" in entry.name and (entry.knows("A") or entry.labels)]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (["templates", "list", "--scorer", "casual"], "no template is for --scorer 'casual'; did you mean 'causal'?"),
        (["templates", "list", "--language", "cn"], "no template is for --language 'cn'; there is: en, zh"),
        (["templates", "list", "--task", "emotions"], "no template is for --task 'emotions'; did you mean 'emotion'?"),
        (
            ["templates", "list", "--labels", "joy,surprize"],
            "no template knows the label 'surprize'; did you mean 'surprise'?",
        ),
        (["verbalizers", "list", "--labels", "体肓"], "no verbalizer knows the label '体肓'"),
        (["verbalizers", "list", "--language", "zhh"], "no verbalizer is for --language 'zhh'; did you mean 'zh'?"),
    ],
)
def test_a_misspelt_filter_is_one_line_with_what_was_meant(
    said: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(said) == 1
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith(f"error: {expected}")
    assert err.count("\n") == 1


def test_that_nothing_was_found_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["templates", "list", "--labels", "joy,spam", "--scorer", "nsp"]) == 0
    assert capsys.readouterr() == ("", "note: no template is for --scorer nsp --labels joy,spam\n")
    assert run_command(["verbalizers", "list", "--labels", "joy,spam", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


# ------------------------------------------------------------------ how it is printed


def test_a_list_as_json_says_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["templates", "list", "--task", "spam", "--scorer", "nsp", "--json"]) == 0
    english, chinese = json.loads(capsys.readouterr().out)
    path = library.find("templates", "zh-spam-nsp")
    about = library.template("zh-spam-nsp").spec.about
    said = {"name": "zh-spam-nsp", "scorer": "nsp", "language": "zh", "task": "spam", "labels": ["ham", "spam"]}
    assert chinese == said | {"about": about, "path": str(path)}
    assert english["language"] == "en"
    assert run_command(["verbalizers", "list", "--labels", "体育", "--json"]) == 0
    assert {tuple(entry) for entry in json.loads(capsys.readouterr().out)} == {
        ("name", "language", "task", "labels", "about", "path")
    }


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("kind", ["templates", "verbalizers"])
def test_no_name_is_cut_and_no_line_is_too_wide(
    kind: shelf.Shelf, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": str(width)}.items():
        monkeypatch.setenv(name, value)
    assert run_command([kind, "list"]) == 0
    lines = [Text.from_ansi(line).plain for line in capsys.readouterr().out.splitlines()]
    assert max(cell_len(line.rstrip()) for line in lines) <= width
    assert not [line for line in lines if "…" in line]
    first = [line.split(" ")[0] for line in lines[1:]]
    assert [name for name in first if name] == library.names(kind)


def test_templates_of_ones_own_are_listed_by_what_their_text_and_words_are_in(tmp_path: Path) -> None:
    words = "verbalizer: {labels: {a: 好, b: 差}}\n"
    for name, text in {
        "mood": OWN + words,
        "bare": OWN,
        "心情": OWN.replace("{mask}", "心情{mask}"),
        "en-x-mlm": OWN,
    }.items():
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    found = {entry.name: entry for entry in templates(tmp_path)}
    assert [found[name].language for name in ("mood", "bare", "心情", "en-x-mlm")] == ["zh", "en", "zh", "en"]
    assert (found["mood"].task, found["en-x-mlm"].task) == ("mood", "x")
    assert found["bare"].labels == ()
    assert found["mood"].knows("B")


@pytest.mark.parametrize("name", library.names("templates"))
def test_a_template_of_the_shelf_is_in_the_language_of_its_name(name: str) -> None:
    template = library.template(name)
    assert spoken_by(template, library.verbalizer_of(template)) in (name[:2], "")
