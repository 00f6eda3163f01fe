"""Dividing rows into parts: pure functions on row numbers, the same for ever for the same arguments. Knows no file and no tensor.

Shuffling sorts raw 64-bit words of PCG64 (O'Neill, 2014): NumPy promises that stream for ever (NEP 19), not the one of
`Generator.permutation`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convrnn.core.errors import DataError, UsageError
from convrnn.core.language import tr
from convrnn.data.examples import Examples, Source
from convrnn.data.targets import task_of

Rows = NDArray[np.int64]
"""Row numbers, from 0."""


class Parts(NamedTuple):
    """What is trained on, watched and measured on; None: there is no such part."""

    train: Examples
    valid: Examples | None
    test: Examples | None


class Halves(NamedTuple):
    """Row numbers in ascending order: those that stay and those that are held out."""

    kept: Rows
    held: Rows


class Fold(NamedTuple):
    """One of several ways to hold out a test part, each row in one of them: which, from 0, and how many there are."""

    number: int
    of: int


_OWN = int.from_bytes(b"convrnn")
"""In front of every seed: data that a user drew with `default_rng(0)` must not be sorted by the very words they were made of."""


def shuffled(count: int, *seed: int) -> Rows:
    """The numbers 0..count-1 in an order that depends on `count` and `seed` only.

    Raises:
        UsageError: a negative seed.
    """
    if any(number < 0 for number in seed):
        raise UsageError("seed", tr("expected numbers of at least 0, got {got!r}", got=seed), tr("choose another --seed"))
    keys = np.random.PCG64(np.random.SeedSequence((_OWN, *seed))).random_raw(count)
    return np.argsort(keys, kind="stable").astype(np.int64)


def by_fraction(targets: Sequence[Hashable], fraction: float, seed: int, stratify: bool = True) -> Halves:
    """Holds out a fraction of the rows.

    Args:
        targets: one a row.
        fraction: share of the rows to hold out, between 0 and 1; at least one row is held out and at least one stays.
        seed: of the choice.
        stratify: keep the shares of the targets; each target of two rows or more is then in both halves.

    Raises:
        UsageError: a fraction that is not between 0 and 1.
        DataError: fewer than two rows.
    """
    total = _held_count(len(targets), fraction)
    order = shuffled(len(targets), seed)
    if not stratify:
        return _halves(len(targets), order[:total])
    rows = _rows_of(targets, order)
    counts = np.array([len(own) for own in rows])
    ideal = counts * fraction
    least, most = np.minimum(1, counts - 1), counts - 1
    quota = np.clip(np.floor(ideal).astype(np.int64), least, most)
    for which in np.argsort(quota - ideal, kind="stable"):
        if quota.sum() >= total:
            break
        quota[which] = min(quota[which] + 1, most[which])
    if quota.sum() == 0:  # every target comes once: nothing to stratify by
        return _halves(len(targets), order[:total])
    return _halves(len(targets), np.concatenate([own[:take] for own, take in zip(rows, quota, strict=True)]))


def last_fraction(count: int, fraction: float) -> Halves:
    """Holds out the last rows, unshuffled, as `validation_split` of Keras does.

    Raises:
        UsageError: a fraction that is not between 0 and 1.
        DataError: fewer than two rows.
    """
    return _halves(count, np.arange(count - _held_count(count, fraction), count))


def by_group(groups: Sequence[Hashable], fraction: float, seed: int) -> Halves:
    """Holds out whole groups, in a random order, as long as each brings the share of rows nearer to `fraction`.

    Raises:
        UsageError: a fraction that is not between 0 and 1.
        DataError: fewer than two groups.
    """
    goal = _held_count(len(groups), fraction)
    rows = _rows_of(groups, np.arange(len(groups)))
    if len(rows) < 2:
        raise DataError("group", tr("expected at least two groups, got {got}", got=len(rows)), tr("name another --group, or none"))
    held: list[int] = []
    count = 0
    for which in shuffled(len(rows), seed):
        gain = abs(goal - count) - abs(goal - count - len(rows[which]))
        if len(held) < len(rows) - 1 and (not held or gain > 0):
            held.append(int(which))
            count += len(rows[which])
    return _halves(len(groups), np.concatenate([rows[which] for which in held]))


def folds(targets: Sequence[Hashable], k: int, seed: int, stratify: bool = True) -> list[Halves]:
    """k ways to hold out about a k-th of the rows, each row exactly once.

    Raises:
        UsageError: fewer than two folds, or more folds than rows or, with `stratify`, than a target has rows.
    """
    _two_or_more(k)
    if k > len(targets):
        raise UsageError(
            "folds",
            tr("{k} folds of {count} rows leave some empty", k=k, count=len(targets)),
            tr("choose at most {count}", count=len(targets)),
        )
    order = shuffled(len(targets), seed)
    if stratify:
        rows = _rows_of(targets, order)
        fewest = min(rows, key=len)
        if len(fewest) < k:
            raise UsageError(
                "folds",
                tr("{k} folds, but target {targets!r} has {count} rows", k=k, targets=targets[int(fewest[0])], count=len(fewest)),
                tr("choose at most {count}", count=len(fewest)),
            )
        order = np.concatenate(rows)  # dealt out one after the other, each fold gets its share of each target
    return [_halves(len(targets), order[fold::k]) for fold in range(k)]


def group_folds(groups: Sequence[Hashable], k: int, seed: int) -> list[Halves]:
    """As `folds`, groups whole: the largest first, each into the fold that has the fewest rows so far.

    Raises:
        UsageError: fewer than two folds, or more folds than groups.
    """
    _two_or_more(k)
    rows = _rows_of(groups, np.arange(len(groups)))
    if k > len(rows):
        count = len(rows)
        raise UsageError(
            "folds", tr("{k} folds of {count} groups leave some empty", k=k, count=count), tr("choose at most {count}", count=count)
        )
    held: list[list[int]] = [[] for _ in range(k)]
    for which in sorted(shuffled(len(rows), seed).tolist(), key=lambda which: -len(rows[which])):
        min(held, key=len).extend(rows[which].tolist())
    return [_halves(len(groups), np.array(own, np.int64)) for own in held]


def _two_or_more(k: int) -> None:
    if k < 2:
        raise UsageError("folds", tr("expected at least 2, got {got}", got=k), tr("choose 2 or more"))


def parts(
    source: Source,
    *,
    valid: float = 0.1,
    test: float = 0.2,
    fold: Fold | None = None,
    seed: int = 0,
    stratify: bool | None = None,
    shuffle: bool = True,
) -> Parts:
    """The three parts: those that the files fix, else held out of the training part.

    Args:
        source: as read.
        valid: share of the training part (after the test part has left it) to watch while training; 0: none.
        test: share of all rows to measure on; 0: none.
        fold: in place of `test`, which of so many parts of the rows to measure on.
        seed: of the choice.
        stratify: keep the shares of the labels; None: if the task is to classify. Groups come first: they are never divided.
        shuffle: False: hold out the last rows instead of random ones.

    Raises:
        UsageError: a fraction that is neither 0 nor between 0 and 1; `shuffle=False` together with groups or folds; folds that leave some
            empty.
        DataError: too few rows or groups to hold any out; a fold of a source whose files fix a test part.
    """
    stratified = stratify if stratify is not None else source.train.targets is not None and task_of(source.train)[0] == "classify"
    train, held_test = source.train, source.test
    if fold is not None:
        train, held_test = _hold_fold(source, fold, seed, stratified, shuffle)
    elif held_test is None and test != 0:
        train, held_test = _hold_out(train, test, seed, stratified, shuffle, "test")
    held_valid = source.valid
    if held_valid is None and valid != 0:
        train, held_valid = _hold_out(train, valid, seed + 1, stratified, shuffle, "valid")
    return Parts(train, held_valid, held_test)


def _hold_fold(source: Source, fold: Fold, seed: int, stratify: bool, shuffle: bool) -> tuple[Examples, Examples]:
    examples = source.train
    if source.test is not None:
        raise DataError(source.name, tr("its files fix a test part, so that no fold can be one"), tr("leave the folds out"))
    if not shuffle:
        raise UsageError("shuffle", tr("folds are drawn in a random order"), tr("leave the folds or shuffle=False out"))
    if examples.groups is not None:
        halves = group_folds(examples.groups, fold.of, seed)[fold.number]
    else:
        targets = examples.targets if examples.targets is not None else list(range(len(examples)))
        halves = folds(targets, fold.of, seed, stratify and examples.targets is not None)[fold.number]
    return examples.subset(halves.kept), examples.subset(halves.held)


def _hold_out(examples: Examples, fraction: float, seed: int, stratify: bool, shuffle: bool, part: str) -> tuple[Examples, Examples]:
    try:
        if examples.groups is not None:
            if not shuffle:
                raise UsageError("shuffle", tr("groups are held out whole, in a random order"), tr("leave --group or shuffle=False out"))
            halves = by_group(examples.groups, fraction, seed)
        elif not shuffle:
            halves = last_fraction(len(examples), fraction)
        else:
            targets = examples.targets if examples.targets is not None else list(range(len(examples)))
            halves = by_fraction(targets, fraction, seed, stratify and examples.targets is not None)
    except (DataError, UsageError) as error:
        raise error.within(part) from error
    return examples.subset(halves.kept), examples.subset(halves.held)


def _held_count(count: int, fraction: float) -> int:
    if not 0 < fraction < 1:
        raise UsageError("fraction", tr("expected a share between 0 and 1, got {got!r}", got=fraction), tr("for example 0.2"))
    if count < 2:
        raise DataError(
            "rows",
            tr("expected at least two to hold one out, got {got}", got=count),
            tr("give more rows, or a file of its own for this part"),
        )
    return min(max(round(count * fraction), 1), count - 1)


def _rows_of(keys: Sequence[Hashable], order: Rows) -> list[Rows]:
    """The rows of each key, keys in order of their first row in the file, rows in the order given."""
    rows: dict[Hashable, list[int]] = {key: [] for key in keys}
    for row in order.tolist():
        rows[keys[row]].append(row)
    return [np.array(own, np.int64) for own in rows.values()]


def _halves(count: int, held: Rows) -> Halves:
    mask = np.zeros(count, bool)
    mask[held] = True
    return Halves(np.flatnonzero(~mask), np.flatnonzero(mask))
