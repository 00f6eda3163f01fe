"""The recurrences of a live session, a few frames at a time, again and again with the same weights. Knows no layer.

For whole rows it is nothing beside the recurrence to pack the weights and to look at every tensor; for one frame it takes longer than the
frame. So a session packs the weights once, runs all layers of a stack in one call, and takes what it found out about them as true until
the weights change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar, Token
from itertools import islice
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from convrnn.kernels import compiled
from convrnn.kernels.reference import Recurrence

_session: ContextVar[Session | None] = ContextVar("convrnn_session", default=None)

States = Sequence[tuple[Tensor, ...]]
"""Of each recurrence h, and c where the cell has one, `[B, P]` and `[B, H]`."""

Answer = tuple[Tensor, list[tuple[Tensor, ...]]]
"""h of the highest recurrence `[B, T, P]`, and the states of each after the last frame."""

Make = Callable[[Tensor, States], list[Recurrence] | None]
"""Of x and the states before it: recurrences one upon the other; None: something else stands between them."""


class Session:
    """What was made ready for the calls before. Many threads may have part in a session.

    A change of weights is noticed as far as torch counts it; what is written through `.data` it does not count.
    """

    def __init__(self) -> None:
        self._stacks: WeakKeyDictionary[nn.Module, _Stack] = WeakKeyDictionary()
        self._single: dict[int, _Stack] = {}

    def stack(self, owner: nn.Module, parts: Iterable[nn.Module], x: Tensor, states: States, make: Make) -> Answer | None:
        """All recurrences of `owner` over full chunks in one call; None: they cannot be kept, or x and the states do not fit them.

        Args:
            owner: who asks.
            parts: its modules whose own parameters are the weights.
            x: `[B, T, C]`.
            states: those before x.
            make: how the recurrences come about, asked when the weights are not those of the call before.
        """
        weights = [weight for part in parts for weight in part._parameters.values() if weight is not None]
        stamp, known = _stamp(weights), self._stacks.get(owner)
        if known is None or known.stamp != stamp:
            rs = make(x, states) or []
            if not all(map(_sizes_fit, rs)):
                return None
            known = self._stacks[owner] = _Stack(rs if all(map(_can_be_kept, rs)) else [], weights, stamp)
        return known.run(x, states)

    def recur(self, r: Recurrence) -> tuple[Tensor, Tensor] | None:
        """As `compiled.forward` without anything for a gradient, y and the state; None: not a call that can be kept."""
        if not (r.lengths is None and r.drop is None and r.zone is None):
            return None
        weights = _weights(r)
        stamp, known = (r.cell, r.reverse, _stamp(weights)), self._single.get(id(r.w_h))
        if known is None or known.stamp != stamp:
            if not _sizes_fit(r) or not _can_be_kept(r):
                return None
            known = self._single[id(r.w_h)] = _Stack([r], weights, stamp)
        return known.run_one(r.x, r.state, r.width)


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


def _stamp(weights: Iterable[Tensor]) -> list[tuple[int, int, int]]:
    """Which they are, where they lie and how often they were changed; inference counts no changes."""
    return [(id(each), each.data_ptr(), -1 if each.is_inference() else each._version) for each in weights]


def _sizes_fit(r: Recurrence) -> bool:
    """Whether x and the state have the channels that the weights were made for: the C++ believes it."""
    channels = r.w_h.shape[0] if r.w_x is None else r.w_x.shape[1]
    return r.x.dim() == 3 and r.x.shape[2] == channels and (r.w_h.dim() == 1 or r.w_h.shape[1] == r.width)


class _Stack:
    """Recurrences ready to be run; of none, that there is nothing to keep. The weights are held, so that no others can bear their ids."""

    def __init__(self, rs: list[Recurrence], weights: Sequence[Tensor], stamp: object) -> None:
        self.weights, self.stamp = weights, stamp
        self.native: Any = None
        if rs:
            self.native = compiled.stack(rs)
            self.dtype, self.channels, self.width = rs[0].x.dtype, rs[0].x.shape[2], rs[-1].width
            self.states = [len(r.equations.states) for r in rs]
            self.total = sum(r.state.shape[1] for r in rs)
            self.widths = [width for r in rs for width in (r.width, r.state.shape[1] - r.width) if width]

    def run(self, x: Tensor, states: States) -> Answer | None:
        """See `Session.stack`."""
        flat = [each for one in states for each in one]
        rows = x.shape[0]
        if not self._takes(x, *flat) or [each.shape for each in flat] != [(rows, width) for width in self.widths]:
            return None
        flat = [each if each.stride(1) == 1 else each.contiguous() for each in flat]
        y, finals = self._run(x, [(each.data_ptr(), each.stride(0)) for each in flat])
        after = iter(finals.split_with_sizes(self.widths, 1))
        return y, [tuple(islice(after, count)) for count in self.states]

    def run_one(self, x: Tensor, state: Tensor, width: int) -> tuple[Tensor, Tensor] | None:
        """See `Session.recur`."""
        if not self._takes(x, state):
            return None
        state = state.contiguous()
        h, apart = state.data_ptr(), state.shape[1]
        return self._run(x, [(h, apart), (h + width * state.itemsize, apart)] if apart > width else [(h, apart)])

    def _takes(self, x: Tensor, *states: Tensor) -> bool:
        """Whether these are of the kind that the recurrences were made ready for."""
        if self.native is None or x.shape[2:] != (self.channels,):
            return False
        return x.dtype is self.dtype and x.is_cpu and all(each.dtype is self.dtype and each.is_cpu for each in states)

    def _run(self, x: Tensor, states: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        """The answer, and all states side by side."""
        x = x.contiguous()
        rows, frames, _ = x.shape
        y, finals = x.new_empty((rows, frames, self.width)), x.new_empty((rows, self.total))
        self.native.run(rows, frames, x.data_ptr(), states, y.data_ptr(), finals.data_ptr(), torch.get_num_threads())
        return y, finals
