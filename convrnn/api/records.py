"""Writes what a run leaves behind: predictions, mistakes, summary, metrics. Knows no training and draws nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from convrnn.api.prepare import Prepared
from convrnn.core.files import replacing, write
from convrnn.core.language import Message, english
from convrnn.core.yaml_text import read_yaml
from convrnn.data import Examples
from convrnn.deploy.describe import latency, layer_table
from convrnn.tasks import Classify

MISTAKES = 24
"""The most confident wrong answers that are kept with their inputs."""


def write_metrics(folder: Path, metrics: Mapping[str, Any]) -> None:
    """`metrics.json`."""
    write(folder / "metrics.json", json.dumps(metrics, ensure_ascii=False, indent=2) + "\n")


def write_predictions(path: Path, examples: Examples, answers: list[dict[str, Any]]) -> None:
    """One JSON object a row: its name, its target if it has one, and the answer."""
    targets = examples.targets if examples.targets is not None else [None] * len(examples)
    rows = ({"name": name, "target": target, **answer} for name, target, answer in zip(examples.names, targets, answers, strict=True))
    write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def write_mistakes(folder: Path, examples: Examples, answers: list[dict[str, Any]]) -> None:
    """`mistakes.json` and `mistakes.npz`: the wrong answers given with the most confidence (or furthest off), with their inputs as read."""
    records: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for row in _worst(examples, answers):
        assert examples.targets is not None
        record = {"name": examples.names[row], "target": examples.targets[row], "kind": examples.kind}
        record |= {key: value for key, value in answers[row].items() if key != "probabilities"}
        if examples.kind == "text":
            record["text"] = examples.inputs[row]
        else:
            record["array"] = f"m{len(arrays)}"
            arrays[record["array"]] = as_picture(examples.inputs[row]) if examples.kind == "image" else np.asarray(examples.inputs[row])
        records.append(record)
    with replacing(folder / "mistakes.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # pyright: ignore[reportArgumentType]  (its stub takes the keywords for its own options)
    write(folder / "mistakes.json", json.dumps(records, ensure_ascii=False, indent=1) + "\n")


def _worst(examples: Examples, answers: list[dict[str, Any]]) -> list[int]:
    targets = examples.targets or []
    if answers and "label" in answers[0]:
        wrong = [row for row, answer in enumerate(answers) if answer["label"] != str(targets[row])]
        return sorted(wrong, key=lambda row: -answers[row]["probability"])[:MISTAKES]
    return sorted(range(len(answers)), key=lambda row: -abs(answers[row]["value"] - float(targets[row])))[:MISTAKES]


def as_picture(image: Any) -> np.ndarray[Any, Any]:
    """uint8 `[H, W, C]`, as a picture is shown."""
    array = np.asarray(image)
    array = array[..., None] if array.ndim == 2 else array
    if array.dtype == np.uint8:
        return array
    top = max(float(array.max(initial=0.0)), 1e-12)
    return np.clip(array * (255 / (1.0 if top <= 1 else top)), 0, 255).astype(np.uint8)


def write_summary(folder: Path, prepared: Prepared, command: str) -> None:
    """`summary.json`: the data and the model in numbers, for the report and for `inspect`."""
    write(folder / "summary.json", json.dumps(summary(prepared, command), ensure_ascii=False, indent=1) + "\n")


def summary(prepared: Prepared, command: str) -> dict[str, Any]:
    """The data by part, the model layer by layer, the task."""
    model, net = prepared.model, prepared.model.net
    train = prepared.source.train
    middle = int(np.median(prepared.encoded["train"].encoded.lengths))
    labels = list(model.task.labels) if isinstance(model.task, Classify) else []
    return {
        "data": {
            "name": prepared.source.name,
            "kind": train.kind,
            "task": model.task.name,
            "parts": {name: part_summary(getattr(prepared.parts, name), part) for name, part in prepared.encoded.items()},
            "channels": list(train.channels),
            "notes": english(prepared.source.notes),
            "messages": [note.record() if isinstance(note, Message) else None for note in prepared.source.notes],
            "missing": _missing(train),
        },
        "model": model_summary(model.name, model.spec.to_yaml(), net, middle),
        "task": {**model.task.to_dict(), **({"labels": labels} if labels else {})},
        "command": command,
    }


def model_summary(name: str, spec_yaml: str, net: Any, frames: int) -> dict[str, Any]:
    """A net in numbers: parameters, reach, latency of one row of `frames` frames, and its layers."""
    net.eval()
    return {
        "name": name,
        "spec_yaml": spec_yaml,
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "ratio": str(net.ratio),
        "past": net.past,
        "lookahead": net.lookahead,
        "streams": net.streams,
        "latency_ms": latency(net, frames),
        "layers": layer_table(net, frames),
    }


def median_frames(folder: Path) -> int:
    """The median length of the rows that a run learned from; 100 where its `summary.json` is gone."""
    path = folder / "summary.json"
    stored = read_yaml(path.read_text(encoding="utf-8"), str(path)) if path.is_file() else {}
    return int(stored.get("data", {}).get("parts", {}).get("train", {}).get("length", {}).get("median", 100))


def part_summary(examples: Examples, part: Any) -> dict[str, Any]:
    """Rows, classes (for labels) and lengths of a part."""
    lengths = part.encoded.lengths
    found: dict[str, Any] = {
        "rows": len(examples),
        "length": {"min": int(lengths.min()), "median": int(np.median(lengths)), "max": int(lengths.max())},
    }
    targets = examples.targets or []
    if targets and isinstance(targets[0], str):
        found["classes"] = dict(sorted(Counter(map(str, targets)).items()))
    return found


def _missing(examples: Examples) -> int:
    return sum(int(np.isnan(array).sum()) for array in examples.inputs) if examples.kind == "series" else 0


def metrics_of(outputs: Mapping[str, Tensor], prepared: Prepared) -> dict[str, dict[str, float]]:
    """The task's metrics of each part, test first."""
    order = [part for part in ("test", "valid", "train") if part in outputs]
    return {part: prepared.model.task.metrics(outputs[part], prepared.encoded[part].targets) for part in order}
