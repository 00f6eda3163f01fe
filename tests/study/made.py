"""Made studies: scores drawn from a model of seeds and test rows, as arrays and as the folder that `convrnn compare` leaves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convrnn.study.scores import Field


def right(
    random: np.random.Generator, gains: Sequence[float], *, seeds: int, rows: int, run: float = 0.3, kind: float = 0.0, base: float = 1.5
) -> np.ndarray:
    """Right and wrong answers `[models, seeds, rows]` of models on one set.

    A row has a difficulty; a training is better or worse as a whole (`run`) and by chance on each row; models may have rows that
    suit them (`kind`), which is no difference between models but one between test parts. `gains` are real differences, in logits.
    """
    models = len(gains)
    logit = base + 2.0 * random.standard_normal(rows)
    logit = logit + kind * random.standard_normal((models, 1, rows)) + run * random.standard_normal((models, seeds, 1))
    logit = logit + random.standard_normal((models, seeds, rows)) + np.array(gains)[:, None, None]
    return (logit > 0).astype(np.float64)


def field(
    random: np.random.Generator, gains: Sequence[float], sets: int, *, seeds: int, rows: int, run: float = 0.3, kind: float = 0.0
) -> Field:
    """A study of accuracies over several sets, each of its own difficulty; gains vary from set to set by half their size."""
    names, arms = tuple(f"set-{number}" for number in range(sets)), tuple(f"model-{number}" for number in range(len(gains)))
    scores = {}
    for name in names:
        own = [gain * (1 + 0.5 * random.standard_normal()) for gain in gains]
        each = right(random, own, seeds=seeds, rows=rows, run=run, kind=kind, base=1.5 + 0.5 * random.standard_normal())
        scores |= {(name, arm): each[number] for number, arm in enumerate(arms)}
    return Field("accuracy", True, names, arms, scores, frozenset(names))


def write_lines(path: Path, records: Sequence[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in records), encoding="utf-8")
