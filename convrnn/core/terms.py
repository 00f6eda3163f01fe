"""Parts of data, kinds of input, tasks and metrics, by the names that people read. Knows the names alone, no metric's arithmetic.

Files, JSON and options keep the names themselves; one that has no other name here stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from convrnn.core.language import spoken, tr

_PARTS: Mapping[str, Callable[[], str]] = {
    "train": lambda: tr("training"),
    "valid": lambda: tr("validation"),
    "test": lambda: tr("test"),
}

_SORTS: Mapping[str, Callable[[], str]] = {
    "series": lambda: tr("series"),
    "text": lambda: tr("text"),
    "image": lambda: tr("image"),
    "audio": lambda: tr("audio"),
    "classify": lambda: tr("classify"),
    "regress": lambda: tr("regress"),
}

_TERMS: Mapping[str, Callable[[], str]] = {
    "loss": lambda: tr("loss"),
    "accuracy": lambda: tr("accuracy"),
    "balanced_accuracy": lambda: tr("balanced accuracy"),
    "macro_f1": lambda: tr("macro F1"),
    "top5": lambda: tr("top-5 accuracy"),
    "mae": lambda: tr("mean absolute error"),
    "mse": lambda: tr("mean squared error"),
    "rmse": lambda: tr("root mean squared error"),
    "rae": lambda: tr("relative absolute error"),
    "rse": lambda: tr("relative squared error"),
    "rrse": lambda: tr("root relative squared error"),
    "r2": lambda: tr("R\u00b2"),
}


def part_named(part: str) -> str:
    """`train` -> training."""
    return _PARTS[part]() if part in _PARTS else part


def sort_named(name: str) -> str:
    """A kind of input or a task: in English its own name, which options and JSON have too; in Chinese that stands behind the word."""
    return _SORTS[name]() if name in _SORTS else name


def called(name: str) -> str:
    """A part or a metric beside numbers on a terminal: in English by its own name, which options and JSON have too."""
    return name if spoken() == "en" else part_named(name) if name in _PARTS else named(name)


def named(metric: str) -> str:
    """`macro_f1` -> macro F1; one of somebody else's with blanks for its underscores."""
    return _TERMS[metric]() if metric in _TERMS else metric.replace("_", " ")
