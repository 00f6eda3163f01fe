"""Reading the records of a run folder. Knows file names and formats; nothing of pictures, pages or models.

A folder needs `history.jsonl` or `metrics.json`; whatever else is missing (a run still going on, a part without targets) is
left out of the report. What is there must be whole: a damaged record is an error that names file, line and field.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

import numpy as np

from convrnn.core.errors import DataError, JobError
from convrnn.core.language import Message, tr

Json: TypeAlias = Mapping[str, Any]
REMEDY = tr("restore the file or train again")


@dataclass(frozen=True)
class Step:
    """One optimizer step: the loss of its batch, its learning rate, the norm of its gradient (before clipping)."""

    step: int
    epoch: int
    loss: float
    rate: float
    norm: float

    @classmethod
    def of(cls, record: Json, where: str = "step") -> Self:
        """From a line of `history.jsonl`; a `null` is a NaN.

        Raises:
            DataError: a field that is missing or no number.
        """
        whole = (int(_number(record, key, where)) for key in ("step", "epoch"))
        return cls(*whole, *(_number(record, key, where) for key in ("loss", "rate", "norm")))


@dataclass(frozen=True)
class Epoch:
    """One epoch: losses and metrics over the training part and, if there is one, the validation part."""

    epoch: int
    step: int
    train: Mapping[str, float]
    valid: Mapping[str, float] | None = None
    rate: float = math.nan

    @classmethod
    def of(cls, record: Json, where: str = "epoch") -> Self:
        """From a line of `history.jsonl` that has a `train` part with a `loss`; a `null` is a NaN.

        Raises:
            DataError: a field that is missing or no number.
        """
        train = _numbers(record.get("train"), f"{where}: train")
        valid = _numbers(record["valid"], f"{where}: valid") if record.get("valid") else None
        for name, part in (("train", train), ("valid", valid)):
            if part is not None and "loss" not in part:
                raise DataError(f"{where}: {name}.loss", tr("expected a number, got nothing"), REMEDY)
        rate = _number(record, "rate", where) if "rate" in record else math.nan
        return cls(int(_number(record, "epoch", where)), int(_number(record, "step", where)), train, valid, rate)


@dataclass(frozen=True)
class Answer:
    """One row of the evaluated part: what it is (`target`) and what the model said (`label`, or `value` for a regression)."""

    name: str
    target: str
    label: str | None
    value: float
    probability: float


@dataclass(frozen=True)
class Mistake:
    """A wrong answer with its input as it was read.

    Attributes:
        answer: what was said.
        kind: of the input.
        text: the text.
        array: a series `[T, C]` in raw units, a picture `[H, W, C]` uint8, or the bands of a recording `[bands, T, 1]` uint8.
        samples: int16 of a recording, if it can be played.
        rate: its samples a second.
    """

    answer: Answer
    kind: Literal["text", "series", "image", "audio"]
    text: str = ""
    array: np.ndarray | None = None
    samples: np.ndarray | None = None
    rate: int = 0


@dataclass(frozen=True)
class Inner:
    """What went on in a layer while a net read a row, and what it read: words, a series `[T, C]` or a picture `[H, W, C]` uint8.

    Attributes:
        layer: where it stands.
        frames: of the input, as many as were read.
        values: by symbol `[t, K]`: K units at t frames.
        steps: by symbol, how many frames of the input one of these stands for.
        words: of a text, as many as there is room for.
        array: a series or a picture.
        whole: frames of the row.
        why: why this row is shown, if it was chosen.
        answer: of the model, if one is told.
    """

    layer: str
    frames: int
    values: Mapping[str, np.ndarray]
    steps: Mapping[str, float]
    words: tuple[str, ...] = ()
    array: np.ndarray | None = None
    whole: int = 0
    why: str = ""
    answer: Answer | None = None


@dataclass(frozen=True)
class Run:
    """Everything that a report draws from."""

    folder: str
    config: str = ""
    metrics: Mapping[str, Any] | None = None
    steps: tuple[Step, ...] = ()
    epochs: tuple[Epoch, ...] = ()
    answers: tuple[Answer, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    gates: tuple[Inner, ...] = ()
    data: Mapping[str, Any] | None = None
    model: Mapping[str, Any] | None = None
    task: Mapping[str, Any] | None = None
    command: str = ""

    @property
    def part(self) -> str:
        """The part that was evaluated: `test`, or `valid` where there is no test part."""
        return "test" if self.metrics is None or "test" in self.metrics else "valid"


def read(folder: str | Path) -> Run:
    """Reads the records of a run folder.

    Raises:
        DataError: the folder is missing, is not a run folder, or holds a damaged record.
        JobError: a file is there and cannot be read.
    """
    place = Path(folder)
    if not place.is_dir():
        raise DataError(str(place), tr("expected a run folder, found none"), tr("give the folder that `convrnn train --out` named"))
    if not (place / "history.jsonl").exists() and not (place / "metrics.json").exists():
        raise DataError(
            str(place), tr("expected history.jsonl or metrics.json, found neither"), tr("give a folder that `convrnn train` wrote")
        )
    steps, epochs = read_history(place / "history.jsonl")
    summary = json_object(place / "summary.json") or {}
    config = place / "config.yaml"
    return Run(
        folder=place.resolve().name,
        config=_text(config) if config.exists() else "",
        metrics=json_object(place / "metrics.json"),
        steps=steps,
        epochs=epochs,
        answers=answers(place / "predictions.jsonl"),
        mistakes=_mistakes(place),
        gates=_gates(place),
        data=_part(summary, "data"),
        model=_part(summary, "model"),
        task=_part(summary, "task"),
        command=str(summary.get("command") or ""),
    )


def messages(data: Json) -> list[str]:
    """What was noticed when the data were read, in the language of this context; as it was written where its record is missing.

    Raises:
        DataError: a record that is none.
    """
    texts = [str(note) for note in data.get("notes") or ()]
    records = data.get("messages") or [None] * len(texts)
    try:
        return [text if record is None else Message.from_record(record) for text, record in zip(texts, records, strict=True)]
    except (ValueError, AttributeError) as error:
        raise DataError("summary.json: data.messages", tr("expected one for each note ({error})", error=error), REMEDY) from error


def read_history(path: str | Path) -> tuple[tuple[Step, ...], tuple[Epoch, ...]]:
    """The step and the epoch records of a `history.jsonl`; both empty when there is no such file.

    Raises:
        DataError: a line that is no record.
    """
    steps, epochs = [], []
    for where, record in lines(Path(path)):
        if "train" in record:
            epochs.append(Epoch.of(record, where))
        else:
            steps.append(Step.of(record, where))
    return tuple(steps), tuple(epochs)


def answers(path: str | Path) -> tuple[Answer, ...]:
    """The answers to rows with a known target of a `predictions.jsonl`; none when there is no such file.

    Raises:
        DataError: a line that is no record.
    """
    return tuple(_answer(record, where) for where, record in lines(Path(path)) if record.get("target") is not None)


def _answer(record: Json, where: str) -> Answer:
    if "label" not in record and "value" not in record:
        raise DataError(where, tr("expected `label` or `value`, got neither"), REMEDY)
    label = None if record.get("label") is None else str(record["label"])
    value = _number(record, "value", where) if label is None else math.nan
    probability = _number(record, "probability", where) if "probability" in record else math.nan
    if label is None:
        _number(record, "target", where)
    return Answer(str(record.get("name", "")), str(record.get("target")), label, value, probability)


def _mistakes(place: Path) -> tuple[Mistake, ...]:
    path = place / "mistakes.json"
    if not path.exists():
        return ()
    records = _parse(_text(path), path.name)
    if not isinstance(records, list):
        raise DataError(path.name, tr("expected a list, got {got}", got=type(records).__name__), REMEDY)
    arrays = _arrays(place / "mistakes.npz")
    found = []
    for number, record in enumerate(records):
        where = f"{path.name}[{number}]"
        if not isinstance(record, dict):
            raise DataError(where, tr("expected an object, got {got!r}", got=record), REMEDY)
        found.append(_mistake(record, arrays, where))
    return tuple(found)


def _mistake(record: Json, arrays: Mapping[str, np.ndarray], where: str) -> Mistake:
    kind = record.get("kind")
    answer = _answer(record, where)
    if kind == "text":
        return Mistake(answer, "text", text=str(record.get("text", "")))
    if kind not in ("series", "image", "audio"):
        raise DataError(f"{where}.kind", tr("expected text, series, image or audio, got {got!r}", got=kind), REMEDY)
    array = arrays.get(str(record.get("array")))
    rank = 2 if kind == "series" else 3
    if array is None or array.ndim != rank:
        got = tr("nothing") if array is None else tr("an array of {axes} axes", axes=array.ndim)
        raise DataError(f"{where}.array", tr("expected an array of {rank} axes in mistakes.npz, got {got}", rank=rank, got=got), REMEDY)
    samples = arrays.get(str(record.get("sound")))
    rate = 0 if samples is None else int(_number(record, "rate", where))
    if samples is not None and (samples.dtype != np.int16 or samples.ndim != 1 or not 0 < rate < 1 << 31):
        problem = tr(
            "expected samples int16 [N] and their rate, got {dtype} {shape} at {rate} Hz",
            dtype=samples.dtype,
            shape=list(samples.shape),
            rate=rate,
        )
        raise DataError(f"{where}.sound", problem, REMEDY)
    return Mistake(answer, kind, array=array, samples=samples, rate=rate)


def _gates(place: Path) -> tuple[Inner, ...]:
    path = place / "gates.json"
    if not path.exists():
        return ()
    records = _parse(_text(path), path.name)
    if not isinstance(records, list):
        raise DataError(path.name, tr("expected a list, got {got}", got=type(records).__name__), REMEDY)
    arrays = _arrays(place / "gates.npz")
    return tuple(_inner(record, arrays, f"{path.name}[{number}]") for number, record in enumerate(records))


def _inner(record: Json, arrays: Mapping[str, np.ndarray], where: str) -> Inner:
    if not isinstance(record, dict):
        raise DataError(where, tr("expected an object, got {got!r}", got=record), REMEDY)
    gates = record.get("gates")
    if not isinstance(gates, dict) or not gates:
        raise DataError(f"{where}.gates", tr("expected values by symbol, got {got!r}", got=gates), REMEDY)
    try:
        values = {str(symbol): np.array(means, dtype=np.float64).reshape(-1, 1) for symbol, means in gates.items()}
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}.gates", tr("expected lists of numbers, got others ({error})", error=error), REMEDY) from error
    frames, whole, step = (_number(record, key, where) for key in ("frames", "whole", "step"))
    words, array = tuple(map(str, record.get("words") or ())), arrays.get(str(record.get("array")))
    if not words and (array is None or array.ndim not in (2, 3)):
        raise DataError(f"{where}.array", tr("expected a series or a picture in gates.npz, got neither"), REMEDY)
    layer, why = str(record.get("layer", "")), str(record.get("why", ""))
    return Inner(layer, int(frames), values, dict.fromkeys(values, step), words, array, int(whole), why, _answer(record, where))


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        return {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        raise DataError(path.name, tr("expected arrays, got a damaged file ({error})", error=error), REMEDY) from error
    except OSError as error:
        raise JobError(path.name, tr("could not be read: {reason}", reason=error.strerror or error), tr("check its permissions")) from error


def lines(path: Path) -> list[tuple[str, Json]]:
    """The records of a JSON lines file with where each stands; a last line cut off by a kill (no line end) is not a record."""
    if not path.exists():
        return []
    text = _text(path)
    whole = text[: text.rfind("\n") + 1]
    found = []
    for number, line in enumerate(whole.split("\n"), start=1):
        if line.strip():
            where = f"{path.name}:{number}"
            record = _parse(line, where)
            if not isinstance(record, dict):
                raise DataError(where, tr("expected an object, got {got!r}", got=line[:40]), REMEDY)
            found.append((where, record))
    return found


def json_object(path: Path) -> Json | None:
    """The object that a file holds, or None if there is no such file."""
    if not path.exists():
        return None
    record = _parse(_text(path), path.name)
    if not isinstance(record, dict):
        raise DataError(path.name, tr("expected an object, got {got}", got=type(record).__name__), REMEDY)
    return record


def _part(summary: Json, key: str) -> Json | None:
    part = summary.get(key)
    if part is not None and not isinstance(part, dict):
        raise DataError(f"summary.json: {key}", tr("expected an object, got {got!r}", got=part), REMEDY)
    return part


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            path.name, tr("expected UTF-8, got byte {got:#04x} at {start}", got=error.object[error.start], start=error.start), REMEDY
        ) from error
    except OSError as error:
        raise JobError(path.name, tr("could not be read: {reason}", reason=error.strerror or error), tr("check its permissions")) from error


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            where, tr("expected JSON, got {got!r} ({why})", got=text[error.pos : error.pos + 20], why=error.msg), REMEDY
        ) from error


def _numbers(part: Any, where: str) -> dict[str, float]:
    if not isinstance(part, dict):
        raise DataError(where, tr("expected an object, got {got!r}", got=part), REMEDY)
    return {key: _number(part, key, where) for key in part}


def _number(record: Json, key: str, where: str) -> float:
    value = record.get(key, "nothing")
    if value is None:
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: {key}", tr("expected a number, got {got!r}", got=value), REMEDY) from error
