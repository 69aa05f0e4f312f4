"""Rows that went wrong: which are kept, where they are written, and what is shown of them."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from helpers import read_rows, small_windows, write_rows
from rich.cells import cell_len

from promptshot.cli import run_command
from promptshot.rows.read import read
from promptshot.rows.row import Row
from promptshot.runs import wrong
from promptshot.runs.predictions import count
from promptshot.runs.wrong import Worst, Wrong

FAKE = ["--scorer", "fake"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own, and eight rows a window, each marked."""
    monkeypatch.chdir(tmp_path)
    small_windows(monkeypatch, 8)


@pytest.fixture
def rows(here: None) -> str:
    return write_rows(
        "in.jsonl", [{"n": n, "text": f"第{n}条短信", "label": ["spam", "ham"][n % 2]} for n in range(60)]
    )


def run(*arguments: str, rows: str = "in.jsonl", named: str = "zh-spam-mlm") -> int:
    return run_command(["classify", rows, "-t", named, *FAKE, *arguments])


# ------------------------------------------------------------------ which are kept


@pytest.mark.parametrize("seed", range(5))
def test_the_surest_are_those_that_sorting_all_would_give_also_from_halfway(seed: int) -> None:
    rng, confusion, kept = random.Random(seed), Counter[tuple[str, str]](), Worst(7)
    every = []
    for key in range(300):
        gold, other = rng.sample("abcdef", 2)
        chance = rng.choice([None, 0.5, round(rng.random(), 2)])
        one = Wrong.of(Row({"text": f"{key}"}, "", key), gold, other, chance, ["text"])
        confusion[gold, other] += 1
        every.append(one)
        kept.add(one, confusion)
        if key == 150:
            again = Worst.restored(json.loads(json.dumps(kept.state())), 7)
            assert again is not None
            kept = again
    every.sort(key=lambda one: (-1 if one.probability is None else one.probability, -one.key), reverse=True)
    assert [one.key for one in kept.surest] == [one.key for one in every[:7]]
    for one in kept.of_confusions(confusion, 5):
        pair = one.gold, one.prediction
        assert one == next(other for other in every if (other.gold, other.prediction) == pair)
    assert [(one.gold, one.prediction) for one in kept.of_confusions(confusion, 5)] == sorted(
        confusion, key=lambda pair: (-confusion[pair], *pair)
    )[:5]


def test_of_many_confusions_rows_of_the_commonest_are_kept_and_no_more() -> None:
    confusion, kept = Counter[tuple[str, str]](), Worst()
    for key in range(20_000):
        pair = (str(key), "x") if key % 2 else ("common", "confusion")
        confusion[pair] += 1
        kept.add(Wrong(key, *pair, 0.5, "t"), confusion)
        assert len(kept.state()["pairs"]) <= 2 * wrong.PAIRS
    assert kept.of_confusions(confusion, 1)[0].gold == "common"
    assert kept.surest == []


# ------------------------------------------------------------------ a file


@pytest.mark.parametrize("name", ["e.jsonl", "e.csv", "e.tsv.gz"])
def test_a_file_has_the_rows_that_went_wrong_the_surest_first(rows: str, name: str) -> None:
    assert run("-q", "-o", "o.jsonl", "--errors", name) == 0
    wanted = [one for one in read_rows("o.jsonl") if one["prediction"] != one["label"]]
    wanted.sort(key=lambda one: (-one["probability"], one["n"]))
    assert 10 < len(wanted) < 50
    found = [dict(row.fields) for row in read([name]) if isinstance(row, Row)]
    assert list(found[0]) == ["n", "text", "label", "gold", "prediction", "probability"]
    assert [int(one["n"]) for one in found] == [one["n"] for one in wanted]
    assert [float(one["probability"]) for one in found] == [one["probability"] for one in wanted]
    assert all(one["gold"] == one["label"] != one["prediction"] for one in found)


@pytest.mark.parametrize("name", ["o.jsonl", "o.csv"])
@pytest.mark.parametrize("most", [10_000, 6])
def test_a_run_that_was_stopped_lists_the_same_rows(
    rows: str, name: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wrong, "MOST", most)
    assert run("-q", "-o", "whole" + name, "--errors", "whole.csv") == 0
    assert run("-q", "-o", name, "-n", "30", "--errors", "e.csv") == 0
    first = Path("e.csv").read_bytes()
    assert run("-q", "-o", name, "--errors", "e.csv", "--fields", "n", "--overwrite", "-n", "30") == 0
    assert Path("e.csv").read_bytes() == first, "what is written of predictions is another matter"
    assert run("-q", "-o", name, "--errors", "e.csv", "--overwrite", "-n", "30") == 0
    assert run("-q", "-o", name, "--errors", "e.csv") == 0
    assert Path("e.csv").read_bytes() == Path("whole.csv").read_bytes()
    assert len(Path("e.csv").read_text(encoding="utf-8").splitlines()) <= most + 1
    Path("e.csv").unlink()
    assert run("-q", "-o", name, "--errors", "e.csv") == 0, "of a finished run it is made anew"
    assert Path("e.csv").read_bytes() == Path("whole.csv").read_bytes()


def test_rows_that_were_counted_without_it_are_told_and_how_to_list_them(
    rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("-q", "-o", "o.jsonl", "-n", "30") == 0
    for more in (["--errors", "e.csv"], ["--errors", "4"]):
        for limit in ([], ["-n", "30"]):
            assert run("-q", "-o", "o.jsonl", *limit, *more) == 1
            err = capsys.readouterr().err
            assert err == (
                "error: --errors: the rows that are done were counted without it; promptshot report o.jsonl --errors\n"
            )
    assert not Path("e.csv").exists()
    assert run("-q", "-o", "o.jsonl") == 0
    assert run_command(["report", "o.jsonl", "--errors", "e.csv"]) == 0
    assert run("-q", "-o", "p.jsonl", "--errors", "whole.csv") == 0
    assert Path("e.csv").read_bytes() == Path("whole.csv").read_bytes()


def test_the_file_obeys_the_rule_of_files(rows: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.csv").write_text("mine\n")
    assert run("-q", "-o", "o.jsonl", "--errors", "mine.csv") == 1
    assert "mine.csv: exists already" in capsys.readouterr().err
    assert not Path("o.jsonl").exists()
    for said in (["-o", "e.csv"], ["--rejects", "e.csv"], ["-o", "-", "--errors", "-"]):
        assert run("-q", "--errors", "e.csv", *said) in (1, 2)
    assert run("-q", "-o", "o.jsonl", "--errors", "in.jsonl", "--overwrite") == 1
    assert "this is the input" in capsys.readouterr().err
    assert run_command(["report", "in.jsonl", "--errors", "in.jsonl", "--overwrite"]) == 1
    assert run("-q", "-o", "o.jsonl", "--errors", "mine.csv", "--overwrite") == 0
    assert run_command(["report", "o.jsonl", "--errors", "mine.csv"]) == 1
    assert "mine.csv: exists already" in capsys.readouterr().err
    assert run("-q", "-o", "p.jsonl", "--errors", "-") == 0
    assert [json.loads(line)["gold"] for line in capsys.readouterr().out.splitlines()]


def test_where_ranks_decide_wrong_rows_come_in_their_order(here: None, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = [{"text_a": f"甲{n}", "text_b": f"乙{n % 5}", "label": ["same", "different"][n % 2]} for n in range(20)]
    write_rows("in.jsonl", pairs)
    assert run("-o", "o.csv", "--errors", "e.jsonl", named="zh-same-nsp") == 0
    said = capsys.readouterr().err
    found = read_rows("e.jsonl")
    places = [next(i for i, pair in enumerate(pairs) if pair["text_a"] == one["text_a"]) for one in found]
    assert places == sorted(places) != []
    assert {one["probability"] for one in found} == {None}
    assert re.search(r"\ngold +taken for +text +rows\n", said), said
    assert run("-o", "p.csv", "--errors", "2", named="zh-same-nsp") == 0
    assert f"the first 2 of {len(found)} rows that went wrong" in capsys.readouterr().err


def test_standard_input_and_columns_called_like_ours_are_listed_too(
    here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = '{"gold": "mine", "text": "短信%d", "label": "spam", "probability": 7}\n'
    Path("pipe").write_text("".join(said % n for n in range(20)), encoding="utf-8")
    with Path("pipe").open(encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stdin", stream)
        assert run("-q", "-o", "o.jsonl", "--errors", "e.jsonl", rows="-") == 0
    assert list(read_rows("e.jsonl")[0]) == ["text", "label", "gold", "prediction", "probability"]
    assert all(
        one["gold"] == "spam" and one["prediction"] == "ham" and one["probability"] < 1 for one in read_rows("e.jsonl")
    )


def test_more_rows_than_are_kept_are_told(
    rows: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(wrong, "MOST", 5)
    monkeypatch.setattr("promptshot.runs.remarks.MOST", 5)
    assert run("-o", "o.jsonl", "--errors", "e.jsonl") == 0
    number = sum(one["prediction"] != one["label"] for one in read_rows("o.jsonl"))
    told = f"note: --errors has the 5 surest of {number} rows that went wrong\n"
    assert told in capsys.readouterr().err
    assert run_command(["report", "o.jsonl", "--errors", "again.jsonl"]) == 0
    assert told in capsys.readouterr().err
    assert len(read_rows("e.jsonl")) == 5


# ------------------------------------------------------------------ what is shown


def test_the_report_has_the_surest_row_of_each_of_the_worst_confusions(
    rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("-o", "o.jsonl") == 0
    said = capsys.readouterr().err
    for gold, other in (("spam", "ham"), ("ham", "spam")):
        of = [one for one in read_rows("o.jsonl") if (one["label"], one["prediction"]) == (gold, other)]
        surest = max(of, key=lambda one: one["probability"])
        wanted = rf"{gold} +{other} +{surest['text']} +{len(of)} +{surest['probability']:.2f}\n"
        assert re.search(wanted, said), said
    assert run("-o", "o.jsonl") == 0
    again = capsys.readouterr().err
    shown = said[said.index("the worst confusions") :].split("\n\n")[0]
    assert shown in again, "of a finished run it is known still"


def test_a_number_is_how_many_the_report_shows(rows: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-o", "o.csv", "--errors", "4") == 0
    said = capsys.readouterr().err
    wanted = count("o.csv", most=4).worst.surest
    assert len(wanted) == 4
    table = said[said.index("the surest 4 of ") :].split("\n\n")[0].splitlines()
    assert [line.split()[2] for line in table[2:]] == [one.text for one in wanted]
    assert run_command(["report", "o.csv", "--errors", "4"]) == 0
    assert "\n".join(table) in capsys.readouterr().err
    assert run("-o", "p.csv", "--errors", "0") == 0
    said = capsys.readouterr().err
    assert "went wrong" not in said
    assert "worst confusions" not in said


def test_nothing_is_listed_where_nothing_went_wrong_or_no_label_tells(
    here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(
        "right.jsonl", [{"text": "a", "label": "x", "prediction": "x"}, {"text": "b", "label": "y", "prediction": "y"}]
    )
    write_rows("none.jsonl", [{"text": "a", "prediction": "x"}])
    for name in ("right.jsonl", "none.jsonl"):
        for more in ([], ["--errors", "3"], ["--errors", f"e-{name}"]):
            assert run_command(["report", name, *more]) == 0
            said = capsys.readouterr().err
            assert "confusions, and" not in said
            assert "went wrong" not in said
        assert Path(f"e-{name}").read_bytes() == b""


# ------------------------------------------------------------------ another tool's predictions


@pytest.mark.parametrize("known", [True, False], ids=["probabilities", "none"])
def test_the_rows_of_another_tool_are_listed_whatever_they_tell_of_their_labels(
    here: None, known: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(3)
    theirs = []
    for n in range(50):
        gold, said = rng.choice(["Good", "bad"]), rng.choice(["good", "Bad"])
        theirs.append({"id": n, "review": f"text {n}", "stars": gold, "pred": said})
        if known:
            theirs[-1] |= {"probability": round(rng.random(), 2)}
    write_rows("t.jsonl", theirs)
    names = ["--label-field", "stars", "--prediction-field", "pred"]
    wanted = [one for one in theirs if one["stars"].lower() != one["pred"].lower()]
    wanted.sort(key=lambda one: (-one.get("probability", 0), one["id"]))
    assert run_command(["report", "t.jsonl", *names, "--errors", "e.jsonl"]) == 0
    assert [one["id"] for one in read_rows("e.jsonl")] == [one["id"] for one in wanted]
    assert list(read_rows("e.jsonl")[0]) == ["id", "review", "stars", "gold", "prediction", "probability"]
    capsys.readouterr()
    assert run_command(["report", "t.jsonl", *names]) == 0
    said = capsys.readouterr().err
    pairs = Counter((one["stars"].lower(), one["pred"].lower()) for one in wanted)
    for (gold, other), number in pairs.items():
        first = next(one for one in wanted if (one["stars"].lower(), one["pred"].lower()) == (gold, other))
        assert re.search(rf"(?i){gold} +{other} .*{first['review']} .* {number}", said), said


def test_a_pipe_is_enough_for_the_rows_that_went_wrong(
    here: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("p.csv").write_text("text,label,prediction\n一,好,差\n二,差,差\n三,差,好\n", encoding="utf-8")
    with Path("p.csv").open(encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stdin", stream)
        assert run_command(["report", "-", "--errors", "-"]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line)["text"] for line in out.splitlines()] == ["一", "三"]
    assert "accuracy" in err
    assert run_command(["report", "p.csv", "p.csv", "--errors", "e.csv"]) == 1
    assert "--errors FILE is for one file of predictions" in capsys.readouterr().err
    assert run_command(["report", "p.csv", "p.csv", "--errors", "1"]) == 0
    assert capsys.readouterr().err.count("the first 1 of 2 rows that went wrong") == 2


@pytest.mark.parametrize("columns", [120, 80, 60, 40])
def test_no_number_of_the_rows_that_went_wrong_is_cut_and_no_line_is_too_long(
    here: None, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = ["账单与付款问题投诉", "Billing & payments of old customers"]
    row = {"text": "很长的一句话 " * 30, "probability": 0.875}
    write_rows("p.jsonl", [{**row, "label": labels[n % 2], "prediction": labels[n > 0]} for n in range(2400)])
    for name, value in (("FORCE_COLOR", "1"), ("TERM", "xterm"), ("COLUMNS", str(columns))):
        monkeypatch.setenv(name, value)
    for more, title, wanted in (([], "the worst confusions", ["1,199", "0.88"]), (["--errors", "2"], "2 of", ["0.88"])):
        assert run_command(["report", "p.jsonl", *more]) == 0
        said = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().err)
        table = said[said.index(title) :]
        assert all(number in table for number in wanted), said
        assert "很" in table
        assert max(map(cell_len, said.splitlines())) <= columns


def test_a_window_keeps_a_row_of_every_confusion_and_the_run_those_that_are_common_in_it() -> None:
    rng, confusion, kept, surest = random.Random(4), Counter[tuple[str, str]](), Worst(), dict[tuple[str, str], Wrong]()
    for window in range(12):
        part = Worst()
        for key in range(window * 1000, window * 1000 + 1000):
            pair = ("a", "b") if rng.random() < 0.02 else (f"{rng.randrange(18)}", f"{rng.randrange(18)}")
            one = Wrong(key, *pair, rng.random(), f"row {key}")
            confusion[pair] += 1
            part.add(one)
            if pair not in surest or one.rank > surest[pair].rank:
                surest[pair] = one
        assert len(part.state()["pairs"]) > 2 * wrong.PAIRS
        kept.include(part, confusion)
    assert len(kept.state()["pairs"]) <= 2 * wrong.PAIRS
    assert kept.of_confusions(confusion, 1)[0].text == surest["a", "b"].text
