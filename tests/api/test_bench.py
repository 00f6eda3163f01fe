"""What `convrnn bench` rests on: turns, the twin in torch.nn, counted operations, the comparison before the clock."""

from __future__ import annotations

import itertools

import pytest
import torch

import convrnn as cr
from convrnn.api import bench, machine, timing
from convrnn.api.twin import torch_twin
from convrnn.core.errors import JobError


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """One round, small limits."""
    monkeypatch.setattr(bench, "ROUNDS", 1)
    monkeypatch.setattr(machine, "PRODUCTS", (32, 64))
    monkeypatch.setattr(machine, "STREAM_FLOATS", 2**12)


def test_rivals_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that ticks a second a look: no call is short, so each is made once a turn; the first two are not counted."""
    ticks = itertools.count()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(next(ticks)))
    order: list[str] = []
    taken = timing.by_turns({name: lambda name=name: order.append(name) for name in ("ours", "theirs")}, 3)
    assert order == ["ours", "ours", "theirs", "theirs", *["ours", "theirs"] * 3]
    assert taken == {"ours": [1.0] * 3, "theirs": [1.0] * 3}


def test_short_calls_fill_a_turn_and_begin_with_one_uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    now, calls = [0.0], [0]

    def call() -> None:
        calls[0] += 1
        now[0] += 2**-5

    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    assert timing.by_turns({"ours": call}, 2, turn=2**-3) == {"ours": [2**-5] * 2}
    assert calls[0] == 2 + 2 * (1 + 4)


def test_the_ratio_is_that_of_neighbours() -> None:
    """A machine that slows down tenfold between two rounds changes no pair."""
    assert timing.ratio({"ours": [1.0, 10.0, 2.0], "theirs": [3.0, 30.0, 2.0]}, "ours", "theirs") == 3.0


TWINS = {
    "rnn": cr.RNN(5),
    "rnn_relu": cr.RNN(5, nonlinearity="relu"),
    "lstm_both_ways": cr.LSTM(5, bidirectional=True),
    "gru": cr.GRU(5),
    "gru_deep_both_ways": cr.GRU(5, layers=2, bidirectional=True),
}


@pytest.mark.parametrize("name", TWINS)
def test_the_twin_answers_alike(name: str) -> None:
    net = TWINS[name].build(3)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter)
    twin = torch_twin(net)
    x = torch.randn(2, 7, 3)
    assert twin is not None
    torch.testing.assert_close(twin(x)[0], net(cr.Seq(x)).seq.values)


@pytest.mark.parametrize(
    "spec", [cr.GRU(5, reset="before"), cr.LSTM(5, peephole=True), cr.LSTM(5, projection=3), cr.GRU(5, learn_state=True), cr.MinGRU(5)]
)
def test_torch_has_no_twin(spec: cr.Spec) -> None:
    assert torch_twin(spec.build(3)) is None


def test_operations_are_those_of_the_products() -> None:
    """2 x frames x gates x H x (in + H); backward all of it twice, without the gradients of the input and of the first state."""
    net, (rows, frames, channels, units) = cr.GRU(4).build(3), (2, 5, 3, 4)
    forward = 2 * rows * frames * 3 * units * (channels + units)
    unneeded = 2 * rows * 3 * units * (frames * channels + units)
    assert bench._operations(net, "infer", rows, frames) == forward
    assert bench._operations(net, "train", rows, frames) == 3 * forward - unneeded


def test_costs_of_each_kind_of_work() -> None:
    net = cr.GRU(4).build(3)
    found = bench.costs(net, 2, 5, ("train", "infer", "row", "step"), bench.speed())
    assert [(each.work, each.rows, each.frames) for each in found] == [("train", 2, 5), ("infer", 2, 5), ("row", 1, 5), ("step", 1, 1)]
    assert all(each.seconds > 0 and each.torch_seconds and each.torch_ratio for each in found)
    assert [each.sgemm_share is not None for each in found] == [True, True, False, False]
    assert not net.training


def test_a_difference_from_torch_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is timed on it."""
    net = cr.GRU(4).build(3)
    other = torch_twin(cr.GRU(4).build(3))
    monkeypatch.setattr(bench, "torch_twin", lambda net: other)
    monkeypatch.setattr(bench, "by_turns", lambda *given: pytest.fail("timed"))
    now = bench.Speed("", "none", 1, "", 1.0, 1.0, None, machine.Limit("sgemm", lambda: None, 1.0))
    with pytest.raises(JobError, match=r"gru and torch\.nn differ by"):
        bench.costs(net, 2, 5, ("infer",), now)
