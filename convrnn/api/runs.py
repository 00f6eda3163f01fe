"""The verbs over data and run folders: train, resume, evaluate, predict. One call each; the command line is a thin layer over these.

train, resume      ask: what was given becomes a request (`prepare.py`) and a source (`rows.py`)
_run               prepare, make the folder (`folder.py`), fit (`convrnn.training`), measure and write (`records.py`)
"""

from __future__ import annotations

import json
import time as clock
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from convrnn.api.folder import MEMORY, Config, alone, begun, busy, discard, finished, new_folder, read_config, refuse_existing
from convrnn.api.gates import write_gates
from convrnn.api.options import plain, refuse_test_of_folds
from convrnn.api.prepare import Prepared, Request, Say, TaskName, prepare
from convrnn.api.records import metrics_of, write_metrics, write_mistakes, write_predictions, write_summary
from convrnn.api.rows import Reading, rows_for, source_of
from convrnn.core.errors import ConvrnnError, DataError, JobError, UsageError
from convrnn.core.labels import label
from convrnn.core.language import tr
from convrnn.data import Examples
from convrnn.data.batch import Encoded
from convrnn.deploy import Model, load
from convrnn.kernels import native
from convrnn.layers.base import Spec
from convrnn.report import Epoch, chance_loss, findings, render
from convrnn.training import Settings
from convrnn.training.hooks import Interrupted, Watcher
from convrnn.training.loop import Fitted, fit
from convrnn.zoo import SPEC_FILES, from_file, get


@dataclass(frozen=True, eq=False)
class Run:
    """A finished training.

    Attributes:
        folder: where it was written; None: nowhere (trained from Python without `out`).
        model: ready to predict.
        metrics: by part: `run.metrics["test"]["accuracy"]`; also `seconds`, `parameters`, `seed`, `best_epoch`.
        history: the records of the training, one a logged step and one an epoch.
        finding: what the learning curves show and what to do about it, in a sentence or two.
    """

    folder: Path | None
    model: Model
    metrics: Mapping[str, Any]
    history: list[dict[str, Any]]
    finding: str


@dataclass(frozen=True, eq=False)
class _Job:
    """How a training is run: where it is written (or beside it), whether it goes on, who is told, what is left behind, of which rows."""

    folder: Path | None
    resume: bool
    command: str
    say: Say
    watch: Watcher | None
    report: bool
    trial: bool = False
    digest: str | None = None
    another: bool = False


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
    trial: bool = False,
    digest: str | None = None,
    another: bool = False,
    **options: Any,
) -> Run:
    """Trains a model and measures it.

    Args:
        data: a built-in name, a path, or rows in memory (arrays, lists of arrays, texts, a data frame) with `y`.
        y: targets of rows in memory; of a data frame they may be a column instead, recognised or named as `target`.
        model: a name of the zoo, the path of a YAML spec, or a spec; None: `text-cnn` for texts, `crnn` for all else.
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
        resume: go on with the training in `out` that was cut off, with the same rows and options; for a path `convrnn.resume` knows them.
        command: what was typed, for the report.
        say: where lines for people go; None: nowhere.
        watch: shown the progress.
        report: whether to draw `report.html` and the plots.
        trial: something is chosen by this run: the test part is held out and not measured, and `metrics.json` is the only record beside
            the history.
        digest: of the rows (`convrnn.data.digest`): others are refused, since what they are compared with was trained on these. None: any.
        another: whether, where `out` is taken, the first free one of `out-2`, `out-3`, ... is written; not with `resume`.
        options: settings of the training (`epochs=5`, `rate=1e-3`, `seed=1`, ...), of the model, the modality, the task, or the split: what
            `--set` takes.

    Raises:
        InputError: anything wrong with what was given; nothing was written.
        JobError: the training failed (no space, loss not a number). Nothing was written, or a checkpoint is there to go on from.
        Interrupted: Ctrl-C (a KeyboardInterrupt); the message says how to go on.
    """
    reading = Reading(task, tuple(input), target, group, id, time, encoding, _path_text(valid), _path_text(test))
    folder = None if out is None else Path(out)
    if another and (folder is None or resume):
        raise UsageError("another", tr("is for a new run folder"), tr("give out, and leave resume out"))
    if folder is not None and resume:
        trial = read_config(folder).trial or trial  # and whether it is a run folder at all
    elif folder is not None and not another:
        refuse_existing(folder)  # before the data are read, which may take a while
    chosen = _known(model)
    refuse_test_of_folds(test, options)
    request = Request(chosen, task, *reading.shares, plain(options))
    job = _Job(folder, resume, command, say or _silent, watch, report, trial, digest, another)
    return _run(data, y, reading, request, job)


def resume(folder: str | Path, *, say: Say | None = None, watch: Watcher | None = None) -> Run:
    """Goes on with a training that was cut off, to the same weights and the same history, bit for bit.

    A training that is done already stays as it is: its results are read.

    Raises:
        DataError: not a run folder, other data than it began with, a run trained from memory (call `train(..., resume=True)`), or a
            trial that is done.
        JobError: a checkpoint is lost or damaged, or as for `train`.
    """
    place = Path(folder)
    config = read_config(place)
    told = say or _silent
    if finished(place):
        return _read_back(place, told)
    how, request = _asked(place, config)
    return _run(config.data, None, how, request, _Job(place, True, config.command, told, watch, True, config.trial))


def prepared_of(folder: str | Path) -> Prepared:
    """What a run began with: its rows, and its net with the weights before the first step.

    Raises:
        DataError: not a run folder, or a run trained from memory.
    """
    config = read_config(Path(folder))
    how, request = _asked(Path(folder), config)
    return prepare(source_of(config.data, None, how), request, _silent)


def evaluate(
    folder: str | Path, data: Any, y: Any = None, *, target: str | None = None, encoding: str | None = None, say: Say | None = None
) -> dict[str, float]:
    """The task's metrics of a trained model on labelled rows.

    Args:
        folder: of a run.
        data: as for `train`; of a built-in set the test part.
        y: targets of rows in memory.
        target: the target column, if it has another name than in training.
        encoding: of a text file; None: as in training, where it was given, else recognised.
        say: where lines for people go, on what was noticed while reading; None: nowhere.

    Raises:
        DataError: rows that do not fit the model, or a label that it does not know.
    """
    model = load(folder)
    examples = rows_for(model, data, y, labelled=True, target=target, encoding=encoding)
    _tell(examples, say)
    assert examples.targets is not None
    outputs = model.outputs(Encoded(model.modality.encode_examples(examples)))
    return model.task.metrics(outputs, model.task.encode(examples.targets, examples.names))


def predict(folder: str | Path, data: Any, *, encoding: str | None = None, say: Say | None = None) -> list[dict[str, Any]]:
    """One answer a row: `{"label", "probability", "probabilities"}` or `{"value"}`.

    Args:
        folder: of a run.
        data: a path, the bytes of a file, or rows in memory, in the layout of the training data; targets are not looked at.
        encoding: as for `evaluate`; so is `say`.

    Raises:
        DataError: not a run, or rows that do not fit the model.
    """
    return predict_named(load(folder), data, encoding=encoding, say=say)[1]


def predict_named(model: Model, data: Any, *, encoding: str | None = None, say: Say | None = None) -> tuple[Examples, list[dict[str, Any]]]:
    """As `predict`, with the rows that were read, so that answers can be given their names."""
    examples = rows_for(model, data, labelled=False, encoding=encoding)
    _tell(examples, say)
    return examples, model.predict_examples(examples)


def _tell(examples: Examples, say: Say | None) -> None:
    for note in examples.notes:
        (say or _silent)(tr("data: {note}", note=note))


def _known(model: str | Spec | None) -> str | Spec | None:
    """The model that was asked for, a file read; an unknown name is an error before any data are read."""
    if isinstance(model, str):
        return from_file(model) if Path(model).suffix in SPEC_FILES else get(model).name
    return model


def _path_text(value: float | str | Path | None) -> float | str | None:
    return str(value) if isinstance(value, Path) else value


def _asked(place: Path, config: Config) -> tuple[Reading, Request]:
    """How the data of a run are read, and what it was asked for, as it was resolved."""
    if config.data == MEMORY:
        raise DataError(str(place), tr("was trained from rows in memory"), tr("call convrnn.train(rows, ..., out=folder, resume=True)"))
    if set(config.reading) != {each.name for each in fields(Reading)}:
        raise DataError(str(place / "config.yaml"), tr("is damaged: `reading` lacks a field or has one too many"), tr("train again"))
    how = Reading(**{**config.reading, "input": tuple(config.reading["input"])})
    request = Request(
        config.model if config.model is None or isinstance(config.model, str) else Spec.from_dict(config.model),
        how.task,
        *how.shares,
        config.options,
        Spec.from_dict(config.body),
        Settings.from_dict(config.settings),
    )
    return how, request


def _run(data: Any, y: Any, how: Reading, request: Request, job: _Job) -> Run:
    """From a request to a run."""
    prepared = prepare(source_of(data, y, how, job.digest), request, job.say)
    made: list[Path] = []
    if job.folder is not None and not job.resume:
        folder, made = new_folder(job.folder, _config(data, how, request, prepared, job), job.another)
        job = replace(job, folder=folder)
    if why := native.why_not():
        job.say(
            tr("note: compiled kernels are not used ({why}); install a C++ compiler and reinstall convrnn for faster training", why=why)
        )
    with _kept(job, made, _named(data)), alone(job.folder):
        return _finish(prepared, _fit(prepared, job), job)


def _config(data: Any, how: Reading, request: Request, prepared: Prepared, job: _Job) -> Config:
    modality = prepared.model.modality
    return Config(
        data=_named(data),
        command=job.command,
        reading=plain(asdict(how)),
        model=plain(request.model),
        options=request.options,
        settings=prepared.settings.to_dict(),
        body=prepared.body.to_dict(),
        # Its choices, without what it learned: that stands in model.json.
        modality={"modality": modality.name, **{name: plain(getattr(modality, name)) for name in modality.choices}},
        trial=job.trial,
    )


@contextmanager
def _kept(job: _Job, made: list[Path], data: str) -> Iterator[None]:
    """Where a training is cut off: a new folder without a checkpoint goes, of any other it is said how to go on."""
    folder = job.folder
    try:
        yield
    except KeyboardInterrupt as error:
        where = error.where if isinstance(error, Interrupted) else ""
        raise Interrupted(where, tr("nothing is kept without a folder") if folder is None else _way_on(folder, data)) from None
    except ConvrnnError as error:
        if folder is not None and not job.resume and not begun(folder) and not busy(folder):  # busy: another process has gone on with it
            discard(folder, made)
        elif folder is not None and isinstance(error, JobError) and isinstance(error.__cause__, OSError):
            raise JobError(error.where, error.problem, tr("free some space and {how}", how=_way_on(folder, data))) from error.__cause__
        raise


def _way_on(folder: Path, data: str) -> str:
    """How a training that was cut off is gone on with: one of rows in memory by whoever has them."""
    if data == MEMORY:
        return tr("go on with convrnn.train(rows, ..., out={folder!r}, resume=True)", folder=str(folder))
    return tr("go on with --resume {folder}", folder=folder)


def _named(data: Any) -> str:
    """What stands for the data in `config.yaml`."""
    return str(data) if isinstance(data, str | Path) else MEMORY


def _fit(prepared: Prepared, job: _Job) -> Fitted:
    model, encoded = prepared.model, prepared.encoded
    return fit(
        model.net,
        model.task,
        encoded["train"],
        encoded.get("valid"),
        prepared.settings,
        folder=job.folder,
        resume=job.resume,
        watch=job.watch,
    )


def _finish(prepared: Prepared, fitted: Fitted, job: _Job) -> Run:
    """Measures every part and writes the records, `metrics.json` last: where it stands, the run is done."""
    model, folder = prepared.model, job.folder
    model.net.to("cpu").eval()
    began = clock.perf_counter()
    measured = {name: part for name, part in prepared.encoded.items() if not (job.trial and name == "test")}
    outputs = {name: model.outputs(part.encoded) for name, part in measured.items()}
    metrics: dict[str, Any] = {
        **metrics_of(outputs, prepared),
        "seconds": {"train": round(fitted.seconds, 3), "measure": round(clock.perf_counter() - began, 3)},
        "parameters": model.parameters,
        "seed": prepared.settings.seed,
        "best_epoch": fitted.best_epoch,
    }
    if folder is not None and job.trial:
        write_metrics(folder, metrics)
    elif folder is not None:
        shown = "test" if "test" in outputs else "valid" if "valid" in outputs else "train"
        examples = getattr(prepared.parts, shown)
        answers = model.task.decode(outputs[shown])
        model.save(folder)
        write_predictions(folder / "predictions.jsonl", examples, answers)
        write_mistakes(folder, model, examples, answers)
        write_gates(folder, model, prepared.encoded[shown].encoded, examples, answers)
        write_summary(folder, prepared, job.command)
        write_metrics(folder, metrics)
        if job.report:
            _draw(folder, job.say)
    epochs = [Epoch.of(record) for record in fitted.history if "train" in record]
    classes = Counter(map(label, prepared.parts.train.targets or ()))
    return Run(folder, model, metrics, fitted.history, _finding(epochs, model.task.to_dict(), classes))


def _read_back(folder: Path, say: Say) -> Run:
    """A run that is done; its report is drawn where the training was cut off before that.

    Raises:
        DataError: a trial, which kept no model.
    """
    if not (folder / "model.json").is_file():
        problem = tr("was a trial, to choose something by: it is done, and kept its metrics only")
        raise DataError(str(folder), problem, tr("to train anew, choose another --out"))
    say(tr("{folder} is done already; to train anew, choose another --out", folder=folder))
    if not (folder / "report.html").is_file():
        _draw(folder, say)
    metrics, summary = (json.loads((folder / name).read_text(encoding="utf-8")) for name in ("metrics.json", "summary.json"))
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    classes = summary["data"]["parts"]["train"].get("classes", {})
    epochs = [Epoch.of(record) for record in history if "train" in record]
    return Run(folder, load(folder), metrics, history, _finding(epochs, summary["task"], classes))


def _draw(folder: Path, say: Say) -> None:
    """The report; a machine that cannot draw has its run all the same."""
    try:
        say(tr("report: {page}", page=render(folder)))
    except UsageError as error:
        say(tr("no report: {error}", error=error.message))


def _finding(epochs: list[Epoch], task: Mapping[str, Any], classes: Mapping[str, int]) -> str:
    first = findings(epochs, chance_loss(task, classes))[0]
    return tr("{sentence} {remedy}", sentence=first.sentence, remedy=first.remedy) if first.remedy else first.sentence


def _silent(line: str) -> None:
    """Says nothing."""
