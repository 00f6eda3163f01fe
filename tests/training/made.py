"""Small trainings that are made, not read: a series with dropout, batch norm and augmentation, and ragged texts. No test stands here.

Run as a program it is a server that forks one training for each line on its standard input, `NAME FOLDER resume|new [MINUTES]`, and answers
`PID`, then, once that process is gone, its exit status: a test that kills trainings pays for the imports once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from convrnn.core.seq import Ids
from convrnn.data.batch import Encoded
from convrnn.layers.base import Layer
from convrnn.layers.combine import Serial
from convrnn.layers.conv import Conv
from convrnn.layers.dropout import Dropout
from convrnn.layers.embed import Embedding
from convrnn.layers.framewise import Activation
from convrnn.layers.norm import BatchNorm
from convrnn.layers.recurrent import GRU, LSTM
from convrnn.modality import Jitter, Mixup, TimeWarp, WordDropout
from convrnn.tasks import Classify, Regress, Task
from convrnn.training.feeding import Part
from convrnn.training.hooks import Watcher
from convrnn.training.loop import Fitted, fit
from convrnn.training.settings import Settings


class Made(NamedTuple):
    """What `fit` takes, the net with the initial weights of seed 0."""

    net: Layer
    task: Task
    train: Part
    valid: Part
    settings: Settings


def series(rows: int = 60, seed: int = 0) -> Made:
    """Waves of two frequencies: one of them, or the other."""
    draw = np.random.default_rng(seed)

    def part(count: int, task: Classify) -> Part:
        labels = draw.integers(0, 2, count)
        waves = np.sin(np.arange(20) * (0.4 + 0.5 * labels[:, None])) + draw.normal(0, 0.5, (count, 20))
        return Part(Encoded(waves[..., None].astype(np.float32)), task.encode(labels.tolist()))

    task = Classify.fit([0, 1], label_smoothing=0.05)
    body = Serial(Conv(6), BatchNorm(), Activation("relu"), Dropout(0.3), GRU(6))
    settings = Settings(
        epochs=6,
        batch=8,
        rate=0.02,
        optimizer="adamw",
        weight_decay=0.01,
        l1=1e-4,
        augment=(Jitter(0.1), TimeWarp(), Mixup(0.3)),
        log_every=3,
    )
    return Made(_built(body, task, (1,)), task, part(rows, task), part(20, task), settings)


def text(rows: int = 60, seed: int = 0) -> Made:
    """Texts of 1 to 14 symbols; the target is the share of even ones."""
    draw = np.random.default_rng(seed)

    def ids(count: int) -> list[np.ndarray]:
        return [draw.integers(2, 30, draw.integers(1, 15)) for _ in range(count)]

    def part(texts: list[np.ndarray], task: Regress) -> Part:
        return Part(Encoded(texts), task.encode([float((row % 2 == 0).mean()) for row in texts]))

    train, valid = ids(rows), ids(20)
    task = Regress.fit([float((row % 2 == 0).mean()) for row in train], criterion="huber")
    body = Serial(Embedding(5), Dropout(0.2), LSTM(5, bidirectional=True))
    settings = Settings(
        epochs=6,
        batch=8,
        optimizer="sgd",
        nesterov=True,
        rate=0.1,
        schedule="plateau",
        decay_epochs=1,
        augment=(WordDropout(0.2, remove=True),),
        log_every=1,
        keep="last",
    )
    return Made(_built(body, task, Ids(30)), task, part(train, task), part(valid, task), settings)


def _built(body: Serial, task: Task, shape: tuple[int, ...] | Ids) -> Layer:
    torch.manual_seed(0)
    return Serial(body, *task.head(body.build(shape))).build(shape)


def run(made: Made, folder: Path | None = None, resume: bool = False, watch: Watcher | None = None) -> Fitted:
    """Trains it."""
    return fit(*made, folder, resume, watch)


MADE = {"series": series, "text": text}


def train(name: str, folder: Path, resume: bool, minutes: float | None) -> None:
    """Trains to the end, in a folder."""
    made = MADE[name]()
    settings = Settings.from_dict({**made.settings.to_dict(), "checkpoint_minutes": minutes})
    run(made._replace(settings=settings), folder, resume)


def serve() -> None:
    """See the top of the file. With one thread torch computes in the thread that calls it, so there is none that a fork could lose."""
    for made in MADE.values():  # what is imported and compiled at first use
        run(made(rows=8))
    for line in sys.stdin:
        name, folder, how, *minutes = line.split()
        pid = os.fork()
        if not pid:
            train(name, Path(folder), how == "resume", float(minutes[0]) if minutes else None)
            os._exit(0)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    serve()
