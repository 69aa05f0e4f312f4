"""Linear layers laid out once for the CPU's matrix kernels, with the activation behind them in the same pass.

A plain linear layer lays its weights out anew at each call, copies the bias, and leaves the activation to
another walk through memory. oneDNN does all three at once; this is what a compiled model would use too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from promptshot.scorers.checkpoints.opening import quiet

SMALLEST = 64 * 64  # weights; below, nothing is gained
CLOSE = 1e-5  # largest difference of a packed layer, as a part of its largest output
ALIKE = 0.02  # that of the whole model; each layer was compared, so that this is for what goes wrong by much
# (layer, activation behind it) as model families call them within one module.
PAIRS = (
    ("dense", "intermediate_act_fn"),  # BERT, RoBERTa, ELECTRA, DeBERTa
    ("c_fc", "act"),  # GPT-2
    ("lin1", "activation"),  # DistilBERT
    ("ffn", "activation"),  # ALBERT
    ("fc1", "activation_fn"),  # OPT, BART
    ("wi", "act"),  # T5
    ("wi_0", "act"),  # T5 1.1, mT5: gated, as wi_1 has none
    ("dense_h_to_4h", "act"),  # GPT-NeoX
)
# How oneDNN calls the activations of transformers, by their class.
FUSED = {
    "GELUActivation": ("gelu", "none"),
    "NewGELUActivation": ("gelu", "tanh"),
    "GELUTanh": ("gelu", "tanh"),
    "PytorchGELUTanh": ("gelu", "tanh"),
    "FastGELUActivation": ("gelu", "tanh"),
    "ReLU": ("relu", ""),
}


class PackedLinear(nn.Module):
    """activation(x Wᵀ + b), as the layer that it takes the place of; float32 or bfloat16, on a CPU."""

    def __init__(self, weight: Tensor, bias: Tensor | None, fused: tuple[str, str] = ("none", "")) -> None:
        """`weight` is (out, in)."""
        super().__init__()
        self.weight = weight.to("meta")  # shape and dtype, for models that ask; the numbers are in `packed`
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight)
        self.bias = bias
        self.fused = fused

    def forward(self, states: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        name, algorithm = self.fused
        found: Tensor = torch.ops.mkldnn._linear_pointwise(states, self.packed, self.bias, name, [], algorithm)
        return found


def pack(model: nn.Module, run: Callable[[], Tensor] | None = None) -> int:
    """Put packed layers in the place of all that gain by it; how many. Each is compared with the one it replaces.

    Weights that are shared with the embeddings stay as they are. With `run`, which gives the numbers of the whole
    model, all layers are put back where it fails or gives others: some families reach for the weights of a layer.
    """
    if not has_kernels(next(model.parameters())):
        return 0
    expected = _numbers(run) if run else None
    replaced = _replaced(model)
    if run and replaced and not _alike(expected, _numbers(run)):
        for parent, name, module in replaced:
            setattr(parent, name, module)
        return 0
    return sum(isinstance(getattr(parent, name), PackedLinear) for parent, name, _ in replaced)


def _replaced(model: nn.Module) -> list[tuple[nn.Module, str, nn.Module]]:
    """(parent, name, what stood there) for each module that was replaced."""
    shared = shared_with(model)
    replaced: list[tuple[nn.Module, str, nn.Module]] = []
    for parent in list(model.modules()):
        children: list[tuple[str, Any]] = list(parent.named_children())
        for name, layer in children:
            weight = weight_of(layer)
            if weight is None or weight.numel() < SMALLEST or layer.weight.data_ptr() in shared:
                continue
            behind = activation_behind(parent, name)
            activation = getattr(parent, behind) if behind else nn.Identity()
            packed = _packed(layer, weight, activation)
            if packed is None:
                continue
            setattr(parent, name, packed)
            replaced.append((parent, name, layer))
            if behind:
                setattr(parent, behind, nn.Identity())
                replaced.append((parent, behind, activation))
    return replaced


def _numbers(run: Callable[[], Tensor]) -> Tensor | None:
    """What a run of the whole model gives; None where it fails."""
    try:
        with torch.inference_mode(), quiet():
            return run().float()
    except Exception:  # whatever a model of any kind may say
        return None


def _alike(expected: Tensor | None, found: Tensor | None) -> bool:
    if expected is None or found is None:
        return False
    return torch.allclose(expected, found, atol=ALIKE, rtol=ALIKE, equal_nan=True)


def shared_with(model: nn.Module) -> set[int]:
    """Where the weights of embeddings lie, which a head may have too."""
    return {module.weight.data_ptr() for module in model.modules() if isinstance(module, nn.Embedding)}


def has_kernels(parameter: Tensor, dtype: torch.dtype | None = None) -> bool:
    """Whether layers with such weights, or with these in another dtype, can be packed here."""
    dtype = dtype or parameter.dtype
    there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if parameter.device.type != "cpu" or not there or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()))


def weight_of(layer: Any) -> Tensor | None:
    """(out, in) of a linear layer of a known kind."""
    if type(layer) not in (nn.Linear, Conv1D):
        return None
    weight: Tensor = layer.weight.detach()
    return weight if type(layer) is nn.Linear else weight.T.contiguous()


def activation_behind(parent: nn.Module, name: str) -> str | None:
    """The attribute of the activation that follows the layer, if it can be done in the same pass."""
    for layer, activation in PAIRS:
        if name == layer and type(getattr(parent, activation, None)).__name__ in FUSED:
            return activation
    return None


@torch.inference_mode()
def _packed(layer: Any, weight: Tensor, activation: nn.Module) -> PackedLinear | None:
    """The layer and its activation as one; None where that gives other numbers, or cannot be done."""
    bias = None if layer.bias is None else layer.bias.detach()
    try:
        packed = PackedLinear(weight, bias, FUSED.get(type(activation).__name__, ("none", "")))
        states = torch.linspace(-2, 2, 3 * weight.shape[1], dtype=weight.dtype).view(1, 3, -1)  # (1, 3, in)
        expected, found = activation(layer(states)), packed(states)  # (1, 3, out)
    except RuntimeError:  # a build without these kernels
        return None
    worst = float((expected - found).abs().max()) / max(1.0, float(expected.abs().max()))
    return packed if worst <= (CLOSE if weight.dtype == torch.float32 else 0.02) else None
