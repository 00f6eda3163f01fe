"""Which columns of a table are input, target, id, time and group, and how it holds its inputs. Knows no file format, builds nothing.

What the user names is taken; what is left is recognised by name and content, and said. Where two answers are possible it asks.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from convrnn.core.errors import DataError, UsageError
from convrnn.core.language import tr
from convrnn.data.examples import RECOGNISE, Columns, Layout
from convrnn.data.opening import nearest
from convrnn.data.pictures import PICTURE
from convrnn.data.sounds import SOUND, is_sound
from convrnn.data.tables import KNOWN_IDS, KNOWN_TARGETS, KNOWN_TEXTS, KNOWN_TIMES, Table, is_missing, is_number
from convrnn.data.times import is_time, moment

Sort = Literal["number", "time", "text", "list", "image", "audio", "empty"]
"""What the cells of a column are."""

_STRAND = re.compile(r"(?i)[ACGTURYSWKMBDHVN.-]{10,}")
"""Ten bases or more: the letters of IUPAC, those for bases that are not sure and for gaps among them; no ten names are all like it."""


class UnknownColumn(DataError):
    """A column that was named and that the table does not have."""


def numbers(cells: Sequence[Any]) -> tuple[NDArray[np.float64], list[int]]:
    """Cells as float64, NaN where a value is missing or no number, and the rows of those that are no number."""
    try:
        return np.array(cells, np.float64), []
    except (TypeError, ValueError):
        good = [is_number(cell) for cell in cells]
        values = np.array([float(cell) if fine else np.nan for cell, fine in zip(cells, good, strict=True)], np.float64)
        return values, [row for row, cell in enumerate(cells) if not good[row] and not is_missing(cell)]


def sort_of(cells: Sequence[Any]) -> Sort:
    """What a column holds. One with more numbers than text is numeric: its text cells are errors, shown when it is read."""
    try:  # nearly every column of a wide table: no need to look at the cells one by one
        values = np.array(cells, np.float64)
        if values.ndim == 1 and np.isfinite(values).any():
            return "number"
    except (TypeError, ValueError):
        pass
    present = [cell for cell in cells if not is_missing(cell)]
    if not present:
        return "empty"
    if all(map(is_time, present)):
        return "time"
    if all(map(_names_sound, present)):
        return "audio"
    if all(isinstance(cell, bytes | dict) or (isinstance(cell, str) and PICTURE.search(cell)) for cell in present):
        return "image"
    if not any(isinstance(cell, str | int | float) for cell in present):
        return "list"
    values, bad = numbers(cells)
    return "number" if np.isfinite(values).sum() > len(bad) else "text"


def places_in_time(table: Table, name: str) -> NDArray[np.int64]:
    """For each row its place in the order of a column of numbers, or of dates.

    Raises:
        DataError: a cell that is neither, or says its time zone where others do not; names its row.
    """
    cells = table.column(name)
    if sort_of(cells) == "number":
        keys: list[Any] = [value if value == value else None for value in numbers(cells)[0].tolist()]
    else:
        found = [moment(cell) for cell in cells]
        zoned = next((each.zoned for each in found if each), False)
        keys = [each if each and each.zoned == zoned else None for each in found]
    if None in keys:
        row = keys.index(None)
        raise DataError(
            table.at(row, name),
            tr("expected a number or a date, got {got!r}", got=cells[row]),
            tr("write dates as 2024-12-31 or 2024-12-31 23:59:59, all with a time zone or none, or name another --time"),
        )
    places = {key: place for place, key in enumerate(sorted(set(keys)))}
    return np.array([places[key] for key in keys])


def _names_sound(cell: Any) -> bool:
    """Whether a cell is a recording: a file's name, its bytes, or both, as data sets of transformers have it."""
    if isinstance(cell, dict):
        return is_sound(cell.get("bytes") or b"") or bool(SOUND.search(str(cell.get("path"))))
    return is_sound(cell) if isinstance(cell, bytes) else isinstance(cell, str) and bool(SOUND.search(cell))


def resolve(table: Table, wanted: Columns, labelled: bool = True) -> tuple[Columns, tuple[str, ...]]:
    """Columns for every part, and what to tell the user.

    Args:
        table: the table.
        wanted: what the user named, or what an earlier `resolve` found.
        labelled: False: a table without its target is welcome, and, of what was found earlier, one without its groups.

    Raises:
        UnknownColumn: a column that the table does not have; names the nearest.
        DataError: no single answer to what the target is; names the remedy.
        UsageError: a column that plays two parts.
    """
    found = _named(table, wanted, labelled)
    sorts: dict[str, Sort] = {name: sort_of(cells) for name, cells in zip(table.columns, table.cells, strict=True)}
    if found == RECOGNISE and not table.header and is_blocks(table):
        named = Columns(table.columns[3:], table.columns[2], None, table.columns[0], table.columns[1], "long")
        return named, (tr("{name}: recognised as id, time, class, then channels", name=table.name),)
    notes: list[str] = []
    if found.target is None and wanted.target is None:
        found = replace(found, target=_find_target(table, found, sorts, labelled))
        if found.target is not None:
            notes.append(tr("{name}: target is {target!r}", name=table.name, target=found.target))
    found, layout_notes = _with_layout(table, found, sorts)
    return found, (*notes, *layout_notes)


def is_blocks(table: Table) -> bool:
    """Whether a table without header holds blocks as Baydogan's collection does: id, time from 0 or 1, class constant within the id."""
    if len(table.columns) < 4 or any(sort_of(cells) != "number" for cells in table.cells):
        return False
    ids, times, classes = (numbers(cells)[0] for cells in table.cells[:3])
    starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]])
    sizes = np.diff(np.r_[starts, len(ids)])
    if len(np.unique(ids)) != len(starts) or len(starts) == len(ids):
        return False
    expected = np.arange(len(ids)) - np.repeat(starts, sizes) + times[0]
    return times[0] in (0, 1) and bool((times == expected).all() and (classes == np.repeat(classes[starts], sizes)).all())


def _named(table: Table, wanted: Columns, labelled: bool) -> Columns:
    """The columns that the user named, by the names that the table has for them."""
    if not labelled and not table.header and len(table.columns) == len(wanted.inputs):
        return replace(wanted, inputs=table.columns, target=None)  # the columns of training without the one of the labels
    inputs = wanted.inputs
    if wanted.layout == "wide" and not table.header and wanted.target in table.columns:  # another file may be wider or narrower
        inputs = tuple(name for name in table.columns if name not in {wanted.target, wanted.group})
    target = wanted.target
    if not labelled and target is not None and target not in table.columns:
        target = None
    found = replace(
        wanted,
        inputs=tuple(_column(table, name, "--input") for name in inputs),
        target=_column(table, target, "--target") if target is not None else None,
        group=_column(table, wanted.group, "--group") if wanted.group is not None and (labelled or not wanted.layout) else None,
        id=_column(table, wanted.id, "--id") if wanted.id is not None else None,
        time=_column(table, wanted.time, "--time") if wanted.time is not None else None,
    )
    if found.target is not None and found.target in found.inputs:
        raise UsageError("--target", tr("{target!r} is given as input too", target=found.target), tr("name it once"))
    return found


def _column(table: Table, name: str, option: str) -> str:
    if name in table.columns:
        return name
    alike = [column for column in table.columns if column.strip().lower() == name.strip().lower()]
    if len(alike) == 1:
        return alike[0]
    if not table.header and name.isdigit() and 1 <= int(name) <= len(table.columns):
        return table.columns[int(name) - 1]
    near = nearest(name, table.columns)
    remedy = tr("did you mean {near!r}?", near=near) if near else tr("the columns are {listing}", listing=_listing(table.columns))
    raise UnknownColumn(f"{table.name}: {option}", tr("no column is called {name!r}", name=name), remedy)


def _find_target(table: Table, found: Columns, sorts: dict[str, Sort], labelled: bool) -> str | None:
    taken = {*found.inputs, found.group, found.id, found.time}
    free = [name for name in table.columns if name not in taken]
    named = [name for name in free if name.strip().lower() in KNOWN_TARGETS]
    free = [name for name in free if name.strip().lower() not in KNOWN_IDS | KNOWN_TIMES]
    if len(named) == 1:
        return named[0]
    if not labelled:
        return None
    if not named:
        guess = _by_content(table, free, sorts)
        if guess is not None:
            return guess
    listing = _listing(named or free)
    example = named[0] if named else (free or table.columns)[-1]
    raise DataError(
        table.name,
        tr("expected one target column, and it could be any of {listing}", listing=listing),
        tr("name it with --target, for example --target {example!r}", example=example),
    )


def _by_content(table: Table, free: list[str], sorts: dict[str, Sort]) -> str | None:
    """The only column that can be the target: a few labels beside numbers, lists, pictures or texts; None: there is no such column."""
    by_sort = {sort: [name for name in free if sorts[name] == sort] for sort in ("number", "text", "list", "image", "audio")}
    labels = [name for name in by_sort["text"] if _repeats(table.column(name))]
    texts = [name for name in by_sort["text"] if name not in labels]
    scalars = [*by_sort["number"], *labels]
    if by_sort["list"] or by_sort["image"] or by_sort["audio"] or len(texts) == 1:
        return scalars[0] if len(scalars) == 1 else None
    if len(labels) == 1 and (by_sort["number"] or texts):
        return labels[0]
    if labels or texts or table.header or len(by_sort["number"]) < 3:
        return None
    ends = [by_sort["number"][0], by_sort["number"][-1]]
    whole = [name for name in ends if _is_label(numbers(table.column(name))[0])]
    middle = [numbers(table.column(name))[0] for name in by_sort["number"][1:-1]]
    fractions = any((values != np.floor(values))[np.isfinite(values)].any() for values in middle)
    return whole[0] if len(whole) == 1 and fractions else None


def _repeats(cells: Sequence[Any]) -> bool:
    return len(set(cells)) <= max(2, len(cells) // 2) and len(set(cells)) < len(cells)


def _is_label(values: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(values).all() and (values == np.floor(values)).all()) and _repeats(values.tolist())


def _with_layout(table: Table, found: Columns, sorts: dict[str, Sort]) -> tuple[Columns, tuple[str, ...]]:
    """Id, time, inputs and layout, where they are not given yet."""
    explicit, given = bool(found.inputs), found.layout
    taken = {found.target, found.group, found.id, found.time, *found.inputs}
    named_ids = [name for name in table.columns if name not in taken and name.strip().lower() in KNOWN_IDS]
    repeated = [name for name in named_ids if len(set(table.column(name))) * 3 <= len(table) * 2]
    candidates = list(found.inputs) or [
        name for name in table.columns if name not in taken and name not in named_ids and sorts[name] != "empty"
    ]
    layout = found.layout or _layout(table, candidates, sorts, found.id is not None or len(repeated) == 1, explicit)
    notes: list[str] = []
    if layout == "long":
        found = replace(found, id=found.id or repeated[0])
        times = [name for name in candidates if name.strip().lower() in KNOWN_TIMES and name not in found.inputs]
        if times and found.time is None:
            candidates.remove(times[0])
            try:
                places_in_time(table, times[0])
                found = replace(found, time=times[0])
            except DataError as error:
                notes.append(tr("{place}: {problem}; rows keep the order of the file", place=error.where, problem=error.problem))
    inputs = candidates if explicit else [name for name in candidates if _fits(layout, name, sorts)]
    if layout == "text" and len(inputs) > 1 and not explicit:
        inputs = _one_text(table, inputs)
    if not inputs:
        raise DataError(table.name, tr("expected input columns, got {got}", got=_listing(table.columns)), tr("name them with --input"))
    found = replace(found, inputs=tuple(inputs), layout=layout)
    unused = [name for name in table.columns if name not in {*inputs, found.target, found.group, found.id, found.time}]
    if found.layout == given:  # found when the training part was read, and said then
        return found, ()
    notes.append(_sentence(table.name, found))
    if unused:
        notes.append(tr("{name}: not used: {unused}", name=table.name, unused=_listing(unused)))
    return found, tuple(notes)


def _layout(table: Table, candidates: Sequence[str], sorts: dict[str, Sort], has_id: bool, explicit: bool) -> Layout:
    kinds = {sorts[name] for name in candidates}
    count = sum(sorts[name] == "number" for name in candidates)
    if "list" in kinds:
        return "cells"
    for layout in ("audio", "image"):
        if layout in kinds:
            return layout
    if "number" in kinds and has_id:
        return "long"
    texts = [name for name in candidates if sorts[name] == "text"]
    many = [name for name in texts if not _repeats(table.column(name))]
    if texts and (explicit or not count or (many and count < 3) or any(name.strip().lower() in KNOWN_TEXTS for name in texts)):
        return "text"
    return "wide"


def _fits(layout: Layout, name: str, sorts: dict[str, Sort]) -> bool:
    return sorts[name] == {"wide": "number", "long": "number", "cells": "list", "text": "text", "image": "image", "audio": "audio"}[layout]


def _one_text(table: Table, names: list[str]) -> list[str]:
    named = [name for name in names if name.strip().lower() in KNOWN_TEXTS]
    many = [name for name in names if not _repeats(table.column(name))]
    strands = [name for name in names if _are_strands(table.column(name))]
    for choice in (named, many, strands):
        if len(choice) == 1:
            return choice
    raise DataError(
        table.name,
        tr("the text could be any of {listing}", listing=_listing(names)),
        tr("name it with --input, for example --input {example!r}", example=names[0]),
    )


def _are_strands(cells: Sequence[Any]) -> bool:
    """Whether all cells are DNA or RNA, in either case."""
    return all(isinstance(cell, str) and _STRAND.fullmatch(cell.strip()) for cell in cells)


def _sentence(name: str, found: Columns) -> str:
    """How the inputs were recognised, for the user."""
    inputs = _listing(found.inputs)
    if found.layout == "wide":
        return tr(
            "{name}: each row is a series of {count} frames, {first!r} to {last!r}",
            name=name,
            count=len(found.inputs),
            first=found.inputs[0],
            last=found.inputs[-1],
        )
    if found.layout == "long":
        if found.time:
            return tr(
                "{name}: rows of one {id!r} are a series, channels {inputs}, in order of {time!r}",
                name=name,
                id=found.id,
                inputs=inputs,
                time=found.time,
            )
        return tr("{name}: rows of one {id!r} are a series, channels {inputs}", name=name, id=found.id, inputs=inputs)
    if found.layout == "cells":
        return tr("{name}: each cell is a series, channels {inputs}", name=name, inputs=inputs)
    if found.layout == "image":
        return tr("{name}: each cell is a picture, in {inputs}", name=name, inputs=inputs)
    if found.layout == "audio":
        return tr("{name}: each cell is a recording, in {inputs}", name=name, inputs=inputs)
    return tr("{name}: text is {inputs}", name=name, inputs=inputs)


def _listing(names: Collection[str]) -> str:
    shown = [repr(name) for name in list(names)[:8]]
    listed = ", ".join(shown)
    return tr("{listed} and {more} more", listed=listed, more=len(names) - 8) if len(names) > 8 else listed
