"""A file from a stranger is read as data, strictly, and every complaint is one line with file:line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import helpers
import pytest
import yaml
from pydantic import Field

from promptshot.errors import InputError, PromptshotError, TemplateError, VerbalizerError
from promptshot.prompts import strict
from promptshot.prompts.template import Template, TemplateSpec
from promptshot.prompts.verbalizer import Verbalizer, VerbalizerSpec

GOOD = 'scorer: mlm\ntext: "{mask}。{text}"\nverbalizer: v\n'


def put(folder: Path, data: str | bytes, name: str = "t.yaml") -> Path:
    return helpers.put(folder / name, data)


def complaint(path: Path) -> PromptshotError:
    """The error of loading a template, which must be one line that begins with the file."""
    with pytest.raises(PromptshotError) as caught:
        Template.load(path)
    said = str(caught.value)
    assert said.startswith(str(path))
    assert said.isprintable()
    return caught.value


def test_a_good_file_becomes_a_model(tmp_path: Path) -> None:
    made = Template.load(put(tmp_path, GOOD)).spec
    assert (made.scorer, made.text, made.separator) == ("mlm", "{mask}。{text}", "\n")


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    raw = b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()
    assert Template.load(put(tmp_path, raw)).spec.verbalizer == "v"


# ------------------------------------------------------------------ keys


def test_an_unknown_key_is_told_with_its_line_and_the_nearest_known_one(tmp_path: Path) -> None:
    found = complaint(put(tmp_path, GOOD + "\nseperator: ' '\n"))
    assert found.where.endswith("t.yaml:5")
    assert (found.what, found.hint) == ("unknown key 'seperator'", "did you mean 'separator'?")


def test_an_unknown_key_within_a_field_is_compared_with_the_keys_of_that_place(tmp_path: Path) -> None:
    found = complaint(put(tmp_path, GOOD + "fields:\n  text:\n    jion: ','\n"))
    assert found.where.endswith("t.yaml:6")
    assert (found.what, found.hint) == ("unknown key 'jion'", "did you mean 'join'?")


def test_a_doubled_key_is_told_with_the_line_of_the_second(tmp_path: Path) -> None:
    found = complaint(put(tmp_path, GOOD + "about: a\nabout: b\n"))
    assert found.where.endswith("t.yaml:5")
    assert "the key 'about' stands here twice" in found.what


def test_a_doubled_label_of_a_verbalizer_is_told(tmp_path: Path) -> None:
    path = put(tmp_path, "labels:\n  好: [很]\n  坏: [不]\n  好: [太]\n")
    with pytest.raises(VerbalizerError, match=r"t\.yaml:4: the key '好' stands here twice"):
        Verbalizer.load(path)


def test_a_missing_key_is_named_and_what_to_add(tmp_path: Path) -> None:
    found = complaint(put(tmp_path, "scorer: mlm\n"))
    assert (found.what, found.hint) == ("the key 'text' is missing", "add a line 'text: ...'")


def test_a_wrong_value_is_told_with_key_and_line(tmp_path: Path) -> None:
    found = complaint(put(tmp_path, "text: '{mask}{text}'\n\nscorer: bert\n"))
    assert found.where.endswith("t.yaml:3")
    assert found.what == "scorer: must be one of: mlm, nsp, causal, rtd"


def test_keys_that_do_not_go_together_are_told_without_a_stray_colon(tmp_path: Path) -> None:
    found = complaint(put(tmp_path, "scorer: nsp\ntext: '{mask}{text}'\n"))
    assert found.what == "scorer nsp compares two segments"
    assert found.hint == "write text as a list of two: [A, B]"


@pytest.mark.parametrize("text", ["", "\n# only a comment\n", "- a\n- b\n", "just words\n", "~"])
def test_a_file_that_is_no_mapping_says_what_it_needs(tmp_path: Path, text: str) -> None:
    found = complaint(put(tmp_path, text))
    assert found.what == "empty, or not a mapping of keys to values"
    assert found.hint == "it needs: scorer, text"


# ------------------------------------------------------------------ values stay what was typed


@pytest.mark.parametrize(
    "word",
    ["yes", "no", "on", "off", "true", "0", "01", "1.0", "1e3", "0x10", "1_000", "2024-01-01", "null", "~", "12:30"],
)
def test_labels_words_and_gold_stay_what_was_typed(tmp_path: Path, word: str) -> None:
    text = f"labels:\n  {word}: [{word}]\n  other: {{{word}x: 2}}\ngold: {{other: [z{word}, {word}z]}}\n"
    found = Verbalizer.load(put(tmp_path, text))
    assert found.labels == {word: {word: 1.0}, "other": {f"{word}x": 2.0}}
    assert found.gold == {"other": (f"z{word}", f"{word}z")}


def test_numbers_appear_where_the_model_asks_for_them(tmp_path: Path) -> None:
    made = Template.load(put(tmp_path, GOOD + "fields: {text: {cut_order: 3}}\n"))
    assert made.spec.fields["text"].cut_order == 3


def test_an_empty_value_is_empty_text() -> None:
    data, _ = strict.parse_source("a:\nb: ''\n", "t").sound(TemplateError)
    assert data == {"a": "", "b": ""}


def test_the_line_of_every_key_is_kept() -> None:
    _, lines = strict.parse_source("a:\n  b: 1\n\n  c:\n    - x\n    - y\n", "t").sound(TemplateError)
    assert (lines["a",], lines["a", "b"], lines["a", "c"], lines["a", "c", 1]) == (1, 2, 4, 6)


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("about: &a hello\nsource: *a\n", "t:1: YAML aliases (*name) are not allowed; write the value out"),
        ("about: &a [*a]\n", "t:1: YAML aliases (*name) are not allowed; write the value out"),
        ("base: &a {x: 1}\nabout:\n  <<: *a\n", "t:1: YAML aliases (*name) are not allowed; write the value out"),
        ("about: !!python/object:os.system x\n", "t:1: YAML tag tag:yaml.org,2002:python/object:os.system is not"),
        ("\nabout: !!python/object/apply:os.system [ls]\n", "t:2: YAML tag"),
        ("about: !secret x\n", "t:1: YAML tag !secret is not allowed; remove the tag"),
        ("{a: b}: c\n", "t:1: a key must be plain text"),
        ("? [a, b]\n: c\n", "t:1: a key must be plain text"),
    ],
)
def test_what_a_template_does_not_need_is_refused(text: str, said: str) -> None:
    with pytest.raises(TemplateError) as caught:
        strict.parse_source(text, "t").sound(TemplateError)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("a:\n\tb: 1\n", 2),
        ("text: {mask}。{text}\n", 1),
        ("a: 'open\n", 2),
        ("a: [1, 2\nb: 3\n", 2),
        ("a: b: c\n", 1),
        ("a: *nobody\n", 1),
        ("a: 1\n---\nb: 2\n", 2),
        ("%TAG x\n", 1),
    ],
)
def test_broken_yaml_is_told_with_its_line(tmp_path: Path, text: str, at: int) -> None:
    found = complaint(put(tmp_path, text))
    assert found.where.endswith(f"t.yaml:{at}")
    assert found.what.startswith("invalid YAML: ")


def test_an_unquoted_brace_is_explained(tmp_path: Path) -> None:
    assert complaint(put(tmp_path, "scorer: mlm\ntext: {mask}很好\n")).hint == "quote values that begin with { or ["


@pytest.mark.parametrize("text", ["a: \x00\n", "a: \x1b[31m\n", "\x07"])
def test_control_characters_are_refused_and_not_echoed(tmp_path: Path, text: str) -> None:
    assert complaint(put(tmp_path, text)).what.startswith("invalid YAML: ")


@pytest.mark.parametrize(
    "text", ["about: " + "[" * 20_000, "{a: " * 20_000, "- " * 5_000 + "x", "about: " + "[" * 50 + "]" * 50]
)
def test_deep_nesting_is_an_error_and_no_crash(tmp_path: Path, text: str) -> None:
    assert "nested too deeply" in complaint(put(tmp_path, text)).what


@pytest.mark.parametrize("words", ["exceeded maximum nesting depth", "how deep is your love", None])
@pytest.mark.parametrize(
    ("text", "deep"),
    [
        ("about: " + "[" * 1500, True),
        ("a:\n  - {b: " + "[[" * 900, True),
        ("about: " + "[" * strict.DEEPEST + "\n: : :", False),
        ("about: '" + "[" * 1500 + "'\nb: c: d", False),
        ("about: [a, b], c]\n" + "# " + "[" * 40, False),
    ],
)
def test_what_is_nested_too_deeply_is_known_whatever_words_the_reader_has_for_it(
    monkeypatch: pytest.MonkeyPatch, text: str, deep: bool, words: str | None
) -> None:
    """libyaml gives up by itself on some of these; its releases have other words and other limits for it."""

    def refuses(stream: str, Loader: type[Any]) -> yaml.Node | None:
        try:
            return compose(stream, Loader=Loader)
        except yaml.MarkedYAMLError as problem:
            problem.problem = problem.context = words
            raise

    compose = yaml.compose
    monkeypatch.setattr("promptshot.prompts.strict.yaml.compose", refuses)
    (flaw,) = strict.parse_source(text, "w").flaws
    assert flaw.what.startswith("invalid YAML: ")
    assert (strict.TOO_DEEP in flaw.what) is deep


def test_a_reader_with_a_lower_limit_is_understood_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shallow(strict._Plain):
        def fetch_flow_sequence_start(self) -> None:
            if self.flow_level >= strict.DEEPEST + 5:
                raise yaml.scanner.ScannerError(None, None, "no", self.get_mark())
            super().fetch_flow_sequence_start()

    monkeypatch.setattr(strict, "_Loader", Shallow)
    (flaw,) = strict.parse_source("a: " + "[" * 100, "w").flaws
    assert flaw.what == f"invalid YAML: {strict.TOO_DEEP}"


def test_a_billion_laughs_are_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 40)]
    assert "aliases" in complaint(put(tmp_path, "\n".join(lines))).what


def test_a_file_as_large_as_a_book_is_refused(tmp_path: Path) -> None:
    found = complaint(put(tmp_path, GOOD + "#" * strict.LARGEST))
    assert found.what == f"larger than {strict.LARGEST:,} bytes"


@pytest.mark.parametrize(
    "text", ["- a\n" * 250_000, "[" + "a," * 500_000 + "]", "".join(f"{i}: \n" for i in range(110_000))]
)
def test_a_file_of_very_many_values_is_given_up_in_time(tmp_path: Path, text: str) -> None:
    assert complaint(put(tmp_path, text)).what == f"invalid YAML: more than {strict.MOST:,} values"


def test_without_libyaml_files_are_read_just_the_same(tmp_path: Path) -> None:
    path = put(tmp_path, GOOD + "about: no\n")
    code = f"""
import yaml
del yaml.CSafeLoader
from pathlib import Path
from promptshot.prompts import strict
from promptshot.errors import TemplateError
data, lines = strict.load_yaml(Path({str(path)!r}), TemplateError)
print(data["about"], lines[("about",)], strict.parse_source("[" + "a," * strict.MOST + "]", "x").flaws[0].what)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=100)
    assert done.stdout == f"no 4 invalid YAML: more than {strict.MOST:,} values\n", done.stderr


def test_a_file_without_end_is_not_read_to_its_end() -> None:
    with pytest.raises(TemplateError, match="larger than"):
        strict.load_yaml(Path("/dev/zero"), TemplateError)


@pytest.mark.parametrize(("text", "fault"), [("\\0", "a NUL character"), ("\\ud800", "half a character (\\ud800)")])
@pytest.mark.parametrize("line", ['about: "X"', '"X": a', 'fields: {text: {join: "X"}}'])
def test_what_is_no_text_is_refused_with_its_line(tmp_path: Path, text: str, fault: str, line: str) -> None:
    found = complaint(put(tmp_path, GOOD + line.replace("X", text)))
    # libyaml, where it is there, does not even read half a character, and says so in its own words.
    assert found.what == f"{fault} in a value" or found.what.startswith("invalid YAML: ")
    assert found.where.endswith(":4")


@pytest.mark.parametrize(
    "data", [{"text": "{mask}\0{text}"}, {"fields": {"a\ud800": {}}}, {"ordered": ["a", "\udcff"]}]
)
def test_what_is_no_text_is_refused_wherever_it_comes_from(data: dict[str, Any]) -> None:
    with pytest.raises(TemplateError, match=r"w: .*(a NUL|half a) character"):
        strict.build({"scorer": "mlm", "text": "t", **data}, TemplateSpec, TemplateError, "w", {})


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    found = complaint(put(tmp_path, GOOD.encode("gbk")))
    assert found.what.startswith("not UTF-8 text")


def test_a_missing_file_and_a_directory_are_input_errors(tmp_path: Path) -> None:
    assert isinstance(complaint(tmp_path / "gone.yaml"), InputError)
    assert isinstance(complaint(tmp_path), InputError)


def test_a_path_no_system_can_hold_is_an_input_error() -> None:
    with pytest.raises(InputError, match="cannot be read"):
        Template.load(Path("con\0.yaml"))


# ------------------------------------------------------------------ models within models


class Inner(strict.Spec):
    depth: int = 0


class Level(strict.Spec):
    share: float = 0.5
    ends: Literal["left", "right"] | None = None


class Every(strict.Spec):
    some: list[str] = Field(default_factory=list, min_length=1)
    name: str = Field(default="a", min_length=1)
    most: int = Field(default=3, ge=2)
    really: bool = False
    level: Level | None = None
    named: dict[str, Level] = Field(default_factory=dict)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"name": ["a"]}, "name: must be text"),
        ({"name": ""}, "name: must not be empty"),
        ({"most": "two"}, "most: must be a whole number"),
        ({"most": ["2"]}, "most: must be a whole number"),
        ({"most": 2.5}, "most: must be a whole number"),
        ({"most": "9" * 5000}, "most: is too large a number"),
        ({"most": "1"}, "most: must be at least 2"),
        ({"really": "perhaps"}, "really: must be true or false"),
        ({"really": ["no"]}, "really: must be true or false"),
        ({"some": "a"}, "some: must be a list"),
        ({"some": []}, "some: must hold at least 1"),
        ({"named": "a"}, "named: must be a mapping of keys to values"),
        ({"named": {"x": "a"}}, "named: must be a mapping of keys to values"),
        ({"level": {"share": "half"}}, "level: must be a number"),
        ({"level": {"share": ["1"]}}, "level: must be a number"),
        ({"level": {"ends": "up"}}, "level: must be one of: left, right"),
        ({"named": {"ends": {"ends": "up"}}}, "named: must be one of: left, right"),
    ],
)
def test_what_is_wrong_with_a_value_is_said_in_our_own_words(data: dict[str, Any], said: str) -> None:
    with pytest.raises(TemplateError) as caught:
        strict.build(data, Every, TemplateError, "w", {})
    assert caught.value.what == said


class Outer(strict.Spec):
    one: Inner | None = None
    many: list[Inner] = Field(default_factory=list)
    named: dict[str, Inner] = Field(default_factory=dict)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"one": {"dept": 1}}, "w: unknown key 'dept'; did you mean 'depth'?"),
        ({"many": [{"depth": 1}, {"dept": 1}]}, "w: unknown key 'dept'; did you mean 'depth'?"),
        ({"named": {"x": {"dept": 1}}}, "w: unknown key 'dept'; did you mean 'depth'?"),
        ({"on": {}}, "w: unknown key 'on'; did you mean 'one'?"),
        ({"one": {"depth": "x"}}, "w: one: must be a whole number"),
    ],
)
def test_the_known_keys_are_those_of_the_place(data: dict[str, Any], said: str) -> None:
    with pytest.raises(TemplateError) as caught:
        strict.build(data, Outer, TemplateError, "w", {})
    assert str(caught.value) == said


def test_a_made_spec_cannot_be_changed() -> None:
    made = strict.build({"labels": {"a": "x", "b": "y"}}, VerbalizerSpec, VerbalizerError, "w", {})
    with pytest.raises(ValueError, match="frozen"):
        made.pool = "max"


def test_what_is_written_is_read_again_whatever_characters_it_has() -> None:
    signs = [*map(chr, range(1, 0x100)), *"\u2028\u2029\u200b\ufeff\ufffd\ufffe\uffff好😀\U0010ffff"]
    texts = [*signs, *(f"a{sign}b" for sign in signs), *(f" {sign} " for sign in signs), "".join(signs)]
    data = {"texts": texts, **{f"k{text}": text for text in texts}}
    assert strict.parse_source(strict.dump(data), "t").sound(InputError)[0] == data
    for text in texts:
        assert strict.parse_source(f"{strict.quoted(text)}: [{strict.quoted(text)}]", "t").sound(InputError)[0] == {
            text: [text]
        }
        assert "\x85" not in strict.quoted(text)
