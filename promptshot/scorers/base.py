"""What the torch scorers share: loading with a head check, batching by length, reading log-probabilities."""

from __future__ import annotations

import contextlib
import inspect
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
import transformers
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from promptshot import library
from promptshot.errors import ModelError, NotFoundError, OptionError, PromptshotError, shortlist
from promptshot.prompts import Piece, Prompt
from promptshot.scorers import BUILTIN_MODEL, ModelOptions, Scored, cpm
from promptshot.scorers.packed import pack
from promptshot.scorers.tokens import Encoder, Fitted, Ids, TextEncoder, TooLong, fit

NO_LIMIT = 10**6  # tokens; some tokenizers say "no limit" with an enormous number
_SHORT = re.compile("not enough memory|out of memory|can't allocate memory", re.IGNORECASE)
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

    @property
    def key(self) -> tuple[Any, ...]:
        """The same for queries that have the same answer."""
        types, positions = (None if ids is None else tuple(ids) for ids in (self.types, self.positions))
        return tuple(self.ids), self.asked, self.targets, types, positions


@dataclass(frozen=True)
class Plan:
    """All queries of one prompt, the tokens scored for each choice, and what fitting did."""

    queries: tuple[Query, ...]
    tokens: tuple[int, ...]
    fitted: Fitted


class Planner(ABC):
    """Prompts to queries, by the tokenizer alone: what is read and where, without any weights."""

    def __init__(self, encoder: Encoder, limit: int) -> None:
        """`limit` is in tokens: what the model takes, or less."""
        self.encoder, self.limit = encoder, limit

    @abstractmethod
    def plan(self, prompt: Prompt) -> Plan:
        """The queries that score a prompt; raises TooLong."""

    @abstractmethod
    def words(self, prompt: Prompt) -> list[Ids]:
        """The tokens of each choice, where the prompt has its blank."""

    def fit(self, pieces: Sequence[Piece], size: Callable[[Sequence[Piece]], int]) -> Fitted:
        """See `tokens.fit`."""
        return fit(pieces, size, self.limit, self.encoder)


Answers = list[tuple[int, list[float] | None]]  # (number of a query, its scores; None: no memory)


class TorchScorer(ABC):
    """A checkpoint and the way from prompts to scores; subclasses answer batches of what their planner asks."""

    name: ClassVar[str]
    auto_class: ClassVar[str]  # the transformers class that brings the head
    planner_class: ClassVar[type[Planner]]

    def __init__(self, options: ModelOptions) -> None:
        """Load tokenizer and model; raises ModelError or NotFoundError."""
        self.progress: Callable[[int], None] | None = None
        self.options = options
        self.device = pick_device(options.device)
        self.encoder, self.model = load_checkpoint(self.name, self.auto_class, options, self.device)
        if not options.plain:
            pack(self.model)
        self.tokenizer = self.encoder.tokenizer
        self.limit = limit_of(self.model, self.encoder, options)
        self.planner = self.planner_class(self.encoder, self.limit)
        self.budget = options.batch_budget or token_budget(self.device, self.model.config)
        self.reduced_budget: int | None = None  # what it came down to in the last `score`, where memory ran short

    @abstractmethod
    def answer(self, batch: Sequence[Query]) -> list[list[float]]:
        """For each query, one natural-log score per choice of it."""

    def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
        """One Scored per prompt, in order; a prompt that cannot be scored carries its error."""
        plans: list[Plan | str] = [self._planned(prompt) for prompt in prompts]
        asked = [(i, query) for i, plan in enumerate(plans) if isinstance(plan, Plan) for query in plan.queries]
        scores = [[math.nan] * len(prompt.choices) for prompt in prompts]
        self.reduced_budget = None
        done = told = 0
        for batch in self.answers([query for _, query in asked], [i for i, _ in asked]):
            for number, values in batch:
                owner, query = asked[number]
                if values is None:
                    plans[owner] = f"{len(query.ids)} tokens do not fit into the memory"
                    continue
                for choice, value in zip(query.choices, values, strict=True):
                    scores[owner][choice] = value
            done += len(batch)
            before, told = told, done * len(prompts) // len(asked)
            if self.progress:
                self.progress(told - before)
        if self.progress and told < len(prompts):  # no query at all
            self.progress(len(prompts) - told)
        return [_scored(plan, values) for plan, values in zip(plans, scores, strict=True)]

    def answers(self, queries: Sequence[Query], owners: Sequence[int]) -> Iterator[Answers]:
        """The answers to all queries, as they come; `owners` are the prompts they belong to.

        Queries that are the same are run once; the plain way, each is run on its own.
        """
        if self.options.plain:
            yield from self.pieces(Batches(queries, self.answer, most=1), self.budget)
            return
        twins: dict[tuple[Any, ...], list[int]] = {}
        for i, query in enumerate(queries):
            twins.setdefault(query.key, []).append(i)
        groups = list(twins.values())
        work = Batches([queries[group[0]] for group in groups], self.answer, self.options.batch_size)
        for answers in self.pieces(work, self.budget):
            yield [(i, values) for number, values in answers for i in groups[number]]

    def pieces(self, work: Work, budget: int) -> Iterator[Answers]:
        """The answers of a work done piece by piece; where memory runs short, the pieces become smaller.

        What is done is not done again; what does not fit even as the smallest piece is answered by None.
        """
        start, size, proven = 0, budget, budget
        while start < work.total:
            end = work.cut(start, size)
            found = fitting(lambda start=start, end=end: work.run(start, end))  # type: ignore[misc]
            if found is None:
                smaller = size // 2
                while smaller and work.cut(start, smaller) == end:
                    smaller //= 2
                if smaller:
                    size = smaller
                    continue
                end, found = work.beyond(start)
                size = proven  # one prompt that is too long does not make small pieces of the others
            elif found:
                proven = size
                self.reduced_budget = size if size < budget else None
            yield found
            start = end

    @property
    def details(self) -> Mapping[str, Any]:
        """What a run record says of the checkpoint and how it is run."""
        return {
            "model_type": self.model.config.model_type,
            "device": str(self.device),
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "max_length": self.limit,
            "batch_budget": self.budget,
            **({"reduced_budget": self.reduced_budget} if self.reduced_budget else {}),
            "batch_size": self.options.batch_size,
            "threads": torch.get_num_threads(),
        }

    def unknown(self, words: Sequence[str]) -> list[str]:
        """The words that the tokenizer cannot spell."""
        return self.encoder.unknown(words)

    def alike(self, words: Sequence[str]) -> list[tuple[str, str]]:
        """Pairs of words that the tokenizer spells the same."""
        return self.encoder.alike(words)

    def plan(self, prompt: Prompt) -> Plan:
        """The queries that score a prompt; raises TooLong."""
        return self.planner.plan(prompt)

    def _planned(self, prompt: Prompt) -> Plan | str:
        try:
            return self.plan(prompt)
        except TooLong as problem:
            return str(problem)

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
        rows = torch.tensor([r for r, q in enumerate(batch) for _ in q.asked], device=self.device)
        places = torch.tensor([p for q in batch for p in q.asked], device=self.device)
        states = head.states(self.tensors(batch), rows, places)  # (asked in all, size)
        logits = head.logits(states).float()  # (asked in all, vocabulary)
        norms = logits.logsumexp(-1)  # (asked in all,)
        answers, start = [], 0
        for query in batch:
            span = torch.arange(start, start + len(query.asked), device=self.device)
            targets = torch.tensor(query.targets, device=self.device)  # (choices, asked)
            answers.append((logits[span, targets] - norms[span]).double().sum(-1).tolist())
            start += len(query.asked)
        return answers


class HeadScorer(TorchScorer):
    """A scorer with a language-model head, which gives every token of the vocabulary a probability."""

    def __init__(self, options: ModelOptions) -> None:
        super().__init__(options)
        self.head = Head(self.model, options.plain)

    def answer(self, batch: Sequence[Query]) -> list[list[float]]:
        """Sums of log-probabilities; the masks of a cloze are taken as independent."""
        return self.read(batch, self.head)

    def top(self, prompts: Sequence[Prompt], n: int) -> list[list[tuple[str, float]]]:
        """The n likeliest tokens at the blank of each prompt (its first mask), with natural-log probabilities."""
        return [self._likeliest(self.plan(prompt).queries[0], n) for prompt in prompts]

    def _likeliest(self, query: Query, n: int) -> list[tuple[str, float]]:
        place = torch.tensor(query.asked[:1], device=self.device)
        with torch.inference_mode():
            states = self.head.states(self.tensors([query]), torch.zeros_like(place), place)  # (1, size)
            found = self.head.logits(states).float().log_softmax(-1)[0].topk(n)  # (vocabulary,) -> (n,)
        pairs = zip(found.indices.tolist(), found.values.tolist(), strict=True)
        return [(self.encoder.shown(token), score) for token, score in pairs]


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


class Work(Protocol):
    """Something long that can be done in pieces of any size."""

    total: int

    def cut(self, start: int, budget: int) -> int:
        """Where the piece ends that begins at `start` and takes about `budget` tokens; behind `start`."""

    def run(self, start: int, end: int) -> Answers:
        """Do one piece; without enough memory it raises, and can be done again with a nearer end."""

    def beyond(self, start: int) -> tuple[int, Answers]:
        """Leave out what begins at `start`, as it does not fit: where to go on, and what fails."""


class Batches:
    """Queries in padded batches of similar length, longest first: at most `most` rows each; see Work."""

    def __init__(
        self, queries: Sequence[Query], answer: Callable[[Sequence[Query]], list[list[float]]], most: int | None = None
    ) -> None:
        self.queries, self.answer, self.most = queries, answer, most
        self.order = sorted(range(len(queries)), key=lambda i: (-len(queries[i].ids), i))
        self.total = len(queries)

    def cut(self, start: int, budget: int) -> int:
        """At most `budget` padded tokens, but always one row."""
        rows = max(1, budget // max(1, len(self.queries[self.order[start]].ids)))
        return min(start + (min(rows, self.most) if self.most else rows), self.total)

    def run(self, start: int, end: int) -> Answers:
        """The answers of one batch."""
        batch = self.order[start:end]
        return list(zip(batch, self.answer([self.queries[i] for i in batch]), strict=True))

    def beyond(self, start: int) -> tuple[int, Answers]:
        """One row fails."""
        return start + 1, [(self.order[start], None)]


def fitting(work: Callable[[], Answers]) -> Answers | None:
    """What the work gives, without gradients; None where the memory is not enough."""
    try:
        with torch.inference_mode():
            return work()
    except (RuntimeError, MemoryError) as problem:  # torch.OutOfMemoryError is a RuntimeError
        if not isinstance(problem, (torch.OutOfMemoryError, MemoryError)) and not _SHORT.search(str(problem)):
            raise
    # Only here, behind the handler, is nothing left that holds the tensors of the failed run.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


# ------------------------------------------------------------------ heads


class Head:
    """A language-model head that is applied to chosen positions only.

    The model's own forward is the head, once its body is told to give back states that are already there. Where
    that does not give the very logits of the whole model, `states` are these logits.
    """

    def __init__(self, model: Any, plain: bool = False) -> None:
        """With `plain`, the whole model is run and nothing is tried."""
        self.model = model
        self.last: LastLayer | None = None
        self.sparse = not plain  # whether the head runs on the read positions only
        self.sparse = not plain and same(self._whole, self._parts)
        self.last = LastLayer.of(model) if self.sparse else None
        if self.last is not None and not same(self._whole, self._parts):
            self.last = None

    def states(self, inputs: dict[str, Any], rows: Tensor, places: Tensor) -> Tensor:
        """(positions, hidden) at these rows and places, or (positions, vocabulary) where the head stays on."""
        if not self.sparse:
            logits: Tensor = self.model(**inputs).logits
            return logits[rows, places]
        if self.last is None:
            hidden: Tensor = self.model.base_model(**inputs)[0]
            return hidden[rows, places]
        with self.last.only(lambda states: states[rows, places][None]):
            found: Tensor = self.model.base_model(**inputs)[0][0]
        return found

    def logits(self, states: Tensor) -> Tensor:
        """(positions, vocabulary) from the states of those positions."""
        if not self.sparse:
            return states
        body = self.model.base_model
        before = body.__dict__.get("forward")
        said = BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=states[None])
        body.forward = lambda *args, **kwargs: said  # the body has been run
        try:
            ids = torch.zeros(1, len(states), dtype=torch.long, device=states.device)
            found: Tensor = self.model(input_ids=ids).logits[0]
        finally:
            del body.forward
            if before is not None:
                body.forward = before
        return found

    def _whole(self) -> Tensor:
        """The logits of some positions of a small batch, by the whole model."""
        logits: Tensor = self.model(**probe(self.model)).logits
        return logits[PROBED]

    def _parts(self) -> Tensor:
        """The same logits, the way they are read."""
        rows, places = (torch.tensor(chosen, device=self.model.device) for chosen in PROBED)
        return self.logits(self.states(probe(self.model), rows, places))


class LastLayer:
    """The last layer of a BERT-like encoder: behind its attention only the positions that are read go on."""

    def __init__(self, output: nn.Module) -> None:
        """`output` takes what attention gave and what stood before it, both (rows, width, hidden)."""
        self._output = output

    @classmethod
    def of(cls, model: Any) -> LastLayer | None:
        """Found by its name; None for other families."""
        name = f"layer.{int(getattr(model.config, 'num_hidden_layers', 0) or 0) - 1}.attention.output"
        found = [module for path, module in model.named_modules() if path.endswith(f"encoder.{name}")]
        return cls(found[0]) if len(found) == 1 else None

    @contextlib.contextmanager
    def only(self, pick: Callable[[Tensor], Tensor]) -> Iterator[None]:
        """Within this, `pick` chooses from the states that would go on."""
        hook = self._output.register_forward_pre_hook(lambda module, states: tuple(map(pick, states)))
        try:
            yield
        finally:
            hook.remove()


PROBED = ([0, 0, 1], [1, 7, 4])  # rows and places of a probe that are compared


def probe(model: Any) -> dict[str, Tensor]:
    """A small batch, to try whether two ways through a model give the same numbers."""
    ids = torch.arange(5, 21, device=model.device).view(2, 8) % int(model.config.vocab_size)  # (2, 8)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def same(whole: Callable[[], Tensor], parts: Callable[[], Tensor]) -> bool:
    """Whether two ways to the same numbers agree; False also where one of them cannot be gone."""
    try:
        with torch.inference_mode():
            expected, found = whole().float(), parts().float()
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError):
        return False
    return expected.shape == found.shape and bool(torch.allclose(expected, found, atol=1e-4, rtol=1e-4))


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


@dataclass(frozen=True)
class Opened:
    """A checkpoint without its weights, and where they are found."""

    name: str
    place: str
    where: Mapping[str, Any]  # what loaders of transformers are told beside the place
    config: Any
    encoder: Encoder


def open_checkpoint(name: str, options: ModelOptions) -> Opened:
    """Configuration and tokenizer; silent but for errors."""
    place = str(library.builtin_model(name)) if name.startswith(library.BUILTIN) else name
    where: dict[str, Any] = {"trust_remote_code": options.trust_remote_code}
    if not Path(place).is_dir():
        _refuse_path(place)
        where |= {"revision": options.revision or "main", "local_files_only": options.offline}
    with quiet(), hub_offline(options.offline):
        try:
            config = transformers.AutoConfig.from_pretrained(place, **where)
            return Opened(name, place, where, config, load_encoder(place, config, where))
        except PromptshotError:
            raise
        except Exception as problem:  # tokenizers and safetensors raise bare exceptions
            raise _not_loaded(name, options, problem) from None


def load_checkpoint(scorer: str, auto_class: str, options: ModelOptions, device: torch.device) -> tuple[Encoder, Any]:
    """Encoder and model, with every weight of the head from the checkpoint; silent but for errors."""
    dtype = _dtype(options.dtype, device)
    opened = open_checkpoint(options.model or BUILTIN_MODEL[scorer], options)
    name, config = opened.name, opened.config
    check_architecture(scorer, name, config)
    if not options.trust_remote_code and config._attn_implementation not in ATTENTIONS:
        config._attn_implementation = None  # others are code that is fetched from the hub and run
    loader = getattr(transformers, auto_class)
    with quiet(), hub_offline(options.offline):
        try:
            model, report = loader.from_pretrained(
                opened.place,
                config=config,
                dtype=dtype,
                use_safetensors=None if options.allow_pickle else True,
                output_loading_info=True,
                **opened.where,
            )
        except Exception as problem:
            raise _not_loaded(name, options, problem) from None
    check_head(scorer, name, model, report)
    if scorer != "causal" and "attention_mask" not in inspect.signature(model.forward).parameters:
        what = f"a {config.model_type} model cannot leave out the padding of a batch"
        raise ModelError(what, where=name, hint="use a BERT-like model")
    return opened.encoder, model.to(device).eval()


def load_encoder(place: str, config: Any, where: Mapping[str, Any]) -> Encoder:
    """The tokenizer of a checkpoint, as functions from text to ids."""
    if cpm.is_cpm(place, config, where):
        return cpm.CpmEncoder(cpm.load(place, config, where))
    return TextEncoder(transformers.AutoTokenizer.from_pretrained(place, **where))


def limit_of(model: Any, encoder: Encoder, options: ModelOptions) -> int:
    """How many tokens the model takes, or the smaller number the user set; raises OptionError for a larger one."""
    most = int(getattr(model.config, "max_position_embeddings", None) or NO_LIMIT)
    # RoBERTa counts its positions from padding_idx + 1.
    for module in model.modules():
        table = getattr(module, "position_embeddings", None)
        if isinstance(table, torch.nn.Embedding) and table.padding_idx is not None:
            most -= table.padding_idx + 1
            break
    wanted = options.max_length
    if wanted is not None and wanted > most:
        raise OptionError(f"--max-length {wanted}: the model takes at most {most} tokens")
    return wanted or min(most, int(encoder.tokenizer.model_max_length or NO_LIMIT))


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
