"""Layers against Keras with the same weights: swapped gates agree with themselves, not with Keras.

Run by `make oracles` (extra `peers`), not by the default suite; on any backend of Keras. Keras orders the gates of a GRU z r n and of an
LSTM i f g o; ours stand as in torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from convrnn.core.seq import Seq
from convrnn.layers.base import Layer
from convrnn.layers.conv import Conv
from convrnn.layers.pool import Pool
from convrnn.layers.recurrent import GRU, LSTM, RNN, Cell
from convrnn.testing.chunks import batch_of, make_rows, split_rows

keras: Any = pytest.importorskip("keras", reason="Keras is not installed: make oracles")
# Keras on torch asks NumPy for arrays in the manner of NumPy 1.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")

FEATURES, CHANNELS = 5, 3
LENGTHS = (9, 4, 1, 7)
# On torch, Keras multiplies matrices in float32 whatever dtype its layers are given; elsewhere it computes in float64 as it is told.
TOLERANCE = 1e-5 if keras.backend.backend() == "torch" else 1e-12


@pytest.fixture(autouse=True)
def double() -> None:
    keras.config.set_floatx("float64")
    keras.utils.set_random_seed(7)


def called(layer: Any, values: Tensor, **options: Any) -> Tensor:
    """What a Keras layer answers, as a tensor of torch."""
    arguments = {name: value.numpy() if isinstance(value, Tensor) else value for name, value in options.items()}
    return torch.from_numpy(np.array(keras.ops.convert_to_numpy(layer(values.numpy(), **arguments))))


def reorder(gates: Tensor, order: Sequence[int]) -> Tensor:
    """The blocks of the last dimension, in another order."""
    blocks = gates.chunk(len(order), dim=-1)
    return torch.cat([blocks[i] for i in order], -1)


def randomise(layer: Any, shape: tuple[int, ...]) -> list[Tensor]:
    """Builds a layer, fills every weight, biases too, with normal numbers and returns them in Keras' order."""
    layer.build(shape)
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


def rows_of(shape: tuple[int, ...] = (CHANNELS,)) -> list[Tensor]:
    return make_rows(shape, LENGTHS, 1, torch.float64)


def answers(net: Layer, rows: list[Tensor]) -> list[Tensor]:
    """The valid frames of each row, the padding full of NaN."""
    with torch.no_grad():
        return split_rows(net(batch_of(rows)).seq)


def close(ours: Tensor, theirs: Tensor) -> bool:
    assert ours.shape == theirs.shape
    return not ours.numel() or bool((ours - theirs).abs().max() <= TOLERANCE * (1 + theirs.abs().max()))


# ---- recurrence

CELLS: dict[str, tuple[Cell, Any, dict[str, Any], tuple[int, ...]]] = {
    "rnn": (RNN(FEATURES), keras.layers.SimpleRNN, {}, (0,)),
    "rnn-relu": (RNN(FEATURES, nonlinearity="relu"), keras.layers.SimpleRNN, {"activation": "relu"}, (0,)),
    "lstm": (LSTM(FEATURES), keras.layers.LSTM, {}, (0, 1, 2, 3)),
    "gru-after": (GRU(FEATURES), keras.layers.GRU, {"reset_after": True}, (1, 0, 2)),
    "gru-before": (GRU(FEATURES, reset="before"), keras.layers.GRU, {"reset_after": False}, (1, 0, 2)),
}
by_cell = pytest.mark.parametrize("cell", CELLS)


def masked(rows: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Keras' batch: zeros beyond the lengths, and the mask."""
    x = batch_of(rows, poison=False)
    assert x.lengths is not None
    return x.values, torch.arange(x.values.shape[1]) < x.lengths[:, None]


@by_cell
def test_recurrence_with_a_mask(cell: str) -> None:
    spec, peer, options, order = CELLS[cell]
    rows = rows_of()
    values, mask = masked(rows)
    theirs = peer(FEATURES, return_sequences=True, **options)
    weights = randomise(theirs, tuple(values.shape))
    net = spec.build(CHANNELS).double()
    load(net.get_submodule("forward_layers.0"), weights, order)
    expected = called(theirs, values, mask=mask)
    for i, got in enumerate(answers(net, rows)):
        assert close(got, expected[i, : len(got)])


@by_cell
def test_backward_direction(cell: str) -> None:
    """Keras' `go_backwards` reads the padding first; a row cut to its length has none."""
    spec, peer, options, order = CELLS[cell]
    rows = rows_of()
    theirs = peer(FEATURES, return_sequences=True, go_backwards=True, **options)
    weights = randomise(theirs, (1, 9, CHANNELS))
    net = replace(spec, bidirectional=True).build(CHANNELS).double()
    load(net.get_submodule("backward_layers.0"), weights, order)
    for got, row in zip(answers(net, rows), rows, strict=True):
        assert close(got[:, FEATURES:], called(theirs, row[None])[0].flip(0))


@pytest.mark.parametrize(("merge", "keras_merge"), [("concat", "concat"), ("sum", "sum"), ("mean", "ave")])
@by_cell
def test_both_directions_with_a_mask(cell: str, merge: Literal["concat", "sum", "mean"], keras_merge: str) -> None:
    """`Bidirectional` with a mask, on the states after the row: what a classifier reads."""
    spec, peer, options, order = CELLS[cell]
    rows = rows_of()
    values, mask = masked(rows)
    theirs = keras.layers.Bidirectional(peer(FEATURES, return_sequences=False, **options), merge_mode=keras_merge)
    weights = randomise(theirs, tuple(values.shape))
    net = replace(spec, bidirectional=True, merge=merge).build(CHANNELS).double()
    half = len(weights) // 2
    load(net.get_submodule("forward_layers.0"), weights[:half], order)
    load(net.get_submodule("backward_layers.0"), weights[half:], order)
    expected = called(theirs, values, mask=mask)
    with torch.no_grad():
        out = net(batch_of(rows))
    assert out.state is not None
    ahead, back = (cells[0] for cells in out.state[0])
    ours = {"concat": torch.cat([ahead, back], -1), "sum": ahead + back, "mean": (ahead + back) / 2}[merge]
    assert close(ours, expected)
    # The layer's own answer joins the same two states: that of the forward direction at the end, that of the other at the beginning.
    if merge == "concat":
        for i, got in enumerate(split_rows(out.seq)):
            assert close(torch.cat([got[-1, :FEATURES], got[0, FEATURES:]]), expected[i])


# ---- convolution and pooling


@pytest.mark.parametrize("options", [{"stride": 1, "dilation": 2}, {"stride": 2, "dilation": 1}])
@pytest.mark.parametrize("padding", ["valid", "causal"])
def test_convolution(padding: Literal["valid", "causal"], options: dict[str, int]) -> None:
    """Row by row, cut to its length. `same` with a stride is left out: Keras splits its padding by the length, our grid never does."""
    rows = rows_of()
    theirs = keras.layers.Conv1D(FEATURES, 3, strides=options["stride"], dilation_rate=options["dilation"], padding=padding)
    kernel, bias = randomise(theirs, (1, 9, CHANNELS))
    net = Conv(FEATURES, kernel=3, stride=options["stride"], dilation=options["dilation"], padding=padding).build(CHANNELS).double()
    net.load_state_dict({"weight": kernel.permute(2, 1, 0), "bias": bias})
    for got, row in zip(answers(net, rows), rows, strict=True):
        if len(got):
            assert close(got, called(theirs, row[None])[0])


@pytest.mark.parametrize("kernel", [3, 4])
def test_convolution_same(kernel: int) -> None:
    """Without a stride Keras' split is ours, an even kernel included."""
    rows = rows_of()
    theirs = keras.layers.Conv1D(FEATURES, kernel, padding="same")
    weight, bias = randomise(theirs, (1, 9, CHANNELS))
    net = Conv(FEATURES, kernel=kernel).build(CHANNELS).double()
    net.load_state_dict({"weight": weight.permute(2, 1, 0), "bias": bias})
    for got, row in zip(answers(net, rows), rows, strict=True):
        assert close(got, called(theirs, row[None])[0])


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_separable_convolution(padding: Literal["valid", "same"]) -> None:
    rows = rows_of()
    theirs = keras.layers.SeparableConv1D(FEATURES, 3, padding=padding)
    depthwise, pointwise, bias = randomise(theirs, (1, 9, CHANNELS))
    net = Conv(FEATURES, kernel=3, padding=padding, separable=True).build(CHANNELS).double()
    net.load_state_dict({"weight": depthwise.permute(1, 2, 0), "pointwise": pointwise[0].T, "bias": bias})
    for got, row in zip(answers(net, rows), rows, strict=True):
        if len(got):
            assert close(got, called(theirs, row[None])[0])


def test_the_mnist_network_of_every_tutorial() -> None:
    """Convolution 3x3, pool 2, twice, `valid` and dropping what does not fit: 28 -> 26 -> 13 -> 11 -> 5, 1600 numbers."""
    picture = torch.rand(2, 28, 28, 1, dtype=torch.float64)
    layers = keras.layers
    theirs = keras.Sequential([layers.Conv2D(32, 3), layers.MaxPooling2D(2), layers.Conv2D(64, 3), layers.MaxPooling2D(2)])
    weights = randomise(theirs, (2, 28, 28, 1))
    values = picture
    specs = (Conv(32, kernel=3, padding="valid"), Pool(2, partial="drop"), Conv(64, kernel=3, padding="valid"), Pool(2, partial="drop"))
    shape: tuple[int, ...] = (28, 1)
    for spec in specs:
        net = spec.build(shape).double()
        if isinstance(spec, Conv):
            kernel, bias, *weights = weights
            net.load_state_dict({"weight": kernel.permute(3, 2, 0, 1), "bias": bias})
        with torch.no_grad():
            values = net(Seq(values)).seq.values
        shape = net.out_shape
    assert values.shape == (2, 5, 5, 64)
    assert close(values, called(theirs, picture))


@pytest.mark.parametrize("kind", ["max", "mean"])
@pytest.mark.parametrize(("partial", "padding"), [("drop", "valid"), ("keep", "same")])
def test_pooling(kind: Literal["max", "mean"], partial: Literal["drop", "keep"], padding: str) -> None:
    """`same` pads on the left where two or more frames are missing; windows of 2 miss one at most, so the rules agree."""
    rows = [row for row in rows_of() if len(row) > 1]
    theirs = (keras.layers.MaxPooling1D if kind == "max" else keras.layers.AveragePooling1D)(2, padding=padding)
    net = Pool(2, kind=kind, partial=partial).build(CHANNELS).double()
    for got, row in zip(answers(net, rows), rows, strict=True):
        assert close(got, called(theirs, row[None])[0])
