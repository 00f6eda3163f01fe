"""A number for each row. Learned on targets standardised by the training part; answers and metrics are in the target's own units.

Shape legend: N rows, one score each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from convrnn.core.errors import DataError, SpecError
from convrnn.core.language import tr
from convrnn.core.spec import register
from convrnn.tasks.base import Target, Task, require_rows, row_name

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@register("regress")
class Regress(Task):
    """Squared, absolute or Huber error of standardised targets.

    Encoded targets are (t - mean) / deviation, computed in float64, so that large offsets cost no precision and one learning rate serves
    every unit.

    Attributes:
        mean: of the training targets.
        deviation: their standard deviation.
        criterion: `mse`, `mae`, or `huber`: squared up to `delta` deviations, linear beyond (Huber 1964).
        delta: where Huber's error turns linear, in deviations of the target.

    Example:
        >>> task = Regress.fit([10.0, 20.0, 30.0])
        >>> task.mean, task.decode(torch.zeros(1, 1))
        (20.0, [{'value': 20.0}])
    """

    monitor: ClassVar[str] = "mae"
    best: ClassVar[Literal["max", "min"]] = "min"
    mean: Annotated[float, Field(allow_inf_nan=False)] = field(kw_only=False)
    deviation: Positive = field(kw_only=False)
    criterion: Literal["mse", "mae", "huber"] = "mse"
    delta: Positive = 1.0

    @classmethod
    def fit(cls, targets: Sequence[Target], *, criterion: Literal["mse", "mae", "huber"] = "mse", delta: float | None = None) -> Self:
        """Mean and standard deviation of the targets.

        Args:
            targets: of the training part.
            criterion: see the class.
            delta: see the class; of `huber` only.

        Raises:
            DataError: a target that is no finite number, no targets, or all of them equal.
            SpecError: an option that cannot be, or a `delta` that nothing reads.
        """
        if delta is not None and criterion in ("mse", "mae"):
            raise SpecError(
                "regress.delta",
                tr("has no effect with {other} {value}", other="criterion", value=criterion),
                tr("leave it out, or choose {values}", values="huber"),
            )
        numbers = _numbers(targets, ())
        if len(set(numbers.tolist())) < 2:
            only = repr(float(numbers[0])) if len(numbers) else "nothing"
            raise DataError(
                "target",
                tr("expected at least two different numbers, got {got} in all {count} rows", got=only, count=len(numbers)),
                tr("add rows with another value, or name another --target"),
            )
        return cls(float(numbers.mean()), float(numbers.std()), criterion=criterion, delta=cls.delta if delta is None else delta)

    @property
    def width(self) -> int:
        """See `Task.width`."""
        return 1

    def encode(self, targets: Sequence[Target], names: Sequence[str] = ()) -> Tensor:
        """float32 `[N]`, standardised; see `Task.encode`."""
        return torch.from_numpy(((_numbers(targets, names) - self.mean) / self.deviation).astype(np.float32))

    def soft(self, targets: Tensor) -> Tensor:
        """float32 `[N, 1]`; see `Task.soft`."""
        return targets[:, None]

    def loss(self, y_NK: Tensor, targets: Tensor) -> Tensor:
        """The mean error over rows, in deviations of the target; see `Task.loss`."""
        y, right = (y_NK.float() if y_NK.dtype in (torch.float16, torch.bfloat16) else y_NK)[:, 0], _flat(targets)
        right = right.to(y.dtype)
        match self.criterion:
            case "mse":
                return F.mse_loss(y, right)
            case "mae":
                return F.l1_loss(y, right)
            case "huber":
                return F.huber_loss(y, right, delta=self.delta)

    def score(self, y_NK: Tensor, targets: Tensor) -> Tensor:
        """Mean absolute error in the target's units."""
        return (y_NK[:, 0].double() - _flat(targets).double()).abs().mean() * self.deviation

    def decode(self, y_NK: Tensor) -> list[dict[str, Any]]:
        """`{"value": float}` for each row."""
        values = y_NK.detach().cpu().double()[:, 0] * self.deviation + self.mean
        return [{"value": value} for value in values.tolist()]

    def metrics(self, y_NK: Tensor, targets: Tensor) -> dict[str, float]:
        """`loss`, `mae`, `rmse`, and `r2` where there are two rows or more; see `Task.metrics`."""
        require_rows(y_NK, targets)
        scores, right = y_NK.detach().cpu().double(), targets.cpu().double()
        t = right.numpy()
        off = scores[:, 0].numpy() - t
        found = {
            "loss": float(self.loss(scores, right)),
            "mae": float(np.abs(off).mean()) * self.deviation,
            "rmse": float(np.sqrt((off**2).mean())) * self.deviation,
        }
        if len(t) > 1:
            found["r2"] = _r2(off, t)
        return found


def _r2(off: np.ndarray, t: np.ndarray) -> float:
    """Of errors and targets, `[N]`; of equal targets, as in scikit-learn, 1 if all are met and 0 if not."""
    if np.ptp(t) == 0:  # distances from the mean need not be 0: it is rounded
        return float(not off.any())
    return 1 - float((off**2).sum()) / float(((t - t.mean()) ** 2).sum())


def _flat(targets: Tensor) -> Tensor:
    return targets if targets.dim() == 1 else targets[:, 0]


def _numbers(targets: Sequence[Target], names: Sequence[str]) -> np.ndarray:
    """float64 `[N]`; raises `DataError` for the first target that is no finite number."""
    numbers = np.empty(len(targets))
    for row, target in enumerate(targets):
        try:
            numbers[row] = float(target)
        except ValueError:
            numbers[row] = math.nan
        if not math.isfinite(numbers[row]):
            raise DataError(
                row_name(names, row),
                tr("expected a number as target, got {got!r}", got=target),
                tr("correct the cell, or use --task classify"),
            )
    return numbers
