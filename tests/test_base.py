"""Loading checkpoints, refusing the wrong ones, batches, and what all torch scorers share."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from conftest import (
    LENGTH,
    LONG,
    ROWS,
    SPECIAL,
    Tiny,
    build,
    prompt_of,
    wordpiece,
)

from promptshot.errors import ModelError, NotFoundError, OptionError
from promptshot.prompts import Kind, Piece, Prompt
from promptshot.scorers import SCORERS, Checkpoint, ModelOptions, Scored, Scorer, load
from promptshot.scorers.base import TorchScorer
from promptshot.scorers.batches import Batches, fitting, token_budget
from promptshot.scorers.heads import Head
from promptshot.scorers.loading import check_head, pick_device
from promptshot.scorers.plans import Query


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
    with pytest.raises(ModelError, match=r"masked-LM head: .*cls\.predictions") as caught:
        scorer("mlm", folder)
    assert str(folder) in str(caught.value)
    assert "would be random" in caught.value.hint
    with pytest.raises(ModelError, match=r"next-sentence head: cls\.seq_relationship"):
        scorer("nsp", folder)


def test_a_masked_language_model_is_refused_for_next_sentences(bert: Tiny, bert_mlm: Tiny, tmp_path: Path) -> None:
    folder = saved(tmp_path, bert_mlm.model, bert)
    with pytest.raises(ModelError, match=r"next-sentence head: .*bert\.pooler.*cls\.seq_relationship"):
        scorer("nsp", folder)
    assert scorer("mlm", folder).score([CLOZE])[0].error is None


def test_a_checkpoint_without_its_body_says_so(bert: Tiny, tmp_path: Path) -> None:
    deeper = transformers.BertConfig(**{**bert.model.config.to_dict(), "num_hidden_layers": 3})
    folder = saved(tmp_path, bert.model, bert)
    deeper.save_pretrained(folder)
    with pytest.raises(ModelError, match=r"weights of the body: bert\.encoder\.layer\.2"):
        scorer("mlm", folder)


def test_weights_of_another_shape_are_refused(bert: Tiny, tmp_path: Path) -> None:
    wider = transformers.BertConfig(**{**bert.model.config.to_dict(), "vocab_size": 999})
    folder = saved(tmp_path, bert.model, bert)
    wider.save_pretrained(folder)
    with pytest.raises(ModelError, match=r"cannot be loaded|lacks weights"):
        scorer("mlm", folder)


def test_mismatched_weights_in_a_report_are_named(bert: Tiny) -> None:
    report = {"missing_keys": [], "mismatched_keys": [("cls.predictions.bias", (3,), (4,))]}
    with pytest.raises(ModelError, match=r"masked-LM head: cls\.predictions\.bias"):
        check_head("mlm", "some/name", bert.model, report)


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
    with pytest.raises(ModelError, match="a albert model has no next-sentence head"):
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
    assert set(SCORERS) == {"mlm", "nsp", "causal", "fake"}


# ------------------------------------------------------------------ memory

ALLOCATOR = "[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried to allocate"


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


@pytest.mark.parametrize("problem", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError(ALLOCATOR)])
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


def test_other_problems_of_a_run_are_not_taken_for_lack_of_memory() -> None:
    def fails() -> list[tuple[int, list[float] | None]]:
        raise RuntimeError("the size of tensor a (3) must match the size of tensor b (4)")

    with pytest.raises(RuntimeError, match="must match"):
        fitting(fails)
