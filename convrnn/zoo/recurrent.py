"""Recurrence alone: `rnn`, `lstm`, `gru`, `bilstm`, `bigru`. Knows no convolution."""

from __future__ import annotations

from collections.abc import Callable

from convrnn.layers.base import Spec
from convrnn.layers.init import Chrono
from convrnn.layers.pool_whole import GlobalPool
from convrnn.layers.recurrent import GRU, LSTM, RNN
from convrnn.zoo.base import Fingerprint, Paper, entry
from convrnn.zoo.blocks import ANNEALED, EVERY_KIND, Depth, Drop, PoolKind, Width, dropped, frames_of, stack, width_for

_ELMAN = Paper("Elman", 1990, "Finding structure in time")
_LSTM = Paper("Hochreiter & Schmidhuber", 1997, "Long short-term memory")
_FORGET = Paper("Gers, Schmidhuber & Cummins", 2000, "Learning to forget")
_GRU = Paper("Cho et al.", 2014, "Learning phrase representations using RNN encoder-decoder", "1406.1078")
_CHRONO = Paper("Tallec & Ollivier", 2018, "Can recurrent neural networks warp time?", "1804.11188")
_BOTH = Paper("Schuster & Paliwal", 1997, "Bidirectional recurrent neural networks")
_GRAVES = Paper("Graves & Schmidhuber", 2005, "Framewise phoneme classification with bidirectional LSTM")


@entry("rnn", kinds=EVERY_KIND, papers=(_ELMAN,), settings=ANNEALED)
def rnn(data: Fingerprint, *, width: Width = None, layers: Depth = 1, dropout: Drop = 0.2, pool: PoolKind = "mean") -> Spec:
    """A plain recurrence h = tanh(W [x; h] + b), its frames averaged.

    The baseline: it forgets within some tens of frames. Averaging gives every frame a short way to the loss, where reading the last state
    alone would leave long rows without a gradient. Streams.
    """
    return _read_by(RNN, data, width, layers, dropout, pool)


@entry("lstm", kinds=EVERY_KIND, papers=(_LSTM, _FORGET, _CHRONO), settings=ANNEALED)
def lstm(
    data: Fingerprint,
    *,
    width: Width = None,
    layers: Depth = 1,
    dropout: Drop = 0.2,
    pool: PoolKind = "mean",
    chrono: Chrono = None,
) -> Spec:
    """An LSTM, its frames averaged. Streams.

    `chrono=T` where what belongs together is up to T frames apart.
    """
    return _read_by(LSTM, data, width, layers, dropout, pool, chrono=chrono)


@entry("gru", kinds=EVERY_KIND, papers=(_GRU, _CHRONO), settings=ANNEALED)
def gru(
    data: Fingerprint,
    *,
    width: Width = None,
    layers: Depth = 1,
    dropout: Drop = 0.2,
    pool: PoolKind = "mean",
    chrono: Chrono = None,
) -> Spec:
    """A GRU, its frames averaged: three quarters of the parameters of an LSTM. Streams.

    `chrono=T` where what belongs together is up to T frames apart.
    """
    return _read_by(GRU, data, width, layers, dropout, pool, chrono=chrono)


@entry("bilstm", kinds=EVERY_KIND, papers=(_BOTH, _GRAVES), settings=ANNEALED)
def bilstm(data: Fingerprint, *, width: Width = None, layers: Depth = 1, dropout: Drop = 0.2, pool: PoolKind = "max") -> Spec:
    """LSTMs from both ends of the row, concatenated, the largest value of each channel over time. Needs whole rows.

    `pool="last"` reads the backward direction after one frame; the others read it everywhere.
    """
    return _read_by(LSTM, data, width, layers, dropout, pool, bidirectional=True)


@entry("bigru", kinds=EVERY_KIND, papers=(_BOTH, _GRU), settings=ANNEALED)
def bigru(data: Fingerprint, *, width: Width = None, layers: Depth = 1, dropout: Drop = 0.2, pool: PoolKind = "max") -> Spec:
    """GRUs from both ends of the row, concatenated, the largest value of each channel over time. Needs whole rows."""
    return _read_by(GRU, data, width, layers, dropout, pool, bidirectional=True)


def _read_by(
    cell: Callable[..., Spec], data: Fingerprint, width: Width, layers: Depth, dropout: Drop, pool: PoolKind, **own: bool | int | None
) -> Spec:
    """The frames read by layers of one cell, and what they give as one frame; `own` are options of that cell."""
    recurrence = cell(width_for(data, 128, width), layers=layers, dropout=dropout if layers > 1 else 0.0, **own)
    return stack(frames_of(data, dropout), (recurrence, GlobalPool(pool)), dropped(dropout))
