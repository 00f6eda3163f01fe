"""Squeeze and excitation: against the equation by brute force, row by row, and what is said where there is no whole row."""

from __future__ import annotations

import pytest
import torch

import convrnn as cr
from convrnn.core.errors import NotStreamable
from convrnn.core.seq import Seq


@pytest.mark.parametrize("space", [(), (3,), (2, 3)])
def test_is_the_equation_on_each_row_alone(space: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    net = cr.SqueezeExcite(2).build((*space, 6)).double()
    squeeze, excite = (parameter.detach() for parameter in net.parameters())
    assert (squeeze.shape, excite.shape) == ((3, 6), (6, 3))
    values = torch.randn(4, 7, *space, 6, dtype=torch.float64)
    lengths = torch.tensor([7, 0, 4, 1])
    padded = values.clone()
    for row, length in enumerate(lengths.tolist()):
        padded[row, length:] = float("nan")
    answer = net(Seq(padded, lengths)).seq
    for row, length in enumerate(lengths.tolist()):
        valid = values[row, :length]
        if not length:
            continue
        mean = valid.reshape(-1, 6).mean(0)
        weights = 1 / (1 + torch.exp(-(excite @ torch.relu(squeeze @ mean))))
        torch.testing.assert_close(answer.values[row, :length], valid * weights, rtol=1e-12, atol=1e-12)


def test_inside_are_the_weights() -> None:
    net = cr.SqueezeExcite().build(20)
    x = Seq(torch.randn(2, 5, 20))
    torch.testing.assert_close(net(x).seq.values, x.values * net.inside(x)["s"])
    assert [tuple(parameter.shape) for parameter in net.parameters()] == [(2, 20), (20, 2)]


def test_a_stream_is_told_what_does_the_same() -> None:
    with pytest.raises(NotStreamable, match="CumulativePool"):
        cr.Serial(cr.Conv(4), cr.SqueezeExcite()).build(3).stream()
    alike = cr.Serial(cr.CumulativePool("mean"), cr.Linear(2), cr.Activation("relu"), cr.Linear(4), cr.Activation("sigmoid"))
    assert cr.Parallel(cr.Serial(), alike, merge="multiply").build(4).streams
