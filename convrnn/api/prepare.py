"""From what was asked and what was read to what is trained: parts, modality, task, layers, settings. Writes nothing, trains nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch

from convrnn.api.options import Choices, assign
from convrnn.core.errors import DataError, SpecError
from convrnn.data import Examples, Source, as_task, check_labels, task_of
from convrnn.data import parts as split
from convrnn.data.batch import Encoded
from convrnn.data.split import Parts
from convrnn.deploy import Model
from convrnn.layers.base import Layer, Spec
from convrnn.layers.combine import Serial
from convrnn.modality import Modality, modality_for
from convrnn.modality.augment import check_augmentations
from convrnn.tasks import Classify, Regress, Task
from convrnn.training import Settings
from convrnn.training.feeding import Part
from convrnn.zoo import Fingerprint, from_file, get

TaskName = Literal["classify", "regress"]
Say = Callable[[str], None]
"""Where lines for the user go."""

DEFAULT_MODEL = {"series": "crnn", "text": "text-cnn", "image": "crnn"}
_TASKS: dict[str, type[Classify] | type[Regress]] = {"classify": Classify, "regress": Regress}


@dataclass(frozen=True)
class Request:
    """What was asked for; stored in `config.yaml`, and all that `--resume` needs.

    Attributes:
        model: a name of the zoo, a path of a YAML spec, or a spec; None: by the kind of the data.
        task: None: inferred from the targets.
        valid: share of the training rows to watch, where the files fix no validation part.
        test: share of all rows to measure on, likewise.
        options: `--set` and the flags that are short for it.
    """

    model: str | Spec | None = None
    task: TaskName | None = None
    valid: float = 0.1
    test: float = 0.2
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything that a training needs.

    Attributes:
        source: as read.
        parts: as split.
        encoded: rows and targets of each part that there is, as numbers.
        model: modality, task and freshly initialised layers.
        settings: resolved.
    """

    source: Source
    parts: Parts
    encoded: Mapping[str, Part]
    model: Model
    settings: Settings


def prepare(source: Source, request: Request, say: Say) -> Prepared:
    """Resolves a request against data; says aloud what was inferred.

    Raises:
        InputError: what does not fit, in one line.
    """
    task_name, reason = (request.task, f"{request.task}, as asked") if request.task else task_of(source.train)
    source = _typed(source, task_name)
    kind = source.train.kind
    name = request.model if request.model is not None else DEFAULT_MODEL[kind]
    entry = None if isinstance(name, Spec) or _is_file(name) else get(name)
    task_class, modality_class = _TASKS[task_name], modality_for(kind)
    choices = assign(request.options, list(entry.options) if entry else [], modality_class, task_class)
    found = _split(source, request, choices, task_name)
    for note in source.notes:
        say(f"data: {note}")
    say(f"task: {reason}")
    say(f"parts: {len(found.train)} rows to learn from, {_count(found.valid)} to watch, {_count(found.test)} to measure on")
    if task_name == "classify":
        for part, other in (("valid", found.valid), ("test", found.test)):
            check_labels(found.train, other, part)
    modality = modality_class.fit(found.train, modality_class.from_dict({"modality": kind, **choices.modality}))
    say(f"input: {modality.describe()}")
    task = task_class.fit(_targets(found.train), **choices.task)
    encoded = {
        part: _encode(examples, modality, task, part, say)
        for part, examples in (("train", found.train), ("valid", found.valid), ("test", found.test))
        if examples is not None
    }
    classes = len(task.labels) if isinstance(task, Classify) else None
    print_of_data = Fingerprint.of(kind, modality.shape(), encoded["train"].encoded.lengths.tolist(), classes)
    recommended = entry.settings_for(print_of_data) if entry else {}
    settings = Settings.from_dict({Settings.family: Settings.name, **recommended, **choices.train})
    check_augmentations(settings.augment, kind)
    body = entry.spec(print_of_data, **choices.model) if entry else name if isinstance(name, Spec) else from_file(str(name))
    torch.manual_seed(settings.seed)
    spec, net = with_head(body, task, modality)
    model_name = entry.name if entry else "spec"
    say(f"model: {model_name}, {sum(p.numel() for p in net.parameters()):,} parameters{_live(net)}")
    model = Model(model_name, modality, spec, task, net, source.columns, source.train.channels)
    return Prepared(source, found, encoded, model, settings)


def with_head(body: Spec, task: Task, modality: Modality) -> tuple[Spec, Layer]:
    """The whole spec, the task's head behind the body, and its layers freshly initialised."""
    state = torch.get_rng_state()
    head = task.head(body.build(modality.shape()))
    # The body was built to see what comes out of it: the weights that count are drawn as if it had not been.
    torch.set_rng_state(state)
    layers = body.layers if isinstance(body, Serial) else (body,)
    spec = Serial(*layers, *head)
    return spec, spec.build(modality.shape())


def _typed(source: Source, task: TaskName) -> Source:
    others = {name: as_task(part, task) for name, part in (("valid", source.valid), ("test", source.test)) if part is not None}
    return replace(source, train=as_task(source.train, task), **others)


def _split(source: Source, request: Request, choices: Choices, task: TaskName) -> Parts:
    asked = dict(choices.split)
    valid, test = asked.pop("valid_fraction", request.valid), asked.pop("test_fraction", request.test)
    seed = asked.pop("split_seed", 0)
    for key, value, kind in (("split_seed", seed, int), ("valid_fraction", valid, float | int), ("test_fraction", test, float | int)):
        if not isinstance(value, kind) or isinstance(value, bool):
            raise SpecError(f"split.{key}", f"expected a number, got {value!r}")
    stratify, shuffle = asked.get("stratify", task == "classify"), asked.get("shuffle", True)
    return split(source, valid=valid, test=test, seed=seed, stratify=bool(stratify), shuffle=bool(shuffle))


def _encode(examples: Examples, modality: Modality, task: Task, part: str, say: Say) -> Part:
    for note in modality.notes(examples):
        say(f"{part}: {note}")
    encoded = Encoded(modality.encode_examples(examples))
    return Part(encoded, task.encode(_targets(examples), examples.names), modality.masks)


def _targets(examples: Examples) -> list[Any]:
    if examples.targets is None:
        where = examples.names[0] if examples.names else "data"
        raise DataError(where, "these rows have no target", "name the target column with --target")
    return examples.targets


def _count(part: Examples | None) -> str:
    return "none" if part is None else str(len(part))


def _is_file(name: str) -> bool:
    return Path(name).suffix in (".yaml", ".yml", ".json")


def _live(net: Layer) -> str:
    """How it answers a live stream, in words."""
    if not net.streams:
        path = next((p for p, layer in reversed(list(net.walk())) if not layer.streams), "")
        return f"; whole rows only ({path} needs the end of the row)"
    return "; streams, answers when the row ends" if net.lookahead is None else f"; streams, {net.lookahead} frame(s) behind"
