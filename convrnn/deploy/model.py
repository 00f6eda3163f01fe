"""A trained model: modality, layers and task as names and numbers, in `model.json` and `model.safetensors`. Knows no training.

Nothing is unpickled and nothing is imported by name: the file holds registered names, the weights are safetensors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors, save as save_tensors

import convrnn
from convrnn.core.errors import DataError, JobError, SpecError
from convrnn.core.files import write
from convrnn.core.language import tr
from convrnn.core.seq import Seq
from convrnn.data.batch import Encoded, batches, order
from convrnn.data.examples import Columns, Examples
from convrnn.data.memory import from_arrays
from convrnn.deploy.export import Exported, FormatName, export
from convrnn.layers.base import Layer, Spec
from convrnn.layers.combine import Serial, SerialLayer
from convrnn.layers.stream import Stream
from convrnn.modality import Modality
from convrnn.tasks import Task, answers

FORMAT = 1
"""Of `model.json`. A file of another format is refused, never guessed at."""

WEIGHTS = "model.safetensors"
"""What the weights are called where no older model stands."""

BATCH = 256
"""Rows that are predicted together; the answer does not depend on it."""


class _Weights(NamedTuple):
    """Which `model.json` belongs to: the name of the file beside it, and the SHA-256 of its content."""

    file: str
    digest: str


@dataclass(frozen=True, eq=False)
class Model:
    """Everything that is needed to predict.

    Attributes:
        name: the zoo entry it was made from, or `spec`.
        modality: raw input to frames, with what it learned from the training part.
        spec: the layers, head included, every field written.
        task: frames to answers.
        net: the layers with their weights, in evaluation mode.
        columns: how the training table was read, so that the next one is read alike.
        channels: names of the channels of a series; empty: training knew none.
    """

    name: str
    modality: Modality
    spec: Spec
    task: Task
    net: Layer
    columns: Columns = field(default_factory=Columns)
    channels: tuple[str, ...] = ()

    def predict(self, rows: Sequence[Any] | np.ndarray[Any, Any]) -> list[dict[str, Any]]:
        """One answer a row, in order.

        Args:
            rows: raw inputs as in training: series `[T, C]`, texts, pictures `[H, W, C]`, recordings as `Sound` or samples at
                the model's rate.

        Returns:
            For a classifier `{"label", "probability", "probabilities"}`, for a regressor `{"value"}`.

        Raises:
            DataError: a row that does not fit the modality.
        """
        if not len(rows):
            return []
        examples = from_arrays(rows, kind=self.kind, columns=self.columns)
        return self.predict_examples(examples)

    def predict_examples(self, examples: Examples) -> list[dict[str, Any]]:
        """As `predict`, for rows read by `convrnn.data`; columns of tables are matched by name."""
        return self.task.decode(self.outputs(Encoded(self.modality.encode_examples(examples))))

    def outputs(self, encoded: Encoded) -> torch.Tensor:
        """What the last layer says, `[N, K]`, in the order of the rows; the same for a row alone and in any batch."""
        if not len(encoded):
            return torch.empty(0, self.net.out_shape[-1])
        device = next(self.net.parameters(), torch.empty(0)).device
        found: list[torch.Tensor] = []
        chosen = order(encoded.lengths, BATCH, shuffle=False)
        with torch.inference_mode():
            for batch in batches(encoded, chosen):
                lengths = None if batch.x.lengths is None else batch.x.lengths.to(device)
                found.append(answers(self.net, Seq(batch.x.values.to(device), lengths, batch.x.clean)).cpu())
        places = torch.from_numpy(np.argsort(np.concatenate(chosen)))
        return torch.cat(found)[places]

    def stream(self, batch: int = 1) -> Stream:
        """A live session; `task.decode(stream.peek().values[:, 0])` is the answer so far.

        It takes encoded frames; for recordings samples `[B, n, 1]` at the model's rate, floats or int16.

        Raises:
            NotStreamable: names the layer and the remedy.
        """
        return self._live().stream(batch)

    def export(self, form: FormatName | str, path: str | Path) -> Exported:
        """Writes the layers as one file for other programs, after running it against them.

        What makes frames of raw input stays outside, but for recordings: there the file takes samples `[B, n, 1]` at the model's rate.

        Args:
            form: `onnx`: whole rows; `onnx-step`: some frames and the state; `pt2`: whole rows for torch.
            path: of the file; an older one is replaced.

        Raises:
            UsageError: no such format, or ONNX is not installed.
            NotStreamable: a step of a model that does not stream; names the layer and the remedy.
            JobError: the file does not equal the model, or could not be written; an older one stays as it was.
        """
        about = {"name": self.name, "modality": self.modality.to_json(indent=None), "task": self.task.to_json(indent=None)}
        return export(self._live(), form, path, about)

    def _live(self) -> Layer:
        """The layers, behind the one that makes frames of a live signal where the modality has one."""
        front = self.modality.front()
        if front is None:
            return self.net
        spec = Spec.from_dict(front)
        layer = spec.build(1).to(next(self.net.parameters(), torch.empty(0)).device)
        live = SerialLayer([layer, self.net], layer.in_shape)
        live.name, live.made_from = Serial.name, Serial(spec, self.spec)
        return live.eval()

    @property
    def kind(self) -> Any:
        """`series`, `text`, `image` or `audio`."""
        return self.modality.name

    @property
    def parameters(self) -> int:
        """The number of learned values."""
        return sum(parameter.numel() for parameter in self.net.parameters())

    def save(self, folder: str | Path) -> None:
        """Writes the weights, then `model.json`, which names them and their digest.

        A kill at any moment leaves the model that was there before, or this one: beside those of an older model the weights are called
        `model-DIGEST.safetensors`, and the older ones go once `model.json` names the new.

        Raises:
            JobError: no space or permission; what was there before is untouched.
        """
        place = Path(folder)
        older = _older_weights(place)
        weights = save_tensors({name: tensor.detach().cpu().contiguous() for name, tensor in self.net.state_dict().items()})
        digest = hashlib.sha256(weights).hexdigest()
        file = WEIGHTS if older.file != WEIGHTS or older.digest == digest else f"model-{digest[:16]}.safetensors"
        stored = {
            "format": FORMAT,
            "convrnn": convrnn.__version__,
            "name": self.name,
            "modality": self.modality.to_dict(),
            "spec": self.spec.to_dict(),
            "task": self.task.to_dict(),
            "columns": self.columns.to_json(),
            "channels": list(self.channels),
            "weights": {"file": file, "sha256": digest},
        }
        write(place / file, weights)
        try:
            write(place / "model.json", json.dumps(stored, ensure_ascii=False, indent=2) + "\n")
        except JobError:
            if file != older.file:
                (place / file).unlink(missing_ok=True)
            raise
        if older.file not in ("", file):
            (place / older.file).unlink(missing_ok=True)


def load(folder: str | Path, device: str | torch.device = "cpu") -> Model:
    """Reads a trained model from a run folder.

    Raises:
        DataError: not a run, a damaged or foreign file, or a file of another version; says what to do.
    """
    place = Path(folder)
    stored = _read_json(place)
    where = str(place / "model.json")
    try:
        modality = Modality.from_dict(stored["modality"])
        spec = Spec.from_dict(stored["spec"])
        task = Task.from_dict(stored["task"])
        columns = Columns.from_json(stored["columns"])
        name, channels, weights = str(stored["name"]), tuple(stored["channels"]), _weights_of(stored)
    except SpecError as error:
        raise DataError(
            where,
            str(error),
            tr(
                "it was written by convrnn {stored}, this is {version}: train again",
                stored=stored.get("convrnn"),
                version=convrnn.__version__,
            ),
        ) from None
    except (KeyError, TypeError) as error:
        raise DataError(where, tr("expected a model, but {error} is missing or of another type", error=error), tr("train again")) from None
    net = spec.build(modality.shape())
    if net.out_shape[-1] != task.width:
        problem = tr("its layers give {got} scores a row, its task has {wanted}", got=net.out_shape[-1], wanted=task.width)
        raise DataError(where, problem, tr("restore it from a copy, or train again"))
    _load_weights(net, place / weights.file, weights.digest)
    return Model(name, modality, spec, task, net.to(device).eval(), columns, channels)


def _read_json(place: Path) -> Mapping[str, Any]:
    path = place / "model.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise DataError(
            str(place), tr("expected a run folder with model.json, found none"), tr("give the folder that `convrnn train` wrote")
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(str(path), tr("is damaged: {error}", error=error), tr("train again, or restore it from a copy")) from None
    if not isinstance(stored, dict) or "format" not in stored:
        raise DataError(str(path), tr("is not a model of convrnn"), tr("give the folder that `convrnn train` wrote"))
    if stored["format"] != FORMAT:
        raise DataError(
            str(path),
            tr(
                "expected format {wanted}, got {got!r} (written by convrnn {version})",
                wanted=FORMAT,
                got=stored["format"],
                version=stored.get("convrnn"),
            ),
            tr("read it with that version, or train again with this one ({version})", version=convrnn.__version__),
        )
    return stored


def _weights_of(stored: Mapping[str, Any]) -> _Weights:
    """Raises `KeyError` or `TypeError` where `model.json` names none beside itself."""
    file, digest = str(stored["weights"]["file"]), str(stored["weights"]["sha256"])
    if Path(file).name != file:
        raise KeyError("weights.file")
    return _Weights(file, digest)


def _older_weights(place: Path) -> _Weights:
    """Those that must stay until other ones are in use; empty: there is no model, or none that could be read."""
    try:
        return _weights_of(_read_json(place))
    except (DataError, KeyError, TypeError):
        return _Weights("", "")


def _load_weights(net: Layer, path: Path, digest: str) -> None:
    try:
        content = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise DataError(str(path), tr("is missing"), tr("restore it, or train again")) from None
    try:
        tensors = load_tensors(content)
    except SafetensorError as error:
        raise DataError(str(path), tr("is damaged: {error}", error=error), tr("restore it from a copy, or train again")) from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise DataError(
            str(path),
            tr("does not belong to the model.json beside it: the checksums differ"),
            tr("restore both from one run, or train again"),
        )
    wanted = net.state_dict()
    wrong = sorted(set(wanted) ^ set(tensors)) or [name for name in wanted if wanted[name].shape != tensors[name].shape]
    if wrong:
        raise DataError(
            str(path),
            tr("does not fit the layers of model.json: {wrong}", wrong=wrong[0]),
            tr("restore both files from one run, or train again"),
        )
    net.load_state_dict(tensors, strict=True)
