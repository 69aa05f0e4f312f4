"""One loader a command: what it keeps, what it lets go, and what it does not try again."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers import Tiny, prompt_of

from promptshot import kinds, scorers
from promptshot.authoring.preview import Previewer
from promptshot.classify.classifier import Classifier
from promptshot.classify.recipe import Recipe
from promptshot.compare.bench import Bench
from promptshot.compare.candidates import Candidate
from promptshot.errors import HeadError, ModelError, NotFoundError
from promptshot.prompts import library
from promptshot.prompts.template import example_row
from promptshot.rows.row import Item, Row
from promptshot.scorers import Loader, load
from promptshot.scorers.fake import FakeScorer
from promptshot.scorers.mlm import MlmScorer
from promptshot.scoring import ModelOptions, Prompt

pytestmark = pytest.mark.torch

BERT, GPT2 = ModelOptions("builtin:bert"), ModelOptions("builtin:gpt2")
CLOZE = [prompt_of([("这家店很", "。")], ["好", "坏"]), prompt_of([("It is ", " today.")], ["good", "bad"])]
ROWS: list[Item] = [
    Row({"text": f"第{i}条", "label": "positive" if i % 2 else "negative"}, f"r:{i}", i) for i in range(4)
]


class Large:
    """What a scorer has in memory."""


ALIVE: weakref.WeakSet[Large] = weakref.WeakSet()


class Heavy(FakeScorer):
    """Notes how many of its kind there are in memory when it is made."""

    at_once: list[int] = []  # noqa: RUF012

    def __init__(self, options: ModelOptions) -> None:
        super().__init__(options)
        gc.collect()
        self.weights = Large()
        ALIVE.add(self.weights)
        self.at_once.append(len(ALIVE))


class Broken(FakeScorer):
    """Has its weights in memory when it finds that they are of no use."""

    tries: list[str] = []  # noqa: RUF012

    def __init__(self, options: ModelOptions) -> None:
        weights = Large()
        ALIVE.add(weights)
        self.tries.append(options.model)
        try:
            raise ValueError(f"no head in {weights}")
        except ValueError as problem:
            raise ModelError("no head", where=options.model) from problem


@pytest.fixture(autouse=True)
def clean() -> None:
    gc.collect()
    for noted in (Heavy.at_once, Broken.tries):
        noted.clear()


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What is read from disk from here on: ("opened", model) and ("weights", kind, model)."""
    noted: list[tuple[str, ...]] = []
    from promptshot.scorers.checkpoints import opening as loading
    from promptshot.scorers.engine import base

    opened, weights = loading.open_checkpoint, loading.load_checkpoint

    def note_opened(name: str, options: ModelOptions) -> Any:
        noted.append(("opened", name))
        return opened(name, options)

    def note_weights(kind: kinds.ScorerKind, options: ModelOptions, *opening: Any) -> Any:
        found = weights(kind, options, *opening)
        noted.append(("weights", kind.name, options.model))
        return found

    monkeypatch.setattr(loading, "open_checkpoint", note_opened)
    monkeypatch.setattr(base, "load_checkpoint", note_weights)
    return noted


# ------------------------------------------------------------------ what is kept


def test_the_same_options_give_the_same_scorer_and_others_another() -> None:
    loader = Loader()
    one = loader.scorer("test_loader:Heavy", BERT)
    assert loader.scorer("test_loader:Heavy", ModelOptions("builtin:bert")) is one
    assert loader.scorer("test_loader:Heavy", replace(BERT, max_length=9)) is not one
    assert loader.scorer("fake", BERT) is not one


def test_a_checkpoint_is_opened_once_for_its_tokenizer_and_all_its_scorers(loads: list[tuple[str, ...]]) -> None:
    loader = Loader()
    loader.tokenizer(BERT)
    loader.scorer("mlm", BERT)
    loader.scorer("nsp", replace(BERT, plain=True))
    loader.tokenizer(BERT)
    assert loads == [("opened", "builtin:bert"), ("weights", "mlm", "builtin:bert"), ("weights", "nsp", "builtin:bert")]
    loader.tokenizer(replace(BERT, revision="other"))
    assert loads[3:] == [("opened", "builtin:bert")]


@pytest.mark.parametrize("order", [("mlm", "nsp", "tokenizer"), ("tokenizer", "nsp", "mlm")])
def test_what_shares_an_opened_checkpoint_scores_as_what_was_loaded_alone(order: Sequence[str], bert: Tiny) -> None:
    loader, options = Loader(), ModelOptions(bert.name)
    made = {name: loader.tokenizer(options) if name == "tokenizer" else loader.scorer(name, options) for name in order}
    assert made["mlm"].score(CLOZE) == load("mlm", options).score(CLOZE)  # type: ignore[union-attr]
    pair = [prompt_of([("", "。"), "天气很好"], ["是", "不"])]
    assert made["nsp"].score(pair) == load("nsp", options).score(pair)  # type: ignore[union-attr]
    assert made["tokenizer"].tokenized("mlm", CLOZE) == scorers.load_tokenizer(options).tokenized("mlm", CLOZE)  # type: ignore[union-attr]


def test_a_configuration_is_never_changed_for_those_who_come_later(gpt2: Tiny) -> None:
    from promptshot.scorers.checkpoints.opening import open_checkpoint

    opened = open_checkpoint(gpt2.name, ModelOptions(gpt2.name))
    before = opened.config.to_json_string()
    scorers.load("causal", ModelOptions(gpt2.name, dtype="bfloat16"), lambda *_: opened)
    scorers.load_tokenizer(ModelOptions(gpt2.name), lambda *_: opened)
    assert opened.config.to_json_string() == before


def test_a_plain_scorer_that_is_at_hand_becomes_quick_and_no_weights_are_read(loads: list[tuple[str, ...]]) -> None:
    loader = Loader(keeps=False)
    plain = loader.scorer("mlm", replace(BERT, plain=True))
    quick = loader.quick("mlm", BERT)
    assert isinstance(plain, MlmScorer)
    assert isinstance(quick, MlmScorer)
    assert quick.loaded is plain.loaded
    assert loader.scorer("mlm", BERT) is loader.quick("mlm", BERT) is quick
    assert [what for what, *_ in loads] == ["opened", "weights"]
    assert loader.quick("causal", GPT2).details["engine"] == "shared prefix"  # type: ignore[attr-defined]
    assert [what for what, *_ in loads] == ["opened", "weights"] * 2


def test_previews_with_tokens_and_scores_open_a_checkpoint_once(loads: list[tuple[str, ...]]) -> None:
    template = library.template("zh-sentiment-mlm")
    previewer = Previewer(ModelOptions(), scores=True)
    for _ in range(2):
        found = previewer.of(template, library.verbalizer_of(template), example_row(template))
        assert found.tokenized
        assert found.prediction
    assert [what for what, *_ in loads] == ["opened", "weights"]


def test_members_of_an_ensemble_have_the_models_of_their_own_options(bert: Tiny, bert_mlm: Tiny) -> None:
    template = library.template("zh-sentiment-mlm")
    words = library.verbalizer_of(template)
    own = [Recipe.of(template, words, "test_loader:Heavy", ModelOptions(model)) for model in ("one", "two")]
    found = Classifier.of(replace(own[0], others=(own[1],)))
    assert [one.scorer.options.model for one in (found, *found.others)] == ["one", "two"]  # type: ignore[attr-defined]


# ------------------------------------------------------------------ what is let go


def candidates(scorer: str, *models: str) -> list[Candidate]:
    template = library.template("zh-sentiment-mlm")
    words = library.verbalizer_of(template)
    return [Candidate(model, Recipe.of(template, words, scorer, ModelOptions(model))) for model in models]


@pytest.mark.parametrize(("keeps", "at_once"), [(True, [1, 2, 3]), (False, [1, 1, 1])])
def test_a_loader_that_keeps_none_has_one_scorer_at_a_time(keeps: bool, at_once: list[int]) -> None:
    bench = Bench(Loader(keeps))
    for candidate in candidates("test_loader:Heavy", "a", "b", "c"):
        bench.score(candidate, ROWS)
    assert Heavy.at_once == at_once


def test_of_other_models_nothing_is_kept_where_there_is_room_for_one(loads: list[tuple[str, ...]]) -> None:
    loader = Loader(keeps=False)
    for name, options in (("mlm", BERT), ("nsp", ModelOptions()), ("causal", GPT2), ("mlm", BERT)):
        loader.scorer(name, options)
    assert [what[1] for what in loads if what[0] == "opened"] == ["builtin:bert", "builtin:gpt2", "builtin:bert"]


def test_a_loader_that_keeps_its_scorers_keeps_all_but_the_plain_one_that_became_quick() -> None:
    loader = Loader()
    other, plain = loader.scorer("fake", BERT), loader.scorer("nsp", replace(BERT, plain=True))
    loader.quick("nsp", BERT)
    assert loader.scorer("fake", BERT) is other
    assert loader.scorer("nsp", replace(BERT, plain=True)) is not plain


def test_what_has_failed_is_not_tried_again_before_it_is_said(tmp_path: Path) -> None:
    loader = Loader()
    errors = []
    for _ in range(3):
        with pytest.raises(ModelError, match="no head") as caught:
            loader.scorer("test_loader:Broken", ModelOptions("x"))
        errors.append(caught.value)
    assert Broken.tries == ["x"]
    assert errors[0] is errors[2]
    missing = ModelOptions(str(tmp_path / "none"))
    for ask in (loader.tokenizer, lambda options: loader.scorer("mlm", options)):
        with pytest.raises(NotFoundError, match="no model folder"):
            ask(missing)
    loader.try_again()
    with pytest.raises(ModelError):
        loader.scorer("test_loader:Broken", ModelOptions("x"))
    assert Broken.tries == ["x", "x"]


def test_an_error_that_is_kept_keeps_no_weights_alive() -> None:
    bench, kept = Bench(Loader()), []
    for candidate in candidates("test_loader:Broken", "a", "b"):
        try:
            bench.score(candidate, ROWS)
        except ModelError as problem:
            kept.append(problem)
    gc.collect()
    assert len(kept) == 2
    assert len(ALIVE) == 0


def test_a_checkpoint_without_a_head_is_opened_once_and_refused_for_its_own_reason(
    gpt2: Tiny, loads: list[tuple[str, ...]]
) -> None:
    loader = Loader(keeps=False)
    for kind, said in (("mlm", "has no masked-LM head"), ("nsp", "has no next-sentence head")):
        with pytest.raises(HeadError, match=said):
            loader.scorer(kind, ModelOptions(gpt2.name))
    assert [what for what, *_ in loads].count("opened") == 1


def test_a_preview_that_is_watched_finds_a_model_that_has_come(bert: Tiny, tmp_path: Path) -> None:
    template = library.template("zh-sentiment-mlm")
    previewer = Previewer(ModelOptions(str(tmp_path / "coming")), tokens=True)
    arguments = template, library.verbalizer_of(template), example_row(template)
    for _ in range(2):
        with pytest.raises(NotFoundError):
            previewer.of(*arguments)
    (tmp_path / "coming").symlink_to(bert.folder)
    previewer.loader.try_again()
    assert previewer.of(*arguments).tokenized


# ------------------------------------------------------------------ scorers of others


class Mine(MlmScorer):
    """Somebody's own way to ask a checkpoint."""

    def score(self, prompts: Sequence[Prompt]) -> list[Any]:
        return [replace(one, scores=tuple(2 * score for score in one.scores)) for one in super().score(prompts)]


def test_a_scorer_of_somebody_that_stands_on_ours_is_loaded_by_its_name(bert: Tiny) -> None:
    options = ModelOptions(bert.name)
    found = Loader().scorer("test_loader:Mine", options).score(CLOZE)
    assert [one.scores[0] / 2 for one in found] == [one.scores[0] for one in load("mlm", options).score(CLOZE)]
