"""The wall: prompts go down, scores come up; nothing here imports torch.

Above it are strings and labels, below it tensors. A scorer knows nothing of labels, files or accuracy.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

from promptshot.errors import (
    NotFoundError,
    OptionError,
    did_you_mean,
    install,
    lacking,
    shortened,
    surfaces,
    told,
)
from promptshot.prompts import Kind, Piece, Prompt

# Loaded when first needed. A name with a colon ("package.module:Class") is a third-party scorer.
SCORERS = {
    "mlm": "promptshot.scorers.mlm:MlmScorer",
    "nsp": "promptshot.scorers.nsp:NspScorer",
    "causal": "promptshot.scorers.causal:CausalScorer",
    "fake": "promptshot.scorers.fake:FakeScorer",
}
_TOKENIZER = "promptshot.scorers.tokenizing:CheckpointTokenizer"
_CLASS = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")  # package.module:Class
_SPELLED = "write it as package.module:Class"
BUILTIN_MODEL = {"mlm": "builtin:bert", "nsp": "builtin:bert", "causal": "builtin:gpt2"}


@dataclass(frozen=True)
class Scored:
    """One natural-log score and one token count per choice; higher is better, comparable in a prompt only.

    `tokens` are those of the words themselves. A score may also hold the log p of what is read before the word,
    such as a line break: that part is its `lead`, one for each choice, or () where there is none.
    `cut` is how many tokens of the row were left out to make it fit, `dropped` how many demonstrations; `unknown`
    whether the tokenizer knows nothing of what is left of the row. `error` fails this prompt only; then there are
    no scores.
    """

    scores: tuple[float, ...] = ()
    tokens: tuple[int, ...] = ()
    cut: int = 0
    dropped: int = 0
    error: str | None = None
    lead: tuple[float, ...] = ()
    unknown: bool = False


class Scorer(Protocol):
    """What every scorer does: one Scored for each prompt, in the same order."""

    def score(self, prompts: Sequence[Prompt]) -> list[Scored]: ...


@runtime_checkable
class Checkpoint(Protocol):
    """What scorers with a tokenizer and a model also offer."""

    progress: Callable[[int], None] | None  # called with the number of prompts just finished, about

    @property
    def details(self) -> Mapping[str, Any]:
        """Device, dtype, maximum length, batch budget and the like, for the run record."""

    def unknown(self, words: Sequence[str]) -> list[str]:
        """The words that the tokenizer cannot spell."""

    def alike(self, words: Sequence[str]) -> list[tuple[str, str]]:
        """Pairs of words that the tokenizer spells the same."""


@dataclass(frozen=True)
class Token:
    """One token of a sequence as people see it; `kind` is what it belongs to, None for a special token."""

    text: str
    id: int
    kind: Kind | None = None
    segment: int = 0


@dataclass(frozen=True)
class Fit:
    """A prompt as a model reads it with its first choice, and the own tokens of every choice where the blank is.

    `pieces` are what fitting left of the prompt's own; `length` is that of the longest sequence.
    """

    tokens: tuple[Token, ...] = ()
    words: tuple[tuple[Token, ...], ...] = ()
    pieces: tuple[Piece, ...] = ()
    length: int = 0
    cut: int = 0
    dropped: int = 0
    error: str | None = None


class Tokenizing(Protocol):
    """A checkpoint's tokenizer as its scorers use it, without weights."""

    @property
    def kinds(self) -> Sequence[str]:
        """The scorers that the model is made for."""

    @property
    def limit(self) -> int:
        """How many tokens the model takes."""

    def fit(self, scorer: str, prompts: Sequence[Prompt]) -> list[Fit]:
        """What the scorer of that name would make of each prompt."""

    def unknown(self, words: Sequence[str]) -> list[str]:
        """The words that the tokenizer cannot spell."""

    def alike(self, words: Sequence[str]) -> list[tuple[str, str]]:
        """Pairs of words that the tokenizer spells the same."""

    def spelled(self, scorer: str, prompt: Prompt) -> list[tuple[str, ...]]:
        """The own tokens of each choice where the blank is."""

    def misfit(self, scorer: str, prompt: Prompt) -> str | None:
        """Why the prompt does not fit into the model, if so."""


@runtime_checkable
class Filling(Protocol):
    """What scorers with a language-model head also offer."""

    def top(self, prompts: Sequence[Prompt], n: int) -> list[list[tuple[str, float]]]:
        """The n likeliest tokens at the blank of each prompt, with natural-log probabilities."""


@runtime_checkable
class Doubted(Protocol):
    """What a scorer offers whose shortcuts can be doubted, see doctor."""

    @property
    def layers(self) -> int:
        """How many layers a token goes through, with the head."""

    def quick(self) -> Scorer:
        """The same checkpoint with every shortcut, where this one is plain; it takes the weights, and this one ends."""


@dataclass(frozen=True)
class ModelOptions:
    """How to load and run a checkpoint: any hub name or local folder, or `builtin:NAME`."""

    model: str = ""
    revision: str | None = None
    device: str = "auto"  # auto | cpu | cuda[:N] | mps
    dtype: str = "auto"  # auto | float32 | bfloat16 | float16
    batch_size: int | None = None  # sequences at once; default: as many as the budget allows
    batch_budget: int | None = None  # tokens at once; default: by a fixed rule of device and width
    max_length: int | None = None  # tokens; default: what the model takes
    offline: bool = False
    trust_remote_code: bool = False
    plain: bool = False  # one sequence per choice, without the shared parts that causal models can be run with
    allow_pickle: bool = False  # read pytorch_model.bin (weights only) where there is no safetensors

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def load(name: str, options: ModelOptions) -> Scorer:
    """The scorer of that name, ready to score; loading a checkpoint can raise ModelError."""
    target = SCORERS.get(name, name)
    if ":" not in target:
        raise NotFoundError(f"no scorer {shortened(name)!r}", hint=did_you_mean(name, SCORERS))
    what = f"the scorer {shortened(name)!r}"
    if not _CLASS.fullmatch(target):
        raise OptionError(f"{what} cannot be loaded (it names no module and class)", hint=_SPELLED)
    kind = _class(target, what)
    if not (isinstance(kind, type) and callable(getattr(kind, "score", None))):
        raise OptionError(f"{shortened(name)!r} is no scorer", hint="name a class with a method score")
    try:
        scorer: Scorer = kind(options)
    except BaseException as problem:
        if name in SCORERS or surfaces(problem):
            raise
        raise OptionError(f"{what} cannot be loaded ({told(problem)})") from problem
    return scorer


def load_tokenizer(options: ModelOptions) -> Tokenizing:
    """The tokenizer of a checkpoint; raises ModelError, NotFoundError, or OptionError where a package is missing."""
    found: Tokenizing = _class(_TOKENIZER, "a tokenizer")(options)
    return found


def _class(target: str, what: str) -> Any:
    """The class that `package.module:Class` names; raises OptionError, which says what to install where that helps."""
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except BaseException as problem:  # whatever a module of somebody else does when it is imported
        if surfaces(problem):
            raise
        package, ours = lacking(problem), target in (*SCORERS.values(), _TOKENIZER)
        if ours and package:
            raise OptionError(f"{what} needs the package {package}", hint=install(package)) from problem
        hint = f"install the package {package}" if package and package != module.partition(".")[0] else _SPELLED
        hint = "to see why: python -c 'import torch, transformers'" if ours else hint
        raise OptionError(f"{what} cannot be loaded ({told(problem)})", hint=hint) from problem
