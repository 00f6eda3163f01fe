"""Pooling by hand arithmetic, against torch's pools, at the edges of floating point, and what users get wrong with it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

import convrnn as cr
from convrnn.core.errors import InputError, NotStreamable, ShapeError, SpecError, StateEnded
from convrnn.core.seq import Seq
from convrnn.layers.base import Layer
from convrnn.testing.chunks import batch_of, compare, in_chunks, make_rows, split_rows
from tests.layers.refused import refused

LENGTHS = (9, 4, 1, 7)
SIGNAL = (3.0, -4.0, 0.0, 12.0, 5.0)
POINTS: tuple[Literal["mean", "max", "lp", "last", "statistics"], ...] = ("mean", "max", "lp", "last", "statistics")


def answer(spec: cr.Spec, *numbers: float) -> list[float]:
    values = torch.tensor(numbers, dtype=torch.float64).reshape(1, -1, 1)
    with torch.no_grad():
        return spec.build(1).double()(Seq(values)).seq.values.flatten().tolist()


def close(got: Tensor, want: Tensor, tolerance: float = 1e-12) -> bool:
    return got.shape == want.shape and bool((got - want).abs().max() <= tolerance * (1 + want.abs().max()))


def rows_of(shape: tuple[int, ...], lengths: tuple[int, ...] = LENGTHS) -> list[Tensor]:
    return [row.requires_grad_() for row in make_rows(shape, lengths, 1, torch.float64)]


# ---- by hand


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        (cr.Pool(2, kind="lp"), [5, 12, 5]),
        (cr.Pool(2, kind="lp", partial="drop"), [5, 12]),
        (cr.Pool(2, stride=1, kind="lp", p=1.0), [7, 4, 12, 17, 5]),
        (cr.Pool(windows=2, kind="lp"), [5, 13]),
        (cr.GlobalPool("lp", p=1.0), [24]),
        (cr.GlobalPool("lp"), [194**0.5]),
        (cr.CumulativePool(), [3, -0.5, -1 / 3, 2.75, 3.2]),
        (cr.CumulativePool("max"), [3, 3, 3, 12, 12]),
    ],
    ids=repr,
)
def test_five_numbers(spec: cr.Spec, want: list[float]) -> None:
    assert answer(spec, *SIGNAL) == pytest.approx(want, abs=1e-14)


def test_statistics_by_hand() -> None:
    """Of 1, 2, 6: mean 3, squares 4 + 1 + 9, divided by the number of frames, not by one less."""
    assert answer(cr.GlobalPool("statistics"), 1, 2, 6) == pytest.approx([3, (14 / 3) ** 0.5], abs=1e-14)
    assert answer(cr.GlobalPool("statistics"), 7) == [7, 0]


def test_an_empty_row_is_zero_and_one_frame_has_no_deviation() -> None:
    """With finite gradients: the square root has none at 0."""
    values = torch.tensor([[[5.0], [9.0]], [[2.0], [2.0]], [[1.0], [3.0]]], requires_grad=True)
    y = cr.GlobalPool("statistics").build(1)(Seq(values, torch.tensor([0, 2, 2]))).seq.values
    assert y.flatten(1).tolist() == [[0, 0], [2, 0], [2, 1]]
    (gradient,) = torch.autograd.grad(y[..., 1].sum(), values)
    assert gradient.flatten(1).tolist() == [[0, 0], [0, 0], [-0.5, 0.5]]


def test_attentive_statistics_of_equal_scores_are_the_statistics() -> None:
    net = cr.GlobalPool("attention_statistics").build(3).double()
    rows = rows_of((3,))
    with torch.no_grad():
        net.get_parameter("score.weight").zero_()
        got, want = (layer(batch_of(rows)).seq.values for layer in (net, cr.GlobalPool("statistics").build(3)))
    assert close(got, want)


def test_attention_is_what_its_weights_say() -> None:
    """Mean and deviation from the weights that `inside` shows."""
    net = cr.GlobalPool("attention_statistics", size=5).build(3).double()
    x = batch_of(rows_of((3,)))
    weights = net.inside(x)["weights"]
    assert close(weights.sum(1), torch.ones(4, dtype=torch.float64))
    assert not bool(weights[1, 4:].any())
    for i, row in enumerate(split_rows(x)):
        share = weights[i, : len(row), None]
        mean = (share * row).sum(0)
        spread = (share * (row - mean).square()).sum(0).sqrt()
        assert close(net(x).seq.values[i, 0], torch.cat([mean, spread]))


# ---- what max pooling chose


def test_the_frames_that_max_pooling_chose() -> None:
    """Of equals the first; -1 where there is no frame."""
    x = Seq(torch.tensor([[[1.0], [5], [5], [2], [3]], [[4], [0], [9], [9], [9]]]), torch.tensor([5, 2]))
    assert cr.Pool(3, stride=2).build(1).inside(x)["argmax"][..., 0].tolist()[0] == [1, 2, 4]
    assert cr.Pool(3, stride=2).build(1).inside(x)["argmax"][1, 0, 0] == 0
    assert cr.Pool(windows=2).build(1).inside(x)["argmax"][..., 0].tolist() == [[1, 2], [0, 1]]
    assert cr.GlobalPool("max").build(1).inside(x)["argmax"][..., 0].tolist() == [[1], [0]]
    nothing = Seq(x.values, torch.tensor([0, 0]))
    assert cr.GlobalPool("max").build(1).inside(nothing)["argmax"].flatten().tolist() == [-1, -1]
    assert cr.Pool(windows=1).build(1).inside(nothing)["argmax"].flatten().tolist() == [-1, -1]


@pytest.mark.parametrize("spec", [cr.Pool((3, 2), stride=(2, 1)), cr.Pool(2, stride=3, partial="drop"), cr.Pool((2, 5))], ids=repr)
def test_the_chosen_frames_hold_what_was_answered(spec: cr.Spec) -> None:
    """Over space too, where the frame is named and not the place in it."""
    net, x = spec.build((4, 3)), batch_of(rows_of((4, 3)))
    for row, y, chosen in zip(split_rows(x), split_rows(net(x).seq), net.inside(x)["argmax"], strict=True):
        for j in range(len(y)):
            for c in range(3):
                for place in range(y.shape[1]):
                    assert bool((row[chosen[j, place, c], :, c] == y[j, place, c]).any())


def test_other_pools_choose_nothing() -> None:
    x = batch_of(rows_of((3,)))
    for spec in (cr.Pool(2, kind="mean"), cr.Pool(windows=2, kind="lp"), cr.GlobalPool("last")):
        assert spec.build(3).inside(x) == {}


# ---- torch


@pytest.mark.parametrize(("window", "stride"), [(2, 2), (3, 2), (2, 5), (4, 1)])
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_lp_is_that_of_torch(p: float, window: int, stride: int) -> None:
    """On sizes, where torch takes none; whole windows, since torch multiplies a window cut short by what it lacks."""
    net, twin = cr.Pool(window, stride=stride, kind="lp", p=p, partial="drop").build(3), nn.LPPool1d(p, window, stride)
    rows = rows_of((3,), (9, 4, 7))
    ours = split_rows(net(batch_of(rows)).seq)
    theirs = [twin(row.abs().T[None])[0].T for row in rows]
    for got, want in zip(ours, theirs, strict=True):
        assert close(got, want)
    losses = [torch.cat(ys).square().sum() for ys in (ours, theirs)]
    for got, want in zip(torch.autograd.grad(losses[0], rows), torch.autograd.grad(losses[1], rows), strict=True):
        assert close(got, want)


def test_lp_over_space_is_that_of_torch() -> None:
    """An even power needs no sizes."""
    net, twin = cr.Pool((2, 3), kind="lp", p=4.0, partial="drop").build((5, 4)), nn.LPPool2d(4.0, (2, 3))
    rows = rows_of((5, 4), (9, 4, 7))
    for got, row in zip(split_rows(net(batch_of(rows)).seq), rows, strict=True):
        assert close(got, twin(row.movedim(-1, 0)[None])[0].movedim(0, -1))


def test_lp_of_negative_numbers_is_a_norm() -> None:
    """Unlike torch's, whose odd powers sum below 0."""
    assert not nn.LPPool1d(3.0, 2)(torch.tensor([[[-1.0, -1.0]]])).item() > 0
    assert answer(cr.Pool(2, kind="lp", p=3.0), -1, -1) == pytest.approx([2 ** (1 / 3)])


@pytest.mark.parametrize("windows", [1, 3, 4, 12])
@pytest.mark.parametrize("kind", ["max", "mean", "lp"])
def test_windows_of_full_rows_are_adaptive_pooling(kind: Literal["max", "mean", "lp"], windows: int) -> None:
    """Also more windows than frames; over space each place by itself."""
    x = torch.randn(2, 9, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    got = cr.Pool(windows=windows, kind=kind).build((3, 4))(Seq(x)).seq.values
    flat = x.flatten(2).transpose(1, 2)
    if kind == "lp":
        sizes = nn.functional.adaptive_avg_pool1d(flat.square(), windows)
        edges = [(i * 9 // windows, ((i + 1) * 9 + windows - 1) // windows) for i in range(windows)]
        want = (sizes * torch.tensor([stop - start for start, stop in edges])).sqrt()
    else:
        want = (nn.AdaptiveMaxPool1d if kind == "max" else nn.AdaptiveAvgPool1d)(windows)(flat)
    assert close(got, want.transpose(1, 2).unflatten(2, (3, 4)))


# ---- floating point


@pytest.mark.parametrize("scale", [1e30, 1e-30])
@pytest.mark.parametrize("spec", [cr.Pool(2, kind="lp", p=8.0), cr.GlobalPool("lp", p=8.0)], ids=repr)
def test_lp_neither_overflows_nor_vanishes(spec: cr.Spec, scale: float) -> None:
    values = torch.tensor([[[3.0], [-4.0]]]).mul(scale).requires_grad_()
    y = spec.build(1)(Seq(values)).seq.values
    assert y.item() / scale == pytest.approx((3**8 + 4**8) ** 0.125, rel=1e-5)
    (gradient,) = torch.autograd.grad(y, values)
    assert gradient.flatten().tolist() == pytest.approx([(3**7) / (3**8 + 4**8) ** 0.875, -(4**7) / (3**8 + 4**8) ** 0.875], rel=1e-5)


@pytest.mark.parametrize("spec", [cr.Pool(2, kind="lp"), cr.Pool(windows=2, kind="lp", p=1.5), cr.GlobalPool("lp", p=3.0)], ids=repr)
def test_lp_of_zeros_has_the_gradient_zero(spec: cr.Spec) -> None:
    values = torch.zeros(1, 4, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(spec.build(2)(Seq(values)).seq.values.sum(), values)
    assert gradient.tolist() == torch.zeros(1, 4, 2).tolist()


@pytest.mark.parametrize("kind", ["statistics", "attention_statistics"])
def test_statistics_of_large_numbers_in_float32(kind: Literal["statistics", "attention_statistics"]) -> None:
    """Mean 10,000, deviation 1: a sum of squares would leave nothing of it. In random chunks, against float64."""
    net = cr.GlobalPool(kind).build(3)
    rows = [row.float() + 1e4 for row in make_rows((3,), (500, 90, 2), 3, torch.float64)]
    with torch.no_grad():
        got = in_chunks(net, rows, random.Random(4)).rows
        want = split_rows(net.double()(batch_of([row.double() for row in rows])).seq)
    for a, b in zip(got, want, strict=True):
        assert float((a[0, :3] - b[0, :3]).abs().max()) < 2e-3  # a float32 near 10,000 is right to 1e-3
        assert float((a[0, 3:] / b[0, 3:] - 1).abs().max()) < 1e-5 + 1e-3 * (len(a) < 3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "spec", [*(cr.GlobalPool(kind) for kind in POINTS), cr.CumulativePool(), cr.Pool(windows=1, kind="mean")], ids=repr
)
def test_half_precision_counts_in_float32(spec: cr.Spec, dtype: torch.dtype) -> None:
    """3,000 frames are more than half precision can count; the answer has the dtype of the frames, what is summed has not."""
    values = (torch.randn(2, 3_000, 2, generator=torch.Generator().manual_seed(0)) + 8).to(dtype)
    net = spec.build(2)
    got, want = net(Seq(values)).seq.values, net(Seq(values.double())).seq.values
    assert got.dtype == dtype
    assert float((got.double() / want - 1).abs().max()) < torch.finfo(dtype).eps
    assert all(leaf.dtype in (torch.int64, torch.float32) or leaf.dtype == dtype for leaf in net.initial_state(2, values))


def test_windows_in_half_precision_have_exact_counts() -> None:
    """A window of 301 frames cut short at 299: bfloat16 has no 299."""
    values = torch.full((1, 299, 1), 3.0, dtype=torch.bfloat16)
    assert cr.Pool(301, kind="mean").build(1)(Seq(values)).seq.values.item() == 3


# ---- streams and graphs


@pytest.mark.parametrize("kind", ["mean", "max"])
def test_what_a_stream_peeks_is_the_cumulative_pool(kind: Literal["mean", "max"]) -> None:
    (row,) = make_rows((3,), (8,), 1, torch.float64)
    every = cr.CumulativePool(kind).build(3)(Seq(row[None])).seq.values[0]
    stream = cr.GlobalPool(kind).build(3).stream()
    for t in range(8):
        assert stream.push(row[None, t : t + 1]).values.shape[1] == 0
        compare(f"frame {t}", stream.peek().values[0, 0], every[t])


class Bare(nn.Module):
    """Values alone, without lengths."""

    def __init__(self, net: Layer) -> None:
        super().__init__()
        self.net = net

    def forward(self, values: Tensor) -> Tensor:
        return self.net(Seq(values)).seq.values


class Counted(Bare):
    """Values and lengths."""

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.net(Seq(values, lengths)).seq.values


GRAPHS = (
    *(cr.GlobalPool(kind) for kind in (*POINTS, "attention", "attention_statistics")),
    cr.CumulativePool(),
    cr.CumulativePool("max"),
    cr.Pool(windows=3),
    cr.Pool(windows=3, kind="lp"),
)
FIRST = ("GlobalPool('max')", "CumulativePool('max')")


@pytest.mark.parametrize("spec", [pytest.param(s, id=repr(s), marks=[] if repr(s) in FIRST else [pytest.mark.full]) for s in GRAPHS])
def test_a_graph_of_seven_frames_takes_none(spec: cr.Spec) -> None:
    """With lengths and without: no graph takes for granted that there is a frame."""
    net, dynamic = spec.build(2).eval(), torch.export.Dim.DYNAMIC
    seven, none = torch.randn(3, 7, 2), torch.zeros(4, 0, 2)
    bare = torch.export.export(Bare(net), (seven,), dynamic_shapes=({0: dynamic, 1: dynamic},)).module()
    lengths = torch.tensor([7, 0, 3])
    counted = torch.export.export(Counted(net), (seven, lengths), dynamic_shapes=({0: dynamic, 1: dynamic}, {0: dynamic})).module()
    with torch.no_grad():
        for frames in (none, torch.randn(2, 11, 2)):
            full = torch.full((len(frames),), frames.shape[1])
            want = net(Seq(frames)).seq.values
            compare("without lengths", bare(frames), want)
            compare("with lengths", counted(frames, full), want)


# ---- mistakes

MISTAKES: dict[str, tuple[Callable[[], object], type[InputError], str]] = {
    "a power of a maximum": (lambda: cr.Pool(2, p=3.0), SpecError, "pool.p: belongs to kind='lp', got kind='max'; leave p out"),
    "a power below 1": (lambda: cr.Pool(2, kind="lp", p=0.5), SpecError, "pool.p: expected a value greater than or equal to 1, got 0.5"),
    "neither size nor number": (
        lambda: cr.Pool(kind="lp"),
        SpecError,
        "pool: expected one of window and windows; give Pool(2) or Pool(windows=4)",
    ),
    "a stride of adaptive windows": (
        lambda: cr.Pool(windows=2, stride=2),
        SpecError,
        "pool: windows=n fixes the windows of each row; leave stride and partial out",
    ),
    "a size of a mean": (
        lambda: cr.GlobalPool("statistics", size=3),
        SpecError,
        "global_pool.size: belongs to kind='attention', got kind='statistics'; leave size out",
    ),
    "a power of the statistics": (
        lambda: cr.GlobalPool("statistics", p=2.0),
        SpecError,
        "global_pool.p: belongs to kind='lp', got kind='statistics'; leave p out",
    ),
    "attention over pictures": (
        lambda: cr.Serial(cr.GlobalPool("attention_statistics")).build((2, 3)),
        ShapeError,
        "0.global_pool: attention pooling expects frames without space, got (2, 3); put a Fold first",
    ),
    "streaming adaptive windows": (
        lambda: cr.Pool(windows=3, kind="lp").build(3)(Seq(torch.zeros(1, 2, 3)), None, False),
        NotStreamable,
        "pool: cannot stream: it needs the whole row; use Pool(window) with a fixed window",
    ),
    "going on after the end": (
        lambda: _after_the_end(cr.GlobalPool("statistics").build(3)),
        StateEnded,
        "state: row 0 has ended and was given 2 more frame(s); start a new state, or pass last=False while it goes on",
    ),
}


def _after_the_end(net: Layer) -> object:
    x = Seq(torch.zeros(1, 2, 3))
    return net(x, net(x).state)


@pytest.mark.parametrize(("make", "kind", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line(make: Callable[[], object], kind: type[InputError], message: str) -> None:
    refused(make, kind, message)
