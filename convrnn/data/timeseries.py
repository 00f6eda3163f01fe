"""The `.ts` files of the UCR/UEA archives (timeseriesclassification.com): one series a line. Knows no table and no other file.

Dimensions are parted by colons, values by commas, `?` is a missing value, the label or number to learn stands last. Lengths may differ from
line to line; within a line all dimensions are equally long.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from convrnn.core.errors import DataError
from convrnn.core.labels import to_number
from convrnn.core.language import tr
from convrnn.data.examples import Examples, Target, Task
from convrnn.data.opening import Content, decode, lines

_STAMPED = re.compile(r"\(([^(),]*),([^(),]*)\)")


def read_ts(source: Content, labelled: bool = True, encoding: str | None = None) -> Examples:
    """Reads a `.ts` file.

    Args:
        source: the file.
        labelled: False: a file without labels is welcome.
        encoding: of the file; None: recognised.

    Raises:
        DataError: no `@data`, a value that is no number, dimensions that do not fit, a label that the header does not list.
    """
    text, said = decode(source, encoding)
    notes = tuple(tr("{name}: {note}", name=source.name, note=note) for note in said)
    header: dict[str, str] = {}
    rows: list[tuple[int, str]] = []
    in_data = False
    for number, line in lines(text):
        line = line.strip().lstrip("\ufeff")
        if in_data:
            rows.append((number, line))
        elif line.lower().startswith("@data"):
            in_data = True
        elif line.startswith("@"):
            key, _, value = line[1:].partition(" ")
            header[key.lower()] = value.strip()
    if not in_data:
        raise DataError(source.name, tr("expected a line @data before the series, got none"), tr("give a .ts file of the UCR/UEA archives"))
    rows = [(number, line) for number, line in rows if not line.startswith(("#", "%"))]
    if not rows:
        raise DataError(source.name, tr("no series after @data"), tr("give a file with data"))
    return _examples(source.name, header, rows, labelled, notes)


def _examples(name: str, header: dict[str, str], rows: list[tuple[int, str]], labelled: bool, notes: tuple[str, ...]) -> Examples:
    task, listed = _task(header)
    if task is None and labelled:
        raise DataError(
            name, tr("expected `@classLabel true` or `@targetLabel true` in the header, got neither"), tr("give a file with labels")
        )
    stamped = header.get("timestamps", "false").lower().startswith("true")
    inputs: list[NDArray[np.float32]] = []
    targets: list[Target] = []
    for number, line in rows:
        fields = _STAMPED.sub(r"\2", line).split(":") if stamped else line.split(":")
        if task is not None:
            targets.append(_target(f"{name}:{number}", fields.pop().strip(), task, listed))
        inputs.append(_series(f"{name}:{number}", fields))
        if inputs[-1].shape[1] != inputs[0].shape[1]:
            raise DataError(
                f"{name}:{number}",
                tr(
                    "expected {wanted} dimensions as in line {line}, got {got}",
                    wanted=inputs[0].shape[1],
                    line=rows[0][0],
                    got=inputs[-1].shape[1],
                ),
                tr("correct the line"),
            )
    return Examples(
        kind="series",
        inputs=list(inputs),
        targets=targets if task is not None else None,
        names=[f"{name}:{number}" for number, _ in rows],
        target_name="target" if task == "regress" else "class",
        task=task,
        notes=(
            *notes,
            *series_notes(name, inputs),
            *((tr("{name}: time stamps are left out, values taken in order", name=name),) if stamped else ()),
        ),
    )


def series_notes(name: str, inputs: list[NDArray[np.float32]]) -> tuple[str, ...]:
    """What to say of series: unequal lengths and missing values."""
    lengths = [len(array) for array in inputs]
    missing = sum(int(np.isnan(array).sum()) for array in inputs)
    notes: list[str] = []
    if min(lengths) != max(lengths):
        notes.append(tr("{name}: lengths {least} to {most}", name=name, least=min(lengths), most=max(lengths)))
    if missing:
        rows = sum(bool(np.isnan(array).any()) for array in inputs)
        notes.append(
            tr("{name}: missing values: {missing}, in {rows} of {all} series", name=name, missing=missing, rows=rows, all=len(inputs))
        )
    return tuple(notes)


def _task(header: dict[str, str]) -> tuple[Task | None, frozenset[str]]:
    labels = header.get("classlabel", "false").split()
    if labels and labels[0].lower() == "true":
        return "classify", frozenset(labels[1:])
    if header.get("targetlabel", "false").lower().startswith("true"):
        return "regress", frozenset()
    return None, frozenset()


def _target(where: str, field: str, task: Task, listed: frozenset[str]) -> Target:
    if task == "classify":
        if listed and field not in listed:
            raise DataError(
                where, tr("expected a label that @classLabel lists, got {got!r}", got=field), tr("correct the line or the header")
            )
        return field
    number = to_number(field)
    if number is None:
        raise DataError(where, tr("expected a number as target, got {got!r}", got=field), tr("correct the line"))
    return number


def _series(where: str, fields: list[str]) -> NDArray[np.float32]:
    dimensions = [_values(f"{where}:{place}", field) for place, field in enumerate(fields, start=1)]
    if not dimensions or not len(dimensions[0]):
        raise DataError(where, tr("expected values, got none"), tr("remove the line"))
    if len({len(values) for values in dimensions}) > 1:
        raise DataError(
            where,
            tr("expected dimensions of one length, got {got}", got=sorted({len(values) for values in dimensions})),
            tr("fill up the short ones with ?"),
        )
    return np.stack(dimensions, axis=1)


def _values(where: str, field: str) -> NDArray[np.float32]:
    cells = field.replace("?", "nan").split(",")
    if not field.strip():
        return np.empty(0, np.float32)
    try:
        return np.array(cells, np.float32)
    except ValueError:
        bad = next((cell for cell in cells if not _is_number(cell)), field)
        raise DataError(
            where,
            tr("expected numbers parted by commas, got {got!r}", got=bad.strip()),
            tr("correct the cell, or put ? for a missing value"),
        ) from None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
