"""`KEY=VALUE` to the place it belongs to: training, model, modality, task or split. Knows no values, only names.

A plain key is looked up everywhere; `model.dropout` or `train.rate` says which is meant where two places have one. An unknown key is an
error that names the nearest: no option is read and ignored.
"""

from __future__ import annotations

import difflib
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from convrnn.core.errors import UsageError
from convrnn.core.language import both, either, tr
from convrnn.core.spec import Record
from convrnn.core.yaml_text import read_yaml
from convrnn.modality import Modality
from convrnn.tasks import Task
from convrnn.training import Settings

SPLIT = ("valid_fraction", "test_fraction", "split_seed", "shuffle", "stratify", "folds", "fold")
"""How parts are held out where the files fix none; `shuffle=false` takes the last rows, as Keras' `validation_split` does; of
`folds` parts `fold` is the test part."""


@dataclass(frozen=True)
class Choices:
    """What was asked for, by the place it belongs to."""

    train: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    modality: Mapping[str, Any] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=dict)
    split: Mapping[str, Any] = field(default_factory=dict)


def parse(pairs: Sequence[str]) -> dict[str, Any]:
    """`["rate=1e-3", "augment=[{jitter: 0.1}]"]` to values; those are YAML.

    Raises:
        UsageError: a pair without `=`, or a key given twice.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key:
            raise UsageError("--set", tr("expected KEY=VALUE, got {got!r}", got=pair), tr("for example --set rate=1e-3"))
        if key in found:
            raise UsageError("--set", tr("{key} is given twice", key=key), tr("give it once"))
        found[key] = read_yaml(value, f"--set {key}")
    return found


def plain(value: Any) -> Any:
    """An option as a Python program may give it (NumPy's numbers, records, tuples) as plain JSON values."""
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def assign(given: Mapping[str, Any], model_options: Sequence[str], modality: type[Modality], task: type[Task]) -> Choices:
    """Sorts what was asked for by the place that knows the key.

    Raises:
        UsageError: a key that no place knows (the nearest is named), or that two places know.
    """
    places: dict[str, tuple[str, ...]] = {
        "train": tuple(f.name for f in fields(Settings)),
        "model": tuple(model_options),
        "modality": modality.choices,
        "task": task_options(task),
        "split": SPLIT,
    }
    sorted_out: dict[str, dict[str, Any]] = {place: {} for place in places}
    for key, value in given.items():
        place, name = _place(key, places)
        sorted_out[place][name] = value
    return Choices(**sorted_out)


def refuse_test_of_folds(test: object, options: Mapping[str, Any]) -> None:
    """Raises `UsageError` where folds are asked for and a test part too."""
    names = {key.rpartition(".")[2] for key in options}
    if {"folds", "fold"} & names and (test is not None or "test_fraction" in names):
        raise UsageError("folds", tr("each fold is the test part in its turn, and another is given too"), tr("leave out one of the two"))


def task_options(task: type[Task]) -> tuple[str, ...]:
    """What may be chosen of a task: the keyword-only arguments of its `fit`."""
    return tuple(name for name, p in inspect.signature(task.fit).parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY)


def _place(key: str, places: Mapping[str, tuple[str, ...]]) -> tuple[str, str]:
    place, dot, name = key.partition(".")
    if dot and place in places:
        if name not in places[place]:
            raise _unknown(key, [f"{place}.{known}" for known in places[place]])
        return place, name
    homes = [place for place, names in places.items() if key in names]
    if not homes:
        raise _unknown(key, [known for names in places.values() for known in names])
    if len(homes) > 1:
        raise UsageError(
            "--set",
            tr("{key} is known to {names}", key=key, names=both(homes)),
            tr("write {choices}", choices=either([f"{home}.{key}" for home in homes])),
        )
    return homes[0], key


def _unknown(key: str, known: list[str]) -> UsageError:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    some = textwrap.shorten(", ".join(sorted(set(known))), 160, placeholder=" ...")
    return UsageError(
        "--set",
        tr("unknown key {key!r}", key=key[:60]),
        tr("did you mean {near!r}?", near=near[0]) if near else tr("known: {some}", some=some),
    )
