"""Weights of other frameworks under our names. Differentiable: gradients of ours arrive at the peer's weights. Knows no answer.

Legend: G gates x H, C channels in, F features out, K kernel. Our gates stand as in torch: `i f g o` and `r z n`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

Parameters = dict[str, Tensor]


def named(*names: str) -> Callable[[Sequence[Tensor]], Parameters]:
    """The peer's weights as they stand, under our names."""
    return lambda weights: dict(zip(names, weights, strict=True))


def within(place: str, parameters: Parameters) -> Parameters:
    """The parameters of a layer inside another."""
    return {f"{place}.{name}": value for name, value in parameters.items()}


def reorder(gates: Tensor, order: Sequence[int]) -> Tensor:
    """The blocks of the last dimension, in another order."""
    blocks = gates.chunk(len(order), dim=-1)
    return torch.cat([blocks[i] for i in order], -1)


# ---- torch


def places(layers: int, both: bool) -> list[tuple[str, str]]:
    """Our module and torch's suffix of every layer and direction, in the order of the state."""
    names = [[(f"forward_layers.{i}", f"l{i}"), (f"backward_layers.{i}", f"l{i}_reverse")] for i in range(layers)]
    return [place for pair in names for place in pair[: 2 if both else 1]]


def torch_recurrent(twin: Mapping[str, Tensor], layers: int, both: bool, inner_bias: bool) -> Parameters:
    """Torch has two biases a gate, ours one; but for the one inside the reset of the GRU the second only adds to the first."""
    mine: Parameters = {}
    for place, suffix in places(layers, both):
        b_x, b_h = twin[f"bias_ih_{suffix}"], twin[f"bias_hh_{suffix}"]
        mine |= {f"{place}.w_x": twin[f"weight_ih_{suffix}"], f"{place}.w_h": twin[f"weight_hh_{suffix}"]}
        if f"weight_hr_{suffix}" in twin:
            mine[f"{place}.proj"] = twin[f"weight_hr_{suffix}"]
        if inner_bias:
            b_r, b_z, b_n = b_h.chunk(3)
            mine |= {f"{place}.b": b_x + torch.cat([b_r, b_z, torch.zeros_like(b_n)]), f"{place}.b_h": b_n}
        else:
            mine[f"{place}.b"] = b_x + b_h
    return mine


# ---- Keras: kernels `[C, G]`, recurrent kernels `[H, G]`; a GRU's gates stand z r n, an LSTM's as here

Z_R_N = (1, 0, 2)
AS_HERE = (0, 1, 2, 3)


def keras_direction(weights: Sequence[Tensor], order: Sequence[int], place: str) -> Parameters:
    """One direction: kernel, recurrent kernel and bias `[G]`, or `[2, G]` where the reset acts after the product."""
    kernel, recurrent, bias = (reorder(weight, order) for weight in weights)
    mine = {f"{place}.w_x": kernel.T, f"{place}.w_h": recurrent.T, f"{place}.b": bias}
    if bias.dim() == 2:
        outside, (r, z, n) = bias[0], bias[1].chunk(3)
        mine |= {f"{place}.b": outside + torch.cat([r, z, torch.zeros_like(n)]), f"{place}.b_h": n}
    return mine


def keras_both(weights: Sequence[Tensor], order: Sequence[int]) -> Parameters:
    """`Bidirectional`: the forward layer's weights, then the backward layer's."""
    half = len(weights) // 2
    return keras_direction(weights[:half], order, "forward_layers.0") | keras_direction(weights[half:], order, "backward_layers.0")


def kernel_last(weights: Sequence[Tensor]) -> Parameters:
    """A convolution of Keras or sequence-layers, `[*K, C, F]`, or a transposed one of Keras, `[*K, F, C]`; bias `[F]`."""
    kernel, bias = weights
    return {"weight": kernel.movedim((-1, -2), (0, 1)), "bias": bias}


def keras_separable(weights: Sequence[Tensor]) -> Parameters:
    """Depthwise kernel `[*K, C, 1]`, pointwise kernel `[*1, C, F]`, bias `[F]`."""
    depthwise, pointwise, bias = weights
    return {"weight": depthwise.movedim((-2, -1), (0, 1)), "pointwise": pointwise.flatten(0, -3)[0].T, "bias": bias}


def keras_conv_lstm(weights: Sequence[Tensor], place: str) -> Parameters:
    """One direction: kernel `[*K, C, G]`, recurrent kernel `[*K, F, G]`, bias `[G]`; gates stand as here."""
    kernel, recurrent, bias = weights
    return within(place, {"w_x": kernel.movedim((-1, -2), (0, 1)), "w_h": recurrent.movedim((-1, -2), (0, 1)), "b": bias})


# ---- sequence-layers: weights in the order of their names, biases first; kernels `[C, G]` and `[*K, C, F]`, gates as here


def jax_lstm(weights: Sequence[Tensor]) -> Parameters:
    """Bias, kernel, recurrent kernel."""
    bias, kernel, recurrent = weights
    return {"w_x": kernel.T, "w_h": recurrent.T, "b": bias}


def bias_first(weights: Sequence[Tensor]) -> Parameters:
    """Bias, kernel of a convolution."""
    bias, kernel = weights
    return kernel_last([kernel, bias])


def bias_first_transposed(weights: Sequence[Tensor]) -> Parameters:
    """Bias, kernel `[K, C, F]` of a transposed convolution: the window is written backwards, as in a convolution of the dilated row."""
    bias, kernel = weights
    return {"weight": kernel.flip(0).permute(1, 2, 0), "bias": bias}
