"""Normalisation by hand arithmetic, against torch's norms, at the edges of floating point, and what users get wrong with it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

import convrnn as cr
from convrnn.core.errors import InputError, NotStreamable, ShapeError, SpecError
from convrnn.core.seq import Seq
from convrnn.layers.base import Layer
from convrnn.testing.chunks import batch_of, compare, in_chunks, make_rows, split_rows
from tests.layers.refused import refused

LENGTHS = (9, 4, 2, 7)


def close(got: Tensor, want: Tensor, tolerance: float = 1e-12) -> bool:
    return got.shape == want.shape and bool((got - want).abs().max() <= tolerance * (1 + want.abs().max()))


def doubled(net: Layer) -> Layer:
    """In float64, no parameter at its beginning."""
    net = net.double()
    with torch.no_grad():
        for i, parameter in enumerate(net.parameters()):
            parameter.copy_(torch.linspace(0.5 - i, 2 + i, parameter.numel()).reshape(parameter.shape))
    return net


def rows_of(shape: tuple[int, ...], lengths: tuple[int, ...] = LENGTHS) -> list[Tensor]:
    return [row.requires_grad_() for row in make_rows(shape, lengths, 1, torch.float64)]


def same(ours: Sequence[Tensor], theirs: Sequence[Tensor], mine: Sequence[Tensor], wanted: Sequence[Tensor]) -> None:
    """Values, and gradients of one random linear function of them."""
    generator = torch.Generator().manual_seed(2)
    weights = [torch.randn(y.shape, generator=generator, dtype=torch.float64) for y in theirs]
    losses = [torch.stack([(y * w).sum() for y, w in zip(ys, weights, strict=True)]).sum() for ys in (ours, theirs)]
    for got, want in zip(ours, theirs, strict=True):
        assert close(got, want)
    for got, want in zip(torch.autograd.grad(losses[0], mine), torch.autograd.grad(losses[1], wanted), strict=True):
        assert close(got, want)


# ---- by hand


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        # Mean square (9 + 16) / 2.
        (cr.RMSNorm(epsilon=1e-12), [3 / 12.5**0.5, 4 / 12.5**0.5, 1, -1]),
        # All four numbers: mean 2, squares 1 + 4 + 0 + 9.
        (cr.GroupNorm(1, epsilon=1e-12), [v / 3.5**0.5 for v in (1, 2, 0, -3)]),
        # 3 and 2; 4 and -1: half their distance from the mean is the deviation.
        (cr.InstanceNorm(epsilon=1e-12), [1, 1, -1, -1]),
        # One frame, then both.
        (cr.CumulativeNorm(epsilon=1e-12), [-1, 1, 0 / 3.5**0.5, -3 / 3.5**0.5]),
        (cr.CumulativeNorm(per_channel=True, epsilon=1e-12), [0, 0, -1, -1]),
    ],
    ids=repr,
)
def test_two_frames_of_two_channels(spec: cr.Spec, want: list[float]) -> None:
    """[3, 4], then [2, -1] (for the RMS norm [1, -1], whose root mean square is 1)."""
    second = [1.0, -1.0] if isinstance(spec, cr.RMSNorm) else [2.0, -1.0]
    values = torch.tensor([[[3.0, 4.0], second]], dtype=torch.float64)
    with torch.no_grad():
        assert spec.build(2).double()(Seq(values)).seq.values.flatten().tolist() == pytest.approx(want, abs=1e-9)


# ---- torch


@pytest.mark.parametrize("space", [(), (3,)], ids=["1d", "2d"])
def test_rms_norm(space: tuple[int, ...]) -> None:
    net, twin = doubled(cr.RMSNorm(epsilon=1e-3).build((*space, 4))), nn.RMSNorm(4, eps=1e-3).double()
    twin.load_state_dict({"weight": net.get_parameter("scale")})
    rows = rows_of((*space, 4))
    same(split_rows(net(batch_of(rows)).seq), [twin(row) for row in rows], [*rows, *net.parameters()], [*rows, *twin.parameters()])


@pytest.mark.parametrize("space", [(), (3,), (3, 2)], ids=["1d", "2d", "3d"])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_group_norm_of_a_row_is_that_of_torch_without_its_padding(groups: int, space: tuple[int, ...]) -> None:
    net, twin = doubled(cr.GroupNorm(groups, epsilon=1e-3).build((*space, 4))), nn.GroupNorm(groups, 4, eps=1e-3).double()
    twin.load_state_dict({"weight": net.get_parameter("scale"), "bias": net.get_parameter("shift")})
    rows = rows_of((*space, 4))
    theirs = [twin(row.movedim(-1, 0)[None])[0].movedim(0, -1) for row in rows]
    same(split_rows(net(batch_of(rows)).seq), theirs, [*rows, *net.parameters()], [*rows, *twin.parameters()])
    full = torch.stack(rows_of((*space, 4), (5, 5)))
    assert close(net(Seq(full)).seq.values, twin(full.movedim(-1, 1)).movedim(1, -1))


@pytest.mark.parametrize("groups", [1, 2])
def test_group_norm_of_a_frame_is_that_of_torch_on_each_frame(groups: int) -> None:
    net, twin = doubled(cr.GroupNorm(groups, over="frame").build((3, 4))), nn.GroupNorm(groups, 4).double()
    twin.load_state_dict({"weight": net.get_parameter("scale"), "bias": net.get_parameter("shift")})
    rows = rows_of((3, 4))
    theirs = [twin(row.transpose(1, 2)).transpose(1, 2) for row in rows]
    same(split_rows(net(batch_of(rows)).seq), theirs, [*rows, *net.parameters()], [*rows, *twin.parameters()])


@pytest.mark.parametrize("space", [(), (3,)], ids=["1d", "2d"])
def test_instance_norm(space: tuple[int, ...]) -> None:
    net = doubled(cr.InstanceNorm(epsilon=1e-3).build((*space, 4)))
    twin = (nn.InstanceNorm2d if space else nn.InstanceNorm1d)(4, eps=1e-3, affine=True).double()
    twin.load_state_dict({"weight": net.get_parameter("scale"), "bias": net.get_parameter("shift")})
    rows = rows_of((*space, 4))
    theirs = [twin(row.movedim(-1, 0)[None])[0].movedim(0, -1) for row in rows]
    same(split_rows(net(batch_of(rows)).seq), theirs, [*rows, *net.parameters()], [*rows, *twin.parameters()])


@pytest.mark.parametrize("per_channel", [False, True])
def test_cumulative_norm_at_t_is_the_norm_of_the_frames_up_to_t(per_channel: bool) -> None:
    """Brute force: `GroupNorm(1)` or `InstanceNorm` of every beginning of the row, its last frame."""
    net = doubled(cr.CumulativeNorm(per_channel=per_channel).build((2, 3)))
    whole = (cr.InstanceNorm() if per_channel else cr.GroupNorm(1)).build((2, 3)).double()
    whole.load_state_dict(net.state_dict())
    (row,) = rows_of((2, 3), (9,))
    theirs = torch.stack([whole(Seq(row[None, : t + 1])).seq.values[0, -1] for t in range(9)])
    same([net(Seq(row[None])).seq.values[0]], [theirs], [row, *net.parameters()], [row, *whole.parameters()])


def test_weight_norm_is_that_of_torch() -> None:
    """Values, and the gradients of length and direction."""
    torch.manual_seed(0)
    net = cr.WeightNorm(cr.Conv(5, kernel=3)).build(4).double()
    twin = nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 5, 3, padding=1).double())
    twin.load_state_dict({name.removeprefix("layers.0."): value for name, value in net.state_dict().items()})
    with torch.no_grad():
        for part in (net, twin):
            part.get_parameter(f"{'layers.0.' if part is net else ''}parametrizations.weight.original0").mul_(1.5)
    rows = rows_of((4,))
    theirs = [twin(row.T[None])[0].T for row in rows]
    same(split_rows(net(batch_of(rows)).seq), theirs, [*rows, *net.parameters()], [*rows, *twin.parameters()])


# ---- weight norm


def test_weight_norm_begins_as_its_body() -> None:
    gated = cr.LSTM(3, gates=cr.Conv(4), into=("i",), peephole=True, projection=2)
    body = cr.Serial(cr.Conv(4, kernel=3, separable=True), cr.LayerNorm(), gated, cr.SqueezeExcite(1), cr.Linear(2, bias=False))
    rows = make_rows((3,), LENGTHS, 1, torch.float32)
    torch.manual_seed(0)
    plain = body.build(3)
    torch.manual_seed(0)
    normed = cr.WeightNorm(body).build(3)
    for got, want in zip(split_rows(normed(batch_of(rows)).seq), split_rows(plain(batch_of(rows)).seq), strict=True):
        compare("row", got, want)
    names = {name.partition("parametrizations.")[2] for name, _ in normed.named_parameters() if "parametrizations" in name}
    assert {name.partition(".")[0] for name in names} == {"weight", "pointwise", "w_x", "w_g", "w_h", "proj", "squeeze", "excite"}
    assert (normed.past, normed.lookahead, normed.ratio, normed.streams) == (plain.past, plain.lookahead, plain.ratio, plain.streams)


def test_the_length_of_a_weight_is_what_it_was_given() -> None:
    """Whatever the direction: a step along v does not change |w|."""
    net = cr.WeightNorm(cr.Linear(3)).build(2)
    with torch.no_grad():
        net.get_parameter("layers.0.parametrizations.weight.original1").mul_(7).add_(1)
        net.get_parameter("layers.0.parametrizations.weight.original0").copy_(torch.tensor([[1.0], [2], [3]]))
    weight = net(Seq(torch.eye(2)[None])).seq.values[0].T.detach() - net.get_parameter("layers.0.bias").detach()[:, None]
    assert weight.norm(dim=1).tolist() == pytest.approx([1, 2, 3], abs=1e-6)


# ---- floating point

OFFSET = (cr.CumulativeNorm(), cr.CumulativeNorm(per_channel=True), cr.GroupNorm(1), cr.InstanceNorm(), cr.BatchNorm(), cr.LayerNorm())


@pytest.mark.parametrize("spec", OFFSET, ids=repr)
def test_large_numbers_in_float32(spec: cr.Spec) -> None:
    """Mean 1,000, deviation 1, where a float32 is right to 6e-5: against float64 of the same numbers."""
    net = spec.build(4).train()
    rows = [row.float() + 1e3 for row in make_rows((4,), (1_500, 40), 3, torch.float64)]
    got = split_rows(net(batch_of(rows)).seq)
    want = split_rows(net.double()(batch_of([row.double() for row in rows])).seq)
    for a, b in zip(got, want, strict=True):
        # Two frames that are almost equal have a deviation of their own size: there a rounding of 6e-5 is more of it.
        assert float((a - b)[10:].detach().abs().max()) < 1e-3


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_cumulative_norm_of_large_numbers_in_chunks(per_channel: bool) -> None:
    """As exact as without the offset, in float64; a sum of squares would be right to 1e-8 at best."""
    net = cr.CumulativeNorm(per_channel=per_channel).build(4).double()
    rows = [row + 1e4 for row in make_rows((4,), (300, 40), 3, torch.float64)]
    want, plain = split_rows(net(batch_of(rows)).seq), split_rows(net(batch_of([row - 1e4 for row in rows])).seq)
    for got, a, b in zip(in_chunks(net, rows, random.Random(1)).rows, want, plain, strict=True):
        compare("chunks", got, a)
        assert float((a - b)[10:].detach().abs().max()) < 1e-9


HALF = (
    cr.RMSNorm(),
    cr.LayerNorm(),
    cr.GroupNorm(2),
    cr.GroupNorm(1, over="frame"),
    cr.InstanceNorm(),
    cr.CumulativeNorm(),
    cr.BatchNorm(),
)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("spec", HALF, ids=repr)
def test_statistics_of_half_precision_are_float32(spec: cr.Spec, dtype: torch.dtype) -> None:
    """3,000 frames are more than half precision can count, and its squares overflow."""
    net = spec.build(4).train()
    values = (torch.randn(2, 3_000, 4, generator=torch.Generator().manual_seed(0)) * 300).to(dtype)
    lengths = torch.tensor([3_000, 2_500])
    got = split_rows(net(Seq(values, lengths)).seq)
    want = split_rows(net.double()(Seq(values.double(), lengths)).seq)
    for a, b in zip(got, want, strict=True):
        assert a.dtype == dtype
        assert float((a.double() - b).detach().abs().max()) < 4 * torch.finfo(dtype).eps * float(b.abs().max().detach())


def test_batch_norm_learns_chunk_by_chunk_in_one_graph() -> None:
    """Full chunks, ragged ones, one frame and none; backward runs after all of them."""
    net = cr.BatchNorm().build(2).train()
    x = torch.randn(1, 6, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    pieces = [Seq(x[:, :3]), Seq(x[:, 3:3]), Seq(x[:, 3:5], torch.tensor([1])), Seq(x[:, 5:])]
    loss = torch.cat([net(piece, None, False).seq.values for piece in pieces], 1).square().sum()
    (gradient,) = torch.autograd.grad(loss, x)
    assert bool(torch.isfinite(gradient).all())
    assert not bool(gradient[0, 4].any())


# ---- mistakes

MISTAKES: dict[str, tuple[Callable[[], object], type[InputError], str]] = {
    "groups that do not divide": (
        lambda: cr.Serial(cr.GroupNorm(2)).build(3),
        ShapeError,
        "0.group_norm: expected groups=2 to divide 3 input channels",
    ),
    "one number is its own mean": (
        lambda: cr.InstanceNorm(over="frame").build(3),
        ShapeError,
        "instance_norm: over='frame' has one number in each group, which is its own mean; use over='row', or LayerNorm",
    ),
    "streaming a norm of the row": (
        lambda: cr.Serial(cr.Conv(4), cr.GroupNorm(2)).build(3).stream(),
        NotStreamable,
        "1.group_norm: cannot stream: it needs the whole row; use over='frame', LayerNorm or CumulativeNorm",
    ),
    "a chunk for a norm of the row": (
        lambda: cr.InstanceNorm().build(3)(Seq(torch.zeros(1, 2, 3)), None, False),
        NotStreamable,
        "instance_norm: cannot stream: it needs the whole row; use over='frame', LayerNorm or CumulativeNorm",
    ),
    "no epsilon": (lambda: cr.RMSNorm(epsilon=0.0), SpecError, "rms_norm.epsilon: expected a value greater than 0, got 0.0"),
    "no weights to normalise": (
        lambda: cr.WeightNorm(cr.LayerNorm()).build(3),
        SpecError,
        "weight_norm.body: expected a layer with weight matrices, 'layer_norm' has none; leave weight_norm out",
    ),
    "a direction of zero": (
        lambda: cr.WeightNorm(cr.Serial(cr.Linear(2), cr.Linear(2, init="zeros"))).build(3),
        SpecError,
        "weight_norm.body.layers.1.weight: begins with a row of zeros, which has no direction; use another init",
    ),
    "a mistake in the body": (
        lambda: cr.WeightNorm(cr.Serial(cr.Conv(4), cr.GRU(8))).build((28, 1)),
        ShapeError,
        "weight_norm.body.1.gru: expected frames without space, got (28, 4); put a Fold first",
    ),
}


@pytest.mark.parametrize(("make", "kind", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line(make: Callable[[], object], kind: type[InputError], message: str) -> None:
    refused(make, kind, message)
