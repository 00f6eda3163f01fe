"""The folder of a run and its `config.yaml`: refused, made, discarded, read back. Knows no data and no training.

A folder is new: one that holds anything is never written into. One whose training failed before its first checkpoint is removed again,
with the folders above it that were made for it, since there is nothing in it to go on with.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from convrnn.core.errors import DataError, JobError, UsageError
from convrnn.core.files import write
from convrnn.core.language import tr
from convrnn.core.lock import lock_of, locked
from convrnn.core.yaml_text import read_yaml

RUNS = Path("runs")
MEMORY = "memory"
"""Stands for the data of a run in `config.yaml` where they came from Python."""

RECORDS = ("history.jsonl", "predictions.jsonl")
"""What a run folder holds under names that answers could be given too."""

_REMEDY = tr("give the folder that `convrnn train` wrote")


@dataclass(frozen=True)
class Config:
    """What was asked for and what it was resolved to: all that is needed to go on.

    Attributes:
        data: as it was typed; `MEMORY` for rows from Python.
        command: what was typed.
        reading: how the data were read, by argument of `convrnn.train`.
        model: the name asked for, or a spec; None: none was.
        options: the other arguments and `--set`.
        settings: every setting of the training.
        body: the layers before the head of the task, every field written.
        modality: the choices of the modality; what it learned stands in `model.json`.
        trial: something is chosen by the run, so that its test part is not measured.
    """

    data: str
    command: str
    reading: Mapping[str, Any]
    model: str | Mapping[str, Any] | None
    options: Mapping[str, Any]
    settings: Mapping[str, Any]
    body: Mapping[str, Any]
    modality: Mapping[str, Any]
    trial: bool = False


def read_config(folder: Path) -> Config:
    """What a run was asked for.

    Raises:
        DataError: not a run folder, or a damaged `config.yaml`.
    """
    path = folder / "config.yaml"
    try:
        stored = read_yaml(path.read_text(encoding="utf-8"), str(path))
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(str(folder), tr("expected a run folder with config.yaml, found none"), _REMEDY) from None
    except UnicodeDecodeError as error:
        raise DataError(str(path), tr("is damaged: {error}", error=error), tr("train again, or restore it from a copy")) from None
    wanted = {each.name for each in fields(Config)}
    # Runs from before trials were told apart lack the word.
    named = set(stored) | {"trial"} if isinstance(stored, dict) else set[str]()
    if named != wanted:
        differs = sorted(wanted ^ named)
        raise DataError(
            str(path),
            tr("is damaged or of another version: see {names}", names=", ".join(differs)),
            tr("train again, or restore it from a copy"),
        )
    return Config(**stored)


def refuse_existing(folder: Path) -> None:
    """Whether a run may be written there.

    Raises:
        UsageError: something is there already.
    """
    if folder.is_dir():
        # A kill while the first file was written leaves a part of it: that is nothing.
        if all(entry.match(".*.part") for entry in folder.iterdir()):
            return
        raise _taken(folder)
    if folder.exists():
        raise UsageError("--out", tr("{folder} is a file, expected a folder", folder=folder), tr("choose another"))


def new_folder(folder: Path, config: Config, another: bool = False) -> tuple[Path, list[Path]]:
    """Makes a run folder with its `config.yaml`, or leaves nothing behind. Of several trainings that want it, one gets it.

    Args:
        folder: the one that is wanted.
        config: of the run.
        another: where it is taken, take the first that is free of `folder-2`, `folder-3`, ...

    Returns:
        The run folder, and the folders that were made, the innermost first.

    Raises:
        UsageError: it is taken, or a file is where a folder is wanted.
        JobError: no space or no permission.
    """
    place, numbers = folder, count(2)
    while True:
        try:
            return place, _claimed(place, config)
        except UsageError:
            if not (another and place.exists()):
                raise
            place = folder.with_name(f"{folder.name}-{next(numbers)}")


def _claimed(folder: Path, config: Config) -> list[Path]:
    """The folders that were made; `config.yaml` is what tells whose a folder is, and only one can put it there."""
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (NotADirectoryError, FileExistsError):
        raise UsageError("--out", tr("{folder} lies in a file, expected folders only", folder=folder), tr("choose another")) from None
    except OSError as error:
        _remove_empty(made)
        raise JobError(
            str(folder), tr("could not be made: {reason}", reason=error.strerror), tr("free some space or choose another --out")
        ) from error
    try:
        refuse_existing(folder)
        write(folder / "config.yaml", yaml.safe_dump(asdict(config), sort_keys=False, allow_unicode=True), new=True)
    except FileExistsError:
        raise _taken(folder) from None
    except JobError:
        _remove_empty(made)
        raise
    return made


def _taken(folder: Path) -> UsageError:
    more = tr(", or go on with --resume {folder}", folder=folder) if (folder / "config.yaml").is_file() else ""
    return UsageError("--out", tr("{folder} exists and is not empty", folder=folder), tr("choose another{more}", more=more))


def discard(folder: Path, made: Sequence[Path]) -> None:
    """Removes what is in a run folder, and the folders that were made for it as far as they are empty then.

    `config.yaml` goes last: as long as it stands, a run that a kill left half removed can be gone on with, from its beginning.
    """
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name == "config.yaml") if folder.is_dir() else ():
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    _remove_empty(made)


def _remove_empty(made: Sequence[Path]) -> None:
    with suppress(OSError):
        for place in made:
            place.rmdir()


@contextmanager
def alone(folder: Path | None) -> Iterator[None]:
    """Nobody else trains there meanwhile: a scheduler that starts a job again too early would have two mix their checkpoints.

    Args:
        folder: of a run; None: there is none.

    Raises:
        UsageError: another process is at work there.
        JobError: it cannot be written to.
    """
    with ExitStack() as stack:
        if folder is not None:
            try:
                stack.enter_context(locked(folder, brief=True))
            except OSError as error:
                raise JobError(
                    str(folder), tr("could not be written: {reason}", reason=error.strerror), tr("free some space or choose another --out")
                ) from error
        yield


def busy(folder: Path) -> bool:
    """Whether a process is at work there, or was when it was killed."""
    return lock_of(folder).exists()


def begun(folder: Path) -> bool:
    """Whether there is a checkpoint to go on from."""
    return (folder / "checkpoints" / "last.json").is_file()


def finished(folder: Path) -> bool:
    """Whether all records are there: `metrics.json` is written last."""
    return (folder / "metrics.json").is_file()


def default_folder(data: str, model: str | None) -> Path:
    """`runs/DATA-MODEL`, or `runs/DATA` if no model was named."""
    stem = Path(data).name.split(".")[0] or "run"
    return RUNS / (f"{stem}-{Path(model).stem}" if model else stem)
