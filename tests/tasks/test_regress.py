"""Regress: standardised targets, the three errors, answers and metrics in the target's own units. Knows no training."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from convrnn.core.errors import DataError, SpecError
from convrnn.tasks import Regress, Task

TARGETS = ["1e9", "1000000010", 1000000020.0, 1000000050]


def test_stored_form_comes_back() -> None:
    task = Regress.fit(TARGETS, criterion="huber", delta=0.5)
    assert Task.from_json(task.to_json()) == task
    assert Task.from_yaml(task.to_yaml()) == task


def test_large_offsets_cost_no_precision() -> None:
    """In float32 these targets differ by less than its spacing at 1e9, which is 64."""
    task = Regress.fit(TARGETS)
    assert task.mean == 1000000020.0
    assert task.deviation == pytest.approx(np.std([0, 10, 20, 50]))
    encoded = task.encode(TARGETS)
    assert encoded.dtype == torch.float32
    values = [row["value"] for row in task.decode(encoded[:, None])]
    assert values == pytest.approx([1e9, 1e9 + 10, 1e9 + 20, 1e9 + 50], abs=1e-4)


@pytest.mark.parametrize("bad", ["", "abc", "nan", "inf", float("nan")])
def test_a_target_that_is_no_number(bad: str | float) -> None:
    task = Regress.fit([1, 2])
    with pytest.raises(DataError, match=r"^b\.csv:3: expected a number as target, got .*; correct the cell, or use --task classify$"):
        task.encode([1, bad], ["b.csv:2", "b.csv:3"])
    with pytest.raises(DataError, match=r"^row 2: "):
        Regress.fit([1, bad])


@pytest.mark.parametrize("targets", [[], [3.0], [2, 2.0, "2"]])
def test_one_value_is_not_enough(targets: list[float]) -> None:
    with pytest.raises(DataError, match="expected at least two different numbers, got"):
        Regress.fit(targets)


def test_wrong_options() -> None:
    with pytest.raises(SpecError, match=r"regress.criterion: expected 'mse', 'mae' or 'huber', got 'l2'"):
        Regress.fit([1, 2], criterion="l2")  # pyright: ignore[reportArgumentType]
    with pytest.raises(SpecError, match=r"regress.delta: expected a value greater than 0, got 0.0"):
        Regress.fit([1, 2], criterion="huber", delta=0.0)


@pytest.mark.parametrize("delta", [0.5, 1.0])
def test_a_delta_that_nothing_reads_is_refused_be_it_the_default(delta: float) -> None:
    with pytest.raises(SpecError, match=r"^regress.delta: has no effect with criterion mae; leave it out, or choose huber$"):
        Regress.fit([1, 2], criterion="mae", delta=delta)
    # ... but a model that was stored with one comes back: it means the same as ever.
    assert Task.from_dict({"task": "regress", "mean": 0.0, "deviation": 1.0, "criterion": "mse", "delta": 0.5}).width == 1


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [("mse", (0.25 + 9.0) / 2), ("mae", (0.5 + 3.0) / 2), ("huber", (0.125 + 2.0 * (3.0 - 1.0)) / 2)],
)
def test_loss_by_hand(criterion: Literal["mse", "mae", "huber"], expected: float) -> None:
    """Errors of 0.5 and 3 deviations; Huber with delta 2: e^2 / 2 up to 2, 2 (|e| - 1) beyond."""
    task = Regress(10.0, 4.0, criterion=criterion, delta=2.0)
    targets = task.encode([10.0, 14.0])
    y = torch.tensor([[0.5], [4.0]])
    assert float(task.loss(y, targets)) == pytest.approx(expected)
    assert float(task.loss(y, task.soft(targets))) == pytest.approx(expected)
    assert float(task.loss(y.bfloat16(), targets)) == pytest.approx(expected)


def test_metrics_are_in_the_units_of_the_target() -> None:
    task = Regress.fit([0.0, 10.0, 20.0, 30.0])
    right, given = np.array([0.0, 10.0, 20.0, 30.0]), np.array([2.0, 10.0, 14.0, 30.0])
    y = torch.from_numpy((given - task.mean) / task.deviation).float()[:, None]
    found = task.metrics(y, task.encode(right.tolist()))
    assert list(found) == ["loss", "mae", "rmse", "r2"]
    assert found["mae"] == pytest.approx(2.0, rel=1e-6)
    assert found["rmse"] == pytest.approx(10.0**0.5, rel=1e-6)
    assert found["r2"] == pytest.approx(1 - 40 / 500, rel=1e-6)
    assert float(task.score(y, task.encode(right.tolist()))) == pytest.approx(2.0, rel=1e-6)
    assert "r2" not in task.metrics(y[:1], task.encode([0.0]))


@pytest.mark.parametrize("met", [True, False])
def test_r2_of_equal_targets_is_that_of_scikit_learn(met: bool) -> None:
    y, right = torch.tensor([[0.25], [0.25 if met else 0.5]]), torch.full((2,), 0.25)
    assert Regress(0.0, 1.0).metrics(y, right)["r2"] == sk.r2_score(right.numpy(), y[:, 0].numpy())


def test_rounding_of_the_mean_is_no_spread() -> None:
    """0.1 + 0.1 + 0.1 over 3 is not 0.1 in float64."""
    y, right = torch.tensor([[0.1], [0.2], [0.3]]), torch.full((3,), 0.1, dtype=torch.float64)
    assert Regress(0.0, 1.0).metrics(y, right)["r2"] == 0.0
