"""Convolution joined with recurrence in four ways: `crnn`, `cnn-lstm`, `parallel-cnn-lstm`, `gate-cnn-lstm`; `lstm-fcn`, `mlstm-fcn`."""

from __future__ import annotations

from convrnn.layers.base import Spec
from convrnn.layers.combine import Parallel
from convrnn.layers.conv import Conv
from convrnn.layers.framewise import Activation, Fold
from convrnn.layers.pool_whole import GlobalPool
from convrnn.layers.recurrent import GRU, LSTM
from convrnn.layers.squeeze import SqueezeExcite
from convrnn.layers.window import TimeDistributed, Window
from convrnn.zoo.base import Fingerprint, Paper, entry
from convrnn.zoo.blocks import (
    ANNEALED,
    EVERY_KIND,
    BothWays,
    Depth,
    Drop,
    Frames,
    Fusion,
    Kernel,
    PoolKind,
    Width,
    conv_block,
    dropped,
    frames_of,
    picture_blocks,
    pool_windows,
    stack,
    width_for,
    windows_for,
)
from convrnn.zoo.convolutional import fcn_blocks

_SHI = Paper("Shi, Bai & Yao", 2015, "An end-to-end trainable neural network for image-based sequence recognition", "1507.05717")
_ZHOU = Paper("Zhou, Sun, Liu & Lau", 2015, "A C-LSTM neural network for text classification", "1511.08630")
_SAINATH = Paper("Sainath et al.", 2015, "Convolutional, long short-term memory, fully connected deep neural networks")
_DONAHUE = Paper("Donahue et al.", 2015, "Long-term recurrent convolutional networks for visual recognition", "1411.4389")
_BRADBURY = Paper("Bradbury, Merity, Xiong & Socher", 2016, "Quasi-recurrent neural networks", "1611.01576")
_SHI_CONV = Paper("Shi et al.", 2015, "Convolutional LSTM network: a machine learning approach for precipitation nowcasting", "1506.04214")
_KARIM_MULTI = Paper("Karim, Majumdar, Darabi & Harford", 2019, "Multivariate LSTM-FCNs for time series classification", "1801.04503")
_HU = Paper("Hu, Shen & Sun", 2018, "Squeeze-and-excitation networks", "1709.01507")
_KARIM = Paper("Karim, Majumdar, Darabi & Chen", 2017, "LSTM fully convolutional networks for time series classification", "1709.05206")


@entry("crnn", kinds=EVERY_KIND, papers=(_SHI, _SAINATH, _ZHOU), settings=ANNEALED)
def crnn(
    data: Fingerprint,
    *,
    width: Width = None,
    depth: Depth = 3,
    kernel: Kernel = 3,
    bidirectional: BothWays = True,
    dropout: Drop = 0.3,
    pool: PoolKind = "max",
) -> Spec:
    """Convolution, pooling, recurrence, dense, trained as one.

    Images: the convolutions of Shi et al. made smaller, each block halving the height, the first two also a width of 16 or more; what is
    left of the height is folded into channels for an LSTM from both ends. Series and text: `depth` blocks of convolution and pooling,
    then a GRU from both ends. With `bidirectional=False` it streams.
    """
    if data.kind == "image":
        first = width_for(data, 32, width)
        widths = [first * 2 ** min(i, 2) for i in range(depth)]
        front = (*picture_blocks(data, widths, kernel, shortening=2, least=16), Fold())
        cell = LSTM(4 * first, bidirectional=bidirectional)
        return stack(front, dropped(dropout), (cell, GlobalPool(pool)), dropped(dropout))
    first = width_for(data, 64, width)
    widths = [first * 2 ** min(i, 1) for i in range(depth)]
    blocks = [conv_block(w, kernel, p) for w, p in zip(widths, pool_windows(data.lengths[1], depth), strict=True)]
    cell = GRU(2 * first, bidirectional=bidirectional)
    return stack(frames_of(data, dropout), *blocks, dropped(dropout), (cell, GlobalPool(pool)), dropped(dropout))


@entry("cnn-lstm", kinds=EVERY_KIND, papers=(_DONAHUE,), settings=ANNEALED, version=2)
def cnn_lstm(
    data: Fingerprint,
    *,
    width: Width = None,
    depth: Depth = 2,
    kernel: Kernel = 3,
    window: Frames = None,
    hop: Frames = None,
    dropout: Drop = 0.3,
    pool: PoolKind = "mean",
) -> Spec:
    """A CNN that reads windows one by one as feature extractor, and an LSTM over what it found in each. Streams.

    Each window is a whole sequence to the CNN: `depth` blocks of convolution, and the maximum over the window's frames of what they found
    (in pictures the height is halved by each block, then folded into channels). Nothing crosses a window's border. By default windows
    overlap by half, and a row of median length has about 24 of them, but none is shorter than 4 frames.
    """
    picture = data.kind == "image"
    first = width_for(data, 32 if picture else 64, width)
    widths = [first * 2 ** min(i, 1) for i in range(depth)]
    blocks = (
        picture_blocks(data, widths, kernel, shortening=0, least=0) if picture else stack(*(conv_block(w, kernel) for w in widths)).layers
    )
    extractor = stack(blocks, (GlobalPool("max"),), (Fold(),) if picture else ())
    front = () if picture else frames_of(data, dropout)
    windows = (Window(*windows_for(data.lengths[1], window, hop)), TimeDistributed(extractor))
    return stack(front, windows, dropped(dropout), (LSTM(2 * first), GlobalPool(pool)), dropped(dropout))


@entry("parallel-cnn-lstm", kinds=EVERY_KIND, papers=(_KARIM,), settings=ANNEALED)
def parallel_cnn_lstm(
    data: Fingerprint,
    *,
    width: Width = None,
    kernel: Kernel = 5,
    fusion: Fusion = "concat",
    dropout: Drop = 0.3,
    pool: PoolKind = "mean",
) -> Spec:
    """A CNN and an LSTM side by side over the same frames, their answers fused. Streams.

    The CNN answers with the maximum over time (what was there), the LSTM with `pool` of its states (in which order).
    """
    first = width_for(data, 64, width)
    seen = stack(conv_block(first, kernel), conv_block(2 * first, kernel), (GlobalPool("max"),))
    remembered = stack((LSTM(2 * first), GlobalPool(pool)))
    return stack(frames_of(data, dropout), (Parallel(seen, remembered, merge=fusion),), dropped(dropout))


@entry("gate-cnn-lstm", kinds=EVERY_KIND, papers=(_BRADBURY, _SHI_CONV), settings=ANNEALED)
def gate_cnn_lstm(
    data: Fingerprint,
    *,
    width: Width = None,
    kernel: Kernel = 5,
    dropout: Drop = 0.3,
    pool: PoolKind = "mean",
) -> Spec:
    """A causal CNN inside the gates of an LSTM: it reads `kernel` frames and says what to write (i) and what to forget (f). Streams.

    The frame itself makes the candidate and the output gate, and the state enters all four. Relatives: QRNN, where convolutions make every
    gate and the state none, and ConvLSTM, where the state is convolved too.
    """
    first = width_for(data, 64, width)
    gates = stack((Conv(first, kernel=kernel, padding="causal"), Activation("relu")))
    return stack(frames_of(data, dropout), (LSTM(2 * first, gates=gates, into=("i", "f")), GlobalPool(pool)), dropped(dropout))


@entry("lstm-fcn", kinds=EVERY_KIND, papers=(_KARIM,), settings={**ANNEALED, "rate": 1e-3})
def lstm_fcn(data: Fingerprint, *, width: Width = 128, units: Width = 64, dropout: Drop = 0.8) -> Spec:
    """The convolutions of FCN beside a small LSTM with a dropout of 0.8, concatenated.

    The paper swaps time and channels before its LSTM ("dimension shuffle"), which reads a series of one channel in a single step and
    needs rows of one length. Rows here may have any, so the LSTM runs over time, and answers with its last frame. Convolutions 128 of
    kernel 8, 256 of 5, 128 of 3 as published. Streams.
    """
    seen = stack(*fcn_blocks(width or 128), (GlobalPool("mean"),))
    remembered = stack((LSTM(units or 64), GlobalPool("last")), dropped(dropout))
    return stack(frames_of(data), (Parallel(seen, remembered),))


@entry("mlstm-fcn", kinds=EVERY_KIND, papers=(_KARIM_MULTI, _HU), settings={**ANNEALED, "rate": 1e-3})
def mlstm_fcn(data: Fingerprint, *, width: Width = 128, units: Width = 8, dropout: Drop = 0.8) -> Spec:
    """`lstm-fcn` for series of many channels: the first two convolutions are followed by squeeze and excitation. Needs whole rows.

    How much each channel counts is learned from its mean over the row. Convolutions and reduction (16) as published; 8 units, the least of
    the paper's search. The LSTM runs over time, as in `lstm-fcn`.
    """
    opening, middle, closing = fcn_blocks(width or 128)
    seen = stack(opening, (SqueezeExcite(),), middle, (SqueezeExcite(),), closing, (GlobalPool("mean"),))
    remembered = stack((LSTM(units or 8), GlobalPool("last")), dropped(dropout))
    return stack(frames_of(data), (Parallel(seen, remembered),))
