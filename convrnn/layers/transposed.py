"""Up-sampling in time and space: transposed convolution, and frames repeated. Knows no other layer.

Frame j of the output stands at input time j / stride. A frame that comes in completes a step of `stride` frames.
"""

from __future__ import annotations

from dataclasses import field
from fractions import Fraction
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convrnn.core import hold
from convrnn.core.errors import ShapeError, SpecError
from convrnn.core.language import tr
from convrnn.core.seq import Count, Ids, Seq, Shape, State, at_least, has_frames, row_lengths, tidy
from convrnn.core.spec import register
from convrnn.layers.base import Last, Layer, Out, Reach, Spec, dense, facts_of, is_last
from convrnn.layers.conv import Positive, Sizes, sizes
from convrnn.layers.init import Init, fill


@register("conv_transpose")
class ConvTranspose(Spec):
    """Transposed convolution, up-sampling by `stride`: `[B, T, *space, C]` to `[B, T', *space', features]`.

    Every frame is written, weighted, over a window of the finer grid, and what overlaps is added (Zeiler et al. 2010; Dumoulin & Visin
    2016, arXiv 1603.07285):

        z_k[m] = b_k + sum_c sum_u f_k[c, u] I[c, (m - u) / s]    over the u for which m - u is a multiple of the stride s

    for m from 0 to (n - 1) s + kernel - 1, the numbers of `torch.nn.ConvTranspose1d` and its kin with the same weights. `valid` keeps them
    all (none for an empty row). `causal` keeps the first n s, so that no frame is waited for. `same` keeps n s as well but leaves out
    (kernel - s) // 2 at the left, as Keras does, which centres the window of a frame on its step. Space is cut alike; with `causal`
    as with `same`.

    Attributes:
        features: output channels.
        kernel: window on the finer grid, at least the stride, since else some frames would be nothing but b_k. A multiple of the stride
            gives every frame equally many terms and so no checkerboard (Odena et al. 2016).
        stride: the factor of up-sampling, time first.
        groups: channel groups that do not see each other.
        padding: `same`, `causal` or `valid`.
        bias: whether to add b_k.
        init: how the weights begin.

    Example:
        >>> net = ConvTranspose(16, kernel=4, padding="causal").build(8)
        >>> net.ratio, net.past, net.lookahead, net.frames(11)
        (Fraction(2, 1), 2, 0, 22)
    """

    features: Positive = field(kw_only=False)
    kernel: Sizes = 4
    stride: Sizes = 2
    groups: Positive = 1
    padding: Literal["same", "causal", "valid"] = "same"
    bias: bool = True
    init: Init = "he"

    def check(self) -> None:
        """Groups divide features; no window is smaller than its stride."""
        if self.features % self.groups:
            raise SpecError(
                "conv_transpose.groups",
                tr("expected a divisor of features={features}, got {got}", features=self.features, got=self.groups),
            )
        given = [(v,) if isinstance(v, int) else v for v in (self.kernel, self.stride)]
        dims = max(map(len, given))
        kernel, stride = (v * dims if len(v) == 1 else v for v in given)
        # Where both are written out with different numbers of dimensions, one of them does not fit the input: `sizes` says so.
        if any(k < s for k, s in zip(kernel, stride, strict=False)):
            raise SpecError(
                "conv_transpose.kernel",
                tr("expected at least the stride {stride}, got {got}", stride=self.stride, got=self.kernel),
                tr("widen it: else some frames would be bias alone"),
            )

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        return _ConvTranspose(self, dense(in_shape))


class _ConvTranspose(Layer):
    """Frame m of the finer grid is complete once frame m // stride has come. What is given out is that grid without its first `crop`
    frames, and up to `tail` frames behind the step of the last frame. A chunk is computed from the frames held and its own.

    The state is `(buffer, held)`: the last frames, and how many of them there are.
    """

    keeps: ClassVar[tuple[str, ...]] = ("buffer", "held")

    def __init__(self, spec: ConvTranspose, in_shape: Shape) -> None:
        *space, channels = in_shape
        if len(space) > 2:
            raise ShapeError("", tr("expected at most 2 space dimensions, got {got}", got=len(space)), tr("put a Fold first"))
        if channels % spec.groups:
            raise ShapeError("", tr("expected groups={groups} to divide {channels} input channels", groups=spec.groups, channels=channels))
        kernel, stride = (sizes(v, len(in_shape), n) for v, n in ((spec.kernel, "kernel"), (spec.stride, "stride")))
        whole = spec.padding == "valid"
        out_space = tuple((n - 1) * s + k if whole else n * s for n, s, k in zip(space, stride[1:], kernel[1:], strict=True))
        super().__init__(in_shape, (*out_space, spec.features))
        self.kernel, self.stride, self.groups = kernel, stride, spec.groups
        over = kernel[0] - stride[0]
        self.crop, self.tail = {"causal": (0, 0), "same": (over // 2, over // 2), "valid": (0, over)}[spec.padding]
        self.space_crop = tuple(0 if whole else (k - s) // 2 for k, s in zip(kernel[1:], stride[1:], strict=True))
        self.size = (kernel[0] - 1) // stride[0]
        self.ratio = Fraction(stride[0])
        _, self.past, self.lookahead = facts_of([self])
        self.weight = nn.Parameter(_drawn(spec, channels, kernel))
        self.bias = nn.Parameter(torch.zeros(spec.features)) if spec.bias else None

    def frames(self, n: Count) -> Count:
        """A step for each frame; all of the grid with `valid`, none of an empty row."""
        # min(n, 1), by arithmetic that a tracer of many frames does not decide beforehand.
        some = 2 * n // (n + 1)
        return n * self.stride[0] + some * (self.tail - self.crop)

    def ready(self, n: Count) -> Count:
        """What is complete of the grid."""
        return at_least(n * self.stride[0] - self.crop, 0)

    def reads(self, j: int) -> Reach:
        """See `Layer.reads`: which frames depends on the phase of j within a step."""
        kernel, stride = self.kernel[0], self.stride[0]
        return (j + self.crop - kernel + stride) // stride, (j + self.crop) // stride

    def initial_state(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        """An empty hold."""
        return hold.empty(batch, self.size, dense(self.in_shape), like, 0)

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`."""
        x = tidy(self.checked(x))
        if state is None and last is True:
            return self._whole(x)
        return self._chunk(x, state if state is not None else self.initial_state(x.values.shape[0], x.values), last)

    def _whole(self, x: Seq) -> Out:
        """Rows that begin and end here. Behind a row the grid goes on with what its last frames write, and then with the bias."""
        batch, frames = x.values.shape[:2]
        values = self._grid(x.values if has_frames(frames) else _one_more(x.values))
        values = values[:, self.crop : self.crop + self.frames(frames)].contiguous()
        state = hold.empty(batch, self.size, dense(self.in_shape), x.values, hold.ENDED)
        return Out(Seq(values, None if x.lengths is None else self.frames(x.lengths)), state)

    def _chunk(self, x: Seq, state: State, last: Last) -> Out:
        """Some frames of rows that may have begun before and may go on."""
        assert isinstance(state, tuple)
        buffer, held = state
        counts, step = row_lengths(x), self.stride[0]
        hold.refuse_ended(held, counts)
        frames = torch.cat([buffer, x.values], 1)
        total, due, ends = held + counts, counts * step, False
        width = x.values.shape[1] * step
        if last is not False:
            ends = is_last(last, counts.shape[0], counts.device)
            due, width = due + torch.where(ends & (total > 0), self.tail, 0), width + self.tail
        begin = self.size * step
        values = self._grid(frames if self.size else _one_more(frames))[:, begin : begin + width]
        if self.crop:
            skipped = at_least(self.crop - held * step, 0)
            place = torch.arange(width, device=held.device) + skipped[:, None]
            values, due = hold.take(values, place.clamp(max=at_least(width - 1, 0))), at_least(due - skipped, 0)
        after = hold.keep(frames, counts + self.size, hold.after(total.clamp(max=self.size), ends), self.size)
        return Out(Seq(values.contiguous(), due), after)

    def _grid(self, x: Tensor) -> Tensor:
        """`[B, T, *space, C]` to all frames of the finer grid, their space cut."""
        y = _convolve_transposed(x, self.weight, self.bias, self.stride, self.groups)
        for axis, (crop, size) in enumerate(zip(self.space_crop, self.out_shape[:-1], strict=True)):
            y = y.narrow(2 + axis, crop, size)
        return y


def _one_more(frames: Tensor) -> Tensor:
    """A frame of zeros behind, which writes nothing: so that there is one."""
    return F.pad(frames, (0, 0) * (frames.dim() - 2) + (0, 1))


def _drawn(spec: ConvTranspose, channels: int, kernel: tuple[int, ...]) -> Tensor:
    """Weights `[C, features / groups, *kernel]`, torch's layout, drawn like those of a convolution: what goes in counts."""
    inner, outer = channels // spec.groups, spec.features // spec.groups
    weight = torch.empty(spec.features, inner, *kernel)
    fill(weight, spec.init)
    return weight.unflatten(0, (spec.groups, outer)).transpose(1, 2).flatten(0, 1).contiguous()


def _convolve_transposed(x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, ...], groups: int) -> Tensor:
    """`[B, T, *space, C]` to the same layout, all of it; see `conv._convolve` on the layout."""
    if x.dim() == 5:
        y = F.conv_transpose3d(x.permute(0, 4, 1, 2, 3), weight, bias, stride, groups=groups)
        return y.permute(0, 2, 3, 4, 1)
    if x.dim() == 4:
        return F.conv_transpose2d(x.permute(0, 3, 1, 2), weight, bias, stride, groups=groups).permute(0, 2, 3, 1)
    y = F.conv_transpose2d(x.transpose(1, 2).unsqueeze(2), weight.unsqueeze(2), bias, (1, *stride), groups=groups)
    return y.squeeze(2).transpose(1, 2)


@register("upsample")
class Upsample(Spec):
    """Every frame repeated (nearest neighbour), and every position of space: `[B, T, *space, C]` to `[B, T factor, *space', C]`.

    A convolution behind it is the up-sampling without checkerboard of Odena et al. 2016. Nothing is learned.

    Attributes:
        factor: how often; one number for all dimensions, or one each, time first.

    Example:
        >>> net = Upsample((3, 1)).build((4, 8))
        >>> net.frames(5), net.out_shape
        (15, (4, 8))
    """

    factor: Sizes = field(default=2, kw_only=False)

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        shape = dense(in_shape)
        return _Upsample(sizes(self.factor, len(shape), "factor"), shape)


class _Upsample(Layer):
    """No state: a frame is all that its copies need."""

    def __init__(self, factor: tuple[int, ...], in_shape: Shape) -> None:
        *space, channels = in_shape
        super().__init__(in_shape, (*(n * f for n, f in zip(space, factor[1:], strict=True)), channels))
        self.factor = factor
        self.ratio = Fraction(factor[0])
        _, self.past, self.lookahead = facts_of([self])

    def reads(self, j: int) -> Reach:
        """See `Layer.reads`."""
        return j // self.factor[0], j // self.factor[0]

    def frames(self, n: Count) -> Count:
        """See `Layer.frames`."""
        return n * self.factor[0]

    def ready(self, n: Count) -> Count:
        """See `Layer.ready`: all of them."""
        return self.frames(n)

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`."""
        x = tidy(self.checked(x))
        values = x.values
        for axis, factor in enumerate(self.factor, 1):
            if factor > 1:
                copies = values.unsqueeze(axis + 1)
                values = copies.expand(*copies.shape[: axis + 1], factor, *copies.shape[axis + 2 :]).flatten(axis, axis + 1)
        return Out(Seq(values, None if x.lengths is None else self.frames(x.lengths), x.clean), ())
