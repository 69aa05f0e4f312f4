"""Texts longer than those a model was trained on: what `--long hierarchical` and `local` need of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from promptshot.errors import OptionError, with_article
from promptshot.kinds import ScorerKind

CLOSE = 1e-3  # what a probe may be off by, as a part of what its tokens differ by; in half precision
ROUGH = 0.03
TIMES = 4  # how many times as long as trained a text may be, unless more is asked for


class Decomposed(nn.Embedding):
    """Learned positions for n² places out of n, as Su's hierarchical decomposition has it (kexue.fm 7947).

    With p the table, u[i] = (p[i] - alpha p[0]) / (1 - alpha), and place k = i n + j is
    q[k] = alpha u[i] + (1 - alpha) u[j]; for k < n that is p[k], which is given to the bit.
    """

    def __init__(self, table: nn.Embedding, first: int, trained: int, alpha: float) -> None:
        """Place 0 is the row `first` of the table (RoBERTa keeps two for itself), `trained` is n."""
        size, width = table.weight.shape
        super().__init__(size, width, padding_idx=table.padding_idx, _weight=table.weight, _freeze=True)
        self.first, self.trained, self.alpha = first, trained, alpha

    def forward(self, ids: Tensor) -> Tensor:
        """(...) -> (..., hidden)."""
        place = ids - self.first
        far = place >= self.trained
        if not bool(far.any()):
            return super().forward(ids)
        coarse, fine = place.clamp_min(0) // self.trained, place.clamp_min(0) % self.trained
        made = self.alpha * self._unfolded(coarse) + (1 - self.alpha) * self._unfolded(fine)
        near = super().forward(ids.masked_fill(far, self.first))
        return torch.where(far[..., None], made.to(near.dtype), near)

    def _unfolded(self, place: Tensor) -> Tensor:
        """u of each place: (..., hidden), float32."""
        start = self.weight[self.first].float()
        return (super().forward(place + self.first).float() - self.alpha * start) / (1 - self.alpha)


def decompose(model: nn.Module, trained: int, limit: int, alpha: float) -> None:
    """Let a model with a table of `trained` learned positions take `limit` tokens; raises OptionError for another."""
    holder, table = table_of(model)
    if isinstance(table, Decomposed):  # a model that another scorer had
        return
    first = table.num_embeddings - trained
    holder.position_embeddings = Decomposed(table, first, trained, alpha)
    for buffer in ("position_ids", "token_type_ids"):  # (1, places): ascending, and zeros
        old = getattr(holder, buffer, None)
        if isinstance(old, Tensor) and old.shape[-1] < limit + first:
            filled = torch.arange(limit + first) + int(old[0, 0]) if buffer == "position_ids" else torch.zeros(1)
            holder.register_buffer(buffer, filled.to(old).expand(1, limit + first), persistent=False)


def table_of(model: nn.Module) -> tuple[Any, nn.Embedding]:
    """The one table of positions of a model, as BERT and its like call it, and the module that has it; raises
    OptionError where there is none."""
    found = [(one, getattr(one, "position_embeddings", None)) for one in model.modules()]
    tables = [(holder, table) for holder, table in found if isinstance(table, nn.Embedding)]
    if len(tables) != 1:
        raise refused(model, "has no table of learned positions as BERT has")
    return tables[0]


def check_kinds(kinds: Sequence[ScorerKind], model: Any) -> list[ScorerKind]:
    """Those of the kinds of scorer that read a text so; raises OptionError where none does."""
    found = [kind for kind in kinds if kind.encodes]
    if not found:
        raise refused(model, "that goes on with a text is not read so")
    return found


def refused(model: Any, why: str) -> OptionError:
    """What is said of a model that cannot be read with places made of two."""
    hint = "use --long windows, or local for one that counts distances"
    where = str(getattr(model, "name_or_path", ""))
    return OptionError(f"--long hierarchical: {_called(model)} {why}", where=where, hint=hint)


def _called(model: Any) -> str:
    return f"{with_article(str(getattr(model.config, 'model_type', 'such')))} model"


# ------------------------------------------------------------------ distances, within a window


def refuse_absolute(model: Any, name: str) -> None:
    """Raise OptionError where the numbers of a model that reads from left to right depend on more than distances."""
    ids = torch.randint(_vocabulary(model), (1, 8), generator=torch.Generator().manual_seed(0)).to(model.device)
    places = torch.arange(8, device=model.device)[None]

    def run(shift: int) -> Tensor:
        found: Tensor = model(input_ids=ids, position_ids=places + shift).logits[0]
        return found

    with torch.inference_mode():
        if not _same(run(0), run(5)):
            raise _no_distances(model, name)


def _no_distances(model: Any, name: str) -> OptionError:
    what = f"--long local: {_called(model)} counts places from the beginning of a text, not distances"
    return OptionError(what, where=name, hint="use --long windows, or hierarchical for one like BERT")


def confine(model: Any, name: str, trained: int, limit: int) -> None:
    """Let each token of a model that reads both ways see those less than `trained` places away, in texts of up to
    `limit` tokens (kexue.fm 9431); raises OptionError where a probe shows that it does not obey, or counts places.
    """
    base = model.get_encoder() if getattr(model.config, "is_encoder_decoder", False) else model.base_model
    if not _shifts(base):
        raise _no_distances(model, name)
    sizes = ("sliding_window", "local_attention", "attention_window", "attention_chunk_size")
    own = next((size for size in sizes if getattr(model.config, size, None)), None)
    ways = () if own else (_Wrapped, _Added, _Listed)
    for way in ways:
        if way.suits(base):
            band = way(base)
            if _obeys(base, band) and _lengthen(base, limit):
                band.window = trained
                return
            band.undo()
    why = f"whose layers have a window of their own ({own})" if own else "which takes no mask of its own"
    raise OptionError(f"--long local: {_called(model)}, {why}", where=name, hint="use --long windows")


class _Band:
    """Hides what is `window` places away or more; texts no longer than that are read as ever."""

    def __init__(self, base: Any) -> None:
        self.window, self.always = 1 << 60, False
        self.undo: Callable[[], object] = self._set(base)

    @classmethod
    def suits(cls, base: Any) -> bool:
        """Whether it is worth a try."""
        return True

    def _set(self, base: Any) -> Callable[[], object]:
        """Put it before a model; what takes it away again."""

        def before(module: Any, given: Any, named: Mapping[str, Any]) -> Any:
            mask = named.get("attention_mask")
            if mask is None or mask.dim() != 2 or (mask.shape[1] <= self.window and not self.always):
                return None
            return given, {**named, "attention_mask": self.mask(self.seen(mask), base.dtype)}

        handle: Any = base.register_forward_pre_hook(before, with_kwargs=True)
        remove: Callable[[], object] = handle.remove
        return remove

    def seen(self, mask: Tensor) -> Tensor:
        """Whether each token sees each other one: (rows, width) -> booleans (rows, width, width)."""
        return mask.bool()[:, None, :] & self.near(mask)

    def near(self, mask: Tensor) -> Tensor:
        """Whether places are near each other: booleans (width, width)."""
        places = torch.arange(mask.shape[-1], device=mask.device)
        return (places[:, None] - places).abs() < self.window

    def mask(self, seen: Tensor, dtype: torch.dtype) -> Tensor:
        """What the model takes in the place of its mask."""
        raise NotImplementedError


class _Added(_Band):
    """As what is added to the scores of attention: (rows, 1, width, width)."""

    def mask(self, seen: Tensor, dtype: torch.dtype) -> Tensor:
        added = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
        return added.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]


class _Listed(_Band):
    """As ones and noughts: (rows, width, width)."""

    def mask(self, seen: Tensor, dtype: torch.dtype) -> Tensor:
        return seen.long()


class _Wrapped(_Band):
    """In what DeBERTa makes of its mask, whose embeddings want the flat one."""

    @classmethod
    def suits(cls, base: Any) -> bool:
        return hasattr(getattr(base, "encoder", None), "get_attention_mask")

    def _set(self, base: Any) -> Callable[[], object]:
        made = base.encoder.get_attention_mask

        def within(mask: Tensor) -> Tensor:
            found: Tensor = made(mask)  # (rows, 1, width, width)
            near = found.shape[-1] <= self.window and not self.always
            return found if near else found * self.near(mask).to(found.dtype)

        base.encoder.get_attention_mask = within
        return lambda: delattr(base.encoder, "get_attention_mask")


@torch.inference_mode()
def _shifts(base: Any) -> bool:
    """Whether a text has the same numbers with something hidden before it."""
    ids = _drawn(base, 10)
    hidden = torch.cat([ids[:, :3], ids], -1)
    mask = torch.ones_like(hidden)
    mask[:, :3] = 0
    return _same(_run(base, ids), _run(base, hidden, mask)[3:])


@torch.inference_mode()
def _obeys(base: Any, band: _Band) -> bool:
    """Whether a band that hides nothing changes nothing, and a narrow one hides what is too far for all layers."""
    layers = sum(1 for _ in _layers(base))
    ids = _drawn(base, 2 * layers + 6)
    other = ids.clone()
    other[0, 0] = (ids[0, 0] + 1) % _vocabulary(base)
    plain, far = _run(base, ids), _run(base, other)
    band.always = True
    try:
        if not _same(plain, _run(base, ids)):
            return False
        band.window = 3  # two places to each side, and as many more with every layer
        near, changed = _run(base, ids), _run(base, other)
    except Exception:  # whatever a model of any kind may say to a mask that it does not know
        return False
    finally:
        band.always = False
    reached = torch.allclose(plain[-1], far[-1], atol=1e-7)  # by no text, and so this one shows nothing
    return not reached and torch.equal(near[-1], changed[-1]) and not _same(near[:3], changed[:3])


def _layers(base: Any) -> Iterator[nn.Module]:
    """The layers of the longest list of them."""
    lists = [module for module in base.modules() if isinstance(module, nn.ModuleList)]
    yield from max(lists, key=len, default=())


def _lengthen(base: Any, limit: int) -> bool:
    """Have a table of sines (RoFormer's) for so many places; whether that can be."""
    tables = [(holder, *one) for holder in base.modules() for one in holder.named_children()]
    for holder, name, table in tables:
        if "Sinusoidal" not in type(table).__name__ or len(table.weight) >= limit:
            continue
        longer: Any = type(table)(limit, table.weight.shape[1])
        if not hasattr(longer, "create_weight"):
            return False
        sines = longer.create_weight().to(table.weight)
        if not _same(table.weight, sines[: len(table.weight)]):
            return False
        longer.weight = nn.Parameter(sines, requires_grad=False)
        setattr(holder, name, longer)
    return True


def _run(base: Any, ids: Tensor, mask: Tensor | None = None) -> Tensor:
    """The last states of one sequence: (width, hidden)."""
    found: Tensor = base(input_ids=ids, attention_mask=torch.ones_like(ids) if mask is None else mask)[0][0]
    return found


def _same(one: Tensor, other: Tensor) -> bool:
    close = CLOSE if one.dtype == torch.float32 else ROUGH
    one, other = one.float(), other.float()
    spread = (one - one.mean(0)).norm()
    return bool((one - other).norm() <= close * spread)


def _drawn(base: Any, tokens: int) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randint(_vocabulary(base), (1, tokens), generator=draw).to(base.device)


def _vocabulary(model: Any) -> int:
    return int(model.config.get_text_config().vocab_size)
