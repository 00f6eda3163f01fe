"""The recurrences as their papers write them: one step a cell, a loop over time. Differentiable any number of times; slow; the definition.

Shapes: B rows, T frames, H units, G = gates x H. States are stacked `[S, B, H]`: `(h,)`, or `(h, c)` for the LSTM.
Gate order is that of torch and cuDNN: `i f g o` (LSTM), `r z n` (GRU).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Step = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""`(gates_BG, state_SBH, w_h [G, H], b_h or None) -> state_SBH`; gates_BG is the input's part of the gates, bias included."""


def rnn_tanh(gates_BG: Tensor, state: Tensor, w_h: Tensor, b_h: Tensor | None) -> Tensor:
    """h = tanh(W_x x + W_h h + b) (Elman 1990)."""
    return torch.tanh(gates_BG + F.linear(state[0], w_h))[None]


def rnn_relu(gates_BG: Tensor, state: Tensor, w_h: Tensor, b_h: Tensor | None) -> Tensor:
    """h = relu(W_x x + W_h h + b) (Le, Jaitly & Hinton 2015, arXiv 1504.00941)."""
    return torch.relu(gates_BG + F.linear(state[0], w_h))[None]


def lstm(gates_BG: Tensor, state: Tensor, w_h: Tensor, b_h: Tensor | None) -> Tensor:
    """c = f c + i g, h = o tanh(c) (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000)."""
    h, c = state.unbind()
    i, f, g, o = (gates_BG + F.linear(h, w_h)).chunk(4, dim=-1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.stack([torch.sigmoid(o) * torch.tanh(c), c])


def gru(gates_BG: Tensor, state: Tensor, w_h: Tensor, b_h: Tensor | None) -> Tensor:
    """n = tanh(x_n + r (W_n h + b_n)), h = (1 - z) n + z h: the reset after the product (Cho et al. 2014, arXiv 1406.1078v1; cuDNN)."""
    h = state[0]
    x_r, x_z, x_n = gates_BG.chunk(3, dim=-1)
    h_r, h_z, h_n = F.linear(h, w_h).chunk(3, dim=-1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * (h_n if b_h is None else h_n + b_h))
    return torch.lerp(n, h, z)[None]


def gru_before(gates_BG: Tensor, state: Tensor, w_h: Tensor, b_h: Tensor | None) -> Tensor:
    """n = tanh(x_n + W_n (r h)), h = (1 - z) n + z h: the reset before the product (Cho et al. 2014, arXiv 1406.1078v3)."""
    h = state[0]
    w_rz, w_n = w_h.split([2 * h.shape[-1], h.shape[-1]])
    x_rz, x_n = gates_BG.split([2 * h.shape[-1], h.shape[-1]], dim=-1)
    r, z = torch.sigmoid(x_rz + F.linear(h, w_rz)).chunk(2, dim=-1)
    n = torch.tanh(x_n + F.linear(r * h, w_n))
    return torch.lerp(n, h, z)[None]


STEPS: dict[str, Step] = {"rnn_tanh": rnn_tanh, "rnn_relu": rnn_relu, "lstm": lstm, "gru": gru, "gru_before": gru_before}


def recur(
    cell: str,
    x: Tensor,
    lengths: Tensor | None,
    w_x: Tensor | None,
    w_h: Tensor,
    b: Tensor | None,
    b_h: Tensor | None,
    state: Tensor,
    reverse: bool,
) -> tuple[Tensor, Tensor]:
    """Every frame's h `[B, T, H]`, zero beyond `lengths`, and the state after each row's last valid frame `[S, B, H]`.

    Args:
        cell: a name in `STEPS`.
        x: `[B, T, C]`, or the input's part of the gates `[B, T, G]` ready-made when `w_x` is None.
        lengths: int64 `[B]` or None: all rows are full.
        w_x: `[G, C]` or None.
        w_h: `[G, H]`.
        b: `[G]` or None.
        b_h: `[H]`, the bias inside the reset of `gru`, or None.
        state: `[S, B, H]`.
        reverse: from each row's last valid frame to its first.
    """
    gates = F.linear(x, w_x, b) if w_x is not None else x if b is None else x + b
    outputs: list[Tensor] = []
    for t in reversed(range(x.shape[1])) if reverse else range(x.shape[1]):
        new = STEPS[cell](gates[:, t], state, w_h, b_h)
        if lengths is not None:
            valid = (t < lengths)[:, None]
            outputs.append(torch.where(valid, new[0], new.new_zeros(())))
            state = torch.where(valid, new, state)
        else:
            outputs.append(new[0])
            state = new
    if not outputs:
        return x.new_zeros(x.shape[0], 0, w_h.shape[1]), state
    return torch.stack(outputs[::-1] if reverse else outputs, 1), state
