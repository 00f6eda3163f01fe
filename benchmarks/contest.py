"""One contest: work that ours and a peer do, compared first and then timed by turns. Knows no layer and no peer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor

from convrnn.api.machine import Limit, best, load
from convrnn.api.timing import Call, by_turns, ratio

Sizes = tuple[int, int, int, int]
"""(B, T, in, H): rows, frames, channels, units."""

VALUES, GRADIENTS = 1e-5, 1e-4
"""The most by which two answers may differ, of the largest number, in float32 over up to 1,000 frames: answers were found within 1e-6,
gradients within 4e-6, sums of all into a loss, which almost cancel, within 3e-5. A swapped gate or a frame too many is off by 0.1."""


class Mismatch(Exception):
    """Ours and a peer answer differently: nothing is timed."""


class Bout(NamedTuple):
    """Work made ready, both sides compared.

    Attributes:
        ours: does it.
        theirs: does the same; None: ours is held against limits only.
        difference: the largest that was found between the two, of the largest number.
        amount: operations or bytes of the work, where it is held against limits.
        limits: of the machine, timed in the same turns.
        pause: seconds of rest before each turn.
    """

    ours: Call
    theirs: Call | None = None
    difference: float | None = None
    amount: float | None = None
    limits: Sequence[Limit] = ()
    pause: float = 0.0


class Case(NamedTuple):
    """One line of a table.

    Attributes:
        section: of "Must show", see README.md here.
        what: the layer.
        work: `train`, `infer`, `scan`, `push`.
        rival: the peer, or the limit.
        shape: sizes.
        directions: 1 or 2.
        ragged: lengths uniform in T/4..T; else all rows are full.
        begin: makes it ready; raises `Mismatch`.
    """

    section: int
    what: str
    work: str
    rival: str
    shape: Sizes
    directions: int
    ragged: bool
    begin: Callable[[], Bout]


class Asked(NamedTuple):
    """What the command line chose.

    Attributes:
        cells: by name; None: all.
        only: shapes by their number, from 0; None: all.
        quick: tiny shapes.
    """

    cells: list[str] | None
    only: list[int] | None
    quick: bool

    def cells_of(self, cells: Sequence[str]) -> list[str]:
        """Those of a section that were chosen."""
        return [cell for cell in cells if self.cells is None or cell in self.cells]

    def shapes_of(self, shapes: Sequence[Sizes], tiny: Sequence[Sizes]) -> list[Sizes]:
        """Likewise; a number beyond the last names none."""
        chosen = tiny if self.quick else shapes
        return [sizes for place, sizes in enumerate(chosen) if self.only is None or place in self.only]


def hold(case: Case, pairs: int) -> dict[str, Any]:
    """The contest as a record.

    Raises:
        Mismatch: the two sides do not agree.
    """
    before, bout = load(), case.begin()
    calls = {"ours": bout.ours, **({} if bout.theirs is None else {"theirs": bout.theirs})}
    taken = by_turns({**calls, **{limit.name: limit.call for limit in bout.limits}}, pairs, pause=bout.pause)
    seconds = median(taken["ours"])
    record: dict[str, Any] = {key: value for key, value in case._asdict().items() if key != "begin"}
    record |= {"pairs": pairs, "ours_ms": 1e3 * seconds, "load": [before, load()]}
    if bout.theirs is not None:
        record |= {"theirs_ms": 1e3 * median(taken["theirs"]), "ratio": ratio(taken, "ours", "theirs"), "difference": bout.difference}
    if bout.amount is not None:
        limit = best(list(bout.limits), taken)
        record |= {"per_second": bout.amount / seconds, "limit_per_second": limit, "share": bout.amount / seconds / limit}
    return record


def lengths_of(rows: int, frames: int, ragged: bool) -> Tensor:
    """int64 `[B]`: uniform in T/4..T, the same each time, or T."""
    if not ragged:
        return torch.full((rows,), frames)
    return torch.randint(frames // 4, frames + 1, (rows,), generator=torch.Generator().manual_seed(0))


def values_of(*sizes: int, seed: int = 0) -> Tensor:
    """Random numbers, the same each time."""
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(seed))


def agree(pairs: Sequence[tuple[str, Tensor, Tensor]], most: float) -> float:
    """The largest difference, of the largest number.

    Raises:
        Mismatch: it is more than `most`; says where.
    """
    worst = 0.0
    for name, ours, theirs in pairs:
        if ours.shape != theirs.shape:
            raise Mismatch(f"{name}: {list(ours.shape)} here, {list(theirs.shape)} there")
        difference = float((ours - theirs).detach().abs().max() / theirs.detach().abs().max().clamp(min=1e-6))
        if not difference <= most:
            raise Mismatch(f"{name} differs by {difference:.1e} of the largest number, more than {most:.0e}")
        worst = max(worst, difference)
    return worst
