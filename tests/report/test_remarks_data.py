"""What is worth saying of runs, comparisons and files is data with numbers in it, and that is what is drawn."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import pytest
from helpers import tally, write_rows

import promptshot
from promptshot.classify.prediction import Prediction
from promptshot.classify.recipe import DemoPlan, Recipe
from promptshot.compare.candidates import Candidate
from promptshot.compare.compare import Entry, Failure
from promptshot.compare.diff import Difference, diff
from promptshot.compare.standings import Comparison, Standing
from promptshot.errors import InputError
from promptshot.metrics import Tally
from promptshot.prompts import library
from promptshot.report import run
from promptshot.rows.row import Reject, Row
from promptshot.runs import remarks
from promptshot.runs.predictions import Counted, count
from promptshot.runs.remarks import MAJORITY, Remark, against_majority, unbalanced
from promptshot.runs.result import Result, circumstances
from promptshot.runs.wrong import Worst
from promptshot.scoring import ModelOptions

EVEN = {("yes", "yes"): 5, ("no", "no"): 4, ("yes", "no"): 3}


def recipe_of(name: str = "en-sentiment-mlm", **settings: Any) -> Recipe:
    template = library.template(name)
    return Recipe.of(template, library.verbalizer_of(template), "fake", **settings)


def result_of(counts: Tally | None = None, name: str = "en-sentiment-mlm", plan: DemoPlan | None = None) -> Result:
    return Result(recipe=recipe_of(name, demos=plan), tally=counts or tally(EVEN, "yes", "no"), fingerprint="")


def facts(found: list[Remark]) -> dict[str, Any]:
    return {remark.code: dict(remark.facts) for remark in found if remark.code not in MAJORITY}


# ------------------------------------------------------------------ a run


def test_nothing_is_worth_saying_of_a_run_without_labels_in_which_all_went_well() -> None:
    assert result_of(tally({(None, "yes"): 6, (None, "no"): 6}, "yes", "no")).remarks() == []


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({("yes", "yes"): 40, ("no", "no"): 38}, "above-majority"),
        ({("yes", "yes"): 4, ("no", "no"): 3, ("yes", "no"): 3}, "near-majority"),
        ({("yes", "no"): 30, ("no", "yes"): 20, ("no", "no"): 3}, "below-majority"),
    ],
)
def test_accuracy_is_set_against_the_majority_class(given: Any, code: str) -> None:
    counts = tally(given, "yes", "no")
    (remark,) = against_majority(counts)
    assert remark.code == code
    assert [remark.facts["accuracy"], remark.facts["majority"]] == [counts.accuracy, counts.majority]
    assert result_of(counts).remarks()[0] == remark
    assert Counted("p.jsonl", counts).remarks()[0] == remark


def test_a_run_says_what_was_done_to_its_rows() -> None:
    result = result_of()
    result.details = {"max_length": 96}
    result.cut, result.odd, result.first_odd = 7, 1, "r.csv:3: a quote within"
    result.changed = ("r.csv",)
    assert facts(result.remarks()) == {
        "changed": {"files": ["r.csv"]},
        "cut": {"rows": 7, "tokens": 96},
        "odd": {"rows": 1, "first": "r.csv:3: a quote within"},
    }
    said = [remark.line for remark in result.remarks()]
    assert "7 rows were too long and cut to fit 96 tokens" in said
    assert "1 row looks odd; the first, r.csv:3: a quote within" in said


def test_a_run_says_what_became_of_its_demonstrations() -> None:
    result = result_of(name="en-topic-causal", plan=DemoPlan("d.jsonl", 6, 11))
    result.dropped, result.short, result.lacking = 1200, 800, 2
    found = facts(result.remarks())
    assert found == {
        "dropped": {"rows": 800, "demonstrations": 1200},
        "one-draw": {"seed": 11, "k": 6},
        "lacking": {"rows": 2, "k": 6},
    }
    assert "800 rows lost demonstrations, oldest first, to fit the context (1,200 in all)" in [
        remark.line for remark in result.remarks()
    ]
    assert facts(result_of(name="en-topic-causal", plan=DemoPlan("d.jsonl", 0, 11)).remarks()) == {}


@pytest.mark.parametrize(("chunks", "more"), [(1, ": try --demo-chunks"), (2, "")])
def test_a_run_says_how_many_demonstrations_fit(chunks: int, more: str) -> None:
    result = result_of(name="en-topic-causal", plan=DemoPlan("d.jsonl", 12, chunks=chunks))
    row = Row({"text": "t"}, "r.jsonl:1")
    result.count([Prediction(row, "yes", {}, {}, None, dropped=n) for n in (0, 5, 3, 0)])
    (dropped,) = [remark for remark in result.remarks() if remark.code == "dropped"]
    assert dropped.facts == {"rows": 2, "demonstrations": 8, "fit": 7}
    line = "2 rows lost demonstrations, oldest first, to fit the context (8 in all); 7 of 12 fit before every row"
    assert dropped.line == line + more


@pytest.mark.parametrize(("averaged", "how"), [(False, "sum"), (True, "mean")])
def test_a_run_says_what_the_tokenizer_made_of_words_and_texts(averaged: bool, how: str) -> None:
    result = result_of()
    result.split, result.averaged, result.unknown, result.first_unknown = 3, averaged, 1, "r.jsonl:9"
    found = facts(result.remarks())
    assert found == {
        "unknown-text": {"rows": 1, "first": "r.jsonl:9"},
        "split-words": {"words": 3, "normalize": how},
    }


def test_a_run_hands_on_what_its_scorer_says_of_its_scores() -> None:
    result = result_of()
    assert "caution" not in {remark.code for remark in result.remarks()}
    result.details = {"caution": "made for poems", "device": "cpu"}
    assert Remark("caution", "made for poems") in list(result.remarks())
    (machine,) = [one.line for one in circumstances(result.recipe, result.details) if one.code == "machine"]
    assert machine == "device cpu"


def test_a_run_says_where_its_labels_come_from_and_which_rows_do_not_count() -> None:
    result = result_of(tally({(None, "neutral"): 3, ("neutral", "neutral"): 1}), "en-entailment-nsp")
    result.tally.unknown_gold.update({"perhaps": 2, "\x1b[1m": 1})
    result.doubt = "no row's label is 0"
    found = {remark.code: remark for remark in result.remarks()}
    prior = found["transductive"].facts["prior"]
    assert sum(prior.values()) == pytest.approx(1)
    assert list(prior) == list(result.recipe.labels)
    assert found["doubt"] == Remark("doubt", "no row's label is 0")
    assert found["unknown-gold"].facts == {"rows": 3, "values": ["perhaps", "\x1b[1m"]}
    assert "\x1b" not in found["unknown-gold"].line


def test_a_run_that_leans_says_to_which_label_and_by_how_many_rows() -> None:
    result = result_of(tally({("yes", "yes"): 9, ("no", "yes"): 12, ("no", "no"): 1}, "yes", "no"))
    assert facts(result.remarks())["leaning"] == {"label": "yes", "given": 21, "rows": 22, "gold": 9}


BUSINESS = ("World", "Sports", "Business", "Sci/Tech")


def of_shares(gold: Sequence[int], predicted: Sequence[int]) -> Tally:
    """Rows of four labels, so many of each, as many as possible predicted right."""
    right = [min(pair) for pair in zip(gold, predicted, strict=True)]
    given = {(label, label): count for label, count in zip(BUSINESS, right, strict=True)}
    missed = [label for label, of, hit in zip(BUSINESS, gold, right, strict=True) for _ in range(of - hit)]
    wrongly = [label for label, of, hit in zip(BUSINESS, predicted, right, strict=True) for _ in range(of - hit)]
    for pair in zip(missed, wrongly, strict=True):
        given[pair] = given.get(pair, 0) + 1
    return tally(given, *BUSINESS)  # type: ignore[arg-type]


COMMAND = "promptshot calibrate out.jsonl --method prior"


def said_of(counts: Tally, prior: dict[str, float] | None = None) -> list[str]:
    return [remark.line for remark in unbalanced(counts, COMMAND, prior)]


def test_predictions_far_from_balanced_are_told_with_the_command_to_try() -> None:
    counts = of_shares([50, 50, 50, 50], [40, 34, 124, 2])
    (remark,) = unbalanced(counts, COMMAND)
    assert remark.line == f"Business was predicted for 62% of the rows, Sci/Tech for 1%: see {COMMAND}"
    assert remark.facts["over"] == "Business"
    assert remark.facts["predicted"]["Sci/Tech"] == 0.01
    result = Result(recipe=recipe_of(), tally=counts, fingerprint="", calibrate=COMMAND)
    assert [one for one in result.remarks() if one.code == "unbalanced"] == [remark]
    result.calibrate = ""  # calibrated already, or nothing to calibrate
    assert "unbalanced" not in facts(result.remarks())


@pytest.mark.parametrize(
    ("gold", "predicted"),
    [
        ((20, 20, 140, 20), (22, 18, 138, 22)),  # as they are
        ((50, 50, 50, 50), (60, 48, 70, 22)),  # not far
        ((5, 5, 5, 5), (3, 3, 14, 0)),  # too few rows to tell
        ((50, 50, 50, 50), (3, 2, 190, 5)),  # nearly all of one label, which is told already
    ],
)
def test_balance_is_no_matter_where_gold_explains_it_where_rows_are_few_or_where_leaning_is_told(
    gold: Sequence[int], predicted: Sequence[int]
) -> None:
    assert said_of(of_shares(gold, predicted)) == []


def test_labels_that_are_not_equally_frequent_need_a_prior_that_is_named() -> None:
    (line,) = said_of(of_shares([10, 10, 160, 20], [90, 10, 80, 20]))
    assert line.startswith("World was predicted for 45% of the rows, Business for 40%: see promptshot")
    assert line.endswith("; name the shares of the labels there (--prior)")


def test_without_gold_labels_balance_is_doubted_by_more_and_a_prior_explains_it() -> None:
    given = tally(
        {(None, "World"): 20, (None, "Sports"): 20, (None, "Business"): 150, (None, "Sci/Tech"): 10}, *BUSINESS
    )
    (line,) = said_of(given)
    assert line.startswith(
        "Business was predicted for 75% of the rows, Sci/Tech for 5%: if the labels are about equally "
    )
    assert said_of(given, {"World": 0.1, "Sports": 0.1, "Business": 0.75, "Sci/Tech": 0.05}) == []
    assert said_of(given, dict.fromkeys(BUSINESS, 0.25)) == [
        f"Business was predicted for 75% of the rows, Sci/Tech for 5%: see {COMMAND}"
    ]
    nearer = {(None, "World"): 30, (None, "Sports"): 50, (None, "Business"): 90, (None, "Sci/Tech"): 30}
    assert said_of(tally(nearer, *BUSINESS)) == []


def test_a_run_that_leans_names_the_command_as_well() -> None:
    result = Result(
        recipe=recipe_of(), tally=of_shares([50, 50, 50, 50], [0, 0, 195, 5]), fingerprint="", calibrate=COMMAND
    )
    (line,) = (remark.line for remark in result.remarks() if remark.code == "leaning")
    assert line.endswith(f", or {COMMAND}")


def test_a_run_says_what_is_not_in_its_files() -> None:
    result = result_of()
    result.overwritten, result.left_out = ("prediction",), ("late", "later")
    result.rejects, result.tally.rejected = [Reject("r.txt:4", "3 cells under a header of 2", "a,b,c")], 2
    assert facts(result.remarks()) == {
        "overwritten": {"fields": ["prediction"]},
        "left-out-columns": {"columns": ["late", "later"]},
        "rejected": {
            "rows": 2,
            "path": None,
            "first": f"r.txt:4: 3 cells under a header of 2; {result.rejects[0].advice}",
        },
    }
    assert "keep them with --keep DIR;" in result.remarks("--keep DIR")[-1].line
    result.rejects_path = "o.rejects.jsonl"
    assert result.remarks()[-1].facts["path"] == "o.rejects.jsonl"
    assert result.remarks()[-1].line.startswith("2 rows were rejected, see o.rejects.jsonl; the first, r.txt:4")


def test_rows_that_went_wrong_and_are_not_in_their_file_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remarks, "MOST", 2)
    result = result_of()
    assert facts(result.remarks()) == {}  # no file was asked for
    result.worst = Worst(2)
    assert facts(result.remarks()) == {"unlisted": {"listed": 2, "wrong": 3}}
    result.worst = Worst(3)
    assert facts(result.remarks()) == {}


def test_circumstances_are_the_recipe_the_columns_the_machine_the_words_and_the_versions() -> None:
    recipe = recipe_of(columns={"text": "body"})
    found = list(circumstances(recipe, {"device": "cpu", "batch_budget": 512, "engine": ""}))
    assert list(dict.fromkeys(remark.code for remark in found)) == [
        "recipe", "columns", "machine", "label-words", "versions",
    ]  # fmt: skip
    by_code = {remark.code: remark for remark in found}
    assert by_code["columns"] == Remark("columns", "columns text=body", {"text": "body"})
    assert by_code["machine"].line == "device cpu, batch budget 512"  # what is empty is left out
    assert by_code["recipe"].facts == {"template": "en-sentiment-mlm", "scorer": "fake", "model": ""}
    words = {remark.facts["label"]: list(remark.facts["words"]) for remark in found if remark.code == "label-words"}
    assert words == {label: list(words) for label, words in recipe.verbalizer.labels.items()}
    assert by_code["versions"].facts["promptshot"] in by_code["versions"].line
    assert [remark.code for remark in circumstances(recipe_of(), {})][:2] == ["recipe", "label-words"]


def test_a_report_draws_all_remarks_of_a_run_and_no_others(capsys: pytest.CaptureFixture[str]) -> None:
    result = result_of()
    result.cut, result.split, result.tally.rejected = 2, 1, 1
    result.rejects = [Reject("r.jsonl:2", "no JSON", "")]
    run.show_result(result)
    err = capsys.readouterr().err.splitlines()
    majority, *others = result.remarks()
    assert majority.line in err
    assert [line.removeprefix("note: ") for line in err if line.startswith("note: ")] == [one.line for one in others]


# ------------------------------------------------------------------ a comparison


def entry(name: str, right: str, options: ModelOptions | None = None, plan: DemoPlan | None = None) -> Entry:
    """A candidate that had those rows right that have a 1."""
    recipe = recipe_of("en-topic-causal" if plan else "en-sentiment-mlm", options=options or ModelOptions(), demos=plan)
    counts = Tally(["yes", "no"])
    for number, one in enumerate(right):
        gold = ("yes", "no")[number % 2]
        counts.add(gold if one == "1" else ("no", "yes")[number % 2], gold)
    result = Result(recipe=recipe, tally=counts, fingerprint="")
    return Entry(Candidate(name, recipe), result, {i: one == "1" for i, one in enumerate(right)})


def compared(*entries: Entry, chosen: str | None = None) -> tuple[Comparison, list[Remark]]:
    comparison = Comparison(40, "", wanted=len(entries), entries=list(entries), chosen=chosen)
    return comparison, comparison.remarks(comparison.standings())


def test_nothing_is_said_of_a_comparison_without_standings() -> None:
    comparison = Comparison(40, "", failures=[Failure(entry("a", "1").candidate, InputError("no"))])
    assert comparison.remarks(comparison.standings()) == []


@pytest.mark.parametrize(
    ("first", "second", "code", "beaten"),
    [
        ("1" * 38 + "00", "10" * 20, "clearly-better", 1),
        ("1" * 30 + "0" * 10, "1" * 29 + "0" * 11, "not-clearly-better", 0),
    ],
)
def test_a_comparison_says_whether_the_first_is_clearly_better(first: str, second: str, code: str, beaten: int) -> None:
    comparison, found = compared(entry("one", first), entry("other", second))
    (verdict,) = (remark for remark in found if remark.code == code)
    best = comparison.standings()[0].entry
    assert verdict.facts == {
        "candidate": "one", "accuracy": best.accuracy, "beaten": beaten, "others": 1, "untold": 0,
    }  # fmt: skip
    assert verdict.line.startswith(f"one, the best here: {best.accuracy:.1%}, ")
    (alone,) = (remark for remark in compared(entry("one", first))[1] if remark.code == "alone")
    assert alone.line == f"one: {best.accuracy:.1%}"


def test_another_number_of_demonstrations_is_no_better_by_rows_alone() -> None:
    plan = DemoPlan("d.jsonl", 4, 2)
    _, found = compared(entry("shots", "1" * 40, plan=plan), entry("none", "10" * 20))
    by_code = {remark.code: remark for remark in found}
    assert by_code["not-clearly-better"].facts["untold"] == 1
    assert by_code["not-clearly-better"].facts["beaten"] == 0
    assert by_code["one-draw"].facts == {"candidates": ["shots"]}
    standings = compared(entry("shots", "1" * 40, plan=plan), entry("none", "10" * 20))[0].standings()
    assert standings[1].sure
    assert not standings[1].comparable(standings[0])


def test_a_comparison_says_how_it_was_tested_and_how_far_its_families_lie_apart() -> None:
    few = entry("few", "1" * 20 + "0" * 10)
    comparison, found = compared(entry("one", "1" * 30 + "0" * 10), few)
    by_code = {remark.code: remark for remark in found}
    assert by_code["tested"].facts == {"against": "one", "tests": 1}
    assert by_code["chosen-here"].facts == {"candidates": 2}
    assert by_code["fewer-rows"].facts == {"tests": 1, "least": 30, "rows": 40}
    assert by_code["spread"].facts == comparison.spreads[0].record()
    assert by_code["spread"].line == "2 candidates lie 8.3 points apart: one 75.0% to few 66.7%"
    chosen = [remark.code for remark in compared(entry("one", "10" * 20), few, chosen="few")[1]]
    assert "chosen-here" not in chosen


def test_a_comparison_names_the_candidates_that_a_remark_is_of() -> None:
    one, two, three = entry("one", "1" * 40), entry("two", "10" * 20), entry("three", "1100" * 10)
    one.result.cut = three.result.cut = 4
    two.result.tally.rejected, two.result.rejects = 1, [Reject("r.jsonl:1", "no JSON", "")]
    comparison, _ = compared(one, two, three)
    comparison.failures.append(Failure(entry("four", "").candidate, InputError("no head", hint="another model")))
    found = comparison.remarks(comparison.standings())
    by_code = {remark.code: remark for remark in found}
    assert sorted(by_code["cut"].facts["candidates"]) == ["one", "three"]
    assert by_code["cut"].facts["rows"] == 4
    assert by_code["rejected"].facts["candidates"] == ["two"]
    assert "keep them with --predictions DIR" in by_code["rejected"].line
    assert found[0].facts == {"candidate": "four", "reason": "no head; another model"}
    assert not {remark.code for remark in found} & set(MAJORITY)


def test_a_comparison_says_who_leans_and_who_is_built_in() -> None:
    builtin = replace(recipe_of(), scorer="mlm")
    lean = entry("lean", "10" * 20)
    standings = [Standing(Entry(Candidate("small", builtin), lean.result, {})), Standing(entry("own", "1" * 40))]
    by_code = {remark.code: remark for remark in Comparison(40, "").remarks(standings)}
    assert by_code["built-in-model"].facts == {"candidates": ["small"]}
    assert by_code["leaning"].facts == {"candidates": ["small"], "of": 2}


# ------------------------------------------------------------------ files of predictions


def stored(path: Path, said: str, gold: str) -> str:
    lines = (f"t{i},{a},{g}" for i, (a, g) in enumerate(zip(said, gold, strict=True)))
    path.write_text("text,prediction,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("one", "other", "code"),
    [("yn" * 15, "yn" * 15, "no-clear-difference"), ("ny" * 15, "yn" * 15, "clear-difference")],
)
def test_two_files_say_whether_one_is_clearly_better(one: str, other: str, code: str, tmp_path: Path) -> None:
    found = diff(stored(tmp_path / "a.csv", one, "yn" * 15), stored(tmp_path / "b.csv", other, "yn" * 15))
    (verdict,) = found.remarks()
    assert verdict.code == code
    assert verdict.facts == {"difference": found.paired.difference, "p": found.paired.p, "rows": 30}


def test_two_files_say_what_is_not_counted_in_both_or_in_which() -> None:
    unlike = Tally(["y"]), Tally(["y"])
    unlike[0].add("y", None, None)
    unlike[1].add("y", None, "z")
    first, *others = Difference(("a", "b"), unlike).remarks()
    assert (first.code, first.facts["rows"]) == ("no-common-labels", 1)
    assert [(remark.code, remark.facts["file"], remark.line[:3]) for remark in others] == [
        ("unlabelled", "A", "A: "),
        ("unknown-gold", "B", "B: "),
    ]
    alike = Difference(("a", "b"), (unlike[1], unlike[1])).remarks()[1:]
    assert [(remark.code, "file" in remark.facts) for remark in alike] == [("unknown-gold", False)]


def test_a_stored_file_says_which_predictions_are_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    rows = [{"text": "t", "prediction": "y", "label": "oui"}, {"text": "u", "prediction": "n"}, {"text": "v"}]
    write_rows(path, rows)
    found = facts(count(str(path)).remarks())
    assert found["nothing-counted"] == {"rows": 1}
    assert found["unlabelled"] == {"rows": 1}
    assert found["rejected"]["rows"] == 1
    assert found["rejected"]["first"].startswith(f"{path}:3: ")


# ------------------------------------------------------------------ the house


def test_every_code_is_said_somewhere() -> None:
    said = set()
    for path in Path(promptshot.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Remark":
                first = node.args[0]
                said |= {first.value} if isinstance(first, ast.Constant) else set()
    assert set(get_args(remarks.Code)) - said == {"alone"}  # with others, by one call


def test_remarks_are_made_without_what_draws_them() -> None:
    imports = "from promptshot.compare import compare, diff; from promptshot.runs import predictions"
    code = f"import sys; {imports}; print('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "False"


def test_remarks_are_plain_data() -> None:
    result = result_of()
    result.cut, result.changed = 1, ("a",)
    _, found = compared(entry("one", "1" * 40), entry("two", "10" * 20))
    for remark in [*result.remarks(), *found]:
        assert json.loads(json.dumps(asdict(remark))) == asdict(remark)
