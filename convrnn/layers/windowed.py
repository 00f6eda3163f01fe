"""The grid of convolution and pooling over time: windows, strides, frames held back between chunks. Knows no arithmetic of a window.

Window j covers the frames `[j * stride - left, j * stride - left + span)`. `partial` windows are those the end of a row cuts short: with
them there are ceil(n / stride) frames, without them max(0, (n - span) // stride + 1).
"""

from __future__ import annotations

from abc import abstractmethod
from fractions import Fraction
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from convrnn.core import hold
from convrnn.core.seq import Count, Ids, Seq, Shape, State, at_least, ceil_div, has_frames, row_lengths, tidy
from convrnn.layers.base import Last, Layer, Out, dense, is_last


class Windowed(Layer):
    """Base of layers whose output frame is a function of a window of input frames. Subclasses give `windows`."""

    keeps: ClassVar[tuple[str, ...]] = ("buffer", "held")

    tidies: ClassVar[bool] = True
    """False where `windows` itself masks what lies beyond the total of each row."""

    fill: float = 0.0
    """What stands for the frames before a row and behind it."""

    def __init__(self, in_shape: Shape | Ids, out_shape: Shape, span: int, stride: int, left: int, partial: bool) -> None:
        super().__init__(in_shape, out_shape)
        self.span, self.stride, self.left, self.partial = span, stride, left, partial
        self.ratio, self.past, self.lookahead = Fraction(1, stride), left, span - 1 - left
        self.in_phase = left == span - 1 and stride == 1

    @abstractmethod
    def windows(self, frames: Tensor, total: Tensor | int, padding: int = 0) -> Tensor:
        """One output frame a window, window j beginning at frame `j * stride` of `frames`.

        Args:
            frames: `[B, W, *space, C]`.
            total: how many of them are real, for each row or for all.
            padding: zero frames to add on both sides (only asked for when that is all the padding there is).
        """

    def direct(self, x: Seq) -> Tensor | None:
        """The answer to whole rows, zero behind the last window of each, by a kernel that knows lengths; None where there is none.

        Args:
            x: anything beyond the lengths.
        """
        return None

    def frames(self, n: Count) -> Count:
        """See the module: with or without partial windows."""
        return ceil_div(n, self.stride) if self.partial else self._complete(n)

    def ready(self, n: Count) -> Count:
        """Windows that are complete after n frames."""
        return self._complete(n + self.left)

    def initial_state(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        """`(buffer [B, span - 1, *space, C], held [B])`: the left padding is held."""
        return hold.empty(batch, self.span - 1, dense(self.in_shape), like, self.left)

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`."""
        x = self.checked(x)
        if state is None and last is True:
            return self._whole(x)
        x = tidy(x) if self.tidies else x
        return self._chunk(x, state if state is not None else self.initial_state(x.values.shape[0], x.values), last)

    def _whole(self, x: Seq) -> Out:
        """Rows that begin and end here: all windows at once, in phase."""
        batch, frames = x.values.shape[:2]
        due = self.frames(frames)
        lengths = None if x.lengths is None else self.frames(x.lengths)
        state = hold.empty(batch, self.span - 1, dense(self.in_shape), x.values, hold.ENDED)
        if (values := self.direct(x)) is not None:
            return Out(Seq(values, lengths, True), state)
        if self.tidies:
            x = tidy(x)
        if self.stride == 1 and self.partial and self.tidies and 2 * self.left == self.span - 1 and has_frames(frames):
            return Out(Seq(self.windows(x.values, frames, self.left), lengths), state)
        width = (at_least(due, 1) - 1) * self.stride + self.span
        pad = (0, 0) * (x.values.dim() - 2) + (self.left, width - self.left - frames)
        total = frames if x.lengths is None else x.lengths
        padded = F.pad(x.values, pad, value=self.fill) if self.span > 1 or self.stride > 1 or not has_frames(frames) else x.values
        values = self.windows(padded, total + self.left)
        return Out(Seq(values[:, :due], lengths), state)

    def _chunk(self, x: Seq, state: State, last: Last) -> Out:
        """Some frames of rows that may have begun before and may go on."""
        assert isinstance(state, tuple)
        if x.lengths is None and last is False and (held := hold.common(state[1])) is not None:
            return self._common(x.values, (state[0], state[1]), held)
        frames_in = x.values.shape[1]
        counts = row_lengths(x)
        # New frames, and the padding that the end of a row adds: what they can release at most.
        fresh = frames_in + (self.span - 1 - self.left if last is not False and self.partial else 0)
        frames, total = hold.append((state[0], state[1]), x.values, counts, at_least(fresh, 1) + self.span - 1, self.in_phase)
        due = self._complete(total)
        ends: Tensor | bool = False
        if last is not False:
            ends = is_last(last, counts.shape[0], counts.device)
            if self.partial:
                due = torch.where(ends, ceil_div(at_least(total - self.left, 0), self.stride), due)
        values = self.windows(frames, total)[:, : ceil_div(fresh, self.stride)]
        if self.in_phase:
            return Out(Seq(values, x.lengths), hold.keep_in_phase(frames, frames_in, x.lengths, state[1], self.span - 1, ends))
        return Out(Seq(values, due), hold.keep(frames, total, hold.after(total - due * self.stride, ends), self.span - 1))

    def _common(self, values: Tensor, before: hold.Hold, held: int) -> Out:
        """`_chunk` for rows that all hold and bring as much as the others, and go on: numbers of frames are no tensors.

        There are as many windows as there, or none at all: on how many there are depends how a product of one of them is rounded, and what
        the rows beside it hold may not matter.
        """
        batch, new = values.shape[:2]
        total, most = held + new, ceil_div(new, self.stride)
        frames = hold.append_common(before, held, values, new + self.span - 1)
        due = self._complete(total)
        y = self.windows(frames, total) if due else values.new_zeros(batch, 0, *self.out_shape)
        after = hold.keep_common(frames, total, total - due * self.stride, before)
        return Out(Seq(y, None if due in (0, most) else torch.full((batch,), due)), after)

    def _complete(self, frames: Count) -> Count:
        """Windows that end within so many frames. Nothing negative is divided: the quotient of an ONNX graph is rounded towards zero."""
        return at_least(frames - self.span + self.stride, 0) // self.stride
