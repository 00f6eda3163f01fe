"""Optimizers, the parameters they pull towards zero, and learning-rate schedules as pure functions of the step. Knows no data, no loop.

The plateau schedule alone has a memory, `Plateau`, which a checkpoint holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from convrnn.core.errors import UsageError
from convrnn.core.language import tr
from convrnn.core.weights import matrices
from convrnn.training.settings import Settings

RISE, FIRST = 0.3, 25.0
"""One cycle: the share of the steps in which the rate rises, and the divisor it begins with."""


class Clock(NamedTuple):
    """How far a training is, counted from the end of the warm-up.

    Attributes:
        epochs: passes done, with the fraction of the one that goes on.
        share: of all steps, 0 to below 1.
    """

    epochs: float
    share: float


def _falling(share: float, floor: float) -> float:
    """Half a cosine from 1 at share 0 to `floor` at share 1."""
    return floor + (1 - floor) * (1 + math.cos(math.pi * share)) / 2


def _one_cycle(at: Clock, settings: Settings) -> float:
    if at.share < RISE:
        return _falling(1 - at.share / RISE, 1 / FIRST)
    return _falling((at.share - RISE) / (1 - RISE), settings.floor)


_SCHEDULES: dict[str, Callable[[Clock, Settings], float]] = {
    "constant": lambda at, settings: 1.0,
    "step": lambda at, settings: settings.decay ** math.floor(at.epochs / settings.decay_epochs),
    "exponential": lambda at, settings: settings.decay ** (at.epochs / settings.decay_epochs),
    "cosine": lambda at, settings: _falling(at.share, settings.floor),
    "one_cycle": _one_cycle,
    "plateau": lambda at, settings: 1.0,
}


def rate(settings: Settings, step: int, steps_per_epoch: int) -> float:
    """The learning rate of a step, counted from 0 over the whole training: a pure function. The plateau's factor comes on top."""
    after = max(0, step - settings.warmup)
    total = max(1, settings.epochs * steps_per_epoch - settings.warmup)
    warm = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
    return settings.rate * warm * _SCHEDULES[settings.schedule](Clock(after / steps_per_epoch, after / total), settings)


class Plateau(NamedTuple):
    """The memory of the plateau schedule: nothing of it is hidden, so it can be stored.

    Attributes:
        lowest: the lowest loss so far; None: no epoch is over yet.
        waited: epochs since.
        factor: what the rate is multiplied by.
    """

    lowest: float | None = None
    waited: int = 0
    factor: float = 1.0

    def after(self, loss: float, settings: Settings) -> Plateau:
        """The memory after an epoch with this validation loss; other schedules forget."""
        if settings.schedule != "plateau":
            return self
        if self.lowest is None or loss < self.lowest:
            return Plateau(loss, 0, self.factor)
        if self.waited + 1 < settings.decay_epochs:
            return self._replace(waited=self.waited + 1)
        return Plateau(self.lowest, 0, max(settings.floor, self.factor * settings.decay))


def pulled(net: nn.Module) -> list[Tensor]:
    """The parameters that weight decay and L1 pull towards zero: matrices, kernels and embeddings, no biases, scales, shifts or peepholes.

    Nor weights under `WeightNorm`: their lengths are scales, and the size of their directions changes nothing.
    """
    found = dict.fromkeys(module.get_parameter(name) for _, module, name in matrices(net))
    return [parameter for parameter in found if parameter.requires_grad]


def optimizer(net: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """The optimizer of the trainable parameters, in two groups: with weight decay and without.

    `fused` does a step over all parameters in one call; on a CPU too it costs a fraction of the loop over parameters in Python.

    Raises:
        UsageError: nothing can be trained.
    """
    heavy = pulled(net)
    chosen = {id(parameter) for parameter in heavy}
    light = [parameter for parameter in net.parameters() if parameter.requires_grad and id(parameter) not in chosen]
    if not heavy and not light:
        raise UsageError(
            "model", tr("expected parameters to train, found none"), tr("add a layer with weights, or let some require gradients")
        )
    groups = [{"params": heavy, "weight_decay": settings.weight_decay}, {"params": light, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    match settings.optimizer:
        case "sgd":
            return torch.optim.SGD(groups, settings.rate, settings.momentum, nesterov=settings.nesterov, fused=True)
        case "adam":
            return torch.optim.Adam(groups, settings.rate, (settings.momentum, settings.beta2), fused=True)
        case "adamw":
            return torch.optim.AdamW(groups, settings.rate, (settings.momentum, settings.beta2), fused=True)


def set_rate(chosen: torch.optim.Optimizer, value: float) -> None:
    """Gives all parameters this learning rate."""
    for group in chosen.param_groups:
        group["lr"] = value


def clip(parameters: list[Tensor], most: float | None) -> Tensor:
    """The norm of the whole gradient as a scalar tensor, after which the gradient is scaled so that its norm is at most `most`."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = nn.utils.get_total_norm(gradients, foreach=True)
    if most is not None:
        nn.utils.clip_grads_with_norm_(parameters, most, norm, foreach=True)
    return norm
