"""Labels or numbers, and parts that agree."""

from __future__ import annotations

import pytest

from convrnn.core.errors import DataError, UsageError
from convrnn.data.examples import Examples, Target, Task
from convrnn.data.targets import as_task, check_labels, label, labels_of, task_of


def made(targets: list[Target] | None, task: Task | None = None) -> Examples:
    rows = len(targets or [0])
    return Examples("text", ["x"] * rows, targets, [f"f.csv:{row}" for row in range(1, rows + 1)], target_name="t", task=task)


@pytest.mark.parametrize(
    ("targets", "task"),
    [
        (["a", "b"], "classify"),
        (["1", "2", "1"], "classify"),
        ([0, 1, 1, 0], "classify"),
        ([0.0, 1.0, 1.0], "classify"),
        (["1.5", "2"], "regress"),
        ([0.25, 1.0], "regress"),
        (list(range(100)), "regress"),
        ([row % 30 for row in range(900)], "classify"),
        (["1", "2", "x"], "classify"),
    ],
)
def test_task_of(targets: list[Target], task: Task) -> None:
    found, reason = task_of(made(targets))
    assert found == task and reason.startswith(task)


def test_what_the_format_declares_wins() -> None:
    assert task_of(made([1.0, 2.0, 1.0], "regress"))[0] == "regress"


def test_no_targets() -> None:
    with pytest.raises(DataError, match="--target"):
        task_of(made(None))


def test_as_task() -> None:
    assert as_task(made(["1.5", "2"]), "regress").targets == [1.5, 2.0]
    assert as_task(made([1.0, 2]), "classify").targets == ["1", "2"]
    assert as_task(made([1.0]), None).targets == [1.0]
    with pytest.raises(DataError, match=r"f\.csv:2:t: expected a number, got 'oops'"):
        as_task(made(["1.5", "oops"]), "regress")
    with pytest.raises(UsageError, match="classify or regress"):
        as_task(made(["a"]), "clasify")  # pyright: ignore[reportArgumentType]  # what a command line may hand on


def test_labels() -> None:
    assert [label(value) for value in (1, 1.0, "1", 1.5, "猫")] == ["1", "1", "1", "1.5", "猫"]
    assert labels_of(["10", "9", "1"]) == ("1", "9", "10")
    assert labels_of(["b", "10", "9"]) == ("10", "9", "b")


def test_check_labels() -> None:
    train = made(["a", "b"])
    check_labels(train)
    check_labels(train, made(["b"]))
    check_labels(train, made(None))
    with pytest.raises(DataError, match="at least two labels in 't', got 'a' in all 2 rows"):
        check_labels(made(["a", "a"]))
    with pytest.raises(DataError, match=r"f\.csv:2: label 'c' comes only in the valid part \(2 rows\)"):
        check_labels(train, made(["a", "c", "c"]), "valid")
