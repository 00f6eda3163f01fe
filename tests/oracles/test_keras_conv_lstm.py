"""ConvLSTM against `ConvLSTM1D` and `ConvLSTM2D` of Keras with the same weights: ragged, both directions, stateful; `same` padding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from convrnn.core.seq import Seq, State
from convrnn.layers.convrecurrent import ConvLSTM
from convrnn.testing.chunks import make_rows
from tests.oracles.asked import final, ours, random_leaves
from tests.oracles.conftest import Versus
from tests.oracles.on_jax import agrees, to_jax, to_torch
from tests.oracles.on_keras import by_kind, keras, masked, precise
from tests.oracles.transfer import Parameters, keras_conv_lstm

PEER = "Keras"
FEATURES, CHANNELS = 3, 2
LENGTHS = (5, 0, 3, 1)
SPACES: dict[str, tuple[tuple[int, ...], int | tuple[int, ...]]] = {
    "ConvLSTM1D": ((5,), 3),
    "ConvLSTM1D even": ((6,), 4),
    "ConvLSTM2D": ((5, 4), 3),
    "ConvLSTM2D oblong": ((4, 6), (2, 5)),
}
by_space = pytest.mark.parametrize("name", SPACES)


def made(name: str, **options: Any) -> Any:
    """The layer of this name; see `test_differences.py` on why a mask needs `unroll`."""
    return getattr(keras.layers, name.split()[0])(FEATURES, SPACES[name][1], padding="same", return_sequences=True, **options)


def one_direction(weights: list[Tensor]) -> Parameters:
    return keras_conv_lstm(weights, "forward_layers.0")


def two_directions(weights: list[Tensor]) -> Parameters:
    return keras_conv_lstm(weights[:3], "forward_layers.0") | keras_conv_lstm(weights[3:], "backward_layers.0")


WAYS = [*((name, False) for name in SPACES), ("ConvLSTM1D", True), ("ConvLSTM2D oblong", True)]


@pytest.mark.parametrize(("name", "both"), WAYS)
def test_with_a_mask(name: str, both: bool, dtype: torch.dtype, versus: Versus) -> None:
    precise(dtype)
    space, kernel = SPACES[name]
    layer = made(name, return_state=True, unroll=True)
    if both:
        layer = keras.layers.Bidirectional(layer)
    layer.build((len(LENGTHS), max(LENGTHS), *space, CHANNELS))
    leaves = random_leaves([(sum(LENGTHS), *space, CHANNELS), *(w.shape for w in layer.trainable_variables)], dtype)
    net = ConvLSTM(FEATURES, kernel=kernel, bidirectional=both).build((*space, CHANNELS))
    mine = ours(net, LENGTHS, two_directions if both else one_direction, final(2))
    page = versus(PEER, f"Bidirectional({name.split()[0]})" if both else name.split()[0])
    agrees(page, mine, masked(layer, LENGTHS, by_kind(2)), leaves, compiled=False)


@by_space
def test_stateful(name: str, dtype: torch.dtype, versus: Versus) -> None:
    """Two batches of 4 and 3 frames, the state kept in between: there on the layer, here handed on."""
    precise(dtype)
    space, kernel = SPACES[name]
    layer = made(name, stateful=True)
    layer.build((2, 4, *space, CHANNELS))
    _, *weights = random_leaves([(0,), *(w.shape for w in layer.trainable_variables)], dtype)
    for variable, value in zip(layer.trainable_variables, weights, strict=True):
        variable.assign(to_jax(value))
    x = torch.stack(make_rows((*space, CHANNELS), (7, 7), 3, dtype))
    net = ConvLSTM(FEATURES, kernel=kernel).build((*space, CHANNELS))
    state: State = None
    for chunk in x.split([4, 3], dim=1):
        seq, state = functional_call(net, one_direction(weights), (Seq(chunk), state, False))
        versus(PEER, f"{name.split()[0]} stateful").close("output", seq.values, to_torch(layer(to_jax(chunk))))
