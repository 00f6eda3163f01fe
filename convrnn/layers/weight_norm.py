"""Weights as a length and a direction. Knows nothing of what the weights are for; the body's facts are its own."""

from __future__ import annotations

from dataclasses import field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from convrnn.core.errors import SpecError
from convrnn.core.language import tr
from convrnn.core.seq import Ids, Shape
from convrnn.core.spec import register
from convrnn.core.weights import matrices
from convrnn.layers.base import Layer, Spec
from convrnn.layers.combine import SerialLayer, build_at


@register("weight_norm")
class WeightNorm(Spec):
    """w = g v / |v| for every weight matrix of the body (Salimans & Kingma 2016, arXiv 1602.07868): length and direction learn apart.

    There is one g for each entry of the first dimension (a unit, a filter, a row of a gate; in a transposed convolution an input
    channel, as in torch), and |v| is over all others. It begins with w as the body draws it. Biases, peepholes and the scales of norms are
    left alone, and so is a recurrent weight of one number a unit. No statistics are taken: it streams, and training is as evaluation.

    Attributes:
        body: what has the weights.

    Example:
        >>> from convrnn.layers.conv import Conv
        >>> net = WeightNorm(Conv(16, kernel=5)).build(8)
        >>> [tuple(p.shape) for p in net.parameters()]
        [(16,), (16, 1, 1), (16, 8, 5)]
    """

    body: Spec = field(kw_only=False)

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        body = build_at("body", self.body, in_shape)
        found = list(matrices(body))
        if not found:
            raise SpecError(
                "body", tr("expected a layer with weight matrices, {body!r} has none", body=self.body.name), tr("leave weight_norm out")
            )
        for path, module, name in found:
            if not bool(_lengths(module.get_parameter(name)).all()):
                place = ".".join(["body", *([path] if path else []), name])
                raise SpecError(place, tr("begins with a row of zeros, which has no direction"), tr("use another init"))
            parametrize.register_parametrization(module, name, _Normed())
        return _WeightNormed([body], in_shape)


class _WeightNormed(SerialLayer):
    """Travels between processes as its spec and its numbers: torch makes a class for each parametrized module, and pickles none."""

    def __reduce__(self) -> tuple[Any, ...]:
        """What makes it again, see `pickle`."""
        assert self.made_from is not None
        return _again, (self.made_from, self.in_shape, self.state_dict(), [p.requires_grad for p in self.parameters()], self.training)


def _again(spec: WeightNorm, in_shape: Shape | Ids, numbers: dict[str, Tensor], learned: list[bool], training: bool) -> Layer:
    like = next(each for each in numbers.values() if each.dtype.is_floating_point)
    layer = spec.build(in_shape).to(like.device, like.dtype)
    layer.load_state_dict(numbers)
    for parameter, wanted in zip(layer.parameters(), learned, strict=True):
        parameter.requires_grad_(wanted)
    return layer.train(training)


class _Normed(nn.Module):
    def forward(self, g: Tensor, v: Tensor) -> Tensor:
        """w from its length and direction."""
        return v * (g / _lengths(v))

    def right_inverse(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """The length of each row, and w itself as the direction."""
        return _lengths(w), w


def _lengths(w: Tensor) -> Tensor:
    """`[rows, 1, ...]`."""
    return torch.linalg.vector_norm(w, dim=tuple(range(1, w.dim())), keepdim=True)
