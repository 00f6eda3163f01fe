"""Recurrent layers and convolution against Keras with the same weights: swapped gates agree with themselves, not with Keras.

Run by `make oracles` (extra `peers`), not by the default suite. Keras orders the gates of a GRU z r n; ours stand as in torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import keras
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from convrnn.core.seq import Seq
from convrnn.layers.conv import Conv
from convrnn.layers.recurrent import GRU, LSTM, RNN, Cell

FEATURES, CHANNELS = 5, 3
LENGTHS = torch.tensor([9, 4, 1, 7])
# The float32 row of the table of tolerances: Keras on torch multiplies matrices in float32, whatever dtype its layers are given.
TOLERANCE = 1e-5


@pytest.fixture(autouse=True)
def double() -> None:
    keras.config.set_floatx("float64")
    keras.utils.set_random_seed(7)


def reorder(gates: Tensor, order: Sequence[int]) -> Tensor:
    """The blocks of the last dimension, in another order."""
    blocks = gates.chunk(len(order), dim=-1)
    return torch.cat([blocks[i] for i in order], -1)


def randomise(layer: keras.layers.Layer) -> list[Tensor]:
    """Fills every weight, biases too, with normal numbers and returns them in Keras' order."""
    rng = np.random.default_rng(3)
    weights = [rng.normal(size=weight.shape) for weight in layer.weights]
    layer.set_weights(weights)
    return [torch.from_numpy(weight) for weight in weights]


def load(direction: nn.Module, weights: Sequence[Tensor], order: Sequence[int]) -> None:
    """Gives one direction of ours the weights of a Keras layer: kernel `[C, G]`, recurrent kernel `[H, G]`, bias `[G]` or `[2, G]`."""
    kernel, recurrent, bias = (reorder(weight, order) for weight in weights)
    ours = {"w_x": kernel.T, "w_h": recurrent.T, "b": bias}
    if bias.dim() == 2:
        # Keras keeps a second bias for each gate; but for the one that the reset multiplies it only adds to the first.
        outside, inside = bias[0].clone(), bias[1]
        outside[: 2 * FEATURES] += inside[: 2 * FEATURES]
        ours |= {"b": outside, "b_h": inside[2 * FEATURES :]}
    direction.load_state_dict(ours)


CELLS: dict[str, tuple[Cell, Any, dict[str, Any], tuple[int, ...]]] = {
    "rnn": (RNN(FEATURES), keras.layers.SimpleRNN, {}, (0,)),
    "rnn-relu": (RNN(FEATURES, nonlinearity="relu"), keras.layers.SimpleRNN, {"activation": "relu"}, (0,)),
    "lstm": (LSTM(FEATURES), keras.layers.LSTM, {}, (0, 1, 2, 3)),
    "gru-after": (GRU(FEATURES), keras.layers.GRU, {"reset_after": True}, (1, 0, 2)),
    "gru-before": (GRU(FEATURES, reset="before"), keras.layers.GRU, {"reset_after": False}, (1, 0, 2)),
}


def ragged() -> Tensor:
    """Random rows, NaN nowhere: Keras would not bear it."""
    return torch.randn(len(LENGTHS), int(LENGTHS.max()), CHANNELS, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def masked(values: Tensor) -> Tensor:
    return torch.arange(values.shape[1]) < LENGTHS[:, None]


def close(ours: Tensor, theirs: Tensor) -> bool:
    return bool((ours - theirs).abs().max() <= TOLERANCE * (1 + theirs.abs().max()))


@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_forward(cell: str) -> None:
    spec, peer, options, order = CELLS[cell]
    values = ragged()
    theirs = peer(FEATURES, return_sequences=True, **options)
    theirs.build(values.shape)
    net = spec.build(CHANNELS).double()
    load(net.get_submodule("forward_layers.0"), randomise(theirs), order)
    expected = theirs(values, mask=masked(values)).detach()
    y = net(Seq(values, LENGTHS)).seq.values
    valid = masked(values)
    assert close(y[valid], expected[valid])


@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_backward(cell: str) -> None:
    """Keras' `go_backwards` reads the padding first; a row cut to its length has none."""
    spec, peer, options, order = CELLS[cell]
    values = ragged()
    theirs = peer(FEATURES, return_sequences=True, go_backwards=True, **options)
    theirs.build(values.shape)
    net = replace(spec, bidirectional=True).build(CHANNELS).double()
    load(net.get_submodule("backward_layers.0"), randomise(theirs), order)
    y = net(Seq(values, LENGTHS)).seq.values[..., FEATURES:]
    for row, length in enumerate(LENGTHS.tolist()):
        expected = theirs(values[row : row + 1, :length]).detach().flip(1)
        assert close(y[row, :length], expected[0])


@pytest.mark.parametrize("options", [{"stride": 1, "dilation": 2}, {"stride": 2, "dilation": 1}])
@pytest.mark.parametrize("padding", ["valid", "causal"])
def test_convolution(padding: Literal["valid", "causal"], options: dict[str, int]) -> None:
    """Row by row, cut to its length. `same` with a stride is left out: Keras splits its padding by the length, our grid never does."""
    values = ragged()
    theirs = keras.layers.Conv1D(FEATURES, 3, strides=options["stride"], dilation_rate=options["dilation"], padding=padding)
    theirs.build(values.shape)
    kernel, bias = randomise(theirs)
    net = Conv(FEATURES, kernel=3, stride=options["stride"], dilation=options["dilation"], padding=padding).build(CHANNELS).double()
    net.load_state_dict({"weight": kernel.permute(2, 1, 0), "bias": bias})
    y, lengths, _ = net(Seq(values, LENGTHS)).seq
    assert lengths is not None
    for row, (before, after) in enumerate(zip(LENGTHS.tolist(), lengths.tolist(), strict=True)):
        if after:
            expected = theirs(values[row : row + 1, :before]).detach()[0]
            assert expected.shape[0] == after
            assert close(y[row, :after], expected)
