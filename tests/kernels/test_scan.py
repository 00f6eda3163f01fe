"""The operator of linear recurrences: right by hand, equal to the readable loop, sound in torch's eyes, accurate at any length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from convrnn.core.errors import UsageError
from convrnn.kernels import dispatch, native, scan

SIZES = {
    # B, T, H, lengths
    "plain": (3, 5, 4, None),
    "ragged": (4, 7, 3, (7, 0, 3, 1)),
    "all-empty": (2, 3, 2, (0, 0)),
    "no-frames": (2, 0, 3, None),
    "no-frames-ragged": (2, 0, 3, (0, 0)),
    "one-frame": (2, 1, 3, (1, 0)),
    "63-frames": (2, 63, 3, (63, 40)),
    "one-block": (1, 64, 1, None),
    "two-blocks": (2, 65, 3, (65, 64)),
    "last-block-short": (2, 131, 1, None),
    "whole-blocks": (2, 144, 2, (144, 13)),
    "no-rows": (0, 5, 2, None),
    # Whole vectors and a part of one, in every instruction set.
    "33-units": (2, 5, 33, None),
    "50-units": (3, 9, 50, (9, 0, 4)),
}
by_size = pytest.mark.parametrize("size", SIZES)
ROUTES = {
    "cpp": pytest.mark.skipif(not native.available(), reason="installed without compiled kernels, or they are turned off"),
    "blocks": (),
}
by_direction = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])


@pytest.fixture(params=[pytest.param(route, marks=marks) for route, marks in ROUTES.items()])
def route(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What runs behind the operator."""
    if request.param == "blocks":
        monkeypatch.setenv("CONVRNN_NATIVE", "off")
    return request.param


class Inputs(NamedTuple):
    """In the order of `linear_scan`."""

    a: Tensor
    b: Tensor
    lengths: Tensor | None
    state: Tensor
    reverse: bool

    def leaves(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.a, self.b, self.state

    def having(self, a: Tensor, b: Tensor, state: Tensor) -> Inputs:
        return Inputs(a, b, self.lengths, state, self.reverse)


def inputs(size: str, reverse: bool = False, dtype: torch.dtype = torch.float64) -> Inputs:
    """a in (0, 1) with some exact zeros; gradients wanted of all."""
    batch, frames, units, lengths = SIZES[size]
    generator = torch.Generator().manual_seed(5)
    a = torch.rand(batch, frames, units, generator=generator, dtype=dtype)
    a = torch.where(torch.rand(a.shape, generator=generator) < 0.1, 0.0, a).to(dtype)
    b, state = (torch.randn(*shape, generator=generator, dtype=dtype) for shape in ((batch, frames, units), (batch, units)))
    counts = None if lengths is None else torch.tensor(lengths)
    return Inputs(a.requires_grad_(), b.requires_grad_(), counts, state.requires_grad_(), reverse)


def gradients(outputs: tuple[Tensor, Tensor], given: Inputs) -> list[Tensor]:
    generator = torch.Generator().manual_seed(6)
    loss = torch.stack([(y * torch.randn(y.shape, generator=generator, dtype=y.dtype)).sum() for y in outputs]).sum()
    return list(torch.autograd.grad(loss, given.leaves(), allow_unused=True, materialize_grads=True))


def close(got: Tensor, want: Tensor) -> bool:
    return got.shape == want.shape and torch.allclose(got, want, rtol=1e-12, atol=1e-12)


# ---- what it computes


def test_by_hand(route: str) -> None:
    """h = 8/2 + 1 = 5, 5/2 + 2 = 4.5, 0 * 4.5 + 3 = 3; backward from 8: 0 * 8 + 3 = 3, 3/2 + 2 = 3.5, 3.5/2 + 1 = 2.75."""
    a, b = torch.tensor([[[0.5], [0.5], [0.0]]]), torch.tensor([[[1.0], [2.0], [3.0]]])
    h, final = scan.linear_scan(a, b, None, torch.tensor([[8.0]]))
    assert h.flatten().tolist() == [5, 4.5, 3] and final.tolist() == [[3]]
    h, final = scan.linear_scan(a, b, None, torch.tensor([[8.0]]), reverse=True)
    assert h.flatten().tolist() == [2.75, 3.5, 3] and final.tolist() == [[2.75]]


def test_gradients_by_hand(route: str) -> None:
    """h_1 = a_1 (a_0 s + b_0) + b_1 with a = 2, 3, b = 5, 7, s = 4: d a = 3 * 4, 13; d b = 3, 1; d s = 6."""
    a, b, state = (torch.tensor(v, requires_grad=True) for v in ([[[2.0], [3.0]]], [[[5.0], [7.0]]], [[4.0]]))
    h, _ = scan.linear_scan(a, b, None, state)
    da, db, dstate = torch.autograd.grad(h[0, 1, 0], (a, b, state))
    assert [da.flatten().tolist(), db.flatten().tolist(), dstate.item()] == [[12, 13], [3, 1], 6]


@by_direction
@by_size
def test_fast_equals_reference(size: str, reverse: bool, route: str) -> None:
    """Values, final state and the gradient of every input."""
    given = inputs(size, reverse)
    got, want = scan.linear_scan(*given), scan.linear_scan_reference(*given)
    for a, b in zip((*got, *gradients(got, given)), (*want, *gradients(want, given)), strict=True):
        assert close(a, b)


@by_direction
@by_size
def test_the_form_for_onnx_equals_the_reference(size: str, reverse: bool) -> None:
    """Values and final state; it is for graphs, where there are no gradients."""
    given = inputs(size, reverse)
    with torch.no_grad():
        for a, b in zip(scan.linear_scan_scanned(*given), scan.linear_scan_reference(*given), strict=True):
            assert close(a, b)


@by_direction
def test_what_the_padding_holds_is_not_read(reverse: bool, route: str) -> None:
    """NaN there, and the state of a row of no frames is the one it came with."""
    given = inputs("ragged", reverse)
    beyond = torch.arange(7)[:, None] >= torch.tensor([7, 0, 3, 1])[:, None, None]
    poisoned = given.having(given.a.masked_fill(beyond, torch.nan), given.b.masked_fill(beyond, torch.nan), given.state)
    got, want = scan.linear_scan(*poisoned), scan.linear_scan(*given)
    for a, b in zip((*got, *gradients(got, given)), (*want, *gradients(want, given)), strict=True):
        assert torch.equal(a, b)
    h, final = got
    assert torch.equal(final[1], given.state[1]) and not h.masked_select(beyond).any()


def test_any_layout(route: str) -> None:
    """Views of other tensors, gradients that are one number spread out, lengths in 32 bits."""
    a, b, lengths, state, _ = inputs("50-units")
    assert lengths is not None
    want = scan.linear_scan(a, b, lengths, state)
    got = scan.linear_scan(a.mT.contiguous().mT, b.transpose(0, 1).contiguous().transpose(0, 1), lengths.int(), state.T.contiguous().T)
    for x, y in zip((*got, *torch.autograd.grad(got[0].sum(), (a, b, state))), (*want, *ones_back(want[0], a, b, state)), strict=True):
        assert torch.equal(x, y)


def ones_back(h: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(h, leaves, torch.ones_like(h))


# ---- ten thousand frames in float32

GATES: dict[str, Callable[[Tensor], Tensor]] = {
    "even": torch.sigmoid,
    "nearly open": lambda x: torch.sigmoid(10 + 2 * x),
    "equal and nearly open": lambda x: torch.full_like(x, 1 - 1.3e-5),
    "open": torch.ones_like,
    "open or shut": lambda x: (x > -2).to(x.dtype),
    "saturated": lambda x: torch.sigmoid(100 * x),
}


@pytest.mark.parametrize("kind", GATES)
def test_ten_thousand_frames(kind: str, route: str) -> None:
    """Within 1e-5 of float64, relative to the largest, gradients too. (With state or ends of blocks in float32, equal gates miss it.)"""
    generator = torch.Generator().manual_seed(1)
    x, b, state = (torch.randn(*shape, generator=generator) for shape in ((2, 10_000, 4), (2, 10_000, 4), (2, 4)))
    given = Inputs(GATES[kind](x), (1 - GATES[kind](x)) * b if kind == "equal and nearly open" else b, None, state, False)
    results: list[list[Tensor]] = []
    for dtype in (torch.float32, torch.float64):
        now = given.having(*(leaf.to(dtype).requires_grad_() for leaf in given.leaves()))
        h, final = scan.linear_scan(*now)
        results.append([h.detach(), final.detach(), *torch.autograd.grad(h.mean() + final.sum(), now.leaves())])
    for got, want in zip(*results, strict=True):
        assert bool(torch.isfinite(got).all())
        assert float((got - want).abs().max()) <= 1e-5 * float(want.abs().max())


# ---- as operators

# Half a second each: the awkward one, the rest with --full.
OPERATORS = [pytest.param(size, marks=[] if size == "ragged" else pytest.mark.full) for size in SIZES]


@by_direction
@pytest.mark.parametrize("size", OPERATORS)
def test_the_operators_are_sound(size: str, reverse: bool) -> None:
    """Schema, fake tensors, autograd registration, aliasing and AOT dispatch, as `torch.library.opcheck` tells."""
    given = inputs(size, reverse)
    torch.library.opcheck(torch.ops.convrnn.linear_scan.default, tuple(given))
    h, final = scan.linear_scan(*given)
    a, _, state = (leaf.detach() for leaf in given.leaves())
    arguments = (a, given.lengths, state, reverse, h.detach(), torch.ones_like(h), torch.ones_like(final))
    torch.library.opcheck(torch.ops.convrnn.linear_scan_backward.default, arguments)


@by_direction
def test_gradcheck(reverse: bool, route: str) -> None:
    given = inputs("ragged", reverse)

    def answer(*leaves: Tensor) -> tuple[Tensor, Tensor]:
        return scan.linear_scan(*given.having(*leaves))

    assert torch.autograd.gradcheck(answer, given.leaves(), fast_mode=True)


def test_a_second_derivative_names_the_way_out() -> None:
    given = inputs("plain")
    h, _ = scan.linear_scan(*given)
    (first,) = torch.autograd.grad(h.square().sum(), given.a, create_graph=True)
    with pytest.raises(UsageError) as raised:
        torch.autograd.grad(first.sum(), given.a)
    assert (
        str(raised.value)
        == "convrnn::linear_scan: the fast recurrences have no second derivative; compute it inside kernels.use('reference')"
    )


def test_the_reference_can_be_derived_twice() -> None:
    given = inputs("plain")
    with dispatch.use("reference"):
        h, _ = scan.linear_scan(*given)
    (first,) = torch.autograd.grad(h.square().sum(), given.a, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), given.state)
    assert bool(second.any())


@pytest.mark.parametrize("backend", ["fast", "reference"])
def test_autocast_runs_in_float32(backend: dispatch.Backend) -> None:
    """A gate of 0.9999 is 1 in bfloat16."""
    a, b, lengths, state, _ = inputs("ragged", dtype=torch.float32)
    with dispatch.use(backend):
        want = scan.linear_scan(a, b.bfloat16().float(), lengths, state)
        with torch.autocast("cpu", torch.bfloat16):
            got = scan.linear_scan(a, b.bfloat16(), lengths, state)
    for x, y in zip(got, want, strict=True):
        assert x.dtype == torch.float32 and torch.equal(x, y)


def test_what_the_reference_gets_by_name_is_widened_too() -> None:
    a, b, lengths, state, _ = inputs("ragged", dtype=torch.float32)
    want = scan.linear_scan_reference(a, b.bfloat16().float(), lengths, state)
    with torch.autocast("cpu", torch.bfloat16):
        got = scan.linear_scan_reference(a=a, b=b.bfloat16(), lengths=lengths, state=state)
    for x, y in zip(got, want, strict=True):
        assert x.dtype == torch.float32 and torch.equal(x, y)


def test_compile_sees_one_node() -> None:
    """No graph break, and the gradients of the eager operator; another T needs no other graph than the one for any T."""
    compiled = torch.compile(scan.linear_scan, backend="aot_eager", fullgraph=True, dynamic=True)
    for size in ("ragged", "63-frames", "two-blocks"):
        given = inputs(size)
        got, want = compiled(*given), scan.linear_scan(*given)
        for a, b in zip((*got, *gradients(got, given)), (*want, *gradients(want, given)), strict=True):
            assert torch.equal(a, b)


# ---- in ONNX Runtime


class _Graph(torch.nn.Module):
    def forward(self, a: Tensor, b: Tensor, lengths: Tensor, state: Tensor) -> tuple[Tensor, ...]:
        return *scan.linear_scan(a, b, lengths, state), *scan.linear_scan(a, b, lengths, state, True)


@pytest.fixture(scope="module")
def session() -> Any:
    """Both directions in one graph, traced at T = 7."""
    given = inputs("ragged", dtype=torch.float32)
    assert given.lengths is not None
    dynamic = torch.export.Dim.DYNAMIC
    both, rows = {0: dynamic, 1: dynamic}, {0: dynamic}
    with dispatch.use("onnx"), torch.no_grad():
        program = torch.onnx.export(
            _Graph().eval(),
            (given.a, given.b, given.lengths, given.state),
            dynamo=True,
            dynamic_shapes=(both, both, rows, rows),
            input_names=["a", "b", "lengths", "state"],
            verbose=False,
        )
    assert program is not None
    assert [node.op_type for node in program.model_proto.graph.node].count("Scan") == 2
    return onnxruntime.InferenceSession(program.model_proto.SerializeToString())


@pytest.mark.parametrize(("batch", "frames"), [(4, 7), (17, 2000), (1, 1), (3, 0)])
def test_one_graph_serves_every_length(session: Any, batch: int, frames: int) -> None:
    generator = torch.Generator().manual_seed(frames)
    a = torch.rand(batch, frames, 3, generator=generator)
    b, state = torch.randn(batch, frames, 3, generator=generator), torch.randn(batch, 3, generator=generator)
    lengths = torch.randint(frames + 1, (batch,), generator=generator)
    given = {"a": a, "b": b, "lengths": lengths, "state": state}
    got = session.run(None, {name: value.numpy() for name, value in given.items()})
    want = _Graph()(*given.values())
    for x, y in zip(got, want, strict=True):
        assert x.shape == tuple(y.shape)
        assert np.allclose(x, y.numpy(), rtol=1e-5, atol=1e-5)
