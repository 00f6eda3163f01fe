"""Section 1: training against torch.nn, full rows against its dense layers, ragged ones against its packed. Knows no clock.

Legend: B rows, T frames, C channels, H units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import steps
import torch
from contest import Asked, Bout, Case, Sizes, lengths_of, values_of
from peers import plain_torch

from convrnn.layers.base import Layer, Spec
from convrnn.layers.recurrent import GRU, LSTM, RNN

CELLS = ("gru", "lstm", "rnn", "gru-before")

GRID: tuple[Sizes, ...] = (
    (32, 128, 64, 128),
    (64, 100, 128, 256),
    (16, 500, 64, 64),
    (1, 128, 64, 128),
    (128, 50, 32, 32),
    (32, 200, 128, 512),
    (8, 1000, 40, 96),
    (3, 77, 33, 50),
)
"""(B, T, in, H)."""

TINY: tuple[Sizes, ...] = ((2, 12, 5, 7), (1, 9, 3, 16))
"""For a run that only shows that all of it works."""

GATES = {"rnn": 1, "gru": 3, "gru-before": 3, "lstm": 4}


def spec_of(cell: str, units: int, directions: int) -> Spec:
    """A recurrence by the name it has in the tables."""
    both = directions == 2
    match cell:
        case "rnn":
            return RNN(units, bidirectional=both)
        case "lstm":
            return LSTM(units, bidirectional=both)
        case "gru-before":
            return GRU(units, reset="before", bidirectional=both)
        case _:
            return GRU(units, bidirectional=both)


def built(cell: str, sizes: Sizes, directions: int) -> Layer:
    """The same weights each time."""
    torch.manual_seed(0)
    return spec_of(cell, sizes[3], directions).build(sizes[2])


def operations(cell: str, sizes: Sizes, directions: int, ragged: bool, train: bool) -> float:
    """2 x valid frames x gates x H x (in + H) a direction; three times that for a training step."""
    rows, frames, channels, units = sizes
    valid = int(lengths_of(rows, frames, ragged).sum())
    return 2.0 * valid * GATES[cell] * units * (channels + units) * directions * (3 if train else 1)


_TORCH: dict[bool, tuple[str, Callable[[Layer], steps.Peer]]] = {
    False: ("torch.nn", plain_torch.dense),
    True: ("packed torch.nn", plain_torch.packed),
}


def cases(asked: Asked) -> Iterator[Case]:
    """`gru-before`, which torch.nn does not have, against a loop."""
    for cell, ragged, directions in product(asked.cells_of(CELLS), (False, True), (1, 2)):
        if cell == "gru-before" and (ragged or directions == 2):
            continue
        rival, peer = ("torch loop", plain_torch.loop) if cell == "gru-before" else _TORCH[ragged]
        for sizes in asked.shapes_of(GRID, TINY):
            yield Case(1, cell, "train", rival, sizes, directions, ragged, _against(cell, sizes, directions, ragged, peer))


def _against(cell: str, sizes: Sizes, directions: int, ragged: bool, peer: Callable[[Layer], steps.Peer]) -> Callable[[], Bout]:
    def begin() -> Bout:
        net = built(cell, sizes, directions)
        return steps.training_bout(net, peer(net), values_of(*sizes[:3]), lengths_of(sizes[0], sizes[1], ragged))

    return begin
