"""Seq: what lies in the padding reaches nothing, clean sequences cost nothing, and counts are the same for every kind of number."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from convrnn.core.seq import Seq, at_least, ceil_div, expand_mask, frame_mask, row_lengths, tidy

LENGTHS = torch.tensor([3, 0, 2])


@pytest.mark.parametrize("space", [(), (2,), (2, 4)])
@pytest.mark.parametrize("poison", [float("nan"), float("inf"), 1e38])
def test_tidy_zeroes_the_padding_and_nothing_else(space: tuple[int, ...], poison: float) -> None:
    values = torch.randn(3, 4, *space, 5)
    poisoned = values.clone()
    for row, length in enumerate(LENGTHS.tolist()):
        poisoned[row, length:] = poison
        values[row, length:] = 0
    tidied = tidy(Seq(poisoned, LENGTHS))
    assert torch.equal(tidied.values, values)
    assert tidied.lengths is LENGTHS
    assert tidied.clean


def test_no_poison_leaks_into_a_gradient() -> None:
    """A product with a mask would: 0 * NaN."""
    values = torch.full((3, 4, 2), float("nan"))
    for row, length in enumerate(LENGTHS.tolist()):
        values[row, :length] = 1.5
    weight = torch.ones(2, requires_grad=True)
    values.requires_grad_()
    (tidy(Seq(values, LENGTHS)).values * weight).exp().sum().backward()
    assert values.grad is not None and weight.grad is not None
    assert torch.isfinite(weight.grad).all()
    assert torch.equal(values.grad[..., 0] != 0, frame_mask(4, LENGTHS))


@pytest.mark.parametrize("x", [Seq(torch.ones(2, 3, 1)), Seq(torch.ones(2, 3, 1), torch.tensor([1, 3]), clean=True)])
def test_tidy_does_nothing_to_full_and_clean_rows(x: Seq) -> None:
    assert tidy(x).values is x.values
    assert tidy(x).clean


def test_tidy_keeps_ids_whole_numbers() -> None:
    tidied = tidy(Seq(torch.tensor([[5, -7], [-7, -7]]), torch.tensor([1, 0])))
    assert tidied.values.tolist() == [[5, 0], [0, 0]]
    assert tidied.values.dtype == torch.int64


def test_row_lengths_spells_out_none() -> None:
    assert row_lengths(Seq(torch.ones(2, 3, 1))).tolist() == [3, 3]
    assert row_lengths(Seq(torch.ones(2, 3, 1))).dtype == torch.int64
    assert row_lengths(Seq(torch.ones(3, 4, 1), LENGTHS)) is LENGTHS


def test_masks() -> None:
    mask = frame_mask(3, LENGTHS)
    assert mask.tolist() == [[True] * 3, [False] * 3, [True, True, False]]
    assert expand_mask(mask, torch.ones(3, 3, 2, 5)).shape == (3, 3, 1, 1)
    assert frame_mask(0, LENGTHS).shape == (3, 0)


@pytest.mark.parametrize("n", range(12))
@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_counts_of_ints_and_tensors_agree(n: int, d: int) -> None:
    tensor = torch.tensor([n])
    assert ceil_div(n, d) == math.ceil(n / d) == int(ceil_div(tensor, d))
    assert at_least(n - 4, d) == max(n - 4, d) == int(at_least(tensor - 4, d))


def test_counts_stay_symbols() -> None:
    """Export sees an expression, not the number of the example."""
    symbol: Any = ShapeEnv().create_unbacked_symint()
    for count in (ceil_div(symbol, 2), at_least(symbol - 3, 0)):
        assert isinstance(count, torch.SymInt)
        assert str(symbol.node.expr) in str(count.node.expr)
