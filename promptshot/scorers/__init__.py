"""The door in the wall: scorers and tokenizers by name; what is behind it is loaded when it is first needed."""

from __future__ import annotations

import re

from promptshot.errors import NotFoundError, OptionError, did_you_mean, shortened, surfaces, told
from promptshot.kinds import KINDS, loaded
from promptshot.scoring import ModelOptions, Scorer, Tokenizing

# Loaded when first needed. A name with a colon ("package.module:Class") is a third-party scorer.
SCORERS = {name: kind.scorer for name, kind in KINDS.items()} | {"fake": "promptshot.scorers.fake:FakeScorer"}
_CLASS = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")  # package.module:Class


def load(name: str, options: ModelOptions) -> Scorer:
    """The scorer of that name, ready to score; loading a checkpoint can raise ModelError."""
    target = SCORERS.get(name, name)
    if ":" not in target:
        raise NotFoundError(f"no scorer {shortened(name)!r}", hint=did_you_mean(name, SCORERS))
    said, hint = f"the scorer {shortened(name)!r} cannot be loaded", "write it as package.module:Class"
    if not _CLASS.fullmatch(target):
        raise OptionError(f"{said} (it names no module and class)", hint=hint)
    try:
        kind = loaded(target)
    except BaseException as problem:  # whatever a module of somebody else does when it is imported
        if surfaces(problem):
            raise
        raise OptionError(f"{said} ({told(problem)})", hint=hint) from problem
    if not (isinstance(kind, type) and callable(getattr(kind, "score", None))):
        raise OptionError(f"{shortened(name)!r} is no scorer", hint="name a class with a method score")
    try:
        scorer: Scorer = kind(options)
    except BaseException as problem:
        if name in SCORERS or surfaces(problem):
            raise
        raise OptionError(f"{said} ({told(problem)})") from problem
    return scorer


def load_tokenizer(options: ModelOptions) -> Tokenizing:
    """The tokenizer of a checkpoint; raises ModelError or NotFoundError."""
    found: Tokenizing = loaded("promptshot.scorers.tokenizing:CheckpointTokenizer")(options)
    return found
