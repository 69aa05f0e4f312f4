"""Throw model folders that are hostile, broken or sloppy at the command line, each at a process of its own.

    python tests/chaos/strangers.py [--folders 200] [--seed 0] [--only KIND]

A folder is a built-in model with something about it changed. Each command may end well, reject rows or say one
line; what it may not do is show a traceback, die, take more than 20 seconds or 2 GiB, or ask the network.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import random
import re
import resource
import signal
import socket
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SECONDS, MEMORY = 60.0, 2 << 30  # what a command may take, beyond what the libraries themselves take
MODELS = {"bert": "mlm", "gpt2": "causal"}
WORDS = {"mlm": "{mask}满意。{text}", "causal": "{text} It was {mask}"}
LABELS = {"mlm": "good=很,bad=不", "causal": "good=good,bad=bad"}
TEXTS = [
    "房间干净，早餐也不错。",
    "a day 🙂 " + "long " * 40,
    "",
    "🙂",
    "a" * 3000 + "!",
    " " * 3000,
    "🙂" * 500,
    "ab" * 800,
]
ROWS = [json.dumps({"text": text}) for text in TEXTS]


@dataclass(frozen=True)
class Broken:
    """A folder to be made: how, and what is said of it."""

    kind: str
    said: str
    model: str
    harm: Callable[[Path], None]


# ------------------------------------------------------------------ what is wrong with them

DEEP = 100_000
VALUES: list[Any] = [
    *(None, True, False, 0, -1, -512, 1, 7, 0.5, 512.0, 10**6, 10**9, 2**31, 2**63, 10**12, 10**30, 1e30, 1e308),
    *("", "512", "all", [], [512], {}, {"a": 1}, float("nan"), float("inf"), float("-inf"), "\ud800", "x" * 10**6),
]
BYTES: dict[str, bytes] = {
    "empty": b"",
    "half": b'{"a": ',
    "a list": b"[1, 2]",
    "a number": b"3",
    "null": b"null",
    "a text": b'"text"',
    "no UTF-8": b'{"a": "\xff\xfe"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "deep lists": b'{"a": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep objects": b'{"a": ' * DEEP + b"1" + b"}" * DEEP,
    "deep and open": b"[" * DEEP,
    "a long number": b'{"vocab_size": ' + b"9" * 100_000 + b"}",
    "NULs": bytes(5000),
    "noise": random.Random(1).randbytes(5000),
    "much white space": b" " * 30_000_000,
    "very many keys": b"{" + b",".join(b'"k%d": 1' % i for i in range(300_000)) + b"}",
}
FILES = [
    *("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", "special_tokens_map.json"),
    *("added_tokens.json", "generation_config.json", "vocab.txt", "vocab.json", "merges.txt", "spiece.model"),
    *("tokenizer.model", "pytorch_model.bin", "chat_template.jinja", "model.safetensors.index.json"),
    *("adapter_config.json", "preprocessor_config.json", "README.md", "model-00001-of-00002.safetensors"),
]
SIZES = [
    *("hidden_size", "vocab_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "num_labels"),
    *("max_position_embeddings", "type_vocab_size", "pad_token_id", "n_positions", "n_embd", "n_layer", "n_head"),
    *("n_inner", "chunk_size_feed_forward", "layer_norm_eps", "bos_token_id", "initializer_range"),
]
OTHERS = [
    *(
        "hidden_act",
        "activation_function",
        "architectures",
        "model_type",
        "id2label",
        "torch_dtype",
        "dtype",
        "use_cache",
    ),
    *("is_decoder", "tie_word_embeddings", "attn_implementation", "quantization_config", "tokenizer_class", "auto_map"),
    *("problem_type", "pruned_heads", "layer_types", "rope_parameters", "text_config", "add_cross_attention"),
]
FAMILIES = [
    "bert",
    "gpt2",
    "albert",
    "t5",
    "llama",
    "mamba",
    "xlnet",
    "reformer",
    "distilbert",
    "no-such",
    "llava",
    "clip",
]


def said_in(folder: Path, name: str, *path: str | int, value: Any) -> None:
    """Put a value into a JSON file."""
    said = json.loads((folder / name).read_text(encoding="utf-8"))
    place = said
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    put(folder / name, json.dumps(said))


def put(path: Path, data: str | bytes) -> None:
    """Write a file in the place of a link."""
    path.unlink(missing_ok=True)
    path.write_bytes(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data)


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 40 else f"{text[:30]}… ({len(text)})"


def lengths(rng: random.Random, model: str) -> Broken:
    """How many tokens there may be, said in any way."""
    file, key = rng.choice(
        [("tokenizer_config.json", "model_max_length")] * 3
        + [("config.json", "max_position_embeddings" if model == "bert" else "n_positions")] * 2
        + [("tokenizer.json", "truncation"), ("tokenizer.json", "padding")]
    )
    value = rng.choice(VALUES)
    if file == "tokenizer.json":
        size = rng.choice([0, 1, 10**6, 10**12, -1])
        stride, multiple = rng.choice([0, 5, 10**12]), rng.choice([None, 0, 10**12])
        pad = {"pad_id": 0, "pad_token": "x", "pad_type_id": 0, "pad_to_multiple_of": multiple}
        value = rng.choice(
            [
                {"max_length": size, "strategy": "LongestFirst", "stride": stride, "direction": "Right"},
                {"strategy": {"Fixed": size}, "direction": "Left", **pad},
            ]
        )
        key = "truncation" if "max_length" in value else "padding"
    return Broken("length", f"{key}: {shown(value)}", model, lambda folder: said_in(folder, file, key, value=value))


def sizes(rng: random.Random, model: str) -> Broken:
    """Sizes that no model has, or that are none."""
    key = rng.choice([*SIZES[:6], *SIZES])
    value = rng.choice([10**6, 10**9, 10**12, *VALUES])
    return Broken(
        "size", f"{key}: {shown(value)}", model, lambda folder: said_in(folder, "config.json", key, value=value)
    )


def keys(rng: random.Random, model: str) -> Broken:
    """Other keys of the configuration, or the whole of it for another family."""
    key = rng.choice(OTHERS)
    value = rng.choice([*VALUES, *FAMILIES])
    if key == "id2label":
        value = rng.choice([{str(i): "x" for i in range(200_000)}, {"a": "b"}, [1], "x"])
    if key == "quantization_config":
        value = rng.choice([{"quant_method": name} for name in ("gptq", "bitsandbytes", "fp8", "x", 5)] + [5, []])
    return Broken(
        "key", f"{key}: {shown(value)}", model, lambda folder: said_in(folder, "config.json", key, value=value)
    )


def files(rng: random.Random, model: str) -> Broken:
    """A file that holds something else."""
    name, (said, data) = rng.choice(FILES), rng.choice(list(BYTES.items()))
    return Broken("content", f"{name}: {said}", model, lambda folder: put(folder / name, data))


def no_files(rng: random.Random, model: str) -> Broken:
    """What has the name of a file, and is none."""
    name, what = (
        rng.choice(FILES),
        rng.choice(["FIFO", "zeros", "noise", "folder", "loop", "gone", "socket", "endless"]),
    )

    def harm(folder: Path) -> None:
        path = folder / name
        path.unlink(missing_ok=True)
        if what == "FIFO":
            os.mkfifo(path)
        elif what in ("zeros", "noise"):  # only ever read: /dev/zero through a link in a throw-away folder
            path.symlink_to("/dev/zero" if what == "zeros" else "/dev/urandom")
        elif what == "folder":
            path.mkdir()
        elif what == "socket":
            with socket.socket(socket.AF_UNIX) as made, contextlib.suppress(OSError):
                made.bind(str(path))
        elif what == "endless":
            path.touch()
            os.truncate(path, 1 << 40)  # takes no room
        else:
            path.symlink_to(name if what == "loop" else "nowhere")

    return Broken("no file", f"{name}: {what}", model, harm)


def weights(rng: random.Random, model: str) -> Broken:
    """safetensors that are torn, or lie."""
    whole = (ROOT / "models" / model / "model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + size])
    data = whole[8 + size :]
    name = rng.choice([key for key in header if key != "__metadata__"])
    entry = dict(header[name])
    lies: list[tuple[str, dict[str, Any]]] = (
        [
            ("a shape", {"shape": rng.choice([[10**12], [-1], [2**63, 2], [], ["a"], 5, [0]])}),
            ("a type", {"dtype": rng.choice(["F65", 5, None, "F64", "BOOL"])}),
            ("offsets", {"data_offsets": rng.choice([[0, 10**15], [5, 4], [-1, 4], [0], "x", [2**64, 2**65]])}),
            ("two at one place", {"data_offsets": header["__metadata__"] if rng.random() < 0.3 else [0, 1024]}),
        ]
        if "__metadata__" in header
        else [("a shape", {"shape": [10**12]}), ("offsets", {"data_offsets": [0, 10**15]})]
    )
    what = rng.choice(["torn", "size", "header", "lie", "lie", "name", "nothing", "no header", "tail", "many", "nan"])

    def made(folder: Path) -> None:
        path = folder / "model.safetensors"
        if what == "torn":
            put(path, whole[: rng.choice([0, 1, 7, 8, 9, 100, size, size + 8, len(whole) // 2, len(whole) - 1])])
        elif what == "size":
            put(
                path,
                struct.pack("<Q", rng.choice([0, 1, 2**63, 2**64 - 1, len(whole), size - 1, size + 1])) + whole[8:],
            )
        elif what == "tail":
            put(path, whole + bytes(100))
        elif what == "no header":
            put(path, struct.pack("<Q", 5000) + rng.randbytes(6000))
        elif what == "nan":
            put(path, whole[: 8 + size] + b"\xff" * len(data))
        else:
            changed = {**header, name: {**entry, **rng.choice(lies)[1]}} if what == "lie" else dict(header)
            if what == "header":
                changed = rng.choice([{}, {name: entry}, {"__metadata__": 5}, {"__metadata__": {"a": 5}}])
            if what == "name":
                changed["../" * 5 + "etc" if rng.random() < 0.5 else "\ud800"] = changed.pop(name)
            if what == "nothing":
                changed.pop(name)
            if what == "many":
                changed |= {f"k{i}": {"dtype": "F16", "shape": [0], "data_offsets": [0, 0]} for i in range(100_000)}
            text = json.dumps(changed).encode("utf-8", "surrogatepass")
            put(path, struct.pack("<Q", len(text)) + text + data)

    return Broken("weights", what, model, made)


def shards(rng: random.Random, model: str) -> Broken:
    """An index of shards that are elsewhere, or not at all."""
    name = "model.safetensors.index.json"
    outside = str(ROOT / "models" / model / "model.safetensors")
    maps: dict[str, Any] = {
        "another folder": {"a": "../other/model.safetensors"},
        "an absolute path": {"a": outside},
        "missing": {"a": "model-00001-of-00002.safetensors"},
        "itself": {"a": name},
        "a number": {"a": 5},
        "a list": ["a"],
        "nothing": {},
        "a text": "x",
        "a null": None,
        "a NUL": {"a": "a\0b"},
        "a folder": {"a": "."},
        "very many": {f"k{i}": f"m{i}.safetensors" for i in range(50_000)},
        "a device": {"a": "shard.safetensors"},
    }
    what = rng.choice(list(maps))

    def harm(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / "shard.safetensors").symlink_to("/dev/zero")
        put(folder / name, json.dumps({"metadata": {"total_size": 5}, "weight_map": maps[what]}))

    return Broken("shards", what, model, harm)


SLOW = {
    "nested repeats": {"Regex": "(a+)+$"},
    "nested choices": {"Regex": "(a|a|aa)*b"},
    "looks back": {"Regex": r"(\w+\s?)*\1\1x"},
    "many choices": {"Regex": "|".join(f"(?:{'a' * i}.*{'b' * (i % 9)})*" for i in range(200))},
    "repeats of repeats": {"Regex": "((((a{0,99}){0,99}){0,99}){0,99})x"},
    "not a pattern": {"Regex": "(((("},
    "long": {"Regex": "a?" * 5000 + "a" * 5000},
    "empty": {"Regex": ""},
    "all space": {"Regex": r"(\s*)*x"},
}


def patterns(rng: random.Random, model: str) -> Broken:
    """Patterns and replacements of a tokenizer that blow up, in time or in room."""
    growing = [
        {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 50} for _ in range(rng.choice([1, 5, 40]))
    ]
    said, part, where = rng.choice(
        [
            *((name, {"type": "Split", "pattern": one, "behavior": "Isolated", "invert": False}, "pre_tokenizer")
              for name, one in SLOW.items()),
            *((name, {"type": "Replace", "pattern": one, "content": "b"}, "normalizer") for name, one in SLOW.items()),
            *((name, {"type": "Replace", "pattern": one, "content": "b"}, "decoder") for name, one in SLOW.items()),
            *[("growing", {"type": "Sequence", "normalizers": growing}, "normalizer")] * 4,
            ("growing", {"type": "Replace", "pattern": {"Regex": "."}, "content": "x" * 10**6}, "normalizer"),
            ("growing", {"type": "Prepend", "prepend": "x" * 10**7}, "normalizer"),
            ("noise", {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(rng.randbytes(900)).decode()},
             "normalizer"),
            ("nothing", {"type": "Precompiled", "precompiled_charsmap": ""}, "normalizer"),
            ("eats all", {"type": "Replace", "pattern": {"Regex": ".*"}, "content": ""}, "normalizer"),
            ("unknown", {"type": "Magic"}, "normalizer"),
            ("deep", _nested({"type": "NFC"}, 60), "normalizer"),
            ("deep", _nested({"type": "NFC"}, 5000), "normalizer"),
            ("wide", {"type": "Sequence", "normalizers": [{"type": "NFC"}] * 100_000}, "normalizer"),
        ]
    )  # fmt: skip
    return Broken(
        "pattern", f"{where}: {said}", model, lambda folder: said_in(folder, "tokenizer.json", where, value=part)
    )


def _nested(part: dict[str, Any], levels: int) -> dict[str, Any] | str:
    text = json.dumps(part)
    if levels < 100:
        for _ in range(levels):
            part = {"type": "Sequence", "normalizers": [part]}
        return part
    return '{"type": "Sequence", "normalizers": [' * 50 + text + "]}" * 50


def tokens(rng: random.Random, model: str) -> Broken:
    """Vocabularies that are broken: twice the same, beyond all ids, of other types, without what is needed."""
    special = "[MASK]" if model == "bert" else "<|endoftext|>"
    model_keys: list[tuple[str, tuple[str | int, ...], Any]] = [
        ("no vocabulary", ("model", "vocab"), {}),
        ("a list as vocabulary", ("model", "vocab"), ["a"]),
        ("ids beyond all", ("model", "vocab"), {"a": 2**32, special: 2**31}),
        ("ids twice", ("model", "vocab"), {"a": 0, "b": 0, special: 0, "[UNK]": 0}),
        ("negative ids", ("model", "vocab"), {"a": -1}),
        ("few words", ("model", "vocab"), {"[UNK]": 1, "a": 5, special: 4}),
        ("no unknown token", ("model", "unk_token"), "[NONE]"),
        ("no type", ("model", "type"), None),
        ("another type", ("model", "type"), "Unigram"),
        ("merges of nothing", ("model", "merges"), [["x y", "z"], ["", ""]]),
        ("merges of other types", ("model", "merges"), [1, 2]),
        ("random merges", ("model", "dropout"), rng.choice([0.5, 1.0, 2.0, "x"])),
        ("endless words", ("model", "max_input_chars_per_word"), rng.choice([0, 10**9, -1, "x"])),
        ("a long prefix", ("model", "continuing_subword_prefix"), "#" * 10**6),
        ("an added token beyond", ("added_tokens",), [_added("新词", 10**6), _added(special, 4)]),
        ("an added special token beyond", ("added_tokens",), [_added(special, 2**32 - 1, special=True)]),
        ("an empty added token", ("added_tokens",), [_added("", 5)]),
        ("a long added token", ("added_tokens",), [_added("a" * 10**6, 5)]),
        ("very many added tokens", ("added_tokens",), [_added(f"t{i}", 16000 + i) for i in range(30_000)]),
        ("added tokens that are none", ("added_tokens",), rng.choice([5, "x", [5], [{}], {"a": 1}])),
        ("a template of nothing", ("post_processor",), _processor([])),
        ("a template of very many tokens", ("post_processor",), _processor([special] * 100_000)),
        ("a template of others", ("post_processor",), _processor(["[NONE]"])),
        ("an old version", ("version",), rng.choice(["9.9", 5, None])),
    ]
    settings: list[tuple[str, tuple[str | int, ...], Any]] = [
        ("a mask beyond", ("mask_token",), "<blank>"),
        ("no unknown token", ("unk_token",), None),
        ("a special token that is none", (rng.choice(["mask_token", "pad_token", "cls_token", "eos_token"]),),
         rng.choice([5, [], {}, True, {"content": 5}, "", "x" * 10**6, {"content": "y", "__type": "AddedToken"}])),
        ("another class", ("tokenizer_class",),
         rng.choice(["CpmTokenizer", "BertTokenizer", "LlamaTokenizer", "NoSuch", 5, [], "RagTokenizer", "os"])),
        ("added tokens", ("added_tokens_decoder",),
         rng.choice([{"5": "x"}, {"a": {"content": "y"}}, {str(10**12): {"content": "z"}}, 5, [1],
                     {str(i): {"content": f"t{i}", "special": True} for i in range(40_000)}])),
        ("extra tokens", ("additional_special_tokens",), rng.choice([5, [5], "x", [["a"]], ["a"] * 100_000])),
        ("a padding side", ("padding_side",), rng.choice(["up", 5, None])),
        ("a chat template", ("chat_template",), "{% for i in range(10**9) %}x{% endfor %}"),
        ("code", ("auto_map",), {"AutoTokenizer": ["own.Tokenizer", None]}),
    ]  # fmt: skip
    file = rng.choice(["tokenizer.json", "tokenizer.json", "tokenizer_config.json"])
    said, path, value = rng.choice(model_keys if file == "tokenizer.json" else settings)
    return Broken("tokens", f"{file}: {said}", model, lambda folder: said_in(folder, file, *path, value=value))


def _added(content: str, number: int, special: bool = False) -> dict[str, Any]:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": number, "content": content, **plain, "special": special}


def _processor(names: Sequence[str]) -> dict[str, Any]:
    steps = [{"SpecialToken": {"id": name, "type_id": 0}} for name in names]
    text: list[dict[str, Any]] = [{"Sequence": {"id": "A", "type_id": 0}}] if names else []
    return {
        "type": "TemplateProcessing",
        "single": [*steps, *text],
        "pair": [*steps, *text, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {name: {"id": name, "ids": [1], "tokens": [name]} for name in dict.fromkeys(names)},
    }


def old_files(rng: random.Random, model: str) -> Broken:
    """A tokenizer in the files of before, and these are broken."""
    name = rng.choice(["vocab.txt", "vocab.json", "spiece.model", "tokenizer.model", "vocab.txt"])
    plain = b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n"
    contents = {
        "noise": rng.randbytes(3000), "nothing": b"", "twice the same": plain * 2, "a long line": b"a" * 10**7,
        "no unknown": b"a\nb\n[MASK]\n[CLS]\n[SEP]\n", "plain": plain, "line ends": plain.replace(b"\n", b"\r\r\n"),
        "objects": b'{"a": 0, "b": "x", "<|endoftext|>": 2}', "torn": b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18",
    }  # fmt: skip
    said = rng.choice(list(contents))
    merges = rng.choice([b"#version: 0.2\na b\n", b"a\n", b"\xff", b"a b c\n", b""])
    classes = {"vocab.txt": "BertTokenizer", "vocab.json": "GPT2Tokenizer", "spiece.model": "AlbertTokenizer"}

    def harm(folder: Path) -> None:
        (folder / "tokenizer.json").unlink()
        put(folder / name, contents[said])
        if name == "vocab.json":
            put(folder / "merges.txt", merges)
        said_in(folder, "tokenizer_config.json", "tokenizer_class", value=classes.get(name, "LlamaTokenizer"))

    return Broken("old files", f"{name}: {said}", model, harm)


def missing(rng: random.Random, model: str) -> Broken:
    """Files that are not there."""
    names = rng.sample(FILES[:4], rng.choice([1, 1, 2, 4]))

    def harm(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return Broken("missing", ", ".join(names), model, harm)


KINDS: dict[str, Callable[[random.Random, str], Broken]] = {
    "length": lengths,
    "size": sizes,
    "key": keys,
    "content": files,
    "no file": no_files,
    "weights": weights,
    "shards": shards,
    "pattern": patterns,
    "tokens": tokens,
    "old files": old_files,
    "missing": missing,
}


def broken(number: int, seed: int, only: str | None = None) -> Broken:
    """Folder `number` of a seed; the kinds take turns."""
    rng = random.Random(f"{seed} {number}")
    kind = only or list(KINDS)[number % len(KINDS)]
    return KINDS[kind](rng, rng.choice(list(MODELS)))


def make(one: Broken, folder: Path) -> None:
    """A built-in model by links, and then the harm."""
    folder.mkdir()
    for path in (ROOT / "models" / one.model).iterdir():
        (folder / path.name).symlink_to(path)
    one.harm(folder)


# ------------------------------------------------------------------ running them


@dataclass(frozen=True)
class Outcome:
    """How a command ended, in one word, and what it said last."""

    word: str
    said: str
    seconds: float
    memory: int  # bytes, at most

    @property
    def bad(self) -> bool:
        """Whether it should not have ended so."""
        return self.word not in ("fine", "one line", "rejects")


def command(one: Broken, folder: Path, number: int) -> list[str]:
    """Mostly a run; now and then what needs the tokenizer alone."""
    scorer = MODELS[one.model]
    model = ["-m", str(folder)]
    if number % 7 == 6:
        return ["templates", "preview", f"zh-sentiment-{scorer}", "早餐也不错", *model]
    rows = str(folder.parent / "rows.jsonl")
    named = [] if number % 5 == 2 else ["--scorer", scorer]  # else it is read from the folder
    return ["classify", rows, "-t", WORDS[scorer], *named, "--labels", LABELS[scorer], *model]


def run(arguments: Sequence[str], folder: Path) -> Outcome:
    """One command in a process of its own; the libraries are there already."""
    said = folder.parent / "said.txt"
    base = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _in_child(arguments, said, base)
    status, word = 0, ""
    while True:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() - began > SECONDS:
            word = "hang"
            os.kill(child, signal.SIGKILL)
            _, status, usage = os.wait4(child, 0)
            break
        time.sleep(0.01)
    text = said.read_text(encoding="utf-8", errors="replace")
    last = text.strip().splitlines()[-1] if text.strip() else ""
    return Outcome(word or _word(status, text), last, time.monotonic() - began, usage.ru_maxrss << 10)


def _in_child(arguments: Sequence[str], said: Path, base: int) -> None:
    code = 99
    try:
        with said.open("w", encoding="utf-8") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
        sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_AS, (base + MEMORY, base + MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

        def refuse(*arguments: Any, **options: Any) -> Any:
            os.write(2, b"NETWORK\n")
            raise OSError("no network here")

        socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse  # type: ignore[method-assign]
        from promptshot.cli import run_command

        code = run_command(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _word(status: int, text: str) -> str:
    """What an end is called."""
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    code = os.WEXITSTATUS(status)
    if "Traceback" in text or code == 99:
        return "traceback"
    if "NETWORK" in text:
        return "network"
    if code in (0, 3):
        return "rejects" if code else "fine"
    errors = [line for line in text.splitlines() if not re.match(r"note: |warning: |\d+ (of \d+ )?rows, ", line)]
    return "one line" if code == 1 and len(errors) == 1 and errors[0].startswith("error: ") else f"{len(errors)} lines"


def chaos(folders: int, seed: int, only: str | None = None, verbose: bool = False) -> list[tuple[Broken, Outcome]]:
    """The outcomes of so many folders."""
    import torch

    import promptshot.scorers.checkpoints.tokenizing  # noqa: F401  once, for all
    from promptshot.report import run as run_module  # noqa: F401

    torch.set_num_threads(1)  # threads do not come along into a child
    found = []
    for number in range(folders):
        one = broken(number, seed, only)
        with tempfile.TemporaryDirectory(prefix="hostile") as place:
            folder = Path(place) / "model"
            (folder.parent / "rows.jsonl").write_text("\n".join(ROWS) + "\n", encoding="utf-8")
            make(one, folder)
            outcome = run(command(one, folder, number), folder)
            found.append((one, outcome))
            if verbose or outcome.bad:
                said = outcome.said.replace(str(folder), "DIR")
                what = f"{one.kind} / {one.model} / {one.said}"
                print(f"{number:4} {outcome.word:10} {outcome.seconds:5.1f} s  {what}: {said[:300]}", flush=True)
    return found


def table(found: Sequence[tuple[Broken, Outcome]]) -> str:
    """How many folders of each kind ended in which way, and what the worst took."""
    words = sorted({outcome.word for _, outcome in found}, key=lambda word: Outcome(word, "", 0, 0).bad)
    lines = [f"{'kind':12}" + "".join(f"{word:>12}" for word in words) + f"{'seconds':>12}{'MiB':>8}"]
    for kind in KINDS:
        mine = [outcome for one, outcome in found if one.kind == kind]
        if mine:
            counts = Counter(outcome.word for outcome in mine)
            worst = f"{max(o.seconds for o in mine):12.1f}{max(o.memory for o in mine) >> 20:8}"
            lines.append(f"{kind:12}" + "".join(f"{counts[word] or '':>12}" for word in words) + worst)
    return "\n".join(lines)


def main() -> int:
    """Run as many as were asked for; 1 where any ended as it should not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folders", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(KINDS))
    parser.add_argument("-v", "--verbose", action="store_true")
    said = parser.parse_args()
    found = chaos(said.folders, said.seed, said.only, said.verbose)
    print(table(found))
    return int(any(outcome.bad for _, outcome in found))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
