"""Where the seeds of a row come from when the row begins. Knows no mask, no layer.

Usually from torch's generator. But where every frame of a row is shown to a layer as a row of its own (`TimeDistributed`), its seed is a
function of the seed of the row and the number of the frame: so the masks do not depend on the chunk in which the frame came.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from convrnn.kernels.native import nth_seed


class _Given:
    """Seeds of N rows, from which all that are asked for are made."""

    def __init__(self, seeds_N: Tensor, shared_N: Tensor) -> None:
        self.seeds_N, self.shared_N, self.asked = seeds_N, shared_N, 0

    def next(self, shared: bool) -> Tensor:
        self.asked += 1
        seeds = self.shared_N if shared else self.seeds_N
        return nth_seed(seeds, torch.full_like(seeds, self.asked))


_GIVEN: ContextVar[_Given | None] = ContextVar("convrnn_given_seeds", default=None)


def fresh_seeds(batch: int, device: torch.device) -> Tensor:
    """int64 `[B]`: a seed for each row that begins, for masks of frames."""
    given = _GIVEN.get()
    return torch.randint(1 << 62, (batch,), dtype=torch.int64, device=device) if given is None else given.next(False)


def shared_seeds(batch: int, device: torch.device) -> Tensor:
    """int64 `[B]`: one and the same seed for all rows that begin together, for masks of weights."""
    given = _GIVEN.get()
    return torch.randint(1 << 62, (1,), dtype=torch.int64, device=device).expand(batch).clone() if given is None else given.next(True)


@contextmanager
def seeded_by(seeds_N: Tensor, shared_N: Tensor) -> Iterator[None]:
    """Within it all seeds of a batch of N rows are made from these, and from how many were asked for before."""
    token = _GIVEN.set(_Given(seeds_N, shared_N))
    try:
        yield
    finally:
        _GIVEN.reset(token)
