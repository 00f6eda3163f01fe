"""Batches: nothing lost, little padding, the same order for the same arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from convrnn.core.errors import DataError, UsageError
from convrnn.data.batch import Encoded, batches, collate, order


def ragged(lengths: list[int], channels: int = 2) -> list[NDArray[Any]]:
    return [np.full((length, channels), row + 1, np.float32) for row, length in enumerate(lengths)]


def test_equal_lengths_pay_nothing() -> None:
    x = collate(ragged([3, 3]))
    assert x.lengths is None and x.clean and x.values.shape == (2, 3, 2)


def test_padding_is_zero_and_lengths_are_told() -> None:
    x = collate(ragged([1, 3]))
    assert x.lengths is not None and x.lengths.tolist() == [1, 3] and x.lengths.dtype == torch.int64
    assert x.clean and x.values[0, 1:].abs().sum() == 0 and (x.values[1] == 2).all()


def test_ids_and_pictures_keep_their_types() -> None:
    assert collate([np.array([1, 2]), np.array([3])]).values.dtype == torch.int64
    assert collate([np.zeros((4, 8, 1), np.float32)] * 2).values.shape == (2, 4, 8, 1)


def test_collate_refuses() -> None:
    with pytest.raises(DataError, match="at least one row"):
        collate([])
    with pytest.raises(DataError, match="row 1: expected frames of shape"):
        collate([np.zeros((2, 3)), np.zeros((2, 4))])


@pytest.mark.parametrize("lengths", [[4, 4, 4], [4, 2, 4, 1]])
def test_encoded_is_stacked_or_a_list_with_the_same_rows(lengths: list[int]) -> None:
    raw = ragged(lengths)
    encoded = Encoded.of(raw, lambda array: array * 2)
    assert encoded.lengths.tolist() == lengths and len(encoded) == len(lengths)
    for row, array in enumerate(raw):
        np.testing.assert_array_equal(encoded[row], array * 2)
    rows = np.array([len(lengths) - 1, 0])
    x = encoded.take(rows)
    for place, row in enumerate(rows):
        np.testing.assert_array_equal(x.values[place, : lengths[row]].numpy(), raw[row] * 2)


def test_a_batch_does_not_share_memory_with_the_part() -> None:
    encoded = Encoded.of(ragged([2, 2]), lambda array: array)
    encoded.take(np.array([0])).values.zero_()
    assert (encoded[0] == 1).all()


def test_change_sees_the_row_number_whatever_the_order() -> None:
    encoded = Encoded.of(ragged([2, 2, 2]), lambda array: array)
    x = encoded.take(np.array([2, 0]), lambda array, row: array[: row + 1] * 0 + row)
    assert x.lengths is not None and x.lengths.tolist() == [2, 1] and x.values[:, 0, 0].tolist() == [2.0, 0.0]


@pytest.mark.parametrize("count", [1, 2, 7, 64, 65, 331])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("equal", [True, False])
def test_each_row_once(count: int, shuffle: bool, equal: bool) -> None:
    lengths = np.full(count, 5) if equal else np.random.default_rng(0).integers(1, 90, count)
    found = order(lengths, 8, 3, 1, shuffle)
    assert sorted(np.concatenate(found).tolist()) == list(range(count))
    if shuffle and count > 1:
        assert min(len(rows) for rows in found) > 1
    assert max(len(rows) for rows in found) <= 9


def test_order_is_a_function_of_its_arguments() -> None:
    lengths = np.random.default_rng(1).integers(1, 90, 300)
    listed = [[rows.tolist() for rows in order(lengths, 8, seed, epoch)] for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))]
    assert listed[0] == listed[1] and listed[0] != listed[2] and listed[0] != listed[3] and listed[2] != listed[3]


@pytest.mark.parametrize("lengths", [np.full(60, 5), np.arange(60), np.repeat([20, 50, 90], 20)], ids=["equal", "all differ", "three"])
def test_each_epoch_brings_other_rows_together(lengths: NDArray[np.int64]) -> None:
    """Few rows of unequal length too: batches of the same rows each time would have statistics of their own."""
    met = [{frozenset(rows.tolist()) for rows in order(lengths, 6, 0, epoch)} for epoch in (0, 1)]
    assert len(met[0] & met[1]) < 3
    assert all(len(set(lengths[list(rows)])) > 1 for rows in met[0]) or len(set(lengths)) == 1


def test_buckets_leave_little_padding_and_a_random_order() -> None:
    lengths = np.random.default_rng(2).integers(1, 1000, 4000)
    found = order(lengths, 16)
    padded = sum(len(rows) * int(lengths[rows].max()) for rows in found)
    assert padded < 1.05 * lengths.sum()
    longest = [int(lengths[rows].max()) for rows in found]
    assert longest != sorted(longest)


def test_without_shuffling_equal_lengths_stay_in_file_order() -> None:
    assert np.concatenate(order(np.full(9, 3), 4, shuffle=False)).tolist() == list(range(9))


def test_one_row_a_batch_is_left_as_it_is() -> None:
    assert [len(rows) for rows in order(np.full(3, 2), 1)] == [1, 1, 1]
    with pytest.raises(UsageError, match="at least 1"):
        order(np.full(3, 2), 0)


def test_resuming_gives_the_rest() -> None:
    encoded = Encoded.of(ragged([3, 1, 2, 5, 4, 2]), lambda array: array)
    targets = torch.arange(6)
    rows = order(encoded.lengths, 2, 0, 4)
    whole, rest = list(batches(encoded, rows, targets)), list(batches(encoded, rows[1:], targets))
    assert [batch.rows.tolist() for batch in whole[1:]] == [batch.rows.tolist() for batch in rest]
    assert all(batch.y is not None and torch.equal(batch.y, batch.rows) for batch in whole)
    assert next(batches(encoded, rows)).y is None
