"""RNN, LSTM, GRU with either reset, and both directions over three steps with written weights: every gate, C_t and h_t, in every mode."""

from __future__ import annotations

from cmath import tanh
from collections.abc import Sequence
from typing import Literal

import pytest
import torch
from torch import Tensor

from convrnn.core.seq import Seq
from convrnn.layers.base import Layer
from convrnn.layers.combine import Serial
from convrnn.layers.recurrent import LSTM, RNN
from tests.articles.by_hand import FRAMES, UNITS, Matrix, Steps, each, gru, lstm, product, real, recipe, rnn, sigmoid
from tests.articles.everywhere import EXACT, answers, close, holds, padded, put
from tests.articles.written import Reset, lstm_weights, our_gru, our_lstm, weights

ROWS = [[[value.real for value in frame] for frame in FRAMES[:n]] for n in (3, 1, 2)]

LSTM_PRINTED = {
    "f": [[0.731059, 0.689974, 0.785835], [0.747663, 0.715817, 0.666420], [0.744758, 0.677015, 0.729735]],
    "i": [[0.524979, 0.475021, 0.425557], [0.546896, 0.506438, 0.448679], [0.569135, 0.482733, 0.377718]],
    "g": [[0.197375, 0, -0.197375], [0.282216, 0.085975, -0.076049], [0.450878, 0.070730, -0.254215]],
    "c": [[0.103618, 0, -0.083995], [0.231814, 0.043541, -0.090097], [0.429256, 0.063621, -0.161769]],
    "o": [[0.574443, 0.524979, 0.475021], [0.423612, 0.546896, 0.506438], [0.498320, 0.569135, 0.482733]],
    "h": [[0.059310, 0, -0.039806], [0.096477, 0.023797, -0.045506], [0.201670, 0.036160, -0.077417]],
}
"""The table of docs/articles.md, to its six digits."""

GRU_PRINTED: dict[Reset, list[float]] = {"before": [0.325010, 0.053635, -0.175339], "after": [0.324004, 0.056485, -0.179722]}


def article_lstm(xs: Matrix = FRAMES, first: int = 0) -> Steps:
    return lstm([recipe(first + gate) for gate in range(4)], xs)


def article_gru(reset: Reset, xs: Matrix = FRAMES) -> Steps:
    return gru([recipe(gate) for gate in range(3)], xs, reset)


def prefixes(h: Sequence[Sequence[complex]]) -> list[list[list[float]]]:
    """What each of `ROWS` answers: they are beginnings of one row."""
    return [real(h[: len(row)]) for row in ROWS]


def seen(net: Layer, symbol: str) -> list[Tensor]:
    """An inner value of each row, read from a ragged batch with NaN behind the rows."""
    rows = [torch.tensor(row, dtype=torch.float64) for row in ROWS]
    layer = net.trace(Seq(padded(rows, 3), torch.tensor([len(row) for row in rows])))[net.name]
    return [value[:length] for value, length in zip(layer[symbol], layer.lengths(symbol), strict=True)]


def test_rnn_in_every_mode() -> None:
    """h_t = tanh(W_hx x_t + W_hh h_(t-1) + b_h) (B 3.2.1)."""
    net = put(RNN(UNITS).build(2), weights((0,)))
    holds(net, ROWS, prefixes(rnn([recipe(0)], FRAMES)["h"]))


def test_rnn_with_relu() -> None:
    net = put(RNN(UNITS, nonlinearity="relu").build(2), weights((0,)) | {"forward_layers.0.b": [0.1, 0.2, -0.3]})
    h, said = [0.0] * UNITS, []
    for frame in ROWS[0]:
        sums = [sum(w.real * v for w, v in zip(row, h + frame, strict=True)) for row in recipe(0)]
        h = [max(s + b, 0.0) for s, b in zip(sums, (0.1, 0.2, -0.3), strict=True)]
        said.append(h)
    holds(net, ROWS, prefixes(said))


@pytest.mark.parametrize("symbol", LSTM_PRINTED)
def test_lstm_by_hand_is_what_is_printed(symbol: str) -> None:
    assert [[round(value, 6) for value in frame] for frame in real(article_lstm()[symbol])] == LSTM_PRINTED[symbol]


@pytest.mark.parametrize("symbol", LSTM_PRINTED)
def test_gates_of_the_lstm(symbol: str) -> None:
    """The six equations (A 4.3, B 3.2.2, D 3.1): candidate C~ is g here, C is c."""
    for got, want in zip(seen(our_lstm(), symbol), prefixes(article_lstm()[symbol]), strict=True):
        close(got, torch.tensor(want, dtype=torch.float64), symbol)


def test_lstm_in_every_mode() -> None:
    """h_t of every frame, and the state (h, C) that is left, in whatever chunks."""
    net, said = our_lstm(), article_lstm()
    holds(net, ROWS, prefixes(said["h"]))
    rows = [torch.tensor(row, dtype=torch.float64) for row in ROWS]
    with torch.no_grad():
        for asked, _, state in answers(net, rows):
            if state is not None:
                h, c = state[0][0]
                for got, symbol in ((h, "h"), (c, "c")):
                    ends = [real(said[symbol])[len(row) - 1] for row in ROWS]
                    close(got, torch.tensor(ends, dtype=torch.float64), f"{asked}: {symbol}")


def test_parameters_of_the_lstm() -> None:
    """4 (3 * 5 + 3) = 72 as in the articles and in Keras; torch.nn.LSTM has a second bias, 84."""
    assert sum(parameter.numel() for parameter in our_lstm().parameters()) == 4 * (3 * 5 + 3) == 72


def test_coupled_lstm() -> None:
    """i = 1 - f, the one idea that can be recognised in E 3.2.1, with x_t where it belongs."""
    net = put(LSTM(UNITS, coupled=True).build(2), weights((0, 2, 3)) | {"forward_layers.0.b": [1.0] * 3 + [0.0] * 6})
    h, c, said = [0j] * UNITS, [0j] * UNITS, []
    for x in FRAMES:
        f, g, o = (product(recipe(gate), h + x) for gate in (0, 2, 3))
        f, g, o = each(sigmoid, f, 1.0), each(tanh, g), each(sigmoid, o)
        c = [f[u] * c[u] + (1 - f[u]) * g[u] for u in range(UNITS)]
        h = [o[u] * tanh(c[u]) for u in range(UNITS)]
        said.append(h)
    holds(net, ROWS, prefixes(said))


@pytest.mark.parametrize("reset", GRU_PRINTED)
def test_gru_by_hand_is_what_is_printed(reset: Reset) -> None:
    assert [round(value, 6) for value in real(article_gru(reset)["h"])[-1]] == GRU_PRINTED[reset]


@pytest.mark.parametrize("reset", GRU_PRINTED)
def test_gru_in_every_mode(reset: Reset) -> None:
    holds(our_gru(reset), ROWS, prefixes(article_gru(reset)["h"]))


@pytest.mark.parametrize("symbol", "rznh")
@pytest.mark.parametrize("reset", GRU_PRINTED)
def test_gates_of_the_gru(reset: Reset, symbol: str) -> None:
    """z of the article says how much is replaced, ours how much is kept: 1 - z."""
    said = article_gru(reset)[symbol]
    wanted = [[1 - value for value in frame] for frame in said] if symbol == "z" else said
    for got, want in zip(seen(our_gru(reset), symbol), prefixes(wanted), strict=True):
        close(got, torch.tensor(want, dtype=torch.float64), f"{reset} {symbol}")


def test_where_the_reset_acts_matters() -> None:
    """Two functions, not two names of one."""
    before, after = (real(article_gru(reset)["h"])[-1] for reset in ("before", "after"))
    assert max(abs(a - b) for a, b in zip(before, after, strict=True)) > 1e-3


def test_bidirectional_is_a_run_and_a_reversed_run() -> None:
    """y_t = [h_t forward ; h_t backward], each direction with weights of its own (C 4, E 3.2.3); a row turns at its own end."""
    net = put(LSTM(UNITS, bidirectional=True).build(2), lstm_weights() | lstm_weights(4, "backward_layers.0"))
    wanted = []
    for row in ROWS:
        frames: Matrix = [list(map(complex, frame)) for frame in row]
        forth, back = real(article_lstm(frames)["h"]), real(article_lstm(frames[::-1], first=4)["h"])[::-1]
        wanted.append([a + b for a, b in zip(forth, back, strict=True)])
    holds(net, ROWS, wanted)
    assert wanted[1][0][UNITS:] != wanted[0][0][UNITS:], "the backward state at the first frame has read the whole row"


def test_both_directions_are_our_two_runs() -> None:
    """The same with our own layers: a forward run beside a reversed one."""
    both = put(LSTM(UNITS, bidirectional=True).build(2), lstm_weights() | lstm_weights(4, "backward_layers.0"))
    forward, backward = our_lstm(), put(LSTM(UNITS).build(2), lstm_weights(4))
    x = torch.tensor([ROWS[0]], dtype=torch.float64)
    with torch.no_grad():
        runs = torch.cat([forward(Seq(x)).seq.values, backward(Seq(x.flip(1))).seq.values.flip(1)], -1)
        assert float((both(Seq(x)).seq.values - runs).abs().max()) <= EXACT


@pytest.mark.parametrize("merge", ["sum", "mean"])
def test_other_ways_to_join_directions(merge: Literal["sum", "mean"]) -> None:
    net = put(LSTM(UNITS, bidirectional=True, merge=merge).build(2), lstm_weights() | lstm_weights(4, "backward_layers.0"))
    forth, back = real(article_lstm()["h"]), real(article_lstm(FRAMES[::-1], first=4)["h"])[::-1]
    share = 1 if merge == "sum" else 0.5
    holds(net, ROWS[:1], [[[share * (a + b) for a, b in zip(*pair, strict=True)] for pair in zip(forth, back, strict=True)]])


def test_stacked_layers_read_the_layer_below() -> None:
    """Not the input each (E 3.2.2): the second LSTM reads three channels, h of the first."""
    second = recipe(5, range(2 * UNITS))
    named = {f"layers.0.{name}": value for name, value in lstm_weights().items()}
    named["layers.1.forward_layers.0.w_h"] = [[value.real for value in row[:UNITS]] for row in second]
    named["layers.1.forward_layers.0.w_x"] = [[value.real for value in row[UNITS:]] for row in second]
    h, said = [0j] * UNITS, []
    for below in article_lstm()["h"]:
        h = each(tanh, product(second, h + below))
        said.append(h)
    holds(put(Serial(LSTM(UNITS), RNN(UNITS)).build(2), named), ROWS, prefixes(said))


def test_an_lstm_hears_its_input() -> None:
    """The equations of E 3.2.1 have no x_t: by them other input changes nothing. Here it does, in every gate."""
    net = our_lstm()
    x = torch.tensor([ROWS[0]], dtype=torch.float64)
    first, second = net.trace(Seq(x))["lstm"], net.trace(Seq(100 * x))["lstm"]
    assert all(float((first[symbol] - second[symbol]).abs().max()) > 0.01 for symbol in "ifgoch")
