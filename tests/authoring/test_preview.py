"""A preview shows what a scorer would read: the text, the tokens without weights, the scores with them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from helpers import LENGTH, Tiny, prompt_of, rendered

from promptshot.authoring.lint.linter import Linter
from promptshot.classify.classifier import Classifier
from promptshot.classify.prediction import Prediction
from promptshot.cli import run_command
from promptshot.prompts import library
from promptshot.prompts.template import example_row
from promptshot.report import preview
from promptshot.rows.row import Row
from promptshot.scorers import load, load_tokenizer
from promptshot.scorers.engine.base import TorchScorer
from promptshot.scoring import Kind, ModelOptions, Prompt, Tokenizing

pytestmark = pytest.mark.torch

KEYS: dict[str, dict[str, Any]] = {
    "mlm": {"scorer": "mlm", "text": "it was {mask} . {text}"},
    "nsp": {"scorer": "nsp", "text": ["it was {mask}", "{text}"]},
    "causal": {"scorer": "causal", "text": "{text} it was {mask}"},
}
WORDS = ["good", "awful"]


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert run_command(["templates", "preview", *arguments]) == code
    return capsys.readouterr().out


# ------------------------------------------------------------------ text


def test_the_example_is_shown_as_it_is_rendered(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, "zh-sentiment-mlm")
    template = library.template("zh-sentiment-mlm")
    assert f"  {template.render(example_row(template), ()).text()}\n" in out
    assert "blank: 很 (positive), 不 (negative)" in out


def test_every_shipped_template_has_a_preview(capsys: pytest.CaptureFixture[str]) -> None:
    for name in library.names("templates"):
        assert name in shown(capsys, name)


@pytest.mark.parametrize("said", ['{"text": "a film"}', "a film", "FILE:2"])
def test_a_row_is_json_or_a_text_or_a_line_of_a_file(
    said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "another"}\n{"text": "a film"}\n', encoding="utf-8")
    out = shown(capsys, "{text} was {mask}", said.replace("FILE", str(path)))
    assert "  a film was ____\n" in out
    assert "another" not in out


def test_a_nested_object_is_flat_on_the_command_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert "  deep ____" in shown(capsys, "{a.b} {mask}", '{"a": {"b": "deep"}}')


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["FILE:9"], "FILE:9: no row begins on this line"),
        (["FILE:2"], "FILE:2: "),
        (["{nonsense"], "row 1: "),
        (["[1]"], "row 1: the template needs text_a, text_b"),
        (['{"text_a": "a"}'], "text_b"),
        ([], "the template has no example"),
    ],
)
def test_a_row_that_cannot_be_used_is_told(
    rows: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a"}\n{broken\n', encoding="utf-8")
    given = [row.replace("FILE", str(path)) for row in rows]
    assert run_command(["templates", "preview", "{text_a} {text_b} {mask}", *given]) == 1
    assert said.replace("FILE", str(path)) in capsys.readouterr().err


def test_what_a_terminal_would_obey_is_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, "{text} {mask}", '{"text": "\\u001b[31mred\\u202e"}')
    assert "\x1b" not in out
    assert "\\x1b[31mred\\u202e" in out


def test_text_and_lint_load_no_tensors(tmp_path: Path) -> None:
    code = """
import sys
from promptshot.cli import run_command
assert run_command(["templates", "preview", "zh-news-nsp"]) == 0
assert run_command(["templates", "lint", "zh-news-nsp"]) == 0
print(*[name for name in ("torch", "transformers", "tokenizers", "numpy") if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stderr.splitlines()[-1].strip() == ""


# ------------------------------------------------------------------ tokens


@pytest.fixture(params=["mlm", "nsp", "causal"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tiny(kind: str, request: pytest.FixtureRequest) -> Tiny:
    found: Tiny = request.getfixturevalue({"mlm": "bert_mlm", "nsp": "bert_nsp", "causal": "gpt2"}[kind])
    return found


@pytest.fixture
def tokenizer(tiny: Tiny) -> Tokenizing:
    return load_tokenizer(ModelOptions(tiny.name))


def prompt(kind: str, text: str = "the food was cold") -> Prompt:
    return rendered(KEYS[kind], {"text": text}, WORDS)


def test_the_tokens_are_those_that_the_scorer_reads(kind: str, tiny: Tiny, tokenizer: Tokenizing) -> None:
    scorer = load(kind, ModelOptions(tiny.name))
    assert isinstance(scorer, TorchScorer)
    for text in ("the food was cold", "房间干净，早餐也不错", "a " * 200):
        plan = scorer.plan(prompt(kind, text))
        (tokenized,) = tokenizer.tokenized(kind, [prompt(kind, text)])
        assert [token.id for token in tokenized.tokens] == list(plan.queries[0].ids)
        assert (tokenized.cut, tokenized.length) == (plan.fitted.cut, max(len(query.ids) for query in plan.queries))
        assert [len(word) for word in tokenized.words] == [len(ids) for ids in scorer.planner.words(prompt(kind, text))]
    assert tokenizer.limit == scorer.limit == LENGTH


def test_every_token_is_told_by_what_it_belongs_to(kind: str, tokenizer: Tokenizing) -> None:
    (tokenized,) = tokenizer.tokenized(kind, [prompt(kind)])
    of = {
        k: "".join(t.text for t in tokenized.tokens if t.kind is k).replace("▁", "") for k in (Kind.FIELD, Kind.FIXED)
    }
    assert of[Kind.FIELD].replace("##", "") == "thefoodwascold"
    assert of[Kind.FIXED].replace("##", "") == {"mlm": "itwas.", "nsp": "itwas", "causal": "itwas"}[kind]
    blank = [token.text for token in tokenized.tokens if token.kind is Kind.MASK]
    assert "".join(blank).replace("▁", "").replace("##", "") == ("[MASK]" if kind == "mlm" else "good")
    special = [token.text for token in tokenized.tokens if token.kind is None]
    assert special == {"mlm": ["[CLS]", "[SEP]"], "nsp": ["[CLS]", "[SEP]", "[SEP]"], "causal": []}[kind]
    if kind == "nsp":
        assert [token.segment for token in tokenized.tokens] == sorted(token.segment for token in tokenized.tokens)
        assert {token.segment for token in tokenized.tokens if token.kind is Kind.FIELD} == {1}


# The word stands in the text, in the template, and in the blank.
MANY = "the good day was good"
PLACES = {
    "mlm": ["it was {mask} . {text}", "{text} it was {mask}", "{mask} good {text}", "good {text} : good {mask} good"],
    "nsp": [["it was {mask} . good", "{text}"], ["{text}", "good or {mask} ."], ["{mask}", "good {text}"]],
    "causal": [
        "it was {mask} . {text}",
        "{text} it was {mask}",
        "{mask} good {text}",
        "good {text} : good {mask} good",
    ],
}
CASES = [
    *(("mlm", model, text) for model in ("bert_mlm", "roberta") for text in PLACES["mlm"]),
    *(("nsp", "bert_nsp", text) for text in PLACES["nsp"]),
    *(("causal", model, text) for model in ("gpt2", "llama") for text in PLACES["causal"]),
    *(("channel", model, text) for model in ("gpt2", "llama") for text in ("it was {mask} . {text}", "{mask} {text}")),
]


@pytest.mark.parametrize(("kind", "model", "text"), CASES)
def test_the_blank_is_marked_where_it_is_and_nowhere_else(
    kind: str, model: str, text: Any, request: pytest.FixtureRequest
) -> None:
    """As many tokens are of a kind as the tokenizer makes of what is of that kind, in the order of the template."""
    tiny: Tiny = request.getfixturevalue(model)
    keys = {"scorer": "causal", "direction": "channel"} if kind == "channel" else {"scorer": kind}
    (tokenized,) = load_tokenizer(ModelOptions(tiny.name)).tokenized(
        keys["scorer"], [rendered({**keys, "text": text}, {"text": MANY}, WORDS)]
    )
    said = [
        ("".join(token.text for token in stretch).replace("▁", " ").replace("##", "").split(), token_kind)
        for token_kind, stretch in ((k, list(s)) for k, s in groupby(tokenized.tokens, lambda token: token.kind))
        if token_kind is not None
    ]
    blank = tiny.tokenizer.mask_token * len(tokenized.words[0]) if kind == "mlm" else "good"
    parts = re.findall(r"\{mask\}|\{text\}|[^{}]+", text if isinstance(text, str) else "".join(text))
    kinds = {"{mask}": (Kind.MASK, blank), "{text}": (Kind.FIELD, MANY)}
    wanted = [kinds.get(part, (Kind.FIXED, part)) for part in parts if part.strip()]
    merged = [
        (k, "".join(part for _, part in of)) for k, of in ((k, list(of)) for k, of in groupby(wanted, itemgetter(0)))
    ]
    assert [("".join(words), k) for words, k in said] == [("".join(part.split()), k) for k, part in merged]


@pytest.mark.parametrize("kind", ["mlm", "nsp", "causal"])
def test_a_tokenizer_that_does_not_tell_places_is_marked_too(
    kind: str, tiny: Tiny, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tokenizer.tokenized(kind, [prompt(kind, MANY)])
    monkeypatch.setattr(type(tokenizer.encoder), "spans", lambda self, text: [(i, i + 1) for i in range(len(text))])
    assert tokenizer.tokenized(kind, [prompt(kind, MANY)]) == before


def test_no_weights_are_read(tiny: Tiny, kind: str, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for path in tiny.folder.iterdir():
        if path.suffix == ".json":
            (bare / path.name).write_bytes(path.read_bytes())
    (tokenized,) = load_tokenizer(ModelOptions(str(bare))).tokenized(kind, [prompt(kind)])
    assert tokenized.error is None


def test_what_does_not_fit_is_told(kind: str, tokenizer: Tokenizing) -> None:
    long = rendered({**KEYS["mlm"], "text": "a " * LENGTH + "{mask} {text}"}, {"text": "b"}, WORDS)
    if kind == "mlm":
        assert "the template alone takes" in (tokenizer.tokenized(kind, [long])[0].error or "")
        assert "the template alone takes" in (tokenizer.misfit(kind, long) or "")
    assert tokenizer.misfit(kind, prompt(kind)) is None


def test_roberta_takes_the_space_into_the_word(roberta: Tiny) -> None:
    tokenizer = load_tokenizer(ModelOptions(roberta.name))
    assert list(tokenizer.kinds) == ["mlm", "embed"]
    behind, glued = (tokenizer.spelled("mlm", prompt_of([(before, "")], ["great"])) for before in ("it was ", "it was"))
    assert behind != glued
    assert "".join(behind[0]).startswith("▁")


def test_a_model_of_another_kind_is_refused(gpt2: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["templates", "preview", "zh-sentiment-mlm", "-m", gpt2.name]) == 1
    assert "the model is made for causal, the template for mlm" in capsys.readouterr().err


def test_tokens_are_shown_with_ids_and_what_was_cut(capsys: pytest.CaptureFixture[str], bert_mlm: Tiny) -> None:
    out = shown(
        capsys, "it was {mask} . {text}", "the old man " * 60, "-m", bert_mlm.name, "--ids", "--labels", "good,bad"
    )
    ids = bert_mlm.tokenizer.convert_tokens_to_ids(["[CLS]", "[MASK]", "good"])
    assert f"[CLS]:{ids[0]}" in out
    assert f"[MASK]:{ids[1]}" in out
    assert f"good:{ids[2]}" in out
    assert f"tokens: {LENGTH} of {LENGTH}" in out
    assert "of the row were cut" in out
    for name in ("special", "template", "blank", "field", "cut"):
        assert f"\n  {name} " in out


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        ("abcdef", "abc", "def"),
        ("abcdef", "def", "abc"),
        ("abcdef", "abef", "cd"),
        ("abc", "abc", ""),
        ("abc", "", "abc"),
    ],
)
def test_what_was_cut_is_found(before: str, after: str, lost: str) -> None:
    assert preview._lost(before, after) == lost


# ------------------------------------------------------------------ scores


def test_scores_are_those_of_a_run(capsys: pytest.CaptureFixture[str], tiny: Tiny, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(json.dumps({**KEYS[kind], "verbalizer": {"labels": {"up": "good", "down": "awful"}}}))
    out = shown(capsys, str(path), "the food was cold", "-m", tiny.name, "--scores")
    scorer = load(kind, ModelOptions(tiny.name))
    (scored,) = scorer.score([prompt(kind)])
    tokens = scored.tokens if kind == "mlm" and len(set(scored.tokens)) > 1 else (1, 1)
    for score, count in zip(scored.scores, tokens, strict=True):
        assert f"{score / count:.3f}" in out
    assert ("likeliest: " in out) == (kind != "nsp")
    assert "→ " in out


def test_the_likeliest_words_are_those_of_the_models_own_softmax(bert_mlm: Tiny) -> None:
    scorer: Any = load("mlm", ModelOptions(bert_mlm.name))
    found = scorer.top([prompt("mlm")], 5)[0]
    query = scorer.plan(prompt("mlm")).queries[0]
    import torch

    with torch.no_grad():
        logits = bert_mlm.model(torch.tensor([query.ids])).logits[0, query.asked[0]].log_softmax(-1)
    best = logits.topk(5)
    assert [score for _, score in found] == pytest.approx(best.values.tolist(), abs=1e-4)
    assert [word for word, _ in found] == [scorer.encoder.shown(i) for i in best.indices.tolist()]


def test_without_label_words_nothing_is_scored(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["templates", "preview", "{mask} {text}", "a", "--scores"]) == 1
    assert "no label words" in capsys.readouterr().err


# ------------------------------------------------------------------ lint with a tokenizer


def linted(tmp_path: Path, keys: dict[str, Any], tiny: Tiny) -> dict[str, str]:
    path = tmp_path / "t.yaml"
    path.write_text(json.dumps(keys, ensure_ascii=False), encoding="utf-8")
    found = Linter(spelling=load_tokenizer(ModelOptions(tiny.name))).template(path)
    return {finding.code: finding.message for finding in found if finding.code != "no-example"}


def keyed(**labels: str) -> dict[str, Any]:
    return {**KEYS["mlm"], "verbalizer": {"labels": labels}}


def test_a_tokenizer_tells_of_unknown_and_alike_words(tmp_path: Path, bert_mlm: Tiny) -> None:
    found = linted(tmp_path, keyed(a="good", b="Good", c="☃"), bert_mlm)
    assert found["unknown-word"] == "the tokenizer does not know the word '☃'"
    assert found["alike-words"] == "the tokenizer spells 'good' and 'Good' the same"


def test_a_tokenizer_tells_of_split_words_and_their_lengths(tmp_path: Path, bert_mlm: Tiny) -> None:
    found = linted(tmp_path, keyed(a="good", b="满意"), bert_mlm)
    assert found["split-word"] == "1 of 2 words have several tokens: 满意 = 满 意"
    assert found["unequal-words"] == "words have from 1 to 2 tokens"
    assert linted(tmp_path, keyed(a="good", b="great"), bert_mlm) == {}


def test_a_tokenizer_tells_of_words_that_change_behind_a_space(tmp_path: Path, roberta: Tiny) -> None:
    keys = {**keyed(a="great", b="good"), "text": "({mask}) {text}"}
    assert "space-matters" in linted(tmp_path, keys, roberta)
    assert "space-matters" not in linted(tmp_path, keyed(a="great", b="good"), roberta)


BEFORE = {"{text} {mask}": "", "{text}{mask}": "", "{text}\n{mask}": "\n", "{text}:\n\n{mask}": "\n\n"}


@pytest.mark.parametrize("text", BEFORE)
def test_a_line_break_before_the_blank_is_shown_with_the_template_and_is_no_token_of_a_word(
    text: str, gpt2: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = load_tokenizer(ModelOptions(gpt2.name))
    one = rendered({"scorer": "causal", "text": text}, {"text": "房间"}, ["great", "very awful", "体育"])
    (tokenized,) = tokenizer.tokenized("causal", [one])
    for word, tokens in zip(one.choices, tokenized.words, strict=True):
        assert gpt2.tokenizer.decode([token.id for token in tokens]).strip() == word
        assert all(token.text.strip(" ▁\n") for token in tokens)
    assert gpt2.tokenizer.decode([token.id for token in tokenized.tokens]) == one.text("great")
    fixed = "".join(token.text for token in tokenized.tokens if token.kind is Kind.FIXED)
    assert fixed.replace(":", "") == BEFORE[text]
    out = shown(capsys, text, "房间", "-m", gpt2.name, "--scorer", "causal", "--labels", "great,very awful")
    table = [line for line in out.splitlines() if line.startswith("  great")]
    assert len(table) == 1
    assert "↵" not in table[0]
    assert ("↵" in out) == bool(BEFORE[text])


@pytest.mark.parametrize(
    "text", ["{mask} {text}", "{text}\n{mask}", "{text} ({mask})", "{text} “{mask}”", "#{mask} {text}"]
)
def test_no_space_is_asked_for_where_none_belongs(text: str, gpt2: Tiny, tmp_path: Path) -> None:
    keys = {"scorer": "causal", "verbalizer": {"labels": {"up": "good", "down": "awful"}}}
    path = tmp_path / "t.yaml"
    linter = Linter(spelling=load_tokenizer(ModelOptions(gpt2.name)))
    for said, asked in ((text, False), ("{text} It was:{mask}", True)):
        path.write_text(json.dumps({**keys, "text": said}), encoding="utf-8")
        hints = [finding.hint for finding in linter.template(path)]
        assert any("space before {mask}" in hint for hint in hints) == asked


@pytest.mark.parametrize(("text", "glued"), [("{text} is:{mask}", True), ("{text} is:\n{mask}", False)])
def test_a_word_on_a_line_of_its_own_is_not_glued_to_the_line_before(
    text: str, glued: bool, gpt2: Tiny, tmp_path: Path
) -> None:
    keys = {"scorer": "causal", "text": text, "verbalizer": {"labels": {"a": "great", "b": "awful"}}}
    assert ("glued-mask" in linted(tmp_path, keys, gpt2)) == glued


@pytest.mark.parametrize("text", BEFORE)
@pytest.mark.parametrize("normalize", [None, "mean"])
def test_lint_and_the_report_of_a_run_count_the_same_tokens(
    text: str, normalize: str | None, gpt2: Tiny, tmp_path: Path
) -> None:
    labels = {"a": "t", "b": "great", "c": "体", "d": "很满意"}
    keys = {"scorer": "causal", "text": text, "verbalizer": {"labels": labels}}
    keys |= {"normalize": normalize} if normalize else {}
    told = linted(tmp_path, keys, gpt2)
    template = library.template(str(tmp_path / "t.yaml"))
    classifier = Classifier.load(template, model=gpt2.name)
    (found,) = classifier.outcomes([Row({"text": "a"})])
    assert isinstance(found, Prediction)
    assert told["split-word"].startswith(f"{found.split} of 4 words have several tokens")
    (scored,) = classifier.scorer.score(classifier.prompts(Row({"text": "a"})))
    assert told["unequal-words"] == f"words have from {min(scored.tokens)} to {max(scored.tokens)} tokens"
    if text != "{text} {mask}":  # behind a space English words have other tokens
        assert min(scored.tokens) == 1
        assert found.split == 2
    leads = scored.lead or (0.0,) * 4
    parts = zip(scored.scores, leads, scored.tokens, strict=True)
    means = [(score - lead) / count for score, lead, count in parts] if normalize else list(scored.scores)
    assert list(found.word_scores.values()) == means


def test_a_template_that_leaves_no_room_is_an_error(tmp_path: Path, bert_mlm: Tiny) -> None:
    keys = {**keyed(a="good", b="great"), "text": "a " * LENGTH + "{mask} {text}"}
    assert "the template alone takes" in linted(tmp_path, keys, bert_mlm)["too-long"]


def test_a_template_for_another_scorer_is_left_out_of_the_tokenizers_checks(tmp_path: Path, gpt2: Tiny) -> None:
    assert set(linted(tmp_path, keyed(a="good", b="☃"), gpt2)) == {"other-scorer"}


@pytest.mark.parametrize("model", ["builtin:bert", "builtin:gpt2"])
def test_the_whole_shelf_lints_clean_with_the_built_in_tokenizers(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["templates", "lint", "-m", model]) == 0
    assert run_command(["verbalizers", "lint", "-m", model]) == 0
    assert "error" not in capsys.readouterr().out


# ------------------------------------------------------------------ watching


def test_a_watched_file_is_drawn_again_when_it_is_saved(tmp_path: Path) -> None:
    path, good = tmp_path / "t.yaml", 'scorer: mlm\ntext: "{text} was {mask}"\nverbalizer: en-good-bad\n'
    path.write_text(good, encoding="utf-8")
    command = [sys.executable, "-m", "promptshot", "templates", "preview", str(path), "a film", "--watch"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as run:
        watchdog = threading.Timer(60, run.kill)
        watchdog.start()
        try:
            assert run.stdout is not None
            _wait_for(run.stdout, "a film was ____")
            time.sleep(0.01)
            path.write_text(good.replace("mask", "msk"), encoding="utf-8")
            assert ":2: error no-mask" in _wait_for(run.stdout, "error")
            path.write_text(good.replace("was", "is"), encoding="utf-8")
            _wait_for(run.stdout, "a film is ____")
        finally:
            watchdog.cancel()
            run.kill()


def _wait_for(stream: Any, text: str) -> str:
    """The next line that holds the text; the watchdog ends a stream that has none."""
    for line in stream:
        if text in line:
            return str(line)
    raise AssertionError(f"no line with {text!r}")


def test_an_inline_text_cannot_be_watched(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["templates", "preview", "{mask} {text}", "--watch"]) == 1
    assert "--watch needs a file" in capsys.readouterr().err


# ------------------------------------------------------------------ verbalizers


def test_a_verbalizer_shows_its_words_with_labels_and_without_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["verbalizers", "preview", "zh-satisfied"]) == 0
    shown = capsys.readouterr().out
    assert "2 words of 2 labels" in shown
    assert [line.split() for line in shown.splitlines()[-2:]] == [["很", "positive"], ["不", "negative"]]


@pytest.mark.parametrize("model", ["builtin:bert", "builtin:gpt2"])
def test_a_verbalizer_shows_the_tokens_that_a_scorer_would_look_for(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = load_tokenizer(ModelOptions(model=model))
    assert run_command(["verbalizers", "preview", "en-news", "-m", model, "--ids"]) == 0
    lines = capsys.readouterr().out.splitlines()
    space = " " if model == "builtin:gpt2" else ""
    for line in lines[2:]:
        word = line.split()[0]
        ids = [int(token.rpartition(":")[2]) for token in line.split()[2:]]
        assert ids == tokenizer.encoder.tokenizer(f"{space}{word}", add_special_tokens=False)["input_ids"], line


def test_a_verbalizer_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["verbalizers", "preview", "zh-satisfid"]) == 1
    assert "did you mean 'zh-satisfied'" in capsys.readouterr().err


def test_the_name_of_a_file_is_not_taken_for_a_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("films.csv", "notes"):
        (tmp_path / name).write_text("text,label\na film,good\n")
        assert run_command(["templates", "preview", "{text} was {mask}", name]) == 1
        assert f"row 1: {name}: this is the name of a file, not the text of a row" in capsys.readouterr().err
    assert "  a film was ____" in shown(capsys, "{text} was {mask}", "films.csv:2")


@pytest.mark.parametrize("said", ["flims.csv", "flims.csv:2", "data/rows.JSONL", "/no/such/rows.tsv.gz:7"])
def test_a_file_that_is_not_there_is_not_taken_for_a_text(said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["templates", "preview", "{text} was {mask}", said]) == 1
    assert f"row 1: {said}: no such file; check the path" in capsys.readouterr().err


@pytest.mark.parametrize("said", ["we met at 10:30", "see films.csv", "x" * 5000 + ":3", "note: 1", "a.b:2"])
def test_a_text_is_still_a_text(said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"  {said} was ____" in shown(capsys, "{text} was {mask}", said)
    assert '"flims.csv" was' not in shown(capsys, "{text} was {mask}", '{"text": "flims.csv"}')


def test_a_long_text_is_shown_piece_by_piece_and_scored_once(
    bert_mlm: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "it was a good day , " * 30
    ask = [
        "templates",
        "preview",
        "{text} it was {mask}",
        "--labels",
        "good,awful",
        "-m",
        bert_mlm.name,
        "--scores",
        text,
    ]
    assert run_command(ask) == 0
    assert "of the row were cut" in capsys.readouterr().out
    assert run_command([*ask, "--long", "windows"]) == 0
    said = capsys.readouterr().out
    count = int(re.findall(r"piece 1 of (\d+)", said)[0])
    assert count > 1
    assert all(f"piece {number} of {count}" in said for number in range(1, count + 1))
    assert (said.count("probability"), said.count("of the row were cut")) == (1, 0)
    assert run_command([*ask, "--long", "hierarchical"]) == 0
    assert f"of {4 * LENGTH}" in capsys.readouterr().out
    assert run_command([*ask, "--long-stride", "3"]) == 1
    assert "--long-stride is for --long windows" in capsys.readouterr().err
