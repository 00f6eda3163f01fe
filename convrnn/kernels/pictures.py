"""The recurrences over pictures in C++ (csrc/pictures.h): what they serve, and how tensors get there. Knows no equation.

They know one window, of 3 x 3 positions, over the state and over the input; another one over the input is torch's, and the gates' part that
it gives goes over ready-made. Everything that the C++ would have to believe is checked or made true here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from convrnn.kernels import native
from convrnn.kernels.compiled import CELLS
from convrnn.kernels.products import input_gradients
from convrnn.kernels.reference import Recurrence

GRADIENTS = ("x", "w_x", "w_h", "b", "state", "b_h", "peep")
"""In the order of csrc/pictures.h."""

_WINDOW = (3, 3)
_SAVED = {"lstm": 5, "lstm_coupled": 4, "gru": 4, "ligru": 2, "rnn_tanh": 0, "rnn_relu": 0}


def serves(r: Recurrence) -> bool:
    """Whether the compiled recurrences over pictures know this one and are there: one product a step, of 3 x 3 positions."""
    if r.x.device.type != "cpu" or r.x.dtype not in (torch.float32, torch.float64) or r.cell not in _SAVED:
        return False
    if any(isinstance(t, Tensor) and t.dtype != r.x.dtype for t in r if t is not r.lengths):
        return False
    plain = r.proj is None and r.drop is None and r.zone is None and (r.peep is None or r.peep.dim() == 4)
    return plain and r.w_h.shape[2:] == _WINDOW and native.available()


def saved_shape(r: Recurrence) -> tuple[int, ...]:
    """Of what backward needs besides y."""
    return *r.x.shape[:2], *r.state.shape[1:-1], _SAVED[r.cell], (r.width + 15) // 16 * 16


def forward(r: Recurrence, save: bool) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.recur`, and what backward needs (empty unless `save`)."""
    seen = _seen(r)
    y = r.x.new_empty(*r.x.shape[:2], *r.state.shape[1:-1], r.width)
    final = torch.empty_like(r.state, memory_format=torch.contiguous_format)
    saved = r.x.new_empty(saved_shape(r) if save else (0,))
    _module().pictures_forward(*_record(seen), [each.data_ptr() for each in (y, final, saved)])
    return y, final, saved


def backward(r: Recurrence, y: Tensor, saved: Tensor, dy: Tensor, dfinal: Tensor, names: list[str]) -> dict[str, Tensor]:
    """The gradients of the inputs named, which are among `GRADIENTS`."""
    seen = _seen(r)
    dy, dfinal = _dense_frames(dy), dfinal.contiguous()
    ready_made = seen.w_x is None and r.w_x is not None
    mine = [name for name in names if getattr(seen, name) is not None]
    if ready_made and "x" not in mine:
        mine.append("x")
    found = {name: torch.empty(getattr(seen, name).shape, dtype=r.x.dtype) for name in mine}
    targets = [found[name].data_ptr() if name in found else 0 for name in GRADIENTS]
    given = [each.data_ptr() for each in (y, saved, dy, dfinal)]
    _module().pictures_backward(*_record(seen), given, dy.stride(0), dy.stride(1), targets)
    return found | input_gradients(r, found["x"]) if ready_made else found


def _module() -> Any:
    module = native.compiled()
    assert module is not None, "serves() was asked"
    return module


def _seen(r: Recurrence) -> Recurrence:
    """With the input's part of the gates ready-made where its window is not the one known."""
    if r.w_x is not None and r.w_x.shape[2:] != _WINDOW:
        r = r._replace(x=r.input_part(), w_x=None, b=None)
    dense = Recurrence._make(each.contiguous() if isinstance(each, Tensor) and each is not r.x else each for each in r)
    return dense._replace(x=_dense_frames(r.x))


def _dense_frames(values: Tensor) -> Tensor:
    """`[B, T, ...]` whose frames are dense, however far they are apart."""
    sizes, expected = values.shape[2:], 1
    for size, stride in zip(reversed(sizes), reversed(values.stride()[2:]), strict=True):
        if size != 1 and stride != expected:
            return values.contiguous()
        expected *= size
    return values


def _record(r: Recurrence) -> tuple[Any, ...]:
    """In the order of csrc/bind_pictures.cpp."""
    batch, frames, height, width, channels = r.x.shape
    sizes = [batch, frames, height, width, channels, r.width, r.x.stride(0), r.x.stride(1)]
    given = [0 if each is None else each.data_ptr() for each in (r.x, r.lengths, r.w_x, r.w_h, r.b, r.state, r.b_h, r.peep)]
    return CELLS.index(r.cell), r.x.dtype == torch.float64, r.reverse, sizes, given, torch.get_num_threads()
