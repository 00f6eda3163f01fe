"""What people write with PyTorch: dense and packed recurrences, a loop over time, the usual ConvLSTM cell. Knows no clock.

Legend: B rows, T frames, C channels, H units, G = gates x H; Y, X space.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from steps import Answer, Peer
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from convrnn.api.twin import torch_twin
from convrnn.layers.base import Layer


def dense(net: Layer) -> Peer:
    """`torch.nn` over full rows."""
    twin = _twin(net)

    def answer(x: Tensor, lengths: Tensor) -> Answer:
        y, state = twin(x)
        return y, _states(state)

    return Peer(answer, list(twin.parameters()), beside(net, twin))


def packed(net: Layer) -> Peer:
    """`torch.nn` over `pack_padded_sequence`, its way to handle lengths."""
    twin = _twin(net)

    def answer(x: Tensor, lengths: Tensor) -> Answer:
        rows, state = twin(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
        y, _ = pad_packed_sequence(rows, batch_first=True, total_length=x.shape[1])
        return y, _states(state)

    return Peer(answer, list(twin.parameters()), beside(net, twin))


def loop(net: Layer) -> Peer:
    """A GRU whose reset gate acts before the product (torch.nn has none): the loop over time that is written where a cell is missing."""
    mine = [net.get_parameter(f"forward_layers.0.{name}") for name in ("w_x", "w_h", "b")]
    w_x, w_h, b = copies(mine)
    units = w_h.shape[1]

    def answer(x: Tensor, lengths: Tensor) -> Answer:
        gates_BTG, h = F.linear(x, w_x, b), x.new_zeros(len(x), units)
        outputs: list[Tensor] = []
        for gates_BG in gates_BTG.unbind(1):
            xr, xz, xn = gates_BG.chunk(3, -1)
            hr, hz = F.linear(h, w_h[: 2 * units]).chunk(2, -1)
            r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
            n = torch.tanh(xn + F.linear(r * h, w_h[2 * units :]))
            h = (1 - z) * n + z * h
            outputs.append(h)
        return torch.stack(outputs, 1), [h]

    return Peer(answer, (w_x, w_h, b), [(w_x, mine[:1]), (w_h, mine[1:2]), (b, mine[2:])])


class ConvLSTMCell(nn.Module):
    """The usual cell: one convolution of input and state, concatenated, for every frame."""

    def __init__(self, channels: int, features: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels + features, 4 * features, kernel, padding=kernel // 2)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, C, Y, X]` and the state `[B, H, Y, X]` twice, to the new state."""
        i, f, g, o = self.conv(torch.cat([x, h], 1)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


def conv_lstm(net: Layer) -> Peer:
    """The usual cell in a loop over frames that are channels first, `[B, T, C, Y, X]`, as are its outputs and states."""
    w_x, w_h, b = (net.get_parameter(f"forward_layers.0.{name}") for name in ("w_x", "w_h", "b"))
    features = w_h.shape[1]
    cell = ConvLSTMCell(w_x.shape[1], features, w_h.shape[-1])
    weight, bias = (cell.get_parameter(f"conv.{name}") for name in ("weight", "bias"))
    with torch.no_grad():
        weight.copy_(torch.cat([w_x, w_h], 1))
        bias.copy_(b)

    def answer(x: Tensor, lengths: Tensor) -> Answer:
        h = c = x.new_zeros(len(x), features, *x.shape[3:])
        outputs: list[Tensor] = []
        for frame in x.unbind(1):
            h, c = cell(frame, h, c)
            outputs.append(h)
        return torch.stack(outputs, 1), [h, c]

    return Peer(answer, (weight, bias), [(weight, [w_x, w_h]), (bias, [b])])


def copies(weights: Sequence[Tensor]) -> list[Tensor]:
    """The same numbers, to be trained apart."""
    return [weight.detach().clone().requires_grad_() for weight in weights]


def _twin(net: Layer) -> nn.RNNBase:
    twin = torch_twin(net)
    assert twin is not None, f"torch.nn has no {net.name} like this one"
    return twin


def _states(state: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    """Direction by direction, h before c."""
    parts = state if isinstance(state, tuple) else (state,)
    return [each for direction in zip(*(part.unbind(0) for part in parts), strict=True) for each in direction]


def beside(net: Layer, twin: nn.RNNBase) -> list[tuple[Tensor, Sequence[Tensor]]]:
    """Every weight of the twin that ours has too. The recurrent biases, of which ours has one or none, are trained and not compared."""
    places = [("forward_layers", ""), ("backward_layers", "_reverse")][: 2 if twin.bidirectional else 1]
    names = (("w_x", "weight_ih"), ("w_h", "weight_hh"), ("b", "bias_ih"))
    return [
        (twin.get_parameter(f"{theirs}_l{layer}{suffix}"), [net.get_parameter(f"{ours}.{layer}.{mine}")])
        for layer in range(twin.num_layers)
        for ours, suffix in places
        for mine, theirs in names
    ]
