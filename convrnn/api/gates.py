"""`gates.json`: how far the gates of a trained model stood open while it read three examples, for its report. Draws nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from convrnn.api.looking import recurrence, words_of
from convrnn.api.records import as_picture
from convrnn.core.files import replacing, write
from convrnn.core.labels import label
from convrnn.core.language import english, tr
from convrnn.data import Examples
from convrnn.data.batch import Encoded, collate
from convrnn.deploy import Model
from convrnn.layers.stacked import Stacked
from convrnn.layers.trace import Seen

GATES = ("i", "f", "o", "r", "z")
"""The letters that papers give to gates. A z that leaves 0..1 is none (QRNN's candidate)."""

EXAMPLES = 3
LONGEST = 1000
"""Frames of a row that are read: the readable loop behind a trace takes some 0.3 ms a frame."""

WORDS = 40
"""Most tokens of a text."""


def write_gates(folder: Path, model: Model, encoded: Encoded, examples: Examples, answers: list[dict[str, Any]]) -> None:
    """`gates.json` and `gates.npz`, of the first recurrence over the frames of the rows; neither where there is none."""
    chosen = _examples(encoded, examples, answers)
    if not chosen or not any(isinstance(layer.made_from, Stacked) for _, layer in model.net.walk()):
        return
    seen = recurrence(model.net.trace(collate([encoded[row][:LONGEST] for row, _ in chosen])))
    if seen is None:
        return
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    records = [
        {"why": why, "layer": _said(seen), "frames": min(LONGEST, whole := int(encoded.lengths[row])), "whole": whole}
        | _record(model, examples, answers, row, arrays)
        | {"step": float(seen.step("y") or 1), "gates": gates}
        for (row, why), gates in zip(chosen, _openness(seen), strict=True)
    ]
    with replacing(folder / "gates.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # pyright: ignore[reportArgumentType]  (its stub takes the keywords for its own options)
    write(folder / "gates.json", json.dumps(english(records), ensure_ascii=False) + "\n")


def _examples(encoded: Encoded, examples: Examples, answers: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """Up to three rows with frames, and why each: right and sure, right and unsure, wrong; or by error, least to largest."""
    rows = [row for row in range(len(answers)) if encoded.lengths[row] > 0]
    targets = examples.targets
    if targets is None or not rows:
        return []
    if "label" in answers[0]:
        rows.sort(key=lambda row: -answers[row]["probability"])
        right = [row for row in rows if answers[row]["label"] == label(targets[row])]
        wrong = [row for row in rows if answers[row]["label"] != label(targets[row])]
        wanted = [(right, 0, tr("right, most sure")), (right, -1, tr("right, least sure")), (wrong, 0, tr("wrong, most sure"))]
        wanted += [(right, len(right) // 2, tr("right, middling sure")), (wrong, -1, tr("wrong, least sure"))]
    else:
        rows.sort(key=lambda row: abs(answers[row]["value"] - float(targets[row])))
        wanted = [(rows, 0, tr("least error")), (rows, len(rows) // 2, tr("middling error")), (rows, -1, tr("largest error"))]
    found: dict[int, str] = {}
    for some, place, why in wanted:
        if some and len(found) < EXAMPLES:
            found.setdefault(some[place], why)
    return list(found.items())


def _record(
    model: Model, examples: Examples, answers: list[dict[str, Any]], row: int, arrays: dict[str, np.ndarray[Any, Any]]
) -> dict[str, Any]:
    """Name, target, answer and input of a row; series and pictures go into `arrays`."""
    assert examples.targets is not None
    record = {"name": examples.names[row], "target": examples.targets[row]}
    record |= {key: value for key, value in answers[row].items() if key != "probabilities"}
    raw = examples.inputs[row]
    if examples.kind == "text":
        return {**record, "words": list(words_of(model, raw, WORDS) or ())}
    key = f"g{len(arrays)}"
    arrays[key] = as_picture(raw) if examples.kind == "image" else np.asarray(raw)[:LONGEST]
    return {**record, "array": key}


def _openness(seen: Seen) -> list[dict[str, list[float]]]:
    """For each row the mean over units of each gate at each frame; where a cell has no gates, that of |h|."""
    place = "0." if "0.h" in seen.inner else ""
    rows = range(seen.y.values.shape[0])
    gates = {letter: _valid(seen, place + letter) for letter in GATES if place + letter in seen.inner}
    gates = {letter: values for letter, values in gates.items() if all(bool(((value >= 0) & (value <= 1)).all()) for value in values)}
    if not gates:
        gates = {"|h|": [value.abs() for value in _valid(seen, f"{place}h")]}
    return [{letter: _curve(values[row]) for letter, values in gates.items()} for row in rows]


def _valid(seen: Seen, symbol: str) -> list[Tensor]:
    """A value's valid frames, row by row."""
    return [value[:length] for value, length in zip(seen[symbol], seen.lengths(symbol), strict=True)]


def _curve(value: Tensor) -> list[float]:
    """The mean over units."""
    return [round(float(mean), 4) for mean in value.flatten(1).mean(1)]


def _said(seen: Seen) -> str:
    """The layer, and which of its parts where it has several."""
    parts = ["first layer"] if "0.h" in seen.inner else []
    parts += ["forward"] if {"back.h", "0.back.h"} & seen.inner.keys() else []
    return seen.place + (f" ({', '.join(parts)})" if parts else "")
