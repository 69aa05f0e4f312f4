"""A model folder is looked at before a library opens it, for it may come from a stranger.

What libraries do with a pipe in the place of a file, with a configuration of 10^12 layers or with a pattern that
takes a year is to wait, or to die. Here they are a line each.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from promptshot.errors import ModelError, shortened, shortlist

ENTRIES = 10_000  # in a folder
SYSTEM = ("/proc/", "/sys/")  # whose files may have no end, and are files by name only
DEEPEST = 50  # levels of JSON
MIB = 1 << 20
# The largest file of a name that is read as a whole (bytes), several times what real ones come to.
LARGEST = {"config.json": 4 * MIB, "tokenizer_config.json": 16 * MIB, "vocab.txt": 16 * MIB}
LARGEST_OTHER = 64 * MIB
_READ = re.compile(
    r"((generation_|adapter_|preprocessor_|processor_|tokenizer_)?config|special_tokens_map|added_tokens|chat_template"
    r"|tokenizer|vocab|merges)\.(json|txt|bpe|jinja)|.*\.(model|tiktoken|index\.json)"
)
WEIGHTS = (".safetensors", ".bin")
OBJECTS = ("config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.json")
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
TEMPLATES = "additional_chat_templates"  # the one folder in the folder that is read

MOST = 100_000  # layers, heads, experts, labels
_COUNTED = re.compile("layer|block|head|expert|label|depth|group|stage")
PATIENCE = 12  # seconds of work until a configuration is a model without weights; for the largest, one or two


def check_folder(folder: Path) -> None:
    """Refuse a folder with what is no file among its files, or whose files cannot be what they are called.

    Raises ModelError, naming the file.
    """
    places = [folder, folder / TEMPLATES] if (folder / TEMPLATES).is_dir() else [folder]
    for place in places:
        for number, path in enumerate(place.iterdir()):
            if number >= ENTRIES:
                raise ModelError(f"more than {ENTRIES:,} files", where=str(place), hint="is it a model folder?")
            _check_file(path)
    said = {name: _object(path) for name in (*OBJECTS, *INDEXES) if (path := folder / name).is_file()}
    _check_counts(folder / "config.json", said.get("config.json", {}))
    for name in INDEXES:
        if name in said:
            _check_shards(folder / name, said[name])
    if "tokenizer.json" in said and not is_usual(said["tokenizer.json"]):
        _try(folder / "tokenizer.json", said["tokenizer.json"])


def weights_in(folder: Path) -> int:
    """The bytes of all files of weights in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.suffix in WEIGHTS and path.is_file())


# What weights of other libraries are called: as transformers saved them, and as BERT and its kin were first released.
FOREIGN = {"tf_model*.h5": "TensorFlow", "*.ckpt*": "TensorFlow", "flax_model*.msgpack": "Flax"}


def foreign_weights(folder: Path) -> tuple[str, Path] | None:
    """Of which library a folder has weights, where it has none that are read, and one of their files."""
    if not folder.is_dir() or weights_in(folder):
        return None
    found = ((library, path) for sign, library in FOREIGN.items() for path in sorted(folder.glob(sign)))
    return next(found, None)


# ------------------------------------------------------------------ files


def _check_file(path: Path) -> None:
    try:
        found = path.stat()
    except OSError:  # a link to nothing is no file to anyone
        return
    if os.path.realpath(path).startswith(SYSTEM):
        raise ModelError("a file of the system", where=str(path), hint="a model folder holds files of its own only")
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        what = "a pipe" if stat.S_ISFIFO(found.st_mode) else "a socket" if stat.S_ISSOCK(found.st_mode) else "a device"
        raise ModelError(f"{what}, not a file", where=str(path), hint="a model folder holds files only")
    most = LARGEST.get(path.name, LARGEST_OTHER)
    read = path.suffix not in WEIGHTS and _READ.fullmatch(path.name)
    if read and stat.S_ISREG(found.st_mode) and found.st_size > most:
        what = f"a file of {found.st_size / MIB:,.0f} MiB; one of that name has {most // MIB} at most"
        raise ModelError(what, where=str(path), hint="take it out of the folder")


def json_of(path: Path) -> Any:
    """What a small file of JSON says; raises ModelError where it is no file, or holds none."""
    _check_file(path)
    if not path.is_file() or path.stat().st_size > LARGEST["config.json"]:
        raise ModelError("no small file of JSON", where=str(path), hint="fetch the checkpoint anew")
    return _parsed(path)


def _parsed(path: Path) -> Any:
    hint = "fetch the checkpoint anew"
    try:
        return json.loads(path.read_bytes().decode("utf-8"))
    except RecursionError:
        raise ModelError("cannot be loaded: nested too deeply", where=str(path), hint=hint) from None
    except (ValueError, MemoryError) as problem:  # no UTF-8, no JSON, a number of very many digits
        raise ModelError(
            f"cannot be loaded: no JSON, {shortened(str(problem), 120)}", where=str(path), hint=hint
        ) from None


def _object(path: Path) -> Mapping[str, Any]:
    """The JSON object in a file; raises ModelError where it holds none, or one that is nested too deeply."""
    said, hint = _parsed(path), "fetch the checkpoint anew"
    if not isinstance(said, dict):
        raise ModelError("cannot be loaded: no JSON object", where=str(path), hint=hint)
    if path.name != "tokenizer.json" and _depth(said) > DEEPEST:
        raise ModelError(f"cannot be loaded: nested deeper than {DEEPEST} levels", where=str(path), hint=hint)
    return said


def _depth(said: Any) -> int:
    """How many levels an object has; counting stops beyond the deepest that is allowed."""
    level, depth = [said], 0
    while level and depth <= DEEPEST:
        depth += 1
        values = [list(one.values()) if isinstance(one, dict) else one for one in level]
        level = [inner for value in values for inner in value if isinstance(inner, dict | list)]
    return depth


def _check_shards(path: Path, index: Mapping[str, Any]) -> None:
    """Each shard of an index is a file beside it."""
    shards = index.get("weight_map")
    hint = "fetch the checkpoint anew"
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise ModelError("no 'weight_map' from weights to files", where=str(path), hint=hint)
    names = sorted(set(shards.values()))
    if odd := [name for name in names if "/" in name or "\\" in name or name in ("", ".", "..") or "\0" in name]:
        raise ModelError(f"names what is not in its folder: {shortlist(odd, 3)}", where=str(path), hint=hint)
    if (path.parent / path.name.removesuffix(".index.json")).is_file():
        return  # which is read in its place
    if lost := [name for name in names if not (path.parent / name).is_file()]:
        raise ModelError(f"names files that are not there: {shortlist(lost, 3)}", where=str(path), hint=hint)


# ------------------------------------------------------------------ sizes


def _check_counts(path: Path, config: Mapping[str, Any]) -> None:
    """Refuse counts that keep a library busy before it asks for any memory; nested configurations too."""
    for key, value in config.items():
        if isinstance(value, dict) and key != "id2label" and key != "label2id":
            _check_counts(path, value)
        elif isinstance(value, int | float) and value > MOST and _COUNTED.search(key):
            what = f"{shortened(key)}: {shortened(str(value), 24)}; more than {MOST:,} there cannot be"
            raise ModelError(what, where=str(path), hint="is it the config.json of this checkpoint?")


class OutOfPatience(BaseException):
    """Something took longer than it may; no `except Exception` of a library keeps it."""


@contextlib.contextmanager
def patience() -> Iterator[None]:
    """Within, Python code that works for too long ends with OutOfPatience; in the main thread of a POSIX system."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def over(number: int, frame: FrameType | None) -> None:
        raise OutOfPatience(f"it takes more than {PATIENCE:g} seconds")

    before = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


GROWTH = 1 << 30  # bytes that a template of a stranger may take


@contextlib.contextmanager
def room() -> Iterator[None]:
    """Within, this process grows by so much at most, and whatever asks for more gets a MemoryError; on Linux."""
    try:
        import resource

        size = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
        before = resource.getrlimit(resource.RLIMIT_AS)
        most = size + GROWTH if before[0] == resource.RLIM_INFINITY else min(size + GROWTH, before[0])
        resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    except (ImportError, OSError, ValueError):
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def memory() -> int | None:
    """The bytes of memory of this machine, swap included; None where it does not tell."""
    try:
        found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        with open("/proc/meminfo", encoding="ascii") as lines:
            swap = [int(line.split()[1]) << 10 for line in lines if line.startswith("SwapTotal:")]
    except (AttributeError, OSError, ValueError):
        return None
    return found + sum(swap)


# ------------------------------------------------------------------ tokenizers

# Parts that take time and room in proportion to a text. Those that have a pattern are usual where it is known.
_PLAIN = frozenset(
    [
        *("BertNormalizer", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Lowercase", "Strip", "StripAccents", "ByteLevel"),
        *("BertPreTokenizer", "Whitespace", "WhitespaceSplit", "Metaspace", "Punctuation", "Digits", "UnicodeScripts"),
        *("CharDelimiterSplit", "BertProcessing", "RobertaProcessing", "WordPiece", "BPEDecoder", "CTC", "Fuse"),
        "ByteFallback",
    ]
)
_PARTS = ("normalizers", "pretokenizers", "processors", "decoders")  # of a Sequence
_MARKS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_KNOWN_PATTERNS = frozenset(
    [
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",  # GPT-2
        rf"{_MARKS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_REST}",  # GPT-4, Llama 3
        rf"{_MARKS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_REST}",  # Qwen 2
        *(r"\p{Han}", r"\p{N}", r"\p{N}{1}", r"\p{N}{1,3}", r"\d", r"\d{1,3}", r"[0-9]", r"[0-9][0-9][0-9]"),
        *(r"\s", r"\s+", r"\n", r"[\r\n]", r"[\n\r\t]", " ", "▁", " {2,}", "``", "''", "[一-龥぀-ゟ゠-ヿ]+"),
    ]
)
WORD, PIECE, AROUND = 1_000, 1_000, 32  # signs of a word that is cut, or of a token; tokens around a text


def is_usual(said: Mapping[str, Any]) -> bool:
    """Whether a tokenizer.json holds nothing that could take long for a short text."""
    model, padding, truncation = (said.get(key) or {} for key in ("model", "padding", "truncation"))
    parts = [said.get(key) for key in ("normalizer", "pre_tokenizer", "post_processor", "decoder")]
    if not all(isinstance(one, dict) for one in (model, padding, truncation)):
        return False
    word, kind = model.get("max_input_chars_per_word", 100), model.get("type")
    if kind not in ("BPE", "WordPiece", "WordLevel", "Unigram", None) or not _below(word, WORD):
        return False
    if any(isinstance(value, str) and len(value) > 64 for value in model.values()):  # prefixes and the like
        return False
    if padding and not (padding.get("strategy") == "BatchLongest" and padding.get("pad_to_multiple_of") is None):
        return False
    if truncation and not _below(truncation.get("max_length"), MOST):
        return False
    return all(map(_usual_part, parts)) and _short_pieces(model.get("vocab"), said.get("added_tokens"))


def _below(value: Any, most: int) -> bool:
    return isinstance(value, int) and 0 < value <= most


def _usual_part(part: Any, level: int = 0) -> bool:
    """Whether a normalizer, pre-tokenizer, processor or decoder is one that takes no longer than a text is long."""
    if part is None:
        return True
    if not isinstance(part, dict) or level > 4:
        return False
    kind = part.get("type")
    if kind == "Sequence":
        inner: list[Any] = next((part[key] for key in _PARTS if isinstance(part.get(key), list)), [])
        return len(inner) <= 50 and all(_usual_part(one, level + 1) for one in inner)
    if kind in ("Split", "Replace"):
        pattern = part.get("pattern")
        sign = next(iter(pattern.values()), None) if isinstance(pattern, dict) else None
        return isinstance(sign, str) and sign in _KNOWN_PATTERNS and len(str(part.get("content", ""))) <= 3
    if kind == "Precompiled":
        return _usual_charsmap(part.get("precompiled_charsmap"))
    if kind == "Prepend":
        return len(str(part.get("prepend"))) <= 1
    if kind == "TemplateProcessing":
        return all(isinstance(part.get(key), list) and len(part[key]) <= AROUND for key in ("single", "pair"))
    return kind in _PLAIN and all(len(value) <= 64 for value in part.values() if isinstance(value, str | list))


def _usual_charsmap(said: Any) -> bool:
    """Whether the rules of a sentencepiece normalizer are whole, and none writes much in the place of a sign.

    size of the trie, the trie, and what its leaves stand for: texts with a NUL behind each
    """
    try:
        rules = base64.b64decode(said, validate=True)
    except (TypeError, ValueError):
        return False
    size = int.from_bytes(rules[:4], "little")
    return 0 < size < len(rules) - 4 and max(map(len, rules[4 + size :].split(b"\0"))) <= 100


def _short_pieces(vocab: Any, added: Any) -> bool:
    """Whether no token is so long that looking for it in a text takes long."""
    if isinstance(vocab, list):
        vocab = [piece[0] if isinstance(piece, list) and piece else None for piece in vocab]
    if not isinstance(vocab, dict | list) or not isinstance(added or [], list):
        return False
    names = [token.get("content") if isinstance(token, dict) else None for token in added or []]
    return all(isinstance(piece, str) and len(piece) <= PIECE for part in (vocab, names) for piece in part)


# Run in a Python of its own, which is stopped where it takes too long: a pattern cannot be stopped within ours.
TRIAL = """
import json, sys
path, sys.path[:], probes, room = json.loads(sys.stdin.read())
try:
    import resource
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    room = room if most == resource.RLIM_INFINITY else min(room, most)
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except ImportError:
    pass
from tokenizers import Tokenizer
made = None
for probe in probes:
    try:
        made = made or Tokenizer.from_file(path)
        ids = made.encode(probe).ids
        if len(ids) > 200 * len(probe) + 10_000 or len(made.decode(ids[:300])) > 100_000:
            sys.exit(3)
    except Exception as problem:  # who loads it says what is wrong; a text that it cannot take is the error of its row
        if isinstance(problem, MemoryError):
            sys.exit(3)
        if made is None:
            sys.exit(0)
    except BaseException as problem:
        sys.exit(3 if isinstance(problem, SystemExit) else 4)  # a panic of the library
"""
TRIED = 10.0  # seconds
ROOM = 3 << 30  # bytes of address space, and some more for each of the file
PROBE = 2_000  # signs
_SIGNS = (*"a1A.中é\n\u3000\t_-/' \u0301🙂", "ab", "a ")


def _try(path: Path, said: Mapping[str, Any]) -> None:
    """Refuse a tokenizer that takes long, or much room, for a short text; raises ModelError."""
    signs = [*_SIGNS, *_literals(said)]
    probes = ["a good day, 今天天气很好!", *((sign * PROBE)[:PROBE] + "!" for sign in dict.fromkeys(signs) if sign)]
    room = ROOM + 20 * path.stat().st_size
    asked = json.dumps([str(path.resolve()), sys.path, probes, room])
    environment = {**os.environ, "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", TRIAL],
            input=asked.encode("utf-8", "surrogatepass"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=TRIED,
            check=False,
            env=environment,
        )
        code = done.returncode
    except subprocess.TimeoutExpired:
        code = 3
    except OSError:  # no Python to run beside this one
        return
    hint = "take the tokenizer of another checkpoint"
    if code == 4:
        raise ModelError("the tokenizers library panics at it", where=str(path), hint=hint)
    if code == 3 or code < 0:
        what = f"it takes more than {TRIED:g} seconds, or gigabytes, for a text of {PROBE:,} signs"
        raise ModelError(what, where=str(path), hint=hint)


def _literals(said: Mapping[str, Any]) -> list[str]:
    """The letters and signs that patterns speak of: repeats of these are what makes them slow."""
    found: list[str] = []

    def look(part: Any, level: int = 0) -> None:
        if level > 20 or len(found) > 500:
            return
        if isinstance(part, dict):
            pattern = part.get("pattern")
            for text in pattern.values() if isinstance(pattern, dict) else ():
                if isinstance(text, str):
                    found.extend([text[:20], *(sign for sign in text[:2000] if sign.isalnum())])
            for value in part.values():
                look(value, level + 1)
        elif isinstance(part, list):
            for value in part[:200]:
                look(value, level + 1)

    for key in ("normalizer", "pre_tokenizer", "decoder"):
        look(said.get(key))
    return list(dict.fromkeys(found))[:24]
