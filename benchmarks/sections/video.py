"""Section 7: ConvLSTM, training, against the usual PyTorch cell and Keras `ConvLSTM2D`. Knows no clock.

Each side has its frames in the layout that is its own: channels last for ours and Keras, first for the PyTorch cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import steps
import torch
from contest import Asked, Bout, Case, Sizes, lengths_of, values_of
from peers import plain_torch
from torch import Tensor

from convrnn.layers.base import Layer
from convrnn.layers.convrecurrent import ConvLSTM

CELLS = ("conv-lstm",)

SHAPES: tuple[Sizes, ...] = ((8, 10, 16, 32),)
TINY: tuple[Sizes, ...] = ((2, 3, 4, 5),)
SIDE = {SHAPES[0]: 32, TINY[0]: 6}
"""Frames are squares of so many positions."""


def cases(asked: Asked) -> Iterator[Case]:
    """Full rows."""
    for cell in asked.cells_of(CELLS):
        for sizes in asked.shapes_of(SHAPES, TINY):
            yield Case(7, cell, "train", "torch cell", sizes, 1, False, _against_cell(sizes))
            yield Case(7, cell, "train", "Keras", sizes, 1, False, _against_keras(sizes))


def _made(sizes: Sizes) -> tuple[Layer, Tensor, Tensor]:
    """The layer, values `[B, T, Y, X, C]` and lengths."""
    torch.manual_seed(0)
    rows, frames, channels, units = sizes
    side = SIDE[sizes]
    net = ConvLSTM(units, kernel=3).build((side, side, channels))
    return net, values_of(rows, frames, side, side, channels), lengths_of(rows, frames, False)


def _against_cell(sizes: Sizes) -> Callable[[], Bout]:
    def begin() -> Bout:
        net, x, lengths = _made(sizes)
        peer = plain_torch.conv_lstm(net)
        difference = steps.trained_alike(net, peer._replace(answer=_channels_last(peer.answer)), x, lengths)
        first = x.movedim(-1, 2).contiguous()
        ours = steps.training(steps.ours(net), list(net.parameters()), x, lengths)
        return Bout(ours, steps.training(peer.answer, peer.parameters, first, lengths), difference)

    return begin


def _channels_last(function: steps.Function) -> steps.Function:
    """The same on frames, outputs and states with channels last, to be compared."""

    def answer(x: Tensor, lengths: Tensor) -> steps.Answer:
        y, states = function(x.movedim(-1, 2), lengths)
        return y.movedim(2, -1), [state.movedim(1, -1) for state in states]

    return answer


def _against_keras(sizes: Sizes) -> Callable[[], Bout]:
    def begin() -> Bout:
        # TensorFlow is needed where it is timed: without it the other rival still is (`--rival torch`).
        from peers import on_keras

        net, x, lengths = _made(sizes)
        function = steps.ours(net)
        cotangents = steps.cotangents_of(function(x, lengths), lengths)
        ours = steps.weighted(function, cotangents, steps.still(net), x, lengths)
        theirs = on_keras.conv_lstm(net, x, cotangents)
        loss = ours()
        gradients = {name: steps.gradient(weight) for name, weight in net.named_parameters()}
        difference = steps.fitted_alike(loss, on_keras.conv_lstm_weights(gradients), theirs.gradients())
        return Bout(ours, theirs.step, difference)

    return begin
