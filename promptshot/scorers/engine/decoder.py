"""Encoder-decoder models: what the words of a row share is run once.

    encoder    t t t t [blank] t t        each row once
    decoder    s c c                      each row once; it predicts the first token of every word
    words            a x                  each distinct beginning of a word of a row, behind the states of its context
                     b
                     b y z                A token that is only predicted (the last of a word) is never run.

Decoders count places by what stands before them, and many take no position ids, so that words are rows of a batch of
their own and not branches of one sequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput, BaseModelOutputWithPastAndCrossAttentions

from promptshot.errors import told
from promptshot.scorers.checkpoints.encoder import Ids
from promptshot.scorers.checkpoints.opening import quiet
from promptshot.scorers.engine.plans import Query
from promptshot.scorers.engine.prefix import EXACT, ROUGH, cache_name, log_probabilities, rows_at_once

WORDS_AT_ONCE = 4  # times the tokens of a batch: those that its words may see at once, as keys and values of their own
LEAST_AT_ONCE = 1024  # tokens seen at once, however small a batch is
PROBE, FAN = 12, 16  # tokens of a probe; words
Beginning = tuple[int, tuple[int, ...]]  # a row of the batch, and the first tokens of a word


@dataclass(frozen=True)
class Begun:
    """A batch behind its contexts: what predicts the first tokens, and what words go on from."""

    states: Tensor  # (rows, size)
    cache: Any
    encoded: Tensor  # (rows, width, hidden)
    mask: Tensor  # (rows, width)

    def of(self, rows: Tensor) -> EncoderDecoderCache:
        """Keys and values for words of these rows (words,), which may come several times."""
        parts = []
        for part in (self.cache.self_attention_cache, self.cache.cross_attention_cache):
            made = DynamicCache()
            for number, layer in enumerate(part.layers):
                here = rows.to(layer.keys.device)  # where a model is spread
                made.update(layer.keys[here], layer.values[here], number)
            parts.append(made)
        return EncoderDecoderCache(*parts)


class Decoder:
    """The log-probabilities of words that a decoder writes, given texts that an encoder reads."""

    def __init__(self, model: Any, start: Ids, plain: bool = False) -> None:
        """`start` begins what a decoder writes. With `plain`, the whole model is run for each word."""
        self.model, self.start = model, start
        self.encoder, self.decoder = model.get_encoder(), model.get_decoder()
        self.doubt: str | None = None
        self.doubt = "as asked for" if plain else self._doubt()

    def read(self, inputs: dict[str, Tensor], batch: Sequence[Query]) -> list[Tensor]:
        """Natural-log probabilities of the targets of each query, which `inputs` are of: (choices, asked), float64.

        Behind the last token of a target stands 0. The contexts are of one length.
        """
        found = [torch.zeros(len(query.targets), len(query.asked), dtype=torch.float64) for query in batch]
        if self.doubt:
            for query, of_words in zip(batch, found, strict=True):
                for choice, target in enumerate(query.targets):
                    of_words[choice, : len(target)] = self._plainly(query, target)
            return found
        begun = self.begin(inputs, batch)
        states, numbers = self._words(begun, batch)
        reads = sorted(
            (numbers[row, target[:place]], token, row, choice, place)
            for row, query in enumerate(batch)
            for choice, target in enumerate(query.targets)
            for place, token in enumerate(target)
        )
        if reads:
            which, tokens, *_ = torch.tensor(reads).T.contiguous()  # (reads,) each
            values = log_probabilities(self, states, which, tokens, rows_at_once(self.model)).tolist()
            for value, (_, _, row, choice, place) in zip(values, reads, strict=True):
                found[row][choice, place] = value
        return found

    def first(self, inputs: dict[str, Tensor], batch: Sequence[Query]) -> Tensor:
        """The state behind the context of each query: (queries, size)."""
        if not self.doubt:
            return self.begin(inputs, batch).states
        logits: Tensor = self.model(**inputs, decoder_input_ids=self._contexts(batch), use_cache=False).logits
        return logits[:, -1]

    def begin(self, inputs: dict[str, Tensor], batch: Sequence[Query]) -> Begun:
        """The encoder on the rows, and the decoder on their contexts."""
        encoded = self.encode(inputs)  # (rows, width, hidden)
        mask = inputs["attention_mask"]
        written = self._write(self._contexts(batch), encoded, mask, None)
        cache = getattr(written, cache_name(self.decoder))
        return Begun(written[0][:, -1], cache, encoded, mask)

    def encode(self, inputs: dict[str, Tensor]) -> Tensor:
        """(rows, width, hidden) of the encoder."""
        found: Tensor = self.encoder(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])[0]
        return found

    def logits(self, states: Tensor) -> Tensor:
        """(positions, vocabulary) from the decoder's states (positions, size), as the model goes on from them."""
        if self.doubt:
            return states
        before = self.decoder.__dict__.get("forward")
        said = BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=states[None])
        self.decoder.forward = lambda *args, **kwargs: said  # the decoder has been run
        try:
            ids = torch.zeros(1, len(states), dtype=torch.long, device=states.device)
            read = BaseModelOutput(last_hidden_state=states[None])
            found: Tensor = self.model(encoder_outputs=read, decoder_input_ids=ids).logits[0]
        finally:
            del self.decoder.forward
            if before is not None:
                self.decoder.forward = before
        return found

    def _contexts(self, batch: Sequence[Query]) -> Tensor:
        """(rows, tokens) of what the decoder has before the words."""
        return torch.tensor([[*self.start, *query.context] for query in batch], device=self.model.device)

    def _write(self, ids: Tensor, encoded: Tensor, mask: Tensor, cache: Any) -> Any:
        """What the decoder gives for these tokens (rows, width), behind those in the cache."""
        return self.decoder(
            input_ids=ids,
            encoder_hidden_states=encoded,
            encoder_attention_mask=mask,
            use_cache=True,
            **{cache_name(self.decoder): cache},
        )

    def _words(self, begun: Begun, batch: Sequence[Query]) -> tuple[Tensor, dict[Beginning, int]]:
        """The states behind the contexts and behind each beginning of a word, (states, size); and their numbers."""
        states = [begun.states]
        numbers: dict[Beginning, int] = {(row, ()): row for row in range(len(batch))}
        count = len(batch)
        seen = begun.mask.shape[1] + len(self.start) + len(batch[0].context)
        for words in _at_once([*_beginnings(batch)], begun.mask.numel(), seen):
            width = max(len(tokens) for _, tokens in words)
            ids = torch.tensor([[*tokens, *[0] * (width - len(tokens))] for _, tokens in words])  # (words, width)
            rows = torch.tensor([row for row, _ in words], device=self.model.device)
            encoded = begun.encoded[rows.to(begun.encoded.device)]
            written = self._write(ids.to(rows.device), encoded, begun.mask[rows], begun.of(rows))[0]
            for (row, tokens), found in zip(words, written, strict=True):
                states.append(found[: len(tokens)])  # (tokens, size)
                for place in range(len(tokens)):
                    numbers.setdefault((row, tokens[: place + 1]), count + place)
                count += len(tokens)
        return torch.cat(states), numbers

    def _plainly(self, query: Query, target: Sequence[int]) -> Tensor:
        """The same for one word, by the whole model: (tokens,)."""
        ids = torch.tensor([query.ids], device=self.model.device)  # (1, width)
        written = torch.tensor([[*self.start, *query.context, *target[:-1]]], device=self.model.device)
        mask = torch.ones_like(ids)
        logits = self.model(input_ids=ids, attention_mask=mask, decoder_input_ids=written, use_cache=False).logits[0]
        last: Tensor = logits[written.shape[1] - len(target) :].float().log_softmax(-1)  # (tokens, vocabulary)
        return last[torch.arange(len(target)), torch.tensor(target, device=last.device)].cpu().double()

    def _doubt(self) -> str | None:
        """Why words cannot be run so; None where a probe with beginnings in common gives the numbers of the model."""
        size = int(self.model.config.get_text_config().vocab_size)
        draw = torch.Generator().manual_seed(0)
        *rows, a, b, c = torch.randint(size, (5, PROBE), generator=draw).tolist()
        words = (*((token,) for token in c), tuple(a[:3]), (*a[:2], *b[:2]), tuple(b[:2]))
        asked = tuple(range(max(map(len, words))))
        queries = [Query(ids, tuple(range(len(words))), asked, words, context=tuple(c[:2])) for ids in rows]
        ids = torch.tensor(rows, device=self.model.device)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        try:
            with torch.inference_mode(), quiet():
                found = torch.stack(self.read(inputs, queries))  # (rows, words, asked)
                self.doubt = "not yet known"
                wanted = torch.stack(self.read(inputs, queries))
        except Exception as problem:  # whatever a model of any kind may say to inputs it does not know
            return told(problem, 120)
        error = float((found - wanted).norm() / (wanted - wanted.mean(1, keepdim=True)).norm())
        within = error <= EXACT.get(self.model.dtype, ROUGH)
        return None if within else f"a probe is off by {error:.2g}"


def _beginnings(batch: Sequence[Query]) -> Iterator[Beginning]:
    """What must be run of the words of each row: all but their last tokens, and what another begins with only once."""
    for row, query in enumerate(batch):
        inputs = sorted({target[:-1] for target in query.targets if len(target) > 1})
        for i, tokens in enumerate(inputs):
            if inputs[i + 1 : i + 2] == [] or inputs[i + 1][: len(tokens)] != tokens:
                yield row, tokens


def _at_once(words: Sequence[Beginning], tokens: int, seen: int) -> Iterator[Sequence[Beginning]]:
    """The words in parts whose keys and values come to a few times those of the batch, which has so many `tokens`;
    each sees as many as `seen`, and its own."""
    room = max(LEAST_AT_ONCE, WORDS_AT_ONCE * tokens)
    start = 0
    while start < len(words):
        width = seen + max(len(own) for _, own in words[start : start + room // seen + 1])
        end = start + max(1, room // width)
        yield words[start:end]
        start = end
