"""A trained model on disk and off it: the same answers, and nothing taken on trust. Also what `describe` says of a net."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save

import convrnn as cr
from convrnn.data.examples import Columns
from convrnn.deploy.describe import latencies, latency, layer_table, shape_text, stages
from convrnn.modality import modality_for
from convrnn.tasks import Classify

ROWS = [np.random.default_rng(n).normal(size=(n, 2)).astype(np.float32) for n in (1, 5, 30, 2, 17)]


@pytest.fixture
def model() -> cr.Model:
    from convrnn.data.memory import from_arrays

    torch.manual_seed(0)
    kind = modality_for("series")
    modality = kind.fit(from_arrays(ROWS), kind.from_dict({"modality": "series"}))
    task = Classify.fit(["低", "高"])
    body = cr.Serial(cr.Conv(4), cr.GRU(3, bidirectional=True))
    spec = cr.Serial(*body.layers, *task.head(body.build(modality.shape())))
    return cr.Model("made", modality, spec, task, spec.build(modality.shape()).eval(), Columns(inputs=("x",)), ("channel 1", "channel 2"))


def test_a_round_trip(model: cr.Model, tmp_path: Path) -> None:
    model.save(tmp_path)
    again = cr.load(str(tmp_path))
    assert again.predict(ROWS) == model.predict(ROWS)
    for name in ("name", "modality", "spec", "task", "columns", "channels"):
        assert getattr(again, name) == getattr(model, name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
    assert "高" in (tmp_path / "model.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["no space", "a kill"])
def test_an_older_model_stays_until_the_new_one_is_whole(
    model: cr.Model, tmp_path: Path, failure: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.save(tmp_path)
    before, other = model.predict(ROWS), replace(model, net=model.spec.build(model.modality.shape()).eval())
    move = os.replace

    def fails(temporary: Path, target: Path) -> None:
        if target.name == "model.json":
            raise failure
        move(temporary, target)

    with monkeypatch.context() as patched, pytest.raises((cr.JobError, KeyboardInterrupt)):
        patched.setattr(os, "replace", fails)
        other.save(tmp_path)
    assert cr.load(tmp_path).predict(ROWS) == before
    if isinstance(failure, OSError):
        assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
    for again in (other, other, model):
        again.save(tmp_path)
        assert cr.load(tmp_path).predict(ROWS) == again.predict(ROWS)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_row_alone_and_in_any_order(model: cr.Model) -> None:
    together = model.predict(ROWS)
    for place in (4, 0, 2):
        alone = model.predict([ROWS[place]])[0]["probabilities"]
        assert alone == pytest.approx(together[place]["probabilities"], abs=1e-6)
    assert [each["label"] for each in model.predict(ROWS[::-1])] == [each["label"] for each in together[::-1]]
    assert model.predict([]) == []


def test_what_streams_not_says_so(model: cr.Model) -> None:
    with pytest.raises(cr.NotStreamable, match=r"cannot stream: .*; use bidirectional=False"):
        model.stream()


def test_weights_of_other_layers(model: cr.Model, tmp_path: Path) -> None:
    """Even where somebody corrected the checksum."""
    model.save(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    name = next(iter(tensors))
    content = save({**tensors, name: tensors[name].flatten()[:1].clone()})
    stored = json.loads((tmp_path / "model.json").read_text(encoding="utf-8"))
    stored["weights"]["sha256"] = hashlib.sha256(content).hexdigest()
    (tmp_path / "model.safetensors").write_bytes(content)
    (tmp_path / "model.json").write_text(json.dumps(stored), encoding="utf-8")
    with pytest.raises(cr.DataError, match=rf"does not fit the layers of model\.json: {name}; restore both files from one run"):
        cr.load(tmp_path)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("task", "labels"), ["a", "b", "c"], r"model\.json: its layers give 2 scores a row, its task has 3; restore it from a copy"),
        (("weights", "file"), "../model.safetensors", r"model\.json: expected a model, but 'weights\.file' is missing or of another type"),
    ],
)
def test_parts_that_do_not_fit_each_other(model: cr.Model, tmp_path: Path, place: tuple[str, str], value: object, message: str) -> None:
    model.save(tmp_path)
    stored = json.loads((tmp_path / "model.json").read_text(encoding="utf-8"))
    stored[place[0]][place[1]] = value
    (tmp_path / "model.json").write_text(json.dumps(stored), encoding="utf-8")
    with pytest.raises(cr.DataError, match=message):
        cr.load(tmp_path)


@pytest.mark.parametrize("content", ["[]", "3", '{"a": 1}', '"text"'])
def test_other_json(content: str, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(content)
    with pytest.raises(cr.DataError, match=r"model\.json: is not a model of convrnn; give the folder"):
        cr.load(tmp_path)


def test_weights_that_are_missing(model: cr.Model, tmp_path: Path) -> None:
    model.save(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(cr.DataError, match=r"model\.safetensors: is missing; restore it, or train again"):
        cr.load(tmp_path)


NET = cr.Serial(
    cr.Conv(4, kernel=3, stride=2), cr.Residual(cr.Conv(4, kernel=5)), cr.Pool(2), cr.GRU(3), cr.GlobalPool("mean"), cr.Linear(2)
)


def test_stages_and_their_reach() -> None:
    """Reach is counted in frames of the input: by hand for a stride of 2, then a kernel of 5, then a pool of 2."""
    found = {stage.path: stage for stage in stages(NET.build(3))}
    assert [stage.layer.name for stage in found.values()] == ["conv", "conv", "pool", "gru", "global_pool", "linear"]
    reach = [(stage.facts.past, stage.facts.lookahead) for stage in found.values()]
    assert reach[:3] == [(1, 1), (1 + 2 * 2, 1 + 2 * 2), (5, 5 + 2 * 1)]
    assert reach[3] == (None, 7)
    assert reach[5] == (None, None)
    assert [shape_text(stage) for stage in found.values()][:4] == ["[B, T/2, 4]", "[B, T/2, 4]", "[B, T/4, 4]", "[B, T/4, 3]"]
    assert shape_text(list(found.values())[-1]) == "[B, 1, 2]"


def test_a_table_counts_every_parameter_once() -> None:
    net = NET.build(3).eval()
    rows = layer_table(net, 20)
    assert sum(row["parameters"] for row in rows) == sum(parameter.numel() for parameter in net.parameters())
    assert rows[0]["layer"] == "Conv(4, stride=2)"
    assert all(row["latency_ms"] > 0 for row in rows)


def test_timing_leaves_no_hooks() -> None:
    net = NET.build(3).eval()
    layers = [stage.layer for stage in stages(net)]
    assert len(latencies(net, 8, layers)) == len(layers) and latency(net, 8) > 0
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in layers)
