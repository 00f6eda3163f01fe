"""Convolution over time with 0, 1 or 2 space dimensions. Knows no state of its own: `windowed.py` holds the frames."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from convrnn.core.errors import ShapeError, SpecError
from convrnn.core.language import tr
from convrnn.core.seq import Ids, Seq, Shape, at_hand
from convrnn.core.spec import register
from convrnn.kernels import windows
from convrnn.layers.base import Layer, Spec, dense
from convrnn.layers.init import Init, fill
from convrnn.layers.windowed import Windowed

Positive = Annotated[int, Field(gt=0)]
Sizes = Positive | tuple[Positive, ...]
"""One number for all dimensions, or one each: time first, then space."""


@register("conv")
class Conv(Spec):
    """Convolution over time (and space): `[B, T, *space, C]` to `[B, T', *space', features]`.

    As in torch, Keras and every deep-learning text it is a cross-correlation; for a picture (time x, space y)

        z_k[x, y] = b_k + sum_c sum_u sum_v f_k[c, u, v] I[c, s x + d u - p, s y + d v - p]

    with stride s, dilation d, left padding p, c over the channels of the group of k (LeCun et al. 1998).

    `same` reads ((kernel - 1) dilation) // 2 frames back and the rest ahead, whatever the stride, and gives ceil(n / stride) frames;
    `causal` reads only back (space stays `same`), but for the frames that `ahead` grants it; `valid` gives
    max(0, (n - span) // stride + 1), as Keras does by default. The default here is `same` because a stack of it never runs out of frames.

    The row convolution of Deep Speech 2 (Amodei et al. 2015, arXiv 1512.02595), h_t = sum_(i=0..n) w_i x_(t+i) for each channel, looks n
    frames ahead and none back: `Conv(C, kernel=n + 1, groups=C, padding="causal", ahead=n, bias=False)`.

    Attributes:
        features: output channels.
        kernel: window, in frames (and positions).
        stride: step from window to window.
        dilation: distance between the taps of a window.
        groups: channel groups that do not see each other; as many as channels: depthwise.
        padding: `same`, `causal` or `valid`.
        ahead: frames of lookahead with `causal` padding, 0 to (kernel - 1) dilation: the window is moved forward by so many.
        bias: whether to add b_k.
        separable: a depthwise convolution, then a pointwise one (Chollet 2017, arXiv 1610.02357).
        init: how the weights begin; He, because a ReLU usually follows.

    Example:
        >>> net = Conv(32, kernel=5, stride=2, padding="causal").build(8)
        >>> net.ratio, net.past, net.lookahead, net.frames(11)
        (Fraction(1, 2), 4, 0, 6)
        >>> net = Conv(32, kernel=5, padding="causal", ahead=1).build(8)
        >>> net.past, net.lookahead
        (3, 1)
    """

    features: Positive = field(kw_only=False)
    kernel: Sizes = 3
    stride: Sizes = 1
    dilation: Sizes = 1
    groups: Positive = 1
    padding: Literal["same", "causal", "valid"] = "same"
    ahead: Annotated[int, Field(ge=0)] = 0
    bias: bool = True
    separable: bool = False
    init: Init = "he"

    def check(self) -> None:
        """Groups divide features; a separable convolution has its own groups; only causal padding can look ahead, within its window."""
        if self.features % self.groups:
            raise SpecError(
                "conv.groups", tr("expected a divisor of features={features}, got {got}", features=self.features, got=self.groups)
            )
        if self.separable and self.groups != 1:
            raise SpecError("conv.groups", tr("expected 1 with separable=True, got {got}", got=self.groups), tr("leave groups out"))
        if self.ahead and self.padding != "causal":
            raise SpecError("conv.ahead", tr("belongs to padding='causal', got padding={got!r}", got=self.padding), tr("leave ahead out"))
        if self.ahead > self._reach():
            raise SpecError(
                "conv.ahead",
                tr("expected at most (kernel - 1) dilation = {most}, got {got}", most=self._reach(), got=self.ahead),
                tr("widen the kernel"),
            )

    def _reach(self) -> int:
        """Frames of a window in time beside the first."""
        kernel, dilation = (v if isinstance(v, int) else v[0] for v in (self.kernel, self.dilation))
        return (kernel - 1) * dilation

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        return _Conv(self, dense(in_shape))


def sizes(value: int | tuple[int, ...], dimensions: int, what: str) -> tuple[int, ...]:
    """One number a dimension, time first; raises `ShapeError`."""
    if isinstance(value, int):
        return (value,) * dimensions
    if len(value) != dimensions:
        raise ShapeError(
            "",
            tr("expected {wanted} number(s) for {what} (time, then space), got {got}", wanted=dimensions, what=what, got=value),
        )
    return value


class _Conv(Windowed):
    def __init__(self, spec: Conv, in_shape: Shape) -> None:
        *space, channels = in_shape
        if len(space) > 2:
            raise ShapeError("", tr("expected at most 2 space dimensions, got {got}", got=len(space)), tr("put a Fold first"))
        if channels % spec.groups:
            raise ShapeError("", tr("expected groups={groups} to divide {channels} input channels", groups=spec.groups, channels=channels))
        dims = len(space) + 1
        kernel, stride, dilation = (
            sizes(v, dims, n) for v, n in ((spec.kernel, "kernel"), (spec.stride, "stride"), (spec.dilation, "dilation"))
        )
        spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        whole = spec.padding == "valid"
        left = {"causal": spans[0] - 1 - spec.ahead, "same": (spans[0] - 1) // 2, "valid": 0}[spec.padding]
        out_space = tuple((n - e) // s + 1 if whole else -(-n // s) for n, e, s in zip(space, spans[1:], stride[1:], strict=True))
        if any(n < 1 for n in out_space):
            raise ShapeError(
                "",
                tr("kernel {kernel} with padding 'valid' does not fit into space {space}", kernel=kernel, space=tuple(space)),
                tr("use a smaller kernel or padding 'same'"),
            )
        super().__init__(in_shape, (*out_space, spec.features), spans[0], stride[0], left, not whole)
        self.conv_stride, self.dilation = stride, dilation
        self.groups = channels if spec.separable else spec.groups
        # The space is padded here, on the left as `same` says and on the right with what the last window needs.
        befores = [0 if whole else (e - 1) // 2 for e in spans[1:]]
        afters = [(m - 1) * s + e - n - b for m, s, e, n, b in zip(out_space, stride[1:], spans[1:], space, befores, strict=True)]
        self.space_padding = tuple(zip(befores, afters, strict=True))
        self.weight = nn.Parameter(torch.empty(channels if spec.separable else spec.features, channels // self.groups, *kernel))
        self.pointwise = nn.Parameter(torch.empty(spec.features, channels)) if spec.separable else None
        self.bias = nn.Parameter(torch.zeros(spec.features)) if spec.bias else None
        fill(self.weight, spec.init)
        if self.pointwise is not None:
            fill(self.pointwise, spec.init)

    def direct(self, x: Seq) -> Tensor | None:
        if self.groups > 1 or self.pointwise is not None or not windows.serves(x.values, x.lengths, self.weight, self.bias):
            return None
        grid = windows.Grid(self.weight.shape[2], self.stride, self.dilation[0], self.left, self.partial)
        return windows.conv(x.values, x.lengths, self.weight, self.bias, grid)

    def windows(self, frames: Tensor, total: Tensor | int, padding: int = 0) -> Tensor:
        inner = [b if b == a else 0 for b, a in self.space_padding]
        outer = [(0, 0) if b == a else (b, a) for b, a in self.space_padding]
        if any(a or b for b, a in outer):
            frames = F.pad(frames, (0, 0, *(n for pair in reversed(outer) for n in pair)))
        bias = self.bias if self.pointwise is None else None
        y = _convolve(frames, self.weight, bias, self.conv_stride, (padding, *inner), self.dilation, self.groups)
        return y if self.pointwise is None else F.linear(y, self.pointwise, self.bias)


FEW = 64
"""Windows up to which one product with them laid out is the faster convolution, as for one frame of a live stream: for the other, oneDNN
orders the weights anew at each call. 256 channels, kernel 3: 24 microseconds for one window in place of 85; equal at about 64."""


def _convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> Tensor:
    """`[B, T, *space, C]` to the same layout. Channels last as a view is what oneDNN and cuDNN are fastest in: nothing is transposed."""
    if x.dim() == 5:
        y = F.conv3d(x.permute(0, 4, 1, 2, 3), weight, bias, stride, padding, dilation, groups)
        return y.permute(0, 2, 3, 4, 1).contiguous()
    if x.dim() == 4:
        y = F.conv2d(x.permute(0, 3, 1, 2), weight, bias, stride, padding, dilation, groups)
        return y.permute(0, 2, 3, 1).contiguous()
    if groups == 1 and not any(padding) and at_hand(x):
        windows = x.unfold(1, (weight.shape[2] - 1) * dilation[0] + 1, stride[0])
        if windows.shape[0] * windows.shape[1] <= FEW:
            return F.linear(windows[..., :: dilation[0]].flatten(2), weight.flatten(1), bias)
    # One dimension runs as a picture of height 1: conv1d has no channels-last path.
    y = F.conv2d(x.transpose(1, 2).unsqueeze(2), weight.unsqueeze(2), bias, (1, *stride), (0, *padding), (1, *dilation), groups)
    return y.squeeze(2).transpose(1, 2).contiguous()
