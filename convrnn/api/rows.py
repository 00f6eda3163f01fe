"""What the caller gave (a name, a path, bytes, arrays, a data frame) to examples. Knows no training and writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from convrnn.api.prepare import TaskName
from convrnn.core.errors import DataError, UsageError
from convrnn.core.language import tr
from convrnn.data import Columns, Examples, Source, as_task, builtin, digest, from_arrays, from_frame, is_frame, read, read_bytes, read_part
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


def source_of(data: Any, y: Any, how: Reading, wanted: str | None = None) -> Source:
    """Everything that a training may use.

    Args:
        data: what the caller gave.
        y: targets of rows in memory.
        how: it is read.
        wanted: the `digest` that it must have, as a study noted it; None: any.

    Raises:
        InputError: what cannot be read.
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
    columns = Columns(how.input, how.target, how.group, how.id, how.time)
    return Source("memory", _memory(data, y, columns, labelled=True), columns=columns)


def rows_for(model: Model, data: Any, y: Any = None, *, labelled: bool, target: str | None = None) -> Examples:
    """Rows as the model's training data were read.

    Args:
        model: whose kind and columns they must have.
        data: a built-in name (its test part), a path, the bytes of a file, or rows in memory.
        y: their targets, where they are in memory.
        labelled: whether they must have targets.
        target: the target column, if it has another name than in training.

    Raises:
        InputError: what cannot be read, or is of another kind.
    """
    columns = model.columns if target is None else replace(model.columns, target=target)
    if isinstance(data, bytes):
        examples = read_bytes(data, columns=columns, labelled=labelled)
    elif isinstance(data, str) and builtin.known(data):
        source = builtin.load(data)
        examples = source.test or source.train
    elif isinstance(data, str | Path):
        examples = read_part(data, columns, labelled)
    else:
        examples = _memory(data, y, columns, labelled)
    if examples.kind != model.kind:
        where = examples.names[0] if len(examples) else "data"
        raise DataError(where, tr("expected {wanted}, got {got}", wanted=model.kind, got=examples.kind), tr("give rows as in training"))
    return as_task(examples, "classify" if isinstance(model.task, Classify) else "regress") if labelled else examples


def _memory(data: Any, y: Any, columns: Columns, labelled: bool) -> Examples:
    if is_frame(data) and y is None:
        return from_frame(data, columns, labelled)
    return from_arrays(data, y)
