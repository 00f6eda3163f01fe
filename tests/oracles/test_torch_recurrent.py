"""RNN, LSTM and GRU against `torch.nn` with the same weights: ragged rows against packed ones, values, final states and gradients."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from convrnn.core.seq import Seq
from convrnn.layers.base import Spec
from convrnn.layers.recurrent import GRU, LSTM, RNN
from convrnn.testing.chunks import pad_rows, split_rows
from tests.oracles.asked import Answer, Function, agree, final, ours, pull, random_leaves
from tests.oracles.conftest import Versus
from tests.oracles.transfer import torch_recurrent

PEER = "torch.nn"
CHANNELS, UNITS = 3, 5
LENGTHS = (9, 4, 1, 7)  # a packed row has at least one frame

Options = dict[str, Any]
CELLS: dict[str, tuple[Callable[..., Spec], Options, Callable[..., nn.RNNBase], Options]] = {
    "RNN tanh": (RNN, {}, nn.RNN, {}),
    "RNN relu": (RNN, {"nonlinearity": "relu"}, nn.RNN, {"nonlinearity": "relu"}),
    "LSTM": (LSTM, {}, nn.LSTM, {}),
    "LSTM projected": (LSTM, {"projection": 2}, nn.LSTM, {"proj_size": 2}),
    "GRU": (GRU, {}, nn.GRU, {}),
}


def theirs(twin: nn.RNNBase) -> Function:
    """A module of torch on packed rows."""
    names = [name for name, _ in twin.named_parameters()]

    def function(at: list[Tensor]) -> Answer:
        frames, *weights = at
        rows = pad_rows(list(frames.split(LENGTHS)), max(LENGTHS), poison=False)
        lengths = torch.tensor(LENGTHS)
        packed = pack_padded_sequence(rows, lengths, batch_first=True, enforce_sorted=False)
        out, last = functional_call(twin, dict(zip(names, weights, strict=True)), (packed,))
        values, _ = pad_packed_sequence(out, batch_first=True)
        return Answer(torch.cat(split_rows(Seq(values, lengths))), last if isinstance(last, tuple) else (last,))

    return function


@pytest.mark.parametrize(("layers", "both"), list(product((1, 2, 3), (False, True))))
@pytest.mark.parametrize("cell", CELLS)
def test_recurrence(cell: str, layers: int, both: bool, dtype: torch.dtype, versus: Versus) -> None:
    spec, options, made, torch_options = CELLS[cell]
    net = spec(UNITS, layers=layers, bidirectional=both, **options).build(CHANNELS)
    twin = made(CHANNELS, UNITS, layers, batch_first=True, bidirectional=both, **torch_options)
    parameters = dict(twin.named_parameters())
    leaves = random_leaves([(sum(LENGTHS), CHANNELS), *(p.shape for p in parameters.values())], dtype)

    def transfer(weights: list[Tensor]) -> dict[str, Tensor]:
        return torch_recurrent(dict(zip(parameters, weights, strict=True)), layers, both, inner_bias=spec is GRU)

    page = versus(PEER, f"{cell}, {'both directions' if both else 'one direction'}")
    mine = ours(net, LENGTHS, transfer, final(2 if spec is LSTM else 1))
    agree(page, pull(mine, leaves), pull(theirs(twin), leaves))
