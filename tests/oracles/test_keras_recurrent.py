"""Recurrent layers against Keras with the same weights, ragged rows against masked ones: values, final states and gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import pytest
import torch

from convrnn.layers.base import Spec
from convrnn.layers.recurrent import GRU, LSTM, RNN
from tests.oracles.asked import final, ours, random_leaves
from tests.oracles.conftest import Versus
from tests.oracles.on_jax import agrees
from tests.oracles.on_keras import by_kind, keras, masked, precise
from tests.oracles.transfer import AS_HERE, Z_R_N, keras_both, keras_direction

PEER = "Keras"
CHANNELS, UNITS = 3, 5
LENGTHS = (9, 0, 4, 1, 7)


class Twins(NamedTuple):
    """A cell here and in Keras.

    Attributes:
        spec: ours.
        options: ours.
        layer: theirs.
        settings: theirs.
        order: their gates in our order.
    """

    spec: Callable[..., Spec]
    options: dict[str, Any]
    layer: Callable[..., Any]
    settings: dict[str, Any]
    order: Sequence[int]

    @property
    def states(self) -> int:
        return 2 if self.spec is LSTM else 1


CELLS = {
    "SimpleRNN": Twins(RNN, {}, keras.layers.SimpleRNN, {}, (0,)),
    "SimpleRNN relu": Twins(RNN, {"nonlinearity": "relu"}, keras.layers.SimpleRNN, {"activation": "relu"}, (0,)),
    "LSTM": Twins(LSTM, {}, keras.layers.LSTM, {}, AS_HERE),
    "GRU, reset after": Twins(GRU, {"reset": "after"}, keras.layers.GRU, {"reset_after": True}, Z_R_N),
    "GRU, reset before": Twins(GRU, {"reset": "before"}, keras.layers.GRU, {"reset_after": False}, Z_R_N),
}
by_cell = pytest.mark.parametrize("cell", CELLS)


@by_cell
def test_with_a_mask(cell: str, dtype: torch.dtype, versus: Versus) -> None:
    precise(dtype)
    twins = CELLS[cell]
    layer = twins.layer(UNITS, return_sequences=True, return_state=True, **twins.settings)
    layer.build((None, None, CHANNELS))
    leaves = random_leaves([(sum(LENGTHS), CHANNELS), *(w.shape for w in layer.trainable_variables)], dtype)
    net = twins.spec(UNITS, **twins.options).build(CHANNELS)
    mine = ours(net, LENGTHS, lambda weights: keras_direction(weights, twins.order, "forward_layers.0"), final(twins.states))
    agrees(versus(PEER, cell), mine, masked(layer, LENGTHS, by_kind(twins.states)), leaves)


MERGES = [*((cell, "concat", "concat") for cell in CELLS), ("LSTM", "sum", "sum"), ("LSTM", "mean", "ave")]


@pytest.mark.parametrize(("cell", "merge", "mode"), MERGES)
def test_bidirectional_with_a_mask(
    cell: str, merge: Literal["concat", "sum", "mean"], mode: str, dtype: torch.dtype, versus: Versus
) -> None:
    precise(dtype)
    twins = CELLS[cell]
    inner = twins.layer(UNITS, return_sequences=True, return_state=True, **twins.settings)
    layer = keras.layers.Bidirectional(inner, merge_mode=mode)
    layer.build((None, None, CHANNELS))
    leaves = random_leaves([(sum(LENGTHS), CHANNELS), *(w.shape for w in layer.trainable_variables)], dtype)
    net = twins.spec(UNITS, bidirectional=True, merge=merge, **twins.options).build(CHANNELS)
    mine = ours(net, LENGTHS, lambda weights: keras_both(weights, twins.order), final(twins.states))
    agrees(versus(PEER, f"Bidirectional({cell})"), mine, masked(layer, LENGTHS, by_kind(twins.states)), leaves)
