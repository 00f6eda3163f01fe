"""Parts -> batches on the device, with augmentation. Knows no net and no loss.

Order and augmentation are pure functions of seed, epoch and row, so a training that was cut off in mid-epoch goes on with the batch that
would have come next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convrnn.core.errors import DataError, Diverged, SpecError
from convrnn.core.language import tr
from convrnn.core.seq import Seq
from convrnn.core.terms import called
from convrnn.data.batch import Batch, Encoded, batches, order
from convrnn.data.split import Rows
from convrnn.modality.augment import Again, augment, augment_batch, changes_raw
from convrnn.modality.base import Augmentation, Collated
from convrnn.tasks.base import Task, answers
from convrnn.training.settings import Settings


class Part(NamedTuple):
    """Rows to train on or to measure on.

    Attributes:
        encoded: the rows after the modality.
        targets: one a row, from `Task.encode`.
        masks: how many of the last channels are masks (`Modality.masks`), which augmentation leaves alone.
        raw: the rows before the modality, and
        encode: the modality, for augmentations that act on raw inputs; None: such are refused.
    """

    encoded: Encoded
    targets: Tensor
    masks: int = 0
    raw: Sequence[Any] = ()
    encode: Callable[[Any], NDArray[Any]] | None = None

    def again(self, row: int) -> Again | None:
        """The row encoded anew after a change of its raw input."""
        encode = self.encode
        return None if encode is None else lambda change: encode(change(self.raw[row]))

    def require_rows(self, part: str) -> None:
        """Raises `DataError` for a part without rows, or with another number of targets."""
        if not len(self.encoded):
            raise DataError(tr("{part} part", part=called(part)), tr("expected at least one row, got none"), tr("give it some rows"))
        if len(self.encoded) != len(self.targets):
            raise DataError(
                tr("{part} part", part=called(part)),
                tr("expected {wanted} targets, one a row, got {got}", wanted=len(self.encoded), got=len(self.targets)),
                tr("give one a row"),
            )


def require_mixable(part: Part, settings: Settings) -> None:
    """Raises `SpecError` for an augmentation that mixes rows of symbols, which have no values in between, or that needs raw inputs."""
    raw = [a for a in settings.augment if changes_raw(a)]
    if raw and part.encode is None:
        raise SpecError(
            "training.augment",
            tr("{name} changes raw inputs, and these rows have none", name=raw[0].name),
            tr("leave {name} out", name=raw[0].name),
        )
    mixing = _mixing(settings)
    if mixing and part.encoded[0].dtype.kind != "f":
        raise SpecError(
            "training.augment",
            tr("{mixing} mixes rows of numbers, these are of symbols", mixing=mixing[0].name),
            tr("leave {mixing} out", mixing=mixing[0].name),
        )


def feed(part: Part, task: Task, settings: Settings, epoch: int, rows: list[Rows], start: int, device: torch.device) -> Iterator[Batch]:
    """The batches of an epoch from number `start` on, augmented, on the device.

    Args:
        part: the training part.
        task: makes targets soft where rows are mixed.
        settings: seed and augmentations.
        epoch: counted from 0.
        rows: the whole order of the epoch.
        start: the first batch to give.
        device: where to.
    """
    single = [a for a in settings.augment if type(a).apply is not Augmentation.apply or changes_raw(a)]
    mixing = _mixing(settings)

    def change(array: NDArray[Any], row: int) -> NDArray[Any]:
        return augment(array, single, settings.seed, epoch, row, part.masks, part.again(row))

    for step, batch in enumerate(batches(part.encoded, rows[start:], part.targets, change if single else None), start):
        if mixing:
            batch = _mixed(batch, task, mixing, settings.seed, epoch, step)
        assert batch.y is not None
        yield Batch(_moved(batch.x, device), batch.y.to(device, non_blocking=True), batch.rows)


def outputs(net: nn.Module, encoded: Encoded, batch: int, device: torch.device | str) -> Tensor:
    """The scores of every row, `[N, K]` on the CPU, in file order, in evaluation mode and float32 whatever the training's precision.

    Rows are batched by length; which rows meet, and how many, changes nothing beyond rounding.

    Args:
        net: ends in a task's head; its mode is left as it was.
        encoded: the rows.
        batch: rows that go through the net together, at least 1.
        device: where the net is.

    Raises:
        DataError: no rows.
        UsageError: a batch below 1.
        Diverged: scores that are not finite.
    """
    if not len(encoded):
        raise DataError("rows", tr("expected at least one, got none"), tr("give some rows"))
    found: Tensor | None = None
    training = net.training
    net.eval()
    try:
        with torch.inference_mode():
            for part in batches(encoded, order(encoded.lengths, batch, shuffle=False)):
                scores = answers(net, _moved(part.x, torch.device(device)))
                found = torch.zeros(len(encoded), scores.shape[1], dtype=scores.dtype, device=scores.device) if found is None else found
                found[part.rows.to(found.device)] = scores
    finally:
        net.train(training)
    assert found is not None
    if not bool(found.isfinite().all()):
        row = int((~found.isfinite().all(1)).nonzero()[0, 0])
        raise Diverged(tr("row {number}", number=row + 1), tr("the model's scores are not finite"), tr("train again with a lower rate"))
    return found.cpu().clone()


def _mixing(settings: Settings) -> list[Augmentation]:
    return [a for a in settings.augment if type(a).mix is not Augmentation.mix]


def _mixed(batch: Batch, task: Task, mixing: list[Augmentation], seed: int, epoch: int, step: int) -> Batch:
    """A batch whose rows are mixed with each other, its targets soft."""
    assert batch.y is not None
    lengths = None if batch.x.lengths is None else batch.x.lengths.numpy()
    before = Collated(batch.x.values.numpy(), lengths, task.soft(batch.y).numpy())
    after = augment_batch(before, mixing, seed, epoch, step)
    return Batch(batch.x._replace(values=torch.from_numpy(after.values)), torch.from_numpy(after.targets), batch.rows)


def _moved(x: Seq, device: torch.device) -> Seq:
    if device.type == "cpu":
        return x
    lengths = None if x.lengths is None else x.lengths.pin_memory().to(device, non_blocking=True)
    return Seq(x.values.pin_memory().to(device, non_blocking=True), lengths, x.clean)
