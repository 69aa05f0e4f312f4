"""Writing a template: `new` gives one that lints clean, `path` says where files are."""

from __future__ import annotations

import io
from pathlib import Path

import click
import pytest

from promptshot import files, kinds, shelf
from promptshot.authoring import new
from promptshot.authoring.lint.linter import Linter
from promptshot.cli import run_command
from promptshot.prompts import library
from promptshot.prompts.catalogue import LANGUAGES
from promptshot.prompts.labels import verbalizer_of_labels
from promptshot.prompts.template import Template
from promptshot.prompts.verbalizer import Verbalizer

LABELS = [
    "good,bad",
    "正面=很好|不错,负面=差",
    "yes=on|off,no=~,1=2024-01-01",
    "a b=x: y|# z|'q',\"c\"=[d]|{e},-f=- g|*h",
]
UNSEEN = "up\x85side=a\x7fb|\u2028c|d\ufeff,down\u2029wards=x\x9fy|z\x80,\x7f=\ufffe|\x1b"  # YAML takes none as it is


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("scorer", list(kinds.KINDS))
@pytest.mark.parametrize("labels", LABELS)
def test_a_new_template_lints_clean_and_has_the_labels(scorer: str, language: str, labels: str, tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    command = ["templates", "new", str(path), "--scorer", scorer, "--language", language, "--labels", labels]
    assert run_command(command) == 0
    right = {"number-label"} | ({"spaces-before-mask"} if language == "en" and "很" in labels else set())
    assert [finding for finding in Linter().template(path) if finding.code not in right] == []
    template = Template.load(path)
    assert template.spec.scorer == scorer
    assert library.verbalizer_of(template).labels == verbalizer_of_labels(labels).labels
    assert sum("#" in line for line in path.read_text(encoding="utf-8").splitlines()) >= 5


@pytest.mark.parametrize("labels", LABELS)
def test_a_new_verbalizer_lints_clean_and_has_the_labels(labels: str, tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    assert run_command(["verbalizers", "new", str(path), "--labels", labels]) == 0
    assert [finding for finding in Linter().verbalizer(path) if finding.code != "number-label"] == []
    assert Verbalizer.load(path).labels == verbalizer_of_labels(labels).labels


@pytest.mark.parametrize("scorer", list(kinds.KINDS))
def test_what_nobody_sees_in_a_label_is_read_again_as_it_was(scorer: str, tmp_path: Path) -> None:
    for language in LANGUAGES:
        path, words = tmp_path / f"{language}.yaml", verbalizer_of_labels(UNSEEN).labels
        command = ["templates", "new", str(path), "--scorer", scorer, "--language", language, "--labels", UNSEEN]
        assert run_command(command) == 0
        assert library.verbalizer_of(Template.load(path)).labels == words
    assert run_command(["verbalizers", "new", str(tmp_path / "v.yaml"), "--labels", UNSEEN]) == 0
    assert Verbalizer.load(tmp_path / "v.yaml").labels == words
    assert len(words) == 3


def test_weights_are_kept_to_the_last_digit(tmp_path: Path) -> None:
    words = verbalizer_of_labels({"good": {"great": 0.12345678901234567, "ok": 1e-9}, "bad": {"no": 123456.789}})
    files.put(str(tmp_path / "v.yaml"), new.verbalizer(words))
    assert Verbalizer.load(tmp_path / "v.yaml").labels == words.labels


def test_weights_are_kept(tmp_path: Path) -> None:
    words = verbalizer_of_labels({"good": {"great": 1.0, "fine": 0.5}, "bad": ["awful"]})
    files.put(str(tmp_path / "v.yaml"), new.verbalizer(words))
    assert Verbalizer.load(tmp_path / "v.yaml").labels == words.labels


def test_the_language_is_that_of_the_label_words(tmp_path: Path) -> None:
    for labels, sign in (("体育,财经", "的"), ("sports,business", "Topic")):
        path = tmp_path / f"{sign}.yaml"
        assert run_command(["templates", "new", str(path), "--scorer", "mlm", "--labels", labels]) == 0
        language = "zh" if labels[0] == "体" else "en"
        assert Template.load(path).spec.text == library.template(f"{language}-topic-mlm").spec.text


def test_a_verbalizer_of_the_shelf_is_named_and_a_file_of_ones_own_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("labels: {a: [x], b: [y]}\n", encoding="utf-8")
    for said in ("en-good-bad", str(tmp_path / "mine.yaml")):
        path = tmp_path / "sub" / "t.yaml"
        path.parent.mkdir(exist_ok=True)
        command = ["templates", "new", str(path), "--scorer", "nsp", "--verbalizer", said, "--overwrite"]
        assert run_command(command) == 0
        assert Template.load(path).spec.verbalizer == said
        assert Linter().template(path) == []


def test_an_existing_file_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("mine", encoding="utf-8")
    command = ["templates", "new", str(path), "--scorer", "mlm", "--labels", "a,b"]
    assert run_command(command) == 1
    assert "exists already; use --overwrite" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == "mine"
    assert run_command([*command, "--overwrite"]) == 0
    assert Linter().template(path) == []


@pytest.mark.parametrize(("extra", "missing"), [([], "--scorer"), (["--scorer", "mlm"], "--labels")])
def test_without_a_terminal_nothing_is_asked(
    extra: list[str], missing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("mlm\na,b\n"))
    assert run_command(["templates", "new", str(tmp_path / "t.yaml"), *extra]) == 1
    assert f"{missing} is missing" in capsys.readouterr().err
    assert not (tmp_path / "t.yaml").exists()


def test_on_a_terminal_what_is_not_said_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def prompt(what: str, **settings: object) -> str:
        asked.append(what)
        return "causal" if "scorer" in what else "good,bad"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(click, "prompt", prompt)
    assert run_command(["templates", "new", str(tmp_path / "t.yaml")]) == 0
    assert len(asked) == 2
    assert Template.load(tmp_path / "t.yaml").spec.scorer == "causal"


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "no" / "t.yaml")
    assert run_command(["templates", "new", path, "--scorer", "mlm", "--labels", "a,b"]) == 1
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(("kind", "name"), [("templates", "zh-news-mlm"), ("verbalizers", "zh-news")])
def test_path_is_the_file_or_the_folder(
    kind: shelf.Shelf, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command([kind, "path", name]) == 0
    assert Path(capsys.readouterr().out.strip()) == library.find(kind, name)
    assert run_command([kind, "path"]) == 0
    assert Path(capsys.readouterr().out.strip()) == shelf.folder(kind)
    (tmp_path / "mine.yaml").write_text("")  # a folder with nothing in it is no library
    assert run_command([kind, "path", "--library", str(tmp_path)]) == 0
    assert Path(capsys.readouterr().out.strip()) == tmp_path
