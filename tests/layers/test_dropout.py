"""Dropout: kept shares, one mask a row where it is variational, the same masks in chunks, and nothing in evaluation."""

from __future__ import annotations

import math

import pytest
import torch

import convrnn as cr
from convrnn.core.seq import Seq


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_share_and_the_mean(rate: float) -> None:
    torch.manual_seed(0)
    y = cr.Dropout(rate).build(50).train()(Seq(torch.ones(20, 100, 50))).seq.values
    kept = (y != 0).double().mean().item()
    assert abs(kept - (1 - rate)) < 5 * math.sqrt(rate * (1 - rate) / y.numel())
    assert torch.allclose(y[y != 0], torch.tensor(1 / (1 - rate)))


def test_dropout_differs_by_row_frame_channel_and_call() -> None:
    torch.manual_seed(0)
    net = cr.Dropout(0.5).build(64).train()
    y = net(Seq(torch.ones(2, 2, 64))).seq.values
    assert not torch.equal(y[0], y[1])
    assert not torch.equal(y[:, 0], y[:, 1])
    assert not torch.equal(y, net(Seq(torch.ones(2, 2, 64))).seq.values)


def test_dropout_is_the_seed_of_torch() -> None:
    net = cr.Dropout(0.5).build(64).train()
    answers = []
    for _ in range(2):
        torch.manual_seed(7)
        answers.append(net(Seq(torch.ones(2, 3, 64))).seq.values)
    assert torch.equal(*answers)


def test_variational_dropout_is_one_mask_for_all_frames() -> None:
    torch.manual_seed(0)
    y = cr.Dropout(0.5, variational=True).build((4, 8)).train()(Seq(torch.ones(3, 9, 4, 8))).seq.values
    assert torch.equal(y, y[:, :1].expand_as(y))
    assert not torch.equal(y[0], y[1])


@pytest.mark.parametrize("variational", [False, True])
def test_dropout_in_chunks_drops_what_the_whole_row_would(variational: bool) -> None:
    net = cr.Dropout(0.5, variational=variational).build(16).train()
    values = torch.randn(2, 9, 16)
    torch.manual_seed(3)
    whole = net(Seq(values)).seq.values
    torch.manual_seed(3)
    state, pieces = None, []
    for start, stop in ((0, 1), (1, 1), (1, 6), (6, 9)):
        (y, *_), state = net(Seq(values[:, start:stop]), state, False)
        pieces.append(y)
    assert torch.equal(torch.cat(pieces, 1), whole)


@pytest.mark.parametrize(("rate", "training"), [(0.5, False), (0.0, True)])
def test_dropout_that_drops_nothing_is_the_identity(rate: float, training: bool) -> None:
    net = cr.Dropout(rate).build(4).train(training)
    values = torch.randn(2, 3, 4)
    out = net(Seq(values))
    assert out.seq.values is values
    assert out.state == ()


def test_dropout_between_stacked_layers_acts_on_the_lower_output() -> None:
    """The answer of the first layer is dropped, the state of neither is."""
    torch.manual_seed(0)
    net = cr.GRU(8, layers=2, dropout=0.9).build(3)
    values = torch.randn(1, 4, 3)
    torch.manual_seed(1)
    trained = net.train()(Seq(values))
    evaluated = net.eval()(Seq(values))
    assert trained.state is not None and evaluated.state is not None
    assert torch.equal(trained.state[0][0][0], evaluated.state[0][0][0])
    assert not torch.allclose(trained.state[0][1][0], evaluated.state[0][1][0])
