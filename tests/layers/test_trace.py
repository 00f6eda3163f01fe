"""Looking inside: the table of the three-step LSTM, what layers within others are fed; nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

import convrnn as cr
from convrnn.core.columns import width
from convrnn.core.errors import ShapeError, UsageError
from convrnn.core.seq import Seq
from convrnn.layers.base import Spec
from convrnn.layers.trace import Trace
from convrnn.testing.cases import CASES
from tests.articles.written import our_lstm


def traced(spec: Spec, channels: int = 3, lengths: list[int] | None = None, frames: int = 7) -> Trace:
    torch.manual_seed(0)
    x = torch.randn(len(lengths or [0]), frames, channels, dtype=torch.float64)
    net = spec.build(channels).double()
    return net.trace(Seq(x, None if lengths is None else torch.tensor(lengths)))


def test_lstm_of_the_article_prints_its_table(root: Path) -> None:
    """The one in docs/inspect.md, with the digits that the article's table has: its columns f i C~ C o h are i f g o c h here."""
    rows = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    table = our_lstm().trace(Seq(torch.tensor([rows], dtype=torch.float64))).table()
    assert table.splitlines()[-1] == "          2  0.377718  0.729735  -0.254215  0.482733  -0.161769  -0.077417"
    assert f"```text\n{table}\n```" in (root / "docs" / "inspect.md").read_text(encoding="utf-8")


def test_gru_keeps_by_z_and_its_output_is_h() -> None:
    seen = traced(cr.GRU(4))["gru"]
    before = torch.cat([torch.zeros(1, 1, 4), seen["h"][:, :-1]], 1)
    assert torch.allclose(seen["h"], (1 - seen["z"]) * seen["n"] + seen["z"] * before, rtol=0, atol=1e-12)
    assert torch.allclose(seen["h"], seen["y"], rtol=0, atol=1e-12) and seen.shown() == ["r", "z", "n", "h"]


def test_every_layer_is_there_in_order_and_gives_what_the_net_gives() -> None:
    spec = cr.Serial(cr.Conv(4), cr.Residual(cr.Serial(cr.Activation(), cr.GRU(4))), cr.Pool(2), cr.Linear(2))
    trace = traced(spec, lengths=[7, 3])
    assert list(trace) == [
        *["serial", "0.conv", "1.residual", "1.skip.serial", "1.body.serial", "1.body.0.activation", "1.body.1.gru"],
        *["2.pool", "3.linear"],
    ]
    assert trace["3.linear"].y.values is trace["serial"].y.values
    assert trace["1.body.1"] is trace["1.body.1.gru"] and len(trace) == 9
    assert [each.place for each in trace.told()] == ["0.conv", "1.skip.serial", "1.body.0.activation", "1.body.1.gru", "2.pool", "3.linear"]
    assert trace["2.pool"].lengths("y") == [4, 2] and trace["1.body.1.gru"].lengths("z") == [7, 3]


def test_rows_are_the_same_alone_and_in_a_batch() -> None:
    net = cr.Serial(cr.Conv(4), cr.LSTM(3, bidirectional=True)).build(2).double()
    values = torch.randn(2, 6, 2, dtype=torch.float64)
    both, alone = net.trace(Seq(values, torch.tensor([6, 4])))["1"], net.trace(Seq(values[1:, :4]))["1"]
    for symbol in alone:
        assert torch.allclose(both[symbol][1, :4], alone[symbol][0], rtol=0, atol=1e-12), symbol


def test_body_of_time_distributed_sees_frames_as_rows() -> None:
    trace = traced(cr.Serial(cr.Window(4, hop=2), cr.TimeDistributed(cr.Serial(cr.Conv(2), cr.GlobalPool("max"))), cr.GRU(3)))
    conv = trace["1.body.0.conv"]
    assert conv["y"].shape == (4, 4, 2) and conv.rate is None and conv.step("y") is None
    assert torch.equal(conv.x.values[1], trace.x.values[0, 2:6])  # frame 1 of row 0
    assert "1.body.0.conv" not in trace.table(), "its rows are not those of the net"
    assert conv.table(row=1).startswith("frame  unit")


def test_second_body_of_both_ways_sees_reversed_rows() -> None:
    trace = traced(cr.BothWays(cr.GRU(2)), lengths=[5, 7])
    back = trace["back.gru"].x.values
    assert torch.equal(back[0, :5], trace.x.values[0, :5].flip(0)) and torch.equal(back[1], trace.x.values[1].flip(0))
    assert list(trace["both_ways"]) == ["f", "b", "y"]


def test_a_layer_that_runs_twice_is_seen_twice() -> None:
    trace = traced(cr.Repeat(cr.Linear(3), times=2, shared=True))
    first, second = trace["0.linear"], trace["0.linear#2"]
    assert torch.equal(first["y"], second.x.values) and torch.equal(second["y"], trace["repeat"]["y"])


def test_max_pooling_tells_the_frames_it_chose_and_attention_its_weights() -> None:
    x = torch.tensor([1.0, 5, 2, 3, 9, 4, 7]).reshape(1, 7, 1)
    assert cr.Pool(3).build(1).trace(Seq(x))["pool"]["argmax"].flatten().tolist() == [1, 4, 6]
    assert cr.GlobalPool("max").build(1).trace(Seq(x, torch.tensor([4])))["global_pool"]["argmax"].flatten().tolist() == [1]
    weights = cr.GlobalPool("attention").build(1).trace(Seq(x, torch.tensor([4])))["global_pool"]["weights"]
    assert weights.shape == (1, 7) and weights[0, :4].sum().item() == pytest.approx(1) and not weights[0, 4:].any()


def hooks(net: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in net.modules())


def test_nothing_is_left_behind() -> None:
    net = cr.Serial(cr.Conv(4), cr.BatchNorm(), cr.Dropout(0.5), cr.GRU(3)).build(2)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    attributes = {name: set(vars(module)) for name, module in net.named_modules()}
    trace = net.trace(Seq(torch.randn(2, 5, 2)))
    assert all(module.training for module in net.modules()), "in training as before"
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items()), "statistics did not move"
    assert hooks(net) == 0 and {name: set(vars(module)) for name, module in net.named_modules()} == attributes
    assert trace["3.gru"]["h"].is_inference() and not trace["2.drop"]["y"].requires_grad


def test_nothing_is_left_behind_by_an_error() -> None:
    net = cr.Serial(cr.Conv(4), cr.GRU(3)).build(2)
    with pytest.raises(ShapeError, match=r"conv: expected \[B, T, 2\]"):
        net.trace(Seq(torch.randn(2, 5, 3)))
    assert hooks(net) == 0 and net.training


def test_what_is_not_there() -> None:
    trace = traced(cr.Serial(cr.Conv(4), cr.GRU(3)), lengths=[7, 3])
    for wrong, message in (
        (lambda: trace["2.gru"], "trace: no layer stands at '2.gru'; there are serial, 0.conv, 1.gru"),
        (lambda: trace["1"]["f"], "1.gru: has no value 'f'; it has r, z, n, h, y"),
        (lambda: trace["1"].table(row=2), "row: expected 0..1, got 2; count from 0"),
        (lambda: trace["1"].table(row=1, frames=[3]), "frames: expected 0..2, got 3; count from 0"),
        (lambda: trace["1"].table(units=[3]), "units: expected 0..2, got 3; count from 0"),
    ):
        with pytest.raises(UsageError) as error:
            wrong()
        assert str(error.value) == message
    assert trace.get("2.gru") is None and "2.gru" not in trace and "1" in trace and "f" not in trace["1"] and "y" in trace["1"]
    assert repr(trace) == "<Trace of 3 layers: serial, 0.conv, 1.gru>"
    assert repr(trace["0"]) == "<0.conv: y [2, 7, 4]>"


def test_tables_of_ragged_and_empty_rows() -> None:
    trace = traced(cr.Serial(cr.Conv(4), cr.GRU(3)), lengths=[7, 0])
    assert trace["1"].table(row=1) == "frame  unit  r  z  n  h"
    assert len(trace["1"].table(row=0).splitlines()) == 1 + 7 * 3
    assert [line.split()[0] for line in trace["1"].table(frames=[0, 1, 5], units=[2]).splitlines()] == ["frame", "0", "1", "...", "5"]


def test_words_stand_beside_frames_at_their_own_rate() -> None:
    seen = traced(cr.Serial(cr.Pool(2), cr.GRU(3)))["1"]
    table = seen.table(units=[0], beside=["好", "b", "c", "d", "e" * 40, "f", "g"]).splitlines()
    assert [line.split()[1] for line in table[1:]] == ["好", "c", "e" * 15 + "…", "g"]
    assert len({width(line) for line in table}) == 1, "columns stay in line beside Chinese"
    assert [seen.step(symbol) for symbol in ("h", "y")] == [2, 2]


def test_tables_keep_to_80_columns() -> None:
    table = traced(cr.LSTM(3, bidirectional=True, layers=2))["lstm"].table(units=[0])
    heads = [line.split()[2:] for line in table.splitlines() if line.startswith("frame")]
    assert [head[0] for head in heads] == ["0.i", "0.back.i", "1.i", "1.back.i", "y"]
    assert max(map(len, table.splitlines())) <= 80


def test_units_of_frames_with_space_are_told_by_their_places() -> None:
    net = cr.Serial(cr.Conv(3), cr.Pool(2)).build((4, 2))
    pool = net.trace(Seq(torch.randn(1, 5, 4, 2)))["1"]
    assert [line.split()[-3] for line in pool.table(frames=[0], units=[0, 4]).splitlines()] == ["unit", "0,0", "1,1"]


def test_values_have_the_lengths_of_their_own_frames() -> None:
    """Weights over the input's frames, an answer of one frame."""
    seen = traced(cr.GlobalPool("attention"), lengths=[5, 7])["global_pool"]
    assert seen.lengths("weights") == [5, 7] and seen.lengths("y") == [1, 1]
    assert seen.table(row=0, units=[1]).splitlines()[0].split() == ["frame", "weights"]


def test_ids_are_traced_too() -> None:
    net = cr.Serial(cr.Embedding(4), cr.MinGRU(3)).build(cr.Ids(9))
    ids: Tensor = torch.randint(0, 9, (2, 5))
    assert list(net.trace(Seq(ids))["1.min_gru"]) == ["z", "n", "h", "y"]


def test_every_layer_of_every_sixth_case_is_seen() -> None:
    """Whatever stands in whatever: all layers of the walk are there, and each value has the frames of its layer's input or output."""
    for case in CASES[::6]:
        net, rows = case.build(), case.rows(0)
        trace = net.trace(Seq(pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows])))
        assert {f"{path}.{layer.name}".lstrip(".") for path, layer in net.walk()} <= set(trace), case.name
        for seen in trace.values():
            frames = {seen.x.values.shape[1], seen.y.values.shape[1]}
            assert all(seen[symbol].shape[1] in frames for symbol in seen), (case.name, seen)
