"""The four ways to join convolution and recurrence, told apart by what a frame of each reads."""

from __future__ import annotations

import pytest
import torch

from convrnn import zoo
from convrnn.core.seq import Seq
from convrnn.layers.base import Layer
from convrnn.layers.combine import Parallel, Serial
from convrnn.layers.recurrent import LSTM
from convrnn.zoo import Fingerprint
from convrnn.zoo.blocks import windows_for

LONG = Fingerprint("series", (2,), 3, 600, (60, 240, 300))


def before_the_recurrence(name: str, recurrence: str) -> Layer:
    """The net up to its recurrence, which reads what this gives."""
    spec = zoo.get(name).spec(LONG)
    assert isinstance(spec, Serial)
    place = [layer.name for layer in spec.layers].index(recurrence)
    return Serial(*spec.layers[:place]).build(LONG.in_shape).double().eval()


def frames_read(net: Layer, frame: int, frames: int) -> list[int]:
    """Input frames that make output frame `frame` NaN when they are."""
    torch.manual_seed(0)
    x = torch.randn(1, frames, 2, dtype=torch.float64)
    read: list[int] = []
    for t in range(frames):
        poisoned = x.clone()
        poisoned[0, t] = float("nan")
        if bool(net(Seq(poisoned)).seq.values[0, frame].isnan().any()):
            read.append(t)
    return read


def test_the_extractor_reads_its_window_and_nothing_beyond_its_borders() -> None:
    net = before_the_recurrence("cnn-lstm", "lstm")
    size, hop = windows_for(LONG.lengths[1])
    assert (size, hop) == (20, 10)
    for frame in (0, 1, 3):
        assert frames_read(net, frame, 60) == list(range(frame * hop, frame * hop + size))
    assert (net.past, net.lookahead) == (0, size - 1)


def test_the_cascade_reads_across_every_border_that_windows_of_its_stride_would_have() -> None:
    net = before_the_recurrence("crnn", "gru")
    step = net.ratio.denominator
    read = frames_read(net, 2, 12 * step)
    assert min(read) < 2 * step and max(read) >= 3 * step
    assert net.past is not None and net.lookahead is not None
    assert read == list(range(2 * step - net.past, 2 * step + net.lookahead + 1))


def test_side_by_side_neither_branch_sees_the_other() -> None:
    spec = zoo.get("parallel-cnn-lstm").spec(LONG)
    assert isinstance(spec, Serial)
    (joined,) = (layer for layer in spec.layers if isinstance(layer, Parallel))
    kinds = [{layer.name for _, layer in branch.build(2).walk()} for branch in joined.branches]
    assert "conv" in kinds[0] and "lstm" not in kinds[0]
    assert "lstm" in kinds[1] and "conv" not in kinds[1]


@pytest.mark.parametrize("fusion", ["concat", "add", "mean", "multiply", "gate", "attention"])
def test_the_branches_are_fused_as_asked(fusion: str) -> None:
    net = zoo.get("parallel-cnn-lstm").spec(LONG, fusion=fusion, width=4).build(LONG.in_shape)
    assert net.out_shape == ((16,) if fusion == "concat" else (8,))


def test_inside_the_gates_the_convolution_decides_and_x_is_the_candidate() -> None:
    """The gates i and f read `kernel` frames, g and o one: a frame that only the convolution sees moves i and f and nothing else."""
    spec = zoo.get("gate-cnn-lstm").spec(LONG, kernel=5, width=4)
    assert isinstance(spec, Serial)
    (cell,) = (layer for layer in spec.layers if isinstance(layer, LSTM))
    net = cell.build(2).double().eval()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith("w_h"):
                parameter.zero_()  # without the state, what a gate says depends on what it reads alone
    torch.manual_seed(1)
    x = torch.randn(1, 9, 2, dtype=torch.float64)
    other = x.clone()
    other[0, 4] += 1
    here, there = net.inside(Seq(x)), net.inside(Seq(other))
    moved = {symbol: (here[symbol] != there[symbol]).any(-1)[0].nonzero()[:, 0].tolist() for symbol in "ifgo"}
    assert moved["g"] == moved["o"] == [4]
    assert set(moved["i"]) | set(moved["f"]) == {4, 5, 6, 7, 8}
