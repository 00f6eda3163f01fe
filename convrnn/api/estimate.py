"""How long a training takes, about: said before a study, and behind the time that is left of one. Measures nothing."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from convrnn.api.prepare import Prepared, with_head
from convrnn.deploy.describe import multiply_adds
from convrnn.zoo import Value, get

SPEED = 1.6e10
"""Multiply-adds a second of one thread in training, of nets as small as those of a study, on a machine of 2020."""

STEP = 0.004
"""Seconds of a step beside its products, likewise."""

RUN = 0.3
"""Seconds of a training beside its steps, likewise: what is read, measured and written."""


def training_seconds(prepared: Prepared, solved: Mapping[str, Value]) -> float:
    """Products of forward and backward, the rest of each step, and what every training takes.

    Args:
        prepared: what is trained.
        solved: options of its model that a budget decided instead.
    """
    net = prepared.model.net
    if solved:
        body = get(prepared.model.name).spec(prepared.sizes, **{**prepared.choices.model, **solved})
        _, net = with_head(body, prepared.model.task, prepared.model.modality)
    rows = len(prepared.encoded["train"].targets)
    frames = max(1, int(median(prepared.encoded["train"].encoded.lengths.tolist())))
    products = 3 * rows * multiply_adds(net, frames)
    return RUN + prepared.settings.epochs * (products / SPEED + STEP * rows / prepared.settings.batch)
