"""Keep masks for dropout, compiled and in plain torch, and the choice between the two. Knows nothing of layers or sequences.

A mask is a function of the row's seed, the number of the frame and the channel, and of nothing else: not of the batch, the chunk, the
order of calls or the device. That is what lets dropout obey the streaming and batch laws in training mode. The hash is the mixing function
of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014, https://doi.org/10.1145/2660193.2660195).

The environment variable `CONVRNN_NATIVE` chooses: `auto` (the default: compiled if installed), `require` (an error if not), `off`.

Shape legend: B rows, T frames, C channels.
"""

from __future__ import annotations

import math
import os
from functools import cache
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor, nn
from torch._C import _functorch  # pyright: ignore[reportAttributeAccessIssue]  (without a stub)

from convrnn.core.errors import JobError, UsageError
from convrnn.core.language import tr

_MODULE = "convrnn.kernels._native"
_INTERFACE = 5
"""Of the functions that this version calls; see csrc/module.cpp."""
# The constants of SplitMix64, written as the int64 numbers torch computes with.
_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_FIRST = 0xBF58476D1CE4E5B9 - 2**64
_SECOND = 0x94D049BB133111EB - 2**64


def available() -> bool:
    """Whether the compiled kernels are installed, load and are not turned off.

    Raises:
        JobError: `CONVRNN_NATIVE=require` and they are not there.
        UsageError: `CONVRNN_NATIVE` is none of auto, require, off.
    """
    return compiled() is not None


def why_not() -> str:
    """One line on why the compiled kernels are not used; empty when they are.

    Raises:
        UsageError: `CONVRNN_NATIVE` is none of auto, require, off.
    """
    if _choice() == "off":
        return "CONVRNN_NATIVE=off"
    loaded = _load()
    return "" if isinstance(loaded, ModuleType) else f"{_MODULE} could not be loaded: {loaded}"


def keep_mask(seed: Tensor, clock: Tensor, frames: int, channels: int, keep: float, dtype: torch.dtype = torch.float32) -> Tensor:
    """Inverted-dropout mask: `1 / keep` where an entry is kept, else 0.

    Entry `[b, t, c]` is kept when the top 53 bits of a hash of (seed[b], clock[b] + t, c), read as a number in [0, 1), lie below `keep`;
    integer arithmetic is modulo 2^64. So a mask asked for in chunks, each with its clock, is the mask asked for at once.

    Args:
        seed: int64 `[B]`, any numbers; rows of equal seed have equal masks.
        clock: int64 `[B]`, number of each row's first frame.
        frames: T.
        channels: C.
        keep: probability that an entry is kept, 0 < keep <= 1.
        dtype: floating type of the mask; 16-bit types round `1 / keep` from float32.

    Returns:
        `[B, T, C]` on the device of `seed`, without gradient.

    Raises:
        ValueError: `keep` is outside (0, 1], or `dtype` is not floating.
    """
    if not 0.0 < keep <= 1.0:
        raise ValueError(f"keep: expected a probability in (0, 1], got {keep!r}")
    if not dtype.is_floating_point:
        raise ValueError(f"dtype: expected a floating type, got {dtype!r}")
    if seed.is_cuda:
        # Written out, so that a compiler can fuse the hash into the product that uses it.
        return keep_mask_reference(seed, clock, frames, channels, keep, dtype)
    return _keep_mask(seed, clock, frames, channels, keep, dtype)


def keep_mask_reference(seed: Tensor, clock: Tensor, frames: int, channels: int, keep: float, dtype: torch.dtype = torch.float32) -> Tensor:
    """`keep_mask` in plain torch operations, on any device; the same bits as the compiled one."""
    row_B = _mix(seed + _GOLDEN)
    frame_BT = clock[:, None] + torch.arange(frames, device=seed.device)
    state_BT = _mix(row_B[:, None] + frame_BT * _GOLDEN)
    channel_C = torch.arange(1, channels + 1, device=seed.device) * _GOLDEN
    top_BTC = _shift(_mix(state_BT[:, :, None] + channel_C), 11)
    kept, dropped = torch.tensor(1.0 / keep, dtype=dtype, device=seed.device), torch.zeros((), dtype=dtype, device=seed.device)
    return torch.where(top_BTC < _threshold(keep), kept, dropped)


def nth_seed(seed: Tensor, n: Tensor) -> Tensor:
    """The n-th number of SplitMix64 begun at `seed`, entry by entry, both int64: seeds as unlike as fresh ones."""
    return _mix(seed + n * _GOLDEN)


@torch.library.custom_op("convrnn::keep_mask", mutates_args=())
def _keep_mask(seed: Tensor, clock: Tensor, frames: int, channels: int, keep: float, dtype: torch.dtype) -> Tensor:
    """The operator that export and compile see as one node; chooses between compiled and reference when it runs."""
    module = compiled()
    if module is None or seed.device.type != "cpu":
        return keep_mask_reference(seed, clock, frames, channels, keep, dtype)
    out = torch.empty(seed.shape[0], frames, channels, dtype=torch.float64 if dtype == torch.float64 else torch.float32)
    module.keep_mask(seed.contiguous(), clock.contiguous(), _threshold(keep), 1.0 / keep, out)
    return out.to(dtype)


@_keep_mask.register_fake
def _(seed: Tensor, clock: Tensor, frames: int, channels: int, keep: float, dtype: torch.dtype) -> Tensor:
    return seed.new_empty((seed.shape[0], frames, channels), dtype=dtype)


def unwatched(like: Tensor) -> bool:
    """Whether only the numbers of tensors like this one are wanted: `plain`, and no gradient.

    Then a kernel is called without its operator, whose dispatch takes longer than the one frame of a live stream.
    """
    return not torch.is_grad_enabled() and plain(like)


def plain(like: Tensor) -> bool:
    """Whether tensors like this one are just that, and computed with as they are: `unseen`, and no autocast."""
    return unseen(like) and not torch._C._is_any_autocast_enabled()


def unseen(like: Tensor) -> bool:
    """Whether no trace, transform or mode sees the operators that take tensors like this one."""
    # First, for dynamo knows it and not the others.
    if torch.compiler.is_compiling():
        return False
    return (
        type(like) in (Tensor, nn.Parameter)
        and torch._C._get_tracing_state() is None
        and not torch._C._len_torch_dispatch_stack()
        and _functorch.peek_interpreter_stack() is None
    )


def _threshold(keep: float) -> int:
    """The integer n for which `x < n` equals `x / 2^53 < keep`, for every integer x."""
    return math.ceil(math.ldexp(keep, 53))


def _mix(z: Tensor) -> Tensor:
    """SplitMix64's bijection of the 64-bit integers; int64 products wrap."""
    z = (z ^ _shift(z, 30)) * _FIRST
    z = (z ^ _shift(z, 27)) * _SECOND
    return z ^ _shift(z, 31)


def _shift(z: Tensor, bits: int) -> Tensor:
    """Logical shift to the right: the arithmetic one, less the copies of the sign."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def _choice() -> str:
    choice = os.environ.get("CONVRNN_NATIVE", "auto")
    if choice not in ("auto", "require", "off"):
        raise UsageError(
            "CONVRNN_NATIVE", tr("expected auto, require or off, got {got!r}", got=choice), tr("unset it or set it to one of these")
        )
    return choice


@cache
def _load() -> ModuleType | str:
    """The compiled module, or why there is none. Looked for on first use, so that importing this file costs nothing."""
    try:
        module = import_module(_MODULE)
    except ImportError as error:
        return str(error)
    if vars(module).get("INTERFACE") != _INTERFACE:
        return "it was built from older sources, reinstall convrnn"
    return module


def compiled() -> ModuleType | None:
    """The compiled module, or None where it is not to be used; raises as `available`."""
    choice = _choice()
    if choice == "off":
        return None
    loaded = _load()
    if isinstance(loaded, ModuleType):
        return loaded
    if choice == "require":
        raise JobError(
            _MODULE,
            tr("required by CONVRNN_NATIVE but not loaded: {loaded}", loaded=loaded),
            tr("install a C++ compiler and reinstall convrnn"),
        )
    return None
