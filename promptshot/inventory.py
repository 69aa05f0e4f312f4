"""What can be used here without a network: models that ship with promptshot, in the hub's cache, of Ollama, in folders.

Nothing is loaded: a line each from config.json, the headers of weights, and the card. A model that is broken is a line
too, for these files may come from strangers.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from promptshot import gguf, kinds, shelf, weights
from promptshot.errors import ModelError, NotFoundError, did_you_mean, not_read, shortened, shortlist, with_article
from promptshot.kinds import KINDS
from promptshot.prompts import catalogue
from promptshot.weights import Broken, Held

BUILT_IN, CACHE, OLLAMA, FOLDER, FILE = "built-in", "hub cache", "Ollama", "folder", "file"
ENTRIES = 10_000  # of a folder, looked at
CARD = 1 << 16  # bytes of a README.md in which its front matter ends
# Weights that are read by nobody here, and whose they are.
OTHERS = {"tf_model*.h5": "TensorFlow", "model.ckpt*.index": "TensorFlow", "flax_model*.msgpack": "Flax"}


@dataclass(frozen=True)
class Model:
    """A model on this machine: its name as -m takes it, where it was found, and what its files say of it.

    `broken` is why it cannot be used, or empty. Its `scorers` are those of the heads that its weights hold; where these
    cannot be looked into (`held.pickled`), what its config.json says.
    """

    name: str
    source: str
    place: Path
    revision: str = ""  # to be asked for, where it is not the usual one
    size: int = 0  # bytes on the disk
    config: Mapping[str, Any] = field(default_factory=dict)
    held: Held = field(default_factory=lambda: Held({}))
    headers: tuple[gguf.Header, ...] = ()  # of GGUF files, in the place of what is held
    strange: Mapping[str, str] = field(default_factory=dict)  # scorer -> why it would refuse its file
    broken: str = ""

    @property
    def family(self) -> str:
        """The type of model, as transformers calls it."""
        return self.headers[0].family if self.headers else _text(self.config.get("model_type"))

    @property
    def architectures(self) -> list[str]:
        """The classes that config.json names."""
        if self.headers:
            return []
        said = self.config.get("architectures")
        return [name for name in said if isinstance(name, str)] if isinstance(said, list) else []

    @property
    def made(self) -> str:
        """The scorer that config.json speaks of; empty where it does not tell."""
        try:
            return kinds.made_for(self.config) or ""
        except (AttributeError, TypeError):
            return ""

    @property
    def scorers(self) -> list[str]:
        """The scorers that can use it."""
        if self.broken:
            return []
        if self.held.pickled:
            return [self.made] if self.made else []
        names = gguf.names_of(self.headers) if self.headers else self.held.tensors
        return [] if self.lacks else [name for name in kinds.usable(names, self.config) if name not in self.strange]

    @property
    def lacks(self) -> str:
        """Why no scorer can be for a GGUF file; empty where there may be one."""
        return gguf.lacks(self.headers) if self.headers else ""

    @property
    def stand_ins(self) -> list[str]:
        """The heads that it has for --head."""
        return kinds.stand_ins_of(self.held.tensors, self.config)

    @property
    def heads(self) -> list[str]:
        """What its heads are called."""
        named = [KINDS[scorer].head for scorer in self.scorers if not KINDS[scorer].headless]
        return [*named, *(kinds.HEADS[head].stand_ins[head].head for head in self.stand_ins)]

    @property
    def weights(self) -> int:
        """How many weights it has; 0 where nothing tells."""
        return gguf.weights_of(self.headers) if self.headers else self.held.weights

    @property
    def dtype(self) -> str:
        """The precision of most of them, as safetensors call it; empty where nothing tells."""
        if self.headers:
            return "GGUF, quantized" if any(one.quantized for one in self.headers) else "GGUF"
        return self.held.dtype

    @property
    def limit(self) -> int | None:
        """How many tokens it takes, as far as it says."""
        keys = ("max_position_embeddings", "n_positions", "max_sequence_length")
        said = [value for key in keys if (value := self._text_config.get(key)) is not None][:1]
        said += [one.metadata.get(f"{one.family}.context_length") for one in self.headers[:1]]
        longest = [*said, self._tokenizer.get("model_max_length")]
        numbers = [int(one) for one in longest if isinstance(one, int | float) and 1 <= one < 1e7]
        return min(numbers, default=None)

    @property
    def vocabulary(self) -> int | None:
        """How many tokens it knows."""
        said = self._text_config.get("vocab_size")
        for one in self.headers[:1]:
            said = one.metadata.get("tokenizer.ggml.tokens")  # of an array, the length
        return said if isinstance(said, int) else None

    @property
    def languages(self) -> list[str]:
        """Those that its card names."""
        try:
            return _languages(self.place / "README.md")
        except (OSError, Broken):
            return []

    def doubts(self) -> Iterator[str]:
        """What speaks against using it as its config.json says, and what else a user must know."""
        said = ", ".join(self.architectures)
        if self.broken:
            return
        if self.held.pickled:
            yield "pickled weights: which heads they hold is not known before they are read (--allow-pickle)"
        elif self.lacks:
            yield f"no scorer is for it: {self.lacks}"
        elif self.made and self.made not in self.scorers:
            lost = KINDS[self.made].head
            yield f"its config.json says {said}, and its weights have no {lost}: it would be random, and is refused"
        elif not self.heads:
            use = f"it makes vectors of texts ({shortlist(self.scorers)})" if self.scorers else "no scorer is for it"
            yield f"no head that is known by the names of its tensors: {use}"
        for scorer, why in self.strange.items():
            yield f"not for scorer {scorer}: {why}"
        for head in self.stand_ins:
            kind = kinds.HEADS[head]
            yield f"--head {head} makes scorer {kind.name} ask its {kind.stand_ins[head].head}: it tells " + (
                kind.stand_ins[head].means
            )
        if self.config.get("auto_map"):
            yield "it brings code of its own, which is run with --trust-remote-code only"

    def record(self, templates: Mapping[str, int]) -> dict[str, Any]:
        """Itself as plain data, with the number of `templates` that fit each scorer."""
        return {
            "name": self.name,
            "source": self.source,
            "path": str(self.place),
            "revision": self.revision,
            "size": self.size,
            "type": self.family,
            "architectures": self.architectures,
            "heads": self.heads,
            "scorers": {scorer: templates.get(scorer, 0) for scorer in self.scorers},
            "stand_ins": self.stand_ins,
            "verified": not self.broken and not self.held.pickled,
            "weights": self.weights,
            "dtype": self.dtype,
            "max_length": self.limit,
            "vocabulary": self.vocabulary,
            "languages": self.languages,
            "notes": list(self.doubts()),
            "broken": self.broken,
        }

    @property
    def _text_config(self) -> Mapping[str, Any]:
        """What it says of texts, where it is a model of more than these."""
        inner = self.config.get("text_config")
        return {**self.config, **inner} if isinstance(inner, dict) else self.config

    @property
    def _tokenizer(self) -> Mapping[str, Any]:
        try:
            return weights.object_of(self.place / "tokenizer_config.json")
        except (OSError, Broken):
            return {}


def models(folders: Iterable[str] = ()) -> list[Model]:
    """All that are here: the built-in ones, those in the hub's cache and of Ollama, and those in `folders`, each one
    itself or a folder of models; raises NotFoundError for a folder that is not there."""
    found = [Model(name, BUILT_IN, shelf.builtin_model(name)) for name in shelf.builtin_models()]
    for one in weights.cached():
        files = [] if weights.is_file(one.folder / "config.json") else gguf.in_folder(one.folder)
        found += [Model(str(path), CACHE, path) for path in files]
        found += [] if files else [Model(one.name, CACHE, one.folder, one.revision)]
    found += map(_pulled, shelf.pulled())
    for folder in folders:
        found += [Model(str(place), _source(place), place) for place in _in_folder(Path(folder))]
    return [*map(_looked_at, {one.name: one for one in found}.values())]


def model(name: str) -> Model:
    """The one of that name: built-in, of Ollama, a folder or a file, or in the cache; raises NotFoundError where there
    is none, ModelError for one of Ollama's that is not whole."""
    if place := shelf.place_of(name):
        sources = {shelf.BUILTIN: BUILT_IN, shelf.OLLAMA: OLLAMA}
        source = next((source for begin, source in sources.items() if name.startswith(begin)), _source(place))
        return _looked_at(Model(name, source, place))
    there = {one.name: one for one in weights.cached()}
    if name not in there:
        known = [*shelf.builtin_models(), *there, *(f"{shelf.OLLAMA}{one.name}" for one in shelf.pulled())]
        raise NotFoundError(f"no model {name!r} on this machine", hint=did_you_mean(name, known))
    one = there[name]
    return _looked_at(Model(name, CACHE, one.folder, one.revision))


def fitting(folder: Path | None = None) -> dict[str, int]:
    """How many templates of the shelf, and of a library, there are for each scorer."""
    return dict(Counter(entry.scorer for entry in catalogue.templates(folder)))


def _source(place: Path) -> str:
    return FILE if weights.is_file(place) else FOLDER


def _pulled(one: shelf.Pulled) -> Model:
    broken = "it has an adapter of its own, which would be left out" if one.adapted else ""
    return Model(f"{shelf.OLLAMA}{one.name}", OLLAMA, one.path, broken=broken)


def _looked_at(found: Model) -> Model:
    """The model with what its files say."""
    try:
        if weights.is_file(found.place):
            found = replace(found, size=found.place.stat().st_size)
        if files := shelf.gguf_of(found.place):
            found = replace(found, size=sum(path.stat().st_size for path in files))
            headers = gguf.read_all(files)
            return replace(found, headers=headers, config=headers[0].config)
        if weights.is_file(found.place):
            raise Broken("a file, and no GGUF file")
        found = replace(found, size=_size(found.place))
        if not weights.is_file(found.place / "config.json"):
            raise Broken("no config.json")
        found = replace(found, config=weights.object_of(found.place / "config.json"))
        return replace(found, held=weights.held(found.place), strange=_strange(found.place))
    except (Broken, gguf.NoGguf) as problem:
        return replace(found, broken=_other_weights(found.place) or str(problem))
    except ModelError as problem:
        return replace(found, broken=problem.what)
    except OSError as problem:
        return replace(found, broken=not_read(problem))


def _strange(place: Path) -> dict[str, str]:
    """The scorers with a file of their own in a folder that they would refuse -> why."""
    found: dict[str, str] = {}
    for kind in KINDS.values():
        if not (kind.made_file and weights.is_file(path := place / kind.made_file)):
            continue
        try:
            said = [one.get("type") if isinstance(one, dict) else None for one in weights.list_of(path)]
        except Broken as problem:
            found[kind.name] = str(problem)
            continue
        parts = [str(one).rpartition(".")[2] for one in said]
        if other := [part for part in parts if part not in kind.made_parts]:
            found[kind.name] = f"{path.name} has {with_article(shortened(other[0], 40))}, which is not known here"
    return found


def _other_weights(place: Path) -> str:
    """That a folder holds weights for another library only; empty where it does not."""
    if any(weights.is_file(path) for path in place.glob(f"*{weights.SAFETENSORS}")):
        return ""
    names = [whose for pattern, whose in OTHERS.items() if any(map(weights.is_file, place.glob(pattern)))]
    return f"weights for {shortlist(dict.fromkeys(names))} only" if names else ""


def _in_folder(folder: Path) -> list[Path]:
    """The folder itself, where it is one of a model, or those in it that are, by name, and GGUF files."""
    if gguf.is_gguf(folder):
        return [folder]
    if not _is_folder(folder):
        raise NotFoundError(f"no folder {str(folder)!r}", hint="check the path")
    if _is_model(folder):
        return [folder]
    try:
        files = gguf.in_folder(folder)
        for place in sorted(islice(folder.iterdir(), ENTRIES)):
            if _is_folder(place):
                files += [place] if _is_model(place) else gguf.in_folder(place)
        return files
    except OSError as problem:
        raise NotFoundError(f"{str(folder)!r} {not_read(problem)}", hint="check the path") from None


def _is_model(folder: Path) -> bool:
    """Whether a folder holds a model, or what is left of one."""
    try:
        named = weights.is_file(folder / "config.json") or weights.is_file(folder / "adapter_config.json")
        return named or next(folder.glob(f"*{weights.SAFETENSORS}"), None) is not None
    except OSError:
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _size(folder: Path) -> int:
    """The bytes of the files in a folder."""
    total = 0
    with os.scandir(folder) as entries:
        for entry in islice(entries, ENTRIES):
            try:
                found = entry.stat()
            except OSError:  # a link to nothing
                continue
            total += found.st_size if stat.S_ISREG(found.st_mode) else 0
    return total


_LANGUAGE = re.compile(r"^languages?:[ \t]*(.*(?:\n[ \t]*-[^\n]*)*)", re.MULTILINE)


def _languages(card: Path) -> list[str]:
    """The `language` of a card's front matter: a word, a list in brackets, or lines with a dash."""
    if not weights.is_file(card):
        return []
    weights.refuse_odd(card)
    with card.open("rb") as stream:
        front = stream.read(CARD).decode("utf-8", "replace")
    said = _LANGUAGE.search(front.split("\n---", 1)[0]) if front.startswith("---") else None
    return re.findall(r"[A-Za-z]{2,8}(?:-\w+)*", said[1])[:100] if said else []


def _text(said: Any) -> str:
    return said if isinstance(said, str) else ""
