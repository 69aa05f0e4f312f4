"""What is tried with every model when it is loaded: what a row's scores depend on besides the row.

Model families differ in what they hide from a token. Instead of lists of families, which the next one would not
be on, a few short sequences of random tokens are run in several ways.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from promptshot.errors import ModelError, told
from promptshot.kinds import ScorerKind
from promptshot.scorers.checkpoints.beyond import check_kinds, refused, table_of
from promptshot.scorers.checkpoints.encoder import Ids
from promptshot.scorers.checkpoints.opening import quiet
from promptshot.scorers.engine.plans import Query

Mates = Literal["any", "even", "none"]  # the rows that may share a batch: all, those of one length, or none
MATES = {"even": "rows of one length (padding changes scores)", "none": "one row each (others change its scores)"}
LONG, SHORT, FAN = 72, 9, 8  # tokens: beyond the chunks of 64 that some families cut texts into; targets at each place
# Natural logs by which a score may differ between a batch and alone: rounding, in each precision.
ROUNDING = {torch.float32: 1e-4, torch.float64: 1e-4, torch.float16: 0.05, torch.bfloat16: 0.3}
# What later tokens may change earlier predictions by, as a part of what the positions differ by. Causal models
# of 120 kinds: 6e-7 and less in float32 (experts sum in another order); those that read both ways: 0.6 and more.
LEAK, LEAK_ROUGH = 1e-3, 0.03

Answer = Callable[[Sequence[Query]], list[list[float]]]


def mates(model: Any, answer: Answer, limit: int, alone: bool = False) -> Mates:
    """Which rows may share a batch, as `answer` makes scores: those beside which a row scores as it does alone.

    With `alone`, no row will share one, and only that is tried. Raises ModelError where the model cannot be run at all.

    alone  a a a      any   a a a . . . .      even  a a a       Each is read at its first, a middle and its last
           c c c            c c c . . . .            c c c       token, as if words of three tokens stood there.
                            b b b b b b b
    """
    long = max(1, min(LONG, limit))
    short = min(SHORT, max(1, long // 2))
    draw = torch.Generator().manual_seed(0)
    asked = tuple(sorted({0, short // 2, short - 1}))
    rows = torch.randint(_size(model), (3, long), generator=draw).tolist()
    targets = tuple(map(tuple, torch.randint(_size(model), (FAN, len(asked)), generator=draw).tolist()))
    a, b, c = (_query(ids, asked, targets) for ids in (rows[0][:short], rows[1], rows[2][:short]))

    def read(*batches: Sequence[Query]) -> Tensor:
        """The answers to a and c, with (2, scores of each)."""
        with torch.inference_mode(), quiet():
            found = [values for batch in batches for query, values in zip(batch, answer(batch), strict=True)]
        return torch.tensor(found[:2])

    try:
        apart = read([a], [c])
    except Exception:  # whatever a model of any kind may say; some need longer sequences
        _run(model, lambda: read([b]))
        return "none"
    if alone:
        return "none"
    ways: tuple[tuple[Mates, list[Query]], ...] = (("any", [a, c, b]), ("even", [a, c]))
    for found, batch in ways:
        try:
            together = read(batch)
        except Exception:  # whatever a model of any kind may say to a batch
            continue
        if torch.allclose(apart, together, atol=ROUNDING.get(model.dtype, 1e-4), rtol=1e-6, equal_nan=True):
            return found
    return "none"


def refuse_unsteady(model: Any, answer: Answer, limit: int) -> None:
    """Raise ModelError where the same sequence, alone, has other scores each time: some families draw at random how
    they cut longer texts. What cannot be run is not told here.
    """
    length = max(1, min(LONG, limit))
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(_size(model), (length,), generator=draw).tolist()
    asked = tuple(sorted({0, length // 2, length - 1}))
    targets = tuple(map(tuple, torch.randint(_size(model), (FAN, len(asked)), generator=draw).tolist()))
    query = _query(ids, asked, targets)
    try:
        with torch.inference_mode(), quiet():
            one, other = (torch.tensor(answer([query])[0]) for _ in range(2))
    except Exception:  # whatever a model of any kind may say
        return
    if not torch.allclose(one, other, atol=ROUNDING.get(model.dtype, 1e-4), rtol=1e-6, equal_nan=True):
        what = f"this {model.config.model_type} model gives other scores each time it is run"
        where = str(getattr(model, "name_or_path", ""))
        raise ModelError(what, where=where, hint="there is no telling which are right; use another model")


def refuse_other_positions(kind: ScorerKind, model: Any) -> None:
    """Raise OptionError where something besides a table of positions tells a model in what order tokens stand, such as
    distances, rotations or convolutions, or that they go on.

    Without what the table gives, tokens in another order have the same states in that order:

    a b c d -> A B C D        c a d b -> C A D B
    """
    _, table = table_of(model)
    check_kinds([kind], model)
    draw = torch.Generator().manual_seed(0)
    length = min(2 * SHORT, table.num_embeddings // 2)
    ids = torch.randint(_size(model), (1, length), generator=draw)
    order = torch.randperm(length, generator=draw)

    def states(ids: Tensor) -> Tensor:
        given = ids.to(model.device)
        with torch.inference_mode(), quiet():
            found: Tensor = model.base_model(input_ids=given, attention_mask=torch.ones_like(given))[0][0]
        return found.float()  # (length, hidden)

    hook = table.register_forward_hook(lambda module, given, found: torch.zeros_like(found))
    try:
        one, other = _run(model, lambda: states(ids)), _run(model, lambda: states(ids[:, order]))
    finally:
        hook.remove()
    leak = LEAK if model.dtype in (torch.float32, torch.float64) else LEAK_ROUGH
    if float((one[order.to(one.device)] - other).norm()) > leak * float(other.norm()):
        raise refused(model, "knows places by more than a table")


def astray(model: Any, limit: int) -> str | None:
    """Why a model's scores are not those of a model that reads from left to right; None where they are.

    Raises ModelError where it cannot be run.

    p p p p a a a a      What is predicted behind the p, which both share, must be the same; both are of one
    p p p p b b b b      length, so that nothing that depends on lengths is taken for it.
    """
    length = max(2, min(2 * SHORT, limit))
    draw = torch.Generator().manual_seed(0)
    a, b = torch.randint(_size(model), (2, length), generator=draw).tolist()
    fork = length // 2

    def predicted(ids: Ids) -> Tensor:
        with torch.inference_mode(), quiet():
            found: Tensor = model(input_ids=torch.tensor([ids], device=model.device)).logits[0, :fork]
        return found.float().log_softmax(-1)  # (fork, vocabulary)

    def differ(one: Tensor, other: Tensor) -> bool:
        spread = one - one.mean(0) if fork > 1 else one
        leak = LEAK if model.dtype in (torch.float32, torch.float64) else LEAK_ROUGH
        return float((one - other).norm()) > leak * float(spread.norm())

    first = _run(model, lambda: predicted(a))
    if not differ(first, _run(model, lambda: predicted(a[:fork] + b[fork:]))):
        return None
    if differ(first, _run(model, lambda: predicted(a))):
        return "gives other scores each time it is run"
    return "reads in both directions: what follows a word would change its score"


def _size(model: Any) -> int:
    return int(model.config.get_text_config().vocab_size)


def _query(ids: Ids, asked: tuple[int, ...], targets: tuple[tuple[int, ...], ...]) -> Query:
    """A sequence of two segments, with FAN choices."""
    types = [int(i >= len(ids) // 2) for i in range(len(ids))]
    return Query(ids, tuple(range(FAN)), asked, targets, types)


def _run(model: Any, way: Callable[[], Tensor]) -> Tensor:
    """What a way to run a model gives; raises ModelError where it cannot be run."""
    try:
        return way()
    except Exception as problem:  # whatever a model of any kind may say
        short = isinstance(problem, (torch.cuda.OutOfMemoryError, MemoryError))
        hint = "take a smaller model, or another --device" if short else "is it complete, and made for text alone?"
        what, where = f"the model cannot be run: {told(problem)}", str(getattr(model, "name_or_path", ""))
        raise ModelError(what, where=where, hint=hint) from problem
