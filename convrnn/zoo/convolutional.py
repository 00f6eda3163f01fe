"""Convolution alone: `cnn`, `fcn`, `tcn`, `text-cnn`, `mnist-cnn`. Knows no recurrence."""

from __future__ import annotations

import math

from convrnn.core.errors import ShapeError
from convrnn.core.language import tr
from convrnn.core.seq import Ids
from convrnn.layers.base import Spec
from convrnn.layers.combine import Parallel, Residual, Serial
from convrnn.layers.conv import Conv
from convrnn.layers.embed import Embedding
from convrnn.layers.framewise import Activation, Flatten, Fold, Linear
from convrnn.layers.norm import BatchNorm
from convrnn.layers.pool import Pool
from convrnn.layers.pool_whole import GlobalPool
from convrnn.zoo.base import Fingerprint, Paper, entry
from convrnn.zoo.blocks import (
    ANNEALED,
    EVERY_KIND,
    Depth,
    Drop,
    Kernel,
    PoolKind,
    PoolRule,
    Width,
    conv_block,
    dropped,
    frames_of,
    picture_blocks,
    pool_windows,
    stack,
    width_for,
)

_LENET = Paper("LeCun, Bottou, Bengio & Haffner", 1998, "Gradient-based learning applied to document recognition")
_FCN = Paper("Wang, Yan & Oates", 2017, "Time series classification from scratch with deep neural networks", "1611.06455")
_TCN = Paper(
    "Bai, Kolter & Koltun",
    2018,
    "An empirical evaluation of generic convolutional and recurrent networks for sequence modeling",
    "1803.01271",
)
_KIM = Paper("Kim", 2014, "Convolutional neural networks for sentence classification", "1408.5882")


@entry("cnn", kinds=EVERY_KIND, papers=(_LENET,), settings=ANNEALED)
def cnn(
    data: Fingerprint, *, width: Width = None, depth: Depth = 3, kernel: Kernel = 3, dropout: Drop = 0.3, pool: PoolKind = "max"
) -> Spec:
    """Blocks of convolution, batch norm, ReLU and max pooling, each twice as wide as the one before, then one frame. Streams.

    Images are convolved over both sides; the height that is left is folded into channels before time is pooled.
    """
    first = width_for(data, 32 if data.kind == "image" else 64, width)
    widths = [first * 2 ** min(i, 2) for i in range(depth)]
    if data.kind == "image":
        return stack(picture_blocks(data, widths, kernel, shortening=depth, least=4), (Fold(), GlobalPool(pool)), dropped(dropout))
    blocks = [conv_block(w, kernel, p) for w, p in zip(widths, pool_windows(data.lengths[1], depth), strict=True)]
    return stack(frames_of(data, dropout), *blocks, (GlobalPool(pool),), dropped(dropout))


@entry("fcn", kinds=EVERY_KIND, papers=(_FCN,), settings={**ANNEALED, "rate": 1e-3})
def fcn(data: Fingerprint, *, width: Width = 128) -> Spec:
    """Three convolutions of kernel 8, 5, 3 with batch norm and ReLU, and the mean over time.

    Widths 128, 256, 128 as published (`width`, twice that, `width`), whatever the number of rows. Adam at 1e-3 as published; one-cycle in
    place of the paper's reduction on a plateau. Streams.
    """
    width = width or 128
    return stack(frames_of(data), *fcn_blocks(width), (GlobalPool("mean"),))


def fcn_blocks(width: int) -> tuple[tuple[Spec, ...], ...]:
    """The three blocks of FCN, also the convolutional branch of LSTM-FCN."""
    return conv_block(width, 8), conv_block(2 * width, 5), conv_block(width, 3)


@entry("tcn", kinds=EVERY_KIND, papers=(_TCN,), settings=ANNEALED, version=2)
def tcn(
    data: Fingerprint, *, width: Width = None, depth: Depth = 3, kernel: Kernel = 7, dropout: Drop = 0.1, pool: PoolRule = None
) -> Spec:
    """Temporal convolution: residual blocks of two dilated causal convolutions. Streams with no lookahead.

    The dilations are powers of the smallest base from 2 to `kernel` (above it frames would be skipped) with which the last output reads a
    whole row of the longest: 1 + 2 (kernel - 1) (1 + base + ... + base^(depth - 1)) frames. Where even base = kernel falls short, the
    opening convolution strides. Batch norm stands for the paper's weight norm, and the mean over time for its last frame (`pool="last"`);
    but where rows are aligned, as DNA around a site, it is the last frame, which reads each place of the row with weights of its own.

    The blocks are not quite the paper's, which have a ReLU behind the second convolution too, before the sum, and dropout behind both
    convolutions: here dropout stands in front of the head alone. Nor has the paper an opening convolution, of kernel 1 where it does not
    stride: there one of kernel 1 stands on the skip of a block that changes the width.
    """
    features, longest = width_for(data, 64, width), data.lengths[2]
    base = next((b for b in range(2, kernel) if _reach(kernel, b, depth) >= longest), max(kernel, 2))
    stride = math.ceil(longest / _reach(kernel, base, depth))
    opening = Conv(features, kernel=stride, stride=stride, padding="causal")
    blocks = [_temporal_block(features, kernel, base**i) for i in range(depth)]
    return stack(frames_of(data), (opening,), *blocks, (GlobalPool(pool or ("last" if data.aligned else "mean")),), dropped(dropout))


def _reach(kernel: int, base: int, depth: int) -> int:
    return 1 + 2 * (kernel - 1) * sum(base**i for i in range(depth))


def _temporal_block(features: int, kernel: int, dilation: int) -> tuple[Spec, ...]:
    def conv() -> Conv:
        return Conv(features, kernel=kernel, dilation=dilation, padding="causal", bias=False)

    return Residual(Serial(conv(), BatchNorm(), Activation("relu"), conv(), BatchNorm())), Activation("relu")


@entry(
    "text-cnn",
    kinds=("text",),
    papers=(_KIM,),
    settings={"optimizer": "adam", "rate": 1e-3, "schedule": "constant", "batch": 50, "patience": 3},
)
def text_cnn(data: Fingerprint, *, embedding: Width = 300, maps: Width = 100, dropout: Drop = 0.5) -> Spec:
    """Convolutions of 3, 4 and 5 words side by side, 100 maps each, the maximum of each map over time, dropout 0.5.

    The paper's CNN-rand: vectors of 300, learned from nothing. `same` padding, so that a sentence of two words has an answer. Adam in
    place of Adadelta, batches of 50 as published; the bound of 3 on the norm of the head's weights is left out. It has learned the rows
    by heart after some ten epochs: the training stops 3 after the best. Streams.
    """
    branches = [Serial(Conv(maps or 100, kernel=words), Activation("relu"), GlobalPool("max")) for words in (3, 4, 5)]
    return Serial(Embedding(embedding or 300, init="he"), Parallel(*branches), *dropped(dropout))


@entry(
    "mnist-cnn",
    kinds=("image",),
    papers=(_LENET,),
    settings={"optimizer": "adam", "rate": 1e-3, "schedule": "constant", "batch": 32, "epochs": 5, "clip": None},
)
def mnist_cnn(data: Fingerprint) -> Spec:
    """The network of every tutorial: convolution 32, pool, convolution 64, pool, flatten, dense 64; pictures of one size only.

    Valid 3x3 convolutions with ReLU, 2x2 max pools that drop the odd rest, Glorot weights, as in Keras: with its head of 10 it has
    121,930 parameters on 28x28x1. Adam at 1e-3, batches of 32, 5 epochs. Streams.
    """
    assert not isinstance(data.in_shape, Ids)
    if data.fixed_length is None:
        raise ShapeError(
            "mnist-cnn",
            tr("expected pictures of one width, got {least} to {most}", least=data.lengths[0], most=data.lengths[2]),
            tr("resize them, or write a spec with Pool(windows=n) before Flatten(frames=n), or use crnn"),
        )
    frames, height = (((size - 2) // 2 - 2) // 2 for size in (data.fixed_length, data.in_shape[0]))
    if min(frames, height) < 1:
        raise ShapeError(
            "mnist-cnn",
            tr(
                "expected pictures of at least 10x10, got {height}x{width}",
                height=data.in_shape[0],
                width=data.fixed_length,
            ),
            tr("use crnn"),
        )
    halve = Pool(2, partial="drop")
    return Serial(
        Conv(32, padding="valid", init="xavier"),
        Activation("relu"),
        halve,
        Conv(64, padding="valid", init="xavier"),
        Activation("relu"),
        halve,
        Flatten(frames),
        Linear(64),
        Activation("relu"),
    )
