"""Convolution, pooling and normalisation against the modules of `torch.nn`, row by row: these know no lengths, ours sees all rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from convrnn.layers.base import Spec
from convrnn.layers.conv import Conv
from convrnn.layers.norm import BatchNorm, LayerNorm, RMSNorm
from convrnn.layers.norm_whole import GroupNorm, InstanceNorm
from convrnn.layers.pool import Pool
from convrnn.layers.transposed import ConvTranspose
from convrnn.testing.chunks import batch_of, make_rows, split_rows
from tests.oracles.asked import Answer, agree, ours, pull, random_leaves
from tests.oracles.conftest import Versus
from tests.oracles.ledger import Ledger

PEER = "torch.nn"
LENGTHS = (9, 0, 4, 1, 7)


@dataclass(frozen=True)
class Twins:
    """A layer and a module.

    Attributes:
        spec: our layer.
        module: theirs, channels first.
        frame: what a frame looks like.
        names: our parameters in the order of the module's.
        lengths: frames of each row.
        least: the module refuses rows of fewer.
        before: what pads a row where the module cannot.
    """

    spec: Spec
    module: nn.Module
    frame: tuple[int, ...]
    names: tuple[str, ...] = ()
    lengths: tuple[int, ...] = LENGTHS
    least: int = 1
    before: Callable[[Tensor], Tensor] = lambda row: row

    def agree(self, page: Ledger, dtype: torch.dtype) -> None:
        leaves = random_leaves([(sum(self.lengths), *self.frame), *(p.shape for p in self.module.parameters())], dtype)
        mine = ours(self.spec.build(self.frame), self.lengths, lambda weights: dict(zip(self.names, weights, strict=True)))
        agree(page, pull(mine, leaves), pull(self.row_by_row, leaves))

    def row_by_row(self, at: list[Tensor]) -> Answer:
        frames, *weights = at
        named = dict(zip((name for name, _ in self.module.named_parameters()), weights, strict=True))
        rows = [self.before(row.movedim(-1, 0)[None]) for row in frames.split(self.lengths) if len(row) >= self.least]
        return Answer(torch.cat([functional_call(self.module, named, (row,))[0].movedim(0, -1) for row in rows]))


# ---- convolution


class Window(NamedTuple):
    """A convolution; time first, then the sizes of the space."""

    space: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1

    @property
    def spans(self) -> list[int]:
        return [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True)]


WINDOWS = {
    "1d": Window((), (5,), (1,), (1,)),
    "1d strided and dilated": Window((), (3,), (3,), (2,), 2),
    "1d pointwise": Window((), (1,), (2,), (1,)),
    "1d depthwise": Window((), (3,), (1,), (1,), 4),
    "2d": Window((5,), (3, 3), (1, 1), (1, 1)),
    "2d strided and dilated": Window((6,), (5, 3), (2, 3), (1, 2), 2),
    "3d": Window((5, 4), (3, 3, 1), (1, 1, 1), (1, 1, 1)),
    "3d strided and dilated": Window((5, 4), (3, 3, 3), (2, 1, 2), (1, 2, 1), 4),
}
CONV, NORM = ("weight", "bias"), ("scale", "shift")
Modules = tuple[Callable[..., nn.Module], ...]
MODULES: Modules = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@pytest.mark.parametrize("padding", ["same", "causal", "valid"])
@pytest.mark.parametrize("window", WINDOWS)
def test_convolution(window: str, padding: Literal["same", "causal", "valid"], dtype: torch.dtype, versus: Versus) -> None:
    """An odd kernel in the middle of `(span - 1) / 2` zeros on both sides is `same` at any stride."""
    space, kernel, stride, dilation, groups = w = WINDOWS[window]
    spec = Conv(8, kernel=kernel, stride=stride, dilation=dilation, groups=groups, padding=padding)
    zeros = [0 if padding == "valid" else (span - 1) // 2 for span in w.spans]
    history = 0
    if padding == "causal":
        zeros[0], history = 0, w.spans[0] - 1
    module = MODULES[len(space)](4, 8, kernel, stride, zeros, dilation, groups)
    least = w.spans[0] if padding == "valid" else 1
    twins = Twins(spec, module, (*space, 4), CONV, least=least, before=lambda row: F.pad(row, (0, 0) * len(space) + (history, 0)))
    twins.agree(versus(PEER, f"Conv {padding}, {window.split()[0]}"), dtype)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")  # torch says that it copies
@pytest.mark.parametrize(("kernel", "dilation"), [(4, 1), (2, 3), (6, 2)])
def test_even_kernel(kernel: int, dilation: int, dtype: torch.dtype, versus: Versus) -> None:
    """Where one zero is left over, torch's `same` puts it behind the row, as ours does."""
    module = nn.Conv1d(3, 5, kernel, dilation=dilation, padding="same")
    Twins(Conv(5, kernel=kernel, dilation=dilation), module, (3,), CONV).agree(versus(PEER, "Conv same, even kernel"), dtype)


TRANSPOSED: Modules = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class Cropped(nn.Module):
    """A transposed convolution without the first `skip` and beyond the first `keep` n of its frames and positions; all where keep is 0."""

    def __init__(self, inner: nn.Module, skip: tuple[int, ...], keep: tuple[int, ...]) -> None:
        super().__init__()
        self.inner, self.skip, self.keep = inner, skip, keep

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x)
        for axis, (skip, keep) in enumerate(zip(self.skip, self.keep, strict=True), start=2):
            y = y.narrow(axis, skip, keep * x.shape[axis]) if keep else y
        return y


@pytest.mark.parametrize(("kernel", "stride", "groups"), [(4, 2, 1), (5, 2, 2), (3, 3, 1)])
@pytest.mark.parametrize("space", [(), (3,), (3, 2)], ids=["1d", "2d", "3d"])
@pytest.mark.parametrize("padding", ["same", "causal", "valid"])
def test_transposed_convolution(
    padding: Literal["same", "causal", "valid"],
    space: tuple[int, ...],
    kernel: int,
    stride: int,
    groups: int,
    dtype: torch.dtype,
    versus: Versus,
) -> None:
    """All numbers are torch's; `same` and `causal` leave some of them out."""
    dims = len(space) + 1
    spec = ConvTranspose(4, kernel=kernel, stride=stride, groups=groups, padding=padding)
    skip = [(kernel - stride) // 2] * dims
    skip[0] *= padding == "same"
    keep = (0 if padding == "valid" else stride,) * dims
    module = Cropped(TRANSPOSED[len(space)](4, 4, kernel, stride, groups=groups), tuple(skip), keep)
    Twins(spec, module, (*space, 4), CONV).agree(versus(PEER, f"ConvTranspose {padding}, {dims}d"), dtype)


# ---- pooling

POOLS: dict[str, Modules] = {"max": (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), "mean": (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)}
SPACES = [(), (5,), (5, 4)]


@pytest.mark.parametrize("space", SPACES, ids=["1d", "2d", "3d"])
@pytest.mark.parametrize(("window", "stride"), [(2, 2), (3, 1), (3, 2), (2, 3)])
@pytest.mark.parametrize("kind", POOLS)
def test_pool_drop(
    kind: Literal["max", "mean"], window: int, stride: int, space: tuple[int, ...], dtype: torch.dtype, versus: Versus
) -> None:
    spec = Pool(window, stride=stride, kind=kind, partial="drop")
    module = POOLS[kind][len(space)](window, stride)
    Twins(spec, module, (*space, 3), least=window).agree(versus(PEER, f"Pool {kind} drop, {len(space) + 1}d"), dtype)


@pytest.mark.parametrize("space", SPACES, ids=["1d", "2d", "3d"])
@pytest.mark.parametrize(("window", "stride"), [(2, 2), (3, 3), (2, 3)])
@pytest.mark.parametrize("kind", POOLS)
def test_pool_keep(
    kind: Literal["max", "mean"], window: int, stride: int, space: tuple[int, ...], dtype: torch.dtype, versus: Versus
) -> None:
    """`ceil_mode`, where windows do not overlap. `AvgPool3d` alone refuses a row that is shorter than its window."""
    module = POOLS[kind][len(space)](window, stride, ceil_mode=True)
    lengths = LENGTHS if len(space) < 2 else (9, 0, 4, 7)
    twins = Twins(Pool(window, stride=stride, kind=kind), module, (*space, 3), lengths=lengths)
    twins.agree(versus(PEER, f"Pool {kind} keep, {len(space) + 1}d"), dtype)


def test_ceil_mode_and_keep_differ_where_windows_overlap() -> None:
    """4 frames, window 3, stride 2: both answer two frames. 5 frames: torch 2, ours ceil(5 / 2) = 3, the last of them of frame 5 alone."""
    net, twin = Pool(3, stride=2).build(1), nn.MaxPool1d(3, 2, ceil_mode=True)
    counts = {n: (int(net.frames(n)), twin(torch.zeros(1, 1, n)).shape[-1]) for n in (4, 5)}
    assert counts == {4: (2, 2), 5: (3, 2)}


@pytest.mark.parametrize("windows", [1, 3, 12])
@pytest.mark.parametrize("kind", POOLS)
def test_adaptive_pool(kind: Literal["max", "mean"], windows: int, dtype: torch.dtype, versus: Versus) -> None:
    """An empty row, which torch refuses, would give zeros here: it is left out."""
    module = (nn.AdaptiveMaxPool1d if kind == "max" else nn.AdaptiveAvgPool1d)(windows)
    twins = Twins(Pool(windows=windows, kind=kind), module, (3,), lengths=(9, 4, 1, 7))
    twins.agree(versus(PEER, f"Pool(windows=n) {kind}"), dtype)


@pytest.mark.parametrize("space", SPACES[:2], ids=["1d", "2d"])
@pytest.mark.parametrize(("window", "stride"), [(2, 2), (3, 2)])
def test_lp_pool(window: int, stride: int, space: tuple[int, ...], dtype: torch.dtype, versus: Versus) -> None:
    """An even power, where torch's signs do not matter."""
    module = (nn.LPPool1d, nn.LPPool2d)[len(space)](2, window, stride)
    spec = Pool(window, stride=stride, kind="lp", p=2, partial="drop")
    Twins(spec, module, (*space, 3), least=window).agree(versus(PEER, f"Pool lp drop, {len(space) + 1}d"), dtype)


# ---- normalisation


class ChannelsLast(nn.Module):
    """A module that normalises the last dimension, given channels first."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.movedim(1, -1)).movedim(-1, 1)


@pytest.mark.parametrize("space", [(), (3,)], ids=["1d", "2d"])
def test_layer_norm(space: tuple[int, ...], dtype: torch.dtype, versus: Versus) -> None:
    module = ChannelsLast(nn.LayerNorm(4, eps=1e-3))
    Twins(LayerNorm(epsilon=1e-3), module, (*space, 4), NORM).agree(versus(PEER, "LayerNorm"), dtype)


def test_rms_norm(dtype: torch.dtype, versus: Versus) -> None:
    module = ChannelsLast(nn.RMSNorm(4, eps=1e-3))
    Twins(RMSNorm(epsilon=1e-3), module, (4,), ("scale",)).agree(versus(PEER, "RMSNorm"), dtype)


@pytest.mark.parametrize("space", [(), (3,)], ids=["1d", "2d"])
def test_group_norm(space: tuple[int, ...], dtype: torch.dtype, versus: Versus) -> None:
    """Torch refuses a row with one number in a group."""
    twins = Twins(GroupNorm(2, epsilon=1e-3), nn.GroupNorm(2, 4, eps=1e-3), (*space, 4), NORM, lengths=(9, 0, 4, 7))
    twins.agree(versus(PEER, "GroupNorm"), dtype)


@pytest.mark.parametrize("space", [(), (3,)], ids=["1d", "2d"])
def test_instance_norm(space: tuple[int, ...], dtype: torch.dtype, versus: Versus) -> None:
    module = (nn.InstanceNorm1d, nn.InstanceNorm2d)[len(space)](4, eps=1e-3, affine=True)
    twins = Twins(InstanceNorm(epsilon=1e-3), module, (*space, 4), NORM, lengths=(9, 0, 4, 7))
    twins.agree(versus(PEER, "InstanceNorm"), dtype)


@pytest.mark.parametrize("space", [(), (3,)], ids=["1d", "2d"])
def test_batch_norm(space: tuple[int, ...], dtype: torch.dtype, versus: Versus) -> None:
    """Two training steps and one of evaluation: the valid frames of ragged rows are the batch of the module. The state: running values."""
    page = versus(PEER, "BatchNorm, two steps and evaluation")
    net = BatchNorm(momentum=0.3, epsilon=1e-4).build((*space, 4)).to(dtype)
    twin = nn.BatchNorm1d(4, eps=1e-4, momentum=0.3).to(dtype)
    start = random_leaves([(0,), (4,), (4,)], dtype)[1:]
    with torch.no_grad():
        for value, mine, theirs in zip(start, net.parameters(), twin.parameters(), strict=True):
            mine.copy_(value)
            theirs.copy_(value)
    for step, training in enumerate((True, True, False)):
        net.train(training)
        twin.train(training)
        rows = [row.requires_grad_() for row in make_rows((*space, 4), LENGTHS, step, dtype)]
        got = torch.cat([row.flatten(0, -2) for row in split_rows(net(batch_of(rows)).seq)])
        want = twin(torch.cat([row.flatten(0, -2) for row in rows]))
        page.close("output", got, want)
        weight = torch.randn(want.shape, generator=torch.Generator().manual_seed(step)).to(dtype)
        for g, w in zip(
            torch.autograd.grad(got, [*rows, *net.parameters()], weight),
            torch.autograd.grad(want, [*rows, *twin.parameters()], weight),
            strict=True,
        ):
            page.close("gradient", g, w)
        for name, ours_of in (("running_mean", "mean"), ("running_var", "var")):
            page.close("state", net.get_buffer(ours_of), twin.get_buffer(name))
