"""Recurrence whose products are convolutions over space: `conv-lstm`. Knows no recurrence of vectors."""

from __future__ import annotations

from convrnn.core.errors import SpecError
from convrnn.core.language import tr
from convrnn.layers.base import Spec
from convrnn.layers.convrecurrent import ConvLSTM
from convrnn.layers.framewise import Fold
from convrnn.layers.pool_whole import GlobalPool
from convrnn.layers.window import Window
from convrnn.zoo.base import Fingerprint, Paper, entry
from convrnn.zoo.blocks import (
    ANNEALED,
    EVERY_KIND,
    Depth,
    Drop,
    Frames,
    Kernel,
    PoolKind,
    Width,
    dropped,
    frames_of,
    stack,
    width_for,
    windows_for,
)

_SHI = Paper("Shi et al.", 2015, "Convolutional LSTM network: a machine learning approach for precipitation nowcasting", "1506.04214")


@entry("conv-lstm", kinds=EVERY_KIND, papers=(_SHI,), settings=ANNEALED)
def conv_lstm(
    data: Fingerprint,
    *,
    width: Width = None,
    layers: Depth = 1,
    kernel: Kernel = 3,
    window: Frames = None,
    hop: Frames = None,
    dropout: Drop = 0.3,
    pool: PoolKind = "mean",
) -> Spec:
    """An LSTM whose products are convolutions: over the height of a picture, column by column, or over windows of a series or text.

    The state has a vector for each position, and a gate reads the positions around its own. Windows are as in `cnn-lstm`: by default they
    overlap by half, and a row of median length has about 24 of them. Of a picture all positions go on, of a window the largest value of
    each channel. `window` and `hop` are for all but pictures. Streams.
    """
    first = width_for(data, 32, width)
    cell = ConvLSTM(first, kernel=kernel, layers=layers, dropout=dropout if layers > 1 else 0.0)
    if data.kind == "image":
        for name, given in (("window", window), ("hop", hop)):
            if given is not None:
                raise SpecError(f"conv-lstm.{name}", tr("is for series, recordings and texts, got pictures"), tr("leave it out"))
        return stack((cell, Fold(), GlobalPool(pool)), dropped(dropout))
    front = (*frames_of(data, dropout), Window(*windows_for(data.lengths[1], window, hop)))
    return stack(front, (cell, Fold("max"), GlobalPool(pool)), dropped(dropout))
