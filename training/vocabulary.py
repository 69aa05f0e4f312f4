"""Train the two tokenizers: WordPiece for BERT, byte-level BPE for GPT-2.

Both keep every Chinese character apart, so that a label word of two characters is two tokens
wherever it stands.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from training.corpus import SOURCES, documents

BERT_SIZE, GPT2_SIZE = 16_000, 12_000
BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
GPT2_SPECIAL = "<|endoftext|>"
# Punctuation that the classic Chinese vocabulary lacks or that a small corpus may miss.
PUNCTUATION = "“”‘’—…·《》〈〉「」『』【】（）：；，。！？、～￥％＋－＝／＆＠＃０１２３４５６７８９"
LATIN = "abcdefghijklmnopqrstuvwxyz0123456789"


def _texts(corpus: Path, sources: list[str]) -> Iterator[str]:
    for name in sources:
        yield from documents(corpus, SOURCES[name])


def train_wordpiece(texts: Iterator[str], size: int = BERT_SIZE) -> Tokenizer:
    """An uncased WordPiece tokenizer with BERT's pair layout."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        special_tokens=list(BERT_SPECIAL),
        limit_alphabet=5_800,
        initial_alphabet=sorted(set(PUNCTUATION + LATIN)),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    ids = tokenizer.get_vocab()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def train_bpe(texts: Iterator[str], size: int = GPT2_SIZE) -> Tokenizer:
    """A cased byte-level BPE tokenizer that never merges two Chinese characters."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{Han}"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[GPT2_SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path, settings: dict[str, object]) -> None:
    """Write tokenizer.json and a tokenizer_config.json that transformers 4.57 and 5 both read."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    text = json.dumps(config | settings, ensure_ascii=False, indent=2) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
    tokenizer.save(str(folder / "tokenizer.new"))
    (folder / "tokenizer.new").replace(folder / "tokenizer.json")


def train(name: str, corpus: Path, sources: list[str], folder: Path) -> None:
    """Train the tokenizer of one model on some corpus files and save it."""
    texts = _texts(corpus, sources)
    if name == "bert":
        names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
        special = dict(zip(names, BERT_SPECIAL, strict=True))
        save(train_wordpiece(texts), folder, special | {"model_max_length": 256})
    else:
        ends = {"bos_token": GPT2_SPECIAL, "eos_token": GPT2_SPECIAL}
        save(train_bpe(texts), folder, ends | {"model_max_length": 512})
