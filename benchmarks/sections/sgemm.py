"""Section 2: how much of the machine's matrix speed is reached, forward and in training. Knows no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import steps
from contest import Asked, Bout, Case, Sizes, lengths_of, values_of

from convrnn.api.machine import matrix_limits
from sections.grid import GRID, TINY, built, operations

CELLS = ("gru", "lstm", "rnn")

LARGE = tuple(sizes for sizes in GRID if sizes[0] >= 32 and sizes[3] >= 128)
"""Where products are large enough to fill the cores."""


def cases(asked: Asked) -> Iterator[Case]:
    """Full and ragged, one direction and both; operations of valid frames only."""
    for cell, work, ragged, directions in product(asked.cells_of(CELLS), ("infer", "train"), (False, True), (1, 2)):
        for sizes in asked.shapes_of(LARGE, TINY):
            yield Case(2, cell, work, "sgemm", sizes, directions, ragged, _alone(cell, work, sizes, directions, ragged))


def _alone(cell: str, work: str, sizes: Sizes, directions: int, ragged: bool) -> Callable[[], Bout]:
    def begin() -> Bout:
        net, train = built(cell, sizes, directions), work == "train"
        x, lengths = values_of(*sizes[:3]), lengths_of(sizes[0], sizes[1], ragged)
        function = steps.ours(net.train(train))
        call = steps.training(function, list(net.parameters()), x, lengths) if train else steps.inference(function, x, lengths)
        return Bout(call, amount=operations(cell, sizes, directions, ragged, train), limits=matrix_limits())

    return begin
