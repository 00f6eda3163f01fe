"""A worker process of a study: `python -m convrnn.api.worker`. Orders come as lines of JSON, answers go as lines of JSON.

    {"do": "train", ...}      one run, begun or gone on with      -> {"at": {...}} now and then, then how it ended
    {"do": "measure", ...}    costs and gradients of a pair       -> how it ended

`ended` is `done`; `failed`: it cannot be done, now or later (a loss that is not a number, rows too short); `lost`: it could not be done now
(no space, a lost file, an environment that lacks something, interrupted). The process ends with its standard input. Knows no plans.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch

from convrnn.api.machine import peak_memory, reset_peak_memory
from convrnn.api.measures import costs, gradients
from convrnn.api.runs import train
from convrnn.core.errors import ConvrnnError, Diverged, ShapeError, SpecError
from convrnn.core.files import write
from convrnn.core.language import speaking
from convrnn.core.numerals import figure
from convrnn.layers.base import Spec
from convrnn.training.hooks import Plan

Say = Callable[[Mapping[str, Any]], None]


class _Watch:
    """Says how far a training is, and leaves the memory that it took."""

    def __init__(self, run: Path, say: Say) -> None:
        self._run, self._say = run, say

    def start(self, plan: Plan) -> None:
        """See `Watcher`."""
        self._epochs = plan.epochs

    def step(self, epoch: int, step: int, loss: float, rate: float) -> None:
        """See `Watcher`."""
        self._say({"at": {"epoch": epoch, "epochs": self._epochs}})

    def epoch(self, record: Mapping[str, Any]) -> None:
        """See `Watcher`."""

    def note(self, text: str) -> None:
        """See `Watcher`."""

    def close(self) -> None:
        """See `Watcher`: before `metrics.json`, so that a run that is done has it."""
        write(self._run / "process.json", json.dumps({"memory_mb": peak_memory()}) + "\n")


def main() -> None:
    """Order after order, until there is no parent to answer to."""
    say = _say_on(os.dup(1))
    os.dup2(2, 1)  # what libraries print is no answer
    # The parent stops it so, even one that runs in a script's background, where this signal is ignored and that is inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    orders: SimpleQueue[dict[str, Any]] = SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    # What it says goes into files. And an interruption between two orders interrupts none.
    with speaking("en"), suppress(KeyboardInterrupt):
        while True:
            say(_done(orders.get(), say))


def _say_on(descriptor: int) -> Say:
    out = os.fdopen(descriptor, "w", encoding="utf-8")

    def say(message: Mapping[str, Any]) -> None:
        print(json.dumps(message), file=out, flush=True)

    return say


def _listen(orders: SimpleQueue[dict[str, Any]]) -> None:
    """Takes orders; at the end of input the process ends at once, whatever it does: its files are whole at any moment."""
    for line in sys.stdin:
        orders.put(json.loads(line))
    os._exit(0)


def _done(order: Mapping[str, Any], say: Say) -> Mapping[str, Any]:
    """Does what is ordered; how it ended."""
    try:
        return {"ended": "done", **(_train(order, say) if order["do"] == "train" else _measure(order))}
    except ConvrnnError as error:
        lasting = isinstance(error, Diverged | ShapeError | SpecError)
        return {"ended": "failed" if lasting else "lost", "why": str(error)}
    except KeyboardInterrupt:
        return {"ended": "lost", "why": "interrupted"}


def _train(order: Mapping[str, Any], say: Say) -> dict[str, Any]:
    reset_peak_memory()
    run, model = Path(order["out"]), order["model"]
    done = train(
        order["data"],
        model=model if isinstance(model, str) else Spec.from_dict(model),
        out=run,
        resume=(run / "config.yaml").is_file(),
        command=order["command"],
        watch=_Watch(run, say),
        report=False,
        trial=order["trial"],
        digest=order["digest"],
        **order["reading"],
        **order["options"],
    )
    shown = "valid" if order["trial"] else "test"
    metric = done.model.task.monitor
    said = f"{'' if shown == 'test' else 'valid '}{metric} {figure(done.metrics[shown][metric])}"
    return {"said": said, "seconds": done.metrics["seconds"]["train"]}


def _measure(order: Mapping[str, Any]) -> dict[str, Any]:
    home = Path(order["home"])
    write(home / "gradients.json", json.dumps(gradients(home / "seed-0")) + "\n")
    write(home / "costs.json", json.dumps(costs(home / "seed-0")) + "\n")
    return {}


if __name__ == "__main__":
    main()
