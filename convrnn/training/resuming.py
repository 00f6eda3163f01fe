"""Whether a checkpoint belongs to the training that is resumed, said in a line that names what differs. Knows no loop."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from convrnn.core.errors import DataError
from convrnn.core.language import tr
from convrnn.core.terms import called
from convrnn.training.settings import Settings

REMEDY = tr("resume with what it began with, or start anew in another folder")


def require_same(stored: dict[str, Any], given: dict[str, Any]) -> None:
    """Compares the facts of a checkpoint with those of the training that is to go on.

    Raises:
        DataError: other settings (by name), another task, other data, another kind of device or precision.
    """
    began, now = Settings.from_dict(stored["settings"]), Settings.from_dict(given["settings"])
    for name, (before, after) in began.differences(now).items():
        raise DataError(f"training.{name}", tr("the training began with {before!r}, got {got!r}", before=before, got=after), REMEDY)
    for name in ("device", "precision"):
        if stored[name] != given[name]:
            raise DataError(name, tr("the training began with {stored}, got {got}", stored=stored[name], got=given[name]), REMEDY)
    for part, name in (("train", "training"), ("valid", "validation")):
        if stored["data"][part] != given["data"][part]:
            raise DataError(tr("{part} part", part=called(name)), tr("is not the one that the training began with"), REMEDY)
    if stored["task"] != given["task"]:
        raise DataError("task", tr("the training began with {stored}, got {got}", stored=stored["task"], got=given["task"]), REMEDY)


def restore_net(net: nn.Module, weights: dict[str, Tensor]) -> None:
    """Gives a net stored weights and buffers.

    Raises:
        DataError: they are another net's; names the first tensor that differs.
    """
    own = net.state_dict()
    for name in dict.fromkeys([*own, *weights]):
        if name not in weights or name not in own or own[name].shape != weights[name].shape:
            began = list(weights[name].shape) if name in weights else "nothing"
            now = list(own[name].shape) if name in own else "nothing"
            raise DataError(f"model.{name}", tr("the training began with {began}, got {got}", began=began, got=now), REMEDY)
    with torch.no_grad():
        net.load_state_dict(weights)
