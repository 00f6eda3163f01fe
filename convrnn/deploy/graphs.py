"""A net as a function of named plain tensors: whole rows, or a step with its state. What exported files are made from. Knows no format.

    offline   x, lengths                               -> y, y_lengths
    step      x, lengths, last, state.PATH.NAME, ...   -> y, y_lengths, next.PATH.NAME, ...

These names are public. `x` is `[B, T, *space, C]` in float32 (ids: int64 `[B, T]`), `lengths` int64 `[B]`, `last` bool `[B]`: whether a row
ends with these frames. `y` is zero beyond `y_lengths`. One graph serves every batch size and every number of frames; a step takes none too.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx.experimental import _config

from convrnn.core.errors import ShapeError, UsageError
from convrnn.core.language import tr
from convrnn.core.seq import Ids, Seq, State, tidy
from convrnn.layers.base import Layer, Out

ROWS, FRAMES = 3, 20
"""Of the sample that a graph is traced with."""

LONGEST = 1024
"""Where the search for the number of frames ends that a net with rows of a fixed length takes."""


class Start(NamedTuple):
    """One tensor of the state before the first frame.

    Attributes:
        name: its dotted path; the input is called `state.NAME`, the output `next.NAME`.
        row: its value for one row, without the batch dimension.
    """

    name: str
    row: Tensor


class Graph(nn.Module):
    """Base of both forms: tensors in and out, as named.

    Attributes:
        net: a copy of the layers, on the CPU, in evaluation mode.
        inputs: names, in order.
        outputs: names, in order.
        starts: the state that a row begins with; none offline.
        fixed: the numbers of frames that a row may have; None: any.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    starts: tuple[Start, ...] = ()

    def __init__(self, net: Layer) -> None:
        super().__init__()
        self.net = copy.deepcopy(net).cpu().eval()
        self.fixed = fixed_lengths(self.net)

    @abstractmethod
    def sample(self) -> tuple[Tensor, ...]:
        """Inputs to trace with: `ROWS` rows of `FRAMES` frames, ragged."""

    @abstractmethod
    def shapes(self, rows: Any, frames: Any) -> tuple[Any, ...]:
        """For each argument of `forward` which dimension is `rows` and which is `frames`, as `torch.export` takes it."""

    def values(self, rows: int, frames: int, draw: torch.Generator) -> Tensor:
        """Random values, or ids, of the shape that the net takes."""
        return _random(self.net, rows, frames, draw)


class Offline(Graph):
    """Whole rows at once."""

    inputs = ("x", "lengths")
    outputs = ("y", "y_lengths")

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        """See the top of the file."""
        return _plain(self.net(Seq(x, lengths)))

    def sample(self) -> tuple[Tensor, ...]:
        """See `Graph.sample`."""
        frames = self.fixed[-1] if self.fixed else FRAMES
        lengths = [frames] * ROWS if self.fixed else [frames, frames // 2, 1]
        return self.values(ROWS, frames, _drawn()), torch.tensor(lengths)

    def shapes(self, rows: Any, frames: Any) -> tuple[Any, ...]:
        """See `Graph.shapes`. Rows of a fixed length leave nothing to choose."""
        return {0: rows} if self.fixed else {0: rows, 1: frames}, {0: rows}


class Step(Graph):
    """Some new frames of each row, and the state.

    Raises:
        NotStreamable: names the layer and the remedy.
    """

    def __init__(self, net: Layer) -> None:
        net.require_streams()
        super().__init__(net)
        self.like = self.net.initial_state(1, torch.zeros((), dtype=dtype_of(self.net)))
        names = list(flat(self.net.state_names()))
        self.starts = tuple(Start(name, leaf[0]) for name, leaf in zip(names, flat(self.like), strict=True))
        self.inputs = ("x", "lengths", "last", *(f"state.{name}" for name in names))
        self.outputs = ("y", "y_lengths", *(f"next.{name}" for name in names))

    def forward(self, x: Tensor, lengths: Tensor, last: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """See the top of the file."""
        out = self.net(_some(x, lengths), _nested(self.like, iter(state)), last)
        return *_plain(out), *flat(out.state)

    def begin(self, rows: int) -> tuple[Tensor, ...]:
        """The state of new rows."""
        return tuple(start.row.expand(rows, *start.row.shape).clone() for start in self.starts)

    def sample(self) -> tuple[Tensor, ...]:
        """See `Graph.sample`."""
        lengths, last = torch.tensor([FRAMES, FRAMES // 2, 0]), torch.tensor([False, False, True])
        return self.values(ROWS, FRAMES, _drawn()), lengths, last, *self.begin(ROWS)

    def shapes(self, rows: Any, frames: Any) -> tuple[Any, ...]:
        """See `Graph.shapes`. The states are one argument, if there are any."""
        states = (tuple({0: rows} for _ in self.starts),) if self.starts else ()
        return {0: rows, 1: frames}, {0: rows}, {0: rows}, *states


@contextmanager
def unspecialised() -> Iterator[None]:
    """Traced inside, a graph is not made for sizes of 2 and more only, as torch would have it."""
    with _config.patch(backed_size_oblivious=True):  # pyright: ignore[reportAttributeAccessIssue]  (made at run time)
        yield


def flat(nested: Any) -> Iterator[Any]:
    """What a nested tuple holds, in order."""
    if not isinstance(nested, tuple):
        yield nested
        return
    for part in nested:
        yield from flat(part)


def _nested(like: Any, leaves: Iterator[Tensor]) -> State:
    """The leaves in the structure of `like`."""
    return next(leaves) if isinstance(like, Tensor) else tuple(_nested(part, leaves) for part in like)  # pyright: ignore[reportReturnType]


def _drawn() -> torch.Generator:
    """A generator of its own: an export leaves torch's alone."""
    return torch.Generator().manual_seed(0)


def _some(x: Tensor, lengths: Tensor) -> Seq:
    """With one more frame that belongs to no row: the exporter takes every dimension for at least 1, and a chunk may hold no frame."""
    return Seq(F.pad(x, (0, 0) * (x.dim() - 2) + (0, 1)), lengths)


def _plain(out: Out) -> tuple[Tensor, Tensor]:
    seq = tidy(out.seq)
    assert seq.lengths is not None, "lengths in, none out: the law of shape"
    return seq.values, seq.lengths


def fixed_lengths(net: Layer) -> tuple[int, ...] | None:
    """None where a row may have any number of frames, else those that the net takes: all rows of a `Flatten` are of one length."""
    if _takes(net, 0):
        return None
    found = tuple(n for n in range(1, LONGEST + 1) if _takes(net, n))
    if not found:
        raise UsageError("export", tr("expected a net that takes rows of some length up to {longest}, found none", longest=LONGEST))
    return found


def _takes(net: Layer, frames: int) -> bool:
    row = _random(net, 1, frames, _drawn())
    try:
        with torch.inference_mode():
            net(Seq(row))
    except ShapeError:
        return False
    return True


def _random(net: Layer, rows: int, frames: int, draw: torch.Generator) -> Tensor:
    shape = net.in_shape
    if isinstance(shape, Ids):
        return torch.randint(shape.size, (rows, frames), generator=draw)
    return torch.randn(rows, frames, *shape, generator=draw, dtype=dtype_of(net))


def dtype_of(net: Layer) -> torch.dtype:
    """Of the values that a net takes."""
    return next((each.dtype for each in net.parameters()), torch.float32)
