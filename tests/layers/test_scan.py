"""QRNN, SRU, minGRU and minLSTM: by hand, over ten thousand frames, in both directions, and what is wrong with a spec."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import convrnn as cr
from convrnn.core.errors import InputError, NotStreamable, ShapeError, SpecError
from convrnn.core.seq import Seq
from convrnn.kernels import scan as kernels
from convrnn.layers.base import Last, Layer
from convrnn.layers.scan import Coefficients, LinearDirection, LinearRecurrence
from convrnn.layers.stacked import Named, StackedLayer
from convrnn.testing.chunks import batch_of, compare, compare_states, in_chunks, make_rows, split_rows
from tests.layers.refused import refused

SPECS: dict[str, LinearRecurrence] = {
    "qrnn": cr.QRNN(4, kernel=3),
    "qrnn-ifo": cr.QRNN(4, pooling="ifo"),
    "sru": cr.SRU(4),
    "min-gru": cr.MinGRU(4),
    "min-gru-g": cr.MinGRU(4, candidate="g"),
    "min-lstm": cr.MinLSTM(4),
}
by_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def given(net: Layer, **weights: Sequence[float]) -> Layer:
    """The first layer's weights, each flat; what is not named is zero."""
    net = net.double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        for name, values in weights.items():
            parameter = net.get_parameter(f"forward_layers.0.{name.replace('__', '.')}")
            parameter.copy_(torch.tensor(values, dtype=torch.float64).reshape(parameter.shape))
    return net


def answers(net: Layer, *frames: float) -> list[float]:
    """One row of one channel; offline and frame by frame must agree."""
    row = torch.tensor(frames, dtype=torch.float64).reshape(1, -1, 1)
    with torch.no_grad():
        whole = net(Seq(row)).seq.values.flatten().tolist()
    stream = net.stream()
    assert [stream.push(row[:, t : t + 1]).values.item() for t in range(len(frames))] == whole
    return whole


# ---- by hand: a weight of zero makes a gate one half


@pytest.mark.parametrize(
    ("pooling", "o", "want"),
    [("f", [], [0, 0.5, -0.25]), ("fo", [0.0], [0, 0.25, -0.125]), ("ifo", [0.0, 50.0], [0, 0.5, -0.25])],
)
def test_qrnn(pooling: str, o: list[float], want: list[float]) -> None:
    """z = tanh(100 x_{t-1}) is 0, 1, -1. c = c/2 + z/2 is 0, 1/2, -1/4; with i = 1 c = c/2 + z is 0, 1, -1/2; h = c/2 with o."""
    blocks = 1 + len(pooling)
    net = given(
        replace(cr.QRNN(1), pooling=pooling).build(1), conv__weight=[100, 0] + [0] * 2 * (blocks - 1), conv__bias=[0, 0, *o][:blocks]
    )
    assert answers(net, 1, -1, 1) == pytest.approx(want, abs=1e-15)


def test_sru() -> None:
    """u = 2 x; c = c/2 + x is 1, 2.5; h = c/2 + x/2."""
    net = given(cr.SRU(1, nonlinearity="identity").build(1), weight=[2, 0, 0])
    assert answers(net, 1, 2) == [1, 2.25]


def test_sru_projects_what_it_skips() -> None:
    """Of the channels 1 and 5, u reads the first and s the second: c = 1/2, h = c/2 + 5/2."""
    net = given(cr.SRU(1, nonlinearity="identity").build(2), weight=[1, 0, 0, 0, 0, 0, 0, 1])
    assert net(Seq(torch.tensor([[[1.0, 5.0]]], dtype=torch.float64))).seq.values.item() == 2.75


def test_sru_begins_as_a_highway() -> None:
    assert cr.SRU(3, highway_bias=-2.0).build(3).get_parameter("forward_layers.0.bias").tolist() == [0, 0, 0, -2, -2, -2]


@pytest.mark.parametrize(("candidate", "want"), [("linear", [1, 2.5]), ("g", [1.25, 2.875])])
def test_min_gru(candidate: str, want: list[float]) -> None:
    """n = 2 x, with g 2 x + 1/2; h = h/2 + n/2."""
    assert answers(given(replace(cr.MinGRU(1), candidate=candidate).build(1), gates__weight=[0, 2]), 1, 2) == want


def test_a_candidate_below_zero() -> None:
    """g(-log 3) = sigmoid(-log 3) = 1/4."""
    net = given(cr.MinGRU(1, candidate="g").build(1), gates__weight=[0, -1])
    assert answers(net, math.log(3)) == pytest.approx([1 / 8], abs=1e-15)


def test_min_lstm() -> None:
    """f = 1/2 and i = 1/4 make f' = 2/3, i' = 1/3: h = 1/3 * 3, 2/3 + 1/3 * 6."""
    net = given(cr.MinLSTM(1).build(1), gates__weight=[0, 0, 1], gates__bias=[0, -math.log(3), 0])
    assert answers(net, 3, 6) == pytest.approx([1, 8 / 3], abs=1e-14)


def test_min_lstm_with_both_gates_shut() -> None:
    """f and i are both 0 in float32, and f / (f + i) would be NaN; f' is sigmoid(-200 + 201)."""
    net = given(cr.MinLSTM(1).build(1), gates__bias=[-200, -201, 1]).float()
    h = net(Seq(torch.zeros(1, 1, 1))).seq.values.item()
    assert h == pytest.approx(1 - 1 / (1 + math.exp(-1)), abs=1e-6)


def test_a_learned_state() -> None:
    """c = c/2: 4, 2 from 8, offline and in a stream; rows begin alike, and the gradient is 1/2 + 1/4 a row."""
    net = given(cr.MinGRU(1, learn_state=True).build(1), begin=[8])
    assert answers(net, 0, 0) == [4, 2]
    net(Seq(torch.zeros(3, 2, 1, dtype=torch.float64))).seq.values.sum().backward()
    gradient = net.get_parameter("forward_layers.0.begin").grad
    assert gradient is not None and gradient.item() == 3 * 0.75


# ---- ten thousand frames in float32


def long_run(net: Layer, x: Tensor) -> list[Tensor]:
    """The answer, and the gradients of x and of all parameters."""
    x = x.requires_grad_()
    y = net(Seq(x)).seq.values
    return [y.detach(), *torch.autograd.grad(y.square().mean(), [x, *net.parameters()])]


@pytest.mark.parametrize("scale", [1, 30], ids=["", "saturated"])
@by_spec
def test_ten_thousand_frames(spec: LinearRecurrence, scale: float) -> None:
    """Within 1e-4 of float64 with the same weights, relative to the largest; gradients finite and as near. Times 30: gates are 0 or 1."""
    torch.manual_seed(3)
    net = replace(spec, learn_state=True).build(3)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1).mul_(scale)
    x = torch.randn(1, 10_000, 3)
    got, want = long_run(net, x), long_run(net.double(), x.double())
    for a, b in zip(got, want, strict=True):
        assert a.dtype == torch.float32 and bool(torch.isfinite(a).all())
        assert float((a - b).abs().max()) <= 1e-4 * float(b.abs().max())


@pytest.mark.parametrize(("spec", "bias"), [(cr.QRNN(1, pooling="f"), "conv__bias"), (cr.MinGRU(1), "gates__bias"), (cr.SRU(1), "bias")])
def test_a_gate_that_is_nearly_shut_lets_the_right_amount_in(spec: LinearRecurrence, bias: str) -> None:
    """1 - sigmoid(16) is 1.1e-7, in float32 1.2e-7: that difference is nowhere taken."""
    biases = {"conv__bias": [50, 16], "gates__bias": [-16, 1], "bias": [16, 50]}[bias]
    weights = {"weight": [1, 0, 0]} if isinstance(spec, cr.SRU) else {}
    net = given(spec.build(1), **{bias: biases}, **weights).float()
    h = net(Seq(torch.full((1, 1, 1), 1.0))).seq.values.item()
    assert h == pytest.approx(1 / (1 + math.exp(16)), rel=1e-5)


def test_gates_are_float32_under_autocast() -> None:
    """A gate of 0.9998 would be 1 in bfloat16, and the state would stay zero."""
    net = cr.MinGRU(1).build(1)
    net = given(net, gates__bias=[-8.5, 1]).float()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        out = net(Seq(torch.zeros(1, 1000, 1)))
    assert out.seq.values[0, -1].item() == pytest.approx(1 - (1 - 1 / (1 + math.exp(8.5))) ** 1000, rel=1e-3)


def test_a_layer_in_half_precision_keeps_its_state_in_float32() -> None:
    net, x = cr.QRNN(4).build(3).bfloat16(), torch.randn(2, 5, 3, dtype=torch.bfloat16)
    y, state = net(Seq(x), None, False)
    assert y.values.dtype == torch.bfloat16 and state is not None
    for cells, _ in (state, net.initial_state(2, x)):
        assert cells[0][0].dtype == torch.float32


# ---- directions, zoneout, what is inside


@pytest.mark.parametrize("merge", ["concat", "sum", "mean", "gate"])
@by_spec
def test_both_directions_are_two_layers_of_one(spec: LinearRecurrence, merge: str) -> None:
    """`BothWays` reverses rows and answers; here the convolution and the scan run backward."""
    both = replace(spec, bidirectional=True, merge=merge).build(3).double()
    other = replace(cr.BothWays(spec), merge=merge).build(3).double()
    places = {"forward_layers": "forth.forward_layers", "backward_layers": "back.forward_layers", "joints.0": "joint"}
    weights = {name: value for place, new in places.items() for name, value in renamed(both, place, new)}
    other.load_state_dict(weights, strict=True)
    rows = make_rows((3,), (9, 0, 4, 1), 2, torch.float64)
    for a, b in zip(split_rows(both(batch_of(rows)).seq), split_rows(other(batch_of(rows)).seq), strict=True):
        compare("row", a, b)


def renamed(net: Layer, old: str, new: str) -> list[tuple[str, Tensor]]:
    return [(new + name.removeprefix(old), value) for name, value in net.state_dict().items() if name.startswith(f"{old}.")]


@pytest.mark.parametrize("spec", [cr.QRNN(64, pooling="f", zoneout=0.3), cr.QRNN(64, pooling="ifo", zoneout=0.3)], ids=["f", "ifo"])
def test_zoneout_keeps_the_state(spec: cr.QRNN) -> None:
    """About 30 % of the units of each frame have the value they had, in training only."""
    net, x = spec.build(3), Seq(torch.randn(4, 50, 3))
    torch.manual_seed(1)
    for training, want in ((True, 0.3), (False, 0.0)):
        c = net.train(training).inside(x)["h" if spec.pooling == "f" else "c"]
        still = (c[:, 1:] == c[:, :-1]).float().mean()
        assert float(still) == pytest.approx(want, abs=0.02)


def test_zoneout_on_a_state_from_the_other_mode() -> None:
    """From evaluation into training a mask is drawn, for all frames to come; from training into evaluation none is left."""
    net, x = cr.QRNN(64, pooling="f", zoneout=0.3).build(3), Seq(torch.randn(4, 50, 3))
    evaluated = net.eval()(x, None, False).state
    h, trained = net.train()(x, evaluated, False)
    assert float((h.values[:, 1:] == h.values[:, :-1]).float().mean()) == pytest.approx(0.3, abs=0.02)
    after = net.eval()(x, trained, False).state
    clocks = [state[0][0][2][1:] for state in (evaluated, trained, after) if state is not None]
    assert clocks[::2] == [(), ()] and clocks[1][0].tolist() == [50] * 4


INSIDE: dict[str, tuple[str, ...]] = {
    "qrnn": ("z", "f", "o", "c", "h"),
    "qrnn-ifo": ("z", "f", "o", "i", "c", "h"),
    "sru": ("u", "f", "r", "s", "c", "h"),
    "min-gru": ("z", "n", "h"),
    "min-lstm": ("f'", "i'", "n", "h"),
}


@pytest.mark.parametrize(("name", "symbols"), INSIDE.items(), ids=INSIDE)
def test_what_is_inside(name: str, symbols: tuple[str, ...]) -> None:
    net = SPECS[name].build(3)
    x = batch_of(make_rows((3,), (7, 0, 4), 1, torch.float32))
    seen = net.inside(x)
    assert tuple(seen) == symbols
    assert all(value.shape == (3, 7, 4) for value in seen.values())
    assert torch.allclose(seen["h"], net(x).seq.values, atol=1e-6)


def test_what_is_inside_a_stack() -> None:
    net = cr.MinGRU(2, layers=2, bidirectional=True).build(3)
    places = ("0.", "0.back.", "1.", "1.back.")
    assert list(net.inside(Seq(torch.randn(1, 3, 3)))) == [f"{place}{symbol}" for place in places for symbol in ("z", "n", "h")]
    assert net.state_names() == (tuple((f"{place}h",) for place in places), ())


# ---- another cell


class _RealGated(LinearDirection):
    """The real-gated linear recurrent unit (De et al. 2024, arXiv 2402.19427), as the module's docstring promises."""

    def __init__(self, spec: LinearRecurrence, channels: int, reverse: bool) -> None:
        super().__init__(spec, reverse)
        self.gates, self.decay = nn.Linear(channels, 3 * spec.features), nn.Parameter(torch.rand(spec.features))

    def coefficients(self, x: Seq, rest: tuple[Tensor, ...], last: Last) -> Coefficients:
        r, i, u = self.gates(x.values).chunk(3, -1)
        log_a = -8 * nn.functional.softplus(self.decay) * torch.sigmoid(r)
        b = torch.sqrt(-torch.expm1(2 * log_a)) * torch.sigmoid(i) * u
        return Coefficients(torch.exp(log_a), b, {"r": torch.sigmoid(r), "i": torch.sigmoid(i)})

    def read(self, c: Tensor, x: Tensor, named: Named) -> Tensor:
        return torch.tanh(c)


def test_another_cell_is_one_class() -> None:
    spec = cr.MinGRU(4, layers=2)  # a stand-in: its fields, not its equations
    net = StackedLayer(spec, (3,), lambda channels, reverse: _RealGated(spec, channels, reverse)).double()
    rows = make_rows((3,), (11, 0, 5, 1), 4, torch.float64)
    whole = net(batch_of(rows), None, False)
    for seed in range(5):
        chunked = in_chunks(net, rows, random.Random(seed), end=False)
        compare_states("state", chunked.state, whole.state)
        for a, b in zip(chunked.rows, split_rows(whole.seq), strict=True):
            compare("row", a, b)


def test_the_reference_is_the_same_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """`kernels.use` reaches the layers: the readable loop is what runs."""
    from convrnn.kernels import dispatch

    calls: list[int] = []
    loop = kernels.linear_scan_reference

    def counted(*arguments: Tensor, **options: bool) -> tuple[Tensor, Tensor]:
        calls.append(1)
        return loop(*arguments, **options)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(kernels, "linear_scan_reference", counted)
    net, x = cr.MinLSTM(4, layers=2).build(3), Seq(torch.randn(2, 5, 3))
    want = net(x).seq.values
    assert not calls
    with dispatch.use("reference"):
        assert torch.allclose(net(x).seq.values, want, atol=1e-6)
    assert len(calls) == 2


# ---- mistakes

MISTAKES: dict[str, tuple[Callable[[], object], type[InputError], str]] = {
    "merge of one direction": (
        lambda: cr.SRU(4, merge="sum"),
        SpecError,
        "sru.merge: joins two directions, got 'sum' with one; set bidirectional=True",
    ),
    "dropout of one layer": (
        lambda: cr.MinGRU(4, dropout=0.1),
        SpecError,
        "min_gru.dropout: acts between stacked layers, got layers=1; put Dropout behind the layer, or set layers=2",
    ),
    "residual of one layer": (
        lambda: cr.MinLSTM(4, residual_layers=True),
        SpecError,
        "min_lstm.residual_layers: acts between stacked layers, got layers=1; use Residual, or set layers=2",
    ),
    "a pooling that does not exist": (
        lambda: cr.Spec.from_yaml("[{qrnn: 4, pooling: max}]"),
        SpecError,
        "0.qrnn.pooling: expected 'f', 'fo' or 'ifo', got 'max'",
    ),
    "a kernel of nothing": (lambda: cr.QRNN(4, kernel=0), SpecError, "qrnn.kernel: expected a value greater than 0, got 0"),
    "always zoned out": (lambda: cr.QRNN(4, zoneout=1.0), SpecError, "qrnn.zoneout: expected a value less than 1, got 1.0"),
    "pictures": (
        lambda: cr.Serial(cr.SRU(4)).build((3, 2)),
        ShapeError,
        "0.sru: expected frames without space, got (3, 2); put a Fold first",
    ),
    "a stream of both directions": (
        lambda: cr.Serial(cr.Conv(4), cr.QRNN(4, bidirectional=True)).build(3).stream(),
        NotStreamable,
        "1.qrnn: cannot stream: it needs the whole row; use bidirectional=False",
    ),
    "a chunk for both directions": (
        lambda: cr.MinGRU(4, bidirectional=True).build(3)(Seq(torch.zeros(1, 2, 3)), None, False),
        NotStreamable,
        "min_gru: cannot stream: the backward direction needs the whole row; use bidirectional=False",
    ),
}


@pytest.mark.parametrize(("make", "kind", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line(make: Callable[[], object], kind: type[InputError], message: str) -> None:
    refused(make, kind, message)
