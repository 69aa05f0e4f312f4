"""Checkpoints in a GGUF file, as llama.cpp and Ollama keep them: what transformers can read of them, dequantized."""

from __future__ import annotations

import contextlib
import importlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import transformers

from promptshot import gguf
from promptshot.errors import ModelError, install, lacking, shortened, shortlist
from promptshot.gguf import Header

PACKAGES = ("gguf", "accelerate")  # of the extra; transformers asks for both
BLOCK = 1 << 24  # bytes copied at once


def check(name: str, headers: Sequence[Header]) -> None:
    """Refuse what transformers cannot read, and what packages are missing for; raises ModelError."""
    for package in PACKAGES:
        try:
            importlib.import_module(package)
        except ImportError as problem:
            missing = lacking(problem) or package
            what = f"a GGUF file needs the package {missing}"
            raise ModelError(what, where=name, hint=install(missing)) from None
    family, known = headers[0].family, families()
    if family not in known:
        what = f"a GGUF file of the architecture {shortened(family)!r}, which transformers cannot read"
        hint = f"take the checkpoint it was made from, or one of {shortlist(sorted(known), 40)}"
        raise ModelError(what, where=name, hint=hint)
    if lack := gguf.lacks(headers) if family in gguf.READABLE else "":
        raise ModelError(lack, where=name, hint=gguf.ANEW)


def families() -> set[str]:
    """The architectures that transformers reads, as GGUF files call them."""
    # The ones with a hyphen are looked up by other names than the files have.
    renamed = {"qwen2moe": "qwen2_moe", "qwen3moe": "qwen3_moe", "gpt-oss": "gpt_oss", "minimax-m2": "minimax_m2"}
    known = set(_reader().GGUF_SUPPORTED_ARCHITECTURES)
    with contextlib.suppress(ImportError):  # newer ones read some on another way
        known |= set(importlib.import_module("transformers.integrations.gguf").GGUF_CONFIG_ARCHS)
    return known | {said for said, own in renamed.items() if own in known}


@contextlib.contextmanager
def opened(files: Sequence[Path], headers: Sequence[Header], weights: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """A folder with nothing else in it, and what loaders of transformers are told beside it.

    They read whatever stands beside a file, which may be another model's. A split file is put together; without
    `weights`, all but the headers is left empty.
    """
    with tempfile.TemporaryDirectory(prefix="promptshot-") as folder:
        file = files[0].resolve()
        if len(files) > 1:
            file = Path(folder) / "whole.gguf"
            join(files, headers, file, weights)
        elif file.suffix != gguf.SUFFIX:  # as the files of Ollama are called
            link = Path(folder) / "model.gguf"
            link.symlink_to(file)
            file = link
        named: dict[str, Any] = {"gguf_file": str(file)}
        if weights and (settings := getattr(transformers, "GgufConfig", None)):
            named["quantization_config"] = settings(dequantize=True)  # else what is packed stays so, on some machines
        with _no_bar():
            yield folder, named


def _reader() -> Any:
    """The module of transformers that reads GGUF files; a third of a second to load."""
    return importlib.import_module("transformers.modeling_gguf_pytorch_utils")


@contextlib.contextmanager
def _no_bar() -> Iterator[None]:
    """The reader of transformers without its bar, which no setting of theirs turns off."""
    reader = _reader()
    bar = reader.tqdm
    reader.tqdm = lambda items, **said: items
    try:
        yield
    finally:
        reader.tqdm = bar


def join(files: Sequence[Path], headers: Sequence[Header], to: Path, weights: bool = True) -> None:
    """Write the parts of a split file as one; raises ModelError where the disk has no room for it.

    part 1   GGUF counts | keys | tensors a b | data a b      The keys are those of the first part; the table has
    part 2   GGUF counts | keys | tensors c   | data c        all tensors, each part's data moved behind the last's.
    whole    GGUF counts | keys | tensors a b c | data a b c
    """
    first = headers[0]
    size = sum(header.size for header in headers)
    if weights and (free := shutil.disk_usage(to.parent).free) < size:
        what = f"its {len(files)} parts are put together in {to.parent.parent}, which has {free / 2**30:.1f} GiB free"
        hint = f"they are {size / 2**30:.1f} GiB: set TMPDIR, or join them with llama-gguf-split --merge"
        raise ModelError(what, where=str(files[0]), hint=hint)
    table, begin = bytearray(), 0
    begins = []
    for header in headers:
        begins.append(begin)
        for tensor in header.tensors:
            name = tensor.name.encode("utf-8")
            table += len(name).to_bytes(8, "little") + name + len(tensor.axes).to_bytes(4, "little")
            table += b"".join(axis.to_bytes(8, "little") for axis in tensor.axes)
            table += tensor.type.to_bytes(4, "little") + (begin + tensor.offset).to_bytes(8, "little")
        begin = _aligned(begin + header.size - header.data, first.alignment)
    count = sum(len(header.tensors) for header in headers)
    with to.open("wb") as out, files[0].open("rb") as keys:
        out.write(gguf.MAGIC + first.version.to_bytes(4, "little") + count.to_bytes(8, "little"))
        out.write(len(first.metadata).to_bytes(8, "little"))
        keys.seek(24)
        out.write(keys.read(first.keys - 24))
        out.write(table)
        data = _aligned(out.tell(), first.alignment)
        for path, header, start in zip(files, headers, begins, strict=True) if weights else ():
            out.seek(data + start)
            _copy(path, header.data, out)
        out.truncate(data + begin)


def _copy(path: Path, begin: int, out: BinaryIO) -> None:
    with path.open("rb") as stream:
        stream.seek(begin)
        while block := stream.read(BLOCK):
            out.write(block)


def _aligned(place: int, size: int) -> int:
    return -(-place // size) * size
