"""GPUs that are none: tensors that say they are on one, with their numbers on the CPU.

What a GPU would refuse is refused: operations on tensors of two devices, numpy arrays of one that is not on the CPU.
So a machine without one finds what would fail there, and scores are those of the CPU. What it cannot show is how a GPU
rounds, and what its kernels refuse besides.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map

from promptshot.scorers.checkpoints.checks import of_library

GPU = torch.device("cuda", 0)
TAKEN = ("cuda", "meta")  # as torch itself calls the device of what is There: it may have no code for the other
FREE = ("index", "index_put", "index_put_", "copy_", "_to_copy", "to", "lift_fresh")  # these may be given two devices


class There(Tensor):
    """A tensor on a GPU, to all who ask."""

    inner: Tensor
    place: torch.device

    @staticmethod
    def __new__(cls, inner: Tensor, place: torch.device) -> There:
        made: There = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device="meta",
        )
        made.inner, made.place = inner, place
        return made

    def __init__(self, inner: Tensor, place: torch.device) -> None:
        pass

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self.place

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True

    @property
    def is_meta(self) -> bool:  # type: ignore[override]
        return False

    def data_ptr(self) -> int:
        return self.inner.data_ptr()

    def tolist(self) -> Any:
        return self.inner.tolist()

    def __getitem__(self, key: Any) -> Tensor:
        keys = key if isinstance(key, tuple) else (key,)  # torch makes tensors of lists where this one seems to be
        found: Tensor = super().__getitem__(tuple(torch.tensor(k) if isinstance(k, list) else k for k in keys))
        return found

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


class Gpu(TorchDispatchMode):
    """While this is on, what is made on or moved to a GPU is There."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


def run(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The operation on the numbers, with its results where a GPU would have them; raises RuntimeError as torch does."""
    name = func.overloadpacket.__name__
    place = _place(name, args, kwargs)
    here, named = tree_map(_inner, (tuple(args), dict(kwargs)))
    found = products(*here, **named) if func is _PRODUCTS else func(*here, **named)
    if func._schema.is_mutable and name.endswith("_"):
        return args[0]
    return tree_map(lambda one: There(one, place) if isinstance(one, Tensor) and place.type == "cuda" else one, found)


def _place(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> torch.device:
    """Where the results of an operation are: where it is told, or else where what it is given is."""
    tensors = [one for one in tree_flatten((args, dict(kwargs)))[0] if isinstance(one, Tensor)]
    places = {one.device for one in tensors if one.dim() or one.device.type != "cpu"}
    first = tensors[0].device if tensors else torch.device("cpu")
    others = places - {torch.device("cpu")}
    if len(places) > 1 and (name not in FREE or (name.startswith("index") and others != {first})):
        raise RuntimeError(f"{name}: expected all tensors on the same device, but found {sorted(map(str, places))}")
    asked = kwargs.get("device") or next((one for one in args if isinstance(one, torch.device)), None)
    usual = first if name == "copy_" or first.type == "cuda" else next(iter(others), first)
    if asked is not None and torch.device(asked).type == "meta" and usual.type == "cpu":
        return _latest[0]  # what an operation of torch makes on its way
    found = usual if asked is None or torch.device(asked).type == "meta" else torch.device(asked)
    if found.type == "cuda":
        _latest[0] = found
    return found


_latest = [GPU]  # where the last result is
_PRODUCTS = getattr(torch.ops.aten.mm, "dtype", None)


def products(one: Tensor, other: Tensor, dtype: torch.dtype) -> Tensor:
    """As a GPU does it: half precision, with sums of another."""
    return one.to(dtype) @ other.to(dtype)


def _inner(one: Any) -> Any:
    if isinstance(one, There):
        return one.inner
    return torch.device("cpu") if isinstance(one, torch.device) and one.type in TAKEN else one


class Aside:
    """A loader of models, to which all this is not: it makes skeletons on the device that is called meta."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with _disable_current_modes():
                return getattr(self.loader, name)(*args, **kwargs)

        return call


@contextlib.contextmanager
def pretended(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within this there is a GPU: `--device cuda`. Models must have been loaded on the CPU before."""

    def chosen(name: str) -> torch.device:
        return GPU if name == "cuda" else torch.device(name)

    made = torch.tensor  # which a mode does not see
    with monkeypatch.context() as changed:
        changed.setattr("promptshot.scorers.checkpoints.opening.pick_device", chosen)
        changed.setattr("promptshot.scorers.checkpoints.opening.of_library", lambda name: Aside(of_library(name)))
        changed.setattr(torch.__future__, "_overwrite_module_params_on_conversion", True)  # a place is not its data
        changed.setattr(torch.cuda, "_lazy_init", lambda: None)
        changed.setattr(torch, "inference_mode", torch.no_grad)  # where a view of a parameter would be no such tensor
        changed.setattr(torch, "tensor", lambda data, device=None, **said: made(data, **said).to(device))
        with Gpu():
            yield
