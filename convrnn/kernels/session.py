"""The recurrences of a live session, a few frames at a time, again and again with the same weights. Knows no layer.

For whole rows it is nothing beside the recurrence to pack the weights and to look at every tensor; for one frame it takes longer than the
frame. So a session packs the weights once, and what was found out about a call holds for the next one like it.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import Any

import torch
from torch import Tensor, nn

from convrnn.kernels import compiled
from convrnn.kernels.reference import Recurrence

_session: ContextVar[Session | None] = ContextVar("convrnn_session", default=None)


class Session:
    """The calls made so far; one that is like one before takes the short way. Many threads may have part in a session.

    A change of weights is noticed as far as torch counts it; what is written through `.data` it does not count.
    """

    def __init__(self) -> None:
        self._known: dict[int, _Call] = {}

    def recur(self, r: Recurrence) -> tuple[Tensor, Tensor] | None:
        """As `compiled.forward` without anything for a gradient, y and the state; None: not a call that can be kept."""
        call = self._known.get(id(r.w_h))
        if call is None or not call.fits(r):
            if not _can_be_kept(r):
                return None
            call = self._known[id(r.w_h)] = _Call(r, call)
        return call(r)


class Inside:
    """A context manager: calls inside, on this thread, are part of the session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._tokens: list[Token[Session | None]] = []

    def __enter__(self) -> None:
        self._tokens.append(_session.set(self._session))

    def __exit__(self, *error: object) -> None:
        _session.reset(self._tokens.pop())


def current() -> Session | None:
    """The session that this call is part of."""
    return _session.get()


def _can_be_kept(r: Recurrence) -> bool:
    """Full chunks without masks, of weights that are parameters: what is computed anew for each call may be another at the same address,
    and what inference made has no version."""
    whole = r.lengths is None and r.drop is None and r.zone is None
    parameters = all(type(each) is nn.Parameter and each.is_contiguous() and not each.is_inference() for each in _weights(r))
    return whole and parameters and compiled.serves(r)


def _weights(r: Recurrence) -> list[Tensor]:
    """All that there are."""
    return [each for each in (r.w_x, r.w_h, r.b, r.b_h, r.peep, r.proj) if each is not None]


def _sameness(r: Recurrence) -> tuple[object, ...]:
    """All but the numbers of x and the state: what these two are like, and which objects the other fields are."""
    x, state = r.x, r.state
    return r.cell, x.shape, x.dtype, x.device, state.shape, state.dtype, *map(id, r[2:6]), *map(id, r[7:])


class _Call:
    """A call with these weights, as it was made first. The weights are held, so that no other tensor can come to lie at their addresses."""

    def __init__(self, r: Recurrence, before: _Call | None) -> None:
        self.weights, self.same = _weights(r), _sameness(r)
        self.stamp = self._stamp()
        self.record: Any = compiled.record(r)
        self.shape = (*r.x.shape[:2], r.width)
        self.packed = _Packed(compiled.packed_bytes(self.record))
        if before is not None and before.stamp == self.stamp:
            # Chunks of another size.
            self.packed = before.packed

    def _stamp(self) -> list[tuple[int, int]]:
        return [(each.data_ptr(), each._version) for each in self.weights]

    def fits(self, r: Recurrence) -> bool:
        """Whether this one differs in nothing but the numbers of x and the state."""
        return _sameness(r) == self.same and self._stamp() == self.stamp

    def __call__(self, r: Recurrence) -> tuple[Tensor, Tensor]:
        x, state, packed = r.x.contiguous(), r.state.contiguous(), self.packed
        y, final = x.new_empty(self.shape), torch.empty_like(state)
        where = x.data_ptr(), state.data_ptr(), y.data_ptr(), final.data_ptr()
        self.record.again(*where, packed.address, packed.filled, torch.get_num_threads())
        packed.filled = True
        return y, final


class _Packed:
    """Room for weights as the C++ reads them, on a cache line."""

    def __init__(self, size: int) -> None:
        self.room = torch.empty(size + 64, dtype=torch.uint8)
        self.address = (self.room.data_ptr() + 63) // 64 * 64
        self.filled = False
