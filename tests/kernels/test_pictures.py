"""The compiled recurrences over pictures: the reference on awkward sizes, the same bits in any company, float32, each instruction set."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from convrnn.kernels import dispatch, native, pictures, reference
from convrnn.kernels.reference import Recurrence

pytestmark = pytest.mark.skipif(not native.available(), reason="installed without compiled kernels")

F64 = torch.float64
CELLS = ("rnn_tanh", "rnn_relu", "lstm", "lstm_coupled", "gru", "ligru")
SIZES = {
    # B, T, Y, X, C, H, lengths
    "plain": (2, 3, 4, 6, 3, 5, None),
    "one position": (3, 4, 1, 1, 1, 1, (4, 0, 2)),
    "smaller than the window": (2, 3, 2, 1, 17, 2, (3, 1)),
    "odd": (2, 3, 5, 7, 1, 17, None),
    "ragged": (5, 2, 3, 3, 2, 4, (0, 2, 1, 2, 2)),
    "two strips and a bit": (1, 3, 3, 67, 2, 3, None),
    "a bunch and a bit": (2, 2, 17, 9, 2, 3, (2, 1)),
    "no frames": (2, 0, 3, 3, 2, 2, None),
    "no rows": (0, 2, 3, 3, 2, 2, None),
}


def made(
    cell: str, size: str = "ragged", *, window: int | None = 3, peep: bool = False, reverse: bool = False, dtype: torch.dtype = F64
) -> Recurrence:
    """Random; `window` over the input, or None: the gates' part of it ready-made."""
    batch, frames, height, width, channels, units, lengths = SIZES[size]
    generator = torch.Generator().manual_seed(5)
    equations = reference.CELLS[cell]
    gates = len(equations.gates) * units

    def make(*shape: int, per: float = 1.0) -> Tensor:
        return (torch.randn(*shape, generator=generator, dtype=torch.float64) / per**0.5).to(dtype).requires_grad_()

    space = (height, width)
    return Recurrence(
        cell,
        make(batch, frames, *space, channels if window else gates),
        None if lengths is None else torch.tensor(lengths),
        make(gates, channels, window, window, per=9 * channels) if window else None,
        make(gates, units, 3, 3, per=9 * units),
        make(gates),
        make(batch, *space, units * len(equations.states)),
        make(units) if cell == "gru" else None,
        make(len(equations.gates) - 1, *space, units) if peep else None,
        reverse=reverse,
    )


def outcome(r: Recurrence) -> list[Tensor]:
    """Outputs and gradients."""
    y, final = dispatch.recur(r)
    weight = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)
    leaves = [t for t in r if isinstance(t, Tensor) and t.requires_grad]
    return [y, final, *torch.autograd.grad((y * weight).sum() + final.square().sum(), leaves, allow_unused=True, materialize_grads=True)]


def floats(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def agree(r: Recurrence) -> None:
    with dispatch.use("reference"):
        want = outcome(r)
    for got, other in zip(outcome(r), want, strict=True):
        assert got.shape == other.shape
        assert torch.allclose(got, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("cell", CELLS)
def test_it_equals_the_reference(cell: str, size: str, reverse: bool) -> None:
    for window in (3, None):
        r = made(cell, size, window=window, reverse=reverse)
        assert pictures.serves(r)
        agree(r)


@pytest.mark.parametrize("size", ["plain", "ragged", "two strips and a bit"])
@pytest.mark.parametrize("cell", ["lstm", "lstm_coupled"])
def test_peepholes(cell: str, size: str) -> None:
    agree(made(cell, size, peep=True))


@pytest.mark.parametrize("window", [1, 2, 5])
def test_another_window_over_the_input(window: int) -> None:
    r = made("lstm", window=window)
    assert pictures.serves(r)
    agree(r)


def test_what_it_leaves_to_the_loops() -> None:
    r = made("lstm")
    assert not pictures.serves(made("gru_before"))
    assert not pictures.serves(r._replace(w_h=r.w_h[..., :2]))
    assert not pictures.serves(r._replace(zone=torch.zeros(1, 1, 1, 1, 8, dtype=r.x.dtype)))
    assert not pictures.serves(r._replace(x=r.x.detach().bfloat16()))
    agree(made("gru_before"))
    agree(r._replace(w_h=r.w_h.detach()[..., :2].requires_grad_()))


@pytest.mark.parametrize("cell", CELLS)
def test_float32_is_as_exact_as_a_direct_convolution(cell: str) -> None:
    """Within three times the error of the loops with torch's convolutions, both against float64."""
    r = made(cell, "plain", dtype=torch.float32)
    exact = r._replace(**{name: each.detach().double().requires_grad_() for name, each in r._asdict().items() if floats(each)})
    with dispatch.use("reference"):
        want, direct = outcome(exact), outcome(r)
    for a, b, c in zip(outcome(r), want, direct, strict=True):
        size = 1 + b.abs().max()
        assert (a - b).abs().max() <= 3 * (c - b).abs().max() + 2e-7 * size
        assert (a - b).abs().max() <= 2e-6 * size


@pytest.mark.parametrize("cell", CELLS)
def test_a_row_is_the_same_to_the_bit_alone_in_any_batch_and_in_chunks(cell: str) -> None:
    r = made(cell, "a bunch and a bit", dtype=torch.float32)._replace(lengths=None)
    with torch.no_grad():
        y, final = dispatch.recur(r)
        for b in range(2):
            state, parts = r.state[b : b + 1], []
            for chunk in r.x[b : b + 1].split([1, 0, 1], dim=1):
                part, state = dispatch.recur(r._replace(x=chunk, state=state))
                parts.append(part)
            assert torch.equal(torch.cat(parts, 1)[0], y[b]) and torch.equal(state[0], final[b])


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("cell", CELLS)
def test_threads(cell: str, threads: int) -> None:
    """The same from run to run to the bit; outputs and the gradients of rows whatever the number of threads."""
    r = made(cell, "a bunch and a bit", dtype=torch.float32)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = outcome(r)
        torch.set_num_threads(threads)
        first, second = outcome(r), outcome(r)
    finally:
        torch.set_num_threads(before)
    for a, b, c in zip(first, second, one, strict=True):
        assert torch.equal(a, b)
        assert (a - c).abs().max() <= 2e-6 * (1 + c.abs().max())
    for of_rows in (0, 1, 2):  # y, the last state, the gradient of x
        assert torch.equal(first[of_rows], one[of_rows])


def test_only_the_gradients_that_are_wanted() -> None:
    """Without that of x, or of the weights, other ways are taken; the rest is the same to the bit."""
    whole = outcome(made("lstm"))
    r = made("lstm")
    names = [name for name, each in r._asdict().items() if isinstance(each, Tensor) and each.requires_grad]
    for left_out in (("x",), ("w_x", "w_h"), ("x", "state"), ("w_h", "b"), ("x", "w_x", "w_h", "b")):
        kept = r._replace(**{name: getattr(r, name).detach() for name in left_out})
        found = outcome(kept)
        expected = whole[:2] + [gradient for name, gradient in zip(names, whole[2:], strict=True) if name not in left_out]
        for a, b in zip(found, expected, strict=True):
            assert torch.equal(a, b)


def test_tensors_that_do_not_lie_as_the_source_wants_them() -> None:
    r = made("lstm")
    want = outcome(r)
    x = r.x.detach().movedim(-1, 2).contiguous().movedim(2, -1).requires_grad_()
    turned = r._replace(x=x, w_h=r.w_h.detach().transpose(0, 1).contiguous().transpose(0, 1).requires_grad_())
    for a, b in zip(outcome(turned), want, strict=True):
        assert torch.equal(a, b)
    apart = torch.zeros(*r.x.shape[:2], 2, *r.x.shape[2:], dtype=r.x.dtype)
    apart[:, :, 1] = r.x.detach()
    for a, b in zip(outcome(r._replace(x=apart[:, :, 1].requires_grad_())), want, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("cell", CELLS)
def test_the_operators_are_sound(cell: str) -> None:
    r = made(cell)
    torch.library.opcheck(torch.ops.convrnn.recur.default, (*r, True))
    plain = r._replace(**{name: each.detach() for name, each in r._asdict().items() if floats(each)})
    y, final, saved = torch.ops.convrnn.recur.default(*plain, True)
    assert saved.shape == pictures.saved_shape(plain) and not saved.isnan().any()
    wanted = [floats(each) for each in plain]
    torch.library.opcheck(torch.ops.convrnn.recur_backward.default, (*plain, y, saved, torch.ones_like(y), torch.ones_like(final), wanted))


ISA = """
import json, sys, torch
sys.path.insert(0, sys.argv[1])
import test_pictures as t
from convrnn.kernels import native
torch.set_num_threads(2)
answers = [[a.flatten().tolist() for a in t.outcome(t.made(cell, size))] for cell in t.CELLS for size in ("odd", "a bunch and a bit")]
print(json.dumps([native.compiled().isa(), answers]))
"""


@pytest.mark.parametrize("isa", ["portable", "avx2"])
def test_each_instruction_set(isa: str) -> None:
    script = [sys.executable, "-c", ISA, os.path.dirname(__file__)]
    done = subprocess.run(script, env={**os.environ, "CONVRNN_ISA": isa}, capture_output=True, text=True, check=True)
    name, answers = json.loads(done.stdout)
    assert name in ("portable", isa), "the best that this processor has, and no better one"
    mine = [outcome(made(cell, size)) for cell in CELLS for size in ("odd", "a bunch and a bit")]
    for got, want in zip(answers, mine, strict=True):
        for a, b in zip(got, want, strict=True):
            assert torch.allclose(torch.tensor(a, dtype=torch.float64), b.flatten(), rtol=1e-11, atol=1e-11)
