"""QRNN, SRU, minGRU and minLSTM against plain loops over frames in NumPy's float64, each written from its paper.

The loops know nothing of torch but the weights: no scan, no block, no mask, `1 - f` and quotients as printed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import convrnn as cr
from convrnn.core.seq import Seq
from convrnn.layers.scan import LinearRecurrence
from convrnn.testing.chunks import batch_of, make_rows, split_rows
from tests.oracles.conftest import Versus

Array = NDArray[np.float64]
Weights = dict[str, Array]
Loop = Callable[[Array, Weights], tuple[Array, Array]]
"""`(x [T, C], weights) -> (h [T, H], the state after the last frame [H])`."""

CHANNELS, LENGTHS = 3, (9, 4, 0, 1, 7)


def sigma(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def g(x: Array) -> Array:
    """Feng et al. 2024, the candidate of the form in logarithms."""
    return np.where(x >= 0, x + 0.5, sigma(x))


def qrnn(pooling: str) -> Loop:
    """Bradbury et al. 2016, section 2: masked convolutions, then f-, fo- or ifo-pooling."""

    def loop(x: Array, weights: Weights) -> tuple[Array, Array]:
        w, b = weights["conv.weight"], weights["conv.bias"]
        gates, _, taps = w.shape
        units = gates // (1 + len(pooling))
        state, answers = np.zeros(units), np.zeros((len(x), units))
        for t in range(len(x)):
            p = b.copy()
            for k in range(taps):
                frame = t - (taps - 1) + k
                if frame >= 0:
                    p += w[:, :, k] @ x[frame]
            z, f = np.tanh(p[:units]), sigma(p[units : 2 * units])
            o = sigma(p[2 * units : 3 * units]) if "o" in pooling else 1.0
            i = sigma(p[3 * units :]) if "i" in pooling else 1 - f
            state = f * state + i * z
            answers[t] = o * state
        return answers, state

    return loop


def sru(activation: Callable[[Array], Array]) -> Loop:
    """Lei et al. 2017 (arXiv 1709.02755v1)."""

    def loop(x: Array, weights: Weights) -> tuple[Array, Array]:
        w, b = weights["weight"], weights["bias"]
        units = len(b) // 2
        state, answers = np.zeros(units), np.zeros((len(x), units))
        for t in range(len(x)):
            product = w @ x[t]
            u = product[:units]
            f = sigma(product[units : 2 * units] + b[:units])
            r = sigma(product[2 * units : 3 * units] + b[units:])
            skipped = x[t] if len(product) == 3 * units else product[3 * units :]
            state = f * state + (1 - f) * u
            answers[t] = r * activation(state) + (1 - r) * skipped
        return answers, state

    return loop


def min_gru(candidate: Callable[[Array], Array]) -> Loop:
    """Feng et al. 2024: minGRU, in its sequential form."""

    def loop(x: Array, weights: Weights) -> tuple[Array, Array]:
        w, b = weights["gates.weight"], weights["gates.bias"]
        units = len(b) // 2
        h, answers = np.zeros(units), np.zeros((len(x), units))
        for t in range(len(x)):
            p = w @ x[t] + b
            z = sigma(p[:units])
            h = (1 - z) * h + z * candidate(p[units:])
            answers[t] = h
        return answers, h

    return loop


def min_lstm(candidate: Callable[[Array], Array]) -> Loop:
    """Feng et al. 2024: minLSTM, in its sequential form."""

    def loop(x: Array, weights: Weights) -> tuple[Array, Array]:
        w, b = weights["gates.weight"], weights["gates.bias"]
        units = len(b) // 3
        h, answers = np.zeros(units), np.zeros((len(x), units))
        for t in range(len(x)):
            p = w @ x[t] + b
            f, i = sigma(p[:units]), sigma(p[units : 2 * units])
            h = f / (f + i) * h + i / (f + i) * candidate(p[2 * units :])
            answers[t] = h
        return answers, h

    return loop


class Pair(NamedTuple):
    """A layer and the loop that it should equal."""

    spec: LinearRecurrence
    loop: Loop


PAIRS: dict[str, Pair] = {
    "QRNN f": Pair(cr.QRNN(5, kernel=1, pooling="f"), qrnn("f")),
    "QRNN fo": Pair(cr.QRNN(5, kernel=2), qrnn("fo")),
    "QRNN ifo": Pair(cr.QRNN(5, kernel=5, pooling="ifo"), qrnn("ifo")),
    "SRU": Pair(cr.SRU(3), sru(np.tanh)),
    "SRU projected": Pair(cr.SRU(5, nonlinearity="relu", highway_bias=-1.0), sru(lambda c: np.maximum(c, 0.0))),
    "minGRU": Pair(cr.MinGRU(5), min_gru(lambda n: n)),
    "minGRU g": Pair(cr.MinGRU(5, candidate="g"), min_gru(g)),
    "minLSTM": Pair(cr.MinLSTM(5), min_lstm(lambda n: n)),
    "minLSTM g": Pair(cr.MinLSTM(5, candidate="g", forget_bias=1.0), min_lstm(g)),
}
by_pair = pytest.mark.parametrize("name", PAIRS)


def built(spec: LinearRecurrence, dtype: torch.dtype) -> nn.Module:
    """A layer none of whose weights is zero."""
    torch.manual_seed(5)
    net = spec.build(CHANNELS).to(dtype)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return net


def weights_of(net: nn.Module, place: str) -> Weights:
    return {name.removeprefix(place): value.double().numpy() for name, value in net.state_dict().items() if name.startswith(place)}


def looped(loop: Loop, rows: list[Tensor], weights: Weights, reverse: bool = False) -> tuple[list[Tensor], Tensor]:
    """The loop over each row, and the states after them; backward a row is turned round, and the answer back."""
    turn = slice(None, None, -1 if reverse else 1)
    answers = [loop(row.double().numpy()[turn], weights) for row in rows]
    return [torch.from_numpy(h[turn].copy()) for h, _ in answers], torch.from_numpy(np.stack([state for _, state in answers]))


@by_pair
def test_ragged_rows(name: str, dtype: torch.dtype, versus: Versus) -> None:
    spec, loop = PAIRS[name]
    net, rows = built(spec, dtype), make_rows((CHANNELS,), LENGTHS, 4, dtype)
    with torch.no_grad():
        seq, ((cell,), _) = net(batch_of(rows))
    want, state = looped(loop, rows, weights_of(net, "forward_layers.0."))
    ledger = versus("NumPy loop", name)
    ledger.close("output", torch.cat(split_rows(seq)), torch.cat(want).to(dtype))
    ledger.close("state", cell[0], state.to(dtype))


@by_pair
def test_two_layers_in_both_directions(name: str, dtype: torch.dtype, versus: Versus) -> None:
    """Layer on layer, the directions side by side."""
    spec, loop = PAIRS[name]
    net, rows = built(replace(spec, layers=2, bidirectional=True), dtype), make_rows((CHANNELS,), LENGTHS, 4, dtype)
    with torch.no_grad():
        got = split_rows(net(batch_of(rows)).seq)
    for layer in range(2):
        both = [
            looped(loop, rows, weights_of(net, f"{way}_layers.{layer}."), reverse)[0]
            for way, reverse in (("forward", False), ("backward", True))
        ]
        rows = [torch.cat(pair, -1) for pair in zip(*both, strict=True)]
    versus("NumPy loop", f"{name}, two layers, both ways").close("output", torch.cat(got), torch.cat(rows).to(dtype))


@by_pair
def test_ten_thousand_frames(name: str, dtype: torch.dtype, versus: Versus) -> None:
    spec, loop = PAIRS[name]
    net, rows = built(spec, dtype), make_rows((CHANNELS,), (10_000,), 4, dtype)
    with torch.no_grad():
        got = net(Seq(rows[0][None])).seq.values[0]
    want, _ = looped(loop, rows, weights_of(net, "forward_layers.0."))
    versus("NumPy loop", f"{name}, 10,000 frames").close("output", got, want[0].to(dtype))
