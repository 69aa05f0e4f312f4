"""Why a row gets its label: every number of an explanation, beside the plain way to the same."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers import Tiny, failed, put_in, template_of, write_rows
from rich.cells import cell_len

from promptshot import Classifier
from promptshot.authoring import clauses
from promptshot.authoring.explain import Explanation, explain
from promptshot.classify import decide
from promptshot.classify.calibrate import Calibration
from promptshot.classify.prediction import Prediction
from promptshot.classify.recipe import DemoPlan, Recipe
from promptshot.cli import run_command
from promptshot.errors import OptionError, RowError
from promptshot.prompts.verbalizer import Pool, Verbalizer
from promptshot.report import console
from promptshot.rows.row import Row
from promptshot.scorers.fake import FakeScorer
from promptshot.scoring import ModelOptions, Prompt, Scored

TEXT = "The plot is thin, but the cast is great! I left at 3.5, happy."
PARTS = ["The plot is thin,", "but the cast is great!", "I left at 3.5,", "happy."]
WORDS = Verbalizer(
    "v", {"good": {"great": 1.0, "fine": 0.5, "nice": 2.0}, "bad": {"awful": 1.0, "poor": 3.0}, "so": {"so": 1.0}}
)


def log_odds(chances: Mapping[str, float], label: str) -> float:
    return math.log(chances[label] / (1 - chances[label]))


class Counting(FakeScorer):
    """Remembers how it was asked."""

    def __init__(self, options: ModelOptions | None = None) -> None:
        super().__init__(options)
        self.calls: list[list[Prompt]] = []

    def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
        self.calls.append(list(prompts))
        return super().score(prompts)


def classifier_of(words: Verbalizer = WORDS, scorer: FakeScorer | None = None, **keys: Any) -> Classifier:
    template = template_of(**{"scorer": "nsp", "text": ["It was {mask}.", "{text}"], **keys})
    return Classifier(Recipe.of(template, words, "fake"), scorer or FakeScorer())


# ------------------------------------------------------------------ clauses


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (TEXT, PARTS),
        ("房间干净，早餐也不错。就是吵！", ["房间干净，", "早餐也不错。", "就是吵！"]),
        ("他说：“太好了。”我不信……真的？", ["他说：", "“太好了。”", "我不信……", "真的？"]),
        ("3.14 is 1,000 times e.g. this", ["3.14 is 1,000 times e.g.", "this"]),
        ("one line\nanother (so it goes.) End", ["one line", "another (so it goes.)", "End"]),
        ("no mark at all", ["no mark at all"]),
        ("!!! wow", ["!!! wow"]),
        ("好！！！？", ["好！！！？"]),
        ("", [""]),
    ],
)
def test_a_text_is_its_clauses(text: str, parts: list[str]) -> None:
    found = clauses.clauses(text)
    assert "".join(found) == text
    assert [part.strip() for part in found] == parts


@pytest.mark.parametrize("text", ["a b  c", " leading and\ttabs ", "word", "", "  "])
def test_words_are_the_text_too(text: str) -> None:
    found = clauses.words(text)
    assert "".join(found) == text
    assert all(part.strip() for part in found) or not text.strip()


def test_very_many_clauses_go_together() -> None:
    text = "".join(f"{i}," + " " for i in range(1000))
    found = clauses.clauses(text)
    assert "".join(found) == text
    assert len(found) == clauses.MOST
    assert max(map(len, found)) < 2 * min(map(len, found))


# ------------------------------------------------------------------ numbers


def test_the_prediction_is_that_of_a_run() -> None:
    classifier, row = classifier_of(), Row({"text": TEXT, "label": "bad"}, "f:1", 7)
    assert explain(classifier, row).prediction == classifier.predict(row)


def test_the_effect_of_a_clause_is_what_a_run_without_it_shows() -> None:
    classifier = classifier_of()
    found = explain(classifier, Row({"text": TEXT}))
    assert [part.text for part in found.clauses] == PARTS
    whole = clauses.clauses(TEXT)
    for number, part in enumerate(found.clauses):
        other = classifier.predict("".join(whole[:number] + whole[number + 1 :]))
        assert other.probabilities is not None
        assert part.probability == other.probabilities[found.label]
        assert part.label == other.label
        expected = log_odds(found.prediction.probabilities or {}, found.label) - log_odds(
            other.probabilities, found.label
        )
        assert part.effect == pytest.approx(expected)


def test_all_is_asked_in_one_call() -> None:
    scorer = Counting()
    explain(classifier_of(scorer=scorer), Row({"text": TEXT}))
    (call,) = scorer.calls
    assert len(call) == 1 + len(PARTS)


def test_a_row_of_two_texts_is_explained_by_the_clauses_of_both() -> None:
    classifier = classifier_of(text=["{a} It was {mask}.", "{b}"])
    row = Row({"a": "one, two.", "B": "three. four."})
    found = explain(classifier, row)
    assert [(part.place, part.text) for part in found.clauses] == [
        ("a", "one,"), ("a", "two."), ("b", "three."), ("b", "four."),
    ]  # fmt: skip
    other = classifier.predict({"a": "one, two.", "b": "four."})
    assert found.clauses[2].probability == (other.probabilities or {})[found.label]


def test_columns_that_were_named_are_left_out_of() -> None:
    template = template_of(scorer="nsp", text=["It was {mask}.", "{text}"])
    recipe = Recipe.of(template, WORDS, "fake", columns={"text": "subject,body"})
    classifier = Classifier(recipe, FakeScorer())
    found = explain(classifier, recipe.task.mapped(Row({"subject": "late", "body": "lost it, sad"})))  # type: ignore[arg-type]
    assert [part.text for part in found.clauses] == ["late", "lost it,", "sad"]
    assert all(part.effect is not None for part in found.clauses)


def test_the_items_of_a_list_are_left_out() -> None:
    classifier = classifier_of(text=["It was {mask}.", "{tags}"], fields={"tags": {"join": " / "}})
    found = explain(classifier, Row({"tags": ["red", "blue, dark"]}))
    assert [part.text for part in found.clauses] == ["red", "blue, dark"]
    other = classifier.predict({"tags": ["red"]})
    assert found.clauses[1].probability == (other.probabilities or {})[found.label]


def test_of_a_headline_words_are_left_out() -> None:
    found = explain(classifier_of(), Row({"text": "stocks fall again"}))
    assert [part.text for part in found.clauses] == ["stocks", "fall", "again"]


def test_what_cannot_be_left_out_says_why() -> None:
    classifier = classifier_of(text=["It was {mask}. {a}", "{b}"])
    found = explain(classifier, Row({"a": "only", "b": "one, two"}))
    assert (found.clauses[0].effect, found.clauses[0].problem) == (None, "field 'a' is empty")
    (alone,) = explain(classifier_of(), Row({"text": "好极了"})).clauses
    assert alone.effect is None
    assert "one-clause" in {remark.code for remark in explain(classifier_of(), Row({"text": "好极了"})).remarks()}


def test_a_row_that_cannot_be_used_is_an_error_with_its_place() -> None:
    with pytest.raises(RowError, match="f:3: no field 'text'"):
        explain(classifier_of(), Row({"words": "x"}, "f:3"))


@pytest.mark.parametrize("pool", ["mean", "max", "logsumexp"])
def test_the_parts_of_words_sum_to_the_score_of_their_label(pool: Pool) -> None:
    found = explain(classifier_of(replace(WORDS, pool=pool)), Row({"text": TEXT}))
    for label, score in found.prediction.label_scores.items():
        parts = [word.part for word in found.words if word.label == label]
        assert math.fsum(parts) == pytest.approx(score)
    assert {word.word: word.score for word in found.words} == found.prediction.word_scores


@pytest.mark.parametrize("pool", ["mean", "max", "logsumexp"])
def test_the_effect_of_a_word_is_what_a_verbalizer_without_it_shows(pool: Pool) -> None:
    words = replace(WORDS, pool=pool)
    found = explain(classifier_of(words), Row({"text": TEXT}))
    for word in found.words:
        if word.word == "so":
            assert word.effect is None  # its label would have none
            continue
        labels = {label: {w: x for w, x in of.items() if w != word.word} for label, of in words.labels.items()}
        other = classifier_of(replace(words, labels=labels)).predict(TEXT)
        now = log_odds(found.prediction.probabilities or {}, found.label)
        assert word.effect == pytest.approx(now - log_odds(other.probabilities or {}, found.label))


def demonstrated(tmp_path: Path, scorer: FakeScorer | None = None, **plan: Any) -> Classifier:
    path = write_rows(
        tmp_path / "demos.jsonl", [{"text": f"text {i}", "label": ["good", "bad"][i % 2]} for i in range(8)]
    )
    template = template_of(scorer="causal", text="{text} It was {mask}", separator="\n\n")
    words = Verbalizer("v", {"good": {"fine": 1.0}, "bad": {"poor": 1.0}})
    recipe = Recipe.of(template, words, "fake", demos=DemoPlan(path, 4, **plan))
    return Classifier(recipe, scorer or FakeScorer())


def test_the_effect_of_a_demonstration_is_what_the_prompt_without_it_shows(tmp_path: Path) -> None:
    classifier, row = demonstrated(tmp_path), Row({"text": TEXT})
    found = explain(classifier, row)
    (prompt,) = classifier.prompts(row)
    assert [part.text for part in found.demonstrations] == [piece.text.strip() for piece in prompt.pieces[:4]]
    now = log_odds(found.prediction.probabilities or {}, found.label)
    for number, part in enumerate(found.demonstrations):
        less = replace(prompt, pieces=(*prompt.pieces[:number], *prompt.pieces[number + 1 :]))
        (scored,) = FakeScorer().score([less])
        chances = decide.softmax(dict(zip(("good", "bad"), scored.scores, strict=True)))
        assert part.effect == pytest.approx(now - log_odds(chances, found.label))


def test_a_row_without_a_clause_keeps_its_demonstrations(tmp_path: Path) -> None:
    """The nearest to the row, not those nearest to what is left of it."""
    scorer = Counting()
    explain(demonstrated(tmp_path, scorer, by="nearest"), Row({"text": "text 3, text 5. text 6"}))
    (call,) = scorer.calls
    shots = [tuple(piece.text for piece in prompt.pieces if piece.kind.value == "demo") for prompt in call]
    assert len({one for one in shots if len(one) == 4}) == 1
    assert [len(one) for one in shots] == [4, 4, 4, 4, 3, 3, 3, 3]


def test_demonstrations_in_chunks_are_left_out_one_by_one(tmp_path: Path) -> None:
    found = explain(demonstrated(tmp_path, chunks=2), Row({"text": TEXT}))
    assert len(found.demonstrations) == 4
    assert all(part.effect is not None for part in found.demonstrations)


def ensemble_of(*texts: str, scorer: FakeScorer | None = None) -> Classifier:
    one = scorer or FakeScorer()
    recipes = [
        Recipe.of(template_of(scorer="mlm", text=text), replace(WORDS, name=f"v{i}"), "fake")
        for i, text in enumerate(texts)
    ]
    first, *others = recipes
    return Classifier(replace(first, others=tuple(others)), one, [Classifier(other, one) for other in others])


def test_the_templates_of_an_ensemble_sum_to_its_score_and_are_left_out() -> None:
    texts = ("{mask}: {text}", "{text} {mask}", "So {mask}? {text}")
    classifier = ensemble_of(*texts)
    found = explain(classifier, Row({"text": TEXT}))
    assert found.prediction == classifier.predict(Row({"text": TEXT}))
    assert math.fsum(one.part for one in found.templates) == pytest.approx(found.prediction.label_scores[found.label])
    now = log_odds(found.prediction.probabilities or {}, found.label)
    for number, one in enumerate(found.templates):
        alone = ensemble_of(texts[number]).predict(TEXT)
        assert (one.label, one.probability) == (alone.label, pytest.approx((alone.probabilities or {})[found.label]))
        rest = ensemble_of(*texts[:number], *texts[number + 1 :]).predict(TEXT)
        assert one.effect == pytest.approx(now - log_odds(rest.probabilities or {}, found.label))


def test_an_ensemble_asks_each_template_once_and_its_words_are_told_apart() -> None:
    scorer = Counting()
    found = explain(ensemble_of("{mask}: {text}", "{text} {mask}", scorer=scorer), Row({"text": TEXT}))
    assert [len(call) for call in scorer.calls] == [5, 5]
    assert len(found.words) == 12
    assert {(f"{i}: {word.word}", word.score) for i in (1, 2) for word in found.words[6 * (i - 1) : 6 * i]} == {
        *found.prediction.word_scores.items()
    }


@pytest.mark.parametrize("texts", [("{mask}: {text}",), ("{mask}: {text}", "{text} {mask}")])
@pytest.mark.parametrize("method", ["content-free", "pmi"])
def test_what_is_calibrated_is_explained_as_calibrated(method: Any, texts: tuple[str, ...]) -> None:
    plain = ensemble_of(*texts)
    recipe = replace(plain.recipe, calibration=Calibration(method))
    classifier = Classifier(recipe, FakeScorer(), plain.others)
    found, row = explain(classifier, Row({"text": TEXT})), Row({"text": TEXT})
    assert found.prediction == classifier.predict(row)
    other = classifier.predict("".join(clauses.clauses(TEXT)[1:]))
    assert found.clauses[0].probability == (other.probabilities or {})[found.label]
    for label, of in WORDS.labels.items():
        for word in of if len(of) > 1 else ():
            (part,) = [one for one in found.words if one.word == word][:1]
            labels = {**WORDS.labels, label: {w: x for w, x in of.items() if w != word}}
            less = replace(plain.recipe.task, verbalizer=replace(plain.recipe.verbalizer, labels=labels))
            without = Classifier(replace(recipe, task=less), FakeScorer(), plain.others)
            without.fitted = classifier.fitted  # what was fitted stays: not all of it is anew for fewer words
            chances = without.predict(row).probabilities or {}
            now = log_odds(found.prediction.probabilities or {}, found.label)
            assert part.effect == pytest.approx(now - log_odds(chances, found.label))


def test_a_calibration_by_the_whole_run_explains_no_row() -> None:
    recipe = replace(classifier_of().recipe, calibration=Calibration("prior"))
    with pytest.raises(OptionError, match="decided over a whole run"):
        explain(Classifier(recipe, FakeScorer()), Row({"text": TEXT}))


def test_a_pair_is_explained_by_its_score() -> None:
    classifier = classifier_of(text=["{text}", "{other}"], ordered=["no", "yes"])
    row = Row({"text": "one, two", "other": "three, four"})
    found = explain(classifier, row)
    assert (found.label, found.measure) == ("", "score")
    assert found.value == next(iter(found.prediction.label_scores.values()))
    twin = Row({"text": "one, ", "other": "three, four"})
    (other,) = [one for one in classifier.outcomes([twin]) if isinstance(one, Prediction)]
    assert found.clauses[1].effect == pytest.approx(found.value - next(iter(other.label_scores.values())))
    assert not found.words
    assert "decided over a whole run" in next(iter(found.remarks())).line


def test_words_of_the_row_are_labels() -> None:
    classifier = Classifier.load("en-choice-mlm", scorer="fake")
    row = Row({"question": "What floats, and why?", "choices": ["rock", "wood, dry"], "answer": "B"})
    found = explain(classifier, row)
    assert found.label in ("rock", "wood, dry")
    assert {word.word for word in found.words} == {"rock", "wood, dry"}
    assert {part.place for part in found.clauses} == {"question"}


def test_everything_is_plain_data() -> None:
    found = explain(ensemble_of("{mask}: {text}", "{text} {mask}"), Row({"text": TEXT, "id": 3}, "f:1"))
    record = json.loads(json.dumps(found.record()))
    assert (record["id"], record["prediction"], record["source"]) == (3, found.label, "f:1")
    assert [part["text"] for part in record["clauses"]] == PARTS
    assert len(record["words"]) == 12
    assert [one["name"] for one in record["templates"]] == [one.name for one in found.templates]


@pytest.mark.torch
def test_the_tokens_of_a_word_are_its_score(bert_mlm: Tiny, gpt2: Tiny) -> None:
    cloze = template_of(scorer="mlm", text="it was {mask} . {text}")
    goes_on = template_of(scorer="causal", text="{text}\nTopic:\n{mask}")
    even = Verbalizer("v", {"a": {"good": 1.0}, "b": {"great": 1.0}})
    uneven = Verbalizer("v", {"a": {"good": 1.0}, "b": {"体育": 1.0}})
    row = Row({"text": "the food was awful , but we liked the town"})
    for template, words, tiny in ((cloze, even, bert_mlm), (cloze, uneven, bert_mlm), (goes_on, uneven, gpt2)):
        classifier = Classifier.of(Recipe.of(template, words, options=ModelOptions(tiny.name)))
        found = explain(classifier, row)
        averaged = classifier.predict(row).averaged
        for word in found.words:
            assert word.averaged is averaged
            own = [token.score for token in word.tokens if averaged is False or not token.lead]
            total = math.fsum(own)
            assert (total / len(own) if averaged else total) == pytest.approx(word.score, abs=1e-4)
    assert classifier_words(cloze, uneven, bert_mlm, row)["体育"] == ["体", "育"]


def classifier_words(template: Any, words: Verbalizer, tiny: Tiny, row: Row) -> dict[str, list[str]]:
    found = explain(Classifier.of(Recipe.of(template, words, options=ModelOptions(tiny.name))), row)
    return {word.word: [token.text for token in word.tokens] for word in found.words}


@pytest.mark.torch
def test_a_judge_of_next_sentences_has_words_without_tokens(bert: Tiny) -> None:
    template = template_of(scorer="nsp", text=["it was {mask}", "{text}"])
    words = Verbalizer("v", {"a": {"good": 1.0}, "b": {"great": 1.0}})
    found = explain(
        Classifier.of(Recipe.of(template, words, options=ModelOptions(bert.name))), Row({"text": "a good day , a town"})
    )
    assert [word.tokens for word in found.words] == [(), ()]
    assert len(found.clauses) == 2


# ------------------------------------------------------------------ the command

ASKED = ("-t", '["It was {mask}.", "{text}"]', "--scorer", "fake", "--labels", "good=great|fine|nice,bad=awful|poor")


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run_command(["explain", *arguments]) == 0
    return capsys.readouterr().out


@pytest.fixture
def rows(tmp_path: Path) -> str:
    return write_rows(tmp_path / "rows.jsonl", [{"text": "first, and so on"}, {"text": TEXT, "label": "bad"}])


def test_a_text_a_row_of_a_file_and_standard_input_are_explained_alike(
    rows: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{TEXT}\n".encode())))
    ways = [(TEXT,), (rows, "--row", "2"), (f"{rows}:2",), (json.dumps({"text": TEXT}),), ("-",)]
    found = [json.loads(shown(capsys, *way, *ASKED, "--json")) for way in ways]
    for one in found[1:]:
        assert one["probabilities"] == found[0]["probabilities"]
        assert one["clauses"] == found[0]["clauses"]
    assert [one["source"] for one in found] == ["row 1", f"{rows}:2", f"{rows}:2", "row 1", "<stdin>:1"]
    assert found[1]["gold"] == "bad"


def test_the_picture_has_every_part_with_a_bar(rows: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, rows, "--row", "2", *ASKED)
    for part in PARTS:
        assert f"\n{part} " in out
    assert "bad (gold)" in out
    for title in ("left out of the row", "label words"):
        assert f"\n{title}\n" in out
    assert out.count("│") == len(PARTS) + 5


def test_bars_stand_on_the_side_of_their_sign_and_are_as_long_as_their_numbers() -> None:
    found = explain(classifier_of(), Row({"text": TEXT}))
    from promptshot.report.explain import WIDEST, _effect

    screen = console.data()
    effects = [part.effect for part in found.clauses if part.effect is not None]
    largest = max(map(abs, effects))
    for effect in [*effects, 0.0, largest, -largest]:
        number, bar = _effect(screen, effect, largest)
        left, _, right = bar.plain.partition("│")
        assert float(number) == pytest.approx(effect, abs=0.005)
        assert cell_len(left) == WIDEST
        assert ("█" in left) == (effect < 0 and round(abs(effect) / largest * WIDEST) > 0)
        assert not (left.strip() and right.strip())


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_a_picture_fits_into_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from promptshot.report import explain as report

    text = "房间干净，早餐也不错，就是隔壁装修太吵，一晚上没有睡好。The staff were kind, though!"
    found = explain(ensemble_of("{mask}: {text}", "{text} {mask}"), Row({"text": text}))
    plain = {"color_system": None, "highlight": False, "markup": False}
    screen: Any = console._Console(file=io.StringIO(), width=columns, force_terminal=True, **plain)
    monkeypatch.setattr(report, "data", lambda: screen)
    monkeypatch.setattr("promptshot.report.console.people", lambda: screen)
    report.show_explanation(found)
    lines = screen.file.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= columns
    assert "\x1b" not in screen.file.getvalue()
    assert any("effect" in line for line in lines)


def test_a_terminal_without_unicode_gets_plain_bars(rows: str) -> None:
    command = [sys.executable, "-m", "promptshot", "explain", rows, "--row", "2", *ASKED]
    env = {"PATH": "/usr/bin:/bin", "PYTHONIOENCODING": "ascii", "PYTHONPATH": ":".join(sys.path), "LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, env=env, timeout=120, check=True)
    out = done.stdout.decode("ascii")
    assert "|" in out
    assert "#" in out
    assert "\\u" not in out


def test_a_calibrated_explanation_has_the_probabilities_of_a_calibrated_run(
    rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dev = write_rows(tmp_path / "dev.jsonl", [{"text": f"row {i}", "label": ["good", "bad"][i % 2]} for i in range(8)])
    for way in (("content-free",), ("few-label", "--dev", dev)):
        out = str(tmp_path / f"{way[0]}.jsonl")
        assert run_command(["classify", rows, *ASKED, "-q", "--calibrate", *way, "-o", out]) == 0
        run = json.loads(Path(out).read_text(encoding="utf-8").splitlines()[1])
        found = json.loads(shown(capsys, rows, "--row", "2", *ASKED, "--calibrate", *way, "--json"))
        assert found["probabilities"] == run["probabilities"]
        assert found["prediction"] == run["prediction"]


def test_a_pair_with_fixed_thresholds_has_a_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dev = write_rows(tmp_path / "dev.jsonl", [{"text_a": f"a {i}", "text_b": f"b {i}"} for i in range(9)])
    row = json.dumps({"text_a": "房间干净，又安静", "text_b": "不吵"})
    found = json.loads(shown(capsys, row, "-t", "zh-same-nsp", "--scorer", "fake", "--dev", dev, "--json"))
    assert found["prediction"] in ("same", "different")
    assert "fixed thresholds" in found["remarks"][0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a text", "--calibrate", "few-label"), "calibration few-label needs labelled rows"),
        (("{rows}", "--row", "3"), "no row 3: there are 2; --row 1 to 2"),
        (("a text", "--row", "2"), "--row is for a file, and 'a text' is none"),
        (("lost.jsonl",), "lost.jsonl: no such file"),
        (("",), "field 'text' is empty"),
        (("a text", "-k", "3"), "-k needs rows to draw from"),
        (("a text", "--demos-by", "nearest"), "--demos-by needs rows to draw from"),
    ],
)
def test_what_cannot_be_explained_is_one_line(
    arguments: tuple[str, ...], said: str, rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [one.replace("{rows}", rows) for one in arguments]
    assert said in failed(capsys, "explain", *given, *ASKED, "-q")


def test_a_broken_row_is_one_line_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put_in(tmp_path, "rows.jsonl", '{"text": "good, fine"}\n{"text": \n')
    assert f"{path}:2: " in failed(capsys, "explain", path, "--row", "2", *ASKED, "-q")
    assert json.loads(shown(capsys, path, *ASKED, "--json"))["source"] == f"{path}:1"


def test_without_labels_it_says_how_to_name_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert "say --labels a,b,c" in failed(capsys, "explain", "a fine day", "--scorer", "fake", "-q")


def test_an_explanation_is_a_value_of_python() -> None:
    found = explain(Classifier.load("zh-sentiment-mlm", scorer="fake"), Row({"text": "房间干净，早餐也不错。"}))
    assert isinstance(found, Explanation)
    assert [part.text for part in found.clauses] == ["房间干净，", "早餐也不错。"]
