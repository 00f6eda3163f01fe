"""Gates and recurrence as one operator: equal to the definition, sound in torch's eyes, the same to the bit on any number of threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from convrnn.core.errors import UsageError
from convrnn.kernels import dispatch, gated, native

SIZES = {
    # B, T, H, lengths
    "plain": (3, 5, 4, None),
    "ragged": (4, 7, 3, (7, 0, 3, 1)),
    "no-frames": (2, 0, 3, (0, 0)),
    "no-rows": (0, 5, 2, None),
    "63-frames": (2, 63, 17, (63, 40)),
    "50-units": (3, 9, 50, (9, 0, 4)),
}
by_cell = pytest.mark.parametrize("cell", gated.CELLS)
by_size = pytest.mark.parametrize("size", SIZES)
by_direction = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
needs_compiled = pytest.mark.skipif(not native.available(), reason="installed without compiled kernels, or they are turned off")

Given = tuple[str, Tensor, Tensor | None, Tensor | None, Tensor, bool]
"""In the order of `gated_scan`."""


@pytest.fixture(params=[pytest.param("cpp", marks=needs_compiled), "torch"])
def route(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What runs behind the operator."""
    if request.param == "torch":
        monkeypatch.setenv("CONVRNN_NATIVE", "off")
    return request.param


def inputs(
    cell: str, size: str, reverse: bool = False, dtype: torch.dtype = torch.float64, scale: float = 2.0, apart: bool = False
) -> Given:
    """Gradients wanted of all. With `apart` the last operand stands alone."""
    batch, frames, units, lengths = SIZES[size]
    generator = torch.Generator().manual_seed(5)
    blocks = gated.CELLS[cell].operands - apart
    widths = (blocks * units, units) if apart else (blocks * units,)
    gates, *skip = (torch.randn(batch, frames, width, generator=generator, dtype=dtype).mul_(scale).requires_grad_() for width in widths)
    state = torch.randn(batch, units, generator=generator, dtype=dtype).requires_grad_()
    return cell, gates, skip[0] if skip else None, None if lengths is None else torch.tensor(lengths), state, reverse


def leaves(given: Given) -> list[Tensor]:
    return [each for each in (given[1], given[2], given[4]) if each is not None]


def outcome(given: Given) -> list[Tensor]:
    """h, the last c, and the gradient of every input."""
    outputs = gated.gated_scan(*given)
    generator = torch.Generator().manual_seed(6)
    loss = torch.stack([(y * torch.randn(y.shape, generator=generator, dtype=y.dtype)).sum() for y in outputs]).sum()
    return [*outputs, *torch.autograd.grad(loss, leaves(given), materialize_grads=True)]


def by_definition(given: Given) -> list[Tensor]:
    with dispatch.use("reference"):
        return outcome(given)


def close(got: Tensor, want: Tensor, tolerance: float = 1e-12) -> bool:
    return got.shape == want.shape and torch.allclose(got, want, rtol=tolerance, atol=tolerance)


# ---- what it computes


@by_direction
@by_size
@by_cell
def test_one_pass_equals_the_definition(cell: str, size: str, reverse: bool, route: str) -> None:
    """Values, final state and the gradient of every input. The cells themselves are computed by hand in tests/layers."""
    given = inputs(cell, size, reverse)
    for got, want in zip(outcome(given), by_definition(given), strict=True):
        assert close(got, want)


@by_direction
@pytest.mark.parametrize("cell", ["sru_tanh", "sru_relu", "sru_identity"])
def test_the_last_operand_apart(cell: str, reverse: bool, route: str) -> None:
    given = inputs(cell, "50-units", reverse, apart=True)
    _, gates, skip, lengths, state, _ = given
    assert skip is not None
    joined = (cell, torch.cat([gates, skip], -1).detach().requires_grad_(), None, lengths, state, reverse)
    h, final, dgates, dskip, dstate = outcome(given)
    for got, want in zip((h, final, torch.cat([dgates, dskip], -1), dstate), outcome(joined), strict=True):
        assert close(got, want)


@by_direction
@by_cell
def test_what_the_padding_holds_is_not_read(cell: str, reverse: bool, route: str) -> None:
    """NaN there; no gradient goes there; the state of a row of no frames is the one it came with."""
    _, gates, _, lengths, state, _ = given = inputs(cell, "ragged", reverse)
    beyond = torch.arange(7)[:, None] >= torch.tensor([7, 0, 3, 1])[:, None, None]
    poisoned = gates.detach().masked_fill(beyond, torch.nan).requires_grad_()
    got, want = outcome((cell, poisoned, None, lengths, state, reverse)), outcome(given)
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))
    h, final, dgates, _ = got
    assert torch.equal(final[1], state[1]) and not h.masked_select(beyond).any() and not dgates.masked_select(beyond).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["32", "64"])
@by_cell
def test_shut_and_open_gates(cell: str, dtype: torch.dtype, route: str) -> None:
    """Hundreds on either side of 0, where exponentials would overflow: finite, and what the definition says, gradients too."""
    given = inputs(cell, "63-frames", dtype=dtype, scale=200.0)
    for got, want in zip(outcome(given), by_definition(given), strict=True):
        assert bool(torch.isfinite(got).all())
        difference, largest = float((got - want).detach().abs().max()), float(want.detach().abs().max())
        assert difference <= (1e-5 if dtype == torch.float32 else 1e-12) * largest


@by_direction
@by_cell
def test_nan_reaches_what_follows_and_no_more(cell: str, reverse: bool, route: str) -> None:
    """An operand that is NaN in frame 2 of one channel: so is h from there on in that channel, unless the operand acts on h alone."""
    for operand in range(gated.CELLS[cell].operands):
        _, gates, _, _, state, _ = inputs(cell, "plain", reverse)
        with torch.no_grad():
            gates[1, 2, 4 * operand + 3] = torch.nan
            h, final = gated.gated_scan(cell, gates, None, None, state, reverse)
        later = [0, 1] if reverse else [3, 4]
        assert bool(h[1, 2, 3].isnan())
        carried = bool(final[1, 3].isnan())
        assert h[1, later, 3].isnan().tolist() == [carried, carried]
        assert int(h.isnan().sum()) == (3 if carried else 1)


# ---- the same on any processor


SCRIPT = """
import json, torch
from convrnn.kernels import gated, native, scan_compiled

CELLS = {"linear": 2} | {name: cell.operands for name, cell in gated.CELLS.items()}
LENGTHS = torch.tensor([420, 3, 0, 300, 419])

def run(cell, dtype):
    generator = torch.Generator().manual_seed(1)
    shapes = (5, 420, CELLS[cell] * 50), (5, 50), (5, 420, 50), (5, 50)
    gates, state, dh, dfinal = (torch.randn(*shape, generator=generator).to(dtype) for shape in shapes)
    gates, apart = gates.sigmoid().split(50, -1) if cell == "linear" else (gates, None)
    keep = cell != "linear" and gated.CELLS[cell].read is not None
    h, memory, final = scan_compiled.forward(cell, gates, apart, LENGTHS, state, True, keep)
    found = scan_compiled.backward(cell, gates, apart, LENGTHS, state, True, h if memory is None else memory, dh, dfinal)
    return torch.cat([each.flatten() for each in (h, final, *found) if each is not None])

result = {"isa": native.compiled().isa()}
for cell in CELLS:
    torch.set_num_threads(1)
    first, exact = run(cell, torch.float32), run(cell, torch.float64)
    result[cell] = float((first - exact).abs().max() / exact.abs().max())
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        assert torch.equal(run(cell, torch.float32), first), (cell, threads)
print(json.dumps(result))
"""


@needs_compiled
@pytest.mark.parametrize("isa", ["portable", "avx2", "avx512"])
def test_every_instruction_set_and_number_of_threads(isa: str) -> None:
    """Bit for bit the same with 1, 2 and 4 threads; float32 within 1e-6 of float64, relative to the largest, gradients too."""
    environment = os.environ | {"CONVRNN_ISA": isa, "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    order = ["portable", "avx2", "avx512"]
    assert order.index(found.pop("isa")) <= order.index(isa), "a processor may have less than is asked for"
    assert len(found) == 1 + len(gated.CELLS) and max(found.values()) <= 1e-6, found


# ---- as operators


@pytest.mark.parametrize("apart", [False, True], ids=["", "apart"])
@pytest.mark.parametrize("cell", ["min_lstm", "sru_tanh", pytest.param("qrnn_ifo", marks=pytest.mark.full)])
def test_the_operators_are_sound(cell: str, apart: bool) -> None:
    """Schema, fake tensors, autograd registration, aliasing and AOT dispatch, as `torch.library.opcheck` tells."""
    given = inputs(cell, "ragged", apart=apart)
    torch.library.opcheck(torch.ops.convrnn.gated_scan.default, (*given, True))
    h, memory, final = gated._gated_scan(*(each.detach() if isinstance(each, Tensor) else each for each in given), True)
    arguments = [each.detach() if isinstance(each, Tensor) else each for each in given]
    kept = h if gated.CELLS[cell].read is None else memory
    torch.library.opcheck(
        torch.ops.convrnn.gated_scan_backward.default, (*arguments, kept.clone(), torch.ones_like(h), torch.ones_like(final))
    )


@by_direction
@by_cell
def test_gradcheck(cell: str, reverse: bool, route: str) -> None:
    given = inputs(cell, "ragged", reverse, apart=cell == "sru_tanh")

    def answer(*now: Tensor) -> tuple[Tensor, Tensor]:
        gates, *skip, state = now
        return gated.gated_scan(cell, gates, skip[0] if skip else None, given[3], state, reverse)

    assert torch.autograd.gradcheck(answer, leaves(given), fast_mode=True)


def test_a_second_derivative_names_the_way_out() -> None:
    given = inputs("min_gru", "plain")
    h, _ = gated.gated_scan(*given)
    (first,) = torch.autograd.grad(h.square().sum(), given[1], create_graph=True)
    with pytest.raises(UsageError) as raised:
        torch.autograd.grad(first.sum(), given[1])
    assert (
        str(raised.value)
        == "convrnn::gated_scan: the fast recurrences have no second derivative; compute it inside kernels.use('reference')"
    )


def test_the_definition_can_be_derived_twice() -> None:
    given = inputs("sru_tanh", "plain")
    with dispatch.use("reference"):
        h, _ = gated.gated_scan(*given)
    (first,) = torch.autograd.grad(h.square().sum(), given[1], create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), given[4])
    assert bool(second.any())


@pytest.mark.parametrize(("name", "backend"), [("min_gru", "fast"), ("min_gru", "reference"), ("sru_tanh", "reference")])
def test_autocast_runs_in_float32(route: str, name: str, backend: dispatch.Backend) -> None:
    cell, gates, skip, lengths, state, _ = inputs(name, "ragged", dtype=torch.float32)
    with dispatch.use(backend):
        want = gated.gated_scan(cell, gates.bfloat16().float(), skip, lengths, state)
        with torch.autocast("cpu", torch.bfloat16):
            got = gated.gated_scan(cell, gates.bfloat16(), skip, lengths, state)
    for x, y in zip(got, want, strict=True):
        assert x.dtype == torch.float32 and torch.equal(x, y)


def test_compile_sees_one_node() -> None:
    """No graph break, and the gradients of the eager operator; another T needs no other graph than the one for any T."""
    compiled = torch.compile(gated.gated_scan, backend="aot_eager", fullgraph=True, dynamic=True)
    for size in ("ragged", "63-frames"):
        given = inputs("qrnn_fo", size)
        got, want = compiled(*given), gated.gated_scan(*given)
        back = (torch.autograd.grad(h.sum(), leaves(given)) for h, _ in (got, want))
        for a, b in zip((*got, *next(back)), (*want, *next(back)), strict=True):
            assert torch.equal(a, b)


class _Seen(TorchDispatchMode):
    """Notes the operators that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def test_inference_leaves_the_operator_out_unless_it_is_watched(route: str) -> None:
    """To the bit the same; and what watches operators sees this one."""
    given = inputs("qrnn_fo", "50-units")
    want = gated.gated_scan(*given)
    with torch.inference_mode():
        got = gated.gated_scan(*given)
        with _Seen() as seen:
            watched = gated.gated_scan(*given)
    assert "convrnn.gated_scan.default" in seen.names
    for a, b, c in zip(got, watched, want, strict=True):
        assert torch.equal(a, b) and torch.equal(a, c) and not a.requires_grad
