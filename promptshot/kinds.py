"""What kinds of scorer there are: one row for each, with all that anybody asks of a kind.

A new kind is a row here, a file in `scorers/`, and its plain reference in the tests. Nothing here imports torch.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

Name = TypeVar("Name", bound=str)
ScorerName = Literal["mlm", "nsp", "causal", "rtd", "seq2seq", "nli", "embed"]


@dataclass(frozen=True)
class Trace:
    """What shows that the files of a checkpoint hold a head: each of its patterns fits the name of a tensor, and
    config.json goes with it."""

    tensors: tuple[str, ...]
    config: Mapping[str, Any] = field(default_factory=dict)  # key -> the value that config.json has
    unless: Mapping[str, Any] = field(default_factory=dict)  # key -> the value that it has not

    def fits(self, names: Collection[str], config: Mapping[str, Any]) -> bool:
        """Whether it is so of tensors of these names, and this config.json."""
        said = all(config.get(key) == value for key, value in self.config.items())
        said = said and not any(config.get(key) == value for key, value in self.unless.items())
        return said and all(any(map(re.compile(pattern).search, names)) for pattern in self.tensors)


@dataclass(frozen=True)
class StandIn:
    """A head that a kind of scorer can be told to ask in the place of its own (`--head`), though it means another
    thing."""

    auto_class: str
    mapping: str
    head: str
    means: str  # what it tells, and what it does not
    weights: tuple[Trace, ...]


@dataclass(frozen=True)
class ScorerKind:
    """A kind of scorer: what its templates look like, what its scores are, and which models have its head."""

    name: ScorerName
    scorer: str  # module:Class, as is the planner; both are loaded when first needed
    planner: str
    short: str  # in few words, what its template is
    about: str  # in one line, how it judges
    segments: tuple[int, ...]  # how many a template may have
    auto_class: str  # of transformers, which brings the head; module:Class for one that is written here
    mapping: str  # the name in transformers of the families that have one; module:NAME likewise
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
    absolute: bool = False  # scores of several prompts can be compared: odds or cosines, and no parts of one whole
    headless: bool = False  # it needs no head, so that every encoder suits, whatever it was made for
    made_file: str = ""  # a file in a model's folder that says that it is made for it, whatever its architecture
    made_parts: tuple[str, ...] = ()  # the parts that the file may list; with others it is not asked unless told how
    writes: bool = False  # an encoder reads the text, and a decoder writes the word
    made_labels: str = ""  # a pattern of which one of the model's own labels must be, where it has a head for labels
    weights: tuple[Trace, ...] = ()  # by any of which a checkpoint's files show that they hold the head
    stand_ins: Mapping[str, StandIn] = field(default_factory=dict)  # --head NAME -> the head that is asked instead

    @property
    def encodes(self) -> bool:
        """Whether all that its models do is read a text as a whole, from both sides."""
        return not (self.left_to_right or self.writes)


_OWN = "promptshot.scorers.checkpoints.own_heads"  # the heads that transformers has no class for
# The embeddings of causal models: where these are the head as well, no tensor of its own stands for it.
_EMBEDDINGS = r"(^|\.)(wte|embed_tokens|embed_in|tokens_embed)\.weight$|^(transformer\.)?word_embeddings\.weight$"
_SHARED = r"(^|\.)shared\.weight$"  # those of encoder-decoders
_BOTH_WAYS = {"is_encoder_decoder": True, "model_type": "eurobert"}
_TWO_PARTS = {"is_encoder_decoder": True}
_T5_DECODER, _LM_HEAD = r"^decoder\.block\.0\.layer\.1\.EncDecAttention\.k\.weight$", r"^lm_head\.weight$"
_BART_DECODER = r"^(model\.)?decoder\.layers\.0\.encoder_attn\.k_proj\.weight$"
_LIKE_BART = ("bart", "led", "pegasus", "pegasus_x")  # other families have such decoders for speech
_CLASSES = re.compile(r"(classifier|classification_head|score|qa_outputs)\.")  # heads for classes of a model's own
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
            made="ForMaskedLM|(?<!Electra)ForPreTraining",
            builtin="builtin:bert",
            advice={"zh": "hfl/chinese-roberta-wwm-ext", "en": _BERT},
            masks=True,
            means=True,
            demonstrations=True,
            weights=(
                Trace((r"^cls\.predictions\.(transform\.)?dense\.weight$",), unless={"legacy": False}),
                Trace((r"^lm_predictions\.lm_head\.dense\.weight$",), {"legacy": False}),  # DeBERTa-v2
                Trace((r"^lm_head\.dense\.weight$", r"^lm_head\.layer_norm\.weight$")),  # RoBERTa
                Trace((r"^predictions\.dense\.weight$",)),  # ALBERT
                Trace((r"^generator_predictions\.dense\.weight$", r"^generator_lm_head\.bias$")),  # ELECTRA, ConvBERT
                Trace((r"^vocab_transform\.weight$",)),  # DistilBERT
                Trace((r"^pred_layer\.proj\.bias$",)),  # XLM
                Trace((r"^lm_head\.weight$",), {"model_type": "eurobert"}),
                *(
                    Trace((_SHARED,), {"model_type": f}, {"tie_word_embeddings": False})
                    for f in ("bart", "mbart", "mvp")
                ),
                Trace((r"^head\.dense\.weight$", r"^decoder\.bias$")),  # ModernBERT
            ),
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
            absolute=True,
            builtin="builtin:bert",
            advice={"zh": "google-bert/bert-base-chinese", "en": _BERT},
            margin=True,
            holes=True,
            odds=True,
            weights=(Trace((r"^cls\.seq_relationship\.weight$", r"(^|\.)pooler\.dense\.weight$")),),
            stand_ins={
                "sop": StandIn(
                    auto_class=f"{_OWN}:SentenceOrder",
                    mapping=f"{_OWN}:SENTENCE_ORDER",
                    head="sentence-order head",
                    means="whether A and B stand in their order or are swapped, not whether B goes with A",
                    weights=(Trace((r"^sop_classifier\.classifier\.weight$", r"(^|\.)pooler\.weight$")),),
                )
            },
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
            weights=(
                Trace((r"(^|\.)(lm_head|embed_out)\.weight$",), unless=_BOTH_WAYS),
                Trace((_EMBEDDINGS,), unless={"tie_word_embeddings": False, **_BOTH_WAYS}),
                Trace(
                    (r"^(backbone\.)?embeddings\.weight$", r"\.mixer\."), unless={"tie_word_embeddings": False}
                ),  # Mamba
                Trace((r"^cls\.predictions\.transform\.dense\.weight$",), {"is_decoder": True}),  # BERT made to go on
                Trace((r"^lm_head\.dense\.weight$", r"^lm_head\.layer_norm\.weight$"), {"is_decoder": True}),
            ),
        ),
        ScorerKind(
            name="rtd",
            scorer="promptshot.scorers.rtd:RtdScorer",
            planner="promptshot.scorers.rtd:RtdPlanner",
            short="a cloze whose word is judged",
            about="a cloze with each word filled in: an ELECTRA-like model says how surely nobody replaced it",
            segments=(1, 2),
            auto_class=f"{_OWN}:Discriminator",
            mapping=f"{_OWN}:DISCRIMINATORS",
            head="replaced-token head",
            lacking="has no replaced-token head",
            hints=("use the discriminator of an ELECTRA, or a DeBERTa-v3",) * 2,
            made="ElectraForPreTraining",
            absolute=True,
            builtin="",
            advice={"zh": "hfl/chinese-electra-180g-base-discriminator", "en": "google/electra-base-discriminator"},
            means=True,
            odds=True,
            weights=(
                Trace((r"^discriminator_predictions\.dense_prediction\.weight$",), {"model_type": "electra"}),
                Trace((r"^mask_predictions\.classifier\.weight$",), {"model_type": "deberta-v2"}),  # DeBERTa-v3
            ),
        ),
        ScorerKind(
            name="seq2seq",
            scorer="promptshot.scorers.seq2seq:Seq2seqScorer",
            planner="promptshot.scorers.seq2seq:Seq2seqPlanner",
            short="a text with a gap",
            about="a text with a gap: an encoder-decoder such as T5 says how likely it writes each word there",
            segments=(1,),
            auto_class="AutoModelForSeq2SeqLM",
            mapping="MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING",
            head="decoder with a language-model head",
            lacking="is no encoder-decoder for text",
            hints=("use a T5, mT5 or BART",) * 2,
            made=r"\b(T5|MT5|UMT5|LongT5|SwitchTransformers|Bart|LED|Pegasus|PegasusX)ForConditionalGeneration"
            "|T5WithLMHeadModel",
            builtin="",
            advice={"zh": "google/mt5-base", "en": "google-t5/t5-base"},
            writes=True,
            weights=(
                Trace((_T5_DECODER, _LM_HEAD), _TWO_PARTS),
                Trace((_T5_DECODER, r"^shared\.weight$"), _TWO_PARTS, unless={"tie_word_embeddings": False}),
                *(Trace((_BART_DECODER, _LM_HEAD), {"model_type": family}) for family in _LIKE_BART),
                *(Trace((_BART_DECODER,), {"model_type": f}, {"tie_word_embeddings": False}) for f in _LIKE_BART),
            ),
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
            hints=("use a model that was trained on inference, such as MoritzLaurer/deberta-v3-base-zeroshot-v2.0",)
            * 2,
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
            weights=(Trace((r"(^|\.)(classifier(\.out_proj)?|classification_head\.out_proj|score)\.weight$",)),),
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
            head="sentence encoder",
            lacking="is no encoder of texts",
            hints=("use an encoder of sentences, such as sentence-transformers/all-MiniLM-L6-v2",) * 2,
            made=r"(?<!LMHead)(?<!Headless)Model\b",
            absolute=True,
            builtin="builtin:bert",
            advice={"zh": "BAAI/bge-small-zh-v1.5", "en": "sentence-transformers/all-MiniLM-L6-v2"},
            margin=True,
            meaning=True,
            headless=True,
            made_file="modules.json",
            made_parts=("Transformer", "Pooling", "Normalize", "Dropout"),
            weights=(
                Trace((r"(^|\.)(\w*embeddings|embed_tokens|embed_in|tokens_embed|wte)\.weight$",), unless=_TWO_PARTS),
            ),
        ),
    )
}
FIRST: ScorerName = "mlm"  # the usual first choice
WITH_DEMONSTRATIONS = " or ".join(kind.name for kind in KINDS.values() if kind.demonstrations)  # for people
WITH_ODDS = " or ".join(kind.name for kind in KINDS.values() if kind.odds)  # for people
# The first choice where each label is judged by itself.
JUDGING: ScorerName = next(kind.name for kind in KINDS.values() if kind.odds)
# The kind that was made to go on as the text before does: the first choice where there are demonstrations.
SHOWN: ScorerName = next(kind.name for kind in KINDS.values() if kind.demonstrations and kind.left_to_right)


HEADS = {head: kind for kind in KINDS.values() for head in kind.stand_ins}  # what --head may say -> whose it is


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
    labels = _labels(config)
    for kind in KINDS.values():
        other_way = (kind.left_to_right or kind.headless) and config.get("is_encoder_decoder")
        if re.search(kind.made, heads) and not other_way and re.search(kind.made_labels, labels, re.IGNORECASE):
            return kind.name
    return None


def head_for(scorer: str, head: str) -> str:
    """The head to ask in the place of a scorer's own: the one that was named, where it has one of that name."""
    return head if scorer in KINDS and head in KINDS[scorer].stand_ins else ""


def held(names: Collection[str], config: Mapping[str, Any]) -> list[ScorerName]:
    """The scorers whose heads a checkpoint holds, by the names of its tensors and its config.json; those that need no
    head where it holds none at all."""
    found = with_heads(usable(names, config))
    return [] if sorts(names) and all(KINDS[name].headless for name in found) else found


def with_heads(scorers: Collection[Name]) -> list[Name]:
    """Those of some scorers that need a head, or all where none does: what a model is made for, of what it can do."""
    return [name for name in scorers if not KINDS[name].headless] or list(scorers)


def sorts(names: Iterable[str]) -> bool:
    """Whether a checkpoint holds a head for classes of its own, by the names of its tensors."""
    return any(map(_CLASSES.match, names))


def retrained(kind: ScorerKind, names: Iterable[str], architectures: Iterable[str]) -> bool:
    """Whether a checkpoint was trained on for classes of its own, after which nobody looked to the head of that kind:
    one that is tied to the embeddings is there all the same."""
    other = not kind.headless and not kind.made_labels
    return other and not re.search(kind.made, " ".join(architectures)) and sorts(names)


def usable(names: Collection[str], config: Mapping[str, Any]) -> list[ScorerName]:
    """The scorers that can use a checkpoint: those whose heads it holds, and those that need none."""
    labels, made = _labels(config), config.get("architectures")
    made = [name for name in made if isinstance(name, str)] if isinstance(made, list) else []
    return [
        kind.name
        for kind in KINDS.values()
        if _fit(kind.weights, names, config)
        and re.search(kind.made_labels, labels, re.IGNORECASE)
        and not retrained(kind, names, made)
    ]


def _labels(config: Mapping[str, Any]) -> str:
    """The model's own labels, where it has a head for labels."""
    said = config.get("id2label")
    return " ".join(map(str, said.values())) if isinstance(said, Mapping) else ""


def stand_ins_of(names: Collection[str], config: Mapping[str, Any]) -> list[str]:
    """The heads that a checkpoint holds for --head, likewise."""
    return [head for head, kind in HEADS.items() if _fit(kind.stand_ins[head].weights, names, config)]


def _fit(traces: Sequence[Trace], names: Collection[str], config: Mapping[str, Any]) -> bool:
    inner = config.get("text_config")  # of a model for more than text
    said = {**config, **inner} if isinstance(inner, dict) else config
    return any(trace.fits(names, said) for trace in traces)


def loaded(path: str) -> Any:
    """What stands under a name such as "package.module:Class"."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
