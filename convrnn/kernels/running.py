"""The running maximum over time: torch's `cummax`, and for ONNX, which has no such operator, a scan. Knows no layer."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._higher_order_ops.scan import scan

from convrnn.kernels import dispatch


def running_max(values: Tensor) -> Tensor:
    """`[B, T, ...]`: the largest of the frames up to each, T at least 1; the gradient goes to one of them."""
    return running_max_scanned(values) if dispatch.chosen() == "onnx" else values.cummax(1).values


def running_max_scanned(values: Tensor) -> Tensor:
    """The same as one `scan` of torch, which ONNX writes as one Scan node, whatever T is. For export: see `running_max`."""

    def step(largest: Tensor, now: Tensor) -> tuple[Tensor, Tensor]:
        new = torch.maximum(largest, now)
        return new, new.clone()

    _, largest = scan(step, values[:, 0].contiguous(), values.transpose(0, 1))
    return largest.transpose(0, 1)
