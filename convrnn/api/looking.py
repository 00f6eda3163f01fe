"""What goes on inside a trained model while it reads a row of a file, and its picture. Draws and prints nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from convrnn.api.rows import rows_for
from convrnn.core.errors import UsageError
from convrnn.core.files import write
from convrnn.core.language import tr
from convrnn.core.seq import Seq, row_lengths
from convrnn.data import Examples
from convrnn.data.batch import collate
from convrnn.deploy import Model
from convrnn.layers.trace import Seen, Trace
from convrnn.modality.image import Image
from convrnn.modality.text import Text
from convrnn.report import Inner, heatmap


@dataclass(frozen=True, eq=False)
class Looked:
    """A row, what the model answers to it, and what went on inside meanwhile.

    Attributes:
        name: of the row.
        answer: as of `Model.predict`.
        target: as the file has it; None: it has none.
        words: of a text, the token at each frame of the input; else None.
        frame: what a frame of the input is: `token`, `column` (of a picture), or just `frame`.
        trace: of the row alone.
    """

    name: str
    answer: dict[str, Any]
    target: Any
    words: tuple[str, ...] | None
    frame: str
    trace: Trace


def look(model: Model, given: str) -> Looked:
    """Looks at one row of a file.

    Args:
        model: a trained one.
        given: `FILE:N`, N being the line or row that an editor shows; where rows have no numbers (a folder of pictures), they are counted.

    Raises:
        UsageError: not of that form, or no such row.
        DataError: a file that cannot be read, or does not fit the model.
    """
    path, colon, number = given.rpartition(":")
    if not (colon and path and number.isdecimal()):
        raise UsageError(
            "--row",
            tr("expected FILE:N, got {got!r}", got=given),
            tr("N is the line or row that an editor shows, for example test.csv:2"),
        )
    examples = rows_for(model, path, labelled=False)
    one = examples.subset([_row(examples, path, int(number))])
    frames = model.modality.encode_examples(one)[0]
    return Looked(
        one.names[0],
        model.predict_examples(one)[0],
        None if one.targets is None else one.targets[0],
        words_of(model, one.inputs[0], len(frames)),
        "token" if isinstance(model.modality, Text) else "column" if isinstance(model.modality, Image) else "frame",
        model.net.trace(collate([frames])),
    )


def picture(trace: Trace, path: str | Path, layer: str | None = None, *, row: int = 0, words: Sequence[str] = ()) -> Path:
    """Draws what went on in a layer: its values as heat maps over the input, units down and frames across.

    Args:
        trace: of a net.
        path: a file that ends in .png.
        layer: its place; None: the first recurrence, or where there is none the first layer with inner values.
        row: of the batch.
        words: what stands at each frame of the input, for texts.

    Returns:
        The path.

    Raises:
        UsageError: a layer, row or ending that there is not; a layer whose rows are not those of the net; or matplotlib is not installed.
        JobError: the file cannot be written.
    """
    place = Path(path)
    if place.suffix != ".png":
        raise UsageError("picture", tr("expected a name that ends in .png, got {got!r}", got=place.name), tr("for example gru.png"))
    write(place, heatmap(_inner(trace, _drawn(trace, layer), row, words)))
    return place


def recurrence(trace: Trace) -> Seen | None:
    """The first layer with a state h, over the rows of the net."""
    return next((each for each in trace.values() if each.rate is not None and {"h", "0.h"} & each.inner.keys()), None)


def words_of(model: Model, raw: Any, frames: int) -> tuple[str, ...] | None:
    """See `Looked.words`."""
    if not isinstance(model.modality, Text):
        return None
    return tuple(" ".join(token.split()) or "\u2423" for token in model.modality.tokens(raw)[:frames])


def _row(examples: Examples, path: str, number: int) -> int:
    """The place of the row with this number."""
    ends = [name.rpartition(":")[2] for name in examples.names]
    numbers = [int(end) for end in ends] if all(end.isdecimal() for end in ends) else list(range(1, len(ends) + 1))
    found = [place for place, each in enumerate(numbers) if each == number]
    if not found:
        there = (
            tr("its {count} are in rows {first} to {last}", count=len(numbers), first=numbers[0], last=numbers[-1])
            if numbers
            else tr("it has none")
        )
        raise UsageError("--row", tr("{path} has no example in row {number}", path=path, number=number), there)
    if len(found) > 1:
        names = ", ".join(examples.names[place] for place in found[:4])
        raise UsageError(
            "--row",
            tr("{path} has {count} examples of that number: {names}", path=path, count=len(found), names=names),
            tr("give the file, not its folder"),
        )
    return found[0]


def _drawn(trace: Trace, layer: str | None) -> Seen:
    """The layer to draw."""
    if layer is not None:
        seen = trace[layer]
    else:
        seen = recurrence(trace) or next((each for each in trace.values() if each.inner and each.rate is not None), None)
    if seen is None:
        raise UsageError("picture", tr("no layer has inner values"), tr("choose one whose frames to draw: {names}", names=", ".join(trace)))
    if seen.rate is None:
        raise UsageError("picture", tr("{place} reads frames one by one, not the rows of the net", place=seen.place), tr("print its table"))
    return seen


def _inner(trace: Trace, seen: Seen, row: int, words: Sequence[str]) -> Inner:
    """A row of a trace as a record to draw."""
    rows = trace.x.values.shape[0]
    if not 0 <= row < rows:
        raise UsageError("row", tr("expected 0..{last}, got {got}", last=rows - 1, got=row), tr("count from 0"))
    frames = int(row_lengths(trace.x)[row])
    values = {symbol: _units(seen[symbol][row, : seen.lengths(symbol)[row]]) for symbol in seen.shown()}
    steps = {symbol: float(seen.step(symbol) or max(frames, 1) / max(len(value), 1)) for symbol, value in values.items()}
    return Inner(seen.place, frames, values, steps, tuple(words[:frames]), _input(trace.x, row, frames), whole=frames)


def _units(value: Tensor) -> np.ndarray[Any, Any]:
    """`[T, K]`, positions of space and channels counted through."""
    return value.reshape(value.shape[0], value.shape[1:].numel()).double().numpy(force=True)


def _input(x: Seq, row: int, frames: int) -> np.ndarray[Any, Any] | None:
    """A series `[T, C]`, or a picture `[H, W, C]` of bytes, its range spread out; None for symbols, and for pictures that move."""
    values = x.values[row, :frames]
    if values.dim() == 3:
        low, high = values.aminmax() if values.numel() else (values.new_zeros(()), values.new_ones(()))
        values = ((values - low) / (high - low).clamp(min=1e-12) * 255).byte().transpose(0, 1)
    return values.numpy(force=True) if values.dim() in (2, 3) else None
