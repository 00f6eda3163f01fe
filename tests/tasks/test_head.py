"""Heads: whatever a body gives out, each row ends in one frame of K scores. Knows no training."""

from __future__ import annotations

import pytest
import torch

from convrnn.core.errors import ShapeError
from convrnn.core.seq import Ids, Seq
from convrnn.layers.attend import Attend
from convrnn.layers.base import Spec
from convrnn.layers.combine import Serial
from convrnn.layers.conv import Conv
from convrnn.layers.embed import Embedding
from convrnn.layers.framewise import Flatten
from convrnn.layers.pool import Pool
from convrnn.layers.pool_whole import GlobalPool
from convrnn.layers.recurrent import GRU
from convrnn.tasks import Classify, Regress, Task, answers

BODIES: list[tuple[Spec, tuple[int, ...] | Ids, list[str]]] = [
    (GRU(4), (3,), ["global_pool", "linear"]),
    (Serial(GRU(4), GlobalPool("last")), (3,), ["linear"]),
    (Serial(Embedding(4)), Ids(9), ["global_pool", "linear"]),
    (Conv(4), (5, 2), ["global_pool", "fold", "linear"]),
    (Serial(Conv(4), GlobalPool("max")), (5, 2), ["fold", "linear"]),
    (Serial(Flatten(frames=7)), (3,), ["linear"]),
    # A fixed number of frames that is not one.
    (Serial(Conv(4), Pool(windows=4)), (3,), ["global_pool", "linear"]),
    (Attend(Pool(windows=3), Conv(4)), (3,), ["global_pool", "linear"]),
    (Serial(Pool(windows=3), GRU(4)), (3,), ["global_pool", "linear"]),
    (Pool(windows=1), (3,), ["linear"]),
]


@pytest.mark.parametrize(("body", "shape", "names"), BODIES, ids=lambda value: value.name if isinstance(value, Spec) else None)
@pytest.mark.parametrize("task", [Classify(("a", "b", "c")), Regress(0.0, 1.0)], ids=lambda task: task.name)
def test_head(body: Spec, shape: tuple[int, ...] | Ids, names: list[str], task: Task) -> None:
    head = task.head(body.build(shape))
    assert [spec.name for spec in head] == names
    net = Serial(body, *head).build(shape)
    values = torch.randint(9, (2, 7)) if isinstance(shape, Ids) else torch.randn(2, 7, *shape)
    assert answers(net, Seq(values)).shape == (2, task.width)


def test_no_frame_of_an_answer_is_dropped() -> None:
    with pytest.raises(ShapeError, match="expected one frame a row, got 3"):
        answers(Serial(Conv(4), Pool(windows=3)).build(3), Seq(torch.randn(2, 7, 3)))
