"""A name is sought in the user's library, then on the shelf, and never in the working directory."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import put

from promptshot import shelf as where
from promptshot.authoring.lint.linter import Linter
from promptshot.errors import NotFoundError, TemplateError, VerbalizerError
from promptshot.prompts import library
from promptshot.prompts.template import Template
from promptshot.prompts.verbalizer import RowWords

TEMPLATE = "scorer: mlm\ntext: '{mask}。{text}'\nverbalizer: mine\n"
VERBALIZER = "labels: {a: x, b: y}\n"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small shelf in place of the one that ships, and another folder to work in."""
    here = tmp_path / "shelf"
    for kind, name, text in [
        ("templates", "news", TEMPLATE),
        ("templates", "zh-news", TEMPLATE),
        ("verbalizers", "mine", VERBALIZER),
    ]:
        put(here / kind / f"{name}.yaml", text)
    put(here / "models" / "bert" / "config.json", "{}")
    monkeypatch.setattr(where, "HERE", here)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return here


# ------------------------------------------------------------------ names


def test_a_name_is_found_on_the_shelf(shelf: Path) -> None:
    assert library.find("templates", "news") == shelf / "templates" / "news.yaml"
    assert library.template("news").name == "news"
    assert library.verbalizer("mine").names == ("a", "b")


def test_the_shelf_that_ships_lies_in_the_package_or_beside_it() -> None:
    assert where.folder("templates").is_dir()
    assert where.folder("templates").name == "templates"
    assert where.folder("models").parent == where.folder("templates").parent


def test_the_users_library_goes_before_the_shelf(shelf: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    put(own / "templates" / "news.yaml", TEMPLATE.replace("。", "！"))
    assert library.template("news", own).spec.text == "{mask}！{text}"
    assert library.template("zh-news", own).spec.text == "{mask}。{text}"


def test_a_library_may_be_one_folder_with_everything_in_it(shelf: Path, tmp_path: Path) -> None:
    own = tmp_path / "flat"
    put(own / "news.yaml", TEMPLATE)
    assert library.find("templates", "news", own) == own / "news.yaml"


def test_of_a_folder_with_both_kinds_of_file_each_is_listed_where_it_belongs(shelf: Path, tmp_path: Path) -> None:
    own = tmp_path / "flat"
    put(own / "praise.yaml", TEMPLATE)
    put(own / "words.yaml", VERBALIZER)
    put(own / "broken.yaml", "text: [")
    assert library.names("templates", own) == ["broken", "news", "praise", "zh-news"]
    assert library.names("verbalizers", own) == ["broken", "mine", "words"]


def test_all_names_are_listed_once(shelf: Path, tmp_path: Path) -> None:
    put(tmp_path / "own" / "templates" / "news.yaml", TEMPLATE)
    put(tmp_path / "own" / "templates" / "extra.yaml", TEMPLATE)
    assert library.names("templates") == ["news", "zh-news"]
    assert library.names("templates", tmp_path / "own") == ["extra", "news", "zh-news"]


def test_every_name_that_is_listed_is_found(shelf: Path, tmp_path: Path) -> None:
    for name in ("my news", "新闻", "v1.2", "a+b"):
        put(tmp_path / "own" / f"{name}.yaml", TEMPLATE)
    for name in library.names("templates", tmp_path / "own"):
        assert library.find("templates", name, tmp_path / "own").stem == name


def test_a_library_that_is_not_there_is_told_with_the_one_that_was_meant(shelf: Path, tmp_path: Path) -> None:
    put(tmp_path / "my-words" / "verbalizers" / "v.yaml", VERBALIZER)
    for misspelt in ("my-word", "mywords"):
        with pytest.raises(NotFoundError, match=r"no such folder for a library; did you mean '.*/my-words'?"):
            library.names("templates", tmp_path / misspelt)
        with pytest.raises(NotFoundError, match="did you mean"):
            library.template("news", tmp_path / misspelt)
    for far in (tmp_path / "gone", tmp_path / "no" / "such", put(tmp_path / "file", "x"), Path("x" * 5000)):
        with pytest.raises(NotFoundError, match="no such folder for a library; check the path"):
            library.find("verbalizers", "mine", far)


def test_a_library_with_nothing_in_it_is_told(shelf: Path, tmp_path: Path) -> None:
    put(tmp_path / "own" / "readme.md", "to come")
    with pytest.raises(NotFoundError, match="the library has no template and no verbalizer; put templates into"):
        library.home("templates", tmp_path / "own")
    (tmp_path / "own" / "templates").mkdir()
    assert library.names("templates", tmp_path / "own") == ["news", "zh-news"]
    assert library.names("verbalizers", tmp_path / "own") == ["mine"]


def test_a_name_is_never_sought_in_the_working_directory(shelf: Path) -> None:
    put(Path("local.yaml"), TEMPLATE)
    put(Path("templates/local.yaml"), TEMPLATE)
    put(Path("news.yaml"), "this would be an error")
    with pytest.raises(NotFoundError, match="no template named 'local'"):
        library.find("templates", "local")
    assert library.template("news").spec.text == "{mask}。{text}"


def test_a_wrong_name_gets_the_nearest_one_and_where_to_look(shelf: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        library.find("templates", "zh-nws")
    assert str(caught.value).startswith("no template named 'zh-nws'; did you mean 'zh-news'?")
    assert "promptshot templates list" in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "news\0", "con\0", "news\n", "{mask}", "a b", "*", "n" * 5000, "好" * 300, "news.yaml.", "-"],
)
def test_a_name_that_can_be_no_file_is_a_clear_error(shelf: Path, name: str) -> None:
    with pytest.raises(NotFoundError, match="no template named") as caught:
        library.find("templates", name)
    assert str(caught.value).isprintable()


# ------------------------------------------------------------------ paths


def test_what_has_a_slash_or_ends_in_yaml_is_a_path(shelf: Path, tmp_path: Path) -> None:
    path = put(tmp_path / "x" / "own.yml", TEMPLATE)
    assert library.template(str(path)).path == path
    put(Path("here.yaml"), TEMPLATE)
    assert library.find("templates", "here.yaml") == Path("here.yaml")
    assert library.find("templates", "./here.yaml") == Path("here.yaml")


def test_a_tilde_is_the_home_folder(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "x" / "own.yaml", TEMPLATE)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert library.find("templates", "~/x/own.yaml") == path


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/b",
        "a\\b",
        "../templates/news",
        "/",
        "./",
        "x/con\0",
        "x/" + "n" * 5000,
        "~nobody/x.yaml",
        "gone.yaml",
        "~/",
    ],
)
def test_a_path_that_is_no_file_is_a_clear_error(shelf: Path, name: str) -> None:
    with pytest.raises(NotFoundError, match="no file") as caught:
        library.find("templates", name)
    assert str(caught.value).isprintable()


# ------------------------------------------------------------------ the verbalizer of a template


def load(path: Path, text: str) -> Template:
    return Template.load(put(path, text))


def test_a_template_names_its_verbalizer(shelf: Path) -> None:
    assert library.verbalizer_of(library.template("news")).name == "mine"


def test_the_users_library_goes_first_for_the_verbalizer_too(shelf: Path, tmp_path: Path) -> None:
    put(tmp_path / "own" / "verbalizers" / "mine.yaml", "labels: {c: x, d: y}\n")
    assert library.verbalizer_of(library.template("news"), tmp_path / "own").names == ("c", "d")


def test_a_relative_path_is_taken_from_the_templates_folder(shelf: Path, tmp_path: Path) -> None:
    put(tmp_path / "x" / "v.yaml", VERBALIZER)
    template = load(tmp_path / "x" / "t.yaml", TEMPLATE.replace("mine", "./v.yaml"))
    assert library.verbalizer_of(template).name == "v"
    template = load(tmp_path / "x" / "t.yaml", TEMPLATE.replace("mine", "v.yaml"))
    assert library.verbalizer_of(template).name == "v"


def test_an_absolute_path_is_taken_as_it_is(shelf: Path, tmp_path: Path) -> None:
    path = put(tmp_path / "y" / "v.yaml", VERBALIZER)
    template = load(tmp_path / "x" / "t.yaml", TEMPLATE.replace("mine", str(path)))
    assert library.verbalizer_of(template).name == "v"


def test_a_template_may_hold_its_verbalizer(shelf: Path, tmp_path: Path) -> None:
    text = TEMPLATE.replace("verbalizer: mine", "verbalizer: {labels: {yes: [对], no: [错]}, gold: {yes: 1}}")
    found = library.verbalizer_of(load(tmp_path / "t.yaml", text))
    assert (found.names, found.gold) == (("yes", "no"), {"yes": ("1",)})


def test_a_mistake_in_a_verbalizer_within_a_template_names_the_template(shelf: Path, tmp_path: Path) -> None:
    text = TEMPLATE.replace("verbalizer: mine", "verbalizer: {label: {a: x, b: y}}")
    with pytest.raises(VerbalizerError) as caught:
        library.verbalizer_of(load(tmp_path / "t.yaml", text))
    assert "t.yaml" in str(caught.value)
    assert "verbalizer: unknown key 'label'; did you mean 'labels'?" in str(caught.value)


def test_words_from_makes_each_row_bring_its_words(shelf: Path, tmp_path: Path) -> None:
    text = "scorer: nsp\ntext: ['{mask}', '{text}']\nwords_from: candidates\n"
    found = library.verbalizer_of(load(tmp_path / "t.yaml", text))
    assert isinstance(found, RowWords)
    assert found.field_name == "candidates"


PAIR = "scorer: nsp\ntext: ['{a}', '{b}']\nordered: [no, yes]\n"


def test_ordered_labels_are_a_verbalizer_of_their_own(shelf: Path, tmp_path: Path) -> None:
    assert library.verbalizer_of(load(tmp_path / "t.yaml", PAIR)).names == ("no", "yes")


def test_ordered_labels_may_have_a_verbalizer_for_their_gold(shelf: Path, tmp_path: Path) -> None:
    template = load(tmp_path / "t.yaml", PAIR + "verbalizer: {labels: {yes: x, no: y}, gold: {yes: 1, no: 0}}\n")
    assert library.verbalizer_of(template).gold == {"yes": ("1",), "no": ("0",)}


def test_ordered_labels_other_than_the_verbalizers_are_refused(shelf: Path, tmp_path: Path) -> None:
    template = load(tmp_path / "t.yaml", PAIR + "verbalizer: mine\n")
    with pytest.raises(TemplateError, match="ordered lists no, yes, the verbalizer has a, b"):
        library.verbalizer_of(template)


def test_a_template_without_a_verbalizer_says_so(shelf: Path, tmp_path: Path) -> None:
    template = load(tmp_path / "t.yaml", "scorer: mlm\ntext: '{mask}{text}'\n")
    with pytest.raises(TemplateError, match="the template names no verbalizer; add a line 'verbalizer: NAME'"):
        library.verbalizer_of(template)


def test_a_template_whose_verbalizer_is_nowhere_says_so(shelf: Path, tmp_path: Path) -> None:
    template = load(tmp_path / "t.yaml", TEMPLATE.replace("mine", "min"))
    with pytest.raises(NotFoundError, match="no verbalizer named 'min'; did you mean 'mine'"):
        library.verbalizer_of(template)


# ------------------------------------------------------------------ models


def test_a_built_in_model_is_a_folder_of_the_shelf(shelf: Path) -> None:
    assert where.builtin_model("builtin:bert") == shelf / "models" / "bert"


@pytest.mark.parametrize(
    "name", ["builtin:", "builtin:x", "builtin:../models/bert", "builtin:/etc", "builtin:b\0", "builtin:.."]
)
def test_no_other_name_is_a_built_in_model(shelf: Path, name: str) -> None:
    with pytest.raises(NotFoundError, match="no built-in model") as caught:
        where.builtin_model(name)
    assert "builtin:bert" in caught.value.hint


@pytest.mark.parametrize(
    "said",
    [
        "password: hunter2\nuser: root\n",
        "- hunter2\n",
        "hunter2\n",
        "a: *hunter2\n",
        "!hunter2 a: b\n",
        "{hunter2: {: a\n",
    ],
)
@pytest.mark.parametrize("named", ["../private.yaml", "link.yaml", "ABSOLUTE"])
def test_a_template_that_names_a_file_of_another_kind_tells_nothing_of_it(
    named: str, said: str, shelf: Path, tmp_path: Path
) -> None:
    private = put(tmp_path / "private.yaml", said)
    path = put(tmp_path / "got" / "t.yaml", f"scorer: mlm\ntext: '{{mask}}{{text}}'\nverbalizer: {named}\n")
    (tmp_path / "got" / "link.yaml").symlink_to(private)
    path.write_text(path.read_text().replace("ABSOLUTE", str(private)))
    with pytest.raises(
        NotFoundError, match=r"t\.yaml:2: no verbalizer can be read from .*; to see why: promptshot"
    ) as caught:
        library.verbalizer_of(Template.load(path))
    told = [str(caught.value), *(f"{one.message} {one.hint}" for one in Linter().template(path))]
    assert any("no verbalizer can be read from" in line for line in told[1:])
    for line in told:
        assert "hunter2" not in line
        assert "password" not in line


def test_a_verbalizer_of_ones_own_is_still_told_what_is_wrong_with_it(shelf: Path, tmp_path: Path) -> None:
    put(tmp_path / "v.yaml", "labels: {a: x, b: y}\npol: max\n")
    path = put(tmp_path / "t.yaml", "scorer: mlm\ntext: '{mask}{text}'\nverbalizer: ./v.yaml\n")
    with pytest.raises(VerbalizerError, match=r"v\.yaml:2: unknown key 'pol'; did you mean 'pool'"):
        library.verbalizer_of(Template.load(path))
