"""Train the two tokenizers: WordPiece for BERT, byte-level BPE for GPT-2.

Both keep every Chinese character apart, so that a label word of two characters is two tokens
wherever it stands. Usage: python -m training.vocabulary CORPUS_DIR OUT_DIR
"""

from __future__ import annotations

import json
import sys
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

from training.corpus import MIX, documents

BERT_SIZE, GPT2_SIZE = 16_000, 12_000
BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
GPT2_SPECIAL = "<|endoftext|>"
# Punctuation that the classic Chinese vocabulary lacks or that a small corpus may miss.
PUNCTUATION = "“”‘’—…·《》〈〉「」『』【】（）：；，。！？、～￥％＋－＝／＆＠＃０１２３４５６７８９"
LATIN = "abcdefghijklmnopqrstuvwxyz0123456789"


def sentences(corpus: Path) -> Iterator[str]:
    """Every sentence of the mix, once."""
    for source in MIX:
        for document in documents(corpus / f"{source.name}.txt.gz"):
            yield from document


def train_wordpiece(corpus: Path) -> Tokenizer:
    """An uncased WordPiece tokenizer with BERT's pair layout."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=BERT_SIZE,
        special_tokens=list(BERT_SPECIAL),
        limit_alphabet=5_800,
        initial_alphabet=sorted(set(PUNCTUATION + LATIN)),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences(corpus), trainer)
    ids = tokenizer.get_vocab()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def train_bpe(corpus: Path) -> Tokenizer:
    """A cased byte-level BPE tokenizer that never merges two Chinese characters."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{Han}"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=GPT2_SIZE,
        special_tokens=[GPT2_SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences(corpus), trainer)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path, settings: dict[str, object]) -> None:
    """Write tokenizer.json and a tokenizer_config.json that transformers 4.57 and 5 both read."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    text = json.dumps(config | settings, ensure_ascii=False, indent=2) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")


def main(corpus: Path, out: Path) -> None:
    """Train both and save them under out/bert and out/gpt2."""
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    save(
        train_wordpiece(corpus),
        out / "bert",
        dict(zip(names, BERT_SPECIAL, strict=True)) | {"model_max_length": 256},
    )
    save(
        train_bpe(corpus),
        out / "gpt2",
        {"bos_token": GPT2_SPECIAL, "eos_token": GPT2_SPECIAL, "model_max_length": 512},
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
