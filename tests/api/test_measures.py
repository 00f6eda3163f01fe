"""How far back gradients reach, against nets that answer with the last frame by themselves; and the peak of memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from convrnn.api.machine import peak_memory, reset_peak_memory
from convrnn.api.measures import binned, gradient_norms
from convrnn.core.seq import Ids, Seq, Shape
from convrnn.layers.base import Layer, Spec
from convrnn.layers.combine import Parallel, Serial
from convrnn.layers.conv import Conv
from convrnn.layers.embed import Embedding
from convrnn.layers.framewise import Linear
from convrnn.layers.pool_whole import GlobalPool
from convrnn.layers.recurrent import GRU, LSTM
from convrnn.layers.window import TimeDistributed, Window
from convrnn.tasks import Classify
from convrnn.tasks.base import answers

TASK = Classify.fit(["a", "b", "c"] * 2)
LENGTHS = (9, 4, 7)
TARGETS = torch.tensor([0, 2, 1])


def net_of(spec: Spec, shape: int | Shape | Ids) -> Layer:
    torch.manual_seed(0)
    return spec.build(shape).double()


def with_pool(kind: str) -> Serial:
    pool = GlobalPool(kind)  # pyright: ignore[reportArgumentType]
    return Serial(Conv(4, kernel=3), Parallel(Serial(GRU(5), pool), Serial(LSTM(4), pool)), Linear(3))


def alone(net: Layer, frames: Tensor, target: Tensor) -> Tensor:
    """|d loss / d frame| of one row by itself, each frame's norm."""
    leaf = frames[None].clone().requires_grad_()
    TASK.loss(answers(net.eval(), Seq(leaf)), target[None]).backward()
    assert leaf.grad is not None
    return leaf.grad[0].norm(dim=1)


@pytest.mark.parametrize("kind", ["mean", "max", "lp", "last"])
def test_a_row_of_any_pool_is_answered_by_its_last_frame(kind: str) -> None:
    x = torch.randn(3, 9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    wanted, net = net_of(with_pool("last"), 2), net_of(with_pool(kind), 2)
    net.load_state_dict(wanted.state_dict())
    before = answers(net.eval(), Seq(x, torch.tensor(LENGTHS)))
    found = gradient_norms(net, TASK, Seq(x, torch.tensor(LENGTHS)), TARGETS)
    for row, length in enumerate(LENGTHS):
        torch.testing.assert_close(found[row, :length], alone(wanted, x[row, :length], TARGETS[row]), rtol=1e-10, atol=1e-12)
        assert bool((found[row, length:] == 0).all())
    torch.testing.assert_close(answers(net, Seq(x, torch.tensor(LENGTHS))), before, msg="a hook stays behind")


def test_symbols_are_what_the_embedding_makes_of_them() -> None:
    spec = Serial(Embedding(6), LSTM(4), GlobalPool("mean"), Linear(3))
    net = net_of(spec, Ids(11))
    ids = torch.randint(0, 11, (3, 9), generator=torch.Generator().manual_seed(2))
    inner = Serial(LSTM(4), GlobalPool("last"), Linear(3)).build(6).double()
    behind: dict[str, Tensor] = {}
    for name, tensor in net.state_dict().items():
        _, place, rest = name.split(".", 2)
        if place != "0":
            behind[f"layers.{int(place) - 1}.{rest}"] = tensor
    inner.load_state_dict(behind)
    frames = net.get_submodule("layers.0")(Seq(ids)).seq.values.detach()
    found = gradient_norms(net, TASK, Seq(ids, torch.tensor(LENGTHS)), TARGETS)
    for row, length in enumerate(LENGTHS):
        torch.testing.assert_close(found[row, :length], alone(inner, frames[row, :length], TARGETS[row]))


def test_pools_over_windows_stay_what_they_are() -> None:
    extractor = Serial(Conv(4, kernel=3), GlobalPool("max"))
    nets = [net_of(Serial(Window(3, 2), TimeDistributed(extractor), LSTM(4), GlobalPool(kind), Linear(3)), 2) for kind in ("mean", "last")]
    nets[0].load_state_dict(nets[1].state_dict())
    x = torch.randn(1, 9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    found = gradient_norms(nets[0], TASK, Seq(x), TARGETS[:1])
    torch.testing.assert_close(found[0], alone(nets[1], x[0], TARGETS[0]))


def test_distances_are_counted_from_the_end_of_each_row() -> None:
    norms = torch.tensor([[1.0, 2, 3], [5, 7, 0]])
    found = binned(norms, torch.tensor([3, 2]))
    assert found == {"distance": [0.0, 1.0, 2.0], "norm": [(3 + 7) / 2, (2 + 5) / 2, 1.0]}


def test_far_distances_share_bins_and_every_frame_is_in_one() -> None:
    found = binned(torch.ones(1, 5_000), torch.tensor([5_000]))
    assert found["distance"][:10] == list(range(10)) and len(found["distance"]) < 100
    assert found["distance"] == sorted(found["distance"]) and set(found["norm"]) == {1.0}


def test_the_peak_is_of_what_was_in_use_since_it_was_reset() -> None:
    reset_peak_memory()
    before = peak_memory()
    assert before is not None and before > 10
    large = torch.ones(25_000_000)
    after = peak_memory()
    assert after is not None and after > before + 90, large.shape
