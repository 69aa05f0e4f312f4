"""Checkpoints for measuring: the shapes of well-known models with random weights, made from config and seed.

Speed does not depend on what weights say. They are drawn wider than a training would begin with, so that
scores differ from row to row and agreement between tools means something.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
MODELS = Path(__file__).parent / ".models"
REAL = Path(os.environ.get("PROMPTSHOT_REAL", ""))  # a folder of real checkpoints, some files below gguf/
SEED = 20_240
SPREAD = 0.04  # standard deviation of the random weights; a training begins with 0.02


@dataclass(frozen=True)
class Shape:
    """A transformers config and head class, or no config: the built-in model itself, in float32."""

    tokenizer: str  # bert | gpt2: a built-in one, padded to the vocabulary of the config
    config_class: str = ""
    model_class: str = ""
    config: Mapping[str, Any] | None = None
    dtype: str = "float32"  # of the stored weights


def _bert(vocabulary: int) -> Shape:
    return Shape("bert", "BertConfig", "BertForPreTraining", {"vocab_size": vocabulary})


def _llama(hidden: int, inner: int, layers: int, heads: int, groups: int, vocabulary: int) -> Shape:
    config = {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "vocab_size": vocabulary,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
    }
    large = hidden >= 2048
    return Shape("gpt2", "LlamaConfig", "LlamaForCausalLM", config, "bfloat16" if large else "float32")


def _bert_of(layers: int, hidden: int, heads: int, vocabulary: int) -> Shape:
    sizes = {"num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads}
    config = {"vocab_size": vocabulary, **sizes, "intermediate_size": 4 * hidden}
    return Shape("bert", "BertConfig", "BertForPreTraining", config)


SHAPES = {
    "builtin-bert": Shape("bert", model_class="BertForPreTraining"),
    "builtin-gpt2": Shape("gpt2", model_class="GPT2LMHeadModel"),
    "bert-base-zh": _bert(21_128),
    "bert-base-en": _bert(30_522),
    "bert-base-nli": Shape(
        "bert",
        "BertConfig",
        "BertForSequenceClassification",
        {
            "vocab_size": 30_522,
            "id2label": {0: "contradiction", 1: "neutral", 2: "entailment"},
            "label2id": {"contradiction": 0, "neutral": 1, "entailment": 2},
        },
    ),
    "bart-small": Shape(
        "bert",
        "BartConfig",
        "BartForConditionalGeneration",
        {
            "vocab_size": 30_522,
            "d_model": 512,
            "encoder_layers": 6,
            "decoder_layers": 6,
            "encoder_attention_heads": 8,
            "decoder_attention_heads": 8,
            "encoder_ffn_dim": 2048,
            "decoder_ffn_dim": 2048,
        },
    ),
    "gpt2-small": Shape("gpt2", "GPT2Config", "GPT2LMHeadModel", {"vocab_size": 50_257}),
    "gpt2-tiny": Shape(
        "gpt2", "GPT2Config", "GPT2LMHeadModel", {"vocab_size": 12_000, "n_embd": 256, "n_layer": 4, "n_head": 4}
    ),
    "gpt2-xl": Shape(
        "gpt2", "GPT2Config", "GPT2LMHeadModel", {"vocab_size": 50_257, "n_embd": 1600, "n_layer": 48, "n_head": 25}
    ),
    "llama-tiny": _llama(256, 704, 4, 8, 4, 12_000),
    "llama-1b": _llama(2048, 8192, 16, 32, 8, 128_256),
    "llama-3b": _llama(3072, 8192, 28, 24, 8, 128_256),
    "llama-7b": _llama(4096, 11_008, 32, 32, 32, 32_000),
    "bert-tiny": _bert_of(2, 128, 2, 16_000),
    "bert-large-en": _bert_of(24, 1024, 16, 30_522),
    "llama-8b": _llama(4096, 14_336, 32, 32, 8, 128_256),
}


def at_hand(name: str) -> bool:
    """Whether the model can be had: a shape always, a real file where it was put."""
    return name in SHAPES or (bool(REAL.name) and (REAL / "gguf" / name).is_file())


def folder(name: str) -> Path:
    """The checkpoint of that shape, made where it is not there yet; or the real file of that name."""
    if name not in SHAPES:
        return REAL.absolute() / "gguf" / name
    target = MODELS / name
    if not (target / "done").exists():
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        _make(SHAPES[name], target)
        (target / "done").touch()
    return target


def _make(shape: Shape, target: Path) -> None:
    import torch
    import transformers

    print(f"making {target.name}", file=sys.stderr)
    transformers.utils.logging.disable_progress_bar()
    source = ROOT / "models" / shape.tokenizer
    kind = getattr(transformers, shape.model_class)
    if shape.config is None:
        model = kind.from_pretrained(source, dtype=torch.float32)
    else:
        config = getattr(transformers, shape.config_class)(**shape.config, initializer_range=SPREAD, **_ends(shape))
        torch.manual_seed(SEED)
        default = torch.get_default_dtype()
        torch.set_default_dtype(getattr(torch, shape.dtype))
        try:
            model = kind(config)
        finally:
            torch.set_default_dtype(default)
    model.save_pretrained(target)
    write_tokenizer(source, target, int(model.config.vocab_size), int(model.config.max_position_embeddings))


HOLLOW = "hollow"  # the folder of checkpoints without weights


def hollow(name: str) -> Path:
    """A checkpoint of that shape without its weights, which `random_model` makes where they are used."""
    target = MODELS / HOLLOW / name
    if not (target / "done").exists():
        import transformers

        shape = SHAPES[name]
        said = dict(shape.config or {})
        config = getattr(transformers, shape.config_class)(**said, initializer_range=SPREAD, **_ends(shape))
        config.architectures = [shape.model_class]
        target.mkdir(parents=True, exist_ok=True)
        config.save_pretrained(target)
        longest = int(config.max_position_embeddings)
        write_tokenizer(ROOT / "models" / shape.tokenizer, target, int(config.vocab_size), longest)
        (target / "done").touch()
    return target


def is_hollow(folder: str | Path) -> bool:
    """Whether a checkpoint has no weights."""
    return Path(folder).parent.name == HOLLOW


def random_model(folder: str | Path, device: str, dtype: str) -> Any:
    """A model with random weights from the seed, made on the device; nothing of it is written."""
    import torch
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder)
    masked = SHAPES[Path(folder).name].tokenizer == "bert"
    kind = transformers.AutoModelForMaskedLM if masked else transformers.AutoModelForCausalLM
    torch.manual_seed(SEED)
    with torch.device(device):
        made = kind.from_config(config, dtype=getattr(torch, dtype))
    return made.eval()


def _ends(shape: Shape) -> dict[str, int]:
    """The special tokens of our own tokenizers, which are not where the class of the config expects them."""
    return {"pad_token_id": 0} if shape.tokenizer == "bert" else {"bos_token_id": 0, "eos_token_id": 0}


def write_tokenizer(source: Path, target: Path, size: int, longest: int) -> None:
    """A built-in tokenizer, padded with unused entries to a vocabulary of `size`; and vocab.txt for old readers."""
    made = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary: dict[str, int] = made["model"]["vocab"]
    if len(vocabulary) > size:
        raise ValueError(f"the tokenizer has {len(vocabulary)} entries, the model {size}")
    start = len(vocabulary)
    vocabulary.update({f"[unused{number}]": number for number in range(start, size)})
    (target / "tokenizer.json").write_text(json.dumps(made, ensure_ascii=False), encoding="utf-8")
    said = json.loads((source / "tokenizer_config.json").read_text(encoding="utf-8"))
    said["model_max_length"] = longest
    (target / "tokenizer_config.json").write_text(json.dumps(said, ensure_ascii=False, indent=2), encoding="utf-8")
    if made["model"]["type"] == "WordPiece":
        entries = sorted(vocabulary, key=lambda entry: vocabulary[entry])
        (target / "vocab.txt").write_text("\n".join(entries) + "\n", encoding="utf-8")
