"""Schedules against arithmetic by hand and torch's own, optimizers against torch, and which parameters are pulled. Knows no loop."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Literal

import pytest
import torch
from torch import nn

from convrnn.core.errors import UsageError
from convrnn.core.seq import Ids
from convrnn.layers.combine import Serial
from convrnn.layers.conv import Conv
from convrnn.layers.embed import Embedding
from convrnn.layers.norm import BatchNorm
from convrnn.layers.recurrent import LSTM
from convrnn.layers.weight_norm import WeightNorm
from convrnn.training.optim import Plateau, clip, optimizer, pulled, rate, set_rate
from convrnn.training.settings import Settings

STEPS = 5


def rates(settings: Settings) -> list[float]:
    return [rate(settings, step, STEPS) for step in range(settings.epochs * STEPS)]


def by_torch(schedule: torch.optim.lr_scheduler.LRScheduler, count: int) -> list[float]:
    found = []
    for _ in range(count):
        found.append(schedule.get_last_lr()[0])
        schedule.optimizer.step()
        schedule.step()
    return found


def some_optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.1)


def test_constant_and_warm_up() -> None:
    assert rates(Settings(epochs=2, rate=0.1, schedule="constant", warmup=4)) == pytest.approx([0.025, 0.05, 0.075] + [0.1] * 7)


def test_step() -> None:
    expected = by_torch(torch.optim.lr_scheduler.StepLR(some_optimizer(), 2 * STEPS, 0.5), 6 * STEPS)
    assert rates(Settings(epochs=6, rate=0.1, schedule="step", decay=0.5, decay_epochs=2)) == pytest.approx(expected)


def test_exponential() -> None:
    expected = by_torch(torch.optim.lr_scheduler.ExponentialLR(some_optimizer(), 0.5 ** (1 / (2 * STEPS))), 6 * STEPS)
    assert rates(Settings(epochs=6, rate=0.1, schedule="exponential", decay=0.5, decay_epochs=2)) == pytest.approx(expected)


def test_cosine() -> None:
    expected = by_torch(torch.optim.lr_scheduler.CosineAnnealingLR(some_optimizer(), 6 * STEPS, 0.01), 6 * STEPS)
    assert rates(Settings(epochs=6, rate=0.1, schedule="cosine", floor=0.1)) == pytest.approx(expected)
    assert rates(Settings(epochs=6, rate=0.1, schedule="cosine", floor=0.1, warmup=10))[10] == pytest.approx(0.1)


def test_one_cycle() -> None:
    """Begins at a 25th, is highest after 30 % of the steps, ends near the floor, and has no jump."""
    found = rates(Settings(epochs=20, rate=0.1, schedule="one_cycle", floor=0.01))
    assert found[0] == pytest.approx(0.1 / 25)
    assert found.index(max(found)) == 30 and max(found) == pytest.approx(0.1)
    assert found[-1] == pytest.approx(0.001, rel=0.1)
    assert max(abs(a - b) for a, b in pairwise(found)) < 0.006


def test_plateau() -> None:
    """Two epochs without a lower loss, then half; never below the floor; other schedules forget."""
    settings, memory, factors = Settings(schedule="plateau", decay=0.5, decay_epochs=2, floor=0.2), Plateau(), []
    for loss in [1.0, 0.9, 0.9, 0.95, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8]:
        memory = memory.after(loss, settings)
        factors.append(memory.factor)
    assert factors == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2]
    assert Plateau().after(1.0, Settings()) == Plateau()


def test_biases_and_norms_are_not_pulled() -> None:
    """Nor are peepholes, nor the length and the direction of a weight under WeightNorm."""
    net = Serial(Embedding(4), Conv(5), BatchNorm(), LSTM(3, peephole=True), WeightNorm(Conv(5))).build(Ids(7))
    chosen = {id(parameter) for parameter in pulled(net)}
    names = {name for name, parameter in net.named_parameters() if id(parameter) in chosen}
    assert {name.rpartition(".")[2] for name in names} == {"weight", "w_x", "w_h"} and len(names) == 4
    light = {name.rpartition(".")[2] for name, _ in net.named_parameters()} - {"weight", "w_x", "w_h"}
    assert light == {"bias", "scale", "shift", "b", "peep", "original0", "original1"}
    groups = optimizer(net, Settings(weight_decay=0.1)).param_groups
    assert [(group["weight_decay"], len(group["params"])) for group in groups] == [
        (0.1, len(names)),
        (0.0, len(list(net.parameters())) - len(names)),
    ]


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_optimizers_are_torchs(name: Literal["sgd", "adam", "adamw"]) -> None:
    """Ten steps with weight decay on the matrix only, against torch's plain loop over parameters."""
    settings = Settings(optimizer=name, rate=0.01, momentum=0.8, weight_decay=0.1)
    settings = replace(settings, nesterov=True) if name == "sgd" else replace(settings, beta2=0.99)
    one, other = nn.Linear(3, 2), nn.Linear(3, 2)
    other.load_state_dict(one.state_dict())
    groups = [{"params": [other.weight], "weight_decay": 0.1}, {"params": [other.bias], "weight_decay": 0.0}]
    plain = {
        "sgd": lambda: torch.optim.SGD(groups, 0.01, 0.8, nesterov=True, foreach=False),
        "adam": lambda: torch.optim.Adam(groups, 0.01, (0.8, 0.99), foreach=False),
        "adamw": lambda: torch.optim.AdamW(groups, 0.01, (0.8, 0.99), foreach=False),
    }[name]()
    ours = optimizer(one, settings)
    for step in range(10):
        x = torch.randn(4, 3, generator=torch.Generator().manual_seed(step))
        for net, chosen in ((one, ours), (other, plain)):
            set_rate(chosen, 0.01 / (step + 1))
            chosen.zero_grad()
            net(x).square().sum().backward()
            chosen.step()
    assert torch.allclose(one.weight, other.weight, rtol=1e-5, atol=1e-7) and torch.allclose(one.bias, other.bias, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("most", "expected"), [(None, 5.0), (10.0, 5.0), (1.0, 1.0)])
def test_clip(most: float | None, expected: float) -> None:
    """The norm over all parameters is 5; it is recorded before it is cut."""
    a, b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
    a.grad, b.grad = torch.tensor([3.0, 0.0]), torch.tensor([4.0])
    assert float(clip([a, b], most)) == pytest.approx(5.0)
    assert math.hypot(*a.grad.tolist(), *b.grad.tolist()) == pytest.approx(expected, rel=1e-5)


def test_nothing_to_train() -> None:
    with pytest.raises(UsageError, match="expected parameters to train, found none"):
        optimizer(Serial().build(3), Settings())
    frozen = nn.Linear(2, 2).requires_grad_(False)
    with pytest.raises(UsageError):
        optimizer(frozen, Settings())
