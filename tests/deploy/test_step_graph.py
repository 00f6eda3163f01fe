"""One step graph in ONNX Runtime: the same file at several chunk sizes, the state in and out, equals the layer offline."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from onnxscript import opset18
from torch import Tensor

import convrnn as cr
from convrnn.core.seq import State
from convrnn.testing.chunks import leaves

op: Any = opset18  # its stubs describe one concrete type where symbolic values flow

SPEC = cr.Serial(
    cr.Conv(8, kernel=5, stride=2),
    cr.BatchNorm(),
    cr.Activation("relu"),
    cr.Residual(cr.Conv(8, kernel=3)),
    cr.Pool(2, kind="mean"),
    cr.GRU(6),
    cr.Linear(3),
)


def gru_node(cell, x, lengths, w_x, w_h, b, b_h, state, reverse, save):
    """`convrnn::recur` with cell "gru" as one ONNX GRU node with `sequence_lens`; gates r z n become z r h."""
    assert cell == "gru" and not reverse

    def zrn(weight):
        r, z, n = op.Split(weight, num_outputs=3, axis=0)
        return op.Concat(z, r, n, axis=0)

    first = op.Constant(value_ints=[0])
    zeros = op.Concat(op.Mul(b_h, 0.0), op.Mul(b_h, 0.0), b_h, axis=0)
    bias = op.Unsqueeze(op.Concat(zrn(b), zeros, axis=0), first)
    frames = op.Transpose(x, perm=[1, 0, 2])
    y, final = op.GRU(
        frames,
        op.Unsqueeze(zrn(w_x), first),
        op.Unsqueeze(zrn(w_h), first),
        bias,
        op.Cast(lengths, to=6),
        state,
        hidden_size=6,
        linear_before_reset=1,
    )
    # ONNX Runtime gives a row of no frames the state zero; a row that pauses keeps its own.
    paused = op.Unsqueeze(op.Equal(lengths, op.Constant(value_int=0)), op.Constant(value_ints=[0, 2]))
    return op.Transpose(op.Squeeze(y, op.Constant(value_ints=[1])), perm=[1, 0, 2]), op.Where(paused, state, final), op.Identity(state)


class Step(torch.nn.Module):
    """The step with its state as plain tensors."""

    def __init__(self, net: cr.Layer, like: State) -> None:
        super().__init__()
        self.net, self.like = net, like

    def forward(self, x: Tensor, lengths: Tensor, last: Tensor, state: list[Tensor]) -> tuple[Tensor, ...]:
        (y, counts, _), after = self.net(cr.Seq(x, lengths), _nest(self.like, iter(state)), last)
        assert counts is not None
        return y, counts, *leaves(after)


def _nest(like: Any, flat: Any) -> Any:
    return next(flat) if isinstance(like, Tensor) else tuple(_nest(part, flat) for part in like)


def _run(session: onnxruntime.InferenceSession, inputs: dict[str, Any]) -> list[Any]:
    return list(session.run(None, inputs))


@pytest.fixture(scope="module")
def net() -> cr.Layer:
    torch.manual_seed(0)
    return SPEC.build(4).eval()


@pytest.fixture(scope="module")
def session(net: cr.Layer, tmp_path_factory: pytest.TempPathFactory) -> onnxruntime.InferenceSession:
    state = net.initial_state(3, torch.zeros(()))
    flat = leaves(state)
    dynamic = torch.export.Dim.DYNAMIC
    names = [f"state.{i}" for i in range(len(flat))]
    program = torch.onnx.export(
        Step(net, state).eval(),
        (torch.randn(3, 7, 4), torch.tensor([7, 3, 2]), torch.tensor([False, False, True]), flat),
        dynamo=True,
        dynamic_shapes=({0: dynamic, 1: dynamic}, {0: dynamic}, {0: dynamic}, [{0: dynamic} for _ in flat]),
        custom_translation_table={torch.ops.convrnn.recur.default: gru_node},
        input_names=["x", "lengths", "last", *names],
        output_names=["y", "counts", *(f"new.{name}" for name in names)],
        verbose=False,
    )
    assert program is not None
    path = tmp_path_factory.mktemp("onnx") / "step.onnx"
    program.save(str(path))
    return onnxruntime.InferenceSession(str(path))


@pytest.mark.parametrize("chunk", [1, 4, 11])
def test_a_step_graph_fed_in_chunks_equals_the_layer_offline(net: cr.Layer, session: onnxruntime.InferenceSession, chunk: int) -> None:
    rows = [torch.randn(n, 4, generator=torch.Generator().manual_seed(n)) for n in (37, 20, 3, 1, 0)]
    state = [leaf.numpy() for leaf in leaves(net.initial_state(len(rows), torch.zeros(())))]
    pieces: list[list[np.ndarray]] = [[] for _ in rows]
    for start in range(0, 37, chunk):
        x = np.full((len(rows), chunk, 4), np.nan, np.float32)
        counts = np.array([min(max(len(row) - start, 0), chunk) for row in rows])
        for i, row in enumerate(rows):
            x[i, : counts[i]] = row[start : start + chunk]
        last = np.array([start < len(row) <= start + chunk or (len(row) == 0 and start == 0) for row in rows])
        y, emitted, *state = _run(session, {"x": x, "lengths": counts, "last": last, **{f"state.{i}": s for i, s in enumerate(state)}})
        for piece, frames, n in zip(pieces, y, emitted, strict=True):
            piece.append(frames[:n])
    for row, got in zip(rows, pieces, strict=True):
        with torch.no_grad():
            want = net(cr.Seq(row[None])).seq.values[0].numpy()
        np.testing.assert_allclose(np.concatenate(got), want, rtol=1e-5, atol=1e-5)
