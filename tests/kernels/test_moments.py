"""Batch norm over the valid frames in C++: against torch's operators, by the definition, and in the layer."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import convrnn as cr
from convrnn.core.seq import Seq
from convrnn.kernels import dispatch, native
from convrnn.kernels.moments import normalised, plain_normalised

pytestmark = pytest.mark.skipif(not native.available(), reason="installed without compiled kernels")

LENGTHS = {"ragged": [150, 0, 70], "one frame": [0, 1, 0], "nothing": [0, 0, 0], "full": [150, 150, 150]}


def made(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def leaves(lengths: Tensor, channels: int = 19, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Values far from zero, NaN beyond the lengths, in blocks of more frames than are read at once."""
    inside = (torch.arange(150) < lengths[:, None])[..., None]
    x = torch.where(inside, made(3, 150, channels, dtype=dtype) + 100, torch.nan)
    return [each.requires_grad_() for each in (x, made(channels, seed=1, dtype=dtype), made(channels, seed=2, dtype=dtype))]


def gradients(y: Tensor, of: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad((y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)).sum(), of)


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("name", LENGTHS)
def test_it_is_that_of_torch(name: str, threads: int) -> None:
    lengths, before = torch.tensor(LENGTHS[name]), torch.get_num_threads()
    given = leaves(lengths)
    want = plain_normalised(given[0], lengths, given[1], given[2], 1e-5)
    try:
        torch.set_num_threads(threads)
        y, _, _ = normalised(given[0], lengths, given[1], given[2], 1e-5)
        got = gradients(y, given)
    finally:
        torch.set_num_threads(before)
    assert torch.allclose(y, want, rtol=1e-11, atol=1e-11)
    for a, b in zip(got, gradients(want, given), strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-9)  # of one frame, sums that cancel are divided by sqrt(epsilon)


def test_float32_of_large_means() -> None:
    lengths = torch.tensor(LENGTHS["ragged"])
    given = leaves(lengths, dtype=torch.float32)
    _, mean, var = normalised(given[0], lengths, given[1], given[2], 1e-5)
    valid = torch.cat([row[:n] for row, n in zip(given[0].detach().double(), lengths.tolist(), strict=True)])
    assert torch.allclose(mean.double(), valid.mean(0), rtol=1e-6) and torch.allclose(var.double(), valid.var(0, correction=0), rtol=1e-5)


def test_derivatives() -> None:
    given = (made(3, 5, 4).requires_grad_(), made(4, seed=1).requires_grad_(), made(4, seed=2).requires_grad_())
    for check in (torch.autograd.gradcheck, torch.autograd.gradgradcheck):
        assert check(lambda x, s, b: normalised(x, torch.tensor([5, 2, 0]), s, b, 1e-5)[0], given)


@pytest.mark.parametrize("space", [(), (2, 3)])
def test_the_layer(space: tuple[int, ...]) -> None:
    """Answers, running statistics and gradients as without the kernel; the padding is left clean."""
    lengths, outcomes = torch.tensor([7, 0, 3]), []
    for backend in ("fast", "reference"):
        net = cr.BatchNorm().build((*space, 5)).double()
        x = made(3, 7, *space, 5).requires_grad_()
        with dispatch.use(backend):
            seq = net(Seq(x, lengths)).seq
        inside = (torch.arange(7) < lengths[:, None]).reshape(3, 7, *(1 for _ in space), 1)
        assert seq.clean == (backend == "fast") and (not seq.clean or not torch.where(inside, 0, seq.values).any())
        y = torch.where(inside, seq.values, 0)
        outcomes.append([y, *net.buffers(), *gradients(y, [x, *net.parameters()])])
    assert all(torch.allclose(a, b, rtol=1e-10, atol=1e-10) for a, b in zip(*outcomes, strict=True))


def test_full_rows_are_those_of_torch() -> None:
    x, scale, shift = leaves(torch.tensor(LENGTHS["full"]))
    want = F.batch_norm(x.flatten(0, 1), None, None, scale, shift, True, 0.1, 1e-5).reshape(x.shape)
    assert torch.allclose(normalised(x, None, scale, shift, 1e-5)[0], want, rtol=1e-11, atol=1e-11)
