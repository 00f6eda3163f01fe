"""The scans in Triton, without a GPU: run by Triton's interpreter on the CPU, and compiled for GPUs that are not here.

What nobody sees here is one running: that the compiled code computes what the interpreted does is Triton's word.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode

from convrnn.kernels import dispatch, gated, scan_compiled, scan_kernels
from convrnn.kernels.scan import linear_scan, only_valid

pytest.importorskip("triton", reason="triton is not installed: it comes with torch for CUDA on Linux, or by pip install triton")

CELLS = {"linear": 2} | {name: cell.operands for name, cell in gated.CELLS.items()}
SIZES = {
    # B, T, H, lengths; blocks have 4 channels here
    "ragged": (3, 4, 5, (4, 0, 2)),
    "plain": (1, 3, 4, None),
    "beyond": (2, 2, 1, (5, -1)),
    "no-frames": (2, 0, 3, (0, 0)),
    "no-rows": (0, 2, 3, None),
}
by_cell = pytest.mark.parametrize("cell", CELLS)
by_direction = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])

Given = tuple[str, Tensor, Tensor | None, Tensor | None, Tensor, bool]
"""In the order of `gated_scan`."""


@pytest.fixture(scope="module")
def kernels() -> Iterator[ModuleType]:
    """As Triton's interpreter runs them, on CPU tensors too; in blocks so small that a row has several."""
    name = "convrnn.kernels.scan_triton"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")  # read where a kernel is defined
        patch.delitem(sys.modules, name, raising=False)
        module = import_module(name)
        patch.setattr(module, "_BLOCK", 4)
        yield module
        del sys.modules[name]


@pytest.fixture
def interpreted(kernels: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """CPU tensors take the route of CUDA tensors."""
    monkeypatch.setattr(scan_kernels, "serving", lambda *given: kernels if scan_kernels._fit(*given) else None)


def inputs(
    cell: str, size: str, reverse: bool = False, dtype: torch.dtype = torch.float64, scale: float = 2.0, apart: bool = False
) -> Given:
    """Gradients wanted of all, NaN beyond the lengths. With `apart`, and of the recurrence itself, the last operand stands alone."""
    batch, frames, units, lengths = SIZES[size]
    generator = torch.Generator().manual_seed(5)
    apart = apart or cell == "linear"
    widths = ((CELLS[cell] - apart) * units, *([units] if apart else []))
    operands = [torch.randn(batch, frames, width, generator=generator, dtype=torch.float64).mul_(scale) for width in widths]
    if cell == "linear":
        operands[0].sigmoid_()
    counts = None if lengths is None else torch.tensor(lengths)
    if counts is not None:
        operands = [each.masked_fill((torch.arange(frames) >= counts[:, None])[..., None], torch.nan) for each in operands]
    state = torch.randn(batch, units, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    gates, *skip = (each.to(dtype).requires_grad_() for each in operands)
    return cell, gates, skip[0] if skip else None, counts, state, reverse


def outcome(given: Given) -> list[Tensor]:
    """h, the last c, and the gradient of every input."""
    cell, gates, skip, lengths, state, reverse = given
    if cell == "linear":
        assert skip is not None
        operands = (gates, skip) if dispatch.chosen() == "fast" else (only_valid(gates, lengths), only_valid(skip, lengths))
        outputs = linear_scan(*operands, lengths, state, reverse)
    else:
        outputs = gated.gated_scan(*given)
    generator = torch.Generator().manual_seed(6)
    loss = torch.stack([(y * torch.randn(y.shape, generator=generator).to(y.dtype)).sum() for y in outputs]).sum()
    leaves = [each for each in (gates, skip, state) if each is not None]
    return [*outputs, *torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)]


def by_definition(given: Given) -> list[Tensor]:
    with dispatch.use("reference"):
        return outcome(given)


# ---- interpreted


@by_direction
@by_cell
def test_equal_to_the_definition(cell: str, reverse: bool, interpreted: None) -> None:
    """Values, final state and the gradient of every input, on ragged rows with NaN in the padding."""
    given = inputs(cell, "ragged", reverse)
    got = outcome(given)
    for a, b in zip(got, by_definition(given), strict=True):
        assert a.shape == b.shape and torch.allclose(a, b, rtol=1e-12, atol=1e-12)
    assert torch.equal(got[1][1], given[4][1]), "a row of no frames keeps its state"


@by_direction
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("cell", "apart"), [("linear", True), ("sru_tanh", True), ("qrnn_ifo", False)])
def test_awkward_sizes(cell: str, apart: bool, size: str, reverse: bool, interpreted: None) -> None:
    given = inputs(cell, size, reverse, apart=apart)
    for a, b in zip(outcome(given), by_definition(given), strict=True):
        assert a.shape == b.shape and torch.allclose(a, b, rtol=1e-12, atol=1e-12)


@by_cell
def test_shut_and_open_gates_in_float32(cell: str, interpreted: None) -> None:
    """Hundreds on either side of 0, where exponentials would overflow."""
    given = inputs(cell, "plain", dtype=torch.float32, scale=200.0)
    for got, want in zip(outcome(given), by_definition(given), strict=True):
        assert float((got - want).detach().abs().max()) <= 1e-5 * (1 + float(want.detach().abs().max()))


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float16, 2**-11), (torch.bfloat16, 2**-7)], ids=["f16", "bf16"])
@pytest.mark.parametrize("cell", ["linear", "min_gru", "sru_tanh"])
def test_half_precision_goes_in_and_out_only(cell: str, dtype: torch.dtype, rounding: float, interpreted: None) -> None:
    """As computed in float32 and rounded once; the interpreter cuts bfloat16 off. (c is kept rounded too, so gradients differ by more.)"""
    cell, gates, skip, lengths, state, reverse = given = inputs(cell, "plain", dtype=dtype)
    wide = cell, gates.float(), None if skip is None else skip.float(), lengths, state.float(), reverse
    for got, want in zip(outcome(given)[:2], outcome(wide)[:2], strict=True):
        assert got.dtype == dtype and torch.allclose(got.float(), want, rtol=rounding, atol=0)


def test_a_row_is_the_same_alone_and_in_chunks(interpreted: None) -> None:
    """In float64, where the state that goes from chunk to chunk is the one in the loop."""
    cell, gates, _, lengths, state, _ = inputs("qrnn_fo", "ragged")
    gates, state = gates.detach(), state.detach()
    h, final = gated.gated_scan(cell, gates, None, lengths, state)
    alone, last = gated.gated_scan(cell, gates[:1], None, None, state[:1])
    assert torch.equal(h[:1], alone) and torch.equal(final[:1], last)
    first, middle = gated.gated_scan(cell, gates[:1, :1], None, None, state[:1])
    second, last = gated.gated_scan(cell, gates[:1, 1:], None, None, middle)
    assert torch.equal(h[:1], torch.cat([first, second], 1)) and torch.equal(final[:1], last)


# ---- compiled

SCRIPT = """
import json, sys
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from convrnn.kernels import scan_triton

def size(kernel, cell, dtype, capability):
    known = dict(zip(("FAMILY", "FUNCTION", "OPERANDS"), scan_triton._CELLS[cell])) | {
        "APART": cell in ("linear", "sru_tanh"), "RAGGED": True, "KEEP": True, "REVERSE": True, "BLOCK": scan_triton._BLOCK,
        "REAL": scan_triton.tl.float64 if dtype == "fp64" else scan_triton.tl.float32,
    }
    constants = {name: known[name] for name in kernel.arg_names if name in known}
    types = {"lengths": "*i64", "frames": "i32", "units": "i32"} | dict.fromkeys(constants, "constexpr")
    source = ASTSource(kernel, {name: types.get(name, "*" + dtype) for name in kernel.arg_names}, constants)
    return len(compile(source, GPUTarget("cuda", capability, 32), scan_triton._OPTIONS).asm["cubin"])

print(json.dumps([
    size(kernel, cell, dtype, int(capability))
    for cell, dtype, capability in (each.split() for each in sys.argv[1:])
    for kernel in (scan_triton._forward, scan_triton._backward)
]))
"""

# Half a second a kernel.
FEW = ["linear fp32 80", "min_lstm_g bf16 80", "sru_tanh fp32 90", "qrnn_ifo fp64 75"]
ALL = [f"{cell} {dtype} 80" for cell in CELLS for dtype in ("fp32", "bf16", "fp16", "fp64")]


@pytest.mark.parametrize("asked", [pytest.param(FEW, id="few"), pytest.param(ALL, id="all", marks=pytest.mark.full)])
def test_they_compile_for_gpus(asked: list[str], tmp_path: Path) -> None:
    """To machine code, of Turing, Ampere and Hopper, which needs none of them."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"} | {"TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", SCRIPT, *asked], env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    sizes = json.loads(done.stdout)
    assert len(sizes) == 2 * len(asked) and min(sizes) > 1000


# ---- what comes here


def test_cuda_tensors_come_here_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of float types and the shapes that the loops know; without triton none do."""
    with FakeTensorMode():
        gates, state = torch.empty(2, 5, 6, device="cuda"), torch.empty(2, 3, device="cuda")
        loops = scan_kernels.serving(gates, None, None, state, 2)
        assert loops is sys.modules["convrnn.kernels.scan_triton"]
        half = [torch.empty(each.shape, dtype=torch.bfloat16, device="cuda") for each in (gates, state)]
        assert scan_kernels.serving(half[0], None, None, half[1], 2) is loops
        assert scan_kernels.serving(gates, None, None, half[1], 2) is None and scan_kernels.serving(gates, None, None, state, 3) is None
        monkeypatch.setitem(sys.modules, "convrnn.kernels.scan_triton", None)
        scan_kernels._triton.cache_clear()
        assert scan_kernels.serving(gates, None, None, state, 2) is None
    scan_kernels._triton.cache_clear()
    here = torch.empty(2, 5, 6), torch.empty(2, 3)
    assert scan_kernels.serving(here[0], None, None, here[1], 2) in (scan_compiled, None)
