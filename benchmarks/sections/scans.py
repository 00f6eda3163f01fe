"""Section 4: `linear_scan` against the memory, minGRU against our GRU and against the scan by logarithms. Knows no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import steps
import torch
from contest import Asked, Bout, Case, Sizes, lengths_of, values_of
from peers.log_space import log_space_min_gru

from convrnn.api.machine import memory_limits
from convrnn.kernels.scan import linear_scan
from convrnn.layers.base import Layer
from convrnn.layers.scan import MinGRU
from sections.grid import TINY, built

CELLS = ("scan", "min-gru")

LONG: tuple[Sizes, ...] = ((16, 500, 64, 64), (8, 1000, 40, 96))

STREAMED: tuple[Sizes, ...] = ((32, 750, 256, 256), (8, 3000, 256, 256))
"""Of `linear_scan`: three arrays of 24 MiB each, more than the last cache holds together, and each small enough that the allocator gives
memory out again (glibc: up to 32 MiB) instead of asking the system for new pages, which costs as much as the scan."""


def cases(asked: Asked) -> Iterator[Case]:
    """Forward over full rows; training of whole layers, full and, against the GRU, ragged."""
    cells = asked.cells_of(CELLS)
    for sizes in asked.shapes_of(STREAMED, TINY) if "scan" in cells else ():
        yield Case(4, "scan", "infer", "memory", sizes, 1, False, _scanned(sizes))
    if "min-gru" not in cells:
        return
    shapes = asked.shapes_of(LONG, TINY)
    for ragged in (False, True):
        for sizes in shapes:
            yield Case(4, "min-gru", "train", "our GRU", sizes, 1, ragged, _against_gru(sizes, ragged))
    for sizes in shapes:
        yield Case(4, "min-gru", "train", "log-space scan", sizes, 1, False, _against_logarithms(sizes))


def _scanned(sizes: Sizes) -> Callable[[], Bout]:
    def begin() -> Bout:
        rows, frames, _, units = sizes
        a, b = torch.sigmoid(values_of(rows, frames, units)), values_of(rows, frames, units, seed=1)
        state = torch.zeros(rows, units)

        @torch.inference_mode()
        def scan() -> object:
            return linear_scan(a, b, None, state)

        # a and b read, h written.
        return Bout(scan, amount=3.0 * 4 * rows * frames * units, limits=memory_limits())

    return begin


def _min_gru(sizes: Sizes) -> Layer:
    torch.manual_seed(0)
    return MinGRU(sizes[3], candidate="g").build(sizes[2])


def _against_gru(sizes: Sizes, ragged: bool) -> Callable[[], Bout]:
    """Not the same answer, for it is another layer: nothing to compare."""

    def begin() -> Bout:
        x, lengths = values_of(*sizes[:3]), lengths_of(sizes[0], sizes[1], ragged)
        net, gru = _min_gru(sizes), built("gru", sizes, 1)
        ours, theirs = (steps.training(steps.ours(each), list(each.parameters()), x, lengths) for each in (net, gru))
        return Bout(ours, theirs)

    return begin


def _against_logarithms(sizes: Sizes) -> Callable[[], Bout]:
    """Compared in float64: in float32 the logarithms are sums over all frames before, and gradients come out wrong in the third digit."""

    def begin() -> Bout:
        net, x, lengths = _min_gru(sizes), values_of(*sizes[:3]), lengths_of(sizes[0], sizes[1], False)
        precise = _min_gru(sizes).double()
        difference = steps.trained_alike(precise, log_space_min_gru(precise), x.double(), lengths)
        return steps.training_bout(net, log_space_min_gru(net), x, lengths, difference)

    return begin
