"""One of several labels for each row: softmax and cross-entropy. Knows no file; labels are texts.

Shape legend: N rows, K labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from convrnn.core.errors import DataError, SpecError
from convrnn.core.labels import in_order, label
from convrnn.core.language import tr
from convrnn.core.spec import register
from convrnn.tasks.base import Target, Task, require_rows, row_name

MANY = 10
"""With more labels than this, a right one among the five highest scores is worth telling."""

Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@register("classify")
class Classify(Task):
    """Cross-entropy of a softmax over the labels.

    Attributes:
        labels: what the scores stand for, in order: by number if all labels are numbers, else by text.
        weights: how much a row of each label counts in the loss; None: all rows count alike.
        label_smoothing: share of the target spread evenly over all labels (Szegedy et al. 2016, arXiv 1512.00567).

    Example:
        >>> task = Classify.fit(["cat", "dog", "cat"], class_weights="balanced")
        >>> task.labels, task.weights
        (('cat', 'dog'), (0.75, 1.5))
    """

    monitor: ClassVar[str] = "accuracy"
    best: ClassVar[Literal["max", "min"]] = "max"
    labels: tuple[str, ...] = field(kw_only=False)
    weights: tuple[Weight, ...] | None = None
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def check(self) -> None:
        """Two labels or more, each once, and a weight for each if for any."""
        if len(set(self.labels)) < max(2, len(self.labels)):
            raise SpecError("classify.labels", tr("expected two different labels or more, each once, got {got}", got=list(self.labels)))
        if self.weights is not None and len(self.weights) != len(self.labels):
            raise SpecError(
                "classify.weights",
                tr("expected {wanted} weights, one a label, got {got}", wanted=len(self.labels), got=len(self.weights)),
            )

    @classmethod
    def fit(cls, targets: Sequence[Target], *, class_weights: Literal["balanced"] | None = None, label_smoothing: float = 0.0) -> Self:
        """The labels that occur, and their weights.

        Args:
            targets: of the training part; 1, 1.0 and "1" are one label.
            class_weights: `balanced`: N / (K times the rows of the label), so that rare labels count as much as frequent ones.
            label_smoothing: see the class.

        Raises:
            DataError: fewer than two different labels.
            SpecError: an option that cannot be.
        """
        if class_weights not in (None, "balanced"):
            raise SpecError("classify.class_weights", tr("expected 'balanced' or nothing, got {got!r}", got=class_weights))
        counts = Counter(label(target) for target in targets)
        if len(counts) < 2:
            only = ", ".join(map(repr, counts)) or tr("nothing")
            raise DataError(
                "target",
                tr("expected at least two labels, got {got} in all {count} rows", got=only, count=len(targets)),
                tr("add rows of another label, or name another --target"),
            )
        labels = in_order(counts)
        balanced = tuple(len(targets) / (len(labels) * counts[name]) for name in labels)
        return cls(labels, weights=balanced if class_weights else None, label_smoothing=label_smoothing)

    @property
    def width(self) -> int:
        """See `Task.width`."""
        return len(self.labels)

    def encode(self, targets: Sequence[Target], names: Sequence[str] = ()) -> Tensor:
        """int64 `[N]`: the place of each label; see `Task.encode`."""
        places = {name: place for place, name in enumerate(self.labels)}
        known = [places.get(label(target), -1) for target in targets]
        if -1 in known:
            row = known.index(-1)
            foreign = label(targets[row])
            count = sum(label(target) == foreign for target in targets)
            raise DataError(
                row_name(names, row),
                tr("label {foreign!r} ({count} rows) never comes in training", foreign=foreign, count=count),
                tr("known: {listed}; correct it, or train with rows of it", listed=_listed(self.labels)),
            )
        return torch.tensor(known, dtype=torch.int64)

    def soft(self, targets: Tensor) -> Tensor:
        """float32 `[N, K]`, one-hot; see `Task.soft`."""
        return F.one_hot(targets, self.width).to(torch.float32)

    def loss(self, y_NK: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy, the mean over rows by weight; see `Task.loss`."""
        y_NK = y_NK.float() if y_NK.dtype in (torch.float16, torch.bfloat16) else y_NK
        weight_K = None if self.weights is None else torch.tensor(self.weights, dtype=y_NK.dtype, device=y_NK.device)
        if targets.dim() == 1:
            return F.cross_entropy(y_NK, targets, weight_K, label_smoothing=self.label_smoothing)
        # As for one label a row: torch divides mixed rows by their number, not by their weight.
        weighted_NK = targets if weight_K is None else targets * weight_K
        return F.cross_entropy(y_NK, targets, weight_K, reduction="sum", label_smoothing=self.label_smoothing) / weighted_NK.sum()

    def score(self, y_NK: Tensor, targets: Tensor) -> Tensor:
        """Accuracy; of a mixed row, the label with the largest share is right."""
        right = targets if targets.dim() == 1 else targets.argmax(1)
        return (y_NK.argmax(1) == right).double().mean()

    def decode(self, y_NK: Tensor) -> list[dict[str, Any]]:
        """`{"label", "probability", "probabilities": {label: p}}` for each row."""
        rows = y_NK.detach().cpu().double().softmax(1)
        places = rows.argmax(1).tolist()
        return [
            {"label": self.labels[place], "probability": p_K[place], "probabilities": dict(zip(self.labels, p_K, strict=True))}
            for place, p_K in zip(places, rows.tolist(), strict=True)
        ]

    def metrics(self, y_NK: Tensor, targets: Tensor) -> dict[str, float]:
        """`loss`, `accuracy`, `balanced_accuracy`, `macro_f1`, and `top5` where there are more than 10 labels; see `Task.metrics`."""
        require_rows(y_NK, targets)
        scores, right = y_NK.detach().cpu().double(), targets.cpu().numpy()
        given = scores.argmax(1).numpy()
        asked_K, given_K, hits_K = (np.bincount(places, minlength=self.width) for places in (right, given, right[right == given]))
        were, came = asked_K > 0, asked_K + given_K > 0
        found = {
            "loss": float(self.loss(scores, targets.cpu())),
            "accuracy": float((right == given).mean()),
            # over the labels that are asked for, and over those asked for or answered, as in scikit-learn
            "balanced_accuracy": float((hits_K[were] / asked_K[were]).mean()),
            "macro_f1": float((2 * hits_K[came] / (asked_K + given_K)[came]).mean()),
        }
        if self.width > MANY:
            # of equal scores the later label ranks higher, as in scikit-learn
            highest = np.argsort(scores.numpy(), axis=1, kind="stable")[:, -5:]
            found["top5"] = float((highest == right[:, None]).any(1).mean())
        return found


def _listed(labels: Sequence[str], most: int = 12) -> str:
    """Labels for an error line, cut where it would grow too long."""
    some = ", ".join(labels[:most])
    return tr("{listed} and {more} more", listed=some, more=len(labels) - most) if len(labels) > most else some
