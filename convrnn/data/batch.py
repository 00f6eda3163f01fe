"""Encoded rows -> batches of tensors, bucketed by length. Knows no file, no modality and no model.

A batch whose rows are equally long has `lengths=None` and pays nothing for raggedness; else rows are padded with zeros and the `Seq`
says that its padding is clean. Which rows meet in a batch is a pure function of lengths, batch size, seed and epoch, so that a training
that was cut off goes on exactly where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convrnn.core.errors import DataError, UsageError
from convrnn.core.language import tr
from convrnn.core.seq import Seq
from convrnn.data.split import Rows, shuffled

WINDOW = 50
"""Batches whose rows are sorted by length together: the order within a window of 50 stays random enough, and little padding is left."""

WINDOWS = 8
"""An epoch has so many windows or more. One window over all rows would put the same rows of one length into a batch in every epoch: batch
norm would learn the statistics of rows like these alone, and answer by others (50 series of 10 labels: 0.36 of them right, not 0.54)."""

Change = Callable[[NDArray[Any], int], NDArray[Any]]
"""An augmentation already bound to seed and epoch: encoded array and row number -> array with any number of frames."""


class Batch(NamedTuple):
    """Rows that go through the model together.

    Attributes:
        x: `[B, T, *space, C]`, or ids `[B, T]`.
        y: targets `[B, ...]`; None: there are none.
        rows: int64 `[B]`, the row numbers in the part.
    """

    x: Seq
    y: Tensor | None
    rows: Tensor


class Encoded:
    """All rows of a part after the modality: one stacked array `[N, T, ...]` where all have the same shape, else a list of arrays.

    Attributes:
        lengths: int64 `[N]`, frames of each row.
    """

    def __init__(self, arrays: NDArray[Any] | list[NDArray[Any]]) -> None:
        self._arrays = arrays
        if isinstance(arrays, np.ndarray):
            self.lengths: NDArray[np.int64] = np.full(len(arrays), arrays.shape[1], np.int64)
        else:
            self.lengths = np.array([len(array) for array in arrays], np.int64)

    @classmethod
    def of(cls, inputs: Sequence[Any], encode: Callable[[Any], NDArray[Any]]) -> Encoded:
        """Encodes one row after the other into one big array, and changes over to a list at the first row of another shape.

        Nothing is held twice: 60,000 images of 28x28 take 188 MB as float32, and stacking a list of them would take that again.
        """
        if not len(inputs):
            return cls([])
        first = encode(inputs[0])
        stacked = np.empty((len(inputs), *first.shape), first.dtype)
        stacked[0] = first
        for row in range(1, len(inputs)):
            array = encode(inputs[row])
            if array.shape != first.shape:
                rest = (encode(raw) for raw in inputs[row + 1 :])
                return cls([*(stacked[before].copy() for before in range(row)), array, *rest])
            stacked[row] = array
        return cls(stacked)

    def __len__(self) -> int:
        return len(self._arrays)

    def __getitem__(self, row: int) -> NDArray[Any]:
        return self._arrays[row]

    def take(self, rows: Rows, change: Change | None = None) -> Seq:
        """These rows as one `Seq`, each changed by `change` if there is one."""
        if change is not None:
            return collate([change(self._arrays[row], row) for row in rows.tolist()])
        if isinstance(self._arrays, np.ndarray):
            return Seq(torch.from_numpy(self._arrays[rows]), None, True)
        return collate([self._arrays[row] for row in rows.tolist()])


def collate(arrays: Sequence[NDArray[Any]]) -> Seq:
    """Rows `[T_i, ...]` -> `[B, max T_i, ...]`; shorter rows are padded with zeros, equally long ones have `lengths=None`.

    Raises:
        DataError: no rows, or rows whose shapes differ beyond the frames.
    """
    if not arrays:
        raise DataError("batch", tr("expected at least one row, got none"), tr("give some rows"))
    first = arrays[0]
    for place, array in enumerate(arrays):
        if array.shape[1:] != first.shape[1:]:
            raise DataError(
                tr("row {number}", number=place),
                tr("expected frames of shape {shape} as in row 0, got {got}", shape=first.shape[1:], got=array.shape[1:]),
                tr("give all rows the same channels"),
            )
    lengths = np.array([len(array) for array in arrays], np.int64)
    if (lengths == lengths[0]).all():
        return Seq(torch.from_numpy(np.stack(arrays)), None, True)
    values = np.zeros((len(arrays), int(lengths.max()), *first.shape[1:]), first.dtype)
    for row, array in enumerate(arrays):
        values[row, : len(array)] = array
    return Seq(torch.from_numpy(values), torch.from_numpy(lengths), True)


def order(lengths: NDArray[np.int64], size: int, seed: int = 0, epoch: int = 0, shuffle: bool = True) -> list[Rows]:
    """Which rows meet in which batch of an epoch.

    Args:
        lengths: frames of each row.
        size: rows in a batch.
        seed: of the shuffling.
        epoch: another epoch, another order.
        shuffle: for training: rows are shuffled, sorted by length in windows of `WINDOW` batches or an eighth of them all, whichever
            is less, and the batches shuffled again. A last
            batch of one row joins the one before it, since batch norm cannot learn from one row (a `size` of 1 is left as it is).
            False: the longest rows last, in file order among equals.

    Returns:
        Row numbers batch by batch; each row once.

    Raises:
        UsageError: a batch size below 1.
    """
    if size < 1:
        raise UsageError("batch", tr("expected at least 1 row in a batch, got {got}", got=size), tr("choose 1 or more"))
    ragged = len(lengths) > 0 and bool((lengths != lengths[0]).any())
    if not shuffle:
        rows = np.argsort(lengths, kind="stable").astype(np.int64) if ragged else np.arange(len(lengths), dtype=np.int64)
        return _cut(rows, size)
    rows = shuffled(len(lengths), seed, epoch)
    if not ragged:
        return _merge_single(_cut(rows, size), size)
    within = max(1, min(WINDOW, -(-len(rows) // size) // WINDOWS))
    windows = (window[np.argsort(lengths[window], kind="stable")] for window in _cut(rows, size * within))
    batches = _merge_single([batch for window in windows for batch in _cut(window, size)], size)
    return [batches[place] for place in shuffled(len(batches), seed, epoch, 1)]


def batches(encoded: Encoded, rows: Iterable[Rows], targets: Tensor | None = None, change: Change | None = None) -> Iterator[Batch]:
    """The batches of an epoch, made when they are asked for.

    Args:
        encoded: the part.
        rows: from `order`; to resume after k steps, `order(...)[k:]`.
        targets: `[N, ...]`, one a row of the part.
        change: an augmentation bound to seed and epoch.
    """
    for chosen in rows:
        index = torch.from_numpy(chosen)
        yield Batch(encoded.take(chosen, change), None if targets is None else targets[index], index)


def _cut(rows: Rows, size: int) -> list[Rows]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _merge_single(cut: list[Rows], size: int) -> list[Rows]:
    if size > 1 and len(cut) > 1 and len(cut[-1]) == 1:
        return [*cut[:-2], np.concatenate(cut[-2:])]
    return cut
