"""Hand-written forward and backward of the recurrences: a loop over time, a product and a step each; a row pays for its own length only.

What the operators of `dispatch.py` run where `compiled.py` does not serve: over space, where the product is a convolution (`pictures.py`
takes the windows that it knows), and everything where there is no compiled module or no CPU. Rows are sorted by length once, so that the
rows still alive at a frame are a prefix: no packing, no masks in the loop. Of the products only what must wait for the state is in the
loop; the weights' gradient is one product over all frames. Knows no equation (`steps.py`).

Shapes: B rows, T frames, *space, H units, G = gates x H, K saved values a frame; time first inside.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from convrnn.kernels import pictures
from convrnn.kernels.products import Product, input_gradients, product_of
from convrnn.kernels.reference import Recurrence
from convrnn.kernels.steps import TORCH, Fixed, Pair, Steps, TwoProducts, steps_of


class Plan(NamedTuple):
    """Which rows are alive at which frame, in the order of the recurrence."""

    rows: Tensor | None
    back: Tensor | None
    steps: list[tuple[int, int]]


def plan(batch: int, frames: int, lengths: Tensor | None, reverse: bool) -> Plan:
    """Rows by falling length, their places, and `(frame, rows alive)` in the order of the recurrence."""
    times = range(frames - 1, -1, -1) if reverse else range(frames)
    if lengths is None:
        return Plan(None, None, [(t, batch) for t in times])
    rows = torch.argsort(lengths, descending=True, stable=True)
    alive = torch.bincount(lengths.clamp(max=frames).cpu(), minlength=frames + 1).flip(0).cumsum(0).flip(0)[1:].tolist()
    return Plan(rows, torch.argsort(rows), [(t, alive[t]) for t in times if alive[t]])


def _products(r: Recurrence, steps: Steps) -> tuple[Product, Product | None]:
    """That of the gates, and of a cell whose candidate sees r h a second one."""
    of_first = steps.first * _units(r)
    return product_of(r.w_h[:of_first]), product_of(r.w_h[of_first:]) if isinstance(steps, TwoProducts) else None


def _units(r: Recurrence) -> int:
    return r.w_h.shape[0] // TORCH[r.cell].gates


def serves(r: Recurrence) -> bool:
    """Whether this recurrence is known here: a cell, a product, and peepholes at most."""
    return r.cell in TORCH and r.w_h.dim() >= 2 and r.proj is None and r.drop is None and r.zone is None


def saved_shape(r: Recurrence) -> tuple[int, ...]:
    """Of what backward needs besides y."""
    if pictures.serves(r):
        return pictures.saved_shape(r)
    return r.x.shape[1], r.x.shape[0], *r.state.shape[1:-1], TORCH[r.cell].saved * _units(r)


def _flat(values: Tensor) -> Tensor:
    """One row a position."""
    return values.reshape(-1, values.shape[-1])


def _fixed(r: Recurrence) -> Fixed:
    return Fixed(r.b_h, None if r.peep is None else r.peep.flatten(1, -2) if r.peep.dim() > 2 else r.peep[:, None])


def forward(r: Recurrence, save: bool) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.recur`, and what backward needs (empty unless `save`), in the order of the plan."""
    if pictures.serves(r):
        return pictures.forward(r, save)
    steps, fixed, units = steps_of(r.cell, r.x), _fixed(r), _units(r)
    first, second = _products(r, steps)
    batch, frames = r.x.shape[:2]
    order = plan(batch, frames, r.lengths, r.reverse)
    # Fresh: a step may leave something in it.
    gates_TB = _sorted(r.input_part(), order.rows).transpose(0, 1).clone(memory_format=torch.contiguous_format)
    now = [part.contiguous() for part in _sorted(r.state, order.rows).split(units, dim=-1)]
    # Frames of no row are read by the products over all frames, so they hold zeros.
    make = r.x.new_empty if r.lengths is None else r.x.new_zeros
    y_TB = make(frames, batch, *r.state.shape[1:-1], units)
    saved_TB = make(saved_shape(r)) if save else r.x.new_empty(0)
    for t, alive in order.steps:
        old = _pair([_flat(part[:alive]) for part in now])
        gates, slot = _flat(gates_TB[t, :alive]), _flat(saved_TB[t, :alive]) if save and steps.saved else None
        sums = _flat(first(now[0][:alive]))
        if isinstance(steps, TwoProducts) and second is not None:
            sums = _flat(second(steps.reset(gates, sums, old[0], slot).view_as(now[0][:alive])))
        new = [part.view_as(now[0][:alive]) for part in steps.forward(gates, sums, old, fixed, slot) if part is not None]
        y_TB[t, :alive] = new[0]
        now = new if alive == batch else [torch.cat([n, s[alive:]]) for n, s in zip(new, now, strict=True)]
    final = _sorted(torch.cat(now, -1), order.back)
    return _sorted(y_TB.transpose(0, 1), order.back).contiguous(), final, saved_TB


def backward(r: Recurrence, y: Tensor, saved_TB: Tensor, dy: Tensor, dfinal: Tensor, names: list[str]) -> dict[str, Tensor]:
    """Gradients of the inputs named, and perhaps of others that are there."""
    if pictures.serves(r):
        return pictures.backward(r, y, saved_TB, dy, dfinal, names)
    steps, fixed, units = steps_of(r.cell, r.x), _fixed(r), _units(r)
    first, second = _products(r, steps)
    batch, frames = y.shape[:2]
    order = plan(batch, frames, r.lengths, r.reverse)
    begin = [part.contiguous() for part in _sorted(r.state, order.rows).split(units, dim=-1)]
    y_TB, dy_TB = (_sorted(v, order.rows).transpose(0, 1).contiguous() for v in (y, dy))
    dnow = [part.clone(memory_format=torch.contiguous_format) for part in _sorted(dfinal, order.rows).split(units, dim=-1)]
    old_TB = _before(y_TB, begin[0], order.steps)
    old_c_TB = _before(saved_TB[..., -units:], begin[1], order.steps) if len(begin) == 2 else None
    dgates_TB = y.new_zeros(frames, batch, *y.shape[2:-1], steps.gates * units)
    dsums_TB = torch.zeros_like(dgates_TB) if steps.apart else dgates_TB
    for t, alive in reversed(order.steps):
        like = dnow[0][:alive]
        like += dy_TB[t, :alive]
        old = _flat(old_TB[t, :alive]), None if old_c_TB is None else _flat(old_c_TB[t, :alive])
        slot = _flat(saved_TB[t, :alive]) if steps.saved else saved_TB
        dgates, dsums = dgates_TB[t, :alive], dsums_TB[t, :alive]
        rows = _pair([_flat(part[:alive]) for part in dnow])
        new = steps.back(rows, _flat(y_TB[t, :alive]), old, fixed, slot, _flat(dgates), _flat(dsums))
        through = 0
        if isinstance(steps, TwoProducts) and second is not None:
            d_product = _flat(second.back(dgates[..., 2 * units :].contiguous())).contiguous()
            through = steps.back_reset(d_product, old[0], slot, _flat(dgates)).view_as(like)
            dsums = dgates[..., : 2 * units].contiguous()
        new_h = new[0].view_as(like) + first.back(dsums) + through
        dnow[0][:alive] = new_h
        if new[1] is not None:
            dnow[1][:alive] = new[1].view_as(like)
    found = {"state": _sorted(torch.cat(dnow, -1), order.back), "w_h": _weight_gradient(first, second, dsums_TB, old_TB, saved_TB)}
    if r.peep is not None:
        assert old_c_TB is not None
        found["peep"] = _peephole_gradient(r, dgates_TB, old_c_TB, saved_TB[..., -units:])
    if r.b_h is not None:
        found["b_h"] = _flat(dsums_TB)[:, 2 * units :].sum(0)
    return found | input_gradients(r, _sorted(dgates_TB.transpose(0, 1), order.back).contiguous())


def _weight_gradient(first: Product, second: Product | None, dsums_TB: Tensor, old_TB: Tensor, saved_TB: Tensor) -> Tensor:
    if second is None:
        return first.gradient(dsums_TB, old_TB)
    units = old_TB.shape[-1]
    seen_TB = saved_TB[..., :units] * old_TB  # the candidate saw r h, not h
    by_gate = dsums_TB.split([2 * units, units], dim=-1)
    return torch.cat([first.gradient(by_gate[0].contiguous(), old_TB), second.gradient(by_gate[1].contiguous(), seen_TB)])


def _peephole_gradient(r: Recurrence, dgates_TB: Tensor, old_c_TB: Tensor, c_TB: Tensor) -> Tensor:
    """i and f see the old c, o the new one."""
    by_gate = dgates_TB.chunk(TORCH[r.cell].gates, -1)
    inner = by_gate[:2] if r.cell == "lstm" else by_gate[:1]
    assert r.peep is not None
    dims = [i for i in range(dgates_TB.dim() - 1) if r.peep.dim() == 2 or i < 2]
    return torch.stack([*((d * old_c_TB).sum(dims) for d in inner), (by_gate[-1] * c_TB).sum(dims)])


def _pair(parts: list[Tensor]) -> Pair:
    return parts[0], parts[1] if len(parts) == 2 else None


def _before(values_TB: Tensor, first: Tensor, steps: list[tuple[int, int]]) -> Tensor:
    """At each frame the value one step earlier in the order of the recurrence, `first` where a row begins; zero where no row is."""
    out = values_TB.new_zeros(values_TB.shape)
    previous, alive_before = -1, 0
    for t, alive in steps:
        if previous >= 0:
            shared = min(alive, alive_before)
            out[t, :shared] = values_TB[previous, :shared]
        if alive > alive_before:
            out[t, alive_before:alive] = first[alive_before:alive]
        previous, alive_before = t, alive
    return out


def _sorted(values: Tensor, rows: Tensor | None) -> Tensor:
    return values if rows is None else values.index_select(0, rows)
