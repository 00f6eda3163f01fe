"""Recurrences of which only some states are kept: the same answers and gradients, one node of a graph, and the memory that was promised."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch._dynamo import config

from convrnn.core.errors import UsageError
from convrnn.kernels import dispatch
from convrnn.kernels.reference import Recurrence
from tests.kernels.test_recur import OPTIONS, compare, detached, gradients, inputs, route

__all__ = ["route"]

by_direction = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])

# What the compiled recurrences serve, what the loops do, and what is derived by a second run.
KINDS: dict[str, tuple[str, ...]] = {name: (name,) for name in ("lstm", "gru", "gru_before", "ligru")}
KINDS |= {name: OPTIONS[name] for name in ("all", "zone", "drop", "conv-1d-peep")}


def made(kind: str, reverse: bool = False, size: str = "ragged") -> Recurrence:
    cell, *options = KINDS[kind]
    return inputs(cell, size, reverse, options=tuple(options))


@by_direction
@pytest.mark.parametrize("every", [1, 3, 6])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_whole(kind: str, every: int, reverse: bool, route: str) -> None:
    """h, the last state and the gradient of every input; of seven frames, so that the last piece is a short one."""
    given = made(kind, reverse)
    compare(dispatch.recur(given, every), dispatch.recur(given), given)


@pytest.mark.parametrize("every", [2, 6])
def test_a_zone_of_one_frame_is_that_of_all(every: int, route: str) -> None:
    given = made("zone")
    assert given.zone is not None
    given = given._replace(zone=given.zone[:, :1].detach().requires_grad_())
    compare(dispatch.recur(given, every), dispatch.recur(given), given)


def test_whichever_output_is_not_used(route: str) -> None:
    """A loss of the last state alone, and of the frames alone."""
    given = made("lstm")
    for which in (0, 1):
        got, want = (torch.autograd.grad(dispatch.recur(given, every)[which].sum(), given.w_h)[0] for every in (3, None))
        assert torch.allclose(got, want, rtol=1e-12, atol=1e-12)


@by_direction
@pytest.mark.parametrize("kind", ["lstm", "conv-1d-peep", "all"])
def test_the_operators_are_sound(kind: str, reverse: bool, route: str) -> None:
    given = made(kind, reverse)
    y, final, kept = torch.ops.convrnn.recur.default(*given, True, 3)
    assert kept.shape == (3, *given.state.shape)
    torch.library.opcheck(torch.ops.convrnn.recur.default, (*given, True, 3))
    wanted = [isinstance(each, Tensor) and each.is_floating_point() for each in given]
    ones = torch.ones_like(y), torch.ones_like(final)
    torch.library.opcheck(torch.ops.convrnn.recur_backward.default, (*detached(given), None, kept.detach(), *ones, wanted, 3))


def test_one_node_whatever_the_number_of_pieces() -> None:
    """Compiled once, for rows of any number of pieces."""
    torch.compiler.reset()
    fast = torch.compile(lambda given: dispatch.recur(given, 2), backend="aot_eager", fullgraph=True, dynamic=True)
    for size, compiles in (("ragged", True), ("one-row", True), ("many-rows", False)):
        given = made("gru", size=size)
        with config.patch(error_on_recompile=not compiles):
            compare(fast(given), dispatch.recur(given), given)


def test_keeps_the_states_alone(route: str) -> None:
    """What autograd holds between the passes, besides what it was given: a state for each piece, and no frame's."""
    given = made("lstm", size="one-row")
    held: list[Tensor] = []

    def hold(tensor: Tensor) -> Tensor:
        held.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor):
        y, final = dispatch.recur(given, 16)
    inside = {each.untyped_storage().data_ptr() for each in given if isinstance(each, Tensor)}
    ours = [each for each in held if each.untyped_storage().data_ptr() not in inside]
    assert [each.shape for each in ours] == [(4, *given.state.shape)]
    assert gradients((y, final), given)


def test_a_second_derivative_names_the_way_out(route: str) -> None:
    given = made("gru")
    y, _ = dispatch.recur(given, 3)
    (first,) = torch.autograd.grad(y.square().sum(), given.x, create_graph=True)
    with pytest.raises(UsageError, match=r"compute it inside kernels\.use\('reference'\)"):
        torch.autograd.grad(first.sum(), given.x)
