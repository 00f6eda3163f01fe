"""What targets say: whether they are labels or numbers, and whether the parts agree. Knows no file and no loss function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from convrnn.core.errors import DataError, UsageError
from convrnn.core.labels import in_order, label, to_number
from convrnn.core.language import tr
from convrnn.core.terms import called, sort_named
from convrnn.data.examples import Examples, Target, Task

FEW_LABELS = 20
"""Up to so many different whole numbers are labels; more are labels only if each comes ten times on average."""


def task_of(examples: Examples) -> tuple[Task, str]:
    """The task, and the reason in words for the user.

    Raises:
        DataError: there are no targets.
    """
    if examples.task is not None:
        return examples.task, tr("{task} (as the data or the user says)", task=sort_named(examples.task))
    targets = known(examples)
    numbers = [to_number(target) for target in targets]
    distinct = len(set(targets))
    name = examples.target_name
    if any(number is None for number in numbers):
        return "classify", tr("classify, since {name!r} holds {distinct} labels that are not numbers", name=name, distinct=distinct)
    if any(number is not None and not number.is_integer() for number in numbers):
        return "regress", tr("regress, since {name!r} holds numbers with fractions", name=name)
    task: Task = "regress" if distinct > FEW_LABELS and distinct * 10 > len(targets) else "classify"
    return task, tr(
        "{task}, since {name!r} holds {distinct} different whole numbers in {rows} rows",
        task=sort_named(task),
        name=name,
        distinct=distinct,
        rows=len(targets),
    )


def as_task(examples: Examples, task: Task | None) -> Examples:
    """The examples with targets of the type that the task wants: `float` to regress, `str` to classify; None leaves them as they are.

    Raises:
        DataError: a target that is no number although the task is to regress; names its row.
        UsageError: no such task.
    """
    if task is None:
        return examples
    if task not in ("classify", "regress"):
        raise UsageError("task", tr("expected classify or regress, got {got!r}", got=task), tr("choose one of them"))
    if examples.targets is None:
        return replace(examples, task=task)
    if task == "classify":
        return replace(examples, task=task, targets=[label(target) for target in examples.targets])
    numbers: list[Target] = []
    for target, name in zip(examples.targets, examples.names, strict=True):
        number = to_number(target)
        if number is None:
            raise DataError(
                f"{name}:{examples.target_name}",
                tr("expected a number, got {got!r}", got=target),
                tr("correct the cell, or use --task classify"),
            )
        numbers.append(number)
    return replace(examples, task=task, targets=numbers)


def known(examples: Examples) -> list[Target]:
    """The targets.

    Raises:
        DataError: there are none.
    """
    if examples.targets is None:
        where = examples.names[0] if examples.names else "data"
        raise DataError(where, tr("these rows have no target"), tr("name the target column with --target"))
    return examples.targets


def labels_of(targets: Sequence[Target]) -> tuple[str, ...]:
    """The different labels, in the order of `core.labels.in_order`."""
    return in_order(map(label, targets))


def check_labels(train: Examples, other: Examples | None = None, part: str = "test") -> None:
    """Whether a classifier can be learned from `train` and measured on `other`.

    Args:
        train: the part to learn from; at least two labels.
        other: a part without labels of its own; None: there is no such part.
        part: what `other` is called in the message.

    Raises:
        DataError: the training part has one label only, or `other` has one that it lacks; names a row.
    """
    seen = {label(target) for target in known(train)}
    if len(seen) < 2:
        only = ", ".join(map(repr, seen)) or tr("nothing")
        raise DataError(
            train.names[0],
            tr(
                "expected at least two labels in {target_name!r}, got {got} in all {count} rows",
                target_name=train.target_name,
                got=only,
                count=len(train),
            ),
            tr("add rows of another label, or name another --target"),
        )
    if other is None or other.targets is None:
        return
    for target, name in zip(other.targets, other.names, strict=True):
        if label(target) not in seen:
            count = Counter(map(label, other.targets))[label(target)]
            raise DataError(
                name,
                tr(
                    "label {label!r} comes only in the {part} part ({count} rows), never in training",
                    label=label(target),
                    part=called(part),
                    count=count,
                ),
                tr("correct the label, or give rows of it to the training part"),
            )
