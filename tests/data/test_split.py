"""Parts of rows: disjoint, complete, stratified, and the same for ever."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from convrnn.core.errors import DataError, UsageError
from convrnn.data.examples import Examples, Source, Target
from convrnn.data.split import Fold, Halves, by_fraction, by_group, folds, group_folds, last_fraction, parts, shuffled


def made(targets: Sequence[Target] | None, rows: int = 0, groups: list[str] | None = None) -> Examples:
    count = len(targets) if targets is not None else rows
    return Examples(
        "text",
        [f"text {row}" for row in range(count)],
        None if targets is None else list(targets),
        [f"f:{row}" for row in range(count)],
        groups=groups,
    )


def is_partition(halves: Halves, count: int) -> bool:
    ascending = all(a < b for rows in halves for a, b in pairwise(rows.tolist()))
    return ascending and sorted([*halves.kept.tolist(), *halves.held.tolist()]) == list(range(count))


def test_shuffled_is_the_same_for_ever() -> None:
    assert shuffled(10, 0).tolist() == [9, 2, 3, 7, 1, 4, 5, 8, 0, 6]
    assert shuffled(10, 7, 3).tolist() == [0, 4, 2, 1, 3, 5, 9, 7, 8, 6]


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("stratify", [True, False])
def test_by_fraction_is_a_partition_of_the_right_size(fraction: float, stratify: bool) -> None:
    targets = ["a"] * 60 + ["b"] * 30 + ["c"] * 13
    halves = by_fraction(targets, fraction, 3, stratify)
    assert is_partition(halves, 103)
    assert len(halves.held) == round(103 * fraction)


def test_stratified_shares() -> None:
    targets = ["a"] * 60 + ["b"] * 30 + ["c"] * 10
    held = Counter(targets[row] for row in by_fraction(targets, 0.2, 0).held)
    assert held == {"a": 12, "b": 6, "c": 2}


def test_each_class_of_two_rows_is_in_both_halves() -> None:
    targets = ["a"] * 40 + ["b"] * 2 + ["c"]
    halves = by_fraction(targets, 0.1, 5)
    assert {targets[row] for row in halves.held} == {"a", "b"}
    assert {targets[row] for row in halves.kept} == {"a", "b", "c"}


def test_targets_that_come_once_are_still_divided() -> None:
    assert len(by_fraction([0.1, 0.2, 0.3, 0.4], 0.25, 0).held) == 1


def test_seeds_differ_and_repeat() -> None:
    targets = ["a", "b"] * 50
    assert by_fraction(targets, 0.2, 1).held.tolist() == by_fraction(targets, 0.2, 1).held.tolist()
    assert by_fraction(targets, 0.2, 1).held.tolist() != by_fraction(targets, 0.2, 2).held.tolist()


def test_last_fraction() -> None:
    assert last_fraction(10, 0.3).held.tolist() == [7, 8, 9]
    assert is_partition(last_fraction(10, 0.3), 10)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_fractions_outside_are_refused(fraction: float) -> None:
    with pytest.raises(UsageError, match="share between 0 and 1"):
        by_fraction([1, 2], fraction, 0)


def test_groups_are_never_divided() -> None:
    groups = [f"g{row % 7}" for row in range(70)]
    for seed in range(20):
        halves = by_group(groups, 0.3, seed)
        assert is_partition(halves, 70)
        assert not {groups[row] for row in halves.kept} & {groups[row] for row in halves.held}
        assert 10 <= len(halves.held) <= 30
    assert all(len(by_group(["a", "b", "b", "b"], 0.9, seed).kept) > 0 for seed in range(9))
    assert all(len(by_group([f"g{row}" for row in range(3)], 0.99, seed).kept) == 1 for seed in range(9))
    with pytest.raises(DataError, match="two groups"):
        by_group(["g"] * 5, 0.3, 0)


def test_folds_hold_out_each_row_once_in_equal_shares() -> None:
    targets = ["a"] * 20 + ["b"] * 10
    held = [halves.held for halves in folds(targets, 5, 0)]
    assert sorted(np.concatenate(held).tolist()) == list(range(30))
    assert all(Counter(targets[row] for row in rows) == {"a": 4, "b": 2} for rows in held)


@pytest.mark.parametrize(("k", "message"), [(1, "at least 2"), (31, "31 folds of 30 rows"), (11, "'b' has 10 rows; choose at most 10")])
def test_folds_that_cannot_be(k: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        folds(["a"] * 20 + ["b"] * 10, k, 0)


def test_folds_of_groups_keep_them_whole_and_are_about_as_large() -> None:
    groups = [name for name, rows in {"a": 9, "b": 1, "c": 4, "d": 4, "e": 2, "f": 1}.items() for _ in range(rows)]
    held = [halves.held.tolist() for halves in group_folds(groups, 3, 0)]
    assert sorted(row for each in held for row in each) == list(range(21)) and sorted(map(len, held)) == [6, 6, 9]
    assert sum(len({groups[row] for row in each}) for each in held) == 6, "no group is in two folds"
    alike = [[halves.held.tolist() for halves in group_folds(list("abcdef"), 3, seed)] for seed in range(9)]
    assert len({repr(each) for each in alike}) > 1 and alike[0] == [halves.held.tolist() for halves in group_folds(list("abcdef"), 3, 0)]


@pytest.mark.parametrize(("k", "message"), [(1, "at least 2"), (4, "4 folds of 3 groups leave some empty; choose at most 3")])
def test_folds_of_groups_that_cannot_be(k: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        group_folds(list("aabbc"), k, 0)


def test_folds_without_strata() -> None:
    assert [len(halves.held) for halves in folds(list(range(10)), 10, 0, stratify=False)] == [1] * 10


def test_parts_by_default() -> None:
    train, valid, test = parts(Source("s", made(["a", "b"] * 50)))
    assert valid is not None and test is not None
    assert (len(train), len(valid), len(test)) == (72, 8, 20)
    assert sorted([*train.inputs, *valid.inputs, *test.inputs]) == sorted(made(["a", "b"] * 50).inputs)
    assert Counter(test.targets or ()) == {"a": 10, "b": 10}


def test_parts_that_files_fix_stay() -> None:
    fixed = made(["a", "b"])
    train, valid, test = parts(Source("s", made(["a", "b"] * 50), fixed, fixed))
    assert valid is fixed and test is fixed and len(train) == 100


def test_parts_without_any() -> None:
    train, valid, test = parts(Source("s", made(["a", "b"] * 5)), valid=0, test=0)
    assert (len(train), valid, test) == (10, None, None)


def test_parts_keep_groups_together_and_refuse_the_last_rows_of_them() -> None:
    source = Source("s", made(["a", "b"] * 20, groups=[f"g{row // 4}" for row in range(40)]))
    found = [set(part.groups or ()) for part in parts(source) if part is not None]
    assert len(found) == 3 and not found[0] & found[1] and not found[0] & found[2] and not found[1] & found[2]
    with pytest.raises(UsageError, match="groups are held out whole"):
        parts(source, shuffle=False)


def test_parts_of_the_last_rows() -> None:
    train, valid, _ = parts(Source("s", made(["a", "b"] * 10)), valid=0.1, test=0, shuffle=False)
    assert valid is not None and valid.names == ["f:18", "f:19"] and train.names[-1] == "f:17"


def test_errors_name_the_part() -> None:
    with pytest.raises(UsageError, match=r"^test\.fraction"):
        parts(Source("s", made(["a", "b"])), test=2.0)


def test_regression_is_not_stratified() -> None:
    numbers: list[Target] = [row / 7 for row in range(50)]
    assert [len(part) for part in parts(Source("s", made(numbers))) if part is not None] == [36, 4, 10]


def test_rows_without_targets_are_divided_too() -> None:
    assert [len(part) for part in parts(Source("s", made(None, rows=10)), valid=0) if part is not None] == [8, 2]


def test_negative_seed() -> None:
    with pytest.raises(UsageError, match="at least 0"):
        shuffled(3, -1)


def test_a_split_does_not_sort_by_the_words_that_a_user_drew_the_data_from() -> None:
    drawn = np.random.default_rng(0).random(500)
    held = by_fraction(list(range(500)), 0.2, seed=0, stratify=False).held
    assert 0.4 < drawn[held].mean() < 0.6


@pytest.mark.parametrize("groups", [None, [f"g{row // 4}" for row in range(40)]])
def test_folds_as_test_parts_hold_every_row_once_and_leave_rows_to_watch(groups: list[str] | None) -> None:
    source = Source("s", made(["a", "b"] * 20, groups=groups))
    found = [parts(source, fold=Fold(number, 5)) for number in range(5)]
    assert sorted(name for each in found for name in (each.test or made([])).names) == sorted(source.train.names)
    for train, valid, test in found:
        assert valid is not None and test is not None and len(train) + len(valid) + len(test) == 40
        assert Counter(test.targets) == {"a": 4, "b": 4} and not {*train.names, *valid.names} & {*test.names}
        if groups is not None:
            assert not {*(train.groups or ()), *(valid.groups or ())} & {*(test.groups or ())}


def test_folds_that_are_no_test_part() -> None:
    with pytest.raises(DataError, match="s: its files fix a test part, so that no fold can be one; leave the folds out"):
        parts(Source("s", made(["a", "b"] * 20), test=made(["a"])), fold=Fold(0, 5))
    with pytest.raises(UsageError, match="folds are drawn in a random order"):
        parts(Source("s", made(["a", "b"] * 20)), fold=Fold(0, 5), shuffle=False)
