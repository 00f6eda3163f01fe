"""Convolution, pooling and normalisation against Keras with the same weights. Where Keras knows no mask: row by row, ours all at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from convrnn.layers.base import Spec
from convrnn.layers.combine import Serial
from convrnn.layers.conv import Conv
from convrnn.layers.norm import BatchNorm, LayerNorm, RMSNorm
from convrnn.layers.norm_whole import GroupNorm
from convrnn.layers.pool import Pool
from convrnn.layers.transposed import ConvTranspose
from convrnn.layers.window import TimeDistributed
from tests.oracles.asked import Transfer, ours, random_leaves
from tests.oracles.conftest import Versus
from tests.oracles.ledger import Ledger
from tests.oracles.on_jax import agrees
from tests.oracles.on_keras import keras, masked, precise, row_by_row
from tests.oracles.transfer import keras_separable, kernel_last, named, within

PEER = "Keras"
FEATURES, CHANNELS = 5, 3
LENGTHS = (9, 0, 4, 1, 7)
layers = keras.layers


def same(page: Ledger, spec: Spec, layer: Any, frame: Sequence[int], transfer: Transfer, dtype: torch.dtype, least: int = 1) -> None:
    """Ours on ragged rows, theirs on each row of at least `least` frames."""
    layer.build((1, max(LENGTHS), *frame))
    leaves = random_leaves([(sum(LENGTHS), *frame), *(w.shape for w in layer.trainable_variables)], dtype)
    agrees(page, ours(spec.build(tuple(frame)), LENGTHS, transfer), row_by_row(layer, LENGTHS, least), leaves)


# ---- convolution


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (1, 2), (2, 1), (3, 1)])
@pytest.mark.parametrize("padding", ["valid", "causal"])
def test_convolution(padding: Literal["valid", "causal"], stride: int, dilation: int, dtype: torch.dtype, versus: Versus) -> None:
    """Keras refuses a stride together with a dilation."""
    precise(dtype)
    spec = Conv(FEATURES, kernel=3, stride=stride, dilation=dilation, padding=padding)
    layer = layers.Conv1D(FEATURES, 3, strides=stride, dilation_rate=dilation, padding=padding)
    least = 2 * dilation + 1 if padding == "valid" else 1
    same(versus(PEER, f"Conv1D {padding}"), spec, layer, (CHANNELS,), kernel_last, dtype, least)


@pytest.mark.parametrize(("kernel", "dilation", "groups"), [(3, 1, 1), (4, 1, 1), (3, 2, 1), (2, 3, 1), (3, 1, 3)])
def test_convolution_same(kernel: int, dilation: int, groups: int, dtype: torch.dtype, versus: Versus) -> None:
    """Without a stride Keras' split of the padding is ours, an even kernel included."""
    precise(dtype)
    spec = Conv(6, kernel=kernel, dilation=dilation, groups=groups)
    layer = layers.Conv1D(6, kernel, dilation_rate=dilation, groups=groups, padding="same")
    same(versus(PEER, "Conv1D same"), spec, layer, (CHANNELS,), kernel_last, dtype)


@pytest.mark.parametrize(("space", "made"), [((5,), "Conv2D"), ((5, 4), "Conv3D")])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_convolution_over_space(
    padding: Literal["valid", "same"], space: tuple[int, ...], made: str, dtype: torch.dtype, versus: Versus
) -> None:
    precise(dtype)
    layer = getattr(layers, made)(FEATURES, 3, padding=padding)
    spec = Conv(FEATURES, kernel=3, padding=padding)
    same(versus(PEER, f"{made} {padding}"), spec, layer, (*space, CHANNELS), kernel_last, dtype, 3 if padding == "valid" else 1)


@pytest.mark.parametrize(("padding", "stride"), [("valid", 1), ("valid", 2), ("same", 1)])
def test_separable_convolution(padding: Literal["valid", "same"], stride: int, dtype: torch.dtype, versus: Versus) -> None:
    precise(dtype)
    spec = Conv(FEATURES, kernel=3, stride=stride, padding=padding, separable=True)
    layer = layers.SeparableConv1D(FEATURES, 3, strides=stride, padding=padding)
    least = 3 if padding == "valid" else 1
    same(versus(PEER, f"SeparableConv1D {padding}"), spec, layer, (CHANNELS,), keras_separable, dtype, least)


def test_the_mnist_network_of_every_tutorial(dtype: torch.dtype, versus: Versus) -> None:
    """Convolution 3x3, pool 2, twice, `valid` and dropping what does not fit: 28 -> 26 -> 13 -> 11 -> 5, 1600 numbers."""
    precise(dtype)
    net = Serial(Conv(32, padding="valid"), Pool(2, partial="drop"), Conv(64, padding="valid"), Pool(2, partial="drop")).build((28, 1))
    stack = keras.Sequential([layers.Conv2D(32, 3), layers.MaxPooling2D(2), layers.Conv2D(64, 3), layers.MaxPooling2D(2)])
    stack.build((1, 28, 28, 1))
    leaves = random_leaves([(56, 28, 1), *(w.shape for w in stack.trainable_variables)], dtype)

    def transfer(weights: list[Tensor]) -> dict[str, Tensor]:
        return within("layers.0", kernel_last(weights[:2])) | within("layers.2", kernel_last(weights[2:]))

    assert net.out_shape == (5, 64) and net.frames(28) == 5
    agrees(versus(PEER, "the MNIST network"), ours(net, (28, 28), transfer), row_by_row(stack, (28, 28)), leaves)


@pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (5, 2), (3, 3), (5, 3)])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_transposed_convolution(padding: Literal["valid", "same"], kernel: int, stride: int, dtype: torch.dtype, versus: Versus) -> None:
    precise(dtype)
    spec = ConvTranspose(FEATURES, kernel=kernel, stride=stride, padding=padding)
    layer = layers.Conv1DTranspose(FEATURES, kernel, strides=stride, padding=padding)
    same(versus(PEER, f"Conv1DTranspose {padding}"), spec, layer, (CHANNELS,), kernel_last, dtype)


def test_transposed_convolution_over_space(dtype: torch.dtype, versus: Versus) -> None:
    precise(dtype)
    spec = ConvTranspose(FEATURES, kernel=(4, 3), stride=(2, 1))
    layer = layers.Conv2DTranspose(FEATURES, (4, 3), strides=(2, 1), padding="same")
    same(versus(PEER, "Conv2DTranspose same"), spec, layer, (5, CHANNELS), kernel_last, dtype)


def test_time_distributed_convolution(dtype: torch.dtype, versus: Versus) -> None:
    """A picture `[H, W, C]` in each frame: its height takes the place of time in the body."""
    precise(dtype)
    spec = TimeDistributed(Conv(FEATURES, kernel=(3, 2), stride=(2, 1), padding="valid"))
    layer = layers.TimeDistributed(layers.Conv2D(FEATURES, (3, 2), strides=(2, 1)))

    def transfer(weights: list[Tensor]) -> dict[str, Tensor]:
        return within("body", kernel_last(weights))

    same(versus(PEER, "TimeDistributed(Conv2D)"), spec, layer, (6, 5, CHANNELS), transfer, dtype)


# ---- pooling

POOLS = {"max": layers.MaxPooling1D, "mean": layers.AveragePooling1D}


@pytest.mark.parametrize(
    ("partial", "padding", "window", "stride"), [("drop", "valid", 2, 2), ("drop", "valid", 3, 2), ("keep", "same", 2, 2)]
)
@pytest.mark.parametrize("kind", POOLS)
def test_pooling(
    kind: Literal["max", "mean"],
    partial: Literal["drop", "keep"],
    padding: str,
    window: int,
    stride: int,
    dtype: torch.dtype,
    versus: Versus,
) -> None:
    """`same` with windows of 2 misses one frame at most, which it puts behind the row as ours does."""
    precise(dtype)
    layer = POOLS[kind](window, strides=stride, padding=padding)
    spec = Pool(window, stride=stride, kind=kind, partial=partial)
    least = window if padding == "valid" else 1
    same(versus(PEER, f"{type(layer).__name__} {padding}"), spec, layer, (CHANNELS,), lambda weights: {}, dtype, least)


# ---- normalisation


def test_layer_norm(dtype: torch.dtype, versus: Versus) -> None:
    precise(dtype)
    layer = layers.LayerNormalization(epsilon=1e-3)
    same(versus(PEER, "LayerNormalization"), LayerNorm(epsilon=1e-3), layer, (CHANNELS,), named("scale", "shift"), dtype)


def test_rms_norm(dtype: torch.dtype, versus: Versus) -> None:
    precise(dtype)
    same(versus(PEER, "RMSNormalization"), RMSNorm(epsilon=1e-3), layers.RMSNormalization(epsilon=1e-3), (4,), named("scale"), dtype)


@pytest.mark.parametrize("space", [(), (5,)], ids=["1d", "2d"])
def test_group_norm(space: tuple[int, ...], dtype: torch.dtype, versus: Versus) -> None:
    """Over the whole row: Keras knows no mask here."""
    precise(dtype)
    layer = layers.GroupNormalization(groups=2, epsilon=1e-3)
    same(versus(PEER, "GroupNormalization"), GroupNorm(2, epsilon=1e-3), layer, (*space, 4), named("scale", "shift"), dtype)


@pytest.fixture
def exact_counts() -> Iterator[None]:
    """Keras adds `keras.config.epsilon()`, 1e-7, to the number of valid frames before it divides by it: nothing, for this test."""
    fuzz = keras.config.epsilon()
    keras.config.set_epsilon(0.0)
    yield
    keras.config.set_epsilon(fuzz)


@pytest.mark.usefixtures("exact_counts")
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_batch_norm_with_a_mask(training: bool, dtype: torch.dtype, versus: Versus) -> None:
    precise(dtype)
    layer = layers.BatchNormalization(epsilon=1e-3)
    layer.build((None, None, CHANNELS))
    running = [1 + torch.arange(CHANNELS, dtype=dtype) / 2, 2 - torch.arange(CHANNELS, dtype=dtype) / 2]
    for variable, value in zip(layer.non_trainable_variables, running, strict=True):
        variable.assign(value.numpy())
    leaves = random_leaves([(sum(LENGTHS), CHANNELS), (CHANNELS,), (CHANNELS,)], dtype)

    def transfer(weights: list[Tensor]) -> dict[str, Tensor]:
        return named("scale", "shift")(weights) | {"mean": running[0].clone(), "var": running[1].clone()}

    mine = ours(BatchNorm(epsilon=1e-3).build(CHANNELS).train(training), LENGTHS, transfer)
    page = versus(PEER, "BatchNormalization with a mask")
    agrees(page, mine, masked(layer, LENGTHS, lambda answer: (answer,), training), leaves)
