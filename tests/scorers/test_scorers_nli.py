"""The entailment scorer against the reference and the pipeline of transformers, on tiny models of every family."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import reference
import tiny as tinies
import torch
import transformers
from helpers import LONG, ROWS, Tiny, failed, prompt_of, rendered, shuffled, write_rows
from reference import assert_agrees
from safetensors.torch import load_file, save_file
from tiny import broken_tensors, next_positions, no_mask, no_types

from promptshot.classify.choosing import Wish
from promptshot.cli import run_command
from promptshot.errors import HeadError, OptionError
from promptshot.scorers import load, load_tokenizer
from promptshot.scorers.checkpoints.classes import Inference, of_inference
from promptshot.scorers.nli import NliScorer
from promptshot.scoring import ModelOptions, Prompt
from promptshot.testing import check_scorer

pytestmark = pytest.mark.torch

LABELS = ["体育", "娱乐新闻", "a very long business", "good"]
CLASSES = (2, 0)  # entailment and contradiction of the usual tiny model
Pairs = list[tuple[str, str]]


@pytest.fixture(scope="module", params=tinies.INFERENCE)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A model of each family."""
    return tinies.inference(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return tinies.inference(tmp_path_factory.mktemp("bert-nli"))


def scorer(tiny: Tiny, **options: Any) -> NliScorer:
    return NliScorer.from_checkpoint(ModelOptions(tiny.name, **options))


def cases() -> list[tuple[Prompt, Pairs]]:
    """Prompts with the pairs of texts they stand for: premise first, hypothesis first, and without a blank."""
    found: list[tuple[Prompt, Pairs]] = []
    for i, row in enumerate(ROWS):
        if i % 3 == 0:
            prompt = prompt_of([row, ("it is ", " news .")], LABELS)
            found.append((prompt, [(row, f"it is {label} news .") for label in LABELS]))
        elif i % 3 == 1:
            prompt = prompt_of([("这是一则", "新闻"), row], LABELS)
            found.append((prompt, [(f"这是一则{label}新闻", row) for label in LABELS]))
        else:
            found.append((prompt_of([row, ROWS[i - 1]], [""]), [(row, ROWS[i - 1])]))
    return found


def expected(tiny: Tiny, asked: Sequence[tuple[Prompt, Pairs]]) -> list[list[float]]:
    """What the reference says: the logit of entailment, and the log-odds of what has no blank or is asked by itself."""
    truth = []
    for prompt, pairs in asked:
        logits = [reference.nli(tiny.model, tiny.tokenizer, a, b, CLASSES) for a, b in pairs]
        odds = prompt.several or prompt.choices == ("",)
        truth.append([e - c if odds else e for e, c in logits])
    return truth


@pytest.fixture(scope="module")
def truth(model: Tiny) -> list[list[float]]:
    return expected(model, cases())


@pytest.mark.parametrize("batch_size", [None, 1, 3, 32])
def test_scores_equal_the_reference_for_every_family_and_batch_size(
    model: Tiny, truth: list[list[float]], batch_size: int | None
) -> None:
    made = scorer(model, batch_size=batch_size)
    assert made.mates == "any"  # so that batches are what is compared
    assert_agrees(made.score([prompt for prompt, _ in cases()]), truth)


def test_scores_depend_on_nothing_but_their_prompt(model: Tiny, truth: list[list[float]]) -> None:
    order = [*shuffled(len(ROWS)), 0, 4, 4]
    assert_agrees(scorer(model).score([cases()[i][0] for i in order]), [truth[i] for i in order])
    assert_agrees(scorer(model, plain=True).score([prompt for prompt, _ in cases()]), truth)


def test_where_several_choices_may_hold_a_score_is_the_log_odds_against_contradiction(model: Tiny) -> None:
    asked = [(replace(prompt, several=True), pairs) for prompt, pairs in cases()]
    assert_agrees(scorer(model).score([prompt for prompt, _ in asked]), expected(model, asked))


def test_one_and_several_may_stand_in_one_window(judge: Tiny) -> None:
    asked = cases() + [(replace(prompt, several=True), pairs) for prompt, pairs in cases()]
    assert_agrees(scorer(judge).score([prompt for prompt, _ in asked]), expected(judge, asked))


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("classes", [("contradiction", "neutral", "entailment"), ("entailment", "not_entailment")])
def test_probabilities_are_those_of_the_pipeline(
    model: Tiny, tmp_path: Path, several: bool, classes: tuple[str, ...]
) -> None:
    family = model.model.config.model_type
    asked = model if len(classes) == 3 else tinies.inference(tmp_path, family, classes)
    pipe = transformers.pipeline("zero-shot-classification", model=asked.name)
    words = ["business", "sports news", "好", "politics"]
    rows = [row for row in ROWS if family != "roberta" or row.isascii()]
    told = pipe(rows, candidate_labels=words, hypothesis_template="this text is about {} .", multi_label=several)
    prompts = [replace(prompt_of([row, ("this text is about ", " .")], words), several=several) for row in rows]
    for of_pipe, found in zip(told, scorer(asked).score(prompts), strict=True):
        scores = torch.tensor(found.scores, dtype=torch.float64)
        ours = (scores.sigmoid() if several else scores.softmax(-1)).tolist()
        theirs = dict(zip(of_pipe["labels"], of_pipe["scores"], strict=True))
        assert ours == pytest.approx([theirs[word] for word in words], abs=1e-5)


def test_a_tokenizer_that_gives_no_token_types_gave_none_in_training(tmp_path: Path) -> None:
    found = tinies.inference(tmp_path, typed=False)
    pipe = transformers.pipeline("zero-shot-classification", model=found.name)
    told = pipe(LONG, candidate_labels=["news", "sports"], hypothesis_template="it is {} .")
    (ours,) = scorer(found).score([prompt_of([LONG, ("it is ", " .")], told["labels"])])
    assert torch.tensor(ours.scores).double().softmax(-1).tolist() == pytest.approx(told["scores"], abs=1e-5)
    (typed,) = scorer(tinies.inference(tmp_path / "typed")).score([prompt_of([LONG, ("it is ", " .")], told["labels"])])
    assert typed.scores != pytest.approx(ours.scores, abs=1e-3)


@pytest.mark.parametrize("harm", [no_mask, no_types, next_positions])
def test_wrong_inputs_make_the_agreement_fail(judge: Tiny, monkeypatch: pytest.MonkeyPatch, harm: Any) -> None:
    made = scorer(judge)
    broken_tensors(monkeypatch, harm)
    with pytest.raises(AssertionError, match="is not"):
        assert_agrees(made.score([prompt for prompt, _ in cases()]), expected(judge, cases()))


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta", "deberta", "deberta-v2"])
def test_families_built_like_bert_take_the_first_position_alone_through_the_last_layer(
    family: str, tmp_path: Path
) -> None:
    assert scorer(tinies.inference(tmp_path, family)).last is not None


def test_the_order_of_the_segments_matters(judge: Tiny) -> None:
    swapped = [(prompt, [(b, a) for a, b in pairs]) for prompt, pairs in cases()]
    with pytest.raises(AssertionError, match="is not"):
        assert_agrees(scorer(judge).score([prompt for prompt, _ in cases()]), expected(judge, swapped))


def test_special_tokens_in_a_text_stay_text(model: Tiny) -> None:
    row = "a [SEP] b </s> c <s> d [CLS]"
    prompt = prompt_of([row, ("it is ", " </s>")], ["[SEP]", "good"])
    wanted = [(prompt, [(row, "it is [SEP] </s>"), (row, "it is good </s>")])]
    assert_agrees(scorer(model).score([prompt]), expected(model, wanted))


def test_the_text_is_cut_so_that_the_longest_hypothesis_fits_too(model: Tiny) -> None:
    made = scorer(model, max_length=30)
    prompt = prompt_of([LONG * 3, ("it is ", " .")], ["a good day", "good"])
    (found,) = made.score([prompt])
    kept = made.plan(prompt).fitted.pieces[0].text
    assert found.cut > 0
    assert LONG.startswith(kept[:20])
    assert_agrees([found], expected(model, [(prompt, [(kept, f"it is {word} .") for word in prompt.choices])]))


def test_it_keeps_the_word_of_every_scorer(model: Tiny) -> None:
    check_scorer(scorer(model), "nli")


# ------------------------------------------------------------------ classes


def config_of(*classes: str, **others: Any) -> Any:
    named = dict(enumerate(classes))
    keys = {"id2label": named, "label2id": {name: i for i, name in named.items()}} | others
    return transformers.BertConfig(architectures=["BertForSequenceClassification"], **keys)


@pytest.mark.parametrize(
    ("classes", "entailment", "against"),
    [
        (("contradiction", "neutral", "entailment"), 2, 0),
        (("ENTAILMENT", "NEUTRAL", "CONTRADICTION"), 0, 2),
        (("neutral", "entailment", "contradiction"), 1, 2),
        (("Contradict", "Entails", "Neutral"), 1, 0),
        (("entailment", "not_entailment"), 0, 1),
        (("Not-Entailment", "Entailment"), 1, 0),
        (("non entailment", "entailed"), 1, 0),
        (("neutral", "entail"), 1, 0),
        (("矛盾", "中立", "蕴含"), 2, 0),
        (("不蕴涵", "蕴涵"), 1, 0),
    ],
)
def test_entailment_is_found_in_any_order_and_spelling(classes: tuple[str, ...], entailment: int, against: int) -> None:
    assert of_inference(config_of(*classes)) == Inference(entailment, against)


def test_names_that_stand_in_label2id_only_are_read() -> None:
    numbers = {"neutral": 0, "contradiction": 1, "entailment": 2}
    nameless = {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert of_inference(config_of(id2label=nameless, label2id=numbers)) == Inference(2, 1)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (config_of("LABEL_0", "LABEL_1", "LABEL_2"), r"its classes have no names \(LABEL_0, LABEL_1, LABEL_2\); if"),
        (config_of("NEGATIVE", "POSITIVE"), r"of its classes \(NEGATIVE, POSITIVE\) none is entailment; use a model"),
        (config_of("strong entailment", "weak entailment", "none"), "are not one entailment and one contradiction"),
        (config_of("entailment", "unknown", "other"), "are not one entailment and one contradiction"),
        (
            config_of("entailment", "contradiction", label2id={"contradiction": 0, "entailment": 1}),
            "id2label and label2id in its config.json say different numbers for 'entailment'",
        ),
    ],
)
def test_classes_that_do_not_tell_are_refused_by_their_names(config: Any, said: str) -> None:
    with pytest.raises(HeadError, match=said):
        of_inference(config, "m")


def test_a_model_for_other_classes_is_refused_before_its_weights_are_read(tmp_path: Path) -> None:
    found = tinies.inference(tmp_path, classes=("negative", "positive"))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(HeadError, match=r"of its classes \(negative, positive\) none is entailment"):
        scorer(found)


def test_a_model_without_the_head_is_refused(bert_mlm: Tiny, judge: Tiny, tmp_path: Path) -> None:
    with pytest.raises(HeadError, match=r"no classification head: its config.json speaks of none; use a model"):
        scorer(bert_mlm)
    for path in judge.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = {name: value for name, value in load_file(tmp_path / "model.safetensors").items() if "class" not in name}
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(HeadError, match="no classification head: its weights are not in the checkpoint") as told:
        NliScorer.from_checkpoint(ModelOptions(str(tmp_path)))
    assert told.value.lost == ("classifier.bias", "classifier.weight")


def test_there_is_no_built_in_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OptionError, match="scorer nli has no built-in model; -m "):
        load("nli", ModelOptions())
    rows = write_rows(tmp_path / "rows.jsonl", [{"text": "good"}])
    assert "scorer nli has no built-in model; -m " in failed(capsys, "classify", rows, "-t", "en-topic-nli", "-q")


# ------------------------------------------------------------------ commands


def test_a_model_of_inference_is_asked_with_its_templates_where_none_is_named(
    judge: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Wish(model=judge.name).kind == "nli"
    rows = write_rows(tmp_path / "rows.jsonl", [{"text": row} for row in ROWS if row.isascii()])
    out = tmp_path / "out.jsonl"
    assert run_command(["classify", rows, "--labels", "sports,politics", "-m", judge.name, "-o", str(out)]) == 0
    assert "en-topic-nli" in capsys.readouterr().err
    record = json.loads((tmp_path / "out.jsonl.run.json").read_text())
    assert record["machine"]["classes"] == {"entailment": "entailment", "against": "contradiction"}


def test_pairs_are_ordered_by_their_log_odds(judge: Tiny) -> None:
    keys = {"scorer": "nli", "text": ["{a}", "{b}"], "ordered": ["contradiction", "neutral", "entailment"]}
    prompt = rendered(keys, {"a": ROWS[1], "b": ROWS[3]}, [""])
    e, c = reference.nli(judge.model, judge.tokenizer, ROWS[1], ROWS[3], CLASSES)
    assert_agrees(scorer(judge).score([prompt]), [[e - c]])


def test_the_tokenizer_alone_tells_what_is_read(judge: Tiny) -> None:
    found = load_tokenizer(ModelOptions(judge.name))
    (told,) = found.tokenized("nli", [prompt_of(["good", ("it is ", " .")], ["a day"])])
    shown = [token.text for token in told.tokens]
    assert shown == ["[CLS]", "good", "[SEP]", "it", "is", "a", "day", ".", "[SEP]"]
    assert "nli" in found.kinds


def test_a_model_of_other_classes_is_for_no_template_of_inference(bert_mlm: Tiny) -> None:
    assert "nli" not in load_tokenizer(ModelOptions(bert_mlm.name)).kinds


def test_a_hole_beside_the_blank_is_refused() -> None:
    keys = {"scorer": "nli", "text": ["{text}", "{mask}"], "fields": {"text": {"hole": "#"}}}
    with pytest.raises(Exception, match=r"a hole beside \{mask\} means nothing to scorer nli"):
        rendered(keys, {"text": "a#b"}, ["x"])
