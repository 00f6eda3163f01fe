"""The loop: it learns, repeats itself bit for bit, stops early, keeps the best, records, and says what is wrong. Knows no resuming."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from convrnn.core.errors import DataError, Diverged, SpecError, UsageError
from convrnn.data.batch import Encoded
from convrnn.modality import Mixup
from convrnn.training.feeding import Part, outputs
from convrnn.training.hooks import Plan
from convrnn.training.settings import Settings

Change = Callable[..., Settings]


def weights(net: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", ["series", "text"])
def test_it_learns(name: str, made: ModuleType, change: Change) -> None:
    one = made.MADE[name](rows=120)
    fitted = made.run(one._replace(settings=change(one.settings, epochs=12)))
    epochs = [record for record in fitted.history if "train" in record]
    assert epochs[-1]["train"]["loss"] < 0.8 * epochs[0]["train"]["loss"]
    assert min(epoch["valid"]["loss"] for epoch in epochs) < 0.8 * epochs[0]["valid"]["loss"]


@pytest.mark.parametrize("name", ["series", "text"])
def test_the_same_seed_gives_the_same_bits(name: str, made: ModuleType, change: Change) -> None:
    """Whatever torch's random state was before, and it is as it was afterwards; another seed gives another net."""
    found = []
    for noise, seed in ((1, 0), (2, 0), (2, 1)):
        one = made.MADE[name]()
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        fitted = made.run(one._replace(settings=change(one.settings, seed=seed)))
        assert torch.equal(torch.get_rng_state(), before)
        found.append((fitted.history, weights(one.net)))
    assert found[0][0] == found[1][0] and same(found[0][1], found[1][1])
    assert found[0][0] != found[2][0] and not same(found[0][1], found[2][1])


def test_a_folder_changes_nothing(made: ModuleType, tmp_path: Path) -> None:
    one, other = made.series(), made.series()
    assert made.run(one).history == made.run(other, tmp_path).history
    assert same(weights(one.net), weights(other.net))


def test_history(made: ModuleType, tmp_path: Path) -> None:
    """Steps are counted from 1 over the whole training, every third is recorded, and no clock time is."""
    one = made.series()
    fitted = made.run(one, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert lines == fitted.history
    steps, epochs = [r for r in lines if "train" not in r], [r for r in lines if "train" in r]
    assert [r["step"] for r in steps] == list(range(3, 49, 3))
    assert [r["epoch"] for r in steps] == [math.ceil(r["step"] / 8) for r in steps]
    assert {tuple(r) for r in steps} == {("step", "epoch", "loss", "rate", "norm")}
    assert [(r["epoch"], r["step"]) for r in epochs] == [(e, 8 * e) for e in range(1, 7)]
    assert {tuple(r) for r in epochs} == {("epoch", "step", "train", "valid", "rate")}
    assert list(epochs[0]["train"]) == ["loss", "accuracy"]
    assert all(r["norm"] > 0 for r in steps)


def test_training_metrics_are_means_over_rows(made: ModuleType, change: Change) -> None:
    """One batch an epoch of the smallest rate: the net hardly moves, so the running mean is that of a whole pass."""
    one = made.text()
    settings = change(one.settings, rate=1e-9, epochs=1, batch=7, augment=[])
    net = made.Serial(made.Embedding(5), made.LSTM(5))
    one = one._replace(net=made._built(net, one.task, made.Ids(30)), settings=settings)
    record = made.run(one).history[-1]["train"]
    whole = one.task.metrics(outputs(one.net, one.train.encoded, 9, "cpu"), one.train.targets)
    assert record["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    assert record["mae"] == pytest.approx(whole["mae"], rel=1e-5)


@pytest.mark.parametrize(("name", "monitor"), [("text", "loss"), ("text", "metric"), ("series", "loss"), ("series", "metric")])
@pytest.mark.parametrize("folder", [False, True])
def test_the_best_epoch_is_kept(name: str, monitor: str, folder: bool, made: ModuleType, change: Change, tmp_path: Path) -> None:
    """A metric may be better when it is larger (accuracy) or smaller (mean absolute error); of equal epochs the first is kept."""
    one = made.MADE[name]()
    rate = {"series": 0.4, "text": 0.5}[name]
    settings = change(one.settings, rate=rate, schedule="constant", decay_epochs=5, epochs=7, monitor=monitor, keep="best", patience=None)
    fitted = made.run(one._replace(settings=settings), tmp_path if folder else None)
    valid = [record["valid"] for record in fitted.history if "train" in record]
    key = "loss" if monitor == "loss" else one.task.monitor
    values = [-found[key] if key == "accuracy" else found[key] for found in valid]
    best = values.index(min(values))
    assert best < 6, "the test needs a training whose last epoch is not its best"
    assert fitted.best_epoch == best + 1
    assert one.task.metrics(outputs(one.net, one.valid.encoded, 8, "cpu"), one.valid.targets) == valid[best]
    assert not one.net.training


def test_the_last_epoch_is_kept_when_asked_for(made: ModuleType, change: Change) -> None:
    """Watched on wrong targets, it is the worse the more was learned: the best epoch is not the last."""
    one = made.text()
    wrong = one.valid._replace(targets=-one.valid.targets)
    fitted = made.run(one._replace(valid=wrong, settings=change(one.settings, keep="last", epochs=8, patience=None)))
    assert fitted.best_epoch is not None and fitted.best_epoch < 8
    found = one.task.metrics(outputs(one.net, wrong.encoded, 8, "cpu"), wrong.targets)
    assert found == fitted.history[-1]["valid"]


def test_early_stopping(made: ModuleType, change: Change) -> None:
    """With a rate that ruins the net at once, no epoch is better than the first few."""
    one = made.series()
    fitted = made.run(one._replace(settings=change(one.settings, epochs=60, rate=0.5, patience=2)))
    assert fitted.epochs < 60
    assert fitted.best_epoch is not None and fitted.epochs == fitted.best_epoch + 2
    assert fitted.why == "stopped early: no better validation loss in 2 epochs"


def test_without_a_validation_part(made: ModuleType, change: Change) -> None:
    one = made.series()
    told = Told()
    fitted = made.run(one._replace(valid=None, settings=change(one.settings, patience=1)), watch=told)
    assert (fitted.epochs, fitted.best_epoch, fitted.why) == (6, None, "all 6 epochs are done")
    assert not any("valid" in record for record in fitted.history)
    assert told.notes == ["no validation part: all epochs are made, the last weights are kept"]


class Told:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.steps: list[tuple[int, int]] = []
        self.records: list[Mapping[str, Any]] = []
        self.notes: list[str] = []
        self.closed = 0

    def start(self, plan: Plan) -> None:
        self.plans.append(plan)

    def step(self, epoch: int, step: int, loss: float, rate: float) -> None:
        self.steps.append((epoch, step))

    def epoch(self, record: Mapping[str, Any]) -> None:
        self.records.append(record)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def close(self) -> None:
        self.closed += 1


def test_a_watcher_is_told(made: ModuleType) -> None:
    told, one = Told(), made.series()
    fitted = made.run(one, watch=told)
    size = sum(parameter.numel() for parameter in one.net.parameters())
    assert told.plans == [Plan(6, 8, 60, 0, "accuracy", "cpu", "float32", size)]
    assert told.records == [record for record in fitted.history if "train" in record]
    assert told.steps[-1] == (6, 8) and told.closed == 1


def test_a_loss_that_is_not_finite(made: ModuleType, change: Change, tmp_path: Path) -> None:
    """Squares of 1e30 overflow: named with the step, and spoilt weights are in no checkpoint."""
    one = made.text()
    wild = change(one.settings, rate=1e30, clip=None, schedule="constant", decay_epochs=5, momentum=0.0, nesterov=False)
    one = one._replace(task=type(one.task)(0.0, 1.0), settings=wild)
    with pytest.raises(Diverged) as caught:
        made.run(one, tmp_path)
    pattern = (
        r"epoch 1, step \d: the loss is (inf|nan); train with a lower rate than 1e\+30 and with clip=1; the last checkpoint is from before"
    )
    assert re.fullmatch(pattern, str(caught.value))
    assert not (tmp_path / "checkpoints" / "last.json").exists()


def test_scores_that_are_not_finite(made: ModuleType) -> None:
    one = made.text()
    with torch.no_grad():
        next(one.net.parameters())[5] = math.nan
    with pytest.raises(Diverged, match=r"^row \d+: the model's scores are not finite"):
        outputs(one.net, one.valid.encoded, 4, "cpu")


def test_outputs_are_in_file_order_at_any_batch(made: ModuleType) -> None:
    one = made.text()
    one.net.train()
    alone = torch.cat([outputs(one.net, Encoded([one.train.encoded[row]]), 1, "cpu") for row in range(60)])
    for batch in (1, 7, 60, 1000):
        found = outputs(one.net, one.train.encoded, batch, "cpu")
        assert found.shape == (60, 1) and not found.is_inference()
        assert torch.allclose(found, alone, rtol=0, atol=1e-6 * float(alone.abs().max()))
    assert one.net.training, "the mode is left as it was"


def test_parts_without_rows(made: ModuleType) -> None:
    one = made.text()
    empty = Part(Encoded([]), torch.zeros(0))
    with pytest.raises(DataError, match=r"^training part: expected at least one row, got none"):
        made.run(one._replace(train=empty))
    with pytest.raises(DataError, match=r"^validation part: expected at least one row"):
        made.run(one._replace(valid=empty))
    with pytest.raises(DataError, match=r"^training part: expected 60 targets, one a row, got 59"):
        made.run(one._replace(train=Part(one.train.encoded, one.train.targets[:-1])))
    with pytest.raises(DataError, match="expected at least one, got none"):
        outputs(one.net, Encoded([]), 4, "cpu")


def test_one_row(made: ModuleType) -> None:
    """A batch of one row is trained too."""
    one = made.text(rows=1000)
    part = Part(Encoded([one.train.encoded[0]]), one.train.targets[:1])
    assert made.run(one._replace(train=part)).epochs == 6


def test_symbols_cannot_be_mixed(made: ModuleType, change: Change) -> None:
    one = made.text()
    with pytest.raises(SpecError, match=r"^training.augment: mixup mixes rows of numbers, these are of symbols; leave mixup out"):
        made.run(one._replace(settings=change(one.settings, augment=[Mixup().to_dict()])))


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what a machine without a GPU says")
def test_no_gpu(made: ModuleType, change: Change) -> None:
    one = made.series()
    with pytest.raises(UsageError, match=r"^training.device: 'cuda:3' is not there: torch sees 0 GPU\(s\); use cpu or auto"):
        made.run(one._replace(settings=change(one.settings, device="cuda:3")))
    with pytest.raises(UsageError, match=r"^training.precision: f16 needs a GPU"):
        made.run(one._replace(settings=change(one.settings, precision="f16")))


def test_bf16_trains(made: ModuleType, change: Change) -> None:
    """Weights stay float32; the losses are near those of float32, and not the same."""
    losses = []
    for precision in ("float32", "bf16"):
        one = made.series()
        fitted = made.run(one._replace(settings=change(one.settings, precision=precision)))
        assert {parameter.dtype for parameter in one.net.parameters()} == {torch.float32}
        assert fitted.precision == precision
        losses.append([record["loss"] for record in fitted.history if "norm" in record])
    assert losses[0] != losses[1]
    assert losses[1][:3] == pytest.approx(losses[0][:3], rel=0.05)


def test_l1_drives_weights_towards_zero(made: ModuleType, change: Change) -> None:
    sums = []
    for l1 in (0.0, 0.3):
        one = made.series()
        made.run(one._replace(settings=change(one.settings, l1=l1, keep="last", weight_decay=0.0)))
        sums.append(sum(float(parameter.detach().abs().sum()) for parameter in one.net.parameters() if parameter.dim() > 1))
    assert sums[1] < 0.5 * sums[0]
