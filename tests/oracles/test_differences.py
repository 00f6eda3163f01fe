"""Where a peer answers otherwise, and that is meant: each difference with a witness on which it shows, until the peer changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from convrnn.core.seq import Seq
from convrnn.layers.base import Layer
from convrnn.layers.both_ways import BothWays
from convrnn.layers.combine import Serial
from convrnn.layers.conv import Conv
from convrnn.layers.convrecurrent import ConvLSTM
from convrnn.layers.norm import BatchNorm
from convrnn.layers.norm_whole import CumulativeNorm
from convrnn.layers.pool import Pool
from convrnn.testing.chunks import batch_of, split_rows
from tests.oracles.on_jax import jax, jnp, padded, to_jax, to_torch
from tests.oracles.on_keras import keras, precise
from tests.oracles.on_sequence_layers import Peer, sl

Witness = Callable[[], tuple[Tensor, Tensor]]


class Difference(NamedTuple):
    """Something that a peer answers otherwise.

    Attributes:
        peer: who.
        where: the layer and the situation.
        there: what the peer does.
        here: what is done here.
        witness: one question, answered by us and by the peer.
    """

    peer: str
    where: str
    there: str
    here: str
    witness: Witness


def row(frames: int) -> Tensor:
    """One row, `[n, 1]`: 1, 2, 4, 8 ... so that every sum tells its terms."""
    return 2.0 ** torch.arange(frames, dtype=torch.float64)[:, None]


def ones(net: Layer) -> Layer:
    """In float64, every weight 1 and every bias 0."""
    with torch.no_grad():
        for name, parameter in net.double().named_parameters():
            parameter.fill_(0.0 if name.split(".")[-1] in ("b", "bias", "shift") else 1.0)
    return net


def here(net: Layer, x: Tensor) -> Tensor:
    """The answer to one row."""
    with torch.no_grad():
        return ones(net)(Seq(x[None])).seq.values[0]


def by_keras(made: Callable[[], Any], x: Tensor) -> Tensor:
    """The answer of a layer of Keras in float64 to one row."""
    precise(torch.float64)
    return to_torch(made()(x[None].numpy()))[0]


def by_sequence_layers(config: Any, rows: list[Tensor]) -> Tensor:
    """The valid frames of all rows, every weight 1 and every bias 0."""
    peer = Peer(config, [len(row) for row in rows], rows[0].shape[1:], torch.float64)
    weights = [jnp.zeros(shape) if name[-1] == "bias" else jnp.ones(shape) for name, shape in zip(peer.names, peer.shapes, strict=True)]
    return to_torch(peer.offline()([to_jax(torch.cat(rows)), *weights])[0])


# ---- torch


def overlapping_ceil() -> tuple[Tensor, Tensor]:
    return here(Pool(3, stride=2).build(1), row(5)), nn.MaxPool1d(3, 2, ceil_mode=True)(row(5).T[None])[0].T


def odd_power() -> tuple[Tensor, Tensor]:
    x = torch.tensor([[-1.0], [2.0]], dtype=torch.float64)
    return here(Pool(2, kind="lp", p=3).build(1), x), nn.LPPool1d(3, 2)(x.T[None])[0].T


# ---- Keras


def strided_same() -> tuple[Tensor, Tensor]:
    def made() -> Any:
        return keras.layers.Conv1D(1, 3, strides=2, padding="same", use_bias=False, kernel_initializer="ones")

    return here(Conv(1, stride=2, bias=False).build(1), row(6)), by_keras(made, row(6))


def pool_same() -> tuple[Tensor, Tensor]:
    return here(Pool(3).build(1), row(4)), by_keras(lambda: keras.layers.MaxPooling1D(3, padding="same"), row(4))


def padding_read() -> tuple[Tensor, Tensor]:
    """Two convolutions with a bias of 1, a row of 3 frames in a batch of 5: the second reads what the first has made of the padding."""
    net = Serial(Conv(1), Conv(1)).build(1).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(1.0)
        mine = split_rows(net(batch_of([row(5), row(3)])).seq)[1]
    precise(torch.float64)
    made = {"kernel_size": 3, "padding": "same", "kernel_initializer": "ones", "bias_initializer": "ones"}
    stack = keras.Sequential([keras.layers.Conv1D(1, **made), keras.layers.Conv1D(1, **made)])
    batch = padded(to_jax(torch.cat([row(5), row(3)])), (5, 3))
    return mine, to_torch(stack(batch))[1, :3]


def mask_over_columns() -> tuple[Tensor, Tensor]:
    """Two rows of 2 and 1 frames of 2 x 2 pictures: as many columns as rows, so the shapes happen to fit."""
    rows = [row(2)[:, None, None].expand(2, 2, 2, 1), row(1)[:, None, None].expand(1, 2, 2, 1)]
    precise(torch.float64)
    initial = {"kernel_initializer": "ones", "recurrent_initializer": "ones", "bias_initializer": "zeros", "unit_forget_bias": False}
    layer = keras.layers.ConvLSTM2D(1, 1, padding="same", **initial)
    batch = padded(to_jax(torch.cat(rows)), (2, 1))
    with torch.no_grad():
        mine = split_rows(ones(ConvLSTM(1, kernel=1).build((2, 2, 1)))(batch_of(rows)).seq)
    theirs = to_torch(layer(batch, mask=jnp.array([[True, True], [True, False]])))
    return torch.stack([frames[-1] for frames in mine]), theirs


def keras_running_variance() -> tuple[Tensor, Tensor]:
    precise(torch.float64)
    layer = keras.layers.BatchNormalization(momentum=0.9)
    layer(row(4)[None].numpy(), training=True)
    return running_variance(row(4)), to_torch(layer.moving_variance.value)


def running_variance(x: Tensor) -> Tensor:
    """After one step of training with momentum 0.1."""
    net = BatchNorm(momentum=0.1).build(1).double().train()
    net(Seq(x[None]))
    return net.get_buffer("var")


# ---- sequence-layers


def whole_window() -> tuple[Tensor, Tensor]:
    config = sl.AveragePooling1D.Config(2, strides=2, padding="reverse_causal")
    return here(Pool(2, kind="mean").build(1), row(5)), by_sequence_layers(config, [row(5)])


def centred_pool() -> tuple[Tensor, Tensor]:
    config = sl.MaxPooling1D.Config(3, strides=3, padding="same")
    return here(Pool(3).build(1), row(6)), by_sequence_layers(config, [row(6)])


def running_deviations() -> tuple[Tensor, Tensor]:
    config = sl.GroupNormalization.Config(1, cumulative=True, epsilon=1e-6, param_dtype=jnp.float64)
    x = torch.cat([row(5), torch.zeros(5, 1, dtype=torch.float64)], -1)
    return here(CumulativeNorm(epsilon=1e-6).build(2), x), by_sequence_layers(config, [x])


def shrinking() -> tuple[Tensor, Tensor]:
    inner = sl.Conv1D.Config(1, 3, padding="causal_valid", param_dtype=jnp.float64)
    config = sl.Bidirectional.Config(inner, inner, combination=sl.CombinationMode.ADD)
    net = ones(BothWays(Conv(1, padding="causal"), merge="sum").build(1))
    rows = [row(5), row(3)]
    with torch.no_grad():
        return torch.cat(split_rows(net(batch_of(rows)).seq)), by_sequence_layers(config, rows)


def flax_running_variance() -> tuple[Tensor, Tensor]:
    layer = sl.BatchNormalization.Config(momentum=0.9, param_dtype=jnp.float64).make()
    x = sl.Sequence.from_lengths(to_jax(row(4))[None], jnp.array([4]))
    variables = layer.init(jax.random.key(0), x, training=False)
    _, after = layer.apply(variables, x, training=True, mutable=["batch_stats"])
    (statistics,) = after["batch_stats"].values()
    return running_variance(row(4)), to_torch(statistics["var"]).double()


BESSEL = "n - 1 in the running variance, as torch has it"
DIFFERENCES = (
    Difference(
        "torch.nn",
        "MaxPool1d(ceil_mode), overlapping windows",
        "a last window of frames that the one before has seen is left out",
        "ceil(n / stride) frames",
        overlapping_ceil,
    ),
    Difference(
        "torch.nn",
        "LPPool1d, an odd power of negative values",
        "powers keep their sign, the root of a sum below 0 is NaN",
        "a norm, of sizes",
        odd_power,
    ),
    Difference(
        "Keras",
        "Conv1D same, strided, 6 frames",
        "zeros before a row depend on its length",
        "(span - 1) // 2 for every length",
        strided_same,
    ),
    Difference(
        "Keras", "MaxPooling1D same, window 3", "windows begin before the row where frames are missing", "window j at frame 3 j", pool_same
    ),
    Difference("Keras", "two Conv1D on a padded batch", "no mask, the padding is read", "a row answers as it would alone", padding_read),
    Difference(
        "Keras",
        "ConvLSTM2D with a mask, on JAX",
        "the mask of rows falls on columns where there are as many, and is refused elsewhere (right with unroll=True)",
        "rows end where they end",
        mask_over_columns,
    ),
    Difference("Keras", "BatchNormalization, training", "n in the running variance", BESSEL, keras_running_variance),
    Difference(
        "sequence-layers",
        "AveragePooling1D, last window cut short",
        "divided by the whole window (unless masked_average)",
        "by its frames",
        whole_window,
    ),
    Difference("sequence-layers", "MaxPooling1D same", "windows are centred", "window j begins at frame j stride", centred_pool),
    Difference(
        "sequence-layers",
        "GroupNormalization(cumulative)",
        "squares around the mean of their own time are summed",
        "the variance of all frames so far",
        running_deviations,
    ),
    Difference(
        "sequence-layers",
        "Bidirectional(Conv1D causal_valid), ragged",
        "rows lose frames to the padding",
        "BothWays: frames out are frames in",
        shrinking,
    ),
    Difference("sequence-layers", "BatchNormalization, training", "n in the running variance", BESSEL, flax_running_variance),
)


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda d: f"{d.peer}: {d.where}")
def test_difference_is_real(difference: Difference, documented: Callable[[str], None]) -> None:
    """Other frames, or values apart by more than a thousandth of the largest."""
    mine, other = difference.witness()
    documented(f"{difference.peer}: {difference.where}: there {difference.there}; here {difference.here}")
    assert mine.shape != other.shape or float((mine - other).abs().max()) > 1e-3 * float(mine.abs().max())


@pytest.mark.parametrize(("stride", "frames"), [(2, 5), (2, 7), (3, 7), (3, 5)])
def test_keras_strided_same_where_its_padding_coincides(stride: int, frames: int) -> None:
    """Kernel 3: one zero before the row is needed, and so put, where (ceil(n / stride) - 1) stride + 3 - n is 2 or 3."""
    made = {"strides": stride, "padding": "same", "use_bias": False, "kernel_initializer": "ones"}
    theirs = by_keras(lambda: keras.layers.Conv1D(1, 3, **made), row(frames))
    missing = (-(-frames // stride) - 1) * stride + 3 - frames
    mine = here(Conv(1, stride=stride, bias=False).build(1), row(frames))
    assert torch.equal(mine, theirs) == (missing in (2, 3))
