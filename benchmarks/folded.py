"""One training on some rows of a part, measured on the rest of it: folds of a training part alone, by which `ucr.py` selects.

Folds of a whole set are `convrnn compare --folds`. Writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from convrnn.api.prepare import Request, prepare
from convrnn.data import Examples, Source
from convrnn.data.split import Halves
from convrnn.training.loop import fit


class Fold(NamedTuple):
    """What one fold gave.

    Attributes:
        metrics: of the task, on the rows held out.
        parameters: of the model.
        seconds: of the training.
    """

    metrics: Mapping[str, float]
    parameters: int
    seconds: float


def train_fold(name: str, examples: Examples, halves: Halves, model: str, options: Mapping[str, Any]) -> Fold:
    """Trains on the rows kept and measures on those held out; no row is held out to watch, so the last weights count.

    Args:
        name: of the data.
        examples: the whole part; scaling, vocabulary and labels are learned from the rows kept.
        halves: one of `convrnn.data.split.folds`.
        model: a name of the zoo.
        options: as `convrnn train --set` takes them.
    """
    source = Source(name, examples.subset(halves.kept), test=examples.subset(halves.held))
    prepared = prepare(source, Request(model, valid=0.0, options=options), lambda line: None)
    made, encoded = prepared.model, prepared.encoded
    fitted = fit(made.net, made.task, encoded["train"], None, prepared.settings)
    metrics = made.task.metrics(made.outputs(encoded["test"].encoded), encoded["test"].targets)
    return Fold(metrics, made.parameters, round(fitted.seconds, 1))
