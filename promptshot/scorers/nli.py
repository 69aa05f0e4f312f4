"""Entailment scoring: how surely a premise, the row's text, entails a hypothesis with the word (Yin et al. 2019,
arXiv 1909.00161; the zero-shot-classification pipeline of transformers)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from promptshot.scorers.checkpoints.classes import names, of_inference
from promptshot.scorers.engine.heads import probe
from promptshot.scorers.engine.plans import Plan, Query
from promptshot.scorers.nsp import NspPlanner, PairScorer
from promptshot.scoring import Kind, Prompt


class NliPlanner(NspPlanner):
    """Every choice has a pair of premise and hypothesis of its own."""

    def plan(self, prompt: Prompt) -> Plan:
        """The pairs; what is asked of a pair without a blank, or where several choices may hold, are odds."""
        plan = super().plan(prompt)
        odds = prompt.several or all(piece.kind is not Kind.MASK for piece in prompt.pieces)
        # A tokenizer that gives no token types by itself gave none in training.
        typed = "token_type_ids" in self.encoder.tokenizer.model_input_names
        queries = (replace(query, odds=odds, types=query.types if typed else None) for query in plan.queries)
        return replace(plan, queries=tuple(queries))


class NliScorer(PairScorer):
    """The logit z_e of entailment, each choice in the blank; one forward per choice.

    The softmax of z_e over the choices is what the pipeline gives. Of a choice by itself the score is z_e - z_c, its
    log-odds against contradiction (without that class: against no entailment), of which the sigmoid is what the
    pipeline gives for several labels.
    """

    name = "nli"

    def _prepare(self) -> None:
        self.classes = of_inference(self.model.config, self.checkpoint)
        keeps = "use_cache" in inspect.signature(self.model.forward).parameters
        self._more: dict[str, Any] = {"use_cache": False} if keeps else {}
        super()._prepare()

    def answer(self, batch: Sequence[Query]) -> list[list[float]]:
        """The logit of entailment of each pair, or its log-odds."""
        logits = self._logits(self.tensors(batch), self.last).double()  # (rows, classes)
        entail, against = logits[:, self.classes.entailment].tolist(), logits[:, self.classes.against].tolist()
        return [[e - a if query.odds else e] for query, e, a in zip(batch, entail, against, strict=True)]

    def trial(self, batch: Sequence[Query]) -> list[list[float]]:
        """Sequences of random tokens end as pairs do: some families read there, and nowhere else."""
        return self.answer([replace(query, ids=self._ended(query.ids)) for query in batch])

    def whole(self) -> Tensor:
        """The logits of a small batch."""
        inputs = self._probe()
        found: Tensor = self.model(**inputs).logits
        return found

    @property
    def details(self) -> Mapping[str, Any]:
        """What a run record says; the classes by the names that the model has for them."""
        of = names(self.model.config)
        told = {"entailment": of[self.classes.entailment], "against": of[self.classes.against]}
        return {**super().details, "classes": told}

    def _run(self, inputs: dict[str, Tensor]) -> Tensor:
        return super()._run({**inputs, **self._more})

    def _probe(self) -> dict[str, Tensor]:
        inputs = probe(self.model)
        ended = [self._ended(ids) for ids in inputs["input_ids"].tolist()]
        return inputs | {"input_ids": torch.tensor(ended, device=self.model.device)}

    def _ended(self, ids: Sequence[int]) -> list[int]:
        """The ids with the token that ends a pair at their end, and only there."""
        after = self.encoder.layout(pair=True).after
        if not after or len(ids) < 2:
            return list(ids)
        other = next(token for token in (ids[0], *range(len(ids) + 1)) if token != after[-1])
        return [*(other if token == after[-1] else token for token in ids[:-1]), after[-1]]
