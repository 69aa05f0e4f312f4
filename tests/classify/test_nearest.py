"""Demonstrations near a row: never the row itself, in the order that was asked for, of each label in turn."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers import fake, jsonl, put_in, read_rows, small_windows, template_of, write_rows

from promptshot.classify.classifier import Classifier
from promptshot.classify.demonstrations import Demonstration, chosen, dealt, of_recipe
from promptshot.classify.questions import Questions
from promptshot.classify.recipe import DemoPlan, Recipe
from promptshot.cli import run_command
from promptshot.errors import OptionError, RowError
from promptshot.prompts.library import verbalizer_of
from promptshot.rows.row import Row
from promptshot.runs.inputs import Inputs
from promptshot.scorers.fake import FakeScorer
from promptshot.scoring import Kind, Prompt, Scored

TEXTS = {
    "the soup was cold": "bad",
    "the soup was warm": "good",
    "a cold room and cold soup": "bad",
    "a warm welcome": "good",
    "nobody came": "bad",
    "soup": "good",
}
POOL = [Demonstration(f"{text} -> {label}\n", label, (text,)) for text, label in TEXTS.items()]
LABELS = ("good", "bad")
KEYS: dict[str, Any] = {"verbalizer": {"labels": {"good": "fine", "bad": "poor"}}}


def near(text: str, k: int = 2, **more: Any) -> list[str]:
    source = chosen(POOL, DemoPlan("pool", k, by="nearest", **more), LABELS)
    (found,) = source.for_rows([(text,)])
    assert source.k == k
    return [demo.values[0] for demo in found]


# ------------------------------------------------------------------ which


def test_the_nearest_stand_last() -> None:
    assert near("cold soup", 3, balanced=False) == ["soup", "the soup was cold", "a cold room and cold soup"]


def test_they_stand_first_where_that_is_asked_for() -> None:
    usual = near("cold soup", 4)
    assert near("cold soup", 4, order="nearest-first") == usual[::-1]


def test_labels_take_turns_unless_they_need_not() -> None:
    assert sorted(TEXTS[text] for text in near("the soup was", 4)) == ["bad", "bad", "good", "good"]
    assert [TEXTS[text] for text in near("cold", 2, balanced=False)] == ["bad", "bad"]
    assert [TEXTS[text] for text in near("cold", 2)].count("good") == 1


def test_by_label_they_stand_in_the_order_of_the_labels_the_nearest_of_each_last() -> None:
    found = near("cold soup", 4, order="by-label")
    assert [TEXTS[text] for text in found] == ["good", "good", "bad", "bad"]
    assert found[-1] == "a cold room and cold soup"


def test_by_label_is_an_order_for_those_drawn_at_random_too() -> None:
    plans = [DemoPlan("pool", 4, seed, order=order) for seed in range(5) for order in (None, "by-label")]
    found = [[demo.label for demo in chosen(POOL, plan, LABELS).for_rows([("x",)])[0]] for plan in plans]
    assert all(labels == ["good", "good", "bad", "bad"] for labels in found[1::2])
    assert any(labels != ["good", "good", "bad", "bad"] for labels in found[::2])


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("by", ["nearest", "similar"])
def test_a_row_is_never_near_to_itself(by: Any, balanced: bool) -> None:
    twins = [*POOL, Demonstration("again\n", "bad", ("soup",))]
    plan = DemoPlan("pool", 6, by=by, balanced=balanced)
    source = chosen(twins, plan, LABELS, lambda texts: [[1.0, len(text)] for text in texts])
    found = source.for_rows([(text,) for text in TEXTS])
    for text, demos in zip(TEXTS, found, strict=True):
        values = [demo.values[0] for demo in demos]
        assert text not in values
        assert len(demos) == (5 if text == "soup" else 6)


def test_those_drawn_without_balance_are_any_of_the_pool_and_the_rest_are_spares() -> None:
    rare = [Demonstration(f"{i}", "a" if i else "b", (str(i),)) for i in range(40)]
    sources = [chosen(rare, DemoPlan("pool", 4, seed, balanced=False)) for seed in range(30)]
    drawn = [source.for_rows([("other",)])[0] for source in sources]
    assert len(set(drawn)) == 30
    assert sum(any(demo.label == "b" for demo in demos) for demos in drawn) < 15  # balanced, all of them would
    for source, demos in zip(sources, drawn, strict=True):
        assert len(set(demos)) == 4
        (instead,) = source.for_rows([demos[0].values])
        assert len(instead) == 4
        assert demos[0] not in instead


# ------------------------------------------------------------------ chunks


@pytest.mark.parametrize("chunks", [1, 2, 3, 5, 9])
def test_chunks_have_as_many_of_each_label_as_there_are_in_their_order(chunks: int) -> None:
    shots = [Demonstration(str(i), "ab"[i % 3 == 0], ()) for i in range(13)]
    parts = dealt(shots, chunks)
    assert sorted((shot for part in parts for shot in part), key=lambda shot: int(shot.text)) == shots
    for part in parts:
        assert [int(shot.text) for shot in part] == sorted(int(shot.text) for shot in part)
    for label in "ab":
        sizes = [Counter(shot.label for shot in part)[label] for part in parts]
        assert max(sizes) - min(sizes) <= 1
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_there_are_no_more_chunks_than_demonstrations() -> None:
    assert len(dealt(POOL[:2], 5)) == 2
    assert dealt((), 3) == []


# ------------------------------------------------------------------ a run


class Counting(FakeScorer):
    """Embeds a text as its number of words and of letters, and remembers how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.embedded: list[int] = []

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self.embedded.append(len(texts))
        return [[float(len(text.split())), float(len(text)), 1.0] for text in texts]


class Ticking(FakeScorer):
    """Tells of its prompts by threes, as a checkpoint does."""

    progress: Callable[[int], None] | None = None
    details: Mapping[str, Any] = {}

    def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
        for start in range(0, len(prompts), 3):
            if self.progress:
                self.progress(len(prompts[start : start + 3]))
        return super().score(prompts)

    def unknown(self, words: Sequence[str]) -> list[str]:
        return []

    def alike(self, words: Sequence[str]) -> list[tuple[str, str]]:
        return []


def recipe(folder: Path, scorer: str = "causal", text: Any = "{text}: {mask}", **plan: Any) -> Recipe:
    path = write_rows(folder / "train.jsonl", [{"text": text, "label": label} for text, label in TEXTS.items()])
    template = template_of(scorer=scorer, text=text, **KEYS)
    return Recipe.of(template, verbalizer_of(template), "fake", demos=DemoPlan(path, **{"k": 2, **plan}))


def shown(prompt: Prompt) -> list[str]:
    return [piece.text for piece in prompt.pieces if piece.kind is Kind.DEMO]


def test_each_row_of_a_window_has_its_own_and_a_bad_row_disturbs_none(tmp_path: Path) -> None:
    questions = Questions.of_recipe(recipe(tmp_path, by="nearest"))
    rows = [Row({"text": "warm soup"}), Row({"other": "x"}, "f:2"), Row({"text": "nobody"}), Row({"text": " "}, "f:4")]
    first, second, third, fourth = questions.of_rows(rows)
    assert isinstance(second, RowError)
    assert isinstance(fourth, RowError)
    assert not isinstance(first, RowError)
    assert not isinstance(third, RowError)
    assert shown(first[0])[-1] == "the soup was warm: fine\n"
    assert shown(third[0])[-1] == "nobody came: poor\n"
    assert questions.of(rows[0]) == first
    with pytest.raises(RowError, match="f:2"):
        questions.of(rows[1])


@pytest.mark.parametrize("chunks", [1, 2, 3])
def test_progress_counts_rows_however_many_prompts_they_ask(tmp_path: Path, chunks: int) -> None:
    told: list[int] = []
    classifier = Classifier(recipe(tmp_path, k=4, chunks=chunks), Ticking())
    found = list(classifier.outcomes([{"text": f"t {i}"} for i in range(11)], progress=told.append, window=5))
    assert (sum(told), len(found)) == (11, 11)
    assert min(told) >= 0
    assert len(told) > 3


def test_a_window_is_embedded_at_once(tmp_path: Path) -> None:
    scorer = Counting()
    found = list(Classifier(recipe(tmp_path, by="similar"), scorer).outcomes([{"text": f"t {i}"} for i in range(5)]))
    assert len(found) == 5
    assert scorer.embedded == [len(TEXTS), 5]


def test_a_scorer_without_embeddings_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"the scorer 'fake' has no embeddings .*; say --demos-by nearest"):
        Classifier.of(recipe(tmp_path, by="similar"))
    with pytest.raises(OptionError, match="only the model tells, and it is not loaded; leave out --dry-run"):
        of_recipe(recipe(tmp_path, by="similar"))


def test_a_cloze_has_its_demonstrations_in_the_first_segment(tmp_path: Path) -> None:
    made = recipe(tmp_path, "mlm", ["{text}? {mask}.", "{text}!"], by="nearest")
    (prompt,) = Questions.of_recipe(made).of(Row({"text": "nobody"}))
    assert prompt.text("fine") == (
        "the soup was warm? fine. the soup was warm!\nnobody came? poor. nobody came!\nnobody? fine. | nobody!"
    )


@pytest.mark.parametrize(
    ("scorer", "separator", "between"),
    [("mlm", "", "\n"), ("mlm", " / ", " / "), ("causal", "", ""), ("causal", "##", "##")],
)
def test_what_stands_between_demonstrations_is_the_separator_and_never_nothing_in_a_cloze(
    scorer: str, separator: str, between: str
) -> None:
    template = template_of(scorer=scorer, text="{text}{mask}", separator=separator, **KEYS)
    assert template.fill(Row({"text": "ok"}), "fine") == f"okfine{between}"


def test_pair_judges_take_no_demonstrations(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="demonstrations are for scorer mlm or causal, not nsp; use a template for"):
        Questions.of_recipe(recipe(tmp_path, "nsp", ["{mask}", "{text}"]))


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"whiten": True}, "--demo-whiten is for the embeddings of --demos-by similar"),
        ({"whiten": True, "by": "nearest"}, "--demo-whiten is for the embeddings"),
        ({"order": "nearest-first"}, "--demo-order nearest-first: at random, none is nearer than another"),
        ({"order": "drawn", "by": "similar"}, "--demo-order drawn: by similar, nothing is drawn"),
        ({"chunks": 3}, "2 demonstrations are too few for 3 chunks; raise -k"),
        ({"chunks": 0}, "0 is no number of chunks"),
        ({"by": "far"}, "'far' is none of random, nearest, similar"),
        ({"order": "odd"}, "'odd' is none of drawn, nearest-first"),
        ({"k": 9}, "train.jsonl: 9 demonstrations asked for, 6 in the file; lower -k"),
    ],
)
def test_what_does_not_go_together_is_one_line(tmp_path: Path, plan: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError) as caught:
        of_recipe(recipe(tmp_path, **plan))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_as_usual_is_no_part_of_the_identity() -> None:
    assert DemoPlan("p", 4, 1).identity() == {"path": "p", "k": 4, "seed": 1}
    said = {"by": "nearest", "chunks": 2, "balanced": False}
    assert DemoPlan("p", 4, 0, **said).identity() == {"path": "p", "k": 4, "seed": 0, **said}  # type: ignore[arg-type]


def test_only_what_is_drawn_is_called_one_draw(tmp_path: Path) -> None:
    made = recipe(tmp_path)
    assert made.draw == "one draw (seed 0)"
    assert replace(made, demos=DemoPlan("p", 2, 3, "nearest")).draw == ""
    assert replace(made, demos=DemoPlan("p", 2, 3, "nearest", set_aside=9)).draw == "one draw (seed 3)"
    assert replace(made, demos=DemoPlan("p", 0, 3)).draw == ""


# ------------------------------------------------------------------ from Python


def test_a_program_says_the_same_by_arguments(tmp_path: Path) -> None:
    rows = [{"text": text, "label": label} for text, label in TEXTS.items()]
    known = {"labels": "good,bad", "scorer": "fake", "demos": rows, "k": 2, "model": "builtin:gpt2"}
    made = Classifier.load("{text}: {mask}", **known, demos_by="nearest", demo_order="nearest-first", demo_chunks=2)
    prompts = made.prompts(Row({"text": "warm soup"}))
    assert [len(shown(prompt)) for prompt in prompts] == [1, 1, 0]
    lines = {line for prompt in prompts for line in shown(prompt)}
    assert lines == {"the soup was warm: good\n", "the soup was cold: bad\n"}
    with pytest.raises(OptionError, match="'neerest' is none of"):
        Classifier.load("{text}: {mask}", **known, demos_by="neerest")  # type: ignore[arg-type]


# ------------------------------------------------------------------ from the command line

ROWS = [{"id": i, "text": f"text {i} of {'warm' if i % 3 else 'cold'}", "label": LABELS[i % 3 == 0]} for i in range(30)]
TEMPLATE = ("-t", "{text}: {mask}", "--labels", "good,bad", "-m", "builtin:gpt2")


def test_the_first_prompts_show_what_is_near_without_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demos = write_rows(tmp_path / "d.jsonl", [{"text": text, "label": label} for text, label in TEXTS.items()])
    rows = put_in(tmp_path, "r.jsonl", '{"text": "soup, warm"}\n')
    flags = ("--demos", demos, "-k", "1", "--dry-run")
    assert run_command(["classify", rows, *TEMPLATE, *flags, "--demos-by", "nearest"]) == 0
    assert "the soup was warm: good" in capsys.readouterr().err
    assert run_command(["classify", rows, *TEMPLATE, *flags, "--demos-by", "similar"]) == 1
    assert "only the model tells" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--demos-by", "nearest"), "--demos-by needs rows to draw from; add --demos FILE, or --demos-from-input N"),
        (("--no-demo-balance",), "--no-demo-balance needs rows to draw from"),
        (("--demo-seeds", "2"), "--demo-seeds needs rows to draw from"),
        (("--demos", "ROWS", "--demos-from-input", "4"), "both give demonstrations; leave one out"),
        (("--demos", "ROWS", "--demos-by", "nearest", "--demo-seeds", "2"), "by nearest, nothing is drawn"),
        (("--demos-from-input", "31"), "--demos-from-input 31: only 30 rows have a label that the template knows"),
        (("--demos-from-input", "30"), "--demos-from-input 30: no row is left to score; take a smaller number"),
        (("--demos-from-input", "3", "-k", "4"), "--demos-from-input 3: 4 demonstrations asked for"),
    ],
)
def test_flags_that_do_not_go_together_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], said: str
) -> None:
    path = write_rows(tmp_path / "r.jsonl", ROWS)
    assert fake(path, *TEMPLATE, *[path if flag == "ROWS" else flag for flag in flags], "-q") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.parametrize("by", ["random", "nearest"])
def test_rows_of_the_input_that_are_set_aside_are_demonstrations_and_never_scored(
    by: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = write_rows(tmp_path / "r.jsonl", ROWS), str(tmp_path / "o.jsonl")
    flags = ("--demos-from-input", "8", "-k", "4", "--demos-by", by, "--seed", "5", "-o", out)
    assert fake(path, *TEMPLATE, *flags) == 0
    err = capsys.readouterr().err
    assert "note: 8 labelled rows are set aside for demonstrations, and not scored (seed 5)" in err
    assert "from 8 rows of the input" in err
    kept = [row["id"] for row in read_rows(out)]
    assert kept == sorted(kept)
    assert len(kept) == 22
    assert fake(path, *TEMPLATE, *flags, "--overwrite", "--seed", "6") == 2  # twice
    assert fake(path, *TEMPLATE, *flags[:-4], "--seed", "6", "-o", out, "--overwrite") == 0
    assert [row["id"] for row in read_rows(out)] != kept


def test_a_run_that_is_resumed_sets_the_same_rows_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small_windows(monkeypatch, 4)
    path = write_rows(tmp_path / "r.jsonl", ROWS)
    flags = ("--demos-from-input", "8", "-k", "0,2,4")
    whole, parts = str(tmp_path / "w.jsonl"), str(tmp_path / "p.jsonl")
    assert fake(path, *TEMPLATE, *flags, "-o", whole) == 0
    rows = read_rows(whole)
    assert Counter(row["shots"] for row in rows) == {0: 22, 2: 22, 4: 22}
    assert len({row["id"] for row in rows}) == 22
    one = ("--demos-from-input", "8", "-k", "4")
    assert fake(path, *TEMPLATE, *one, "-o", parts, "-n", "10") == 0
    assert len(read_rows(parts)) == 10
    capsys.readouterr()
    assert fake(path, *TEMPLATE, *one, "-o", parts) == 0
    assert "going on after" in capsys.readouterr().err
    assert [row["id"] for row in read_rows(parts)] == [row["id"] for row in rows[:22]]
    assert fake(path, *TEMPLATE, "--demos-from-input", "7", "-k", "4", "-o", parts, "-q") == 1
    assert "set_aside" in capsys.readouterr().err


def test_rows_are_set_aside_of_standard_input_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(jsonl(ROWS).encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    out = str(tmp_path / "o.jsonl")
    assert fake("-", *TEMPLATE, "--demos-from-input", "8", "-k", "2", "-o", out, "-q") == 0
    path, same = write_rows(tmp_path / "r.jsonl", ROWS), str(tmp_path / "s.jsonl")
    assert fake(path, *TEMPLATE, "--demos-from-input", "8", "-k", "2", "-o", same, "-q") == 0
    assert read_rows(out) == read_rows(same)


def test_what_can_be_read_only_once_is_refused_where_it_was_not_kept() -> None:
    found = Inputs(["-"])
    with pytest.raises(OptionError, match="-: no rows of a pipe can be set aside; write them to a file first"):
        found.set_aside([], DemoPlan("", 2, set_aside=2))


def test_a_file_of_options_and_the_environment_say_how_demonstrations_are_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "r.jsonl", ROWS)
    config = put_in(tmp_path, "c.yaml", "demos_by: nearest\ndemo_balance: false\nnum_shots: 3\ndemos: r.jsonl\n")
    out = str(tmp_path / "o.jsonl")
    monkeypatch.setenv("PROMPTSHOT_DEMO_ORDER", "nearest-first")
    assert fake(path, *TEMPLATE, "-c", config, "-o", out) == 0
    told = json.loads(Path(f"{out}.run.json").read_text())["recipe"]["demonstrations"]
    assert {key: told[key] for key in ("by", "balanced", "order", "k")} == {
        "by": "nearest", "balanced": False, "order": "nearest-first", "k": 3
    }  # fmt: skip
    assert f"k=3, 3 nearest demonstrations from {path}" in capsys.readouterr().err


def test_bad_and_unlabelled_rows_are_never_set_aside(tmp_path: Path) -> None:
    bad = ['{"text": "", "label": "good"}', "{", '{"text": "no label"}', '{"text": "x", "label": "odd"}']
    lines = "\n".join([*bad, *(f'{{"text": "t{i}", "label": "good"}}' for i in range(5)), ""])
    path, out = put_in(tmp_path, "r.jsonl", lines), str(tmp_path / "o.jsonl")
    assert fake(path, *TEMPLATE, "--demos-from-input", "4", "-o", out, "-q") == 3
    assert [row["text"] for row in read_rows(out)][:2] == ["no label", "x"]
    assert len(read_rows(out)) == 3


def test_a_table_in_another_encoding_gives_its_own_demonstrations(tmp_path: Path) -> None:
    lines = "正文,label\n" + "".join(f"第{i}句很好,good\n第{i}句不好,bad\n" for i in range(6))
    (tmp_path / "r.csv").write_bytes(lines.encode("gb18030"))
    out = str(tmp_path / "o.jsonl")
    flags = ("--encoding", "gb18030", "--text-field", "正文", "--demos-from-input", "6", "--demos-by", "nearest")
    assert fake(str(tmp_path / "r.csv"), *TEMPLATE, *flags, "-o", out, "-q") == 0
    assert len(read_rows(out)) == 6


def test_the_answer_of_chunks_is_in_the_file_and_comes_to_the_same_label_again(tmp_path: Path) -> None:
    from promptshot.classify.finish import finished
    from promptshot.runs import record

    path, out = write_rows(tmp_path / "r.jsonl", ROWS), str(tmp_path / "o.jsonl")
    flags = ("--demos-from-input", "9", "-k", "6", "--demo-chunks", "3", "-o", out, "-q")
    assert fake(path, *TEMPLATE, *flags) == 0
    rows, told = read_rows(out), record.read(f"{out}.run.json")
    assert told is not None
    assert told.recipe.demonstrations is not None
    assert (told.recipe.demonstrations.chunks, told.recipe.demonstrations.set_aside) == (3, 9)
    again = finished(told.restored(out), rows)
    assert [one.label for one in again] == [row["prediction"] for row in rows]
    assert [dict(one.probabilities or {}) for one in again] == [row["probabilities"] for row in rows]
