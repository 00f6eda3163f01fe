"""The one sequence type, and what is done to it everywhere. Knows nothing of layers.

Shape legend: B rows, T frames, *space 0 to 2 space dimensions, C channels.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

Count = TypeVar("Count", int, Tensor)
"""A number of frames: int, SymInt or an int64 tensor."""

State = tuple[Any, ...] | None
"""A nested plain tuple of tensors; None is the initial state."""


class Seq(NamedTuple):
    """A batch of sequences.

    Attributes:
        values: `[B, T, *space, C]`, or ids `[B, T]` before an embedding. What lies beyond a row's length is undefined.
        lengths: int64 `[B]`, valid frames of each row in 0..T; None: every row has T.
        clean: a static fact, the padding is zero.
    """

    values: Tensor
    lengths: Tensor | None = None
    clean: bool = False


class Ids(NamedTuple):
    """The input shape of symbols: ids in `0..size-1`, shape `[B, T]`."""

    size: int


Shape = tuple[int, ...]
"""What a frame looks like: `(*space, C)`."""


def frame_mask(frames: int, lengths: Tensor) -> Tensor:
    """Bool `[B, frames]`: True where a frame is valid."""
    return torch.arange(frames, device=lengths.device) < lengths[:, None]


def expand_mask(mask_BT: Tensor, values: Tensor) -> Tensor:
    """`[B, T]` with singleton dimensions appended up to the rank of `values`."""
    return mask_BT.reshape(mask_BT.shape + (1,) * (values.dim() - 2))


def tidy(x: Seq) -> Seq:
    """Zeroes the padding with a `where`, never a product, so that NaN there stays out of values and gradients.

    Costs nothing when `x.clean` or `x.lengths is None`.
    """
    if x.clean:
        return x
    if x.lengths is None:
        return Seq(x.values, None, True)
    mask = expand_mask(frame_mask(x.values.shape[1], x.lengths), x.values)
    return Seq(torch.where(mask, x.values, torch.zeros((), dtype=x.values.dtype, device=x.values.device)), x.lengths, True)


def row_lengths(x: Seq) -> Tensor:
    """int64 `[B]`: the lengths, spelled out when they are None."""
    if x.lengths is not None:
        return x.lengths
    return torch.full((x.values.shape[0],), x.values.shape[1], dtype=torch.int64, device=x.values.device)


def at_least(n: Count, floor: int) -> Count:
    """max(n, floor) for int, SymInt and tensor alike."""
    if isinstance(n, Tensor):
        return n.clamp(min=floor)
    return torch.sym_max(n, floor) if isinstance(n, torch.SymInt) else max(n, floor)  # pyright: ignore[reportReturnType]  (SymInt is an int)


def has_frames(n: int) -> bool:
    """Whether there are frames; never taken for granted in an exported graph, which serves chunks of none with the same nodes."""
    return not torch.compiler.is_exporting() and n > 0


def at_hand(values: Tensor) -> bool:
    """Whether numbers may be looked at to choose a shorter way: on the CPU, in no traced code, which would keep the choice, and where no
    gradient is wanted.
    """
    traced = torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
    return not torch.is_grad_enabled() and not traced and values.device.type == "cpu"


def ceil_div(n: Count, d: int) -> Count:
    """ceil(n / d) in integers."""
    return n if d == 1 else (n + d - 1) // d
