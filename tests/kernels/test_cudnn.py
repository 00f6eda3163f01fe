"""The route to cuDNN, on the CPU, where something else computes behind the same functions of torch: equal to the readable reference."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

from convrnn.kernels import cudnn, dispatch, reference
from convrnn.kernels.reference import Recurrence

SIZES = {
    # B, T, C, H, lengths
    "plain": (3, 5, 2, 4, None),
    "ragged": (4, 7, 3, 5, (7, 0, 3, 1)),
    "equal": (2, 4, 2, 3, (4, 4)),
    "all-short": (3, 6, 2, 3, (2, 4, 0)),
    "beyond": (2, 3, 2, 3, (5, 2)),
    "all-empty": (2, 3, 2, 3, (0, 0)),
    "no-frames": (2, 0, 2, 3, None),
    "no-rows": (0, 4, 2, 3, ()),
    "one-row": (1, 63, 1, 3, (41,)),
    "many-rows": (21, 4, 2, 5, (4, 0, 3, 1, 2, 4, 4) * 3),
}
CELLS = {"tanh": ("rnn_tanh", False), "relu": ("rnn_relu", False), "gru": ("gru", False), "lstm": ("lstm", False), "proj": ("lstm", True)}
LEAVES = ("x", "w_x", "w_h", "b", "state", "b_h", "proj")
by_cell = pytest.mark.parametrize("kind", CELLS)
by_size = pytest.mark.parametrize("size", SIZES)
by_direction = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """CPU tensors take the route of CUDA tensors."""
    monkeypatch.setattr(cudnn, "DEVICE", "cpu")
    monkeypatch.setenv("CONVRNN_NATIVE", "off")


def inputs(
    kind: str, size: str, reverse: bool = False, biases: str = "both", seed: int = 11, dtype: torch.dtype = torch.float64
) -> Recurrence:
    """Gradients wanted of all; NaN beyond the lengths. `biases`: of `b` and `b_h`, both, one or none."""
    batch, frames, channels, units, lengths = SIZES[size]
    cell, projected = CELLS[kind]
    generator = torch.Generator().manual_seed(seed)

    def make(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    equations = reference.CELLS[cell]
    gates, width = len(equations.gates) * units, 2 if projected else units
    x = make(batch, frames, channels)
    counts = None if lengths is None else torch.tensor(lengths, dtype=torch.int64)
    if counts is not None:
        x = torch.where((torch.arange(frames) < counts[:, None])[..., None], x, torch.nan)
    made = Recurrence(
        cell,
        x,
        counts,
        make(gates, channels),
        make(gates, width) / units**0.5,
        make(gates) if biases in ("both", "b") else None,
        make(batch, width + units * (len(equations.states) - 1)),
        make(units) if biases in ("both", "b_h") and cell == "gru" else None,
        proj=make(width, units) if projected else None,
        reverse=reverse,
    )
    return having(made, (leaf.requires_grad_() for leaf in leaves_of(made)))


def leaves_of(r: Recurrence) -> list[Tensor]:
    return [getattr(r, name) for name in LEAVES if getattr(r, name) is not None]


def having(r: Recurrence, leaves: Iterable[Tensor]) -> Recurrence:
    """The same with other tensors, in the order of `leaves_of`."""
    return r._replace(**dict(zip([name for name in LEAVES if getattr(r, name) is not None], leaves, strict=True)))


def tidied(r: Recurrence) -> Recurrence:
    """The reference reads beyond the lengths."""
    return r if r.lengths is None else r._replace(x=dispatch._masked(r.x, r.lengths))


def compare(got: Iterable[Tensor], want: Iterable[Tensor], leaves: list[Tensor], tolerance: float = 1e-10) -> None:
    """Values, and the gradient of every input."""
    found: list[list[Tensor]] = []
    for outputs in map(list, (got, want)):
        generator = torch.Generator().manual_seed(12)
        loss = torch.stack([(y * torch.randn(y.shape, generator=generator, dtype=y.dtype)).sum() for y in outputs]).sum()
        found.append([*outputs, *torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)])
    for a, b in zip(*found, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        assert torch.allclose(a, b, rtol=tolerance, atol=tolerance)


# ---- what it computes


@by_direction
@by_size
@by_cell
def test_one_direction_equals_the_reference(kind: str, size: str, reverse: bool) -> None:
    """Values, final state and the gradient of every input, with NaN where no row has a frame."""
    for biases in ("both", "b", "b_h", "none"):
        given = inputs(kind, size, reverse, biases)
        compare(cudnn.recur((given,)), reference.recur(tidied(given)), leaves_of(given))


@by_size
@by_cell
def test_both_directions_equal_the_reference(kind: str, size: str, on_cpu: None) -> None:
    """In one call; one of them may have no bias."""
    for biases in ("both", "none"):
        forth = inputs(kind, size)
        back = inputs(kind, size, True, biases, seed=13)._replace(x=forth.x, lengths=forth.lengths)
        assert cudnn.serves((forth, back))
        (y, final), (y_back, final_back) = reference.recur(tidied(forth)), reference.recur(tidied(back))
        want = torch.cat([y, y_back], -1), final, final_back
        compare(cudnn.recur((forth, back)), want, [*leaves_of(forth), *leaves_of(back)[1:]])


@by_cell
def test_the_state_of_an_empty_row_is_the_one_it_came_with(kind: str) -> None:
    given = inputs(kind, "ragged")
    y, final = cudnn.recur((given,))
    assert torch.equal(final[1], given.state[1]) and not y[1].any() and not y[2, 3:].any()


def test_what_torch_computes_for_packed_rows() -> None:
    """Against the module, whose packing is torch's own: the same function, the same bits."""
    given = inputs("gru", "many-rows", dtype=torch.float32)
    assert given.w_x is not None and given.b is not None and given.b_h is not None and given.lengths is not None
    module, rows = nn.GRU(2, 5, batch_first=True), given.lengths.nonzero().flatten()
    zeros = torch.zeros(10)
    for name, value in {"ih": given.w_x, "hh": given.w_h}.items():
        module.get_parameter(f"weight_{name}_l0").data = value.detach()
    module.bias_ih_l0.data, module.bias_hh_l0.data = given.b.detach(), torch.cat([zeros, given.b_h.detach()])
    packed = nn.utils.rnn.pack_padded_sequence(given.x[rows], given.lengths[rows], batch_first=True, enforce_sorted=False)
    want, final = module(packed, given.state[rows][None])
    y, state = cudnn.recur((given,))
    assert torch.equal(y[rows], nn.utils.rnn.pad_packed_sequence(want, batch_first=True)[0]) and torch.equal(state[rows], final[0])


# ---- what comes here


def test_only_cuda_tensors_of_cells_that_cudnn_has() -> None:
    given = inputs("lstm", "ragged")
    assert not cudnn.serves((given,)), "on the CPU our own are faster"

    def there(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(shape, dtype=dtype, device="cuda")

    with FakeTensorMode():
        fake = Recurrence._make(there(*each.shape) if isinstance(each, Tensor) else each for each in given)
        assert cudnn.serves((fake,)) and cudnn.serves((fake, fake._replace(reverse=True)))
        assert not cudnn.serves((fake, fake)) and not cudnn.serves((fake, fake._replace(reverse=True, x=there(4, 7, 3))))
        for other in (
            {"cell": "gru_before"},
            {"cell": "lstm_coupled"},
            {"cell": "ligru"},
            {"peep": there(3, 5)},
            {"drop": there(4, 5)},
            {"zone": there(4, 7, 10)},
            {"proj": there(5, 5)},
            {"w_x": None},
            {"w_h": there(20)},
            {"x": there(4, 7, 3, dtype=torch.float16)},
            {"w_h": there(20, 5, dtype=torch.float64)},
        ):
            assert not cudnn.serves((fake._replace(**other),)), other


@by_direction
@by_cell
def test_the_dispatch_goes_there(kind: str, reverse: bool, on_cpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded by autograd itself; and with pieces between checkpoints, both directions at once, unclean frames."""
    given = inputs(kind, "ragged", reverse)
    for every in (None, 2):
        compare(dispatch.recur(given, every, clean=False), reference.recur(tidied(given)), leaves_of(given))
    back = given._replace(reverse=True)
    calls: list[int] = []
    whole = cudnn.recur
    monkeypatch.setattr(cudnn, "recur", lambda rs: calls.append(len(rs)) or whole(rs))
    both = dispatch.recur_both(given._replace(reverse=False), back, clean=False)
    assert calls == [2]
    (h, last), (h_back, last_back) = (reference.recur(tidied(r)) for r in (given._replace(reverse=False), back))
    compare(both, (torch.cat([h, h_back], -1), last, last_back), leaves_of(given))


@by_direction
@by_cell
def test_the_operators_run_it_too(kind: str, reverse: bool, on_cpu: None) -> None:
    """Where a trace or a mode looks on: sound in torch's eyes, derived by a second run."""
    given = tidied(inputs(kind, "ragged", reverse))
    given = having(given, (leaf.detach().requires_grad_() for leaf in leaves_of(given)))
    y, final, saved = torch.ops.convrnn.recur.default(*given, True)
    assert not saved.numel()
    compare((y, final), reference.recur(given), leaves_of(given))
    torch.library.opcheck(torch.ops.convrnn.recur.default, (*given, True))


def test_compile_sees_one_node(on_cpu: None) -> None:
    """No graph break, and the gradients of the eager call."""
    given = tidied(inputs("gru", "ragged"))
    given = having(given, (leaf.detach().requires_grad_() for leaf in leaves_of(given)))
    compiled = torch.compile(dispatch.recur, backend="aot_eager", fullgraph=True)
    compare(compiled(given), dispatch.recur(given), leaves_of(given), 1e-14)


@by_cell
def test_autocast_runs_in_float32(kind: str, on_cpu: None) -> None:
    """A frame in half precision, as a convolution gives it, and weights in float32: the answer is that of float32, gradients too."""
    given = inputs(kind, "ragged", dtype=torch.float32)
    half = given._replace(x=given.x.detach().bfloat16().requires_grad_())
    wide = given._replace(x=half.x.detach().float().requires_grad_())
    want = dispatch.recur(wide, clean=False)
    with torch.autocast("cpu", torch.bfloat16):
        got = dispatch.recur(half, clean=False)
    for a, b in zip(got, want, strict=True):
        assert a.dtype == torch.float32 and torch.equal(a, b)
    (dhalf,), (dwide,) = (torch.autograd.grad(y.sum(), r.x) for (y, _), r in ((got, half), (want, wide)))
    assert torch.equal(dhalf, dwide.bfloat16())
