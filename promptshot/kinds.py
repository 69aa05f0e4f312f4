"""What kinds of scorer there are: one row for each, with all that anybody asks of a kind.

A new kind is a row here, a file in `scorers/`, and its plain reference in the tests. Nothing here imports torch.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

ScorerName = Literal["mlm", "nsp", "causal", "nli", "embed"]


@dataclass(frozen=True)
class ScorerKind:
    """A kind of scorer: what its templates look like, what its scores are, and which models have its head."""

    name: ScorerName
    scorer: str  # module:Class, as is the planner; both are loaded when first needed
    planner: str
    short: str  # in few words, what its template is
    about: str  # in one line, how it judges
    segments: tuple[int, ...]  # how many a template may have
    auto_class: str  # of transformers, which brings the head
    mapping: str  # the name in transformers of the families that have one
    head: str
    lacking: (
        str  # what is said of a family that has none, with what to try: where it reads in the same direction or not
    )
    hints: tuple[str, str]
    made: str  # a pattern: the architectures in a config.json that say that a model is made for it
    builtin: str  # the model where none is named; empty where there is none
    advice: Mapping[str, str]  # language -> a model for real results
    left_to_right: bool = False  # a text goes on: what follows the blank, or the text behind a label, can be scored
    margin: bool = False  # a score is how well two segments go together, and not that of a word's tokens
    meaning: bool = False  # two segments go together by what they mean, and not as a text goes on
    holes: bool = False  # a word in one segment may have the place of a hole in the other
    masks: bool = False  # a word has a mask for each of its tokens, and these may know of one another or not
    means: bool = False  # where words differ in their number of tokens, a word's score is the mean over them
    demonstrations: bool = False  # whether rows with their labels can be put before a row
    odds: bool = False  # asked of each choice by itself (see Prompt.several), a score is the log-odds that it holds
    headless: bool = False  # it needs no head, so that every encoder suits, whatever it was made for
    made_file: str = ""  # a file in a model's folder that says that it is made for it, whatever its architecture
    made_labels: str = ""  # a pattern of which one of the model's own labels must be, where it has a head for labels


_BERT, _QWEN = "google-bert/bert-base-uncased", "Qwen/Qwen3-0.6B-Base"
KINDS: Mapping[str, ScorerKind] = {
    kind.name: kind
    for kind in (
        ScorerKind(
            name="mlm",
            scorer="promptshot.scorers.mlm:MlmScorer",
            planner="promptshot.scorers.mlm:MlmPlanner",
            short="a cloze",
            about="a masked-LM cloze: a BERT-like model says how well each word fits the blank",
            segments=(1, 2),
            auto_class="AutoModelForMaskedLM",
            mapping="MODEL_FOR_MASKED_LM_MAPPING",
            head="masked-LM head",
            lacking="has no masked-LM head",
            hints=("use a BERT-like model", "use --scorer causal with a causal template"),
            made="ForMaskedLM|ForPreTraining",
            builtin="builtin:bert",
            advice={"zh": "hfl/chinese-roberta-wwm-ext", "en": _BERT},
            masks=True,
            means=True,
            demonstrations=True,
        ),
        ScorerKind(
            name="nsp",
            scorer="promptshot.scorers.nsp:NspScorer",
            planner="promptshot.scorers.nsp:NspPlanner",
            short="a pair of segments",
            about="two segments, A and B: a model with a next-sentence head says how well B follows A",
            segments=(2,),
            auto_class="AutoModelForNextSentencePrediction",
            mapping="MODEL_FOR_NEXT_SENTENCE_PREDICTION_MAPPING",
            head="next-sentence head",
            lacking="has no next-sentence head",
            hints=("use a BERT with its NSP head, such as bert-base-chinese or bert-base-uncased",) * 2,
            made="ForNextSentencePrediction",
            builtin="builtin:bert",
            advice={"zh": "google-bert/bert-base-chinese", "en": _BERT},
            margin=True,
            holes=True,
            odds=True,
        ),
        ScorerKind(
            name="causal",
            scorer="promptshot.scorers.causal:CausalScorer",
            planner="promptshot.scorers.causal:CausalPlanner",
            short="a text that goes on",
            about="a text that goes on: a GPT-like model says how likely each word comes next",
            segments=(1,),
            auto_class="AutoModelForCausalLM",
            mapping="MODEL_FOR_CAUSAL_LM_MAPPING",
            head="language-model head",
            lacking="does not read from left to right",
            hints=("use a GPT-like model", "use a template for scorer mlm or nsp"),
            made="ForCausalLM|LMHeadModel",
            builtin="builtin:gpt2",
            advice={"zh": _QWEN, "en": _QWEN},
            left_to_right=True,
            demonstrations=True,
        ),
        ScorerKind(
            name="nli",
            scorer="promptshot.scorers.nli:NliScorer",
            planner="promptshot.scorers.nli:NliPlanner",
            short="a premise and a hypothesis",
            about="two segments: a model for natural language inference says how surely the first entails the second",
            segments=(2,),
            auto_class="AutoModelForSequenceClassification",
            mapping="MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING",
            head="classification head",
            lacking="has no head for inference",
            hints=("use a model that was trained on inference, such as MoritzLaurer/deberta-v3-base-zeroshot-v2.0",) * 2,
            made="ForSequenceClassification",
            made_labels="entail|蕴含|蕴涵",
            builtin="",
            advice={
                "zh": "MoritzLaurer/mDeBERTa-v3-base-mnli-xnli",
                "en": "MoritzLaurer/deberta-v3-base-zeroshot-v2.0",
            },
            margin=True,
            meaning=True,
            odds=True,
        ),
        ScorerKind(
            name="embed",
            scorer="promptshot.scorers.embed:EmbedScorer",
            planner="promptshot.scorers.embed:EmbedPlanner",
            short="a text and a sentence to compare it with",
            about="two segments: an encoder makes a vector of each, and says how near they are to one another",
            segments=(2,),
            auto_class="AutoModel",
            mapping="MODEL_MAPPING",
            head="encoder",
            lacking="is no encoder of texts",
            hints=("use an encoder of sentences, such as sentence-transformers/all-MiniLM-L6-v2",) * 2,
            made=r"(?<!LMHead)(?<!Headless)Model\b",
            builtin="builtin:bert",
            advice={"zh": "BAAI/bge-small-zh-v1.5", "en": "sentence-transformers/all-MiniLM-L6-v2"},
            margin=True,
            meaning=True,
            headless=True,
            made_file="modules.json",
        ),
    )
}
FIRST: ScorerName = "mlm"  # the usual first choice
WITH_DEMONSTRATIONS = " or ".join(kind.name for kind in KINDS.values() if kind.demonstrations)  # for people
# The kind that was made to go on as the text before does: the first choice where there are demonstrations.
SHOWN: ScorerName = next(kind.name for kind in KINDS.values() if kind.demonstrations and kind.left_to_right)


# Keys of a configuration by which an encoder is made to read from left to right.
DECODER_KEYS = ("is_decoder", "causal")


def builtin_for(scorer: str) -> str:
    """The built-in model for a scorer; empty for one that is none of these kinds."""
    return KINDS[scorer].builtin if scorer in KINDS else ""


def for_words(scorer: str | None) -> ScorerKind:
    """The kind under which the words of a model for that scorer are shown: they follow a text, or fill a blank."""
    kind = KINDS[scorer or FIRST]
    return kind if kind.left_to_right else KINDS[FIRST]


def made_for(config: Mapping[str, Any]) -> ScorerName | None:
    """The scorer for a model with this config.json; None where it does not tell."""
    heads = " ".join(config.get("architectures") or ())
    labels = " ".join(map(str, (config.get("id2label") or {}).values()))
    for kind in KINDS.values():
        other_way = kind.left_to_right and config.get("is_encoder_decoder")
        if re.search(kind.made, heads) and not other_way and re.search(kind.made_labels, labels, re.IGNORECASE):
            return kind.name
    return None


def loaded(path: str) -> Any:
    """What stands under a name such as "package.module:Class"."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
