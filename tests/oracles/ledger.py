"""What was compared with whom, and by how much it differs at most: the table at the end of `make oracles`. Knows no peer and no layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Kind = Literal["output", "state", "gradient"]
KINDS: tuple[Kind, ...] = ("output", "state", "gradient")

ALLOWED = {torch.float64: (1e-12, 1e-12), torch.float32: (1e-6, 1e-5)}
"""For values and for gradients, relative to the largest magnitude of what the peer answers. Never loosened.

In float32 a gradient of three stacked layers is a sum of some hundred rounded terms; that the equations are the same is seen in float64.
"""


class Entry(NamedTuple):
    """The difference of one tensor."""

    peer: str
    what: str
    dtype: str
    kind: Kind
    difference: float


@dataclass
class Ledger:
    """One comparison: keeps every difference, also that of a tensor that then fails.

    Attributes:
        peer: who answers on the other side.
        what: the layer that is compared; rows of the table with one name are one row.
        record: keeps an entry.
    """

    peer: str
    what: str
    record: Callable[[Entry], None]

    def close(self, kind: Kind, got: Tensor, want: Tensor) -> None:
        """Fails unless shapes and dtypes are equal, nothing is NaN and the difference is within `ALLOWED`."""
        assert got.shape == want.shape and got.dtype == want.dtype, f"{self.what}: {kind} {list(got.shape)}, expected {list(want.shape)}"
        difference = relative(got, want)
        self.record(Entry(self.peer, self.what, str(got.dtype).removeprefix("torch."), kind, difference))
        allowed = ALLOWED[got.dtype][kind == "gradient"]
        assert difference <= allowed, f"{self.what}: {kind} differs by {difference:.3g}, allowed {allowed:.0e}"


def relative(got: Tensor, want: Tensor) -> float:
    """max |got - want| / max |want|; 0 where both are zero or empty."""
    if not want.numel():
        return 0.0
    difference = float((got.detach() - want.detach()).abs().max())
    return difference and difference / float(want.detach().abs().max().clamp(min=torch.finfo(want.dtype).tiny))


def table(entries: Iterable[Entry]) -> list[str]:
    """One line for each layer of each peer: the largest differences of outputs, final states and gradients in each dtype."""
    largest: dict[tuple[str, str], dict[tuple[str, Kind], float]] = {}
    for peer, what, dtype, kind, difference in entries:
        row = largest.setdefault((peer, what), {})
        row[dtype, kind] = max(difference, row.get((dtype, kind), 0.0))
    dtypes = [str(dtype).removeprefix("torch.") for dtype in ALLOWED]
    peers, layers = (max(len(key[i]) for key in largest) for i in range(2))
    margin = " " * (peers + layers + 2)
    lines = [margin + "".join(f"{dtype:>30}" for dtype in dtypes), margin + "".join(f"{kind:>10}" for kind in KINDS) * len(dtypes)]
    for (peer, what), row in sorted(largest.items()):
        numbers = [f"{row[dtype, kind]:.1e}" if (dtype, kind) in row else "" for dtype in dtypes for kind in KINDS]
        lines.append(f"{peer:<{peers}}  {what:<{layers}}" + "".join(f"{number:>10}" for number in numbers))
    return lines
