"""Layers made of layers: one after the other, side by side, around. Facts are computed from those of the children. Knows no layer by name.

What is built from these three stands in `blocks.py`; how branches wait for each other in `joined.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field
from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convrnn.core.errors import InputError, ShapeError, SpecError
from convrnn.core.language import tr
from convrnn.core.seq import Count, Ids, Seq, Shape, State, tidy
from convrnn.core.spec import register
from convrnn.layers.base import Last, Layer, Out, Reach, Spec, dense, facts_of, reads_through
from convrnn.layers.joined import Joined, under

Merge = Literal["concat", "add", "mean", "multiply", "gate", "attention"]


@register("serial")
class Serial(Spec):
    """One layer after the other. In YAML a stack is a list.

    Attributes:
        layers: from input to output; none: the identity.

    Example:
        >>> Serial().build(3).out_shape
        (3,)
    """

    variadic: ClassVar[str | None] = "layers"
    stack: ClassVar[bool] = True
    layers: tuple[Spec, ...] = ()

    if TYPE_CHECKING:

        def __init__(self, *layers: Spec) -> None: ...

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        built: list[Layer] = []
        shape = in_shape
        for i, spec in enumerate(self.layers):
            built.append(build_at(str(i), spec, shape))
            shape = built[-1].out_shape
        return SerialLayer(built, in_shape)


def build_at(place: str, spec: Spec, in_shape: Shape | Ids) -> Layer:
    """The layer of a spec inside another; an error names the place."""
    try:
        return spec.build(in_shape)
    except InputError as error:
        raise error.within(place) from None


class SerialLayer(Layer):
    """The state is a tuple of the layers' states, one for each time that the input goes through a layer.

    Attributes:
        times: how often the input goes through all of the layers.
    """

    chained: ClassVar[bool] = True

    def __init__(self, layers: list[Layer], in_shape: Shape | Ids, times: int = 1) -> None:
        super().__init__(in_shape, layers[-1].out_shape if layers else dense(in_shape))
        self.layers, self.times = nn.ModuleList(layers), times
        self.streams = all(layer.streams for layer in layers)
        self.ratio, self.past, self.lookahead = facts_of(self._all())

    def reads(self, j: int) -> Reach:
        """See `Layer.reads`."""
        return reads_through(self._all(), j)

    def parts(self) -> Iterator[tuple[str, Layer]]:
        """See `Layer.parts`."""
        yield from ((str(i), layer) for i, layer in enumerate(self._all()[: len(self.layers)]))

    def frames(self, n: Count) -> Count:
        """See `Layer.frames`."""
        for layer in self._all():
            n = layer.frames(n)
        return n

    def ready(self, n: Count) -> Count:
        """See `Layer.ready`."""
        for layer in self._all():
            n = layer.ready(n)
        return n

    def initial_state(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        """See `Layer.initial_state`."""
        return tuple(layer.initial_state(batch, like) for layer in self._all())

    def state_names(self) -> tuple[Any, ...]:
        """See `Layer.state_names`: under the place of each layer."""
        return tuple(under(str(i), layer.state_names()) for i, layer in enumerate(self._all()))

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`."""
        layers = self._all()
        if not layers:
            return Out(self.checked(x), ())
        states: list[State] = []
        for i, layer in enumerate(layers):
            x, after = layer(x, None if state is None else state[i], last)
            states.append(after)
        return Out(x, tuple(states))

    def _all(self) -> list[Layer]:
        return list(self.layers) * self.times  # pyright: ignore[reportReturnType]  (a ModuleList does not say of what)


@register("parallel")
class Parallel(Spec):
    """The same input to every branch, the answers joined frame by frame. Branches may look ahead differently: the early ones wait.

    With y_i the answer of branch i, `gate` and `attention` learn how much each of them counts, anew for every frame:

        gate:       y = sum_i p_i y_i,  p = softmax over i of W [y_1; ...; y_n] + a, one p_i for each channel (Arevalo et al. 2017,
                    arXiv 1702.01992, for more than two)
        attention:  y = sum_i p_i y_i,  p = softmax over i of v . tanh(W y_i + a), one p_i for the whole frame (Yang et al. 2016)

    Attributes:
        branches: two or more, with equal numbers of frames out.
        merge: `concat` of channels; `add`, `mean` or `multiply`, entry by entry; `gate`; or `attention`.

    Example:
        >>> from convrnn.layers.conv import Conv
        >>> Parallel(Conv(4, kernel=3), Conv(4, kernel=7, padding="causal")).build(2).out_shape
        (8,)
    """

    variadic: ClassVar[str | None] = "branches"
    branches: tuple[Spec, ...]
    merge: Merge = "concat"

    if TYPE_CHECKING:

        def __init__(self, *branches: Spec, merge: Merge = "concat") -> None: ...

    def check(self) -> None:
        """At least two branches."""
        if len(self.branches) < 2:
            raise SpecError("parallel.branches", tr("expected at least two, got {got}", got=len(self.branches)))

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        built = [(str(i), build_at(str(i), spec, in_shape)) for i, spec in enumerate(self.branches)]
        return _Parallel(built, self.merge, in_shape)


@register("residual")
class Residual(Spec):
    """x + body(x); the skip waits for what the body looks ahead (He et al. 2016, arXiv 1512.03385). It does not project.

    Attributes:
        body: a layer that keeps width and number of frames.

    Example:
        >>> from convrnn.layers.conv import Conv
        >>> Residual(Conv(8, kernel=5)).build(8).lookahead
        2
    """

    body: Spec = field(kw_only=False)

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        skip, body = around(self.body, in_shape)
        return _Parallel([("skip", skip), ("body", body)], "add", in_shape)


def around(body: Spec, in_shape: Shape | Ids) -> tuple[Layer, Layer]:
    """The identity and the body of a block that adds one to the other; raises `ShapeError` unless the body keeps the shape of frames."""
    built = body.build(in_shape)
    if built.out_shape != in_shape:
        raise ShapeError(
            "",
            tr("the body gives {out_shape}, the input is {in_shape}", out_shape=built.out_shape, in_shape=in_shape),
            tr("end the body with {dense} features", dense=dense(in_shape)[-1]),
        )
    return Serial().build(in_shape), built


class _Parallel(Joined):
    def __init__(self, branches: Sequence[tuple[str, Layer]], merge: Merge, in_shape: Shape | Ids) -> None:
        shapes = [layer.out_shape for _, layer in branches]
        for (place, _), shape in zip(branches[1:], shapes[1:], strict=True):
            _compare_shapes(place, shape, shapes[0], merge)
        *space, width = shapes[0]
        out_width = sum(shape[-1] for shape in shapes) if merge == "concat" else width
        super().__init__(branches, in_shape, (*space, out_width), weighs=merge in ("multiply", "gate", "attention"))
        self.merge = merge
        self.gate = nn.Linear(len(shapes) * width, len(shapes) * width) if merge == "gate" else None
        self.hidden = nn.Linear(width, width) if merge == "attention" else None
        self.score = nn.Linear(width, 1, bias=False) if merge == "attention" else None

    def join(self, values: list[Tensor]) -> Tensor:
        """See `Joined.join`."""
        match self.merge:
            case "concat":
                return torch.cat(values, -1)
            case "add":
                return sum(values[1:], values[0])
            case "mean":
                return sum(values[1:], values[0]) / len(values)
            case "multiply":
                return reduce(torch.mul, values)
            case _:
                return (self._weights(values) * torch.stack(values, -2)).sum(-2)

    def inside(self, x: Seq) -> dict[str, Tensor]:
        """See `Layer.inside`: the weights of the branches, `[B, T, *space, branches, C]` for `gate`, C = 1 for `attention`."""
        if self.merge not in ("gate", "attention"):
            return {}
        return {"weights": self._weights([tidy(layer(x).seq).values for _, layer in self.parts()])}

    def _weights(self, values: list[Tensor]) -> Tensor:
        """`[B, T, *space, branches, C or 1]`, adding up to one over the branches."""
        if self.gate is not None:
            return F.linear(torch.cat(values, -1), self.gate.weight, self.gate.bias).unflatten(-1, (len(values), -1)).softmax(-2)
        assert self.hidden is not None and self.score is not None
        return self.score(torch.tanh(self.hidden(torch.stack(values, -2)))).softmax(-2)


def _compare_shapes(place: str, mine: Shape, theirs: Shape, merge: Merge) -> None:
    if mine[:-1] != theirs[:-1] or (merge != "concat" and mine != theirs):
        raise ShapeError(
            place,
            tr("gives frames of {mine}, the first branch gives {theirs}", mine=mine, theirs=theirs),
            tr("make them equal, or merge='concat' where only widths differ"),
        )
