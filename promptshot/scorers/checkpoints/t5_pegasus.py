"""The tokenizer of T5-PEGASUS: words of jieba that its vocabulary knows are one token each, others are WordPieces.

As in bojone's bert4keras (kexue.fm 8209): jieba's dictionary alone cuts (HMM=False), after lower-casing. Checkpoints of
it call themselves mT5, whose own tokenizer is a sentencepiece model, and bring a BERT vocabulary: a `vocab.txt`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import transformers

from promptshot.scorers.checkpoints.cpm import file_of, segmenter
from promptshot.scorers.checkpoints.encoder import Encoder, Ids, TextEncoder

FAMILIES = ("mt5", "t5")
_WORD = re.compile("[\u4e00-\u9fff]{2,}")  # which a vocabulary of characters has none of
OWN = ("spiece.model", "sentencepiece.model")  # of T5 proper


def is_t5_pegasus(place: str, config: Any, where: Mapping[str, Any]) -> bool:
    """Whether a checkpoint (folder or hub name) is a T5 with Chinese words in a BERT vocabulary."""
    if getattr(config, "model_type", None) not in FAMILIES or any(file_of(place, name, where) for name in OWN):
        return False
    file = file_of(place, "vocab.txt", where)
    if file is None:
        return False
    with file.open(encoding="utf-8", errors="replace") as lines:
        return any(_WORD.fullmatch(line.strip()) for line in lines)


def load(place: str, where: Mapping[str, Any]) -> T5PegasusEncoder:
    """The encoder of a checkpoint; raises ModelError where an extra package is missing."""
    return T5PegasusEncoder(transformers.BertTokenizerFast.from_pretrained(place, **where))


class T5PegasusEncoder(TextEncoder):
    """Whole words where the vocabulary has them. A text is [CLS] text [SEP], and so is what the decoder writes."""

    def __init__(self, tokenizer: Any) -> None:
        """`tokenizer` is that of the BERT vocabulary; raises ModelError where jieba is missing."""
        self._jieba = segmenter("T5-PEGASUS")
        special = set(tokenizer.all_special_tokens)
        self._whole = {word: i for word, i in tokenizer.get_vocab().items() if word not in special}
        self._lower = bool(getattr(tokenizer, "do_lower_case", True))
        super().__init__(tokenizer)

    def _tokenized(self, text: str) -> tuple[int, ...]:
        return tuple(token for word, _ in self._cut(text) for token in self._of_word(word))

    def extended(self, text: str, ends: Sequence[str]) -> tuple[Ids, list[Ids]]:
        """All tokenized anew: jieba looks at what stands around a word."""
        return Encoder.extended(self, text, ends)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token stands in the text (characters)."""
        found = []
        for word, start in self._cut(text):
            pieces = [(0, len(word))] if word in self._whole else super().spans(word)
            found += [(start + begin, start + end) for begin, end in pieces]
        return found

    def _of_word(self, word: str) -> Sequence[int]:
        whole = self._whole.get(word)
        return super()._tokenized(word) if whole is None else (whole,)

    def _cut(self, text: str) -> list[tuple[str, int]]:
        """The words of a text, and where they begin."""
        # One character for each, so that places stay what they are.
        lower = "".join(low if len(low := sign.lower()) == 1 else sign for sign in text) if self._lower else text
        return [(word, begin) for word, begin, _ in self._jieba.tokenize(lower, HMM=False)]
