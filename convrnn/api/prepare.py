"""From what was asked and what was read to what is trained: parts, modality, task, layers, settings. Writes nothing, trains nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch

from convrnn.api.options import Choices, assign
from convrnn.core.errors import DataError, SpecError, UsageError
from convrnn.core.language import tr
from convrnn.core.terms import called, part_named, sort_named
from convrnn.data import Examples, Source, as_task, check_labels, parts as split, task_of
from convrnn.data.batch import Encoded
from convrnn.data.split import Fold, Parts
from convrnn.deploy import Model
from convrnn.layers.base import Layer, Spec
from convrnn.layers.combine import Serial
from convrnn.modality import Modality, modality_for
from convrnn.modality.augment import check_augmentations
from convrnn.tasks import Classify, Regress, Task
from convrnn.training import Settings
from convrnn.training.feeding import Part
from convrnn.zoo import Entry, Fingerprint, get

TaskName = Literal["classify", "regress"]
Say = Callable[[str], None]
"""Where lines for the user go."""

DEFAULT_MODEL = {"series": "crnn", "text": "text-cnn", "image": "crnn", "audio": "crnn"}
_TASKS: dict[str, type[Classify] | type[Regress]] = {"classify": Classify, "regress": Regress}


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes:
        model: a name of the zoo or a spec; None: by the kind of the data.
        task: None: inferred from the targets.
        valid: share of the training rows to watch; None: what the files fix, else 0.1.
        test: share of all rows to measure on; None: what the files fix, else 0.2.
        options: `--set` and the flags that are short for it.
        body: the layers before the head, where a training goes on; None: made from the model and the data.
        settings: of the training, likewise; so it goes on as it began even where recommendations have changed since.
    """

    model: str | Spec | None = None
    task: TaskName | None = None
    valid: float | None = None
    test: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    body: Spec | None = None
    settings: Settings | None = None


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything that a training needs.

    Attributes:
        source: as read.
        parts: as split.
        encoded: rows and targets of each part that there is, as numbers.
        model: modality, task and freshly initialised layers.
        body: those before the head of the task, as a spec.
        settings: resolved.
        sizes: of the training part: what the layers before the head were made for.
        choices: what was asked for, by place.
    """

    source: Source
    parts: Parts
    encoded: Mapping[str, Part]
    model: Model
    body: Spec
    settings: Settings
    sizes: Fingerprint
    choices: Choices


def prepare(source: Source, request: Request, say: Say) -> Prepared:
    """Resolves a request against data; says aloud what was inferred.

    Raises:
        InputError: what does not fit, in one line.
    """
    task_name, reason = (request.task, tr("{task}, as asked", task=sort_named(request.task))) if request.task else task_of(source.train)
    source = _typed(source, task_name)
    kind = source.train.kind
    name = DEFAULT_MODEL[kind] if request.model is None else request.model
    entry = None if isinstance(name, Spec) else get(name)
    task_class, modality_class = _TASKS[task_name], modality_for(kind)
    choices = assign(request.options, list(entry.options) if entry else [], modality_class, task_class)
    found = _split(source, request, choices, task_name)
    for note in source.notes:
        say(tr("data: {note}", note=note))
    say(tr("task: {reason}", reason=reason))
    say(
        tr(
            "parts: {train} rows to learn from, {valid} to watch, {test} to measure on",
            train=len(found.train),
            valid=_count(found.valid),
            test=_count(found.test),
        )
    )
    if task_name == "classify":
        for part, other in (("valid", found.valid), ("test", found.test)):
            check_labels(found.train, other, part)
    modality = modality_class.fit(found.train, modality_class.from_dict({"modality": kind, **choices.modality}))
    say(tr("input: {input}", input=modality.describe()))
    task = task_class.fit(_targets(found.train), **choices.task)
    encoded = {
        part: _encode(examples, modality, task, part, say)
        for part, examples in (("train", found.train), ("valid", found.valid), ("test", found.test))
        if examples is not None
    }
    classes = len(task.labels) if isinstance(task, Classify) else None
    sizes = Fingerprint.of(kind, modality.shape(), encoded["train"].encoded.lengths.tolist(), classes)
    settings = request.settings or _settings(entry, sizes, choices)
    check_augmentations(settings.augment, kind)
    body = request.body or (name if isinstance(name, Spec) else get(name).spec(sizes, **choices.model))
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers go on as if there had been no training
        torch.default_generator.manual_seed(settings.seed)
        spec, net = with_head(body, task, modality)
    model = Model(entry.name if entry else "spec", modality, spec, task, net, source.columns, source.train.channels)
    say(tr("model: {name}, {parameters:,} parameters; {live}", name=model.name, parameters=model.parameters, live=_live(net)))
    return Prepared(source, found, encoded, model, body, settings, sizes, choices)


def _settings(entry: Entry | None, sizes: Fingerprint, choices: Choices) -> Settings:
    """What the model recommends for data of this size, and what was chosen instead."""
    recommended = entry.settings_for(sizes) if entry else {}
    settings = Settings.from_dict({Settings.family: Settings.name, **recommended, **choices.train})
    settings.refuse_idle(choices.train)
    return settings


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
    asked: dict[str, Any] = {
        f"{part}_fraction": share for part, share in (("valid", request.valid), ("test", request.test)) if share is not None
    }
    if twice := sorted(asked.keys() & choices.split.keys()):
        flag = twice[0].removesuffix("_fraction")
        raise UsageError("--set", tr("{name} is given twice, by --{flag} too", name=twice[0], flag=flag), tr("give it once"))
    asked |= choices.split
    for key, value in asked.items():
        _check_kind(key, value)
    fold = _fold(asked.get("fold"), asked.get("folds"))
    valid, test = asked.get("valid_fraction", 0.1), asked.get("test_fraction", 0.2)
    _refuse_idle(source, asked, fold is not None or (source.test is None and test != 0) or (source.valid is None and valid != 0))
    stratify, shuffle = asked.get("stratify", task == "classify"), asked.get("shuffle", True)
    return split(source, valid=valid, test=test, fold=fold, seed=asked.get("split_seed", 0), stratify=stratify, shuffle=shuffle)


def _check_kind(key: str, value: Any) -> None:
    if key in ("shuffle", "stratify"):
        if not isinstance(value, bool):
            raise SpecError(f"split.{key}", tr("expected true or false, got {got!r}", got=value))
    elif isinstance(value, bool) or not isinstance(value, float | int if key.endswith("_fraction") else int):
        raise SpecError(f"split.{key}", tr("expected a number, got {got!r}", got=value))


def _refuse_idle(source: Source, asked: Mapping[str, Any], draws: bool) -> None:
    """Raises `DataError` for what was asked of the parts and can change nothing; `draws`: whether any rows are held out."""
    for part in ("valid", "test"):
        if f"{part}_fraction" in asked and getattr(source, part) is not None:
            problem = tr("its files fix a {part} part, so that no share of the rows can be one", part=part_named(part))
            raise DataError(source.name, problem, tr("leave {shown} out", shown=f"--{part}"))
    chosen = [key for key in ("split_seed", "shuffle", "stratify") if key in asked]
    if chosen and not draws:
        raise DataError(source.name, tr("no rows are held out, so that {key} changes nothing", key=chosen[0]), tr("leave it out"))
    idle = [key for key in chosen if asked[key] is not False and key != "shuffle"]
    if idle and asked.get("shuffle") is False:
        raise DataError(source.name, tr("the last rows are held out, so that {key} changes nothing", key=idle[0]), tr("leave it out"))
    if asked.get("stratify") and source.train.groups is not None:
        raise DataError(source.name, tr("groups are held out whole, so that {key} changes nothing", key="stratify"), tr("leave it out"))


def _fold(number: Any, of: Any) -> Fold | None:
    """Which fold is the test part; None: a share of the rows is."""
    if number is None and of is None:
        return None
    if number is None or of is None:
        key, remedy = "folds" if of is None else "fold", tr("for example {example}", example="--set folds=10 --set fold=0")
        raise UsageError(f"split.{key}", tr("is missing: which of how many folds is the test part takes both"), remedy)
    if not 0 <= number < of:
        raise SpecError("split.fold", tr("expected 0..{last}, got {got}", last=of - 1, got=number), tr("count from 0"))
    return Fold(number, of)


def _encode(examples: Examples, modality: Modality, task: Task, part: str, say: Say) -> Part:
    for note in modality.notes(examples):
        say(tr("{part}: {note}", part=called(part), note=note))
    encoded = Encoded(modality.encode_examples(examples))
    return Part(encoded, task.encode(_targets(examples), examples.names), modality.masks, examples.inputs, modality.encode)


def _targets(examples: Examples) -> list[Any]:
    if examples.targets is None:
        where = examples.names[0] if examples.names else "data"
        raise DataError(where, tr("these rows have no target"), tr("name the target column with --target"))
    return examples.targets


def _count(part: Examples | None) -> str:
    return tr("none") if part is None else str(len(part))


def _live(net: Layer) -> str:
    """How it answers a live stream, in words."""
    if found := net.obstacle():
        return tr("whole rows only, since {layer} needs the end of the row", layer=found[0])
    return (
        tr("streams, answers when the row ends")
        if net.lookahead is None
        else tr("streams, {lookahead} frame(s) behind", lookahead=net.lookahead)
    )
