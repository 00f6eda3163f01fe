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
from convrnn.data.sounds import sound_facts
from convrnn.deploy import Model
from convrnn.deploy.describe import latency, layer_table, multiply_adds
from convrnn.modality import Sound
from convrnn.modality.sound import as_samples
from convrnn.tasks import Classify

MISTAKES = 24
"""The most confident wrong answers that are kept with their inputs."""

HEARD = 24_000
"""Samples of the longest recording that a report can play, 1.5 s at 16 kHz: 24 of them make a page 1.5 MB larger at most."""


def write_metrics(folder: Path, metrics: Mapping[str, Any]) -> None:
    """`metrics.json`."""
    write(folder / "metrics.json", json.dumps(metrics, ensure_ascii=False, indent=2) + "\n")


def write_predictions(path: Path, examples: Examples, answers: list[dict[str, Any]]) -> None:
    """One JSON object a row: its name, its target if it has one, and the answer."""
    targets = examples.targets if examples.targets is not None else [None] * len(examples)
    rows = ({"name": name, "target": target, **answer} for name, target, answer in zip(examples.names, targets, answers, strict=True))
    write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def write_mistakes(folder: Path, model: Model, examples: Examples, answers: list[dict[str, Any]]) -> None:
    """`mistakes.json` and `mistakes.npz`: the wrong answers given with the most confidence (or furthest off), with their inputs as read.

    Of a recording its frames as a picture, and its samples where it is short.
    """
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
            arrays[record["array"]] = as_shown(model, examples.inputs[row])
        if isinstance(sound := examples.inputs[row], Sound) and len(sound) <= HEARD:
            record |= {"sound": f"{record['array']}.sound", "rate": sound.rate}
            arrays[record["sound"]] = _int16(as_samples(sound.samples, examples.names[row]))
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


def _int16(samples: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)


def as_shown(model: Model, raw: Any) -> np.ndarray[Any, Any]:
    """An input as it is drawn: a series `[T, C]` as it is, a picture as a picture, a recording as its frames, the highest band on top."""
    if model.kind == "image":
        return as_picture(raw)
    if model.kind != "audio":
        return np.asarray(raw)
    frames_TM = model.modality.encode(raw)
    # Two deviations below the mean are dark, three above it are bright: loud bands are what is looked for.
    return np.clip((frames_TM.T[::-1, :, None] + 2) * (255 / 5), 0, 255).astype(np.uint8)


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
            "channels": list(train.channel_titles),
            "notes": english(prepared.source.notes),
            "messages": [note.record() if isinstance(note, Message) else None for note in prepared.source.notes],
            "missing": _missing(train),
        },
        "model": model_summary(model.name, model.spec.to_yaml(), net, middle),
        "task": {**model.task.to_dict(), **({"labels": labels} if labels else {})},
        "command": command,
    }


def model_summary(name: str, spec_yaml: str, net: Any, frames: int) -> dict[str, Any]:
    """A net in numbers: parameters, reach, of one row of `frames` frames multiply-adds and latency, and its layers."""
    net.eval()
    return {
        "name": name,
        "spec_yaml": spec_yaml,
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "ratio": str(net.ratio),
        "past": net.past,
        "lookahead": net.lookahead,
        "streams": net.streams,
        "frames": frames,
        "multiply_adds": multiply_adds(net, frames),
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
    if examples.kind == "audio":
        found["sound"] = sound_facts(examples.inputs)
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
