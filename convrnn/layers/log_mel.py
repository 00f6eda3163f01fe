"""Log-mel frames as a layer: samples in, bands out, the same in any chunks. Knows no recording; `core/mel.py` says what a band is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from convrnn.core.errors import ShapeError, SpecError
from convrnn.core.language import tr
from convrnn.core.mel import FLOOR, MelFrames
from convrnn.core.seq import Ids, Seq, Shape
from convrnn.core.spec import register
from convrnn.layers.base import Layer, Spec, flat
from convrnn.layers.conv import Positive
from convrnn.layers.windowed import Windowed

Milliseconds = Annotated[float, Field(gt=0, le=10_000)]


@register("log_mel")
class LogMel(Spec):
    """The logarithm of the power in mel bands: samples `[B, N, 1]` to `[B, ceil(N / hop), mels]`.

        y = (log max(F |D x|^2, 1e-10) - means) / deviations

    with x the samples of a frame, D the window and the Fourier transform, F the triangles of the bands; frame j begins at sample `j hop`,
    and what the last ones lack is silence. Nothing is learned by training. Products are made in float64: a quiet band beside a loud
    one is what float32 leaves of the loud one. Samples are floats, full scale 1, or int16.

    Attributes:
        mels: bands.
        rate: samples a second.
        window_ms: length of a frame.
        hop_ms: from frame to frame.
        low_hz: where the first band begins.
        high_hz: where the last band ends; None: half the rate.
        means: one a band; none: 0.
        deviations: one a band; none: 1.

    Example:
        >>> net = LogMel(40, rate=16_000).build(1)
        >>> net.out_shape, net.frames(16_000), net.lookahead
        ((40,), 100, 399)
    """

    mels: Annotated[int, Field(ge=1, le=512)] = field(default=40, kw_only=False)
    rate: Positive = 16_000
    window_ms: Milliseconds = 25.0
    hop_ms: Milliseconds = 10.0
    low_hz: Annotated[float, Field(ge=0)] = 20.0
    high_hz: Annotated[float, Field(gt=0)] | None = None
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()

    def check(self) -> None:
        """There are such bands, and one mean and deviation for each, or none."""
        self.grid().check(self.name)
        for name in ("means", "deviations"):
            if len(getattr(self, name)) not in (0, self.mels):
                raise SpecError(
                    f"{self.name}.{name}",
                    tr("expected {count}, one a band, or none, got {got}", count=self.mels, got=len(getattr(self, name))),
                )
        if any(not deviation > 0 for deviation in self.deviations):
            raise SpecError(f"{self.name}.deviations", tr("expected numbers above 0, got {got}", got=min(self.deviations)))

    def grid(self) -> MelFrames:
        """What a frame and a band are."""
        return MelFrames(self.rate, self.window_ms, self.hop_ms, self.mels, self.low_hz, self.high_hz)

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        if flat(in_shape) != 1:
            raise ShapeError("", tr("expected one channel of samples, got {got}", got=flat(in_shape)), tr("average the channels"))
        return _LogMel(self)


class _LogMel(Windowed):
    cosine: Tensor
    sine: Tensor
    bands: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(self, spec: LogMel) -> None:
        grid = spec.grid()
        super().__init__((1,), (spec.mels,), grid.span, grid.hop, 0, True)
        self.constants: dict[str, Tensor] = {}
        turns = np.outer(np.arange(grid.span), np.arange(grid.size // 2 + 1)) * (2 * np.pi / grid.size)
        self._constant("cosine", grid.window[:, None] * np.cos(turns))
        self._constant("sine", grid.window[:, None] * np.sin(turns))
        self._constant("bands", grid.filters)
        self._constant("mean", np.array(spec.means or [0.0]))
        self._constant("deviation", np.array(spec.deviations or [1.0]))

    def _constant(self, name: str, value: np.ndarray) -> None:
        """Moves with the layer from device to device; the spec has it, so it is not stored with the weights."""
        self.constants[name] = torch.from_numpy(value)
        self.register_buffer(name, self.constants[name], persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> _LogMel:
        """As ever, but constants stay float64 when the layers around are made float32."""
        super()._apply(fn, recurse)
        for name, value in self.constants.items():
            setattr(self, name, value.to(getattr(self, name).device))
        return self

    def checked(self, x: Seq) -> Seq:
        """See `Layer.checked`; int16 becomes floats."""
        if x.values.dtype == torch.int16:
            x = x._replace(values=x.values.to(torch.get_default_dtype()) / 32768)
        return super().checked(x)

    def windows(self, frames: Tensor, total: Tensor | int, padding: int = 0) -> Tensor:
        windows_BTS = frames[..., 0].unfold(1, self.span, self.stride).double()
        power_BTK = (windows_BTS @ self.cosine).square() + (windows_BTS @ self.sine).square()
        logs_BTM = (power_BTK @ self.bands).clamp(min=FLOOR).log()
        return ((logs_BTM - self.mean) / self.deviation).to(frames.dtype)
