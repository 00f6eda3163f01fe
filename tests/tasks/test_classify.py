"""Classify: labels, weights, smoothing, decoding and metrics, against arithmetic by hand and scikit-learn. Knows no training."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from sklearn import metrics as sk

from convrnn.core.errors import DataError, SpecError
from convrnn.tasks import Classify, Regress, Task


def test_labels_are_ordered_by_number_or_by_text() -> None:
    assert Classify.fit(["10", "9", 2.0, 2]).labels == ("2", "9", "10")
    assert Classify.fit(["十", "二", "b", "10"]).labels == ("10", "b", "二", "十")


def test_stored_form_comes_back() -> None:
    task = Classify.fit(["a", "b", "b"], class_weights="balanced", label_smoothing=0.1)
    assert Task.from_json(task.to_json()) == task
    assert Task.from_yaml(task.to_yaml()) == task


def test_balanced_weights() -> None:
    assert Classify.fit(["a", "b", "b", "b"], class_weights="balanced").weights == (2.0, 4 / 6)


@pytest.mark.parametrize("targets", [[], ["a", "a"], [1, 1.0, "1"]])
def test_one_label_is_not_enough(targets: list[str]) -> None:
    with pytest.raises(DataError, match=r"^target: expected at least two labels, got .* in all \d rows; add rows"):
        Classify.fit(targets)


def test_wrong_options() -> None:
    with pytest.raises(SpecError, match=r"classify.class_weights: expected 'balanced' or nothing, got 'auto'"):
        Classify.fit(["a", "b"], class_weights="auto")  # pyright: ignore[reportArgumentType]
    with pytest.raises(SpecError, match=r"classify.label_smoothing"):
        Classify.fit(["a", "b"], label_smoothing=1.0)
    with pytest.raises(SpecError, match="expected two different labels or more"):
        Classify(("a", "a", "b"))
    with pytest.raises(SpecError, match="expected 2 weights, one a label, got 1"):
        Classify(("a", "b"), weights=(1.0,))


def test_unknown_label_names_its_row_and_the_known_ones() -> None:
    task = Classify.fit(["猫", "狗"])
    assert task.encode(["狗", "猫"]).tolist() == [0, 1]
    with pytest.raises(DataError) as caught:
        task.encode(["猫", "鸟", "鸟"], ["a.csv:2", "a.csv:3", "a.csv:4"])
    assert str(caught.value) == "a.csv:3: label '鸟' (2 rows) never comes in training; known: 狗, 猫; correct it, or train with rows of it"
    with pytest.raises(DataError, match=r"^row 2: "):
        task.encode(["猫", "鸟"])


def test_loss_by_hand() -> None:
    """Two rows, weights 2 and 1, smoothing 0.2: the mean by weight of -sum q log p, weights on each label's share."""
    task = Classify(("a", "b"), weights=(2.0, 1.0), label_smoothing=0.2)
    y = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    logs = [[v - math.log(math.exp(r[0]) + math.exp(r[1])) for v in r] for r in y.tolist()]
    row_a = -(0.9 * 2 * logs[0][0] + 0.1 * 1 * logs[0][1])
    row_b = -(0.1 * 2 * logs[1][0] + 0.9 * 1 * logs[1][1])
    assert float(task.loss(y, torch.tensor([0, 1]))) == pytest.approx((row_a + row_b) / 3, rel=1e-12)


@pytest.mark.parametrize("weights", [None, (0.5, 1.0, 3.0)])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_soft_targets_equal_hard_ones(weights: tuple[float, ...] | None, smoothing: float) -> None:
    task = Classify(("a", "b", "c"), weights=weights, label_smoothing=smoothing)
    y, targets = torch.randn(7, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 2, 1, 0, 2])
    assert torch.allclose(task.loss(y, targets), task.loss(y, task.soft(targets)), rtol=1e-6)
    assert float(task.score(y, targets)) == float(task.score(y, task.soft(targets)))


def test_half_precision_scores_are_computed_in_float32() -> None:
    y = torch.tensor([[1.0, 0.0]], dtype=torch.bfloat16)
    assert Classify(("a", "b")).loss(y, torch.tensor([0])).dtype == torch.float32


def test_decode() -> None:
    [row] = Classify(("甲", "乙")).decode(torch.tensor([[0.0, math.log(3.0)]]))
    assert row["label"] == "乙"
    assert row["probability"] == pytest.approx(0.75)
    assert row["probabilities"] == pytest.approx({"甲": 0.25, "乙": 0.75})


@pytest.mark.parametrize("rows", [1, 2, 60])
@pytest.mark.parametrize("labels", [2, 12])
def test_metrics_are_those_of_scikit_learn(rows: int, labels: int) -> None:
    """Also where a label is answered that never is a target, of which scikit-learn warns, and where scores are equal."""
    draw = torch.Generator().manual_seed(rows)
    task = Classify(tuple(map(str, range(labels))))
    y, targets = torch.randint(0, 6, (rows, labels), generator=draw).double(), torch.randint(0, labels * 3 // 4, (rows,), generator=draw)
    found, right, given = task.metrics(y, targets), targets.numpy(), y.argmax(1).numpy()
    expected = {
        "loss": float(torch.nn.functional.cross_entropy(y, targets)),
        "accuracy": float(task.score(y, targets)),
        "balanced_accuracy": sk.recall_score(right, given, labels=sorted(set(right.tolist())), average="macro", zero_division=0.0),  # pyright: ignore
        "macro_f1": sk.f1_score(right, given, average="macro", zero_division=0.0),  # pyright: ignore
    }
    if labels > 10:
        expected["top5"] = sk.top_k_accuracy_score(right, y.numpy(), k=5, labels=range(labels))
    assert list(found) == list(expected) and found == pytest.approx(expected, rel=1e-14)
    assert found["accuracy"] == sk.accuracy_score(right, given)


def test_metrics_need_no_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its import costs 1.6 s of a processor, as much as that of torch, in every process that trains or evaluates."""
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert Classify(("a", "b")).metrics(torch.eye(2), torch.tensor([0, 1]))["macro_f1"] == 1
    assert Regress(0.0, 1.0).metrics(torch.ones(2, 1), torch.ones(2))["mae"] == 0


def test_metrics_of_nothing() -> None:
    with pytest.raises(DataError, match="expected at least one row"):
        Classify(("a", "b")).metrics(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))
