"""Random stacks of layers, to find what nobody thought of. Knows the layers, not the laws."""

from __future__ import annotations

import random
import re
from typing import Any

from convrnn.layers.attend import Attend
from convrnn.layers.base import Spec
from convrnn.layers.blocks import DenseBlock, FiLM, Highway, Repeat
from convrnn.layers.both_ways import BothWays
from convrnn.layers.combine import Parallel, Residual, Serial
from convrnn.layers.conv import Conv
from convrnn.layers.convrecurrent import ConvGRU, ConvLSTM, ConvRNN
from convrnn.layers.dropout import Dropout
from convrnn.layers.framewise import Activation, Flatten, Fold, Linear
from convrnn.layers.gated import GLU, Channels
from convrnn.layers.norm import BatchNorm, LayerNorm, RMSNorm
from convrnn.layers.norm_whole import CumulativeNorm, GroupNorm, InstanceNorm
from convrnn.layers.pool import Pool
from convrnn.layers.pool_cumulative import CumulativePool
from convrnn.layers.pool_whole import GlobalPool
from convrnn.layers.recurrent import GRU, LSTM, RNN, IndRNN, LiGRU
from convrnn.layers.scan import QRNN, SRU, MinGRU, MinLSTM
from convrnn.layers.transposed import ConvTranspose, Upsample
from convrnn.layers.weight_norm import WeightNorm
from convrnn.layers.window import TimeDistributed, Window
from convrnn.testing.laws import Case

_WIDTH = 4
LAWS = ("chunking", "state", "gradient", "padding", "batch", "shape", "empty", "purity", "gradient:train", "padding:train", "spec")
"""What every random stack is held to."""

_WHOLE = {law: "a layer that needs the whole row" for law in ("chunking", "state", "gradient", "gradient:train")}


def random_case(seed: int) -> Case:
    """A stack of one to five random layers, sometimes pooled to one frame, and rows of random lengths."""
    rng = random.Random(seed)
    layers = [_any_layer(rng) for _ in range(rng.randint(1, 5))]
    if rng.random() < 0.3:
        pool = GlobalPool(rng.choice(("mean", "max", "lp", "last", "statistics", "attention", "attention_statistics")))
        layers.append(Serial(pool, Linear(_WIDTH)) if "statistics" in pool.kind else pool)
    longest = rng.randint(1, 30)
    lengths = (longest, *(rng.randint(0, longest) for _ in range(rng.randint(1, 3))))
    whole = rng.random() < 0.1
    if whole:
        layers.insert(rng.randint(0, len(layers)), _whole_rows(rng))
    spec = Serial(*layers)
    exempt = {"gradient:train": "batch norm in training: a chunk is another batch"} if re.search("BatchNorm|LiGRU", repr(spec)) else {}
    if whole:
        exempt |= _WHOLE
    return Case(f"stack-{seed}", spec, _WIDTH, lengths, exempt)


def _any_layer(rng: random.Random) -> Spec:
    makers = (_conv, _conv, _pool, _recurrent, _recurrent, _conv_recurrent, _scan, _plain, _keeping_block, _parallel)
    return rng.choice((*makers, _up_sampling, _windows))(rng)


def _conv(rng: random.Random) -> Spec:
    padding = rng.choice(("causal", "same", "valid"))
    kernel, dilation = rng.choice((1, 2, 3, 4, 5)), rng.choice((1, 2, 3))
    ahead = rng.randint(0, (kernel - 1) * dilation) if padding == "causal" and rng.random() < 0.5 else 0
    return Conv(_WIDTH, kernel=kernel, stride=rng.choice((1, 1, 2, 3, 6)), dilation=dilation, padding=padding, ahead=ahead)


def _up_sampling(rng: random.Random) -> Spec:
    """Seldom by much: stacks of it grow long."""
    if rng.random() < 0.3:
        return Upsample(rng.choice((1, 2, 2, 3)))
    stride, padding = rng.choice((1, 2, 2, 3)), rng.choice(("causal", "same", "valid"))
    return ConvTranspose(_WIDTH, kernel=stride + rng.choice((0, 1, 2, 3, 5)), stride=stride, groups=rng.choice((1, 2)), padding=padding)


def _windows(rng: random.Random) -> Spec:
    """Windows, each through a net of its own that may look both ways, to one vector."""
    body = Serial(rng.choice((_keeping(rng), LSTM(_WIDTH // 2, bidirectional=True))), _keeping(rng))
    ending = rng.choice((GlobalPool("max"), GlobalPool("last"), Flatten(3)))
    window = Window(3, hop=rng.choice((None, 1, 2, 5)), partial=rng.choice(("keep", "keep", "drop")))
    return Serial(window, TimeDistributed(Serial(body, ending), frozen=rng.random() < 0.2), Linear(_WIDTH))


def _pool(rng: random.Random) -> Spec:
    kind, partial = rng.choice(("max", "mean", "lp")), rng.choice(("keep", "keep", "drop"))
    return Pool(rng.choice((2, 3)), stride=rng.choice((1, 2, 3, 5)), kind=kind, partial=partial)


def _recurrent(rng: random.Random) -> Spec:
    """A cell, often with some of its options; none of those that need whole rows."""
    layers = rng.choice((1, 1, 2))
    shared = {
        "layers": layers,
        "residual_layers": layers == 2 and rng.random() < 0.3,
        "dropout": 0.3 if layers == 2 and rng.random() < 0.5 else 0.0,
        "learn_state": rng.random() < 0.3,
        **{option: 0.3 for option in ("recurrent_dropout", "weight_dropout", "zoneout") if rng.random() < 0.2},
    }
    match rng.choice(("rnn", "lstm", "lstm", "gru", "gru", "ind_rnn", "ligru", "gates")):
        case "rnn":
            return RNN(_WIDTH, nonlinearity=rng.choice(("tanh", "relu")), **shared)
        case "lstm":
            peephole, coupled, zoneout = rng.random() < 0.3, rng.random() < 0.3, rng.choice((0.0, 0.0, 0.5))
            return LSTM(_WIDTH, peephole=peephole, coupled=coupled, cell_zoneout=zoneout, **_projected(rng, shared))
        case "gru":
            return GRU(_WIDTH, reset=rng.choice(("after", "before")), **shared)
        case "ind_rnn":
            return IndRNN(_WIDTH, nonlinearity=rng.choice(("tanh", "relu")), recurrent_max=0.8, **shared)
        case "ligru":
            return LiGRU(_WIDTH, **shared)
        case _:
            return _with_gates(rng)


def _projected(rng: random.Random, shared: dict[str, Any]) -> dict[str, Any]:
    """Sometimes with a projection that keeps the width of stacks."""
    return {**shared, "projection": _WIDTH} if rng.random() < 0.3 else shared


def _with_gates(rng: random.Random) -> Spec:
    """A cell some of whose gates another net computes."""
    net = Serial(*(_keeping(rng) for _ in range(rng.randint(1, 2))))
    if rng.random() < 0.5:
        return LSTM(_WIDTH, gates=net, into=rng.choice((("i", "f"), ("o",), ("f", "g", "o"))))
    return GRU(_WIDTH, gates=net, into=rng.choice((("n",), ("z", "r"))), reset=rng.choice(("after", "before")))


def _conv_recurrent(rng: random.Random) -> Spec:
    """A picture for each frame, the frames around it, and a recurrence over pictures."""
    kernel, recurrent_kernel, layers = rng.choice((1, 2, 3)), rng.choice((None, 2, 3)), rng.choice((1, 1, 2))
    shared = {"kernel": kernel, "recurrent_kernel": recurrent_kernel, "layers": layers, "zoneout": rng.choice((0.0, 0.3))}
    cell = rng.choice((ConvRNN(_WIDTH, **shared), ConvLSTM(_WIDTH, peephole=rng.random() < 0.5, **shared), ConvGRU(_WIDTH, **shared)))
    return Serial(Window(3, hop=rng.choice((1, 2))), cell, Fold(rng.choice(("mean", "max"))))


def _scan(rng: random.Random) -> Spec:
    layers, learned = rng.choice((1, 1, 2)), rng.random() < 0.3
    dropout = 0.3 if layers == 2 and rng.random() < 0.5 else 0.0
    kind = rng.choice(("qrnn", "qrnn", "sru", "min_gru", "min_lstm"))
    if kind == "qrnn":
        pooling, kernel, zoneout = rng.choice(("f", "fo", "ifo")), rng.choice((1, 2, 3, 4)), rng.choice((0.0, 0.3))
        return QRNN(_WIDTH, kernel=kernel, pooling=pooling, zoneout=zoneout, layers=layers, dropout=dropout, learn_state=learned)
    if kind == "sru":
        return SRU(_WIDTH, nonlinearity=rng.choice(("tanh", "relu", "identity")), layers=layers, dropout=dropout, learn_state=learned)
    cell = MinGRU if kind == "min_gru" else MinLSTM
    return cell(_WIDTH, candidate=rng.choice(("linear", "g")), layers=layers, dropout=dropout, learn_state=learned)


def _plain(rng: random.Random) -> Spec:
    gated = Serial(Linear(2 * _WIDTH + 1), Channels(1, 2 * _WIDTH + 1), GLU(rng.choice(("glu", "reglu", "geglu", "swiglu", "gtu"))))
    fixed = (Linear(_WIDTH), Activation("tanh"), Dropout(0.3), Dropout(0.3, variational=True), gated)
    return rng.choice((*fixed, _norm(rng), CumulativePool(rng.choice(("mean", "max")))))


def _norm(rng: random.Random) -> Spec:
    return rng.choice((LayerNorm(), RMSNorm(), BatchNorm(), GroupNorm(2, over="frame"), CumulativeNorm(per_channel=rng.random() < 0.5)))


def _keeping(rng: random.Random) -> Spec:
    """A layer with a frame out for every frame in."""
    padding = rng.choice(("causal", "same"))
    conv = Conv(_WIDTH, kernel=rng.choice((1, 2, 3, 5)), dilation=rng.choice((1, 2, 3)), padding=padding)
    pool = Pool(rng.choice((2, 3)), stride=1, kind=rng.choice(("max", "mean")))
    return rng.choice((conv, conv, pool, _recurrent(rng), _scan(rng), _plain(rng)))


def _keeping_block(rng: random.Random) -> Spec:
    body = Serial(*(_keeping(rng) for _ in range(rng.randint(1, 3))))
    return rng.choice(
        (
            Residual(body),
            Residual(Serial(Residual(body), _keeping(rng))),
            Highway(body),
            WeightNorm(Serial(body, Linear(_WIDTH))),
            Repeat(Residual(body), 2, shared=rng.random() < 0.5),
            Serial(DenseBlock(body, _keeping(rng)), Linear(_WIDTH)),
            FiLM(_keeping(rng), body),
        )
    )


def _whole_rows(rng: random.Random) -> Spec:
    """A layer that looks at the whole row."""
    body = Serial(_keeping(rng), _keeping(rng))
    both = BothWays(body, merge=rng.choice(("sum", "mean", "gate")))
    strided = Conv(_WIDTH, kernel=rng.choice((1, 2, 3)), stride=rng.choice((1, 2, 3)))
    kind = rng.choice(("additive", "dot", "scaled_dot", "general"))
    norm = rng.choice((GroupNorm(rng.choice((1, 2))), InstanceNorm()))
    return rng.choice((both, Residual(both), Attend(body, strided, kind=kind, merge="context"), norm))


def _parallel(rng: random.Random) -> Spec:
    merge = rng.choice(("add", "mean", "multiply", "gate", "attention"))
    if rng.random() < 0.5:
        return Parallel(Serial(_keeping(rng), _keeping(rng)), _keeping(rng), merge=merge)
    stride = rng.choice((2, 3))
    strided = Conv(_WIDTH, kernel=rng.choice((1, 3, 5)), stride=stride, padding="same")
    causal = Serial(Conv(_WIDTH, kernel=3, stride=stride, padding="causal"), _keeping(rng))
    return Parallel(strided, Serial(_keeping(rng), Pool(stride)), causal, merge=merge)
