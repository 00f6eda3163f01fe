"""Run folders as a training writes them, made up: `python tests/report/conftest.py FOLDER` writes them all with their reports, to look at.

Knows the formats of the records and trains nothing.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convrnn.report import render
from convrnn.report.fonts import Lettering

CHINESE = ["好评", "差评", "中性（没有明显倾向的评论）"]
REVIEWS = [
    "物流很快，包装完好，屏幕显示效果非常好，就是价格稍微贵了一点。总体来说还是值得推荐的，下次还会再来。",
    "用了三天就坏了，客服推来推去，<b>再也不买</b> & 不推荐！",
    "一般般吧，没有想象中的好，也没有评论里说的那么差。",
]


def write_run(folder: Path, records: dict[str, Any]) -> Path:
    """Writes records under their file names: text as it is, lists as JSON lines, other values as JSON, arrays as npz."""
    folder.mkdir(parents=True)
    for name, value in records.items():
        if isinstance(value, str):
            (folder / name).write_text(value, encoding="utf-8")
        elif name.endswith(".npz"):
            np.savez(folder / name, **value)
        elif name.endswith(".jsonl"):
            (folder / name).write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in value), encoding="utf-8")
        else:
            (folder / name).write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return folder


def history(train: list[float], valid: list[float] | None, metric: str = "accuracy", per_epoch: int = 20) -> list[dict[str, Any]]:
    """Epoch and step records for given losses; the metric is a function of the loss."""
    rng, lines = np.random.default_rng(0), []
    for number, loss in enumerate(train, start=1):
        for step in range((number - 1) * per_epoch + 1, number * per_epoch + 1, 2):
            rate = 1e-3 * min(1.0, step / 30)
            noise = float(rng.lognormal(sigma=0.15))
            lines.append({"step": step, "epoch": number, "loss": loss * noise, "rate": rate, "norm": 2.0 * noise * loss})
        record = {"epoch": number, "step": number * per_epoch, "train": {"loss": loss, metric: math.exp(-loss)}, "rate": 1e-3}
        if valid is not None:
            record["valid"] = {"loss": valid[number - 1], metric: math.exp(-valid[number - 1])}
        lines.append(record)
    return lines


def overfitted(count: int = 24) -> tuple[list[float], list[float]]:
    """Losses of a training that overfits from about a third of its epochs on."""
    x = np.arange(count) / count
    train, valid = 2.2 * np.exp(-5 * x) + 0.02, 0.35 + 1.9 * np.exp(-9 * x) + 0.5 * np.clip(x - 0.35, 0, 1)
    noise = np.random.default_rng(1).normal(size=(2, count)) * 0.02
    return (train * (1 + noise[0])).tolist(), (valid * (1 + noise[1])).tolist()


def answers(labels: list[str], count: int, accuracy: float = 0.93) -> list[dict[str, Any]]:
    """Answers of a classification, a little too sure of themselves."""
    rng, lines = np.random.default_rng(2), []
    for row in range(count):
        true = int(rng.integers(len(labels)))
        right = rng.random() < accuracy
        said = true if right else (true + 1 + int(rng.integers(min(3, len(labels) - 1)))) % len(labels)
        sure = float(rng.beta(9, 0.5)) if right else float(rng.beta(4, 1.6))
        sure = max(sure, 1 / len(labels) + 0.01)
        lines.append(
            {"name": f"test.csv:{row + 2}", "target": labels[true], "label": labels[said], "probability": sure, "probabilities": {}}
        )
    return lines


def summary(name: str, kind: str, task: str, labels: list[str], **data: Any) -> dict[str, Any]:
    """A data and model summary; further keyword arguments belong to the data."""
    classes = {"classes": {label: 140 - 3 * number for number, label in enumerate(labels)}} if labels else {}
    length = {"min": 7, "median": 15, "max": 29}
    parts = {part: {"rows": rows, "length": length, **classes} for part, rows in (("train", 1294), ("valid", 143), ("test", 360))}
    layers = [
        {
            "path": "0.conv",
            "layer": "conv(32, kernel=5)",
            "out": "[B, T, 32]",
            "parameters": 1312,
            "multiply_adds": 19200,
            "past": 2,
            "lookahead": 2,
            "latency_ms": 0.11,
        },
        {
            "path": "1.pool",
            "layer": "pool(2)",
            "out": "[B, T/2, 32]",
            "parameters": 0,
            "multiply_adds": 0,
            "past": 0,
            "lookahead": 1,
            "latency_ms": 0.01,
        },
        {
            "path": "2.gru",
            "layer": "gru(64)",
            "out": "[B, T/2, 64]",
            "parameters": 18816,
            "multiply_adds": 147456,
            "past": None,
            "lookahead": 0,
            "latency_ms": 0.18,
        },
        {"path": "3.linear", "layer": f"linear({len(labels) or 1})", "out": "[B, 1]", "parameters": 650, "past": None, "lookahead": None},
    ]
    spec = "- {conv: 32, kernel: 5}\n- {pool: 2}\n- {gru: 64}\n- {global: last}\n- {linear: 10}\n"
    model = {"name": "crnn", "spec_yaml": spec, "parameters": 20778, "ratio": "1/2", "past": None, "lookahead": 3, "streams": True}
    return {
        "data": {"name": name, "kind": kind, "task": task, "parts": parts, "channels": [], "notes": [], "missing": 0, **data},
        "model": {**model, "frames": 15, "multiply_adds": 167296, "latency_ms": 0.31, "layers": layers},
        "task": {"task": task, "labels": labels} if labels else {"task": task, "loss": "mse"},
        "command": f"convrnn train {name} --model crnn --out runs/{name}",
    }


def classification(name: str, kind: str, labels: list[str], losses: tuple[list[float], list[float] | None], **data: Any) -> dict[str, Any]:
    """All records of a classification but the mistakes."""
    said = answers(labels, 360)
    share = sum(each["label"] == each["target"] for each in said) / len(said)
    part = {"accuracy": share, "loss": 0.31, "macro_f1": share - 0.01}
    metrics = {"test": part, "valid": part, "train": {"accuracy": 0.998, "loss": 0.02, "macro_f1": 0.998}}
    return {
        "config.yaml": f"data: {name}\nmodel: crnn\nseed: 0\nepochs: 24\nnote: 中文配置 <ok>\n",
        "history.jsonl": history(*losses),
        "metrics.json": {**metrics, "seconds": {"train": 41.3, "evaluate": 0.21}, "parameters": 20778, "seed": 0},
        "predictions.jsonl": said,
        "summary.json": summary(name, kind, "classify", labels, **data),
    }


def mistakes(records: dict[str, Any], kind: str, inputs: list[Any]) -> dict[str, Any]:
    """Adds the most confident mistakes of the answers, with these inputs."""
    wrong = sorted(
        (each for each in records["predictions.jsonl"] if each["label"] != each["target"]), key=lambda each: -each["probability"]
    )
    pairs = [({**each, "kind": kind}, value) for each, value in zip(wrong, inputs, strict=False)]
    if kind == "text":
        return {**records, "mistakes.json": [{**each, "text": value} for each, value in pairs]}
    listed = [{**each, "array": f"m{number}"} for number, (each, _) in enumerate(pairs)]
    return {**records, "mistakes.json": listed, "mistakes.npz": {f"m{number}": value for number, (_, value) in enumerate(pairs)}}


def digits() -> dict[str, Any]:
    """Ten classes of pictures."""
    rng = np.random.default_rng(3)
    blobs = [np.clip(255 * np.exp(-((np.mgrid[:8, :8] - rng.uniform(2, 5, (2, 1, 1))) ** 2).sum(0) / 6), 0, 255) for _ in range(12)]
    records = classification("digits", "image", [str(n) for n in range(10)], overfitted())
    return mistakes(records, "image", [blob[:, :, None].astype(np.uint8) for blob in blobs])


def reviews() -> dict[str, Any]:
    """Chinese texts and classes, converged."""
    x = np.arange(18)
    losses = (0.7 * np.exp(-0.5 * x) + 0.05).tolist(), (0.65 * np.exp(-0.5 * x) + 0.2).tolist()
    notes = ["编码 recognised: reviews.csv is GB18030", "text column: 评论; target column: 类别 (the only one of that name)"]
    records = classification("评论数据", "text", CHINESE, losses, notes=notes)
    return mistakes(records, "text", REVIEWS * 3)


def series() -> dict[str, Any]:
    """Ragged series of three channels with missing values, not converged."""
    rng, inputs = np.random.default_rng(4), []
    for length in (39, 152, 7, 1344, 64, 90, 1, 30):
        values = rng.normal(size=(length, 3)).cumsum(axis=0).astype(np.float32)
        values[length // 3 : length // 3 + 2, 0] = np.nan
        inputs.append(values)
    x = np.arange(12)
    losses = (1.1 - 0.06 * x).tolist(), (1.12 - 0.055 * x).tolist()
    records = classification("ecg", "series", ["normal", "abnormal"], losses, channels=["lead I", "lead II", "压力"], missing=41)
    return mistakes(records, "series", inputs)


def regression() -> dict[str, Any]:
    """A regression."""
    rng = np.random.default_rng(5)
    truth = rng.gamma(3.0, 20.0, 300)
    said = truth * 0.9 + 6 + rng.normal(size=300) * 8
    pairs = list(zip(truth.tolist(), said.tolist(), strict=True))
    lines = [{"name": f"row {n}", "target": true, "value": value} for n, (true, value) in enumerate(pairs)]
    worst = sorted(lines, key=lambda each: -abs(each["value"] - each["target"]))[:6]
    x = np.arange(15)
    losses = (1.0 * np.exp(-0.6 * x) + 0.05).tolist(), (0.9 * np.exp(-0.6 * x) + 0.07).tolist()
    part = {"mae": 6.6, "rmse": 8.3, "r2": 0.94}
    return {
        "history.jsonl": history(*losses, metric="r2"),
        "metrics.json": {"test": part, "valid": part, "train": part, "seconds": {"train": 12.0}, "parameters": 20778, "seed": 3},
        "predictions.jsonl": lines,
        "summary.json": summary("Covid3Month", "series", "regress", [], channels=["cases"]),
        "mistakes.json": [{**each, "kind": "series", "array": f"m{n}"} for n, each in enumerate(worst)],
        "mistakes.npz": {f"m{n}": rng.normal(size=(84, 1)).cumsum(axis=0) for n in range(6)},
    }


def one_epoch() -> dict[str, Any]:
    """One epoch, no validation part, no predictions."""
    records = classification("one", "series", ["a", "b"], ([0.6], None))
    return {name: value for name, value in records.items() if name not in ("predictions.jsonl", "config.yaml")}


def no_validation() -> dict[str, Any]:
    """Twelve epochs without a validation part."""
    return classification("unchecked", "series", ["left", "right"], ((np.exp(-0.9 * np.arange(12)) + 0.02).tolist(), None))


def many_classes() -> dict[str, Any]:
    """Sixty classes, one name with signs that HTML and mathtext would take for their own."""
    labels = ["$x^^2$ <script>alert(1)</script>", *(f"class {number}" for number in range(2, 61))]
    return classification("sixty", "text", labels, overfitted(30))


def diverged() -> dict[str, Any]:
    """Losses that become NaN, answers of no use."""
    records = classification("diverged", "series", ["a", "b", "c"], ([1.1, 3.5, math.nan, math.nan], [1.2, 9.0, math.nan, math.nan]))
    return {**records, "predictions.jsonl": [{"name": "1", "target": "a", "label": "b", "probability": None}]}


def going_on() -> dict[str, Any]:
    """A training that is still going on: a history and no more."""
    return {"history.jsonl": history([1.0, 0.8], [1.0, 0.9])}


RUNS: dict[str, Callable[[], dict[str, Any]]] = {
    "digits": digits,
    "reviews": reviews,
    "series": series,
    "regression": regression,
    "one_epoch": one_epoch,
    "no_validation": no_validation,
    "many_classes": many_classes,
    "diverged": diverged,
    "going_on": going_on,
}


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Writes one of `RUNS`, by its name, some of its records replaced (None: left out)."""

    def write(name: str, replaced: dict[str, Any] | None = None) -> Path:
        records = {**RUNS[name](), **(replaced or {})}
        return write_run(tmp_path / name, {file: value for file, value in records.items() if value is not None})

    return write


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The report of one of `RUNS`, made once; only to be read."""

    @cache
    def path(name: str) -> Path:
        return render(write_run(tmp_path_factory.mktemp("runs") / name, RUNS[name]()))

    return path


@pytest.fixture
def subprocess_modules(root: Path) -> Callable[[str], set[str]]:
    """The names of the modules that a fresh interpreter holds after a statement."""

    def run(statement: str) -> set[str]:
        code = f"{statement}\nimport sys\nprint(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
        return set(done.stdout.split())

    return run


if __name__ == "__main__":
    for each, build in RUNS.items():
        print(render(write_run(Path(sys.argv[1]) / each, build())))
    for each in ("reviews", "series"):
        print(render(write_run(Path(sys.argv[1]) / f"{each}_no_font", RUNS[each]()), lettering=Lettering.find(())))
