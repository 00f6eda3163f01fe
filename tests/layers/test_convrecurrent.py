"""Recurrences over pictures: the plain cells with the convolutions written out as matrices, arithmetic by hand, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import log, tanh

import pytest
import torch
from torch import Tensor

from convrnn.core.errors import InputError
from convrnn.core.seq import Ids, Seq
from convrnn.layers.base import Layer, Spec
from convrnn.layers.convrecurrent import ConvCell, ConvGRU, ConvLSTM, ConvRNN
from convrnn.layers.recurrent import GRU, LSTM, RNN

LN2, LN3 = log(2), log(3)
SPACES = {"1-d": (5,), "2-d": (3, 4)}
TWINS: dict[str, tuple[ConvCell, Spec]] = {
    # A ConvLSTM of H units at S positions is an LSTM of S H units.
    "rnn-even": (ConvRNN(2, kernel=4, recurrent_kernel=2, nonlinearity="relu"), RNN(2, nonlinearity="relu")),
    "lstm": (ConvLSTM(2), LSTM(2)),
    "lstm-peephole": (ConvLSTM(2, kernel=1, recurrent_kernel=5, peephole=True), LSTM(2, peephole=True)),
    "lstm-zoneout": (ConvLSTM(2, zoneout=0.3), LSTM(2, zoneout=0.3, cell_zoneout=0.3)),
    "gru": (ConvGRU(2, kernel=2), GRU(2, reset="before")),
    "gru-after": (ConvGRU(2, reset="after", learn_state=True), GRU(2, reset="after", learn_state=True)),
}


def as_matrix(kernel: Tensor, space: tuple[int, ...], gates: int) -> Tensor:
    """`[G, C, *kernel]` to `[gates, *space, H, *space, C]` flattened, position by position: reads (k - 1) // 2 positions before each."""
    places = list(product(*(range(n) for n in space)))
    units, channels = kernel.shape[0] // gates, kernel.shape[1]
    matrix = kernel.new_zeros(gates, len(places), units, len(places), channels)
    for (i, here), (j, there) in product(enumerate(places), enumerate(places)):
        tap = tuple(b - a + (k - 1) // 2 for a, b, k in zip(here, there, kernel.shape[2:], strict=True))
        if all(0 <= t < k for t, k in zip(tap, kernel.shape[2:], strict=True)):
            matrix[:, i, :, j, :] = kernel[(..., *tap)].reshape(gates, units, channels)
    return matrix.reshape(gates * len(places) * units, len(places) * channels)


def written_out(net: Layer, twin: Spec, space: tuple[int, ...], channels: int) -> Layer:
    """The plain cell over whole pictures as vectors, with the weights of the other."""
    places = torch.Size(space).numel()
    plain = Spec.from_dict({**twin.to_dict(), "features": 2 * places}).build(channels * places).double().eval()
    given = net.state_dict()
    gates = given["forward_layers.0.b"].numel() // 2
    weights: dict[str, Tensor] = {}
    for name, value in given.items():
        match name.rpartition("forward_layers.0.")[2]:
            case "w_x" | "w_h":
                weights[name] = as_matrix(value, space, gates)
            case "peep":
                weights[name] = value.flatten(1)
            case _:
                weights[name] = value.reshape(-1, 1, 2).expand(-1, places, 2).flatten()
    plain.load_state_dict(weights)
    return plain


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("twin", TWINS)
def test_it_is_the_plain_cell_with_its_convolutions_written_out(twin: str, space: str) -> None:
    """Values and final state, ragged: each convolution as the matrix that it is, found by loops over positions."""
    spec, plain = TWINS[twin]
    positions = SPACES[space]
    torch.manual_seed(2)
    net = spec.build((*positions, 3)).double().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn_like(parameter) / 3)
    x = torch.randn(3, 4, *positions, 3, dtype=torch.float64)
    lengths = torch.tensor([4, 0, 2])
    with torch.no_grad():
        y, state = net(Seq(x, lengths))
        want, final = written_out(net, plain, positions, 3)(Seq(x.flatten(2), lengths))
    assert state is not None and final is not None
    for got, other in zip((y.values, *state[0][0]), (want.values, *final[0][0]), strict=True):
        assert torch.allclose(got.flatten(-1 - len(positions)), other, rtol=0, atol=1e-12)


def test_a_conv_lstm_by_hand() -> None:
    """Two positions; g = 3/5 where x is 1, else 0; f = 1/2. First only the left one has it: c = (0.3, 0), h = (tanh(0.3) o, 0) with the
    new c in o = sigmoid(V_o 0.3). Then the right one's i sees that h and is 3/4: c = (0.15 + 0.3, 0.45)."""
    first = tanh(0.3) / (1 + 3 ** (-2 / 3))
    net = ConvLSTM(1, kernel=1, recurrent_kernel=3, peephole=True).build((2, 1)).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.get_parameter("forward_layers.0.w_x")[2] = LN2
        # Taps before, here and behind: the position at the right sees the one at its left.
        net.get_parameter("forward_layers.0.w_h")[0, 0, 0] = LN3 / first
        net.get_parameter("forward_layers.0.peep")[2, 0] = LN3 / 0.45
        y, state = net(Seq(torch.tensor([[[[1.0], [0]], [[1], [1]]]], dtype=torch.float64)))
    assert state is not None
    assert y.values[0, 0].flatten().tolist() == [pytest.approx(first, abs=1e-15), 0]
    assert state[0][0][1].flatten().tolist() == [pytest.approx(0.45, abs=1e-15)] * 2
    assert y.values[0, 1].flatten().tolist() == [pytest.approx(0.75 * tanh(0.45), abs=1e-15), pytest.approx(tanh(0.45) / 2, abs=1e-15)]


def test_the_recurrent_kernel_is_how_far_a_movement_goes_in_a_frame() -> None:
    """An impulse in the middle of the first frame is seen a position further in each of the next."""
    net = ConvRNN(1, kernel=1, recurrent_kernel=3).build((7, 1)).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(0.5)
        net.get_parameter("forward_layers.0.b").zero_()
        x = torch.zeros(1, 4, 7, 1, dtype=torch.float64)
        x[0, 0, 3] = 1
        y = net(Seq(x)).seq.values[0, ..., 0]
    assert (y != 0).sum(1).tolist() == [1, 3, 5, 7]


def test_facts_and_names() -> None:
    net = ConvLSTM(4, layers=2, peephole=True).build((6, 5, 3))
    assert (net.out_shape, net.past, net.lookahead, net.streams) == ((6, 5, 4), None, 0, True)
    assert net.state_names() == ((("0.h", "0.c"), ("1.h", "1.c")), ())
    assert {name: tuple(p.shape) for name, p in net.named_parameters() if name.startswith("forward_layers.1")} == {
        "forward_layers.1.w_x": (16, 4, 3, 3),
        "forward_layers.1.b": (16,),
        "forward_layers.1.w_h": (16, 4, 3, 3),
        "forward_layers.1.peep": (3, 6, 5, 4),
    }
    inside = net.inside(Seq(torch.zeros(2, 3, 6, 5, 3)))
    assert sorted(inside) == sorted(f"{layer}.{name}" for layer in "01" for name in "ifgoch")
    assert all(value.shape == (2, 3, 6, 5, 4) for value in inside.values())
    assert ConvGRU(4, bidirectional=True).build((6, 3)).out_shape == (6, 8)


MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "frames without space": (lambda: ConvLSTM(4).build(3), "conv_lstm: expected frames with space, got (3,); use lstm"),
    "three dimensions of space": (
        lambda: ConvGRU(4).build((2, 2, 2, 1)),
        "conv_gru: expected at most 2 space dimensions, got 3; put a Fold first",
    ),
    "ids": (lambda: ConvRNN(4).build(Ids(9)), "conv_rnn: expected channels, got ids of 9 symbols; put an Embedding first"),
    "a window of other dimensions": (
        lambda: ConvLSTM(4, kernel=(3, 3)).build((8, 1)),
        "conv_lstm: expected 1 number(s) for kernel, one a dimension of space, got (3, 3)",
    ),
    "a recurrent window of other dimensions": (
        lambda: ConvLSTM(4, recurrent_kernel=(3,)).build((8, 8, 1)),
        "conv_lstm: expected 2 number(s) for recurrent_kernel, one a dimension of space, got (3,)",
    ),
    "dropout between one layer": (
        lambda: ConvGRU(4, dropout=0.1),
        "conv_gru.dropout: acts between stacked layers, got layers=1; put Dropout behind the layer, or set layers=2",
    ),
    "a stream of both directions": (
        lambda: ConvGRU(4, bidirectional=True).build((3, 1)).stream(),
        "conv_gru: cannot stream: it needs the whole row; use bidirectional=False",
    ),
    "frames of another space": (
        lambda: ConvGRU(4).build((3, 1))(Seq(torch.zeros(1, 2, 4, 1))),
        "conv_gru: expected [B, T, 3, 1], got [1, 2, 4, 1]; build it for (4, 1)",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(mistake: str) -> None:
    make, line = MISTAKES[mistake]
    with pytest.raises(InputError) as raised:
        make()
    assert str(raised.value) == line
