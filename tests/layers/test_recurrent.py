"""The recurrent cells and their options: arithmetic done by hand, what masks do in training, gates from another net, what is refused.

Weights are chosen so that gates are fractions: sigmoid(ln 3) = 3/4, tanh(ln 2) = 3/5, tanh(ln 3) = 4/5.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log, tanh
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from convrnn.core.errors import InputError
from convrnn.core.seq import Seq
from convrnn.layers.base import Layer, Spec
from convrnn.layers.combine import Serial
from convrnn.layers.conv import Conv
from convrnn.layers.framewise import Activation
from convrnn.layers.pool import Pool
from convrnn.layers.recurrent import GRU, LSTM, RNN, IndRNN, LiGRU

LN2, LN3 = log(2), log(3)
ONES = [1.0, 1.0]


def made(spec: Spec, channels: int = 1, **weights: list[Any]) -> Layer:
    """Its first layer forward with these weights, all others zero."""
    net = spec.build(channels).double().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        for name, values in weights.items():
            parameter = net.get_parameter(f"forward_layers.0.{name}")
            parameter.copy_(torch.tensor(values, dtype=torch.float64).reshape(parameter.shape))
    return net


def answers(net: Layer, x: list[float]) -> list[list[float]]:
    """h of each frame of one row of one channel."""
    with torch.no_grad():
        return net(Seq(torch.tensor(x, dtype=torch.float64)[None, :, None])).seq.values[0].tolist()


def drawn(net: Layer) -> Layer:
    """In float64, no parameter zero."""
    generator = torch.Generator().manual_seed(3)
    net = net.double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 2)
    return net


def some(rows: int, frames: int, channels: int) -> Tensor:
    return torch.randn(rows, frames, channels, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


# ---- by hand


def test_peepholes_of_i_and_f_see_the_old_c_that_of_o_the_new() -> None:
    """g = 3/5. First i = 1/2, c = 0.3, o = sigmoid(V_o 0.3) = 3/4; then i = 3/4, f = 1/4, c = 0.075 + 0.45, o = sigmoid(V_o 0.525)."""
    by_c = LN3 / 0.3
    net = made(LSTM(1, peephole=True), w_x=[0, 0, LN2, 0], peep=[by_c, -by_c, by_c])
    assert answers(net, ONES) == [[pytest.approx(0.75 * tanh(0.3), abs=1e-15)], [pytest.approx(tanh(0.525) / (1 + 3**-1.75), abs=1e-15)]]


def test_a_coupled_input_gate_is_what_is_forgotten() -> None:
    """f = 3/4, so i = 1/4, g = 3/5, o = 1/2: c = 0.15, then 0.1125 + 0.15."""
    net = made(LSTM(1, coupled=True), w_x=[LN3, LN2, 0])
    assert answers(net, ONES) == [[pytest.approx(0.5 * tanh(0.15), abs=1e-15)], [pytest.approx(0.5 * tanh(0.2625), abs=1e-15)]]


def test_what_is_projected_is_what_the_gates_see() -> None:
    """c = (0.3, 0.4) by g = (3/5, 4/5); h = 2 o_1 tanh(0.3) - o_2 tanh(0.4) is one channel, and g sees it."""
    net = made(LSTM(2, projection=1), w_x=[0, 0, 0, 0, LN2, LN3, 0, 0], w_h=[0, 0, 0, 0, 1, -1, 0, 0], proj=[2, -1])
    h = tanh(0.3) - 0.5 * tanh(0.4)
    c = 0.15 + 0.5 * tanh(LN2 + h), 0.2 + 0.5 * tanh(LN3 - h)
    assert answers(net, ONES) == [[pytest.approx(h, abs=1e-15)], [pytest.approx(tanh(c[0]) - 0.5 * tanh(c[1]), abs=1e-15)]]


def test_units_of_an_ind_rnn_see_themselves_only() -> None:
    """relu(2 x - 1 + h / 2): 1, 3.5, 0.75; and relu(x - h): 1, 1, 0."""
    net = made(IndRNN(2), w_x=[2, 1], w_h=[0.5, -1], b=[-1, 0])
    assert answers(net, [1, 2, 0]) == [[1, 1], [3.5, 1], [0.75, 0]]


def test_the_light_gru_has_no_reset() -> None:
    """Statistics of mean 0 and variance 1: z = sigmoid(ln 3 x) = 3/4, n = relu(2 x - 4 h) = 2, h = 1/4 n; then n = 0, h = 3/4 h."""
    net = made(LiGRU(1), w_x=[LN3, 2], w_h=[0, -4])
    with torch.no_grad():
        net.get_parameter("forward_layers.0.norm.scale").fill_((1 + 1e-5) ** 0.5)
    assert answers(net, ONES) == [[pytest.approx(0.5, abs=1e-15)], [pytest.approx(0.375, abs=1e-15)]]


def test_zoneout_in_evaluation_is_the_share() -> None:
    """1/4 of the old h stays: 3/4 of 2; 3/8 and 3/4 of 4."""
    assert answers(made(RNN(1, nonlinearity="relu", zoneout=0.25), w_x=[1]), [2, 4]) == [[1.5], [3.375]]


def test_zoneout_of_c_does_not_touch_the_h_of_its_frame() -> None:
    """Half of c stays, 0 and 0.3 make 0.15; h is 1/2 tanh(0.3) all the same (Krueger et al. 2017, equation 5). Next c is 0.075 + 0.3."""
    net = made(LSTM(1, cell_zoneout=0.5), w_x=[0, 0, LN2, 0])
    assert answers(net, ONES) == [[pytest.approx(0.5 * tanh(0.3), abs=1e-15)], [pytest.approx(0.5 * tanh(0.375), abs=1e-15)]]


def test_a_layer_adds_what_it_reads() -> None:
    """h0 = relu(x) = 1, 2; h1 = relu(2 h0) + h0; the first layer adds nothing."""
    net = made(RNN(1, nonlinearity="relu", layers=2, residual_layers=True), w_x=[1])
    with torch.no_grad():
        net.get_parameter("forward_layers.1.w_x").fill_(2)
    assert answers(net, [1, 2]) == [[3], [6]]


def test_a_learned_state_is_where_rows_begin() -> None:
    """tanh(ln 2 h) with h = 1 at first; the gradient of what is answered reaches it."""
    net = made(RNN(1, learn_state=True), w_h=[LN2])
    first = net.get_parameter("forward_layers.0.first.0")
    with torch.no_grad():
        first.fill_(1)
    y = net(Seq(torch.zeros(2, 1, 1, dtype=torch.float64))).seq.values
    assert y.flatten().tolist() == [pytest.approx(0.6, abs=1e-15)] * 2
    (found,) = torch.autograd.grad(y.sum(), first)
    assert found.item() == pytest.approx(2 * LN2 * (1 - 0.36), abs=1e-14)


@pytest.mark.parametrize("spec", [LSTM(3, peephole=True, projection=2), LSTM(3, coupled=True), IndRNN(3), GRU(3, learn_state=True)])
def test_the_backward_direction_is_the_layer_on_the_row_turned_round(spec: Spec) -> None:
    fields = spec.to_dict()
    both = drawn(Spec.from_dict({**fields, "bidirectional": True}).build(2))
    one = spec.build(2).double()
    one.load_state_dict({name.replace("backward", "forward"): p for name, p in both.state_dict().items() if name.startswith("backward")})
    x = some(1, 5, 2)
    whole, turned = both(Seq(x)).seq.values, one(Seq(x.flip(1))).seq.values.flip(1)
    assert torch.allclose(whole[..., one.out_shape[0] :], turned, rtol=0, atol=1e-12)


# ---- in training


def test_a_unit_in_its_zone_keeps_its_very_value() -> None:
    """Every h is the one before it, to the last bit, or what a step makes of it; about as often as the rate says."""
    torch.manual_seed(0)
    net = drawn(RNN(16, zoneout=0.4).build(3))
    x = some(4, 30, 3)
    y = net(Seq(x)).seq.values
    w_x, w_h, b = (net.get_parameter(f"forward_layers.0.{name}") for name in ("w_x", "w_h", "b"))
    before = torch.cat([torch.zeros_like(y[:, :1]), y[:, :-1]], 1)
    step = torch.tanh(F.linear(x, w_x, b) + F.linear(before, w_h))
    kept = y == before
    assert torch.allclose(y[~kept], step[~kept], rtol=0, atol=1e-12)
    assert 0.35 < float(kept.double().mean()) < 0.45


def test_recurrent_dropout_has_one_mask_for_all_frames_of_a_row() -> None:
    """h = 1 + m h with m = 0 or 2 of each unit and row: always 1, or 1, 3, 7, 15."""
    torch.manual_seed(0)
    net = made(IndRNN(20, recurrent_dropout=0.5), w_x=[1] * 20, w_h=[1] * 20).train()
    y = net(Seq(torch.ones(6, 4, 1, dtype=torch.float64))).seq.values
    dropped = (y == 1).all(1)
    assert bool((dropped | (y == torch.tensor([1.0, 3, 7, 15]).double()[:, None]).all(1)).all())
    assert 40 < int(dropped.sum()) < 80 and not torch.equal(dropped[0], dropped[1])


def test_weight_dropout_has_one_mask_for_all_rows_and_frames() -> None:
    torch.manual_seed(0)
    net = made(IndRNN(20, weight_dropout=0.5), w_x=[1] * 20, w_h=[1] * 20).train()
    y = net(Seq(torch.ones(6, 4, 1, dtype=torch.float64))).seq.values
    dropped = (y == 1).all(1)
    assert bool((dropped | (y == torch.tensor([1.0, 3, 7, 15]).double()[:, None]).all(1)).all())
    assert 4 < int(dropped[0].sum()) < 16 and torch.equal(dropped, dropped[:1].expand(6, 20))
    again = net(Seq(torch.ones(6, 4, 1, dtype=torch.float64))).seq.values
    assert not torch.equal(y, again), "other rows, another mask"


def test_in_evaluation_no_weight_and_no_state_is_dropped() -> None:
    x = Seq(some(2, 5, 3))
    plain = drawn(LSTM(4, layers=2).build(3)).eval()
    noisy = LSTM(4, layers=2, dropout=0.3, recurrent_dropout=0.4, weight_dropout=0.5).build(3).double().eval()
    noisy.load_state_dict(plain.state_dict())
    assert torch.equal(noisy(x).seq.values, plain(x).seq.values)


def test_a_state_may_come_from_the_other_mode() -> None:
    """Continued in evaluation no mask is drawn; from evaluation into training one is."""
    net = drawn(GRU(8, zoneout=0.4, recurrent_dropout=0.4).build(3))
    x, later = Seq(some(2, 5, 3)), Seq(some(2, 4, 3))
    trained = net(x, None, False).state
    assert trained is not None and len(trained[0][0]) == 4
    plain = (((trained[0][0][0],),), ())
    net.eval()
    y, after = net(later, trained, False)
    assert torch.equal(y.values, net(later, plain, False).seq.values)
    assert after is not None and len(after[0][0]) == 1
    noisy, begun = net.train()(later, after, False)
    assert begun is not None and len(begun[0][0]) == 4 and not torch.equal(noisy.values, net.eval()(later, after, False).seq.values)


# ---- gates from another net


@pytest.mark.parametrize("into", [("i", "f"), ("f", "i"), ("o", "g"), ("g",), ("f", "g", "o")], ids="-".join)
def test_gates_by_a_pointwise_convolution_are_those_of_an_lstm(into: tuple[str, ...]) -> None:
    """W_g (V x + a) = (W_g V) x + W_g a: a convolution of one frame without activation is one more matrix."""
    mixed = drawn(LSTM(3, gates=Conv(5, kernel=1), into=into).build(2))
    plain = LSTM(3).build(2).double()
    given = mixed.state_dict()
    at = "layers.1.forward_layers.0."
    v, a = given["layers.0.branches.1.weight"][..., 0], given["layers.0.branches.1.bias"]
    by_net, by_x = iter(given[at + "w_g"].split(3)), iter(given[at + "w_x"].split(3))
    rows, bias = list[Tensor](), given[at + "b"].clone()
    for i, symbol in enumerate(("i", "f", "g", "o")):
        part = next(by_net if symbol in into else by_x)
        rows.append(part @ v if symbol in into else part)
        if symbol in into:
            bias[3 * i : 3 * i + 3] += part @ a
    weights = {"w_x": torch.cat(rows), "w_h": given[at + "w_h"], "b": bias}
    plain.load_state_dict({f"forward_layers.0.{name}": value for name, value in weights.items()})
    x = Seq(some(3, 6, 2), torch.tensor([6, 0, 4]))
    assert torch.allclose(mixed(x).seq.values, plain(x).seq.values, rtol=0, atol=1e-12)


def test_gates_that_look_ahead_make_the_layer_wait() -> None:
    causal = LSTM(4, gates=Serial(Conv(6, kernel=5, padding="causal"), Activation("relu")), into=("i", "f")).build(3)
    ahead = LSTM(4, gates=Serial(Conv(6, kernel=5), Activation("relu")), into=("i", "f")).build(3)
    assert (causal.past, causal.lookahead, causal.ready(7)) == (None, 0, 7)
    assert (ahead.past, ahead.lookahead, ahead.ready(7)) == (None, 2, 5)
    assert causal.streams and ahead.streams
    assert [path for path, _ in ahead.walk()][-1] == "cell"


@pytest.mark.parametrize(
    ("spec", "kept", "written"),
    [
        (LSTM(4_000, chrono=50, recurrent_init="zeros"), "f", "i"),
        (LSTM(4_000, chrono=50, coupled=True, recurrent_init="zeros"), "f", None),
        (GRU(4_000, chrono=50, recurrent_init="zeros"), "z", None),
        (GRU(4_000, chrono=50, reset="before", recurrent_init="zeros"), "z", None),
    ],
)
def test_chrono_spreads_the_memories_of_the_units_evenly(spec: LSTM | GRU, kept: str, written: str | None) -> None:
    """sigmoid(b) of the state is kept a frame, so 1 / (1 - sigmoid(b)) frames long: uniform in 2 to 50. What is written is the rest."""
    torch.manual_seed(0)
    bias = spec.build(1).get_parameter("forward_layers.0.b").detach().double()
    gates = dict(zip(spec.symbols, bias.split(4_000), strict=True))
    frames = 1 / (1 - gates[kept].sigmoid())
    assert frames.min() >= 2 - 1e-4 and frames.max() <= 50 + 1e-2
    quarters = frames.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64))
    assert quarters.tolist() == pytest.approx([14, 26, 38], abs=1.5)
    if written is not None:
        assert torch.equal(gates[written], -gates[kept])
    others = {name: gate for name, gate in gates.items() if name not in (kept, written)}
    assert all(not gate.any() for gate in others.values())


def test_the_names_of_a_state_are_the_papers() -> None:
    assert LSTM(4).build(3).state_names() == ((("h", "c"),), ())
    assert GRU(4, layers=2, bidirectional=True).build(3).state_names() == ((("0.h",), ("0.back.h",), ("1.h",), ("1.back.h",)), ((),) * 0)
    gated = LSTM(4, gates=Conv(2, kernel=3, padding="causal"), into=("o",)).build(3).state_names()
    assert gated == ((((), ("gates.net.buffer", "gates.net.held")), ()), ((("h", "c"),), ()))


def test_inside_are_the_values_of_the_paper() -> None:
    """Those of a step by hand: i = 1/2, f = sigmoid(1), g = 3/5, o = 1/2, c = 0.3; a row without frames shows zeros."""
    net = made(LSTM(1), w_x=[0, 0, LN2, 0], b=[0, 1, 0, 0])
    x = Seq(torch.ones(2, 1, 1, dtype=torch.float64), torch.tensor([1, 0]))
    seen = {name: value[:, 0, 0].tolist() for name, value in net.inside(x).items()}
    wanted = {"i": 0.5, "f": 1 / (1 + exp(-1)), "g": 0.6, "o": 0.5, "c": 0.3, "h": 0.5 * tanh(0.3)}
    assert seen == {name: [pytest.approx(value, abs=1e-15), 0] for name, value in wanted.items()}
    gated = LSTM(1, gates=Conv(2, kernel=3), into=("f",)).build(1).inside(Seq(torch.ones(2, 5, 1), torch.tensor([5, 0])))
    assert list(gated) == list(wanted) and all(value.shape == (2, 5, 1) for value in gated.values())
    both = GRU(2, layers=2, bidirectional=True).build(3).inside(Seq(torch.ones(1, 4, 3)))
    assert sorted(both) == sorted(f"{layer}.{back}{name}" for layer in "01" for back in ("", "back.") for name in "hnrz")


# ---- what is refused

MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "merge of one direction": (lambda: RNN(4, merge="sum"), "rnn.merge: joins two directions, got 'sum' with one; set bidirectional=True"),
    "dropout between one layer": (
        lambda: GRU(4, dropout=0.2),
        "gru.dropout: acts between stacked layers, got layers=1; put Dropout behind the layer, or set layers=2",
    ),
    "residual of one layer": (
        lambda: IndRNN(4, residual_layers=True),
        "ind_rnn.residual_layers: acts between stacked layers, got layers=1; use Residual, or set layers=2",
    ),
    "gates into nothing": (
        lambda: LSTM(4, gates=Conv(2)),
        "lstm.into: names the gates that `gates` computes: give both or none; gates: i, f, g, o",
    ),
    "into without gates": (
        lambda: GRU(4, into=("r",)),
        "gru.into: names the gates that `gates` computes: give both or none; gates: r, z, n",
    ),
    "a gate of another cell": (lambda: GRU(4, gates=Conv(2), into=("f",)), "gru.into: expected some of r, z, n, each once, got f"),
    "a coupled input gate": (
        lambda: LSTM(4, coupled=True, gates=Conv(2), into=("i", "f")),
        "lstm.into: expected some of f, g, o, each once, got i, f",
    ),
    "a gate twice": (lambda: LSTM(4, gates=Conv(2), into=("i", "i")), "lstm.into: expected some of i, f, g, o, each once, got i, i"),
    "all gates": (
        lambda: GRU(4, gates=Conv(2), into=("r", "z", "n")),
        "gru.into: names every gate: x itself would not be read; put the net before the layer, in a Serial",
    ),
    "gates of a stack": (
        lambda: LSTM(4, layers=2, gates=Conv(2), into=("i",)),
        "lstm.gates: belongs to one layer, got layers=2; stack layers of one in a Serial",
    ),
    "gates of both directions": (
        lambda: LSTM(4, bidirectional=True, gates=Conv(2), into=("i",)),
        "lstm.gates: reads in one direction, got bidirectional=True; put the layer into BothWays",
    ),
    "gates beside a batch norm": (
        lambda: LiGRU(4, gates=Conv(2), into=("z",)),
        "ligru.gates: has no place beside the batch norm of the gates; use GRU or LSTM",
    ),
    "gates with a stride": (
        lambda: Serial(LSTM(4, gates=Serial(Conv(2), Pool(2)), into=("i",))).build(3),
        "0.lstm.gates.net: gives 1/2 frame(s) an input frame, the first branch 1; use the same strides",
    ),
    "gates that cannot be built": (
        lambda: LSTM(4, gates=Serial(Conv(2), Conv(4, groups=4)), into=("i",)).build(3),
        "lstm.gates.1.conv: expected groups=4 to divide 2 input channels",
    ),
    "a rate of one": (lambda: RNN(4, zoneout=1.0), "rnn.zoneout: expected a value less than 1, got 1.0"),
    "no projection": (lambda: LSTM(4, projection=0), "lstm.projection: expected a value greater than 0, got 0"),
    "two rules for a bias": (
        lambda: LSTM(4, chrono=50, forget_bias=2.0),
        "lstm.chrono: says where the bias of the forget gate begins, as forget_bias does; give one of them",
    ),
    "a memory of two frames": (lambda: GRU(4, chrono=2), "gru.chrono: expected a value greater than or equal to 3, got 2"),
    "an option of another cell": (lambda: Spec.from_yaml("{gru: 4, peephole: true}"), "gru.peephole: no such field; fields: "),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(mistake: str) -> None:
    make, line = MISTAKES[mistake]
    with pytest.raises(InputError) as raised:
        make()
    assert str(raised.value).startswith(line) and (line.endswith(" ") or str(raised.value) == line)


def test_yaml_reads_as_people_write_it() -> None:
    text = "lstm: 64\ngates: [{conv: 32, kernel: 5, padding: causal}, activation]\ninto: [i, f]\n"
    spec = LSTM(64, gates=Serial(Conv(32, kernel=5, padding="causal"), Activation("relu")), into=("i", "f"))
    assert Spec.from_yaml(text) == spec and spec.to_yaml() == text
    options = LSTM(8, projection=4, peephole=True, zoneout=0.05, cell_zoneout=0.5)
    assert options.to_yaml() == "{lstm: 8, zoneout: 0.05, peephole: true, projection: 4, cell_zoneout: 0.5}\n"
