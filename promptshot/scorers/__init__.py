"""The door in the wall: scorers and tokenizers by name; what is behind it is loaded when it is first needed."""

from __future__ import annotations

import re
from typing import Any

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
from promptshot.kinds import KINDS, loaded
from promptshot.scoring import ModelOptions, Scorer, Tokenizing

# Loaded when first needed. A name with a colon ("package.module:Class") is a third-party scorer.
SCORERS = {name: kind.scorer for name, kind in KINDS.items()} | {"fake": "promptshot.scorers.fake:FakeScorer"}
_TOKENIZER = "promptshot.scorers.tokenizing:CheckpointTokenizer"
_CLASS = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")  # package.module:Class
_SPELLED = "write it as package.module:Class"


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
    module = target.partition(":")[0]
    try:
        return loaded(target)
    except BaseException as problem:  # whatever a module of somebody else does when it is imported
        if surfaces(problem):
            raise
        package, ours = lacking(problem), target in (*SCORERS.values(), _TOKENIZER)
        if ours and package:
            raise OptionError(f"{what} needs the package {package}", hint=install(package)) from problem
        hint = f"install the package {package}" if package and package != module.partition(".")[0] else _SPELLED
        hint = "to see why: python -c 'import torch, transformers'" if ours else hint
        raise OptionError(f"{what} cannot be loaded ({told(problem)})", hint=hint) from problem
