"""ONNX Runtime's own recurrences with our weights: graphs of one node a layer. Knows no clock.

Inputs and outputs of whole rows are bound beforehand, time first as its kernels want them, so that a call is the kernel and nothing else.

Legend: T frames, B rows, C channels, H units, D directions. Gates stand z r n in a GRU and i o f g in an LSTM; ours r z n and i f g o.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from convrnn.layers.base import Layer

Array = np.ndarray[Any, Any]

_OPERATOR = {"gru": "GRU", "gru-before": "GRU", "lstm": "LSTM", "rnn": "RNN"}
_ORDER = {"gru": (1, 0, 2), "gru-before": (1, 0, 2), "lstm": (0, 3, 1, 2), "rnn": (0,)}

REST = 0.1
"""Seconds before each turn beside ONNX Runtime. Its threads spin for tens of milliseconds after a call: without it, ours took twice as
long beside it as alone, and it took longer too."""


class Whole:
    """The answers of one layer over whole rows; lengths None: all rows are full, and the graph is not told any."""

    def __init__(self, cell: str, net: Layer, x: Tensor, lengths: Tensor | None) -> None:
        places = _places(net)
        states = ["h", "c"] if cell == "lstm" else ["h"]
        names = ["y", *states]
        node, weights = _node(cell, net, places, "", "x", "" if lengths is None else "lengths", [], names)
        feeds = {"x": x.transpose(0, 1).contiguous().numpy(), **({} if lengths is None else {"lengths": lengths.to(torch.int32).numpy()})}
        self._session = _session([node], weights, feeds, names)
        self._binding = self._session.io_binding()
        # What is bound is kept here: the binding holds addresses only.
        self._inputs = {name: ort.OrtValue.ortvalue_from_numpy(value) for name, value in feeds.items()}
        state = (len(places), len(x), weights[1].dims[2])
        sizes = [(x.shape[1], *state), *[state] * len(states)]
        self._outputs = {name: ort.OrtValue.ortvalue_from_shape_and_type(size, np.float32) for name, size in zip(names, sizes, strict=True)}
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)

    def call(self) -> None:
        """Runs the graph on what is bound."""
        self._session.run_with_iobinding(self._binding)

    def outputs(self) -> list[Array]:
        """What the last call answered: `[T, D, B, H]`, then the final states `[D, B, H]`."""
        return [value.numpy() for value in self._outputs.values()]


class Live:
    """A step of stacked layers, one frame a call, the state handed on by the caller, as a program in Python does it."""

    def __init__(self, cell: str, net: Layer, layers: int, channels: int, units: int) -> None:
        self._outputs = [f"next.{layer}.{state}" for layer in range(layers) for state in (("h", "c") if cell == "lstm" else ("h",))]
        self._inputs = [name.removeprefix("next.") for name in self._outputs]
        nodes: list[Any] = []
        weights: list[Any] = []
        source = "x"
        for layer in range(layers):
            mine = [name for name in self._inputs if name.startswith(f"{layer}.")]
            answers = [f"y.{layer}", *(f"next.{name}" for name in mine)]
            node, more = _node(cell, net, [f"forward_layers.{layer}"], f"{layer}.", source, "", mine, answers)
            # [T, D, B, H] to [T, B, H]: one direction, one frame.
            nodes += [node, helper.make_node("Squeeze", [f"y.{layer}", "direction"], [f"z.{layer}"])]
            weights += more
            source = f"z.{layer}"
        self._names = [source, *self._outputs]
        self._state: list[Array] = [np.zeros((1, 1, units), np.float32) for _ in self._inputs]
        weights.append(numpy_helper.from_array(np.array([1]), "direction"))
        feeds = {"x": np.zeros((1, 1, channels), np.float32), **dict(zip(self._inputs, self._state, strict=True))}
        self._session = _session(nodes, weights, feeds, self._names)

    def push(self, x: Array) -> Array:
        """`[1, 1, C]` to `[1, 1, H]`."""
        answer: Any = self._session.run(self._names, {"x": x, **dict(zip(self._inputs, self._state, strict=True))})
        y, *self._state = answer
        return y


def _places(net: Layer) -> list[str]:
    names = [name for name, _ in net.named_parameters()]
    return [place for place in ("forward_layers.0", "backward_layers.0") if f"{place}.w_x" in names]


def _node(
    cell: str, net: Layer, places: Sequence[str], prefix: str, x: str, lengths: str, states: Sequence[str], outputs: Sequence[str]
) -> tuple[Any, list[Any]]:
    """A recurrence and its weights W, R, B, a direction behind the other."""
    directions = [_weights(cell, net, place) for place in places]
    weights = [
        numpy_helper.from_array(np.ascontiguousarray(np.stack(each)), f"{prefix}{name}")
        for name, each in zip("WRB", zip(*directions, strict=True), strict=True)
    ]
    options: dict[str, Any] = {"hidden_size": directions[0][1].shape[1], "direction": "bidirectional" if len(places) == 2 else "forward"}
    if cell.startswith("gru"):
        options["linear_before_reset"] = int(cell == "gru")
    inputs = [x, *(weight.name for weight in weights), lengths, *states]
    return helper.make_node(_OPERATOR[cell], inputs, list(outputs), **options), weights


def _weights(cell: str, net: Layer, place: str) -> list[Array]:
    """W `[G, C]`, R `[G, H]`, B `[2 G]`: the biases of the input, then those of the state."""
    w_x, w_h, b = (_reordered(cell, net.get_parameter(f"{place}.{name}").detach()) for name in ("w_x", "w_h", "b"))
    of_state = torch.zeros_like(b)
    if cell == "gru":
        inner = net.get_parameter(f"{place}.b_h").detach()
        of_state[-len(inner) :] = inner
    return [w_x.numpy(), w_h.numpy(), torch.cat([b, of_state]).numpy()]


def _reordered(cell: str, gates: Tensor) -> Tensor:
    order = _ORDER[cell]
    blocks = gates.chunk(len(order))
    return torch.cat([blocks[place] for place in order])


def _session(nodes: Sequence[Any], weights: Sequence[Any], feeds: dict[str, Array], outputs: Sequence[str]) -> ort.InferenceSession:
    types = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int32): TensorProto.INT32}
    inputs = [helper.make_tensor_value_info(name, types[value.dtype], value.shape) for name, value in feeds.items()]
    answers = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(list(nodes), "peer", inputs, answers, list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
