"""Which loops compute the linear recurrences of given tensors: the C++ on the CPU, Triton on CUDA, or none. Knows no equation.

None is no error: then `scan.py` and `gated.py` compute in torch operations, in blocks.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Protocol, cast

import torch
from torch import Tensor

from convrnn.kernels import native, scan_compiled

_ON_CPU = (torch.float32, torch.float64)
_ON_CUDA = (*_ON_CPU, torch.float16, torch.bfloat16)


class Loops(Protocol):
    """What `scan_compiled` and `scan_triton` have; shapes and meaning stand there."""

    def forward(
        self, cell: str, gates: Tensor, apart: Tensor | None, lengths: Tensor | None, state: Tensor, reverse: bool, keep: bool
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """h, c where it is kept, and the last c."""
        ...

    def backward(
        self,
        cell: str,
        gates: Tensor,
        apart: Tensor | None,
        lengths: Tensor | None,
        state: Tensor,
        reverse: bool,
        memory: Tensor,
        dh: Tensor,
        dfinal: Tensor,
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """The gradients of `gates`, `apart` and `state`."""
        ...


def serving(gates: Tensor, apart: Tensor | None, lengths: Tensor | None, state: Tensor, operands: int) -> Loops | None:
    """The loops that take these; None where none is installed, or where dtypes or shapes are not as `scan_compiled` names them."""
    if not _fit(gates, apart, lengths, state, operands):
        return None
    if gates.is_cpu:
        return scan_compiled if gates.dtype in _ON_CPU and native.available() else None
    return _triton() if gates.is_cuda and gates.dtype in _ON_CUDA else None


def _fit(gates: Tensor, apart: Tensor | None, lengths: Tensor | None, state: Tensor, operands: int) -> bool:
    """Whether they are of one dtype and of these very shapes."""
    if gates.dim() != 3:
        return False
    batch, frames, width = gates.shape
    units = state.shape[-1]
    if state.shape != (batch, units) or state.dtype != gates.dtype or width != (operands - (apart is not None)) * units:
        return False
    if apart is not None and (apart.shape != (batch, frames, units) or apart.dtype != gates.dtype):
        return False
    return lengths is None or lengths.shape == (batch,)


@cache
def _triton() -> Loops | None:
    """Loaded when first asked for: `triton` comes with torch for CUDA on Linux and is no dependency."""
    try:
        return cast(Loops, import_module("convrnn.kernels.scan_triton"))
    except ImportError:
        return None
