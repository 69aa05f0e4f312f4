"""What the torch scorers share: loading with a head check, batching by length, reading log-probabilities."""

from __future__ import annotations

import contextlib
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import transformers
from torch import Tensor

from promptshot import library
from promptshot.errors import ModelError, NotFoundError, OptionError, PromptshotError, shortlist
from promptshot.prompts import Piece, Prompt
from promptshot.scorers import BUILTIN_MODEL, ModelOptions, Scored, cpm
from promptshot.scorers.tokens import Encoder, Fitted, Ids, TextEncoder, TooLong, fit

NO_LIMIT = 10**6  # tokens; some tokenizers say "no limit" with an enormous number
ATTENTIONS = (None, "eager", "sdpa", "flex_attention")  # those that come with torch and transformers
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Query:
    """One sequence to run, and what to read from it.

    `asked` are the positions whose predictions are read; `targets` holds, for each of `choices`, the
    token ids expected there (same length as `asked`).
    """

    ids: Ids
    choices: tuple[int, ...]
    asked: tuple[int, ...] = ()
    targets: tuple[tuple[int, ...], ...] = ()
    types: Ids | None = None
    positions: Ids | None = None


@dataclass(frozen=True)
class Plan:
    """All queries of one prompt, the tokens scored for each choice, and what fitting did."""

    queries: tuple[Query, ...]
    tokens: tuple[int, ...]
    fitted: Fitted


class TorchScorer(ABC):
    """A checkpoint and the way from prompts to scores; subclasses plan queries and answer batches."""

    name: ClassVar[str]
    auto_class: ClassVar[str]  # the transformers class that brings the head

    def __init__(self, options: ModelOptions) -> None:
        """Load tokenizer and model; raises ModelError or NotFoundError."""
        self.progress: Callable[[int], None] | None = None
        self.options = options
        self.device = pick_device(options.device)
        self.encoder, self.model = load_checkpoint(self.name, self.auto_class, options, self.device)
        self.tokenizer = self.encoder.tokenizer
        self.limit = self._limit()
        self.budget = token_budget(self.device, self.model.config)

    @abstractmethod
    def plan(self, prompt: Prompt) -> Plan:
        """The queries that score a prompt; raises TooLong."""

    @abstractmethod
    def answer(self, batch: Sequence[Query]) -> list[list[float]]:
        """For each query, one natural-log score per choice of it."""

    def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
        """One Scored per prompt, in order; a prompt that cannot be scored carries its error."""
        plans = [self._planned(prompt) for prompt in prompts]
        queries = [(i, q) for i, plan in enumerate(plans) if isinstance(plan, Plan) for q in plan.queries]
        scores = [[math.nan] * len(prompt.choices) for prompt in prompts]
        done = told = 0
        for batch in batches([len(q.ids) for _, q in queries], self.budget, self.options.batch_size):
            with torch.inference_mode():
                answers = self.answer([queries[i][1] for i in batch])
            for i, answer in zip(batch, answers, strict=True):
                owner, query = queries[i]
                for choice, value in zip(query.choices, answer, strict=True):
                    scores[owner][choice] = value
            done += len(batch)
            before, told = told, done * len(prompts) // len(queries)
            if self.progress:
                self.progress(told - before)
        if self.progress and told < len(prompts):  # no query at all
            self.progress(len(prompts) - told)
        return [_scored(plan, values) for plan, values in zip(plans, scores, strict=True)]

    @property
    def details(self) -> Mapping[str, Any]:
        """What a run record says of the checkpoint and how it is run."""
        return {
            "model_type": self.model.config.model_type,
            "device": str(self.device),
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "max_length": self.limit,
            "batch_budget": self.budget,
            "batch_size": self.options.batch_size,
            "threads": torch.get_num_threads(),
        }

    def unknown(self, words: Sequence[str]) -> list[str]:
        """The words that the tokenizer cannot spell."""
        return self.encoder.unknown(words)

    def alike(self, words: Sequence[str]) -> list[tuple[str, str]]:
        """Pairs of words that the tokenizer spells the same."""
        return self.encoder.alike(words)

    def fit(self, pieces: Sequence[Piece], size: Callable[[Sequence[Piece]], int]) -> Fitted:
        """See `tokens.fit`; the limit is the model's, or the smaller one the user set."""
        return fit(pieces, size, self.limit, self.encoder)

    def _planned(self, prompt: Prompt) -> Plan | str:
        try:
            return self.plan(prompt)
        except TooLong as problem:
            return str(problem)

    def _limit(self) -> int:
        config = self.model.config
        most = int(getattr(config, "max_position_embeddings", None) or NO_LIMIT)
        # RoBERTa counts its positions from padding_idx + 1.
        for module in self.model.modules():
            table = getattr(module, "position_embeddings", None)
            if isinstance(table, torch.nn.Embedding) and table.padding_idx is not None:
                most -= table.padding_idx + 1
                break
        wanted = self.options.max_length
        if wanted is not None and wanted > most:
            raise OptionError(f"--max-length {wanted}: the model takes at most {most} tokens")
        most = min(most, int(self.tokenizer.model_max_length or NO_LIMIT))
        return wanted or most

    def tensors(self, batch: Sequence[Query]) -> dict[str, Tensor]:
        """Model inputs, padded on the right: input_ids, attention_mask and what the queries bring."""
        pad = self.tokenizer.pad_token_id
        width = max(len(q.ids) for q in batch)

        def padded(rows: Sequence[Sequence[int]], filler: int) -> Tensor:
            lines = [[*row, *[filler] * (width - len(row))] for row in rows]
            return torch.tensor(lines, device=self.device)  # (rows, width)

        inputs = {
            "input_ids": padded([q.ids for q in batch], 0 if pad is None else pad),
            "attention_mask": padded([[1] * len(q.ids) for q in batch], 0),
        }
        if batch[0].types is not None and self._takes_types:
            inputs["token_type_ids"] = padded([q.types or [] for q in batch], 0)
        if any(q.positions is not None for q in batch):
            places = [q.positions if q.positions is not None else list(range(len(q.ids))) for q in batch]
            inputs["position_ids"] = padded(places, 0)
        return inputs

    @property
    def _takes_types(self) -> bool:
        return int(getattr(self.model.config, "type_vocab_size", 0) or 0) > 1

    def read(self, batch: Sequence[Query], head: Head) -> list[list[float]]:
        """Sum of natural-log probabilities of the targets, for each choice of each query.

        The head runs on the asked positions only; the softmax is over the whole vocabulary.
        """
        hidden = head.states(self.model, self.tensors(batch))  # (rows, width, size)
        rows = torch.tensor([r for r, q in enumerate(batch) for _ in q.asked], device=self.device)
        places = torch.tensor([p for q in batch for p in q.asked], device=self.device)
        logits = head.logits(hidden[rows, places]).float()  # (asked in all, vocabulary)
        norms = logits.logsumexp(-1)  # (asked in all,)
        answers, start = [], 0
        for query in batch:
            span = torch.arange(start, start + len(query.asked), device=self.device)
            targets = torch.tensor(query.targets, device=self.device)  # (choices, asked)
            answers.append((logits[span, targets] - norms[span]).double().sum(-1).tolist())
            start += len(query.asked)
        return answers


def _scored(plan: Plan | str, values: list[float]) -> Scored:
    if isinstance(plan, str):
        return Scored(error=plan)
    if not all(map(math.isfinite, values)):
        return Scored(error="a score is not finite (the model's weights or the precision may be at fault)")
    return Scored(tuple(values), plan.tokens, plan.fitted.cut, plan.fitted.dropped)


# ------------------------------------------------------------------ batches


def token_budget(device: torch.device, config: Any) -> int:
    """Padded tokens in one batch, by a fixed rule of device and width: small batches suit a CPU's cache."""
    width = int(getattr(config, "hidden_size", 768) or 768)
    if device.type == "cpu":
        return 2048 if width <= 384 else 512
    return 32_768 if width <= 1024 else 8_192


def batches(lengths: Sequence[int], budget: int, most: int | None = None) -> Iterator[list[int]]:
    """Indices in batches of similar length, longest first: at most `budget` padded tokens, `most` rows."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    start = 0
    while start < len(order):
        rows = max(1, budget // max(1, lengths[order[start]]))
        rows = min(rows, most) if most else rows
        yield order[start : start + rows]
        start += rows


# ------------------------------------------------------------------ heads


class Head:
    """A language-model head that can be applied to chosen positions only.

    Where the model's parts are known and give the very logits of the whole model, the encoder runs alone
    and the head sees only the positions that are read. Otherwise `states` are the model's own logits.
    """

    PARTS = ("cls", "lm_head", "predictions", "embed_out")

    def __init__(self, model: Any) -> None:
        self._head: Any = next((p for p in map(model.__dict__["_modules"].get, self.PARTS) if p is not None), None)
        if self._head is not None and not self._agrees(model):
            self._head = None

    @property
    def sparse(self) -> bool:
        """Whether the head runs on the read positions only."""
        return self._head is not None

    def states(self, model: Any, inputs: dict[str, Tensor]) -> Tensor:
        """(rows, width, hidden), or (rows, width, vocabulary) where the head cannot be taken apart."""
        if self._head is None:
            logits: Tensor = model(**inputs).logits
            return logits
        hidden: Tensor = model.base_model(**inputs)[0]
        return hidden

    def logits(self, states: Tensor) -> Tensor:
        """(positions, vocabulary) from the states of those positions."""
        found: Tensor = states if self._head is None else self._head(states)
        return found

    def _agrees(self, model: Any) -> bool:
        """Whether base model and head give the logits of the whole model (soft caps and scales would not).

        A soft cap hardly bends the small logits of some probes, so it is also asked for by name.
        """
        if getattr(model.config, "final_logit_softcapping", None):
            return False
        ids = torch.arange(5, 9, device=model.device)[None] % int(model.config.vocab_size)  # (1, 4)
        try:
            with torch.inference_mode():
                inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
                whole = model(**inputs).logits
                parts = self._head(model.base_model(**inputs)[0])
        except (TypeError, ValueError, RuntimeError, AttributeError):
            return False
        return whole.shape == parts.shape and bool(torch.allclose(whole, parts, atol=1e-4, rtol=1e-4))


# ------------------------------------------------------------------ loading


def pick_device(name: str) -> torch.device:
    """`auto` is cuda where there is one, else mps, else cpu."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise OptionError(f"no device {name!r}", hint="use auto, cpu, cuda, cuda:N or mps") from None
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(device.type, False) or (device.index or 0) >= max(1, torch.cuda.device_count()):
        raise OptionError(f"there is no device {name!r} on this machine", hint="use --device auto")
    return device


def load_checkpoint(scorer: str, auto_class: str, options: ModelOptions, device: torch.device) -> tuple[Encoder, Any]:
    """Encoder and model, with every weight of the head from the checkpoint; silent but for errors."""
    name = options.model or BUILTIN_MODEL[scorer]
    place = str(library.builtin_model(name)) if name.startswith(library.BUILTIN) else name
    where: dict[str, Any] = {"trust_remote_code": options.trust_remote_code}
    dtype = _dtype(options.dtype, device)
    if not Path(place).is_dir():
        _refuse_path(place)
        where |= {"revision": options.revision or "main", "local_files_only": options.offline}
    with quiet(), hub_offline(options.offline):
        try:
            config = transformers.AutoConfig.from_pretrained(place, **where)
            encoder = load_encoder(place, config, where)
        except PromptshotError:
            raise
        except Exception as problem:  # tokenizers and safetensors raise bare exceptions
            raise _not_loaded(name, options, problem) from None
        check_architecture(scorer, name, config)
        if not options.trust_remote_code and config._attn_implementation not in ATTENTIONS:
            config._attn_implementation = None  # others are code that is fetched from the hub and run
        loader = getattr(transformers, auto_class)
        try:
            model, report = loader.from_pretrained(
                place,
                config=config,
                dtype=dtype,
                use_safetensors=None if options.allow_pickle else True,
                output_loading_info=True,
                **where,
            )
        except Exception as problem:
            raise _not_loaded(name, options, problem) from None
    check_head(scorer, name, model, report)
    if scorer != "causal" and "attention_mask" not in inspect.signature(model.forward).parameters:
        what = f"a {config.model_type} model cannot leave out the padding of a batch"
        raise ModelError(what, where=name, hint="use a BERT-like model")
    return encoder, model.to(device).eval()


def load_encoder(place: str, config: Any, where: Mapping[str, Any]) -> Encoder:
    """The tokenizer of a checkpoint, as functions from text to ids."""
    if cpm.is_cpm(place, config, where):
        return cpm.CpmEncoder(cpm.load(place, config, where))
    return TextEncoder(transformers.AutoTokenizer.from_pretrained(place, **where))


def check_architecture(scorer: str, name: str, config: Any) -> None:
    """Refuse families that the scorer cannot use at all; raises ModelError naming those that fit."""
    family = str(getattr(config, "model_type", ""))
    masked = transformers.MODEL_FOR_MASKED_LM_MAPPING
    paired = transformers.MODEL_FOR_NEXT_SENTENCE_PREDICTION_MAPPING
    causal = transformers.MODEL_FOR_CAUSAL_LM_MAPPING
    remote = bool(getattr(config, "auto_map", None))
    if scorer == "mlm" and type(config) not in masked and not remote:
        hint = "use --scorer causal with a causal template" if type(config) in causal else "use a BERT-like model"
        raise ModelError(f"a {family} model has no masked-LM head", where=name, hint=hint)
    if scorer == "nsp" and type(config) not in paired and not remote:
        hint = "use a BERT with its NSP head, such as bert-base-chinese or bert-base-uncased"
        raise ModelError(f"a {family} model has no next-sentence head", where=name, hint=hint)
    if scorer == "causal" and not remote:
        encoder = type(config) in masked and not getattr(config, "is_decoder", False)
        if type(config) not in causal or encoder:
            hint = "use a template for scorer mlm or nsp" if encoder else "use a GPT-like model"
            raise ModelError(f"a {family} model does not read from left to right", where=name, hint=hint)


def check_head(scorer: str, name: str, model: Any, report: Mapping[str, Any]) -> None:
    """Refuse a checkpoint that lacks weights: they would be random and the results chance, in silence."""
    missing = sorted(report.get("missing_keys") or ())
    wrong = sorted(str(key[0]) for key in report.get("mismatched_keys") or ())
    if missing or wrong:
        base = f"{getattr(model, 'base_model_prefix', '')}."
        heads = [key for key in missing + wrong if not key.startswith(base) or "pooler" in key]
        part = {"mlm": "masked-LM head", "nsp": "next-sentence head", "causal": "language-model head"}[scorer]
        lacking = part if heads else "body"
        raise ModelError(
            f"the checkpoint lacks weights of the {lacking}: {shortlist(heads or missing + wrong, 6)}",
            where=name,
            hint="they would be random; use a checkpoint that was saved with its pre-training heads",
        )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """transformers without its bars, reports and warnings; its settings are put back afterwards."""
    import huggingface_hub.utils.logging as hub_logging
    from transformers.utils import logging

    level, hub_level, bars = logging.get_verbosity(), hub_logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    hub_logging.set_verbosity(hub_logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        hub_logging.set_verbosity(hub_level)
        if bars:
            logging.enable_progress_bar()


@contextlib.contextmanager
def hub_offline(wanted: bool) -> Iterator[None]:
    """No request of huggingface_hub at all: it makes some of its own even where only local files are asked for."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = wanted or before
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _dtype(name: str, device: torch.device) -> torch.dtype | str:
    """float32 on a CPU; on an accelerator the checkpoint's own precision."""
    if name == "auto":
        return torch.float32 if device.type == "cpu" else "auto"
    if name not in DTYPES:
        raise OptionError(f"no precision {name!r}", hint="use auto, " + ", ".join(DTYPES))
    return DTYPES[name]


def _refuse_path(place: str) -> None:
    if place.startswith((".", "/", "~", "\\")) or place.count("/") > 1:
        raise NotFoundError(f"no model folder {place!r}", hint="check the path, or give a hub name: owner/name")


def _not_loaded(name: str, options: ModelOptions, problem: Exception) -> ModelError | NotFoundError:
    """What was tried and what to try, from the many ways in which loading fails."""
    text = str(problem)
    local = Path(name).is_dir() or name.startswith(library.BUILTIN)
    if "trust_remote_code" in text:
        return ModelError("the checkpoint brings its own code", where=name, hint="if you trust it: --trust-remote-code")
    pickled = "safetensors" in text and not options.allow_pickle
    if local and pickled and any(Path(name).glob("pytorch_model*.bin")):
        return ModelError("only pickled weights (.bin)", where=name, hint="if you trust them: --allow-pickle")
    if local or not isinstance(problem, OSError):
        first = text.strip().splitlines()[0] if text.strip() else type(problem).__name__
        return ModelError(f"cannot be loaded: {first[:200]}", where=name, hint="is it a transformers checkpoint?")
    if pickled:
        return ModelError("no safetensors weights", where=name, hint="for pickled ones: --allow-pickle")
    tried = "the local cache (offline)" if options.offline else "the local cache and the model hub"
    hint = "check the name, or give a local folder" + (", or leave out --offline" if options.offline else "")
    return NotFoundError(f"no model {name!r}: tried {tried}", hint=hint)
