"""The compiled recurrences: each instruction set, any number of threads, float32, tensors that do not lie as the C++ wants them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from convrnn.core.errors import UsageError
from convrnn.kernels import compiled, dispatch, native, reference, session
from convrnn.kernels.reference import Recurrence

pytestmark = pytest.mark.skipif(not native.available(), reason="installed without compiled kernels")

LONG = 90, 33, 70
"""Frames, channels and units: work for more than one thread."""

ALL = ("rnn_tanh", "rnn_relu", "lstm", "lstm_coupled", "gru", "gru_before", "ligru")


def made(
    cell: str, batch: int = 5, frames: int = 11, channels: int = 7, units: int = 19, dtype: torch.dtype = torch.float32, seed: int = 3
) -> Recurrence:
    generator = torch.Generator().manual_seed(seed)
    equations = reference.CELLS[cell]
    gates = len(equations.gates) * units

    def make(*shape: int) -> Tensor:
        return (torch.randn(*shape, generator=generator, dtype=dtype) / shape[-1] ** 0.5).requires_grad_()

    lengths = torch.randint(0, frames + 1, (batch,), generator=generator)
    state = make(batch, units * len(equations.states))
    b_h = make(units) if cell == "gru" else None
    return Recurrence(cell, make(batch, frames, channels), lengths, make(gates, channels), make(gates, units), make(gates), state, b_h)


def outcome(r: Recurrence) -> list[Tensor]:
    """Outputs and gradients."""
    y, final = dispatch.recur(r)
    weight = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)
    leaves = [t for t in r if isinstance(t, Tensor) and t.requires_grad]
    return [y, final, *torch.autograd.grad((y * weight).sum() + final.square().sum(), leaves)]


def test_the_tables_here_are_those_of_the_source() -> None:
    """Cells are numbered, and what is saved is measured, here and in csrc/recurrent.h."""
    assert set(compiled.CELLS) == set(reference.CELLS) & set(ALL)
    for cell in ALL:
        r = made(cell)
        assert compiled.serves(r)
        saved = torch.full(compiled.saved_shape(r), torch.nan)
        again = torch.ops.convrnn.recur.default(*r, True)[2]
        assert again.shape == saved.shape and not again.isnan().any()


@pytest.mark.parametrize("cell", ALL)
def test_float32_is_within_a_millionth(cell: str) -> None:
    got = outcome(made(cell))
    exact = made(cell)
    exact = exact._replace(**{name: each.detach().double().requires_grad_() for name, each in exact._asdict().items() if floats(each)})
    with dispatch.use("reference"):
        want = outcome(exact)
    for a, b in zip(got[:2], want[:2], strict=True):
        assert torch.allclose(a.double(), b, rtol=1e-6, atol=1e-6)
    for a, b in zip(got[2:], want[2:], strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()


def floats(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


@pytest.mark.parametrize("cell", ALL)
def test_a_row_is_the_same_to_the_bit_alone_and_in_any_batch(cell: str) -> None:
    """Each sum runs in one register in one order, however many rows there are."""
    r = made(cell, batch=9, units=33)
    with torch.no_grad():
        y, final = dispatch.recur(r)
        for b in range(9):
            n = int(r.lengths[b]) if r.lengths is not None else 0
            alone, last = dispatch.recur(r._replace(x=r.x[b : b + 1, :n], lengths=None, state=r.state[b : b + 1]))
            assert torch.equal(alone[0], y[b, :n]) and torch.equal(last[0], final[b])


@pytest.mark.parametrize("cell", ALL)
def test_chunks_are_the_whole_to_the_bit(cell: str) -> None:
    r = made(cell, frames=23)._replace(lengths=None)
    with torch.no_grad():
        whole, last = dispatch.recur(r)
        state, parts = r.state, []
        for chunk in r.x.split([1, 0, 7, 2, 13], dim=1):
            y, state = dispatch.recur(r._replace(x=chunk, state=state))
            parts.append(y)
    assert torch.equal(torch.cat(parts, 1), whole) and torch.equal(state, last)


def both_outcome(forth: Recurrence, back: Recurrence, together: bool) -> list[Tensor]:
    """Outputs of two directions side by side, states and gradients."""
    if together:
        y, *finals = dispatch.recur_both(forth, back)
    else:
        ways = [dispatch.recur(r) for r in (forth, back)]
        y, finals = torch.cat([way[0] for way in ways], -1), [way[1] for way in ways]
    weight = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)
    leaves = {id(t): t for r in (forth, back) for t in r if isinstance(t, Tensor) and t.requires_grad}
    loss = (y * weight).sum() + sum(final.square().sum() for final in finals)
    return [y, *finals, *torch.autograd.grad(loss, list(leaves.values()))]


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize("cell", ALL)
def test_both_directions_at_once_are_one_behind_the_other_to_the_bit(cell: str, batch: int, threads: int) -> None:
    forth = made(cell, batch, *LONG)
    back = made(cell, batch, *LONG, seed=4)._replace(x=forth.x, lengths=forth.lengths, reverse=True)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        got, want = both_outcome(forth, back, True), both_outcome(forth, back, False)
        with torch.no_grad():
            unrecorded = dispatch.recur_both(forth, back)[0]
    finally:
        torch.set_num_threads(before)
    for a, b in zip(got, want, strict=True):
        assert torch.equal(a, b)
    assert torch.equal(unrecorded, got[0])


def test_compile_sees_both_directions_as_two_operators() -> None:
    forth, back = made("lstm"), made("lstm", seed=4)._replace(reverse=True)
    y, _, _ = torch.compile(dispatch.recur_both, backend="eager", fullgraph=True)(forth, back)
    assert torch.equal(y, dispatch.recur_both(forth, back)[0])


def test_a_second_derivative_is_refused_of_both_directions_too() -> None:
    forth, back = made("gru"), made("gru")._replace(reverse=True)
    y, _, _ = dispatch.recur_both(forth, back)
    (first,) = torch.autograd.grad(y.sum(), [forth.w_h], create_graph=True)
    with pytest.raises(UsageError, match="second derivative"):
        first.sum().backward()


@pytest.mark.parametrize("cell", ALL)
def test_packed_weights_are_kept_until_they_change(cell: str) -> None:
    r = made(cell, batch=2, frames=3)
    weights = {
        name: nn.Parameter(each.detach()) for name, each in r._asdict().items() if name in ("w_x", "w_h", "b", "b_h") and each is not None
    }
    r = r._replace(lengths=None, **weights)
    live = session.Inside(kept := session.Session())
    with torch.no_grad():
        plain, _ = dispatch.recur(r)
        with live:
            assert all(torch.equal(dispatch.recur(r)[0], plain) for _ in range(2))
            assert kept.recur(r) is not None
            r.w_h.mul_(2)
            changed, _ = dispatch.recur(r)
        assert not torch.equal(changed, plain)
        assert torch.equal(changed, dispatch.recur(r)[0])
        with live:
            # Another tensor in its place, and one that is made anew for each call.
            r.w_h.data = r.w_h.data / 2
            assert torch.equal(dispatch.recur(r)[0], plain)
            computed = r._replace(w_h=r.w_h * 2)
            assert kept.recur(computed) is None
            assert torch.equal(dispatch.recur(computed)[0], changed)
            assert torch.equal(dispatch.recur(r)[0], plain)


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("cell", ALL)
def test_threads(cell: str, threads: int) -> None:
    """The same from run to run to the bit; outputs and the gradients of rows whatever the number of threads."""
    r = made(cell, 7, *LONG)
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
        assert (a - c).abs().max() <= 1e-5 * c.abs().max()
    for of_rows in (0, 1, 2):  # y, the last state, the gradient of x
        assert torch.equal(first[of_rows], one[of_rows])


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_tensors_that_do_not_lie_as_the_source_wants_them(cell: str) -> None:
    r = made(cell)
    want = outcome(r)
    wide = torch.zeros(r.x.shape[0], 2, r.x.shape[1], r.x.shape[2] * 2)
    wide[:, 1, :, ::2] = r.x.detach()
    x = wide[:, 1, :, ::2].requires_grad_()
    turned = r._replace(x=x, w_h=r.w_h.detach().t().contiguous().t().requires_grad_())
    for a, b in zip(outcome(turned), want, strict=True):
        assert torch.equal(a, b)
    # One number for all frames, as the mean over time hands back.
    y, _ = dispatch.recur(r)
    (mean,) = torch.autograd.grad(y.sum(), r.w_h)
    y, _ = dispatch.recur(r)
    (same,) = torch.autograd.grad(y, r.w_h, torch.ones_like(y))
    assert torch.equal(mean, same)


def test_only_the_gradients_that_are_wanted() -> None:
    r = made("gru")
    r = r._replace(x=r.x.detach(), w_h=r.w_h.detach())
    y, _ = dispatch.recur(r)
    assert y.grad_fn is not None
    y.sum().backward()
    assert r.x.grad is None and r.w_h.grad is None and r.w_x is not None and r.w_x.grad is not None


ISA = """
import json, sys, torch
sys.path.insert(0, sys.argv[1])
import test_compiled as t
from convrnn.kernels import native
torch.set_num_threads(2)
answers = {cell: [a.flatten().tolist() for a in t.outcome(t.made(cell, dtype=torch.float64))] for cell in t.ALL}
print(json.dumps([native.compiled().isa(), answers]))
"""


@pytest.mark.parametrize("isa", ["portable", "avx2", "avx512"])
def test_every_instruction_set(isa: str) -> None:
    """As the reference; one that this processor has not is replaced by the best that it has."""
    script = [sys.executable, "-c", ISA, os.path.dirname(__file__)]
    done = subprocess.run(script, env={**os.environ, "CONVRNN_ISA": isa}, capture_output=True, text=True, check=True)
    name, answers = json.loads(done.stdout)
    order = ["portable", "avx2", "avx512"]
    assert order.index(name) <= order.index(isa)
    for cell in ALL:
        with dispatch.use("reference"):
            want = outcome(made(cell, dtype=torch.float64))
        for a, b in zip(answers[cell], want, strict=True):
            assert torch.allclose(torch.tensor(a, dtype=torch.float64), b.flatten(), rtol=1e-12, atol=1e-12)


def test_numbers_that_overflow_and_nan() -> None:
    """Gates saturate without NaN; a NaN stays in its row."""
    r = made("lstm")._replace(lengths=None)
    with torch.no_grad():
        r = r._replace(x=r.x * 1e30)
        y, final = dispatch.recur(r)
        with dispatch.use("reference"):
            want, last = dispatch.recur(r)
        assert torch.allclose(y, want, atol=1e-6) and torch.allclose(final, last, atol=1e-6)
        r.x[2, 3, 1] = torch.nan
        y, _ = dispatch.recur(r)
    assert y[2, 3:].isnan().all() and not y[2, :3].isnan().any() and not y[[0, 1, 3, 4]].isnan().any()
