"""The header of a GGUF file, without torch: what the model is, how many weights it has, which files hold them.

A file may come from a stranger: nothing is believed of it that the file itself is too short for.
"""

from __future__ import annotations

import math
import mmap
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAGIC = b"GGUF"
SUFFIX = ".gguf"
VERSIONS = (2, 3)
KEYS, TENSORS, AXES = (
    10_000,
    20_000,
    4,
)  # the most that are read of each; the largest models have a few thousand tensors
ITEMS = 4_000_000  # of all arrays; tokens and merges of the largest vocabularies are a million
TEXT = 16 << 20  # bytes of a string; templates of chats take some thousand
ALIGNED = 1 << 20  # bytes
NAME = 200  # characters of an architecture or a tensor; llama.cpp has 64 at most
ANEW = "fetch it anew, or take another conversion of the model"  # what to try where a file is broken
FAMILY = "general.architecture"
CHAT = "tokenizer.chat_template"
# What each number of a type stands for: a value of fixed size, a string, an array.
_FIXED = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_FLOATS = (0, 1, 30)  # float32, float16, bfloat16; all other types are quantized
# How weights are packed: how many are in a block -> the number of a tensor's type -> bytes of a block. Source: ggml.
_BLOCKS = {
    1: {0: 4, 1: 2, 24: 1, 25: 2, 26: 4, 27: 8, 28: 8, 30: 2},  # floats and whole numbers
    32: {2: 18, 3: 20, 6: 22, 7: 24, 8: 34, 9: 40, 20: 18, 39: 17},  # Q4_0 to Q8_1, IQ4_NL, MXFP4
    64: {40: 36},  # NVFP4
    128: {41: 18},  # Q1_0
    256: {10: 84, 11: 110, 12: 144, 13: 176, 14: 210, 15: 292}  # Q2_K to Q8_K
    | {16: 66, 17: 74, 18: 98, 19: 50, 21: 110, 22: 82, 23: 136, 29: 56}  # IQ1_S to IQ4_XS
    | {34: 54, 35: 66},  # TQ1_0, TQ2_0
}
_PACKED = {kind: (block, size) for block, sizes in _BLOCKS.items() for kind, size in sizes.items()}
_ENCODERS = re.compile(r".*bert.*|t5encoder")  # which go on from no text
_TWO_PARTS = {"t5": "T5ForConditionalGeneration", "umt5": "UMT5ForConditionalGeneration"}
# The architectures that transformers 5.24 reads, as GGUF files call them; whoever loads a model asks transformers.
READABLE = frozenset({
    "bloom", "deci", "falcon", "gemma2", "gemma3", "gemma4", "gpt-oss", "gpt2", "lfm2", "llama", "mamba",
    "minimax-m2", "mistral", "nemotron", "phi3", "qwen2", "qwen2moe", "qwen3", "qwen35", "qwen35moe", "qwen3moe",
    "stablelm", "starcoder2", "t5", "umt5",
})  # fmt: skip
# The names of tensors that tell what a model can do -> what transformers call them.
_TELLING = {
    "token_embd.weight": ("embed_tokens.weight", "shared.weight"),
    "output.weight": ("lm_head.weight",),
    "dec.blk.0.cross_attn_k.weight": ("decoder.block.0.layer.1.EncDecAttention.k.weight",),
}
_PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf", re.DOTALL)


class NoGguf(ValueError):
    """A file that is no GGUF file, or a broken one; `str()` is the reason."""


@dataclass(frozen=True)
class Tensor:
    """A tensor: its name, the sizes of its axes (the fastest first), the number of its type, its place in the data."""

    name: str
    axes: tuple[int, ...]
    type: int
    offset: int

    @property
    def weights(self) -> int:
        """How many numbers it has."""
        return math.prod(self.axes)

    @property
    def size(self) -> int:
        """The bytes that they take; raises NoGguf where there can be none such."""
        block, size = _PACKED.get(self.type, (0, 0))
        if not block:
            raise NoGguf(f"its tensor {self.name!r} has numbers of the unknown type {self.type}")
        if self.axes and self.axes[0] % block:
            raise NoGguf(f"its tensor {self.name!r} has rows of {self.axes[0]:,}, in blocks of {block}")
        return self.weights // block * size


@dataclass(frozen=True)
class Header:
    """What stands before the data. Of an array in the `metadata`, its length only.

    The keys begin at byte 24 and end at `keys`, the table of the tensors ends before `data`.
    """

    version: int
    metadata: Mapping[str, Any]
    tensors: tuple[Tensor, ...]
    keys: int
    data: int
    size: int  # bytes of the file

    @property
    def family(self) -> str:
        """What the file calls the architecture; empty where it says nothing, as later parts of a split file may."""
        return self.metadata.get(FAMILY, "")  # type: ignore[no-any-return]

    @property
    def alignment(self) -> int:
        """Bytes of which the offsets are multiples."""
        return int(self.metadata.get("general.alignment", 32))

    @property
    def quantized(self) -> bool:
        """Whether any weights are kept in less than a float each."""
        return any(tensor.type not in _FLOATS for tensor in self.tensors)

    @property
    def config(self) -> Mapping[str, Any]:
        """What a config.json of such a model says of its head."""
        if _ENCODERS.fullmatch(self.family):
            return {}
        if self.family in _TWO_PARTS:
            return {"architectures": [_TWO_PARTS[self.family]], "is_encoder_decoder": True}
        return {"architectures": ["ForCausalLM"]}

    @property
    def chats(self) -> bool:
        """Whether it holds a template for chats."""
        return bool(self.metadata.get(CHAT))


def is_gguf(path: Path) -> bool:
    """Whether it is a file that begins as a GGUF file does, or is called one."""
    try:
        if not path.is_file():
            return False
        if path.suffix == SUFFIX:
            return True
        with path.open("rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except (OSError, ValueError):
        return False


def parts(path: Path) -> list[Path]:
    """All files of a model of which one is named: itself, or NAME-00001-of-00003.gguf and so on; raises NoGguf where
    one is not there."""
    found = _PART.fullmatch(path.name)
    if not found:
        return [path]
    count = int(found[3])
    if not 0 < count <= 1000:
        raise NoGguf(f"one of {count:,} parts")
    names = [path.with_name(f"{found[1]}-{number:05d}-of-{found[3]}.gguf") for number in range(1, count + 1)]
    if lost := [name.name for name in names if not name.is_file()]:
        raise NoGguf(f"a split file, and this part is not beside it: {lost[0]}")
    return names


def in_folder(folder: Path) -> list[Path]:
    """The GGUF files of a folder, sorted; of a split one its first part only."""
    found = sorted(path for path in folder.glob(f"*{SUFFIX}") if path.is_file())
    return [path for path in found if not (part := _PART.fullmatch(path.name)) or int(part[2]) == 1]


def weights_of(headers: Sequence[Header]) -> int:
    """How many weights the files of a model have."""
    return sum(tensor.weights for header in headers for tensor in header.tensors)


def names_of(headers: Sequence[Header]) -> list[str]:
    """The tensors of a model that tell what it can do, by the names that transformers give them."""
    return [name for header in headers for tensor in header.tensors for name in _TELLING.get(tensor.name, ())]


def lacks(headers: Sequence[Header]) -> str:
    """Why no scorer can be for a model; empty where there may be one."""
    first = headers[0]
    if first.family not in READABLE:
        return f"transformers cannot read {first.family or 'a file without an architecture'}"
    if not weights_of(headers):
        return "no weights in the file"
    if not (first.metadata.get("tokenizer.ggml.model") and first.metadata.get("tokenizer.ggml.tokens")):
        return "no tokenizer in the file"
    return ""


def read_all(paths: Sequence[Path]) -> tuple[Header, ...]:
    """The headers of a model's files; raises NoGguf or OSError for one that is broken, or where they do not go
    together."""
    headers = tuple(map(read, paths))
    names = [tensor.name for header in headers for tensor in header.tensors]
    if len(names) > TENSORS:
        raise NoGguf(f"{len(names):,} tensors in its {len(paths):,} parts; {TENSORS:,} there may be")
    if len(set(names)) < len(names):
        raise NoGguf("a tensor stands in it twice")
    return headers


def read(path: Path) -> Header:
    """The header of a file; raises NoGguf for what is none, OSError for what cannot be read."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        if size < 24 or stream.read(len(MAGIC)) != MAGIC:
            raise NoGguf("no GGUF file (it does not begin with GGUF)")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as said:
            return _Reader(said, size).header()


class _Reader:
    """Reads one value after the other; raises NoGguf wherever the file ends too early."""

    def __init__(self, said: mmap.mmap, size: int) -> None:
        self.said, self.size, self.place = said, size, len(MAGIC)
        self.left = ITEMS

    def header(self) -> Header:
        version, tensors, keys = self.numbers("<IQQ")
        if version not in VERSIONS:
            raise NoGguf(f"GGUF of version {version}; versions 2 and 3 (little-endian) can be read")
        if keys > KEYS or tensors > TENSORS:
            raise NoGguf(f"{keys:,} keys and {tensors:,} tensors; {KEYS:,} and {TENSORS:,} there may be")
        metadata = {self.string(): self.value() for _ in range(keys)}
        if len(metadata) < keys:
            raise NoGguf("a key stands in its header twice")
        end = self.place
        table = tuple(self.tensor() for _ in range(tensors))
        aligned = metadata.get("general.alignment", 32)
        if type(aligned) is not int or not 0 < aligned <= ALIGNED:
            raise NoGguf(f"an alignment of {aligned}")
        data = -(-self.place // aligned) * aligned
        family = metadata.get(FAMILY, "")
        if not isinstance(family, str) or len(family) > NAME or not (family.isascii() and family.isprintable()):
            raise NoGguf("an architecture that is no short name")
        self.check(table, data)
        return Header(version, metadata, table, end, data, self.size)

    def check(self, table: Sequence[Tensor], data: int) -> None:
        """Refuse tensors that are not all in the file, each in a place of its own."""
        end, last = 0, ""
        for begin, size, name in sorted((tensor.offset, tensor.size, tensor.name) for tensor in table):
            if data + begin + size > self.size:
                raise NoGguf(f"the file is too short for its tensor {name!r}")
            if begin < end:
                raise NoGguf(f"its tensors {last!r} and {name!r} lie over one another")
            end, last = begin + size, name

    def numbers(self, form: str) -> tuple[Any, ...]:
        size = struct.calcsize(form)
        if self.place + size > self.size:
            raise NoGguf("the file ends within its header")
        self.place += size
        return struct.unpack_from(form, self.said, self.place - size)

    def skip(self, size: int) -> int:
        """Go on by so many bytes; from where."""
        begin = self.place
        if size > self.size - begin:
            raise NoGguf("the file ends within its header")
        self.place += size
        return begin

    def string(self) -> str:
        (size,) = self.numbers("<Q")
        if size > TEXT:
            raise NoGguf(f"a string of {size:,} bytes in its header")
        begin = self.skip(size)
        return self.said[begin : begin + size].decode("utf-8", "replace")

    def value(self) -> Any:
        """A value; of an array the length."""
        (kind,) = self.numbers("<I")
        if kind in _FIXED:
            return self.numbers(_FIXED[kind])[0]
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            raise NoGguf(f"a value of the unknown type {kind} in its header")
        inner, count = self.numbers("<IQ")
        self.left -= count
        if self.left < 0 or inner not in (*_FIXED, _STRING):
            raise NoGguf(f"an array of {count:,} values of type {inner} in its header")
        if inner in _FIXED:
            self.skip(count * struct.calcsize(_FIXED[inner]))
            return count
        for _ in range(count):
            self.skip(self.numbers("<Q")[0])
        return count

    def tensor(self) -> Tensor:
        name = self.string()
        if len(name) > NAME:
            raise NoGguf(f"a tensor with a name of {len(name):,} characters")
        (axes,) = self.numbers("<I")
        if axes > AXES:
            raise NoGguf(f"a tensor of {axes:,} axes")
        sizes = self.numbers(f"<{axes}Q")
        kind, offset = self.numbers("<IQ")
        return Tensor(name, sizes, kind, offset)
