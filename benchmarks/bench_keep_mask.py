"""Dropout masks: the compiled counter-based one, its reference, and torch's generator, which knows neither rows nor frames."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from convrnn.api.timing import Call
from convrnn.kernels import native

KEEP = 0.8

Row = tuple[str, dict[str, Call]]
"""The work with its sizes, and its rivals."""


def rows() -> Iterator[Row]:
    for sizes in ((16, 1, 64), (16, 50, 64), (32, 200, 128)):
        yield row(*sizes)


def row(batch: int, frames: int, channels: int) -> Row:
    seed, clock = torch.arange(batch), torch.zeros(batch, dtype=torch.int64)
    return (
        f"B={batch} T={frames} C={channels}",
        {
            f"convrnn ({native.why_not() or 'compiled'})": lambda: native.keep_mask(seed, clock, frames, channels, KEEP),
            "reference": lambda: native.keep_mask_reference(seed, clock, frames, channels, KEEP),
            "torch bernoulli": lambda: torch.empty(batch, frames, channels).bernoulli_(KEEP).div_(KEEP),
        },
    )
