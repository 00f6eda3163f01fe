"""Lookahead, transposed convolution, up-sampling and gated units: by hand arithmetic, against torch, and frame by frame."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, sqrt, tanh
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convrnn as cr
from convrnn.core.errors import InputError, ShapeError, SpecError
from convrnn.core.seq import Seq
from convrnn.layers.base import Layer, Spec
from convrnn.testing.chunks import batch_of, make_rows, split_rows

Padding = Literal["same", "causal", "valid"]
PADDINGS: tuple[Padding, ...] = ("same", "causal", "valid")


def weighted(net: Layer, weights: list[float]) -> Layer:
    """The net in float64 with this kernel; its other parameters stay."""
    net = net.double()
    with torch.no_grad():
        net.get_parameter("weight").copy_(torch.tensor(weights).reshape(net.get_parameter("weight").shape))
    return net


def answer(net: Layer, *values: float) -> list[float]:
    """To one row of one channel."""
    with torch.no_grad():
        return net(Seq(torch.tensor(values, dtype=torch.float64).reshape(1, -1, 1))).seq.values.flatten().tolist()


def close(got: Tensor, want: Tensor) -> bool:
    return got.shape == want.shape and bool(torch.allclose(got, want, rtol=1e-12, atol=1e-12))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 3), (3, 2)])
@pytest.mark.parametrize("frames", [1, 9, 70])
def test_few_windows_are_one_product(frames: int, stride: int, dilation: int, bias: bool) -> None:
    """Where no gradient is wanted; with one they are a convolution. The same numbers, on both sides of the border."""
    torch.manual_seed(0)
    net = cr.Conv(5, kernel=3, stride=stride, dilation=dilation, padding="causal", bias=bias).build(4).double()
    x = Seq(torch.randn(2, frames, 4, dtype=torch.float64))
    want = net(x).seq.values
    with torch.no_grad():
        assert close(net(x).seq.values, want)
    assert want.requires_grad


# ---- lookahead


@pytest.mark.parametrize(
    ("ahead", "want"),
    [(0, [100, 210, 321, 432, 543]), (1, [210, 321, 432, 543, 54]), (2, [321, 432, 543, 54, 5])],
)
def test_lookahead_moves_the_window(ahead: int, want: list[float]) -> None:
    net = cr.Conv(1, kernel=3, padding="causal", ahead=ahead, bias=False).build(1)
    assert answer(weighted(net, [1, 10, 100]), 1, 2, 3, 4, 5) == want
    assert (net.past, net.lookahead) == (2 - ahead, ahead)


def test_row_convolution_of_deep_speech_2() -> None:
    """h_t = sum_(i=0..n) w_i x_(t+i), a row of weights for each channel."""
    torch.manual_seed(0)
    net = cr.Conv(4, kernel=3, groups=4, padding="causal", ahead=2, bias=False).build(4).double()
    (x,) = make_rows((4,), (7,), 1, torch.float64)
    weight = net.get_parameter("weight")[:, 0]
    rows = torch.cat([x, x.new_zeros(2, 4)])
    want = torch.stack([sum((weight[:, i] * rows[t + i] for i in range(3)), start=x.new_zeros(4)) for t in range(7)])
    assert close(net(Seq(x[None])).seq.values[0], want)


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("ahead", [0, 2, 3, 6])
def test_lookahead_is_padding_at_the_other_side(ahead: int, stride: int) -> None:
    """Kernel 4, dilation 2: a span of 7."""
    net = cr.Conv(5, kernel=4, dilation=2, stride=stride, padding="causal", ahead=ahead).build(3).double()
    rows = make_rows((3,), (11, 1, 6), 1, torch.float64)
    for got, row in zip(split_rows(net(batch_of(rows)).seq), rows, strict=True):
        padded = F.pad(row.T[None], (6 - ahead, ahead))
        assert close(got, F.conv1d(padded, net.get_parameter("weight"), net.get_parameter("bias"), stride, 0, 2)[0].T)


def test_half_the_window_ahead_is_same() -> None:
    """An even kernel has one frame more ahead than back."""
    specs = [cr.Conv(2, kernel=4, padding="causal", ahead=2), cr.Conv(2, kernel=4)]
    nets = [spec.build(3).double() for spec in specs]
    nets[1].load_state_dict(nets[0].state_dict())
    x = Seq(torch.randn(2, 9, 3, dtype=torch.float64))
    assert torch.equal(*(net(x).seq.values for net in nets))
    assert len({(net.past, net.lookahead) for net in nets}) == 1


# ---- transposed


@pytest.mark.parametrize(
    ("kernel", "padding", "want"),
    [
        ([1, 2, 3], "valid", [1, 2, 13, 20, 30]),
        ([1, 2, 3], "causal", [1, 2, 13, 20]),
        ([1, 2, 3], "same", [1, 2, 13, 20]),
        ([1, 2, 3, 4], "valid", [1, 2, 13, 24, 30, 40]),
        ([1, 2, 3, 4], "causal", [1, 2, 13, 24]),
        ([1, 2, 3, 4], "same", [2, 13, 24, 30]),
    ],
)
def test_transposed_convolution_of_two_numbers(kernel: list[float], padding: Padding, want: list[float]) -> None:
    """1 and 10, each written over a window, two frames apart; what overlaps is added."""
    net = cr.ConvTranspose(1, kernel=len(kernel), padding=padding, bias=False).build(1)
    assert answer(weighted(net, kernel), 1, 10) == want
    assert answer(net) == []
    assert net.frames(2) == len(want)


def test_linear_interpolation_is_a_transposed_convolution() -> None:
    """The triangle of width 2 s, centred: between two frames their mean."""
    net = cr.ConvTranspose(1, kernel=3, padding="valid", bias=False).build(1)
    assert answer(weighted(net, [0.5, 1, 0.5]), 2, 4, 8) == [1, 2, 3, 4, 6, 8, 4]


TWINS = {
    "1d": ((), (4,), (2,)),
    "1d-odd": ((), (5,), (3,)),
    "1d-stride-1": ((), (3,), (1,)),
    "1d-apart": ((), (3,), (3,)),
    "1d-long": ((), (11,), (2,)),
    "2d": ((3,), (4, 3), (2, 2)),
    "3d": ((2, 3), (3, 4, 2), (2, 3, 1)),
}


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("name", TWINS)
def test_transposed_convolution_is_that_of_torch_cut(name: str, padding: Padding, groups: int) -> None:
    """The same weights, row by row, values and gradients; from torch's whole answer `same` and `causal` keep n s in every dimension."""
    space, kernel, stride = TWINS[name]
    net = cr.ConvTranspose(6, kernel=kernel, stride=stride, padding=padding, groups=groups).build((*space, 4)).double()
    twin = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[len(space)](4, 6, kernel, stride, groups=groups).double()
    twin.load_state_dict(net.state_dict())
    rows = [row.requires_grad_() for row in make_rows((*space, 4), (5, 1, 0, 3), 1, torch.float64)]
    ours = split_rows(net(batch_of(rows)).seq)
    for row, got in zip(rows, ours, strict=True):
        if not len(row):
            assert got.shape == (0, *net.out_shape)
            continue
        want = twin(row.movedim(-1, 0)[None])[0].movedim(0, -1)
        for axis, (n, k, s) in enumerate(zip(row.shape, kernel, stride, strict=False)):
            centred = padding == "same" or (padding == "causal" and axis > 0)
            want = want if padding == "valid" else want.narrow(axis, (k - s) // 2 if centred else 0, n * s)
        assert close(got, want)
        weights = torch.randn_like(want)
        mine = torch.autograd.grad((got * weights).sum(), [row, net.get_parameter("weight")], retain_graph=True)
        theirs = torch.autograd.grad((want * weights).sum(), [row, twin.get_parameter("weight")])
        assert all(close(a, b) for a, b in zip(mine, theirs, strict=True))


def test_transposed_convolution_is_the_adjoint_of_convolution() -> None:
    """<conv(x), y> = <x, transposed(y)> with the same weights, for any x and y: what the name says."""
    forth = cr.Conv(2, kernel=5, stride=3, padding="valid", bias=False).build(4).double()
    back = cr.ConvTranspose(4, kernel=5, stride=3, padding="valid", bias=False).build(2).double()
    back.load_state_dict(forth.state_dict())
    x, y = torch.randn(1, 14, 4, dtype=torch.float64), torch.randn(1, 4, 2, dtype=torch.float64)
    left, right = (forth(Seq(x)).seq.values * y).sum(), (x * back(Seq(y)).seq.values).sum()
    assert close(left, right)


@pytest.mark.parametrize(("groups", "inner"), [(1, 8), (4, 2)])
def test_transposed_weights_begin_by_what_goes_in(groups: int, inner: int) -> None:
    """He: uniform within sqrt(6 / (inner channels times taps)), whichever way torch stores them."""
    torch.manual_seed(0)
    weight = cr.ConvTranspose(64, kernel=4, groups=groups).build(8).get_parameter("weight").detach()
    bound = sqrt(6 / (inner * 4))
    assert weight.shape == (8, 64 // groups, 4)
    assert 0.95 * bound < float(weight.abs().max()) <= bound


# ---- repeated


def test_upsampling_repeats_frames_and_positions() -> None:
    assert answer(cr.Upsample(3).build(1), 1, 2) == [1, 1, 1, 2, 2, 2]
    (row,) = make_rows((3, 2, 4), (5,), 1, torch.float64)
    want = nn.Upsample(scale_factor=(2, 3, 1))(row.movedim(-1, 0)[None])[0].movedim(0, -1)
    assert torch.equal(cr.Upsample((2, 3, 1)).build((3, 2, 4))(Seq(row[None])).seq.values[0], want)


# ---- what is read, and when it is out

STACKS: dict[str, Spec] = {
    "conv-ahead": cr.Conv(2, kernel=4, stride=3, dilation=2, padding="causal", ahead=4),
    **{
        f"transposed-{p}-{k}-{s}": cr.ConvTranspose(2, kernel=k, stride=s, padding=p) for p in PADDINGS for k, s in ((4, 2), (7, 3), (3, 3))
    },
    "upsample": cr.Upsample(3),
    "up-down": cr.Serial(cr.ConvTranspose(2, kernel=7, stride=2), cr.Conv(2, kernel=4, stride=3)),
    "down-up": cr.Serial(cr.Conv(2, kernel=3, stride=3), cr.Upsample(2), cr.Conv(2, kernel=4, padding="causal")),
    "window": cr.Window(4, hop=3),
}


@pytest.mark.parametrize("name", STACKS)
def test_each_frame_reads_what_is_declared_for_it(name: str) -> None:
    """Not the widest window only: above up-sampling what a frame reads depends on its phase."""
    net = STACKS[name].build(2).double()
    total = 24
    (row,) = make_rows((2,), (total,), 1, torch.float64)
    read: dict[int, set[int]] = {}
    for t in range(total):
        poisoned = row.clone()
        poisoned[t] = float("nan")
        for j in net(Seq(poisoned[None])).seq.values[0].isnan().flatten(1).any(1).nonzero()[:, 0].tolist():
            read.setdefault(j, set()).add(t)
    inner = [j for j in range(int(net.frames(total))) if (net.reads(j)[0] or 0) >= 0 and (net.reads(j)[1] or 0) < total]
    assert len(inner) >= 4
    assert {j: (min(read[j]), max(read[j])) for j in inner} == {j: net.reads(j) for j in inner}


@pytest.mark.parametrize("name", STACKS)
def test_a_frame_is_out_as_soon_as_it_can_be(name: str) -> None:
    """After n frames those are out that read none later: no step of a stride is waited for."""
    net = STACKS[name].build(2)
    for n in range(20):
        known = [j for j in range(int(net.frames(n + 9))) if (net.reads(j)[1] or 0) < n]
        assert net.ready(n) == len(known), n


def test_a_stream_of_up_sampling_tells_its_wait() -> None:
    stream = cr.ConvTranspose(2, kernel=5).build(3).stream()
    assert (stream.ratio, stream.first_answer) == (2, 1)
    assert [len(split_rows(stream.push(torch.zeros(1, 1, 3)))[0]) for _ in range(3)] == [1, 2, 2]
    assert len(split_rows(stream.finish())[0]) == 1


def test_a_stream_without_frames_has_no_tail() -> None:
    stream = cr.ConvTranspose(2, kernel=5, padding="valid").build(1).stream(2)
    stream.push(torch.zeros(2, 1, 1), torch.tensor([1, 0]))
    assert [len(row) for row in split_rows(stream.finish())] == [3, 0]


# ---- gates and slices


@pytest.mark.parametrize(
    ("kind", "want"),
    [
        ("glu", 2 / (1 + exp(-3))),
        ("gtu", tanh(2) / (1 + exp(-3))),
        ("reglu", 6),
        ("geglu", 2 * 3 * 0.9986501019683699),
        ("swiglu", 2 * 3 / (1 + exp(-3))),
    ],
)
def test_gated_units_of_two_and_three(kind: str, want: float) -> None:
    """a = 2 weighed by b = 3; 0.99865 is the normal distribution at 3."""
    net = Spec.from_dict({"glu": kind}).build(2)
    x = Seq(torch.tensor([[[2.0, 3.0]]], dtype=torch.float64))
    assert net(x).seq.values.item() == pytest.approx(want, rel=1e-12)
    inner = net.inside(x)
    assert (inner["a"] * inner["gate"]).item() == pytest.approx(want, rel=1e-12)


def test_a_gated_unit_is_that_of_torch() -> None:
    x = torch.randn(2, 5, 3, 8)
    assert torch.equal(cr.GLU().build((3, 8))(Seq(x)).seq.values, F.glu(x))


def test_channels_are_a_slice() -> None:
    x = torch.randn(2, 5, 3, 8)
    assert torch.equal(cr.Channels(2, 7).build((3, 8))(Seq(x)).seq.values, x[..., 2:7])


# ---- mistakes

MISTAKES: dict[str, tuple[Callable[[], object], type[InputError], str]] = {
    "lookahead of another padding": (
        lambda: cr.Conv(4, ahead=1),
        SpecError,
        "conv.ahead: belongs to padding='causal', got padding='same'; leave ahead out",
    ),
    "lookahead beyond the window": (
        lambda: cr.Conv(4, kernel=(3, 5), dilation=2, padding="causal", ahead=5),
        SpecError,
        "conv.ahead: expected at most (kernel - 1) dilation = 4, got 5; widen the kernel",
    ),
    "negative lookahead": (
        lambda: cr.Conv(4, padding="causal", ahead=-1),
        SpecError,
        "conv.ahead: expected a value greater than or equal to 0, got -1",
    ),
    "a transposed kernel with holes": (
        lambda: cr.ConvTranspose(4, kernel=2, stride=3),
        SpecError,
        "conv_transpose.kernel: expected at least the stride 3, got 2; widen it: else some frames would be bias alone",
    ),
    "a transposed kernel with holes in space": (
        lambda: cr.ConvTranspose(4, kernel=(4, 2), stride=3),
        SpecError,
        "conv_transpose.kernel: expected at least the stride 3, got (4, 2); widen it: else some frames would be bias alone",
    ),
    "groups that do not divide the features": (
        lambda: cr.ConvTranspose(5, groups=2),
        SpecError,
        "conv_transpose.groups: expected a divisor of features=5, got 2",
    ),
    "groups that do not divide the channels": (
        lambda: cr.Serial(cr.ConvTranspose(4, groups=2)).build(3),
        ShapeError,
        "0.conv_transpose: expected groups=2 to divide 3 input channels",
    ),
    "sizes for another number of dimensions": (
        lambda: cr.ConvTranspose(4, kernel=(4, 4)).build(3),
        ShapeError,
        "conv_transpose: expected 1 number(s) for kernel (time, then space), got (4, 4)",
    ),
    "more factors than dimensions": (
        lambda: cr.Upsample((2, 2)).build(3),
        ShapeError,
        "upsample: expected 1 number(s) for factor (time, then space), got (2, 2)",
    ),
    "half of an odd number": (
        lambda: cr.Serial(cr.Conv(5), cr.GLU()).build(3),
        ShapeError,
        "1.glu: expected an even number of channels, got 5; give the layer before it twice the features",
    ),
    "an empty slice": (lambda: cr.Channels(3, 3), SpecError, "channels.stop: expected more than start=3, got 3"),
    "a slice beyond the channels": (
        lambda: cr.Channels(2, 5).build(4),
        ShapeError,
        "channels: expected stop to be at most the 4 input channels, got 5",
    ),
    "frames for a row that has ended": (
        lambda: ended(cr.ConvTranspose(2).build(1)),
        InputError,
        "state: row 0 has ended and was given 1 more frame(s); start a new state, or pass last=False while it goes on",
    ),
}


def ended(net: Layer) -> object:
    x = Seq(torch.zeros(1, 1, 1))
    return net(x, net(x).state, False)


@pytest.mark.parametrize(("make", "kind", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line(make: Callable[[], object], kind: type[InputError], message: str) -> None:
    with pytest.raises(kind) as raised:
        make()
    assert str(raised.value) == message
