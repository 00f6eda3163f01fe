"""Recurrences without a product of the state, which run as scans over all frames: `qrnn`, `sru`, `min-gru`. Knows no other convolution."""

from __future__ import annotations

from convrnn.layers.base import Spec
from convrnn.layers.pool_whole import GlobalPool
from convrnn.layers.scan import QRNN, SRU, MinGRU
from convrnn.zoo.base import Fingerprint, Paper, entry
from convrnn.zoo.blocks import ANNEALED, EVERY_KIND, BothWays, Depth, Drop, Kernel, PoolKind, Width, dropped, frames_of, stack, width_for

_BRADBURY = Paper("Bradbury, Merity, Xiong & Socher", 2016, "Quasi-recurrent neural networks", "1611.01576")
_LEI = Paper("Lei & Zhang", 2017, "Training RNNs as fast as CNNs", "1709.02755v1")
_FENG = Paper("Feng, Tung, Ahmed, Bengio & Hajimirsadeghi", 2024, "Were RNNs all we needed?", "2410.01201")


@entry("qrnn", kinds=EVERY_KIND, papers=(_BRADBURY,), settings=ANNEALED)
def qrnn(
    data: Fingerprint,
    *,
    width: Width = None,
    layers: Depth = 2,
    kernel: Kernel = 2,
    bidirectional: BothWays = False,
    dropout: Drop = 0.2,
    pool: PoolKind = "mean",
) -> Spec:
    """A quasi-recurrent network: causal convolutions make the gates of all frames at once, a pooling without weights carries the state.

    `fo` pooling, two layers: the state reaches the gates only through the layer above, so one layer alone is no more than a filter
    with memory. Streams.
    """
    cell = QRNN(width_for(data, 128, width), kernel=kernel, layers=layers, bidirectional=bidirectional, dropout=_between(layers, dropout))
    return stack(frames_of(data, dropout), (cell, GlobalPool(pool)), dropped(dropout))


@entry("sru", kinds=EVERY_KIND, papers=(_LEI,), settings=ANNEALED)
def sru(
    data: Fingerprint,
    *,
    width: Width = None,
    layers: Depth = 4,
    bidirectional: BothWays = False,
    dropout: Drop = 0.2,
    pool: PoolKind = "mean",
) -> Spec:
    """Simple recurrent units, four layers deep: gates of the frame alone, a highway past each. Streams."""
    cell = SRU(width_for(data, 128, width), layers=layers, bidirectional=bidirectional, dropout=_between(layers, dropout))
    return stack(frames_of(data, dropout), (cell, GlobalPool(pool)), dropped(dropout))


@entry("min-gru", kinds=EVERY_KIND, papers=(_FENG,), settings=ANNEALED)
def min_gru(
    data: Fingerprint,
    *,
    width: Width = None,
    layers: Depth = 2,
    bidirectional: BothWays = False,
    dropout: Drop = 0.2,
    pool: PoolKind = "mean",
) -> Spec:
    """The minimal GRU: h = (1 - z) h + z n with gate and candidate of the frame alone; two layers, for the second sees what went before.

    The paper's blocks for language (convolution and dense layers around each cell) are left out. Streams.
    """
    cell = MinGRU(width_for(data, 128, width), layers=layers, bidirectional=bidirectional, dropout=_between(layers, dropout))
    return stack(frames_of(data, dropout), (cell, GlobalPool(pool)), dropped(dropout))


def _between(layers: int, dropout: float) -> float:
    """Dropout between layers, where there are several."""
    return dropout if layers > 1 else 0.0
