"""Windows that are frames, and layers applied within each frame: the extractor of CNN-LSTM and LRCN. Knows no layer in particular."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Any, Literal

import torch
from torch import Tensor

from convrnn.core.errors import ShapeError
from convrnn.core.language import tr
from convrnn.core.seq import Ids, Seq, Shape, State, frame_mask, row_lengths, tidy
from convrnn.core.spec import register
from convrnn.kernels.native import nth_seed
from convrnn.layers.base import Last, Layer, Out, Spec, dense
from convrnn.layers.conv import Positive
from convrnn.layers.seeds import fresh_seeds, seeded_by, shared_seeds
from convrnn.layers.windowed import Windowed


@register("sliding_window")
class Window(Spec):
    """Windows of frames as frames: `[B, T, *space, C]` to `[B, T', size, *space, C]`, window j beginning at frame j hop.

    With `partial="keep"` there are ceil(n / hop) windows, and those that the end of a row cuts short are filled with zeros; with `"drop"`
    the max(0, (n - size) // hop + 1) whole ones.

    Attributes:
        size: frames of a window.
        hop: frames from window to window; None: the size, so that windows neither overlap nor leave anything out.
        partial: `keep` or `drop`.

    Example:
        >>> net = Window(5, hop=2).build(3)
        >>> net.out_shape, net.frames(11), net.lookahead
        ((5, 3), 6, 4)
    """

    size: Positive = field(kw_only=False)
    hop: Positive | None = field(default=None, kw_only=False)
    partial: Literal["keep", "drop"] = "keep"

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        return _Window(self, dense(in_shape))


class _Window(Windowed):
    def __init__(self, spec: Window, in_shape: Shape) -> None:
        super().__init__(in_shape, (spec.size, *in_shape), spec.size, spec.hop or spec.size, 0, spec.partial == "keep")

    def windows(self, frames: Tensor, total: Tensor | int, padding: int = 0) -> Tensor:
        return frames.unfold(1, self.span, self.stride).movedim(-1, 2).contiguous()


@register("time_distributed")
class TimeDistributed(Spec):
    """Any layer applied to each frame on its own: `[B, T, n, *space, C]` to `[B, T, n', *space', C']`.

    To the body a frame is a whole sequence of n frames, from beginning to end; nothing crosses the border of a frame, so this streams
    whatever the body is, and looks neither back nor ahead. Where the body answers with one frame however many it reads (global pooling),
    that dimension is dropped: `[B, T, *space', C']`. Else a `Fold` behind makes a vector of n', space' and channels.

    A frame may be a window of a signal (CNN-LSTM), or a picture, its height taking the place of time. The recurrent convolutional
    network over video of Donahue et al. 2015 (LRCN, arXiv 1411.4389), a CNN for each picture and an LSTM over what it finds:

        Serial(TimeDistributed(Serial(Conv(32), Activation("relu"), Pool(2), Conv(64), Activation("relu"), GlobalPool("max"), Fold("max"))),
               LSTM(128))

    In training, batch norm and dropout in the body see valid frames only. In evaluation padding frames are computed and then ignored, since
    shapes may not depend on lengths there.

    Attributes:
        body: the layer.
        frozen: its weights take no gradient, and it is in evaluation mode even in training: for a body whose weights were loaded,
            `net.get_submodule("body").load_state_dict(...)`.

    Example:
        >>> from convrnn.layers.combine import Serial
        >>> from convrnn.layers.conv import Conv
        >>> from convrnn.layers.pool_whole import GlobalPool
        >>> extractor = Serial(Window(20, hop=10), TimeDistributed(Serial(Conv(8, kernel=5), GlobalPool("max"))))
        >>> extractor.build(3).out_shape
        (8,)
    """

    body: Spec = field(kw_only=False)
    frozen: bool = False

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        shape = dense(in_shape)
        if len(shape) < 2:
            raise ShapeError("", tr("expected frames that are sequences (n, *space, C), got {got}", got=shape), tr("put a Window first"))
        return _TimeDistributed(self.body.build(shape[1:]), self.frozen, shape)


class _TimeDistributed(Layer):
    """In training the state is `(seed, clock, shared seed)`, int64 `[B]` each, from which the body's seeds are made; in evaluation none."""

    def __init__(self, body: Layer, frozen: bool, in_shape: Shape) -> None:
        frames = body.frames(in_shape[0])
        if frames < 1:
            raise ShapeError("", tr("the body gives no frame for {frames}", frames=in_shape[0]), tr("widen the window, or pad in the body"))
        single = body.ratio == 0 and frames == 1
        super().__init__(in_shape, body.out_shape if single else (frames, *body.out_shape))
        self.body, self.frozen = body, frozen
        if frozen:
            self.body.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> _TimeDistributed:
        """As ever, but for a frozen body."""
        super().train(mode)
        if self.frozen:
            self.body.eval()
        return self

    def parts(self) -> Iterator[tuple[str, Layer]]:
        """See `Layer.parts`."""
        yield "body", self.body

    def initial_state(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        """Fresh seeds, if the body is in training."""
        if not self.body.training:
            return ()
        seed = fresh_seeds(batch, like.device)
        return seed, torch.zeros_like(seed), shared_seeds(batch, like.device)

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`."""
        x = tidy(self.checked(x))
        frames = x.values.flatten(0, 1)
        if self.body.training:
            values, after = self._trained(x, frames, state)
        else:
            values, after = self.body(Seq(frames)).seq.values, ()
        return Out(Seq(values.reshape(*x.values.shape[:2], *self.out_shape), x.lengths), after)

    def _trained(self, x: Seq, frames: Tensor, state: State) -> tuple[Tensor, State]:
        """The body over the valid frames alone, zeros for the others; the seeds of a frame follow from its row's and its number."""
        batch, number = x.values.shape[:2]
        seed, clock, shared = state or self.initial_state(batch, x.values)
        places = clock[:, None] + torch.arange(number, device=clock.device)
        seeds = nth_seed(seed[:, None], places).flatten(), shared[:, None].expand(batch, number).flatten()
        after = seed, clock + row_lengths(x), shared
        if x.lengths is None:
            with seeded_by(*seeds):
                return self.body(Seq(frames)).seq.values, after
        (valid,) = frame_mask(number, x.lengths).flatten().nonzero(as_tuple=True)
        with seeded_by(*(each[valid] for each in seeds)):
            some = self.body(Seq(frames[valid])).seq.values
        return some.new_zeros(len(frames), *some.shape[1:]).index_copy(0, valid, some), after
