"""Tiny models with random weights, made from a configuration and a seed: nothing is downloaded.

The weights are large, so that scores differ by much and a wrong position or a lost mask shows at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from helpers import LENGTH, Tiny
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor

from promptshot.scorers.checkpoints.own_heads import DebertaV2ForReplacedTokens
from promptshot.scorers.engine.base import TorchScorer
from promptshot.scorers.engine.plans import Query
from promptshot.scorers.engine.prefix import Trie, Walk

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

TEXTS = [
    "the movie was great and the food was awful but we liked the town a lot",
    "business sports world technology politics news about a very long game last night",
    "it is a good day to read this short story again , said the old man .",
    "房间干净，早餐也不错。这是一则体育新闻，很满意，不好。",
    "下面报导的是财经和娱乐科技文化教育的文章：天气真好！",
]
SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
SPECIAL["mask_token"] = "[MASK]"
SIZES = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32, "intermediate_size": 48}


# ------------------------------------------------------------------ tokenizers


def wordpiece() -> Tokenizer:
    """Lower-cased words of TEXTS, Chinese characters, and single letters for every other word."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    signs = ".,!?[]<>|/#_:;'\"，。！？：；"
    chinese = sorted({c for text in TEXTS for c in text if "\u4e00" <= c <= "\u9fff"})
    words = sorted({word for text in TEXTS for word in text.split() if word.isascii() and len(word) > 1})
    entries = [*SPECIAL.values(), *letters, *(f"##{c}" for c in letters), *signs, *chinese, *words]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(entries))}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.add_special_tokens(list(SPECIAL.values()))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    made.decoder = decoders.WordPiece()
    return made


def byte_bpe(special: list[str | AddedToken]) -> Tokenizer:
    """Byte-level BPE; Chinese characters may merge, so that boundaries are met."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(TEXTS * 3, trainer)
    made.decoder = decoders.ByteLevel()
    return made


def roberta_bpe() -> Tokenizer:
    """<s> A </s> and <s> A </s></s> B </s>; the mask takes the space before it."""
    names: list[str | AddedToken] = ["<s>", "<pad>", "</s>", "<unk>"]
    made = byte_bpe([*names, AddedToken("<mask>", lstrip=True, special=True)])
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return made


def sentencepiece_bpe() -> Tokenizer:
    """BPE with a space mark before every word, as Llama and XLM-RoBERTa have it; <s> begins a text."""
    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    letters = [chr(c) for c in range(33, 127)]
    trainer = trainers.BpeTrainer(
        vocab_size=360, special_tokens=["<unk>", "<s>", "</s>"], initial_alphabet=letters, show_progress=False
    )
    made.train_from_iterator(TEXTS * 3, trainer)
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    made.decoder = decoders.Metaspace()
    return made


# ------------------------------------------------------------------ checkpoints


def save_tokenizer(made: Tokenizer, folder: Path, **settings: object) -> None:
    """tokenizer.json and a tokenizer_config.json that both majors of transformers read."""
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


def randomized(model: Any, seed: int) -> Any:
    """The model with large random weights, biases and norms included."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.eval()


def build(folder: Path, kind: type[Any], config: Any, made: Tokenizer, **settings: object) -> Tiny:
    """A checkpoint in `folder`, and the same model in memory."""
    torch.manual_seed(0)
    model = randomized(kind(config), seed=1)
    model.save_pretrained(folder)
    save_tokenizer(made, folder, **{"model_max_length": LENGTH, **settings})
    return Tiny(folder, model, transformers.AutoTokenizer.from_pretrained(folder))


def bert_config(made: Tokenizer, **others: Any) -> Any:
    """A tiny BERT's configuration."""
    return transformers.BertConfig(
        **{"vocab_size": made.get_vocab_size(), "max_position_embeddings": LENGTH, **SIZES, **others}
    )


def reread(tiny: Tiny, kind: type[Any]) -> Tiny:
    """The same checkpoint read with another head."""
    return Tiny(tiny.folder, kind.from_pretrained(tiny.folder).eval(), tiny.tokenizer)


def bert(folder: Path) -> Tiny:
    """BERT with both pre-training heads; `.model` is the one for pre-training."""
    made = wordpiece()
    return build(folder, transformers.BertForPreTraining, bert_config(made), made, **SPECIAL)


def bert_mlm(bert: Tiny) -> Tiny:
    """The tiny BERT as a masked language model."""
    return reread(bert, transformers.BertForMaskedLM)


def bert_nsp(bert: Tiny) -> Tiny:
    """The tiny BERT as a judge of next sentences."""
    return reread(bert, transformers.BertForNextSentencePrediction)


ROBERTA_NAMES = {"bos_token": "<s>", "cls_token": "<s>", "sep_token": "</s>", "eos_token": "</s>", "pad_token": "<pad>"}


def roberta(folder: Path) -> Tiny:
    """RoBERTa: byte-level BPE, positions that begin at 2, one token type."""
    made = roberta_bpe()
    config = transformers.RobertaConfig(
        vocab_size=made.get_vocab_size(), max_position_embeddings=LENGTH + 2, type_vocab_size=1, **SIZES
    )
    mask = {"__type": "AddedToken", "content": "<mask>", "lstrip": True, "rstrip": False, "normalized": False}
    return build(
        folder,
        transformers.RobertaForMaskedLM,
        config,
        made,
        **ROBERTA_NAMES,
        unk_token="<unk>",
        mask_token={**mask, "single_word": False, "special": True},
    )


# Families that have a head for classes, and how they call their sizes.
INFERENCE: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("Bert", {"max_position_embeddings": LENGTH, **SIZES}),
    "roberta": ("Roberta", {"max_position_embeddings": LENGTH + 2, "type_vocab_size": 1, **SIZES}),
    "xlm-roberta": ("XLMRoberta", {"max_position_embeddings": LENGTH + 2, "type_vocab_size": 1, **SIZES}),
    "deberta": (
        "Deberta",
        {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "type_vocab_size": 0, "pooler_hidden_size": 32}
        | {"max_position_embeddings": LENGTH, **SIZES},
    ),
    "deberta-v2": (  # as DeBERTa-v3 has it
        "DebertaV2",
        {"relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"], "share_att_key": True}
        | {"norm_rel_ebd": "layer_norm", "position_biased_input": False, "type_vocab_size": 0, "pooler_hidden_size": 32}
        | {"max_position_embeddings": LENGTH, **SIZES},
    ),
    "distilbert": (
        "DistilBert",
        {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": LENGTH},
    ),
    "bart": (
        "Bart",
        {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4}
        | {"decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48}
        | {"max_position_embeddings": LENGTH, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2},
    ),
}


def inference(folder: Path, family: str = "bert", classes: Sequence[str] = ("contradiction", "neutral", "entailment"),
              typed: bool = True, **others: Any) -> Tiny:  # fmt: skip
    """A model of a family with a head for these classes; `typed` is whether BERT's tokenizer gives types by itself."""
    name, sizes = INFERENCE[family]
    pieces = family in ("bert", "distilbert", "deberta", "deberta-v2")
    made = wordpiece() if pieces else marked_bpe() if family == "xlm-roberta" else roberta_bpe()
    names = dict(enumerate(classes))
    config = getattr(transformers, f"{name}Config")(
        vocab_size=made.get_vocab_size(), pad_token_id=0 if pieces else 1, id2label=names,
        label2id={label: i for i, label in names.items()}, **(sizes | others),
    )  # fmt: skip
    special: dict[str, Any] = dict(SPECIAL) if pieces else {**ROBERTA_NAMES, "unk_token": "<unk>"}
    inputs = ["input_ids", *(["token_type_ids"] if family == "bert" and typed else []), "attention_mask"]
    kind = getattr(transformers, f"{name}ForSequenceClassification")
    return build(folder, kind, config, made, **special, model_input_names=inputs)


def encoder(folder: Path, family: str = "bert", modules: Sequence[str] = (), **said: Any) -> Tiny:
    """A body without any head. With `modules` it is the folder of a sentence encoder that has these; `said` is what its
    files say: pooling={...}, transformer={...}, own={...}."""
    name, sizes = INFERENCE[family]
    pieces = family in ("bert", "distilbert", "deberta", "deberta-v2")
    made = wordpiece() if pieces else marked_bpe() if family == "xlm-roberta" else roberta_bpe()
    config = getattr(transformers, f"{name}Config")(
        vocab_size=made.get_vocab_size(), pad_token_id=0 if pieces else 1, **sizes
    )
    special: dict[str, Any] = dict(SPECIAL) if pieces else {**ROBERTA_NAMES, "unk_token": "<unk>"}
    found = build(folder, getattr(transformers, f"{name}Model"), config, made, **special)
    listed = []
    for number, kind in enumerate(modules):
        path = f"{number}_{kind}" if number else ""
        (folder / path).mkdir(exist_ok=True)
        listed.append(
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        )
        if kind == "Pooling":
            size = {"word_embedding_dimension": found.model.config.hidden_size}
            (folder / path / "config.json").write_text(json.dumps({**size, **said.get("pooling", {})}))
    if modules:
        (folder / "modules.json").write_text(json.dumps(listed))
        (folder / "sentence_bert_config.json").write_text(json.dumps(said.get("transformer", {})))
        (folder / "config_sentence_transformers.json").write_text(json.dumps(said.get("own", {})))
    return found


def marked_bpe() -> Tokenizer:
    """BPE with a space mark before every word, and <s> A </s></s> B </s>, as XLM-RoBERTa has it."""
    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    letters = [chr(c) for c in range(33, 127)] + sorted(
        {c for text in TEXTS for c in text if "\u4e00" <= c <= "\u9fff"}
    )
    trainer = trainers.BpeTrainer(
        vocab_size=520, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], initial_alphabet=letters, show_progress=False
    )
    made.train_from_iterator(TEXTS * 3, trainer)
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    made.decoder = decoders.Metaspace()
    return made


def electra(folder: Path, kind: type[Any] = transformers.ElectraForPreTraining) -> Tiny:
    """ELECTRA: the discriminator, or with another class its generator; embeddings narrower than its states."""
    made = wordpiece()
    config = transformers.ElectraConfig(
        vocab_size=made.get_vocab_size(), max_position_embeddings=LENGTH, embedding_size=16, **SIZES
    )
    return build(folder, kind, config, made, **SPECIAL)


def deberta_v3(folder: Path, kind: type[Any] = DebertaV2ForReplacedTokens) -> Tiny:
    """DeBERTa-v3: places relative to one another only, no token types, and the head that finds replaced tokens."""
    made = wordpiece()
    config = transformers.DebertaV2Config(
        vocab_size=made.get_vocab_size(), max_position_embeddings=LENGTH, type_vocab_size=0, relative_attention=True,
        position_buckets=8, norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type="p2c|c2p",
        position_biased_input=False, max_relative_positions=-1, **SIZES,
    )  # fmt: skip
    return build(folder, kind, config, made, **SPECIAL)


def albert(folder: Path, kind: type[Any] = transformers.AlbertForPreTraining) -> Tiny:
    """ALBERT with a masked-LM head and one for the order of sentences; all layers are the same one."""
    made = wordpiece()
    config = transformers.AlbertConfig(
        vocab_size=made.get_vocab_size(), max_position_embeddings=LENGTH, embedding_size=16, num_labels=2, **SIZES
    )
    return build(folder, kind, config, made, **SPECIAL)


def gpt2(folder: Path) -> Tiny:
    """GPT-2: byte-level BPE, no token before a text, no padding token."""
    made = byte_bpe(["<|endoftext|>"])
    config = transformers.GPT2Config(
        vocab_size=made.get_vocab_size(), n_positions=LENGTH, n_embd=32, n_layer=2, n_head=2,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    names = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    return build(folder, transformers.GPT2LMHeadModel, config, made, **names)


def llama(folder: Path) -> Tiny:
    """Llama: space marks, rotary positions, <s> before every text."""
    made = sentencepiece_bpe()
    config = transformers.LlamaConfig(
        vocab_size=made.get_vocab_size(), max_position_embeddings=LENGTH, num_key_value_heads=2,
        bos_token_id=1, eos_token_id=2, **SIZES,
    )  # fmt: skip
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return build(folder, transformers.LlamaForCausalLM, config, made, **names)


def unigram(sentinels: int = 20) -> Tokenizer:
    """Pieces with a space mark before every word, </s> behind a text, and signs for spans that are left out, which
    count down, as T5 has them."""
    words = sorted({f"▁{word}" for text in TEXTS for word in text.split() if word.isascii()})
    chinese = sorted({c for text in TEXTS for c in text if "\u4e00" <= c <= "\u9fff"})
    letters = [chr(c) for c in range(33, 127) if chr(c) not in "<>"]
    pieces = [("▁", -3.0), *((w, -2.0) for w in words), *((c, -4.0) for c in (*chinese, *"，。！？：", *letters))]
    signs = [(f"<extra_id_{i}>", 0.0) for i in range(sentinels - 1, -1, -1)]
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), *dict(pieces).items(), *signs]
    made = Tokenizer(models.Unigram(vocab, unk_id=2, byte_fallback=False))
    made.add_special_tokens(["<pad>", "</s>", "<unk>", *(name for name, _ in signs)])
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    made.decoder = decoders.Metaspace(prepend_scheme="always")
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return made


T5_NAMES = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}


def t5_config(made: Tokenizer, kind: type[Any] = transformers.T5Config, **others: Any) -> Any:
    """A tiny T5's configuration; with `feed_forward_proj` as in 1.1 and mT5, of untied embeddings."""
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
    return kind(
        **{
            "vocab_size": made.get_vocab_size(),
            "decoder_start_token_id": 0,
            "pad_token_id": 0,
            "eos_token_id": 1,
            "relative_attention_num_buckets": 8,
            "relative_attention_max_distance": 20,
            **sizes,
            **others,
        }
    )


def t5(folder: Path) -> Tiny:
    """T5 as it was first: embeddings that are tied to the head."""
    made = unigram()
    return build(folder, transformers.T5ForConditionalGeneration, t5_config(made), made, **T5_NAMES)


def bart_config(made: Tokenizer, **others: Any) -> Any:
    """A tiny BART's configuration; more layers in the encoder than in the decoder."""
    sizes = {"d_model": 32, "encoder_layers": 3, "decoder_layers": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 40}
    ids = {name: made.token_to_id(token) for name, token in (("bos", "<s>"), ("pad", "<pad>"), ("eos", "</s>"))}
    return transformers.BartConfig(
        vocab_size=made.get_vocab_size(), max_position_embeddings=LENGTH, encoder_attention_heads=4,
        decoder_attention_heads=2, decoder_start_token_id=ids["eos"], forced_bos_token_id=ids["bos"],
        **{f"{name}_token_id": i for name, i in ids.items()}, **{**sizes, **others},
    )  # fmt: skip


BART_NAMES = {"bos_token": "<s>", "cls_token": "<s>", "sep_token": "</s>", "eos_token": "</s>", "pad_token": "<pad>"}
BART_NAMES |= {"unk_token": "<unk>", "mask_token": "<mask>"}


def bart(folder: Path) -> Tiny:
    """BART: the byte-level BPE of RoBERTa, learned positions."""
    made = roberta_bpe()
    return build(folder, transformers.BartForConditionalGeneration, bart_config(made), made, **BART_NAMES)


# ------------------------------------------------------------------ harm


def broken_tensors(monkeypatch: pytest.MonkeyPatch, harm: Callable[[dict[str, Any]], None]) -> None:
    """From here on the models get inputs with something wrong about them."""
    sound = TorchScorer.tensors

    def harmed(self: TorchScorer, batch: Sequence[Query]) -> dict[str, Any]:
        inputs = sound(self, batch)
        harm(inputs)
        return inputs

    monkeypatch.setattr(TorchScorer, "tensors", harmed)


def no_mask(inputs: dict[str, Any]) -> None:
    """Padding is attended to."""
    inputs["attention_mask"] = torch.ones_like(inputs["attention_mask"])


def no_types(inputs: dict[str, Any]) -> None:
    """Segments A and B look alike."""
    inputs.pop("token_type_ids")


def next_positions(inputs: dict[str, Any]) -> None:
    """Every token stands one place further on."""
    width = inputs["input_ids"].shape[1]
    plain = torch.arange(width).expand_as(inputs["input_ids"])
    inputs["position_ids"] = inputs.get("position_ids", plain) + 1


def shifted_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on predictions are read one position too early."""

    def early(queries: Sequence[Query]) -> list[Query]:
        return [replace(q, asked=tuple(max(0, p - 1) for p in q.asked)) for q in queries]

    read, trie = TorchScorer.read, Trie.of
    monkeypatch.setattr(TorchScorer, "read", lambda self, batch, head: read(self, early(batch), head))
    monkeypatch.setattr(Trie, "of", lambda queries: trie(early(queries)))


def later_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on every token stands one place further on, in padded batches and in the trie."""
    inputs = Walk._inputs

    def harmed(self: Walk, new: Tensor, columns: Tensor) -> dict[str, Tensor]:
        found = inputs(self, new, columns)
        return found | {"position_ids": found["position_ids"] + 1}

    broken_tensors(monkeypatch, next_positions)
    monkeypatch.setattr(Walk, "_inputs", harmed)


# ------------------------------------------------------------------ GGUF files

CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CHAT_LENGTH = 400  # positions, for chats are long
CHAT_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def chat_llama(folder: Path, template: str | None = CHATML, made: Tokenizer | None = None) -> Tiny:
    """Llama with byte-level BPE and a template for chats."""
    made = made or byte_bpe(list(CHAT_TOKENS))
    config = transformers.LlamaConfig(
        vocab_size=made.get_vocab_size(), max_position_embeddings=CHAT_LENGTH, num_key_value_heads=2,
        bos_token_id=0, eos_token_id=2, tie_word_embeddings=False, rms_norm_eps=1e-5, **SIZES,
    )  # fmt: skip
    names: dict[str, Any] = {"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>", "unk_token": "<|endoftext|>"}
    names |= {"chat_template": template, "model_max_length": CHAT_LENGTH}
    return build(folder, transformers.LlamaForCausalLM, config, made, **names)


def as_gguf(tiny: Tiny, file: Path, split: int = 0, half: bool = False, **keys: str) -> list[Path]:
    """A Llama as a GGUF file, or as files of so many tensors each; written as llama.cpp writes it.

    It turns pairs of neighbouring numbers where transformers turns halves, so that the rows of queries and keys stand
    in another order:    a0 a1 b0 b1  ->  a0 b0 a1 b1
    """
    import gguf

    config, vocabulary = tiny.model.config, tiny.tokenizer.get_vocab()
    said = json.loads(tiny.tokenizer.backend_tokenizer.to_str())
    made = gguf.GGUFWriter(file, keys.get("family", "llama"), split_max_tensors=split)
    made.add_name("tiny")
    made.add_context_length(config.max_position_embeddings)
    made.add_embedding_length(config.hidden_size)
    made.add_block_count(config.num_hidden_layers)
    made.add_feed_forward_length(config.intermediate_size)
    made.add_head_count(config.num_attention_heads)
    made.add_head_count_kv(config.num_key_value_heads)
    made.add_layer_norm_rms_eps(config.rms_norm_eps)
    made.add_vocab_size(config.vocab_size)
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    made.add_tokenizer_model("gpt2")
    made.add_tokenizer_pre("default")
    made.add_token_list(tokens)
    made.add_token_types([3 if token in CHAT_TOKENS else 1 for token in tokens])
    made.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in said["model"]["merges"]])
    made.add_bos_token_id(config.bos_token_id)
    made.add_eos_token_id(config.eos_token_id)
    made.add_add_bos_token(False)
    if tiny.tokenizer.chat_template:
        made.add_chat_template(tiny.tokenizer.chat_template)
    for name, tensor in tiny.model.state_dict().items():
        for ours, theirs in _GGUF_NAMES:
            name = name.replace(ours, theirs)
        array = tensor.numpy()
        if "attn_q" in name or "attn_k" in name:
            heads = config.num_attention_heads if "attn_q" in name else config.num_key_value_heads
            array = array.reshape(heads, 2, -1, array.shape[-1]).swapaxes(1, 2).reshape(array.shape)
        made.add_tensor(name, array.astype("float16") if half and array.ndim == 2 else array)
    made.write_header_to_file()
    made.write_kv_data_to_file()
    made.write_tensors_to_file()
    made.close()
    return sorted(file.parent.glob(f"{file.stem}*.gguf"))


_GGUF_NAMES = (
    ("model.layers.", "blk."),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("post_attention_layernorm", "ffn_norm"),
    ("input_layernorm", "attn_norm"),
    ("model.embed_tokens", "token_embd"),
    ("model.norm", "output_norm"),
    ("lm_head", "output"),
)
