"""What several entries share: the options and their meaning, the rules that fit widths to the data, and the first layers. Knows no entry.

The rules, in one place:

* *width* (`width_for`): the full width from 500 rows on, half of it below: with few rows a wider net only learns them by heart.
* *pooling* (`pool_windows`): windows shared out over the blocks so that a row of median length comes out with about 24 frames.
* *place* (`Fingerprint.aligned`): texts of one length in a few symbols, such as DNA around a site: what a symbol means, its place says.
* *embedding* (`embedding_width`): 64 below 1,000 symbols (characters of a European language), 128 above.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field

from convrnn.core.seq import Ids
from convrnn.layers.base import Spec
from convrnn.layers.combine import Serial
from convrnn.layers.conv import Conv
from convrnn.layers.dropout import Dropout
from convrnn.layers.embed import Embedding
from convrnn.layers.framewise import Activation, Fold
from convrnn.layers.norm import BatchNorm
from convrnn.layers.pool import Pool
from convrnn.zoo.base import Fingerprint, Kind, Value

EVERY_KIND: tuple[Kind, ...] = ("series", "text", "image", "audio")

Depth = Annotated[int, Field(gt=0, le=8, description="blocks, or recurrent layers, one on the other")]
Drop = Annotated[float, Field(ge=0, lt=1, description="dropout rate before the head (and between recurrent layers)")]
Frames = Annotated[int | None, Field(gt=0, description="frames; null: by the length of the rows")]
Fusion = Annotated[
    Literal["concat", "add", "mean", "multiply", "gate", "attention"], Field(description="how the answers of the branches become one")
]
Kernel = Annotated[int, Field(gt=0, description="frames that a convolution reads")]
PoolKind = Annotated[Literal["last", "mean", "max", "attention"], Field(description="how the frames of a row become one")]
PoolRule = Annotated[
    Literal["last", "mean", "max", "attention"] | None,
    Field(description="how the frames of a row become one; null: by the kind of the rows"),
]
Width = Annotated[int | None, Field(gt=0, description="channels of the first layer; null: by the number of rows")]
BothWays = Annotated[bool, Field(description="read the rows from both ends; no streaming")]

ANNEALED: Mapping[str, Value] = MappingProxyType(
    {"optimizer": "adam", "rate": 2e-3, "schedule": "one_cycle", "clip": 1.0, "patience": None, "keep": "last"}
)
"""Adam over one cycle, which is planned to its end: no early stop, and the last weights, where the rate has come down, are the ones to
keep."""

FEW_ROWS = 500
FRAMES_WANTED = 24
LARGEST_WINDOW = 8
SHORTEST_WINDOW = 4


def width_for(data: Fingerprint, full: int, given: int | None = None) -> int:
    """What the user gave, else the full width, halved below 500 rows."""
    return given or (full if data.rows >= FEW_ROWS else full // 2)


def pool_windows(frames: int, blocks: int) -> tuple[int, ...]:
    """A pooling window (1: none) for each block that together bring this many frames down to about 24.

    Example:
        >>> pool_windows(29, 3), pool_windows(152, 3), pool_windows(1344, 3)
        ((1, 1, 1), (2, 2, 2), (4, 4, 4))
    """
    windows: list[int] = []
    for left in range(blocks, 0, -1):
        window = min(LARGEST_WINDOW, max(1, round((frames / FRAMES_WANTED) ** (1 / left))))
        windows.append(window)
        frames = -(-frames // window)
    return tuple(windows)


def windows_for(frames: int, size: int | None = None, hop: int | None = None) -> tuple[int, int]:
    """Size and hop of windows, those given or so that they overlap by half and about 24 come out of this many frames; 4 frames at least.

    Example:
        >>> windows_for(29), windows_for(1344), windows_for(1344, size=32)
        ((4, 2), (112, 56), (32, 16))
    """
    if size is None:
        size = max(SHORTEST_WINDOW, 2 * (hop or round(frames / FRAMES_WANTED)))
    return size, hop or max(1, size // 2)


def embedding_width(data: Fingerprint) -> int:
    """64 below 1,000 symbols, 128 above."""
    return 64 if data.channels < 1_000 else 128


def frames_of(data: Fingerprint, dropout: float = 0.0) -> tuple[Spec, ...]:
    """The layers that turn an input into frames `[B, T, C]`: an embedding for text, a fold for images, nothing for series and audio."""
    if isinstance(data.in_shape, Ids):
        drop = (Dropout(dropout),) if dropout else ()
        return (Embedding(embedding_width(data), init="he"), *drop)
    return () if len(data.in_shape) == 1 else (Fold(),)


def conv_block(features: int, kernel: int | tuple[int, ...] = 3, pool: int | tuple[int, ...] = 1) -> tuple[Spec, ...]:
    """Convolution, batch norm, ReLU, and max pooling where the window is above 1. No bias: the norm has a shift."""
    pooled = () if pool == 1 else (Pool(pool),)
    return (Conv(features, kernel=kernel, bias=False), BatchNorm(), Activation("relu"), *pooled)


def picture_blocks(data: Fingerprint, widths: Sequence[int], kernel: int, *, shortening: int, least: int) -> tuple[Spec, ...]:
    """Blocks of convolution over time and height of a picture, then pooling.

    Each halves the height while there are 4 rows or more; the first `shortening` blocks halve time too while a row of median length has
    `least` frames or more.
    """
    assert not isinstance(data.in_shape, Ids)
    frames, height = data.lengths[1], data.in_shape[0]
    layers: list[Spec] = []
    for i, width in enumerate(widths):
        window = (2 if i < shortening and frames >= least else 1, 2 if height >= 4 else 1)
        layers += conv_block(width, kernel, 1 if window == (1, 1) else window)
        frames, height = -(-frames // window[0]), -(-height // window[1])
    return tuple(layers)


def dropped(dropout: float) -> tuple[Spec, ...]:
    """Dropout, or nothing at a rate of 0."""
    return (Dropout(dropout),) if dropout else ()


def stack(*parts: tuple[Spec, ...]) -> Serial:
    """The layers of all parts, one after the other."""
    return Serial(*(layer for part in parts for layer in part))
