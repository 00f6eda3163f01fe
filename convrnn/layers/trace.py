"""Looking inside a net: what each of its layers was fed, made and gave, by the symbols of its paper. Draws nothing, knows no layer by name.

The net runs once over whole rows, in evaluation and inference mode, under hooks that note what went into each layer and what came out; they
are gone afterwards, and nothing stays on a layer. Then each layer is asked for its inner values (`Layer.inside`) on just what it was fed.
So layers within others are seen at their real work: the body of `TimeDistributed` on frames, each of them a row of its own (frame t of row
b is row b T + t), the second body of `BothWays` on reversed rows, a layer that runs several times once for each run (`#2`, `#3` behind it).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from convrnn.core.columns import width
from convrnn.core.errors import UsageError
from convrnn.core.language import tr
from convrnn.core.seq import Seq
from convrnn.layers.base import Layer, Out
from convrnn.layers.stream import Inferring

OUTPUT = "y"
"""The symbol of a layer's output frames."""

COLUMNS = 80
WORD = 16
"""Columns of a word beside a frame: a longer one is cut."""

UNITS = 3
"""Units that a table shows unless it is told which."""


class NotSeen(UsageError, KeyError):
    """A place or a symbol that a trace does not have."""


@dataclass(frozen=True, eq=False)
class Seen(Mapping[str, Tensor]):
    """What went on in a layer: a mapping from its paper's symbols to `[B, T, ...]`, last of them `y`, the frames that it gave.

    Values are at the frames of the layer's input or of its output, as `lengths` says. What lies beyond the lengths is undefined.

    Attributes:
        place: where it stands, with its name: `2.body.gru`.
        name: its registered name.
        x: what it was fed.
        y: what it gave.
        inner: its inner values by symbol, without `y`.
        whole: whether it is made of no other layers.
        rate: frames that it was fed for one frame into the net; 0: not one number; None: its rows are not those of the net.
        ratio: frames that it gives for one that it is fed.
    """

    place: str
    name: str
    x: Seq
    y: Seq
    inner: Mapping[str, Tensor]
    whole: bool
    rate: Fraction | None
    ratio: Fraction

    def __getitem__(self, symbol: str) -> Tensor:
        if symbol == OUTPUT:
            return self.y.values
        if symbol not in self.inner:
            raise NotSeen(self.place, tr("has no value {symbol!r}", symbol=symbol), tr("it has {names}", names=", ".join(self)))
        return self.inner[symbol]

    def __iter__(self) -> Iterator[str]:
        yield from (*self.inner, OUTPUT)

    def __len__(self) -> int:
        return len(self.inner) + 1

    # A mapping would compare its values, and a comparison of tensors is no bool.
    __eq__ = object.__eq__

    def __repr__(self) -> str:
        return f"<{self.place}: {', '.join(f'{symbol} {list(self[symbol].shape)}' for symbol in self)}>"

    def lengths(self, symbol: str) -> list[int]:
        """How many frames of a value are valid, row by row."""
        seq = self.y if self._as_given(symbol) else self.x
        return [seq.values.shape[1]] * seq.values.shape[0] if seq.lengths is None else seq.lengths.tolist()

    def step(self, symbol: str) -> Fraction | None:
        """How many input frames of the net one frame of a value stands for; None where it stands for a row, or rows are not the net's."""
        rate = None if self.rate is None else self.rate * (self.ratio if self._as_given(symbol) else 1)
        return 1 / rate if rate else None

    def shown(self) -> list[str]:
        """The symbols of a table: all, but for `y` where an inner value is the same by the paper's name, up to the rounding of a kernel."""
        y = self.y.values
        same = (value.shape == y.shape and value.dtype == y.dtype and torch.allclose(value, y, 1e-5, 1e-6) for value in self.inner.values())
        return list(self.inner) if any(same) else list(self)

    def table(
        self, row: int = 0, frames: Sequence[int] | None = None, units: Sequence[int] | None = None, beside: Sequence[str] | None = None
    ) -> str:
        """The values of a row as text of at most 80 columns: frames down, symbols across, a line for each unit of a frame.

        Args:
            row: of the batch.
            frames: numbers of those to show, rising; a gap between them is a line of dots. None: all valid ones.
            units: numbers of those to show; of frames with space, positions and channels are counted through. None: the first three.
                A frame or unit that one of the values has and another lacks is left out there.
            beside: a word for each input frame of the net, to stand beside the frames.

        Raises:
            UsageError: a row, frame or unit that there is not.
        """
        if not 0 <= row < self.y.values.shape[0]:
            raise UsageError("row", tr("expected 0..{last}, got {got}", last=self.y.values.shape[0] - 1, got=row), tr("count from 0"))
        symbols, blocks = self.shown(), list[str]()
        _refuse_beyond("frames", frames, max(self.lengths(symbol)[row] for symbol in symbols))
        _refuse_beyond("units", units, max(self[symbol].shape[2:].numel() for symbol in symbols))
        for (*_, shape), group in groupby(symbols, self._kind):
            columns = list(group)
            count, number = self.lengths(columns[0])[row], shape.numel()
            chosen = [frame for frame in (range(count) if frames is None else frames) if frame < count]
            picked = range(min(UNITS, number)) if units is None or not shape else [unit for unit in units if unit < number]
            words = None if beside is None else [self._word(columns[0], frame, beside) for frame in chosen]
            values = {symbol: self[symbol][row].reshape(self[symbol].shape[1], number) for symbol in columns}
            blocks.append(_block(values, chosen, picked, shape, words))
        return "\n".join(blocks)

    def _kind(self, symbol: str) -> tuple[bool, str, torch.Size]:
        """What values side by side have in common: frames, the part of the layer that they belong to (`0.back`), units."""
        return self._as_given(symbol), symbol.rpartition(".")[0], self[symbol].shape[2:]

    def _as_given(self, symbol: str) -> bool:
        """Whether a value has the frames of the output, not of the input."""
        return self[symbol].shape[1] == self.y.values.shape[1]

    def _word(self, symbol: str, frame: int, beside: Sequence[str]) -> str:
        step = self.step(symbol)
        place = len(beside) if step is None else int(frame * step)
        word = beside[place] if place < len(beside) else ""
        while width(word) > WORD:
            word = word[:-2] + "\u2026"
        return word


class Trace(Mapping[str, Seen]):
    """What went on in every layer of a net, in the order in which it is written: a mapping from places to `Seen`.

    A layer is found by its place with its name (`trace["5.gru"]["z"]`), or by its place alone (`trace["5"]`); the net itself by its name.

    Attributes:
        x: what the net was fed.

    Example:
        >>> from convrnn.layers.combine import Serial
        >>> from convrnn.layers.conv import Conv
        >>> from convrnn.layers.recurrent import GRU
        >>> trace = Serial(Conv(4), GRU(2)).build(3).trace(Seq(torch.zeros(1, 5, 3)))
        >>> list(trace), list(trace["1.gru"]), trace["1"]["z"].shape
        (['serial', '0.conv', '1.gru'], ['r', 'z', 'n', 'h', 'y'], torch.Size([1, 5, 2]))
        >>> print(trace["1"].table(frames=[0], units=[1]))
        frame  unit         r         z         n         h
            0     1  0.500000  0.500000  0.000000  0.000000
    """

    def __init__(self, x: Seq, seen: Sequence[Seen]) -> None:
        self.x = x
        self._seen = {each.place: each for each in seen}

    def __getitem__(self, place: str) -> Seen:
        if place in self._seen:
            return self._seen[place]
        found = [each for key, each in self._seen.items() if key == f"{place}.{each.name}"]
        if not found:
            raise NotSeen("trace", tr("no layer stands at {layer!r}", layer=place), tr("there are {names}", names=", ".join(self._seen)))
        return found[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._seen)

    def __len__(self) -> int:
        return len(self._seen)

    __eq__ = object.__eq__

    def __repr__(self) -> str:
        return f"<Trace of {len(self)} layers: {', '.join(self)}>"

    def told(self) -> list[Seen]:
        """Those worth a table: layers that are made of no others, and those that have inner values of their own."""
        return [each for each in self.values() if each.whole or each.inner]

    def table(self, row: int = 0, units: Sequence[int] | None = None) -> str:
        """`Seen.table` of every layer of `told` whose rows are those of the net, under its place; units that a layer lacks are left out."""
        parts: list[str] = []
        for each in self.told():
            if each.rate is not None:
                most = max(each[symbol].shape[2:].numel() for symbol in each.shown())
                parts.append(f"{each.place}\n{each.table(row, units=None if units is None else [unit for unit in units if unit < most])}")
        return "\n\n".join(parts)


def trace(net: Layer, x: Seq) -> Trace:
    """See `Layer.trace`."""
    runs: dict[nn.Module, list[tuple[Seq, Seq]]] = {layer: [] for _, layer in net.walk()}

    def note(layer: nn.Module, inputs: tuple[Any, ...], out: Out) -> None:
        runs[layer].append((inputs[0], out.seq))

    with Inferring(net.modules()):
        hooks = [layer.register_forward_hook(note) for layer in runs]
        try:
            net(x)
        finally:
            for hook in hooks:
                hook.remove()
        return Trace(
            x, [_seen(*at, number, *run, x) for at in _stations(net, "", Fraction(1)) for number, run in enumerate(runs[at[1]], 1)]
        )


def _stations(layer: Layer, path: str, rate: Fraction) -> Iterator[tuple[str, Layer, Fraction]]:
    """`Layer.walk`, with the frames that go in for one frame into the net."""
    yield path, layer, rate
    for place, part in layer.parts():
        yield from _stations(part, f"{path}.{place}" if path else place, rate)
        if layer.chained:
            rate *= part.ratio


def _seen(path: str, layer: Layer, rate: Fraction, number: int, fed: Seq, given: Seq, x: Seq) -> Seen:
    """A layer's run, its inner values included."""
    place = (f"{path}.{layer.name}" if path else layer.name) + (f"#{number}" if number > 1 else "")
    own = fed.values.shape[0] == x.values.shape[0]
    return Seen(place, layer.name, fed, given, layer.inside(fed), not any(layer.parts()), rate if own else None, layer.ratio)


def _refuse_beyond(what: str, numbers: Sequence[int] | None, count: int) -> None:
    wrong = [number for number in numbers or () if not 0 <= number < count]
    if wrong:
        raise UsageError(
            what,
            tr("expected 0..{last}, got {got}", last=count - 1, got=wrong[0]) if count else tr("there are none, got {got}", got=wrong[0]),
            tr("count from 0"),
        )


def _block(
    values: Mapping[str, Tensor], frames: Sequence[int], units: Sequence[int], shape: torch.Size, words: Sequence[str] | None
) -> str:
    """Lines of values that have the same frames and units, `[T, K]` each; columns that do not fit beside the others go on below."""
    lines = [(place, frame, unit) for place, frame in enumerate(frames) for unit in units]
    # A frame's number and word stand at the first of its lines.
    heads = [
        ("" if unit != units[0] else str(frame), "" if words is None or unit != units[0] else words[place]) for place, frame, unit in lines
    ]
    left = [_column(tr("frame"), [number for number, _ in heads])]
    left += [_column("", [word for _, word in heads], right=False)] if words is not None else []
    left += [_column(tr("unit"), [_unit(unit, shape) for *_, unit in lines])] if shape else []
    columns = [_column(symbol, [_number(value[frame, unit]) for _, frame, unit in lines]) for symbol, value in values.items()]
    jumps = [place for place, frame, unit in lines if place and unit == units[0] and frame > frames[place - 1] + 1]
    for number, place in enumerate(jumps):
        for column in (*left, *columns):
            column.insert(1 + place * len(units) + number, ("..." if column is left[0] else "").rjust(width(column[0])))
    return "\n".join("\n".join("  ".join(cells).rstrip() for cells in zip(*left, *some, strict=True)) for some in _fitting(left, columns))


def _fitting(left: list[list[str]], columns: list[list[str]]) -> Iterator[list[list[str]]]:
    """Columns in groups that fit beside those on the left."""
    room = COLUMNS - sum(width(column[0]) + 2 for column in left) + 2
    group: list[list[str]] = []
    for column in columns:
        if group and sum(width(each[0]) + 2 for each in [*group, column]) > room:
            yield group
            group = []
        group.append(column)
    yield group


def _column(head: str, cells: Sequence[str], right: bool = True) -> list[str]:
    """Head and cells, all of one width."""
    wide = max(map(width, [head, *cells]))
    return [" " * (wide - width(text)) + text if right else text + " " * (wide - width(text)) for text in (head, *cells)]


def _unit(unit: int, shape: torch.Size) -> str:
    """The number of a unit; of a frame with space its position and channel: `2,0,5`."""
    places: list[str] = []
    for size in reversed(shape):
        unit, place = divmod(unit, size)
        places.insert(0, str(place))
    return ",".join(places)


def _number(value: Tensor) -> str:
    return f"{value.item():.6f}" if value.is_floating_point() else str(int(value))
