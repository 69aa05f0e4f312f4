"""Every complaint is one line: what, where, one thing to try."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from promptshot import errors
from promptshot.errors import PromptshotError, RowError, did_you_mean, shortlist, surfaces, unreadable, unwritable
from promptshot.files import OVERWRITE, taken


def test_an_error_says_where_what_and_what_to_try() -> None:
    problem = RowError("field 'text' is empty", where="rows.jsonl:3", hint="fill it")
    assert str(problem) == "rows.jsonl:3: field 'text' is empty; fill it"


def test_an_error_without_place_and_hint_is_only_the_complaint() -> None:
    assert str(PromptshotError("no rows")) == "no rows"


def test_what_the_system_refuses_is_told_in_its_words_with_a_thing_to_try() -> None:
    assert str(unreadable("d/a.csv", PermissionError(13, "Permission denied"))) == (
        "d/a.csv: cannot be read (Permission denied); check the path"
    )
    assert str(unreadable("a", ValueError("embedded null byte"), "name it")) == (
        "a: cannot be read (embedded null byte); name it"
    )
    full = OSError(28, "No space left on device")
    assert str(unwritable("o.tsv", full)) == (
        "o.tsv: cannot be written (No space left on device); check the path and the disk"
    )
    assert str(taken("o.tsv", ", and is mine")) == f"o.tsv: exists already, and is mine; {OVERWRITE}"


@pytest.mark.parametrize("said", ["cannot be read (", "cannot be written (", '"exists already'])
def test_what_many_have_to_say_is_said_in_one_place(said: str) -> None:
    package = Path(errors.__file__).parent
    sources = [path.read_text(encoding="utf-8") for path in package.rglob("*.py")]
    assert len(sources) > 50
    assert sum(source.count(said) for source in sources) == 1


def test_line_breaks_and_tabs_of_the_data_do_not_break_the_line() -> None:
    assert str(RowError("bad\nvalue\there", where="a\nb")) == "a b: bad value here"


def test_terminal_escapes_of_the_data_are_shown_and_not_sent() -> None:
    assert str(RowError("\x1b[31mred")) == "\\x1b[31mred"
    assert str(RowError("好。")) == "好。"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("\x9b31m\x07\x7f", "\\x9b31m\\x07\\x7f"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
        ("全角\u3000空格\xa0", "全角 空格 "),
        ("a\x0b\x0c\x85\u2028b", "a    b"),
    ],
)
def test_signs_that_a_terminal_obeys_are_escapes_and_spaces_are_spaces(text: str, shown: str) -> None:
    assert errors.printable(text) == shown


def test_a_complaint_stays_a_line_whatever_a_file_says() -> None:
    problem = RowError("a" * 10**6, where="b" * 10**6, hint="c" * 10**6)
    assert len(str(problem)) < 3100
    assert problem.what.endswith("aaa…")
    assert shortlist(["x" * 200, "y"]) == "x" * 79 + "…, y"
    assert len(did_you_mean("z" * 10**6, ["z" * 70])) < 200


def test_every_error_is_a_promptshot_error() -> None:
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, Exception)]
    assert len(kinds) == 9
    assert all(issubclass(kind, PromptshotError) for kind in kinds)


def test_the_tree_in_the_docstring_names_every_error() -> None:
    drawn = errors.__doc__ or ""
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, Exception):
            assert name in drawn


def test_an_error_survives_being_sent_to_another_process() -> None:
    problem = pickle.loads(pickle.dumps(RowError("empty", where="a:1", hint="fill it")))
    assert type(problem) is RowError
    assert str(problem) == "a:1: empty; fill it"


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("verbaliser", ["verbalizer", "text"], "did you mean 'verbalizer'?"),
        ("xyz", ["verbalizer", "text"], "there is: text, verbalizer"),
        ("xyz", [], ""),
    ],
)
def test_a_wrong_name_gets_the_nearest_known_one(name: str, known: list[str], said: str) -> None:
    assert did_you_mean(name, known) == said


def test_a_long_list_is_cut_and_counted() -> None:
    assert shortlist(["a", "b", "c"], most=3) == "a, b, c"
    assert shortlist(["a", "b", "c", "d", "e"], most=3) == "a, b, c and 2 more"


def test_an_assertion_of_a_library_is_no_mistake_of_ours() -> None:
    def raised(package: str) -> AssertionError:
        try:
            exec("raise AssertionError('shapes')", {"__name__": package})
        except AssertionError as problem:
            return problem
        raise RuntimeError

    assert surfaces(raised("promptshot.scorers.mlm"))
    assert surfaces(AssertionError("never raised"))
    assert not surfaces(raised("transformers.models.xlm.modeling_xlm"))
    assert not surfaces(raised("torch.nn.functional"))
    assert not surfaces(SystemExit(1))
    assert surfaces(KeyboardInterrupt())


@pytest.mark.parametrize(
    "said", ["an albert", "an electra", "an int", "a bert", "a eurobert", "a umt5", "an xlm", "a "]
)
def test_a_name_has_the_article_with_which_it_is_read(said: str) -> None:
    assert errors.with_article(said.partition(" ")[2]) == said
