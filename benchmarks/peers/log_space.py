"""minGRU in plain PyTorch, as its paper computes it (`logspace.py`), with our weights. Knows no clock."""

from __future__ import annotations

from logspace import minimal_gru
from steps import Answer, Peer
from torch import Tensor

from convrnn.layers.base import Layer
from peers.plain_torch import copies

NOTHING = 1e-30
"""Its first state: logarithms have no zero."""


def log_space_min_gru(net: Layer) -> Peer:
    """The layer of ours with `candidate="g"`."""
    mine = [net.get_parameter(f"forward_layers.0.gates.{name}") for name in ("weight", "bias")]
    weight, bias = copies(mine)

    def answer(x: Tensor, lengths: Tensor) -> Answer:
        h = minimal_gru(x, weight, bias, x.new_full((len(x), len(weight) // 2), NOTHING))
        return h, [h[:, -1]]

    return Peer(answer, (weight, bias), [(weight, mine[:1]), (bias, mine[1:])])
