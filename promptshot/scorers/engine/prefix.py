"""All sequences of a call as one trie of tokens, run node by node: what sequences share costs once.

    sequences      trie             node   0 1 2 3 4 5        The nodes are numbered depth first and run in this
    a b x .        0 a              token  a b x y z c        order, some hundred at a time, as one sequence
    a b y z .      +-1 b            depth  0 1 2 2 3 1        without padding. Keys and values of the nodes above
    a c .          | +-2 x          end    6 5 3 5 5 6        the next one are kept, those of all others go.
                   | +-3 y - 4 z
                   +-5 c            A token that is only predicted (.) is never run.

Shared demonstrations, contexts, first tokens of label words and doubled prompts are all the same case.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from promptshot.errors import told
from promptshot.scorers.checkpoints.encoder import Ids, common_prefix
from promptshot.scorers.checkpoints.opening import NO_LIMIT, quiet
from promptshot.scorers.engine.batches import Answers
from promptshot.scorers.engine.heads import Head, Reading
from promptshot.scorers.engine.plans import Query

LOGITS = {"cpu": 2**24, "mps": 2**24}  # logits at once (float32: 64 MiB), or
MORE_LOGITS = 2**27  # on a GPU
PROBE, FAN = 12, 16  # tokens of a probe, targets read at each position
NARROW = {"sliding_window": 3, "attention_chunk_size": 5}  # tokens: what a probe is beyond
# What a probe may be off by, as a part of what its positions differ by:
EXACT = {torch.float32: 1e-3, torch.float64: 1e-3}
ROUGH = 0.03  # in half precision; tiny models of 25 kinds: 0.008 by rounding, 0.037 and more by a lost mask

States = dict[int, tuple[Tensor, Tensor]]  # keys and values of each layer, (1, heads, nodes, size)


# ------------------------------------------------------------------ the trie


@dataclass(frozen=True)
class Trie:
    """Nodes in depth-first order, and what is read at them; all tensors are made on the CPU.

    A read is the log-probability of a target token at a node, for one of the lines (sorted sequences).
    """

    tokens: Tensor  # (nodes,)
    depths: Tensor  # (nodes,) the position of the token in its sequence
    ends: Tensor  # (nodes,) the first node behind the subtree of the node
    at: Tensor  # (reads,) nodes, ascending
    targets: Tensor  # (reads,) tokens
    lines: Tensor  # (reads,) lines
    lead: Tensor  # (reads,) whether the target stands before the word
    order: tuple[int, ...]  # the query of each line
    lasts: tuple[int, ...]  # the last node of each line, ascending

    @classmethod
    def of(cls, queries: Sequence[Query]) -> Trie:
        """The trie of the queries; each reads something, and has one choice."""
        inputs = [query.ids[: query.asked[-1] + 1] for query in queries]  # what nothing is read behind is not run
        order = sorted(range(len(queries)), key=inputs.__getitem__)
        tokens, depths, ends, lasts = list[int](), list[int](), list[int](), list[int]()
        reads: list[tuple[int, int, int, bool]] = []
        path: list[int] = []  # the nodes of the line before
        before: Ids = []
        for line, i in enumerate(order):
            ids, query = inputs[i], queries[i]
            shared = common_prefix([before, ids])
            for node in path[shared:]:
                ends[node] = len(tokens)
            path[shared:] = range(len(tokens), len(tokens) + len(ids) - shared)
            tokens += ids[shared:]
            depths += range(shared, len(ids))
            ends += [0] * (len(ids) - shared)
            lasts.append(path[-1])
            lead = query.asked[: sum(query.leads)]
            pairs = zip(query.asked, query.targets[0], strict=True)
            reads += [(path[p], target, line, p in lead) for p, target in pairs]
            before = ids
        for node in path:
            ends[node] = len(tokens)
        at, targets, lines, leads = torch.tensor(sorted(reads)).T.contiguous()  # (reads,) each
        nodes = torch.tensor([tokens, depths, ends])  # (3, nodes)
        return cls(nodes[0], nodes[1], nodes[2], at, targets, lines, leads.bool(), tuple(order), tuple(lasts))

    def __len__(self) -> int:
        """How many nodes there are."""
        return len(self.tokens)

    def to(self, device: torch.device) -> Trie:
        """The same with its nodes on a device, where masks are made: there are as many as nodes squared."""
        nodes = (self.tokens.to(device), self.depths.to(device), self.ends.to(device))
        return replace(self, tokens=nodes[0], depths=nodes[1], ends=nodes[2])

    def sees(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Whether each row node has each column node above it, or is it: booleans (rows, columns).

        The subtree of node j is j ... end[j] - 1, so that i sees j where j <= i < end[j]:

             0 a  1 b  2 x  3 y  4 z  5 c
        2 x   #    #    #    .    .    .
        3 y   #    #    .    #    .    .      The columns are the nodes kept from earlier
        4 z   #    #    .    #    #    .      pieces and those of the piece itself.
        5 c   #    .    .    .    .    #
        """
        i = rows[:, None]
        return (columns <= i) & (i < self.ends[columns])


# ------------------------------------------------------------------ how far back layers see


@dataclass(frozen=True)
class View:
    """What a layer sees of the tokens before one: the last of them (a sliding window), and those of the same chunk."""

    window: int = NO_LIMIT  # tokens, with the one that looks
    chunk: int = NO_LIMIT

    @property
    def whole(self) -> int:
        """The longest sequence of which all is seen."""
        return min(self.window, self.chunk)

    def near(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Whether tokens at the depths of the rows see those at the depths of the columns, if these are above them:
        booleans (rows, columns). It is the depths that count, as branches stand between a node and those above it.

        token           a  b  x  y  z  c        In a window of 2, z sees y, which stands before it, and itself;
        depth           0  1  2  2  3  1        c sees a, though it is five places away.
        """
        i = rows[:, None]
        return (i - columns < self.window) & (i // self.chunk == columns // self.chunk)


# For each type of layer its view. ALIKE is the only one where all layers share a mask; with none, all is seen.
Views = Mapping[str, View]
ALIKE = "all"


def by_type(config: Any) -> Views:
    """The views of the types of layers that a configuration names; for most families with more than one."""
    window, chunk = _sizes(config)
    types = sorted(set(getattr(config.get_text_config(), "layer_types", None) or ()))
    narrow = {"sliding_attention": View(window=window), "chunked_attention": View(chunk=chunk)}
    return {kind: narrow.get(kind, View()) for kind in types}


def alike(config: Any) -> Views:
    """One view for all layers, whatever a configuration says of their types."""
    window, chunk = _sizes(config)
    return {ALIKE: View(window, chunk)}


def unused(config: Any) -> Views:
    """A view of everything: some families have such sizes in their configuration and leave them alone."""
    return {ALIKE: View()}


def within(views: Views, window: int) -> Views:
    """The same views of no more than the last so many tokens."""
    return {kind: replace(view, window=min(view.window, window)) for kind, view in (views or {ALIKE: View()}).items()}


def _sizes(config: Any) -> tuple[int, int]:
    """The sliding window and the chunk of attention, in tokens."""
    window, chunk = (getattr(config.get_text_config(), key, None) for key in NARROW)
    return int(window or NO_LIMIT), int(chunk or NO_LIMIT)


# ------------------------------------------------------------------ running it


class Path(DynamicCache):  # type: ignore[misc]
    """Keys and values of kept nodes; a run gets them with its own behind them, and leaves them as they are."""

    def __init__(self, kept: States, size: int) -> None:
        super().__init__()
        self.kept, self.size = kept, size
        self.grown: States = {}

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *others: Any, **more: Any
    ) -> tuple[Tensor, Tensor]:
        """Kept and new keys and values of a layer: (1, heads, kept + new, size)."""
        states = key_states, value_states
        if layer_idx in self.kept:
            keys, values = self.kept[layer_idx]
            states = torch.cat([keys, key_states], -2), torch.cat([values, value_states], -2)
        self.grown[layer_idx] = states
        return states

    def get_seq_length(self, *others: Any, **more: Any) -> int:
        """How many nodes are kept."""
        return self.size


def chosen(states: States, places: Tensor) -> States:
    """The keys and values at these places (ascending) of the second last axis."""
    count = len(places)
    if count == 0:
        return {}
    if int(places[-1]) == count - 1:  # the first ones: no copy
        return {layer: (keys[..., :count, :], values[..., :count, :]) for layer, (keys, values) in states.items()}
    found = {}
    for layer, (keys, values) in states.items():
        here = places.to(keys.device)
        found[layer] = keys.index_select(-2, here), values.index_select(-2, here)
    return found


class Walk:
    """A trie run piece by piece; see `batches.Work`. A failed run leaves everything as it was."""

    def __init__(
        self,
        model: Any,
        head: Head,
        trie: Trie,
        owners: Sequence[int],
        most: int | None = None,
        views: Views | None = None,
    ) -> None:
        """`owners` are the prompts of the queries; at most `most` of them are finished by one piece."""
        self.model, self.head, self.trie, self.most = model, head, trie, most
        self.there = trie.to(model.device)
        self.views = views or {}
        self.rows = rows_at_once(model)
        self.owners = [owners[i] for i in trie.order]
        self.total = len(trie)
        self.totals = torch.zeros(len(trie.order), 2, dtype=torch.float64)  # (lines, score and lead)
        self.cache = cache_name(model.base_model if head.sparse else model)
        self.finished = 0  # lines
        self.kept = torch.zeros(0, dtype=torch.long)  # (kept,) nodes, ascending
        self.past: States = {}

    def cut(self, start: int, budget: int) -> int:
        """The node behind the piece that begins at `start`."""
        end = min(start + budget, self.total)
        if self.most is not None:
            seen: set[int] = set()
            for line in range(self.finished, len(self.owners)):
                seen.add(self.owners[line])
                if self.trie.lasts[line] >= end:
                    break
                if len(seen) > self.most:
                    return max(start, self.trie.lasts[line - 1]) + 1
        return end

    def run(self, start: int, end: int) -> Answers:
        """Run nodes `start` ... `end` - 1; the answers of the lines whose last node is among them."""
        trie = self.trie
        new = torch.arange(start, end)  # (new,)
        columns = torch.cat([self.kept, new])  # (kept + new,)
        path = Path(self.past, len(self.kept))
        first, last = torch.searchsorted(trie.at, torch.tensor([start, end])).tolist()
        nodes, which = torch.unique_consecutive(trie.at[first:last], return_inverse=True)  # (read nodes,), (reads,)
        inputs = self._inputs(new, columns) | {self.cache: path, "use_cache": True}
        places = (nodes - start).to(self.model.device)  # (read nodes,)
        states = self.head.states(inputs, torch.zeros_like(places), places)  # (read nodes, ...)
        values = log_probabilities(self.head, states, which, trie.targets[first:last], self.rows)  # (reads,)
        self._keep(path.grown, columns, end)
        parts = torch.stack([values, values * trie.lead[first:last]], -1)  # (reads, 2)
        self.totals.index_add_(0, trie.lines[first:last], parts)
        return self._finished(end)

    def beyond(self, start: int) -> tuple[int, Answers]:
        """Give up the subtree of a node that does not fit: where to go on, and the lines that fail."""
        end = int(self.trie.ends[start])
        self._keep(self.past, self.kept, end)
        return end, [(i, None) for i, _ in self._finished(end)]

    def _inputs(self, new: Tensor, columns: Tensor) -> dict[str, Any]:
        """Position ids are depths, so that nodes on different branches may stand at one place:

        token     a  b  x  y  z  c
        position  0  1  2  2  3  1
        """
        new, columns = new.to(self.model.device), columns.to(self.model.device)
        return {
            "input_ids": self.there.tokens[new][None],  # (1, new)
            "position_ids": self.there.depths[new][None],  # (1, new)
            "attention_mask": self._masks(new, columns),
        }

    def _masks(self, new: Tensor, columns: Tensor) -> Tensor | dict[str, Tensor]:
        """What is added to the scores of attention, (1, 1, new, kept + new): for all layers, or for each type."""
        seen = self.there.sees(new, columns)
        rows, depths = self.there.depths[new], self.there.depths[columns]
        if int(rows.max()) < min((view.whole for view in self.views.values()), default=NO_LIMIT):
            return self._mask(seen)
        masks = {kind: self._mask(seen & view.near(rows, depths)) for kind, view in self.views.items()}
        return masks.get(ALIKE, masks)

    def _mask(self, seen: Tensor) -> Tensor:
        dtype = self.model.dtype
        mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)  # (new, kept + new)
        return mask.masked_fill_(~seen, torch.finfo(dtype).min)[None, None]

    def _keep(self, states: States, columns: Tensor, end: int) -> None:
        """Keep the nodes above node `end`, the next one: those whose subtree reaches it."""
        stay = (self.trie.ends[columns] > end).nonzero().flatten()  # (kept,) places
        self.past = chosen(states, stay)
        self.kept = columns[stay]

    def _finished(self, end: int) -> Answers:
        begin = self.finished
        while self.finished < len(self.owners) and self.trie.lasts[self.finished] < end:
            self.finished += 1
        values: list[list[float]] = self.totals[begin : self.finished].tolist()
        return list(zip(self.trie.order[begin : self.finished], values, strict=True))


def log_probabilities(head: Reading, states: Tensor, which: Tensor, targets: Tensor, rows: int) -> Tensor:
    """Natural log-probabilities of targets (reads,), each at the state `which` (reads,) of states (nodes, size).

    `which` ascends; the float32 logits of at most `rows` states are there at once. Float64, on the CPU.
    """
    found = [torch.zeros(0, dtype=torch.float64)]
    for first in range(0, len(states), rows):
        begin, end = torch.searchsorted(which, torch.tensor([first, first + rows])).tolist()
        here = (which[begin:end] - first).to(states.device)  # (reads here,)
        logits = head.logits(states[first : first + rows]).float()  # (rows, vocabulary)
        picked = logits[here, targets[begin:end].to(states.device)]  # (reads here,)
        found.append((picked - logits.logsumexp(-1)[here]).cpu().double())
    return torch.cat(found)


def rows_at_once(model: Any) -> int:
    """For how many positions logits are held at once, by a fixed rule of device and vocabulary."""
    vocabulary = int(model.config.get_text_config().vocab_size)
    return max(1, LOGITS.get(model.device.type, MORE_LOGITS) // vocabulary)


def cache_name(module: Any) -> str:
    """What the forward of a model calls the keys and values that it goes on from; newer ones say "cache"."""
    return "cache" if "cache" in inspect.signature(type(module).forward).parameters else "past_key_values"


def token_budget(model: Any, head: Head) -> int:
    """Nodes run at once, by a fixed rule of the device: many of one piece cannot see each other, and still cost."""
    budget = 384 if model.device.type == "cpu" else 4096
    # A head that is no part of its own gives the logits of all read positions at once.
    return budget if head.sparse else min(budget, 4 * rows_at_once(model))


# ------------------------------------------------------------------ which models can be run so


def reach(config: Any) -> int:
    """The longest sequence in which every token sees what its layer shows it, turned as in any other sequence.

    Some rotary scalings depend on the length, and some families choose what they show.
    """
    text = config.get_text_config()
    limits = [getattr(text, key, None) for key in ("index_topk", "keep_window_size")]  # of so many tokens the best
    scaling = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None) or {}
    most = getattr(text, "max_position_embeddings", None)
    for rope in (scaling, *(part for part in scaling.values() if isinstance(part, dict))):
        if str(rope.get("rope_type", rope.get("type"))) in ("dynamic", "longrope", "su"):
            original = getattr(text, "original_max_position_embeddings", None)
            limits.append(rope.get("original_max_position_embeddings") or original or most)
    return min((int(limit) for limit in limits if limit), default=NO_LIMIT)


def sight(model: Any, head: Head, limit: int) -> tuple[Views, int]:
    """How a model that can be run so sees sequences up to `limit` tokens, and the longest for which that holds.

    Where a window or a chunk is shorter, a probe beyond it tells whether each type of layer has a mask of its own, all
    share one, or none is needed; families of which nothing of that holds are run so within the window only. The windows
    are made narrow for the probe: it costs little, and what is true of a short window is true of a long one.
    """
    far, whole = reach(model.config), min(_sizes(model.config))
    if whole >= min(limit, far):
        return {}, far
    for views in (by_type, alike, unused):
        with narrowed(model):
            if views(model.config) and _agrees(model, head, views) is None:
                break
    else:
        return {}, whole
    return views(model.config), far


@contextlib.contextmanager
def narrowed(model: Any) -> Iterator[None]:
    """Within this, the windows and chunks of a model are a few tokens, wherever its modules keep their sizes."""
    before = []
    for holder in {id(part): part for part in _holders(model)}.values():
        for key, size in NARROW.items():
            said = getattr(holder, key, None)
            if isinstance(said, int) and said > size:
                before.append((holder, key, said))
                setattr(holder, key, size)
    try:
        yield
    finally:
        for holder, key, said in before:
            setattr(holder, key, said)


def _holders(model: Any) -> Iterator[Any]:
    for module in model.modules():
        yield module
        if (config := getattr(module, "config", None)) is not None:
            yield config
            yield config.get_text_config()


def doubt(model: Any, head: Head) -> str | None:
    """Why the model cannot be run so; None where a probe with branches gives the numbers of plain forwards."""
    if "local" in (getattr(model.config, "attention_layers", None) or ()):  # GPT-Neo: by place, not by position id
        return "its local attention counts tokens, not positions"
    if "position_ids" not in inspect.signature(model.forward).parameters:  # ALiBi, recurrent states
        return "it takes no position ids"
    return _agrees(model, head)


def _agrees(model: Any, head: Head, views: Callable[[Any], Views] | None = None) -> str | None:
    """Why a probe does not give the numbers of plain forwards; None where it does."""
    try:
        with torch.inference_mode(), quiet():
            error = _error(model, head, views(model.config) if views else None)
    except Exception as problem:  # whatever a model of any kind may say to inputs it does not know
        return told(problem, 120)
    within = error <= EXACT.get(model.dtype, ROUGH)
    return None if within else f"a probe is off by {error:.2g}"


def _error(model: Any, head: Head, views: Views | None = None) -> float:
    """What the probe is off by, relative to what the positions differ by. Without views, it is as long as all is seen.

    three branches, run in two pieces:   p p p p p a a a a a a a
                                                 + b b b b b b b
                                             + c c c c c
    """
    length = min(PROBE, reach(model.config), *(() if views else _sizes(model.config)))
    size = int(model.config.get_text_config().vocab_size)
    draw = torch.Generator().manual_seed(0)
    a, b, c, fan = (torch.randint(size, (n,), generator=draw).tolist() for n in (length, length, length, FAN))
    fork, early = length // 2, length // 4
    branches = [a, a[:fork] + b[fork:], a[:early] + c[early:-early]]
    queries, plain = [], []
    for ids in branches:
        asked = tuple(range(len(ids)))
        queries += [Query(ids, (0,), (p,), ((target,),)) for p in asked for target in fan]
        logits = model(input_ids=torch.tensor([ids], device=model.device)).logits[0]  # (tokens, vocabulary)
        plain.append(logits.float().log_softmax(-1)[:, fan].cpu().double())  # (tokens, FAN)
    wanted = torch.cat(plain)  # (positions, FAN)
    walk = Walk(model, head, Trie.of(queries), range(len(queries)), views=views)
    half = walk.total // 2
    answers = dict(walk.run(0, half) + walk.run(half, walk.total))
    found = torch.tensor([answers[i] for i in range(len(queries))]).double()[:, 0].reshape(wanted.shape)
    return float((found - wanted).norm() / (wanted - wanted.mean(0)).norm())
