"""A table and its resolved columns -> examples, layout by layout. Knows no file format and guesses nothing.

*wide*: a row is a series, a column a frame · *cells*: a cell is a series, a column a channel · *long*: the rows of one id are a series, a
column is a channel · *text*: a cell is a text · *image*, *audio*: a cell is a picture or a recording, or the name of one beside the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convrnn.core.errors import DataError
from convrnn.core.labels import label, to_number
from convrnn.core.language import both, tr
from convrnn.data.columns import numbers, places_in_time, resolve
from convrnn.data.examples import RECOGNISE, Columns, Examples, Kind, Layout, Target
from convrnn.data.opening import content
from convrnn.data.pictures import pictures
from convrnn.data.sounds import sound, sound_notes
from convrnn.data.tables import Table, is_missing, is_number
from convrnn.data.timeseries import series_notes

_KINDS: dict[Layout, Kind] = {"wide": "series", "cells": "series", "long": "series", "text": "text", "image": "image", "audio": "audio"}


def examples_of(table: Table, wanted: Columns = RECOGNISE, labelled: bool = True) -> tuple[Examples, Columns]:
    """The examples in a table, and the columns that they were taken from.

    Raises:
        DataError: see `columns.resolve`; a cell that does not fit its column; a series without values.
        UsageError: a column that plays two parts.
    """
    columns, notes = resolve(table, wanted, labelled)
    if columns.layout == "long":
        return _long(table, columns, notes, labelled), columns
    build = {"wide": _wide, "cells": _cells, "text": _text, "image": _image, "audio": _audio}[columns.layout]
    inputs, channels, said = build(table, columns.inputs)
    rows = range(len(table))
    targets = _targets(table, columns.target, rows, labelled)
    examples = Examples(
        kind=_KINDS[columns.layout],
        inputs=inputs,
        targets=targets,
        names=[table.at(row) for row in rows],
        channels=channels,
        target_name=columns.target or "target",
        groups=None if columns.group is None else [str(cell) for cell in table.column(columns.group)],
        notes=(*table.notes, *notes, *_target_notes(table, columns.target, targets), *said),
    )
    return examples, columns


def _wide(table: Table, names: Sequence[str]) -> tuple[list[Any], tuple[str, ...], tuple[str, ...]]:
    values = np.stack([_column(table, name) for name in names], axis=1).astype(np.float32)
    blank = np.isnan(values)
    if table.header:  # only empty cells at the end shorten a series; without a header (UCR archive) NaN at the end does too
        for row, place in np.argwhere(blank).tolist():
            blank[row, place] = _is_empty(table.column(names[place])[row])
    trailing = np.argmin(np.c_[blank[:, ::-1], np.zeros(len(values), bool)], axis=1)
    inputs = [row[: len(names) - cut, None] for row, cut in zip(values, trailing.tolist(), strict=True)]
    _check_present(table, inputs, range(len(table)))
    return inputs, (), series_notes(table.name, inputs)


def _cells(table: Table, names: Sequence[str]) -> tuple[list[Any], tuple[str, ...], tuple[str, ...]]:
    inputs: list[NDArray[np.float32]] = []
    for row in range(len(table)):
        parts = [_cell(table, row, name) for name in names]
        if len({len(part) for part in parts}) > 1:
            frames = ", ".join(f"{name} {len(part)}" for name, part in zip(names, parts, strict=True))
            raise DataError(
                table.at(row), tr("expected lists of one length, got {got}", got=frames), tr("fill up the short ones with null")
            )
        inputs.append(np.concatenate(parts, axis=1))
        if inputs[row].shape[1] != inputs[0].shape[1]:
            raise DataError(
                table.at(row),
                tr("expected {wanted} channels as in the first row, got {got}", wanted=inputs[0].shape[1], got=inputs[row].shape[1]),
                tr("correct the row"),
            )
    _check_present(table, inputs, range(len(table)))
    width = inputs[0].shape[1]
    channels = tuple(names) if width == len(names) else tuple(f"{names[0]} {place}" for place in range(1, width + 1))
    return list(inputs), channels, series_notes(table.name, inputs)


def _cell(table: Table, row: int, name: str) -> NDArray[np.float32]:
    """A list of numbers `[T, 1]`, or a list of lists of numbers `[T, C]`."""
    cell = table.column(name)[row]
    try:
        values = np.array(cell if cell is not None else [], np.float32)
    except (TypeError, ValueError) as error:
        remedy = tr("write [1.0, null, 2.5] or, for several channels, [[1.0, 2.0], [1.5, 2.5]]")
        raise DataError(
            table.at(row, name), tr("expected numbers or equally long lists of them, got {got}", got=str(cell)[:60]), remedy
        ) from error
    if values.ndim not in (1, 2):
        raise DataError(
            table.at(row, name), tr("expected a list [T] or [T, C], got sizes {got}", got=values.shape), tr("write [1.0, null, 2.5]")
        )
    return values[:, None] if values.ndim == 1 else values


def _text(table: Table, names: Sequence[str]) -> tuple[list[Any], tuple[str, ...], tuple[str, ...]]:
    columns = [["" if _is_empty(cell) else str(cell) for cell in table.column(name)] for name in names]
    inputs = [" ".join(cells).strip() for cells in zip(*columns, strict=True)]
    empty = sum(not text for text in inputs)
    return (
        list(inputs),
        (),
        ((tr("{name}: {empty} of {rows} rows have no text", name=table.name, empty=empty, rows=len(inputs)),) if empty else ()),
    )


def _image(table: Table, names: Sequence[str]) -> tuple[list[Any], tuple[str, ...], tuple[str, ...]]:
    if len(names) != 1:
        raise DataError(table.name, tr("expected one column of pictures, got {got}", got=", ".join(names)), tr("name one with --input"))
    inputs, notes = pictures(table.name, (_file(table, row, names[0]) for row in range(len(table))))
    return list(inputs), (), notes


def _audio(table: Table, names: Sequence[str]) -> tuple[list[Any], tuple[str, ...], tuple[str, ...]]:
    if len(names) != 1:
        raise DataError(table.name, tr("expected one column of recordings, got {got}", got=", ".join(names)), tr("name one with --input"))
    sounds = [sound(*_file(table, row, names[0])) for row in range(len(table))]
    return list(sounds), (), sound_notes(table.name, sounds)


def _file(table: Table, row: int, name: str) -> tuple[bytes, str]:
    """The bytes that a cell holds, or those of the file that it names, and where that stands."""
    cell = table.column(name)[row]
    where = table.at(row, name)
    if isinstance(cell, dict) and isinstance(cell.get("bytes"), bytes):
        cell = cell["bytes"]
    if isinstance(cell, bytes):
        return cell, where
    file = table.folder.joinpath(cell) if isinstance(cell, str) and table.folder is not None else None
    if file is None or not file.is_file():
        raise DataError(where, tr("expected a file beside the table, got {got!r}", got=cell), tr("put the file there, or correct the cell"))
    return content(file).data, where


def _long(table: Table, columns: Columns, notes: tuple[str, ...], labelled: bool) -> Examples:
    assert columns.id is not None
    ids = ["" if is_missing(cell) else str(cell) for cell in table.column(columns.id)]
    places = {name: place for place, name in enumerate(dict.fromkeys(ids))}
    owner = np.array([places[name] for name in ids])
    order, unsorted = _in_time(table, columns, owner)
    values = np.stack([_column(table, name) for name in columns.inputs], axis=1).astype(np.float32)[order]
    ends = np.cumsum(np.bincount(owner))
    inputs = np.split(values, ends[:-1])
    blocks = np.split(order, ends[:-1])
    firsts = [int(block.min()) for block in blocks]
    _check_present(table, inputs, firsts)
    for name in (columns.target, columns.group):
        if name is not None:
            _check_constant(table, name, columns.id, blocks)
    targets = _targets(table, columns.target, firsts, labelled)
    return Examples(
        kind="series",
        inputs=list(inputs),
        targets=targets,
        names=[table.at(row) for row in firsts],
        channels=columns.inputs,
        target_name=columns.target or "target",
        groups=None if columns.group is None else [str(table.column(columns.group)[row]) for row in firsts],
        notes=(
            *table.notes,
            *notes,
            *_target_notes(table, columns.target, targets),
            *unsorted,
            *series_notes(table.name, inputs),
        ),
    )


def _in_time(table: Table, columns: Columns, owner: NDArray[np.int64]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The rows series by series, within a series by time, or without one as they stand."""
    in_file = np.argsort(owner, kind="stable")
    if columns.time is None:
        return in_file, ()
    by_time = np.lexsort((places_in_time(table, columns.time), owner))
    return by_time, () if (by_time == in_file).all() else (
        tr("{name}: rows were put in order of {time!r}", name=table.name, time=columns.time),
    )


def _check_constant(table: Table, name: str, id_name: str, blocks: Sequence[NDArray[np.int64]]) -> None:
    cells = table.column(name)
    for block in blocks:
        for row in block.tolist():
            if cells[row] != cells[block[0]]:
                problem = tr(
                    "{cell!r} after {before!r} in the same series, and one series has one {name!r}",
                    cell=cells[row],
                    before=cells[block[0]],
                    name=name,
                )
                raise DataError(
                    table.at(row, name), problem, tr("correct the cell, or name another --target or --id than {id_name!r}", id_name=id_name)
                )


def _column(table: Table, name: str) -> NDArray[np.float64]:
    """A numeric column as float64, NaN where a value is missing."""
    values, bad = numbers(table.column(name))
    if bad:
        cell = table.column(name)[bad[0]]
        raise DataError(
            table.at(bad[0], name),
            tr("expected a number, got {got!r}", got=cell),
            tr("correct the cell, or leave it empty if the value is missing"),
        )
    return np.where(np.isfinite(values), values, np.nan)


def _is_empty(cell: Any) -> bool:
    """Whether nothing stands in a cell, not even a word such as NA; data frames have NaN for it."""
    return cell is None or cell != cell or (isinstance(cell, str) and not cell.strip())


def _check_present(table: Table, inputs: Sequence[NDArray[np.float32]], rows: Sequence[int]) -> None:
    for row, array in zip(rows, inputs, strict=True):
        if not len(array) or np.isnan(array).all():
            raise DataError(table.at(row), tr("expected values, and all are missing"), tr("remove the row"))


def _targets(table: Table, name: str | None, rows: Sequence[int], labelled: bool) -> list[Target] | None:
    """The target cells; whole numbers written as 1.0000e+00 become 1. Without `labelled` a missing one means that there are none.

    Beside numbers `NA` and `none` are missing, among labels they are two more.
    """
    if name is None:
        return None
    cells = [table.column(name)[row] for row in rows]
    numeric = any(map(is_number, cells)) and all(is_number(cell) or is_missing(cell) for cell in cells)
    missing = is_missing if numeric else _is_empty
    for row, cell in zip(rows, cells, strict=True):
        if missing(cell) and not labelled:
            return None
        if missing(cell) or not isinstance(cell, str | int | float):
            raise DataError(table.at(row, name), tr("expected a target, got {got!r}", got=cell), tr("fill in the cell or remove the row"))
    if not all(isinstance(cell, str) for cell in cells):
        return cells
    values = [to_number(cell) for cell in cells]
    if all(value is not None and value.is_integer() for value in values):
        return [
            label(value) if value is not None and not cell.strip().isdigit() else cell.strip()
            for value, cell in zip(values, cells, strict=True)
        ]
    return [cell.strip() for cell in cells]


def _target_notes(table: Table, name: str | None, targets: list[Target] | None) -> tuple[str, ...]:
    """Which labels are called as missing values are elsewhere."""
    odd = tuple(dict.fromkeys(repr(target) for target in targets or () if is_missing(target)))
    if not odd:
        return ()
    return (tr("{name}: {odd} in {target!r} count as labels; only empty cells are missing", name=table.name, odd=both(odd), target=name),)
