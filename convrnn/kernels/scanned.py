"""The recurrences as torch's `scan`, which exporters write as one ONNX `Scan` node. Knows the steps of `reference.py`, no equation.

For graphs only: eager, it is the slowest of all. ONNX Runtime refuses a Scan over no frames (1.22 to 1.26: "dim0_offset < dim0_size was
false"), and a streaming step must take a chunk of none, so one frame that belongs to no row is added behind the others.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch._higher_order_ops.scan import scan

from convrnn.kernels.reference import Recurrence, advance


def recur(r: Recurrence) -> tuple[Tensor, Tensor]:
    """As `reference.recur`."""
    gates = r.input_part()
    batch, frames = gates.shape[:2]
    place = torch.arange(frames + 1, device=gates.device)[:, None]
    valid = (place < (frames if r.lengths is None else r.lengths)).expand(frames + 1, batch)
    moving = [with_spare(gates), valid.reshape((frames + 1, batch) + (1,) * (r.state.dim() - 1))]
    still = r.zone[:, 0] if r.zone is not None and r.zone.shape[1] == 1 else None
    if r.zone is not None and still is None:
        moving.append(with_spare(r.zone))

    # The step may not hold `r`: torch refuses a step that closes over the state that it is given.
    equations, weights, drop, width = r.equations, r.weights, r.drop, r.width

    def step(before: list[Tensor], now: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        _, new = advance(equations, now[0], before[0], weights, drop, now[2] if len(now) > 2 else still)
        return [torch.where(now[1], new, before[0])], torch.where(now[1], new[..., :width], new.new_zeros(()))

    (final,), y = scan(step, [r.state], [each.flip(0) for each in moving] if r.reverse else moving)
    y = y.flip(0) if r.reverse else y
    return y[:frames].transpose(0, 1), final.clone()


def with_spare(values: Tensor) -> Tensor:
    """`[B, T, ...]` to `[T + 1, B, ...]`: time first, a frame of zeros at the end."""
    return torch.cat([values, values.new_zeros(values.shape[0], 1, *values.shape[2:])], 1).transpose(0, 1)
