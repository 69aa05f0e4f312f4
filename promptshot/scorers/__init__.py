"""The door in the wall: scorers and tokenizers by name; what is behind it is loaded when it is first needed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from traceback import clear_frames
from typing import Any

from promptshot.errors import (
    NotFoundError,
    OptionError,
    PromptshotError,
    did_you_mean,
    install,
    lacking,
    shortened,
    surfaces,
    told,
)
from promptshot.kinds import KINDS, builtin_for, loaded
from promptshot.scoring import Doubted, ModelOptions, Scorer, Tokenizing

# Loaded when first needed. A name with a colon ("package.module:Class") is a third-party scorer.
SCORERS = {name: kind.scorer for name, kind in KINDS.items()} | {"fake": "promptshot.scorers.fake:FakeScorer"}
_TOKENIZER = "promptshot.scorers.checkpoints.tokenizing:CheckpointTokenizer"
_CLASS = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")  # package.module:Class
_SPELLED = "write it as package.module:Class"


_OPEN = "promptshot.scorers.checkpoints.opening:open_checkpoint"
Open = Callable[[str, ModelOptions], Any]  # a checkpoint without its weights, see loading


def load(name: str, options: ModelOptions, opening: Open | None = None) -> Scorer:
    """The scorer of that name, ready to score; loading a checkpoint can raise ModelError.

    `opening` gives the checkpoint without its weights, where it is at hand.
    """
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
        scorer: Scorer = _built(kind, options, opening)
    except BaseException as problem:
        if name in SCORERS or surfaces(problem):
            raise
        raise OptionError(f"{what} cannot be loaded ({told(problem)})") from problem
    return scorer


def _built(kind: Any, options: ModelOptions, opening: Open | None) -> Any:
    """A scorer of that class, which may take a checkpoint that somebody else has opened."""
    if not hasattr(kind, "from_checkpoint"):
        return kind(options)
    return kind.from_checkpoint(options, opening) if opening else kind.from_checkpoint(options)


def load_tokenizer(options: ModelOptions, opening: Open | None = None) -> Tokenizing:
    """The tokenizer of a checkpoint; raises ModelError, NotFoundError, or OptionError where a package is missing."""
    opened = (opening or _class(_OPEN, "a tokenizer"))(options.model, options).own()
    found: Tokenizing = _class(_TOKENIZER, "a tokenizer")(opened, options)
    return found


def _class(target: str, what: str) -> Any:
    """The class that `package.module:Class` names; raises OptionError, which says what to install where that helps."""
    module = target.partition(":")[0]
    try:
        return loaded(target)
    except BaseException as problem:  # whatever a module of somebody else does when it is imported
        if surfaces(problem):
            raise
        package, ours = lacking(problem), target in (*SCORERS.values(), _TOKENIZER, _OPEN)
        if ours and package:
            raise OptionError(f"{what} needs the package {package}", hint=install(package)) from problem
        hint = f"install the package {package}" if package and package != module.partition(".")[0] else _SPELLED
        hint = "to see why: python -c 'import torch, transformers'" if ours else hint
        raise OptionError(f"{what} cannot be loaded ({told(problem)})", hint=hint) from problem


SCORER, TOKENIZER, OPENED = "scorer", "tokenizer", "opened"
Key = tuple[Any, ...]  # what it is, of which model, and how it was asked for


class Loader:
    """Scorers and tokenizers by their options, each loaded when it is first asked for; a command has one of these.

    What a checkpoint has without its weights is read once for all that are made of it, and what cannot be loaded is
    not tried again.
    """

    def __init__(self, keeps: bool = True) -> None:
        """Unless it `keeps` its scorers, one is let go before another is loaded: there may be no room for two."""
        self.keeps = keeps
        self._made: dict[Key, Any] = {}
        self._failed: dict[Key, PromptshotError] = {}

    def scorer(self, name: str, options: ModelOptions) -> Scorer:
        """The scorer of that name; raises a PromptshotError, the same one each time."""
        found: Scorer = self._once(_key(name, options), lambda: load(name, options, self._open))
        return found

    def quick(self, name: str, options: ModelOptions) -> Scorer:
        """The scorer with every shortcut; it takes the weights of a plain one that is at hand, which ends."""
        key, plain = _key(name, options), _key(name, replace(options, plain=True))
        if key in self._made or not isinstance(self._made.get(plain), Doubted):
            return self.scorer(name, options)
        found: Scorer = self._once(key, self._made.pop(plain).quick)
        return found

    def tokenizer(self, options: ModelOptions) -> Tokenizing:
        """The tokenizer of a checkpoint; raises a PromptshotError, the same one each time."""
        key = (TOKENIZER, options.model, options)
        found: Tokenizing = self._once(key, lambda: load_tokenizer(options, self._open))
        return found

    def try_again(self) -> None:
        """What could not be loaded may be there now."""
        self._failed.clear()

    def _open(self, name: str, options: ModelOptions) -> Any:
        """A checkpoint without its weights."""
        key = (OPENED, name, options.revision, options.offline, options.trust_remote_code, options.allow_pickle)
        return self._once(key, lambda: _class(_OPEN, "a tokenizer")(name, options))

    def _once(self, key: Key, make: Callable[[], Any]) -> Any:
        """What `make` gave for the key the first time, or the error that it raised."""
        if key in self._failed:
            raise self._failed[key]
        if key not in self._made:
            if key[0] == SCORER and not self.keeps:  # all but what there is of the same model without its weights
                self._made = {of: made for of, made in self._made.items() if of[0] != SCORER and of[1] == key[1]}
            try:
                self._made[key] = make()
            except PromptshotError as problem:
                _empty(problem)
                self._failed[key] = problem
                raise
        return self._made[key]


def _key(name: str, options: ModelOptions) -> Key:
    return SCORER, options.model or builtin_for(name), name, options


def _empty(problem: BaseException | None) -> None:
    """Let go of what an error that is kept would keep alive, such as the model that was half loaded."""
    while problem is not None:
        clear_frames(problem.__traceback__)
        problem = problem.__cause__ or problem.__context__
