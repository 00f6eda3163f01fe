"""Normalisation that streams in evaluation: each frame by itself (layer, RMS), or by what training has learned (batch).

The padding is in no statistic. Knows no statistics of a row: those are in `norm_whole.py`.
"""

from __future__ import annotations

from dataclasses import field
from math import prod
from typing import Annotated, Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from convrnn.core.seq import Ids, Seq, Shape, State, expand_mask, frame_mask, tidy
from convrnn.core.spec import register
from convrnn.kernels import windows
from convrnn.kernels.moments import normalised
from convrnn.layers.base import Framewise, Last, Layer, Out, Spec, dense
from convrnn.layers.moments import wide

Epsilon = Annotated[float, Field(gt=0)]


@register("batch_norm")
class BatchNorm(Spec):
    """(x - mean) / sqrt(var + epsilon) * scale + shift for each channel (Ioffe & Szegedy 2015, arXiv 1502.03167).

    In training the statistics are those of the valid frames of the batch, so rows of a batch influence each other; in evaluation those of
    a running average, so they do not.

    Where `torch.distributed` trains in several processes, the statistics are those of the valid frames of all of them, however unevenly
    they are spread; a process without any takes part too. Gradients flow through the sums, so that averaging the gradients of the
    parameters (as `DistributedDataParallel` does) gives those of the mean of the processes' losses.

    Attributes:
        momentum: share of a new batch in the running average (Keras writes 1 - momentum).
        epsilon: added to the variance.
        synchronise: whether processes that train together share their statistics; False: each normalises with its own part of the batch.

    Example:
        >>> BatchNorm().build(8).out_shape
        (8,)
    """

    momentum: Annotated[float, Field(gt=0, le=1)] = 0.1
    epsilon: Epsilon = 1e-5
    synchronise: bool = True

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        return _BatchNorm(self, dense(in_shape))


class _BatchNorm(Layer):
    mean: Tensor
    var: Tensor

    def __init__(self, spec: BatchNorm, in_shape: Shape) -> None:
        super().__init__(in_shape, in_shape)
        self.momentum, self.epsilon, self.synchronise = spec.momentum, spec.epsilon, spec.synchronise
        self.scale, self.shift = nn.Parameter(torch.ones(in_shape[-1])), nn.Parameter(torch.zeros(in_shape[-1]))
        self.register_buffer("mean", torch.zeros(in_shape[-1]))
        self.register_buffer("var", torch.ones(in_shape[-1]))

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`."""
        x = self.checked(x)
        together = self.training and self.synchronise and _several_processes()
        if self.training and not together and (values := self._by_kernel(x)) is not None:
            return Out(Seq(values, x.lengths, True), ())
        x = tidy(x)
        flat = x.values.reshape(-1, x.values.shape[-1])
        if not self.training:
            y = F.batch_norm(flat, self.mean, self.var, self.scale, self.shift, False, 0.0, self.epsilon)
        elif x.lengths is None and flat.shape[0] > 1 and not together:
            # Backward holds the buffers that it was given, and the next chunk may change ours before it runs.
            mean, var = self.mean.clone(), self.var.clone()
            y = F.batch_norm(flat, mean, var, self.scale, self.shift, True, self.momentum, self.epsilon)
            self.mean.copy_(mean)
            self.var.copy_(var)
        else:
            y = self._over_valid(x, flat, together)
        return Out(Seq(y.reshape(x.values.shape), x.lengths), ())

    def _by_kernel(self, x: Seq) -> Tensor | None:
        """Of ragged rows, by one that reads no padding; the positions of space are so many more frames."""
        if x.lengths is None:
            return None
        flat, lengths = x.values.flatten(1, -2), x.lengths * prod(self.out_shape[:-1])
        if not windows.serves(flat, lengths, self.scale, self.shift):
            return None
        y, mean, var = normalised(flat, lengths, self.scale, self.shift, self.epsilon)
        self._learn(mean, var, lengths.sum())
        return y.reshape(x.values.shape)

    def _learn(self, mean: Tensor, var: Tensor, number: Tensor) -> None:
        """Takes in the statistics of so many frames; those of none change nothing."""
        with torch.no_grad():
            share = self.momentum * (number > 0).to(self.mean.dtype)
            self.mean.lerp_(mean.detach().to(self.mean.dtype), share)
            self.var.lerp_((var.detach() * number / (number - 1).clamp(min=1)).to(self.var.dtype), share)

    def _over_valid(self, x: Seq, flat: Tensor, together: bool) -> Tensor:
        """Two passes over the data, as the variance of large means needs; a single frame has variance 0.

        In float32 at least, as in `F.batch_norm`: half precision cannot count beyond 2048 frames.
        """
        dtype, flat = flat.dtype, flat.to(wide(flat.dtype))
        valid = torch.ones_like(flat[:, :1]) if x.lengths is None else self._valid(x).to(flat.dtype)
        # The count travels with the sums: one message a pass.
        sums = torch.cat([flat.sum(0), valid.sum()[None]])
        total, number = (_SumOverProcesses.apply(sums) if together else sums).split([flat.shape[1], 1])
        count = number.clamp(min=1)
        mean = total / count
        centred = (flat - mean) * valid
        squares = centred.square().sum(0)
        var = (_SumOverProcesses.apply(squares) if together else squares) / count
        self._learn(mean, var, number)
        return (centred * (torch.rsqrt(var + self.epsilon) * self.scale) + self.shift).to(dtype)

    @staticmethod
    def _valid(x: Seq) -> Tensor:
        """Bool `[B * T * space, 1]`."""
        assert x.lengths is not None
        mask = expand_mask(frame_mask(x.values.shape[1], x.lengths), x.values)
        return mask.expand(*x.values.shape[:-1], 1).reshape(-1, 1)


def _several_processes() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


class _SumOverProcesses(torch.autograd.Function):
    """The sum over all processes, in each; so the gradient of what all of them made of it is a sum over all processes too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _SumOverProcesses.forward(ctx, gradients[0])


@register("layer_norm")
class LayerNorm(Spec):
    """Normalises the channels of each frame and position by themselves (Ba et al. 2016, arXiv 1607.06450); streams.

    Attributes:
        epsilon: added to the variance.

    Example:
        >>> LayerNorm().build(8).out_shape
        (8,)
    """

    epsilon: Epsilon = field(default=1e-5)

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        return _LayerNorm(self.epsilon, dense(in_shape))


class _LayerNorm(Framewise):
    def __init__(self, epsilon: float, in_shape: Shape) -> None:
        super().__init__(in_shape, in_shape)
        self.epsilon = epsilon
        self.scale, self.shift = nn.Parameter(torch.ones(in_shape[-1])), nn.Parameter(torch.zeros(in_shape[-1]))

    def each(self, values: Tensor) -> Tensor:
        return F.layer_norm(values, self.scale.shape, self.scale, self.shift, self.epsilon)


@register("rms_norm")
class RMSNorm(Spec):
    """x / sqrt(mean(x^2) + epsilon) * scale over the channels of each frame and position (Zhang & Sennrich 2019, arXiv 1910.07467).

    `LayerNorm` without its mean and shift; streams.

    Attributes:
        epsilon: added to the mean square.

    Example:
        >>> [name for name, _ in RMSNorm().build(8).named_parameters()]
        ['scale']
    """

    epsilon: Epsilon = field(default=1e-5)

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        return _RMSNorm(self.epsilon, dense(in_shape))


class _RMSNorm(Framewise):
    keeps_zero = True

    def __init__(self, epsilon: float, in_shape: Shape) -> None:
        super().__init__(in_shape, in_shape)
        self.epsilon = epsilon
        self.scale = nn.Parameter(torch.ones(in_shape[-1]))

    def each(self, values: Tensor) -> Tensor:
        x = values.to(wide(values.dtype))
        return (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.epsilon) * self.scale).to(values.dtype)
