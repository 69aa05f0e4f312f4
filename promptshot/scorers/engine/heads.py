"""Heads and last layers that run at the read positions only, proved on a probe when a model is loaded."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from promptshot.scorers.checkpoints.opening import quiet
from promptshot.scorers.engine.plans import Query

PROBED = ([0, 0, 1], [1, 7, 4])  # rows and places of a probe that are compared
ROUGH = 0.02  # what a head may be off by in half precision: to run it everywhere costs much more than the last layer


class Reading(Protocol):
    """What gives the tokens of a vocabulary probabilities; `inputs` are what a batch of queries is run with."""

    def read(self, inputs: dict[str, Tensor], batch: Sequence[Query]) -> list[Tensor]:
        """Natural-log probabilities of the targets of each query: (choices, asked), float64."""

    def first(self, inputs: dict[str, Tensor], batch: Sequence[Query]) -> Tensor:
        """The state at the first place that each query asks for: (queries, size)."""

    def logits(self, states: Tensor) -> Tensor:
        """(positions, vocabulary) from the states of those positions."""


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
        self.sparse = not plain and same(self._whole, self._parts, ROUGH)
        self.last = LastLayer.of(model) if self.sparse else None
        if self.last is not None and not same(self._whole, self._parts):
            self.last = None

    def states(self, inputs: dict[str, Any], rows: Tensor, places: Tensor) -> Tensor:
        """(positions, hidden) at these rows and places, or (positions, vocabulary) where the head stays on."""
        if not self.sparse:
            logits: Tensor = self.model(**inputs).logits
            return at(logits, rows, places)
        if self.last is None:
            hidden: Tensor = self.model.base_model(**inputs)[0]
            return at(hidden, rows, places)
        with self.last.only(lambda states: at(states, rows, places)[None]):
            found: Tensor = self.model.base_model(**inputs)[0][0]
        return found

    def read(self, inputs: dict[str, Tensor], batch: Sequence[Query]) -> list[Tensor]:
        """Natural-log probabilities of the targets of each query: (choices, asked), float64, on the CPU.

        The head runs on the asked positions only; the softmax is over the whole vocabulary. What is read goes to an
        accelerator and back at once, for each way there costs as much as many numbers.
        """
        rows, places = asked(batch, self.model.device)
        logits = self.logits(self.states(inputs, rows, places)).float()  # (asked in all, vocabulary)
        starts = accumulate((len(query.asked) for query in batch), initial=0)
        reads = [
            (start + i, token)
            for start, query in zip(starts, batch, strict=False)
            for target in query.targets
            for i, token in enumerate(target)
        ]
        where = torch.tensor(reads, dtype=torch.long, device=logits.device).view(-1, 2)  # (reads, place and token)
        values = (at(logits, where[:, 0], where[:, 1]) - logits.logsumexp(-1)[where[:, 0]]).cpu().double()  # (reads,)
        parts = torch.split(values, [len(query.targets) * len(query.asked) for query in batch])
        return [part.view(len(query.targets), len(query.asked)) for part, query in zip(parts, batch, strict=True)]

    def first(self, inputs: dict[str, Tensor], batch: Sequence[Query]) -> Tensor:
        """The state at the first place that each query asks for: (queries, size)."""
        rows = torch.arange(len(batch), device=self.model.device)
        return self.states(inputs, rows, torch.tensor([query.asked[0] for query in batch], device=self.model.device))

    def logits(self, states: Tensor) -> Tensor:
        """(positions, vocabulary) from the states of those positions."""
        return self.headed(states[None])[0] if self.sparse else states

    def headed(self, states: Tensor) -> Tensor:
        """The logits of the model for (rows, width, hidden) states of its body."""
        body = self.model.base_model
        before = body.__dict__.get("forward")
        said = BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=states)
        body.forward = lambda *args, **kwargs: said  # the body has been run
        try:
            ids = torch.zeros(states.shape[:2], dtype=torch.long, device=states.device)
            found: Tensor = self.model(input_ids=ids).logits
        finally:
            del body.forward
            if before is not None:
                body.forward = before
        return found

    def _whole(self) -> Tensor:
        """The logits of some positions of a small batch, by the whole model."""
        logits: Tensor = self.model(**probe(self.model)).logits
        return logits[PROBED].to(self.model.device)

    def _parts(self) -> Tensor:
        """The same logits, the way they are read."""
        rows, places = (torch.tensor(chosen, device=self.model.device) for chosen in PROBED)
        return self.logits(self.states(probe(self.model), rows, places)).to(self.model.device)


def at(states: Tensor, rows: Tensor, places: Tensor) -> Tensor:
    """(positions, ...) at these rows and places of states, which may be on another device, where a model is spread."""
    return states[rows.to(states.device), places.to(states.device)]


def asked(batch: Sequence[Query], device: torch.device) -> tuple[Tensor, Tensor]:
    """The rows and places that a batch asks for, of all its queries behind one another: (asked in all,) each."""
    rows = torch.tensor([r for r, q in enumerate(batch) for _ in q.asked], dtype=torch.long, device=device)
    places = torch.tensor([p for q in batch for p in q.asked], dtype=torch.long, device=device)
    return rows, places


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


def probe(model: Any, writes: bool = False) -> dict[str, Tensor]:
    """A small batch, to try whether two ways through a model give the same numbers; `writes` gives its decoder some."""
    ids = torch.arange(5, 21, device=model.device).view(2, 8) % int(model.config.vocab_size)  # (2, 8)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **({"decoder_input_ids": ids} if writes else {})}


def same(whole: Callable[[], Tensor], parts: Callable[[], Tensor], rough: float = 0.0) -> bool:
    """Whether two ways to the same numbers agree; False also where one of them cannot be gone.

    In half precision the kernels of an accelerator round otherwise for each shape: then the numbers together may be
    off by a part `rough` of what they differ by.
    """
    try:
        with torch.inference_mode(), quiet():
            expected, found = whole(), parts()
    except Exception:  # whatever a model of any kind may say to inputs it does not know
        return False
    if expected.shape != found.shape:
        return False
    half = expected.dtype in (torch.float16, torch.bfloat16)
    expected, found = expected.float(), found.float()
    if half and rough:
        return bool((found - expected).norm() <= rough * (expected - expected.mean()).norm())
    return bool(torch.allclose(expected, found, atol=1e-4, rtol=1e-4))
