"""Checkpoints: configuration, tokenizer and weights from the hub, a folder or the package, and is the head there?"""

from __future__ import annotations

import contextlib
import copy
import importlib
import inspect
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file

from promptshot import shelf
from promptshot.errors import (
    ModelError,
    NotFoundError,
    OptionError,
    PromptshotError,
    install,
    lacking,
    shortened,
    with_article,
)
from promptshot.gguf import ANEW, SUFFIX, Header, weights_of
from promptshot.kinds import ScorerKind
from promptshot.scorers.checkpoints import cpm, gguf, suspect, t5_pegasus
from promptshot.scorers.checkpoints.beyond import TIMES, table_of
from promptshot.scorers.checkpoints.checks import (
    check_architecture,
    check_head,
    check_layers,
    check_tied,
    headed,
    of_library,
)
from promptshot.scorers.checkpoints.encoder import Encoder, TextEncoder
from promptshot.scoring import ModelOptions
from promptshot.weights import Broken, snapshot
from promptshot.weights import held as held_in

NO_LIMIT = 10**6  # tokens; some tokenizers say "no limit" with an enormous number
SLACK, BUFFERS = 1 << 26, 1 << 32  # weights that a checkpoint may lack; bytes of tables that are in no checkpoint
ATTENTIONS = (None, "eager", "sdpa", "flex_attention")  # those that come with torch and transformers
MAPS = ("auto", "balanced", "balanced_low_0", "sequential")  # how accelerate spreads a model over devices
MIXED = "mixed"  # products in bfloat16, and all else in float32, see engine/mixed
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

# How weights of other libraries become ours; transformers 5 no longer reads them.
CONVERSIONS = {
    "TensorFlow": "transformers below 5 with tensorflow: from_pretrained(FOLDER, from_tf=True), save_pretrained(NEW)",
    "Flax": "transformers below 5 with flax: from_pretrained(FOLDER, from_flax=True), save_pretrained(NEW)",
}


def pick_device(name: str) -> torch.device:
    """`auto` is cuda where there is one, else mps, else cpu."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise OptionError(f"no device {name!r}", hint="use auto, cpu, cuda, cuda:N or mps") from None
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(device.type, False) or (device.index or 0) >= max(1, torch.cuda.device_count()):
        raise OptionError(f"there is no device {name!r} on this machine", hint="use --device auto")
    return device


def where_to_run(options: ModelOptions) -> torch.device:
    """The device that the options name, or the first one that a device map fills; raises OptionError."""
    spread = options.device_map
    if spread is None:
        return pick_device(options.device)
    if options.device != "auto":
        what = f"--device {options.device} and --device-map {spread} both say where the model is"
        raise OptionError(what, hint="leave one of them out")
    try:
        importlib.import_module("accelerate")
    except ImportError as problem:
        what = f"--device-map needs the package {lacking(problem) or 'accelerate'}"
        raise OptionError(what, hint="pip install 'promptshot[large]'") from None
    if spread in MAPS:
        return pick_device("auto")
    try:
        return pick_device(spread)
    except OptionError as problem:
        raise OptionError(f"--device-map: {problem.what}", hint=f"use {', '.join(MAPS)}, or one device") from None


def whole_floats(device: torch.device) -> None:
    """Have a GPU multiply float32 as such: a setting of the process or its environment may round it to the 10 bits of
    TF32, which moves scores by more than batches and shortcuts may."""
    if device.type == "cuda":
        backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
        for products in backends:
            products.allow_tf32 = False
            if hasattr(products, "fp32_precision"):  # of newer ones, which goes before the other
                products.fp32_precision = "ieee"


@dataclass(frozen=True)
class Opened:
    """A checkpoint without its weights, and where they are found."""

    name: str
    place: str
    where: Mapping[str, Any]  # what loaders of transformers are told beside the place
    config: Any
    encoder: Encoder
    files: tuple[Path, ...] = ()  # GGUF files, one or the parts of one; then `place` is nothing
    headers: tuple[Header, ...] = ()

    def own(self) -> Opened:
        """The same with a configuration of its own, for what is made by one may change it."""
        return replace(self, config=copy.deepcopy(self.config))

    @contextlib.contextmanager
    def weights(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Where its weights are, as loaders of transformers are told."""
        if not self.files:
            yield self.place, self.where
            return
        with gguf.opened(self.files, self.headers, weights=True) as (folder, named):
            yield folder, {**self.where, **named}


@dataclass(frozen=True)
class Loaded:
    """A checkpoint with its weights on a device; several scorers may share it, see `Doubted`."""

    name: str
    encoder: Encoder
    model: Any
    device: torch.device


Opening = Callable[[str, ModelOptions], Opened]


def open_checkpoint(name: str, options: ModelOptions) -> Opened:
    """Configuration and tokenizer; silent but for errors."""
    there = shelf.place_of(name)
    where: dict[str, Any] = {"trust_remote_code": options.trust_remote_code}
    if files := shelf.gguf_of(there):
        return _open_gguf(name, tuple(files), where, options)
    if there is None:
        _refuse_path(name)
        where |= {"revision": options.revision or "main", "local_files_only": options.offline}
    elif not there.is_dir():
        raise ModelError("a file, and no GGUF file", where=name, hint="name the folder of the checkpoint")
    else:
        suspect.check_folder(there)
    place = name if there is None else str(there)
    with loading(name, options):
        with suspect.patience():
            config = transformers.AutoConfig.from_pretrained(place, **where)
        _settle(config, options)
        return Opened(name, place, where, config, load_encoder(place, config, where))


def _open_gguf(name: str, files: tuple[Path, ...], where: Mapping[str, Any], options: ModelOptions) -> Opened:
    """What a GGUF file says of itself, and the tokenizer in it."""
    headers = tuple(shelf.headers_of(name))
    gguf.check(name, headers)
    with loading(name, options), gguf.opened(files, headers, weights=False) as (folder, named):
        config = transformers.AutoConfig.from_pretrained(folder, **where, **named)  # seconds, for a large vocabulary
        _settle(config, options)
        encoder = TextEncoder(transformers.AutoTokenizer.from_pretrained(folder, **where, **named))
    return Opened(name, "", where, config, encoder, files, headers)


def _settle(config: Any, options: ModelOptions) -> None:
    """Leave out of a configuration what cannot be as it says, or would fetch code."""
    _forget_lost_pad(config)
    if not options.trust_remote_code and config._attn_implementation not in ATTENTIONS:
        config._attn_implementation = None  # others are code that is fetched from the hub and run


def load_checkpoint(kind: ScorerKind, options: ModelOptions, opening: Opening = open_checkpoint) -> Loaded:
    """The checkpoint with every weight of the head that the kind needs; silent but for errors.

    Raises ModelError or NotFoundError. `opening` gives it without weights; another may have it already.
    """
    device = where_to_run(options)
    whole_floats(device)
    dtype = _dtype(options.dtype, device)
    kind = headed(kind, options.head)
    if not (options.model or kind.builtin):
        raise OptionError(f"scorer {kind.name} has no built-in model", hint=f"-m {kind.advice['en']}, or a folder")
    opened = opening(options.model or kind.builtin, options).own()
    name, config = opened.name, opened.config
    if dtype == "auto" and any(header.quantized for header in opened.headers):
        dtype = torch.float32  # what is less than a float in the file has no precision of its own
    check_architecture(kind, name, config)
    ours = name.startswith(shelf.BUILTIN)
    if not ours and not (options.trust_remote_code and getattr(config, "auto_map", None)):  # no code is run to try it
        check_size(opened, skeleton(kind.auto_class, opened, options), dtype, spread=bool(options.device_map))
    with loading(name, options), opened.weights() as (place, where):
        if ours and isinstance(dtype, torch.dtype) and not options.device_map:
            model, report = _filled(kind, opened, dtype)
        else:
            model, report = _of_any(kind, place, config, dtype, options, where)
        said = {} if opened.files else transformers.PretrainedConfig.get_config_dict(place, **where)[0]
    check_head(kind, name, model, report, lambda: _names(opened))
    check_tied(kind, name, model, said)
    check_layers(name, model, report)
    if not kind.left_to_right and "attention_mask" not in inspect.signature(model.forward).parameters:
        what = f"{with_article(config.model_type)} model cannot leave out the padding of a batch"
        raise ModelError(what, where=name, hint="use a BERT-like model")
    if options.device_map:
        if model.device.type == "meta":
            what = "no device has room for its embeddings"
            raise ModelError(what, where=name, hint="take a smaller model, or another --dtype")
        return Loaded(name, opened.encoder, model.eval(), model.device)
    with loading(name, options):  # the device's memory may be too small
        return Loaded(name, opened.encoder, model.to(device).eval(), device)


def _of_any(
    kind: ScorerKind, place: str, config: Any, dtype: Any, options: ModelOptions, where: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """A model with its weights, of whatever family and however these are stored; and what became of their names."""
    found: tuple[Any, dict[str, Any]] = of_library(kind.auto_class).from_pretrained(
        place,
        config=config,
        dtype=dtype,
        use_safetensors=None if options.allow_pickle else True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are in the report, and refused by name
        **({"device_map": options.device_map} if options.device_map else {}),
        **where,
    )
    return found


def _filled(kind: ScorerKind, opened: Opened, dtype: torch.dtype) -> tuple[Any, dict[str, Any]]:
    """The same for a model of the package, whose weights go by the names of its modules, which takes less time."""
    with _undrawn():
        made = of_library(kind.auto_class).from_config(opened.config, dtype=dtype)
    body = f"{made.base_model_prefix}."
    stored = load_file(Path(opened.place, "model.safetensors"))
    if made.base_model is made:  # without a head, its names have not that of the body before them
        stored = {name.removeprefix(body): weight for name, weight in stored.items()}
    missing, unexpected = made.load_state_dict(stored, strict=False)
    filled = {parameter.data_ptr() for name, parameter in made.state_dict().items() if name in stored}
    lost = [name for name in missing if made.state_dict()[name].data_ptr() not in filled]  # others are tied
    return made, {"missing_keys": lost, "unexpected_keys": unexpected, "mismatched_keys": []}


def _names(opened: Opened) -> list[str]:
    """The names of the tensors in its files; none where these do not tell."""
    if opened.files:  # of GGUF, whose tensors go by other names
        return []
    there = Path(opened.place) if Path(opened.place).is_dir() else None
    folder = there or snapshot(opened.place, opened.where.get("revision", "main"))
    try:
        return list(held_in(folder).tensors) if folder else []
    except (OSError, Broken):
        return []


def skeleton(auto_class: str, opened: Opened, options: ModelOptions) -> torch.nn.Module:
    """The model with its modules and without any weight; raises ModelError where the configuration allows none."""
    made: torch.nn.Module
    with loading(opened.name, options), suspect.patience(), torch.device("meta"):
        loader = of_library(auto_class)
        made = loader.from_config(opened.config, trust_remote_code=options.trust_remote_code)
    return made


DRAWING = [name for name in vars(torch.nn.init) if name.endswith("_") and not name.startswith("__")]


@contextlib.contextmanager
def _undrawn() -> Iterator[None]:
    """New layers draw no weights, for all of them are about to be filled."""
    importlib.import_module("transformers.modeling_utils")  # which keeps these functions as it finds them
    drawing = {name: getattr(torch.nn.init, name) for name in DRAWING}
    for name in drawing:
        setattr(torch.nn.init, name, lambda tensor, *_, **__: tensor)
    try:
        yield
    finally:
        for name, function in drawing.items():
            setattr(torch.nn.init, name, function)


def check_size(opened: Opened, made: torch.nn.Module, dtype: torch.dtype | str, spread: bool = False) -> None:
    """Refuse a configuration whose weights cannot be in its folder, or not in this machine; raises ModelError.

    A model that is `spread` over the devices is nowhere as a whole, and they all have room for it.
    """
    weights = sum(parameter.numel() for parameter in made.parameters())
    tables = sum(buffer.numel() * buffer.element_size() for buffer in made.buffers())
    source = "header" if opened.files else "config.json"
    asked = f"its {source} asks for {weights:,} weights"
    if opened.files or Path(opened.place).is_dir():
        there = weights_of(opened.headers) if opened.files else suspect.weights_in(Path(opened.place))
        packed = 8 if getattr(opened.config, "quantization_config", None) else 1  # weights in a byte, at most
        if weights > packed * there + SLACK or tables > there + BUFFERS:
            said = asked if weights > packed * there + SLACK else f"its {source} asks for {tables:,} bytes of tables"
            what = f"{said}, and its files of weights have {there:,} {'of them' if opened.files else 'bytes'}"
            raise ModelError(what, where=opened.name, hint=f"is it the {source} of this checkpoint?")
    each = dtype.itemsize if isinstance(dtype, torch.dtype) else 1  # as they are in the files
    memory = suspect.memory()
    if memory is not None and spread:
        memory += sum(torch.cuda.get_device_properties(i).total_memory for i in range(torch.cuda.device_count()))
    if memory is not None and weights * each + tables > memory:
        what = f"{asked}, {weights * each / 2**30:,.0f} GiB; this machine has {memory / 2**30:,.0f} GiB of memory"
        raise ModelError(what, where=opened.name, hint="take a smaller model, or another --dtype")


def load_encoder(place: str, config: Any, where: Mapping[str, Any]) -> Encoder:
    """The tokenizer of a checkpoint, as functions from text to ids."""
    if cpm.is_cpm(place, config, where):
        return cpm.CpmEncoder(cpm.load(place, config, where))
    if t5_pegasus.is_t5_pegasus(place, config, where):
        return t5_pegasus.load(place, where)
    found = TextEncoder(transformers.AutoTokenizer.from_pretrained(place, **where))
    found.source = (place, where)
    return found


def limit_of(model: Any, encoder: Encoder, options: ModelOptions) -> int:
    """How many tokens a sequence may have: what the model takes, or what the user set; raises OptionError for more."""
    most, usual = trained_of(model, encoder)
    said = f"the model takes at most {most} tokens"
    if options.long == "hierarchical":
        table_of(model)  # there is one
        said = f"--long hierarchical makes {most**2:,} places of the {most:,} of the model"
        most, usual = most**2, min(TIMES * most, most**2)
    elif options.long == "local":
        most, usual = NO_LIMIT, TIMES * usual
    wanted = options.max_length
    if wanted is not None and wanted > most:
        raise OptionError(f"--max-length {wanted}: {said}")
    return wanted or usual


def trained_of(model: Any, encoder: Encoder) -> tuple[int, int]:
    """How many tokens the model takes, and how many of these it was made for, as its tokenizer says; raises
    ModelError."""
    name = str(getattr(encoder.tokenizer, "name_or_path", ""))
    most = _tokens(getattr(model.config, "max_position_embeddings", None), "max_position_embeddings", name)
    # RoBERTa counts its positions from padding_idx + 1.
    for module in model.modules():
        table = getattr(module, "position_embeddings", None)
        if isinstance(table, torch.nn.Embedding) and table.padding_idx is not None:
            most -= table.padding_idx + 1
            break
    if most < 1:
        what = f"its position embeddings leave room for {most} tokens"
        raise ModelError(what, where=name, hint="look at pad_token_id and max_position_embeddings in its config.json")
    return most, min(most, _tokens(encoder.tokenizer.model_max_length, "model_max_length", name))


def _tokens(said: Any, key: str, name: str) -> int:
    """A number of tokens as a checkpoint says it; nothing, 0, -1 and very large numbers mean that there is no limit."""
    if said is None or (said in (0, -1) and not isinstance(said, bool)):
        return NO_LIMIT
    if isinstance(said, bool) or not isinstance(said, int | float) or math.isnan(said) or said < 1:
        what = f"{key} is no number of tokens: {shortened(repr(said), 40)}"
        raise ModelError(what, where=name, hint="mend it in the checkpoint's files")
    return int(min(said, NO_LIMIT))


@contextlib.contextmanager
def loading(name: str, options: ModelOptions) -> Iterator[None]:
    """Libraries are silent within, and whatever they raise is a line that says what to try."""
    with quiet(), hub_offline(options.offline):
        try:
            yield
        except (PromptshotError, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as problem:  # tokenizers raise bare exceptions, and panics that are none
            raise _not_loaded(name, options, problem) from problem


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Libraries without their bars, reports and warnings; their settings are put back afterwards."""
    import huggingface_hub.utils.logging as hub_logging
    from transformers.utils import logging

    level, hub_level, bars = logging.get_verbosity(), hub_logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    hub_logging.set_verbosity(hub_logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        hub_logging.set_verbosity(hub_level)
        if bars:
            logging.enable_progress_bar()


@contextlib.contextmanager
def hub_offline(wanted: bool) -> Iterator[None]:
    """No request of huggingface_hub at all: it makes some of its own even where only local files are asked for."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = wanted or before
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _dtype(name: str, device: torch.device) -> torch.dtype | str:
    """float32 on a CPU; on an accelerator the checkpoint's own precision."""
    if name == "auto":
        return torch.float32 if device.type == "cpu" else "auto"
    if name == MIXED:
        return torch.float32
    if name not in DTYPES:
        raise OptionError(f"no precision {name!r}", hint=f"use auto, {MIXED}, " + ", ".join(DTYPES))
    return DTYPES[name]


def _forget_lost_pad(config: Any) -> None:
    """A padding token that was added to a causal model and never got an embedding: none is needed, see `tensors`."""
    text = config.get_text_config()
    pad, size = getattr(text, "pad_token_id", None), getattr(text, "vocab_size", None)
    causal = type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING
    masked = type(config) in transformers.MODEL_FOR_MASKED_LM_MAPPING  # some of these count positions by it
    if pad is not None and size is not None and pad >= size and causal and not masked:
        text.pad_token_id = None


def _refuse_path(place: str) -> None:
    if place.endswith(SUFFIX):
        raise NotFoundError(f"no model file {place!r}", hint="check the path")
    if place.startswith((".", "/", "~", "\\")) or place.count("/") > 1:
        raise NotFoundError(f"no model folder {place!r}", hint="check the path, or give a hub name: owner/name")


_INSTALL = re.compile(r"`(pip install [^`]+)`")


def _not_loaded(name: str, options: ModelOptions, problem: BaseException) -> ModelError | NotFoundError:
    """What was tried and what to try, from the many ways in which loading fails."""
    text = str(problem)
    there = shelf.place_of(name)
    local = there is not None
    if "trust_remote_code" in text:
        return ModelError("the checkpoint brings its own code", where=name, hint="if you trust it: --trust-remote-code")
    pickled = "safetensors" in text and not options.allow_pickle
    if local and pickled and any(Path(name).glob("pytorch_model*.bin")):
        return ModelError("only pickled weights (.bin)", where=name, hint="if you trust them: --allow-pickle")
    if there is not None and (foreign := suspect.foreign_weights(there)):
        what = f"only weights of {foreign[0]} ({foreign[1].name}), which are not read"
        hint = f"convert them once (docs/models.md): {CONVERSIONS[foreign[0]]}"
        return ModelError(what, where=name, hint=hint)
    if package := lacking(problem):
        return ModelError(f"it needs the package {package}", where=name, hint=install(package))
    if local or not isinstance(problem, OSError):
        lines = [line.strip() for line in text.splitlines() if line.strip()] or [type(problem).__name__]
        first = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
        if isinstance(problem, (AttributeError, LookupError, TypeError)):  # which say little by themselves
            first = f"{type(problem).__name__}: {first}"
        short = isinstance(problem, (torch.cuda.OutOfMemoryError, MemoryError))
        usual = ANEW if shelf.gguf_of(there) else "is it a transformers checkpoint?"
        hint = "take a smaller model, or another --device" if short else usual
        if command := _INSTALL.search(text):  # a library says it
            hint = "" if command[1] in first[:200] else command[1]
        return ModelError(f"cannot be loaded: {first[:200]}", where=name, hint=hint)
    if pickled:
        return ModelError("no safetensors weights", where=name, hint="for pickled ones: --allow-pickle")
    tried = "the local cache (offline)" if options.offline else "the local cache and the model hub"
    hint = "check the name, or give a local folder" + (", or leave out --offline" if options.offline else "")
    return NotFoundError(f"no model {name!r}: tried {tried}", hint=hint)
