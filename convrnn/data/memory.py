"""Arrays, lists and data frames in memory -> examples. Knows no file.

A data frame of pandas, polars or pyarrow is recognised by its own class, looked up among the loaded modules: nothing is imported for it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convrnn.core.errors import DataError
from convrnn.core.language import tr
from convrnn.data.examples import RECOGNISE, Columns, Examples, Kind, Target
from convrnn.data.layouts import examples_of
from convrnn.data.tables import KNOWN_TARGETS, Table, without_index
from convrnn.data.timeseries import series_notes
from convrnn.modality.sound import Sound, as_samples


def from_arrays(
    X: Any,
    y: Any = None,
    *,
    lengths: Any = None,
    groups: Any = None,
    kind: Kind | None = None,
    columns: Columns = RECOGNISE,
    name: str = "X",
) -> Examples:
    """Examples from what Python programs hold.

    Args:
        X: `[N, T, C]` or `[N, T]` numbers, `[N, H, W]` uint8 or `[N, H, W, C]` pictures, a list of `[T]` or `[T, C]` arrays, a list of
            texts, a list of `Sound`, or a data frame whose columns are frames, or hold series or texts.
        y: targets, one a row; None: there are none.
        lengths: frames of each row where `X` is padded, or the lengths of rows that `X` `[sum, C]` holds one after the other.
        groups: one a row; rows of one group stay together in a split.
        kind: what a row is where numbers could be either; None: three dimensions are series unless they are uint8.
            `audio`: `[N, samples]`, or a list of samples, at the rate that the model has learned.
        columns: which columns of a data frame play which part; empty: recognised.
        name: how errors call `X`.

    Raises:
        DataError: no rows, other numbers of rows in `X` and `y`, an array of other dimensions, something that is no number.
    """
    if is_frame(X):
        examples = read_frame(X, y, columns, name=name)[0]
        return examples if groups is None else replace(examples, groups=_groups(groups, len(examples), name))
    inputs, found = _inputs(X, lengths, kind, name)
    return Examples(
        kind=found,
        inputs=inputs,
        targets=None if y is None else _targets(y, len(inputs), name),
        names=[f"{name}[{row}]" for row in range(len(inputs))],
        groups=None if groups is None else _groups(groups, len(inputs), name),
        notes=series_notes(name, inputs) if found == "series" else (),
    )


def is_frame(value: Any) -> bool:
    """Whether a value is a data frame of pandas or polars, or a table of pyarrow."""
    known = [(sys.modules.get(module), title) for module, title in (("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "Table"))]
    return any(module is not None and isinstance(value, getattr(module, title)) for module, title in known)


def read_frame(
    frame: Any, y: Any = None, columns: Columns = RECOGNISE, labelled: bool = False, name: str = "X"
) -> tuple[Examples, Columns]:
    """The examples in a data frame, and the columns that they were taken from.

    Args:
        frame: of pandas, polars or pyarrow.
        y: targets, one an example; its own columns with usual names of targets are then no input. None: as `labelled` says.
        columns: which column plays which part; empty: recognised.
        labelled: whether it must hold the target.
        name: how errors call it.

    Raises:
        DataError: see `layouts.examples_of`; another number of targets than of examples.
    """
    names, cells = _frame_columns(frame)
    if not names or not len(cells[0]):
        raise DataError(name, tr("expected at least one row and column, got none"), tr("give some rows"))
    table = without_index(Table(name, tuple(names), tuple(cells), range(len(cells[0]))))
    if y is None:
        return examples_of(table, columns, labelled)
    examples, found = examples_of(_beside_targets(table, columns), replace(columns, target=None), labelled=False)
    return replace(examples, targets=_targets(y, len(examples), name)), found


def _beside_targets(table: Table, columns: Columns) -> Table:
    """The table without the columns that look like its targets: a label among the inputs would be all that is learned."""
    named = {*columns.inputs, columns.group, columns.id, columns.time}
    spare = [title for title in table.columns if title.strip().lower() in KNOWN_TARGETS and title not in named]
    if not spare:
        return table
    kept = [(title, cells) for title, cells in zip(table.columns, table.cells, strict=True) if title not in spare]
    said = tr("{name}: not used: {unused}", name=table.name, unused=", ".join(map(repr, spare)))
    return replace(table, columns=tuple(title for title, _ in kept), cells=tuple(cells for _, cells in kept), notes=(*table.notes, said))


def _frame_columns(frame: Any) -> tuple[list[str], list[list[Any]]]:
    module = type(frame).__module__.partition(".")[0]
    if module == "pyarrow":
        return list(frame.column_names), [column.to_pylist() for column in frame.columns]
    # By place, since two columns of pandas may have one name.
    columns = [frame.to_series(place) if module == "polars" else frame.iloc[:, place] for place in range(frame.shape[1])]
    return [str(title) for title in frame.columns], [[_plain(cell) for cell in column.to_list()] for column in columns]


def _plain(cell: Any) -> Any:
    """A cell as Python has it: arrays and series in cells become lists, pandas' NA becomes None."""
    if isinstance(cell, str | int | float | bytes | list | dict | None):
        return cell
    if type(cell).__name__ in ("NAType", "NaTType"):
        return None
    return np.asarray(cell).tolist()


def _inputs(X: Any, lengths: Any, kind: Kind | None, name: str) -> tuple[list[Any], Kind]:
    if isinstance(X, list | tuple):
        if not X:
            raise DataError(name, tr("expected at least one row, got none"), tr("give some rows"))
        if kind == "audio" or all(isinstance(row, Sound) for row in X):
            return [_sound(row, f"{name}[{place}]") for place, row in enumerate(X)], "audio"
        if all(isinstance(row, str) for row in X):
            return [str(row) for row in X], "text"
        if lengths is None and kind != "image" and (len({len(np.shape(row)) for row in map(_array, X)}) == 1):
            return _rows(X, name), "series"
    array = _array(X)
    if array.ndim and not len(array):
        raise DataError(name, tr("expected at least one row, got none"), tr("give some rows"))
    if array.ndim == 1 and array.dtype.kind in "UTO":
        return _inputs(array.tolist(), None, kind, name)
    if array.dtype.kind not in "biuf":
        raise DataError(name, tr("expected numbers or texts, got an array of {got}", got=array.dtype), tr("convert it to float32"))
    if kind == "audio":
        return [_sound(row, f"{name}[{place}]") for place, row in enumerate(array)], "audio"
    found: Kind = kind or ("image" if array.ndim == 4 or (array.ndim == 3 and array.dtype == np.uint8 and lengths is None) else "series")
    return (_pictures(array, name) if found == "image" else _series(array, lengths, name)), found


def _sound(row: Any, where: str) -> Any:
    """A recording, or its samples alone."""
    if not isinstance(row, Sound):
        return as_samples(row, where)
    if not len(row):
        raise DataError(where, tr("the recording holds no sample"), tr("remove the row"))
    return row


def _array(value: Any) -> NDArray[Any]:
    """As an array; rows of unequal length become an array of objects."""
    try:
        return np.asarray(value)
    except ValueError:
        array = np.empty(len(value), object)
        array[:] = list(value)
        return array


def _pictures(array: NDArray[Any], name: str) -> list[Any]:
    if array.ndim not in (3, 4):
        raise DataError(name, tr("expected pictures [N, H, W] or [N, H, W, C], got {got}", got=array.shape), tr("reshape it"))
    pixels = array if array.dtype == np.uint8 else array.astype(np.float32)
    return list(pixels[..., None] if pixels.ndim == 3 else pixels)


def _series(array: NDArray[Any], lengths: Any, name: str) -> list[Any]:
    values = array.astype(np.float32)
    if lengths is None:
        if values.ndim not in (2, 3):
            raise DataError(
                name, tr("expected [N, T, C] or [N, T], got {got}", got=values.shape), tr("reshape it, or give a list of arrays")
            )
        return list(values[..., None] if values.ndim == 2 else values)
    counts = _counts(lengths, name)
    if len(counts) != len(values) and sum(counts) == len(values) and values.ndim <= 2:
        flat = values[:, None] if values.ndim == 1 else values
        return list(np.split(flat, np.cumsum(counts)[:-1]))
    _per_row(counts, len(values), "lengths", name)
    if values.ndim not in (2, 3) or max(counts) > values.shape[1]:
        raise DataError(
            name,
            tr(
                "expected padded rows [N, T, C] with lengths up to T, got {got} and a length of {longest}",
                got=values.shape,
                longest=max(counts),
            ),
            tr("correct the lengths"),
        )
    padded = values[..., None] if values.ndim == 2 else values
    return [row[:count] for row, count in zip(padded, counts, strict=True)]


def _counts(lengths: Any, name: str) -> list[int]:
    array = _array(lengths)
    if array.ndim != 1 or array.dtype.kind not in "iu" or (array < 1).any():
        raise DataError(f"{name}: lengths", tr("expected whole numbers of at least 1, one a row"), tr("correct the lengths"))
    return array.tolist()


def _rows(X: Sequence[Any], name: str) -> list[Any]:
    rows = [_row(row, f"{name}[{place}]") for place, row in enumerate(X)]
    for place, row in enumerate(rows):
        if row.shape[1] != rows[0].shape[1]:
            raise DataError(
                f"{name}[{place}]",
                tr("expected {wanted} channels as in {name}[0], got {got}", wanted=rows[0].shape[1], name=name, got=row.shape[1]),
                tr("give all rows the same channels"),
            )
    return rows


def _row(row: Any, where: str) -> NDArray[np.float32]:
    try:
        values = np.asarray(row, np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(where, tr("expected numbers ({error})", error=error), tr("give arrays [T] or [T, C]")) from error
    if values.ndim not in (1, 2) or not len(values):
        raise DataError(
            where, tr("expected an array [T] or [T, C] of at least one frame, got {got}", got=values.shape), tr("reshape or remove it")
        )
    return values[:, None] if values.ndim == 1 else values


def _targets(y: Any, rows: int, name: str) -> list[Target]:
    array = _array(y)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError("y", tr("expected one target a row, got {got}", got=array.shape), tr("give a list of labels or numbers"))
    targets = _per_row(array.tolist(), rows, "y", name)
    for row, target in enumerate(targets):
        if not isinstance(target, str | int | float) or target != target:
            raise DataError(f"y[{row}]", tr("expected a label or a number, got {got!r}", got=target), tr("correct it or remove the row"))
    return list(targets)


def _groups(groups: Any, rows: int, name: str) -> list[str]:
    return [str(group) for group in _per_row(groups, rows, "groups", name)]


def _per_row(values: Any, rows: int, what: str, name: str) -> Sequence[Any]:
    listed = list(values)
    if len(listed) != rows:
        raise DataError(
            name,
            tr("{rows} rows, but {count} in {what}", rows=rows, count=len(listed), what=what),
            tr("give one of {what} for each row", what=what),
        )
    return listed
