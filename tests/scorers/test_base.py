"""Loading checkpoints, refusing the wrong ones, batches, and what all torch scorers share."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import reference
import torch
import transformers
from helpers import LENGTH, LONG, ROWS, Tiny, prompt_of, rendered
from tiny import SIZES, SPECIAL, bert_config, build, byte_bpe, sentencepiece_bpe, wordpiece
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from promptshot import kinds
from promptshot.classify.recipe import Recipe
from promptshot.errors import HeadError, InputError, ModelError, NotFoundError, OptionError
from promptshot.metrics import Tally
from promptshot.prompts.labels import verbalizer_of_labels
from promptshot.prompts.template import Template, TemplateSpec
from promptshot.runs import result as result_module
from promptshot.runs import run as running
from promptshot.runs.inputs import Inputs
from promptshot.runs.outputs import Outputs
from promptshot.scorers import SCORERS, load, load_tokenizer
from promptshot.scorers.checkpoints.checks import check_head
from promptshot.scorers.checkpoints.encoder import Encoder, TextEncoder
from promptshot.scorers.checkpoints.opening import pick_device
from promptshot.scorers.engine.base import TorchScorer
from promptshot.scorers.engine.batches import Batches, token_budget, within_memory
from promptshot.scorers.engine.heads import Head
from promptshot.scorers.engine.plans import Query
from promptshot.scoring import Checkpoint, Kind, ModelOptions, Piece, Prompt, Scored, Scorer

pytestmark = pytest.mark.torch


def scorer(kind: str, model: object, **options: Any) -> Any:
    """A scorer, loaded by its name as the program does it."""
    return load(kind, ModelOptions(str(model), **options))


def saved(folder: Path, model: Any, tiny: Tiny) -> Path:
    """Another model with the tokenizer of a tiny one."""
    model.save_pretrained(folder)
    for path in tiny.folder.glob("tokenizer*"):
        shutil.copy(path, folder)
    return folder


def pickled(tiny: Tiny, folder: Path) -> Path:
    """The checkpoint with pytorch_model.bin in place of safetensors."""
    shutil.copytree(tiny.folder, folder, dirs_exist_ok=True)
    (folder / "model.safetensors").unlink()
    torch.save(tiny.model.state_dict(), folder / "pytorch_model.bin")
    return folder


CLOZE = prompt_of([("It was ", ". " + LONG)], ["good", "体育"])


# ------------------------------------------------------------------ heads


def test_a_body_without_heads_is_refused_with_the_names_of_what_is_missing(bert: Tiny, tmp_path: Path) -> None:
    folder = saved(tmp_path, bert.model.bert, bert)
    with pytest.raises(ModelError, match=r"no masked-LM head: its weights are not in the checkpoint") as caught:
        scorer("mlm", folder)
    assert isinstance(caught.value, HeadError)
    assert "cls.predictions.bias" in caught.value.lost
    assert str(folder) in str(caught.value)
    assert "would be random" in caught.value.hint
    with pytest.raises(HeadError, match=r"no next-sentence head: ") as caught:
        scorer("nsp", folder)
    assert caught.value.lost == ("cls.seq_relationship.bias", "cls.seq_relationship.weight")


def test_a_masked_language_model_is_refused_for_next_sentences(bert: Tiny, bert_mlm: Tiny, tmp_path: Path) -> None:
    folder = saved(tmp_path, bert_mlm.model, bert)
    with pytest.raises(HeadError, match=r"no next-sentence head: ") as caught:
        scorer("nsp", folder)
    assert {"bert.pooler.dense.weight", "cls.seq_relationship.weight"} <= set(caught.value.lost)
    assert scorer("mlm", folder).score([CLOZE])[0].error is None


def test_a_checkpoint_without_its_body_says_so(bert: Tiny, tmp_path: Path) -> None:
    deeper = transformers.BertConfig(**{**bert.model.config.to_dict(), "num_hidden_layers": 3})
    folder = saved(tmp_path, bert.model, bert)
    deeper.save_pretrained(folder)
    with pytest.raises(ModelError, match=r"weights of the body are not in .*: bert\.encoder\.layer\.2"):
        scorer("mlm", folder)


def test_weights_of_another_shape_are_refused(bert: Tiny, tmp_path: Path) -> None:
    wider = transformers.BertConfig(**{**bert.model.config.to_dict(), "vocab_size": 999})
    folder = saved(tmp_path, bert.model, bert)
    wider.save_pretrained(folder)
    with pytest.raises(ModelError, match=r"cannot be loaded|in another shape"):
        scorer("mlm", folder)


def test_mismatched_weights_in_a_report_are_named(bert: Tiny) -> None:
    report = {"missing_keys": [], "mismatched_keys": [("cls.predictions.bias", (3,), (4,))]}
    with pytest.raises(HeadError, match=r"no masked-LM head: .* in another shape") as caught:
        check_head(kinds.KINDS["mlm"], "some/name", bert.model, report)
    assert caught.value.lost == ("cls.predictions.bias",)


def test_tied_weights_are_no_false_alarm(bert: Tiny, gpt2: Tiny, roberta: Tiny, tmp_path: Path) -> None:
    from safetensors import safe_open

    for kind, tiny, tied in (
        ("mlm", bert, "cls.predictions.decoder.weight"),
        ("causal", gpt2, "lm_head.weight"),
        ("mlm", roberta, "lm_head.decoder.weight"),
    ):
        with safe_open(tiny.folder / "model.safetensors", "pt") as weights:
            assert tied not in weights.keys()  # noqa: SIM118
        assert scorer(kind, tiny.folder)
    assert scorer("causal", saved(tmp_path, gpt2.model.transformer, gpt2))


@pytest.mark.parametrize(
    ("kind", "model", "says"),
    [
        ("causal", "bert", "a bert model does not read from left to right"),
        ("causal", "roberta", "a roberta model does not read from left to right"),
        ("mlm", "gpt2", "a gpt2 model has no masked-LM head"),
        ("nsp", "gpt2", "a gpt2 model has no next-sentence head"),
        ("nsp", "roberta", "a roberta model has no next-sentence head"),
        ("mlm", "llama", "a llama model has no masked-LM head"),
    ],
)
def test_a_model_of_the_wrong_kind_is_refused(request: pytest.FixtureRequest, kind: str, model: str, says: str) -> None:
    tiny: Tiny = request.getfixturevalue(model)
    with pytest.raises(ModelError, match=says) as caught:
        scorer(kind, tiny.folder)
    assert caught.value.hint
    assert caught.value.where == tiny.name


def test_albert_is_refused_for_next_sentences_as_it_judges_their_order(tmp_path: Path) -> None:
    made = wordpiece()
    config = transformers.AlbertConfig(
        vocab_size=made.get_vocab_size(), embedding_size=16, hidden_size=32, num_hidden_layers=1,
        num_attention_heads=2, intermediate_size=32, max_position_embeddings=LENGTH,
    )  # fmt: skip
    build(tmp_path, transformers.AlbertForPreTraining, config, made, **SPECIAL)
    with pytest.raises(ModelError, match="an albert model has no next-sentence head"):
        scorer("nsp", tmp_path)
    assert scorer("mlm", tmp_path).score([CLOZE])[0].error is None


def test_a_head_that_fails_on_its_own_is_not_taken_apart(gpt2: Tiny) -> None:
    model = transformers.GPT2LMHeadModel(gpt2.model.config).eval()
    assert Head(model).sparse
    model.lm_head = torch.nn.Linear(7, 5)

    def whole(**inputs: object) -> SimpleNamespace:
        return SimpleNamespace(logits=torch.zeros(1, 4, 5))

    model.forward = whole
    assert not Head(model).sparse


# ------------------------------------------------------------------ places and files


@pytest.mark.parametrize("name", ["no-such-owner/no-such-model", "no-such-model-at-all"])
def test_an_unknown_name_is_not_found_at_once_when_offline(name: str) -> None:
    begin = time.monotonic()
    with pytest.raises(NotFoundError, match=f"no model '{name}': tried the local cache \\(offline\\)") as caught:
        scorer("mlm", name, offline=True)
    assert "--offline" in caught.value.hint
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("name", ["./no/such/folder", "/no/such/folder", "a/b/c", "~/model"])
def test_a_folder_that_is_not_there_is_not_sought_on_the_hub(name: str) -> None:
    with pytest.raises(NotFoundError, match="no model folder"):
        scorer("causal", name)


def test_an_unknown_built_in_model_is_not_found() -> None:
    with pytest.raises(NotFoundError, match="no built-in model 'builtin:nothing'"):
        scorer("mlm", "builtin:nothing")


def test_an_empty_folder_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        scorer("mlm", tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_damaged_file_cannot_be_loaded(bert: Tiny, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(bert.folder, folder)
    (folder / name).write_bytes((folder / name).read_bytes()[:300])
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        scorer("mlm", folder)
    assert str(folder) in str(caught.value)


def test_pickled_weights_are_read_only_when_allowed(bert: Tiny, bert_mlm: Tiny, tmp_path: Path) -> None:
    folder = pickled(bert, tmp_path / "pickled")
    with pytest.raises(ModelError, match="only pickled weights") as caught:
        scorer("mlm", folder)
    assert "--allow-pickle" in caught.value.hint
    trusted = scorer("mlm", folder, allow_pickle=True)
    assert trusted.score([CLOZE]) == scorer("mlm", bert.folder).score([CLOZE])


def test_a_damaged_pickle_is_not_advised_to_be_trusted(bert: Tiny, tmp_path: Path) -> None:
    folder = pickled(bert, tmp_path / "pickled")
    (folder / "pytorch_model.bin").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="cannot be loaded"):
        scorer("mlm", folder, allow_pickle=True)


def test_a_checkpoint_with_code_of_its_own_asks_for_trust(bert: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "remote"
    shutil.copytree(bert.folder, folder)
    settings = json.loads((folder / "config.json").read_text())
    settings |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModelForMaskedLM": "own.Model"}}
    (folder / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="brings its own code") as caught:
        scorer("mlm", folder)
    assert "--trust-remote-code" in caught.value.hint


@pytest.mark.parametrize(
    ("problem", "error", "says"),
    [
        (OSError("does not appear to have a file named model.safetensors"), ModelError, "no safetensors weights"),
        (ImportError("needs the sentencepiece library\nand more"), ModelError, "cannot be loaded: needs the sentence"),
        (RuntimeError(), ModelError, "cannot be loaded: RuntimeError"),
        (OSError("we could not connect"), NotFoundError, "tried the local cache and the model hub"),
    ],
)
def test_what_goes_wrong_with_a_hub_model_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, problem: Exception, error: type[Exception], says: str
) -> None:
    def fails(*names: object, **options: object) -> None:
        raise problem

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", fails)
    with pytest.raises(error, match=says):
        scorer("mlm", "some/name")


def test_loading_and_scoring_print_nothing(bert: Tiny, gpt2: Tiny, capfd: pytest.CaptureFixture[str]) -> None:
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_warning()
    transformers.logging.enable_progress_bar()
    try:
        for kind, tiny in (("mlm", bert), ("nsp", bert), ("causal", gpt2)):
            pair = prompt_of(["a", ("it was ", "")], ["good"]) if kind == "nsp" else CLOZE
            scorer(kind, tiny.folder).score([pair])
        assert transformers.logging.get_verbosity() == transformers.logging.WARNING
        assert transformers.logging.is_progress_bar_enabled()
    finally:
        transformers.logging.set_verbosity(level)
        transformers.logging.disable_progress_bar()
    assert capfd.readouterr() == ("", "")


def test_what_libraries_say_while_a_text_is_scored_stays_with_them(
    bert: Tiny, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    made = scorer("mlm", bert.folder)
    forward = made.model.forward

    def talkative(*args: Any, **inputs: Any) -> Any:
        warnings.warn("this will be removed", FutureWarning, stacklevel=2)
        transformers.logging.get_logger("transformers.modeling").warning("We strongly recommend ...")
        return forward(*args, **inputs)

    monkeypatch.setattr(made.model, "forward", talkative)
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_warning()
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            assert made.score([CLOZE])[0].error is None
            assert len(made.top([CLOZE], 3)[0]) == 3
            warnings.warn("one of the user's own", FutureWarning, stacklevel=1)
    finally:
        transformers.logging.set_verbosity(level)
    assert capfd.readouterr() == ("", "")
    assert [str(one.message) for one in told] == ["one of the user's own"]


# ------------------------------------------------------------------ options


@pytest.mark.parametrize("name", ["cuda:99", "meta", "mps", "no device"])
def test_a_device_that_is_not_there_is_an_option_error(name: str) -> None:
    if name == "mps" and torch.backends.mps.is_available():
        pytest.skip("this machine has it")
    with pytest.raises(OptionError, match=name):
        pick_device(name)


def test_the_device_is_chosen_automatically() -> None:
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    assert pick_device("cpu") == torch.device("cpu")


def test_an_unknown_precision_is_an_option_error(bert: Tiny) -> None:
    with pytest.raises(OptionError, match="no precision 'int4'"):
        scorer("mlm", bert.folder, dtype="int4")


@pytest.mark.parametrize(("kind", "model"), [("mlm", "bert"), ("nsp", "bert"), ("causal", "gpt2"), ("mlm", "roberta")])
def test_bfloat16_runs_and_comes_near(request: pytest.FixtureRequest, kind: str, model: str) -> None:
    tiny: Tiny = request.getfixturevalue(model)
    prompt = prompt_of([LONG, ("it was ", "")], ["good"]) if kind == "nsp" else CLOZE
    rough = scorer(kind, tiny.folder, dtype="bfloat16", device="cpu")
    assert rough.details["dtype"] == "bfloat16"
    (found,), (exact,) = rough.score([prompt]), scorer(kind, tiny.folder, device="cpu").score([prompt])
    assert found.error is None
    assert found.scores == pytest.approx(exact.scores, rel=0.2, abs=2.0)
    assert found.scores != exact.scores


@pytest.mark.parametrize(
    ("kind", "model"), [("mlm", "bert"), ("causal", "gpt2"), ("mlm", "roberta"), ("causal", "llama")]
)
def test_the_maximum_length_is_the_models_or_a_smaller_one(
    request: pytest.FixtureRequest, kind: str, model: str
) -> None:
    tiny: Tiny = request.getfixturevalue(model)
    assert scorer(kind, tiny.folder).limit == LENGTH
    assert scorer(kind, tiny.folder, max_length=20).details["max_length"] == 20
    with pytest.raises(OptionError, match=f"--max-length {LENGTH + 1}: the model takes at most {LENGTH}"):
        scorer(kind, tiny.folder, max_length=LENGTH + 1)


def test_a_text_of_the_full_length_runs(bert: Tiny, roberta: Tiny, gpt2: Tiny, llama: Tiny) -> None:
    pieces = (Piece(Kind.FIELD, "a b " * 200), Piece(Kind.MASK))
    for kind, tiny in (("mlm", bert), ("mlm", roberta), ("causal", gpt2), ("causal", llama)):
        made = scorer(kind, tiny.folder)
        prompt = Prompt(pieces, ("体",))
        assert max(len(query.ids) for query in made.plan(prompt).queries) in (LENGTH - 1, LENGTH)
        assert made.score([prompt])[0].error is None


# ------------------------------------------------------------------ scores


def test_weights_that_are_not_finite_are_an_error_of_the_prompt(bert: Tiny, gpt2: Tiny, tmp_path: Path) -> None:
    prompts = {"mlm": CLOZE, "nsp": prompt_of(["a", ("b", "")], ["good"]), "causal": CLOZE}
    for kind, tiny in (("mlm", bert), ("nsp", bert), ("causal", gpt2)):
        made = scorer(kind, tiny.folder)
        for parameter in made.model.parameters():
            parameter.data.fill_(float("nan"))
        (found,) = made.score([prompts[kind]])
        assert "not finite" in str(found.error)
        assert found.scores == ()


@pytest.mark.parametrize("batch_size", [None, 1, 2, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_progress_adds_up_to_the_number_of_prompts(bert: Tiny, batch_size: int | None, count: int) -> None:
    made = scorer("mlm", bert.folder, batch_size=batch_size, max_length=12)
    told: list[int] = []
    made.progress = told.append
    too_long = prompt_of([("很" * 20, "")], ["好"])
    prompts = [prompt_of([("很", row[:5])], ["好", "体育", "体育新"]) for row in ROWS][:count]
    prompts.append(too_long)
    made.score(prompts)
    assert sum(told) == len(prompts)
    assert all(step >= 0 for step in told)


def test_prompts_that_all_fail_are_still_told(bert: Tiny) -> None:
    made = scorer("mlm", bert.folder, max_length=4)
    told: list[int] = []
    made.progress = told.append
    found = made.score([CLOZE, CLOZE])
    assert sum(told) == 2
    assert all(scored.error for scored in found)
    assert made.score([]) == []


def test_scorers_are_checkpoints_and_say_what_they_run(bert: Tiny, gpt2: Tiny) -> None:
    for kind, tiny in (("mlm", bert), ("nsp", bert), ("causal", gpt2)):
        made = scorer(kind, tiny.folder, batch_size=3)
        assert isinstance(made, Checkpoint)
        assert isinstance(made, TorchScorer)
        assert json.loads(json.dumps(dict(made.details)))["batch_size"] == 3
        assert made.details["model_type"] == tiny.model.config.model_type
    assert scorer("nsp", bert.folder).unknown(["好", "龘"]) == ["龘"]


def test_a_row_in_another_run_of_the_same_prompts_scores_the_same_to_the_last_digit(bert: Tiny) -> None:
    prompts = [prompt_of([("很", row)], ["好", "体育"]) for row in ROWS]
    made: Scorer = scorer("mlm", bert.folder)
    first: Sequence[Scored] = made.score(prompts)
    assert scorer("mlm", bert.folder).score(prompts) == first


# ------------------------------------------------------------------ batches


def lengths_of(lengths: Sequence[int], budget: int, most: int | None = None) -> list[list[int]]:
    """The numbers of the queries of these lengths, batch by batch."""
    work = Batches([Query([1] * n, (0,)) for n in lengths], lambda batch: [[0.0]] * len(batch), most)
    found, start = [], 0
    while start < work.total:
        end = work.cut(start, budget)
        found.append([i for i, _ in work.run(start, end)])
        start = end
    return found


def test_batches_hold_every_index_once_longest_first_within_the_budget() -> None:
    lengths = [5, 100, 7, 7, 30, 1, 0, 64]
    found = lengths_of(lengths, budget=64)
    assert sorted(i for batch in found for i in batch) == list(range(8))
    assert found[0] == [1]  # alone, although longer than the budget
    assert all(len(batch) * max(lengths[i] for i in batch) <= 64 for batch in found[1:])
    assert [lengths[i] for batch in found for i in batch] == sorted(lengths, reverse=True)
    assert lengths_of([], budget=64) == []


def test_a_batch_size_is_the_most_rows_of_a_batch() -> None:
    assert [len(batch) for batch in lengths_of([3] * 10, budget=1000, most=4)] == [4, 4, 2]


def test_the_budget_follows_device_and_width() -> None:
    small, large = transformers.BertConfig(hidden_size=256), transformers.BertConfig(hidden_size=2048)
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert token_budget(cpu, small) > token_budget(cpu, large)
    assert token_budget(cuda, small) > token_budget(cuda, large) > token_budget(cpu, large)
    assert set(SCORERS) == {"mlm", "nsp", "causal", "rtd", "seq2seq", "nli", "embed", "fake"}


# ------------------------------------------------------------------ memory

ALLOCATOR = "[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried to allocate"
CUBLAS = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
SHORTAGES = [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError(ALLOCATOR), RuntimeError(CUBLAS)]


def short_of_memory(monkeypatch: pytest.MonkeyPatch, made: Any, most: int, problem: Exception) -> list[int]:
    """From here on the model takes at most so many tokens, with the cached ones; the sizes of all runs."""
    runs: list[int] = []
    body = made.model.base_model
    forward = body.forward

    def bounded(*args: Any, **inputs: Any) -> Any:
        cached = inputs.get("cache", inputs.get("past_key_values"))
        ids: Any = args[0] if args else inputs["input_ids"]
        runs.append(ids.numel() + (cached.get_seq_length() if cached is not None else 0))
        if runs[-1] > most:
            raise problem
        return forward(*args, **inputs)

    monkeypatch.setattr(body, "forward", bounded)
    return runs


@pytest.mark.parametrize("problem", SHORTAGES)
@pytest.mark.parametrize(("kind", "options"), [("mlm", {}), ("nsp", {}), ("causal", {})])
def test_without_enough_memory_smaller_batches_give_the_same_scores(
    monkeypatch: pytest.MonkeyPatch, bert: Tiny, gpt2: Tiny, kind: str, options: dict[str, Any], problem: Exception
) -> None:
    made = scorer(kind, (gpt2 if kind == "causal" else bert).folder, **options)
    prompts = [prompt_of([f"{i} {row}", ("it was ", "")], ["good", "体育"]) for row in ROWS for i in range(4)]
    wanted = made.score(prompts)
    assert made.reduced_budget is None
    told: list[int] = []
    made.progress = told.append
    runs = short_of_memory(monkeypatch, made, 160, problem)
    found = made.score(prompts)
    assert made.budget // 16 <= made.reduced_budget < made.budget
    assert made.details["batch_budget"] == made.budget  # that of the next window
    assert made.details["reduced_budget"] == made.reduced_budget
    assert sum(told) == len(prompts)
    assert sum(size > 160 for size in runs) <= 8
    for one, other in zip(found, wanted, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-4)


@pytest.mark.parametrize(("kind", "options"), [("mlm", {}), ("causal", {}), ("causal", {"plain": True})])
def test_a_prompt_that_does_not_fit_into_the_memory_alone_fails_alone(
    monkeypatch: pytest.MonkeyPatch, bert: Tiny, gpt2: Tiny, kind: str, options: dict[str, Any]
) -> None:
    made = scorer(kind, (gpt2 if kind == "causal" else bert).folder, **options)
    prompts = [prompt_of([(text, "")], ["good", "体育"]) for text in ("a b", LONG + LONG, "a c", LONG + LONG)]
    wanted = made.score(prompts)
    short_of_memory(monkeypatch, made, 25, torch.OutOfMemoryError("CUDA out of memory"))
    found = made.score(prompts)
    assert [scored.error is None for scored in found] == [True, False, True, False]
    assert "tokens do not fit into the memory" in str(found[1].error)
    assert made.reduced_budget is None or made.reduced_budget > 1  # that of the others
    for i in (0, 2):
        assert found[i].scores == pytest.approx(wanted[i].scores, abs=1e-4)


def test_lack_of_memory_is_known_by_what_this_torch_says_of_it() -> None:
    def asks_for_too_much() -> list[tuple[int, list[float] | str | None]]:
        torch.empty(1 << 60)  # on a CPU this raises a bare RuntimeError, told apart by its words alone
        return []

    assert within_memory(asks_for_too_much) is None


# ------------------------------------------------------------------ failures of libraries

PANIC = type("PanicException", (BaseException,), {})("something in Rust gave up")
KINDS: list[tuple[str, dict[str, Any]]] = [("mlm", {}), ("nsp", {}), ("causal", {}), ("causal", {"plain": True})]


def failing(monkeypatch: pytest.MonkeyPatch, made: Any, token: int | None, problem: BaseException) -> list[int]:
    """From here on the model fails where it meets the token (None: always); how many tokens each run had."""
    runs: list[int] = []
    body = made.model.base_model
    forward = body.forward

    def fragile(*args: Any, **inputs: Any) -> Any:
        ids: Any = args[0] if args else inputs["input_ids"]
        runs.append(ids.numel())
        if token is None or token in ids:
            raise problem
        return forward(*args, **inputs)

    monkeypatch.setattr(body, "forward", fragile)
    return runs


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_a_row_at_which_the_model_fails_takes_no_other_along(
    monkeypatch: pytest.MonkeyPatch, bert: Tiny, gpt2: Tiny, kind: str, options: dict[str, Any]
) -> None:
    made = scorer(kind, (gpt2 if kind == "causal" else bert).folder, **options)
    bad = {2, 17, 18, 100}
    texts = [f"{i} {row[:60]}" + ("#" if i in bad else "") for i, row in enumerate(ROWS * 12)]
    prompts = [prompt_of([text, ("it was ", "")], ["good", "体育"]) for text in texts]
    (token,) = made.encoder.ids("#")
    usual = failing(monkeypatch, made, -1, RuntimeError())
    wanted = made.score(prompts)
    monkeypatch.undo()
    told: list[int] = []
    made.progress = told.append
    runs = failing(monkeypatch, made, token, IndexError("index out of range in self\nand a long story"))
    found = made.score(prompts)
    assert {i for i, one in enumerate(found) if one.error} == bad
    assert {one.error for one in found} - {None} == {"the model failed: IndexError: index out of range in self"}
    for one, other in zip(found, wanted, strict=True):
        assert one.error or one.scores == pytest.approx(other.scores, abs=1e-4)
    assert sum(told) == len(prompts)
    assert made.reduced_budget is None
    assert len(runs) <= len(usual) + 25 * len(bad)  # soon back to large pieces


@pytest.mark.parametrize(("kind", "options"), KINDS)
@pytest.mark.parametrize("problem", [NotImplementedError(), KeyError("cache"), PANIC])
def test_a_model_that_always_fails_gives_every_row_its_error_in_time(
    monkeypatch: pytest.MonkeyPatch, bert: Tiny, gpt2: Tiny, kind: str, options: dict[str, Any], problem: Exception
) -> None:
    made = scorer(kind, (gpt2 if kind == "causal" else bert).folder, **options)
    prompts = [prompt_of([f"{i} {row}", ("it was ", "")], ["good", "体育"]) for i, row in enumerate(ROWS * 4)]
    runs = failing(monkeypatch, made, None, problem)
    found = made.score(prompts)
    assert all(str(one.error).startswith(f"the model failed: {type(problem).__name__}") for one in found)
    assert len(runs) < 2 * 2 * len(prompts) + 10


@pytest.mark.parametrize("problem", [AssertionError("ours"), KeyboardInterrupt()])
def test_our_own_mistakes_and_a_wish_to_stop_are_no_error_of_a_row(
    monkeypatch: pytest.MonkeyPatch, bert: Tiny, problem: BaseException
) -> None:
    made = scorer("mlm", bert.folder)
    failing(monkeypatch, made, None, problem)
    with pytest.raises(type(problem)):
        made.score([CLOZE])
    monkeypatch.setattr(type(made.planner), "plan", lambda self, prompt: failing_plan(problem))
    with pytest.raises(type(problem)):
        made.score([CLOZE])


def failing_plan(problem: BaseException) -> None:
    raise problem


@pytest.mark.parametrize(("kind", "options"), KINDS[:3])
def test_a_text_at_which_the_tokenizer_fails_is_the_error_of_its_row(
    monkeypatch: pytest.MonkeyPatch, bert: Tiny, gpt2: Tiny, kind: str, options: dict[str, Any]
) -> None:
    tiny = gpt2 if kind == "causal" else bert
    prompts = [prompt_of([text, ("it was ", "")], ["good", "体育"]) for text in ("a day", "fatal", "a long day")]
    made = scorer(kind, tiny.folder)
    alone = load_tokenizer(ModelOptions(tiny.name))
    wanted = made.score(prompts)
    tokenized = TextEncoder._tokenized

    def fragile(self: TextEncoder, text: str) -> tuple[int, ...]:
        if "fatal" in text:
            raise OverflowError("out of range integral type conversion attempted")
        return tokenized(self, text)

    monkeypatch.setattr(TextEncoder, "_tokenized", fragile)
    for encoder in (made.encoder, alone.encoder):  # type: ignore[attr-defined]
        monkeypatch.setattr(encoder, "_remembered", lambda text, encoder=encoder: fragile(encoder, text))
        monkeypatch.setattr(encoder, "extended", partial(Encoder.extended, encoder))
    found = made.score(prompts)
    said = "the tokenizer failed: OverflowError: out of range integral type conversion attempted"
    assert [one.error for one in found] == [None, said, None]
    assert [found[i].scores for i in (0, 2)] == [pytest.approx(wanted[i].scores, abs=1e-4) for i in (0, 2)]
    assert [one.error for one in alone.tokenized(kind, prompts)] == [None, said, None]
    assert alone.misfit(kind, prompts[1]) == said


# ------------------------------------------------------------------ a tokenizer and weights that do not belong together


def misfit(folder: Path, add: Callable[[Tokenizer], Any], **names: str) -> Tiny:
    """A BERT whose tokenizer was changed afterwards."""
    made = wordpiece()
    config = bert_config(made)
    add(made)
    return build(folder, transformers.BertForPreTraining, config, made, **{**SPECIAL, **names})


@pytest.mark.parametrize(
    ("add", "names", "kinds", "said"),
    [
        (
            lambda made: made.add_tokens(["天气", "new york"]),
            {},
            ["mlm", "nsp"],
            "2 of its tokenizer's tokens: '天气', 'new york'",
        ),
        (lambda made: made.add_special_tokens(["<blank>"]), {"mask_token": "<blank>"}, ["mlm"], "1 of .*: '<blank>'"),
    ],
)
def test_a_tokenizer_with_tokens_that_have_no_embedding_is_refused_with_their_names(
    tmp_path: Path, add: Callable[[Tokenizer], Any], names: dict[str, str], kinds: list[str], said: str
) -> None:
    tiny = misfit(tmp_path, add, **names)
    for kind in kinds:
        with pytest.raises(ModelError, match=f"176 embeddings, and none for {said}") as caught:
            scorer(kind, tiny.folder)
        assert caught.value.where == tiny.name
        assert "resize" in caught.value.hint
    (tokenized,) = load_tokenizer(ModelOptions(tiny.name)).tokenized("mlm", [CLOZE])  # the tokenizer itself is sound
    assert tokenized.error is None


def test_an_unknown_token_without_an_embedding_is_refused_for_any_text_may_have_it(tmp_path: Path) -> None:
    made = sentencepiece_bpe()
    config = transformers.LlamaConfig(vocab_size=made.get_vocab_size(), max_position_embeddings=LENGTH, **SIZES)
    tiny = build(tmp_path, transformers.LlamaForCausalLM, config, made, unk_token="<unk>")
    settings = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    settings["model"]["vocab"] |= {"<unk>": made.get_vocab_size(), "<none>": 0}
    settings["added_tokens"] = [
        t | {"id": made.get_vocab_size()} for t in settings["added_tokens"] if t["content"] == "<unk>"
    ]
    (tmp_path / "tokenizer.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(ModelError, match="1 of its tokenizer's tokens: '<unk>'"):
        scorer("causal", tiny.folder)


@pytest.mark.parametrize("kind", ["mlm", "nsp"])
def test_special_tokens_that_no_text_can_come_to_need_no_embedding(tmp_path: Path, bert: Tiny, kind: str) -> None:
    tiny = misfit(tmp_path, lambda made: made.add_special_tokens(["<user>", "<pad>"]), pad_token="<pad>")
    made = scorer(kind, tiny.folder)
    prompts = [prompt_of([row + " <user><pad>", ("it was ", "")], ["good", "体育"]) for row in ROWS]
    found, wanted = made.score(prompts), scorer(kind, bert.folder).score(prompts)
    assert [one.scores for one in found] == [pytest.approx(one.scores, abs=1e-4) for one in wanted]
    assert made.pad == 0


@pytest.mark.parametrize("plain", [False, True])
def test_a_causal_model_runs_without_an_embedding_of_the_padding_that_it_was_given(tmp_path: Path, plain: bool) -> None:
    made = byte_bpe(["<|endoftext|>"])
    config = transformers.LlamaConfig(vocab_size=made.get_vocab_size(), max_position_embeddings=LENGTH, **SIZES)
    made.add_special_tokens(["[PAD]"])
    tiny = build(tmp_path, transformers.LlamaForCausalLM, config, made, eos_token="<|endoftext|>", pad_token="[PAD]")
    said = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(said | {"pad_token_id": made.get_vocab_size() - 1}))
    prompts = [prompt_of([(row + " it was ", "")], ["good", "体育"]) for row in ROWS]
    found = scorer("causal", tiny.folder, plain=plain).score(prompts)
    wanted = [
        [reference.causal(tiny.model, tiny.tokenizer, row + " it was ", w) for w in ("good", "体育")] for row in ROWS
    ]
    reference.assert_agrees(found, wanted)
    assert load_tokenizer(ModelOptions(tiny.name)).misfit("causal", prompts[0]) is None


def test_a_device_without_room_for_the_weights_is_one_line(bert: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Any, device: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nSee the documentation")

    monkeypatch.setattr(torch.nn.Module, "to", full)
    with pytest.raises(ModelError, match=r"cannot be loaded: CUDA out of memory\. Tried to allocate") as caught:
        scorer("mlm", bert.folder)
    assert "\n" not in str(caught.value)
    assert caught.value.hint == "take a smaller model, or another --device"


def test_a_configuration_that_no_model_can_be_made_of_is_one_line_for_the_tokenizer_too(
    bert: Tiny, tmp_path: Path
) -> None:
    shutil.copytree(bert.folder, tmp_path / "odd")
    said = json.loads((tmp_path / "odd" / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "odd" / "config.json").write_text(json.dumps(said | {"num_attention_heads": 5}))
    for load_it in (load_tokenizer, partial(load, "mlm")):
        with pytest.raises(ModelError, match=r"cannot be loaded: .*not a multiple"):
            load_it(ModelOptions(str(tmp_path / "odd")))


# ------------------------------------------------------------------ texts of which the tokenizer knows nothing

KNOWN = ["a", "!?", "好", "a 🙂", "🙂。"]
STRANGE = ["🙂🙂", "ქართული", "\u0301\u0301", "\u200b", "🙂 ქ"]


@pytest.mark.parametrize(("kind", "model"), [("mlm", "bert"), ("nsp", "bert"), ("causal", "llama")])
def test_a_row_of_which_the_tokenizer_knows_nothing_is_told(
    request: pytest.FixtureRequest, kind: str, model: str
) -> None:
    made = scorer(kind, request.getfixturevalue(model).folder)
    texts = ["a", "!?", "a 🙂", *STRANGE] if kind == "causal" else [*KNOWN, *STRANGE]
    prompts = [prompt_of([text, ("it was ", "")], ["good", "great"]) for text in texts]
    found = made.score(prompts)
    assert [one.unknown for one in found] == [text in STRANGE for text in texts]
    assert all(one.error is None for one in found)


def test_bytes_are_known_and_white_space_says_nothing(gpt2: Tiny, roberta: Tiny) -> None:
    texts = ["🙂", "ქართული", "\u0301", " ", "\n\t"]
    for kind, tiny in (("causal", gpt2), ("mlm", roberta)):
        prompts = [prompt_of([text, ("it was ", "")], ["good"]) for text in texts]
        assert [one.unknown for one in scorer(kind, tiny.folder).score(prompts)] == [False] * 3 + [True] * 2


def test_a_tokenizer_that_loses_what_it_does_not_know_is_asked_about_every_text(tmp_path: Path, gpt2: Tiny) -> None:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.train_from_iterator(
        ["a good day it was great"], trainers.BpeTrainer(special_tokens=["<s>"], show_progress=False)
    )
    config = transformers.GPT2Config(**{**gpt2.model.config.to_dict(), "vocab_size": made.get_vocab_size()})
    tiny = build(tmp_path, transformers.GPT2LMHeadModel, config, made, bos_token="<s>")
    prompts = [prompt_of([text, ("it was ", "")], ["good", "great"]) for text in ("day", "ქართული", "z9", "aq")]
    assert [one.unknown for one in scorer("causal", tiny.folder).score(prompts)] == [False, True, True, False]


def test_what_counts_is_the_rows_own_text_and_any_field_of_it(bert: Tiny) -> None:
    keys = {"scorer": "mlm", "text": "a good {mask} {one} {two}"}
    made = scorer("mlm", bert.folder)

    def unknown(one: str, two: str, *demos: str) -> bool:
        (found,) = made.score([rendered(keys, {"one": one, "two": two}, ["day"], *demos)])
        return bool(found.unknown)

    assert unknown("🙂", "ქ")
    assert unknown("🙂", "ქ", "a good day a day\n")  # a demonstration is not the row's text
    assert not unknown("🙂", "day")
    assert not unknown("a", "b", "🙂\n")
    assert not made.score([CLOZE])[0].unknown  # no field at all


def test_no_text_is_tokenized_again_where_all_is_known(bert: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    made = scorer("mlm", bert.folder)
    asked: list[str] = []
    monkeypatch.setattr(type(made.encoder), "knows", lambda self, text: bool(asked.append(text)) or True)
    made.score([prompt_of([text, ("it was ", "")], ["good"]) for text in ("a day", "好", "!", "🙂 a")])
    assert asked == ["!", "🙂 a"]


def test_other_problems_of_a_run_are_not_taken_for_lack_of_memory() -> None:
    def fails() -> list[tuple[int, list[float] | None]]:
        raise RuntimeError("the size of tensor a (3) must match the size of tensor b (4)")

    with pytest.raises(RuntimeError, match="must match"):
        within_memory(fails)


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_no_prompts_are_no_scores(bert: Tiny, gpt2: Tiny, kind: str, options: dict[str, Any]) -> None:
    made = scorer(kind, (gpt2 if kind == "causal" else bert).folder, **options)
    told: list[int] = []
    made.progress = told.append
    assert made.score([]) == []
    assert sum(told) == 0


# ------------------------------------------------------------------ nothing to score

KINDS = [("mlm", "bert"), ("nsp", "bert"), ("causal", "gpt2"), ("causal", "llama")]


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(("kind", "model"), KINDS)
def test_no_prompts_and_prompts_that_ask_nothing_are_no_work(
    request: pytest.FixtureRequest, kind: str, model: str, plain: bool
) -> None:
    made, told = scorer(kind, request.getfixturevalue(model).folder, plain=plain), list[int]()
    made.progress = told.append
    assert made.score([]) == []
    endless = prompt_of(["a", ("it was " * 500, "")], ["good"])
    found = made.score([endless, endless])
    assert all(one.error for one in found)
    assert sum(told) == 2
    (good,) = made.score([prompt_of(["a", ("it was ", "")], ["good"])])
    assert good.error is None


@pytest.mark.parametrize("bad", [(0,), (1,), (2,), (0, 1), (0, 1, 2)])
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(("kind", "model"), KINDS)
def test_a_window_without_one_good_row_is_passed_also_where_a_run_goes_on(
    request: pytest.FixtureRequest,
    kind: str,
    model: str,
    plain: bool,
    bad: tuple[int, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("promptshot.runs.journal.SHARE", 1e9)
    lines = ['{"text": " "}\n' if n // 4 in bad else f'{{"text": "a {n}"}}\n' for n in range(11)]
    (tmp_path / "in.jsonl").write_text("".join(lines))
    text = ["{text}", "it was {mask}"] if kind == "nsp" else "{text} it was {mask}"
    template = Template.of(TemplateSpec(scorer=kind, text=text), "t")  # type: ignore[arg-type]
    options = ModelOptions(request.getfixturevalue(model).name, plain=plain)
    recipe = Recipe.of(template, verbalizer_of_labels(["good", "great"]), kind, options)

    class Stop(running.Watcher):
        def counted(self, rows: int, tally: Tally) -> None:
            if rows == 4 * (1 + max(bad)):
                raise KeyboardInterrupt

    def inputs() -> Inputs:
        return Inputs([str(tmp_path / "in.jsonl")], window=4)

    def run(watcher: running.Watcher | None = None) -> result_module.Result:
        return running.run(recipe, inputs(), Outputs(str(tmp_path / "o")), watcher)

    if len(bad) == 3:
        with pytest.raises(InputError, match="none of 11 rows could be used; the first: field 'text' is empty"):
            run()
        return
    with contextlib.suppress(KeyboardInterrupt):
        run(Stop())
    result = run()
    good = sum('" "' not in line for line in lines)
    assert (result.tally.predicted, result.tally.rejected) == (good, 11 - good)
    assert len((tmp_path / "o").read_text().splitlines()) == good
