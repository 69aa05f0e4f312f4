"""Lint says what is wrong with a file, where, under which code; and nothing about a file that is right."""

from __future__ import annotations

import inspect
import json
import os
import re
import time
from pathlib import Path
from types import ModuleType

import pytest

from promptshot.authoring.lint import example, tokens, words
from promptshot.authoring.lint import text as text_module
from promptshot.authoring.lint.linter import Linter
from promptshot.authoring.lint.sheet import Finding
from promptshot.cli import run_command
from promptshot.prompts import library
from promptshot.prompts.codes import CODES

ROOT = Path(__file__).parents[2]
BROKEN = Path(__file__).parents[1] / "broken"
PAGE = ROOT / "docs" / "templates.md"
BEGIN, END = "<!-- codes -->", "<!-- end of codes -->"
UPDATE = os.environ.get("PROMPTSHOT_UPDATE_GOLDEN") == "1"

# Every broken file, with all its findings as code:line; line 0 is the file as a whole.
EXPECTED = {
    "templates/a-verbalizer": "wrong-kind:0",
    "templates/alias": "not-plain:3",
    "templates/backslash-n": "backslash-n:2",
    "templates/backslash-separator": "backslash-n:3",
    "templates/block-with-line-break": "edge-of-text:2",
    "templates/bracket-mask": "no-mask:2 false-mask:2",
    "templates/broken-verbalizer-file": "shared-word:3",
    "templates/causal-with-a-pair": "segments:2",
    "templates/channel-for-a-cloze": "clashing-keys:3",
    "templates/channel-with-nothing-behind": "nothing-to-score:2",
    "templates/chat-template": "special-token:2 special-token:2 special-token:7",
    "templates/doubled-key": "doubled-key:4",
    "templates/empty": "not-a-mapping:0",
    "templates/example-lacks-a-field": "example-lacks:4",
    "templates/example-misspells-a-field": "example-lacks:4",
    "templates/example-of-another-label": "example-label:4",
    "templates/example-with-a-list": "example-unusable:4",
    "templates/example-with-more": "example-extra:6",
    "templates/example-without-hole": "example-unusable:5",
    "templates/example-without-label": "example-label:4",
    "templates/gbk": "not-text:0",
    "templates/gold-of-no-label": "unknown-label:7",
    "templates/hole-beside-a-mask": "bad-hole:2",
    "templates/labels-unquoted": "yaml-word:5 yaml-word:6",
    "templates/lines-run-together": "run-together:2",
    "templates/lost-verbalizer-file": "lost-verbalizer:3",
    "templates/lost-verbalizer": "lost-verbalizer:3",
    "templates/misspelt-key-and-two-masks": "two-masks:2 unknown-key:3",
    "templates/misspelt-key-inside": "unknown-key:4",
    "templates/misspelt-key": "unknown-key:3",
    "templates/misspelt-rule": "unknown-key:8",
    "templates/no-example": "no-example:0",
    "templates/no-field": "no-field:2",
    "templates/no-mask": "no-mask:2",
    "templates/no-quotes": "not-yaml:2",
    "templates/no-scorer": "missing-key:0",
    "templates/no-space-before-mask": "glued-mask:2",
    "templates/no-verbalizer": "no-verbalizer:0",
    "templates/normalize-for-pairs": "clashing-keys:4",
    "templates/multi-token-causal": "clashing-keys:4",
    "templates/nothing-needed-is-there": "missing-key:0 missing-key:0",
    "templates/nsp-with-one-text": "segments:2",
    "templates/nsp-with-three-segments": "segments:2",
    "templates/nul": "not-unicode:2",
    "templates/one-label": "few-labels:4",
    "templates/one-ordered-label": "few-labels:3",
    "templates/only-a-list": "not-a-mapping:0",
    "templates/open-quote": "not-yaml:5",
    "templates/ordered-for-a-cloze": "clashing-keys:3",
    "templates/ordered-with-a-mask": "mask-in-pair:2",
    "templates/other-labels-in-order": "unknown-label:3 yaml-word:4",
    "templates/prior-in-words": "wrong-value:4 wrong-value:4",
    "templates/prior-is-no-share": "bad-prior:4",
    "templates/prior-of-three": "bad-prior:4",
    "templates/separator-token": "special-token:2 special-token:2",
    "templates/separator-of-one-label": "clashing-keys:4",
    "templates/several-in-order": "clashing-keys:4",
    "templates/several-of-other-labels": "example-label:5",
    "templates/several-without-odds": "no-odds:4",
    "templates/shared-word": "shared-word:6",
    "templates/space-at-the-beginning": "edge-of-text:2",
    "templates/space-before-chinese": "spaces-before-mask:2",
    "templates/stray-braces": "stray-brace:2 stray-brace:2 stray-brace:2",
    "templates/tab-before-mask": "spaces-before-mask:2",
    "templates/tab-indent": "not-yaml:4",
    "templates/tag": "not-plain:2",
    "templates/two-holes": "bad-hole:2",
    "templates/two-masks": "two-masks:2",
    "templates/two-misspelt-keys": "unknown-key:2 unknown-key:4",
    "templates/two-spaces-before-mask": "spaces-before-mask:2",
    "templates/unknown-scorer": "wrong-value:1",
    "templates/unused-field": "unused-field:6",
    "templates/wide-braces": "wide-brace:2",
    "templates/words-twice": "clashing-keys:3",
    "templates/wrong-cut": "wrong-value:5",
    "templates/zero-width-space": "hidden-character:2",
    "verbalizers/a-template": "wrong-kind:0",
    "verbalizers/backslash": "backslash-n:2",
    "verbalizers/date": "yaml-word:2",
    "verbalizers/empty-word": "no-word:3",
    "verbalizers/gold-of-no-label": "unknown-label:3",
    "verbalizers/gold-without-a-number": "gold-gap:2",
    "verbalizers/heavy-word": "wrong-value:2",
    "verbalizers/misspelt-key": "unknown-key:2",
    "verbalizers/no-break-space": "hidden-character:2",
    "verbalizers/no-labels": "missing-key:0",
    "verbalizers/no-word": "no-word:3",
    "verbalizers/null-word": "yaml-word:3",
    "verbalizers/numbers": "number-label:2 number-label:3",
    "verbalizers/one-label": "few-labels:1",
    "verbalizers/repeated-word": "repeated-word:2",
    "verbalizers/shared-gold": "shared-gold:4",
    "verbalizers/shared-word": "shared-word:3",
    "verbalizers/special-token": "special-token:2",
    "verbalizers/truth-values": "yaml-word:2 yaml-word:3 yaml-word:4",
    "verbalizers/weight-of-zero": "bad-weight:2",
    "verbalizers/white-space": "edge-of-word:2",
    "verbalizers/wrong-pool": "wrong-value:2",
}
WITH_A_TOKENIZER = {"unknown-word", "alike-words", "too-long", "other-scorer", "split-word", "unequal-words"}


def lint(path: Path) -> list[Finding]:
    linter = Linter()
    return linter.verbalizer(path) if path.parent.name == "verbalizers" else linter.template(path)


def coded(found: list[Finding]) -> str:
    return " ".join(f"{finding.code}:{finding.line or 0}" for finding in found)


# ------------------------------------------------------------------ special tokens


@pytest.mark.parametrize(
    ("token", "hint"),
    [
        ("[SEP]", "a list, [A, B]"),
        ("[CLS]", "before a text"),
        ("<s>", "before a text"),
        ("<|begin_of_text|>", "before a text"),
        ("<｜begin▁of▁sentence｜>", "before a text"),
        ("<|im_end|>", "chat templates are not applied"),
        ("[/INST]", "chat templates are not applied"),
        ("<</SYS>>", "chat templates are not applied"),
        ("<start_of_turn>", "chat templates are not applied"),
        ("<|eot_id|>", "chat templates are not applied"),
        ("<|assistant|>", "chat templates are not applied"),
        ("</s>", "an empty line"),
        ("<eod>", "an empty line"),
        ("<|endoftext|>", "an empty line"),
        ("<|fim_middle|>", "an empty line"),
    ],
)
def test_a_special_token_is_told_once_with_what_to_do_instead(token: str, hint: str, tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    text = f"{token} It was {{mask}}. {{text}} {token} so."
    path.write_text(json.dumps({"scorer": "causal", "text": text, "separator": "\n"}), encoding="utf-8")
    (found,) = [finding for finding in lint(path) if finding.code == "special-token"]
    assert found.message == f"{token!r} is plain text"
    assert hint in found.hint


@pytest.mark.parametrize("text", ["a < b | c > d {mask} {text}", "<b>{text}</b> [1] {mask}", "[{text}] <{mask}> |x|"])
def test_other_brackets_are_no_special_tokens(text: str, tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(json.dumps({"scorer": "mlm", "text": text}), encoding="utf-8")
    assert not {finding.code for finding in lint(path)} & {"special-token", "false-mask"}


# ------------------------------------------------------------------ broken files


@pytest.mark.parametrize("name", EXPECTED)
def test_a_broken_file_has_exactly_these_findings(name: str) -> None:
    found = lint(BROKEN / f"{name}.yaml")
    assert coded(found) == EXPECTED[name]
    assert all(finding.message.isprintable() and finding.hint.isprintable() for finding in found)


def test_no_broken_file_is_left_out() -> None:
    assert sorted(f"{path.parent.name}/{path.stem}" for path in BROKEN.glob("*/*.yaml")) == sorted(EXPECTED)
    assert len(EXPECTED) >= 40


def test_every_code_that_needs_no_tokenizer_has_a_broken_file() -> None:
    shown = {coded.partition(":")[0] for codes in EXPECTED.values() for coded in codes.split()}
    assert set(CODES) - shown == WITH_A_TOKENIZER | {"space-matters", "unreadable"}


def test_the_nearest_name_is_offered(tmp_path: Path) -> None:
    (found,) = lint(BROKEN / "templates" / "misspelt-key.yaml")
    assert (found.message, found.hint) == ("unknown key 'verbaliser'", "did you mean 'verbalizer'?")
    (found,) = lint(BROKEN / "templates" / "lost-verbalizer.yaml")
    assert found.hint.startswith("did you mean 'en-good-bad'?")


def test_a_file_of_nothing_but_flaws_is_told_of_in_part(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("".join(f"key{i}: x\n" for i in range(5000)), encoding="utf-8")
    assert 50 < len(lint(path)) <= 100


def test_what_a_terminal_would_obey_is_not_passed_on(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text('"ke\\e[31my\\u202e": x\nscorer: mlm\ntext: "{mask}{text}"\n', encoding="utf-8")
    found = [finding for finding in lint(path) if finding.code == "unknown-key"]
    assert found[0].message.isprintable()
    assert "\\x1b" in found[0].message


# ------------------------------------------------------------------ the shelf


@pytest.mark.parametrize("name", library.names("templates"))
def test_every_shipped_template_lints_clean(name: str) -> None:
    assert lint(library.find("templates", name)) == []


@pytest.mark.parametrize("name", library.names("verbalizers"))
def test_every_shipped_verbalizer_lints_clean(name: str) -> None:
    assert lint(library.find("verbalizers", name)) == []


# ------------------------------------------------------------------ the command


def test_the_whole_shelf_is_linted_where_nothing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["templates", "lint"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"{len(library.names('templates'))} files: nothing found\n"


def test_a_finding_is_a_line_and_the_exit_code_3(capsys: pytest.CaptureFixture[str]) -> None:
    path = BROKEN / "templates" / "misspelt-key.yaml"
    assert run_command(["templates", "lint", str(path)]) == 3
    out, err = capsys.readouterr()
    assert out == f"{path}:3: error unknown-key: unknown key 'verbaliser'; did you mean 'verbalizer'?\n"
    assert err.startswith("1 file: 1 error")


def test_notes_alone_do_not_fail(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(BROKEN / "templates" / "no-example.yaml")
    assert run_command(["templates", "lint", path]) == 0
    assert "note no-example" in capsys.readouterr().out
    assert run_command(["templates", "lint", path, "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_file_that_cannot_be_read_is_1_and_the_others_are_linted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone, broken = str(tmp_path / "gone.yaml"), str(BROKEN / "templates" / "two-masks.yaml")
    assert run_command(["templates", "lint", gone, broken]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [re.findall(r"error ([a-z-]+):", line) for line in lines] == [["unreadable"], ["two-masks"]]


def test_an_unknown_name_is_an_error_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["templates", "lint", "zh-sentimant-mlm"]) == 1
    assert "did you mean 'zh-sentiment-mlm'?" in capsys.readouterr().err


def test_a_verbalizer_of_several_templates_is_told_of_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "verbalizers").mkdir()
    (tmp_path / "verbalizers" / "mine.yaml").write_text("labels: {a: [x], b: [x]}\n", encoding="utf-8")
    keys = 'scorer: mlm\ntext: "{mask}{text}"\nverbalizer: mine\nexample: {text: t, label: a}\n'
    for name in ("one", "two"):
        (tmp_path / "templates" / f"{name}.yaml").write_text(keys, encoding="utf-8")
    assert run_command(["templates", "lint", "--library", str(tmp_path)]) == 3
    out, err = capsys.readouterr()
    assert out.count("shared-word") == 1
    assert err.startswith("2 files: 1 error")


def test_a_library_in_one_folder_holds_both_kinds(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "words.yaml").write_text("labels: {a: [x], b: [y]}\n", encoding="utf-8")
    text = 'scorer: mlm\ntext: "{mask}{text}"\nverbalizer: words\nexample: {text: t, label: a}\n'
    (tmp_path / "t.yaml").write_text(text, encoding="utf-8")
    for kind in ("templates", "verbalizers"):
        assert run_command([kind, "lint", "--library", str(tmp_path)]) == 0
        assert "1 file: nothing found" in capsys.readouterr().err


def test_json_holds_every_part_of_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    path = BROKEN / "templates" / "two-masks.yaml"
    assert run_command(["templates", "lint", str(path), "--format", "json"]) == 3
    out, err = capsys.readouterr()
    (found,) = json.loads(out)
    assert found == {
        "code": "two-masks",
        "severity": "error",
        "path": str(path),
        "line": 2,
        "message": "2 blanks",
        "hint": "keep one {mask}",
    }
    assert err == ""


def test_annotations_of_github_are_one_escaped_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a,b 100%.yaml"
    path.write_text('scorer: mlm\ntext: "{mask} {mask} {text}"\n', encoding="utf-8")
    assert run_command(["templates", "lint", str(path), "--format", "github"]) == 3
    lines = capsys.readouterr().out.splitlines()
    name = str(path).replace("%", "%25").replace(",", "%2C")
    assert f"::error file={name},line=2,title=two-masks::2 blanks; keep one {{mask}}" in lines


def test_a_code_can_be_ignored(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(BROKEN / "templates" / "two-masks.yaml")
    assert run_command(["templates", "lint", path, "--ignore", "two-masks"]) == 0
    assert run_command(["templates", "lint", path, "--ignore", "to-masks"]) == 1
    assert "did you mean 'two-masks'?" in capsys.readouterr().err


def test_lint_reads_a_file_as_data_only(tmp_path: Path) -> None:
    path, sign = tmp_path / "t.yaml", tmp_path / "sign"
    path.write_text(f"text: !!python/object/apply:os.system ['touch {sign}']\nscorer: mlm\n", encoding="utf-8")
    assert "not-plain" in coded(lint(path))
    assert not sign.exists()


# ------------------------------------------------------------------ the codes


def section() -> str:
    """The page of codes as docs/templates.md has it."""
    kinds = {
        "error": "Errors: it does not work",
        "warning": "Warnings: it is hardly meant",
        "note": "Notes: good to know",
    }
    lines = []
    for severity, title in kinds.items():
        lines += [f"### {title}", ""]
        lines += [f"- `{code.name}`: {code.why}" for code in CODES.values() if code.severity == severity]
        lines += [""]
    return "\n".join(lines)


def test_the_page_of_codes_says_what_the_code_says() -> None:
    page = PAGE.read_text(encoding="utf-8")
    head, _, rest = page.partition(BEGIN)
    shown, _, tail = rest.partition(END)
    if UPDATE:
        PAGE.write_text(f"{head}{BEGIN}\n{section()}{END}{tail}", encoding="utf-8")
    else:
        assert shown == f"\n{section()}", "run: PROMPTSHOT_UPDATE_GOLDEN=1 pytest tests/authoring/test_lint.py"


@pytest.mark.parametrize("name", CODES)
def test_every_code_is_explained_in_whole_sentences(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
    assert CODES[name].why.strip()[-1] in ".`"
    assert run_command(["templates", "lint", "--explain", name]) == 0
    assert name in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [
        "labels:\n a: [" + "".join(f"w{i}," for i in range(90_000)) + "]\n b: x\n",
        "labels:\n a: [" + "".join(f"w{i // 2}," for i in range(90_000)) + "]\n b: x\n",
        "labels:\n" + "".join(f" l{i}: {{w{i}: heavy}}\n" for i in range(49_000)),
        "labels:\n" + "".join(f" no{i}: no\n" for i in range(90_000)),
    ],
    ids=["words", "words twice", "no weights", "one word"],
)
def test_a_file_as_large_as_it_may_be_is_linted_in_time(text: str, tmp_path: Path) -> None:
    path = tmp_path / "v.yaml"
    path.write_text(text)
    began = time.process_time()
    found = Linter().verbalizer(path)
    assert time.process_time() - began < 10
    assert len(found) <= 100


@pytest.mark.parametrize("folder", ["own", "./own", "own/"])
def test_a_library_is_linted_however_its_folder_is_written(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind, text in (("templates", "scorer: mlm\ntext: '{mask}'\n"), ("verbalizers", "labels: {a: x}\n")):
        (tmp_path / "own" / kind).mkdir(parents=True)
        (tmp_path / "own" / kind / "one.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert run_command(["templates", "lint", "--library", folder]) == 3
    assert "own/templates/one.yaml:2: error no-field" in capsys.readouterr().out
    assert run_command(["verbalizers", "lint", "--library", folder]) == 3
    assert "own/verbalizers/one.yaml:1: error few-labels" in capsys.readouterr().out


def test_a_folder_in_one_level_is_linted_without_a_slash_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "two.yaml").write_text("scorer: mlm\ntext: '{mask}'\n")
    monkeypatch.chdir(tmp_path)
    assert run_command(["templates", "lint", "--library", "flat"]) == 3
    assert "flat/two.yaml:2: error no-field" in capsys.readouterr().out
    assert run_command(["templates", "lint", "flat"]) == 1  # a name, which is never sought here
    assert "no template named 'flat'; the folder of that name is flat/" in capsys.readouterr().err
    assert run_command(["templates", "lint", "flat/"]) == 3


@pytest.mark.parametrize("kind", [text_module, words, example, tokens])
def test_every_rule_of_a_kind_is_asked(kind: ModuleType) -> None:
    takes = "Words" if kind is words else "Sheet"
    own = [
        function for _, function in inspect.getmembers(kind, inspect.isfunction) if function.__module__ == kind.__name__
    ]
    rules = [
        function for function in own if list(inspect.get_annotations(function).values()) == [takes, "Iterator[Flaw]"]
    ]
    assert len(rules) >= 3
    assert set(kind.RULES) == set(rules)
    assert len(kind.RULES) == len(rules)
