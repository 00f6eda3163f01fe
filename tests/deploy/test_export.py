"""Exported files in ONNX Runtime and in torch, by hand and by the check that every export runs; and that the check sees what is wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

import convrnn as cr
from convrnn.deploy import onnx_cells
from convrnn.deploy.check import Differences, check
from convrnn.deploy.export import FORMATS, Exported, export
from convrnn.deploy.graphs import Offline, Step

RECURRENT = cr.Serial(
    cr.Conv(8, kernel=5, stride=2),
    cr.Activation("relu"),
    cr.Residual(cr.Conv(8, kernel=3)),
    cr.Pool(2, kind="mean"),
    cr.GRU(6),
    cr.LSTM(5),
    cr.Linear(3),
)


@pytest.fixture(scope="module")
def net() -> cr.Layer:
    torch.manual_seed(0)
    return RECURRENT.build(4).eval()


@pytest.fixture(scope="module")
def files(net: cr.Layer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    """The net in every format."""
    place = tmp_path_factory.mktemp("exported")
    return {form: export(net, form, place / FORMATS[form].file) for form in FORMATS}


def session(path: Path) -> Any:
    return onnxruntime.InferenceSession(str(path))


def near(got: Any, want: Any) -> None:
    """To 1e-5 of the largest number."""
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * float(np.abs(want).max()))


def test_whole_rows_far_longer_than_the_traced_ones(net: cr.Layer, files: dict[str, Exported]) -> None:
    """Traced with 3 rows of 20 frames; 17 rows of up to 2,000 here, with NaN behind them."""
    lengths = np.array([2000, 0, 1, 3, 20, 21, 1999, *range(100, 1100, 100)])
    rows = torch.randn(17, 2000, 4, generator=torch.Generator().manual_seed(1))
    padded = rows.numpy().copy()
    for row, n in zip(padded, lengths, strict=True):
        row[n:] = np.nan
    y, counts = session(files["onnx"].path).run(None, {"x": padded, "lengths": lengths})
    assert counts.tolist() == net.frames(torch.from_numpy(lengths)).tolist()
    for i, n in enumerate(lengths):
        with torch.no_grad():
            want = net(cr.Seq(rows[i : i + 1, :n])).seq.values[0].numpy()
        near(y[i, : counts[i]], want) if len(want) else None
        assert not y[i, counts[i] :].any()


class Client:
    """A program that knows numpy, ONNX Runtime and the file: rows come and go, each with its name."""

    def __init__(self, path: Path) -> None:
        self.session = session(path)
        self.states = json.loads(self.session.get_modelmeta().custom_metadata_map["state"])
        self.rows: dict[str, dict[str, np.ndarray]] = {}

    def step(self, chunks: Mapping[str, np.ndarray], ending: frozenset[str]) -> dict[str, np.ndarray]:
        """What comes out for each row that has a chunk; a name not seen before is a new row."""
        for name in chunks:
            self.rows.setdefault(name, {s["name"]: np.broadcast_to(np.array(s["initial"], s["dtype"]), s["shape"]) for s in self.states})
        names = list(chunks)
        width = max(len(chunk) for chunk in chunks.values())
        x = np.full((len(names), width, 4), np.nan, np.float32)
        for i, name in enumerate(names):
            x[i, : len(chunks[name])] = chunks[name]
        feed = {f"state.{s['name']}": np.stack([self.rows[name][s["name"]] for name in names]) for s in self.states}
        lengths, last = np.array([len(chunks[name]) for name in names]), np.array([name in ending for name in names])
        y, counts, *after = self.session.run(None, {"x": x, "lengths": lengths, "last": last, **feed})
        for i, name in enumerate(names):
            self.rows[name] = {s["name"]: new[i] for s, new in zip(self.states, after, strict=True)}
        for name in ending:
            del self.rows[name]
        return {name: y[i, : counts[i]] for i, name in enumerate(names)}


def test_steps_of_0_1_7_and_40_frames_with_rows_that_join_and_leave(net: cr.Layer, files: dict[str, Exported]) -> None:
    draw = np.random.default_rng(2)
    lengths = {"a": 150, "b": 0, "c": 1, "d": 47, "e": 40, "f": 8, "g": 200}
    joins = {"a": 0, "b": 0, "c": 1, "d": 2, "e": 3, "f": 5, "g": 6}
    rows = {name: draw.normal(size=(n, 4)).astype(np.float32) for name, n in lengths.items()}
    client, fed = Client(files["onnx-step"].path), dict.fromkeys(rows, 0)
    pieces: dict[str, list[np.ndarray]] = {name: [] for name in rows}
    inside: set[str] = set()
    turn, sizes = 0, set()
    while turn == 0 or inside:
        inside |= {name for name, at in joins.items() if at == turn}
        width = (7, 0, 1, 40)[turn % 4]
        chunks = {name: rows[name][fed[name] : fed[name] + width] for name in sorted(inside) if draw.random() < 0.8}
        turn += 1
        if not chunks:
            continue
        for name, chunk in chunks.items():
            fed[name] += len(chunk)
        ending = frozenset(name for name in chunks if fed[name] == lengths[name])
        for name, frames in client.step(chunks, ending).items():
            pieces[name].append(frames)
        sizes.add(len(chunks))
        inside -= ending
    assert not client.rows and len(sizes) > 2
    for name, row in rows.items():
        with torch.no_grad():
            want = net(cr.Seq(torch.from_numpy(row)[None])).seq.values[0].numpy()
        got = np.concatenate(pieces[name])
        assert len(got) == len(want)
        near(got, want) if len(want) else None


def test_the_file_says_what_a_client_must_know(net: cr.Layer, files: dict[str, Exported]) -> None:
    step = session(files["onnx-step"].path)
    about = step.get_modelmeta().custom_metadata_map
    assert (about["form"], about["convrnn"]) == ("step", cr.__version__)
    assert cr.Spec.from_json(about["spec"]) == RECURRENT
    names = [state["name"] for state in json.loads(about["state"])]
    assert [each.name for each in step.get_inputs()] == ["x", "lengths", "last", *(f"state.{name}" for name in names)]
    assert [each.name for each in step.get_outputs()] == ["y", "y_lengths", *(f"next.{name}" for name in names)]
    assert {"0.buffer", "2.body.held", "4.h", "5.c"} <= set(names)
    assert files["onnx-step"].inputs == tuple(each.name for each in step.get_inputs())
    assert step.get_inputs()[0].shape == ["batch", "frames", 4]
    offline = session(files["onnx"].path).get_modelmeta().custom_metadata_map
    assert (offline["form"], offline["state"]) == ("offline", "[]")


def test_pt2_in_a_process_that_knows_the_operators_only(net: cr.Layer, files: dict[str, Exported]) -> None:
    extra = {"form": "", "spec": ""}
    program = torch.export.load(files["pt2"].path, extra_files=extra)
    assert (extra["form"], cr.Spec.from_json(extra["spec"])) == ("offline", RECURRENT)
    x, lengths = torch.randn(2, 300, 4), torch.tensor([300, 17])
    with torch.no_grad():
        y, counts = program.module(check_guards=False)(x, lengths)
        near(y[1, : counts[1]].numpy(), net(cr.Seq(x[1:, :17])).seq.values[0].numpy())


CELLS = {
    "GRU twice, one backwards": (cr.GRU(3, bidirectional=True), {"GRU": 2}),
    "LSTM with peepholes, stacked": (cr.LSTM(3, peephole=True, layers=2), {"LSTM": 2}),
    "coupled LSTM": (cr.LSTM(3, coupled=True), {"LSTM": 1}),
    "RNN": (cr.RNN(3, nonlinearity="relu"), {"RNN": 1}),
    "no ONNX operator": (cr.Serial(cr.LiGRU(3), cr.LSTM(4, projection=2)), {"Scan": 2}),
}


@pytest.mark.parametrize(("spec", "nodes"), CELLS.values(), ids=CELLS)
def test_a_recurrence_is_one_node(spec: cr.Spec, nodes: dict[str, int], tmp_path: Path) -> None:
    """Never unrolled: of each layer and direction there is one node, whatever T."""
    export(spec.build(2).eval(), "onnx", tmp_path / "cell.onnx")
    found = [node.op_type for node in onnx.load(str(tmp_path / "cell.onnx")).graph.node]
    assert {kind: found.count(kind) for kind in ("GRU", "LSTM", "RNN", "Scan", "Loop") if kind in found} == nodes


def test_ids_and_rows_of_a_fixed_length(tmp_path: Path) -> None:
    text = cr.Serial(cr.Embedding(4), cr.Conv(3), cr.GlobalPool("max")).build(cr.Ids(9)).eval()
    assert export(text, "onnx-step", tmp_path / "text.onnx").difference < 1e-5
    states = json.loads(session(tmp_path / "text.onnx").get_modelmeta().custom_metadata_map["state"])
    assert [(s["name"], s["initial"]) for s in states if s["name"].startswith("2.")] == [("2.count", 0), ("2.max", "-inf")]
    picture = cr.Serial(cr.Conv(3), cr.Pool(2), cr.Flatten(5), cr.Linear(2)).build((4, 1)).eval()
    assert Offline(picture).fixed == (9, 10)
    assert export(picture, "onnx", tmp_path / "picture.onnx").difference < 1e-5


def test_a_learned_first_state_is_in_the_file(tmp_path: Path) -> None:
    net = cr.GRU(2, learn_state=True).build(3).eval()
    with torch.no_grad():
        net.get_parameter("forward_layers.0.first.0").copy_(torch.tensor([0.5, -1.0]))
    export(net, "onnx-step", tmp_path / "gru.onnx")
    (state,) = json.loads(session(tmp_path / "gru.onnx").get_modelmeta().custom_metadata_map["state"])
    assert state == {"name": "h", "dtype": "float32", "shape": [2], "initial": [0.5, -1.0]}


def test_an_export_leaves_net_and_generator_alone(tmp_path: Path) -> None:
    net = cr.Serial(cr.BatchNorm(), cr.Dropout()).build(2).train()
    before = {name: each.clone() for name, each in net.state_dict().items()}
    torch.manual_seed(3)
    want = torch.randn(1)
    torch.manual_seed(3)
    export(net, "pt2", tmp_path / "net.pt2")
    assert torch.equal(torch.randn(1), want) and net.training
    assert all(torch.equal(each, before[name]) for name, each in net.state_dict().items())


def test_a_wrong_graph_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gates of the GRU swapped: the check says what differs, by how much and where; an older file stays."""
    monkeypatch.setitem(vars(onnx_cells)["_BLOCKS"], "gru", (0, 1, 2))
    (tmp_path / "old.onnx").write_text("old")
    for name in ("old.onnx", "new.onnx"):
        with pytest.raises(
            cr.JobError, match=r"onnx: the exported graph is not the net: y differs by [\d.e-]+, .*, at .*; nothing was written"
        ):
            export(cr.GRU(3).build(2).eval(), "onnx", tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["old.onnx"]
    assert (tmp_path / "old.onnx").read_text() == "old"


def wrong_state(outputs: list[Tensor]) -> list[Tensor]:
    """A state that forgets."""
    return [*outputs[:2], *(torch.zeros_like(each) for each in outputs[2:])]


def nan(outputs: list[Tensor]) -> list[Tensor]:
    return [outputs[0] * float("nan"), *outputs[1:]]


def longer(outputs: list[Tensor]) -> list[Tensor]:
    return [outputs[0], outputs[1] + 1, *outputs[2:]]


def half(outputs: list[Tensor]) -> list[Tensor]:
    return [outputs[0].half(), *outputs[1:]]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (wrong_state, r"next\.h differs by [\d.]+, its largest number being [\d.]+, at chunk \d+: \d+ rows, \d+ frames"),
        (nan, "y differs by nan"),
        (longer, "y_lengths differs in shape or in whole numbers"),
        (half, "y differs in shape"),
    ],
)
def test_the_check_sees(spoil: Callable[[list[Tensor]], list[Tensor]], says: str) -> None:
    graph = Step(cr.GRU(3).build(2).eval())
    assert check(graph, lambda inputs: graph(*inputs.values()), "same") < 1e-6
    with pytest.raises(cr.JobError, match=says):
        check(graph, lambda inputs: spoil(list(graph(*inputs.values()))), "spoilt")


def test_a_difference_is_relative_to_the_largest_of_all_runs() -> None:
    found = Differences(torch.float32)
    found.compare("y", torch.tensor([1e-9]), torch.tensor([2e-9]), "a small one")
    found.compare("y", torch.tensor([1.0]), torch.tensor([1.0]), "a large one")
    assert found.judge("here") == pytest.approx(1e-9)


def test_one_nan_is_not_forgotten() -> None:
    found = Differences(torch.float32)
    for number in (1.0, float("nan"), 2.0):
        found.compare("y", torch.tensor([number]), torch.tensor([1.0]), f"the run that gives {number}")
    with pytest.raises(cr.JobError, match=r"y differs by nan, .*, at the run that gives nan"):
        found.judge("here")


def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = cr.GRU(3, bidirectional=True).build(2)
    with pytest.raises(cr.UsageError, match=r"expected a format of onnx, onnx-step, pt2, got 'tflite'"):
        export(net, "tflite", tmp_path / "net")
    with pytest.raises(cr.NotStreamable, match=r"use bidirectional=False"):
        export(net, "onnx-step", tmp_path / "net")
    with pytest.raises(cr.UsageError, match=r"expected weights in float32, got torch\.float64 for \S+; convert the net with \.float\(\)"):
        export(cr.GRU(3).build(2).double(), "onnx", tmp_path / "net")
    with pytest.raises(cr.JobError, match=r"nowhere/net: could not be written: No such file"):
        export(cr.Linear(3).build(2), "pt2", tmp_path / "nowhere" / "net")
    with pytest.raises(cr.UsageError, match=r"expected a net that takes rows of some length"):
        Offline(cr.Serial(cr.Flatten(5000), cr.Linear(1)).build(1))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(cr.UsageError, match=r"ONNX needs onnxruntime, which is not installed; pip install 'convrnn\[onnx\]'"):
        export(cr.GRU(3).build(2), "onnx", tmp_path / "net")
    assert list(tmp_path.iterdir()) == []
