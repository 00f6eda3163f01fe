"""The CRNN of `sections/crnn.py` as it is written with torch.nn. Knows no clock.

Frames stand behind the channels for the convolutions and before them for the recurrence, as torch.nn wants each; ragged rows are packed.

Legend: B rows, T frames, C channels.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from convrnn.api.twin import torch_twin
from convrnn.layers.base import Layer
from peers.plain_torch import beside

M = TypeVar("M", bound=nn.Module)


class CRNN(nn.Module):
    """With the weights of ours.

    Ragged, it computes what ours computes: the padding is zeroed after each convolution, for the bias has filled it and the next one would
    read it; the mean is taken over the frames that there are.
    """

    def __init__(self, net: Layer, ragged: bool) -> None:
        super().__init__()
        layers = dict(net.parts())
        twin = torch_twin(layers["6"])
        assert twin is not None
        self.ragged, self.recurrence, self.dense = ragged, twin, _dense(layers["8"])
        self.convolutions = nn.ModuleList(_convolution(layers[place]) for place in "03")
        dense = [(self.convolutions[0], layers["0"]), (self.convolutions[1], layers["3"]), (self.dense, layers["8"])]
        self._beside = [(theirs.get_parameter(name), ours.get_parameter(name)) for theirs, ours in dense for name in ("weight", "bias")]
        self._beside += [(theirs, ours) for theirs, (ours,) in beside(layers["6"], twin)]

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """`[B, T, C]` to `[B, classes]`."""
        x = x.transpose(1, 2)
        for convolution in self.convolutions:
            x = torch.relu(convolution(x))
            if self.ragged:
                x = x * (torch.arange(x.shape[2]) < lengths[:, None])[:, None]
                lengths = lengths // 2
            x = torch.max_pool1d(x, 2)
        x = x.transpose(1, 2)
        if not self.ragged:
            return self.dense(self.recurrence(x)[0].mean(1))
        rows, _ = self.recurrence(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
        y, _ = pad_packed_sequence(rows, batch_first=True)
        return self.dense(y.sum(1) / lengths[:, None])

    def weights(self) -> list[tuple[Tensor, Tensor]]:
        """Each of this model's beside ours."""
        return self._beside


def _convolution(layer: Layer) -> nn.Conv1d:
    weight = layer.get_parameter("weight")
    made = nn.Conv1d(weight.shape[1], weight.shape[0], weight.shape[2], padding=weight.shape[2] // 2)
    return _with_weights(made, layer)


def _dense(layer: Layer) -> nn.Linear:
    weight = layer.get_parameter("weight")
    return _with_weights(nn.Linear(weight.shape[1], weight.shape[0]), layer)


def _with_weights(made: M, layer: Layer) -> M:
    with torch.no_grad():
        for name in ("weight", "bias"):
            made.get_parameter(name).copy_(layer.get_parameter(name))
    return made
