"""Heads that transformers has no class for, over bodies that it has, with the weights by the names they have in files.

DeBERTa-v3 was trained to find replaced tokens, and its checkpoints hold the head that does; ALBERT's for the order of
sentences is there in one model with a masked-LM head only, which would be run in vain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn
from transformers import (
    AlbertConfig,
    AlbertModel,
    AlbertPreTrainedModel,
    DebertaV2Config,
    DebertaV2Model,
    DebertaV2PreTrainedModel,
    ElectraConfig,
    ElectraForPreTraining,
)
from transformers.activations import ACT2FN
from transformers.modeling_outputs import SequenceClassifierOutput, TokenClassifierOutput
from transformers.models.albert.modeling_albert import AlbertSOPHead


class ReplacedTokenHead(nn.Module):
    """DeBERTa-v3's: one logit for each token, looked at beside the first one (microsoft/DeBERTa,
    replaced_token_detection_model.py)."""

    def __init__(self, config: DebertaV2Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = ACT2FN[config.hidden_act]
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.classifier = nn.Linear(config.hidden_size, 1)

    def forward(self, states: Tensor) -> Tensor:
        """(rows, width) logits of (rows, width, hidden) states; positive where a token was replaced."""
        beside = self.LayerNorm(states[:, :1] + states)  # (rows, width, hidden)
        logits: Tensor = self.classifier(self.activation(self.dense(beside)))[..., 0]
        return logits


class DebertaV2ForReplacedTokens(DebertaV2PreTrainedModel):  # type: ignore[misc]
    """DeBERTa-v3 as it was trained."""

    def __init__(self, config: DebertaV2Config) -> None:
        super().__init__(config)
        self.deberta = DebertaV2Model(config)
        self.mask_predictions = ReplacedTokenHead(config)
        self.post_init()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> TokenClassifierOutput:  # fmt: skip
        """Its logits are (rows, width)."""
        states = self.deberta(input_ids, attention_mask, token_type_ids, position_ids)[0]
        return TokenClassifierOutput(logits=self.mask_predictions(states))


class AlbertForSentenceOrder(AlbertPreTrainedModel):  # type: ignore[misc]
    """ALBERT with the head for the order of two segments alone."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__(config)
        self.albert = AlbertModel(config)
        self.sop_classifier = AlbertSOPHead(config)
        self.post_init()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> SequenceClassifierOutput:  # fmt: skip
        """Its logits are (rows, 2): 0 is A before B, as they stood in the text; 1 is swapped."""
        pooled = self.albert(input_ids, attention_mask, token_type_ids, position_ids)[1]
        return SequenceClassifierOutput(logits=self.sop_classifier(pooled))


DISCRIMINATORS: Mapping[type, Any] = {
    ElectraConfig: ElectraForPreTraining,
    DebertaV2Config: DebertaV2ForReplacedTokens,
}
SENTENCE_ORDER: Mapping[type, Any] = {AlbertConfig: AlbertForSentenceOrder}


class _OfFamily:
    """Makes the model that a configuration is for, as the auto classes of transformers do."""

    families: ClassVar[Mapping[type, Any]]

    @classmethod
    def from_config(cls, config: Any, trust_remote_code: bool = False) -> Any:
        """The model without its weights; no code that a checkpoint brings is run."""
        return cls._of(config)._from_config(config)

    @classmethod
    def from_pretrained(cls, place: str, config: Any, **settings: Any) -> Any:
        """What `from_pretrained` of the family's own class gives."""
        return cls._of(config).from_pretrained(place, config=config, **settings)

    @classmethod
    def _of(cls, config: Any) -> Any:
        """The class for a configuration; raises ValueError where there is none."""
        if type(config) not in cls.families:
            raise ValueError(f"no such head is known for models of the type {config.model_type}")
        return cls.families[type(config)]


class Discriminator(_OfFamily):
    """A model that tells replaced tokens."""

    families = DISCRIMINATORS


class SentenceOrder(_OfFamily):
    """A model that tells whether two segments are in order."""

    families = SENTENCE_ORDER
