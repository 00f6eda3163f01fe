"""What every task is: what ends the model, what is minimised, what an answer means, how good answers are. Knows no file and no optimizer.

A task is a frozen record fitted on the targets of the training part and stored with the model, so that prediction decodes as training
encoded. The model ends in one frame a row; its channels are the scores.

Shape legend: N rows, K scores a row.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

from torch import Tensor, nn

from convrnn.core.errors import DataError, ShapeError
from convrnn.core.language import tr
from convrnn.core.seq import Seq
from convrnn.core.spec import Record
from convrnn.layers.base import Layer, Spec
from convrnn.layers.framewise import Fold, Linear
from convrnn.layers.pool_whole import GlobalPool

Target = str | int | float
"""A target as the data has it."""


class Task(Record, ABC):
    """Head + loss + decoding + metrics.

    Attributes:
        monitor: the metric that tables name first; a mean over rows.
        best: whether more of it is better.
    """

    family = "task"
    monitor: ClassVar[str] = ""
    best: ClassVar[Literal["max", "min"]] = "max"

    @classmethod
    @abstractmethod
    def fit(cls, targets: Sequence[Target]) -> Self:
        """Learns from the targets of the training part; subclasses add keyword options with defaults.

        Raises:
            DataError: nothing can be learned from these targets.
            SpecError: an option that cannot be.
        """

    @property
    @abstractmethod
    def width(self) -> int:
        """K, the scores of a row."""

    @abstractmethod
    def encode(self, targets: Sequence[Target], names: Sequence[str] = ()) -> Tensor:
        """Targets as numbers, `[N]`.

        Args:
            targets: as in `fit`.
            names: `file:row` of each, for errors; empty: `row 1`, `row 2`, ...

        Raises:
            DataError: the first target that cannot be used, by name.
        """

    @abstractmethod
    def soft(self, targets: Tensor) -> Tensor:
        """Encoded targets `[N]` as floats `[N, K]` that may be mixed: shares of labels, or numbers."""

    @abstractmethod
    def loss(self, y_NK: Tensor, targets: Tensor) -> Tensor:
        """What is minimised: a scalar, the mean over rows (by weight where labels have weights).

        Args:
            y_NK: scores; half precision is computed in float32.
            targets: encoded `[N]`, or soft `[N, K]`.
        """

    @abstractmethod
    def score(self, y_NK: Tensor, targets: Tensor) -> Tensor:
        """The metric `monitor` of a batch as a scalar tensor, targets encoded or soft; never waits for a device."""

    @abstractmethod
    def decode(self, y_NK: Tensor) -> list[dict[str, Any]]:
        """The answer of each row in the user's terms: plain JSON values."""

    @abstractmethod
    def metrics(self, y_NK: Tensor, targets: Tensor) -> dict[str, float]:
        """`loss`, `monitor` and the other metrics of encoded targets, in that order and in the user's units.

        Raises:
            DataError: no rows.
            UsageError: scikit-learn is not installed.
        """

    def head(self, body: Layer) -> tuple[Spec, ...]:
        """What to append to a body so that each row gives one frame of K scores.

        The mean over time unless the body gives one frame a row, space into channels if there is any, a dense layer.
        """
        # Where the number of frames does not grow (ratio 0), one row tells it for all: it need not be 1.
        pool = () if body.ratio == 0 and int(body.frames(1)) == 1 else (GlobalPool("mean"),)
        fold = (Fold(),) if len(body.out_shape) > 1 else ()
        return (*pool, *fold, Linear(self.width))


def answers(net: nn.Module, x: Seq) -> Tensor:
    """`[B, K]`: the scores of a batch from a net that ends in a task's head, hence in one frame a row.

    Raises:
        ShapeError: it gives more frames, of which none may be dropped, or none.
    """
    y = net(x).seq.values
    if y.shape[1] != 1:
        raise ShapeError("model", tr("expected one frame a row, got {got}", got=y.shape[1]), tr("put GlobalPool before its last layer"))
    return y[:, 0]


def require_rows(y_NK: Tensor, targets: Tensor) -> None:
    """Raises `DataError` for metrics of nothing."""
    assert len(y_NK) == len(targets), (y_NK.shape, targets.shape)
    if not len(targets):
        raise DataError("metrics", tr("expected at least one row, got none"), tr("give some rows with targets"))


def row_name(names: Sequence[str], row: int) -> str:
    """What to call a row in an error."""
    return names[row] if names else f"row {row + 1}"
