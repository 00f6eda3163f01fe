"""Normalisation over valid frames only: the padding is in no statistic."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from convrnn.core.seq import Ids, Seq, Shape, State, expand_mask, frame_mask, tidy
from convrnn.core.spec import register
from convrnn.layers.base import Framewise, Last, Layer, Out, Spec, dense

Epsilon = Annotated[float, Field(gt=0)]


@register("batch_norm")
class BatchNorm(Spec):
    """(x - mean) / sqrt(var + epsilon) * scale + shift for each channel (Ioffe & Szegedy 2015, arXiv 1502.03167).

    In training the statistics are those of the valid frames of the batch, so rows of a batch influence each other; in evaluation those of
    a running average, so they do not.

    Attributes:
        momentum: share of a new batch in the running average (Keras writes 1 - momentum).
        epsilon: added to the variance.

    Example:
        >>> BatchNorm().build(8).out_shape
        (8,)
    """

    momentum: Annotated[float, Field(gt=0, le=1)] = 0.1
    epsilon: Epsilon = 1e-5

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        return _BatchNorm(self, dense(in_shape))


class _BatchNorm(Layer):
    mean: Tensor
    var: Tensor

    def __init__(self, spec: BatchNorm, in_shape: Shape) -> None:
        super().__init__(in_shape, in_shape)
        self.momentum, self.epsilon = spec.momentum, spec.epsilon
        self.scale, self.shift = nn.Parameter(torch.ones(in_shape[-1])), nn.Parameter(torch.zeros(in_shape[-1]))
        self.register_buffer("mean", torch.zeros(in_shape[-1]))
        self.register_buffer("var", torch.ones(in_shape[-1]))

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`."""
        x = tidy(self.checked(x))
        flat = x.values.reshape(-1, x.values.shape[-1])
        if not self.training or flat.shape[0] == 0:
            y = F.batch_norm(flat, self.mean, self.var, self.scale, self.shift, False, 0.0, self.epsilon)
        elif x.lengths is None and flat.shape[0] > 1:
            y = F.batch_norm(flat, self.mean, self.var, self.scale, self.shift, True, self.momentum, self.epsilon)
        else:
            y = self._over_valid(x, flat)
        return Out(Seq(y.reshape(x.values.shape), x.lengths), ())

    def _over_valid(self, x: Seq, flat: Tensor) -> Tensor:
        """Two passes over the data, as the variance of large means needs; a single frame has variance 0.

        In float32 at least, as in `F.batch_norm`: half precision cannot count beyond 2048 frames.
        """
        dtype, flat = flat.dtype, flat.to(torch.promote_types(flat.dtype, torch.float32))
        valid = torch.ones_like(flat[:, :1]) if x.lengths is None else self._valid(x).to(flat.dtype)
        count = valid.sum().clamp(min=1)
        mean = flat.sum(0) / count
        centred = (flat - mean) * valid
        var = centred.square().sum(0) / count
        with torch.no_grad():
            share = self.momentum * valid.any().to(self.mean.dtype)
            self.mean.lerp_(mean.detach().to(self.mean.dtype), share)
            self.var.lerp_((var.detach() * count / (count - 1).clamp(min=1)).to(self.var.dtype), share)
        return (centred * (torch.rsqrt(var + self.epsilon) * self.scale) + self.shift).to(dtype)

    @staticmethod
    def _valid(x: Seq) -> Tensor:
        """Bool `[B * T * space, 1]`."""
        assert x.lengths is not None
        mask = expand_mask(frame_mask(x.values.shape[1], x.lengths), x.values)
        return mask.expand(*x.values.shape[:-1], 1).reshape(-1, 1)


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
