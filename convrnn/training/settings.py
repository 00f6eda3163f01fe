"""Every knob of a training, with its default, its meaning and its check. Knows no net, no data and no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from convrnn.core.errors import SpecError
from convrnn.core.language import either, tr
from convrnn.core.spec import Record, register
from convrnn.modality.base import Augmentation

Count = Annotated[int, Field(ge=1, le=1_000_000_000)]  # more is a slip of the finger, which no training would live to show
Share = Annotated[float, Field(ge=0, lt=1)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

FREE = ("checkpoint_minutes",)
"""Settings that change nothing of what is learned or recorded, so that a resumed training may have others."""

_ACTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "decay": ("schedule", ("step", "exponential", "plateau")),
    "decay_epochs": ("schedule", ("step", "exponential", "plateau")),
    "floor": ("schedule", ("cosine", "one_cycle", "plateau")),
    "beta2": ("optimizer", ("adam", "adamw")),
}
"""Settings that act under some values of another one only: which, and under which."""


@register("training")
class Settings(Record):
    """How a net is trained. What belongs to the task (class weights, label smoothing, the error of a regression) stands there.

    Attributes:
        epochs: passes over the training part, at most.
        batch: rows in a batch.
        optimizer: `sgd` (with momentum), `adam` (Kingma & Ba 2015, arXiv 1412.6980), or `adamw` (Loshchilov & Hutter 2019, arXiv
            1711.05101: weight decay apart from the gradient).
        rate: the learning rate, at its highest.
        schedule: how the rate goes on after the warm-up. `constant`; `step`: times `decay` every `decay_epochs` epochs;
            `exponential`: the same, smoothly; `cosine`: half a cosine down to `floor` (Loshchilov & Hutter 2017, arXiv 1608.03983);
            `one_cycle`: up from rate / 25 over the first 30 % of the steps, then down to `floor` (Smith & Topin 2019, arXiv
            1708.07120); `plateau`: times `decay` after `decay_epochs` epochs in which the validation loss did not fall.
        decay: factor of `step`, `exponential` and `plateau`.
        decay_epochs: epochs between two of them.
        floor: the lowest rate of `cosine`, `one_cycle` and `plateau`, as a share of `rate`.
        warmup: steps over which the rate first rises linearly; `one_cycle` rises by itself.
        momentum: of SGD; for Adam and AdamW the decay of the first moment, beta 1.
        beta2: decay of the second moment of Adam and AdamW.
        nesterov: look ahead by the momentum (SGD only).
        weight_decay: pull towards zero, on matrices and kernels only: not on biases, scales and shifts of norms, peepholes and
            other vectors, nor on weights under `WeightNorm`. Part of the gradient for `sgd` and `adam`, apart from it for `adamw`.
        l1: weight of the sum of absolute values of the same parameters in what is minimised.
        clip: largest norm of the gradient over all parameters; a larger one is scaled down. None: never.
        patience: stop after so many epochs without a better validation part; None: never. Without a validation part never.
        monitor: what "better" means: the validation `loss`, or the task's first `metric` (accuracy, mean absolute error).
        keep: the weights to end with: those of the `best` epoch on the validation part, or of the `last` one.
        seed: of everything random in the training: order of the rows, dropout, augmentation. The initial weights are the caller's.
        precision: `float32`; `bf16` or `f16` (with loss scaling, CUDA only): matrix products in half precision, weights in float32;
            `auto`: float32 on a CPU, bf16 on a GPU that has it.
        augment: random changes of training rows, in this order.
        checkpoint_minutes: minutes between checkpoints within an epoch; there is one at the end of each anyway. None: only those.
        device: `auto` (the first GPU if there is one), `cpu`, `cuda`, `cuda:1`, ...
        log_every: steps between two records of loss, rate and gradient norm.

    Example:
        >>> Settings(epochs=5, rate=3e-3, schedule="constant")
        Settings(epochs=5, rate=0.003, schedule='constant')
    """

    family: ClassVar[str] = "settings"
    epochs: Count = 50
    batch: Count = 32
    optimizer: Literal["sgd", "adam", "adamw"] = "adam"
    rate: Positive = 1e-3
    schedule: Literal["constant", "step", "exponential", "cosine", "one_cycle", "plateau"] = "cosine"
    decay: Annotated[float, Field(gt=0, le=1)] = 0.3
    decay_epochs: Count = 5
    floor: Share = 0.0
    warmup: Annotated[int, Field(ge=0)] = 0
    momentum: Share = 0.9
    beta2: Share = 0.999
    nesterov: bool = False
    weight_decay: Amount = 0.0
    l1: Amount = 0.0
    clip: Positive | None = 1.0
    patience: Count | None = 10
    monitor: Literal["loss", "metric"] = "loss"
    keep: Literal["best", "last"] = "best"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    precision: Literal["auto", "float32", "bf16", "f16"] = "auto"
    augment: tuple[Augmentation, ...] = ()
    checkpoint_minutes: Positive | None = 5.0
    device: str = "auto"
    log_every: Count = 10

    def check(self) -> None:
        """Settings that contradict each other: none is ignored in silence."""
        if self.nesterov and (self.optimizer != "sgd" or not self.momentum):
            raise SpecError(
                "training.nesterov",
                tr("needs sgd with momentum, got {got} with {momentum}", got=self.optimizer, momentum=self.momentum),
                tr("leave it out"),
            )
        if self.warmup and self.schedule == "one_cycle":
            raise SpecError("training.warmup", tr("one_cycle rises by itself"), tr("leave warmup out, or choose another schedule"))
        self.refuse_idle(f.name for f in fields(self) if getattr(self, f.name) != f.default)
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise SpecError(
                "training.device", tr("expected auto, cpu, cuda or cuda:N, got {got!r}", got=self.device), tr("choose one of them")
            )

    def refuse_idle(self, given: Iterable[str]) -> None:
        """Raises `SpecError` for a setting that was given, be it its default, and that nothing reads under the others."""
        for name in given:
            other, values = _ACTS.get(name, ("", ()))
            if other and getattr(self, other) not in values:
                raise SpecError(
                    f"training.{name}",
                    tr("has no effect with {other} {value}", other=other, value=getattr(self, other)),
                    tr("leave it out, or choose {values}", values=either(values)),
                )

    def differences(self, other: Settings) -> dict[str, tuple[Any, Any]]:
        """Fields in which two trainings would learn or record different things, with both values; `FREE` ones do not count."""
        names = [f.name for f in fields(self) if f.name not in FREE]
        return {name: (getattr(self, name), getattr(other, name)) for name in names if getattr(self, name) != getattr(other, name)}
