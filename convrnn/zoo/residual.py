"""Deep convolutional classifiers of series with skips: `resnet`, `inception-time`. Knows no recurrence."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from convrnn.layers.base import Spec
from convrnn.layers.blocks import Repeat
from convrnn.layers.combine import Parallel, Serial
from convrnn.layers.conv import Conv
from convrnn.layers.framewise import Activation
from convrnn.layers.norm import BatchNorm
from convrnn.layers.pool import Pool
from convrnn.layers.pool_whole import GlobalPool
from convrnn.zoo.base import Fingerprint, Paper, entry
from convrnn.zoo.blocks import ANNEALED, EVERY_KIND, Depth, Width, conv_block, frames_of, stack

_RESNET = Paper("Wang, Yan & Oates", 2017, "Time series classification from scratch with deep neural networks", "1611.06455")
_INCEPTION = Paper("Ismail Fawaz et al.", 2020, "InceptionTime: finding AlexNet for time series classification", "1909.04939")

Longest = Annotated[int, Field(ge=4, description="frames that the longest convolution reads; the others half and a quarter of it")]


@entry("resnet", kinds=EVERY_KIND, papers=(_RESNET,), settings={**ANNEALED, "rate": 1e-3})
def resnet(data: Fingerprint, *, width: Width = 64, depth: Depth = 3) -> Spec:
    """Residual blocks, each of three convolutions of kernel 8, 5, 3 with batch norm, and the mean over time.

    Widths 64, 128, 128 as published (`width`, then twice that), whatever the number of rows. Where a block changes the width its input goes
    by through a convolution of kernel 1 and batch norm, else through batch norm alone. Adam at 1e-3 as published; one-cycle in place of
    the paper's reduction on a plateau. Streams.
    """
    first = width or 64
    widths = [first * 2 ** min(i, 1) for i in range(depth)]
    before = [0, *widths]
    blocks = [_residual(_three(w), w, projected=w != b) for w, b in zip(widths, before, strict=False)]
    return stack(frames_of(data), *blocks, (GlobalPool("mean"),))


def _three(width: int) -> Serial:
    return Serial(Serial(*conv_block(width, 8)), Serial(*conv_block(width, 5)), Serial(*_linear_block(width, 3)))


def _linear_block(width: int, kernel: int) -> tuple[Spec, ...]:
    """Convolution and batch norm."""
    return Conv(width, kernel=kernel, bias=False), BatchNorm()


def _residual(body: Spec, width: int, *, projected: bool) -> tuple[Spec, ...]:
    """relu(body(x) + skip(x)), the skip normalised too."""
    skip = Serial(*_linear_block(width, 1)) if projected else BatchNorm()
    return Parallel(skip, body, merge="add"), Activation("relu")


@entry("inception-time", kinds=EVERY_KIND, papers=(_INCEPTION,), settings={**ANNEALED, "rate": 1e-3})
def inception_time(data: Fingerprint, *, width: Width = 32, depth: Depth = 6, kernel: Longest = 40) -> Spec:
    """Inception modules: convolutions of 40, 20 and 10 frames side by side behind a bottleneck, a skip over every three of them.

    One network of the five that the paper averages: train it with five seeds and average the probabilities for the ensemble. Bottleneck
    and branches 32 wide, 6 modules, as published. Adam at 1e-3 as published; one-cycle in place of its reduction on a plateau. The pool
    of a module reads its frame and the two after it, where the published one is centred. Series of up to `width` channels have no
    bottleneck in the first module, where the authors' code leaves it out for a single channel only. Streams.
    """
    narrow = width or 32
    module = _module(narrow, kernel, bottleneck=True)
    blocks: list[tuple[Spec, ...]] = []
    for start in range(0, depth, 3):
        number = min(3, depth - start)
        direct = start == 0 and data.channels <= narrow and data.kind == "series"
        body = (
            Serial(*_module(narrow, kernel, bottleneck=False), *_several(module, number - 1)) if direct else stack(_several(module, number))
        )
        blocks.append(_residual(body, 4 * narrow, projected=True) if number == 3 else body.layers)
    return stack(frames_of(data), *blocks, (GlobalPool("mean"),))


def _several(module: tuple[Spec, ...], number: int) -> tuple[Spec, ...]:
    return (Repeat(Serial(*module), number),) if number > 1 else module * number


def _module(narrow: int, kernel: int, *, bottleneck: bool) -> tuple[Spec, ...]:
    """Four branches of equal width."""
    several = Parallel(*(Conv(narrow, kernel=max(1, kernel // 2**i), bias=False) for i in range(3)))
    wide = Serial(Conv(narrow, kernel=1, bias=False), several) if bottleneck else several
    pooled = Serial(Pool(3, stride=1), Conv(narrow, kernel=1, bias=False))
    return Parallel(wide, pooled), BatchNorm(), Activation("relu")
