"""Checkpoints: a training on disk such that a kill at any moment leaves a whole one. Knows no net and no loop: tensors and plain values.

    checkpoints/last.json                   names the two files below, and holds everything that is no tensor
    checkpoints/last-000012.safetensors     net, optimizer, random states, what the running epoch has recorded
    checkpoints/best-000007.safetensors     the net's weights after the best epoch

Each file is written under a new name, flushed and renamed; `last.json` is renamed last, and only then are files that it does not name
removed. So whatever `last.json` can be read names files that are whole. No pickle: loading executes nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from convrnn.core.errors import DataError, JobError, UsageError
from convrnn.core.files import write
from convrnn.core.language import tr
from convrnn.training.feeding import Part

VERSION = 1

Tensors = dict[str, Tensor]
Facts = dict[str, Any]


class Checkpoint(NamedTuple):
    """What was stored: named tensors and plain JSON values."""

    tensors: Tensors
    facts: Facts


class Store:
    """The checkpoints and the history of one run folder.

    Attributes:
        folder: the run's folder; `history.jsonl` lies in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._place = folder / "checkpoints"
        self._history = folder / "history.jsonl"
        self._number = 0
        self._best: str | None = None

    def begin(self) -> None:
        """Makes the folder ready for a new training.

        Raises:
            UsageError: it holds a training already.
            JobError: it cannot be written.
        """
        if self._pointer.exists() or (self._history.exists() and self._history.stat().st_size):
            raise UsageError(str(self.folder), tr("holds a training already"), tr("resume it, or choose another folder"))
        self._start_over()

    def load(self) -> Checkpoint | None:
        """The last checkpoint, the history cut back to it; None: there is none yet, and the history is empty.

        Raises:
            JobError: a file is lost or damaged.
            DataError: it comes from another version.
        """
        if not self._pointer.exists():
            self._start_over()
            return None
        try:
            facts = json.loads(self._pointer.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise JobError(str(self._pointer), tr("cannot be read: {error}", error=error), tr("start the training anew")) from error
        if not isinstance(facts, dict) or facts.get("version") != VERSION:
            raise DataError(
                str(self._pointer),
                tr("expected a checkpoint of version {version}", version=VERSION),
                tr("resume with the convrnn that wrote it"),
            )
        self._number, self._best = facts["number"], facts["best_file"]
        tensors = _read(self._place / facts["file"])
        self._cut_history(facts["history_bytes"])
        return Checkpoint(tensors, facts)

    def save(self, tensors: Tensors, facts: Facts, best: Tensors | None = None) -> None:
        """Writes the next checkpoint and forgets the one before.

        Args:
            tensors: named tensors, on any device.
            facts: plain JSON values.
            best: the weights of an epoch better than all before; None: the best one stays.

        Raises:
            JobError: no space, or a lost folder; the last checkpoint is as it was.
        """
        number = self._number + 1
        best_file = self._best if best is None else f"best-{number:06d}.safetensors"
        if best is not None and best_file is not None:
            write(self._place / best_file, _bytes(best))
        file = f"last-{number:06d}.safetensors"
        write(self._place / file, _bytes(tensors))
        length = self._flush_history()
        own = {"version": VERSION, "number": number, "file": file, "best_file": best_file, "history_bytes": length}
        write(self._pointer, json.dumps({**own, **facts}, ensure_ascii=False, indent=1) + "\n")
        self._number, self._best = number, best_file
        for old in (*self._place.glob("*.safetensors"), *self._place.glob(".*.part")):  # the latter are what a kill left half-written
            if old.name not in (file, best_file):
                old.unlink(missing_ok=True)

    def best(self) -> Tensors:
        """The weights of the best epoch; raises `JobError` where they are lost."""
        assert self._best is not None
        return _read(self._place / self._best)

    def append(self, records: list[Facts]) -> None:
        """Adds lines to the history; numbers that are not finite become null. What a kill leaves of them is cut off by `load`.

        Raises:
            JobError: no space, or a lost folder.
        """
        lines = "".join(json.dumps(_plain(record), ensure_ascii=False) + "\n" for record in records)
        try:
            with open(self._history, "ab") as file:
                file.write(lines.encode())
        except OSError as error:
            raise _unwritable(self._history, error) from error

    def history(self) -> list[Facts]:
        """The records written so far."""
        return [json.loads(line) for line in self._history.read_text(encoding="utf-8").splitlines()]

    @property
    def _pointer(self) -> Path:
        return self._place / "last.json"

    def _start_over(self) -> None:
        """An empty history and no half-written checkpoint."""
        try:
            self._place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(self._place, error) from error
        write(self._history, "")

    def _flush_history(self) -> int:
        """Its length in bytes, once it is on the disk."""
        try:
            with open(self._history, "ab") as file:
                os.fsync(file.fileno())
                return file.tell()
        except OSError as error:
            raise _unwritable(self._history, error) from error

    def _cut_history(self, length: int) -> None:
        found = self._history.stat().st_size if self._history.exists() else 0
        if found < length:
            raise JobError(
                str(self._history),
                tr("expected at least {length} bytes, found {found}", length=length, found=found),
                tr("restore the file, or start anew"),
            )
        os.truncate(self._history, length)


def digest(part: Part | None) -> str | None:
    """What a part holds, in 32 hexadecimal digits, so that a resumed training knows its data again."""
    if part is None:
        return None
    sums = hashlib.blake2b(digest_size=16)
    sums.update(part.encoded.lengths.tobytes())
    sums.update(part.targets.contiguous().numpy().tobytes())
    for row in range(len(part.encoded)):
        array = part.encoded[row]
        sums.update(f"{array.dtype}{array.shape}".encode())
        sums.update(array.tobytes())
    return sums.hexdigest()


def own(tensors: Mapping[str, Tensor], prefix: str = "") -> Tensors:
    """Copies on the CPU, under a prefix: later steps do not change them, and two names of one tensor become two."""
    return {prefix + name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}


def under(tensors: Tensors, prefix: str) -> Tensors:
    """The tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Tensors:
    """The optimizer's memory: `parameter.key` -> tensor."""
    state: Mapping[int, Mapping[str, Tensor | None]] = optimizer.state_dict()["state"]
    return {f"{place}.{key}": value for place, held in state.items() for key, value in held.items() if value is not None}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Tensors) -> None:
    """Gives an optimizer of the same parameters the memory of `optimizer_tensors`."""
    state: dict[int, Tensors] = {}
    for name, tensor in tensors.items():
        place, key = name.split(".", 1)
        state.setdefault(int(place), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _bytes(tensors: Tensors) -> bytes:
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def _read(path: Path) -> Tensors:
    try:
        return load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise JobError(str(path), tr("cannot be read: {error}", error=error), tr("start the training anew")) from error


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return None if isinstance(value, float) and not -float("inf") < value < float("inf") else value


def _unwritable(path: Path, error: OSError) -> JobError:
    return JobError(
        str(path), tr("could not be written: {reason}", reason=error.strerror or error), tr("free some space or choose another --out")
    )
