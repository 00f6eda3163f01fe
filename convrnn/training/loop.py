"""The loop, from top to bottom: a net, a task and rows -> a trained net, its history and checkpoints. Knows no layer and no file format.

    fit                      everything that is fixed before the first step
    _Training.run            epoch after epoch
    _Training._epoch         batch after batch
    _Training._step          how a batch becomes a loss, and the loss a change of the weights

A step is counted from 0 while it runs and is number 1 in the history once it is done; epochs likewise.

*What resuming rests on.* Order and augmentation are pure functions of (seed, epoch, row), rates of the step. What else goes on from step to
step is in a checkpoint: weights, buffers, the optimizer's memory, torch's random states, the running epoch's record, early stopping and
plateau. So a training that was killed and resumed ends with the same bits as one that was not, on the same machine with the same number of
threads. On a CPU nothing else is needed; on CUDA cuDNN is held to its deterministic algorithms while training.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from convrnn.core.errors import Diverged, UsageError
from convrnn.core.language import tr
from convrnn.data.batch import Batch, order
from convrnn.tasks.base import Task, answers
from convrnn.training.checkpoint import Checkpoint, Facts, Store, Tensors, digest, optimizer_tensors, own, restore_optimizer, under
from convrnn.training.course import Course
from convrnn.training.device import HALF, device_of, precision_of, random_states, reproducible, restore_random_states
from convrnn.training.feeding import Part, feed, outputs, require_mixable
from convrnn.training.hooks import Interrupted, Plan, Silent, Watcher, interruptible
from convrnn.training.optim import clip, optimizer, pulled, rate, set_rate
from convrnn.training.resuming import require_same, restore_net
from convrnn.training.settings import Settings

LOOK = 0.5
"""Seconds between two looks at the losses. A look waits for a GPU to finish its queue, so there is none at every step."""


@dataclass(frozen=True)
class Fitted:
    """What became of a training; the net holds the weights that `Settings.keep` asks for, in evaluation mode.

    Attributes:
        history: the records of `history.jsonl`, in order.
        epochs: passes that were made.
        best_epoch: the epoch that was best on the validation part, counted from 1; None: there is no such part.
        seconds: time spent, validation and checkpoints included, over all resumed runs.
        why: why it stopped, in a sentence without a full stop.
        device: where it ran.
        precision: `float32`, `bf16` or `f16`.
    """

    history: list[dict[str, Any]]
    epochs: int
    best_epoch: int | None
    seconds: float
    why: str
    device: str
    precision: str


def fit(
    net: nn.Module,
    task: Task,
    train: Part,
    valid: Part | None,
    settings: Settings,
    folder: Path | None = None,
    resume: bool = False,
    watch: Watcher | None = None,
) -> Fitted:
    """Trains a net in place.

    Args:
        net: a layer that ends in the task's head, with its initial weights (whoever builds it seeds them).
        task: fitted on the training part.
        train: the rows to learn from.
        valid: the rows to watch: early stopping, `plateau` and the best epoch go by them. None: all epochs are made, the last weights kept.
        settings: every knob.
        folder: the run's, for `history.jsonl` and `checkpoints/`; None: nothing is written.
        resume: go on from the folder's last checkpoint; from the beginning if the training was killed before the first.
        watch: who is told of the progress.

    Raises:
        DataError: a part without rows; a checkpoint of another net, other data or another version.
        UsageError: a device or precision that this machine lacks; a folder that holds a training already.
        SpecError: an augmentation that these rows cannot take.
        Diverged: a loss that is not finite. The last good checkpoint stays.
        JobError: no space, or a lost or damaged checkpoint. Likewise.
        Interrupted: Ctrl-C; what was done is in the checkpoint.
    """
    train.require_rows("training")
    if valid is not None:
        valid.require_rows("validation")
    require_mixable(train, settings)
    device = device_of(settings.device)
    precision = precision_of(settings.precision, device)
    if resume and folder is None:
        raise UsageError("resume", tr("needs the folder of the run"), tr("name it"))
    watch = watch or Silent()
    home = next(net.parameters(), torch.empty(0)).device
    with reproducible(settings.seed, device), interruptible() as asked:
        try:
            store = None if folder is None else Store(folder)
            training = _Training(net.to(device), task, train, valid, settings, device, precision, store, watch, asked)
            training.begin(resume)
            training.run()
            return training.finish()
        finally:
            watch.close()
            net.to(home)


class _Training:
    """One training. `trace` holds loss, metric and gradient norm of each step of the epoch, on the device: no step waits to read them."""

    def __init__(
        self,
        net: nn.Module,
        task: Task,
        train: Part,
        valid: Part | None,
        settings: Settings,
        device: torch.device,
        precision: str,
        store: Store | None,
        watch: Watcher,
        asked: threading.Event,
    ) -> None:
        self.net, self.task, self.train, self.valid, self.settings = net, task, train, valid, settings
        self.device, self.precision, self.store, self.watch, self.asked = device, precision, store, watch, asked
        self.optimizer = optimizer(net, settings)
        self.parameters: list[Tensor] = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.heavy = pulled(net)
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "f16")
        self.steps = len(order(train.encoded.lengths, settings.batch, settings.seed))
        self.at = Course()
        self.trace = torch.zeros(self.steps, 3, dtype=torch.float64, device=device)
        self.looked_at = 0
        self.history: list[Facts] = []
        self.best_weights: Tensors = {}
        self.began = self.saved = perf_counter()
        self.looked = 0.0
        self.data: Facts = {}

    # ---- the loop

    def run(self) -> None:
        """Epoch after epoch, until there is a reason to stop."""
        while not self.at.why:
            if self.asked.is_set():
                self._stop()
            self._epoch()

    def _epoch(self) -> None:
        """Batch after batch, from where the epoch stands; then what it reached."""
        rows = order(self.train.encoded.lengths, self.settings.batch, self.settings.seed, self.at.epoch)
        self.net.train()
        for batch in feed(self.train, self.task, self.settings, self.at.epoch, rows, self.at.step, self.device):
            self._step(batch)
            if self.at.step < self.steps:
                self._between_steps()
        self._look()
        self._close_epoch([len(chosen) for chosen in rows])

    def _step(self, batch: Batch) -> None:
        """How a batch becomes a loss, and the loss a change of the weights."""
        assert batch.y is not None
        with torch.autocast(self.device.type, HALF[self.precision], enabled=self.precision != "float32"):
            scores = answers(self.net, batch.x)
            loss = self.task.loss(scores, batch.y)
        total = loss
        if self.settings.l1:
            total = loss + self.settings.l1 * torch.stack([parameter.abs().sum() for parameter in self.heavy]).sum()
        self.optimizer.zero_grad()
        self.scaler.scale(total).backward()
        self.scaler.unscale_(self.optimizer)
        norm = clip(self.parameters, self.settings.clip)
        set_rate(self.optimizer, self._rate(self.at.step))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        score = self.task.score(scores.detach(), batch.y)
        self.trace[self.at.step] = torch.stack([loss.detach().double(), score, norm.double()])
        self.at.step += 1

    def _close_epoch(self, sizes: list[int]) -> None:
        """Records what the epoch reached, on the training part as it went by and on the validation part as the net is now."""
        trace = self.trace.cpu()
        shares = torch.tensor(sizes, dtype=torch.float64) / sum(sizes)
        loss, score, _ = (shares @ trace).tolist()
        record: Facts = {
            "epoch": self.at.epoch + 1,
            "step": (self.at.epoch + 1) * self.steps,
            "train": {"loss": loss, self.task.monitor: score},
        }
        if self.valid is not None:
            record["valid"] = self._validate(self.valid)
        record["rate"] = self._rate(self.steps - 1)
        best = self.at.close_epoch(record, self.settings, self.task)
        self.looked_at = 0
        self._record([record])
        self._save(best)
        self.watch.epoch(record)

    def _validate(self, valid: Part) -> dict[str, float]:
        try:
            return self.task.metrics(outputs(self.net, valid.encoded, self.settings.batch, self.device), valid.targets)
        except Diverged as error:
            raise error.within(tr("validation part after epoch {epoch}", epoch=self.at.epoch + 1)) from None

    # ---- between steps

    def _between_steps(self) -> None:
        """Now and then: reads the losses, writes a checkpoint when it is time, stops when the user asks."""
        now = perf_counter()
        minutes = self.settings.checkpoint_minutes
        due = self.store is not None and minutes is not None and now - self.saved >= 60 * minutes
        if due or now - self.looked >= LOOK or self.asked.is_set():
            self._look()
            if self.asked.is_set():
                self._stop()
            if due:
                self._save(False)

    def _look(self) -> None:
        """Reads what the steps since the last look recorded: into the history, to the watcher, or out with an error."""
        found = self.trace[self.looked_at : self.at.step].tolist()
        before = self.at.epoch * self.steps
        lines: list[Facts] = []
        for step, (loss, _, norm) in enumerate(found, self.looked_at):
            # Loss scaling skips steps whose gradient overflows in f16; elsewhere such a step has spoilt the weights.
            if not math.isfinite(loss) or not (math.isfinite(norm) or self.scaler.is_enabled()):
                self._refuse(step, loss, norm)
            if (before + step + 1) % self.settings.log_every == 0:
                place = {"step": before + step + 1, "epoch": self.at.epoch + 1}
                lines.append({**place, "loss": loss, "rate": self._rate(step), "norm": norm})
        self._record(lines)
        if found:
            self.watch.step(self.at.epoch + 1, self.at.step, found[-1][0], self._rate(self.at.step - 1))
        self.looked_at, self.looked = self.at.step, perf_counter()

    def _refuse(self, step: int, loss: float, norm: float) -> None:
        what = tr("the loss") if not math.isfinite(loss) else tr("the gradient's norm")
        kept = tr("the last checkpoint is from before") if self.store is not None else tr("nothing is kept without a folder")
        raise Diverged(
            tr("epoch {epoch}, step {step}", epoch=self.at.epoch + 1, step=step + 1),
            tr("{what} is {value}", what=what, value=norm if math.isfinite(loss) else loss),
            tr(
                "train with a lower rate than {rate:g}{clipped}; {kept}",
                rate=self.settings.rate,
                clipped="" if self.settings.clip else tr(" and with clip=1"),
                kept=kept,
            ),
        )

    def _stop(self) -> None:
        where = (
            tr("in epoch {epoch}, after step {step} of {steps}", epoch=self.at.epoch + 1, step=self.at.step, steps=self.steps)
            if self.at.step
            else tr("after epoch {epoch}", epoch=self.at.epoch)
        )
        if self.store is None:
            raise Interrupted(where, tr("nothing is kept without a folder"))
        self._save(False)
        raise Interrupted(where, tr("go on with --resume {folder}", folder=self.store.folder))

    def _rate(self, step: int) -> float:
        return rate(self.settings, self.at.epoch * self.steps + step, self.steps) * self.at.plateau.factor

    def _record(self, lines: list[Facts]) -> None:
        self.history += lines
        if self.store is not None and lines:
            self.store.append(lines)

    # ---- beginning, keeping, ending

    def begin(self, resume: bool) -> None:
        """From the beginning, or from the last checkpoint."""
        if self.store is not None:
            self.data = {"train": digest(self.train), "valid": digest(self.valid)}
            if not resume:
                self.store.begin()
            elif (checkpoint := self.store.load()) is not None:
                self._restore(checkpoint)
                self.history = self.store.history()
        done = self.at.epoch * self.steps + self.at.step
        size = sum(parameter.numel() for parameter in self.parameters)
        rows = len(self.train.encoded)
        self.watch.start(Plan(self.settings.epochs, self.steps, rows, done, self.task.monitor, str(self.device), self.precision, size))
        if self.valid is None:
            self.watch.note(tr("no validation part: all epochs are made, the last weights are kept"))

    def _save(self, best: bool) -> None:
        """A checkpoint, and with `best` the weights as the best ones yet."""
        weights = self.net.state_dict()
        if self.store is None:
            self.best_weights = own(weights) if best else self.best_weights
            return
        tensors = {
            **own(weights, "net."),
            **own(optimizer_tensors(self.optimizer), "optimizer."),
            **own(random_states(self.device), "random."),
            "trace": self.trace[: self.at.step],
        }
        self.store.save(tensors, self._facts(), own(weights) if best else None)
        self.saved = perf_counter()

    def _facts(self) -> Facts:
        return {
            "settings": self.settings.to_dict(),
            "task": self.task.to_dict(),
            "data": self.data,
            "device": self.device.type,
            "precision": self.precision,
            "scaler": self.scaler.state_dict(),
            "course": replace(self.at, seconds=self._seconds()).to_json(),
        }

    def _restore(self, checkpoint: Checkpoint) -> None:
        tensors, facts = checkpoint
        require_same(facts, self._facts())
        restore_net(self.net, under(tensors, "net."))
        restore_optimizer(self.optimizer, under(tensors, "optimizer."))
        restore_random_states(under(tensors, "random."), self.device)
        self.scaler.load_state_dict(facts["scaler"])
        self.at = Course.from_json(facts["course"])
        self.looked_at = self.at.step
        self.trace[: self.at.step] = tensors["trace"].to(self.device)

    def finish(self) -> Fitted:
        """Gives the net the weights to end with."""
        if self.settings.keep == "best" and self.at.best is not None:
            restore_net(self.net, self.best_weights if self.store is None else self.store.best())
        self.net.eval()
        epoch = None if self.at.best is None else self.at.best.epoch
        return Fitted(self.history, self.at.epoch, epoch, self._seconds(), self.at.why, str(self.device), self.precision)

    def _seconds(self) -> float:
        return self.at.seconds + perf_counter() - self.began
