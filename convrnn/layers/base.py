"""The contract that every layer obeys: one method, five facts. Knows no layer in particular.

    forward(x: Seq, state=None, last=True) -> Out(seq, state)
    frames(n), ratio, past, lookahead, streams

Offline is `forward(x)`. Streaming is the same call with the state handed on and `last=False`; a layer holds back what it cannot
know yet and releases it when a row ends. Output j stands at input time `j / ratio` and reads the inputs
`[j / ratio - past, j / ratio + lookahead]`, the same for every length.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import ceil, prod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from convrnn.core.errors import InputError, NotStreamable, ShapeError
from convrnn.core.language import tr
from convrnn.core.seq import Count, Ids, Seq, Shape, State, tidy
from convrnn.core.spec import Record

if TYPE_CHECKING:
    from convrnn.layers.stream import Stream
    from convrnn.layers.trace import Trace

InShape = int | Shape | Ids
"""What goes in: channels, `(*space, channels)`, or `Ids(n)` for symbols."""

Reach = tuple[int | None, int | None]
"""First and last input frame; None: unbounded."""

Last = bool | Tensor
"""Whether rows end with this chunk: for all, or bool `[B]` for each."""


class Out(NamedTuple):
    """What a layer returns: the frames it could already answer, and the state to hand on."""

    seq: Seq
    state: State


class Spec(Record):
    """The declarative description of a layer or a whole model: frozen, hashable, stored by name."""

    family: ClassVar[str] = "layer"

    def build(self, in_shape: InShape) -> Layer:
        """The module for inputs of this shape, its widths inferred from left to right, freshly initialised.

        Args:
            in_shape: channels; `(H, C)` or `(H, W, C)` with space; `Ids(n)` for symbols.

        Raises:
            ShapeError: the layer cannot take this shape; the path to it is named.
        """
        shape = (in_shape,) if isinstance(in_shape, int) else in_shape
        try:
            layer = self.module(shape)
        except InputError as error:
            raise (error if self.stack else error.within(self.name)) from None
        layer.name, layer.made_from = self.name, self
        return layer

    @abstractmethod
    def module(self, in_shape: Shape | Ids) -> Layer:
        """The layer of this spec; called by `build`, which names the path in errors."""


class Layer(nn.Module):
    """A map from sequences to sequences that answers the same offline, padded, batched and in chunks.

    Attributes:
        name: the registered name of its spec.
        made_from: the spec that it was built from.
        in_shape: what it takes; `Ids(n)` for symbols.
        out_shape: `(*space, C)` of its output frames.
        ratio: the slope of `frames`; 0 if the number of frames does not grow.
        past: the most input frames before `j / ratio` that an output j reads, rounded up; None: all of them.
        lookahead: the most input frames after it; None: unbounded, answers only when a row ends.
        streams: False only where the state would grow with T.
        remedy: what to use instead where `streams` is False.
        keeps: the names of the tensors of a flat state, in order.
        vectors: its parameters that are no matrices though they have two dimensions or more, see `core.weights`.
        chained: whether its parts stand one behind the other; else each of them reads the layer's own input.
    """

    name: str = ""
    made_from: Spec | None = None
    remedy: str = ""
    keeps: ClassVar[tuple[str, ...]] = ()
    vectors: ClassVar[tuple[str, ...]] = ()
    chained: ClassVar[bool] = False

    def __init__(self, in_shape: Shape | Ids, out_shape: Shape) -> None:
        super().__init__()
        self.in_shape, self.out_shape = in_shape, out_shape
        self.ratio: Fraction = Fraction(1)
        self.past: int | None = 0
        self.lookahead: int | None = 0
        self.streams: bool = True

    if TYPE_CHECKING:

        def __call__(self, x: Seq, state: State = None, last: Last = True) -> Out: ...

    @abstractmethod
    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """The frames that can be answered now, and the state.

        Args:
            x: `[B, T, *space, C]`; `lengths[i]` says how many frames row i brings (0: it pauses).
            state: what the call before returned; None at the start.
            last: whether rows end with these frames.

        Raises:
            ShapeError: values of another shape than `in_shape`.
            NotStreamable: `last` is not True and the layer does not stream.
            StateEnded: frames for a row that has ended.
        """

    def frames(self, n: Count) -> Count:
        """Output frames for n valid input frames, n an int, SymInt or int64 tensor."""
        return n

    def ready(self, n: Count) -> Count:
        """Output frames that are out after n input frames of a row that goes on."""
        return n

    def reads(self, j: int) -> Reach:
        """The first and the last input frame that output frame j reads, whether there are such frames or not.

        The last never falls as j grows, nor does the first: so the reach of a stack is that of its layers put one into the other.
        """
        return (
            None if self.past is None else j // self.ratio - self.past,
            None if self.lookahead is None else j // self.ratio + self.lookahead,
        )

    def initial_state(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        """The state before the first frame as tensors, in the dtype and on the device of `like`."""
        return ()

    def state_names(self) -> tuple[Any, ...]:
        """The names of the state's tensors in evaluation mode, nested as `initial_state`; exported step graphs carry them."""
        return self.keeps

    def inside(self, x: Seq) -> dict[str, Tensor]:
        """Inner values worth looking at, by the symbols of the paper: `[B, T, ...]`, from whole rows, by the readable definition."""
        return {}

    def parts(self) -> Iterator[tuple[str, Layer]]:
        """The layers inside, with their place."""
        yield from ()

    def walk(self, path: str = "") -> Iterator[tuple[str, Layer]]:
        """This layer and all inside it, depth first, each with its dotted path (`2.residual.gru`)."""
        yield path, self
        for place, part in self.parts():
            yield from part.walk(f"{path}.{place}" if path else place)

    def stream(self, batch: int = 1) -> Stream:
        """A session that is fed chunk by chunk, in inference mode.

        Raises:
            NotStreamable: names the layer that cannot stream and the remedy.
        """
        from convrnn.layers.stream import Stream

        return Stream(self, batch)

    def trace(self, x: Seq) -> Trace:
        """What goes on in every layer inside over whole rows, by the symbols of the papers; in inference and evaluation mode.

        Raises:
            ShapeError: values of another shape than `in_shape`.
        """
        from convrnn.layers.trace import trace

        return trace(self, x)

    def obstacle(self) -> tuple[str, Layer] | None:
        """What keeps it from streaming: the innermost layer that does not, behind its dotted path; None if it streams.

        What stands inside a layer that streams does not count: it may be shown whole rows there.
        """
        if self.streams:
            return None
        path, layer = list[str](), self
        while inner := next(((place, part) for place, part in layer.parts() if not part.streams), None):
            path.append(inner[0])
            layer = inner[1]
        return ".".join([*path, layer.name]), layer

    def require_streams(self) -> None:
        """Raises `NotStreamable` for the innermost layer that does not stream."""
        if found := self.obstacle():
            raise NotStreamable(found[0], tr("cannot stream: it needs the whole row"), found[1].remedy)

    def checked(self, x: Seq) -> Seq:
        """`x`, its shape compared with `in_shape` and its lengths with its frames.

        Raises:
            ShapeError: they do not fit.
        """
        if isinstance(self.in_shape, Ids):
            if x.values.dim() != 2 or x.values.dtype.is_floating_point:
                raise ShapeError(
                    self.name,
                    tr("expected integer ids [B, T], got {dtype} {shape}", dtype=x.values.dtype, shape=list(x.values.shape)),
                    tr("give ids, or build for channels"),
                )
        elif x.values.shape[2:] != self.in_shape:
            expected = ", ".join(["B", "T", *map(str, self.in_shape)])
            raise ShapeError(
                self.name,
                tr("expected [{expected}], got {got}", expected=expected, got=list(x.values.shape)),
                tr("build it for {shape}", shape=tuple(x.values.shape[2:])),
            )
        elif not x.values.dtype.is_floating_point:
            raise ShapeError(
                self.name,
                tr("expected floating-point values, got {got}", got=x.values.dtype),
                tr("convert with .float(), or put an Embedding first"),
            )
        if x.lengths is not None and not torch.compiler.is_compiling():
            _refuse_unfit_lengths(self.name, x.lengths, x.values)
        return x


def _refuse_unfit_lengths(where: str, lengths: Tensor, values: Tensor) -> None:
    """Raises `ShapeError` unless lengths are int64 `[B]` within 0..T. The numbers are read on the CPU only: elsewhere looking would stall.

    One pass over B numbers, 2 microseconds; without it a length beyond T counts frames that do not exist in every mean and norm.
    """
    rows, frames = values.shape[:2]
    if lengths.shape != (rows,) or lengths.dtype != torch.int64:
        raise ShapeError(
            where,
            tr("expected lengths int64 [{rows}], got {dtype} {shape}", rows=rows, dtype=lengths.dtype, shape=list(lengths.shape)),
            tr("give one number a row"),
        )
    if lengths.device.type != "cpu" or not rows:
        return
    low, high = (int(bound) for bound in lengths.aminmax())
    if low < 0 or high > frames:
        wrong = low if low < 0 else high
        row = lengths.tolist().index(wrong)
        raise ShapeError(
            where,
            tr("expected lengths in 0..{frames}, got {got} for row {row}", frames=frames, got=wrong, row=row),
            tr("a length counts the frames of its row"),
        )


def channels_of(in_shape: Shape | Ids) -> int:
    """The number of channels; raises `ShapeError` for symbols."""
    return dense(in_shape)[-1]


def dense(in_shape: Shape | Ids) -> Shape:
    """A shape with channels; raises `ShapeError` for symbols."""
    if isinstance(in_shape, Ids):
        raise ShapeError("", tr("expected channels, got ids of {size} symbols", size=in_shape.size), tr("put an Embedding first"))
    return in_shape


def flat(in_shape: Shape | Ids) -> int:
    """Channels of a shape without space; raises `ShapeError`."""
    shape = dense(in_shape)
    if len(shape) != 1:
        raise ShapeError("", tr("expected frames without space, got {got}", got=shape), tr("put a Fold first"))
    return shape[0]


class Facts(NamedTuple):
    """Ratio and reach of layers one after the other."""

    ratio: Fraction
    past: int | None
    lookahead: int | None


def reads_through(layers: Sequence[Layer], j: int) -> Reach:
    """What output frame j of layers one after the other reads of their input."""
    first: int | None = j
    last: int | None = j
    for layer in reversed(layers):
        first = None if first is None else layer.reads(first)[0]
        last = None if last is None else layer.reads(last)[1]
    return first, last


def facts_of(layers: Sequence[Layer]) -> Facts:
    """Measured on the frames themselves, over a whole period: sums of the layers' reaches would be too large behind up-sampling."""
    ratio = prod((layer.ratio for layer in layers), start=Fraction(1))
    if not ratio:
        return Facts(ratio, _past_of_row(layers), None)
    past: int | None = 0
    lookahead: int | None = 0
    for j in range(prod(layer.ratio.numerator for layer in layers)):
        first, last = reads_through(layers, j)
        past = None if past is None or first is None else max(past, ceil(j / ratio - first))
        lookahead = None if lookahead is None or last is None else max(lookahead, ceil(last - j / ratio))
    return Facts(ratio, past, lookahead)


def _past_of_row(layers: Sequence[Layer]) -> int | None:
    """How far the one frame that stands for a row looks back from the row's end: that depends on what its layer keeps of the frames."""
    place = next(i for i, layer in enumerate(layers) if not layer.ratio)
    front = facts_of(layers[:place])
    if layers[place].past is None or front.past is None or front.lookahead is None:
        return None
    past, enough = 0, 4 * (front.past + front.lookahead) + 8 * front.ratio.denominator
    for n in range(enough, enough + front.ratio.denominator):
        frames = n
        for layer in layers[:place]:
            frames = layer.frames(frames)
        first, _ = reads_through(layers[:place], frames - 1)
        assert first is not None
        past = max(past, n - 1 - first)
    return past


class Framewise(Layer):
    """A layer that treats each frame alone. Subclasses give `each`.

    Attributes:
        keeps_zero: a frame of zeros gives zeros, so that the padding stays clean and is not masked again behind it.
    """

    keeps_zero: bool = False

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        x = tidy(self.checked(x))
        return Out(Seq(self.each(x.values), x.lengths, self.keeps_zero), ())

    @abstractmethod
    def each(self, values: Tensor) -> Tensor:
        """`[B, T, *space, C]` to `[B, T, *space', C']`; the padding is zero."""


def is_last(last: Last, batch: int, device: torch.device) -> Tensor:
    """Bool `[B]`."""
    return last if isinstance(last, Tensor) else torch.full((batch,), last, dtype=torch.bool, device=device)
