"""What is refused of a checkpoint, before its scores are believed."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import transformers

from promptshot.errors import HeadError, ModelError, OptionError, shortlist, with_article
from promptshot.kinds import DECODER_KEYS, HEADS, KINDS, ScorerKind, held, loaded, retrained, sorts
from promptshot.scorers.checkpoints import classes
from promptshot.scorers.checkpoints.encoder import Encoder


def of_library(name: str) -> Any:
    """What transformers calls so, or what stands under module:NAME."""
    return loaded(name) if ":" in name else getattr(transformers, name)


def headed(kind: ScorerKind, head: str) -> ScorerKind:
    """The kind with the head of that name in the place of its own; raises OptionError where it has none such."""
    if not head:
        return kind
    if head not in kind.stand_ins:
        whose = f"that is for scorer {HEADS[head].name}; " if head in HEADS else ""
        raise OptionError(f"scorer {kind.name} has no head {head!r}", hint=f"{whose}leave out --head")
    one, hint = kind.stand_ins[head], "leave out --head"
    own = replace(kind, auto_class=one.auto_class, mapping=one.mapping, head=one.head, weights=one.weights)
    return replace(own, lacking=f"has no {one.head}", hints=(hint, hint), stand_ins={})


def check_architecture(kind: ScorerKind, name: str, config: Any) -> None:
    """Refuse families that a kind of scorer cannot use at all; raises HeadError with those that it can."""
    if getattr(config, "auto_map", None):  # code of its own, of which nothing is known
        return
    masked, causal = transformers.MODEL_FOR_MASKED_LM_MAPPING, transformers.MODEL_FOR_CAUSAL_LM_MAPPING
    both_ways = type(config) in masked and not any(getattr(config, key, False) for key in DECODER_KEYS)
    other = both_ways if kind.left_to_right else type(config) in causal
    if type(config) not in of_library(kind.mapping) or (kind.left_to_right and both_ways):
        family = str(getattr(config, "model_type", ""))
        what = f"{with_article(family)} model {kind.lacking}"
        for flag, one in kind.stand_ins.items():
            if type(config) in of_library(one.mapping):
                what += f", but a {one.head}, which tells {one.means}"
                raise HeadError(
                    what, where=name, hint=f"if that is what you ask, --head {flag}; else {kind.hints[other]}"
                )
        raise HeadError(what, where=name, hint=kind.hints[other])
    if kind.headless and getattr(config, "is_encoder_decoder", False):
        what = f"{with_article(config.model_type)} model {kind.lacking} by itself"
        raise HeadError(what, where=name, hint=kind.hints[0])
    if kind.made_labels:
        classes.check(kind, name, config)


def check_head(
    kind: ScorerKind, name: str, model: Any, report: Mapping[str, Any], names: Callable[[], Collection[str]] = tuple
) -> None:
    """Refuse a checkpoint that lacks weights: they would be random and the results chance, in silence.

    `names` gives those of its tensors, by which it is told whose head it has instead.
    """
    missing = sorted(report.get("missing_keys") or ())
    wrong = sorted(str(key[0]) for key in report.get("mismatched_keys") or ())
    lost = tuple(missing + wrong)
    if not lost and retrained(kind, report.get("unexpected_keys") or (), model.config.architectures or ()):
        what = f"no {kind.head} to be trusted: the model was trained on for classes of its own"
        raise HeadError(what, where=name, hint=_own_classes(kind, model, report, names()))
    if kind.headless:  # what pools by weights of its own is not used
        lost = tuple(key for key in lost if "pooler" not in key)
    if not lost:
        return
    base = f"{getattr(model, 'base_model_prefix', '')}."
    heads = tuple(key for key in lost if not key.startswith(base) or "pooler" in key)
    how = "not in the checkpoint" if missing else "in the checkpoint in another shape than its config.json says"
    hint = "they would be random; "
    if heads and missing and (other := _other_head(kind, model, report, names())):
        hint += f"what it has is a {KINDS[other].head}: use a template for scorer {other}"
    elif heads and missing and sorts(names()):
        hint += _of_classes(model)
    else:
        hint += "use a checkpoint that was saved with its pre-training heads" if missing else "is the file another's?"
    if heads and not kind.headless:
        hint += " (promptshot doctor -v lists them)"
        raise HeadError(f"no {kind.head}: its weights are {how}", where=name, hint=hint, lost=heads)
    raise ModelError(f"weights of the body are {how}: {shortlist(lost, 2)}", where=name, hint=hint)


def _own_classes(kind: ScorerKind, model: Any, report: Mapping[str, Any], names: Collection[str]) -> str:
    """What to do with a model for classes of its own."""
    other = _other_head(kind, model, report, names)
    return f"use a template for scorer {other}" if other else _of_classes(model)


def _of_classes(model: Any) -> str:
    """Whose classes a model has, and what to take instead."""
    known = shortlist(map(str, (model.config.id2label or {}).values()), 4)
    return f"what it has are classes of its own ({known}): use the checkpoint that it was made from"


def check_tied(kind: ScorerKind, name: str, model: Any, said: Mapping[str, Any]) -> None:
    """Refuse a head whose weights are those of the embeddings where config.json (`said`) says that it has its own.

    They are not in the checkpoint: transformers ties some families wherever there is no head, without a word.
    """
    head = model.get_output_embeddings()
    shared = head is not None and getattr(head, "weight", None) is getattr(model.get_input_embeddings(), "weight", 0)
    if said.get("tie_word_embeddings") is False and shared:
        lost = next((key for key, module in model.named_modules() if module is head), "head")
        report = {"missing_keys": [f"{lost}.weight"]}
        check_head(kind, name, model, report)


def _other_head(kind: ScorerKind, model: Any, report: Mapping[str, Any], names: Collection[str]) -> str:
    """The scorer whose head is in a checkpoint that lacks that of `kind`; empty where there is none, or nothing tells.

    Of files whose names of tensors cannot be read, those are known for which the model has no use.
    """
    found = held(names or report.get("unexpected_keys") or (), model.config.to_dict())
    return next((other for other in found if other != kind.name), "")


_LAYER = re.compile(r"(.*?)\.(\d+)\.")


def check_layers(name: str, model: Any, report: Mapping[str, Any]) -> None:
    """Refuse a configuration with fewer layers than the checkpoint has: it would be another model, in silence."""
    config = model.config.get_text_config()
    layers = getattr(config, "num_hidden_layers", None)
    hint = "is it the config.json of this checkpoint?"
    if isinstance(layers, int) and layers < 1:
        raise ModelError(f"its config.json says {layers} layers", where=name, hint=hint)
    base = f"{getattr(model, 'base_model_prefix', '')}."

    def numbered(keys: Iterable[str]) -> set[tuple[str, int]]:
        found = (_LAYER.match(key.removeprefix(base)) for key in keys)
        return {(match[1], int(match[2])) for match in found if match}

    own = numbered(model.state_dict())
    counts = {stem: 1 + max(n for other, n in own if other == stem) for stem, _ in own}
    more = int(getattr(config, "num_nextn_predict_layers", None) or 0)  # layers that predict ahead, of no use here
    extra = [
        (stem, n) for stem, n in numbered(report.get("unexpected_keys") or ()) if n >= counts.get(stem, n + 1) + more
    ]
    if extra:
        stem, n = max(extra, key=lambda one: one[1])
        what = f"its config.json says {counts[stem]} of {stem!r}, and its weights have {n + 1}"
        raise ModelError(what, where=name, hint=hint)


def embeddings_of(model: Any) -> int:
    """How many tokens a model has embeddings for; 0 where it does not tell."""
    return len(getattr(model.get_input_embeddings(), "weight", ()))


def check_types(name: str, encoder: Encoder, config: Any) -> None:
    """Refuse a tokenizer that counts more segments than the model has embeddings for."""
    known, found = int(getattr(config, "type_vocab_size", 0) or 0), 0
    for pair in (False, True):
        with contextlib.suppress(ModelError):  # of two segments, which not every tokenizer can
            found = max(found, *encoder.layout(pair).types)
    if known > 1 and found >= known:
        what = f"its tokenizer gives segments the number {found}, and the model knows 0 to {known - 1}"
        raise ModelError(what, where=name, hint="take the tokenizer that the model was trained with")


def check_vocabulary(name: str, encoder: Encoder, model: Any, special: Sequence[int]) -> int:
    """Refuse a tokenizer with tokens that the model has no embedding for; gives the token to pad with.

    What is padded is hidden from the model, so that any token will do where that of the tokenizer has no embedding.
    """
    pad = encoder.tokenizer.pad_token_id or 0
    size = embeddings_of(model)
    if not size:
        return pad
    lost = encoder.beyond(size) | {token: encoder.shown(token) for token in special if token >= size}
    if lost:
        names = shortlist([repr(lost[token]) for token in sorted(lost)], 4)
        raise ModelError(
            f"the model has {size:,} embeddings, and none for {len(lost):,} of its tokenizer's tokens: {names}",
            where=name,
            hint="take the tokenizer that the model was trained with, or resize its embeddings and train them",
        )
    return pad if pad < size else 0
