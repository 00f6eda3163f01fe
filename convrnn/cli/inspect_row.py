"""`convrnn inspect RUN --row FILE:N`: what went on in every layer while the model read one example. Knows no file format and no layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convrnn.cli import console
from convrnn.core.columns import wrapped
from convrnn.core.errors import UsageError
from convrnn.core.language import joined, tr

if TYPE_CHECKING:
    from convrnn.api.looking import Looked
    from convrnn.layers.trace import Seen, Trace

LONG = 24
"""Frames of a table on a terminal; of more, the first and the last half as many. --json has them all."""

COLUMNS = 80

_UNITS: dict[str, Callable[[], str]] = {"token": lambda: tr("token"), "column": lambda: tr("column"), "frame": lambda: tr("frame")}

INNER_ROWS = 2
"""Of a layer that reads the frames one by one, so many of them are shown."""


def run(place: Path, row: str, layer: str | None, units: int, plot: Path | None, json: bool) -> None:
    """Prints, and draws if asked to.

    Raises:
        UsageError: no such row or layer, or an option that cannot be used.
    """
    from convrnn.api.looking import look, picture
    from convrnn.deploy import load

    if units < 1:
        raise UsageError("--units", tr("expected at least 1, got {got}", got=units), tr("for example --units 3"))
    looked = look(load(place), row)
    trace = looked.trace
    told = [seen for seen in trace.values() if seen.inner] or list(trace.values())[-1:]
    shown = told if layer is None else [_layer(trace, layer)]
    if plot is not None:
        picture(trace, plot, layer, words=looked.words or ())
    if json:
        console.as_json(_record(looked, shown) | ({} if plot is None else {"plot": str(plot)}))
        return
    for text in _lines(looked, shown, units, layer is not None):
        console.line(text)
    if plot is not None:
        console.line(f"\n{plot}")


def _layer(trace: Trace, layer: str) -> Seen:
    if layer not in trace:
        raise UsageError("--layer", tr("no layer stands at {layer!r}", layer=layer), tr("there are {names}", names=", ".join(trace)))
    return trace[layer]


def _lines(looked: Looked, shown: list[Seen], units: int, asked: bool) -> list[str]:
    lines: list[str] = [tr("{name}: {note}", name=looked.name, note=_answer(looked))]
    for seen in shown:
        if seen.rate is not None:
            lines += ["", f"{seen.place}{_more(seen, 0, looked)}", _table(seen, 0, units, looked)]
            continue
        rows = seen.y.values.shape[0]
        for row in range(min(rows, INNER_ROWS) if asked else 0):
            lines += [
                "",
                tr("{place}, {row} of the {rows} rows that it read one by one", place=seen.place, row=row + 1, rows=rows)
                + _more(seen, row, looked),
                _table(seen, row, units, looked),
            ]
        if not asked:
            lines += ["", tr("{place}: read {rows} rows one by one; --layer {place} shows some", place=seen.place, rows=rows)]
    places = {seen.place for seen in shown}
    others = [place for place, seen in looked.trace.items() if seen.whole and place not in places]
    if others and not asked:
        lines += ["", *wrapped(tr("also, with --layer: {names}", names=", ".join(others)), COLUMNS, "  ")]
    return lines


def _answer(looked: Looked) -> str:
    """The prediction, and what is true if the file says so."""
    answer = looked.answer
    if "label" in answer:
        said = tr("predicted {label}, probability {probability:.4f}", label=answer["label"], probability=answer["probability"])
    else:
        said = tr("predicted {value:.6g}", value=answer["value"])
    return said if looked.target is None else joined((said, tr("the file says {target}", target=looked.target)))


def _more(seen: Seen, row: int, looked: Looked) -> str:
    """How many of its frames are shown, and what one stands for."""
    count = max(seen.lengths(symbol)[row] for symbol in seen.shown())
    shown = tr(", {shown} of {count} frames", shown=LONG, count=count) if count > LONG else ""
    step = seen.step(seen.shown()[0])
    if step is None or (step == 1 and looked.frame == "frame"):
        return shown
    if step == 1:
        return shown + tr(", a frame for each {unit}", unit=_UNITS[looked.frame]())
    return shown + tr(", a frame for {step} {unit}s", step=step, unit=_UNITS[looked.frame]())


def _table(seen: Seen, row: int, units: int, looked: Looked) -> str:
    count = max(seen.lengths(symbol)[row] for symbol in seen.shown())
    most = max(seen[symbol].shape[2:].numel() for symbol in seen.shown())
    frames = [*range(LONG // 2), *range(count - LONG // 2, count)] if count > LONG else None
    return seen.table(row, frames, range(min(units, most)), looked.words if seen.rate is not None else None)


def _record(looked: Looked, shown: list[Seen]) -> dict[str, Any]:
    """All numbers, row by row, each value with its frames down and its units across."""
    return {
        "name": looked.name,
        "target": looked.target,
        "prediction": looked.answer,
        "frames": looked.trace.x.values.shape[1],
        "frame": looked.frame,
        "words": None if looked.words is None else list(looked.words),
        "layers": [_layer_record(seen) for seen in shown],
    }


def _layer_record(seen: Seen) -> dict[str, Any]:
    steps = {symbol: seen.step(symbol) for symbol in seen}
    return {
        "place": seen.place,
        "layer": seen.name,
        "values": {
            symbol: {
                "step": None if (step := steps[symbol]) is None else float(step),
                "rows": [values[:count].tolist() for values, count in zip(seen[symbol], seen.lengths(symbol), strict=True)],
            }
            for symbol in seen
        },
    }
