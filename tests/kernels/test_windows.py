"""Convolution and pooling over frames in C++: against torch's operators, to the bit in any batch, and out of the way of what looks on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import convrnn as cr
from convrnn.core.seq import Seq
from convrnn.kernels import dispatch, native, windows
from convrnn.kernels.windows import Grid

pytestmark = pytest.mark.skipif(not native.available(), reason="installed without compiled kernels")

# (B, T, C, F, grid): sizes that fill no register, windows with gaps, beside each other, longer than rows, before and behind them.
CONVS = {
    "same": (3, 13, 5, 7, Grid(3, 1, 1, 1, True)),
    "causal": (3, 13, 16, 8, Grid(3, 1, 1, 2, True)),
    "valid": (4, 19, 3, 50, Grid(4, 3, 2, 0, False)),
    "stride": (4, 9, 3, 50, Grid(4, 2, 1, 1, True)),
    "gaps": (3, 11, 6, 5, Grid(2, 5, 1, 0, True)),
    "dilation": (1, 300, 8, 33, Grid(5, 1, 3, 6, True)),
    "longer": (3, 5, 4, 6, Grid(9, 2, 1, 4, True)),
    "single": (2, 7, 1, 1, Grid(1, 1, 1, 0, True)),
    "no-row": (0, 7, 2, 3, Grid(3, 1, 1, 1, True)),
    "no-frame": (2, 0, 2, 3, Grid(3, 1, 1, 1, True)),
}
POOLS = {
    "halves": (3, 13, 5, Grid(2, 2, 1, 0, True)),
    "overlapping": (4, 19, 33, Grid(3, 1, 1, 0, True)),
    "gaps": (3, 14, 16, Grid(2, 5, 1, 0, True)),
    "whole": (3, 14, 4, Grid(3, 2, 1, 0, False)),
    "none": (2, 2, 4, Grid(3, 2, 1, 0, False)),
}


def made(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype).requires_grad_()


def ragged(rows: int, frames: int) -> Tensor:
    return torch.randint(0, frames + 1, (rows,), generator=torch.Generator().manual_seed(5))


def poisoned(x: Tensor, lengths: Tensor | None) -> Tensor:
    """NaN beyond the lengths."""
    if lengths is None:
        return x
    return torch.where((torch.arange(x.shape[1]) < lengths[:, None])[..., None], x.detach(), torch.nan).requires_grad_()


def outcome(function: Callable[..., Tensor], leaves: list[Tensor]) -> list[Tensor]:
    """The answer, and a gradient of each leaf."""
    y = function(*leaves)
    weight = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)
    return [y, *torch.autograd.grad((y * weight).sum(), leaves)]


def conv_outcomes(name: str, rows_differ: bool, plain: bool, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    batch, frames, channels, features, grid = CONVS[name]
    lengths = ragged(batch, frames) if rows_differ else None
    call = windows.plain_conv if plain else windows.conv
    x = poisoned(made(batch, frames, channels, dtype=dtype), lengths)
    leaves = [x, made(features, channels, grid.taps, dtype=dtype, seed=1), made(features, dtype=dtype, seed=2)]
    return outcome(lambda x, w, b: call(x, lengths, w, b, grid), leaves)


def pool_outcomes(name: str, rows_differ: bool, maximum: bool, plain: bool) -> list[Tensor]:
    batch, frames, channels, grid = POOLS[name]
    lengths = ragged(batch, frames) if rows_differ else None
    call = windows.plain_pool if plain else windows.pool
    return outcome(lambda x: call(x, lengths, maximum, grid), [poisoned(made(batch, frames, channels), lengths)])


def same(got: list[Tensor], want: list[Tensor], most: float = 1e-12) -> bool:
    return all(a.shape == b.shape and torch.allclose(a.to(b.dtype), b, rtol=most, atol=most) for a, b in zip(got, want, strict=True))


@pytest.mark.parametrize("rows_differ", [False, True])
@pytest.mark.parametrize("name", CONVS)
def test_convolution_is_that_of_torch(name: str, rows_differ: bool) -> None:
    assert same(conv_outcomes(name, rows_differ, False), conv_outcomes(name, rows_differ, True))


@pytest.mark.parametrize("maximum", [False, True])
@pytest.mark.parametrize("rows_differ", [False, True])
@pytest.mark.parametrize("name", POOLS)
def test_pooling_is_that_of_torch(name: str, rows_differ: bool, maximum: bool) -> None:
    assert same(pool_outcomes(name, rows_differ, maximum, False), pool_outcomes(name, rows_differ, maximum, True))


def test_float32_is_within_a_millionth() -> None:
    got, want = conv_outcomes("stride", True, False, torch.float32), conv_outcomes("stride", True, True, torch.float32)
    assert all((a - b).abs().max() <= 2e-6 * (1 + b.abs().max()) for a, b in zip(got, want, strict=True))


@pytest.mark.parametrize("name", ["same", "stride", "valid"])
def test_a_row_is_the_same_to_the_bit_alone_and_in_any_batch(name: str) -> None:
    """The gradient of its frames too."""
    _, frames, channels, features, grid = CONVS[name]
    lengths, x = ragged(9, frames), made(9, frames, channels)
    w, b = made(features, channels, grid.taps, seed=1).detach(), made(features, seed=2).detach()
    dy = made(9, grid.count(frames), features, seed=3).detach()
    y = windows.conv(x, lengths, w, b, grid)
    (dx,) = torch.autograd.grad(y, x, dy)
    for i, n in enumerate(lengths.tolist()):
        row = x.detach()[i : i + 1, :n].requires_grad_()
        alone = windows.conv(row, None, w, b, grid)
        assert torch.equal(alone[0], y[i, : grid.count(n)]) and not y[i, grid.count(n) :].any()
        (gradient,) = torch.autograd.grad(alone, row, dy[i : i + 1, : grid.count(n)])
        assert torch.equal(gradient[0], dx[i, :n]) and not dx[i, n:].any()


@pytest.mark.parametrize("threads", [2, 4])
def test_threads(threads: int) -> None:
    """They cut rows anywhere; only sums for weights may differ, in their last bits, and not from run to run."""
    grid, before = Grid(5, 2, 1, 2, True), torch.get_num_threads()
    lengths, leaves = torch.tensor([300, 0, 161]), [made(3, 300, 24), made(40, 24, 5, seed=1), made(40, seed=2)]

    def call(count: int) -> list[Tensor]:
        torch.set_num_threads(count)
        pooled = outcome(lambda x: windows.pool(x, lengths, True, Grid(3, 1, 1, 0, True)), leaves[:1])
        return [*outcome(lambda x, w, b: windows.conv(x, lengths, w, b, grid), leaves), *pooled]

    try:
        one, first, second = call(1), call(threads), call(threads)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert same(first, one) and all(torch.equal(first[i], one[i]) for i in (0, 1, 4, 5))


def test_derivatives() -> None:
    """The second ones by torch's operators."""
    lengths, grid, halves = torch.tensor([6, 3]), Grid(3, 1, 1, 1, True), Grid(2, 2, 1, 0, True)
    leaves = (made(2, 6, 3), made(4, 3, 3, seed=1), made(4, seed=2))
    for check in (torch.autograd.gradcheck, torch.autograd.gradgradcheck):
        assert check(lambda x, w, b: windows.conv(x, lengths, w, b, grid), leaves)
        assert check(lambda x, w: windows.conv(x, lengths, w, None, grid), leaves[:2])
        assert check(lambda x: windows.pool(x, lengths, True, halves), leaves[:1])
        assert check(lambda x: windows.pool(x, lengths, False, halves), leaves[:1])


def test_only_the_gradients_that_are_wanted() -> None:
    x, w, b = made(2, 6, 3).detach(), made(4, 3, 3, seed=1).detach(), made(4, seed=2)
    windows.conv(x, None, w, b, Grid(3, 1, 1, 1, True)).sum().backward()
    assert x.grad is None and w.grad is None and b.grad is not None
    assert torch.allclose(b.grad, torch.full((4,), 12.0, dtype=b.dtype))


def test_tensors_that_do_not_lie_as_the_source_wants_them() -> None:
    grid, x, w = Grid(3, 1, 1, 1, True), made(2, 6, 3), made(4, 3, 3, seed=1)
    want = outcome(lambda x, w: windows.conv(x, None, w, None, grid), [x, w])
    turned = [x.detach().transpose(0, 2).contiguous().transpose(0, 2).requires_grad_(), w.detach().mT.contiguous().mT.requires_grad_()]
    got = outcome(lambda x, w: windows.conv(x, None, w, None, grid), turned)
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))
    (one,) = torch.autograd.grad(windows.conv(x, None, w, None, grid).sum(), w)  # a gradient of one number for all
    assert one.shape == w.shape


def test_of_equal_frames_the_first_takes_the_gradient_and_nan_is_the_largest() -> None:
    x = torch.tensor([2.0, 2.0, 1.0, torch.nan, 3.0, 4.0]).reshape(1, 6, 1).requires_grad_()
    y = windows.pool(x, None, True, Grid(2, 2, 1, 0, True))
    y.sum().backward()
    assert y[0, 0, 0] == 2 and y[0, 1, 0].isnan() and y[0, 2, 0] == 4
    assert x.grad is not None and x.grad.flatten().tolist() == [1, 0, 0, 1, 0, 1]


NETS = [
    cr.Conv(4, kernel=3, stride=2),
    cr.Conv(4, kernel=4, padding="causal", dilation=2),
    cr.Conv(4, padding="valid"),
    cr.Pool(3, stride=2),
]


@pytest.mark.parametrize("spec", [*NETS, cr.Pool(2, kind="mean"), cr.Pool(3, partial="drop")], ids=repr)
def test_layers_answer_the_same_by_torch(spec: cr.Conv | cr.Pool) -> None:
    """And leave clean padding, so that nothing behind them masks it."""
    net, x = spec.build(5).double(), made(3, 11, 5)
    lengths = torch.tensor([11, 4, 0])
    out = net(Seq(poisoned(x, lengths), lengths)).seq
    with dispatch.use("reference"):
        want = net(Seq(poisoned(x, lengths), lengths)).seq
    assert out.clean and not want.clean and out.lengths is not None
    for got, row, n in zip(out.values, want.values, out.lengths.tolist(), strict=True):
        assert torch.allclose(got[:n], row[:n], rtol=1e-12, atol=1e-12) and not got[n:].any()


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # torch's own, of forward mode
def test_what_looks_on_sees_the_operators_of_torch() -> None:
    x = made(2, 6, 3)
    assert windows.serves(x, None) and not windows.serves(x.half(), None) and not windows.serves(x.to("meta"), None)
    assert not windows.serves(x, None, made(3, dtype=torch.float32)) and not windows.serves(x, torch.tensor([1]))
    with torch.autocast("cpu", torch.bfloat16):
        assert not windows.serves(x, None)
    net = cr.Conv(4).build(3).double()
    tangent = torch.func.jvp(lambda v: net(Seq(v)).seq.values, (x.detach(),), (torch.ones_like(x),))[1]
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x.detach(), torch.ones_like(x))
        again = torch.autograd.forward_ad.unpack_dual(net(Seq(dual)).seq.values).tangent
    assert again is not None and torch.allclose(tangent, again)


ISA = """
import json, sys, torch
sys.path.insert(0, sys.argv[1])
import test_windows as t
from convrnn.kernels import native
torch.set_num_threads(2)
convs = {name: [a.flatten().tolist() for a in t.conv_outcomes(name, True, False)] for name in t.CONVS}
pools = {name: [a.flatten().tolist() for a in t.pool_outcomes(name, True, True, False)] for name in t.POOLS}
print(json.dumps([native.compiled().isa(), convs, pools]))
"""


@pytest.mark.parametrize("isa", ["portable", "avx2", "avx512"])
def test_every_instruction_set(isa: str) -> None:
    """One that this processor has not is replaced by the best that it has."""
    script = [sys.executable, "-c", ISA, os.path.dirname(__file__)]
    done = subprocess.run(script, env={**os.environ, "CONVRNN_ISA": isa}, capture_output=True, text=True, check=True)
    name, convs, pools = json.loads(done.stdout)
    assert ["portable", "avx2", "avx512"].index(name) <= ["portable", "avx2", "avx512"].index(isa)
    pairs = [(convs[each], conv_outcomes(each, True, True)) for each in CONVS]
    pairs += [(pools[each], pool_outcomes(each, True, True, True)) for each in POOLS]
    for got, want in pairs:
        assert same([torch.tensor(a, dtype=torch.float64) for a in got], [b.flatten() for b in want])


@pytest.mark.parametrize("chunks", [[9], [2, 0, 7], [1, 1, 7]])
def test_the_maximum_of_rows_is_one_window(chunks: list[int]) -> None:
    """Of equal frames the first takes the gradient, in any chunks; what a row has not brought changes nothing."""
    x, lengths = made(4, 9, 3), torch.tensor([9, 5, 0, 1])
    tied = torch.where((torch.arange(9) == 4)[:, None], x[:, :1], x).detach().requires_grad_()
    net = cr.GlobalPool("max").build(3)

    def answer() -> Tensor:
        state, begin = None, 0
        for width in chunks[:-1]:
            _, state = net(Seq(tied[:, begin : begin + width], (lengths - begin).clamp(0, width)), state, False)
            begin += width
        return net(Seq(tied[:, begin:], (lengths - begin).clamp(min=0)), state, True).seq.values

    got = answer()
    with dispatch.use("reference"):
        want = answer()
    assert torch.equal(got, want)
    assert torch.equal(*(torch.autograd.grad(y.sum(), tied)[0] for y in (got, want)))
