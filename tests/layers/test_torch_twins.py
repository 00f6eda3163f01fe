"""Layers against torch.nn with the same weights, row by row, values and gradients: swapped gates agree with themselves, not with torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Literal, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from convrnn.core.seq import Ids, Seq
from convrnn.layers.base import Layer
from convrnn.layers.cell import Cell
from convrnn.layers.conv import Conv
from convrnn.layers.embed import Embedding
from convrnn.layers.norm import BatchNorm, LayerNorm
from convrnn.layers.pool import Pool
from convrnn.layers.recurrent import GRU, LSTM, RNN
from convrnn.testing.chunks import batch_of, compare, make_rows, split_rows

TOLERANCE = 1e-12
LENGTHS = (9, 4, 1, 7)
Padding = Literal["same", "causal", "valid"]


def close(got: Tensor, want: Tensor) -> bool:
    assert got.shape == want.shape
    return not want.numel() or bool((got - want).abs().max() <= TOLERANCE * (1 + want.abs().max()))


def doubled(net: Layer) -> Layer:
    """In float64, no parameter zero."""
    net = net.double()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return net


def rows_of(shape: tuple[int, ...], lengths: Sequence[int] = LENGTHS) -> list[Tensor]:
    return [row.requires_grad_() for row in make_rows(shape, tuple(lengths), 1, torch.float64)]


def same_gradients(ours: list[Tensor], theirs: list[Tensor], mine: list[Tensor], wanted: list[Tensor]) -> None:
    """Gradients of one random linear function of two lists of outputs, with respect to two lists of inputs."""
    generator = torch.Generator().manual_seed(2)
    weights = [torch.randn(y.shape, generator=generator, dtype=torch.float64) for y in theirs]
    losses = [torch.stack([(y * w).sum() for y, w in zip(ys, weights, strict=True)]).sum() for ys in (ours, theirs)]
    # A row too short for any window is in neither graph.
    got = torch.autograd.grad(losses[0], mine, allow_unused=True, materialize_grads=True)
    want = torch.autograd.grad(losses[1], wanted, allow_unused=True, materialize_grads=True)
    assert any(bool(g.any()) for g in want)
    for a, b in zip(got, want, strict=True):
        assert close(a, b)


# ---- convolution


class Shape(NamedTuple):
    """Channels 4; the space, and what differs by dimension."""

    space: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]


SHAPES = {
    "1d": Shape((), (3,), (1,), (1,)),
    "1d-even": Shape((), (4,), (1,), (2,)),
    "1d-strided": Shape((), (3,), (2,), (1,)),
    "1d-strided-dilated": Shape((), (2,), (3,), (4,)),
    "1d-pointwise": Shape((), (1,), (2,), (1,)),
    "2d": Shape((5,), (3, 3), (1, 1), (1, 1)),
    "2d-strided": Shape((6,), (2, 3), (3, 2), (2, 1)),
    "3d": Shape((5, 4), (3, 3, 2), (1, 1, 1), (1, 1, 1)),
    "3d-strided": Shape((5, 4), (2, 3, 3), (2, 1, 2), (1, 2, 1)),
}


def torch_convolution(row: Tensor, net: Layer, shape: Shape, padding: Padding, groups: int) -> Tensor:
    """The padding written out, then torch's own valid convolution, on one row `[T, *space, C]`."""
    pads: list[int] = []
    for axis, (n, k, s, d) in enumerate(zip(row.shape[:-1], shape.kernel, shape.stride, shape.dilation, strict=True)):
        span = (k - 1) * d + 1
        before = 0 if padding == "valid" else span - 1 if padding == "causal" and axis == 0 else (span - 1) // 2
        after = 0 if padding == "valid" else max(0, (-(-n // s) - 1) * s + span - n - before)
        pads = [before, after, *pads]
    x = F.pad(row.movedim(-1, 0)[None], pads)
    convolve = (F.conv1d, F.conv2d, F.conv3d)[len(shape.kernel) - 1]
    if any(n < (k - 1) * d + 1 for n, k, d in zip(x.shape[2:], shape.kernel, shape.dilation, strict=True)):
        return row.new_zeros(0, *net.out_shape)
    weight, bias = net.get_parameter("weight"), net.get_parameter("bias")
    return convolve(x, weight, bias, shape.stride, 0, shape.dilation, groups)[0].movedim(0, -1)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("padding", ["same", "causal", "valid"])
@pytest.mark.parametrize("name", SHAPES)
def test_convolution(name: str, padding: Padding, groups: int) -> None:
    shape = SHAPES[name]
    spec = Conv(8, kernel=shape.kernel, stride=shape.stride, dilation=shape.dilation, groups=groups, padding=padding)
    net = doubled(spec.build((*shape.space, 4)))
    rows = rows_of((*shape.space, 4))
    ours = split_rows(net(batch_of(rows)).seq)
    theirs = [torch_convolution(row, net, shape, padding, groups) for row in rows]
    for got, want in zip(ours, theirs, strict=True):
        assert close(got, want)
    same_gradients(ours, theirs, [*rows, *net.parameters()], [*rows, *net.parameters()])


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")  # torch says that it copies
@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (4, 1), (2, 3), (5, 2)])
def test_same_is_torch_same(kernel: int, dilation: int) -> None:
    """Also where the padding is uneven."""
    net = doubled(Conv(5, kernel=kernel, dilation=dilation).build(3))
    twin = nn.Conv1d(3, 5, kernel, dilation=dilation, padding="same").double()
    twin.load_state_dict(net.state_dict())
    (row,) = make_rows((3,), (11,), 1, torch.float64)
    with torch.no_grad():
        assert close(net(Seq(row[None])).seq.values[0], twin(row.T[None])[0].T)


def test_depthwise_separable_is_two_convolutions() -> None:
    net = doubled(Conv(5, kernel=3, padding="valid", separable=True).build(4))
    (row,) = make_rows((4,), (11,), 1, torch.float64)
    weight, pointwise, bias = (net.get_parameter(name) for name in ("weight", "pointwise", "bias"))
    depthwise = F.conv1d(row.T[None], weight, groups=4)
    assert close(net(Seq(row[None])).seq.values[0], F.conv1d(depthwise, pointwise[..., None], bias)[0].T)


# ---- pooling

POOLS = [(2, 2), (3, 3), (2, 3), (2, 5)]


@pytest.mark.parametrize(("window", "stride"), POOLS)
@pytest.mark.parametrize("kind", ["max", "mean"])
def test_pool_keep_is_ceil_mode(kind: Literal["max", "mean"], window: int, stride: int) -> None:
    """Where windows do not overlap the rules agree: ceil(n / stride) windows, a mean over what is there."""
    net = Pool(window, stride=stride, kind=kind).build(3)
    twin = (nn.MaxPool1d if kind == "max" else nn.AvgPool1d)(window, stride, ceil_mode=True)
    rows = rows_of((3,))
    ours = split_rows(net(batch_of(rows)).seq)
    theirs = [twin(row.T[None])[0].T for row in rows]
    for got, want in zip(ours, theirs, strict=True):
        assert close(got, want)
    same_gradients(ours, theirs, rows, rows)


@pytest.mark.parametrize(("window", "stride"), [*POOLS, (3, 1), (3, 2)])
@pytest.mark.parametrize("kind", ["max", "mean"])
def test_pool_drop_is_the_default_of_torch(kind: Literal["max", "mean"], window: int, stride: int) -> None:
    net = Pool(window, stride=stride, kind=kind, partial="drop").build(3)
    twin = (nn.MaxPool1d if kind == "max" else nn.AvgPool1d)(window, stride)
    rows = rows_of((3,), (9, 4, 7))
    ours = split_rows(net(batch_of(rows)).seq)
    theirs = [twin(row.T[None])[0].T for row in rows]
    for got, want in zip(ours, theirs, strict=True):
        assert close(got, want)
    same_gradients(ours, theirs, rows, rows)


@pytest.mark.parametrize("kind", ["max", "mean"])
@pytest.mark.parametrize("ceil", [False, True])
def test_pool_over_space(kind: Literal["max", "mean"], ceil: bool) -> None:
    net = Pool((2, 3), kind=kind, partial="keep" if ceil else "drop").build((5, 4))
    twin = (nn.MaxPool2d if kind == "max" else nn.AvgPool2d)((2, 3), ceil_mode=ceil)
    rows = rows_of((5, 4), (9, 4, 7))
    ours = split_rows(net(batch_of(rows)).seq)
    for got, row in zip(ours, rows, strict=True):
        assert close(got, twin(row.movedim(-1, 0)[None])[0].movedim(0, -1))


@pytest.mark.parametrize("kind", ["max", "mean"])
def test_pool_windows_is_adaptive_pooling(kind: Literal["max", "mean"]) -> None:
    net = Pool(windows=3, kind=kind).build(4)
    twin = (nn.AdaptiveMaxPool1d if kind == "max" else nn.AdaptiveAvgPool1d)(3)
    rows = rows_of((4,))
    for got, row in zip(split_rows(net(batch_of(rows)).seq), rows, strict=True):
        assert close(got, twin(row.T[None])[0].T)


# ---- normalisation


@pytest.mark.parametrize("space", [(), (3,)], ids=["1d", "2d"])
@pytest.mark.parametrize("ragged", [True, False], ids=["ragged", "full"])
def test_batch_norm_is_that_of_the_valid_frames(space: tuple[int, ...], ragged: bool) -> None:
    """Two training steps, then evaluation: values, gradients, running values."""
    net = BatchNorm(momentum=0.3, epsilon=1e-4).build((*space, 4)).double()
    twin = nn.BatchNorm1d(4, eps=1e-4, momentum=0.3).double()
    with torch.no_grad():
        for mine, theirs in zip(net.parameters(), twin.parameters(), strict=True):
            mine.copy_(torch.linspace(0.5, 2, 4))
            theirs.copy_(mine)
    rows = rows_of((*space, 4), LENGTHS if ragged else (5, 5, 5))
    for training in (True, True, False):
        net.train(training)
        twin.train(training)
        x = batch_of(rows) if ragged else Seq(torch.stack(rows))
        ours = [row.flatten(0, -2) for row in split_rows(net(x).seq)]
        theirs = list(twin(torch.cat([row.flatten(0, -2) for row in rows])).split([len(row) for row in ours]))
        for got, want in zip(ours, theirs, strict=True):
            assert close(got, want)
        same_gradients(ours, theirs, [*rows, *net.parameters()], [*rows, *twin.parameters()])
        for got, name in zip(net.buffers(), ("running_mean", "running_var"), strict=True):
            assert close(got, twin.get_buffer(name))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_batch_norm_counts_in_float32(dtype: torch.dtype) -> None:
    """3,001 frames are more than half precision can count, and a ragged batch gives the dtype that a full one gives."""
    net = BatchNorm().build(2).train()
    values = torch.randn(3, 1_001, 2, generator=torch.Generator().manual_seed(0)).to(dtype) + 8
    ragged = net(Seq(values, torch.tensor([1_001, 1_000, 1_000]))).seq.values.detach()
    valid = torch.cat([values[0, :1_001], values[1, :1_000], values[2, :1_000]]).double()
    want = (values[0].double() - valid.mean(0)) / (valid.var(0, unbiased=False) + 1e-5).sqrt()
    assert ragged.dtype == dtype == net(Seq(values)).seq.values.dtype
    assert float((ragged[0].double() - want).abs().max()) < 8 * torch.finfo(dtype).eps
    assert float((net.get_buffer("mean") - 0.19 * valid.mean(0)).abs().max()) < 1e-2


def test_layer_norm() -> None:
    net, twin = doubled(LayerNorm(epsilon=1e-3).build(4)), nn.LayerNorm(4, eps=1e-3).double()
    twin.load_state_dict({"weight": net.get_parameter("scale"), "bias": net.get_parameter("shift")})
    rows = rows_of((4,))
    ours = split_rows(net(batch_of(rows)).seq)
    theirs = [twin(row) for row in rows]
    for got, want in zip(ours, theirs, strict=True):
        assert close(got, want)
    same_gradients(ours, theirs, [*rows, *net.parameters()], [*rows, *twin.parameters()])


# ---- recurrence

CELLS: dict[str, tuple[type[Cell], dict[str, str], Callable[..., nn.RNNBase], dict[str, str]]] = {
    "rnn": (RNN, {}, nn.RNN, {}),
    "rnn-relu": (RNN, {"nonlinearity": "relu"}, nn.RNN, {"nonlinearity": "relu"}),
    "lstm": (LSTM, {}, nn.LSTM, {}),
    "gru": (GRU, {}, nn.GRU, {}),
}
UNITS = 5


def directions(layers: int, both: bool) -> list[tuple[str, str]]:
    """Our module and torch's suffix of every layer and direction, in the order of the state."""
    found: list[tuple[str, str]] = []
    for i in range(layers):
        found.append((f"forward_layers.{i}", f"l{i}"))
        if both:
            found.append((f"backward_layers.{i}", f"l{i}_reverse"))
    return found


def transfer(net: Layer, twin: nn.RNNBase, layers: int, both: bool) -> None:
    """Our weights from torch's: its two biases are one, but for the one inside the GRU's reset."""
    for place, suffix in directions(layers, both):
        w_x, w_h, b_x, b_h = (twin.get_parameter(f"{name}_{suffix}").detach() for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        state = {"w_x": w_x, "w_h": w_h, "b": b_x + b_h}
        if isinstance(twin, nn.GRU):
            state |= {"b": b_x + F.pad(b_h[: 2 * UNITS], (0, UNITS)), "b_h": b_h[2 * UNITS :]}
        net.get_submodule(place).load_state_dict(state)


@pytest.mark.parametrize(("layers", "both"), list(product((1, 2), (False, True))))
@pytest.mark.parametrize("cell", CELLS)
def test_recurrence(cell: str, layers: int, both: bool) -> None:
    """Ragged rows against packed ones, from a given state: values, final state, gradients of input, state and weights."""
    made, options, peer, torch_options = CELLS[cell]
    spec = made.from_dict({"layer": made.name, "features": UNITS, "layers": layers, "bidirectional": both, **options})
    torch.manual_seed(3)
    net = spec.build(3).double()
    twin = peer(3, UNITS, layers, batch_first=True, bidirectional=both, **torch_options).double()
    transfer(net, twin, layers, both)
    x = batch_of(make_rows((3,), LENGTHS, 1, torch.float64), poison=False)
    assert x.lengths is not None
    values = x.values.requires_grad_()
    places = directions(layers, both)
    states = 2 if cell == "lstm" else 1
    start = [torch.randn(len(places), len(LENGTHS), UNITS, dtype=torch.float64, requires_grad=True) for _ in range(states)]
    cells = tuple(tuple(s[i] for s in start) for i in range(len(places)))
    ours = net(Seq(values, x.lengths), (cells, ()))
    packed = pack_padded_sequence(values, x.lengths, batch_first=True, enforce_sorted=False)
    out, final = twin(packed, tuple(start) if states == 2 else start[0])
    theirs, _ = pad_packed_sequence(out, batch_first=True)
    assert ours.state is not None
    finals = [torch.stack([place[s] for place in ours.state[0]]) for s in range(states)]
    want = list(final) if states == 2 else [final]
    assert close(ours.seq.values, theirs)
    for got, expected in zip(finals, want, strict=True):
        assert close(got, expected)
    mine = [net.get_parameter(f"{place}.{name}") for place, _ in places for name in ("w_x", "w_h", "b")]
    torchs = [twin.get_parameter(f"{name}_{suffix}") for _, suffix in places for name in ("weight_ih", "weight_hh", "bias_ih")]
    same_gradients([ours.seq.values, *finals], [theirs, *want], [values, *start, *mine], [values, *start, *torchs])


# ---- embedding


def test_embedding() -> None:
    net, twin = doubled(Embedding(4).build(Ids(6))), nn.Embedding(6, 4).double()
    twin.load_state_dict(net.state_dict())
    rows = [torch.tensor([0, 5, 2, 2]), torch.tensor([3])]
    ours = split_rows(net(batch_of(rows)).seq)
    theirs = [twin(row) for row in rows]
    for got, want in zip(ours, theirs, strict=True):
        compare("row", got, want)
    same_gradients(ours, theirs, list(net.parameters()), list(twin.parameters()))
