"""What `describe` counts, against hand and against the definitions."""

from __future__ import annotations

import pytest

from convrnn.core.seq import Ids
from convrnn.deploy.describe import layer_table, multiply_adds
from convrnn.kernels import dispatch
from convrnn.layers.combine import Serial
from convrnn.layers.conv import Conv
from convrnn.layers.convrecurrent import ConvLSTM
from convrnn.layers.embed import Embedding
from convrnn.layers.framewise import Linear
from convrnn.layers.norm import BatchNorm
from convrnn.layers.pool import Pool
from convrnn.layers.pool_whole import GlobalPool
from convrnn.layers.recurrent import GRU, LSTM, RNN
from convrnn.layers.scan import QRNN, MinGRU
from convrnn.layers.stacked import Stacked
from convrnn.testing.case import Case
from convrnn.testing.cases import CASES

NET = Serial(Conv(4, stride=2), Conv(4, kernel=5), Pool(2), GRU(3), GlobalPool("last"), Linear(2))


BY_HAND = {
    "conv": (Conv(7, kernel=5), 3, 20 * 5 * 3 * 7),
    "strided": (Conv(7, kernel=5, stride=2), 3, 10 * 5 * 3 * 7),
    "depthwise": (Conv(6, kernel=3, groups=3), 3, 20 * 3 * 6),
    "linear": (Linear(4), 3, 20 * 3 * 4),
    "rnn": (RNN(5), 3, 20 * 5 * (3 + 5)),
    "lstm": (LSTM(5), 3, 20 * 4 * 5 * (3 + 5)),
    "lstm-projected": (LSTM(5, projection=2), 3, 20 * (4 * 5 * (3 + 2) + 5 * 2)),
    "gru": (GRU(5), 3, 20 * 3 * 5 * (3 + 5)),
    "gru-two-layers-both-ways": (GRU(5, layers=2, bidirectional=True), 3, 20 * 2 * 3 * 5 * ((3 + 5) + (10 + 5))),
    "minimal": (MinGRU(5), 3, 20 * 2 * 3 * 5),
    "quasi-recurrent": (QRNN(5, kernel=2), 3, 20 * 3 * 2 * 3 * 5),
    "convolutional": (ConvLSTM(4, kernel=3), (6, 5, 2), 20 * 6 * 5 * 9 * 4 * 4 * (2 + 4)),
    "pool": (Pool(2), 3, 0),
    "norm": (BatchNorm(), 3, 0),
    "embedding": (Embedding(4), Ids(9), 0),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_multiply_adds_as_counted_by_hand(name: str) -> None:
    spec, shape, terms = BY_HAND[name]
    assert multiply_adds(spec.build(shape).eval(), 20) == terms


@pytest.mark.parametrize("case", [case for case in CASES if isinstance(case.spec, Stacked)], ids=lambda case: case.name)
def test_multiply_adds_of_an_operator_are_those_of_its_definition(case: Case) -> None:
    net = case.build()
    with dispatch.use("reference"):
        wanted = multiply_adds(net, 6)
    assert multiply_adds(net, 6) == wanted


def test_a_table_counts_every_product_once() -> None:
    net = NET.build(3).eval()
    rows = {row["path"]: row["multiply_adds"] for row in layer_table(net, 20)}
    assert sum(rows.values()) == multiply_adds(net, 20)
    assert list(rows.values())[2:] == [0, 5 * 3 * 3 * (4 + 3), 0, 3 * 2]
