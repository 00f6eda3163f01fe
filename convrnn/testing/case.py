"""A layer with what it is fed, and the gradients that laws compare. Knows no law and no layer in particular."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from convrnn.core.seq import Ids, Shape
from convrnn.layers.base import Layer, Spec
from convrnn.testing.chunks import make_rows


@dataclass(frozen=True)
class Case:
    """A layer, what it is fed, and the laws it is exempt from.

    Attributes:
        name: shown in test ids.
        spec: the layer.
        in_shape: what goes in.
        lengths: frames of each row; short and empty rows belong in.
        exempt: law (or `law:train`) -> reason.
        dtype: of the values.
    """

    name: str
    spec: Spec
    in_shape: int | Shape | Ids
    lengths: tuple[int, ...] = (11, 0, 5, 1)
    exempt: Mapping[str, str] = field(default_factory=dict)
    dtype: torch.dtype = torch.float64

    def build(self, training: bool = False) -> Layer:
        """The layer, its weights fixed and none of them zero (a zero bias would hide a padding that is multiplied)."""
        draw_from(0)
        net = self.spec.build(self.in_shape).to(self.dtype)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
        return net.train(training)

    def rows(self, seed: int) -> list[Tensor]:
        """The input, one tensor a row."""
        shape = (self.in_shape,) if isinstance(self.in_shape, int) else self.in_shape
        return make_rows(shape, self.lengths, seed, self.dtype)


def draw_from(seed: int) -> None:
    """Seeds what is drawn on the CPU, where the laws run.

    `torch.manual_seed` notes the whole stack three times a call for devices that are not there, a sixth of the time of the laws, and keeps
    it.
    """
    torch.default_generator.manual_seed(seed)


Law = Callable[[Case, int, bool], None]
"""`law(case, seed, training)`."""


def representatives(cases: Iterable[Case]) -> set[str]:
    """The name of the first case of each family, a family being a file: what stands for the others where a law takes seconds."""
    first: dict[str, str] = {}
    for case in cases:
        first.setdefault(type(case.spec).__module__, case.name)
    return set(first.values())


def random_linear(outputs: list[Tensor], seed: int) -> Tensor:
    """A random linear function of the outputs."""
    generator = torch.Generator().manual_seed(seed)
    terms = [(y * torch.randn(y.shape, generator=generator, dtype=y.dtype)).sum() for y in outputs]
    return torch.stack(terms).sum()


def gradients(net: Layer, rows: list[Tensor], run: Callable[[list[Tensor]], list[Tensor]], seed: int) -> list[Tensor]:
    """Gradients of rows and parameters of a random linear function of what `run` answers."""
    inputs = [row.clone().requires_grad_() if row.dtype.is_floating_point else row for row in rows]
    outputs = run(inputs)
    wanted = [t for t in (*inputs, *net.parameters()) if t.requires_grad]
    loss = random_linear(outputs, seed)
    if not wanted or not loss.requires_grad:
        return []
    found = torch.autograd.grad(loss, wanted, allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for t, g in zip(wanted, found, strict=True)]
