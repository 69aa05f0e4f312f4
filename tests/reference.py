"""Slow and obvious scorers, written from the papers: one prompt, one choice, one forward.

No batch, no padding, no cut text, the whole model's logits, log_softmax over the whole vocabulary.
They share no code with promptshot; every fast path must agree with them (see `assert_agrees`).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

TOLERANCE = 1e-4
Segment = str | tuple[str, str]  # text, or the text before and after the blank


def assert_agrees(found: Sequence[Any], expected: Sequence[Sequence[float]], tolerance: float = TOLERANCE) -> None:
    """Every Scored has the expected scores, prompt by prompt and choice by choice."""
    assert len(found) == len(expected)
    for number, (scored, wanted) in enumerate(zip(found, expected, strict=True)):
        assert scored.error is None, f"prompt {number}: {scored.error}"
        assert len(scored.scores) == len(wanted)
        for choice, (score, want) in enumerate(zip(scored.scores, wanted, strict=True)):
            assert abs(score - want) <= tolerance, f"prompt {number}, choice {choice}: {score} is not {want}"


def means(found: Sequence[Any]) -> list[Any]:
    """The same Scored objects with means over the words' own tokens in place of the scores."""
    return [
        replace(one, scores=tuple((s - p) / n for s, p, n in zip(one.scores, one.lead or [0.0] * 99, one.tokens)))  # noqa: B905
        for one in found
    ]


def encode(tokenizer: Any, text: str) -> list[int]:
    """The ids of a text; what looks like a special token in it is only text."""
    return list(tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))


def between(model: Any, tokenizer: Any) -> list[int]:
    """What stands between two segments: [SEP], or </s></s> for RoBERTa."""
    return [tokenizer.sep_token_id] * (2 if model.config.model_type in ("roberta", "xlm-roberta", "bart") else 1)


@torch.inference_mode()
def logits_of(model: Any, ids: Sequence[int], **others: Sequence[int]) -> Tensor:
    """The model's logits for one sequence, without the batch axis."""
    inputs = {name: torch.tensor([list(values)]) for name, values in others.items()}
    found: Tensor = model(input_ids=torch.tensor([list(ids)]), **inputs).logits[0]  # (tokens, vocabulary) or (2,)
    return found.double()


def longer(model: Any, trained: int, places: int, alpha: float = 0.4) -> Any:
    """The model with the whole table of hierarchical positions written out (METHODS 8.1), each by the formula."""
    model = copy.deepcopy(model)
    holder = next(module for module in model.modules() if hasattr(module, "position_embeddings"))
    table = holder.position_embeddings.weight.detach().double()
    first = len(table) - trained  # rows of the table that are no places
    p = table[first:]
    u = [(p[i] - alpha * p[0]) / (1 - alpha) for i in range(trained)]
    q = [alpha * u[k // trained] + (1 - alpha) * u[k % trained] for k in range(places)]
    rows = torch.stack([*table[:first], *q]).float()
    holder.position_embeddings = torch.nn.Embedding.from_pretrained(rows)
    if hasattr(holder, "position_ids"):  # of some families they begin behind the rows that are no places
        ids = torch.arange(len(rows)) + holder.position_ids[0, 0]
        holder.register_buffer("position_ids", ids[None], persistent=False)
    if hasattr(holder, "token_type_ids"):
        holder.register_buffer("token_type_ids", torch.zeros(1, len(rows)).long(), persistent=False)
    return model


class Near:
    """The model, each of whose tokens sees those less than `window` places away (METHODS 8.2): a whole mask, pair by
    pair, of what is added to attention, or of ones and noughts (DeBERTa)."""

    def __init__(self, model: Any, window: int) -> None:
        self.model, self.window, self.config = model, window, model.config

    def __call__(self, input_ids: Tensor, **others: Any) -> Any:
        size = input_ids.shape[1]
        causal = "Causal" in type(self.model).__name__
        seen = torch.zeros(1, size, size)
        for i in range(size):
            for j in range(size):
                seen[0, i, j] = (0 <= i - j < self.window) if causal else abs(i - j) < self.window
        mask = (1 - seen[:, None]) * torch.finfo(torch.float32).min
        encoder = getattr(getattr(self.model, "deberta", None), "encoder", None)
        if encoder is None:
            return self.model(input_ids=input_ids, attention_mask=mask, **others)
        encoder.get_attention_mask = lambda _: seen[:, None]
        try:
            return self.model(input_ids=input_ids, **others)
        finally:
            del encoder.get_attention_mask


def mlm(model: Any, tokenizer: Any, segments: Sequence[Segment], choice: str) -> float:
    """Sum of log p of the word's n tokens at n masks (METHODS 2.1).

    A space before the blank belongs to the word, as byte-level tokenizers spell it.
    """
    return sum(_at_masks(model, tokenizer, segments, choice)[0])


def mlm_left_to_right(model: Any, tokenizer: Any, segments: Sequence[Segment], choice: str) -> float:
    """Sum of log p of each token of the word where those before it stand and those after it are masks."""
    return _one_by_one(model, tokenizer, segments, choice, lambda word, j: [*word[:j], *[None] * (len(word) - j)])


def mlm_pseudo(model: Any, tokenizer: Any, segments: Sequence[Segment], choice: str) -> float:
    """Sum of log p of each token of the word where all its others stand (Salazar et al. 2020)."""
    return _one_by_one(model, tokenizer, segments, choice, lambda word, j: [*word[:j], None, *word[j + 1 :]])


def _one_by_one(model: Any, tokenizer: Any, segments: Sequence[Segment], choice: str, shown: Any) -> float:
    """Sum of log p of each token j of the word, with `shown(word, j)` at the blank, None for a mask."""
    ids, types, start, word, _ = _at_blank(model, tokenizer, segments, choice)
    more = {"token_type_ids": types} if model.config.type_vocab_size > 1 else {}
    total = 0.0
    for j, token in enumerate(word):
        blank = [tokenizer.mask_token_id if one is None else one for one in shown(word, j)]
        log_p = logits_of(model, ids[:start] + blank + ids[start + len(word) :], **more).log_softmax(-1)
        total += float(log_p[start + j, token])
    return total


def mlm_mean(model: Any, tokenizer: Any, segments: Sequence[Segment], choice: str) -> float:
    """The mean of log p over the word's own tokens: a mask that stands for the space alone is none of them."""
    scores, spelled = _at_masks(model, tokenizer, segments, choice)
    own = own_tokens(tokenizer, spelled, len(spelled) - len(choice))
    return sum(scores[-len(own) :]) / len(own)


def own_tokens(tokenizer: Any, text: str, start: int) -> list[int]:
    """The numbers of the tokens of a text that end behind character `start`, where the word begins.

    A space mark that stands before every text is no token of a word that it is not joined to.
    """
    made = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    marks = [tokenizer.convert_ids_to_tokens(i) == "▁" for i in made["input_ids"]]
    return [i for i, (_, end) in enumerate(made["offset_mapping"]) if end > start and not marks[i]]


def _at_masks(model: Any, tokenizer: Any, segments: Sequence[Segment], choice: str) -> tuple[list[float], str]:
    """log p of each token at its mask; and the word with the space that belongs to it."""
    ids, types, start, word, choice = _at_blank(model, tokenizer, segments, choice)
    more = {"token_type_ids": types} if model.config.type_vocab_size > 1 else {}
    log_p = logits_of(model, ids, **more).log_softmax(-1)  # (tokens, vocabulary)
    return [float(log_p[start + i, token]) for i, token in enumerate(word)], choice


def _at_blank(
    model: Any, tokenizer: Any, segments: Sequence[Segment], choice: str
) -> tuple[list[int], list[int], int, list[int], str]:
    """The sequence with masks, its token types, where they begin, the word's tokens, and the word with its space."""
    ids: list[int] = [tokenizer.cls_token_id]
    types = [0]
    word: list[int] = []
    start = 0
    for number, segment in enumerate(segments):
        if number:
            ids += between(model, tokenizer)
            types += [0] * (len(ids) - len(types))
        if isinstance(segment, str):
            ids += encode(tokenizer, segment)
        else:
            before, after = segment
            if before.endswith(" "):
                before, choice = before[:-1], " " + choice
            ids += encode(tokenizer, before)
            start, word = len(ids), encode(tokenizer, choice)
            ids += [tokenizer.mask_token_id] * len(word) + encode(tokenizer, after)
        types += [number] * (len(ids) - len(types))
    ids.append(tokenizer.sep_token_id)
    types.append(len(segments) - 1)
    return ids, types, start, word, choice


def nsp(model: Any, tokenizer: Any, a: str, b: str) -> float:
    """z0 - z1 of [CLS] A [SEP] B [SEP], where 0 is IsNext (METHODS 3.1)."""
    first, second = encode(tokenizer, a), encode(tokenizer, b)
    return _margin(model, tokenizer, first, second)


def nsp_in_hole(model: Any, tokenizer: Any, left: str, right: str, choice: str, *, prefix: bool) -> float:
    """The candidate in a segment of its own, with the position ids of the hole (METHODS 3.4)."""
    c, lefts, rights = encode(tokenizer, choice), encode(tokenizer, left), encode(tokenizer, right)
    k, l, r = len(c), len(lefts), len(rights)  # noqa: E741
    if prefix:  # [CLS] c [SEP] L R [SEP]
        positions = [0, *_run(2 + l, 2 + l + k - 1), 1, *_run(2, 1 + l), *_run(2 + l + k, 1 + l + k + r)]
        positions.append(l + k + r + 2)
        return _margin(model, tokenizer, c, lefts + rights, positions)
    # [CLS] L R [SEP] c [SEP]
    positions = [0, *_run(1, l), *_run(1 + l + k, l + k + r), l + k + r + 1, *_run(1 + l, l + k), l + r + k + 2]
    return _margin(model, tokenizer, lefts + rights, c, positions)


def rtd(model: Any, tokenizer: Any, segments: Sequence[Segment], choice: str) -> float:
    """The sum over the word's tokens of log p(its own) - log p(replaced), the word filled in (ELECTRA, section 2)."""
    return sum(_of_tokens(model, tokenizer, segments, choice)[0])


def rtd_mean(model: Any, tokenizer: Any, segments: Sequence[Segment], choice: str) -> float:
    """The mean over the word's own tokens: one that is the space alone is none of them."""
    scores, spelled = _of_tokens(model, tokenizer, segments, choice)
    own = own_tokens(tokenizer, spelled, len(spelled) - len(choice))
    return sum(scores[-len(own) :]) / len(own)


def _of_tokens(model: Any, tokenizer: Any, segments: Sequence[Segment], choice: str) -> tuple[list[float], str]:
    """The log-odds of each token of the word in its text; and the word with the space that belongs to it."""
    ids, types, place, size = [tokenizer.cls_token_id], [0], 0, 0
    for number, segment in enumerate(segments):
        if number:
            ids += between(model, tokenizer)
            types += [0] * (len(ids) - len(types))
        if isinstance(segment, str):
            ids += encode(tokenizer, segment)
        else:
            before, after = segment
            if before.endswith(" "):
                before, choice = before[:-1], " " + choice
            ids += encode(tokenizer, before)
            place, size = len(ids), len(encode(tokenizer, choice))
            ids += encode(tokenizer, choice) + encode(tokenizer, after)
        types += [number] * (len(ids) - len(types))
    ids.append(tokenizer.sep_token_id)
    types.append(len(segments) - 1)
    more = {"token_type_ids": types} if model.config.type_vocab_size > 1 else {}
    replaced = logits_of(model, ids, **more).sigmoid()  # (tokens,)
    odds = (1 - replaced).log() - replaced.log()
    return [float(odds[place + i]) for i in range(size)], choice


def _run(first: int, last: int) -> list[int]:
    """first ... last, both included."""
    return list(range(first, last + 1))


def _margin(model: Any, tokenizer: Any, a: list[int], b: list[int], positions: list[int] | None = None) -> float:
    ids = [tokenizer.cls_token_id, *a, tokenizer.sep_token_id, *b, tokenizer.sep_token_id]
    types = [0] * (len(a) + 2) + [1] * (len(b) + 1)
    more = {"position_ids": positions} if positions else {}
    z = logits_of(model, ids, token_type_ids=types, **more)
    return float(z[0] - z[1])


def nli(model: Any, tokenizer: Any, premise: str, hypothesis: str, classes: tuple[int, int]) -> tuple[float, float]:
    """The logits of two classes, entailment and contradiction, of [CLS] premise [SEP] hypothesis [SEP]."""
    a, b = encode(tokenizer, premise), encode(tokenizer, hypothesis)
    first = [tokenizer.cls_token_id, *a, *between(model, tokenizer)]
    ids = [*first, *b, tokenizer.sep_token_id]
    types = {"token_type_ids": [0] * len(first) + [1] * (len(b) + 1)}
    z = logits_of(model, ids, **(types if getattr(model.config, "type_vocab_size", 0) > 1 else {}))
    return float(z[classes[0]]), float(z[classes[1]])


@torch.inference_mode()
def vector(model: Any, tokenizer: Any, text: str, pooling: str) -> Tensor:
    """The vector of one text, with what the tokenizer itself puts around it (METHODS 7.1; sentence-transformers)."""
    around = list(tokenizer("")["input_ids"])
    begin = [i for i in around[:1] if i in (tokenizer.cls_token_id, tokenizer.bos_token_id)]
    ids = torch.tensor([[*begin, *encode(tokenizer, text), *around[len(begin) :]]])
    said = model(input_ids=ids, output_hidden_states=True)
    last, first = said[0][0].double(), said.hidden_states[1][0].double()  # (tokens, hidden)
    if pooling == "cls":
        return last[0]
    if pooling == "lasttoken":
        return last[-1]
    if pooling == "max":
        return last.max(0).values
    if pooling == "mean_sqrt_len_tokens":
        return last.sum(0) / len(last) ** 0.5
    if pooling == "weightedmean":
        return sum((i + 1) * state for i, state in enumerate(last)) / sum(range(1, len(last) + 1))  # type: ignore[return-value]
    return (first.mean(0) + last.mean(0)) / 2 if pooling == "first-last" else last.mean(0)


def embed(model: Any, tokenizer: Any, a: str, b: str, pooling: str = "mean", temperature: float = 0.05) -> float:
    """The cosine of two texts, divided by a temperature."""
    one, other = (vector(model, tokenizer, text, pooling) for text in (a, b))
    return float(one @ other / (one.norm() * other.norm())) / temperature


def causal(model: Any, tokenizer: Any, context: str, continuation: str) -> float:
    """log p(continuation | context) as lm-evaluation-harness has it.

    Spaces at the end of the context go to the continuation; both together are tokenized at once and
    split behind as many tokens as the context has alone. An empty context is the token that begins texts.
    """
    kept = context.rstrip()
    continuation = context[len(kept) :] + continuation
    start = _begin(tokenizer)
    head = start + encode(tokenizer, kept)
    ids = start + encode(tokenizer, kept + continuation)
    if not head:
        ids, head = [tokenizer.bos_token_id, *ids], [tokenizer.bos_token_id]
    return continued(model, ids, len(head))


def continued(model: Any, ids: Sequence[int], begin: int) -> float:
    """Sum of log p of the tokens from `begin` on: position p - 1 predicts token p."""
    log_p = logits_of(model, ids).log_softmax(-1)  # (tokens, vocabulary)
    return sum(float(log_p[p - 1, ids[p]]) for p in range(begin, len(ids)))


def causal_mean(model: Any, tokenizer: Any, context: str, word: str, rest: str = "") -> float:
    """The mean of log p over the own tokens of the word, and of the rest if that is scored too.

    What ends before the word is context, whether it is scored or not: line breaks, and a space of its own.
    """
    start, text = _begin(tokenizer), context + word + rest
    own = own_tokens(tokenizer, text, len(context))
    ids, begin = start + encode(tokenizer, text), len(start) + own[0]
    if not start and not context.strip():
        ids, begin = [tokenizer.bos_token_id, *ids], begin + 1
    return continued(model, ids, begin) / len(own)


def channel(model: Any, tokenizer: Any, before: str, choice: str, after: str, lead: str = "") -> float:
    """log p(the row's text | the prompt with the word in it): the noisy channel.

    `lead` is what the template says between the word and the text; it belongs to the prompt.
    """
    return causal(model, tokenizer, before + choice + lead, after)


def seq2seq(model: Any, encoded: Sequence[int], written: Sequence[int], word: Sequence[int]) -> float:
    """Sum of log p of the tokens of a word (and what closes it) behind what is written before, given the text.

    How the ids come about is a family's own: see `t5` and `bart`.
    """
    with torch.inference_mode():
        ids = torch.tensor([[*written, *word]])
        out = model(input_ids=torch.tensor([list(encoded)]), decoder_input_ids=ids, use_cache=False)
    log_p = out.logits[0].double().log_softmax(-1)  # (tokens, vocabulary)
    return sum(float(log_p[len(written) - 1 + i, token]) for i, token in enumerate(word))


def t5(model: Any, tokenizer: Any, before: str, after: str, choice: str) -> float:
    """log p(word, <extra_id_1> | text with <extra_id_0>, <extra_id_0>) (METHODS 10; kexue.fm 7867)."""
    first, second = (tokenizer.convert_tokens_to_ids(f"<extra_id_{i}>") for i in range(2))
    head, word, tail = in_a_text(tokenizer, before, choice, after)
    encoded = [*head, first, *tail, tokenizer.eos_token_id]
    return seq2seq(model, encoded, [model.config.decoder_start_token_id, first], [*word, second])


def bart(model: Any, tokenizer: Any, before: str, after: str, choice: str) -> float:
    """log p(word | text with <mask>, the text before it): the decoder writes the text anew."""
    head, word, tail = in_a_text(tokenizer, before, choice, after)
    begin, end = tokenizer.cls_token_id, tokenizer.sep_token_id
    encoded = [begin, *head, tokenizer.mask_token_id, *tail, end]
    return seq2seq(model, encoded, [model.config.decoder_start_token_id, begin, *head], word)


def in_a_text(tokenizer: Any, before: str, choice: str, after: str) -> tuple[list[int], list[int], list[int]]:
    """The ids before, of and after a word that stands within a text; a space before it is its own."""
    if before.endswith(" "):
        before, choice = before[:-1], " " + choice
    comma = encode(tokenizer, ",")

    def within(text: str) -> list[int]:
        ids = encode(tokenizer, f",{text}")
        assert ids[: len(comma)] == comma
        return ids[len(comma) :]

    return encode(tokenizer, before), within(choice) if before else encode(tokenizer, choice), within(after)


def _begin(tokenizer: Any) -> list[int]:
    """What the tokenizer itself puts before a text: <s> for Llama, nothing for GPT-2."""
    return [i for i in tokenizer("")["input_ids"] if i == tokenizer.bos_token_id]


# ------------------------------------------------------------------ chats


def chat(model: Any, tokenizer: Any, messages: Sequence[dict[str, str]], begun: str, word: str) -> float:
    """log p of a word with which the assistant goes on: the whole chat as one string, tokenized at once.

    `begun` is what the answer begins with, up to the word and with the space before it.
    """
    backend = tokenizer.backend_tokenizer
    asked = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
    backend.encode_special_tokens = False

    def encode_all(text: str) -> list[int]:
        return list(backend.encode(text, add_special_tokens=False).ids)

    context, whole = encode_all(asked + begun.rstrip()), encode_all(asked + begun + word)
    begin = next((i for i, (a, b) in enumerate(zip(context, whole, strict=False)) if a != b), len(context))
    return continued(model, whole, begin)
