"""Problems that are made: the same for ever, their known answers, and the proof that a bag of windows cannot order motifs."""

from __future__ import annotations

import hashlib
from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from convrnn.core.errors import DataError
from convrnn.data import builtin, read
from convrnn.data.examples import Examples, Source
from convrnn.data.synthetic import NOISE, ORDERS, PERIODS, REMEMBERED, STEP, SYMBOLS, TONE, WINDOW, Draws, motif_order, problems

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def sources() -> dict[str, Source]:
    return {problem.name: builtin.load(problem.name) for problem in problems()}


def held_out(source: Source) -> Examples:
    assert source.test is not None
    return source.test


def digest(examples: Examples, rows: int = 50) -> str:
    """Of the first rows, inputs to the bits of float32 and targets."""
    found = hashlib.sha256()
    for values, target in zip(examples.inputs[:rows], (examples.targets or [])[:rows], strict=True):
        found.update(values.tobytes() + repr(target).encode())
    return found.hexdigest()[:16]


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("adding", "d5008da7f991c5e2", "52a5258a3acf5160"),
        ("copy", "a65dc467ce0a9093", "3759fbb9e2bd624e"),
        ("motif-order", "f182a23788b77ac7", "7028c847587094d6"),
    ],
)
def test_rows_are_the_same_for_ever(name: str, train: str, test: str, sources: dict[str, Source]) -> None:
    assert (digest(sources[name].train), digest(held_out(sources[name]))) == (train, test)


@pytest.mark.parametrize("name", ["adding", "motif-order"])
def test_no_row_comes_twice(name: str, sources: dict[str, Source]) -> None:
    """(In `copy` some do: there are 163,840 different ones.)"""
    rows = [values.tobytes() for part in (sources[name].train, held_out(sources[name])) for values in part.inputs]
    assert len(set(rows)) == len(rows)


def test_draws_are_what_they_say() -> None:
    """Mean and variance of 200,000 draws within five standard errors; whole numbers equally often."""
    draws, count = Draws("test", 1, "train", 0), 200_000
    for values, mean, variance in ((draws.uniform(count), 1 / 2, 1 / 12), (draws.normal(count), 0, 1)):
        assert abs(values.mean() - mean) < 5 * np.sqrt(variance / count) and abs(values.var() / variance - 1) < 0.02
    counts = np.bincount(draws.below(5, count))
    assert len(counts) == 5 and np.abs(counts - count / 5).max() < 5 * np.sqrt(count * 0.16)


def test_draws_are_not_those_of_a_user() -> None:
    """Nobody who writes default_rng(0) meets these words; another part, length or row has others."""
    keys = [("adding", 100, "train", 0), ("adding", 100, "test", 0), ("adding", 101, "train", 0), ("adding", 100, "train", 1)]
    firsts = [float(Draws(*key).uniform(1)[0]) for key in keys]  # pyright: ignore[reportArgumentType]
    users = {float(np.random.default_rng(seed).random()) for seed in range(1000)}
    assert len(set(firsts)) == len(keys) and not users & set(firsts)


# ---- adding


def test_adding_is_the_sum_of_the_marked(sources: dict[str, Source]) -> None:
    source = sources["adding"]
    rows, sums = np.stack(source.train.inputs).astype(np.float64), np.array(source.train.targets)
    assert rows.shape == (10_000, 100, 2) and len(held_out(source)) == 1_000 and source.train.task == "regress"
    marks = rows[..., 1]
    assert (marks[:, :50].sum(1) == 1).all() and (marks[:, 50:].sum(1) == 1).all()
    assert np.abs((rows[..., 0] * marks).sum(1) - sums).max() < 1e-6
    assert set(marks[:, :50].argmax(1)) == set(range(50)), "a mark stands everywhere"


def test_guessing_the_mean_of_adding_has_an_error_of_a_sixth(sources: dict[str, Source]) -> None:
    """The variance of a sum of two uniform numbers: 1/6; the standard error of its estimate from 10,000 is .0021."""
    sums = np.array(sources["adding"].train.targets, dtype=np.float64)
    assert abs(((sums - 1) ** 2).mean() - 1 / 6) < 5 * 0.0021
    best = np.polyfit(np.stack(sources["adding"].train.inputs)[:, :, 0].sum(1), sums, 1)
    assert abs(best[0]) < 0.05, "the numbers without the marks say next to nothing"


# ---- copy


def test_copy_asks_for_one_of_the_symbols(sources: dict[str, Source]) -> None:
    source = sources["copy"]
    rows, targets = np.stack(source.train.inputs), source.train.targets
    assert rows.shape == (10_000, REMEMBERED + 50 + 1, len(SYMBOLS) + REMEMBERED) and (rows.sum(2)[:, REMEMBERED:-1] == 0).all()
    symbols, asked = rows[:, :REMEMBERED].argmax(2), rows[:, -1].argmax(1) - len(SYMBOLS)
    assert [SYMBOLS[symbols[row, asked[row]]] for row in range(10_000)] == targets


def test_without_memory_copy_is_chance(sources: dict[str, Source]) -> None:
    """What follows the symbols is the question alone, and it says nothing of the answer: mutual information 0 but for 10,000 draws."""
    source = sources["copy"]
    rows = np.stack(source.train.inputs)
    asked, answers = rows[:, -1].argmax(1), np.array([SYMBOLS.index(str(target)) for target in source.train.targets or []])
    table = np.histogram2d(asked, answers, bins=(REMEMBERED, len(SYMBOLS)))[0]
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    # chi squared of 28 degrees of freedom: 99.9 % lie below 56.9
    assert ((table - expected) ** 2 / expected).sum() < 56.9
    assert (rows[:, REMEMBERED:-1] == 0).all()


# ---- motif-order


def heard(row: Floats) -> str:
    """The order by three matched filters of either phase: the loudest place of each tone."""
    frames = np.arange(TONE)
    places = {}
    for name, period in PERIODS.items():
        power = sum(np.correlate(row, wave(2 * np.pi * frames / period), "valid") ** 2 for wave in (np.sin, np.cos))
        places[name] = int(np.argmax(power))
    return "".join(sorted(places, key=lambda name: places[name]))


def test_motif_order_can_be_told(sources: dict[str, Source]) -> None:
    """Who knows the tones is right in every row of the test part: the noise takes nothing away."""
    test = held_out(sources["motif-order"])
    assert [heard(row[:, 0].astype(np.float64)) for row in test.inputs] == test.targets


def test_motif_order_is_balanced_ragged_and_shifted(sources: dict[str, Source]) -> None:
    train = sources["motif-order"].train
    counts = {order: (train.targets or []).count(order) for order in ORDERS}
    assert set(counts.values()) == {667} and sorted(ORDERS) == sorted("".join(order) for order in permutations("abc"))
    lengths = [len(row) for row in train.inputs]
    assert min(lengths) == 288 and max(lengths) == 400 and len(set(lengths)) > 100


def windows(row: Floats, size: int, step: int = 1) -> list[bytes]:
    """All windows that a convolution with zeros at both ends sees, sorted: a bag."""
    padded = np.concatenate([np.zeros(size - 1), row, np.zeros(size - 1)])
    return sorted(padded[start : start + size].tobytes() for start in range((size - 1) % step, len(row) + size - 1, step))


def twins(number: int) -> list[Floats]:
    """The same draws in all six orders."""
    return [motif_order(Draws("test", 400, "train", number), 400, order) for order in ORDERS]


@pytest.mark.parametrize(("size", "step"), [(WINDOW, 1), (5, 1), (WINDOW, 4), (WINDOW, 12), (WINDOW, STEP)])
def test_a_bag_of_windows_says_nothing_of_the_order(size: int, step: int) -> None:
    """Twins hold the very same windows, each as often: what is computed from the bag is the same for all six labels."""
    for number in range(5):
        bags = [windows(row, size, step) for row in twins(number)]
        assert all(bag == bags[0] for bag in bags)
        assert len({row.tobytes() for row in twins(number)}) == len(ORDERS)


def test_a_longer_window_sees_the_difference() -> None:
    """So the test above can fail: windows that reach from tone to tone differ."""
    bags = [windows(row, 200) for row in twins(0)]
    assert len({tuple(bag) for bag in bags}) == len(ORDERS)


def test_a_row_is_one_of_the_twins_of_its_draws(sources: dict[str, Source]) -> None:
    train = sources["motif-order"].train
    for number in (0, 7, 100):
        row = motif_order(Draws("motif-order", 400, "train", number), 400, ORDERS[number % 6])
        assert np.array_equal(train.inputs[number][:, 0], row.astype(np.float32)) and (train.targets or [])[number] == ORDERS[number % 6]


def test_noise_has_the_deviation_that_is_said() -> None:
    quiet = np.concatenate([motif_order(Draws("test", 288, "train", number), 288, "abc")[:31] for number in range(100)])
    assert abs(quiet.std() / NOISE - 1) < 0.05 and abs(quiet.mean()) < 0.05


# ---- names


def test_names_and_lengths() -> None:
    assert builtin.describe("adding-100").name == "adding" and builtin.describe("adding-20").name == "adding-20"
    assert {problem.name for problem in problems()} <= set(builtin.names()) and "adding-20" not in builtin.names()
    assert read("copy-3").train.inputs[0].shape == (9, 13) and builtin.known("motif-order-300") and not builtin.known("digits-3")
    for problem in problems():
        entry = builtin.describe(problem.name)
        assert entry.kind == "series" and f"T ({problem.length})" in entry.description


@pytest.mark.parametrize("name", ["adding-1", "motif-order-287", "copy-0", "adding-1000000"])
def test_a_length_that_cannot_be(name: str) -> None:
    with pytest.raises(DataError, match=rf"{name}: expected a length of \d+ to 100000, got \d+; for example \w[\w-]+-\d+"):
        read(name)


def test_a_name_that_is_nearly_one() -> None:
    with pytest.raises(DataError, match="did you mean adding"):
        read("addin-50")
