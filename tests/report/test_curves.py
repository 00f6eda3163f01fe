"""The sentence that says what learning curves show, on made curves: clear ones, noisy ones, near misses, very short ones."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest

from convrnn.report import Epoch, Finding, findings

CHANCE = math.log(10)
Curves = tuple[np.ndarray, np.ndarray]


def epochs(train: np.ndarray, valid: np.ndarray | None = None) -> list[Epoch]:
    """Epoch records of two curves."""
    parts = [None] * len(train) if valid is None else [{"loss": float(value)} for value in valid]
    return [Epoch(n, 10 * n, {"loss": float(t)}, part) for n, (t, part) in enumerate(zip(train, parts, strict=True), start=1)]


def first(train: np.ndarray, valid: np.ndarray | None = None, chance: float | None = CHANCE) -> Finding:
    return findings(epochs(train, valid), chance)[0]


def converging(n: int) -> Curves:
    x = np.arange(n) / n
    return 2 * np.exp(-8 * x) + 0.05, 2 * np.exp(-8 * x) + 0.12


def plateau(n: int) -> Curves:
    """Validation levels out while training goes on: no rise, so not yet overfitting."""
    x = np.arange(n) / n
    return 2 * np.exp(-6 * x) + 0.01, 2 * np.exp(-10 * x) + 0.3


def unfinished(n: int) -> Curves:
    x = np.arange(n) / n
    return 2.2 * np.exp(-1.5 * x), 2.2 * np.exp(-1.4 * x)


def overfitting(n: int) -> Curves:
    x = np.arange(n) / n
    return 2.2 * np.exp(-5 * x), 0.5 + 1.7 * np.exp(-9 * x) + 0.5 * np.clip(x - 0.35, 0, 1)


def stuck(n: int) -> Curves:
    return np.full(n, 2.30), np.full(n, 2.31)


def exploding(n: int) -> Curves:
    x = np.arange(n) / n
    return 2.3 * np.exp(-6 * x) + 2.5 * np.clip(x - 0.5, 0, 1), np.full(n, 2.5)


def zigzag(n: int) -> Curves:
    x = 1.5 + 0.5 * (-1.0) ** np.arange(n)
    return x, x


KINDS: list[tuple[Callable[[int], Curves], str]] = [
    (converging, "converged"),
    (plateau, "converged"),
    (unfinished, "not-converged"),
    (overfitting, "overfitting"),
    (stuck, "underfitting"),
    (exploding, "diverged"),
    (zigzag, "oscillates"),
]


@pytest.mark.parametrize(("curve", "kind"), KINDS, ids=lambda value: getattr(value, "__name__", value))
@pytest.mark.parametrize("count", [8, 12, 20, 40, 100])
def test_clear_curves(curve: Callable[[int], Curves], kind: str, count: int) -> None:
    assert first(*curve(count)).kind == kind


@pytest.mark.parametrize(("curve", "kind"), KINDS, ids=lambda value: getattr(value, "__name__", value))
@pytest.mark.parametrize("count", [12, 40])
def test_three_percent_of_noise_changes_the_finding_at_most_once_in_ten(curve: Callable[[int], Curves], kind: str, count: int) -> None:
    rng = np.random.default_rng(0)
    kinds = []
    for _ in range(40):
        train, valid = (each * (1 + 0.03 * rng.normal(size=count)) for each in curve(count))
        kinds.append(first(train, valid).kind)
    assert kinds.count(kind) >= 36, kinds


def test_overfitting_names_the_epoch_of_the_lowest_validation_loss_and_both_changes() -> None:
    train, valid = overfitting(20)
    found = first(train, valid)
    best = int(np.argmin(valid)) + 1
    assert found.epoch == best
    assert found.sentence.startswith(f"Validation loss rose from epoch {best} (")
    assert "while training loss fell" in found.sentence and found.sentence.endswith("overfitting.")
    assert "dropout" in found.remedy and "early stopping" in found.remedy


def test_five_epochs_are_enough_and_the_epoch_is_the_one_marked_in_the_figure() -> None:
    found = first(*overfitting(5))
    assert (found.kind, found.epoch) == ("overfitting", 3)


def test_a_lucky_dip_is_not_the_epoch_from_which_validation_rose() -> None:
    train, valid = overfitting(40)
    valid[-4] = valid.min() - 0.01
    found = first(train, valid)
    assert found.kind == "overfitting" and found.epoch is not None and found.epoch < 30


def test_one_wild_epoch_decides_nothing() -> None:
    train, valid = converging(20)
    valid[-1] *= 3
    train[10] *= 4
    assert first(train, valid).kind == "converged"


@pytest.mark.parametrize("train", [[2.0, 0.9, 0.1], [2.2, 0.41, 0.08], [2.0, 1.0, 0.5, 0.01]])
def test_a_steep_fall_in_a_few_epochs_is_no_divergence(train: list[float]) -> None:
    assert first(np.array(train)).kind == "not-converged"


def test_an_explosion_in_the_last_epoch_is_seen() -> None:
    found = first(np.array([2.3, 1.0, 0.5, 0.4, 0.35, 8.0]), np.array([2.3, 1.0, 0.6, 0.5, 0.5, 8.0]))
    assert (found.kind, found.epoch) == ("diverged", 5)


def test_a_rise_that_is_nothing_beside_the_first_loss_is_no_overfitting() -> None:
    train, valid = converging(20)
    valid = valid - 0.119
    valid[-8:] = np.linspace(valid[-9], valid[-9] * 1.2, 8)
    assert valid[-1] - valid.min() < 0.01 * valid[0]
    assert first(train, valid).kind == "converged"


def test_rising_validation_without_falling_training_has_a_verdict_of_its_own() -> None:
    found = first(np.full(12, 0.5), np.linspace(1.0, 2.1, 12), chance=1.0)
    assert (found.kind, found.epoch) == ("worsening", 1)
    assert found.sentence.startswith("Validation loss rose from epoch 1 (1, now 2) while training loss fell by less than 2% (0.5, now 0.5")
    _, valid = overfitting(20)
    train = np.concatenate([np.linspace(2.2, 0.6, 7), np.full(13, 0.6)])
    assert first(train, valid).kind == "worsening"


def test_training_loss_that_comes_back_up_has_not_converged() -> None:
    train = np.concatenate([np.linspace(1.0, 0.7, 10), np.linspace(0.71, 0.95, 20)])
    found = first(train)
    assert (found.kind, found.epoch) == ("worsening", 10)
    assert found.sentence == "Training loss rose from epoch 10 (0.722, now 0.937; smoothed): the learning rate is too high."


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_said_even_in_the_first_epoch(value: float) -> None:
    found = first(np.array([value]))
    assert (found.kind, found.epoch) == ("diverged", 1) and "learning rate" in found.remedy
    assert first(np.array([2.0, 1.0, value]), np.ones(3)).epoch == 3
    assert first(np.ones(3), np.array([2.0, value, 1.0])).sentence.startswith("Validation loss became")


@pytest.mark.parametrize("count", [1, 2])
def test_too_short_to_say(count: int) -> None:
    found = first(np.linspace(2, 1, count), np.linspace(2, 3, count))
    assert found.kind == "too-short" and "epoch" in found.sentence and found.remedy


def test_no_epochs_at_all() -> None:
    assert [each.kind for each in findings([])] == ["too-short"]


def test_without_a_validation_part_the_training_loss_is_judged_and_the_lack_is_said() -> None:
    train, _ = converging(20)
    assert [each.kind for each in findings(epochs(train), CHANCE)] == ["converged", "no-validation"]
    assert findings(epochs(train), CHANCE)[0].sentence.startswith("Training loss has been level")


def test_a_flat_loss_is_underfitting_only_where_it_is_high() -> None:
    flat = np.full(10, 0.30)
    assert first(flat, flat, chance=math.log(2)).kind == "converged"
    assert first(flat, flat, chance=0.31).kind == "underfitting"
    assert first(flat, flat, chance=None).kind == "underfitting", "nothing else is known than that it hardly fell"


def test_training_that_goes_on_falling_is_mentioned_where_validation_is_level() -> None:
    assert "while training loss went on falling" in first(*plateau(20)).sentence
    assert "went on falling" not in first(*converging(20)).sentence


@pytest.mark.parametrize("rate", [3, 8, 20])
def test_the_share_of_the_fall_is_what_was_done(rate: int) -> None:
    valid = 2 * np.exp(-rate * np.arange(40) / 40) + 0.5 - 2 * math.exp(-rate)
    found = first(converging(80)[0], np.concatenate([valid, np.full(40, 0.5)]))
    assert found.kind == "converged" and found.epoch is not None
    done = re.search(r"\((\d+)% of its fall was done; 0.5 at the end\)", found.sentence)
    assert done and int(done[1]) / 100 == pytest.approx((valid[0] - valid[found.epoch - 1]) / (valid[0] - 0.5), abs=0.02)


@pytest.mark.parametrize(
    ("train", "valid"),
    [
        (np.geomspace(2.0, 0.3, 12), np.full(12, 0.5)),
        (np.geomspace(2.0, 0.3, 12), 0.5 + 0.004 * np.linspace(0, 1, 12)),
        (np.geomspace(2.0, 0.3, 12), 0.5 + 0.02 * np.array([1, -1, 0, 1, -2, 2, -1, 0, 1, -1, 0, 1])),
    ],
    ids=["level all along", "a rise of no account", "noise"],
)
def test_no_share_of_a_fall_where_there_is_none(train: np.ndarray, valid: np.ndarray) -> None:
    found = first(train, valid)
    assert (found.kind, found.epoch) == ("converged", 1) and "fall was done" not in found.sentence


def test_a_wild_last_epoch_moves_neither_the_level_nor_where_it_began() -> None:
    train, valid = converging(20)
    calm = first(train, valid)
    valid[-1] *= 10
    wild = first(train, valid)
    assert (wild.kind, wild.epoch) == (calm.kind, calm.epoch) and "0.12" in calm.sentence and "0.12" in wild.sentence


def test_the_numbers_of_a_sentence_are_those_that_were_judged() -> None:
    """Single epochs say the opposite: the last one is wild, the best one no lower."""
    train, valid = unfinished(20)
    valid[-1] = valid[-7] * 1.1
    found = first(train, valid)
    numbers = re.search(r"\(by about (\S+) from epoch 14 to 20\)", found.sentence)
    assert found.kind == "not-converged" and numbers and 0 < float(numbers[1]) < valid[13] - valid[18] + 0.1
    train, valid = overfitting(20)
    valid[-1], train[-1] = valid.min() - 0.001, train[0]
    found = first(train, valid)
    numbers = re.search(r"\((\S+), now (\S+)\) while training loss fell \((\S+), now ([^;]+); smoothed\)", found.sentence)
    assert found.kind == "overfitting" and numbers
    low, high, before, after = map(float, numbers.groups())
    assert low < high and before > after


def test_a_run_that_was_stopped_eight_epochs_after_its_best_shows_overfitting() -> None:
    train, valid = overfitting(30)
    stop = int(np.argmin(valid)) + 9
    assert first(train[:stop], valid[:stop]).kind == "overfitting"


@pytest.mark.parametrize("chance", [CHANCE, None])
def test_a_loss_of_zero_cannot_be_bettered(chance: float | None) -> None:
    assert first(np.zeros(10), np.zeros(10), chance).kind == "converged"
