"""The recurrence operators: sound in torch's eyes, equal to the readable reference on awkward sizes, honest about what they cannot do."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from convrnn.core.errors import UsageError
from convrnn.kernels import dispatch, loops, reference

CELLS = sorted(reference.STEPS)
SIZES = {
    # B, T, C, H, lengths
    "plain": (3, 5, 2, 4, None),
    "ragged": (4, 7, 3, 5, (7, 0, 3, 1)),
    "all-empty": (2, 3, 2, 3, (0, 0)),
    "no-frames": (2, 0, 2, 3, None),
    "no-frames-ragged": (2, 0, 2, 3, (0, 0)),
    "one-frame": (2, 1, 2, 3, (1, 0)),
    "one-row": (1, 63, 1, 1, (41,)),
    "one-channel": (3, 4, 1, 2, (2, 4, 4)),
}


class Inputs(NamedTuple):
    """In the order of `recur`."""

    cell: str
    x: Tensor
    lengths: Tensor | None
    w_x: Tensor | None
    w_h: Tensor
    b: Tensor | None
    b_h: Tensor | None
    state: Tensor
    reverse: bool

    def leaves(self) -> list[Tensor]:
        return [t for t in (self.x, self.w_x, self.w_h, self.b, self.b_h, self.state) if t is not None]

    def having(self, leaves: Iterable[Tensor]) -> Inputs:
        """The same with other tensors, in the order of `leaves`."""
        others = iter(leaves)
        x, w_x, w_h, b, b_h, state = (
            None if t is None else next(others) for t in (self.x, self.w_x, self.w_h, self.b, self.b_h, self.state)
        )
        assert x is not None and w_h is not None and state is not None
        return Inputs(self.cell, x, self.lengths, w_x, w_h, b, b_h, state, self.reverse)

    def detached(self) -> Inputs:
        return self.having(t.detach() for t in self.leaves())


def inputs(cell: str, size: str, reverse: bool = False, products: bool = True, biased: bool = True) -> Inputs:
    """Random, NaN nowhere (the layer has tidied), zero beyond the lengths; `products=False`: the gates' inputs ready-made, no `w_x`."""
    batch, frames, channels, units, lengths = SIZES[size]
    generator = torch.Generator().manual_seed(11)

    def make(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    gates = loops.LOOPS[cell].gates * units
    counts = None if lengths is None else torch.tensor(lengths)
    x = make(batch, frames, channels if products else gates)
    if counts is not None:
        x = torch.where((torch.arange(frames) < counts[:, None])[..., None], x, 0.0)
    made = Inputs(
        cell,
        x,
        counts,
        make(gates, channels) if products else None,
        make(gates, units) / units**0.5,
        make(gates) if biased else None,
        make(units) if biased and cell == "gru" else None,
        make(loops.LOOPS[cell].states, batch, units),
        reverse,
    )
    for leaf in made.leaves():
        leaf.requires_grad_()
    return made


def gradients(outputs: tuple[Tensor, Tensor], given: Inputs) -> list[Tensor]:
    generator = torch.Generator().manual_seed(12)
    loss = torch.stack([(y * torch.randn(y.shape, generator=generator, dtype=y.dtype)).sum() for y in outputs]).sum()
    return list(torch.autograd.grad(loss, given.leaves(), allow_unused=True, materialize_grads=True))


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("cell", CELLS)
def test_fast_equals_reference(cell: str, size: str, reverse: bool) -> None:
    """Values, final state and the gradient of every input, with every combination of optional weights."""
    for products, biased in product((True, False), (True, False)):
        given = inputs(cell, size, reverse, products, biased)
        got = dispatch.recur(*given)
        want = reference.recur(*given)
        for a, b in zip((*got, *gradients(got, given)), (*want, *gradients(want, given)), strict=True):
            assert a.shape == b.shape
            assert torch.allclose(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("cell", CELLS)
def test_the_state_of_an_empty_row_is_the_one_it_came_with(cell: str) -> None:
    given = inputs(cell, "ragged")
    y, final = dispatch.recur(*given)
    assert torch.equal(final[:, 1], given.state[:, 1])
    assert not y[1].any() and not y[2, 3:].any()


# Half a second each: one cell at every size and every cell at one, the rest with --full.
OPERATORS = [
    pytest.param(cell, size, marks=[] if cell == "gru" or size == "ragged" else pytest.mark.full, id=f"{cell}-{size}")
    for cell, size in product(CELLS, SIZES)
]


@pytest.mark.parametrize(("cell", "size"), OPERATORS)
def test_the_operator_is_sound(cell: str, size: str) -> None:
    """Schema, fake tensors, autograd registration, aliasing and AOT dispatch, as `torch.library.opcheck` tells."""
    given = inputs(cell, size)
    torch.library.opcheck(torch.ops.convrnn.recur.default, (*given, True))
    torch.library.opcheck(torch.ops.convrnn.recur.default, (*given.detached(), False))


@pytest.mark.parametrize(("cell", "size"), OPERATORS)
def test_the_backward_operator_is_sound(cell: str, size: str) -> None:
    given = inputs(cell, size, reverse=True)
    _, x, lengths, w_x, w_h, _, b_h, state, _ = given.detached()
    y, final, saved = torch.ops.convrnn.recur.default(*given, True)
    arguments = (cell, x, lengths, w_x, w_h, True, b_h is not None, state, True, y.detach(), saved.detach())
    torch.library.opcheck(
        torch.ops.convrnn.recur_backward.default, (*arguments, torch.ones_like(y).detach(), torch.ones_like(final).detach())
    )


@pytest.mark.parametrize("cell", CELLS)
def test_gradcheck(cell: str) -> None:
    given = inputs(cell, "ragged")

    def answer(*leaves: Tensor) -> tuple[Tensor, Tensor]:
        return dispatch.recur(*given.having(leaves))

    assert torch.autograd.gradcheck(answer, given.leaves(), fast_mode=True)


def test_a_second_derivative_names_the_way_out() -> None:
    given = inputs("gru", "plain")
    y, _ = dispatch.recur(*given)
    (first,) = torch.autograd.grad(y.square().sum(), given.x, create_graph=True)
    with pytest.raises(UsageError) as raised:
        torch.autograd.grad(first.sum(), given.x)
    assert str(raised.value) == "convrnn::recur: the fast recurrences have no second derivative; compute it inside kernels.use('reference')"


@pytest.mark.parametrize("cell", CELLS)
def test_the_reference_can_be_derived_twice(cell: str) -> None:
    given = inputs(cell, "plain")
    with dispatch.use("reference"):
        y, _ = dispatch.recur(*given)
    (first,) = torch.autograd.grad(y.square().sum(), given.w_h, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), given.state)
    assert bool(second.any())


def test_use_is_undone_and_checks_its_name() -> None:
    with pytest.raises(UsageError) as raised, dispatch.use("cuda"):  # pyright: ignore[reportArgumentType]  (what a user may type)
        pass
    assert str(raised.value) == "kernels.use: expected 'fast' or 'reference', got 'cuda'"
    given = inputs("gru", "plain")
    with dispatch.use("reference"):
        pass
    assert dispatch.recur(*given)[0].grad_fn is not None
    assert "recur" in type(dispatch.recur(*given)[0].grad_fn).__name__.lower()


@pytest.mark.parametrize("cell", CELLS)
def test_autocast_runs_in_float32(cell: str) -> None:
    """Gates saturate in half precision: the answer is that of float32, to its last bit."""
    given = inputs(cell, "ragged")
    given = given.having(t.detach().float() for t in given.leaves())
    want = dispatch.recur(*given)
    half = given._replace(x=given.x.bfloat16())
    exact = dispatch.recur(*given._replace(x=half.x.float()))
    with torch.autocast("cpu", torch.bfloat16):
        got, rounded = dispatch.recur(*given), dispatch.recur(*half)
    for a, b in zip((*got, *rounded), (*want, *exact), strict=True):
        assert a.dtype == torch.float32
        assert torch.equal(a, b)


def test_frames_that_no_row_has_are_zero_in_what_is_kept() -> None:
    """The weight gradient is a product over all frames: `torch.empty` there could hold NaN."""
    given = inputs("lstm", "ragged")
    y, _, saved = torch.ops.convrnn.recur.default(*given, True)
    assert saved.shape == (7, 4, 25)
    assert not saved[3:, 1:].any() and not y[1].any()


@pytest.mark.parametrize("cell", CELLS)
def test_compile_sees_one_node(cell: str) -> None:
    """No graph break, and the gradients of the eager operator."""
    given = inputs(cell, "ragged")
    compiled = torch.compile(dispatch.recur, backend="aot_eager", fullgraph=True)
    got, want = compiled(*given), dispatch.recur(*given)
    for a, b in zip((*got, *gradients(got, given)), (*want, *gradients(want, given)), strict=True):
        assert torch.equal(a, b)
