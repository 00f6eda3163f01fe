"""A live session over a layer: chunk in, frames out, the state in between. Knows no layer in particular."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from convrnn.core.errors import ShapeError, StateEnded
from convrnn.core.seq import Ids, Seq, State
from convrnn.layers.base import Last, Layer


class Snapshot(NamedTuple):
    """Where a stream stands: nothing mutates a state, so this copies nothing."""

    state: State
    ended: Tensor


class Stream:
    """Feeds a layer chunk by chunk; row by row the answers concatenate to the offline answer.

    The layer runs in inference and evaluation mode, whatever its own: in training, batch norm would learn from each chunk.

    Attributes:
        ended: bool `[B]`, rows that have ended.

    Example:
        >>> from convrnn.layers.conv import Conv
        >>> stream = Conv(4, kernel=3).build(2).eval().stream()
        >>> out = stream.push(torch.zeros(1, 5, 2))
        >>> int(out.lengths), int(stream.finish().lengths)
        (4, 1)
    """

    def __init__(self, layer: Layer, batch: int) -> None:
        layer.require_streams()
        self.layer, self.batch = layer, batch
        self.state: State = None
        self.nothing = self._nothing()
        self.ended = torch.zeros(batch, dtype=torch.bool)

    def push(self, values: Tensor, lengths: Tensor | None = None, last: Last = False) -> Seq:
        """Frames that can be answered now.

        Args:
            values: `[B, t, *space, C]` or ids `[B, t]`.
            lengths: int64 `[B]`, new frames of each row, 0: it pauses; None: t each.
            last: whether rows end with these frames; bool or bool `[B]`.

        Raises:
            ShapeError: another batch size, or lengths outside 0..t.
            StateEnded: frames for a row that has ended.
        """
        if values.shape[0] != self.batch:
            raise ShapeError("stream", f"expected {self.batch} row(s), got {values.shape[0]}", "open it with stream(batch=n)")
        counts = torch.full((self.batch,), values.shape[1]) if lengths is None else lengths.cpu()
        if counts.shape != (self.batch,) or bool((counts < 0).any()) or bool((counts > values.shape[1]).any()):
            raise ShapeError("stream", f"expected {self.batch} length(s) in 0..{values.shape[1]}, got {counts.tolist()}")
        late = self.ended & (counts > 0)
        if bool(late.any()):
            row = int(late.nonzero()[0, 0])
            raise StateEnded("stream", f"row {row} has ended and was given {int(counts[row])} more frame(s)", "open a new stream for it")
        with _inference(self.layer):
            seq, self.state = self.layer(Seq(values, lengths), self.state, last)
        self.nothing = values.new_zeros(self.batch, 0, *values.shape[2:])
        self.ended = self.ended | (last.cpu() if isinstance(last, Tensor) else torch.full_like(self.ended, last))
        return seq

    def finish(self) -> Seq:
        """Ends every row and gives what was held back; rows that had ended give nothing more."""
        return self.push(self.nothing, None, True)

    def peek(self) -> Seq:
        """What `finish()` would give now; the stream goes on as if it had not been asked."""
        with _inference(self.layer):
            return self.layer(Seq(self.nothing), self.state, True).seq

    def snapshot(self) -> Snapshot:
        """Where the stream stands, to be given to `restore`."""
        return Snapshot(self.state, self.ended)

    def restore(self, snapshot: Snapshot) -> None:
        """Goes back to where `snapshot` was taken."""
        self.state, self.ended = snapshot

    def _nothing(self) -> Tensor:
        """A chunk of no frames, in the dtype of the parameters until the first push shows its own."""
        shape = self.layer.in_shape
        like = next(self.layer.parameters(), torch.empty(0))
        if isinstance(shape, Ids):
            return torch.zeros(self.batch, 0, dtype=torch.int64, device=like.device)
        return torch.zeros(self.batch, 0, *shape, dtype=like.dtype, device=like.device)


@contextmanager
def _inference(layer: nn.Module) -> Iterator[None]:
    """Inference mode, and evaluation mode for every module that is in training now."""
    training = [module for module in layer.modules() if module.training]
    for module in training:
        module.training = False
    try:
        with torch.inference_mode():
            yield
    finally:
        for module in training:
            module.training = True
