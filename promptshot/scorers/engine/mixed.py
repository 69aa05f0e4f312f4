"""Matrix products in bfloat16, and all else in float32: what `--dtype mixed` makes of a model.

    float32 states -> bfloat16 -> product, summed in float32 -> float32 + bias -> norms, softmax, residuals in float32

What pure bfloat16 loses most by is the stream of residuals, which is rounded in every layer; here only weights, what
goes into a product and what comes out of it are. Down projections too: to leave them in float32 took a fifth of the
speed and gave next to nothing (SmolLM2, SST-2).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from promptshot.scorers.engine.packed import FUSED, activation_behind, has_kernels, shared_with, weight_of


def gains() -> bool:
    """Whether this processor multiplies bfloat16 by itself, so that such products are faster."""
    asked = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")  # which other builds of torch may not have
    return any(getattr(torch.cpu, name, bool)() for name in asked)


class MixedLinear(nn.Module):
    """activation(x Wᵀ + b) for float32 states, as the layer that it takes the place of, with W in bfloat16."""

    def __init__(self, weight: Tensor, bias: Tensor | None, fused: tuple[str, str] = ("none", "")) -> None:
        """`weight` is (out, in), float32."""
        super().__init__()
        half = weight.to(torch.bfloat16)
        packed = has_kernels(half)
        self.packed = torch.ops.mkldnn._reorder_linear_weight(half) if packed else None
        self.rounded: Tensor | None = None if packed else half
        self.weight = weight.to("meta")  # shape and dtype, for models that ask
        self.bias, self.fused = bias, fused
        self.within = bias.to(torch.bfloat16) if bias is not None and fused[0] != "none" else None

    def forward(self, states: Tensor) -> Tensor:
        """(..., in) -> (..., out), float32."""
        given = states.to(torch.bfloat16)
        if self.packed is not None:
            name, algorithm = self.fused
            found: Tensor = torch.ops.mkldnn._linear_pointwise(given, self.packed, self.within, name, [], algorithm)
            product = found.float()
        else:
            product = _product(given, self.rounded)
        return product if self.bias is None or self.within is not None else product + self.bias


def _product(states: Tensor, weight: Any) -> Tensor:
    """(..., in) times (out, in), both bfloat16 -> (..., out), float32; on CUDA the sums are not rounded in between."""
    if states.is_cuda:
        with contextlib.suppress(TypeError, NotImplementedError):  # of an older torch, or another maker's
            found = torch.mm(states.reshape(-1, states.shape[-1]), weight.T, out_dtype=torch.float32)
            return found.view(*states.shape[:-1], len(weight))
    return functional.linear(states, weight).float()


def mix(model: Any) -> int:
    """Put such layers in the place of the linear ones within a float32 model; how many. Heads stay as they are."""
    shared, count = shared_with(model), 0
    for parent, name, layer in _within(model):
        weight = weight_of(layer)
        if weight is None or weight.is_meta or layer.weight.data_ptr() in shared:
            continue  # weights that a device has no room for come when they are used
        behind = activation_behind(parent, name) if has_kernels(weight, torch.bfloat16) else None
        activation = getattr(parent, behind) if behind else nn.Identity()
        bias = None if layer.bias is None else layer.bias.detach()
        setattr(parent, name, MixedLinear(weight, bias, FUSED.get(type(activation).__name__, ("none", ""))))
        if behind:
            setattr(parent, behind, nn.Identity())
        count += 1
    return count


def _within(model: Any) -> Iterator[tuple[nn.Module, str, Any]]:
    """(parent, name, layer) for each module of a list of layers: no embeddings, no pooler, no head."""
    for stack in [module for module in model.modules() if isinstance(module, nn.ModuleList)]:
        for parent in list(stack.modules()):
            for name, layer in list(parent.named_children()):
                yield parent, name, layer
