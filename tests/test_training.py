"""The pre-training program, on a corpus of a few sentences written here."""

from __future__ import annotations

import gzip
import itertools
import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from helpers import write_rows
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from training import checkpoint, files, heldout, overlap, plot, pretrain, samples, words
from training.batches import gpt2_batch
from training.blend import blend
from training.checkpoint import Position
from training.corpus import KINDS, SOURCES, bare, clauses
from training.export import TOKENIZER_FILES
from training.frames import CLOZE, LINE, PAIR, Frames, Hint
from training.heldout import NOTHING, EvaluationTexts
from training.meaning import Lessons, learn, terms, unit, with_kin
from training.models import PLANS, Shape, hinted_loss
from training.pretrain import Run, train
from training.samples import Line, Questions, framed_pair
from training.stages import COURSES, Course, Stage
from training.watch import auc
from training.words import Words

pytestmark = pytest.mark.torch

SHIPPED = Path(__file__).parent.parent / "models"
ZH = (
    "房间很干净，服务很好。",
    "送货太慢，我很失望！",
    "早餐好吃，下次还来。",
    "屏幕很差，不推荐。",
    "价格便宜，质量不错，推荐。",
)
EN = (
    "a great film, and the cast is superb.",
    "the plot is dull, the jokes are terrible.",
    "it is fun, warm and clever.",
)
ABOUT = (
    "球队昨天赢得比赛，球迷很高兴。",
    "银行宣布加息，股市下跌。",
    "学校明天开学，学生准备上课。",
    "军队举行演习，国际社会关注。",
)
NAMES = ("zh_reviews", "en_sentences_mr_sst_cr_subj", "zh_fewclue_docs")
PARTS = dict.fromkeys(NAMES, 1)


def write(corpus: Path, name: str, documents: list[list[str]]) -> None:
    with gzip.open(corpus / f"{name}.txt.gz", "wt", encoding="utf-8") as out:
        out.write("\n\n".join("\n".join(document) for document in documents) + "\n")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty documents of each of three sources."""
    folder, draw = tmp_path_factory.mktemp("corpus"), random.Random(0)
    for name, sentences in zip(NAMES, (ZH, EN, ABOUT), strict=True):
        write(folder, name, [draw.choices(sentences, k=3) for _ in range(30)])
    return folder


def tiny(name: str, corpus: Path, folder: Path) -> Run:
    """A run of two stages and about twenty steps."""
    stages = (Stage("plain", 2_500, PARTS), Stage("prompts", 3_000, PARTS, framed=0.6))
    course = replace(COURSES[name], shape=Shape(1, 16, 2), stages=stages, warm_up=500, budget=256, documents=12)
    return Run(name, course, corpus, folder)


def again(name: str, whole: dict[str, Run], corpus: Path, folder: Path) -> Run:
    """A run like the whole one in another folder, with its tokenizer: trainers of tokenizers break ties by chance."""
    for file in TOKENIZER_FILES:
        shutil.copy(whole[name].folder / file, folder / file)
    return tiny(name, corpus, folder)


def weights(run: Run) -> dict[str, torch.Tensor]:
    state = torch.load(run.folder / "checkpoint.pt", weights_only=True)
    return {**state["model"], **{f"average {name}": mean for name, mean in state["average"].items()}}


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Both models, trained without a stop."""
    runs = {name: tiny(name, corpus, tmp_path_factory.mktemp(name)) for name in PLANS}
    assert all(train(run) for run in runs.values())
    return runs


@pytest.mark.parametrize("name", PLANS)
def test_a_run_stopped_at_many_steps_ends_with_the_very_same_weights(
    name: str, whole: dict[str, Run], corpus: Path, tmp_path: Path
) -> None:
    run = again(name, whole, corpus, tmp_path)
    stops = itertools.count()
    while not train(run, stop_after=1 + next(stops) % 3):
        assert (tmp_path / "checkpoint.pt").exists()
    assert next(stops) > 5
    uninterrupted, resumed = weights(whole[name]), weights(run)
    assert uninterrupted.keys() == resumed.keys()
    assert all(torch.equal(uninterrupted[key], resumed[key]) for key in resumed)


def test_a_run_killed_while_it_writes_a_checkpoint_goes_on_from_the_one_before(
    whole: dict[str, Run], corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = again("bert", whole, corpus, tmp_path)
    monkeypatch.setattr(pretrain, "SAVE", 4)
    save, calls = torch.save, itertools.count(1)

    def torn(state: object, out: object) -> None:
        if next(calls) == 3:
            out.write(b"half a checkpoint")  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        save(state, out)  # type: ignore[arg-type]

    monkeypatch.setattr(checkpoint.torch, "save", torn)
    with pytest.raises(KeyboardInterrupt):
        train(run)
    assert train(run)
    uninterrupted, resumed = weights(whole["bert"]), weights(run)
    assert all(torch.equal(uninterrupted[key], resumed[key]) for key in resumed)
    seen = [json.loads(line)["tokens"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert seen == sorted(set(seen))


def test_a_file_that_is_killed_while_it_is_written_stays_what_it_was(tmp_path: Path) -> None:
    with files.whole(tmp_path / "in" / "file") as out:
        out.write(b"old")

    def torn() -> None:
        with files.whole(tmp_path / "in" / "file") as out:
            out.write(b"ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        torn()
    assert (tmp_path / "in" / "file").read_bytes() == b"old"


def test_the_stream_goes_on_from_any_position_with_the_same_batches(whole: dict[str, Run]) -> None:
    run = whole["gpt2"]
    tokenizer = Tokenizer.from_file(str(run.folder / "tokenizer.json"))
    plan = PLANS["gpt2"](tokenizer, words.load(run.folder / "words.json"), run.course.shape)
    everything = list(pretrain.stream(run, plan, Position()))
    assert {position.stage for _, position in everything} == {0, 1}
    for i in range(0, len(everything) - 1, 3):
        batch, position = next(pretrain.stream(run, plan, everything[i][1]))
        assert position == everything[i + 1][1]
        assert torch.equal(batch.ids, everything[i + 1][0].ids)


def test_another_seed_is_refused_in_the_folder_of_a_run(whole: dict[str, Run]) -> None:
    with pytest.raises(SystemExit, match="use another folder"):
        train(replace(whole["bert"], seed=1))


@pytest.mark.parametrize("name", PLANS)
def test_what_training_leaves_is_a_model_folder_that_another_run_begins_with(
    name: str, whole: dict[str, Run], corpus: Path, tmp_path: Path
) -> None:
    made = whole[name].folder / "model"
    course = replace(whole[name].course.from_stage("prompts"), warm_up=10**12).lasting(300)  # a rate of nearly nothing
    run = Run(name, course, corpus, tmp_path, init=made)
    assert train(run)
    for key, mean in torch.load(whole[name].folder / "checkpoint.pt", weights_only=True)["average"].items():
        assert torch.allclose(weights(run)[f"average {key}"], mean, atol=2e-2)


def test_the_rate_warms_up_stays_and_falls() -> None:
    course = Course(Shape(), (Stage("all", 1_000, {}),), rate=1.0, warm_up=100, decay=0.5)
    assert [round(course.rate_at(seen), 3) for seen in (50, 100, 500, 750, 1_000)] == [0.5, 1.0, 1.0, 0.5, 0.001]


def test_a_stage_that_is_not_there_is_refused_with_the_names_of_those_that_are() -> None:
    with pytest.raises(SystemExit, match="general, domain, prompts"):
        COURSES["bert"].from_stage("prompt")


# ---------------------------------------------------------------- overlap

ROWS = ("房间朝北，夜里总能听见火车。早餐只有白粥和咸菜！", "The café closed; nobody had told the guests about it.")


@pytest.mark.parametrize(
    ("document", "left"),
    [
        (
            "前台很客气。房间朝北，夜里总能听见火车。早餐只有白粥和咸菜。",
            ["前台很客气。"],
        ),  # two sentences of a row, run on
        ("房间朝北,夜里总能听见火车,退房很快。", ["退房很快。"]),  # one sentence, in other punctuation
        ("THE CAFE CLOSED nobody had told the guests about it", []),  # a whole row
        ("it rained, nobody had told the guests about it.", ["it rained,"]),  # a clause of a row
        ("ｎｏｂｏｄｙ had told the guests about it", []),  # full-width letters
        ("房间朝北，早餐只有白粥。", ["房间朝北，", "早餐只有白粥。"]),  # phrases too short to be a text
        ("somebody had told the guests about it.", ["somebody had told the guests about it."]),
    ],
)
def test_runs_of_clauses_that_equal_a_part_of_an_evaluation_row_are_found(document: str, left: list[str]) -> None:
    without, parts = EvaluationTexts.of(ROWS), clauses(document)
    assert [part for i, part in enumerate(parts) if i not in without.within(parts)] == left


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    """A folder with a dev, a test and a training file; each holds a sentence of the corpus."""
    folder = tmp_path / "data" / "task"
    folder.mkdir(parents=True)
    rows = {"dev_0.json": "银行宣布加息股市下跌", "test.jsonl": EN[1], "train_0.json": EN[0]}
    for name, text in rows.items():
        (folder / name).write_text(json.dumps({"id": 1, "sentence": text, "label": "1"}, ensure_ascii=False) + "\n")
    return folder.parent


def test_texts_of_dev_and_test_files_are_kept_out_of_the_token_ids(
    corpus: Path, evaluation: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, data, code in (("clean", evaluation, 0), ("unclean", None, 3)):
        run = replace(tiny("bert", corpus, tmp_path / name / "bert"), data=data)
        pretrain.prepare(run)
        assert overlap.main(corpus, evaluation, tmp_path / name) == code
    told = capsys.readouterr().out
    assert told.startswith("2 dev and test files")
    assert "ids: 0 clauses overlap" in told


def test_texts_of_training_files_may_be_read(corpus: Path, evaluation: Path) -> None:
    without = EvaluationTexts.below(evaluation)
    source = SOURCES["en_sentences_mr_sst_cr_subj"]
    left = {bare(part) for parts, _ in heldout.clean(corpus, source, without) for part in parts}
    assert {bare(part) for part in clauses(EN[0])} <= left
    assert bare(EN[1].partition(",")[0]) not in left


# ---------------------------------------------------------------- words, frames, samples


@pytest.mark.parametrize(
    ("kind", "clause", "found"),
    [
        ("zh-review", "服务很好而且推荐", ["很好", "推荐"]),
        ("zh-review", "我不推荐也不喜欢", ["不推荐", "不喜欢"]),
        ("zh-review", "没有失望", []),
        ("en-review", "It is GREAT, not good.", ["great"]),
        ("en-review", "isn't a good but a boring goodness", ["boring"]),
        ("zh-topic", "国际足球比赛", ["国际", "足球", "比赛"]),
    ],
)
def test_words_are_found_longest_first_and_not_where_they_are_negated(kind: str, clause: str, found: list[str]) -> None:
    listed = words.Words(kind, words.by_hand(kind))
    assert [listed.words[one.word] for one in listed.find(clause)] == found


def test_words_that_recur_in_few_documents_are_taken_for_topics() -> None:
    often = [[f"the glacier and the glacier again, number {i}"] for i in range(30)]
    documents = [*often, *([["the other things that people say"]] * 600)]
    found = words.topics("en-topic", documents)
    assert "glacier" in found
    assert not {"other", "things", "again", "number"} & set(found)


@pytest.mark.parametrize("name", PLANS)
def test_every_frame_knows_where_its_word_stands(name: str) -> None:
    tokenizer = Tokenizer.from_file(str(SHIPPED / name / "tokenizer.json"))
    lists = {kind: words.Words(kind, words.by_hand(kind)) for kind in KINDS}
    frames, x = Frames(tokenizer, lists), tokenizer.encode(" x", add_special_tokens=False).ids
    for kind, pattern in [(name, p) for way in (CLOZE, PAIR, LINE) for name in way for p in way[name]]:
        word = lists[kind].words[0]
        frame = frames._encode(kind, pattern, word)
        ids, shift = frame.around(x if "{text}" in pattern else [])
        assert bare(tokenizer.decode(ids[shift + frame.start : shift + frame.stop])) == bare(word)
        assert bare(tokenizer.decode(ids)) == bare(pattern.format(word=word, text="x"))


def test_a_frame_knows_its_kind_where_two_kinds_share_pattern_and_word() -> None:
    tokenizer = Tokenizer.from_file(str(SHIPPED / "bert" / "tokenizer.json"))
    frames = Frames(tokenizer, {kind: Words(kind, ["poor"]) for kind in ("en-review", "en-topic")})
    drawn = [frames.pair(kind, 0, np.random.default_rng(i)) for kind in ("en-review", "en-topic") for i in range(20)]
    assert [frame.kind for frame in drawn] == ["en-review"] * 20 + ["en-topic"] * 20
    assert len({frame.kind for frame in drawn if frame.pattern == "{word}"}) == 2


def test_a_question_takes_the_word_out_of_its_text_but_for_a_few(whole: dict[str, Run]) -> None:
    folder = whole["bert"].folder
    tokenizer, lists = Tokenizer.from_file(str(folder / "tokenizer.json")), words.load(folder / "words.json")
    sources, rng = [(samples.load(folder / "ids" / f"{name}.npz"), 1) for name in NAMES], np.random.default_rng(0)
    for kind in ("zh-review", "en-review", "zh-topic"):
        questions = Questions(sources, lists[kind])
        drawn = [asked for _ in range(300) if (asked := questions.draw(60, rng))]
        there = [lists[kind].words[asked.word] in tokenizer.decode(asked.text).replace(" ", "") for asked in drawn]
        assert len(drawn) > 100
        assert 0 < sum(there) < 0.6 * len(there)  # some texts say the word twice
    assert not Questions(sources, lists["en-topic"])


# ---------------------------------------------------------------- meaning


def test_terms_are_pairs_of_characters_and_words_that_a_negation_sets_apart() -> None:
    assert terms("房间 wifi慢，", "zh") == ["房间", "wi", "if", "fi", "i慢"]
    assert terms("It isn't a very good film, good!", "en") == [
        "it", "isn't", "not a", "not very", "not good", "not film", "good",
    ]  # fmt: skip


MATCH, RATES = ("球队赢得比赛，", "球员进球，", "球队球员训练，"), ("银行宣布加息，", "股市下跌，", "银行股市震荡，")


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lessons, Words, Tokenizer]:
    """Lessons from texts that are each about one of two things."""
    folder, draw = tmp_path_factory.mktemp("taught"), random.Random(2)
    write(folder, "zh_fewclue_docs", [draw.choices(about, k=6) for about in (MATCH, RATES) for _ in range(60)])
    source, listed = SOURCES["zh_fewclue_docs"], Words("zh-topic", words.by_hand("zh-topic"))
    tokenizer = Tokenizer.from_file(str(SHIPPED / "bert" / "tokenizer.json"))
    learn(listed, [source], [], folder, NOTHING, folder)
    encoded = samples.encode(folder, source, tokenizer, listed, NOTHING)
    return Lessons([(encoded, 1)], listed, folder), listed, tokenizer


def test_lessons_draw_words_that_suit_the_text_whether_or_not_it_says_them(
    taught: tuple[Lessons, Words, Tokenizer],
) -> None:
    lessons, listed, tokenizer = taught
    rng, right, unsaid = np.random.default_rng(0), 0, 0
    drawn = [asked for _ in range(400) if (asked := lessons.draw(20, rng))]
    assert len(drawn) > 390
    for asked in drawn:
        text, word = tokenizer.decode(asked.text).replace(" ", ""), listed.words[asked.word]
        right += (word in "球队球员比赛") == (text[:2] in "".join(MATCH))
        unsaid += word not in text
    assert right > 0.85 * len(drawn)
    assert unsaid > 20


def test_lessons_favour_no_word_over_all_texts(taught: tuple[Lessons, Words, Tokenizer]) -> None:
    lessons, listed, _ = taught
    rng = np.random.default_rng(1)
    drawn = [asked for _ in range(2_000) if (asked := lessons.draw(20, rng))]
    for chosen in ([asked.word for asked in drawn], [asked.stranger for asked in drawn]):
        shares = {listed.words[word]: chosen.count(word) / len(chosen) for word in set(chosen)}
        assert set(shares) == {"球队", "球员", "比赛", "银行", "股市"}
        assert all(0.08 < share < 0.35 for share in shares.values()), shares


def test_a_hint_holds_the_odds_of_every_word_where_the_word_of_a_frame_stands(
    taught: tuple[Lessons, Words, Tokenizer],
) -> None:
    lessons, listed, tokenizer = taught
    frames, rng = Frames(tokenizer, {"zh-topic": listed}), np.random.default_rng(4)
    pairs = [pair for _ in range(200) if (pair := framed_pair(lessons, frames, 60, rng))]
    cloze, sentence = [pair for pair in pairs if pair.asked], [pair for pair in pairs if not pair.asked]
    assert len(cloze) > 50
    assert all(0 < pair.is_random < 1 for pair in sentence)
    assert 0.4 < np.mean([pair.is_random for pair in sentence]) < 0.6
    for pair in cloze:
        assert [hint.position for hint in pair.hints] == list(pair.asked)
        assert all(np.isclose(hint.shares.sum(), 1) for hint in pair.hints)
        first, second = ([tokenizer.id_to_token(i) for i in hint.tokens] for hint in pair.hints)
        assert {a + b for a, b in zip(first, second, strict=True)} == {"球队", "球员", "比赛", "银行", "股市"}


def test_the_loss_of_a_hint_is_the_cross_entropy_against_its_shares() -> None:
    rng = np.random.default_rng(0)
    hint = Hint(2, np.array([7, 9, 7]), np.array([0.2, 0.5, 0.3]))
    batch = gpt2_batch([Line([1, 2, 9, 4, 5], (2, 3), (hint,)), Line([3, 4, 5])], 0, rng)
    number = int(batch.chosen.sum())
    logits = torch.randn(number, 11, generator=torch.Generator().manual_seed(0))
    targets = batch.ids[batch.chosen]
    want = torch.nn.functional.one_hot(targets, 11).float()
    rows = [row for row, (i, j) in enumerate(batch.chosen.nonzero().tolist()) if (i, j) == (0, 2)]
    want[rows[0]] = 0
    want[rows[0], 7], want[rows[0], 9] = 0.5, 0.5
    plain = -(want * logits.log_softmax(1)).sum(1).mean()
    assert torch.allclose(hinted_loss(logits, targets, batch), plain, atol=1e-6)


def test_kin_share_a_direction() -> None:
    alike = np.array([[1.0, 0.1], [1.0, -0.1], [0.0, 1.0]])
    mixed = with_kin(unit(alike), 2)
    assert mixed[0] @ mixed[1] > unit(alike)[0] @ unit(alike)[1]
    assert np.allclose(with_kin(unit(alike), 1), unit(alike))
    assert np.allclose(np.linalg.norm(mixed, axis=1), 1)


# ---------------------------------------------------------------- looking


def test_the_area_is_the_share_of_pairs_in_the_right_order_and_ties_count_half() -> None:
    draw = random.Random(1)
    good, bad = ([float(draw.randint(lowest, 9)) for _ in range(40)] for lowest in (3, 0))
    slow = sum((g > b) + (g == b) / 2 for g in good for b in bad) / (40 * 40)
    assert auc(good, bad) == pytest.approx(slow)


def test_the_curve_is_a_picture_with_a_line_for_each_loss_and_each_area(tmp_path: Path) -> None:
    lines = [
        {"tokens": 1e6, "mlm": 5.0, "nsp": 0.7, "rate": 1e-3, "tokens_per_second": 9},
        {"tokens": 1e6, "zh-sentiment-mlm": 0.5, "zh-sentiment-mlm AUC": 0.6},
        {"tokens": 2e6, "mlm": 4.0, "nsp": 0.6, "rate": 1e-3, "tokens_per_second": 9},
    ]
    write_rows(tmp_path / "log.jsonl", lines)
    drawn = ElementTree.fromstring(plot.picture(tmp_path / "log.jsonl"))
    assert sum(element.tag.endswith("polyline") for element in drawn) == 3


def test_a_blend_lies_between_two_models(whole: dict[str, Run], tmp_path: Path) -> None:
    after = whole["gpt2"].folder / "model"
    shutil.copytree(after, tmp_path / "before")
    zeros = {key: torch.zeros_like(weight) for key, weight in load_file(after / "model.safetensors").items()}
    save_file(zeros, tmp_path / "before" / "model.safetensors", metadata={"format": "pt"})
    blend(tmp_path / "before", after, 0.25, tmp_path / "out")
    mixed = load_file(tmp_path / "out" / "model.safetensors")
    for key, weight in load_file(after / "model.safetensors").items():
        assert torch.allclose(mixed[key].float(), weight.float() / 4, atol=1e-3)
