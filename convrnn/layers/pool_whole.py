"""Pooling a whole row into one frame, as a running form: chunks give what the row gives. Nothing is learned here but a query of attention.

Knows no windows (`pool.py`), and answers only when a row ends (`pool_cumulative.py` answers at every frame).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import field
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from convrnn.core.errors import ShapeError, SpecError
from convrnn.core.hold import ENDED, refuse_ended, take
from convrnn.core.language import tr
from convrnn.core.seq import Count, Ids, Seq, Shape, State, expand_mask, frame_mask, row_lengths, tidy
from convrnn.core.spec import register
from convrnn.kernels import windows
from convrnn.layers.base import Last, Layer, Out, Spec, dense, is_last
from convrnn.layers.conv import Positive
from convrnn.layers.moments import Moments, beside, deviation, joined, wide

Power = Annotated[float, Field(ge=1)]
"""The p of an Lp norm."""


@register("global_pool")
class GlobalPool(Spec):
    """One frame for the whole row, given out when the row ends: `[B, T, *space, C]` to `[B, 1, *space, C]`.

    Over the valid frames t of a row, entry by entry:

        mean        sum x_t / T
        max         max x_t
        lp          (sum |x_t|^p)^(1/p), the norm
        last        x_T: a code of the whole sequence
        statistics  [m; s], m = sum x_t / T, s = sqrt(sum (x_t - m)^2 / T)     twice the channels (Snyder et al. 2018, x-vectors)
        attention   sum a_t x_t, a = softmax over t of v . tanh(W x_t + b)     (Yang et al. 2016, hierarchical attention networks)
        attention_statistics  [m; s], m = sum a_t x_t, s = sqrt(sum a_t (x_t - m)^2)     (Okabe et al. 2018, arXiv 1803.10963)

    The deviation divides by T, not T - 1: that of a single frame is 0, and its derivative where it is 0 is taken to be 0.

    Streams for every kind: the state is a running sum, maximum, pair of moments (Chan et al. 1979) or softmax (Milakov & Gimelshein
    2018, arXiv 1805.02867), in float32 at least where it adds, so `Stream.peek()` tells the answer so far. An empty row gives zeros.

    Attributes:
        kind: see above.
        size: width of the hidden layer of the attention score; None: the number of channels.
        p: the power of `lp`; None: 2.

    Example:
        >>> GlobalPool("attention").build(8).out_shape, GlobalPool("statistics").build(8).out_shape
        ((8,), (16,))
    """

    kind: Literal["mean", "max", "lp", "last", "statistics", "attention", "attention_statistics"] = field(default="mean", kw_only=False)
    size: Positive | None = None
    p: Power | None = None

    def check(self) -> None:
        """Only attention has a size, only `lp` a power."""
        if self.size is not None and not self.kind.startswith("attention"):
            raise SpecError("global_pool.size", tr("belongs to kind='attention', got kind={got!r}", got=self.kind), tr("leave size out"))
        if self.p is not None and self.kind != "lp":
            raise SpecError("global_pool.p", tr("belongs to kind='lp', got kind={got!r}", got=self.kind), tr("leave p out"))

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        shape = dense(in_shape)
        match self.kind:
            case "mean":
                return _MeanPool(shape)
            case "max":
                return _MaxPool(shape)
            case "lp":
                return _NormPool(shape, self.p or 2.0)
            case "last":
                return _LastPool(shape)
            case "statistics":
                return _StatisticsPool(shape)
            case "attention":
                return _AttentionPool(shape, shape, self.size)
            case "attention_statistics":
                return _AttentiveStatistics(shape, doubled(shape), self.size)


def doubled(shape: Shape) -> Shape:
    """Twice the channels."""
    return (*shape[:-1], 2 * shape[-1])


def lp_norm(values: Tensor, p: float, dim: int) -> Tensor:
    """(sum |x|^p)^(1/p) over a dimension that is not empty; its derivative where all are 0 is 0.

    Scaled by the largest, so that neither a large p nor half precision over- or underflows; the scale cancels and carries no gradient.
    """
    sizes = values.to(wide(values.dtype)).abs()
    top = sizes.amax(dim, keepdim=True).detach()
    scale = top.where(top != 0, 1)
    total = (sizes / scale).pow(p).sum(dim)
    some = top.squeeze(dim) != 0
    root = total.where(some, 1).pow(1 / p) * scale.squeeze(dim)
    return torch.where(some, root, root.new_zeros(())).to(values.dtype)


Known = tuple[Tensor, ...]
"""What a pool knows of a row so far: its state but the count."""


class _GlobalPool(Layer):
    """The state is `(count int64 [B], ...)`, the count `ENDED` after the end."""

    def __init__(self, in_shape: Shape, out_shape: Shape) -> None:
        super().__init__(in_shape, out_shape)
        self.ratio, self.past, self.lookahead = Fraction(0), None, None

    def frames(self, n: Count) -> Count:
        """One."""
        return n * 0 + 1

    def ready(self, n: Count) -> Count:
        """None before the end."""
        return n * 0

    def initial_state(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        """No frame so far."""
        return (torch.zeros(batch, dtype=torch.int64, device=like.device), *self.start(batch, like))

    @abstractmethod
    def start(self, batch: int, like: Tensor) -> Known:
        """What is known before the first frame."""

    @abstractmethod
    def update(self, known: Known, count: Tensor, values: Tensor, lengths: Tensor | None) -> Known:
        """What is known after these frames, `count` having come before them (at least 0).

        The padding is zero; there is none where `lengths` is None. Rows that bring nothing keep what they know to the last bit.
        """

    @abstractmethod
    def answer(self, known: Known, count: Tensor) -> Tensor:
        """`[B, *space, C]` after `count` frames; zeros after none."""

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`."""
        x = tidy(self.checked(x))
        batch, lengths = x.values.shape[0], row_lengths(x)
        count, *before = self.initial_state(batch, x.values) if state is None else state
        if state is not None:
            refuse_ended(count, lengths)
        known = self.update(tuple(before), count.clamp(min=0), x.values, x.lengths)
        ends = is_last(last, batch, lengths.device)
        answers = (ends & (count >= 0)).to(torch.int64)
        count = count + lengths
        if last is False:
            return Out(Seq(x.values.new_zeros(batch, 0, *self.out_shape), answers, True), (count, *known))
        y = self.answer(known, count.clamp(min=0))[:, None].to(x.values.dtype)
        whole = state is None and last is True  # so every row answers
        return Out(Seq(y, None if whole and x.lengths is None else answers, whole), (torch.where(ends, ENDED, count), *known))


class _MeanPool(_GlobalPool):
    keeps: ClassVar[tuple[str, ...]] = ("count", "sum")

    def __init__(self, in_shape: Shape) -> None:
        super().__init__(in_shape, in_shape)

    def start(self, batch: int, like: Tensor) -> Known:
        return (like.new_zeros(batch, *self.out_shape, dtype=wide(like.dtype)),)

    def update(self, known: Known, count: Tensor, values: Tensor, lengths: Tensor | None) -> Known:
        return (known[0] + values.sum(1, dtype=known[0].dtype),)

    def answer(self, known: Known, count: Tensor) -> Tensor:
        return known[0] / beside(count.clamp(min=1), known[0])


class _MaxPool(_GlobalPool):
    keeps: ClassVar[tuple[str, ...]] = ("count", "max")

    def __init__(self, in_shape: Shape) -> None:
        super().__init__(in_shape, in_shape)

    def start(self, batch: int, like: Tensor) -> Known:
        return (like.new_full((batch, *self.out_shape), float("-inf")),)

    def update(self, known: Known, count: Tensor, values: Tensor, lengths: Tensor | None) -> Known:
        frames = values.shape[1]
        if values.dim() == 3 and frames and windows.serves(values, lengths):
            return (self._highest(known[0], values, lengths, windows.Grid(frames, frames, 1, 0, True)),)
        # The maximum so far is one more frame: ties go to the earliest, offline and in chunks alike, and a chunk may be empty.
        return (torch.cat([known[0][:, None], without_padding(values, lengths, float("-inf"))], 1).max(1).values,)

    @staticmethod
    def _highest(known: Tensor, values: Tensor, lengths: Tensor | None, whole: windows.Grid) -> Tensor:
        """As below, by one window over all frames; it is zero in a row that brings none."""
        top = windows.pool(values, lengths, True, whole)[:, 0]
        higher = (top > known) | top.isnan()
        return torch.where(higher if lengths is None else higher & (lengths > 0)[:, None], top, known)

    def answer(self, known: Known, count: Tensor) -> Tensor:
        return torch.where(beside(count > 0, known[0]), known[0], known[0].new_zeros(()))

    def inside(self, x: Seq) -> dict[str, Tensor]:
        """`argmax` `[B, 1, *space, C]`: the frame that was chosen, -1 in an empty row."""
        x = tidy(self.checked(x))
        return {"argmax": chosen(x.values, frame_mask(x.values.shape[1], row_lengths(x)))[:, None]}


def without_padding(values: Tensor, lengths: Tensor | None, fill: float) -> Tensor:
    """`values` with `fill` beyond `lengths`."""
    if lengths is None:
        return values
    return values.masked_fill(~expand_mask(frame_mask(values.shape[1], lengths), values), fill)


def chosen(values: Tensor, inside_BT: Tensor) -> Tensor:
    """`[B, *space, C]`: the first of the frames inside that is the largest; -1 where there is none."""
    lowest = values.new_full((values.shape[0], 1, *values.shape[2:]), float("-inf"))
    # The frame put before the first one loses to all but -inf; it stands for none.
    return torch.cat([lowest, values.masked_fill(~expand_mask(inside_BT, values), float("-inf"))], 1).argmax(1) - 1


class _NormPool(_GlobalPool):
    keeps: ClassVar[tuple[str, ...]] = ("count", "norm")

    def __init__(self, in_shape: Shape, p: float) -> None:
        super().__init__(in_shape, in_shape)
        self.p = p

    def start(self, batch: int, like: Tensor) -> Known:
        return (like.new_zeros(batch, *self.out_shape, dtype=wide(like.dtype)),)

    def update(self, known: Known, count: Tensor, values: Tensor, lengths: Tensor | None) -> Known:
        # The norm of norms: what is known is one more entry.
        return (lp_norm(torch.cat([known[0][:, None], values.to(known[0].dtype)], 1), self.p, 1),)

    def answer(self, known: Known, count: Tensor) -> Tensor:
        return known[0]


class _LastPool(_GlobalPool):
    keeps: ClassVar[tuple[str, ...]] = ("count", "last")

    def __init__(self, in_shape: Shape) -> None:
        super().__init__(in_shape, in_shape)
        self.past = 0

    def start(self, batch: int, like: Tensor) -> Known:
        return (like.new_zeros(batch, *self.out_shape),)

    def update(self, known: Known, count: Tensor, values: Tensor, lengths: Tensor | None) -> Known:
        if lengths is None:
            return (torch.cat([known[0][:, None], values[:, -1:]], 1)[:, -1],)
        return (take(torch.cat([known[0][:, None], values], 1), lengths[:, None])[:, 0],)

    def answer(self, known: Known, count: Tensor) -> Tensor:
        return known[0]


class _StatisticsPool(_GlobalPool):
    keeps: ClassVar[tuple[str, ...]] = ("count", "mean", "squares")

    def __init__(self, in_shape: Shape) -> None:
        super().__init__(in_shape, doubled(in_shape))

    def start(self, batch: int, like: Tensor) -> Known:
        zeros = like.new_zeros(batch, *dense(self.in_shape), dtype=wide(like.dtype))
        return zeros, torch.zeros_like(zeros)

    def update(self, known: Known, count: Tensor, values: Tensor, lengths: Tensor | None) -> Known:
        weight_BT = frame_mask(values.shape[1], count * 0 + values.shape[1] if lengths is None else lengths)
        before = Moments(count.to(known[0].dtype), *known)
        return joined(before, values.to(known[0].dtype), weight_BT.to(known[0].dtype))[1:]

    def answer(self, known: Known, count: Tensor) -> Tensor:
        return torch.cat([known[0], deviation(Moments(count.to(known[0].dtype), *known), count > 1)], -1)


class _Attended(_GlobalPool):
    """Online softmax: `top`, the largest score so far; sums of exponentials are rescaled when it grows."""

    def __init__(self, in_shape: Shape, out_shape: Shape, size: int | None) -> None:
        if len(in_shape) != 1:
            raise ShapeError("", tr("attention pooling expects frames without space, got {got}", got=in_shape), tr("put a Fold first"))
        super().__init__(in_shape, out_shape)
        size = in_shape[-1] if size is None else size
        self.hidden, self.score = nn.Linear(in_shape[-1], size), nn.Linear(size, 1, bias=False)

    def scored(self, top: Tensor, values: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The largest score by now `[B]`, weights relative to it `[B, T]`, and the factor for what was summed before `[B]`."""
        scores_BT = self._scores(values)
        mask_BT = torch.ones_like(scores_BT, dtype=torch.bool) if lengths is None else frame_mask(values.shape[1], lengths)
        # The shift cancels in the quotient, so it carries no gradient.
        shown = scores_BT.detach().masked_fill(~mask_BT, torch.finfo(scores_BT.dtype).min)
        new_top = torch.cat([top[:, None], shown], 1).amax(1)
        weight_BT = torch.exp(scores_BT.where(mask_BT, new_top[:, None]) - new_top[:, None])
        return new_top, torch.where(mask_BT, weight_BT, weight_BT.new_zeros(())), torch.exp(top - new_top)

    def inside(self, x: Seq) -> dict[str, Tensor]:
        """`weights` `[B, T]`: the share of each frame, 0 beyond the end."""
        x = tidy(self.checked(x))
        mask_BT = frame_mask(x.values.shape[1], row_lengths(x))
        shares = self._scores(x.values).masked_fill(~mask_BT, float("-inf")).softmax(1)
        return {"weights": torch.where(mask_BT, shares, shares.new_zeros(()))}

    def _scores(self, values: Tensor) -> Tensor:
        return self.score(torch.tanh(self.hidden(values)))[..., 0].to(wide(values.dtype))


class _AttentionPool(_Attended):
    keeps: ClassVar[tuple[str, ...]] = ("count", "top", "total", "weighted")

    def start(self, batch: int, like: Tensor) -> Known:
        total = like.new_zeros(batch, dtype=wide(like.dtype))
        return torch.full_like(total, torch.finfo(total.dtype).min), total, total.new_zeros(batch, *self.out_shape)

    def update(self, known: Known, count: Tensor, values: Tensor, lengths: Tensor | None) -> Known:
        top, weight_BT, scale = self.scored(known[0], values, lengths)
        return top, known[1] * scale + weight_BT.sum(1), known[2] * scale[:, None] + (weight_BT[..., None] * values).sum(1)

    def answer(self, known: Known, count: Tensor) -> Tensor:
        return known[2] / known[1].where(count > 0, 1)[:, None]


class _AttentiveStatistics(_Attended):
    keeps: ClassVar[tuple[str, ...]] = ("count", "top", "total", "mean", "squares")

    def start(self, batch: int, like: Tensor) -> Known:
        total = like.new_zeros(batch, dtype=wide(like.dtype))
        mean = total.new_zeros(batch, *dense(self.in_shape))
        return torch.full_like(total, torch.finfo(total.dtype).min), total, mean, torch.zeros_like(mean)

    def update(self, known: Known, count: Tensor, values: Tensor, lengths: Tensor | None) -> Known:
        top, weight_BT, scale = self.scored(known[0], values, lengths)
        before = Moments(known[1] * scale, known[2], known[3] * scale[:, None])
        return top, *joined(before, values.to(known[2].dtype), weight_BT)

    def answer(self, known: Known, count: Tensor) -> Tensor:
        return torch.cat([known[2], deviation(Moments(*known[1:]), count > 1)], -1)
