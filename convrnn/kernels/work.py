"""How many products our own operators do, for `torch.utils.flop_counter`. Knows no layer and computes nothing.

Counted as torch counts its own: the terms of matrix products and convolutions, two operations each; what is done element by element is not.
Of our operators only the recurrence multiplies matrices; scans, CRF, CTC and masks work element by element.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from convrnn.kernels.reference import Recurrence


def register() -> None:
    """Tells torch's counter of the operators of `dispatch`, which must be there; once."""
    register_flop_formula(torch.ops.convrnn.recur, get_raw=True)(_recur)


def _recur(*inputs: Any, **rest: Any) -> int:
    """Every frame of every row: the input's part of the gates, that of the state, the projection."""
    r = Recurrence._make(inputs[: len(Recurrence._fields)])
    return 2 * prod(r.x.shape[:-1]) * sum(_terms(weight) for weight in (r.w_x, r.w_h, r.proj))


def _terms(weight: Tensor | None) -> int:
    """Products at one place: all of a matrix or of a window of convolution; none of what is element-wise."""
    return weight.numel() if weight is not None and weight.dim() > 1 else 0
