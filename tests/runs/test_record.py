"""The run record: it is read as it was written, whoever wrote it, and it is enough to start from without a model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers import read_rows, small_windows

from promptshot.classify import decide
from promptshot.classify.finish import finished
from promptshot.classify.recipe import Recipe
from promptshot.cli import run_command
from promptshot.errors import InputError, PromptshotError
from promptshot.prompts import library
from promptshot.rows.read import read
from promptshot.runs import record
from promptshot.runs.record import FORMAT, Later, RecordedRecipe, RunRecord, written
from promptshot.runs.run import Watcher

EARLIER = Path(__file__).parents[1] / "records" / "0.1.0"  # as 0.1.0 wrote them, and what it then said of them
MOVIES = [
    {"text": "好看，值得再看一遍。", "label": "positive"},
    {"text": "An hour too long.", "label": "neg"},
    {"text": "演员很用心", "label": "1"},
    {"text": "I left before the end", "label": "negative"},
    {"text": ""},
    {"text": "音乐动听", "label": "unsure"},
]
PAIRS = [
    {"text_a": f"甲{n}走进房间", "text_b": f"乙{n * n % 7}在里面", "label": ["entailment", "neutral"][n % 2]}
    for n in range(9)
]
CHOICES = [
    {"question": "哪个是水果？", "candidates": ["苹果", "石头"], "label": "苹果"},
    {"question": "What is cold?", "candidates": ["ice", "fire", "wool"], "label": 0},
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, lines in {"movies": MOVIES, "pairs": PAIRS, "choices": CHOICES}.items():
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        Path(f"{name}.jsonl").write_text(text, encoding="utf-8")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows a window, each of which is marked."""
    small_windows(monkeypatch, 2)


def classify(*said: str) -> int:
    return run_command(["classify", *said, "--scorer", "fake", "-q"])


def movies(out: str = "o.jsonl", *said: str) -> RunRecord:
    """The record of a run over movies."""
    assert classify("movies.jsonl", "-t", "en-sentiment-mlm", "-o", out, *said) == 3
    return found(out)


def found(out: str = "o.jsonl") -> RunRecord:
    there = record.read_whole(f"{out}.run.json")
    assert there is not None
    return there


def stopped(monkeypatch: pytest.MonkeyPatch, out: str = "o.jsonl") -> None:
    """A run over movies that was stopped after two windows of two rows."""

    def stop(self: Watcher, rows: int, tally: object) -> None:
        if rows >= 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("promptshot.report.progress.Watch.counted", stop)
        assert classify("movies.jsonl", "-t", "en-sentiment-mlm", "-o", out) == 130


def plain(out: str = "o.jsonl") -> dict[str, Any]:
    said: dict[str, Any] = json.loads(Path(f"{out}.run.json").read_text(encoding="utf-8"))
    return said


def put(said: Mapping[str, Any], out: str = "o.jsonl") -> None:
    """Write a record with its checksum."""
    Path(f"{out}.run.json").write_text(written(said), encoding="utf-8")


def at(said: Any, place: Sequence[str | int]) -> Any:
    for key in place:
        said = said[key]
    return said


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command ended with."""
    line = capsys.readouterr().err
    assert line.count("\n") == 1, line
    return line.strip()


# ------------------------------------------------------------------ what it says


def test_a_record_is_read_as_it_was_written() -> None:
    there = movies("o.csv", "--errors", "wrong.jsonl")
    assert there.text() == Path("o.csv.run.json").read_text(encoding="utf-8")
    assert (there.format, there.complete, there.rows_read) == (FORMAT, True, 6)
    assert there.label_order == ("positive", "negative")
    assert (there.accuracy, there.labelled, there.unknown, there.rejected) == (0.5, 4, 1, 1)
    assert there.counts is not None
    assert there.counts.rejects[0].source == "movies.jsonl:5"
    assert there.recipe.template is not None
    assert there.recipe.template.text == "{text} It was {mask}."
    assert there.recipe.verbalizer.labels == {"positive": {"great": 1.0}, "negative": {"terrible": 1.0}}
    assert there.recipe.options.dtype == "auto"
    assert there.versions["promptshot"]
    assert there.inputs[0].bytes == Path("movies.jsonl").stat().st_size


def test_names_of_half_characters_are_read_as_they_were_written() -> None:
    name = b"\xff\xe4.jsonl".decode(errors="surrogateescape")
    shutil.copy("movies.jsonl", name)
    assert classify(name, "-t", "en-film-mlm", "-o", "o.jsonl") == 3
    assert found().inputs[0].path == name


def test_the_format_stands_first_and_of_what_is_not_known_nothing(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(monkeypatch)
    said = plain()
    assert next(iter(said)) == "format"
    assert not {"accuracy", "counts", "rows_read", "written"} & said.keys()
    assert found().accuracy is None


def test_a_stopped_run_tells_its_recipe_so_that_its_rows_are_read_as_they_are_meant(
    small: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped(monkeypatch)
    assert found().recipe == movies("whole.jsonl").recipe
    capsys.readouterr()
    assert run_command(["report", "o.jsonl", "--json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)["files"]
    assert (said["labelled"], said["unknown"]) == (4, 0), "neg and 1 are labels, too"


def restored(out: str) -> Recipe:
    """The recipe that a record tells, of which nothing is left out."""
    there = record.read(f"{out}.run.json")
    assert there is not None
    recipe = there.restored(f"{out}.run.json")
    assert recipe.as_dict() == plain(out)["recipe"]
    return recipe


SHARES = "contradiction=6,neutral=1,entailment=3"


@pytest.mark.parametrize(
    "said",
    [
        ["movies.jsonl", "-t", "en-sentiment-mlm"],
        ["movies.jsonl", "-t", "{text} 总之{mask}", "--verbalizer", "words.yaml"],
        ["movies.jsonl", "-t", "en-sentiment-mlm", "--prior", "positive=0.3,negative=0.7"],
        ["movies.jsonl", "-t", "en-sentiment-mlm", "-t", "en-film-mlm"],
        ["choices.jsonl", "-t", "en-choice-mlm"],
        ["pairs.jsonl", "-t", "zh-entailment-nsp"],
        ["pairs.jsonl", "-t", "zh-entailment-nsp", "--dev", "pairs.jsonl"],
        ["pairs.jsonl", "-t", "zh-entailment-nsp", "--prior", SHARES],
        ["pairs.jsonl", "-t", "zh-entailment-nsp", "--prior", SHARES, "--dev", "pairs.jsonl"],
    ],
    ids=[
        "words",
        "pool",
        "prior",
        "ensemble",
        "own words",
        "ranks",
        "thresholds",
        "ranks by shares",
        "thresholds by shares",
    ],
)
def test_rows_and_record_are_enough_for_the_same_labels_and_probabilities(said: list[str]) -> None:
    words = "labels: {positive: {好: 2, great: 0.5}, negative: [差, bad, 烂]}\npool: logsumexp\ngold: {positive: '1'}\n"
    Path("words.yaml").write_text(words, encoding="utf-8")
    said = ["./words.yaml" if part == "words.yaml" else part for part in said]
    assert classify(*said, "-o", "o.jsonl") in (0, 3)
    lines = read_rows("o.jsonl")
    for line, one in zip(lines, finished(restored("o.jsonl"), lines), strict=True):
        assert (one.label, one.label_scores, one.probabilities) == (
            line["prediction"],
            line["scores"],
            line["probabilities"],
        )


def test_an_output_by_other_shares_or_older_cuts_is_not_gone_on_with(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = ["pairs.jsonl", "-t", "zh-entailment-nsp", "-o", "o.jsonl"]
    assert classify(*said, "--prior", SHARES) in (0, 3)
    assert classify(*said) == 1
    assert "from a run that differs in prior" in capsys.readouterr().err
    with monkeypatch.context() as before:
        before.setattr(decide, "even", lambda _: False)  # as all shares were rounded
        assert classify(*said, "--dev", "pairs.jsonl", "--overwrite") in (0, 3)
    assert classify(*said, "--dev", "pairs.jsonl") == 1
    assert "from a run that differs in cut" in capsys.readouterr().err


def test_candidates_of_a_comparison_have_records_of_the_same_kind() -> None:
    templates = ["-t", "en-sentiment-mlm", "-t", "en-film-mlm"]
    assert run_command(["compare", "movies.jsonl", *templates, "--scorer", "fake", "-q", "--predictions", "f"]) == 3
    for path in sorted(Path("f").glob("*.jsonl.run.json")):
        there = record.read(str(path))
        assert there is not None
        assert there.written is not None
        assert there.complete
        lines = [json.loads(line) for line in (path.parent / there.written.file).read_text("utf-8").splitlines()]
        again = finished(there.restored(str(path)), lines)
        assert [one.probabilities for one in again] == [line["probabilities"] for line in lines]
        assert there.counts is not None
        assert set(there.counts.tokens.values()) <= {len("great"), len("terrible"), len("good"), len("bad")}
        with pytest.raises(InputError, match="not a run record of ours"):
            record.read_whole(str(path))


# ------------------------------------------------------------------ what is refused

WRONG: list[tuple[tuple[str | int, ...], Any]] = [
    (("format",), "1"),
    (("format",), True),
    (("complete",), 1),
    (("limit",), 2.5),
    (("machine",), []),
    (("versions", "torch"), None),
    (("label_order",), "positive"),
    (("gold_field",), ["label"]),
    (("recipe",), None),
    (("recipe", "columns", "text"), 3),
    (("recipe", "verbalizer", "labels", "positive", "great"), "much"),
    (("recipe", "verbalizer", "pool"), "median"),
    (("recipe", "template", "text"), {}),
    (("recipe", "demonstrations"), {"k": 2}),
    (("accuracy",), "0.5"),
    (("confusion",), {"positive": 3}),
    (("counts", "tally", "rejected"), -1),
    (("counts", "tally", "chance_sum"), float("nan")),
    (("counts", "rejects", 0, "raw"), None),
    (("counts", "worst", "pairs", 0), ["0"]),
    (("counts", "averaged"), 1),
    (("counts", "first_unknown"), None),
    (("progress",), {"rows": 4}),
    (("progress", "counts"), None),
    (("progress", "output", "bytes"), "many"),
    (("ends", "output"), {"bytes": 3}),
    (("nodes", "output"), ["1", "2"]),
    (("files", "rejects"), 3),
    (("summaries",), "abc"),
    (("inputs", 0), {"path": "movies.jsonl"}),
]


@pytest.mark.parametrize(("place", "value"), WRONG, ids=[".".join(map(str, place)) for place, _ in WRONG])
def test_what_has_another_type_is_refused_in_one_line(
    place: tuple[str | int, ...], value: Any, small: None, capsys: pytest.CaptureFixture[str]
) -> None:
    movies()
    said = plain()
    at(said, place[:-1])[place[-1]] = value
    put(said)
    before = Path("o.jsonl").read_bytes()
    capsys.readouterr()
    assert classify("movies.jsonl", "-t", "en-sentiment-mlm", "-o", "o.jsonl") == 1
    what = "error: o.jsonl: exists already, and o.jsonl.run.json is not a run record of ours; use --overwrite to"
    assert told(capsys).startswith(what)
    assert Path("o.jsonl").read_bytes() == before
    assert run_command(["report", "o.jsonl"]) == 1
    assert told(capsys) == "error: o.jsonl.run.json: not a run record of ours; move it away"


@pytest.mark.parametrize("name", ["identity", "progress", "limit", "recipe", "label_order", "versions", "complete"])
def test_what_lacks_a_part_is_refused(name: str, small: None) -> None:
    movies()
    put({key: value for key, value in plain().items() if key != name})
    with pytest.raises(InputError, match=r"o\.jsonl\.run\.json: not a run record of ours; use --overwrite to start"):
        record.read_whole("o.jsonl.run.json")


@pytest.mark.parametrize(
    ("old", "new"), [('"seed": 0', '"seed": 1'), ('"labelled": 4', '"labelled": 5'), ("\n}", ', "a": 1}')]
)
def test_whoever_goes_on_sees_that_a_record_was_changed(old: str, new: str) -> None:
    movies()
    path = Path("o.jsonl.run.json")
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(new.join(text.rsplit(old, 1)), encoding="utf-8")
    with pytest.raises(InputError, match="a run record that has been changed since it was written"):
        record.read_whole(str(path))
    assert run_command(["report", "o.jsonl"]) == 0, "it may be mended by hand for those who only read"


def test_a_record_of_no_run_at_all_is_none_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    assert record.read(str(path)) is None
    assert record.read(str(path / "below.json")) is None
    for text in ("[]", "3", "{", "null", "[" * 100_000, '{"recipe": "mine"}', '{"format": null}'):
        path.write_text(text)
        with pytest.raises(InputError, match="not a run record of ours"):
            record.read(str(path))


def test_a_recipe_that_somebody_has_changed_is_one_line() -> None:
    movies()
    for place, value, what in (
        (("recipe", "template", "text"), "{mask} and {mask}", "r.json"),
        (("recipe", "verbalizer", "labels"), {"positive": "great"}, "r.json"),
        (("recipe", "template"), None, "r.json: the run record does not tell the template; run it again"),
    ):
        said = plain()
        at(said, place[:-1])[place[-1]] = value
        with pytest.raises(PromptshotError) as problem:
            RunRecord.model_validate(said).restored("r.json")
        assert what in str(problem.value)


# ------------------------------------------------------------------ later ones

UPDATE = f"o.jsonl.run.json: a run record of format {FORMAT + 1}; this promptshot reads {FORMAT}: update it"


def test_a_later_format_is_refused_by_name_and_nothing_is_touched(
    small: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped(monkeypatch)
    put({**plain(), "format": FORMAT + 1, "recipe": "said in another way"})
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    capsys.readouterr()
    for command in (["report", "o.jsonl"], ["diff", "o.jsonl", "o.jsonl"]):
        assert run_command(command) == 1
        assert told(capsys) == f"error: {UPDATE}"
    for more in ([], ["--no-resume"]):
        assert classify("movies.jsonl", "-t", "en-sentiment-mlm", "-o", "o.jsonl", *more) == 1
        assert told(capsys) == f"error: o.jsonl: exists already, and {UPDATE.replace(': a', ' is a')}"
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before
    assert movies("o.jsonl", "--overwrite").complete


def test_predictions_with_records_of_a_later_format_are_not_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    compare = ["compare", "movies.jsonl", "-t", "en-sentiment-mlm", "--scorer", "fake", "-q", "--predictions", "f"]
    assert run_command(compare) == 3
    (beside,) = Path("f").glob("*.run.json")
    beside.write_text(written({"format": 10**40}), encoding="utf-8")
    before = {path.name: path.read_bytes() for path in Path("f").iterdir()}
    capsys.readouterr()
    assert run_command([*compare, "--overwrite"]) == 1
    what = "a run record of format 1000000000000000000…"
    assert told(capsys).endswith(f"{what}; this promptshot reads {FORMAT}: update it")
    assert {path.name: path.read_bytes() for path in Path("f").iterdir()} == before
    with pytest.raises(Later):
        record.read(str(beside))


def more(said: Any) -> Any:
    """Plain data with a name more in every part that has names of ours."""
    parts = ("tally", "worst", "recipe", "template", "verbalizer", "options", "progress", "output", "counts", "inputs")
    if isinstance(said, list):
        return [more(one) for one in said]
    if not isinstance(said, dict):
        return said
    return {"later": {"a": 1}} | {key: more(one) if key in parts else one for key, one in said.items()}


def test_what_a_later_promptshot_adds_is_let_be_and_kept(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    movies("whole.jsonl")
    stopped(monkeypatch)
    put(more(plain()))
    there = found()
    assert (there.progress.rows, there.recipe.columns["text"]) == (4, "text")
    assert not hasattr(there, "later")
    assert movies().complete
    assert Path("o.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()

    put({**plain(), "later": {"a": 1}})
    assert movies("o.jsonl", "--summary", "s.json").complete, "it knows one summary more, and is written anew"
    assert plain()["later"] == {"a": 1}
    assert len(found().summaries) == 1


# ------------------------------------------------------------------ earlier ones


def test_a_run_of_an_earlier_format_is_reported_but_not_gone_on_with(
    small: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped(monkeypatch)
    put({**plain(), "format": 1})
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    capsys.readouterr()
    assert run_command(["report", "o.jsonl"]) == 0
    capsys.readouterr()
    assert classify("movies.jsonl", "-t", "en-sentiment-mlm", "-o", "o.jsonl") == 1
    assert told(capsys) == (
        "error: o.jsonl: exists already, and o.jsonl.run.json is a run record of an earlier promptshot, which this one "
        "cannot go on with; use --overwrite to replace it, or write to another file"
    )
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before
    assert movies("o.jsonl", "--overwrite").format == FORMAT


# ------------------------------------------------------------------ those of 0.1.0, which had no format


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what 0.1.0 left."""
    folder = tmp_path / "earlier"
    shutil.copytree(EARLIER, folder)
    monkeypatch.chdir(folder)
    return folder


def test_report_and_diff_say_of_earlier_predictions_what_0_1_0_said(
    earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = [f"said/0{n}-{name}.jsonl" for n, name in enumerate(["en-sentiment-mlm", "en-film-mlm"], 1)]
    whole = ["done.jsonl", "half.jsonl", "grades-done.csv", "choices-done.jsonl"]
    assert run_command(["report", *whole, said[0], "said/03-ensemble-of-2-mlm.jsonl", "--json"]) == 0
    said_now = json.loads(capsys.readouterr().out)
    later = [[file.pop(name) for name in ("ece", "ece_by_chance", "brier")] for file in said_now["files"]]
    assert said_now == json.loads((earlier / "report.json").read_text(encoding="utf-8"))
    assert all(None not in numbers for numbers in later)
    assert run_command(["diff", *said, "--json"]) == 0
    assert capsys.readouterr().out == (earlier / "diff.json").read_text(encoding="utf-8")


def test_earlier_predictions_and_later_ones_are_compared(earlier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert classify("reviews.jsonl", "-t", "en-sentiment-mlm", "-o", "new.jsonl") == 3
    assert run_command(["diff", "done.jsonl", "new.jsonl", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rows"], found["agreed"], found["paired"]["rows"]) == (12, 12, 10)


@pytest.mark.parametrize("name", ["half.jsonl", "done.jsonl"])
@pytest.mark.parametrize("template", ["en-sentiment-mlm", "en-film-mlm"])
def test_no_earlier_run_is_gone_on_with_and_the_line_says_whose_it_is(
    name: str, template: str, earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in earlier.glob("*.*")}
    assert classify("reviews.jsonl", "-t", template, "-o", name) == 1
    assert told(capsys) == (
        f"error: {name}: exists already, and {name}.run.json is a run record of an earlier promptshot, which this "
        "one cannot go on with; use --overwrite to replace it, or write to another file"
    )
    assert {path.name: path.read_bytes() for path in earlier.glob("*.*")} == before
    assert classify("reviews.jsonl", "-t", template, "-o", name, "--overwrite") == 3
    assert found(name).format == FORMAT
    assert len(Path(f"{name}.rejects.jsonl").read_text().splitlines()) == 2, "the rejects of the earlier run went too"


def test_where_an_earlier_output_is_gone_its_place_is_free(earlier: Path) -> None:
    Path("done.jsonl").unlink()
    rejects = Path("done.jsonl.rejects.jsonl")
    before = rejects.read_bytes()
    rejects.write_bytes(b"mine\n")
    assert classify("reviews.jsonl", "-t", "en-sentiment-mlm", "-o", "done.jsonl") == 1, "it is kept"
    assert rejects.read_bytes() == b"mine\n"
    rejects.write_bytes(before)
    assert classify("reviews.jsonl", "-t", "en-sentiment-mlm", "-o", "done.jsonl") == 3
    assert found("done.jsonl").complete


def test_waiting_scores_of_an_earlier_run_are_not_lost_unasked(
    earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in earlier.glob("*.*")}
    assert before["ranks.jsonl"] == b""
    assert classify("pairs.jsonl", "-t", "zh-entailment-nsp", "-o", "ranks.jsonl") == 1
    assert told(capsys) == (
        "error: ranks.jsonl.run.json: a run record of an earlier promptshot, which this one cannot go on with; "
        "use --overwrite to start afresh"
    )
    assert {path.name: path.read_bytes() for path in earlier.glob("*.*")} == before
    assert classify("pairs.jsonl", "-t", "zh-entailment-nsp", "-o", "ranks.jsonl", "--overwrite") == 0
    assert not Path("ranks.jsonl.spool").exists()


def test_an_earlier_record_by_another_name_is_named(earlier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("done.jsonl.run.json").rename("r.json")
    assert classify("reviews.jsonl", "-t", "en-sentiment-mlm", "-o", "new.jsonl", "--record", "r.json") == 1
    assert told(capsys) == (
        "error: r.json: a run record of an earlier promptshot, which this one cannot go on with; "
        "use --overwrite to start afresh"
    )


def test_a_comparison_replaces_the_predictions_of_an_earlier_one_unless_they_were_changed(
    earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compare = ["compare", "reviews.jsonl", "-t", "en-opinion-mlm", "--scorer", "fake", "-q", "--predictions", "said"]
    changed = Path("said/02-en-film-mlm.jsonl")
    before = changed.read_bytes()
    changed.write_bytes(before.replace(b"river", b"brook"))
    assert run_command([*compare, "--overwrite"]) == 1
    assert "02-en-film-mlm.jsonl: has been changed since it was written; move it away first" in told(capsys)
    changed.write_bytes(before)
    assert run_command([*compare, "--overwrite"]) == 3
    assert {path.name.split(".")[0] for path in Path("said").iterdir()} == {"01-en-opinion-mlm"}


def test_a_record_written_by_hand_says_no_more_than_it_knows(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [("fine", "gut"), ("poor", "schlecht"), ("fine", "schlecht")]
    Path("p.jsonl").write_text("".join(f'{{"prediction": "{p}", "urteil": "{g}"}}\n' for p, g in lines))
    words = {"labels": {"fine": "fine", "poor": ["poor", "bad"]}, "gold": {"fine": ["gut"], "poor": "schlecht"}}
    said = {"gold_field": "verdict", "recipe": {"columns": {"verdict": "urteil"}, "verbalizer": words}}
    Path("p.jsonl.run.json").write_text(json.dumps(said), encoding="utf-8-sig")
    assert run_command(["report", "p.jsonl", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["files"]
    assert (found["accuracy"], found["labelled"]) == (pytest.approx(2 / 3), 3)


def test_rows_of_an_earlier_run_are_enough_for_the_same_probabilities(earlier: Path) -> None:
    there = record.read("done.jsonl.run.json")
    assert there is not None
    assert there.format == 0
    rows = [dict(row.fields) for row in read(["done.jsonl"])]  # type: ignore[union-attr]
    again = finished(there.restored("done.jsonl.run.json"), rows)
    assert [one.probabilities for one in again] == [row["probabilities"] for row in rows]


def test_the_record_has_a_place_for_all_that_a_recipe_tells() -> None:
    template = library.template("zh-sentiment-mlm")
    recipe = Recipe.of(template, library.verbalizer_of(template))
    told = {*recipe.as_dict(), *replace(recipe, spelling={"positive": 1}).as_dict()}
    assert told <= RecordedRecipe.model_fields.keys()
