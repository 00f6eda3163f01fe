"""The verbs over data and run folders: train, evaluate, predict. One Python call each; the command line is a thin layer over these."""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from convrnn.api.prepare import Prepared, Request, Say, TaskName, prepare
from convrnn.api.records import metrics_of, write_config, write_metrics, write_mistakes, write_predictions, write_summary
from convrnn.core.errors import DataError, JobError, UsageError
from convrnn.core.spec import read_yaml
from convrnn.data import Columns, Examples, Source, as_task, builtin, from_arrays, from_frame, is_frame, read, read_bytes, read_part
from convrnn.data.batch import Encoded
from convrnn.deploy import Model, load
from convrnn.kernels import native
from convrnn.layers.base import Spec
from convrnn.tasks import Classify
from convrnn.training.hooks import Watcher
from convrnn.training.loop import Fitted, fit

RUNS = Path("runs")
MEMORY = "memory"
"""Stands for the data of a run in `config.yaml` where they came from Python."""


@dataclass(frozen=True)
class Reading:
    """How the data are read; the fields are arguments of `train`."""

    task: TaskName | None
    input: tuple[str, ...]
    target: str | None
    group: str | None
    id: str | None
    time: str | None
    encoding: str | None
    valid: float | str | None
    test: float | str | None


@dataclass(frozen=True, eq=False)
class Run:
    """A finished training.

    Attributes:
        folder: where it was written; None: nowhere (trained from Python without `out`).
        model: ready to predict.
        metrics: by part: `run.metrics["test"]["accuracy"]`; also `seconds`, `parameters`, `seed`, `best_epoch`.
        history: the records of the training, one a logged step and one an epoch.
    """

    folder: Path | None
    model: Model
    metrics: Mapping[str, Any]
    history: list[dict[str, Any]]


def train(
    data: Any,
    y: Any = None,
    *,
    model: str | Spec | None = None,
    task: TaskName | None = None,
    input: tuple[str, ...] | list[str] = (),
    target: str | None = None,
    group: str | None = None,
    id: str | None = None,
    time: str | None = None,
    encoding: str | None = None,
    valid: float | str | Path | None = None,
    test: float | str | Path | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    command: str = "",
    say: Say | None = None,
    watch: Watcher | None = None,
    report: bool = True,
    **options: Any,
) -> Run:
    """Trains a model and measures it.

    Args:
        data: a built-in name, a path, or rows in memory (arrays, lists of arrays, texts, a data frame) with `y`.
        y: targets of rows in memory; for a data frame leave it out and name `target`.
        model: a name of the zoo, the path of a YAML spec, or a spec; None: `crnn` for series and pictures, `text-cnn` for texts.
        task: `classify` or `regress`; None: inferred from the targets.
        input: columns of a table that are the input; empty: recognised.
        target: target column; None: recognised.
        group: column whose rows stay in one part.
        id: column that says which series a row belongs to.
        time: column that orders the rows of a series.
        encoding: of text files; None: recognised.
        valid: share of the training rows, or a file, to watch while training; None: what the files fix, else 0.1.
        test: share of all rows, or a file, to measure on; None: what the files fix, else 0.2.
        out: run folder to write; it must not exist. None: nothing is written.
        resume: go on with the training in `out` that was cut off.
        command: what was typed, for the report.
        say: where lines for people go; None: nowhere.
        watch: shown the progress.
        report: whether to draw `report.html` and the plots.
        options: settings of the training (`epochs=5`, `rate=1e-3`, `seed=1`, ...), of the model, the modality, the task, or the split: what
            `--set` takes.

    Raises:
        InputError: anything wrong with what was given; nothing was written.
        JobError: the training failed (no space, loss not a number).
    """
    say = say or _silent
    reading = Reading(task, tuple(input), target, group, id, time, encoding, _path_text(valid), _path_text(test))
    folder = None if out is None else Path(out)
    if folder is not None and not resume:
        _refuse_existing(folder)
    prepared = prepare(_source(data, y, reading), Request(model, task, _share(valid, 0.1), _share(test, 0.2), options), say)
    if folder is not None and not resume:
        asked = {"data": str(data) if isinstance(data, str | Path) else MEMORY, "command": command, "reading": asdict(reading)}
        asked["model"] = model.to_dict() if isinstance(model, Spec) else model
        _new_folder(folder, prepared, {**asked, "options": options})
    if why := native.why_not():
        say(f"note: compiled kernels are not used ({why}); install a C++ compiler and reinstall convrnn for faster training")
    fitted = _fit(prepared, folder, resume, watch)
    return _finish(prepared, fitted, folder, command, say, report)


def resume(folder: str | Path, *, say: Say | None = None, watch: Watcher | None = None) -> Run:
    """Goes on with a training that was cut off, to the same weights and the same history, bit for bit.

    Raises:
        DataError: not a run folder, or one trained from memory (call `train(..., resume=True)` with the same rows).
    """
    place = Path(folder)
    path = place / "config.yaml"
    if not path.is_file():
        raise DataError(str(place), "expected a run folder with config.yaml, found none", "give the folder that `convrnn train` wrote")
    config = read_yaml(path.read_text(encoding="utf-8"), str(path))
    if not isinstance(config, dict) or not {"data", "command", "reading", "model", "options"} <= set(config):
        raise DataError(str(path), "is damaged: it does not say what was asked", "train again")
    if config["data"] == MEMORY:
        raise DataError(str(place), "was trained from rows in memory", "call convrnn.train(rows, ..., out=folder, resume=True)")
    model = Spec.from_dict(config["model"]) if isinstance(config["model"], dict) else config["model"]
    again = {"out": place, "resume": True, "command": config["command"], "say": say, "watch": watch}
    return train(config["data"], model=model, **again, **config["reading"], **config["options"])


def evaluate(folder: str | Path, data: Any, y: Any = None, *, target: str | None = None) -> dict[str, float]:
    """The task's metrics of a trained model on labelled rows.

    Raises:
        DataError: rows that do not fit the model, or a label that it does not know.
    """
    model = load(folder)
    examples = _rows(data, y, model, labelled=True, target=target)
    return _measured(model, examples)[0]


def predict(folder: str | Path, data: Any) -> list[dict[str, Any]]:
    """One answer a row: `{"label", "probability", "probabilities"}` or `{"value"}`."""
    model = load(folder)
    return model.predict_examples(_rows(data, None, model, labelled=False))


def predict_named(model: Model, data: Any) -> tuple[Examples, list[dict[str, Any]]]:
    """As `predict`, with the rows that were read, so that answers can be given their names."""
    examples = _rows(data, None, model, labelled=False)
    return examples, model.predict_examples(examples)


def _measured(model: Model, examples: Examples) -> tuple[dict[str, float], torch.Tensor]:
    outputs = model.outputs(Encoded(model.modality.encode_examples(examples)))
    assert examples.targets is not None
    return model.task.metrics(outputs, model.task.encode(examples.targets, examples.names)), outputs


def _source(data: Any, y: Any, how: Reading) -> Source:
    valid, test = (value if isinstance(value, str) else None for value in (how.valid, how.test))
    if isinstance(data, str | Path):
        return read(
            data,
            task=how.task,
            inputs=how.input,
            target=how.target,
            group=how.group,
            id=how.id,
            time=how.time,
            encoding=how.encoding,
            valid=valid,
            test=test,
        )
    if valid or test:
        raise UsageError("test", f"expected a share, got the file {valid or test}", "rows in memory are split by a share")
    columns = Columns(how.input, how.target, how.group, how.id, how.time)
    return Source("memory", _memory(data, y, columns, labelled=True), columns=columns)


def _memory(data: Any, y: Any, columns: Columns, labelled: bool) -> Examples:
    if is_frame(data) and y is None:
        return from_frame(data, columns, labelled)
    return from_arrays(data, y)


def _rows(data: Any, y: Any, model: Model, labelled: bool, target: str | None = None) -> Examples:
    task: TaskName = "classify" if isinstance(model.task, Classify) else "regress"
    columns = model.columns if target is None else Columns(**{**model.columns.to_json(), "target": target})
    if isinstance(data, bytes):
        examples = read_bytes(data, columns=columns, labelled=labelled)
    elif isinstance(data, str) and data in builtin.names():
        source = builtin.load(data)
        examples = source.test or source.train
    elif isinstance(data, str | Path):
        examples = read_part(data, columns, labelled)
    else:
        examples = _memory(data, y, columns, labelled)
    if examples.kind != model.kind:
        raise DataError(
            examples.names[0] if len(examples) else str(data), f"expected {model.kind}, got {examples.kind}", "give rows as in training"
        )
    return as_task(examples, task) if labelled else examples


def _share(value: Any, default: float) -> float:
    return default if value is None or isinstance(value, str | Path) else float(value)


def _path_text(value: float | str | Path | None) -> float | str | None:
    return str(value) if isinstance(value, Path) else value


def _refuse_existing(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("--out", f"{folder} exists and is not empty", f"choose another, or go on with --resume {folder}")


def _new_folder(folder: Path, prepared: Prepared, asked: dict[str, Any]) -> None:
    """Makes the run folder with its `config.yaml`; leaves nothing behind if that fails."""
    resolved = {"settings": prepared.settings.to_dict(), "spec": prepared.model.spec.to_dict(), "modality": _short(prepared)}
    existed = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_config(folder, {**asked, **resolved})
    except (OSError, JobError) as error:
        if not existed:
            shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, JobError):
            raise
        raise JobError(str(folder), f"could not be made: {error.strerror}", "choose another --out") from error


def _short(prepared: Prepared) -> dict[str, Any]:
    """The modality's choices, without what it learned: that stands in model.json."""
    modality = prepared.model.modality
    return {"modality": modality.name, **{name: getattr(modality, name) for name in modality.choices}}


def _fit(prepared: Prepared, folder: Path | None, again: bool, watch: Watcher | None) -> Fitted:
    model = prepared.model
    return fit(
        model.net,
        model.task,
        prepared.encoded["train"],
        prepared.encoded.get("valid"),
        prepared.settings,
        folder=folder,
        resume=again,
        watch=watch,
    )


def _finish(prepared: Prepared, fitted: Fitted, folder: Path | None, command: str, say: Say, report: bool) -> Run:
    """Measures every part and writes the records."""
    model = prepared.model
    model.net.to("cpu").eval()
    began = time.perf_counter()
    outputs = {name: model.outputs(part.encoded) for name, part in prepared.encoded.items()}
    metrics: dict[str, Any] = {
        **metrics_of(outputs, prepared),
        "seconds": {"train": round(fitted.seconds, 3), "measure": round(time.perf_counter() - began, 3)},
        "parameters": model.parameters,
        "seed": prepared.settings.seed,
        "best_epoch": fitted.best_epoch,
    }
    if folder is not None:
        shown = "test" if "test" in outputs else "valid" if "valid" in outputs else "train"
        examples = getattr(prepared.parts, shown)
        answers = model.task.decode(outputs[shown])
        model.save(folder)
        write_predictions(folder / "predictions.jsonl", examples, answers)
        write_mistakes(folder, examples, answers)
        write_summary(folder, prepared, command)
        write_metrics(folder, metrics)
        if report:
            from convrnn.report import render

            say(f"report: {render(folder)}")
    return Run(folder, model, metrics, fitted.history)


def default_folder(data: str | Path | None, model: str | None) -> Path:
    """`runs/DATA-MODEL`, with a number behind it if that is taken."""
    stem = f"{Path(str(data)).name.split('.')[0] or 'run'}-{Path(str(model)).stem if model else 'model'}"
    first = RUNS / stem
    return next(path for path in (first, *(RUNS / f"{stem}-{n}" for n in range(2, 10_000))) if not path.exists())


def typed(arguments: list[str]) -> str:
    """What was typed, so that it can be typed again."""
    return shlex.join(["convrnn", *arguments])


def _silent(line: str) -> None:
    """Says nothing."""
