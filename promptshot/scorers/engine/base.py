"""What the torch scorers share: the way from prompts to queries, batches and scores, and reading log-probabilities."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import islice
from operator import itemgetter
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from promptshot import kinds
from promptshot.errors import ModelError, OptionError, surfaces, told
from promptshot.kinds import ScorerName
from promptshot.scorers.checkpoints.beyond import confine, decompose
from promptshot.scorers.checkpoints.checks import check_types, check_vocabulary, embeddings_of
from promptshot.scorers.checkpoints.fitting import beginning
from promptshot.scorers.checkpoints.opening import (
    MIXED,
    Loaded,
    Opening,
    limit_of,
    load_checkpoint,
    loading,
    open_checkpoint,
    quiet,
    trained_of,
)
from promptshot.scorers.engine.batches import Answers, Batches, Work, token_budget, within_memory
from promptshot.scorers.engine.heads import Head, Reading, probe
from promptshot.scorers.engine.mixed import gains, mix
from promptshot.scorers.engine.packed import pack
from promptshot.scorers.engine.plans import Plan, Planner, Query, planner_of
from promptshot.scorers.engine.prefix import reach, rows_at_once
from promptshot.scorers.engine.trials import MATES, Mates, mates, refuse_other_positions, refuse_unsteady
from promptshot.scoring import BEYOND, Kind, ModelOptions, Prompt, Scored, TokenScore

Made = TypeVar("Made", bound="TorchScorer")
ROUNDED = 0.4  # what a probe may be off by in mixed precision, as a part of what its numbers differ by
ENDS = 24  # characters of a field that are enough to tell how a word behind it is spelled


class TorchScorer(ABC):
    """A checkpoint and the way from prompts to scores; subclasses answer batches of what their planner asks."""

    name: ClassVar[ScorerName]
    planner: Planner

    def __init__(self, loaded: Loaded, options: ModelOptions) -> None:
        """Try the model, and what it can be spared; raises ModelError where it cannot be used."""
        self.progress: Callable[[int], None] | None = None
        self.kind = kinds.KINDS[self.name]
        self.loaded, self.options = loaded, options
        if not self.kind.headless and (options.pooling or options.temperature):
            what = f"--pooling and --temperature are for vectors, and {self.name} has none"
            raise OptionError(what, hint="leave them out")
        self.checkpoint = name = loaded.name
        self.encoder, self.model, self.device = loaded.encoder, loaded.model, loaded.device
        if not options.plain and options.dtype != MIXED:
            pack(self.model, self.whole)
        self.tokenizer = self.encoder.tokenizer
        self.reduced_budget: int | None = None  # what it came down to in the last `score`, where memory ran short
        with loading(name, options):
            self.limit = limit_of(self.model, self.encoder, options)
            self.trained = self._lengthened()
            self.planner = planner_of(self.kind, self.encoder, self.limit, options)
            self.pad = check_vocabulary(name, self.encoder, self.model, self.planner.special)
            if not self.kind.left_to_right:
                check_types(name, self.encoder, self.model.config)
            self.embeddings = embeddings_of(self.model) or math.inf
            self.budget = options.batch_budget or token_budget(self.device, self.model.config)
            self._prepare()
            refuse_unsteady(self.model, self.trial, self.limit)
            self.mates: Mates = (
                mates(self.model, self.trial, self.limit, alone=True) if options.plain else self._mates()
            )
            if options.dtype == MIXED:  # once all is tried in float32
                self._mix()

    @classmethod
    def from_checkpoint(cls: type[Made], options: ModelOptions, opening: Opening = open_checkpoint) -> Made:
        """The scorer with the checkpoint that the options name; raises ModelError or NotFoundError."""
        return cls(load_checkpoint(kinds.KINDS[cls.name], options, opening), options)

    def _lengthened(self) -> int:
        """On how many tokens at once the model was trained; it takes `limit` from here on. Raises OptionError where it
        cannot."""
        learned, usual = trained_of(self.model, self.encoder)
        if self.options.long == "hierarchical":
            refuse_other_positions(self.kind, self.model)
            decompose(self.model, learned, self.limit, self.options.alpha)
            return learned
        if self.options.long == "local" and not self.kind.left_to_right:
            if (far := reach(self.model.config)) < self.limit:
                family = self.model.config.model_type
                what = f"--long local: what this {family} model makes of a text depends on the length"
                raise OptionError(f"{what}, beyond {far} tokens", where=self.checkpoint, hint="use --long windows")
            confine(self.model, self.checkpoint, usual, self.limit)
        return usual

    def _prepare(self) -> None:  # noqa: B027  (not every scorer has something)
        """What a scorer tries with its model and keeps of it; whatever a library raises here becomes a ModelError."""

    def _mates(self) -> Mates:
        """The rows that may share a batch; raises ModelError where the model cannot be run at all."""
        return mates(self.model, self.trial, self.limit)

    def _mix(self) -> None:
        """From here on products are in bfloat16; raises ModelError where that cannot be, or gives other numbers: some
        families reach for the weights of a layer."""
        with torch.inference_mode(), quiet():
            expected = self.whole().float()
            count = mix(self.model)
            why = "no layer of it is of a known kind" if not count else _unlike(expected, self.whole)
        if why:
            what = f"it cannot be run in mixed precision ({why})"
            raise ModelError(what, where=self.checkpoint, hint="leave out --dtype mixed")
        if not self.options.plain:
            pack(self.model, self.whole)  # what stays in float32

    def quick(self) -> TorchScorer:
        """The same checkpoint with every shortcut, where this one is plain; it takes the weights, and this one ends."""
        if self.options.dtype == MIXED:  # its weights are rounded, and tried are those that are not
            return self.from_checkpoint(replace(self.options, plain=False))
        return type(self)(self.loaded, replace(self.options, plain=False))

    @property
    def layers(self) -> int:
        """How many layers a token goes through, with the head."""
        said = getattr(self.model.config.get_text_config(), "num_hidden_layers", None)
        lists = [len(module) for module in self.model.modules() if isinstance(module, torch.nn.ModuleList)]
        return 1 + (said if isinstance(said, int) else max(lists, default=0))

    @abstractmethod
    def answer(self, batch: Sequence[Query]) -> list[list[float]]:
        """For each query, one natural-log score per choice of it."""

    def trial(self, batch: Sequence[Query]) -> list[list[float]]:
        """The same for sequences of random tokens, which need not be whole prompts."""
        return self.answer(batch)

    def whole(self) -> Tensor:
        """What the whole model gives for a small batch."""
        found: Tensor = self.model(**probe(self.model, self.kind.writes)).logits
        return found

    @quiet()
    def score(self, prompts: Sequence[Prompt]) -> list[Scored]:
        """One Scored per prompt, in order; a prompt that cannot be scored carries its error."""
        plans: list[Plan | str] = [self._planned(prompt) for prompt in prompts]
        asked = [(i, query) for i, plan in enumerate(plans) if isinstance(plan, Plan) for query in plan.queries]
        scores = [[0.0] * len(prompt.choices) for prompt in prompts]
        leads = [[0.0] * len(prompt.choices) for prompt in prompts]
        self.reduced_budget = None
        done = told = 0
        for batch in self.answers([query for _, query in asked], [i for i, _ in asked]):
            for number, values in batch:
                owner, query = asked[number]
                if not isinstance(values, list):
                    plans[owner] = values or f"{len(query.ids)} tokens do not fit into the memory"
                    continue
                size = len(query.choices)
                parts = zip(query.choices, values[:size], values[size:] or [0.0] * size, strict=True)
                for choice, value, lead in parts:
                    scores[owner][choice] += value  # a word may be asked for in parts
                    leads[owner][choice] += lead
            done += len(batch)
            before, told = told, done * len(prompts) // max(1, len(asked))
            if self.progress:
                self.progress(told - before)
        if self.progress and told < len(prompts):  # no query at all
            self.progress(len(prompts) - told)
        return list(map(scored_of, plans, scores, leads))

    def answers(self, queries: Sequence[Query], owners: Sequence[int]) -> Iterator[Answers]:
        """The answers to all queries, as they come; `owners` are the prompts they belong to.

        Queries that are the same are run once; the plain way, each is run on its own.
        """
        if self.options.plain:
            yield from self.pieces(self.batches(queries, self.answer), self.budget)
            return
        twins: dict[tuple[Any, ...], list[int]] = {}
        for i, query in enumerate(queries):
            twins.setdefault(query.key, []).append(i)
        groups = list(twins.values())
        work = self.batches([queries[group[0]] for group in groups], self.answer)
        for answers in self.pieces(work, self.budget):
            yield [(i, values) for number, values in answers for i in groups[number]]

    def pieces(self, work: Work, budget: int) -> Iterator[Answers]:
        """The answers of a work done piece by piece; where memory runs short, the pieces become smaller.

        What is done is not done again; what does not fit even as the smallest piece is answered by None. A piece that
        fails otherwise is made smaller too, until only what fails is left of it, and is answered by the reason.
        """
        start, size, proven = 0, budget, budget
        reason: str | None = None  # of a failure that is no lack of memory, while pieces are small because of it
        while start < work.total:
            end = work.cut(start, size)
            found = _attempt(work, start, end)
            if not isinstance(found, list):
                reason = found
                smaller = size // 2
                while smaller and work.cut(start, smaller) == end:
                    smaller //= 2
                if smaller:
                    size = smaller
                    continue
                end, lost = work.beyond(start)
                found = [(i, reason) for i, _ in lost]
                size = size if reason else proven  # one prompt that is too long does not make small pieces of others
            elif reason:  # bit by bit back to larger ones
                size = min(2 * size, proven)
                reason = reason if size < proven else None
            elif found:
                proven = size
                self.reduced_budget = size if size < budget else None
            yield found
            start = end

    @quiet()
    def embed(self, texts: Sequence[str]) -> list[array[float]]:
        """The mean of the last layer over the tokens of each text, those around it too: (hidden,) each.

        Texts are cut to what the model takes. Raises ModelError where it has no states to give.
        """
        layout = self.encoder.layout(pair=False)
        room = max(1, self.limit - len(layout.before) - len(layout.after))
        queries = []
        for text in texts:
            ids = self.encoder.ids(beginning(text, room, self.encoder))[:room]
            types = layout.token_types([len(ids)])
            queries.append(Query([*layout.before, *ids, *layout.after] or [self.pad], (0,), types=types or [0]))
        found: dict[int, array[float]] = {}
        for batch in self.pieces(self.batches(queries, self._means), self.budget):
            for number, values in batch:
                if not isinstance(values, list):
                    what = f"no embedding of a text: {values or 'it does not fit into the memory'}"
                    raise ModelError(what, where=self.checkpoint, hint="choose demonstrations another way")
                found[number] = array("f", values)
        return [found[i] for i in range(len(texts))]

    def _means(self, batch: Sequence[Query]) -> list[list[float]]:
        """The mean state of each sequence, padding left out."""
        inputs = self.tensors(batch)
        states = self._states(inputs).float()  # (rows, width, hidden)
        own = inputs["attention_mask"][..., None].float()  # (rows, width, 1)
        means: list[list[float]] = ((states * own).sum(1) / own.sum(1)).tolist()
        return means

    def _states(self, inputs: dict[str, Tensor]) -> Tensor:
        """The last layer for each token that is read: (rows, width, hidden)."""
        found: Tensor = self.model.base_model(**inputs)[0]
        return found

    @property
    def details(self) -> Mapping[str, Any]:
        """What a run record says of the checkpoint and how it is run."""
        return {
            "model_type": self.model.config.model_type,
            "device": str(self.device),
            **({"device_map": self.options.device_map} if self.options.device_map else {}),
            **({"devices": spread} if (spread := devices_of(self.model)) else {}),
            "dtype": MIXED if self.options.dtype == MIXED else str(self.model.dtype).removeprefix("torch."),
            **({"bfloat16_units": True} if self.device.type == "cpu" and gains() else {}),
            "max_length": self.limit,
            **({"trained_length": self.trained} if self.options.long in BEYOND else {}),
            **({"long_alpha": self.options.alpha} if self.options.long == "hierarchical" else {}),
            "batch_budget": self.budget,
            **({"reduced_budget": self.reduced_budget} if self.reduced_budget else {}),
            "batch_size": self.options.batch_size,
            **({"head": self.kind.stand_ins[self.options.head].head} if self.options.head else {}),
            **({"batches": MATES[self.mates]} if self.mates in MATES and not self.options.plain else {}),
            "threads": torch.get_num_threads(),
        }

    def unknown(self, words: Sequence[str]) -> list[str]:
        """The words that the tokenizer cannot spell."""
        return self.encoder.unknown(words)

    def alike(self, words: Sequence[str]) -> list[tuple[str, str]]:
        """Pairs of words that the tokenizer spells the same."""
        return self.encoder.alike(words)

    def plan(self, prompt: Prompt) -> Plan:
        """The queries that score a prompt; raises Unfit."""
        return self.planner.plan(prompt)

    @quiet()
    def windows(self, prompt: Prompt, stride: int | None = None) -> list[Prompt]:
        """The prompts that cover one that is too long, see `scoring.Windowing`."""
        return self.planner.windows(prompt, stride)

    def _planned(self, prompt: Prompt) -> Plan | str:
        """The plan of a prompt, or why there is none; a token that no embedding is for would fail a whole batch."""
        plan = self.planner.planned(prompt)
        if isinstance(plan, Plan):
            for query in plan.queries:
                if (last := max(query.ids, default=0)) >= self.embeddings:
                    return f"the model has no embedding for the token {self.encoder.shown(last)!r}"
            if self.options.long in BEYOND:
                longest = max((len(query.ids) for query in plan.queries), default=0)
                return replace(plan, beyond=max(0, longest - self.trained))
        return plan

    def tensors(self, batch: Sequence[Query]) -> dict[str, Tensor]:
        """Model inputs, padded on the right: input_ids, attention_mask and what the queries bring."""
        width = max(len(q.ids) for q in batch)

        def padded(rows: Sequence[Sequence[int]], filler: int) -> Tensor:
            lines = [[*row, *[filler] * (width - len(row))] for row in rows]
            return torch.tensor(lines, device=self.device)  # (rows, width)

        inputs = {
            "input_ids": padded([q.ids for q in batch], self.pad),
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

    def read(self, batch: Sequence[Query], head: Reading) -> list[list[float]]:
        """Sum of what `read_each` gives, for each choice of each query, and the part of the leads."""
        answers = []
        for query, found in zip(batch, self.read_each(batch, head), strict=True):
            answers.append(found.sum(-1).tolist())
            answers[-1] += [float(found[i, :size].sum()) for i, size in enumerate(query.leads)]
        return answers

    def read_each(self, batch: Sequence[Query], head: Reading) -> list[Tensor]:
        """Natural-log probabilities of the targets of each query: (choices, asked), float64."""
        return head.read(self.tensors(batch), batch)

    def batches(self, queries: Sequence[Query], answer: Callable[[Sequence[Query]], list[list[float]]]) -> Batches:
        """The queries in batches of those that may be run together."""
        most = 1 if self.options.plain or self.mates == "none" else self.options.batch_size
        return Batches(queries, answer, most, even=self.mates == "even")


class WordScorer(TorchScorer):
    """A scorer whose scores are sums over the tokens of words, which a head reads where they stand."""

    head: Reading

    def answer(self, batch: Sequence[Query]) -> list[list[float]]:
        """Sums over tokens."""
        return self.read(batch, self.head)

    @quiet()
    def spell(self, prompts: Sequence[Prompt]) -> list[list[tuple[TokenScore, ...]]]:
        """For each choice of each prompt what its score is the sum of; nothing for a prompt that cannot be scored."""
        plans = [self._planned(prompt) for prompt in prompts]
        asked = [(i, query) for i, plan in enumerate(plans) if isinstance(plan, Plan) for query in plan.queries]
        found: list[dict[int, list[tuple[int, TokenScore]]]] = [{} for _ in prompts]  # with the place of each token
        failed: set[int] = set()

        def each(batch: Sequence[Query]) -> list[list[float]]:
            return [values.flatten().tolist() for values in self.read_each(batch, self.head)]

        for answers in self.pieces(self.batches([query for _, query in asked], each), self.budget):
            for number, values in answers:
                owner, query = asked[number]
                if not isinstance(values, list):
                    failed.add(owner)
                else:
                    for choice, tokens in self._spelled(query, values):
                        found[owner].setdefault(choice, []).extend(tokens)
        return [
            [tuple(token for _, token in sorted(of[choice], key=itemgetter(0))) for choice in sorted(of)]
            if owner not in failed
            else []
            for owner, of in enumerate(found)
        ]

    def _spelled(self, query: Query, values: Sequence[float]) -> Iterator[tuple[int, list[tuple[int, TokenScore]]]]:
        """The tokens of each choice of a query, whose log-probabilities are `values`, one choice behind the other."""
        size = len(query.asked)
        for number, choice in enumerate(query.choices):
            lead = query.leads[number] if query.leads else 0
            asked = zip(query.asked, query.targets[number], values[number * size :], strict=False)
            yield (
                choice,
                [
                    (place, TokenScore(self.encoder.shown(token), score, i < lead))
                    for i, (place, token, score) in enumerate(asked)
                ],
            )


class HeadScorer(WordScorer):
    """A scorer with a language-model head, which gives every token of the vocabulary a probability.

    The masks of a cloze are taken as independent.
    """

    def _prepare(self) -> None:
        self.head = Head(self.model, self.options.plain)

    @quiet()
    def top(self, prompts: Sequence[Prompt], n: int) -> list[list[tuple[str, float]]]:
        """The n likeliest tokens at the blank of each prompt (its first mask), with natural-log probabilities.

        Where white space is read before the word, it is the place behind that. None for a prompt that has no plan.
        """
        tops: dict[int, list[tuple[int, float]]] = {}

        def best(numbers: Sequence[int], logs: Tensor) -> dict[int, list[tuple[int, float]]]:
            found = logs.topk(min(n, logs.shape[-1]))  # (prompts, n)
            pairs = map(zip, found.indices.tolist(), found.values.tolist())
            return dict(zip(numbers, map(list, pairs), strict=True))

        self._at_blanks(prompts, best, tops.update)
        return [[(self.encoder.shown(token), score) for token, score in tops.get(i, [])] for i in range(len(prompts))]

    @quiet()
    def propose(self, prompts: Sequence[Prompt], weights: Sequence[Sequence[float]], n: int) -> list[list[str]]:
        """For each list of weights, one for each prompt: the n words that are one token at the blank and whose weighted
        sums of natural-log probabilities there are the highest, the best first.

        A piece of a word is none. Prompts that cannot be scored count for nothing.
        """
        bare = _bare(prompts[0]) if prompts else None
        if bare is None or not (word := self._of_one_token(bare)):
            return [[] for _ in weights]
        of_prompts = torch.tensor(weights, dtype=torch.float64, device=self.device)  # (lists, prompts)
        sums = torch.zeros(len(weights), 1, dtype=torch.float64, device=self.device)  # (lists, 1 or vocabulary)

        def weighted(numbers: Sequence[int], logs: Tensor) -> Tensor:
            return of_prompts[:, list(numbers)] @ logs.to(self.device).double()

        def add(found: Tensor) -> None:
            nonlocal sums
            sums = sums + found

        self._at_blanks([replace(prompt, choices=(word,)) for prompt in prompts], weighted, add)
        lead, _ = self._at_blank(bare, word)
        named = cache(lambda token: self._word(bare, token, lead))
        ordered = torch.nan_to_num(sums, nan=-math.inf).argsort(-1, descending=True).tolist()
        return [list(islice(filter(None, map(named, tokens)), n)) for tokens in ordered]

    def _at_blanks(
        self, prompts: Sequence[Prompt], reduce: Callable[[Sequence[int], Tensor], Any], keep: Callable[[Any], object]
    ) -> None:
        """Give `keep` what `reduce` makes of the log-probabilities at the blanks: of the numbers of some prompts, and
        of (prompts, vocabulary), a batch at a time and each once."""
        plans = [self._planned(replace(prompt, multi_token="independent")) for prompt in prompts]
        asked = [(i, self._first(plan.queries[0])) for i, plan in enumerate(plans) if isinstance(plan, Plan)]

        def of_prompts(numbers: Sequence[int], logs: Tensor) -> Any:
            return reduce([asked[number][0] for number in numbers], logs)

        for answers in self.at_places([query for _, query in asked], of_prompts, keep):
            if self.progress:
                self.progress(len(answers))

    def at_places(
        self, queries: Sequence[Query], reduce: Callable[[Sequence[int], Tensor], Any], keep: Callable[[Any], object]
    ) -> Iterator[Answers]:
        """The same at the first place that each query asks for; which were answered comes batch by batch."""
        number = {id(query): i for i, query in enumerate(queries)}
        most = rows_at_once(self.model)

        def answer(batch: Sequence[Query]) -> list[list[float]]:
            states = self.head.first(self.tensors(batch), batch)  # (prompts, size)
            found = []  # kept only once nothing can fail any more: what fails is done again in smaller pieces
            for start in range(0, len(batch), most):
                logs = self.head.logits(states[start : start + most]).float().log_softmax(-1)  # (prompts, vocabulary)
                found.append(reduce([number[id(query)] for query in batch[start : start + most]], logs))
            for part in found:
                keep(part)
            return [[] for _ in batch]

        yield from self.pieces(self.batches(queries, answer), self.budget)

    def _first(self, query: Query) -> Query:
        """The query with only the first place of its word asked for, behind what is read before that."""
        lead = query.leads[0] if query.leads else 0
        return replace(query, asked=query.asked[lead : lead + 1], targets=(), leads=())

    def _of_one_token(self, prompt: Prompt) -> str:
        """Any word that is one token at the blank, so that a prompt with it has its blank there; empty without one."""
        tokens = range(min(int(self.embeddings), len(self.tokenizer)) - 1, -1, -1)
        return next(filter(None, (self._word(prompt, token) for token in tokens)), "")

    def _word(self, prompt: Prompt, token: int, lead: int | None = None) -> str:
        """The word that a token is at the blank; empty where it is a piece of one, a special token or no letters, or
        where not so many tokens as `lead` are read before it."""
        text = str(self.tokenizer.decode([token])).strip()
        if not text.isalpha() or token == self.encoder.unk:
            return ""
        before, own = self._at_blank(prompt, text)
        return text if own == (token,) and lead in (None, before) else ""

    def _at_blank(self, prompt: Prompt, word: str) -> tuple[int, tuple[int, ...]]:
        """How many tokens are read before a word at the blank, and its own."""
        plan = self.planner.planned(replace(prompt, choices=(word,), scored="choice", multi_token="independent"))
        if isinstance(plan, str):
            return 0, ()
        query = plan.queries[0]
        lead = query.leads[0] if query.leads else 0
        return lead, query.targets[0][lead : lead + plan.tokens[0]]


def devices_of(model: Any) -> dict[str, int]:
    """How many parts of a model that is spread are on each device; nothing where it is on one."""
    found = Counter(str(place) for place in (getattr(model, "hf_device_map", None) or {}).values())
    named = {f"cuda:{place}" if place.isdecimal() else place: count for place, count in found.items()}
    return named if len(named) > 1 else {}


def _bare(prompt: Prompt) -> Prompt:
    """The prompt with the ends of its fields only, which is enough to tell how words are spelled at its blank."""
    ends = [replace(p, text=p.text[-ENDS:]) if p.kind in (Kind.FIELD, Kind.DEMO) else p for p in prompt.pieces]
    return replace(prompt, pieces=tuple(ends))


def _unlike(expected: Tensor, run: Callable[[], Tensor]) -> str:
    """Why the numbers of a run are not those that were, but for rounding; empty where they are."""
    try:
        found = run().float()
    except Exception as problem:  # whatever a model of any kind may say
        return told(problem, 120)
    error = float((found - expected).norm() / (expected - expected.mean()).norm().clamp_min(1e-9))
    return "" if error <= ROUNDED else f"a probe is off by {error:.2g}"


def _attempt(work: Work, start: int, end: int) -> Answers | str | None:
    """The answers of a piece; None where there is not enough memory, else what went wrong."""
    try:
        return within_memory(lambda: work.run(start, end))
    except BaseException as problem:
        if surfaces(problem):
            raise
        return f"the model failed: {told(problem)}"


def scored_of(plan: Plan | str, values: Sequence[float], leads: Sequence[float] = ()) -> Scored:
    """What the scores of a prompt come to, or why they come to nothing."""
    if isinstance(plan, str):
        return Scored(error=plan)
    if not all(map(math.isfinite, values)):
        return Scored(error="a score is not finite (the model's weights or the precision may be at fault)")
    lead = tuple(leads) if any(leads) else ()
    cut, dropped = plan.fitted.cut, plan.fitted.dropped
    return Scored(tuple(values), plan.tokens, cut, dropped, lead=lead, unknown=plan.unknown, beyond=plan.beyond)
