"""Weights as the C++ reads them, kept from call to call of a session. Knows no recurrence and no layer.

For whole rows packing is nothing beside the recurrence; for one frame of a live stream it takes longer than the frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class Pack:
    """Room for the weights of one recurrence.

    Attributes:
        weights: those that belong in it. Held, so that no other tensor can come to lie at their address.
        stamp: where they lie and how often they were changed.
        room: bytes.
        filled: whether they stand there.
    """

    weights: list[Tensor]
    stamp: list[tuple[int, int]]
    room: Tensor
    filled: bool = False

    @property
    def address(self) -> int:
        """Of a cache line."""
        return (self.room.data_ptr() + 63) // 64 * 64


class Packs:
    """The packs of a session.

    A pack is filled anew when torch knows of a change of its weights; what is written through `.data` torch is not told of, and it is not
    seen.
    """

    def __init__(self) -> None:
        self._kept: dict[int, Pack] = {}

    def of(self, weights: Sequence[Tensor | None], size: int) -> Pack | None:
        """That of these weights, which takes `size` bytes; None: theirs cannot be kept."""
        there = [each for each in weights if each is not None]
        # What is computed anew for each call may be something else at the same address; what inference made has no version.
        if not all(type(each) is nn.Parameter and not each.is_inference() for each in there):
            return None
        stamp = [(each.data_ptr(), each._version) for each in there]
        pack = self._kept.get(id(there[-1]))
        if pack is None or pack.stamp != stamp or any(a is not b for a, b in zip(pack.weights, there, strict=True)):
            pack = self._kept[id(there[-1])] = Pack(there, stamp, torch.empty(size + 64, dtype=torch.uint8))
        return pack


_packs: ContextVar[Packs | None] = ContextVar("convrnn_packs", default=None)


def current() -> Packs | None:
    """Those of the session that this call is part of."""
    return _packs.get()


@contextmanager
def keeping(packs: Packs) -> Iterator[None]:
    """Inside, recurrences keep their packed weights here."""
    token = _packs.set(packs)
    try:
        yield
    finally:
        _packs.reset(token)
