"""Symbols to vectors. Ids beyond a row's length are replaced before the look-up, so that they may be anything."""

from __future__ import annotations

from dataclasses import field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convrnn.core.errors import ShapeError
from convrnn.core.language import tr
from convrnn.core.seq import Ids, Seq, Shape, State, tidy
from convrnn.core.spec import register
from convrnn.layers.base import Last, Layer, Out, Spec
from convrnn.layers.conv import Positive
from convrnn.layers.init import Init, fill


@register("embedding")
class Embedding(Spec):
    """Learned vectors of symbols: ids `[B, T]` to `[B, T, features]` (Bengio et al. 2003).

    Attributes:
        features: width of the vectors.
        init: how they begin; the default, uniform, is of unit order whatever the size of the vocabulary.

    Example:
        >>> Embedding(16).build(Ids(1000)).out_shape
        (16,)
    """

    features: Positive = field(kw_only=False)
    init: Init = "uniform"

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        if not isinstance(in_shape, Ids):
            raise ShapeError(
                "",
                tr("expected ids of symbols, got channels {got}", got=in_shape),
                tr("build for cr.Ids(n), or leave the Embedding out"),
            )
        return _Embedding(self, in_shape)


class _Embedding(Layer):
    def __init__(self, spec: Embedding, in_shape: Ids) -> None:
        super().__init__(in_shape, (spec.features,))
        self.symbols = in_shape.size
        self.weight = nn.Parameter(torch.empty(in_shape.size, spec.features))
        fill(self.weight, spec.init)

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`; raises `ShapeError` for an id that is not in the vocabulary."""
        x = tidy(self.checked(x))
        self._refuse_foreign(x.values)
        return Out(Seq(F.embedding(x.values, self.weight), x.lengths), ())

    def _refuse_foreign(self, ids: Tensor) -> None:
        """Looks at the numbers, so not in traced code, nor where looking would stall a device (there torch's own check speaks)."""
        if ids.device.type != "cpu" or torch.compiler.is_compiling() or not ids.numel():
            return
        low, high = ids.aminmax()
        if int(low) < 0 or int(high) >= self.symbols:
            foreign = int(low) if int(low) < 0 else int(high)
            raise ShapeError(
                self.name,
                tr("expected ids in 0..{symbols}, got {got}", symbols=self.symbols - 1, got=foreign),
                tr("encode with the vocabulary the model was built for"),
            )
