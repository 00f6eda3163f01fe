"""What the caller gave (a name, a path, bytes, arrays, a data frame) to examples. Knows no training and writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from convrnn.api.prepare import TaskName
from convrnn.core.errors import DataError, UsageError
from convrnn.core.language import tr
from convrnn.data import (
    RECOGNISE,
    Columns,
    Examples,
    Source,
    as_task,
    builtin,
    digest,
    from_arrays,
    is_frame,
    read,
    read_bytes,
    read_frame,
    read_part,
)
from convrnn.deploy import Model
from convrnn.tasks import Classify


@dataclass(frozen=True)
class Reading:
    """How the data of a training are read: arguments of `convrnn.train`; `valid` and `test` are a share or the path of a file."""

    task: TaskName | None = None
    input: tuple[str, ...] = ()
    target: str | None = None
    group: str | None = None
    id: str | None = None
    time: str | None = None
    encoding: str | None = None
    valid: float | str | None = None
    test: float | str | None = None

    @property
    def shares(self) -> tuple[float | None, float | None]:
        """`valid` and `test` where they are shares of the rows."""
        valid, test = (None if value is None or isinstance(value, str) else float(value) for value in (self.valid, self.test))
        return valid, test


def source_of(data: Any, y: Any, how: Reading, wanted: str | None = None) -> Source:
    """Everything that a training may use.

    Args:
        data: what the caller gave.
        y: targets of rows in memory.
        how: it is read.
        wanted: the `digest` that it must have, as a study noted it; None: any.

    Raises:
        InputError: what cannot be read, or an option that rows in memory do not have.
        DataError: rows with another digest.
    """
    source = _source(data, y, how)
    if wanted is not None and digest(source) != wanted:
        raise DataError(str(data), tr("the rows are not those that the study began with"), tr("restore them, or begin the study anew"))
    return source


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
        part = "test" if test else "valid"
        raise UsageError(part, tr("expected a share, got the file {got}", got=test or valid), tr("rows in memory are split by a share"))
    _refuse_both(how.target, y)
    columns = Columns(how.input, how.target, how.group, how.id, how.time)
    if columns != RECOGNISE and not is_frame(data):
        remedy = tr("leave --input, --target, --group, --id and --time out")
        raise UsageError("data", tr("columns are named, but only tables have columns"), remedy)
    _refuse(how.encoding)
    examples, found = _memory(data, y, columns, labelled=True)
    return Source("memory", examples, columns=found)


def rows_for(model: Model, data: Any, y: Any = None, *, labelled: bool, target: str | None = None, encoding: str | None = None) -> Examples:
    """Rows as the model's training data were read.

    Args:
        model: whose kind and columns they must have.
        data: a built-in name (its test part), a path, the bytes of a file, or rows in memory.
        y: their targets, where they are in memory.
        labelled: whether they must have targets.
        target: the target column, if it has another name than in training.
        encoding: of a text file, if it has another one than in training.

    Raises:
        InputError: what cannot be read, or is of another kind; an encoding of what is no file.
    """
    _refuse_both(target, y)
    columns = replace(model.columns, target=target or model.columns.target, encoding=encoding or model.columns.encoding)
    if isinstance(data, bytes):
        examples = read_bytes(data, columns=columns, labelled=labelled)
    elif isinstance(data, str) and builtin.known(data):
        _refuse(encoding)
        source = builtin.load(data)
        examples = source.test or source.train
    elif isinstance(data, str | Path):
        examples = read_part(data, columns, labelled)
    else:
        _refuse(encoding)
        examples, _ = _memory(data, y, columns, labelled)
    if examples.kind != model.kind:
        where = examples.names[0] if len(examples) else "data"
        raise DataError(where, tr("expected {wanted}, got {got}", wanted=model.kind, got=examples.kind), tr("give rows as in training"))
    if examples.channels and not model.channels:
        said = tr("training knew no names of channels, so these are taken by their places: {names}", names=", ".join(examples.channels))
        examples = replace(examples, notes=(*examples.notes, said))
    return as_task(examples, "classify" if isinstance(model.task, Classify) else "regress") if labelled else examples


def _refuse_both(target: str | None, y: Any) -> None:
    if target is not None and y is not None:
        raise UsageError("target", tr("is named, and targets are given as y too"), tr("give one of them"))


def _refuse(encoding: str | None) -> None:
    if encoding is not None:
        raise UsageError("encoding", tr("only files have an encoding"), tr("leave it out"))


def _memory(data: Any, y: Any, columns: Columns, labelled: bool) -> tuple[Examples, Columns]:
    if is_frame(data):
        return read_frame(data, y, columns, labelled)
    return from_arrays(data, y), columns
