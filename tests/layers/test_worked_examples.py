"""The arithmetic that the articles print, done by hand: convolution, pooling, LSTM and GRU, to the digits that stand there.

The numbers come from paper and pencil (and were checked in torch and Keras), not from this package.
"""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor

from convrnn.core.seq import Seq
from convrnn.layers.base import Layer
from convrnn.layers.conv import Conv
from convrnn.layers.pool import Pool
from convrnn.layers.recurrent import GRU, LSTM

SIGNAL = torch.tensor([1.0, 2, 3, 4, 5], dtype=torch.float64).reshape(1, 5, 1)
ROWS = torch.tensor([[[1.0, 0], [0, 1], [1, 1]]], dtype=torch.float64)


def answer(net: Layer, values: Tensor = SIGNAL) -> Tensor:
    with torch.no_grad():
        return net.double()(Seq(values)).seq.values.squeeze(0).squeeze(-1)


def convolution(weights: list[float], padding: Literal["same", "causal", "valid"]) -> list[float]:
    net = Conv(1, kernel=len(weights), padding=padding, bias=False).build(1)
    with torch.no_grad():
        net.get_parameter("weight").copy_(torch.tensor(weights).reshape(1, 1, -1))
    return answer(net).tolist()


@pytest.mark.parametrize(("padding", "want"), [("valid", [4, 6, 8]), ("same", [2, 4, 6, 8, 7]), ("causal", [0.5, 2, 4, 6, 8])])
def test_convolution_of_five_numbers(padding: Literal["same", "causal", "valid"], want: list[float]) -> None:
    assert convolution([0.5, 1, 0.5], padding) == want


def test_convolution_does_not_flip_the_kernel() -> None:
    """The mathematical convolution would give [2, 2, 2]."""
    assert convolution([1, 0, -1], "valid") == [-2, -2, -2]


def test_convolution_of_a_two_by_two_picture() -> None:
    """1 - 4; a flipped kernel would give 3."""
    net = Conv(1, kernel=2, padding="valid", bias=False).build((2, 1))
    with torch.no_grad():
        net.get_parameter("weight").copy_(torch.tensor([[1.0, 0], [0, -1]]).reshape(1, 1, 2, 2))
    assert answer(net, torch.tensor([[[1.0], [2]], [[3], [4]]], dtype=torch.float64)[None]).tolist() == [[-3]]


@pytest.mark.parametrize(
    ("kind", "partial", "want"),
    [("max", "keep", [2, 4, 5]), ("max", "drop", [2, 4]), ("mean", "keep", [1.5, 3.5, 5]), ("mean", "drop", [1.5, 3.5])],
)
def test_pooling_by_two(kind: Literal["max", "mean"], partial: Literal["keep", "drop"], want: list[float]) -> None:
    assert answer(Pool(2, kind=kind, partial=partial).build(1)).tolist() == want


def test_kept_windows_begin_at_the_first_frame() -> None:
    """Keras `same` would pad on the left: [2, 4]."""
    assert answer(Pool(3).build(1), SIGNAL[:, :4]).tolist() == [3, 4]


def test_a_short_row_survives_two_pools_by_two() -> None:
    for frames in (1, 2, 3):
        first = answer(Pool(2).build(1), SIGNAL[:, :frames])
        assert answer(Pool(2).build(1), first.reshape(1, -1, 1)).tolist() == [frames]


def recipe(gate: int) -> Tensor:
    """W_k[r][c] = (((5 r + c + 15 k) mod 7) - 3) / 10 over [h (3), x (2)]."""
    rows, columns = torch.arange(3)[:, None], torch.arange(5)
    return ((5 * rows + columns + 15 * gate) % 7 - 3).double() / 10


def recurrent(net: Layer, gates: tuple[int, ...]) -> Layer:
    """The recipe's gates in our order."""
    weights = torch.cat([recipe(gate) for gate in gates])
    net = net.double()
    with torch.no_grad():
        net.get_parameter("forward_layers.0.w_h").copy_(weights[:, :3])
        net.get_parameter("forward_layers.0.w_x").copy_(weights[:, 3:])
    return net


LSTM_STEPS = [
    # C, h
    ([0.103618, 0, -0.083995], [0.059310, 0, -0.039806]),
    ([0.231814, 0.043541, -0.090097], [0.096477, 0.023797, -0.045506]),
    ([0.429256, 0.063621, -0.161769], [0.201670, 0.036160, -0.077417]),
]


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_lstm_step_by_step(steps: int) -> None:
    """The article's gates are f, i, C, o with b_f = 1, as `forget_bias` is by default; ours are i, f, g, o."""
    net = recurrent(LSTM(3).build(2), (1, 0, 2, 3))
    with torch.no_grad():
        y, state = net(Seq(ROWS[:, :steps]))
    assert state is not None
    h, c = state[0][0]
    for got, want in zip((c, h, y.values[:, -1]), (*LSTM_STEPS[steps - 1], LSTM_STEPS[steps - 1][1]), strict=True):
        assert [round(v, 6) for v in got[0].tolist()] == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize(("reset", "want"), [("before", [0.325010, 0.053635, -0.175339]), ("after", [0.324004, 0.056485, -0.179722])])
def test_gru_after_three_steps(reset: Literal["before", "after"], want: list[float]) -> None:
    """The article writes h = (1 - z) h + z n, so its W_z is minus ours; its gates are z, r, h, ours r, z, n."""
    net = recurrent(GRU(3, reset=reset).build(2), (1, 0, 2))
    with torch.no_grad():
        for name in ("w_x", "w_h"):
            net.get_parameter(f"forward_layers.0.{name}")[3:6].neg_()
        y = net(Seq(ROWS)).seq.values[0, -1]
    assert [round(v, 6) for v in y.tolist()] == pytest.approx(want, abs=1e-12)
