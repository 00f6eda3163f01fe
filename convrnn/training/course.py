"""How far a training is: plain values, and what an epoch makes of them (best epoch, early stopping, plateau). Knows no net."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from convrnn.core.language import english, tr
from convrnn.core.terms import called
from convrnn.tasks.base import Task
from convrnn.training.optim import Plateau
from convrnn.training.settings import Settings


class Best(NamedTuple):
    """The best epoch so far, counted from 1, and what it reached on the validation part."""

    epoch: int
    value: float


@dataclass
class Course:
    """The plain values that change as a training goes on; a checkpoint holds them all.

    Attributes:
        epoch: epochs done.
        step: steps done in the one that goes on.
        best: the best epoch so far; None: there is none, or no validation part.
        waited: epochs since.
        plateau: memory of that schedule.
        seconds: spent by earlier runs of the same training.
        why: why it is over; empty: it is not.
    """

    epoch: int = 0
    step: int = 0
    best: Best | None = None
    waited: int = 0
    plateau: Plateau = field(default_factory=Plateau)
    seconds: float = 0.0
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, in English."""
        return english(asdict(self))

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Course:
        """The inverse of `to_json`."""
        best = Best(*stored["best"]) if stored["best"] else None
        return cls(**{**stored, "best": best, "plateau": Plateau(*stored["plateau"])})

    def close_epoch(self, record: dict[str, Any], settings: Settings, task: Task) -> bool:
        """Takes in the record of an epoch that is over.

        Args:
            record: its losses and metrics, as in the history.
            settings: patience, monitor, schedule.
            task: which way its metric is better.

        Returns:
            Whether it is the best epoch yet; `why` says whether the training is over.
        """
        self.epoch, self.step = self.epoch + 1, 0
        self.plateau = self.plateau.after(record.get("valid", record["train"])["loss"], settings)
        better = "valid" in record and self._judge(record["valid"], settings, task)
        if self.epoch == settings.epochs:
            self.why = tr("all {epochs} epochs are done", epochs=settings.epochs)
        return better

    def _judge(self, valid: dict[str, float], settings: Settings, task: Task) -> bool:
        name = task.monitor if settings.monitor == "metric" else "loss"
        rising = settings.monitor == "metric" and task.best == "max"
        value = valid[name]
        better = self.best is None or (value > self.best.value if rising else value < self.best.value)
        if better:
            self.best, self.waited = Best(self.epoch, value), 0
            return True
        self.waited += 1
        if settings.patience is not None and self.waited >= settings.patience:
            self.why = tr("stopped early: no better validation {name} in {epochs} epochs", name=called(name), epochs=self.waited)
        return False
