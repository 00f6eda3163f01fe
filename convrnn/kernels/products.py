"""The products of recurrences and their gradients in torch: matrices, convolutions over space. Knows no cell and no loop.

Shapes: N rows, T frames, *space, C or H what goes in, G = gates x H what comes out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from convrnn.kernels.reference import Recurrence


class Matrix:
    """h `[N, H]` to `[N, G]`."""

    def __init__(self, w: Tensor) -> None:
        self.w = w

    def __call__(self, h: Tensor) -> Tensor:
        return F.linear(h, self.w)

    def back(self, d: Tensor) -> Tensor:
        """The gradient of h."""
        return d @ self.w

    def gradient(self, d: Tensor, seen: Tensor) -> Tensor:
        """The gradient of the weights, of many frames at once."""
        return d.flatten(0, -2).t() @ seen.flatten(0, -2)


class Convolution:
    """h `[N, *space, H]` to `[N, *space, G]`, `same` padding. A line is a picture of one row: channels then lie last for both."""

    def __init__(self, w: Tensor) -> None:
        self.shape = w.shape
        self.w = (w if w.dim() == 4 else w.unsqueeze(2)).contiguous(memory_format=torch.channels_last)
        self.before = [(k - 1) // 2 for k in self.w.shape[2:]]
        # An even window reads one position more behind than before.
        self.behind = [0, 0, 0, 1 - self.w.shape[3] % 2, 0, 1 - self.w.shape[2] % 2]

    def __call__(self, h: Tensor) -> Tensor:
        return self._line(F.conv2d(self._picture(h), self.w, padding=self.before).movedim(1, -1))

    def back(self, d: Tensor) -> Tensor:
        """The gradient of h."""
        picture = (d if len(self.shape) == 4 else d.unsqueeze(1)).movedim(-1, 1)
        n, _, height, width = picture.shape
        shape = n, self.w.shape[1], height + self.behind[5], width + self.behind[3]
        # Of the input only the shape is read.
        found = self._derive(picture, picture.new_empty(1).expand(shape), 0)
        return self._line(found[:, :, :height, :width].movedim(1, -1))

    def gradient(self, d: Tensor, seen: Tensor) -> Tensor:
        """The gradient of the weights, of many frames at once."""
        d = d.flatten(0, 1)
        picture = (d if len(self.shape) == 4 else d.unsqueeze(1)).movedim(-1, 1)
        return self._derive(picture, self._picture(seen.flatten(0, 1)), 1).reshape(self.shape).contiguous()

    def _picture(self, h: Tensor) -> Tensor:
        h = h if len(self.shape) == 4 else h.unsqueeze(1)
        return (F.pad(h, self.behind) if any(self.behind) else h).movedim(-1, 1)

    def _line(self, h: Tensor) -> Tensor:
        return h if len(self.shape) == 4 else h.squeeze(1)

    def _derive(self, d: Tensor, h: Tensor, which: int) -> Tensor:
        mask = [which == 0, which == 1, False]
        return torch.ops.aten.convolution_backward(d, h, self.w, None, [1, 1], self.before, [1, 1], False, [0, 0], 1, mask)[which]


Product = Matrix | Convolution


def product_of(w: Tensor) -> Product:
    """By the dimensions of the weights."""
    return Matrix(w) if w.dim() == 2 else Convolution(w)


def input_gradients(r: Recurrence, dgates: Tensor) -> dict[str, Tensor]:
    """Of what the gates' part of the input was made of, from its gradient `[B, T, *space, G]`."""
    if r.w_x is None:
        found = {"x": dgates}
    else:
        product = product_of(r.w_x)
        dx = product.back(dgates.flatten(0, 1)).reshape(r.x.shape).contiguous()
        found = {"x": dx, "w_x": product.gradient(dgates, r.x)}
    return found if r.b is None else found | {"b": dgates.flatten(0, -2).sum(0)}
