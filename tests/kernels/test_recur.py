"""The recurrence operators: sound in torch's eyes, equal to the readable reference on awkward sizes, honest about what they cannot do."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import pytest
import torch
from torch import Tensor

from convrnn.core.errors import UsageError
from convrnn.kernels import dispatch, reference, scanned
from convrnn.kernels.reference import Recurrence

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
    # more units than lanes of a register, more rows than registers hold, more frames than are done at a time (for two cells: the reference
    # takes a second)
    "wide": (2, 3, 3, 53, (3, 2)),
    "many-rows": (21, 4, 2, 5, (4, 0, 3, 1, 2, 4, 4) * 3),
    "long": (3, 700, 2, 3, (700, 333, 5)),
}
FEW = ("plain", "ragged", "no-frames-ragged", "one-row", "wide", "many-rows")
CELLS = sorted(reference.CELLS)
OPTIONS = {
    "peep": ("lstm", "peep"),
    "peep-coupled": ("lstm_coupled", "peep"),
    "proj": ("lstm", "proj"),
    "all": ("lstm", "peep", "proj", "drop", "zone"),
    "drop": ("gru", "drop"),
    "drop-before": ("gru_before", "drop"),
    "zone": ("rnn_relu", "zone"),
    "element-wise": ("rnn_tanh", "vector"),
    "conv-1d": ("lstm", "conv1"),
    "conv-2d": ("gru_before", "conv2"),
    "conv-1d-peep": ("lstm", "conv1", "peep"),
    "conv-2d-relu": ("rnn_relu", "conv2"),
    "conv-2d-after": ("gru", "conv2"),
    "conv-1d-coupled": ("lstm_coupled", "conv1", "peep"),
    "conv-1d-light": ("ligru", "conv1"),
}


@pytest.fixture(params=["require", "off"], ids=["compiled", "torch"])
def route(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What runs behind the operator: the C++, or where there is none the loops and the reference."""
    monkeypatch.setenv("CONVRNN_NATIVE", request.param)
    return request.param


def leaves_of(r: Recurrence) -> list[Tensor]:
    return [getattr(r, name) for name in TENSORS if getattr(r, name) is not None]


TENSORS = ("x", "w_x", "w_h", "b", "state", "b_h", "peep", "proj", "drop", "zone")


def having(r: Recurrence, leaves: Iterable[Tensor]) -> Recurrence:
    """The same with other tensors, in the order of `leaves_of`."""
    present = [name for name in TENSORS if getattr(r, name) is not None]
    return r._replace(**dict(zip(present, leaves, strict=True)))


def inputs(
    cell: str, size: str, reverse: bool = False, products: bool = True, biased: bool = True, options: tuple[str, ...] = ()
) -> Recurrence:
    """Random, NaN nowhere (the layer has tidied), zero beyond the lengths; `products=False`: the gates' inputs ready-made, no `w_x`."""
    batch, frames, channels, units, lengths = SIZES[size]
    generator = torch.Generator().manual_seed(11)

    def make(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    equations = reference.CELLS[cell]
    gates = len(equations.gates) * units
    counts = None if lengths is None else torch.tensor(lengths)
    space = {"conv1": (4,), "conv2": (3, 2)}.get(options[0] if options else "", ())
    products = products and not space
    width = 2 if "proj" in options else units
    x = make(batch, frames, *space, channels if products else gates)
    if counts is not None:
        x = torch.where((torch.arange(frames) < counts[:, None]).reshape(batch, frames, *(1,) * (x.dim() - 2)), x, 0.0)
    kernel = {"conv1": (3,), "conv2": (2, 3)}.get(options[0] if options else "", ())
    total = width + (units if len(equations.states) == 2 else 0)
    made = Recurrence(
        cell,
        x,
        counts,
        make(gates, channels) if products else None,
        make(units) if "vector" in options else make(gates, width, *kernel) / units**0.5,
        make(gates) if biased else None,
        make(batch, *space, total),
        make(units) if biased and cell == "gru" else None,
        make(len(equations.gates) - 1, *space, units) if "peep" in options else None,
        make(width, units) if "proj" in options else None,
        make(batch, width) if "drop" in options else None,
        torch.rand(batch, frames, total, generator=generator, dtype=torch.float64) if "zone" in options else None,
        reverse,
    )
    for leaf in leaves_of(made):
        leaf.requires_grad_()
    return made


def detached(r: Recurrence) -> Recurrence:
    return having(r, (t.detach() for t in leaves_of(r)))


def backward_arguments(given: Recurrence) -> tuple[object, ...]:
    y, final, saved = torch.ops.convrnn.recur.default(*given, True)
    wanted = [getattr(given, name) is not None and name in TENSORS for name in Recurrence._fields]
    return (*given, y, saved, torch.ones_like(y), torch.ones_like(final), wanted)


def gradients(outputs: tuple[Tensor, Tensor], given: Recurrence) -> list[Tensor]:
    generator = torch.Generator().manual_seed(12)
    loss = torch.stack([(y * torch.randn(y.shape, generator=generator, dtype=y.dtype)).sum() for y in outputs]).sum()
    leaves = [leaf for leaf in leaves_of(given) if leaf.requires_grad]
    return list(torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True))


def compare(got: tuple[Tensor, Tensor], want: tuple[Tensor, Tensor], given: Recurrence) -> None:
    for a, b in zip((*got, *gradients(got, given)), (*want, *gradients(want, given)), strict=True):
        assert a.shape == b.shape
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize(("cell", "size"), [pair for pair in product(CELLS, SIZES) if pair[1] != "long" or pair[0] in ("gru", "lstm")])
def test_fast_equals_reference(cell: str, size: str, reverse: bool, route: str) -> None:
    """Values, final state and the gradient of every input, with every combination of optional weights."""
    for products, biased in product((True, False), (True, False)):
        given = inputs(cell, size, reverse, products, biased)
        compare(dispatch.recur(given), reference.recur(given), given)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("size", FEW)
@pytest.mark.parametrize("option", OPTIONS)
def test_options_equal_reference(option: str, size: str, reverse: bool, route: str) -> None:
    """With gradients of the masks, which only the reference gives, and without."""
    cell, *options = OPTIONS[option]
    given = inputs(cell, size, reverse, options=tuple(options))
    compare(dispatch.recur(given), reference.recur(given), given)
    for mask in (given.drop, given.zone):
        if mask is not None:
            mask.requires_grad_(False)
    compare(dispatch.recur(given), reference.recur(given), given)


# Torch traces each of them anew, half a second: everything on ragged rows, one option at every size, the rest with --full.
SCANS = [
    pytest.param(option, size, reverse, marks=[] if (size == "ragged" and not reverse) or option == "all" else pytest.mark.full)
    for option, size, reverse in product([*OPTIONS, *CELLS], ["plain", "ragged", "no-frames-ragged"], [False, True])
]


@pytest.mark.parametrize(("option", "size", "reverse"), SCANS)
def test_the_scan_equals_the_reference(option: str, size: str, reverse: bool) -> None:
    """What exporters see in place of the operator."""
    # What torch keeps of other sizes would have it trace unknown ones, several times as long.
    torch.compiler.reset()
    cell, *options = OPTIONS.get(option, (option,))
    given = detached(inputs(cell, size, reverse, products=False, options=tuple(options)))
    for a, b in zip(scanned.recur(given), reference.recur(given), strict=True):
        assert a.shape == b.shape
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("option", OPTIONS)
def test_the_trace_names_what_the_step_names(option: str) -> None:
    cell, *options = OPTIONS[option]
    given = inputs(cell, "ragged", reverse=True, options=tuple(options))
    values, last = reference.trace(given)
    y, final = reference.recur(given)
    assert set(values) >= {*reference.CELLS[cell].gates, *reference.CELLS[cell].states}
    assert torch.equal(values["h"], y) and torch.equal(last, final)
    nothing, last = reference.trace(detached(inputs(cell, "no-frames-ragged", options=tuple(options))))
    assert set(nothing) == set(values) and all(value.shape[1] == 0 for value in nothing.values())


@pytest.mark.parametrize("option", ["all", "conv-2d"])
def test_the_operator_with_options_is_sound(option: str) -> None:
    cell, *options = OPTIONS[option]
    given = inputs(cell, "ragged", options=tuple(options))
    torch.library.opcheck(torch.ops.convrnn.recur.default, (*given, True))
    torch.library.opcheck(torch.ops.convrnn.recur_backward.default, backward_arguments(detached(given)))


@pytest.mark.parametrize("cell", CELLS)
def test_the_state_of_an_empty_row_is_the_one_it_came_with(cell: str) -> None:
    given = inputs(cell, "ragged")
    y, final = dispatch.recur(given)
    assert torch.equal(final[1], given.state[1])
    assert not y[1].any() and not y[2, 3:].any()


# Half a second each: one cell at every size and every cell at one, the rest with --full.
OPERATORS = [
    pytest.param(cell, size, marks=[] if cell == "gru" or size == "ragged" else pytest.mark.full, id=f"{cell}-{size}")
    for cell, size in product(CELLS, SIZES)
]


@pytest.mark.parametrize(("cell", "size"), OPERATORS)
def test_the_operator_is_sound(cell: str, size: str, route: str) -> None:
    """Schema, fake tensors, autograd registration, aliasing and AOT dispatch, as `torch.library.opcheck` tells."""
    given = inputs(cell, size)
    torch.library.opcheck(torch.ops.convrnn.recur.default, (*given, True))
    torch.library.opcheck(torch.ops.convrnn.recur.default, (*detached(given), False))


@pytest.mark.parametrize(("cell", "size"), OPERATORS)
def test_the_backward_operator_is_sound(cell: str, size: str, route: str) -> None:
    torch.library.opcheck(torch.ops.convrnn.recur_backward.default, backward_arguments(detached(inputs(cell, size, reverse=True))))


@pytest.mark.parametrize("cell", CELLS)
def test_gradcheck(cell: str, route: str) -> None:
    given = inputs(cell, "ragged")

    def answer(*leaves: Tensor) -> tuple[Tensor, Tensor]:
        return dispatch.recur(having(given, leaves))

    assert torch.autograd.gradcheck(answer, leaves_of(given), fast_mode=True)


def test_a_second_derivative_names_the_way_out() -> None:
    given = inputs("gru", "plain")
    y, _ = dispatch.recur(given)
    (first,) = torch.autograd.grad(y.square().sum(), given.x, create_graph=True)
    with pytest.raises(UsageError) as raised:
        torch.autograd.grad(first.sum(), given.x)
    assert str(raised.value) == "convrnn::recur: the fast recurrences have no second derivative; compute it inside kernels.use('reference')"


@pytest.mark.parametrize("cell", CELLS)
def test_the_reference_can_be_derived_twice(cell: str) -> None:
    given = inputs(cell, "plain")
    with dispatch.use("reference"):
        y, _ = dispatch.recur(given)
    (first,) = torch.autograd.grad(y.square().sum(), given.w_h, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), given.state)
    assert bool(second.any())


def test_use_is_undone_and_checks_its_name() -> None:
    with pytest.raises(UsageError) as raised, dispatch.use("cuda"):  # pyright: ignore[reportArgumentType]  (what a user may type)
        pass
    assert str(raised.value) == "kernels.use: expected 'fast', 'reference' or 'onnx', got 'cuda'"
    given = inputs("gru", "plain")
    with dispatch.use("reference"):
        pass
    assert dispatch.recur(given)[0].grad_fn is not None
    assert "recur" in type(dispatch.recur(given)[0].grad_fn).__name__.lower()


@pytest.mark.parametrize("backend", ["fast", "reference"])
@pytest.mark.parametrize("cell", CELLS)
def test_autocast_runs_in_float32(cell: str, backend: dispatch.Backend) -> None:
    """Gates saturate in half precision: the answer is that of float32, to its last bit."""
    with dispatch.use(backend):
        check_autocast(cell)


def check_autocast(cell: str) -> None:
    given = inputs(cell, "ragged")
    given = having(given, (t.detach().float() for t in leaves_of(given)))
    want = dispatch.recur(given)
    half = given._replace(x=given.x.bfloat16())
    exact = dispatch.recur(given._replace(x=half.x.float()))
    with torch.autocast("cpu", torch.bfloat16):
        got, rounded = dispatch.recur(given), dispatch.recur(half)
    for a, b in zip((*got, *rounded), (*want, *exact), strict=True):
        assert a.dtype == torch.float32
        assert torch.equal(a, b)


def test_frames_that_no_row_has_are_zero_in_what_is_kept(route: str) -> None:
    """In the loops the weight gradient is a product over all frames, and `torch.empty` could hold NaN; and outputs are always the same."""
    given = inputs("lstm", "ragged")
    y, _, saved = torch.ops.convrnn.recur.default(*given, True)
    frames_of_second, beyond_of_last = (saved[1], saved[3, 1:]) if route == "require" else (saved[:, 1], saved[3:, 1:])
    assert saved.shape == ((4, 7, 5, 16) if route == "require" else (7, 4, 25))
    assert not beyond_of_last.any() and not y[1].any()
    assert route == "off" or not frames_of_second.any()


@pytest.mark.parametrize("cell", CELLS)
def test_compile_sees_one_node(cell: str) -> None:
    """No graph break, and the gradients of the eager operator."""
    given = inputs(cell, "ragged")
    compiled = torch.compile(dispatch.recur, backend="aot_eager", fullgraph=True)
    got, want = compiled(given), dispatch.recur(given)
    for a, b in zip((*got, *gradients(got, given)), (*want, *gradients(want, given)), strict=True):
        assert torch.equal(a, b)
