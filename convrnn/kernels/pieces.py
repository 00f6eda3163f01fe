"""A recurrence in pieces of some frames, of which only the state before each is kept for backward; that runs each piece once more.

Memory for one piece and the states in place of that for all frames, at the price of a second forward pass (Chen et al. 2016, arXiv
1604.06174). Knows no cell: what runs a piece and derives it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor

from convrnn.kernels.reference import Recurrence

Run = Callable[[Recurrence], tuple[Tensor, Tensor]]
"""h of every frame and the state after each row's last one."""

Derive = Callable[[Recurrence, Tensor, Tensor, list[str]], dict[str, Tensor]]
"""From the gradients of both those of the inputs named, and perhaps of others."""


def count(frames: int, every: int) -> int:
    """How many pieces there are; of a symbol too."""
    return (frames + every - 1) // every


def forward(r: Recurrence, every: int, run: Run) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.recur`, and the state before each piece `[pieces, B, *space, K]`, in the order of the recurrence."""
    batch, frames = r.x.shape[:2]
    y = r.x.new_empty(batch, frames, *r.state.shape[1:-1], r.width)
    kept = r.state.new_empty(count(frames, every), *r.state.shape)
    state = r.state.contiguous().clone()
    for i, (begin, end) in enumerate(_cuts(r, every)):
        kept[i] = state
        y[:, begin:end], state = run(_piece(r, begin, end, state))
    return y, state.contiguous(), kept


def backward(r: Recurrence, every: int, kept: Tensor, dy: Tensor, dfinal: Tensor, names: list[str], derive: Derive) -> dict[str, Tensor]:
    """The gradients of the inputs named, from the last piece to the first."""
    found = {name: getattr(r, name).new_zeros(getattr(r, name).shape) for name in names}
    by_frame = {"x"} if r.zone is None or r.zone.shape[1] == 1 else {"x", "zone"}
    asked = [*names] if "state" in names else [*names, "state"]
    for i, (begin, end) in reversed([*enumerate(_cuts(r, every))]):
        of_piece = derive(_piece(r, begin, end, kept[i]), dy[:, begin:end], dfinal, asked)
        dfinal = of_piece["state"]
        for name in found.keys() - {"state"}:
            if name in by_frame:
                found[name][:, begin:end] = of_piece[name]
            else:
                found[name] += of_piece[name]
    return found | {"state": dfinal.clone()} if "state" in names else found


def _cuts(r: Recurrence, every: int) -> Iterator[tuple[int, int]]:
    """First frame and the one behind the last of each piece, in the order of the recurrence."""
    frames = r.x.shape[1]
    begins = range(0, frames, every)
    for begin in reversed(begins) if r.reverse else begins:
        yield begin, min(begin + every, frames)


def _piece(r: Recurrence, begin: int, end: int, state: Tensor) -> Recurrence:
    lengths = None if r.lengths is None else (r.lengths - begin).clamp(0, end - begin)
    zone = r.zone if r.zone is None or r.zone.shape[1] == 1 else r.zone[:, begin:end]
    return r._replace(x=r.x[:, begin:end], lengths=lengths, zone=zone, state=state)
