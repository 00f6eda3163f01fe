"""Where a training runs, how precisely, and from which random states. Knows no net."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from convrnn.core.errors import UsageError
from convrnn.core.language import tr

HALF = {"float32": None, "bf16": torch.bfloat16, "f16": torch.float16}
"""The type of matrix products inside autocast; None: no autocast."""


def device_of(wanted: str) -> torch.device:
    """The device for `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        UsageError: this machine has no such GPU.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise UsageError(
            "training.device", tr("{wanted!r} is not there: torch sees {count} GPU(s)", wanted=wanted, count=count), tr("use cpu or auto")
        )
    return device


def precision_of(wanted: str, device: torch.device) -> str:
    """`float32`, `bf16` or `f16` for `Settings.precision`.

    Raises:
        UsageError: f16 on a CPU, where torch computes few operations in it.
    """
    if wanted == "auto":
        return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if wanted == "f16" and device.type == "cpu":
        raise UsageError("training.precision", tr("f16 needs a GPU"), tr("use float32 or bf16"))
    return wanted


@contextmanager
def reproducible(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, torch's random states follow from the seed and cuDNN is deterministic; afterwards all is as it was.

    The number of threads stays as it is.
    """
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        cudnn.deterministic, cudnn.benchmark = True, False
        try:
            yield
        finally:
            cudnn.deterministic, cudnn.benchmark = before


def random_states(device: torch.device) -> dict[str, torch.Tensor]:
    """torch's random states: `cpu`, and `cuda` where the training runs on one."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_random_states(states: dict[str, torch.Tensor], device: torch.device) -> None:
    """The inverse of `random_states`."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
