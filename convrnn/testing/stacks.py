"""Random stacks of layers, to find what nobody thought of. Knows the layers, not the laws."""

from __future__ import annotations

import random

from convrnn.layers.base import Spec
from convrnn.layers.combine import Parallel, Residual, Serial
from convrnn.layers.conv import Conv
from convrnn.layers.dropout import Dropout
from convrnn.layers.framewise import Activation, Linear
from convrnn.layers.norm import BatchNorm, LayerNorm
from convrnn.layers.pool import GlobalPool, Pool
from convrnn.layers.recurrent import GRU, LSTM, RNN
from convrnn.testing.laws import Case

_WIDTH = 4
LAWS = ("chunking", "state", "gradient", "padding", "batch", "shape", "empty", "purity", "gradient:train", "padding:train", "spec")
"""What every random stack is held to."""


def random_case(seed: int) -> Case:
    """A stack of one to five random layers, sometimes pooled to one frame, and rows of random lengths."""
    rng = random.Random(seed)
    layers = [_any_layer(rng) for _ in range(rng.randint(1, 5))]
    if rng.random() < 0.3:
        layers.append(GlobalPool(rng.choice(("mean", "max", "last", "attention"))))
    longest = rng.randint(1, 30)
    lengths = (longest, *(rng.randint(0, longest) for _ in range(rng.randint(1, 3))))
    spec = Serial(*layers)
    exempt = {"gradient:train": "batch norm in training: a chunk is another batch"} if "BatchNorm" in repr(spec) else {}
    return Case(f"stack-{seed}", spec, _WIDTH, lengths, exempt)


def _any_layer(rng: random.Random) -> Spec:
    makers = (_conv, _conv, _pool, _recurrent, _plain, _keeping_block, _parallel)
    return rng.choice(makers)(rng)


def _conv(rng: random.Random) -> Spec:
    padding = rng.choice(("causal", "same", "valid"))
    return Conv(
        _WIDTH, kernel=rng.choice((1, 2, 3, 4, 5)), stride=rng.choice((1, 1, 2, 3, 6)), dilation=rng.choice((1, 2, 3)), padding=padding
    )


def _pool(rng: random.Random) -> Spec:
    return Pool(
        rng.choice((2, 3)), stride=rng.choice((1, 2, 3, 5)), kind=rng.choice(("max", "mean")), partial=rng.choice(("keep", "keep", "drop"))
    )


def _recurrent(rng: random.Random) -> Spec:
    layers = rng.choice((1, 1, 2))
    dropout = 0.3 if layers == 2 and rng.random() < 0.5 else 0.0
    kind = rng.choice(("rnn", "lstm", "gru", "before"))
    if kind == "rnn":
        return RNN(_WIDTH, layers=layers, dropout=dropout)
    if kind == "lstm":
        return LSTM(_WIDTH, layers=layers, dropout=dropout)
    return GRU(_WIDTH, layers=layers, dropout=dropout, reset="after" if kind == "gru" else "before")


def _plain(rng: random.Random) -> Spec:
    return rng.choice((Linear(_WIDTH), Activation("tanh"), LayerNorm(), BatchNorm(), Dropout(0.3), Dropout(0.3, variational=True)))


def _keeping(rng: random.Random) -> Spec:
    """A layer with a frame out for every frame in."""
    padding = rng.choice(("causal", "same"))
    conv = Conv(_WIDTH, kernel=rng.choice((1, 2, 3, 5)), dilation=rng.choice((1, 2, 3)), padding=padding)
    pool = Pool(rng.choice((2, 3)), stride=1, kind=rng.choice(("max", "mean")))
    return rng.choice((conv, conv, pool, _recurrent(rng), _plain(rng)))


def _keeping_block(rng: random.Random) -> Spec:
    body = Serial(*(_keeping(rng) for _ in range(rng.randint(1, 3))))
    return rng.choice((Residual(body), Residual(Serial(Residual(body), _keeping(rng)))))


def _parallel(rng: random.Random) -> Spec:
    merge = rng.choice(("add", "gate"))
    if rng.random() < 0.5:
        return Parallel(Serial(_keeping(rng), _keeping(rng)), _keeping(rng), merge=merge)
    stride = rng.choice((2, 3))
    strided = Conv(_WIDTH, kernel=rng.choice((1, 3, 5)), stride=stride, padding="same")
    causal = Serial(Conv(_WIDTH, kernel=3, stride=stride, padding="causal"), _keeping(rng))
    return Parallel(strided, Serial(_keeping(rng), Pool(stride)), causal, merge=merge)
